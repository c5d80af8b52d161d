#include "api/router.h"

#include <string.h>

#include "api/metrics.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/malformed_requests.h"
#include "tests/support/mem_fault.h"

static void the_table_has_each_method_of_a_path_once(void **state)
{
    size_t count;
    const struct api_route *routes = api_routes(&count);

    (void)state;
    assert_int_equal(api_route_none(), count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(routes[i].path);

        assert_non_null(routes[i].finish);
        assert_true(routes[i].methods != 0);
        /* But "/", which is one page. */
        assert_int_equal(routes[i].is_prefix,
                         len > 1 && routes[i].path[len - 1] == '/');
        assert_non_null(strstr(routes[i].name, routes[i].path));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(routes[i].path, routes[j].path) == 0)
                assert_int_equal(routes[i].methods & routes[j].methods, 0);
        }
    }
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
    static const struct {
        const char *target;
        const char *allow;
    } rows[] = {
        {"/v1/kv/a", "GET, HEAD, PUT, DELETE"},
        {"/v1/batch", "POST"},
        {"/v1/range", "GET, HEAD, DELETE"},
        {"/v1/size", "GET, HEAD"},
        {"/v1/multiget", "POST"},
        {"/v1/snapshots", "GET, HEAD, POST"},
        {"/v1/snapshots/1", "POST, DELETE"},
        {"/", "GET, HEAD"},
        {"/v1/admin/compact", "POST"},
        {"/v1/admin/flush", "POST"},
        {"/v1/admin/checkpoint", "POST"},
        {"/v1/admin/verify", "POST"},
        {"/v1/admin/properties/a", "GET, HEAD"},
        {"/v1/admin/tasks", "GET, HEAD"},
        {"/v1/admin/tasks/1", "GET, HEAD, DELETE"},
        {"/v1/backup", "GET"},
        {"/stats", "GET, HEAD"},
        {"/metrics", "GET, HEAD"},
        {"/openapi.json", "GET, HEAD"},
        {"/healthz", "GET, HEAD"},
        {"/readyz", "GET, HEAD"},
        {"/version", "GET, HEAD"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer =
            api_call(*state, "PATCH", rows[i].target, NULL, NULL);

        assert_problem(&answer, 405, "method-not-allowed");
        assert_header(&answer, "Allow", rows[i].allow);
        fake_answer_release(&answer);
    }
}

static void every_answer_says_role_and_epoch(void **state)
{
    static const char *const targets[] = {"/nothing", "/v1/kv/a", "/healthz"};

    for (size_t i = 0; i < 3; i++) {
        struct fake_answer answer =
            api_call(*state, "GET", targets[i], NULL, NULL);

        assert_header(&answer, "Leveld-Role", "leader");
        assert_header(&answer, "Leveld-Epoch", "7");
        fake_answer_release(&answer);
    }
}

static void a_head_is_its_get_without_the_body(void **state)
{
    static const char *const targets[] = {"/v1/kv/a",  "/v1/kv/missing",
                                          "/healthz",  "/version",
                                          "/v1/range", "/nothing"};
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "value");
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct fake_answer get = api_call(f, "GET", targets[i], NULL, NULL);
        struct fake_answer head = api_call(f, "HEAD", targets[i], NULL, NULL);

        assert_int_equal(head.status, get.status);
        assert_string_equal(head.content_type, get.content_type);
        assert_ldb_slice(ldb_slice_of_buf(&get.headers),
                         ldb_slice_of_buf(&head.headers));
        assert_int_equal(head.body.len, 0);
        assert_int_equal(head.body_kind, API_BODY_NONE);
        assert_int_equal(head.head_length, get.body.len);
        fake_answer_release(&get);
        fake_answer_release(&head);
    }
}

static void a_head_of_a_stream_has_no_length(void **state)
{
    static const char *const headers[] = {"Accept: application/x-ndjson", NULL};
    struct fake_answer head =
        api_call(*state, "HEAD", "/v1/range", headers, NULL);

    assert_answer(&head, 200);
    assert_true(head.head_length == API_LENGTH_UNKNOWN);
    fake_answer_release(&head);
}

