#include "storage/base/slice.h"

#include "tests/support/assert_ldb.h"

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static void compare_is_by_unsigned_bytes_then_length(void **state)
{
    static const struct {
        const char *name;
        struct ldb_slice a, b;
        int expected;
    } rows[] = {
#define BYTES(text) {(const uint8_t *)(text), sizeof(text) - 1}
        {"both empty", {NULL, 0}, {NULL, 0}, 0},
        {"empty first", {NULL, 0}, BYTES("\0"), -1},
        {"equal", BYTES("abc"), BYTES("abc"), 0},
        {"prefix first", BYTES("ab"), BYTES("abc"), -1},
        {"unsigned", BYTES("\x7f"), BYTES("\x80"), -1},
        {"nul does not end", BYTES("a\0b"), BYTES("a\0c"), -1},
        {"first difference", BYTES("b"), BYTES("abc"), 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int there = sign(ldb_slice_compare(rows[i].a, rows[i].b));
        int back = sign(ldb_slice_compare(rows[i].b, rows[i].a));

        if (there != rows[i].expected || back != -rows[i].expected)
            fail_msg("%s: %d, back %d", rows[i].name, there, back);
        assert_int_equal(ldb_slice_equal(rows[i].a, rows[i].b),
                         rows[i].expected == 0);
    }
}

static void starts_with_a_prefix(void **state)
{
    struct ldb_slice none = {NULL, 0};

    (void)state;
    assert_true(ldb_slice_starts_with(ldb_slice_str("abc"), none));
    assert_true(ldb_slice_starts_with(none, none));
    assert_true(
        ldb_slice_starts_with(ldb_slice_str("abc"), ldb_slice_str("ab")));
    assert_true(
        ldb_slice_starts_with(ldb_slice_str("abc"), ldb_slice_str("abc")));
    assert_false(
        ldb_slice_starts_with(ldb_slice_str("abc"), ldb_slice_str("abcd")));
    assert_false(
        ldb_slice_starts_with(ldb_slice_str("abc"), ldb_slice_str("b")));
    assert_false(ldb_slice_starts_with(none, ldb_slice_str("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare_is_by_unsigned_bytes_then_length),
        cmocka_unit_test(starts_with_a_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
