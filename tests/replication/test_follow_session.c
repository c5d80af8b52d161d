/*
 * What the threads of a session share: its end, which is the first one; who
 * waits for whom; what the leader said; which bytes may get in.
 */
#include "replication/follow_session.h"

#include <errno.h>

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/follow_fixture.h"
#include "tests/support/mem_fault.h"

static struct follow_fixture f;
static struct repl_session *session;

static int setup(void **state)
{
    (void)state;
    follow_open(&f, 1, true);
    follow_begin(&f);
    session = f.session;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (f.session != NULL)
        (void)follow_end(&f, REPL_END_STOPPED);
    follow_close(&f);
    return 0;
}

/* ---- its end ---- */

static void the_first_end_counts(void **state)
{
    struct ldb_error why = {0};
    struct ldb_error first = {0};
    struct ldb_error second = {0};

    (void)state;
    assert_int_equal(REPL_END_NONE, repl_session_ended(session, &why));
    (void)ldb_error_set(&first, LDB_GONE, "the first");
    (void)ldb_error_set(&second, LDB_IO, "the second");
    repl_session_fail(session, LDB_GONE, &first);
    repl_session_finish(session, REPL_END_STOPPED, &second);
    assert_int_equal(REPL_END_BEHIND, repl_session_ended(session, &why));
    assert_ldb_message("the first", &why);
}

