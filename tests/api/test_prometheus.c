#include "api/prometheus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/figures.h"
#include "api/metrics.h"
#include "api/router.h"
#include "tests/support/api_following.h"
#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"

static void process_of_test(void *service, struct api_process_figures *out)
{
    (void)service;
    *out = (struct api_process_figures){.resident_bytes = 4096,
                                        .cpu_user_us = 1500000,
                                        .cpu_system_us = 250001,
                                        .open_files = 9,
                                        .open_files_max = 1024,
                                        .upload_bytes_max = 1};
}

/* The document, NUL-terminated; test_free() it. */
static char *metrics_of(struct api_fixture *f)
{
    struct fake_answer answer = api_call(f, "GET", "/metrics", NULL, NULL);
    char *text = test_malloc(answer.body.len + 1);

    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type,
                        "text/plain; version=0.0.4; charset=utf-8");
    memcpy(text, answer.body.data, answer.body.len);
    text[answer.body.len] = '\0';
    fake_answer_release(&answer);
    return text;
}

/* What follows "NAME " at the begin of a line; NULL: no such line. */
static const char *find_sample(const char *text, const char *sample)
{
    size_t len = strlen(sample);

    for (const char *line = text; *line != '\0'; line++) {
        if (strncmp(line, sample, len) == 0 && line[len] == ' ')
            return line + len + 1;
        line = strchr(line, '\n');
        assert_non_null(line);
    }
    return NULL;
}

static void assert_sample(const char *text, const char *sample,
                          const char *value)
{
    const char *found = find_sample(text, sample);
    size_t len = strlen(value);

    if (found == NULL)
        found = "(nothing)\n";
    if (strncmp(found, value, len) != 0 || found[len] != '\n')
        fail_msg("%s is %.*s, not %s", sample, (int)strcspn(found, "\n"), found,
                 value);
}

/* ---- /stats beside it ---- */

/* JSON's figure in the unit of /metrics. */
static double value_in_stats(const json_t *figure, const struct api_figure *row)
{
    double value = json_is_boolean(figure) ? json_is_true(figure)
                                           : json_number_value(figure);

    return api_family_get(row->family)->unit == API_MICROSECONDS ? value / 1e6
                                                                 : value;
}

static void assert_same(const char *text, const json_t *group,
                        const struct api_figure *row, const char *labels)
{
    char sample[256];
    const char *found;
    double difference;

    (void)snprintf(sample, sizeof(sample), labels == NULL ? "%s" : "%s{%s}",
                   api_family_get(row->family)->name, labels);
    found = find_sample(text, sample);
    if (found == NULL) {
        fail_msg("no %s", sample);
        return;
    }
    if (row->family == API_FAMILY_UPTIME)
        return; /* it passes between the two answers */
    difference =
        strtod(found, NULL) - value_in_stats(json_at(group, row->name), row);
    /* /stats has three decimals. */
    if (difference < -0.0006 || difference > 0.0006)
        fail_msg("%s differs by %f", sample, difference);
}

static void assert_row(const char *text, const json_t *stats,
                       const struct api_figure *row)
{
    const json_t *group =
        row->group[0] == '\0' ? stats : json_at(stats, row->group);
    char labels[32];

    if (!api_figure_is_of_level(row)) {
        assert_same(text, group, row, row->labels);
        return;
    }
    assert_int_equal(json_array_size(group), LDB_STATS_LEVELS);
    for (size_t level = 0; level < LDB_STATS_LEVELS; level++) {
        (void)snprintf(labels, sizeof(labels), "level=\"%zu\"", level);
        assert_same(text, json_array_get(group, level), row, labels);
    }
}

static json_t *stats_of(struct api_fixture *f)
{
    struct fake_answer answer = api_call(f, "GET", "/stats", NULL, NULL);
    json_t *stats = answer_json(&answer);

    fake_answer_release(&answer);
    return stats;
}