static void
malformed_requests_get_their_problem_and_change_nothing(void **state)
{
    struct api_fixture *f = *state;
    size_t count;
    const struct malformed_request *requests = malformed_requests(&count);
    ldb_sequence before = api_put(f, "/v1/kv/a", "1");

    assert_true(count >= 40);
    for (size_t i = 0; i < count; i++) {
        struct fake_answer answer = api_call_bytes(
            f, requests[i].method, requests[i].target, requests[i].headers,
            ldb_slice_make(requests[i].body, requests[i].body_len));

        if (answer.status != requests[i].status)
            fail_msg("%s: %u", requests[i].name, answer.status);
        assert_problem(&answer, requests[i].status, requests[i].type);
        fake_answer_release(&answer);
    }
    assert_int_equal(ldb_last_sequence(f->db), before);
}

static void a_body_over_the_limit_is_refused_before_it_is_sent(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    f->context.limits.value_bytes = 4;
    answer = api_call(f, "PUT", "/v1/kv/a", NULL, "12345");
    assert_problem(&answer, 413, "too-large");
    assert_false(answer.is_body_refused); /* begin saw its Content-Length */
    fake_answer_release(&answer);
    assert_int_equal(ldb_last_sequence(f->db), 0);
    (void)api_put(f, "/v1/kv/a", "1234");
}

static void a_chunked_body_over_the_limit_is_refused_as_it_comes(void **state)
{
    struct api_fixture *f = *state;
    struct fake_request request = {.method = "PUT",
                                   .target = "/v1/kv/a",
                                   .body = ldb_slice_str("12345"),
                                   .is_chunked = true};
    struct fake_answer answer;

    f->context.limits.value_bytes = 4;
    fake_run(&f->context, &request, &answer);
    assert_problem(&answer, 413, "too-large");
    assert_true(answer.is_body_refused);
    fake_answer_release(&answer);
    assert_int_equal(ldb_last_sequence(f->db), 0);
}

static uint64_t counted(struct api_fixture *f, size_t route,
                        enum api_outcome outcome)
{
    struct api_route_figures figures;

    api_metrics_read(f->context.metrics, route, &figures);
    return figures.count[outcome];
}

static size_t index_of(const char *name)
{
    size_t count;
    const struct api_route *routes = api_routes(&count);
    size_t i = 0;

    while (i < count && strcmp(routes[i].name, name) != 0)
        i++;
    return i;
}

static void every_exchange_is_counted_once_at_its_route(void **state)
{
    struct api_fixture *f = *state;
    size_t put = index_of("PUT /v1/kv/{key}");
    size_t get = index_of("GET /v1/kv/{key}");
    struct fake_request leaver = {
        .method = "PUT", .target = "/v1/kv/b", .leaves = true};
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/a", "1");
    answer = api_call(f, "HEAD", "/v1/kv/a", NULL, NULL);
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/kv/missing", NULL, NULL);
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/nothing", NULL, NULL);
    fake_answer_release(&answer);
    fake_run(&f->context, &leaver, &answer);
    fake_answer_release(&answer);
    assert_int_equal(counted(f, put, API_OUTCOME_2XX), 1);
    assert_int_equal(counted(f, put, API_OUTCOME_ABANDONED), 1);
    assert_int_equal(counted(f, get, API_OUTCOME_2XX), 1);
    assert_int_equal(counted(f, get, API_OUTCOME_4XX), 1);
    assert_int_equal(counted(f, api_route_none(), API_OUTCOME_4XX), 1);
}

static void routes_have_their_labels(void **state)
{
    (void)state;
    assert_string_equal(api_route_label(0), "GET /v1/kv/{key}");
    assert_string_equal(api_route_label(api_route_none()), "other");
}

