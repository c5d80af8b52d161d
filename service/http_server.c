#include "service/http_server.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "service/http_internal.h"
#include "service/http_tls.h"
#include "service/log.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* The loop this thread runs, so that it does not signal itself. */
static _Thread_local struct svc_loop *current_loop;

void svc_loop_signal(struct svc_loop *loop)
{
    const uint64_t one = 1;
    ssize_t n;

    if (current_loop == loop) {
        loop->progress++;
        return;
    }
    /*
     * Pairs with the clearing in sleep_until_event(): who comes after it
     * writes again, and what came before it is seen by the pass that follows.
     */
    if (!atomic_exchange_explicit(&loop->is_signaled, true,
                                  memory_order_acq_rel)) {
        n = write(loop->event_fd, &one, sizeof one);
        (void)n; /* a full counter is readable too */
    }
}

/* ---- the library's callbacks that are not an exchange's ---- */

/* Keys are bytes: handlers decode them, and %00 must not end one. */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection,
                           char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

/* Clients that break off, mostly: for debugging. */
LDB_PRINTF(2, 0)
static void log_library(void *cls, const char *format, va_list args)
{
    char text[512];

    (void)cls;
    vsnprintf(text, sizeof text, format, args);
    svc_log_event(SVC_LOG_DEBUG, "http-library", "text", text);
}

/* ---- a loop ---- */

static int sleep_ms(struct svc_loop *loop)
{
    MHD_UNSIGNED_LONG_LONG ms;
    int watch_ms;

    /*
     * With a waiting exchange the library always says 0; all that could move
     * has moved, so sleep until it is time to suspend it.
     */
    if (loop->waiting > 0)
        return SVC_HTTP_POLL_US / 1000;
    watch_ms = svc_watch_wait_ms(loop);
    if (MHD_get_timeout(loop->daemon, &ms) != MHD_YES ||
        (watch_ms >= 0 && ms > (unsigned)watch_ms))
        return watch_ms;
    return ms > 60000 ? 60000 : (int)ms;
}

static void sleep_until_event(struct svc_loop *loop, int timeout_ms)
{
    struct pollfd fds[2] = {
        {.fd = loop->event_fd, .events = POLLIN},
        {.fd = loop->epoll_fd, .events = POLLIN},
    };
    uint64_t count;
    ssize_t n;

    if (timeout_ms == 0)
        return;
    if (poll(fds, loop->daemon != NULL ? 2 : 1, timeout_ms) <= 0 ||
        (fds[0].revents & POLLIN) == 0)
        return;
    n = read(loop->event_fd, &count, sizeof count);
    (void)n;
    (void)atomic_exchange_explicit(&loop->is_signaled, false,
                                   memory_order_acq_rel);
}

static void take_added(struct svc_loop *loop)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    ldb_mutex_lock(&loop->add_mu);
    for (size_t i = 0; i < loop->added_count; i++) {
        uint64_t closed = loop->closed;

        /*
         * It looks at no address, and closes the socket when it fails, with
         * or without telling.
         */
        if (MHD_add_connection(loop->daemon, loop->added[i],
                               (const struct sockaddr *)&name,
                               sizeof name.sun_family) != MHD_YES &&
            loop->closed == closed)
            atomic_fetch_sub_explicit(&loop->connections, 1,
                                      memory_order_relaxed);
        loop->progress++;
    }
    loop->added_count = 0;
    ldb_mutex_unlock(&loop->add_mu);
}

/* Those that svc_http_server_cut_streams() was called for. */
static void cut_streams(struct svc_loop *loop)
{
    unsigned cuts =
        atomic_load_explicit(&loop->server->cuts, memory_order_acquire);

    if (cuts == loop->cuts_seen)
        return;
    loop->cuts_seen = cuts;
    svc_exchange_cut_streams(loop);
}

/*
 * Can nothing move but by an event? So it is, in a pass that moved something
 * too, when all that did came in and every exchange waits to be woken: another
 * pass would ask each of them in vain. Of TLS bytes may lie in the library.
 */
