/*
 * GET /metrics: the figures of /stats in Prometheus' text format 0.0.4, with
 * the latencies of each route as a histogram.
 *
 * The fine buckets of api/metrics.h are merged at powers of two, which are
 * edges of theirs. Latencies are whole microseconds, rounded down:
 * le="0.000128" counts those below 128 microseconds.
 *
 * Handler of api/router.c's table; see exchange.h for when it is called.
 */
#ifndef API_PROMETHEUS_H
#define API_PROMETHEUS_H

#include "api/exchange.h"

#define API_TYPE_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

/* The edges: 64 us, 128 us, ... about 16.8 s; beyond them is le="+Inf". */
#define API_PROMETHEUS_FIRST_EDGE 6
#define API_PROMETHEUS_LAST_EDGE  24

void api_prometheus_finish(struct api_exchange *x);

#endif
