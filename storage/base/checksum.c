#include "storage/base/checksum.h"

#include <isa-l/crc.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "storage/base/writer.h"

/*
 * Two ways to one sum. libisal folds many lanes at once: 50 GB/s on a table
 * block, but 18 to 47 ns for what most journal records are, where the plain
 * crc32 instruction takes 5 to 27. They meet between 200 and 256 bytes
 * (docs/decisions/0009-crc32c-in-two-sizes.md has the figures).
 *
 * Both work on the bare state: neither the initial nor the final XOR of
 * CRC-32C is in them, so both are done in ldb_crc32c_extend().
 */
#define SHORT_MAX 255

/*
 * With AVX-512 libisal 2.30 returns with the vector registers' upper halves in
 * use. Until they are cleared each change between SSE instructions (ours) and
 * AVX ones (memcpy's) costs some 70 cycles on processors since Ice Lake: a
 * range of 100 took twice as long.
 */
#if defined(__x86_64__)
LDB_TARGET("avx") static void clear_upper_halves(void)
{
    _mm256_zeroupper();
}
#endif

/* crc32_iscsi() takes an int. */
#define PIECE_MAX ((size_t)1 << 30)

static uint32_t extend_long(uint32_t state, struct ldb_slice bytes)
{
    /* The library reads only; its parameter merely lacks the const. */
    unsigned char *p = (unsigned char *)(uintptr_t)bytes.data;
    size_t left = bytes.len;

    while (left > 0) {
        size_t piece = left < PIECE_MAX ? left : PIECE_MAX;

        state = crc32_iscsi(p, (int)piece, state);
        p += piece;
        left -= piece;
    }
#if defined(__x86_64__)
    if (LDB_CPU_HAS("avx"))
        clear_upper_halves();
#endif
    return state;
}

#if defined(__x86_64__)
LDB_TARGET("sse4.2")
static uint32_t extend_short(uint32_t state, struct ldb_slice bytes)
{
    const uint8_t *p = bytes.data;
    size_t left = bytes.len;
    uint64_t wide = state;

    for (; left >= 8; left -= 8) {
        wide = _mm_crc32_u64(wide, ldb_load_fixed64(p));
        p += 8;
    }
    state = (uint32_t)wide;
    if (left >= 4) {
        state = _mm_crc32_u32(state, ldb_load_fixed32(p));
        p += 4;
        left -= 4;
    }
    for (; left > 0; left--)
        state = _mm_crc32_u8(state, *p++);
    return state;
}

static uint32_t extend_state(uint32_t state, struct ldb_slice bytes)
{
    if (bytes.len <= SHORT_MAX && LDB_CPU_HAS("sse4.2"))
        return extend_short(state, bytes);
    return extend_long(state, bytes);
}
#else
static uint32_t extend_state(uint32_t state, struct ldb_slice bytes)
{
    return extend_long(state, bytes);
}
#endif

uint32_t ldb_crc32c_extend(uint32_t crc, struct ldb_slice bytes)
{
    return ~extend_state(~crc, bytes);
}

uint32_t ldb_crc32c(struct ldb_slice bytes)
{
    return ldb_crc32c_extend(0, bytes);
}
