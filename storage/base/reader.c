#include "storage/base/reader.h"

#include "storage/base/writer.h"

/* Takes n bytes and returns their first, or NULL with the failure set. */
static const uint8_t *take(struct ldb_reader *r, uint64_t n)
{
    const uint8_t *p = r->p;

    if (LDB_UNLIKELY(r->failed || n > ldb_reader_left(r))) {
        r->failed = true;
        return NULL;
    }
    r->p += (size_t)n;
    return p;
}

bool ldb_reader_bytes(struct ldb_reader *r, uint64_t n, struct ldb_slice *out)
{
    const uint8_t *p = take(r, n);

    *out = ldb_slice_make(p, p == NULL ? 0 : (size_t)n);
    return p != NULL;
}

bool ldb_reader_u8(struct ldb_reader *r, uint8_t *out)
{
    const uint8_t *p = take(r, 1);

    *out = p == NULL ? 0 : p[0];
    return p != NULL;
}

bool ldb_reader_fixed16(struct ldb_reader *r, uint16_t *out)
{
    const uint8_t *p = take(r, 2);

    *out = 0;
    if (p == NULL)
        return false;
    *out = (uint16_t)(p[0] | p[1] << 8);
    return true;
}

bool ldb_reader_fixed32(struct ldb_reader *r, uint32_t *out)
{
    const uint8_t *p = take(r, 4);

    *out = p == NULL ? 0 : ldb_load_fixed32(p);
    return p != NULL;
}

bool ldb_reader_fixed64(struct ldb_reader *r, uint64_t *out)
{
    const uint8_t *p = take(r, 8);

    *out = p == NULL ? 0 : ldb_load_fixed64(p);
    return p != NULL;
}

/* A varint of at most 64 bits; its cursor moves past what it has looked at. */
static bool read_varint(struct ldb_reader *r, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *p = take(r, 1);
        uint64_t group;

        if (p == NULL)
            break;
        group = p[0] & 0x7fU;
        if (shift == 63 && group > 1)
            break;
        value |= group << shift;
        if (p[0] < 0x80) {
            *out = value;
            return true;
        }
    }
    r->failed = true;
    *out = 0;
    return false;
}

bool ldb_reader_varint64(struct ldb_reader *r, uint64_t *out)
{
    if (LDB_LIKELY(!r->failed && r->p < r->end && *r->p < 0x80)) {
        *out = *r->p++;
        return true;
    }
    return read_varint(r, out);
}

bool ldb_reader_varint32(struct ldb_reader *r, uint32_t *out)
{
    const uint8_t *start = r->p;
    uint64_t value;

    if (!ldb_reader_varint64(r, &value) || value > UINT32_MAX ||
        r->p - start > LDB_VARINT32_MAX) {
        r->failed = true;
        *out = 0;
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

bool ldb_reader_length_prefixed(struct ldb_reader *r, struct ldb_slice *out)
{
    uint32_t len;

    /* A failed length is 0 and sticky: reading 0 bytes then fails too. */
    (void)ldb_reader_varint32(r, &len);
    return ldb_reader_bytes(r, len, out);
}
