#include "storage/table/compression.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

static void snappy_gives_back_what_it_took(void **state)
{
    static uint8_t plain[70000];
    static uint8_t back[70000];
    static const size_t lens[] = {0, 1, 60, 4096, 65536, 70000};

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct ldb_buf out = LDB_BUF_INIT(100000);
        uint64_t seed = i;
        size_t len = 0;

        /* Half of it repeats. */
        bytes_fill(&seed, plain, lens[i] / 2);
        assert_ldb_ok(ldb_snappy_compress(ldb_slice_make(plain, lens[i]), &out),
                      NULL);
        assert_true(
            ldb_snappy_plain_len(ldb_slice_of_buf(&out), lens[i], &len));
        assert_int_equal(len, lens[i]);
        assert_true(ldb_snappy_uncompress(ldb_slice_of_buf(&out), back, len));
        assert_memory_equal(back, plain, len);
        ldb_buf_release(&out);
    }
}

static void known_bytes_uncompress(void **state)
{
    struct ldb_buf stored = LDB_BUF_INIT(100);
    uint8_t plain[10];
    size_t len = 0;

    (void)state;
    /* 10 bytes: literal "ab", then a copy of 8 from 2 back. */
    bytes_from_hex("0a 04 61 62 11 02", &stored);
    assert_true(ldb_snappy_plain_len(ldb_slice_of_buf(&stored), 10, &len));
    assert_int_equal(len, 10);
    assert_true(ldb_snappy_uncompress(ldb_slice_of_buf(&stored), plain, 10));
    assert_memory_equal(plain, "ababababab", 10);
    /* The limit is the last length that is let through. */
    assert_false(ldb_snappy_plain_len(ldb_slice_of_buf(&stored), 9, &len));
    ldb_buf_release(&stored);
}

static void a_claimed_length_is_not_trusted(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
    } rows[] = {
        {"no bytes", ""},
        {"no end of the varint", "ff ff ff"},
        {"4 GiB less one in 8 bytes", "ff ff ff ff 0f 00 61 61"},
        {"23 bytes of plain a byte stored", "45 00 61"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf stored = LDB_BUF_INIT(100);
        size_t len = 7;

        bytes_from_hex(rows[i].hex, &stored);
        if (ldb_snappy_plain_len(ldb_slice_of_buf(&stored), SIZE_MAX, &len) ||
            len != 7)
            fail_msg("%s", rows[i].name);
        ldb_buf_release(&stored);
    }
}

static void damaged_streams_are_refused(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
        size_t len;
    } rows[] = {
        {"copy from before the beginning", "0a 04 61 62 11 03", 10},
        {"literal passes the end", "0a 24 61 62", 10},
        {"one byte too few", "0b 04 61 62 11 02", 11},
        {"one byte too many", "09 04 61 62 11 02", 9},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf stored = LDB_BUF_INIT(100);
        uint8_t plain[16];

        bytes_from_hex(rows[i].hex, &stored);
        if (ldb_snappy_uncompress(ldb_slice_of_buf(&stored), plain,
                                  rows[i].len))
            fail_msg("%s", rows[i].name);
        ldb_buf_release(&stored);
    }
}

static void compression_pays_only_above_an_eighth(void **state)
{
    (void)state;
    assert_true(ldb_compression_pays(800, 699));
    assert_false(ldb_compression_pays(800, 700));
    assert_false(ldb_compression_pays(800, 900));
    assert_false(ldb_compression_pays(0, 1));
    /* docs/formats.md: 86 bytes to 78 would not do. */
    assert_false(ldb_compression_pays(86, 78));
}

/* Bytes that do not compress, from begin on. */
static void fill_noise(uint8_t *bytes, size_t begin, size_t end)
{
    uint64_t random = 1;

    for (size_t i = begin; i < end; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        bytes[i] = (uint8_t)(random >> 24);
    }
}

static void only_big_blocks_that_hold_noise_are_left_alone(void **state)
{
    static uint8_t bytes[LDB_COMPRESSION_SAMPLED_BYTES];
    static const struct {
        size_t len;
        size_t noise_begin;
        bool promises;
    } rows[] = {
        {sizeof(bytes), 0, false},
        {sizeof(bytes) - 1, 0, true}, /* small: always tried */
        {sizeof(bytes), sizeof(bytes), true},
        {sizeof(bytes), sizeof(bytes) / 2, true},
    };
    struct ldb_buf scratch = LDB_BUF_INIT(SIZE_MAX);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool promises = !rows[i].promises;

        memset(bytes, 0, sizeof(bytes));
        fill_noise(bytes, rows[i].noise_begin, sizeof(bytes));
        assert_int_equal(ldb_compression_try(ldb_slice_make(bytes, rows[i].len),
                                             &scratch, &promises),
                         LDB_OK);
        assert_int_equal(promises, rows[i].promises);
    }
    ldb_buf_release(&scratch);
}

static void compressing_reports_limit_and_memory(void **state)
{
    struct ldb_buf small = LDB_BUF_INIT(10);
    struct ldb_buf out = LDB_BUF_INIT(1000);

    (void)state;
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_snappy_compress(ldb_slice_str("0123456789"), &small),
                      NULL);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY,
                      ldb_snappy_compress(ldb_slice_str("0123456789"), &out),
                      NULL);
    assert_true(mem_fault_stop());
    ldb_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snappy_gives_back_what_it_took),
        cmocka_unit_test(known_bytes_uncompress),
        cmocka_unit_test(a_claimed_length_is_not_trusted),
        cmocka_unit_test(damaged_streams_are_refused),
        cmocka_unit_test(compression_pays_only_above_an_eighth),
        cmocka_unit_test(only_big_blocks_that_hold_noise_are_left_alone),
        cmocka_unit_test(compressing_reports_limit_and_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
