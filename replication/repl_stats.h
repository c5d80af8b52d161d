/*
 * The figures of a follower: where it stands, what its leader said last, what
 * was done since it began; and how far it is behind, made out of them.
 *
 * Thread-safety: plain values and functions of their arguments; a board is any
 * thread's, but init and release.
 */
#ifndef REPLICATION_REPL_STATS_H
#define REPLICATION_REPL_STATS_H

#include "replication/protocol.h"
#include "replication/rate.h"
#include "storage/base/mutex.h"
#include "storage/twin.h"

enum repl_follower_state {
    REPL_FOLLOWER_CONNECTING, /* asks the leader for its state */
    REPL_FOLLOWER_COMPARING,  /* its history and files against ours */
    REPL_FOLLOWER_STREAMING,  /* takes what it has, as it comes */
    REPL_FOLLOWER_REBUILDING, /* the owner makes the folder anew */
    REPL_FOLLOWER_WAITING,    /* something failed; it is tried again soon */
    REPL_FOLLOWER_STOPPED, /* by its owner, or by what only people can mend */
};

/* "connecting", ...: for acks, /stats and logs. */
const char *repl_follower_state_text(enum repl_follower_state state);

/* Since it was created. */
struct repl_follower_counts {
    uint64_t connects; /* states got from the leader */
    uint64_t failures; /* that led to WAITING */
    uint64_t rebuilds; /* begun */
    uint64_t journal_bytes;
    uint64_t journals_sealed;
    uint64_t syncs;
    uint64_t acks;
    uint64_t edits;        /* records installed */
    uint64_t installs;     /* runs of them */
    uint64_t tables_built; /* that were the leader's, to the byte */
    uint64_t tables_fetched;
    uint64_t table_bytes;       /* of those fetched */
    uint64_t digest_mismatches; /* built, and they were not; or fetched */
    uint64_t stalls;            /* times that journals waited for edits */
};

struct repl_follower_stats {
    enum repl_follower_state state;
    /* Of the last failure; "" when there was none since it streams. */
    char why[LDB_ERROR_MESSAGE_SIZE];
    uint64_t epoch; /* the highest accepted */
    uint64_t epoch_id;
    struct repl_place written;
    struct repl_place synced;
    struct repl_place applied;
    uint64_t manifest_number;
    uint64_t manifest_len;
    bool has_heartbeat; /* the leader was heard once */
    struct repl_heartbeat heartbeat;
    uint64_t heartbeat_us; /* monotonic: when it came */
    uint64_t level_us;     /* monotonic: when we last had all it had; or when
                              the follower began */
    /* Of journals, that lay between us and its durable position when it spoke
     * last; and counts.journal_bytes at that time. */
    uint64_t missing_bytes;
    uint64_t missing_since;
    /* Of journals and of tables, what has come lately. */
    uint64_t bytes_per_second;
    struct repl_follower_counts counts;
};

struct repl_lag {
    bool is_known;      /* the leader was heard once */
    uint64_t sequences; /* of its last one, behind which readers here are */
    uint64_t bytes;     /* of journals to come */
    uint64_t us;        /* since this node had all that the leader had; known or
                           not: since it began to follow at the latest */
};

/* now_us: monotonic. */
void repl_follower_lag(const struct repl_follower_stats *stats, uint64_t now_us,
                       struct repl_lag *out);

/* Whether the journals here go as far as the leader's were durable when it
 * spoke last. */
bool repl_follower_is_level(const struct repl_follower_stats *stats);

/* ---- where the threads of a follower write them ---- */

/*
 * Locking: env: constant; mu, moved: own synchronisation; stats, received,
 * is_closed: guarded by mu, which is innermost. moved: a place or the state is
 * another.
 */
struct repl_board {
    struct ldb_env *env;
    struct ldb_mutex mu;
    struct ldb_cond moved;
    bool is_closed;
    struct repl_rate received;
    struct repl_follower_stats stats;
};

void repl_board_init(struct repl_board *board, struct ldb_env *env);
void repl_board_release(struct repl_board *board); /* nobody waits */
/* Nobody waits any more. */
void repl_board_close(struct repl_board *board);

void repl_board_read(struct repl_board *board, struct repl_follower_stats *out);
void repl_board_set_state(struct repl_board *board,
                          enum repl_follower_state state, const char *why);
void repl_board_set_epoch(struct repl_board *board, uint64_t number,
                          uint64_t id);
/* Of the twin, as it is now. */
void repl_board_set_places(struct repl_board *board,
                           const struct ldb_twin_state *at);
/* counter: one of board->stats.counts. */
void repl_board_add(struct repl_board *board, uint64_t *counter, uint64_t n);
/* Takes what the leader says now. journals: its list, as it was told
 * last, to count the bytes between. */
void repl_board_heard(struct repl_board *board,
                      const struct repl_heartbeat *heartbeat,
                      const struct repl_journal_entry *journals,
                      size_t journal_count);
/* Until all up to the sequence is synced; false: not within timeout_us, or
 * closed. */
LDB_MUST_CHECK bool repl_board_wait_synced(struct repl_board *board,
                                           ldb_sequence sequence,
                                           uint64_t timeout_us);

#endif
