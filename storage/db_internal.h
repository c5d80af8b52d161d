/*
 * struct ldb_db, and what the files of this folder share. Private to storage/.
 *
 * Who runs what: callers of ldb_write_*() and the committer thread lead
 * commits (write_queue.c), one leader at a time; the flush thread turns sealed
 * memtables into tables (flush.c), in order; the sync thread syncs the journal
 * while it is written (journal_sync.c); the compaction threads choose and
 * rewrite tables (compaction_schedule.c, compaction_run.c). Readers take a view
 * and need nothing else.
 */
#ifndef STORAGE_DB_INTERNAL_H
#define STORAGE_DB_INTERNAL_H

#include <stdatomic.h>

#include "storage/base/env.h"
#include "storage/base/log.h"
#include "storage/base/mutex.h"
#include "storage/compaction_pick.h"
#include "storage/compaction_rate.h"
#include "storage/durable.h"
#include "storage/include/ldb.h"
#include "storage/journal/journal_writer.h"
#include "storage/journal/write_batch.h"
#include "storage/memtable.h"
#include "storage/retained.h"
#include "storage/row_cache.h"
#include "storage/table/table_builder.h"
#include "storage/version/file_names.h"
#include "storage/version/version_set.h"
#include "storage/view_slots.h"

/* compaction_threads at most. Chosen: merging is bound by the disk by then. */
#define LDB_COMPACTION_THREADS_MAX 8

/* Immutable memtables that can wait at most, whatever the option says. */
#define LDB_IMMUTABLES_MAX 16

/* A manual compaction, on its caller's stack. */
struct ldb_manual_compaction {
    const struct ldb_slice *begin; /* user keys; NULL: open */
    const struct ldb_slice *end;
    uint32_t level;       /* being worked on */
    struct ldb_buf after; /* user key up to which the level is done */
    bool has_after;
    bool is_running;          /* a thread does a step of it */
    atomic_bool is_cancelled; /* relaxed */
    uint64_t merged_bytes;    /* by its steps so far */
    bool done;
    enum ldb_status status;
    struct ldb_error error;
    struct ldb_manual_compaction *next;
};

/* The next journal, made ready beside the writes (journal_spare.c). */
struct ldb_journal_spare {
    struct ldb_journal_writer *journal; /* NULL: none is ready */
    uint64_t number;
    bool is_asked;          /* since the last one was taken */
    bool is_wanted;         /* by is_asked, or by a leader who waits */
    bool is_preparing;      /* the sync thread does */
    enum ldb_status status; /* of the last try */
    struct ldb_error error;
};

/*
 * Names of files made in the folder, counted. A sync of the folder makes all
 * of them durable that were counted before it began (folder_names.c).
 */
struct ldb_folder_names {
    uint64_t made;
    uint64_t durable; /* the first so many are, but for those that failed */
    bool is_syncing;  /* a thread syncs the folder */
    /* Names whose sync failed: after failed_from, up to failed_to (0: none).
     * A kernel reports a lost write once; the next sync tells nothing. */
    uint64_t failed_from;
    uint64_t failed_to;
    struct ldb_error failure; /* of the last such sync */
};

/* What the background threads do, each retried on its own when it fails. */
enum ldb_work {
    LDB_WORK_FLUSH,
    LDB_WORK_COMPACTION,
    LDB_WORK_COUNT,
};

struct ldb_twin;

struct ldb_background_failure {
    unsigned attempts; /* in a row that failed; 0: all is well */
    uint64_t retry_at_us;
    struct ldb_error error; /* of the last one */
};

