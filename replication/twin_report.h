/*
 * What a follower answers to GET /v1/replication/state: whom it follows, which
 * epochs it has accepted, and where its twin stands; so that others see who
 * leads, and an old leader what it may hand over.
 *
 * Thread-safety: a function of its arguments.
 */
#ifndef REPLICATION_TWIN_REPORT_H
#define REPLICATION_TWIN_REPORT_H

#include "replication/protocol.h"
#include "storage/include/ldb.h"

struct repl_twin_report {
    struct ldb_db *db; /* a twin; NULL: the folder is being made anew, or was
                          never whole, and stands nowhere */
    struct ldb_env *env;
    const struct ldb_options *engine; /* that it was opened with */
    const struct repl_identity *identity;
    const struct repl_epoch_history *history;
    const char *leader_url;
};

/*
 * Fills a zeroed state: journals are those that are in no table yet, the
 * durable position is what is synced here, and the last sequence what readers
 * see. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_twin_report_state(const struct repl_twin_report *report,
                       struct ldb_error *err, struct repl_state *out);

#endif
