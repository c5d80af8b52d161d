#include "api/json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define BYTES(literal) ldb_slice_make("" literal, sizeof(literal) - 1)

/* ---- UTF-8 ---- */

static void utf8_is_judged_as_rfc_3629_says(void **state)
{
    static const struct {
        const char *name;
        struct ldb_slice bytes;
        bool is_valid;
    } rows[] = {
        {"empty", {(const uint8_t *)"", 0}, true},
        {"NUL", {(const uint8_t *)"\0", 1}, true},
        {"7f", {(const uint8_t *)"\x7f", 1}, true},
        {"two bytes", {(const uint8_t *)"\xc2\x80\xdf\xbf", 4}, true},
        {"three bytes", {(const uint8_t *)"\xe0\xa0\x80\xef\xbf\xbf", 6}, true},
        {"four bytes",
         {(const uint8_t *)"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8},
         true},
        {"last before surrogates", {(const uint8_t *)"\xed\x9f\xbf", 3}, true},
        {"high surrogate", {(const uint8_t *)"\xed\xa0\x80", 3}, false},
        {"lone continuation", {(const uint8_t *)"\x80", 1}, false},
        {"long form of /", {(const uint8_t *)"\xc0\xaf", 2}, false},
        {"c1", {(const uint8_t *)"\xc1\xbf", 2}, false},
        {"long three", {(const uint8_t *)"\xe0\x9f\xbf", 3}, false},
        {"long four", {(const uint8_t *)"\xf0\x8f\xbf\xbf", 4}, false},
        {"beyond 10ffff", {(const uint8_t *)"\xf4\x90\x80\x80", 4}, false},
        {"f5", {(const uint8_t *)"\xf5\x80\x80\x80", 4}, false},
        {"ff", {(const uint8_t *)"\xff", 1}, false},
        {"cut two", {(const uint8_t *)"a\xc3", 2}, false},
        {"cut four", {(const uint8_t *)"\xf0\x9f\x98", 3}, false},
        {"bad third", {(const uint8_t *)"\xe2\x82\x41", 3}, false},
        {"bad after ASCII",
         {(const uint8_t *)"0123456789abcdef\xff", 17},
         false},
        {"bad among ASCII",
         {(const uint8_t *)"0123\xff"
                           "6789abcdef",
          15},
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (api_utf8_valid(rows[i].bytes) != rows[i].is_valid)
            fail_msg("%s", rows[i].name);
    }
}

/* ---- decoding ---- */

static void decoding_is_strict(void **state)
{
    static const struct {
        enum api_encoding encoding;
        const char *text;
        const char *bytes; /* NULL: refused */
    } rows[] = {
        {API_ENCODING_UTF8, "a+/%", "a+/%"},
        {API_ENCODING_BASE64, "", ""},
        {API_ENCODING_BASE64, "Zg==", "f"},
        {API_ENCODING_BASE64, "Zg", "f"},
        {API_ENCODING_BASE64, "Zm8=", "fo"},
        {API_ENCODING_BASE64, "Zm9v", "foo"},
        {API_ENCODING_BASE64, "+/+/", "\xfb\xff\xbf"},
        {API_ENCODING_BASE64, "-_-_", NULL},
        {API_ENCODING_BASE64, "Zh==", NULL}, /* unused bits set */
        {API_ENCODING_BASE64, "Zm9=", NULL},
        {API_ENCODING_BASE64, "Zg=", NULL},
        {API_ENCODING_BASE64, "Zm8==", NULL},
        {API_ENCODING_BASE64, "Z", NULL},
        {API_ENCODING_BASE64, "====", NULL},
        {API_ENCODING_BASE64, "=", NULL},
        {API_ENCODING_BASE64, "Z=g=", NULL},
        {API_ENCODING_BASE64, "Zm 9v", NULL},
        {API_ENCODING_BASE64URL, "-_-_", "\xfb\xff\xbf"},
        {API_ENCODING_BASE64URL, "+/+/", NULL},
        {API_ENCODING_BASE64URL, "Zg", "f"},
        {API_ENCODING_HEX, "", ""},
        {API_ENCODING_HEX, "fFAb", "\xff\xab"},
        {API_ENCODING_HEX, "0", NULL},
        {API_ENCODING_HEX, "0g", NULL},
        {API_ENCODING_HEX, "g0", NULL},
    };
    struct ldb_arena arena;

    (void)state;
    ldb_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice out = {0};
        enum api_decode_result result = api_text_decode(
            &arena, rows[i].encoding, ldb_slice_str(rows[i].text), &out);

        if ((rows[i].bytes != NULL) != (result == API_DECODE_OK))
            fail_msg("%s", rows[i].text);
        if (rows[i].bytes != NULL)
            assert_ldb_slice(ldb_slice_str(rows[i].bytes), out);
    }
    ldb_arena_release(&arena);
}

static void decoding_may_be_where_the_text_is(void **state)
{
    static const struct {
        enum api_encoding encoding;
        const char *text;
        const char *bytes; /* NULL: refused */
    } rows[] = {
        {API_ENCODING_HEX, "6162636465666768", "abcdefgh"},
        {API_ENCODING_BASE64, "YWJjZGVmZ2g=", "abcdefgh"},
        {API_ENCODING_BASE64, "YWJjZGVmZw==", "abcdefg"},
        {API_ENCODING_BASE64URL, "YWJjZGVm", "abcdef"},
        {API_ENCODING_BASE64, "YWJjZ-Vm", NULL},
        {API_ENCODING_HEX, "616", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice text = ldb_slice_str(rows[i].text);
        struct ldb_slice out = {0};
        uint8_t room[16];
        bool is_ok;

        memcpy(room, text.data, text.len);
        is_ok = api_text_decode_into(
            rows[i].encoding, ldb_slice_make(room, text.len), room, &out);
        if (is_ok != (rows[i].bytes != NULL))
            fail_msg("%s", rows[i].text);
        if (is_ok)
            assert_ldb_slice(ldb_slice_str(rows[i].bytes), out);
    }
}

/* Of every digit and of every byte that is none, at each of four places. */
static void base64_digits_are_64(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrs"
                                 "tuvwxyz0123456789+/";

    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        const char *found = c == 0 ? NULL : strchr(digits, (int)c);

        for (unsigned place = 0; place < 4; place++) {
            uint8_t text[4] = {'A', 'A', 'A', 'A'};
            uint8_t room[4];
            struct ldb_slice out = {0};
            uint32_t bits;
            bool is_ok;

            text[place] = (uint8_t)c;
            is_ok = api_text_decode_into(API_ENCODING_BASE64,
                                         ldb_slice_make(text, 4), room, &out);
            if (c == '=' && place == 3) /* padding: two bytes */
                continue;
            assert_int_equal(is_ok, found != NULL);
            if (!is_ok)
                continue;
            bits = (uint32_t)(found - digits) << (6 * (3 - place));
            assert_int_equal(out.len, 3);
            assert_int_equal((uint32_t)room[0] << 16 | (uint32_t)room[1] << 8 |
                                 room[2],
                             bits);
        }
    }
}

static void write_all(enum api_encoding encoding, struct ldb_slice bytes,
                      size_t max, struct ldb_buf *out)
{
    struct api_string_writer writer = {.encoding = encoding, .bytes = bytes};
    uint8_t piece[64];
    size_t len;

    assert_true(max <= sizeof(piece));
    while ((len = api_string_next(&writer, piece, max)) > 0) {
        assert_true(len <= max);
        assert_ldb_ok(ldb_buf_append(out, ldb_slice_make(piece, len)), NULL);
    }
    assert_int_equal(writer.done, bytes.len);
}

static void every_length_survives_every_encoding_and_step(void **state)
{
    static const enum api_encoding encodings[] = {
        API_ENCODING_BASE64, API_ENCODING_HEX, API_ENCODING_BASE64URL};
    uint8_t bytes[32];
    struct ldb_arena arena;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 251);
    ldb_arena_init(&arena, 0);
    for (size_t e = 0; e < 3; e++) {
        for (size_t len = 0; len <= sizeof(bytes); len++) {
            for (size_t max = API_STRING_STEP_MAX; max < 16; max++) {
                struct ldb_buf text = LDB_BUF_INIT(256);
                struct ldb_slice back;

                write_all(encodings[e], ldb_slice_make(bytes, len), max, &text);
                assert_int_equal(api_text_decode(&arena, encodings[e],
                                                 ldb_slice_of_buf(&text),
                                                 &back),
                                 API_DECODE_OK);
                assert_ldb_slice(ldb_slice_make(bytes, len), back);
                ldb_buf_release(&text);
            }
        }
    }
    ldb_arena_release(&arena);
}

