#include "tests/support/clock_env.h"

#define WALL_AHEAD_US UINT64_C(1000000000)

static uint64_t clock_monotonic(struct ldb_env *env)
{
    return ((struct clock_env *)env)->now_us;
}

static uint64_t clock_wall(struct ldb_env *env)
{
    return ((struct clock_env *)env)->now_us + WALL_AHEAD_US;
}

static enum ldb_status clock_random(struct ldb_env *env, uint8_t *out, size_t n,
                                    struct ldb_error *err)
{
    struct clock_env *own = (struct clock_env *)env;

    (void)err;
    for (size_t i = 0; i < n; i++) {
        own->seed = own->seed * UINT64_C(6364136223846793005) + 1;
        out[i] = (uint8_t)(own->seed >> 56);
    }
    return LDB_OK;
}

void clock_env_init(struct clock_env *clock, uint64_t now_us)
{
    *clock = (struct clock_env){
        .ops = {.monotonic_us = clock_monotonic,
                .wall_us = clock_wall,
                .random_bytes = clock_random},
        .now_us = now_us,
    };
    clock->env.ops = &clock->ops;
}
