/*
 * The leader's journals become ours (contracts: twin.h, twin_internal.h).
 *
 * Bytes go through the feed. What it holds as whole records is, in this order,
 * checked as batches, written to our journal with one call, and only then put
 * in the memtable and published. So the file never has a byte that was not
 * verified, a failed write changes nothing in memory, and a failure of memory
 * after the write (written ahead of applied) is mended by the next call: the
 * records are still in the feed.
 */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/twin_internal.h"

/* Bytes taken at once; chosen: a journal writer's buffer. */
#define PIECE_MAX ((size_t)1 << 20)

/* ---- refusals ---- */

static enum ldb_status refuse(struct ldb_db *db, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&db->mu);
    if (ldb_db_health(db) == LDB_HEALTH_SYNC_FAILED ||
        ldb_db_health(db) == LDB_HEALTH_WRITE_FAILED)
        s = ldb_error_set(err, LDB_READ_ONLY,
                          "the twin has stopped, to be closed and opened "
                          "again: %.150s",
                          db->health_error.message);
    ldb_mutex_unlock(&db->mu);
    return s;
}

static void set_health(struct ldb_db *db, enum ldb_health health,
                       const struct ldb_error *why)
{
    ldb_mutex_lock(&db->mu);
    ldb_health_set(db, health, why);
    ldb_mutex_unlock(&db->mu);
}

/* The newest journal; a zeroed one when there is none. */
static struct ldb_twin_journal newest_journal(struct ldb_db *db)
{
    const struct ldb_twin *twin = db->twin;
    struct ldb_twin_journal newest = {0};

    ldb_mutex_lock(&db->mu);
    if (twin->journal_count > 0)
        newest = twin->journals[twin->journal_count - 1];
    ldb_mutex_unlock(&db->mu);
    return newest;
}

/* ---- the next journal ---- */

/* Memtable and view of the new journal; *out_old: the view before. */
static enum ldb_status
install_memtable(struct ldb_db *db, struct ldb_memtable *mem,
                 struct ldb_error *err, struct ldb_view **out_old)
    LDB_REQUIRES(db->mu)
{
    struct ldb_memtable *old = db->mem;
    bool is_kept = db->twin->journal_count > 0;
    enum ldb_status s;

    if (is_kept)
        db->immutables[db->immutable_count++] = old;
    db->mem = mem;
    s = ldb_db_install_view(db, err, out_old);
    if (s != LDB_OK) {
        db->immutable_count -= is_kept;
        db->mem = old;
        return s;
    }
    old->last_sequence = db->last_assigned;
    if (!is_kept)
        ldb_memtable_unref(old); /* that of no journal */
    return LDB_OK;
}

/* It stands in the place of the one before. */
static void install_journal(struct ldb_db *db, uint64_t number,
                            struct ldb_journal_writer *journal,
                            struct ldb_journal_feed *feed) LDB_REQUIRES(db->mu)
{
    struct ldb_twin *twin = db->twin;

    if (db->journal != NULL) /* synced when it was sealed */
        LDB_IGNORE(ldb_journal_writer_close(db->journal, NULL));
    db->journal = journal;
    db->journal_number = number;
    db->journal_name = ldb_folder_names_count(db);
    ldb_journal_feed_destroy(twin->feed);
    twin->feed = feed;
    twin->journals[twin->journal_count++] = (struct ldb_twin_journal){
        .number = number, .last_sequence = db->last_assigned};
    twin->written = (struct ldb_twin_position){.journal = number,
                                               .sequence = db->last_assigned};
    twin->applied = twin->written;
    twin->next_offset = 0;
}

static void remove_journal_file(struct ldb_db *db, uint64_t number)
{
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, number);

    /* Empty: one that stays is dropped at the next open. */
    if (path != NULL)
        (void)db->env->ops->remove_file(db->env, path, NULL);
    ldb_mem_free(path);
}

/* For one journal and its memtable more. */
static bool has_room(struct ldb_db *db)
{
    bool has_room;

    ldb_mutex_lock(&db->mu);
    has_room = db->twin->journal_count < LDB_TWIN_JOURNALS_MAX &&
               db->immutable_count < LDB_IMMUTABLES_MAX;
    ldb_mutex_unlock(&db->mu);
    return has_room;
}

