#include "tests/support/env_fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/mutex.h"
#include "storage/base/status.h"

/*
 * One life of the file system, from creation or a cut to the next cut. A dead
 * view's own memory env is destroyed when the last use of it ends: an open
 * file, a lock, or a call under way.
 */
struct view {
    struct ldb_env env;
    struct env_fault *fault;
    struct ldb_env *base; /* NULL once destroyed */
    size_t uses;
    bool is_dead;
    struct view *older;
};

/*
 * Locking. Constant: owns_base, system. Atomic: clock_us.
 * Protected by mu: the rest, and all fields of views that change. mu is a leaf
 * but for the memory env's lock, taken below it when a dead view's env is
 * destroyed.
 */
struct env_fault {
    bool owns_base;
    struct ldb_env *system;     /* of clock and threads */
    _Atomic(uint64_t) clock_us; /* relaxed; 0: the system's */
    env_fault_hook hook;
    void *hook_context;

    struct ldb_mutex mu;
    struct view *current;       /* guarded by mu */
    struct env_fault_rule rule; /* guarded by mu; kinds 0: none */
    char *rule_path;            /* guarded by mu; rule.path */
    uint64_t matched;           /* guarded by mu; calls the rule is for */
    uint64_t failed;            /* guarded by mu */
    char *lie_path;             /* guarded by mu; NULL: no lies */
    bool is_full;               /* guarded by mu */
    uint64_t budget;            /* guarded by mu; while is_full */
    uint64_t counts[ENV_FAULT_KIND_COUNT]; /* guarded by mu */
    FILE *log;                             /* guarded by mu */
    char *log_text;                        /* guarded by mu */
    size_t log_len;                        /* guarded by mu */
};

/* A call about to be made. */
struct call {
    enum env_fault_kind kind;
    const char *path;
    const char *detail; /* for the log; NULL: none */
};

static void *allocate(size_t size)
{
    void *block = calloc(1, size);

    if (block == NULL)
        abort();
    return block;
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL)
        abort();
    return copy;
}

static const char *kind_name(enum env_fault_kind kind)
{
    static const char *const names[] = {
#define ENV_FAULT_NAME(code, name) name,
        ENV_FAULT_KIND_LIST(ENV_FAULT_NAME)
#undef ENV_FAULT_NAME
    };

    return names[kind];
}

static struct view *view_of(struct ldb_env *env)
{
    return (struct view *)(void *)env;
}

/* ---- before and after each call ---- */

static enum ldb_status power_is_cut(const struct call *call,
                                    struct ldb_error *err)
{
    return ldb_error_set_errno(err, EIO, "%s %s: the power was cut",
                               kind_name(call->kind), call->path);
}

/* Destroys the env of a dead view that nobody uses any more. */
static void reclaim_locked(struct view *view) LDB_REQUIRES(view->fault->mu)
{
    if (!view->is_dead || view->uses > 0 || view->base == NULL)
        return;
    assert(view->fault->owns_base);
    ldb_env_memory_destroy(view->base);
    view->base = NULL;
}

/* The errno that the rule has for this call; 0: none. */
static int apply_rule_locked(struct env_fault *fault, const struct call *call)
    LDB_REQUIRES(fault->mu)
{
    const struct env_fault_rule *rule = &fault->rule;

    if ((rule->kinds & ENV_FAULT_BIT(call->kind)) == 0 ||
        (rule->path != NULL && strstr(call->path, rule->path) == NULL))
        return 0;
    fault->matched++;
    if (fault->matched < rule->nth ||
        (fault->matched > rule->nth && !rule->from_then_on))
        return 0;
    fault->failed++;
    return rule->sys_errno;
}

static void log_locked(struct env_fault *fault, const struct call *call,
                       int sys_errno) LDB_REQUIRES(fault->mu)
{
    if (fault->log == NULL)
        return;
    (void)fprintf(fault->log, "%s %s", kind_name(call->kind), call->path);
    if (call->detail != NULL)
        (void)fprintf(fault->log, " %s", call->detail);
    if (sys_errno != 0)
        (void)fprintf(fault->log, " = %s", strerrorname_np(sys_errno));
    (void)fputc('\n', fault->log);
}

