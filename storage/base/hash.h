/*
 * LevelDB's 32-bit hash (bloom filters, cache shards): FORMAT "Checksums and
 * hashes". Not for digests and not against attackers.
 */
#ifndef STORAGE_BASE_HASH_H
#define STORAGE_BASE_HASH_H

#include "storage/base/slice.h"

uint32_t ldb_hash(struct ldb_slice bytes, uint32_t seed);

#endif
