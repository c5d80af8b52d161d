/*
 * How a node reaches another one: small calls, and files as bytes. Implemented
 * on libcurl (transport_http.h), and by tests in memory, where whatever can
 * happen on a network happens when they say so.
 *
 * Thread-safety: a peer is any thread's; a transport one thread's at a time,
 * but interrupt, which is any thread's.
 */
#ifndef REPLICATION_TRANSPORT_H
#define REPLICATION_TRANSPORT_H

#include "storage/base/digest.h"

struct repl_transport;

/* What came before the first byte of a file. */
struct repl_file_head {
    bool is_sealed; /* nothing is added to it any more */
    uint64_t size;  /* bytes of it that may be read now */
    /* Of whoever sends it, as he leads now: bytes are not taken unless these
     * are those of the state asked for before (a leader may have been started
     * anew since). 0: he did not say. */
    uint64_t epoch;
    uint64_t epoch_id;
    bool has_digest; /* of a sealed one, when it is known */
    struct ldb_digest digest;
};

/* A file, from a byte on. The functions run on the caller's thread. */
struct repl_get {
    const char *name; /* "000007.log", "MANIFEST-000004", "000009.ldb" */
    uint64_t from;
    uint64_t count; /* so many bytes at most; 0: all. Not with follow */
    /* Go on as it grows, until it is sealed or the connection ends; else up to
     * what there is. */
    bool follow;
    /* follow: no byte for so long is the end of the call, OK. 0: no limit. */
    uint64_t idle_us;
    /* Not OK: the call ends with that status. */
    enum ldb_status (*head)(void *context, const struct repl_file_head *head,
                            struct ldb_error *err);
    enum ldb_status (*bytes)(void *context, struct ldb_slice bytes,
                             struct ldb_error *err);
    /* Called when bytes came, and now there are no more at hand: before it
     * waits for others. NULL: not wanted. */
    enum ldb_status (*dry)(void *context, struct ldb_error *err);
    void *context;
};

struct repl_transport_ops {
    /*
     * GET of path (body.data NULL) or POST of a JSON body. The answer's body
     * goes into out (cleared; its limit bounds it) and its HTTP status into
     * out_http whatever it is: OK says that there was an answer.
     *
     * Errors: IO: no answer came, or not all of it; STALLED: nothing of it was
     * sent, nobody was there; TOO_LARGE; CANCELLED: interrupted; NO_MEMORY.
     */
    enum ldb_status (*call)(struct repl_transport *t, const char *path,
                            struct ldb_slice body, struct ldb_error *err,
                            struct ldb_buf *out, unsigned *out_http);
    /*
     * OK: the answer ended as it should; with follow that says not that the
     * file is sealed: ask for its head. What came was given to bytes, also when
     * it fails later.
     *
     * Errors: NOT_FOUND: no such file there (any more); INVALID_ARGUMENT: from
     * lies behind its end; IO: cut, refused, or silent for too long; CANCELLED;
     * those of the functions; NO_MEMORY.
     */
    enum ldb_status (*get)(struct repl_transport *t, const struct repl_get *get,
                           struct ldb_error *err);
    /* The head alone (HEAD). Errors: as get. */
    enum ldb_status (*head)(struct repl_transport *t, const char *name,
                            struct ldb_error *err, struct repl_file_head *out);
    /* A call under way ends soon, with CANCELLED, and so does each later one
     * at once. Any thread. */
    void (*interrupt)(struct repl_transport *t);
    void (*destroy)(struct repl_transport *t);
};

struct repl_transport {
    const struct repl_transport_ops *ops;
};

/* A node, of which any number of transports can be had at once. */
struct repl_peer {
    /* Errors: NO_MEMORY. Nothing is sent yet. */
    enum ldb_status (*open)(struct repl_peer *peer, struct ldb_error *err,
                            struct repl_transport **out);
    /* None of its transports is left. NULL: its maker's alone to do. */
    void (*destroy)(struct repl_peer *peer);
};

/* NULL is fine. */
static inline void repl_peer_destroy(struct repl_peer *peer)
{
    if (peer != NULL && peer->destroy != NULL)
        peer->destroy(peer);
}

/* A get's head, where it does not matter. */
static inline enum ldb_status repl_pass_head(void *context,
                                             const struct repl_file_head *head,
                                             struct ldb_error *err)
{
    (void)context;
    (void)head;
    (void)err;
    return LDB_OK;
}

#endif
