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

#include "fuzz/journal_input.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/write_batch.h"

#define FIX_CHECKSUMS 1u
#define SHORT_READS   2u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

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
    struct journal_input input =
        journal_input_make(bytes, (how & SHORT_READS) != 0);
    struct ldb_journal_stream *stream = NULL;
    struct ldb_journal_op op;
    enum ldb_status s;

    if (ldb_journal_stream_create(&input.base, "fuzz", 0, NULL, &stream) !=
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
    struct journal_input input = journal_input_make(bytes, false);
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record;
    enum ldb_status s;

    if (ldb_journal_reader_create(&input.base, "fuzz", &options, NULL,
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
        journal_input_fix(copy, len - 1);
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
