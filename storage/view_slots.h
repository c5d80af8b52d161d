/*
 * References on the current view, parked where the next short read of the same
 * thread finds them: a get then takes no lock and writes to no memory that
 * another thread's gets write to.
 *
 * A slot is empty, holds a parked view (with one reference, the slot's), or
 * the mark of the hold that uses it. A hold that found a parked view has
 * taken its reference over; where the slot still has its mark at the end it
 * parks the view there again, else it gives the reference back. Who installs
 * a view sweeps the slots: it empties all and drops what was parked.
 *
 * Why that is right, given that every write to a slot is a read-modify-write
 * with release and acquire order, so that who finds a slot as it is after a
 * sweep is behind that sweep:
 *
 * 1. A view parked in a slot after a sweep is the one installed before that
 *    sweep, or a later one. A hold parks only where its mark still stands, so
 *    no sweep of the slot lies between mark and parking; and it took its view
 *    from the slot as it put the mark there (to which this rule applies), or
 *    from the database, under view_mu, after that: behind every earlier sweep.
 *    Marks of holds that live at once differ, as the holds' addresses do.
 * 2. Every entry at or below the sequence of a hold is in its view. A hold
 *    loads the sequence (acquire) once it has a view, then looks for its mark
 *    again. An entry that its view lacks lies in a memtable installed later;
 *    the sweep after that installation came before the entry was published
 *    (ldb_db_install_view() sweeps before it returns), so who sees the entry's
 *    sequence sees the slot swept, and takes the view from the database.
 * 3. The tables of its view hold no entry above its sequence, as with any
 *    view: they were written from what had been published before.
 *
 * Thread-safety: any thread; a hold belongs to one and must not move.
 */
#ifndef STORAGE_VIEW_SLOTS_H
#define STORAGE_VIEW_SLOTS_H

#include "storage/view.h"

/* Chosen: two dozen threads seldom have the same one. */
#define LDB_VIEW_SLOT_BITS  6
#define LDB_VIEW_SLOT_COUNT (1 << LDB_VIEW_SLOT_BITS)

/* Two cache lines: a processor may fetch them in pairs. */
#define LDB_VIEW_SLOT_SIZE 128

/* Atomics: state as said above; gets relaxed. */
struct ldb_view_slot {
    _Atomic(uintptr_t) state; /* 0, a view, or a hold's address + 1 */
    _Atomic(uint64_t) gets;   /* of the threads whose slot it is */
    _Atomic(uint64_t) row_hits;
    _Atomic(uint64_t) row_misses;
    uint8_t padding[LDB_VIEW_SLOT_SIZE - 4 * sizeof(uint64_t)];
};

/* Zeroed: all are empty. */
struct ldb_view_slots {
    struct ldb_view_slot slots[LDB_VIEW_SLOT_COUNT];
};

struct ldb_view_hold {
    struct ldb_view *view;
    struct ldb_view_slot *slot; /* NULL: none */
};

/*
 * Marks the thread's slot, or the next one, for hold. Returns the view that
 * was parked there, whose reference is the caller's now; NULL: there was none,
 * or both slots are in use, which leaves hold->slot NULL.
 */
struct ldb_view *ldb_view_slots_take(struct ldb_view_slots *slots,
                                     struct ldb_view_hold *hold);

/* Whether the slot still has hold's mark: nothing was swept since take. */
bool ldb_view_slots_is_marked(const struct ldb_view_hold *hold);

/* Parks hold->view with the reference of the caller; false: it keeps it. */
bool ldb_view_slots_park(struct ldb_view_hold *hold);

/* Empties all and drops the references parked there: not the last ones, as
 * the caller has one on each view that was installed. */
void ldb_view_slots_sweep(struct ldb_view_slots *slots);

struct ldb_get_counts {
    uint64_t gets;
    uint64_t row_hits; /* of the row cache */
    uint64_t row_misses;
};

/* Counts a get of this thread, and what its look at the rows found; and what
 * all have counted. */
void ldb_view_slots_count_get(struct ldb_view_slots *slots);
void ldb_view_slots_count_row(struct ldb_view_slots *slots, bool is_hit);
void ldb_view_slots_counts(const struct ldb_view_slots *slots,
                           struct ldb_get_counts *out);

#endif
