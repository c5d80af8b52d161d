/* How long a client that was turned away is told to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/retry.h"

#define SECOND UINT64_C(1000000)
#define MIB    ((size_t)1 << 20)

static void a_queue_that_moves_is_waited_for_by_its_speed(void **state)
{
    static const struct {
        uint64_t written;
        uint64_t us;
        size_t queue;
        unsigned want;
    } rows[] = {
        {10 * MIB, SECOND, 0, 1},
        {10 * MIB, SECOND, 10 * MIB, 1},
        {10 * MIB, SECOND, 40 * MIB, 2},
        {10 * MIB, SECOND, 41 * MIB, 3},
        {10 * MIB, 2 * SECOND, 40 * MIB, 4},
        {1, SECOND, 256 * MIB, 60},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_retry retry = {.since_us = 5 * SECOND, .user_bytes = 7};
        struct ldb_stats stats = {.user_bytes = 7 + rows[i].written,
                                  .queue_bytes = rows[i].queue,
                                  .pending_seconds = 50};

        assert_true(api_retry_update(&retry, &stats, 5 * SECOND + rows[i].us));
        assert_int_equal(rows[i].want, api_retry_after_s(&retry, &stats));
    }
}

static void a_queue_that_stands_is_waited_for_by_the_debt(void **state)
{
    static const struct {
        double pending;
        unsigned want;
    } rows[] = {{0, 1}, {0.5, 1}, {1, 1}, {1.1, 2}, {30, 30}, {1e9, 60}};
    struct api_retry retry = {.since_us = 1};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_stats stats = {.pending_seconds = rows[i].pending,
                                  .queue_bytes = 100 * MIB};

        assert_int_equal(rows[i].want, api_retry_after_s(&retry, &stats));
    }
}

static void a_rate_is_of_a_window_that_is_over(void **state)
{
    struct api_retry retry = {.since_us = SECOND, .user_bytes = 100};
    struct ldb_stats stats = {.user_bytes = 500};

    (void)state;
    assert_false(api_retry_update(&retry, &stats, 2 * SECOND - 1));
    assert_true(retry.rate == 0);
    assert_true(api_retry_update(&retry, &stats, 2 * SECOND));
    assert_true(retry.rate == 400);
    assert_false(api_retry_update(&retry, &stats, 2 * SECOND));
    /* A database that was reopened counts from 0. */
    stats.user_bytes = 10;
    assert_true(api_retry_update(&retry, &stats, 3 * SECOND));
    assert_true(retry.rate == 0);
    assert_int_equal(10, retry.user_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_that_moves_is_waited_for_by_its_speed),
        cmocka_unit_test(a_queue_that_stands_is_waited_for_by_the_debt),
        cmocka_unit_test(a_rate_is_of_a_window_that_is_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
