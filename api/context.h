/*
 * The application as handlers see it: the database, who this node is, the
 * limits, the clock, the counters. One per process; service/ makes it, fills
 * in what only it knows, and gives it to every exchange.
 *
 * The database may be exchanged while exchanges run (db_gate.h):
 *
 *     api_context_shut     nobody comes in any more, who is inside ends
 *     api_db_gate_wait     until nobody is
 *     api_context_drop_db  what is held of it besides goes
 *     ...                  it is closed, another one is opened
 *     api_context_take_db  that one is there, and the gate open
 *
 * Thread-safety: constant once the first exchange begins, but for db, the
 * atomics, and what takes care of itself.
 */
#ifndef API_CONTEXT_H
#define API_CONTEXT_H

#include <stdatomic.h>

#include "api/retry.h"
#include "storage/base/env.h"
#include "storage/include/ldb.h"

struct api_backups;
struct api_db_gate;
struct api_db_gate_reason;
struct api_feeds;
struct api_metrics;
struct api_node_ops;
struct api_role;
struct api_sequence_waits;
struct api_snapshots;
struct api_tasks;
struct repl_digest_index;
struct repl_heal;
struct repl_leader;
struct repl_scrub;
struct repl_served_files;
struct repl_write_concern;
struct api_token_store;
struct repl_forwarder;

/* The defaults are docs/http_api.md's; every one is shown in /stats. */
struct api_limits {
    size_t key_bytes;             /* 65,536 */
    size_t value_bytes;           /* 67,108,864 */
    size_t batch_bytes;           /* of a batch in LevelDB form: 68,157,440 */
    size_t json_batch_bytes;      /* body of a JSON batch: 100,663,296 */
    size_t multiget_bytes;        /* body of a multiget: 8 MiB */
    uint64_t range_items_default; /* items of a page without limit=: 100 */
    uint64_t range_items_max;     /* largest limit= of a page, keys of a
                                     multiget: 10,000 */
    size_t snapshots_max;         /* alive at once: 4,096 */
    size_t backups_max;           /* streamed at once: 2 */
    size_t page_bytes;            /* a page ends there, after one item: 8 MiB */
    uint64_t feeds_max;           /* streams of changes open at once: 256 */
    uint64_t feed_heartbeat_us;   /* of a live one that is silent: 10 s */
    uint64_t slot_bytes;          /* of journals kept for a follower: 1 GiB */
};

/* What only the process knows. Bytes, microseconds, counts. */
struct api_process_figures {
    uint64_t resident_bytes;
    uint64_t resident_max_bytes;
    uint64_t cpu_user_us;
    uint64_t cpu_system_us;
    uint64_t open_files;
    uint64_t open_files_max;
    uint64_t threads;
    uint64_t connections;         /* open now */
    uint64_t connections_total;   /* accepted since start */
    uint64_t connections_refused; /* there were too many */
    uint64_t header_timeouts;     /* connections cut: headers took too long */
    uint64_t body_timeouts;       /* the same of a body */
    uint64_t answer_timeouts;     /* the same of a large answer's reader */
    uint64_t upload_bytes;        /* bodies being collected now */
    uint64_t upload_bytes_max;    /* budget of the same; 0: none */
    uint64_t answer_bytes;        /* answers that wait for their readers */
    uint64_t answer_bytes_max;    /* budget of the same; 0: none */
    uint64_t log_lines;           /* of requests: to be written */
    uint64_t log_lines_dropped;   /* for want of room */
};

/* What is kept in leveld/diverged/, as it was counted last; relaxed. */
struct api_diverged_counts {
    _Atomic(uint64_t) rewinds;
    _Atomic(uint64_t) files;
    _Atomic(uint64_t) bytes;
};

/*
 * Locking: all fields are constant while exchanges run, but the atomics, and
 * db, which is constant to who is inside the gate.
 */
