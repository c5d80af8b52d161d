/*
 * Merges tables that no order of levels fits (contracts: repair_internal.h).
 */
#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/repair_internal.h"
#include "storage/table/merging_iterator.h"
#include "storage/table/table_reader.h"

/* ---- a source ---- */

void ldb_repair_source_close(struct ldb_repair_source *source)
{
    ldb_iterator_destroy(source->it);
    if (source->table != NULL)
        ldb_table_close(source->table);
    else if (source->file != NULL)
        ldb_random_close(source->file);
}

enum ldb_status ldb_repair_source_open(struct ldb_repair *repair,
                                       const struct ldb_repair_table *table,
                                       struct ldb_error *err,
                                       struct ldb_repair_source *out)
{
    static const struct ldb_table_read read = {.verify_checksums = true};
    struct ldb_env *env =
        table->type == LDB_FILE_TMP ? repair->work_env : repair->env;
    char name[LDB_FILE_NAME_SIZE];
    char *path = ldb_file_path(repair->dir, table->type, table->number);
    enum ldb_status s;

    *out = (struct ldb_repair_source){0};
    ldb_file_name_print(name, table->type, table->number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->open_random(env, path, err, &out->file);
    if (s == LDB_OK)
        s = ldb_table_open(out->file, table->size, name, &repair->read_options,
                           err, &out->table);
    if (s == LDB_OK)
        s = ldb_table_iterator_create(out->table, &read, err, &out->it);
    ldb_mem_free(path);
    return s;
}

/* ---- merging ---- */

/* Writes all entries of the sources, which lose their iterators. */
static enum ldb_status write_merged(struct ldb_repair *repair,
                                    struct ldb_repair_source *sources,
                                    size_t count, struct ldb_error *err)
{
    struct ldb_iterator **children = ldb_mem_alloc(count, sizeof(*children));
    struct ldb_iterator *it = NULL;
    enum ldb_status s;

    if (children == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        children[i] = sources[i].it;
        sources[i].it = NULL; /* the merging iterator owns it */
    }
    s = ldb_merging_iterator_create(repair->options.comparator, children, count,
                                    err, &it);
    if (s == LDB_OK)
        s = ldb_repair_output_write(repair, it, repair->options.table_bytes,
                                    err);
    ldb_iterator_destroy(it);
    ldb_mem_free(children);
    return s;
}

/* The original is kept; what repair wrote itself is of no use any more. */
static enum ldb_status retire(struct ldb_repair *repair,
                              const struct ldb_repair_table *table,
                              struct ldb_error *err)
{
    char *path;

    if (table->type != LDB_FILE_TMP)
        return ldb_repair_keep_original(repair, table->type, table->number,
                                        err);
    path = ldb_file_path(repair->dir, table->type, table->number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    /* One that stays is swept away when the database is opened. */
    (void)repair->work_env->ops->remove_file(repair->work_env, path, NULL);
    ldb_mem_free(path);
    return LDB_OK;
}

/* Takes the marked ones of the first count tables out of the list. */
static enum ldb_status take_out(struct ldb_repair *repair,
                                const bool *is_merged, size_t count,
                                struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;
    size_t kept = 0;

    for (size_t i = 0; i < repair->table_count; i++) {
        struct ldb_repair_table *table = &repair->tables[i];

        if (i >= count || !is_merged[i]) {
            repair->tables[kept++] = *table;
            continue;
        }
        if (s == LDB_OK)
            s = retire(repair, table, err);
        ldb_repair_table_release(table);
    }
    repair->table_count = kept;
    return s;
}

static enum ldb_status say_merged(struct ldb_repair *repair,
                                  const struct ldb_repair_table *table,
                                  struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    const struct ldb_finding finding = {
        .kind = LDB_FINDING_NOTE,
        .file = name,
        .after = ldb_slice_of_buf(&table->smallest),
        .until = ldb_slice_of_buf(&table->largest),
        .message = "neither older nor newer than another table",
        .advice = "both are merged into new tables",
    };

    ldb_file_name_print(name, table->type, table->number);
    return ldb_repair_say(repair, &finding, err);
}

enum ldb_status ldb_repair_merge(struct ldb_repair *repair,
                                 const bool *is_merged, struct ldb_error *err)
{
    size_t count = repair->table_count;
    size_t opened = 0;
    struct ldb_repair_source *sources = ldb_mem_zalloc(count, sizeof(*sources));
    enum ldb_status s = LDB_OK;

    if (sources == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; s == LDB_OK && i < count; i++) {
        if (!is_merged[i])
            continue;
        s = say_merged(repair, &repair->tables[i], err);
        if (s == LDB_OK)
            s = ldb_repair_source_open(repair, &repair->tables[i], err,
                                       &sources[opened++]);
    }
    if (s == LDB_OK)
        s = write_merged(repair, sources, opened, err);
    for (size_t i = 0; i < opened; i++)
        ldb_repair_source_close(&sources[i]);
    ldb_mem_free(sources);
    if (s != LDB_OK)
        return s;
    repair->report.tables_merged += opened;
    return take_out(repair, is_merged, count, err);
}
