#include "replication/edit_run.h"

#include "replication/edit_walk.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* What is known after the records so far. */
struct walk {
    const struct repl_edit_run_limits *limits;
    uint64_t offset;
    struct repl_edit_run run;
    bool can_end;        /* a run, after the last record */
    uint64_t log_number; /* the highest asked for */
    /* Of tables that are not to be had: the level that names one, and one; 0:
     * none does. As many as limits->missing_count. */
    uint32_t *named;
    size_t named_count; /* that are not 0 */
    uint64_t held;      /* the lowest journal, after the last run so far */
    bool is_delta;      /* on a version that has all */
    bool has_log_number;
    bool has_next_file_number;
    bool has_last_sequence;
};

/* A table moves by an edit that drops it from a level and adds it to another,
 * in any order. */
static void note_table(struct walk *walk, uint64_t number, uint32_t level,
                       bool is_added)
{
    for (size_t i = 0; i < walk->limits->missing_count; i++) {
        uint32_t before = walk->named[i];

        if (walk->limits->missing[i] != number)
            continue;
        if (is_added)
            walk->named[i] = level + 1;
        else if (before == level + 1)
            walk->named[i] = 0;
        walk->named_count += walk->named[i] != 0;
        walk->named_count -= before != 0;
    }
}

static void note_edit(struct walk *walk, const struct ldb_version_edit *edit)
{
    if (edit->has_log_number && edit->log_number > walk->log_number)
        walk->log_number = edit->log_number;
    walk->has_log_number |= edit->has_log_number;
    walk->has_next_file_number |= edit->has_next_file_number;
    walk->has_last_sequence |= edit->has_last_sequence;
    for (size_t i = 0; i < edit->deleted_count; i++)
        note_table(walk, edit->deleted[i].number, edit->deleted[i].level,
                   false);
    for (size_t i = 0; i < edit->added_count; i++)
        note_table(walk, edit->added[i].meta->number, edit->added[i].level,
                   true);
}

/* May a run end here, once the journals are complete that it asks for? */
static bool may_end(const struct walk *walk)
{
    return walk->named_count == 0 &&
           (walk->is_delta ||
            (walk->has_log_number && walk->has_next_file_number &&
             walk->has_last_sequence));
}

/* Of the leader's journals, how many are below. */
static size_t journals_below(const struct repl_edit_run_limits *limits,
                             uint64_t number)
{
    size_t low = 0;
    size_t high = limits->journal_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (limits->journals[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* More than can be held, from the one to the other? */
static bool are_too_many(const struct repl_edit_run_limits *limits,
                         uint64_t first, uint64_t last)
{
    return limits->journals_max > 0 && first <= last &&
           journals_below(limits, last + 1) - journals_below(limits, first) >
               limits->journals_max;
}

/* A record ends at the file's offset. */
static void note_end(struct walk *walk, uint64_t at)
{
    struct repl_edit_run *run = &walk->run;

    if (run->whole_records > 0)
        run->whole_len = (size_t)(at - walk->offset);
    if (walk->can_end) {
        run->len = run->whole_len;
        run->records = run->whole_records;
    }
}

static enum ldb_status take(void *context, const struct ldb_version_edit *edit,
                            uint64_t at, struct ldb_error *err)
{
    struct walk *walk = context;
    const struct repl_edit_run_limits *limits = walk->limits;
    struct repl_edit_run *run = &walk->run;

    (void)err;
    note_end(walk, at);
    note_edit(walk, edit);
    run->whole_records++;
    walk->can_end = may_end(walk) && walk->log_number <= limits->log_number;
    run->is_short |= walk->log_number > limits->log_number;
    run->is_far = are_too_many(limits, limits->first_journal, walk->log_number);
    run->is_hopeless |= are_too_many(limits, walk->held, walk->log_number);
    if (may_end(walk) && walk->log_number > walk->held)
        walk->held = walk->log_number;
    return LDB_OK;
}

enum ldb_status repl_edit_run_find(uint64_t number, uint64_t offset,
                                   struct ldb_slice bytes,
                                   const struct repl_edit_run_limits *limits,
                                   struct ldb_error *err,
                                   struct repl_edit_run *out)
{
    struct walk walk = {.limits = limits,
                        .offset = offset,
                        .held = limits->first_journal,
                        .is_delta = offset > 0};
    uint64_t end = 0;
    enum ldb_status s;

    walk.named = ldb_mem_zalloc(limits->missing_count + 1, sizeof(*walk.named));
    if (walk.named == NULL)
        return ldb_error_no_memory(err);
    s = repl_edit_walk(number, offset, bytes, take, &walk, err, &end);
    ldb_mem_free(walk.named);
    if (s != LDB_OK)
        return s;
    note_end(&walk, end);
    *out = walk.run;
    return LDB_OK;
}
