/*
 * Requests that wait until this node has a sequence: Leveld-Min-Sequence, for
 * as long as Leveld-Timeout says. No thread is held: x waits as it does for a
 * write (exchange.h), and is woken by whoever brings the sequence, by the
 * housekeeping when its time is over, or by the end of the service.
 *
 * A sequence in the gap between two epochs names a write that was lost: it is
 * told at once, however high this node has come since. So is it by the change
 * feed, and by the same rule (replication/feed_start.h).
 *
 * Thread-safety: any thread, but for the functions that take x: its loop.
 */
#ifndef API_SEQUENCE_WAIT_H
#define API_SEQUENCE_WAIT_H

#include "api/exchange.h"
#include "replication/epoch_history.h"

/* Without Leveld-Timeout. Chosen: longer than a follower lags while it is
 * well, shorter than clients wait. */
#define API_SEQUENCE_WAIT_US (UINT64_C(5) * 1000000)

struct api_sequence_waits;

/* NULL: no memory. db (NULL: none yet) and env are borrowed. */
struct api_sequence_waits *api_sequence_waits_create(struct ldb_db *db,
                                                     struct ldb_env *env);
/* Nobody waits any more. NULL is fine. */
void api_sequence_waits_destroy(struct api_sequence_waits *all);

/*
 * The history that gaps are looked up in from now on; copied. Before the
 * sequence is raised into a new epoch. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
api_sequence_waits_set_history(struct api_sequence_waits *all,
                               const struct repl_epoch_history *history,
                               struct ldb_error *err);

/*
 * The two headers into x->sequence_wait. False: answered 400.
 */
LDB_MUST_CHECK bool api_sequence_wait_parse(struct api_exchange *x);

/*
 * True: this node has what x asked for; go on. False: answered 503 lagging or
 * 410 lost-sequence, or x waits, and is to ask again when it is woken:
 * then is kept in x->sequence_wait for whoever does that.
 */
LDB_MUST_CHECK bool api_sequence_wait_pass(struct api_exchange *x,
                                           void (*then)(struct api_exchange *));

/* This node has the sequence. Cheap when nobody waits for it. */
void api_sequence_waits_advance(struct api_sequence_waits *all,
                                ldb_sequence sequence);

/* Wakes those whose time is over, or whose sequence came from elsewhere. */
void api_sequence_waits_tick(struct api_sequence_waits *all);

/* The database goes: wakes all, and nobody waits until there is another. */
void api_sequence_waits_shut(struct api_sequence_waits *all);
/* Another one, borrowed. Nobody waits. */
void api_sequence_waits_set_db(struct api_sequence_waits *all,
                               struct ldb_db *db);

/* Wakes all; from now on nobody waits. */
void api_sequence_waits_close(struct api_sequence_waits *all);

/* How many wait now. */
size_t api_sequence_waits_count(struct api_sequence_waits *all);

#endif
