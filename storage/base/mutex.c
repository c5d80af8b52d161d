#include "storage/base/mutex.h"

#include <errno.h>
#include <time.h>

/*
 * A failure of these calls means a lock used against its contract (not held,
 * held twice, already destroyed): our mistake, so each is asserted.
 */

/* Chosen: longer waits are cut to this, so that no deadline overflows. */
#define WAIT_MAX_US (UINT64_C(365) * 24 * 3600 * 1000000)

void ldb_mutex_init(struct ldb_mutex *mu)
{
    int rc = pthread_mutex_init(&mu->native, NULL);

    assert(rc == 0);
    (void)rc;
}

void ldb_mutex_release(struct ldb_mutex *mu)
{
    int rc = pthread_mutex_destroy(&mu->native);

    assert(rc == 0);
    (void)rc;
}

LDB_NO_THREAD_SAFETY void ldb_mutex_lock(struct ldb_mutex *mu)
{
    int rc = pthread_mutex_lock(&mu->native);

    assert(rc == 0);
    (void)rc;
}

LDB_NO_THREAD_SAFETY void ldb_mutex_unlock(struct ldb_mutex *mu)
{
    int rc = pthread_mutex_unlock(&mu->native);

    assert(rc == 0);
    (void)rc;
}

void ldb_cond_init(struct ldb_cond *cond)
{
    pthread_condattr_t attributes;
    int rc = pthread_condattr_init(&attributes);

    assert(rc == 0);
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(rc == 0);
    rc = pthread_cond_init(&cond->native, &attributes);
    assert(rc == 0);
    (void)rc;
    (void)pthread_condattr_destroy(&attributes); /* cannot fail in glibc */
}

void ldb_cond_release(struct ldb_cond *cond)
{
    int rc = pthread_cond_destroy(&cond->native);

    assert(rc == 0);
    (void)rc;
}

void ldb_cond_wait(struct ldb_cond *cond, struct ldb_mutex *mu)
{
    int rc = pthread_cond_wait(&cond->native, &mu->native);

    assert(rc == 0);
    (void)rc;
}

bool ldb_cond_wait_for(struct ldb_cond *cond, struct ldb_mutex *mu,
                       uint64_t timeout_us)
{
    struct timespec deadline;
    uint64_t ns;
    int rc = clock_gettime(CLOCK_MONOTONIC, &deadline);

    assert(rc == 0);
    if (timeout_us > WAIT_MAX_US)
        timeout_us = WAIT_MAX_US;
    ns = (uint64_t)deadline.tv_nsec + timeout_us % 1000000 * 1000;
    deadline.tv_sec += (time_t)(timeout_us / 1000000 + ns / 1000000000);
    deadline.tv_nsec = (long)(ns % 1000000000);
    rc = pthread_cond_timedwait(&cond->native, &mu->native, &deadline);
    assert(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void ldb_cond_signal(struct ldb_cond *cond)
{
    int rc = pthread_cond_signal(&cond->native);

    assert(rc == 0);
    (void)rc;
}

void ldb_cond_broadcast(struct ldb_cond *cond)
{
    int rc = pthread_cond_broadcast(&cond->native);

    assert(rc == 0);
    (void)rc;
}
