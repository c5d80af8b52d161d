/*
 * Where a database lives: the system's files, or memory. Included by ldb.h.
 *
 * Thread-safety: an environment serves any number of threads and databases.
 */
#ifndef STORAGE_INCLUDE_LDB_ENV_H
#define STORAGE_INCLUDE_LDB_ENV_H

#include "ldb_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ldb_env;

/* The system's files; static, never destroyed. */
LDB_API struct ldb_env *ldb_env_posix(void);

/*
 * A whole file system in RAM, empty; gone with the environment. A database
 * on it is as one on disk: in a folder of any name ("/db"), beside others,
 * closed and opened again. Clock, random numbers and threads are the system's.
 * Destroy it after every database on it is closed. NO_MEMORY.
 */
LDB_API LDB_MUST_CHECK enum ldb_status
ldb_env_memory_create(struct ldb_error *err, struct ldb_env **out);
LDB_API void ldb_env_memory_destroy(struct ldb_env *env);

#ifdef __cplusplus
}
#endif

#endif
