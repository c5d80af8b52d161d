/*
 * Open tables by file number, at most capacity of them beside those in use.
 * Opening tries NNNNNN.ldb, then NNNNNN.sst.
 *
 * Thread-safety: any thread. Iterators keep their table open.
 */
#ifndef STORAGE_TABLE_TABLE_CACHE_H
#define STORAGE_TABLE_TABLE_CACHE_H

#include "storage/table/table_reader.h"
#include "storage/table/table_sample.h"

struct ldb_table_cache;

struct ldb_table_cache_stats {
    size_t open_tables;
    size_t capacity_tables;
    size_t memory_bytes; /* pinned index and filter blocks */
    uint64_t hits;
    uint64_t misses;
};

/* dir is copied; options are copied, what they point to is borrowed. */
LDB_MUST_CHECK enum ldb_status
ldb_table_cache_create(struct ldb_env *env, const char *dir,
                       const struct ldb_table_options *options,
                       size_t capacity_tables, struct ldb_error *err,
                       struct ldb_table_cache **out);
void ldb_table_cache_destroy(struct ldb_table_cache *cache);

/* As ldb_table_get() on table number, of that file size. */
LDB_MUST_CHECK enum ldb_status
ldb_table_cache_get(struct ldb_table_cache *cache, uint64_t number,
                    uint64_t file_size, const struct ldb_table_read *read,
                    struct ldb_slice target, struct ldb_error *err,
                    struct ldb_buf *out_value, uint64_t *out_tag);

/* On all of table number; read->read_ahead is heeded as far as memory and
 * descriptors are to be had. */
LDB_MUST_CHECK enum ldb_status
ldb_table_cache_iterator(struct ldb_table_cache *cache, uint64_t number,
                         uint64_t file_size, const struct ldb_table_read *read,
                         struct ldb_error *err, struct ldb_iterator **out);

LDB_MUST_CHECK enum ldb_status ldb_table_cache_approximate_offset(
    struct ldb_table_cache *cache, uint64_t number, uint64_t file_size,
    struct ldb_slice internal_key, struct ldb_error *err, uint64_t *out_offset);

/* As ldb_table_sample(). */
LDB_MUST_CHECK enum ldb_status
ldb_table_cache_sample(struct ldb_table_cache *cache, uint64_t number,
                       uint64_t file_size, const struct ldb_table_read *read,
                       uint64_t blocks_max, struct ldb_error *err,
                       struct ldb_table_counts *out);

/* Forgets table number (its file is about to be deleted). */
void ldb_table_cache_evict(struct ldb_table_cache *cache, uint64_t number);

void ldb_table_cache_stats(const struct ldb_table_cache *cache,
                           struct ldb_table_cache_stats *out);

#endif
