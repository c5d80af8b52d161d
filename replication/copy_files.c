#include "replication/copy_files.h"

#include <stdio.h>
#include <string.h>

#include "replication/sidecar.h"
#include "storage/base/status.h"

/* Where our own files of a copy are put, to be read as those of a folder. */
#define COPY_DIR "/copy"

/* "MANIFEST-" and its number, and a line's end. */
#define CURRENT_MAX 64

static enum ldb_status append_bytes(void *context, struct ldb_slice bytes,
                                    struct ldb_error *err)
{
    enum ldb_status s = ldb_buf_append(context, bytes);

    return s == LDB_OK ? s : ldb_error_set(err, s, "%s", ldb_status_text(s));
}

enum ldb_status repl_copy_read(struct repl_transport *transport,
                               const char *path, uint64_t count,
                               struct ldb_error *err, struct ldb_buf *out)
{
    const struct repl_get get = {
        .name = path,
        .count = count,
        .head = repl_pass_head,
        .bytes = append_bytes,
        .context = out,
    };

    ldb_buf_clear(out);
    return transport->ops->get(transport, &get, err);
}

/* Of our own: into the folder of that environment. */
static enum ldb_status bring(struct ldb_env *env, const char *name,
                             struct repl_transport *transport,
                             struct ldb_error *err)
{
    struct ldb_buf bytes = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    struct ldb_writable_file *file = NULL;
    char path[64];
    char to[64];
    enum ldb_status s;

    (void)snprintf(path, sizeof(path), REPL_SIDECAR_FOLDER "/%s", name);
    (void)snprintf(to, sizeof(to), COPY_DIR "/" REPL_SIDECAR_FOLDER "/%s",
                   name);
    s = repl_copy_read(transport, path, 0, err, &bytes);
    if (s == LDB_OK)
        s = env->ops->open_writable(env, to, LDB_OPEN_TRUNCATE, err, &file);
    if (s == LDB_OK)
        s = ldb_file_append(file, ldb_slice_of_buf(&bytes), err);
    if (file != NULL)
        LDB_IGNORE(ldb_file_close(file, NULL)); /* it is in memory */
    ldb_buf_release(&bytes);
    return s;
}

static enum ldb_status make_folder(struct ldb_error *err, struct ldb_env **out)
{
    struct ldb_env *env = NULL;
    enum ldb_status s = ldb_env_memory_create(err, &env);

    if (s != LDB_OK)
        return s;
    s = env->ops->create_dir(env, COPY_DIR, err);
    if (s == LDB_OK)
        s = repl_sidecar_make_folder(env, COPY_DIR, err);
    if (s == LDB_OK)
        *out = env;
    else
        ldb_env_memory_destroy(env);
    return s;
}

enum ldb_status repl_copy_read_who(struct repl_transport *transport,
                                   struct ldb_error *err,
                                   struct repl_identity *out_identity,
                                   struct repl_epoch_history *out_history)
{
    struct ldb_env *env = NULL;
    struct repl_identity identity = {0};
    enum ldb_status s = make_folder(err, &env);

    if (s != LDB_OK)
        return s;
    s = bring(env, REPL_IDENTITY_FILE, transport, err);
    if (s == LDB_OK)
        s = bring(env, REPL_EPOCHS_FILE, transport, err);
    if (s == LDB_NOT_FOUND)
        s = ldb_error_prefix(err, s, "the copy lacks a part of leveld/");
    if (s == LDB_OK)
        s = repl_identity_load(env, COPY_DIR, err, &identity);
    if (s == LDB_OK)
        s = repl_epoch_history_load(env, COPY_DIR, err, out_history);
    if (s == LDB_OK)
        *out_identity = identity;
    ldb_env_memory_destroy(env);
    return s;
}

enum ldb_status repl_copy_read_digests(struct repl_transport *transport,
                                       struct ldb_error *err,
                                       struct repl_digest_list *out)
{
    struct ldb_env *env = NULL;
    enum ldb_status s = make_folder(err, &env);

    if (s != LDB_OK)
        return s;
    s = bring(env, REPL_DIGESTS_FILE, transport, err);
    if (s == LDB_OK)
        s = repl_digest_store_load(env, COPY_DIR, err, out);
    ldb_env_memory_destroy(env);
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

enum ldb_status repl_copy_read_current(struct repl_transport *transport,
                                       struct ldb_error *err, uint64_t *out)
{
    struct ldb_buf bytes = LDB_BUF_INIT(CURRENT_MAX);
    char name[CURRENT_MAX] = "";
    enum ldb_status s = repl_copy_read(transport, "CURRENT", 0, err, &bytes);

    if (s == LDB_OK && bytes.len > 1 && bytes.len < sizeof(name) &&
        bytes.data[bytes.len - 1] == '\n')
        memcpy(name, bytes.data, bytes.len - 1);
    ldb_buf_release(&bytes);
    if (s == LDB_TOO_LARGE)
        s = LDB_OK; /* it names nothing */
    if (s == LDB_OK && ldb_file_name_parse(name, out) != LDB_FILE_MANIFEST)
        s = ldb_error_set(err, LDB_CORRUPTION,
                          "the copy's CURRENT names no MANIFEST");
    return s;
}
