/*
 * The leader's edits become ours (contracts: twin.h, twin_internal.h).
 *
 * A plan is made for the version it was read against; install() finds out by
 * the MANIFEST's length whether that still is the current one. What it needs is
 * asked for in this order: journals, then tables, so that the caller knows what
 * to wait for; each of them stays as it is once it is so.
 *
 * The journal that the edit names is begun before the edit is written, as a
 * leader does it: a MANIFEST whose journal is missing beside tables that it
 * does not name has lost records (recovered.h), and that is how a twin would
 * look which fetches the next tables.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/twin_internal.h"
#include "storage/version/manifest_run.h"

struct ldb_twin_plan {
    struct ldb_manifest_run run;
    uint8_t *bytes; /* the run's */
    struct ldb_twin_table *tables;
    size_t table_count;
};

/* ---- whose flush a table is ---- */

static bool has_bounds(struct ldb_iterator *it,
                       const struct ldb_file_meta *meta)
{
    ldb_iterator_seek_first(it);
    if (!it->valid || !ldb_slice_equal(it->key, meta->smallest))
        return false;
    ldb_iterator_seek_last(it);
    return it->valid && ldb_slice_equal(it->key, meta->largest);
}

/* A sequence number stands for one entry: a table with the first and the last
 * key of a memtable is its flush, or part of it. */
static enum ldb_status is_flush_of(struct ldb_memtable *mem,
                                   const struct ldb_file_meta *meta,
                                   struct ldb_error *err, bool *out)
{
    struct ldb_iterator *it = NULL;
    enum ldb_status s = ldb_memtable_iterator_create(mem, err, &it);

    if (s != LDB_OK)
        return s;
    *out = has_bounds(it, meta);
    ldb_iterator_destroy(it);
    return LDB_OK;
}

/* A reference to the memtable of a sealed journal; NULL: it is not held so. */
static struct ldb_memtable *sealed_memtable(struct ldb_db *db, uint64_t journal)
{
    const struct ldb_twin *twin = db->twin;
    struct ldb_memtable *found = NULL;
    bool is_sealed = false;

    ldb_mutex_lock(&db->mu);
    for (size_t i = 0; i < twin->journal_count; i++)
        is_sealed |=
            twin->journals[i].number == journal && twin->journals[i].is_sealed;
    for (size_t i = 0; is_sealed && i < db->immutable_count; i++) {
        if (db->immutables[i]->journal_number == journal)
            found = db->immutables[i];
    }
    if (is_sealed && db->mem->journal_number == journal)
        found = db->mem;
    if (found != NULL)
        found = ldb_memtable_ref(found);
    ldb_mutex_unlock(&db->mu);
    return found;
}

static enum ldb_status find_journal(struct ldb_db *db,
                                    const struct ldb_file_meta *meta,
                                    uint64_t log_number, struct ldb_error *err,
                                    uint64_t *out)
{
    struct ldb_twin_state state;
    bool is_flush = false;
    enum ldb_status s = LDB_OK;

    ldb_twin_state(db, &state);
    for (size_t i = 0; s == LDB_OK && i < state.journal_count; i++) {
        struct ldb_memtable *mem;

        if (state.journals[i].number >= log_number)
            break;
        mem = sealed_memtable(db, state.journals[i].number);
        if (mem == NULL)
            continue;
        s = is_flush_of(mem, meta, err, &is_flush);
        ldb_memtable_unref(mem);
        if (is_flush) {
            *out = state.journals[i].number;
            break;
        }
    }
    return s;
}

/* ---- the plan ---- */

static int compare_tables(const void *a, const void *b)
{
    const struct ldb_twin_table *left = a;
    const struct ldb_twin_table *right = b;

    if (left->level != right->level)
        return left->level < right->level ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

/* Those that base has in no level. */
static enum ldb_status find_tables(struct ldb_db *db,
                                   const struct ldb_version *base,
                                   struct ldb_twin_plan *plan,
                                   struct ldb_error *err)
{
    const struct ldb_version_edit *edit = &plan->run.edit;
    enum ldb_status s = LDB_OK;

    plan->tables = ldb_mem_zalloc(edit->added_count + 1, sizeof(*plan->tables));
    if (plan->tables == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; s == LDB_OK && i < edit->added_count; i++) {
        const struct ldb_file_meta *meta = edit->added[i].meta;
        struct ldb_twin_table *table = &plan->tables[plan->table_count];

        if (ldb_version_contains(base, meta))
            continue;
        *table = (struct ldb_twin_table){.number = meta->number,
                                         .size = meta->size,
                                         .level = edit->added[i].level};
        if (table->level == 0 && edit->has_log_number)
            s = find_journal(db, meta, edit->log_number, err, &table->journal);
        plan->table_count++;
    }
    qsort(plan->tables, plan->table_count, sizeof(*plan->tables),
          compare_tables);
    return s;
}

static enum ldb_status check_place(struct ldb_db *db, uint64_t manifest,
                                   uint64_t offset, struct ldb_error *err)
{
    struct ldb_twin_state state;

    ldb_twin_state(db, &state);
    if (offset == (manifest == state.manifest_number ? state.manifest_len : 0))
        return LDB_OK;
    return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                         "MANIFEST-%06llu at offset %llu, and ours is "
                         "MANIFEST-%06llu of %llu bytes",
                         (unsigned long long)manifest,
                         (unsigned long long)offset,
                         (unsigned long long)state.manifest_number,
                         (unsigned long long)state.manifest_len);
}

