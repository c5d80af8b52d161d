/*
 * POST /v1/batch: puts, deletes and deletions of ranges, all or nothing, under
 * conditions; as JSON or as the bytes of a LevelDB write batch. As NDJSON it is
 * a bulk load: api/bulk.h.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 */
#ifndef API_BATCH_H
#define API_BATCH_H

#include "api/exchange.h"

void api_batch_begin(struct api_exchange *x);
void api_batch_refuse(struct api_exchange *x,
                      const struct api_problem *problem);
void api_batch_finish(struct api_exchange *x);
void api_batch_resume(struct api_exchange *x);
void api_batch_abandon(struct api_exchange *x);

#endif