/*
 * Hook, count, log, rule. LDB_OK: make the call on view->base, which stays
 * until end_call() or end_use().
 */
static enum ldb_status begin_call(struct view *view, const struct call *call,
                                  struct ldb_error *err)
{
    struct env_fault *fault = view->fault;
    env_fault_hook hook;
    void *hook_context;
    int sys_errno;

    ldb_mutex_lock(&fault->mu);
    hook = fault->hook;
    hook_context = fault->hook_context;
    ldb_mutex_unlock(&fault->mu);
    if (hook != NULL)
        hook(hook_context, call->kind, call->path);
    ldb_mutex_lock(&fault->mu);
    if (view->is_dead) {
        ldb_mutex_unlock(&fault->mu);
        return power_is_cut(call, err);
    }
    fault->counts[call->kind]++;
    sys_errno = apply_rule_locked(fault, call);
    log_locked(fault, call, sys_errno);
    if (sys_errno == 0)
        view->uses++;
    ldb_mutex_unlock(&fault->mu);
    if (sys_errno != 0)
        return ldb_error_set_errno(err, sys_errno, "%s %s",
                                   kind_name(call->kind), call->path);
    return LDB_OK;
}

static bool is_dead(struct view *view)
{
    bool dead;

    ldb_mutex_lock(&view->fault->mu);
    dead = view->is_dead;
    ldb_mutex_unlock(&view->fault->mu);
    return dead;
}

static void end_use(struct view *view)
{
    ldb_mutex_lock(&view->fault->mu);
    assert(view->uses > 0);
    view->uses--;
    reclaim_locked(view);
    ldb_mutex_unlock(&view->fault->mu);
}

/* The call's result, or that the cut overtook it. */
static enum ldb_status end_call(struct view *view, const struct call *call,
                                enum ldb_status s, struct ldb_error *err)
{
    bool dead = is_dead(view);

    end_use(view);
    return dead ? power_is_cut(call, err) : s;
}

/* ---- a full disk ---- */

/* How many of len bytes still fit; they are taken. */
static size_t take_space(struct env_fault *fault, size_t len)
{
    size_t fits = len;

    ldb_mutex_lock(&fault->mu);
    if (fault->is_full) {
        if (fits > fault->budget)
            fits = (size_t)fault->budget;
        fault->budget -= fits;
    }
    ldb_mutex_unlock(&fault->mu);
    return fits;
}

/* OK unless path is to be made on a disk with nothing left. */
static enum ldb_status check_room(struct view *view, const struct call *call,
                                  const char *path, struct ldb_error *err)
{
    struct env_fault *fault = view->fault;
    uint64_t size;
    bool none_left;

    ldb_mutex_lock(&fault->mu);
    none_left = fault->is_full && fault->budget == 0;
    ldb_mutex_unlock(&fault->mu);
    if (none_left && view->base->ops->file_size(view->base, path, NULL,
                                                &size) == LDB_NOT_FOUND)
        return ldb_error_set_errno(err, ENOSPC, "%s %s", kind_name(call->kind),
                                   path);
    return LDB_OK;
}

/* ---- writable files ---- */

/* Each open file is a use of its view. */
struct fault_writable {
    struct ldb_writable_file base;
    struct ldb_writable_file *file;
    struct view *view;
    char *path;
    atomic_bool sync_failed; /* relaxed: a sync finds its own thread's */
};

static struct fault_writable *writable_of(struct ldb_writable_file *file)
{
    return (struct fault_writable *)(void *)file;
}

/* True when the failed append was to leave half of its bytes. */
static bool is_torn(struct env_fault *fault)
{
    bool torn;

    ldb_mutex_lock(&fault->mu);
    torn = fault->rule.torn;
    ldb_mutex_unlock(&fault->mu);
    return torn;
}

static enum ldb_status fault_append(struct ldb_writable_file *base,
                                    struct ldb_slice bytes,
                                    struct ldb_error *err)
{
    struct fault_writable *file = writable_of(base);
    struct env_fault *fault = file->view->fault;
    char detail[24];
    struct call call = {ENV_FAULT_APPEND, file->path, detail};
    struct ldb_slice fits = bytes;
    enum ldb_status s;

