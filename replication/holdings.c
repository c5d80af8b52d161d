#include "replication/holdings.h"

#include <stdlib.h>

#include "replication/twin_mark.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/journal/journal_scan.h"
#include "storage/retained.h"
#include "storage/twin.h"
#include "storage/version/current_file.h"
#include "storage/version/recovered.h"

struct reading {
    struct ldb_env *env;
    const char *dir;
    const struct ldb_comparator *comparator;
    struct ldb_folder_files files; /* of the folder */
    struct repl_holdings found;
};

void repl_holdings_release(struct repl_holdings *holdings)
{
    repl_epoch_history_release(&holdings->history);
    ldb_version_unref(holdings->version);
    ldb_mem_free(holdings->journals);
    *holdings = (struct repl_holdings){0};
}

const struct repl_held_journal *
repl_holdings_newest(const struct repl_holdings *holdings)
{
    for (size_t i = holdings->journal_count; i-- > 0;) {
        if (holdings->journals[i].len > 0)
            return &holdings->journals[i];
    }
    return NULL;
}

/* The next of the folder's own from *i on; NULL: that was the last. */
static const struct repl_held_journal *
next_in_folder(const struct repl_holdings *holdings, size_t *i)
{
    while (*i < holdings->journal_count) {
        const struct repl_held_journal *journal = &holdings->journals[(*i)++];

        if (!journal->is_archived)
            return journal;
    }
    return NULL;
}

static bool are_same_journals(const struct repl_holdings *a,
                              const struct repl_holdings *b)
{
    size_t i = 0;
    size_t j = 0;

    for (;;) {
        const struct repl_held_journal *left = next_in_folder(a, &i);
        const struct repl_held_journal *right = next_in_folder(b, &j);

        if (left == NULL || right == NULL)
            return left == right;
        if (left->number != right->number ||
            left->file_len != right->file_len || left->len != right->len)
            return false;
    }
}

bool repl_holdings_are_same(const struct repl_holdings *a,
                            const struct repl_holdings *b)
{
    return a->has_database == b->has_database &&
           a->is_damaged == b->is_damaged &&
           a->manifest_number == b->manifest_number &&
           a->manifest_len == b->manifest_len && are_same_journals(a, b);
}

ldb_sequence repl_holdings_last_entry(const struct repl_holdings *holdings)
{
    ldb_sequence last = holdings->last_sequence;

    for (size_t i = holdings->history.count; i-- > 0;) {
        const struct repl_epoch *epoch = &holdings->history.items[i];

        if (last == epoch->base)
            last = epoch->previous_last;
    }
    return last;
}

/* ---- leveld/ ---- */

/* A file that is not there is not an error here. */
static enum ldb_status load_optional(enum ldb_status s, bool *out_found)
{
    *out_found = s == LDB_OK;
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

static enum ldb_status read_own_folder(struct reading *reading,
                                       struct ldb_error *err)
{
    struct repl_holdings *found = &reading->found;
    bool has_history = false;
    enum ldb_status s;

    s = load_optional(
        repl_identity_load(reading->env, reading->dir, err, &found->identity),
        &found->has_identity);
    if (s == LDB_OK)
        s = load_optional(repl_epoch_history_load(reading->env, reading->dir,
                                                  err, &found->history),
                          &has_history);
    return s;
}

/* ---- the version ---- */

static enum ldb_status read_manifest(struct reading *reading,
                                     struct ldb_error *err)
{
    struct repl_holdings *found = &reading->found;
    struct ldb_recovered recovered;
    bool is_settled;
    enum ldb_status s = ldb_current_read(reading->env, reading->dir, err,
                                         &found->manifest_number, &is_settled);

