/* An env in memory in which a database has its folder leveld/. */
#ifndef TESTS_SUPPORT_SIDECAR_ENV_H
#define TESTS_SUPPORT_SIDECAR_ENV_H

#include "storage/base/env.h"

/* Of the database; leveld/ is in it. */
#define SIDECAR_ENV_DIR "db"

/* To be given to ldb_env_memory_destroy(). */
struct ldb_env *sidecar_env_create(void);

#endif
