/*
 * What a follower (follower.h) is made with, and what it asks of its owner.
 *
 * Thread-safety: plain values.
 */
#ifndef REPLICATION_FOLLOWER_OPTIONS_H
#define REPLICATION_FOLLOWER_OPTIONS_H

#include "replication/compare.h"
#include "replication/node.h"
#include "replication/repl_stats.h"
#include "replication/transport.h"

/* What the owner is asked for. */
struct repl_rebuild {
    /* The twin has stopped after a failed sync or cut: to be closed and opened
     * again is enough; verdict and leader say nothing. */
    bool is_reopen;
    /* Else for twin_build.h; of the folder when there is no twin, whose kind
     * then may be any that can be followed. */
    struct repl_verdict verdict;
    const struct repl_state *leader; /* as it was told just now */
};

struct repl_follower_options {
    struct ldb_env *env; /* borrowed until destroy, as is peer */
    /*
     * Loaded; its identity and history are the follower's until stop. A folder
     * without an identity gets one before the first byte: the leader's cluster
     * id, and the node id that node has there already, or "": a fresh one.
     */
    struct repl_node *node;
    /* Open as a twin, borrowed until stop or until a rebuild gives another.
     * NULL: there is none, a rebuild comes first. */
    struct ldb_db *db;
    const struct ldb_comparator *comparator; /* the twin's; NULL: bytewise */
    struct repl_peer *peer;                  /* the leader */
    /* The leader has to be of it, whatever the folder says: else nothing of it
     * is taken. NULL or "": of any. Borrowed until destroy. */
    const char *cluster_id;
    const char *url; /* ours, as others reach it; "": none. Copied */

    /*
     * Makes a twin that can follow, on the follower's own thread, which uses
     * neither database nor node meanwhile. *out is the twin that there is
     * (NULL: none), and tells after it, OK or not, which there is now; not OK,
     * it is asked for again after a pause. Ends soon, with CANCELLED, after
     * cancel_rebuild(). It stores the leader's epochs by itself before the
     * folder has bytes of them; node is as if loaded anew when it returns.
     */
    enum ldb_status (*rebuild)(void *context, const struct repl_rebuild *what,
                               struct ldb_error *err, struct ldb_db **out);
    void (*cancel_rebuild)(void *context);
    /* Readers see up to this sequence now. After each piece of a journal: be
     * short. Of two threads: a lower one may come late. NULL: nobody. */
    void (*on_applied)(void *context, ldb_sequence sequence);
    /* The history that was accepted, durable, before its first byte; borrowed.
     * Not OK: it is as if it could not be stored. NULL: nobody is told. */
    enum ldb_status (*on_epoch)(void *context,
                                const struct repl_epoch_history *history,
                                struct ldb_error *err);
    /* For the log: a state begins; why is "" where nothing is wrong. NULL. */
    void (*on_state)(void *context, enum repl_follower_state state,
                     const char *why);
    void *context;

    /* 0: the default. */
    uint64_t ack_us;         /* between acks when nothing is new; 1 s */
    uint64_t busy_ack_us;    /* and when we are behind; 100 ms */
    uint64_t ack_gap_us;     /* between any two, where no write waits; 10 ms */
    uint64_t sync_us;        /* a byte is durable after, at most; 100 ms */
    uint64_t watchdog_us;    /* silence of a stream that lacks bytes; 10 s */
    uint64_t backoff_us;     /* the first WAITING; 100 ms */
    uint64_t backoff_max_us; /* doubled up to; 5 s */
};

/* Puts the default where a time is 0. */
void repl_follower_options_complete(struct repl_follower_options *options);

#endif
