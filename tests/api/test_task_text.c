#include "api/task_text.h"

#include <string.h>

#include "storage/base/buf.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/task_gate.h"

static void documents_have_what_there_is_to_tell(void **state)
{
    static const struct {
        struct api_task_info info;
        const char *result;
        const char *text;
    } rows[] = {
        {{.id = 7,
          .kind = "compact",
          .state = API_TASK_RUNNING,
          .done = 3,
          .total = 9},
         "",
         "{\"id\":\"7\",\"kind\":\"compact\",\"state\":\"running\","
         "\"progress\":{\"done\":3,\"total\":9},"
         "\"started\":\"1970-01-01T00:00:00.000Z\"}"},
        {{.id = 8,
          .kind = "flush",
          .state = API_TASK_DONE,
          .ended_us = 1000000},
         "{\"sequence\":1}",
         "{\"id\":\"8\",\"kind\":\"flush\",\"state\":\"done\","
         "\"progress\":{\"done\":0,\"total\":0},"
         "\"started\":\"1970-01-01T00:00:00.000Z\","
         "\"ended\":\"1970-01-01T00:00:01.000Z\","
         "\"result\":{\"sequence\":1}}"},
        {{.id = 9,
          .kind = "verify",
          .state = API_TASK_FAILED,
          .status = LDB_IO,
          .error = {.message = "why"}},
         "",
         "{\"id\":\"9\",\"kind\":\"verify\",\"state\":\"failed\","
         "\"progress\":{\"done\":0,\"total\":0},"
         "\"started\":\"1970-01-01T00:00:00.000Z\",\"error\":{"
         "\"type\":\"/problems/internal\",\"title\":\"Internal error\","
         "\"status\":500,\"detail\":\"why\"}}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf out = LDB_BUF_INIT(4096);
        struct api_json json = api_json_make(&out);

        api_task_write(&json, &rows[i].info, ldb_slice_str(rows[i].result));
        assert_int_equal(json.status, LDB_OK);
        assert_ldb_slice(ldb_slice_str(rows[i].text), ldb_slice_of_buf(&out));
        ldb_buf_release(&out);
    }
}

/* ---- the stream ---- */

struct stream_fixture {
    struct api_fixture *api;
    struct task_gate gate;
    struct fake_exchange *fake;
    struct api_exchange *x;
};

static const struct fake_request request = {.method = "GET", .target = "/"};

static int setup(void **state)
{
    struct stream_fixture *f = test_calloc(1, sizeof(*f));
    struct api_task_work work;
    struct api_task *task = NULL;
    void *api = NULL;

    assert_int_equal(api_fixture_setup(&api), 0);
    f->api = api;
    task_gate_init(&f->gate);
    f->fake = fake_exchange_create(&f->api->context, &request);
    f->x = fake_exchange_get(f->fake);
    work = task_gate_work(&f->gate, "gate", API_TASK_LONG);
    assert_ldb_ok(api_tasks_submit(f->api->context.tasks, &work, NULL, &task),
                  NULL);
    task_gate_wait_begun(&f->gate);
    api_task_answer_stream(f->x, task);
    assert_int_equal(f->x->response.status, 200);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct stream_fixture *f = *state;
    void *api = f->api;

    fake_exchange_destroy(f->fake);
    assert_int_equal(api_fixture_teardown(&api), 0);
    task_gate_release(&f->gate);
    test_free(f);
    return 0;
}

/* The next line, or what read() said instead: "wait", "end", "cut". */
static const char *next(struct stream_fixture *f, char out[256])
{
    struct api_response *response = &f->x->response;
    int64_t len =
        response->stream_ops->read(response->stream, (uint8_t *)out, 255);

    if (len <= 0)
        return len == 0 ? "end" : len == API_STREAM_WAIT ? "wait" : "cut";
    out[len] = '\0';
    return out;
}

static void wait_reported(struct stream_fixture *f, uint64_t done)
{
    struct api_task_info info;

    task_gate_report(&f->gate, done);
    do
        assert_int_equal(api_tasks_list(f->api->context.tasks, &info, 1), 1);
    while (info.total != 100 || info.done != done);
}

static void a_line_comes_when_something_has_changed(void **state)
{
    struct stream_fixture *f = *state;
    char line[256];

    wait_reported(f, 10);
    assert_string_equal(next(f, line), "{\"id\":\"1\",\"state\":\"running\","
                                       "\"done\":10,\"total\":100}\n");
    assert_string_equal(next(f, line), "wait");
    wait_reported(f, 50);
    api_tasks_tick(f->api->context.tasks);
    fake_exchange_wait(f->fake);
    assert_string_equal(next(f, line), "{\"id\":\"1\",\"state\":\"running\","
                                       "\"done\":50,\"total\":100}\n");
    assert_string_equal(next(f, line), "wait");
    task_gate_open(&f->gate);
    fake_exchange_wait(f->fake);
    assert_string_equal(next(f, line),
                        "{\"end\":true,\"count\":2,\"id\":\"1\",\"state\":"
                        "\"done\",\"result\":{\"gate\":1}}\n");
    assert_string_equal(next(f, line), "end");
}

static void a_cancelled_task_ends_its_stream(void **state)
{
    struct stream_fixture *f = *state;
    char line[256];

    wait_reported(f, 10);
    (void)next(f, line);
    assert_string_equal(next(f, line), "wait");
    assert_int_equal(api_tasks_cancel(f->api->context.tasks, 1), LDB_OK);
    fake_exchange_wait(f->fake);
    assert_string_equal(next(f, line), "{\"end\":true,\"count\":1,\"id\":"
                                       "\"1\",\"state\":\"cancelled\"}\n");
    assert_string_equal(next(f, line), "end");
}

static void a_failure_is_the_last_line(void **state)
{
    struct stream_fixture *f = *state;
    char line[256];

    wait_reported(f, 10);
    (void)next(f, line);
    assert_string_equal(next(f, line), "wait");
    f->gate.status = LDB_IO;
    task_gate_open(&f->gate);
    fake_exchange_wait(f->fake);
    assert_non_null(strstr(next(f, line), "{\"error\":{\"type\":"));
    assert_string_equal(next(f, line), "cut");
}

static void a_service_that_ends_cuts_the_stream(void **state)
{
    struct stream_fixture *f = *state;
    char line[256];

    wait_reported(f, 10);
    (void)next(f, line);
    assert_string_equal(next(f, line), "wait");
    api_tasks_close(f->api->context.tasks);
    fake_exchange_wait(f->fake);
    assert_non_null(next(f, line));
    /* The task may have ended by then: cancelled is its end. */
    if (strstr(line, "\"end\":true") == NULL) {
        assert_non_null(strstr(line, "{\"error\":{\"type\":"));
        assert_string_equal(next(f, line), "cut");
    }
}

/* The client leaves while the stream waits. */
static void a_stream_may_be_destroyed_while_it_waits(void **state)
{
    struct stream_fixture *f = *state;
    char line[256];

    wait_reported(f, 10);
    (void)next(f, line);
    assert_string_equal(next(f, line), "wait");
}

#define STREAM_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_have_what_there_is_to_tell),
        STREAM_TEST(a_line_comes_when_something_has_changed),
        STREAM_TEST(a_cancelled_task_ends_its_stream),
        STREAM_TEST(a_failure_is_the_last_line),
        STREAM_TEST(a_service_that_ends_cuts_the_stream),
        STREAM_TEST(a_stream_may_be_destroyed_while_it_waits),
    };

    return cmocka_run_group_tests_name("task_text", tests, NULL, NULL);
}
