/*
 * Reads tables and journals for repair, and writes what is good of them anew
 * (contracts: repair_internal.h). Inspecting writes nothing.
 */
#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/journal_tail.h"
#include "storage/journal/write_batch.h"
#include "storage/memtable.h"
#include "storage/repair_internal.h"
#include "storage/table/table_scan.h"

static enum ldb_status push_damaged(struct ldb_repair *repair,
                                    const struct ldb_repair_damaged *damaged,
                                    struct ldb_error *err)
{
    void *items = repair->damaged;
    enum ldb_status s =
        ldb_repair_grow(&items, repair->damaged_count, sizeof(*damaged), err);

    if (s != LDB_OK)
        return s;
    repair->damaged = items;
    repair->damaged[repair->damaged_count++] = *damaged;
    return LDB_OK;
}

static enum ldb_status say_table(struct ldb_repair *repair,
                                 enum ldb_finding_kind kind, const char *name,
                                 struct ldb_slice after, struct ldb_slice until,
                                 const char *message, const char *advice,
                                 struct ldb_error *err)
{
    const struct ldb_finding finding = {
        .kind = kind,
        .file = name,
        .after = after,
        .until = until,
        .message = message,
        .advice = advice,
    };

    return ldb_repair_say(repair, &finding, err);
}

/* ---- reading a table ---- */

struct reading {
    struct ldb_repair *repair;
    const char *name;
    const char *advice;
    const struct ldb_file_meta *meta; /* the MANIFEST's word; NULL: none */
    struct ldb_repair_table *table;   /* of the good entries */
    struct ldb_repair_output *output; /* NULL: they are only counted */
    bool is_quiet;
};

static enum ldb_status on_entry(void *context, uint64_t block_offset,
                                struct ldb_slice key, struct ldb_slice value,
                                struct ldb_error *err)
{
    struct reading *reading = context;
    bool is_above = false;

    (void)block_offset;
    if (reading->output != NULL)
        return ldb_repair_output_add(reading->output, key, value, err);
    return ldb_repair_table_note(reading->repair, reading->table, key,
                                 &is_above, err);
}

/* Bounds that are not known are the table's. */
static struct ldb_slice bound(struct ldb_slice known,
                              const struct ldb_file_meta *meta, bool is_lower)
{
    if (known.len > 0 || meta == NULL)
        return known;
    return is_lower ? meta->smallest : meta->largest;
}

static enum ldb_status on_damage(void *context,
                                 const struct ldb_table_damage *damage,
                                 struct ldb_error *err)
{
    struct reading *reading = context;
    const struct ldb_finding finding = {
        .kind = LDB_FINDING_DAMAGE,
        .file = reading->name,
        .has_offset = true,
        .offset = damage->offset,
        .after = bound(damage->after, reading->meta, true),
        .until = bound(damage->until, reading->meta, false),
        .message = damage->message,
        .advice = reading->advice,
    };

    if (reading->is_quiet)
        return LDB_OK;
    return ldb_repair_say(reading->repair, &finding, err);
}

/*
 * A file that remembers a failed read. Damaged bytes are passed over; a disk
 * that cannot read is another matter: it may answer the next time, and leaving
 * out what it holds now would be wrong.
 */
struct watched_file {
    struct ldb_random_file base; /* first: cast back from it */
    struct ldb_random_file *file;
    enum ldb_status status;
    struct ldb_error error;
};

static enum ldb_status watched_read_at(struct ldb_random_file *base,
                                       uint64_t offset, size_t n,
                                       uint8_t *scratch, struct ldb_slice *out,
                                       struct ldb_error *err)
{
    struct watched_file *watched = (struct watched_file *)base;
    struct ldb_error why = {0};
    enum ldb_status s =
        ldb_random_read_at(watched->file, offset, n, scratch, out, &why);

    if (s != LDB_OK && s != LDB_CORRUPTION && watched->status == LDB_OK) {
        watched->status = s;
        watched->error = why;
    }
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static void watched_close(struct ldb_random_file *base)
{
    struct watched_file *watched = (struct watched_file *)base;

    if (watched->file != NULL)
        ldb_random_close(watched->file);
    watched->file = NULL;
}

static const struct ldb_random_file_ops watched_ops = {
    .read_at = watched_read_at,
    .close = watched_close,
};

static enum ldb_status watched_open(struct ldb_env *env, const char *path,
                                    struct ldb_error *err,
                                    struct watched_file *out)
{
    enum ldb_status s;

