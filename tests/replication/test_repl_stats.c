/*
 * The figures of a follower: how far it is behind, by what the leader said
 * last, and who waits for a place.
 */
#include "replication/repl_stats.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/clock_env.h"
#include "tests/support/patience.h"

static struct clock_env clock_env;
static struct repl_board board;

static int setup(void **state)
{
    (void)state;
    clock_env_init(&clock_env, 1000);
    repl_board_init(&board, &clock_env.env);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_board_release(&board);
    return 0;
}

static void stand_at(uint64_t journal, uint64_t offset, ldb_sequence sequence)
{
    struct ldb_twin_state at = {
        .written = {.journal = journal, .offset = offset, .sequence = sequence},
        .manifest_number = 4,
        .manifest_len = 99,
    };

    at.synced = at.written;
    at.applied = at.written;
    repl_board_set_places(&board, &at);
}

static void hear(uint64_t journal, uint64_t offset, ldb_sequence durable,
                 ldb_sequence last)
{
    static const struct repl_journal_entry journals[] = {
        {.number = 5, .len = 1000},
        {.number = 7, .len = 300},
        {.number = 8, .len = 40},
        {.number = 9, .len = 12},
    };
    struct repl_heartbeat heartbeat = {
        .durable = {.journal = journal, .offset = offset, .sequence = durable},
        .last_sequence = last,
    };

    repl_board_heard(&board, &heartbeat, journals,
                     sizeof(journals) / sizeof(journals[0]));
}

static struct repl_lag lag_now(void)
{
    struct repl_follower_stats stats;
    struct repl_lag lag;

    repl_board_read(&board, &stats);
    repl_follower_lag(&stats, clock_env.now_us, &lag);
    return lag;
}

static void what_comes_is_told_by_the_second(void **state)
{
    struct repl_follower_stats stats;

    (void)state;
    repl_board_add(&board, &board.stats.counts.journal_bytes, 3000);
    repl_board_add(&board, &board.stats.counts.table_bytes, 1000);
    repl_board_add(&board, &board.stats.counts.acks, 500);
    clock_env.now_us += 2000000;
    repl_board_read(&board, &stats);
    assert_int_equal(2000, stats.bytes_per_second);
    clock_env.now_us += 100000000;
    repl_board_read(&board, &stats);
    assert_int_equal(0, stats.bytes_per_second);
    assert_int_equal(3000, stats.counts.journal_bytes);
    assert_int_equal(1000, stats.counts.table_bytes);
    assert_int_equal(500, stats.counts.acks);
}

static void every_state_has_a_word(void **state)
{
    (void)state;
    assert_string_equal("connecting",
                        repl_follower_state_text(REPL_FOLLOWER_CONNECTING));
    assert_string_equal("comparing",
                        repl_follower_state_text(REPL_FOLLOWER_COMPARING));
    assert_string_equal("streaming",
                        repl_follower_state_text(REPL_FOLLOWER_STREAMING));
    assert_string_equal("rebuilding",
                        repl_follower_state_text(REPL_FOLLOWER_REBUILDING));
    assert_string_equal("waiting",
                        repl_follower_state_text(REPL_FOLLOWER_WAITING));
    assert_string_equal("stopped",
                        repl_follower_state_text(REPL_FOLLOWER_STOPPED));
}

static void nothing_is_known_before_the_leader_was_heard(void **state)
{
    struct repl_follower_stats stats;

    (void)state;
    stand_at(5, 100, 10);
    repl_board_read(&board, &stats);
    assert_false(lag_now().is_known);
    assert_false(repl_follower_is_level(&stats));
    assert_int_equal(0, lag_now().sequences);
}

static void a_leader_that_was_never_heard_leaves_it_behind(void **state)
{
    (void)state;
    stand_at(5, 100, 10);
    assert_int_equal(0, lag_now().us);
    clock_env.now_us += 700;
    assert_int_equal(700, lag_now().us);
}