static void decode_says_when_there_is_no_memory(void **state)
{
    struct ldb_arena arena;
    struct ldb_slice out = {0};

    (void)state;
    ldb_arena_init(&arena, 0);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_int_equal(
        api_text_decode(&arena, API_ENCODING_HEX, BYTES("00"), &out),
        API_DECODE_NO_MEMORY);
    assert_true(mem_fault_stop());
    ldb_arena_release(&arena);
}

/* ---- strings going out ---- */

static void escapes_are_the_shortest_json_has(void **state)
{
    struct ldb_buf out = LDB_BUF_INIT(256);

    (void)state;
    write_all(API_ENCODING_UTF8,
              BYTES("\"\\/\b\f\n\r\t\x01\x1f\x7f\0\xc3\xa9z"), 7, &out);
    assert_ldb_bytes("\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\\u0000"
                     "\xc3\xa9z",
                     ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

/* Wherever in a word of eight bytes, and however little room there is. */
static void escapes_are_written_wherever_they_stand(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
    } rows[] = {
        {"\"", "\\\""},
        {"\\", "\\\\"},
        {"\x1f", "\\u001f"},
        {"\x7f", "\\u007f"},
        {"\n", "\\n"},
        {" ", " "},
        {"!", "!"},
        {"#", "#"},
        {"~", "~"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"[", "["},
        {"]", "]"},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    };
    static const char plain[] = "0123456789abcdefghij";

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int before = 0; before < 20; before++) {
            for (int after = 0; after < 10; after++) {
                struct ldb_buf bytes = LDB_BUF_INIT(64);
                struct ldb_buf text = LDB_BUF_INIT(64);
                struct ldb_buf out = LDB_BUF_INIT(0);

                assert_ldb_ok(ldb_buf_printf(&bytes, "%.*s%s%.*s", before,
                                             plain, rows[i].bytes, after,
                                             plain),
                              NULL);
                assert_ldb_ok(ldb_buf_printf(&text, "%.*s%s%.*s", before, plain,
                                             rows[i].text, after, plain),
                              NULL);
                out.limit = text.len;
                assert_ldb_ok(api_string_append(API_ENCODING_UTF8,
                                                ldb_slice_of_buf(&bytes), &out),
                              NULL);
                assert_ldb_slice(ldb_slice_of_buf(&text),
                                 ldb_slice_of_buf(&out));
                ldb_buf_clear(&out);
                out.limit--;
                ldb_buf_release(&out);
                assert_int_equal(api_string_append(API_ENCODING_UTF8,
                                                   ldb_slice_of_buf(&bytes),
                                                   &out),
                                 LDB_TOO_LARGE);
                ldb_buf_release(&out);
                ldb_buf_release(&bytes);
                ldb_buf_release(&text);
            }
        }
    }
}