/* Counters without an order between them: relaxed everywhere. */
struct ldb_db_counters {
    _Atomic(uint64_t) writes;
    _Atomic(uint64_t) operations;
    _Atomic(uint64_t) user_bytes;
    _Atomic(uint64_t) groups;
    _Atomic(uint64_t) syncs;
    _Atomic(uint64_t) sync_us;
    _Atomic(uint64_t) journal_written_bytes;
    _Atomic(uint64_t) flushes;
    _Atomic(uint64_t) flush_bytes;
    _Atomic(uint64_t) compactions;
    _Atomic(uint64_t) trivial_moves;
    struct {
        _Atomic(uint64_t) count;
        _Atomic(uint64_t) us;
    } stalls[LDB_STALL_COUNT];
    _Atomic(uint32_t) live_snapshots;
    _Atomic(uint32_t) live_cursors;
};

/*
 * Delete marks are compacted for their own sake once no flush has come for so
 * long. Chosen: flushes of the default buffer farther apart are 0.4 MB/s, which
 * leaves disk and processor to spare; a batch job of deletes is faster.
 */
#define LDB_MARKS_REST_US UINT64_C(10000000)

struct ldb_level_counters { /* guarded by ldb_db.mu */
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint64_t us;
    uint64_t compactions;
    uint64_t seek_compactions; /* of them */
};

/*
 * Locking.
 * Constant after ldb_open(): options, env, dir, limits, table_options,
 *   block_cache, tables, rows, log, lock, retained, versions and twin (the
 *   pointers), thread handles.
 * Own synchronisation: block_cache, tables, rows, log, retained, view_slots.
 * Atomics: last_sequence (release by the leader after linking, acquire by
 *   readers), lead (write_queue.c), is_pressed, obsolete_pending, closing,
 *   sample_left, counters, written, durable, watchers, sync_due_us
 *   (durable.h, journal_sync.c).
 * Protected by queue_mu: the write queue, drive_wanted.
 * Owned by the leader: last_assigned, replayed_from, replayed_to,
 *   early_sync_asked; counters of writes; what is written with mu held by
 * leaders alone may be read by one without: mem, journal, journal_must_seal.
 * Protected by mu: all else, and *versions.
 * Protected by view_mu: view (written with mu held as well).
 * Order: queue_mu, mu, view_mu; docs/locking.md.
 */
struct ldb_db {
    /* constant */
    struct ldb_options options;
    struct ldb_env *env;
    struct ldb_env *no_sync_env; /* env, where it is this one */
    char *dir;
    struct ldb_compaction_limits limits;
    struct ldb_filter_policy bloom; /* the built-in filter, when used */
    struct ldb_table_options table_options;
    struct ldb_block_cache *block_cache;
    bool owns_block_cache;
    struct ldb_table_cache *tables;
    struct ldb_row_cache *rows; /* NULL: none */
    struct ldb_log *log;        /* NULL: read-only */
    struct ldb_file_lock *lock;
    struct ldb_version_set *versions;
    struct ldb_twin *twin; /* NULL: writes are its own (twin_internal.h) */
    struct ldb_retained *retained; /* NULL: read-only, or a twin */
    struct ldb_thread *commit_thread;
    struct ldb_thread *flush_thread;
    struct ldb_thread *sync_thread;
    struct ldb_thread *compact_threads[LDB_COMPACTION_THREADS_MAX];

    /* atomics */
    _Atomic(ldb_sequence) last_sequence;
    _Atomic(bool) obsolete_pending; /* set by dying versions; relaxed */
    _Atomic(bool) closing;          /* background work gives up */
    _Atomic(uint32_t) lead;         /* write_queue.c: who commits */
    /* The view's version slows writes; written with mu held; relaxed. */
    _Atomic(bool) is_pressed;
    /* Bytes until cursors look at the tables they merge; relaxed, and where
     * several are open each goes by itself. */
    _Atomic(uint64_t) sample_left;
    struct ldb_db_counters counters;
    struct ldb_position_cell written; /* by the leader */
    struct ldb_position_cell durable; /* with mu held */
    _Atomic(uint32_t) watchers;       /* ldb_watch_begin(); relaxed */
    /* When the sync thread is to sync what was written; 0: nobody asks. Set
     * with mu held. */
    _Atomic(uint64_t) sync_due_us;

