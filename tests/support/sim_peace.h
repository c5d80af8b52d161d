/*
 * The end of a simulated cluster's life: all is well, people see to it that one
 * node leads, and then all have to be the same.
 */
#ifndef TESTS_SUPPORT_SIM_PEACE_H
#define TESTS_SUPPORT_SIM_PEACE_H

#include "tests/support/sim_cluster.h"

/* R5, R9 and the equality of the twins; R10 of one that begins anew meanwhile;
 * then all are closed. */
void sim_peace(struct sim_cluster *c);

#endif
