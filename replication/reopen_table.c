#include "replication/reopen_table.h"

#include "storage/pinned_files.h"

void repl_reopen_table(struct ldb_db *db, uint64_t number)
{
    /* Blocks are cached under a key of the open table, which goes with it. */
    ldb_table_cache_evict(db->tables, number);
    ldb_mutex_lock(&db->mu);
    db->compaction_halted = false;
    ldb_cond_broadcast(&db->work);
    ldb_mutex_unlock(&db->mu);
}
