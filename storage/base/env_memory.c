/*
 * A file system in RAM: paths, handles and locks over memory_node's files and
 * directories. Relative and absolute paths begin at the same root; ".." is not
 * understood. Errors carry the errno that the system would give.
 */
#include "storage/base/env_memory_internal.h"

#include <errno.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/* What free_space() says: RAM has no quota of its own. Chosen. */
#define FREE_BYTES (UINT64_C(1) << 40)

/*
 * Locking. Constant after creation: base, system. Protected by mu: root, every
 * node below it or in a handle, and handle_count.
 */
struct memory_env {
    struct ldb_env base;
    struct ldb_env *system; /* of clock, random numbers, threads */
    struct ldb_mutex mu;
    struct ldb_memory_node *root; /* guarded by mu */
    size_t handle_count;          /* guarded by mu */
};

/* What every open file is: a reference to its node, and its name to tell. */
struct handle {
    struct memory_env *env;
    struct ldb_memory_node *node;
    char *path;
};

struct memory_writable {
    struct ldb_writable_file base;
    struct handle handle;
};

struct memory_random {
    struct ldb_random_file base;
    struct handle handle;
    size_t size; /* at open */
};

struct memory_sequential {
    struct ldb_sequential_file base;
    struct handle handle;
    uint64_t offset;
};

struct ldb_file_lock {
    struct handle handle;
    bool shared;
};

static struct memory_env *memory_env_of(struct ldb_env *env)
{
    return (struct memory_env *)(void *)env;
}

/* ---- paths ---- */

/* Where a path leads. */
struct place {
    struct ldb_memory_node *dir;  /* the last but one; NULL for the root */
    struct ldb_slice name;        /* the last; empty for the root */
    struct ldb_memory_node *node; /* what is there; NULL: nothing */
};

/* The next component; empty at the end. Skips "." and extra slashes. */
static struct ldb_slice next_component(const char **path)
{
    for (;;) {
        const char *begin = *path + strspn(*path, "/");
        size_t len = strcspn(begin, "/");

        *path = begin + len;
        if (len != 1 || begin[0] != '.')
            return ldb_slice_make(begin, len);
    }
}

/* Follows path; an errno when a directory on the way is not there. */
static int find_place_locked(struct memory_env *env, const char *path,
                             struct place *out) LDB_REQUIRES(env->mu)
{
    struct place place = {.node = env->root};

    for (;;) {
        struct ldb_slice name = next_component(&path);

        if (name.len == 0)
            break;
        if (place.node == NULL)
            return ENOENT;
        if (!place.node->is_dir)
            return ENOTDIR;
        if (ldb_slice_equal(name, ldb_slice_str("..")))
            return EINVAL;
        place = (struct place){.dir = place.node, .name = name};
        place.node = ldb_memory_dir_find(place.dir, name);
    }
    *out = place;
    return 0;
}

/* The same for a path that must lead to a file, or to a directory. */
static int find_node_locked(struct memory_env *env, const char *path,
                            bool want_dir, struct place *out)
    LDB_REQUIRES(env->mu)
{
    struct place place = {0};
    int rc = find_place_locked(env, path, &place);

    if (rc == 0 && place.node == NULL)
        rc = ENOENT;
    if (rc == 0 && place.node->is_dir != want_dir)
        rc = want_dir ? ENOTDIR : EISDIR;
    if (rc == 0)
        *out = place;
    return rc;
}

/* One change of one directory; 0 or ENOMEM. */
static int change_dir(struct ldb_memory_node *dir, struct ldb_slice set_name,
                      struct ldb_memory_node *node,
                      struct ldb_slice remove_name)
{
    struct ldb_memory_change change = {0};

    if (ldb_memory_change_prepare(dir, set_name, node, remove_name, &change) !=
        LDB_OK)
        return ENOMEM;
    ldb_memory_change_commit(dir, &change);
    return 0;
}

/* An empty node at a place that has none; borrowed. */
static int make_node(const struct place *place, bool is_dir,
                     struct ldb_memory_node **out)
{
    struct ldb_memory_node *node = ldb_memory_node_create(is_dir);
    int rc = ENOMEM;

