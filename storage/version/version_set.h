/*
 * The current version, all live ones, file numbers and the MANIFEST that makes
 * changes last. One change at a time: ldb_version_set_apply() writes the edit,
 * syncs it, and only then makes the new version current.
 *
 * Locking: struct ldb_db's mu guards "current", the counters and the order of
 * apply() calls: functions marked REQUIRES mu are called with it; apply()
 * releases mu around its I/O, and at most one apply() runs at a time (a second
 * caller waits inside). The list of live versions and the obsolete files have
 * a small mutex of their own, so that ldb_version_unref() works on any thread.
 *
 * A failed write of the MANIFEST poisons it: the next apply() starts a new one
 * (rotation) before anything else; until it succeeds no file is deleted.
 */
#ifndef STORAGE_VERSION_VERSION_SET_H
#define STORAGE_VERSION_VERSION_SET_H

#include "storage/base/env.h"
#include "storage/base/mutex.h"
#include "storage/version/manifest_run.h"

/* A MANIFEST at or over this many bytes is rotated; goleveldb's default. */
#define LDB_MANIFEST_ROTATE_BYTES (UINT64_C(64) << 20)

struct ldb_version_set;

struct ldb_version_set_options {
    struct ldb_env *env;                     /* borrowed */
    const char *dir;                         /* copied */
    const struct ldb_comparator *comparator; /* borrowed */
    struct ldb_mutex *mu;                    /* the database's; borrowed */
    uint64_t manifest_rotate_bytes;          /* 0: the default */
    bool skip_manifest_damage;               /* else recover() fails on it */
    uint32_t l0_compaction_trigger;          /* for the score; 0: 4 */
    uint64_t level1_bytes;                   /* for the score; 0: 100 MiB */
    uint32_t level_multiplier;               /* for the score; 0: 10 */
    /* For the score: where not 0, level n has level1_bytes times [n] instead.
     * LDB_LEVEL_COUNT of them, read by create(); NULL: all 0. */
    const double *level_multipliers;
    bool counts_seeks; /* in versions; seek compaction */
    /* Makes names in the folder durable, as an edit's newest_name asks; called
     * without mu. NULL: the folder is synced. */
    enum ldb_status (*sync_names)(void *context, uint64_t newest,
                                  struct ldb_error *err);
    void *sync_names_context;
};

LDB_MUST_CHECK enum ldb_status
ldb_version_set_create(const struct ldb_version_set_options *options,
                       struct ldb_error *err, struct ldb_version_set **out);
/* Closes the MANIFEST. All versions but the set's own reference are gone. */
void ldb_version_set_destroy(struct ldb_version_set *set);

/*
 * Reads CURRENT and its MANIFEST (damage other than a torn or zeroed tail is
 * CORRUPTION, unless it is to be skipped). NOT_FOUND: no database here. Writes
 * nothing; CURRENT is settled by the first apply(), which makes a new MANIFEST.
 * last_sequence becomes the maximum of field 4 and every number in smallest and
 * largest.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_set_recover(struct ldb_version_set *set, struct ldb_error *err);

/*
 * After recover(): goes on with the MANIFEST that was read, where its last
 * whole record ends, instead of a new one; settles CURRENT. For who follows
 * another database's MANIFEST. Called once; no other call runs.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_set_resume(struct ldb_version_set *set, struct ldb_error *err);

/*
 * Makes an empty database the way goleveldb does: MANIFEST-000000 with
 * comparator, log 0, next 1, sequence 0, then CURRENT. The journal is the
 * caller's.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_set_create_new(struct ldb_version_set *set, struct ldb_error *err);

/*
 * Fills in comparator-less scalars of edit (next file number always; log
 * number and last sequence only where the caller set them), appends it to the
 * MANIFEST (a new one at the first call after recover(), when over the rotate
 * size, and after a failure: a snapshot of the state *after* the edit, then
 * CURRENT), syncs, and makes the result current. On failure the current
 * version is as before. REQUIRES mu, which is released while the edit is
 * encoded and written, and held again at the return.
 *
 * Durability: the caller has synced the tables that the edit adds; their
 * directory entries are synced here, before the edit is written. Journals that
 * the edit makes needless may be deleted after OK, not before.
 *
 * On failure the tables that the edit adds to the database pass to the set:
 * the caller neither deletes nor adds them again, but writes them anew under
 * fresh numbers. Where the outcome is unknown (the edit may be read after a
 * crash) they are kept until a new MANIFEST stands; then, or at once where
 * nothing was written, take_obsolete() gives them out. On NO_MEMORY some may
 * stay until the next open.
 *
 * Errors: INVALID_ARGUMENT: a previous journal (tag 9) is still needed and the
 * edit sets no log number; CORRUPTION: the edit makes no sound version; IO,
 * NO_SPACE, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_set_apply(struct ldb_version_set *set,
                      struct ldb_version_edit *edit, struct ldb_error *err);

/*
 * Goes where another database's MANIFEST goes: makes run's edit, made for the
 * current version, as apply() does, but writes the run's own bytes. One record
 * after ours is appended. More of them, a MANIFEST of another number, or any
 * run after a failure whose outcome is unknown: the file is replaced at one
 * stroke, and then CURRENT names it. bytes: the run's len. REQUIRES mu, as
 * apply() does; not mixed with it.
 *
 * On failure the current version is as before, and the tables that the edit
 * adds stay the caller's: the run may be tried again, and they must be there
 * until it is or the database is closed.
 *
 * Errors: INVALID_ARGUMENT: the run does not begin where our MANIFEST ends;
 * CORRUPTION: it makes no sound version; IO, NO_SPACE, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_set_follow(struct ldb_version_set *set,
                       struct ldb_manifest_run *run, struct ldb_slice bytes,
                       struct ldb_error *err);

/* Borrowed; valid while mu is held (take a reference to keep it). NULL before
 * recover() or create_new(). REQUIRES mu. */
