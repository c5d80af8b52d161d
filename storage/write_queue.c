/*
 * The write queue (contracts: ldb.h "writing", db_internal.h).
 *
 * Writes wait in one list. Whoever leads takes a group off its head, commits
 * it, completes its members and takes the next; while one group syncs, the
 * next one forms. There is one leader at a time: a thread blocked in
 * ldb_write_wait(), a caller of ldb_write_drive() as long as nothing has to be
 * waited for, or the committer thread.
 *
 * A lone writer never changes thread and takes no lock: it finds db->lead 0,
 * makes it LEAD_TAKEN, commits, and makes it 0 again. Whoever else comes sets
 * LEAD_CONTENDED, under queue_mu. From then on nobody takes the lead past the
 * queue, the lone writer's way back fails, and it ends its lead as all others
 * do: under queue_mu, waking who waits.
 */
#include <stdatomic.h>
#include <string.h>

#include "storage/base/status.h"
#include "storage/db_internal.h"

/* A group's bytes: small writers are not held up by a big follower. */
#define GROUP_BYTES_MAX ((size_t)1 << 20) /* both libraries' figure */
#define GROUP_SMALL_BYTES                                                      \
    ((size_t)128 << 10) /* likewise: a small first write                       \
                           takes this much more along */

/* ldb_db.lead. Every change is an acquire where it takes the lead and a
 * release where it ends it. */
enum {
    LEAD_TAKEN = 1,
    LEAD_CONTENDED = 2, /* the lead changes hands under queue_mu alone */
};

/*
 * Looks at the lead before a writer sleeps. Chosen: about the time of a few
 * small commits, below that of waking a thread.
 */
#define LEAD_SPINS 200

enum write_state {
    WRITE_QUEUED = 1,
    WRITE_DONE = 2, /* of ldb_write_wait(), under queue_mu */
};

/* Is somebody leading? Nobody comes to lead or ends it until queue_mu is free.
 */
static bool is_led_locked(struct ldb_db *db) LDB_REQUIRES(db->queue_mu)
{
    return (atomic_fetch_or_explicit(&db->lead, LEAD_CONTENDED,
                                     memory_order_acquire) &
            LEAD_TAKEN) != 0;
}

static void lead_locked(struct ldb_db *db) LDB_REQUIRES(db->queue_mu)
{
    assert(atomic_load_explicit(&db->lead, memory_order_relaxed) ==
           LEAD_CONTENDED);
    atomic_store_explicit(&db->lead, LEAD_CONTENDED | LEAD_TAKEN,
                          memory_order_relaxed);
}

static size_t write_bytes(const struct ldb_write *write)
{
    return LDB_BATCH_HEADER_SIZE + write->batch->rep.len;
}

static enum ldb_status check_write(struct ldb_db *db,
                                   const struct ldb_write *write,
                                   struct ldb_error *err)
{
    if (LDB_UNLIKELY(!ldb_db_is_writable(db)))
        return ldb_db_refuse_write(db, err);
    if (write->batch->rep.len > db->options.batch_bytes_max)
        return ldb_error_set(
            err, LDB_TOO_LARGE, "a batch of %zu bytes; the limit is %zu",
            write->batch->rep.len, db->options.batch_bytes_max);
    return LDB_OK;
}

static enum ldb_status enqueue(struct ldb_db *db, struct ldb_write *write,
                               struct ldb_error *err) LDB_REQUIRES(db->queue_mu)
{
    size_t bytes = write_bytes(write);

    if (db->queue_closed)
        return ldb_error_set(err, LDB_CLOSED, "the database is closing");
    /* One write of any size may wait, or a big one could never go. */
    if (db->queue_head != NULL &&
        bytes > db->options.write_queue_bytes_max - db->queue_bytes)
        return ldb_error_set(err, LDB_STALLED,
                             "%zu writes of %zu bytes are waiting",
                             db->queue_writes, db->queue_bytes);
    (void)atomic_fetch_or_explicit(&db->lead, LEAD_CONTENDED,
                                   memory_order_relaxed);
    write->state = WRITE_QUEUED;
    write->next = NULL;
    if (db->queue_tail == NULL)
        db->queue_head = write;
    else
        db->queue_tail->next = write;
    db->queue_tail = write;
    db->queue_writes++;
    db->queue_bytes += bytes;
    db->queue_syncs += write->sync;
    return LDB_OK;
}