    /* queue_mu */
    struct ldb_mutex queue_mu;
    struct ldb_cond committer_wakes; /* with queue_mu */
    struct ldb_cond leader_done;     /* with queue_mu: ldb_write_wait() */
    struct ldb_write *queue_head;    /* guarded by queue_mu */
    struct ldb_write *queue_tail;    /* guarded by queue_mu */
    size_t queue_writes;             /* guarded by queue_mu */
    size_t queue_bytes;              /* guarded by queue_mu */
    size_t queue_syncs;              /* guarded by queue_mu; writes that sync */
    size_t queue_waiters;            /* guarded by queue_mu; in leader_done */
    bool drive_wanted;               /* guarded by queue_mu */
    bool queue_closed;               /* guarded by queue_mu; submits fail */

    /* the leader's */
    ldb_sequence last_assigned; /* >= last_sequence: failed ones included */
    ldb_sequence replayed_from; /* what recovery found in tables, */
    ldb_sequence replayed_to;   /* and in all */
    uint64_t early_sync_asked;  /* the journal's length then; or 0 */

    /* mu */
    struct ldb_mutex mu;
    struct ldb_cond work;             /* with mu: background threads */
    struct ldb_cond work_done;        /* with mu: whoever waits for them */
    struct ldb_cond early_sync_wakes; /* with mu */
    bool early_sync_wanted;           /* guarded by mu */
    bool is_early_syncing;            /* guarded by mu; uses the journal */
    bool journal_is_held; /* guarded by mu; by the leader: no sync */
    bool journal_is_cut;  /* guarded by mu; ldb_cut_unsynced(): no longer than
                             what was synced of it */
    bool tell_wanted;     /* guarded by mu; by the sync thread */
    struct ldb_memtable *mem; /* guarded by mu; one reference */
    /* Oldest first. */
    struct ldb_memtable *immutables[LDB_IMMUTABLES_MAX]; /* guarded by mu */
    size_t immutable_count;                              /* guarded by mu */
    struct ldb_journal_writer *journal; /* guarded by mu; used by the leader */
    uint64_t journal_number;            /* guarded by mu */
    uint64_t journal_name;              /* guarded by mu; of folder_names */
    struct ldb_folder_names folder_names; /* guarded by mu */
    bool journal_must_seal;         /* guarded by mu; a failed append was cut */
    struct ldb_journal_spare spare; /* guarded by mu */
    bool is_paused;        /* guarded by mu; ldb_reopen(): background rests */
    bool is_flushing;      /* guarded by mu */
    uint64_t flush_begun;  /* guarded by mu; attempts */
    uint64_t flush_failed; /* guarded by mu; the last of them that did */
    bool is_stopped;       /* guarded by mu; a write waits for room */
    struct ldb_manual_compaction *manual; /* guarded by mu; a queue */
    /* compaction_schedule.c: those that run, through next. */
    struct ldb_compaction *running; /* guarded by mu */
    unsigned compacting_count;      /* guarded by mu; threads busy */
    struct ldb_mark_search marks;   /* guarded by mu */
    uint64_t last_flush_us;         /* guarded by mu; 0: none since open */
    bool is_learning;               /* guarded by mu; a thread counts entries */
    uint64_t last_order;            /* guarded by mu; of the last pick */
    uint64_t failed_order;          /* guarded by mu; last_order then */
    uint64_t pointer_orders[LDB_LEVEL_COUNT]; /* guarded by mu */
    struct ldb_compaction_rate rate;          /* guarded by mu */
    /* throttle.c: when the next compaction, and the next group of writes, may
     * go on; the journal's bytes that the latter is for. */
    uint64_t compaction_free_us; /* guarded by mu */
    uint64_t write_free_us;      /* guarded by mu */
    uint64_t throttled_bytes;    /* guarded by mu */
    /* Of the journal; written with mu held, relaxed. */
    _Atomic(enum ldb_health) health;
    struct ldb_error health_error;                          /* guarded by mu */
    struct ldb_background_failure failures[LDB_WORK_COUNT]; /* guarded by mu */
    bool compaction_halted;   /* guarded by mu; damage: no more of them */
    uint64_t manifest_number; /* guarded by mu; older ones are removed */
    struct ldb_level_counters level_counters[LDB_LEVEL_COUNT];

