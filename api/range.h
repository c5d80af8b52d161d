/*
 * GET /v1/range: entries in key order, one page as JSON or all of them as an
 * NDJSON stream that takes constant memory.
 *
 * Handler of api/router.c's table; see exchange.h for when it is called.
 */
#ifndef API_RANGE_H
#define API_RANGE_H

#include "api/exchange.h"

void api_range_finish(struct api_exchange *x);

#endif
