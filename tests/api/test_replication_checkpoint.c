/* Checkpoints over HTTP: made by a task, renewed, let go of. */
#include "api/replication_checkpoint.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/tasks.h"
#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/task_gate.h"

#define NODE "\"node_id\":\"" API_LEADER_FOLLOWER "\""

static struct fake_answer post(struct api_leader *l, const char *body)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          NULL};

    return api_call(&l->f, "POST", "/v1/replication/checkpoint", headers, body);
}

static struct repl_checkpoint make(struct api_leader *l)
{
    struct fake_answer answer = post(l, "{" NODE "}");
    struct repl_checkpoint checkpoint = {0};
    struct ldb_error err = {0};

    assert_answer(&answer, 200);
    assert_ldb_ok(repl_checkpoint_decode(ldb_slice_of_buf(&answer.body), &err,
                                         &checkpoint),
                  &err);
    fake_answer_release(&answer);
    return checkpoint;
}

static struct fake_answer post_id(struct api_leader *l, uint64_t id,
                                  const char *more)
{
    char body[128];

    (void)snprintf(body, sizeof(body), "{" NODE ",\"id\":%" PRIu64 "%s}", id,
                   more);
    return post(l, body);
}

static size_t held(struct api_leader *l)
{
    return repl_checkpoints_count(repl_leader_checkpoints(l->leader.leader));
}

static void one_is_made_renewed_and_let_go_of(void **state)
{
    struct api_leader *l = *state;
    struct repl_checkpoint checkpoint;
    struct fake_answer answer;
    char body[64];

    (void)leader_fixture_flush_one(&l->leader, "a");
    checkpoint = make(l);
    assert_int_equal(checkpoint.file_count, 1);
    assert_int_equal(held(l), 1);
    answer = post_id(l, checkpoint.id, "");
    assert_answer(&answer, 200);
    (void)snprintf(body, sizeof(body), "{\"id\":%" PRIu64 "}\n", checkpoint.id);
    assert_body(&answer, body);
    fake_answer_release(&answer);
    answer = post_id(l, checkpoint.id, ",\"release\":true");
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    assert_int_equal(held(l), 0);
    answer = post_id(l, checkpoint.id, ",\"release\":true");
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    answer = post_id(l, checkpoint.id, "");
    assert_problem(&answer, 410, "expired");
    fake_answer_release(&answer);
    repl_checkpoint_release(&checkpoint);
}

static void what_is_no_request_is_refused(void **state)
{
    static const char *const bodies[] = {
        "",
        "{}",
        "{\"node_id\":\"short\"}",
        "{" NODE ",\"id\":\"x\"}",
        "{" NODE ",\"release\":true}",
        "[]",
    };
    struct api_leader *l = *state;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct fake_answer answer = post(l, bodies[i]);

        print_message("%s\n", bodies[i]);
        assert_problem(&answer, 400, "malformed");
        fake_answer_release(&answer);
    }
    assert_int_equal(held(l), 0);
}

static void as_many_as_may_be_is_503(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer;

    for (unsigned i = 0; i < REPL_CHECKPOINTS_MAX; i++) {
        char body[128];

        (void)snprintf(body, sizeof(body), "{\"node_id\":\"%032x\"}", i);
        answer = post(l, body);
        assert_answer(&answer, 200);
        fake_answer_release(&answer);
    }
    answer = post(l, "{" NODE "}");
    assert_problem(&answer, 503, "overloaded");
    assert_header(&answer, "Retry-After", "1");
    fake_answer_release(&answer);
}

static void who_leaves_before_it_is_made_leaves_nothing_behind(void **state)
{
    struct api_leader *l = *state;
    static const char *const headers[] = {"Content-Type: application/json",
                                          NULL};
    const struct fake_request request = {
        .method = "POST",
        .target = "/v1/replication/checkpoint",
        .headers = headers,
        .body = ldb_slice_str("{" NODE "}"),
        .leaves = true,
    };
    struct fake_answer answer;

    /* Unless the task was quicker. */
    fake_run(&l->f.context, &request, &answer);
    fake_answer_release(&answer);
    /* It is held until its time is over, as any other. */
    assert_int_equal(held(l), 1);
}

static void it_waits_for_the_thread_of_short_tasks(void **state)
{
    struct api_leader *l = *state;
    struct api_task_work work;
    struct api_task *task = NULL;
    struct task_gate gate;
    struct ldb_error err = {0};
    struct fake_answer answer;

    task_gate_init(&gate);
    work = task_gate_work(&gate, NULL, API_TASK_SHORT);
    assert_ldb_ok(api_tasks_submit(l->f.context.tasks, &work, &err, &task),
                  &err);
    task_gate_wait_begun(&gate);
    task_gate_open(&gate);
    answer = post(l, "{" NODE "}");
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    api_task_unref(task);
    api_tasks_stop(l->f.context.tasks);
    task_gate_release(&gate);
}

static void without_tasks_it_is_503(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer;

    api_tasks_close(l->f.context.tasks);
    answer = post(l, "{" NODE "}");
    assert_problem(&answer, 503, "overloaded");
    fake_answer_release(&answer);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, api_leader_setup, api_leader_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_is_made_renewed_and_let_go_of),
        TEST(what_is_no_request_is_refused),
        TEST(as_many_as_may_be_is_503),
        TEST(who_leaves_before_it_is_made_leaves_nothing_behind),
        TEST(it_waits_for_the_thread_of_short_tasks),
        TEST(without_tasks_it_is_503),
    };

    return cmocka_run_group_tests_name("replication_checkpoint", tests, NULL,
                                       NULL);
}
