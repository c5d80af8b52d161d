/*
 * Follows the leader's MANIFEST: makes the tables that its edits name, then
 * takes the edits. It is asked for again when a heartbeat says that it is
 * longer, or another one.
 *
 * As many edits as can be are one run (edit_run.h): tables that come and go
 * within it are never made. A table of the run that is the flush of a journal
 * held here is written here, and is the leader's when its digest is; any other,
 * and that one when its digest is not, is fetched. Whatever was made stays when
 * a connection ends, until the edits that name it are installed or another run
 * does without it.
 *
 * A table that the leader has no more was dropped by a later edit. Then the run
 * is one that goes beyond that, or ends before it was added. Of a flush nothing
 * is missing: it has the entries of our own journal, which was verified, and is
 * taken without a digest when it has the length that the edit says.
 *
 * Thread-safety: one thread a session, one session at a time.
 */
#ifndef REPLICATION_EDIT_PULL_H
#define REPLICATION_EDIT_PULL_H

#include "replication/follow_session.h"

struct repl_edit_pull;

/* Of one open twin, through any number of sessions. NULL: no memory. */
LDB_MUST_CHECK struct repl_edit_pull *repl_edit_pull_create(void);
/* Tables not installed stay for the twin's next open to remove: discard them
 * first where it stays open. NULL is fine. */
void repl_edit_pull_destroy(struct repl_edit_pull *pull);

/* No session follows: removes the tables that were made and not installed. */
void repl_edit_pull_discard(struct repl_edit_pull *pull, struct ldb_db *db);

/* The twin was opened anew, which removes such tables, or is another. */
void repl_edit_pull_forget(struct repl_edit_pull *pull);

/*
 * Until the session ends, or this fails and so ends it.
 *
 *   REPL_END_BEHIND   edits cannot go on without tables that are gone at the
 *                     leader, nor journals without edits
 *   REPL_END_DIFFERS  our MANIFEST is not the beginning of the leader's, or its
 *                     edits do not go on from what we have
 *   and what repl_session_fail() makes of other failures
 */
void repl_edit_pull_run(struct repl_edit_pull *pull,
                        struct repl_session *session);

#endif
