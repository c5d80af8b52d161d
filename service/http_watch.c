#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include "service/http_internal.h"
#include "service/http_tls.h"
#include "storage/base/mem.h"

/*
 * Each loop looks at its connections a few times a second, and cuts those that
 * are too slow, or on which nothing moves any more. They are shut down, which
 * the library sees as the client's doing.
 *
 * The library has a timeout for the last of these, and no other: a client that
 * sends a byte now and then would keep its connection for ever, and what a head
 * or a body takes up with it. Its timeout is not used, as for that it reads the
 * clock six times a request and moves the connection three times in a list that
 * it locks. What has moved is asked of TCP here, and only of a connection whose
 * last request is some while ago.
 *
 * The library also overlooks the end of a client's sending when that came with
 * the last bytes before it: a read that does not fill the buffer counts as the
 * last one until there is news of the socket, and there is none any more. Such
 * a connection would stay until it has been idle for long enough.
 *
 * And it does not look at all at a connection whose stream waits for something
 * to tell, which may take for ever: of a file that is followed there is nothing
 * to send now and then. A client that has ended its sending meanwhile counts as
 * gone; one whose host is gone is found by the system (http_acceptor.c).
 */

/* Connections that are asked about at a time. */
#define LOOK_BATCH 64

/* How often a connection is asked about in the time that it may be idle: it is
 * cut at most one part of that late. */
#define IDLE_PARTS 8

#define TOO_SLOW                                                               \
    "HTTP/1.1 408 Request Timeout\r\n"                                         \
    "Connection: close\r\n"                                                    \
    "Content-Length: 0\r\n"                                                    \
    "\r\n"

/* ---- the list of connections ---- */

static struct svc_connection *watch(struct svc_loop *loop, int fd)
{
    struct svc_connection *c = ldb_mem_zalloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->loop = loop;
    c->fd = fd;
    c->since_us = loop->pass_us;
    c->next = loop->connected;
    if (c->next != NULL)
        c->next->prev = c;
    loop->connected = c;
    return c;
}

static void unwatch(struct svc_connection *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->loop->connected = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    svc_tls_end(c->credentials);
    ldb_mem_free(c);
}

static int fd_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info == NULL ? -1 : info->connect_fd;
}

void svc_watch_on_connection(void *cls, struct MHD_Connection *connection,
                             void **context,
                             enum MHD_ConnectionNotificationCode code)
{
    struct svc_loop *loop = cls;
    struct svc_tls *tls = loop->server->options.tls;
    struct svc_connection *c = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = watch(loop, fd_of(connection));
        if (c == NULL)
            (void)shutdown(fd_of(connection), SHUT_RDWR);
        else if (tls != NULL)
            c->credentials = svc_tls_begin(tls, connection);
        *context = c;
        return;
    }
    if (c != NULL)
        unwatch(c);
    loop->closed++;
    atomic_fetch_sub_explicit(&loop->connections, 1, memory_order_relaxed);
}

void svc_watch_begin(struct svc_exchange *x, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct svc_connection *c = info == NULL ? NULL : info->socket_context;

    if (c == NULL)
        return;
    x->watched = c;
    c->x = x;
    c->mark_us = 0;
}

void svc_watch_end(struct svc_exchange *x)
{
    struct svc_connection *c = x->watched;

    if (c == NULL)
        return;
    x->watched = NULL;
    c->x = NULL;
    c->since_us = c->loop->pass_us;
}

/* ---- looking ---- */

static uint64_t taken_bytes(const struct svc_connection *c)
{
    return c->x == NULL ? 0 : c->x->body_bytes + c->x->dropped_bytes;
}

/* It is the client's turn to send. */
static bool is_read_from(const struct svc_connection *c)
{
    return c->x == NULL || c->x->phase == SVC_PHASE_NEW ||
           c->x->phase == SVC_PHASE_BODY;
}

/* A stream of ours that has nothing to tell now. */
static bool is_silent(const struct svc_connection *c)
{
    return c->x != NULL && c->x->phase == SVC_PHASE_STREAM_PAUSED;
}