enum ldb_status ldb_twin_plan_create(struct ldb_db *db, uint64_t manifest,
                                     uint64_t offset, struct ldb_slice bytes,
                                     struct ldb_error *err,
                                     struct ldb_twin_plan **out)
{
    struct ldb_twin_plan *plan = ldb_mem_zalloc(1, sizeof(*plan));
    struct ldb_version *base;
    enum ldb_status s = check_place(db, manifest, offset, err);

    ldb_mutex_lock(&db->mu);
    base = ldb_version_ref(ldb_version_set_current(db->versions));
    ldb_mutex_unlock(&db->mu);
    if (s == LDB_OK && plan == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = ldb_manifest_run_read(&plan->run, db->options.comparator, base,
                                  manifest, offset, bytes, err);
    if (s == LDB_OK) {
        plan->bytes = ldb_mem_dup(bytes.data, plan->run.len);
        if (plan->bytes == NULL)
            s = ldb_error_no_memory(err);
    }
    if (s == LDB_OK)
        s = find_tables(db, base, plan, err);
    ldb_version_unref(base);
    if (s == LDB_OK)
        *out = plan;
    else
        ldb_twin_plan_destroy(plan);
    return s;
}

void ldb_twin_plan_destroy(struct ldb_twin_plan *plan)
{
    if (plan == NULL)
        return;
    ldb_manifest_run_release(&plan->run);
    ldb_mem_free(plan->bytes);
    ldb_mem_free(plan->tables);
    ldb_mem_free(plan);
}

size_t ldb_twin_plan_len(const struct ldb_twin_plan *plan)
{
    return plan->run.len;
}

size_t ldb_twin_plan_records(const struct ldb_twin_plan *plan)
{
    return plan->run.record_count;
}

uint64_t ldb_twin_plan_log_number(const struct ldb_twin_plan *plan)
{
    return plan->run.edit.has_log_number ? plan->run.edit.log_number : 0;
}

const struct ldb_twin_table *
ldb_twin_plan_tables(const struct ldb_twin_plan *plan, size_t *out_count)
{
    *out_count = plan->table_count;
    return plan->tables;
}

/* ---- tables ---- */

static bool is_in_version(struct ldb_db *db, uint64_t number)
{
    bool is_live;

    ldb_mutex_lock(&db->mu);
    is_live = ldb_version_set_is_live(db->versions, number);
    ldb_mutex_unlock(&db->mu);
    return is_live;
}

static enum ldb_status refuse_live(uint64_t number, struct ldb_error *err)
{
    return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                         "table %06llu is in use: a version names it",
                         (unsigned long long)number);
}

enum ldb_status ldb_twin_discard(struct ldb_db *db, uint64_t number,
                                 struct ldb_error *err)
{
    char *path;
    struct ldb_error found = {0};
    enum ldb_status s;

    if (is_in_version(db, number))
        return refuse_live(number, err);
    path = ldb_file_path(db->dir, LDB_FILE_TABLE, number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    ldb_table_cache_evict(db->tables, number);
    s = db->env->ops->remove_file(db->env, path, &found);
    ldb_mem_free(path);
    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s != LDB_OK && err != NULL)
        *err = found;
    return s;
}

static enum ldb_status build(struct ldb_db *db, struct ldb_memtable *mem,
                             uint64_t number, struct ldb_error *err,
                             struct ldb_digest *out_digest, uint64_t *out_size)
{
    struct ldb_version_edit unused = {0};
    char *path = ldb_file_path(db->dir, LDB_FILE_TABLE, number);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_flush_build_table(db, mem, number, &unused, err);
    if (s == LDB_OK) {
        s = ldb_digest_file(db->env, path, err, out_digest, out_size);
        if (s != LDB_OK)
            LDB_IGNORE(ldb_twin_discard(db, number, NULL)); /* or at open */
    }
    ldb_version_edit_release(&unused);
    ldb_mem_free(path);
    return s;
}

