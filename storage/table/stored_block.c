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

static enum ldb_status
uncompress(struct ldb_slice stored, const char *name, uint64_t offset,
           struct ldb_block_scratch *scratch, struct ldb_error *err,
           struct ldb_block_memory **out_memory, struct ldb_slice *out_plain)
{
    struct ldb_block_memory *memory;
    uint8_t *room;
    size_t len;

    if (!ldb_snappy_plain_len(stored, LDB_BLOCK_SIZE_MAX, &len))
        return ldb_stored_block_corrupt(err, name, offset,
                                        "impossible uncompressed length");
    room = take_room(scratch, len, &memory);
    if (room == NULL)
        return ldb_error_no_memory(err);
    if (!ldb_snappy_uncompress(stored, room, len)) {
        ldb_mem_free(memory);
        return ldb_stored_block_corrupt(err, name, offset,
                                        "does not uncompress");
    }
    *out_memory = memory;
    *out_plain = (struct ldb_slice){.data = room, .len = len};
    return LDB_OK;
}

/* raw without its trailer, uncompressed where need be. *memory is raw's. */
static enum ldb_status
decode(struct ldb_slice raw, const char *name, uint64_t offset,
       struct ldb_block_scratch *scratch, struct ldb_error *err,
       struct ldb_block_memory **memory, struct ldb_slice *out_contents)
{
    struct ldb_slice stored = {.data = raw.data,
                               .len = raw.len - LDB_BLOCK_TRAILER_SIZE};
    uint8_t type = raw.data[stored.len];
    struct ldb_block_memory *plain = NULL;
    enum ldb_status s;

    if (type == LDB_BLOCK_PLAIN) {
        if (*memory != NULL)
            (*memory)->len = stored.len;
        *out_contents = stored;
        return LDB_OK;
    }
    if (type != LDB_BLOCK_SNAPPY)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: block at %" PRIu64
                             ": unknown compression type %u",
                             name, offset, (unsigned)type);
    s = uncompress(stored, name, offset, scratch, err, &plain, out_contents);
    if (s != LDB_OK)
        return s;
    ldb_mem_free(*memory);
    *memory = plain;
    return LDB_OK;
}

enum ldb_status
ldb_stored_block_read(struct ldb_random_file *file, const char *name,
                      uint64_t limit, struct ldb_block_handle handle,
                      bool verify_checksum, struct ldb_block_scratch scratch,
                      struct ldb_error *err, struct ldb_stored_block *out)
{
    struct ldb_block_memory *memory = NULL;
    struct ldb_slice raw, contents;
    enum ldb_status s;

    if (!ldb_block_handle_fits(handle, limit))
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: block at %" PRIu64 " of %" PRIu64
                             " bytes passes %" PRIu64,
                             name, handle.offset, handle.size, limit);
    s = read_raw(file, name, handle, &scratch, err, &raw, &memory);
    if (s != LDB_OK)
        return s;
    if (verify_checksum)
        s = check_crc(raw, name, handle.offset, err);
    if (s == LDB_OK)
        s = decode(raw, name, handle.offset, &scratch, err, &memory, &contents);
    if (s != LDB_OK) {
        ldb_mem_free(memory);
        return s;
    }
    *out = (struct ldb_stored_block){.contents = contents, .memory = memory};
    return LDB_OK;
}
