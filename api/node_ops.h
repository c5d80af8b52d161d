/*
 * The node behind the server, as handlers ask it: to change its role, how it
 * follows. Implemented by service/ (node_run.h), and by tests.
 *
 * Thread-safety: any thread; but for the changes nothing here waits.
 */
#ifndef API_NODE_OPS_H
#define API_NODE_OPS_H

#include "api/exchange.h"
#include "replication/protocol.h"
#include "replication/repl_stats.h"
#include "replication/twin_build.h"

/* Bytes of a client's Authorization that goes with a handover, with its NUL. */
#define API_AUTHORIZATION_SIZE 4200

/* What a change is asked to do. Texts are NUL-terminated. */
struct api_role_request {
    /* promote: although the old leader does not answer; demote: what diverged
     * may be set aside when its files cannot be compared. */
    bool force;
    /* demote: whom to follow, "": nobody yet; handover: the follower's URL or
     * node id. */
    char to[REPL_URL_SIZE];
    /* handover: the client's, for the other node; "": none. */
    char authorization[API_AUTHORIZATION_SIZE];
    uint64_t timeout_us; /* handover: for the follower to catch up */
};

/* The node after it. */
struct api_role_result {
    enum repl_role role;
    uint64_t epoch;
    ldb_sequence sequence;
};

/* How a node follows. */
struct api_following {
    struct repl_follower_stats stats;
    struct repl_lag lag;
    /* The folder is made anew now; else, what is said of it is of the last
     * time, zeros: there was none since it began to follow. */
    bool is_rebuilding;
    struct repl_build_figures rebuild;
    uint64_t rebuild_us; /* how long it took until now, or in all */
};

struct api_node_ops {
    /*
     * Each returns when it is done: on a task's thread.
     *
     * Errors: INVALID_ARGUMENT; PRECONDITION: not possible in this role or
     * state (nothing has changed); STALLED: another change is under way, or the
     * follower did not catch up in time (nothing has changed); OUTCOME_UNKNOWN:
     * the other node did not say whether it leads; CLOSED: the server stops;
     * those of closing and opening a database.
     */
    enum ldb_status (*promote)(void *node,
                               const struct api_role_request *request,
                               struct ldb_error *err,
                               struct api_role_result *out);
    enum ldb_status (*demote)(void *node,
                              const struct api_role_request *request,
                              struct ldb_error *err,
                              struct api_role_result *out);
    enum ldb_status (*handover)(void *node,
                                const struct api_role_request *request,
                                struct ldb_error *err,
                                struct api_role_result *out);
    /* Why it is not fit to serve in its role, for /readyz, with the gate open;
     * NULL: it is. */
    const char *(*reason)(void *node, struct api_problem *problem);
    /* False: it follows nobody now. */
    bool (*following)(void *node, struct api_following *out);
    /* What it says of itself at GET /v1/replication/state while it follows,
     * with the gate closed too while its folder is being made anew; into a
     * zeroed *out. STALLED: there is no database now for another reason, or
     * it begins to lead; PRECONDITION: it serves a folder read-only; those of
     * reading leveld/. */
    enum ldb_status (*state)(void *node, struct ldb_error *err,
                             struct repl_state *out);
};

#endif