    assert(place->node == NULL);
    if (node != NULL)
        rc = change_dir(place->dir, place->name, node, (struct ldb_slice){0});
    if (rc == 0)
        *out = node;
    ldb_memory_node_unref(node); /* the directory holds it now */
    return rc;
}

/* ---- handles ---- */

/* Takes a reference to node; 0 or ENOMEM. */
static int init_handle_locked(struct memory_env *env, const char *path,
                              struct ldb_memory_node *node, struct handle *out)
    LDB_REQUIRES(env->mu)
{
    char *path_copy = ldb_mem_strdup(path);

    if (path_copy == NULL)
        return ENOMEM;
    *out = (struct handle){
        .env = env, .node = ldb_memory_node_ref(node), .path = path_copy};
    env->handle_count++;
    return 0;
}

static void release_handle(struct handle *handle)
{
    struct memory_env *env = handle->env;

    ldb_mutex_lock(&env->mu);
    assert(env->handle_count > 0);
    env->handle_count--;
    ldb_memory_node_unref(handle->node);
    ldb_mutex_unlock(&env->mu);
    ldb_mem_free(handle->path);
}

/* ---- writable files ---- */

static struct memory_writable *writable_of(struct ldb_writable_file *file)
{
    return (struct memory_writable *)(void *)file;
}

static enum ldb_status writable_append(struct ldb_writable_file *base,
                                       struct ldb_slice bytes,
                                       struct ldb_error *err)
{
    struct handle *handle = &writable_of(base)->handle;
    enum ldb_status s;

    ldb_mutex_lock(&handle->env->mu);
    s = ldb_memory_file_append(handle->node, bytes);
    ldb_mutex_unlock(&handle->env->mu);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

static enum ldb_status writable_sync(struct ldb_writable_file *base,
                                     struct ldb_error *err)
{
    struct handle *handle = &writable_of(base)->handle;

