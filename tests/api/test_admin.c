#include "api/admin.h"

#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "api/tasks.h"
#include "storage/base/buf.h"
#include "storage/base/env.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/task_gate.h"

static struct fake_answer post(struct api_fixture *f, const char *target,
                               const char *body)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          NULL};

    return api_call(f, "POST", target, body == NULL ? NULL : headers, body);
}

static void fill(struct api_fixture *f)
{
    char target[32];

    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(target, sizeof(target), "/v1/kv/key%02u", i);
        (void)api_put(f, target, "value");
    }
}

static uint64_t tables(struct api_fixture *f, unsigned level)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.levels[level].tables;
}

static void a_flush_leaves_nothing_in_memory(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    fill(f);
    answer = post(f, "/v1/admin/flush", NULL);
    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "application/json");
    assert_body(&answer, "{\"sequence\":100}\n");
    assert_int_equal(tables(f, 0), 1);
    fake_answer_release(&answer);
}

static void a_range_is_compacted(void **state)
{
    static const struct {
        const char *body;
        bool takes_it;
    } rows[] = {
        {"{\"start\":\"x\",\"end\":\"y\"}", false},
        {"{\"start\":\"eA==\",\"encoding\":\"base64\"}", false},
        {"{\"start\":\"key50\",\"end\":\"key51\"}", true},
        {"{}", true},
        {NULL, true},
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer;
        uint64_t before;

        fill(f);
        answer = post(f, "/v1/admin/flush", NULL);
        fake_answer_release(&answer);
        before = tables(f, 0);
        assert_true(before >= 1);
        answer = post(f, "/v1/admin/compact", rows[i].body);
        assert_answer(&answer, 200);
        if (tables(f, 0) != (rows[i].takes_it ? 0 : before))
            fail_msg("row %zu", i);
        fake_answer_release(&answer);
    }
}

static void a_checkpoint_is_made_in_its_folder(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    uint64_t size;

    fill(f);
    answer = post(f, "/v1/admin/checkpoint", "{\"dir\":\"one\"}");
    assert_problem(&answer, 409, "conflict");
    fake_answer_release(&answer);
    f->context.checkpoint_dir = "/copies";
    assert_ldb_ok(ldb_env_create_folder(f->env, "/copies", NULL), NULL);
    answer = post(f, "/v1/admin/checkpoint", "{\"dir\":\"one\"}");
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"dir\":\"one\"}\n");
    fake_answer_release(&answer);
    assert_ldb_ok(
        f->env->ops->file_size(f->env, "/copies/one/CURRENT", NULL, &size),
        NULL);
    answer = post(f, "/v1/admin/checkpoint", "{\"dir\":\"one\"}");
    assert_problem(&answer, 409, "conflict");
    fake_answer_release(&answer);
}

static void a_checkpoint_stays_in_its_folder(void **state)
{
    static const char *const bodies[] = {
        "{\"dir\":\"..\"}",
        "{\"dir\":\".\"}",
        "{\"dir\":\"\"}",
        "{\"dir\":\"/tmp/x\"}",
        "{\"dir\":\"a/b\"}",
        "{\"dir\":\"../a\"}",
        "{\"dir\":\".a\"}",
        "{\"dir\":\"a\\u0000\"}",
        "{\"dir\":\"a b\"}",
        "{\"dir\":1}",
        "{}",
        "{\"dir\":\"\\u00e4\"}",
        "{\"dir\":\"a\",\"b\":1}",
    };
    struct api_fixture *f = *state;

    f->context.checkpoint_dir = "/copies";
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct fake_answer answer = post(f, "/v1/admin/checkpoint", bodies[i]);

        if (answer.status != 400)
            fail_msg("%s: %u", bodies[i], answer.status);
        assert_problem(&answer, 400, "malformed");
        fake_answer_release(&answer);
    }
}

