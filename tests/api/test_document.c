#include "api/document.h"

#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

struct document_call {
    struct fake_request request;
    struct fake_exchange *fake;
    struct api_exchange *x;
};

static const char *const json_headers[] = {"Content-Type: application/json",
                                           NULL};

static void begin_call(struct api_fixture *f, struct document_call *call,
                       const char *const *headers, const char *body)
{
    call->request = (struct fake_request){
        .method = "POST", .target = "/", .headers = headers};
    call->fake = fake_exchange_create(&f->context, &call->request);
    call->x = fake_exchange_get(call->fake);
    call->x->body = (struct ldb_buf)LDB_BUF_INIT(4096);
    assert_ldb_ok(ldb_buf_append(&call->x->body, ldb_slice_str(body)), NULL);
}

static void bodies_are_read_or_refused(void **state)
{
    static const char *const names[] = {"ttl", NULL};
    static const char *const no_headers[] = {NULL};
    static const char *const form_headers[] = {
        "Content-Type: application/x-www-form-urlencoded", NULL};
    static const struct {
        const char *body;
        const char *const *headers;
        unsigned status; /* 0: read */
        bool is_there;
    } rows[] = {
        {"", no_headers, 0, false},
        {"", form_headers, 0, false},
        {"{}", json_headers, 0, true},
        {"{\"ttl\":\"1s\"}", json_headers, 0, true},
        {"{}", no_headers, 415, false},
        {"{}", form_headers, 415, false},
        {"{\"tt\":\"1s\"}", json_headers, 400, false},
        {"{\"ttl\":1,\"ttl\":1}", json_headers, 400, false},
        {"{\"ttl\":[[]]}", json_headers, 400, false},
        {"[]", json_headers, 400, false},
        {"{", json_headers, 400, false},
        {"{} {}", json_headers, 400, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct document_call call;
        json_t *document;
        bool is_ok;

        begin_call(*state, &call, rows[i].headers, rows[i].body);
        is_ok = api_document_read(call.x, names, &document);
        if (is_ok != (rows[i].status == 0) ||
            call.x->response.status != rows[i].status)
            fail_msg("%s: %u", rows[i].body, call.x->response.status);
        assert_int_equal(document != NULL, rows[i].is_there);
        json_decref(document);
        fake_exchange_destroy(call.fake);
    }
}

static void durations_are_within_their_limit(void **state)
{
    static const struct {
        const char *body;
        uint64_t us; /* 0: refused */
    } rows[] = {
        {"{}", 7},
        {"{\"d\":\"1ms\"}", 1000},
        {"{\"d\":\"10s\"}", 10000000},
        {"{\"d\":\"10001ms\"}", 0},
        {"{\"d\":\"0s\"}", 0},
        {"{\"d\":\"10\"}", 0},
        {"{\"d\":10}", 0},
        {"{\"d\":null}", 0},
    };
    static const char *const names[] = {"d", NULL};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct document_call call;
        json_t *document;
        uint64_t us = 7;
        bool is_ok;

        begin_call(*state, &call, json_headers, rows[i].body);
        assert_true(api_document_read(call.x, names, &document));
        is_ok = api_document_duration(call.x, document, "d", 10000000, &us);
        if (is_ok != (rows[i].us != 0))
            fail_msg("%s", rows[i].body);
        assert_int_equal(us, is_ok ? rows[i].us : 7);
        assert_int_equal(call.x->response.status, is_ok ? 0 : 400);
        json_decref(document);
        fake_exchange_destroy(call.fake);
    }
}