static void numbers_are_written_in_decimal(void **state)
{
    static const struct {
        uint64_t value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {9, "9"},
        {10, "10"},
        {72057594037927935, "72057594037927935"},
        {UINT64_MAX, "18446744073709551615"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t text[API_U64_TEXT_MAX];
        size_t len = api_u64_text(rows[i].value, text);

        assert_ldb_slice(ldb_slice_str(rows[i].text),
                         ldb_slice_make(text, len));
    }
}

static void assert_decimal(uint64_t n)
{
    uint8_t text[API_U64_TEXT_MAX];
    char expected[API_U64_TEXT_MAX + 1];
    size_t len = api_u64_text(n, text);

    snprintf(expected, sizeof(expected), "%" PRIu64, n);
    assert_ldb_slice(ldb_slice_str(expected), ldb_slice_make(text, len));
}

/* Of every length: around each power of ten. */
static void numbers_of_all_lengths_are_as_printf_has_them(void **state)
{
    (void)state;
    for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
        for (uint64_t n = power - 1; n <= power + 1; n++) {
            assert_decimal(n);
            assert_decimal(n * 10);
        }
    }
}

static void jansson_reads_back_every_byte_below_80(void **state)
{
    uint8_t bytes[128];
    struct ldb_buf out = LDB_BUF_INIT(4096);
    struct api_json json = api_json_make(&out);
    json_t *root;
    char why[128];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    api_json_array_begin(&json);
    api_json_bytes(&json, API_ENCODING_UTF8,
                   ldb_slice_make(bytes, sizeof(bytes)));
    api_json_array_end(&json);
    assert_int_equal(json.status, LDB_OK);
    root = api_json_parse(ldb_slice_of_buf(&out), 1, why, sizeof(why));
    assert_non_null(root);
    assert_ldb_slice(ldb_slice_make(bytes, sizeof(bytes)),
                     api_json_string_bytes(json_array_get(root, 0)));
    json_decref(root);
    ldb_buf_release(&out);
}

