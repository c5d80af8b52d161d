/*
 * What may be deleted (contracts: db_internal.h; docs/formats.md, rules 32 and
 * 33). Never before the edit that frees a file is synced: both functions run
 * after it. A name we do not know is left alone.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"

static enum ldb_status remove_name(struct ldb_db *db, enum ldb_file_type type,
                                   uint64_t number)
{
    char *path = ldb_file_path(db->dir, type, number);
    enum ldb_status s = LDB_NO_MEMORY;

    if (path != NULL)
        s = db->env->ops->remove_file(db->env, path, NULL);
    ldb_mem_free(path);
    return s;
}

/* After a rotation CURRENT names the new MANIFEST for good: the old one goes.
 */
static void remove_rotated_manifest(struct ldb_db *db)
{
    uint64_t before;
    uint64_t now;
    uint64_t len;

    ldb_mutex_lock(&db->mu);
    before = db->manifest_number;
    ldb_version_set_manifest(db->versions, &now, &len);
    db->manifest_number = now;
    ldb_mutex_unlock(&db->mu);
    if (before != now)
        (void)remove_name(db, LDB_FILE_MANIFEST, before);
}

void ldb_obsolete_files_remove(struct ldb_db *db)
{
    uint64_t *numbers = NULL;
    size_t count = 0;

    remove_rotated_manifest(db);
    atomic_store_explicit(&db->obsolete_pending, false, memory_order_relaxed);
    if (ldb_version_set_take_obsolete(db->versions, &numbers, &count) != LDB_OK)
        return; /* no memory: they stay listed */
    for (size_t i = 0; i < count; i++) {
        ldb_table_cache_evict(db->tables, numbers[i]);
        /* What cannot be removed now is swept at the next open. */
        if (remove_name(db, LDB_FILE_TABLE, numbers[i]) == LDB_NOT_FOUND)
            (void)remove_name(db, LDB_FILE_TABLE_SST, numbers[i]);
    }
    ldb_mem_free(numbers);
}

/* ---- the sweep at open ---- */

struct sweep {
    struct ldb_db *db;
    uint64_t log_number;
    uint64_t prev_log_number;
    uint64_t manifest_number;
    bool is_manifest_whole;  /* else it may have lost the names of tables */
    bool journals_only;      /* what else is dead stays */
    struct ldb_buf names;    /* NUL-terminated names to remove */
    struct ldb_buf journals; /* numbers, 8 bytes each, of dead ones */
};

static bool is_dead(const struct sweep *sweep, enum ldb_file_type type,
                    uint64_t number) LDB_REQUIRES(sweep->db->mu)
{
    switch (type) {
    case LDB_FILE_JOURNAL:
        return number < sweep->log_number && number != sweep->prev_log_number;
    case LDB_FILE_TABLE:
    case LDB_FILE_TABLE_SST:
        return sweep->is_manifest_whole &&
               !ldb_version_set_is_live(sweep->db->versions, number);
    case LDB_FILE_MANIFEST:
        return number != sweep->manifest_number;
    case LDB_FILE_CURRENT_NEXT: /* CURRENT is settled by now */
    case LDB_FILE_DBTMP:
    case LDB_FILE_TMP:
        return true;
    case LDB_FILE_FOREIGN:
    case LDB_FILE_CURRENT:
    case LDB_FILE_CURRENT_BAK:
    case LDB_FILE_LOCK:
    case LDB_FILE_LOG:
        return false;
    }
    return false;
}

static enum ldb_status visit(void *context, const char *name)
{
    struct sweep *sweep = context;
    uint64_t number = 0;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);
    bool dead;

    ldb_mutex_lock(&sweep->db->mu);
    dead = is_dead(sweep, type, number);
    ldb_mutex_unlock(&sweep->db->mu);
    if (!dead)
        return LDB_OK;
    if (type == LDB_FILE_JOURNAL && sweep->db->twin != NULL &&
        !sweep->journals_only)
        return LDB_OK; /* ldb_twin_drop_flushed() takes them */
    if (type == LDB_FILE_JOURNAL)
        return ldb_buf_append(&sweep->journals,
                              ldb_slice_make(&number, sizeof(number)));
    if (sweep->journals_only)
        return LDB_OK;
    return ldb_buf_append(&sweep->names,
                          ldb_slice_make(name, strlen(name) + 1));
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

