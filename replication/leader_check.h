/*
 * Whether a node is one to follow, and whether what we have is a past of what
 * it has: compare.h, with all that it asks for.
 *
 * Thread-safety: functions of their arguments; a transport is the caller's.
 */
#ifndef REPLICATION_LEADER_CHECK_H
#define REPLICATION_LEADER_CHECK_H

#include "replication/compare.h"
#include "replication/follow_session.h"
#include "replication/transport.h"

struct ldb_db;

/* It leads, has a history, and is of that cluster (NULL or "": of any). Errors:
 * PRECONDITION. */
LDB_MUST_CHECK enum ldb_status
repl_leader_check_role(const struct repl_state *theirs, const char *cluster_id,
                       struct ldb_error *err);

struct repl_leader_check {
    struct ldb_env *env; /* all is borrowed for the call */
    const char *dir;
    const struct ldb_comparator *comparator; /* NULL: bytewise */
    /* The twin, which takes nothing meanwhile. NULL: the folder is closed, and
     * is read; identity and history are those in it. */
    struct ldb_db *twin;
    const struct repl_identity *identity; /* NULL: there is none */
    const struct repl_epoch_history *history;
    struct repl_transport *transport; /* to the node */
};

/* Errors: those of holdings.h and likeness.h. */
LDB_MUST_CHECK enum ldb_status
repl_leader_check_run(const struct repl_leader_check *check,
                      const struct repl_state *theirs, struct ldb_error *err,
                      struct repl_verdict *out);

/*
 * A session with that node has ended so since, which makes a verdict to stream
 * one to rebuild: BEHIND: CONTAINED; DIFFERS: UNKNOWN. Any other end: as it is.
 */
void repl_leader_check_doubt(enum repl_session_end end, const char *why,
                             struct repl_verdict *verdict);

#endif
