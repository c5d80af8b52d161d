/*
 * A leader that lives at random (leader_run.h), served by a memory_peer, and a
 * twin beside it that follows: for tests of what pulls from a leader. Anything
 * that fails fails the test; waits end (patience.h).
 *
 *     static struct follow_fixture f;
 *
 *     follow_open(&f, seed, true);
 *     follow_begin(&f);                a session
 *     follow_start(&f, FOLLOW_JOURNALS | FOLLOW_EDITS);
 *     leader_run_write(f.leader);
 *     follow_catch_up(&f);
 *     assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
 *     follow_assert_same(&f);          closes both
 *     follow_close(&f);
 */
#ifndef TESTS_SUPPORT_FOLLOW_FIXTURE_H
#define TESTS_SUPPORT_FOLLOW_FIXTURE_H

#include "replication/edit_pull.h"
#include "replication/journal_pull.h"
#include "tests/support/memory_peer.h"
#include "tests/support/patience.h"
#include "tests/support/twin_ship.h"

/* Threads of a session. */
#define FOLLOW_JOURNALS 1u
#define FOLLOW_EDITS    2u

struct follow_fixture {
    struct leader_run *leader; /* keeps its journals in the archive */
    struct memory_peer *peer;
    struct repl_epoch_history history; /* of the leader */
    struct env_fault *fault;           /* below the twin */
    struct twin_ship ship;             /* for what it can check: db, options */
    struct repl_node node;
    struct repl_board board;
    struct repl_epoch_gate *gate;
    struct repl_edit_pull *edits;
    struct repl_session *session; /* NULL: none */
    uint64_t sync_us;             /* of sessions; long: when it is dry */
    struct ldb_thread *threads[2];
    struct repl_transport *transport; /* to ask the leader */
    struct ldb_error err;
    _Atomic(ldb_sequence) applied; /* that on_applied told last */
};

/* Leader and twin are open and empty, and the leader's epoch is accepted. */
void follow_open(struct follow_fixture *f, uint64_t seed, bool quiet);
void follow_close(struct follow_fixture *f);

/* ---- the leader ---- */

/* Its next epoch, with nothing else done. */
void follow_add_epoch(struct follow_fixture *f);
/* It is closed, and opened in a new epoch, with a write. */
void follow_restart_leader(struct follow_fixture *f);
/* count batches, and a flush after each so many (0: none). */
void follow_write(struct follow_fixture *f, unsigned count,
                  unsigned flush_each);
/* Waits until all that was written is durable there; returns the sequence. */
ldb_sequence follow_settle(struct follow_fixture *f);

/* ---- the twin ---- */

void follow_open_twin(struct follow_fixture *f);
void follow_close_twin(struct follow_fixture *f);
/* Of one that was closed otherwise: what is left of it. */
void follow_drop_twin(struct follow_fixture *f);
/* The power goes, and the twin is opened again. */
void follow_cut_power(struct follow_fixture *f, enum ldb_crash_keep keep,
                      uint64_t seed);

/* ---- a session ---- */

/* Under the leader's epoch, which is accepted; it knows the leader's state. */
void follow_begin(struct follow_fixture *f);
void follow_start(struct follow_fixture *f, unsigned threads);
/* What a heartbeat says. */
void follow_hear(struct follow_fixture *f);
/* Waits until the session has ended by itself. */
enum repl_session_end follow_wait_end(struct follow_fixture *f);
/* Ends it, if it has not ended; joins the threads; f->err is why it ended. */
enum repl_session_end follow_end(struct follow_fixture *f,
                                 enum repl_session_end end);
/* Waits until the twin has all journals of the leader, synced; and all edits,
 * when edits are pulled. */
void follow_catch_up_journals(struct follow_fixture *f);
void follow_catch_up(struct follow_fixture *f);
/* Journals too, until the twin has begun that which is open there: all before
 * it are sealed, so that every flush can be built and installed. */
void follow_catch_up_seals(struct follow_fixture *f);
/* The same for whoever else pulls, whose figures look gives. */
void follow_wait_level(struct follow_fixture *f,
                       void (*look)(struct follow_fixture *f,
                                    struct repl_follower_stats *out));
void follow_stats(struct follow_fixture *f, struct repl_follower_stats *out);

/* ---- what holds ---- */

/* The twin shows a past state of the leader. */
void follow_check(struct follow_fixture *f);
/* Closes both: their folders are the same. */
void follow_assert_same(struct follow_fixture *f);

#endif
