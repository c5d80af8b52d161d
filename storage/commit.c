/*
 * One group's commit (contract: db_internal.h).
 *
 * All that can fail for lack of memory or a false condition comes first: every
 * operation is copied into an unlinked memtable node before the journal is
 * touched. Then one append, one sync if anybody asked, and only then the nodes
 * are linked and the sequence published: after the journal has the group
 * nothing can fail any more.
 *
 * Sequence numbers are never used twice: those of a group whose append or sync
 * failed are skipped (goleveldb drops batches that reuse numbers).
 */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/precondition.h"

/* What one commit builds up. */
struct commit {
    struct ldb_db *db;
    struct ldb_read read; /* the state that conditions see */
    bool has_read;        /* read is to be released */
    struct ldb_overlay overlay;
    bool has_overlay;  /* a condition was met: keep it up to date */
    ldb_sequence next; /* the next number to hand out */
    struct ldb_memtable_node *first; /* the chain of prepared nodes */
    struct ldb_memtable_node *last;
    uint64_t user_bytes;
    uint64_t journal_bytes; /* flushed length before the group */
};

static void begin_read(struct commit *c)
{
    if (c->has_read)
        return;
    ldb_read_begin_short(c->db, NULL, &c->read);
    c->has_read = true;
}

/* ---- delete ranges ---- */

struct range_resolver {
    struct commit *commit;
    struct ldb_batch *resolved;
    uint64_t key_count;
    struct ldb_error *err;
};

static enum ldb_status resolve_key(struct range_resolver *r,
                                   struct ldb_slice key)
{
    enum ldb_status s;

    if (r->key_count == LDB_DELETE_RANGE_KEYS_MAX)
        return ldb_error_set(r->err, LDB_TOO_LARGE,
                             "delete-range covers more than %d keys",
                             LDB_DELETE_RANGE_KEYS_MAX);
    r->key_count++;
    s = ldb_batch_delete(r->resolved, key);
    if (s != LDB_OK)
        return ldb_error_set(r->err, s, "delete-range makes the batch too big");
    return LDB_OK;
}

static bool range_covers(const struct range_resolver *r,
                         const struct ldb_delete_range *range,
                         struct ldb_slice key)
{
    const struct ldb_comparator *cmp = r->commit->db->options.comparator;

    return ldb_compare(cmp, key, range->start) >= 0 &&
           (!range->has_end || ldb_compare(cmp, key, range->end) < 0);
}

/*
 * Keys that the batch itself put before the range; those that the database
 * has too are deleted already.
 */
static enum ldb_status resolve_own_puts(struct range_resolver *r,
                                        const struct ldb_delete_range *range,
                                        struct ldb_slice so_far)
{
    struct ldb_batch_cursor cursor = ldb_batch_cursor_make(so_far);
    struct ldb_batch_op op;

    while (ldb_batch_cursor_next(&cursor, &op)) {
        enum ldb_status s;

        if (op.kind != LDB_KIND_PUT || !range_covers(r, range, op.key))
            continue;
        s = ldb_read_get(r->commit->db, &r->commit->read, op.key, r->err, NULL,
                         NULL);
        if (s == LDB_NOT_FOUND)
            s = resolve_key(r, op.key);
        if (s != LDB_OK)
            return s;
    }
    return LDB_OK;
}

static enum ldb_status resolve_range(struct range_resolver *r,
                                     const struct ldb_delete_range *range)
{
    struct ldb_read_options options = {
        .lower = &range->start, .upper = range->has_end ? &range->end : NULL};
    struct ldb_buf so_far = LDB_BUF_INIT(r->resolved->rep.limit);
    struct ldb_cursor *cursor = NULL;
    enum ldb_status s;

    s = ldb_buf_assign(&so_far, ldb_slice_of_buf(&r->resolved->rep));
    if (s != LDB_OK) {
        ldb_error_set(r->err, s, "delete-range");
        goto out;
    }
    s = ldb_cursor_open(r->commit->db, &options, r->err, &cursor);
    if (s != LDB_OK)
        goto out;
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor)) {
        s = resolve_key(r, ldb_cursor_key(cursor));
        if (s != LDB_OK)
            goto out;
    }
    s = ldb_cursor_status(cursor, r->err);
    if (s == LDB_OK && so_far.len > 0)
        s = resolve_own_puts(r, range, ldb_slice_of_buf(&so_far));