void svc_watch_cut(struct svc_connection *c)
{
    c->is_cut = true;
    (void)shutdown(c->fd, SHUT_RDWR);
}

/* Nothing of an answer is under way: it is still the client's turn. */
static void cut_as_slow(struct svc_connection *c, _Atomic(uint64_t) *counter)
{
    ssize_t n = 0;

    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    if (c->loop->server->options.tls == NULL)
        n = send(c->fd, TOO_SLOW, sizeof TOO_SLOW - 1,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n; /* who does not take it sees the connection end */
    svc_watch_cut(c);
}

/* No head is whole. */
static bool is_head_late(const struct svc_connection *c)
{
    const struct svc_http_options *options = &c->loop->server->options;
    uint64_t now_us = c->loop->pass_us;

    if (options->head_timeout_us == 0)
        return false;
    if (c->x != NULL)
        return now_us - c->x->api.started_us >= options->head_timeout_us;
    return options->idle_timeout_s != 0 &&
           now_us - c->since_us >= (uint64_t)options->idle_timeout_s * 1000000 +
                                       options->head_timeout_us;
}

static uint64_t piece_of(uint64_t part)
{
    return part > SVC_HTTP_BODY_PIECE_BYTES ? part : SVC_HTTP_BODY_PIECE_BYTES;
}

/* Since the mark it has brought too little for the time. Sets the next one. */
static bool is_body_late(struct svc_connection *c)
{
    const struct api_exchange *api = &c->x->api;
    uint64_t timeout_us = c->loop->server->options.body_timeout_us;
    uint64_t now_us = c->loop->pass_us;
    uint64_t taken = taken_bytes(c);
    uint64_t wanted = piece_of(0);

    if (api->body_window == 0 && api->content_length != API_LENGTH_UNKNOWN)
        wanted = piece_of(api->content_length / SVC_HTTP_BODY_PARTS);
    if (c->mark_us == 0 || taken - c->mark_bytes >= wanted) {
        c->mark_us = now_us;
        c->mark_bytes = taken;
        return false;
    }
    return timeout_us != 0 && now_us - c->mark_us >= timeout_us;
}

/* What the system knows of it; false: it is no TCP. */
static bool read_tcp(const struct svc_connection *c, struct tcp_info *out)
{
    socklen_t len = sizeof *out;

    *out = (struct tcp_info){0};
    return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, out, &len) == 0 &&
           len >= offsetof(struct tcp_info, tcpi_bytes_received) +
                      sizeof out->tcpi_bytes_received;
}

/* The same of an answer that is held in memory for its reader. */
static bool is_reader_late(struct svc_connection *c)
{
    uint64_t timeout_us = c->loop->server->options.body_timeout_us;
    uint64_t now_us = c->loop->pass_us;
    uint64_t held = c->x->charged_answer_bytes;
    struct tcp_info tcp;
    uint64_t taken;

    if (timeout_us == 0 || held == 0 ||
        (c->mark_us != 0 && now_us - c->mark_us < timeout_us) ||
        !read_tcp(c, &tcp))
        return false;
    taken = tcp.tcpi_bytes_acked;
    if (c->mark_us != 0 &&
        taken - c->mark_bytes < piece_of(held / SVC_HTTP_BODY_PARTS))
        return true;
    c->mark_us = now_us;
    c->mark_bytes = taken;
    return false;
}

/* The client has done what it can: it waits for us. */
static bool waits_for_us(const struct svc_connection *c)
{
    return c->x != NULL &&
           (c->x->phase == SVC_PHASE_WAIT || c->x->phase == SVC_PHASE_PAUSED ||
            c->x->phase == SVC_PHASE_STREAM_PAUSED);
}

/*
 * Nothing has come and nothing was taken for as long as that may be. What is no
 * TCP, and so was handed in, is never idle.
 */
