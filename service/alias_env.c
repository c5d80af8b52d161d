#include "service/alias_env.h"

/* Of the file itself, whatever it was called. */
static const char *path_of(struct ldb_env *env)
{
    return ((struct svc_alias_env *)(void *)env)->path;
}

static enum ldb_status open_random(struct ldb_env *env, const char *path,
                                   struct ldb_error *err,
                                   struct ldb_random_file **out)
{
    struct ldb_env *system = ldb_env_posix();

    (void)path;
    return system->ops->open_random(system, path_of(env), err, out);
}

static enum ldb_status open_sequential(struct ldb_env *env, const char *path,
                                       struct ldb_error *err,
                                       struct ldb_sequential_file **out)
{
    struct ldb_env *system = ldb_env_posix();

    (void)path;
    return system->ops->open_sequential(system, path_of(env), err, out);
}

static enum ldb_status file_size(struct ldb_env *env, const char *path,
                                 struct ldb_error *err, uint64_t *out_size)
{
    struct ldb_env *system = ldb_env_posix();

    (void)path;
    return system->ops->file_size(system, path_of(env), err, out_size);
}

static const struct ldb_env_ops ops = {
    .open_random = open_random,
    .open_sequential = open_sequential,
    .file_size = file_size,
};

struct svc_alias_env svc_alias_env_make(const char *path)
{
    return (struct svc_alias_env){.env = {.ops = &ops}, .path = path};
}