enum ldb_status ldb_twin_begin_journal(struct ldb_db *db, uint64_t number,
                                       struct ldb_error *err)
{
    struct ldb_journal_writer *journal = NULL;
    struct ldb_journal_feed *feed = NULL;
    struct ldb_memtable *mem = NULL;
    struct ldb_view *old = NULL;
    enum ldb_status s = LDB_OK;

    if (!has_room(db))
        return ldb_error_set(err, LDB_STALLED,
                             "%d memtables wait for the edits that make them "
                             "needless",
                             LDB_TWIN_JOURNALS_MAX);
    feed = ldb_twin_make_feed(number, 0);
    if (feed == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = ldb_memtable_create(db->options.comparator, number, err, &mem);
    if (s == LDB_OK)
        s = ldb_journal_start(db, number, err, &journal);
    if (s == LDB_OK) {
        ldb_mutex_lock(&db->mu);
        s = install_memtable(db, mem, err, &old);
        if (s == LDB_OK)
            install_journal(db, number, journal, feed);
        ldb_mutex_unlock(&db->mu);
    }
    if (s == LDB_OK) {
        ldb_db_view_release(db, old);
        return LDB_OK;
    }
    ldb_journal_feed_destroy(feed);
    ldb_memtable_unref(mem);
    if (journal != NULL) {
        LDB_IGNORE(ldb_journal_writer_close(journal, NULL)); /* empty */
        remove_journal_file(db, number);
    }
    return s;
}

/* Is it time for that journal? */
static enum ldb_status check_next(struct ldb_db *db, uint64_t number,
                                  uint64_t offset, struct ldb_error *err)
{
    struct ldb_twin_journal newest = newest_journal(db);
    uint64_t log_number;

    ldb_mutex_lock(&db->mu);
    log_number = ldb_version_set_log_number(db->versions);
    ldb_mutex_unlock(&db->mu);
    if (number < newest.number || number < log_number || number == 0 ||
        number >= LDB_FILE_NUMBER_MAX)
        return ldb_error_set(
            err, LDB_INVALID_ARGUMENT, "%06llu.log comes before journal %06llu",
            (unsigned long long)number,
            (unsigned long long)(newest.number > log_number ? newest.number
                                                            : log_number));
    if (newest.number != 0 && !newest.is_sealed)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%06llu.log before %06llu.log is sealed, which "
                             "has %llu bytes",
                             (unsigned long long)number,
                             (unsigned long long)newest.number,
                             (unsigned long long)newest.len);
    if (offset != 0)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%06llu.log begins at offset %llu, not at 0",
                             (unsigned long long)number,
                             (unsigned long long)offset);
    return LDB_OK;
}

/* Do bytes at offset go on with the newest journal? */
static enum ldb_status check_offset(struct ldb_db *db, uint64_t offset,
                                    struct ldb_error *err)
{
    struct ldb_journal_feed *feed = db->twin->feed;
    struct ldb_twin_journal newest = newest_journal(db);

    if (newest.is_sealed)
        return ldb_error_set(
            err, LDB_INVALID_ARGUMENT, "%06llu.log is sealed at %llu bytes",
            (unsigned long long)newest.number, (unsigned long long)newest.len);
    if (offset == ldb_journal_feed_end(feed))
        return LDB_OK;
    if (offset != ldb_journal_feed_whole_end(feed))
        return ldb_error_set(
            err, LDB_INVALID_ARGUMENT,
            "%06llu.log: bytes at offset %llu, expected at "
            "%llu, or at %llu with the record that has begun",
            (unsigned long long)newest.number, (unsigned long long)offset,
            (unsigned long long)ldb_journal_feed_end(feed),
            (unsigned long long)ldb_journal_feed_whole_end(feed));
    ldb_journal_feed_restart(feed);
    return LDB_OK;
}

/* ---- whole records ---- */

struct checked {
    uint64_t records;
    ldb_sequence last_sequence;
};

static enum ldb_status check_batch(const struct ldb_db *db,
                                   struct ldb_slice record,
                                   struct checked *checked,
                                   struct ldb_error *err)
{
    struct ldb_error why = {0};
    ldb_sequence first = 0;
    uint32_t count = 0;
    enum ldb_status s = ldb_batch_check(record, &why, &first, &count);

