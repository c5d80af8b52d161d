/*
 * One block of 32 KiB is in memory, and of a record in several chunks its
 * parts so far; a record in one chunk is handed out where it lies.
 *
 * Damage is not judged where it is met: what cannot be used is a run (see the
 * header), kept open until a record begins after it or the file ends. Dropping
 * a block would lose sight of the records behind the damage in the same block,
 * and damage in a file's last block would pass for a tail; so the rest of a
 * block is looked through, by the lengths its headers give, before it goes.
 */
#include "storage/journal/journal_reader.h"

#include <inttypes.h>

#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/reader.h"
#include "storage/base/status.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"

/* Chosen: longer than any record a writer of ours makes (batch_bytes_max). */
#define RECORD_MAX_DEFAULT (UINT64_C(1) << 30)

/* Why bytes were dropped; static, for on_drop and messages. */
#define REASON_ZERO       "zeroed bytes"
#define REASON_LENGTH     "chunk longer than its block"
#define REASON_CHECKSUM   "checksum mismatch"
#define REASON_TYPE       "unknown chunk type"
#define REASON_ORPHAN     "chunk without the start of its record"
#define REASON_CUT        "record without its end"
#define REASON_RECORD_MAX "record over the limit"

/* What cannot be used and is not yet judged. */
struct run {
    bool is_open;
    bool is_quiet;   /* zeros alone: as the end of a file, not told */
    bool is_damage;  /* sound chunks follow it: not a tail */
    bool is_record;  /* it begins with a record without its end */
    uint64_t offset; /* in the file */
    const char *reason;
};

struct ldb_journal_reader {
    struct ldb_sequential_file *file;
    char *name;
    struct ldb_journal_reader_options options;

    uint8_t block[LDB_JOURNAL_BLOCK_SIZE];
    uint64_t block_offset; /* in the file */
    size_t block_len;      /* under the block size: the file ends here */
    size_t used;           /* bytes of the block looked at */

    struct ldb_buf record; /* parts of an open record */
    bool is_record_open;
    uint64_t open_offset; /* in the file, of its FIRST */
    struct run run;

    uint64_t record_offset;
    uint64_t end_offset;
    uint64_t settled_offset; /* all before is records or dropped */
    uint64_t dropped_bytes;
    uint64_t tail_bytes;

    enum ldb_status ended; /* not OK: every call returns it */
    struct ldb_error ended_error;
};

enum ldb_status
ldb_journal_reader_create(struct ldb_sequential_file *file, const char *name,
                          const struct ldb_journal_reader_options *options,
                          struct ldb_error *err,
                          struct ldb_journal_reader **out)
{
    struct ldb_journal_reader *r = ldb_mem_zalloc(1, sizeof(*r));

    if (r == NULL)
        return ldb_error_no_memory(err);
    r->file = file;
    r->options = *options;
    if (r->options.record_max == 0)
        r->options.record_max = RECORD_MAX_DEFAULT;
    r->record = (struct ldb_buf)LDB_BUF_INIT((size_t)r->options.record_max);
    r->name = ldb_mem_strdup(name);
    if (r->name == NULL) {
        ldb_mem_free(r);
        return ldb_error_no_memory(err);
    }
    *out = r;
    return LDB_OK;
}

void ldb_journal_reader_destroy(struct ldb_journal_reader *reader)
{
    if (reader == NULL)
        return;
    ldb_buf_release(&reader->record);
    ldb_mem_free(reader->name);
    ldb_mem_free(reader);
}

/* ---- one chunk, without side effects ---- */

enum chunk_state {
    CHUNK_SOUND,        /* known type, good checksum */
    CHUNK_ODD,          /* unknown type, good checksum */
    CHUNK_BAD_CHECKSUM, /* a length that fits */
    CHUNK_BAD_LENGTH,   /* longer than its whole block has room */
    CHUNK_ZEROED,       /* a header of zeros */
    CHUNK_TORN,         /* the file ends inside header or payload */
    CHUNK_PADDING,      /* the block has no room for a header */
};

