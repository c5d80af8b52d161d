/*
 * What may be deleted (contracts: db_internal.h; docs/formats.md, rules 32 and
 * 33). Never before the edit that frees a file is synced: both functions run
 * after it. A name we do not know is left alone.
 */
#include <stdatomic.h>

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
    bool is_manifest_whole; /* else it may have lost the names of tables */
    struct ldb_buf names;   /* NUL-terminated names to remove */
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
    return ldb_buf_append(&sweep->names,
                          ldb_slice_make(name, strlen(name) + 1));
}

void ldb_obsolete_files_sweep(struct ldb_db *db)
{
    struct sweep sweep = {.db = db, .names = LDB_BUF_INIT(SIZE_MAX)};
    uint64_t len;
    size_t removed = 0;

    ldb_mutex_lock(&db->mu);
    sweep.log_number = ldb_version_set_log_number(db->versions);
    sweep.prev_log_number = ldb_version_set_prev_log_number(db->versions);
    ldb_version_set_manifest(db->versions, &sweep.manifest_number, &len);
    sweep.is_manifest_whole = ldb_version_set_dropped_bytes(db->versions) == 0;
    db->manifest_number = sweep.manifest_number;
    ldb_mutex_unlock(&db->mu);
    /* A failure leaves dead files until the next open. */
    (void)db->env->ops->list_dir(db->env, db->dir, visit, &sweep, NULL);
    for (size_t at = 0; at < sweep.names.len; removed++) {
        const char *name = (const char *)sweep.names.data + at;
        char *path = ldb_mem_printf("%s/%s", db->dir, name);

        if (path != NULL)
            (void)db->env->ops->remove_file(db->env, path, NULL);
        ldb_mem_free(path);
        at += strlen(name) + 1;
    }
    ldb_log_line(db->log, "db@janitor G\302\267%zu", removed);
    ldb_buf_release(&sweep.names);
}
