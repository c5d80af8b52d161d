/* The course of a repair (contracts: ldb.h, repair_internal.h). */
#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"
#include "storage/repair_internal.h"

/* Numbers that a repair and the life after it can use. Chosen. */
#define NUMBERS_LEFT_MIN (UINT64_C(1) << 32)

/* ---- shared by the parts ---- */

enum ldb_status ldb_repair_grow(void **items, size_t count, size_t size,
                                struct ldb_error *err)
{
    void *more;

    /* Doubling: the array is full whenever the count is a power of two. */
    if ((count & (count - 1)) != 0)
        return LDB_OK;
    more = ldb_mem_realloc(*items, count == 0 ? 1 : count * 2, size);
    if (more == NULL)
        return ldb_error_no_memory(err);
    *items = more;
    return LDB_OK;
}

enum ldb_status ldb_repair_say(struct ldb_repair *repair,
                               const struct ldb_finding *finding,
                               struct ldb_error *err)
{
    struct ldb_buf line = LDB_BUF_INIT(SIZE_MAX);
    enum ldb_status s;

    if (finding->kind == LDB_FINDING_DAMAGE) {
        repair->report.damages++;
        repair->is_needed = true;
    }
    if (repair->how.line == NULL)
        return LDB_OK;
    s = ldb_finding_describe(finding, &line);
    if (s == LDB_OK)
        s = ldb_buf_append_byte(&line, 0);
    if (s == LDB_OK)
        repair->how.line(repair->how.context, (const char *)line.data);
    ldb_buf_release(&line);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

enum ldb_status ldb_repair_keep_original(struct ldb_repair *repair,
                                         enum ldb_file_type type,
                                         uint64_t number, struct ldb_error *err)
{
    void *items = repair->originals;
    enum ldb_status s = ldb_repair_grow(&items, repair->original_count,
                                        sizeof(*repair->originals), err);

    if (s != LDB_OK)
        return s;
    repair->originals = items;
    repair->originals[repair->original_count++] =
        (struct ldb_folder_file){.type = type, .number = number};
    return LDB_OK;
}

/* ---- setting up ---- */

static void set_table_options(struct ldb_repair *repair)
{
    const struct ldb_options *o = &repair->options;
    bool has_bloom = o->filter == NULL && o->bloom_bits > 0;

    repair->bloom = (struct ldb_filter_policy){
        .name = LDB_BLOOM_NAME_GOLEVELDB,
        .bloom_bits_per_key = has_bloom ? o->bloom_bits : 10,
    };
    repair->read_options = (struct ldb_table_options){
        .comparator = o->comparator,
        .filter = o->filter != NULL ? o->filter : &repair->bloom,
        .verify_index_checksums = true,
    };
    repair->write_options = (struct ldb_table_options){
        .comparator = o->comparator,
        .filter = has_bloom ? &repair->bloom : o->filter,
        .block_size = o->block_bytes,
        .restart_interval = o->block_restart_interval,
        .compress = o->compress,
    };
}

static enum ldb_status init(struct ldb_repair *repair, const char *path,
                            const struct ldb_options *options,
                            const struct ldb_repair_options *how,
                            struct ldb_error *err)
{
    enum ldb_status s;

    *repair = (struct ldb_repair){.dir = path};
    s = ldb_options_complete(options, err, &repair->options);
    if (s != LDB_OK)
        return s;
    repair->env = repair->options.env;
    if (how != NULL)
        repair->how = *how;
    set_table_options(repair);
    repair->work_env = repair->env;
    if (!repair->how.dry_run)
        return LDB_OK;
    repair->work_env = NULL;
    s = ldb_env_memory_create(err, &repair->work_env);
    return s;
}

/* The dry run's own folder, under the same path. */
static enum ldb_status create_work_folder(struct ldb_repair *repair,
                                          struct ldb_error *err)
{
    char *path = ldb_mem_strdup(repair->dir);
    enum ldb_status s = LDB_OK;

