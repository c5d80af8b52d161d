/*
 * LevelDB's 32-bit hash, which bloom filters hold on disk. All modulo 2^32,
 * with m = 0xc6a4a793:
 *
 *     h = seed XOR length * m
 *     for each whole 4 bytes w, little-endian:  h += w; h *= m; h ^= h >> 16
 *     the 1 to 3 bytes left, as one little-endian number t:
 *                                               h += t; h *= m; h ^= h >> 24
 *
 * Not for digests and not against attackers.
 *
 * Thread-safety: a function of its arguments.
 */
#ifndef STORAGE_BASE_HASH_H
#define STORAGE_BASE_HASH_H

#include "storage/base/slice.h"

uint32_t ldb_hash(struct ldb_slice bytes, uint32_t seed);

#endif
