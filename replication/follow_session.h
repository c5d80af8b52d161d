/*
 * What the threads share that stream from one leader, under one epoch: the
 * twin, a way to the leader each, who waits for whom, and how it ended. One of
 * follower.h's STREAMING; its threads are journal_pull.h, edit_pull.h, and the
 * follower's own, which says where we are and hears where the leader is.
 *
 * Thread-safety: any thread, but create and destroy; a lane's transport is that
 * of its thread, fetch that of the edits.
 */
#ifndef REPLICATION_FOLLOW_SESSION_H
#define REPLICATION_FOLLOW_SESSION_H

#include "replication/epoch_gate.h"
#include "replication/repl_stats.h"
#include "replication/transport.h"
#include "storage/twin.h"

struct repl_fetch;

/* What somebody may wait for. */
enum repl_move {
    REPL_MOVE_JOURNAL,   /* a journal was begun or sealed here */
    REPL_MOVE_SYNCED,    /* more is durable here */
    REPL_MOVE_INSTALLED, /* edits were: there may be room for a journal */
    REPL_MOVE_HEARD,     /* the leader said where it is */
    REPL_MOVE_COUNT,
};
#define REPL_MOVE_BIT(move) (1u << (move))

struct repl_moves {
    uint64_t of[REPL_MOVE_COUNT];
};

enum repl_session_end {
    REPL_END_NONE,    /* it goes on */
    REPL_END_STOPPED, /* by the owner */
    REPL_END_RETRY,   /* network, disk, memory, a silent leader: later again */
    REPL_END_EPOCH,   /* another epoch is in force, there or here */
    REPL_END_BEHIND,  /* the leader has no longer what comes next */
    REPL_END_DIFFERS, /* what we have is not what the leader has */
    REPL_END_REOPEN,  /* the twin takes no more until it is opened anew */
};

struct repl_session_options {
    struct ldb_env *env; /* all is borrowed until destroy */
    const char *dir;     /* the twin's folder */
    struct ldb_db *db;
    struct repl_peer *peer;
    struct repl_epoch_gate *gate;
    struct repl_board *board;
    uint64_t epoch; /* accepted: what comes has to be of it */
    uint64_t epoch_id;
    uint64_t sync_us; /* a byte is durable after, at most */
    /* See follower.h. */
    void (*on_applied)(void *context, ldb_sequence sequence);
    void *context;
};

/*
 * Locking: options, transports, fetch: constant; mu, moved, journals_mu: own
 * synchronisation; the rest: guarded by mu. journals_mu is held while bytes of
 * a journal or its seal are put into the twin, and while edits are installed
 * into one without an entry; mu is not taken under it.
 */
struct repl_session {
    struct repl_session_options options;
    struct repl_transport *transports[REPL_LANE_COUNT];
    struct repl_fetch *fetch;
    struct ldb_mutex journals_mu;
    struct ldb_mutex mu;
    struct ldb_cond moved;
    struct repl_moves moves;
    unsigned waiting[REPL_MOVE_COUNT]; /* who waits for each */
    enum repl_session_end end;
    struct ldb_error why;
    /* Moves of INSTALLED, and one, when the journals began to wait for edits;
     * 0: they do not. */
    uint64_t stalled_at;
    uint64_t manifest_number; /* the leader's, as it said last */
    uint64_t manifest_len;
    struct repl_journal_entry *journals; /* owned; its list */
    size_t journal_count;
};

/* Errors: IO, NO_SPACE, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_session_create(const struct repl_session_options *options,
                    struct ldb_error *err, struct repl_session **out);
/* No thread uses it. NULL is fine. */
void repl_session_destroy(struct repl_session *session);

/* ---- its end ---- */

/* The first end is the one that counts: all calls under way end soon, and who
 * waits goes on. err (NULL: none) is why. */
void repl_session_finish(struct repl_session *session,
                         enum repl_session_end end,
                         const struct ldb_error *err);
/*
 * The end that a failure of a thread is, by its status and the health of the
 * twin: READ_ONLY or a twin that has stopped: REOPEN; PRECONDITION: EPOCH;
 * GONE: BEHIND; any other: RETRY.
 */
void repl_session_fail(struct repl_session *session, enum ldb_status status,
                       const struct ldb_error *err);
/* *out_why may be NULL. */
enum repl_session_end repl_session_ended(struct repl_session *session,
                                         struct ldb_error *out_why);

/* ---- who waits for whom ---- */

void repl_session_moves(struct repl_session *session, struct repl_moves *out);
void repl_session_move(struct repl_session *session, enum repl_move move);
/*
 * Until one of the moves in the mask is not as in seen, which is then as it is
 * now, or timeout_us have passed (0: no limit). False: it has ended.
 */
LDB_MUST_CHECK bool repl_session_wait(struct repl_session *session,
                                      struct repl_moves *seen, unsigned mask,
                                      uint64_t timeout_us);

/*
 * No journal can go on before edits are installed: waits for the next install
 * since seen. False: it has ended.
 */
LDB_MUST_CHECK bool repl_session_wait_room(struct repl_session *session,
                                           struct repl_moves *seen);
/* Whether they wait so, and nothing was installed since. */
bool repl_session_is_stalled(struct repl_session *session);

/* ---- the leader ---- */

/* Takes its list of journals out of state. */
void repl_session_take_state(struct repl_session *session,
                             struct repl_state *state);
/* From an ack's answer. */
void repl_session_heard(struct repl_session *session,
                        const struct repl_heartbeat *heartbeat);
void repl_session_manifest(struct repl_session *session, uint64_t *out_number,
                           uint64_t *out_len);

/*
 * The oldest journal on the list whose number is above after; false: none is.
 * *out_follows: one at or below it is on the list too, so that none lies
 * between.
 */
LDB_MUST_CHECK bool repl_session_next_journal(struct repl_session *session,
                                              uint64_t after,
                                              struct repl_journal_entry *out,
                                              bool *out_follows);

/*
 * Numbers of those on the list that have a byte, ascending, into *out, which is
 * an array of the caller's that is made longer (ldb_mem). Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_session_journals(struct repl_session *session, struct ldb_error *err,
                      uint64_t **out, size_t *out_count);

/* Whether bytes that begin so are of the session's epoch. Errors:
 * PRECONDITION. */
LDB_MUST_CHECK enum ldb_status
repl_session_check_head(const struct repl_session *session, const char *name,
                        const struct repl_file_head *head,
                        struct ldb_error *err);

/* ---- the twin ---- */

/*
 * Bytes of the epoch may be put into the twin until leave(). PRECONDITION:
 * another epoch is in force here; nobody is inside.
 */
LDB_MUST_CHECK enum ldb_status repl_session_enter(struct repl_session *session,
                                                  enum repl_lane lane,
                                                  struct ldb_error *err);
void repl_session_leave(struct repl_session *session, enum repl_lane lane);

/* Puts the twin's places on the board, and tells who wants to know when its
 * readers see more than they did. Of the lane's thread. */
void repl_session_note_places(struct repl_session *session,
                              struct ldb_twin_state *out);

#endif
