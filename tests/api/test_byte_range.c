#include "api/byte_range.h"

#include "tests/support/assert_ldb.h"

static void one_range_of_bytes_is_taken(void **state)
{
    static const struct {
        const char *text;
        uint64_t total;
        enum api_byte_range kind;
        uint64_t start;
        uint64_t len;
    } rows[] = {
        {"bytes=0-0", 10, API_RANGE_PART, 0, 1},
        {"bytes=2-4", 10, API_RANGE_PART, 2, 3},
        {"bytes=7-", 10, API_RANGE_PART, 7, 3},
        {"bytes=7-99", 10, API_RANGE_PART, 7, 3},
        {"bytes=-3", 10, API_RANGE_PART, 7, 3},
        {"bytes=-99", 10, API_RANGE_PART, 0, 10},
        {"bytes=9-9", 10, API_RANGE_PART, 9, 1},
        {"bytes=18446744073709551615-", UINT64_MAX, API_RANGE_OUTSIDE, 0, 0},
        {"bytes=0-18446744073709551615", UINT64_MAX, API_RANGE_PART, 0,
         UINT64_MAX},
        {"bytes=4294967296-", 4294967300, API_RANGE_PART, 4294967296, 4},
        {"bytes=10-", 10, API_RANGE_OUTSIDE, 0, 0},
        {"bytes=-0", 10, API_RANGE_OUTSIDE, 0, 0},
        {"bytes=0-", 0, API_RANGE_OUTSIDE, 0, 0},
        {"bytes=-5", 0, API_RANGE_OUTSIDE, 0, 0},
        {"", 10, API_RANGE_WHOLE, 0, 0},
        {"bytes=", 10, API_RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, API_RANGE_WHOLE, 0, 0},
        {"bytes=4-2", 10, API_RANGE_WHOLE, 0, 0},
        {"bytes=0-1,3-4", 10, API_RANGE_WHOLE, 0, 0},
        {"bytes=a-b", 10, API_RANGE_WHOLE, 0, 0},
        {"bytes=1-2x", 10, API_RANGE_WHOLE, 0, 0},
        {"bytes=18446744073709551616-", 10, API_RANGE_WHOLE, 0, 0},
        {"lines=1-2", 10, API_RANGE_WHOLE, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t start = 0;
        uint64_t len = 0;

        print_message("%s of %llu\n", rows[i].text,
                      (unsigned long long)rows[i].total);
        assert_int_equal(api_byte_range_parse(ldb_slice_str(rows[i].text),
                                              rows[i].total, &start, &len),
                         rows[i].kind);
        assert_int_equal(start, rows[i].start);
        assert_int_equal(len, rows[i].len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_range_of_bytes_is_taken),
    };

    return cmocka_run_group_tests_name("byte_range", tests, NULL, NULL);
}
