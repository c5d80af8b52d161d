#include "api/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/assert_ldb.h"

static uint64_t octal_at(const uint8_t *header, size_t at, size_t len)
{
    char text[16] = "";

    memcpy(text, header + at, len);
    return strtoull(text, NULL, 8);
}

/* The sum of the bytes, the checksum's own as blanks. */
static void assert_sum(const uint8_t *header)
{
    unsigned sum = 8 * ' ';

    for (size_t i = 0; i < API_TAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? 0 : header[i];
    assert_int_equal(octal_at(header, 148, 6), sum);
    assert_int_equal(header[154], '\0');
    assert_int_equal(header[155], ' ');
}

static void a_header_is_as_posix_says(void **state)
{
    uint8_t header[API_TAR_HEADER_MAX];

    (void)state;
    assert_int_equal(api_tar_header(header, "000005.ldb", 1234, 1700000000),
                     API_TAR_BLOCK);
    assert_string_equal((const char *)header, "000005.ldb");
    assert_memory_equal(header + 100, "0000644\0", 8);
    assert_memory_equal(header + 108, "0000000\0", 8);
    assert_memory_equal(header + 116, "0000000\0", 8);
    assert_memory_equal(header + 124, "00000002322\0", 12);
    assert_memory_equal(header + 136, "14524770400\0", 12);
    assert_int_equal(header[156], '0');
    assert_memory_equal(header + 257,
                        "ustar\0"
                        "00",
                        8);
    assert_sum(header);
}

static void a_large_size_is_told_by_a_pax_header(void **state)
{
    static const struct {
        uint64_t size;
        const char *record; /* NULL: none */
    } rows[] = {
        {(UINT64_C(1) << 33) - 1, NULL},
        {UINT64_C(1) << 33, "19 size=8589934592\n"},
        {UINT64_C(99999999999), "20 size=99999999999\n"},
        {UINT64_MAX, "29 size=18446744073709551615\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t header[API_TAR_HEADER_MAX];
        size_t len = api_tar_header(header, "a", rows[i].size, 0);

        assert_sum(header);
        if (rows[i].record == NULL) {
            assert_int_equal(len, API_TAR_BLOCK);
            assert_int_equal(octal_at(header, 124, 11), rows[i].size);
            continue;
        }
        assert_int_equal(len, API_TAR_HEADER_MAX);
        assert_int_equal(header[156], 'x');
        assert_int_equal(octal_at(header, 124, 11), strlen(rows[i].record));
        assert_string_equal((const char *)header + API_TAR_BLOCK,
                            rows[i].record);
        assert_int_equal(header[2 * API_TAR_BLOCK + 156], '0');
        assert_sum(header + (size_t)2 * API_TAR_BLOCK);
    }
}

static void files_end_at_a_block(void **state)
{
    (void)state;
    assert_int_equal(api_tar_padding(0), 0);
    assert_int_equal(api_tar_padding(1), 511);
    assert_int_equal(api_tar_padding(511), 1);
    assert_int_equal(api_tar_padding(512), 0);
    assert_int_equal(api_tar_padding(UINT64_MAX), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_as_posix_says),
        cmocka_unit_test(a_large_size_is_told_by_a_pax_header),
        cmocka_unit_test(files_end_at_a_block),
    };

    return cmocka_run_group_tests_name("tar", tests, NULL, NULL);
}
