#include "storage/base/mutex.h"

#include <pthread.h>

#include "tests/support/assert_ldb.h"

#define ROUNDS 20000

struct fixture {
    struct ldb_mutex mu;
    struct ldb_cond cond;
    unsigned count;   /* guarded by mu */
    unsigned waiting; /* guarded by mu */
    bool go;          /* guarded by mu */
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    ldb_mutex_init(&f->mu);
    ldb_cond_init(&f->cond);
}

static void teardown(struct fixture *f)
{
    ldb_cond_release(&f->cond);
    ldb_mutex_release(&f->mu);
}

static void *count_up(void *context)
{
    struct fixture *f = context;

    for (unsigned i = 0; i < ROUNDS; i++) {
        ldb_mutex_lock(&f->mu);
        f->count++;
        ldb_mutex_unlock(&f->mu);
    }
    return NULL;
}

static void a_mutex_lets_one_in_at_a_time(void **state)
{
    struct fixture f;
    pthread_t threads[3];

    (void)state;
    setup(&f);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &f), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(f.count, 3 * ROUNDS);
    teardown(&f);
}

static void *wait_for_go(void *context)
{
    struct fixture *f = context;

    ldb_mutex_lock(&f->mu);
    f->waiting++;
    ldb_cond_broadcast(&f->cond);
    while (!f->go)
        ldb_cond_wait(&f->cond, &f->mu);
    f->count++;
    ldb_mutex_unlock(&f->mu);
    return NULL;
}

static void a_broadcast_wakes_all_and_waiting_releases_the_mutex(void **state)
{
    struct fixture f;
    pthread_t threads[3];

    (void)state;
    setup(&f);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_go, &f), 0);
    ldb_mutex_lock(&f.mu);
    while (f.waiting < 3)
        ldb_cond_wait(&f.cond, &f.mu);
    f.go = true;
    ldb_cond_broadcast(&f.cond);
    ldb_mutex_unlock(&f.mu);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(f.count, 3);
    teardown(&f);
}

static void *signal_go(void *context)
{
    struct fixture *f = context;

    ldb_mutex_lock(&f->mu);
    f->go = true;
    ldb_cond_signal(&f->cond);
    ldb_mutex_unlock(&f->mu);
    return NULL;
}

static void a_timed_wait_tells_a_signal_from_the_end_of_time(void **state)
{
    struct fixture f;
    pthread_t thread;

    (void)state;
    setup(&f);
    ldb_mutex_lock(&f.mu);
    /* Nobody signals: a wakeup without cause would give true. */
    while (ldb_cond_wait_for(&f.cond, &f.mu, 1000))
        ;
    while (ldb_cond_wait_for(&f.cond, &f.mu, 0))
        ;
    assert_int_equal(pthread_create(&thread, NULL, signal_go, &f), 0);
    while (!f.go)
        assert_true(ldb_cond_wait_for(&f.cond, &f.mu, UINT64_MAX));
    ldb_mutex_unlock(&f.mu);
    assert_int_equal(pthread_join(thread, NULL), 0);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_lets_one_in_at_a_time),
        cmocka_unit_test(a_broadcast_wakes_all_and_waiting_releases_the_mutex),
        cmocka_unit_test(a_timed_wait_tells_a_signal_from_the_end_of_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
