/*
 * About how many entries a table holds, and how many of them are delete marks,
 * from a few of its data blocks.
 *
 * Thread-safety: any thread.
 */
#ifndef STORAGE_TABLE_TABLE_SAMPLE_H
#define STORAGE_TABLE_TABLE_SAMPLE_H

#include "storage/table/table_reader.h"

/*
 * Counts blocks_max (>= 1) data blocks evenly spread over the table, for all
 * of them; exact where it has no more. Errors as of an iterator.
 */
LDB_MUST_CHECK enum ldb_status
ldb_table_sample(struct ldb_table *table, const struct ldb_table_read *read,
                 uint64_t blocks_max, struct ldb_error *err,
                 struct ldb_table_counts *out);

#endif
