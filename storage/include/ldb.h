/*
 * libleveld: a key-value store in the LevelDB on-disk format, byte-compatible
 * with goleveldb and Google LevelDB. THE public header: open, write, get,
 * iterate, snapshot, close. (leveldb/c.h beside it is LevelDB's own C API on
 * the same engine.)
 *
 * Thread-safety: a struct ldb_db is used from any number of threads; an
 * iterator and a batch from one at a time. err may be NULL everywhere.
 * Out parameters are untouched on failure.
 */
#ifndef STORAGE_INCLUDE_LDB_H
#define STORAGE_INCLUDE_LDB_H

#include "ldb_batch.h"
#include "ldb_env.h"
#include "ldb_policy.h"
#include "ldb_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ldb_db;
struct ldb_snapshot;
struct ldb_cursor;
struct ldb_block_cache;

/* Levels 0 to 6, as both libraries have. */
#define LDB_LEVELS 7

/* ---- options ---- */

/* How records reach the journal; what a synced write promises is the same. */
enum ldb_journal {
    /* By system calls at the file's end. After a power cut what is left of the
     * writes that nobody asked to sync is the first of them, in any library. */
    LDB_JOURNAL_APPENDED,
    /*
     * By stores into a window of the file that is mapped and zeroed before: no
     * system call for a write without a sync. The writes survive the process
     * as ever. A power cut may take pages out of the middle of unsynced ones:
     * opening with this library then drops all from the first gap on; another
     * library would read on behind it, so open with this one first. On file
     * systems that do not write in place (all but ext4 and tmpfs) as APPENDED.
     */
    LDB_JOURNAL_MAPPED,
};

/*
 * Fixed at open. Start from LDB_OPTIONS_DEFAULT; 0 or NULL in a field means
 * its default too. In brackets goleveldb's / LevelDB's name.
 */
