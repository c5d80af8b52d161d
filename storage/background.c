/* The background threads' life and failures (contracts: db_internal.h). */
#include "storage/base/status.h"
#include "storage/db_internal.h"

/* Waits between tries of failing work: goleveldb's 1, 2, 4, 8 seconds. */
#define BACKOFF_FIRST_US  UINT64_C(1000000)
#define BACKOFF_DOUBLINGS 3

void ldb_health_set(struct ldb_db *db, enum ldb_health health,
                    const struct ldb_error *why)
{
    enum ldb_health now = ldb_db_health(db);

    if (now == LDB_HEALTH_SYNC_FAILED || now == LDB_HEALTH_WRITE_FAILED)
        return; /* the first reason stays until ldb_reopen() */
    if (now != health)
        ldb_log_line(db->log, "journal@error %s", why->message);
    db->health_error = *why;
    atomic_store_explicit(&db->health, health, memory_order_relaxed);
    ldb_cond_broadcast(&db->work_done);
}

void ldb_background_failed(struct ldb_db *db, enum ldb_work work,
                           const struct ldb_error *why)
{
    static const char *const names[LDB_WORK_COUNT] = {
        [LDB_WORK_FLUSH] = "memdb@flush",
        [LDB_WORK_COMPACTION] = "table@compaction",
    };
    struct ldb_background_failure *f = &db->failures[work];
    unsigned doublings =
        f->attempts < BACKOFF_DOUBLINGS ? f->attempts : BACKOFF_DOUBLINGS;

    f->attempts++;
    f->retry_at_us = db->env->ops->monotonic_us(db->env);
    if (!db->options.no_compaction_backoff)
        f->retry_at_us += BACKOFF_FIRST_US << doublings;
    f->error = *why;
    ldb_log_line(db->log, "%s error (try %u): %s", names[work], f->attempts,
                 why->message);
    ldb_cond_broadcast(&db->work_done);
}

void ldb_background_recovered(struct ldb_db *db, enum ldb_work work)
{
    db->failures[work].attempts = 0;
    ldb_cond_broadcast(&db->work_done);
    ldb_cond_broadcast(&db->work);
}

bool ldb_background_may_try(struct ldb_db *db, enum ldb_work work)
{
    const struct ldb_background_failure *f = &db->failures[work];

    return f->attempts == 0 ||
           db->env->ops->monotonic_us(db->env) >= f->retry_at_us;
}

void ldb_background_try_now(struct ldb_db *db, enum ldb_work work)
{
    db->failures[work].retry_at_us = 0;
    ldb_cond_broadcast(&db->work);
}

void ldb_background_wait(struct ldb_db *db, enum ldb_work work)
{
    const struct ldb_background_failure *f = &db->failures[work];
    uint64_t now = db->env->ops->monotonic_us(db->env);

    if (f->attempts > 0 && f->retry_at_us > now)
        (void)ldb_cond_wait_for(&db->work, &db->mu, f->retry_at_us - now);
    else
        ldb_cond_wait(&db->work, &db->mu);
}

enum ldb_status ldb_background_start(struct ldb_db *db, struct ldb_error *err)
{
    const struct ldb_env_ops *ops = db->env->ops;
    enum ldb_status s;

    s = ops->thread_start(db->env, "ldb-commit", ldb_commit_thread, db, err,
                          &db->commit_thread);
    if (s == LDB_OK)
        s = ops->thread_start(db->env, "ldb-flush", ldb_flush_thread, db, err,
                              &db->flush_thread);
    if (s == LDB_OK)
        s = ops->thread_start(db->env, "ldb-sync", ldb_journal_sync_thread, db,
                              err, &db->sync_thread);
    for (unsigned i = 0; s == LDB_OK && i < db->options.compaction_threads; i++)
        s = ops->thread_start(db->env, "ldb-compact", ldb_compaction_thread, db,
                              err, &db->compact_threads[i]);
    if (s != LDB_OK)
        ldb_background_stop(db);
    return s;
}

static void join(struct ldb_db *db, struct ldb_thread **thread)
{
    if (*thread != NULL)
        db->env->ops->thread_join(db->env, *thread);
    *thread = NULL;
}

void ldb_background_stop(struct ldb_db *db)
{
    /* The committer empties the queue first: what was accepted is written. */
    ldb_write_queue_close(db);
    join(db, &db->commit_thread);
    ldb_mutex_lock(&db->mu);
    atomic_store_explicit(&db->closing, true, memory_order_relaxed);
    ldb_cond_broadcast(&db->work);
    ldb_cond_broadcast(&db->work_done);
    ldb_cond_signal(&db->early_sync_wakes);
    ldb_mutex_unlock(&db->mu);
    join(db, &db->sync_thread);
    join(db, &db->flush_thread);
    for (unsigned i = 0; i < LDB_COMPACTION_THREADS_MAX; i++)
        join(db, &db->compact_threads[i]);
}

void ldb_background_pause(struct ldb_db *db)
{
    ldb_mutex_lock(&db->mu);
    db->is_paused = true;
    ldb_cond_broadcast(&db->work);
    while (db->is_flushing || db->compacting_count > 0)
        ldb_cond_wait(&db->work_done, &db->mu);
    ldb_mutex_unlock(&db->mu);
}

void ldb_background_resume(struct ldb_db *db)
{
    ldb_mutex_lock(&db->mu);
    db->is_paused = false;
    ldb_cond_broadcast(&db->work);
    ldb_mutex_unlock(&db->mu);
}
