/* What a leader answers its followers, and how it begins and ends. */
#include "replication/leader.h"

#include <errno.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/leader_fixture.h"
#include "tests/support/mem_fault.h"

#define FOLLOWER "ffffffffffffffffffffffffffffffff"

/* What a follower says that has synced all up to the durable position. */
static struct repl_ack ack_of(struct leader_fixture *f)
{
    struct ldb_position durable = ldb_durable_position(f->db);
    struct repl_ack ack = {
        .node_id = FOLLOWER,
        .epoch = 3,
        .epoch_id = 0xabcdef,
        .written = {durable.journal, durable.offset, durable.sequence},
        .state = "streaming",
    };

    ack.synced = ack.written;
    ack.applied = ack.written;
    return ack;
}

/* ---- state ---- */

static void the_state_says_who_leads_and_from_what(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_state told = {0};
    struct ldb_stats stats;

    (void)leader_fixture_flush_one(f, "a");
    (void)leader_fixture_put(f, "b", "1");
    (void)db_fixture_put(f->base, "c", "not synced");
    assert_ldb_ok(repl_leader_state(f->leader, &f->err, &told), &f->err);
    ldb_stats(f->db, &stats);
    assert_string_equal(told.identity.node_id, f->identity.node_id);
    assert_string_equal(told.identity.cluster_id, f->identity.cluster_id);
    assert_int_equal(told.role, REPL_ROLE_LEADER);
    assert_string_equal(told.leader_url, "");
    assert_int_equal(told.history.count, 2);
    assert_int_equal(repl_epoch_history_last(&told.history)->id, 0xabcdef);
    assert_int_equal(told.manifest_number, stats.manifest_number);
    assert_int_equal(told.manifest_len, stats.manifest_bytes);
    assert_int_equal(told.journal_count, 2);
    assert_int_equal(told.durable.sequence, 2);
    assert_int_equal(told.journals[1].len, told.durable.offset);
    assert_int_equal(told.last_sequence, 3);
    assert_true(told.clock_us > 0);
    repl_state_release(&told);
}

static void the_state_says_how_tables_are_made(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_state told = {0};

    assert_ldb_ok(repl_leader_state(f->leader, &f->err, &told), &f->err);
    assert_string_equal(told.table_options.comparator,
                        "leveldb.BytewiseComparator");
    assert_int_equal(told.table_options.bloom_bits, 10);
    assert_int_equal(told.table_options.filter_base_lg, 11);
    assert_int_equal(told.table_options.block_bytes, 1024);
    assert_int_equal(told.table_options.block_restart_interval, 16);
    assert_true(told.table_options.compress);
    repl_state_release(&told);
}

static void a_new_epoch_is_told_from_then_on(void **state)
{
    struct leader_fixture *f = *state;
    const struct repl_epoch next = {.number = 4, .id = 0x44, .base = 900};
    struct repl_heartbeat heartbeat;
    struct repl_ack ack = ack_of(f);
    uint64_t number;
    uint64_t id;

    assert_ldb_ok(repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                  &f->err);
    assert_ldb_ok(repl_epoch_history_append(&f->history, &next, &f->err),
                  &f->err);
    assert_ldb_ok(repl_leader_set_history(f->leader, &f->history, &f->err),
                  &f->err);
    repl_leader_epoch(f->leader, &number, &id);
    assert_int_equal(number, 4);
    assert_int_equal(id, 0x44);
    assert_ldb_status(LDB_PRECONDITION,
                      repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                      &f->err);
}

static void an_epochs_base_is_no_entry(void **state)
{
    struct leader_fixture *f = *state;

    assert_int_equal(repl_leader_last_entry(f->leader, 6), 6);
    assert_int_equal(repl_leader_last_entry(f->leader, 100), 7);
    assert_int_equal(repl_leader_last_entry(f->leader, 101), 101);
    assert_int_equal(repl_leader_last_entry(f->leader, 0), 0);
    assert_ldb_ok(ldb_raise_sequence(f->db, 100, &f->err), &f->err);
    assert_int_equal(ldb_durable_position(f->db).sequence, 100);
    assert_int_equal(repl_leader_durable_entry(f->leader).sequence, 7);
    (void)leader_fixture_put(f, "a", "1");
    assert_int_equal(repl_leader_durable_entry(f->leader).sequence, 101);
}

/* ---- acks ---- */

