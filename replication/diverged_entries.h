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
 * tables. Chosen: half a dozen memtables. */
#define REPL_DIVERGED_MEMORY ((size_t)64 << 20)

struct repl_diverged_search {
    struct ldb_env *env; /* borrowed, as the rest */
    const char *dir;
    const struct ldb_comparator *comparator;
    const uint64_t *tables; /* numbers of files in the folder */
    size_t table_count;
    ldb_sequence fork;
    /* Journals that are set aside themselves: what lies between their first and
     * last sequence is left out, unless they are damaged. */
    const struct repl_held_journal *journals;
    size_t journal_count;
    size_t memory_max; /* 0: REPL_DIVERGED_MEMORY */
};

struct repl_diverged_found {
    uint64_t entries;
    uint64_t damages; /* blocks of tables that cannot be read */
};

/*
 * Writes them, synced and by one rename, as R-entries.log; without any there
 * is no file. One that is there, of an earlier try, is replaced unless nothing
 * was found now.
 *
 * Errors: NOT_FOUND: a table is missing; NO_SPACE, IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_diverged_write_entries(const struct repl_diverged_search *search,
                            uint64_t rewind, struct ldb_error *err,
                            struct repl_diverged_found *out);

#endif
