#include "api/db_gate.h"

#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"

/*
 * One word has the state in its two highest bits and how many are inside in the
 * others. Who goes in adds one, and takes it back when the state says no: so
 * the count may be too high for a moment, and never too low.
 *
 * Closing sets CLOSING, then CLOSED in one step with seeing that nobody is
 * inside. Who comes out last and sees CLOSING wakes the closer under mu, which
 * the closer holds from its look at the word until it sleeps.
 *
 * Locking: word is atomic: leave and open release what was done inside and to
 * the database, enter and wait acquire it. reason is guarded by mu, as is
 * emptied.
 */
struct api_db_gate {
    _Atomic(uint64_t) word;
    struct ldb_mutex mu;
    struct ldb_cond emptied;
    struct api_db_gate_reason reason; /* guarded by mu */
};

#define CLOSED  (UINT64_C(1) << 63)
#define CLOSING (UINT64_C(1) << 62)
#define STATE   (CLOSED | CLOSING)

static const struct api_db_gate_reason starting = {
    .kind = API_PROBLEM_OVERLOADED,
    .reason = "starting",
    .detail = "the server starts",
    .retry_after_s = 1,
};

struct api_db_gate *api_db_gate_create(void)
{
    struct api_db_gate *gate = ldb_mem_zalloc(1, sizeof(*gate));

    if (gate == NULL)
        return NULL;
    atomic_init(&gate->word, CLOSED);
    ldb_mutex_init(&gate->mu);
    ldb_cond_init(&gate->emptied);
    gate->reason = starting;
    return gate;
}

void api_db_gate_destroy(struct api_db_gate *gate)
{
    if (gate == NULL)
        return;
    assert(api_db_gate_inside(gate) == 0);
    ldb_cond_release(&gate->emptied);
    ldb_mutex_release(&gate->mu);
    ldb_mem_free(gate);
}

/* ---- who goes in ---- */

/* In, unless the state has one of these bits. */
static bool go_in(struct api_db_gate *gate, uint64_t unless)
{
    uint64_t before =
        atomic_fetch_add_explicit(&gate->word, 1, memory_order_acquire);

    if (LDB_LIKELY((before & unless) == 0))
        return true;
    api_db_gate_leave(gate);
    return false;
}

bool api_db_gate_enter(struct api_db_gate *gate)
{
    return go_in(gate, STATE);
}

bool api_db_gate_enter_closing(struct api_db_gate *gate)
{
    return go_in(gate, CLOSED);
}

void api_db_gate_leave(struct api_db_gate *gate)
{
    uint64_t after =
        atomic_fetch_sub_explicit(&gate->word, 1, memory_order_release) - 1;

    assert((after & ~STATE) != ~STATE); /* somebody was inside */
    if (LDB_LIKELY(after != CLOSING))
        return;
    ldb_mutex_lock(&gate->mu);
    ldb_cond_broadcast(&gate->emptied);
    ldb_mutex_unlock(&gate->mu);
}

bool api_db_gate_is_closing(const struct api_db_gate *gate)
{
    return (atomic_load_explicit(&gate->word, memory_order_relaxed) & STATE) !=
           0;
}

void api_db_gate_problem(struct api_db_gate *gate, struct api_problem *out)
{
    struct api_db_gate_reason reason;

    ldb_mutex_lock(&gate->mu);
    reason = gate->reason;
    ldb_mutex_unlock(&gate->mu);
    *out = (struct api_problem){
        .kind = reason.kind,
        .status = 503, /* whatever is usual: it is over soon */
        .reason = reason.reason,
        .retry_after_s = reason.retry_after_s,
    };
    api_problem_detail(out, "%s", reason.detail);
}

/* ---- who exchanges the database ---- */

void api_db_gate_shut(struct api_db_gate *gate,
                      const struct api_db_gate_reason *reason)
{
    ldb_mutex_lock(&gate->mu);
    gate->reason = *reason;
    ldb_mutex_unlock(&gate->mu);
    if ((atomic_load_explicit(&gate->word, memory_order_relaxed) & CLOSED) == 0)
        atomic_fetch_or_explicit(&gate->word, CLOSING, memory_order_acq_rel);
}

/* True: it is closed now, if it was not. */
static bool close_if_empty(struct api_db_gate *gate)
{
    uint64_t seen = CLOSING;

    return atomic_compare_exchange_strong_explicit(&gate->word, &seen, CLOSED,
                                                   memory_order_acquire,
                                                   memory_order_relaxed) ||
           (seen & CLOSED) != 0;
}

bool api_db_gate_wait(struct api_db_gate *gate, uint64_t timeout_us)
{
    bool is_closed;

    assert(api_db_gate_is_closing(gate));
    ldb_mutex_lock(&gate->mu);
    is_closed = close_if_empty(gate);
    if (!is_closed && timeout_us > 0) {
        (void)ldb_cond_wait_for(&gate->emptied, &gate->mu, timeout_us);
        is_closed = close_if_empty(gate);
    }
    ldb_mutex_unlock(&gate->mu);
    return is_closed;
}

void api_db_gate_open(struct api_db_gate *gate)
{
    uint64_t before =
        atomic_fetch_and_explicit(&gate->word, ~STATE, memory_order_release);

    assert((before & CLOSED) != 0);
    (void)before;
}

uint64_t api_db_gate_inside(const struct api_db_gate *gate)
{
    return atomic_load_explicit(&gate->word, memory_order_relaxed) & ~STATE;
}
