/*
 * From a folder to a running twin (contracts: twin.h, twin_internal.h).
 *
 * A journal that is followed by one with records is complete: a twin begins
 * the next only then, and synced. Whether the newest one is, nobody has told
 * yet. An empty one behind it would say that it is, and a leader's crash can
 * leave such a one (the journal made ready): so it is removed, and comes again.
 */
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/journal/journal_reader.h"
#include "storage/twin_internal.h"

/* On disk: do not change. The first journal of any database. */
#define FIRST_JOURNAL 1

struct ldb_twin *ldb_twin_create(void)
{
    return ldb_mem_zalloc(1, sizeof(struct ldb_twin));
}

void ldb_twin_destroy(struct ldb_twin *twin)
{
    if (twin == NULL)
        return;
    ldb_journal_feed_destroy(twin->feed);
    ldb_mem_free(twin);
}

struct ldb_journal_feed *ldb_twin_make_feed(uint64_t number, uint64_t offset)
{
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    return ldb_journal_feed_create(name, offset);
}

enum ldb_status ldb_twin_open(const char *path,
                              const struct ldb_options *options,
                              struct ldb_recovery *recovery,
                              struct ldb_error *err, struct ldb_db **out)
{
    return ldb_db_open(path, options, true, recovery, err, out);
}

/* ---- one journal ---- */

/* A journal on its way into the twin. */
struct found_journal {
    struct ldb_twin_journal journal;
    struct ldb_memtable *mem; /* one reference */
    uint64_t file_len;
};

struct found {
    struct found_journal items[LDB_TWIN_JOURNALS_MAX]; /* oldest first */
    size_t count;
    ldb_sequence last_sequence;
};

static void release_found(struct found *found)
{
    for (size_t i = 0; i < found->count; i++)
        ldb_memtable_unref(found->items[i].mem);
    *found = (struct found){0};
}

static enum ldb_status replay_record(struct found *found,
                                     struct ldb_memtable *mem,
                                     struct ldb_slice record,
                                     struct ldb_error *err)
{
    ldb_sequence first = 0;
    uint32_t count = 0;
    enum ldb_status s = ldb_batch_check(record, err, &first, &count);

    if (s != LDB_OK || count == 0)
        return s;
    s = ldb_memtable_insert_batch(mem, record, first, err);
    if (s == LDB_OK && first + count - 1 > found->last_sequence)
        found->last_sequence = first + count - 1;
    return s;
}

/* Every whole record of the journal into its memtable. */
static enum ldb_status replay_file(struct found *found,
                                   struct found_journal *item, const char *name,
                                   struct ldb_sequential_file *file,
                                   struct ldb_recovery *recovery,
                                   struct ldb_error *err)
{
    const struct ldb_journal_reader_options options = {.strict = true};
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record;
    enum ldb_status s =
        ldb_journal_reader_create(file, name, &options, err, &reader);

    if (s != LDB_OK)
        return s;
    while ((s = ldb_journal_reader_next(reader, err, &record)) == LDB_OK) {
        s = replay_record(found, item->mem, record, err);
        if (s != LDB_OK) {
            s = ldb_error_prefix(
                err, s, "%s: batch at %llu", name,
                (unsigned long long)ldb_journal_reader_record_offset(reader));
            break;
        }
        recovery->records_replayed++;
    }
    item->journal.len = ldb_journal_reader_end_offset(reader);
    item->journal.last_sequence = found->last_sequence;
    ldb_journal_reader_destroy(reader);
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

static enum ldb_status replay_journal(struct ldb_db *db, struct found *found,
                                      uint64_t number,
                                      struct ldb_recovery *recovery,
                                      struct ldb_error *err)
{
    struct found_journal *item = &found->items[found->count];
    struct ldb_env *env = db->env;
    struct ldb_sequential_file *file = NULL;
    char name[LDB_FILE_NAME_SIZE];
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, number);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    *item = (struct found_journal){.journal.number = number};
    s = ldb_memtable_create(db->options.comparator, number, err, &item->mem);
    if (s != LDB_OK)
        goto out;
    found->count++;
    s = env->ops->file_size(env, path, err, &item->file_len);
    if (s == LDB_OK)
        s = env->ops->open_sequential(env, path, err, &file);
    if (s == LDB_OK)
        s = replay_file(found, item, name, file, recovery, err);
    if (s == LDB_OK)
        recovery->journals_replayed++;
out:
    if (file != NULL)
        ldb_sequential_close(file);
    ldb_mem_free(path);
    return s;
}

