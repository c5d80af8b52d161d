/*
 * The atomic unit of writing: a list of puts and deletes. Included by ldb.h;
 * usable alone.
 *
 * Thread-safety: one caller at a time per batch.
 */
#ifndef STORAGE_INCLUDE_LDB_BATCH_H
#define STORAGE_INCLUDE_LDB_BATCH_H

#include "ldb_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ldb_batch;

/* Empty, of at most bytes_max bytes: its operations and a header of 12. */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_batch_create(size_t bytes_max,
                                                        struct ldb_error *err,
                                                        struct ldb_batch **out);
LDB_API void ldb_batch_destroy(struct ldb_batch *batch);

/*
 * Copies; a later operation on a key wins. TOO_LARGE past bytes_max, a key or
 * value of 2 GiB or 2^32 - 1 operations, NO_MEMORY: the batch is unchanged.
 */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_batch_put(struct ldb_batch *batch,
                                                     struct ldb_slice key,
                                                     struct ldb_slice value);
LDB_API LDB_MUST_CHECK enum ldb_status ldb_batch_delete(struct ldb_batch *batch,
                                                        struct ldb_slice key);
/* Appends all operations of source, which is another batch; errors likewise. */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_batch_append(struct ldb_batch *batch, const struct ldb_batch *source);

/* Empty, memory kept. */
LDB_API void ldb_batch_clear(struct ldb_batch *batch);

#ifdef __cplusplus
}
#endif

#endif
