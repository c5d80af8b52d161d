/* Borrowed bytes: the small inline operations. Bytewise, never str*. */
#ifndef STORAGE_BASE_SLICE_H
#define STORAGE_BASE_SLICE_H

#include <string.h>

#include "storage/base/compiler.h"

/* The bytes of a NUL-terminated string, without the NUL. */
static inline struct ldb_slice ldb_slice_str(const char *text)
{
    return (struct ldb_slice){.data = (const uint8_t *)text,
                              .len = strlen(text)};
}

static inline struct ldb_slice ldb_slice_make(const void *data, size_t len)
{
    return (struct ldb_slice){.data = data, .len = len};
}

static inline struct ldb_slice ldb_slice_of_buf(const struct ldb_buf *buf)
{
    return (struct ldb_slice){.data = buf->data, .len = buf->len};
}

/* Unsigned bytes, shorter first: <0, 0, >0. The bytewise comparator's order. */
static inline int ldb_slice_compare(struct ldb_slice a, struct ldb_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static inline bool ldb_slice_equal(struct ldb_slice a, struct ldb_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool ldb_slice_starts_with(struct ldb_slice s,
                                         struct ldb_slice prefix)
{
    return s.len >= prefix.len &&
           (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

#endif