/* ---- all of them ---- */

static enum ldb_status refuse_previous(uint64_t number, struct ldb_error *err)
{
    return ldb_error_set(err, LDB_NOT_SUPPORTED,
                         "the MANIFEST still asks for journal %06llu by tag 9, "
                         "as old writers did: open the folder once as a leader",
                         (unsigned long long)number);
}

static enum ldb_status replay_journals(struct ldb_db *db, struct found *found,
                                       struct ldb_recovery *recovery,
                                       struct ldb_error *err)
{
    struct ldb_folder_files files = {0};
    uint64_t log_number;
    uint64_t previous;
    enum ldb_status s;

    ldb_mutex_lock(&db->mu);
    log_number = ldb_version_set_log_number(db->versions);
    previous = ldb_version_set_prev_log_number(db->versions);
    found->last_sequence = ldb_version_set_recovered_sequence(db->versions);
    ldb_mutex_unlock(&db->mu);
    s = ldb_folder_files_list(db->env, db->dir, err, &files);
    if (s == LDB_OK && previous != 0 && previous < log_number &&
        ldb_folder_files_has(&files, LDB_FILE_JOURNAL, previous))
        s = refuse_previous(previous, err);
    for (size_t i = 0; s == LDB_OK && i < files.count; i++) {
        if (files.files[i].type != LDB_FILE_JOURNAL ||
            files.files[i].number < log_number)
            continue;
        if (found->count == LDB_TWIN_JOURNALS_MAX)
            s = ldb_error_set(err, LDB_NOT_SUPPORTED,
                              "%.120s: over %d journals wait for their flush: "
                              "open the folder once as a leader",
                              db->dir, LDB_TWIN_JOURNALS_MAX);
        else
            s = replay_journal(db, found, files.files[i].number, recovery, err);
    }
    ldb_folder_files_release(&files);
    return s;
}

/* The empty ones behind the last journal with records, but the one that the
 * MANIFEST asks for. */
static enum ldb_status drop_empty_journals(struct ldb_db *db,
                                           struct found *found,
                                           struct ldb_error *err)
{
    uint64_t log_number;
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&db->mu);
    log_number = ldb_version_set_log_number(db->versions);
    ldb_mutex_unlock(&db->mu);
    while (s == LDB_OK && found->count > 1) {
        struct found_journal *last = &found->items[found->count - 1];
        char *path;

        if (last->journal.len > 0 || last->journal.number <= log_number)
            break;
        path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, last->journal.number);
        s = path == NULL ? ldb_error_no_memory(err)
                         : db->env->ops->remove_file(db->env, path, err);
        ldb_mem_free(path);
        if (s == LDB_OK) {
            ldb_memtable_unref(last->mem);
            found->count--;
        }
    }
    return s;
}

/* Its bytes are durable, and end where its last record does: behind *out. */
static enum ldb_status settle_journal(struct ldb_db *db,
                                      const struct found_journal *item,
                                      struct ldb_error *err,
                                      struct ldb_journal_writer **out)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, item->journal.number);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = db->env->ops->open_writable(db->env, path, LDB_OPEN_APPEND, err, &file);
    if (s == LDB_OK)
        s = ldb_journal_writer_create(file, item->journal.len, err, &writer);
    if (s == LDB_OK)
        s = item->file_len > item->journal.len
                ? ldb_journal_writer_cut(writer, err)
                : ldb_journal_writer_sync(writer, err);
    if (s == LDB_OK)
        *out = writer;
    else if (writer != NULL) /* the failure before it is the one to tell */
        LDB_IGNORE(ldb_journal_writer_close(writer, NULL));
    ldb_mem_free(path);
    return s;
}

