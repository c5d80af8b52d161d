/*
 * An environment that makes nothing durable: another one, whose syncs do
 * nothing (ldb_options.no_sync). What was written is there after the process
 * dies, not after the power does.
 *
 * Thread-safety: as the environment below.
 */
#ifndef STORAGE_BASE_ENV_NO_SYNC_H
#define STORAGE_BASE_ENV_NO_SYNC_H

#include "storage/base/env.h"

/* below_env is borrowed until destroy. NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status ldb_env_no_sync_create(struct ldb_env *below_env,
                                                      struct ldb_error *err,
                                                      struct ldb_env **out);
/* No file or lock of it is open. NULL is fine. */
void ldb_env_no_sync_destroy(struct ldb_env *env);

#endif
