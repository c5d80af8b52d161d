/*
 * Sends requests of clients to another node, many at once, from one thread:
 * any method, a body in pieces, the answer whole. Implemented on libcurl
 * (forwarder_http.h); tests give answers of their own.
 *
 *     f->ops->begin(f, &request, &err, &forward)
 *     for each piece of the body: repl_forward_give(), wait for wake, and
 *     repl_forward_step() until it says MORE
 *     repl_forward_end(), wait for wake, repl_forward_step(): OVER
 *     repl_forward_outcome()
 *     repl_forward_close()
 *
 * The answer may come before the body's end: then a step says OVER early.
 * A request is sent once, whatever happens to its connection.
 *
 * Thread-safety: a forwarder is any thread's, but end and destroy; of one
 * forward one caller at a time.
 */
#ifndef REPLICATION_FORWARDER_H
#define REPLICATION_FORWARDER_H

#include "storage/base/buf.h"

struct repl_forwarder;

struct repl_forward_header {
    const char *name;
    struct ldb_slice value;
};

#define REPL_FORWARD_HEADERS_MAX 16

/* All is copied by begin. */
struct repl_forward_request {
    const char *url;         /* of the node, without a path */
    const char *method;      /* "PUT" */
    struct ldb_slice target; /* "/v1/kv/a?sync=false", as the client sent it */
    struct repl_forward_header headers[REPL_FORWARD_HEADERS_MAX];
    size_t header_count;
    bool has_body;
    uint64_t body_len; /* UINT64_MAX: not known */
    /*
     * Once for each give() or end() that said WAITS: step() has something to
     * say. Any thread; must not wait or call the forwarder.
     */
    void (*wake)(void *context);
    void *context;
};

enum repl_forward_step {
    REPL_FORWARD_WAITS, /* wake is called */
    REPL_FORWARD_MORE,  /* the piece is used up: the next one, or the end */
    REPL_FORWARD_OVER,  /* outcome() tells how it ended */
};

enum repl_forward_outcome {
    REPL_FORWARD_ANSWERED,
    REPL_FORWARD_NOT_SENT, /* no byte of it: nothing was done there */
    REPL_FORWARD_UNKNOWN,  /* sent, at least in part; no whole answer came */
};

struct repl_forward_answer {
    unsigned status;
    struct ldb_buf headers; /* "name: value\n" each, names in lower case */
    struct ldb_buf body;
};

/* One request on its way; the first member of an implementation's own. */
struct repl_forward {
    struct repl_forwarder *forwarder;
};

struct repl_forwarder_ops {
    /* Errors: STALLED: as many as there may be are under way; CLOSED: ended;
     * INVALID_ARGUMENT: the URL; NO_MEMORY. */
    enum ldb_status (*begin)(struct repl_forwarder *f,
                             const struct repl_forward_request *request,
                             struct ldb_error *err, struct repl_forward **out);
    /* Takes the bytes of piece over, and leaves it empty. */
    enum repl_forward_step (*give)(struct repl_forward *forward,
                                   struct ldb_buf *piece);
    /* The body is whole; of a request without one: send it. */
    enum repl_forward_step (*end)(struct repl_forward *forward);
    enum repl_forward_step (*step)(struct repl_forward *forward);
    /*
     * Of one that is OVER. error: why it was not answered. *out is the answer,
     * whose body the caller may take; it goes with close.
     */
    enum repl_forward_outcome (*outcome)(struct repl_forward *forward,
                                         struct ldb_error *error,
                                         struct repl_forward_answer **out);
    /* Cuts it when it is under way. No wake is called once this has returned.
     */
    void (*close)(struct repl_forward *forward);
};

struct repl_forwarder {
    const struct repl_forwarder_ops *ops;
};

/* Shorthands. */
static inline enum repl_forward_step
repl_forward_give(struct repl_forward *forward, struct ldb_buf *piece)
{
    return forward->forwarder->ops->give(forward, piece);
}

static inline enum repl_forward_step
repl_forward_end(struct repl_forward *forward)
{
    return forward->forwarder->ops->end(forward);
}

static inline enum repl_forward_step
repl_forward_step(struct repl_forward *forward)
{
    return forward->forwarder->ops->step(forward);
}

static inline enum repl_forward_outcome
repl_forward_outcome(struct repl_forward *forward, struct ldb_error *error,
                     struct repl_forward_answer **out)
{
    return forward->forwarder->ops->outcome(forward, error, out);
}

static inline void repl_forward_close(struct repl_forward *forward)
{
    forward->forwarder->ops->close(forward);
}

#endif
