#include "storage/table/table_sample.h"

#include <stdio.h>

#include "storage/base/internal_key.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/table_file.h"

#define MANY 4000

static const struct ldb_table_read verified = {.verify_checksums = true};

/* A table of count entries; every delete_every-th (0: none) a delete mark. */
static void build(const struct ldb_table_options *options, size_t count,
                  size_t delete_every, struct ldb_buf *out)
{
    static struct vector_entry entries[MANY];

    for (size_t i = 0; i < count; i++) {
        bool is_mark = delete_every > 0 && i % delete_every == 0;
        char key[32];

        (void)snprintf(key, sizeof(key), "key%06zu", i);
        entries[i] =
            vector_entry_make(key, 7, is_mark ? LDB_KIND_DELETE : LDB_KIND_PUT,
                              is_mark ? "" : "value");
    }
    table_file_build(options, entries, count, out);
}

static enum ldb_status sample(const struct ldb_buf *file, uint64_t blocks_max,
                              size_t *out_reads, struct ldb_table_counts *out)
{
    struct ldb_table_options options = table_file_options();
    struct ldb_table *table = NULL;
    struct table_source source;
    struct ldb_error err = {0};
    enum ldb_status s;

    table_source_init(&source, ldb_slice_of_buf(file), false);
    assert_ldb_ok(ldb_table_open(&source.base, file->len, "000009.ldb",
                                 &options, &err, &table),
                  &err);
    *out_reads = source.reads;
    s = ldb_table_sample(table, &verified, blocks_max, &err, out);
    *out_reads = source.reads - *out_reads;
    assert_int_equal(s, err.status);
    ldb_table_close(table);
    return s;
}

static void all_blocks_counted_are_exact(void **state)
{
    static const struct {
        size_t count;
        size_t delete_every;
        uint64_t deletes;
    } rows[] = {
        {1, 0, 0}, {1, 1, 1}, {MANY, 0, 0}, {MANY, 3, 1334}, {MANY, 1, MANY}};
    const struct ldb_table_options options = table_file_options();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
        struct ldb_table_counts counts = {0};
        size_t reads;

        build(&options, rows[i].count, rows[i].delete_every, &file);
        assert_int_equal(sample(&file, UINT64_MAX / 4, &reads, &counts),
                         LDB_OK);
        assert_int_equal(counts.entries, rows[i].count);
        assert_int_equal(counts.deletes, rows[i].deletes);
        ldb_buf_release(&file);
    }
}

static void a_few_blocks_stand_for_all(void **state)
{
    const struct ldb_table_options options = table_file_options();
    struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);

    (void)state;
    build(&options, MANY, 2, &file);
    for (uint64_t blocks = 1; blocks <= 8; blocks++) {
        struct ldb_table_counts counts = {0};
        size_t reads;

        assert_int_equal(sample(&file, blocks, &reads, &counts), LDB_OK);
        assert_int_equal(reads, blocks);
        assert_in_range(counts.entries, MANY - MANY / 8, MANY + MANY / 8);
        assert_in_range(counts.deletes * 100 / counts.entries, 48, 52);
    }
    ldb_buf_release(&file);
}

static void a_table_without_entries_counts_none(void **state)
{
    const struct ldb_table_options options = table_file_options();
    struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
    struct ldb_table_counts counts = {.entries = 5, .deletes = 5};
    size_t reads;

    (void)state;
    table_file_build(&options, NULL, 0, &file);
    assert_int_equal(sample(&file, 3, &reads, &counts), LDB_OK);
    assert_int_equal(counts.entries, 0);
    assert_int_equal(counts.deletes, 0);
    ldb_buf_release(&file);
}

static void damage_is_told_and_nothing_counted(void **state)
{
    const struct ldb_table_options options = table_file_options();
    struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
    struct ldb_table_counts counts = {.entries = 5, .deletes = 4};
    size_t reads;

    (void)state;
    build(&options, 10, 2, &file);
    file.data[3] ^= 1;
    assert_int_equal(sample(&file, 1, &reads, &counts), LDB_CORRUPTION);
    assert_int_equal(counts.entries, 5);
    assert_int_equal(counts.deletes, 4);
    ldb_buf_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_blocks_counted_are_exact),
        cmocka_unit_test(a_few_blocks_stand_for_all),
        cmocka_unit_test(a_table_without_entries_counts_none),
        cmocka_unit_test(damage_is_told_and_nothing_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
