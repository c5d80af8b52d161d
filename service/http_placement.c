#include "service/http_internal.h"

/*
 * A thread of this machine that opens connections in a row gets them all from
 * one loop. The system then draws the two to one processor: requests and
 * answers stay in its caches, and nobody is woken on another one. That takes a
 * sixth off what a GET costs, most of it off the kernel's part
 * (bench/README.md). Which thread it is nobody tells; the processor that a
 * connection came by does, for a moment.
 *
 * From elsewhere packets come by whatever processor the network card chose,
 * with some cards always the same one: those connections are spread evenly.
 */

/*
 * So many connections in a row at most, each at most so long after the one
 * before. Chosen: with two threads of 32 or more both loops of two cores are at
 * work, and a thread stays where it is for a few times as long.
 */
#define RUN_LENGTH_MAX 32
#define RUN_PAUSE_US   10000

struct svc_loop *svc_placement_choose(struct svc_placement *placement, int cpu,
                                      uint64_t now_us)
{
    struct svc_run *run;

    if (cpu < 0)
        return svc_server_fewest(placement->server);
    run = &placement->runs[cpu % SVC_PLACEMENT_RUNS];
    if (run->left == 0 || now_us - run->last_us > RUN_PAUSE_US) {
        run->loop = svc_server_fewest(placement->server);
        run->left = RUN_LENGTH_MAX;
    }
    run->left--;
    run->last_us = now_us;
    return run->loop;
}