out:
    ldb_cursor_close(cursor);
    ldb_buf_release(&so_far);
    return s;
}

/* Replaces the write's batch by one with the ranges resolved into deletes. */
static enum ldb_status resolve_ranges(struct commit *c, struct ldb_write *write)
{
    struct ldb_batch resolved;
    struct range_resolver r = {
        .commit = c, .resolved = &resolved, .err = &write->error};
    struct ldb_batch_cursor cursor =
        ldb_batch_cursor_make(ldb_slice_of_buf(&write->batch->rep));
    struct ldb_batch_op op;
    size_t next_range = 0;
    enum ldb_status s = LDB_OK;

    ldb_batch_init(&resolved, c->db->options.batch_bytes_max);
    begin_read(c);
    for (uint32_t i = 0; s == LDB_OK && i <= write->batch->count; i++) {
        while (s == LDB_OK && next_range < write->range_count &&
               write->ranges[next_range].before_op == i)
            s = resolve_range(&r, &write->ranges[next_range++]);
        if (s != LDB_OK || !ldb_batch_cursor_next(&cursor, &op))
            break;
        s = op.kind == LDB_KIND_PUT ? ldb_batch_put(&resolved, op.key, op.value)
                                    : ldb_batch_delete(&resolved, op.key);
        if (s != LDB_OK)
            ldb_error_set(&write->error, s, "delete-range");
    }
    if (s == LDB_OK) {
        struct ldb_batch given = *write->batch;

        *write->batch = resolved;
        resolved = given;
    }
    ldb_batch_release(&resolved);
    return s;
}

/* ---- admitting a write: conditions, numbers, nodes ---- */

static enum ldb_status check_conditions(struct commit *c,
                                        struct ldb_write *write)
{
    if (!c->has_overlay) {
        if (ldb_overlay_add(&c->overlay, c->first) != LDB_OK)
            return ldb_error_no_memory(&write->error);
        c->has_overlay = true;
    }
    begin_read(c);
    return ldb_precondition_check(c->db, &c->read, &c->overlay, write);
}

static enum ldb_status prepare_nodes(struct commit *c, struct ldb_write *write,
                                     struct ldb_memtable_node **out_first,
                                     struct ldb_memtable_node **out_last)
{
    struct ldb_batch_cursor cursor =
        ldb_batch_cursor_make(ldb_slice_of_buf(&write->batch->rep));
    struct ldb_memtable_node *first = NULL;
    struct ldb_memtable_node *last = NULL;
    ldb_sequence sequence = c->next;
    struct ldb_batch_op op;

    while (ldb_batch_cursor_next(&cursor, &op)) {
        struct ldb_memtable_node *node = ldb_memtable_prepare(
            c->db->mem, ldb_tag_make(sequence++, op.kind), op.key, op.value);

        if (node == NULL)
            return ldb_error_no_memory(&write->error);
        if (last == NULL)
            first = node;
        else
            ldb_memtable_node_chain(last, node);
        last = node;
    }
    assert(sequence - c->next == write->batch->count);
    *out_first = first;
    *out_last = last;
    return LDB_OK;
}

static enum ldb_status journal_add(struct commit *c, struct ldb_write *write)
{
    struct ldb_slice record;

    if (write->batch->count == 0)
        return LDB_OK; /* docs/formats.md, rule 31: not written */
    ldb_batch_set_sequence(write->batch, c->next);
    record = ldb_slice_of_buf(&write->batch->rep);
    return ldb_journal_writer_add(c->db->journal, &record, 1, &write->error);
}

