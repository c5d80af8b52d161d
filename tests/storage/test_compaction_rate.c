/* Bytes a second of busy time. */
#include "storage/compaction_rate.h"

#include "tests/support/assert_ldb.h"

#define SECOND UINT64_C(1000000)

static void nothing_is_known_at_first(void **state)
{
    struct ldb_compaction_rate rate = {0};

    (void)state;
    assert_int_equal(ldb_compaction_rate_merged(&rate), 0);
    ldb_compaction_rate_begin(&rate, 5);
    ldb_compaction_rate_end(&rate, 5, 100, 0);
    assert_int_equal(ldb_compaction_rate_merged(&rate), 0);
}

static void idle_time_does_not_count(void **state)
{
    struct ldb_compaction_rate rate = {0};

    (void)state;
    ldb_compaction_rate_begin(&rate, 1 * SECOND);
    ldb_compaction_rate_end(&rate, 2 * SECOND, 1000, 400);
    ldb_compaction_rate_begin(&rate, 100 * SECOND);
    ldb_compaction_rate_end(&rate, 101 * SECOND, 3000, 0);
    assert_int_equal(ldb_compaction_rate_merged(&rate), 2000);
    assert_int_equal(ldb_compaction_rate_drained(&rate), 200);
}

static void two_at_once_are_twice_as_fast(void **state)
{
    struct ldb_compaction_rate rate = {0};

    (void)state;
    ldb_compaction_rate_begin(&rate, 0);
    ldb_compaction_rate_begin(&rate, 0);
    ldb_compaction_rate_end(&rate, 2 * SECOND, 1000, 0);
    ldb_compaction_rate_end(&rate, 2 * SECOND, 1000, 0);
    assert_int_equal(ldb_compaction_rate_merged(&rate), 1000);
}

static void what_was_long_ago_fades(void **state)
{
    struct ldb_compaction_rate rate = {0};

    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        ldb_compaction_rate_begin(&rate, i * SECOND);
        ldb_compaction_rate_end(&rate, (i + 1) * SECOND, i < 500 ? 9000 : 1000,
                                0);
    }
    assert_in_range(ldb_compaction_rate_merged(&rate), 1000, 1010);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(idle_time_does_not_count),
        cmocka_unit_test(two_at_once_are_twice_as_fast),
        cmocka_unit_test(what_was_long_ago_fades),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
