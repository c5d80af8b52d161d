#include "storage/verify.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/journal_tail.h"
#include "storage/pinned_files.h"
#include "storage/table/table_scan.h"
#include "storage/version/current_file.h"
#include "storage/version/recovered.h"

#define ADVICE_REPAIR                                                          \
    "restore the file from a backup, or run `leveld repair`, which keeps all " \
    "that is undamaged"
#define ADVICE_NONE "nothing to do: the next open removes it"

struct check {
    struct ldb_env *env;
    const char *dir;
    struct ldb_options options; /* completed */
    struct ldb_filter_policy bloom;
    struct ldb_table_options table_options;
    ldb_verify_visit visit;
    void *context;
    bool is_short;                       /* ldb_recovered_is_short() */
    const struct ldb_progress *progress; /* NULL: nobody looks on */
    struct ldb_verify_summary summary;
};

static enum ldb_status init_check(struct check *check, const char *dir,
                                  const struct ldb_options *options,
                                  ldb_verify_visit visit, void *context,
                                  struct ldb_error *err)
{
    enum ldb_status s;

    *check = (struct check){.dir = dir, .visit = visit, .context = context};
    s = ldb_options_complete(options, err, &check->options);
    if (s != LDB_OK)
        return s;
    check->env = check->options.env;
    check->bloom = (struct ldb_filter_policy){.name = LDB_BLOOM_NAME_GOLEVELDB,
                                              .bloom_bits_per_key = 10};
    check->table_options = (struct ldb_table_options){
        .comparator = check->options.comparator,
        .filter = check->options.filter != NULL ? check->options.filter
                                                : &check->bloom,
        .verify_index_checksums = true,
    };
    return LDB_OK;
}

static enum ldb_status report(struct check *check,
                              const struct ldb_finding *finding)
{
    if (finding->kind == LDB_FINDING_DAMAGE)
        check->summary.damages++;
    else
        check->summary.notes++;
    return check->visit == NULL ? LDB_OK
                                : check->visit(check->context, finding);
}

/* A finding without offset and keys. */
static enum ldb_status report_file(struct check *check,
                                   enum ldb_finding_kind kind, const char *file,
                                   const char *message, const char *advice)
{
    const struct ldb_finding finding = {
        .kind = kind, .file = file, .message = message, .advice = advice};

    return report(check, &finding);
}

/* ---- tables ---- */

struct table_check {
    struct check *check;
    const char *name;
    const struct ldb_file_meta *meta;
    bool range_told;
};

static enum ldb_status on_table_damage(void *context,
                                       const struct ldb_table_damage *damage,
                                       struct ldb_error *err)
{
    struct table_check *table = context;
    const struct ldb_finding finding = {
        .kind = LDB_FINDING_DAMAGE,
        .file = table->name,
        .has_offset = true,
        .offset = damage->offset,
        /* Unknown bounds are those of the table. */
        .after = damage->after.len > 0 ? damage->after : table->meta->smallest,
        .until = damage->until.len > 0 ? damage->until : table->meta->largest,
        .message = damage->message,
        .advice = ADVICE_REPAIR,
    };

    (void)err;
    return report(table->check, &finding);
}

/* The range that the MANIFEST gives the table holds all its entries. */
static enum ldb_status on_table_entry(void *context, uint64_t block_offset,
                                      struct ldb_slice key,
                                      struct ldb_slice value,
                                      struct ldb_error *err)
{
    struct table_check *table = context;
    const struct ldb_comparator *cmp = table->check->options.comparator;
    struct ldb_finding finding = {
        .kind = LDB_FINDING_DAMAGE,
        .file = table->name,
        .has_offset = true,
        .offset = block_offset,
        .after = key,
        .until = key,
        .message = "entry outside the range that the MANIFEST gives the table",
        .advice = ADVICE_REPAIR,
    };

    (void)value;
    (void)err;
    if (table->range_told ||
        (ldb_internal_compare(cmp, key, table->meta->smallest) >= 0 &&
         ldb_internal_compare(cmp, key, table->meta->largest) <= 0))
        return LDB_OK;
    table->range_told = true;
    return report(table->check, &finding);
}

