/*
 * struct ldb_db: open, close, reopen; who owns what (contracts: ldb.h,
 * db_internal.h).
 */
#include <stdatomic.h>

#include "storage/base/env_no_sync.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/journal/journal_scan.h"
#include "storage/twin_internal.h"
#include "storage/version/current_file.h"

/* ---- putting the parts together and taking them apart ---- */

static void on_obsolete(void *context)
{
    struct ldb_db *db = context;

    /* Whoever dropped the version wakes the flush thread: no lock here. */
    atomic_store_explicit(&db->obsolete_pending, true, memory_order_relaxed);
}

static void init_locks(struct ldb_db *db)
{
    ldb_mutex_init(&db->queue_mu);
    ldb_mutex_init(&db->mu);
    ldb_mutex_init(&db->view_mu);
    ldb_cond_init(&db->committer_wakes);
    ldb_cond_init(&db->leader_done);
    ldb_cond_init(&db->work);
    ldb_cond_init(&db->work_done);
    ldb_cond_init(&db->early_sync_wakes);
}

static void release_locks(struct ldb_db *db)
{
    ldb_cond_release(&db->early_sync_wakes);
    ldb_cond_release(&db->work_done);
    ldb_cond_release(&db->work);
    ldb_cond_release(&db->leader_done);
    ldb_cond_release(&db->committer_wakes);
    ldb_mutex_release(&db->view_mu);
    ldb_mutex_release(&db->mu);
    ldb_mutex_release(&db->queue_mu);
}

static void close_journal(struct ldb_db *db)
{
    if (db->journal != NULL)
        LDB_IGNORE(ldb_journal_writer_close(db->journal, NULL)); /* synced, or
                                                                    lost */
    db->journal = NULL;
}

/* Drops memtables and the view; no reader is left. */
static void drop_memory(struct ldb_db *db)
{
    ldb_view_slots_sweep(&db->view_slots);
    (void)ldb_view_unref(db->view);
    db->view = NULL;
    ldb_memtable_unref(db->mem);
    db->mem = NULL;
    for (size_t i = 0; i < db->immutable_count; i++)
        ldb_memtable_unref(db->immutables[i]);
    db->immutable_count = 0;
}

/* Frees db as far as it was made; no thread runs. */
static void destroy(struct ldb_db *db)
{
    if (db == NULL)
        return;
    close_journal(db);
    drop_memory(db);
    ldb_version_set_destroy(db->versions);
    ldb_table_cache_destroy(db->tables);
    ldb_row_cache_destroy(db->rows);
    if (db->owns_block_cache)
        ldb_block_cache_destroy(db->block_cache);
    ldb_retained_destroy(db->retained);
    ldb_log_close(db->log);
    if (db->lock != NULL)
        db->env->ops->unlock_file(db->env, db->lock);
    ldb_env_no_sync_destroy(db->no_sync_env);
    release_locks(db);
    ldb_twin_destroy(db->twin);
    ldb_mem_free(db->dir);
    ldb_mem_free(db);
}

/* Bounds of a table, as of the option table_bytes. */
#define TABLE_BYTES_MIN ((double)(UINT64_C(1) << 10))
#define TABLE_BYTES_MAX ((double)(UINT64_C(4) << 30))

/* Bytes of a table of the level. */
static uint64_t table_bytes_of(const struct ldb_options *o, uint32_t level)
{
    double factor = 1;
    double bytes;

    for (uint32_t l = 0; l < level; l++)
        factor *= o->table_multiplier;
    if (o->table_multipliers[level] > 0)
        factor = o->table_multipliers[level];
    bytes = (double)o->table_bytes * factor;
    if (bytes < TABLE_BYTES_MIN)
        return (uint64_t)TABLE_BYTES_MIN;
    return (uint64_t)(bytes > TABLE_BYTES_MAX ? TABLE_BYTES_MAX : bytes);
}

