/*
 * From files to a running state (contracts: db_internal.h; docs/formats.md,
 * rules 2, 3, 13, 14, 18, 19).
 *
 * Every journal that field 2 (or 9) of the MANIFEST still asks for is replayed
 * oldest first. Each ends in one edit that holds its tables, the number of the
 * next journal and the last sequence before it: a crash in between finds a
 * folder that both libraries read alike.
 *
 * A batch is applied whole or not at all, and its sequence is not compared
 * with field 4: LevelDB leaves folders in which that would drop writes.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/journal_tail.h"
#include "storage/version/recovered.h"

/* ---- what stands in the folder ---- */

struct survey {
    struct ldb_db *db;
    uint64_t newest_journal;
    uint64_t *numbers; /* of journals to replay */
    size_t count;
    uint64_t *tables; /* numbers of table files */
    size_t table_count;
    uint64_t log_number;
    uint64_t prev_log_number;
};

static enum ldb_status push_number(uint64_t **numbers, size_t *count,
                                   uint64_t number)
{
    uint64_t *more = *numbers;

    /* Doubling: the array is full whenever the count is a power of two. */
    if ((*count & (*count - 1)) == 0) {
        more = ldb_mem_realloc(*numbers, *count == 0 ? 1 : *count * 2,
                               sizeof(**numbers));
        if (more == NULL)
            return LDB_NO_MEMORY;
        *numbers = more;
    }
    more[(*count)++] = number;
    return LDB_OK;
}

static enum ldb_status survey_name(void *context, const char *name)
{
    struct survey *survey = context;
    struct ldb_db *db = survey->db;
    uint64_t number = 0;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);

    if (type == LDB_FILE_FOREIGN)
        return LDB_OK;
    ldb_mutex_lock(&db->mu);
    ldb_version_set_mark_used(db->versions, number);
    ldb_mutex_unlock(&db->mu);
    if (type == LDB_FILE_TABLE || type == LDB_FILE_TABLE_SST)
        return push_number(&survey->tables, &survey->table_count, number);
    if (type != LDB_FILE_JOURNAL)
        return LDB_OK;
    if (number > survey->newest_journal)
        survey->newest_journal = number;
    if (number < survey->log_number && number != survey->prev_log_number)
        return LDB_OK;
    return push_number(&survey->numbers, &survey->count, number);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

static void survey_release(struct survey *survey)
{
    ldb_mem_free(survey->numbers);
    ldb_mem_free(survey->tables);
}

static enum ldb_status survey_run(struct ldb_db *db, struct survey *out,
                                  struct ldb_error *err)
{
    enum ldb_status s;

    *out = (struct survey){.db = db};
    ldb_mutex_lock(&db->mu);
    out->log_number = ldb_version_set_log_number(db->versions);
    out->prev_log_number = ldb_version_set_prev_log_number(db->versions);
    ldb_mutex_unlock(&db->mu);
    s = db->env->ops->list_dir(db->env, db->dir, survey_name, out, err);
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK)
        return s;
    if (out->count > 0)
        qsort(out->numbers, out->count, sizeof(*out->numbers), compare_numbers);
    if (out->table_count > 0)
        qsort(out->tables, out->table_count, sizeof(*out->tables),
              compare_numbers);
    return LDB_OK;
}

static enum ldb_status file_length(struct ldb_db *db, enum ldb_file_type type,
                                   uint64_t number, struct ldb_error *err,
                                   uint64_t *out_len)
{
    char *path = ldb_file_path(db->dir, type, number);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = db->env->ops->file_size(db->env, path, err, out_len);
    ldb_mem_free(path);
    return s;
}

/*
 * A MANIFEST that ends in the middle of a record looks as after a power cut
 * while it was appended. But nothing may rest on a record that was not synced:
 * when the journal that the last whole record asks for is gone, a later one
 * was whole once, and going on without it would lose what it named.
 */
static enum ldb_status check_tail(const struct survey *survey,
                                  const struct ldb_recovery *recovery,
                                  uint64_t whole_len, struct ldb_error *err)
{
    uint64_t number = survey->log_number;

    if (recovery->manifest_len == whole_len || number == 0)
        return LDB_OK;
    if (survey->count > 0 && bsearch(&number, survey->numbers, survey->count,
                                     sizeof(number), compare_numbers) != NULL)
        return LDB_OK;
    return ldb_error_set(err, LDB_CORRUPTION,
                         "MANIFEST-%06llu: damaged from %llu on, and journal "
                         "%06llu, which the records before ask for, is gone",
                         (unsigned long long)recovery->manifest_number,
                         (unsigned long long)whole_len,
                         (unsigned long long)number);
}

