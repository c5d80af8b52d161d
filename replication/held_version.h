/*
 * A version of an open database that stays as long as it is held, with its
 * tables by number, and what of MANIFEST and journals belongs to it.
 *
 * Thread-safety: take and release on any thread; plain values between.
 */
#ifndef REPLICATION_HELD_VERSION_H
#define REPLICATION_HELD_VERSION_H

#include "storage/include/ldb.h"

struct ldb_file_meta;
struct ldb_version;

struct repl_held_table {
    uint64_t number;
    uint64_t size; /* bytes of its file */
    uint32_t level;
};

struct repl_held_version {
    struct ldb_db *db;           /* borrowed */
    struct ldb_version *version; /* one reference: its tables stay */
    uint64_t manifest_number;
    uint64_t manifest_len;
    uint64_t log_number;            /* the oldest journal needed */
    ldb_sequence last_sequence;     /* the MANIFEST's: of all in the tables */
    struct repl_held_table *tables; /* ascending by number */
    size_t table_count;
};

/* The current version into a zeroed *out, which is so still after a failure.
 * Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_held_version_take(struct ldb_db *db, struct ldb_error *err,
                       struct repl_held_version *out);

/* Zeroed is fine. Its tables may go from now on: a leader's engine removes them
 * soon, a twin's with its next edits. The database is open. */
void repl_held_version_release(struct repl_held_version *held);

/* NULL: it does not name the table. */
const struct repl_held_table *
repl_held_version_find(const struct repl_held_version *held, uint64_t number);

/* The same of any version, with all that the version says of it. */
const struct ldb_file_meta *repl_version_find(const struct ldb_version *version,
                                              uint64_t number);

#endif
