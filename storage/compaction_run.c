/*
 * Rewriting tables one level down (contracts: db_internal.h): merge the
 * inputs, drop what no reader can need, write outputs, install one edit.
 *
 * What may be dropped: an entry older than another of its user key, and a
 * delete mark with nothing below it. Readers hold views, which pin the inputs,
 * so no snapshot list is asked: every entry at or below the last sequence is
 * fair game. The inputs are tables, so their entries all are.
 *
 * An output ends only at the first entry of a new user key: one user key never
 * stands in two tables of a level (docs/formats.md, rule 23).
 */
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"
#include "storage/table/merging_iterator.h"

/* State of one rewriting. */
struct run {
    struct ldb_db *db;
    struct ldb_compaction *compaction;
    struct ldb_compaction_cursor cursor;
    struct ldb_version_edit edit;
    /* the output being written; NULL file: none */
    struct ldb_writable_file *file;
    struct ldb_table_builder *builder;
    uint64_t number;
    struct ldb_buf smallest; /* internal keys of the output */
    struct ldb_buf largest;
    /* the entry before this one */
    struct ldb_buf last_user_key;
    bool has_last_user_key;
    uint64_t *outputs; /* numbers made, to remove on failure */
    size_t output_count;
    uint64_t unpaced_bytes; /* read and written since it was paced */
    uint64_t written_bytes;
};

/* Bytes between two looks at the rate limit. Chosen: few, as each takes mu. */
#define PACE_BYTES ((uint64_t)64 << 10)

/* Values from here on are looked at for a block of their own. Chosen: below
 * it compressing costs about what asking does for all. */
#define COPY_BYTES_MIN ((size_t)1 << 10)

static void remove_table(struct ldb_db *db, uint64_t number)
{
    char *path = ldb_file_path(db->dir, LDB_FILE_TABLE, number);

    ldb_table_cache_evict(db->tables, number);
    if (path != NULL)
        (void)db->env->ops->remove_file(db->env, path, NULL);
    ldb_mem_free(path);
}

static enum ldb_status open_output(struct run *run, struct ldb_error *err)
{
    struct ldb_db *db = run->db;
    uint64_t *outputs =
        ldb_mem_realloc(run->outputs, run->output_count + 1, sizeof(*outputs));
    char *path;
    enum ldb_status s;

    if (outputs == NULL)
        return ldb_error_no_memory(err);
    run->outputs = outputs;
    ldb_mutex_lock(&db->mu);
    run->number = ldb_version_set_new_file_number(db->versions);
    ldb_mutex_unlock(&db->mu);
    path = ldb_file_path(db->dir, LDB_FILE_TABLE, run->number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = db->env->ops->open_writable(db->env, path, LDB_OPEN_TRUNCATE, err,
                                    &run->file);
    ldb_mem_free(path);
    if (s != LDB_OK)
        return s;
    run->outputs[run->output_count++] = run->number;
    return ldb_table_builder_create(run->file, &db->table_options, err,
                                    &run->builder);
}

static void drop_output(struct run *run)
{
    ldb_table_builder_destroy(run->builder);
    run->builder = NULL;
    if (run->file != NULL)
        (void)ldb_file_close(run->file, NULL); /* the file goes */
    run->file = NULL;
}

static enum ldb_status finish_output(struct run *run, struct ldb_error *err)
{
    struct ldb_table_counts counts = {0};
    struct ldb_file_meta *meta;
    uint64_t size = 0;
    enum ldb_status s = ldb_table_builder_finish(run->builder, err);