/* Every table that the version names is there: are there others, and has the
 * MANIFEST lost the records that named them? */
static enum ldb_status check_others(const struct survey *survey,
                                    const struct ldb_version *version,
                                    struct ldb_error *err)
{
    uint64_t number = survey->log_number;
    bool has_journal =
        survey->count > 0 && bsearch(&number, survey->numbers, survey->count,
                                     sizeof(number), compare_numbers) != NULL;
    size_t named = 0;

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        named += version->levels[level].count;
    if (survey->table_count <= named ||
        !ldb_recovered_is_short(number, has_journal, named))
        return LDB_OK;
    return ldb_error_set(err, LDB_CORRUPTION,
                         "%.120s: %zu tables that the MANIFEST does not name, "
                         "and no journal %06llu, which it asks for: run "
                         "`leveld repair`",
                         survey->db->dir, survey->table_count - named,
                         (unsigned long long)number);
}

static enum ldb_status check_tables(const struct survey *survey,
                                    const struct ldb_version *version,
                                    struct ldb_error *err)
{
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < version->levels[level].count; i++) {
            uint64_t number = version->levels[level].files[i]->number;

            if (survey->table_count == 0 ||
                bsearch(&number, survey->tables, survey->table_count,
                        sizeof(number), compare_numbers) == NULL)
                return ldb_error_set(err, LDB_CORRUPTION,
                                     "%s: table %06llu of level %u is missing",
                                     survey->db->dir,
                                     (unsigned long long)number, level);
        }
    }
    return LDB_OK;
}

/* What the version names is there, and what is there may be left. */
static enum ldb_status check_files(struct ldb_db *db,
                                   const struct survey *survey,
                                   struct ldb_error *err)
{
    struct ldb_version *version;
    bool has_dropped;
    enum ldb_status s;

    ldb_mutex_lock(&db->mu);
    version = ldb_version_ref(ldb_version_set_current(db->versions));
    has_dropped = ldb_version_set_dropped_bytes(db->versions) > 0;
    ldb_mutex_unlock(&db->mu);
    s = check_tables(survey, version, err);
    /* Asked to skip damage there, it goes on with what is left. */
    if (s == LDB_OK && !has_dropped)
        s = check_others(survey, version, err);
    ldb_version_unref(version);
    return s;
}

enum ldb_status ldb_recovery_survey(struct ldb_db *db,
                                    struct ldb_recovery *recovery,
                                    struct ldb_error *err)
{
    struct survey survey;
    uint64_t whole_len = 0;
    enum ldb_status s = survey_run(db, &survey, err);

    if (s != LDB_OK)
        goto out;
    ldb_mutex_lock(&db->mu);
    ldb_version_set_manifest(db->versions, &recovery->manifest_number,
                             &whole_len);
    recovery->manifest_bytes_dropped =
        ldb_version_set_dropped_bytes(db->versions);
    ldb_mutex_unlock(&db->mu);
    s = file_length(db, LDB_FILE_MANIFEST, recovery->manifest_number, err,
                    &recovery->manifest_len);
    recovery->journal_number = survey.newest_journal;
    if (s == LDB_OK && survey.newest_journal != 0)
        s = file_length(db, LDB_FILE_JOURNAL, survey.newest_journal, err,
                        &recovery->journal_len);
    if (s == LDB_OK && !db->options.skip_manifest_damage)
        s = check_tail(&survey, recovery, whole_len, err);
    if (s == LDB_OK)
        s = check_files(db, &survey, err);
out:
    survey_release(&survey);
    return s;
}

/* ---- replaying one journal ---- */

struct replay {
    struct ldb_db *db;
    struct ldb_recovery *recovery;
    struct ldb_memtable *mem; /* one reference; NULL: made when needed */
    struct ldb_version_edit edit;
    ldb_sequence last_sequence;
    char name[LDB_FILE_NAME_SIZE]; /* of the journal being read */
};

static void on_drop(void *context, uint64_t offset, uint64_t bytes,
                    const char *reason)
{
    struct replay *replay = context;

    replay->recovery->bytes_dropped += bytes;
    ldb_log_line(replay->db->log, "journal@drop %s @%llu S\302\267%lluB \"%s\"",
                 replay->name, (unsigned long long)offset,
                 (unsigned long long)bytes, reason);
}

