/*
 * The figures of a follower: where it stands, what its leader said last, what
 * was done since it began; and how far it is behind, made out of them.
 *
 * Thread-safety: plain values and functions of their arguments.
 */
#ifndef REPLICATION_REPL_STATS_H
#define REPLICATION_REPL_STATS_H

#include "replication/protocol.h"

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
    uint64_t leader_bytes; /* of journals, that lay between us and its durable
                              position at its last word */
    struct repl_follower_counts counts;
};

struct repl_lag {
    bool is_known;      /* the leader was heard once */
    uint64_t sequences; /* of its last one, behind which readers here are */
    uint64_t bytes;     /* of journals to come */
    uint64_t us;        /* since this node had all that the leader had */
};

/* now_us: monotonic. */
void repl_follower_lag(const struct repl_follower_stats *stats, uint64_t now_us,
                       struct repl_lag *out);

/*
 * Takes what the leader said at now_us. journals: its list, as it was last
 * told (NULL: none), to count the bytes between.
 */
void repl_follower_stats_heard(struct repl_follower_stats *stats,
                               const struct repl_heartbeat *heartbeat,
                               uint64_t now_us,
                               const struct repl_journal_entry *journals,
                               size_t journal_count);

/* Whether we have all that the leader had made durable when it spoke last. */
bool repl_follower_is_level(const struct repl_follower_stats *stats);

#endif
