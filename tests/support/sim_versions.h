/*
 * The versions that leaders have held for nodes that build their folders anew,
 * as they were named on the wire, and the tables of them that were refused
 * afterwards: what R10 is about, seen from the network.
 */
#ifndef TESTS_SUPPORT_SIM_VERSIONS_H
#define TESTS_SUPPORT_SIM_VERSIONS_H

#include "tests/support/sim_flow.h"

/* Of one node, since it was forgotten. */
struct sim_versions {
    uint64_t made;
    uint64_t refused; /* tables of the last one made then */
    char table[64];   /* the first of them */
};

/* None, of any node. */
void sim_versions_begin(void);
void sim_versions_end(void);

/* A node is answered: flow's status, with that body. */
void sim_versions_answered(const struct sim_flow *flow, struct ldb_slice body);

void sim_versions_read(unsigned node, struct sim_versions *out);
void sim_versions_forget(unsigned node);

#endif