static void a_failure_ends_it_by_its_kind(void **state)
{
    static const struct {
        enum ldb_status status;
        enum repl_session_end end;
    } rows[] = {
        {LDB_IO, REPL_END_RETRY},           {LDB_NO_SPACE, REPL_END_RETRY},
        {LDB_CORRUPTION, REPL_END_RETRY},   {LDB_NO_MEMORY, REPL_END_RETRY},
        {LDB_CANCELLED, REPL_END_RETRY},    {LDB_GONE, REPL_END_BEHIND},
        {LDB_PRECONDITION, REPL_END_EPOCH}, {LDB_READ_ONLY, REPL_END_REOPEN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error why = {.status = rows[i].status};

        repl_session_fail(f.session, rows[i].status, &why);
        assert_int_equal(rows[i].end, follow_end(&f, REPL_END_NONE));
        follow_begin(&f);
    }
}

static void a_twin_that_has_stopped_is_to_be_opened_anew(void **state)
{
    const struct env_fault_rule rule = {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                        .path = ".log",
                                        .nth = 1,
                                        .sys_errno = EIO};

    (void)state;
    follow_start(&f, FOLLOW_JOURNALS);
    follow_catch_up_journals(&f);
    env_fault_fail(f.fault, &rule);
    follow_write(&f, 1, 0);
    assert_int_equal(REPL_END_REOPEN, follow_wait_end(&f));
    assert_int_equal(REPL_END_REOPEN, follow_end(&f, REPL_END_NONE));
    env_fault_fail(f.fault, NULL);
    LDB_IGNORE(ldb_close(f.ship.db, NULL)); /* it tells the same */
    follow_drop_twin(&f);
    follow_open_twin(&f);
}

static void its_end_ends_calls_under_way(void **state)
{
    const struct memory_peer_rule rule = {.what = MEMORY_PEER_HOLD};
    struct repl_transport *transport = session->transports[REPL_LANE_EDITS];
    struct repl_file_head head;
    struct ldb_error why = {0};

    (void)state;
    memory_peer_rule(f.peer, &rule);
    repl_session_finish(session, REPL_END_STOPPED, NULL);
    assert_ldb_status(
        LDB_CANCELLED,
        transport->ops->head(transport, "000001.log", &why, &head), &why);
}

/* ---- who waits for whom ---- */

static void a_wait_ends_with_a_move_of_its_mask(void **state)
{
    struct repl_moves seen;

    (void)state;
    repl_session_moves(session, &seen);
    repl_session_move(session, REPL_MOVE_SYNCED);
    assert_true(repl_session_wait(
        session, &seen, REPL_MOVE_BIT(REPL_MOVE_SYNCED), PATIENCE_US));
    /* Seen by now: only its time ends another wait for it. */
    assert_true(
        repl_session_wait(session, &seen, REPL_MOVE_BIT(REPL_MOVE_SYNCED), 1));
    repl_session_move(session, REPL_MOVE_INSTALLED);
    assert_true(
        repl_session_wait(session, &seen, REPL_MOVE_BIT(REPL_MOVE_SYNCED), 1));
    assert_int_equal(1, seen.of[REPL_MOVE_INSTALLED]);
}

static void a_wait_ends_with_the_session(void **state)
{
    struct repl_moves seen;

    (void)state;
    repl_session_moves(session, &seen);
    repl_session_finish(session, REPL_END_RETRY, NULL);
    assert_false(repl_session_wait(session, &seen, 0, 0));
    assert_false(repl_session_wait_room(session, &seen));
}

static void move_later(void *context)
{
    repl_session_move(context, REPL_MOVE_INSTALLED);
}

static void who_waits_for_room_goes_on_with_an_install(void **state)
{
    struct ldb_env *env = ldb_env_posix();
    struct ldb_thread *thread = NULL;
    struct repl_moves seen;
    struct repl_moves before;

    (void)state;
    assert_false(repl_session_is_stalled(session));
    repl_session_moves(session, &seen);
    before = seen;
    assert_ldb_ok(env->ops->thread_start(env, "later", move_later, session,
                                         &f.err, &thread),
                  &f.err);
    assert_true(repl_session_wait_room(session, &seen));
    env->ops->thread_join(env, thread);
    assert_int_equal(before.of[REPL_MOVE_INSTALLED] + 1,
                     seen.of[REPL_MOVE_INSTALLED]);
    /* Edits that wait for journals were told to look. */
    assert_true(seen.of[REPL_MOVE_JOURNAL] > before.of[REPL_MOVE_JOURNAL]);
    assert_false(repl_session_is_stalled(session));
}

static void journals_are_stalled_until_the_next_install(void **state)
{
    (void)state;
    session->stalled_at = session->moves.of[REPL_MOVE_INSTALLED] + 1;
    assert_true(repl_session_is_stalled(session));
    repl_session_move(session, REPL_MOVE_INSTALLED);
    assert_false(repl_session_is_stalled(session));
}

/* ---- the leader ---- */

static void give_list(const uint64_t *numbers, size_t count,
                      uint64_t manifest_number, uint64_t manifest_len)
{
    struct repl_state state = {.manifest_number = manifest_number,
                               .manifest_len = manifest_len,
                               .journal_count = count};

    state.journals = ldb_mem_zalloc(count + 1, sizeof(*state.journals));
    assert_non_null(state.journals);
    for (size_t i = 0; i < count; i++)
        state.journals[i].number = numbers[i];
    repl_session_take_state(session, &state);
    assert_null(state.journals);
}

static void the_next_journal_is_found_on_the_list(void **state)
{
    static const uint64_t numbers[] = {5, 7, 8};
    static const struct {
        uint64_t after;
        uint64_t next; /* 0: none */
        bool follows;
    } rows[] = {
        {0, 5, false}, {4, 5, false}, {5, 7, true},
        {6, 7, true},  {7, 8, true},  {8, 0, false},
    };

    (void)state;
    give_list(numbers, 3, 9, 100);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_journal_entry next = {0};
        bool follows = false;

        assert_true(repl_session_next_journal(session, rows[i].after, &next,
                                              &follows) == (rows[i].next != 0));
        assert_int_equal(rows[i].next, next.number);
        assert_true(follows == rows[i].follows);
    }
}

static void journals_with_bytes_are_listed(void **state)
{
    static const uint64_t numbers[] = {5, 7, 8, 11};
    uint64_t *listed = NULL;
    size_t count = 0;

    (void)state;
    give_list(numbers, 4, 9, 100);
    session->journals[0].len = 10;
    session->journals[1].len = 20;
    session->journals[3].len = 1;
    assert_ldb_ok(repl_session_journals(session, NULL, &listed, &count), NULL);
    assert_int_equal(3, count);
    assert_int_equal(5, listed[0]);
    assert_int_equal(7, listed[1]);
    assert_int_equal(11, listed[2]);
    give_list(numbers, 0, 9, 100);
    assert_ldb_ok(repl_session_journals(session, NULL, &listed, &count), NULL);
    assert_int_equal(0, count);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY,
                      repl_session_journals(session, NULL, &listed, &count),
                      NULL);
    assert_true(mem_fault_stop());
    ldb_mem_free(listed);
}

