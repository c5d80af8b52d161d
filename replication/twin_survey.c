#include "replication/twin_survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "replication/table_name.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/retained.h"
#include "storage/version/recovered.h"

void repl_survey_release(struct repl_survey *survey)
{
    repl_holdings_release(&survey->ours);
    ldb_version_unref(survey->version);
    ldb_mem_free(survey->held);
    ldb_mem_free(survey->journals);
    ldb_mem_free(survey->wanted);
    ldb_mem_free(survey->leader_journals);
    *survey = (struct repl_survey){0};
}

enum ldb_status repl_survey_ours(struct repl_survey *survey,
                                 const struct repl_survey_source *source,
                                 struct ldb_error *err)
{
    assert(survey->ours.journals == NULL && survey->ours.version == NULL);
    return repl_holdings_read(source->env, source->dir, source->comparator,
                              true, err, &survey->ours);
}

static enum ldb_status pause(const struct repl_survey_source *source,
                             struct ldb_error *err)
{
    return source->pause == NULL ? LDB_OK : source->pause(source->context, err);
}

/* ---- tables of a version ---- */

static size_t count_tables(const struct ldb_version *version)
{
    size_t count = 0;

    for (uint32_t level = 0; version != NULL && level < LDB_LEVEL_COUNT;
         level++)
        count += version->levels[level].count;
    return count;
}

static int compare_metas(const void *a, const void *b)
{
    const struct ldb_file_meta *const *left = a;
    const struct ldb_file_meta *const *right = b;

    return ((*left)->number > (*right)->number) -
           ((*left)->number < (*right)->number);
}

/* Those of all levels by number; NULL: no memory. */
static const struct ldb_file_meta **
sort_metas(const struct ldb_version *version)
{
    const struct ldb_file_meta **metas =
        ldb_mem_alloc(count_tables(version) + 1, sizeof(*metas));
    size_t n = 0;

    if (metas == NULL)
        return NULL;
    for (uint32_t level = 0; version != NULL && level < LDB_LEVEL_COUNT;
         level++) {
        for (size_t i = 0; i < version->levels[level].count; i++)
            metas[n++] = version->levels[level].files[i];
    }
    qsort(metas, n, sizeof(*metas), compare_metas);
    return metas;
}

static const struct ldb_file_meta *find_meta(const struct ldb_file_meta **metas,
                                             size_t count, uint64_t number)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (metas[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && metas[low]->number == number ? metas[low] : NULL;
}

/* ---- wanted ---- */

static enum ldb_status ask_digest(const struct repl_survey_source *source,
                                  struct repl_plan_table *table,
                                  struct ldb_error *err)
{
    struct repl_file_head head = {0};
    enum ldb_status s = pause(source, err);

    if (s == LDB_OK)
        s = repl_client_head(source->client, table->name, err, &head);
    if (s != LDB_OK)
        return s;
    if (head.size != table->size)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s has %" PRIu64
                             " bytes there, its MANIFEST says %" PRIu64,
                             table->name, head.size, table->size);
    if (!head.has_digest)
        return ldb_error_set(err, LDB_STALLED,
                             "%s: its digest is not known there yet",
                             table->name);
    table->has_digest = true;
    table->digest = head.digest;
    return LDB_OK;
}

/* Takes a table of the checkpoint in; one that the MANIFEST does not name is
 * passed over. */
static enum ldb_status take_entry(struct repl_survey *survey,
                                  const struct repl_file_entry *entry,
                                  const struct ldb_file_meta **metas,
                                  size_t meta_count, struct ldb_error *err)
{
    struct repl_plan_table *table = &survey->wanted[survey->wanted_count];
    const struct ldb_file_meta *meta;
    uint64_t number = 0;

    if (!repl_is_table_name(entry->name, &number))
        return LDB_OK;
    meta = find_meta(metas, meta_count, number);
    if (meta == NULL)
        return LDB_OK;
    if (survey->wanted_count == meta_count)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "the checkpoint has table %s twice", entry->name);
    if (meta->size != entry->size)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s has %" PRIu64
                             " bytes in the checkpoint, its MANIFEST says "
                             "%" PRIu64,
                             entry->name, entry->size, meta->size);
    *table = (struct repl_plan_table){
        .number = number,
        .size = entry->size,
        .has_digest = entry->has_digest,
        .digest = entry->digest,
        .meta = meta,
    };
    memcpy(table->name, entry->name, sizeof(table->name));
    survey->wanted_count++;
    return LDB_OK;
}

