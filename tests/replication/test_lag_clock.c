#include "replication/lag_clock.h"

#include "tests/support/assert_ldb.h"

#define STEP REPL_LAG_INTERVAL_US

static void what_is_lacked_has_been_there_since_its_moment(void **state)
{
    static struct repl_lag_clock clock;

    (void)state;
    assert_int_equal(0, repl_lag_clock_behind_us(&clock, 5, 0));
    repl_lag_clock_note(&clock, 10 * STEP, 100);
    repl_lag_clock_note(&clock, 11 * STEP, 200);
    repl_lag_clock_note(&clock, 15 * STEP, 300);
    /* Has all. */
    assert_int_equal(0, repl_lag_clock_behind_us(&clock, 20 * STEP, 300));
    assert_int_equal(0, repl_lag_clock_behind_us(&clock, 20 * STEP, 301));
    /* Lacks something after 299, 200, 199, 0. */
    assert_int_equal(5 * STEP,
                     repl_lag_clock_behind_us(&clock, 20 * STEP, 299));
    assert_int_equal(5 * STEP,
                     repl_lag_clock_behind_us(&clock, 20 * STEP, 200));
    assert_int_equal(9 * STEP,
                     repl_lag_clock_behind_us(&clock, 20 * STEP, 199));
    assert_int_equal(10 * STEP, repl_lag_clock_behind_us(&clock, 20 * STEP, 0));
}

static void standing_still_and_haste_make_no_moments(void **state)
{
    static struct repl_lag_clock clock;

    (void)state;
    repl_lag_clock_note(&clock, STEP, 100);
    repl_lag_clock_note(&clock, 9 * STEP, 100);
    assert_int_equal(1, clock.count);
    repl_lag_clock_note(&clock, 10 * STEP, 101);
    repl_lag_clock_note(&clock, 11 * STEP - 1, 102);
    assert_int_equal(2, clock.count);
    /* What came in haste is of the next moment. */
    assert_int_equal(0, repl_lag_clock_behind_us(&clock, 12 * STEP, 101));
    repl_lag_clock_note(&clock, 11 * STEP, 102);
    assert_int_equal(STEP, repl_lag_clock_behind_us(&clock, 12 * STEP, 101));
}

static void what_is_forgotten_counts_as_the_oldest_moment(void **state)
{
    static struct repl_lag_clock clock;
    const uint64_t count = REPL_LAG_MOMENTS + 100;
    const uint64_t now_us = (count + 5) * STEP;

    (void)state;
    for (uint64_t i = 1; i <= count; i++)
        repl_lag_clock_note(&clock, i * STEP, i * 10);
    assert_int_equal(REPL_LAG_MOMENTS, clock.count);
    assert_int_equal(now_us - 101 * STEP,
                     repl_lag_clock_behind_us(&clock, now_us, 0));
    assert_int_equal(now_us - 101 * STEP,
                     repl_lag_clock_behind_us(&clock, now_us, 1009));
    assert_int_equal(now_us - 102 * STEP,
                     repl_lag_clock_behind_us(&clock, now_us, 1010));
    assert_int_equal(now_us - count * STEP,
                     repl_lag_clock_behind_us(&clock, now_us, count * 10 - 1));
    assert_int_equal(0, repl_lag_clock_behind_us(&clock, now_us, count * 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_lacked_has_been_there_since_its_moment),
        cmocka_unit_test(standing_still_and_haste_make_no_moments),
        cmocka_unit_test(what_is_forgotten_counts_as_the_oldest_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
