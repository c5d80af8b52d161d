#include "storage/base/writer.h"

#include "storage/base/reader.h"
#include "tests/support/assert_ldb.h"

static void fixed_numbers_are_stored_low_byte_first(void **state)
{
    uint8_t bytes[14];

    (void)state;
    ldb_store_fixed16(bytes, 0x0102);
    ldb_store_fixed32(bytes + 2, 0x03040506);
    ldb_store_fixed64(bytes + 6, UINT64_C(0x0708090a0b0c0d0e));
    assert_ldb_hex("02 01 06 05 04 03 0e 0d 0c 0b 0a 09 08 07",
                   ldb_slice_make(bytes, sizeof(bytes)));
    assert_int_equal(ldb_load_fixed32(bytes + 2), 0x03040506);
    assert_int_equal(ldb_load_fixed64(bytes + 6), 0x0708090a0b0c0d0e);
}

static void put_appends_what_store_stores(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(100);

    (void)state;
    assert_ldb_ok(ldb_put_fixed32(&buf, 0x01020304), NULL);
    assert_ldb_ok(ldb_put_fixed64(&buf, UINT64_C(0xfffefdfcfbfaf9f8)), NULL);
    assert_ldb_ok(ldb_put_varint64(&buf, 300), NULL);
    assert_ldb_ok(ldb_put_length_prefixed(&buf, ldb_slice_str("abc")), NULL);
    assert_ldb_ok(ldb_put_length_prefixed(&buf, ldb_slice_str("")), NULL);
    assert_ldb_hex("04 03 02 01 f8 f9 fa fb fc fd fe ff ac 02 03 61 62 63 00",
                   ldb_slice_of_buf(&buf));
    ldb_buf_release(&buf);
}

static void varints_have_known_bytes(void **state)
{
    static const struct {
        uint64_t value;
        const char *hex;
    } rows[] = {
        {0, "00"},
        {127, "7f"},
        {128, "80 01"},
        {300, "ac 02"},
        {16383, "ff 7f"},
        {16384, "80 80 01"},
        {UINT32_MAX, "ff ff ff ff 0f"},
        {UINT64_C(1) << 32, "80 80 80 80 10"},
        {UINT64_MAX, "ff ff ff ff ff ff ff ff ff 01"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[LDB_VARINT64_MAX];
        uint8_t *end = ldb_store_varint64(bytes, rows[i].value);
        size_t len = (size_t)(end - bytes);

        assert_ldb_hex(rows[i].hex, ldb_slice_make(bytes, len));
        assert_int_equal(ldb_varint_len(rows[i].value), len);
        if (rows[i].value > UINT32_MAX)
            continue;
        end = ldb_store_varint32(bytes, (uint32_t)rows[i].value);
        assert_ldb_hex(rows[i].hex,
                       ldb_slice_make(bytes, (size_t)(end - bytes)));
    }
}

static void every_bit_width_reads_back(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        uint64_t value = UINT64_MAX >> shift;
        uint8_t bytes[LDB_VARINT64_MAX];
        uint8_t *end = ldb_store_varint64(bytes, value);
        struct ldb_reader r =
            ldb_reader_make(ldb_slice_make(bytes, (size_t)(end - bytes)));
        uint64_t back;

        assert_true(ldb_reader_varint64(&r, &back));
        assert_int_equal(back, value);
        assert_int_equal(ldb_reader_left(&r), 0);
    }
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(3);

    (void)state;
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_put_length_prefixed(&buf, ldb_slice_str("abc")),
                      NULL);
    assert_int_equal(buf.len, 0);
    assert_ldb_status(LDB_TOO_LARGE, ldb_put_fixed32(&buf, 1), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_put_fixed64(&buf, 1), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_put_varint64(&buf, UINT32_MAX), NULL);
    assert_int_equal(buf.len, 0);
    assert_ldb_ok(ldb_put_length_prefixed(&buf, ldb_slice_str("ab")), NULL);
    ldb_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_numbers_are_stored_low_byte_first),
        cmocka_unit_test(put_appends_what_store_stores),
        cmocka_unit_test(varints_have_known_bytes),
        cmocka_unit_test(every_bit_width_reads_back),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
