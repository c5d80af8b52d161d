/*
 * What people ask of the nodes of a simulated cluster: changes of roles, and
 * compactions. Each request has a fiber of its own, and is counted when it has
 * been done.
 */
#ifndef TESTS_SUPPORT_SIM_OPERATOR_H
#define TESTS_SUPPORT_SIM_OPERATOR_H

#include "tests/support/sim_cluster.h"

/* Forced. index: SIM_NODES_MAX: nobody is asked. */
void sim_promote(struct sim_cluster *c, unsigned index);
/* From the leader to another, where there is one. */
void sim_hand_over(struct sim_cluster *c);
/* Or a flush, of the leader. */
void sim_compact(struct sim_cluster *c);
/* Who stands still with another leader in mind is told, as people would. */
void sim_point_out(struct sim_cluster *c, unsigned index);
/* Until all that was asked has been done, or refused. */
void sim_await_changes(struct sim_cluster *c);

#endif
