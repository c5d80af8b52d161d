#include "storage/journal/journal_reader.h"

#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"
#include "storage/journal/journal_writer.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/memory_file.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define BLOCK  ((size_t)LDB_JOURNAL_BLOCK_SIZE)
#define HEADER ((size_t)LDB_JOURNAL_HEADER_SIZE)

/* Text of records and drops; chosen: more than any row has. */
#define TEXT_MAX 65536

/* ---- files by hand: no code of the writer's ---- */

enum step_kind {
    STEP_END,
    STEP_CHUNK,    /* of type, payload text */
    STEP_BAD,      /* the same with a wrong checksum */
    STEP_FILL,     /* one chunk of type that leaves n bytes in the block */
    STEP_ZEROS,    /* n of them */
    STEP_TO_BLOCK, /* zeros to the end of the block */
    STEP_GARBAGE,  /* 0xa5 n times */
    STEP_LENGTH,   /* a header of FULL that says n bytes */
    STEP_CUT,      /* the last n bytes go */
    STEP_SPOIL,    /* the last n bytes become zeros */
};

struct step {
    enum step_kind kind;
    uint8_t type;
    const char *text;
    size_t n;
};

#define CHUNK(type, text)                                                      \
    {                                                                          \
        STEP_CHUNK, LDB_CHUNK_##type, text, 0                                  \
    }
#define ODD(number, text)                                                      \
    {                                                                          \
        STEP_CHUNK, number, text, 0                                            \
    }
#define BAD(type, text)                                                        \
    {                                                                          \
        STEP_BAD, LDB_CHUNK_##type, text, 0                                    \
    }
#define FILL(n)                                                                \
    {                                                                          \
        STEP_FILL, LDB_CHUNK_FULL, NULL, n                                     \
    }
#define FILL_AS(type, n)                                                       \
    {                                                                          \
        STEP_FILL, LDB_CHUNK_##type, NULL, n                                   \
    }
#define STEP(kind, n)                                                          \
    {                                                                          \
        STEP_##kind, 0, NULL, n                                                \
    }

static void append_chunk(struct ldb_buf *file, uint8_t type,
                         struct ldb_slice payload, uint32_t spoil)
{
    uint8_t *p;

    assert_ldb_ok(ldb_buf_extend(file, HEADER + payload.len, &p), NULL);
    p[4] = (uint8_t)payload.len;
    p[5] = (uint8_t)(payload.len >> 8);
    p[6] = type;
    if (payload.len != 0)
        memcpy(p + HEADER, payload.data, payload.len);
    ldb_store_fixed32(p, spoil ^ ldb_crc_mask(ldb_crc32c(
                                     ldb_slice_make(p + 6, payload.len + 1))));
}

static void append_same(struct ldb_buf *file, uint8_t byte, size_t n)
{
    uint8_t *p;

    assert_ldb_ok(ldb_buf_extend(file, n, &p), NULL);
    if (n != 0)
        memset(p, byte, n);
}

static void append_step(struct ldb_buf *file, const struct step *step)
{
    static uint8_t filler[LDB_JOURNAL_BLOCK_SIZE];
    size_t left = BLOCK - file->len % BLOCK;

    memset(filler, 'f', sizeof(filler));
    switch (step->kind) {
    case STEP_END:
        break;
    case STEP_CHUNK:
        append_chunk(file, step->type, ldb_slice_str(step->text), 0);
        break;
    case STEP_BAD:
        append_chunk(file, step->type, ldb_slice_str(step->text), 1);
        break;
    case STEP_FILL:
        append_chunk(file, step->type,
                     ldb_slice_make(filler, left - HEADER - step->n), 0);
        break;
    case STEP_ZEROS:
        append_same(file, 0, step->n);
        break;
    case STEP_TO_BLOCK:
        append_same(file, 0, left % BLOCK);
        break;
    case STEP_GARBAGE:
        append_same(file, 0xa5, step->n);
        break;
    case STEP_LENGTH:
        append_chunk(file, LDB_CHUNK_FULL, (struct ldb_slice){0}, 0);
        file->data[file->len - 3] = (uint8_t)step->n;
        file->data[file->len - 2] = (uint8_t)(step->n >> 8);
        break;
    case STEP_CUT:
        file->len -= step->n;
        break;
    case STEP_SPOIL:
        memset(file->data + file->len - step->n, 0, step->n);
        break;
    }
}

/* ---- reading whole files ---- */

struct found {
    struct ldb_buf records; /* "a bcd [32761] " */
    struct ldb_buf drops;   /* "REASON at OFFSET: BYTES; " */
    uint64_t dropped;
    uint64_t tail;
    uint64_t end_offset;
    enum ldb_status status; /* NOT_FOUND: read to the end */
    struct ldb_error err;
};

static void note_drop(void *context, uint64_t offset, uint64_t bytes,
                      const char *reason)
{
    struct found *found = context;

    assert_ldb_ok(ldb_buf_printf(&found->drops, "%s at %llu: %llu; ", reason,
                                 (unsigned long long)offset,
                                 (unsigned long long)bytes),
                  NULL);
}

