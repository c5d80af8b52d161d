/*
 * The filter block of a table (docs/formats.md): filter i answers for the
 * data blocks that start in [i * 2048, (i + 1) * 2048) of the file.
 *
 * Thread-safety: a builder has one caller at a time; a reader is constant.
 */
#ifndef STORAGE_TABLE_FILTER_BLOCK_H
#define STORAGE_TABLE_FILTER_BLOCK_H

#include "storage/table/filter_policy.h"

/* log2 of the file bytes one filter answers for; stored, both write 11 by
 * default. */
#define LDB_FILTER_BASE_LG 11

struct ldb_filter_block_builder {
    const struct ldb_filter_policy *policy;
    unsigned base_lg;
    struct ldb_buf filters; /* those made; after finish the whole block */
    struct ldb_buf offsets; /* of each filter, as stored */
    /* Keys since the last filter: their hashes (uint32_t) for the built-in
     * policy, their bytes and ends (size_t) for another. */
    struct ldb_buf hashes;
    struct ldb_buf key_bytes;
    struct ldb_buf key_ends;
};

/* policy is borrowed until release. base_lg: 0 to 63. */
void ldb_filter_block_builder_init(struct ldb_filter_block_builder *builder,
                                   const struct ldb_filter_policy *policy,
                                   unsigned base_lg);
void ldb_filter_block_builder_release(struct ldb_filter_block_builder *builder);

/* The next data block starts at offset; its keys follow. TOO_LARGE, NO_MEMORY
 * or what the policy returned; so do add and finish. */
LDB_MUST_CHECK enum ldb_status
ldb_filter_block_builder_start_block(struct ldb_filter_block_builder *builder,
                                     uint64_t offset);
LDB_MUST_CHECK enum ldb_status
ldb_filter_block_builder_add(struct ldb_filter_block_builder *builder,
                             struct ldb_slice user_key);
/* *out is valid until release. Nothing but release may follow. */
LDB_MUST_CHECK enum ldb_status
ldb_filter_block_builder_finish(struct ldb_filter_block_builder *builder,
                                struct ldb_slice *out);

struct ldb_filter_block {
    const struct ldb_filter_policy *policy;
    const uint8_t *data;    /* borrowed */
    const uint8_t *offsets; /* in data; filter_count + 1 numbers */
    size_t filter_count;    /* 0: everything may match */
    unsigned base_lg;
};

/*
 * Takes contents for a filter block (borrowed). One that cannot be decoded
 * says "may match" to everything, which is always right.
 */
void ldb_filter_block_init(struct ldb_filter_block *filter,
                           const struct ldb_filter_policy *policy,
                           struct ldb_slice contents);

/* False only when user_key is in no entry of the data block at offset. */
bool ldb_filter_block_may_match(const struct ldb_filter_block *filter,
                                uint64_t block_offset,
                                struct ldb_slice user_key);

#endif
