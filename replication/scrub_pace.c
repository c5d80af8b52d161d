#include "replication/scrub_pace.h"

#define SECOND_US UINT64_C(1000000)

uint64_t repl_scrub_pace_take(struct repl_scrub_pace *pace, uint64_t now_us,
                              uint64_t bytes)
{
    uint64_t wait_us;

    assert(pace->rate > 0);
    if (pace->due_us < now_us)
        pace->due_us = now_us;
    wait_us = pace->due_us - now_us;
    /* In two steps: a product of bytes and a million may not fit. */
    pace->due_us += bytes / pace->rate * SECOND_US +
                    bytes % pace->rate * SECOND_US / pace->rate;
    return wait_us;
}
