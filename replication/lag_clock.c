#include "replication/lag_clock.h"

static size_t index_of(const struct repl_lag_clock *clock, size_t i)
{
    return (clock->first + i) % REPL_LAG_MOMENTS;
}

void repl_lag_clock_note(struct repl_lag_clock *clock, uint64_t now_us,
                         ldb_sequence sequence)
{
    size_t at;

    if (clock->count > 0) {
        size_t last = index_of(clock, clock->count - 1);

        /* What comes too soon is part of a later moment. */
        if (sequence <= clock->moments[last].sequence ||
            now_us < clock->moments[last].at_us + REPL_LAG_INTERVAL_US)
            return;
    }
    if (clock->count == REPL_LAG_MOMENTS) {
        clock->first = index_of(clock, 1);
        clock->count--;
    }
    at = index_of(clock, clock->count++);
    clock->moments[at].at_us = now_us;
    clock->moments[at].sequence = sequence;
}

uint64_t repl_lag_clock_behind_us(const struct repl_lag_clock *clock,
                                  uint64_t now_us, ldb_sequence sequence)
{
    size_t low = 0;
    size_t high = clock->count;
    uint64_t at_us;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (clock->moments[index_of(clock, middle)].sequence <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == clock->count)
        return 0;
    at_us = clock->moments[index_of(clock, low)].at_us;
    return now_us > at_us ? now_us - at_us : 0;
}