static enum ldb_status scan_table(struct check *check,
                                  const struct ldb_file_meta *meta,
                                  struct ldb_random_file *file,
                                  const char *name, struct ldb_error *err)
{
    struct table_check table = {.check = check, .name = name, .meta = meta};
    const struct ldb_table_visitor visitor = {
        .context = &table,
        .on_entry = on_table_entry,
        .on_damage = on_table_damage,
    };
    struct ldb_table_scan_result result = {0};
    enum ldb_status s = ldb_table_scan(
        file, meta->size, name, &check->table_options, &visitor, err, &result);

    check->summary.tables++;
    check->summary.blocks += result.blocks;
    check->summary.entries += result.entries;
    check->summary.table_bytes += meta->size;
    return s;
}

static enum ldb_status report_lost_table(struct check *check,
                                         const struct ldb_file_meta *meta,
                                         const char *name, const char *message)
{
    const struct ldb_finding finding = {
        .kind = LDB_FINDING_DAMAGE,
        .file = name,
        .after = meta->smallest,
        .until = meta->largest,
        .message = message,
        .advice = ADVICE_REPAIR,
    };

    return report(check, &finding);
}

static enum ldb_status check_table(struct check *check, uint32_t level,
                                   const struct ldb_file_meta *meta,
                                   struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    struct ldb_random_file *file = NULL;
    struct ldb_error why = {0};
    struct ldb_error text = {0};
    uint64_t size = 0;
    enum ldb_status s = ldb_folder_open_table(
        check->env, check->dir, meta->number, &why, name, &size, &file);

    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK) {
        LDB_IGNORE(ldb_error_set(
            &text, s, "table of level %" PRIu32 ": %s", level,
            s == LDB_NOT_FOUND ? "the file is missing" : why.message));
        return report_lost_table(check, meta, name, text.message);
    }
    if (size != meta->size) {
        LDB_IGNORE(ldb_error_set(
            &text, LDB_CORRUPTION,
            "%" PRIu64 " bytes, the MANIFEST says %" PRIu64, size, meta->size));
        s = report_lost_table(check, meta, name, text.message);
    }
    if (s == LDB_OK)
        s = scan_table(check, meta, file, name, err);
    ldb_random_close(file);
    return s;
}

static uint64_t table_bytes(const struct ldb_version *version)
{
    uint64_t bytes = 0;

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < version->levels[level].count; i++)
            bytes += version->levels[level].files[i]->size;
    }
    return bytes;
}

static enum ldb_status report_progress(const struct check *check, uint64_t done,
                                       uint64_t total, struct ldb_error *err)
{
    const struct ldb_progress *progress = check->progress;

    if (progress == NULL || progress->report(progress->context, done, total))
        return LDB_OK;
    return ldb_error_set(err, LDB_CANCELLED, "the check was cancelled");
}

static enum ldb_status check_tables(struct check *check,
                                    const struct ldb_version *version,
                                    struct ldb_error *err)
{
    uint64_t total = table_bytes(version);
    uint64_t done = 0;
    enum ldb_status s = report_progress(check, done, total, err);

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        for (size_t i = 0; s == LDB_OK && i < version->levels[level].count;
             i++) {
            const struct ldb_file_meta *meta = version->levels[level].files[i];

            s = check_table(check, level, meta, err);
            done += meta->size;
            if (s == LDB_OK)
                s = report_progress(check, done, total, err);
        }
    }
    return s;
}

/* ---- records ---- */

struct record_check {
    struct check *check;
    const char *name;
    bool ends_at_gap;       /* a mapped journal */
    bool has_told;          /* on_drop did */
    enum ldb_status status; /* of the visits made from on_drop */
};

static enum ldb_status report_record(struct record_check *records,
                                     enum ldb_finding_kind kind,
                                     uint64_t offset, const char *message,
                                     const char *advice)
{
    const struct ldb_finding finding = {
        .kind = kind,
        .file = records->name,
        .has_offset = true,
        .offset = offset,
        .message = message,
        .advice = advice,
    };

    return report(records->check, &finding);
}

/* Where a mapped journal ends. */
static enum ldb_status report_gap(struct record_check *records, uint64_t offset,
                                  uint64_t bytes)
{
    struct ldb_error text = {0};

    LDB_IGNORE(ldb_error_set(&text, LDB_CORRUPTION,
                             "the mapped journal ends at a gap: %" PRIu64
                             " bytes from there on are not used",
                             bytes));
    return report_record(records, LDB_FINDING_NOTE, offset, text.message,
                         "nothing to do: a power cut leaves this of writes "
                         "that nobody asked to sync");
}

