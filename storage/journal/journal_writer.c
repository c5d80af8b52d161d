/*
 * The buffer holds the bytes of the file from written_len on. add() frames
 * straight into it: a chunk's header and payload lie together there, so that
 * one CRC pass covers type byte and payload, and the record is copied once.
 * flushed_len is a promise to the owner (whole records of finished flushes);
 * written_len may be past it when a group was too large for the buffer. cut()
 * returns to flushed_len, so that a group whose flush failed is never half
 * there. Its sequence numbers are skipped all the same (commit.c).
 */
#include "storage/journal/journal_writer.h"

#include <stdatomic.h>

#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"

/* Chosen: a buffer over this goes to the file before the flush. */
#define BUFFER_FLUSH_BYTES ((size_t)1 << 20)

/* A chunk may end past the mark, and a block's padding stand before it. */
#define BUFFER_LIMIT (BUFFER_FLUSH_BYTES + 2 * (size_t)LDB_JOURNAL_BLOCK_SIZE)

/* Room that is there from the start; chosen: one block. */
#define BUFFER_FIRST_BYTES LDB_JOURNAL_BLOCK_SIZE

/* A failure that stays; error is written before the flag. */
struct failure {
    _Atomic(bool) is_set; /* release; acquire by the other thread */
    struct ldb_error error;
};

/*
 * Locking: none.
 *   constant       file
 *   atomics        flushed_len (release by flush, acquire by sync),
 *                  synced_len (release by sync, acquire by readers)
 *   add and flush  buffer, block_used, written_len, append_failure
 *   sync           sync_failure
 */
struct ldb_journal_writer {
    struct ldb_writable_file *file;
    _Atomic(uint64_t) flushed_len;
    _Atomic(uint64_t) synced_len;
    struct ldb_buf buffer;
    size_t block_used;    /* bytes of the block that the next chunk goes to */
    uint64_t written_len; /* bytes handed to the file */
    struct failure append_failure;
    struct failure sync_failure;
};

static enum ldb_status fail(struct failure *failure, enum ldb_status status,
                            const struct ldb_error *found,
                            struct ldb_error *err)
{
    assert(status != LDB_OK);
    failure->error = *found;
    failure->error.status = status;
    atomic_store_explicit(&failure->is_set, true, memory_order_release);
    if (err != NULL)
        *err = failure->error;
    return status;
}

/* What an earlier call failed with, or OK. */
static enum ldb_status check(const struct failure *failure,
                             struct ldb_error *err)
{
    if (LDB_LIKELY(
            !atomic_load_explicit(&failure->is_set, memory_order_acquire)))
        return LDB_OK;
    if (err != NULL)
        *err = failure->error;
    return failure->error.status;
}

static enum ldb_status check_alive(const struct ldb_journal_writer *writer,
                                   struct ldb_error *err)
{
    enum ldb_status s = check(&writer->append_failure, err);

    return s != LDB_OK ? s : check(&writer->sync_failure, err);
}

enum ldb_status ldb_journal_writer_create(struct ldb_writable_file *file,
                                          uint64_t start_offset,
                                          struct ldb_error *err,
                                          struct ldb_journal_writer **out)
{
    struct ldb_journal_writer *writer = ldb_mem_zalloc(1, sizeof(*writer));
    enum ldb_status s = LDB_NO_MEMORY;

    if (writer == NULL)
        goto out;
    writer->file = file;
    writer->buffer = (struct ldb_buf)LDB_BUF_INIT(BUFFER_LIMIT);
    writer->block_used = start_offset % LDB_JOURNAL_BLOCK_SIZE;
    writer->written_len = start_offset;
    atomic_init(&writer->flushed_len, start_offset);
    atomic_init(&writer->synced_len, 0);
    s = ldb_buf_reserve(&writer->buffer, BUFFER_FIRST_BYTES);
    if (s != LDB_OK)
        goto out;
    *out = writer;
out:
    if (s != LDB_OK) {
        /* Nothing was written to it: its closing tells nothing new. */
        (void)ldb_file_close(file, NULL);
        ldb_mem_free(writer);
        return ldb_error_no_memory(err);
    }
    return s;
}

