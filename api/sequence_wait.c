#include "api/sequence_wait.h"

#include <stdatomic.h>

#include "api/context.h"
#include "api/params.h"
#include "api/problem.h"
#include "replication/feed_start.h"
#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/*
 * Who waits is entered before the last sequence is looked at again, and who
 * brings a sequence publishes it before it looks at who waits. Both look
 * through a read-modify-write of lowest, whose order is one for all threads:
 * so one of them sees the other, and nobody waits for what is there.
 *
 * Locking: env is constant, and so is db to who is inside the gate. Atomic:
 * lowest (acq_rel, see above). The rest is guarded by mu, under which nobody is
 * woken. A linked exchange is its loop's again once it is unlinked: whoever
 * does that wakes it, or is it.
 */
struct api_sequence_waits {
    struct ldb_db *db;
    struct ldb_env *env;
    _Atomic(ldb_sequence) lowest; /* of those wanted, or above all */
    struct ldb_mutex mu;
    struct api_exchange *first;        /* guarded by mu */
    size_t count;                      /* guarded by mu */
    bool is_shut;                      /* guarded by mu */
    bool is_closed;                    /* guarded by mu */
    struct repl_epoch_history history; /* guarded by mu */
};

#define NOBODY UINT64_MAX

struct api_sequence_waits *api_sequence_waits_create(struct ldb_db *db,
                                                     struct ldb_env *env)
{
    struct api_sequence_waits *all = ldb_mem_zalloc(1, sizeof(*all));

    if (all == NULL)
        return NULL;
    all->db = db;
    all->env = env;
    atomic_init(&all->lowest, NOBODY);
    ldb_mutex_init(&all->mu);
    return all;
}

void api_sequence_waits_destroy(struct api_sequence_waits *all)
{
    if (all == NULL)
        return;
    assert(all->first == NULL);
    ldb_mutex_release(&all->mu);
    repl_epoch_history_release(&all->history);
    ldb_mem_free(all);
}

enum ldb_status
api_sequence_waits_set_history(struct api_sequence_waits *all,
                               const struct repl_epoch_history *history,
                               struct ldb_error *err)
{
    struct repl_epoch_history copy = {0};
    struct repl_epoch_history old;
    enum ldb_status s = repl_epoch_history_copy(history, err, &copy);

    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&all->mu);
    old = all->history;
    all->history = copy;
    ldb_mutex_unlock(&all->mu);
    repl_epoch_history_release(&old);
    return LDB_OK;
}

/* ---- the headers ---- */

bool api_sequence_wait_parse(struct api_exchange *x)
{
    struct api_sequence_wait *wait = &x->sequence_wait;
    uint64_t timeout_us = API_SEQUENCE_WAIT_US;
    struct ldb_slice text;

    if (!api_header_once(x, "Leveld-Timeout", &text))
        return false;
    if (text.data != NULL && !api_duration_parse(text, &timeout_us)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "header Leveld-Timeout is a duration such as "
                            "500ms or 2s, at most 24h");
        return false;
    }
    if (!api_header_once(x, "Leveld-Min-Sequence", &text))
        return false;
    if (text.data != NULL && (!ldb_parse_u64(text, &wait->wanted) ||
                              wait->wanted > LDB_SEQUENCE_MAX)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "header Leveld-Min-Sequence is a sequence number");
        return false;
    }
    wait->deadline_us = x->started_us + timeout_us;
    return true;
}

/* ---- the list ---- */

static void link_wait(struct api_sequence_waits *all, struct api_exchange *x)
    LDB_REQUIRES(all->mu)
{
    struct api_sequence_wait *wait = &x->sequence_wait;
    ldb_sequence lowest =
        atomic_load_explicit(&all->lowest, memory_order_relaxed);

    wait->is_linked = true;
    wait->previous = NULL;
    wait->next = all->first;
    if (all->first != NULL)
        all->first->sequence_wait.previous = x;
    all->first = x;
    all->count++;
    (void)atomic_exchange_explicit(
        &all->lowest, wait->wanted < lowest ? wait->wanted : lowest,
        memory_order_acq_rel);
}

static void unlink_wait(struct api_sequence_waits *all, struct api_exchange *x)
    LDB_REQUIRES(all->mu)
{
    struct api_sequence_wait *wait = &x->sequence_wait;

    if (wait->previous != NULL)
        wait->previous->sequence_wait.next = wait->next;
    else
        all->first = wait->next;
    if (wait->next != NULL)
        wait->next->sequence_wait.previous = wait->previous;
    wait->is_linked = false;
    all->count--;
}

/*
 * Takes off those whose sequence is here or whose deadline has passed; they
 * are woken once mu is free.
 */
