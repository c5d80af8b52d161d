#include "storage/base/checked.h"

#include "storage/base/slice.h"
#include "tests/support/assert_ldb.h"

static void sums_and_products_stop_at_the_largest_size(void **state)
{
    size_t size = 7;
    uint64_t number = 7;

    (void)state;
    assert_true(ldb_size_add(SIZE_MAX - 1, 1, &size));
    assert_int_equal(size, SIZE_MAX);
    assert_true(ldb_size_mul(SIZE_MAX, 1, &size));
    assert_int_equal(size, SIZE_MAX);
    assert_true(ldb_u64_add(UINT64_MAX, 0, &number));
    assert_int_equal(number, UINT64_MAX);
}

static void an_overflow_leaves_the_result_untouched(void **state)
{
    size_t size = 7;
    uint64_t number = 7;
    uint32_t narrow = 7;

    (void)state;
    assert_false(ldb_size_add(SIZE_MAX, 1, &size));
    assert_false(ldb_size_mul(SIZE_MAX / 2 + 1, 2, &size));
    assert_false(ldb_u64_add(UINT64_MAX, UINT64_MAX, &number));
    assert_false(ldb_narrow_u32(UINT64_C(1) << 32, &narrow));
    assert_int_equal(size, 7);
    assert_int_equal(number, 7);
    assert_int_equal(narrow, 7);
}

static void narrowing_keeps_what_fits(void **state)
{
    uint32_t narrow = 7;

    (void)state;
    assert_true(ldb_narrow_u32(UINT32_MAX, &narrow));
    assert_int_equal(narrow, UINT32_MAX);
}

static void parse_takes_whole_decimal_numbers_alone(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t expected;
    } rows[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"00000000000000000042", true, 42},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"000000000000000000042", false, 0}, /* 21 digits */
        {"", false, 0},
        {"+1", false, 0},
        {"-1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x1", false, 0},
        {"1a", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t number = 7;
        bool ok = ldb_parse_u64(ldb_slice_str(rows[i].text), &number);

        if (ok != rows[i].ok || number != (ok ? rows[i].expected : 7))
            fail_msg("\"%s\": %d %ju", rows[i].text, ok, (uintmax_t)number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_stop_at_the_largest_size),
        cmocka_unit_test(an_overflow_leaves_the_result_untouched),
        cmocka_unit_test(narrowing_keeps_what_fits),
        cmocka_unit_test(parse_takes_whole_decimal_numbers_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
