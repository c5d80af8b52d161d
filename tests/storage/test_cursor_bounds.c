/* Bounds and prefixes in, the tightest as internal keys out. */
#include "storage/cursor_bounds.h"

#include "tests/support/assert_ldb.h"

/* Of an internal key that comes before all entries of its user key. */
#define FIRST "01ffffffffffffff"

static void assert_bound(const char *hex, struct ldb_slice bound)
{
    if (hex == NULL)
        assert_int_equal(bound.len, 0);
    else
        assert_ldb_hex(hex, bound);
}

static const struct ldb_slice *given(const char *text, struct ldb_slice *slice)
{
    if (text == NULL)
        return NULL;
    *slice = ldb_slice_str(text);
    return slice;
}

static void the_tightest_bounds_win(void **state)
{
    static const struct row {
        const char *lower;
        const char *upper;
        const char *prefix;
        const char *made_lower;
        const char *made_upper;
    } rows[] = {
        {NULL, NULL, NULL, NULL, NULL},
        {"", NULL, NULL, FIRST, NULL},
        {"a", NULL, NULL, "61" FIRST, NULL},
        {NULL, "b", NULL, NULL, "62" FIRST},
        {"a", "b", NULL, "61" FIRST, "62" FIRST},
        {NULL, NULL, "", FIRST, NULL},
        {NULL, NULL, "ab", "6162" FIRST, "6163" FIRST},
        {NULL, NULL, "a\xff\xff", "61ffff" FIRST, "62" FIRST},
        {NULL, NULL, "\xff", "ff" FIRST, NULL},
        {"ab0", "b", "ab", "616230" FIRST, "6163" FIRST},
        {"a", "ab5", "ab", "6162" FIRST, "616235" FIRST},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice lower, upper, prefix;
        struct ldb_read_options options = {
            .lower = given(rows[i].lower, &lower),
            .upper = given(rows[i].upper, &upper),
            .prefix = given(rows[i].prefix, &prefix),
        };
        struct ldb_buf bytes = LDB_BUF_INIT(1000);
        struct ldb_key_bounds bounds = {0};
        struct ldb_error err = {0};

        assert_ldb_ok(ldb_cursor_bounds_make(ldb_comparator_bytewise(),
                                             &options, &err, &bytes, &bounds),
                      &err);
        assert_bound(rows[i].made_lower, bounds.lower);
        assert_bound(rows[i].made_upper, bounds.upper);
        ldb_buf_release(&bytes);
    }
}

static void a_prefix_needs_the_order_of_bytes(void **state)
{
    struct ldb_comparator other = *ldb_comparator_bytewise();
    struct ldb_slice prefix = ldb_slice_str("a");
    struct ldb_read_options options = {.prefix = &prefix};
    struct ldb_buf bytes = LDB_BUF_INIT(1000);
    struct ldb_key_bounds bounds = {0};
    struct ldb_error err = {0};

    (void)state;
    other.name = "test.Other";
    assert_ldb_status(
        LDB_INVALID_ARGUMENT,
        ldb_cursor_bounds_make(&other, &options, &err, &bytes, &bounds), &err);
    assert_non_null(strstr(err.message, "test.Other"));
    options = (struct ldb_read_options){.lower = &prefix};
    assert_ldb_ok(
        ldb_cursor_bounds_make(&other, &options, &err, &bytes, &bounds), &err);
    assert_bound("61" FIRST, bounds.lower);
    ldb_buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tightest_bounds_win),
        cmocka_unit_test(a_prefix_needs_the_order_of_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
