/*
 * Entries above a fork that are in tables alone, their journals being gone:
 * found by reading the tables, and written as a journal of a rewind, so that
 * they are kept when the tables go (diverged.h).
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_DIVERGED_ENTRIES_H
#define REPLICATION_DIVERGED_ENTRIES_H

#include "replication/holdings.h"

/* Bytes of entries held in memory at once; more take another pass over the
 * tables. Chosen: a few memtables. */
#define REPL_DIVERGED_MEMORY ((size_t)64 << 20)

struct repl_diverged_search {
    struct ldb_env *env; /* borrowed, as the rest */
    const char *dir;
    const struct ldb_comparator *comparator;
    const uint64_t *tables; /* numbers of files in the folder */
    size_t table_count;
    ldb_sequence fork;
    /* Ascending journals that are set aside themselves: what lies between their
     * first and last sequence is left out, but of damaged ones. */
    const struct repl_held_journal *journals;
    size_t journal_count;
    size_t memory_max; /* 0: REPL_DIVERGED_MEMORY; for tests */
};

struct repl_diverged_found {
    uint64_t entries;
    uint64_t damages; /* places of the tables that cannot be read */
};

/* How many there are; nothing is written. Errors: NOT_FOUND: a table is
 * missing; IO, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_diverged_count_entries(const struct repl_diverged_search *search,
                            struct ldb_error *err,
                            struct repl_diverged_found *out);

/*
 * Writes them as R-entries.log, durably and at one stroke. Without any nothing
 * is done. The rewind was begun. OK too when it was there with the same bytes.
 *
 * Errors: as of count; EXISTS: it is there with others: write them for another
 * rewind; NO_SPACE.
 */
LDB_MUST_CHECK enum ldb_status
repl_diverged_write_entries(const struct repl_diverged_search *search,
                            uint64_t rewind, struct ldb_error *err,
                            struct repl_diverged_found *out);

#endif
