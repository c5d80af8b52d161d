/*
 * Makes the tables that a run of the leader's edits needs (edit_pull.h has the
 * rules), and keeps account of them: which lie verified in the twin's folder
 * for edits that are not installed yet, and which the leader has no more.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_EDIT_TABLES_H
#define REPLICATION_EDIT_TABLES_H

#include "replication/client.h"
#include "replication/follow_session.h"
#include "replication/made_tables.h"

/* A zeroed one is empty. */
struct repl_edit_tables {
    struct repl_session *session; /* of the run under way; as is client */
    struct repl_client *client;
    struct repl_made_tables made;
    /* Whose leader has verified them. */
    uint64_t epoch;
    uint64_t epoch_id;
    uint64_t *missing; /* owned; that the leader has no more */
    size_t missing_count;
};

void repl_edit_tables_release(struct repl_edit_tables *tables);

/* Whether those of an epoch before may be named by a MANIFEST that a crash
 * would find, and no other may take their place before the twin is opened anew.
 */
bool repl_edit_tables_must_reopen(const struct repl_edit_tables *tables,
                                  const struct repl_session *session);

/* A session begins, and must_reopen() is false. What was made by the word of
 * another epoch's leader is discarded; nothing is missing. */
void repl_edit_tables_start(struct repl_edit_tables *tables,
                            struct repl_session *session,
                            struct repl_client *client);

/*
 * All tables of the plan are in the twin's folder, synced and verified, when it
 * is OK; those made before it failed stay so.
 *
 * Errors: NOT_FOUND: the leader has some no more, which are in missing now;
 * STALLED: a digest is not known there yet; PRECONDITION: it is of another
 * epoch; CANCELLED: the session has ended; CORRUPTION, IO, NO_SPACE, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_edit_tables_make(struct repl_edit_tables *tables,
                      const struct ldb_twin_plan *plan, struct ldb_error *err);

/*
 * Asks the leader for the heads of these, up to the first that it has: those
 * that it has no more are in missing then, but for such as are made. Errors:
 * CANCELLED: the session has ended; PRECONDITION: it is of another epoch; those
 * of a request, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_edit_tables_ask(struct repl_edit_tables *tables, const uint64_t *numbers,
                     size_t count, struct ldb_error *err);

/* The plan is installed. is_last: no edit after it is here; so what else was
 * made nobody needs. */
void repl_edit_tables_installed(struct repl_edit_tables *tables,
                                const struct ldb_twin_plan *plan, bool is_last);

/* Whether the plan is installed only a crash would tell. */
void repl_edit_tables_unsure(struct repl_edit_tables *tables);

/* The twin did not take them: they are to be made again. */
void repl_edit_tables_refused(struct repl_edit_tables *tables,
                              const struct ldb_twin_plan *plan);

#endif
