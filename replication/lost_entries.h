/*
 * Which entries of ours above a fork are in tables that a plan does not keep,
 * and in no journal that it sets aside: what would be lost with those tables.
 *
 * Thread-safety: one caller.
 */
#ifndef REPLICATION_LOST_ENTRIES_H
#define REPLICATION_LOST_ENTRIES_H

#include "replication/diverged_entries.h"
#include "replication/twin_survey.h"

struct repl_lost_entries {
    struct repl_diverged_search search;
    uint64_t *tables; /* owned */
    /* Tables that the version names and the folder does not have. */
    uint64_t missing;
    /* The journals that are set aside have all above the fork, without a gap:
     * there is nothing to look for. */
    bool is_covered;
};

/*
 * Fills it; survey and plan are borrowed until release, and the search is for
 * the functions of diverged_entries.h. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_lost_entries_init(
    struct repl_lost_entries *lost, const struct repl_survey_source *source,
    const struct repl_survey *survey, const struct repl_plan *plan,
    ldb_sequence fork, struct ldb_error *err);

/* A zeroed one is fine. */
void repl_lost_entries_release(struct repl_lost_entries *lost);

#endif
