#include "api/multiget_json.h"

#include <string.h>

#include "storage/base/buf.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static const struct api_limits small_limits = {.key_bytes = 4,
                                               .range_items_max = 3};

static void members_come_in_any_order(void **state)
{
    static const struct {
        const char *text;
        const char *keys[3];
        size_t count;
        bool with_values;
        enum api_encoding encoding;
        const char *snapshot; /* NULL: none */
    } rows[] = {
        {"{\"keys\":[]}", {NULL}, 0, true, API_ENCODING_UTF8, NULL},
        {" { \"keys\" : [ \"a\" , \"\" , \"a\\n\" ] } ",
         {"a", "", "a\n"},
         3,
         true,
         API_ENCODING_UTF8,
         NULL},
        {"{\"keys\":[\"61\",\"6263\"],\"values\":false,\"encoding\":\"hex\"}",
         {"a", "bc"},
         2,
         false,
         API_ENCODING_HEX,
         NULL},
        {"{\"snapshot\":\"x\",\"encoding\":\"base64\",\"values\":true,"
         "\"keys\":[\"YWJjZA==\",\"+\\/+\\/\"]}",
         {"abcd", "\xfb\xff\xbf"},
         2,
         true,
         API_ENCODING_BASE64,
         "x"},
        {"{\"k\\u0065ys\":[\"\\u0061\"]}",
         {"a"},
         1,
         true,
         API_ENCODING_UTF8,
         NULL},
    };
    struct ldb_buf room = LDB_BUF_INIT(64);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_multiget_json get;
        struct api_problem problem;

        if (!api_multiget_json_parse(&small_limits, ldb_slice_str(rows[i].text),
                                     &get, &problem))
            fail_msg("%s: %s", rows[i].text, problem.detail);
        assert_int_equal(get.key_count, rows[i].count);
        assert_int_equal(get.with_values, rows[i].with_values);
        assert_int_equal(get.encoding, rows[i].encoding);
        assert_int_equal(get.has_snapshot, rows[i].snapshot != NULL);
        if (rows[i].snapshot != NULL)
            assert_true(api_json_string_is(&get.snapshot, rows[i].snapshot));
        for (size_t k = 0; k < rows[i].count; k++) {
            struct ldb_slice key;

            assert_true(api_multiget_json_next(&get, &small_limits, &room, &key,
                                               &problem));
            assert_ldb_slice(ldb_slice_str(rows[i].keys[k]), key);
        }
        assert_int_equal(get.taken, get.key_count);
    }
    ldb_buf_release(&room);
}

