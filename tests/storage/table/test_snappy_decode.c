#include "storage/table/snappy_decode.h"

#include <snappy-c.h>

#include "storage/base/mem.h"
#include "storage/table/compression.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

#define PLAIN_MAX 70000

/* Decodes into memory of room bytes (for the sanitizer), steps at a time. */
static bool decode(struct ldb_slice compressed, size_t plain_len, size_t room,
                   size_t step, uint8_t **out)
{
    uint8_t *memory = ldb_mem_alloc(1, room);
    struct ldb_snappy_decoder decoder;
    bool is_sound;

    assert_non_null(memory);
    *out = memory;
    is_sound =
        ldb_snappy_decoder_init(&decoder, compressed, plain_len, memory, room);
    for (size_t len = 0; is_sound; len += step) {
        if (len > plain_len)
            len = plain_len;
        is_sound = ldb_snappy_decode(&decoder, len);
        assert_true(!is_sound || ldb_snappy_decoder_len(&decoder) >= len);
        if (len == plain_len)
            break;
    }
    return is_sound;
}

/* Bytes with runs, repeats near and far, and noise. */
static void fill(uint64_t *dice, uint8_t *out, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t n = 1 + bytes_next(dice) % 100;
        uint64_t kind = bytes_next(dice) % 3;

        if (bytes_next(dice) % 50 == 0)
            n *= 40;
        if (n > len - at)
            n = len - at;
        if (kind == 0 || at == 0) {
            bytes_fill(dice, out + at, n);
        } else {
            size_t near = 1 + bytes_next(dice) % (kind == 1 ? 20 : 60000);
            size_t offset = near < at ? near : at;

            for (size_t i = 0; i < n; i++)
                out[at + i] = out[at + i - offset];
        }
        at += n;
    }
}

static void what_libsnappy_compressed_comes_out(void **state)
{
    static uint8_t plain[PLAIN_MAX];

    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t dice = seed;
        size_t most = seed % 10 == 0 ? PLAIN_MAX : 5000;
        size_t len = bytes_next(&dice) % most;
        size_t step = 1 + bytes_next(&dice) % 2000;
        struct ldb_buf stored = LDB_BUF_INIT(2 * PLAIN_MAX);

        fill(&dice, plain, len);
        assert_ldb_ok(ldb_snappy_compress(ldb_slice_make(plain, len), &stored),
                      NULL);
        for (size_t slack = 0; slack <= LDB_SNAPPY_SLACK;
             slack += LDB_SNAPPY_SLACK / 4) {
            uint8_t *out;

            assert_true(decode(ldb_slice_of_buf(&stored), len, len + slack,
                               step, &out));
            assert_memory_equal(out, plain, len);
            ldb_mem_free(out);
        }
        ldb_buf_release(&stored);
    }
}

/* Same verdict, and same bytes, however it is done. */
static void assert_as_libsnappy(struct ldb_slice compressed, size_t plain_len)
{
    uint8_t *theirs = ldb_mem_alloc(1, plain_len);
    size_t their_len = plain_len;
    bool is_sound =
        snappy_uncompress((const char *)compressed.data, compressed.len,
                          (char *)theirs, &their_len) == SNAPPY_OK;

    assert_non_null(theirs);
    for (size_t way = 0; way < 4; way++) {
        size_t room = plain_len + (way & 1) * LDB_SNAPPY_SLACK;
        size_t step = (way & 2) != 0 ? 100 : plain_len;
        uint8_t *ours;

        assert_int_equal(is_sound, decode(compressed, plain_len, room,
                                          step == 0 ? 1 : step, &ours));
        if (is_sound)
            assert_memory_equal(ours, theirs, plain_len);
        ldb_mem_free(ours);
    }
    ldb_mem_free(theirs);
}

static void damage_is_judged_as_libsnappy_judges_it(void **state)
{
    static uint8_t plain[600];
    uint64_t dice = 7;
    struct ldb_buf stored = LDB_BUF_INIT(10000);

    (void)state;
    fill(&dice, plain, sizeof(plain));
    assert_ldb_ok(
        ldb_snappy_compress(ldb_slice_make(plain, sizeof(plain)), &stored),
        NULL);
    for (size_t at = 0; at < stored.len; at++) {
        for (unsigned to = 0; to < 256; to += 1 + (unsigned)(at > 40)) {
            uint8_t was = stored.data[at];
            size_t len;

            stored.data[at] = (uint8_t)to;
            if (ldb_snappy_plain_len(ldb_slice_of_buf(&stored), 5000, &len))
                assert_as_libsnappy(ldb_slice_of_buf(&stored), len);
            stored.data[at] = was;
        }
        assert_as_libsnappy(ldb_slice_make(stored.data, at), sizeof(plain));
    }
    ldb_buf_release(&stored);
}

