/*
 * The order of user keys. The name is stored in the MANIFEST; a folder is
 * opened only with the comparator that made it.
 *
 * Thread-safety: constant; the functions are called from any thread.
 */
#ifndef STORAGE_BASE_COMPARATOR_H
#define STORAGE_BASE_COMPARATOR_H

#include "storage/base/buf.h"

struct ldb_comparator {
    const char *name;
    void *context; /* first argument of the functions */
    int (*compare)(void *context, struct ldb_slice a, struct ldb_slice b);
    /*
     * A short key k with a <= k < b, appended to out (empty on entry); NULL
     * means a itself is used.
     */
    enum ldb_status (*separator)(void *context, struct ldb_slice a,
                                 struct ldb_slice b, struct ldb_buf *out);
    /* A short key k >= a, appended to out; NULL means a itself. */
    enum ldb_status (*successor)(void *context, struct ldb_slice a,
                                 struct ldb_buf *out);
};

/* "leveldb.BytewiseComparator", static. Hot paths test for this pointer. */
LDB_API const struct ldb_comparator *ldb_comparator_bytewise(void);

/* cmp->compare, with memcmp inline for the bytewise order. */
static inline int ldb_compare(const struct ldb_comparator *cmp,
                              struct ldb_slice a, struct ldb_slice b)
{
    if (LDB_LIKELY(cmp == ldb_comparator_bytewise()))
        return ldb_slice_compare(a, b);
    return cmp->compare(cmp->context, a, b);
}

#endif
