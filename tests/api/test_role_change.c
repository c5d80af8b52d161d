/* How changes of the role are asked for, and what is answered. */
#include "api/role_change.h"

#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "api/node_ops.h"
#include "api/tasks.h"
#include "storage/base/status.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/task_gate.h"

/* A node that keeps what it was asked, and does as the test says. */
static struct {
    const char *asked; /* "promote", ...; NULL: nothing */
    struct api_role_request request;
    enum ldb_status status;
    struct api_tasks *tasks; /* a short one is to run there; NULL: none is */
    struct task_gate *gate;  /* which is that */
} node;

static bool a_short_task_runs(void)
{
    struct api_task_work work = task_gate_work(node.gate, NULL, API_TASK_SHORT);
    struct api_task *task = NULL;
    bool runs = api_tasks_submit(node.tasks, &work, NULL, &task) == LDB_OK &&
                task_gate_begins(node.gate);

    task_gate_open(node.gate);
    api_task_unref(task);
    return runs;
}

static enum ldb_status answer(const char *asked,
                              const struct api_role_request *request,
                              struct ldb_error *err,
                              struct api_role_result *out)
{
    node.asked = asked;
    node.request = *request;
    if (node.tasks != NULL && !a_short_task_runs())
        return ldb_error_set(err, LDB_STALLED, "no short task runs");
    if (node.status != LDB_OK)
        return ldb_error_set(err, node.status, "the reason why");
    *out = (struct api_role_result){.role = strcmp(asked, "promote") == 0
                                                ? REPL_ROLE_LEADER
                                                : REPL_ROLE_FOLLOWER,
                                    .epoch = 4,
                                    .sequence = 99};
    return LDB_OK;
}

static enum ldb_status promote(void *context,
                               const struct api_role_request *request,
                               struct ldb_error *err,
                               struct api_role_result *out)
{
    assert_ptr_equal(context, &node);
    return answer("promote", request, err, out);
}

static enum ldb_status demote(void *context,
                              const struct api_role_request *request,
                              struct ldb_error *err,
                              struct api_role_result *out)
{
    (void)context;
    return answer("demote", request, err, out);
}

static enum ldb_status handover(void *context,
                                const struct api_role_request *request,
                                struct ldb_error *err,
                                struct api_role_result *out)
{
    (void)context;
    return answer("handover", request, err, out);
}

static const char *no_reason(void *context, struct api_problem *problem)
{
    (void)context;
    (void)problem;
    return NULL;
}

static const struct api_node_ops ops = {
    .promote = promote,
    .demote = demote,
    .handover = handover,
    .reason = no_reason,
};

static int setup(void **state)
{
    struct api_fixture *f;

    assert_int_equal(api_fixture_setup(state), 0);
    f = *state;
    memset(&node, 0, sizeof(node));
    f->context.node_ops = &ops;
    f->context.node = &node;
    return 0;
}

static struct fake_answer post(struct api_fixture *f, const char *target,
                               const char *body)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Authorization: Bearer secret", NULL};

    return api_call(f, "POST", target, body == NULL ? NULL : headers, body);
}

static void each_is_asked_of_the_node(void **state)
{
    static const struct {
        const char *target;
        const char *body;
        const char *asked;
        struct api_role_request request;
    } rows[] = {
        {"/v1/admin/promote", NULL, "promote", {.timeout_us = API_HANDOVER_US}},
        {"/v1/admin/promote",
         "{\"force\":true}",
         "promote",
         {.force = true, .timeout_us = API_HANDOVER_US}},
        {"/v1/admin/demote", NULL, "demote", {.timeout_us = API_HANDOVER_US}},
        {"/v1/admin/demote",
         "{\"leader\":\"http://a:1\",\"force\":true}",
         "demote",
         {.force = true, .to = "http://a:1", .timeout_us = API_HANDOVER_US}},
        {"/v1/admin/handover",
         "{\"to\":\"http://b:1\"}",
         "handover",
         {.to = "http://b:1",
          .authorization = "Bearer secret",
          .timeout_us = API_HANDOVER_US}},
        {"/v1/admin/handover",
         "{\"to\":\"id\",\"timeout\":\"2s\"}",
         "handover",
         {.to = "id", .authorization = "Bearer secret", .timeout_us = 2000000}},
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer = post(f, rows[i].target, rows[i].body);

        assert_answer(&answer, 200);
        assert_body(&answer, i < 2 ? "{\"role\":\"leader\",\"epoch\":4,"
                                     "\"sequence\":99}\n"
                                   : "{\"role\":\"follower\",\"epoch\":4,"
                                     "\"sequence\":99}\n");
        fake_answer_release(&answer);
        assert_string_equal(node.asked, rows[i].asked);
        assert_int_equal(node.request.force, rows[i].request.force);
        assert_string_equal(node.request.to, rows[i].request.to);
        assert_string_equal(node.request.authorization,
                            rows[i].request.authorization);
        assert_int_equal(node.request.timeout_us, rows[i].request.timeout_us);
    }
}