    (void)snprintf(detail, sizeof(detail), "%zu", bytes.len);
    s = begin_call(file->view, &call, err);
    if (s != LDB_OK) {
        fits.len /= 2;
        if (is_torn(fault) && !is_dead(file->view))
            (void)ldb_file_append(file->file, fits, NULL);
        return s;
    }
    fits.len = take_space(fault, bytes.len);
    s = ldb_file_append(file->file, fits, err);
    if (s == LDB_OK && fits.len < bytes.len)
        s = ldb_error_set_errno(err, ENOSPC, "append %s: %zu of %zu bytes",
                                file->path, fits.len, bytes.len);
    return end_call(file->view, &call, s, err);
}

static bool is_lie(struct env_fault *fault, const char *path)
{
    bool lie;

    ldb_mutex_lock(&fault->mu);
    lie = fault->lie_path != NULL && strstr(path, fault->lie_path) != NULL;
    ldb_mutex_unlock(&fault->mu);
    return lie;
}

static enum ldb_status fault_sync(struct ldb_writable_file *base,
                                  struct ldb_error *err)
{
    struct fault_writable *file = writable_of(base);
    struct call call = {ENV_FAULT_SYNC, file->path, NULL};
    enum ldb_status s = begin_call(file->view, &call, err);

    if (s != LDB_OK) {
        atomic_store_explicit(&file->sync_failed, true, memory_order_relaxed);
        return s;
    }
    if (!atomic_load_explicit(&file->sync_failed, memory_order_relaxed) &&
        !is_lie(file->view->fault, file->path))
        s = ldb_file_sync(file->file, err);
    return end_call(file->view, &call, s, err);
}

static enum ldb_status fault_truncate(struct ldb_writable_file *base,
                                      uint64_t len, struct ldb_error *err)
{
    struct fault_writable *file = writable_of(base);
    char detail[24];
    struct call call = {ENV_FAULT_TRUNCATE, file->path, detail};
    enum ldb_status s;

    (void)snprintf(detail, sizeof(detail), "%llu", (unsigned long long)len);
    s = begin_call(file->view, &call, err);
    if (s != LDB_OK)
        return s;
    s = ldb_file_truncate(file->file, len, err);
    return end_call(file->view, &call, s, err);
}

static enum ldb_status fault_close(struct ldb_writable_file *base,
                                   struct ldb_error *err)
{
    struct fault_writable *file = writable_of(base);
    struct call call = {ENV_FAULT_CLOSE, file->path, NULL};
    enum ldb_status s = begin_call(file->view, &call, err);

    if (s == LDB_OK) {
        s = ldb_file_close(file->file, err);
        s = end_call(file->view, &call, s, err);
    } else {
        (void)ldb_file_close(file->file, NULL); /* err has what to tell */
    }
    end_use(file->view);
    free(file->path);
    free(file);
    return s;
}

static const struct ldb_writable_file_ops writable_ops = {
    .append = fault_append,
    .sync = fault_sync,
    .truncate = fault_truncate,
    .close = fault_close,
};

/* Ends the call that opened a file: NULL, s says why. */
static enum ldb_status wrap_writable(struct view *view, const struct call *call,
                                     struct ldb_writable_file *opened,
                                     enum ldb_status s, struct ldb_error *err,
                                     struct ldb_writable_file **out)
{
    struct fault_writable *file;

    if (s != LDB_OK || is_dead(view)) {
        if (opened != NULL)
            (void)ldb_file_close(opened, NULL);
        return end_call(view, call, s, err);
    }
    file = allocate(sizeof(*file));
    file->base.ops = &writable_ops;
    file->file = opened;
    file->view = view; /* the call's use is now the file's */
    file->path = copy_text(call->path);
    atomic_init(&file->sync_failed, false);
    *out = &file->base;
    return LDB_OK;
}

