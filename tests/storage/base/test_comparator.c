#include "storage/base/comparator.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

struct fixture {
    struct ldb_buf a, b, out;
    const struct ldb_comparator *cmp;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){.a = LDB_BUF_INIT(BYTES_HEX_MAX),
                          .b = LDB_BUF_INIT(BYTES_HEX_MAX),
                          .out = LDB_BUF_INIT(BYTES_HEX_MAX),
                          .cmp = ldb_comparator_bytewise()};
}

static void teardown(struct fixture *f)
{
    ldb_buf_release(&f->a);
    ldb_buf_release(&f->b);
    ldb_buf_release(&f->out);
}

static void the_name_is_leveldbs(void **state)
{
    (void)state;
    assert_string_equal(ldb_comparator_bytewise()->name,
                        "leveldb.BytewiseComparator");
    assert_ptr_equal(ldb_comparator_bytewise(), ldb_comparator_bytewise());
}

static void compare_is_bytewise_through_either_door(void **state)
{
    const struct ldb_comparator *cmp = ldb_comparator_bytewise();
    struct ldb_comparator copy = *cmp;

    (void)state;
    assert_true(ldb_compare(cmp, ldb_slice_str("a"), ldb_slice_str("b")) < 0);
    assert_true(ldb_compare(&copy, ldb_slice_str("b"), ldb_slice_str("a\xff")) >
                0);
    assert_true(ldb_compare(&copy, ldb_slice_str("ab"), ldb_slice_str("ab")) ==
                0);
}

/* Rows for each rule at the head of comparator.c. */
static void separators_follow_the_format(void **state)
{
    static const struct {
        const char *a, *b, *expected;
    } rows[] = {
        {"61 62 63 31", "61 62 63 39", "61 62 63 32"},
        {"61 62 63 78 78", "61 62 64 30", "61 62 63 78 78"}, /* c + 1 = d */
        {"61 62 63 78 78", "61 62 65 30", "61 62 64"},
        {"61 62", "61 62 63", "61 62"},       /* a is a prefix of b */
        {"61 62 63", "61 62", "61 62 63"},    /* b is a prefix of a */
        {"61", "61", "61"},                   /* equal */
        {"", "61", ""},                       /* empty */
        {"61 ff 01", "62", "61 ff 01"},       /* no room between */
        {"61 ff 01", "63", "62"},             /* room at the first byte */
        {"fe 01", "ff", "fe 01"},             /* fe + 1 = ff */
        {"61 fe 01", "61 ff 02", "61 fe 01"}, /* likewise, inside */
        {"ff 02", "ff 01", "ff 02"},          /* a > b: unchanged */
        {"63", "61", "63"},                   /* likewise */
        {"00", "02", "01"},
        {"7f 05", "81", "80"}, /* bytes are unsigned */
    };
    struct fixture f;

    (void)state;
    setup(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ldb_buf_clear(&f.a);
        ldb_buf_clear(&f.b);
        ldb_buf_clear(&f.out);
        bytes_from_hex(rows[i].a, &f.a);
        bytes_from_hex(rows[i].b, &f.b);
        assert_ldb_ok(f.cmp->separator(f.cmp->context, ldb_slice_of_buf(&f.a),
                                       ldb_slice_of_buf(&f.b), &f.out),
                      NULL);
        assert_ldb_hex(rows[i].expected, ldb_slice_of_buf(&f.out));
    }
    teardown(&f);
}

static void successors_follow_the_format(void **state)
{
    static const struct {
        const char *a, *expected;
    } rows[] = {
        {"", ""},           {"61 62 63", "62"}, {"00", "01"},
        {"fe 61", "ff"},    {"ff 61", "ff 62"}, {"ff ff 00", "ff ff 01"},
        {"ff ff", "ff ff"}, {"7f ff ff", "80"},
    };
    struct fixture f;

    (void)state;
    setup(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ldb_buf_clear(&f.a);
        ldb_buf_clear(&f.out);
        bytes_from_hex(rows[i].a, &f.a);
        assert_ldb_ok(
            f.cmp->successor(f.cmp->context, ldb_slice_of_buf(&f.a), &f.out),
            NULL);
        assert_ldb_hex(rows[i].expected, ldb_slice_of_buf(&f.out));
    }
    teardown(&f);
}

/* The promise of the header, over short keys of few byte values. */
static void separators_and_successors_lie_where_they_must(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x02, 0x61, 0xfe, 0xff};
    struct fixture f;
    uint64_t seed = 3;

    (void)state;
    setup(&f);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t bytes[2][4];
        struct ldb_slice a, b;

        for (unsigned k = 0; k < 2; k++)
            for (unsigned j = 0; j < 4; j++)
                bytes[k][j] = values[bytes_next(&seed) % sizeof(values)];
        a = ldb_slice_make(bytes[0], bytes_next(&seed) % 5);
        b = ldb_slice_make(bytes[1], bytes_next(&seed) % 5);
        ldb_buf_clear(&f.out);
        assert_ldb_ok(f.cmp->successor(f.cmp->context, a, &f.out), NULL);
        assert_true(ldb_compare(f.cmp, a, ldb_slice_of_buf(&f.out)) <= 0);
        if (ldb_compare(f.cmp, a, b) >= 0)
            continue;
        ldb_buf_clear(&f.out);
        assert_ldb_ok(f.cmp->separator(f.cmp->context, a, b, &f.out), NULL);
        assert_true(ldb_compare(f.cmp, a, ldb_slice_of_buf(&f.out)) <= 0);
        assert_true(ldb_compare(f.cmp, ldb_slice_of_buf(&f.out), b) < 0);
        assert_true(f.out.len <= a.len);
    }
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_is_leveldbs),
        cmocka_unit_test(compare_is_bytewise_through_either_door),
        cmocka_unit_test(separators_follow_the_format),
        cmocka_unit_test(successors_follow_the_format),
        cmocka_unit_test(separators_and_successors_lie_where_they_must),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
