#include "api/conditions.h"

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static void tag_lists_are_read_as_rfc_9110_says(void **state)
{
    static const struct {
        const char *value;
        bool weak_matches;
        enum api_tags_result result;
        bool any;
        size_t count;
        ldb_sequence first;
    } rows[] = {
        {"*", false, API_TAGS_OK, true, 0, 0},
        {" * ", false, API_TAGS_OK, true, 0, 0},
        {"\"12\"", false, API_TAGS_OK, false, 1, 12},
        {"\"0\"", false, API_TAGS_OK, false, 1, 0},
        {"\"12\", \"13\" ,\t\"14\"", false, API_TAGS_OK, false, 3, 12},
        {"W/\"12\"", false, API_TAGS_OK, false, 0, 0},
        {"W/\"12\"", true, API_TAGS_OK, false, 1, 12},
        {"\"abc\"", false, API_TAGS_OK, false, 0, 0},
        {"\"\"", false, API_TAGS_OK, false, 0, 0},
        {"\"012\"", false, API_TAGS_OK, false, 0, 0},
        {"\"72057594037927936\"", false, API_TAGS_OK, false, 0, 0},
        {"\"72057594037927935\"", false, API_TAGS_OK, false, 1,
         LDB_SEQUENCE_MAX},
        {"\"a,b\", \"5\"", false, API_TAGS_OK, false, 1, 5},
        {"", false, API_TAGS_BAD, false, 0, 0},
        {"12", false, API_TAGS_BAD, false, 0, 0},
        {"\"12", false, API_TAGS_BAD, false, 0, 0},
        {"\"12\" \"13\"", false, API_TAGS_BAD, false, 0, 0},
        {"\"12\",", false, API_TAGS_BAD, false, 0, 0},
        {",\"12\"", false, API_TAGS_BAD, false, 0, 0},
        {"\"12\",,\"13\"", false, API_TAGS_BAD, false, 0, 0},
        {"\"1 2\"", false, API_TAGS_BAD, false, 0, 0},
        {"w/\"12\"", true, API_TAGS_BAD, false, 0, 0},
        {"W/12", true, API_TAGS_BAD, false, 0, 0},
        {"*, \"12\"", false, API_TAGS_BAD, false, 0, 0},
        {"**", false, API_TAGS_BAD, false, 0, 0},
    };
    struct ldb_arena arena;

    (void)state;
    ldb_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_tag_list list = {0};
        enum api_tags_result result = api_tag_list_parse(
            &arena, ldb_slice_str(rows[i].value), rows[i].weak_matches, &list);

        if (result != rows[i].result || list.any != rows[i].any ||
            list.sequence_count != rows[i].count ||
            (rows[i].count > 0 && list.sequences[0] != rows[i].first))
            fail_msg("%s", rows[i].value);
    }
    ldb_arena_release(&arena);
}

static void a_list_has_an_end(void **state)
{
    struct ldb_arena arena;
    struct ldb_buf value = LDB_BUF_INIT(1 << 16);
    struct api_tag_list list;

    (void)state;
    ldb_arena_init(&arena, 0);
    for (size_t i = 0; i < API_TAGS_MAX; i++)
        assert_ldb_ok(ldb_buf_printf(&value, "%s\"%zu\"", i == 0 ? "" : ",", i),
                      NULL);
    assert_int_equal(
        api_tag_list_parse(&arena, ldb_slice_of_buf(&value), false, &list),
        API_TAGS_OK);
    assert_int_equal(list.sequence_count, API_TAGS_MAX);
    assert_ldb_ok(ldb_buf_printf(&value, ",\"1\""), NULL);
    assert_int_equal(
        api_tag_list_parse(&arena, ldb_slice_of_buf(&value), false, &list),
        API_TAGS_BAD);
    ldb_buf_release(&value);
    ldb_arena_release(&arena);
}

static void a_missing_entry_is_in_no_list(void **state)
{
    ldb_sequence sequences[] = {3, 5};
    struct api_tag_list list = {
        .given = true, .sequences = sequences, .sequence_count = 2};
    struct api_tag_list any = {.given = true, .any = true};

    (void)state;
    assert_true(api_tag_list_has(&list, true, 5));
    assert_false(api_tag_list_has(&list, true, 4));
    assert_false(api_tag_list_has(&list, false, 5));
    assert_true(api_tag_list_has(&any, true, 4));
    assert_false(api_tag_list_has(&any, false, 0));
}

static void headers_become_the_engines_conditions(void **state)
{
    static const struct {
        const char *headers[3];
        size_t count;
        enum ldb_condition_kind kinds[2];
    } rows[] = {
        {{NULL}, 0, {0}},
        {{"If-Match: *"}, 1, {LDB_CONDITION_PRESENT}},
        {{"If-Match: \"1\""}, 1, {LDB_CONDITION_SEQUENCE_IN}},
        {{"If-None-Match: *"}, 1, {LDB_CONDITION_ABSENT}},
        {{"If-None-Match: \"1\""}, 1, {LDB_CONDITION_SEQUENCE_NOT_IN}},
        {{"If-None-Match: \"1\"", "If-Match: *"},
         2,
         {LDB_CONDITION_PRESENT, LDB_CONDITION_SEQUENCE_NOT_IN}},
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_request request = {
            .method = "PUT", .target = "/", .headers = rows[i].headers};
        struct fake_exchange *fake =
            fake_exchange_create(&f->context, &request);
        struct api_conditions conditions;
        struct ldb_condition out[2];
        size_t count;

        assert_true(api_conditions_parse(fake_exchange_get(fake), &conditions));
        count = api_conditions_for_write(&conditions, ldb_slice_str("k"), out);
        assert_int_equal(count, rows[i].count);
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(out[j].kind, rows[i].kinds[j]);
            assert_ldb_bytes("k", out[j].key);
        }
        fake_exchange_destroy(fake);
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tag_lists_are_read_as_rfc_9110_says),
        cmocka_unit_test(a_list_has_an_end),
        cmocka_unit_test(a_missing_entry_is_in_no_list),
        FIXTURE_TEST(headers_become_the_engines_conditions),
    };

    return cmocka_run_group_tests_name("conditions", tests, NULL, NULL);
}
