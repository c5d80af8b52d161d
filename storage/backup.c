/*
 * The files of an open database, for a reader outside (contract: ldb.h).
 *
 * All that belongs together is pinned while no write is being committed: so the
 * journals' lengths and the last sequence say the same. The version that is
 * held keeps its tables. Journals and the MANIFEST may lose their names once
 * they are flushed or rotated, so they are opened at once and read through
 * system calls: an open file stays, and one that is cut (ldb_reopen()) is short
 * and no fault of the process, as a mapped one would be.
 */
#include <stdatomic.h>
#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/pinned_files.h"

/* Journals, and the MANIFEST after them. */
#define RECORDS_MAX (LDB_IMMUTABLES_MAX + 2)

struct record_file {
    enum ldb_file_type type;
    uint64_t number;
    uint64_t size;
    struct ldb_sequential_file *file;
};

enum phase {
    PHASE_TABLES,
    PHASE_RECORDS,
    PHASE_CURRENT,
    PHASE_END,
};

struct ldb_backup {
    struct ldb_db *db;
    struct ldb_pinned_files pinned;
    ldb_sequence sequence;
    struct record_file records[RECORDS_MAX];
    size_t record_count;

    /* ---- the file that is read, and where the walk stands behind it ---- */
    enum phase phase;
    uint32_t level;
    size_t index; /* of the level's tables; of records */
    char name[LDB_FILE_NAME_SIZE];
    uint64_t size;
    uint64_t at;
    struct ldb_random_file *table;
    struct ldb_sequential_file *record; /* of records; not owned */
    bool is_current;
    char current[LDB_FILE_NAME_SIZE + 1]; /* what CURRENT holds */
};

/* ---- opening ---- */

static enum ldb_status open_record(struct ldb_backup *backup,
                                   enum ldb_file_type type, uint64_t number,
                                   uint64_t len, struct ldb_error *err)
{
    struct record_file *record = &backup->records[backup->record_count];
    struct ldb_env *env = backup->db->env;
    char *path = ldb_file_path(backup->db->dir, type, number);
    enum ldb_status s = LDB_OK;

    if (path == NULL)
        return ldb_error_no_memory(err);
    *record = (struct record_file){.type = type, .number = number, .size = len};
    /* A sealed journal is closed and changes no more. */
    if (len == LDB_PINNED_WHOLE)
        s = env->ops->file_size(env, path, err, &record->size);
    if (s == LDB_OK)
        s = ldb_pinned_open(env, path, record->size, err, &record->file);
    if (s == LDB_OK)
        backup->record_count++;
    ldb_mem_free(path);
    return s;
}

static enum ldb_status open_records(struct ldb_backup *backup,
                                    struct ldb_error *err)
{
    const struct ldb_pinned_files *pinned = &backup->pinned;
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < pinned->journal_count; i++)
        s = open_record(backup, LDB_FILE_JOURNAL, pinned->journals[i].number,
                        pinned->journals[i].len, err);
    if (s == LDB_OK)
        s = open_record(backup, LDB_FILE_MANIFEST, pinned->manifest_number,
                        pinned->manifest_len, err);
    return s;
}

static void unpin(struct ldb_backup *backup)
{
    for (size_t i = 0; i < backup->record_count; i++)
        ldb_sequential_close(backup->records[i].file);
    backup->record_count = 0;
    ldb_pinned_files_release(&backup->pinned);
}

/* Times to begin anew. Chosen: each takes a flush between two system calls. */
#define ATTEMPTS_MAX 100

/* Under the lead: no write is half in the journal. */
static enum ldb_status pin(struct ldb_backup *backup, struct ldb_error *err)
{
    enum ldb_status s = LDB_NOT_FOUND;

    for (unsigned i = 0; s == LDB_NOT_FOUND && i < ATTEMPTS_MAX; i++) {
        if (i > 0)
            unpin(backup);
        s = ldb_pinned_files_take(backup->db, err, &backup->pinned);
        if (s == LDB_OK)
            s = ldb_pinned_files_check(&backup->pinned, err);
        /* NOT_FOUND: flushed or rotated since. */
        if (s == LDB_OK)
            s = open_records(backup, err);
    }
    backup->sequence =
        atomic_load_explicit(&backup->db->last_sequence, memory_order_acquire);
    /* Readers may see more than the files have, until it has healed. */
    ldb_mutex_lock(&backup->db->mu);
    if (backup->db->journal_is_cut)
        backup->sequence = ldb_durable_position(backup->db).sequence;
    ldb_mutex_unlock(&backup->db->mu);
    return s;
}

enum ldb_status ldb_backup_open(struct ldb_db *db, struct ldb_error *err,
                                struct ldb_backup **out)
{
    struct ldb_backup *backup;
    enum ldb_status s;

    if (db->options.read_only)
        return ldb_error_set(err, LDB_READ_ONLY,
                             "%s: opened read-only: copy the folder", db->dir);
    backup = ldb_mem_zalloc(1, sizeof(*backup));
    if (backup == NULL)
        return ldb_error_no_memory(err);
    backup->db = db;
    ldb_lead_begin(db);
    s = pin(backup, err);
    ldb_lead_end(db);
    if (s != LDB_OK) {
        ldb_backup_close(backup);
        return s;
    }
    *out = backup;
    return LDB_OK;
}

