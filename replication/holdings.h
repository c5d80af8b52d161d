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

struct ldb_db;
struct ldb_version;

struct repl_held_journal {
    uint64_t number;
    uint64_t len;       /* bytes of its whole records, up to damage */
    uint64_t file_len;  /* bytes of the file */
    bool is_archived;   /* it is in leveld/archive/ alone */
    bool is_damaged;    /* not all of it can be read */
    ldb_sequence first; /* of its operations; 0: it has none */
    ldb_sequence last;  /* the greatest */
};

struct repl_holdings {
    bool has_database; /* false: nothing but maybe leveld/ is there */
    /* The MANIFEST cannot be read, or nothing names one: what the tables are
     * is not known; version is NULL, its numbers are 0. */
    bool is_damaged;
    bool has_identity;
    struct repl_identity identity;
    struct repl_epoch_history history; /* owned */
    uint64_t manifest_number;
    uint64_t manifest_len; /* bytes of its whole records */
    uint64_t log_number;
    struct ldb_version *version; /* one reference; NULL: no database */
    /* Ascending: those of the folder, and those that lie in the archive alone,
     * where they were asked for. Owned. */
    struct repl_held_journal *journals;
    size_t journal_count;
    /* The greatest of MANIFEST, tables and journals; 0: never an entry. */
    ldb_sequence last_sequence;
    /* Another program has had the twin open since (twin_mark.h). What is above
     * untouched_last it has written; where that is not known, anything may be
     * its own. */
    bool is_touched;
    bool has_untouched_last;
    ldb_sequence untouched_last;
};

/*
 * Fills a zeroed *out, which is to be released after OK alone. Each journal is
 * read to its end; with_archive: those there too.
 *
 * Errors: CORRUPTION: of identity or epochs (of anything else is none);
 * INVALID_ARGUMENT: another comparator; NOT_SUPPORTED: a newer format in
 * leveld/; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_holdings_read(struct ldb_env *env, const char *dir,
                   const struct ldb_comparator *comparator, bool with_archive,
                   struct ldb_error *err, struct repl_holdings *out);

/*
 * The same of an open twin without reading a file: for each time it connects.
 * Left out are the archive's journals and the version; a journal's first is the
 * lowest sequence that it may have. identity NULL: there is none. All is
 * copied. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_holdings_of_twin(struct ldb_db *db, const struct repl_identity *identity,
                      const struct repl_epoch_history *history,
                      struct ldb_error *err, struct repl_holdings *out);

/* Whether its mark fits; repl_holdings_read() has asked by itself. Errors:
 * those of repl_twin_mark_load(), but that there is none. */
LDB_MUST_CHECK enum ldb_status
repl_holdings_check_mark(struct ldb_env *env, const char *dir,
                         struct ldb_error *err, struct repl_holdings *holdings);

/* A zeroed one is fine. */
void repl_holdings_release(struct repl_holdings *holdings);

/* The newest journal with bytes; NULL: there is none. */
const struct repl_held_journal *
repl_holdings_newest(const struct repl_holdings *holdings);

/* Whether the folder's files are the same, as far as is held; the archive's
 * journals do not count. */
bool repl_holdings_are_same(const struct repl_holdings *a,
                            const struct repl_holdings *b);

/*
 * The last sequence that is of an entry: last_sequence, but where it is the
 * base of an epoch that nothing was written in.
 */
ldb_sequence repl_holdings_last_entry(const struct repl_holdings *holdings);

#endif
