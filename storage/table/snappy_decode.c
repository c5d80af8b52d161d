/*
 * A stream is its plain length, a varint, and elements. The low two bits of
 * an element's first byte, its tag, say what it is:
 *
 *   0  literal: length - 1 in the upper six bits, or 60 to 63 there and the
 *      length - 1 in the following 1 to 4 bytes; then the bytes themselves
 *   1  copy: length - 4 in three bits; 11 bits of offset, 8 of them in a byte
 *   2  copy: length - 1 in six bits; two bytes of offset
 *   3  the same with four bytes of offset
 *
 * A copy repeats plain bytes from offset back, which may be fewer than length:
 * then they repeat within it.
 *
 * Most elements are short, so 16 bytes at a time are copied, up to 64 without
 * looking at the length again; that writes behind the element, where the next
 * one will stand, and reads behind it. Both only where there is room.
 */
#include "storage/table/snappy_decode.h"

#include "storage/base/writer.h"

#define TAG_LITERAL      0
#define TAG_COPY_BYTE    1
#define TAG_COPY_FIXED16 2

/* Lengths up to this stand in a literal's tag. */
#define SHORT_LITERAL_MAX 60

/* The longest copy, and the most that is written for a short element. */
#define ELEMENT_ROOM 64

/* Written by a copy within itself: up to 8 bytes, thrice, before it can go on
 * by whole words, then its length rounded up. */
#define OVERLAP_ROOM LDB_SNAPPY_SLACK

static_assert(LDB_SNAPPY_SLACK >= ELEMENT_ROOM, "slack is for any element");

static inline void copy_8(uint8_t *to, const uint8_t *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof(word));
    memcpy(to, &word, sizeof(word));
}

static inline void copy_16(uint8_t *to, const uint8_t *from)
{
    uint8_t bytes[16];

    memcpy(bytes, from, sizeof(bytes));
    memcpy(to, bytes, sizeof(bytes));
}

/* len <= 64 bytes, with 64 to read and to write; from lies 16 back at least. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t len)
{
    copy_16(to, from);
    if (len <= 16)
        return;
    copy_16(to + 16, from + 16);
    if (len <= 32)
        return;
    copy_16(to + 32, from + 32);
    copy_16(to + 48, from + 48);
}

/* A copy from offset back, which may be less than len. */
static void copy_overlapping(uint8_t *to, size_t offset, size_t len,
                             size_t room)
{
    const uint8_t *from = to - offset;
    uint8_t *end = to + len;

    if (room < OVERLAP_ROOM) {
        while (to < end)
            *to++ = *from++;
        return;
    }
    /* What is written behind offset bytes is wrong, and written again. */
    while (to - from < 8) {
        copy_8(to, from);
        to += to - from;
    }
    for (; to < end; to += 8, from += 8)
        copy_8(to, from);
}

/* The length of a literal that is not in its tag; false: there is none. */
static bool read_long_length(const uint8_t **p, const uint8_t *end,
                             size_t short_len, size_t *out_len)
{
    size_t bytes = short_len - SHORT_LITERAL_MAX;
    size_t len = 0;

    if ((size_t)(end - *p) < bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        len |= (size_t)(*p)[i] << 8 * i;
    *p += bytes;
    *out_len = len + 1;
    return true;
}

/* A literal whose tag was taken; false: it does not lie within the bytes. */
static inline bool literal(struct ldb_snappy_decoder *d, const uint8_t **p,
                           uint8_t **next, unsigned tag)
{
    size_t len = (tag >> 2) + 1;
    size_t stored_left = (size_t)(d->stored_end - *p);

    if (LDB_LIKELY(len <= SHORT_LITERAL_MAX && stored_left >= ELEMENT_ROOM &&
                   (size_t)(d->room_end - *next) >= ELEMENT_ROOM)) {
        if (LDB_UNLIKELY(len > (size_t)(d->plain_end - *next)))
            return false;
        copy_short(*next, *p, len);
    } else {
        if (len > SHORT_LITERAL_MAX &&
            !read_long_length(p, d->stored_end, len, &len))
            return false;
        if (len > (size_t)(d->stored_end - *p) ||
            len > (size_t)(d->plain_end - *next))
            return false;
        memcpy(*next, *p, len);
    }
    *p += len;
    *next += len;
    return true;
}

/* Length and offset of a copy whose tag was taken; false: bytes are missing. */
static inline bool read_copy(const uint8_t **p, const uint8_t *end,
                             unsigned tag, size_t *out_len, size_t *out_offset)
{
    size_t left = (size_t)(end - *p);

    if ((tag & 3) == TAG_COPY_BYTE) {
        if (LDB_UNLIKELY(left < 1))
            return false;
        *out_len = 4 + (tag >> 2 & 7);
        *out_offset = (size_t)(tag >> 5) << 8 | (*p)[0];
        *p += 1;
        return true;
    }
    *out_len = (tag >> 2) + 1;
    if (LDB_LIKELY((tag & 3) == TAG_COPY_FIXED16)) {
        if (LDB_UNLIKELY(left < 2))
            return false;
        *out_offset = (size_t)(*p)[0] | (size_t)(*p)[1] << 8;
        *p += 2;
        return true;
    }
    if (left < 4)
        return false;
    *out_offset = ldb_load_fixed32(*p);
    *p += 4;
    return true;
}

bool ldb_snappy_decoder_init(struct ldb_snappy_decoder *decoder,
                             struct ldb_slice compressed, size_t plain_len,
                             uint8_t *plain, size_t room_size)
{
    struct ldb_reader r = ldb_reader_make(compressed);
    uint32_t len;

    assert(room_size >= plain_len);
    if (!ldb_reader_varint32(&r, &len) || len != plain_len)
        return false;
    *decoder = (struct ldb_snappy_decoder){
        .stored = r.p,
        .stored_end = r.end,
        .plain = plain,
        .next = plain,
        .plain_end = plain + plain_len,
        .room_end = plain + room_size,
    };
    return true;
}

bool ldb_snappy_decode(struct ldb_snappy_decoder *decoder, size_t len)
{
    struct ldb_snappy_decoder *d = decoder;
    const uint8_t *p = d->stored;
    uint8_t *next = d->next;
    uint8_t *until = d->plain + len;

    assert(len <= (size_t)(d->plain_end - d->plain));
    while (next < until) {
        size_t copy_len, offset, room;
        unsigned tag;

        if (LDB_UNLIKELY(p >= d->stored_end))
            return false;
        tag = *p++;
        if ((tag & 3) == TAG_LITERAL) {
            if (LDB_UNLIKELY(!literal(d, &p, &next, tag)))
                return false;
            continue;
        }
        if (LDB_UNLIKELY(
                !read_copy(&p, d->stored_end, tag, &copy_len, &offset)))
            return false;
        /* Offset 0 wraps, and is over any length. */
        if (LDB_UNLIKELY(offset - 1 >= (size_t)(next - d->plain) ||
                         copy_len > (size_t)(d->plain_end - next)))
            return false;
        room = (size_t)(d->room_end - next);
        if (LDB_LIKELY(offset >= 16 && room >= ELEMENT_ROOM))
            copy_short(next, next - offset, copy_len);
        else
            copy_overlapping(next, offset, copy_len, room);
        next += copy_len;
    }
    d->stored = p;
    d->next = next;
    return next < d->plain_end || p == d->stored_end;
}
