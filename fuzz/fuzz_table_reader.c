/*
 * Any bytes as a table: opened, walked both ways, asked for keys that it has
 * and has not; from a mapping and through reads. Checksums are off, or nothing
 * behind them would be reached. Every byte published is read, so that the
 * sanitizer sees one that is not there.
 */
#include <stdlib.h>

#include "storage/base/internal_key.h"
#include "storage/base/status.h"
#include "storage/table/table_reader.h"

/* Moves of an iterator for one input: a block may hold thousands of entries,
 * and going back over them can be slow when the restart points are few. */
#define MOVES_MAX 2000

/* Values are copied up to this; a longer one is TOO_LARGE. */
#define VALUE_MAX 4096

struct byte_file {
    struct ldb_random_file base;
    struct ldb_slice bytes;
};

static enum ldb_status byte_read_at(struct ldb_random_file *base,
                                    uint64_t offset, size_t n, uint8_t *scratch,
                                    struct ldb_slice *out,
                                    struct ldb_error *err)
{
    struct byte_file *file = (struct byte_file *)base;

    if (offset > file->bytes.len || n > file->bytes.len - offset)
        return ldb_error_set(err, LDB_CORRUPTION, "file ends early");
    memcpy(scratch, file->bytes.data + offset, n);
    *out = ldb_slice_make(scratch, n);
    return LDB_OK;
}

static void byte_close(struct ldb_random_file *base)
{
    (void)base;
}

static const struct ldb_random_file_ops byte_ops = {.read_at = byte_read_at,
                                                    .close = byte_close};

/* What was read, so that the reads are not optimised away. */
static volatile uint8_t seen;

static void touch(struct ldb_slice bytes)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < bytes.len; i++)
        sum = (uint8_t)(sum + bytes.data[i]);
    seen = sum;
}

/* A status is OK or says why. */
static void check(const struct ldb_iterator *it)
{
    if (it->valid) {
        touch(it->key);
        touch(it->value);
        if (it->status != LDB_OK || it->key.len < LDB_TAG_SIZE)
            abort();
    } else if (it->status != LDB_OK && it->error.message[0] == '\0') {
        abort();
    }
}

static void get(struct ldb_table *table, const struct ldb_table_read *read,
                struct ldb_slice target)
{
    struct ldb_buf value = LDB_BUF_INIT(VALUE_MAX);
    struct ldb_error err = {0};
    uint64_t tag;
    enum ldb_status s = ldb_table_get(table, read, target, &err, &value, &tag);

    if (s == LDB_OK)
        touch(ldb_slice_of_buf(&value));
    else if (s != LDB_NOT_FOUND && err.message[0] == '\0')
        abort();
    ldb_buf_release(&value);
    (void)ldb_table_approximate_offset(table, target);
}

static void walk(struct ldb_table *table, const struct ldb_table_read *read,
                 struct ldb_iterator *it)
{
    struct ldb_buf target = LDB_BUF_INIT(VALUE_MAX);
    size_t moves = 0;

    for (ldb_iterator_seek_first(it); it->valid && moves < MOVES_MAX; moves++) {
        check(it);
        /* Every 16th key is asked for, and turned round at. */
        if (moves % 16 == 0 && ldb_buf_assign(&target, it->key) == LDB_OK) {
            get(table, read, ldb_slice_of_buf(&target));
            ldb_iterator_prev(it);
            check(it);
            ldb_iterator_seek(it, ldb_slice_of_buf(&target));
            check(it);
            if (!it->valid)
                break;
        }
        ldb_iterator_next(it);
    }
    check(it);
    moves = 0;
    for (ldb_iterator_seek_last(it); it->valid && moves < MOVES_MAX; moves++) {
        check(it);
        ldb_iterator_prev(it);
    }
    check(it);
    ldb_buf_release(&target);
}

static void read_table(struct ldb_slice bytes, bool mapped)
{
    static const struct ldb_filter_policy bloom = {
        .name = LDB_BLOOM_NAME_GOLEVELDB, .bloom_bits_per_key = 10};
    const struct ldb_table_options options = {
        .comparator = ldb_comparator_bytewise(), .filter = &bloom};
    const struct ldb_table_read read = {0};
    struct byte_file file = {.base = {.ops = &byte_ops}, .bytes = bytes};
    struct ldb_table *table = NULL;
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};

    if (mapped)
        file.base.mapping = bytes;
    if (ldb_table_open(&file.base, bytes.len, "fuzz", &options, &err, &table) !=
        LDB_OK) {
        if (err.message[0] == '\0')
            abort();
        return;
    }
    get(table, &read, ldb_slice_str("\1\1\1\1\1\1\1\1"));
    get(table, &read, ldb_slice_str("key0001\1\377\377\377\377\377\377\377"));
    if (ldb_table_iterator_create(table, &read, &err, &it) == LDB_OK)
        walk(table, &read, it);
    ldb_iterator_destroy(it);
    ldb_table_close(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    read_table(ldb_slice_make(bytes, len), true);
    read_table(ldb_slice_make(bytes, len), false);
    return 0;
}