    if (s == LDB_OK)
        s = ldb_recovered_read(&recovered, reading->env, reading->dir,
                               found->manifest_number, reading->comparator,
                               err);
    if (s != LDB_OK)
        return s;
    found->manifest_len = recovered.manifest_len;
    found->log_number = recovered.log_number;
    found->last_sequence = recovered.last_sequence;
    found->version = ldb_version_ref(recovered.version);
    ldb_recovered_release(&recovered);
    return LDB_OK;
}

static enum ldb_status read_version(struct reading *reading,
                                    struct ldb_error *err)
{
    struct repl_holdings *found = &reading->found;
    struct ldb_error why = {0};
    enum ldb_status s;

    found->has_database = ldb_folder_files_is_database(&reading->files);
    if (!found->has_database)
        return LDB_OK;
    s = read_manifest(reading, &why);
    if (s == LDB_CORRUPTION) {
        found->is_damaged = true;
        found->manifest_number = 0;
        return LDB_OK;
    }
    /* The making of a database was cut off: there is none yet. */
    if (s == LDB_NOT_FOUND) {
        found->has_database = false;
        return LDB_OK;
    }
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

/* ---- journals ---- */

static enum ldb_status add_journal(struct reading *reading, const char *folder,
                                   uint64_t number, bool is_archived,
                                   struct ldb_error *err)
{
    struct repl_holdings *found = &reading->found;
    struct repl_held_journal *journal = &found->journals[found->journal_count];
    struct ldb_journal_content content = {0};
    char name[LDB_FILE_NAME_SIZE];
    char *path = ldb_file_path(folder, LDB_FILE_JOURNAL, number);
    enum ldb_status s;

    *journal = (struct repl_held_journal){.number = number,
                                          .is_archived = is_archived};
    if (path == NULL)
        return ldb_error_no_memory(err);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    s = reading->env->ops->file_size(reading->env, path, err,
                                     &journal->file_len);
    if (s == LDB_OK)
        s = ldb_journal_scan(reading->env, path, name, err, &content);
    ldb_mem_free(path);
    if (s != LDB_OK)
        return s;
    journal->len = content.end;
    journal->is_damaged = content.is_damaged;
    journal->first = content.first;
    journal->last = content.last;
    if (content.last > found->last_sequence)
        found->last_sequence = content.last;
    found->journal_count++;
    return LDB_OK;
}

static size_t count_journals(const struct ldb_folder_files *files)
{
    size_t count = 0;

    for (size_t i = 0; i < files->count; i++)
        count += files->files[i].type == LDB_FILE_JOURNAL;
    return count;
}

static int compare_journals(const void *a, const void *b)
{
    const struct repl_held_journal *left = a;
    const struct repl_held_journal *right = b;

    return (left->number > right->number) - (left->number < right->number);
}

/* Those of files that the folder proper does not have. */
static enum ldb_status add_journals(struct reading *reading, const char *folder,
                                    const struct ldb_folder_files *files,
                                    bool is_archived, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < files->count; i++) {
        uint64_t number = files->files[i].number;

        if (files->files[i].type != LDB_FILE_JOURNAL ||
            (is_archived &&
             ldb_folder_files_has(&reading->files, LDB_FILE_JOURNAL, number)))
            continue;
        s = add_journal(reading, folder, number, is_archived, err);
    }
    return s;
}

static enum ldb_status list_archive(struct reading *reading, const char *folder,
                                    struct ldb_error *err,
                                    struct ldb_folder_files *out)
{
    struct ldb_error why = {0};
    enum ldb_status s = ldb_folder_files_list(reading->env, folder, &why, out);

    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status read_journals(struct reading *reading, bool with_archive,
                                     struct ldb_error *err)
{
    struct repl_holdings *found = &reading->found;
    struct ldb_folder_files archive = {0};
    char *folder = ldb_mem_printf("%s/" LDB_ARCHIVE_FOLDER, reading->dir);
    size_t count;
    enum ldb_status s = LDB_OK;