static void keys_are_decoded_and_measured(void **state)
{
    static const struct {
        const char *body;
        const char *key; /* NULL: not given */
        unsigned status; /* 0: good */
    } rows[] = {
        {"{}", NULL, 0},
        {"{\"k\":\"\"}", "", 0},
        {"{\"k\":\"abc\"}", "abc", 0},
        {"{\"k\":\"6162\",\"encoding\":\"hex\"}", "ab", 0},
        {"{\"k\":\"YWI=\",\"encoding\":\"base64\"}", "ab", 0},
        {"{\"k\":\"616\",\"encoding\":\"hex\"}", NULL, 400},
        {"{\"k\":\"a\",\"encoding\":\"rot13\"}", NULL, 400},
        {"{\"k\":\"a\",\"encoding\":1}", NULL, 400},
        {"{\"k\":1}", NULL, 400},
        {"{\"k\":\"abcde\"}", NULL, 413},
    };
    static const char *const names[] = {"k", "encoding", NULL};
    struct api_fixture *f = *state;

    f->context.limits.key_bytes = 4;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct document_call call;
        enum api_encoding encoding;
        struct ldb_slice key = {0};
        json_t *document;
        bool is_given = false;
        bool is_ok;

        begin_call(f, &call, json_headers, rows[i].body);
        assert_true(api_document_read(call.x, names, &document));
        is_ok =
            api_document_encoding(call.x, document, &encoding) &&
            api_document_key(call.x, document, "k", encoding, &is_given, &key);
        json_decref(document);
        if (is_ok != (rows[i].status == 0) ||
            call.x->response.status != rows[i].status)
            fail_msg("%s: %u", rows[i].body, call.x->response.status);
        if (is_ok) {
            assert_int_equal(is_given, rows[i].key != NULL);
            if (is_given)
                assert_ldb_slice(ldb_slice_str(rows[i].key), key);
        }
        fake_exchange_destroy(call.fake);
    }
}

static void times_are_rfc_3339(void **state)
{
    static const struct {
        uint64_t seconds;
        unsigned ms;
        const char *text;
    } rows[] = {
        {0, 0, "{\"t\":\"1970-01-01T00:00:00.000Z\"}"},
        {951782399, 999, "{\"t\":\"2000-02-28T23:59:59.999Z\"}"},
        {951782400, 0, "{\"t\":\"2000-02-29T00:00:00.000Z\"}"},
        {951868800, 0, "{\"t\":\"2000-03-01T00:00:00.000Z\"}"},
        {1709251199, 1, "{\"t\":\"2024-02-29T23:59:59.001Z\"}"},
        {1735689599, 0, "{\"t\":\"2024-12-31T23:59:59.000Z\"}"},
        {1735689600, 0, "{\"t\":\"2025-01-01T00:00:00.000Z\"}"},
        {4107542400, 0, "{\"t\":\"2100-03-01T00:00:00.000Z\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf buf = LDB_BUF_INIT(256);
        struct api_json json = api_json_make(&buf);

        api_json_object_begin(&json);
        api_json_member_time(&json, "t",
                             rows[i].seconds * 1000000 + rows[i].ms * 1000 + 7);
        api_json_object_end(&json);
        assert_ldb_slice(ldb_slice_str(rows[i].text), ldb_slice_of_buf(&buf));
        ldb_buf_release(&buf);
    }
}

static void a_document_that_failed_is_503(void **state)
{
    struct document_call call;
    struct ldb_buf buf = LDB_BUF_INIT(16);
    struct api_json json = api_json_make(&buf);

    begin_call(*state, &call, NULL, "");
    json.status = LDB_NO_MEMORY;
    api_answer_document(call.x, 200, &json);
    assert_int_equal(call.x->response.status, 503);
    assert_null(buf.data);
    fake_exchange_destroy(call.fake);
}

static void parameters_are_refused_where_there_are_none(void **state)
{
    struct api_fixture *f = *state;
    struct fake_request request = {.method = "GET", .target = "/?x=1"};
    struct fake_exchange *fake = fake_exchange_create(&f->context, &request);

    assert_false(api_no_params(fake_exchange_get(fake)));
    assert_int_equal(fake_exchange_get(fake)->response.status, 400);
    fake_exchange_destroy(fake);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(bodies_are_read_or_refused),
        FIXTURE_TEST(durations_are_within_their_limit),
        FIXTURE_TEST(keys_are_decoded_and_measured),
        FIXTURE_TEST(a_document_that_failed_is_503),
        FIXTURE_TEST(parameters_are_refused_where_there_are_none),
        cmocka_unit_test(times_are_rfc_3339),
    };

    return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
