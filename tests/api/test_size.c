#include "api/size.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static uint64_t size_of(struct api_fixture *f, const char *query)
{
    struct fake_answer answer;
    char target[128];
    json_t *body;
    uint64_t bytes;

    (void)snprintf(target, sizeof(target), "/v1/size%s", query);
    answer = api_call(f, "GET", target, NULL, NULL);
    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "application/json");
    body = answer_json(&answer);
    assert_int_equal(json_object_size(body), 1);
    assert_true(json_is_integer(json_object_get(body, "bytes")));
    bytes = (uint64_t)json_integer_value(json_object_get(body, "bytes"));
    json_decref(body);
    fake_answer_release(&answer);
    return bytes;
}

/* Values that do not compress, in tables. */
static void fill(struct api_fixture *f)
{
    char value[4096];
    uint64_t seed = 1;

    for (int i = 0; i < 64; i++) {
        struct fake_answer answer;
        char target[64];

        for (size_t j = 0; j < sizeof(value); j++) {
            seed = seed * UINT64_C(6364136223846793005) + 1;
            value[j] = (char)(seed >> 56);
        }
        (void)snprintf(target, sizeof(target), "/v1/kv/k%02d?sync=false", i);
        answer = api_call_bytes(f, "PUT", target, NULL,
                                ldb_slice_make(value, sizeof(value)));
        assert_answer(&answer, 204);
        fake_answer_release(&answer);
    }
    assert_ldb_ok(ldb_flush(f->db, NULL), NULL);
}

static void an_empty_database_has_no_bytes(void **state)
{
    assert_int_equal(size_of(*state, ""), 0);
    assert_int_equal(size_of(*state, "?start=a&end=b"), 0);
}

static void parts_take_about_their_share(void **state)
{
    struct api_fixture *f = *state;
    uint64_t all;
    uint64_t half;

    fill(f);
    all = size_of(f, "");
    half = size_of(f, "?start=k00&end=k32");
    assert_in_range(all, 64 * 4096, 70 * 4096);
    assert_in_range(half, 31 * 4096, 34 * 4096);
    assert_int_equal(size_of(f, "?start=k32"), all - half);
    assert_int_equal(size_of(f, "?end=k32"), half);
    assert_int_equal(size_of(f, "?start=6b3332&enc=hex"), all - half);
}

static void nothing_is_between_bounds_that_do_not_follow(void **state)
{
    struct api_fixture *f = *state;

    fill(f);
    assert_int_equal(size_of(f, "?start=k32&end=k32"), 0);
    assert_int_equal(size_of(f, "?start=k40&end=k32"), 0);
    assert_int_equal(size_of(f, "?end="), 0);
    assert_int_equal(size_of(f, "?start=l"), 0);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(an_empty_database_has_no_bytes),
        FIXTURE_TEST(parts_take_about_their_share),
        FIXTURE_TEST(nothing_is_between_bounds_that_do_not_follow),
    };

    return cmocka_run_group_tests_name("size", tests, NULL, NULL);
}
