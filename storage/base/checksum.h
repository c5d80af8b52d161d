/*
 * CRC-32C (Castagnoli) as the format uses it, and LevelDB's masking.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_BASE_CHECKSUM_H
#define STORAGE_BASE_CHECKSUM_H

#include "storage/base/slice.h"

/* Added by the mask; docs/formats.md "Checksums". */
#define LDB_CRC_MASK_DELTA UINT32_C(0xa282ead8)

/* CRC-32C of bytes. */
uint32_t ldb_crc32c(struct ldb_slice bytes);

/* CRC-32C of A followed by bytes, where crc is that of A. */
uint32_t ldb_crc32c_extend(uint32_t crc, struct ldb_slice bytes);

static inline uint32_t ldb_crc_mask(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + LDB_CRC_MASK_DELTA;
}

static inline uint32_t ldb_crc_unmask(uint32_t masked)
{
    uint32_t rotated = masked - LDB_CRC_MASK_DELTA;

    return (rotated >> 17) | (rotated << 15);
}

#endif
