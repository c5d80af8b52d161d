/*
 * One number for a version of a database: XXH3-128 over what names it (epoch,
 * MANIFEST, its length, the last sequence that its tables hold) and each of its
 * tables by number, length and digest. Two nodes whose folders are twins at one
 * version have the same; it costs no reading of what was digested before.
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

/* Begins with the version of now, which it holds. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_database_digest_create(struct ldb_db *db,
                            struct repl_digest_index *digests, uint64_t epoch,
                            uint64_t epoch_id, struct ldb_error *err,
                            struct repl_database_digest **out);
/* Lets go of the version. Nobody is to be woken. NULL is fine. */
void repl_database_digest_destroy(struct repl_database_digest *digest);

/*
 * Goes on. STALLED: the digest of a table is not known yet: wake(context) is
 * called once, then go on again. OK: *out. Errors: those of the digest index.
 */
LDB_MUST_CHECK enum ldb_status
repl_database_digest_step(struct repl_database_digest *digest,
                          void (*wake)(void *context), void *context,
                          struct ldb_error *err,
                          struct repl_database_digest_result *out);

#endif
