#include "tests/support/table_file.h"

#include <stdio.h>

#include "storage/table/table_builder.h"
#include "tests/support/assert_ldb.h"

static enum ldb_status sink_append(struct ldb_writable_file *file,
                                   struct ldb_slice bytes,
                                   struct ldb_error *err)
{
    struct table_sink *sink = (struct table_sink *)file;

    sink->append_calls++;
    if (sink->fail_append != 0 && sink->append_calls >= sink->fail_append)
        return ldb_error_set(err, LDB_NO_SPACE, "sink is full");
    return ldb_buf_append(&sink->bytes, bytes);
}

static enum ldb_status sink_sync(struct ldb_writable_file *file,
                                 struct ldb_error *err)
{
    (void)file;
    return ldb_error_set(err, LDB_IO, "a builder does not sync");
}

static enum ldb_status sink_truncate(struct ldb_writable_file *file,
                                     uint64_t len, struct ldb_error *err)
{
    (void)file;
    (void)len;
    return ldb_error_set(err, LDB_IO, "a builder does not truncate");
}

static const struct ldb_writable_file_ops sink_ops = {
    .append = sink_append,
    .sync = sink_sync,
    .truncate = sink_truncate,
    .close = sink_sync,
};

void table_sink_init(struct table_sink *sink)
{
    *sink = (struct table_sink){
        .base = {.ops = &sink_ops},
        .bytes = LDB_BUF_INIT(TABLE_FILE_MAX),
    };
}

static enum ldb_status source_read_at(struct ldb_random_file *file,
                                      uint64_t offset, size_t n,
                                      uint8_t *scratch, struct ldb_slice *out,
                                      struct ldb_error *err)
{
    struct table_source *source = (struct table_source *)file;

    source->reads++;
    source->last_read_offset = offset;
    if (offset > source->bytes.len || n > source->bytes.len - offset)
        return ldb_error_set(err, LDB_CORRUPTION, "file ends at %zu",
                             source->bytes.len);
    if (file->mapping.len > 0) {
        *out = ldb_slice_make(file->mapping.data + offset, n);
        return LDB_OK;
    }
    memcpy(scratch, source->bytes.data + offset, n);
    *out = ldb_slice_make(scratch, n);
    return LDB_OK;
}

static void source_close(struct ldb_random_file *file)
{
    struct table_source *source = (struct table_source *)file;

    assert_false(source->is_closed);
    source->is_closed = true;
}

static const struct ldb_random_file_ops source_ops = {
    .read_at = source_read_at,
    .close = source_close,
};

void table_source_init(struct table_source *source, struct ldb_slice bytes,
                       bool mapped)
{
    *source =
        (struct table_source){.base = {.ops = &source_ops}, .bytes = bytes};
    if (mapped)
        source->base.mapping = bytes;
}

struct ldb_table_options table_file_options(void)
{
    return (struct ldb_table_options){
        .comparator = ldb_comparator_bytewise(),
        .block_size = 4096,
        .restart_interval = 16,
        .verify_index_checksums = true,
    };
}

void table_file_build(const struct ldb_table_options *options,
                      const struct vector_entry *entries, size_t count,
                      struct ldb_buf *out)
{
    struct ldb_table_builder *builder = NULL;
    struct ldb_error err = {0};
    struct table_sink sink;

    table_sink_init(&sink);
    assert_ldb_ok(ldb_table_builder_create(&sink.base, options, &err, &builder),
                  &err);
    for (size_t i = 0; i < count; i++)
        assert_ldb_ok(
            ldb_table_builder_add(builder, vector_entry_key(&entries[i]),
                                  ldb_slice_str(entries[i].value), &err),
            &err);
    assert_ldb_ok(ldb_table_builder_finish(builder, &err), &err);
    assert_int_equal(ldb_table_builder_file_size(builder), sink.bytes.len);
    assert_int_equal(ldb_table_builder_entry_count(builder), count);
    ldb_table_builder_destroy(builder);
    assert_ldb_ok(ldb_buf_append(out, ldb_slice_of_buf(&sink.bytes)), NULL);
    ldb_buf_release(&sink.bytes);
}

void table_file_entries(struct vector_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char user[24];

        (void)snprintf(user, sizeof(user), "key%06zu", i);
        entries[i] = vector_entry_make(user, 100, 1, user);
    }
}
