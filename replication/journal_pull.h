/*
 * Follows the leader's journals: the bytes of each as they grow, into the twin;
 * durable when the stream runs dry, and every sync_us while it does not; its
 * end, by the length and the digest that the leader gives; and the next one.
 *
 * No journal is passed over: the next one begins when nothing lies between. A
 * twin without an entry, whose leader has no longer the journals from its first
 * one on, waits for the edits that stand for them.
 *
 * Thread-safety: one thread a session.
 */
#ifndef REPLICATION_JOURNAL_PULL_H
#define REPLICATION_JOURNAL_PULL_H

#include "replication/follow_session.h"

/*
 * Until the session ends, or this fails and so ends it. What was written is
 * synced when it returns, as far as the disk lets us.
 *
 *   REPL_END_BEHIND   the leader has no longer the journal that comes next
 *   REPL_END_DIFFERS  a journal of ours is not the beginning of the leader's,
 *                     or its digest is another one
 *   and what repl_session_fail() makes of other failures
 */
void repl_journal_pull(struct repl_session *session);

#endif