    if (s == LDB_OK) {
        size = ldb_table_builder_file_size(run->builder);
        counts = ldb_table_builder_counts(run->builder);
        s = ldb_file_sync(run->file, err);
    }
    if (s != LDB_OK)
        return s;
    ldb_table_builder_destroy(run->builder);
    run->builder = NULL;
    s = ldb_file_close(run->file, err);
    run->file = NULL;
    if (s != LDB_OK)
        return s;
    meta = ldb_file_meta_create(run->number, size,
                                ldb_slice_of_buf(&run->smallest),
                                ldb_slice_of_buf(&run->largest));
    if (meta == NULL)
        return ldb_error_no_memory(err);
    meta->entry_count = counts.entries;
    meta->delete_count = counts.deletes;
    run->written_bytes += size;
    s = ldb_version_edit_add_file(&run->edit, run->compaction->level + 1, meta);
    ldb_file_meta_unref(meta);
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

/* Large ones fill a block each, which is copied where that can be. */
static enum ldb_status build_entry(struct run *run, struct ldb_iterator *it,
                                   struct ldb_error *err)
{
    struct ldb_slice stored;

    if (it->value.len >= COPY_BYTES_MIN && ldb_iterator_stored(it, &stored))
        return ldb_table_builder_add_stored(run->builder, it->key, it->value,
                                            stored, err);
    return ldb_table_builder_add(run->builder, it->key, it->value, err);
}

static enum ldb_status add_entry(struct run *run, struct ldb_iterator *it,
                                 struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (run->file == NULL) {
        s = open_output(run, err);
        if (s == LDB_OK && ldb_buf_assign(&run->smallest, it->key) != LDB_OK)
            s = ldb_error_no_memory(err);
    }
    if (s == LDB_OK)
        s = build_entry(run, it, err);
    if (s == LDB_OK && ldb_buf_assign(&run->largest, it->key) != LDB_OK)
        s = ldb_error_no_memory(err);
    return s;
}

/* One entry of the merge. */
static enum ldb_status take_entry(struct run *run, struct ldb_iterator *it,
                                  struct ldb_error *err)
{
    const struct ldb_comparator *cmp = run->db->options.comparator;
    struct ldb_parsed_key parsed;
    bool is_new_key;
    enum ldb_status s = LDB_OK;

    /* Nobody could read the entry anyway, and a MANIFEST with such a bound
     * would be refused. */
    if (!ldb_internal_key_parse(it->key, &parsed) &&
        run->db->options.skip_compaction_damage)
        return LDB_OK;
    if (!ldb_internal_key_parse(it->key, &parsed))
        return ldb_error_set(err, LDB_CORRUPTION,
                             "compaction of level %u: an internal key of %zu "
                             "bytes cannot be read",
                             run->compaction->level, it->key.len);
    is_new_key = !run->has_last_user_key ||
                 ldb_compare(cmp, parsed.user_key,
                             ldb_slice_of_buf(&run->last_user_key)) != 0;
    if (is_new_key) {
        bool overlaps = ldb_compaction_should_stop_before(
            run->compaction, &run->db->limits, &run->cursor, it->key);

        if (run->file != NULL &&
            (overlaps ||
             ldb_table_builder_file_size(run->builder) >=
                 run->db->limits.table_bytes[run->compaction->level + 1]))
            s = finish_output(run, err);
        if (s != LDB_OK)
            return s;
        if (ldb_buf_assign(&run->last_user_key, parsed.user_key) != LDB_OK)
            return ldb_error_no_memory(err);
        run->has_last_user_key = true;
    } else {
        return LDB_OK; /* a newer entry of the key came before */
    }
    if (parsed.kind == LDB_KIND_DELETE &&
        ldb_compaction_is_base_level_for(run->compaction, &run->cursor,
                                         parsed.user_key))
        return LDB_OK; /* nothing below it to hide */
    return add_entry(run, it, err);
}

/* An entry was read, and as a rule written: the option limits both. */
static void pace(struct run *run, size_t bytes)
{
    if (run->db->options.compaction_rate_bytes == 0)
        return;
    run->unpaced_bytes += 2 * (uint64_t)bytes;
    if (run->unpaced_bytes < PACE_BYTES)
        return;
    ldb_throttle_compaction(run->db, run->unpaced_bytes,
                            run->compaction->is_cancelled);
    run->unpaced_bytes = 0;
}

static enum ldb_status merge_inputs(struct run *run, struct ldb_iterator *it,
                                    struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it)) {
        if (atomic_load_explicit(&run->db->closing, memory_order_relaxed))
            return ldb_error_set(err, LDB_CLOSED, "compaction given up");
        if (run->compaction->is_cancelled != NULL &&
            atomic_load_explicit(run->compaction->is_cancelled,
                                 memory_order_relaxed))
            return ldb_error_set(err, LDB_CANCELLED, "compaction cancelled");
        pace(run, it->key.len + it->value.len);
        s = take_entry(run, it, err);
        if (s != LDB_OK)
            return s;
    }
    if (it->status != LDB_OK) {
        if (err != NULL)
            *err = it->error;
        return it->status;
    }
    return run->file == NULL ? LDB_OK : finish_output(run, err);
}

