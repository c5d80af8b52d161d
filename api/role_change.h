/*
 * POST /v1/admin/promote, /demote, /handover: what the service does for them
 * (service/node_run.h), as api/ calls it. Each runs as a task, on its thread.
 *
 * Thread-safety: ops: any thread.
 */
#ifndef API_ROLE_CHANGE_H
#define API_ROLE_CHANGE_H

#include "api/exchange.h"
#include "replication/protocol.h"

/* What a change is asked to do. Texts are NUL-terminated. */
struct api_role_request {
    bool force; /* promote: although the old leader does not answer */
    /* demote: whom to follow, "": nobody yet; handover: the follower's URL or
     * node id. */
    char to[REPL_URL_SIZE];
    /* The client's, for the other node; "": none. */
    char authorization[512];
    uint64_t timeout_us; /* handover: for the follower to catch up */
};

/* The node after it. */
struct api_role_result {
    enum repl_role role;
    uint64_t epoch;
    ldb_sequence sequence;
};

/*
 * Errors: INVALID_ARGUMENT; PRECONDITION: not possible in this role or state
 * (nothing has changed); STALLED: another change is under way, or the follower
 * did not catch up in time (nothing has changed); OUTCOME_UNKNOWN: the other
 * node did not say whether it leads; CLOSED: the server stops; those of closing
 * and opening a database.
 */
struct api_role_ops {
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
};

void api_promote_finish(struct api_exchange *x);
void api_demote_finish(struct api_exchange *x);
void api_handover_finish(struct api_exchange *x);

#endif