static void set_table_options(struct ldb_db *db)
{
    const struct ldb_options *o = &db->options;
    const struct ldb_filter_policy *filter = o->filter;

    if (filter == NULL && o->bloom_bits > 0) {
        db->bloom = (struct ldb_filter_policy){
            .name = LDB_BLOOM_NAME_GOLEVELDB,
            .bloom_bits_per_key = o->bloom_bits,
        };
        filter = &db->bloom;
    }
    db->table_options = (struct ldb_table_options){
        .comparator = o->comparator,
        .filter = filter,
        .alt_filters = o->alt_filters,
        .alt_filter_count = o->alt_filter_count,
        .filter_base_lg = o->filter_base_lg,
        .block_size = o->block_bytes,
        .restart_interval = o->block_restart_interval,
        .compress = o->compress,
        .block_cache = db->block_cache,
        .verify_index_checksums = true,
    };
    db->limits = (struct ldb_compaction_limits){
        .expand_limit_factor = o->expand_limit_factor,
        .grandparent_limit_factor = o->grandparent_overlap_factor,
        .source_limit_factor = o->source_limit_factor,
    };
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        db->limits.table_bytes[level] = table_bytes_of(o, level);
}

static enum ldb_status create_caches(struct ldb_db *db, struct ldb_error *err)
{
    const struct ldb_options *o = &db->options;
    enum ldb_status s = LDB_OK;

    if (o->disable_block_cache) {
        db->block_cache = NULL;
    } else if (o->block_cache != NULL) {
        db->block_cache = o->block_cache;
    } else {
        s = ldb_block_cache_create(o->block_cache_bytes, err, &db->block_cache);
        db->owns_block_cache = s == LDB_OK;
    }
    /* Rows are found by their keys' bytes. */
    if (s == LDB_OK && o->row_cache_bytes > 0 &&
        o->comparator == ldb_comparator_bytewise())
        s = ldb_row_cache_create(o->row_cache_bytes, err, &db->rows);
    if (s != LDB_OK)
        return s;
    set_table_options(db);
    return ldb_table_cache_create(db->env, db->dir, &db->table_options,
                                  o->open_tables_max, err, &db->tables);
}

static enum ldb_status sync_names(void *context, uint64_t newest,
                                  struct ldb_error *err)
{
    return ldb_folder_names_sync(context, newest, err);
}

static enum ldb_status create_versions(struct ldb_db *db, struct ldb_error *err)
{
    const struct ldb_options *o = &db->options;
    const struct ldb_version_set_options options = {
        .env = db->env,
        .dir = db->dir,
        .comparator = o->comparator,
        .mu = &db->mu,
        .manifest_rotate_bytes = o->manifest_rotate_bytes,
        .skip_manifest_damage = o->skip_manifest_damage,
        .l0_compaction_trigger = o->l0_compaction_trigger,
        .level1_bytes = o->level1_bytes,
        .level_multiplier = o->level_multiplier,
        .level_multipliers = o->level_multipliers,
        .counts_seeks = o->seek_compaction && !o->read_only,
        .sync_names = sync_names,
        .sync_names_context = db,
    };
    enum ldb_status s = ldb_version_set_create(&options, err, &db->versions);

    if (s == LDB_OK)
        ldb_version_set_on_obsolete(db->versions, on_obsolete, db);
    return s;
}

static enum ldb_status create_retained(struct ldb_db *db, struct ldb_error *err)
{
    const struct ldb_retained_options options = {
        .env = db->env,
        .dir = db->dir,
        .log = db->log,
        .bytes_max = db->options.archive_bytes,
        .age_us = db->options.archive_age_us,
    };

    if (!ldb_db_is_writable(db))
        return LDB_OK;
    return ldb_retained_create(&options, err, &db->retained);
}

/* ---- open ---- */

