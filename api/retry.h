/*
 * How long a client that was turned away should wait: from how fast the writes
 * ahead of it go, and where none goes, from what compaction has yet to do.
 *
 * Thread-safety: update from one thread; the answer is an atomic of the
 * context.
 */
#ifndef API_RETRY_H
#define API_RETRY_H

#include "storage/include/ldb.h"

/* Longest Retry-After. Chosen: an estimate that reaches further is a guess. */
#define API_RETRY_MAX_S 60

/* The figures over which a rate is taken, in microseconds. Chosen. */
#define API_RETRY_WINDOW_US 1000000

struct api_retry {
    uint64_t since_us;   /* monotonic */
    uint64_t user_bytes; /* written by then */
    double rate;         /* bytes a second, of the window before */
};

/* Whether a window is over. */
bool api_retry_is_due(const struct api_retry *retry, uint64_t now_us);

/* Takes the figures of now_us into account, when a window is over; else false.
 */
bool api_retry_update(struct api_retry *retry, const struct ldb_stats *stats,
                      uint64_t now_us);

/* Seconds, 1 to API_RETRY_MAX_S. */
unsigned api_retry_after_s(const struct api_retry *retry,
                           const struct ldb_stats *stats);

#endif
