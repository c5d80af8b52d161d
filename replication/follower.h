/*
 * A follower: keeps a twin (storage/twin.h) at what its leader has, and tells
 * the leader how far it is. Made by who opened the twin; goes on by itself
 * through whatever happens to the leader, the network and the disk:
 *
 *     CONNECTING  asks for the leader's state
 *     COMPARING   is our folder a past of the leader's? It is: its epoch is
 *                 accepted, durably (R6)
 *     STREAMING   journals, edits and acks, a thread each (journal_pull.h,
 *                 edit_pull.h), until one of them fails
 *     REBUILDING  it is not, or the leader has no longer what comes next: the
 *                 owner makes the folder anew
 *     WAITING     until it is tried again: 0.1 s to 5 s, and in between when
 *                 the owner says so
 *     STOPPED     by the owner, or because people have to decide: another
 *                 cluster, an epoch that was begun twice (split brain)
 *
 * Killed at any point it goes on where the folder is. Whatever it takes is of
 * the epoch that was accepted, and of no lower one.
 *
 * Reads of the database go on in every state but where the owner's rebuild says
 * otherwise.
 *
 * Thread-safety: any thread, but create, stop and destroy: one. Callbacks run
 * on the follower's threads with no lock held, and call nothing of it but
 * repl_follower_stats().
 */
#ifndef REPLICATION_FOLLOWER_H
#define REPLICATION_FOLLOWER_H

#include "replication/compare.h"
#include "replication/node.h"
#include "replication/repl_stats.h"
#include "replication/transport.h"

struct repl_follower;

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
     * short. NULL: nobody is told. */
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
    uint64_t sync_us;        /* a byte is durable after, at most; 100 ms */
    uint64_t watchdog_us;    /* silence of a stream that lacks bytes; 10 s */
    uint64_t backoff_us;     /* the first WAITING; 100 ms */
    uint64_t backoff_max_us; /* doubled up to; 5 s */
};

/* Begins to follow. Errors: IO (threads), NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_follower_create(const struct repl_follower_options *options,
                     struct ldb_error *err, struct repl_follower **out);

/*
 * Returns when no thread of it runs and what was written is synced as far as
 * the disk lets us; then node and db are the caller's, *out_db being the twin
 * as it is now, NULL: none. Again: the same.
 */
void repl_follower_stop(struct repl_follower *follower, struct ldb_db **out_db);
/* Stopped before. NULL is fine. */
void repl_follower_destroy(struct repl_follower *follower);

void repl_follower_stats(struct repl_follower *follower,
                         struct repl_follower_stats *out);

/* Ends a WAITING: something has changed outside. */
void repl_follower_nudge(struct repl_follower *follower);

/*
 * Somebody leads under the last epoch of history now. OK: it is accepted,
 * durably, and from now on no byte of a lower one is taken (R6), whatever
 * streams; it was so before, too.
 *
 * Errors: those of repl_epoch_gate_accept(); STALLED: a rebuild is under way,
 * later again; CLOSED: stopped.
 */
LDB_MUST_CHECK enum ldb_status
repl_follower_accept(struct repl_follower *follower,
                     const struct repl_epoch_history *history,
                     struct ldb_error *err);

/*
 * Waits until all up to the sequence is synced here. Errors: STALLED: not
 * within timeout_us; CLOSED: it stopped.
 */
LDB_MUST_CHECK enum ldb_status
repl_follower_wait(struct repl_follower *follower, ldb_sequence sequence,
                   uint64_t timeout_us, struct ldb_error *err);

#endif
