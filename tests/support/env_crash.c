#include "tests/support/env_crash.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/base/mutex.h"
#include "storage/base/status.h"
#include "tests/support/env_crash_record.h"

/* ---- the record ---- */

static void *grow(void *items, size_t count, size_t size)
{
    /* Doubling: full whenever the count is a power of two. */
    if ((count & (count - 1)) == 0)
        items = realloc(items, (count == 0 ? 1 : count * 2) * size);
    if (items == NULL)
        abort();
    return items;
}

static char *copy_text(const char *text)
{
    char *copy = text == NULL ? NULL : strdup(text);

    if (text != NULL && copy == NULL)
        abort();
    return copy;
}

static void *allocate(size_t size)
{
    void *block = calloc(1, size == 0 ? 1 : size);

    if (block == NULL)
        abort();
    return block;
}

/* Locking: mu protects the record and live, and holds a call and its event
 * together: events stand in the order in which the calls had effect. */
struct env_crash {
    struct ldb_env env;
    struct ldb_env *base;
    struct ldb_mutex mu;
    struct env_crash_record record; /* guarded by mu */
    struct env_crash_names live;    /* guarded by mu */
    uint32_t inode_count;           /* guarded by mu */
};

static struct env_crash *crash_of(struct ldb_env *env)
{
    return (struct env_crash *)(void *)env;
}

static struct env_crash_event *add_event(struct env_crash *crash,
                                         enum env_crash_event_kind kind,
                                         uint32_t inode) LDB_REQUIRES(crash->mu)
{
    struct env_crash_record *record = &crash->record;
    struct env_crash_event *event;

    record->events =
        grow(record->events, record->count, sizeof(*record->events));
    event = &record->events[record->count++];
    *event = (struct env_crash_event){.kind = kind, .inode = inode};
    return event;
}

/* set_name (NULL: none) becomes a name of inode, remove_name (NULL) goes. */
static void add_names(struct env_crash *crash, const char *set_name,
                      uint32_t inode, const char *remove_name)
    LDB_REQUIRES(crash->mu)
{
    struct env_crash_event *event =
        add_event(crash, ENV_CRASH_EVENT_NAMES, inode);

    event->set_name = copy_text(set_name);
    event->remove_name = copy_text(remove_name);
    env_crash_names_change(&crash->live, event);
}

static uint32_t new_inode(struct env_crash *crash, const char *path,
                          bool is_dir) LDB_REQUIRES(crash->mu)
{
    uint32_t inode = crash->inode_count++;

    add_event(crash, ENV_CRASH_EVENT_INODE, inode)->is_dir = is_dir;
    add_names(crash, path, inode, NULL);
    return inode;
}

static void add_append(struct env_crash *crash, uint32_t inode,
                       struct ldb_slice bytes) LDB_REQUIRES(crash->mu)
{
    struct env_crash_event *event =
        add_event(crash, ENV_CRASH_EVENT_APPEND, inode);

    event->bytes = allocate(bytes.len);
    event->len = bytes.len;
    if (bytes.len > 0)
        memcpy(event->bytes, bytes.data, bytes.len);
}

void env_crash_names_change(struct env_crash_names *names,
                            const struct env_crash_event *event)
{
    if (event->remove_name != NULL)
        env_crash_names_remove(names, event->remove_name);
    if (event->set_name == NULL)
        return;
    env_crash_names_remove(names, event->set_name);
    names->items = grow(names->items, names->count, sizeof(*names->items));
    names->items[names->count++] = (struct env_crash_name){
        .path = copy_text(event->set_name), .inode = event->inode};
}

void env_crash_names_remove(struct env_crash_names *names, const char *path)
{
    struct env_crash_name *found = env_crash_names_find(names, path);

    if (found == NULL)
        return;
    free(found->path);
    *found = names->items[--names->count];
}

struct env_crash_name *env_crash_names_find(const struct env_crash_names *names,
                                            const char *path)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i].path, path) == 0)
            return &names->items[i];
    return NULL;
}

