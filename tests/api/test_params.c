#include "api/params.h"

#include <stdio.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

/* ---- percent-encoding ---- */

static void percent_decoding_gives_back_every_byte(void **state)
{
    struct ldb_arena arena;

    (void)state;
    ldb_arena_init(&arena, 0);
    for (unsigned c = 0; c < 256; c++) {
        char text[8];
        struct ldb_slice out;
        uint8_t byte = (uint8_t)c;

        (void)snprintf(text, sizeof(text), c % 2 == 0 ? "%%%02x" : "%%%02X", c);
        assert_int_equal(api_percent_decode(&arena, ldb_slice_str(text), &out),
                         API_DECODE_OK);
        assert_ldb_slice(ldb_slice_make(&byte, 1), out);
    }
    ldb_arena_release(&arena);
}

static void percent_decoding_is_strict(void **state)
{
    static const struct {
        const char *raw;
        const char *bytes; /* NULL: refused */
    } rows[] = {
        {"", ""},         {"abc", "abc"},
        {"a+b", "a+b"},   {"a%2Fb/c", "a/b/c"},
        {"%41%42", "AB"}, {"%2541", "%41"},
        {"%", NULL},      {"%4", NULL},
        {"a%", NULL},     {"%4g", NULL},
        {"%g4", NULL},    {"%%41", NULL},
        {"%-1", NULL},    {"% 1", NULL},
        {"%0x41", NULL},
    };
    struct ldb_arena arena;

    (void)state;
    ldb_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice out = {0};
        enum api_decode_result result =
            api_percent_decode(&arena, ldb_slice_str(rows[i].raw), &out);

        if ((rows[i].bytes != NULL) != (result == API_DECODE_OK))
            fail_msg("%s", rows[i].raw);
        if (result == API_DECODE_OK)
            assert_ldb_slice(ldb_slice_str(rows[i].bytes), out);
    }
    ldb_arena_release(&arena);
}

/* ---- an exchange to parse from ---- */

struct parse_call {
    struct fake_exchange *fake;
    struct api_exchange *x;
    struct fake_request request;
};

static void begin(struct parse_call *call, struct api_fixture *f,
                  const char *target, const char *const *headers)
{
    call->request = (struct fake_request){
        .method = "GET", .target = target, .headers = headers};
    call->fake = fake_exchange_create(&f->context, &call->request);
    call->x = fake_exchange_get(call->fake);
}

static void end(struct parse_call *call)
{
    fake_exchange_destroy(call->fake);
}

static const char *const names[] = {"a",   "bb",       "flag", "n",
                                    "enc", "encoding", NULL};

/* ---- the query ---- */

static void a_query_is_split_and_decoded(void **state)
{
    struct parse_call call;
    struct api_params params;

    begin(&call, *state, "/?a=1%26%00+&%62b==&flag=", NULL);
    assert_true(api_params_parse(call.x, names, &params));
    assert_int_equal(params.count, 3);
    assert_ldb_bytes("1&\0+", *api_params_find(&params, "a"));
    assert_ldb_bytes("=", *api_params_find(&params, "bb"));
    assert_ldb_bytes("", *api_params_find(&params, "flag"));
    assert_null(api_params_find(&params, "n"));
    end(&call);
}

static void queries_with_anything_unknown_are_refused(void **state)
{
    static const char *const targets[] = {
        "/?b=1",    "/?a=1&a=2",  "/?a=1&%61=2", "/?a",   "/?a=1&",
        "/?&a=1",   "/?a=1&&n=1", "/?=1",        "/?a=%", "/?%zz=1",
        "/?a%00=1", "/?A=1",      "/?a=%2",
    };

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct parse_call call;
        struct api_params params;

        begin(&call, *state, targets[i], NULL);
        if (api_params_parse(call.x, names, &params) ||
            call.x->response.status != 400)
            fail_msg("%s", targets[i]);
        end(&call);
    }
}

static void an_empty_query_is_none(void **state)
{
    struct parse_call call;
    struct api_params params;

    begin(&call, *state, "/?", NULL);
    assert_true(api_params_parse(call.x, names, &params));
    assert_int_equal(params.count, 0);
    end(&call);
}

