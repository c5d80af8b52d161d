#include "api/json_cut.h"

#include <string.h>

#include "tests/support/assert_ldb.h"

static void values_are_cut_as_they_stand(void **state)
{
    static const struct {
        const char *text;
        const char *value; /* NULL: cut short */
        const char *left;
    } rows[] = {
        {"1,2", "1", ",2"},
        {" \t\r\n true]", "true", "]"},
        {"\"a\\\"b\" x", "\"a\\\"b\"", " x"},
        {"\"\\\\\"}", "\"\\\\\"", "}"},
        {"[1,[2,{}],\"]\"],3", "[1,[2,{}],\"]\"]", ",3"},
        {"{\"a\":\"}\"}", "{\"a\":\"}\"}", ""},
        {"\"a", NULL, NULL},
        {"\"a\\", NULL, NULL},
        {"[1", NULL, NULL},
        {"{\"a", NULL, NULL},
        {"", NULL, NULL},
        {"  ", NULL, NULL},
        {",", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_reader r = ldb_reader_make(ldb_slice_str(rows[i].text));
        struct ldb_slice value;
        bool is_whole = api_json_take_value(&r, &value);

        if (is_whole != (rows[i].value != NULL))
            fail_msg("%s", rows[i].text);
        if (!is_whole)
            continue;
        assert_ldb_slice(ldb_slice_str(rows[i].value), value);
        assert_int_equal(ldb_reader_left(&r), strlen(rows[i].left));
    }
}

static void objects_are_cut_into_the_members_named(void **state)
{
    static const struct {
        const char *text;
        const char *a; /* NULL: refused */
        const char *b;
        size_t at; /* of what is wrong */
    } rows[] = {
        {"{}", "", "", 0},
        {" { } ", "", "", 0},
        {"{\"a\":1}", "1", "", 0},
        {"{\"b\" : [1] , \"a\" : \"x\"}\n", "\"x\"", "[1]", 0},
        {"", NULL, NULL, 0},
        {"[]", NULL, NULL, 0},
        {"{\"c\":1}", NULL, NULL, 5},
        {"{\"\":1}", NULL, NULL, 4},
        {"{\"a\":1,\"a\":1}", NULL, NULL, 11},
        {"{\"a\":1,}", NULL, NULL, 7},
        {"{\"a\":1", NULL, NULL, 6},
        {"{\"a\":}", NULL, NULL, 5},
        {"{\"a\"}", NULL, NULL, 4},
        {"{a:1}", NULL, NULL, 1},
        {"{\"a\":1 \"b\":1}", NULL, NULL, 7},
        {"{} {}", NULL, NULL, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_json_member members[] = {{.name = "a"}, {.name = "b"}};
        const char *why = NULL;
        size_t at = 0;
        bool is_ok =
            api_json_cut(ldb_slice_str(rows[i].text), members, 2, &at, &why);

        if (is_ok != (rows[i].a != NULL) || at != rows[i].at)
            fail_msg("%s: byte %u", rows[i].text, (unsigned)at);
        assert_int_equal(why == NULL, is_ok);
        if (!is_ok)
            continue;
        assert_ldb_slice(ldb_slice_str(rows[i].a), members[0].value);
        assert_ldb_slice(ldb_slice_str(rows[i].b), members[1].value);
    }
}

static void a_nul_is_something_after_the_document(void **state)
{
    const char *why;
    size_t at;

    (void)state;
    assert_false(api_json_cut(ldb_slice_make("{}\0", 3), NULL, 0, &at, &why));
    assert_int_equal(at, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_cut_as_they_stand),
        cmocka_unit_test(objects_are_cut_into_the_members_named),
        cmocka_unit_test(a_nul_is_something_after_the_document),
    };

    return cmocka_run_group_tests_name("json_cut", tests, NULL, NULL);
}
