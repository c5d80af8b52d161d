#include "replication/rate.h"

#include "tests/support/assert_ldb.h"

/* A clock that has run for long. */
#define SECOND UINT64_C(1000000)
#define BEGUN  (UINT64_C(5000) * SECOND + 250000)

static void nothing_is_nothing_a_second(void **state)
{
    struct repl_rate rate;

    (void)state;
    repl_rate_begin(&rate, BEGUN);
    assert_int_equal(0, repl_rate_per_second(&rate, BEGUN));
    assert_int_equal(0, repl_rate_per_second(&rate, BEGUN + 100 * SECOND));
}

/* It does not say more than has come in its first second. */
static void a_burst_is_no_more_than_what_came(void **state)
{
    struct repl_rate rate;

    (void)state;
    repl_rate_begin(&rate, BEGUN);
    repl_rate_add(&rate, BEGUN + 10, 300);
    assert_int_equal(300, repl_rate_per_second(&rate, BEGUN + 20));
    assert_int_equal(300, repl_rate_per_second(&rate, BEGUN + SECOND));
    assert_int_equal(150, repl_rate_per_second(&rate, BEGUN + 2 * SECOND));
}

static void what_comes_evenly_is_told_as_it_comes(void **state)
{
    struct repl_rate rate;

    (void)state;
    repl_rate_begin(&rate, BEGUN);
    for (unsigned i = 0; i < 400; i++) {
        uint64_t now = BEGUN + i * (SECOND / 10);

        repl_rate_add(&rate, now, 10);
        if (i < 20)
            continue;
        assert_in_range(repl_rate_per_second(&rate, now), 98, 110);
    }
}

static void what_has_stopped_is_forgotten(void **state)
{
    struct repl_rate rate;

    (void)state;
    repl_rate_begin(&rate, BEGUN);
    for (unsigned i = 0; i < 10; i++)
        repl_rate_add(&rate, BEGUN + i * SECOND, 800);
    assert_true(repl_rate_per_second(&rate, BEGUN + 12 * SECOND) > 400);
    assert_int_equal(0, repl_rate_per_second(
                            &rate, BEGUN + (9 + REPL_RATE_SECONDS) * SECOND));
    repl_rate_add(&rate, BEGUN + 100 * SECOND, 800);
    assert_in_range(repl_rate_per_second(&rate, BEGUN + 100 * SECOND), 100,
                    120);
}

/* One that was held up before it counted. */
static void a_late_count_is_not_lost(void **state)
{
    struct repl_rate rate;

    (void)state;
    repl_rate_begin(&rate, BEGUN);
    repl_rate_add(&rate, BEGUN + 3 * SECOND, 100);
    repl_rate_add(&rate, BEGUN + SECOND, 300);
    assert_int_equal(100, repl_rate_per_second(&rate, BEGUN + 4 * SECOND));
}

static void a_clock_may_begin_at_nothing(void **state)
{
    struct repl_rate rate;

    (void)state;
    repl_rate_begin(&rate, 0);
    repl_rate_add(&rate, 0, 7);
    assert_int_equal(7, repl_rate_per_second(&rate, 0));
    assert_int_equal(7, repl_rate_per_second(&rate, SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_nothing_a_second),
        cmocka_unit_test(a_burst_is_no_more_than_what_came),
        cmocka_unit_test(what_comes_evenly_is_told_as_it_comes),
        cmocka_unit_test(what_has_stopped_is_forgotten),
        cmocka_unit_test(a_late_count_is_not_lost),
        cmocka_unit_test(a_clock_may_begin_at_nothing),
    };

    return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