/* All but the newest are complete. */
static enum ldb_status settle_sealed(struct ldb_db *db,
                                     struct found_journal *item,
                                     struct ldb_error *err)
{
    struct ldb_journal_writer *writer = NULL;
    enum ldb_status s;

    if (item->file_len > item->journal.len)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%06llu.log: no whole record from offset %llu on, "
                             "and a later journal has records",
                             (unsigned long long)item->journal.number,
                             (unsigned long long)item->journal.len);
    item->journal.is_sealed = true;
    s = settle_journal(db, item, err, &writer);
    if (s == LDB_OK)
        s = ldb_journal_writer_close(writer, err);
    return s;
}

static enum ldb_status settle_journals(struct ldb_db *db, struct found *found,
                                       struct ldb_recovery *recovery,
                                       struct ldb_error *err)
{
    struct found_journal *newest;
    enum ldb_status s = LDB_OK;

    if (found->count == 0)
        return LDB_OK;
    for (size_t i = 0; s == LDB_OK && i + 1 < found->count; i++)
        s = settle_sealed(db, &found->items[i], err);
    if (s != LDB_OK)
        return s;
    newest = &found->items[found->count - 1];
    recovery->tail_bytes = newest->file_len - newest->journal.len;
    return settle_journal(db, newest, err, &db->journal);
}

/* ---- the twin's state ---- */

static void set_positions(struct ldb_twin *twin, ldb_sequence last_sequence)
{
    const struct ldb_twin_journal *newest =
        twin->journal_count == 0 ? NULL
                                 : &twin->journals[twin->journal_count - 1];

    twin->written = (struct ldb_twin_position){
        .journal = newest == NULL ? 0 : newest->number,
        .offset = newest == NULL ? 0 : newest->len,
        .sequence = last_sequence,
    };
    twin->synced = twin->written;
    twin->applied = twin->written;
    twin->next_offset = twin->written.offset;
}

static void adopt(struct ldb_db *db, struct found *found) LDB_REQUIRES(db->mu)
{
    struct ldb_twin *twin = db->twin;

    for (size_t i = 0; i < found->count; i++) {
        struct found_journal *item = &found->items[i];

        twin->journals[i] = item->journal;
        item->mem->last_sequence = item->journal.last_sequence;
        if (i + 1 < found->count)
            db->immutables[db->immutable_count++] = item->mem;
        else
            db->mem = item->mem;
        db->journal_number = item->journal.number;
    }
    twin->journal_count = found->count;
    set_positions(twin, found->last_sequence);
    found->count = 0;
}

/* Without any journal: memtable 0, which the first one's takes the place of. */
static enum ldb_status finish(struct ldb_db *db, struct found *found,
                              struct ldb_recovery *recovery,
                              struct ldb_error *err)
{
    const struct ldb_twin_journal *newest =
        found->count == 0 ? NULL : &found->items[found->count - 1].journal;
    enum ldb_status s = LDB_OK;

    if (newest == NULL) {
        s = ldb_memtable_create(db->options.comparator, 0, err, &db->mem);
    } else {
        db->twin->feed = ldb_twin_make_feed(newest->number, newest->len);
        if (db->twin->feed == NULL)
            s = ldb_error_no_memory(err);
    }
    if (s != LDB_OK)
        return s;
    recovery->last_sequence = found->last_sequence;
    db->last_assigned = found->last_sequence;
    atomic_store_explicit(&db->last_sequence, found->last_sequence,
                          memory_order_release);
    ldb_mutex_lock(&db->mu);
    adopt(db, found);
    ldb_mutex_unlock(&db->mu);
    return LDB_OK;
}