    (void)err;
    ldb_mutex_lock(&handle->env->mu);
    ldb_memory_file_sync(handle->node);
    ldb_mutex_unlock(&handle->env->mu);
    return LDB_OK;
}

static enum ldb_status writable_truncate(struct ldb_writable_file *base,
                                         uint64_t len, struct ldb_error *err)
{
    struct handle *handle = &writable_of(base)->handle;
    enum ldb_status s;

    ldb_mutex_lock(&handle->env->mu);
    s = ldb_memory_file_truncate(handle->node, (size_t)len);
    ldb_mutex_unlock(&handle->env->mu);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

static enum ldb_status writable_close(struct ldb_writable_file *base,
                                      struct ldb_error *err)
{
    struct memory_writable *file = writable_of(base);

    (void)err;
    release_handle(&file->handle);
    ldb_mem_free(file);
    return LDB_OK;
}

static const struct ldb_writable_file_ops writable_ops = {
    .append = writable_append,
    .sync = writable_sync,
    .truncate = writable_truncate,
    .close = writable_close,
};

/* The file at path, made or emptied as mode says. */
static int open_writable_locked(struct memory_env *env, const char *path,
                                enum ldb_open_mode mode, struct handle *out)
    LDB_REQUIRES(env->mu)
{
    struct place place = {0};
    int rc = find_place_locked(env, path, &place);

    if (rc == 0 && place.node == NULL)
        rc = make_node(&place, false, &place.node);
    else if (rc == 0 && place.node->is_dir)
        rc = EISDIR;
    if (rc == 0 && mode == LDB_OPEN_TRUNCATE &&
        ldb_memory_file_truncate(place.node, 0) != LDB_OK)
        rc = ENOMEM;
    if (rc == 0)
        rc = init_handle_locked(env, path, place.node, out);
    return rc;
}

static enum ldb_status memory_open_writable(struct ldb_env *base,
                                            const char *path,
                                            enum ldb_open_mode mode,
                                            struct ldb_error *err,
                                            struct ldb_writable_file **out)
{
    struct memory_env *env = memory_env_of(base);
    struct memory_writable *file = ldb_mem_zalloc(1, sizeof(*file));
    int rc;

    if (file == NULL)
        return ldb_error_no_memory(err);
    file->base.ops = &writable_ops;
    ldb_mutex_lock(&env->mu);
    rc = open_writable_locked(env, path, mode, &file->handle);
    ldb_mutex_unlock(&env->mu);
    if (rc != 0) {
        ldb_mem_free(file);
        return ldb_error_set_errno(err, rc, "open %s for writing", path);
    }
    *out = &file->base;
    return LDB_OK;
}

/* Nothing here is a system call. */
static enum ldb_status memory_open_mapped(struct ldb_env *env, const char *path,
                                          uint64_t window,
                                          struct ldb_error *err,
                                          struct ldb_writable_file **out)
{
    (void)window;
    return memory_open_writable(env, path, LDB_OPEN_TRUNCATE, err, out);
}

/* ---- random files ---- */

static struct memory_random *random_of(struct ldb_random_file *file)
{
    return (struct memory_random *)(void *)file;
}

/* Copies: the bytes move when someone appends. */
static enum ldb_status random_read_at(struct ldb_random_file *base,
                                      uint64_t offset, size_t n,
                                      uint8_t *scratch, struct ldb_slice *out,
                                      struct ldb_error *err)
{
    struct memory_random *file = random_of(base);
    struct handle *handle = &file->handle;
    size_t size = file->size;

    ldb_mutex_lock(&handle->env->mu);
    if (handle->node->bytes.len < size) /* cut since it was opened */
        size = handle->node->bytes.len;
    if (offset > size || n > size - offset) {
        ldb_mutex_unlock(&handle->env->mu);
        return ldb_error_set(
            err, LDB_CORRUPTION,
            "read %s: %zu bytes at %llu wanted, file ends at %zu", handle->path,
            n, (unsigned long long)offset, size);
    }
    if (n > 0)
        memcpy(scratch, handle->node->bytes.data + offset, n);
    ldb_mutex_unlock(&handle->env->mu);
    *out = ldb_slice_make(scratch, n);
    return LDB_OK;
}

static void random_close(struct ldb_random_file *base)
{
    struct memory_random *file = random_of(base);

    release_handle(&file->handle);
    ldb_mem_free(file);
}

static const struct ldb_random_file_ops random_ops = {
    .read_at = random_read_at,
    .close = random_close,
};

/* A handle on the file at path and its length; an errno when there is none. */
static int open_to_read(struct memory_env *env, const char *path,
                        struct handle *out, size_t *out_size)
{
    struct place place = {0};
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = find_node_locked(env, path, false, &place);
    if (rc == 0)
        rc = init_handle_locked(env, path, place.node, out);
    if (rc == 0)
        *out_size = place.node->bytes.len;
    ldb_mutex_unlock(&env->mu);
    return rc;
}

static enum ldb_status memory_open_random(struct ldb_env *base,
                                          const char *path,
                                          struct ldb_error *err,
                                          struct ldb_random_file **out)
{
    struct memory_random *file = ldb_mem_zalloc(1, sizeof(*file));
    int rc;

    if (file == NULL)
        return ldb_error_no_memory(err);
    file->base.ops = &random_ops;
    rc = open_to_read(memory_env_of(base), path, &file->handle, &file->size);
    if (rc != 0) {
        ldb_mem_free(file);
        return ldb_error_set_errno(err, rc, "open %s", path);
    }
    *out = &file->base;
    return LDB_OK;
}

/* ---- sequential files ---- */

static struct memory_sequential *sequential_of(struct ldb_sequential_file *file)
{
    return (struct memory_sequential *)(void *)file;
}

static enum ldb_status sequential_read(struct ldb_sequential_file *base,
                                       size_t n, uint8_t *scratch,
                                       size_t *out_len, struct ldb_error *err)
{
    struct memory_sequential *file = sequential_of(base);
    struct handle *handle = &file->handle;
    size_t got = 0;

    (void)err;
    ldb_mutex_lock(&handle->env->mu);
    if (file->offset < handle->node->bytes.len)
        got = handle->node->bytes.len - (size_t)file->offset;
    if (got > n)
        got = n;
    if (got > 0)
        memcpy(scratch, handle->node->bytes.data + file->offset, got);
    ldb_mutex_unlock(&handle->env->mu);
    file->offset += got;
    *out_len = got;
    return LDB_OK;
}

static enum ldb_status sequential_skip(struct ldb_sequential_file *base,
                                       uint64_t n, struct ldb_error *err)
{
    struct memory_sequential *file = sequential_of(base);

    if (n > (uint64_t)INT64_MAX - file->offset)
        return ldb_error_set_errno(err, EINVAL, "skip %llu bytes of %s",
                                   (unsigned long long)n, file->handle.path);
    file->offset += n;
    return LDB_OK;
}

static void sequential_close(struct ldb_sequential_file *base)
{
    struct memory_sequential *file = sequential_of(base);

    release_handle(&file->handle);
    ldb_mem_free(file);
}

static const struct ldb_sequential_file_ops sequential_ops = {
    .read = sequential_read,
    .skip = sequential_skip,
    .close = sequential_close,
};

static enum ldb_status memory_open_sequential(struct ldb_env *base,
                                              const char *path,
                                              struct ldb_error *err,
                                              struct ldb_sequential_file **out)
{
    struct memory_sequential *file = ldb_mem_zalloc(1, sizeof(*file));
    size_t size = 0;
    int rc;

    if (file == NULL)
        return ldb_error_no_memory(err);
    file->base.ops = &sequential_ops;
    rc = open_to_read(memory_env_of(base), path, &file->handle, &size);
    if (rc != 0) {
        ldb_mem_free(file);
        return ldb_error_set_errno(err, rc, "open %s", path);
    }
    *out = &file->base;
    return LDB_OK;
}

/* ---- names ---- */

static enum ldb_status memory_file_size(struct ldb_env *base, const char *path,
                                        struct ldb_error *err,
                                        uint64_t *out_size)
{
    struct memory_env *env = memory_env_of(base);
    struct place place = {0};
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = find_node_locked(env, path, false, &place);
    if (rc == 0)
        *out_size = place.node->bytes.len;
    ldb_mutex_unlock(&env->mu);
    if (rc != 0)
        return ldb_error_set_errno(err, rc, "stat %s", path);
    return LDB_OK;
}

/* Appends the directory's names to out, each with its NUL. */
static int collect_names_locked(struct memory_env *env, const char *path,
                                struct ldb_buf *out) LDB_REQUIRES(env->mu)
{
    struct place place = {0};
    int rc = find_node_locked(env, path, true, &place);

    for (size_t i = 0; rc == 0 && i < place.node->live.count; i++) {
        const char *name = place.node->live.items[i].name;

        if (ldb_buf_append(out, ldb_slice_make(name, strlen(name) + 1)) !=
            LDB_OK)
            rc = ENOMEM;
    }
    return rc;
}

/* The lock is not held while visiting: visit() may call the env. */
static enum ldb_status memory_list_dir(struct ldb_env *base, const char *path,
                                       ldb_list_visit visit, void *context,
                                       struct ldb_error *err)
{
    struct memory_env *env = memory_env_of(base);
    struct ldb_buf names = LDB_BUF_INIT(SIZE_MAX);
    enum ldb_status s = LDB_OK;
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = collect_names_locked(env, path, &names);
    ldb_mutex_unlock(&env->mu);
    if (rc != 0)
        s = ldb_error_set_errno(err, rc, "list %s", path);
    for (size_t at = 0; s == LDB_OK && at < names.len;) {
        const char *name = (const char *)names.data + at;

        at += strlen(name) + 1;
        s = visit(context, name);
    }
    ldb_buf_release(&names);
    return s;
}

static enum ldb_status memory_create_dir(struct ldb_env *base, const char *path,
                                         struct ldb_error *err)
{
    struct memory_env *env = memory_env_of(base);
    struct place place = {0};
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = find_place_locked(env, path, &place);
    if (rc == 0 && place.node == NULL)
        rc = make_node(&place, true, &place.node);
    else if (rc == 0 && !place.node->is_dir)
        rc = ENOTDIR;
    ldb_mutex_unlock(&env->mu);
    if (rc != 0)
        return ldb_error_set_errno(err, rc, "mkdir %s", path);
    return LDB_OK;
}

static enum ldb_status memory_remove_dir(struct ldb_env *base, const char *path,
                                         struct ldb_error *err)
{
    struct memory_env *env = memory_env_of(base);
    struct place place = {0};
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = find_node_locked(env, path, true, &place);
    if (rc == 0 && place.dir == NULL)
        rc = EBUSY; /* the root */
    if (rc == 0 && place.node->live.count > 0)
        rc = ENOTEMPTY;
    if (rc == 0)
        rc = change_dir(place.dir, (struct ldb_slice){0}, NULL, place.name);
    ldb_mutex_unlock(&env->mu);
    if (rc != 0)
        return ldb_error_set_errno(err, rc, "rmdir %s", path);
    return LDB_OK;
}

static enum ldb_status memory_remove_file(struct ldb_env *base,
                                          const char *path,
                                          struct ldb_error *err)
{
    struct memory_env *env = memory_env_of(base);
    struct place place = {0};
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = find_node_locked(env, path, false, &place);
    if (rc == 0)
        rc = change_dir(place.dir, (struct ldb_slice){0}, NULL, place.name);
    ldb_mutex_unlock(&env->mu);
    if (rc != 0)
        return ldb_error_set_errno(err, rc, "remove %s", path);
    return LDB_OK;
}

/* True when path leads through dir. */
static bool leads_through_locked(struct memory_env *env, const char *path,
                                 const struct ldb_memory_node *dir)
    LDB_REQUIRES(env->mu)
{
    const struct ldb_memory_node *node = env->root;

    while (node != NULL && node != dir && node->is_dir) {
        struct ldb_slice name = next_component(&path);

        if (name.len == 0)
            return false;
        node = ldb_memory_dir_find(node, name);
    }
    return node == dir;
}

/* The errno of a rename that the system would refuse; 0 for one to do. */
static int check_rename_locked(struct memory_env *env, const struct place *from,
                               const struct place *to, const char *to_path)
    LDB_REQUIRES(env->mu)
{
    if (from->dir == NULL || to->dir == NULL)
        return EBUSY; /* the root */
    if (to->node != NULL && to->node->is_dir && !from->node->is_dir)
        return EISDIR;
    if (to->node != NULL && !to->node->is_dir && from->node->is_dir)
        return ENOTDIR;
    if (to->node != NULL && to->node->is_dir && to->node != from->node &&
        to->node->live.count > 0)
        return ENOTEMPTY;
    if (from->node->is_dir && from->node != to->node &&
        leads_through_locked(env, to_path, from->node))
        return EINVAL;
    return 0;
}

/* Both directories change, or none. */
static int move_between(const struct place *from, const struct place *to)
{
    struct ldb_memory_change set = {0};
    struct ldb_memory_change removal = {0};

    if (ldb_memory_change_prepare(to->dir, to->name, from->node,
                                  (struct ldb_slice){0}, &set) != LDB_OK ||
        ldb_memory_change_prepare(from->dir, (struct ldb_slice){0}, NULL,
                                  from->name, &removal) != LDB_OK) {
        ldb_memory_change_release(&set);
        return ENOMEM;
    }
    ldb_memory_change_commit(to->dir, &set);
    ldb_memory_change_commit(from->dir, &removal);
    return 0;
}

static int rename_locked(struct memory_env *env, const char *from_path,
                         const char *to_path) LDB_REQUIRES(env->mu)
{
    struct place from = {0};
    struct place to = {0};
    int rc = find_place_locked(env, from_path, &from);

    if (rc == 0 && from.node == NULL)
        rc = ENOENT;
    if (rc == 0)
        rc = find_place_locked(env, to_path, &to);
    if (rc == 0)
        rc = check_rename_locked(env, &from, &to, to_path);
    if (rc != 0 || from.node == to.node) /* two names of one file stay so */
        return rc;
    if (from.dir != to.dir)
        return move_between(&from, &to);
    return change_dir(to.dir, to.name, from.node, from.name);
}

static enum ldb_status memory_rename_file(struct ldb_env *base,
                                          const char *from, const char *to,
                                          struct ldb_error *err)
{
    struct memory_env *env = memory_env_of(base);
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = rename_locked(env, from, to);
    ldb_mutex_unlock(&env->mu);
    if (rc != 0)
        return ldb_error_set_errno(err, rc, "rename %s to %s", from, to);
    return LDB_OK;
}

static enum ldb_status memory_link_file(struct ldb_env *base, const char *from,
                                        const char *to, struct ldb_error *err)
{
    struct memory_env *env = memory_env_of(base);
    struct place old = {0};
    struct place new = {0};
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = find_node_locked(env, from, false, &old);
    if (rc == 0)
        rc = find_place_locked(env, to, &new);
    if (rc == 0 && new.node != NULL)
        rc = EEXIST;
    if (rc == 0)
        rc = change_dir(new.dir, new.name, old.node, (struct ldb_slice){0});
    ldb_mutex_unlock(&env->mu);
    if (rc == EEXIST)
        return ldb_error_set(err, LDB_EXISTS, "link %s to %s: there already",
                             from, to);
    if (rc != 0)
        return ldb_error_set_errno(err, rc, "link %s to %s", from, to);
    return LDB_OK;
}

static enum ldb_status memory_sync_dir(struct ldb_env *base, const char *path,
                                       struct ldb_error *err)
{
    struct memory_env *env = memory_env_of(base);
    struct place place = {0};
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = find_node_locked(env, path, true, &place);
    if (rc == 0 && ldb_memory_dir_sync(place.node) != LDB_OK)
        rc = ENOMEM;
    ldb_mutex_unlock(&env->mu);
    if (rc != 0)
        return ldb_error_set_errno(err, rc, "fsync %s", path);
    return LDB_OK;
}

static enum ldb_status memory_free_space(struct ldb_env *base, const char *path,
                                         struct ldb_error *err,
                                         uint64_t *out_bytes)
{
    struct memory_env *env = memory_env_of(base);
    struct place place = {0};
    int rc;

    ldb_mutex_lock(&env->mu);
    rc = find_place_locked(env, path, &place);
    ldb_mutex_unlock(&env->mu);
    if (rc == 0 && place.node == NULL)
        rc = ENOENT;
    if (rc != 0)
        return ldb_error_set_errno(err, rc, "statvfs %s", path);
    *out_bytes = FREE_BYTES;
    return LDB_OK;
}

/* ---- locks ---- */

/* EAGAIN when someone is in the way. */
static int lock_locked(struct memory_env *env, const char *path,
                       struct ldb_file_lock *lock) LDB_REQUIRES(env->mu)
{
    struct place place = {0};
    int rc = find_place_locked(env, path, &place);

    if (rc == 0 && place.node == NULL) {
        if (lock->shared)
            rc = ENOENT;
        else
            rc = make_node(&place, false, &place.node);
    }
    if (rc == 0 && place.node->is_dir)
        rc = EISDIR;
    if (rc == 0 && (place.node->has_writer ||
                    (!lock->shared && place.node->reader_count > 0)))
        rc = EAGAIN;
    if (rc == 0)
        rc = init_handle_locked(env, path, place.node, &lock->handle);
    if (rc == 0 && lock->shared)
        place.node->reader_count++;
    else if (rc == 0)
        place.node->has_writer = true;
    return rc;
}

static enum ldb_status memory_lock_file(struct ldb_env *base, const char *path,
                                        bool shared, struct ldb_error *err,
                                        struct ldb_file_lock **out)
{
    struct memory_env *env = memory_env_of(base);
    struct ldb_file_lock *lock = ldb_mem_zalloc(1, sizeof(*lock));
    int rc;

    if (lock == NULL)
        return ldb_error_no_memory(err);
    lock->shared = shared;
    ldb_mutex_lock(&env->mu);
    rc = lock_locked(env, path, lock);
    ldb_mutex_unlock(&env->mu);
    if (rc == 0) {
        *out = lock;
        return LDB_OK;
    }
    ldb_mem_free(lock);
    if (rc == EAGAIN)
        return ldb_error_set(err, LDB_LOCKED, "lock %s: held by this process",
                             path);
    return ldb_error_set_errno(err, rc, "open %s to lock it", path);
}

static void memory_unlock_file(struct ldb_env *base, struct ldb_file_lock *lock)
{
    struct memory_env *env = memory_env_of(base);

    assert(lock->handle.env == env);
    ldb_mutex_lock(&env->mu);
    if (lock->shared) {
        assert(lock->handle.node->reader_count > 0);
        lock->handle.node->reader_count--;
    } else {
        assert(lock->handle.node->has_writer);
        lock->handle.node->has_writer = false;
    }
    ldb_mutex_unlock(&env->mu);
    release_handle(&lock->handle);
    ldb_mem_free(lock);
}

/* ---- clock, random, threads: the system's ---- */

static uint64_t memory_wall_us(struct ldb_env *base)
{
    struct ldb_env *system = memory_env_of(base)->system;

    return system->ops->wall_us(system);
}

static uint64_t memory_monotonic_us(struct ldb_env *base)
{
    struct ldb_env *system = memory_env_of(base)->system;

    return system->ops->monotonic_us(system);
}

static enum ldb_status memory_random_bytes(struct ldb_env *base, uint8_t *out,
                                           size_t n, struct ldb_error *err)
{
    struct ldb_env *system = memory_env_of(base)->system;

    return system->ops->random_bytes(system, out, n, err);
}

static enum ldb_status memory_thread_start(struct ldb_env *base,
                                           const char *name,
                                           void (*body)(void *context),
                                           void *context, struct ldb_error *err,
                                           struct ldb_thread **out)
{
    struct ldb_env *system = memory_env_of(base)->system;

    return system->ops->thread_start(system, name, body, context, err, out);
}

static void memory_thread_join(struct ldb_env *base, struct ldb_thread *thread)
{
    struct ldb_env *system = memory_env_of(base)->system;

    system->ops->thread_join(system, thread);
}

static const struct ldb_env_ops memory_ops = {
    .open_writable = memory_open_writable,
    .open_mapped = memory_open_mapped,
    .open_random = memory_open_random,
    .open_sequential = memory_open_sequential,
    .file_size = memory_file_size,
    .list_dir = memory_list_dir,
    .create_dir = memory_create_dir,
    .remove_dir = memory_remove_dir,
    .remove_file = memory_remove_file,
    .rename_file = memory_rename_file,
    .link_file = memory_link_file,
    .sync_dir = memory_sync_dir,
    .lock_file = memory_lock_file,
    .unlock_file = memory_unlock_file,
    .free_space = memory_free_space,
    .wall_us = memory_wall_us,
    .monotonic_us = memory_monotonic_us,
    .random_bytes = memory_random_bytes,
    .thread_start = memory_thread_start,
    .thread_join = memory_thread_join,
};

/* Takes over root, also when it fails; a NULL root is no memory. */
static enum ldb_status create_with_root(struct ldb_memory_node *root,
                                        struct ldb_error *err,
                                        struct ldb_env **out)
{
    struct memory_env *env = ldb_mem_zalloc(1, sizeof(*env));

    if (env == NULL || root == NULL) {
        ldb_memory_node_unref(root);
        ldb_mem_free(env);
        return ldb_error_no_memory(err);
    }
    env->base.ops = &memory_ops;
    env->system = ldb_env_posix();
    ldb_mutex_init(&env->mu);
    env->root = root;
    *out = &env->base;
    return LDB_OK;
}

enum ldb_status ldb_env_memory_create(struct ldb_error *err,
                                      struct ldb_env **out)
{
    return create_with_root(ldb_memory_node_create(true), err, out);
}

void ldb_env_memory_destroy(struct ldb_env *base)
{
    struct memory_env *env = memory_env_of(base);

    if (env == NULL)
        return;
    assert(env->handle_count == 0);
    ldb_memory_node_unref(env->root);
    ldb_mutex_release(&env->mu);
    ldb_mem_free(env);
}

enum ldb_status ldb_env_memory_crash_copy(struct ldb_env *base,
                                          enum ldb_crash_keep keep,
                                          uint64_t seed, struct ldb_error *err,
                                          struct ldb_env **out)
{
    struct memory_env *env = memory_env_of(base);
    struct ldb_memory_node *root = NULL;
    enum ldb_status s;

    assert(base->ops == &memory_ops);
    ldb_mutex_lock(&env->mu);
    s = ldb_memory_crash_copy(env->root, keep, seed, &root);
    ldb_mutex_unlock(&env->mu);
    if (s != LDB_OK)
        return ldb_error_no_memory(err);
    return create_with_root(root, err, out);
}
