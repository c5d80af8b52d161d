#include "replication/write_concern.h"

#include "storage/base/mem.h"
#include "storage/base/mutex.h"

/* Chosen: who asks for followers asks again within it. */
#define AWAITED_US (UINT64_C(10) * 1000000)

/*
 * An ack is in its slot before it is looked at who waits, and who waits is in
 * the list before the slots are looked at, both under mu: so one of the two
 * sees the other, and nobody waits for what is there.
 *
 * Locking.
 * Constant after creation: env.
 * Protected by mu: the rest. The mu of the slots is taken under it; those who
 * wait are woken under it.
 */
struct repl_write_concern {
    struct ldb_env *env;

    struct ldb_mutex mu;
    struct repl_slots *slots; /* NULL: this node does not lead */
    bool has_asked;
    uint64_t asked_us; /* when a write waited last, or would have */
    struct repl_concern_wait *first;
    struct repl_concern_wait *last;
    struct repl_write_concern_figures figures;
};

struct repl_write_concern *repl_write_concern_create(struct ldb_env *env)
{
    struct repl_write_concern *concern = ldb_mem_zalloc(1, sizeof(*concern));

    if (concern == NULL)
        return NULL;
    concern->env = env;
    ldb_mutex_init(&concern->mu);
    return concern;
}

void repl_write_concern_destroy(struct repl_write_concern *concern)
{
    if (concern == NULL)
        return;
    assert(concern->first == NULL);
    ldb_mutex_release(&concern->mu);
    ldb_mem_free(concern);
}

/* ---- the list ---- */

static void link_wait(struct repl_write_concern *concern,
                      struct repl_concern_wait *wait) LDB_REQUIRES(concern->mu)
{
    wait->is_waiting = true;
    wait->next = NULL;
    wait->prev = concern->last;
    if (concern->last != NULL)
        concern->last->next = wait;
    else
        concern->first = wait;
    concern->last = wait;
    concern->figures.waiting++;
}

static void unlink_wait(struct repl_write_concern *concern,
                        struct repl_concern_wait *wait)
    LDB_REQUIRES(concern->mu)
{
    if (wait->prev != NULL)
        wait->prev->next = wait->next;
    else
        concern->first = wait->next;
    if (wait->next != NULL)
        wait->next->prev = wait->prev;
    else
        concern->last = wait->prev;
    wait->is_waiting = false;
    concern->figures.waiting--;
}

static void count_outcome(struct repl_write_concern *concern,
                          enum repl_concern_outcome outcome)
    LDB_REQUIRES(concern->mu)
{
    switch (outcome) {
    case REPL_CONCERN_WAITING:
        break;
    case REPL_CONCERN_MET:
        concern->figures.met_total++;
        break;
    case REPL_CONCERN_TIMED_OUT:
        concern->figures.timed_out_total++;
        break;
    case REPL_CONCERN_ENDED:
        concern->figures.ended_total++;
        break;
    }
}

/* ---- outcomes ---- */

/* What followers have synced: the N-th is what N of them have. */
struct synced {
    ldb_sequence sequences[REPL_REPLICAS_MAX];
    size_t count;
};

static void look(struct repl_write_concern *concern, struct synced *out)
    LDB_REQUIRES(concern->mu)
{
    out->count = 0;
    if (concern->slots != NULL)
        out->count = repl_slots_synced(concern->slots, out->sequences,
                                       REPL_REPLICAS_MAX);
}

/* now_us 0: deadlines are not looked at. What is met is so after its deadline,
 * too. */
static enum repl_concern_outcome
outcome_of(const struct repl_write_concern *concern,
           const struct repl_concern_wait *wait, const struct synced *synced,
           uint64_t now_us) LDB_REQUIRES(concern->mu)
{
    if (concern->slots == NULL)
        return REPL_CONCERN_ENDED;
    if (wait->replicas <= synced->count &&
        synced->sequences[wait->replicas - 1] >= wait->sequence)
        return REPL_CONCERN_MET;
    return now_us < wait->deadline_us ? REPL_CONCERN_WAITING
                                      : REPL_CONCERN_TIMED_OUT;
}

