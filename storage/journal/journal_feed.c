/*
 * Bytes lie in one buffer, so that chunks need no putting together and the
 * whole records can be written to a file as they stand. A chunk is verified
 * once, when it is whole; records are put together when they are asked for.
 */
#include "storage/journal/journal_feed.h"

#include <inttypes.h>

#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/reader.h"
#include "storage/base/status.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"

/* A longer record is damage; chosen: what journal_reader.h takes. */
#define RECORD_MAX (UINT64_C(1) << 30)

/* Of a buffer: a record with its headers, and one call's bytes more. */
#define RAW_MAX (SIZE_MAX / 2)

/* A buffer that one long record made is given back. Chosen. */
#define KEEP_BYTES ((size_t)4 << 20)

struct ldb_journal_feed {
    char *name;
    uint64_t offset;    /* in the file, of raw's first byte */
    struct ldb_buf raw; /* whole records, then what has begun */
    size_t whole;       /* bytes of raw that are whole records */
    size_t checked;     /* bytes of raw in verified chunks and padding */
    bool is_record_open;
    uint64_t record_len;   /* of the open one, so far */
    size_t read_from;      /* where the record last given begins in raw */
    size_t read_to;        /* and ends: where the next one begins */
    struct ldb_buf record; /* one of several chunks, put together */
};

struct ldb_journal_feed *ldb_journal_feed_create(const char *name,
                                                 uint64_t offset)
{
    struct ldb_journal_feed *feed = ldb_mem_zalloc(1, sizeof(*feed));

    if (feed == NULL)
        return NULL;
    feed->name = ldb_mem_strdup(name);
    if (feed->name == NULL) {
        ldb_mem_free(feed);
        return NULL;
    }
    feed->offset = offset;
    feed->raw = (struct ldb_buf)LDB_BUF_INIT(RAW_MAX);
    feed->record = (struct ldb_buf)LDB_BUF_INIT((size_t)RECORD_MAX);
    return feed;
}

void ldb_journal_feed_destroy(struct ldb_journal_feed *feed)
{
    if (feed == NULL)
        return;
    ldb_buf_release(&feed->raw);
    ldb_buf_release(&feed->record);
    ldb_mem_free(feed->name);
    ldb_mem_free(feed);
}

void ldb_journal_feed_restart(struct ldb_journal_feed *feed)
{
    feed->raw.len = feed->whole;
    feed->checked = feed->whole;
    feed->is_record_open = false;
    feed->record_len = 0;
}

/* ---- one chunk ---- */

struct chunk {
    uint8_t type;
    struct ldb_slice payload;
    size_t end; /* in raw */
};

/* Bytes left in the block of a place in raw. */
static size_t block_left(const struct ldb_journal_feed *feed, size_t at)
{
    return LDB_JOURNAL_BLOCK_SIZE -
           (size_t)((feed->offset + at) % LDB_JOURNAL_BLOCK_SIZE);
}

/*
 * The chunk at a place in raw, past the padding before it, if all of it is
 * there. why: what is wrong with it, else NULL. out->end is past the padding
 * where no chunk follows it yet.
 */
static bool find_chunk(const struct ldb_journal_feed *feed, size_t at,
                       const char **why, struct chunk *out)
{
    size_t left = block_left(feed, at);
    struct ldb_reader bytes;
    uint32_t stored;
    uint16_t len;

    *why = NULL;
    if (left < LDB_JOURNAL_HEADER_SIZE) {
        for (size_t i = 0; i < left; i++, at++) {
            if (at == feed->raw.len)
                return false;
            if (feed->raw.data[at] != 0) {
                *why = "the end of a block is not zero";
                return false;
            }
        }
        left = LDB_JOURNAL_BLOCK_SIZE;
    }
    if (at == feed->raw.len)
        return false;
    bytes = ldb_reader_make(
        ldb_slice_make(feed->raw.data + at, feed->raw.len - at));
    (void)ldb_reader_fixed32(&bytes, &stored);
    (void)ldb_reader_fixed16(&bytes, &len);
    (void)ldb_reader_u8(&bytes, &out->type);
    if (bytes.failed)
        return false;
    if (len > left - LDB_JOURNAL_HEADER_SIZE) {
        *why = "chunk longer than its block";
        return false;
    }
    if (!ldb_reader_bytes(&bytes, len, &out->payload))
        return false;
    out->end = at + LDB_JOURNAL_HEADER_SIZE + len;
    if (ldb_crc_unmask(stored) !=
        ldb_crc32c(ldb_slice_make(feed->raw.data + at + 6, (size_t)len + 1)))
        *why = "checksum mismatch";
    return *why == NULL;
}