static enum ldb_status fault_open_writable(struct ldb_env *env,
                                           const char *path,
                                           enum ldb_open_mode mode,
                                           struct ldb_error *err,
                                           struct ldb_writable_file **out)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_OPEN_WRITABLE, path,
                        mode == LDB_OPEN_TRUNCATE ? "truncate" : "append"};
    struct ldb_writable_file *opened = NULL;
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = check_room(view, &call, path, err);
    if (s == LDB_OK)
        s = view->base->ops->open_writable(view->base, path, mode, err,
                                           &opened);
    return wrap_writable(view, &call, opened, s, err, out);
}

/* The window takes its space at once; appends take theirs again. */
static enum ldb_status fault_open_mapped(struct ldb_env *env, const char *path,
                                         uint64_t window, struct ldb_error *err,
                                         struct ldb_writable_file **out)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_OPEN_WRITABLE, path, "mapped"};
    struct ldb_writable_file *opened = NULL;
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = check_room(view, &call, path, err);
    if (s == LDB_OK && take_space(view->fault, (size_t)window) < window)
        s = ldb_error_set_errno(err, ENOSPC, "prepare %s", path);
    if (s == LDB_OK)
        s = view->base->ops->open_mapped(view->base, path, window, err,
                                         &opened);
    return wrap_writable(view, &call, opened, s, err, out);
}

/* ---- random files ---- */

struct fault_random {
    struct ldb_random_file base; /* never mapped: each read is a call */
    struct ldb_random_file *file;
    struct view *view;
    char *path;
};

static struct fault_random *random_of(struct ldb_random_file *file)
{
    return (struct fault_random *)(void *)file;
}

static enum ldb_status fault_read_at(struct ldb_random_file *base,
                                     uint64_t offset, size_t n,
                                     uint8_t *scratch, struct ldb_slice *out,
                                     struct ldb_error *err)
{
    struct fault_random *file = random_of(base);
    char detail[48];
    struct call call = {ENV_FAULT_READ_AT, file->path, detail};
    struct ldb_slice got = {0};
    enum ldb_status s;

    (void)snprintf(detail, sizeof(detail), "%llu %zu",
                   (unsigned long long)offset, n);
    s = begin_call(file->view, &call, err);
    if (s != LDB_OK)
        return s;
    s = ldb_random_read_at(file->file, offset, n, scratch, &got, err);
    s = end_call(file->view, &call, s, err);
    if (s == LDB_OK)
        *out = got;
    return s;
}

static void fault_random_close(struct ldb_random_file *base)
{
    struct fault_random *file = random_of(base);

    ldb_random_close(file->file);
    end_use(file->view);
    free(file->path);
    free(file);
}

static const struct ldb_random_file_ops random_ops = {
    .read_at = fault_read_at,
    .close = fault_random_close,
};

static enum ldb_status fault_open_random(struct ldb_env *env, const char *path,
                                         struct ldb_error *err,
                                         struct ldb_random_file **out)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_OPEN_RANDOM, path, NULL};
    struct ldb_random_file *opened = NULL;
    struct fault_random *file;
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->open_random(view->base, path, err, &opened);
    if (s != LDB_OK || is_dead(view)) {
        if (opened != NULL)
            ldb_random_close(opened);
        return end_call(view, &call, s, err);
    }
    file = allocate(sizeof(*file));
    file->base.ops = &random_ops;
    file->file = opened;
    file->view = view;
    file->path = copy_text(path);
    *out = &file->base;
    return LDB_OK;
}

/* ---- sequential files ---- */

struct fault_sequential {
    struct ldb_sequential_file base;
    struct ldb_sequential_file *file;
    struct view *view;
    char *path;
};

static struct fault_sequential *sequential_of(struct ldb_sequential_file *file)
{
    return (struct fault_sequential *)(void *)file;
}

static enum ldb_status fault_read(struct ldb_sequential_file *base, size_t n,
                                  uint8_t *scratch, size_t *out_len,
                                  struct ldb_error *err)
{
    struct fault_sequential *file = sequential_of(base);
    char detail[24];
    struct call call = {ENV_FAULT_READ, file->path, detail};
    size_t got = 0;
    enum ldb_status s;

