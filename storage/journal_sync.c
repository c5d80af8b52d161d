/*
 * When the journal becomes durable (contracts: db_internal.h).
 *
 * Sealing waits until all of the journal is on disk: a power cut must not leave
 * a record of the next one without those before it. So that a writer who asked
 * for no sync does not wait there for megabytes, a thread of its own syncs the
 * journal each time that much was added to it: the seal has the rest to sync.
 * While somebody watches what is durable the same thread also syncs what has
 * waited for sync_interval_us, so that writes without a sync become visible to
 * him too, and not only when more are written.
 *
 * One sync of the journal at a time, and none beside its cutting or closing:
 * the leader holds the journal (ldb_journal_sync_settle) before it does any of
 * these, and lets go of it afterwards (ldb_journal_sync_resume).
 */
#include <stdatomic.h>

#include "storage/base/status.h"
#include "storage/db_internal.h"

/*
 * Bytes between two early syncs. Chosen: a disk takes that many in the time of
 * a few syncs of nothing; and several to a memtable, however small.
 */
#define EARLY_SYNC_BYTES_MAX (UINT64_C(1) << 20)
#define EARLY_SYNCS_MIN      4

void ldb_journal_sync_settle(struct ldb_db *db)
{
    ldb_mutex_lock(&db->mu);
    db->journal_is_held = true;
    db->early_sync_wanted = false;
    atomic_store_explicit(&db->sync_due_us, 0, memory_order_relaxed);
    while (db->is_early_syncing)
        ldb_cond_wait(&db->work_done, &db->mu);
    ldb_mutex_unlock(&db->mu);
}

/* The end of the last group is durable, where the journal was synced up to it.
 */
static bool note_synced(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    struct ldb_position to = ldb_position_load(&db->written);

    return db->journal != NULL && to.journal == db->journal_number &&
           ldb_journal_writer_synced_len(db->journal) >= to.offset &&
           ldb_durable_advance(db, &to);
}

void ldb_journal_sync_note(struct ldb_db *db)
{
    if (!note_synced(db) ||
        atomic_load_explicit(&db->watchers, memory_order_relaxed) == 0)
        return;
    db->tell_wanted = true;
    ldb_cond_signal(&db->early_sync_wakes);
}

static void let_go(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    db->journal_is_held = false;
    if (db->early_sync_wanted ||
        atomic_load_explicit(&db->sync_due_us, memory_order_relaxed) != 0)
        ldb_cond_signal(&db->early_sync_wakes);
}

void ldb_journal_sync_resume(struct ldb_db *db)
{
    ldb_journal_sync_note(db);
    let_go(db);
}

void ldb_journal_sync_end_group(struct ldb_db *db)
{
    ldb_mutex_lock(&db->mu);
    (void)note_synced(db);
    let_go(db);
    ldb_mutex_unlock(&db->mu);
}

/* The journal's name, then its bytes, as far as they are not durable. */
static enum ldb_status make_durable(struct ldb_db *db, struct ldb_error *err)
{
    uint64_t start = db->env->ops->monotonic_us(db->env);
    uint64_t name;
    enum ldb_status s;

    ldb_mutex_lock(&db->mu);
    name = db->journal_name;
    ldb_journal_spare_note(db, ldb_journal_writer_flushed_len(db->journal));
    ldb_mutex_unlock(&db->mu);
    s = ldb_folder_names_sync(db, name, err);
    if (s != LDB_OK)
        return s;
    if (ldb_journal_writer_synced_len(db->journal) ==
        ldb_journal_writer_flushed_len(db->journal))
        return LDB_OK;
    s = ldb_journal_writer_sync(db->journal, err);
    ldb_count(&db->counters.syncs, 1);
    ldb_count(&db->counters.sync_us,
              db->env->ops->monotonic_us(db->env) - start);
    return s;
}

enum ldb_status ldb_journal_sync(struct ldb_db *db, struct ldb_error *err)
{
    ldb_journal_sync_settle(db);
    return make_durable(db, err);
}

static uint64_t early_sync_bytes(const struct ldb_db *db)
{
    uint64_t bytes = db->options.write_buffer_bytes / EARLY_SYNCS_MIN;

    return bytes < EARLY_SYNC_BYTES_MAX ? bytes : EARLY_SYNC_BYTES_MAX;
}