enum ldb_status ldb_twin_build(struct ldb_db *db, uint64_t number,
                               uint64_t journal, struct ldb_error *err,
                               struct ldb_digest *out_digest,
                               uint64_t *out_size)
{
    struct ldb_memtable *mem;
    enum ldb_status s;

    /* A reader of a file of that name may be open. */
    s = ldb_twin_discard(db, number, err);
    if (s != LDB_OK)
        return s;
    mem = sealed_memtable(db, journal);
    if (mem == NULL || ldb_memtable_entry_count(mem) == 0)
        s = ldb_error_set(err, LDB_INVALID_ARGUMENT,
                          "table %06llu is to be that of journal %06llu, which "
                          "is not held and sealed, or is empty",
                          (unsigned long long)number,
                          (unsigned long long)journal);
    else
        s = build(db, mem, number, err, out_digest, out_size);
    ldb_memtable_unref(mem);
    return s;
}

/* Is it there, of its length, with an index that reads back? */
static enum ldb_status check_table(struct ldb_db *db,
                                   const struct ldb_twin_table *table,
                                   struct ldb_error *err)
{
    const struct ldb_table_read read = {.verify_checksums = true,
                                        .fill_cache = false};
    struct ldb_iterator *it = NULL;
    struct ldb_random_file *file = NULL;
    char name[LDB_FILE_NAME_SIZE];
    uint64_t size = 0;
    enum ldb_status s = ldb_folder_open_table(db->env, db->dir, table->number,
                                              err, name, &size, &file);

    if (s != LDB_OK)
        return ldb_error_prefix(err, s, "level %u needs table %06llu",
                                table->level,
                                (unsigned long long)table->number);
    ldb_random_close(file);
    if (size != table->size)
        return ldb_error_set(
            err, LDB_CORRUPTION, "%s has %llu bytes, the leader's has %llu",
            name, (unsigned long long)size, (unsigned long long)table->size);
    s = ldb_table_cache_iterator(db->tables, table->number, table->size, &read,
                                 err, &it);
    ldb_iterator_destroy(it);
    return s;
}

/* ---- journals ---- */

/* Nothing was ever written: no table, no entry. */
static bool is_blank(const struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    const struct ldb_version *version = ldb_version_set_current(db->versions);
    const struct ldb_twin *twin = db->twin;

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        if (version->levels[level].count > 0)
            return false;
    }
    for (size_t i = 0; i < twin->journal_count; i++) {
        if (twin->journals[i].len > 0)
            return false;
    }
    return twin->applied.sequence == 0;
}

/* Every journal held below log_number is complete. */
static enum ldb_status check_sealed(struct ldb_db *db, uint64_t log_number,
                                    struct ldb_error *err)
{
    const struct ldb_twin *twin = db->twin;
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&db->mu);
    for (size_t i = 0; s == LDB_OK && i < twin->journal_count; i++) {
        const struct ldb_twin_journal *journal = &twin->journals[i];

        if (journal->number < log_number && !journal->is_sealed &&
            !is_blank(db))
            s = ldb_error_set(err, LDB_STALLED,
                              "%06llu.log is to be in tables, and is not "
                              "sealed: %llu bytes are here",
                              (unsigned long long)journal->number,
                              (unsigned long long)journal->len);
    }
    ldb_mutex_unlock(&db->mu);
    return s;
}

/*
 * Is all in tables, or here, that the leader wrote before the journal of the
 * edit's log number? Where that one, or a later one, is not held yet, one that
 * nobody spoke of may lie between: the edit's sequence tells.
 */
static bool has_all_before(struct ldb_db *db,
                           const struct ldb_version_edit *edit)
{
    const struct ldb_twin *twin = db->twin;
    bool has_all;

    ldb_mutex_lock(&db->mu);
    has_all = is_blank(db) || (edit->has_last_sequence &&
                               edit->last_sequence <= twin->applied.sequence);
    ldb_mutex_unlock(&db->mu);
    return has_all;
}

/* The journal of the log number is there: it is begun where it is the next. */
static enum ldb_status ensure_journal(struct ldb_db *db,
                                      const struct ldb_version_edit *edit,
                                      struct ldb_error *err)
{
    const struct ldb_twin *twin = db->twin;
    uint64_t log_number = edit->log_number;
    bool is_held = false;
    uint64_t newest = 0;