/* Hands the buffer to the file; what it fails with stays. */
static enum ldb_status write_buffer(struct ldb_journal_writer *writer,
                                    struct ldb_error *err)
{
    struct ldb_error found;
    enum ldb_status s;

    if (writer->buffer.len == 0)
        return LDB_OK;
    ldb_error_init(&found);
    s = ldb_file_append(writer->file, ldb_slice_of_buf(&writer->buffer),
                        &found);
    if (s != LDB_OK)
        return fail(&writer->append_failure, s, &found, err);
    writer->written_len += writer->buffer.len;
    ldb_buf_clear(&writer->buffer);
    return LDB_OK;
}

/* A place in a record given in parts. */
struct source {
    const struct ldb_slice *part;
    size_t used; /* bytes of *part */
};

/* Copies the next n bytes of the record; it has that many. */
static void copy_out(struct source *source, uint8_t *to, size_t n)
{
    while (n != 0) {
        size_t left = source->part->len - source->used;
        size_t run = left < n ? left : n;

        if (run != 0)
            memcpy(to, source->part->data + source->used, run);
        to += run;
        n -= run;
        source->used += run;
        if (source->used == source->part->len) {
            source->part++;
            source->used = 0;
        }
    }
}

static enum ldb_chunk_type chunk_type(bool is_first, bool is_last)
{
    if (is_first)
        return is_last ? LDB_CHUNK_FULL : LDB_CHUNK_FIRST;
    return is_last ? LDB_CHUNK_LAST : LDB_CHUNK_MIDDLE;
}

/* Zeros what is left of a block that has no room for a header. */
static void pad_block(struct ldb_journal_writer *writer)
{
    size_t left = LDB_JOURNAL_BLOCK_SIZE - writer->block_used;

    assert_slow(writer->buffer.capacity - writer->buffer.len >= left);
    memset(writer->buffer.data + writer->buffer.len, 0, left);
    writer->buffer.len += left;
    writer->block_used = 0;
}

/*
 * Frames the next chunk of the record, of which *left bytes are to go. With
 * exactly a header's room left in the block it is empty, as both libraries
 * write it.
 */
static enum ldb_status add_chunk(struct ldb_journal_writer *writer,
                                 struct source *source, size_t *left,
                                 bool is_first)
{
    size_t room;
    size_t n;
    uint8_t *p;
    enum ldb_status s;

    /* At most a padding, a header and the rest of a block. */
    s = ldb_buf_reserve(
        &writer->buffer,
        2 * LDB_JOURNAL_HEADER_SIZE +
            (*left < LDB_JOURNAL_BLOCK_SIZE ? *left : LDB_JOURNAL_BLOCK_SIZE));
    if (s != LDB_OK)
        return s;
    if (LDB_JOURNAL_BLOCK_SIZE - writer->block_used < LDB_JOURNAL_HEADER_SIZE)
        pad_block(writer);
    room =
        LDB_JOURNAL_BLOCK_SIZE - writer->block_used - LDB_JOURNAL_HEADER_SIZE;
    n = *left < room ? *left : room;
    *left -= n;

    p = writer->buffer.data + writer->buffer.len;
    ldb_store_fixed16(p + 4, (uint16_t)n);
    p[6] = (uint8_t)chunk_type(is_first, *left == 0);
    copy_out(source, p + LDB_JOURNAL_HEADER_SIZE, n);
    ldb_store_fixed32(p,
                      ldb_crc_mask(ldb_crc32c(ldb_slice_make(p + 6, n + 1))));
    writer->buffer.len += LDB_JOURNAL_HEADER_SIZE + n;
    writer->block_used += LDB_JOURNAL_HEADER_SIZE + n;
    assert(writer->block_used <= LDB_JOURNAL_BLOCK_SIZE);
    return LDB_OK;
}

enum ldb_status ldb_journal_writer_add(struct ldb_journal_writer *writer,
                                       const struct ldb_slice *parts,
                                       size_t count, struct ldb_error *err)
{
    struct source source = {.part = parts, .used = 0};
    bool is_first = true;
    size_t left = 0;
    enum ldb_status s;

    s = check_alive(writer, err);
    if (s != LDB_OK)
        return s;
    for (size_t i = 0; i < count; i++)
        left += parts[i].len;
    do {
        s = add_chunk(writer, &source, &left, is_first);
        if (s != LDB_OK) {
            struct ldb_error found = {0};

            (void)ldb_error_no_memory(&found);
            return fail(&writer->append_failure, LDB_NO_MEMORY, &found, err);
        }
        is_first = false;
        if (writer->buffer.len >= BUFFER_FLUSH_BYTES) {
            s = write_buffer(writer, err);
            if (s != LDB_OK)
                return s;
        }
    } while (left != 0);
    return LDB_OK;
}

