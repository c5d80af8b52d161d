/*
 * The texts of ldb_property(), in goleveldb's form, and what LevelDB's form
 * (leveldb_property.h) shares with them. docs/library.md#properties.
 *
 * Thread-safety: any thread.
 */
#ifndef STORAGE_PROPERTY_H
#define STORAGE_PROPERTY_H

#include "storage/include/ldb.h"

/*
 * name is "leveldb.num-files-at-level" and a decimal number; beyond 64 bits
 * counts as the largest.
 */
bool ldb_property_parse_level(const char *name, uint64_t *out_level);

/* How one of the two writes "leveldb.sstables". */
struct ldb_sstables_form {
    bool has_all_levels;      /* also those below the deepest table */
    const char *before_table; /* in front of its number */
    /* The text of an internal key. */
    enum ldb_status (*append_key)(struct ldb_buf *out, struct ldb_slice key);
};

/* Appends the tables, level by level. NO_MEMORY, TOO_LARGE. */
LDB_MUST_CHECK enum ldb_status
ldb_property_sstables(struct ldb_db *db, const struct ldb_sstables_form *form,
                      struct ldb_buf *out);

/* What "leveldb.approximate-memory-usage" counts: memtables, caches. */
uint64_t ldb_property_memory_bytes(const struct ldb_stats *stats);

#endif
