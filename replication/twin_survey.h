/*
 * Both sides of a plan (twin_plan.h): what the leader's version consists of,
 * read from its checkpoint and its MANIFEST, and what the folder has of it,
 * read from its files. Nothing is changed.
 *
 *     repl_survey_ours       the folder
 *     ... repl_compare() of survey.ours ...
 *     repl_survey_wanted     once the MANIFEST is in leveld/incoming/
 *     repl_survey_held       reads files that may be wanted ones
 *     repl_survey_journals   compares journals
 *     repl_survey_input      all of it, for repl_plan_make()
 *     repl_survey_release
 *
 * Thread-safety: one caller.
 */
#ifndef REPLICATION_TWIN_SURVEY_H
#define REPLICATION_TWIN_SURVEY_H

#include "replication/client.h"
#include "replication/likeness.h"
#include "replication/twin_plan.h"

struct repl_survey_source {
    struct ldb_env *env; /* borrowed, as the rest */
    const char *dir;
    const struct ldb_comparator *comparator;
    struct repl_client *client; /* of the leader */
    const struct repl_state *state;
    /* Called between files, which may take long: not OK ends the survey. */
    enum ldb_status (*pause)(void *context, struct ldb_error *err);
    void *context;
};

struct repl_survey {
    struct repl_holdings ours;
    struct repl_plan_table *held; /* owned, as the rest */
    size_t held_count;
    struct repl_plan_journal *journals; /* as many as ours has */
    struct ldb_version *version;        /* the wanted one; one reference */
    uint64_t manifest_number;
    uint64_t manifest_len;
    uint64_t log_number;
    struct repl_plan_table *wanted;
    size_t wanted_count;
    uint64_t *leader_journals;
    size_t leader_journal_count;
};

/* A zeroed one is fine. */
void repl_survey_release(struct repl_survey *survey);

/* Errors: those of repl_holdings_read(). */
LDB_MUST_CHECK enum ldb_status
repl_survey_ours(struct repl_survey *survey,
                 const struct repl_survey_source *source,
                 struct ldb_error *err);

/*
 * The tables that the MANIFEST's first bytes in leveld/incoming/ name, with the
 * digests of the checkpoint, and those that it lacks from their heads.
 *
 * Errors: CORRUPTION: the MANIFEST cannot be read, or names a table that the
 * checkpoint has not, or of another size; STALLED: a digest is not known there;
 * NOT_FOUND: a table is gone there; INVALID_ARGUMENT: another comparator; those
 * of the calls.
 */
LDB_MUST_CHECK enum ldb_status repl_survey_wanted(
    struct repl_survey *survey, const struct repl_survey_source *source,
    const struct repl_checkpoint *checkpoint, struct ldb_error *err);

/* The tables of the folder; those that have the size of a wanted one are read.
 * Errors: IO, NO_MEMORY, and of pause. */
LDB_MUST_CHECK enum ldb_status
repl_survey_held(struct repl_survey *survey,
                 const struct repl_survey_source *source,
                 struct ldb_error *err);

/* Errors: those of repl_likeness_of(), IO, NO_MEMORY, and of pause. */
LDB_MUST_CHECK enum ldb_status
repl_survey_journals(struct repl_survey *survey,
                     const struct repl_survey_source *source,
                     struct ldb_error *err);

/* The input, but for fork, is_diverged and is_unknown; it borrows all. */
void repl_survey_input(const struct repl_survey *survey,
                       struct repl_plan_input *out);

#endif
