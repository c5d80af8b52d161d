/*
 * The mark of a clean stop, leveld/clean-stop: what the folder looked like
 * when it was closed with everything synced. A folder that still looks so was
 * touched by nobody since, and its epoch goes on; any other begins a new one.
 *
 * Thread-safety: plain values.
 */
#ifndef REPLICATION_CLEAN_STOP_H
#define REPLICATION_CLEAN_STOP_H

#include "storage/base/env.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_CLEAN_STOP_FILE    "clean-stop"
#define REPL_CLEAN_STOP_VERSION 1

struct repl_clean_stop {
    uint64_t epoch_number;
    uint64_t epoch_id;
    uint64_t manifest_number;
    uint64_t manifest_len;
    uint64_t journal_number; /* the newest; 0: there is none */
    uint64_t journal_len;
    ldb_sequence last_sequence; /* handed out, or the epoch's base if higher */
};

/*
 * Fills the manifest's and the journal's part from the files of a closed
 * database. Errors: those of ldb_current_read(), IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_clean_stop_scan(struct ldb_env *env, const char *dir,
                     struct ldb_error *err, struct repl_clean_stop *out);

/* Errors: those of repl_sidecar_read(). */
LDB_MUST_CHECK enum ldb_status
repl_clean_stop_load(struct ldb_env *env, const char *dir,
                     struct ldb_error *err, struct repl_clean_stop *out);

/* Durable when OK. */
LDB_MUST_CHECK enum ldb_status
repl_clean_stop_store(struct ldb_env *env, const char *dir,
                      const struct repl_clean_stop *mark,
                      struct ldb_error *err);

/* Durably gone when OK. */
LDB_MUST_CHECK enum ldb_status repl_clean_stop_remove(struct ldb_env *env,
                                                      const char *dir,
                                                      struct ldb_error *err);

#endif
