/*
 * What the fuzz targets of journals share: the input as a file, and checksums
 * that are right, so that what lies behind them is reached.
 */
#ifndef FUZZ_JOURNAL_INPUT_H
#define FUZZ_JOURNAL_INPUT_H

#include <string.h>

#include "storage/base/checksum.h"
#include "storage/base/env.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"

/* Bytes of a short read; chosen: no divisor of a block. */
#define JOURNAL_INPUT_SHORT 1000

struct journal_input {
    struct ldb_sequential_file base;
    struct ldb_slice left;
    size_t read_max; /* bytes that one read gives at most */
};

static inline enum ldb_status
journal_input_read(struct ldb_sequential_file *base, size_t n, uint8_t *scratch,
                   size_t *out_len, struct ldb_error *err)
{
    struct journal_input *input = (struct journal_input *)base;

    (void)err;
    if (n > input->read_max)
        n = input->read_max;
    if (n > input->left.len)
        n = input->left.len;
    if (n != 0)
        memcpy(scratch, input->left.data, n);
    input->left = ldb_slice_make(input->left.data + n, input->left.len - n);
    *out_len = n;
    return LDB_OK;
}

static inline void journal_input_close(struct ldb_sequential_file *base)
{
    (void)base;
}

/* The bytes are borrowed. */
static inline struct journal_input journal_input_make(struct ldb_slice bytes,
                                                      bool is_short)
{
    static const struct ldb_sequential_file_ops ops = {
        .read = journal_input_read, .close = journal_input_close};

    return (struct journal_input){.base = {.ops = &ops},
                                  .left = bytes,
                                  .read_max = is_short ? JOURNAL_INPUT_SHORT
                                                       : SIZE_MAX};
}

/* Puts the checksums of chunks right, as far as the lengths in their headers
 * lead. */
static inline void journal_input_fix(uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (len - at >= LDB_JOURNAL_HEADER_SIZE) {
        size_t block_left =
            LDB_JOURNAL_BLOCK_SIZE - at % LDB_JOURNAL_BLOCK_SIZE;
        size_t left = block_left < len - at ? block_left : len - at;
        size_t payload = 0;

        if (left >= LDB_JOURNAL_HEADER_SIZE)
            payload = (size_t)bytes[at + 4] | (size_t)bytes[at + 5] << 8;
        if (left < LDB_JOURNAL_HEADER_SIZE ||
            payload > left - LDB_JOURNAL_HEADER_SIZE ||
            (payload == 0 && bytes[at + 6] == LDB_CHUNK_ZERO)) {
            at += left;
            continue;
        }
        ldb_store_fixed32(bytes + at, ldb_crc_mask(ldb_crc32c(ldb_slice_make(
                                          bytes + at + 6, payload + 1))));
        at += LDB_JOURNAL_HEADER_SIZE + payload;
    }
}

#endif
