/*
 * The epochs of a folder's history, oldest first; kept in leveld/epochs. A
 * node that begins to lead after anything but its own verified clean stop
 * begins a new one, whose sequences lie above every one that an earlier
 * leader can have handed out; so a sequence number never names two writes.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_EPOCH_HISTORY_H
#define REPLICATION_EPOCH_HISTORY_H

#include "storage/base/env.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_EPOCHS_FILE    "epochs"
#define REPL_EPOCHS_VERSION 1

/*
 * How far an epoch's base lies above what recovery found: more writes than a
 * journal's unsynced tail can have lost.
 */
#define REPL_EPOCH_SKIP (UINT64_C(1) << 32)

struct repl_epoch {
    uint64_t number; /* from 1; higher than that of the one before */
    uint64_t id;     /* random: equal numbers, other ids: a split brain */
    ldb_sequence previous_last; /* last sequence found of the epoch before */
    ldb_sequence base;          /* its first sequence is base + 1 */
    uint64_t first_journal;     /* the journal its first write goes to */
};

/* What a new epoch has to be at least, because of what is known elsewhere;
 * zeroed: what follows on the history. */
struct repl_epoch_floor {
    uint64_t number;
    ldb_sequence base;
};

struct repl_epoch_history {
    struct repl_epoch *items; /* owned */
    size_t count;
    size_t capacity;
};

/* Frees the items; a zeroed history is an empty one. */
void repl_epoch_history_release(struct repl_epoch_history *history);

/* The newest; NULL when there is none. */
const struct repl_epoch *
repl_epoch_history_last(const struct repl_epoch_history *history);

/* Whether the epoch may stand after before (NULL: stand first) in a history. */
LDB_MUST_CHECK bool repl_epoch_follows(const struct repl_epoch *before,
                                       const struct repl_epoch *epoch);

/* Takes the line "epoch NUMBER ID PREVIOUS-LAST BASE FIRST-JOURNAL" of a file
 * in leveld/. False: it is none. */
LDB_MUST_CHECK bool repl_epoch_read(struct ldb_slice *lines,
                                    struct repl_epoch *out);

/*
 * The last sequence up to that one which can be an entry's. A database that has
 * begun an epoch and written nothing in it is at the epoch's base: its last
 * entry is of the epoch before.
 */
ldb_sequence
repl_epoch_history_last_entry(const struct repl_epoch_history *history,
                              ldb_sequence sequence);

/*
 * Makes the epoch that follows, without adding it. last: the last sequence
 * that recovery found. is_fresh: the folder was empty, so that epoch 1 begins
 * at 0. Errors: NOT_SUPPORTED when sequence numbers run out; IO (random).
 */
LDB_MUST_CHECK enum ldb_status
repl_epoch_history_next(const struct repl_epoch_history *history,
                        struct ldb_env *env, ldb_sequence last, bool is_fresh,
                        uint64_t first_journal, struct ldb_error *err,
                        struct repl_epoch *out);

/* Adds it in memory; undone by setting count. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_epoch_history_append(struct repl_epoch_history *history,
                          const struct repl_epoch *epoch,
                          struct ldb_error *err);

/* The epochs of from, into a zeroed history, which is so still after a failure.
 * Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_epoch_history_copy(const struct repl_epoch_history *from,
                        struct ldb_error *err, struct repl_epoch_history *out);

/* Fills a zeroed history. Errors: those of repl_sidecar_read(). */
LDB_MUST_CHECK enum ldb_status
repl_epoch_history_load(struct ldb_env *env, const char *dir,
                        struct ldb_error *err, struct repl_epoch_history *out);

/* Durable when OK: only then may the newest epoch write its first byte. */
LDB_MUST_CHECK enum ldb_status
repl_epoch_history_store(struct ldb_env *env, const char *dir,
                         const struct repl_epoch_history *history,
                         struct ldb_error *err);

#endif
