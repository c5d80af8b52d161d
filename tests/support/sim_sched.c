/*
 * Fibers, and who runs next (contract: sim_sched.h).
 *
 * A fiber has a stack of its own and is changed to by _longjmp(): two system
 * calls less than swapcontext(), which makes the stack alone. A stack serves
 * one fiber after another, as making one takes longer than all else here.
 */
#include "tests/support/sim_sched.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)256 << 10)

/* Fibers at once, at most; chosen: some for each of a few nodes and for each
 * request between them. */
#define FIBERS_MAX 1024

/* Changes from one to another in a run that ends: chosen, many times what the
 * longest one has. A run that goes round and round is told by its seed. */
#define SWITCHES_MAX UINT64_C(200000000)

/* No sleep ends there. */
#define NEVER UINT64_MAX

enum fiber_state {
    FIBER_FREE, /* a stack, and nobody on it */
    FIBER_RUNNABLE,
    FIBER_RUNNING,
    FIBER_WAITING,
    FIBER_OVER, /* to be joined */
};

struct sim_fiber {
    jmp_buf at;  /* where it goes on */
    bool is_new; /* and where it begins */
    ucontext_t beginning;
    enum fiber_state state;
    const char *name;
    const char *what; /* it waits for */
    void (*body)(void *context);
    void *context;
    bool is_detached;
    bool is_timed_out;
    uint64_t wakes_us;        /* NEVER: by somebody alone */
    struct sim_queue *queue;  /* in which it waits; NULL: in none */
    struct sim_fiber *next;   /* there, or in the free list */
    struct sim_queue joiners; /* of its end */
};

static struct {
    uint64_t seed;
    uint64_t chance; /* state of the generator */
    uint64_t now_us;
    uint64_t next_us; /* the first sleep ends then, or a later one */
    uint64_t switches;
    uint64_t switch_one_in; /* locks hand over */
    struct sim_fiber *current;
    struct sim_fiber *runnable[FIBERS_MAX];
    size_t runnable_count;
    struct sim_fiber *sleeping[FIBERS_MAX];
    size_t sleeping_count;
    struct sim_fiber *all[FIBERS_MAX]; /* that were ever made */
    size_t all_count;
    struct sim_fiber *free;
    size_t alive;
    bool is_hushed;
    int is_traced; /* 0: not looked yet; 1: yes; -1: no */
} sched;

static struct sim_fiber first = {.state = FIBER_RUNNING, .name = "director"};

static struct sim_fiber *current(void)
{
    return sched.current == NULL ? &first : sched.current;
}

/* ---- chance ---- */

