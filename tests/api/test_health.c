#include "api/health.h"

#include <string.h>

#include "api/db_gate.h"
#include "api/problem.h"
#include "tests/support/api_fixture.h"
#include "tests/support/api_following.h"
#include "tests/support/assert_ldb.h"

static void a_process_that_answers_is_alive(void **state)
{
    struct fake_answer answer = api_call(*state, "GET", "/healthz", NULL, NULL);

    assert_answer(&answer, 200);
    assert_body(&answer, "{\"alive\":true}\n");
    fake_answer_release(&answer);
}

static void a_healthy_node_is_ready(void **state)
{
    struct fake_answer answer = api_call(*state, "GET", "/readyz", NULL, NULL);

    assert_answer(&answer, 200);
    assert_body(&answer, "{\"ready\":true,\"role\":\"leader\"}\n");
    fake_answer_release(&answer);
}

static void a_disk_below_its_reserve_is_not_ready(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    struct api_problem problem;
    json_t *body;

    f->context.disk_reserve_bytes = UINT64_MAX;
    answer = api_call(f, "GET", "/readyz", NULL, NULL);
    assert_problem(&answer, 503, "disk-full");
    body = answer_json(&answer);
    assert_string_equal(json_string_value(json_object_get(body, "reason")),
                        "disk-full");
    json_decref(body);
    fake_answer_release(&answer);
    /* It can still be read from: what serves no writes needs no space. */
    f->context.read_only = true;
    assert_null(api_not_ready_reason(&f->context, &problem));
}

static const struct api_db_gate_reason waiting = {
    .kind = API_PROBLEM_STALLED,
    .reason = "bootstrapping",
    .detail = "not yet",
    .retry_after_s = 5,
};

static void a_follower_without_a_database_says_how_far_it_is(void **state)
{
    struct api_fixture *f = *state;
    struct api_problem problem;

    api_following_set(&f->context);
    api_context_shut(&f->context, &waiting);
    assert_true(api_db_gate_wait(f->context.gate, UINT64_MAX));
    assert_string_equal(api_not_ready_reason(&f->context, &problem),
                        "bootstrapping");
    assert_string_equal(problem.detail,
                        "not yet: fetching, 65 of 64 bytes: a \"reason\"");
    assert_int_equal(problem.retry_after_s, 5);
    api_context_take_db(&f->context, f->db);
}

static void version_says_what_runs(void **state)
{
    struct fake_answer answer = api_call(*state, "GET", "/version", NULL, NULL);

    assert_answer(&answer, 200);
    assert_body(&answer, "{\"version\":\"1.2.3\",\"commit\":\"abcdef\","
                         "\"format\":1,\"epoch\":7}\n");
    fake_answer_release(&answer);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_process_that_answers_is_alive),
        FIXTURE_TEST(a_healthy_node_is_ready),
        FIXTURE_TEST(a_disk_below_its_reserve_is_not_ready),
        FIXTURE_TEST(a_follower_without_a_database_says_how_far_it_is),
        FIXTURE_TEST(version_says_what_runs),
    };

    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
