#include "api/range.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static const char *const ndjson_headers[] = {"Accept: application/x-ndjson",
                                             NULL};

static void put_all(struct api_fixture *f, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        char target[64];

        (void)snprintf(target, sizeof(target), "/v1/kv/%s?sync=false", *keys);
        (void)api_put(f, target, "v");
    }
}

static const char *const letters[] = {"a", "aa", "ab", "b", "c", "%FF", NULL};

/* The keys of a page as text, joined by blanks; hex for what is no UTF-8. */
static void keys_of(const json_t *body, char *out, size_t size)
{
    const json_t *items = json_object_get(body, "items");

    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(items); i++) {
        size_t len = strlen(out);

        (void)snprintf(out + len, size - len, "%s%s", i == 0 ? "" : " ",
                       json_string_value(
                           json_object_get(json_array_get(items, i), "key")));
    }
}

static void bounds_select_what_they_say(void **state)
{
    static const struct {
        const char *query;
        const char *keys;
    } rows[] = {
        {"", "a aa ab b c /w=="},
        {"?start=aa", "aa ab b c /w=="},
        {"?end=b", "a aa ab"},
        {"?start=aa&end=c", "aa ab b"},
        {"?start=b&end=b", ""},
        {"?start=c&end=a", ""},
        {"?start=", "a aa ab b c /w=="},
        {"?end=", ""},
        {"?prefix=a", "a aa ab"},
        {"?prefix=", "a aa ab b c /w=="},
        {"?prefix=%FF", "/w=="},
        {"?prefix=x", ""},
        {"?prefix=a&start=aa", "aa ab"},
        {"?prefix=a&end=ab", "a aa"},
        {"?prefix=a&start=b", ""},
        {"?prefix=6&enc=hex", NULL},
        {"?prefix=61&enc=hex", "a aa ab"},
        {"?start=YWI&enc=base64url", "ab b c /w=="},
        {"?reverse=true", "/w== c b ab aa a"},
        {"?reverse=true&start=aa&end=c", "b ab aa"},
        {"?reverse=true&prefix=a", "ab aa a"},
        {"?reverse=true&prefix=%FF", "/w=="},
        {"?reverse=true&start=c&end=a", ""},
        {"?limit=2", "a aa"},
        {"?limit=2&reverse=true", "/w== c"},
        {"?limit=10000", "a aa ab b c /w=="},
    };
    struct api_fixture *f = *state;

    put_all(f, letters);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char target[128];
        char keys[256];
        struct fake_answer answer;
        json_t *body;

        (void)snprintf(target, sizeof(target), "/v1/range%s", rows[i].query);
        answer = api_call(f, "GET", target, NULL, NULL);
        if (rows[i].keys == NULL) {
            assert_problem(&answer, 400, "bad-key");
        } else {
            assert_answer(&answer, 200);
            body = answer_json(&answer);
            keys_of(body, keys, sizeof(keys));
            if (strcmp(keys, rows[i].keys) != 0)
                fail_msg("%s: %s", rows[i].query, keys);
            json_decref(body);
        }
        fake_answer_release(&answer);
    }
}

static void items_have_their_documented_form(void **state)
{
    static const struct {
        const char *query;
        const char *body;
    } rows[] = {
        {"", "{\"items\":[{\"key\":\"a\",\"value\":\"1\",\"sequence\":1},"
             "{\"key\":\"/w==\",\"value\":\"Mg==\",\"sequence\":2,"
             "\"encoding\":\"base64\"}]}\n"},
        {"?values=false", "{\"items\":[{\"key\":\"a\",\"sequence\":1},"
                          "{\"key\":\"/w==\",\"sequence\":2,"
                          "\"encoding\":\"base64\"}]}\n"},
        {"?encoding=hex",
         "{\"items\":[{\"key\":\"61\",\"value\":\"31\",\"sequence\":1},"
         "{\"key\":\"ff\",\"value\":\"32\",\"sequence\":2}]}\n"},
        {"?start=b&end=c", "{\"items\":[]}\n"},
    };
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "1");
    (void)api_put(f, "/v1/kv/%FF", "2");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char target[64];
        struct fake_answer answer;

        (void)snprintf(target, sizeof(target), "/v1/range%s", rows[i].query);
        answer = api_call(f, "GET", target, NULL, NULL);
        assert_answer(&answer, 200);
        assert_string_equal(answer.content_type, "application/json");
        assert_body(&answer, rows[i].body);
        assert_header(&answer, "Leveld-Sequence", "2");
        fake_answer_release(&answer);
    }
}

