/*
 * How much comes in a second, lately: counted by whole seconds of the monotonic
 * clock, over the last few of them.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_RATE_H
#define REPLICATION_RATE_H

#include "storage/base/compiler.h"

/* Chosen: a figure that is looked at every few seconds is steady, and one that
 * has stopped is 0 soon. */
#define REPL_RATE_SECONDS 8

struct repl_rate {
    uint64_t begun_us;
    uint64_t second; /* the newest one that something came in */
    uint64_t counts[REPL_RATE_SECONDS]; /* by second; of it and those before */
};

/* Nothing has come before now_us. */
void repl_rate_begin(struct repl_rate *rate, uint64_t now_us);
void repl_rate_add(struct repl_rate *rate, uint64_t now_us, uint64_t count);
/* A second that has begun counts by how long ago that was, all of them together
 * as one at least. */
uint64_t repl_rate_per_second(const struct repl_rate *rate, uint64_t now_us);

#endif
