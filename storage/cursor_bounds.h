/* How a caller's bounds and prefix become what a cursor is held to. */
#ifndef STORAGE_CURSOR_BOUNDS_H
#define STORAGE_CURSOR_BOUNDS_H

#include "storage/include/ldb.h"
#include "storage/table/table_options.h"

/*
 * The greater of options' lower bounds and the less of the upper ones as
 * internal keys, which come before all entries of their user key; their bytes
 * go into *bytes (empty on entry, the caller's). Without bounds both stay
 * empty, and *out as it is.
 *
 * Errors: INVALID_ARGUMENT: a prefix with another comparator than bytewise;
 * NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_cursor_bounds_make(const struct ldb_comparator *comparator,
                       const struct ldb_read_options *options,
                       struct ldb_error *err, struct ldb_buf *bytes,
                       struct ldb_key_bounds *out);

#endif
