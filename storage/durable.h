/*
 * What of the journals is durable, as one point that any thread may read.
 * Private to storage/; ldb.h has what others see of it.
 *
 * Two points: `written`, the end of the last group that readers see, which the
 * leader moves; and `durable`, the last such point whose bytes are known to be
 * on disk, moved with mu held by the leader or the sync thread. durable never
 * passes written, and written never passes what readers see.
 */
#ifndef STORAGE_DURABLE_H
#define STORAGE_DURABLE_H

#include <stdatomic.h>

#include "storage/base/compiler.h"
#include "storage/include/ldb.h"

/*
 * A position that one thread at a time stores and any number load, without a
 * lock.
 *
 * Locking: atomics. turn is odd while the rest changes; each store is a release
 * and each load an acquire, so that who sees a new field sees the odd turn.
 */
struct ldb_position_cell {
    _Atomic(uint64_t) turn;
    _Atomic(uint64_t) journal;
    _Atomic(uint64_t) offset;
    _Atomic(ldb_sequence) sequence;
};

/* The same journal as before; what the end of each group costs. */
static inline void ldb_position_move(struct ldb_position_cell *cell,
                                     uint64_t offset, ldb_sequence sequence)
{
    uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_relaxed);

    atomic_store_explicit(&cell->turn, turn + 1, memory_order_relaxed);
    atomic_store_explicit(&cell->offset, offset, memory_order_release);
    atomic_store_explicit(&cell->sequence, sequence, memory_order_release);
    atomic_store_explicit(&cell->turn, turn + 2, memory_order_release);
}

void ldb_position_store(struct ldb_position_cell *cell,
                        const struct ldb_position *position);
struct ldb_position ldb_position_load(const struct ldb_position_cell *cell);

#endif