struct ldb_options {
    /* NULL: the system's files; or ldb_env_memory_create()'s. Borrowed until
     * close. */
    struct ldb_env *env;
    /* The order of keys; NULL: bytewise. Its name stays with the database.
     * Borrowed until close. [Comparer / comparator] */
    const struct ldb_comparator *comparator;
    /* What new tables get; NULL: the built-in bloom filter of bloom_bits.
     * Borrowed until close. [Filter / filter_policy] */
    const struct ldb_filter_policy *filter;
    /* Bits a key of the built-in filter; 0: no filter. Default 10, geth's. */
    unsigned bloom_bits;
    /* Filters that tables may have which other options wrote: read, never
     * written. Borrowed until close. [AltFilters] */
    const struct ldb_filter_policy *const *alt_filters;
    size_t alt_filter_count;
    /* log2 of the table bytes that one filter answers for. 1 to 30, default
     * 11. [FilterBaseLg] */
    unsigned filter_base_lg;
    /* Make the database when there is none. [!ErrorIfMissing] */
    bool create_if_missing;
    /* Fail with LDB_EXISTS when there is one. [ErrorIfExist] */
    bool error_if_exists;
    /* Write nothing at all, not even LOG. [ReadOnly] */
    bool read_only;
    /* Damage in a journal is an error, else dropped and counted.
     * [StrictJournal / paranoid_checks] */
    bool strict_journal;
    /* Do not verify the checksums of journals. [!StrictJournalChecksum] */
    bool skip_journal_checksums;
    /* Verify data blocks when first read. Default true. */
    bool verify_checksums;
    /* Cursors pass over damaged blocks and tables. ldb_get() tells damage all
     * the same: what lies below it may be older. [!StrictReader] */
    bool skip_read_damage;
    /* Compaction passes over damage, and what was damaged is lost for good;
     * else it stops. [!StrictCompaction] */
    bool skip_compaction_damage;
    /* Damaged records of the MANIFEST are dropped, with what they name; else
     * opening fails (leveld check, ldb_repair). Tables that no record names
     * then stay until the next open. [!StrictManifest] */
    bool skip_manifest_damage;
    /* Bytes of a memtable before it is flushed. Default 4 MiB, geth's
     * smallest. [WriteBuffer / write_buffer_size] */
    size_t write_buffer_bytes;
    /* Memtables that may wait for their flush. Default 2. */
    unsigned immutable_memtables_max;
    /* Bytes of a table that compaction writes. Default 2 MiB.
     * [CompactionTableSize / max_file_size] */
    uint64_t table_bytes;
    /* A table of level n has table_bytes * table_multiplier^n, or, where
     * table_multipliers[n] is not 0, times that; drawn into 1 KiB to 4 GiB.
     * Default 1: one size. [CompactionTableSizeMultiplier,
     * CompactionTableSizeMultiplierPerLevel] */
    double table_multiplier;
    double table_multipliers[LDB_LEVELS];
    /* Compactions that may run at once, where they do not meet. 1 to 8,
     * default 2. */
    unsigned compaction_threads;
    /* Plain bytes of a data block. Default 4096. [BlockSize / block_size] */
    size_t block_bytes;
    /* Entries between restarts. Default 16. */
    unsigned block_restart_interval;
    /* Snappy where it saves over an eighth. Default true. */
    bool compress;
    /* Bytes of the block cache. Default 8 MiB. [BlockCacheCapacity] */
    size_t block_cache_bytes;
    /* Bytes of the row cache: keys with their newest values, as gets without
     * a snapshot found them, for the next one. Of up to 160 bytes, key and
     * value; bytewise order alone. Each write notes its keys there, which costs
     * a cache miss. Default 0: none. */
    size_t row_cache_bytes;
    /* Keep no block. [DisableBlockCache, NoCacher] */
    bool disable_block_cache;
    /* A cache shared with other databases, or NULL. Borrowed until close. */
    struct ldb_block_cache *block_cache;
    /* Tables kept open. Default 500. [OpenFilesCacheCapacity] */
    unsigned open_tables_max;
    /* In units of a table of the next level; the overlap: of a table of the
     * level after next. Up to how much a compaction takes more of its
     * level, if that is for free; overlap with the level after next at which an
     * output ends; what a step of a manual one takes. Default 25, 10, 1.
     * [CompactionExpandLimitFactor, CompactionGPOverlapsFactor,
     * CompactionSourceLimitFactor] */
    unsigned expand_limit_factor;
    unsigned grandparent_overlap_factor;
    unsigned source_limit_factor;
    /* Compact tables that reads look into in vain too often, one for each
     * 16 KiB of the table, at least 100. [!DisableSeeksCompaction] */
    bool seek_compaction;
    /* Bytes that cursors read, all together, between two looks at how many
     * tables they merge, for seek_compaction. Default 1 MiB.
     * [IteratorSamplingRate] */
    uint64_t iterator_sampling_bytes;
    /* Bytes a second that compactions read and write together; 0: no limit. */
    uint64_t compaction_rate_bytes;
    /* Level-0 tables at which compaction starts (half way to the next while
     * flushes follow one another), writes slow, writes stop. Default 4, 8, 12.
     * [CompactionL0Trigger, WriteL0SlowdownTrigger,
     * WriteL0PauseTrigger] */
    unsigned l0_compaction_trigger;
    unsigned l0_slowdown_trigger;
    unsigned l0_stop_trigger;
    /* Bytes that compaction has yet to merge: writes slow from the first on,
     * and are slowest at the second. Default 4 GiB, 16 GiB. */
    uint64_t pending_slowdown_bytes;
    uint64_t pending_limit_bytes;
    /* Bytes of level 1, and the factor per deeper level. Default 100 MiB, 10.
     * [CompactionTotalSize, CompactionTotalSizeMultiplier] */
    uint64_t level1_bytes;
    unsigned level_multiplier;
    /* Where level_multipliers[n] is not 0, level n has level1_bytes times that
     * instead; [0] is not used. [CompactionTotalSizeMultiplierPerLevel] */
    double level_multipliers[LDB_LEVELS];
    /* Try failed flushes and compactions again at once, not after 1, 2, 4, 8
     * seconds. [DisableCompactionBackoff] */
    bool no_compaction_backoff;
    /* Default LDB_JOURNAL_APPENDED. */
    enum ldb_journal journal;
    /* Sync nothing, ever: after a power cut the database may be lost. Who dies
     * with the process loses nothing. [NoSync] */
    bool no_sync;
    /* Commit each write in a record and a sync of its own. [NoWriteMerge] */
    bool no_write_merge;
    /* Bytes of a batch, header included. Default 64 MiB + 64 KiB + 1 KiB. */
    size_t batch_bytes_max;
    /* Bytes of batches waiting in the write queue; beyond: LDB_STALLED.
     * Default 256 MiB. */
    size_t write_queue_bytes_max;
    /* Bytes of the MANIFEST at which a new one is begun. Default 64 MiB. */
    uint64_t manifest_rotate_bytes;
    /* Microseconds that a write without a sync may wait until it is durable,
     * while somebody watches (ldb_watch_begin()). At most an hour; 0: as long
     * as it takes. Default 100,000. */
    uint64_t sync_interval_us;
    /* While somebody watches: called when ldb_durable_position() has moved, on
     * the thread that has moved it, with no lock held, at times by two threads
     * at once. Must not block, and call nothing of the database but
     * ldb_durable_position(). A call may begin before ldb_watch_end() and end
     * after it; none is left when ldb_close() returns. NULL: nobody is told. */
    void (*on_durable)(void *context);
    void *on_durable_context;
    /*
     * Journals that nothing needs any more go to leveld/archive/ in the
     * folder, where both other libraries do not look, for who reads what was
     * written (changes, replication). At most so many bytes of them, whatever
     * happens; the oldest go first. 0: none is kept, and what is there goes.
     * Default 0.
     */
    uint64_t archive_bytes;
    /* One goes earlier when it has been there for so many microseconds, unless
     * a reader needs it. 0: at once. At open all begin anew. */
    uint64_t archive_age_us;
};

