#include "replication/folder_peer.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Bytes read at a time. Chosen: few calls, and soon interrupted. */
#define READ_SIZE ((size_t)64 << 10)

#define NO_SUCH_PATH 404u

struct folder_peer {
    struct repl_peer base; /* first: cast back from it */
    struct ldb_env *env;
    char *dir;
};

struct folder_transport {
    struct repl_transport base; /* first: cast back from it */
    struct folder_peer *peer;
    atomic_bool is_interrupted; /* relaxed: soon is soon enough */
    uint8_t piece[READ_SIZE];
};

/* A file that is read; its size is that of the beginning. */
struct reading {
    struct folder_transport *t;
    struct ldb_random_file *file;
    uint64_t size;
};

static enum ldb_status open_file(struct folder_transport *t, const char *name,
                                 struct ldb_error *err, struct reading *out)
{
    struct ldb_env *env = t->peer->env;
    char *path = ldb_mem_printf("%s/%s", t->peer->dir, name);
    enum ldb_status s;

    *out = (struct reading){.t = t};
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->file_size(env, path, err, &out->size);
    if (s == LDB_OK)
        s = env->ops->open_random(env, path, err, &out->file);
    ldb_mem_free(path);
    return s;
}

static enum ldb_status give(struct reading *reading, const struct repl_get *get,
                            struct ldb_error *err)
{
    uint64_t at = get->from;
    uint64_t end = reading->size;
    enum ldb_status s = LDB_OK;

    if (get->count > 0 && get->count < end - at)
        end = at + get->count;
    while (s == LDB_OK && at < end) {
        size_t n = end - at < READ_SIZE ? (size_t)(end - at) : READ_SIZE;
        struct ldb_slice bytes = {0};

        if (atomic_load_explicit(&reading->t->is_interrupted,
                                 memory_order_relaxed))
            return ldb_error_set(err, LDB_CANCELLED, "%s: interrupted",
                                 get->name);
        s = ldb_random_read_at(reading->file, at, n, reading->t->piece, &bytes,
                               err);
        /* It was cut short, or replaced by a shorter one. */
        if (s == LDB_CORRUPTION)
            return LDB_IO;
        if (s == LDB_OK)
            s = get->bytes(get->context, bytes, err);
        at += n;
    }
    return s;
}

static enum ldb_status folder_get(struct repl_transport *base,
                                  const struct repl_get *get,
                                  struct ldb_error *err)
{
    struct folder_transport *t = (struct folder_transport *)base;
    struct repl_file_head head = {0};
    struct reading reading;
    enum ldb_status s;

    if (get->follow)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%s: a folder does not tell what comes",
                             get->name);
    s = open_file(t, get->name, err, &reading);
    if (s != LDB_OK)
        return s;
    head.size = reading.size;
    if (get->from > reading.size)
        s = ldb_error_set(err, LDB_INVALID_ARGUMENT,
                          "%s ends at %" PRIu64 ", before %" PRIu64, get->name,
                          reading.size, get->from);
    else
        s = get->head(get->context, &head, err);
    if (s == LDB_OK)
        s = give(&reading, get, err);
    ldb_random_close(reading.file);
    return s;
}

static enum ldb_status folder_head(struct repl_transport *base,
                                   const char *name, struct ldb_error *err,
                                   struct repl_file_head *out)
{
    struct reading reading;
    enum ldb_status s =
        open_file((struct folder_transport *)base, name, err, &reading);

    if (s != LDB_OK)
        return s;
    ldb_random_close(reading.file);
    *out = (struct repl_file_head){.size = reading.size};
    return LDB_OK;
}

static enum ldb_status folder_call(struct repl_transport *base,
                                   const char *path, struct ldb_slice body,
                                   struct ldb_error *err, struct ldb_buf *out,
                                   unsigned *out_http)
{
    (void)base;
    (void)path;
    (void)body;
    (void)err;
    ldb_buf_clear(out);
    *out_http = NO_SUCH_PATH;
    return LDB_OK;
}

static void folder_interrupt(struct repl_transport *base)
{
    struct folder_transport *t = (struct folder_transport *)base;

    atomic_store_explicit(&t->is_interrupted, true, memory_order_relaxed);
}

static void folder_close(struct repl_transport *base)
{
    ldb_mem_free(base);
}

static const struct repl_transport_ops folder_ops = {
    .call = folder_call,
    .get = folder_get,
    .head = folder_head,
    .interrupt = folder_interrupt,
    .destroy = folder_close,
};

static enum ldb_status folder_open(struct repl_peer *base,
                                   struct ldb_error *err,
                                   struct repl_transport **out)
{
    struct folder_transport *t = ldb_mem_zalloc(1, sizeof(*t));

    if (t == NULL)
        return ldb_error_no_memory(err);
    t->base.ops = &folder_ops;
    t->peer = (struct folder_peer *)base;
    atomic_init(&t->is_interrupted, false);
    *out = &t->base;
    return LDB_OK;
}

static void folder_destroy(struct repl_peer *base)
{
    struct folder_peer *peer = (struct folder_peer *)base;

    ldb_mem_free(peer->dir);
    ldb_mem_free(peer);
}

enum ldb_status repl_folder_peer_create(struct ldb_env *env, const char *dir,
                                        struct ldb_error *err,
                                        struct repl_peer **out)
{
    struct folder_peer *peer = ldb_mem_zalloc(1, sizeof(*peer));

    if (peer == NULL)
        return ldb_error_no_memory(err);
    peer->base.open = folder_open;
    peer->base.destroy = folder_destroy;
    peer->env = env;
    peer->dir = ldb_mem_strdup(dir);
    if (peer->dir == NULL) {
        ldb_mem_free(peer);
        return ldb_error_no_memory(err);
    }
    *out = &peer->base;
    return LDB_OK;
}
