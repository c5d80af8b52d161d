/*
 * CURRENT, which names the live MANIFEST: set and read by goleveldb's safe
 * order (docs/formats.md; rules 5 and 6). At no instant is a folder
 * without CURRENT once it had one.
 */
#ifndef STORAGE_VERSION_CURRENT_FILE_H
#define STORAGE_VERSION_CURRENT_FILE_H

#include "storage/base/env.h"

/*
 * Points CURRENT at MANIFEST-number, durably: CURRENT.bak, directory sync,
 * CURRENT.N, rename, directory sync. The MANIFEST's content must be synced. On
 * failure CURRENT may already be the new one, and after a power cut either: no
 * MANIFEST may be deleted until a later call succeeds.
 */
LDB_MUST_CHECK enum ldb_status ldb_current_set(struct ldb_env *env,
                                               const char *dir, uint64_t number,
                                               struct ldb_error *err);

/*
 * The same, the new content being made at the path next, of the same file
 * system and of no meaning to anybody: for another database than the one that
 * is in force. Of those two a reader that looks for CURRENT.N and one that does
 * not would see different ones.
 */
LDB_MUST_CHECK enum ldb_status
ldb_current_exchange(struct ldb_env *env, const char *dir, uint64_t number,
                     const char *next, struct ldb_error *err);

/*
 * The number of the live MANIFEST. NOT_FOUND: a folder without a database, or
 * with no more than what a creation that was cut off leaves (a MANIFEST, a
 * CURRENT.N that is not whole); CORRUPTION: journals, tables, CURRENT or
 * CURRENT.bak, and no usable entry point. Writes nothing.
 * out_settled: false when what was chosen is not CURRENT itself or a CURRENT.N
 * lies about: the opener then calls ldb_current_set() and removes CURRENT.N.
 */
LDB_MUST_CHECK enum ldb_status
ldb_current_read(struct ldb_env *env, const char *dir, struct ldb_error *err,
                 uint64_t *out_number, bool *out_settled);

#endif
