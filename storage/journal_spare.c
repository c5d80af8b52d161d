/*
 * Journals before they have records (contracts: db_internal.h).
 *
 * A mapped journal's window is zeroed and synced before the first store, which
 * takes as long as some thousand writes. So the sync thread makes the next
 * journal ready while the current one fills: one at a time. It lies in the
 * folder under its name, an empty journal to whoever reads it after a crash;
 * its number is below that of every later one, as it is the next.
 */
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"

/*
 * Bytes of a window. A record takes less of the journal than of the memtable;
 * the group that fills the memtable may not fit, and is appended. Chosen: at
 * most this much is mapped.
 */
#define WINDOW_MAX (UINT64_C(64) << 20)

/* The next one is made ready when a part of the window is used. Chosen: it is
 * by the first early sync (journal_sync.c), and who writes little needs none.
 */
#define ASK_AT_PART 8

static bool is_mapped(const struct ldb_db *db)
{
    return db->options.journal == LDB_JOURNAL_MAPPED;
}

static uint64_t window_bytes(const struct ldb_db *db)
{
    uint64_t units = db->options.write_buffer_bytes / LDB_WINDOW_UNIT + 1;
    uint64_t bytes = units * LDB_WINDOW_UNIT;

    return bytes < WINDOW_MAX ? bytes : WINDOW_MAX;
}

enum ldb_status ldb_journal_start(struct ldb_db *db, uint64_t number,
                                  struct ldb_error *err,
                                  struct ldb_journal_writer **out)
{
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, number);
    struct ldb_writable_file *file = NULL;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    if (is_mapped(db))
        s = db->env->ops->open_mapped(db->env, path, window_bytes(db), err,
                                      &file);
    else
        s = db->env->ops->open_writable(db->env, path, LDB_OPEN_TRUNCATE, err,
                                        &file);
    if (s == LDB_OK)
        s = ldb_journal_writer_create(file, 0, err, out);
    ldb_mem_free(path);
    return s;
}

/* Waits until the sync thread has made one ready, or failed to. */
static enum ldb_status wait_for_spare(struct ldb_db *db, struct ldb_error *err)
    LDB_REQUIRES(db->mu)
{
    struct ldb_journal_spare *spare = &db->spare;

    if (spare->journal == NULL && !spare->is_preparing) {
        spare->is_wanted = true;
        ldb_cond_signal(&db->early_sync_wakes);
    }
    while (spare->journal == NULL && (spare->is_wanted || spare->is_preparing))
        ldb_cond_wait(&db->work_done, &db->mu);
    if (spare->journal != NULL)
        return LDB_OK;
    if (err != NULL)
        *err = spare->error;
    return spare->status;
}

enum ldb_status ldb_journal_next(struct ldb_db *db, struct ldb_error *err,
                                 struct ldb_journal_writer **out,
                                 uint64_t *out_number)
{
    struct ldb_journal_spare *spare = &db->spare;
    uint64_t number;
    enum ldb_status s;

    if (!is_mapped(db)) {
        number = ldb_version_set_new_file_number(db->versions);
        s = ldb_journal_start(db, number, err, out);
        if (s == LDB_OK)
            *out_number = number;
        return s;
    }
    s = wait_for_spare(db, err);
    if (s != LDB_OK)
        return s;
    *out = spare->journal;
    *out_number = spare->number;
    *spare = (struct ldb_journal_spare){0};
    return LDB_OK;
}

void ldb_journal_spare_note(struct ldb_db *db, uint64_t journal_len)
{
    struct ldb_journal_spare *spare = &db->spare;

    if (!is_mapped(db) || spare->is_asked || spare->journal != NULL ||
        spare->is_preparing || journal_len < window_bytes(db) / ASK_AT_PART)
        return;
    spare->is_asked = true;
    spare->is_wanted = true;
    ldb_cond_signal(&db->early_sync_wakes);
}

void ldb_journal_spare_prepare(struct ldb_db *db)
{
    struct ldb_journal_spare *spare = &db->spare;
    struct ldb_journal_writer *journal = NULL;
    struct ldb_error err = {0};
    uint64_t number = ldb_version_set_new_file_number(db->versions);
    enum ldb_status s;

    assert(spare->journal == NULL);
    spare->is_wanted = false;
    spare->is_preparing = true;
    ldb_mutex_unlock(&db->mu);
    s = ldb_journal_start(db, number, &err, &journal);
    ldb_mutex_lock(&db->mu);
    spare->is_preparing = false;
    spare->journal = journal;
    spare->number = number;
    spare->status = s;
    spare->error = err;
    ldb_cond_broadcast(&db->work_done);
}

void ldb_journal_spare_drop(struct ldb_db *db)
{
    struct ldb_journal_writer *journal;
    uint64_t number;
    char *path;

    ldb_mutex_lock(&db->mu);
    db->spare.is_wanted = false;
    while (db->spare.is_preparing)
        ldb_cond_wait(&db->work_done, &db->mu);
    journal = db->spare.journal;
    number = db->spare.number;
    db->spare = (struct ldb_journal_spare){0};
    ldb_mutex_unlock(&db->mu);
    if (journal == NULL)
        return;
    LDB_IGNORE(ldb_journal_writer_close(journal, NULL)); /* empty */
    path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, number);
    /* One that stays is removed at the next open. */
    if (path != NULL)
        (void)db->env->ops->remove_file(db->env, path, NULL);
    ldb_mem_free(path);
}
