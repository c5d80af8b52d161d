/*
 * Room for writes (contracts: db_internal.h): slow down at level-0 tables,
 * stop when memtables or level 0 are full, seal journal and memtable together.
 * The triggers are goleveldb's.
 */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"

/* One delay a group while level 0 is over the slowdown trigger; both
 * libraries' figure. */
#define SLOWDOWN_US 1000

enum ldb_status ldb_journal_start(struct ldb_db *db, uint64_t number,
                                  struct ldb_error *err,
                                  struct ldb_journal_writer **out)
{
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, number);
    struct ldb_writable_file *file = NULL;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = db->env->ops->open_writable(db->env, path, LDB_OPEN_TRUNCATE, err,
                                    &file);
    if (s == LDB_OK)
        s = ldb_journal_writer_create(file, 0, err, out);
    ldb_mem_free(path);
    return s;
}

/* A failure leaves writes stopped. */
static enum ldb_status sync_sealed(struct ldb_db *db, struct ldb_error *err)
    LDB_REQUIRES(db->mu)
{
    struct ldb_error why = {0};
    enum ldb_status s;

    ldb_mutex_unlock(&db->mu);
    s = ldb_commit_sync_journal(db, &why);
    ldb_mutex_lock(&db->mu);
    if (s == LDB_OK)
        return LDB_OK;
    ldb_health_set(db, LDB_HEALTH_SYNC_FAILED, &why);
    if (err != NULL)
        *err = why;
    return s;
}

/* The new journal and memtable take the place of the old ones. */
static enum ldb_status install_new(struct ldb_db *db, struct ldb_memtable *mem,
                                   struct ldb_error *err,
                                   struct ldb_view **out_old)
    LDB_REQUIRES(db->mu)
{
    struct ldb_memtable *old = db->mem;
    enum ldb_status s;

    assert(db->immutable_count < LDB_IMMUTABLES_MAX);
    db->immutables[db->immutable_count++] = old;
    db->mem = mem;
    s = ldb_db_install_view(db, err, out_old);
    if (s != LDB_OK) {
        db->immutable_count--;
        db->mem = old;
        return s;
    }
    old->last_sequence = db->last_assigned;
    return LDB_OK;
}

enum ldb_status ldb_throttle_seal(struct ldb_db *db, struct ldb_error *err,
                                  struct ldb_view **out_old)
{
    struct ldb_journal_writer *journal = NULL;
    struct ldb_memtable *mem = NULL;
    uint64_t number;
    enum ldb_status s = sync_sealed(db, err);

    if (s != LDB_OK)
        return s;
    number = ldb_version_set_new_file_number(db->versions);
    s = ldb_memtable_create(db->options.comparator, number, err, &mem);
    if (s != LDB_OK)
        return s;
    s = ldb_journal_start(db, number, err, &journal);
    if (s == LDB_OK)
        s = install_new(db, mem, err, out_old);
    if (s != LDB_OK) {
        if (journal != NULL)
            LDB_IGNORE(ldb_journal_writer_close(journal, NULL)); /* empty */
        ldb_memtable_unref(mem);
        return s;
    }
    /* All of it is durable: a failing close loses nothing. */
    LDB_IGNORE(ldb_journal_writer_close(db->journal, NULL));
    db->journal = journal;
    db->journal_number = number;
    db->journal_dir_synced = false;
    db->journal_must_seal = false;
    ldb_cond_broadcast(&db->work);
    return LDB_OK;
}

/* Why no write can be taken at all, if so. */
static enum ldb_status refuse(const struct ldb_db *db, struct ldb_error *err)
{
    switch (ldb_db_health(db)) {
    case LDB_HEALTH_SYNC_FAILED:
    case LDB_HEALTH_WRITE_FAILED:
        return ldb_error_set(err, LDB_READ_ONLY, "writes have stopped: %.200s",
                             db->health_error.message);
    case LDB_HEALTHY:
    case LDB_HEALTH_DISK_FULL:
    case LDB_HEALTH_BACKGROUND:
    case LDB_HEALTH_CORRUPTION:
        break;
    }
    return LDB_OK;
}