/* Does the chunk go on from those before it? NULL: it does. */
static const char *check_order(const struct ldb_journal_feed *feed,
                               const struct chunk *c)
{
    bool is_first = c->type == LDB_CHUNK_FULL || c->type == LDB_CHUNK_FIRST;

    if (c->type == LDB_CHUNK_ZERO || c->type > LDB_CHUNK_LAST)
        return "unknown chunk type";
    /* An empty FIRST alone holds nothing: old writers left them at a block's
     * end and began the record anew in the next. */
    if (is_first && feed->is_record_open && feed->record_len > 0)
        return "record without its end";
    if (!is_first && !feed->is_record_open)
        return "chunk without the start of its record";
    if (c->payload.len > RECORD_MAX - (is_first ? 0 : feed->record_len))
        return "record over the limit";
    return NULL;
}

static void take_chunk(struct ldb_journal_feed *feed, const struct chunk *c)
{
    bool is_first = c->type == LDB_CHUNK_FULL || c->type == LDB_CHUNK_FIRST;
    bool is_last = c->type == LDB_CHUNK_FULL || c->type == LDB_CHUNK_LAST;

    feed->checked = c->end;
    feed->is_record_open = !is_last;
    feed->record_len = (is_first ? 0 : feed->record_len) + c->payload.len;
    if (is_last)
        feed->whole = c->end;
}

enum ldb_status ldb_journal_feed_add(struct ldb_journal_feed *feed,
                                     struct ldb_slice bytes,
                                     struct ldb_error *err)
{
    const char *why = NULL;
    struct chunk c;

    if (ldb_buf_append(&feed->raw, bytes) != LDB_OK) {
        ldb_journal_feed_restart(feed);
        return ldb_error_no_memory(err);
    }
    while (find_chunk(feed, feed->checked, &why, &c)) {
        why = check_order(feed, &c);
        if (why != NULL)
            break;
        take_chunk(feed, &c);
    }
    if (why == NULL)
        return LDB_OK;
    ldb_error_set(err, LDB_CORRUPTION, "%s: %s at offset %" PRIu64, feed->name,
                  why, feed->offset + feed->checked);
    ldb_journal_feed_restart(feed);
    return LDB_CORRUPTION;
}

/* ---- records ---- */

enum ldb_status ldb_journal_feed_next(struct ldb_journal_feed *feed,
                                      struct ldb_error *err,
                                      struct ldb_slice *out_record)
{
    size_t at = feed->read_to;
    struct ldb_slice record = {0};
    struct chunk c = {.type = LDB_CHUNK_ZERO};

    if (at == feed->whole)
        return LDB_NOT_FOUND;
    ldb_buf_clear(&feed->record);
    while (c.type != LDB_CHUNK_FULL && c.type != LDB_CHUNK_LAST) {
        const char *why;
        bool is_there = find_chunk(feed, at, &why, &c);

        assert(is_there);
        if (c.type == LDB_CHUNK_FULL || c.type == LDB_CHUNK_FIRST)
            ldb_buf_clear(&feed->record);
        if (c.type == LDB_CHUNK_FULL) {
            record = c.payload;
        } else {
            if (ldb_buf_append(&feed->record, c.payload) != LDB_OK)
                return ldb_error_no_memory(err);
            record = ldb_slice_of_buf(&feed->record);
        }
        at = c.end;
    }
    feed->read_from = feed->read_to;
    feed->read_to = at;
    *out_record = record;
    return LDB_OK;
}

void ldb_journal_feed_rewind(struct ldb_journal_feed *feed)
{
    feed->read_from = 0;
    feed->read_to = 0;
}

void ldb_journal_feed_reject(struct ldb_journal_feed *feed)
{
    feed->whole = feed->read_from;
    feed->read_to = feed->read_from;
    ldb_journal_feed_restart(feed);
}

uint64_t ldb_journal_feed_record_offset(const struct ldb_journal_feed *feed)
{
    return feed->offset + feed->read_from;
}

struct ldb_slice ldb_journal_feed_whole(const struct ldb_journal_feed *feed)
{
    return ldb_slice_make(feed->raw.data, feed->whole);
}

uint64_t ldb_journal_feed_whole_end(const struct ldb_journal_feed *feed)
{
    return feed->offset + feed->whole;
}

uint64_t ldb_journal_feed_end(const struct ldb_journal_feed *feed)
{
    return feed->offset + feed->raw.len;
}

void ldb_journal_feed_take(struct ldb_journal_feed *feed)
{
    size_t left = feed->raw.len - feed->whole;

    if (left > 0 && feed->whole > 0)
        memmove(feed->raw.data, feed->raw.data + feed->whole, left);
    feed->offset += feed->whole;
    feed->checked -= feed->whole;
    feed->raw.len = left;
    feed->whole = 0;
    ldb_journal_feed_rewind(feed);
    if (left == 0 && feed->raw.capacity > KEEP_BYTES)
        ldb_buf_release(&feed->raw);
    if (feed->record.capacity > KEEP_BYTES)
        ldb_buf_release(&feed->record);
}
