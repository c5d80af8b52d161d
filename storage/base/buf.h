/*
 * Owned bytes that grow, never past their limit (struct ldb_buf is in
 * ldb_types.h). Growth doubles. On failure the buffer is unchanged.
 *
 * Errors: TOO_LARGE past the limit, NO_MEMORY.
 * Thread-safety: one caller at a time per buffer.
 */
#ifndef STORAGE_BASE_BUF_H
#define STORAGE_BASE_BUF_H

#include "storage/base/slice.h"

/* Room for at least more bytes after len. */
LDB_MUST_CHECK enum ldb_status ldb_buf_reserve(struct ldb_buf *buf,
                                               size_t more);

LDB_MUST_CHECK enum ldb_status ldb_buf_append_byte(struct ldb_buf *buf,
                                                   uint8_t byte);

/* Appends printed text without its NUL. */
LDB_MUST_CHECK enum ldb_status ldb_buf_printf(struct ldb_buf *buf,
                                              const char *format, ...)
    LDB_PRINTF(2, 3);

/* Replaces the content by a copy. */
LDB_MUST_CHECK enum ldb_status ldb_buf_assign(struct ldb_buf *buf,
                                              struct ldb_slice bytes);

/* Appends len uninitialised bytes and points at the first. */
LDB_MUST_CHECK enum ldb_status ldb_buf_extend(struct ldb_buf *buf, size_t len,
                                              uint8_t **out_first);

/* len becomes 0, memory stays. */
static inline void ldb_buf_clear(struct ldb_buf *buf)
{
    buf->len = 0;
}

#endif
