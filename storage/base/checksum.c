#include "storage/base/checksum.h"

#include <isa-l/crc.h>

/* crc32_iscsi() takes an int. */
#define PIECE_MAX ((size_t)1 << 30)

/*
 * crc32_iscsi() is the bare division: neither the initial nor the final XOR of
 * CRC-32C is in it, so both are done here and a running value is unXORed first.
 */
uint32_t ldb_crc32c_extend(uint32_t crc, struct ldb_slice bytes)
{
    /* The library reads only; its parameter merely lacks the const. */
    unsigned char *p = (unsigned char *)(uintptr_t)bytes.data;
    size_t left = bytes.len;
    uint32_t state = ~crc;

    while (left > 0) {
        size_t piece = left < PIECE_MAX ? left : PIECE_MAX;

        state = crc32_iscsi(p, (int)piece, state);
        p += piece;
        left -= piece;
    }
    return ~state;
}

uint32_t ldb_crc32c(struct ldb_slice bytes)
{
    return ldb_crc32c_extend(0, bytes);
}
