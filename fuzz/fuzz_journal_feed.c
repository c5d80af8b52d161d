/*
 * The journal feed on any bytes. The first byte of the input chooses how:
 *
 *   bit 0      checksums of chunks are put right first, as far as the lengths
 *              in their headers lead, so that what is behind them is reached
 *   the rest   bytes of a cut, but 1
 *
 * Held: cuts change neither the records nor where it stops; what it takes is
 * there to the byte; a strict reader finds the same records in that, and no
 * tail.
 */
#include "storage/journal/journal_feed.h"

#include "fuzz/journal_input.h"
#include "storage/base/mem.h"
#include "storage/journal/journal_reader.h"

#define FIX_CHECKSUMS 1u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* ---- readings ---- */

struct result {
    enum ldb_status status;
    uint64_t records;
    uint64_t whole_end;
    uint32_t digest;
};

static void take_records(struct ldb_journal_feed *feed, struct ldb_slice file,
                         struct result *result)
{
    struct ldb_slice whole = ldb_journal_feed_whole(feed);
    struct ldb_slice record;

    assert(whole.len <= file.len - result->whole_end);
    assert(ldb_slice_equal(
        whole, ldb_slice_make(file.data + result->whole_end, whole.len)));
    while (ldb_journal_feed_next(feed, NULL, &record) == LDB_OK) {
        result->digest = ldb_crc32c_extend(result->digest, record);
        result->records++;
    }
    result->whole_end = ldb_journal_feed_whole_end(feed);
    ldb_journal_feed_take(feed);
}

static struct result feed_all(struct ldb_slice file, size_t cut)
{
    struct ldb_journal_feed *feed = ldb_journal_feed_create("fuzz", 0);
    struct result result = {.status = LDB_OK};

    for (size_t at = 0;
         feed != NULL && result.status == LDB_OK && at < file.len; at += cut) {
        size_t left = file.len - at;

        result.status = ldb_journal_feed_add(
            feed, ldb_slice_make(file.data + at, cut < left ? cut : left),
            NULL);
        take_records(feed, file, &result);
    }
    ldb_journal_feed_destroy(feed);
    return result;
}

static struct result read_all(struct ldb_slice file)
{
    const struct ldb_journal_reader_options options = {.strict = true};
    struct journal_input input = journal_input_make(file, false);
    struct result result = {.status = LDB_OK};
    struct ldb_journal_reader *reader;
    struct ldb_slice record;

    if (ldb_journal_reader_create(&input.base, "fuzz", &options, NULL,
                                  &reader) != LDB_OK)
        return result;
    while ((result.status = ldb_journal_reader_next(reader, NULL, &record)) ==
           LDB_OK) {
        result.digest = ldb_crc32c_extend(result.digest, record);
        result.records++;
    }
    assert(ldb_journal_reader_tail_bytes(reader) == 0);
    ldb_journal_reader_destroy(reader);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct result whole;
    struct result cut;
    struct result read;
    struct ldb_slice file;
    uint8_t *copy;

    if (len == 0)
        return 0;
    copy = ldb_mem_dup(bytes + 1, len - 1);
    if (copy == NULL)
        return 0;
    if ((bytes[0] & FIX_CHECKSUMS) != 0)
        journal_input_fix(copy, len - 1);
    file = ldb_slice_make(copy, len - 1);

    whole = feed_all(file, SIZE_MAX / 2);
    cut = feed_all(file, (size_t)(bytes[0] >> 1) + 1);
    assert(whole.status == cut.status);
    assert(whole.records == cut.records);
    assert(whole.digest == cut.digest);
    assert(whole.whole_end == cut.whole_end);
    read = read_all(ldb_slice_make(copy, (size_t)whole.whole_end));
    assert(read.status == LDB_NOT_FOUND);
    assert(read.records == whole.records);
    assert(read.digest == whole.digest);
    ldb_mem_free(copy);
    return 0;
}
