/*
 * Immutable memtables -> level-0 tables -> version edit (contracts:
 * db_internal.h). One thread, oldest memtable first: so a level-0 table with a
 * greater number holds newer entries (LevelDB's get relies on it:
 * docs/formats.md, rule 22), and field 2 of the MANIFEST only grows.
 *
 * A flush drops no entry: a table is a function of its journal and the options.
 *
 * Memtables that wait by the time the table before is written are flushed with
 * it: their tables are written one after the other, then synced, then named in
 * one edit. So the syncs of folder and MANIFEST are paid once, and the disk
 * writes a table while the next one is made. The n-th table of an edit is that
 * of the n-th journal that the edit makes needless. Where one of them fails,
 * the edit has those before it.
 */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"

/* Adds every entry of it; of equal internal keys the first (newest) alone. */
static enum ldb_status add_entries(struct ldb_iterator *it,
                                   struct ldb_table_builder *builder,
                                   struct ldb_slice *out_smallest,
                                   struct ldb_slice *out_largest,
                                   struct ldb_error *err)
{
    struct ldb_slice last = {0};

    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it)) {
        enum ldb_status s;

        if (last.data != NULL && ldb_slice_equal(it->key, last))
            continue;
        s = ldb_table_builder_add(builder, it->key, it->value, err);
        if (s != LDB_OK)
            return s;
        if (last.data == NULL)
            *out_smallest = it->key;
        /* A memtable's keys stay where they are. */
        last = it->key;
    }
    *out_largest = last;
    return LDB_OK;
}

/* Opens the new table once: its index and filter must read back. */
static enum ldb_status check_table(struct ldb_db *db, uint64_t number,
                                   uint64_t size, struct ldb_error *err)
{
    const struct ldb_table_read read = {.verify_checksums = true,
                                        .fill_cache = false};
    struct ldb_iterator *it = NULL;
    enum ldb_status s =
        ldb_table_cache_iterator(db->tables, number, size, &read, err, &it);

    ldb_iterator_destroy(it);
    return s;
}

/* A table on its way into the version. */
struct output {
    struct ldb_memtable *mem; /* borrowed: it waits until it is dropped */
    uint64_t number;
    char *path;                     /* NULL: mem is empty, there is none */
    struct ldb_writable_file *file; /* NULL: closed */
    struct ldb_slice smallest;      /* mem's own bytes, like largest */
    struct ldb_slice largest;
    struct ldb_table_counts counts;
    uint64_t size;
    uint64_t name; /* of folder_names; 0: mem is empty */
    uint64_t us;   /* that it has taken */
};

/* The output's file is gone, unless a version has it. */
static void discard_output(struct ldb_db *db, struct output *out)
{
    if (out->file != NULL)
        (void)ldb_file_close(out->file, NULL);
    if (out->path != NULL) {
        ldb_table_cache_evict(db->tables, out->number);
        (void)db->env->ops->remove_file(db->env, out->path, NULL);
    }
    ldb_mem_free(out->path);
    *out = (struct output){0};
}

/* All of the table's bytes go to its file. */
static enum ldb_status write_entries(struct ldb_db *db, struct output *out,
                                     struct ldb_error *err)
{
    struct ldb_iterator *it = NULL;
    struct ldb_table_builder *builder = NULL;
    enum ldb_status s = ldb_memtable_iterator_create(out->mem, err, &it);

    if (s == LDB_OK)
        s = ldb_table_builder_create(out->file, &db->table_options, err,
                                     &builder);
    if (s == LDB_OK)
        s = add_entries(it, builder, &out->smallest, &out->largest, err);
    if (s == LDB_OK)
        s = ldb_table_builder_finish(builder, err);
    if (s == LDB_OK) {
        out->size = ldb_table_builder_file_size(builder);
        out->counts = ldb_table_builder_counts(builder);
    }
    ldb_table_builder_destroy(builder);
    ldb_iterator_destroy(it);
    return s;
}

