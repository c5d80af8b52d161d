/* Reading at a rate, with a clock that the test sets. */
#include "replication/scrub_pace.h"

#include "tests/support/assert_ldb.h"

#define SECOND_US UINT64_C(1000000)

static void bytes_are_paid_for_before_the_next(void **state)
{
    struct repl_scrub_pace pace = {.rate = 1000};
    const uint64_t begin = 77 * SECOND_US;

    (void)state;
    /* What comes first is read at once. */
    assert_int_equal(0, repl_scrub_pace_take(&pace, begin, 500));
    assert_int_equal(SECOND_US / 2, repl_scrub_pace_take(&pace, begin, 250));
    /* Some of the time has passed. */
    assert_int_equal(SECOND_US / 4,
                     repl_scrub_pace_take(&pace, begin + SECOND_US / 2, 1000));
    assert_int_equal(0,
                     repl_scrub_pace_take(&pace, begin + SECOND_US * 7 / 4, 1));
}

static void a_rest_is_not_made_up_for(void **state)
{
    struct repl_scrub_pace pace = {.rate = 1000};

    (void)state;
    assert_int_equal(0, repl_scrub_pace_take(&pace, SECOND_US, 1000));
    assert_int_equal(0, repl_scrub_pace_take(&pace, 100 * SECOND_US, 1000));
    assert_int_equal(SECOND_US,
                     repl_scrub_pace_take(&pace, 100 * SECOND_US, 1000));
}

static void no_bytes_cost_nothing(void **state)
{
    struct repl_scrub_pace pace = {.rate = 1};

    (void)state;
    assert_int_equal(0, repl_scrub_pace_take(&pace, SECOND_US, 0));
    assert_int_equal(0, repl_scrub_pace_take(&pace, SECOND_US, 0));
}

/* The sum over a minute is the rate, whatever the pieces. */
static void the_rate_is_kept(void **state)
{
    static const uint64_t rates[] = {1000, 8 << 20, UINT64_C(1) << 40};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct repl_scrub_pace pace = {.rate = rates[i]};
        uint64_t now = SECOND_US;
        uint64_t piece = rates[i] / 37;
        uint64_t bytes = 0;

        while (now < 61 * SECOND_US) {
            now += repl_scrub_pace_take(&pace, now, piece);
            bytes += piece;
        }
        assert_true(bytes >= 60 * rates[i]);
        assert_true(bytes <= 60 * rates[i] + rates[i] / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_paid_for_before_the_next),
        cmocka_unit_test(a_rest_is_not_made_up_for),
        cmocka_unit_test(no_bytes_cost_nothing),
        cmocka_unit_test(the_rate_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
