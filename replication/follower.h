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
 *     STOPPED     by the owner, or because people have to decide: an epoch that
 *                 was begun twice (split brain)
 *
 * Killed at any point it goes on where the folder is. Whatever it takes is of
 * the epoch that was accepted, and of no lower one.
 *
 * Reads of the database go on in every state but where the owner's rebuild says
 * otherwise.
 *
 * Thread-safety: any thread, but create, stop and destroy: one. Callbacks run
 * on the follower's threads, and call nothing of it but repl_follower_stats().
 */
#ifndef REPLICATION_FOLLOWER_H
#define REPLICATION_FOLLOWER_H

#include "replication/follower_options.h"

struct repl_follower;

/* Begins to follow. Errors: IO (threads), NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_follower_create(const struct repl_follower_options *options,
                     struct ldb_error *err, struct repl_follower **out);

/*
 * Returns when no thread of it runs, what was written is synced as far as the
 * disk lets us, and tables that no edit of ours names are gone; then node and
 * db are the caller's, *out_db being the twin as it is now, NULL: none. Again:
 * the same.
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
 * Waits until all up to the sequence is synced here, which is that of an entry:
 * the base of an epoch without one never is (repl_epoch_history_last_entry()).
 * Errors: STALLED: not within timeout_us; CLOSED: it stopped.
 */
LDB_MUST_CHECK enum ldb_status
repl_follower_wait(struct repl_follower *follower, ldb_sequence sequence,
                   uint64_t timeout_us, struct ldb_error *err);

#endif
