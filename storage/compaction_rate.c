#include "storage/compaction_rate.h"

#include "storage/base/compiler.h"

/* Time after which what was counted weighs half. Chosen: some dozen
 * compactions of the default size. */
#define WINDOW_US UINT64_C(30000000)

void ldb_compaction_rate_begin(struct ldb_compaction_rate *rate,
                               uint64_t now_us)
{
    if (rate->running++ == 0)
        rate->since_us = now_us;
}

void ldb_compaction_rate_end(struct ldb_compaction_rate *rate, uint64_t now_us,
                             uint64_t merged_bytes, uint64_t drained_bytes)
{
    assert(rate->running > 0);
    rate->running--;
    if (now_us > rate->since_us)
        rate->busy_us += now_us - rate->since_us;
    rate->since_us = now_us;
    rate->merged_bytes += merged_bytes;
    rate->drained_bytes += drained_bytes;
    while (rate->busy_us > 2 * WINDOW_US) {
        rate->busy_us /= 2;
        rate->merged_bytes /= 2;
        rate->drained_bytes /= 2;
    }
}

static uint64_t per_second(uint64_t bytes, uint64_t us)
{
    return us == 0 ? 0 : (uint64_t)((double)bytes / (double)us * 1e6);
}

uint64_t ldb_compaction_rate_merged(const struct ldb_compaction_rate *rate)
{
    return per_second(rate->merged_bytes, rate->busy_us);
}

uint64_t ldb_compaction_rate_drained(const struct ldb_compaction_rate *rate)
{
    return per_second(rate->drained_bytes, rate->busy_us);
}
