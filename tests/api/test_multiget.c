#include "api/multiget.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static const char *const json_headers[] = {"Content-Type: application/json",
                                           NULL};

static void items_stand_in_the_order_of_the_keys(void **state)
{
    static const struct {
        const char *body;
        const char *answer;
    } rows[] = {
        {"{\"keys\":[]}", "{\"items\":[]}\n"},
        {"{\"keys\":[\"b\",\"no\",\"a\",\"b\"]}",
         "{\"items\":[{\"key\":\"b\",\"value\":\"2\",\"sequence\":2},null,"
         "{\"key\":\"a\",\"value\":\"1\",\"sequence\":1},"
         "{\"key\":\"b\",\"value\":\"2\",\"sequence\":2}]}\n"},
        {"{\"values\":false,\"keys\":[\"a\",\"no\"]}",
         "{\"items\":[{\"key\":\"a\",\"sequence\":1},null]}\n"},
        {"{\"values\":true,\"keys\":[\"a\"],\"encoding\":\"utf8\"}",
         "{\"items\":[{\"key\":\"a\",\"value\":\"1\",\"sequence\":1}]}\n"},
        {"{\"keys\":[\"61\",\"FF\"],\"encoding\":\"hex\"}",
         "{\"items\":[{\"key\":\"61\",\"value\":\"31\",\"sequence\":1},"
         "{\"key\":\"ff\",\"value\":\"33\",\"sequence\":3}]}\n"},
        {"{\"keys\":[\"/w==\",\"\"],\"encoding\":\"base64\"}",
         "{\"items\":[{\"key\":\"/w==\",\"value\":\"Mw==\",\"sequence\":3},"
         "null]}\n"},
        {"{\"keys\":[\"v\"]}",
         "{\"items\":[{\"key\":\"dg==\",\"value\":\"/w==\",\"sequence\":4,"
         "\"encoding\":\"base64\"}]}\n"},
    };
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "1");
    (void)api_put(f, "/v1/kv/b", "2");
    (void)api_put(f, "/v1/kv/%FF", "3");
    (void)api_put(f, "/v1/kv/v", "\xff");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer =
            api_call(f, "POST", "/v1/multiget", json_headers, rows[i].body);

        assert_answer(&answer, 200);
        assert_string_equal(answer.content_type, "application/json");
        assert_header(&answer, "Leveld-Sequence", "4");
        assert_body(&answer, rows[i].answer);
        fake_answer_release(&answer);
    }
}

static void an_answer_ends_at_its_size_after_one_item(void **state)
{
    static const struct {
        size_t page_bytes;
        size_t items;
    } rows[] = {
        {1, 1},
        {10 + 36 + 1 + 36, 2},     /* {"items":[ and two items */
        {10 + 36 + 1 + 36 + 4, 2}, /* ,null is one byte more */
        {10 + 36 + 1 + 36 + 5, 3},
        {1000, 4},
    };
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "1");
    (void)api_put(f, "/v1/kv/b", "2");
    (void)api_put(f, "/v1/kv/c", "3");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer;
        json_t *body;

        f->context.limits.page_bytes = rows[i].page_bytes;
        answer = api_call(f, "POST", "/v1/multiget", json_headers,
                          "{\"keys\":[\"a\",\"b\",\"-\",\"c\"]}");
        assert_answer(&answer, 200);
        body = answer_json(&answer);
        if (json_array_size(json_object_get(body, "items")) != rows[i].items)
            fail_msg("row %u: %.*s", (unsigned)i, (int)answer.body.len,
                     (const char *)answer.body.data);
        json_decref(body);
        fake_answer_release(&answer);
    }
}

/* A body that asks for count keys, "k0" and on. */
static struct ldb_buf body_of(unsigned count)
{
    struct ldb_buf body = LDB_BUF_INIT(1 << 20);

    assert_ldb_ok(ldb_buf_append(&body, ldb_slice_str("{\"keys\":[")), NULL);
    for (unsigned i = 0; i < count; i++)
        assert_ldb_ok(ldb_buf_printf(&body, "%s\"k%u\"", i == 0 ? "" : ",", i),
                      NULL);
    assert_ldb_ok(ldb_buf_append(&body, ldb_slice_str("]}")), NULL);
    return body;
}

