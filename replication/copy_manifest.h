/*
 * The MANIFEST of a copy (copy_survey.h), read as it grows: the tables of its
 * version, and how far its journals are in them.
 *
 * Thread-safety: one caller.
 */
#ifndef REPLICATION_COPY_MANIFEST_H
#define REPLICATION_COPY_MANIFEST_H

#include "replication/transport.h"

struct ldb_journal_feed;

/* Bytes of a comparator's name with its NUL; a longer one is damage. */
#define REPL_COPY_COMPARATOR_SIZE 128

struct repl_copy_table {
    uint64_t number;
    uint64_t size;
};

/* Zeroed: none was read. */
struct repl_copy_manifest {
    uint64_t number;
    uint64_t len; /* of its whole records */
    struct ldb_journal_feed *feed;
    struct repl_copy_table *tables; /* owned; by number */
    size_t table_count;
    size_t table_capacity;
    char comparator[REPL_COPY_COMPARATOR_SIZE];
    uint64_t log_number; /* older journals are in tables */
    uint64_t next_file_number;
    ldb_sequence last_sequence; /* of what is in tables; or a base */
};

void repl_copy_manifest_release(struct repl_copy_manifest *manifest);

/*
 * Reads on from where it was. Another number begins anew.
 *
 * Errors: those of the transport's get; IO, NO_MEMORY; CORRUPTION: it is
 * damaged, or not all of it has been copied; after an error it begins anew.
 */
LDB_MUST_CHECK enum ldb_status
repl_copy_manifest_read(struct repl_copy_manifest *manifest, uint64_t number,
                        struct repl_transport *transport,
                        struct ldb_error *err);

/* NULL: the version has no such table. */
const struct repl_copy_table *
repl_copy_manifest_table(const struct repl_copy_manifest *manifest,
                         uint64_t number);

#endif
