/*
 * Which compaction runs when (contracts: db_internal.h). Every compaction
 * thread picks under mu, puts what it picked in the list db->running, runs it
 * without mu and takes it out again; a pick that would meet one in the list is
 * not made (ldb_compaction_conflicts()). So who is in the list owns its inputs
 * and the keys between them on its two levels, and two edits never replace the
 * same table.
 *
 * A manual compaction is a row of picks, one at a time, each level once from
 * its first key to its last: what others bring to a level behind it is newer
 * than the request. While its next pick has to wait for one that runs, nothing
 * else begins, or it might wait for ever.
 *
 * After a failure the next try is made alone, so that it and nothing else says
 * whether the reason is gone.
 */
#include <stdatomic.h>

#include "storage/base/status.h"
#include "storage/db_internal.h"

/*
 * Flushes closer together than this are a load under which level 0 may wait for
 * more tables. Chosen: 4 MB/s with the default buffer.
 */
#define FLOW_US        UINT64_C(1000000)
#define LEVEL0_DUE_MAX 2.0 /* whatever the option of the slowdown is */

/*
 * Under writes that never rest, those of a table that so many files are newer
 * than, which is 30 to 60 flushes: what they hide for longer stays bounded. The
 * search sets out anew for the age of tables alone once in so many files.
 */
#define MARKS_OLD_FILES UINT64_C(256)
#define MARKS_AGE_STEP  UINT64_C(64)

/* ---- picking ---- */

/* Microseconds until no flush has come for us; 0: none has. */
static uint64_t rests_in_us(struct ldb_db *db, uint64_t us) LDB_REQUIRES(db->mu)
{
    uint64_t now = db->env->ops->monotonic_us(db->env);
    uint64_t rests_at = db->last_flush_us + us;

    if (db->last_flush_us == 0 || now >= rests_at)
        return 0;
    return rests_at - now;
}

/*
 * All of level 1 is rewritten for what level 0 holds. So while flushes follow
 * one another, level 0 waits until it is half way from its trigger to the
 * slowdown, unless level 1 is not much to rewrite. Decision 17.
 */
static double level0_due(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    struct ldb_version *version = ldb_version_set_current(db->versions);
    double trigger = db->options.l0_compaction_trigger;
    double half_way = (trigger + db->options.l0_slowdown_trigger) / 2 / trigger;

    if (rests_in_us(db, FLOW_US) == 0 || half_way <= 1 ||
        version->levels[1].bytes / 2 < version->levels[0].bytes)
        return 1;
    return half_way < LEVEL0_DUE_MAX ? half_way : LEVEL0_DUE_MAX;
}

/* For ldb_mark_search.young_from. */
static uint64_t young_from(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    uint64_t next = ldb_version_set_next_file_number(db->versions);

    if (rests_in_us(db, LDB_MARKS_REST_US) == 0)
        return 0;
    if (next < MARKS_OLD_FILES + MARKS_AGE_STEP)
        return 1;
    return (next - MARKS_OLD_FILES) / MARKS_AGE_STEP * MARKS_AGE_STEP;
}

static enum ldb_status pick_automatic(struct ldb_db *db, struct ldb_error *err,
                                      struct ldb_compaction **out)
    LDB_REQUIRES(db->mu)
{
    struct ldb_version *version = ldb_version_set_current(db->versions);
    struct ldb_slice pointers[LDB_LEVEL_COUNT];
    enum ldb_status s;

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        pointers[level] = ldb_version_set_compact_pointer(db->versions, level);
    s = ldb_compaction_pick(version, &db->limits, pointers, level0_due(db),
                            db->running, err, out);
    if (s == LDB_OK && *out == NULL)
        s = ldb_compaction_pick_marks(version, &db->limits, db->running,
                                      &db->marks, err, out);
    if (s == LDB_OK && *out == NULL)
        s = ldb_compaction_pick_seek(version, &db->limits, db->running, err,
                                     out);
    return s;
}

/* Level 0 goes down even when nothing is below it. */
static bool is_done_with_levels(struct ldb_db *db,
                                const struct ldb_manual_compaction *manual)
    LDB_REQUIRES(db->mu)
{
    struct ldb_version *version = ldb_version_set_current(db->versions);

    if (manual->level == 0)
        return false;
    for (uint32_t level = manual->level + 1; level < LDB_LEVEL_COUNT; level++)
        if (ldb_version_overlaps(version, level, manual->begin, manual->end))
            return false;
    return true;
}

static void go_to_level(struct ldb_manual_compaction *manual, uint32_t level)
{
    manual->level = level;
    manual->has_after = false;
}