static void end_file(struct ldb_backup *backup)
{
    if (backup->table != NULL)
        ldb_random_close(backup->table);
    backup->table = NULL;
    backup->record = NULL;
    backup->is_current = false;
    backup->size = 0;
    backup->at = 0;
}

void ldb_backup_close(struct ldb_backup *backup)
{
    if (backup == NULL)
        return;
    end_file(backup);
    unpin(backup);
    ldb_mem_free(backup);
}

ldb_sequence ldb_backup_sequence(const struct ldb_backup *backup)
{
    return backup->sequence;
}

/* ---- the walk ---- */

static enum ldb_status begin_table(struct ldb_backup *backup,
                                   const struct ldb_file_meta *meta,
                                   struct ldb_error *err)
{
    uint64_t size = 0;
    enum ldb_status s =
        ldb_folder_open_table(backup->db->env, backup->db->dir, meta->number,
                              err, backup->name, &size, &backup->table);

    if (s == LDB_NOT_FOUND)
        return ldb_error_set(err, LDB_CORRUPTION, "%s: the table is missing",
                             backup->name);
    backup->size = meta->size;
    return s;
}

/* The next of the level's tables, or of the levels below. */
static enum ldb_status next_table(struct ldb_backup *backup,
                                  struct ldb_error *err)
{
    const struct ldb_version *version = backup->pinned.version;

    while (backup->level < LDB_LEVEL_COUNT) {
        if (backup->index < version->levels[backup->level].count)
            return begin_table(
                backup, version->levels[backup->level].files[backup->index++],
                err);
        backup->level++;
        backup->index = 0;
    }
    return LDB_NOT_FOUND;
}

static enum ldb_status next_record(struct ldb_backup *backup)
{
    const struct record_file *record;

    if (backup->index == backup->record_count)
        return LDB_NOT_FOUND;
    record = &backup->records[backup->index++];
    ldb_file_name_print(backup->name, record->type, record->number);
    backup->size = record->size;
    backup->record = record->file;
    return LDB_OK;
}

static void begin_current(struct ldb_backup *backup)
{
    size_t len;

    ldb_file_name_print(backup->current, LDB_FILE_MANIFEST,
                        backup->pinned.manifest_number);
    len = strlen(backup->current);
    backup->current[len] = '\n';
    ldb_file_name_print(backup->name, LDB_FILE_CURRENT, 0);
    backup->size = len + 1;
    backup->is_current = true;
}

static enum ldb_status begin_next(struct ldb_backup *backup,
                                  struct ldb_error *err)
{
    enum ldb_status s = LDB_NOT_FOUND;

    if (backup->phase == PHASE_TABLES) {
        s = next_table(backup, err);
        if (s != LDB_NOT_FOUND)
            return s;
        backup->phase = PHASE_RECORDS;
        backup->index = 0;
    }
    if (backup->phase == PHASE_RECORDS) {
        s = next_record(backup);
        if (s != LDB_NOT_FOUND)
            return s;
        backup->phase = PHASE_CURRENT;
    }
    if (backup->phase == PHASE_CURRENT) {
        begin_current(backup);
        backup->phase = PHASE_END;
        return LDB_OK;
    }
    return LDB_NOT_FOUND;
}

enum ldb_status ldb_backup_next(struct ldb_backup *backup,
                                struct ldb_error *err,
                                struct ldb_backup_file *out)
{
    enum ldb_status s;

    end_file(backup);
    s = begin_next(backup, err);
    if (s == LDB_OK)
        *out = (struct ldb_backup_file){.name = backup->name,
                                        .size = backup->size};
    return s;
}

/* Some bytes of what begins at `at`, n at most; *out_len 0: it is short. */
static enum ldb_status read_some(struct ldb_backup *backup, uint8_t *out,
                                 size_t n, struct ldb_error *err,
                                 size_t *out_len)
{
    struct ldb_slice bytes = {0};
    enum ldb_status s = LDB_OK;

    if (backup->record != NULL)
        return ldb_sequential_read(backup->record, n, out, out_len, err);
    if (backup->is_current)
        bytes = ldb_slice_make(backup->current + backup->at, n);
    else
        s = ldb_random_read_at(backup->table, backup->at, n, out, &bytes, err);
    if (s != LDB_OK)
        return s;
    if (bytes.len > 0 && bytes.data != out)
        memcpy(out, bytes.data, bytes.len);
    *out_len = bytes.len;
    return LDB_OK;
}

enum ldb_status ldb_backup_read(struct ldb_backup *backup, uint8_t *out,
                                size_t max, struct ldb_error *err,
                                size_t *out_len)
{
    uint64_t left = backup->size - backup->at;
    size_t n = left < max ? (size_t)left : max;
    size_t len = 0;
    enum ldb_status s;

    if (n > 0) {
        s = read_some(backup, out, n, err, &len);
        if (s != LDB_OK)
            return s;
        if (len == 0)
            return ldb_error_set(err, LDB_CORRUPTION,
                                 "%s: it ends at %llu, not at %llu",
                                 backup->name, (unsigned long long)backup->at,
                                 (unsigned long long)backup->size);
    }
    backup->at += len;
    *out_len = len;
    return LDB_OK;
}
