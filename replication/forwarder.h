/*
 * Sends requests of clients to another node, many at once, from one thread:
 * any method, a body in pieces, the answer whole. Implemented on libcurl
 * (forwarder_http.h); tests give an answer of their own.
 *
 * A request is sent once, whatever happens to its connection.
 *
 * Thread-safety: any thread; of one forward one caller at a time.
 */
#ifndef REPLICATION_FORWARDER_H
#define REPLICATION_FORWARDER_H

#include "storage/base/buf.h"

struct repl_forward;
struct repl_forwarder;

struct repl_forward_header {
    const char *name;
    struct ldb_slice value;
};

#define REPL_FORWARD_HEADERS_MAX 16

/* Copied by begin. */
struct repl_forward_request {
    const char *url;         /* of the node, without a path */
    const char *method;      /* "PUT" */
    struct ldb_slice target; /* "/v1/kv/a?sync=false", as the client sent it */
    struct repl_forward_header headers[REPL_FORWARD_HEADERS_MAX];
    size_t header_count;
    bool has_body;
    uint64_t body_len; /* UINT64_MAX: not known */
    /*
     * Something has happened that the caller waits for: a piece of the body is
     * used up, or there is an answer. Any thread, no lock held. Once for each
     * give() or end() that said WAITS.
     */
    void (*wake)(void *context);
    void *context;
};

enum repl_forward_step {
    REPL_FORWARD_WAITS, /* wake will be called */
    REPL_FORWARD_MORE,  /* the piece is used up: the next one, or the end */
    REPL_FORWARD_OVER,  /* there is an answer, or none will come: outcome() */
};

enum repl_forward_outcome {
    REPL_FORWARD_ANSWERED,
    REPL_FORWARD_NOT_SENT, /* no byte of it: nothing was done there */
    REPL_FORWARD_UNKNOWN,  /* sent, at least in part; no whole answer came */
};

struct repl_forward_answer {
    unsigned status;
    struct ldb_buf headers; /* "Name: value\n" each, names in lower case */
    struct ldb_buf body;
};

struct repl_forwarder_ops {
    /* Errors: NO_MEMORY; STALLED: as many as there may be are under way. */
    enum ldb_status (*begin)(struct repl_forwarder *f,
                             const struct repl_forward_request *request,
                             struct ldb_error *err, struct repl_forward **out);
    /* Takes the bytes of piece over, and leaves it empty. Not after WAITS
     * before its wake. */
    enum repl_forward_step (*give)(struct repl_forward *forward,
                                   struct ldb_buf *piece);
    /* The body is whole; without one, the request is. */
    enum repl_forward_step (*end)(struct repl_forward *forward);
    /* After a wake: where it stands. */
    enum repl_forward_step (*step)(struct repl_forward *forward);
    /* Of one that is OVER; *out is the forward's until close. error: why. */
    enum repl_forward_outcome (*outcome)(
        struct repl_forward *forward, struct ldb_error *error,
        const struct repl_forward_answer **out);
    /* Cuts it when it is under way. No wake comes once this has returned. */
    void (*close)(struct repl_forward *forward);
};

struct repl_forwarder {
    const struct repl_forwarder_ops *ops;
};

#endif
