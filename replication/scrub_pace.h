/*
 * So many bytes a second, and no more after a rest: what was not read in time
 * is not made up for.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_SCRUB_PACE_H
#define REPLICATION_SCRUB_PACE_H

#include "storage/base/compiler.h"

/* Zeroed but for the rate. */
struct repl_scrub_pace {
    uint64_t rate;   /* bytes a second; not 0 */
    uint64_t due_us; /* when what was taken so far is paid for */
};

/* So many bytes are to be read: how long to wait before, from now_us
 * (monotonic) on. Bytes of one call are read at once. */
uint64_t repl_scrub_pace_take(struct repl_scrub_pace *pace, uint64_t now_us,
                              uint64_t bytes);

#endif
