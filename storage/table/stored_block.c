#include "storage/table/stored_block.h"

#include <inttypes.h>

#include "storage/base/checksum.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/table/block_builder.h"
#include "storage/table/compression.h"

enum ldb_status ldb_stored_block_corrupt(struct ldb_error *err,
                                         const char *name, uint64_t offset,
                                         const char *problem)
{
    return ldb_error_set(err, LDB_CORRUPTION, "%s: block at %" PRIu64 ": %s",
                         name, offset, problem);
}

/* len is at most a file's or a checked length, so the sum cannot wrap. */
static struct ldb_block_memory *alloc_memory(size_t len)
{
    struct ldb_block_memory *memory = ldb_mem_alloc(1, sizeof(*memory) + len);

    if (memory != NULL)
        memory->len = len;
    return memory;
}

/*
 * len bytes: the scratch's next ones, or memory. NULL: no memory. What is not
 * taken from the scratch is in *out_memory, else NULL.
 */
static uint8_t *take_room(struct ldb_block_scratch *scratch, size_t len,
                          struct ldb_block_memory **out_memory)
{
    uint8_t *room = scratch->bytes;

    *out_memory = NULL;
    if (room != NULL && len <= scratch->size) {
        scratch->bytes += len;
        scratch->size -= len;
        return room;
    }
    *out_memory = alloc_memory(len);
    return *out_memory == NULL ? NULL : (*out_memory)->bytes;
}

/* Block and trailer: in the mapping, the scratch, or fresh memory. */
static enum ldb_status read_raw(struct ldb_random_file *file, const char *name,
                                struct ldb_block_handle handle,
                                struct ldb_block_scratch *scratch,
                                struct ldb_error *err,
                                struct ldb_slice *out_raw,
                                struct ldb_block_memory **out_memory)
{
    size_t len = (size_t)handle.size + LDB_BLOCK_TRAILER_SIZE;
    struct ldb_block_memory *memory;
    uint8_t *room;
    enum ldb_status s;

    if (file->mapping.len > 0) {
        if (!ldb_block_handle_fits(handle, file->mapping.len))
            return ldb_stored_block_corrupt(err, name, handle.offset,
                                            "passes the end of the file");
        *out_raw = (struct ldb_slice){
            .data = file->mapping.data + handle.offset, .len = len};
        *out_memory = NULL;
        return LDB_OK;
    }
    room = take_room(scratch, len, &memory);
    if (room == NULL)
        return ldb_error_no_memory(err);
    s = ldb_random_read_at(file, handle.offset, len, room, out_raw, err);
    if (s != LDB_OK) {
        ldb_mem_free(memory);
        return ldb_error_prefix(err, s, "%s: block at %" PRIu64, name,
                                handle.offset);
    }
    if (out_raw->data != room) {
        ldb_mem_free(memory);
        memory = NULL;
    }
    *out_memory = memory;
    return LDB_OK;
}

static enum ldb_status check_crc(struct ldb_slice raw, const char *name,
                                 uint64_t offset, struct ldb_error *err)
{
    size_t covered = raw.len - 4; /* contents and type */
    uint32_t stored = ldb_crc_unmask(ldb_load_fixed32(raw.data + covered));
    uint32_t actual =
        ldb_crc32c((struct ldb_slice){.data = raw.data, .len = covered});

    if (LDB_LIKELY(stored == actual))
        return LDB_OK;
    return ldb_error_set(err, LDB_CORRUPTION,
                         "%s: block at %" PRIu64 ": checksum 0x%08" PRIx32
                         ", stored 0x%08" PRIx32,
                         name, offset, actual, stored);
}

/* Room for the plain block, and the decoder that is to fill it. */
static enum ldb_status begin_decoding(struct ldb_slice stored, const char *name,
                                      uint64_t offset,
                                      struct ldb_block_scratch *scratch,
                                      struct ldb_error *err,
                                      struct ldb_stored_block *out)
{
    struct ldb_block_memory *memory;
    size_t len, room_size;
    uint8_t *room;

    if (!ldb_snappy_plain_len(stored, LDB_BLOCK_SIZE_MAX, &len))
        return ldb_stored_block_corrupt(err, name, offset,
                                        "impossible uncompressed length");
    room = take_room(scratch, len, &memory);
    if (room == NULL)
        return ldb_error_no_memory(err);
    /* The rest of the scratch has no other use. */
    room_size = memory == NULL ? len + scratch->size : len;
    if (!ldb_snappy_decoder_init(&out->decoder, stored, len, room, room_size)) {
        ldb_mem_free(memory);
        return ldb_stored_block_corrupt(err, name, offset,
                                        "does not uncompress");
    }
    out->memory = memory;
    out->contents = (struct ldb_slice){.data = room, .len = len};
    return LDB_OK;
}

