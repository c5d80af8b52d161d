#include "api/metrics.h"

#include <stdatomic.h>

#include "storage/base/mem.h"

#define SUB_COUNT (1u << API_METRICS_SUB_BITS)

struct route_counters {
    _Atomic(uint64_t) count[API_OUTCOME_COUNT];
    _Atomic(uint64_t) latency_sum_us;
    _Atomic(uint64_t) latency_max_us;
    _Atomic(uint64_t) buckets[API_METRICS_BUCKETS];
};

/* Locking: constant after creation, but the counters: relaxed atomics. */
struct api_metrics {
    size_t route_count;
    struct route_counters *lanes; /* route_count of each, one after the other */
};

struct api_metrics *api_metrics_create(size_t route_count)
{
    struct api_metrics *metrics = ldb_mem_zalloc(1, sizeof(*metrics));

    assert(route_count > 0);
    if (metrics == NULL)
        return NULL;
    metrics->route_count = route_count;
    metrics->lanes = ldb_mem_zalloc(API_METRICS_LANES * route_count,
                                    sizeof(*metrics->lanes));
    if (metrics->lanes == NULL) {
        ldb_mem_free(metrics);
        return NULL;
    }
    return metrics;
}

void api_metrics_destroy(struct api_metrics *metrics)
{
    if (metrics == NULL)
        return;
    ldb_mem_free(metrics->lanes);
    ldb_mem_free(metrics);
}

size_t api_metrics_route_count(const struct api_metrics *metrics)
{
    return metrics->route_count;
}

size_t api_metrics_bucket_of(uint64_t us)
{
    unsigned top;
    size_t bucket;

    if (us < SUB_COUNT)
        return (size_t)us;
    top = 63u - (unsigned)__builtin_clzll(us);
    bucket =
        ((size_t)(top - API_METRICS_SUB_BITS + 1) << API_METRICS_SUB_BITS) +
        (size_t)((us >> (top - API_METRICS_SUB_BITS)) & (SUB_COUNT - 1));
    return bucket < API_METRICS_BUCKETS ? bucket : API_METRICS_BUCKETS - 1;
}

uint64_t api_metrics_bucket_limit(size_t bucket)
{
    unsigned shift;

    assert(bucket < API_METRICS_BUCKETS);
    if (bucket < SUB_COUNT)
        return bucket;
    if (bucket == API_METRICS_BUCKETS - 1)
        return UINT64_MAX;
    shift = (unsigned)(bucket >> API_METRICS_SUB_BITS) - 1;
    return ((uint64_t)(SUB_COUNT + (bucket & (SUB_COUNT - 1)) + 1) << shift) -
           1;
}

enum api_outcome api_outcome_of_status(unsigned status)
{
    if (status < 200)
        return API_OUTCOME_1XX;
    if (status < 300)
        return API_OUTCOME_2XX;
    if (status < 400)
        return API_OUTCOME_3XX;
    if (status < 500)
        return API_OUTCOME_4XX;
    return API_OUTCOME_5XX;
}

const char *api_outcome_text(enum api_outcome outcome)
{
    switch (outcome) {
    case API_OUTCOME_1XX:
        return "1xx";
    case API_OUTCOME_2XX:
        return "2xx";
    case API_OUTCOME_3XX:
        return "3xx";
    case API_OUTCOME_4XX:
        return "4xx";
    case API_OUTCOME_5XX:
        return "5xx";
    case API_OUTCOME_ABANDONED:
        return "abandoned";
    }
    return "";
}

static void add_relaxed(_Atomic(uint64_t) *counter, uint64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t load_relaxed(const _Atomic(uint64_t) *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct route_counters *counters_of(const struct api_metrics *metrics,
                                          size_t lane, size_t route)
{
    assert(route < metrics->route_count);
    return &metrics->lanes[lane * metrics->route_count + route];
}

void api_metrics_record(struct api_metrics *metrics, unsigned loop,
                        size_t route, enum api_outcome outcome,
                        uint64_t latency_us)
{
    struct route_counters *counters =
        counters_of(metrics, loop % API_METRICS_LANES, route);
    uint64_t max;

    add_relaxed(&counters->count[outcome], 1);
    add_relaxed(&counters->latency_sum_us, latency_us);
    add_relaxed(&counters->buckets[api_metrics_bucket_of(latency_us)], 1);
    max = load_relaxed(&counters->latency_max_us);
    while (latency_us > max && !atomic_compare_exchange_weak_explicit(
                                   &counters->latency_max_us, &max, latency_us,
                                   memory_order_relaxed, memory_order_relaxed))
        continue;
}

static void add_figures(const struct route_counters *counters,
                        struct api_route_figures *out)
{
    uint64_t max = load_relaxed(&counters->latency_max_us);

    for (size_t i = 0; i < API_OUTCOME_COUNT; i++) {
        uint64_t count = load_relaxed(&counters->count[i]);

        out->count[i] += count;
        out->total += count;
    }
    out->latency_sum_us += load_relaxed(&counters->latency_sum_us);
    if (max > out->latency_max_us)
        out->latency_max_us = max;
    for (size_t i = 0; i < API_METRICS_BUCKETS; i++)
        out->buckets[i] += load_relaxed(&counters->buckets[i]);
}

void api_metrics_read(const struct api_metrics *metrics, size_t route,
                      struct api_route_figures *out)
{
    *out = (struct api_route_figures){0};
    for (size_t lane = 0; lane < API_METRICS_LANES; lane++)
        add_figures(counters_of(metrics, lane, route), out);
}

uint64_t api_metrics_quantile_us(const struct api_route_figures *figures,
                                 uint64_t part, uint64_t whole)
{
    uint64_t total = 0;
    uint64_t seen = 0;
    uint64_t wanted;

    assert(part > 0 && part <= whole);
    /* The buckets' own sum: the counters may have moved between the reads. */
    for (size_t i = 0; i < API_METRICS_BUCKETS; i++)
        total += figures->buckets[i];
    if (total == 0)
        return 0;
    wanted = total / whole * part + (total % whole * part + whole - 1) / whole;
    for (size_t i = 0; i < API_METRICS_BUCKETS; i++) {
        uint64_t limit = api_metrics_bucket_limit(i);

        seen += figures->buckets[i];
        if (seen >= wanted)
            return limit < figures->latency_max_us ? limit
                                                   : figures->latency_max_us;
    }
    return figures->latency_max_us;
}