    (void)snprintf(detail, sizeof(detail), "%zu", n);
    s = begin_call(file->view, &call, err);
    if (s != LDB_OK)
        return s;
    s = ldb_sequential_read(file->file, n, scratch, &got, err);
    s = end_call(file->view, &call, s, err);
    if (s == LDB_OK)
        *out_len = got;
    return s;
}

static enum ldb_status fault_skip(struct ldb_sequential_file *base, uint64_t n,
                                  struct ldb_error *err)
{
    struct fault_sequential *file = sequential_of(base);
    char detail[24];
    struct call call = {ENV_FAULT_SKIP, file->path, detail};
    enum ldb_status s;

    (void)snprintf(detail, sizeof(detail), "%llu", (unsigned long long)n);
    s = begin_call(file->view, &call, err);
    if (s != LDB_OK)
        return s;
    s = file->file->ops->skip(file->file, n, err);
    return end_call(file->view, &call, s, err);
}

static void fault_sequential_close(struct ldb_sequential_file *base)
{
    struct fault_sequential *file = sequential_of(base);

    ldb_sequential_close(file->file);
    end_use(file->view);
    free(file->path);
    free(file);
}

static const struct ldb_sequential_file_ops sequential_ops = {
    .read = fault_read,
    .skip = fault_skip,
    .close = fault_sequential_close,
};

static enum ldb_status fault_open_sequential(struct ldb_env *env,
                                             const char *path,
                                             struct ldb_error *err,
                                             struct ldb_sequential_file **out)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_OPEN_SEQUENTIAL, path, NULL};
    struct ldb_sequential_file *opened = NULL;
    struct fault_sequential *file;
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->open_sequential(view->base, path, err, &opened);
    if (s != LDB_OK || is_dead(view)) {
        if (opened != NULL)
            ldb_sequential_close(opened);
        return end_call(view, &call, s, err);
    }
    file = allocate(sizeof(*file));
    file->base.ops = &sequential_ops;
    file->file = opened;
    file->view = view;
    file->path = copy_text(path);
    *out = &file->base;
    return LDB_OK;
}

/* ---- names ---- */

static enum ldb_status fault_file_size(struct ldb_env *env, const char *path,
                                       struct ldb_error *err,
                                       uint64_t *out_size)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_FILE_SIZE, path, NULL};
    uint64_t size = 0;
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->file_size(view->base, path, err, &size);
    s = end_call(view, &call, s, err);
    if (s == LDB_OK)
        *out_size = size;
    return s;
}

static enum ldb_status fault_list_dir(struct ldb_env *env, const char *path,
                                      ldb_list_visit visit, void *context,
                                      struct ldb_error *err)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_LIST_DIR, path, NULL};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->list_dir(view->base, path, visit, context, err);
    return end_call(view, &call, s, err);
}

static enum ldb_status fault_create_dir(struct ldb_env *env, const char *path,
                                        struct ldb_error *err)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_CREATE_DIR, path, NULL};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = check_room(view, &call, path, err);
    if (s == LDB_OK)
        s = view->base->ops->create_dir(view->base, path, err);
    return end_call(view, &call, s, err);
}

static enum ldb_status fault_remove_dir(struct ldb_env *env, const char *path,
                                        struct ldb_error *err)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_REMOVE_DIR, path, NULL};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->remove_dir(view->base, path, err);
    return end_call(view, &call, s, err);
}

static enum ldb_status fault_remove_file(struct ldb_env *env, const char *path,
                                         struct ldb_error *err)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_REMOVE_FILE, path, NULL};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->remove_file(view->base, path, err);
    return end_call(view, &call, s, err);
}

static enum ldb_status fault_rename_file(struct ldb_env *env, const char *from,
                                         const char *to, struct ldb_error *err)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_RENAME_FILE, from, to};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->rename_file(view->base, from, to, err);
    return end_call(view, &call, s, err);
}

static enum ldb_status fault_link_file(struct ldb_env *env, const char *from,
                                       const char *to, struct ldb_error *err)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_LINK_FILE, from, to};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = check_room(view, &call, to, err);
    if (s == LDB_OK)
        s = view->base->ops->link_file(view->base, from, to, err);
    return end_call(view, &call, s, err);
}

