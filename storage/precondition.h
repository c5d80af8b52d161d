/*
 * The conditions of a batch, checked under the commit order: against the
 * database as the group before left it, and the earlier batches of the same
 * group (the overlay).
 *
 * Thread-safety: the leader's.
 */
#ifndef STORAGE_PRECONDITION_H
#define STORAGE_PRECONDITION_H

#include "storage/read.h"

struct ldb_overlay_slot;

/* The newest entry a group has for each key. Zeroed: empty. */
struct ldb_overlay {
    struct ldb_overlay_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t used;
};

void ldb_overlay_release(struct ldb_overlay *overlay);

/* Adds the nodes of a chain, older first. NO_MEMORY: some may be missing. */
LDB_MUST_CHECK enum ldb_status
ldb_overlay_add(struct ldb_overlay *overlay,
                const struct ldb_memtable_node *chain);

/*
 * Checks write's conditions in order; the first that is false makes
 * LDB_PRECONDITION with failed_condition, current and error set in write. A
 * failed read is its own status.
 */
LDB_MUST_CHECK enum ldb_status
ldb_precondition_check(struct ldb_db *db, const struct ldb_read *read,
                       const struct ldb_overlay *overlay,
                       struct ldb_write *write);

#endif