static void note_record(struct found *found, struct ldb_slice record)
{
    if (record.len > 20)
        assert_ldb_ok(ldb_buf_printf(&found->records, "[%zu] ", record.len),
                      NULL);
    else
        assert_ldb_ok(ldb_buf_printf(&found->records, "%.*s ", (int)record.len,
                                     (const char *)record.data),
                      NULL);
}

static void read_source(struct memory_source *source,
                        struct ldb_journal_reader_options options,
                        struct found *found)
{
    struct ldb_journal_reader *reader;
    struct ldb_slice record;
    uint64_t last = 0;

    *found = (struct found){.records = LDB_BUF_INIT(TEXT_MAX),
                            .drops = LDB_BUF_INIT(TEXT_MAX)};
    options.on_drop = note_drop;
    options.context = found;
    assert_ldb_ok(ldb_journal_reader_create(&source->base, "000007.log",
                                            &options, &found->err, &reader),
                  &found->err);
    for (;;) {
        found->status = ldb_journal_reader_next(reader, &found->err, &record);
        if (found->status != LDB_OK)
            break;
        note_record(found, record);
        assert_true(ldb_journal_reader_record_offset(reader) >= last);
        last = ldb_journal_reader_end_offset(reader);
        assert_true(last >= ldb_journal_reader_record_offset(reader) + HEADER +
                                record.len);
    }
    /* The end is the end. */
    assert_ldb_status(found->status,
                      ldb_journal_reader_next(reader, NULL, &record), NULL);
    found->dropped = ldb_journal_reader_dropped_bytes(reader);
    found->tail = ldb_journal_reader_tail_bytes(reader);
    found->end_offset = ldb_journal_reader_end_offset(reader);
    ldb_journal_reader_destroy(reader);
}

static void read_bytes(struct ldb_slice bytes, bool strict, struct found *found)
{
    struct memory_source source;

    memory_source_init(&source, bytes);
    read_source(&source, (struct ldb_journal_reader_options){.strict = strict},
                found);
}

static void found_release(struct found *found)
{
    ldb_buf_release(&found->records);
    ldb_buf_release(&found->drops);
}

static void assert_text(const char *expected, const struct ldb_buf *actual)
{
    assert_ldb_slice(ldb_slice_str(expected), ldb_slice_of_buf(actual));
}

/* ---- docs/formats.md, row by row ---- */

#define STEPS_MAX 10

