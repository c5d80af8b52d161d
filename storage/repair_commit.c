/*
 * Puts the repaired state in force (contracts: repair_internal.h):
 *
 *   1. each original gets a second name in lost/ (a copy, where the file system
 *      has no links); lost/ is synced
 *   2. new tables get their names
 *   3. an empty journal, the MANIFEST, then CURRENT by its safe order
 *   4. the originals' first names go
 *
 * A crash before 3 leaves the folder as it was, with tables besides that
 * nothing names; after it the folder is repaired, and what 4 left over is in
 * lost/ too. So nothing that an engine then sweeps away is the only copy.
 */
#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/repair_internal.h"
#include "storage/version/current_file.h"
#include "storage/version/manifest.h"

#define LOST "lost"

/* Names that one file may have had in lost/ before. Chosen: as many repairs. */
#define LOST_NAMES_MAX 1000

/* Bytes compared or copied at once. */
#define CHUNK ((size_t)1 << 16)

/* A MANIFEST record of this many bytes is still read. */
#define RECORD_MAX ((size_t)1 << 30)

/* ---- files as wholes ---- */

/* Reads up to CHUNK bytes, short only at the end. */
static enum ldb_status read_chunk(struct ldb_sequential_file *file,
                                  uint8_t *chunk, size_t *out_len,
                                  struct ldb_error *err)
{
    size_t len = 0;
    size_t more = 1;
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && len < CHUNK && more > 0) {
        s = ldb_sequential_read(file, CHUNK - len, chunk + len, &more, err);
        len += s == LDB_OK ? more : 0;
    }
    *out_len = len;
    return s;
}

static enum ldb_status compare_open(struct ldb_sequential_file *a,
                                    struct ldb_sequential_file *b,
                                    struct ldb_error *err, bool *out_equal)
{
    uint8_t *left = ldb_mem_alloc(CHUNK, 1);
    uint8_t *right = ldb_mem_alloc(CHUNK, 1);
    size_t left_len = CHUNK;
    size_t right_len = CHUNK;
    bool is_equal = true;
    enum ldb_status s = LDB_OK;

    if (left == NULL || right == NULL)
        s = ldb_error_no_memory(err);
    while (s == LDB_OK && is_equal && left_len == CHUNK) {
        s = read_chunk(a, left, &left_len, err);
        if (s == LDB_OK)
            s = read_chunk(b, right, &right_len, err);
        is_equal = left_len == right_len && memcmp(left, right, left_len) == 0;
    }
    ldb_mem_free(left);
    ldb_mem_free(right);
    *out_equal = is_equal;
    return s;
}

static enum ldb_status files_equal(struct ldb_env *env, const char *a,
                                   const char *b, struct ldb_error *err,
                                   bool *out_equal)
{
    struct ldb_sequential_file *left = NULL;
    struct ldb_sequential_file *right = NULL;
    enum ldb_status s = env->ops->open_sequential(env, a, err, &left);

    if (s == LDB_OK)
        s = env->ops->open_sequential(env, b, err, &right);
    if (s == LDB_OK)
        s = compare_open(left, right, err, out_equal);
    if (left != NULL)
        ldb_sequential_close(left);
    if (right != NULL)
        ldb_sequential_close(right);
    return s;
}

/* ---- lost/ ---- */

/* lost/NAME, or where another file has that name lost/NAME.1, .2, ... */
static enum ldb_status keep_as(struct ldb_repair *repair, const char *from,
                               const char *name, unsigned attempt,
                               struct ldb_error *err, bool *out_kept)
{
    struct ldb_env *env = repair->env;
    struct ldb_error why = {0};
    char *to =
        attempt == 0
            ? ldb_mem_printf("%s/" LOST "/%s", repair->dir, name)
            : ldb_mem_printf("%s/" LOST "/%s.%u", repair->dir, name, attempt);
    uint64_t size;
    enum ldb_status s;

    if (to == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->file_size(env, to, &why, &size);
    if (s == LDB_OK) {
        s = files_equal(env, from, to, err, out_kept);
    } else if (s == LDB_NOT_FOUND) {
        s = ldb_env_link_or_copy(env, from, to, err);
        *out_kept = s == LDB_OK;
    } else if (err != NULL) {
        *err = why;
    }
    ldb_mem_free(to);
    return s;
}

static enum ldb_status keep_one(struct ldb_repair *repair,
                                const struct ldb_folder_file *file,
                                struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    char *from = ldb_file_path(repair->dir, file->type, file->number);
    bool is_kept = false;
    enum ldb_status s = LDB_OK;

    if (from == NULL)
        return ldb_error_no_memory(err);
    ldb_file_name_print(name, file->type, file->number);
    for (unsigned i = 0; s == LDB_OK && !is_kept && i < LOST_NAMES_MAX; i++)
        s = keep_as(repair, from, name, i, err, &is_kept);
    if (s == LDB_OK && !is_kept)
        s = ldb_error_set(err, LDB_EXISTS,
                          "%s/" LOST ": over %d files named %s: move them away",
                          repair->dir, LOST_NAMES_MAX, name);
    ldb_mem_free(from);
    return s;
}

static enum ldb_status keep_originals(struct ldb_repair *repair,
                                      struct ldb_error *err)
{
    struct ldb_env *env = repair->env;
    char *lost = ldb_mem_printf("%s/" LOST, repair->dir);
    enum ldb_status s;