void env_crash_names_release(struct env_crash_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i].path);
    free(names->items);
    *names = (struct env_crash_names){0};
}

/* ---- files ---- */

/* A mapped file is as storage/base/mapped_file.c has it; base holds what was
 * appended alone. */
struct crash_writable {
    struct ldb_writable_file base;
    struct ldb_writable_file *file;
    struct env_crash *crash;
    uint32_t inode;
    uint64_t window; /* 0: not mapped, or not any more */
    uint64_t len;    /* of a mapped one; guarded by crash->mu */
    uint64_t synced_len;
};

static struct crash_writable *writable_of(struct ldb_writable_file *file)
{
    return (struct crash_writable *)(void *)file;
}

static void leave_window(struct crash_writable *file)
    LDB_REQUIRES(file->crash->mu)
{
    if (file->window > 0 && file->len != file->synced_len)
        add_event(file->crash, ENV_CRASH_EVENT_SYNC, file->inode);
    file->window = 0;
}

static void record_append(struct crash_writable *file, struct ldb_slice bytes)
    LDB_REQUIRES(file->crash->mu)
{
    size_t stored = 0;

    if (file->window > 0) {
        struct env_crash_event *event =
            add_event(file->crash, ENV_CRASH_EVENT_STORE, file->inode);

        stored = (size_t)(file->window - file->len);
        stored = stored < bytes.len ? stored : bytes.len;
        event->bytes = allocate(stored);
        memcpy(event->bytes, bytes.data, stored);
        event->len = stored;
        event->offset = file->len;
        file->len += stored;
    }
    if (stored == bytes.len)
        return;
    leave_window(file);
    add_append(file->crash, file->inode,
               ldb_slice_make(bytes.data + stored, bytes.len - stored));
}

static enum ldb_status crash_append(struct ldb_writable_file *base,
                                    struct ldb_slice bytes,
                                    struct ldb_error *err)
{
    struct crash_writable *file = writable_of(base);
    enum ldb_status s;

    ldb_mutex_lock(&file->crash->mu);
    s = ldb_file_append(file->file, bytes, err);
    if (s == LDB_OK && bytes.len > 0)
        record_append(file, bytes);
    ldb_mutex_unlock(&file->crash->mu);
    return s;
}

static enum ldb_status crash_sync(struct ldb_writable_file *base,
                                  struct ldb_error *err)
{
    struct crash_writable *file = writable_of(base);
    enum ldb_status s;

    ldb_mutex_lock(&file->crash->mu);
    s = ldb_file_sync(file->file, err);
    if (s == LDB_OK) {
        add_event(file->crash, ENV_CRASH_EVENT_SYNC, file->inode);
        file->synced_len = file->len;
    }
    ldb_mutex_unlock(&file->crash->mu);
    return s;
}

static enum ldb_status crash_truncate(struct ldb_writable_file *base,
                                      uint64_t len, struct ldb_error *err)
{
    struct crash_writable *file = writable_of(base);
    enum ldb_status s;

    ldb_mutex_lock(&file->crash->mu);
    s = ldb_file_truncate(file->file, len, err);
    if (s == LDB_OK)
        leave_window(file);
    if (s == LDB_OK)
        add_event(file->crash, ENV_CRASH_EVENT_TRUNCATE, file->inode)->len =
            len;
    ldb_mutex_unlock(&file->crash->mu);
    return s;
}

static enum ldb_status crash_close(struct ldb_writable_file *base,
                                   struct ldb_error *err)
{
    struct crash_writable *file = writable_of(base);
    enum ldb_status s;

    ldb_mutex_lock(&file->crash->mu);
    s = ldb_file_close(file->file, err);
    if (file->window > 0 && file->len == file->synced_len)
        add_event(file->crash, ENV_CRASH_EVENT_TRUNCATE, file->inode)->len =
            file->len;
    ldb_mutex_unlock(&file->crash->mu);
    free(file);
    return s;
}

static const struct ldb_writable_file_ops writable_ops = {
    .append = crash_append,
    .sync = crash_sync,
    .truncate = crash_truncate,
    .close = crash_close,
};

