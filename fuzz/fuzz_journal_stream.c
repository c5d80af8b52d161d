/*
 * The journal stream on any bytes. The first byte of the input chooses how:
 *
 *   bit 0  checksums of chunks are put right first, as far as the lengths in
 *          their headers lead, so that what is behind them is reached
 *   bit 1  the file gives few bytes a read
 *
 * Held: a stream that comes to the end of the bytes gave what the journal
 * reader, strict, and the batches in its records give; two streams give the
 * same.
 */
#include "storage/journal/journal_stream.h"

#include "storage/base/buf.h"
#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/write_batch.h"

#define FIX_CHECKSUMS 1u
#define SHORT_READS   2u

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

static void source_close(struct ldb_sequential_file *base)
{
    (void)base;
}

static const struct ldb_sequential_file_ops source_ops = {
    .read = source_read, .close = source_close};

static struct source source_make(struct ldb_slice bytes, unsigned how)
{
    return (struct source){.base = {.ops = &source_ops},
                           .left = bytes,
                           .read_max = (how & SHORT_READS) != 0 ? READ_MAX_SHORT
                                                                : SIZE_MAX};
}

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
            payload > left - LDB_JOURNAL_HEADER_SIZE) {
            at += left;
            continue;
        }
        ldb_store_fixed32(bytes + at, ldb_crc_mask(ldb_crc32c(ldb_slice_make(
                                          bytes + at + 6, payload + 1))));
        at += LDB_JOURNAL_HEADER_SIZE + payload;
    }
}

/* ---- what it gives ---- */

static void note(struct ldb_buf *out, uint64_t number)
{
    uint8_t bytes[8];

    ldb_store_fixed64(bytes, number);
    if (ldb_buf_append(out, ldb_slice_make(bytes, sizeof(bytes))) != LDB_OK)
        abort();
}

static void note_op(struct ldb_buf *out, ldb_sequence sequence,
                    enum ldb_kind kind, struct ldb_slice key,
                    struct ldb_slice value)
{
    note(out, sequence);
    note(out, (uint64_t)kind);
    note(out, key.len);
    note(out, value.len);
    if (ldb_buf_append(out, key) != LDB_OK ||
        ldb_buf_append(out, value) != LDB_OK)
        abort();
}

static enum ldb_status stream_all(struct ldb_slice bytes, unsigned how,
                                  struct ldb_buf *out)
{
    struct source source = source_make(bytes, how);
    struct ldb_journal_stream *stream = NULL;
    struct ldb_journal_op op;
    enum ldb_status s;

    if (ldb_journal_stream_create(&source.base, "fuzz", 0, NULL, &stream) !=
        LDB_OK)
        abort();
    while ((s = ldb_journal_stream_next(stream, bytes.len, NULL, &op)) ==
           LDB_OK)
        note_op(out, op.sequence, op.kind, op.key, op.value);
    assert(ldb_journal_stream_offset(stream) <= bytes.len);
    ldb_journal_stream_destroy(stream);
    return s;
}

static void read_all(struct ldb_slice bytes, struct ldb_buf *out)
{
    const struct ldb_journal_reader_options options = {.strict = true};
    struct source source = source_make(bytes, 0);
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record;
    enum ldb_status s;

    if (ldb_journal_reader_create(&source.base, "fuzz", &options, NULL,
                                  &reader) != LDB_OK)
        abort();
    while ((s = ldb_journal_reader_next(reader, NULL, &record)) == LDB_OK) {
        struct ldb_batch_cursor cursor = ldb_batch_cursor_make(record);
        struct ldb_batch_op op;
        ldb_sequence sequence = 0;

        assert(ldb_batch_check(record, NULL, &sequence, NULL) == LDB_OK);
        while (ldb_batch_cursor_next(&cursor, &op))
            note_op(out, sequence++, op.kind, op.key, op.value);
    }
    assert(s == LDB_NOT_FOUND);
    ldb_journal_reader_destroy(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ldb_buf first = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_buf second = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_buf read = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_slice input;
    uint8_t *copy;
    enum ldb_status s;

    if (len == 0)
        return 0;
    copy = ldb_mem_dup(bytes + 1, len - 1);
    if (copy == NULL)
        abort();
    if ((bytes[0] & FIX_CHECKSUMS) != 0)
        fix_checksums(copy, len - 1);
    input = ldb_slice_make(copy, len - 1);
    s = stream_all(input, bytes[0], &first);
    assert(s == LDB_NOT_FOUND || s == LDB_CORRUPTION);
    assert(stream_all(input, bytes[0] ^ SHORT_READS, &second) == s);
    assert(
        ldb_slice_equal(ldb_slice_of_buf(&first), ldb_slice_of_buf(&second)));
    if (s == LDB_NOT_FOUND) {
        read_all(input, &read);
        assert(
            ldb_slice_equal(ldb_slice_of_buf(&first), ldb_slice_of_buf(&read)));
    }
    ldb_buf_release(&first);
    ldb_buf_release(&second);
    ldb_buf_release(&read);
    ldb_mem_free(copy);
    return 0;
}
