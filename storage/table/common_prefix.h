/*
 * How many bytes two keys have in common at their beginnings, by words: for
 * building blocks and for seeking in them.
 */
#ifndef STORAGE_TABLE_COMMON_PREFIX_H
#define STORAGE_TABLE_COMMON_PREFIX_H

#include "storage/base/writer.h"

/* At most most, which both have. */
static inline size_t ldb_common_prefix(const uint8_t *a, const uint8_t *b,
                                       size_t most)
{
    size_t i = 0;

    /* The lowest differing byte of a little-endian word is the first. */
    for (; most - i >= 8; i += 8) {
        uint64_t differing = ldb_load_fixed64(a + i) ^ ldb_load_fixed64(b + i);

        if (differing != 0)
            return i + (size_t)__builtin_ctzll(differing) / 8;
    }
    while (i < most && a[i] == b[i])
        i++;
    return i;
}

#endif
