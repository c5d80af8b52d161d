/*
 * How much of each journal a folder has ever held: looked at from outside,
 * before a journal goes and step by step. Then what its versions may say is
 * known without asking the node (R8).
 *
 * Nothing here waits.
 */
#ifndef TESTS_SUPPORT_SIM_HELD_H
#define TESTS_SUPPORT_SIM_HELD_H

#include "storage/base/env.h"

struct sim_held_journal {
    uint64_t number;
    uint64_t len; /* at its longest */
};

struct sim_held {
    struct sim_held_journal *items;
    size_t count;
    size_t room;
    bool is_remade; /* by a rebuild, since it was forgotten */
};

/* The journals that lie there now, in the archive too. */
void sim_held_note(struct sim_held *held, struct ldb_env *env, const char *dir);
/* 0: nothing of it, ever. */
uint64_t sim_held_len(const struct sim_held *held, uint64_t number);
/* Not one byte of any. */
bool sim_held_is_empty(const struct sim_held *held);
/* The folder is another: what was held says nothing any more. */
void sim_held_forget(struct sim_held *held);
void sim_held_release(struct sim_held *held);

#endif
