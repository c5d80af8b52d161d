#include "service/line_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "service/log.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/* Between two looks whether it is time to give up. */
#define WRITE_POLL_MS 50

/*
 * Locking: constant after creation: env, path, thread. Atomics (relaxed):
 * dropped; stop_by_us (release, acquire), 0 until it is to end. Guarded by mu:
 * pending, lines, reopens. The writer's own: fd, writing.
 */
struct svc_line_sink {
    struct ldb_env *env;
    const char *path; /* NULL: standard error */
    struct ldb_thread *thread;

    _Atomic(uint64_t) dropped;
    _Atomic(uint64_t) stop_by_us;

    struct ldb_mutex mu;
    struct ldb_cond changed;
    struct ldb_buf pending;
    uint64_t lines;
    bool reopens;

    int fd;
    struct ldb_buf writing;
};

/* ---- writing ---- */

static void drop(struct svc_line_sink *sink, uint64_t lines)
{
    (void)atomic_fetch_add_explicit(&sink->dropped, lines,
                                    memory_order_relaxed);
}

static uint64_t count_lines(struct ldb_slice bytes)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < bytes.len; i++)
        lines += bytes.data[i] == '\n';
    return lines;
}

/* Whole lines from the first on, as many as one write takes. */
static size_t chunk_len(struct ldb_slice left)
{
    size_t len = left.len < SVC_LINE_MAX ? left.len : SVC_LINE_MAX;
    const uint8_t *end = memrchr(left.data, '\n', len);

    assert(end != NULL);
    return (size_t)(end - left.data) + 1;
}

/* False: the time to end is over. */
static bool wait_writable(struct svc_line_sink *sink)
{
    struct pollfd fd = {.fd = sink->fd, .events = POLLOUT};
    struct ldb_env *env = sink->env;

    while (poll(&fd, 1, WRITE_POLL_MS) <= 0) {
        uint64_t stop_by_us =
            atomic_load_explicit(&sink->stop_by_us, memory_order_acquire);

        if (stop_by_us != 0 && env->ops->monotonic_us(env) >= stop_by_us)
            return false;
    }
    return true;
}

static void write_lines(struct svc_line_sink *sink, struct ldb_slice left)
{
    while (left.len > 0) {
        size_t len = chunk_len(left);
        ssize_t n;

        if (!wait_writable(sink)) {
            drop(sink, count_lines(left));
            return;
        }
        n = write(sink->fd, left.data, len);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            drop(sink, count_lines(ldb_slice_make(left.data, len)));
            n = (ssize_t)len;
        }
        left = ldb_slice_make(left.data + n, left.len - (size_t)n);
    }
}

/* ---- the file ---- */

/* Not waiting: a pipe without a reader fails, a full one is polled. */
static enum ldb_status open_file(const char *path, struct ldb_error *err,
                                 int *out)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK,
                  0640);

    if (fd < 0)
        return ldb_error_set_errno(err, errno, "open %s", path);
    *out = fd;
    return LDB_OK;
}

static void open_again(struct svc_line_sink *sink)
{
    struct ldb_error err = {0};
    struct svc_log_line line;
    int fd = -1;

    if (open_file(sink->path, &err, &fd) != LDB_OK) {
        svc_log_begin(&line, SVC_LOG_ERROR, "reopen-failed");
        svc_log_error(&line, &err);
        svc_log_end(&line);
        return;
    }
    close(sink->fd);
    sink->fd = fd;
}

/* ---- the thread ---- */

/* Takes what waits; false: nothing does, and it is time to end. */
static bool take_pending(struct svc_line_sink *sink, bool *out_reopen)
{
    struct ldb_buf taken;
    bool has_more;

    ldb_mutex_lock(&sink->mu);
    while (sink->pending.len == 0 && !sink->reopens &&
           atomic_load_explicit(&sink->stop_by_us, memory_order_acquire) == 0)
        ldb_cond_wait(&sink->changed, &sink->mu);
    *out_reopen = sink->reopens;
    sink->reopens = false;
    taken = sink->pending;
    sink->pending = sink->writing;
    sink->writing = taken;
    has_more = sink->writing.len > 0 || *out_reopen;
    ldb_mutex_unlock(&sink->mu);
    return has_more;
}

