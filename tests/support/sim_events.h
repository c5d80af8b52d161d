/*
 * What befalls a simulated cluster: writes and reads, and now and then broken
 * and silent links, flipped bits, power cuts, failing and full disks, restarts,
 * promotions, handovers, compactions.
 */
#ifndef TESTS_SUPPORT_SIM_EVENTS_H
#define TESTS_SUPPORT_SIM_EVENTS_H

#include "tests/support/sim_cluster.h"

/* One of those, and a while in which everybody runs. */
void sim_befall(struct sim_cluster *c);

/* Links and disks are well from now on, and no power cut is to come. */
void sim_end_trouble(struct sim_cluster *c);

#endif