static void bytes_behind_are_those_of_the_journals_between(void **state)
{
    static const struct {
        const char *name;
        uint64_t journal;
        uint64_t offset;
        uint64_t bytes;
    } rows[] = {
        {"the same journal", 9, 10, 0},
        {"the same journal, behind", 9, 4, 6},
        {"one before", 8, 15, 10 + 25},
        {"three before", 5, 400, 10 + 600 + 300 + 40},
        {"longer than the list knew", 5, 1200, 10 + 300 + 40},
        {"between two of the list", 6, 0, 10 + 300 + 40},
        {"a later one", 11, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stand_at(rows[i].journal, rows[i].offset, 10);
        hear(9, 10, 20, 20);
        if (lag_now().bytes != rows[i].bytes)
            fail_msg("%s: %llu bytes", rows[i].name,
                     (unsigned long long)lag_now().bytes);
    }
}

static void bytes_that_have_come_since_count(void **state)
{
    (void)state;
    stand_at(9, 4, 10);
    hear(9, 10, 20, 20);
    repl_board_add(&board, &board.stats.counts.journal_bytes, 4);
    assert_int_equal(2, lag_now().bytes);
    repl_board_add(&board, &board.stats.counts.journal_bytes, 100);
    assert_int_equal(0, lag_now().bytes);
}

static void time_behind_is_since_all_was_here(void **state)
{
    (void)state;
    stand_at(9, 10, 20);
    hear(9, 10, 20, 25);
    clock_env.now_us += 700;
    assert_int_equal(700, lag_now().us); /* it may have gone on since */
    hear(9, 30, 40, 45);
    clock_env.now_us += 50;
    assert_int_equal(750, lag_now().us);
    assert_int_equal(25, lag_now().sequences);
    stand_at(9, 30, 40);
    assert_int_equal(50, lag_now().us);
    assert_int_equal(5, lag_now().sequences);
}

static void a_new_epoch_without_a_write_is_no_lag(void **state)
{
    (void)state;
    stand_at(9, 10, 20);
    hear(9, 10, UINT64_C(1) << 32, UINT64_C(1) << 32);
    assert_int_equal(0, lag_now().sequences);
    assert_int_equal(0, lag_now().us);
}

static void a_state_keeps_its_reason_unless_it_has_another(void **state)
{
    struct repl_follower_stats stats;

    (void)state;
    repl_board_set_state(&board, REPL_FOLLOWER_WAITING, "no answer");
    repl_board_set_state(&board, REPL_FOLLOWER_CONNECTING, NULL);
    repl_board_set_epoch(&board, 3, 77);
    repl_board_read(&board, &stats);
    assert_int_equal(REPL_FOLLOWER_CONNECTING, stats.state);
    assert_string_equal("no answer", stats.why);
    assert_int_equal(3, stats.epoch);
    assert_int_equal(77, stats.epoch_id);
    repl_board_set_state(&board, REPL_FOLLOWER_STREAMING, "");
    repl_board_read(&board, &stats);
    assert_string_equal("", stats.why);
}

/* ---- waiting ---- */

static void stand_later(void *context)
{
    (void)context;
    stand_at(9, 30, 40);
}

static void who_waits_for_a_sequence_is_woken(void **state)
{
    struct ldb_env *env = ldb_env_posix();
    struct ldb_thread *thread = NULL;
    struct ldb_error err = {0};

    (void)state;
    stand_at(9, 10, 20);
    assert_true(repl_board_wait_synced(&board, 20, 0));
    assert_ldb_ok(
        env->ops->thread_start(env, "later", stand_later, NULL, &err, &thread),
        &err);
    assert_true(repl_board_wait_synced(&board, 40, PATIENCE_US));
    env->ops->thread_join(env, thread);
}

static void nobody_waits_for_ever(void **state)
{
    (void)state;
    stand_at(9, 10, 20);
    assert_false(repl_board_wait_synced(&board, 21, 0));
    repl_board_close(&board);
    assert_false(repl_board_wait_synced(&board, 21, PATIENCE_US));
    assert_true(repl_board_wait_synced(&board, 20, PATIENCE_US));
}

#define board_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        board_test(what_comes_is_told_by_the_second),
        cmocka_unit_test(every_state_has_a_word),
        board_test(nothing_is_known_before_the_leader_was_heard),
        board_test(a_leader_that_was_never_heard_leaves_it_behind),
        board_test(bytes_behind_are_those_of_the_journals_between),
        board_test(bytes_that_have_come_since_count),
        board_test(time_behind_is_since_all_was_here),
        board_test(a_new_epoch_without_a_write_is_no_lag),
        board_test(a_state_keeps_its_reason_unless_it_has_another),
        board_test(who_waits_for_a_sequence_is_woken),
        board_test(nobody_waits_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