static void run(void *context)
{
    struct svc_line_sink *sink = context;
    bool reopens;

    while (take_pending(sink, &reopens)) {
        /* What was put before the file was moved goes where it was. */
        write_lines(sink, ldb_slice_of_buf(&sink->writing));
        ldb_buf_clear(&sink->writing);
        if (reopens)
            open_again(sink);
    }
}

/* ---- from outside ---- */

static void release(struct svc_line_sink *sink)
{
    if (sink->path != NULL && sink->fd >= 0)
        close(sink->fd);
    ldb_buf_release(&sink->pending);
    ldb_buf_release(&sink->writing);
    ldb_cond_release(&sink->changed);
    ldb_mutex_release(&sink->mu);
    ldb_mem_free(sink);
}

enum ldb_status svc_line_sink_create(struct ldb_env *env, const char *path,
                                     size_t room, struct ldb_error *err,
                                     struct svc_line_sink **out)
{
    struct svc_line_sink *sink = ldb_mem_zalloc(1, sizeof *sink);
    enum ldb_status s;

    assert(room >= SVC_LINE_MAX);
    if (sink == NULL)
        return ldb_error_no_memory(err);
    sink->env = env;
    sink->path = path;
    sink->fd = path == NULL ? STDERR_FILENO : -1;
    sink->pending = (struct ldb_buf)LDB_BUF_INIT(room);
    sink->writing = (struct ldb_buf)LDB_BUF_INIT(room);
    ldb_mutex_init(&sink->mu);
    ldb_cond_init(&sink->changed);
    s = ldb_buf_reserve(&sink->pending, room);
    if (s == LDB_OK)
        s = ldb_buf_reserve(&sink->writing, room);
    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK && path != NULL)
        s = open_file(path, err, &sink->fd);
    if (s == LDB_OK)
        s = env->ops->thread_start(env, "log", run, sink, err, &sink->thread);
    if (s != LDB_OK) {
        release(sink);
        return s;
    }
    *out = sink;
    return LDB_OK;
}

void svc_line_sink_put(struct svc_line_sink *sink, struct ldb_slice line)
{
    bool is_first;

    assert(line.len > 0 && line.len <= SVC_LINE_MAX);
    ldb_mutex_lock(&sink->mu);
    is_first = sink->pending.len == 0;
    if (ldb_buf_append(&sink->pending, line) == LDB_OK)
        sink->lines++;
    else
        drop(sink, 1);
    ldb_mutex_unlock(&sink->mu);
    if (is_first)
        ldb_cond_signal(&sink->changed);
}

void svc_line_sink_reopen(struct svc_line_sink *sink)
{
    if (sink->path == NULL)
        return;
    ldb_mutex_lock(&sink->mu);
    sink->reopens = true;
    ldb_mutex_unlock(&sink->mu);
    ldb_cond_signal(&sink->changed);
}

void svc_line_sink_figures(struct svc_line_sink *sink,
                           struct svc_line_sink_figures *out)
{
    ldb_mutex_lock(&sink->mu);
    out->lines = sink->lines;
    ldb_mutex_unlock(&sink->mu);
    out->dropped = atomic_load_explicit(&sink->dropped, memory_order_relaxed);
}

void svc_line_sink_destroy(struct svc_line_sink *sink)
{
    struct ldb_env *env;

    if (sink == NULL)
        return;
    env = sink->env;
    ldb_mutex_lock(&sink->mu);
    atomic_store_explicit(&sink->stop_by_us,
                          env->ops->monotonic_us(env) + SVC_LINE_SINK_FLUSH_US,
                          memory_order_release);
    ldb_mutex_unlock(&sink->mu);
    ldb_cond_signal(&sink->changed);
    env->ops->thread_join(env, sink->thread);
    release(sink);
}