    *out = (struct watched_file){.base = {.ops = &watched_ops}};
    s = env->ops->open_random(env, path, err, &out->file);
    if (s == LDB_OK)
        out->base.mapping = out->file->mapping;
    return s;
}

/* Scans the table's file; *out_damages: how much of it is damaged. */
static enum ldb_status read_table(struct reading *reading,
                                  struct ldb_error *err, uint64_t *out_damages)
{
    const struct ldb_table_visitor visitor = {
        .context = reading,
        .on_entry = on_entry,
        .on_damage = on_damage,
    };
    struct ldb_repair *repair = reading->repair;
    struct ldb_table_scan_result result = {0};
    struct ldb_repair_table *table = reading->table;
    struct watched_file file = {0};
    char *path = ldb_file_path(repair->dir, table->type, table->number);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = repair->env->ops->file_size(repair->env, path, err, &table->size);
    if (s == LDB_OK)
        s = watched_open(repair->env, path, err, &file);
    if (s == LDB_OK)
        s = ldb_table_scan(&file.base, table->size, reading->name,
                           &repair->read_options, &visitor, err, &result);
    if (s == LDB_OK && file.status != LDB_OK) {
        s = file.status;
        if (err != NULL)
            *err = file.error;
    }
    watched_close(&file.base);
    ldb_mem_free(path);
    *out_damages = result.damages;
    return s;
}

/* ---- inspecting ---- */

static enum ldb_status lose_table(struct ldb_repair *repair,
                                  const struct ldb_repair_table *table,
                                  const struct ldb_file_meta *meta,
                                  const char *name, const char *message,
                                  struct ldb_error *err)
{
    enum ldb_status s =
        say_table(repair, LDB_FINDING_DAMAGE, name,
                  bound(ldb_slice_of_buf(&table->smallest), meta, true),
                  bound(ldb_slice_of_buf(&table->largest), meta, false),
                  message, "it is left out and kept in lost/", err);

    repair->report.tables_lost++;
    if (s == LDB_OK)
        s = ldb_repair_keep_original(repair, table->type, table->number, err);
    return s;
}

/* The range of its entries is not within the one of the MANIFEST. */
static bool is_outside(const struct ldb_repair *repair,
                       const struct ldb_repair_table *table,
                       const struct ldb_file_meta *meta)
{
    const struct ldb_comparator *cmp = repair->options.comparator;

    return ldb_internal_compare(cmp, ldb_slice_of_buf(&table->smallest),
                                meta->smallest) < 0 ||
           ldb_internal_compare(cmp, ldb_slice_of_buf(&table->largest),
                                meta->largest) > 0;
}

/* What stands in the MANIFEST about a table that is there must hold. */
static enum ldb_status check_meta(struct ldb_repair *repair, const char *name,
                                  const struct ldb_file_meta *meta,
                                  struct ldb_repair_table *table,
                                  struct ldb_error *err)
{
    const char *message = NULL;
    const char *advice = "the MANIFEST gets the table's own";

