/*
 * Properties in LevelDB's form, for leveldb/c.h. A name that goleveldb alone
 * has gets goleveldb's text (property.h).
 *
 * Thread-safety: any thread.
 */
#ifndef STORAGE_LEVELDB_PROPERTY_H
#define STORAGE_LEVELDB_PROPERTY_H

#include "storage/include/ldb.h"

/* Appends the text; NOT_FOUND: no such property. NO_MEMORY, TOO_LARGE. */
LDB_MUST_CHECK enum ldb_status
ldb_leveldb_property(struct ldb_db *db, const char *name, struct ldb_buf *out);

#endif
