#include "storage/pinned_files.h"

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/recovered.h"

static void take_journals(const struct ldb_db *db, struct ldb_pinned_files *out)
    LDB_REQUIRES(db->mu)
{
    for (size_t i = 0; i < db->immutable_count; i++) {
        uint64_t number = db->immutables[i]->journal_number;

        /* Its table is in the version already. */
        if (number < out->log_number)
            continue;
        /* Sealed: durable and whole. */
        out->journals[out->journal_count++] = (struct ldb_pinned_journal){
            .number = number, .len = LDB_PINNED_WHOLE};
    }
    if (db->journal != NULL)
        out->journals[out->journal_count++] = (struct ldb_pinned_journal){
            .number = db->journal_number,
            .len = db->journal_is_cut
                       ? ldb_journal_writer_synced_len(db->journal)
                       : ldb_journal_writer_flushed_len(db->journal)};
}

enum ldb_status ldb_pinned_files_take(struct ldb_db *db, struct ldb_error *err,
                                      struct ldb_pinned_files *out)
{
    enum ldb_status s = LDB_OK;

    *out = (struct ldb_pinned_files){0};
    ldb_compact_pointers_init(out->pointers);
    ldb_mutex_lock(&db->mu);
    out->version = ldb_version_ref(ldb_version_set_current(db->versions));
    for (uint32_t l = 0; s == LDB_OK && l < LDB_LEVEL_COUNT; l++)
        s = ldb_buf_assign(&out->pointers[l],
                           ldb_version_set_compact_pointer(db->versions, l));
    ldb_version_set_manifest(db->versions, &out->manifest_number,
                             &out->manifest_len);
    out->next_file_number = ldb_version_set_next_file_number(db->versions);
    out->log_number = ldb_version_set_log_number(db->versions);
    out->last_sequence = ldb_version_set_recovered_sequence(db->versions);
    take_journals(db, out);
    out->lacks_journals =
        db->journal == NULL && db->twin == NULL && !db->options.read_only;
    ldb_mutex_unlock(&db->mu);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

enum ldb_status ldb_pinned_files_check(const struct ldb_pinned_files *pinned,
                                       struct ldb_error *err)
{
    if (!pinned->lacks_journals)
        return LDB_OK;
    return ldb_error_set(err, LDB_READ_ONLY,
                         "writes have stopped, and no journal is open: it has "
                         "to heal, or to be opened again, before it is copied");
}

void ldb_pinned_files_release(struct ldb_pinned_files *pinned)
{
    ldb_version_unref(pinned->version);
    pinned->version = NULL;
    ldb_compact_pointers_release(pinned->pointers);
}

/* ---- a file cut short ---- */

struct cut_file {
    struct ldb_sequential_file base; /* first: cast back from it */
    struct ldb_sequential_file *file;
    uint64_t left;
};

static enum ldb_status cut_read(struct ldb_sequential_file *file, size_t n,
                                uint8_t *scratch, size_t *out_len,
                                struct ldb_error *err)
{
    struct cut_file *cut = (struct cut_file *)file;
    size_t len = 0;
    enum ldb_status s;

    if (n > cut->left)
        n = (size_t)cut->left;
    if (n == 0) {
        *out_len = 0;
        return LDB_OK;
    }
    s = ldb_sequential_read(cut->file, n, scratch, &len, err);
    if (s != LDB_OK)
        return s;
    cut->left -= len;
    *out_len = len;
    return LDB_OK;
}

static enum ldb_status cut_skip(struct ldb_sequential_file *file, uint64_t n,
                                struct ldb_error *err)
{
    struct cut_file *cut = (struct cut_file *)file;
    enum ldb_status s;

    if (n > cut->left)
        n = cut->left;
    s = cut->file->ops->skip(cut->file, n, err);
    if (s == LDB_OK)
        cut->left -= n;
    return s;
}

static void cut_close(struct ldb_sequential_file *file)
{
    struct cut_file *cut = (struct cut_file *)file;

    ldb_sequential_close(cut->file);
    ldb_mem_free(cut);
}

static const struct ldb_sequential_file_ops cut_ops = {
    .read = cut_read,
    .skip = cut_skip,
    .close = cut_close,
};

enum ldb_status ldb_pinned_open(struct ldb_env *env, const char *path,
                                uint64_t len, struct ldb_error *err,
                                struct ldb_sequential_file **out)
{
    struct cut_file *cut = ldb_mem_zalloc(1, sizeof(*cut));
    enum ldb_status s;

    if (cut == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->open_sequential(env, path, err, &cut->file);
    if (s != LDB_OK) {
        ldb_mem_free(cut);
        return s;
    }
    cut->base.ops = &cut_ops;
    cut->left = len;
    *out = &cut->base;
    return LDB_OK;
}