/* A failure leaves dead files until the next open. */
static bool find_dead(struct sweep *sweep)
{
    struct ldb_db *db = sweep->db;
    uint64_t len;

    ldb_mutex_lock(&db->mu);
    sweep->log_number = ldb_version_set_log_number(db->versions);
    sweep->prev_log_number = ldb_version_set_prev_log_number(db->versions);
    ldb_version_set_manifest(db->versions, &sweep->manifest_number, &len);
    sweep->is_manifest_whole = ldb_version_set_dropped_bytes(db->versions) == 0;
    db->manifest_number = sweep->manifest_number;
    ldb_mutex_unlock(&db->mu);
    if (db->env->ops->list_dir(db->env, db->dir, visit, sweep, NULL) != LDB_OK)
        return false;
    if (sweep->journals.len > 0)
        qsort(sweep->journals.data, sweep->journals.len / sizeof(uint64_t),
              sizeof(uint64_t), compare_numbers);
    return true;
}

static size_t remove_names(const struct sweep *sweep)
{
    struct ldb_db *db = sweep->db;
    size_t removed = 0;

    for (size_t at = 0; at < sweep->names.len; removed++) {
        const char *name = (const char *)sweep->names.data + at;
        char *path = ldb_mem_printf("%s/%s", db->dir, name);

        if (path != NULL)
            (void)db->env->ops->remove_file(db->env, path, NULL);
        ldb_mem_free(path);
        at += strlen(name) + 1;
    }
    return removed;
}

void ldb_obsolete_journals_retire(struct ldb_db *db, const uint64_t *numbers,
                                  size_t count)
{
    if (db->retained != NULL) {
        ldb_retained_retire(db->retained, numbers, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, numbers[i]);

        /* One that stays is removed at the next open. */
        if (path != NULL)
            (void)db->env->ops->remove_file(db->env, path, NULL);
        ldb_mem_free(path);
    }
}

static enum ldb_status retire_journals(const struct sweep *sweep, bool is_new,
                                       struct ldb_error *err)
{
    struct ldb_db *db = sweep->db;
    const struct ldb_retained_found found = {
        .is_new = is_new,
        .in_tables = db->replayed_from,
        .in_all = db->replayed_to,
        .numbers = (const uint64_t *)(const void *)sweep->journals.data,
        .count = sweep->journals.len / sizeof(uint64_t),
    };

    if (db->retained == NULL) {
        ldb_obsolete_journals_retire(db, found.numbers, found.count);
        return LDB_OK;
    }
    return ldb_retained_open(db->retained, &found, db->journal_number,
                             db->last_assigned, err);
}

enum ldb_status ldb_obsolete_files_sweep(struct ldb_db *db, bool is_new,
                                         struct ldb_error *err)
{
    struct sweep sweep = {.db = db,
                          .names = LDB_BUF_INIT(SIZE_MAX),
                          .journals = LDB_BUF_INIT(SIZE_MAX)};
    size_t removed = 0;
    enum ldb_status s;

    if (find_dead(&sweep))
        removed = remove_names(&sweep) + sweep.journals.len / sizeof(uint64_t);
    else
        ldb_buf_clear(&sweep.journals);
    s = retire_journals(&sweep, is_new, err);
    ldb_log_line(db->log, "db@janitor G\302\267%zu", removed);
    ldb_buf_release(&sweep.names);
    ldb_buf_release(&sweep.journals);
    return s;
}

void ldb_obsolete_journals_sweep(struct ldb_db *db)
{
    struct sweep sweep = {.db = db,
                          .journals_only = true,
                          .names = LDB_BUF_INIT(SIZE_MAX),
                          .journals = LDB_BUF_INIT(SIZE_MAX)};

    if (!find_dead(&sweep))
        ldb_buf_clear(&sweep.journals);
    /* There was room for the open journal, and so there is. */
    LDB_IGNORE(retire_journals(&sweep, false, NULL));
    ldb_buf_release(&sweep.names);
    ldb_buf_release(&sweep.journals);
}
