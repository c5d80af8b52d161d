/*
 * POST /v1/batch with application/x-ndjson: a bulk load. One operation a line,
 * as in the JSON form; a body of any length, committed in atomic chunks as it
 * comes. The first bad line ends it: what stands by then is told, and durable
 * when sync was asked for.
 *
 * A chunk is the whole lines of a window of the body; a delete-range is one of
 * its own, so that its failure is that line's.
 *
 * Handlers that api/batch.h's hand over to; see exchange.h for when each is
 * called.
 */
#ifndef API_BULK_H
#define API_BULK_H

#include "api/exchange.h"

/* Bytes of body that make a chunk. Chosen: long enough that a commit is little
 * beside reading its lines, and that is a few milliseconds of the loop. */
#define API_BULK_WINDOW ((size_t)256 << 10)

void api_bulk_begin(struct api_exchange *x);
void api_bulk_take(struct api_exchange *x);
void api_bulk_refuse(struct api_exchange *x, const struct api_problem *problem);
void api_bulk_finish(struct api_exchange *x);
void api_bulk_resume(struct api_exchange *x);
void api_bulk_abandon(struct api_exchange *x);

#endif
