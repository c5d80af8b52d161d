/*
 * What the memory env can do beyond struct ldb_env: show what a power loss
 * would leave. For tests of recovery and simulated clusters.
 */
#ifndef STORAGE_BASE_ENV_MEMORY_INTERNAL_H
#define STORAGE_BASE_ENV_MEMORY_INTERNAL_H

#include "storage/base/env.h"
#include "storage/base/memory_node.h"

/*
 * A new memory env with what a power loss at this instant would leave of env,
 * which is a memory env and goes on untouched. No lock is held in the copy.
 * The caller destroys it.
 */
LDB_MUST_CHECK enum ldb_status
ldb_env_memory_crash_copy(struct ldb_env *env, enum ldb_crash_keep keep,
                          uint64_t seed, struct ldb_error *err,
                          struct ldb_env **out);

#endif