static void methods_have_their_texts(void **state)
{
    (void)state;
    assert_string_equal(api_method_text(API_DELETE), "DELETE");
    assert_string_equal(api_method_text(API_METHOD_OTHER), "");
}

/*
 * Every allocation of one request fails in turn, in api/ or below: the answer
 * is the good one or a 503, never anything else.
 */
static void requests_without_memory_are_503(void **state)
{
    static const struct {
        const char *method;
        const char *target;
        const char *headers[3];
        const char *body;
    } rows[] = {
        {"GET", "/v1/kv/%61?enc=hex", {NULL}, ""},
        {"GET", "/v1/kv/a", {"Accept: application/json"}, ""},
        {"GET", "/v1/kv/a", {"Range: bytes=1-2"}, ""},
        {"GET", "/v1/kv/a", {"Range: bytes=9-"}, ""},
        {"GET", "/v1/kv/a", {"If-None-Match: \"1\""}, ""},
        {"GET", "/v1/range?prefix=a&limit=1", {NULL}, ""},
        {"GET", "/v1/range?start=%00", {"Accept: application/x-ndjson"}, ""},
        {"GET", "/v1/size?start=%61", {NULL}, ""},
        {"POST",
         "/v1/multiget",
         {"Content-Type: application/json"},
         "{\"keys\":[\"YQ==\",\"YWI=\",\"eA==\"],\"encoding\":\"base64\"}"},
        {"POST",
         "/v1/multiget",
         {"Content-Type: application/json"},
         "{\"keys\":[1]}"},
        {"DELETE", "/v1/range?prefix=x", {NULL}, ""},
        {"POST",
         "/v1/snapshots",
         {"Content-Type: application/json"},
         "{\"ttl\":\"1m\"}"},
        {"GET", "/v1/snapshots", {NULL}, ""},
        {"GET", "/", {NULL}, ""},
        {"GET", "/stats", {NULL}, ""},
        {"GET", "/metrics", {NULL}, ""},
        {"GET", "/openapi.json", {NULL}, ""},
        {"GET", "/readyz", {NULL}, ""},
        {"GET", "/version", {NULL}, ""},
        {"PATCH", "/v1/kv/a", {NULL}, ""},
        {"GET", "/nothing", {NULL}, ""},
    };
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "value");
    (void)api_put(f, "/v1/kv/ab", "value");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer good = api_call(f, rows[i].method, rows[i].target,
                                           rows[i].headers, rows[i].body);

        for (uint64_t n = 1;; n++) {
            struct fake_answer answer;
            bool failed;

            mem_fault_start(n, MEM_FAULT_ONCE);
            answer = api_call(f, rows[i].method, rows[i].target,
                              rows[i].headers, rows[i].body);
            failed = mem_fault_stop();
            if (answer.status != good.status && answer.status != 503)
                fail_msg("%s %s: %u at allocation %u", rows[i].method,
                         rows[i].target, answer.status, (unsigned)n);
            fake_answer_release(&answer);
            if (!failed)
                break;
        }
        fake_answer_release(&good);
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_has_each_method_of_a_path_once),
        cmocka_unit_test(methods_have_their_texts),
        cmocka_unit_test(routes_have_their_labels),
        FIXTURE_TEST(a_wrong_method_is_told_the_right_ones),
        FIXTURE_TEST(every_answer_says_role_and_epoch),
        FIXTURE_TEST(a_head_is_its_get_without_the_body),
        FIXTURE_TEST(a_head_of_a_stream_has_no_length),
        FIXTURE_TEST(malformed_requests_get_their_problem_and_change_nothing),
        FIXTURE_TEST(a_body_over_the_limit_is_refused_before_it_is_sent),
        FIXTURE_TEST(a_chunked_body_over_the_limit_is_refused_as_it_comes),
        FIXTURE_TEST(every_exchange_is_counted_once_at_its_route),
        FIXTURE_TEST(requests_without_memory_are_503),
    };

    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