static void a_check_counts_and_names_what_is_damaged(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    struct ldb_writable_file *file = NULL;
    json_t *result;
    char path[64];
    unsigned found = 0;

    fill(f);
    answer = post(f, "/v1/admin/flush", NULL);
    fake_answer_release(&answer);
    answer = post(f, "/v1/admin/verify", NULL);
    assert_answer(&answer, 200);
    result = answer_json(&answer);
    assert_int_equal(json_integer_value(json_at(result, "tables")), 1);
    assert_int_equal(json_integer_value(json_at(result, "entries")), 100);
    assert_int_equal(json_integer_value(json_at(result, "damages")), 0);
    assert_int_equal(json_array_size(json_at(result, "errors")), 0);
    json_decref(result);
    fake_answer_release(&answer);

    /* Its table gone, whatever number it has. */
    for (unsigned number = 1; number < 20; number++) {
        uint64_t size;

        (void)snprintf(path, sizeof(path), "/db/%06u.ldb", number);
        if (f->env->ops->file_size(f->env, path, NULL, &size) != LDB_OK)
            continue;
        found++;
        assert_ldb_ok(f->env->ops->open_writable(
                          f->env, path, LDB_OPEN_TRUNCATE, NULL, &file),
                      NULL);
        assert_ldb_ok(ldb_file_close(file, NULL), NULL);
    }
    assert_int_equal(found, 1);
    answer = post(f, "/v1/admin/verify", NULL);
    assert_answer(&answer, 200);
    result = answer_json(&answer);
    assert_true(json_integer_value(json_at(result, "damages")) >= 1);
    assert_true(json_array_size(json_at(result, "errors")) >= 1);
    assert_non_null(
        strstr(json_string_value(json_array_get(json_at(result, "errors"), 0)),
               ".ldb"));
    json_decref(result);
    fake_answer_release(&answer);
}

/* A task that runs until the gate is opened: what is asked for waits. */
static struct api_task *hold_queue(struct api_fixture *f,
                                   struct task_gate *gate)
{
    struct api_task_work work;
    struct api_task *task = NULL;

    task_gate_init(gate);
    work = task_gate_work(gate, "gate", API_TASK_LONG);
    assert_ldb_ok(api_tasks_submit(f->context.tasks, &work, NULL, &task), NULL);
    task_gate_wait_begun(gate);
    return task;
}

