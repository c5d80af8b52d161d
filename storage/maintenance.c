/* Flush, compaction on demand, sizes, destroy (contracts: ldb.h). */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"
#include "storage/folder_files.h"

/*
 * Waits until every memtable sealed up to that journal is in a table. An
 * attempt fails the wait that began after attempt `before`, no earlier one.
 */
static enum ldb_status wait_flushed(struct ldb_db *db, uint64_t journal_number,
                                    uint64_t before, struct ldb_error *err)
    LDB_REQUIRES(db->mu)
{
    while (db->immutable_count > 0 &&
           db->immutables[0]->journal_number <= journal_number) {
        const struct ldb_background_failure *f = &db->failures[LDB_WORK_FLUSH];

        if (f->attempts > 0 && db->flush_failed > before) {
            if (err != NULL)
                *err = f->error;
            return f->error.status;
        }
        if (f->attempts > 0)
            ldb_background_try_now(db, LDB_WORK_FLUSH);
        if (ldb_db_health(db) == LDB_HEALTH_SYNC_FAILED ||
            ldb_db_health(db) == LDB_HEALTH_WRITE_FAILED)
            return ldb_error_set(err, LDB_READ_ONLY,
                                 "writes have stopped: %.200s",
                                 db->health_error.message);
        ldb_cond_wait(&db->work_done, &db->mu);
    }
    return LDB_OK;
}

/* Seals the memtable when there is something in it. *out_number: its journal.
 * The leader's. */
static enum ldb_status seal_current(struct ldb_db *db, uint64_t before,
                                    struct ldb_error *err, uint64_t *out_number,
                                    struct ldb_view **out_old)
    LDB_REQUIRES(db->mu)
{
    enum ldb_status s = LDB_OK;

    *out_number = db->journal_number;
    while (s == LDB_OK &&
           db->immutable_count >= db->options.immutable_memtables_max)
        s = wait_flushed(db, db->immutables[0]->journal_number, before, err);
    if (s != LDB_OK || ldb_memtable_entry_count(db->mem) == 0)
        return s;
    return ldb_throttle_seal(db, err, out_old);
}

enum ldb_status ldb_flush(struct ldb_db *db, struct ldb_error *err)
{
    struct ldb_view *old = NULL;
    uint64_t number = 0;
    uint64_t before;
    enum ldb_status s;

    if (!ldb_db_is_writable(db))
        return ldb_db_refuse_write(db, err);
    ldb_lead_begin(db);
    ldb_mutex_lock(&db->mu);
    before = db->flush_begun;
    s = seal_current(db, before, err, &number, &old);
    ldb_mutex_unlock(&db->mu);
    ldb_lead_end(db);
    if (old != NULL)
        ldb_db_view_release(db, old);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&db->mu);
    s = wait_flushed(db, number, before, err);
    ldb_mutex_unlock(&db->mu);
    return s;
}

/* ---- compaction on demand ---- */

/* Between two looks of who looks on. Chosen. */
#define REPORT_US UINT64_C(200000)

static uint64_t overlapping_bytes(const struct ldb_db *db,
                                  const struct ldb_version *version,
                                  uint32_t level,
                                  const struct ldb_manual_compaction *manual)
{
    const struct ldb_comparator *cmp = db->options.comparator;
    uint64_t bytes = 0;

    for (size_t i = 0; i < version->levels[level].count; i++) {
        const struct ldb_file_meta *meta = version->levels[level].files[i];

        if ((manual->begin == NULL ||
             ldb_compare(cmp, ldb_internal_user_key(meta->largest),
                         *manual->begin) >= 0) &&
            (manual->end == NULL ||
             ldb_compare(cmp, ldb_internal_user_key(meta->smallest),
                         *manual->end) <= 0))
            bytes += meta->size;
    }
    return bytes;
}

/* About what its steps will read: each level goes down with all above it. */
static uint64_t bytes_to_merge(struct ldb_db *db,
                               const struct ldb_manual_compaction *manual)
    LDB_REQUIRES(db->mu)
{
    const struct ldb_version *version = ldb_version_set_current(db->versions);
    uint64_t bytes[LDB_LEVEL_COUNT];
    uint32_t deepest = 1;
    uint64_t above = 0;
    uint64_t total = 0;

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        bytes[level] = overlapping_bytes(db, version, level, manual);
        if (bytes[level] > 0 && level > deepest)
            deepest = level;
    }
    for (uint32_t level = 0; level < deepest; level++) {
        above += bytes[level];
        total += above + bytes[level + 1];
    }
    return total;
}

