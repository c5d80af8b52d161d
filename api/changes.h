/*
 * GET /v1/changes: the puts and deletes after a sequence, in order, as a page,
 * as lines up to what is durable when they begin, or as a live feed. Served
 * from the journals: a slow reader holds no lock, no snapshot and no memory but
 * an operation.
 */
#ifndef API_CHANGES_H
#define API_CHANGES_H

#include "api/exchange.h"

void api_changes_finish(struct api_exchange *x);

#endif
