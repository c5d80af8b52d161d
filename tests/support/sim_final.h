/*
 * What has to hold of a simulated cluster at its end, when all is well and
 * nobody writes: equal twins, R9, and R5 of what was acknowledged. Each
 * function fails the simulation.
 */
#ifndef TESTS_SUPPORT_SIM_FINAL_H
#define TESTS_SUPPORT_SIM_FINAL_H

#include "tests/support/sim_client.h"

/* Files of two folders are the same, as far as a twin's are, and so are their
 * digests (GET /v1/digest). */
void sim_final_same(struct sim_node *leader, struct sim_node *follower);

/* R9: the changes after some sequence, applied to what there was then, give
 * what there is: no gap, no double. */
void sim_final_changes(struct sim_node *node);

/*
 * R5: every write that was acknowledged as durable is in the history that the
 * leader has; or, unless every follower had to have it, among what was set
 * aside at one of the nodes.
 */
void sim_final_acks(const struct sim_client *client,
                    const struct sim_node *leader);

#endif
