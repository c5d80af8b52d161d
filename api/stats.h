/*
 * GET /stats: one JSON document of figures. Names and units are part of the
 * interface: docs/http_api.md.
 *
 * Handler of api/router.c's table; see exchange.h for when it is called.
 */
#ifndef API_STATS_H
#define API_STATS_H

#include "api/exchange.h"

void api_stats_finish(struct api_exchange *x);

#endif