static void on_drop(void *context, uint64_t offset, uint64_t bytes,
                    const char *reason)
{
    struct record_check *records = context;
    struct ldb_error text = {0};

    records->has_told = true;
    if (records->ends_at_gap) {
        if (records->status == LDB_OK)
            records->status = report_gap(records, offset, bytes);
        return;
    }
    LDB_IGNORE(ldb_error_set(&text, LDB_CORRUPTION,
                             "%" PRIu64 " bytes cannot be used: %s", bytes,
                             reason));
    if (records->status == LDB_OK)
        records->status =
            report_record(records, LDB_FINDING_DAMAGE, offset, text.message,
                          "run `leveld repair`: it keeps the records before "
                          "and after, and the file in lost/");
}

/* A record's own bytes; counts it. */
typedef enum ldb_status (*record_body)(struct record_check *records,
                                       uint64_t offset, struct ldb_slice record,
                                       struct ldb_error *err);

static enum ldb_status check_journal_record(struct record_check *records,
                                            uint64_t offset,
                                            struct ldb_slice record,
                                            struct ldb_error *err)
{
    struct ldb_error why = {0};

    (void)err;
    records->check->summary.journal_records++;
    if (ldb_batch_check(record, &why, NULL, NULL) == LDB_OK)
        return LDB_OK;
    return report_record(records, LDB_FINDING_DAMAGE, offset, why.message,
                         "the batch is left out when the journal is replayed; "
                         "`leveld repair` keeps the file in lost/");
}

static enum ldb_status check_manifest_record(struct record_check *records,
                                             uint64_t offset,
                                             struct ldb_slice record,
                                             struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    struct ldb_error why = {0};
    enum ldb_status s = ldb_version_edit_decode(&edit, record, &why);

    ldb_version_edit_release(&edit);
    records->check->summary.manifest_records++;
    if (s == LDB_OK)
        return LDB_OK;
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    return report_record(records, LDB_FINDING_DAMAGE, offset, why.message,
                         ADVICE_REPAIR);
}

static enum ldb_status check_tail(struct record_check *records,
                                  const char *path, uint64_t len,
                                  const struct ldb_journal_reader *reader,
                                  struct ldb_error *err)
{
    uint64_t bytes = ldb_journal_reader_tail_bytes(reader);
    struct ldb_env *env = records->check->env;
    struct ldb_error text = {0};
    bool is_damage = false;
    uint64_t size = 0;
    enum ldb_status s;

    /* A tail of other bytes than zeros was told. */
    if (bytes == 0 || records->has_told)
        return LDB_OK;
    s = env->ops->file_size(env, path, err, &size);
    if (s != LDB_OK)
        return s;
    if (size > len)
        size = len;
    if (bytes > size)
        bytes = size;
    s = ldb_journal_tail_is_damage(env, path, size - bytes, bytes, err,
                                   &is_damage);
    if (s != LDB_OK)
        return s;
    if (is_damage) {
        on_drop(records, size - bytes, bytes, "bad length in a chunk");
        return records->status;
    }
    LDB_IGNORE(ldb_error_set(&text, LDB_CORRUPTION,
                             "%" PRIu64 " bytes of a record that was not "
                             "written whole",
                             bytes));
    return report_record(records, LDB_FINDING_NOTE, size - bytes, text.message,
                         "nothing to do: a crash leaves this, and nothing "
                         "acknowledged as durable is in it");
}