    if (path == NULL)
        return ldb_error_no_memory(err);
    for (char *at = path + 1; s == LDB_OK && *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        s = repair->work_env->ops->create_dir(repair->work_env, path, err);
        *at = '/';
    }
    if (s == LDB_OK)
        s = repair->work_env->ops->create_dir(repair->work_env, path, err);
    ldb_mem_free(path);
    return s;
}

static void release(struct ldb_repair *repair)
{
    for (size_t i = 0; i < repair->table_count; i++)
        ldb_repair_table_release(&repair->tables[i]);
    ldb_mem_free(repair->tables);
    ldb_mem_free(repair->damaged);
    ldb_mem_free(repair->originals);
    ldb_repair_manifest_release(&repair->manifest);
    ldb_folder_files_release(&repair->files);
    if (repair->how.dry_run && repair->work_env != NULL)
        ldb_env_memory_destroy(repair->work_env);
}

/* Above all numbers in names and in the MANIFEST. */
static enum ldb_status set_next_number(struct ldb_repair *repair,
                                       struct ldb_error *err)
{
    const struct ldb_repair_manifest *manifest = &repair->manifest;
    uint64_t max = ldb_folder_files_max(&repair->files);

    if (manifest->named_count > 0 &&
        manifest->named[manifest->named_count - 1] > max)
        max = manifest->named[manifest->named_count - 1];
    if (max > LDB_FILE_NUMBER_MAX - NUMBERS_LEFT_MIN)
        return ldb_error_set(err, LDB_NOT_SUPPORTED,
                             "%s: file number %" PRIu64 " leaves none for "
                             "later files: move that file away",
                             repair->dir, max);
    repair->next_number = max + 1;
    if (manifest->next_file_number > repair->next_number)
        repair->next_number = manifest->next_file_number;
    return LDB_OK;
}

/* ---- the course ---- */

static enum ldb_status list(struct ldb_repair *repair, struct ldb_error *err)
{
    enum ldb_status s;

    ldb_folder_files_release(&repair->files);
    s = ldb_folder_files_list(repair->env, repair->dir, err, &repair->files);
    if (s == LDB_OK && !ldb_folder_files_is_database(&repair->files))
        s = ldb_error_set(err, LDB_NOT_FOUND, "%s: there is no database",
                          repair->dir);
    return s;
}

static enum ldb_status survey(struct ldb_repair *repair, struct ldb_error *err)
{
    enum ldb_status s = list(repair, err);

    if (s == LDB_OK)
        s = ldb_repair_manifest_read(repair, err);
    if (s == LDB_OK)
        s = set_next_number(repair, err);
    if (s == LDB_OK) {
        repair->report.edits_kept = repair->manifest.edits;
        repair->last_sequence = repair->manifest.last_sequence;
        s = ldb_repair_inspect(repair, err);
    }
    return s;
}

static enum ldb_status run(struct ldb_repair *repair, struct ldb_error *err)
{
    enum ldb_status s = survey(repair, err);

    if (s != LDB_OK)
        return s;
    if (repair->is_needed) {
        if (repair->how.dry_run)
            s = create_work_folder(repair, err);
        if (s == LDB_OK)
            s = ldb_repair_rewrite(repair, err);
        if (s == LDB_OK)
            s = ldb_repair_place(repair, err);
        if (s == LDB_OK && !repair->how.dry_run) {
            /* The history they tell is not that of what is left. */
            ldb_retained_discard(repair->env, repair->dir);
            s = ldb_repair_commit(repair, err);
        }
        repair->report.files_kept_in_lost = repair->original_count;
    }
    repair->report.needed = repair->is_needed;
    repair->report.last_sequence = repair->last_sequence;
    return s;
}

enum ldb_status ldb_repair(const char *path, const struct ldb_options *options,
                           const struct ldb_repair_options *repair_options,
                           struct ldb_repair_report *out_report,
                           struct ldb_error *err)
{
    struct ldb_file_lock *lock = NULL;
    struct ldb_repair repair;
    char *lock_path = ldb_file_path(path, LDB_FILE_LOCK, 0);
    enum ldb_status s;

    if (lock_path == NULL)
        return ldb_error_no_memory(err);
    s = init(&repair, path, options, repair_options, err);
    /* A folder that is no database does not even get a LOCK. */
    if (s == LDB_OK)
        s = list(&repair, err);
    if (s == LDB_OK)
        s = repair.env->ops->lock_file(repair.env, lock_path,
                                       repair.how.dry_run, err, &lock);
    /* A copy without LOCK: nobody has it open. */
    if (s == LDB_OK ||
        (s == LDB_NOT_FOUND && repair.how.dry_run && repair.files.count > 0))
        s = run(&repair, err);
    if (s == LDB_OK && out_report != NULL)
        *out_report = repair.report;
    release(&repair);
    if (lock != NULL)
        repair.env->ops->unlock_file(repair.env, lock);
    ldb_mem_free(lock_path);
    return s;
}