static void bad_bodies_are_refused(void **state)
{
    static const struct {
        const char *text;
        enum api_problem_kind kind;
        const char *detail; /* part of it */
        int index;          /* -1: none */
    } rows[] = {
        {"", API_PROBLEM_MALFORMED, "byte 0: an object expected (cut short)",
         -1},
        {"[\"a\"]", API_PROBLEM_MALFORMED, "an object expected", -1},
        {"{}", API_PROBLEM_MALFORMED, "\"keys\" is a list", -1},
        {"{\"keys\":{}}", API_PROBLEM_MALFORMED, "\"keys\" is a list", -1},
        {"{\"keys\":", API_PROBLEM_MALFORMED, "byte 8: a value expected", -1},
        {"{\"keys\":[\"a\"", API_PROBLEM_MALFORMED,
         "byte 12: , or ] expected (cut short)", -1},
        {"{\"keys\":[\"a\",]}", API_PROBLEM_MALFORMED, "a value expected", -1},
        {"{\"keys\":[\"\\q\"]}", API_PROBLEM_MALFORMED, "byte 10: an escape",
         -1},
        {"{\"keys\":[\"a\",1]}", API_PROBLEM_MALFORMED, "keys[1]: a string", 1},
        {"{\"keys\":[[\"a\"]]}", API_PROBLEM_MALFORMED, "keys[0]: a string", 0},
        {"{\"keys\":[{}]}", API_PROBLEM_MALFORMED, "keys[0]: a string", 0},
        {"{\"keys\":[[[]]]}", API_PROBLEM_MALFORMED, "nested deeper", -1},
        {"{\"keys\":[\"a\",\"a\",\"a\",\"a\"]}", API_PROBLEM_TOO_LARGE,
         "4 keys, the limit is 3", -1},
        {"{\"keys\":[]}}", API_PROBLEM_MALFORMED, "byte 11: more after", -1},
        {"{\"keys\":[],\"keys\":[]}", API_PROBLEM_MALFORMED,
         "duplicate member \"keys\"", -1},
        {"{\"keys\":[],\"key\":1}", API_PROBLEM_MALFORMED,
         "unknown member \"key\"", -1},
        {"{\"keys\":[],\"values\":1}", API_PROBLEM_MALFORMED,
         "\"values\" is true or false", -1},
        {"{\"keys\":[],\"encoding\":\"rot13\"}", API_PROBLEM_MALFORMED,
         "utf8, base64 or hex", -1},
        {"{\"keys\":[],\"encoding\":tru", API_PROBLEM_MALFORMED,
         "byte 22: a value expected", -1},
        {"{\"keys\":[],\"snapshot\":{}}", API_PROBLEM_MALFORMED,
         "\"snapshot\" is a string", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_multiget_json get;
        struct api_problem problem = {0};
        bool is_ok = api_multiget_json_parse(
            &small_limits, ldb_slice_str(rows[i].text), &get, &problem);

        if (is_ok || problem.kind != rows[i].kind ||
            strstr(problem.detail, rows[i].detail) == NULL)
            fail_msg("%s: %s", rows[i].text, problem.detail);
        assert_int_equal(problem.has_index, rows[i].index >= 0);
        if (problem.has_index)
            assert_int_equal(problem.index, rows[i].index);
    }
}

static void a_bad_key_is_found_when_it_is_taken(void **state)
{
    static const struct {
        const char *text;
        enum api_problem_kind kind;
    } rows[] = {
        {"{\"keys\":[\"abcd\",\"abcde\"]}", API_PROBLEM_TOO_LARGE},
        {"{\"encoding\":\"hex\",\"keys\":[\"61626364\",\"616\"]}",
         API_PROBLEM_BAD_KEY},
        {"{\"encoding\":\"hex\",\"keys\":[\"61626364\",\"6162636465\"]}",
         API_PROBLEM_TOO_LARGE},
    };
    struct ldb_buf room = LDB_BUF_INIT(64);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_multiget_json get;
        struct api_problem problem;
        struct ldb_slice key;

        assert_true(api_multiget_json_parse(
            &small_limits, ldb_slice_str(rows[i].text), &get, &problem));
        assert_true(
            api_multiget_json_next(&get, &small_limits, &room, &key, &problem));
        assert_ldb_bytes("abcd", key);
        assert_false(
            api_multiget_json_next(&get, &small_limits, &room, &key, &problem));
        assert_int_equal(problem.kind, rows[i].kind);
        assert_true(problem.has_index);
        assert_int_equal(problem.index, 1);
    }
    ldb_buf_release(&room);
}

static void a_key_without_memory_is_overloaded(void **state)
{
    struct ldb_buf room = LDB_BUF_INIT(64);
    struct api_multiget_json get;
    struct api_problem problem;
    struct ldb_slice key;

    (void)state;
    assert_true(api_multiget_json_parse(
        &small_limits, ldb_slice_str("{\"keys\":[\"\\n\"]}"), &get, &problem));
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_false(
        api_multiget_json_next(&get, &small_limits, &room, &key, &problem));
    assert_true(mem_fault_stop());
    assert_int_equal(problem.kind, API_PROBLEM_OVERLOADED);
    ldb_buf_release(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_in_any_order),
        cmocka_unit_test(bad_bodies_are_refused),
        cmocka_unit_test(a_bad_key_is_found_when_it_is_taken),
        cmocka_unit_test(a_key_without_memory_is_overloaded),
    };

    return cmocka_run_group_tests_name("multiget_json", tests, NULL, NULL);
}
