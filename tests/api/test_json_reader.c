#include "api/json_reader.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/buf.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define BYTES(literal) ldb_slice_make("" literal, sizeof(literal) - 1)

#define DEPTH 16

/* ---- beside jansson ---- */

static bool we_accept(struct ldb_slice text)
{
    struct api_json_reader r = api_json_reader_make(text, DEPTH);
    uint8_t first = api_json_reader_peek(&r);
    struct api_json_value value = {0};

    return (first == '{' || first == '[') &&
           api_json_reader_value(&r, &value) && api_json_reader_end(&r);
}

/*
 * Not compared: real numbers over the range of a double, which we let be, and a
 * NUL outside of strings, which jansson passes over behind numbers and words.
 */
static void assert_same_verdict(struct ldb_slice text)
{
    json_error_t error;
    json_t *root =
        json_loadb((const char *)text.data, text.len, JSON_ALLOW_NUL, &error);
    bool is_ok = root != NULL;

    json_decref(root);
    if (is_ok && memchr(text.data, 0, text.len) != NULL)
        is_ok = false;
    if (!is_ok && strstr(error.text, "real number overflow") != NULL)
        return;
    if (we_accept(text) != is_ok)
        fail_msg("%.*s: jansson %s it", (int)text.len, (const char *)text.data,
                 is_ok ? "accepts" : "refuses");
}

static const char *const texts[] = {
    "{}",
    "[]",
    " \t\r\n[ ] \n",
    "{\"a\":1}",
    "{\"a\":{\"b\":[1,2,[]],\"c\":{}}}",
    "[true,false,null]",
    "[truex]",
    "[nul]",
    "[True]",
    "[-0,-1,0,10,9223372036854775807,-9223372036854775808]",
    "[9223372036854775808]",
    "[-9223372036854775809]",
    "[123456789012345678901234567890]",
    "[0.5,1e5,1E+5,1e-5,-1.25e3,1e999,-1e999]",
    "[01]",
    "[-]",
    "[-01]",
    "[+1]",
    "[1.]",
    "[.5]",
    "[1e]",
    "[1e+]",
    "[0x10]",
    "[1 2]",
    "[NaN]",
    "[1,]",
    "[,1]",
    "[1,,2]",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{1:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1}]",
    "[}",
    "{]",
    "[[]",
    "[]]",
    "[] []",
    "\"a\"",
    "1",
    "null",
    "",
    " ",
    "// no\n[]",
    "[\"\"]",
    "[\"plain text that is longer than a word of eight bytes\"]",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    "[\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"]",
    "[\"\\uD83D\\uDE00\\uFFFF\"]",
    "[\"\\u0000\"]",
    "{\"\\u0000\":1}",
    "{\"\\u0061\\u0000\":1}",
    "[\"\\ud83d\"]",
    "[\"\\ude00\"]",
    "[\"\\ud83d\\ud83d\"]",
    "[\"\\ud83dx\"]",
    "[\"\\ud83d\\n\"]",
    "[\"\\u12\"]",
    "[\"\\u12g4\"]",
    "[\"\\q\"]",
    "[\"\\",
    "[\"\\u",
    "[\"a",
    "[\"a\nb\"]",
    "[\"\x01\"]",
    "[\"\x7f\"]",
    "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
    "[\"\xff\"]",
    "[\"\xc3\"]",
    "[\"\xc0\x80\"]",
    "[\"\xed\xa0\x80\"]",
    "[\"\xf4\x90\x80\x80\"]",
    "[\"0123456\xe2\x82\xacx1234567\xc3\"]",
    "\xef\xbb\xbf[]",
    "[\xc3\xa9]",
    "['a']",
};

static void verdicts_are_those_of_jansson(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_same_verdict(ldb_slice_str(texts[i]));
    assert_same_verdict(BYTES("[]\0"));
    assert_same_verdict(BYTES("[\0]"));
    assert_same_verdict(BYTES("[\"\0\"]"));
}

