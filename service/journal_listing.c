#include "service/journal_listing.h"

#include <inttypes.h>

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/journal/journal_feed.h"
#include "storage/journal/journal_format.h"
#include "storage/journal/write_batch.h"

/* Bytes of a value that a line shows: as many as of a file's listing. */
#define VALUE_SHOWN 32

struct svc_journal_listing {
    struct ldb_journal_feed *feed;
    ldb_describe_line line;
    void *context;
    struct ldb_buf text; /* the line being made */
    struct ldb_buf key;  /* scratch */
    uint64_t damages;
};

struct svc_journal_listing *svc_journal_listing_create(const char *name,
                                                       ldb_describe_line line,
                                                       void *context)
{
    struct svc_journal_listing *listing = ldb_mem_zalloc(1, sizeof(*listing));

    if (listing == NULL)
        return NULL;
    listing->line = line;
    listing->context = context;
    listing->text = (struct ldb_buf)LDB_BUF_INIT(SIZE_MAX);
    listing->key = (struct ldb_buf)LDB_BUF_INIT(SIZE_MAX);
    listing->feed = ldb_journal_feed_create(name, 0);
    if (listing->feed != NULL)
        return listing;
    svc_journal_listing_destroy(listing);
    return NULL;
}

void svc_journal_listing_destroy(struct svc_journal_listing *listing)
{
    if (listing == NULL)
        return;
    ldb_journal_feed_destroy(listing->feed);
    ldb_buf_release(&listing->text);
    ldb_buf_release(&listing->key);
    ldb_mem_free(listing);
}

/* ---- lines ---- */

/* Hands the line over and begins the next one. */
static enum ldb_status end_line(struct svc_journal_listing *listing,
                                enum ldb_status made, struct ldb_error *err)
{
    enum ldb_status s = made;

    if (s == LDB_OK)
        s = listing->line(listing->context, ldb_slice_of_buf(&listing->text));
    ldb_buf_clear(&listing->text);
    if (s != LDB_OK)
        return ldb_error_set(err, s, "line: %s", ldb_status_text(s));
    return LDB_OK;
}

static enum ldb_status print_damage(struct svc_journal_listing *listing,
                                    const char *message, struct ldb_error *err)
{
    listing->damages++;
    return end_line(listing, ldb_buf_printf(&listing->text, "! %s", message),
                    err);
}

/* " = "text..." (N bytes)" */
static enum ldb_status add_value(struct ldb_buf *text, struct ldb_slice value)
{
    size_t shown = value.len < VALUE_SHOWN ? value.len : VALUE_SHOWN;
    enum ldb_status s = ldb_buf_append(text, ldb_slice_str(" = \""));

    for (size_t i = 0; s == LDB_OK && i < shown; i++) {
        uint8_t c = value.data[i];

        s = c < 0x20 || c > 0x7e || c == '"' || c == '\\'
                ? ldb_buf_printf(text, "\\x%02x", (unsigned)c)
                : ldb_buf_append_byte(text, c);
    }
    if (s != LDB_OK)
        return s;
    return ldb_buf_printf(text, "%s\" (%zu bytes)",
                          shown < value.len ? "..." : "", value.len);
}

static enum ldb_status print_op(struct svc_journal_listing *listing,
                                const struct ldb_batch_op *op,
                                ldb_sequence sequence, struct ldb_error *err)
{
    enum ldb_status s = ldb_buf_append(&listing->text, ldb_slice_str("  "));

    ldb_buf_clear(&listing->key);
    if (s == LDB_OK)
        s = ldb_internal_key_append(&listing->key, op->key,
                                    ldb_tag_make(sequence, op->kind));
    if (s == LDB_OK)
        s = ldb_internal_key_describe(&listing->text,
                                      ldb_slice_of_buf(&listing->key));
    if (s == LDB_OK && op->kind == LDB_KIND_PUT)
        s = add_value(&listing->text, op->value);
    return end_line(listing, s, err);
}

/* ---- records ---- */

/* Of the record last given, without what pads the block before it. */
static uint64_t record_offset(const struct svc_journal_listing *listing)
{
    uint64_t offset = ldb_journal_feed_record_offset(listing->feed);
    uint64_t left = LDB_JOURNAL_BLOCK_SIZE - offset % LDB_JOURNAL_BLOCK_SIZE;

    return left < LDB_JOURNAL_HEADER_SIZE ? offset + left : offset;
}

static enum ldb_status print_batch(struct svc_journal_listing *listing,
                                   struct ldb_slice record,
                                   struct ldb_error *err)
{
    uint64_t offset = record_offset(listing);
    struct ldb_error why = {0};
    struct ldb_error text = {0};
    ldb_sequence sequence = 0;
    uint32_t count = 0;
    struct ldb_batch_cursor cursor;
    struct ldb_batch_op op;
    enum ldb_status s;

    if (ldb_batch_check(record, &why, &sequence, &count) != LDB_OK) {
        (void)ldb_error_set(&text, LDB_CORRUPTION,
                            "batch at %" PRIu64 ": %.180s", offset,
                            why.message);
        return print_damage(listing, text.message, err);
    }
    s = end_line(listing,
                 ldb_buf_printf(&listing->text,
                                "%" PRIu64 ": batch of %zu bytes, sequence "
                                "%" PRIu64 ", count %" PRIu32,
                                offset, record.len, sequence, count),
                 err);
    cursor = ldb_batch_cursor_make(record);
    while (s == LDB_OK && ldb_batch_cursor_next(&cursor, &op))
        s = print_op(listing, &op, sequence++, err);
    return s;
}

static enum ldb_status print_whole(struct svc_journal_listing *listing,
                                   struct ldb_error *err)
{
    struct ldb_slice record = {0};
    enum ldb_status s;

    while ((s = ldb_journal_feed_next(listing->feed, err, &record)) == LDB_OK) {
        s = print_batch(listing, record, err);
        if (s != LDB_OK)
            return s;
    }
    if (s == LDB_NOT_FOUND) {
        ldb_journal_feed_take(listing->feed);
        s = LDB_OK;
    }
    return s;
}

enum ldb_status svc_journal_listing_add(struct svc_journal_listing *listing,
                                        struct ldb_slice bytes,
                                        struct ldb_error *err)
{
    struct ldb_error why = {0};
    enum ldb_status added = ldb_journal_feed_add(listing->feed, bytes, &why);
    /* Records before a byte that is bad are whole. */
    enum ldb_status s = print_whole(listing, err);

    if (s == LDB_OK && added == LDB_CORRUPTION)
        s = print_damage(listing, why.message, err);
    if (s == LDB_OK && added != LDB_OK) {
        s = added;
        if (err != NULL)
            *err = why;
    }
    return s;
}

enum ldb_status svc_journal_listing_end(struct svc_journal_listing *listing,
                                        struct ldb_error *err,
                                        uint64_t *out_damages)
{
    uint64_t tail = ldb_journal_feed_end(listing->feed) -
                    ldb_journal_feed_whole_end(listing->feed);
    enum ldb_status s = LDB_OK;

    if (tail > 0)
        s = end_line(listing,
                     ldb_buf_printf(&listing->text,
                                    "# %" PRIu64
                                    " bytes at the end are no whole record",
                                    tail),
                     err);
    *out_damages = listing->damages;
    return s;
}