/* Whether the two say the same in each row but that of the uptime. */
static bool are_same(const json_t *one, const json_t *other)
{
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);

    for (size_t i = 0; i < count; i++) {
        const char *path =
            rows[i].group[0] == '\0' ? rows[i].name : rows[i].group;

        if (path != NULL && rows[i].family != API_FAMILY_UPTIME &&
            !json_equal(json_at(one, path), json_at(other, path)))
            return false;
    }
    return true;
}

/*
 * Both documents at one state of the engine, whose threads go on after a
 * flush: its journal goes to the archive, what is durable is told.
 */
static char *metrics_beside_stats(struct api_fixture *f, json_t **out_stats)
{
    for (;;) {
        json_t *before = stats_of(f);
        char *text = metrics_of(f);
        json_t *after = stats_of(f);
        bool is_still = are_same(before, after);

        json_decref(after);
        if (is_still) {
            *out_stats = before;
            return text;
        }
        json_decref(before);
        test_free(text);
        (void)sched_yield();
    }
}

static size_t no_sources(void *context, char (*out)[REPL_URL_SIZE], size_t max)
{
    (void)context;
    (void)out;
    (void)max;
    return 0;
}

/* What a node runs beside; a pass is over in a moment. */
static void start_care(struct api_leader *l)
{
    const struct repl_scrub_options scrub = {
        .env = l->f.env,
        .db = l->f.db,
        .digests = l->leader.digests,
        .dir = DB_FIXTURE_DIR,
        .rate_bytes = UINT64_C(1) << 40,
        .interval_us = UINT64_C(3600000000),
    };
    const struct repl_heal_options heal = {
        .env = l->f.env,
        .db = l->f.db,
        .digests = l->leader.digests,
        .dir = DB_FIXTURE_DIR,
        .sources = no_sources,
    };

    assert_ldb_ok(repl_scrub_create(&scrub, NULL, &l->f.context.scrub), NULL);
    assert_ldb_ok(repl_heal_create(&heal, NULL, &l->f.context.heal), NULL);
}

static void stop_care(struct api_leader *l)
{
    repl_scrub_destroy(l->f.context.scrub);
    l->f.context.scrub = NULL;
    repl_heal_destroy(l->f.context.heal);
    l->f.context.heal = NULL;
}

static void every_figure_is_the_same_as_in_stats(void **state)
{
    /* Leads and follows: so it has all figures there are. */
    struct api_leader *l = *state;
    struct api_fixture *f = &l->f;
    struct ldb_error err = {0};
    struct fake_answer answer;
    json_t *stats;
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);
    char *text;

    f->context.process_figures = process_of_test;
    start_care(l);
    (void)api_put(f, "/v1/kv/a", "value");
    api_following_set(&f->context);
    assert_ldb_ok(ldb_flush(f->db, &err), &err);
    answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    fake_answer_release(&answer);
    text = metrics_beside_stats(f, &stats);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].name != NULL && rows[i].family != API_FAMILY_NONE)
            assert_row(text, stats, &rows[i]);
    }
    assert_sample(text, "leveld_level_tables{level=\"0\"}", "1");
    assert_sample(text, "leveld_flushes_total", "1");
    assert_sample(text, "process_cpu_seconds_total", "1.750001");
    stop_care(l);
    test_free(text);
    json_decref(stats);
}

/* ---- requests ---- */

static void requests_are_counted_by_route_and_status(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    char *text;

    (void)api_put(f, "/v1/kv/a", "1");
    answer = api_call(f, "GET", "/v1/kv/none", NULL, NULL);
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/none", NULL, NULL);
    fake_answer_release(&answer);
    text = metrics_of(f);
    assert_sample(text,
                  "leveld_http_requests_total{route=\"PUT /v1/kv/{key}\","
                  "status=\"2xx\"}",
                  "1");
    assert_sample(text,
                  "leveld_http_requests_total{route=\"GET /v1/kv/{key}\","
                  "status=\"4xx\"}",
                  "1");
    assert_sample(text,
                  "leveld_http_requests_total{route=\"other\",status=\"4xx\"}",
                  "1");
    assert_sample(text,
                  "leveld_http_requests_total{route=\"other\","
                  "status=\"abandoned\"}",
                  "0");
    test_free(text);
}