/* One byte of each text at a time cut off, left out, or replaced. */
static void verdicts_of_damaged_texts_are_too(void **state)
{
    static const char others[] = "\"\\{}[]:,0-.eEu tn/aD\x01\x7f\xc3\xa9\xed";
    uint8_t copy[128];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t len = strlen(texts[i]);

        assert_true(len < sizeof(copy));
        for (size_t at = 0; at < len; at++) {
            assert_same_verdict(ldb_slice_make(texts[i], at));
            memcpy(copy, texts[i], at);
            memcpy(copy + at, texts[i] + at + 1, len - at - 1);
            assert_same_verdict(ldb_slice_make(copy, len - 1));
            for (size_t c = 0; c < sizeof(others); c++) {
                memcpy(copy, texts[i], len);
                copy[at] = (uint8_t)others[c];
                assert_same_verdict(ldb_slice_make(copy, len));
            }
        }
    }
}

/* ---- strings ---- */

/* The only element of a list. */
static bool read_string(struct ldb_slice text, struct api_json_string *out)
{
    struct api_json_reader r = api_json_reader_make(text, 1);
    struct api_json_value value = {0};

    if (!api_json_reader_array(&r) || !api_json_reader_element(&r) ||
        !api_json_reader_value(&r, &value) || api_json_reader_element(&r) ||
        !api_json_reader_end(&r))
        return false;
    assert_int_equal(value.kind, API_JSON_STRING);
    *out = value.string;
    return true;
}