/* Writes mem as table number; on failure there is no file. */
static enum ldb_status write_output(struct ldb_db *db, struct ldb_memtable *mem,
                                    uint64_t number, struct ldb_error *err,
                                    struct output *out)
{
    uint64_t start = db->env->ops->monotonic_us(db->env);
    enum ldb_status s;

    *out = (struct output){.mem = mem, .number = number};
    if (ldb_memtable_entry_count(mem) == 0)
        return LDB_OK;
    out->path = ldb_file_path(db->dir, LDB_FILE_TABLE, number);
    if (out->path == NULL)
        return ldb_error_no_memory(err);
    s = db->env->ops->open_writable(db->env, out->path, LDB_OPEN_TRUNCATE, err,
                                    &out->file);
    if (s == LDB_OK) {
        ldb_mutex_lock(&db->mu);
        out->name = ldb_folder_names_count(db);
        ldb_mutex_unlock(&db->mu);
        s = write_entries(db, out, err);
    }
    out->us = db->env->ops->monotonic_us(db->env) - start;
    if (s != LDB_OK)
        discard_output(db, out);
    return s;
}

static enum ldb_status add_to_edit(const struct output *out,
                                   struct ldb_version_edit *edit,
                                   struct ldb_error *err)
{
    struct ldb_file_meta *meta = ldb_file_meta_create(
        out->number, out->size, out->smallest, out->largest);
    enum ldb_status s = LDB_NO_MEMORY;

    if (meta != NULL) {
        meta->entry_count = out->counts.entries;
        meta->delete_count = out->counts.deletes;
        s = ldb_version_edit_add_file(edit, 0, meta);
    }
    ldb_file_meta_unref(meta);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

static void count_output(struct ldb_db *db, const struct output *out)
{
    ldb_count(&db->counters.flushes, 1);
    ldb_count(&db->counters.flush_bytes, out->size);
    ldb_log_line(db->log,
                 "memdb@flush created L0@%llu N\302\267%llu S\302\267%llu "
                 "T\302\267%lluus",
                 (unsigned long long)out->number,
                 (unsigned long long)ldb_memtable_entry_count(out->mem),
                 (unsigned long long)out->size, (unsigned long long)out->us);
    ldb_mutex_lock(&db->mu);
    db->level_counters[0].write_bytes += out->size;
    db->level_counters[0].us += out->us;
    ldb_mutex_unlock(&db->mu);
}

/* Makes the table durable, but for its name, and adds it to the edit. On
 * failure there is no file. */
static enum ldb_status finish_output(struct ldb_db *db, struct output *out,
                                     struct ldb_version_edit *edit,
                                     struct ldb_error *err)
{
    uint64_t start = db->env->ops->monotonic_us(db->env);
    enum ldb_status s;

    if (out->path == NULL)
        return LDB_OK;
    s = ldb_file_sync(out->file, err);
    if (s == LDB_OK) {
        s = ldb_file_close(out->file, err);
        out->file = NULL;
    }
    if (s == LDB_OK)
        s = check_table(db, out->number, out->size, err);
    if (s == LDB_OK)
        s = add_to_edit(out, edit, err);
    if (s != LDB_OK) {
        discard_output(db, out);
        return s;
    }
    out->us += db->env->ops->monotonic_us(db->env) - start;
    count_output(db, out);
    ldb_mem_free(out->path);
    out->path = NULL;
    return LDB_OK;
}

enum ldb_status ldb_flush_build_table(struct ldb_db *db,
                                      struct ldb_memtable *mem, uint64_t number,
                                      struct ldb_version_edit *edit,
                                      struct ldb_error *err)
{
    struct output out;
    enum ldb_status s = write_output(db, mem, number, err, &out);