static const struct row {
    const char *what;
    struct step steps[STEPS_MAX];
    const char *records;
    const char *drops;
    uint64_t dropped;
    uint64_t tail;
    const char *strict_error; /* NULL: strict reads the same */
    const char *strict_records;
} rows[] = {
    {"nothing", {{0}}, "", "", 0, 0, NULL, NULL},
    {"records in one chunk",
     {CHUNK(FULL, "a"), CHUNK(FULL, ""), CHUNK(FULL, "bcd")},
     "a  bcd ",
     "",
     0,
     0,
     NULL,
     NULL},
    {"records in several chunks",
     {CHUNK(FIRST, "a"), CHUNK(MIDDLE, "b"), CHUNK(MIDDLE, "c"),
      CHUNK(LAST, "d"), CHUNK(FIRST, "e"), CHUNK(LAST, "f")},
     "abcd ef ",
     "",
     0,
     0,
     NULL,
     NULL},

    /* block ends */
    {"a record to the block's end",
     {FILL(0), CHUNK(FULL, "a")},
     "[32761] a ",
     "",
     0,
     0,
     NULL,
     NULL},
    {"an empty FIRST in seven bytes",
     {FILL(7), CHUNK(FIRST, ""), CHUNK(LAST, "a"), CHUNK(FULL, "b")},
     "[32754] a b ",
     "",
     0,
     0,
     NULL,
     NULL},
    {"an empty record in seven bytes",
     {FILL(7), CHUNK(FULL, ""), CHUNK(FULL, "b")},
     "[32754]  b ",
     "",
     0,
     0,
     NULL,
     NULL},
    {"an empty FIRST and the record anew in the next block",
     {FILL(7), CHUNK(FIRST, ""), CHUNK(FULL, "a")},
     "[32754] a ",
     "",
     0,
     0,
     NULL,
     NULL},
    {"six bytes of padding",
     {FILL(6), STEP(TO_BLOCK, 0), CHUNK(FULL, "a")},
     "[32755] a ",
     "",
     0,
     0,
     NULL,
     NULL},
    {"one byte of padding",
     {FILL(1), STEP(TO_BLOCK, 0), CHUNK(FULL, "a")},
     "[32760] a ",
     "",
     0,
     0,
     NULL,
     NULL},
    {"padding that is not zeros",
     {FILL(6), STEP(GARBAGE, 6), CHUNK(FULL, "a")},
     "[32755] a ",
     "",
     0,
     0,
     NULL,
     NULL},
    {"padding and no more",
     {FILL(6), STEP(TO_BLOCK, 0)},
     "[32755] ",
     "",
     0,
     6,
     NULL,
     NULL},
    {"padding cut short",
     {FILL(6), STEP(ZEROS, 4)},
     "[32755] ",
     "",
     0,
     4,
     NULL,
     NULL},
    {"padding not there", {FILL(6)}, "[32755] ", "", 0, 0, NULL, NULL},

    /* fewer than 7 bytes at the end of the file */
    {"one byte of a header",
     {CHUNK(FULL, "a"), STEP(GARBAGE, 1)},
     "a ",
     "",
     0,
     1,
     NULL,
     NULL},
    {"six bytes of a header",
     {CHUNK(FULL, "a"), STEP(GARBAGE, 6)},
     "a ",
     "",
     0,
     6,
     NULL,
     NULL},
    {"nothing but half a header", {STEP(GARBAGE, 3)}, "", "", 0, 3, NULL, NULL},

    /* chunk longer than what the file has left */
    {"a chunk cut short",
     {CHUNK(FULL, "a"), CHUNK(FULL, "bcd"), STEP(CUT, 1)},
     "a ",
     "",
     0,
     9,
     NULL,
     NULL},
    {"a chunk cut to its header",
     {CHUNK(FULL, "a"), CHUNK(FULL, "bcd"), STEP(CUT, 3)},
     "a ",
     "",
     0,
     7,
     NULL,
     NULL},
    {"a LAST cut short",
     {CHUNK(FULL, "a"), FILL_AS(FIRST, 0), CHUNK(LAST, "bcd"), STEP(CUT, 1)},
     "a ",
     "",
     0,
     32768 - 8 + 9,
     NULL,
     NULL},

    /* chunk longer than a full block has left */
    {"a length over its block",
     {CHUNK(FULL, "a"), STEP(LENGTH, 32761), STEP(TO_BLOCK, 0),
      CHUNK(FULL, "b")},
     "a b ",
     "chunk longer than its block at 8: 32760; ",
     32760,
     0,
     "000007.log: chunk longer than its block at offset 8",
     "a "},
    {"a length over the last block, which is full",
     {CHUNK(FULL, "a"), STEP(LENGTH, 32761), STEP(TO_BLOCK, 0)},
     "a ",
     "chunk longer than its block at 8: 32760; ",
     0,
     32760,
     NULL,
     NULL},
    {"a length over a block, inside a record",
     {CHUNK(FIRST, "a"), STEP(LENGTH, 65535), STEP(TO_BLOCK, 0),
      CHUNK(LAST, "b"), CHUNK(FULL, "c")},
     "c ",
     "chunk longer than its block at 0: 32776; ",
     32776,
     0,
     "chunk longer than its block at offset 0",
     ""},

    /* file ends inside a record */
    {"a FIRST at the end",
     {CHUNK(FULL, "a"), CHUNK(FIRST, "b")},
     "a ",
     "",
     0,
     8,
     NULL,
     NULL},
    {"an empty FIRST at the end",
     {FILL(7), CHUNK(FIRST, "")},
     "[32754] ",
     "",
     0,
     7,
     NULL,
     NULL},
    {"a MIDDLE at the end",
     {CHUNK(FULL, "a"), CHUNK(FIRST, "b"), CHUNK(MIDDLE, "c")},
     "a ",
     "",
     0,
     16,
     NULL,
     NULL},
    {"a FIRST and half a header",
     {CHUNK(FULL, "a"), CHUNK(FIRST, "b"), STEP(GARBAGE, 2)},
     "a ",
     "",
     0,
     10,
     NULL,
     NULL},

    /* 7 zero bytes as a header */
    {"zeros to the end",
     {CHUNK(FULL, "a"), STEP(ZEROS, 100)},
     "a ",
     "",
     0,
     100,
     NULL,
     NULL},
    {"zeros over blocks to the end",
     {CHUNK(FULL, "a"), STEP(ZEROS, 100000)},
     "a ",
     "",
     0,
     100000,
     NULL,
     NULL},
    {"nothing but zeros", {STEP(ZEROS, 32768)}, "", "", 0, 32768, NULL, NULL},
    {"a FIRST and zeros to the end",
     {CHUNK(FULL, "a"), CHUNK(FIRST, "b"), STEP(ZEROS, 40000)},
     "a ",
     "",
     0,
     40008,
     NULL,
     NULL},
    {"zeros to the block's end, and a record",
     {CHUNK(FULL, "a"), STEP(TO_BLOCK, 0), CHUNK(FULL, "b")},
     "a b ",
     "zeroed bytes at 8: 32760; ",
     32760,
     0,
     "zeroed bytes at offset 8",
     "a "},
    {"blocks of zeros, and a record",
     {CHUNK(FULL, "a"), STEP(TO_BLOCK, 0), STEP(ZEROS, 65536),
      CHUNK(FULL, "b")},
     "a b ",
     "zeroed bytes at 8: 98296; ",
     98296,
     0,
     "zeroed bytes at offset 8",
     "a "},
    {"zeros inside a record",
     {CHUNK(FULL, "a"), CHUNK(FIRST, "b"), STEP(TO_BLOCK, 0), CHUNK(LAST, "c"),
      CHUNK(FULL, "d")},
     "a d ",
     "chunk without the start of its record at 8: 32768; ",
     32768,
     0,
     "chunk without the start of its record at offset 8",
     "a "},
    {"a header of zeros before other bytes",
     {CHUNK(FULL, "a"), STEP(ZEROS, 7), CHUNK(FULL, "x"), STEP(TO_BLOCK, 0),
      CHUNK(FULL, "b")},
     "a b ",
     "zeroed bytes at 8: 32760; ",
     32760,
     0,
     "zeroed bytes at offset 8",
     "a "},
    {"a header of zeros before other bytes at the end",
     {CHUNK(FULL, "a"), STEP(ZEROS, 7), STEP(GARBAGE, 10)},
     "a ",
     "zeroed bytes at 8: 17; ",
     0,
     17,
     NULL,
     NULL},

    /* type 0 with a length, or over 4 */
    {"an unknown type, sound",
     {CHUNK(FULL, "a"), ODD(5, "xy"), CHUNK(FULL, "b")},
     "a b ",
     "unknown chunk type at 8: 9; ",
     9,
     0,
     "unknown chunk type at offset 8",
     "a "},
    {"type 0 with a length, sound",
     {CHUNK(FULL, "a"), ODD(0, "xy"), CHUNK(FULL, "b")},
     "a b ",
     "unknown chunk type at 8: 9; ",
     9,
     0,
     "unknown chunk type at offset 8",
     "a "},
    {"type 0 without a length, its checksum right",
     {CHUNK(FULL, "a"), ODD(0, ""), CHUNK(FULL, "b")},
     "a b ",
     "unknown chunk type at 8: 7; ",
     7,
     0,
     "unknown chunk type at offset 8",
     "a "},
    {"an unknown type inside a record",
     {CHUNK(FIRST, "a"), ODD(255, "xy"), CHUNK(LAST, "b"), CHUNK(FULL, "c")},
     "c ",
     "unknown chunk type at 0: 25; ",
     25,
     0,
     "unknown chunk type at offset 0",
     ""},
    {"an unknown type at the end",
     {CHUNK(FULL, "a"), ODD(5, "xy")},
     "a ",
     "unknown chunk type at 8: 9; ",
     0,
     9,
     NULL,
     NULL},
    {"an unknown type, its checksum wrong",
     {CHUNK(FULL, "a"),
      {STEP_BAD, 9, "xy", 0},
      CHUNK(FULL, "x"),
      STEP(TO_BLOCK, 0),
      CHUNK(FULL, "b")},
     "a b ",
     "checksum mismatch at 8: 32760; ",
     32760,
     0,
     "checksum mismatch at offset 8",
     "a "},

    /* checksum wrong */
    {"a wrong checksum takes the block with it",
     {CHUNK(FULL, "a"), BAD(FULL, "x"), CHUNK(FULL, "y"), STEP(TO_BLOCK, 0),
      CHUNK(FULL, "b")},
     "a b ",
     "checksum mismatch at 8: 32760; ",
     32760,
     0,
     "checksum mismatch at offset 8",
     "a "},
    {"a wrong checksum before a record in the last block",
     {CHUNK(FULL, "a"), BAD(FULL, "x"), CHUNK(FULL, "y")},
     "a ",
     "checksum mismatch at 8: 16; ",
     16,
     0,
     "checksum mismatch at offset 8",
     "a "},
    {"a wrong checksum before a FIRST in the last block",
     {BAD(FULL, "x"), CHUNK(FIRST, "y")},
     "",
     "checksum mismatch at 0: 16; ",
     16,
     0,
     "checksum mismatch at offset 0",
     ""},
    {"a wrong checksum, its record's end, and a record, in the last block",
     {BAD(FIRST, "x"), CHUNK(MIDDLE, "y"), ODD(7, ""), CHUNK(LAST, "z"),
      CHUNK(FULL, "b")},
     "",
     "checksum mismatch at 0: 39; ",
     39,
     0,
     "checksum mismatch at offset 0",
     ""},
    {"a wrong checksum in the last chunk",
     {CHUNK(FULL, "a"), BAD(FULL, "xyz")},
     "a ",
     "checksum mismatch at 8: 10; ",
     0,
     10,
     NULL,
     NULL},
    {"the last chunk, part of it zeros",
     {CHUNK(FULL, "a"), CHUNK(FULL, "0123456789"), STEP(SPOIL, 5)},
     "a ",
     "checksum mismatch at 8: 17; ",
     0,
     17,
     NULL,
     NULL},
    {"the last chunk, part of it zeros, and zeros after it",
     {CHUNK(FULL, "a"), CHUNK(FULL, "0123456789"), STEP(SPOIL, 5),
      STEP(ZEROS, 50)},
     "a ",
     "checksum mismatch at 8: 67; ",
     0,
     67,
     NULL,
     NULL},
    {"two wrong checksums at the end",
     {CHUNK(FULL, "a"), BAD(FULL, "x"), BAD(FULL, "y")},
     "a ",
     "checksum mismatch at 8: 16; ",
     0,
     16,
     NULL,
     NULL},
    {"a wrong checksum inside a record",
     {CHUNK(FULL, "a"), CHUNK(FIRST, "b"), BAD(MIDDLE, "c"), CHUNK(LAST, "d"),
      STEP(TO_BLOCK, 0), CHUNK(FULL, "e")},
     "a e ",
     "checksum mismatch at 8: 32760; ",
     32760,
     0,
     "checksum mismatch at offset 8",
     "a "},
    {"the last record, its blocks written out of order",
     {CHUNK(FULL, "a"), FILL_AS(FIRST, 0), STEP(ZEROS, 32768),
      STEP(GARBAGE, 32768), CHUNK(LAST, "b")},
     "a ",
     "chunk longer than its block at 8: 98304; ",
     0,
     98304,
     NULL,
     NULL},
    {"a record, its blocks written out of order, and another",
     {CHUNK(FULL, "a"), FILL_AS(FIRST, 0), STEP(ZEROS, 32768), CHUNK(LAST, "b"),
      CHUNK(FULL, "c")},
     "a c ",
     "chunk without the start of its record at 8: 65536; ",
     65536,
     0,
     "chunk without the start of its record at offset 8",
     "a "},

    /* MIDDLE or LAST without FIRST */
    {"a MIDDLE without a FIRST",
     {CHUNK(MIDDLE, "x"), CHUNK(FULL, "a")},
     "a ",
     "chunk without the start of its record at 0: 8; ",
     8,
     0,
     "chunk without the start of its record at offset 0",
     ""},
    {"a LAST without a FIRST",
     {CHUNK(FULL, "a"), CHUNK(LAST, "x"), CHUNK(FULL, "b")},
     "a b ",
     "chunk without the start of its record at 8: 8; ",
     8,
     0,
     "chunk without the start of its record at offset 8",
     "a "},
    {"a MIDDLE and a LAST without a FIRST are one run",
     {CHUNK(MIDDLE, "x"), CHUNK(LAST, "y"), CHUNK(FULL, "a")},
     "a ",
     "chunk without the start of its record at 0: 16; ",
     16,
     0,
     "chunk without the start of its record at offset 0",
     ""},
    {"a LAST without a FIRST at the end",
     {CHUNK(FULL, "a"), CHUNK(LAST, "x")},
     "a ",
     "chunk without the start of its record at 8: 8; ",
     0,
     8,
     NULL,
     NULL},

    /* FIRST or FULL inside a record */
    {"FULL inside a record",
     {CHUNK(FIRST, "x"), CHUNK(FULL, "a")},
     "a ",
     "record without its end at 0: 8; ",
     8,
     0,
     "record without its end at offset 0",
     ""},
    {"FIRST inside a record",
     {CHUNK(FIRST, "x"), CHUNK(MIDDLE, "y"), CHUNK(FIRST, "a"),
      CHUNK(LAST, "b")},
     "ab ",
     "record without its end at 0: 16; ",
     16,
     0,
     "record without its end at offset 0",
     ""},
    {"an empty FIRST inside an empty FIRST",
     {CHUNK(FIRST, ""), CHUNK(FIRST, ""), CHUNK(LAST, "a")},
     "a ",
     "",
     0,
     0,
     NULL,
     NULL},

    /* several runs */
    {"two runs of damage",
     {CHUNK(LAST, "x"), CHUNK(FULL, "a"), CHUNK(FIRST, "y"), CHUNK(FULL, "b"),
      BAD(FULL, "z")},
     "a b ",
     "chunk without the start of its record at 0: 8; "
     "record without its end at 16: 8; checksum mismatch at 32: 8; ",
     16,
     8,
     "chunk without the start of its record at offset 0",
     ""},
};