static void typed_parameters_take_their_type_alone(void **state)
{
    static const struct {
        const char *target;
        bool is_ok;
        bool flag;
        uint64_t n;
        enum api_encoding enc;
        enum api_encoding encoding;
    } rows[] = {
        {"/", true, false, 5, API_ENCODING_UTF8, API_ENCODING_UTF8},
        {"/?flag=true", true, true, 5, API_ENCODING_UTF8, API_ENCODING_UTF8},
        {"/?flag=false", true, false, 5, API_ENCODING_UTF8, API_ENCODING_UTF8},
        {"/?flag=1", false, 0, 0, 0, 0},
        {"/?flag=", false, 0, 0, 0, 0},
        {"/?flag=True", false, 0, 0, 0, 0},
        {"/?n=2", true, false, 2, API_ENCODING_UTF8, API_ENCODING_UTF8},
        {"/?n=10", true, false, 10, API_ENCODING_UTF8, API_ENCODING_UTF8},
        {"/?n=1", false, 0, 0, 0, 0},
        {"/?n=11", false, 0, 0, 0, 0},
        {"/?n=", false, 0, 0, 0, 0},
        {"/?n=-1", false, 0, 0, 0, 0},
        {"/?n=%2B3", false, 0, 0, 0, 0},
        {"/?n=3.0", false, 0, 0, 0, 0},
        {"/?n=18446744073709551618", false, 0, 0, 0, 0},
        {"/?enc=hex", true, false, 5, API_ENCODING_HEX, API_ENCODING_UTF8},
        {"/?enc=base64url", true, false, 5, API_ENCODING_BASE64URL,
         API_ENCODING_UTF8},
        {"/?enc=base64", false, 0, 0, 0, 0},
        {"/?encoding=hex", true, false, 5, API_ENCODING_UTF8, API_ENCODING_HEX},
        {"/?encoding=base64", true, false, 5, API_ENCODING_UTF8,
         API_ENCODING_BASE64},
        {"/?encoding=utf8", true, false, 5, API_ENCODING_UTF8,
         API_ENCODING_UTF8},
        {"/?encoding=utf-8", false, 0, 0, 0, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parse_call call;
        struct api_params params;
        bool flag = false;
        uint64_t n = 5;
        enum api_encoding enc = API_ENCODING_UTF8;
        enum api_encoding encoding = API_ENCODING_UTF8;

        begin(&call, *state, rows[i].target, NULL);
        assert_true(api_params_parse(call.x, names, &params));
        if ((api_params_bool(call.x, &params, "flag", &flag) &&
             api_params_u64(call.x, &params, "n", 2, 10, &n) &&
             api_params_enc(call.x, &params, &enc) &&
             api_params_encoding(call.x, &params, &encoding)) != rows[i].is_ok)
            fail_msg("%s", rows[i].target);
        if (rows[i].is_ok) {
            assert_int_equal(flag, rows[i].flag);
            assert_int_equal(n, rows[i].n);
            assert_int_equal(enc, rows[i].enc);
            assert_int_equal(encoding, rows[i].encoding);
        } else {
            assert_int_equal(call.x->response.status, 400);
        }
        end(&call);
    }
}

/* ---- keys ---- */

static void a_path_key_is_decoded_twice_when_asked(void **state)
{
    static const struct {
        const char *rest;
        enum api_encoding enc;
        unsigned status; /* 0: fine */
        const char *hex;
    } rows[] = {
        {"a/b%2F%00", API_ENCODING_UTF8, 0, "61 2f 62 2f 00"},
        {"", API_ENCODING_UTF8, 0, ""},
        {"", API_ENCODING_HEX, 0, ""},
        {"00fF", API_ENCODING_HEX, 0, "00 ff"},
        {"%30%31", API_ENCODING_HEX, 0, "01"},
        {"_-8", API_ENCODING_BASE64URL, 0, "ff ef"},
        {"%5f-8%3D", API_ENCODING_BASE64URL, 0, "ff ef"},
        {"%", API_ENCODING_UTF8, 400, NULL},
        {"0", API_ENCODING_HEX, 400, NULL},
        {"zz", API_ENCODING_HEX, 400, NULL},
        {"a", API_ENCODING_BASE64URL, 400, NULL},
        {"a/+b", API_ENCODING_BASE64URL, 400, NULL},
        {"123456789", API_ENCODING_UTF8, 413, NULL},
        {"12345678", API_ENCODING_UTF8, 0, "31 32 33 34 35 36 37 38"},
    };
    struct api_fixture *f = *state;

    f->context.limits.key_bytes = 8;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parse_call call;
        struct ldb_slice key = {0};
        bool is_ok;

        begin(&call, f, "/", NULL);
        call.x->raw_rest = ldb_slice_str(rows[i].rest);
        is_ok = api_path_key(call.x, rows[i].enc, &key);
        if (is_ok != (rows[i].status == 0) ||
            call.x->response.status != rows[i].status)
            fail_msg("%s", rows[i].rest);
        if (is_ok)
            assert_ldb_hex(rows[i].hex, key);
        end(&call);
    }
}

/* ---- durations ---- */

