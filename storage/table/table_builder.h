/*
 * Sorted entries -> one table file (docs/formats.md). Keys are internal
 * keys, strictly ascending.
 *
 * Thread-safety: one caller. Errors are sticky: after one, add and finish
 * return it again; the file is then to be removed by the caller.
 */
#ifndef STORAGE_TABLE_TABLE_BUILDER_H
#define STORAGE_TABLE_TABLE_BUILDER_H

#include "storage/base/env.h"
#include "storage/table/table_options.h"

struct ldb_table_builder;

/* file and options are borrowed until destroy. */
LDB_MUST_CHECK enum ldb_status
ldb_table_builder_create(struct ldb_writable_file *file,
                         const struct ldb_table_options *options,
                         struct ldb_error *err, struct ldb_table_builder **out);

/* CORRUPTION when key is not above the last one. */
LDB_MUST_CHECK enum ldb_status
ldb_table_builder_add(struct ldb_table_builder *builder,
                      struct ldb_slice internal_key, struct ldb_slice value,
                      struct ldb_error *err);

/*
 * Adds the one entry, as ldb_table_builder_add() does, of a data block that
 * another table stores as stored (with its trailer, checked): copied as it is
 * where this builder would store it in a block of its own and as that one is,
 * compressed or not.
 */
LDB_MUST_CHECK enum ldb_status ldb_table_builder_add_stored(
    struct ldb_table_builder *builder, struct ldb_slice internal_key,
    struct ldb_slice value, struct ldb_slice stored, struct ldb_error *err);

/* Writes filter, metaindex, index and footer. Neither syncs nor closes. */
LDB_MUST_CHECK enum ldb_status
ldb_table_builder_finish(struct ldb_table_builder *builder,
                         struct ldb_error *err);

/* Bytes of the file so far (after finish: its size). */
uint64_t ldb_table_builder_file_size(const struct ldb_table_builder *builder);
uint64_t ldb_table_builder_entry_count(const struct ldb_table_builder *builder);
/* The entries, and the delete marks among them. */
struct ldb_table_counts
ldb_table_builder_counts(const struct ldb_table_builder *builder);

void ldb_table_builder_destroy(struct ldb_table_builder *builder);

#endif
