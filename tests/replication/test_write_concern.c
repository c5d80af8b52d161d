/*
 * R5: a write that was acknowledged with N replicas is synced on N followers;
 * whoever waits is told once, however acks, deadlines and ends meet.
 */
#include "replication/write_concern.h"

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/slots_fixture.h"

#define SECOND_US SLOTS_SECOND_US

struct fixture {
    struct slots_fixture *slots;
    struct repl_write_concern *concern;
};

static int setup(void **state)
{
    struct fixture *f = ldb_mem_zalloc(1, sizeof(*f));
    void *slots = NULL;

    assert_non_null(f);
    (void)slots_fixture_setup(&slots);
    f->slots = slots;
    f->concern = repl_write_concern_create(f->slots->env);
    assert_non_null(f->concern);
    repl_write_concern_lead(f->concern, f->slots->slots);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *slots = f->slots;

    repl_write_concern_end(f->concern);
    repl_write_concern_destroy(f->concern);
    (void)slots_fixture_teardown(&slots);
    ldb_mem_free(f);
    return 0;
}

struct waiter {
    struct repl_concern_wait wait; /* first: wake gets it back */
    unsigned wakes;
};

static void wake(struct repl_concern_wait *wait)
{
    ((struct waiter *)wait)->wakes++;
}

static enum repl_concern_outcome wait_for(struct fixture *f, struct waiter *w,
                                          ldb_sequence sequence,
                                          unsigned replicas)
{
    *w = (struct waiter){.wait = {.sequence = sequence,
                                  .replicas = replicas,
                                  .deadline_us = 10 * SECOND_US,
                                  .wake = wake}};
    return repl_write_concern_wait(f->concern, &w->wait);
}

static void begin_wait(struct fixture *f, struct waiter *w,
                       ldb_sequence sequence, unsigned replicas)
{
    assert_int_equal(REPL_CONCERN_WAITING, wait_for(f, w, sequence, replicas));
}

static void assert_woken(const struct waiter *w,
                         enum repl_concern_outcome outcome)
{
    assert_int_equal(1, w->wakes);
    assert_int_equal(outcome, w->wait.outcome);
}

static void assert_waiting(const struct waiter *w)
{
    assert_int_equal(0, w->wakes);
    assert_int_equal(REPL_CONCERN_WAITING, w->wait.outcome);
}

static void ack(struct fixture *f, unsigned n, ldb_sequence synced)
{
    (void)slots_fixture_ack(f->slots, n, 1, synced, synced);
    repl_write_concern_acked(f->concern);
}

static struct repl_write_concern_figures figures(struct fixture *f)
{
    struct repl_write_concern_figures out;

    repl_write_concern_figures(f->concern, &out);
    return out;
}

static void the_nth_follower_wakes_who_waits_for_n(void **state)
{
    struct fixture *f = *state;
    struct waiter w[3];

    begin_wait(f, &w[0], 10, 1);
    begin_wait(f, &w[1], 10, 2);
    begin_wait(f, &w[2], 11, 1);
    assert_int_equal(3, figures(f).waiting);
    ack(f, 1, 9);
    for (size_t i = 0; i < 3; i++)
        assert_waiting(&w[i]);
    ack(f, 1, 10);
    assert_woken(&w[0], REPL_CONCERN_MET);
    assert_waiting(&w[1]);
    assert_waiting(&w[2]);
    ack(f, 1, 12);
    assert_woken(&w[2], REPL_CONCERN_MET);
    assert_waiting(&w[1]); /* one follower is one, however far */
    ack(f, 2, 10);
    assert_woken(&w[1], REPL_CONCERN_MET);
    assert_int_equal(0, figures(f).waiting);
    assert_int_equal(3, figures(f).met_total);
}

/* What is written there, and not synced, counts for nothing. */
static void what_is_only_written_does_not_count(void **state)
{
    struct fixture *f = *state;
    struct repl_ack a = {.written = {1, 50, 50},
                         .synced = {1, 9, 9},
                         .applied = {1, 50, 50},
                         .state = "streaming"};
    struct ldb_error err = {0};
    struct waiter w;
    bool is_lost;

    slots_fixture_node_id(1, a.node_id);
    begin_wait(f, &w, 10, 1);
    assert_ldb_ok(repl_slots_ack(f->slots->slots, &a, &err, &is_lost), &err);
    repl_write_concern_acked(f->concern);
    assert_waiting(&w);
    ack(f, 1, 10);
    assert_woken(&w, REPL_CONCERN_MET);
}

