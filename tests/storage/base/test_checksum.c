#include "storage/base/checksum.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

/* CRC-32C bit by bit: the definition, as far from the module as can be. */
static uint32_t slow_crc(struct ldb_slice bytes)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

/* RFC 3720 appendix B.4, and the check value of every CRC catalogue. */
static void published_vectors_hold(void **state)
{
    uint8_t bytes[32];

    (void)state;
    assert_int_equal(ldb_crc32c(ldb_slice_str("123456789")), 0xe3069283);
    assert_int_equal(ldb_crc32c(ldb_slice_make(NULL, 0)), 0);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(ldb_crc32c(ldb_slice_make(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(ldb_crc32c(ldb_slice_make(bytes, 32)), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(ldb_crc32c(ldb_slice_make(bytes, 32)), 0x46dd794e);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(ldb_crc32c(ldb_slice_make(bytes, 32)), 0x113fdb5c);
}

static void masking_is_the_formats(void **state)
{
    (void)state;
    assert_int_equal(ldb_crc_mask(0xa2f051e8), 0x465430b8);
    assert_int_equal(ldb_crc_unmask(0x465430b8), 0xa2f051e8);
    assert_int_equal(ldb_crc_unmask(ldb_crc_mask(0)), 0);
    assert_int_equal(ldb_crc_unmask(ldb_crc_mask(UINT32_MAX)), UINT32_MAX);
}

static void every_length_and_alignment_agrees_with_the_definition(void **state)
{
    static uint8_t bytes[4200];
    uint64_t seed = 1;

    (void)state;
    bytes_fill(&seed, bytes, sizeof(bytes));
    for (size_t len = 0; len < 300; len++)
        for (size_t start = 0; start < 9; start++) {
            struct ldb_slice s = ldb_slice_make(bytes + start, len);

            if (ldb_crc32c(s) != slow_crc(s))
                fail_msg("length %zu at %zu", len, start);
        }
    for (size_t len = 1000; len <= 4101; len += 443) {
        struct ldb_slice s = ldb_slice_make(bytes + 3, len);

        assert_int_equal(ldb_crc32c(s), slow_crc(s));
    }
}

static void extending_equals_one_pass_at_every_cut(void **state)
{
    static uint8_t bytes[600];
    uint64_t seed = 2;
    uint32_t whole;

    (void)state;
    bytes_fill(&seed, bytes, sizeof(bytes));
    whole = ldb_crc32c(ldb_slice_make(bytes, sizeof(bytes)));
    for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
        uint32_t crc = ldb_crc32c(ldb_slice_make(bytes, cut));

        crc = ldb_crc32c_extend(
            crc, ldb_slice_make(bytes + cut, sizeof(bytes) - cut));
        assert_int_equal(crc, whole);
    }
}

#if defined(__x86_64__)
#define XINUSE_AVX (UINT64_C(1) << 2)

LDB_TARGET("avx") static void clear_upper_halves(void)
{
    _mm256_zeroupper();
}

LDB_TARGET("xsave") static bool are_upper_halves_in_use(void)
{
    return ((uint64_t)_xgetbv(1) & XINUSE_AVX) != 0;
}

/* Whether the processor tells: XGETBV of 1, and no state that always counts. */
static bool knows_upper_halves(void)
{
    unsigned eax, ebx, ecx, edx;

    if (!LDB_CPU_HAS("avx") ||
        !__get_cpuid_count(13, 1, &eax, &ebx, &ecx, &edx))
        return false;
    if ((eax & 4) == 0)
        return false;
    clear_upper_halves();
    return !are_upper_halves_in_use();
}

/* What comes after it is not slowed down. */
static void the_vector_registers_upper_halves_are_clear_afterwards(void **state)
{
    static uint8_t bytes[4096];

    (void)state;
    if (!knows_upper_halves()) {
        print_message("skipped: the processor does not tell\n");
        skip();
    }
    for (size_t len = 1; len <= sizeof(bytes); len *= 2) {
        (void)ldb_crc32c(ldb_slice_make(bytes, len));
        assert_false(are_upper_halves_in_use());
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_hold),
        cmocka_unit_test(masking_is_the_formats),
        cmocka_unit_test(every_length_and_alignment_agrees_with_the_definition),
        cmocka_unit_test(extending_equals_one_pass_at_every_cut),
#if defined(__x86_64__)
        cmocka_unit_test(
            the_vector_registers_upper_halves_are_clear_afterwards),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