/* One iterator a level-0 input, one for all inputs of a deeper level. */
static enum ldb_status open_inputs(struct ldb_db *db,
                                   const struct ldb_compaction *c,
                                   struct ldb_error *err,
                                   struct ldb_iterator **out)
{
    const struct ldb_table_read read = {.verify_checksums = true,
                                        .fill_cache = false,
                                        .skip_damage =
                                            db->options.skip_compaction_damage,
                                        .read_ahead = true};
    size_t room = c->input_count[0] + 2;
    size_t count = 0;
    struct ldb_iterator **children = ldb_mem_zalloc(room, sizeof(*children));
    enum ldb_status s = LDB_OK;

    if (children == NULL)
        return ldb_error_no_memory(err);
    for (unsigned which = 0; s == LDB_OK && which < 2; which++) {
        if (c->input_count[which] == 0)
            continue;
        if (c->level + which > 0) {
            s = ldb_level_iterator_create(
                db->options.comparator, c->inputs[which], c->input_count[which],
                db->tables, &read, err, &children[count]);
            count += s == LDB_OK;
            continue;
        }
        for (size_t i = 0; s == LDB_OK && i < c->input_count[0]; i++) {
            s = ldb_table_cache_iterator(db->tables, c->inputs[0][i]->number,
                                         c->inputs[0][i]->size, &read, err,
                                         &children[count]);
            count += s == LDB_OK;
            if (s == LDB_CORRUPTION && read.skip_damage)
                s = LDB_OK;
        }
    }
    if (s == LDB_OK) {
        s = ldb_merging_iterator_create(db->options.comparator, children, count,
                                        err, out);
        count = 0; /* owned by the merge */
    }
    for (size_t i = 0; i < count; i++)
        ldb_iterator_destroy(children[i]);
    ldb_mem_free(children);
    return s;
}

static uint64_t input_bytes(const struct ldb_compaction *c)
{
    uint64_t bytes = 0;

    for (unsigned which = 0; which < 2; which++)
        for (size_t i = 0; i < c->input_count[which]; i++)
            bytes += c->inputs[which][i]->size;
    return bytes;
}

/*
 * The level's next compaction begins where this one ends, unless one that was
 * picked later got there first.
 */
static enum ldb_status edit_pointer(struct ldb_db *db,
                                    const struct ldb_compaction *c,
                                    struct ldb_version_edit *edit)
    LDB_REQUIRES(db->mu)
{
    if (c->order < db->pointer_orders[c->level])
        return LDB_OK;
    db->pointer_orders[c->level] = c->order;
    return ldb_version_edit_set_pointer(edit, c->level, c->pointer);
}

/* Applies the edit and shows the new version to readers. */
static enum ldb_status install(struct ldb_db *db, struct ldb_compaction *c,
                               struct ldb_version_edit *edit,
                               struct ldb_error *err)
{
    struct ldb_view *old = NULL;
    enum ldb_status s;

