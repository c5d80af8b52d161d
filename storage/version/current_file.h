/*
 * CURRENT, which names the live MANIFEST: set and read by goleveldb's safe
 * order (FORMAT section 2; section 23 rows 5 and 6). At no instant is a folder
 * without CURRENT once it had one.
 */
#ifndef STORAGE_VERSION_CURRENT_FILE_H
#define STORAGE_VERSION_CURRENT_FILE_H

#include "storage/base/env.h"

/*
 * Points CURRENT at MANIFEST-number, durably: CURRENT.bak, CURRENT.N, rename,
 * directory sync. The MANIFEST must be synced.
 */
LDB_MUST_CHECK enum ldb_status ldb_current_set(struct ldb_env *env,
                                               const char *dir, uint64_t number,
                                               struct ldb_error *err);

/*
 * The number of the live MANIFEST. NOT_FOUND: a folder without any database
 * file; CORRUPTION: database files and no usable entry point.
 * out_settled: false when what was chosen is not CURRENT itself or a CURRENT.N
 * lies about: the opener then calls ldb_current_set() and removes CURRENT.N.
 */
LDB_MUST_CHECK enum ldb_status ldb_current_read(struct ldb_env *env,
                                                const char *dir,
                                                struct ldb_error *err,
                                                uint64_t *out_number,
                                                bool *out_settled);

#endif
