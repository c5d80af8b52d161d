/*
 * Sorted entries -> one block (docs/formats.md): keys share prefixes with
 * the key before, but for every restart_interval-th, whose offsets stand in
 * the restart array at the end.
 *
 * Thread-safety: one caller at a time per builder.
 */
#ifndef STORAGE_TABLE_BLOCK_BUILDER_H
#define STORAGE_TABLE_BLOCK_BUILDER_H

#include "storage/base/buf.h"

/* Lengths and offsets within a block have 32 bits. */
#define LDB_BLOCK_SIZE_MAX UINT32_MAX

struct ldb_block_builder {
    struct ldb_buf bytes;    /* entries; after finish the whole block */
    struct ldb_buf restarts; /* as stored, but for the count */
    struct ldb_buf last_key;
    unsigned restart_interval;
    unsigned entries_since_restart;
    uint64_t entry_count;
};

/* restart_interval >= 1; 1 makes every entry a restart. */
void ldb_block_builder_init(struct ldb_block_builder *builder,
                            unsigned restart_interval);
/* A zeroed builder is fine. */
void ldb_block_builder_release(struct ldb_block_builder *builder);
/* Empty again, memory and interval stay. */
void ldb_block_builder_clear(struct ldb_block_builder *builder);

/*
 * Appends an entry; the caller sees to the order of the keys. TOO_LARGE: the
 * block would pass LDB_BLOCK_SIZE_MAX; NO_MEMORY. Only clear and release may
 * follow a failure.
 */
LDB_MUST_CHECK enum ldb_status
ldb_block_builder_add(struct ldb_block_builder *builder, struct ldb_slice key,
                      struct ldb_slice value);

/* Appends the restart array; *out is the block, valid until clear. */
LDB_MUST_CHECK enum ldb_status
ldb_block_builder_finish(struct ldb_block_builder *builder,
                         struct ldb_slice *out);

/* Bytes the finished block would have now, before compression. */
static inline size_t
ldb_block_builder_size(const struct ldb_block_builder *builder)
{
    size_t restarts = builder->restarts.len;

    return builder->bytes.len + (restarts == 0 ? 4 : restarts) + 4;
}

static inline bool
ldb_block_builder_is_empty(const struct ldb_block_builder *builder)
{
    return builder->entry_count == 0;
}

#endif
