/*
 * The two reference programs (tests/interop/oracle) on a database that a test
 * holds in any env: copied into a folder of the system, checked and dumped.
 */
#ifndef TESTS_SUPPORT_ORACLES_H
#define TESTS_SUPPORT_ORACLES_H

#include "storage/include/ldb.h"

/* Room for what a dump may have. */
#define ORACLES_DUMP_MAX ((size_t)4 << 20)

/* Whether LEVELD_ORACLE_DIR has them; prints the reason to skip when not. */
bool oracles_are_there(void);

/* Every live entry of db as the programs' dump prints them, appended. */
void oracles_dump_ours(struct ldb_db *db, struct ldb_buf *out);

/*
 * Both programs accept the folder dir of env (of goleveldb --strict default:
 * it may have a torn tail) and dump ours. NULL, or what they say: static, good
 * until the next call.
 */
const char *oracles_compare(struct ldb_env *env, const char *dir,
                            struct ldb_slice ours);

#endif