/*
 * Gives the write its numbers and nodes. OK: write->sequence and count say
 * what it got. Otherwise it is left out of the group, but for IO and the like
 * from the journal, which fail the whole group: *out_journal_failed.
 */
static enum ldb_status admit(struct commit *c, struct ldb_write *write,
                             bool *out_journal_failed)
{
    struct ldb_memtable_node *first = NULL;
    struct ldb_memtable_node *last = NULL;
    enum ldb_status s = LDB_OK;
    uint32_t count;

    if (write->condition_count > 0)
        s = check_conditions(c, write);
    if (s == LDB_OK && write->range_count > 0)
        s = resolve_ranges(c, write);
    if (s != LDB_OK)
        return s;
    count = write->batch->count;
    if (count > LDB_SEQUENCE_MAX + 1 - c->next)
        return ldb_error_set(&write->error, LDB_NOT_SUPPORTED,
                             "sequence numbers are used up");
    s = prepare_nodes(c, write, &first, &last);
    if (s == LDB_OK && c->has_overlay && ldb_overlay_add(&c->overlay, first))
        s = ldb_error_no_memory(&write->error);
    if (s != LDB_OK)
        return s;
    s = journal_add(c, write);
    if (s != LDB_OK) {
        *out_journal_failed = true;
        return s;
    }
    if (first != NULL) {
        if (c->last == NULL)
            c->first = first;
        else
            ldb_memtable_node_chain(c->last, first);
        c->last = last;
        c->user_bytes += write->batch->rep.len - LDB_BATCH_HEADER_SIZE;
    }
    c->next += count;
    write->sequence = c->next - 1;
    write->count = count;
    return LDB_OK;
}

/* ---- failures of the journal ---- */

static void fail_admitted(struct ldb_commit_group *group,
                          const struct ldb_error *why)
{
    for (struct ldb_write *w = group->first; w != NULL; w = w->next) {
        if (w->status != LDB_OK)
            continue;
        w->status = why->status;
        w->error = *why;
    }
}

/*
 * The append failed. When the journal can be cut to its last whole record,
 * nothing of the group stands; else nobody knows, and writes stop.
 */
static void append_failed(struct commit *c, struct ldb_commit_group *group,
                          const struct ldb_error *why)
{
    struct ldb_db *db = c->db;
    struct ldb_error cut = {0};
    struct ldb_error told = *why;
    enum ldb_status s;

    ldb_journal_sync_settle(db);
    s = ldb_journal_writer_cut(db->journal, &cut);
    ldb_mutex_lock(&db->mu);
    if (s != LDB_OK) {
        ldb_error_prefix(&cut, s, "cut the journal after \"%.80s\"",
                         why->message);
        ldb_health_set(db, LDB_HEALTH_WRITE_FAILED, &cut);
        told = cut;
        told.status = LDB_OUTCOME_UNKNOWN;
    } else {
        db->journal_must_seal = true;
        if (why->status == LDB_NO_SPACE)
            ldb_health_set(db, LDB_HEALTH_DISK_FULL, why);
    }
    ldb_journal_sync_resume(db);
    ldb_mutex_unlock(&db->mu);
    fail_admitted(group, &told);
}

/* After a failed sync the state of the file's page cache is unknown. */
static void sync_failed(struct commit *c, struct ldb_commit_group *group,
                        const struct ldb_error *why)
{
    struct ldb_error told = *why;

    ldb_mutex_lock(&c->db->mu);
    ldb_health_set(c->db, LDB_HEALTH_SYNC_FAILED, why);
    ldb_journal_sync_resume(c->db);
    ldb_mutex_unlock(&c->db->mu);
    told.status = LDB_OUTCOME_UNKNOWN;
    fail_admitted(group, &told);
}

/* ---- the steps ---- */