/* Both locks on LOCK; then, and only then, LOG. */
static enum ldb_status lock_folder(struct ldb_db *db, struct ldb_error *err)
{
    bool read_only = db->options.read_only;
    char *path = ldb_file_path(db->dir, LDB_FILE_LOCK, 0);
    enum ldb_status s = LDB_OK;

    if (path == NULL)
        return ldb_error_no_memory(err);
    if (!read_only && db->options.create_if_missing)
        s = ldb_env_create_folder(db->env, db->dir, err);
    if (s == LDB_OK)
        s = db->env->ops->lock_file(db->env, path, read_only, err, &db->lock);
    /* A copy without LOCK may still be read; nobody can be writing it. */
    if (s == LDB_NOT_FOUND && read_only)
        s = LDB_OK;
    ldb_mem_free(path);
    if (s != LDB_OK || read_only)
        return s;
    return ldb_log_open(db->env, db->dir, err, &db->log);
}

static enum ldb_status read_versions(struct ldb_db *db,
                                     struct ldb_recovery *recovery,
                                     struct ldb_error *err)
{
    const struct ldb_options *o = &db->options;
    enum ldb_status s = ldb_version_set_recover(db->versions, err);

    if (s == LDB_OK && o->error_if_exists)
        return ldb_error_set(err, LDB_EXISTS, "%s: there is a database already",
                             db->dir);
    if (s == LDB_NOT_FOUND && o->create_if_missing && !o->read_only) {
        recovery->created = true;
        ldb_log_line(db->log, "db@open creating");
        return ldb_version_set_create_new(db->versions, err);
    }
    if (s == LDB_NOT_FOUND)
        return ldb_error_set(err, s, "%s: there is no database", db->dir);
    return s == LDB_OK ? ldb_recovery_survey(db, recovery, err) : s;
}

static enum ldb_status recover(struct ldb_db *db, struct ldb_recovery *recovery,
                               struct ldb_error *err)
{
    struct ldb_view *none = NULL;
    enum ldb_status s = read_versions(db, recovery, err);

    if (s == LDB_OK)
        s = db->twin != NULL ? ldb_twin_recover(db, recovery, err)
                             : ldb_recover_journals(db, recovery, err);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&db->mu);
    s = ldb_db_install_view(db, err, &none);
    ldb_mutex_unlock(&db->mu);
    assert(none == NULL);
    if (s == LDB_OK && !db->options.read_only)
        s = ldb_obsolete_files_sweep(db, recovery->created, err);
    if (s == LDB_OK && db->twin == NULL)
        ldb_durable_restart(db, db->journal_number, db->last_assigned);
    return s;
}

static void log_opened(struct ldb_db *db, const struct ldb_recovery *r)
{
    if (r->manifest_bytes_dropped > 0)
        ldb_log_line(db->log, "manifest@drop F\302\267%llu S\302\267%lluB",
                     (unsigned long long)r->manifest_number,
                     (unsigned long long)r->manifest_bytes_dropped);
    ldb_log_line(db->log,
                 "db@open done J\302\267%llu R\302\267%llu D\302\267%lluB "
                 "Tail\302\267%lluB Q\302\267%llu T\302\267%lluus",
                 (unsigned long long)r->journals_replayed,
                 (unsigned long long)r->records_replayed,
                 (unsigned long long)r->bytes_dropped,
                 (unsigned long long)r->tail_bytes,
                 (unsigned long long)r->last_sequence,
                 (unsigned long long)r->duration_us);
}

/* What a twin would relax of what it holds, it does not. */
static enum ldb_status make_twin(struct ldb_db *db, struct ldb_error *err)
{
    struct ldb_options *o = &db->options;

    if (o->read_only)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "a twin cannot be read_only: it writes what its "
                             "leader sends");
    o->strict_journal = true;
    o->skip_journal_checksums = false;
    o->skip_manifest_damage = false;
    o->journal = LDB_JOURNAL_APPENDED;
    db->twin = ldb_twin_create();
    return db->twin == NULL ? ldb_error_no_memory(err) : LDB_OK;
}

