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

#include "tests/support/sim_check.h"
#include "tests/support/sim_client.h"

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

/* ---- for what befalls it, and for its end ---- */

struct sim_cluster {
    unsigned count;
    struct sim_sizes sizes;
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_watch watches[SIM_NODES_MAX];
    uint64_t losses; /* sim_truth_losses() at the last look */
    struct sim_client client;
    unsigned leader;   /* whom the operator takes for it */
    unsigned changing; /* changes under way */
    struct sim_queue changed;
    uint64_t silent_until_us;
    uint64_t faulty_until_us;
    unsigned faulty; /* a node whose disk fails now */
    bool has_fault;
    uint64_t oracles; /* states that they may open yet */
    struct repl_follower_counts seen[SIM_NODES_MAX]; /* of this life of it */
    struct sim_counts *counts;
};

static inline struct sim_node *sim_node_at(struct sim_cluster *c,
                                           unsigned index)
{
    return &c->nodes[index];
}

static inline unsigned sim_any_node(const struct sim_cluster *c)
{
    return (unsigned)sim_below(c->count);
}

/* R1 to R3, R6 to R8, of all. */
void sim_look(struct sim_cluster *c);
/* The node is down, or is to be waited for: its disk is what is left of it, and
 * R4 and R5 are looked at when its power went. */
void sim_bury(struct sim_cluster *c, unsigned index);
/* Begins to open it, to follow whoever leads, or to lead. */
void sim_raise_node(struct sim_cluster *c, unsigned index);
/* Whoever is down is buried, and may come back. */
void sim_tend(struct sim_cluster *c);
/* Whether it leads, and cannot write any more before it is started again. */
bool sim_is_sick(struct sim_node *node);

#endif
