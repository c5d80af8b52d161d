#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/problem.h"
#include "service/http_internal.h"
#include "service/log.h"
#include "storage/base/buf.h"
#include "storage/base/status.h"

/* Connections that wait to be accepted; the benchmark's figure. */
#define LISTEN_BACKLOG 1024

/*
 * A client whose host is gone sends no end, and a stream that has nothing to
 * tell sends it nothing: the system asks after so many seconds of silence, and
 * gives up after so many questions so many seconds apart. Chosen: two minutes
 * in all.
 */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_COUNT      4

static enum ldb_status make_address(const struct svc_http_options *options,
                                    struct ldb_error *err,
                                    struct sockaddr_storage *out,
                                    socklen_t *out_len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons(options->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons(options->port)};

    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, options->host, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof v4);
        *out_len = sizeof v4;
        return LDB_OK;
    }
    if (inet_pton(AF_INET6, options->host, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof v6);
        *out_len = sizeof v6;
        return LDB_OK;
    }
    return ldb_error_set(err, LDB_INVALID_ARGUMENT, "%s is not an IP address",
                         options->host);
}

static enum ldb_status read_port(int fd, struct ldb_error *err, uint16_t *out)
{
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0)
        return ldb_error_set_errno(err, errno, "getsockname");
    if (bound.ss_family == AF_INET6) {
        memcpy(&v6, &bound, sizeof v6);
        *out = ntohs(v6.sin6_port);
    } else {
        memcpy(&v4, &bound, sizeof v4);
        *out = ntohs(v4.sin_port);
    }
    return LDB_OK;
}

/* What accepted sockets inherit. */
static bool set_options(int fd)
{
    static const struct {
        int level;
        int name;
        int value;
    } options[] = {
        {SOL_SOCKET, SO_REUSEADDR, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                       sizeof options[i].value) != 0)
            return false;
    }
    return true;
}

enum ldb_status svc_acceptor_listen(struct svc_http_server *server,
                                    struct ldb_error *err)
{
    const struct svc_http_options *options = &server->options;
    struct sockaddr_storage address;
    socklen_t len = 0;
    enum ldb_status s;
    int fd;

    s = make_address(options, err, &address, &len);
    if (s != LDB_OK)
        return s;
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                0);
    if (fd < 0)
        return ldb_error_set_errno(err, errno, "socket");
    if (!set_options(fd) || bind(fd, (struct sockaddr *)&address, len) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        s = ldb_error_set_errno(err, errno, "listen on %s port %u",
                                options->host, options->port);
        close(fd);
        return s;
    }
    s = read_port(fd, err, &server->port);
    if (s != LDB_OK) {
        close(fd);
        return s;
    }
    server->listen_fd = fd;
    return LDB_OK;
}

/* Sockets taken at a time before it looks whether to stop. */
#define ACCEPT_BATCH 64

/* How long to leave clients waiting when no more can be served. */
#define ACCEPT_PAUSE_MS 50

/* ---- clients that are too many ---- */

/*
 * Sockets of clients that were refused, kept for a while: closed at once, with
 * a request unread or on its way, they would be reset, and the client may lose
 * the answer. Chosen: the time a client far away needs to send it.
 */
#define REFUSED_MAX     64
#define REFUSED_KEPT_US 1000000

struct refused {
    int fd; /* -1: none */
    uint64_t since_us;
};

struct acceptor {
    struct svc_http_server *server;
    struct refused refused[REFUSED_MAX];
    size_t oldest;
    struct svc_placement placement;
};

static uint64_t now_us(const struct acceptor *acceptor)
{
    struct ldb_env *env = acceptor->server->options.env;

    return env->ops->monotonic_us(env);
}

static void forget(struct refused *refused)
{
    if (refused->fd >= 0)
        close(refused->fd);
    refused->fd = -1;
}

/* Without memory for it they see the connection end. */
static void send_too_many(int fd)
{
    struct api_problem problem = {.kind = API_PROBLEM_OVERLOADED};
    struct ldb_buf body = LDB_BUF_INIT(1024);
    char text[1536];

    api_problem_detail(&problem, "too many connections");
    if (api_problem_write(&problem, &body) == LDB_OK) {
        int len = snprintf(text, sizeof text,
                           "HTTP/1.1 503 Service Unavailable\r\n"
                           "Retry-After: 1\r\n"
                           "Connection: close\r\n"
                           "Content-Type: application/problem+json\r\n"
                           "Content-Length: %zu\r\n"
                           "\r\n%.*s\n",
                           body.len + 1, (int)body.len, (char *)body.data);

        LDB_IGNORE(send(fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL));
    }
    ldb_buf_release(&body);
    (void)shutdown(fd, SHUT_WR);
}

