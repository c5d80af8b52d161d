/*
 * The tables of the new version, and the writing of new ones (contracts:
 * repair_internal.h).
 */
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/repair_internal.h"

/* ---- the list ---- */

void ldb_repair_table_init(struct ldb_repair_table *table,
                           enum ldb_file_type type, uint64_t number,
                           uint32_t level)
{
    *table = (struct ldb_repair_table){
        .type = type,
        .number = number,
        .final_number = number,
        .level = level,
        .is_fixed = level != LDB_REPAIR_NO_LEVEL,
        .smallest = LDB_BUF_INIT(SIZE_MAX),
        .largest = LDB_BUF_INIT(SIZE_MAX),
    };
}

void ldb_repair_table_release(struct ldb_repair_table *table)
{
    ldb_buf_release(&table->smallest);
    ldb_buf_release(&table->largest);
}

enum ldb_status ldb_repair_table_push(struct ldb_repair *repair,
                                      struct ldb_repair_table *table,
                                      struct ldb_error *err)
{
    void *items = repair->tables;
    enum ldb_status s =
        ldb_repair_grow(&items, repair->table_count, sizeof(*table), err);

    if (s != LDB_OK) {
        ldb_repair_table_release(table);
        return s;
    }
    repair->tables = items;
    repair->tables[repair->table_count++] = *table;
    if (table->max_sequence > repair->last_sequence)
        repair->last_sequence = table->max_sequence;
    return LDB_OK;
}

enum ldb_status ldb_repair_table_note(struct ldb_repair *repair,
                                      struct ldb_repair_table *table,
                                      struct ldb_slice key, bool *out_is_above,
                                      struct ldb_error *err)
{
    const struct ldb_comparator *cmp = repair->options.comparator;
    ldb_sequence sequence = ldb_tag_sequence(ldb_internal_tag(key));
    enum ldb_status s = LDB_OK;

    *out_is_above =
        table->entries == 0 ||
        ldb_internal_compare(cmp, ldb_slice_of_buf(&table->largest), key) < 0;
    if (!*out_is_above)
        return LDB_OK;
    if (table->entries == 0) {
        s = ldb_buf_assign(&table->smallest, key);
        table->min_sequence = sequence;
        table->max_sequence = sequence;
    }
    if (s == LDB_OK)
        s = ldb_buf_assign(&table->largest, key);
    if (s != LDB_OK)
        return ldb_error_no_memory(err);
    table->entries++;
    if (sequence < table->min_sequence)
        table->min_sequence = sequence;
    if (sequence > table->max_sequence)
        table->max_sequence = sequence;
    return LDB_OK;
}

/* ---- one table being written ---- */

enum ldb_status ldb_repair_output_begin(struct ldb_repair *repair,
                                        struct ldb_repair_table *table,
                                        struct ldb_error *err,
                                        struct ldb_repair_output *out)
{
    struct ldb_env *env = repair->work_env;
    enum ldb_status s;

    *out = (struct ldb_repair_output){.repair = repair, .table = table};
    out->path = ldb_file_path(repair->dir, LDB_FILE_TMP, repair->next_number);
    if (out->path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->open_writable(env, out->path, LDB_OPEN_TRUNCATE, err,
                                &out->file);
    if (s == LDB_OK)
        s = ldb_table_builder_create(out->file, &repair->write_options, err,
                                     &out->builder);
    if (s != LDB_OK)
        ldb_repair_output_abort(out);
    return s;
}

enum ldb_status ldb_repair_output_add(struct ldb_repair_output *output,
                                      struct ldb_slice key,
                                      struct ldb_slice value,
                                      struct ldb_error *err)
{
    bool is_above = false;
    enum ldb_status s = ldb_repair_table_note(output->repair, output->table,
                                              key, &is_above, err);

    if (s != LDB_OK || !is_above)
        return s;
    return ldb_table_builder_add(output->builder, key, value, err);
}

enum ldb_status ldb_repair_output_end(struct ldb_repair_output *output,
                                      struct ldb_error *err)
{
    struct ldb_repair_table *table = output->table;
    struct ldb_writable_file *file = output->file;
    enum ldb_status s = ldb_table_builder_finish(output->builder, err);

    if (s == LDB_OK)
        s = ldb_file_sync(file, err);
    if (s == LDB_OK) {
        table->type = LDB_FILE_TMP;
        table->size = ldb_table_builder_file_size(output->builder);
        table->number = output->repair->next_number++;
        table->final_number = table->number;
        output->file = NULL;
        s = ldb_file_close(file, err);
    }
    ldb_repair_output_abort(output);
    return s;
}

void ldb_repair_output_abort(struct ldb_repair_output *output)
{
    ldb_table_builder_destroy(output->builder);
    output->builder = NULL;
    if (output->file != NULL) {
        (void)ldb_file_close(output->file, NULL); /* the file is no use */
        output->file = NULL;
        (void)output->repair->work_env->ops->remove_file(
            output->repair->work_env, output->path, NULL);
    }
    ldb_mem_free(output->path);
    output->path = NULL;
}

/* ---- all entries of an iterator ---- */

/* May the table end before the key? All entries of a user key stay together. */
static bool is_cut(const struct ldb_repair_output *output, struct ldb_slice key,
                   size_t table_bytes)
{
    const struct ldb_comparator *cmp = output->repair->options.comparator;
    struct ldb_slice last = ldb_slice_of_buf(&output->table->largest);

    return output->table->entries > 0 &&
           ldb_table_builder_file_size(output->builder) >= table_bytes &&
           cmp->compare(cmp->context, ldb_internal_user_key(last),
                        ldb_internal_user_key(key)) != 0;
}

/* One table, from where the iterator stands. */
static enum ldb_status write_one(struct ldb_repair_output *output,
                                 struct ldb_iterator *it, size_t table_bytes,
                                 struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && it->valid && !is_cut(output, it->key, table_bytes)) {
        s = ldb_repair_output_add(output, it->key, it->value, err);
        if (s == LDB_OK)
            ldb_iterator_next(it);
    }
    if (s == LDB_OK && it->status != LDB_OK) {
        s = it->status;
        if (err != NULL)
            *err = it->error;
    }
    if (s == LDB_OK)
        return ldb_repair_output_end(output, err);
    ldb_repair_output_abort(output);
    return s;
}

enum ldb_status ldb_repair_output_write(struct ldb_repair *repair,
                                        struct ldb_iterator *it,
                                        size_t table_bytes,
                                        struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    ldb_iterator_seek_first(it);
    if (!it->valid && it->status != LDB_OK && err != NULL)
        *err = it->error;
    if (!it->valid)
        return it->status;
    while (s == LDB_OK && it->valid) {
        struct ldb_repair_table table;
        struct ldb_repair_output output;

        ldb_repair_table_init(&table, LDB_FILE_TMP, 0, LDB_REPAIR_NO_LEVEL);
        s = ldb_repair_output_begin(repair, &table, err, &output);
        if (s == LDB_OK)
            s = write_one(&output, it, table_bytes, err);
        if (s == LDB_OK)
            s = ldb_repair_table_push(repair, &table, err);
        else
            ldb_repair_table_release(&table);
    }
    return s;
}