/* Reads the first len bytes of the file, record by record. */
static enum ldb_status check_records(struct check *check,
                                     enum ldb_file_type type, uint64_t number,
                                     uint64_t len, record_body body,
                                     struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    struct record_check records = {.check = check, .name = name};
    struct ldb_journal_reader_options options = {.on_drop = on_drop,
                                                 .context = &records};
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record = {0};
    char *path = ldb_file_path(check->dir, type, number);
    enum ldb_status s;

    ldb_file_name_print(name, type, number);
    s = path == NULL ? ldb_error_no_memory(err)
                     : ldb_pinned_open(check->env, path, len, err, &file);
    if (s == LDB_OK && type == LDB_FILE_JOURNAL)
        s = ldb_journal_tail_may_have_gap(check->env, path, err,
                                          &options.ends_at_gap);
    records.ends_at_gap = options.ends_at_gap;
    if (s == LDB_OK)
        s = ldb_journal_reader_create(file, name, &options, err, &reader);
    if (s != LDB_OK)
        goto out;
    while ((s = ldb_journal_reader_next(reader, err, &record)) == LDB_OK &&
           records.status == LDB_OK) {
        s = body(&records, ldb_journal_reader_record_offset(reader), record,
                 err);
        if (s != LDB_OK)
            goto out;
    }
    if (s == LDB_NOT_FOUND)
        s = records.status;
    if (s == LDB_OK)
        s = check_tail(&records, path, len, reader, err);
out:
    ldb_journal_reader_destroy(reader);
    if (file != NULL)
        ldb_sequential_close(file);
    ldb_mem_free(path);
    return s;
}

/* A file that cannot be read at all is damage, too. */
static enum ldb_status report_unreadable(struct check *check,
                                         enum ldb_file_type type,
                                         uint64_t number, enum ldb_status s,
                                         const struct ldb_error *why,
                                         struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];

    if (s != LDB_IO && s != LDB_CORRUPTION && s != LDB_NOT_FOUND) {
        if (err != NULL)
            *err = *why;
        return s;
    }
    ldb_file_name_print(name, type, number);
    return report_file(check, LDB_FINDING_DAMAGE, name,
                       s == LDB_NOT_FOUND ? "the file is missing"
                                          : why->message,
                       ADVICE_REPAIR);
}

static enum ldb_status check_journal(struct check *check, uint64_t number,
                                     uint64_t len, struct ldb_error *err)
{
    struct ldb_error why = {0};
    enum ldb_status s = check_records(check, LDB_FILE_JOURNAL, number, len,
                                      check_journal_record, &why);

    check->summary.journals++;
    if (s == LDB_OK)
        return LDB_OK;
    return report_unreadable(check, LDB_FILE_JOURNAL, number, s, &why, err);
}

/* ---- a closed folder ---- */

static bool version_has_table(const struct ldb_version *version,
                              uint64_t number)
{
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            if (version->levels[l].files[i]->number == number)
                return true;
        }
    }
    return false;
}

/* What lies about and is not needed; journals that are, are read. */
static enum ldb_status check_other_file(struct check *check,
                                        const struct ldb_folder_file *file,
                                        const struct ldb_recovered *recovered,
                                        uint64_t manifest_number,
                                        struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    const char *message = NULL;

    switch (file->type) {
    case LDB_FILE_JOURNAL:
        if (file->number >= recovered->log_number ||
            file->number == recovered->prev_log_number)
            return check_journal(check, file->number, LDB_PINNED_WHOLE, err);
        message = "a journal whose entries are in tables";
        break;
    case LDB_FILE_TABLE:
    case LDB_FILE_TABLE_SST:
        if (version_has_table(recovered->version, file->number))
            break;
        message = "a table that the MANIFEST does not name";
        if (!check->is_short)
            break;
        ldb_file_name_print(name, file->type, file->number);
        return report_file(check, LDB_FINDING_DAMAGE, name,
                           "a table that the MANIFEST does not name: it has "
                           "lost its last records",
                           ADVICE_REPAIR);
    case LDB_FILE_MANIFEST:
        if (file->number != manifest_number)
            message = "a MANIFEST that is not in force";
        break;
    case LDB_FILE_CURRENT_NEXT:
    case LDB_FILE_DBTMP:
    case LDB_FILE_TMP:
        message = "left over from something that was cut off";
        break;
    case LDB_FILE_FOREIGN:
    case LDB_FILE_CURRENT:
    case LDB_FILE_CURRENT_BAK:
    case LDB_FILE_LOCK:
    case LDB_FILE_LOG:
        break;
    }
    if (message == NULL)
        return LDB_OK;
    ldb_file_name_print(name, file->type, file->number);
    return report_file(check, LDB_FINDING_NOTE, name, message, ADVICE_NONE);
}