static void text_that_is_no_utf8_is_repaired(void **state)
{
    struct ldb_buf out = LDB_BUF_INIT(256);
    struct api_json json = api_json_make(&out);

    (void)state;
    api_json_text(&json, "a\xff\xc3\xa9\xc3");
    assert_ldb_bytes("\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\"",
                     ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

static void item_encoding_falls_back_where_utf8_cannot(void **state)
{
    (void)state;
    assert_int_equal(api_encoding_for(API_ENCODING_UTF8, BYTES("a"), BYTES("")),
                     API_ENCODING_UTF8);
    assert_int_equal(
        api_encoding_for(API_ENCODING_UTF8, BYTES("\xff"), BYTES("")),
        API_ENCODING_BASE64);
    assert_int_equal(
        api_encoding_for(API_ENCODING_UTF8, BYTES("a"), BYTES("\xff")),
        API_ENCODING_BASE64);
    assert_int_equal(
        api_encoding_for(API_ENCODING_HEX, BYTES("\xff"), BYTES("\xff")),
        API_ENCODING_HEX);
}

/* ---- documents ---- */

static void documents_have_commas_where_they_belong(void **state)
{
    struct ldb_buf out = LDB_BUF_INIT(512);
    struct api_json json = api_json_make(&out);

    (void)state;
    api_json_object_begin(&json);
    api_json_member_u64(&json, "a", UINT64_MAX);
    api_json_name(&json, "b");
    api_json_array_begin(&json);
    api_json_bool(&json, true);
    api_json_null(&json);
    api_json_object_begin(&json);
    api_json_object_end(&json);
    api_json_double(&json, 1.5);
    api_json_double(&json, (double)INFINITY);
    api_json_array_end(&json);
    api_json_member_text(&json, "c", "x");
    api_json_object_end(&json);
    assert_int_equal(json.status, LDB_OK);
    assert_ldb_bytes("{\"a\":18446744073709551615,\"b\":[true,null,{},1.500,"
                     "null],\"c\":\"x\"}",
                     ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

static void a_full_buffer_fails_the_document_once_and_for_all(void **state)
{
    struct ldb_buf out = LDB_BUF_INIT(8);
    struct api_json json = api_json_make(&out);

    (void)state;
    api_json_object_begin(&json);
    api_json_member_text(&json, "name", "value");
    api_json_object_end(&json);
    assert_int_equal(json.status, LDB_TOO_LARGE);
    ldb_buf_release(&out);
}

static void parse_refuses_what_is_not_one_plain_document(void **state)
{
    static const struct {
        const char *text;
        const char *why; /* part of it; NULL: accepted */
    } rows[] = {
        {"{}", NULL},
        {"[[1]]", NULL},
        {"[\"[[[[[[\"]", NULL}, /* brackets in a string do not nest */
        {"[\"\\\"[[[[\"]", NULL},
        {"[[[1]]]", "deeper than 2"},
        {"{\"a\":{\"b\":[1]}}", "deeper than 2"},
        {"", "empty"},
        {"1", "expected"},
        {"{} {}", "end of file"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{\"a\":\"\xff\"}", "decode byte 0xff"},
        {"[\"\\ud800\"]", "Unicode"},
        {"[01]", "invalid token"},
        {"[1,]", "unexpected"},
        {"[99999999999999999999]", "too big"},
        {"[NaN]", "invalid token"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char why[200] = "";
        json_t *root =
            api_json_parse(ldb_slice_str(rows[i].text), 2, why, sizeof(why));

        if ((root != NULL) != (rows[i].why == NULL))
            fail_msg("%s: %s", rows[i].text, why);
        if (rows[i].why != NULL && strstr(why, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].text, why);
        json_decref(root);
    }
}

static void parse_says_nothing_when_there_is_no_memory(void **state)
{
    (void)state;
    api_json_use_ldb_mem();
    for (uint64_t n = 1;; n++) {
        char why[200] = "x";
        json_t *root;
        bool failed;

        mem_fault_start(n, MEM_FAULT_FOREVER);
        root =
            api_json_parse(BYTES("{\"a\":[\"b\",1,{}]}"), 9, why, sizeof(why));
        failed = mem_fault_stop();
        json_decref(root);
        if (!failed)
            break;
        assert_null(root);
        assert_string_equal(why, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_judged_as_rfc_3629_says),
        cmocka_unit_test(decoding_is_strict),
        cmocka_unit_test(decoding_may_be_where_the_text_is),
        cmocka_unit_test(base64_digits_are_64),
        cmocka_unit_test(every_length_survives_every_encoding_and_step),
        cmocka_unit_test(decode_says_when_there_is_no_memory),
        cmocka_unit_test(escapes_are_the_shortest_json_has),
        cmocka_unit_test(escapes_are_written_wherever_they_stand),
        cmocka_unit_test(numbers_are_written_in_decimal),
        cmocka_unit_test(numbers_of_all_lengths_are_as_printf_has_them),
        cmocka_unit_test(jansson_reads_back_every_byte_below_80),
        cmocka_unit_test(text_that_is_no_utf8_is_repaired),
        cmocka_unit_test(item_encoding_falls_back_where_utf8_cannot),
        cmocka_unit_test(documents_have_commas_where_they_belong),
        cmocka_unit_test(a_full_buffer_fails_the_document_once_and_for_all),
        cmocka_unit_test(parse_refuses_what_is_not_one_plain_document),
        cmocka_unit_test(parse_says_nothing_when_there_is_no_memory),
    };

    return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
