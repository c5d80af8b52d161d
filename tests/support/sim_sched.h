/*
 * Threads under a seed: the locks of storage/base/mutex.h, its conditions, and
 * threads, sleeps and time besides, on one thread of the system, where one of
 * ours runs at a time and hands over when it waits, or now and then when it
 * takes a lock. Who is next the seed says. So a run is the same each time, and
 * every part of the node, which reaches threads through its env and locks
 * through mutex.h alone, is part of it.
 *
 * Linked in front of libleveld.a this file's ldb_mutex_*() and ldb_cond_*()
 * are the ones that everybody uses; it is in no other test.
 *
 * Time moves when nobody can run, to when the first one's sleep is over, and by
 * a microsecond each time another one runs.
 *
 * Thread-safety: all from the one thread.
 */
#ifndef TESTS_SUPPORT_SIM_SCHED_H
#define TESTS_SUPPORT_SIM_SCHED_H

#include "storage/base/mutex.h"

struct sim_fiber;

/* A world begins, at time 0; the caller is its first fiber. */
void sim_begin(uint64_t seed);
/* Every other fiber has ended, and was joined. */
void sim_end(void);

/* Prints the text behind the seed and the time, and ends the process: 1. */
_Noreturn void sim_fail(const char *format, ...) LDB_PRINTF(1, 2);
/* A line on standard error where LEVELD_SIM_TRACE is set. */
void sim_trace(const char *format, ...) LDB_PRINTF(1, 2);
bool sim_is_traced(void);

/* ---- chance ---- */

uint64_t sim_random(void);
uint64_t sim_below(uint64_t limit);                 /* 0..limit - 1 */
uint64_t sim_between(uint64_t from, uint64_t last); /* both included */
bool sim_one_in(uint64_t n);                        /* 0: never */

/* ---- time ---- */

/* Microseconds since sim_begin(). */
uint64_t sim_now_us(void);
void sim_sleep_us(uint64_t us);

/* ---- fibers ---- */

/* Borrows name. Join it, or it runs to its end by itself and is gone. */
struct sim_fiber *sim_spawn(const char *name, void (*body)(void *context),
                            void *context);
void sim_spawn_detached(const char *name, void (*body)(void *context),
                        void *context);
/* Waits for its end and frees it. */
void sim_join(struct sim_fiber *fiber);
/* Somebody else may run. */
void sim_yield(void);
/* Nobody else runs until hush(false), so that all stands still for who looks:
 * he may take locks that are held by nobody who waits, and waits for none. */
void sim_hush(bool is_hushed);
bool sim_is_hushed(void);
/* How often one was run: a measure of the work done. */
uint64_t sim_switches(void);

/* ---- waiting ---- */

/* Who waits for something; zeroed at first. */
struct sim_queue {
    struct sim_fiber *first;
    struct sim_fiber *last;
};

/* Until woken, or timeout_us (UINT64_MAX: no limit) are over: false. */
bool sim_queue_wait(struct sim_queue *queue, uint64_t timeout_us,
                    const char *what);
void sim_queue_wake(struct sim_queue *queue);
void sim_queue_wake_all(struct sim_queue *queue);

#endif
