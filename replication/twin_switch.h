/*
 * Carries out the part of a plan (twin_plan.h) that changes a folder, once all
 * that it fetches and links is in leveld/incoming/, verified: sets journals
 * aside, puts files in place, and makes the folder the leader's. Nobody has it
 * open.
 *
 * A crash at any moment leaves the folder as twin_build.h promises, and
 * leveld/rebuild in it: a new plan, made from what there is then, ends it. The
 * leader's epochs are stored before the first of its bytes is in force, when
 * what was ours alone is out of the folder.
 *
 * Thread-safety: one caller.
 */
#ifndef REPLICATION_TWIN_SWITCH_H
#define REPLICATION_TWIN_SWITCH_H

#include "replication/diverged.h"
#include "replication/rebuild_intent.h"
#include "replication/twin_plan.h"

struct repl_switch {
    struct ldb_env *env; /* borrowed, as the rest */
    const char *dir;
    const struct ldb_comparator *comparator;
    const struct repl_plan *plan;
    const struct repl_plan_input *input;      /* that it was made from */
    const struct repl_epoch_history *history; /* the leader's */
    struct repl_identity identity;     /* its cluster's id, and our node's */
    struct repl_rebuild_intent intent; /* as it is stored */
    struct repl_rewind rewind; /* to be begun when its files need another one */
};

/*
 * Errors: CORRUPTION: a file is not as it was; those of the calls, with which
 * it is to be fetched and called again.
 */
LDB_MUST_CHECK enum ldb_status repl_switch_run(struct repl_switch *sw,
                                               struct ldb_error *err);

#endif