    if (ldb_compaction_edit_inputs(c, edit) != LDB_OK)
        return ldb_error_no_memory(err);
    ldb_mutex_lock(&db->mu);
    s = edit_pointer(db, c, edit);
    if (s == LDB_OK)
        s = ldb_version_set_apply(db->versions, edit, err);
    else
        s = ldb_error_no_memory(err);
    /*
     * Without memory for a view readers stay on the version before, which
     * holds the same entries; the next change shows this one too.
     */
    if (s == LDB_OK)
        LDB_IGNORE(ldb_db_install_view(db, NULL, &old));
    ldb_mutex_unlock(&db->mu);
    if (old != NULL)
        ldb_db_view_release(db, old);
    return s;
}

static enum ldb_status move_down(struct ldb_db *db, struct ldb_compaction *c,
                                 struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    struct ldb_file_meta *meta = c->inputs[0][0];
    enum ldb_status s = ldb_version_edit_add_file(&edit, c->level + 1, meta);

    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    else
        s = install(db, c, &edit, err);
    if (s == LDB_OK) {
        ldb_file_meta_reset_seeks(meta);
        ldb_count(&db->counters.trivial_moves, 1);
        ldb_log_line(db->log, "table@move L%u@%llu -> L%u", c->level,
                     (unsigned long long)meta->number, c->level + 1);
    }
    ldb_version_edit_release(&edit);
    return s;
}

static void count_run(struct run *run, uint64_t start)
{
    struct ldb_db *db = run->db;
    uint64_t us = db->env->ops->monotonic_us(db->env) - start;
    struct ldb_level_counters *level;

    ldb_count(&db->counters.compactions, 1);
    ldb_log_line(db->log,
                 "table@compaction L%u\302\267%zu -> L%u\302\267%zu "
                 "S\302\267%llu -> %llu T\302\267%lluus",
                 run->compaction->level, run->compaction->input_count[0],
                 run->compaction->level + 1, run->output_count,
                 (unsigned long long)input_bytes(run->compaction),
                 (unsigned long long)run->written_bytes,
                 (unsigned long long)us);
    ldb_mutex_lock(&db->mu);
    level = &db->level_counters[run->compaction->level + 1];
    level->read_bytes += input_bytes(run->compaction);
    level->write_bytes += run->written_bytes;
    level->us += us;
    level->compactions++;
    level->seek_compactions += run->compaction->is_seek;
    ldb_mutex_unlock(&db->mu);
}

static enum ldb_status rewrite(struct ldb_db *db, struct ldb_compaction *c,
                               struct ldb_error *err)
{
    struct run run = {.db = db,
                      .compaction = c,
                      .smallest = LDB_BUF_INIT(SIZE_MAX),
                      .largest = LDB_BUF_INIT(SIZE_MAX),
                      .last_user_key = LDB_BUF_INIT(SIZE_MAX)};
    struct ldb_iterator *it = NULL;
    uint64_t start = db->env->ops->monotonic_us(db->env);
    bool is_applied = false;
    enum ldb_status s = open_inputs(db, c, err, &it);

    if (s == LDB_OK)
        s = merge_inputs(&run, it, err);
    if (s == LDB_OK) {
        s = install(db, c, &run.edit, err);
        /* Even a failed apply may be in the MANIFEST: the set decides then
         * when its tables go. */
        is_applied = true;
    }
    if (s == LDB_OK)
        count_run(&run, start);
    drop_output(&run);
    if (!is_applied)
        for (size_t i = 0; i < run.output_count; i++)
            remove_table(db, run.outputs[i]);
    ldb_iterator_destroy(it);
    ldb_version_edit_release(&run.edit);
    ldb_buf_release(&run.smallest);
    ldb_buf_release(&run.largest);
    ldb_buf_release(&run.last_user_key);
    ldb_mem_free(run.outputs);
    return s;
}

enum ldb_status ldb_compaction_run(struct ldb_db *db, struct ldb_compaction *c,
                                   struct ldb_error *err)
{
    return c->is_trivial_move ? move_down(db, c, err) : rewrite(db, c, err);
}
