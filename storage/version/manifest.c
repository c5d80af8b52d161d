#include "storage/version/manifest.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/journal_writer.h"
#include "storage/version/file_names.h"

/* CURRENT holds a name and a newline; chosen with room for foreign ones. */
#define CURRENT_MAX 1024

struct ldb_manifest {
    uint64_t number;
    struct ldb_journal_writer *writer;
};

/* ---- writing ---- */

/* The file of path, empty, behind a writer. */
static enum ldb_status open_writer(struct ldb_env *env, const char *path,
                                   struct ldb_error *err,
                                   struct ldb_journal_writer **out)
{
    struct ldb_writable_file *file = NULL;
    enum ldb_status s =
        env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, err, &file);

    if (s != LDB_OK)
        return s;
    return ldb_journal_writer_create(file, 0, err, out);
}

/* Writes and syncs what was added with that result. */
static enum ldb_status finish_append(struct ldb_manifest *manifest,
                                     enum ldb_status added,
                                     struct ldb_error *err,
                                     bool *out_is_unknown)
{
    struct ldb_journal_writer *writer = manifest->writer;
    bool is_unknown = false;
    enum ldb_status s = added;

    if (s == LDB_OK)
        s = ldb_journal_writer_flush(writer, err);
    if (s != LDB_OK) {
        is_unknown = ldb_journal_writer_cut(writer, NULL) != LDB_OK;
    } else {
        s = ldb_journal_writer_sync(writer, err);
        is_unknown = true;
    }
    if (s == LDB_OK)
        return LDB_OK;
    *out_is_unknown = is_unknown;
    return ldb_error_prefix(err, s, "write MANIFEST-%06" PRIu64,
                            manifest->number);
}

enum ldb_status ldb_manifest_append(struct ldb_manifest *manifest,
                                    struct ldb_slice record,
                                    struct ldb_error *err, bool *out_is_unknown)
{
    enum ldb_status s =
        ldb_journal_writer_add(manifest->writer, &record, 1, err);

    return finish_append(manifest, s, err, out_is_unknown);
}

enum ldb_status ldb_manifest_append_framed(struct ldb_manifest *manifest,
                                           struct ldb_slice bytes,
                                           struct ldb_error *err,
                                           bool *out_is_unknown)
{
    enum ldb_status s =
        ldb_journal_writer_add_framed(manifest->writer, bytes, err);

    return finish_append(manifest, s, err, out_is_unknown);
}

void ldb_manifest_close(struct ldb_manifest *manifest)
{
    if (manifest == NULL)
        return;
    /* All that counts was synced; nothing more is written to this file. */
    if (manifest->writer != NULL)
        (void)!ldb_journal_writer_close(manifest->writer, NULL);
    ldb_mem_free(manifest);
}

enum ldb_status ldb_manifest_create(struct ldb_env *env, const char *dir,
                                    uint64_t number, struct ldb_slice record,
                                    struct ldb_error *err,
                                    struct ldb_manifest **out)
{
    struct ldb_manifest *manifest = ldb_mem_zalloc(1, sizeof(*manifest));
    char *path = ldb_file_path(dir, LDB_FILE_MANIFEST, number);
    bool is_unknown = false; /* nothing names the file: it does not matter */
    enum ldb_status s;

    if (manifest == NULL || path == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    manifest->number = number;
    s = open_writer(env, path, err, &manifest->writer);
    if (s == LDB_OK)
        s = ldb_manifest_append(manifest, record, err, &is_unknown);
    /* A reader may follow a CURRENT.N that is not renamed yet (goleveldb
     * does): what it leads to is durable before there is one. */
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, dir, err);
    if (s != LDB_OK) {
        ldb_manifest_close(manifest);
        manifest = NULL;
        /* If it stays, it is a stray file, no more. */
        (void)!env->ops->remove_file(env, path, NULL);
        goto out;
    }
    *out = manifest;
    manifest = NULL;
out:
    ldb_mem_free(manifest);
    ldb_mem_free(path);
    return s;
}

/* The file cut to len bytes, synced, behind a writer. */
static enum ldb_status resume_writer(struct ldb_env *env, const char *path,
                                     uint64_t len, struct ldb_error *err,
                                     struct ldb_journal_writer **out)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;
    enum ldb_status s =
        env->ops->open_writable(env, path, LDB_OPEN_APPEND, err, &file);

    if (s == LDB_OK)
        s = ldb_journal_writer_create(file, len, err, &writer);
    if (s != LDB_OK)
        return s;
    s = ldb_journal_writer_cut(writer, err);
    if (s == LDB_OK)
        *out = writer;
    else /* the failure before it is the one to tell */
        LDB_IGNORE(ldb_journal_writer_close(writer, NULL));
    return s;
}

