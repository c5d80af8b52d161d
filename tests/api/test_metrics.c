#include "api/metrics.h"

#include "tests/support/assert_ldb.h"

static void buckets_follow_each_other_without_gap(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < API_METRICS_BUCKETS; i++) {
        uint64_t limit = api_metrics_bucket_limit(i);

        assert_int_equal(api_metrics_bucket_of(limit), i);
        assert_int_equal(api_metrics_bucket_of(limit + 1), i + 1);
    }
    assert_int_equal(api_metrics_bucket_of(UINT64_MAX),
                     API_METRICS_BUCKETS - 1);
}

static void a_bucket_is_at_most_an_eighth_wide(void **state)
{
    (void)state;
    for (size_t i = 8; i + 1 < API_METRICS_BUCKETS; i++) {
        uint64_t first = api_metrics_bucket_limit(i - 1) + 1;
        uint64_t limit = api_metrics_bucket_limit(i);

        assert_true((limit - first + 1) * 8 <= first);
    }
}

static void record_counts_by_route_and_outcome(void **state)
{
    struct api_metrics *metrics = api_metrics_create(2);
    struct api_route_figures figures;

    (void)state;
    assert_non_null(metrics);
    api_metrics_record(metrics, 0, 1, api_outcome_of_status(204), 100);
    api_metrics_record(metrics, 0, 1, api_outcome_of_status(412), 300);
    api_metrics_record(metrics, 0, 1, API_OUTCOME_ABANDONED, 7);
    api_metrics_read(metrics, 1, &figures);
    assert_int_equal(figures.total, 3);
    assert_int_equal(figures.count[API_OUTCOME_2XX], 1);
    assert_int_equal(figures.count[API_OUTCOME_4XX], 1);
    assert_int_equal(figures.count[API_OUTCOME_ABANDONED], 1);
    assert_int_equal(figures.latency_sum_us, 407);
    assert_int_equal(figures.latency_max_us, 300);
    api_metrics_read(metrics, 0, &figures);
    assert_int_equal(figures.total, 0);
    api_metrics_destroy(metrics);
}

/* One route, counted by each loop, and by more of them than there are lanes. */
static void figures_are_those_of_all_loops(void **state)
{
    enum {
        LOOPS = API_METRICS_LANES + 2,
    };
    struct api_metrics *metrics = api_metrics_create(2);
    struct api_route_figures figures;

    (void)state;
    assert_non_null(metrics);
    for (unsigned loop = 0; loop < LOOPS; loop++)
        api_metrics_record(metrics, loop, 1, API_OUTCOME_2XX, loop);
    api_metrics_record(metrics, 3, 1, API_OUTCOME_5XX, 1000);
    api_metrics_read(metrics, 1, &figures);
    assert_int_equal(figures.total, LOOPS + 1);
    assert_int_equal(figures.count[API_OUTCOME_2XX], LOOPS);
    assert_int_equal(figures.count[API_OUTCOME_5XX], 1);
    assert_int_equal(figures.latency_sum_us, LOOPS * (LOOPS - 1) / 2 + 1000);
    assert_int_equal(figures.latency_max_us, 1000);
    assert_int_equal(api_metrics_quantile_us(&figures, 1, 2), LOOPS / 2);
    api_metrics_read(metrics, 0, &figures);
    assert_int_equal(figures.total, 0);
    api_metrics_destroy(metrics);
}

static void statuses_fall_into_their_class(void **state)
{
    static const struct {
        unsigned status;
        enum api_outcome outcome;
    } rows[] = {
        {100, API_OUTCOME_1XX}, {200, API_OUTCOME_2XX}, {299, API_OUTCOME_2XX},
        {304, API_OUTCOME_3XX}, {404, API_OUTCOME_4XX}, {499, API_OUTCOME_4XX},
        {500, API_OUTCOME_5XX}, {507, API_OUTCOME_5XX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(api_outcome_of_status(rows[i].status),
                         rows[i].outcome);
    assert_string_equal(api_outcome_text(API_OUTCOME_2XX), "2xx");
    assert_string_equal(api_outcome_text(API_OUTCOME_ABANDONED), "abandoned");
}

static void quantiles_come_from_the_histogram(void **state)
{
    struct api_metrics *metrics = api_metrics_create(1);
    struct api_route_figures figures;

    (void)state;
    assert_non_null(metrics);
    api_metrics_read(metrics, 0, &figures);
    assert_int_equal(api_metrics_quantile_us(&figures, 500, 1000), 0);
    for (uint64_t us = 1; us <= 1000; us++)
        api_metrics_record(metrics, 0, 0, API_OUTCOME_2XX, us);
    api_metrics_read(metrics, 0, &figures);
    /* 500 lies in 480..511, 990 in 960..1023, whose limit is over the max. */
    assert_int_equal(api_metrics_quantile_us(&figures, 500, 1000), 511);
    assert_int_equal(api_metrics_quantile_us(&figures, 990, 1000), 1000);
    assert_int_equal(api_metrics_quantile_us(&figures, 1, 1000), 1);
    api_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_follow_each_other_without_gap),
        cmocka_unit_test(a_bucket_is_at_most_an_eighth_wide),
        cmocka_unit_test(record_counts_by_route_and_outcome),
        cmocka_unit_test(figures_are_those_of_all_loops),
        cmocka_unit_test(statuses_fall_into_their_class),
        cmocka_unit_test(quantiles_come_from_the_histogram),
    };

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
