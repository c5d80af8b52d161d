#include "storage/table/compression.h"

#include <snappy-c.h>

#include "storage/base/checked.h"
#include "storage/table/snappy_decode.h"

/*
 * The densest snappy element is a copy of 64 bytes in 3 (format description,
 * "copy with 2-byte offset"), so n bytes hold at most 64/3 n; rounded up.
 */
#define SNAPPY_RATIO_MAX 22

enum ldb_status ldb_snappy_compress(struct ldb_slice plain, struct ldb_buf *out)
{
    size_t len = snappy_max_compressed_length(plain.len);
    uint8_t *first;
    enum ldb_status s;

    ldb_buf_clear(out);
    s = ldb_buf_extend(out, len, &first);
    if (s != LDB_OK)
        return s;
    if (snappy_compress((const char *)plain.data, plain.len, (char *)first,
                        &len) != SNAPPY_OK) {
        ldb_buf_clear(out);
        return LDB_NO_MEMORY;
    }
    out->len = len;
    return LDB_OK;
}

/* Eight pieces of 32 KiB see a quarter of a MiB: chosen. */
#define SAMPLE_COUNT 8
#define SAMPLE_BYTES ((size_t)32 << 10)

enum ldb_status ldb_compression_try(struct ldb_slice plain,
                                    struct ldb_buf *scratch, bool *out_promises)
{
    size_t stored = 0;

    if (plain.len < LDB_COMPRESSION_SAMPLED_BYTES) {
        *out_promises = true;
        return LDB_OK;
    }
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        size_t offset = (plain.len - SAMPLE_BYTES) / (SAMPLE_COUNT - 1) * i;
        enum ldb_status s = ldb_snappy_compress(
            ldb_slice_make(plain.data + offset, SAMPLE_BYTES), scratch);

        if (s != LDB_OK)
            return s;
        stored += scratch->len;
    }
    *out_promises = ldb_compression_pays(SAMPLE_COUNT * SAMPLE_BYTES, stored);
    return LDB_OK;
}

bool ldb_snappy_plain_len(struct ldb_slice compressed, size_t limit,
                          size_t *out_len)
{
    struct ldb_reader r = ldb_reader_make(compressed);
    uint32_t len;
    size_t most;

    if (!ldb_reader_varint32(&r, &len))
        return false;
    if (!ldb_size_mul(compressed.len, SNAPPY_RATIO_MAX, &most))
        most = SIZE_MAX;
    if (len > limit || len > most)
        return false;
    *out_len = len;
    return true;
}

bool ldb_snappy_uncompress(struct ldb_slice compressed, uint8_t *out,
                           size_t plain_len)
{
    struct ldb_snappy_decoder decoder;

    return ldb_snappy_decoder_init(&decoder, compressed, plain_len, out,
                                   plain_len) &&
           ldb_snappy_decode(&decoder, plain_len);
}
