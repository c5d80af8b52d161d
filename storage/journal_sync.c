/*
 * When the journal becomes durable (contracts: db_internal.h).
 *
 * Sealing waits until all of the journal is on disk: a power cut must not leave
 * a record of the next one without those before it. So that a writer who asked
 * for no sync does not wait there for megabytes, a thread of its own syncs the
 * journal each time that much was added to it: the seal has the rest to sync.
 *
 * One sync of the journal at a time, and none beside its cutting or closing:
 * the leader alone asks for an early one, and waits until it is over
 * (ldb_journal_sync_settle) before it does any of these.
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
    db->early_sync_wanted = false;
    while (db->is_early_syncing)
        ldb_cond_wait(&db->work_done, &db->mu);
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

void ldb_journal_sync_early(struct ldb_db *db)
{
    uint64_t len = ldb_journal_writer_flushed_len(db->journal);
    uint64_t synced = ldb_journal_writer_synced_len(db->journal);
    uint64_t bytes = early_sync_bytes(db);

    if (LDB_LIKELY(len - synced < bytes || len - db->early_sync_asked < bytes))
        return;
    db->early_sync_asked = len;
    ldb_mutex_lock(&db->mu);
    db->early_sync_wanted = true;
    ldb_cond_signal(&db->early_sync_wakes);
    ldb_mutex_unlock(&db->mu);
}

static void sync_once(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    struct ldb_error err = {0};
    enum ldb_status s;

    db->early_sync_wanted = false;
    db->is_early_syncing = true;
    ldb_mutex_unlock(&db->mu);
    s = make_durable(db, &err);
    ldb_mutex_lock(&db->mu);
    db->is_early_syncing = false;
    if (s != LDB_OK)
        ldb_health_set(db, LDB_HEALTH_SYNC_FAILED, &err);
    ldb_cond_broadcast(&db->work_done);
}

void ldb_journal_sync_thread(void *context)
{
    struct ldb_db *db = context;

    ldb_mutex_lock(&db->mu);
    while (!atomic_load_explicit(&db->closing, memory_order_relaxed)) {
        if (db->early_sync_wanted)
            sync_once(db);
        else if (db->spare.is_wanted)
            ldb_journal_spare_prepare(db);
        else
            ldb_cond_wait(&db->early_sync_wakes, &db->mu);
    }
    ldb_mutex_unlock(&db->mu);
}
