/*
 * Internal key = user key, then 8 bytes: sequence << 8 | kind, little-endian.
 * Order: user key ascending, then the 64-bit tag descending (newest first).
 * docs/formats.md "Internal key".
 */
#ifndef STORAGE_BASE_INTERNAL_KEY_H
#define STORAGE_BASE_INTERNAL_KEY_H

#include "storage/base/comparator.h"
#include "storage/base/writer.h"

/* On disk: do not change. */
enum ldb_kind {
    LDB_KIND_DELETE = 0,
    LDB_KIND_PUT = 1,
};

/* The kind to seek with: the greater one sorts first at one sequence. */
#define LDB_KIND_SEEK LDB_KIND_PUT

/* Bytes after the user key. */
#define LDB_TAG_SIZE 8

static inline uint64_t ldb_tag_make(ldb_sequence sequence, enum ldb_kind kind)
{
    assert_slow(sequence <= LDB_SEQUENCE_MAX);
    return sequence << 8 | (uint64_t)kind;
}

static inline ldb_sequence ldb_tag_sequence(uint64_t tag)
{
    return tag >> 8;
}

/* The low byte, unchecked: compare with enum ldb_kind before use. */
static inline uint8_t ldb_tag_kind(uint64_t tag)
{
    return (uint8_t)tag;
}

/* The user key of a well-formed internal key (len >= 8 is the caller's). */
static inline struct ldb_slice ldb_internal_user_key(struct ldb_slice internal)
{
    assert_slow(internal.len >= LDB_TAG_SIZE);
    return (struct ldb_slice){.data = internal.data,
                              .len = internal.len - LDB_TAG_SIZE};
}

static inline uint64_t ldb_internal_tag(struct ldb_slice internal)
{
    assert_slow(internal.len >= LDB_TAG_SIZE);
    return ldb_load_fixed64(internal.data + internal.len - LDB_TAG_SIZE);
}

/* An internal key taken apart. */
struct ldb_parsed_key {
    struct ldb_slice user_key; /* borrowed */
    ldb_sequence sequence;
    enum ldb_kind kind;
};

/* False when shorter than 8 bytes or of an unknown kind. */
LDB_MUST_CHECK bool ldb_internal_key_parse(struct ldb_slice internal,
                                           struct ldb_parsed_key *out);

/* Appends user key and tag. */
LDB_MUST_CHECK enum ldb_status ldb_internal_key_append(struct ldb_buf *buf,
                                                       struct ldb_slice user,
                                                       uint64_t tag);

/* Eight bytes as a number that orders like them. */
static inline uint64_t ldb_load_ordered64(const uint8_t *p)
{
    return __builtin_bswap64(ldb_load_fixed64(p));
}

/*
 * Order of two well-formed internal keys with bytewise user keys: what seeking
 * spends its time on. The tag behind a user key lets whole words be read up to
 * the user key's last byte, so that no call and no byte loop is needed.
 */
static inline LDB_ALWAYS_INLINE int
ldb_internal_compare_bytewise(struct ldb_slice a, struct ldb_slice b)
{
    size_t a_len = a.len - LDB_TAG_SIZE;
    size_t b_len = b.len - LDB_TAG_SIZE;
    size_t common = a_len < b_len ? a_len : b_len;
    size_t i = 0;
    uint64_t x, y;

    assert_slow(a.len >= LDB_TAG_SIZE && b.len >= LDB_TAG_SIZE);
    for (; common - i >= 8; i += 8) {
        x = ldb_load_ordered64(a.data + i);
        y = ldb_load_ordered64(b.data + i);
        if (x != y)
            return x < y ? -1 : 1;
    }
    if (i < common) {
        unsigned tag_bits = (unsigned)(8 * (8 - (common - i)));

        x = ldb_load_ordered64(a.data + i) >> tag_bits;
        y = ldb_load_ordered64(b.data + i) >> tag_bits;
        if (x != y)
            return x < y ? -1 : 1;
    }
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    x = ldb_internal_tag(a);
    y = ldb_internal_tag(b);
    return (x < y) - (x > y);
}

/* Order of two well-formed internal keys under the user comparator. */
static inline int ldb_internal_compare(const struct ldb_comparator *cmp,
                                       struct ldb_slice a, struct ldb_slice b)
{
    int order;
    uint64_t ta, tb;

    if (LDB_LIKELY(cmp == ldb_comparator_bytewise()))
        return ldb_internal_compare_bytewise(a, b);
    order = cmp->compare(cmp->context, ldb_internal_user_key(a),
                         ldb_internal_user_key(b));
    if (order != 0)
        return order;
    ta = ldb_internal_tag(a);
    tb = ldb_internal_tag(b);
    return (ta < tb) - (ta > tb);
}

/*
 * Shortened index keys: out (cleared first) gets a key with a <= out < b, or
 * one >= a: the comparator's separator or successor of the user keys with the
 * tag that sorts first, where that is shorter than a's user key and greater;
 * else a itself.
 */
LDB_MUST_CHECK enum ldb_status
ldb_internal_separator(const struct ldb_comparator *cmp, struct ldb_slice a,
                       struct ldb_slice b, struct ldb_buf *out);
LDB_MUST_CHECK enum ldb_status
ldb_internal_successor(const struct ldb_comparator *cmp, struct ldb_slice a,
                       struct ldb_buf *out);

/*
 * For messages: the key quoted, bytes outside printable ASCII as \xNN, cut
 * after 32 bytes; then "@sequence:kind". Appends to buf.
 */
LDB_MUST_CHECK enum ldb_status ldb_internal_key_describe(struct ldb_buf *buf,
                                                         struct ldb_slice key);

#endif
