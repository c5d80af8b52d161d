/*
 * A table file read in order, in large pieces, through a descriptor of its own:
 * for a pass over a whole table. Touching each page of a mapping for the first
 * time costs ten times as much (docs/decisions/0022-read-ahead.md).
 *
 * Thread-safety: one caller at a time; a budget is shared by any threads.
 */
#ifndef STORAGE_TABLE_READ_AHEAD_H
#define STORAGE_TABLE_READ_AHEAD_H

#include <stdatomic.h>

#include "storage/base/env.h"

/* Memory of one. Chosen: twice and half of it measured the same; a block of a
 * value of 100 kB fits. */
#define LDB_READ_AHEAD_SIZE ((size_t)128 << 10)

/* How many a budget has, and a database at once. Chosen: two compactions of a
 * dozen tables of level 0 each; they take 4 MiB and 32 descriptors. */
#define LDB_READ_AHEADS_MAX 32

struct ldb_read_ahead;

/* Relaxed: no other memory is published by it. */
struct ldb_read_ahead_budget {
    atomic_int left;
};

/*
 * Opens the file of size bytes at path. budget is borrowed until the close.
 * NULL where that cannot be, as the budget is used up, memory is short, or the
 * file does not open: the table can be read without.
 */
LDB_MUST_CHECK struct ldb_read_ahead *
ldb_read_ahead_open(struct ldb_env *env, const char *path, uint64_t size,
                    struct ldb_read_ahead_budget *budget);

/* NULL is fine. */
void ldb_read_ahead_close(struct ldb_read_ahead *ahead);

/* Whether len bytes at offset can be read: they are not too many, do not lie
 * behind, and no call of the file failed. */
bool ldb_read_ahead_reaches(const struct ldb_read_ahead *ahead, uint64_t offset,
                            size_t len);

/*
 * The len bytes at offset, which it reaches; they are good until the next call.
 *
 * Errors: CORRUPTION where the file ends before; what the file's calls return.
 */
LDB_MUST_CHECK enum ldb_status ldb_read_ahead_read(struct ldb_read_ahead *ahead,
                                                   uint64_t offset, size_t len,
                                                   struct ldb_error *err,
                                                   struct ldb_slice *out);

#endif
