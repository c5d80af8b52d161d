#include "storage/base/env.h"

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Bytes asked for in one read of a whole file. Chosen. */
#define READ_CHUNK_SIZE ((size_t)64 * 1024)

/* Reads into out until the end of the file; out keeps what came on failure. */
static enum ldb_status read_to_end(struct ldb_sequential_file *file,
                                   const char *path, struct ldb_error *err,
                                   struct ldb_buf *out)
{
    enum ldb_status s;

    for (;;) {
        size_t room = out->limit - out->len;
        size_t want = room < READ_CHUNK_SIZE ? room : READ_CHUNK_SIZE;
        uint8_t probe;
        size_t got = 0;

        if (room == 0) { /* Full: only the end of the file may follow. */
            s = ldb_sequential_read(file, 1, &probe, &got, err);
            if (s == LDB_OK && got > 0)
                s = ldb_error_set(err, LDB_TOO_LARGE,
                                  "read %s: larger than %zu bytes", path,
                                  out->limit);
            return s;
        }
        s = ldb_buf_reserve(out, want);
        if (s != LDB_OK)
            return ldb_error_no_memory(err);
        s = ldb_sequential_read(file, want, out->data + out->len, &got, err);
        if (s != LDB_OK)
            return s;
        assert(got <= want);
        out->len += got;
        if (got == 0)
            return LDB_OK;
    }
}

enum ldb_status ldb_env_read_file(struct ldb_env *env, const char *path,
                                  struct ldb_error *err, struct ldb_buf *out)
{
    struct ldb_sequential_file *file = NULL;
    size_t len_before = out->len;
    enum ldb_status s;

    assert(out->len <= out->limit);
    s = env->ops->open_sequential(env, path, err, &file);
    if (s != LDB_OK)
        return s;
    s = read_to_end(file, path, err, out);
    ldb_sequential_close(file);
    if (s != LDB_OK)
        out->len = len_before;
    return s;
}

/* A new file of exactly these bytes, synced. */
static enum ldb_status write_synced(struct ldb_env *env, const char *path,
                                    struct ldb_slice bytes,
                                    struct ldb_error *err)
{
    struct ldb_writable_file *file = NULL;
    enum ldb_status s;
    enum ldb_status closed;

    s = env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, err, &file);
    if (s != LDB_OK)
        return s;
    s = ldb_file_append(file, bytes, err);
    if (s == LDB_OK)
        s = ldb_file_sync(file, err);
    closed = ldb_file_close(file, s == LDB_OK ? err : NULL);
    return s == LDB_OK ? closed : s;
}

enum ldb_status ldb_env_replace_file(struct ldb_env *env, const char *dir,
                                     const char *path, const char *temporary,
                                     struct ldb_slice bytes,
                                     struct ldb_error *err)
{
    enum ldb_status s = write_synced(env, temporary, bytes, err);

    if (s == LDB_OK)
        s = env->ops->rename_file(env, temporary, path, err);
    if (s != LDB_OK) {
        /* Best effort: the first failure is the one to report. */
        (void)env->ops->remove_file(env, temporary, NULL);
        return s;
    }
    return env->ops->sync_dir(env, dir, err);
}

enum ldb_status ldb_env_sync_file(struct ldb_env *env, const char *path,
                                  struct ldb_error *err)
{
    struct ldb_writable_file *file = NULL;
    enum ldb_status s;
    enum ldb_status closed;

    s = env->ops->open_writable(env, path, LDB_OPEN_APPEND, err, &file);
    if (s != LDB_OK)
        return s;
    s = ldb_file_sync(file, err);
    closed = ldb_file_close(file, s == LDB_OK ? err : NULL);
    return s == LDB_OK ? closed : s;
}

/* ---- copies ---- */

static enum ldb_status copy_bytes(struct ldb_sequential_file *from,
                                  struct ldb_writable_file *to, uint64_t len,
                                  struct ldb_error *err)
{
    uint8_t *chunk = ldb_mem_alloc(READ_CHUNK_SIZE, 1);
    size_t got = 1;
    enum ldb_status s = LDB_OK;

    if (chunk == NULL)
        return ldb_error_no_memory(err);
    while (s == LDB_OK && len > 0 && got > 0) {
        size_t want = len < READ_CHUNK_SIZE ? (size_t)len : READ_CHUNK_SIZE;

        s = ldb_sequential_read(from, want, chunk, &got, err);
        if (s == LDB_OK && got > 0)
            s = ldb_file_append(to, ldb_slice_make(chunk, got), err);
        len -= s == LDB_OK ? got : 0;
    }
    ldb_mem_free(chunk);
    return s;
}

enum ldb_status ldb_env_copy_file(struct ldb_env *env, const char *from,
                                  const char *to, uint64_t len,
                                  struct ldb_error *err)
{
    struct ldb_sequential_file *source = NULL;
    struct ldb_writable_file *copy = NULL;
    enum ldb_status s;
    enum ldb_status closed;

    s = env->ops->open_sequential(env, from, err, &source);
    if (s != LDB_OK)
        return s;
    s = env->ops->open_writable(env, to, LDB_OPEN_TRUNCATE, err, &copy);
    if (s == LDB_OK) {
        s = copy_bytes(source, copy, len, err);
        if (s == LDB_OK)
            s = ldb_file_sync(copy, err);
        closed = ldb_file_close(copy, s == LDB_OK ? err : NULL);
        s = s == LDB_OK ? closed : s;
        if (s != LDB_OK) /* half a copy is none */
            (void)env->ops->remove_file(env, to, NULL);
    }
    ldb_sequential_close(source);
    return s;
}

enum ldb_status ldb_env_link_or_copy(struct ldb_env *env, const char *from,
                                     const char *to, struct ldb_error *err)
{
    enum ldb_status s = env->ops->link_file(env, from, to, err);

    /* EPERM, EXDEV, EMLINK, EOPNOTSUPP and the like. */
    if (s == LDB_IO || s == LDB_NOT_SUPPORTED)
        return ldb_env_copy_file(env, from, to, UINT64_MAX, err);
    return s;
}

/* ---- folders ---- */

enum ldb_status ldb_env_create_folder(struct ldb_env *env, const char *path,
                                      struct ldb_error *err)
{
    char *parent = ldb_mem_strdup(path);
    char *slash;
    enum ldb_status s;

    if (parent == NULL)
        return ldb_error_no_memory(err);
    for (size_t len = strlen(parent); len > 1 && parent[len - 1] == '/'; len--)
        parent[len - 1] = '\0';
    slash = strrchr(parent, '/');
    if (slash == parent)
        slash[1] = '\0';
    else if (slash != NULL)
        *slash = '\0';
    s = env->ops->create_dir(env, path, err);
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, slash == NULL ? "." : parent, err);
    ldb_mem_free(parent);
    return s;
}