static void durations_have_a_unit_and_a_bound(void **state)
{
    static const struct {
        const char *text;
        bool is_ok;
        uint64_t us;
    } rows[] = {
        {"0s", true, 0},
        {"500ms", true, 500000},
        {"2s", true, 2000000},
        {"5m", true, 300000000},
        {"24h", true, API_DURATION_MAX_US},
        {"25h", false, 0},
        {"86400001ms", false, 0},
        {"2", false, 0},
        {"s", false, 0},
        {"", false, 0},
        {"2 s", false, 0},
        {"-2s", false, 0},
        {"1.5s", false, 0},
        {"2S", false, 0},
        {"2sec", false, 0},
        {"2us", false, 0},
        {"99999999999999999999h", false, 0},
        {"18446744073709551615s", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t us = 0;

        if (api_duration_parse(ldb_slice_str(rows[i].text), &us) !=
                rows[i].is_ok ||
            us != rows[i].us)
            fail_msg("%s", rows[i].text);
    }
}

/* ---- headers and media types ---- */

static void a_header_sent_twice_is_refused(void **state)
{
    static const char *const headers[] = {"If-Match: \"1\"", "if-match: \"2\"",
                                          "Accept: a/b", NULL};
    struct parse_call call;
    struct ldb_slice value;

    begin(&call, *state, "/", headers);
    assert_true(api_header_once(call.x, "Accept", &value));
    assert_ldb_bytes("a/b", value);
    assert_true(api_header_once(call.x, "Range", &value));
    assert_null(value.data);
    assert_false(api_header_once(call.x, "If-Match", &value));
    assert_int_equal(call.x->response.status, 400);
    end(&call);
}

static void media_types_compare_without_case_and_parameters(void **state)
{
    static const struct {
        const char *value;
        bool is_json;
    } rows[] = {
        {"application/json", true},
        {"Application/JSON", true},
        {" application/json ; charset=utf-8", true},
        {"application/json;charset=\"UTF-8\"", true},
        {"application/json; x=y", true},
        {"application/json; charset=latin1", false},
        {"application/jsonx", false},
        {"application/json+x", false},
        {"application/", false},
        {"json", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (api_media_type_is(ldb_slice_str(rows[i].value),
                              "application/json") != rows[i].is_json)
            fail_msg("%s", rows[i].value);
    }
}

static void accept_chooses_by_weight_then_by_our_order(void **state)
{
    static const char *const types[] = {"application/octet-stream",
                                        "application/json"};
    static const struct {
        const char *accept;
        size_t choice; /* 2: none */
    } rows[] = {
        {"", 0},
        {"*/*", 0},
        {"application/json", 1},
        {"APPLICATION/JSON", 1},
        {"application/octet-stream", 0},
        {"application/*", 0},
        {"text/html, */*;q=0.1", 0},
        {"application/json, */*", 0},
        {"application/json, */*;q=0.9", 1},
        {"application/*;q=0.5, application/json", 1},
        {"application/octet-stream;q=0, */*", 1},
        {"application/json;q=0", 2},
        {"text/html", 2},
        {"text/*", 2},
        {"*/*;q=0", 2},
        {"application/json;q=2", 2},
        {"application/json;q=x", 2},
        {"application/json;q=0.0001", 2},
        {"application/json;q=0.001", 1},
        {",,application/json,", 1},
        {"app/*", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (api_accept_choose(ldb_slice_str(rows[i].accept), types, 2) !=
            rows[i].choice)
            fail_msg("%s", rows[i].accept);
    }
}

static void parsing_without_memory_is_503(void **state)
{
    for (uint64_t n = 1;; n++) {
        struct parse_call call;
        struct api_params params;
        struct ldb_slice key;
        bool is_ok;
        bool failed;

        begin(&call, *state, "/?a=%41%42", NULL);
        call.x->raw_rest = ldb_slice_str("%41");
        mem_fault_start(n, MEM_FAULT_FOREVER);
        is_ok = api_params_parse(call.x, names, &params) &&
                api_path_key(call.x, API_ENCODING_UTF8, &key);
        failed = mem_fault_stop();
        assert_int_equal(is_ok, !failed);
        if (failed)
            assert_int_equal(call.x->response.status, 503);
        end(&call);
        if (!failed)
            break;
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent_decoding_gives_back_every_byte),
        cmocka_unit_test(percent_decoding_is_strict),
        FIXTURE_TEST(a_query_is_split_and_decoded),
        FIXTURE_TEST(queries_with_anything_unknown_are_refused),
        FIXTURE_TEST(an_empty_query_is_none),
        FIXTURE_TEST(typed_parameters_take_their_type_alone),
        FIXTURE_TEST(a_path_key_is_decoded_twice_when_asked),
        cmocka_unit_test(durations_have_a_unit_and_a_bound),
        FIXTURE_TEST(a_header_sent_twice_is_refused),
        cmocka_unit_test(media_types_compare_without_case_and_parameters),
        cmocka_unit_test(accept_chooses_by_weight_then_by_our_order),
        FIXTURE_TEST(parsing_without_memory_is_503),
    };

    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