static enum ldb_status init_db(struct ldb_db *db, const char *path,
                               const struct ldb_options *options, bool as_twin,
                               struct ldb_error *err)
{
    enum ldb_status s = ldb_options_complete(options, err, &db->options);

    if (s == LDB_OK && as_twin)
        s = make_twin(db, err);
    if (s != LDB_OK)
        return s;
    atomic_init(&db->sample_left, db->options.iterator_sampling_bytes);
    db->env = db->options.env;
    if (db->options.no_sync) {
        s = ldb_env_no_sync_create(db->options.env, err, &db->no_sync_env);
        if (s != LDB_OK)
            return s;
        db->env = db->no_sync_env;
    }
    db->dir = ldb_mem_strdup(path);
    return db->dir == NULL ? ldb_error_no_memory(err) : LDB_OK;
}

enum ldb_status ldb_db_open(const char *path, const struct ldb_options *options,
                            bool as_twin, struct ldb_recovery *recovery,
                            struct ldb_error *err, struct ldb_db **out)
{
    struct ldb_recovery found = {0};
    struct ldb_db *db = ldb_mem_zalloc(1, sizeof(*db));
    uint64_t start;
    enum ldb_status s;

    if (db == NULL)
        return ldb_error_no_memory(err);
    init_locks(db);
    s = init_db(db, path, options, as_twin, err);
    if (s != LDB_OK)
        goto out;
    start = db->env->ops->monotonic_us(db->env);
    s = lock_folder(db, err);
    if (s == LDB_OK)
        s = create_caches(db, err);
    if (s == LDB_OK)
        s = create_versions(db, err);
    if (s == LDB_OK)
        s = create_retained(db, err);
    if (s == LDB_OK)
        s = recover(db, &found, err);
    if (s == LDB_OK && ldb_db_is_writable(db))
        s = ldb_background_start(db, err);
    if (s != LDB_OK)
        goto out;
    found.duration_us = db->env->ops->monotonic_us(db->env) - start;
    log_opened(db, &found);
    if (recovery != NULL)
        *recovery = found;
    *out = db;
    db = NULL;
out:
    if (db != NULL && s != LDB_OK && err != NULL)
        ldb_log_line(db->log, "db@open error %s", err->message);
    destroy(db);
    return s;
}

enum ldb_status ldb_open(const char *path, const struct ldb_options *options,
                         struct ldb_recovery *recovery, struct ldb_error *err,
                         struct ldb_db **out)
{
    return ldb_db_open(path, options, false, recovery, err, out);
}

/* ---- close and reopen ---- */

enum ldb_status ldb_close(struct ldb_db *db, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (!db->options.read_only) {
        ldb_background_stop(db);
        ldb_journal_spare_drop(db);
        assert(db->queue_head == NULL);
        if (db->journal != NULL) /* else a twin has none, or a reopen failed */
            s = ldb_journal_sync(db, err);
        ldb_obsolete_files_remove(db);
    }
    ldb_log_line(db->log, "db@close done");
    destroy(db);
    return s;
}

/* Cuts the journal to what was synced of it. */
static enum ldb_status cut_journal(struct ldb_db *db, struct ldb_error *err)
{
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, db->journal_number);
    struct ldb_writable_file *file = NULL;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = db->env->ops->open_writable(db->env, path, LDB_OPEN_APPEND, err, &file);
    if (s == LDB_OK)
        s = ldb_file_truncate(file, ldb_journal_writer_synced_len(db->journal),
                              err);
    if (s == LDB_OK)
        s = ldb_file_sync(file, err);
    if (file != NULL) {
        enum ldb_status closed = ldb_file_close(file, s == LDB_OK ? err : NULL);

        s = s == LDB_OK ? closed : s;
    }
    ldb_mem_free(path);
    return s;
}