    return s == LDB_OK ? finish_output(db, &out, edit, err) : s;
}

/* ---- groups ---- */

/*
 * Tables of one edit. Chosen: four share its syncs; more would keep writes that
 * have stopped waiting for longer.
 */
#define GROUP_MAX 4

struct group {
    struct output outputs[GROUP_MAX]; /* of the oldest memtables, in order */
    size_t count;
    struct ldb_version_edit edit;
    enum ldb_status status; /* the first failure */
    struct ldb_error error;
};

static void note_failure(struct group *group, enum ldb_status s,
                         const struct ldb_error *err)
{
    if (s == LDB_OK || group->status != LDB_OK)
        return;
    group->status = s;
    group->error = *err;
}

/* The memtable whose table the group takes next, and a number for that; NULL:
 * none. After a failure one alone: where the disk has no room for the group it
 * may have some for a table. */
static struct ldb_memtable *next_memtable(struct ldb_db *db,
                                          const struct group *group,
                                          uint64_t *out_number)
{
    struct ldb_memtable *mem = NULL;
    bool is_alone;

    ldb_mutex_lock(&db->mu);
    is_alone = db->is_paused || db->failures[LDB_WORK_FLUSH].attempts > 0 ||
               atomic_load_explicit(&db->closing, memory_order_relaxed);
    if (group->count < db->immutable_count &&
        (group->count == 0 || !is_alone)) {
        mem = db->immutables[group->count];
        *out_number = ldb_version_set_new_file_number(db->versions);
    }
    ldb_mutex_unlock(&db->mu);
    return mem;
}

static void write_group(struct ldb_db *db, struct group *group)
{
    while (group->status == LDB_OK && group->count < GROUP_MAX) {
        struct ldb_error err = {0};
        uint64_t number = 0;
        struct ldb_memtable *mem = next_memtable(db, group, &number);
        enum ldb_status s;

        if (mem == NULL)
            return;
        s = write_output(db, mem, number, &err, &group->outputs[group->count]);
        if (s == LDB_OK && group->outputs[group->count].name > 0)
            group->edit.newest_name = group->outputs[group->count].name;
        if (s == LDB_OK)
            group->count++;
        note_failure(group, s, &err);
    }
}

/* The group ends before the first that fails. */
static void finish_group(struct ldb_db *db, struct group *group)
{
    size_t written = group->count;

    for (group->count = 0; group->count < written; group->count++) {
        struct ldb_error err = {0};
        enum ldb_status s = finish_output(db, &group->outputs[group->count],
                                          &group->edit, &err);

        if (s == LDB_OK)
            continue;
        for (size_t i = group->count + 1; i < written; i++)
            discard_output(db, &group->outputs[i]);
        note_failure(group, s, &err);
        return;
    }
}

static void apply_group(struct ldb_db *db, struct group *group)
{
    struct ldb_error err = {0};
    size_t n = group->count;
    enum ldb_status s;

    if (n == 0)
        return;
    ldb_mutex_lock(&db->mu);
    /* The oldest journal still needed, and the last number before it. A sealed
     * journal has its name for good. */
    if (db->immutable_count > n) {
        ldb_version_edit_set_log_number(&group->edit,
                                        db->immutables[n]->journal_number);
    } else {
        ldb_version_edit_set_log_number(&group->edit, db->journal_number);
        if (db->journal_name > group->edit.newest_name)
            group->edit.newest_name = db->journal_name;
    }
    ldb_version_edit_set_last_sequence(
        &group->edit, group->outputs[n - 1].mem->last_sequence);
    s = ldb_version_set_apply(db->versions, &group->edit, &err);
    db->last_flush_us = db->env->ops->monotonic_us(db->env);
    ldb_mutex_unlock(&db->mu);
    note_failure(group, s, &err);
}

/* ---- memtables in tables ---- */

/* So many, the oldest, have their tables in the version: no edit names them
 * again. */
static size_t applied_count(const struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    uint64_t log_number = ldb_version_set_log_number(db->versions);
    size_t n = 0;

    while (n < db->immutable_count &&
           db->immutables[n]->journal_number < log_number)
        n++;
    return n;
}

/* What readers no longer need. */
struct dropped {
    struct ldb_memtable *mems[LDB_IMMUTABLES_MAX];
    size_t count;
    struct ldb_view *view; /* NULL: none was dropped */
};

/* Takes them out of the view, and lets writes have their room. */
static enum ldb_status take_applied(struct ldb_db *db, struct ldb_error *err,
                                    struct dropped *out) LDB_REQUIRES(db->mu)
{
    struct ldb_memtable *all[LDB_IMMUTABLES_MAX];
    size_t count = db->immutable_count;
    size_t n = applied_count(db);
    enum ldb_status s;

