/*
 * struct ldb_retained, for the two files that are its (retained.h). Private to
 * storage/.
 *
 * The list is an array from which the oldest go at the front: items[head] to
 * items[head + count - 1]. Archived ones come first, then those of the folder.
 */
#ifndef STORAGE_RETAINED_INTERNAL_H
#define STORAGE_RETAINED_INTERNAL_H

#include "storage/base/mutex.h"
#include "storage/retained.h"

/*
 * Locking.
 * Constant after creation: env, dir, archive, log, bytes_max, age_us.
 * Protected by work_mu: is_loaded, is_off, has_folder, has_linked, has_removed,
 * has_strays.
 * Protected by mu: all else.
 */
struct ldb_retained {
    struct ldb_env *env;
    char *dir;
    char *archive;
    struct ldb_log *log;
    uint64_t bytes_max;
    uint64_t age_us;

    struct ldb_mutex work_mu;
    bool is_loaded;
    bool is_off;      /* what lies there could not be found out */
    bool has_folder;  /* the archive's, durably */
    bool has_linked;  /* the latest names may be lost */
    bool has_removed; /* the latest removal may come back */
    bool has_strays; /* there may be files, or come back, that are not listed */

    struct ldb_mutex mu;
    struct ldb_retained_journal *items;
    size_t head;
    size_t count;
    size_t capacity;
    uint64_t bytes; /* of the archive's files */
    struct ldb_pin *pins;
    uint64_t pin_count;
    uint64_t pins_lost;
};

static inline struct ldb_retained_journal *
ldb_retained_item(struct ldb_retained *r, size_t i) LDB_REQUIRES(r->mu)
{
    assert(i < r->count);
    return &r->items[r->head + i];
}

/* ---- retained_read.c ---- */

/* The index of the first journal with a number above that; count: none. */
size_t ldb_retained_index_after(struct ldb_retained *r, uint64_t number)
    LDB_REQUIRES(r->mu);

/* NULL: it is not in the list. */
struct ldb_retained_journal *ldb_retained_find_number(struct ldb_retained *r,
                                                      uint64_t number)
    LDB_REQUIRES(r->mu);

#endif
