/*
 * The bounds-checked decode cursor: all bytes that we did not write go through
 * it. Failure is sticky: read a whole structure, then test failed once. After
 * a failure every result is zero.
 *
 * Thread-safety: one caller per cursor. The bytes are borrowed.
 */
#ifndef STORAGE_BASE_READER_H
#define STORAGE_BASE_READER_H

#include "storage/base/slice.h"

struct ldb_reader {
    const uint8_t *p;   /* next byte */
    const uint8_t *end; /* one past the last */
    bool failed;        /* set once, never cleared */
};

static inline struct ldb_reader ldb_reader_make(struct ldb_slice bytes)
{
    static const uint8_t none[1];
    const uint8_t *p = bytes.len == 0 ? none : bytes.data;

    return (struct ldb_reader){.p = p, .end = p + bytes.len, .failed = false};
}

static inline size_t ldb_reader_left(const struct ldb_reader *r)
{
    return (size_t)(r->end - r->p);
}

/* n bytes, borrowed. The length is compared, never added. */
bool ldb_reader_bytes(struct ldb_reader *r, uint64_t n, struct ldb_slice *out);

bool ldb_reader_u8(struct ldb_reader *r, uint8_t *out);
bool ldb_reader_fixed16(struct ldb_reader *r, uint16_t *out);
bool ldb_reader_fixed32(struct ldb_reader *r, uint32_t *out);
bool ldb_reader_fixed64(struct ldb_reader *r, uint64_t *out);

/* Base-128, low group first; at most 5 bytes and 32 bits / 10 and 64. */
bool ldb_reader_varint32(struct ldb_reader *r, uint32_t *out);
bool ldb_reader_varint64(struct ldb_reader *r, uint64_t *out);

/* varint32 length, then that many bytes, borrowed. */
bool ldb_reader_length_prefixed(struct ldb_reader *r, struct ldb_slice *out);

#endif