    /* view_mu */
    struct ldb_mutex view_mu;
    struct ldb_view *view; /* guarded by view_mu; one reference */

    /* own synchronisation; swept by who changes view, with mu held */
    struct ldb_view_slots view_slots;
};

/* Does it take writes of its own? */
static inline bool ldb_db_is_writable(const struct ldb_db *db)
{
    return !db->options.read_only && db->twin == NULL;
}

static inline enum ldb_health ldb_db_health(const struct ldb_db *db)
{
    return atomic_load_explicit(&db->health, memory_order_relaxed);
}

/* Adds to a relaxed counter. */
static inline void ldb_count(_Atomic(uint64_t) *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* The same for a counter that one thread at a time adds to. */
static inline void ldb_count_alone(_Atomic(uint64_t) *counter, uint64_t n)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
        memory_order_relaxed);
}

/* ---- snapshot.c: views ---- */

struct ldb_snapshot {
    struct ldb_db *db;
    struct ldb_view *view;
    ldb_sequence sequence;
};

/* The current view, referenced, with the sequence to read it at. */
struct ldb_view *ldb_db_view(struct ldb_db *db, ldb_sequence *out_sequence);

/*
 * The same into *out for as long as a get takes, by way of the thread's slot;
 * release with ldb_db_view_drop(). *out must not move.
 */
void ldb_db_view_hold(struct ldb_db *db, struct ldb_view_hold *out,
                      ldb_sequence *out_sequence);
void ldb_db_view_drop(struct ldb_db *db, struct ldb_view_hold *hold);

/* Gives it back; wakes the flush thread when tables became obsolete. */
void ldb_db_view_release(struct ldb_db *db, struct ldb_view *view);

/*
 * Makes a view of mem, immutables and the current version and installs it;
 * whoever asks from now on gets it. *out_old gets the one before: release it
 * once mu is dropped.
 */
LDB_MUST_CHECK enum ldb_status ldb_db_install_view(struct ldb_db *db,
                                                   struct ldb_error *err,
                                                   struct ldb_view **out_old)
    LDB_REQUIRES(db->mu);

/* ---- db.c ---- */

/* ldb_open(), or ldb_twin_open(). */
LDB_MUST_CHECK enum ldb_status
ldb_db_open(const char *path, const struct ldb_options *options, bool as_twin,
            struct ldb_recovery *recovery, struct ldb_error *err,
            struct ldb_db **out);

/* Why one that is not writable takes no write: READ_ONLY. */
enum ldb_status ldb_db_refuse_write(const struct ldb_db *db,
                                    struct ldb_error *err);

/* ---- options.c ---- */

/* *out = options with every default filled in; INVALID_ARGUMENT names one. */
LDB_MUST_CHECK enum ldb_status
ldb_options_complete(const struct ldb_options *options, struct ldb_error *err,
                     struct ldb_options *out);

/* ---- recovery.c ---- */

/*
 * Replays every journal that is needed into tables (read-only: into mem),
 * oldest first, one edit each, then starts a new journal. Used by open and
 * reopen: no writer, reader of db->view or background work touches db.
 */
LDB_MUST_CHECK enum ldb_status
ldb_recover_journals(struct ldb_db *db, struct ldb_recovery *recovery,
                     struct ldb_error *err);

/* Fills in what stands in the folder: newest journal, MANIFEST. Marks all
 * numbers used. CORRUPTION when a table of the current version is missing. */
LDB_MUST_CHECK enum ldb_status
ldb_recovery_survey(struct ldb_db *db, struct ldb_recovery *recovery,
                    struct ldb_error *err);

/* ---- flush.c ---- */

/*
 * Writes mem's entries as a level-0 table, synced, and adds it to edit; an
 * empty memtable adds nothing. mu is not held.
 */