static void an_ack_is_answered_with_the_heartbeat(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_heartbeat heartbeat = {0};
    struct repl_leader_figures figures;
    struct ldb_stats stats;
    struct repl_ack ack;

    (void)leader_fixture_put(f, "a", "1");
    ack = ack_of(f);
    assert_ldb_ok(repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                  &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(heartbeat.epoch, 3);
    assert_int_equal(heartbeat.epoch_id, 0xabcdef);
    assert_int_equal(heartbeat.durable.sequence, 1);
    assert_int_equal(heartbeat.last_sequence, 1);
    assert_int_equal(heartbeat.manifest_number, stats.manifest_number);
    assert_int_equal(heartbeat.manifest_len, stats.manifest_bytes);
    assert_true(heartbeat.clock_us > 0);
    assert_false(heartbeat.is_slot_lost);
    repl_leader_figures(f->leader, &figures);
    assert_int_equal(figures.slots.slots, 1);
    assert_int_equal(figures.slots.alive, 1);
    assert_int_equal(figures.acks_total, 1);
    assert_int_equal(figures.acks_refused_total, 0);
    assert_int_equal(figures.epoch_heard, 3);
}

static void an_ack_of_another_epoch_changes_nothing(void **state)
{
    static const struct {
        const char *name;
        uint64_t epoch;
        uint64_t id;
    } rows[] = {
        {"a lower one", 1, 0x11},
        {"a higher one", 9, 0xabcdef},
        {"the same, begun by another", 3, 0xabcdee},
        {"none yet", 0, 0},
    };
    struct leader_fixture *f = *state;
    struct repl_heartbeat heartbeat;
    struct repl_leader_figures figures;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_ack ack = ack_of(f);

        print_message("%s\n", rows[i].name);
        ack.epoch = rows[i].epoch;
        ack.epoch_id = rows[i].id;
        assert_ldb_status(LDB_PRECONDITION,
                          repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                          &f->err);
        assert_ldb_message("epoch 3 (0000000000abcdef)", &f->err);
    }
    repl_leader_figures(f->leader, &figures);
    assert_int_equal(figures.slots.slots, 0);
    assert_int_equal(figures.acks_refused_total, 4);
    assert_int_equal(figures.epoch_heard, 9);
}

static void an_ack_from_beyond_is_of_another_history(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_heartbeat heartbeat;
    struct repl_ack ack;

    (void)leader_fixture_put(f, "a", "1");
    (void)db_fixture_put(f->base, "b", "not synced");
    ack = ack_of(f);
    ack.written.sequence = 2;
    ack.synced.sequence = 2;
    assert_ldb_status(LDB_PRECONDITION,
                      repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                      &f->err);
    assert_ldb_message("has synced 2, this node has 1", &f->err);
    ack = ack_of(f);
    assert_ldb_ok(repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                  &f->err);
}

/* The write's sequence is given out, and followers have it from the MANIFEST;
 * nothing durable here has it. */
static void an_ack_may_know_of_a_write_that_failed(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_heartbeat heartbeat;
    struct ldb_stats stats;
    struct repl_ack ack;

    (void)leader_fixture_put(f, "a", "1");
    db_fixture_fail(f->base, ENV_FAULT_BIT(ENV_FAULT_APPEND), ".log", EIO);
    assert_ldb_status(LDB_IO,
                      ldb_put(f->db, ldb_slice_str("b"), ldb_slice_str("no"),
                              true, &f->err, NULL),
                      &f->err);
    env_fault_fail(f->base->fault, NULL);
    ack = ack_of(f);
    ack.synced.sequence = 2;
    assert_ldb_status(LDB_PRECONDITION,
                      repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                      &f->err);
    db_fixture_flush(f->base);
    ldb_stats(f->db, &stats);
    assert_int_equal(1, stats.durable_sequence);
    assert_int_equal(2, stats.manifest_sequence);
    assert_ldb_ok(repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                  &f->err);
    ack.synced.sequence = 3;
    assert_ldb_status(LDB_PRECONDITION,
                      repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                      &f->err);
}

static void count_outcome(struct repl_concern_wait *wait)
{
    unsigned *count = wait->context;

    (*count)++;
}

static void an_ack_lets_the_writes_go_that_wait_for_it(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_heartbeat heartbeat;
    unsigned woken = 0;
    struct repl_concern_wait wait = {
        .sequence = leader_fixture_put(f, "a", "1"),
        .replicas = 1,
        .deadline_us = UINT64_MAX,
        .wake = count_outcome,
        .context = &woken,
    };
    struct repl_ack ack = ack_of(f);

    assert_int_equal(repl_write_concern_wait(f->concern, &wait),
                     REPL_CONCERN_WAITING);
    ack.synced.sequence = 0;
    assert_ldb_ok(repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                  &f->err);
    assert_int_equal(woken, 0);
    ack = ack_of(f);
    assert_ldb_ok(repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                  &f->err);
    assert_int_equal(woken, 1);
    assert_int_equal(wait.outcome, REPL_CONCERN_MET);
}

/* ---- the end ---- */

