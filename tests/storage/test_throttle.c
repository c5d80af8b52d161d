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
    db_fixture_power_cut(f);
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

static void put_big(struct db_fixture *f, const char *key)
{
    static const uint8_t value[256 << 10];

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key),
                          ldb_slice_make(value, sizeof(value)), false, &f->err,
                          NULL),
                  &f->err);
}

/* Three tables in level 0, nothing compacts them. */
static void reopen_with_level_0(struct db_fixture *f)
{
    f->options.compress = false; /* or less gets to level 0 than is written */
    f->options.l0_compaction_trigger = 100;
    f->options.l0_stop_trigger = 100;
    f->options.write_buffer_bytes = 64 << 20;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 3; i++) {
        db_fixture_fill(f, 0, 3);
        db_fixture_flush(f);
    }
    db_fixture_reopen(f);
}

/* By the bytes before it: a small write does not wait, nor does the first. */
static void level_0_over_its_trigger_slows_writes_by_their_bytes(void **state)
{
    static const struct row {
        unsigned trigger;
        bool is_slowed;
    } rows[] = {{4, false}, {3, true}, {1, true}};
    struct db_fixture *f = *state;

    reopen_with_level_0(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_stats stats;

        f->options.l0_slowdown_trigger = rows[i].trigger;
        db_fixture_reopen(f);
        put_big(f, "a");
        ldb_stats(f->db, &stats);
        assert_int_equal(stats.slowdown_count, 0);
        put_big(f, "b");
        ldb_stats(f->db, &stats);
        assert_int_equal(stats.slowdown_count, rows[i].is_slowed ? 1 : 0);
        assert_int_equal(stats.stalls[LDB_STALL_LEVEL0_SLOWDOWN].count,
                         rows[i].is_slowed ? 1 : 0);
        assert_int_equal(stats.stop_count, 0);
    }
}

static void what_is_pending_slows_writes_too(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    reopen_with_level_0(f);
    put_big(f, "a");
    db_fixture_flush(f);
    /* Due, but nobody gets it done. */
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_compaction_trigger = 1;
    f->options.pending_slowdown_bytes = 1 << 10;
    f->options.pending_limit_bytes = 1 << 10;
    db_fixture_reopen(f);
    put_big(f, "b");
    put_big(f, "c");
    ldb_stats(f->db, &stats);
    assert_true(stats.pending_compaction_bytes > 1 << 10);
    assert_int_equal(stats.stalls[LDB_STALL_PENDING_SLOWDOWN].count, 1);
    assert_int_equal(stats.stalls[LDB_STALL_LEVEL0_SLOWDOWN].count, 0);
    env_fault_fail(f->fault, NULL);
}

struct counted {
    unsigned done;
};

static void count_done(struct ldb_write *write)
{
    struct counted *counted = write->context;

    counted->done++;
}

/* A thread that drives is not held up: the committer waits in its place. */
static void a_driver_does_not_wait_while_writes_are_slowed(void **state)
{
    static uint8_t value[256 << 10];
    struct db_fixture *f = *state;
    struct ldb_batch *batch = NULL;
    struct counted counted = {0};
    struct ldb_write writes[2];
    struct ldb_stats stats;

    reopen_with_level_0(f);
    f->options.l0_slowdown_trigger = 1;
    db_fixture_reopen(f);
    assert_ldb_ok(ldb_batch_create(1 << 20, &f->err, &batch), &f->err);
    assert_int_equal(ldb_batch_put(batch, ldb_slice_str("d"),
                                   ldb_slice_make(value, sizeof(value))),
                     LDB_OK);
    for (unsigned i = 0; i < 2; i++) {
        writes[i] = (struct ldb_write){
            .batch = batch, .done = count_done, .context = &counted};
        assert_ldb_ok(ldb_write_submit(f->db, &writes[i], &f->err), &f->err);
        ldb_write_drive(f->db);
        if (i == 0)
            assert_int_equal(counted.done, 1); /* driven here */
    }
    db_fixture_close(f); /* completes the other */
    assert_int_equal(counted.done, 2);
    ldb_batch_destroy(batch);
    db_fixture_open(f);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.last_sequence, 11);
}

/* Compaction takes at least the time that its limit says. */
static void compaction_keeps_to_its_rate(void **state)
{
    struct db_fixture *f = *state;
    uint64_t start;
    uint64_t us;

    f->options.compaction_rate_bytes = 1 << 20;
    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 2; i++) {
        db_fixture_fill(f, 0, 800);
        db_fixture_flush(f);
    }
    start = f->env->ops->monotonic_us(f->env);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    us = f->env->ops->monotonic_us(f->env) - start;
    /* 1600 entries of 110 bytes and more, read and written: 3 of 64 KiB. */
    assert_true(us >= 3 * 62500);
    db_fixture_assert_filled(f, 0, 800);
}

/* Closing does not wait for a compaction that is held back for hours. */
static void closing_does_not_wait_for_the_rate(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    f->options.compaction_rate_bytes = 1;
    f->options.l0_compaction_trigger = 2;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 2; i++) {
        db_fixture_fill(f, 0, 800);
        db_fixture_flush(f);
    }
    do
        ldb_stats(f->db, &stats);
    while (stats.running_compactions == 0);
    db_fixture_close(f);
    f->options.compaction_rate_bytes = 0;
    db_fixture_open(f);
    db_fixture_assert_filled(f, 0, 800);
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
        TEST(level_0_over_its_trigger_slows_writes_by_their_bytes),
        TEST(what_is_pending_slows_writes_too),
        TEST(a_driver_does_not_wait_while_writes_are_slowed),
        TEST(compaction_keeps_to_its_rate),
        TEST(closing_does_not_wait_for_the_rate),
        TEST(a_driver_leaves_sealing_to_the_committer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
