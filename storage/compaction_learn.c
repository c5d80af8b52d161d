/*
 * What a table holds that was found at open (contract: db_internal.h). The
 * MANIFEST does not say, and reading all tables would take hours, so one is
 * asked once it matters, and a few of its blocks answer.
 */
#include "storage/base/status.h"
#include "storage/db_internal.h"

/* Data blocks that are counted. Chosen: 32 KiB of the usual 2 MiB. */
#define SAMPLE_BLOCKS 8

void ldb_compaction_learn(struct ldb_db *db, struct ldb_file_meta *meta)
{
    const struct ldb_table_read read = {.verify_checksums = true,
                                        .fill_cache = false};
    /* The version keeps the table's file. */
    struct ldb_version *version =
        ldb_version_ref(ldb_version_set_current(db->versions));
    struct ldb_table_counts counts = {0};
    enum ldb_status s;

    assert(!db->is_learning);
    db->is_learning = true;
    db->compacting_count++;
    ldb_mutex_unlock(&db->mu);
    s = ldb_table_cache_sample(db->tables, meta->number, meta->size, &read,
                               SAMPLE_BLOCKS, NULL, &counts);
    ldb_mutex_lock(&db->mu);
    meta->entry_count = s == LDB_OK && counts.entries > 0
                            ? counts.entries
                            : LDB_COUNT_UNKNOWABLE;
    meta->delete_count = counts.deletes;
    db->is_learning = false;
    ldb_mutex_unlock(&db->mu);
    ldb_version_unref(version);
    ldb_obsolete_files_remove(db);
    ldb_mutex_lock(&db->mu);
    db->compacting_count--;
    ldb_cond_broadcast(&db->work);
    ldb_cond_broadcast(&db->work_done);
}
