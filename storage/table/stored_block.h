/*
 * One block as it stands in the file -> its plain contents: bounds, checksum
 * (where asked for), type, decompression; in that order. The last may be done
 * in part.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_TABLE_STORED_BLOCK_H
#define STORAGE_TABLE_STORED_BLOCK_H

#include "storage/base/env.h"
#include "storage/table/snappy_decode.h"
#include "storage/table/table_format.h"

/* Contents in memory of their own, as the block cache holds them. */
struct ldb_block_memory {
    size_t len;
    uint8_t bytes[];
};

/* Room of the caller's for a block; size 0: none. */
struct ldb_block_scratch {
    uint8_t *bytes;
    size_t size;
};

/* Chosen: a block of the default size fits, as stored and as plain. */
#define LDB_BLOCK_SCRATCH_SIZE 12288

struct ldb_stored_block {
    struct ldb_slice contents; /* plain as far as it is decoded */
    /* NULL: in the mapping, in what was given as raw, or in the scratch */
    struct ldb_block_memory *memory;
    /* Private; not of a block that was read whole. */
    bool is_compressed;
    struct ldb_snappy_decoder decoder;
    struct ldb_block_memory *stored_memory;
};

/*
 * Reads the block at handle, which with its trailer must lie in the first
 * limit bytes of file. name ("000123.ldb") is for messages.
 *
 * scratch where it is large enough, used instead of allocating
 * out     memory is the caller's, to be freed by ldb_mem_free().
 * Errors  CORRUPTION with name and offset; NO_MEMORY; what read_at() returns.
 */
LDB_MUST_CHECK enum ldb_status
ldb_stored_block_read(struct ldb_random_file *file, const char *name,
                      uint64_t limit, struct ldb_block_handle handle,
                      bool verify_checksum, struct ldb_block_scratch scratch,
                      struct ldb_error *err, struct ldb_stored_block *out);

/*
 * The same of raw, the block and its trailer as they stand at offset of the
 * file; what does not have to be uncompressed stays there.
 */
LDB_MUST_CHECK enum ldb_status
ldb_stored_block_read_raw(struct ldb_slice raw, const char *name,
                          uint64_t offset, bool verify_checksum,
                          struct ldb_block_scratch scratch,
                          struct ldb_error *err, struct ldb_stored_block *out);

/*
 * The same as the first but for uncompressing, which is to be done by the calls
 * below as far as it is wanted. out is to be released, not freed.
 */
LDB_MUST_CHECK enum ldb_status
ldb_stored_block_begin(struct ldb_random_file *file, const char *name,
                       uint64_t limit, struct ldb_block_handle handle,
                       bool verify_checksum, struct ldb_block_scratch scratch,
                       struct ldb_error *err, struct ldb_stored_block *out);

/* At least the first len bytes of contents are to be plain; len <= theirs. */
LDB_MUST_CHECK enum ldb_status
ldb_stored_block_decode(struct ldb_stored_block *block, const char *name,
                        uint64_t offset, size_t len, struct ldb_error *err);

/* How many of them are. */
static inline size_t
ldb_stored_block_plain_len(const struct ldb_stored_block *block)
{
    return block->is_compressed ? ldb_snappy_decoder_len(&block->decoder)
                                : block->contents.len;
}

/* Frees what block holds. */
void ldb_stored_block_release(struct ldb_stored_block *block);

/* Sets and returns CORRUPTION, "NAME: block at OFFSET: problem". */
enum ldb_status ldb_stored_block_corrupt(struct ldb_error *err,
                                         const char *name, uint64_t offset,
                                         const char *problem);

#endif