LDB_MUST_CHECK enum ldb_status
ldb_flush_build_table(struct ldb_db *db, struct ldb_memtable *mem,
                      uint64_t number, struct ldb_version_edit *edit,
                      struct ldb_error *err);

/*
 * The memtables that the MANIFEST does not ask for any more leave the view, and
 * their journals the folder. NO_MEMORY: they stay until the next call.
 */
LDB_MUST_CHECK enum ldb_status ldb_flush_drop_applied(struct ldb_db *db,
                                                      struct ldb_error *err)
    LDB_EXCLUDES(db->mu);

/* The flush thread. */
void ldb_flush_thread(void *context);

/* ---- throttle.c ---- */

/*
 * The leader's: is there room for a group, with nothing to wait for or do?
 * False only sends it to make_room.
 */
LDB_MUST_CHECK bool ldb_throttle_has_room(const struct ldb_db *db);

/* version is what readers see now: does it slow writes down? */
void ldb_throttle_note_version(struct ldb_db *db,
                               const struct ldb_version *version)
    LDB_REQUIRES(db->mu);

/*
 * The leader's: makes room for a group in the memtable: slows down, waits, or
 * seals it. may_wait false: LDB_STALLED instead of any wait.
 */
LDB_MUST_CHECK enum ldb_status
ldb_throttle_make_room(struct ldb_db *db, bool may_wait, struct ldb_error *err)
    LDB_REQUIRES(db->mu);

/*
 * A compaction has read or written bytes: waits as long as the option
 * compaction_rate_bytes asks for, or until background work is to rest, or the
 * compaction was cancelled (NULL: it cannot be).
 */
void ldb_throttle_compaction(struct ldb_db *db, uint64_t bytes,
                             const atomic_bool *is_cancelled)
    LDB_EXCLUDES(db->mu);

/*
 * Seals journal and memtable and starts new ones. *out_old: the view before.
 * The leader's. Drops mu while it syncs the old journal: a power cut must not
 * leave a record of the new one without those before it.
 */
LDB_MUST_CHECK enum ldb_status ldb_throttle_seal(struct ldb_db *db,
                                                 struct ldb_error *err,
                                                 struct ldb_view **out_old)
    LDB_REQUIRES(db->mu);

/* ---- write_queue.c ---- */

/* The committer thread. */
void ldb_commit_thread(void *context);
/* No more writes are taken; the committer ends once the queue is empty. */
void ldb_write_queue_close(struct ldb_db *db) LDB_EXCLUDES(db->queue_mu);

/* Takes the lead, waiting for whoever has it; and gives it back. */
void ldb_lead_begin(struct ldb_db *db) LDB_EXCLUDES(db->queue_mu);
void ldb_lead_end(struct ldb_db *db) LDB_EXCLUDES(db->queue_mu);

/* ---- commit.c ---- */

/* The group a leader took off the queue: a list through ldb_write.next. */
struct ldb_commit_group {
    struct ldb_write *first;
    size_t count;
    bool sync;
};

/*
 * Commits the group, for which there is room: conditions, sequences, journal,
 * sync, memtable, publish; sets each write's result, calls nobody. The
 * leader's.
 */
void ldb_commit_group_run(struct ldb_db *db, struct ldb_commit_group *group);

/*
 * Links the prepared nodes from first to last (NULL: none) into the memtable,
 * and makes them visible: sequence, the last of them, is what readers see from
 * now on. The leader's.
 */
void ldb_commit_publish(struct ldb_db *db, struct ldb_memtable_node *first,
                        const struct ldb_memtable_node *last,
                        ldb_sequence sequence);

/* ---- folder_names.c ---- */

/* A file was made in the folder: its name's number. */
uint64_t ldb_folder_names_count(struct ldb_db *db) LDB_REQUIRES(db->mu);

/*
 * Makes the names up to that number durable: by a sync of the folder, where
 * none that began after it was counted has done it. Where one has failed the
 * name is lost for good, and this fails as that sync did: who needs a name
 * makes another file.
 */
