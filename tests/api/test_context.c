#include "api/context.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/backup.h"
#include "api/bulk.h"
#include "api/db_gate.h"
#include "api/metrics.h"
#include "api/multiget.h"
#include "api/range_delete.h"
#include "api/response.h"
#include "api/router.h"
#include "storage/base/buf.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static void limits_are_the_documented_ones(void **state)
{
    struct api_context context;

    (void)state;
    assert_ldb_ok(api_context_init(&context, NULL, ldb_env_posix(), NULL),
                  NULL);
    assert_int_equal(context.limits.key_bytes, 65536);
    assert_int_equal(context.limits.value_bytes, 67108864);
    assert_int_equal(context.limits.batch_bytes, 68157440);
    assert_int_equal(context.limits.json_batch_bytes, 100663296);
    assert_int_equal(context.limits.range_items_default, 100);
    assert_int_equal(context.limits.range_items_max, 10000);
    assert_int_equal(context.limits.page_bytes, 8388608);
    assert_true(context.sync_default);
    assert_false(context.read_only);
    assert_int_equal(api_metrics_route_count(context.metrics),
                     api_route_none() + 1);
    api_context_release(&context);
}

static void init_without_memory_leaves_nothing(void **state)
{
    struct api_context context;

    (void)state;
    mem_fault_start(1, MEM_FAULT_FOREVER);
    assert_int_equal(api_context_init(&context, NULL, ldb_env_posix(), NULL),
                     LDB_NO_MEMORY);
    assert_true(mem_fault_stop());
    api_context_release(&context);
}

static void jansson_takes_its_memory_from_us(void **state)
{
    struct api_context context;
    json_t *text;

    (void)state;
    assert_ldb_ok(api_context_init(&context, NULL, ldb_env_posix(), NULL),
                  NULL);
    mem_fault_start(1, MEM_FAULT_FOREVER);
    text = json_string("x");
    assert_true(mem_fault_stop());
    assert_null(text);
    api_context_release(&context);
}

/* ---- the database is exchanged ---- */

static const struct api_db_gate_reason changing = {
    .kind = API_PROBLEM_NO_LEADER,
    .reason = "changing-role",
    .detail = "this node is about to follow",
    .retry_after_s = 1,
};

/* Nobody is inside; another, empty database takes the place of the first. */
static void exchange(struct api_fixture *f)
{
    struct ldb_options options;
    struct ldb_error err = {0};

    assert_true(api_db_gate_wait(f->context.gate, 0));
    api_context_drop_db(&f->context);
    assert_ldb_ok(ldb_close(f->db, &err), &err);
    ldb_options_init(&options);
    options.env = f->env;
    options.create_if_missing = true;
    assert_ldb_ok(ldb_open("/db2", &options, NULL, &err, &f->db), &err);
    api_context_take_db(&f->context, f->db);
}

/* A request as far as its finish; body is given whole. */
static struct fake_exchange *begin(struct api_fixture *f,
                                   const struct fake_request *request)
{
    struct fake_exchange *fake = fake_exchange_create(&f->context, request);
    struct api_exchange *x = fake_exchange_get(fake);

    api_exchange_begin(x);
    assert_false(x->response.ready);
    x->body = (struct ldb_buf)LDB_BUF_INIT(x->body_limit);
    assert_ldb_ok(ldb_buf_append(&x->body, request->body), NULL);
    api_exchange_finish(x);
    return fake;
}

static void end(struct fake_exchange *fake)
{
    api_exchange_abandon(fake_exchange_get(fake));
    fake_exchange_destroy(fake);
}

static bool body_has(struct fake_exchange *fake, const char *text)
{
    const struct ldb_buf *body = &fake_exchange_get(fake)->response.body;

    return body->len > 0 &&
           memmem(body->data, body->len, text, strlen(text)) != NULL;
}

static void without_a_database_every_route_answers(void **state)
{
    struct api_context context;
    const struct api_route *routes;
    size_t count;

    (void)state;
    assert_ldb_ok(api_context_init(&context, NULL, ldb_env_posix(), NULL),
                  NULL);
    context.data_dir = "/";
    routes = api_routes(&count);
    api_context_tick(&context);
    for (size_t i = 0; i < count; i++) {
        struct fake_request request = {.target = routes[i].path};
        struct fake_answer answer;

        for (enum api_method m = API_GET; m < API_METHOD_OTHER; m++) {
            /* A HEAD's problem has no body to look at. */
            if (m != API_HEAD && (routes[i].methods & API_METHOD_BIT(m)) != 0)
                request.method = api_method_text(m);
        }
        fake_run(&context, &request, &answer);
        assert_true(answer.is_ready);
        if (routes[i].database)
            assert_problem(&answer, 503, "overloaded");
        fake_answer_release(&answer);
    }
    api_context_release(&context);
}