static bool is_idle(struct svc_connection *c)
{
    uint64_t timeout_us =
        (uint64_t)c->loop->server->options.idle_timeout_s * 1000000;
    uint64_t now_us = c->loop->pass_us;
    uint64_t begun_us = c->x == NULL ? c->since_us : c->x->api.started_us;
    bool is_known = c->still_us >= begun_us;
    struct tcp_info tcp;
    uint64_t bytes;

    if (timeout_us == 0 || now_us - begun_us < SVC_HTTP_WATCH_US ||
        (is_known && now_us - c->asked_us < timeout_us / IDLE_PARTS) ||
        !read_tcp(c, &tcp))
        return false;
    bytes = tcp.tcpi_bytes_received + tcp.tcpi_bytes_acked;
    if (!is_known || bytes != c->moved_bytes)
        c->still_us = now_us;
    c->asked_us = now_us;
    c->moved_bytes = bytes;
    return now_us - c->still_us >= timeout_us;
}

static void judge_time(struct svc_connection *c)
{
    struct svc_http_server *server = c->loop->server;

    if (waits_for_us(c)) {
        c->mark_us = 0;
        c->still_us = 0;
    } else if (is_idle(c)) {
        svc_watch_cut(c);
    } else if (c->x == NULL || c->x->phase == SVC_PHASE_NEW) {
        if (is_head_late(c))
            cut_as_slow(c, &server->head_timeouts);
    } else if (c->x->phase == SVC_PHASE_BODY) {
        if (is_body_late(c))
            cut_as_slow(c, &server->body_timeouts);
    } else if (is_reader_late(c)) {
        atomic_fetch_add_explicit(&server->answer_timeouts, 1,
                                  memory_order_relaxed);
        svc_watch_cut(c);
    }
}

/* All that the client sent is read, and no more comes. */
static bool has_ended(const struct svc_connection *c, short events)
{
    char byte;

    if ((events & (POLLRDHUP | POLLHUP | POLLERR)) == 0)
        return false;
    /* What may still be read (of TLS: that it ends) is of no use to a stream.
     */
    return is_silent(c) || recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Cut when it was so at the last look as well, and nothing has moved. */
static void judge_end(struct svc_connection *c, bool ended)
{
    if (ended && c->has_ended && c->ended_bytes == taken_bytes(c)) {
        if (is_silent(c))
            svc_exchange_reader_left(c);
        else
            svc_watch_cut(c);
    }
    c->has_ended = ended;
    c->ended_bytes = taken_bytes(c);
}

static void judge_ends(struct svc_connection *const *batch, size_t count)
{
    struct pollfd fds[LOOK_BATCH];

    for (size_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = batch[i]->fd, .events = POLLRDHUP};
    if (poll(fds, count, 0) < 0)
        return; /* at the next look */
    for (size_t i = 0; i < count; i++)
        judge_end(batch[i], has_ended(batch[i], fds[i].revents));
}

void svc_watch_look(struct svc_loop *loop)
{
    struct svc_connection *batch[LOOK_BATCH];
    size_t count = 0;

    if (loop->pass_us - loop->looked_us < SVC_HTTP_WATCH_US)
        return;
    loop->looked_us = loop->pass_us;
    for (struct svc_connection *c = loop->connected; c != NULL; c = c->next) {
        if (!c->is_cut)
            judge_time(c);
        if (c->is_cut)
            continue;
        if (!is_read_from(c) && !is_silent(c)) {
            c->has_ended = false;
            continue;
        }
        batch[count++] = c;
        if (count == LOOK_BATCH) {
            judge_ends(batch, count);
            count = 0;
        }
    }
    judge_ends(batch, count);
}

int svc_watch_wait_ms(const struct svc_loop *loop)
{
    uint64_t past_us = loop->pass_us - loop->looked_us;

    if (loop->connected == NULL)
        return -1;
    return past_us >= SVC_HTTP_WATCH_US
               ? 1
               : (int)((SVC_HTTP_WATCH_US - past_us) / 1000) + 1;
}