static void what_lasts_longer_is_accepted_and_found_later(void **state)
{
    static const char *const at_once[] = {"Leveld-Timeout: 0s", NULL};
    struct api_fixture *f = *state;
    struct task_gate gate;
    struct api_task *task = hold_queue(f, &gate);
    struct fake_answer answer;

    answer = api_call(f, "POST", "/v1/admin/verify", at_once, NULL);
    assert_answer(&answer, 202);
    assert_body(&answer, "{\"id\":\"2\"}\n");
    assert_header(&answer, "Location", "/v1/admin/tasks/2");
    fake_answer_release(&answer);
    task_gate_open(&gate);
    /* The queue is in order: this one ends after it. */
    answer = post(f, "/v1/admin/verify", NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/admin/tasks/2", NULL, NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    api_task_unref(task);
    api_tasks_destroy(f->context.tasks);
    f->context.tasks = api_tasks_create(f->env);
    assert_non_null(f->context.tasks);
    task_gate_release(&gate);
}

static void more_than_the_queue_has_room_for_is_429(void **state)
{
    static const char *const at_once[] = {"Leveld-Timeout: 0s", NULL};
    struct api_fixture *f = *state;
    struct task_gate gate;
    struct api_task *task = hold_queue(f, &gate);
    struct fake_answer answer;

    for (unsigned i = 0; i <= API_TASKS_QUEUED_MAX; i++) {
        answer = api_call(f, "POST", "/v1/admin/verify", at_once, NULL);
        if (i < API_TASKS_QUEUED_MAX)
            assert_answer(&answer, 202);
        else
            assert_problem(&answer, 429, "overloaded");
        fake_answer_release(&answer);
    }
    task_gate_open(&gate);
    api_task_unref(task);
    api_tasks_destroy(f->context.tasks);
    f->context.tasks = api_tasks_create(f->env);
    assert_non_null(f->context.tasks);
    task_gate_release(&gate);
}

static void a_node_that_only_reads_checks_and_no_more(void **state)
{
    static const char *const targets[] = {
        "/v1/admin/flush", "/v1/admin/compact", "/v1/admin/checkpoint"};
    struct api_fixture *f = *state;
    struct fake_answer answer;

    f->context.read_only = true;
    for (size_t i = 0; i < 3; i++) {
        answer = post(f, targets[i], NULL);
        assert_problem(&answer, 409, "read-only");
        fake_answer_release(&answer);
    }
    answer = post(f, "/v1/admin/verify", NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
}

static void malformed_requests_start_nothing(void **state)
{
    static const struct {
        const char *target;
        const char *body;
        const char *header;
        unsigned status;
    } rows[] = {
        {"/v1/admin/compact?x=1", NULL, NULL, 400},
        {"/v1/admin/compact", "{\"start\":1}", NULL, 400},
        {"/v1/admin/compact", "{\"start\":\"!\",\"encoding\":\"hex\"}", NULL,
         400},
        {"/v1/admin/compact", "{\"from\":\"a\"}", NULL, 400},
        {"/v1/admin/compact", "[]", NULL, 400},
        {"/v1/admin/flush", "{\"a\":1}", NULL, 400},
        {"/v1/admin/verify", "{", NULL, 400},
        {"/v1/admin/flush", NULL, "Leveld-Timeout: 1", 400},
        {"/v1/admin/flush", NULL, "If-Match: *", 400},
        {"/v1/admin/flush", NULL, "Accept: text/html", 406},
        {"/v1/admin/flush/x", NULL, NULL, 404},
    };
    struct api_fixture *f = *state;
    struct api_task_info info;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *headers[] = {"Content-Type: application/json",
                                 rows[i].header, NULL};
        struct fake_answer answer =
            api_call(f, "POST", rows[i].target, headers, rows[i].body);

        if (answer.status != rows[i].status)
            fail_msg("row %zu: %u", i, answer.status);
        fake_answer_release(&answer);
    }
    assert_int_equal(api_tasks_list(f->context.tasks, &info, 1), 0);
}

static void a_stream_tells_of_the_task_to_its_end(void **state)
{
    static const char *const headers[] = {"Accept: application/x-ndjson", NULL};
    struct api_fixture *f = *state;
    struct fake_answer answer =
        api_call(f, "POST", "/v1/admin/flush", headers, NULL);
    char *last;

    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "application/x-ndjson");
    assert_false(answer.is_cut);
    assert_ldb_ok(ldb_buf_append_byte(&answer.body, '\0'), NULL);
    assert_non_null(
        strstr((char *)answer.body.data, "{\"id\":\"1\",\"state\":"));
    last = strstr((char *)answer.body.data, "{\"end\":true,\"count\":");
    assert_non_null(last);
    assert_non_null(strstr(last,
                           "\"state\":\"done\",\"result\":{\"sequence\":0}}"
                           "\n"));
    fake_answer_release(&answer);
}

static void properties_are_those_of_the_library(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer =
        api_call(f, "GET", "/v1/admin/properties/leveldb.stats", NULL, NULL);
    struct ldb_buf text = LDB_BUF_INIT(1 << 20);

    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "text/plain; charset=utf-8");
    assert_ldb_ok(ldb_property(f->db, "leveldb.stats", &text), NULL);
    assert_ldb_slice(ldb_slice_of_buf(&text), ldb_slice_of_buf(&answer.body));
    ldb_buf_release(&text);
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/admin/properties/none", NULL, NULL);
    assert_problem(&answer, 404, "not-found");
    fake_answer_release(&answer);
    answer =
        api_call(f, "GET", "/v1/admin/properties/leveldb.stats%00", NULL, NULL);
    assert_problem(&answer, 404, "not-found");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/admin/properties/", NULL, NULL);
    assert_problem(&answer, 404, "not-found");
    fake_answer_release(&answer);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_flush_leaves_nothing_in_memory),
        FIXTURE_TEST(a_range_is_compacted),
        FIXTURE_TEST(a_checkpoint_is_made_in_its_folder),
        FIXTURE_TEST(a_checkpoint_stays_in_its_folder),
        FIXTURE_TEST(a_check_counts_and_names_what_is_damaged),
        FIXTURE_TEST(what_lasts_longer_is_accepted_and_found_later),
        FIXTURE_TEST(more_than_the_queue_has_room_for_is_429),
        FIXTURE_TEST(a_node_that_only_reads_checks_and_no_more),
        FIXTURE_TEST(malformed_requests_start_nothing),
        FIXTURE_TEST(a_stream_tells_of_the_task_to_its_end),
        FIXTURE_TEST(properties_are_those_of_the_library),
    };

    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
