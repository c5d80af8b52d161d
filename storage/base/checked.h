/*
 * Arithmetic on numbers we did not make: false on overflow, *out untouched.
 */
#ifndef STORAGE_BASE_CHECKED_H
#define STORAGE_BASE_CHECKED_H

#include "storage/base/compiler.h"

LDB_MUST_CHECK static inline bool ldb_size_add(size_t a, size_t b, size_t *out)
{
    size_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

LDB_MUST_CHECK static inline bool ldb_size_mul(size_t a, size_t b, size_t *out)
{
    size_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

LDB_MUST_CHECK static inline bool ldb_u64_add(uint64_t a, uint64_t b,
                                              uint64_t *out)
{
    uint64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

LDB_MUST_CHECK static inline bool ldb_narrow_u32(uint64_t value, uint32_t *out)
{
    if (value > UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

/*
 * All of text as a decimal number: digits only, at least one, at most 20, no
 * sign or blank, no overflow.
 */
LDB_MUST_CHECK static inline bool ldb_parse_u64(struct ldb_slice text,
                                                uint64_t *out)
{
    uint64_t value = 0;

    if (text.len == 0 || text.len > 20)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

#endif
