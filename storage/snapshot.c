/* Views and snapshots: see view.h and ldb.h for the contracts. */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"

/*
 * View and sequence are taken together under view_mu: a memtable is replaced
 * under it, and only afterwards are entries put in the new one, so every entry
 * at or below the sequence is in the view.
 */
struct ldb_view *ldb_db_view(struct ldb_db *db, ldb_sequence *out_sequence)
{
    struct ldb_view *view;

    ldb_mutex_lock(&db->view_mu);
    view = ldb_view_ref(db->view);
    *out_sequence =
        atomic_load_explicit(&db->last_sequence, memory_order_acquire);
    ldb_mutex_unlock(&db->view_mu);
    return view;
}

void ldb_db_view_hold(struct ldb_db *db, struct ldb_view_hold *out,
                      ldb_sequence *out_sequence)
{
    out->view = ldb_view_slots_take(&db->view_slots, out);
    if (LDB_LIKELY(out->view != NULL)) {
        /* In this order: view_slots.h, rule 2. */
        *out_sequence =
            atomic_load_explicit(&db->last_sequence, memory_order_acquire);
        if (LDB_LIKELY(ldb_view_slots_is_marked(out)))
            return;
        ldb_db_view_release(db, out->view);
    }
    out->view = ldb_db_view(db, out_sequence);
}

void ldb_db_view_drop(struct ldb_db *db, struct ldb_view_hold *hold)
{
    if (LDB_UNLIKELY(!ldb_view_slots_park(hold)))
        ldb_db_view_release(db, hold->view);
    hold->view = NULL;
}

void ldb_db_view_release(struct ldb_db *db, struct ldb_view *view)
{
    if (!ldb_view_unref(view))
        return;
    if (!atomic_load_explicit(&db->obsolete_pending, memory_order_relaxed))
        return;
    ldb_mutex_lock(&db->mu);
    ldb_cond_broadcast(&db->work);
    ldb_mutex_unlock(&db->mu);
}

enum ldb_status ldb_db_install_view(struct ldb_db *db, struct ldb_error *err,
                                    struct ldb_view **out_old)
{
    struct ldb_memtable *newest_first[LDB_IMMUTABLES_MAX];
    struct ldb_view *view = NULL;
    enum ldb_status s;

    assert(db->immutable_count <= LDB_IMMUTABLES_MAX);
    for (size_t i = 0; i < db->immutable_count; i++)
        newest_first[i] = db->immutables[db->immutable_count - 1 - i];
    s = ldb_view_create(db->mem, newest_first, db->immutable_count,
                        ldb_version_set_current(db->versions), err, &view);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&db->view_mu);
    *out_old = db->view;
    db->view = view;
    ldb_mutex_unlock(&db->view_mu);
    ldb_throttle_note_version(db, view->version);
    ldb_view_slots_sweep(&db->view_slots);
    return LDB_OK;
}

enum ldb_status ldb_snapshot_acquire(struct ldb_db *db, struct ldb_error *err,
                                     struct ldb_snapshot **out)
{
    struct ldb_snapshot *snapshot = ldb_mem_zalloc(1, sizeof(*snapshot));

    if (snapshot == NULL)
        return ldb_error_no_memory(err);
    snapshot->db = db;
    snapshot->view = ldb_db_view(db, &snapshot->sequence);
    atomic_fetch_add_explicit(&db->counters.live_snapshots, 1,
                              memory_order_relaxed);
    *out = snapshot;
    return LDB_OK;
}

void ldb_snapshot_release(struct ldb_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    atomic_fetch_sub_explicit(&snapshot->db->counters.live_snapshots, 1,
                              memory_order_relaxed);
    ldb_db_view_release(snapshot->db, snapshot->view);
    ldb_mem_free(snapshot);
}

ldb_sequence ldb_snapshot_sequence(const struct ldb_snapshot *snapshot)
{
    return snapshot->sequence;
}