static enum ldb_status fault_sync_dir(struct ldb_env *env, const char *path,
                                      struct ldb_error *err)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_SYNC_DIR, path, NULL};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->sync_dir(view->base, path, err);
    return end_call(view, &call, s, err);
}

static enum ldb_status fault_free_space(struct ldb_env *env, const char *path,
                                        struct ldb_error *err,
                                        uint64_t *out_bytes)
{
    struct view *view = view_of(env);
    struct env_fault *fault = view->fault;
    struct call call = {ENV_FAULT_FREE_SPACE, path, NULL};
    uint64_t bytes = 0;
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = view->base->ops->free_space(view->base, path, err, &bytes);
    ldb_mutex_lock(&fault->mu);
    if (fault->is_full && bytes > fault->budget)
        bytes = fault->budget;
    ldb_mutex_unlock(&fault->mu);
    s = end_call(view, &call, s, err);
    if (s == LDB_OK)
        *out_bytes = bytes;
    return s;
}

/* ---- locks ---- */

struct ldb_file_lock {
    struct view *view;
    struct ldb_file_lock *held; /* the wrapped env's */
};

static enum ldb_status fault_lock_file(struct ldb_env *env, const char *path,
                                       bool shared, struct ldb_error *err,
                                       struct ldb_file_lock **out)
{
    struct view *view = view_of(env);
    struct call call = {ENV_FAULT_LOCK_FILE, path, shared ? "shared" : NULL};
    struct ldb_file_lock *held = NULL;
    struct ldb_file_lock *lock;
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    if (!shared)
        s = check_room(view, &call, path, err);
    if (s == LDB_OK)
        s = view->base->ops->lock_file(view->base, path, shared, err, &held);
    if (s != LDB_OK || is_dead(view)) {
        if (held != NULL)
            view->base->ops->unlock_file(view->base, held);
        return end_call(view, &call, s, err);
    }
    lock = allocate(sizeof(*lock));
    lock->view = view;
    lock->held = held;
    *out = lock;
    return LDB_OK;
}

static void fault_unlock_file(struct ldb_env *env, struct ldb_file_lock *lock)
{
    struct view *view = lock->view;

    assert(view == view_of(env));
    view->base->ops->unlock_file(view->base, lock->held);
    end_use(view);
    free(lock);
}

/* ---- clock, random, threads: they outlive the power ---- */

static uint64_t fault_wall_us(struct ldb_env *env)
{
    struct ldb_env *system = view_of(env)->fault->system;

    return system->ops->wall_us(system);
}

static uint64_t fault_monotonic_us(struct ldb_env *env)
{
    struct env_fault *fault = view_of(env)->fault;
    uint64_t us = atomic_load_explicit(&fault->clock_us, memory_order_relaxed);

    return us != 0 ? us : fault->system->ops->monotonic_us(fault->system);
}

static enum ldb_status fault_random_bytes(struct ldb_env *env, uint8_t *out,
                                          size_t n, struct ldb_error *err)
{
    struct view *view = view_of(env);
    struct ldb_env *system = view->fault->system;
    struct call call = {ENV_FAULT_RANDOM_BYTES, "-", NULL};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = system->ops->random_bytes(system, out, n, err);
    return end_call(view, &call, s, err);
}

static enum ldb_status fault_thread_start(struct ldb_env *env, const char *name,
                                          void (*body)(void *context),
                                          void *context, struct ldb_error *err,
                                          struct ldb_thread **out)
{
    struct view *view = view_of(env);
    struct ldb_env *system = view->fault->system;
    struct call call = {ENV_FAULT_THREAD_START, name, NULL};
    enum ldb_status s = begin_call(view, &call, err);

    if (s != LDB_OK)
        return s;
    s = system->ops->thread_start(system, name, body, context, err, out);
    end_use(view); /* a thread started just before the cut runs on */
    return s;
}

static void fault_thread_join(struct ldb_env *env, struct ldb_thread *thread)
{
    struct ldb_env *system = view_of(env)->fault->system;

    system->ops->thread_join(system, thread);
}

