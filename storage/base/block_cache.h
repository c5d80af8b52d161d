/*
 * A sharded LRU of reference-counted entries, bounded in bytes: data blocks
 * keyed by (cache id, offset). An entry in use is never freed; a full shard
 * drops the least recently used that nobody holds.
 *
 * Thread-safety: any thread; each shard has its own lock.
 */
#ifndef STORAGE_BASE_BLOCK_CACHE_H
#define STORAGE_BASE_BLOCK_CACHE_H

#include "storage/base/compiler.h"

struct ldb_block_cache;
struct ldb_cache_entry; /* a held reference */

struct ldb_cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    size_t used_bytes;
    size_t capacity_bytes;
};

/*
 * capacity_bytes is split evenly over 16 shards, and an entry costs its charge
 * and about 100 bytes of its own. 0 caches nothing that is not in use.
 * Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_block_cache_create(size_t capacity_bytes, struct ldb_error *err,
                       struct ldb_block_cache **out);
/* No entry is held any more. NULL is fine. */
void ldb_block_cache_destroy(struct ldb_block_cache *cache);

/* A fresh id: the first half of a file's keys. */
uint64_t ldb_block_cache_new_id(struct ldb_block_cache *cache);

/* The entry, held, or NULL. */
struct ldb_cache_entry *ldb_block_cache_lookup(struct ldb_block_cache *cache,
                                               uint64_t id, uint64_t offset);

/*
 * The same; where it is NULL, *out_is_wanted says whether an insert is worth
 * its cost: there is room, or this block was missed a short while ago. What is
 * read once in a long time then pushes nothing out.
 */
struct ldb_cache_entry *
ldb_block_cache_lookup_or_want(struct ldb_block_cache *cache, uint64_t id,
                               uint64_t offset, bool *out_is_wanted);

/*
 * Takes ownership of value (freed by destroy(value) when dropped) and returns
 * a held entry; an older entry of the key is replaced. On NULL (no memory) the
 * value is still the caller's.
 */
LDB_MUST_CHECK struct ldb_cache_entry *
ldb_block_cache_insert(struct ldb_block_cache *cache, uint64_t id,
                       uint64_t offset, void *value, size_t charge_bytes,
                       void (*destroy)(void *value));

void *ldb_cache_entry_value(const struct ldb_cache_entry *entry);
void ldb_block_cache_release(struct ldb_block_cache *cache,
                             struct ldb_cache_entry *entry);
/* Drops the key from the cache; holders keep it. */
void ldb_block_cache_erase(struct ldb_block_cache *cache, uint64_t id,
                           uint64_t offset);
/* Drops what nobody holds. */
void ldb_block_cache_prune(struct ldb_block_cache *cache);
void ldb_block_cache_stats(const struct ldb_block_cache *cache,
                           struct ldb_cache_stats *out);

#endif
