#include "replication/copy_manifest.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/journal/journal_feed.h"
#include "storage/version/file_names.h"
#include "storage/version/version_edit.h"

/* Tables that are made room for at first. */
#define TABLES_MIN 64

void repl_copy_manifest_release(struct repl_copy_manifest *manifest)
{
    ldb_journal_feed_destroy(manifest->feed);
    ldb_mem_free(manifest->tables);
    *manifest = (struct repl_copy_manifest){0};
}

static enum ldb_status begin(struct repl_copy_manifest *manifest,
                             uint64_t number, struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];

    repl_copy_manifest_release(manifest);
    ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
    manifest->feed = ldb_journal_feed_create(name, 0);
    if (manifest->feed == NULL)
        return ldb_error_no_memory(err);
    manifest->number = number;
    return LDB_OK;
}

/* ---- tables ---- */

/* Where the number is, or belongs. */
static size_t place_of(const struct repl_copy_manifest *manifest,
                       uint64_t number)
{
    size_t low = 0;
    size_t high = manifest->table_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (manifest->tables[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct repl_copy_manifest *manifest, size_t at,
                  uint64_t number)
{
    return at < manifest->table_count && manifest->tables[at].number == number;
}

const struct repl_copy_table *
repl_copy_manifest_table(const struct repl_copy_manifest *manifest,
                         uint64_t number)
{
    size_t at = place_of(manifest, number);

    return is_at(manifest, at, number) ? &manifest->tables[at] : NULL;
}

static void drop_table(struct repl_copy_manifest *manifest, uint64_t number)
{
    size_t at = place_of(manifest, number);

    if (!is_at(manifest, at, number))
        return;
    manifest->table_count--;
    memmove(&manifest->tables[at], &manifest->tables[at + 1],
            (manifest->table_count - at) * sizeof(manifest->tables[0]));
}

static enum ldb_status make_room(struct repl_copy_manifest *manifest)
{
    size_t capacity = manifest->table_capacity == 0
                          ? TABLES_MIN
                          : 2 * manifest->table_capacity;
    struct repl_copy_table *tables;

    if (manifest->table_count < manifest->table_capacity)
        return LDB_OK;
    tables = ldb_mem_realloc(manifest->tables, capacity, sizeof(*tables));
    if (tables == NULL)
        return LDB_NO_MEMORY;
    manifest->tables = tables;
    manifest->table_capacity = capacity;
    return LDB_OK;
}

static enum ldb_status add_table(struct repl_copy_manifest *manifest,
                                 uint64_t number, uint64_t size)
{
    size_t at = place_of(manifest, number);

    if (!is_at(manifest, at, number)) {
        if (make_room(manifest) != LDB_OK)
            return LDB_NO_MEMORY;
        memmove(&manifest->tables[at + 1], &manifest->tables[at],
                (manifest->table_count - at) * sizeof(manifest->tables[0]));
        manifest->table_count++;
    }
    manifest->tables[at] =
        (struct repl_copy_table){.number = number, .size = size};
    return LDB_OK;
}

/* ---- edits ---- */

static enum ldb_status apply(struct repl_copy_manifest *manifest,
                             const struct ldb_version_edit *edit)
{
    enum ldb_status s = LDB_OK;

    if (edit->has_comparator)
        (void)snprintf(manifest->comparator, sizeof(manifest->comparator), "%s",
                       edit->comparator);
    if (edit->has_log_number)
        manifest->log_number = edit->log_number;
    if (edit->has_next_file_number)
        manifest->next_file_number = edit->next_file_number;
    if (edit->has_last_sequence)
        manifest->last_sequence = edit->last_sequence;
    /* A table that moves to another level is dropped and added. */
    for (size_t i = 0; i < edit->deleted_count; i++)
        drop_table(manifest, edit->deleted[i].number);
    for (size_t i = 0; s == LDB_OK && i < edit->added_count; i++)
        s = add_table(manifest, edit->added[i].meta->number,
                      edit->added[i].meta->size);
    return s;
}

static enum ldb_status take_record(struct repl_copy_manifest *manifest,
                                   struct ldb_slice record,
                                   struct ldb_error *err)
{
    struct ldb_version_edit edit = {0};
    enum ldb_status s = ldb_version_edit_decode(&edit, record, err);
    char name[LDB_FILE_NAME_SIZE];

    if (s == LDB_OK && apply(manifest, &edit) != LDB_OK)
        s = ldb_error_no_memory(err);
    ldb_version_edit_release(&edit);
    ldb_file_name_print(name, LDB_FILE_MANIFEST, manifest->number);
    return s == LDB_OK ? s : ldb_error_prefix(err, s, "%s", name);
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct repl_copy_manifest *manifest = context;
    struct ldb_slice record = {0};
    enum ldb_status s = ldb_journal_feed_add(manifest->feed, bytes, err);

    while (s == LDB_OK) {
        s = ldb_journal_feed_next(manifest->feed, err, &record);
        if (s == LDB_OK)
            s = take_record(manifest, record, err);
    }
    if (s != LDB_NOT_FOUND)
        return s;
    manifest->len = ldb_journal_feed_whole_end(manifest->feed);
    ldb_journal_feed_take(manifest->feed);
    return LDB_OK;
}

enum ldb_status repl_copy_manifest_read(struct repl_copy_manifest *manifest,
                                        uint64_t number,
                                        struct repl_transport *transport,
                                        struct ldb_error *err)
{
    char name[LDB_FILE_NAME_SIZE];
    struct repl_get get = {
        .name = name,
        .head = repl_pass_head,
        .bytes = take_bytes,
        .context = manifest,
    };
    enum ldb_status s = LDB_OK;

    if (manifest->feed == NULL || manifest->number != number)
        s = begin(manifest, number, err);
    if (s != LDB_OK)
        return s;
    ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
    get.from = ldb_journal_feed_end(manifest->feed);
    s = transport->ops->get(transport, &get, err);
    /* An edit may have been taken in part; or a shorter file lies there now. */
    if (s == LDB_INVALID_ARGUMENT)
        s = LDB_IO;
    if (s != LDB_OK)
        repl_copy_manifest_release(manifest);
    return s;
}
