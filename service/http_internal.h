/*
 * What the http_*.c files share; private to them.
 *
 * An exchange has two owners: its connection (until the library says the
 * request is over) and whoever will wake it (between finish or resume without
 * an answer and the wake). The state says which is left; the last one gone
 * buries it, always on the loop's thread:
 *
 *     IDLE      the connection alone
 *     WAITING   both; its handler is asked again each pass
 *     SUSPENDED both; its connection is out of the passes
 *     ORPHAN    the waker alone: the client has left
 *     WOKEN     the wait is over; the connection alone, unless the exchange
 *               is still on the loop's list of woken ones
 *
 * Locking of struct svc_loop: constant after start: server, daemon, fds,
 * thread. Own synchronisation: add_mu with added. Atomics: woken (a stack,
 * release push, acquire pop), is_signaled (see svc_loop_signal), figures
 * (relaxed). All else belongs to the loop's thread.
 */
#ifndef SERVICE_HTTP_INTERNAL_H
#define SERVICE_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "api/context.h"
#include "api/exchange.h"
#include "api/problem.h"
#include "service/http_server.h"
#include "storage/base/mutex.h"

enum svc_wait_state {
    SVC_IDLE,
    SVC_WAITING,
    SVC_SUSPENDED,
    SVC_ORPHAN,
    SVC_WOKEN,
};

/* Where a request stands between two calls of its handler. */
enum svc_phase {
    SVC_PHASE_NEW,           /* the request line was read */
    SVC_PHASE_BODY,          /* begin was called */
    SVC_PHASE_PAUSED,        /* take was called; suspended until it is woken */
    SVC_PHASE_WAIT,          /* finish was called, no answer yet */
    SVC_PHASE_ANSWERED,      /* the library has the response */
    SVC_PHASE_STREAM_PAUSED, /* and its stream waits, suspended */
};

/* An open connection, as http_watch.c sees it. */
struct svc_connection {
    struct svc_loop *loop;
    int fd;
    void *credentials;      /* of TLS; NULL: none */
    struct svc_exchange *x; /* its request; NULL: no request line is whole */
    uint64_t since_us;      /* accepted, or the request before was over */
    uint64_t mark_us;       /* when mark_bytes of its body had come, or of its
                               answer been taken; 0: neither is looked at */
    uint64_t mark_bytes;
    uint64_t still_us;    /* since then nothing of it has moved, either way */
    uint64_t asked_us;    /* when that was last looked at */
    uint64_t moved_bytes; /* at that time, in all */
    bool has_ended;       /* at the last look: nothing more comes from it */
    uint64_t ended_bytes; /* of the body that had come by then */
    bool is_cut;
    struct svc_connection *prev;
    struct svc_connection *next;
};

struct svc_exchange {
    struct api_exchange api; /* first: cast back from it */
    struct svc_loop *loop;
    struct MHD_Connection *connection; /* NULL once it is gone */
    struct svc_connection *watched;    /* the same; NULL once it is gone */
    _Atomic(int) state;                /* enum svc_wait_state */
    enum svc_phase phase;
    bool is_suspended;             /* suspended in the library */
    bool drops_body;               /* answered: what still comes is not kept */
    bool began;                    /* api_exchange_begin() was called */
    uint64_t body_bytes;           /* of the body, taken so far */
    uint64_t dropped_bytes;        /* of it, read after it was refused */
    uint64_t charged_bytes;        /* to the upload budget */
    uint64_t charged_answer_bytes; /* to that of answers */
    uint64_t waiting_since_us;
    uint64_t answer_bytes;   /* of its body, given to the library */
    struct ldb_slice target; /* of the request line, whole */
    const char *request_id;  /* sent back; NULL: none */
    const char *client;      /* its address, where requests are logged */
    struct svc_stream *stream;
    struct ldb_arena arena; /* like kept, of all the requests it has had */
    struct svc_kept *kept;  /* NULL: none yet */
    struct svc_exchange *next_woken;
    struct svc_exchange *next_free;
    struct svc_exchange *prev_suspended;
    struct svc_exchange *next_suspended;
};

/* Big body buffers a loop keeps for the next upload, and their sizes. */
#define SVC_SPARE_BUFFERS   8
#define SVC_SPARE_BYTES_MIN ((size_t)64 << 10)
#define SVC_SPARE_BYTES_MAX ((size_t)2 << 20)
/* Exchanges a loop keeps; chosen: well above a busy loop's. */
#define SVC_FREE_EXCHANGES_MAX 1024

struct svc_loop {
    struct svc_http_server *server;
    struct MHD_Daemon *daemon;
    int epoll_fd; /* the daemon's */
    int event_fd;
    struct ldb_thread *thread;

    struct ldb_mutex add_mu;
    int *added; /* sockets to serve; guarded by add_mu */
    size_t added_count;
    size_t added_capacity;

    _Atomic(struct svc_exchange *) woken;
    atomic_bool is_signaled;
    _Atomic(uint64_t) connections; /* given to it and not yet closed */
    _Atomic(uint64_t) connections_total;