static enum ldb_status
check_missing_journal(struct check *check, const struct ldb_folder_files *files,
                      uint64_t number)
{
    char name[LDB_FILE_NAME_SIZE];

    if (number == 0 || ldb_folder_files_has(files, LDB_FILE_JOURNAL, number))
        return LDB_OK;
    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    return report_file(check, LDB_FINDING_DAMAGE, name,
                       "a journal that the MANIFEST asks for is missing, with "
                       "the writes in it",
                       "restore it from a backup; without one, opening the "
                       "folder goes on without those writes");
}

static enum ldb_status check_files(struct check *check,
                                   const struct ldb_folder_files *files,
                                   const struct ldb_recovered *recovered,
                                   uint64_t manifest_number,
                                   struct ldb_error *err)
{
    uint64_t journal = recovered->log_number;
    size_t named = 0;
    enum ldb_status s = check_missing_journal(check, files, journal);

    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++)
        named += recovered->version->levels[l].count;
    check->is_short = ldb_recovered_is_short(
        journal, ldb_folder_files_has(files, LDB_FILE_JOURNAL, journal), named);
    for (size_t i = 0; s == LDB_OK && i < files->count; i++)
        s = check_other_file(check, &files->files[i], recovered,
                             manifest_number, err);
    if (s == LDB_OK)
        s = check_tables(check, recovered->version, err);
    return s;
}

/* The MANIFEST, record by record, then what they add up to. */
static enum ldb_status check_manifest(struct check *check,
                                      const struct ldb_folder_files *files,
                                      uint64_t number, struct ldb_error *err)
{
    struct ldb_recovered recovered = {0};
    struct ldb_error why = {0};
    uint64_t damages = check->summary.damages;
    enum ldb_status s =
        check_records(check, LDB_FILE_MANIFEST, number, LDB_PINNED_WHOLE,
                      check_manifest_record, &why);

    if (s != LDB_OK)
        return report_unreadable(check, LDB_FILE_MANIFEST, number, s, &why,
                                 err);
    s = ldb_recovered_read(&recovered, check->env, check->dir, number,
                           check->options.comparator, &why);
    if (s == LDB_CORRUPTION && check->summary.damages != damages)
        return LDB_OK; /* told above */
    if (s != LDB_OK)
        return report_unreadable(check, LDB_FILE_MANIFEST, number, s, &why,
                                 err);
    s = check_files(check, files, &recovered, number, err);
    ldb_recovered_release(&recovered);
    return s;
}

static enum ldb_status check_folder(struct check *check, struct ldb_error *err)
{
    struct ldb_folder_files files = {0};
    struct ldb_error why = {0};
    uint64_t number = 0;
    bool is_settled = false;
    enum ldb_status s =
        ldb_folder_files_list(check->env, check->dir, err, &files);

    if (s != LDB_OK)
        goto out;
    if (!ldb_folder_files_is_database(&files)) {
        s = ldb_error_set(err, LDB_NOT_FOUND, "%s: there is no database",
                          check->dir);
        goto out;
    }
    s = ldb_current_read(check->env, check->dir, &why, &number, &is_settled);
    if (s == LDB_CORRUPTION || s == LDB_NOT_FOUND) {
        s = report_file(check, LDB_FINDING_DAMAGE, "CURRENT",
                        s == LDB_NOT_FOUND ? "names no MANIFEST" : why.message,
                        "run `leveld repair`: it looks for the MANIFEST. Let "
                        "no other program create a database here");
        goto out;
    }
    if (s != LDB_OK) {
        if (err != NULL)
            *err = why;
        goto out;
    }
    if (!is_settled)
        s = report_file(check, LDB_FINDING_NOTE, "CURRENT",
                        "was being replaced when something was cut off",
                        "nothing to do: the next open settles it");
    if (s == LDB_OK)
        s = check_manifest(check, &files, number, err);
out:
    ldb_folder_files_release(&files);
    return s;
}

enum ldb_status ldb_verify_folder(const char *path,
                                  const struct ldb_options *options,
                                  ldb_verify_visit visit, void *context,
                                  struct ldb_error *err,
                                  struct ldb_verify_summary *out)
{
    struct ldb_file_lock *lock = NULL;
    struct check check;
    char *lock_path = ldb_file_path(path, LDB_FILE_LOCK, 0);
    enum ldb_status s;

