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

/* What "leveldb.approximate-memory-usage" counts: memtables, caches. */
uint64_t ldb_property_memory_bytes(const struct ldb_stats *stats);

#endif