static void many_keys_are_one_view_over_many_passes(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_buf body = body_of(2 * API_MULTIGET_PASS_KEYS + 1);
    struct fake_request request = {.method = "POST",
                                   .target = "/v1/multiget",
                                   .headers = json_headers,
                                   .body = ldb_slice_of_buf(&body)};
    struct fake_exchange *fake;
    struct api_exchange *x;
    unsigned passes = 1;
    json_t *answer;
    json_t *items;

    (void)api_put(f, "/v1/kv/k0", "old");
    (void)api_put(f, "/v1/kv/k512", "old");
    fake = fake_exchange_create(&f->context, &request);
    x = fake_exchange_get(fake);
    api_exchange_begin(x);
    x->body = (struct ldb_buf)LDB_BUF_INIT(x->body_limit);
    assert_ldb_ok(ldb_buf_append(&x->body, request.body), NULL);
    api_exchange_finish(x);
    (void)api_put(f, "/v1/kv/k511", "new");
    (void)api_put(f, "/v1/kv/k512", "new");
    for (; !x->response.ready; passes++) {
        fake_exchange_wait(fake);
        api_exchange_resume(x);
    }
    assert_int_equal(passes, 3);
    assert_int_equal(x->response.status, 200);
    answer = json_loadb((const char *)x->response.body.data,
                        x->response.body.len, 0, NULL);
    items = json_object_get(answer, "items");
    assert_int_equal(json_array_size(items), 2 * API_MULTIGET_PASS_KEYS + 1);
    assert_true(json_is_null(json_array_get(items, 511)));
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(items, 512), "value")),
        "old");
    json_decref(answer);
    api_exchange_abandon(x);
    fake_exchange_destroy(fake);
    ldb_buf_release(&body);
}

static void a_client_that_leaves_between_passes_holds_nothing(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_buf body = body_of(2 * API_MULTIGET_PASS_KEYS);
    struct fake_request request = {.method = "POST",
                                   .target = "/v1/multiget",
                                   .headers = json_headers,
                                   .body = ldb_slice_of_buf(&body),
                                   .leaves = true};
    struct fake_answer answer;
    struct ldb_stats stats;

    fake_run(&f->context, &request, &answer);
    assert_false(answer.is_ready);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.live_snapshots, 0);
    fake_answer_release(&answer);
    ldb_buf_release(&body);
}

static void keys_are_counted_and_measured(void **state)
{
    static const struct {
        unsigned keys;
        unsigned status;
    } rows[] = {{3, 200}, {4, 413}};
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *body;

    f->context.limits.range_items_max = 3;
    f->context.limits.key_bytes = 4;
    for (size_t i = 0; i < 2; i++) {
        struct ldb_buf asked = body_of(rows[i].keys);

        answer = api_call_bytes(f, "POST", "/v1/multiget", json_headers,
                                ldb_slice_of_buf(&asked));
        assert_answer(&answer, rows[i].status);
        fake_answer_release(&answer);
        ldb_buf_release(&asked);
    }
    answer = api_call(f, "POST", "/v1/multiget", json_headers,
                      "{\"keys\":[\"abcd\",\"abcde\"]}");
    assert_problem(&answer, 413, "too-large");
    body = answer_json(&answer);
    assert_int_equal(json_integer_value(json_object_get(body, "index")), 1);
    json_decref(body);
    fake_answer_release(&answer);
    f->context.limits.multiget_bytes = 11;
    answer = api_call(f, "POST", "/v1/multiget", json_headers, "{\"keys\":[]}");
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    answer =
        api_call(f, "POST", "/v1/multiget", json_headers, "{\"keys\": []}");
    assert_problem(&answer, 413, "too-large");
    fake_answer_release(&answer);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(items_stand_in_the_order_of_the_keys),
        FIXTURE_TEST(an_answer_ends_at_its_size_after_one_item),
        FIXTURE_TEST(many_keys_are_one_view_over_many_passes),
        FIXTURE_TEST(a_client_that_leaves_between_passes_holds_nothing),
        FIXTURE_TEST(keys_are_counted_and_measured),
    };

    return cmocka_run_group_tests_name("multiget", tests, NULL, NULL);
}