struct chunk {
    enum chunk_state state;
    uint8_t type;
    struct ldb_slice payload;
    size_t end; /* in the block; for states with a length that fits */
};

static bool is_zeroed(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

static struct chunk inspect(const struct ldb_journal_reader *r, size_t at)
{
    const uint8_t *p = r->block + at;
    struct ldb_reader bytes =
        ldb_reader_make(ldb_slice_make(p, r->block_len - at));
    bool is_last = r->block_len < LDB_JOURNAL_BLOCK_SIZE;
    struct chunk c = {.state = CHUNK_SOUND, .end = r->block_len};
    uint32_t stored;
    uint16_t len;

    (void)ldb_reader_fixed32(&bytes, &stored);
    (void)ldb_reader_fixed16(&bytes, &len);
    (void)ldb_reader_u8(&bytes, &c.type);
    if (bytes.failed) {
        c.state = is_last ? CHUNK_TORN : CHUNK_PADDING;
        return c;
    }
    if (stored == 0 && len == 0 && c.type == LDB_CHUNK_ZERO) {
        c.state = CHUNK_ZEROED;
        return c;
    }
    if (!ldb_reader_bytes(&bytes, len, &c.payload)) {
        c.state = is_last ? CHUNK_TORN : CHUNK_BAD_LENGTH;
        return c;
    }
    c.end = at + LDB_JOURNAL_HEADER_SIZE + len;
    if (!r->options.skip_checksums &&
        ldb_crc_unmask(stored) !=
            ldb_crc32c(ldb_slice_make(p + 6, (size_t)len + 1)))
        c.state = CHUNK_BAD_CHECKSUM;
    else if (c.type == LDB_CHUNK_ZERO || c.type > LDB_CHUNK_LAST)
        c.state = CHUNK_ODD;
    return c;
}

static bool begins_record(const struct chunk *c)
{
    return c->state == CHUNK_SOUND &&
           (c->type == LDB_CHUNK_FULL || c->type == LDB_CHUNK_FIRST);
}

/* Does a record begin in the block at byte at or after it? */
static bool has_record_from(const struct ldb_journal_reader *r, size_t at)
{
    struct chunk c;

    do {
        c = inspect(r, at);
        if (begins_record(&c))
            return true;
        at = c.end;
    } while (c.state == CHUNK_SOUND || c.state == CHUNK_ODD);
    return false;
}

/* ---- runs of unusable bytes ---- */

/* Opens a run at offset, or at the start of the open record, or extends one. */
static void mark(struct ldb_journal_reader *r, uint64_t offset,
                 const char *reason, bool is_quiet)
{
    if (!r->run.is_open) {
        r->run = (struct run){
            .is_open = true,
            .is_quiet = true,
            .is_record = r->is_record_open,
            .offset = r->is_record_open ? r->open_offset : offset,
        };
    }
    if (r->run.is_quiet) {
        r->run.reason = reason;
        r->run.is_quiet = is_quiet;
    }
    r->is_record_open = false;
}

static void tell_drop(const struct ldb_journal_reader *r, uint64_t bytes)
{
    if (r->options.on_drop != NULL)
        r->options.on_drop(r->options.context, r->run.offset, bytes,
                           r->run.reason);
}

/* The run is over: what stands at offset is in use again. */
static void drop_run(struct ldb_journal_reader *r, uint64_t offset)
{
    assert(r->run.is_open);
    assert(offset >= r->run.offset);
    r->dropped_bytes += offset - r->run.offset;
    tell_drop(r, offset - r->run.offset);
    r->run = (struct run){0};
    r->settled_offset = offset;
}

/* The end, or the failure that every call from now on returns. */
static enum ldb_status end(struct ldb_journal_reader *r, enum ldb_status s)
{
    assert(s != LDB_OK);
    r->ended = s;
    return s;
}

static enum ldb_status end_damaged(struct ldb_journal_reader *r)
{
    return end(r, ldb_error_set(&r->ended_error, LDB_CORRUPTION,
                                "%s: %s at offset %" PRIu64
                                ", and records after it",
                                r->name, r->run.reason, r->run.offset));
}

/* The file ends at offset: settles what is open. */
static enum ldb_status end_of_file(struct ldb_journal_reader *r)
{
    uint64_t offset = r->block_offset + r->block_len;
    uint64_t start = r->settled_offset;

    if (r->run.is_open && r->run.is_damage) {
        drop_run(r, offset);
        return end(r, LDB_NOT_FOUND);
    }
    if (r->run.is_open)
        start = r->run.offset;
    else if (r->is_record_open)
        start = r->open_offset;
    r->tail_bytes = offset - start;
    if (r->run.is_open && !r->run.is_quiet)
        tell_drop(r, r->tail_bytes);
    return end(r, LDB_NOT_FOUND);
}

/* ---- reading ---- */

/* The next block; NOT_FOUND when the file has no byte more. */
static enum ldb_status load_block(struct ldb_journal_reader *r)
{
    size_t len = 0;
    size_t got = 1;

    if (r->block_len != 0 && r->block_len < LDB_JOURNAL_BLOCK_SIZE)
        return end_of_file(r);
    while (len < LDB_JOURNAL_BLOCK_SIZE && got != 0) {
        enum ldb_status s =
            ldb_sequential_read(r->file, LDB_JOURNAL_BLOCK_SIZE - len,
                                r->block + len, &got, &r->ended_error);

        if (s != LDB_OK)
            return end(r, s);
        len += got;
    }
    r->block_offset += r->block_len;
    r->block_len = len;
    r->used = 0;
    return len == 0 ? end_of_file(r) : LDB_OK;
}

/*
 * The journal ends at the run that is open: what follows is looked at only for
 * whether it is anything.
 */
static enum ldb_status end_at_gap(struct ldb_journal_reader *r)
{
    enum ldb_status s = LDB_OK;

    assert(r->run.is_open);
    r->run.is_damage = false;
    while (s == LDB_OK) {
        s = load_block(r);
        if (s == LDB_OK && !is_zeroed(r->block, r->block_len))
            r->run.is_quiet = false;
    }
    if (s == LDB_NOT_FOUND && r->run.is_quiet && !r->run.is_record)
        r->tail_bytes = 0;
    return s;
}

/*
 * Takes note of a chunk that is not sound and moves past it: past itself or
 * past its block.
 */
static enum ldb_status pass_over(struct ldb_journal_reader *r,
                                 const struct chunk *c)
{
    uint64_t offset = r->block_offset + r->used;

    switch (c->state) {
    case CHUNK_SOUND:
    case CHUNK_PADDING:
        break;
    case CHUNK_TORN:
        /* The end, whatever stands before; a run goes on to it. */
        break;
    case CHUNK_ZEROED:
        mark(r, offset, REASON_ZERO,
             is_zeroed(r->block + r->used, r->block_len - r->used));
        break;
    case CHUNK_BAD_LENGTH:
        mark(r, offset, REASON_LENGTH, false);
        break;
    case CHUNK_ODD:
        mark(r, offset, REASON_TYPE, false);
        r->used = c->end;
        return LDB_OK;
    case CHUNK_BAD_CHECKSUM:
        mark(r, offset, REASON_CHECKSUM, false);
        if (has_record_from(r, c->end)) {
            r->run.is_damage = true;
            if (r->options.strict)
                return end_damaged(r);
        }
        break;
    }
    r->used = r->block_len;
    return LDB_OK;
}

/* The next sound chunk and its offset in the file. */
static enum ldb_status next_chunk(struct ldb_journal_reader *r,
                                  struct chunk *out, uint64_t *out_offset)
{
    for (;;) {
        enum ldb_status s = LDB_OK;
        struct chunk c;

        if (r->run.is_open && r->options.ends_at_gap)
            return end_at_gap(r);
        if (r->used == r->block_len) {
            s = load_block(r);
            if (s != LDB_OK)
                return s;
        }
        c = inspect(r, r->used);
        if (c.state == CHUNK_SOUND) {
            *out = c;
            *out_offset = r->block_offset + r->used;
            r->used = c.end;
            return LDB_OK;
        }
        s = pass_over(r, &c);
        if (s != LDB_OK)
            return s;
    }
}

/* A record begins at offset: judges what stands open before it. */
static enum ldb_status settle(struct ldb_journal_reader *r, uint64_t offset)
{
    /* An empty FIRST alone holds nothing: old writers left them at a block's
     * end and began the record anew in the next. */
    if (r->is_record_open && r->record.len != 0)
        mark(r, offset, REASON_CUT, false);
    r->is_record_open = false;
    if (!r->run.is_open)
        return LDB_OK;
    if (r->options.strict)
        return end_damaged(r);
    if (r->options.ends_at_gap)
        return end_at_gap(r);
    drop_run(r, offset);
    return LDB_OK;
}

/* Joins a chunk's payload to the open record. */
static enum ldb_status join(struct ldb_journal_reader *r, struct chunk *c,
                            uint64_t offset)
{
    enum ldb_status s = ldb_buf_append(&r->record, c->payload);

    if (s == LDB_OK)
        return LDB_OK;
    if (s == LDB_NO_MEMORY)
        return end(r, ldb_error_no_memory(&r->ended_error));
    mark(r, offset, REASON_RECORD_MAX, false);
    r->run.is_damage = true;
    return r->options.strict ? end_damaged(r) : LDB_OK;
}

/*
 * Takes one sound chunk. *out_done: a record is whole, in *out_record.
 */
static enum ldb_status take(struct ldb_journal_reader *r, struct chunk *c,
                            uint64_t offset, bool *out_done,
                            struct ldb_slice *out_record)
{
    bool is_end = c->type == LDB_CHUNK_FULL || c->type == LDB_CHUNK_LAST;
    enum ldb_status s;

    if (begins_record(c)) {
        s = settle(r, offset);
        if (s != LDB_OK)
            return s;
        r->is_record_open = true;
        r->open_offset = offset;
        ldb_buf_clear(&r->record);
    } else if (!r->is_record_open) {
        mark(r, offset, REASON_ORPHAN, false);
        return LDB_OK;
    }
    if (c->type == LDB_CHUNK_FULL && c->payload.len <= r->options.record_max) {
        *out_record = c->payload;
    } else {
        s = join(r, c, offset);
        if (s != LDB_OK || !r->is_record_open)
            return s;
        *out_record = ldb_slice_of_buf(&r->record);
    }
    *out_done = is_end;
    if (is_end) {
        r->is_record_open = false;
        r->record_offset = r->open_offset;
        r->end_offset = r->block_offset + r->used;
        r->settled_offset = r->end_offset;
    }
    return LDB_OK;
}

enum ldb_status ldb_journal_reader_next(struct ldb_journal_reader *reader,
                                        struct ldb_error *err,
                                        struct ldb_slice *out_record)
{
    struct ldb_slice record = {0};
    bool is_done = false;
    enum ldb_status s = reader->ended;

    while (s == LDB_OK && !is_done) {
        uint64_t offset = 0;
        struct chunk c = {0};

        s = next_chunk(reader, &c, &offset);
        if (s == LDB_OK)
            s = take(reader, &c, offset, &is_done, &record);
    }
    if (s == LDB_OK)
        *out_record = record;
    else if (s != LDB_NOT_FOUND && err != NULL)
        *err = reader->ended_error;
    return s;
}

uint64_t ldb_journal_reader_record_offset(const struct ldb_journal_reader *r)
{
    return r->record_offset;
}

uint64_t ldb_journal_reader_end_offset(const struct ldb_journal_reader *r)
{
    return r->end_offset;
}

uint64_t ldb_journal_reader_dropped_bytes(const struct ldb_journal_reader *r)
{
    return r->dropped_bytes;
}

uint64_t ldb_journal_reader_tail_bytes(const struct ldb_journal_reader *r)
{
    return r->tail_bytes;
}