struct api_context {
    struct api_db_gate *gate;
    struct ldb_db *db; /* borrowed; inside the gate alone */
    /* Open while this node takes writes: who submits one is inside for that
     * moment. So once it is closed every write is in the queue or will not
     * be. Whoever is to be inside the gate too is so before. */
    struct api_db_gate *writes;
    struct ldb_env *env; /* borrowed: clock, free space */
    struct api_role *role;
    struct api_metrics *metrics;
    struct api_snapshots *snapshots;
    struct api_sequence_waits *sequence_waits;
    struct api_feeds *feeds;
    struct api_tasks *tasks;
    struct api_backups *backups;
    struct api_token_store *tokens; /* without a set: all is allowed */
    /* Writes that wait for followers; it is led by leader, while there is one.
     */
    struct repl_write_concern *concern;
    /* Borrowed, and inside the gate alone, as db. NULL: this node does not
     * lead; it serves its folder read-only. */
    struct repl_leader *leader;
    struct repl_digest_index *digests;
    struct api_diverged_counts diverged; /* diverged.h */
    struct repl_served_files *tables;    /* of a follower; else NULL */
    struct repl_scrub *scrub;            /* NULL: none runs, as of the next */
    struct repl_heal *heal;
    struct api_limits limits;
    uint64_t started_us;      /* monotonic, when init was called */
    uint64_t started_wall_us; /* the same, since 1970 */

    /* ---- set by the service after init; texts are borrowed ---- */
    const char *version; /* "0.1.0" */
    const char *commit;  /* of the source, or "unknown" */
    const char *data_dir;
    const char *checkpoint_dir; /* folder of checkpoints; "": none */
    /* "" while not known: of a follower that never saw its leader. Stored
     * once more at most, to a text that stays. */
    _Atomic(const char *) cluster_id;
    _Atomic(const char *) node_id;
    _Atomic(uint64_t) epoch; /* changes with the role, or when a full disk is
                                healed */
    bool read_only;          /* serve --read-only: every write is refused */
    bool sync_default;       /* of writes that do not say sync=; init: true */
    unsigned replicas_min;   /* of all writes, whatever replicas= says; 0 */
    /* /readyz is 503 below this many free bytes. init: 64 MiB, chosen: one
     * value of the largest size. 0: do not look. */
    uint64_t disk_reserve_bytes;
    /* Fills in figures of the process for /stats; NULL: left out. */
    void (*process_figures)(void *service, struct api_process_figures *out);
    void *service;
    /* The node behind the server (node_ops.h); NULL: there is none, and it
     * leads. */
    const struct api_node_ops *node_ops;
    void *node;
    /* Of a follower's writes; NULL: none can be forwarded. */
    struct repl_forwarder *forwarder;
    unsigned follower_writes; /* enum api_follower_writes */

    struct api_retry retry;          /* of the thread that ticks */
    _Atomic(unsigned) retry_after_s; /* of a write that is turned away */

    /* Writes were submitted since the last api_pass_end() (relaxed: a late
     * reader only drives in its next pass, and the submitter's own follows). */
    atomic_bool writes_queued;
};

/*
 * Fills context with the defaults and an empty set of metrics. db NULL: the
 * gate is closed until take_db, and that of writes until somebody opens it.
 * Also makes the JSON library allocate through ldb_mem_* (process-wide): call
 * before threads start.
 *
 * Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status api_context_init(struct api_context *context,
                                                struct ldb_db *db,
                                                struct ldb_env *env,
                                                struct ldb_error *err);

/*
 * Housekeeping, a few times a second: lets go of snapshots and of waiting
 * requests whose time is over, wakes silent feeds, takes the measure of the
 * writes that wait. Any one thread.
 */
void api_context_tick(struct api_context *context);

/* The database is to go: the gate closes; requests that wait for a sequence are
 * answered, and feeds that wait end. Any thread. */
void api_context_shut(struct api_context *context,
                      const struct api_db_gate_reason *reason);
/* The gate is CLOSED, the database still open: lets go of snapshots. */
void api_context_drop_db(struct api_context *context);
/* The gate is CLOSED: opens it to db; that of writes stays as it is. */
void api_context_take_db(struct api_context *context, struct ldb_db *db);

/* The service is to end: requests that wait are answered now, tasks are
 * cancelled, and streams end that have no end of their own. Any thread. */
void api_context_drain(struct api_context *context);

/*
 * Lets go of all that is held of the database; before it closes, and after
 * the last exchange has run. A zeroed context is fine.
 */
void api_context_close(struct api_context *context);

/* Closes, and frees what init made; a zeroed context is fine. */
void api_context_release(struct api_context *context);

/* The monotonic clock. */
static inline uint64_t api_now_us(const struct api_context *context)
{
    return context->env->ops->monotonic_us(context->env);
}

#endif
