#include "replication/held_version.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/pinned_files.h"

static int compare_tables(const void *a, const void *b)
{
    const struct repl_held_table *left = a;
    const struct repl_held_table *right = b;

    return (left->number > right->number) - (left->number < right->number);
}

static size_t count_tables(const struct ldb_version *version)
{
    size_t count = 0;

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        count += version->levels[level].count;
    return count;
}

static enum ldb_status list_tables(struct repl_held_version *held,
                                   struct ldb_error *err)
{
    const struct ldb_version *version = held->version;
    size_t count = count_tables(version);

    if (count == 0)
        return LDB_OK;
    held->tables = ldb_mem_alloc(count, sizeof(*held->tables));
    if (held->tables == NULL)
        return ldb_error_no_memory(err);
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        const struct ldb_level *files = &version->levels[level];

        for (size_t i = 0; i < files->count; i++)
            held->tables[held->table_count++] = (struct repl_held_table){
                .number = files->files[i]->number,
                .size = files->files[i]->size,
                .level = level,
            };
    }
    qsort(held->tables, count, sizeof(*held->tables), compare_tables);
    return LDB_OK;
}

enum ldb_status repl_held_version_take(struct ldb_db *db, struct ldb_error *err,
                                       struct repl_held_version *out)
{
    struct ldb_pinned_files pinned;
    enum ldb_status s = ldb_pinned_files_take(db, err, &pinned);

    if (s == LDB_OK) {
        *out = (struct repl_held_version){
            .db = db,
            .version = ldb_version_ref(pinned.version),
            .manifest_number = pinned.manifest_number,
            .manifest_len = pinned.manifest_len,
            .log_number = pinned.log_number,
            .last_sequence = pinned.last_sequence,
        };
        s = list_tables(out, err);
        if (s != LDB_OK)
            repl_held_version_release(out);
    }
    ldb_pinned_files_release(&pinned);
    return s;
}

/* The version was the last to name tables: an idle engine does not look by
 * itself, and they would take their space until it writes again. */
static void wake_sweeper(struct ldb_db *db)
{
    if (!atomic_load_explicit(&db->obsolete_pending, memory_order_relaxed))
        return;
    ldb_mutex_lock(&db->mu);
    ldb_cond_broadcast(&db->work);
    ldb_mutex_unlock(&db->mu);
}

void repl_held_version_release(struct repl_held_version *held)
{
    ldb_version_unref(held->version);
    if (held->db != NULL)
        wake_sweeper(held->db);
    ldb_mem_free(held->tables);
    *held = (struct repl_held_version){0};
}

const struct repl_held_table *
repl_held_version_find(const struct repl_held_version *held, uint64_t number)
{
    const struct repl_held_table key = {.number = number};

    if (held->table_count == 0)
        return NULL;
    return bsearch(&key, held->tables, held->table_count, sizeof(key),
                   compare_tables);
}

const struct ldb_file_meta *repl_version_find(const struct ldb_version *version,
                                              uint64_t number)
{
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        const struct ldb_level *files = &version->levels[level];

        for (size_t i = 0; i < files->count; i++) {
            if (files->files[i]->number == number)
                return files->files[i];
        }
    }
    return NULL;
}
