/*
 * What a caller may bring of its own: the order of keys, and the filter of
 * tables. Included by ldb.h; usable alone.
 *
 * Thread-safety: the functions of a comparator and a filter policy are called
 * from any number of threads at once, some with locks held: they must not
 * block nor call the database. They are pure: the same arguments give the same
 * answer for as long as a file is read that was written with them.
 */
#ifndef STORAGE_INCLUDE_LDB_POLICY_H
#define STORAGE_INCLUDE_LDB_POLICY_H

#include "ldb_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A total order of keys. Keys of which it says that they are equal are one
 * key, of which the newest value is read; the filter must then see them alike
 * too, which the built-in one does not (bloom_bits 0 switches it off).
 */
struct ldb_comparator {
    /*
     * Stored in the MANIFEST. Opening and repairing a database that was made
     * with another name is INVALID_ARGUMENT, and nothing is changed. Another
     * order needs another name: under the old one it is not noticed and keys
     * are not found.
     */
    const char *name;
    void *context; /* first argument of the functions */
    /* <0, 0, >0: a comes before, is, comes after b. */
    int (*compare)(void *context, struct ldb_slice a, struct ldb_slice b);
    /*
     * A short key k with a <= k < b, where a < b, appended to out (empty on
     * entry), for the index of a table. NULL: a itself is used. OK, or what
     * ldb_buf_append() failed with; the table is then not written.
     */
    enum ldb_status (*separator)(void *context, struct ldb_slice a,
                                 struct ldb_slice b, struct ldb_buf *out);
    /* Likewise a short key k >= a. */
    enum ldb_status (*successor)(void *context, struct ldb_slice a,
                                 struct ldb_buf *out);
};

/* Unsigned bytes, shorter first: "leveldb.BytewiseComparator"; static. */
LDB_API const struct ldb_comparator *ldb_comparator_bytewise(void);

/*
 * What spares a get the data blocks that do not have its key: built for every
 * 2^filter_base_lg bytes of a table from the keys there, asked before they are
 * read.
 */
struct ldb_filter_policy {
    /*
     * Stored in each table. A table whose filter has another name is read
     * without one, unless alt_filters has it: no error, only slower. Another
     * form of filter needs another name.
     */
    const char *name;
    /* > 0: the built-in bloom filter of that many bits a key, under its own
     * names; the rest is not looked at. */
    unsigned bloom_bits_per_key;
    void *context; /* first argument of the functions */
    /* Appends the filter of the keys, in order, some maybe twice, to out. OK,
     * or what ldb_buf_append() failed with; the table is then not written. */
    enum ldb_status (*create)(void *context, const struct ldb_slice *keys,
                              size_t count, struct ldb_buf *out);
    /*
     * False only when key is certainly not among the filter's keys: a wrong
     * false hides a key. filter may be any bytes: what is damaged or unknown
     * is answered true.
     */
    bool (*may_match)(void *context, struct ldb_slice key,
                      struct ldb_slice filter);
};

#ifdef __cplusplus
}
#endif

#endif
