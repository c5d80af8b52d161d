#include "api/range_scan.h"

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static bool parse(struct api_fixture *f, const char *target, bool is_page,
                  struct fake_exchange **out_fake,
                  struct api_range_query *query)
{
    /* Static: the exchange keeps it. */
    static struct fake_request request;

    request = (struct fake_request){.method = "GET", .target = target};
    *out_fake = fake_exchange_create(&f->context, &request);
    return api_range_query_parse(fake_exchange_get(*out_fake), is_page, query);
}

static void a_query_is_bounds_prefix_and_where_a_page_ended(void **state)
{
    static const struct {
        const char *target;
        const char *lower;  /* hex, as upper */
        const char *upper;  /* NULL: none */
        const char *prefix; /* NULL: none */
    } rows[] = {
        {"/", "", NULL, NULL},
        {"/?start=b", "62", NULL, NULL},
        {"/?end=", "", "", NULL},
        {"/?prefix=a%FF", "", NULL, "61ff"},
        {"/?prefix=ab&start=abc&end=abd", "616263", "616264", "6162"},
        {"/?cursor=Zg", "00", NULL, NULL}, /* after the empty key */
        {"/?cursor=Zmg&start=b&end=c", "6800", "63", NULL}, /* after "h" */
        {"/?cursor=Zmg&start=z", "7a", NULL, NULL},
        {"/?cursor=Zmg&prefix=h", "6800", NULL, "68"},
        {"/?cursor=cmg&reverse=true&end=z", "", "68", NULL},
        {"/?cursor=cmg&reverse=true&end=c", "", "63", NULL},
        {"/?cursor=cg&reverse=true", "", "", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_exchange *fake;
        struct api_range_query query;

        if (!parse(*state, rows[i].target, true, &fake, &query))
            fail_msg("%s", rows[i].target);
        assert_ldb_hex(rows[i].lower, query.lower);
        assert_int_equal(query.has_upper, rows[i].upper != NULL);
        if (rows[i].upper != NULL)
            assert_ldb_hex(rows[i].upper, query.upper);
        assert_int_equal(query.has_prefix, rows[i].prefix != NULL);
        if (rows[i].prefix != NULL)
            assert_ldb_hex(rows[i].prefix, query.prefix);
        fake_exchange_destroy(fake);
    }
}

static void a_page_has_a_limit_and_a_stream_need_not(void **state)
{
    static const struct {
        const char *target;
        bool is_page;
        bool is_ok;
        bool has_limit;
        uint64_t limit;
    } rows[] = {
        {"/", true, true, true, 100},
        {"/?limit=10000", true, true, true, 10000},
        {"/?limit=10001", true, false, false, 0},
        {"/", false, true, false, 100},
        {"/?limit=10001", false, true, true, 10001},
        {"/?limit=0", false, false, false, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_exchange *fake;
        struct api_range_query query = {0};

        assert_int_equal(
            parse(*state, rows[i].target, rows[i].is_page, &fake, &query),
            rows[i].is_ok);
        assert_int_equal(query.has_limit, rows[i].has_limit);
        assert_int_equal(query.limit, rows[i].limit);
        fake_exchange_destroy(fake);
    }
}

static void a_cursor_is_read_back_for_keys_of_any_length(void **state)
{
    struct api_snapshot_choice choices[2] = {{0}, {.is_given = true}};
    char key[40];
    struct ldb_arena arena;

    (void)state;
    ldb_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (char)('0' + i);
    for (size_t i = 0; i < API_SNAPSHOT_ID_BYTES; i++)
        choices[1].id.bytes[i] = (uint8_t)(0xf0 + i);
    for (size_t i = 0; i < 2 * (sizeof(key) + 1); i++) {
        const struct api_snapshot_choice *choice = &choices[i % 2];
        size_t head = choice->is_given ? 1 + API_SNAPSHOT_ID_BYTES : 1;
        size_t len = i / 2;
        struct ldb_buf text = LDB_BUF_INIT(256);
        struct ldb_slice back;

        assert_ldb_ok(api_range_cursor_write(true, choice,
                                             ldb_slice_make(key, len), &text),
                      NULL);
        assert_int_equal(api_text_decode(&arena, API_ENCODING_BASE64URL,
                                         ldb_slice_of_buf(&text), &back),
                         API_DECODE_OK);
        assert_int_equal(back.len, head + len);
        assert_int_equal(back.data[0], choice->is_given ? 'R' : 'r');
        assert_memory_equal(back.data + 1, choice->id.bytes, head - 1);
        assert_memory_equal(back.data + head, key, len);
        ldb_buf_release(&text);
    }
    ldb_arena_release(&arena);
}

/* "F", sixteen letters i, and the key: what stands for them in base64url. */
#define ID_TEXT   "69696969696969696969696969696969"
#define CURSOR_IH "RmlpaWlpaWlpaWlpaWlpaWlo"

static void a_cursor_carries_its_snapshot(void **state)
{
    static const struct {
        const char *target;
        bool is_ok;
        bool is_given;
    } rows[] = {
        {"/", true, false},
        {"/?snapshot=" ID_TEXT, true, true},
        {"/?cursor=" CURSOR_IH, true, true},
        {"/?cursor=" CURSOR_IH "&snapshot=" ID_TEXT, true, true},
        {"/?cursor=Zmg&snapshot=" ID_TEXT, true, true},
        {"/?cursor=" CURSOR_IH "&snapshot=00696969696969696969696969696969",
         false, false},
        {"/?cursor=" CURSOR_IH "&reverse=true", false, false},
        {"/?cursor=RmlpaWlpaWlpaWlpaWlp", false, false}, /* half an id */
        {"/?snapshot=", false, false},
        {"/?snapshot=6969", false, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_exchange *fake;
        struct api_range_query query = {0};

        if (parse(*state, rows[i].target, true, &fake, &query) != rows[i].is_ok)
            fail_msg("%s", rows[i].target);
        assert_int_equal(query.snapshot.is_given, rows[i].is_given);
        if (rows[i].is_given)
            assert_ldb_hex(ID_TEXT, ldb_slice_make(query.snapshot.id.bytes,
                                                   API_SNAPSHOT_ID_BYTES));
        fake_exchange_destroy(fake);
    }
}

static void a_scan_walks_between_its_bounds(void **state)
{
    struct api_fixture *f = *state;
    struct api_range_query query = {.lower = ldb_slice_str("b"),
                                    .has_upper = true,
                                    .upper = ldb_slice_str("d")};
    struct ldb_error err = {0};

    for (const char *key = "abcd"; *key != '\0'; key++)
        assert_ldb_ok(ldb_put(f->db, ldb_slice_make(key, 1), ldb_slice_str(""),
                              false, &err, NULL),
                      &err);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct api_range_scan scan;

        query.is_reverse = reverse == 1;
        assert_ldb_ok(
            api_range_scan_open(f->db, &query, NULL, false, &err, &scan), &err);
        assert_true(api_range_scan_valid(&scan));
        assert_ldb_slice(ldb_slice_str(reverse ? "c" : "b"),
                         ldb_cursor_key(scan.cursor));
        api_range_scan_next(&scan);
        assert_true(api_range_scan_valid(&scan));
        assert_ldb_slice(ldb_slice_str(reverse ? "b" : "c"),
                         ldb_cursor_key(scan.cursor));
        api_range_scan_next(&scan);
        assert_false(api_range_scan_valid(&scan));
        api_range_scan_close(&scan);
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_query_is_bounds_prefix_and_where_a_page_ended),
        FIXTURE_TEST(a_page_has_a_limit_and_a_stream_need_not),
        cmocka_unit_test(a_cursor_is_read_back_for_keys_of_any_length),
        FIXTURE_TEST(a_cursor_carries_its_snapshot),
        FIXTURE_TEST(a_scan_walks_between_its_bounds),
    };

    return cmocka_run_group_tests_name("range_scan", tests, NULL, NULL);
}
