/*
 * What a rebuild has to do with what is ours: how the folder stands to the
 * leader (compare.h), together with what a rebuild before this one, which did
 * not come to its end, had found out (rebuild_intent.h). Nothing is written.
 *
 * Thread-safety: one caller.
 */
#ifndef REPLICATION_REBUILD_JUDGE_H
#define REPLICATION_REBUILD_JUDGE_H

#include "replication/rebuild_intent.h"
#include "replication/twin_survey.h"

struct repl_judgement {
    struct repl_verdict verdict;
    struct repl_rebuild_intent intent; /* to be stored */
    /* A switch was under way: what it was to set aside had been accepted. */
    bool is_resumed;
    /* An operator had accepted before that nothing is known of our history. */
    bool was_unknown;
};

/*
 * ours: the folder as it is. The verdict is told after a PRECONDITION, too.
 *
 * Errors: PRECONDITION: the leader is not to be followed, or a rebuild for a
 * higher epoch is under way, or for another one of the same number; those of
 * likeness.h and rebuild_intent.h.
 */
LDB_MUST_CHECK enum ldb_status
repl_rebuild_judge(const struct repl_survey_source *source,
                   const struct repl_holdings *ours, struct ldb_error *err,
                   struct repl_judgement *out);

#endif