    if (table->size != meta->size) {
        message = "not of the size that the MANIFEST gives";
    }
    if (is_outside(repair, table, meta)) {
        message = "entries outside the range that the MANIFEST gives";
        advice = "the table gets a level by its keys and sequences";
        table->level = LDB_REPAIR_NO_LEVEL;
        table->is_fixed = false;
    }
    if (message == NULL)
        return LDB_OK;
    return say_table(repair, LDB_FINDING_DAMAGE, name,
                     ldb_slice_of_buf(&table->smallest),
                     ldb_slice_of_buf(&table->largest), message, advice, err);
}

/* Takes in a table that was read. Takes it over. */
static enum ldb_status judge_table(struct ldb_repair *repair, const char *name,
                                   const struct ldb_file_meta *meta,
                                   struct ldb_repair_table *table,
                                   uint64_t damages, struct ldb_error *err)
{
    struct ldb_repair_damaged damaged = {
        .type = table->type,
        .number = table->number,
        .level = table->level,
        .entries = table->entries,
    };
    enum ldb_status s = LDB_OK;

    if (table->entries == 0 || (damages > 0 && repair->how.strict_recovery)) {
        s = lose_table(repair, table, meta, name,
                       table->entries == 0
                           ? "no good entry in it"
                           : "damaged, and only whole tables are wanted",
                       err);
        if (meta != NULL)
            ldb_repair_manifest_restore(repair, meta->number);
        ldb_repair_table_release(table);
        return s;
    }
    if (damages > 0) {
        if (meta != NULL && is_outside(repair, table, meta))
            damaged.level = LDB_REPAIR_NO_LEVEL;
        ldb_repair_table_release(table);
        return push_damaged(repair, &damaged, err);
    }
    if (meta != NULL)
        s = check_meta(repair, name, meta, table, err);
    if (s != LDB_OK) {
        ldb_repair_table_release(table);
        return s;
    }
    repair->report.tables_kept++;
    if (table->level == LDB_REPAIR_NO_LEVEL)
        repair->report.tables_placed++;
    return ldb_repair_table_push(repair, table, err);
}

/* meta NULL: no MANIFEST names it. */
static enum ldb_status inspect_table(struct ldb_repair *repair,
                                     enum ldb_file_type type, uint64_t number,
                                     uint32_t level,
                                     const struct ldb_file_meta *meta,
                                     struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    struct ldb_repair_table table;
    struct reading reading = {
        .repair = repair,
        .name = name,
        .meta = meta,
        .table = &table,
        .advice = repair->how.strict_recovery
                      ? "the table is left out and kept in lost/"
                      : "the table is written anew without it, the original "
                        "is kept in lost/",
    };
    uint64_t damages = 0;
    enum ldb_status s;

    ldb_repair_table_init(&table, type, number, level);
    ldb_file_name_print(name, type, number);
    s = read_table(&reading, err, &damages);
    if (s != LDB_OK) {
        ldb_repair_table_release(&table);
        return s;
    }
    return judge_table(repair, name, meta, &table, damages, err);
}

static enum ldb_status lose_missing(struct ldb_repair *repair, uint32_t level,
                                    const struct ldb_file_meta *meta,
                                    struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    char message[64];

    ldb_file_name_print(name, LDB_FILE_TABLE, meta->number);
    (void)snprintf(message, sizeof(message),
                   "table of level %" PRIu32 ": the file is missing", level);
    repair->report.tables_lost++;
    ldb_repair_manifest_restore(repair, meta->number);
    return say_table(repair, LDB_FINDING_DAMAGE, name, meta->smallest,
                     meta->largest, message,
                     "these entries are lost, but for those in older tables; "
                     "restore the file from a backup and repair again",
                     err);
}

/*
 * Does a higher level, or an earlier place of this one, name the table too?
 * There it counts: so does a reader find it.
 */
static bool is_named_before(const struct ldb_repair_manifest *manifest,
                            uint32_t level, size_t i, uint64_t number)
{
    for (uint32_t l = 0; l <= level; l++) {
        const struct ldb_level *at = &manifest->version->levels[l];
        size_t end = l == level ? i : at->count;

        for (size_t k = 0; k < end; k++) {
            if (at->files[k]->number == number)
                return true;
        }
    }
    return false;
}

/* Each table once, or a new name for one place would take it from the other. */
static bool is_repeated(const struct ldb_repair_manifest *manifest,
                        uint32_t level, size_t i, uint64_t number)
{
    size_t low = 0;
    size_t high = manifest->named_count;

    /* named has each naming: few tables need the search above. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (manifest->named[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low + 1 < manifest->named_count &&
           manifest->named[low + 1] == number &&
           is_named_before(manifest, level, i, number);
}

static enum ldb_status inspect_named(struct ldb_repair *repair,
                                     struct ldb_error *err)
{
    const struct ldb_version *version = repair->manifest.version;
    enum ldb_status s = LDB_OK;

    for (uint32_t l = 0; version != NULL && l < LDB_LEVEL_COUNT; l++) {
        for (size_t i = 0; s == LDB_OK && i < version->levels[l].count; i++) {
            const struct ldb_file_meta *meta = version->levels[l].files[i];
            uint64_t n = meta->number;

            if (is_repeated(&repair->manifest, l, i, n))
                continue;
            if (ldb_folder_files_has(&repair->files, LDB_FILE_TABLE, n))
                s = inspect_table(repair, LDB_FILE_TABLE, n, l, meta, err);
            else if (ldb_folder_files_has(&repair->files, LDB_FILE_TABLE_SST,
                                          n))
                s = inspect_table(repair, LDB_FILE_TABLE_SST, n, l, meta, err);
            else
                s = lose_missing(repair, l, meta, err);
        }
    }
    return s;
}

/* A table that the version does not name. */
static enum ldb_status inspect_other(struct ldb_repair *repair,
                                     const struct ldb_folder_file *file,
                                     struct ldb_error *err)
{
    bool is_shadowed =
        file->type == LDB_FILE_TABLE_SST &&
        ldb_folder_files_has(&repair->files, LDB_FILE_TABLE, file->number);

    if (ldb_repair_manifest_names(&repair->manifest, file->number) &&
        !is_shadowed)
        return LDB_OK;
    if (is_shadowed ||
        ldb_repair_manifest_is_dead(&repair->manifest, file->number))
        return ldb_repair_keep_original(repair, file->type, file->number, err);
    return inspect_table(repair, file->type, file->number, LDB_REPAIR_NO_LEVEL,
                         NULL, err);
}

static bool is_journal_needed(const struct ldb_repair *repair, uint64_t number)
{
    return repair->manifest.edits == 0 ||
           number >= repair->manifest.log_number ||
           number == repair->manifest.prev_log_number;
}

static enum ldb_status inspect_log_number(struct ldb_repair *repair,
                                          struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    uint64_t number = repair->manifest.log_number;

    if (number == 0 ||
        ldb_folder_files_has(&repair->files, LDB_FILE_JOURNAL, number))
        return LDB_OK;
    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    return say_table(repair, LDB_FINDING_DAMAGE, name, (struct ldb_slice){0},
                     (struct ldb_slice){0},
                     "a journal that the MANIFEST asks for is missing, with "
                     "the writes in it",
                     "those writes are lost; restore the file from a backup "
                     "and repair again",
                     err);
}

/* ---- journals ---- */

struct replay {
    struct ldb_repair *repair;
    char name[LDB_FILE_NAME_SIZE];
    bool is_quiet;
    bool ends_at_gap;         /* a mapped journal */
    struct ldb_memtable *mem; /* NULL: nothing is kept */
    uint64_t damages;         /* told or not */
    enum ldb_status status;   /* of the lines told from on_drop */
    struct ldb_error error;
};

static void on_drop(void *context, uint64_t offset, uint64_t bytes,
                    const char *reason)
{
    struct replay *replay = context;
    char message[160];
    const struct ldb_finding finding = {
        .kind = replay->ends_at_gap ? LDB_FINDING_NOTE : LDB_FINDING_DAMAGE,
        .file = replay->name,
        .has_offset = true,
        .offset = offset,
        .message = message,
        .advice = replay->ends_at_gap
                      ? "a mapped journal ends at its first gap"
                      : "the writes before and after are kept, and the journal "
                        "in lost/",
    };

    replay->damages++;
    if (replay->is_quiet || replay->status != LDB_OK)
        return;
    (void)snprintf(message, sizeof(message),
                   "%" PRIu64 " bytes cannot be used: %s", bytes, reason);
    replay->repair->report.journal_bytes_dropped += bytes;
    replay->status = ldb_repair_say(replay->repair, &finding, &replay->error);
}

static enum ldb_status flush_memtable(struct replay *replay,
                                      struct ldb_error *err);

static enum ldb_status apply_batch(struct replay *replay,
                                   struct ldb_slice record, ldb_sequence first,
                                   struct ldb_error *err)
{
    enum ldb_status s =
        ldb_memtable_insert_batch(replay->mem, record, first, err);

    if (s != LDB_OK || ldb_memtable_memory_bytes(replay->mem) <
                           replay->repair->options.write_buffer_bytes)
        return s;
    return flush_memtable(replay, err);
}

static enum ldb_status replay_record(struct replay *replay,
                                     const struct ldb_journal_reader *reader,
                                     struct ldb_slice record,
                                     struct ldb_error *err)
{
    struct ldb_error why = {0};
    ldb_sequence first = 0;
    uint32_t count = 0;

    if (ldb_batch_check(record, &why, &first, &count) != LDB_OK) {
        on_drop(replay, ldb_journal_reader_record_offset(reader), record.len,
                why.message);
        return LDB_OK;
    }
    if (!replay->is_quiet)
        replay->repair->report.journal_records++;
    if (count > 0 && first + count - 1 > replay->repair->last_sequence)
        replay->repair->last_sequence = first + count - 1;
    if (count == 0 || replay->mem == NULL)
        return LDB_OK;
    return apply_batch(replay, record, first, err);
}

/* Damage is told and passed over. */
static enum ldb_status replay_records(struct replay *replay,
                                      struct ldb_journal_reader *reader,
                                      struct ldb_error *err)
{
    struct ldb_slice record = {0};
    enum ldb_status s;

    for (;;) {
        s = ldb_journal_reader_next(reader, err, &record);
        if (s == LDB_OK)
            s = replay_record(replay, reader, record, err);
        if (s != LDB_OK)
            break;
    }
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

/* Are there whole records in what the reader took for a torn one? */
static enum ldb_status check_tail(struct replay *replay, const char *path,
                                  const struct ldb_journal_reader *reader,
                                  struct ldb_error *err)
{
    struct ldb_env *env = replay->repair->env;
    uint64_t bytes = ldb_journal_reader_tail_bytes(reader);
    uint64_t size = 0;
    bool is_damage = false;
    enum ldb_status s;

    if (bytes == 0 || replay->damages > 0)
        return LDB_OK;
    s = env->ops->file_size(env, path, err, &size);
    if (s == LDB_OK && bytes <= size)
        s = ldb_journal_tail_is_damage(env, path, size - bytes, bytes, err,
                                       &is_damage);
    if (s == LDB_OK && is_damage)
        on_drop(replay, size - bytes, bytes, "bad length in a chunk");
    return s;
}

static enum ldb_status replay_journal(struct replay *replay, uint64_t number,
                                      struct ldb_error *err)
{
    struct ldb_journal_reader_options options = {.on_drop = on_drop,
                                                 .context = replay};
    struct ldb_env *env = replay->repair->env;
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    char *path = ldb_file_path(replay->repair->dir, LDB_FILE_JOURNAL, number);
    enum ldb_status s;

    ldb_file_name_print(replay->name, LDB_FILE_JOURNAL, number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_journal_tail_may_have_gap(env, path, err, &options.ends_at_gap);
    replay->ends_at_gap = options.ends_at_gap;
    if (s == LDB_OK)
        s = env->ops->open_sequential(env, path, err, &file);
    if (s == LDB_OK)
        s = ldb_journal_reader_create(file, replay->name, &options, err,
                                      &reader);
    if (s == LDB_OK)
        s = replay_records(replay, reader, err);
    if (s == LDB_OK)
        s = check_tail(replay, path, reader, err);
    if (s == LDB_OK && replay->status != LDB_OK) {
        s = replay->status;
        if (err != NULL)
            *err = replay->error;
    }
    ldb_journal_reader_destroy(reader);
    if (file != NULL)
        ldb_sequential_close(file);
    ldb_mem_free(path);
    return s;
}

static enum ldb_status inspect_journal(struct ldb_repair *repair,
                                       uint64_t number, struct ldb_error *err)
{
    struct replay replay = {.repair = repair};
    enum ldb_status s =
        ldb_repair_keep_original(repair, LDB_FILE_JOURNAL, number, err);

    if (s != LDB_OK || !is_journal_needed(repair, number))
        return s;
    repair->report.journals++;
    return replay_journal(&replay, number, err);
}

enum ldb_status ldb_repair_inspect(struct ldb_repair *repair,
                                   struct ldb_error *err)
{
    enum ldb_status s = inspect_named(repair, err);

    if (s == LDB_OK)
        s = inspect_log_number(repair, err);
    for (size_t i = 0; s == LDB_OK && i < repair->files.count; i++) {
        const struct ldb_folder_file *file = &repair->files.files[i];

        switch (file->type) {
        case LDB_FILE_TABLE:
        case LDB_FILE_TABLE_SST:
            s = inspect_other(repair, file, err);
            break;
        case LDB_FILE_JOURNAL:
            s = inspect_journal(repair, file->number, err);
            break;
        case LDB_FILE_MANIFEST:
        case LDB_FILE_CURRENT:
        case LDB_FILE_CURRENT_NEXT:
            s = ldb_repair_keep_original(repair, file->type, file->number, err);
            break;
        case LDB_FILE_FOREIGN:
        case LDB_FILE_CURRENT_BAK:
        case LDB_FILE_DBTMP:
        case LDB_FILE_TMP:
        case LDB_FILE_LOCK:
        case LDB_FILE_LOG:
            break;
        }
    }
    return s;
}

/* ---- writing anew ---- */

static enum ldb_status flush_memtable(struct replay *replay,
                                      struct ldb_error *err)
{
    struct ldb_repair *repair = replay->repair;
    struct ldb_iterator *it = NULL;
    enum ldb_status s;

    if (ldb_memtable_entry_count(replay->mem) == 0)
        return LDB_OK;
    s = ldb_memtable_iterator_create(replay->mem, err, &it);
    if (s == LDB_OK)
        s = ldb_repair_output_write(repair, it, SIZE_MAX, err);
    ldb_iterator_destroy(it);
    if (s != LDB_OK)
        return s;
    ldb_memtable_unref(replay->mem);
    replay->mem = NULL;
    return ldb_memtable_create(repair->options.comparator, 0, err,
                               &replay->mem);
}

static enum ldb_status rewrite_journals(struct ldb_repair *repair,
                                        struct ldb_error *err)
{
    struct replay replay = {.repair = repair, .is_quiet = true};
    enum ldb_status s =
        ldb_memtable_create(repair->options.comparator, 0, err, &replay.mem);

    for (size_t i = 0; s == LDB_OK && i < repair->files.count; i++) {
        const struct ldb_folder_file *file = &repair->files.files[i];

        if (file->type == LDB_FILE_JOURNAL &&
            is_journal_needed(repair, file->number))
            s = replay_journal(&replay, file->number, err);
    }
    if (s == LDB_OK)
        s = flush_memtable(&replay, err);
    ldb_memtable_unref(replay.mem);
    return s;
}

static enum ldb_status say_rewritten(struct ldb_repair *repair,
                                     const char *name,
                                     const struct ldb_repair_table *table,
                                     struct ldb_error *err)
{
    char to[LDB_FILE_NAME_SIZE];
    char message[64];
    char advice[96];

    ldb_file_name_print(to, LDB_FILE_TABLE, table->number);
    (void)snprintf(message, sizeof(message), "%" PRIu64 " good entries",
                   table->entries);
    (void)snprintf(advice, sizeof(advice),
                   "written to %s, the original is kept in lost/", to);
    return say_table(repair, LDB_FINDING_NOTE, name,
                     ldb_slice_of_buf(&table->smallest),
                     ldb_slice_of_buf(&table->largest), message, advice, err);
}

static enum ldb_status rewrite_table(struct ldb_repair *repair,
                                     const struct ldb_repair_damaged *damaged,
                                     struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    struct ldb_repair_table table;
    struct ldb_repair_output output = {0};
    struct reading reading = {.repair = repair,
                              .name = name,
                              .table = &table,
                              .output = &output,
                              .is_quiet = true};
    uint64_t damages = 0;
    enum ldb_status s;

    ldb_repair_table_init(&table, damaged->type, damaged->number,
                          damaged->level);
    ldb_file_name_print(name, damaged->type, damaged->number);
    s = ldb_repair_output_begin(repair, &table, err, &output);
    if (s == LDB_OK) {
        s = read_table(&reading, err, &damages);
        if (s == LDB_OK && table.entries != damaged->entries)
            s = ldb_error_set(err, LDB_IO,
                              "%s: reads differently each time: copy the "
                              "folder to a sound disk and repair the copy",
                              name);
        if (s == LDB_OK)
            s = ldb_repair_output_end(&output, err);
        else
            ldb_repair_output_abort(&output);
    }
    if (s == LDB_OK)
        s = say_rewritten(repair, name, &table, err);
    if (s == LDB_OK)
        s = ldb_repair_keep_original(repair, damaged->type, damaged->number,
                                     err);
    if (s != LDB_OK) {
        ldb_repair_table_release(&table);
        return s;
    }
    repair->report.tables_rewritten++;
    repair->report.entries_salvaged += table.entries;
    if (table.level == LDB_REPAIR_NO_LEVEL)
        repair->report.tables_placed++;
    return ldb_repair_table_push(repair, &table, err);
}

enum ldb_status ldb_repair_rewrite(struct ldb_repair *repair,
                                   struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < repair->damaged_count; i++)
        s = rewrite_table(repair, &repair->damaged[i], err);
    if (s == LDB_OK)
        s = rewrite_journals(repair, err);
    return s;
}
