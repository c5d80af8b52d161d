/*
 * Chunks are verified one by one and their payloads joined in `pending`, from
 * which operations are taken as soon as they are whole: a batch of 64 MiB of
 * small operations is never in memory at once.
 */
#include "storage/journal/journal_stream.h"

#include <inttypes.h>

#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/reader.h"
#include "storage/base/status.h"
#include "storage/journal/journal_format.h"

/* A kept buffer's size at most. Chosen: most values, and 64 readers' worth is
 * not much. */
#define PENDING_KEPT_BYTES ((size_t)256 << 10)

/* Sequence and count, before the operations of a batch. */
#define BATCH_HEADER_BYTES 12

struct ldb_journal_stream {
    struct ldb_sequential_file *file;
    char *name;

    uint8_t block[LDB_JOURNAL_BLOCK_SIZE];
    uint64_t block_offset; /* in the file */
    size_t block_len;      /* bytes of it that are here */
    size_t used;           /* of them, looked at */

    struct ldb_buf pending; /* payload of the open record */
    size_t taken;           /* of it, by operations */
    bool is_open;           /* a record is being read */
    bool is_whole;          /* its last chunk is in pending */
    bool has_header;        /* of the batch: next and left count */
    ldb_sequence next;
    uint32_t left; /* operations of the batch to come */

    enum ldb_status failed; /* not OK: for good */
    struct ldb_error error;
};

enum ldb_status ldb_journal_stream_create(struct ldb_sequential_file *file,
                                          const char *name, uint64_t offset,
                                          struct ldb_error *err,
                                          struct ldb_journal_stream **out)
{
    struct ldb_journal_stream *s = ldb_mem_zalloc(1, sizeof(*s));
    enum ldb_status status = LDB_OK;

    if (s == NULL) {
        ldb_sequential_close(file);
        return ldb_error_no_memory(err);
    }
    s->file = file;
    s->pending = (struct ldb_buf)LDB_BUF_INIT(SIZE_MAX);
    s->used = offset % LDB_JOURNAL_BLOCK_SIZE;
    s->block_len = s->used;
    s->block_offset = offset - s->used;
    s->name = ldb_mem_strdup(name);
    if (s->name == NULL)
        status = ldb_error_no_memory(err);
    else if (offset > 0)
        status = file->ops->skip(file, offset, err);
    if (status != LDB_OK) {
        ldb_journal_stream_destroy(s);
        return status;
    }
    *out = s;
    return LDB_OK;
}

void ldb_journal_stream_destroy(struct ldb_journal_stream *stream)
{
    if (stream == NULL)
        return;
    ldb_sequential_close(stream->file);
    ldb_buf_release(&stream->pending);
    ldb_mem_free(stream->name);
    ldb_mem_free(stream);
}

uint64_t ldb_journal_stream_offset(const struct ldb_journal_stream *stream)
{
    return stream->block_offset + stream->used;
}

/* ---- failures ---- */

static enum ldb_status fail(struct ldb_journal_stream *s,
                            enum ldb_status status)
{
    assert(status != LDB_OK && status != LDB_NOT_FOUND);
    s->failed = status;
    return status;
}

static enum ldb_status damaged(struct ldb_journal_stream *s, const char *what)
{
    return fail(s, ldb_error_set(&s->error, LDB_CORRUPTION,
                                 "%s: %s at offset %" PRIu64, s->name, what,
                                 ldb_journal_stream_offset(s)));
}

/* ---- chunks ---- */

/* More of the file, up to the end of the block or limit. OK: there is some;
 * NOT_FOUND: the limit is reached. */
static enum ldb_status fill(struct ldb_journal_stream *s, uint64_t limit)
{
    uint64_t at;
    size_t want;

    if (s->block_len == LDB_JOURNAL_BLOCK_SIZE) {
        assert(s->used == s->block_len);
        s->block_offset += LDB_JOURNAL_BLOCK_SIZE;
        s->block_len = 0;
        s->used = 0;
    }
    at = s->block_offset + s->block_len;
    if (at >= limit)
        return LDB_NOT_FOUND;
    want = LDB_JOURNAL_BLOCK_SIZE - s->block_len;
    if (want > limit - at)
        want = (size_t)(limit - at);
    while (want > 0) {
        size_t got = 0;
        enum ldb_status status = ldb_sequential_read(
            s->file, want, s->block + s->block_len, &got, &s->error);

        if (status != LDB_OK)
            return fail(s, status);
        if (got == 0)
            return damaged(s, "the file ends");
        s->block_len += got;
        want -= got;
    }
    return LDB_OK;
}

/* Joins the payload of the chunk at `used`, all of which is in the block. */
static enum ldb_status take_chunk(struct ldb_journal_stream *s)
{
    const uint8_t *p = s->block + s->used;
    struct ldb_reader r =
        ldb_reader_make(ldb_slice_make(p, s->block_len - s->used));
    struct ldb_slice payload;
    uint32_t stored;
    uint16_t len;
    uint8_t type;
    bool begins;
    enum ldb_status status;

    (void)ldb_reader_fixed32(&r, &stored);
    (void)ldb_reader_fixed16(&r, &len);
    (void)ldb_reader_u8(&r, &type);
    if (!ldb_reader_bytes(&r, len, &payload))
        return damaged(s, "chunk longer than its block");
    if (ldb_crc_unmask(stored) !=
        ldb_crc32c(ldb_slice_make(p + 6, (size_t)len + 1)))
        return damaged(s, "checksum mismatch");
    begins = type == LDB_CHUNK_FULL || type == LDB_CHUNK_FIRST;
    /* Old writers left an empty FIRST at a block's end and began anew. */
    if (begins && !s->has_header && s->pending.len == 0)
        s->is_open = false;
    if (type == LDB_CHUNK_ZERO || type > LDB_CHUNK_LAST || begins == s->is_open)
        return damaged(s, "a chunk that does not follow");
    status = ldb_buf_append(&s->pending, payload);
    if (status != LDB_OK) {
        (void)ldb_error_no_memory(&s->error);
        return fail(s, LDB_NO_MEMORY);
    }
    s->is_open = true;
    s->is_whole = type == LDB_CHUNK_FULL || type == LDB_CHUNK_LAST;
    s->used += LDB_JOURNAL_HEADER_SIZE + len;
    return LDB_OK;
}

