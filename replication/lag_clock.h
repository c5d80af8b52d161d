/*
 * When which sequence became durable, roughly: so that it can be said for how
 * long a follower has lacked what it lacks. Holds the last minutes of writing.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_LAG_CLOCK_H
#define REPLICATION_LAG_CLOCK_H

#include "storage/base/compiler.h"

/* Moments that are remembered, and how far apart they are at least. Chosen: a
 * quarter of a second is exact enough, and makes them four minutes of writing,
 * after which any lag is a long one. */
#define REPL_LAG_MOMENTS     1024
#define REPL_LAG_INTERVAL_US UINT64_C(250000)

/* Zeroed at first. */
struct repl_lag_clock {
    struct {
        uint64_t at_us;
        ldb_sequence sequence;
    } moments[REPL_LAG_MOMENTS]; /* a ring; both ascend */
    size_t first;
    size_t count;
};

/* At now_us (monotonic) this sequence is durable. */
void repl_lag_clock_note(struct repl_lag_clock *clock, uint64_t now_us,
                         ldb_sequence sequence);

/*
 * For how long a higher one has been durable; 0: none is known of. What has
 * been forgotten counts as the oldest that has not: the answer is never too
 * high, but by the time between two notes.
 */
uint64_t repl_lag_clock_behind_us(const struct repl_lag_clock *clock,
                                  uint64_t now_us, ldb_sequence sequence);

#endif