static void what_is_malformed_is_not_asked(void **state)
{
    static const struct {
        const char *target;
        const char *body;
    } rows[] = {
        {"/v1/admin/promote", "{\"force\":1}"},
        {"/v1/admin/promote", "{\"to\":\"http://a\"}"},
        {"/v1/admin/demote", "{\"leader\":5}"},
        {"/v1/admin/demote", "{\"leader\":\"\"}"},
        {"/v1/admin/demote", "{\"leader\":\"a b\"}"},
        {"/v1/admin/demote", "{\"leader\":\"a\\u0000b\"}"},
        {"/v1/admin/handover", NULL},
        {"/v1/admin/handover", "{}"},
        {"/v1/admin/handover", "{\"to\":\"a\",\"timeout\":\"x\"}"},
        {"/v1/admin/handover", "{\"to\":\"a\",\"timeout\":2}"},
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer = post(f, rows[i].target, rows[i].body);

        if (answer.status != 400)
            fail_msg("row %zu: %u", i, answer.status);
        assert_null(node.asked);
        fake_answer_release(&answer);
    }
}

static void why_not_is_told(void **state)
{
    static const struct {
        enum ldb_status status;
        unsigned http;
        const char *type;
    } rows[] = {
        {LDB_PRECONDITION, 409, "conflict"},
        {LDB_INVALID_ARGUMENT, 409, "conflict"},
        {LDB_STALLED, 503, "stalled"},
        {LDB_OUTCOME_UNKNOWN, 503, "outcome-unknown"},
        {LDB_CLOSED, 503, "overloaded"},
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer;
        json_t *body;

        node.status = rows[i].status;
        answer = post(f, "/v1/admin/promote", NULL);
        assert_problem(&answer, rows[i].http, rows[i].type);
        body = answer_json(&answer);
        assert_string_equal(json_string_value(json_at(body, "detail")),
                            "the reason why");
        json_decref(body);
        fake_answer_release(&answer);
    }
}

static void it_is_listed_as_a_task(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer = post(f, "/v1/admin/promote", NULL);
    json_t *body;

    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/admin/tasks/1", NULL, NULL);
    assert_answer(&answer, 200);
    body = answer_json(&answer);
    assert_string_equal(json_string_value(json_at(body, "kind")), "promote");
    json_decref(body);
    fake_answer_release(&answer);
}

/*
 * A change waits for the requests that use the database, and one of those, a
 * follower's for a checkpoint, for a short task: both waited for ever.
 */
static void what_it_waits_for_may_wait_for_a_short_task(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    struct task_gate gate;

    task_gate_init(&gate);
    node.tasks = f->context.tasks;
    node.gate = &gate;
    answer = post(f, "/v1/admin/promote", NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    api_tasks_stop(f->context.tasks); /* before the gate, which one holds */
    task_gate_release(&gate);
}

static void a_node_that_only_reads_has_no_role_to_change(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    f->context.read_only = true;
    answer = post(f, "/v1/admin/promote", NULL);
    assert_problem(&answer, 409, "read-only");
    fake_answer_release(&answer);
    f->context.read_only = false;
    f->context.node_ops = NULL;
    answer = post(f, "/v1/admin/demote", NULL);
    assert_problem(&answer, 409, "conflict");
    fake_answer_release(&answer);
    assert_null(node.asked);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, setup, api_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_is_asked_of_the_node),
        TEST(what_is_malformed_is_not_asked),
        TEST(why_not_is_told),
        TEST(it_is_listed_as_a_task),
        TEST(what_it_waits_for_may_wait_for_a_short_task),
        TEST(a_node_that_only_reads_has_no_role_to_change),
    };

    return cmocka_run_group_tests_name("role_change", tests, NULL, NULL);
}
