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

enum ldb_status ldb_folder_names_sync(struct ldb_db *db, uint64_t name,
                                      struct ldb_error *err)
{
    struct ldb_folder_names *names = &db->folder_names;
    enum ldb_status s = LDB_OK;
    uint64_t made;

    ldb_mutex_lock(&db->mu);
    assert(name <= names->made);
    while (names->durable < name && names->is_syncing)
        ldb_cond_wait(&db->work_done, &db->mu);
    if (names->durable < name) {
        made = names->made;
        names->is_syncing = true;
        ldb_mutex_unlock(&db->mu);
        s = db->env->ops->sync_dir(db->env, db->dir, err);
        ldb_mutex_lock(&db->mu);
        names->is_syncing = false;
        if (s == LDB_OK)
            names->durable = made;
        ldb_cond_broadcast(&db->work_done);
    }
    ldb_mutex_unlock(&db->mu);
    return s;
}
