/* Defaults are filled in, and what is out of range is named. */
#include <stddef.h>
#include <string.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"

static void zeros_become_the_defaults(void **state)
{
    const struct ldb_options zero = {0};
    struct ldb_options defaults;
    struct ldb_options out;
    struct ldb_error err = {0};

    (void)state;
    ldb_options_init(&defaults);
    assert_ldb_ok(ldb_options_complete(&zero, &err, &out), &err);
    assert_int_equal(out.write_buffer_bytes, 4 << 20);
    assert_int_equal(out.table_bytes, 2 << 20);
    assert_int_equal(out.block_bytes, 4096);
    assert_int_equal(out.block_restart_interval, 16);
    assert_int_equal(out.block_cache_bytes, 8 << 20);
    assert_int_equal(out.open_tables_max, 500);
    assert_int_equal(out.l0_compaction_trigger, 4);
    assert_int_equal(out.l0_slowdown_trigger, 8);
    assert_int_equal(out.l0_stop_trigger, 12);
    assert_int_equal(out.level1_bytes, 100 << 20);
    assert_int_equal(out.level_multiplier, 10);
    assert_int_equal(out.immutable_memtables_max,
                     defaults.immutable_memtables_max);
    assert_int_equal(out.manifest_rotate_bytes, 64 << 20);
    assert_ptr_equal(out.env, ldb_env_posix());
    assert_non_null(out.comparator);
    assert_ldb_ok(ldb_options_complete(NULL, &err, &out), &err);
    assert_true(out.compress && out.verify_checksums);
    assert_int_equal(out.bloom_bits, 10);
}

static void each_value_has_its_range(void **state)
{
    static const struct row {
        const char *name;
        size_t offset;
        size_t size;
        uint64_t value;
    } rows[] = {
#define ROW(field, bad)                                                        \
    {#field, offsetof(struct ldb_options, field),                              \
     sizeof(((struct ldb_options *)NULL)->field), (bad)}
        ROW(write_buffer_bytes, 1023),
        ROW(write_buffer_bytes, UINT64_C(4097) << 20),
        ROW(immutable_memtables_max, 16),
        ROW(table_bytes, 1023),
        ROW(block_bytes, 63),
        ROW(block_restart_interval, 4097),
        ROW(bloom_bits, 201),
        ROW(l0_compaction_trigger, 1000001),
        ROW(l0_stop_trigger, 1000001),
        ROW(level1_bytes, 1023),
        ROW(level_multiplier, 1),
        ROW(batch_bytes_max, 1023),
        ROW(write_queue_bytes_max, 1023),
        ROW(manifest_rotate_bytes, 1023),
        /* Below the slowdown trigger. */
        ROW(l0_stop_trigger, 7),
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_options options;
        struct ldb_options out = {0};
        struct ldb_error err = {0};
        uint32_t narrow = (uint32_t)rows[i].value;
        char *field = (char *)&options + rows[i].offset;

        ldb_options_init(&options);
        if (rows[i].size == sizeof(narrow))
            memcpy(field, &narrow, sizeof(narrow));
        else
            memcpy(field, &rows[i].value, sizeof(rows[i].value));
        assert_ldb_status(LDB_INVALID_ARGUMENT,
                          ldb_options_complete(&options, &err, &out), &err);
        assert_ldb_message(rows[i].name, &err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeros_become_the_defaults),
        cmocka_unit_test(each_value_has_its_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