    /* ---- the loop's thread ---- */
    uint64_t pass_us;   /* the clock at the pass's begin */
    uint64_t looked_us; /* the same when connections were last looked at */
    struct svc_connection *connected;
    uint64_t progress;  /* grows whenever something moved */
    uint64_t arrivals;  /* of that: what came in and was taken */
    unsigned cuts_seen; /* of the server's cuts */
    bool handlers_ran;  /* in this pass: finish or resume */
    bool wants_trim;    /* large answers were many, and are gone */
    bool is_draining;
    uint64_t closed; /* connections */
    size_t active;   /* exchanges with a connection */
    size_t waiting;  /* of them in PHASE_WAIT and not suspended */
    size_t orphans;
    struct svc_exchange *suspended;
    struct svc_exchange *free_list;
    size_t free_count;
    struct ldb_buf spare[SVC_SPARE_BUFFERS];
    size_t spare_count;
    uint64_t request_id_state; /* of the ids that it makes */
};

enum svc_server_phase {
    SVC_SERVING,
    SVC_DRAINING,
    SVC_STOPPING,
};

struct svc_http_server {
    struct svc_http_options options;
    uint16_t port;
    int listen_fd;      /* -1: none */
    int accept_stop_fd; /* readable: the acceptor ends */
    struct ldb_thread *acceptor;
    int done_fd;
    _Atomic(int) phase;     /* enum svc_server_phase */
    _Atomic(unsigned) cuts; /* asked for; release, acquire by the loops */
    _Atomic(uint64_t) upload_used;  /* bytes of the budget; relaxed */
    _Atomic(uint64_t) answers_used; /* the same of answers */
    _Atomic(uint64_t) answers_most; /* at once, since the last trim; relaxed */
    /* Connections refused or cut, as in svc_http_figures; relaxed. */
    _Atomic(uint64_t) refused;
    _Atomic(uint64_t) head_timeouts;
    _Atomic(uint64_t) body_timeouts;
    _Atomic(uint64_t) answer_timeouts;
    _Atomic(unsigned) drained; /* loops that have ended */
    unsigned loop_count;
    struct svc_loop loops[];
};

/* ---- http_server.c ---- */

/* Makes the loop's thread look again soon; any thread. */
void svc_loop_signal(struct svc_loop *loop);

/* Connections given to it, or to all, and not yet closed; any thread. */
uint64_t svc_loop_connections(const struct svc_loop *loop);
uint64_t svc_server_connections(const struct svc_http_server *server);

/* The loop with the fewest. */
struct svc_loop *svc_server_fewest(struct svc_http_server *server);

/* Serves a connected stream socket, which it takes over also on failure; any
 * thread. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status svc_loop_add(struct svc_loop *loop, int socket,
                                            struct ldb_error *err);

/* ---- http_acceptor.c ---- */

/* Binds and listens: sets listen_fd and port. */
LDB_MUST_CHECK enum ldb_status
svc_acceptor_listen(struct svc_http_server *server, struct ldb_error *err);
/* Starts the thread that accepts. */
LDB_MUST_CHECK enum ldb_status
svc_acceptor_start(struct svc_http_server *server, struct ldb_error *err);
/* Ends it; new connections are refused from now on. */
void svc_acceptor_stop(struct svc_http_server *server);

/* ---- http_placement.c: which loop serves a new connection ---- */

/* Processors whose runs are told apart; chosen. */
#define SVC_PLACEMENT_RUNS 64

/* Connections that came by one processor in a row. */
struct svc_run {
    struct svc_loop *loop;
    unsigned left; /* more that may join it; 0: there is no run */
    uint64_t last_us;
};

/* The acceptor's thread. Zeroed, with server: nothing came yet. */
struct svc_placement {
    struct svc_http_server *server;
    struct svc_run runs[SVC_PLACEMENT_RUNS];
};

/* The loop for a connection from this machine, which came by this processor
 * now; cpu negative: from elsewhere. */
struct svc_loop *svc_placement_choose(struct svc_placement *placement, int cpu,
                                      uint64_t now_us);

/* ---- http_watch.c: what is too slow is cut ---- */

/* For the daemon's option NOTIFY_CONNECTION; cls: the loop. */
void svc_watch_on_connection(void *cls, struct MHD_Connection *connection,
                             void **context,
                             enum MHD_ConnectionNotificationCode code);

/* The request line of x is whole; x is over. */
void svc_watch_begin(struct svc_exchange *x, struct MHD_Connection *connection);
void svc_watch_end(struct svc_exchange *x);

/* Shuts the connection down: the library sees it as the client's doing. */
void svc_watch_cut(struct svc_connection *c);

/* Once a pass: looks at the loop's connections when it is time to. */
void svc_watch_look(struct svc_loop *loop);

/* Milliseconds until then; -1: there are no connections. */
int svc_watch_wait_ms(const struct svc_loop *loop);

/* ---- http_head.c ---- */

