/*
 * The world of one node in a simulation: a disk in memory that fails and loses
 * power (env_fault.h), the scheduler's clock, threads and random numbers
 * (sim_sched.h).
 *
 *     struct sim_env *world = sim_env_create("b");
 *     ... a node on sim_env_env(world) ...
 *     sim_env_crash(world, keep);     the disk is dead: every call gives IO
 *     ... the node is stopped, whatever it says ...
 *     sim_env_revive(world);          what survived is there
 *
 * Any call of the disk may take a while and let others run. A crash can be
 * planned, to come in the middle of what is going on: before the n-th call from
 * now that changes the disk.
 */
#ifndef TESTS_SUPPORT_SIM_ENV_H
#define TESTS_SUPPORT_SIM_ENV_H

#include "tests/support/env_fault.h"

struct sim_env;

struct sim_env *sim_env_create(const char *name);
/* Nothing of it is in use. */
void sim_env_destroy(struct sim_env *world);

struct ldb_env *sim_env_env(struct sim_env *world);
struct env_fault *sim_env_fault(struct sim_env *world);
/* The world that env is of. */
struct sim_env *sim_env_of(struct ldb_env *env);
const char *sim_env_name(const struct sim_env *world);

/* ---- power ---- */

/* Now. Dead already: nothing more. */
void sim_env_crash(struct sim_env *world, enum ldb_crash_keep keep);
/* Before that many calls that change the disk have been made; 0: no more. told
 * is called once it has happened. */
void sim_env_plan_crash(struct sim_env *world, uint64_t calls,
                        enum ldb_crash_keep keep, void (*told)(void *context),
                        void *context);
bool sim_env_is_dead(const struct sim_env *world);
void sim_env_revive(struct sim_env *world);

/* Another world, without faults, over what a cut now would leave; this one goes
 * on. The caller destroys it. */
struct sim_env *sim_env_after_cut(struct sim_env *world,
                                  enum ldb_crash_keep keep);

/* ---- watching ---- */

/* Called before a file is renamed or removed. NULL: nobody is. */
void sim_env_watch_names(struct sim_env *world,
                         void (*watch)(void *context, const char *path),
                         void *context);

/* ---- slowness ---- */

/* One sync in so many takes up to max_us, others a little; 0: none does. */
void sim_env_slow_syncs(struct sim_env *world, uint64_t one_in,
                        uint64_t max_us);

/* Calls that have changed the disk, since create. */
uint64_t sim_env_changes(const struct sim_env *world);

#endif
