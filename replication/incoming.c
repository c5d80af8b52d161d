#include "replication/incoming.h"

#include "replication/table_check.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

#define LINK_SUFFIX ".have"

/* ---- one file ---- */

char *repl_incoming_path(const char *dir, const char *name, bool is_link)
{
    return ldb_mem_printf("%s/" LDB_INCOMING_FOLDER "/%s%s", dir, name,
                          is_link ? LINK_SUFFIX : "");
}

static enum ldb_status make_folder(struct ldb_env *env, char *path,
                                   struct ldb_error *err)
{
    enum ldb_status s = path == NULL ? ldb_error_no_memory(err)
                                     : ldb_env_create_folder(env, path, err);

    ldb_mem_free(path);
    return s;
}

enum ldb_status repl_incoming_make(struct ldb_env *env, const char *dir,
                                   struct ldb_error *err)
{
    enum ldb_status s =
        make_folder(env, ldb_mem_printf("%s/" LDB_OWN_FOLDER, dir), err);

    if (s == LDB_OK)
        s = make_folder(env, ldb_mem_printf("%s/" LDB_INCOMING_FOLDER, dir),
                        err);
    return s;
}

enum ldb_status repl_incoming_link(struct ldb_env *env, const char *dir,
                                   const char *from, const char *name,
                                   struct ldb_error *err)
{
    char *source = ldb_mem_printf("%s/%s", dir, from);
    char *to = repl_incoming_path(dir, name, true);
    enum ldb_status s = LDB_NO_MEMORY;

    if (source == NULL || to == NULL)
        ldb_error_no_memory(err);
    else
        s = ldb_env_link_or_copy(env, source, to, err);
    if (s == LDB_EXISTS) { /* of an earlier try: of which file is not known */
        s = env->ops->remove_file(env, to, err);
        if (s == LDB_OK)
            s = ldb_env_link_or_copy(env, source, to, err);
    }
    ldb_mem_free(source);
    ldb_mem_free(to);
    return s;
}

enum ldb_status repl_incoming_sync(struct ldb_env *env, const char *dir,
                                   struct ldb_error *err)
{
    char *folder = ldb_mem_printf("%s/" LDB_INCOMING_FOLDER, dir);
    enum ldb_status s = folder == NULL ? ldb_error_no_memory(err)
                                       : env->ops->sync_dir(env, folder, err);

    ldb_mem_free(folder);
    return s;
}

enum ldb_status repl_incoming_link_all(struct ldb_env *env, const char *dir,
                                       const struct repl_plan *plan,
                                       struct ldb_error *err)
{
    bool has_linked = false;
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < plan->count; i++) {
        const struct repl_step *step = &plan->steps[i];

        if (step->kind != REPL_STEP_LINK)
            continue;
        s = repl_incoming_link(env, dir, step->from, step->name, err);
        has_linked = true;
    }
    if (s == LDB_OK && has_linked)
        s = repl_incoming_sync(env, dir, err);
    return s;
}

/* ---- its blocks ---- */

enum ldb_status repl_incoming_check_table(struct ldb_env *env, const char *dir,
                                          const char *name, uint64_t size,
                                          struct ldb_error *err)
{
    struct repl_table_damage damage = {0};
    char *path = repl_incoming_path(dir, name, false);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = repl_table_check_blocks(env, path, name, size, NULL, NULL, err,
                                &damage);
    if (s == LDB_OK && damage.damaged > 0)
        s = ldb_error_set(err, LDB_CORRUPTION,
                          "the leader's table is damaged: %.200s",
                          damage.why.message);
    if (s == LDB_CORRUPTION) /* it may stay: it is checked before each use */
        (void)env->ops->remove_file(env, path, NULL);
    ldb_mem_free(path);
    return s;
}

/* ---- all of them ---- */

struct cleaning {
    struct ldb_env *env;
    const char *dir;
    bool is_all;
    struct ldb_buf names; /* NUL-terminated */
};

static enum ldb_status add_name(void *context, const char *name)
{
    struct cleaning *cleaning = context;

    return ldb_buf_append(&cleaning->names,
                          ldb_slice_make(name, strlen(name) + 1));
}

static bool is_link_name(const char *name)
{
    size_t len = strlen(name);
    size_t suffix_len = strlen(LINK_SUFFIX);

    return len > suffix_len &&
           strcmp(name + len - suffix_len, LINK_SUFFIX) == 0;
}

/* Whether it may have a second name in the folder; when that cannot be told it
 * may. */
static bool may_be_shared(const struct cleaning *cleaning, const char *name,
                          const char *path)
{
    struct ldb_env *env = cleaning->env;
    char *other = ldb_mem_printf("%s/%s", cleaning->dir, name);
    uint64_t size = 0;
    uint64_t other_size = 0;
    bool may_be = true;

    if (other != NULL && env->ops->file_size(env, path, NULL, &size) == LDB_OK)
        may_be = env->ops->file_size(env, other, NULL, &other_size) !=
                     LDB_NOT_FOUND &&
                 size == other_size;
    ldb_mem_free(other);
    return may_be;
}

static enum ldb_status clean_name(const struct cleaning *cleaning,
                                  const char *name, struct ldb_error *err)
{
    char *path = repl_incoming_path(cleaning->dir, name, false);
    enum ldb_status s = LDB_OK;

    if (path == NULL)
        return ldb_error_no_memory(err);
    if (cleaning->is_all || is_link_name(name) ||
        may_be_shared(cleaning, name, path))
        s = cleaning->env->ops->remove_file(cleaning->env, path, err);
    ldb_mem_free(path);
    return s;
}

static enum ldb_status list_names(struct cleaning *cleaning,
                                  struct ldb_error *err)
{
    char *folder = ldb_mem_printf("%s/" LDB_INCOMING_FOLDER, cleaning->dir);
    struct ldb_error why = {0};
    enum ldb_status s = LDB_NO_MEMORY;

    if (folder != NULL)
        s = cleaning->env->ops->list_dir(cleaning->env, folder, add_name,
                                         cleaning, &why);
    ldb_mem_free(folder);
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

enum ldb_status repl_incoming_clean(struct ldb_env *env, const char *dir,
                                    bool is_all, struct ldb_error *err)
{
    struct cleaning cleaning = {.env = env,
                                .dir = dir,
                                .is_all = is_all,
                                .names = LDB_BUF_INIT(SIZE_MAX)};
    struct ldb_error why = {0};
    enum ldb_status s = list_names(&cleaning, &why);

    if (s == LDB_NOT_FOUND) {
        ldb_buf_release(&cleaning.names);
        return LDB_OK;
    }
    for (size_t at = 0; s == LDB_OK && at < cleaning.names.len;) {
        const char *name = (const char *)cleaning.names.data + at;

        s = clean_name(&cleaning, name, &why);
        at += strlen(name) + 1;
    }
    if (s == LDB_OK)
        s = repl_incoming_sync(env, dir, &why);
    if (s != LDB_OK && err != NULL)
        *err = why;
    ldb_buf_release(&cleaning.names);
    return s;
}
