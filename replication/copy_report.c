#include "replication/copy_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

static void fill_entry(const struct repl_copy_survey *survey, size_t at,
                       ldb_sequence before, struct repl_journal_entry *out)
{
    const struct repl_copy_file *file = &survey->journals[at];
    ldb_sequence next = repl_copy_survey_next_first(survey, at);
    bool is_newest = at + 1 == survey->journal_count;

    *out = (struct repl_journal_entry){
        .number = file->number,
        .len = file->len,
        .is_sealed = !is_newest || file->is_checked,
        .is_archived = file->is_archived,
        .has_digest = file->is_checked,
        .digest = file->digest,
        .first = file->first == 0 ? before + 1 : file->first,
    };
    if (file->first == 0)
        out->last = before;
    else if (is_newest || file->is_checked)
        out->last = file->last;
    else /* an operation takes a byte at least */
        out->last = file->first + file->len;
    if (next != 0 && out->last >= next)
        out->last = next - 1;
    if (out->last + 1 < out->first)
        out->last = out->first - 1;
}

static enum ldb_status list_journals(const struct repl_copy_survey *survey,
                                     size_t from, struct ldb_error *err,
                                     struct repl_journal_entry **out)
{
    size_t count = survey->journal_count - from;
    struct repl_journal_entry *entries;
    ldb_sequence before = 0;

    if (count == 0)
        return LDB_OK;
    entries = ldb_mem_zalloc(count, sizeof(*entries));
    if (entries == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        fill_entry(survey, from + i, before, &entries[i]);
        before = entries[i].last;
    }
    *out = entries;
    return LDB_OK;
}

static struct ldb_position end_of(const struct repl_copy_survey *survey)
{
    const struct repl_copy_file *newest;
    struct ldb_position end = {.sequence = survey->manifest.last_sequence};

    if (survey->journal_count == 0)
        return end;
    newest = &survey->journals[survey->journal_count - 1];
    end.journal = newest->number;
    end.offset = newest->len;
    if (newest->last > end.sequence)
        end.sequence = newest->last;
    return end;
}

enum ldb_status repl_copy_report_state(const struct repl_copy_survey *survey,
                                       struct ldb_error *err,
                                       struct repl_state *out)
{
    struct repl_state state = {
        .identity = survey->identity,
        .role = REPL_ROLE_LEADER,
        .manifest_number = survey->manifest.number,
        .manifest_len = survey->manifest.len,
        .durable = end_of(survey),
        .journal_count = survey->journal_count,
    };
    enum ldb_status s;

    state.last_sequence = state.durable.sequence;
    (void)snprintf(state.table_options.comparator,
                   sizeof(state.table_options.comparator), "%s",
                   survey->manifest.comparator);
    s = repl_epoch_history_copy(&survey->history, err, &state.history);
    if (s == LDB_OK)
        s = list_journals(survey, 0, err, &state.journals);
    if (s == LDB_OK)
        *out = state;
    else
        repl_state_release(&state);
    return s;
}

void repl_copy_report_heartbeat(const struct repl_copy_survey *survey,
                                struct repl_heartbeat *out)
{
    const struct repl_epoch *epoch = repl_epoch_history_last(&survey->history);

    *out = (struct repl_heartbeat){
        .epoch = epoch == NULL ? 0 : epoch->number,
        .epoch_id = epoch == NULL ? 0 : epoch->id,
        .durable = end_of(survey),
        .manifest_number = survey->manifest.number,
        .manifest_len = survey->manifest.len,
    };
    out->last_sequence = out->durable.sequence;
}

static enum ldb_status list_tables(const struct repl_copy_survey *survey,
                                   struct ldb_error *err,
                                   struct repl_file_entry **out)
{
    const struct repl_copy_manifest *manifest = &survey->manifest;
    struct repl_file_entry *files;

    if (manifest->table_count == 0)
        return LDB_OK;
    files = ldb_mem_zalloc(manifest->table_count, sizeof(*files));
    if (files == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < manifest->table_count; i++) {
        const struct repl_copy_table *table = &manifest->tables[i];

        ldb_file_name_print(files[i].name, LDB_FILE_TABLE, table->number);
        files[i].size = table->size;
        files[i].has_digest =
            repl_copy_survey_digest(survey, LDB_FILE_TABLE, table->number,
                                    table->size, &files[i].digest);
    }
    *out = files;
    return LDB_OK;
}

/* The first journal that is not in tables. */
static size_t find_needed(const struct repl_copy_survey *survey)
{
    size_t at = 0;

    while (at < survey->journal_count &&
           survey->journals[at].number < survey->manifest.log_number)
        at++;
    return at;
}

enum ldb_status
repl_copy_report_checkpoint(const struct repl_copy_survey *survey,
                            struct ldb_error *err, struct repl_checkpoint *out)
{
    const struct repl_copy_manifest *manifest = &survey->manifest;
    size_t from = find_needed(survey);
    struct repl_checkpoint checkpoint = {
        .id = 1, /* nothing is held for anybody */
        .manifest_number = manifest->number,
        .manifest_len = manifest->len,
        .log_number = manifest->log_number,
        .last_sequence = end_of(survey).sequence,
        .file_count = manifest->table_count,
        .journal_count = survey->journal_count - from,
    };
    enum ldb_status s;

    if (manifest->log_number != 0 &&
        (from == survey->journal_count ||
         survey->journals[from].number != manifest->log_number))
        return ldb_error_set(err, LDB_IO,
                             "%06" PRIu64 ".log, which the copy's MANIFEST "
                             "names, is not there yet",
                             manifest->log_number);
    s = list_tables(survey, err, &checkpoint.files);
    if (s == LDB_OK)
        s = list_journals(survey, from, err, &checkpoint.journals);
    if (s == LDB_OK)
        *out = checkpoint;
    else
        repl_checkpoint_release(&checkpoint);
    return s;
}