static const struct ldb_env_ops fault_ops = {
    .open_writable = fault_open_writable,
    .open_mapped = fault_open_mapped,
    .open_random = fault_open_random,
    .open_sequential = fault_open_sequential,
    .file_size = fault_file_size,
    .list_dir = fault_list_dir,
    .create_dir = fault_create_dir,
    .remove_dir = fault_remove_dir,
    .remove_file = fault_remove_file,
    .rename_file = fault_rename_file,
    .link_file = fault_link_file,
    .sync_dir = fault_sync_dir,
    .lock_file = fault_lock_file,
    .unlock_file = fault_unlock_file,
    .free_space = fault_free_space,
    .wall_us = fault_wall_us,
    .monotonic_us = fault_monotonic_us,
    .random_bytes = fault_random_bytes,
    .thread_start = fault_thread_start,
    .thread_join = fault_thread_join,
};

/* ---- the test's side ---- */

static void close_log_locked(struct env_fault *fault) LDB_REQUIRES(fault->mu)
{
    if (fault->log == NULL)
        return;
    (void)fclose(fault->log);
    free(fault->log_text);
    fault->log = NULL;
    fault->log_text = NULL;
}

static struct view *create_view(struct env_fault *fault, struct ldb_env *base)
{
    struct view *view = allocate(sizeof(*view));

    view->env.ops = &fault_ops;
    view->fault = fault;
    view->base = base;
    return view;
}

/* Over base, taken over when owns_base. */
static struct env_fault *create(struct ldb_env *base, bool owns_base)
{
    struct env_fault *fault = allocate(sizeof(*fault));

    fault->owns_base = owns_base;
    fault->system = owns_base ? ldb_env_posix() : base;
    ldb_mutex_init(&fault->mu);
    fault->current = create_view(fault, base);
    return fault;
}

struct env_fault *env_fault_create(struct ldb_env *base)
{
    struct ldb_env *memory = NULL;

    if (base != NULL)
        return create(base, false);
    if (ldb_env_memory_create(NULL, &memory) != LDB_OK)
        abort();
    return create(memory, true);
}

void env_fault_destroy(struct env_fault *fault)
{
    if (fault == NULL)
        return;
    while (fault->current != NULL) {
        struct view *view = fault->current;

        assert(view->uses == 0);
        if (fault->owns_base && view->base != NULL)
            ldb_env_memory_destroy(view->base);
        fault->current = view->older;
        free(view);
    }
    ldb_mutex_lock(&fault->mu);
    close_log_locked(fault);
    ldb_mutex_unlock(&fault->mu);
    free(fault->rule_path);
    free(fault->lie_path);
    ldb_mutex_release(&fault->mu);
    free(fault);
}

struct ldb_env *env_fault_env(struct env_fault *fault)
{
    struct ldb_env *env;

    ldb_mutex_lock(&fault->mu);
    env = &fault->current->env;
    ldb_mutex_unlock(&fault->mu);
    return env;
}

struct ldb_env *env_fault_below(struct env_fault *fault)
{
    struct ldb_env *env;

    ldb_mutex_lock(&fault->mu);
    env = fault->current->base;
    ldb_mutex_unlock(&fault->mu);
    return env;
}

void env_fault_fail(struct env_fault *fault, const struct env_fault_rule *rule)
{
    char *path = NULL;

    if (rule != NULL && rule->path != NULL)
        path = copy_text(rule->path);
    ldb_mutex_lock(&fault->mu);
    free(fault->rule_path);
    fault->rule_path = path;
    if (rule == NULL) {
        fault->rule = (struct env_fault_rule){0};
    } else {
        assert(rule->nth > 0);
        assert(rule->sys_errno > 0);
        fault->rule = *rule;
        fault->rule.path = path;
        if (rule->kinds == 0)
            fault->rule.kinds = ENV_FAULT_ANY;
        fault->matched = 0;
        fault->failed = 0;
    }
    ldb_mutex_unlock(&fault->mu);
}

uint64_t env_fault_failed(struct env_fault *fault)
{
    uint64_t failed;

    ldb_mutex_lock(&fault->mu);
    failed = fault->failed;
    ldb_mutex_unlock(&fault->mu);
    return failed;
}

