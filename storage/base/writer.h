/*
 * The mirror of reader.h: little-endian stores and varints, into raw memory
 * (the caller has made the room) or appended to a buffer.
 */
#ifndef STORAGE_BASE_WRITER_H
#define STORAGE_BASE_WRITER_H

#include "storage/base/buf.h"

/* Bytes of the longest encoding: 7 bits in each. */
#define LDB_VARINT32_MAX 5
#define LDB_VARINT64_MAX 10

static inline void ldb_store_fixed16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void ldb_store_fixed32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline void ldb_store_fixed64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t ldb_load_fixed32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t ldb_load_fixed64(const uint8_t *p)
{
    uint64_t high = ldb_load_fixed32(p + 4);

    return high << 32 | ldb_load_fixed32(p);
}

/* Writes at p, which has LDB_VARINT64_MAX bytes of room; the byte after. */
uint8_t *ldb_store_varint64(uint8_t *p, uint64_t v);
uint8_t *ldb_store_varint32(uint8_t *p, uint32_t v);

/* Bytes that the encoding takes. */
size_t ldb_varint_len(uint64_t v);

LDB_MUST_CHECK enum ldb_status ldb_put_fixed32(struct ldb_buf *buf, uint32_t v);
LDB_MUST_CHECK enum ldb_status ldb_put_fixed64(struct ldb_buf *buf, uint64_t v);
LDB_MUST_CHECK enum ldb_status ldb_put_varint64(struct ldb_buf *buf,
                                                uint64_t v);

/* varint length, then the bytes. */
LDB_MUST_CHECK enum ldb_status ldb_put_length_prefixed(struct ldb_buf *buf,
                                                       struct ldb_slice bytes);

#endif
