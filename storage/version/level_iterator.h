/*
 * The tables of a sorted level as one iterator, both ways.
 *
 * Thread-safety: one caller at a time, as every iterator.
 */
#ifndef STORAGE_VERSION_LEVEL_ITERATOR_H
#define STORAGE_VERSION_LEVEL_ITERATOR_H

#include "storage/table/table_cache.h"
#include "storage/version/version_edit.h"

/*
 * One iterator over the tables of a sorted, non-overlapping list (borrowed
 * until its end, as tables is; *read is copied). A table is opened when the
 * position first comes to it, one outside of the read's bounds never.
 */
LDB_MUST_CHECK enum ldb_status
ldb_level_iterator_create(const struct ldb_comparator *user_comparator,
                          struct ldb_file_meta *const *files, size_t count,
                          struct ldb_table_cache *tables,
                          const struct ldb_table_read *read,
                          struct ldb_error *err, struct ldb_iterator **out);

#endif
