/*
 * What table_reader.c and table_iterator.c share: the open table and its data
 * blocks while they are held. Nothing outside storage/table/ includes this.
 */
#ifndef STORAGE_TABLE_TABLE_READER_INTERNAL_H
#define STORAGE_TABLE_TABLE_READER_INTERNAL_H

#include "storage/table/block_reader.h"
#include "storage/table/filter_block.h"
#include "storage/table/read_ahead.h"
#include "storage/table/stored_block.h"
#include "storage/table/table_index.h"
#include "storage/table/table_reader.h"

/* Constant after open. */
struct ldb_table {
    struct ldb_random_file *file;
    const struct ldb_table_options *options;
    char *name;
    uint64_t limit;     /* where the footer begins: blocks end before it */
    uint64_t data_size; /* where the data blocks end */
    uint64_t cache_id;
    struct ldb_block index;
    struct ldb_table_index ready_index;
    uint64_t index_offset;
    struct ldb_block_memory *index_memory; /* NULL: in the mapping */
    bool has_filter;
    struct ldb_filter_block filter;
    struct ldb_block_memory *filter_memory; /* NULL: in the mapping */
};

/*
 * A data block held for reading: in the file's mapping, what was read ahead or
 * the caller's scratch (nothing to give back), in the block cache, or in memory
 * of its own.
 */
struct ldb_held_block {
    struct ldb_block block;
    uint64_t offset;      /* in the file */
    struct ldb_slice raw; /* with its trailer, where that is at hand */
    struct ldb_cache_entry *entry;
    struct ldb_block_memory *memory;
};

/*
 * The block at handle, from the cache, from ahead (NULL: none) where that
 * reaches it, or from the file. One that the cache does not want is put into
 * scratch if it fits. It is good until scratch or ahead is used again.
 */
LDB_MUST_CHECK enum ldb_status ldb_table_hold_block(
    const struct ldb_table *table, const struct ldb_table_read *read,
    struct ldb_read_ahead *ahead, struct ldb_block_handle handle,
    struct ldb_block_scratch scratch, struct ldb_error *err,
    struct ldb_held_block *out);
/* A zeroed one is fine. */
void ldb_table_drop_block(const struct ldb_table *table,
                          struct ldb_held_block *held);

/* The handle in an index entry. */
LDB_MUST_CHECK enum ldb_status
ldb_table_read_handle(const struct ldb_table *table, struct ldb_slice value,
                      struct ldb_error *err, struct ldb_block_handle *out);

/* What stopped it, a block iterator on the block at offset; its status. */
enum ldb_status ldb_table_block_error(const struct ldb_table *table,
                                      uint64_t offset,
                                      const struct ldb_block_iter *it,
                                      struct ldb_error *err);

/* As ldb_table_iterator_create(). When it is destroyed ahead, which may be NULL
 * and stays the caller's on failure, is closed and release(context) called. */
LDB_MUST_CHECK enum ldb_status ldb_table_iterator_create_with(
    struct ldb_table *table, const struct ldb_table_read *read,
    struct ldb_read_ahead *ahead, void (*release)(void *context), void *context,
    struct ldb_error *err, struct ldb_iterator **out);

#endif