static void the_manifest_goes_on_and_never_back(void **state)
{
    static const struct {
        uint64_t number;
        uint64_t len;
        uint64_t number_after;
        uint64_t len_after;
    } rows[] = {
        {9, 100, 9, 100}, {9, 150, 9, 150}, {9, 120, 9, 150},
        {12, 10, 12, 10}, {9, 999, 12, 10},
    };
    uint64_t number = 0;
    uint64_t len = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        give_list(NULL, 0, rows[i].number, rows[i].len);
        repl_session_manifest(session, &number, &len);
        assert_int_equal(rows[i].number_after, number);
        assert_int_equal(rows[i].len_after, len);
    }
}

static void a_heartbeat_is_on_the_board(void **state)
{
    const struct repl_heartbeat heartbeat = {
        .durable = {.journal = 8, .offset = 40, .sequence = 4},
        .last_sequence = 9,
        .manifest_number = 70,
        .manifest_len = 300};
    struct repl_follower_stats stats;
    struct repl_moves before;
    uint64_t number = 0;
    uint64_t len = 0;

    (void)state;
    repl_session_moves(session, &before);
    repl_session_heard(session, &heartbeat);
    repl_session_manifest(session, &number, &len);
    assert_int_equal(70, number);
    assert_int_equal(300, len);
    follow_stats(&f, &stats);
    assert_true(stats.has_heartbeat);
    assert_int_equal(9, stats.heartbeat.last_sequence);
    assert_true(repl_session_wait(session, &before,
                                  REPL_MOVE_BIT(REPL_MOVE_HEARD), PATIENCE_US));
}

/* ---- epochs ---- */

static void bytes_of_another_epoch_are_refused(void **state)
{
    struct repl_file_head head = {.epoch = session->options.epoch,
                                  .epoch_id = session->options.epoch_id};
    struct ldb_error why = {0};

    (void)state;
    assert_ldb_ok(repl_session_check_head(session, "000009.log", &head, &why),
                  &why);
    head.epoch_id ^= 1;
    assert_ldb_status(
        LDB_PRECONDITION,
        repl_session_check_head(session, "000009.log", &head, &why), &why);
    assert_ldb_message("000009.log comes from epoch 1", &why);
    head = (struct repl_file_head){0}; /* it did not say */
    assert_ldb_status(
        LDB_PRECONDITION,
        repl_session_check_head(session, "000009.log", &head, &why), &why);
}

static void nobody_enters_once_a_higher_epoch_is_accepted(void **state)
{
    struct ldb_error why = {0};

    (void)state;
    assert_ldb_ok(repl_session_enter(session, REPL_LANE_JOURNALS, &why), &why);
    repl_session_leave(session, REPL_LANE_JOURNALS);
    follow_add_epoch(&f);
    assert_ldb_ok(repl_epoch_gate_accept(f.gate, NULL, &f.history, &why), &why);
    assert_ldb_status(LDB_PRECONDITION,
                      repl_session_enter(session, REPL_LANE_JOURNALS, &why),
                      &why);
    assert_ldb_status(LDB_PRECONDITION,
                      repl_session_enter(session, REPL_LANE_EDITS, &why), &why);
    assert_ldb_message("epoch 1", &why);
}

static void no_memory_makes_no_session(void **state)
{
    struct repl_session_options options = session->options;
    struct repl_session *made = NULL;

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ldb_error why = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_session_create(&options, &why, &made);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &why);
        assert_null(made);
    }
    assert_non_null(made);
    repl_session_destroy(made);
}

#define session_test(name)                                                     \
    cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        session_test(the_first_end_counts),
        session_test(a_failure_ends_it_by_its_kind),
        session_test(a_twin_that_has_stopped_is_to_be_opened_anew),
        session_test(its_end_ends_calls_under_way),
        session_test(a_wait_ends_with_a_move_of_its_mask),
        session_test(a_wait_ends_with_the_session),
        session_test(who_waits_for_room_goes_on_with_an_install),
        session_test(journals_are_stalled_until_the_next_install),
        session_test(the_next_journal_is_found_on_the_list),
        session_test(journals_with_bytes_are_listed),
        session_test(the_manifest_goes_on_and_never_back),
        session_test(a_heartbeat_is_on_the_board),
        session_test(bytes_of_another_epoch_are_refused),
        session_test(nobody_enters_once_a_higher_epoch_is_accepted),
        session_test(no_memory_makes_no_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
