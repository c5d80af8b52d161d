/* Every call goes to the environment below, but for the syncs (contract:
 * env_no_sync.h). */
#include "storage/base/env_no_sync.h"

#include "storage/base/mem.h"
#include "storage/base/status.h"

struct no_sync_env {
    struct ldb_env base;
    struct ldb_env *below;
};

struct no_sync_file {
    struct ldb_writable_file base;
    struct ldb_writable_file *below;
};

static struct ldb_env *below(struct ldb_env *env)
{
    return ((struct no_sync_env *)(void *)env)->below;
}

/* ---- writable files ---- */

static struct ldb_writable_file *file_below(struct ldb_writable_file *file)
{
    return ((struct no_sync_file *)(void *)file)->below;
}

static enum ldb_status file_append(struct ldb_writable_file *file,
                                   struct ldb_slice bytes,
                                   struct ldb_error *err)
{
    return ldb_file_append(file_below(file), bytes, err);
}

static enum ldb_status file_sync(struct ldb_writable_file *file,
                                 struct ldb_error *err)
{
    (void)file;
    (void)err;
    return LDB_OK;
}

static enum ldb_status file_truncate(struct ldb_writable_file *file,
                                     uint64_t len, struct ldb_error *err)
{
    return ldb_file_truncate(file_below(file), len, err);
}

static enum ldb_status file_close(struct ldb_writable_file *file,
                                  struct ldb_error *err)
{
    enum ldb_status s = ldb_file_close(file_below(file), err);

    ldb_mem_free(file);
    return s;
}

static const struct ldb_writable_file_ops file_ops = {
    .append = file_append,
    .sync = file_sync,
    .truncate = file_truncate,
    .close = file_close,
};

/* Takes opened, also on failure, when it is closed. */
static enum ldb_status wrap(struct ldb_writable_file *opened,
                            struct ldb_error *err,
                            struct ldb_writable_file **out)
{
    struct no_sync_file *file = ldb_mem_zalloc(1, sizeof(*file));

    if (file == NULL) {
        (void)ldb_file_close(opened, NULL);
        return ldb_error_no_memory(err);
    }
    file->base.ops = &file_ops;
    file->below = opened;
    *out = &file->base;
    return LDB_OK;
}

static enum ldb_status open_writable(struct ldb_env *env, const char *path,
                                     enum ldb_open_mode mode,
                                     struct ldb_error *err,
                                     struct ldb_writable_file **out)
{
    struct ldb_writable_file *opened = NULL;
    enum ldb_status s =
        below(env)->ops->open_writable(below(env), path, mode, err, &opened);

    return s == LDB_OK ? wrap(opened, err, out) : s;
}

static enum ldb_status open_mapped(struct ldb_env *env, const char *path,
                                   uint64_t window, struct ldb_error *err,
                                   struct ldb_writable_file **out)
{
    struct ldb_writable_file *opened = NULL;
    enum ldb_status s =
        below(env)->ops->open_mapped(below(env), path, window, err, &opened);

    return s == LDB_OK ? wrap(opened, err, out) : s;
}

/* ---- the rest ---- */

static enum ldb_status open_random(struct ldb_env *env, const char *path,
                                   struct ldb_error *err,
                                   struct ldb_random_file **out)
{
    return below(env)->ops->open_random(below(env), path, err, out);
}

static enum ldb_status open_sequential(struct ldb_env *env, const char *path,
                                       struct ldb_error *err,
                                       struct ldb_sequential_file **out)
{
    return below(env)->ops->open_sequential(below(env), path, err, out);
}

static enum ldb_status file_size(struct ldb_env *env, const char *path,
                                 struct ldb_error *err, uint64_t *out_size)
{
    return below(env)->ops->file_size(below(env), path, err, out_size);
}

static enum ldb_status list_dir(struct ldb_env *env, const char *path,
                                ldb_list_visit visit, void *context,
                                struct ldb_error *err)
{
    return below(env)->ops->list_dir(below(env), path, visit, context, err);
}

static enum ldb_status create_dir(struct ldb_env *env, const char *path,
                                  struct ldb_error *err)
{
    return below(env)->ops->create_dir(below(env), path, err);
}