/* Walks all pages; the keys in order, joined. */
static void walk(struct api_fixture *f, const char *query, char *out,
                 size_t size)
{
    char next[128] = "";

    out[0] = '\0';
    for (;;) {
        char target[256];
        char keys[128];
        size_t len = strlen(out);
        struct fake_answer answer;
        json_t *body;
        const char *cursor;

        (void)snprintf(target, sizeof(target), "/v1/range?%s%s%s", query,
                       next[0] == '\0' ? "" : "&cursor=", next);
        answer = api_call(f, "GET", target, NULL, NULL);
        assert_answer(&answer, 200);
        body = answer_json(&answer);
        keys_of(body, keys, sizeof(keys));
        (void)snprintf(out + len, size - len, "%s|", keys);
        cursor = json_string_value(json_object_get(body, "next"));
        (void)snprintf(next, sizeof(next), "%s", cursor == NULL ? "" : cursor);
        json_decref(body);
        fake_answer_release(&answer);
        if (next[0] == '\0')
            return;
    }
}

static void pages_follow_each_other(void **state)
{
    static const struct {
        const char *query;
        const char *pages;
    } rows[] = {
        {"limit=1", "a|aa|ab|b|c|/w==|"},
        {"limit=4", "a aa ab b|c /w==|"},
        {"limit=6", "a aa ab b c /w==|"},
        {"limit=2&reverse=true", "/w== c|b ab|aa a|"},
        {"limit=2&prefix=a", "a aa|ab|"},
        {"limit=1&start=aa&end=c&reverse=true", "b|ab|aa|"},
    };
    struct api_fixture *f = *state;

    put_all(f, letters);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char pages[256];

        walk(f, rows[i].query, pages, sizeof(pages));
        assert_string_equal(pages, rows[i].pages);
    }
}

static void a_page_ends_at_its_size_after_one_item(void **state)
{
    static const struct {
        size_t page_bytes;
        const char *pages;
    } rows[] = {
        {1, "a|aa|ab|b|c|/w==|"},
        /* {"items":[ and two or three items of 36 bytes and a comma */
        {10 + 36 + 1 + 37, "a aa|ab b|c|/w==|"},
        {1000, "a aa ab b c /w==|"},
    };
    struct api_fixture *f = *state;

    put_all(f, letters);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char pages[256];

        f->context.limits.page_bytes = rows[i].page_bytes;
        walk(f, "limit=100", pages, sizeof(pages));
        assert_string_equal(pages, rows[i].pages);
    }
}

static void a_key_deleted_between_pages_loses_no_other(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *body;
    char target[128];
    char keys[128];

    put_all(f, letters);
    answer = api_call(f, "GET", "/v1/range?limit=2", NULL, NULL);
    body = answer_json(&answer);
    (void)snprintf(target, sizeof(target), "/v1/range?limit=2&cursor=%s",
                   json_string_value(json_object_get(body, "next")));
    json_decref(body);
    fake_answer_release(&answer);
    answer = api_call(f, "DELETE", "/v1/kv/aa", NULL, NULL);
    fake_answer_release(&answer);
    (void)api_put(f, "/v1/kv/aaa", "new");
    answer = api_call(f, "GET", target, NULL, NULL);
    body = answer_json(&answer);
    keys_of(body, keys, sizeof(keys));
    assert_string_equal(keys, "aaa ab");
    json_decref(body);
    fake_answer_release(&answer);
}