/* ---- an empty database ---- */

/*
 * The first journal and the edit that names it: with them it is what every
 * leader's folder is at first, to the byte. Without, tables that arrive would
 * look like those of a MANIFEST which lost its records (recovered.h).
 */
static enum ldb_status begin_empty(struct ldb_db *db, struct found *found,
                                   struct ldb_error *err)
{
    struct found_journal *first = &found->items[0];
    struct ldb_version_edit edit = {0};
    enum ldb_status s;

    release_found(found);
    *first = (struct found_journal){.journal.number = FIRST_JOURNAL};
    s = ldb_memtable_create(db->options.comparator, FIRST_JOURNAL, err,
                            &first->mem);
    if (s != LDB_OK)
        return s;
    found->count = 1;
    s = ldb_journal_start(db, FIRST_JOURNAL, err, &db->journal);
    if (s != LDB_OK)
        return s;
    ldb_version_edit_set_log_number(&edit, FIRST_JOURNAL);
    ldb_version_edit_set_last_sequence(&edit, 0);
    ldb_mutex_lock(&db->mu);
    ldb_version_set_mark_used(db->versions, FIRST_JOURNAL);
    db->journal_name = ldb_folder_names_count(db);
    s = ldb_version_set_apply(db->versions, &edit, err);
    ldb_mutex_unlock(&db->mu);
    ldb_version_edit_release(&edit);
    if (s == LDB_OK)
        s = ldb_journal_writer_sync(db->journal, err);
    return s;
}

/* Nothing but the first record of its MANIFEST is there: new, or cut off in
 * its making. */
static bool is_unfinished(struct ldb_db *db, const struct found *found)
{
    const struct ldb_version *version;
    bool is_empty;

    ldb_mutex_lock(&db->mu);
    version = ldb_version_set_current(db->versions);
    is_empty = ldb_version_set_log_number(db->versions) == 0 &&
               found->last_sequence == 0;
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        is_empty = is_empty && version->levels[level].count == 0;
    ldb_mutex_unlock(&db->mu);
    for (size_t i = 0; i < found->count; i++)
        is_empty = is_empty && found->items[i].journal.len == 0;
    return is_empty;
}

enum ldb_status ldb_twin_recover(struct ldb_db *db,
                                 struct ldb_recovery *recovery,
                                 struct ldb_error *err)
{
    struct found found = {0};
    enum ldb_status s = LDB_OK;

    if (!recovery->created) {
        s = replay_journals(db, &found, recovery, err);
        if (s == LDB_OK)
            s = drop_empty_journals(db, &found, err);
        if (s == LDB_OK)
            s = ldb_version_set_resume(db->versions, err);
    }
    if (s == LDB_OK && is_unfinished(db, &found))
        s = begin_empty(db, &found, err);
    else if (s == LDB_OK)
        s = settle_journals(db, &found, recovery, err);
    if (s == LDB_OK)
        s = finish(db, &found, recovery, err);
    release_found(&found);
    return s;
}

/* ---- positions ---- */

void ldb_twin_state(struct ldb_db *db, struct ldb_twin_state *out)
{
    const struct ldb_twin *twin = db->twin;

    ldb_mutex_lock(&db->mu);
    *out = (struct ldb_twin_state){
        .written = twin->written,
        .synced = twin->synced,
        .applied = twin->applied,
        .next_offset = twin->next_offset,
        .log_number = ldb_version_set_log_number(db->versions),
        .journal_count = twin->journal_count,
    };
    ldb_version_set_manifest(db->versions, &out->manifest_number,
                             &out->manifest_len);
    for (size_t i = 0; i < twin->journal_count; i++)
        out->journals[i] = twin->journals[i];
    ldb_mutex_unlock(&db->mu);
}