static void build(const struct step steps[STEPS_MAX], struct ldb_buf *file)
{
    for (size_t i = 0; i < STEPS_MAX && steps[i].kind != STEP_END; i++)
        append_step(file, &steps[i]);
}

static void assert_row(const struct row *row, struct ldb_slice file,
                       size_t read_max, bool strict)
{
    bool fails = strict && row->strict_error != NULL;
    struct memory_source source;
    struct found found;

    memory_source_init(&source, file);
    source.read_max = read_max;
    read_source(&source, (struct ldb_journal_reader_options){.strict = strict},
                &found);
    assert_text(fails ? row->strict_records : row->records, &found.records);
    if (fails) {
        assert_ldb_status(LDB_CORRUPTION, found.status, &found.err);
        assert_ldb_message(row->strict_error, &found.err);
    } else {
        assert_ldb_status(LDB_NOT_FOUND, found.status, &found.err);
        assert_int_equal(found.err.status, LDB_OK);
        assert_text(row->drops, &found.drops);
        assert_int_equal(found.dropped, row->dropped);
        assert_int_equal(found.tail, row->tail);
    }
    found_release(&found);
}

static void every_row_of_the_damage_table_is_read_as_decided(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ldb_buf file = LDB_BUF_INIT(MEMORY_FILE_MAX);

        print_message("%s\n", rows[i].what);
        build(rows[i].steps, &file);
        assert_row(&rows[i], ldb_slice_of_buf(&file), 0, false);
        assert_row(&rows[i], ldb_slice_of_buf(&file), 0, true);
        /* However few bytes a read gives. */
        assert_row(&rows[i], ldb_slice_of_buf(&file), 1000, false);
        ldb_buf_release(&file);
    }
}