/* xorshift64*: of a seed that is not 0. */
uint64_t sim_random(void)
{
    uint64_t x = sched.chance;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    sched.chance = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t sim_below(uint64_t limit)
{
    assert(limit > 0);
    return (sim_random() >> 11) % limit;
}

uint64_t sim_between(uint64_t from, uint64_t last)
{
    return from + sim_below(last - from + 1);
}

bool sim_one_in(uint64_t n)
{
    return n != 0 && sim_below(n) == 0;
}

/* ---- telling ---- */

bool sim_is_traced(void)
{
    if (sched.is_traced == 0)
        sched.is_traced = getenv("LEVELD_SIM_TRACE") == NULL ? -1 : 1;
    return sched.is_traced > 0;
}

void sim_trace(const char *format, ...)
{
    va_list arguments;

    if (!sim_is_traced())
        return;
    (void)fprintf(stderr, "%12.3f ms %-22s ", (double)sched.now_us / 1e3,
                  current()->name);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}

static void tell_fiber(const struct sim_fiber *fiber)
{
    if (fiber->state == FIBER_WAITING)
        (void)fprintf(stderr, "  %s waits for %s\n", fiber->name, fiber->what);
    else if (fiber->state == FIBER_RUNNABLE)
        (void)fprintf(stderr, "  %s could run\n", fiber->name);
}

/* Who waits, and for what: of a run that does not go on. */
static void tell_fibers(void)
{
    tell_fiber(&first);
    for (size_t i = 0; i < sched.all_count; i++)
        tell_fiber(sched.all[i]);
}

_Noreturn void sim_fail(const char *format, ...)
{
    va_list arguments;

    (void)fflush(stdout);
    (void)fprintf(stderr, "FAILED: LEVELD_SIM_SEED=%llu at %.3f ms, in %s:\n  ",
                  (unsigned long long)sched.seed, (double)sched.now_us / 1e3,
                  current()->name);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    if (sim_is_traced())
        tell_fibers();
    (void)fflush(stderr);
    if (getenv("LEVELD_SIM_ABORT") != NULL)
        abort();
    _exit(1);
}

/* An assertion of the code that is run ends the process elsewhere. */
static void tell_seed(int signal_number)
{
    (void)fprintf(stderr, "FAILED: LEVELD_SIM_SEED=%llu: signal %d\n",
                  (unsigned long long)sched.seed, signal_number);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

/* ---- from one to the other ---- */

static void change_to(struct sim_fiber *to)
{
    struct sim_fiber *from = current();

    if (++sched.switches > SWITCHES_MAX)
        sim_fail("it does not end");
    to->state = FIBER_RUNNING;
    if (to == from)
        return;
    sched.current = to;
    if (_setjmp(from->at) == 0) {
        if (to->is_new) {
            to->is_new = false;
            (void)setcontext(&to->beginning);
        }
        _longjmp(to->at, 1);
    }
}

static void make_runnable(struct sim_fiber *fiber)
{
    fiber->state = FIBER_RUNNABLE;
    sched.runnable[sched.runnable_count++] = fiber;
}

/* ---- sleep ---- */

static void fall_asleep(struct sim_fiber *fiber, uint64_t wakes_us)
{
    fiber->wakes_us = wakes_us;
    if (wakes_us == NEVER)
        return;
    sched.sleeping[sched.sleeping_count++] = fiber;
    if (wakes_us < sched.next_us)
        sched.next_us = wakes_us;
}

static void stop_sleeping(struct sim_fiber *fiber)
{
    if (fiber->wakes_us == NEVER)
        return;
    fiber->wakes_us = NEVER;
    for (size_t i = 0; i < sched.sleeping_count; i++) {
        if (sched.sleeping[i] != fiber)
            continue;
        sched.sleeping[i] = sched.sleeping[--sched.sleeping_count];
        return;
    }
    assert(false);
}

static void take_out(struct sim_fiber *fiber)
{
    struct sim_queue *queue = fiber->queue;
    struct sim_fiber **link;
    struct sim_fiber *before = NULL;

    if (queue == NULL)
        return;
    for (link = &queue->first; *link != fiber; link = &(*link)->next)
        before = *link;
    *link = fiber->next;
    if (queue->last == fiber)
        queue->last = before;
    fiber->queue = NULL;
}

static void wake(struct sim_fiber *fiber, bool is_timed_out)
{
    take_out(fiber);
    stop_sleeping(fiber);
    fiber->is_timed_out = is_timed_out;
    make_runnable(fiber);
}

static void wake_sleepers(void)
{
    sched.next_us = NEVER;
    for (size_t i = 0; i < sched.sleeping_count;) {
        struct sim_fiber *fiber = sched.sleeping[i];

        if (fiber->wakes_us <= sched.now_us) {
            wake(fiber, true); /* another one stands there now */
            continue;
        }
        if (fiber->wakes_us < sched.next_us)
            sched.next_us = fiber->wakes_us;
        i++;
    }
}

/* ---- who is next ---- */

static _Noreturn void fail_stuck(void)
{
    if (!sim_is_traced())
        tell_fibers(); /* sim_fail() does it otherwise */
    sim_fail("deadlock: nobody can run");
}

/* The current one is among the runnable, or waits, or is over. */
static void run_next(void)
{
    size_t chosen;
    struct sim_fiber *next;

    sched.now_us++;
    if (sched.now_us >= sched.next_us)
        wake_sleepers();
    while (sched.runnable_count == 0) {
        if (sched.sleeping_count == 0)
            fail_stuck();
        wake_sleepers(); /* the exact time of the next one */
        if (sched.runnable_count > 0)
            break;
        sched.now_us = sched.next_us;
        wake_sleepers();
    }
    chosen = sim_below(sched.runnable_count);
    next = sched.runnable[chosen];
    sched.runnable[chosen] = sched.runnable[--sched.runnable_count];
    change_to(next);
}

void sim_hush(bool is_hushed)
{
    sched.is_hushed = is_hushed;
}

bool sim_is_hushed(void)
{
    return sched.is_hushed;
}

void sim_yield(void)
{
    if (sched.is_hushed)
        return;
    if (sched.runnable_count == 0 && sched.now_us + 1 < sched.next_us) {
        sched.now_us++;
        return;
    }
    make_runnable(current());
    run_next();
}

bool sim_queue_wait(struct sim_queue *queue, uint64_t timeout_us,
                    const char *what)
{
    struct sim_fiber *fiber = current();

    if (sched.is_hushed)
        sim_fail("who looks would wait for %s", what);
    fiber->what = what;
    fiber->state = FIBER_WAITING;
    fiber->next = NULL;
    fiber->queue = queue;
    fiber->is_timed_out = false;
    if (queue != NULL) {
        if (queue->last == NULL)
            queue->first = fiber;
        else
            queue->last->next = fiber;
        queue->last = fiber;
    }
    fall_asleep(fiber, timeout_us > NEVER - sched.now_us
                           ? NEVER
                           : sched.now_us + timeout_us);
    run_next();
    return !fiber->is_timed_out;
}

void sim_queue_wake(struct sim_queue *queue)
{
    if (queue->first != NULL)
        wake(queue->first, false);
}

void sim_queue_wake_all(struct sim_queue *queue)
{
    while (queue->first != NULL)
        wake(queue->first, false);
}

void sim_sleep_us(uint64_t us)
{
    LDB_IGNORE(sim_queue_wait(NULL, us, "time to pass"));
}

uint64_t sim_now_us(void)
{
    return sched.now_us;
}

uint64_t sim_switches(void)
{
    return sched.switches;
}

/* ---- fibers ---- */

static void give_back(struct sim_fiber *fiber)
{
    fiber->state = FIBER_FREE;
    fiber->next = sched.free;
    sched.free = fiber;
    sched.alive--;
}

/* A stack's life: one body after another. */
static void live(void)
{
    for (;;) {
        struct sim_fiber *fiber = current();

        fiber->body(fiber->context);
        fiber->state = FIBER_OVER;
        sim_queue_wake_all(&fiber->joiners);
        if (fiber->is_detached)
            give_back(fiber);
        run_next(); /* comes back with another body */
    }
}

static struct sim_fiber *make_fiber(void)
{
    struct sim_fiber *fiber = calloc(1, sizeof(*fiber));
    uint8_t *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    if (fiber == NULL || stack == MAP_FAILED || sched.all_count == FIBERS_MAX ||
        mprotect(stack, 4096, PROT_NONE) != 0 ||
        getcontext(&fiber->beginning) != 0)
        abort();
    fiber->beginning.uc_stack.ss_sp = stack;
    fiber->beginning.uc_stack.ss_size = STACK_BYTES;
    fiber->is_new = true;
    makecontext(&fiber->beginning, live, 0);
    sched.all[sched.all_count++] = fiber;
    return fiber;
}

static struct sim_fiber *spawn(const char *name, void (*body)(void *context),
                               void *context, bool is_detached)
{
    struct sim_fiber *fiber = sched.free;

    if (fiber == NULL)
        fiber = make_fiber();
    else
        sched.free = fiber->next;
    fiber->next = NULL;
    fiber->name = name;
    fiber->body = body;
    fiber->context = context;
    fiber->is_detached = is_detached;
    fiber->wakes_us = NEVER;
    sched.alive++;
    make_runnable(fiber);
    return fiber;
}

struct sim_fiber *sim_spawn(const char *name, void (*body)(void *context),
                            void *context)
{
    return spawn(name, body, context, false);
}

void sim_spawn_detached(const char *name, void (*body)(void *context),
                        void *context)
{
    (void)spawn(name, body, context, true);
}

void sim_join(struct sim_fiber *fiber)
{
    while (fiber->state != FIBER_OVER)
        LDB_IGNORE(sim_queue_wait(&fiber->joiners, NEVER, fiber->name));
    give_back(fiber);
}

/* ---- the world ---- */

void sim_begin(uint64_t seed)
{
    assert(sched.alive == 0 && current() == &first);
    (void)signal(SIGABRT, tell_seed);
    (void)signal(SIGSEGV, tell_seed);
    sched.seed = seed;
    /* Neighbouring seeds begin far apart (splitmix64); 0 would stay 0. */
    sched.chance = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (int i = 0; i < 8; i++)
        (void)sim_random();
    sched.now_us = 0;
    sched.next_us = NEVER;
    sched.switches = 0;
    sched.current = &first;
    first.wakes_us = NEVER;
    sched.switch_one_in = UINT64_C(1) << sim_below(6);
    sched.runnable_count = 0;
    sched.sleeping_count = 0;
}

void sim_end(void)
{
    if (sched.alive > 0) {
        for (size_t i = 0; i < sched.all_count; i++) {
            if (sched.all[i]->state != FIBER_FREE)
                (void)fprintf(stderr, "  %s is there still\n",
                              sched.all[i]->name);
        }
        sim_fail("%zu fibers have not ended", sched.alive);
    }
}

/* ---- storage/base/mutex.h ---- */

struct lock {
    struct sim_fiber *owner; /* NULL: nobody */
    struct sim_queue waiting;
};

static_assert(sizeof(struct lock) <= sizeof(pthread_mutex_t), "fits");
static_assert(sizeof(struct sim_queue) <= sizeof(pthread_cond_t), "fits");

static struct lock *lock_of(struct ldb_mutex *mu)
{
    return (struct lock *)(void *)&mu->native;
}

static struct sim_queue *queue_of(struct ldb_cond *cond)
{
    return (struct sim_queue *)(void *)&cond->native;
}

void ldb_mutex_init(struct ldb_mutex *mu)
{
    *lock_of(mu) = (struct lock){0};
}

void ldb_mutex_release(struct ldb_mutex *mu)
{
    assert(lock_of(mu)->owner == NULL && lock_of(mu)->waiting.first == NULL);
    (void)mu;
}

LDB_NO_THREAD_SAFETY void ldb_mutex_lock(struct ldb_mutex *mu)
{
    struct lock *lock = lock_of(mu);

    if (sched.alive > 0 && !sched.is_hushed && sim_one_in(sched.switch_one_in))
        sim_yield();
    assert(lock->owner != current());
    while (lock->owner != NULL)
        LDB_IGNORE(sim_queue_wait(&lock->waiting, NEVER, lock->owner->name));
    lock->owner = current();
}

LDB_NO_THREAD_SAFETY void ldb_mutex_unlock(struct ldb_mutex *mu)
{
    struct lock *lock = lock_of(mu);

    assert(lock->owner == current());
    lock->owner = NULL;
    sim_queue_wake(&lock->waiting);
}

void ldb_cond_init(struct ldb_cond *cond)
{
    *queue_of(cond) = (struct sim_queue){0};
}

void ldb_cond_release(struct ldb_cond *cond)
{
    assert(queue_of(cond)->first == NULL);
    (void)cond;
}

LDB_NO_THREAD_SAFETY void ldb_cond_wait(struct ldb_cond *cond,
                                        struct ldb_mutex *mu)
{
    ldb_mutex_unlock(mu);
    LDB_IGNORE(sim_queue_wait(queue_of(cond), NEVER, "a condition"));
    ldb_mutex_lock(mu);
}

LDB_NO_THREAD_SAFETY bool ldb_cond_wait_for(struct ldb_cond *cond,
                                            struct ldb_mutex *mu,
                                            uint64_t timeout_us)
{
    bool is_in_time;

    ldb_mutex_unlock(mu);
    is_in_time = sim_queue_wait(queue_of(cond), timeout_us, "a condition");
    ldb_mutex_lock(mu);
    return is_in_time;
}

void ldb_cond_signal(struct ldb_cond *cond)
{
    sim_queue_wake(queue_of(cond));
}

void ldb_cond_broadcast(struct ldb_cond *cond)
{
    sim_queue_wake_all(queue_of(cond));
}
