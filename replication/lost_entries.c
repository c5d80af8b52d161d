#include "replication/lost_entries.h"

#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/version.h"

void repl_lost_entries_release(struct repl_lost_entries *lost)
{
    ldb_mem_free(lost->tables);
    *lost = (struct repl_lost_entries){0};
}

/* ---- whether the journals have all of it ---- */

/* A gap between two may be one of epochs, or of a write that failed; whether
 * something is missing there the tables tell. */
static bool journals_cover(const struct repl_holdings *ours, ldb_sequence fork)
{
    ldb_sequence last = fork;

    for (size_t i = 0; i < ours->journal_count; i++) {
        const struct repl_held_journal *journal = &ours->journals[i];

        if (journal->last <= last)
            continue;
        if (journal->is_damaged || journal->first > last + 1)
            return false;
        last = journal->last;
    }
    return last >= repl_holdings_last_entry(ours);
}

/* ---- tables that go ---- */

static int compare_texts(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;

    return strcmp(*left, *right);
}

/* The names of ours that are kept, under whatever name; NULL: no memory. */
static const char **sort_kept(const struct repl_plan *plan, size_t *out_count)
{
    const char **names = ldb_mem_alloc(plan->count + 1, sizeof(*names));
    size_t n = 0;

    if (names == NULL)
        return NULL;
    for (size_t i = 0; i < plan->count; i++) {
        const struct repl_step *step = &plan->steps[i];

        if (step->kind == REPL_STEP_KEEP)
            names[n++] = step->name;
        else if (step->kind == REPL_STEP_LINK)
            names[n++] = step->from;
    }
    qsort(names, n, sizeof(*names), compare_texts);
    *out_count = n;
    return names;
}

static size_t count_named(const struct ldb_version *version)
{
    size_t count = 0;

    for (uint32_t level = 0; version != NULL && level < LDB_LEVEL_COUNT;
         level++)
        count += version->levels[level].count;
    return count;
}

static enum ldb_status list_tables(struct repl_lost_entries *lost,
                                   const struct repl_survey *survey,
                                   const struct repl_plan *plan,
                                   struct ldb_error *err)
{
    size_t kept_count = 0;
    const char **kept = sort_kept(plan, &kept_count);
    size_t present = 0;
    size_t named = count_named(survey->ours.version);
    size_t n = 0;

    lost->tables = ldb_mem_alloc(survey->held_count + 1, sizeof(*lost->tables));
    if (kept == NULL || lost->tables == NULL) {
        ldb_mem_free(kept);
        return ldb_error_no_memory(err);
    }
    for (size_t i = 0; i < survey->held_count; i++) {
        const struct repl_plan_table *held = &survey->held[i];
        const char *name = held->name;

        if (held->meta == NULL)
            continue;
        present++;
        if (bsearch(&name, kept, kept_count, sizeof(*kept), compare_texts) ==
            NULL)
            lost->tables[n++] = held->number;
    }
    ldb_mem_free(kept);
    lost->missing = present < named ? named - present : 0;
    lost->search.tables = lost->tables;
    lost->search.table_count = n;
    return LDB_OK;
}

enum ldb_status repl_lost_entries_init(struct repl_lost_entries *lost,
                                       const struct repl_survey_source *source,
                                       const struct repl_survey *survey,
                                       const struct repl_plan *plan,
                                       ldb_sequence fork, struct ldb_error *err)
{
    *lost = (struct repl_lost_entries){
        .search =
            {
                .env = source->env,
                .dir = source->dir,
                .comparator = source->comparator,
                .fork = fork,
                .journals = survey->ours.journals,
                .journal_count = survey->ours.journal_count,
            },
        .is_covered = journals_cover(&survey->ours, fork),
    };
    return list_tables(lost, survey, plan, err);
}