static void each_kind_of_element_decodes(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
        const char *plain; /* NULL: damaged */
    } rows[] = {
        {"nothing", "00", ""},
        {"nothing, and more", "00 00 61", NULL},
        {"a literal", "03 08 61 62 63", "abc"},
        {"a literal with one byte of length", "03 f0 02 61 62 63", "abc"},
        {"with two", "03 f4 02 00 61 62 63", "abc"},
        {"with three", "03 f8 02 00 00 61 62 63", "abc"},
        {"with four", "03 fc 02 00 00 00 61 62 63", "abc"},
        {"of 4 GiB", "03 fc ff ff ff ff 61 62 63", NULL},
        {"without its bytes", "03 08 61 62", NULL},
        {"without its length", "03 f8 02 00", NULL},
        {"a copy with one byte of offset", "06 04 61 62 01 02", "ababab"},
        {"with two", "06 04 61 62 0e 02 00", "ababab"},
        {"with four", "06 04 61 62 0f 02 00 00 00", "ababab"},
        {"of offset 1", "06 04 61 62 0e 01 00", "abbbbb"},
        {"of offset 0", "06 04 61 62 0e 00 00", NULL},
        {"from before the beginning", "06 04 61 62 0e 03 00", NULL},
        {"from far before the beginning", "06 04 61 62 0f 02 00 00 80", NULL},
        {"with half an offset", "06 04 61 62 0e 02", NULL},
        {"past the end", "05 04 61 62 0e 02 00", NULL},
        {"short of the end", "07 04 61 62 0e 02 00", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf stored = LDB_BUF_INIT(100);
        size_t len = 0;
        uint8_t *out;
        bool is_sound;

        bytes_from_hex(rows[i].hex, &stored);
        len = stored.data[0];
        is_sound = decode(ldb_slice_of_buf(&stored), len, len + 1, 2, &out);
        if (is_sound != (rows[i].plain != NULL) ||
            (is_sound && memcmp(out, rows[i].plain, len) != 0))
            fail_msg("%s", rows[i].name);
        ldb_mem_free(out);
        assert_as_libsnappy(ldb_slice_of_buf(&stored), len);
        ldb_buf_release(&stored);
    }
}

/* libsnappy adds 1 to a length of 32 bits, and goes on with a literal of 0. */
static void
a_literal_of_4_gib_is_damage_also_where_libsnappy_takes_it(void **state)
{
    static const uint8_t nothing[] = {0, 0xfc, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t before_a[] = {1, 0xfc, 0xff, 0xff, 0xff, 0xff, 0, 'a'};
    size_t len = 1;
    uint8_t *out;
    char theirs;

    (void)state;
    assert_int_equal(snappy_uncompress((const char *)before_a, sizeof(before_a),
                                       &theirs, &len),
                     SNAPPY_OK);
    assert_false(
        decode(ldb_slice_make(before_a, sizeof(before_a)), 1, 1, 1, &out));
    ldb_mem_free(out);
    assert_false(
        decode(ldb_slice_make(nothing, sizeof(nothing)), 0, 0, 1, &out));
    ldb_mem_free(out);
}

static void another_length_than_the_claimed_one_is_refused(void **state)
{
    static const uint8_t stored[] = {3, 8, 'a', 'b', 'c'};
    struct ldb_snappy_decoder decoder;
    uint8_t plain[8];

    (void)state;
    for (size_t len = 0; len < 8; len++)
        assert_int_equal(ldb_snappy_decoder_init(
                             &decoder, ldb_slice_make(stored, sizeof(stored)),
                             len, plain, sizeof(plain)),
                         len == 3);
    assert_false(ldb_snappy_decoder_init(&decoder, ldb_slice_make(stored, 0), 0,
                                         plain, sizeof(plain)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_libsnappy_compressed_comes_out),
        cmocka_unit_test(damage_is_judged_as_libsnappy_judges_it),
        cmocka_unit_test(each_kind_of_element_decodes),
        cmocka_unit_test(
            a_literal_of_4_gib_is_damage_also_where_libsnappy_takes_it),
        cmocka_unit_test(another_length_than_the_claimed_one_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