    ldb_mutex_lock(&db->mu);
    for (size_t i = 0; i < twin->journal_count; i++) {
        newest = twin->journals[i].number;
        is_held |= newest == log_number;
    }
    ldb_mutex_unlock(&db->mu);
    if (is_held)
        return LDB_OK;
    if (newest > log_number)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "the MANIFEST asks for %06llu.log, which is not "
                             "held, and %06llu.log is",
                             (unsigned long long)log_number,
                             (unsigned long long)newest);
    if (!has_all_before(db, edit))
        return ldb_error_set(err, LDB_STALLED,
                             "%06llu.log is the oldest that the MANIFEST asks "
                             "for, and has not begun here",
                             (unsigned long long)log_number);
    return ldb_twin_begin_journal(db, log_number, err);
}

static enum ldb_status prepare_journals(struct ldb_db *db,
                                        const struct ldb_version_edit *edit,
                                        struct ldb_error *err)
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
    if (s != LDB_OK || !edit->has_log_number)
        return s;
    ldb_lead_begin(db);
    s = ldb_twin_apply_written(db, err);
    if (s == LDB_OK)
        s = check_sealed(db, edit->log_number, err);
    if (s == LDB_OK)
        s = ensure_journal(db, edit, err);
    ldb_lead_end(db);
    return s;
}

/* ---- install ---- */

/* Readers see the current version. */
static enum ldb_status refresh_view(struct ldb_db *db, struct ldb_error *err)
{
    struct ldb_view *old = NULL;
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&db->mu);
    if (db->view->version != ldb_version_set_current(db->versions))
        s = ldb_db_install_view(db, err, &old);
    ldb_mutex_unlock(&db->mu);
    if (old != NULL)
        ldb_db_view_release(db, old);
    return s;
}

/*
 * Readers' sequence is at least that of the MANIFEST, as after an open. Not
 * before they see its version: where all came with it, they would see nothing.
 */
static void raise_sequence(struct ldb_db *db)
{
    struct ldb_twin *twin = db->twin;
    ldb_sequence sequence;

    ldb_lead_begin(db);
    ldb_mutex_lock(&db->mu);
    sequence = ldb_version_set_recovered_sequence(db->versions);
    if (sequence > db->last_assigned) {
        db->last_assigned = sequence;
        if (twin->journal_count > 0)
            twin->journals[twin->journal_count - 1].last_sequence = sequence;
        twin->written.sequence = sequence;
        twin->applied.sequence = sequence;
        twin->synced.sequence = sequence;
        atomic_store_explicit(&db->last_sequence, sequence,
                              memory_order_release);
    }
    ldb_mutex_unlock(&db->mu);
    ldb_lead_end(db);
}

static void forget_journals(struct ldb_db *db) LDB_REQUIRES(db->mu)
{
    struct ldb_twin *twin = db->twin;
    uint64_t log_number = ldb_version_set_log_number(db->versions);
    size_t n = 0;

    while (n < twin->journal_count && twin->journals[n].number < log_number)
        n++;
    twin->journal_count -= n;
    memmove(twin->journals, twin->journals + n,
            twin->journal_count * sizeof(twin->journals[0]));
}

enum ldb_status ldb_twin_tidy(struct ldb_db *db, struct ldb_error *err)
{
    enum ldb_status s = refresh_view(db, err);

    if (s == LDB_OK) {
        raise_sequence(db);
        s = ldb_flush_drop_applied(db, err);
    }
    if (s == LDB_OK) {
        ldb_mutex_lock(&db->mu);
        forget_journals(db);
        ldb_mutex_unlock(&db->mu);
    }
    ldb_obsolete_files_remove(db);
    return s;
}

void ldb_twin_drop_flushed(struct ldb_db *db)
{
    ldb_obsolete_journals_sweep(db);
}

enum ldb_status ldb_twin_install(struct ldb_db *db, struct ldb_twin_plan *plan,
                                 struct ldb_error *err)
{
    struct ldb_manifest_run *run = &plan->run;
    enum ldb_status s = check_place(db, run->number, run->offset, err);

    if (s == LDB_OK)
        s = prepare_journals(db, &run->edit, err);
    for (size_t i = 0; s == LDB_OK && i < plan->table_count; i++)
        s = check_table(db, &plan->tables[i], err);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&db->mu);
    s = ldb_version_set_follow(db->versions, run,
                               ldb_slice_make(plan->bytes, run->len), err);
    ldb_mutex_unlock(&db->mu);
    /* What lacks memory now comes with a later call: the edit stands. */
    if (s == LDB_OK)
        LDB_IGNORE(ldb_twin_tidy(db, NULL));
    return s;
}
