#include "api/dashboard.h"

#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static void the_page_comes_with_its_policy(void **state)
{
    struct fake_answer answer = api_call(*state, "GET", "/", NULL, NULL);
    char policy[512];

    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "text/html; charset=utf-8");
    assert_non_null(fake_answer_header(&answer, "Content-Security-Policy",
                                       policy, sizeof(policy)));
    assert_non_null(strstr(policy, "default-src 'none'; style-src 'sha256-"));
    assert_non_null(strstr(policy, "; script-src 'sha256-"));
    assert_null(strstr(policy, "unsafe"));
    fake_answer_release(&answer);
}

static void head_has_its_length_alone(void **state)
{
    struct fake_answer answer = api_call(*state, "HEAD", "/", NULL, NULL);

    assert_answer(&answer, 200);
    assert_int_equal(answer.body.len, 0);
    fake_answer_release(&answer);
}

static void other_requests_are_refused(void **state)
{
    static const struct {
        const char *method;
        const char *target;
        const char *headers[2];
        unsigned status;
    } rows[] = {
        {"GET", "/?a=1", {NULL}, 400},
        {"GET", "/", {"Accept: application/json"}, 406},
        {"POST", "/", {NULL}, 405},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer = api_call(
            *state, rows[i].method, rows[i].target, rows[i].headers, NULL);

        assert_answer(&answer, rows[i].status);
        fake_answer_release(&answer);
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(the_page_comes_with_its_policy),
        FIXTURE_TEST(head_has_its_length_alone),
        FIXTURE_TEST(other_requests_are_refused),
    };

    return cmocka_run_group_tests_name("dashboard", tests, NULL, NULL);
}