enum ldb_status ldb_write_submit(struct ldb_db *db, struct ldb_write *write,
                                 struct ldb_error *err)
{
    enum ldb_status s = check_write(db, write, err);

    assert(write->done != NULL);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&db->queue_mu);
    s = enqueue(db, write, err);
    ldb_mutex_unlock(&db->queue_mu);
    return s;
}

/* May this write be committed by a thread that must not be held up? */
static bool is_quick(const struct ldb_write *write)
{
    return !write->sync && write->range_count == 0;
}

/* A write with ranges goes alone: they are resolved against the memtable. */
static bool goes_alone(const struct ldb_db *db, const struct ldb_write *write)
{
    return write->range_count > 0 || write->alone || db->options.no_write_merge;
}

/*
 * Takes the group at the head. quick_only stops before a write that is not.
 */
static void take_group(struct ldb_db *db, bool quick_only,
                       struct ldb_commit_group *out) LDB_REQUIRES(db->queue_mu)
{
    struct ldb_write *last = NULL;
    size_t bytes = 0;
    size_t bytes_max = 0;

    *out = (struct ldb_commit_group){.first = db->queue_head};
    for (struct ldb_write *w = db->queue_head; w != NULL; w = w->next) {
        if (quick_only && !is_quick(w))
            break;
        if (last != NULL && (goes_alone(db, w) || goes_alone(db, last) ||
                             write_bytes(w) > bytes_max - bytes))
            break;
        if (last == NULL)
            bytes_max = write_bytes(w) <= GROUP_SMALL_BYTES
                            ? write_bytes(w) + GROUP_SMALL_BYTES
                            : GROUP_BYTES_MAX + write_bytes(w);
        bytes += write_bytes(w);
        out->count++;
        out->sync |= w->sync;
        db->queue_syncs -= w->sync;
        last = w;
    }
    if (last == NULL) {
        out->first = NULL;
        return;
    }
    db->queue_head = last->next;
    if (db->queue_head == NULL)
        db->queue_tail = NULL;
    last->next = NULL;
    db->queue_writes -= out->count;
    db->queue_bytes -= bytes;
}

/*
 * Tells every member its result. A member may be gone once it was told, so
 * its successor is read before.
 */
static void complete_group(struct ldb_db *db,
                           const struct ldb_commit_group *group)
{
    struct ldb_write *waited = NULL;
    struct ldb_write *next;

    for (struct ldb_write *w = group->first; w != NULL; w = next) {
        next = w->next;
        if (w->done != NULL) {
            w->done(w);
        } else {
            w->next = waited;
            waited = w;
        }
    }
    if (waited == NULL)
        return;
    ldb_mutex_lock(&db->queue_mu);
    for (struct ldb_write *w = waited; w != NULL; w = next) {
        next = w->next;
        w->state = WRITE_DONE;
    }
    if (db->queue_waiters > 0)
        ldb_cond_broadcast(&db->leader_done);
    ldb_mutex_unlock(&db->queue_mu);
}

static void fail_group(struct ldb_commit_group *group,
                       const struct ldb_error *why)
{
    for (struct ldb_write *w = group->first; w != NULL; w = w->next) {
        w->status = why->status;
        w->error = *why;
    }
}

static enum ldb_status make_room(struct ldb_db *db, bool may_wait,
                                 struct ldb_error *err)
{
    enum ldb_status s;

    if (LDB_LIKELY(ldb_throttle_has_room(db)))
        return LDB_OK;
    ldb_mutex_lock(&db->mu);
    s = ldb_throttle_make_room(db, may_wait, err);
    ldb_mutex_unlock(&db->mu);
    return s;
}

/*
 * One group, if there is one; false when there is none, or none that a thread
 * that must not wait could do.
 */
static bool lead_one(struct ldb_db *db, bool may_wait)
{
    struct ldb_commit_group group;
    struct ldb_error why;
    enum ldb_status s;

    ldb_error_init(&why);
    s = make_room(db, may_wait, &why);
    if (s == LDB_STALLED && !may_wait)
        return false;
    ldb_mutex_lock(&db->queue_mu);
    take_group(db, !may_wait, &group);
    ldb_mutex_unlock(&db->queue_mu);
    if (group.first == NULL)
        return false;
    if (s == LDB_OK)
        ldb_commit_group_run(db, &group);
    else
        fail_group(&group, &why);
    complete_group(db, &group);
    if (group.sync)
        ldb_durable_tell(db);
    return true;
}