/* What the headers say of the message's form; slices as the library's. */
struct svc_head {
    const char *next;    /* where the next header begins; NULL: not there */
    uint32_t name_marks; /* of all */
    bool is_bad_name;    /* no token, as of "Content-Length : 7" */
    bool has_control;    /* in a header's value */
    unsigned hosts;
    unsigned lengths;
    unsigned encodings;
    bool lengths_differ;
    bool expects_continue;
    unsigned request_ids;
    struct ldb_slice request_id;
    struct ldb_slice length;
    struct ldb_slice encoding;
};

/*
 * Of x's request, whose method, url and version are the library's own strings,
 * in its buffer.
 */
struct svc_head svc_head_read(const struct svc_exchange *x, const char *method,
                              const char *url, const char *version);

/* What is wrong with the head as a whole; NULL: nothing. */
const char *svc_head_judge(const struct svc_exchange *x,
                           const struct svc_head *head, const char *version);

/* Path and query of a copy of the request's target. */
void svc_head_split_target(struct svc_exchange *x, struct ldb_slice target);
/* Keeps the library from taking the query of its target apart. */
void svc_head_hide_query(const char *uri, size_t len);

enum api_method svc_head_method(const char *text);
/* "other" of any that we do not know. */
const char *svc_head_method_text(enum api_method method);

/* ---- http_log.c ---- */

/*
 * Gives x the request id that the client sent, when it is sane, or where
 * requests are logged one of our own, to be sent back; and there the client's
 * address. False: no memory.
 */
LDB_MUST_CHECK bool svc_request_identify(struct svc_exchange *x,
                                         const struct svc_head *head);

/* x is over: its line in the access log, where there is one. */
void svc_request_log(const struct svc_exchange *x);

/* ---- http_body.c ---- */

/* Room for a body of x's length; answers when there is none. */
void svc_body_prepare(struct svc_exchange *x);

/* The next bytes into x's body. False: problem says why they are not taken. */
LDB_MUST_CHECK bool svc_body_keep(struct svc_exchange *x,
                                  struct ldb_slice bytes,
                                  struct api_problem *problem);

/* So many bytes of a refused body were dropped. False: no answer can be given
 * in the middle of a body, and that is too many; close the connection. */
LDB_MUST_CHECK bool svc_body_skip(struct svc_exchange *x, size_t len);

/* x was answered before its body was whole: what still comes is dropped. */
void svc_body_refuse(struct svc_exchange *x);

/* The buffer goes back to the loop when it is worth keeping. */
void svc_body_drop(struct svc_exchange *x);

/* Gives back what x had of the upload budget. */
void svc_body_discharge(struct svc_exchange *x);

/* Takes more bytes of a budget; false: there is not so much left. */
LDB_MUST_CHECK bool svc_budget_take(_Atomic(uint64_t) *used, uint64_t limit,
                                    uint64_t more);

/* ---- http_exchange.c: callbacks of the library ---- */

/* cls: the loop. */
void *svc_exchange_on_uri(void *cls, const char *uri,
                          struct MHD_Connection *connection);
enum MHD_Result svc_exchange_on_call(void *cls,
                                     struct MHD_Connection *connection,
                                     const char *url, const char *method,
                                     const char *version, const char *bytes,
                                     size_t *len, void **context);
void svc_exchange_on_completed(void *cls, struct MHD_Connection *connection,
                               void **context,
                               enum MHD_RequestTerminationCode code);

/* x's stream has nothing to give: suspends it until it is woken. False: that
 * has happened already. */
LDB_MUST_CHECK bool svc_exchange_pause_stream(struct svc_exchange *x);

/* The reader of c's stream, which waits, has gone: ends both. */
void svc_exchange_reader_left(struct svc_connection *c);

/* Cuts the streams of the loop's connections that hold the database. */
void svc_exchange_cut_streams(struct svc_loop *loop);

/* Resumes or buries what was woken while out of the passes. */
void svc_exchange_take_woken(struct svc_loop *loop);
/* Before the daemon is stopped: none may be suspended then. */
void svc_exchange_resume_all(struct svc_loop *loop);
/* After the daemon was stopped: frees the loop's stores. */
void svc_exchange_free_stores(struct svc_loop *loop);

/* ---- http_kept.c ---- */

/*
 * A response with x's answer, which has no body or one in a buffer, and goes
 * out without "Connection: close". It is lent until x is used again. NULL: it
 * cannot be had so, for want of memory or for its headers.
 */
struct MHD_Response *svc_kept_take(struct svc_exchange *x);
/* What an exchange kept, with it. */
void svc_kept_destroy(struct svc_kept *kept);

/* ---- http_reply.c ---- */

/*
 * Gives x's answer to the library. False: no memory; the connection is then
 * to be closed.
 */
LDB_MUST_CHECK bool svc_reply_queue(struct svc_exchange *x);
/* Ends x's stream, when one runs: the client sees a cut. */
void svc_reply_end_early(struct svc_exchange *x);
/* Ends x's stream when one runs that is not detached: the client sees a cut.
 * False: there is none. */
bool svc_reply_cut(struct svc_exchange *x);
/* The request is over: the stream, when one runs, is ended now, and what the
 * answer had of its budget is given back. */
void svc_reply_end(struct svc_exchange *x);

#endif
