/* Which tables a leader's edits make by compaction and drop again. */
#include "replication/edit_look_ahead.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/manifest_text.h"
#include "tests/support/mem_fault.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MANIFEST     4
#define TABLES_MAX   8

static struct manifest_text f;

static enum ldb_status look(size_t from, size_t max, uint64_t *out,
                            size_t *out_count)
{
    return repl_edit_look_ahead(
        MANIFEST, from,
        ldb_slice_make(f.file.bytes.data + from, f.file.bytes.len - from),
        &f.err, out, max, out_count);
}

static void those_that_came_and_went_are_found(void **state)
{
    static const struct {
        const char *records;
        size_t max;
        size_t count;
        uint64_t tables[TABLES_MAX];
    } rows[] = {
        {"+0:3", 8, 0, {0}},
        {"l5 +0:3;-0:3 +1:4", 8, 0, {0}}, /* of a flush; and it stays */
        {"-0:3 +1:4;-1:4 +2:5", 8, 1, {4}},
        {"-0:3 +1:4;-1:4 +2:4", 8, 0, {0}}, /* it moves */
        {"-0:3 +1:4;-1:4 +2:4;-2:4 +3:5", 8, 1, {4}},
        {"-0:3 +0:3;-0:3", 8, 0, {0}}, /* moved, and made by none of these */
        {"-0:3 +1:4 +1:5 +1:6;-1:5;-1:4;l7 +0:7;-1:6", 8, 1, {6}},
        {"-0:3 +1:4;-0:2 +1:5;-1:5 +2:6;-1:4 -2:6", 8, 3, {4, 5, 6}},
        {"-0:3 +1:4;-0:2 +1:5;-1:5 +2:6;-1:4 -2:6", 2, 2, {4, 5}},
        {"-0:3 +1:9;-0:2 +1:5;-1:5 -1:9", 8, 2, {9, 5}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t tables[TABLES_MAX] = {0};
        size_t count = 77;
        size_t from;

        manifest_text_open(&f);
        manifest_text_write(&f, "n");
        from = f.file.bytes.len;
        manifest_text_write(&f, rows[i].records);
        assert_ldb_ok(look(from, rows[i].max, tables, &count), &f.err);
        if (count != rows[i].count)
            fail_msg("%s: %zu tables", rows[i].records, count);
        assert_memory_equal(rows[i].tables, tables, sizeof(tables));
        manifest_text_close(&f);
    }
}

static void many_are_found(void **state)
{
    uint64_t tables[64] = {0};
    size_t count = 0;

    (void)state;
    manifest_text_open(&f);
    for (unsigned n = 0; n < 60; n++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "-1:%u -1:%u +1:%u +1:%u", 2 * n,
                       2 * n + 1, 2 * n + 2, 2 * n + 3);
        manifest_text_write(&f, text);
    }
    assert_ldb_ok(look(0, 64, tables, &count), &f.err);
    assert_int_equal(59, count);
    for (unsigned n = 0; n < count; n++)
        assert_int_equal(2 * n + 3, tables[n]);
    manifest_text_close(&f);
}

static void damage_is_told_with_its_place(void **state)
{
    uint64_t tables[TABLES_MAX];
    size_t count = 77;

    (void)state;
    manifest_text_open(&f);
    manifest_text_write(&f, "-0:3 +1:4;-1:4");
    manifest_text_write_record(&f, ldb_slice_str("\x63nothing"));
    assert_ldb_status(LDB_CORRUPTION, look(0, TABLES_MAX, tables, &count),
                      &f.err);
    assert_ldb_message("MANIFEST-000004: edit at", &f.err);
    f.file.bytes.data[f.ends[0] + 8] ^= 1;
    assert_ldb_status(LDB_CORRUPTION, look(0, TABLES_MAX, tables, &count),
                      &f.err);
    assert_ldb_message("MANIFEST-000004", &f.err);
    assert_int_equal(77, count);
    manifest_text_close(&f);
}

static void no_memory_is_told(void **state)
{
    uint64_t tables[TABLES_MAX];
    size_t count = 77;

    (void)state;
    manifest_text_open(&f);
    manifest_text_write(&f, "-0:3 +1:4;-1:4 +2:5");
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = look(0, TABLES_MAX, tables, &count);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
        assert_int_equal(77, count);
    }
    assert_int_equal(1, count);
    manifest_text_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_came_and_went_are_found),
        cmocka_unit_test(many_are_found),
        cmocka_unit_test(damage_is_told_with_its_place),
        cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