/* The defaults above as a value. */
LDB_API void ldb_options_init(struct ldb_options *options);

/* ---- open and close ---- */

/* What opening found and did; for the start-up line and the clean-stop mark. */
struct ldb_recovery {
    bool created;               /* there was no database */
    uint64_t manifest_number;   /* as found, before anything was written */
    uint64_t manifest_len;      /* bytes of that file, whole */
    uint64_t journal_number;    /* newest journal found, 0: none */
    uint64_t journal_len;       /* bytes of it */
    ldb_sequence last_sequence; /* after replay */
    uint64_t journals_replayed;
    uint64_t records_replayed;
    uint64_t bytes_dropped;          /* damage inside journals, skipped */
    uint64_t manifest_bytes_dropped; /* likewise; skip_manifest_damage */
    uint64_t tail_bytes;             /* torn tails, cut off by reading */
    uint64_t tables_written;
    uint64_t duration_us;
};

/*
 * Opens the database in folder path (made when absent and create_if_missing).
 * Takes LOCK (LDB_LOCKED names the holder), replays journals in order, starts
 * a new journal and MANIFEST. options is copied. recovery may be NULL.
 *
 * Errors: LOCKED, NOT_FOUND (no database), EXISTS, CORRUPTION (file and
 * offset), INVALID_ARGUMENT (option, comparator), IO, NO_SPACE, NO_MEMORY.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_open(const char *path, const struct ldb_options *options,
         struct ldb_recovery *recovery, struct ldb_error *err,
         struct ldb_db **out);

/*
 * Completes queued writes, waits for background work, syncs the journal,
 * frees db (also on failure: then the last writes may not be durable). No
 * other call runs; cursors and snapshots are released before. The memtable is
 * not flushed: it stays in its journal.
 */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_close(struct ldb_db *db,
                                                 struct ldb_error *err);

/* ---- writing ---- */

enum ldb_condition_kind {
    LDB_CONDITION_ABSENT,  /* the key has no value */
    LDB_CONDITION_PRESENT, /* the key has a value */
    /* The key has a value whose sequence is one of / none of the list.
     * NOT_IN also holds for an absent key. */
    LDB_CONDITION_SEQUENCE_IN,
    LDB_CONDITION_SEQUENCE_NOT_IN,
};

struct ldb_condition {
    enum ldb_condition_kind kind;
    struct ldb_slice key;
    const ldb_sequence *sequences;
    size_t sequence_count;
};

/*
 * A range whose live keys are deleted, resolved under the commit order: the
 * deletes stand before operation before_op of the batch (count: at its end),
 * after the operations that precede it, whose puts they cover.
 */
struct ldb_delete_range {
    uint32_t before_op;
    struct ldb_slice start; /* inclusive */
    struct ldb_slice end;   /* exclusive */
    bool has_end;           /* false: to the last key */
};