static void escapes_stand_for_their_characters(void **state)
{
    static const struct {
        const char *text;
        struct ldb_slice bytes;
    } rows[] = {
        {"[\"\"]", {(const uint8_t *)"", 0}},
        {"[\"plain\"]", {(const uint8_t *)"plain", 5}},
        {"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
         {(const uint8_t *)"\"\\/\b\f\n\r\t", 8}},
        {"[\"a\\u0000b\"]", {(const uint8_t *)"a\0b", 3}},
        {"[\"\\u007f\\u0080\\u07FF\\u0800\\uffff\"]",
         {(const uint8_t *)"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11}},
        {"[\"\\ud800\\udc00\\uDBFF\\uDFFF\"]",
         {(const uint8_t *)"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8}},
        {"[\"\xc3\xa9\\\\\xc3\xa9\"]",
         {(const uint8_t *)"\xc3\xa9\\\xc3\xa9", 5}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_json_string s = {0};
        uint8_t room[64];

        if (!read_string(ldb_slice_str(rows[i].text), &s))
            fail_msg("%s", rows[i].text);
        assert_int_equal(s.len, rows[i].bytes.len);
        assert_ldb_slice(rows[i].bytes, api_json_string_get(&s, room));
    }
}

/* Wherever in a word of eight bytes, and however many bytes follow. */
static void a_byte_that_is_not_plain_is_seen_anywhere(void **state)
{
    static const struct {
        const char *bytes;
        bool is_ok;
        size_t shrinks;
    } rows[] = {
        {"\"", false, 0},     {"\x1f", false, 0}, {"\\n", true, 1},
        {"\\x", false, 0},    {"\x80", false, 0}, {"\xc3\xa9", true, 0},
        {"\xff", false, 0},   {"!", true, 0},     {" ", true, 0},
        {"\\u00e9", true, 4}, {"[", true, 0},     {"]", true, 0},
        {"\x7f", true, 0},    {"#", true, 0},
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int before = 0; before < 20; before++) {
            for (int after = 0; after < 10; after++) {
                struct api_json_string s = {0};
                bool is_ok;
                int len = snprintf(text, sizeof(text), "[\"%.*s%s%.*s\"]",
                                   before, "01234567890123456789",
                                   rows[i].bytes, after, "0123456789");

                is_ok = read_string(ldb_slice_make(text, (size_t)len), &s);
                if (is_ok != rows[i].is_ok)
                    fail_msg("%s", text);
                if (is_ok)
                    assert_int_equal(s.len, s.raw.len - rows[i].shrinks);
            }
        }
    }
}

static void words_are_known_with_escapes_too(void **state)
{
    struct api_json_string s = {0};

    (void)state;
    assert_true(read_string(BYTES("[\"\\u0070u\\u0074\"]"), &s));
    assert_true(api_json_string_is(&s, "put"));
    assert_false(api_json_string_is(&s, "pat"));
    assert_false(api_json_string_is(&s, "puts"));
    assert_true(read_string(BYTES("[\"put\"]"), &s));
    assert_true(api_json_string_is(&s, "put"));
    assert_false(api_json_string_is(&s, "pat"));
    assert_true(read_string(BYTES("[\"01234567890123456789\\n\"]"), &s));
    assert_false(api_json_string_is(&s, "012345678901234567890"));
}

static void decoding_needs_room_where_the_text_is_not_the_bytes(void **state)
{
    static const struct {
        const char *text;
        enum api_encoding encoding;
        const char *bytes; /* NULL: refused */
        bool is_in_text;
    } rows[] = {
        {"[\"a/b\"]", API_ENCODING_UTF8, "a/b", true},
        {"[\"a\\/b\"]", API_ENCODING_UTF8, "a/b", false},
        {"[\"6162\"]", API_ENCODING_HEX, "ab", false},
        {"[\"61\\u00362\"]", API_ENCODING_HEX, "ab", false},
        {"[\"616\"]", API_ENCODING_HEX, NULL, false},
        {"[\"+\\/+\\/\"]", API_ENCODING_BASE64, "\xfb\xff\xbf", false},
        {"[\"+/+/\"]", API_ENCODING_BASE64, "\xfb\xff\xbf", false},
        {"[\"YWI=\"]", API_ENCODING_BASE64, "ab", false},
        {"[\"YW\"]", API_ENCODING_BASE64, NULL, false},
        {"[\"\"]", API_ENCODING_BASE64, "", false},
    };
    struct ldb_buf room = LDB_BUF_INIT(64);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum api_decode_result result;
        struct ldb_slice out = {0};
        struct api_json_string s = {0};

        assert_true(read_string(ldb_slice_str(rows[i].text), &s));
        result = api_json_string_decode(&s, rows[i].encoding, &room, &out);
        if ((result == API_DECODE_OK) != (rows[i].bytes != NULL))
            fail_msg("%s", rows[i].text);
        if (rows[i].bytes == NULL)
            continue;
        assert_ldb_slice(ldb_slice_str(rows[i].bytes), out);
        assert_int_equal(out.data == s.raw.data, rows[i].is_in_text);
    }
    ldb_buf_release(&room);
}

static void decoding_says_when_there_is_no_memory(void **state)
{
    struct ldb_buf room = LDB_BUF_INIT(64);
    struct ldb_slice out;
    struct api_json_string s = {0};

    (void)state;
    assert_true(read_string(BYTES("[\"61\"]"), &s));
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_int_equal(api_json_string_decode(&s, API_ENCODING_HEX, &room, &out),
                     API_DECODE_NO_MEMORY);
    assert_true(mem_fault_stop());
    ldb_buf_release(&room);
}

static void encodings_are_named_by_strings(void **state)
{
    static const struct {
        const char *text;
        bool is_ok;
        enum api_encoding encoding;
    } rows[] = {
        {"[\"hex\"]", true, API_ENCODING_HEX},
        {"[\"h\\u0065x\"]", true, API_ENCODING_HEX},
        {"[\"base64\"]", true, API_ENCODING_BASE64},
        {"[\"utf8\"]", true, API_ENCODING_UTF8},
        {"[\"utf-8\"]", false, API_ENCODING_UTF8},
        {"[\"a name that is longer than any\"]", false, API_ENCODING_UTF8},
        {"[1]", false, API_ENCODING_UTF8},
        {"[[\"hex\"]]", false, API_ENCODING_UTF8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_json_reader r =
            api_json_reader_make(ldb_slice_str(rows[i].text), 2);
        enum api_encoding encoding = API_ENCODING_UTF8;
        struct api_json_value value = {0};

        assert_true(api_json_reader_array(&r) && api_json_reader_element(&r) &&
                    api_json_reader_value(&r, &value));
        if (api_json_value_encoding(&value, &encoding) != rows[i].is_ok)
            fail_msg("%s", rows[i].text);
        assert_int_equal(encoding, rows[i].encoding);
    }
}

/* ---- values ---- */

static void values_are_of_their_kind(void **state)
{
    static const enum api_json_kind kinds[] = {
        API_JSON_OBJECT,  API_JSON_ARRAY, API_JSON_STRING,
        API_JSON_INTEGER, API_JSON_REAL,  API_JSON_REAL,
        API_JSON_TRUE,    API_JSON_FALSE, API_JSON_NULL,
    };
    struct api_json_reader r = api_json_reader_make(
        BYTES("[{\"a\":[]},[{}],\"s\",1,1.0,1e1,true,false,null]"), DEPTH);
    struct api_json_value value = {0};
    size_t count = 0;

    (void)state;
    assert_true(api_json_reader_array(&r));
    while (api_json_reader_element(&r)) {
        assert_true(api_json_reader_value(&r, &value));
        assert_int_equal(value.kind, kinds[count]);
        count++;
    }
    assert_int_equal(count, sizeof(kinds) / sizeof(kinds[0]));
    assert_true(api_json_reader_end(&r));
}

static void integers_have_64_bits(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } rows[] = {
        {"[0]", 0},
        {"[-0]", 0},
        {"[72057594037927935]", 72057594037927935},
        {"[9223372036854775807]", INT64_MAX},
        {"[-9223372036854775808]", INT64_MIN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_json_reader r =
            api_json_reader_make(ldb_slice_str(rows[i].text), 1);
        struct api_json_value value = {0};

        assert_true(api_json_reader_array(&r) && api_json_reader_element(&r) &&
                    api_json_reader_value(&r, &value));
        assert_int_equal(value.kind, API_JSON_INTEGER);
        assert_true(value.integer == rows[i].value);
    }
}

static void members_come_in_their_order(void **state)
{
    struct api_json_reader r = api_json_reader_make(
        BYTES(" { \"a\" : 1 , \"b\" : { \"c\" : 2 } , \"d\":[]}"), 2);
    struct api_json_string name = {0};
    struct api_json_value value = {0};

    (void)state;
    assert_true(api_json_reader_object(&r));
    assert_true(api_json_reader_member(&r, &name));
    assert_true(api_json_string_is(&name, "a"));
    assert_true(api_json_reader_value(&r, &value));
    assert_true(api_json_reader_member(&r, &name));
    assert_true(api_json_string_is(&name, "b"));
    assert_true(api_json_reader_object(&r));
    assert_true(api_json_reader_member(&r, &name));
    assert_true(api_json_string_is(&name, "c"));
    assert_true(api_json_reader_value(&r, &value));
    assert_false(api_json_reader_member(&r, &name));
    assert_true(api_json_reader_member(&r, &name));
    assert_true(api_json_reader_array(&r));
    assert_false(api_json_reader_element(&r));
    assert_false(api_json_reader_member(&r, &name));
    assert_true(api_json_reader_end(&r));
}

/* ---- failures ---- */

static void failures_say_where_and_why(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"", "JSON, byte 0: a value expected (cut short)"},
        {"[1", "JSON, byte 2: , or ] expected (cut short)"},
        {"[1 2]", "JSON, byte 3: , or ] expected"},
        {"{\"a\":1;", "JSON, byte 6: , or } expected"},
        {"{a:1}", "JSON, byte 1: \"name\": expected"},
        {"{\"a\",1}", "JSON, byte 4: : expected"},
        {"{\"\\u0000\":1}", "JSON, byte 9: a name has no \\u0000"},
        {"[tru]", "JSON, byte 1: a value expected"},
        {"[-x]", "JSON, byte 2: a digit expected"},
        {"[007]", "JSON, byte 4: a number does not begin with 0"},
        {"[9223372036854775808]",
         "JSON, byte 20: an integer is too big: it has 64 bits"},
        {"[\"a\\q\"]", "JSON, byte 3: an escape that JSON does not have, or "
                       "half a surrogate pair"},
        {"[\"a\tb\"]",
         "JSON, byte 3: a control character in a string has to be escaped"},
        {"[\"a\xff\"]", "JSON, byte 3: a string is not UTF-8"},
        {"[\"a", "JSON, byte 3: a string's closing \" expected (cut short)"},
        {"[[[1]]]", "JSON, byte 2: nested deeper than it may be"},
        {"[] x", "JSON, byte 3: more after the document"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_json_reader r =
            api_json_reader_make(ldb_slice_str(rows[i].text), 2);
        struct api_json_value value = {0};
        char message[128];

        assert_false(api_json_reader_value(&r, &value) &&
                     api_json_reader_end(&r));
        api_json_reader_explain(&r, message, sizeof(message));
        assert_string_equal(message, rows[i].message);
    }
}

static void a_failed_reader_stays_failed(void **state)
{
    struct api_json_reader r = api_json_reader_make(BYTES("[x[{\"a\":1}]]"), 9);
    struct api_json_string name = {0};
    struct api_json_value value = {0};
    const char *why;

    (void)state;
    assert_true(api_json_reader_array(&r) && api_json_reader_element(&r));
    assert_false(api_json_reader_value(&r, &value));
    why = r.why;
    r.p++;
    assert_false(api_json_reader_value(&r, &value));
    assert_false(api_json_reader_array(&r));
    assert_false(api_json_reader_object(&r));
    assert_false(api_json_reader_element(&r));
    assert_false(api_json_reader_member(&r, &name));
    assert_false(api_json_reader_end(&r));
    assert_ptr_equal(r.why, why);
}

static void nesting_is_allowed_to_the_depth(void **state)
{
    char text[2 * API_JSON_READER_DEPTH_MAX + 2];

    (void)state;
    for (unsigned depth = 1; depth <= API_JSON_READER_DEPTH_MAX; depth++) {
        for (unsigned levels = depth; levels <= depth + 1; levels++) {
            struct api_json_value value = {0};
            struct api_json_reader r;

            memset(text, '[', levels);
            memset(text + levels, ']', levels);
            r = api_json_reader_make(ldb_slice_make(text, (size_t)2 * levels),
                                     depth);
            assert_int_equal(api_json_reader_value(&r, &value),
                             levels == depth);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_those_of_jansson),
        cmocka_unit_test(verdicts_of_damaged_texts_are_too),
        cmocka_unit_test(escapes_stand_for_their_characters),
        cmocka_unit_test(a_byte_that_is_not_plain_is_seen_anywhere),
        cmocka_unit_test(words_are_known_with_escapes_too),
        cmocka_unit_test(decoding_needs_room_where_the_text_is_not_the_bytes),
        cmocka_unit_test(decoding_says_when_there_is_no_memory),
        cmocka_unit_test(encodings_are_named_by_strings),
        cmocka_unit_test(values_are_of_their_kind),
        cmocka_unit_test(integers_have_64_bits),
        cmocka_unit_test(members_come_in_their_order),
        cmocka_unit_test(failures_say_where_and_why),
        cmocka_unit_test(a_failed_reader_stays_failed),
        cmocka_unit_test(nesting_is_allowed_to_the_depth),
    };

    return cmocka_run_group_tests_name("json_reader", tests, NULL, NULL);
}
