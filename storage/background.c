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

void ldb_background_backoff(struct ldb_db *db, const char *what,
                            const struct ldb_error *why, unsigned attempt)
{
    unsigned doublings =
        attempt < BACKOFF_DOUBLINGS ? attempt : BACKOFF_DOUBLINGS;

    ldb_log_line(db->log, "%s error (try %u): %s", what, attempt + 1,
                 why->message);
    db->background_status = why->status;
    db->background_error = *why;
    ldb_cond_broadcast(&db->work_done);
    if (!db->is_paused &&
        !atomic_load_explicit(&db->closing, memory_order_relaxed))
        (void)ldb_cond_wait_for(&db->work, &db->mu,
                                BACKOFF_FIRST_US << doublings);
}

void ldb_background_recovered(struct ldb_db *db)
{
    db->background_status = LDB_OK;
    ldb_cond_broadcast(&db->work_done);
    ldb_cond_broadcast(&db->work);
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
        s = ops->thread_start(db->env, "ldb-compact", ldb_compaction_thread, db,
                              err, &db->compact_thread);
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
    ldb_mutex_lock(&db->queue_mu);
    db->queue_closed = true;
    db->drive_wanted = true;
    ldb_cond_broadcast(&db->committer_wakes);
    ldb_mutex_unlock(&db->queue_mu);
    join(db, &db->commit_thread);
    ldb_mutex_lock(&db->mu);
    atomic_store_explicit(&db->closing, true, memory_order_relaxed);
    ldb_cond_broadcast(&db->work);
    ldb_cond_broadcast(&db->work_done);
    ldb_mutex_unlock(&db->mu);
    join(db, &db->flush_thread);
    join(db, &db->compact_thread);
}

void ldb_background_pause(struct ldb_db *db)
{
    ldb_mutex_lock(&db->mu);
    db->is_paused = true;
    ldb_cond_broadcast(&db->work);
    while (db->is_flushing || db->is_compacting)
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