    if (s == LDB_OK && count > 0 && first <= checked->last_sequence)
        s = ldb_error_set(&why, LDB_CORRUPTION,
                          "sequence %llu comes after %llu",
                          (unsigned long long)first,
                          (unsigned long long)checked->last_sequence);
    if (s != LDB_OK)
        return ldb_error_set(
            err, s, "%06llu.log: batch at %llu: %.150s",
            (unsigned long long)db->journal_number,
            (unsigned long long)ldb_journal_feed_record_offset(db->twin->feed),
            why.message);
    checked->records++;
    if (count > 0)
        checked->last_sequence = first + count - 1;
    return LDB_OK;
}

/* The whole records are sound batches, but for those dropped with an error. */
static enum ldb_status check_batches(struct ldb_db *db, struct checked *checked,
                                     struct ldb_error *err)
{
    struct ldb_journal_feed *feed = db->twin->feed;
    struct ldb_slice record;
    enum ldb_status s;

    while ((s = ldb_journal_feed_next(feed, err, &record)) == LDB_OK) {
        s = check_batch(db, record, checked, err);
        if (s != LDB_OK) {
            ldb_journal_feed_reject(feed);
            return s;
        }
    }
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

/* The write failed: the file ends at its last whole record, or writes stop. */
static void write_failed(struct ldb_db *db, const struct ldb_error *why)
{
    struct ldb_error cut = {0};

    if (ldb_journal_writer_cut(db->journal, &cut) == LDB_OK) {
        if (why->status == LDB_NO_SPACE)
            set_health(db, LDB_HEALTH_DISK_FULL, why);
        return;
    }
    (void)ldb_error_prefix(&cut, cut.status, "cut the journal after \"%.80s\"",
                           why->message);
    set_health(db, LDB_HEALTH_WRITE_FAILED, &cut);
}

static void note_written(struct ldb_db *db, const struct checked *checked)
{
    struct ldb_twin *twin = db->twin;
    struct ldb_twin_journal *newest;

    db->last_assigned = checked->last_sequence;
    ldb_mutex_lock(&db->mu);
    newest = &twin->journals[twin->journal_count - 1];
    newest->len = ldb_journal_feed_whole_end(twin->feed);
    newest->last_sequence = checked->last_sequence;
    twin->written.offset = newest->len;
    twin->written.sequence = checked->last_sequence;
    if (ldb_db_health(db) == LDB_HEALTH_DISK_FULL)
        atomic_store_explicit(&db->health, LDB_HEALTHY, memory_order_relaxed);
    ldb_mutex_unlock(&db->mu);
}

/* The feed's whole records, checked, to our journal; on failure the file is as
 * before. */
static enum ldb_status write_records(struct ldb_db *db,
                                     const struct checked *checked,
                                     struct ldb_error *err)
{
    struct ldb_journal_feed *feed = db->twin->feed;
    struct ldb_slice bytes = ldb_journal_feed_whole(feed);
    struct ldb_error why = {0};
    enum ldb_status s;

    if (bytes.len == 0)
        return LDB_OK;
    s = ldb_journal_writer_add_framed(db->journal, bytes, &why);
    if (s == LDB_OK)
        s = ldb_journal_writer_flush(db->journal, &why);
    if (s != LDB_OK) {
        write_failed(db, &why);
        if (err != NULL)
            *err = why;
        return s;
    }
    ldb_count_alone(&db->counters.groups, 1);
    ldb_count_alone(&db->counters.writes, checked->records);
    ldb_count_alone(&db->counters.journal_written_bytes, bytes.len);
    note_written(db, checked);
    return LDB_OK;
}

/* ---- to the readers ---- */

/* Prepared nodes, in order. */
struct nodes {
    struct ldb_memtable_node *first;
    struct ldb_memtable_node *last;
    uint64_t count;
    uint64_t user_bytes;
};

static enum ldb_status prepare_batch(struct ldb_db *db, struct ldb_slice record,
                                     struct nodes *nodes, struct ldb_error *err)
{
    struct ldb_batch_cursor cursor = ldb_batch_cursor_make(record);
    struct ldb_batch_op op;
    ldb_sequence sequence = 0;
    enum ldb_status s = ldb_batch_check(record, err, &sequence, NULL);