static int compare_tables(const void *a, const void *b)
{
    const struct repl_plan_table *left = a;
    const struct repl_plan_table *right = b;

    return (left->number > right->number) - (left->number < right->number);
}

/* Each table of the version is there, once. */
static enum ldb_status check_all(const struct repl_survey *survey,
                                 const struct ldb_file_meta **metas,
                                 size_t meta_count, struct ldb_error *err)
{
    for (size_t i = 0; i < meta_count; i++) {
        if (i >= survey->wanted_count ||
            survey->wanted[i].number != metas[i]->number)
            return ldb_error_set(err, LDB_CORRUPTION,
                                 "the checkpoint lacks table %06" PRIu64
                                 " of its MANIFEST",
                                 metas[i]->number);
    }
    return LDB_OK;
}

static enum ldb_status take_tables(struct repl_survey *survey,
                                   const struct repl_survey_source *source,
                                   const struct repl_checkpoint *checkpoint,
                                   struct ldb_error *err)
{
    size_t meta_count = count_tables(survey->version);
    const struct ldb_file_meta **metas = sort_metas(survey->version);
    enum ldb_status s = LDB_OK;

    survey->wanted = ldb_mem_zalloc(meta_count + 1, sizeof(*survey->wanted));
    if (metas == NULL || survey->wanted == NULL)
        s = ldb_error_no_memory(err);
    for (size_t i = 0; s == LDB_OK && i < checkpoint->file_count; i++)
        s = take_entry(survey, &checkpoint->files[i], metas, meta_count, err);
    if (s == LDB_OK) {
        qsort(survey->wanted, survey->wanted_count, sizeof(*survey->wanted),
              compare_tables);
        s = check_all(survey, metas, meta_count, err);
    }
    for (size_t i = 0; s == LDB_OK && i < survey->wanted_count; i++) {
        if (!survey->wanted[i].has_digest)
            s = ask_digest(source, &survey->wanted[i], err);
    }
    ldb_mem_free(metas);
    return s;
}

static enum ldb_status read_manifest(struct repl_survey *survey,
                                     const struct repl_survey_source *source,
                                     const struct repl_checkpoint *checkpoint,
                                     struct ldb_error *err)
{
    struct ldb_recovered recovered;
    char *incoming = ldb_mem_printf("%s/" LDB_INCOMING_FOLDER, source->dir);
    enum ldb_status s;

    if (incoming == NULL)
        return ldb_error_no_memory(err);
    s = ldb_recovered_read(&recovered, source->env, incoming,
                           checkpoint->manifest_number, source->comparator,
                           err);
    ldb_mem_free(incoming);
    if (s != LDB_OK)
        return ldb_error_prefix(err, s, "the leader's checkpoint");
    if (recovered.manifest_len != checkpoint->manifest_len)
        s = ldb_error_set(err, LDB_CORRUPTION,
                          "MANIFEST-%06" PRIu64 ": its records end at %" PRIu64
                          ", the leader's checkpoint says %" PRIu64,
                          checkpoint->manifest_number, recovered.manifest_len,
                          checkpoint->manifest_len);
    if (s == LDB_OK) {
        survey->version = ldb_version_ref(recovered.version);
        survey->manifest_number = checkpoint->manifest_number;
        survey->manifest_len = recovered.manifest_len;
        survey->log_number = recovered.log_number;
    }
    ldb_recovered_release(&recovered);
    return s;
}

enum ldb_status repl_survey_wanted(struct repl_survey *survey,
                                   const struct repl_survey_source *source,
                                   const struct repl_checkpoint *checkpoint,
                                   struct ldb_error *err)
{
    enum ldb_status s;

    assert(survey->version == NULL);
    s = read_manifest(survey, source, checkpoint, err);
    if (s == LDB_OK)
        s = take_tables(survey, source, checkpoint, err);
    return s;
}

/* ---- held ---- */

