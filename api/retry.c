#include "api/retry.h"

bool api_retry_is_due(const struct api_retry *retry, uint64_t now_us)
{
    return now_us - retry->since_us >= API_RETRY_WINDOW_US;
}

bool api_retry_update(struct api_retry *retry, const struct ldb_stats *stats,
                      uint64_t now_us)
{
    uint64_t us = now_us - retry->since_us;

    if (!api_retry_is_due(retry, now_us))
        return false;
    retry->rate = stats->user_bytes < retry->user_bytes
                      ? 0 /* reopened */
                      : (double)(stats->user_bytes - retry->user_bytes) * 1e6 /
                            (double)us;
    retry->since_us = now_us;
    retry->user_bytes = stats->user_bytes;
    return true;
}

unsigned api_retry_after_s(const struct api_retry *retry,
                           const struct ldb_stats *stats)
{
    double seconds = stats->pending_seconds;

    /* Half of the queue has to go, so that there is room when it comes again.
     */
    if (retry->rate > 0)
        seconds = (double)stats->queue_bytes / 2 / retry->rate;
    if (seconds <= 1)
        return 1;
    if (seconds >= API_RETRY_MAX_S)
        return API_RETRY_MAX_S;
    return (unsigned)seconds + ((double)(unsigned)seconds < seconds);
}
