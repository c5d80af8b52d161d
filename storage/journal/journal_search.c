#include "storage/journal/journal_search.h"

#include <inttypes.h>

#include "storage/base/reader.h"
#include "storage/base/status.h"
#include "storage/journal/journal_format.h"

/* A chunk's header and, in a first one, the sequence of its batch. */
#define HEAD_BYTES (LDB_JOURNAL_HEADER_SIZE + 8)

struct search {
    struct ldb_random_file *file;
    const char *name;
    uint64_t len;
};

/* A record's place and the first sequence of its batch. */
struct found {
    bool is_there;
    uint64_t offset;
    ldb_sequence first;
};

/* The chunk at offset: its length with header, and what it begins. */
static enum ldb_status read_head(const struct search *s, uint64_t offset,
                                 struct ldb_error *err, uint64_t *out_len,
                                 struct found *out)
{
    uint8_t scratch[HEAD_BYTES];
    struct ldb_slice bytes;
    struct ldb_reader r;
    uint64_t room = LDB_JOURNAL_BLOCK_SIZE - offset % LDB_JOURNAL_BLOCK_SIZE;
    size_t want = HEAD_BYTES;
    uint32_t checksum;
    uint16_t len;
    uint8_t type;
    enum ldb_status status;

    if (want > s->len - offset)
        want = (size_t)(s->len - offset);
    status = ldb_random_read_at(s->file, offset, want, scratch, &bytes, err);
    if (status != LDB_OK)
        return status;
    r = ldb_reader_make(bytes);
    (void)ldb_reader_fixed32(&r, &checksum);
    (void)ldb_reader_fixed16(&r, &len);
    (void)ldb_reader_u8(&r, &type);
    if (r.failed || (uint64_t)len + LDB_JOURNAL_HEADER_SIZE > room)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: chunk longer than its block at offset "
                             "%" PRIu64,
                             s->name, offset);
    *out_len = (uint64_t)len + LDB_JOURNAL_HEADER_SIZE;
    *out = (struct found){.offset = offset};
    /* One whose sequence lies across two chunks is passed over. */
    out->is_there = (type == LDB_CHUNK_FULL || type == LDB_CHUNK_FIRST) &&
                    len >= 8 && ldb_reader_fixed64(&r, &out->first);
    return LDB_OK;
}

/* The first record that begins in that block or in one before block end. */
static enum ldb_status first_record(const struct search *s, uint64_t block,
                                    uint64_t end, struct ldb_error *err,
                                    struct found *out)
{
    uint64_t offset = block * LDB_JOURNAL_BLOCK_SIZE;
    uint64_t stop = end * LDB_JOURNAL_BLOCK_SIZE;

    *out = (struct found){0};
    if (stop > s->len)
        stop = s->len;
    while (offset < stop && !out->is_there) {
        uint64_t room =
            LDB_JOURNAL_BLOCK_SIZE - offset % LDB_JOURNAL_BLOCK_SIZE;
        uint64_t len = room;

        if (room >= LDB_JOURNAL_HEADER_SIZE) {
            enum ldb_status status = read_head(s, offset, err, &len, out);

            if (status != LDB_OK)
                return status;
        }
        offset += len;
    }
    return LDB_OK;
}

enum ldb_status ldb_journal_search(struct ldb_random_file *file,
                                   const char *name, uint64_t len,
                                   ldb_sequence sequence, struct ldb_error *err,
                                   uint64_t *out_offset)
{
    const struct search s = {.file = file, .name = name, .len = len};
    uint64_t low = 0; /* the answer begins in it or later, or is 0 */
    uint64_t high = len / LDB_JOURNAL_BLOCK_SIZE + 1; /* and before it */
    uint64_t best = 0;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct found found;
        enum ldb_status status = first_record(&s, middle, high, err, &found);

        if (status != LDB_OK)
            return status;
        if (found.is_there && found.first <= sequence) {
            best = found.offset;
            low = found.offset / LDB_JOURNAL_BLOCK_SIZE + 1;
        } else {
            high = middle;
        }
    }
    *out_offset = best;
    return LDB_OK;
}