/* Its zeros, and their sync. */
static void add_window(struct env_crash *crash, uint32_t inode, uint64_t window)
    LDB_REQUIRES(crash->mu)
{
    uint8_t *zeros = allocate((size_t)window);

    add_append(crash, inode, ldb_slice_make(zeros, (size_t)window));
    add_event(crash, ENV_CRASH_EVENT_SYNC, inode);
    free(zeros);
}

/* window 0: not mapped. */
static enum ldb_status open_file(struct env_crash *crash, const char *path,
                                 enum ldb_open_mode mode, uint64_t window,
                                 struct ldb_error *err,
                                 struct ldb_writable_file **out)
{
    struct ldb_writable_file *opened = NULL;
    struct crash_writable *file;
    struct env_crash_name *name;
    enum ldb_status s;
    uint32_t inode;

    ldb_mutex_lock(&crash->mu);
    s = crash->base->ops->open_writable(crash->base, path, mode, err, &opened);
    if (s != LDB_OK)
        goto out;
    name = env_crash_names_find(&crash->live, path);
    inode = name != NULL ? name->inode : new_inode(crash, path, false);
    if (name != NULL && mode == LDB_OPEN_TRUNCATE)
        add_event(crash, ENV_CRASH_EVENT_TRUNCATE, inode);
    file = allocate(sizeof(*file));
    *file = (struct crash_writable){.base.ops = &writable_ops,
                                    .file = opened,
                                    .crash = crash,
                                    .inode = inode,
                                    .window = window};
    if (window > 0)
        add_window(crash, inode, window);
    *out = &file->base;
out:
    ldb_mutex_unlock(&crash->mu);
    return s;
}

static enum ldb_status crash_open_writable(struct ldb_env *env,
                                           const char *path,
                                           enum ldb_open_mode mode,
                                           struct ldb_error *err,
                                           struct ldb_writable_file **out)
{
    return open_file(crash_of(env), path, mode, 0, err, out);
}

static enum ldb_status crash_open_mapped(struct ldb_env *env, const char *path,
                                         uint64_t window, struct ldb_error *err,
                                         struct ldb_writable_file **out)
{
    return open_file(crash_of(env), path, LDB_OPEN_TRUNCATE, window, err, out);
}

static enum ldb_status crash_open_random(struct ldb_env *env, const char *path,
                                         struct ldb_error *err,
                                         struct ldb_random_file **out)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->open_random(base, path, err, out);
}

static enum ldb_status crash_open_sequential(struct ldb_env *env,
                                             const char *path,
                                             struct ldb_error *err,
                                             struct ldb_sequential_file **out)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->open_sequential(base, path, err, out);
}

/* ---- names ---- */

static enum ldb_status crash_file_size(struct ldb_env *env, const char *path,
                                       struct ldb_error *err,
                                       uint64_t *out_size)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->file_size(base, path, err, out_size);
}

static enum ldb_status crash_list_dir(struct ldb_env *env, const char *path,
                                      ldb_list_visit visit, void *context,
                                      struct ldb_error *err)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->list_dir(base, path, visit, context, err);
}

static enum ldb_status crash_create_dir(struct ldb_env *env, const char *path,
                                        struct ldb_error *err)
{
    struct env_crash *crash = crash_of(env);
    enum ldb_status s;

    ldb_mutex_lock(&crash->mu);
    s = crash->base->ops->create_dir(crash->base, path, err);
    if (s == LDB_OK && env_crash_names_find(&crash->live, path) == NULL)
        (void)new_inode(crash, path, true);
    ldb_mutex_unlock(&crash->mu);
    return s;
}

static enum ldb_status crash_remove_dir(struct ldb_env *env, const char *path,
                                        struct ldb_error *err)
{
    struct env_crash *crash = crash_of(env);
    enum ldb_status s;

    ldb_mutex_lock(&crash->mu);
    s = crash->base->ops->remove_dir(crash->base, path, err);
    if (s == LDB_OK)
        add_names(crash, NULL, 0, path);
    ldb_mutex_unlock(&crash->mu);
    return s;
}