LDB_MUST_CHECK enum ldb_status
ldb_folder_names_sync(struct ldb_db *db, uint64_t name, struct ldb_error *err)
    LDB_EXCLUDES(db->mu);

/* ---- durable.c ---- */

/* Both points are at the start of the journal, which follows all that there
 * is, all of it durable. Nobody writes. */
void ldb_durable_restart(struct ldb_db *db, uint64_t journal,
                         ldb_sequence sequence);

/* The leader's, when it has sealed the journal before: written goes on in the
 * next one; durable stays at the end of the sealed one. */
void ldb_durable_next_journal(struct ldb_db *db, uint64_t journal)
    LDB_REQUIRES(db->mu);

/* The leader's: numbers up to sequence are taken, without a write. */
void ldb_durable_raise(struct ldb_db *db, ldb_sequence sequence)
    LDB_REQUIRES(db->mu);

/* All up to there is durable; false: that was known, or is not to be said. */
bool ldb_durable_advance(struct ldb_db *db, const struct ldb_position *to)
    LDB_REQUIRES(db->mu);

/* Calls on_durable, when somebody watches. */
void ldb_durable_tell(struct ldb_db *db) LDB_EXCLUDES(db->mu);

/* ---- journal_sync.c ---- */

/*
 * Makes the journal durable, as far as it is not: its name, then its bytes.
 * The leader's, which holds the journal afterwards, as after settle; a failure
 * is for the caller to record.
 */
LDB_MUST_CHECK enum ldb_status ldb_journal_sync(struct ldb_db *db,
                                                struct ldb_error *err)
    LDB_EXCLUDES(db->mu);

/*
 * The leader's, after a group that asked for no sync, which ends at len: has
 * the journal synced beside the writes that follow when enough was added since
 * the last time, or before long when somebody watches. A failure of that stops
 * writes as any failed sync does.
 */
void ldb_journal_sync_early(struct ldb_db *db, uint64_t len)
    LDB_EXCLUDES(db->mu);

/* Has it synced as soon as the leader does not hold it. */
void ldb_journal_sync_ask(struct ldb_db *db) LDB_REQUIRES(db->mu);
/* Has it synced within sync_interval_us. */
void ldb_journal_sync_arm(struct ldb_db *db) LDB_REQUIRES(db->mu);

/* The leader's: it holds the journal: no sync beside it runs, and none begins
 * until it lets go. */
void ldb_journal_sync_settle(struct ldb_db *db) LDB_EXCLUDES(db->mu);

/* The leader's: what is synced up to the end of the last group counts as
 * durable; the sync thread tells who watches. */
void ldb_journal_sync_note(struct ldb_db *db) LDB_REQUIRES(db->mu);
/* The same, and it lets go of the journal. */
void ldb_journal_sync_resume(struct ldb_db *db) LDB_REQUIRES(db->mu);
/* The same, once a synced group is published; the caller tells who watches. */
void ldb_journal_sync_end_group(struct ldb_db *db) LDB_EXCLUDES(db->mu);

/* The thread of early syncs; it prepares journals, too. */
void ldb_journal_sync_thread(void *context);

/* ---- journal_spare.c ---- */

/*
 * Opens journal number, of no records. Mapped, it has a window for what a
 * memtable takes: slow, so not with mu held.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_start(struct ldb_db *db, uint64_t number, struct ldb_error *err,
                  struct ldb_journal_writer **out);

/*
 * The leader's: the journal after the current one: the one made ready, or a
 * new one. Drops mu when it has to wait.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_next(struct ldb_db *db, struct ldb_error *err,
                 struct ldb_journal_writer **out, uint64_t *out_number)
    LDB_REQUIRES(db->mu);

/* The journal has so many bytes: is it time to have the next one made ready? */
void ldb_journal_spare_note(struct ldb_db *db, uint64_t journal_len)
    LDB_REQUIRES(db->mu);

