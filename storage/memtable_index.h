/*
 * Finds a memtable's entries without touching them: a B+tree of hints, eight
 * bytes of each key that order as the keys do. Most comparisons of a search
 * are of two hints that stand beside each other, where a list of entries has a
 * cache miss for each.
 *
 * It is a shortcut into the list, not the list: what it finds is an entry
 * before the target, near it or not. So a reader may see it while it changes,
 * and an insert may fail.
 *
 * Locking: constant after creation: prefix. Atomics: the rest; one thread at a
 * time inserts, readers take no lock (see memtable_index.c for why).
 */
#ifndef STORAGE_MEMTABLE_INDEX_H
#define STORAGE_MEMTABLE_INDEX_H

#include <stdatomic.h>

#include "storage/base/arena.h"
#include "storage/base/internal_key.h"

/* Half-full blocks of 32 reach 2^64 entries with as many. */
#define LDB_MEMTABLE_INDEX_LEVELS 16

struct ldb_memtable_block; /* private */

struct ldb_memtable_index {
    struct ldb_slice prefix; /* hints are of the bytes behind it; borrowed */
    _Atomic(struct ldb_memtable_block *) root;
};

/* What is looked for. */
struct ldb_memtable_target {
    uint64_t hint;
    struct ldb_slice key; /* internal; for ldb_memtable_is_before */
    const struct ldb_comparator *comparator;
    uint32_t ties; /* counts hints that were equal */
};

/* Is entry before target? Asked where their hints are equal. */
typedef bool (*ldb_memtable_is_before)(const void *entry,
                                       const struct ldb_memtable_target *);

/* Where a search went; the inserting thread's. */
struct ldb_memtable_path {
    struct ldb_memtable_block *blocks[LDB_MEMTABLE_INDEX_LEVELS];
    uint32_t slots[LDB_MEMTABLE_INDEX_LEVELS];
    uint32_t height; /* 0: none */
    bool is_run;     /* the next one follows the one before: see is_next */
};

/*
 * Out of the arena, of which every piece is a multiple of 8 bytes, with head
 * alone, which is before every target. NULL on no
 * memory. The prefix's bytes must live as long.
 */
LDB_MUST_CHECK struct ldb_memtable_index *
ldb_memtable_index_create(struct ldb_arena *arena, void *head,
                          struct ldb_slice prefix);

/*
 * The hint of an internal key with a bytewise user key. A key that does not
 * begin with the prefix gets the least or the greatest: hints order as keys
 * do, but different keys may have one hint.
 */
uint64_t ldb_memtable_index_hint(const struct ldb_memtable_index *index,
                                 struct ldb_slice key);

/*
 * An entry before target: the last one, but for what is being inserted and
 * inserts that failed. out_path (may be NULL) is for the inserting thread.
 */
void *ldb_memtable_index_find(const struct ldb_memtable_index *index,
                              struct ldb_memtable_target *target,
                              ldb_memtable_is_before is_before,
                              struct ldb_memtable_path *out_path);

/*
 * Does target belong right behind the entry that was inserted last, to which
 * path leads? is_last: it is the list's last. False also where only a search
 * can tell.
 */
LDB_MUST_CHECK bool
ldb_memtable_index_is_next(struct ldb_memtable_path *path, bool is_last,
                           struct ldb_memtable_target *target,
                           ldb_memtable_is_before is_before);

/*
 * Puts entry right behind where path leads; path then leads to it. False on no
 * memory: it is not found by itself.
 */
LDB_MUST_CHECK bool ldb_memtable_index_insert(struct ldb_memtable_index *index,
                                              struct ldb_arena *arena,
                                              struct ldb_memtable_path *path,
                                              uint64_t hint, void *entry);

/* An entry near the end; a run goes on behind out_path (may be NULL). */
void *ldb_memtable_index_last(const struct ldb_memtable_index *index,
                              struct ldb_memtable_path *out_path);

#endif
