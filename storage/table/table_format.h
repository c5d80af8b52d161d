/*
 * The fixed parts of a table file (docs/formats.md): block handle, block
 * trailer, footer.
 *
 *   block, trailer | ... | metaindex, trailer | index, trailer | footer
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_TABLE_TABLE_FORMAT_H
#define STORAGE_TABLE_TABLE_FORMAT_H

#include "storage/base/reader.h"
#include "storage/base/writer.h"

/* The last 8 bytes of every table, stored as 57 fb 80 8b 24 75 47 db. */
#define LDB_TABLE_MAGIC UINT64_C(0xdb4775248b80fb57)

/* After each block: its type and the masked CRC-32C of block and type. */
#define LDB_BLOCK_TRAILER_SIZE 5

/* Two varint64. */
#define LDB_BLOCK_HANDLE_MAX (2 * LDB_VARINT64_MAX)

/* Two handles, zeros up to 40 bytes, the magic. */
#define LDB_FOOTER_SIZE         48
#define LDB_FOOTER_HANDLES_SIZE (LDB_FOOTER_SIZE - 8)

static_assert(2 * LDB_BLOCK_HANDLE_MAX == LDB_FOOTER_HANDLES_SIZE,
              "a footer has room for two handles of any size");

/* What metaindex keys of filters begin with. */
#define LDB_METAINDEX_FILTER_PREFIX "filter."

/* On disk: do not change. */
enum ldb_block_type {
    LDB_BLOCK_PLAIN = 0,
    LDB_BLOCK_SNAPPY = 1,
};

/* Where a block is; size is without the trailer. */
struct ldb_block_handle {
    uint64_t offset;
    uint64_t size;
};

struct ldb_footer {
    struct ldb_block_handle metaindex;
    struct ldb_block_handle index;
};

/* Stores at p, which has LDB_BLOCK_HANDLE_MAX bytes of room; the byte after. */
static inline uint8_t *ldb_block_handle_store(uint8_t *p,
                                              struct ldb_block_handle handle)
{
    return ldb_store_varint64(ldb_store_varint64(p, handle.offset),
                              handle.size);
}

/* On failure r->failed is set and *out is zero. */
static inline bool ldb_block_handle_read(struct ldb_reader *r,
                                         struct ldb_block_handle *out)
{
    bool read = ldb_reader_varint64(r, &out->offset) &&
                ldb_reader_varint64(r, &out->size);

    if (!read)
        *out = (struct ldb_block_handle){0};
    return read;
}

/* Whether block and trailer lie within the first limit bytes of the file. */
static inline bool ldb_block_handle_fits(struct ldb_block_handle handle,
                                         uint64_t limit)
{
    return limit >= LDB_BLOCK_TRAILER_SIZE &&
           handle.offset <= limit - LDB_BLOCK_TRAILER_SIZE &&
           handle.size <= limit - LDB_BLOCK_TRAILER_SIZE - handle.offset;
}

/* Stores LDB_FOOTER_SIZE bytes at p. */
static inline void ldb_footer_store(uint8_t *p, const struct ldb_footer *footer)
{
    memset(p, 0, LDB_FOOTER_HANDLES_SIZE);
    (void)ldb_block_handle_store(ldb_block_handle_store(p, footer->metaindex),
                                 footer->index);
    ldb_store_fixed64(p + LDB_FOOTER_HANDLES_SIZE, LDB_TABLE_MAGIC);
}

/* Whether the LDB_FOOTER_SIZE bytes end with the magic. */
static inline bool ldb_footer_has_magic(struct ldb_slice bytes)
{
    return bytes.len == LDB_FOOTER_SIZE &&
           ldb_load_fixed64(bytes.data + LDB_FOOTER_HANDLES_SIZE) ==
               LDB_TABLE_MAGIC;
}

/* The two handles, unchecked against the file. False when they don't decode. */
static inline bool ldb_footer_read(struct ldb_slice bytes,
                                   struct ldb_footer *out)
{
    struct ldb_reader r = ldb_reader_make(bytes);

    return ldb_block_handle_read(&r, &out->metaindex) &&
           ldb_block_handle_read(&r, &out->index);
}

#endif
