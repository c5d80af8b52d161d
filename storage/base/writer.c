#include "storage/base/writer.h"

uint8_t *ldb_store_varint64(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

uint8_t *ldb_store_varint32(uint8_t *p, uint32_t v)
{
    return ldb_store_varint64(p, v);
}

size_t ldb_varint_len(uint64_t v)
{
    size_t len = 1;

    while (v >= 0x80) {
        v >>= 7;
        len++;
    }
    return len;
}

enum ldb_status ldb_put_fixed32(struct ldb_buf *buf, uint32_t v)
{
    uint8_t bytes[4];

    ldb_store_fixed32(bytes, v);
    return ldb_buf_append(buf, ldb_slice_make(bytes, sizeof(bytes)));
}

enum ldb_status ldb_put_fixed64(struct ldb_buf *buf, uint64_t v)
{
    uint8_t bytes[8];

    ldb_store_fixed64(bytes, v);
    return ldb_buf_append(buf, ldb_slice_make(bytes, sizeof(bytes)));
}

enum ldb_status ldb_put_varint64(struct ldb_buf *buf, uint64_t v)
{
    uint8_t bytes[LDB_VARINT64_MAX];
    uint8_t *end = ldb_store_varint64(bytes, v);

    return ldb_buf_append(buf, ldb_slice_make(bytes, (size_t)(end - bytes)));
}

enum ldb_status ldb_put_length_prefixed(struct ldb_buf *buf,
                                        struct ldb_slice bytes)
{
    size_t old_len = buf->len;
    enum ldb_status s = ldb_put_varint64(buf, bytes.len);

    if (s == LDB_OK)
        s = ldb_buf_append(buf, bytes);
    if (s != LDB_OK)
        buf->len = old_len;
    return s;
}
