/*
 * Snappy in its raw format, compressed by libsnappy, uncompressed by
 * snappy_decode.h. The size that compressed bytes claim is looked at before
 * anything is allocated for it.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_TABLE_COMPRESSION_H
#define STORAGE_TABLE_COMPRESSION_H

#include "storage/base/buf.h"

/*
 * A block is stored compressed only where that saves more than 1/8 of it
 * (docs/formats.md, rule 25; LevelDB's rule).
 */
static inline bool ldb_compression_pays(size_t plain_len, size_t stored_len)
{
    return stored_len < plain_len - plain_len / 8;
}

/* Blocks from this many bytes on are sampled before they are compressed.
 * Chosen: well above any block of more than one entry. */
#define LDB_COMPRESSION_SAMPLED_BYTES ((size_t)1 << 20)

/*
 * Is plain worth compressing whole? A block below LDB_COMPRESSION_SAMPLED_BYTES
 * always; of a larger one (a single big value) pieces are compressed to see
 * whether that pays: most big values are media or archives, and a second copy
 * of 64 MiB is memory a flush can do without. A function of plain's bytes.
 * scratch's content is replaced. TOO_LARGE, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status ldb_compression_try(struct ldb_slice plain,
                                                   struct ldb_buf *scratch,
                                                   bool *out_promises);

/* Replaces out's content by plain, compressed. TOO_LARGE, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status ldb_snappy_compress(struct ldb_slice plain,
                                                   struct ldb_buf *out);

/*
 * The length that compressed claims to have uncompressed. False when there is
 * none, when it is over limit, or when it is more than any snappy stream of
 * this length can hold.
 */
LDB_MUST_CHECK bool ldb_snappy_plain_len(struct ldb_slice compressed,
                                         size_t limit, size_t *out_len);

/*
 * Writes exactly plain_len bytes, the length found by ldb_snappy_plain_len().
 * False when compressed is damaged; out is then undefined.
 */
LDB_MUST_CHECK bool ldb_snappy_uncompress(struct ldb_slice compressed,
                                          uint8_t *out, size_t plain_len);

#endif