/* Gives up the lead; wakes who is to take it. */
static void end_locked(struct ldb_db *db) LDB_REQUIRES(db->queue_mu)
{
    bool is_contended =
        db->queue_head != NULL || db->queue_waiters > 0 || db->queue_closed;

    assert((atomic_load_explicit(&db->lead, memory_order_relaxed) &
            LEAD_TAKEN) != 0);
    atomic_store_explicit(&db->lead, is_contended ? LEAD_CONTENDED : 0,
                          memory_order_release);
    if (db->queue_waiters > 0)
        ldb_cond_broadcast(&db->leader_done);
    if (db->drive_wanted && db->queue_head != NULL)
        ldb_cond_signal(&db->committer_wakes);
}

void ldb_lead_begin(struct ldb_db *db)
{
    ldb_mutex_lock(&db->queue_mu);
    db->queue_waiters++;
    while (is_led_locked(db))
        ldb_cond_wait(&db->leader_done, &db->queue_mu);
    db->queue_waiters--;
    lead_locked(db);
    ldb_mutex_unlock(&db->queue_mu);
}

void ldb_lead_end(struct ldb_db *db)
{
    ldb_mutex_lock(&db->queue_mu);
    end_locked(db);
    ldb_mutex_unlock(&db->queue_mu);
}

void ldb_write_drive(struct ldb_db *db)
{
    bool is_mine;

    ldb_mutex_lock(&db->queue_mu);
    is_mine = db->queue_head != NULL && is_quick(db->queue_head) &&
              !is_led_locked(db);
    if (is_mine)
        lead_locked(db);
    ldb_mutex_unlock(&db->queue_mu);
    if (is_mine)
        while (lead_one(db, false))
            continue;
    ldb_mutex_lock(&db->queue_mu);
    if (db->queue_head != NULL)
        db->drive_wanted = true;
    if (is_mine)
        end_locked(db);
    else if (db->drive_wanted && !is_led_locked(db))
        ldb_cond_signal(&db->committer_wakes);
    ldb_mutex_unlock(&db->queue_mu);
}

