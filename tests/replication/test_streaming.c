/*
 * What a follower says while it streams, and when; and how it notices that its
 * leader is in another epoch, or silent.
 */
#include "replication/streaming.h"

#include <sched.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/follow_fixture.h"

#define NODE "d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0"
#define URL  "http://follower:8080"

/* So long that nothing in a test comes of its passing. */
#define NEVER_US (UINT64_C(3600) * 1000 * 1000)

/* For what comes soon. */
#define WAIT_US_MAX (UINT64_C(300) * 1000 * 1000)

static struct follow_fixture f;
static struct repl_streaming with;
static struct repl_client client;
static struct repl_transport *acks;
static struct ldb_thread *thread;

static int setup(void **state)
{
    (void)state;
    follow_open(&f, 1, true);
    assert_ldb_ok(
        memory_peer_repl(f.peer)->open(memory_peer_repl(f.peer), &f.err, &acks),
        &f.err);
    repl_client_init(&client, acks);
    with = (struct repl_streaming){
        .client = &client,
        .edits = f.edits,
        .node_id = NODE,
        .url = URL,
        .ack_us = NEVER_US,
        .busy_ack_us = NEVER_US,
        .watchdog_us = NEVER_US,
    };
    return 0;
}

static void run(void *context)
{
    repl_streaming_run(context);
}

static void begin(void)
{
    struct ldb_env *env = ldb_env_posix();

    follow_begin(&f);
    with.session = f.session;
    assert_ldb_ok(
        env->ops->thread_start(env, "stream", run, &with, &f.err, &thread),
        &f.err);
}

static void join(void)
{
    struct ldb_env *env = ldb_env_posix();

    if (thread != NULL)
        env->ops->thread_join(env, thread);
    thread = NULL;
}

static enum repl_session_end stop(enum repl_session_end end)
{
    if (end != REPL_END_NONE)
        repl_session_finish(f.session, end, NULL);
    join();
    return follow_end(&f, REPL_END_NONE);
}

static int teardown(void **state)
{
    (void)state;
    if (f.session != NULL)
        (void)stop(REPL_END_STOPPED);
    acks->ops->destroy(acks);
    follow_close(&f);
    return 0;
}

static void assert_ends(enum repl_session_end end, const char *text)
{
    assert_int_equal(end, follow_wait_end(&f));
    assert_int_equal(end, stop(REPL_END_NONE));
    assert_ldb_message(text, &f.err);
}

static void an_ack_comes_before_anything_is_asked_for(void **state)
{
    const struct memory_peer_rule hold = {.what = MEMORY_PEER_HOLD,
                                          .path = "ack"};

    (void)state;
    memory_peer_rule(f.peer, &hold);
    begin();
    assert_true(memory_peer_wait_held(f.peer, 1));
    assert_int_equal(0, memory_peer_count(f.peer, MEMORY_PEER_GET, NULL));
    memory_peer_let_go(f.peer);
    follow_write(&f, 1, 0);
    assert_true(memory_peer_wait_synced(f.peer, follow_settle(&f)));
}

static void what_was_synced_is_told_at_once(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 5; i++) {
        ldb_sequence last;

        follow_write(&f, 1, 0);
        last = follow_settle(&f);
        assert_true(memory_peer_wait_synced(f.peer, last));
        assert_true(memory_peer_wait_applied(f.peer, last));
    }
    assert_int_equal(REPL_END_STOPPED, stop(REPL_END_STOPPED));
    follow_check(&f);
}

static void awaited(void *context, struct repl_heartbeat *heartbeat)
{
    (void)context;
    heartbeat->is_awaited = true;
}

/* Whatever the gap. */
static void what_a_write_waits_for_is_told_at_once(void **state)
{
    const struct memory_peer_edits edits = {.heartbeat = awaited};

    memory_peer_set_edits(f.peer, &edits);
    with.ack_gap_us = NEVER_US;
    what_was_synced_is_told_at_once(state);
}

