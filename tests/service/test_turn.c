/* Who gets the turn, who waits for it, and who is turned away. */
#include "service/turn.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/support/assert_ldb.h"

struct waiter {
    struct svc_turn *turn;
    bool is_for_the_end; /* not for a turn */
    atomic_bool is_through;
    enum ldb_status said;
    pthread_t thread;
};

static void *run_waiter(void *context)
{
    struct waiter *w = context;

    if (w->is_for_the_end)
        svc_turn_wait(w->turn);
    else
        w->said = svc_turn_begin(w->turn, NULL);
    atomic_store(&w->is_through, true);
    return NULL;
}

static void start(struct waiter *w, struct svc_turn *turn)
{
    const struct timespec a_moment = {.tv_nsec = 30000000};

    w->turn = turn;
    assert_int_equal(pthread_create(&w->thread, NULL, run_waiter, w), 0);
    (void)nanosleep(&a_moment, NULL);
}

static void a_change_turns_others_away(void **state)
{
    struct ldb_error err = {0};
    struct svc_turn turn;

    (void)state;
    svc_turn_init(&turn);
    assert_int_equal(svc_turn_begin(&turn, &err), LDB_OK);
    assert_int_equal(svc_turn_begin(&turn, &err), LDB_STALLED);
    assert_false(svc_turn_begin_tending(&turn));
    svc_turn_end(&turn);
    assert_true(svc_turn_begin_tending(&turn));
    assert_false(svc_turn_begin_tending(&turn));
    svc_turn_end_tending(&turn);
    svc_turn_release(&turn);
}

/* What was asked for is not refused because something is looked after. */
static void a_change_waits_for_who_tends(void **state)
{
    struct waiter w = {0};
    struct svc_turn turn;

    (void)state;
    svc_turn_init(&turn);
    assert_true(svc_turn_begin_tending(&turn));
    start(&w, &turn);
    assert_false(atomic_load(&w.is_through));
    svc_turn_end_tending(&turn);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    assert_int_equal(w.said, LDB_OK);
    assert_false(svc_turn_begin_tending(&turn));
    svc_turn_end(&turn);
    svc_turn_release(&turn);
}

static void when_it_is_over_nobody_gets_it(void **state)
{
    struct waiter w = {0};
    struct svc_turn turn;

    (void)state;
    svc_turn_init(&turn);
    assert_true(svc_turn_begin_tending(&turn));
    start(&w, &turn);
    svc_turn_finish(&turn);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    assert_int_equal(w.said, LDB_CLOSED);
    svc_turn_end_tending(&turn);
    assert_false(svc_turn_begin_tending(&turn));
    assert_int_equal(svc_turn_begin(&turn, NULL), LDB_CLOSED);
    svc_turn_release(&turn);
}

static void the_end_waits_for_who_has_it(void **state)
{
    struct waiter w = {.is_for_the_end = true};
    struct svc_turn turn;

    (void)state;
    svc_turn_init(&turn);
    assert_int_equal(svc_turn_begin(&turn, NULL), LDB_OK);
    svc_turn_finish(&turn);
    start(&w, &turn);
    assert_false(atomic_load(&w.is_through));
    svc_turn_end(&turn);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    svc_turn_release(&turn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_turns_others_away),
        cmocka_unit_test(a_change_waits_for_who_tends),
        cmocka_unit_test(when_it_is_over_nobody_gets_it),
        cmocka_unit_test(the_end_waits_for_who_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
