/*
 * Room for writes (contracts: db_internal.h): slow down under pressure, stop
 * when memtables or level 0 are full, seal journal and memtable together. The
 * triggers are goleveldb's; both libraries wait 1 ms a write between them.
 *
 * Here the pressure rises from 0, below the slowdown triggers, to 1 where
 * writes stop (level 0) or at the limit (pending bytes). From one group of
 * writes to the next passes the time that its bytes take at a rate which falls
 * with the pressure: from twice what compaction takes out of level 0 to a
 * quarter of it. So under a steady load writes settle where both are equal,
 * short of the stop. Waits too short for a thread to sleep add up until they
 * are long enough.
 */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"

/* Waits of a group. Chosen: a shorter one costs more than it delays; a longer
 * one looks like a stop. */
#define DELAY_MIN_US UINT64_C(1000)
#define DELAY_MAX_US UINT64_C(1000000)

/* What compaction takes out of level 0, in bytes a second, while none has been
 * measured. Chosen: a slow disk's. */
#define DRAIN_DEFAULT_BYTES (UINT64_C(16) << 20)

/* Bytes of the journal may be this many times those of the tables they become
 * (compression, entries that a batch overwrites); more is not believed. */
#define SHRINKING_MAX 8.0

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

/* A failure leaves writes stopped. */
static enum ldb_status sync_sealed(struct ldb_db *db, struct ldb_error *err)
    LDB_REQUIRES(db->mu)
{
    struct ldb_error why = {0};
    enum ldb_status s;

    ldb_mutex_unlock(&db->mu);
    s = ldb_journal_sync(db, &why);
    ldb_mutex_lock(&db->mu);
    if (s == LDB_OK) {
        ldb_journal_sync_note(db);
        return LDB_OK;
    }
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

/* The journal is durable, and held. */
static enum ldb_status seal_synced(struct ldb_db *db, struct ldb_error *err,
                                   struct ldb_view **out_old)
    LDB_REQUIRES(db->mu)
{
    struct ldb_journal_writer *journal = NULL;
    struct ldb_memtable *mem = NULL;
    uint64_t number = 0;
    uint64_t len = ldb_journal_writer_flushed_len(db->journal);
    enum ldb_status s = ldb_retained_reserve(db->retained, err);

    if (s == LDB_OK)
        s = ldb_journal_next(db, err, &journal, &number);
    if (s != LDB_OK)
        return s;
    s = ldb_memtable_create(db->options.comparator, number, err, &mem);
    if (s == LDB_OK)
        s = install_new(db, mem, err, out_old);
    if (s != LDB_OK) {
        LDB_IGNORE(ldb_journal_writer_close(journal, NULL)); /* empty */
        ldb_memtable_unref(mem);
        return s;
    }
    /* All of it is durable: a failing close loses nothing. */
    LDB_IGNORE(ldb_journal_writer_close(db->journal, NULL));
    db->journal = journal;
    db->journal_number = number;
    db->journal_name = ldb_folder_names_count(db);
    db->early_sync_asked = 0;
    db->journal_must_seal = false;
    ldb_retained_seal(db->retained, len, db->last_assigned, number);
    ldb_durable_next_journal(db, number);
    ldb_cond_broadcast(&db->work);
    return LDB_OK;
}

enum ldb_status ldb_throttle_seal(struct ldb_db *db, struct ldb_error *err,
                                  struct ldb_view **out_old)
{
    enum ldb_status s = refuse(db, err);

    if (s != LDB_OK)
        return s;
    s = sync_sealed(db, err);
    if (s == LDB_OK)
        s = seal_synced(db, err, out_old);
    ldb_journal_sync_resume(db);
    return s;
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

/* Lets background threads run for at most timeout_us (0: as long as it takes),
 * counted as a stall. */
static void wait_for_work(struct ldb_db *db, uint64_t timeout_us,
                          enum ldb_stall cause) LDB_REQUIRES(db->mu)
{
    uint64_t start = db->env->ops->monotonic_us(db->env);

    ldb_count(&db->counters.stalls[cause].count, 1);
    db->is_stopped =
        cause == LDB_STALL_MEMTABLES_STOP || cause == LDB_STALL_LEVEL0_STOP;
    if (timeout_us == 0)
        ldb_cond_wait(&db->work_done, &db->mu);
    else
        (void)ldb_cond_wait_for(&db->work_done, &db->mu, timeout_us);
    db->is_stopped = false;
    ldb_count(&db->counters.stalls[cause].us,
              db->env->ops->monotonic_us(db->env) - start);
}

/* ---- slowing down ---- */

/* How far value is on the way from slow to stop: 0 below, at most 1. */
static double part_of_way(double value, double slow, double stop)
{
    if (value < slow)
        return 0;
    return value >= stop ? 1 : (value - slow) / (stop - slow);
}

/* 0: none; 1: writes are about to stop. */
static double pressure(const struct ldb_options *o,
                       const struct ldb_version *version,
                       enum ldb_stall *out_cause)
{
    /* One table over the trigger's predecessor: at the trigger it has begun. */
    double level0 =
        part_of_way((double)version->levels[0].count,
                    (double)o->l0_slowdown_trigger - 1, o->l0_stop_trigger);
    double pending = part_of_way((double)version->pending_bytes,
                                 (double)o->pending_slowdown_bytes,
                                 (double)o->pending_limit_bytes);

    *out_cause = level0 >= pending ? LDB_STALL_LEVEL0_SLOWDOWN
                                   : LDB_STALL_PENDING_SLOWDOWN;
    return level0 >= pending ? level0 : pending;
}

void ldb_throttle_note_version(struct ldb_db *db,
                               const struct ldb_version *version)
{
    enum ldb_stall cause;
    bool is_pressed = pressure(&db->options, version, &cause) > 0;

    /* What is written until it presses again is not made up for then. */
    if (!is_pressed)
        db->write_free_us = 0;
    atomic_store_explicit(&db->is_pressed, is_pressed, memory_order_relaxed);
}

/* Bytes of journal a second that writes may take under that pressure. */
static double write_rate(struct ldb_db *db, double pressed) LDB_REQUIRES(db->mu)
{
    uint64_t drained = ldb_compaction_rate_drained(&db->rate);
    uint64_t flushed =
        atomic_load_explicit(&db->counters.flush_bytes, memory_order_relaxed);
    double shrinking =
        flushed == 0 ? 1 : (double)db->throttled_bytes / (double)flushed;

    if (drained == 0)
        drained = DRAIN_DEFAULT_BYTES;
    if (shrinking < 1)
        shrinking = 1;
    if (shrinking > SHRINKING_MAX)
        shrinking = SHRINKING_MAX;
    return (double)drained * shrinking * (2 - 1.75 * pressed);
}

/*
 * How long the next group has to wait for those before it. Asking again costs
 * nothing: bytes count once.
 */
static uint64_t delay_us(struct ldb_db *db, enum ldb_stall *out_cause)
    LDB_REQUIRES(db->mu)
{
    uint64_t written = atomic_load_explicit(&db->counters.journal_written_bytes,
                                            memory_order_relaxed);
    /* What was written before there was any pressure is not made up for. */
    double bytes =
        db->write_free_us == 0 ? 0 : (double)(written - db->throttled_bytes);
    double pressed =
        db->compaction_halted
            ? 0
            : pressure(&db->options, ldb_version_set_current(db->versions),
                       out_cause);
    uint64_t now;

    db->throttled_bytes = written;
    if (pressed <= 0) {
        db->write_free_us = 0;
        return 0;
    }
    now = db->env->ops->monotonic_us(db->env);
    if (db->write_free_us < now)
        db->write_free_us = now;
    db->write_free_us += (uint64_t)(bytes / write_rate(db, pressed) * 1e6);
    if (db->write_free_us > now + DELAY_MAX_US)
        db->write_free_us = now + DELAY_MAX_US;
    return db->write_free_us < now + DELAY_MIN_US ? 0 : db->write_free_us - now;
}

void ldb_throttle_compaction(struct ldb_db *db, uint64_t bytes,
                             const atomic_bool *is_cancelled)
{
    uint64_t now;
    uint64_t until;

    ldb_mutex_lock(&db->mu);
    now = db->env->ops->monotonic_us(db->env);
    if (db->compaction_free_us < now)
        db->compaction_free_us = now;
    db->compaction_free_us +=
        (uint64_t)((double)bytes / (double)db->options.compaction_rate_bytes *
                   1e6);
    until = db->compaction_free_us;
    while (now < until && !db->is_paused &&
           (is_cancelled == NULL ||
            !atomic_load_explicit(is_cancelled, memory_order_relaxed)) &&
           !atomic_load_explicit(&db->closing, memory_order_relaxed)) {
        (void)ldb_cond_wait_for(&db->work, &db->mu, until - now);
        now = db->env->ops->monotonic_us(db->env);
    }
    ldb_mutex_unlock(&db->mu);
}

/* ---- making room ---- */

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

/* No memtable can be sealed now: waits for what will change that. */
static enum ldb_status wait_for_room(struct ldb_db *db, struct ldb_error *err)
    LDB_REQUIRES(db->mu)
{
    bool is_flush = db->immutable_count >= db->options.immutable_memtables_max;
    enum ldb_status s = refuse_waiting(
        db, is_flush ? LDB_WORK_FLUSH : LDB_WORK_COMPACTION, err);

    if (s == LDB_OK)
        wait_for_work(
            db, 0, is_flush ? LDB_STALL_MEMTABLES_STOP : LDB_STALL_LEVEL0_STOP);
    return s;
}

static bool must_seal(const struct ldb_db *db)
{
    bool is_full =
        ldb_memtable_memory_bytes(db->mem) >= db->options.write_buffer_bytes;

    return ldb_memtable_entry_count(db->mem) > 0 &&
           (is_full || db->journal_must_seal);
}

bool ldb_throttle_has_room(const struct ldb_db *db)
{
    return ldb_db_health(db) == LDB_HEALTHY && !db->journal_must_seal &&
           !atomic_load_explicit(&db->is_pressed, memory_order_relaxed) &&
           ldb_memtable_memory_bytes(db->mem) < db->options.write_buffer_bytes;
}

enum ldb_status ldb_throttle_make_room(struct ldb_db *db, bool may_wait,
                                       struct ldb_error *err)
{
    bool may_slow = true;

    for (;;) {
        size_t l0 = ldb_version_set_current(db->versions)->levels[0].count;
        enum ldb_status s = refuse(db, err);
        enum ldb_stall cause = LDB_STALL_LEVEL0_SLOWDOWN;
        uint64_t delay;

        if (s != LDB_OK)
            return s;
        delay = may_slow ? delay_us(db, &cause) : 0;
        if (!may_wait && (delay > 0 || must_seal(db)))
            return LDB_STALLED; /* sealing waits for a sync at least */
        if (delay > 0) {
            may_slow = false;
            wait_for_work(db, delay, cause);
            continue;
        }
        if (!must_seal(db))
            return LDB_OK;
        if (db->immutable_count < db->options.immutable_memtables_max &&
            l0 < db->options.l0_stop_trigger)
            return seal_now(db, err);
        s = wait_for_room(db, err);
        if (s != LDB_OK)
            return s;
    }
}