static void what_nobody_waits_for_is_told_together(void **state)
{
    struct ldb_env *env = ldb_env_posix();
    uint64_t begun = env->ops->monotonic_us(env);
    uint64_t acks_sent;
    uint64_t passed;

    (void)state;
    with.ack_gap_us = 20000;
    begin();
    for (unsigned i = 0; i < 50; i++) {
        follow_write(&f, 1, 0);
        assert_true(
            repl_board_wait_synced(&f.board, follow_settle(&f), WAIT_US_MAX));
    }
    assert_true(memory_peer_wait_synced(f.peer, follow_settle(&f)));
    acks_sent = memory_peer_count(f.peer, MEMORY_PEER_CALL, "ack");
    passed = env->ops->monotonic_us(env) - begun;
    assert_in_range(acks_sent, 2, 1 + passed / with.ack_gap_us + 1);
    assert_int_equal(REPL_END_STOPPED, stop(REPL_END_STOPPED));
    follow_check(&f);
}

static void its_end_does_not_wait_for_the_gap(void **state)
{
    (void)state;
    with.ack_gap_us = NEVER_US;
    begin();
    follow_write(&f, 1, 0);
    assert_true(
        repl_board_wait_synced(&f.board, follow_settle(&f), WAIT_US_MAX));
    assert_int_equal(REPL_END_STOPPED, stop(REPL_END_STOPPED));
}

static void an_ack_says_who_and_where_we_are(void **state)
{
    struct ldb_twin_state at;
    struct repl_ack ack;

    (void)state;
    repl_board_set_state(&f.board, REPL_FOLLOWER_STREAMING, "");
    begin();
    follow_write(&f, 3, 0);
    assert_true(memory_peer_wait_synced(f.peer, follow_settle(&f)));
    assert_int_equal(REPL_END_STOPPED, stop(REPL_END_STOPPED));
    assert_true(memory_peer_last_ack(f.peer, &ack));
    ldb_twin_state(f.ship.db, &at);
    assert_string_equal(NODE, ack.node_id);
    assert_string_equal(URL, ack.url);
    assert_string_equal("streaming", ack.state);
    assert_int_equal(1, ack.epoch);
    assert_int_equal(repl_epoch_history_last(&f.history)->id, ack.epoch_id);
    assert_int_equal(at.synced.journal, ack.synced.journal);
    assert_int_equal(at.synced.offset, ack.synced.offset);
    assert_int_equal(at.synced.sequence, ack.synced.sequence);
    assert_int_equal(at.written.offset, ack.written.offset);
    assert_int_equal(at.applied.sequence, ack.applied.sequence);
}

static void when_nothing_is_new_it_says_so_in_time(void **state)
{
    uint64_t before;

    (void)state;
    with.ack_us = 500;
    with.busy_ack_us = 500;
    begin();
    assert_true(memory_peer_wait_synced(f.peer, follow_settle(&f)));
    before = memory_peer_count(f.peer, MEMORY_PEER_CALL, "ack");
    while (memory_peer_count(f.peer, MEMORY_PEER_CALL, "ack") < before + 10) {
        if (repl_session_ended(f.session, &f.err) != REPL_END_NONE)
            fail_msg("it has ended: %s", f.err.message);
    }
}

/* A heartbeat makes the edits come. */
static void behind_it_says_so_more_often(void **state)
{
    (void)state;
    with.ack_us = 20000;
    with.busy_ack_us = 500;
    begin();
    follow_write(&f, 20, 5);
    follow_wait_level(&f, follow_stats);
    assert_int_equal(REPL_END_STOPPED, stop(REPL_END_STOPPED));
    follow_assert_same(&f);
}

/* ---- another epoch ---- */

static void a_refused_ack_ends_it(void **state)
{
    (void)state;
    with.ack_us = 500;
    with.busy_ack_us = 500;
    begin();
    follow_write(&f, 1, 0);
    assert_true(memory_peer_wait_synced(f.peer, follow_settle(&f)));
    follow_add_epoch(&f);
    assert_ends(REPL_END_EPOCH, ""); /* the files say it too */
}

static void other_epoch(void *context, struct repl_heartbeat *heartbeat)
{
    (void)context;
    heartbeat->epoch_id ^= 1;
}

static void a_heartbeat_of_another_epoch_ends_it(void **state)
{
    const struct memory_peer_edits edits = {.heartbeat = other_epoch};

    (void)state;
    memory_peer_set_edits(f.peer, &edits);
    begin();
    assert_ends(REPL_END_EPOCH, "the leader is in epoch");
    assert_int_equal(0, memory_peer_count(f.peer, MEMORY_PEER_GET, NULL));
}