/* ---- offsets ---- */

static void offsets_are_those_of_the_chunks(void **state)
{
    static const struct step steps[STEPS_MAX] = {
        CHUNK(FULL, "a"),  FILL(6),          STEP(TO_BLOCK, 0),
        CHUNK(FIRST, "b"), CHUNK(LAST, "c"), CHUNK(FIRST, "x"),
        CHUNK(FULL, "d")};
    static const uint64_t expected[][2] = {
        {0, 8},
        {8, 32762},
        {32768, 32784},
        {32792, 32800},
    };
    struct ldb_journal_reader_options options = {0};
    struct ldb_buf file = LDB_BUF_INIT(MEMORY_FILE_MAX);
    struct ldb_journal_reader *reader;
    struct memory_source source;
    struct ldb_slice record;

    (void)state;
    build(steps, &file);
    memory_source_init(&source, ldb_slice_of_buf(&file));
    assert_ldb_ok(
        ldb_journal_reader_create(&source.base, "x", &options, NULL, &reader),
        NULL);
    assert_int_equal(ldb_journal_reader_end_offset(reader), 0);
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        assert_ldb_ok(ldb_journal_reader_next(reader, NULL, &record), NULL);
        assert_int_equal(ldb_journal_reader_record_offset(reader),
                         expected[i][0]);
        assert_int_equal(ldb_journal_reader_end_offset(reader), expected[i][1]);
    }
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_journal_reader_next(reader, NULL, &record), NULL);
    assert_int_equal(ldb_journal_reader_end_offset(reader), file.len);
    ldb_journal_reader_destroy(reader);
    ldb_buf_release(&file);
}