static enum ldb_status crash_remove_file(struct ldb_env *env, const char *path,
                                         struct ldb_error *err)
{
    struct env_crash *crash = crash_of(env);
    enum ldb_status s;

    ldb_mutex_lock(&crash->mu);
    s = crash->base->ops->remove_file(crash->base, path, err);
    if (s == LDB_OK)
        add_names(crash, NULL, 0, path);
    ldb_mutex_unlock(&crash->mu);
    return s;
}

/* from's inode gets the name to; a rename takes the old name away. */
static void move_name(struct env_crash *crash, const char *from, const char *to,
                      bool is_rename) LDB_REQUIRES(crash->mu)
{
    const struct env_crash_name *name =
        env_crash_names_find(&crash->live, from);

    if (name == NULL)
        abort(); /* a file that this env never saw made */
    add_names(crash, to, name->inode, is_rename ? from : NULL);
}

static enum ldb_status crash_rename_file(struct ldb_env *env, const char *from,
                                         const char *to, struct ldb_error *err)
{
    struct env_crash *crash = crash_of(env);
    enum ldb_status s;

    ldb_mutex_lock(&crash->mu);
    s = crash->base->ops->rename_file(crash->base, from, to, err);
    if (s == LDB_OK)
        move_name(crash, from, to, true);
    ldb_mutex_unlock(&crash->mu);
    return s;
}

static enum ldb_status crash_link_file(struct ldb_env *env, const char *from,
                                       const char *to, struct ldb_error *err)
{
    struct env_crash *crash = crash_of(env);
    enum ldb_status s;

    ldb_mutex_lock(&crash->mu);
    s = crash->base->ops->link_file(crash->base, from, to, err);
    if (s == LDB_OK)
        move_name(crash, from, to, false);
    ldb_mutex_unlock(&crash->mu);
    return s;
}

static enum ldb_status crash_sync_dir(struct ldb_env *env, const char *path,
                                      struct ldb_error *err)
{
    struct env_crash *crash = crash_of(env);
    enum ldb_status s;

    ldb_mutex_lock(&crash->mu);
    s = crash->base->ops->sync_dir(crash->base, path, err);
    if (s == LDB_OK)
        add_event(crash, ENV_CRASH_EVENT_SYNC_DIR, 0)->set_name =
            copy_text(path);
    ldb_mutex_unlock(&crash->mu);
    return s;
}

/* ---- the rest ---- */

static enum ldb_status crash_lock_file(struct ldb_env *env, const char *path,
                                       bool shared, struct ldb_error *err,
                                       struct ldb_file_lock **out)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->lock_file(base, path, shared, err, out);
}

static void crash_unlock_file(struct ldb_env *env, struct ldb_file_lock *lock)
{
    struct ldb_env *base = crash_of(env)->base;

    base->ops->unlock_file(base, lock);
}

static enum ldb_status crash_free_space(struct ldb_env *env, const char *path,
                                        struct ldb_error *err,
                                        uint64_t *out_bytes)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->free_space(base, path, err, out_bytes);
}

static uint64_t crash_wall_us(struct ldb_env *env)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->wall_us(base);
}

static uint64_t crash_monotonic_us(struct ldb_env *env)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->monotonic_us(base);
}

static enum ldb_status crash_random_bytes(struct ldb_env *env, uint8_t *out,
                                          size_t n, struct ldb_error *err)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->random_bytes(base, out, n, err);
}

static enum ldb_status crash_thread_start(struct ldb_env *env, const char *name,
                                          void (*body)(void *context),
                                          void *context, struct ldb_error *err,
                                          struct ldb_thread **out)
{
    struct ldb_env *base = crash_of(env)->base;

    return base->ops->thread_start(base, name, body, context, err, out);
}

static void crash_thread_join(struct ldb_env *env, struct ldb_thread *thread)
{
    struct ldb_env *base = crash_of(env)->base;

    base->ops->thread_join(base, thread);
}