static void the_end_answers_who_waits(void **state)
{
    struct leader_fixture *f = *state;
    unsigned woken = 0;
    struct repl_concern_wait wait = {
        .sequence = leader_fixture_put(f, "a", "1"),
        .replicas = 1,
        .deadline_us = UINT64_MAX,
        .wake = count_outcome,
        .context = &woken,
    };

    assert_int_equal(repl_write_concern_wait(f->concern, &wait),
                     REPL_CONCERN_WAITING);
    repl_leader_end(f->leader);
    assert_int_equal(woken, 1);
    assert_int_equal(wait.outcome, REPL_CONCERN_ENDED);
    repl_leader_end(f->leader);
}

static void durable_may_come_until_the_database_is_closed(void **state)
{
    struct leader_fixture *f = *state;

    ldb_watch_begin(f->db);
    repl_leader_close(f->leader);
    repl_leader_close(f->leader);
    (void)leader_fixture_put(f, "a", "1");
    ldb_watch_end(f->db);
}

static void slots_outlive_a_restart(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_leader_figures figures;
    struct repl_heartbeat heartbeat;
    struct repl_ack ack;

    (void)leader_fixture_put(f, "a", "1");
    ack = ack_of(f);
    assert_ldb_ok(repl_leader_ack(f->leader, &ack, &f->err, &heartbeat),
                  &f->err);
    leader_fixture_tick(f);
    leader_fixture_stop(f);
    leader_fixture_start(f);
    repl_leader_figures(f->leader, &figures);
    assert_int_equal(figures.slots.slots, 1);
    assert_int_equal(figures.slots.alive, 0);
}

static void checkpoints_go_when_space_is_needed(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_leader_figures figures;
    struct repl_checkpoint checkpoint = {0};

    assert_ldb_ok(repl_checkpoints_make(repl_leader_checkpoints(f->leader),
                                        FOLLOWER, &f->err, &checkpoint),
                  &f->err);
    repl_checkpoint_release(&checkpoint);
    repl_leader_figures(f->leader, &figures);
    assert_int_equal(figures.checkpoints, 1);
    repl_leader_free_space(f->leader);
    repl_leader_figures(f->leader, &figures);
    assert_int_equal(figures.checkpoints, 0);
}

/* ---- failures ---- */

static enum ldb_status create(struct leader_fixture *f,
                              struct repl_leader **out)
{
    const struct repl_leader_options options = {
        .db = f->base->db,
        .env = f->env,
        .digests = f->digests,
        .concern = f->concern,
        .dir = DB_FIXTURE_DIR,
        .engine = &f->base->options,
        .identity = &f->identity,
        .history = &f->history,
    };

    return repl_leader_create(&options, &f->err, out);
}

static void a_database_that_only_reads_cannot_be_led(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_leader *leader = NULL;

    leader_fixture_stop(f);
    f->base->options.read_only = true;
    db_fixture_open(f->base);
    assert_ldb_status(LDB_READ_ONLY, create(f, &leader), &f->err);
    assert_null(leader);
    db_fixture_close(f->base);
}

static void each_allocation_may_fail(void **state)
{
    struct leader_fixture *f = *state;

    repl_leader_close(f->leader);
    for (uint64_t n = 1;; n++) {
        struct repl_leader *leader = NULL;
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = create(f, &leader);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            repl_leader_destroy(leader);
            break;
        }
        if (s == LDB_OK) /* a store that could not be read is found anew */
            repl_leader_destroy(leader);
        else
            assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
}

static void a_state_that_finds_no_memory_is_none(void **state)
{
    struct leader_fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct repl_state told = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_leader_state(f->leader, &f->err, &told);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            repl_state_release(&told);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        assert_null(told.journals);
    }
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, leader_fixture_setup,                \
                                    leader_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_state_says_who_leads_and_from_what),
        TEST(the_state_says_how_tables_are_made),
        TEST(a_new_epoch_is_told_from_then_on),
        TEST(an_epochs_base_is_no_entry),
        TEST(an_ack_is_answered_with_the_heartbeat),
        TEST(an_ack_of_another_epoch_changes_nothing),
        TEST(an_ack_from_beyond_is_of_another_history),
        TEST(an_ack_may_know_of_a_write_that_failed),
        TEST(an_ack_lets_the_writes_go_that_wait_for_it),
        TEST(the_end_answers_who_waits),
        TEST(durable_may_come_until_the_database_is_closed),
        TEST(slots_outlive_a_restart),
        TEST(checkpoints_go_when_space_is_needed),
        TEST(a_database_that_only_reads_cannot_be_led),
        TEST(each_allocation_may_fail),
        TEST(a_state_that_finds_no_memory_is_none),
    };

    return cmocka_run_group_tests_name("leader", tests, NULL, NULL);
}
