/*
 * The journal reader on any bytes. The first byte of the input chooses how:
 *
 *   bit 0  checksums of chunks are put right first, as far as the lengths in
 *          their headers lead, so that what is behind them is reached
 *   bit 1  checksums are not verified
 *   bit 2  records are limited to 100 bytes
 *   bit 3  the file gives few bytes a read
 *
 * Held: no byte is in two records, or in one and dropped or in the tail;
 * offsets grow and lie in the file; strict reading gives the same records up to
 * where it stops; a second reading gives the same.
 */
#include "storage/journal/journal_reader.h"

#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"

#define FIX_CHECKSUMS  1u
#define SKIP_CHECKSUMS 2u
#define SMALL_RECORDS  4u
#define SHORT_READS    8u

/* Chosen: so small that inputs pass it. */
#define RECORD_MAX_SMALL 100

/* Chosen: no divisor of a block. */
#define READ_MAX_SHORT 1000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* ---- the input as a file ---- */

struct source {
    struct ldb_sequential_file base;
    struct ldb_slice left;
    size_t read_max;
};

static enum ldb_status source_read(struct ldb_sequential_file *base, size_t n,
                                   uint8_t *scratch, size_t *out_len,
                                   struct ldb_error *err)
{
    struct source *source = (struct source *)base;

    (void)err;
    if (n > source->read_max)
        n = source->read_max;
    if (n > source->left.len)
        n = source->left.len;
    if (n != 0)
        memcpy(scratch, source->left.data, n);
    source->left = ldb_slice_make(source->left.data + n, source->left.len - n);
    *out_len = n;
    return LDB_OK;
}

static const struct ldb_sequential_file_ops source_ops = {.read = source_read};

static void fix_checksums(uint8_t *bytes, size_t len)
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

/* ---- one reading ---- */

struct result {
    enum ldb_status status;
    uint64_t records;
    uint64_t end_offset;
    uint64_t dropped;
    uint64_t tail;
    uint64_t in_records; /* bytes of their chunks */
    uint64_t told;       /* bytes that on_drop was called with */
    uint32_t digest;
};

static void count_drop(void *context, uint64_t offset, uint64_t bytes,
                       const char *reason)
{
    struct result *result = context;

    (void)offset;
    assert(reason != NULL);
    result->told += bytes;
}

/* stop_after: records to read at most. */
static struct result read_all(struct ldb_slice file, unsigned how, bool strict,
                              uint64_t stop_after)
{
    struct source source = {
        .base = {.ops = &source_ops},
        .left = file,
        .read_max = (how & SHORT_READS) != 0 ? READ_MAX_SHORT : SIZE_MAX,
    };
    struct result result = {.status = LDB_OK};
    struct ldb_journal_reader_options options = {
        .strict = strict,
        .skip_checksums = (how & SKIP_CHECKSUMS) != 0,
        .record_max = (how & SMALL_RECORDS) != 0 ? RECORD_MAX_SMALL : 0,
        .on_drop = count_drop,
        .context = &result,
    };
    struct ldb_journal_reader *reader;
    struct ldb_slice record;

    if (ldb_journal_reader_create(&source.base, "fuzz", &options, NULL,
                                  &reader) != LDB_OK)
        return result;
    while (result.records < stop_after &&
           (result.status = ldb_journal_reader_next(reader, NULL, &record)) ==
               LDB_OK) {
        uint64_t start = ldb_journal_reader_record_offset(reader);

        assert(start >= result.end_offset);
        result.end_offset = ldb_journal_reader_end_offset(reader);
        assert(result.end_offset <= file.len);
        assert(result.end_offset - start >=
               record.len + LDB_JOURNAL_HEADER_SIZE);
        assert(options.record_max == 0 || record.len <= options.record_max);
        result.in_records += result.end_offset - start;
        result.digest = ldb_crc32c_extend(result.digest, record);
        result.records++;
    }
    result.dropped = ldb_journal_reader_dropped_bytes(reader);
    result.tail = ldb_journal_reader_tail_bytes(reader);
    ldb_journal_reader_destroy(reader);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ldb_slice file;
    struct result lax;
    struct result strict;
    struct result again;
    uint8_t *copy;
    unsigned how;

    if (len == 0)
        return 0;
    how = bytes[0];
    copy = ldb_mem_dup(bytes + 1, len - 1);
    if (copy == NULL)
        return 0;
    if ((how & FIX_CHECKSUMS) != 0)
        fix_checksums(copy, len - 1);
    file = ldb_slice_make(copy, len - 1);

    lax = read_all(file, how, false, UINT64_MAX);
    assert(lax.status == LDB_NOT_FOUND);
    assert(lax.in_records + lax.dropped + lax.tail <= file.len);
    assert(lax.tail <= file.len - lax.end_offset);
    assert(lax.told >= lax.dropped);
    assert(lax.told <= lax.dropped + lax.tail);

    strict = read_all(file, how, true, UINT64_MAX);
    assert(strict.status == LDB_NOT_FOUND || strict.status == LDB_CORRUPTION);
    assert(strict.dropped == 0);
    assert((strict.status == LDB_NOT_FOUND) == (lax.dropped == 0));
    again = read_all(file, how ^ SHORT_READS, false, strict.records);
    assert(again.records == strict.records);
    assert(again.digest == strict.digest);
    ldb_mem_free(copy);
    return 0;
}
