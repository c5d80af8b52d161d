/*
 * DELETE /v1/range: deletes what a range holds in bounded batches. Each batch
 * is all or nothing, the whole is not: another client sees it half done, and
 * a failure on the way leaves deleted what was deleted.
 *
 * Keys written after the deletion began stay, but for those overwritten between
 * the look at them and the commit of their batch.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_RANGE_DELETE_H
#define API_RANGE_DELETE_H

#include "api/exchange.h"

/*
 * Keys looked at, and bytes of keys deleted, by one batch. Chosen: a look at
 * as many takes a loop about a millisecond.
 */
#define API_RANGE_DELETE_KEYS  1000
#define API_RANGE_DELETE_BYTES ((size_t)1 << 20)

void api_range_delete_begin(struct api_exchange *x);
/* Finds and submits the first batch; resume the next ones. */
void api_range_delete_finish(struct api_exchange *x);
void api_range_delete_resume(struct api_exchange *x);
void api_range_delete_abandon(struct api_exchange *x);

#endif
