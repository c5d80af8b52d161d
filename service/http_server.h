/*
 * The HTTP side of the service on libmicrohttpd: threads of our own that run
 * one daemon each ("loops"). One more thread accepts connections and gives
 * each to a loop (http_placement.c: to which); sockets can be handed in too
 * (http_pipe.h). Only the http_*.c files know the library.
 *
 * A loop never blocks on a sync, a stall or a reader: an exchange that waits
 * is asked again each pass without any system call (the library calls a
 * handler that gave no response again), the loop sleeps once a pass in which
 * nothing moved ends, and an exchange that waits longer than
 * SVC_HTTP_POLL_US is taken out of the passes (suspended) until it is woken.
 *
 * Thread-safety: start, drain, stop, destroy from one thread; add, cut_streams
 * and figures from any.
 */
#ifndef SERVICE_HTTP_SERVER_H
#define SERVICE_HTTP_SERVER_H

#include "api/context.h"

struct svc_access_log;
struct svc_http_server;

/*
 * How long an exchange is polled before it is suspended, which costs 6-15 us.
 * Chosen: 64 connections that share fdatasyncs of 0.2 ms wait 2 ms each.
 */
#define SVC_HTTP_POLL_US 10000

/*
 * Memory of a connection: request line and headers, then the answer's. All of
 * it is cleared after each request, so that 128 KiB would cost each 2 us.
 */
#define SVC_HTTP_POOL_BYTES 16384

/* Bodies up to this size are not charged to the upload budget, nor answers to
 * theirs. */
#define SVC_HTTP_SMALL_BODY_BYTES 16384

/*
 * What a larger body is charged, times its length: itself, and its copies in
 * the memtables, in the table being written and in compactions, which several
 * uploads at once fill together. Measured with sixteen PUTs of 64 MiB: 650 MiB
 * one at a time, 770 MiB two at a time.
 */
#define SVC_HTTP_UPLOAD_WEIGHT 7

/*
 * After an early refusal the rest of a body is read and dropped up to this
 * size, so that the client gets the answer; beyond, the connection is closed.
 */
#define SVC_HTTP_DROP_BYTES_MAX (UINT64_C(128) << 20)

/*
 * What a body must bring in each body_timeout_us: so many bytes, and of one
 * whose length is known and which is kept whole, and so its memory reserved,
 * this part of it too; and what the reader of a large answer must take. Chosen:
 * a line of 9 kbit/s is enough for the first, and a reserve is held for half an
 * hour at most.
 */
#define SVC_HTTP_BODY_PIECE_BYTES ((uint64_t)64 << 10)
#define SVC_HTTP_BODY_PARTS       32

/* How often connections are looked at for being too slow. Chosen: exact enough
 * for timeouts of seconds, and nothing to a busy loop. */
#define SVC_HTTP_WATCH_US 250000

struct svc_http_options {
    struct api_context *context; /* borrowed until destroy */
    struct ldb_env *env;         /* borrowed until destroy */
    unsigned loops;              /* at least 1 */
    unsigned connections_max;    /* of all loops together, at least 1 */
    unsigned idle_timeout_s;     /* 0: never */
    uint64_t head_timeout_us; /* from a request's line to its body; 0: never */
    uint64_t body_timeout_us; /* for each piece of a body; 0: never */
    uint64_t upload_budget_bytes;
    uint64_t answer_budget_bytes; /* of bodies that wait for their readers */
    struct svc_tls *tls;          /* borrowed until destroy; NULL: none */
    struct svc_access_log *access_log; /* borrowed until destroy; NULL: none */
    const char *host; /* an IP address; NULL: no listen socket */
    uint16_t port;    /* 0: any free one */
};

struct svc_http_figures {
    uint64_t connections;
    uint64_t connections_total;
    uint64_t refused;         /* connections: 503, there were too many */
    uint64_t head_timeouts;   /* connections cut: a head took too long */
    uint64_t body_timeouts;   /* the same of a body */
    uint64_t answer_timeouts; /* the same of a large answer's reader */
    uint64_t upload_bytes;    /* charged to the budget now */
    uint64_t upload_bytes_max;
    uint64_t answer_bytes; /* the same of answers */
    uint64_t answer_bytes_max;
};

/*
 * Binds, then starts the loops.
 *
 * Errors: IO (address in use, ...), INVALID_ARGUMENT, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
svc_http_server_start(const struct svc_http_options *options,
                      struct ldb_error *err, struct svc_http_server **out);

/* The port listened on; 0 without a listen socket. */
uint16_t svc_http_server_port(const struct svc_http_server *server);

/* Serves a connected stream socket, which it takes over also on failure. */
LDB_MUST_CHECK enum ldb_status
svc_http_server_add(struct svc_http_server *server, int socket,
                    struct ldb_error *err);

/*
 * Begins the end: no connection is accepted any more, accepted requests go
 * on, their connections are closed after the answer. svc_http_server_done()
 * tells when none is left.
 */
void svc_http_server_drain(struct svc_http_server *server);

/* A descriptor that becomes readable once all loops have drained. */
int svc_http_server_done_fd(const struct svc_http_server *server);
bool svc_http_server_done(const struct svc_http_server *server);

/*
 * The database is to go: each loop cuts, soon, the streams of its answers that
 * hold it and have not ended by themselves. Their clients see a connection that
 * ends too early.
 */
void svc_http_server_cut_streams(struct svc_http_server *server);

/*
 * Cuts what is left and ends the loops. Exchanges whose work is still under
 * way elsewhere stay until destroy.
 */
void svc_http_server_stop(struct svc_http_server *server);

/* Stopped, and the database closed: nothing wakes an exchange any more. */
void svc_http_server_destroy(struct svc_http_server *server);

void svc_http_server_figures(const struct svc_http_server *server,
                             struct svc_http_figures *out);

#endif
