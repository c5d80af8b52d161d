#include "storage/view_slots.h"

#include <pthread.h>
#include <stdatomic.h>

static_assert(sizeof(struct ldb_view_slot) == LDB_VIEW_SLOT_SIZE,
              "slots do not share cache lines");

static struct ldb_view_slot *slot_of_thread(struct ldb_view_slots *slots)
{
    /* A pointer to the thread's own memory, which is mapped by pages.
     * Fibonacci hashing: neighbours get slots far from each other. */
    uint64_t thread = (uint64_t)(uintptr_t)pthread_self() >> 12;

    return &slots->slots[thread * UINT64_C(0x9e3779b97f4a7c15) >>
                         (64 - LDB_VIEW_SLOT_BITS)];
}

static struct ldb_view_slot *slot_after(struct ldb_view_slots *slots,
                                        struct ldb_view_slot *slot)
{
    return slot + 1 == slots->slots + LDB_VIEW_SLOT_COUNT ? slots->slots
                                                          : slot + 1;
}

/* Views and holds are aligned, so their addresses are even. */
static bool is_mark(uintptr_t state)
{
    return (state & 1) != 0;
}

static uintptr_t mark_of(const struct ldb_view_hold *hold)
{
    return (uintptr_t)hold + 1;
}

/* The reference parked in a slot that is the caller's alone now. */
static struct ldb_view *parked_view(uintptr_t state)
{
    return is_mark(state) ? NULL : (struct ldb_view *)state;
}

struct ldb_view *ldb_view_slots_take(struct ldb_view_slots *slots,
                                     struct ldb_view_hold *hold)
{
    struct ldb_view_slot *slot = slot_of_thread(slots);

    hold->slot = NULL;
    /* A hint: that of another hold may still be overwritten below, which then
     * finds its mark gone, as after a sweep. */
    if (is_mark(atomic_load_explicit(&slot->state, memory_order_relaxed))) {
        slot = slot_after(slots, slot);
        if (is_mark(atomic_load_explicit(&slot->state, memory_order_relaxed)))
            return NULL;
    }
    hold->slot = slot;
    return parked_view(atomic_exchange_explicit(&slot->state, mark_of(hold),
                                                memory_order_acq_rel));
}

bool ldb_view_slots_is_marked(const struct ldb_view_hold *hold)
{
    return hold->slot != NULL &&
           atomic_load_explicit(&hold->slot->state, memory_order_acquire) ==
               mark_of(hold);
}

bool ldb_view_slots_park(struct ldb_view_hold *hold)
{
    uintptr_t expected = mark_of(hold);

    return hold->slot != NULL &&
           atomic_compare_exchange_strong_explicit(
               &hold->slot->state, &expected, (uintptr_t)hold->view,
               memory_order_acq_rel, memory_order_relaxed);
}

void ldb_view_slots_sweep(struct ldb_view_slots *slots)
{
    for (size_t i = 0; i < LDB_VIEW_SLOT_COUNT; i++) {
        struct ldb_view *view = parked_view(atomic_exchange_explicit(
            &slots->slots[i].state, 0, memory_order_acq_rel));

        if (view != NULL) {
            bool was_last = ldb_view_unref(view);

            assert(!was_last);
            (void)was_last;
        }
    }
}

void ldb_view_slots_count_get(struct ldb_view_slots *slots)
{
    atomic_fetch_add_explicit(&slot_of_thread(slots)->gets, 1,
                              memory_order_relaxed);
}

void ldb_view_slots_count_row(struct ldb_view_slots *slots, bool is_hit)
{
    struct ldb_view_slot *slot = slot_of_thread(slots);

    atomic_fetch_add_explicit(is_hit ? &slot->row_hits : &slot->row_misses, 1,
                              memory_order_relaxed);
}

void ldb_view_slots_counts(const struct ldb_view_slots *slots,
                           struct ldb_get_counts *out)
{
    *out = (struct ldb_get_counts){0};
    for (size_t i = 0; i < LDB_VIEW_SLOT_COUNT; i++) {
        const struct ldb_view_slot *slot = &slots->slots[i];

        out->gets += atomic_load_explicit(&slot->gets, memory_order_relaxed);
        out->row_hits +=
            atomic_load_explicit(&slot->row_hits, memory_order_relaxed);
        out->row_misses +=
            atomic_load_explicit(&slot->row_misses, memory_order_relaxed);
    }
}
