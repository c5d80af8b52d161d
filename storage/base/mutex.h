/*
 * Mutex and condition variable with clang's capability, so that
 * -Wthread-safety proves the calls to functions marked LDB_REQUIRES.
 */
#ifndef STORAGE_BASE_MUTEX_H
#define STORAGE_BASE_MUTEX_H

#include <pthread.h>

#include "storage/base/compiler.h"

struct LDB_CAPABILITY("mutex") ldb_mutex {
    pthread_mutex_t native;
};

struct ldb_cond {
    pthread_cond_t native; /* on CLOCK_MONOTONIC */
};

void ldb_mutex_init(struct ldb_mutex *mu);
void ldb_mutex_release(struct ldb_mutex *mu); /* destroys; not held */
void ldb_mutex_lock(struct ldb_mutex *mu) LDB_ACQUIRE(*mu);
void ldb_mutex_unlock(struct ldb_mutex *mu) LDB_RELEASE(*mu);

void ldb_cond_init(struct ldb_cond *cond);
void ldb_cond_release(struct ldb_cond *cond);
void ldb_cond_wait(struct ldb_cond *cond, struct ldb_mutex *mu)
    LDB_REQUIRES(*mu);
/* Waits at most timeout_us; false when it ran out. */
bool ldb_cond_wait_for(struct ldb_cond *cond, struct ldb_mutex *mu,
                       uint64_t timeout_us) LDB_REQUIRES(*mu);
void ldb_cond_signal(struct ldb_cond *cond);
void ldb_cond_broadcast(struct ldb_cond *cond);

#endif