/* ---- what a crash can leave ---- */

/* Payload lengths: small ones, over a block, to the byte of a block's end. */
static const size_t lengths[] = {0, 30, 100, 32600, 5, 70000, 28, 300};

/* What each of them is a prefix of. */
static uint8_t payload[70000];

/*
 * A journal by our writer of those records; ends[i] is where record i ends.
 */
static void write_journal(struct memory_file *file,
                          uint64_t ends[COUNT_OF(lengths)])
{
    struct ldb_journal_writer *writer;
    uint64_t seed = 3;

    bytes_fill(&seed, payload, sizeof(payload));
    memory_file_init(file);
    assert_ldb_ok(ldb_journal_writer_create(&file->base, 0, NULL, &writer),
                  NULL);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct ldb_slice record = ldb_slice_make(payload, lengths[i]);

        assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, NULL), NULL);
        assert_ldb_ok(ldb_journal_writer_flush(writer, NULL), NULL);
        ends[i] = ldb_journal_writer_flushed_len(writer);
    }
    assert_ldb_ok(ldb_journal_writer_close(writer, NULL), NULL);
}

/* Record i is there exactly when it ends at or before offset whole. */
static void assert_records_before(uint64_t whole, struct ldb_slice bytes,
                                  const uint64_t ends[COUNT_OF(lengths)])
{
    struct found found;
    uint64_t end = 0;

    for (size_t i = 0; i < COUNT_OF(lengths) && ends[i] <= whole; i++)
        end = ends[i];
    read_bytes(bytes, true, &found);
    assert_ldb_status(LDB_NOT_FOUND, found.status, &found.err);
    assert_int_equal(found.end_offset, end);
    assert_int_equal(found.dropped, 0);
    assert_int_equal(found.tail, bytes.len - end);
    found_release(&found);
}

static void what_our_writer_writes_is_read_back(void **state)
{
    struct ldb_journal_reader_options options = {.strict = true};
    uint64_t ends[COUNT_OF(lengths)];
    struct ldb_journal_reader *reader;
    struct memory_source source;
    struct memory_file file;
    struct ldb_slice record;

    (void)state;
    write_journal(&file, ends);
    memory_source_init(&source, ldb_slice_of_buf(&file.bytes));
    assert_ldb_ok(
        ldb_journal_reader_create(&source.base, "x", &options, NULL, &reader),
        NULL);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        assert_ldb_ok(ldb_journal_reader_next(reader, NULL, &record), NULL);
        assert_ldb_slice(ldb_slice_make(payload, lengths[i]), record);
        assert_int_equal(ldb_journal_reader_end_offset(reader), ends[i]);
    }
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_journal_reader_next(reader, NULL, &record), NULL);
    ldb_journal_reader_destroy(reader);
    memory_file_release(&file);
}

/* Every cut near a record's or a block's end, and some within. */
static bool is_worth_cutting(uint64_t at, const uint64_t *ends)
{
    uint64_t in_block = at % BLOCK;

    if (in_block <= 10 || in_block >= BLOCK - 10 || at % 1009 == 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        if (at + 40 > ends[i] && at < ends[i] + 40)
            return true;
    }
    return false;
}

static void a_cut_anywhere_loses_the_cut_record_alone(void **state)
{
    uint64_t ends[COUNT_OF(lengths)];
    struct memory_file file;

    (void)state;
    write_journal(&file, ends);
    for (size_t len = 0; len <= file.bytes.len; len++) {
        if (is_worth_cutting(len, ends))
            assert_records_before(len, ldb_slice_make(file.bytes.data, len),
                                  ends);
    }
    memory_file_release(&file);
}