/* The next chunk before limit; NOT_FOUND: there is none. */
static enum ldb_status next_chunk(struct ldb_journal_stream *s, uint64_t limit)
{
    size_t room = LDB_JOURNAL_BLOCK_SIZE - s->used;
    enum ldb_status status = LDB_OK;

    /* The rest of a block too short for a header is padding, which comes with
     * the record after it. */
    if (room < LDB_JOURNAL_HEADER_SIZE && s->block_offset + s->used < limit) {
        while (status == LDB_OK && s->block_len < LDB_JOURNAL_BLOCK_SIZE)
            status = fill(s, limit);
        s->used = s->block_len;
    }
    if (status == LDB_OK && s->used == s->block_len)
        status = fill(s, limit);
    if (status == LDB_NOT_FOUND && s->is_open)
        return damaged(s, "a record without its end");
    return status == LDB_OK ? take_chunk(s) : status;
}

/* ---- operations ---- */

/* What is left of the record goes to the front, so that it does not grow by
 * what was taken. */
static void compact(struct ldb_journal_stream *s)
{
    size_t left = s->pending.len - s->taken;

    if (s->taken == 0)
        return;
    if (left > 0)
        memmove(s->pending.data, s->pending.data + s->taken, left);
    s->pending.len = left;
    s->taken = 0;
}

static struct ldb_reader rest(const struct ldb_journal_stream *s)
{
    struct ldb_slice all = ldb_slice_of_buf(&s->pending);

    if (all.len == 0)
        return ldb_reader_make(all);
    return ldb_reader_make(
        ldb_slice_make(all.data + s->taken, all.len - s->taken));
}

/* False: more of the record is needed. */
static bool take_header(struct ldb_journal_stream *s)
{
    struct ldb_reader r = rest(s);

    (void)ldb_reader_fixed64(&r, &s->next);
    (void)ldb_reader_fixed32(&r, &s->left);
    if (r.failed)
        return false;
    s->taken += BATCH_HEADER_BYTES;
    s->has_header = true;
    return true;
}

static bool take_op(struct ldb_journal_stream *s, struct ldb_journal_op *out)
{
    struct ldb_reader r = rest(s);
    const uint8_t *begin = r.p;
    struct ldb_journal_op op = {.sequence = s->next};
    uint8_t kind;

    (void)ldb_reader_u8(&r, &kind);
    (void)ldb_reader_length_prefixed(&r, &op.key);
    if (kind == LDB_KIND_PUT)
        (void)ldb_reader_length_prefixed(&r, &op.value);
    if (r.failed)
        return false;
    op.kind = kind == LDB_KIND_PUT ? LDB_KIND_PUT : LDB_KIND_DELETE;
    s->taken += (size_t)(r.p - begin);
    s->next++;
    s->left--;
    *out = op;
    return true;
}

/* The kind byte that stands next, where one does. */
static bool has_bad_kind(const struct ldb_journal_stream *s)
{
    return s->pending.len > s->taken &&
           s->pending.data[s->taken] != LDB_KIND_PUT &&
           s->pending.data[s->taken] != LDB_KIND_DELETE;
}

static void end_record(struct ldb_journal_stream *s)
{
    s->is_open = false;
    s->is_whole = false;
    s->has_header = false;
    s->taken = 0;
    ldb_buf_clear(&s->pending);
    if (s->pending.capacity > PENDING_KEPT_BYTES)
        ldb_buf_release(&s->pending);
}

/* The next operation out of what is pending. OK; NOT_FOUND: it takes another
 * chunk. */
static enum ldb_status take_pending(struct ldb_journal_stream *s,
                                    struct ldb_journal_op *out)
{
    if (!s->has_header && (!take_header(s) || s->next > LDB_SEQUENCE_MAX ||
                           s->left > LDB_SEQUENCE_MAX + 1 - s->next)) {
        if (s->has_header || s->is_whole)
            return damaged(s, "a batch with a bad header");
        return LDB_NOT_FOUND;
    }
    if (s->left == 0) {
        if (s->taken != s->pending.len)
            return damaged(s, "a batch with more than its operations");
        if (s->is_whole)
            end_record(s);
        return LDB_NOT_FOUND;
    }
    if (has_bad_kind(s))
        return damaged(s, "an operation of unknown kind");
    if (take_op(s, out))
        return LDB_OK;
    return s->is_whole ? damaged(s, "a batch with less than its operations")
                       : LDB_NOT_FOUND;
}

enum ldb_status ldb_journal_stream_next(struct ldb_journal_stream *stream,
                                        uint64_t limit, struct ldb_error *err,
                                        struct ldb_journal_op *out)
{
    struct ldb_journal_stream *s = stream;
    struct ldb_journal_op op = {0};
    enum ldb_status status = s->failed;

    while (status == LDB_OK) {
        status = s->is_open ? take_pending(s, &op) : LDB_NOT_FOUND;
        if (status != LDB_NOT_FOUND)
            break;
        compact(s);
        status = next_chunk(s, limit);
    }
    if (status == LDB_OK)
        *out = op;
    else if (status != LDB_NOT_FOUND && err != NULL)
        *err = s->error;
    return status;
}