static void another_database_takes_its_place(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/a", "1");
    api_context_shut(&f->context, &changing);
    answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    assert_problem(&answer, 503, "no-leader");
    assert_header(&answer, "Retry-After", "1");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/readyz", NULL, NULL);
    assert_problem(&answer, 503, "no-leader");
    fake_answer_release(&answer);
    exchange(f);
    answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    assert_problem(&answer, 404, "not-found");
    fake_answer_release(&answer);
    assert_int_equal(api_put(f, "/v1/kv/a", "2"), 1);
}

static void a_snapshot_goes_with_its_database(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer =
        api_call(f, "POST", "/v1/snapshots", NULL, NULL);
    char path[64];

    assert_answer(&answer, 201);
    assert_non_null(
        fake_answer_header(&answer, "Location", path, sizeof(path)));
    fake_answer_release(&answer);
    api_context_shut(&f->context, &changing);
    exchange(f);
    answer = api_call(f, "POST", path, NULL, NULL);
    assert_problem(&answer, 410, "expired");
    fake_answer_release(&answer);
}

/* A slow reader of an answer holds up nobody. */
static void who_is_answered_is_out(void **state)
{
    static const char *const json[] = {"Content-Type: application/json", NULL};
    const struct fake_request requests[] = {
        {.method = "GET", .target = "/v1/kv/a"},
        {.method = "GET", .target = "/v1/range"},
        {.method = "POST", .target = "/v1/snapshots"},
        {.method = "POST",
         .target = "/v1/multiget",
         .headers = json,
         .body = ldb_slice_str("{\"keys\":[\"a\"]}")},
    };
    struct api_fixture *f = *state;
    struct fake_exchange *fakes[4];
    struct ldb_stats stats;

    (void)api_put(f, "/v1/kv/a", "1");
    for (size_t i = 0; i < 4; i++) {
        fakes[i] = begin(f, &requests[i]);
        assert_true(fake_exchange_get(fakes[i])->response.ready);
        assert_int_equal(api_db_gate_inside(f->context.gate), 0);
    }
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.live_cursors, 0);
    assert_int_equal(stats.live_snapshots, 1); /* the named one */
    api_context_shut(&f->context, &changing);
    exchange(f);
    for (size_t i = 0; i < 4; i++)
        end(fakes[i]);
}

static void a_write_under_way_is_still_committed(void **state)
{
    const struct fake_request request = {
        .method = "PUT", .target = "/v1/kv/a", .body = ldb_slice_str("1")};
    struct api_fixture *f = *state;
    struct fake_exchange *fake = begin(f, &request);
    struct api_exchange *x = fake_exchange_get(fake);

    assert_false(x->response.ready);
    api_context_shut(&f->context, &changing);
    assert_false(api_db_gate_wait(f->context.gate, 0));
    api_pass_end(&f->context);
    fake_exchange_wait(fake);
    api_exchange_resume(x);
    assert_int_equal(x->response.status, 204);
    exchange(f);
    end(fake);
}

static void who_waits_for_a_sequence_is_answered(void **state)
{
    static const char *const headers[] = {"Leveld-Min-Sequence: 99",
                                          "Leveld-Timeout: 1h", NULL};
    const struct fake_request request = {
        .method = "GET", .target = "/v1/kv/a", .headers = headers};
    struct api_fixture *f = *state;
    struct fake_exchange *fake = begin(f, &request);
    struct api_exchange *x = fake_exchange_get(fake);

    api_context_shut(&f->context, &changing);
    fake_exchange_wait(fake);
    api_exchange_resume(x);
    assert_int_equal(x->response.status, 503);
    assert_true(body_has(fake, "/problems/lagging"));
    exchange(f);
    end(fake);
    /* With another database there is waiting again. */
    fake = begin(f, &request);
    x = fake_exchange_get(fake);
    assert_false(x->response.ready);
    api_context_drain(&f->context);
    fake_exchange_wait(fake);
    api_exchange_resume(x);
    end(fake);
}