static void a_torn_last_record_is_a_tail_in_strict_reading(void **state)
{
    static const uint8_t fills[] = {0, 0xff, 0x5a};
    uint64_t ends[COUNT_OF(lengths)];
    struct memory_file file;

    (void)state;
    write_journal(&file, ends);
    /* The record of 70000 bytes is the last one here. */
    for (size_t i = 0; i < COUNT_OF(fills); i++) {
        size_t len = (size_t)ends[5];

        for (size_t at = (size_t)ends[4]; at < len; at++) {
            uint8_t *copy;

            if (!is_worth_cutting(at, ends))
                continue;
            copy = ldb_mem_dup(file.bytes.data, len);
            assert_non_null(copy);
            memset(copy + at, fills[i], len - at);
            assert_records_before(ends[5] - 1, ldb_slice_make(copy, len), ends);
            ldb_mem_free(copy);
        }
    }
    memory_file_release(&file);
}

/* ---- limits, options, failures ---- */

static void a_record_over_the_limit_is_damage(void **state)
{
    static const struct step steps[STEPS_MAX] = {
        CHUNK(FULL, "a"),     CHUNK(FIRST, "123456"),  CHUNK(MIDDLE, "78"),
        CHUNK(LAST, "9"),     CHUNK(FULL, "12345678"), CHUNK(FULL, "123456789"),
        CHUNK(FIRST, "1234"), CHUNK(LAST, "5678"),
    };
    struct ldb_buf file = LDB_BUF_INIT(MEMORY_FILE_MAX);
    struct memory_source source;
    struct found found;

    (void)state;
    build(steps, &file);
    memory_source_init(&source, ldb_slice_of_buf(&file));
    read_source(&source, (struct ldb_journal_reader_options){.record_max = 8},
                &found);
    assert_text("a 12345678 12345678 ", &found.records);
    assert_text("record over the limit at 8: 30; "
                "record over the limit at 53: 16; ",
                &found.drops);
    found_release(&found);

    /* Damage at once: no tail has sound chunks in it. */
    memory_source_init(&source, ldb_slice_make(file.data, 8 + 13 + 9));
    read_source(
        &source,
        (struct ldb_journal_reader_options){.record_max = 7, .strict = true},
        &found);
    assert_ldb_status(LDB_CORRUPTION, found.status, &found.err);
    assert_ldb_message("record over the limit at offset 8", &found.err);
    found_release(&found);
    ldb_buf_release(&file);
}

static void checksums_can_be_left_unverified(void **state)
{
    static const struct step steps[STEPS_MAX] = {
        CHUNK(FULL, "a"), BAD(FULL, "b"), BAD(FIRST, "c"), CHUNK(LAST, "d")};
    struct ldb_buf file = LDB_BUF_INIT(MEMORY_FILE_MAX);
    struct memory_source source;
    struct found found;

    (void)state;
    build(steps, &file);
    memory_source_init(&source, ldb_slice_of_buf(&file));
    read_source(&source,
                (struct ldb_journal_reader_options){.skip_checksums = true},
                &found);
    assert_text("a b cd ", &found.records);
    found_release(&found);
    ldb_buf_release(&file);
}

static void a_failing_read_is_no_end(void **state)
{
    static const struct step steps[STEPS_MAX] = {FILL(0), CHUNK(FULL, "a")};
    struct ldb_buf file = LDB_BUF_INIT(MEMORY_FILE_MAX);
    struct memory_source source;
    struct found found;

    (void)state;
    build(steps, &file);
    memory_source_init(&source, ldb_slice_of_buf(&file));
    source.fail_after = BLOCK + 3;
    read_source(&source, (struct ldb_journal_reader_options){0}, &found);
    assert_text("[32761] ", &found.records);
    assert_ldb_status(LDB_IO, found.status, &found.err);
    assert_ldb_message("read fails on purpose", &found.err);
    found_release(&found);
    ldb_buf_release(&file);
}

static enum ldb_status read_two_chunks(struct ldb_slice bytes)
{
    struct ldb_journal_reader_options options = {0};
    struct ldb_journal_reader *reader;
    struct memory_source source;
    struct ldb_slice record;
    enum ldb_status s;

    memory_source_init(&source, bytes);
    s = ldb_journal_reader_create(&source.base, "x", &options, NULL, &reader);
    if (s != LDB_OK)
        return s;
    s = ldb_journal_reader_next(reader, NULL, &record);
    if (s == LDB_OK)
        assert_ldb_bytes("ab", record);
    ldb_journal_reader_destroy(reader);
    return s;
}

static void every_failed_allocation_is_told(void **state)
{
    static const struct step steps[STEPS_MAX] = {CHUNK(FIRST, "a"),
                                                 CHUNK(LAST, "b")};
    struct ldb_buf file = LDB_BUF_INIT(MEMORY_FILE_MAX);
    uint64_t failures = 0;

    (void)state;
    build(steps, &file);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = read_two_chunks(ldb_slice_of_buf(&file));
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, NULL);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, NULL);
        failures++;
    }
    assert_int_equal(failures, 3);
    ldb_journal_reader_destroy(NULL);
    ldb_buf_release(&file);
}