    if (lost == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->create_dir(env, lost, err);
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, repair->dir, err);
    for (size_t i = 0; s == LDB_OK && i < repair->original_count; i++)
        s = keep_one(repair, &repair->originals[i], err);
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, lost, err);
    ldb_mem_free(lost);
    return s;
}

/* ---- the new state ---- */

/* The table under its final name; one that keeps it needs nothing. */
static enum ldb_status name_table(struct ldb_repair *repair,
                                  const struct ldb_repair_table *table,
                                  struct ldb_error *err)
{
    struct ldb_env *env = repair->env;
    char *from = ldb_file_path(repair->dir, table->type, table->number);
    char *to = ldb_file_path(repair->dir, LDB_FILE_TABLE, table->final_number);
    enum ldb_status s = LDB_OK;

    if (from == NULL || to == NULL)
        s = ldb_error_no_memory(err);
    else if (table->type == LDB_FILE_TMP)
        s = env->ops->rename_file(env, from, to, err);
    else if (table->number != table->final_number)
        s = ldb_env_link_or_copy(env, from, to, err);
    ldb_mem_free(from);
    ldb_mem_free(to);
    return s;
}

static enum ldb_status add_table(struct ldb_version_edit *edit,
                                 const struct ldb_repair_table *table)
{
    struct ldb_file_meta *meta = ldb_file_meta_create(
        table->final_number, table->size, ldb_slice_of_buf(&table->smallest),
        ldb_slice_of_buf(&table->largest));
    enum ldb_status s = LDB_NO_MEMORY;

    if (meta != NULL)
        s = ldb_version_edit_add_file(edit, table->level, meta);
    ldb_file_meta_unref(meta);
    return s;
}

/* The one record of the new MANIFEST. */
static enum ldb_status encode_state(struct ldb_repair *repair,
                                    uint64_t journal_number,
                                    struct ldb_error *err, struct ldb_buf *out)
{
    struct ldb_version_edit edit = {0};
    enum ldb_status s = ldb_version_edit_set_comparator(
        &edit, repair->options.comparator->name);

    ldb_version_edit_set_log_number(&edit, journal_number);
    ldb_version_edit_set_next_file_number(&edit, repair->next_number);
    ldb_version_edit_set_last_sequence(&edit, repair->last_sequence);
    for (size_t i = 0; s == LDB_OK && i < repair->table_count; i++)
        s = add_table(&edit, &repair->tables[i]);
    if (s == LDB_OK)
        s = ldb_version_edit_encode(&edit, out);
    ldb_version_edit_release(&edit);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

/* Field 2 names a journal: it is there, and empty. */
static enum ldb_status create_journal(struct ldb_repair *repair,
                                      uint64_t number, struct ldb_error *err)
{
    char *path = ldb_file_path(repair->dir, LDB_FILE_JOURNAL, number);
    struct ldb_writable_file *file = NULL;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = repair->env->ops->open_writable(repair->env, path, LDB_OPEN_TRUNCATE,
                                        err, &file);
    if (s == LDB_OK)
        s = ldb_file_close(file, err);
    ldb_mem_free(path);
    return s;
}

static enum ldb_status write_state(struct ldb_repair *repair,
                                   struct ldb_error *err)
{
    struct ldb_buf record = LDB_BUF_INIT(RECORD_MAX);
    struct ldb_manifest *manifest = NULL;
    uint64_t journal_number = repair->next_number++;
    uint64_t number = repair->next_number++;
    enum ldb_status s = create_journal(repair, journal_number, err);

    if (s == LDB_OK)
        s = encode_state(repair, journal_number, err, &record);
    if (s == LDB_OK)
        s = ldb_manifest_create(repair->env, repair->dir, number,
                                ldb_slice_of_buf(&record), err, &manifest);
    ldb_manifest_close(manifest);
    if (s == LDB_OK)
        s = ldb_current_set(repair->env, repair->dir, number, err);
    if (s == LDB_OK)
        repair->report.manifest_number = number;
    ldb_buf_release(&record);
    return s;
}

/* ---- what is left over ---- */

static void remove_name(struct ldb_repair *repair, enum ldb_file_type type,
                        uint64_t number)
{
    char *path = ldb_file_path(repair->dir, type, number);

    /* One that stays is removed at the next open. */
    if (path != NULL)
        (void)repair->env->ops->remove_file(repair->env, path, NULL);
    ldb_mem_free(path);
}

static void remove_originals(struct ldb_repair *repair)
{
    for (size_t i = 0; i < repair->original_count; i++) {
        /* CURRENT has been replaced under its name. */
        if (repair->originals[i].type != LDB_FILE_CURRENT)
            remove_name(repair, repair->originals[i].type,
                        repair->originals[i].number);
    }
    for (size_t i = 0; i < repair->table_count; i++) {
        const struct ldb_repair_table *table = &repair->tables[i];

        if (table->type != LDB_FILE_TMP && table->number != table->final_number)
            remove_name(repair, table->type, table->number);
    }
    (void)repair->env->ops->sync_dir(repair->env, repair->dir, NULL);
}

enum ldb_status ldb_repair_commit(struct ldb_repair *repair,
                                  struct ldb_error *err)
{
    enum ldb_status s = keep_originals(repair, err);

    for (size_t i = 0; s == LDB_OK && i < repair->table_count; i++)
        s = name_table(repair, &repair->tables[i], err);
    if (s == LDB_OK)
        s = write_state(repair, err);
    if (s == LDB_OK)
        remove_originals(repair);
    return s;
}