/* Wakes those whose outcome is known by now. */
static void wake_those(struct repl_write_concern *concern, uint64_t now_us)
    LDB_REQUIRES(concern->mu)
{
    struct repl_concern_wait *next;
    struct synced synced;

    if (concern->first == NULL)
        return;
    look(concern, &synced);
    for (struct repl_concern_wait *wait = concern->first; wait != NULL;
         wait = next) {
        enum repl_concern_outcome outcome =
            outcome_of(concern, wait, &synced, now_us);

        next = wait->next;
        if (outcome == REPL_CONCERN_WAITING)
            continue;
        unlink_wait(concern, wait);
        count_outcome(concern, outcome);
        wait->outcome = outcome;
        wait->wake(wait);
    }
}

void repl_write_concern_lead(struct repl_write_concern *concern,
                             struct repl_slots *slots)
{
    ldb_mutex_lock(&concern->mu);
    assert(concern->slots == NULL && concern->first == NULL);
    concern->slots = slots;
    ldb_mutex_unlock(&concern->mu);
}

void repl_write_concern_end(struct repl_write_concern *concern)
{
    ldb_mutex_lock(&concern->mu);
    concern->slots = NULL;
    wake_those(concern, 0);
    assert(concern->first == NULL);
    ldb_mutex_unlock(&concern->mu);
}

enum repl_concern_outcome
repl_write_concern_wait(struct repl_write_concern *concern,
                        struct repl_concern_wait *wait)
{
    uint64_t now_us = concern->env->ops->monotonic_us(concern->env);
    enum repl_concern_outcome outcome;
    struct synced synced;

    assert(wait->replicas >= 1 && wait->replicas <= REPL_REPLICAS_MAX);
    ldb_mutex_lock(&concern->mu);
    concern->has_asked = true;
    concern->asked_us = now_us;
    look(concern, &synced);
    outcome = outcome_of(concern, wait, &synced, now_us);
    wait->outcome = outcome;
    if (outcome == REPL_CONCERN_WAITING)
        link_wait(concern, wait);
    else
        count_outcome(concern, outcome);
    ldb_mutex_unlock(&concern->mu);
    return outcome;
}

void repl_write_concern_leave(struct repl_write_concern *concern,
                              struct repl_concern_wait *wait)
{
    ldb_mutex_lock(&concern->mu);
    if (wait->is_waiting)
        unlink_wait(concern, wait);
    ldb_mutex_unlock(&concern->mu);
}

void repl_write_concern_acked(struct repl_write_concern *concern)
{
    ldb_mutex_lock(&concern->mu);
    wake_those(concern, 0);
    ldb_mutex_unlock(&concern->mu);
}

void repl_write_concern_tick(struct repl_write_concern *concern)
{
    uint64_t now_us = concern->env->ops->monotonic_us(concern->env);

    ldb_mutex_lock(&concern->mu);
    wake_those(concern, now_us);
    ldb_mutex_unlock(&concern->mu);
}

unsigned repl_write_concern_synced_by(struct repl_write_concern *concern,
                                      ldb_sequence sequence)
{
    struct synced synced;
    unsigned count = 0;

    ldb_mutex_lock(&concern->mu);
    look(concern, &synced);
    ldb_mutex_unlock(&concern->mu);
    while (count < synced.count && synced.sequences[count] >= sequence)
        count++;
    return count;
}

bool repl_write_concern_is_awaited(struct repl_write_concern *concern)
{
    uint64_t now_us = concern->env->ops->monotonic_us(concern->env);
    bool is_awaited;

    ldb_mutex_lock(&concern->mu);
    is_awaited =
        concern->first != NULL ||
        (concern->has_asked && now_us - concern->asked_us < AWAITED_US);
    ldb_mutex_unlock(&concern->mu);
    return is_awaited;
}

unsigned repl_write_concern_followers(struct repl_write_concern *concern)
{
    struct repl_slots_figures slots = {0};

    ldb_mutex_lock(&concern->mu);
    if (concern->slots != NULL)
        repl_slots_figures(concern->slots, &slots);
    ldb_mutex_unlock(&concern->mu);
    return (unsigned)slots.slots;
}

void repl_write_concern_figures(struct repl_write_concern *concern,
                                struct repl_write_concern_figures *out)
{
    ldb_mutex_lock(&concern->mu);
    *out = concern->figures;
    ldb_mutex_unlock(&concern->mu);
}