/* The last sequence up to the end of the journal, which was cut. */
static enum ldb_status find_last(struct ldb_db *db, struct ldb_error *err,
                                 ldb_sequence *out_last)
{
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, db->journal_number);
    struct ldb_journal_content content = {0};
    struct ldb_retained_journal open = {0};
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, db->journal_number);
    s = ldb_journal_scan(db->env, path, name, err, &content);
    ldb_mem_free(path);
    if (s != LDB_OK)
        return s;
    s = ldb_retained_get(db->retained, db->journal_number, &open);
    assert(s == LDB_OK && open.first > 0);
    *out_last = content.last < open.first ? open.first - 1 : content.last;
    return LDB_OK;
}

/* The journal stays held: a sync of it now would take for durable what is gone
 * from it. */
enum ldb_status ldb_cut_unsynced(struct ldb_db *db, struct ldb_error *err,
                                 ldb_sequence *out_last)
{
    enum ldb_health health = ldb_db_health(db);
    enum ldb_status s = LDB_OK;

    if (!ldb_db_is_writable(db))
        return ldb_db_refuse_write(db, err);
    if (health != LDB_HEALTH_SYNC_FAILED && health != LDB_HEALTH_WRITE_FAILED)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "writes have not stopped");
    ldb_lead_begin(db);
    ldb_journal_sync_settle(db);
    /* None: a reopening has cut it, and failed later. */
    *out_last = db->last_assigned;
    if (db->journal != NULL) {
        s = cut_journal(db, err);
        if (s == LDB_OK) {
            ldb_mutex_lock(&db->mu);
            db->journal_is_cut = true;
            ldb_mutex_unlock(&db->mu);
            s = find_last(db, err, out_last);
        }
    }
    ldb_lead_end(db);
    return s;
}

/*
 * The memtables go aside while the journals are replayed: readers keep the
 * view, ldb_stats() finds none, and on failure all is as it was, writes still
 * stopped.
 */
static enum ldb_status replay_again(struct ldb_db *db,
                                    struct ldb_recovery *recovery,
                                    struct ldb_error *err,
                                    struct ldb_view **out_old)
{
    struct ldb_memtable *mem = db->mem;
    struct ldb_memtable *immutables[LDB_IMMUTABLES_MAX];
    size_t immutable_count = db->immutable_count;
    struct ldb_memtable *replayed = NULL;
    enum ldb_status s;

    for (size_t i = 0; i < immutable_count; i++)
        immutables[i] = db->immutables[i];
    ldb_mutex_lock(&db->mu);
    db->mem = NULL;
    db->immutable_count = 0;
    ldb_mutex_unlock(&db->mu);
    s = ldb_recover_journals(db, recovery, err);
    ldb_mutex_lock(&db->mu);
    if (s == LDB_OK)
        s = ldb_db_install_view(db, err, out_old);
    if (s != LDB_OK) {
        replayed = db->mem;
        db->mem = mem;
        for (size_t i = 0; i < immutable_count; i++)
            db->immutables[i] = immutables[i];
        db->immutable_count = immutable_count;
    }
    ldb_mutex_unlock(&db->mu);
    if (s != LDB_OK) {
        ldb_memtable_unref(replayed);
        return s;
    }
    ldb_memtable_unref(mem);
    for (size_t i = 0; i < immutable_count; i++)
        ldb_memtable_unref(immutables[i]);
    return LDB_OK;
}

enum ldb_status ldb_reopen(struct ldb_db *db, struct ldb_recovery *recovery,
                           struct ldb_error *err)
{
    struct ldb_recovery found = {0};
    struct ldb_error why = {0};
    struct ldb_view *old = NULL;
    enum ldb_status s = LDB_OK;