static bool waits_for_event(const struct svc_loop *loop, uint64_t moved,
                            uint64_t arrived)
{
    return moved == arrived && loop->waiting == loop->active &&
           loop->server->options.tls == NULL;
}

/* One pass over the connections; true when another one may move something. */
static bool run_pass(struct svc_loop *loop)
{
    struct ldb_env *env = loop->server->options.env;
    uint64_t before = loop->progress;
    uint64_t arrivals = loop->arrivals;

    loop->pass_us = env->ops->monotonic_us(env);
    loop->handlers_ran = false;
    svc_exchange_take_woken(loop);
    take_added(loop);
    (void)MHD_run(loop->daemon);
    if (loop->wants_trim) {
        loop->wants_trim = false;
        ldb_mem_trim(); /* the library has freed them by now */
    }
    svc_watch_look(loop);
    cut_streams(loop);
    if (loop->handlers_ran)
        api_pass_end(loop->server->options.context);
    return loop->progress != before &&
           !waits_for_event(loop, loop->progress - before,
                            loop->arrivals - arrivals);
}

static void close_added(struct svc_loop *loop)
{
    ldb_mutex_lock(&loop->add_mu);
    while (loop->added_count > 0)
        close(loop->added[--loop->added_count]);
    ldb_mutex_unlock(&loop->add_mu);
}

static void run_loop(void *context)
{
    struct svc_loop *loop = context;
    struct svc_http_server *server = loop->server;
    const uint64_t one = 1;
    int phase;
    ssize_t n;

    current_loop = loop;
    for (;;) {
        phase = atomic_load_explicit(&server->phase, memory_order_acquire);
        if (phase == SVC_STOPPING)
            break;
        loop->is_draining = phase == SVC_DRAINING;
        if (run_pass(loop))
            continue;
        if (loop->is_draining && loop->active == 0)
            break;
        sleep_until_event(loop, sleep_ms(loop));
    }
    svc_exchange_resume_all(loop);
    MHD_stop_daemon(loop->daemon);
    loop->daemon = NULL;
    close_added(loop);
    /* Clients that left before their write was done. */
    while (loop->orphans > 0 &&
           atomic_load_explicit(&server->phase, memory_order_acquire) !=
               SVC_STOPPING) {
        svc_exchange_take_woken(loop);
        if (loop->orphans > 0)
            sleep_until_event(loop, -1);
    }
    if (atomic_fetch_add_explicit(&server->drained, 1, memory_order_acq_rel) +
            1 ==
        server->loop_count) {
        n = write(server->done_fd, &one, sizeof one);
        (void)n;
    }
}

/* ---- starting ---- */

static enum ldb_status fail_errno(struct ldb_error *err, const char *what)
{
    return ldb_error_set_errno(err, errno, "%s", what);
}

static struct MHD_Daemon *start_daemon(struct svc_loop *loop)
{
    const struct svc_http_options *options = &loop->server->options;

    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
            MHD_USE_NO_LISTEN_SOCKET |
            (options->tls == NULL ? 0u : (unsigned)MHD_USE_TLS),
        0, NULL, NULL, svc_exchange_on_call, loop, MHD_OPTION_EXTERNAL_LOGGER,
        log_library, NULL, MHD_OPTION_CONNECTION_LIMIT,
        options->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)SVC_HTTP_POOL_BYTES, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes,
        NULL, MHD_OPTION_URI_LOG_CALLBACK, svc_exchange_on_uri, loop,
        MHD_OPTION_NOTIFY_COMPLETED, svc_exchange_on_completed, loop,
        MHD_OPTION_NOTIFY_CONNECTION, svc_watch_on_connection, loop,
        options->tls == NULL ? MHD_OPTION_END : MHD_OPTION_HTTPS_CERT_CALLBACK,
        svc_tls_no_certificate, MHD_OPTION_HTTPS_PRIORITIES, SVC_TLS_PRIORITIES,
        MHD_OPTION_END);
}

