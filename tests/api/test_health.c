#include "api/health.h"

#include <string.h>

#include "api/problem.h"
#include "tests/support/api_fixture.h"
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
        FIXTURE_TEST(version_says_what_runs),
    };

    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
