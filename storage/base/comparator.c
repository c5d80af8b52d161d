#include "storage/base/comparator.h"

/*
 * Index blocks hold what these two return, and LevelDB and goleveldb agree:
 *
 * separator(a, b)  at the first differing byte i, inside both: a[0..i] with
 *                  its last byte + 1, where that is still below b[i]; else a.
 * successor(a)     cut after the first byte that is not 0xff, which gets + 1;
 *                  of nothing but 0xff: a.
 */

static int bytewise_compare(void *context, struct ldb_slice a,
                            struct ldb_slice b)
{
    (void)context;
    return ldb_slice_compare(a, b);
}

static enum ldb_status bytewise_separator(void *context, struct ldb_slice a,
                                          struct ldb_slice b,
                                          struct ldb_buf *out)
{
    size_t common = a.len < b.len ? a.len : b.len;
    size_t i = 0;
    enum ldb_status s;

    (void)context;
    while (i < common && a.data[i] == b.data[i])
        i++;
    /* a[i] + 1 < b[i] needs a[i] < 0xff. One a prefix of the other: a. */
    if (i == common || a.data[i] + 1 >= b.data[i])
        return ldb_buf_append(out, a);
    s = ldb_buf_append(out, ldb_slice_make(a.data, i + 1));
    if (s == LDB_OK)
        out->data[out->len - 1]++;
    return s;
}

static enum ldb_status bytewise_successor(void *context, struct ldb_slice a,
                                          struct ldb_buf *out)
{
    size_t i = 0;
    enum ldb_status s;

    (void)context;
    while (i < a.len && a.data[i] == 0xff)
        i++;
    if (i == a.len)
        return ldb_buf_append(out, a);
    s = ldb_buf_append(out, ldb_slice_make(a.data, i + 1));
    if (s == LDB_OK)
        out->data[out->len - 1]++;
    return s;
}

static const struct ldb_comparator bytewise = {
    .name = "leveldb.BytewiseComparator",
    .context = NULL,
    .compare = bytewise_compare,
    .separator = bytewise_separator,
    .successor = bytewise_successor,
};

const struct ldb_comparator *ldb_comparator_bytewise(void)
{
    return &bytewise;
}