void ldb_commit_publish(struct ldb_db *db, struct ldb_memtable_node *first,
                        const struct ldb_memtable_node *last,
                        ldb_sequence sequence)
{
    struct ldb_memtable_node *next;

    for (struct ldb_memtable_node *n = first; n != NULL; n = next) {
        next = n == last ? NULL : ldb_memtable_node_chained(n);
        if (db->rows != NULL)
            ldb_row_cache_note_write(
                db->rows, ldb_internal_user_key(ldb_memtable_node_key(n)),
                sequence);
        ldb_memtable_link(db->mem, n);
    }
    /* Release: pairs with ldb_db_view(), and with gets of rows. */
    atomic_store_explicit(&db->last_sequence, sequence, memory_order_release);
}

static void count_group(struct commit *c, const struct ldb_commit_group *group,
                        uint64_t operations, uint64_t len)
{
    struct ldb_db_counters *counters = &c->db->counters;

    ldb_count_alone(&counters->groups, 1);
    ldb_count_alone(&counters->writes, group->count);
    ldb_count_alone(&counters->operations, operations);
    ldb_count_alone(&counters->user_bytes, c->user_bytes);
    ldb_count_alone(&counters->journal_written_bytes, len - c->journal_bytes);
}

/* Disk space is back when an append works. */
static void append_worked(struct ldb_db *db)
{
    ldb_mutex_lock(&db->mu);
    if (ldb_db_health(db) == LDB_HEALTH_DISK_FULL) {
        atomic_store_explicit(&db->health, LDB_HEALTHY, memory_order_relaxed);
        ldb_log_line(db->log, "journal@write space is back");
        ldb_cond_broadcast(&db->work);
    }
    ldb_mutex_unlock(&db->mu);
}

static enum ldb_status write_journal(struct commit *c,
                                     struct ldb_commit_group *group,
                                     struct ldb_error *err)
{
    struct ldb_db *db = c->db;
    enum ldb_status s = ldb_journal_writer_flush(db->journal, err);

    if (s != LDB_OK) {
        append_failed(c, group, err);
        return s;
    }
    if (c->first != NULL && ldb_db_health(db) == LDB_HEALTH_DISK_FULL)
        append_worked(db);
    if (!group->sync)
        return LDB_OK;
    s = ldb_journal_sync(db, err);
    if (s != LDB_OK)
        sync_failed(c, group, err);
    return s;
}

void ldb_commit_group_run(struct ldb_db *db, struct ldb_commit_group *group)
{
    struct commit c = {.db = db, .next = db->last_assigned + 1};
    struct ldb_error why;
    bool journal_failed = false;
    enum ldb_status s = LDB_OK;

    ldb_error_init(&why);
    c.journal_bytes = ldb_journal_writer_flushed_len(db->journal);
    for (struct ldb_write *w = group->first; w != NULL; w = w->next) {
        w->status = admit(&c, w, &journal_failed);
        if (!journal_failed)
            continue;
        /* The journal took part of the group or nothing: all of it fails. */
        why = w->error;
        for (struct ldb_write *rest = w; rest != NULL; rest = rest->next)
            rest->status = LDB_OK;
        append_failed(&c, group, &why);
        s = why.status;
        break;
    }
    if (s == LDB_OK)
        s = write_journal(&c, group, &why);
    if (s == LDB_OK) {
        uint64_t len = ldb_journal_writer_flushed_len(db->journal);

        ldb_commit_publish(db, c.first, c.last, c.next - 1);
        ldb_position_move(&db->written, len, c.next - 1);
        count_group(&c, group, c.next - 1 - db->last_assigned, len);
        if (group->sync)
            ldb_journal_sync_end_group(db);
        else
            ldb_journal_sync_early(db, len);
    }
    db->last_assigned = c.next - 1;
    ldb_overlay_release(&c.overlay);
    if (c.has_read)
        ldb_read_end(db, &c.read);
}