/* Keys that the ranges of one write may delete; beyond: TOO_LARGE. */
#define LDB_DELETE_RANGE_KEYS_MAX 10000

/*
 * One write: the caller's, untouched by others from submit until done was
 * called. Zero it, set the first part.
 */
struct ldb_write {
    /* ---- set by the caller ---- */
    struct ldb_batch *batch; /* its sequence field is filled in */
    bool sync;               /* durable before done */
    bool alone;              /* in no group with others. [NoWriteMerge] */
    /* All must hold, else PRECONDITION. */
    const struct ldb_condition *conditions;
    size_t condition_count;
    const struct ldb_delete_range *ranges; /* ascending before_op */
    size_t range_count;
    /*
     * Called once, from the thread that committed it, with no lock held; must
     * not block or call the database. NULL only with ldb_write_wait().
     */
    void (*done)(struct ldb_write *write);
    void *context;

    /* ---- the result, set before done ---- */
    enum ldb_status status;
    struct ldb_error error;
    ldb_sequence sequence;   /* of the last operation; of an empty batch: the
                                last sequence written before it */
    uint64_t count;          /* operations written, ranges resolved */
    size_t failed_condition; /* PRECONDITION: its index */
    bool current_exists;     /* PRECONDITION: the key has a value, */
    ldb_sequence current;    /*               written at this sequence */

    /* ---- the queue's own ---- */
    struct ldb_write *next;
    int state;
};

/*
 * Queues the write; done is called, maybe before this returns only by
 * ldb_write_drive() or another thread's commit. OK, or (done is not called):
 * STALLED, TOO_LARGE, READ_ONLY, CLOSED, INVALID_ARGUMENT.
 *
 * Nothing is woken for it: the caller follows with ldb_write_drive(), once for
 * as many submits as it likes.
 */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_write_submit(struct ldb_db *db,
                                                        struct ldb_write *write,
                                                        struct ldb_error *err);

/*
 * Sees to it that all submitted writes get committed: commits them here when
 * none of them needs a sync or a wait and nobody else is committing, else
 * wakes the committer thread. Never blocks on a sync or a stall.
 */
LDB_API void ldb_write_drive(struct ldb_db *db);

/* Submits and waits; the result is in *write and returned. */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_write_wait(struct ldb_db *db,
                                                      struct ldb_write *write);

/* One put or delete, waited for. out_sequence may be NULL. */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_put(struct ldb_db *db, struct ldb_slice key, struct ldb_slice value,
        bool sync, struct ldb_error *err, ldb_sequence *out_sequence);
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_delete(struct ldb_db *db, struct ldb_slice key, bool sync,
           struct ldb_error *err, ldb_sequence *out_sequence);

/* The last sequence that readers see. */
LDB_API ldb_sequence ldb_last_sequence(struct ldb_db *db);

/*
 * Later writes get sequences above floor (a new epoch's base). Call with no
 * write under way. INVALID_ARGUMENT past LDB_SEQUENCE_MAX; a floor below the
 * last sequence changes nothing.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_raise_sequence(struct ldb_db *db, ldb_sequence floor,
                   struct ldb_error *err);

/* ---- what is durable ---- */

/*
 * One point in one history: the journal, a byte of it at which a record ends,
 * and the last sequence handed out up to there.
 */
struct ldb_position {
    uint64_t journal;
    uint64_t offset;
    ldb_sequence sequence;
};

/*
 * Up to there all is on disk: the journals before, and this one up to the
 * offset. Never past what readers see; after a seal it stays at the end of the
 * sealed journal until the next one has durable bytes. Only grows. Takes no
 * lock.
 */
LDB_API struct ldb_position ldb_durable_position(struct ldb_db *db);

/*
 * Somebody watches, until end: the options on_durable and sync_interval_us are
 * in force as long as anybody does. Costs writers nothing otherwise. Neither
 * waits.
 */
LDB_API void ldb_watch_begin(struct ldb_db *db);
LDB_API void ldb_watch_end(struct ldb_db *db);

/* Asks that what was written so far be synced; does not wait for it. */
LDB_API void ldb_sync_soon(struct ldb_db *db);