/* Commits the write when nobody else is about; false: it goes by the queue. */
static bool lead_alone(struct ldb_db *db, struct ldb_write *write)
{
    struct ldb_commit_group group = {
        .first = write, .count = 1, .sync = write->sync};
    uint32_t lead = 0;
    enum ldb_status s;

    if (!atomic_compare_exchange_strong_explicit(&db->lead, &lead, LEAD_TAKEN,
                                                 memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    write->next = NULL;
    s = make_room(db, true, &write->error);
    if (s == LDB_OK)
        ldb_commit_group_run(db, &group);
    else
        write->status = s;
    lead = LEAD_TAKEN;
    if (!atomic_compare_exchange_strong_explicit(
            &db->lead, &lead, 0, memory_order_release, memory_order_relaxed))
        ldb_lead_end(db);
    if (group.sync)
        ldb_durable_tell(db);
    return true;
}

/* A small commit is over before a thread could be put to sleep and woken. */
static void spin_for_lead(struct ldb_db *db)
{
    for (unsigned i = 0; i < LEAD_SPINS; i++) {
        if ((atomic_load_explicit(&db->lead, memory_order_relaxed) &
             LEAD_TAKEN) == 0)
            return;
        LDB_SPIN_PAUSE();
    }
}

enum ldb_status ldb_write_wait(struct ldb_db *db, struct ldb_write *write)
{
    enum ldb_status s = check_write(db, write, &write->error);
    bool may_spin = !write->sync;

    assert(write->done == NULL);
    if (s != LDB_OK)
        return write->status = s;
    if (lead_alone(db, write))
        return write->status;
    ldb_mutex_lock(&db->queue_mu);
    s = enqueue(db, write, &write->error);
    if (s != LDB_OK)
        write->status = s;
    while (s == LDB_OK && write->state != WRITE_DONE) {
        if (is_led_locked(db)) {
            if (may_spin) {
                may_spin = false;
                ldb_mutex_unlock(&db->queue_mu);
                spin_for_lead(db);
                ldb_mutex_lock(&db->queue_mu);
                continue;
            }
            db->queue_waiters++;
            ldb_cond_wait(&db->leader_done, &db->queue_mu);
            db->queue_waiters--;
            continue;
        }
        lead_locked(db);
        ldb_mutex_unlock(&db->queue_mu);
        (void)lead_one(db, true);
        ldb_mutex_lock(&db->queue_mu);
        end_locked(db);
    }
    ldb_mutex_unlock(&db->queue_mu);
    return write->status;
}

void ldb_commit_thread(void *context)
{
    struct ldb_db *db = context;

    ldb_mutex_lock(&db->queue_mu);
    for (;;) {
        while (!(db->drive_wanted && db->queue_head != NULL &&
                 !is_led_locked(db)) &&
               !(db->queue_closed && db->queue_head == NULL))
            ldb_cond_wait(&db->committer_wakes, &db->queue_mu);
        if (db->queue_head == NULL)
            break;
        lead_locked(db);
        ldb_mutex_unlock(&db->queue_mu);
        while (lead_one(db, true))
            continue;
        ldb_mutex_lock(&db->queue_mu);
        if (db->queue_head == NULL)
            db->drive_wanted = false;
        end_locked(db);
    }
    ldb_mutex_unlock(&db->queue_mu);
}

void ldb_write_queue_close(struct ldb_db *db)
{
    ldb_mutex_lock(&db->queue_mu);
    (void)is_led_locked(db); /* nobody passes the queue from now on */
    db->queue_closed = true;
    db->drive_wanted = true;
    ldb_cond_broadcast(&db->committer_wakes);
    ldb_mutex_unlock(&db->queue_mu);
}

/* An item of a batch: kind, two lengths of at most 5 bytes. */
#define OP_OVERHEAD_MAX 11

/* Chosen: most single writes; a page of the caller's stack. */
#define SMALL_BATCH_BYTES 4096

/* A batch of one operation, in its struct where it is small. */
struct single {
    struct ldb_batch batch;
    bool is_small;
    uint8_t bytes[SMALL_BATCH_BYTES];
};

static void single_init(struct ldb_db *db, size_t key_len, size_t value_len,
                        struct single *out)
{
    size_t limit = db->options.batch_bytes_max;
    size_t size = limit < sizeof(out->bytes) ? limit : sizeof(out->bytes);
    size_t fixed = LDB_BATCH_HEADER_SIZE + OP_OVERHEAD_MAX;

    out->is_small = size >= fixed && key_len <= size - fixed &&
                    value_len <= size - fixed - key_len;
    if (out->is_small)
        ldb_batch_init_over(&out->batch, out->bytes, size);
    else
        ldb_batch_init(&out->batch, limit);
}

static void single_release(struct single *single)
{
    if (!single->is_small)
        ldb_batch_release(&single->batch);
}

static enum ldb_status write_one(struct ldb_db *db, struct ldb_batch *batch,
                                 bool sync, struct ldb_error *err,
                                 ldb_sequence *out_sequence)
{
    struct ldb_write write;
    enum ldb_status s;

    /* All that a caller sets; the error's text needs no zeroing. */
    memset(&write, 0, offsetof(struct ldb_write, error));
    write.batch = batch;
    write.sync = sync;
    ldb_error_init(&write.error);
    s = ldb_write_wait(db, &write);
    if (s != LDB_OK && err != NULL)
        *err = write.error;
    if (s == LDB_OK && out_sequence != NULL)
        *out_sequence = write.sequence;
    return s;
}

enum ldb_status ldb_put(struct ldb_db *db, struct ldb_slice key,
                        struct ldb_slice value, bool sync,
                        struct ldb_error *err, ldb_sequence *out_sequence)
{
    struct single single;
    enum ldb_status s;

    single_init(db, key.len, value.len, &single);
    s = ldb_batch_put(&single.batch, key, value);
    if (s == LDB_OK)
        s = write_one(db, &single.batch, sync, err, out_sequence);
    else
        ldb_error_set(err, s, "a key of %zu and a value of %zu bytes", key.len,
                      value.len);
    single_release(&single);
    return s;
}

enum ldb_status ldb_delete(struct ldb_db *db, struct ldb_slice key, bool sync,
                           struct ldb_error *err, ldb_sequence *out_sequence)
{
    struct single single;
    enum ldb_status s;

    single_init(db, key.len, 0, &single);
    s = ldb_batch_delete(&single.batch, key);
    if (s == LDB_OK)
        s = write_one(db, &single.batch, sync, err, out_sequence);
    else
        ldb_error_set(err, s, "a key of %zu bytes", key.len);
    single_release(&single);
    return s;
}