/* Reads a stream to its end or cut; what it gave, as text. */
static int64_t read_out(struct fake_exchange *fake, char *text, size_t size)
{
    struct api_response *response = &fake_exchange_get(fake)->response;
    size_t len = 0;
    int64_t n;

    do {
        n = response->stream_ops->read(response->stream, (uint8_t *)text + len,
                                       size - 1 - len);
        if (n > 0)
            len += (size_t)n;
    } while (n > 0);
    text[len] = '\0';
    return n;
}

/* As the service, when a stream has ended. */
static void end_stream(struct fake_exchange *fake)
{
    struct api_exchange *x = fake_exchange_get(fake);

    x->response.stream_ops->destroy(x->response.stream);
    x->response.stream = NULL;
    api_exchange_end_stream(x);
}

static void a_stream_is_cut_with_its_reason(void **state)
{
    static const char *const lines[] = {"Accept: application/x-ndjson", NULL};
    static const char *const events[] = {"Accept: text/event-stream", NULL};
    static const struct {
        struct fake_request request;
        const char *end;
        int64_t last; /* what its last read gives */
    } rows[] = {
        {{.method = "GET", .target = "/v1/range", .headers = lines},
         "{\"error\":{\"type\":\"/problems/no-leader\"",
         API_STREAM_FAILED},
        {{.method = "GET", .target = "/v1/changes?since=0", .headers = lines},
         "{\"error\":{\"type\":\"/problems/no-leader\"",
         API_STREAM_FAILED},
        {{.method = "GET", .target = "/v1/changes?since=0", .headers = events},
         "{\"end\":true,\"count\":0,\"sequence\":0}",
         0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_exchange *fake;
        struct api_fixture *f;
        void *fixture = NULL;
        char text[4096];

        (void)api_fixture_setup(&fixture);
        f = fixture;
        (void)api_put(f, "/v1/kv/a", "1");
        (void)api_put(f, "/v1/kv/b", "2");
        fake = begin(f, &rows[i].request);
        assert_int_equal(api_db_gate_inside(f->context.gate), 1);
        api_context_shut(&f->context, &changing);
        assert_int_equal(read_out(fake, text, sizeof(text)), rows[i].last);
        if (strstr(text, rows[i].end) == NULL)
            fail_msg("row %zu: %s", i, text);
        assert_false(api_db_gate_wait(f->context.gate, 0));
        end_stream(fake);
        exchange(f);
        end(fake);
        (void)api_fixture_teardown(&fixture);
    }
}

static void a_value_that_is_read_slowly_holds_nothing(void **state)
{
    static const char *const json[] = {"Accept: application/json", NULL};
    const struct fake_request request = {
        .method = "GET", .target = "/v1/kv/a", .headers = json};
    struct api_fixture *f = *state;
    struct fake_exchange *fake;
    char text[128];

    (void)api_put(f, "/v1/kv/a", "1");
    fake = begin(f, &request);
    api_context_shut(&f->context, &changing);
    exchange(f);
    assert_int_equal(read_out(fake, text, sizeof(text)), 0);
    assert_non_null(strstr(text, "\"value\":\"1\""));
    end(fake);
}

static void a_backup_is_cut_and_lets_go(void **state)
{
    const struct fake_request request = {.method = "GET",
                                         .target = "/v1/backup"};
    struct api_fixture *f = *state;
    struct fake_exchange *fake;
    struct api_exchange *x;
    char text[4096];

    (void)api_put(f, "/v1/kv/a", "1");
    fake = begin(f, &request);
    x = fake_exchange_get(fake);
    if (!x->response.ready) {
        fake_exchange_wait(fake);
        api_exchange_resume(x);
    }
    assert_int_equal(x->response.status, 200);
    api_context_shut(&f->context, &changing);
    assert_int_equal(read_out(fake, text, sizeof(text)), API_STREAM_FAILED);
    assert_false(api_db_gate_wait(f->context.gate, 0));
    end_stream(fake);
    exchange(f);
    end(fake);
}

static void a_range_is_deleted_as_far_as_it_got(void **state)
{
    const struct fake_request request = {.method = "DELETE",
                                         .target = "/v1/range?start="};
    struct api_fixture *f = *state;
    struct fake_exchange *fake;
    struct api_exchange *x;

    for (unsigned i = 0; i < 2 * API_RANGE_DELETE_KEYS; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "k%05u", i);
        assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str("v"),
                              false, NULL, NULL),
                      NULL);
    }
    fake = begin(f, &request);
    x = fake_exchange_get(fake);
    api_context_shut(&f->context, &changing);
    api_pass_end(&f->context);
    fake_exchange_wait(fake);
    api_exchange_resume(x);
    assert_int_equal(x->response.status, 503);
    assert_true(body_has(fake, "\"deleted\":1000"));
    exchange(f);
    end(fake);
}