/* Until it is done; mu is free while progress is asked. */
static void wait_watched(struct ldb_db *db,
                         struct ldb_manual_compaction *manual,
                         const struct ldb_progress *progress)
    LDB_REQUIRES(db->mu)
{
    uint64_t total = bytes_to_merge(db, manual);

    while (!manual->done) {
        uint64_t merged = manual->merged_bytes;
        bool goes_on;

        ldb_mutex_unlock(&db->mu);
        goes_on = progress->report(progress->context,
                                   merged < total ? merged : total, total);
        ldb_mutex_lock(&db->mu);
        if (!goes_on) {
            atomic_store_explicit(&manual->is_cancelled, true,
                                  memory_order_relaxed);
            ldb_cond_broadcast(&db->work);
        }
        /* What was done meanwhile is seen at the latest after the pause. */
        if (!manual->done)
            (void)ldb_cond_wait_for(&db->work_done, &db->mu, REPORT_US);
    }
}

enum ldb_status ldb_compact_range(struct ldb_db *db,
                                  const struct ldb_slice *begin,
                                  const struct ldb_slice *end,
                                  struct ldb_error *err)
{
    return ldb_compact_range_with(db, begin, end, NULL, err);
}

enum ldb_status ldb_compact_range_with(struct ldb_db *db,
                                       const struct ldb_slice *begin,
                                       const struct ldb_slice *end,
                                       const struct ldb_progress *progress,
                                       struct ldb_error *err)
{
    struct ldb_manual_compaction manual = {
        .begin = begin, .end = end, .after = LDB_BUF_INIT(SIZE_MAX)};
    struct ldb_manual_compaction **last = &db->manual;
    enum ldb_status s = ldb_flush(db, err);

    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&db->mu);
    if (db->compaction_halted) {
        s = ldb_error_set(err, LDB_CORRUPTION, "compaction has stopped: %.200s",
                          db->failures[LDB_WORK_COMPACTION].error.message);
    } else {
        while (*last != NULL)
            last = &(*last)->next;
        *last = &manual;
        ldb_cond_broadcast(&db->work);
        if (progress != NULL)
            wait_watched(db, &manual, progress);
        while (!manual.done)
            ldb_cond_wait(&db->work_done, &db->mu);
        s = manual.status;
        if (s == LDB_CANCELLED)
            ldb_error_set(err, s, "the compaction was cancelled");
        else if (s != LDB_OK && err != NULL)
            *err = manual.error;
    }
    ldb_mutex_unlock(&db->mu);
    return s;
}

/* Bytes of tables before internal key `key`. */
static enum ldb_status offset_of(struct ldb_db *db,
                                 const struct ldb_version *version,
                                 struct ldb_slice key, struct ldb_error *err,
                                 uint64_t *out_offset)
{
    const struct ldb_comparator *cmp = db->options.comparator;
    uint64_t total = 0;

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < version->levels[level].count; i++) {
            const struct ldb_file_meta *meta = version->levels[level].files[i];
            uint64_t offset = 0;
            enum ldb_status s;

            if (ldb_internal_compare(cmp, meta->largest, key) <= 0) {
                total += meta->size;
                continue;
            }
            if (ldb_internal_compare(cmp, meta->smallest, key) > 0) {
                if (level > 0)
                    break; /* all later ones begin after it too */
                continue;
            }
            s = ldb_table_cache_approximate_offset(
                db->tables, meta->number, meta->size, key, err, &offset);
            if (s != LDB_OK)
                return s;
            total += offset;
        }
    }
    *out_offset = total;
    return LDB_OK;
}

