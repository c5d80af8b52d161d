#include "api/snapshot_routes.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static const char *const json_headers[] = {"Content-Type: application/json",
                                           NULL};

/* POST /v1/snapshots; its id. */
static void take(struct api_fixture *f, char id[API_SNAPSHOT_ID_SIZE])
{
    struct fake_answer answer =
        api_call(f, "POST", "/v1/snapshots", NULL, NULL);
    struct api_snapshot_id parsed;
    json_t *body;
    char location[64];

    assert_answer(&answer, 201);
    body = answer_json(&answer);
    (void)snprintf(id, API_SNAPSHOT_ID_SIZE, "%s",
                   json_string_value(json_object_get(body, "id")));
    assert_true(api_snapshot_id_parse(ldb_slice_str(id), &parsed));
    assert_int_equal(json_integer_value(json_object_get(body, "sequence")),
                     ldb_last_sequence(f->db));
    assert_int_equal(json_string_length(json_object_get(body, "expires")),
                     sizeof("2026-11-22T12:00:00.000Z") - 1);
    (void)snprintf(location, sizeof(location), "/v1/snapshots/%s", id);
    assert_header(&answer, "Location", location);
    json_decref(body);
    fake_answer_release(&answer);
}

/* A request whose target ends in the id. */
static struct fake_answer call(struct api_fixture *f, const char *method,
                               const char *format, const char *id,
                               const char *const *headers, const char *body)
{
    char target[256];
    size_t len = strlen(format);

    (void)snprintf(target, sizeof(target), "%s%s", format, id);
    assert_true(len + strlen(id) < sizeof(target));
    return api_call(f, method, target, headers, body);
}

static void expect_gone(struct api_fixture *f, const char *method,
                        const char *format, const char *id)
{
    struct fake_answer answer = call(f, method, format, id, NULL, NULL);

    assert_problem(&answer, 410, "expired");
    fake_answer_release(&answer);
}

static void every_read_can_name_a_snapshot(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    char id[API_SNAPSHOT_ID_SIZE];
    char body[128];

    (void)api_put(f, "/v1/kv/a", "old");
    (void)api_put(f, "/v1/kv/b", "gone");
    take(f, id);
    (void)api_put(f, "/v1/kv/a", "new");
    answer = api_call(f, "DELETE", "/v1/kv/b", NULL, NULL);
    fake_answer_release(&answer);

    answer = call(f, "GET", "/v1/kv/a?snapshot=", id, NULL, NULL);
    assert_answer(&answer, 200);
    assert_body(&answer, "old");
    assert_header(&answer, "ETag", "\"1\"");
    assert_header(&answer, "Leveld-Sequence", "2");
    fake_answer_release(&answer);

    answer = call(f, "HEAD", "/v1/kv/b?snapshot=", id, NULL, NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);

    answer = call(f, "GET", "/v1/kv/c?snapshot=", id, NULL, NULL);
    assert_problem(&answer, 404, "not-found");
    assert_header(&answer, "Leveld-Sequence", "2");
    fake_answer_release(&answer);

    answer = call(f, "GET", "/v1/range?values=false&snapshot=", id, NULL, NULL);
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"items\":[{\"key\":\"a\",\"sequence\":1},"
                         "{\"key\":\"b\",\"sequence\":2}]}\n");
    assert_header(&answer, "Leveld-Sequence", "2");
    fake_answer_release(&answer);

    (void)snprintf(body, sizeof(body),
                   "{\"keys\":[\"a\",\"b\"],\"values\":false,"
                   "\"snapshot\":\"%s\"}",
                   id);
    answer = api_call(f, "POST", "/v1/multiget", json_headers, body);
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"items\":[{\"key\":\"a\",\"sequence\":1},"
                         "{\"key\":\"b\",\"sequence\":2}]}\n");
    fake_answer_release(&answer);

    answer = call(f, "DELETE", "/v1/snapshots/", id, NULL, NULL);
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    expect_gone(f, "GET", "/v1/kv/a?snapshot=", id);
    expect_gone(f, "GET", "/v1/range?snapshot=", id);
    expect_gone(f, "POST", "/v1/snapshots/", id);
    expect_gone(f, "DELETE", "/v1/snapshots/", id);
    answer = api_call(f, "POST", "/v1/multiget", json_headers, body);
    assert_problem(&answer, 410, "expired");
    fake_answer_release(&answer);
}

static void pages_of_a_snapshot_are_one_view(void **state)
{
    static const char *const headers[] = {"Accept: application/x-ndjson", NULL};
    struct api_fixture *f = *state;
    struct fake_answer answer;
    char id[API_SNAPSHOT_ID_SIZE];
    char next[256];
    json_t *body;

    (void)api_put(f, "/v1/kv/a", "1");
    (void)api_put(f, "/v1/kv/b", "2");
    (void)api_put(f, "/v1/kv/c", "3");
    take(f, id);
    answer = api_call(f, "DELETE", "/v1/range?start=", NULL, NULL);
    fake_answer_release(&answer);
    answer = call(f, "GET", "/v1/range?limit=1&snapshot=", id, NULL, NULL);
    assert_answer(&answer, 200);
    body = answer_json(&answer);
    (void)snprintf(next, sizeof(next), "%s",
                   json_string_value(json_object_get(body, "next")));
    json_decref(body);
    fake_answer_release(&answer);
    /* The cursor names it: nothing else need be said. */
    answer = call(f, "GET", "/v1/range?limit=1&values=false&cursor=", next,
                  headers, NULL);
    assert_answer(&answer, 200);
    assert_non_null(strstr((const char *)answer.body.data,
                           "{\"key\":\"b\",\"sequence\":2}\n{\"end\":true,"
                           "\"count\":1,\"sequence\":3,\"next\":\""));
    fake_answer_release(&answer);
    answer = call(f, "DELETE", "/v1/snapshots/", id, NULL, NULL);
    fake_answer_release(&answer);
    expect_gone(f, "GET", "/v1/range?cursor=", next);
}