/* The next bytes of a body that is taken in pieces. */
static void give(struct api_fixture *f, struct fake_exchange *fake,
                 const char *line, unsigned count)
{
    struct api_exchange *x = fake_exchange_get(fake);

    for (unsigned i = 0; i < count; i++)
        assert_ldb_ok(ldb_buf_append(&x->body, ldb_slice_str(line)), NULL);
    assert_true(x->body.len >= x->body_window);
    x->wants_body = false;
    api_exchange_take(x);
    while (!x->response.ready && !x->wants_body) {
        api_pass_end(&f->context);
        fake_exchange_wait(fake);
        api_exchange_resume(x);
    }
}

/* A load of any length does not hold the database while its body comes, and
 * says what stands when it is turned away. */
static void a_load_is_turned_away_between_its_pieces(void **state)
{
    static const char *const headers[] = {"Content-Type: application/x-ndjson",
                                          NULL};
    static const struct {
        const char *target;
        const char *type;
    } rows[] = {
        {"/v1/batch?sync=false", "/problems/no-leader"},
        {"/v1/batch", "/problems/outcome-unknown"},
    };
    const char *line = "{\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"}\n";

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct fake_request request = {.method = "POST",
                                             .target = rows[i].target,
                                             .headers = headers,
                                             .is_chunked = true};
        unsigned count = (unsigned)(API_BULK_WINDOW / strlen(line) + 1);
        struct fake_exchange *fake;
        struct api_exchange *x;
        struct api_fixture *f;
        void *fixture = NULL;
        char written[32];

        (void)api_fixture_setup(&fixture);
        f = fixture;
        fake = fake_exchange_create(&f->context, &request);
        x = fake_exchange_get(fake);
        api_exchange_begin(x);
        x->body = (struct ldb_buf)LDB_BUF_INIT(x->body_limit);
        give(f, fake, line, count);
        assert_true(x->wants_body);
        assert_int_equal(api_db_gate_inside(f->context.gate), 0);
        api_context_shut(&f->context, &changing);
        assert_true(api_db_gate_wait(f->context.gate, 0));
        give(f, fake, line, count);
        assert_true(x->response.ready);
        assert_true(body_has(fake, rows[i].type));
        (void)snprintf(written, sizeof(written), "\"count\":%u", count);
        assert_true(body_has(fake, written));
        exchange(f);
        end(fake);
        (void)api_fixture_teardown(&fixture);
    }
}

/* Work that was asked for before is not done afterwards. */
static void a_task_that_comes_too_late_is_refused(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    api_context_shut(&f->context, &changing);
    answer = api_call(f, "POST", "/v1/admin/flush", NULL, NULL);
    assert_problem(&answer, 503, "overloaded");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/backup", NULL, NULL);
    assert_problem(&answer, 503, "overloaded");
    fake_answer_release(&answer);
    exchange(f);
    answer = api_call(f, "POST", "/v1/admin/flush", NULL, NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    assert_int_equal(api_db_gate_inside(f->context.gate), 0);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_the_documented_ones),
        cmocka_unit_test(init_without_memory_leaves_nothing),
        cmocka_unit_test(jansson_takes_its_memory_from_us),
        cmocka_unit_test(without_a_database_every_route_answers),
        FIXTURE_TEST(another_database_takes_its_place),
        FIXTURE_TEST(a_snapshot_goes_with_its_database),
        FIXTURE_TEST(who_is_answered_is_out),
        FIXTURE_TEST(a_write_under_way_is_still_committed),
        FIXTURE_TEST(who_waits_for_a_sequence_is_answered),
        cmocka_unit_test(a_stream_is_cut_with_its_reason),
        FIXTURE_TEST(a_value_that_is_read_slowly_holds_nothing),
        FIXTURE_TEST(a_backup_is_cut_and_lets_go),
        FIXTURE_TEST(a_range_is_deleted_as_far_as_it_got),
        cmocka_unit_test(a_load_is_turned_away_between_its_pieces),
        FIXTURE_TEST(a_task_that_comes_too_late_is_refused),
    };

    return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
