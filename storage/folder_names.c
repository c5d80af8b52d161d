/*
 * Which names of files are durable (contracts: db_internal.h). A flush needs
 * the name of its table before the edit, the journal that follows it one before
 * its first sync: made at about the same time, by two threads, one sync of the
 * folder serves both.
 */
#include "storage/base/status.h"
#include "storage/db_internal.h"

uint64_t ldb_folder_names_count(struct ldb_db *db)
{
    return ++db->folder_names.made;
}

static bool has_failed(const struct ldb_folder_names *names, uint64_t name)
{
    return name > names->failed_from && name <= names->failed_to;
}

/* Between two failures every name counts as failed, durable ones too: one range
 * is enough for what hardly ever happens. */
static void note_failed(struct ldb_folder_names *names, uint64_t made,
                        enum ldb_status s, const struct ldb_error *why)
{
    if (names->failed_to == 0)
        names->failed_from = names->durable;
    names->failed_to = made;
    names->failure = *why;
    names->failure.status = s;
}

enum ldb_status ldb_folder_names_sync(struct ldb_db *db, uint64_t name,
                                      struct ldb_error *err)
{
    struct ldb_folder_names *names = &db->folder_names;
    struct ldb_error why = {0};
    enum ldb_status s = LDB_OK;
    uint64_t made;

    ldb_mutex_lock(&db->mu);
    assert(name <= names->made);
    while (names->durable < name && names->is_syncing)
        ldb_cond_wait(&db->work_done, &db->mu);
    if (names->durable < name && !has_failed(names, name)) {
        made = names->made;
        names->is_syncing = true;
        ldb_mutex_unlock(&db->mu);
        s = db->env->ops->sync_dir(db->env, db->dir, &why);
        ldb_mutex_lock(&db->mu);
        names->is_syncing = false;
        if (s == LDB_OK)
            names->durable = made;
        else
            note_failed(names, made, s, &why);
        ldb_cond_broadcast(&db->work_done);
    }
    if (has_failed(names, name)) {
        s = names->failure.status;
        if (err != NULL)
            *err = names->failure;
    }
    ldb_mutex_unlock(&db->mu);
    return s;
}