static const struct ldb_env_ops env_ops = {
    .open_writable = crash_open_writable,
    .open_mapped = crash_open_mapped,
    .open_random = crash_open_random,
    .open_sequential = crash_open_sequential,
    .file_size = crash_file_size,
    .list_dir = crash_list_dir,
    .create_dir = crash_create_dir,
    .remove_dir = crash_remove_dir,
    .remove_file = crash_remove_file,
    .rename_file = crash_rename_file,
    .link_file = crash_link_file,
    .sync_dir = crash_sync_dir,
    .lock_file = crash_lock_file,
    .unlock_file = crash_unlock_file,
    .free_space = crash_free_space,
    .wall_us = crash_wall_us,
    .monotonic_us = crash_monotonic_us,
    .random_bytes = crash_random_bytes,
    .thread_start = crash_thread_start,
    .thread_join = crash_thread_join,
};

/* ---- life ---- */

struct adoption {
    struct env_crash *crash;
    const char *dir;
};

/* A file of dir, with its bytes, as if it had just been made and synced. */
static enum ldb_status adopt_file(void *context, const char *name)
{
    const struct adoption *adoption = context;
    struct env_crash *crash = adoption->crash;
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    char path[512];
    enum ldb_status s;
    uint32_t inode;

    (void)snprintf(path, sizeof(path), "%s/%s", adoption->dir, name);
    s = ldb_env_read_file(crash->base, path, NULL, &bytes);
    if (s != LDB_OK)
        abort();
    ldb_mutex_lock(&crash->mu);
    inode = new_inode(crash, path, false);
    add_append(crash, inode, ldb_slice_of_buf(&bytes));
    add_event(crash, ENV_CRASH_EVENT_SYNC, inode);
    ldb_mutex_unlock(&crash->mu);
    ldb_buf_release(&bytes);
    return LDB_OK;
}

static void adopt(struct env_crash *crash, const char *dir)
{
    struct adoption adoption = {.crash = crash, .dir = dir};

    ldb_mutex_lock(&crash->mu);
    (void)new_inode(crash, dir, true);
    ldb_mutex_unlock(&crash->mu);
    if (crash->base->ops->list_dir(crash->base, dir, adopt_file, &adoption,
                                   NULL) != LDB_OK)
        abort();
    ldb_mutex_lock(&crash->mu);
    add_event(crash, ENV_CRASH_EVENT_SYNC_DIR, 0)->set_name = copy_text(dir);
    add_event(crash, ENV_CRASH_EVENT_SYNC_DIR, 0)->set_name = copy_text("/");
    crash->record.adopted = crash->record.count;
    ldb_mutex_unlock(&crash->mu);
}

struct env_crash *env_crash_create(struct ldb_env *base, const char *dir)
{
    struct env_crash *crash = allocate(sizeof(*crash));

    crash->env.ops = &env_ops;
    crash->base = base;
    ldb_mutex_init(&crash->mu);
    if (dir != NULL)
        adopt(crash, dir);
    return crash;
}

void env_crash_destroy(struct env_crash *crash)
{
    if (crash == NULL)
        return;
    for (size_t i = 0; i < crash->record.count; i++) {
        free(crash->record.events[i].set_name);
        free(crash->record.events[i].remove_name);
        free(crash->record.events[i].bytes);
    }
    free(crash->record.events);
    env_crash_names_release(&crash->live);
    ldb_mutex_release(&crash->mu);
    free(crash);
}

struct ldb_env *env_crash_env(struct env_crash *crash)
{
    return &crash->env;
}

uint64_t env_crash_position(struct env_crash *crash)
{
    uint64_t position;

    ldb_mutex_lock(&crash->mu);
    position = crash->record.count - crash->record.adopted;
    ldb_mutex_unlock(&crash->mu);
    return position;
}

const struct env_crash_record *env_crash_record_of(struct env_crash *crash)
{
    const struct env_crash_record *record;

    ldb_mutex_lock(&crash->mu);
    record = &crash->record;
    ldb_mutex_unlock(&crash->mu);
    return record;
}
