/*
 * What was written and how it was answered, so that a test can say after a
 * crash whether a database holds what it must:
 *
 *     struct history *h = history_create(HISTORY_SEED);
 *     struct history_write *w = history_plan(h, is_sync);
 *     if (w != NULL)
 *         (void)history_wait(h, db, w);
 *     ... crash, open again ...
 *     assert_null(history_check(h, db, HISTORY_DURABLE));
 *
 * The content must be that of all writes up to some sequence number, each
 * whole, with every value at the sequence its write was given: no acknowledged
 * write that had to survive is missing, no later write shows without an
 * earlier one, no batch is half there. Each planned put has a value that no
 * other has.
 *
 * Thread-safety: history_plan() and the running of writes from any thread; the
 * rest while no other thread uses it. A write belongs to whoever planned it.
 * Allocates outside ldb_mem, but for the batches; aborts without memory.
 */
#ifndef TESTS_SUPPORT_WRITE_HISTORY_H
#define TESTS_SUPPORT_WRITE_HISTORY_H

#include "storage/include/ldb.h"
#include "storage/journal/write_batch.h"

#define HISTORY_KEYS    200 /* "k000" to "k199" */
#define HISTORY_OPS_MAX 6   /* of one batch */
#define HISTORY_NEVER   UINT64_MAX

struct history;

struct history_op {
    uint32_t key;
    uint32_t value; /* 0: a delete */
};

struct history_write {
    struct ldb_write write; /* context is for the caller */
    struct ldb_batch batch;
    struct history_op ops[HISTORY_OPS_MAX];
    uint32_t op_count;
    /* For history_check_at(): moments on the caller's own scale. */
    uint64_t begun_at;
    uint64_t answered_at;
    uint64_t durable_at;        /* without a sync of its own */
    struct history_write *next; /* of the history */
};

/* What has to be there. */
enum history_must {
    HISTORY_DURABLE, /* acknowledged writes that were synced: power loss */
    HISTORY_ACKED,   /* all acknowledged ones: kill -9, or no crash */
};

/* An empty database is the first state. */
struct history *history_create(uint64_t seed);
void history_destroy(struct history *h);

/*
 * A random write of 1 to HISTORY_OPS_MAX puts and deletes, remembered before
 * anybody can run it. NULL: no memory for its batch; it is forgotten.
 */
struct history_write *history_plan(struct history *h, bool sync);

/* ldb_write_wait() of it. */
enum ldb_status history_wait(struct ldb_db *db, struct history_write *w);

/* A random number below n; any thread. */
uint64_t history_random(struct history *h, uint64_t n);

/*
 * NULL when the database holds what it must; else what is wrong, a text that
 * is good until the next call. All writes have been answered or given up.
 */
const char *history_check(struct history *h, struct ldb_db *db,
                          enum history_must must);

/*
 * The same for a database that stopped at a moment: writes that begin after it
 * are none, and of those answered after it nobody knows. Planned writes stand
 * at 0 until the caller says when they began and were answered.
 */
const char *history_check_at(struct history *h, struct ldb_db *db,
                             enum history_must must, uint64_t moment);

/* A flush or a close made durable what was acknowledged before. */
void history_all_durable(struct history *h, uint64_t moment);

/*
 * ldb_reopen() healed the database without what stands above sequence last,
 * acknowledged or not: from moment on it is gone for good.
 */
void history_lost_above(struct history *h, ldb_sequence last, uint64_t moment);

/* The database's content is the state that all goes on from. */
void history_settle(struct history *h, struct ldb_db *db);

/* Acknowledged writes since the last settle: all, and with a sync. */
size_t history_acked(const struct history *h);
/* Those answered until a moment, whatever the answer. */
size_t history_answered_at(const struct history *h, uint64_t moment);
size_t history_acked_synced(const struct history *h);

#endif
