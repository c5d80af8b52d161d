/*
 * The longest run of whole, valid edits of the best MANIFEST (contracts:
 * repair_internal.h): the one that CURRENT names, else the newest of which
 * anything can be read.
 *
 * A table that a kept edit deleted is dead: what replaced it has its entries,
 * and a table that comes back could bring deleted keys back. Only where the
 * replacement is gone itself do the tables it was made of count again.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/journal_tail.h"
#include "storage/repair_internal.h"
#include "storage/version/current_file.h"
#include "storage/version/recovered.h"
#include "storage/version/version_builder.h"

/* A counter beyond this is not believed: what is left would not do for long.
 * Chosen: 2^32 numbers stay. */
#define NUMBER_BELIEVED_MAX (LDB_FILE_NUMBER_MAX - (UINT64_C(1) << 32))

/* reading.fields when comparator, log, next file and sequence were seen. */
#define ALL_FIELDS 15U

/* One reading of one MANIFEST. */
struct reading {
    struct ldb_repair *repair;
    struct ldb_repair_manifest found;
    struct ldb_version_builder *builder;
    uint64_t limit; /* edits to take */
    /* Why it ended before the file did. */
    bool is_cut;
    uint64_t cut_at;
    bool is_tail; /* ...in a last record that a crash cut off */
    struct ldb_error why;
    unsigned fields; /* bits of the scalars seen */
};

void ldb_repair_manifest_release(struct ldb_repair_manifest *manifest)
{
    ldb_version_unref(manifest->version);
    ldb_mem_free(manifest->changes);
    ldb_mem_free(manifest->deleted);
    ldb_mem_free(manifest->named);
    *manifest = (struct ldb_repair_manifest){0};
}

/* ---- one edit ---- */

static enum ldb_status push_change(struct ldb_repair_manifest *found,
                                   uint64_t number, bool is_added,
                                   struct ldb_error *err)
{
    void *items = found->changes;
    enum ldb_status s = ldb_repair_grow(&items, found->change_count,
                                        sizeof(*found->changes), err);

    if (s != LDB_OK)
        return s;
    found->changes = items;
    found->changes[found->change_count++] = (struct ldb_repair_change){
        .number = number, .edit = found->edits, .is_added = is_added};
    return LDB_OK;
}

static enum ldb_status push_changes(struct ldb_repair_manifest *found,
                                    const struct ldb_version_edit *edit,
                                    struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < edit->deleted_count; i++)
        s = push_change(found, edit->deleted[i].number, false, err);
    for (size_t i = 0; s == LDB_OK && i < edit->added_count; i++)
        s = push_change(found, edit->added[i].meta->number, true, err);
    return s;
}

static void take_scalars(struct reading *reading,
                         const struct ldb_version_edit *edit)
{
    struct ldb_repair_manifest *found = &reading->found;

    if (edit->has_log_number && edit->log_number <= NUMBER_BELIEVED_MAX)
        found->log_number = edit->log_number;
    if (edit->has_prev_log_number &&
        edit->prev_log_number <= NUMBER_BELIEVED_MAX)
        found->prev_log_number = edit->prev_log_number;
    if (edit->has_next_file_number &&
        edit->next_file_number <= NUMBER_BELIEVED_MAX)
        found->next_file_number = edit->next_file_number;
    if (edit->has_last_sequence && edit->last_sequence <= LDB_SEQUENCE_MAX)
        found->last_sequence = edit->last_sequence;
    reading->fields |= (edit->has_comparator ? 1U : 0U) |
                       (edit->has_log_number ? 2U : 0U) |
                       (edit->has_next_file_number ? 4U : 0U) |
                       (edit->has_last_sequence ? 8U : 0U);
}

static enum ldb_status add_edit(struct reading *reading,
                                const struct ldb_version_edit *edit,
                                struct ldb_error *err)
{
    const char *name = reading->repair->options.comparator->name;
    enum ldb_status s;

    if (edit->has_comparator && strcmp(edit->comparator, name) != 0)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "MANIFEST-%06" PRIu64 ": made with comparator "
                             "\"%.60s\", repaired with \"%.60s\"",
                             reading->found.number, edit->comparator, name);
    s = ldb_version_builder_apply(reading->builder, edit, err);
    if (s == LDB_OK)
        s = push_changes(&reading->found, edit, err);
    if (s == LDB_OK) {
        take_scalars(reading, edit);
        reading->found.edits++;
    }
    return s;
}

/* ---- one file ---- */

