/*
 * Immutable memtable -> level-0 table -> version edit (contracts:
 * db_internal.h). One thread, oldest memtable first: so a level-0 table with a
 * greater number holds newer entries (LevelDB's get relies on it:
 * docs/formats.md, rule 22), and field 2 of the MANIFEST only grows.
 *
 * A flush drops no entry: the table is a function of its journal and the
 * options.
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

static enum ldb_status write_table(struct ldb_db *db, struct ldb_iterator *it,
                                   const char *path, uint64_t number,
                                   struct ldb_file_meta **out_meta,
                                   struct ldb_error *err)
{
    struct ldb_table_counts counts = {0};
    struct ldb_writable_file *file = NULL;
    struct ldb_table_builder *builder = NULL;
    struct ldb_slice smallest = {0};
    struct ldb_slice largest = {0};
    uint64_t size = 0;
    enum ldb_status s;

    s = db->env->ops->open_writable(db->env, path, LDB_OPEN_TRUNCATE, err,
                                    &file);
    if (s != LDB_OK)
        return s;
    s = ldb_table_builder_create(file, &db->table_options, err, &builder);
    if (s == LDB_OK)
        s = add_entries(it, builder, &smallest, &largest, err);
    if (s == LDB_OK)
        s = ldb_table_builder_finish(builder, err);
    if (s == LDB_OK) {
        size = ldb_table_builder_file_size(builder);
        counts = ldb_table_builder_counts(builder);
        s = ldb_file_sync(file, err);
    }
    ldb_table_builder_destroy(builder);
    if (s == LDB_OK)
        s = ldb_file_close(file, err);
    else
        (void)ldb_file_close(file, NULL); /* the file goes */
    if (s == LDB_OK)
        s = check_table(db, number, size, err);
    if (s != LDB_OK)
        return s;
    *out_meta = ldb_file_meta_create(number, size, smallest, largest);
    if (*out_meta == NULL)
        return ldb_error_no_memory(err);
    (*out_meta)->entry_count = counts.entries;
    (*out_meta)->delete_count = counts.deletes;
    return LDB_OK;
}

enum ldb_status ldb_flush_build_table(struct ldb_db *db,
                                      struct ldb_memtable *mem, uint64_t number,
                                      struct ldb_version_edit *edit,
                                      struct ldb_error *err)
{
    struct ldb_iterator *it = NULL;
    struct ldb_file_meta *meta = NULL;
    uint64_t start = db->env->ops->monotonic_us(db->env);
    uint64_t us;
    char *path = NULL;
    enum ldb_status s;

    if (ldb_memtable_entry_count(mem) == 0)
        return LDB_OK;
    path = ldb_file_path(db->dir, LDB_FILE_TABLE, number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_memtable_iterator_create(mem, err, &it);
    if (s == LDB_OK)
        s = write_table(db, it, path, number, &meta, err);
    if (s == LDB_OK && ldb_version_edit_add_file(edit, 0, meta) != LDB_OK)
        s = ldb_error_no_memory(err);
    if (s != LDB_OK) {
        ldb_table_cache_evict(db->tables, number);
        (void)db->env->ops->remove_file(db->env, path, NULL); /* half made */
        goto out;
    }
    us = db->env->ops->monotonic_us(db->env) - start;
    ldb_count(&db->counters.flushes, 1);
    ldb_count(&db->counters.flush_bytes, meta->size);
    ldb_log_line(db->log,
                 "memdb@flush created L0@%llu N\302\267%llu S\302\267%llu "
                 "T\302\267%lluus",
                 (unsigned long long)number,
                 (unsigned long long)ldb_memtable_entry_count(mem),
                 (unsigned long long)meta->size, (unsigned long long)us);
    ldb_mutex_lock(&db->mu);
    db->level_counters[0].write_bytes += meta->size;
    db->level_counters[0].us += us;
    ldb_mutex_unlock(&db->mu);
out:
    ldb_file_meta_unref(meta);
    ldb_iterator_destroy(it);
    ldb_mem_free(path);
    return s;
}

/* The table is durable and in the version: the oldest memtable goes. */
static enum ldb_status drop_oldest(struct ldb_db *db, struct ldb_error *err,
                                   struct ldb_view **out_old)
    LDB_REQUIRES(db->mu)
{
    struct ldb_memtable *oldest = db->immutables[0];
    enum ldb_status s;

    db->immutable_count--;
    for (size_t i = 0; i < db->immutable_count; i++)
        db->immutables[i] = db->immutables[i + 1];
    s = ldb_db_install_view(db, err, out_old);
    if (s != LDB_OK) {
        for (size_t i = db->immutable_count; i > 0; i--)
            db->immutables[i] = db->immutables[i - 1];
        db->immutables[0] = oldest;
        db->immutable_count++;
    }
    return s;
}

static void remove_journal(struct ldb_db *db, uint64_t number)
{
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, number);