static void what_is_known_at_once_does_not_wait(void **state)
{
    struct fixture *f = *state;
    struct waiter w;

    ack(f, 1, 10);
    assert_int_equal(REPL_CONCERN_MET, wait_for(f, &w, 10, 1));
    assert_int_equal(REPL_CONCERN_MET, w.wait.outcome);
    env_fault_set_clock(f->slots->fault, 10 * SECOND_US);
    assert_int_equal(REPL_CONCERN_TIMED_OUT, wait_for(f, &w, 11, 1));
    /* What is met is so after the deadline, too. */
    assert_int_equal(REPL_CONCERN_MET, wait_for(f, &w, 9, 1));
    assert_int_equal(0, w.wakes);
    assert_int_equal(2, figures(f).met_total);
    assert_int_equal(1, figures(f).timed_out_total);
}

static void the_tick_wakes_those_past_their_deadline(void **state)
{
    struct fixture *f = *state;
    struct waiter w[2];

    begin_wait(f, &w[0], 10, 1);
    env_fault_set_clock(f->slots->fault, 5 * SECOND_US);
    begin_wait(f, &w[1], 10, 2);
    w[1].wait.deadline_us = 11 * SECOND_US;
    env_fault_set_clock(f->slots->fault, 10 * SECOND_US - 1);
    repl_write_concern_tick(f->concern);
    assert_waiting(&w[0]);
    env_fault_set_clock(f->slots->fault, 10 * SECOND_US);
    repl_write_concern_tick(f->concern);
    assert_woken(&w[0], REPL_CONCERN_TIMED_OUT);
    assert_waiting(&w[1]);
    ack(f, 1, 10);
    assert_int_equal(1, repl_write_concern_synced_by(f->concern, 10));
    assert_int_equal(0, repl_write_concern_synced_by(f->concern, 11));
    assert_int_equal(1, repl_write_concern_followers(f->concern));
    env_fault_set_clock(f->slots->fault, 12 * SECOND_US);
    repl_write_concern_tick(f->concern);
    assert_woken(&w[1], REPL_CONCERN_TIMED_OUT);
    assert_int_equal(2, figures(f).timed_out_total);
}

static void the_end_of_the_leadership_wakes_all(void **state)
{
    struct fixture *f = *state;
    struct waiter w[3];

    begin_wait(f, &w[0], 10, 1);
    begin_wait(f, &w[1], 20, 3);
    repl_write_concern_end(f->concern);
    assert_woken(&w[0], REPL_CONCERN_ENDED);
    assert_woken(&w[1], REPL_CONCERN_ENDED);
    /* An ack that comes too late proves nothing. */
    ack(f, 1, 30);
    assert_int_equal(REPL_CONCERN_ENDED, wait_for(f, &w[2], 5, 1));
    assert_int_equal(0, repl_write_concern_synced_by(f->concern, 5));
    assert_int_equal(0, repl_write_concern_followers(f->concern));
    assert_int_equal(3, figures(f).ended_total);
    repl_write_concern_end(f->concern);
    /* It leads again. */
    repl_write_concern_lead(f->concern, f->slots->slots);
    assert_int_equal(REPL_CONCERN_MET, wait_for(f, &w[2], 5, 1));
}

static void acks_are_awaited_while_writes_ask(void **state)
{
    struct fixture *f = *state;
    struct waiter w[2];

    assert_false(repl_write_concern_is_awaited(f->concern));
    begin_wait(f, &w[0], 10, 1);
    w[0].wait.deadline_us = 100 * SECOND_US;
    env_fault_set_clock(f->slots->fault, 30 * SECOND_US);
    assert_true(repl_write_concern_is_awaited(f->concern));
    ack(f, 1, 10);
    assert_woken(&w[0], REPL_CONCERN_MET);
    assert_false(repl_write_concern_is_awaited(f->concern));
    /* Also by one that has not to wait: the next one may. */
    assert_int_equal(REPL_CONCERN_MET, wait_for(f, &w[1], 10, 1));
    env_fault_set_clock(f->slots->fault, 40 * SECOND_US - 1);
    assert_true(repl_write_concern_is_awaited(f->concern));
    env_fault_set_clock(f->slots->fault, 40 * SECOND_US);
    assert_false(repl_write_concern_is_awaited(f->concern));
}