/* Damage ends the reading; it is no error. */
static enum ldb_status read_edits(struct reading *reading,
                                  struct ldb_journal_reader *reader,
                                  struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    struct ldb_slice record = {0};
    enum ldb_status s = LDB_OK;

    while (reading->found.edits < reading->limit) {
        s = ldb_journal_reader_next(reader, &reading->why, &record);
        reading->cut_at = ldb_journal_reader_end_offset(reader);
        if (s != LDB_OK)
            break;
        s = ldb_version_edit_decode(&edit, record, &reading->why);
        if (s == LDB_OK)
            s = add_edit(reading, &edit, &reading->why);
        if (s != LDB_OK) {
            reading->cut_at = ldb_journal_reader_record_offset(reader);
            break;
        }
    }
    ldb_version_edit_release(&edit);
    if (s == LDB_NOT_FOUND && ldb_journal_reader_tail_bytes(reader) == 0)
        return LDB_OK;
    if (s == LDB_NOT_FOUND) {
        reading->is_tail = true;
        s = ldb_error_set(&reading->why, LDB_CORRUPTION,
                          "%" PRIu64 " bytes at the end are no whole record",
                          ldb_journal_reader_tail_bytes(reader));
    }
    if (s == LDB_CORRUPTION) {
        reading->is_cut = true;
        return LDB_OK;
    }
    if (s != LDB_OK && err != NULL)
        *err = reading->why;
    return s;
}

/* A tail with a whole record in it is no tail. */
static enum ldb_status check_tail(struct reading *reading, const char *path,
                                  const struct ldb_journal_reader *reader,
                                  struct ldb_error *err)
{
    struct ldb_env *env = reading->repair->env;
    uint64_t bytes = ldb_journal_reader_tail_bytes(reader);
    uint64_t size = 0;
    bool is_damage = false;
    enum ldb_status s = env->ops->file_size(env, path, err, &size);

    if (s == LDB_OK && bytes <= size)
        s = ldb_journal_tail_is_damage(env, path, size - bytes, bytes, err,
                                       &is_damage);
    if (s == LDB_OK && is_damage)
        reading->is_tail = false;
    return s;
}

static int compare_deleted(const void *a, const void *b)
{
    const struct ldb_repair_deleted *left = a;
    const struct ldb_repair_deleted *right = b;

    return (left->number > right->number) - (left->number < right->number);
}

static enum ldb_status list_deleted(struct ldb_repair_manifest *found,
                                    struct ldb_error *err)
{
    found->deleted =
        ldb_mem_zalloc(found->change_count + 1, sizeof(*found->deleted));
    if (found->deleted == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < found->change_count; i++) {
        if (!found->changes[i].is_added)
            found->deleted[found->deleted_count++].number =
                found->changes[i].number;
    }
    qsort(found->deleted, found->deleted_count, sizeof(*found->deleted),
          compare_deleted);
    return LDB_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

static enum ldb_status list_named(struct ldb_repair_manifest *found,
                                  struct ldb_error *err)
{
    size_t count = 0;

    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++)
        count += found->version->levels[l].count;
    found->named = ldb_mem_alloc(count + 1, sizeof(*found->named));
    if (found->named == NULL)
        return ldb_error_no_memory(err);
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_level *level = &found->version->levels[l];

        for (size_t i = 0; i < level->count; i++)
            found->named[found->named_count++] = level->files[i]->number;
    }
    qsort(found->named, found->named_count, sizeof(*found->named),
          compare_numbers);
    return LDB_OK;
}

/* The first limit edits of MANIFEST-number. CORRUPTION: they make no version.
 */
static enum ldb_status read_limited(struct reading *reading, uint64_t number,
                                    struct ldb_error *err)
{
    const struct ldb_journal_reader_options options = {.strict = true};
    struct ldb_repair *repair = reading->repair;
    char name[LDB_FILE_NAME_SIZE];
    char *path = ldb_file_path(repair->dir, LDB_FILE_MANIFEST, number);
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    enum ldb_status s;

    ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
    reading->found.number = number;
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_version_builder_create(repair->options.comparator, NULL, err,
                                   &reading->builder);
    if (s == LDB_OK)
        s = repair->env->ops->open_sequential(repair->env, path, err, &file);
    if (s == LDB_OK)
        s = ldb_journal_reader_create(file, name, &options, err, &reader);
    if (s == LDB_OK)
        s = read_edits(reading, reader, err);
    if (s == LDB_OK && reading->is_tail)
        s = check_tail(reading, path, reader, err);
    if (s == LDB_OK)
        s = list_deleted(&reading->found, err);
    if (s == LDB_OK && reading->found.edits > 0)
        s = ldb_version_builder_finish(reading->builder, err,
                                       &reading->found.version);
    if (s == LDB_OK && reading->found.edits > 0)
        s = list_named(&reading->found, err);
    ldb_journal_reader_destroy(reader);
    if (file != NULL)
        ldb_sequential_close(file);
    ldb_version_builder_destroy(reading->builder);
    reading->builder = NULL;
    ldb_mem_free(path);
    return s;
}