    if (folder == NULL)
        return ldb_error_no_memory(err);
    if (with_archive)
        s = list_archive(reading, folder, err, &archive);
    count = count_journals(&reading->files) + count_journals(&archive);
    if (s == LDB_OK && count > 0) {
        found->journals = ldb_mem_zalloc(count, sizeof(*found->journals));
        if (found->journals == NULL)
            s = ldb_error_no_memory(err);
    }
    if (s == LDB_OK)
        s = add_journals(reading, reading->dir, &reading->files, false, err);
    if (s == LDB_OK)
        s = add_journals(reading, folder, &archive, true, err);
    if (s == LDB_OK && found->journal_count > 1)
        qsort(found->journals, found->journal_count, sizeof(*found->journals),
              compare_journals);
    ldb_folder_files_release(&archive);
    ldb_mem_free(folder);
    return s;
}

enum ldb_status repl_holdings_check_mark(struct ldb_env *env, const char *dir,
                                         struct ldb_error *err,
                                         struct repl_holdings *holdings)
{
    struct repl_twin_mark mark = {0};
    struct ldb_error why = {0};
    enum ldb_status s = repl_twin_mark_load(env, dir, &why, &mark);

    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s != LDB_OK) {
        if (err != NULL)
            *err = why;
        return s;
    }
    if (!holdings->has_database || holdings->is_damaged ||
        repl_twin_mark_has(&mark, holdings->manifest_number))
        return LDB_OK;
    holdings->is_touched = true;
    holdings->has_untouched_last = mark.has_last;
    holdings->untouched_last = mark.last;
    return LDB_OK;
}

enum ldb_status repl_holdings_read(struct ldb_env *env, const char *dir,
                                   const struct ldb_comparator *comparator,
                                   bool with_archive, struct ldb_error *err,
                                   struct repl_holdings *out)
{
    struct reading reading = {.env = env, .dir = dir, .comparator = comparator};
    enum ldb_status s = read_own_folder(&reading, err);

    if (s == LDB_OK)
        s = ldb_folder_files_list(env, dir, err, &reading.files);
    if (s == LDB_OK)
        s = read_version(&reading, err);
    if (s == LDB_OK)
        s = read_journals(&reading, with_archive, err);
    if (s == LDB_OK)
        s = repl_holdings_check_mark(env, dir, err, &reading.found);
    ldb_folder_files_release(&reading.files);
    if (s == LDB_OK)
        *out = reading.found;
    else
        repl_holdings_release(&reading.found);
    return s;
}

/* ---- an open twin ---- */

static enum ldb_status copy_journals(const struct ldb_twin_state *at,
                                     struct ldb_error *err,
                                     struct repl_holdings *out)
{
    ldb_sequence before = 0;

    if (at->journal_count == 0)
        return LDB_OK;
    out->journals = ldb_mem_zalloc(at->journal_count, sizeof(*out->journals));
    if (out->journals == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < at->journal_count; i++) {
        const struct ldb_twin_journal *from = &at->journals[i];

        out->journals[i] = (struct repl_held_journal){
            .number = from->number,
            .len = from->len,
            .file_len = from->len,
            /* Without bytes, last_sequence is that of the journal before. */
            .first = from->len > 0 ? before + 1 : 0,
            .last = from->len > 0 ? from->last_sequence : 0,
        };
        before = from->last_sequence;
    }
    out->journal_count = at->journal_count;
    return LDB_OK;
}

enum ldb_status repl_holdings_of_twin(struct ldb_db *db,
                                      const struct repl_identity *identity,
                                      const struct repl_epoch_history *history,
                                      struct ldb_error *err,
                                      struct repl_holdings *out)
{
    struct ldb_twin_state at;
    struct repl_holdings found = {.has_database = true};
    enum ldb_status s = repl_epoch_history_copy(history, err, &found.history);

    if (s != LDB_OK)
        return s;
    ldb_twin_state(db, &at);
    if (identity != NULL) {
        found.has_identity = true;
        found.identity = *identity;
    }
    found.manifest_number = at.manifest_number;
    found.manifest_len = at.manifest_len;
    found.log_number = at.log_number;
    found.last_sequence = at.applied.sequence;
    s = copy_journals(&at, err, &found);
    if (s == LDB_OK)
        *out = found;
    else
        repl_holdings_release(&found);
    return s;
}
