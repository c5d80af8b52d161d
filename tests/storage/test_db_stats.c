/* Figures add up. */
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static void writes_and_their_bytes_are_counted(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    db_fixture_fill(f, 0, 10);
    (void)db_fixture_delete(f, "key000003");
    db_fixture_assert_filled(f, 0, 3);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.writes, 11);
    assert_int_equal(stats.operations, 11);
    assert_int_equal(stats.groups, 11);
    assert_int_equal(stats.gets, 3);
    assert_int_equal(stats.last_sequence, 11);
    assert_true(stats.user_bytes >= 10 * 109);
    assert_int_equal(stats.journal_written_bytes, stats.journal_bytes);
    assert_true(stats.memtable_bytes > stats.user_bytes);
    assert_int_equal(stats.levels[0].tables, 0);
    assert_int_equal(stats.queue_writes, 0);
    assert_false(stats.stopped);
}

static void flushes_and_compactions_move_the_levels_figures(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    db_fixture_fill(f, 0, 100);
    db_fixture_flush(f);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.flushes, 1);
    assert_int_equal(stats.levels[0].tables, 1);
    assert_int_equal(stats.levels[0].bytes, stats.flush_bytes);
    assert_int_equal(stats.levels[0].compaction_write_bytes, stats.flush_bytes);
    assert_true(stats.levels[0].score > 0.2 && stats.levels[0].score < 0.3);
    assert_true(stats.manifest_bytes > 0);
    db_fixture_fill(f, 50, 150);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.flushes, 2);
    assert_int_equal(stats.levels[0].tables, 0);
    assert_true(stats.compactions + stats.trivial_moves > 0);
    assert_true(stats.levels[1].tables + stats.levels[2].tables > 0);
}

static void open_snapshots_and_cursors_are_counted(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_snapshot *snapshot = NULL;
    struct ldb_cursor *cursor = NULL;
    struct ldb_stats stats;

    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshot), &f->err);
    assert_ldb_ok(ldb_cursor_open(f->db, NULL, &f->err, &cursor), &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.live_snapshots, 1);
    assert_int_equal(stats.live_cursors, 1);
    ldb_cursor_close(cursor);
    ldb_snapshot_release(snapshot);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.live_snapshots, 0);
    assert_int_equal(stats.live_cursors, 0);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_and_their_bytes_are_counted),
        TEST(flushes_and_compactions_move_the_levels_figures),
        TEST(open_snapshots_and_cursors_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