static enum ldb_status say_cut(struct reading *reading, struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    char advice[160];
    const struct ldb_finding finding = {
        /* A crash cuts off a last record, never the first. */
        .kind = reading->is_tail && reading->found.edits > 0
                    ? LDB_FINDING_NOTE
                    : LDB_FINDING_DAMAGE,
        .file = name,
        .has_offset = true,
        .offset = reading->cut_at,
        .message = reading->why.message,
        .advice = advice,
    };

    ldb_file_name_print(name, LDB_FILE_MANIFEST, reading->found.number);
    (void)snprintf(advice, sizeof(advice),
                   "the levels of the %" PRIu64 " edits before it are kept; "
                   "later tables get a level by their keys and sequences",
                   reading->found.edits);
    return ldb_repair_say(reading->repair, &finding, err);
}

/*
 * Reads MANIFEST-number. Edits that overlap each other make no version: then
 * the longest run that makes one is searched for by halving.
 */
static enum ldb_status read_one(struct ldb_repair *repair, uint64_t number,
                                struct ldb_error *err)
{
    struct reading reading = {.repair = repair, .limit = UINT64_MAX};
    struct ldb_error why = {0};
    uint64_t good = 0;
    uint64_t bad;
    enum ldb_status s = read_limited(&reading, number, &why);

    if (s == LDB_CORRUPTION) {
        bad = reading.found.edits;
        for (;;) {
            ldb_repair_manifest_release(&reading.found);
            reading = (struct reading){.repair = repair,
                                       .limit = good + (bad - good) / 2,
                                       .is_cut = true,
                                       .why = why};
            s = read_limited(&reading, number, &why);
            if (s != LDB_OK && s != LDB_CORRUPTION)
                break;
            if (s == LDB_OK && bad - reading.limit <= 1)
                break;
            if (s == LDB_OK)
                good = reading.limit;
            else
                bad = reading.limit;
        }
        reading.is_cut = true;
    }
    if (s != LDB_OK) {
        if (err != NULL)
            *err = why;
    } else if (reading.is_cut) {
        s = say_cut(&reading, err);
    }
    reading.found.is_final = !reading.is_cut && reading.fields == ALL_FIELDS;
    if (s == LDB_OK && reading.found.edits > 0)
        repair->manifest = reading.found;
    else
        ldb_repair_manifest_release(&reading.found);
    return s;
}

/* ---- which one ---- */

static enum ldb_status say_current(struct ldb_repair *repair,
                                   const char *message, struct ldb_error *err)
{
    const struct ldb_finding finding = {
        .kind = LDB_FINDING_DAMAGE,
        .file = "CURRENT",
        .message = message,
        .advice = "the newest MANIFEST that can be read is taken",
    };

    return ldb_repair_say(repair, &finding, err);
}

static bool has_unnamed_table(const struct ldb_repair *repair)
{
    for (size_t i = 0; i < repair->files.count; i++) {
        const struct ldb_folder_file *file = &repair->files.files[i];

        if ((file->type == LDB_FILE_TABLE ||
             file->type == LDB_FILE_TABLE_SST) &&
            !ldb_repair_manifest_names(&repair->manifest, file->number))
            return true;
    }
    return false;
}

/* One that lost its last records has no say in which tables count. */
static enum ldb_status check_short(struct ldb_repair *repair,
                                   struct ldb_error *err)
{
    struct ldb_repair_manifest *found = &repair->manifest;
    char name[LDB_FILE_NAME_SIZE];
    const struct ldb_finding finding = {
        .kind = LDB_FINDING_DAMAGE,
        .file = name,
        .message = "the journal it asks for is gone, and there are tables it "
                   "does not name: it has lost its last records",
        .advice = "the tables get a level by their keys and sequences",
    };

    if (found->edits == 0 || !has_unnamed_table(repair) ||
        !ldb_recovered_is_short(found->log_number,
                                ldb_folder_files_has(&repair->files,
                                                     LDB_FILE_JOURNAL,
                                                     found->log_number),
                                found->named_count))
        return LDB_OK;
    found->is_final = false;
    ldb_file_name_print(name, LDB_FILE_MANIFEST, found->number);
    return ldb_repair_say(repair, &finding, err);
}