/* The end of a mapped journal: told, but no damage. */
static void on_gap(void *context, uint64_t offset, uint64_t bytes,
                   const char *reason)
{
    struct replay *replay = context;

    ldb_log_line(replay->db->log, "journal@gap %s @%llu S\302\267%lluB \"%s\"",
                 replay->name, (unsigned long long)offset,
                 (unsigned long long)bytes, reason);
}

/* Writes what was replayed so far as a table of the replay's edit. */
static enum ldb_status flush_replayed(struct replay *replay,
                                      struct ldb_error *err)
{
    struct ldb_db *db = replay->db;
    uint64_t number;
    enum ldb_status s;

    if (replay->mem == NULL || ldb_memtable_entry_count(replay->mem) == 0)
        return LDB_OK;
    ldb_mutex_lock(&db->mu);
    number = ldb_version_set_new_file_number(db->versions);
    ldb_mutex_unlock(&db->mu);
    s = ldb_flush_build_table(db, replay->mem, number, &replay->edit, err);
    if (s != LDB_OK)
        return s;
    replay->recovery->tables_written++;
    ldb_memtable_unref(replay->mem);
    replay->mem = NULL;
    return LDB_OK;
}

/* Damage in a batch: an error when strict, else dropped whole. */
static enum ldb_status refuse_batch(struct replay *replay,
                                    const struct ldb_journal_reader *reader,
                                    struct ldb_slice record,
                                    const struct ldb_error *why,
                                    struct ldb_error *err)
{
    uint64_t offset = ldb_journal_reader_record_offset(reader);

    if (replay->db->options.strict_journal)
        return ldb_error_set(err, LDB_CORRUPTION, "%s: batch at %llu: %.150s",
                             replay->name, (unsigned long long)offset,
                             why->message);
    on_drop(replay, offset, record.len, why->message);
    return LDB_OK;
}

static enum ldb_status replay_record(struct replay *replay,
                                     const struct ldb_journal_reader *reader,
                                     struct ldb_slice record,
                                     struct ldb_error *err)
{
    struct ldb_db *db = replay->db;
    struct ldb_error why = {0};
    ldb_sequence first = 0;
    uint32_t count = 0;
    enum ldb_status s = ldb_batch_check(record, &why, &first, &count);

    if (s == LDB_OK &&
        (first > LDB_SEQUENCE_MAX || count > LDB_SEQUENCE_MAX + 1 - first))
        s = ldb_error_set(&why, LDB_CORRUPTION, "sequence %llu is too high",
                          (unsigned long long)first);
    if (s != LDB_OK)
        return refuse_batch(replay, reader, record, &why, err);
    replay->recovery->records_replayed++;
    if (count == 0)
        return LDB_OK;
    if (replay->mem == NULL)
        s = ldb_memtable_create(db->options.comparator, 0, err, &replay->mem);
    if (s == LDB_OK)
        s = ldb_memtable_insert_batch(replay->mem, record, first, err);
    if (s != LDB_OK)
        return s;
    if (first + count - 1 > replay->last_sequence)
        replay->last_sequence = first + count - 1;
    if (!db->options.read_only && ldb_memtable_memory_bytes(replay->mem) >=
                                      db->options.write_buffer_bytes)
        return flush_replayed(replay, err);
    return LDB_OK;
}

static enum ldb_status replay_journal(struct replay *replay, uint64_t number,
                                      struct ldb_error *err)
{
    struct ldb_db *db = replay->db;
    struct ldb_journal_reader_options options = {
        .strict = db->options.strict_journal,
        .skip_checksums = db->options.skip_journal_checksums,
        .on_drop = on_drop,
        .context = replay,
    };
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record;
    char *path = ldb_file_path(db->dir, LDB_FILE_JOURNAL, number);
    enum ldb_status s = LDB_NO_MEMORY;

    ldb_file_name_print(replay->name, LDB_FILE_JOURNAL, number);
    if (path == NULL) {
        ldb_error_no_memory(err);
        goto out;
    }
    /* Strict, a gap is damage: nobody can tell one from the other. */
    s = options.strict ? LDB_OK
                       : ldb_journal_tail_may_have_gap(db->env, path, err,
                                                       &options.ends_at_gap);
    if (options.ends_at_gap)
        options.on_drop = on_gap;
    if (s == LDB_OK)
        s = db->env->ops->open_sequential(db->env, path, err, &file);
    if (s != LDB_OK)
        goto out;
    s = ldb_journal_reader_create(file, replay->name, &options, err, &reader);
    if (s != LDB_OK)
        goto out;
    while ((s = ldb_journal_reader_next(reader, err, &record)) == LDB_OK) {
        s = replay_record(replay, reader, record, err);
        if (s != LDB_OK)
            goto out;
    }
    if (s != LDB_NOT_FOUND)
        goto out;
    /* A process may have died before it synced this. Tables of it are synced,
     * and who reads the journal, or ships it, is to find as much as they have,
     * whenever the power goes. */
    s = db->options.read_only ? LDB_OK : ldb_env_sync_file(db->env, path, err);
    if (s != LDB_OK)
        goto out;
    replay->recovery->journals_replayed++;
    replay->recovery->tail_bytes += ldb_journal_reader_tail_bytes(reader);
out:
    ldb_journal_reader_destroy(reader);
    if (file != NULL)
        ldb_sequential_close(file);
    ldb_mem_free(path);
    return s;
}

