/* A follower's times, where nobody has set them. */
#include "replication/follower_options.h"

#include "tests/support/assert_ldb.h"

static void a_time_of_zero_is_the_default(void **state)
{
    struct repl_follower_options options = {.ack_us = 7, .backoff_us = 8};

    (void)state;
    repl_follower_options_complete(&options);
    assert_int_equal(7, options.ack_us);
    assert_int_equal(8, options.backoff_us);
    assert_int_equal(100000, options.busy_ack_us);
    assert_int_equal(10000, options.ack_gap_us);
    assert_int_equal(100000, options.sync_us);
    assert_int_equal(10000000, options.watchdog_us);
    assert_int_equal(5000000, options.backoff_max_us);
    options = (struct repl_follower_options){0};
    repl_follower_options_complete(&options);
    assert_int_equal(1000000, options.ack_us);
    assert_int_equal(100000, options.backoff_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_of_zero_is_the_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
