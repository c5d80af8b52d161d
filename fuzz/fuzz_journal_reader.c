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

#include "fuzz/journal_input.h"
#include "storage/base/mem.h"

#define FIX_CHECKSUMS  1u
#define SKIP_CHECKSUMS 2u
#define SMALL_RECORDS  4u
#define SHORT_READS    8u

/* Chosen: so small that inputs pass it. */
#define RECORD_MAX_SMALL 100

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

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
    struct journal_input input =
        journal_input_make(file, (how & SHORT_READS) != 0);
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

    if (ldb_journal_reader_create(&input.base, "fuzz", &options, NULL,
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
        journal_input_fix(copy, len - 1);
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
