#include "replication/rate.h"

#include <string.h>

#define SECOND_US UINT64_C(1000000)

void repl_rate_begin(struct repl_rate *rate, uint64_t now_us)
{
    *rate =
        (struct repl_rate){.begun_us = now_us, .second = now_us / SECOND_US};
}

void repl_rate_add(struct repl_rate *rate, uint64_t now_us, uint64_t count)
{
    uint64_t second = now_us / SECOND_US;

    if (second < rate->second) /* of a thread that was late */
        second = rate->second;
    if (second - rate->second >= REPL_RATE_SECONDS)
        memset(rate->counts, 0, sizeof(rate->counts));
    else
        while (rate->second < second)
            rate->counts[++rate->second % REPL_RATE_SECONDS] = 0;
    rate->second = second;
    rate->counts[second % REPL_RATE_SECONDS] += count;
}

uint64_t repl_rate_per_second(const struct repl_rate *rate, uint64_t now_us)
{
    uint64_t second = now_us / SECOND_US;
    uint64_t first =
        second < REPL_RATE_SECONDS ? 0 : second - REPL_RATE_SECONDS + 1;
    uint64_t since_us =
        first * SECOND_US > rate->begun_us ? first * SECOND_US : rate->begun_us;
    uint64_t us = now_us > since_us ? now_us - since_us : 0;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < REPL_RATE_SECONDS && i <= rate->second; i++) {
        if (rate->second - i >= first)
            sum += rate->counts[(rate->second - i) % REPL_RATE_SECONDS];
    }
    return sum * SECOND_US / (us > SECOND_US ? us : SECOND_US);
}