    /* One that stays is removed at the next open. */
    if (path != NULL)
        (void)db->env->ops->remove_file(db->env, path, NULL);
    ldb_mem_free(path);
}

/*
 * What a flush has reached, so that a retry goes on after it: a table whose
 * edit was written must not be written twice.
 */
struct flush_progress {
    struct ldb_memtable *mem; /* referenced; NULL: none under way */
    bool is_applied;
};

static enum ldb_status build_and_apply(struct ldb_db *db,
                                       struct ldb_memtable *mem,
                                       struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    uint64_t number;
    enum ldb_status s;

    ldb_mutex_lock(&db->mu);
    number = ldb_version_set_new_file_number(db->versions);
    ldb_mutex_unlock(&db->mu);
    s = ldb_flush_build_table(db, mem, number, &edit, err);
    if (s == LDB_OK) {
        ldb_mutex_lock(&db->mu);
        /* The oldest journal still needed, and the last number before it. */
        ldb_version_edit_set_log_number(
            &edit, db->immutable_count > 1 ? db->immutables[1]->journal_number
                                           : db->journal_number);
        ldb_version_edit_set_last_sequence(&edit, mem->last_sequence);
        s = ldb_version_set_apply(db->versions, &edit, err);
        db->last_flush_us = db->env->ops->monotonic_us(db->env);
        ldb_mutex_unlock(&db->mu);
    }
    ldb_version_edit_release(&edit);
    return s;
}

/* Flushes progress->mem, or the oldest memtable. */
static enum ldb_status flush_oldest(struct ldb_db *db,
                                    struct flush_progress *progress,
                                    struct ldb_error *err)
{
    struct ldb_view *old = NULL;
    enum ldb_status s = LDB_OK;

    if (!progress->is_applied) {
        s = build_and_apply(db, progress->mem, err);
        if (s != LDB_OK)
            return s;
        progress->is_applied = true;
    }
    ldb_mutex_lock(&db->mu);
    s = drop_oldest(db, err, &old);
    ldb_mutex_unlock(&db->mu);
    if (s != LDB_OK)
        return s;
    ldb_db_view_release(db, old);
    remove_journal(db, progress->mem->journal_number);
    /* The list's reference and the progress's own. */
    ldb_memtable_unref(progress->mem);
    ldb_memtable_unref(progress->mem);
    *progress = (struct flush_progress){0};
    return LDB_OK;
}

static bool has_flush_work(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    return !db->is_paused && db->immutable_count > 0 &&
           ldb_background_may_try(db, LDB_WORK_FLUSH) &&
           ldb_db_health(db) != LDB_HEALTH_SYNC_FAILED &&
           ldb_db_health(db) != LDB_HEALTH_WRITE_FAILED;
}

static void flush_once(struct ldb_db *db, struct flush_progress *progress)
    LDB_REQUIRES(db->mu)
{
    struct ldb_error err = {0};
    uint64_t attempt = ++db->flush_begun;
    enum ldb_status s;

    if (progress->mem == NULL)
        progress->mem = ldb_memtable_ref(db->immutables[0]);
    db->is_flushing = true;
    ldb_mutex_unlock(&db->mu);
    s = flush_oldest(db, progress, &err);
    ldb_obsolete_files_remove(db);
    ldb_mutex_lock(&db->mu);
    db->is_flushing = false;
    if (s == LDB_OK) {
        ldb_background_recovered(db, LDB_WORK_FLUSH);
    } else {
        db->flush_failed = attempt;
        ldb_background_failed(db, LDB_WORK_FLUSH, &err);
    }
}

void ldb_flush_thread(void *context)
{
    struct ldb_db *db = context;
    struct flush_progress progress = {0};

    ldb_mutex_lock(&db->mu);
    while (!atomic_load_explicit(&db->closing, memory_order_relaxed)) {
        if (db->is_paused && progress.mem != NULL) {
            /* ldb_reopen() replaces the memtables: begin anew after it. */
            ldb_memtable_unref(progress.mem);
            progress = (struct flush_progress){0};
        }
        if (has_flush_work(db)) {
            flush_once(db, &progress);
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
    ldb_memtable_unref(progress.mem);
}