/* ---- NDJSON ---- */

static void a_stream_has_a_line_for_each_and_an_end(void **state)
{
    static const struct {
        const char *query;
        const char *body;
    } rows[] = {
        {"", "{\"key\":\"a\",\"value\":\"1\",\"sequence\":1}\n"
             "{\"key\":\"/w==\",\"value\":\"Mg==\",\"sequence\":2,"
             "\"encoding\":\"base64\"}\n"
             "{\"end\":true,\"count\":2,\"sequence\":2}\n"},
        {"?values=false&reverse=true&encoding=hex",
         "{\"key\":\"ff\",\"sequence\":2}\n{\"key\":\"61\",\"sequence\":1}\n"
         "{\"end\":true,\"count\":2,\"sequence\":2}\n"},
        {"?limit=1", "{\"key\":\"a\",\"value\":\"1\",\"sequence\":1}\n"
                     "{\"end\":true,\"count\":1,\"sequence\":2,"
                     "\"next\":\"ZmE\"}\n"},
        {"?limit=2&values=false&encoding=hex",
         "{\"key\":\"61\",\"sequence\":1}\n{\"key\":\"ff\",\"sequence\":2}\n"
         "{\"end\":true,\"count\":2,\"sequence\":2}\n"},
        {"?prefix=x", "{\"end\":true,\"count\":0,\"sequence\":2}\n"},
        {"?limit=20000&start=b&end=c",
         "{\"end\":true,\"count\":0,\"sequence\":2}\n"},
    };
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "1");
    (void)api_put(f, "/v1/kv/%FF", "2");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t max = 1; max < 200; max += 7) {
            char target[64];
            struct fake_request request = {.method = "GET",
                                           .target = target,
                                           .headers = ndjson_headers,
                                           .read_max = max};
            struct fake_answer answer;

            (void)snprintf(target, sizeof(target), "/v1/range%s",
                           rows[i].query);
            fake_run(&f->context, &request, &answer);
            assert_answer(&answer, 200);
            assert_string_equal(answer.content_type, "application/x-ndjson");
            assert_header(&answer, "Leveld-Sequence", "2");
            assert_body(&answer, rows[i].body);
            assert_false(answer.is_cut);
            fake_answer_release(&answer);
        }
    }
}

static void a_streams_next_goes_on_where_it_was_cut(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    put_all(f, letters);
    answer = api_call(f, "GET", "/v1/range?cursor=ZmE&end=b&values=false",
                      ndjson_headers, NULL);
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"key\":\"aa\",\"sequence\":2}\n"
                         "{\"key\":\"ab\",\"sequence\":3}\n"
                         "{\"end\":true,\"count\":2,\"sequence\":6}\n");
    fake_answer_release(&answer);
}

static void a_stream_shows_its_view_whatever_is_written(void **state)
{
    struct api_fixture *f = *state;
    struct fake_request request = {.method = "GET",
                                   .target = "/v1/range?values=false",
                                   .headers = ndjson_headers};
    struct fake_exchange *fake;
    struct api_exchange *x;
    struct ldb_buf body = LDB_BUF_INIT(4096);
    uint8_t piece[16];
    int64_t len;

    put_all(f, letters);
    fake = fake_exchange_create(&f->context, &request);
    x = fake_exchange_get(fake);
    api_exchange_begin(x);
    api_exchange_finish(x);
    assert_true(x->response.ready);
    (void)api_put(f, "/v1/kv/0", "late");
    (void)api_put(f, "/v1/kv/b", "late");
    while ((len = x->response.stream_ops->read(x->response.stream, piece,
                                               sizeof(piece))) > 0)
        assert_ldb_ok(ldb_buf_append(&body, ldb_slice_make(piece, (size_t)len)),
                      NULL);
    assert_int_equal(len, 0);
    assert_ldb_bytes("{\"key\":\"a\",\"sequence\":1}\n"
                     "{\"key\":\"aa\",\"sequence\":2}\n"
                     "{\"key\":\"ab\",\"sequence\":3}\n"
                     "{\"key\":\"b\",\"sequence\":4}\n"
                     "{\"key\":\"c\",\"sequence\":5}\n"
                     "{\"key\":\"/w==\",\"sequence\":6,"
                     "\"encoding\":\"base64\"}\n"
                     "{\"end\":true,\"count\":6,\"sequence\":6}\n",
                     ldb_slice_of_buf(&body));
    api_exchange_abandon(x);
    ldb_buf_release(&body);
    fake_exchange_destroy(fake);
}