enum ldb_status ldb_journal_writer_add_framed(struct ldb_journal_writer *writer,
                                              struct ldb_slice bytes,
                                              struct ldb_error *err)
{
    enum ldb_status s = check_alive(writer, err);

    while (s == LDB_OK && bytes.len > 0) {
        size_t room = BUFFER_FLUSH_BYTES - writer->buffer.len;
        size_t n = bytes.len < room ? bytes.len : room;
        struct ldb_error found = {0};

        if (ldb_buf_append(&writer->buffer, ldb_slice_make(bytes.data, n)) !=
            LDB_OK) {
            (void)ldb_error_no_memory(&found);
            return fail(&writer->append_failure, LDB_NO_MEMORY, &found, err);
        }
        writer->block_used = (writer->block_used + n) % LDB_JOURNAL_BLOCK_SIZE;
        bytes = ldb_slice_make(bytes.data + n, bytes.len - n);
        if (writer->buffer.len >= BUFFER_FLUSH_BYTES)
            s = write_buffer(writer, err);
    }
    return s;
}

enum ldb_status ldb_journal_writer_flush(struct ldb_journal_writer *writer,
                                         struct ldb_error *err)
{
    enum ldb_status s = check_alive(writer, err);

    if (s != LDB_OK)
        return s;
    s = write_buffer(writer, err);
    if (s != LDB_OK)
        return s;
    atomic_store_explicit(&writer->flushed_len, writer->written_len,
                          memory_order_release);
    return LDB_OK;
}

enum ldb_status ldb_journal_writer_sync(struct ldb_journal_writer *writer,
                                        struct ldb_error *err)
{
    uint64_t len;
    struct ldb_error found = {0};
    enum ldb_status s;

    s = check(&writer->sync_failure, err);
    if (s != LDB_OK)
        return s;
    len = atomic_load_explicit(&writer->flushed_len, memory_order_acquire);
    s = ldb_file_sync(writer->file, &found);
    if (s != LDB_OK)
        return fail(&writer->sync_failure, s, &found, err);
    atomic_store_explicit(&writer->synced_len, len, memory_order_release);
    return LDB_OK;
}

uint64_t ldb_journal_writer_flushed_len(const struct ldb_journal_writer *w)
{
    return atomic_load_explicit(&w->flushed_len, memory_order_acquire);
}

uint64_t ldb_journal_writer_synced_len(const struct ldb_journal_writer *w)
{
    return atomic_load_explicit(&w->synced_len, memory_order_acquire);
}

enum ldb_status ldb_journal_writer_cut(struct ldb_journal_writer *writer,
                                       struct ldb_error *err)
{
    uint64_t len = ldb_journal_writer_flushed_len(writer);
    struct ldb_error found = {0};
    enum ldb_status s;

    /*
     * After a failed sync the kernel may have forgotten what it could not
     * write: a later sync that succeeds proves nothing.
     */
    s = check(&writer->sync_failure, err);
    if (s != LDB_OK)
        return s;
    s = ldb_file_truncate(writer->file, len, &found);
    if (s != LDB_OK)
        return fail(&writer->append_failure, s, &found, err);
    s = ldb_journal_writer_sync(writer, err);
    if (s != LDB_OK)
        return s;
    ldb_buf_clear(&writer->buffer);
    writer->written_len = len;
    writer->block_used = len % LDB_JOURNAL_BLOCK_SIZE;
    atomic_store_explicit(&writer->append_failure.is_set, false,
                          memory_order_release);
    return LDB_OK;
}

enum ldb_status ldb_journal_writer_close(struct ldb_journal_writer *writer,
                                         struct ldb_error *err)
{
    enum ldb_status s = ldb_file_close(writer->file, err);

    ldb_buf_release(&writer->buffer);
    ldb_mem_free(writer);
    return s;
}