static void wake_those(struct api_sequence_waits *all, ldb_sequence sequence,
                       uint64_t now_us)
{
    struct api_exchange *woken = NULL;
    ldb_sequence lowest = NOBODY;
    struct api_exchange *next;

    ldb_mutex_lock(&all->mu);
    for (struct api_exchange *x = all->first; x != NULL; x = next) {
        struct api_sequence_wait *wait = &x->sequence_wait;

        next = wait->next;
        if (wait->wanted > sequence && wait->deadline_us > now_us) {
            lowest = wait->wanted < lowest ? wait->wanted : lowest;
            continue;
        }
        unlink_wait(all, x);
        wait->next = woken;
        woken = x;
    }
    (void)atomic_exchange_explicit(&all->lowest, lowest, memory_order_acq_rel);
    ldb_mutex_unlock(&all->mu);
    while (woken != NULL) {
        next = woken->sequence_wait.next;
        api_exchange_wake(woken);
        woken = next;
    }
}

void api_sequence_waits_advance(struct api_sequence_waits *all,
                                ldb_sequence sequence)
{
    if (atomic_fetch_add_explicit(&all->lowest, 0, memory_order_acq_rel) <=
        sequence)
        wake_those(all, sequence, 0);
}

void api_sequence_waits_tick(struct api_sequence_waits *all)
{
    if (atomic_load_explicit(&all->lowest, memory_order_relaxed) != NOBODY)
        wake_those(all, ldb_last_sequence(all->db),
                   all->env->ops->monotonic_us(all->env));
}

void api_sequence_waits_shut(struct api_sequence_waits *all)
{
    ldb_mutex_lock(&all->mu);
    all->is_shut = true;
    ldb_mutex_unlock(&all->mu);
    wake_those(all, LDB_SEQUENCE_MAX, UINT64_MAX);
}

void api_sequence_waits_set_db(struct api_sequence_waits *all,
                               struct ldb_db *db)
{
    ldb_mutex_lock(&all->mu);
    assert(all->first == NULL);
    all->db = db;
    all->is_shut = false;
    ldb_mutex_unlock(&all->mu);
}

void api_sequence_waits_close(struct api_sequence_waits *all)
{
    ldb_mutex_lock(&all->mu);
    all->is_closed = true;
    ldb_mutex_unlock(&all->mu);
    wake_those(all, LDB_SEQUENCE_MAX, UINT64_MAX);
}

size_t api_sequence_waits_count(struct api_sequence_waits *all)
{
    size_t count;

    ldb_mutex_lock(&all->mu);
    count = all->count;
    ldb_mutex_unlock(&all->mu);
    return count;
}

/* ---- waiting ---- */

static void answer_lost(struct api_exchange *x, ldb_sequence fork)
{
    struct api_problem problem = {
        .kind = API_PROBLEM_LOST_SEQUENCE,
        .has_fork = true,
        .fork = fork,
    };

    api_problem_detail(&problem,
                       "sequence %llu was lost: the history goes on after "
                       "sequence %llu",
                       (unsigned long long)x->sequence_wait.wanted,
                       (unsigned long long)fork);
    api_answer_problem(x, &problem);
}

static void answer_lagging(struct api_exchange *x, ldb_sequence last)
{
    struct api_problem problem = {.kind = API_PROBLEM_LAGGING,
                                  .retry_after_s = 1};

    api_problem_detail(
        &problem, "this node is at sequence %llu, and not yet at %llu",
        (unsigned long long)last, (unsigned long long)x->sequence_wait.wanted);
    api_answer_problem(x, &problem);
}

/*
 * What the sequence asked for comes to in the history: lost; or the entry to
 * wait for. Reads at the beginning of an epoch have told its base, where no
 * entry is: it is here with the last entry before it.
 */
static struct repl_feed_start judge(struct api_sequence_waits *all,
                                    struct api_sequence_wait *wait)
    LDB_REQUIRES(all->mu)
{
    struct repl_feed_start found;

    /* What is above all that is here may be on its way. */
    repl_feed_start_find(&all->history, LDB_SEQUENCE_MAX, wait->wanted, &found);
    if (!found.is_lost)
        wait->wanted =
            repl_epoch_history_last_entry(&all->history, wait->wanted);
    return found;
}

bool api_sequence_wait_pass(struct api_exchange *x,
                            void (*then)(struct api_exchange *))
{
    struct api_sequence_waits *all = x->context->sequence_waits;
    struct api_sequence_wait *wait = &x->sequence_wait;
    struct repl_feed_start found;
    ldb_sequence last;
    bool waits;

    if (wait->wanted == 0)
        return true;
    last = ldb_last_sequence(all->db);
    ldb_mutex_lock(&all->mu);
    found = judge(all, wait);
    waits = !found.is_lost && wait->wanted > last && !all->is_closed &&
            !all->is_shut &&
            wait->deadline_us > all->env->ops->monotonic_us(all->env);
    if (waits) {
        link_wait(all, x);
        /* It may have come since, from one who saw nobody waiting. */
        last = ldb_last_sequence(all->db);
        if (wait->wanted <= last) {
            unlink_wait(all, x);
            waits = false;
        }
    }
    ldb_mutex_unlock(&all->mu);
    if (waits) {
        wait->then = then;
        return false;
    }
    if (found.is_lost)
        answer_lost(x, found.fork);
    else if (wait->wanted > last)
        answer_lagging(x, last);
    else
        wait->wanted = 0; /* asked once a request */
    return !found.is_lost && wait->wanted == 0;
}