static void who_leaves_is_not_woken(void **state)
{
    struct fixture *f = *state;
    struct waiter w[3];

    for (size_t i = 0; i < 3; i++)
        begin_wait(f, &w[i], 10, 1);
    repl_write_concern_leave(f->concern, &w[1].wait);
    repl_write_concern_leave(f->concern, &w[1].wait);
    repl_write_concern_leave(f->concern, &w[2].wait);
    assert_int_equal(1, figures(f).waiting);
    ack(f, 1, 10);
    assert_woken(&w[0], REPL_CONCERN_MET);
    assert_waiting(&w[1]);
    assert_waiting(&w[2]);
    repl_write_concern_leave(f->concern, &w[0].wait); /* woken: fine */
}

/* ---- all at once ---- */

#define ROUNDS  2000
#define WAITERS 2

/* A thread that waits for one sequence after the other. Locking: outcome is
 * guarded by mu, the rest is its own. */
struct writer {
    struct repl_concern_wait wait; /* first: wake gets it back */
    struct fixture *f;
    struct ldb_thread *thread;
    struct ldb_mutex mu;
    struct ldb_cond changed;
    bool is_woken;
    unsigned met;
};

static void wake_writer(struct repl_concern_wait *wait)
{
    struct writer *w = (struct writer *)wait;

    ldb_mutex_lock(&w->mu);
    w->is_woken = true;
    ldb_cond_signal(&w->changed);
    ldb_mutex_unlock(&w->mu);
}

static void write_on(void *context)
{
    struct writer *w = context;

    for (ldb_sequence i = 1; i <= ROUNDS; i++) {
        enum repl_concern_outcome outcome;

        w->is_woken = false;
        w->wait = (struct repl_concern_wait){.sequence = i,
                                             .replicas = 1,
                                             .deadline_us = UINT64_MAX,
                                             .wake = wake_writer};
        outcome = repl_write_concern_wait(w->f->concern, &w->wait);
        ldb_mutex_lock(&w->mu);
        while (outcome == REPL_CONCERN_WAITING && !w->is_woken)
            ldb_cond_wait(&w->changed, &w->mu);
        ldb_mutex_unlock(&w->mu);
        if (outcome == REPL_CONCERN_WAITING)
            outcome = w->wait.outcome;
        w->met += outcome == REPL_CONCERN_MET;
    }
}

static void nobody_waits_for_what_is_there(void **state)
{
    struct fixture *f = *state;
    struct ldb_env *env = f->slots->env;
    struct writer writers[WAITERS] = {0};
    struct ldb_error err = {0};

    for (size_t i = 0; i < WAITERS; i++) {
        writers[i].f = f;
        ldb_mutex_init(&writers[i].mu);
        ldb_cond_init(&writers[i].changed);
        assert_ldb_ok(env->ops->thread_start(env, "writer", write_on,
                                             &writers[i], &err,
                                             &writers[i].thread),
                      &err);
    }
    for (ldb_sequence i = 1; i <= ROUNDS; i++)
        ack(f, 1, i);
    for (size_t i = 0; i < WAITERS; i++) {
        env->ops->thread_join(env, writers[i].thread);
        assert_int_equal(ROUNDS, writers[i].met);
        ldb_cond_release(&writers[i].changed);
        ldb_mutex_release(&writers[i].mu);
    }
    assert_int_equal(0, figures(f).waiting);
    assert_int_equal(WAITERS * ROUNDS, figures(f).met_total);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_nth_follower_wakes_who_waits_for_n),
        TEST(what_is_only_written_does_not_count),
        TEST(what_is_known_at_once_does_not_wait),
        TEST(the_tick_wakes_those_past_their_deadline),
        TEST(the_end_of_the_leadership_wakes_all),
        TEST(acks_are_awaited_while_writes_ask),
        TEST(who_leaves_is_not_woken),
        TEST(nobody_waits_for_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