/* Mapped journals: what follows the first run is not read. */
static const struct gap_row {
    const char *what;
    struct step steps[STEPS_MAX];
    const char *records;
    const char *drops;
    uint64_t tail;
} gap_rows[] = {
    {"nothing but zeros", {STEP(ZEROS, 2 * BLOCK)}, "", "", 0},
    {"zeros after the last record",
     {CHUNK(FULL, "a"), STEP(TO_BLOCK, 0), STEP(ZEROS, BLOCK)},
     "a ",
     "",
     0},
    {"padding, then zeros",
     {FILL(6), STEP(TO_BLOCK, 0), STEP(ZEROS, BLOCK)},
     "[32755] ",
     "",
     0},
    {"a record torn in the last block written",
     {CHUNK(FULL, "a"), CHUNK(FULL, "bcd"), STEP(SPOIL, 1), STEP(TO_BLOCK, 0),
      STEP(ZEROS, BLOCK)},
     "a ",
     "checksum mismatch at 8: 65528; ",
     65528},
    {"a record without its end, then zeros",
     {CHUNK(FULL, "a"), FILL_AS(FIRST, 0), STEP(ZEROS, BLOCK)},
     "a ",
     "",
     65528},
    {"a torn record and one behind it in the block",
     {CHUNK(FULL, "a"), CHUNK(FULL, "bcd"), STEP(SPOIL, 1), CHUNK(FULL, "e"),
      STEP(TO_BLOCK, 0), STEP(ZEROS, BLOCK)},
     "a ",
     "checksum mismatch at 8: 65528; ",
     65528},
    {"zeros, and records in the next block",
     {CHUNK(FULL, "a"), STEP(TO_BLOCK, 0), CHUNK(FULL, "e"), STEP(TO_BLOCK, 0)},
     "a ",
     "zeroed bytes at 8: 65528; ",
     65528},
    {"a block of zeros at the start",
     {STEP(ZEROS, BLOCK), CHUNK(FULL, "e"), STEP(TO_BLOCK, 0)},
     "",
     "zeroed bytes at 0: 65536; ",
     65536},
    {"the middle of a record lost",
     {FILL_AS(FIRST, 0), STEP(ZEROS, BLOCK), CHUNK(LAST, "d"), CHUNK(FULL, "e"),
      STEP(TO_BLOCK, 0)},
     "",
     "zeroed bytes at 0: 98304; ",
     98304},
    {"the end of a record lost, and a record after it",
     {CHUNK(FULL, "a"), CHUNK(FIRST, "b"), CHUNK(FULL, "e"), STEP(TO_BLOCK, 0)},
     "a ",
     "record without its end at 8: 32760; ",
     32760},
    {"the start of a record lost",
     {STEP(ZEROS, BLOCK), CHUNK(LAST, "d"), CHUNK(FULL, "e"),
      STEP(TO_BLOCK, 0)},
     "",
     "zeroed bytes at 0: 65536; ",
     65536},
    {"a length over its block",
     {CHUNK(FULL, "a"), STEP(LENGTH, 32761), STEP(TO_BLOCK, 0),
      CHUNK(FULL, "e"), STEP(TO_BLOCK, 0)},
     "a ",
     "chunk longer than its block at 8: 65528; ",
     65528},
};

static void a_mapped_journal_ends_at_its_first_gap(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(gap_rows); i++) {
        const struct gap_row *row = &gap_rows[i];
        struct ldb_buf file = LDB_BUF_INIT(SIZE_MAX);
        struct memory_source source;
        struct found found;

        print_message("%s\n", row->what);
        for (size_t k = 0; k < STEPS_MAX; k++)
            append_step(&file, &row->steps[k]);
        assert_int_equal(file.len % BLOCK, 0);
        memory_source_init(&source, ldb_slice_of_buf(&file));
        read_source(&source,
                    (struct ldb_journal_reader_options){.ends_at_gap = true},
                    &found);
        assert_int_equal(found.status, LDB_NOT_FOUND);
        assert_text(row->records, &found.records);
        assert_text(row->drops, &found.drops);
        assert_int_equal(found.dropped, 0);
        assert_int_equal(found.tail, row->tail);
        found_release(&found);
        ldb_buf_release(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_damage_table_is_read_as_decided),
        cmocka_unit_test(a_mapped_journal_ends_at_its_first_gap),
        cmocka_unit_test(offsets_are_those_of_the_chunks),
        cmocka_unit_test(what_our_writer_writes_is_read_back),
        cmocka_unit_test(a_cut_anywhere_loses_the_cut_record_alone),
        cmocka_unit_test(a_torn_last_record_is_a_tail_in_strict_reading),
        cmocka_unit_test(a_record_over_the_limit_is_damage),
        cmocka_unit_test(checksums_can_be_left_unverified),
        cmocka_unit_test(a_failing_read_is_no_end),
        cmocka_unit_test(every_failed_allocation_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
