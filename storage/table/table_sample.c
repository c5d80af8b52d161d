#include "storage/table/table_sample.h"

#include "storage/base/internal_key.h"
#include "storage/base/status.h"
#include "storage/table/table_reader_internal.h"

static enum ldb_status count_blocks(const struct ldb_table *table,
                                    struct ldb_block_iter *index,
                                    struct ldb_error *err, uint64_t *out)
{
    uint64_t blocks = 0;

    for (ldb_block_iter_seek_first(index); index->valid;
         ldb_block_iter_next(index))
        blocks++;
    if (index->status != LDB_OK)
        return ldb_table_block_error(table, table->index_offset, index, err);
    *out = blocks;
    return LDB_OK;
}

static enum ldb_status count_entries(const struct ldb_table *table,
                                     const struct ldb_held_block *held,
                                     struct ldb_block_iter *block,
                                     struct ldb_error *err,
                                     struct ldb_table_counts *counts)
{
    ldb_block_iter_set(block, &held->block);
    for (ldb_block_iter_seek_first(block); block->valid;
         ldb_block_iter_next(block)) {
        counts->entries++;
        counts->deletes +=
            ldb_tag_kind(ldb_internal_tag(block->key)) == LDB_KIND_DELETE;
    }
    if (block->status != LDB_OK)
        return ldb_table_block_error(table, held->offset, block, err);
    return LDB_OK;
}

static enum ldb_status
read_block(const struct ldb_table *table, const struct ldb_table_read *read,
           struct ldb_slice handle_bytes, struct ldb_block_iter *block,
           struct ldb_error *err, struct ldb_table_counts *counts)
{
    struct ldb_held_block held = {0};
    struct ldb_block_handle handle;
    enum ldb_status s =
        ldb_table_read_handle(table, handle_bytes, err, &handle);

    if (s == LDB_OK)
        s = ldb_table_hold_block(table, read, NULL, handle,
                                 (struct ldb_block_scratch){0}, err, &held);
    if (s != LDB_OK)
        return s;
    s = count_entries(table, &held, block, err, counts);
    ldb_table_drop_block(table, &held);
    return s;
}

/* The middle block of each of the parts that blocks are cut into. */
static enum ldb_status
read_spread(const struct ldb_table *table, const struct ldb_table_read *read,
            uint64_t blocks, uint64_t parts, struct ldb_block_iter *index,
            struct ldb_block_iter *block, struct ldb_error *err,
            struct ldb_table_counts *counts)
{
    uint64_t part = 0;
    uint64_t at = 0;
    enum ldb_status s = LDB_OK;

    for (ldb_block_iter_seek_first(index);
         s == LDB_OK && index->valid && part < parts;
         ldb_block_iter_next(index)) {
        if (at++ != (2 * part + 1) * blocks / (2 * parts))
            continue;
        s = read_block(table, read, index->value, block, err, counts);
        part++;
    }
    return s;
}

enum ldb_status ldb_table_sample(struct ldb_table *table,
                                 const struct ldb_table_read *read,
                                 uint64_t blocks_max, struct ldb_error *err,
                                 struct ldb_table_counts *out)
{
    struct ldb_table_counts counts = {0};
    struct ldb_block_iter index;
    struct ldb_block_iter block;
    uint64_t blocks = 0;
    uint64_t parts;
    enum ldb_status s;

    assert(blocks_max > 0);
    ldb_block_iter_init(&index, table->options->comparator);
    ldb_block_iter_set(&index, &table->index);
    ldb_block_iter_init(&block, table->options->comparator);
    s = count_blocks(table, &index, err, &blocks);
    parts = blocks < blocks_max ? blocks : blocks_max;
    if (s == LDB_OK && parts > 0)
        s = read_spread(table, read, blocks, parts, &index, &block, err,
                        &counts);
    if (s == LDB_OK && parts > 0)
        *out = (struct ldb_table_counts){
            .entries = counts.entries * blocks / parts,
            .deletes = counts.deletes * blocks / parts};
    else if (s == LDB_OK)
        *out = counts;
    ldb_block_iter_release(&index);
    ldb_block_iter_release(&block);
    return s;
}