/*
 * Removes from the archive what is older than archive_age_us, and the oldest
 * beyond bytes_max (UINT64_MAX: beyond archive_bytes alone), as each flush does
 * by itself. For who has a clock, or needs the space. It calls the file system.
 */
LDB_API void ldb_archive_trim(struct ldb_db *db, uint64_t bytes_max);

/* ---- reading ---- */

struct ldb_read_options {
    const struct ldb_snapshot *snapshot; /* NULL: now */
    bool skip_cache;                     /* do not keep what is read */
    /* 0: as the database; 1: verify; 2: do not verify data blocks. */
    int checksums;
    /* 0: as the database; 1: a cursor stops at damage; 2: passes over it.
     * [StrictOverride, StrictReader] */
    int damage;
    /*
     * A cursor shows keys of [lower, upper) alone, and those that begin with
     * prefix; NULL: all. Any of them together; a range without keys is empty,
     * no error. Blocks and tables that lie outside are not read. Copied at
     * open; ldb_get() does not look at them.
     *
     * A bound is meant in the comparator's order. Only where keys order by
     * their bytes do those of a prefix stand together: with another comparator
     * a prefix is INVALID_ARGUMENT.
     */
    const struct ldb_slice *lower;
    const struct ldb_slice *upper;
    const struct ldb_slice *prefix;
};

/*
 * The value of key, into out_value (cleared first; NULL: not copied), and the
 * sequence it was written at. NOT_FOUND when there is none. out_seen, when not
 * NULL, is set on OK and NOT_FOUND to the sequence this read saw.
 * options may be NULL.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_get(struct ldb_db *db, struct ldb_slice key,
        const struct ldb_read_options *options, struct ldb_error *err,
        struct ldb_buf *out_value, ldb_sequence *out_sequence,
        ldb_sequence *out_seen);

/* A consistent view that stays until released. */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_snapshot_acquire(struct ldb_db *db, struct ldb_error *err,
                     struct ldb_snapshot **out);
LDB_API void ldb_snapshot_release(struct ldb_snapshot *snapshot);
LDB_API ldb_sequence ldb_snapshot_sequence(const struct ldb_snapshot *snapshot);

/*
 * A cursor over live keys at one view (the snapshot's, else now) and within the
 * options' bounds, both ways. Not positioned at first. key and value are
 * borrowed until the next move. options may be NULL.
 *
 * Errors: INVALID_ARGUMENT: a prefix, which the comparator cannot have; IO,
 * CORRUPTION: of a table; NO_MEMORY.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_cursor_open(struct ldb_db *db, const struct ldb_read_options *options,
                struct ldb_error *err, struct ldb_cursor **out);
LDB_API void ldb_cursor_close(struct ldb_cursor *cursor);
/* The first / last key within the bounds. */
LDB_API void ldb_cursor_seek_first(struct ldb_cursor *cursor);
LDB_API void ldb_cursor_seek_last(struct ldb_cursor *cursor);
/* The first key >= key / the last key < key, of those within the bounds. */
LDB_API void ldb_cursor_seek(struct ldb_cursor *cursor, struct ldb_slice key);
LDB_API void ldb_cursor_seek_before(struct ldb_cursor *cursor,
                                    struct ldb_slice key);
/* Valid on entry. */
LDB_API void ldb_cursor_next(struct ldb_cursor *cursor);
LDB_API void ldb_cursor_prev(struct ldb_cursor *cursor);
LDB_API bool ldb_cursor_valid(const struct ldb_cursor *cursor);
LDB_API struct ldb_slice ldb_cursor_key(const struct ldb_cursor *cursor);
LDB_API struct ldb_slice ldb_cursor_value(const struct ldb_cursor *cursor);
/* The sequence the entry was written at. */
LDB_API ldb_sequence ldb_cursor_sequence(const struct ldb_cursor *cursor);
/* The sequence of the cursor's view. */
LDB_API ldb_sequence ldb_cursor_view_sequence(const struct ldb_cursor *cursor);
/* Not valid and OK: the end. Else why it stopped. */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_cursor_status(const struct ldb_cursor *cursor, struct ldb_error *err);

/* ---- maintenance ---- */