void env_fault_lie_about_syncs(struct env_fault *fault, const char *path)
{
    ldb_mutex_lock(&fault->mu);
    free(fault->lie_path);
    fault->lie_path = path == NULL ? NULL : copy_text(path);
    ldb_mutex_unlock(&fault->mu);
}

void env_fault_disk_full(struct env_fault *fault, uint64_t budget)
{
    ldb_mutex_lock(&fault->mu);
    fault->is_full = true;
    fault->budget = budget;
    ldb_mutex_unlock(&fault->mu);
}

void env_fault_disk_free(struct env_fault *fault)
{
    ldb_mutex_lock(&fault->mu);
    fault->is_full = false;
    ldb_mutex_unlock(&fault->mu);
}

uint64_t env_fault_count(struct env_fault *fault, unsigned kinds)
{
    uint64_t count = 0;

    ldb_mutex_lock(&fault->mu);
    for (unsigned kind = 0; kind < ENV_FAULT_KIND_COUNT; kind++)
        if (kinds == 0 || (kinds & ENV_FAULT_BIT(kind)) != 0)
            count += fault->counts[kind];
    ldb_mutex_unlock(&fault->mu);
    return count;
}

void env_fault_forget_counts(struct env_fault *fault)
{
    ldb_mutex_lock(&fault->mu);
    memset(fault->counts, 0, sizeof(fault->counts));
    ldb_mutex_unlock(&fault->mu);
}

void env_fault_start_log(struct env_fault *fault)
{
    ldb_mutex_lock(&fault->mu);
    close_log_locked(fault);
    fault->log = open_memstream(&fault->log_text, &fault->log_len);
    if (fault->log == NULL)
        abort();
    ldb_mutex_unlock(&fault->mu);
}

char *env_fault_log(struct env_fault *fault)
{
    char *text;

    ldb_mutex_lock(&fault->mu);
    assert(fault->log != NULL);
    (void)fflush(fault->log);
    text = copy_text(fault->log_text);
    ldb_mutex_unlock(&fault->mu);
    return text;
}

void env_fault_set_clock(struct env_fault *fault, uint64_t us)
{
    atomic_store_explicit(&fault->clock_us, us, memory_order_relaxed);
}

void env_fault_set_call_hook(struct env_fault *fault, env_fault_hook hook,
                             void *context)
{
    ldb_mutex_lock(&fault->mu);
    fault->hook = hook;
    fault->hook_context = context;
    ldb_mutex_unlock(&fault->mu);
}

/* What a cut now leaves of the view's base, which is in use. */
static struct ldb_env *surviving(struct view *view, enum ldb_crash_keep keep,
                                 uint64_t seed)
{
    struct ldb_env *after = NULL;

    assert(view->fault->owns_base);
    if (ldb_env_memory_crash_copy(view->base, keep, seed, NULL, &after) !=
        LDB_OK)
        abort();
    return after;
}

/* The current view, with one more use. */
static struct view *use_current(struct env_fault *fault)
{
    struct view *view;

    ldb_mutex_lock(&fault->mu);
    view = fault->current;
    view->uses++;
    ldb_mutex_unlock(&fault->mu);
    return view;
}

/*
 * The view is dead before its files are copied: a call that ends before is in
 * the copy, and one that ends after is told of the cut.
 */
void env_fault_power_cut(struct env_fault *fault, enum ldb_crash_keep keep,
                         uint64_t seed)
{
    struct view *old = use_current(fault);
    struct view *fresh;

    ldb_mutex_lock(&fault->mu);
    assert(!old->is_dead);
    old->is_dead = true;
    ldb_mutex_unlock(&fault->mu);
    fresh = create_view(fault, surviving(old, keep, seed));
    ldb_mutex_lock(&fault->mu);
    fresh->older = old;
    fault->current = fresh;
    ldb_mutex_unlock(&fault->mu);
    end_use(old);
}

struct env_fault *env_fault_after_cut(struct env_fault *fault,
                                      enum ldb_crash_keep keep, uint64_t seed)
{
    struct view *view = use_current(fault);
    struct ldb_env *after = surviving(view, keep, seed);

    end_use(view);
    return create(after, true);
}
