/*
 * One HTTP exchange as a handler sees it: the request, and how to answer. The
 * HTTP library is on the other side of this header: service/ implements it on
 * libmicrohttpd, tests implement it in memory.
 *
 * Life of an exchange, all on its loop's thread but api_exchange_wake():
 *   1. route->begin(x)   headers are here, the body is not (and 100-continue
 *                        is not sent): refuse now, or return to go on.
 *   2. body bytes are collected by the service into x->body up to the limit
 *                        that begin set (x->body_limit), or refused 413.
 *      A body that begin wants in pieces (x->body_window) may have any length:
 *      route->take(x)    each time x->body has that many bytes or more: takes
 *                        what it uses out of it, and says x->wants_body, or
 *                        answers, or waits as in 4 with resume to follow.
 *      route->refuse(x)  no more of the body can be taken: answers, or waits
 *                        first; before the first take it answers. Routes
 *                        without it have done nothing yet: the problem is
 *                        the answer.
 *   3. route->finish(x)  the body is whole. Answer (api_answer_*), or start
 *                        work and return without an answer: x is waiting.
 *   4. whoever ends the work calls api_exchange_wake(x), once per wait, from
 *                        any thread; then route->resume(x) runs on the loop:
 *                        answer, or wait again.
 *   5. route->abandon(x) the exchange ends (answered, or the client left):
 *                        frees what the handler holds in x->state. While x
 *                        waits for work that will call wake, the service
 *                        keeps x alive until it has and calls abandon then.
 *
 * Of a route with .database, take, finish and resume run inside the gate
 * (db_gate.h) and begin does not: it uses nothing of the database. x is out
 * again with its answer, so a handler that has answered holds nothing of it
 * either, but in a stream.
 *
 * Nothing here blocks. Slices of the request are valid until abandon.
 */
#ifndef API_EXCHANGE_H
#define API_EXCHANGE_H

#include <string.h>

#include "storage/base/arena.h"
#include "storage/include/ldb.h"

struct api_context; /* the application: api/context.h */
struct api_problem;
struct api_token;
struct api_tokens;
struct api_exchange;
struct api_route;

enum api_method {
    API_GET,
    API_HEAD,
    API_PUT,
    API_POST,
    API_DELETE,
    API_METHOD_OTHER, /* 405 everywhere */
};

/* No Content-Length was sent (chunked body, or none). */
#define API_LENGTH_UNKNOWN UINT64_MAX

/* A header to send. name is a literal, value NUL-terminated. */
struct api_header {
    const char *name;
    const char *value;
    struct api_header *next;
};

/* A body produced piece by piece, as fast as the client takes it. */
struct api_stream_ops {
    /*
     * Writes up to max bytes into out and returns how many; 0: the end;
     * API_STREAM_FAILED: cut the connection, so that the client sees it;
     * API_STREAM_WAIT: nothing yet, and somebody calls api_exchange_wake(x),
     * once, when it is to be asked again; API_STREAM_YIELD: nothing yet after a
     * while of work: it is asked again once other connections had their turn.
     * Loop's thread; may read files, must not wait itself.
     */
    int64_t (*read)(void *stream, uint8_t *out, size_t max);
    /* Also ends a wait: nobody wakes the exchange once it has returned. */
    void (*destroy)(void *stream);
    /* It holds and reads nothing of the database. */
    bool is_detached;
};
#define API_STREAM_FAILED ((int64_t)-1)
#define API_STREAM_WAIT   ((int64_t)-2)
#define API_STREAM_YIELD  ((int64_t)-3)

enum api_body_kind {
    API_BODY_NONE,   /* no bytes (HEAD gives content_length all the same) */
    API_BODY_STATIC, /* bytes that outlive the exchange */
    API_BODY_BUF,    /* an ldb_buf that the service takes over */
    API_BODY_STREAM, /* chunked, unless its length is known */
};

/* The answer; filled through the api_answer_* functions of api/response.h. */
struct api_response {
    bool ready;
    unsigned status;
    const char *content_type;   /* stays as long as x; NULL: none */
    struct api_header *headers; /* in the order they are sent */
    enum api_body_kind body_kind;
    struct ldb_slice static_body;
    struct ldb_buf body;
    const struct api_stream_ops *stream_ops;
    void *stream;
    uint64_t stream_length; /* bytes of it in all, or API_LENGTH_UNKNOWN */
    uint64_t head_length;   /* HEAD: the Content-Length to announce, or
                               API_LENGTH_UNKNOWN */
    bool close;             /* close the connection after it */
};

