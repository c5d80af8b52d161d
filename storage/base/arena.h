/*
 * Allocate many, free once: memtable nodes, the parts of one HTTP request.
 *
 * Thread-safety: one allocating thread; other threads may read what was
 * allocated once it was handed to them with a release/acquire pair, and may
 * call ldb_arena_memory_bytes() at any time.
 */
#ifndef STORAGE_BASE_ARENA_H
#define STORAGE_BASE_ARENA_H

#include <stdatomic.h>

#include "storage/base/compiler.h"

struct ldb_arena_block; /* private to arena.c */

/* Shown so that it can stand inside another struct; use the functions. */
struct ldb_arena {
    struct ldb_arena_block *blocks; /* newest first */
    uint8_t *next;
    size_t left;
    size_t block_size;            /* bytes of a fresh block */
    _Atomic(size_t) memory_bytes; /* relaxed: a figure */
};

/* block_size 0 means the default, 4096 bytes (LevelDB's arena block). */
void ldb_arena_init(struct ldb_arena *arena, size_t block_size);

/* Frees everything; a zeroed arena is fine. */
void ldb_arena_release(struct ldb_arena *arena);

/* Empty again, one block kept for reuse. */
void ldb_arena_clear(struct ldb_arena *arena);

/* size bytes, any alignment, uninitialised; NULL on no memory. */
LDB_MUST_CHECK void *ldb_arena_alloc(struct ldb_arena *arena, size_t size);

/* The same, aligned for any object. */
LDB_MUST_CHECK void *ldb_arena_alloc_aligned(struct ldb_arena *arena,
                                             size_t size);

/* A copy of the bytes; out of len 0 a valid pointer. */
LDB_MUST_CHECK void *ldb_arena_dup(struct ldb_arena *arena,
                                   struct ldb_slice bytes);

/* Bytes taken from the system for this arena. */
size_t ldb_arena_memory_bytes(const struct ldb_arena *arena);

#endif
