/*
 * A snapshot stays as it was, whatever is written, flushed or compacted; a read
 * sees all that was written before it, whichever view it works on.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

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

/* ---- gets while views come and go ---- */

#define ROUNDS  200
#define READERS 3

struct freshness {
    struct ldb_db *db;
    _Atomic(int) written;  /* of the last put that returned */
    _Atomic(int) failures; /* of the readers */
};

/* The number that key has, or -1. */
static int number_of(struct ldb_db *db, const char *key)
{
    struct ldb_buf found = LDB_BUF_INIT(16);
    struct ldb_error err = {0};
    int number = -1;

    if (ldb_get(db, ldb_slice_str(key), NULL, &err, &found, NULL, NULL) ==
        LDB_OK) {
        number = 0;
        for (size_t i = 0; i < found.len; i++)
            number = 10 * number + found.data[i] - '0';
    }
    ldb_buf_release(&found);
    return number;
}

/* What was written before a get began must be in what it finds. */
static void *read_fresh(void *context)
{
    struct freshness *f = context;
    int written;

    do {
        written = atomic_load_explicit(&f->written, memory_order_acquire);
        if (number_of(f->db, "k") < written)
            atomic_fetch_add_explicit(&f->failures, 1, memory_order_relaxed);
    } while (written < ROUNDS);
    return NULL;
}

static void a_get_sees_every_write_before_it_on_any_view(void **state)
{
    struct db_fixture *f = *state;
    struct freshness shared = {.db = f->db};
    pthread_t readers[READERS];
    struct ldb_stats stats;
    char number[16];

    (void)db_fixture_put(f, "k", "0");
    for (int r = 0; r < READERS; r++)
        assert_int_equal(pthread_create(&readers[r], NULL, read_fresh, &shared),
                         0);
    for (int i = 1; i <= ROUNDS; i++) {
        /* Each flush shows two views: a new memtable, then the table. */
        db_fixture_flush(f);
        (void)snprintf(number, sizeof(number), "%d", i);
        (void)db_fixture_put(f, "k", number);
        assert_int_equal(number_of(f->db, "k"), i);
        atomic_store_explicit(&shared.written, i, memory_order_release);
    }
    for (int r = 0; r < READERS; r++)
        assert_int_equal(pthread_join(readers[r], NULL), 0);
    assert_int_equal(atomic_load(&shared.failures), 0);
    ldb_stats(f->db, &stats);
    assert_true(stats.gets > ROUNDS);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_sees_its_own_moment),
        TEST(a_snapshot_outlives_a_reopening_in_place),
        TEST(a_get_sees_every_write_before_it_on_any_view),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