static enum ldb_status init_loop(struct svc_loop *loop,
                                 struct svc_http_server *server,
                                 struct ldb_error *err)
{
    const union MHD_DaemonInfo *epoll;

    loop->server = server;
    loop->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->event_fd < 0)
        return fail_errno(err, "eventfd");
    loop->daemon = start_daemon(loop);
    if (loop->daemon == NULL)
        return ldb_error_set(err, LDB_IO, "the HTTP daemon did not start");
    epoll = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (epoll == NULL)
        return ldb_error_set(err, LDB_IO, "the HTTP daemon has no epoll");
    loop->epoll_fd = epoll->epoll_fd;
    return LDB_OK;
}

static void release_loop(struct svc_loop *loop)
{
    if (loop->daemon != NULL)
        MHD_stop_daemon(loop->daemon);
    close_added(loop);
    /* All work has ended: what was left behind is on the stack now. */
    svc_exchange_take_woken(loop);
    assert(loop->orphans == 0);
    svc_exchange_free_stores(loop);
    if (loop->event_fd >= 0)
        close(loop->event_fd);
    ldb_mem_free(loop->added);
    ldb_mutex_release(&loop->add_mu);
}

static enum ldb_status start_threads(struct svc_http_server *server,
                                     struct ldb_error *err)
{
    struct ldb_env *env = server->options.env;
    enum ldb_status s = LDB_OK;
    char name[16];

    for (unsigned i = 0; i < server->loop_count && s == LDB_OK; i++) {
        snprintf(name, sizeof name, "http-%u", i);
        s = env->ops->thread_start(env, name, run_loop, &server->loops[i], err,
                                   &server->loops[i].thread);
    }
    return s;
}

enum ldb_status svc_http_server_start(const struct svc_http_options *options,
                                      struct ldb_error *err,
                                      struct svc_http_server **out)
{
    struct svc_http_server *server;
    enum ldb_status s = LDB_OK;

    assert(options->loops >= 1 && options->connections_max >= 1);
    server = ldb_mem_zalloc(1, sizeof *server +
                                   options->loops * sizeof server->loops[0]);
    if (server == NULL)
        return ldb_error_no_memory(err);
    server->options = *options;
    server->listen_fd = -1;
    server->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    server->accept_stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (server->done_fd < 0 || server->accept_stop_fd < 0)
        s = fail_errno(err, "eventfd");
    if (s == LDB_OK && options->host != NULL)
        s = svc_acceptor_listen(server, err);
    server->loop_count = options->loops;
    for (unsigned i = 0; i < server->loop_count; i++) {
        server->loops[i].event_fd = -1;
        ldb_mutex_init(&server->loops[i].add_mu);
    }
    for (unsigned i = 0; i < server->loop_count && s == LDB_OK; i++)
        s = init_loop(&server->loops[i], server, err);
    if (s == LDB_OK)
        s = start_threads(server, err);
    if (s == LDB_OK && options->host != NULL)
        s = svc_acceptor_start(server, err);
    if (s != LDB_OK) {
        svc_http_server_stop(server);
        svc_http_server_destroy(server);
        return s;
    }
    *out = server;
    return LDB_OK;
}

/* ---- running ---- */

uint64_t svc_loop_connections(const struct svc_loop *loop)
{
    return atomic_load_explicit(&loop->connections, memory_order_relaxed);
}

uint64_t svc_server_connections(const struct svc_http_server *server)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < server->loop_count; i++)
        sum += svc_loop_connections(&server->loops[i]);
    return sum;
}

uint16_t svc_http_server_port(const struct svc_http_server *server)
{
    return server->port;
}

struct svc_loop *svc_server_fewest(struct svc_http_server *server)
{
    struct svc_loop *best = &server->loops[0];
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < server->loop_count; i++) {
        uint64_t own = svc_loop_connections(&server->loops[i]);

        if (own < least) {
            least = own;
            best = &server->loops[i];
        }
    }
    return best;
}