/* The newest MANIFEST but that of skip of which an edit can be read. */
static enum ldb_status read_newest(struct ldb_repair *repair, uint64_t skip,
                                   struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = repair->files.count;
         s == LDB_OK && repair->manifest.edits == 0 && i > 0; i--) {
        const struct ldb_folder_file *file = &repair->files.files[i - 1];

        if (file->type == LDB_FILE_MANIFEST && file->number != skip)
            s = read_one(repair, file->number, err);
    }
    repair->manifest.is_final = false;
    repair->is_needed = true;
    return s;
}

/*
 * Reading for repair takes what opening does not: records that are whole but
 * lack a field, or hold a number out of range. Such a folder is not sound.
 */
static enum ldb_status check_opens(struct ldb_repair *repair, uint64_t number,
                                   struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    struct ldb_recovered recovered = {0};
    struct ldb_error why = {0};
    const struct ldb_finding finding = {
        .kind = LDB_FINDING_DAMAGE,
        .file = name,
        .message = why.message,
        .advice = "what it says of tables is kept, the rest is made anew",
    };
    enum ldb_status s =
        ldb_recovered_read(&recovered, repair->env, repair->dir, number,
                           repair->options.comparator, &why);

    ldb_recovered_release(&recovered);
    if (s == LDB_CORRUPTION) {
        repair->manifest.is_final = false;
        if (repair->is_needed)
            return LDB_OK; /* told before */
        ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
        return ldb_repair_say(repair, &finding, err);
    }
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

enum ldb_status ldb_repair_manifest_read(struct ldb_repair *repair,
                                         struct ldb_error *err)
{
    struct ldb_error why = {0};
    uint64_t number = UINT64_MAX;
    bool is_settled = false;
    enum ldb_status s =
        ldb_current_read(repair->env, repair->dir, &why, &number, &is_settled);

    if (s == LDB_CORRUPTION) {
        s = say_current(repair, why.message, err);
    } else if (s == LDB_OK) {
        s = read_one(repair, number, err);
        if (s == LDB_OK && repair->manifest.edits > 0)
            s = check_opens(repair, number, err);
    } else if (err != NULL) {
        *err = why;
    }
    if (s == LDB_OK && repair->manifest.edits == 0)
        s = read_newest(repair, number, err);
    if (s == LDB_OK)
        s = check_short(repair, err);
    return s;
}

/* ---- dead tables ---- */

/* The first of the entries of number, which edits may delete several times. */
static struct ldb_repair_deleted *
find_deleted(const struct ldb_repair_manifest *manifest, uint64_t number)
{
    const struct ldb_repair_deleted key = {.number = number};
    struct ldb_repair_deleted *at;

    if (manifest->deleted_count == 0)
        return NULL;
    at = bsearch(&key, manifest->deleted, manifest->deleted_count, sizeof(key),
                 compare_deleted);
    while (at != NULL && at > manifest->deleted && at[-1].number == number)
        at--;
    return at;
}

bool ldb_repair_manifest_names(const struct ldb_repair_manifest *manifest,
                               uint64_t number)
{
    return manifest->named_count > 0 &&
           bsearch(&number, manifest->named, manifest->named_count,
                   sizeof(number), compare_numbers) != NULL;
}

bool ldb_repair_manifest_is_dead(const struct ldb_repair_manifest *manifest,
                                 uint64_t number)
{
    const struct ldb_repair_deleted *deleted = find_deleted(manifest, number);

    if (deleted == NULL)
        return manifest->is_final;
    return !deleted->is_restored;
}

/* Is the table wanted back, and not there itself? */
static bool is_missing_input(const struct ldb_repair *repair, uint64_t number)
{
    const struct ldb_repair_deleted *deleted =
        find_deleted(&repair->manifest, number);

    return deleted != NULL && deleted->is_restored &&
           !ldb_folder_files_has_table(&repair->files, number);
}

/* What the edit of change i deleted counts again. */
static void restore_inputs(struct ldb_repair_manifest *manifest, size_t i)
{
    uint64_t edit = manifest->changes[i].edit;

    while (i > 0 && manifest->changes[i - 1].edit == edit)
        i--;
    for (; i < manifest->change_count && manifest->changes[i].edit == edit;
         i++) {
        if (!manifest->changes[i].is_added)
            find_deleted(manifest, manifest->changes[i].number)->is_restored =
                true;
    }
}

void ldb_repair_manifest_restore(struct ldb_repair *repair, uint64_t number)
{
    struct ldb_repair_manifest *manifest = &repair->manifest;

    /* Newest edits first: inputs are older than what is made of them. */
    for (size_t i = manifest->change_count; i > 0; i--) {
        const struct ldb_repair_change *change = &manifest->changes[i - 1];

        if (change->is_added && (change->number == number ||
                                 is_missing_input(repair, change->number)))
            restore_inputs(manifest, i - 1);
    }
}
