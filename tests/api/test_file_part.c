#include "api/file_part.h"

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

/* One at a time: the exchange goes on to use the request. */
static struct fake_exchange *make(struct api_fixture *f, const char *method,
                                  const char *header, const char *more)
{
    static const char *headers[3];
    static struct fake_request request;

    headers[0] = header;
    headers[1] = more;
    request = (struct fake_request){
        .method = method, .target = "/v1/size", .headers = headers};
    return fake_exchange_create(&f->context, &request);
}

static void a_tag_is_the_name_with_the_length(void **state)
{
    struct fake_exchange *fake = make(*state, "GET", NULL, NULL);

    assert_string_equal(api_file_tag(fake_exchange_get(fake), "000004.log", 17),
                        "\"000004.log-17\"");
    fake_exchange_destroy(fake);
}

static void what_the_client_has_is_unchanged(void **state)
{
    static const struct {
        const char *header;
        const char *tag;
        bool is_unchanged;
    } rows[] = {
        {NULL, "\"a-1\"", false},
        {"If-None-Match: *", "\"a-1\"", true},
        {"If-None-Match: *", NULL, false},
        {"If-None-Match: \"a-1\"", "\"a-1\"", true},
        {"If-None-Match: \"x\", W/\"a-1\"", "\"a-1\"", true},
        {"If-None-Match: \"a-12\"", "\"a-1\"", false},
        {"If-None-Match: a-1", "\"a-1\"", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_exchange *fake = make(*state, "GET", rows[i].header, NULL);

        print_message("%s\n", rows[i].header == NULL ? "" : rows[i].header);
        assert_int_equal(
            api_file_is_unchanged(fake_exchange_get(fake), rows[i].tag),
            rows[i].is_unchanged);
        fake_exchange_destroy(fake);
    }
}

static void one_range_of_a_get_is_given(void **state)
{
    static const struct {
        const char *method;
        const char *range;
        const char *if_range;
        unsigned status;
        uint64_t start;
        uint64_t len;
    } rows[] = {
        {"GET", NULL, NULL, 200, 0, 10},
        {"GET", "Range: bytes=2-4", NULL, 206, 2, 3},
        {"GET", "Range: bytes=2-4", "If-Range: \"a-10\"", 206, 2, 3},
        {"GET", "Range: bytes=2-4", "If-Range: \"a-9\"", 200, 0, 10},
        {"GET", "Range: bytes=1-2,4-5", NULL, 200, 0, 10},
        {"GET", "Range: bytes=2-4", "Range: bytes=5-6", 200, 0, 10},
        {"HEAD", "Range: bytes=2-4", NULL, 200, 0, 10},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_exchange *fake =
            make(*state, rows[i].method, rows[i].range, rows[i].if_range);
        struct api_exchange *x = fake_exchange_get(fake);
        struct api_file_part part = {0};

        assert_true(api_file_part_find(x, "\"a-10\"", 10, &part));
        assert_int_equal(part.status, rows[i].status);
        assert_int_equal(part.start, rows[i].start);
        assert_int_equal(part.len, rows[i].len);
        if (part.status == 206) {
            assert_string_equal(x->response.headers->name, "Content-Range");
            assert_string_equal(x->response.headers->value, "bytes 2-4/10");
        } else {
            assert_null(x->response.headers);
        }
        fake_exchange_destroy(fake);
    }
}

static void a_range_behind_the_end_is_refused(void **state)
{
    struct fake_exchange *fake = make(*state, "GET", "Range: bytes=10-", NULL);
    struct api_exchange *x = fake_exchange_get(fake);
    struct api_file_part part = {0};

    assert_false(api_file_part_find(x, "\"a-10\"", 10, &part));
    assert_true(x->response.ready);
    assert_int_equal(x->response.status, 416);
    assert_string_equal(x->response.headers->name, "Content-Range");
    assert_string_equal(x->response.headers->value, "bytes */10");
    fake_exchange_destroy(fake);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_tag_is_the_name_with_the_length),
        FIXTURE_TEST(what_the_client_has_is_unchanged),
        FIXTURE_TEST(one_range_of_a_get_is_given),
        FIXTURE_TEST(a_range_behind_the_end_is_refused),
    };

    return cmocka_run_group_tests_name("file_part", tests, NULL, NULL);
}
