/*
 * An outer iterator whose values each open an inner one: index entries ->
 * blocks of a table, or files -> tables of a level.
 */
#ifndef STORAGE_TABLE_TWO_LEVEL_ITERATOR_H
#define STORAGE_TABLE_TWO_LEVEL_ITERATOR_H

#include "storage/table/iterator.h"

/*
 * Opens the inner iterator that outer_value names. A failure is returned as a
 * status and ends the iteration there.
 */
typedef enum ldb_status (*ldb_open_inner)(void *context,
                                          struct ldb_slice outer_value,
                                          struct ldb_error *err,
                                          struct ldb_iterator **out);

/* Takes ownership of outer (also on failure). release(context) at the end. */
LDB_MUST_CHECK enum ldb_status
ldb_two_level_iterator_create(struct ldb_iterator *outer, ldb_open_inner open,
                              void *context, void (*release)(void *context),
                              struct ldb_error *err, struct ldb_iterator **out);

#endif
