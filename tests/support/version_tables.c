#include "tests/support/version_tables.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/table/table_builder.h"
#include "storage/version/file_names.h"
#include "storage/version/version_builder.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/version_rows.h"

/* Limit of an entry's text and of a table's file; chosen. */
#define ENTRY_MAX 256
#define FILE_MAX  ((size_t)1 << 20)

void version_tables_init(struct version_tables *tables)
{
    struct ldb_error err = {0};

    *tables = (struct version_tables){
        .options = {.comparator = ldb_comparator_bytewise(),
                    .block_size = 4096,
                    .restart_interval = 16},
        .read = {.verify_checksums = true, .fill_cache = true}};
    assert_ldb_ok(ldb_env_memory_create(&err, &tables->env), &err);
    assert_ldb_ok(
        tables->env->ops->create_dir(tables->env, VERSION_TABLES_DIR, &err),
        &err);
    assert_ldb_ok(ldb_table_cache_create(tables->env, VERSION_TABLES_DIR,
                                         &tables->options, 100, &err,
                                         &tables->cache),
                  &err);
}

void version_tables_release(struct version_tables *tables)
{
    ldb_version_edit_release(&tables->edit);
    ldb_table_cache_destroy(tables->cache);
    ldb_env_memory_destroy(tables->env);
}

/* Splits "key@7=value" or "key@7d"; text is cut up. */
static struct ldb_buf take_entry(char *text, struct ldb_slice *out_value)
{
    char *equals = strchr(text, '=');

    *out_value = (struct ldb_slice){0};
    if (equals != NULL) {
        *equals = '\0';
        *out_value = ldb_slice_str(equals + 1);
    }
    return version_rows_key(text);
}

static void write_table(struct version_tables *tables, uint64_t number,
                        const char *entries, struct ldb_buf *smallest,
                        struct ldb_buf *largest, uint64_t *out_size)
{
    struct ldb_error err = {0};
    struct ldb_writable_file *file = NULL;
    struct ldb_table_builder *builder = NULL;
    char *path = ldb_file_path(VERSION_TABLES_DIR, LDB_FILE_TABLE, number);
    char *texts = ldb_mem_strdup(entries);
    char *next = texts;
    char *text;

    assert_non_null(path);
    assert_non_null(texts);
    assert_ldb_ok(tables->env->ops->open_writable(
                      tables->env, path, LDB_OPEN_TRUNCATE, &err, &file),
                  &err);
    assert_ldb_ok(
        ldb_table_builder_create(file, &tables->options, &err, &builder), &err);
    while ((text = strsep(&next, " ")) != NULL) {
        struct ldb_slice value;
        struct ldb_buf key = take_entry(text, &value);

        assert_ldb_ok(
            ldb_table_builder_add(builder, ldb_slice_of_buf(&key), value, &err),
            &err);
        if (smallest->len == 0)
            assert_ldb_ok(ldb_buf_assign(smallest, ldb_slice_of_buf(&key)),
                          NULL);
        assert_ldb_ok(ldb_buf_assign(largest, ldb_slice_of_buf(&key)), NULL);
        ldb_buf_release(&key);
    }
    assert_ldb_ok(ldb_table_builder_finish(builder, &err), &err);
    *out_size = ldb_table_builder_file_size(builder);
    ldb_table_builder_destroy(builder);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    ldb_mem_free(texts);
    ldb_mem_free(path);
}

void version_tables_add(struct version_tables *tables, uint32_t level,
                        uint64_t number, const char *entries)
{
    struct ldb_buf smallest = LDB_BUF_INIT(ENTRY_MAX);
    struct ldb_buf largest = LDB_BUF_INIT(ENTRY_MAX);
    struct ldb_file_meta *meta;
    uint64_t size = 0;

    write_table(tables, number, entries, &smallest, &largest, &size);
    meta = ldb_file_meta_create(number, size, ldb_slice_of_buf(&smallest),
                                ldb_slice_of_buf(&largest));
    assert_non_null(meta);
    assert_ldb_ok(ldb_version_edit_add_file(&tables->edit, level, meta), NULL);
    ldb_file_meta_unref(meta);
    ldb_buf_release(&smallest);
    ldb_buf_release(&largest);
}

void version_tables_damage(struct version_tables *tables, uint64_t number)
{
    struct ldb_error err = {0};
    struct ldb_writable_file *file = NULL;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    char *path = ldb_file_path(VERSION_TABLES_DIR, LDB_FILE_TABLE, number);

    assert_non_null(path);
    assert_ldb_ok(ldb_env_read_file(tables->env, path, &err, &bytes), &err);
    bytes.data[5] ^= 0x40;
    assert_ldb_ok(tables->env->ops->open_writable(
                      tables->env, path, LDB_OPEN_TRUNCATE, &err, &file),
                  &err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_of_buf(&bytes), &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    ldb_table_cache_evict(tables->cache, number);
    ldb_buf_release(&bytes);
    ldb_mem_free(path);
}

struct ldb_version *version_tables_make(struct version_tables *tables)
{
    struct ldb_version_builder *builder = NULL;
    struct ldb_version *version = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_version_builder_create(tables->options.comparator, NULL,
                                             &err, &builder),
                  &err);
    assert_ldb_ok(ldb_version_builder_apply(builder, &tables->edit, &err),
                  &err);
    assert_ldb_ok(ldb_version_builder_finish(builder, &err, &version), &err);
    ldb_version_builder_destroy(builder);
    return version;
}

void version_tables_walk(struct ldb_iterator *it, bool backwards,
                         struct ldb_buf *out)
{
    while (it->valid) {
        struct ldb_parsed_key key;

        assert_true(ldb_internal_key_parse(it->key, &key));
        assert_ldb_ok(
            ldb_buf_printf(
                out, "%s%.*s@%" PRIu64 "%s%.*s", out->len == 0 ? "" : " ",
                (int)key.user_key.len, (const char *)key.user_key.data,
                key.sequence, key.kind == LDB_KIND_PUT ? "=" : "d",
                (int)it->value.len,
                it->value.len == 0 ? "" : (const char *)it->value.data),
            NULL);
        if (backwards)
            ldb_iterator_prev(it);
        else
            ldb_iterator_next(it);
    }
}