/* ---- all of them ---- */

/* Makes the journals before log_number unneeded, in one edit. */
static enum ldb_status commit_replayed(struct replay *replay,
                                       uint64_t log_number,
                                       struct ldb_error *err)
{
    struct ldb_db *db = replay->db;
    enum ldb_status s = flush_replayed(replay, err);

    if (s != LDB_OK)
        return s;
    ldb_version_edit_set_log_number(&replay->edit, log_number);
    ldb_version_edit_set_last_sequence(&replay->edit, replay->last_sequence);
    ldb_mutex_lock(&db->mu);
    s = ldb_version_set_apply(db->versions, &replay->edit, err);
    ldb_mutex_unlock(&db->mu);
    ldb_version_edit_clear(&replay->edit);
    return s;
}

/* The journal and memtable that new writes go to. */
static enum ldb_status start_journal(struct replay *replay,
                                     struct ldb_error *err)
{
    struct ldb_db *db = replay->db;
    struct ldb_memtable *mem = NULL;
    uint64_t number;
    enum ldb_status s;

    assert(db->journal == NULL && db->mem == NULL);
    ldb_mutex_lock(&db->mu);
    number = ldb_version_set_new_file_number(db->versions);
    ldb_mutex_unlock(&db->mu);
    s = ldb_memtable_create(db->options.comparator, number, err, &mem);
    if (s == LDB_OK)
        s = ldb_journal_start(db, number, err, &db->journal);
    if (s != LDB_OK) {
        ldb_memtable_unref(mem);
        return s;
    }
    ldb_mutex_lock(&db->mu);
    db->mem = mem;
    db->journal_number = number;
    db->journal_name = ldb_folder_names_count(db);
    db->early_sync_asked = 0;
    db->journal_must_seal = false;
    db->journal_is_cut = false;
    ldb_mutex_unlock(&db->mu);
    return commit_replayed(replay, number, err);
}

/* Read-only: all entries stay in one memtable, nothing is written. */
static enum ldb_status keep_in_memory(struct replay *replay,
                                      struct ldb_error *err)
{
    struct ldb_db *db = replay->db;
    enum ldb_status s = LDB_OK;

    if (replay->mem == NULL)
        s = ldb_memtable_create(db->options.comparator, 0, err, &replay->mem);
    if (s != LDB_OK)
        return s;
    db->mem = replay->mem;
    replay->mem = NULL;
    return LDB_OK;
}

enum ldb_status ldb_recover_journals(struct ldb_db *db,
                                     struct ldb_recovery *recovery,
                                     struct ldb_error *err)
{
    struct replay replay = {.db = db, .recovery = recovery};
    struct survey survey;
    enum ldb_status s = survey_run(db, &survey, err);

    ldb_mutex_lock(&db->mu);
    replay.last_sequence = ldb_version_set_recovered_sequence(db->versions);
    ldb_mutex_unlock(&db->mu);
    db->replayed_from = replay.last_sequence;
    for (size_t i = 0; s == LDB_OK && i < survey.count; i++) {
        s = replay_journal(&replay, survey.numbers[i], err);
        if (s == LDB_OK && !db->options.read_only && i + 1 < survey.count)
            s = commit_replayed(&replay, survey.numbers[i + 1], err);
    }
    if (s == LDB_OK)
        s = db->options.read_only ? keep_in_memory(&replay, err)
                                  : start_journal(&replay, err);
    if (s == LDB_OK) {
        recovery->last_sequence = replay.last_sequence;
        db->replayed_to = replay.last_sequence;
        if (replay.last_sequence > db->last_assigned)
            db->last_assigned = replay.last_sequence;
        atomic_store_explicit(&db->last_sequence, db->last_assigned,
                              memory_order_release);
    }
    ldb_version_edit_release(&replay.edit);
    ldb_memtable_unref(replay.mem);
    survey_release(&survey);
    return s;
}
