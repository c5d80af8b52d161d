#include "tests/support/memory_file.h"

#include "tests/support/assert_ldb.h"

static struct memory_file *of(struct ldb_writable_file *file)
{
    /* base is the first member. */
    return (struct memory_file *)file;
}

static enum ldb_status file_append(struct ldb_writable_file *base,
                                   struct ldb_slice bytes,
                                   struct ldb_error *err)
{
    struct memory_file *file = of(base);

    assert_false(file->is_closed);
    file->append_count++;
    if (file->fail_append) {
        if (bytes.len > file->fail_append_after)
            bytes.len = file->fail_append_after;
        file->fail_append = false;
        assert_ldb_ok(ldb_buf_append(&file->bytes, bytes), NULL);
        return ldb_error_set(err, LDB_NO_SPACE, "append fails on purpose");
    }
    return ldb_buf_append(&file->bytes, bytes);
}

static enum ldb_status file_sync(struct ldb_writable_file *base,
                                 struct ldb_error *err)
{
    struct memory_file *file = of(base);

    assert_false(file->is_closed);
    file->sync_count++;
    if (file->fail_sync)
        return ldb_error_set(err, LDB_IO, "sync fails on purpose");
    file->synced_len = file->bytes.len;
    return LDB_OK;
}

static enum ldb_status file_truncate(struct ldb_writable_file *base,
                                     uint64_t len, struct ldb_error *err)
{
    struct memory_file *file = of(base);

    assert_false(file->is_closed);
    assert_true(len <= file->bytes.len);
    if (file->fail_truncate)
        return ldb_error_set(err, LDB_IO, "truncate fails on purpose");
    file->bytes.len = (size_t)len;
    return LDB_OK;
}

static enum ldb_status file_close(struct ldb_writable_file *base,
                                  struct ldb_error *err)
{
    struct memory_file *file = of(base);

    assert_false(file->is_closed);
    file->is_closed = true;
    if (file->fail_close)
        return ldb_error_set(err, LDB_IO, "close fails on purpose");
    return LDB_OK;
}

static const struct ldb_writable_file_ops file_ops = {
    .append = file_append,
    .sync = file_sync,
    .truncate = file_truncate,
    .close = file_close,
};

void memory_file_init(struct memory_file *file)
{
    *file = (struct memory_file){
        .base = {.ops = &file_ops},
        .bytes = LDB_BUF_INIT(MEMORY_FILE_MAX),
    };
}

void memory_file_release(struct memory_file *file)
{
    ldb_buf_release(&file->bytes);
}

static enum ldb_status source_read(struct ldb_sequential_file *base, size_t n,
                                   uint8_t *scratch, size_t *out_len,
                                   struct ldb_error *err)
{
    struct memory_source *source = (struct memory_source *)base;

    if (source->read_max != 0 && n > source->read_max)
        n = source->read_max;
    if (n > source->left.len)
        n = source->left.len;
    if (source->fail_after != SIZE_MAX) {
        if (source->fail_after == 0)
            return ldb_error_set(err, LDB_IO, "read fails on purpose");
        if (n > source->fail_after)
            n = source->fail_after;
        source->fail_after -= n;
    }
    if (n != 0)
        memcpy(scratch, source->left.data, n);
    source->left = ldb_slice_make(source->left.data + n, source->left.len - n);
    *out_len = n;
    return LDB_OK;
}

static enum ldb_status source_skip(struct ldb_sequential_file *base, uint64_t n,
                                   struct ldb_error *err)
{
    struct memory_source *source = (struct memory_source *)base;

    (void)err;
    if (n > source->left.len)
        n = source->left.len;
    source->left =
        ldb_slice_make(source->left.data + n, source->left.len - (size_t)n);
    return LDB_OK;
}

static void source_close(struct ldb_sequential_file *base)
{
    (void)base;
}

static const struct ldb_sequential_file_ops source_ops = {
    .read = source_read,
    .skip = source_skip,
    .close = source_close,
};

void memory_source_init(struct memory_source *source, struct ldb_slice bytes)
{
    *source = (struct memory_source){
        .base = {.ops = &source_ops},
        .left = bytes,
        .fail_after = SIZE_MAX,
    };
}
