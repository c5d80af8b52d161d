/*
 * The bloom filter of docs/formats.md: bits, then one byte k. Each key sets
 * or tests k bits at h, h + d, h + 2d, ... modulo the number of bits.
 */
#include "storage/table/filter_policy.h"

#include "storage/base/checked.h"
#include "storage/base/hash.h"

/* Seed of the hash; docs/formats.md. */
#define BLOOM_SEED UINT32_C(0xbc9f1d34)

/* Bits of the smallest filter; docs/formats.md. */
#define BLOOM_BITS_MIN 64

/* Most probes a key; more in a stored filter means "unknown encoding". */
#define BLOOM_PROBES_MAX 30

uint32_t ldb_bloom_hash(struct ldb_slice key)
{
    return ldb_hash(key, BLOOM_SEED);
}

/* What is added to the hash from one probe to the next. */
static inline uint32_t step_of(uint32_t hash)
{
    return hash >> 17 | hash << 15;
}

/* floor(0.69 b) within 1..30: ln 2 times the bits is the best number. */
static unsigned probes_of(unsigned bits_per_key)
{
    uint64_t probes = (uint64_t)bits_per_key * 69 / 100;

    if (probes < 1)
        return 1;
    return probes > BLOOM_PROBES_MAX ? BLOOM_PROBES_MAX : (unsigned)probes;
}

/* Appends an empty filter for count keys; *out_bits are its bytes. */
static enum ldb_status append_empty(unsigned bits_per_key, size_t count,
                                    struct ldb_buf *out, uint8_t **out_bytes,
                                    uint32_t *out_bits)
{
    size_t bits, len;
    enum ldb_status s;

    if (!ldb_size_mul(count, bits_per_key, &bits) || bits > UINT32_MAX - 7)
        return LDB_TOO_LARGE;
    if (bits < BLOOM_BITS_MIN)
        bits = BLOOM_BITS_MIN;
    len = (bits + 7) / 8;
    s = ldb_buf_extend(out, len + 1, out_bytes);
    if (s != LDB_OK)
        return s;
    memset(*out_bytes, 0, len);
    (*out_bytes)[len] = (uint8_t)probes_of(bits_per_key);
    *out_bits = (uint32_t)(len * 8);
    return LDB_OK;
}

/* floor(2^32 / bits): one division a filter instead of one a probe. */
static inline uint32_t inverse_of(uint32_t bits)
{
    assert_slow(bits >= BLOOM_BITS_MIN);
    return (uint32_t)((UINT64_C(1) << 32) / bits);
}

/* hash % bits. */
static inline uint32_t remainder_of(uint32_t hash, uint32_t bits,
                                    uint32_t inverse)
{
    /* The inverse is less than 1 too small, so this is by 1 at most. */
    uint32_t quotient = (uint32_t)((uint64_t)hash * inverse >> 32);
    uint32_t rest = hash - quotient * bits;

    return rest >= bits ? rest - bits : rest;
}

static inline void set_bits(uint8_t *bytes, uint32_t bits, uint32_t inverse,
                            unsigned probes, uint32_t hash)
{
    uint32_t step = step_of(hash);

    for (unsigned i = 0; i < probes; i++) {
        uint32_t bit = remainder_of(hash, bits, inverse);

        bytes[bit / 8] |= (uint8_t)(1u << bit % 8);
        hash += step;
    }
}

enum ldb_status ldb_bloom_create(unsigned bits_per_key,
                                 const struct ldb_slice *keys, size_t count,
                                 struct ldb_buf *out)
{
    uint8_t *bytes;
    uint32_t bits, inverse;
    enum ldb_status s = append_empty(bits_per_key, count, out, &bytes, &bits);

    if (s != LDB_OK)
        return s;
    inverse = inverse_of(bits);
    for (size_t i = 0; i < count; i++)
        set_bits(bytes, bits, inverse, probes_of(bits_per_key),
                 ldb_bloom_hash(keys[i]));
    return LDB_OK;
}

enum ldb_status ldb_bloom_create_hashed(unsigned bits_per_key,
                                        const uint32_t *hashes, size_t count,
                                        struct ldb_buf *out)
{
    uint8_t *bytes;
    uint32_t bits, inverse;
    enum ldb_status s = append_empty(bits_per_key, count, out, &bytes, &bits);

    if (s != LDB_OK)
        return s;
    inverse = inverse_of(bits);
    for (size_t i = 0; i < count; i++)
        set_bits(bytes, bits, inverse, probes_of(bits_per_key), hashes[i]);
    return LDB_OK;
}

bool ldb_bloom_may_match(struct ldb_slice key, struct ldb_slice filter)
{
    uint32_t hash, step, bits;
    unsigned probes;

    if (filter.len < 2)
        return false;
    if (filter.len - 1 > UINT32_MAX / 8)
        return true;
    bits = (uint32_t)(filter.len - 1) * 8;
    probes = filter.data[filter.len - 1];
    if (probes > BLOOM_PROBES_MAX)
        return true;
    hash = ldb_bloom_hash(key);
    step = step_of(hash);
    for (unsigned i = 0; i < probes; i++) {
        uint32_t bit = hash % bits;

        if ((filter.data[bit / 8] & 1u << bit % 8) == 0)
            return false;
        hash += step;
    }
    return true;
}
