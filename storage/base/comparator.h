/* The order of user keys, as this library asks for it (ldb_policy.h). */
#ifndef STORAGE_BASE_COMPARATOR_H
#define STORAGE_BASE_COMPARATOR_H

#include "storage/base/buf.h"
#include "storage/include/ldb_policy.h"

/* cmp->compare, with memcmp inline for the bytewise order, which hot paths know
 * by its pointer. */
static inline int ldb_compare(const struct ldb_comparator *cmp,
                              struct ldb_slice a, struct ldb_slice b)
{
    if (LDB_LIKELY(cmp == ldb_comparator_bytewise()))
        return ldb_slice_compare(a, b);
    return cmp->compare(cmp->context, a, b);
}

#endif