struct ldb_version *ldb_version_set_current(struct ldb_version_set *set);

/* File numbers are at most this: goleveldb stores them in 63 bits. */
#define LDB_FILE_NUMBER_MAX ((uint64_t)INT64_MAX)

/* A number never used before. REQUIRES mu. */
uint64_t ldb_version_set_new_file_number(struct ldb_version_set *set);
/* Later numbers are greater than number (of a file found in the folder; over
 * LDB_FILE_NUMBER_MAX it is none of ours and ignored). REQUIRES mu. */
void ldb_version_set_mark_used(struct ldb_version_set *set, uint64_t number);

/* Bytes of damage that recover() skipped. REQUIRES mu. */
uint64_t ldb_version_set_dropped_bytes(const struct ldb_version_set *set);

/* What the MANIFEST says: field 2, field 9, field 4 (raised as recover says),
 * field 3. REQUIRES mu. */
uint64_t ldb_version_set_log_number(const struct ldb_version_set *set);
uint64_t ldb_version_set_prev_log_number(const struct ldb_version_set *set);
ldb_sequence
ldb_version_set_recovered_sequence(const struct ldb_version_set *set);
uint64_t ldb_version_set_next_file_number(const struct ldb_version_set *set);

/* Number and length of the open MANIFEST (0 and 0 before one is open; after
 * recover() those of the one read, tail excluded). REQUIRES mu. */
void ldb_version_set_manifest(const struct ldb_version_set *set,
                              uint64_t *out_number, uint64_t *out_len);

/*
 * Where the next compaction of the level begins: the pointer of tag 5 (empty:
 * at the start). Set by apply() from its edit. REQUIRES mu. Borrowed.
 */
struct ldb_slice
ldb_version_set_compact_pointer(const struct ldb_version_set *set,
                                uint32_t level);

/*
 * Is table number in a live version, or kept for an edit whose outcome is
 * unknown? Meant for a pass over the folder: the first call after a change of
 * versions sorts all numbers, the next ones search. REQUIRES mu.
 */
bool ldb_version_set_is_live(struct ldb_version_set *set, uint64_t number);

/*
 * Takes the numbers of tables that no live version names any more since the
 * last call (*out from ldb_mem, caller frees; NULL and 0 when none). Empty
 * while the MANIFEST is poisoned. Any thread.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_set_take_obsolete(struct ldb_version_set *set, uint64_t **out,
                              size_t *out_count);

/* Calls on_obsolete(context) (any thread, no lock of the set's held) when a
 * dying version left files for take_obsolete(). apply() calls it without mu;
 * ldb_version_unref() with whatever its caller holds. */
void ldb_version_set_on_obsolete(struct ldb_version_set *set,
                                 void (*on_obsolete)(void *context),
                                 void *context);

struct ldb_score_limits {
    uint32_t l0_compaction_trigger;
    double level_bytes[LDB_LEVEL_COUNT]; /* [0] is not used */
};

/*
 * goleveldb's score of each level (docs/formats.md), stored in the version; and
 * 1 for a level that holds more than its share beside the deepest one
 * (docs/decisions/0032-space-of-overwritten-entries.md).
 */
void ldb_version_score(struct ldb_version *version,
                       const struct ldb_score_limits *limits);

#endif
