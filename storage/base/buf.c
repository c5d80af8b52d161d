#include "storage/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "storage/base/checked.h"
#include "storage/base/mem.h"

/* Chosen: bytes of the first allocation, one cache line. */
#define FIRST_CAPACITY 64

/* Chosen: text up to this length is printed on the stack. */
#define PRINT_SIZE 512

enum ldb_status ldb_buf_reserve(struct ldb_buf *buf, size_t more)
{
    size_t need;
    size_t capacity;
    uint8_t *data;

    assert(buf->len <= buf->capacity);
    if (!ldb_size_add(buf->len, more, &need) || need > buf->limit)
        return LDB_TOO_LARGE;
    if (need <= buf->capacity)
        return LDB_OK;
    if (!ldb_size_mul(buf->capacity, 2, &capacity) || capacity > buf->limit)
        capacity = buf->limit;
    if (capacity < FIRST_CAPACITY && buf->limit >= FIRST_CAPACITY)
        capacity = FIRST_CAPACITY;
    if (capacity < need)
        capacity = need;
    data = ldb_mem_realloc(buf->data, capacity, 1);
    if (data == NULL)
        return LDB_NO_MEMORY;
    buf->data = data;
    buf->capacity = capacity;
    return LDB_OK;
}

enum ldb_status ldb_buf_extend(struct ldb_buf *buf, size_t len,
                               uint8_t **out_first)
{
    enum ldb_status s = ldb_buf_reserve(buf, len);

    if (s != LDB_OK)
        return s;
    *out_first = len == 0 ? buf->data : buf->data + buf->len;
    buf->len += len;
    return LDB_OK;
}

enum ldb_status ldb_buf_append(struct ldb_buf *buf, struct ldb_slice bytes)
{
    enum ldb_status s = ldb_buf_reserve(buf, bytes.len);

    if (s != LDB_OK || bytes.len == 0)
        return s;
    memcpy(buf->data + buf->len, bytes.data, bytes.len);
    buf->len += bytes.len;
    return LDB_OK;
}

enum ldb_status ldb_buf_append_byte(struct ldb_buf *buf, uint8_t byte)
{
    enum ldb_status s = ldb_buf_reserve(buf, 1);

    if (s != LDB_OK)
        return s;
    buf->data[buf->len++] = byte;
    return LDB_OK;
}

/*
 * Printed aside and copied: in place, vsnprintf would need a byte for its NUL
 * that the limit may not have.
 */
enum ldb_status ldb_buf_printf(struct ldb_buf *buf, const char *format, ...)
{
    char small[PRINT_SIZE];
    char *large = NULL;
    enum ldb_status s;
    va_list args;
    size_t len;
    int printed;

    va_start(args, format);
    printed = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (printed < 0)
        return LDB_TOO_LARGE;
    len = (size_t)printed;
    if (len < sizeof(small))
        return ldb_buf_append(buf, ldb_slice_make(small, len));

    s = ldb_buf_reserve(buf, len);
    if (s != LDB_OK)
        return s;
    large = ldb_mem_alloc(len + 1, 1);
    if (large == NULL)
        return LDB_NO_MEMORY;
    va_start(args, format);
    (void)vsnprintf(large, len + 1, format, args);
    va_end(args);
    s = ldb_buf_append(buf, ldb_slice_make(large, len));
    ldb_mem_free(large);
    return s;
}

enum ldb_status ldb_buf_assign(struct ldb_buf *buf, struct ldb_slice bytes)
{
    size_t old_len = buf->len;
    enum ldb_status s;

    buf->len = 0;
    s = ldb_buf_append(buf, bytes);
    if (s != LDB_OK)
        buf->len = old_len;
    return s;
}

void ldb_buf_release(struct ldb_buf *buf)
{
    if (buf == NULL)
        return;
    ldb_mem_free(buf->data);
    buf->data = NULL;
    buf->len = 0;
    buf->capacity = 0;
}
