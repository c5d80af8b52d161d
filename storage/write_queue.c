/*
 * The write queue (contracts: ldb.h "writing", db_internal.h).
 *
 * Writes wait in one list. Whoever leads takes a group off its head, commits
 * it, completes its members and takes the next; while one group syncs, the
 * next one forms. There is one leader at a time: a thread blocked in
 * ldb_write_wait(), a caller of ldb_write_drive() as long as nothing has to be
 * waited for, or the committer thread. A lone writer never changes thread.
 */
#include <stdatomic.h>

#include "storage/base/status.h"
#include "storage/db_internal.h"

/* A group's bytes: small writers are not held up by a big follower. */
#define GROUP_BYTES_MAX ((size_t)1 << 20) /* both libraries' figure */
#define GROUP_SMALL_BYTES                                                      \
    ((size_t)128 << 10) /* likewise: a small first write                       \
                           takes this much more along */

enum write_state {
    WRITE_QUEUED = 1,
    WRITE_DONE = 2, /* of ldb_write_wait(), under queue_mu */
};

static size_t write_bytes(const struct ldb_write *write)
{
    return LDB_BATCH_HEADER_SIZE + write->batch->rep.len;
}

static enum ldb_status check_write(struct ldb_db *db,
                                   const struct ldb_write *write,
                                   struct ldb_error *err)
{
    if (db->options.read_only)
        return ldb_error_set(err, LDB_READ_ONLY,
                             "the database is open "
                             "read-only");
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

/*
 * One group, if there is one; false when there is none, or none that a thread
 * that must not wait could do.
 */
static bool lead_one(struct ldb_db *db, bool may_wait)
{
    struct ldb_commit_group group;
    struct ldb_error why = {0};
    enum ldb_status s;

    ldb_mutex_lock(&db->mu);
    s = ldb_throttle_make_room(db, may_wait, &why);
    ldb_mutex_unlock(&db->mu);
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
    return true;
}

/* Gives up the lead; wakes who is to take it. */
static void end_locked(struct ldb_db *db) LDB_REQUIRES(db->queue_mu)
{
    assert(db->is_leading);
    db->is_leading = false;
    if (db->queue_waiters > 0)
        ldb_cond_broadcast(&db->leader_done);
    if (db->drive_wanted && db->queue_head != NULL)
        ldb_cond_signal(&db->committer_wakes);
}

void ldb_lead_begin(struct ldb_db *db)
{
    ldb_mutex_lock(&db->queue_mu);
    db->queue_waiters++;
    while (db->is_leading)
        ldb_cond_wait(&db->leader_done, &db->queue_mu);
    db->queue_waiters--;
    db->is_leading = true;
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
    is_mine =
        db->queue_head != NULL && !db->is_leading && is_quick(db->queue_head);
    if (is_mine)
        db->is_leading = true;
    ldb_mutex_unlock(&db->queue_mu);
    if (is_mine)
        while (lead_one(db, false))
            continue;
    ldb_mutex_lock(&db->queue_mu);
    if (db->queue_head != NULL)
        db->drive_wanted = true;
    if (is_mine)
        end_locked(db);
    else if (db->drive_wanted && !db->is_leading)
        ldb_cond_signal(&db->committer_wakes);
    ldb_mutex_unlock(&db->queue_mu);
}

enum ldb_status ldb_write_wait(struct ldb_db *db, struct ldb_write *write)
{
    enum ldb_status s = check_write(db, write, &write->error);

    assert(write->done == NULL);
    if (s != LDB_OK)
        return write->status = s;
    ldb_mutex_lock(&db->queue_mu);
    s = enqueue(db, write, &write->error);
    if (s != LDB_OK)
        write->status = s;
    while (s == LDB_OK && write->state != WRITE_DONE) {
        if (db->is_leading) {
            db->queue_waiters++;
            ldb_cond_wait(&db->leader_done, &db->queue_mu);
            db->queue_waiters--;
            continue;
        }
        db->is_leading = true;
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
        while (
            !(db->drive_wanted && db->queue_head != NULL && !db->is_leading) &&
            !(db->queue_closed && db->queue_head == NULL))
            ldb_cond_wait(&db->committer_wakes, &db->queue_mu);
        if (db->queue_head == NULL)
            break;
        db->is_leading = true;
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

static enum ldb_status write_one(struct ldb_db *db, struct ldb_batch *batch,
                                 bool sync, struct ldb_error *err,
                                 ldb_sequence *out_sequence)
{
    struct ldb_write write = {.batch = batch, .sync = sync};
    enum ldb_status s = ldb_write_wait(db, &write);

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
    struct ldb_batch batch;
    enum ldb_status s;

    ldb_batch_init(&batch, db->options.batch_bytes_max);
    s = ldb_batch_put(&batch, key, value);
    if (s == LDB_OK)
        s = write_one(db, &batch, sync, err, out_sequence);
    else
        ldb_error_set(err, s, "a key of %zu and a value of %zu bytes", key.len,
                      value.len);
    ldb_batch_release(&batch);
    return s;
}

enum ldb_status ldb_delete(struct ldb_db *db, struct ldb_slice key, bool sync,
                           struct ldb_error *err, ldb_sequence *out_sequence)
{
    struct ldb_batch batch;
    enum ldb_status s;

    ldb_batch_init(&batch, db->options.batch_bytes_max);
    s = ldb_batch_delete(&batch, key);
    if (s == LDB_OK)
        s = write_one(db, &batch, sync, err, out_sequence);
    else
        ldb_error_set(err, s, "a key of %zu bytes", key.len);
    ldb_batch_release(&batch);
    return s;
}
