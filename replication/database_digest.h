/*
 * One number for a version of a database: XXH3-128 over what names it (epoch,
 * MANIFEST and its length, the last sequence that its tables hold) and each of
 * its tables by number, level, length and digest. Two nodes whose folders are
 * twins at one version have the same; no file is read for it that was digested
 * before.
 *
 * Thread-safety: one caller an object; wake runs on any thread.
 */
#ifndef REPLICATION_DATABASE_DIGEST_H
#define REPLICATION_DATABASE_DIGEST_H

#include "storage/base/digest.h"
#include "storage/include/ldb.h"

struct repl_database_digest;
struct repl_digest_index;

struct repl_database_digest_result {
    uint64_t epoch; /* number */
    uint64_t manifest_number;
    uint64_t manifest_len;
    ldb_sequence sequence; /* all up to it is in the tables */
    uint64_t tables;
    struct ldb_digest digest;
};

/* Holds nothing of the database between two steps. NULL: no memory. */
LDB_MUST_CHECK struct repl_database_digest *repl_database_digest_create(void);
/* It does not wait. NULL is fine. */
void repl_database_digest_destroy(struct repl_database_digest *digest);

/* Of whom it is. */
struct repl_database_digest_of {
    struct ldb_db *db;
    struct repl_digest_index *digests;
    uint64_t epoch; /* the number of its history's last one */
};

/*
 * Of the version of now, when all digests are known: *out, and *out_waits is
 * false. Else it is true: wake(context) is called once, maybe before this
 * returns, then step again. wake must not block, nor call anything here.
 *
 * Errors: STALLED: tables come faster than their digests; those of
 * repl_digest_index_ask() and of its done; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_database_digest_step(struct repl_database_digest *digest,
                          const struct repl_database_digest_of *of,
                          void (*wake)(void *context), void *context,
                          struct ldb_error *err, bool *out_waits,
                          struct repl_database_digest_result *out);

#endif
