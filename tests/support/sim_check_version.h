/*
 * R3 and R8 of what CURRENT and its MANIFEST say in a twin's folder, held
 * against the leader's files and against what has come into the folder. Private
 * to sim_check.c.
 */
#ifndef TESTS_SUPPORT_SIM_CHECK_VERSION_H
#define TESTS_SUPPORT_SIM_CHECK_VERSION_H

#include "tests/support/sim_check.h"

/* All stands still. */
void sim_check_version(struct sim_node *node, const struct sim_history *history,
                       struct sim_watch *watch);

#endif