static void a_stream_that_fails_says_so_and_is_cut(void **state)
{
    struct api_fixture *f = *state;
    struct fake_request request = {
        .method = "GET", .target = "/v1/range", .headers = ndjson_headers};
    struct fake_exchange *fake;
    struct api_exchange *x;
    uint8_t first[8];
    uint8_t rest[512];
    int64_t len;

    (void)api_put(f, "/v1/kv/a", "1");
    /* A key that does not fit into what the line took before. */
    (void)api_put(
        f,
        "/v1/kv/"
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "2");
    fake = fake_exchange_create(&f->context, &request);
    x = fake_exchange_get(fake);
    api_exchange_begin(x);
    api_exchange_finish(x);
    assert_int_equal(
        x->response.stream_ops->read(x->response.stream, first, sizeof(first)),
        sizeof(first));
    mem_fault_start(1, MEM_FAULT_ONCE);
    len = x->response.stream_ops->read(x->response.stream, rest,
                                       sizeof(rest) - 1);
    assert_true(mem_fault_stop());
    assert_true(len > 0);
    rest[len] = '\0';
    assert_non_null(strstr((char *)rest, "\n{\"error\":{\"type\":"
                                         "\"/problems/overloaded\""));
    assert_null(strstr((char *)rest, "\"end\""));
    len = x->response.stream_ops->read(x->response.stream, rest, sizeof(rest));
    assert_int_equal(len, API_STREAM_FAILED);
    api_exchange_abandon(x);
    fake_exchange_destroy(fake);
}

static void a_large_value_streams_in_small_memory(void **state)
{
    struct api_fixture *f = *state;
    size_t size = (size_t)4 << 20;
    uint8_t *value = test_malloc(size);
    struct fake_request request = {.method = "GET",
                                   .target = "/v1/range?encoding=base64",
                                   .headers = ndjson_headers};
    struct fake_exchange *fake;
    struct api_exchange *x;
    struct fake_answer answer;
    uint8_t piece[1000];
    size_t total = 0;
    int64_t len;

    memset(value, 0xab, size);
    answer = api_call_bytes(f, "PUT", "/v1/kv/a?sync=false", NULL,
                            ldb_slice_make(value, size));
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    test_free(value);
    fake = fake_exchange_create(&f->context, &request);
    x = fake_exchange_get(fake);
    api_exchange_begin(x);
    api_exchange_finish(x);
    while ((len = x->response.stream_ops->read(x->response.stream, piece,
                                               sizeof(piece))) > 0)
        total += (size_t)len;
    assert_int_equal(len, 0);
    assert_true(total > size / 3 * 4 && total < size / 3 * 4 + 200);
    api_exchange_abandon(x);
    fake_exchange_destroy(fake);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(bounds_select_what_they_say),
        FIXTURE_TEST(items_have_their_documented_form),
        FIXTURE_TEST(pages_follow_each_other),
        FIXTURE_TEST(a_page_ends_at_its_size_after_one_item),
        FIXTURE_TEST(a_key_deleted_between_pages_loses_no_other),
        FIXTURE_TEST(a_stream_has_a_line_for_each_and_an_end),
        FIXTURE_TEST(a_streams_next_goes_on_where_it_was_cut),
        FIXTURE_TEST(a_stream_shows_its_view_whatever_is_written),
        FIXTURE_TEST(a_stream_that_fails_says_so_and_is_cut),
        FIXTURE_TEST(a_large_value_streams_in_small_memory),
    };

    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
