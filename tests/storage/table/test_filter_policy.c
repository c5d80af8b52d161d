#include "storage/table/filter_policy.h"

#include <stdio.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

/* docs/formats.md: the filter of 000002.ldb; key0001 is in it twice. */
static void the_filter_of_the_dump_comes_out_byte_for_byte(void **state)
{
    const struct ldb_slice keys[] = {ldb_slice_str("key0001"),
                                     ldb_slice_str("key0001"),
                                     ldb_slice_str("key0002")};
    uint32_t hashes[3];
    struct ldb_buf out = LDB_BUF_INIT(100);

    (void)state;
    assert_ldb_ok(ldb_bloom_create(10, keys, 3, &out), NULL);
    assert_ldb_hex("00 04 20 00 41 5d 41 80 06", ldb_slice_of_buf(&out));

    ldb_buf_clear(&out);
    for (size_t i = 0; i < 3; i++)
        hashes[i] = ldb_bloom_hash(keys[i]);
    assert_ldb_ok(ldb_bloom_create_hashed(10, hashes, 3, &out), NULL);
    assert_ldb_hex("00 04 20 00 41 5d 41 80 06", ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

/* A filter of one hash, as the format's words have it. */
static void assert_bits_of(uint32_t hash, unsigned bits_per_key)
{
    const uint32_t step = hash >> 17 | hash << 15;
    struct ldb_buf out = LDB_BUF_INIT(100000);
    static uint8_t expected[100000];
    uint32_t bits;

    assert_ldb_ok(ldb_bloom_create_hashed(bits_per_key, &hash, 1, &out), NULL);
    bits = (uint32_t)(out.len - 1) * 8;
    memset(expected, 0, out.len);
    expected[out.len - 1] = out.data[out.len - 1];
    for (uint32_t i = 0; i < out.data[out.len - 1]; i++) {
        uint32_t bit = (hash + i * step) % bits;

        expected[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
    assert_ldb_slice(ldb_slice_make(expected, out.len), ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

/* Every number of bits there is up to 4,096, and some beyond; the hashes at
 * which a quotient changes, and any. */
static void bits_are_those_of_the_remainder(void **state)
{
    uint64_t seed = 5;

    (void)state;
    for (unsigned bits = 64; bits < 500000; bits += bits < 4096 ? 8 : 4999) {
        uint32_t in_filter = (bits + 7) / 8 * 8;
        uint32_t last = UINT32_MAX / in_filter * in_filter;
        uint32_t other =
            (uint32_t)(bytes_next(&seed) % (UINT32_MAX / in_filter)) *
            in_filter;

        assert_bits_of(0, bits);
        assert_bits_of(UINT32_MAX, bits);
        assert_bits_of(last, bits);
        assert_bits_of(last - 1, bits);
        assert_bits_of(other, bits);
        assert_bits_of(other - 1, bits);
        assert_bits_of((uint32_t)bytes_next(&seed), bits);
    }
}

static void filters_have_the_size_and_probes_of_the_format(void **state)
{
    static const struct {
        unsigned bits;
        size_t keys;
        size_t len;
        uint8_t probes;
    } rows[] = {
        {10, 0, 9, 6},    {10, 6, 9, 6},   {10, 7, 10, 6},  {10, 100, 126, 6},
        {1, 64, 9, 1},    {1, 65, 10, 1},  {2, 1, 9, 1},    {3, 1, 9, 2},
        {43, 10, 55, 29}, {44, 8, 45, 30}, {50, 8, 51, 30}, {199, 8, 200, 30},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const uint32_t hashes[100];
        struct ldb_buf out = LDB_BUF_INIT(1000);

        assert_ldb_ok(
            ldb_bloom_create_hashed(rows[i].bits, hashes, rows[i].keys, &out),
            NULL);
        if (out.len != rows[i].len || out.data[out.len - 1] != rows[i].probes)
            fail_msg("row %zu: %zu bytes, %u probes", i, out.len,
                     out.data[out.len - 1]);
        ldb_buf_release(&out);
    }
}

static void keys_of_a_filter_match_and_few_others_do(void **state)
{
    enum {
        COUNT = 1000,
        OTHERS = 10000
    };
    static char texts[COUNT][12];
    static struct ldb_slice keys[COUNT];
    struct ldb_buf out = LDB_BUF_INIT(100000);
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "in%zu", i);
        keys[i] = ldb_slice_str(texts[i]);
    }
    assert_ldb_ok(ldb_bloom_create(10, keys, COUNT, &out), NULL);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(ldb_bloom_may_match(keys[i], ldb_slice_of_buf(&out)));
    for (unsigned i = 0; i < OTHERS; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "out%u", i);
        wrong +=
            ldb_bloom_may_match(ldb_slice_str(text), ldb_slice_of_buf(&out));
    }
    /* Theory says 0.9 %; hashes are fixed, so is the result. */
    if (wrong > OTHERS / 50)
        fail_msg("%u of %u", wrong, (unsigned)OTHERS);
    ldb_buf_release(&out);
}

static void odd_filters_are_read_as_the_format_says(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
        bool may_match;
    } rows[] = {
        {"no bytes", "", false},
        {"one byte", "06", false},
        {"no bit set", "00 00 00 00 00 00 00 00 06", false},
        {"all bits set", "ff ff ff ff ff ff ff ff 06", true},
        {"30 probes", "00 00 00 00 00 00 00 00 1e", false},
        {"31 probes: an encoding to come", "00 00 00 00 00 00 00 00 1f", true},
        {"no probes", "00 00", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf filter = LDB_BUF_INIT(100);

        bytes_from_hex(rows[i].hex, &filter);
        if (ldb_bloom_may_match(ldb_slice_str("key"),
                                ldb_slice_of_buf(&filter)) != rows[i].may_match)
            fail_msg("%s", rows[i].name);
        ldb_buf_release(&filter);
    }
}

static void a_filter_over_its_buffer_is_too_large(void **state)
{
    static const uint32_t hashes[7];
    struct ldb_buf out = LDB_BUF_INIT(9);

    (void)state;
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_bloom_create_hashed(10, hashes, 7, &out), NULL);
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_bloom_create_hashed(10, hashes, SIZE_MAX, &out),
                      NULL);
    assert_ldb_ok(ldb_bloom_create_hashed(10, hashes, 6, &out), NULL);
    ldb_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_filter_of_the_dump_comes_out_byte_for_byte),
        cmocka_unit_test(bits_are_those_of_the_remainder),
        cmocka_unit_test(filters_have_the_size_and_probes_of_the_format),
        cmocka_unit_test(keys_of_a_filter_match_and_few_others_do),
        cmocka_unit_test(odd_filters_are_read_as_the_format_says),
        cmocka_unit_test(a_filter_over_its_buffer_is_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
