#include "storage/base/hash.h"

#include "storage/base/writer.h"

/* On disk, in every bloom filter: do not change. */
#define HASH_MULTIPLIER UINT32_C(0xc6a4a793)

uint32_t ldb_hash(struct ldb_slice bytes, uint32_t seed)
{
    const uint8_t *p = bytes.data;
    size_t left = bytes.len;
    /* All arithmetic is modulo 2^32, the length's too. */
    uint32_t h = seed ^ ((uint32_t)bytes.len * HASH_MULTIPLIER);

    for (; left >= 4; left -= 4) {
        h += ldb_load_fixed32(p);
        h *= HASH_MULTIPLIER;
        h ^= h >> 16;
        p += 4;
    }
    if (left == 0)
        return h;
    if (left == 3)
        h += (uint32_t)p[2] << 16;
    if (left >= 2)
        h += (uint32_t)p[1] << 8;
    h += p[0];
    h *= HASH_MULTIPLIER;
    h ^= h >> 24;
    return h;
}
