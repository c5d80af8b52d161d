/*
 * An environment that is a clock, moved by the test, and random numbers that
 * are the same each time; no files, no threads.
 */
#ifndef TESTS_SUPPORT_CLOCK_ENV_H
#define TESTS_SUPPORT_CLOCK_ENV_H

#include "storage/base/env.h"

struct clock_env {
    struct ldb_env env; /* first: ops get it back */
    struct ldb_env_ops ops;
    uint64_t now_us; /* monotonic; the wall's is 1000 seconds later */
    uint64_t seed;
};

void clock_env_init(struct clock_env *clock, uint64_t now_us);

#endif
