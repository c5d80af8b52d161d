/*
 * Room for writes: sealing at a full memtable, waits that are counted, and
 * what a writer is told when room cannot be made.
 */
#include <errno.h>

#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static void reopen_small(struct db_fixture *f)
{
    f->options.write_buffer_bytes = 8 << 10;
    db_fixture_reopen(f);
}

static void a_full_memtable_is_sealed_with_its_journal(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats before;
    struct ldb_stats after;

    reopen_small(f);
    ldb_stats(f->db, &before);
    db_fixture_fill(f, 0, 200);
    db_fixture_flush(f);
    ldb_stats(f->db, &after);
    assert_true(after.flushes >= 3);
    assert_true(after.journal_number > before.journal_number);
    db_fixture_assert_filled(f, 0, 200);
}

/* A power cut takes nothing of a sealed journal. */
static void what_was_sealed_is_durable(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;
    unsigned n = 0;
    uint64_t number;

    reopen_small(f);
    /* No table can be made: what is sealed is in its journal alone. */
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
    ldb_stats(f->db, &stats);
    number = stats.journal_number;
    while (stats.journal_number == number) {
        db_fixture_fill(f, n, n + 1);
        n++;
        ldb_stats(f->db, &stats);
    }
    env_fault_fail(f->fault, NULL);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 1);
    (void)!ldb_close(f->db, NULL);
    f->env = env_fault_env(f->fault);
    f->options.env = f->env;
    db_fixture_open(f);
    /* The last one opened the new journal. */
    db_fixture_assert_filled(f, 0, n - 1);
    assert_int_equal(ldb_last_sequence(f->db), n - 1);
}

static void writes_fail_with_the_reason_when_no_flush_makes_room(void **state)
{
    struct db_fixture *f = *state;
    enum ldb_status s = LDB_OK;
    unsigned n = 0;

    reopen_small(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
    for (; s == LDB_OK && n < 2000; n++)
        s = ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("0123456789"),
                    false, &f->err, NULL);
    assert_ldb_status(LDB_IO, s, &f->err);
    assert_ldb_message("flush is stuck", &f->err);
    db_fixture_assert_value(f, "k", "0123456789");
    env_fault_fail(f->fault, NULL);
    while (ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("1"), false,
                   &f->err, NULL) != LDB_OK)
        assert_ldb_status(LDB_IO, f->err.status, &f->err);
    db_fixture_assert_value(f, "k", "1");
}

static void level_0_over_its_trigger_slows_writes_and_counts_it(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 2;
    f->options.l0_stop_trigger = 100;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 2; i++) {
        db_fixture_fill(f, i, i + 1);
        db_fixture_flush(f);
    }
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.slowdown_count, 0);
    db_fixture_fill(f, 2, 3);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.slowdown_count, 1);
    assert_int_equal(stats.stop_count, 0);
}

static void on_done(struct ldb_write *write)
{
    (void)write;
}

/* A thread that drives never waits: the committer does it in its place. */
static void a_driver_leaves_sealing_to_the_committer(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_batch *batch = NULL;
    struct ldb_write write = {.done = on_done};
    struct ldb_stats stats;

    f->options.write_buffer_bytes = 1 << 10;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 1); /* the memtable's first block is over that */
    assert_ldb_ok(ldb_batch_create(1000, &f->err, &batch), &f->err);
    assert_int_equal(
        ldb_batch_put(batch, ldb_slice_str("d"), ldb_slice_str("1")), LDB_OK);
    write.batch = batch;
    assert_ldb_ok(ldb_write_submit(f->db, &write, &f->err), &f->err);
    ldb_write_drive(f->db);
    db_fixture_close(f); /* completes it */
    assert_ldb_ok(write.status, &write.error);
    ldb_batch_destroy(batch);
    db_fixture_open(f);
    db_fixture_assert_value(f, "d", "1");
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.last_sequence, 2);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_full_memtable_is_sealed_with_its_journal),
        TEST(what_was_sealed_is_durable),
        TEST(writes_fail_with_the_reason_when_no_flush_makes_room),
        TEST(level_0_over_its_trigger_slows_writes_and_counts_it),
        TEST(a_driver_leaves_sealing_to_the_committer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