/* The next step of a manual one, which may meet others; NULL: it is done. */
static enum ldb_status
pick_manual(struct ldb_db *db, struct ldb_manual_compaction *manual,
            struct ldb_error *err, struct ldb_compaction **out)
    LDB_REQUIRES(db->mu)
{
    struct ldb_version *version = ldb_version_set_current(db->versions);
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && *out == NULL && !is_done_with_levels(db, manual)) {
        struct ldb_slice after = ldb_slice_of_buf(&manual->after);
        const struct ldb_compaction_range range = {
            .begin = manual->has_after ? &after : manual->begin,
            .end = manual->end,
            .after = manual->has_after ? &after : NULL};

        s = ldb_compaction_pick_range(version, &db->limits, manual->level,
                                      &range, err, out);
        if (s == LDB_OK && *out == NULL)
            go_to_level(manual, manual->level + 1);
    }
    return s;
}

/* A step of it is done: where the next one begins. */
static enum ldb_status advance_manual(struct ldb_manual_compaction *manual,
                                      const struct ldb_compaction *c)
{
    if (c->level == 0) {
        go_to_level(manual, 1);
        return LDB_OK;
    }
    manual->has_after = true;
    return ldb_buf_assign(&manual->after, ldb_internal_user_key(c->pointer));
}

/* The oldest one ends. */
static void end_manual(struct ldb_db *db, enum ldb_status status,
                       const struct ldb_error *why) LDB_REQUIRES(db->mu)
{
    struct ldb_manual_compaction *manual = db->manual;

    assert(!manual->is_running);
    db->manual = manual->next;
    ldb_buf_release(&manual->after);
    manual->status = status;
    if (why != NULL)
        manual->error = *why;
    manual->done = true;
    ldb_cond_broadcast(&db->work_done);
}

/* All end but one that runs: its thread ends it. */
static void end_waiting_manuals(struct ldb_db *db, const struct ldb_error *why)
    LDB_REQUIRES(db->mu)
{
    struct ldb_manual_compaction *running = NULL;

    if (db->manual != NULL && db->manual->is_running) {
        running = db->manual;
        db->manual = running->next;
    }
    while (db->manual != NULL)
        end_manual(db, why->status, why);
    if (running != NULL) {
        running->next = NULL;
        db->manual = running;
    }
}

/*
 * What can begin now; NULL: nothing. A manual one that is done is ended on the
 * way; one that fails too, and its error is returned.
 */
static enum ldb_status take_work(struct ldb_db *db, struct ldb_error *err,
                                 struct ldb_compaction **out)
    LDB_REQUIRES(db->mu)
{
    db->marks.unknown = NULL;
    db->marks.has_more = false;
    db->marks.young_from = young_from(db);
    while (db->manual != NULL && !db->manual->is_running) {
        enum ldb_status s;

        if (atomic_load_explicit(&db->manual->is_cancelled,
                                 memory_order_relaxed)) {
            end_manual(db, LDB_CANCELLED, NULL);
            continue;
        }
        s = pick_manual(db, db->manual, err, out);
        if (s != LDB_OK) {
            end_manual(db, s, err);
            return s;
        }
        if (*out == NULL) {
            end_manual(db, LDB_OK, NULL);
            continue;
        }
        if (ldb_compaction_conflicts(*out, db->running)) {
            ldb_compaction_destroy(*out);
            *out = NULL;
        }
        return LDB_OK;
    }
    return pick_automatic(db, err, out);
}

/* ---- failures ---- */

/* Damage is not retried: goleveldb's StrictCompaction. */
static void note_failure(struct ldb_db *db, uint64_t order,
                         const struct ldb_error *why) LDB_REQUIRES(db->mu)
{
    bool is_known = db->failures[LDB_WORK_COMPACTION].attempts > 0 &&
                    order <= db->failed_order;

    if (why->status == LDB_CLOSED || why->status == LDB_CANCELLED)
        return;
    db->failed_order = db->last_order;
    if (why->status != LDB_CORRUPTION) {
        if (is_known) /* it ran already when the first one failed */
            return;
        ldb_background_failed(db, LDB_WORK_COMPACTION, why);
        return;
    }
    ldb_log_line(db->log, "table@compaction halted: %s", why->message);
    db->compaction_halted = true;
    db->failures[LDB_WORK_COMPACTION].error = *why;
    end_waiting_manuals(db, why);
    ldb_cond_broadcast(&db->work_done);
}

/* One that began before the failure says nothing about it. */
static void note_success(struct ldb_db *db, uint64_t order) LDB_REQUIRES(db->mu)
{
    if (order > db->failed_order)
        ldb_background_recovered(db, LDB_WORK_COMPACTION);
}

/* ---- the threads ---- */

static void enter(struct ldb_db *db, struct ldb_compaction *c)
    LDB_REQUIRES(db->mu)
{
    c->order = ++db->last_order;
    c->next = db->running;
    db->running = c;
    db->compacting_count++;
    ldb_compaction_rate_begin(&db->rate, db->env->ops->monotonic_us(db->env));
    if (c->is_manual) {
        db->manual->is_running = true;
        c->is_cancelled = &db->manual->is_cancelled;
    }
}

static uint64_t input_bytes(const struct ldb_compaction *c, unsigned which)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < c->input_count[which]; i++)
        bytes += c->inputs[which][i]->size;
    return bytes;
}