/* raw without its trailer, to be uncompressed where need be. */
static enum ldb_status begin_contents(struct ldb_slice raw, const char *name,
                                      uint64_t offset,
                                      struct ldb_block_scratch *scratch,
                                      struct ldb_block_memory *raw_memory,
                                      struct ldb_error *err,
                                      struct ldb_stored_block *out)
{
    struct ldb_slice stored = {.data = raw.data,
                               .len = raw.len - LDB_BLOCK_TRAILER_SIZE};
    uint8_t type = raw.data[stored.len];

    out->is_compressed = type == LDB_BLOCK_SNAPPY;
    if (type == LDB_BLOCK_PLAIN) {
        if (raw_memory != NULL)
            raw_memory->len = stored.len;
        out->contents = stored;
        out->memory = raw_memory;
        out->stored_memory = NULL;
        return LDB_OK;
    }
    if (type != LDB_BLOCK_SNAPPY)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: block at %" PRIu64
                             ": unknown compression type %u",
                             name, offset, (unsigned)type);
    out->stored_memory = raw_memory;
    return begin_decoding(stored, name, offset, scratch, err, out);
}

/* memory, which holds raw unless it is NULL, goes over to out; not on failure.
 */
static enum ldb_status begin(struct ldb_slice raw, const char *name,
                             uint64_t offset, bool verify_checksum,
                             struct ldb_block_scratch *scratch,
                             struct ldb_block_memory *memory,
                             struct ldb_error *err,
                             struct ldb_stored_block *out)
{
    enum ldb_status s = LDB_OK;

    if (verify_checksum)
        s = check_crc(raw, name, offset, err);
    if (s == LDB_OK)
        s = begin_contents(raw, name, offset, scratch, memory, err, out);
    return s;
}

enum ldb_status
ldb_stored_block_begin(struct ldb_random_file *file, const char *name,
                       uint64_t limit, struct ldb_block_handle handle,
                       bool verify_checksum, struct ldb_block_scratch scratch,
                       struct ldb_error *err, struct ldb_stored_block *out)
{
    struct ldb_block_memory *memory = NULL;
    struct ldb_slice raw;
    enum ldb_status s;

    if (!ldb_block_handle_fits(handle, limit))
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: block at %" PRIu64 " of %" PRIu64
                             " bytes passes %" PRIu64,
                             name, handle.offset, handle.size, limit);
    s = read_raw(file, name, handle, &scratch, err, &raw, &memory);
    if (s != LDB_OK)
        return s;
    s = begin(raw, name, handle.offset, verify_checksum, &scratch, memory, err,
              out);
    if (s != LDB_OK)
        ldb_mem_free(memory);
    return s;
}

enum ldb_status ldb_stored_block_decode(struct ldb_stored_block *block,
                                        const char *name, uint64_t offset,
                                        size_t len, struct ldb_error *err)
{
    if (!block->is_compressed || ldb_snappy_decode(&block->decoder, len))
        return LDB_OK;
    return ldb_stored_block_corrupt(err, name, offset, "does not uncompress");
}

void ldb_stored_block_release(struct ldb_stored_block *block)
{
    ldb_mem_free(block->memory);
    ldb_mem_free(block->stored_memory);
    block->memory = NULL;
    block->stored_memory = NULL;
}

/* Uncompresses all of the block, which goes over to out or is released. */
static enum ldb_status finish(struct ldb_stored_block *block, const char *name,
                              uint64_t offset, struct ldb_error *err,
                              struct ldb_stored_block *out)
{
    enum ldb_status s =
        ldb_stored_block_decode(block, name, offset, block->contents.len, err);

    if (s != LDB_OK) {
        ldb_stored_block_release(block);
        return s;
    }
    ldb_mem_free(block->stored_memory);
    block->stored_memory = NULL;
    *out = *block;
    return LDB_OK;
}

enum ldb_status
ldb_stored_block_read(struct ldb_random_file *file, const char *name,
                      uint64_t limit, struct ldb_block_handle handle,
                      bool verify_checksum, struct ldb_block_scratch scratch,
                      struct ldb_error *err, struct ldb_stored_block *out)
{
    struct ldb_stored_block block;
    enum ldb_status s = ldb_stored_block_begin(
        file, name, limit, handle, verify_checksum, scratch, err, &block);

    return s == LDB_OK ? finish(&block, name, handle.offset, err, out) : s;
}

enum ldb_status ldb_stored_block_read_raw(struct ldb_slice raw,
                                          const char *name, uint64_t offset,
                                          bool verify_checksum,
                                          struct ldb_block_scratch scratch,
                                          struct ldb_error *err,
                                          struct ldb_stored_block *out)
{
    struct ldb_stored_block block;
    enum ldb_status s;

    assert(raw.len >= LDB_BLOCK_TRAILER_SIZE);
    s = begin(raw, name, offset, verify_checksum, &scratch, NULL, err, &block);
    return s == LDB_OK ? finish(&block, name, offset, err, out) : s;
}
