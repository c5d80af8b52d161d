/*
 * A copy of an open database (contract: ldb.h). What belongs together is pinned
 * under one lock: the version, and the lengths of MANIFEST and journals that go
 * with it. Tables of the version stay while it is held; a journal or MANIFEST
 * may go once it is flushed or rotated: then all begins anew.
 *
 * CURRENT comes last: until all it leads to is synced, the copy is none.
 */
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/pinned_files.h"
#include "storage/version/current_file.h"

/* Times to begin anew. Chosen: each takes a flush during the copying. */
#define ATTEMPTS_MAX 100

struct checkpoint {
    struct ldb_db *db;
    struct ldb_env *env;
    const char *dir;
    const struct ldb_progress *progress; /* NULL: nobody looks on */
    uint64_t done;                       /* bytes of the files taken */
    uint64_t total;
    struct ldb_pinned_files pinned;
};

/* ---- the target folder ---- */

static enum ldb_status refuse_name(void *context, const char *name)
{
    (void)context;
    (void)name;
    return LDB_EXISTS;
}

static enum ldb_status open_target(struct checkpoint *checkpoint,
                                   struct ldb_error *err)
{
    struct ldb_env *env = checkpoint->env;
    enum ldb_status s = ldb_env_create_folder(env, checkpoint->dir, err);

    if (s == LDB_OK)
        s = env->ops->list_dir(env, checkpoint->dir, refuse_name, NULL, err);
    if (s == LDB_EXISTS)
        s = ldb_error_set(err, s, "%s: the folder is not empty",
                          checkpoint->dir);
    return s;
}

/* Takes out what was copied; it was empty before. Best effort. */
static void empty_target(struct checkpoint *checkpoint)
{
    struct ldb_folder_files files = {0};
    struct ldb_env *env = checkpoint->env;

    (void)!ldb_folder_files_list(env, checkpoint->dir, NULL, &files);
    for (size_t i = 0; i < files.count; i++) {
        char *path = ldb_file_path(checkpoint->dir, files.files[i].type,
                                   files.files[i].number);

        if (path != NULL)
            (void)env->ops->remove_file(env, path, NULL);
        ldb_mem_free(path);
    }
    ldb_folder_files_release(&files);
}

/* ---- the files ---- */

static void count_total(struct checkpoint *checkpoint)
{
    const struct ldb_version *version = checkpoint->pinned.version;

    checkpoint->done = 0;
    checkpoint->total = checkpoint->pinned.manifest_len;
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++)
            checkpoint->total += version->levels[l].files[i]->size;
    }
}

/* A file of so many bytes was taken. CANCELLED: it is to end here. */
static enum ldb_status report(struct checkpoint *checkpoint, uint64_t bytes,
                              struct ldb_error *err)
{
    const struct ldb_progress *progress = checkpoint->progress;

    checkpoint->done += bytes;
    if (progress == NULL ||
        progress->report(progress->context, checkpoint->done,
                         checkpoint->total))
        return LDB_OK;
    return ldb_error_set(err, LDB_CANCELLED, "the checkpoint was cancelled");
}

/* len LDB_PINNED_WHOLE: a second name will do, when may_link. */
static enum ldb_status take_file(struct checkpoint *checkpoint,
                                 enum ldb_file_type type, uint64_t number,
                                 bool may_link, uint64_t len,
                                 struct ldb_error *err)
{
    char *from = ldb_file_path(checkpoint->db->dir, type, number);
    char *to = ldb_file_path(checkpoint->dir, type, number);
    enum ldb_status s;

    if (from == NULL || to == NULL)
        s = ldb_error_no_memory(err);
    else if (may_link)
        s = ldb_env_link_or_copy(checkpoint->env, from, to, err);
    else
        s = ldb_env_copy_file(checkpoint->env, from, to, len, err);
    ldb_mem_free(from);
    ldb_mem_free(to);
    return s;
}

static enum ldb_status take_tables(struct checkpoint *checkpoint,
                                   struct ldb_error *err)
{
    const struct ldb_version *version = checkpoint->pinned.version;
    enum ldb_status s = LDB_OK;

    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        for (size_t i = 0; s == LDB_OK && i < version->levels[l].count; i++) {
            const struct ldb_file_meta *meta = version->levels[l].files[i];
            uint64_t number = meta->number;

            s = take_file(checkpoint, LDB_FILE_TABLE, number, true,
                          LDB_PINNED_WHOLE, err);
            if (s == LDB_NOT_FOUND)
                s = take_file(checkpoint, LDB_FILE_TABLE_SST, number, true,
                              LDB_PINNED_WHOLE, err);
            if (s == LDB_OK)
                s = report(checkpoint, meta->size, err);
        }
    }
    return s;
}

/* NOT_FOUND: a journal or the MANIFEST was replaced meanwhile. */
static enum ldb_status take_records(struct checkpoint *checkpoint,
                                    struct ldb_error *err)
{
    const struct ldb_pinned_files *pinned = &checkpoint->pinned;
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < pinned->journal_count; i++)
        s = take_file(checkpoint, LDB_FILE_JOURNAL, pinned->journals[i].number,
                      false, pinned->journals[i].len, err);
    if (s == LDB_OK)
        s = take_file(checkpoint, LDB_FILE_MANIFEST, pinned->manifest_number,
                      false, pinned->manifest_len, err);
    if (s == LDB_OK)
        s = report(checkpoint, pinned->manifest_len, err);
    return s;
}

static enum ldb_status take_all(struct checkpoint *checkpoint,
                                struct ldb_error *err, bool *out_again)
{
    enum ldb_status s =
        ldb_pinned_files_take(checkpoint->db, err, &checkpoint->pinned);

    if (s == LDB_OK)
        s = ldb_pinned_files_check(&checkpoint->pinned, err);
    if (s == LDB_OK) {
        count_total(checkpoint);
        s = take_records(checkpoint, err);
        *out_again = s == LDB_NOT_FOUND;
    }
    if (s == LDB_OK)
        s = take_tables(checkpoint, err);
    if (s == LDB_OK)
        s = checkpoint->env->ops->sync_dir(checkpoint->env, checkpoint->dir,
                                           err);
    if (s == LDB_OK)
        s = ldb_current_set(checkpoint->env, checkpoint->dir,
                            checkpoint->pinned.manifest_number, err);
    ldb_pinned_files_release(&checkpoint->pinned);
    return s;
}

enum ldb_status ldb_checkpoint(struct ldb_db *db, const char *dir,
                               struct ldb_error *err)
{
    return ldb_checkpoint_with(db, dir, NULL, err);
}

enum ldb_status ldb_checkpoint_with(struct ldb_db *db, const char *dir,
                                    const struct ldb_progress *progress,
                                    struct ldb_error *err)
{
    struct checkpoint checkpoint = {
        .db = db, .env = db->env, .dir = dir, .progress = progress};
    bool is_again = true;
    enum ldb_status s;

    if (db->options.read_only)
        return ldb_error_set(err, LDB_READ_ONLY,
                             "%s: opened read-only: copy the folder", db->dir);
    s = open_target(&checkpoint, err);
    if (s != LDB_OK)
        return s;
    for (unsigned i = 0; is_again && i < ATTEMPTS_MAX; i++) {
        is_again = false;
        s = take_all(&checkpoint, err, &is_again);
        if (s != LDB_OK)
            empty_target(&checkpoint);
    }
    return s;
}