    if (lock_path == NULL)
        return ldb_error_no_memory(err);
    s = init_check(&check, path, options, visit, context, err);
    if (s == LDB_OK)
        s = check.env->ops->lock_file(check.env, lock_path, true, err, &lock);
    /* A copy without LOCK: nobody has it open. */
    if (s == LDB_NOT_FOUND)
        s = LDB_OK;
    if (s == LDB_OK)
        s = check_folder(&check, err);
    if (lock != NULL)
        check.env->ops->unlock_file(check.env, lock);
    ldb_mem_free(lock_path);
    if (s == LDB_OK)
        *out = check.summary;
    return s;
}

/* ---- an open database ---- */

static enum ldb_status check_pinned(struct check *check,
                                    const struct ldb_pinned_files *pinned,
                                    struct ldb_error *err)
{
    struct ldb_error why = {0};
    enum ldb_status s =
        check_records(check, LDB_FILE_MANIFEST, pinned->manifest_number,
                      pinned->manifest_len, check_manifest_record, &why);

    /* Rotated away meanwhile: a new one was written and read back. */
    if (s != LDB_OK && s != LDB_NOT_FOUND)
        s = report_unreadable(check, LDB_FILE_MANIFEST, pinned->manifest_number,
                              s, &why, err);
    else
        s = LDB_OK;
    for (size_t i = 0; s == LDB_OK && i < pinned->journal_count; i++) {
        s = check_records(check, LDB_FILE_JOURNAL, pinned->journals[i].number,
                          pinned->journals[i].len, check_journal_record, &why);
        check->summary.journals++;
        /* Flushed meanwhile: its entries are in a table. */
        s = s == LDB_OK || s == LDB_NOT_FOUND
                ? LDB_OK
                : report_unreadable(check, LDB_FILE_JOURNAL,
                                    pinned->journals[i].number, s, &why, err);
    }
    if (s == LDB_OK)
        s = check_tables(check, pinned->version, err);
    return s;
}

enum ldb_status ldb_verify_db(struct ldb_db *db, ldb_verify_visit visit,
                              void *context,
                              const struct ldb_progress *progress,
                              struct ldb_error *err,
                              struct ldb_verify_summary *out)
{
    struct ldb_pinned_files pinned = {0};
    struct check check;
    enum ldb_status s =
        init_check(&check, db->dir, &db->options, visit, context, err);

    if (s != LDB_OK)
        return s;
    check.progress = progress;
    /* Nobody writes a folder that is open read-only: as if it were closed. */
    if (db->options.read_only) {
        s = check_folder(&check, err);
    } else {
        s = ldb_pinned_files_take(db, err, &pinned);
        if (s == LDB_OK)
            s = check_pinned(&check, &pinned, err);
        ldb_pinned_files_release(&pinned);
    }
    if (s == LDB_OK)
        *out = check.summary;
    return s;
}

/* ---- text ---- */

static enum ldb_status describe_keys(const struct ldb_finding *finding,
                                     struct ldb_buf *out)
{
    enum ldb_status s = ldb_buf_append(out, ldb_slice_str("; keys "));

    if (s == LDB_OK)
        s = finding->after.len > 0
                ? ldb_internal_key_describe(out, finding->after)
                : ldb_buf_append(out, ldb_slice_str("from the first"));
    if (s == LDB_OK)
        s = ldb_buf_append(out, ldb_slice_str(" to "));
    if (s == LDB_OK)
        s = finding->until.len > 0
                ? ldb_internal_key_describe(out, finding->until)
                : ldb_buf_append(out, ldb_slice_str("the last"));
    return s;
}

enum ldb_status ldb_finding_describe(const struct ldb_finding *finding,
                                     struct ldb_buf *out)
{
    enum ldb_status s = ldb_buf_printf(
        out, "%s: %s", finding->kind == LDB_FINDING_DAMAGE ? "damage" : "note",
        finding->file);

    if (s == LDB_OK && finding->has_offset)
        s = ldb_buf_printf(out, " at %" PRIu64, finding->offset);
    if (s == LDB_OK)
        s = ldb_buf_printf(out, ": %s", finding->message);
    if (s == LDB_OK && (finding->after.len > 0 || finding->until.len > 0))
        s = describe_keys(finding, out);
    if (s == LDB_OK)
        s = ldb_buf_printf(out, "; %s", finding->advice);
    return s;
}
