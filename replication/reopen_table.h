/*
 * A table whose file was replaced while the database is open: damage was mended
 * with another copy of the same entries. What it does is the engine's own
 * affair, and it reaches into the engine for it, here alone
 * (docs/decisions/0034-healing-while-serving.md).
 *
 * Thread-safety: any thread.
 */
#ifndef REPLICATION_REOPEN_TABLE_H
#define REPLICATION_REOPEN_TABLE_H

#include "storage/include/ldb.h"

/*
 * Whoever reads table number from now on opens its file anew, and no block that
 * is in memory of the old one is shown any more; cursors and compactions that
 * have it open read on in the old one. Compactions that have stopped at damage
 * begin again: where there is more of it they stop again.
 */
void repl_reopen_table(struct ldb_db *db, uint64_t number);

#endif
