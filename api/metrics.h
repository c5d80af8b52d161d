/*
 * Counters and latency histograms of requests, one set per route. (The page
 * /metrics is api/prometheus.c's.)
 *
 * A histogram is log-linear: microseconds below 8 have a bucket each, and
 * every power of two above is cut into 8, so a quantile read from it is at
 * most an eighth too high.
 *
 * Loops count apart, each in a lane of its own, as a counter that two threads
 * write moves from core to core with each request; figures are the sum.
 *
 * Thread-safety: any thread; counters are relaxed atomics, so figures read
 * while requests end may be apart by those requests.
 */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "storage/base/compiler.h"

struct api_metrics;

/* Buckets per power of two: 8, see above. */
#define API_METRICS_SUB_BITS 3
/* Powers of two: the last bucket begins beyond 2^36 us, 19 hours. */
#define API_METRICS_BUCKETS ((36 - API_METRICS_SUB_BITS + 2) << 3)

/* Chosen: what loops beyond so many count goes to the lanes of others. */
#define API_METRICS_LANES 8

/* How an exchange ended. */
enum api_outcome {
    API_OUTCOME_1XX,
    API_OUTCOME_2XX,
    API_OUTCOME_3XX,
    API_OUTCOME_4XX,
    API_OUTCOME_5XX,
    API_OUTCOME_ABANDONED, /* the client left before an answer */
};
#define API_OUTCOME_COUNT 6

/* A copy of one route's figures. */
struct api_route_figures {
    uint64_t count[API_OUTCOME_COUNT];
    uint64_t total;
    uint64_t latency_sum_us;
    uint64_t latency_max_us;
    uint64_t buckets[API_METRICS_BUCKETS];
};

/* Room for routes 0..route_count-1. NULL: no memory. */
LDB_MUST_CHECK struct api_metrics *api_metrics_create(size_t route_count);
void api_metrics_destroy(struct api_metrics *metrics); /* NULL is fine */

size_t api_metrics_route_count(const struct api_metrics *metrics);

/* loop: the index of any; figures do not tell which it was. */
void api_metrics_record(struct api_metrics *metrics, unsigned loop,
                        size_t route, enum api_outcome outcome,
                        uint64_t latency_us);

void api_metrics_read(const struct api_metrics *metrics, size_t route,
                      struct api_route_figures *out);

/* The outcome class of an HTTP status. */
enum api_outcome api_outcome_of_status(unsigned status);

/* "2xx", "abandoned" */
const char *api_outcome_text(enum api_outcome outcome);

/* ---- the histogram's arithmetic ---- */

size_t api_metrics_bucket_of(uint64_t us);
/* The largest value that falls into the bucket; of the last: UINT64_MAX. */
uint64_t api_metrics_bucket_limit(size_t bucket);

/*
 * The least bucket limit that at least part/whole of all requests stay under,
 * cut to the maximum seen; 0 when there were none. 0 < part <= whole.
 */
uint64_t api_metrics_quantile_us(const struct api_route_figures *figures,
                                 uint64_t part, uint64_t whole);

#endif