    if (!ldb_db_is_writable(db))
        return ldb_db_refuse_write(db, err);
    ldb_lead_begin(db);
    ldb_background_pause(db);
    ldb_journal_sync_settle(db);
    ldb_journal_spare_drop(db);
    if (db->journal != NULL)
        s = cut_journal(db, &why);
    if (s == LDB_OK) {
        close_journal(db);
        /* What was not synced goes, under the same sequences. */
        if (db->rows != NULL)
            ldb_row_cache_change_begin(db->rows);
        s = replay_again(db, &found, &why, &old);
        if (db->rows != NULL)
            ldb_row_cache_change_end(db->rows);
    }
    if (s == LDB_OK) {
        ldb_obsolete_journals_sweep(db);
        ldb_durable_restart(db, db->journal_number, db->last_assigned);
    }
    ldb_mutex_lock(&db->mu);
    if (s != LDB_OK) {
        ldb_health_set(db, LDB_HEALTH_WRITE_FAILED, &why);
    } else {
        atomic_store_explicit(&db->health, LDB_HEALTHY, memory_order_relaxed);
        for (unsigned work = 0; work < LDB_WORK_COUNT; work++)
            db->failures[work].attempts = 0;
        ldb_log_line(db->log, "db@reopen done Q\302\267%llu",
                     (unsigned long long)found.last_sequence);
    }
    ldb_journal_sync_resume(db);
    ldb_mutex_unlock(&db->mu);
    ldb_background_resume(db);
    ldb_lead_end(db);
    if (old != NULL)
        ldb_db_view_release(db, old);
    if (s == LDB_OK && recovery != NULL)
        *recovery = found;
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

/* ---- small things ---- */

enum ldb_status ldb_db_refuse_write(const struct ldb_db *db,
                                    struct ldb_error *err)
{
    return ldb_error_set(err, LDB_READ_ONLY,
                         db->twin != NULL
                             ? "a twin takes no write but its leader's"
                             : "the database is open read-only");
}

struct ldb_retained *ldb_db_retained(struct ldb_db *db)
{
    return db->retained;
}

void ldb_archive_trim(struct ldb_db *db, uint64_t bytes_max)
{
    if (db->retained != NULL)
        ldb_retained_trim(db->retained, bytes_max);
}

ldb_sequence ldb_last_sequence(struct ldb_db *db)
{
    return atomic_load_explicit(&db->last_sequence, memory_order_acquire);
}

enum ldb_status ldb_raise_sequence(struct ldb_db *db, ldb_sequence floor,
                                   struct ldb_error *err)
{
    if (floor > LDB_SEQUENCE_MAX)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "sequence %llu is past the last one",
                             (unsigned long long)floor);
    if (!ldb_db_is_writable(db))
        return ldb_db_refuse_write(db, err);
    ldb_lead_begin(db);
    if (floor > db->last_assigned) {
        db->last_assigned = floor;
        atomic_store_explicit(&db->last_sequence, floor, memory_order_release);
        ldb_mutex_lock(&db->mu);
        ldb_durable_raise(db, floor);
        ldb_mutex_unlock(&db->mu);
    }
    ldb_lead_end(db);
    return LDB_OK;
}

enum ldb_health ldb_health(struct ldb_db *db, struct ldb_error *error)
{
    enum ldb_health health;
    const struct ldb_error *why = NULL;

    ldb_mutex_lock(&db->mu);
    health = ldb_db_health(db);
    if (health != LDB_HEALTHY) {
        why = &db->health_error;
    } else if (db->compaction_halted) {
        health = LDB_HEALTH_CORRUPTION;
        why = &db->failures[LDB_WORK_COMPACTION].error;
    } else {
        for (unsigned work = 0; work < LDB_WORK_COUNT && why == NULL; work++) {
            if (db->failures[work].attempts == 0)
                continue;
            health = LDB_HEALTH_BACKGROUND;
            why = &db->failures[work].error;
        }
    }
    if (error != NULL && why != NULL)
        *error = *why;
    ldb_mutex_unlock(&db->mu);
    return health;
}