/* Looks on at long work, and may end it. */
struct ldb_progress {
    /*
     * Some times a second while something is done, from the thread of the call
     * that works, with no lock held: so many bytes of about total are done,
     * never more. False: the call ends as soon as it can, with CANCELLED. Must
     * not call the database.
     */
    bool (*report)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Flushes the memtable and waits until it is in a table. Fails with what an
 * attempt met that began after the call. */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_flush(struct ldb_db *db,
                                                 struct ldb_error *err);

/* Compacts all that overlaps user keys [begin, end] (NULL: open), and waits. */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_compact_range(struct ldb_db *db, const struct ldb_slice *begin,
                  const struct ldb_slice *end, struct ldb_error *err);

/*
 * The same, with someone who looks on; NULL: nobody. Bytes are those read to
 * merge, counted a step at a time. Cancelled in the middle of a step, whose
 * outputs are dropped; what was merged before stays so.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_compact_range_with(struct ldb_db *db, const struct ldb_slice *begin,
                       const struct ldb_slice *end,
                       const struct ldb_progress *progress,
                       struct ldb_error *err);

/* About how many bytes of tables the keys [start, end) take. */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_approximate_size(struct ldb_db *db, struct ldb_slice start,
                     struct ldb_slice end, struct ldb_error *err,
                     uint64_t *out_bytes);

/* Appends the text of a property ("leveldb.stats", ...); NOT_FOUND: unknown. */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_property(struct ldb_db *db, const char *name, struct ldb_buf *out);

/*
 * Deletes the files of the database in path, CURRENT last, and path itself when
 * nothing else is in it. Files of other names stay, and so do the folders
 * leveld/ (who this node is; without its archive) and lost/ (what repairs kept)
 * with all in them.
 * options: env is used; NULL: the defaults. After a failure it can be repeated.
 * Once it returns a power cut brings none of them back.
 *
 * Errors: NOT_FOUND: no database; LOCKED; IO, NO_MEMORY.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_destroy(const char *path, const struct ldb_options *options,
            struct ldb_error *err);

/*
 * Makes dir (made when absent, else empty) a copy of the database as it is at
 * one sequence, while writing goes on; it opens by itself. Tables are hard
 * links where the file system can; it is durable at the return, and after a
 * crash whole or without CURRENT. leveld/ is not copied.
 *
 * Errors: EXISTS: dir is not empty; READ_ONLY: opened read-only, copy the
 * folder instead, or an ldb_reopen() has failed; IO, NO_SPACE, NO_MEMORY: dir
 * is empty again as far as the disk lets us.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_checkpoint(struct ldb_db *db, const char *dir, struct ldb_error *err);

/* The same, with someone who looks on; NULL: nobody. Cancelled, dir is empty
 * again. Bytes are those of the files, linked or copied. */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_checkpoint_with(struct ldb_db *db, const char *dir,
                    const struct ldb_progress *progress, struct ldb_error *err);

/* ---- backup ---- */

/*
 * The files of an open database as they are at one sequence, to be read one
 * after the other and kept elsewhere, while writing goes on: what
 * ldb_checkpoint() makes, without a folder for it. Nothing is copied: the
 * tables of that time stay on disk until it is closed.
 *
 * Thread-safety: one caller at a time.
 */
struct ldb_backup;

/* The file that is read now. */
struct ldb_backup_file {
    const char *name; /* valid until the next one or close */
    uint64_t size;
};

/*
 * Waits for a write that is being committed. Close it before the database.
 * After a failed sync a write of unknown outcome may be in the files too.
 *
 * Errors: READ_ONLY: opened read-only, copy the folder instead, or an
 * ldb_reopen() has failed; IO, NO_MEMORY.
 */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_backup_open(struct ldb_db *db,
                                                       struct ldb_error *err,
                                                       struct ldb_backup **out);
LDB_API void ldb_backup_close(struct ldb_backup *backup); /* NULL is fine */

/* All writes up to it are in the files, and none after it. */
LDB_API ldb_sequence ldb_backup_sequence(const struct ldb_backup *backup);

/*
 * Goes to the next file, in this order: tables, journals, MANIFEST, CURRENT. A
 * copy that lacks CURRENT was cut. NOT_FOUND after the last; CORRUPTION: a
 * table is missing; IO, NO_MEMORY.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_backup_next(struct ldb_backup *backup, struct ldb_error *err,
                struct ldb_backup_file *out);

/*
 * Its next bytes, up to max of them; *out_len 0 at its end, after size bytes
 * in all. Errors: CORRUPTION: the file is shorter than it should be; IO.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_backup_read(struct ldb_backup *backup, uint8_t *out, size_t max,
                struct ldb_error *err, size_t *out_len);

/* ---- repair ---- */

struct ldb_repair_options {
    /* Say what would be done; change no byte. */
    bool dry_run;
    /* Leave damaged tables out whole instead of keeping their good entries.
     * [StrictRecovery] */
    bool strict_recovery;
    /* Called with each line for people: file, offset, keys, what is done. NULL:
     * nobody listens. */
    void (*line)(void *context, const char *text);
    void *context;
};

/* What was found and done (dry_run: would be). */
struct ldb_repair_report {
    bool needed;         /* false: nothing is wrong, nothing was changed */
    uint64_t damages;    /* lines that tell damage */
    uint64_t edits_kept; /* of the MANIFEST that the levels come from */
    uint64_t tables_kept;
    uint64_t tables_rewritten; /* damaged; their good entries stay */
    uint64_t tables_lost;      /* missing, or without a good entry */
    uint64_t tables_placed;    /* no MANIFEST told their level */
    uint64_t tables_merged;    /* no order of levels fitted them */
    uint64_t entries_salvaged; /* good ones of damaged tables */
    uint64_t journals;
    uint64_t journal_records;
    uint64_t journal_bytes_dropped;
    uint64_t files_kept_in_lost;
    uint64_t manifest_number; /* the new one */
    ldb_sequence last_sequence;
};

/*
 * Makes the closed database in path one that opens, with all that is
 * undamaged: levels by the MANIFEST as far as it is whole, other tables by
 * their keys and sequence numbers, journals as tables. What is replaced is kept
 * in path/lost/ before the new state is in force. May be stopped and started
 * again at any point. A sound folder is left as it is.
 *
 * Holds both locks (dry_run: shared). options: env, comparator, filter and the
 * sizes of tables and blocks are used; NULL: the defaults. repair and
 * out_report may be NULL.
 *
 * Errors: LOCKED; NOT_FOUND: no database; INVALID_ARGUMENT: made with another
 * comparator; NOT_SUPPORTED: file numbers are used up; IO, NO_SPACE, NO_MEMORY:
 * the folder is as it was, or repaired.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_repair(const char *path, const struct ldb_options *options,
           const struct ldb_repair_options *repair,
           struct ldb_repair_report *out_report, struct ldb_error *err);

/* ---- health ---- */

enum ldb_health {
    LDB_HEALTHY,
    LDB_HEALTH_DISK_FULL,    /* writes fail with NO_SPACE until space is back;
                                it heals by itself */
    LDB_HEALTH_SYNC_FAILED,  /* writes have stopped; ldb_reopen() or restart */
    LDB_HEALTH_WRITE_FAILED, /* the journal could not be cut: as SYNC_FAILED */
    LDB_HEALTH_BACKGROUND,   /* flush or compaction fails and is retried */
    LDB_HEALTH_CORRUPTION,   /* compaction met damage and has stopped */
};

/* Any thread; error, when not NULL, gets the reason. */
LDB_API enum ldb_health ldb_health(struct ldb_db *db, struct ldb_error *error);

/*
 * The first step of ldb_reopen() alone, once writes have stopped with
 * SYNC_FAILED or WRITE_FAILED: cuts the journal to its last synced length, on
 * disk. What a start would find from now on, whenever the process dies, has
 * *out_last as its last sequence: who writes down where an epoch ended does it
 * between the two. Readers see more until ldb_reopen() is done.
 *
 * Errors: INVALID_ARGUMENT: writes go on; READ_ONLY; IO, NO_SPACE, NO_MEMORY:
 * it may be called again.
 */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_cut_unsynced(struct ldb_db *db,
                                                        struct ldb_error *err,
                                                        ldb_sequence *out_last);

/*
 * Heals SYNC_FAILED and WRITE_FAILED in place: cuts the journal to its last
 * synced length, drops the memtables, replays, starts a new journal. Readers
 * keep what they saw until it is done. Then raise the sequence (a new epoch).
 * When it fails writes stop, if they had not, and it may be called again.
 */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_reopen(struct ldb_db *db,
                                                  struct ldb_recovery *recovery,
                                                  struct ldb_error *err);

/* ---- figures ---- */

#define LDB_STATS_LEVELS LDB_LEVELS

/* What holds writes up. */
enum ldb_stall {
    LDB_STALL_LEVEL0_SLOWDOWN,
    LDB_STALL_PENDING_SLOWDOWN, /* pending_compaction_bytes */
    LDB_STALL_MEMTABLES_STOP,   /* all are full and wait for their flush */
    LDB_STALL_LEVEL0_STOP,
    LDB_STALL_COUNT,
};

struct ldb_stats {
    struct {
        uint64_t tables;
        uint64_t bytes;
        uint64_t compaction_read_bytes;  /* into this level */
        uint64_t compaction_write_bytes; /* flushes count for level 0 */
        uint64_t compaction_us;
        uint64_t compactions;
        uint64_t seek_compactions; /* of them, asked for by reads */
        double score;              /* >= 1: due */
    } levels[LDB_STATS_LEVELS];
    ldb_sequence last_sequence;
    ldb_sequence durable_sequence; /* of ldb_durable_position() */
    uint64_t manifest_number;
    uint64_t manifest_bytes;
    /* The last sequence that the MANIFEST says was given out: of a flush, and
     * above durable_sequence where the last writes before it have failed. */
    ldb_sequence manifest_sequence;
    uint64_t journal_number;
    uint64_t journal_bytes;        /* of the open journal */
    uint64_t journal_synced_bytes; /* of them, durable */
    size_t memtable_bytes;
    unsigned immutable_memtables;
    size_t immutable_bytes;
    unsigned live_snapshots;
    unsigned live_cursors;
    /* since open */
    uint64_t writes;     /* write requests committed */
    uint64_t operations; /* puts and deletes in them */
    uint64_t user_bytes; /* keys and values in them */
    uint64_t groups;     /* commits: one journal write each */
    uint64_t syncs;      /* journal fdatasyncs */
    uint64_t sync_us;
    uint64_t journal_written_bytes;
    uint64_t gets;
    uint64_t flushes;
    uint64_t flush_bytes;
    uint64_t compactions;
    uint64_t trivial_moves;
    unsigned running_compactions; /* now */
    uint64_t pending_compaction_bytes;
    uint64_t merged_bytes_per_second; /* by compactions, lately; 0: unknown */
    double pending_seconds; /* for what is pending, at that rate; or 0 */
    struct {
        uint64_t count; /* groups of writes */
        uint64_t us;
    } stalls[LDB_STALL_COUNT];
    uint64_t slowdown_count; /* the sums of them */
    uint64_t slowdown_us;
    uint64_t stop_count;
    uint64_t stop_us;
    bool stopped;        /* now */
    size_t queue_writes; /* waiting now */
    size_t queue_bytes;
    uint64_t block_cache_hits;
    uint64_t block_cache_misses;
    size_t block_cache_bytes;
    size_t block_cache_capacity_bytes;
    uint64_t row_cache_hits; /* gets that it answered, or could have */
    uint64_t row_cache_misses;
    size_t row_cache_bytes;
    size_t row_cache_capacity_bytes;
    size_t open_tables;
    size_t open_tables_max;
    size_t table_memory_bytes; /* pinned index and filter blocks */
    uint64_t table_cache_hits;
    uint64_t table_cache_misses;
    uint64_t archive_journals;
    uint64_t archive_bytes; /* of disk, in whole blocks */
    uint64_t archive_bytes_max;
    ldb_sequence oldest_sequence; /* changes after it are in journals */
    uint64_t journal_pins;        /* of readers, now */
    uint64_t journal_pins_lost;   /* since open: what they pinned had to go */
};

LDB_API void ldb_stats(struct ldb_db *db, struct ldb_stats *out);

/* ---- beside leveldb/c.h ---- */

struct leveldb_options_t;

/*
 * The options behind LevelDB's, for a program that wants one which LevelDB has
 * not: leveldb_open() takes what is set here. Valid until
 * leveldb_options_destroy().
 */
LDB_API struct ldb_options *
ldb_options_of_leveldb(struct leveldb_options_t *options);

#ifdef __cplusplus
}
#endif

#endif
