#include "storage/table/table_format.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

static void a_handle_is_two_varints(void **state)
{
    static const struct {
        struct ldb_block_handle handle;
        const char *hex;
    } rows[] = {
        {{0, 78}, "00 4e"},
        {{159, 21}, "9f 01 15"},
        {{UINT64_MAX, 0}, "ff ff ff ff ff ff ff ff ff 01 00"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[LDB_BLOCK_HANDLE_MAX];
        uint8_t *end = ldb_block_handle_store(bytes, rows[i].handle);
        struct ldb_slice stored = ldb_slice_make(bytes, (size_t)(end - bytes));
        struct ldb_reader r = ldb_reader_make(stored);
        struct ldb_block_handle back;

        assert_ldb_hex(rows[i].hex, stored);
        assert_true(ldb_block_handle_read(&r, &back));
        assert_true(back.offset == rows[i].handle.offset);
        assert_true(back.size == rows[i].handle.size);

        /* One byte short is no handle, and leaves zeros. */
        stored.len--;
        r = ldb_reader_make(stored);
        assert_false(ldb_block_handle_read(&r, &back));
        assert_true(back.offset == 0 && back.size == 0);
    }
}

static void a_handle_fits_with_its_trailer_only(void **state)
{
    static const struct {
        struct ldb_block_handle handle;
        uint64_t limit;
        bool fits;
    } rows[] = {
        {{0, 0}, 5, true},
        {{0, 0}, 4, false},
        {{0, 0}, 0, false},
        {{10, 20}, 35, true},
        {{10, 21}, 35, false},
        {{11, 20}, 35, false},
        {{UINT64_MAX, 20}, 35, false},
        {{10, UINT64_MAX}, 35, false},
        {{UINT64_MAX - 4, 4}, 35, false},
        {{UINT64_MAX, UINT64_MAX}, UINT64_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (ldb_block_handle_fits(rows[i].handle, rows[i].limit) !=
            rows[i].fits)
            fail_msg("row %zu", i);
    }
}

/* docs/formats.md, the last 48 bytes of 000002.ldb. */
#define FOOTER_HEX                                                             \
    "6a 30 9f 01 15"                                                           \
    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"                    \
    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"                       \
    "57 fb 80 8b 24 75 47 db"

static void a_footer_is_two_handles_zeros_and_the_magic(void **state)
{
    const struct ldb_footer footer = {.metaindex = {106, 48},
                                      .index = {159, 21}};
    uint8_t bytes[LDB_FOOTER_SIZE];
    struct ldb_slice stored = ldb_slice_make(bytes, sizeof(bytes));
    struct ldb_footer back;

    (void)state;
    memset(bytes, 0xaa, sizeof(bytes));
    ldb_footer_store(bytes, &footer);
    assert_ldb_hex(FOOTER_HEX, stored);
    assert_true(ldb_footer_has_magic(stored));
    assert_true(ldb_footer_read(stored, &back));
    assert_int_equal(back.metaindex.offset, 106);
    assert_int_equal(back.metaindex.size, 48);
    assert_int_equal(back.index.offset, 159);
    assert_int_equal(back.index.size, 21);

    bytes[LDB_FOOTER_SIZE - 1] ^= 1;
    assert_false(ldb_footer_has_magic(stored));
    stored.len--;
    assert_false(ldb_footer_has_magic(stored));
}

static void a_footer_of_endless_varints_is_refused(void **state)
{
    uint8_t bytes[LDB_FOOTER_SIZE];
    struct ldb_footer back;

    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    assert_false(ldb_footer_read(ldb_slice_make(bytes, sizeof(bytes)), &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_is_two_varints),
        cmocka_unit_test(a_handle_fits_with_its_trailer_only),
        cmocka_unit_test(a_footer_is_two_handles_zeros_and_the_magic),
        cmocka_unit_test(a_footer_of_endless_varints_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