static void leave(struct ldb_db *db, struct ldb_compaction *c, bool is_done)
    LDB_REQUIRES(db->mu)
{
    struct ldb_compaction **link = &db->running;
    uint64_t bytes[2] = {input_bytes(c, 0), input_bytes(c, 1)};

    if (!is_done || c->is_trivial_move)
        bytes[0] = bytes[1] = 0;
    ldb_compaction_rate_end(&db->rate, db->env->ops->monotonic_us(db->env),
                            bytes[0] + bytes[1], c->level == 0 ? bytes[0] : 0);

    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
}

/* The manual compaction whose step c was goes on, or ends. */
static void end_manual_step(struct ldb_db *db, const struct ldb_compaction *c,
                            enum ldb_status s, struct ldb_error *err)
    LDB_REQUIRES(db->mu)
{
    db->manual->is_running = false;
    if (s == LDB_OK)
        db->manual->merged_bytes += input_bytes(c, 0) + input_bytes(c, 1);
    if (s == LDB_OK && db->compaction_halted) {
        *err = db->failures[LDB_WORK_COMPACTION].error;
        end_manual(db, err->status, err);
    } else if (s == LDB_OK && advance_manual(db->manual, c) != LDB_OK) {
        end_manual(db, ldb_error_no_memory(err), err);
    } else if (s != LDB_OK) {
        end_manual(db, s, err);
    }
}

static void run_one(struct ldb_db *db, struct ldb_compaction *c)
    LDB_REQUIRES(db->mu)
{
    struct ldb_error err = {0};
    enum ldb_status s;

    enter(db, c);
    ldb_mutex_unlock(&db->mu);
    s = ldb_compaction_run(db, c, &err);
    ldb_mutex_lock(&db->mu);
    leave(db, c, s == LDB_OK);
    if (c->is_manual)
        end_manual_step(db, c, s, &err);
    if (s == LDB_OK)
        note_success(db, c->order);
    else
        note_failure(db, c->order, &err);
    /* What it held back can begin while its inputs are removed. */
    ldb_cond_broadcast(&db->work);
    ldb_mutex_unlock(&db->mu);
    ldb_compaction_destroy(c);
    ldb_obsolete_files_remove(db);
    ldb_mutex_lock(&db->mu);
    db->compacting_count--;
    ldb_cond_broadcast(&db->work);
    ldb_cond_broadcast(&db->work_done);
}

/* A manual one does not wait for the end of a pause between tries. */
static bool may_begin(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    if (db->is_paused || db->compaction_halted)
        return false;
    return db->failures[LDB_WORK_COMPACTION].attempts == 0 ||
           (db->compacting_count == 0 &&
            (db->manual != NULL ||
             ldb_background_may_try(db, LDB_WORK_COMPACTION)));
}

/* Nothing can begin now, unless it is what waits for writes to rest. */
static void rest(struct ldb_db *db, bool has_looked) LDB_REQUIRES(db->mu)
{
    uint64_t us;

    /* The time to try again has come, and what failed is no longer asked for.
     */
    if (db->failures[LDB_WORK_COMPACTION].attempts > 0 && may_begin(db))
        ldb_background_recovered(db, LDB_WORK_COMPACTION);
    if (!has_looked || db->marks.young_from == 0) {
        ldb_background_wait(db, LDB_WORK_COMPACTION);
        return;
    }
    us = rests_in_us(db, FLOW_US);
    if (us == 0)
        us = rests_in_us(db, LDB_MARKS_REST_US);
    if (us > 0)
        (void)ldb_cond_wait_for(&db->work, &db->mu, us);
}

/* After take_work() found nothing: does what that lacked to look further;
 * false: it lacked nothing, or another thread sees to it. */
static bool go_on_searching(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    if (db->marks.unknown != NULL && !db->is_learning) {
        ldb_compaction_learn(db, db->marks.unknown);
        return true;
    }
    if (!db->marks.has_more)
        return false;
    /* Picking takes its time: others may want mu. */
    ldb_mutex_unlock(&db->mu);
    ldb_mutex_lock(&db->mu);
    return true;
}

void ldb_compaction_thread(void *context)
{
    struct ldb_db *db = context;
    const struct ldb_error closed = {.status = LDB_CLOSED,
                                     .message = "the database is closing"};

    ldb_mutex_lock(&db->mu);
    while (!atomic_load_explicit(&db->closing, memory_order_relaxed)) {
        struct ldb_compaction *c = NULL;
        struct ldb_error err = {0};
        bool begins = may_begin(db);
        enum ldb_status s = LDB_OK;

        if (begins)
            s = take_work(db, &err, &c);
        if (c != NULL)
            run_one(db, c);
        else if (s != LDB_OK)
            note_failure(db, db->last_order + 1, &err);
        else if (!begins || !go_on_searching(db))
            rest(db, begins);
    }
    end_waiting_manuals(db, &closed);
    ldb_mutex_unlock(&db->mu);
}