static void refuse(struct acceptor *acceptor, int fd)
{
    struct svc_http_server *server = acceptor->server;

    atomic_fetch_add_explicit(&server->refused, 1, memory_order_relaxed);
    if (server->options.tls != NULL) {
        close(fd); /* a handshake costs more than there is to say */
        return;
    }
    send_too_many(fd);
    forget(&acceptor->refused[acceptor->oldest]);
    acceptor->refused[acceptor->oldest] =
        (struct refused){.fd = fd, .since_us = now_us(acceptor)};
    acceptor->oldest = (acceptor->oldest + 1) % REFUSED_MAX;
}

/* Reads what they send, until they leave or the time is up. */
static void tend_refused(struct acceptor *acceptor)
{
    char bytes[4096];

    for (size_t i = 0; i < REFUSED_MAX; i++) {
        struct refused *refused = &acceptor->refused[i];
        ssize_t n;

        if (refused->fd < 0)
            continue;
        n = recv(refused->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
            now_us(acceptor) - refused->since_us >= REFUSED_KEPT_US)
            forget(refused);
    }
}

static bool keeps_refused(const struct acceptor *acceptor)
{
    for (size_t i = 0; i < REFUSED_MAX; i++) {
        if (acceptor->refused[i].fd >= 0)
            return true;
    }
    return false;
}

/* ---- accepting ---- */

/* Both ends have one address: the client is on this machine. */
static bool is_from_here(int fd, const struct sockaddr_storage *peer)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;

    if (getsockname(fd, (struct sockaddr *)&own, &len) != 0 ||
        own.ss_family != peer->ss_family)
        return false;
    if (own.ss_family == AF_INET)
        return ((const struct sockaddr_in *)&own)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)peer)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)&own)->sin6_addr,
                  &((const struct sockaddr_in6 *)peer)->sin6_addr,
                  sizeof(struct in6_addr)) == 0;
}

/* The processor by which a client of this machine came; -1: of another one. */
static int cpu_of(int fd, const struct sockaddr_storage *peer)
{
    int cpu = -1;
    socklen_t len = sizeof cpu;

    if (!is_from_here(fd, peer) ||
        getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &len) != 0)
        return -1;
    return cpu;
}

/* False: nothing more can be taken now. */
static bool accept_one(struct acceptor *acceptor, bool *out_none)
{
    struct svc_http_server *server = acceptor->server;
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    struct ldb_error err = {0};
    int fd = accept4(server->listen_fd, (struct sockaddr *)&peer, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
            errno == ENOMEM) {
            (void)ldb_error_set_errno(&err, errno, "accept");
            svc_log_event(SVC_LOG_WARN, "accept-failed", "reason", err.message);
            return false;
        }
        *out_none = true; /* none waits, or one has left already */
        return true;
    }
    if (svc_server_connections(server) >= server->options.connections_max) {
        refuse(acceptor, fd);
        return true;
    }
    return svc_loop_add(svc_placement_choose(&acceptor->placement,
                                             cpu_of(fd, &peer),
                                             now_us(acceptor)),
                        fd, &err) == LDB_OK;
}

static bool accept_some(struct acceptor *acceptor)
{
    bool none = false;

    for (unsigned i = 0; i < ACCEPT_BATCH && !none; i++) {
        if (!accept_one(acceptor, &none))
            return false;
    }
    return true;
}

/*
 * A thread of its own: of loops that share the listen socket, the one that is
 * awake takes every connection of a burst, and the others' cores idle.
 */
static void run_acceptor(void *context)
{
    struct acceptor acceptor = {.server = context,
                                .placement = {.server = context}};
    struct pollfd fds[2] = {
        {.fd = acceptor.server->accept_stop_fd, .events = POLLIN},
        {.fd = acceptor.server->listen_fd, .events = POLLIN},
    };
    bool can_take = true;

    for (size_t i = 0; i < REFUSED_MAX; i++)
        acceptor.refused[i].fd = -1;
    for (;;) {
        bool is_idle = can_take && !keeps_refused(&acceptor);

        (void)poll(fds, can_take ? 2 : 1, is_idle ? -1 : ACCEPT_PAUSE_MS);
        if ((fds[0].revents & POLLIN) != 0)
            break;
        can_take = accept_some(&acceptor);
        tend_refused(&acceptor);
    }
    for (size_t i = 0; i < REFUSED_MAX; i++)
        forget(&acceptor.refused[i]);
}

enum ldb_status svc_acceptor_start(struct svc_http_server *server,
                                   struct ldb_error *err)
{
    struct ldb_env *env = server->options.env;

    return env->ops->thread_start(env, "http-accept", run_acceptor, server, err,
                                  &server->acceptor);
}

void svc_acceptor_stop(struct svc_http_server *server)
{
    struct ldb_env *env = server->options.env;
    const uint64_t one = 1;
    ssize_t n;

    if (server->acceptor != NULL) {
        n = write(server->accept_stop_fd, &one, sizeof one);
        (void)n;
        env->ops->thread_join(env, server->acceptor);
        server->acceptor = NULL;
    }
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    server->listen_fd = -1;
}
