/*
 * k sorted inputs -> one sorted output, both ways. Equal internal keys come
 * out in the order of the inputs (the first input's first).
 */
#ifndef STORAGE_TABLE_MERGING_ITERATOR_H
#define STORAGE_TABLE_MERGING_ITERATOR_H

#include "storage/base/comparator.h"
#include "storage/table/iterator.h"

/*
 * Takes ownership of the count children (also on failure); the array itself is
 * copied. An error of any child ends the iteration with its status.
 */
LDB_MUST_CHECK enum ldb_status
ldb_merging_iterator_create(const struct ldb_comparator *user_comparator,
                            struct ldb_iterator *const *children, size_t count,
                            struct ldb_error *err, struct ldb_iterator **out);

#endif