    if (n == 0)
        return LDB_OK;
    memcpy(all, db->immutables, sizeof(all));
    for (size_t i = n; i < count; i++)
        db->immutables[i - n] = all[i];
    db->immutable_count = count - n;
    s = ldb_db_install_view(db, err, &out->view);
    if (s != LDB_OK) {
        memcpy(db->immutables, all, sizeof(all));
        db->immutable_count = count;
        return s;
    }
    memcpy(out->mems, all, n * sizeof(all[0]));
    out->count = n;
    ldb_background_recovered(db, LDB_WORK_FLUSH);
    return LDB_OK;
}

enum ldb_status ldb_flush_drop_applied(struct ldb_db *db, struct ldb_error *err)
{
    struct dropped dropped = {0};
    uint64_t journals[LDB_IMMUTABLES_MAX];
    enum ldb_status s;

    ldb_mutex_lock(&db->mu);
    s = take_applied(db, err, &dropped);
    ldb_mutex_unlock(&db->mu);
    if (dropped.view != NULL)
        ldb_db_view_release(db, dropped.view);
    for (size_t i = 0; i < dropped.count; i++) {
        journals[i] = dropped.mems[i]->journal_number;
        ldb_memtable_unref(dropped.mems[i]);
    }
    ldb_obsolete_journals_retire(db, journals, dropped.count);
    return s;
}

static enum ldb_status flush_group(struct ldb_db *db, struct ldb_error *err)
{
    struct group group = {0};
    struct ldb_error why = {0};
    size_t applied;

    ldb_mutex_lock(&db->mu);
    applied = applied_count(db);
    ldb_mutex_unlock(&db->mu);
    if (applied == 0) { /* else only their dropping had failed */
        write_group(db, &group);
        finish_group(db, &group);
        apply_group(db, &group);
        ldb_version_edit_release(&group.edit);
    }
    note_failure(&group, ldb_flush_drop_applied(db, &why), &why);
    *err = group.error;
    return group.status;
}

/* ---- the thread ---- */

static bool has_flush_work(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    return !db->is_paused && db->immutable_count > 0 &&
           ldb_background_may_try(db, LDB_WORK_FLUSH) &&
           ldb_db_health(db) != LDB_HEALTH_SYNC_FAILED &&
           ldb_db_health(db) != LDB_HEALTH_WRITE_FAILED;
}

static void flush_once(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    struct ldb_error err = {0};
    uint64_t attempt = ++db->flush_begun;
    enum ldb_status s;

    db->is_flushing = true;
    ldb_mutex_unlock(&db->mu);
    s = flush_group(db, &err);
    ldb_obsolete_files_remove(db);
    ldb_mutex_lock(&db->mu);
    db->is_flushing = false;
    if (s == LDB_OK) {
        ldb_cond_broadcast(&db->work_done);
    } else {
        db->flush_failed = attempt;
        ldb_background_failed(db, LDB_WORK_FLUSH, &err);
    }
}

void ldb_flush_thread(void *context)
{
    struct ldb_db *db = context;

    ldb_mutex_lock(&db->mu);
    while (!atomic_load_explicit(&db->closing, memory_order_relaxed)) {
        if (has_flush_work(db)) {
            flush_once(db);
        } else if (atomic_load_explicit(&db->obsolete_pending,
                                        memory_order_relaxed) &&
                   !db->is_paused) {
            ldb_mutex_unlock(&db->mu);
            ldb_obsolete_files_remove(db);
            ldb_mutex_lock(&db->mu);
        } else {
            ldb_background_wait(db, LDB_WORK_FLUSH);
        }
    }
    ldb_mutex_unlock(&db->mu);
}
