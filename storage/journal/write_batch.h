/*
 * A batch (ldb_batch.h has what callers do with one) in LevelDB's form
 * (docs/formats.md): sequence (8), count (4), operations. Operation i has
 * sequence first + i.
 *
 * Thread-safety: one caller at a time per batch.
 */
#ifndef STORAGE_JOURNAL_WRITE_BATCH_H
#define STORAGE_JOURNAL_WRITE_BATCH_H

#include "storage/base/internal_key.h"
#include "storage/include/ldb_batch.h"

/* On disk: do not change. Bytes before the first operation. */
#define LDB_BATCH_HEADER_SIZE 12

/* Keys and values are shorter than this in both libraries: docs/formats.md. */
#define LDB_BATCH_ITEM_MAX ((size_t)INT32_MAX)

/*
 * The batch's bytes, header included, in rep; nothing at all in rep while the
 * batch is fresh or cleared (an empty batch is not written: docs/formats.md,
 * rule 31). Shown so that it can stand in other structs.
 */
struct ldb_batch {
    struct ldb_buf rep;
    uint32_t count; /* operations in rep; also stored at offset 8 */
};

/* limit: bytes that rep may take. Allocates nothing. */
void ldb_batch_init(struct ldb_batch *batch, size_t limit);
/*
 * An empty batch over memory of the caller's, size bytes, that it never grows
 * out of (TOO_LARGE): nothing is allocated, and it is not to be released.
 */
void ldb_batch_init_over(struct ldb_batch *batch, uint8_t *memory, size_t size);
void ldb_batch_release(struct ldb_batch *batch);

/*
 * Takes bytes as a whole batch record after checking every operation and the
 * count: CORRUPTION says what is wrong at which offset; TOO_LARGE past the
 * limit; the batch unchanged. bytes must not lie in the batch.
 */
LDB_MUST_CHECK enum ldb_status ldb_batch_parse(struct ldb_batch *batch,
                                               struct ldb_slice bytes,
                                               struct ldb_error *err);

/* The number of the first operation; nothing to set in a fresh batch. */
void ldb_batch_set_sequence(struct ldb_batch *batch, ldb_sequence first);

/* ---- reading batch bytes without owning them ---- */

struct ldb_batch_op {
    enum ldb_kind kind;
    struct ldb_slice key;
    struct ldb_slice value; /* empty for a delete */
};

/* A cursor over checked bytes (header included). */
struct ldb_batch_cursor {
    struct ldb_slice left;
};

/*
 * Checks bytes whole: header, every operation, the count, keys and values
 * below LDB_BATCH_ITEM_MAX, sequences within 56 bits. CORRUPTION otherwise.
 * out_first, out_count may be NULL.
 */
LDB_MUST_CHECK enum ldb_status ldb_batch_check(struct ldb_slice bytes,
                                               struct ldb_error *err,
                                               ldb_sequence *out_first,
                                               uint32_t *out_count);

struct ldb_batch_cursor ldb_batch_cursor_make(struct ldb_slice bytes);

/* The next operation, borrowed; false at the end (or at bytes unchecked). */
bool ldb_batch_cursor_next(struct ldb_batch_cursor *cursor,
                           struct ldb_batch_op *out);

#endif
