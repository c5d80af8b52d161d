/*
 * A cluster of a leader and its followers under one seed, what happens to it,
 * and what has to hold: DESIGN.md's R1 to R10.
 *
 * sim_cluster_run() is one life: so many steps, each of them one thing that
 * befalls the cluster (writes, broken and silent links, flipped bits, power
 * cuts, failing and full disks, restarts, promotions, handovers), and a while
 * in which everybody runs; after each all that can be looked at is. Then all is
 * well for a while, and everybody has to be the same.
 */
#ifndef TESTS_SUPPORT_SIM_CLUSTER_H
#define TESTS_SUPPORT_SIM_CLUSTER_H

#include <stdint.h>

/* What has happened, in all lives together. */
#define SIM_COUNT_LIST(X)                                                      \
    X(seeds)                                                                   \
    X(steps)                                                                   \
    X(writes)                                                                  \
    X(acknowledged)                                                            \
    X(crashes)                                                                 \
    X(cuts)                                                                    \
    X(silences)                                                                \
    X(reorders)                                                                \
    X(corruptions)                                                             \
    X(disk_faults)                                                             \
    X(restarts)                                                                \
    X(promotions)                                                              \
    X(handovers)                                                               \
    X(epochs)                                                                  \
    X(rebuilds)                                                                \
    X(bootstraps)                                                              \
    X(heals)                                                                   \
    X(tables_built)                                                            \
    X(tables_fetched)                                                          \
    X(opened_by_us)                                                            \
    X(opened_by_oracles)

struct sim_counts {
#define SIM_COUNT_FIELD(name) uint64_t name;
    SIM_COUNT_LIST(SIM_COUNT_FIELD)
#undef SIM_COUNT_FIELD
};

/* oracles: states that both oracles are to open in this life, at most. */
void sim_cluster_run(uint64_t seed, uint64_t steps, uint64_t oracles,
                     struct sim_counts *counts);

#endif
