#include "api/task_routes.h"

#include "api/tasks.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static void flush(struct api_fixture *f)
{
    struct fake_answer answer =
        api_call(f, "POST", "/v1/admin/flush", NULL, NULL);

    assert_answer(&answer, 200);
    fake_answer_release(&answer);
}

static void tasks_are_listed_the_newest_first(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer =
        api_call(f, "GET", "/v1/admin/tasks", NULL, NULL);
    json_t *list;

    assert_answer(&answer, 200);
    assert_body(&answer, "{\"items\":[]}\n");
    fake_answer_release(&answer);
    flush(f);
    flush(f);
    answer = api_call(f, "GET", "/v1/admin/tasks", NULL, NULL);
    assert_answer(&answer, 200);
    list = answer_json(&answer);
    assert_int_equal(json_array_size(json_at(list, "items")), 2);
    assert_string_equal(json_string_value(json_at(
                            json_array_get(json_at(list, "items"), 0), "id")),
                        "2");
    json_decref(list);
    fake_answer_release(&answer);
}

static void one_is_shown_with_its_result(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *task;

    (void)api_put(f, "/v1/kv/a", "1");
    flush(f);
    answer = api_call(f, "GET", "/v1/admin/tasks/1", NULL, NULL);
    assert_answer(&answer, 200);
    task = answer_json(&answer);
    assert_string_equal(json_string_value(json_at(task, "state")), "done");
    assert_int_equal(json_integer_value(json_at(task, "result.sequence")), 1);
    json_decref(task);
    fake_answer_release(&answer);
}

static void what_has_ended_is_not_cancelled(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    flush(f);
    answer = api_call(f, "DELETE", "/v1/admin/tasks/1", NULL, NULL);
    assert_problem(&answer, 409, "conflict");
    fake_answer_release(&answer);
}

static void other_numbers_are_404(void **state)
{
    static const char *const targets[] = {
        "/v1/admin/tasks/1", "/v1/admin/tasks/", "/v1/admin/tasks/x",
        "/v1/admin/tasks/-1", "/v1/admin/tasks/99999999999999999999"};
    static const char *const methods[] = {"GET", "DELETE"};

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            struct fake_answer answer =
                api_call(*state, methods[j], targets[i], NULL, NULL);

            assert_problem(&answer, 404, "not-found");
            fake_answer_release(&answer);
        }
    }
}

static void parameters_are_refused(void **state)
{
    struct fake_answer answer =
        api_call(*state, "GET", "/v1/admin/tasks?limit=1", NULL, NULL);

    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(tasks_are_listed_the_newest_first),
        FIXTURE_TEST(one_is_shown_with_its_result),
        FIXTURE_TEST(what_has_ended_is_not_cancelled),
        FIXTURE_TEST(other_numbers_are_404),
        FIXTURE_TEST(parameters_are_refused),
    };

    return cmocka_run_group_tests_name("task_routes", tests, NULL, NULL);
}
