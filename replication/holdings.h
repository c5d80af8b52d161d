/*
 * What a folder holds of a history: its identity and epochs, its version, its
 * journals and how far they go. Read from the files, of a database that nobody
 * writes: a closed one, or an open twin that takes nothing meanwhile. Nothing
 * is written.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_HOLDINGS_H
#define REPLICATION_HOLDINGS_H

#include "replication/epoch_history.h"
#include "replication/identity.h"
#include "storage/base/comparator.h"
#include "storage/base/digest.h"

struct ldb_db;
struct ldb_version;

struct repl_held_journal {
    uint64_t number;
    uint64_t len;       /* bytes of its whole records */
    bool is_archived;   /* in leveld/archive/ alone */
    bool is_damaged;    /* something before its end cannot be read */
    ldb_sequence first; /* of its operations; 0: it has none */
    ldb_sequence last;
    bool has_digest; /* of the len bytes, once somebody has asked for it */
    struct ldb_digest digest;
};

struct repl_holdings {
    bool has_database; /* false: nothing but maybe leveld/ is there */
    bool has_identity;
    struct repl_identity identity;
    struct repl_epoch_history history; /* owned */
    uint64_t manifest_number;
    uint64_t manifest_len; /* bytes of its whole records */
    uint64_t log_number;
    struct ldb_version *version; /* one reference; NULL: no database */
    /* Ascending; those of the folder from log_number on, and those that lie in
     * the archive alone, where that was asked for. Owned. */
    struct repl_held_journal *journals;
    size_t journal_count;
    /* The greatest of MANIFEST, tables and journals; 0: never an entry. */
    ldb_sequence last_sequence;
};

/*
 * Fills a zeroed *out, which is to be released after OK alone. with_archive:
 * its journals too; each is read to its end.
 *
 * Errors: CORRUPTION: the MANIFEST, an identity or epochs; damage of journals
 * and tables is none. INVALID_ARGUMENT: another comparator; NOT_SUPPORTED: a
 * newer format in leveld/; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_holdings_read(struct ldb_env *env, const char *dir,
                   const struct ldb_comparator *comparator, bool with_archive,
                   struct ldb_error *err, struct repl_holdings *out);

/*
 * The same of an open twin without reading a file: for each time it connects.
 * The archive's journals are left out, the version too, and of a journal first
 * is the lowest sequence that it may have. identity NULL: there is none;
 * history is copied. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_holdings_of_twin(struct ldb_db *db, const struct repl_identity *identity,
                      const struct repl_epoch_history *history,
                      struct ldb_error *err, struct repl_holdings *out);

/* A zeroed one is fine. */
void repl_holdings_release(struct repl_holdings *holdings);

/* The newest journal with bytes; NULL: there is none. */
const struct repl_held_journal *
repl_holdings_newest(const struct repl_holdings *holdings);

#endif
