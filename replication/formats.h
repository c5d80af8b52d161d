/*
 * The versions of the files in leveld/ that this build reads. A folder that has
 * a newer one is another program's: it is left alone, so this is asked before
 * anything in it is opened or written.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_FORMATS_H
#define REPLICATION_FORMATS_H

#include "storage/base/env.h"

/* Writes nothing. Errors: NOT_SUPPORTED: which file has which version; IO,
 * NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_formats_check(struct ldb_env *env, const char *dir, struct ldb_error *err);

#endif