static void a_stream_outlives_its_snapshot(void **state)
{
    static const char *const headers[] = {"Accept: application/x-ndjson", NULL};
    struct api_fixture *f = *state;
    struct fake_request request;
    struct fake_exchange *fake;
    struct fake_answer answer;
    struct api_exchange *x;
    char id[API_SNAPSHOT_ID_SIZE];
    char target[128];
    uint8_t text[256];
    int64_t len;

    (void)api_put(f, "/v1/kv/a", "1");
    take(f, id);
    (void)snprintf(target, sizeof(target), "/v1/range?values=false&snapshot=%s",
                   id);
    request = (struct fake_request){
        .method = "GET", .target = target, .headers = headers};
    fake = fake_exchange_create(&f->context, &request);
    x = fake_exchange_get(fake);
    api_exchange_begin(x);
    api_exchange_finish(x);
    answer = call(f, "DELETE", "/v1/snapshots/", id, NULL, NULL);
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    answer = api_call(f, "DELETE", "/v1/kv/a", NULL, NULL);
    fake_answer_release(&answer);
    len = x->response.stream_ops->read(x->response.stream, text, sizeof(text));
    assert_true(len > 0);
    assert_ldb_bytes("{\"key\":\"a\",\"sequence\":1}\n"
                     "{\"end\":true,\"count\":1,\"sequence\":1}\n",
                     ldb_slice_make(text, (size_t)len));
    api_exchange_abandon(x);
    fake_exchange_destroy(fake);
}

static void times_to_live_have_their_limits(void **state)
{
    static const struct {
        const char *body;
        unsigned status;
    } rows[] = {
        {"", 201},
        {"{}", 201},
        {"{\"ttl\":\"1ms\"}", 201},
        {"{\"ttl\":\"1h\"}", 201},
        {"{\"ttl\":\"60m\"}", 201},
        {"{\"ttl\":\"61m\"}", 400},
        {"{\"ttl\":\"2h\"}", 400},
        {"{\"ttl\":\"0s\"}", 400},
        {"{\"ttl\":60}", 400},
        {"{\"ttl\":null}", 400},
        {"{\"TTL\":\"1s\"}", 400},
    };
    struct api_fixture *f = *state;
    char id[API_SNAPSHOT_ID_SIZE];

    take(f, id);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer =
            api_call(f, "POST", "/v1/snapshots", json_headers, rows[i].body);

        if (answer.status != rows[i].status)
            fail_msg("%s: %u", rows[i].body, answer.status);
        fake_answer_release(&answer);
        answer = call(f, "POST", "/v1/snapshots/", id, json_headers,
                      strcmp(rows[i].body, "{\"ttl\":\"1ms\"}") == 0
                          ? "{\"ttl\":\"1m\"}"
                          : rows[i].body);
        assert_answer(&answer, rows[i].status == 201 ? 200 : 400);
        fake_answer_release(&answer);
    }
}

static void one_too_many_is_429(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    char id[API_SNAPSHOT_ID_SIZE];

    f->context.limits.snapshots_max = 2;
    take(f, id);
    take(f, id);
    answer = api_call(f, "POST", "/v1/snapshots", NULL, NULL);
    assert_problem(&answer, 429, "overloaded");
    assert_header(&answer, "Retry-After", "1");
    fake_answer_release(&answer);
    answer = call(f, "DELETE", "/v1/snapshots/", id, NULL, NULL);
    fake_answer_release(&answer);
    take(f, id);
}

static void a_list_has_them_all(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    char ids[2][API_SNAPSHOT_ID_SIZE];
    json_t *body;
    json_t *items;

    answer = api_call(f, "GET", "/v1/snapshots", NULL, NULL);
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"items\":[]}\n");
    fake_answer_release(&answer);
    take(f, ids[0]);
    take(f, ids[1]);
    answer = api_call(f, "GET", "/v1/snapshots", NULL, NULL);
    assert_answer(&answer, 200);
    body = answer_json(&answer);
    items = json_object_get(body, "items");
    assert_int_equal(json_array_size(items), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *item = json_array_get(items, i);
        const char *id = json_string_value(json_object_get(item, "id"));

        assert_int_equal(json_object_size(item), 3);
        assert_true(strcmp(id, ids[0]) == 0 || strcmp(id, ids[1]) == 0);
    }
    json_decref(body);
    fake_answer_release(&answer);
}

static void a_closed_context_holds_no_view(void **state)
{
    struct api_fixture *f = *state;
    char id[API_SNAPSHOT_ID_SIZE];
    struct ldb_stats stats;

    take(f, id);
    api_context_tick(&f->context); /* too early for it */
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.live_snapshots, 1);
    api_context_close(&f->context);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.live_snapshots, 0);
    expect_gone(f, "POST", "/v1/snapshots/", id);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_read_can_name_a_snapshot),
        FIXTURE_TEST(pages_of_a_snapshot_are_one_view),
        FIXTURE_TEST(a_stream_outlives_its_snapshot),
        FIXTURE_TEST(times_to_live_have_their_limits),
        FIXTURE_TEST(one_too_many_is_429),
        FIXTURE_TEST(a_list_has_them_all),
        FIXTURE_TEST(a_closed_context_holds_no_view),
    };

    return cmocka_run_group_tests_name("snapshot_routes", tests, NULL, NULL);
}