enum ldb_status svc_loop_add(struct svc_loop *loop, int socket,
                             struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&loop->add_mu);
    if (loop->added_count == loop->added_capacity) {
        size_t capacity = loop->added_capacity * 2 + 8;
        int *grown = ldb_mem_realloc(loop->added, capacity, sizeof *grown);

        if (grown == NULL) {
            s = ldb_error_no_memory(err);
        } else {
            loop->added = grown;
            loop->added_capacity = capacity;
        }
    }
    if (s == LDB_OK)
        loop->added[loop->added_count++] = socket;
    ldb_mutex_unlock(&loop->add_mu);
    if (s != LDB_OK) {
        close(socket);
        return s;
    }
    atomic_fetch_add_explicit(&loop->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&loop->connections_total, 1,
                              memory_order_relaxed);
    svc_loop_signal(loop);
    return LDB_OK;
}

enum ldb_status svc_http_server_add(struct svc_http_server *server, int socket,
                                    struct ldb_error *err)
{
    return svc_loop_add(svc_server_fewest(server), socket, err);
}

static void enter_phase(struct svc_http_server *server,
                        enum svc_server_phase phase)
{
    atomic_store_explicit(&server->phase, (int)phase, memory_order_release);
    for (unsigned i = 0; i < server->loop_count; i++) {
        if (server->loops[i].event_fd >= 0)
            svc_loop_signal(&server->loops[i]);
    }
}

void svc_http_server_drain(struct svc_http_server *server)
{
    svc_acceptor_stop(server);
    enter_phase(server, SVC_DRAINING);
}

void svc_http_server_cut_streams(struct svc_http_server *server)
{
    atomic_fetch_add_explicit(&server->cuts, 1, memory_order_release);
    for (unsigned i = 0; i < server->loop_count; i++)
        svc_loop_signal(&server->loops[i]);
}

int svc_http_server_done_fd(const struct svc_http_server *server)
{
    return server->done_fd;
}

bool svc_http_server_done(const struct svc_http_server *server)
{
    return atomic_load_explicit(&server->drained, memory_order_acquire) ==
           server->loop_count;
}

void svc_http_server_stop(struct svc_http_server *server)
{
    struct ldb_env *env = server->options.env;

    svc_acceptor_stop(server);
    enter_phase(server, SVC_STOPPING);
    for (unsigned i = 0; i < server->loop_count; i++) {
        if (server->loops[i].thread != NULL)
            env->ops->thread_join(env, server->loops[i].thread);
        server->loops[i].thread = NULL;
    }
}

void svc_http_server_destroy(struct svc_http_server *server)
{
    if (server == NULL)
        return;
    for (unsigned i = 0; i < server->loop_count; i++)
        release_loop(&server->loops[i]);
    if (server->done_fd >= 0)
        close(server->done_fd);
    if (server->accept_stop_fd >= 0)
        close(server->accept_stop_fd);
    ldb_mem_free(server);
}

void svc_http_server_figures(const struct svc_http_server *server,
                             struct svc_http_figures *out)
{
    *out = (struct svc_http_figures){
        .upload_bytes =
            atomic_load_explicit(&server->upload_used, memory_order_relaxed),
        .upload_bytes_max = server->options.upload_budget_bytes,
        .answer_bytes =
            atomic_load_explicit(&server->answers_used, memory_order_relaxed),
        .answer_bytes_max = server->options.answer_budget_bytes,
        .refused = atomic_load_explicit(&server->refused, memory_order_relaxed),
        .head_timeouts =
            atomic_load_explicit(&server->head_timeouts, memory_order_relaxed),
        .body_timeouts =
            atomic_load_explicit(&server->body_timeouts, memory_order_relaxed),
        .answer_timeouts = atomic_load_explicit(&server->answer_timeouts,
                                                memory_order_relaxed),
    };
    for (unsigned i = 0; i < server->loop_count; i++) {
        const struct svc_loop *loop = &server->loops[i];

        out->connections += svc_loop_connections(loop);
        out->connections_total += atomic_load_explicit(&loop->connections_total,
                                                       memory_order_relaxed);
    }
}
