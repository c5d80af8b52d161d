// What LevelDB's release build takes from google/crc32c, which Debian lacks:
// CRC-32C by the SSE 4.2 instruction. For the peer alone; ours has its own.
#pragma once
#include <nmmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace crc32c
{
inline uint32_t Extend(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; n > 0; n--)
        c = _mm_crc32_u8(static_cast<uint32_t>(c), *p++);
    return ~static_cast<uint32_t>(c);
}
} // namespace crc32c
