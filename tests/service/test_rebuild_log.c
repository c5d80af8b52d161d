#include "service/rebuild_log.h"

#include "tests/support/assert_ldb.h"

#define BEGUN UINT64_C(5000000)

static struct repl_build_figures fetching(uint64_t bytes, uint64_t of)
{
    return (struct repl_build_figures){.step = REPL_BUILD_FETCHING,
                                       .begun_us = BEGUN,
                                       .bytes_fetched = bytes,
                                       .bytes_wanted = of};
}

static bool is_due(struct svc_rebuild_log *log, struct repl_build_figures now,
                   uint64_t now_us)
{
    return svc_rebuild_log_is_due(log, &now, now_us);
}

static void percents_are_of_what_is_to_be_fetched(void **state)
{
    static const struct {
        uint64_t bytes;
        uint64_t of;
        unsigned percent;
    } rows[] = {
        {0, 0, 100},
        {0, 10, 0},
        {1, 3, 33},
        {9, 10, 90},
        {10, 10, 100},
        {11, 10, 100},
        {UINT64_MAX / 2, UINT64_MAX, 50},
        {999999, 1000000, 99},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_build_figures now = fetching(rows[i].bytes, rows[i].of);

        assert_int_equal(rows[i].percent, svc_rebuild_percent(&now));
    }
}

static void each_step_has_a_line(void **state)
{
    struct svc_rebuild_log log = {0};
    struct repl_build_figures now = {.step = REPL_BUILD_SURVEYING};

    (void)state;
    assert_true(is_due(&log, now, BEGUN));
    assert_false(is_due(&log, now, BEGUN + 1));
    assert_true(is_due(&log, fetching(0, 100), BEGUN + 2));
    assert_false(is_due(&log, fetching(0, 100), BEGUN + 3));
    now.step = REPL_BUILD_IDLE;
    assert_false(is_due(&log, now, BEGUN + 4));
    now.step = REPL_BUILD_SWITCHING;
    assert_true(is_due(&log, now, BEGUN + 4));
    assert_false(is_due(&log, now, BEGUN + 5));
}

static void each_tenth_has_a_line(void **state)
{
    struct svc_rebuild_log log = {0};
    unsigned lines = 0;

    (void)state;
    for (uint64_t bytes = 0; bytes <= 1000; bytes++)
        lines += is_due(&log, fetching(bytes, 1000), BEGUN + bytes);
    assert_int_equal(11, lines); /* 0 %, 10 %, ... 100 % */
}

static void one_that_stands_still_has_a_line_at_times(void **state)
{
    struct svc_rebuild_log log = {0};

    (void)state;
    assert_true(is_due(&log, fetching(5, 100), BEGUN));
    assert_false(
        is_due(&log, fetching(5, 100), BEGUN + SVC_REBUILD_LOG_US - 1));
    assert_true(is_due(&log, fetching(5, 100), BEGUN + SVC_REBUILD_LOG_US));
    assert_false(
        is_due(&log, fetching(5, 100), BEGUN + 2 * SVC_REBUILD_LOG_US - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percents_are_of_what_is_to_be_fetched),
        cmocka_unit_test(each_step_has_a_line),
        cmocka_unit_test(each_tenth_has_a_line),
        cmocka_unit_test(one_that_stands_still_has_a_line_at_times),
    };

    return cmocka_run_group_tests_name("rebuild_log", tests, NULL, NULL);
}
