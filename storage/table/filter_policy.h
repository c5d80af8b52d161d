/*
 * The built-in bloom filter, byte-identical to both libraries'
 * (docs/formats.md), beside those that callers bring (ldb_policy.h).
 */
#ifndef STORAGE_TABLE_FILTER_POLICY_H
#define STORAGE_TABLE_FILTER_POLICY_H

#include "storage/base/buf.h"
#include "storage/include/ldb_policy.h"

/* The two names under which one built-in filter block is listed. */
#define LDB_BLOOM_NAME_GOLEVELDB "leveldb.BuiltinBloomFilter"
#define LDB_BLOOM_NAME_LEVELDB   "leveldb.BuiltinBloomFilter2"

/* Builds / probes the built-in bloom filter. */
LDB_MUST_CHECK enum ldb_status ldb_bloom_create(unsigned bits_per_key,
                                                const struct ldb_slice *keys,
                                                size_t count,
                                                struct ldb_buf *out);
bool ldb_bloom_may_match(struct ldb_slice key, struct ldb_slice filter);

/* The same filter from the keys' hashes, which is all that it needs of them. */
uint32_t ldb_bloom_hash(struct ldb_slice key);
LDB_MUST_CHECK enum ldb_status ldb_bloom_create_hashed(unsigned bits_per_key,
                                                       const uint32_t *hashes,
                                                       size_t count,
                                                       struct ldb_buf *out);

static inline bool
ldb_filter_policy_is_builtin(const struct ldb_filter_policy *policy)
{
    return policy->bloom_bits_per_key > 0;
}

/* policy's may_match, or the built-in one. */
static inline bool
ldb_filter_policy_may_match(const struct ldb_filter_policy *policy,
                            struct ldb_slice key, struct ldb_slice filter)
{
    if (ldb_filter_policy_is_builtin(policy))
        return ldb_bloom_may_match(key, filter);
    return policy->may_match(policy->context, key, filter);
}

#endif