enum ldb_status ldb_approximate_size(struct ldb_db *db, struct ldb_slice start,
                                     struct ldb_slice end,
                                     struct ldb_error *err, uint64_t *out_bytes)
{
    struct ldb_slice bounds[2] = {start, end};
    uint64_t offsets[2] = {0, 0};
    struct ldb_buf key = LDB_BUF_INIT(SIZE_MAX);
    ldb_sequence sequence;
    struct ldb_view *view = ldb_db_view(db, &sequence);
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < 2; i++) {
        ldb_buf_clear(&key);
        if (ldb_internal_key_append(
                &key, bounds[i],
                ldb_tag_make(LDB_SEQUENCE_MAX, LDB_KIND_SEEK)) != LDB_OK)
            s = ldb_error_no_memory(err);
        else
            s = offset_of(db, view->version, ldb_slice_of_buf(&key), err,
                          &offsets[i]);
    }
    if (s == LDB_OK)
        *out_bytes = offsets[1] > offsets[0] ? offsets[1] - offsets[0] : 0;
    ldb_db_view_release(db, view);
    ldb_buf_release(&key);
    return s;
}

/* ---- destroy ---- */

struct destroy {
    struct ldb_buf names; /* NUL-terminated */
    bool is_database;
};

static enum ldb_status collect(void *context, const char *name)
{
    struct destroy *destroy = context;
    uint64_t number;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);

    if (type == LDB_FILE_FOREIGN || type == LDB_FILE_LOCK)
        return LDB_OK;
    destroy->is_database |= ldb_folder_file_is_data(type);
    return ldb_buf_append(&destroy->names,
                          ldb_slice_make(name, strlen(name) + 1));
}

/* CURRENT goes last of all: until then the folder still is a database. */
static enum ldb_status remove_names(struct ldb_env *env, const char *path,
                                    const struct ldb_buf *names,
                                    bool current_only, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t at = 0; s == LDB_OK && at < names->len;) {
        const char *name = (const char *)names->data + at;
        size_t len = strlen(name);

        at += len + 1;
        if ((strcmp(name, "CURRENT") == 0) == current_only) {
            char *file = ldb_mem_printf("%s/%s", path, name);

            s = file == NULL ? ldb_error_no_memory(err)
                             : env->ops->remove_file(env, file, err);
            ldb_mem_free(file);
        }
    }
    return s;
}

/* The names of path's files; NOT_FOUND: it is no database. */
static enum ldb_status list_names(struct ldb_env *env, const char *path,
                                  struct ldb_error *err,
                                  struct destroy *destroy)
{
    enum ldb_status s;

    ldb_buf_clear(&destroy->names);
    destroy->is_database = false;
    s = env->ops->list_dir(env, path, collect, destroy, err);
    if (s == LDB_OK && !destroy->is_database)
        s = ldb_error_set(err, LDB_NOT_FOUND, "%s: there is no database", path);
    return s;
}

/* Everything but CURRENT, then it; each durable before what follows. */
static enum ldb_status remove_database(struct ldb_env *env, const char *path,
                                       const struct destroy *destroy,
                                       struct ldb_error *err)
{
    enum ldb_status s = remove_names(env, path, &destroy->names, false, err);

    if (s == LDB_OK)
        s = env->ops->sync_dir(env, path, err);
    if (s == LDB_OK)
        s = remove_names(env, path, &destroy->names, true, err);
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, path, err);
    return s;
}

enum ldb_status ldb_destroy(const char *path, const struct ldb_options *options,
                            struct ldb_error *err)
{
    struct ldb_env *env = options == NULL || options->env == NULL
                              ? ldb_env_posix()
                              : options->env;
    struct destroy destroy = {.names = LDB_BUF_INIT(SIZE_MAX)};
    struct ldb_file_lock *lock = NULL;
    char *lock_path = ldb_file_path(path, LDB_FILE_LOCK, 0);
    enum ldb_status s;

    if (lock_path == NULL)
        return ldb_error_no_memory(err);
    /* Locking makes a file, so look first; what is there may have changed
     * until nobody else has it. */
    s = list_names(env, path, err, &destroy);
    if (s == LDB_OK)
        s = env->ops->lock_file(env, lock_path, false, err, &lock);
    if (s == LDB_OK)
        s = list_names(env, path, err, &destroy);
    if (s == LDB_OK)
        s = remove_database(env, path, &destroy, err);
    if (s == LDB_OK)
        ldb_retained_discard(env, path);
    if (lock != NULL) {
        env->ops->unlock_file(env, lock);
        /* What is left are foreign files, or an empty folder that may stay. */
        (void)env->ops->remove_file(env, lock_path, NULL);
        (void)env->ops->remove_dir(env, path, NULL);
    }
    ldb_mem_free(lock_path);
    ldb_buf_release(&destroy.names);
    return s;
}
