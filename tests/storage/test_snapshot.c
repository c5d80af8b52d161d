/* A snapshot stays as it was, whatever is written, flushed or compacted. */
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static void assert_at(struct db_fixture *f, const struct ldb_snapshot *snapshot,
                      const char *key, const char *value)
{
    const struct ldb_read_options options = {.snapshot = snapshot};
    struct ldb_buf found = LDB_BUF_INIT(1000);
    ldb_sequence seen = 0;
    enum ldb_status s = ldb_get(f->db, ldb_slice_str(key), &options, &f->err,
                                &found, NULL, &seen);

    assert_int_equal(seen, ldb_snapshot_sequence(snapshot));
    if (value == NULL) {
        assert_ldb_status(LDB_NOT_FOUND, s, &f->err);
    } else {
        assert_ldb_ok(s, &f->err);
        assert_ldb_slice(ldb_slice_str(value), ldb_slice_of_buf(&found));
    }
    ldb_buf_release(&found);
}

static void a_snapshot_sees_its_own_moment(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_snapshot *snapshots[3] = {0};
    struct ldb_stats stats;

    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshots[0]), &f->err);
    (void)db_fixture_put(f, "k", "1");
    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshots[1]), &f->err);
    (void)db_fixture_put(f, "k", "2");
    db_fixture_flush(f);
    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshots[2]), &f->err);
    (void)db_fixture_delete(f, "k");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(ldb_snapshot_sequence(snapshots[0]), 0);
        assert_at(f, snapshots[0], "k", NULL);
        assert_at(f, snapshots[1], "k", "1");
        assert_at(f, snapshots[2], "k", "2");
        db_fixture_assert_value(f, "k", NULL);
        assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    }
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.live_snapshots, 3);
    for (int i = 0; i < 3; i++)
        ldb_snapshot_release(snapshots[i]);
    ldb_snapshot_release(NULL);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.live_snapshots, 0);
}

static void a_snapshot_outlives_a_reopening_in_place(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_snapshot *snapshot = NULL;

    (void)db_fixture_put(f, "k", "1");
    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshot), &f->err);
    /* What was not synced is cut away. */
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    db_fixture_assert_value(f, "k", NULL);
    assert_at(f, snapshot, "k", "1");
    ldb_snapshot_release(snapshot);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_sees_its_own_moment),
        TEST(a_snapshot_outlives_a_reopening_in_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