    while (s == LDB_OK && ldb_batch_cursor_next(&cursor, &op)) {
        struct ldb_memtable_node *node = ldb_memtable_prepare(
            db->mem, ldb_tag_make(sequence++, op.kind), op.key, op.value);

        if (node == NULL)
            return ldb_error_no_memory(err);
        if (nodes->last == NULL)
            nodes->first = node;
        else
            ldb_memtable_node_chain(nodes->last, node);
        nodes->last = node;
        nodes->count++;
    }
    nodes->user_bytes += record.len - LDB_BATCH_HEADER_SIZE;
    return s;
}

static void publish(struct ldb_db *db, const struct nodes *nodes)
{
    ldb_commit_publish(db, nodes->first, nodes->last, db->last_assigned);
    ldb_count_alone(&db->counters.operations, nodes->count);
    ldb_count_alone(&db->counters.user_bytes, nodes->user_bytes);
}

enum ldb_status ldb_twin_apply_written(struct ldb_db *db, struct ldb_error *err)
{
    struct ldb_twin *twin = db->twin;
    struct nodes nodes = {0};
    struct ldb_slice record;
    enum ldb_status s;

    if (twin->feed == NULL || ldb_journal_feed_whole(twin->feed).len == 0)
        return LDB_OK;
    ldb_journal_feed_rewind(twin->feed);
    while ((s = ldb_journal_feed_next(twin->feed, err, &record)) == LDB_OK) {
        s = prepare_batch(db, record, &nodes, err);
        if (s != LDB_OK)
            break;
    }
    if (s != LDB_NOT_FOUND)
        return s;
    publish(db, &nodes);
    ldb_journal_feed_take(twin->feed);
    ldb_mutex_lock(&db->mu);
    twin->applied = twin->written;
    ldb_mutex_unlock(&db->mu);
    return LDB_OK;
}

/* ---- append ---- */

/* Takes at most PIECE_MAX bytes. */
static enum ldb_status take_piece(struct ldb_db *db, struct ldb_slice piece,
                                  struct ldb_error *err)
{
    struct ldb_journal_feed *feed = db->twin->feed;
    struct checked checked = {.last_sequence = db->last_assigned};
    struct ldb_error later = {0};
    enum ldb_status refused = ldb_journal_feed_add(feed, piece, err);
    enum ldb_status s = check_batches(db, &checked, &later);

    /* A batch that is refused lies before a chunk that is. */
    if (s == LDB_CORRUPTION) {
        refused = s;
        if (err != NULL)
            *err = later;
        s = LDB_OK;
    }
    if (s == LDB_OK)
        s = write_records(db, &checked, &later);
    if (s != LDB_OK) { /* none of them is in the file */
        ldb_journal_feed_rewind(feed);
        ldb_journal_feed_reject(feed);
    } else {
        s = ldb_twin_apply_written(db, &later);
    }
    if (s != LDB_OK && err != NULL)
        *err = later;
    if (s != LDB_OK || refused != LDB_OK)
        ldb_journal_feed_restart(feed);
    return s != LDB_OK ? s : refused;
}

static enum ldb_status append(struct ldb_db *db, uint64_t number,
                              uint64_t offset, struct ldb_slice bytes,
                              struct ldb_error *err)
{
    enum ldb_status s = refuse(db, err);

    if (s == LDB_OK)
        s = ldb_twin_apply_written(db, err);
    if (s == LDB_OK && number != newest_journal(db).number) {
        s = check_next(db, number, offset, err);
        if (s == LDB_OK)
            s = ldb_twin_begin_journal(db, number, err);
    }
    if (s == LDB_OK)
        s = check_offset(db, offset, err);
    while (s == LDB_OK && bytes.len > 0) {
        size_t n = bytes.len < PIECE_MAX ? bytes.len : PIECE_MAX;

        s = take_piece(db, ldb_slice_make(bytes.data, n), err);
        bytes = ldb_slice_make(bytes.data + n, bytes.len - n);
    }
    if (db->twin->feed != NULL) {
        ldb_mutex_lock(&db->mu);
        db->twin->next_offset = ldb_journal_feed_end(db->twin->feed);
        ldb_mutex_unlock(&db->mu);
    }
    return s;
}

enum ldb_status ldb_twin_append(struct ldb_db *db, uint64_t journal,
                                uint64_t offset, struct ldb_slice bytes,
                                struct ldb_error *err)
{
    enum ldb_status s;