/* Why a write that has to wait for that work would wait in vain. */
static enum ldb_status refuse_waiting(const struct ldb_db *db,
                                      enum ldb_work work, struct ldb_error *err)
{
    const struct ldb_background_failure *f = &db->failures[work];

    if (atomic_load_explicit(&db->closing, memory_order_relaxed))
        return ldb_error_set(err, LDB_CLOSED, "the database is closing");
    if (db->compaction_halted)
        return ldb_error_set(err, LDB_READ_ONLY,
                             "compaction has stopped: %.200s",
                             db->failures[LDB_WORK_COMPACTION].error.message);
    if (f->attempts == 0)
        return LDB_OK;
    if (err != NULL)
        *err = f->error;
    return ldb_error_prefix(err, f->error.status,
                            work == LDB_WORK_FLUSH ? "flush is stuck"
                                                   : "compaction is stuck");
}

/* Lets background threads run for at most timeout_us, counted as a stall. */
static void wait_for_work(struct ldb_db *db, uint64_t timeout_us,
                          _Atomic(uint64_t) *count, _Atomic(uint64_t) *us)
    LDB_REQUIRES(db->mu)
{
    uint64_t start = db->env->ops->monotonic_us(db->env);

    ldb_count(count, 1);
    db->is_stopped = count == &db->counters.stop_count;
    if (timeout_us == 0)
        ldb_cond_wait(&db->work_done, &db->mu);
    else
        (void)ldb_cond_wait_for(&db->work_done, &db->mu, timeout_us);
    db->is_stopped = false;
    ldb_count(us, db->env->ops->monotonic_us(db->env) - start);
}

static enum ldb_status seal_now(struct ldb_db *db, struct ldb_error *err)
    LDB_REQUIRES(db->mu)
{
    struct ldb_view *old = NULL;
    enum ldb_status s = ldb_throttle_seal(db, err, &old);

    if (s == LDB_NO_SPACE && err != NULL)
        ldb_health_set(db, LDB_HEALTH_DISK_FULL, err);
    if (old != NULL) {
        ldb_mutex_unlock(&db->mu);
        ldb_db_view_release(db, old);
        ldb_mutex_lock(&db->mu);
    }
    return s;
}

enum ldb_status ldb_throttle_make_room(struct ldb_db *db, bool may_wait,
                                       struct ldb_error *err)
{
    bool may_slow = true;

    for (;;) {
        size_t l0 = ldb_version_set_current(db->versions)->levels[0].count;
        bool has_entries = ldb_memtable_entry_count(db->mem) > 0;
        enum ldb_status s = refuse(db, err);
        bool is_full;

        if (s != LDB_OK)
            return s;
        if (may_slow && l0 >= db->options.l0_slowdown_trigger &&
            !db->compaction_halted) {
            if (!may_wait)
                return LDB_STALLED;
            may_slow = false;
            wait_for_work(db, SLOWDOWN_US, &db->counters.slowdown_count,
                          &db->counters.slowdown_us);
            continue;
        }
        is_full = ldb_memtable_memory_bytes(db->mem) >=
                  db->options.write_buffer_bytes;
        if (!has_entries || !(is_full || db->journal_must_seal))
            return LDB_OK;
        if (!may_wait)
            return LDB_STALLED; /* for a sync at least */
        if (db->immutable_count < db->options.immutable_memtables_max &&
            l0 < db->options.l0_stop_trigger)
            return seal_now(db, err);
        s = refuse_waiting(db,
                           l0 >= db->options.l0_stop_trigger
                               ? LDB_WORK_COMPACTION
                               : LDB_WORK_FLUSH,
                           err);
        if (s != LDB_OK)
            return s;
        wait_for_work(db, 0, &db->counters.stop_count, &db->counters.stop_us);
    }
}
