/*
 * One open table: index and filter pinned while it is open, data blocks
 * through the block cache, checksums verified when a block is first read.
 *
 * Thread-safety: any number of threads read one table; each iterator belongs
 * to one. Every error names the file and offset.
 */
#ifndef STORAGE_TABLE_TABLE_READER_H
#define STORAGE_TABLE_TABLE_READER_H

#include "storage/base/env.h"
#include "storage/table/iterator.h"
#include "storage/table/table_options.h"

struct ldb_table;

/*
 * Reads footer, metaindex, index, filter. name ("000123.ldb") is copied for
 * messages. Owns file on success; on failure it stays the caller's. options
 * are borrowed for the table's life.
 */
LDB_MUST_CHECK enum ldb_status
ldb_table_open(struct ldb_random_file *file, uint64_t size, const char *name,
               const struct ldb_table_options *options, struct ldb_error *err,
               struct ldb_table **out);

/* No iterator on it lives. NULL is fine. */
void ldb_table_close(struct ldb_table *table);

/*
 * The newest entry of the target's user key at or below its sequence (target:
 * internal key). OK: *out_tag is its tag and, where its kind is put, out_value
 * (cleared first) its value. NOT_FOUND: this table has none. out_value NULL
 * leaves the value uncopied.
 */
LDB_MUST_CHECK enum ldb_status
ldb_table_get(struct ldb_table *table, const struct ldb_table_read *read,
              struct ldb_slice target, struct ldb_error *err,
              struct ldb_buf *out_value, uint64_t *out_tag);

/* The table outlives the iterator. */
LDB_MUST_CHECK enum ldb_status
ldb_table_iterator_create(struct ldb_table *table,
                          const struct ldb_table_read *read,
                          struct ldb_error *err, struct ldb_iterator **out);

/* About where in the file the key's data begins; past the end: data size. */
uint64_t ldb_table_approximate_offset(struct ldb_table *table,
                                      struct ldb_slice internal_key);

/* Bytes of memory held by index, filter and the struct itself. */
size_t ldb_table_memory_bytes(const struct ldb_table *table);

#endif