enum ldb_status ldb_manifest_open(struct ldb_env *env, const char *dir,
                                  uint64_t number, uint64_t len,
                                  struct ldb_error *err,
                                  struct ldb_manifest **out)
{
    struct ldb_manifest *manifest = ldb_mem_zalloc(1, sizeof(*manifest));
    char *path = ldb_file_path(dir, LDB_FILE_MANIFEST, number);
    enum ldb_status s;

    if (manifest == NULL || path == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    manifest->number = number;
    s = resume_writer(env, path, len, err, &manifest->writer);
    if (s == LDB_OK) {
        *out = manifest;
        manifest = NULL;
    }
out:
    ldb_mem_free(manifest);
    ldb_mem_free(path);
    return s;
}

/* leveld/incoming/ of dir, and MANIFEST-number's path in it. */
static enum ldb_status make_incoming(struct ldb_env *env, const char *dir,
                                     uint64_t number, struct ldb_error *err,
                                     char **out_path)
{
    char name[LDB_FILE_NAME_SIZE];
    char *own = ldb_mem_printf("%s/" LDB_OWN_FOLDER, dir);
    char *incoming = ldb_mem_printf("%s/" LDB_INCOMING_FOLDER, dir);
    char *path = NULL;
    enum ldb_status s = LDB_OK;

    ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
    if (incoming != NULL)
        path = ldb_mem_printf("%s/%s", incoming, name);
    if (own == NULL || path == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = ldb_env_create_folder(env, own, err);
    if (s == LDB_OK)
        s = ldb_env_create_folder(env, incoming, err);
    ldb_mem_free(own);
    ldb_mem_free(incoming);
    if (s == LDB_OK)
        *out_path = path;
    else
        ldb_mem_free(path);
    return s;
}

/* to: the first len bytes of from, then bytes, synced, behind a writer. */
static enum ldb_status write_replacement(struct ldb_env *env, const char *from,
                                         uint64_t len, const char *to,
                                         struct ldb_slice bytes,
                                         struct ldb_error *err,
                                         struct ldb_manifest *manifest)
{
    bool is_unknown = false; /* nothing names the file: it does not matter */
    struct ldb_error found = {0};
    enum ldb_status s = env->ops->remove_file(env, to, &found);

    /* A power cut may have undone that half of a rename which took the name
     * away: then it is a second one of what is in force, not to be cut. */
    if (s != LDB_OK && s != LDB_NOT_FOUND) {
        if (err != NULL)
            *err = found;
        return s;
    }
    if (len > 0) {
        s = ldb_env_copy_file(env, from, to, len, err);
        if (s == LDB_OK)
            s = resume_writer(env, to, len, err, &manifest->writer);
    } else {
        s = open_writer(env, to, err, &manifest->writer);
    }
    if (s == LDB_OK)
        s = ldb_manifest_append_framed(manifest, bytes, err, &is_unknown);
    return s;
}

enum ldb_status ldb_manifest_replace(struct ldb_env *env, const char *dir,
                                     uint64_t number, uint64_t len,
                                     struct ldb_slice bytes,
                                     struct ldb_error *err,
                                     struct ldb_manifest **out,
                                     bool *out_is_unknown)
{
    struct ldb_manifest *manifest = ldb_mem_zalloc(1, sizeof(*manifest));
    char *path = ldb_file_path(dir, LDB_FILE_MANIFEST, number);
    char *incoming = NULL;
    bool is_renamed = false;
    enum ldb_status s;

    if (manifest == NULL || path == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    manifest->number = number;
    s = make_incoming(env, dir, number, err, &incoming);
    if (s == LDB_OK)
        s = write_replacement(env, path, len, incoming, bytes, err, manifest);
    if (s == LDB_OK)
        s = env->ops->rename_file(env, incoming, path, err);
    if (s == LDB_OK) {
        is_renamed = true;
        s = env->ops->sync_dir(env, dir, err);
    }
    if (s == LDB_OK) {
        *out = manifest;
        manifest = NULL;
    } else {
        *out_is_unknown = is_renamed;
        if (incoming != NULL && !is_renamed) /* a stray file, if it stays */
            (void)env->ops->remove_file(env, incoming, NULL);
    }
out:
    ldb_manifest_close(manifest);
    ldb_mem_free(incoming);
    ldb_mem_free(path);
    return s;
}

bool ldb_manifest_withdraw(struct ldb_env *env, const char *dir,
                           uint64_t number)
{
    char name[LDB_FILE_NAME_SIZE];
    char *current = ldb_file_path(dir, LDB_FILE_CURRENT, 0);
    char *path = ldb_file_path(dir, LDB_FILE_MANIFEST, number);
    struct ldb_buf content = LDB_BUF_INIT(CURRENT_MAX);
    bool is_withdrawn = false;

    ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
    if (current == NULL || path == NULL ||
        ldb_env_read_file(env, current, NULL, &content) != LDB_OK)
        goto out;
    /* A CURRENT.N that was made already counts only while N's file exists: so
     * its going has to be durable. */
    if (!ldb_slice_starts_with(ldb_slice_of_buf(&content), ldb_slice_str(name)))
        is_withdrawn = env->ops->remove_file(env, path, NULL) == LDB_OK &&
                       env->ops->sync_dir(env, dir, NULL) == LDB_OK;
out:
    ldb_buf_release(&content);
    ldb_mem_free(current);
    ldb_mem_free(path);
    return is_withdrawn;
}

uint64_t ldb_manifest_number(const struct ldb_manifest *manifest)
{
    return manifest->number;
}

uint64_t ldb_manifest_len(const struct ldb_manifest *manifest)
{
    return ldb_journal_writer_synced_len(manifest->writer);
}

/* ---- reading ---- */

/* dropped NULL: a record that cannot be decoded is an error; else its bytes
 * are added there. */
static enum ldb_status visit_records(struct ldb_journal_reader *reader,
                                     const char *name, ldb_manifest_visit visit,
                                     void *context, struct ldb_error *err,
                                     uint64_t *dropped)
{
    struct ldb_version_edit edit = {0};
    struct ldb_slice record = {0};
    enum ldb_status s;

    for (;;) {
        s = ldb_journal_reader_next(reader, err, &record);
        if (s != LDB_OK)
            break;
        s = ldb_version_edit_decode(&edit, record, err);
        if (s == LDB_CORRUPTION && dropped != NULL) {
            *dropped += record.len;
            continue;
        }
        if (s == LDB_OK)
            s = visit(context, &edit, err);
        if (s != LDB_OK) {
            s = ldb_error_prefix(err, s, "%s: record at %" PRIu64, name,
                                 ldb_journal_reader_record_offset(reader));
            break;
        }
    }
    ldb_version_edit_release(&edit);
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

static void count_dropped(void *context, uint64_t offset, uint64_t bytes,
                          const char *reason)
{
    uint64_t *dropped = context;

    (void)offset;
    (void)reason;
    *dropped += bytes;
}

/* dropped NULL: strict. */
static enum ldb_status read_edits(struct ldb_env *env, const char *dir,
                                  uint64_t number, ldb_manifest_visit visit,
                                  void *context, struct ldb_error *err,
                                  uint64_t *out_len, uint64_t *dropped)
{
    const struct ldb_journal_reader_options options = {
        .strict = dropped == NULL,
        .on_drop = dropped == NULL ? NULL : count_dropped,
        .context = dropped,
    };
    char name[LDB_FILE_NAME_SIZE];
    char *path = ldb_file_path(dir, LDB_FILE_MANIFEST, number);
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    enum ldb_status s;

    ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
    if (path == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    s = env->ops->open_sequential(env, path, err, &file);
    if (s != LDB_OK)
        goto out;
    s = ldb_journal_reader_create(file, name, &options, err, &reader);
    if (s != LDB_OK)
        goto out;
    s = visit_records(reader, name, visit, context, err, dropped);
    if (s == LDB_OK)
        *out_len = ldb_journal_reader_end_offset(reader);
out:
    ldb_journal_reader_destroy(reader);
    if (file != NULL)
        ldb_sequential_close(file);
    ldb_mem_free(path);
    return s;
}

enum ldb_status ldb_manifest_read(struct ldb_env *env, const char *dir,
                                  uint64_t number, ldb_manifest_visit visit,
                                  void *context, struct ldb_error *err,
                                  uint64_t *out_len)
{
    return read_edits(env, dir, number, visit, context, err, out_len, NULL);
}

enum ldb_status ldb_manifest_salvage(struct ldb_env *env, const char *dir,
                                     uint64_t number, ldb_manifest_visit visit,
                                     void *context, struct ldb_error *err,
                                     uint64_t *out_len, uint64_t *out_dropped)
{
    uint64_t dropped = 0;
    enum ldb_status s =
        read_edits(env, dir, number, visit, context, err, out_len, &dropped);

    if (s == LDB_OK)
        *out_dropped = dropped;
    return s;
}