static enum ldb_status remove_dir(struct ldb_env *env, const char *path,
                                  struct ldb_error *err)
{
    return below(env)->ops->remove_dir(below(env), path, err);
}

static enum ldb_status remove_file(struct ldb_env *env, const char *path,
                                   struct ldb_error *err)
{
    return below(env)->ops->remove_file(below(env), path, err);
}

static enum ldb_status rename_file(struct ldb_env *env, const char *from,
                                   const char *to, struct ldb_error *err)
{
    return below(env)->ops->rename_file(below(env), from, to, err);
}

static enum ldb_status link_file(struct ldb_env *env, const char *from,
                                 const char *to, struct ldb_error *err)
{
    return below(env)->ops->link_file(below(env), from, to, err);
}

static enum ldb_status stop_at_once(void *context, const char *name)
{
    (void)context;
    (void)name;
    return LDB_EXISTS;
}

/* What is no directory is an error, as it is below. */
static enum ldb_status sync_dir(struct ldb_env *env, const char *path,
                                struct ldb_error *err)
{
    enum ldb_status s =
        below(env)->ops->list_dir(below(env), path, stop_at_once, NULL, err);

    return s == LDB_EXISTS ? LDB_OK : s;
}

static enum ldb_status lock_file(struct ldb_env *env, const char *path,
                                 bool shared, struct ldb_error *err,
                                 struct ldb_file_lock **out)
{
    return below(env)->ops->lock_file(below(env), path, shared, err, out);
}

static void unlock_file(struct ldb_env *env, struct ldb_file_lock *lock)
{
    below(env)->ops->unlock_file(below(env), lock);
}

static enum ldb_status free_space(struct ldb_env *env, const char *path,
                                  struct ldb_error *err, uint64_t *out_bytes)
{
    return below(env)->ops->free_space(below(env), path, err, out_bytes);
}

static uint64_t wall_us(struct ldb_env *env)
{
    return below(env)->ops->wall_us(below(env));
}

static uint64_t monotonic_us(struct ldb_env *env)
{
    return below(env)->ops->monotonic_us(below(env));
}

static enum ldb_status random_bytes(struct ldb_env *env, uint8_t *out, size_t n,
                                    struct ldb_error *err)
{
    return below(env)->ops->random_bytes(below(env), out, n, err);
}

static enum ldb_status thread_start(struct ldb_env *env, const char *name,
                                    void (*body)(void *context), void *context,
                                    struct ldb_error *err,
                                    struct ldb_thread **out)
{
    return below(env)->ops->thread_start(below(env), name, body, context, err,
                                         out);
}

static void thread_join(struct ldb_env *env, struct ldb_thread *thread)
{
    below(env)->ops->thread_join(below(env), thread);
}

static const struct ldb_env_ops no_sync_ops = {
    .open_writable = open_writable,
    .open_mapped = open_mapped,
    .open_random = open_random,
    .open_sequential = open_sequential,
    .file_size = file_size,
    .list_dir = list_dir,
    .create_dir = create_dir,
    .remove_dir = remove_dir,
    .remove_file = remove_file,
    .rename_file = rename_file,
    .link_file = link_file,
    .sync_dir = sync_dir,
    .lock_file = lock_file,
    .unlock_file = unlock_file,
    .free_space = free_space,
    .wall_us = wall_us,
    .monotonic_us = monotonic_us,
    .random_bytes = random_bytes,
    .thread_start = thread_start,
    .thread_join = thread_join,
};

enum ldb_status ldb_env_no_sync_create(struct ldb_env *below_env,
                                       struct ldb_error *err,
                                       struct ldb_env **out)
{
    struct no_sync_env *env = ldb_mem_zalloc(1, sizeof(*env));

    if (env == NULL)
        return ldb_error_no_memory(err);
    env->base.ops = &no_sync_ops;
    env->below = below_env;
    *out = &env->base;
    return LDB_OK;
}

void ldb_env_no_sync_destroy(struct ldb_env *env)
{
    ldb_mem_free(env);
}