#define BUCKET(le)                                                             \
    "leveld_http_request_duration_seconds_bucket{route=\"other\",le=\"" le "\"}"

static void latencies_fall_below_the_edges_they_are_under(void **state)
{
    static const uint64_t latencies_us[] = {0,   63,       64,       127,
                                            128, 16777215, 16777216, 99000000};
    static const struct {
        const char *sample;
        const char *value;
    } rows[] = {
        {BUCKET("0.000064"), "2"},
        {BUCKET("0.000128"), "4"},
        {BUCKET("0.000256"), "5"},
        {BUCKET("0.001024"), "5"},
        {BUCKET("8.388608"), "5"},
        {BUCKET("16.777216"), "6"},
        {BUCKET("+Inf"), "8"},
        {"leveld_http_request_duration_seconds_count{route=\"other\"}", "8"},
        {"leveld_http_request_duration_seconds_sum{route=\"other\"}",
         "132.554813"},
        {"leveld_http_request_longest_seconds{route=\"other\"}", "99.000000"},
    };
    struct api_fixture *f = *state;
    char *text;

    for (size_t i = 0; i < sizeof(latencies_us) / sizeof(latencies_us[0]); i++)
        api_metrics_record(f->context.metrics, 0, api_route_none(),
                           API_OUTCOME_4XX, latencies_us[i]);
    text = metrics_of(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_sample(text, rows[i].sample, rows[i].value);
    test_free(text);
}

static void edges_are_edges_of_the_fine_buckets(void **state)
{
    (void)state;
    for (unsigned edge = API_PROMETHEUS_FIRST_EDGE;
         edge <= API_PROMETHEUS_LAST_EDGE; edge++) {
        uint64_t us = UINT64_C(1) << edge;

        assert_true(api_metrics_bucket_limit(api_metrics_bucket_of(us - 1)) ==
                    us - 1);
    }
}

/* ---- texts ---- */

static void names_go_out_as_labels_with_their_quotes_escaped(void **state)
{
    struct api_fixture *f = *state;
    char *text;

    f->context.node_id = "a\"b\\c\nd";
    text = metrics_of(f);
    assert_sample(
        text, "leveld_build_info{version=\"1.2.3\",commit=\"abcdef\"}", "1");
    assert_sample(text,
                  "leveld_node_info{cluster_id=\"cluster\","
                  "node_id=\"a\\\"b\\\\c\\nd\",role=\"leader\"}",
                  "1");
    test_free(text);
}

static void an_overlong_text_is_cut(void **state)
{
    struct api_fixture *f = *state;
    char id[1024];
    char *text;

    memset(id, '"', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    f->context.node_id = id;
    f->context.cluster_id = id;
    text = metrics_of(f);
    assert_non_null(strstr(text, "\\\"\",role=\"leader\"} 1\n"));
    test_free(text);
}

static void a_node_that_is_not_ready_says_why(void **state)
{
    struct api_fixture *f = *state;
    char *text = metrics_of(f);

    assert_sample(text, "leveld_ready", "1");
    assert_null(strstr(text, "leveld_not_ready{"));
    test_free(text);
    f->context.disk_reserve_bytes = UINT64_MAX;
    text = metrics_of(f);
    assert_sample(text, "leveld_ready", "0");
    assert_sample(text, "leveld_not_ready{reason=\"disk-full\"}", "1");
    test_free(text);
}

static void what_is_not_known_is_left_out(void **state)
{
    char *text = metrics_of(*state);

    assert_null(strstr(text, "process_cpu_seconds_total"));
    assert_null(strstr(text, "leveld_http_connections"));
    test_free(text);
}

static void a_follower_says_how_it_follows(void **state)
{
    struct api_fixture *f = *state;
    char *text = metrics_of(f);

    assert_null(strstr(text, "leveld_following"));
    assert_null(strstr(text, "leveld_leader"));
    assert_null(strstr(text, "leveld_rebuild"));
    test_free(text);
    api_following_set(&f->context);
    text = metrics_of(f);
    assert_sample(text, "leveld_following_state{state=\"streaming\"}", "1");
    assert_sample(text, "leveld_following_sequence{position=\"written\"}",
                  "19");
    assert_sample(text, "leveld_following_sequence{position=\"synced\"}", "16");
    assert_sample(text, "leveld_following_journal{position=\"applied\"}", "11");
    assert_sample(text, "leveld_leader_sequence", "25");
    assert_sample(text, "leveld_leader_heard_age_seconds", "0.000000");
    assert_sample(text, "leveld_following_lag_seconds", "53.000000");
    assert_sample(text, "leveld_following_tables_built_total", "40");
    assert_sample(text, "leveld_rebuilding", "1");
    assert_sample(text, "leveld_rebuild_tables{part=\"kept\"}", "63");
    assert_sample(text, "leveld_rebuild_bytes{part=\"fetched\"}", "65");
    test_free(text);
}

static void each_follower_is_told_of_by_its_id(void **state)
{
    struct api_leader *l = *state;
    char *text = metrics_of(&l->f);

    assert_null(strstr(text, "leveld_slot_alive"));
    test_free(text);
    (void)leader_fixture_put(&l->leader, "a", "1");
    api_leader_ack(l);
    (void)leader_fixture_put(&l->leader, "b", "1");
    text = metrics_of(&l->f);
    assert_sample(
        text, "leveld_slot_alive{node_id=\"" API_LEADER_FOLLOWER "\"}", "1");
    assert_sample(text, "leveld_slot_lost{node_id=\"" API_LEADER_FOLLOWER "\"}",
                  "0");
    assert_sample(text,
                  "leveld_slot_synced_sequence{node_id=\"" API_LEADER_FOLLOWER
                  "\"}",
                  "1");
    assert_sample(text,
                  "leveld_slot_applied_sequence{node_id=\"" API_LEADER_FOLLOWER
                  "\"}",
                  "1");
    assert_sample(
        text, "leveld_slot_lag_sequences{node_id=\"" API_LEADER_FOLLOWER "\"}",
        "1");
    assert_sample(
        text,
        "leveld_slot_tables_built_total{node_id=\"" API_LEADER_FOLLOWER "\"}",
        "0");
    test_free(text);
}

static void the_accept_of_a_scraper_suits(void **state)
{
    static const char *const scraper[] = {
        "Accept: application/openmetrics-text;version=1.0.0,"
        "application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        NULL};
    static const char *const plain[] = {"Accept: text/plain;version=0.0.4",
                                        NULL};
    static const char *const json[] = {"Accept: application/json", NULL};
    struct fake_answer answer =
        api_call(*state, "GET", "/metrics", scraper, NULL);

    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    answer = api_call(*state, "GET", "/metrics", plain, NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    answer = api_call(*state, "GET", "/metrics", json, NULL);
    assert_problem(&answer, 406, "not-acceptable");
    fake_answer_release(&answer);
    answer = api_call(*state, "GET", "/metrics?name=x", NULL, NULL);
    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_figure_is_the_same_as_in_stats,
                                        api_leader_setup, api_leader_teardown),
        FIXTURE_TEST(requests_are_counted_by_route_and_status),
        FIXTURE_TEST(latencies_fall_below_the_edges_they_are_under),
        cmocka_unit_test(edges_are_edges_of_the_fine_buckets),
        FIXTURE_TEST(names_go_out_as_labels_with_their_quotes_escaped),
        FIXTURE_TEST(an_overlong_text_is_cut),
        FIXTURE_TEST(a_node_that_is_not_ready_says_why),
        FIXTURE_TEST(what_is_not_known_is_left_out),
        FIXTURE_TEST(a_follower_says_how_it_follows),
        cmocka_unit_test_setup_teardown(each_follower_is_told_of_by_its_id,
                                        api_leader_setup, api_leader_teardown),
        FIXTURE_TEST(the_accept_of_a_scraper_suits),
    };

    return cmocka_run_group_tests_name("prometheus", tests, NULL, NULL);
}