/* ---- a bad connection ---- */

static void no_answer_ends_it(void **state)
{
    const struct memory_peer_rule rule = {
        .what = MEMORY_PEER_REFUSE, .path = "ack", .skip = 2};

    (void)state;
    with.ack_us = 500;
    with.busy_ack_us = 500;
    memory_peer_rule(f.peer, &rule);
    begin();
    assert_ends(REPL_END_RETRY, "refused");
}

static void a_failure_of_a_pull_ends_it(void **state)
{
    const struct memory_peer_rule rule = {.what = MEMORY_PEER_REFUSE,
                                          .path = ".log"};

    (void)state;
    memory_peer_rule(f.peer, &rule);
    begin();
    assert_ends(REPL_END_RETRY, "refused");
}

static void a_silent_stream_is_noticed(void **state)
{
    const struct memory_peer_rule rule = {
        .what = MEMORY_PEER_SILENT, .path = ".log", .times = 2};

    (void)state;
    with.busy_ack_us = 500;
    with.watchdog_us = 20000;
    memory_peer_rule(f.peer, &rule);
    follow_write(&f, 3, 0);
    follow_settle(&f);
    begin();
    assert_ends(REPL_END_RETRY, "nothing has come");
}

/* Journals that wait for edits are not silent. The clock goes on when the test
 * says so: until they wait no time passes. */
static void waiting_for_edits_is_no_silence(void **state)
{
    const struct memory_peer_rule hold = {.what = MEMORY_PEER_HOLD,
                                          .path = "MANIFEST"};

    (void)state;
    with.busy_ack_us = 500;
    with.watchdog_us = 20000;
    env_fault_set_clock(f.fault, 1);
    follow_write(&f, 2 * (LDB_TWIN_JOURNALS_MAX + 5), 2);
    memory_peer_rule(f.peer, &hold);
    begin();
    while (!repl_session_is_stalled(f.session)) {
        assert_int_equal(REPL_END_NONE, repl_session_ended(f.session, NULL));
        (void)sched_yield();
    }
    /* The clock goes on while an ack is waited for: the wait for it may have
     * begun after the clock was put forward. */
    for (uint64_t now = 1, i = 0; i < 3; i++) {
        uint64_t before = memory_peer_count(f.peer, MEMORY_PEER_CALL, "ack");

        now += 2 * with.watchdog_us;
        while (memory_peer_count(f.peer, MEMORY_PEER_CALL, "ack") <= before) {
            assert_int_equal(REPL_END_NONE,
                             repl_session_ended(f.session, NULL));
            env_fault_set_clock(f.fault, now += with.busy_ack_us);
            (void)sched_yield();
        }
    }
    assert_int_equal(REPL_END_STOPPED, stop(REPL_END_STOPPED));
    env_fault_set_clock(f.fault, 0);
}

static void threads_that_do_not_start_end_it(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        const struct env_fault_rule rule = {
            .kinds = ENV_FAULT_BIT(ENV_FAULT_THREAD_START),
            .nth = n,
            .sys_errno = 11};

        env_fault_fail(f.fault, &rule);
        begin();
        assert_ends(REPL_END_RETRY, "");
        env_fault_fail(f.fault, NULL);
    }
}

#define stream_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        stream_test(an_ack_comes_before_anything_is_asked_for),
        stream_test(what_was_synced_is_told_at_once),
        stream_test(what_a_write_waits_for_is_told_at_once),
        stream_test(what_nobody_waits_for_is_told_together),
        stream_test(its_end_does_not_wait_for_the_gap),
        stream_test(an_ack_says_who_and_where_we_are),
        stream_test(when_nothing_is_new_it_says_so_in_time),
        stream_test(behind_it_says_so_more_often),
        stream_test(a_refused_ack_ends_it),
        stream_test(a_heartbeat_of_another_epoch_ends_it),
        stream_test(no_answer_ends_it),
        stream_test(a_failure_of_a_pull_ends_it),
        stream_test(a_silent_stream_is_noticed),
        stream_test(waiting_for_edits_is_no_silence),
        stream_test(threads_that_do_not_start_end_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