    ldb_lead_begin(db);
    s = append(db, journal, offset, bytes, err);
    ldb_lead_end(db);
    return s;
}

/* ---- sync and seal ---- */

/* What is written is durable. */
static enum ldb_status make_durable(struct ldb_db *db, struct ldb_error *err)
{
    struct ldb_twin *twin = db->twin;
    struct ldb_error why = {0};
    enum ldb_status s = refuse(db, err);

    if (s != LDB_OK || db->journal == NULL)
        return s;
    s = ldb_journal_sync(db, &why);
    if (s != LDB_OK) {
        set_health(db, LDB_HEALTH_SYNC_FAILED, &why);
        if (err != NULL)
            *err = why;
        return s;
    }
    ldb_mutex_lock(&db->mu);
    twin->synced = twin->written;
    ldb_mutex_unlock(&db->mu);
    return LDB_OK;
}

enum ldb_status ldb_twin_sync(struct ldb_db *db, struct ldb_error *err,
                              struct ldb_twin_position *out)
{
    enum ldb_status s;

    ldb_lead_begin(db);
    s = ldb_twin_apply_written(db, err);
    if (s == LDB_OK)
        s = make_durable(db, err);
    if (s == LDB_OK && out != NULL)
        *out = db->twin->synced;
    ldb_lead_end(db);
    /* No thread of the twin's own does it. */
    LDB_IGNORE(ldb_twin_tidy(db, NULL));
    return s;
}

/* Copies it out; false: it is not held. */
static bool find_journal(struct ldb_db *db, uint64_t number,
                         struct ldb_twin_journal *out)
{
    const struct ldb_twin *twin = db->twin;
    bool is_held = false;

    ldb_mutex_lock(&db->mu);
    for (size_t i = 0; i < twin->journal_count; i++) {
        if (twin->journals[i].number != number)
            continue;
        *out = twin->journals[i];
        is_held = true;
    }
    ldb_mutex_unlock(&db->mu);
    return is_held;
}

static enum ldb_status check_length(struct ldb_db *db, uint64_t number,
                                    uint64_t len, struct ldb_error *err,
                                    bool *out_is_sealed)
{
    struct ldb_twin_journal held = {0};
    uint64_t end;

    if (!find_journal(db, number, &held))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%06llu.log is to be sealed, and is not held",
                             (unsigned long long)number);
    end = held.is_sealed ? held.len : ldb_journal_feed_end(db->twin->feed);
    *out_is_sealed = held.is_sealed;
    if (held.len == len && end == len)
        return LDB_OK;
    if (held.len < len && !held.is_sealed)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%06llu.log is to be sealed at %llu bytes, %llu "
                             "are here in whole records",
                             (unsigned long long)number,
                             (unsigned long long)len,
                             (unsigned long long)held.len);
    return ldb_error_set(err, LDB_CORRUPTION,
                         "%06llu.log ends at %llu bytes at the leader, here "
                         "at %llu: they are not the same journal",
                         (unsigned long long)number, (unsigned long long)len,
                         (unsigned long long)end);
}

static enum ldb_status seal(struct ldb_db *db, uint64_t number, uint64_t len,
                            struct ldb_error *err)
{
    struct ldb_twin *twin = db->twin;
    bool is_sealed = false;
    enum ldb_status s = ldb_twin_apply_written(db, err);

    if (s == LDB_OK)
        s = check_length(db, number, len, err, &is_sealed);
    if (s != LDB_OK || is_sealed)
        return s;
    s = make_durable(db, err);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&db->mu);
    twin->journals[twin->journal_count - 1].is_sealed = true;
    ldb_mutex_unlock(&db->mu);
    return LDB_OK;
}

enum ldb_status ldb_twin_seal(struct ldb_db *db, uint64_t journal, uint64_t len,
                              struct ldb_error *err)
{
    enum ldb_status s;

    ldb_lead_begin(db);
    s = seal(db, journal, len, err);
    ldb_lead_end(db);
    return s;
}
