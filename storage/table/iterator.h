/*
 * The iterator over internal keys that all sources share: memtable, block,
 * table, merge, version. The position's key and value stand in the struct, so
 * that reading them costs no call.
 *
 * Ownership: key and value are borrowed until the next call on the iterator.
 * Errors: status is sticky for the position: after any move, valid false and
 * status LDB_OK is the end; status not OK says why (error has the text).
 * Thread-safety: one caller at a time.
 */
#ifndef STORAGE_TABLE_ITERATOR_H
#define STORAGE_TABLE_ITERATOR_H

#include "storage/base/slice.h"

struct ldb_iterator;

struct ldb_iterator_ops {
    void (*seek_first)(struct ldb_iterator *it);
    void (*seek_last)(struct ldb_iterator *it);
    /* The first entry >= target (an internal key). */
    void (*seek)(struct ldb_iterator *it, struct ldb_slice target);
    void (*next)(struct ldb_iterator *it); /* valid on entry */
    void (*prev)(struct ldb_iterator *it); /* valid on entry */
    /* ldb_iterator_stored(); NULL: never */
    bool (*stored)(struct ldb_iterator *it, struct ldb_slice *out);
    void (*destroy)(struct ldb_iterator *it);
};

struct ldb_iterator {
    const struct ldb_iterator_ops *ops;
    bool valid;
    enum ldb_status status;
    struct ldb_slice key;
    struct ldb_slice value;
    struct ldb_error error; /* set where status is not OK */
};

static inline void ldb_iterator_seek_first(struct ldb_iterator *it)
{
    it->ops->seek_first(it);
}

static inline void ldb_iterator_seek_last(struct ldb_iterator *it)
{
    it->ops->seek_last(it);
}

static inline void ldb_iterator_seek(struct ldb_iterator *it,
                                     struct ldb_slice target)
{
    it->ops->seek(it, target);
}

static inline void ldb_iterator_next(struct ldb_iterator *it)
{
    assert_slow(it->valid);
    it->ops->next(it);
}

static inline void ldb_iterator_prev(struct ldb_iterator *it)
{
    assert_slow(it->valid);
    it->ops->prev(it);
}

/*
 * The data block that holds the present entry and no other, as its table stores
 * it, with its trailer, checked: to be copied to another table as it is. False
 * where there is no such block at hand, though there may be one. Borrowed as
 * the entry is, which must be valid.
 */
LDB_MUST_CHECK static inline bool ldb_iterator_stored(struct ldb_iterator *it,
                                                      struct ldb_slice *out)
{
    assert_slow(it->valid);
    return it->ops->stored != NULL && it->ops->stored(it, out);
}

/* NULL is fine. */
static inline void ldb_iterator_destroy(struct ldb_iterator *it)
{
    if (it != NULL)
        it->ops->destroy(it);
}

/* An iterator without entries, of that status (err may be NULL). */
LDB_MUST_CHECK enum ldb_status
ldb_empty_iterator_create(enum ldb_status status, const struct ldb_error *why,
                          struct ldb_error *err, struct ldb_iterator **out);

#endif