static int compare_sizes(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

/* Sizes of the wanted tables, ascending; NULL: no memory. */
static uint64_t *sort_sizes(const struct repl_survey *survey)
{
    uint64_t *sizes = ldb_mem_alloc(survey->wanted_count + 1, sizeof(*sizes));

    if (sizes == NULL)
        return NULL;
    for (size_t i = 0; i < survey->wanted_count; i++)
        sizes[i] = survey->wanted[i].size;
    qsort(sizes, survey->wanted_count, sizeof(*sizes), compare_sizes);
    return sizes;
}

/* One that cannot be read is not the leader's. */
static enum ldb_status read_table(const struct repl_survey_source *source,
                                  const char *path,
                                  struct repl_plan_table *table,
                                  struct ldb_error *err)
{
    struct ldb_error why = {0};
    uint64_t size = 0;
    enum ldb_status s = pause(source, err);

    if (s != LDB_OK)
        return s;
    s = ldb_digest_file(source->env, path, &why, &table->digest, &size);
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    table->has_digest = s == LDB_OK && size == table->size;
    return LDB_OK;
}

static enum ldb_status add_held(struct repl_survey *survey,
                                const struct repl_survey_source *source,
                                const struct ldb_folder_file *file,
                                const uint64_t *sizes, struct ldb_error *err)
{
    struct repl_plan_table *table = &survey->held[survey->held_count];
    char *path = ldb_file_path(source->dir, file->type, file->number);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    *table = (struct repl_plan_table){.number = file->number};
    ldb_file_name_print(table->name, file->type, file->number);
    s = source->env->ops->file_size(source->env, path, err, &table->size);
    if (s == LDB_OK && survey->wanted_count > 0 &&
        bsearch(&table->size, sizes, survey->wanted_count, sizeof(*sizes),
                compare_sizes) != NULL)
        s = read_table(source, path, table, err);
    if (s == LDB_OK)
        survey->held_count++;
    ldb_mem_free(path);
    return s;
}

static enum ldb_status add_all_held(struct repl_survey *survey,
                                    const struct repl_survey_source *source,
                                    const struct ldb_folder_files *files,
                                    struct ldb_error *err)
{
    size_t meta_count = count_tables(survey->ours.version);
    const struct ldb_file_meta **metas = sort_metas(survey->ours.version);
    uint64_t *sizes = sort_sizes(survey);
    enum ldb_status s = LDB_OK;

    if (metas == NULL || sizes == NULL)
        s = ldb_error_no_memory(err);
    for (size_t i = 0; s == LDB_OK && i < files->count; i++) {
        const struct ldb_folder_file *file = &files->files[i];

        if (file->type != LDB_FILE_TABLE && file->type != LDB_FILE_TABLE_SST)
            continue;
        s = add_held(survey, source, file, sizes, err);
        if (s == LDB_OK)
            survey->held[survey->held_count - 1].meta =
                find_meta(metas, meta_count, file->number);
    }
    ldb_mem_free(metas);
    ldb_mem_free(sizes);
    return s;
}

enum ldb_status repl_survey_held(struct repl_survey *survey,
                                 const struct repl_survey_source *source,
                                 struct ldb_error *err)
{
    struct ldb_folder_files files = {0};
    enum ldb_status s =
        ldb_folder_files_list(source->env, source->dir, err, &files);

    assert(survey->held == NULL);
    if (s == LDB_OK) {
        survey->held = ldb_mem_zalloc(files.count + 1, sizeof(*survey->held));
        s = survey->held == NULL ? ldb_error_no_memory(err)
                                 : add_all_held(survey, source, &files, err);
    }
    ldb_folder_files_release(&files);
    return s;
}

/* ---- journals ---- */

static const struct repl_journal_entry *find_entry(const struct repl_state *s,
                                                   uint64_t number)
{
    for (size_t i = 0; i < s->journal_count; i++) {
        if (s->journals[i].number == number)
            return &s->journals[i];
    }
    return NULL;
}

static enum ldb_status compare_digest(const struct repl_survey_source *source,
                                      const struct repl_held_journal *held,
                                      const struct repl_journal_entry *entry,
                                      struct ldb_error *err, bool *out_is_same)
{
    char name[LDB_FILE_NAME_SIZE];
    struct ldb_digest digest;
    uint64_t size = 0;
    char *path;
    enum ldb_status s;

    ldb_file_name_print(name, LDB_FILE_JOURNAL, held->number);
    path =
        ldb_mem_printf("%s/%s%s", source->dir,
                       held->is_archived ? LDB_ARCHIVE_FOLDER "/" : "", name);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_digest_file(source->env, path, err, &digest, &size);
    ldb_mem_free(path);
    if (s == LDB_OK)
        *out_is_same = ldb_digest_equal(&digest, &entry->digest);
    return s;
}

static enum ldb_status compare_bytes(const struct repl_survey_source *source,
                                     const struct repl_held_journal *held,
                                     struct ldb_error *err,
                                     enum repl_likeness *out)
{
    const struct repl_likeness_source bytes = {
        .env = source->env,
        .dir = source->dir,
        .transport = source->client->transport,
        .epoch = repl_epoch_history_last(&source->state->history),
    };
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_JOURNAL, held->number);
    return repl_likeness_of(&bytes, name, held->len, err, out);
}