void ldb_journal_sync_ask(struct ldb_db *db)
{
    db->early_sync_wanted = true;
    ldb_cond_signal(&db->early_sync_wakes);
}

void ldb_journal_sync_arm(struct ldb_db *db)
{
    if (db->options.sync_interval_us == 0 ||
        atomic_load_explicit(&db->sync_due_us, memory_order_relaxed) != 0)
        return;
    atomic_store_explicit(&db->sync_due_us,
                          db->env->ops->monotonic_us(db->env) +
                              db->options.sync_interval_us,
                          memory_order_relaxed);
    ldb_cond_signal(&db->early_sync_wakes);
}

/*
 * Somebody watches: sees to it that a sync is due. The leader has moved
 * `written`; the thread takes the due time away, then loads `written`. Both
 * change sync_due_us by an exchange, of which one sees the other: either it is
 * found gone here, or what was moved is seen there.
 */
static void arm_unless_armed(struct ldb_db *db)
{
    if (atomic_fetch_or_explicit(&db->sync_due_us, 0, memory_order_acq_rel) !=
        0)
        return;
    ldb_mutex_lock(&db->mu);
    ldb_journal_sync_arm(db);
    ldb_mutex_unlock(&db->mu);
}

void ldb_journal_sync_early(struct ldb_db *db, uint64_t len)
{
    uint64_t synced = ldb_journal_writer_synced_len(db->journal);
    uint64_t bytes = early_sync_bytes(db);

    if (LDB_UNLIKELY(atomic_load_explicit(&db->watchers, memory_order_relaxed) >
                     0))
        arm_unless_armed(db);
    if (LDB_LIKELY(len - synced < bytes || len - db->early_sync_asked < bytes))
        return;
    db->early_sync_asked = len;
    ldb_mutex_lock(&db->mu);
    ldb_journal_sync_ask(db);
    ldb_mutex_unlock(&db->mu);
}

/* ---- the thread ---- */

static void sync_once(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    struct ldb_error err = {0};
    struct ldb_position to;
    bool has_moved = false;
    enum ldb_status s;

    db->early_sync_wanted = false;
    (void)atomic_exchange_explicit(&db->sync_due_us, 0, memory_order_acq_rel);
    db->is_early_syncing = true;
    to = ldb_position_load(&db->written);
    ldb_mutex_unlock(&db->mu);
    s = make_durable(db, &err);
    ldb_mutex_lock(&db->mu);
    db->is_early_syncing = false;
    if (s == LDB_OK)
        has_moved = ldb_durable_advance(db, &to);
    else
        ldb_health_set(db, LDB_HEALTH_SYNC_FAILED, &err);
    ldb_cond_broadcast(&db->work_done);
    db->tell_wanted |= has_moved;
}

static void tell(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    db->tell_wanted = false;
    ldb_mutex_unlock(&db->mu);
    ldb_durable_tell(db);
    ldb_mutex_lock(&db->mu);
}

/* Is it time for a sync? *out_wait_us: no, but in so long; 0: nobody asks. */
static bool is_sync_due(struct ldb_db *db, uint64_t *out_wait_us)
    LDB_REQUIRES(db->mu)
{
    uint64_t due = atomic_load_explicit(&db->sync_due_us, memory_order_relaxed);
    uint64_t now;

    *out_wait_us = 0;
    if (db->journal_is_held || db->journal == NULL)
        return false; /* whoever holds it signals when he lets go */
    if (db->early_sync_wanted)
        return true;
    if (due == 0)
        return false;
    now = db->env->ops->monotonic_us(db->env);
    if (now >= due)
        return true;
    *out_wait_us = due - now;
    return false;
}

void ldb_journal_sync_thread(void *context)
{
    struct ldb_db *db = context;
    uint64_t wait_us;

    ldb_mutex_lock(&db->mu);
    while (!atomic_load_explicit(&db->closing, memory_order_relaxed)) {
        if (is_sync_due(db, &wait_us))
            sync_once(db);
        else if (db->tell_wanted)
            tell(db);
        else if (db->spare.is_wanted)
            ldb_journal_spare_prepare(db);
        else if (wait_us > 0)
            (void)ldb_cond_wait_for(&db->early_sync_wakes, &db->mu, wait_us);
        else
            ldb_cond_wait(&db->early_sync_wakes, &db->mu);
    }
    ldb_mutex_unlock(&db->mu);
}