struct api_exchange_ops {
    /*
     * The request header of that name (case-insensitive), or {NULL, 0}. Sent
     * more than once: the first; count tells how often (NULL: not asked). See
     * api_exchange_header().
     */
    struct ldb_slice (*header)(struct api_exchange *x, const char *name,
                               unsigned *out_count);
    /* See step 4. Any thread. */
    void (*wake)(struct api_exchange *x);
};

/* api/sequence_wait.h; the links are guarded by the waits' lock. */
struct api_sequence_wait {
    ldb_sequence wanted;                  /* 0: none */
    uint64_t deadline_us;                 /* monotonic */
    void (*then)(struct api_exchange *x); /* NULL: x does not wait for it */
    bool is_linked;
    struct api_exchange *previous;
    struct api_exchange *next;
};

struct api_exchange {
    /* ---- set by the service before begin ---- */
    const struct api_exchange_ops *ops;
    struct api_context *context;
    enum api_method method;
    const char *method_text;
    struct ldb_slice raw_path;  /* as sent, percent-encoded, without query */
    struct ldb_slice raw_query; /* after '?', without it; empty when none */
    uint64_t content_length;    /* or API_LENGTH_UNKNOWN */
    uint64_t started_us;        /* monotonic */
    unsigned loop;              /* index of the one that serves it */
    uint32_t header_marks;      /* api_header_mark()s of all its headers */
    struct ldb_arena *arena;    /* dies with the exchange */

    /* ---- set by begin, through the router ---- */
    const struct api_route *route;
    const struct api_route *handlers; /* route, or who stands for it */
    struct ldb_slice raw_rest;     /* of raw_path, after the route's prefix */
    struct api_tokens *tokens;     /* the set that token is of; NULL: none */
    const struct api_token *token; /* whose request it is; NULL: anybody's */
    size_t body_limit;             /* bytes; 0: a body is refused with 413 */
    size_t body_window;            /* 0: the body is taken whole; else in pieces
                                      of about so many bytes; body_limit is then
                                      of what lies in x->body */
    struct api_sequence_wait sequence_wait;
    bool is_inside; /* the gate: the router's, handlers may look */
    bool is_over;   /* the handler's abandon was called */

    /* ---- filled by the service before finish ---- */
    struct ldb_buf body;

    /* ---- the handler's ---- */
    void *state;
    bool wants_body; /* take, resume: neither answered nor waiting, the body
                        goes on; the service clears it before the call */
    struct api_response response;
};

/*
 * A bit for a header's name, by its length and its first letter in either case.
 * Chosen: what clients send most seldom has that of a name that we ask for.
 */
static inline uint32_t api_header_mark(const char *name, size_t name_len)
{
    size_t letter = (unsigned char)name[0] % 32;

    return UINT32_C(1) << ((name_len + letter * 12) % 32);
}

/*
 * The same as x->ops->header(x), which is not called where no header can have
 * that name: most of what is asked for was not sent.
 */
static inline struct ldb_slice api_exchange_header(struct api_exchange *x,
                                                   const char *name,
                                                   unsigned *out_count)
{
    if (LDB_UNLIKELY((x->header_marks & api_header_mark(name, strlen(name))) !=
                     0))
        return x->ops->header(x, name, out_count);
    if (out_count != NULL)
        *out_count = 0;
    return (struct ldb_slice){0};
}

/* Shorthand for x->ops->wake(x). */
static inline void api_exchange_wake(struct api_exchange *x)
{
    x->ops->wake(x);
}

/* ---- what the service calls (api/router.c) ---- */

/*
 * Step 1: finds the route, checks method (405 with Allow) and path (404),
 * calls its begin. Afterwards x->response.ready tells whether x is answered.
 */
void api_exchange_begin(struct api_exchange *x);
/* Step 2. refuse: problem says why; x->body is as before. */
void api_exchange_take(struct api_exchange *x);
void api_exchange_refuse(struct api_exchange *x,
                         const struct api_problem *problem);
/* Steps 3, 4, 5. */
void api_exchange_finish(struct api_exchange *x);
void api_exchange_resume(struct api_exchange *x);
void api_exchange_abandon(struct api_exchange *x);

/*
 * The service has destroyed the stream of x's answer: it has come to its end,
 * or is cut because the gate closes. The handler lets go of what it has, and x
 * comes out; abandon follows all the same.
 */
void api_exchange_end_stream(struct api_exchange *x);

/*
 * After each pass of a loop over its connections: commits what the pass's
 * handlers queued (ldb_write_drive). Cheap when nothing was.
 */
void api_pass_end(struct api_context *context);

#endif
