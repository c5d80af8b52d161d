/*
 * How many of a leader's edits can be taken at one stroke (storage/twin.h): the
 * longest run from the first one on whose last edit asks for no journal that is
 * not here yet, and after which no table is named that nobody has any more. And
 * whether all can be taken like that, as the journals come.
 *
 * Thread-safety: a function of its arguments.
 */
#ifndef REPLICATION_EDIT_RUN_H
#define REPLICATION_EDIT_RUN_H

#include "storage/version/file_names.h"

struct repl_edit_run_limits {
    /* The journals below it are complete here. */
    uint64_t log_number;
    /* Tables that are not to be had; borrowed, as is all here. */
    const uint64_t *missing;
    size_t missing_count;
    /* To judge what may come: the leader's journals, ascending; how many of
     * them a twin holds at a time (0: no judgement is asked for); and the
     * lowest that it holds. */
    const uint64_t *journals;
    size_t journal_count;
    size_t journals_max;
    uint64_t first_journal;
};

struct repl_edit_run {
    size_t len;     /* bytes of the run; 0: there is none */
    size_t records; /* in it */
    /* Records that are whole, of the run or not, and their bytes. */
    size_t whole_len;
    size_t whole_records;
    bool is_short; /* of journals: longer ones ask for such as are not here */
    /* Up to the last one that is asked for there are more than can be held. */
    bool is_far;
    /* Run after run one comes to an edit after which no run can be taken, for
     * it would need more journals than can be held: whatever comes. */
    bool is_hopeless;
};

/*
 * bytes stand at offset in MANIFEST-number: where a record begins; 0: of all of
 * it, then a run is not shorter than what sets all that a version has.
 *
 * Errors: CORRUPTION names file and offset; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_edit_run_find(uint64_t number, uint64_t offset, struct ldb_slice bytes,
                   const struct repl_edit_run_limits *limits,
                   struct ldb_error *err, struct repl_edit_run *out);

#endif