/* The sync thread's, when one is wanted. Drops mu meanwhile. */
void ldb_journal_spare_prepare(struct ldb_db *db) LDB_REQUIRES(db->mu);

/* Closes and removes what was made ready; no leader asks for one. */
void ldb_journal_spare_drop(struct ldb_db *db) LDB_EXCLUDES(db->mu);

/* ---- background.c ---- */

/* Starts flush, compaction and committer threads; on failure none runs. */
LDB_MUST_CHECK enum ldb_status ldb_background_start(struct ldb_db *db,
                                                    struct ldb_error *err);
/* Stops and joins them. */
void ldb_background_stop(struct ldb_db *db);

/* Background work rests until resume: waits until none runs. */
void ldb_background_pause(struct ldb_db *db) LDB_EXCLUDES(db->mu);
void ldb_background_resume(struct ldb_db *db) LDB_EXCLUDES(db->mu);

/* Records and logs a failure; the next try is due 1, 2, 4, then 8 s later, or
 * at once (no_compaction_backoff). */
void ldb_background_failed(struct ldb_db *db, enum ldb_work work,
                           const struct ldb_error *why) LDB_REQUIRES(db->mu);
/* The work succeeded; wakes who waits for that, or for what it changed. */
void ldb_background_recovered(struct ldb_db *db, enum ldb_work work)
    LDB_REQUIRES(db->mu);
/* Did it not fail, or is it time to try again? */
bool ldb_background_may_try(struct ldb_db *db, enum ldb_work work)
    LDB_REQUIRES(db->mu);
/* Somebody asks for it: the next try is due now. */
void ldb_background_try_now(struct ldb_db *db, enum ldb_work work)
    LDB_REQUIRES(db->mu);
/* A thread of that work waits on db->work, or until a try is due. */
void ldb_background_wait(struct ldb_db *db, enum ldb_work work)
    LDB_REQUIRES(db->mu);

/* Sets the journal's health (worse only), logs it, wakes who waits. */
void ldb_health_set(struct ldb_db *db, enum ldb_health health,
                    const struct ldb_error *why) LDB_REQUIRES(db->mu);

/* ---- compaction_run.c ---- */

/*
 * Moves or rewrites c's inputs and installs the edit; gives up when the
 * database closes (CLOSED). On failure nothing has changed. c is in
 * db->running, so its inputs are its own.
 */
LDB_MUST_CHECK enum ldb_status ldb_compaction_run(struct ldb_db *db,
                                                  struct ldb_compaction *c,
                                                  struct ldb_error *err)
    LDB_EXCLUDES(db->mu);

/* ---- compaction_learn.c ---- */

/*
 * Finds out about how many entries and delete marks meta, of the current
 * version, has: it was found at open. What cannot be read is not asked for
 * again. One thread at a time (is_learning). Drops mu meanwhile.
 */
void ldb_compaction_learn(struct ldb_db *db, struct ldb_file_meta *meta)
    LDB_REQUIRES(db->mu);

/* ---- compaction_schedule.c ---- */

/* A compaction thread. */
void ldb_compaction_thread(void *context);

/* ---- obsolete_files.c ---- */

/*
 * After open: removes what docs/formats.md, rule 32 lists; journals that are
 * not needed any more go to the archive, where there is one, and the list of
 * journals begins. A twin's stay, for ldb_twin_drop_flushed(). is_new: the
 * database was made just now.
 *
 * Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_obsolete_files_sweep(struct ldb_db *db, bool is_new, struct ldb_error *err);
/* Nothing needs these journals (sealed, ascending) any more: each is archived,
 * where there is an archive, or removed. No lock held. */
void ldb_obsolete_journals_retire(struct ldb_db *db, const uint64_t *numbers,
                                  size_t count);
/* After ldb_reopen(), or of a twin: the same of journals alone. */
void ldb_obsolete_journals_sweep(struct ldb_db *db);
/* Removes tables that no live version names any more. No lock held. */
void ldb_obsolete_files_remove(struct ldb_db *db);

#endif
