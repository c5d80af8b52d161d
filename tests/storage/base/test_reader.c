#include "storage/base/reader.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

/* Bytes from hex in memory of exactly their length, so that asan sees a read
 * past the end. */
static struct ldb_reader read_hex(const char *hex, struct ldb_buf *bytes)
{
    ldb_buf_clear(bytes);
    bytes_from_hex(hex, bytes);
    return ldb_reader_make(ldb_slice_of_buf(bytes));
}

static void fixed_numbers_are_little_endian(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_HEX_MAX);
    struct ldb_reader r = read_hex("01 0203 04050607 08090a0b0c0d0e0f", &bytes);
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;

    (void)state;
    assert_true(ldb_reader_u8(&r, &a));
    assert_true(ldb_reader_fixed16(&r, &b));
    assert_true(ldb_reader_fixed32(&r, &c));
    assert_true(ldb_reader_fixed64(&r, &d));
    assert_int_equal(a, 0x01);
    assert_int_equal(b, 0x0302);
    assert_int_equal(c, 0x07060504);
    assert_int_equal(d, 0x0f0e0d0c0b0a0908);
    assert_int_equal(ldb_reader_left(&r), 0);
    assert_false(r.failed);
    ldb_buf_release(&bytes);
}

static void varints_are_read_up_to_their_width(void **state)
{
    static const struct {
        const char *hex;
        bool ok32, ok64;
        uint64_t value;
    } rows[] = {
        {"00", true, true, 0},
        {"7f", true, true, 127},
        {"80 01", true, true, 128},
        {"ac 02", true, true, 300},
        {"80 00", true, true, 0}, /* longer than needed: allowed by both */
        {"ff ff ff ff 0f", true, true, UINT32_MAX},
        {"80 80 80 80 10", false, true, UINT64_C(1) << 32},
        {"ff ff ff ff 7f", false, true, UINT64_C(0x7ffffffff)},
        {"80 80 80 80 80 00", false, true, 0},
        {"ff ff ff ff ff ff ff ff ff 01", false, true, UINT64_MAX},
        {"ff ff ff ff ff ff ff ff ff 02", false, false, 0},
        {"80 80 80 80 80 80 80 80 80 80 00", false, false, 0},
        {"", false, false, 0},
        {"80", false, false, 0},
        {"ff ff ff ff", false, false, 0},
    };
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_HEX_MAX);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_reader r = read_hex(rows[i].hex, &bytes);
        struct ldb_reader r64 = r;
        uint32_t v32 = 7;
        uint64_t v64 = 7;

        if (ldb_reader_varint32(&r, &v32) != rows[i].ok32 ||
            ldb_reader_varint64(&r64, &v64) != rows[i].ok64)
            fail_msg("%s: %d %d", rows[i].hex, !r.failed, !r64.failed);
        assert_int_equal(r.failed, !rows[i].ok32);
        assert_int_equal(r64.failed, !rows[i].ok64);
        assert_int_equal(v32, rows[i].ok32 ? rows[i].value : 0);
        assert_int_equal(v64, rows[i].value);
        if (rows[i].ok64)
            assert_int_equal(ldb_reader_left(&r64), 0);
    }
    ldb_buf_release(&bytes);
}

static void length_prefixed_bytes_are_borrowed(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_HEX_MAX);
    struct ldb_reader r = read_hex("03 61 00 62 00 01 ff", &bytes);
    struct ldb_slice a, b, c;

    (void)state;
    assert_true(ldb_reader_length_prefixed(&r, &a));
    assert_true(ldb_reader_length_prefixed(&r, &b));
    assert_true(ldb_reader_length_prefixed(&r, &c));
    assert_ptr_equal(a.data, bytes.data + 1);
    assert_ldb_bytes("a\0b", a);
    assert_int_equal(b.len, 0);
    assert_ldb_bytes("\xff", c);
    assert_false(ldb_reader_length_prefixed(&r, &a));
    assert_int_equal(a.len, 0);
    ldb_buf_release(&bytes);
}

static void a_length_past_the_end_fails_without_adding(void **state)
{
    static const uint64_t lengths[] = {4, 5, SIZE_MAX, UINT64_MAX,
                                       UINT64_MAX - 2};
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_HEX_MAX);

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct ldb_reader r = read_hex("01 02 03", &bytes);
        struct ldb_slice out = ldb_slice_str("old");

        assert_false(ldb_reader_bytes(&r, lengths[i], &out));
        assert_true(r.failed);
        assert_null(out.data);
        assert_int_equal(out.len, 0);
    }
    ldb_buf_release(&bytes);
}

static void a_failure_stays_and_every_result_is_zero(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_HEX_MAX);
    struct ldb_reader r = read_hex("01 02 03 04 05 06 07", &bytes);
    uint64_t u64 = 7;
    uint32_t u32 = 7;
    uint16_t u16 = 7;
    uint8_t u8 = 7;
    struct ldb_slice slice = ldb_slice_str("old");

    (void)state;
    assert_false(ldb_reader_fixed64(&r, &u64));
    assert_int_equal(u64, 0);
    assert_false(ldb_reader_fixed32(&r, &u32));
    assert_false(ldb_reader_fixed16(&r, &u16));
    assert_false(ldb_reader_u8(&r, &u8));
    assert_int_equal(u32, 0);
    assert_int_equal(u16, 0);
    assert_int_equal(u8, 0);
    u32 = 7;
    u64 = 7;
    assert_false(ldb_reader_varint32(&r, &u32));
    assert_false(ldb_reader_varint64(&r, &u64));
    assert_int_equal(u32, 0);
    assert_int_equal(u64, 0);
    assert_false(ldb_reader_bytes(&r, 0, &slice));
    assert_null(slice.data);
    assert_false(ldb_reader_length_prefixed(&r, &slice));
    assert_int_equal(ldb_reader_left(&r), 7);
    ldb_buf_release(&bytes);
}

static void an_empty_input_gives_no_bytes_and_does_not_fail(void **state)
{
    struct ldb_reader r = ldb_reader_make((struct ldb_slice){NULL, 0});
    struct ldb_slice out;
    uint8_t byte;

    (void)state;
    assert_true(ldb_reader_bytes(&r, 0, &out));
    assert_int_equal(out.len, 0);
    assert_false(r.failed);
    assert_false(ldb_reader_u8(&r, &byte));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_numbers_are_little_endian),
        cmocka_unit_test(varints_are_read_up_to_their_width),
        cmocka_unit_test(length_prefixed_bytes_are_borrowed),
        cmocka_unit_test(a_length_past_the_end_fails_without_adding),
        cmocka_unit_test(a_failure_stays_and_every_result_is_zero),
        cmocka_unit_test(an_empty_input_gives_no_bytes_and_does_not_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