/*
 * A digest tells of all of it; else the bytes at its end do. What cannot be
 * compared, or is damaged, is not alike.
 */
static enum ldb_status compare_journal(const struct repl_survey_source *source,
                                       const struct repl_held_journal *held,
                                       struct repl_plan_journal *out,
                                       struct ldb_error *err)
{
    const struct repl_journal_entry *entry =
        find_entry(source->state, held->number);
    enum repl_likeness likeness = REPL_LIKENESS_UNKNOWN;
    bool is_all = entry != NULL && entry->is_sealed && held->len == entry->len;
    bool is_same = false;
    enum ldb_status s = pause(source, err);

    if (s != LDB_OK || entry == NULL || held->len == 0 || held->is_damaged)
        return s;
    if (is_all && entry->has_digest && held->file_len == held->len) {
        s = compare_digest(source, held, entry, err, &is_same);
        likeness = is_same ? REPL_ALIKE : REPL_UNLIKE;
    } else if (entry->is_sealed && held->len > entry->len) {
        likeness = REPL_UNLIKE;
    } else if (!held->is_archived) { /* there it is not worth a call */
        s = compare_bytes(source, held, err, &likeness);
    }
    out->is_alike = likeness == REPL_ALIKE;
    out->is_unlike = likeness == REPL_UNLIKE;
    out->is_whole = is_all && held->file_len == held->len;
    return s;
}

static enum ldb_status take_leader_journals(struct repl_survey *survey,
                                            const struct repl_state *state,
                                            struct ldb_error *err)
{
    survey->leader_journals = ldb_mem_alloc(state->journal_count + 1,
                                            sizeof(*survey->leader_journals));
    if (survey->leader_journals == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < state->journal_count; i++)
        survey->leader_journals[i] = state->journals[i].number;
    survey->leader_journal_count = state->journal_count;
    return LDB_OK;
}

enum ldb_status repl_survey_journals(struct repl_survey *survey,
                                     const struct repl_survey_source *source,
                                     struct ldb_error *err)
{
    const struct repl_holdings *ours = &survey->ours;
    enum ldb_status s = take_leader_journals(survey, source->state, err);

    survey->journals =
        ldb_mem_zalloc(ours->journal_count + 1, sizeof(*survey->journals));
    if (s == LDB_OK && survey->journals == NULL)
        s = ldb_error_no_memory(err);
    for (size_t i = 0; s == LDB_OK && i < ours->journal_count; i++) {
        const struct repl_held_journal *held = &ours->journals[i];
        struct repl_plan_journal *journal = &survey->journals[i];

        *journal = (struct repl_plan_journal){
            .number = held->number,
            .len = held->len,
            .file_len = held->file_len,
            .is_archived = held->is_archived,
            .is_damaged = held->is_damaged,
            .last = held->last,
        };
        s = compare_journal(source, held, journal, err);
    }
    return s;
}

/* ---- both ---- */

void repl_survey_input(const struct repl_survey *survey,
                       struct repl_plan_input *out)
{
    const struct repl_holdings *ours = &survey->ours;

    *out = (struct repl_plan_input){
        .wanted = survey->wanted,
        .wanted_count = survey->wanted_count,
        .manifest_number = survey->manifest_number,
        .log_number = survey->log_number,
        .leader_journals = survey->leader_journals,
        .leader_journal_count = survey->leader_journal_count,
        .held = survey->held,
        .held_count = survey->held_count,
        .journals = survey->journals,
        .journal_count = ours->journal_count,
        .is_in_force = ours->has_database && !ours->is_damaged,
        .held_manifest_number = ours->manifest_number,
        .held_log_number = ours->log_number,
    };
}
