/* Disk space comes back by itself: what is deleted goes, and then all rests. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

#define KEYS 2000

/* Until marks have grown old on every level, and some more. */
#define FLUSHES_MAX 2000

/* Far more than the scenes here take. */
#define COMPACTIONS_MAX 1000

/* Nothing runs, nothing is to be learned, nothing would be picked. */
static bool is_idle(struct db_fixture *f) LDB_REQUIRES(f->db->mu)
{
    struct ldb_db *db = f->db;
    struct ldb_version *version = ldb_version_set_current(db->versions);
    const struct ldb_slice pointers[LDB_LEVEL_COUNT] = {{0}};
    struct ldb_mark_search search = {0};
    struct ldb_compaction *c = NULL;
    bool is_idle;

    if (db->compacting_count > 0)
        return false;
    assert_ldb_ok(ldb_compaction_pick(version, &db->limits, pointers, 1, NULL,
                                      &f->err, &c),
                  &f->err);
    do {
        if (c == NULL)
            assert_ldb_ok(ldb_compaction_pick_marks(version, &db->limits, NULL,
                                                    &search, &f->err, &c),
                          &f->err);
    } while (c == NULL && search.has_more);
    is_idle = c == NULL && search.unknown == NULL;
    ldb_compaction_destroy(c);
    return is_idle;
}

/* The clock goes by hand from here on. */
static void stop_clock(struct db_fixture *f, uint64_t ahead_us)
{
    env_fault_set_clock(f->fault, f->env->ops->monotonic_us(f->env) + ahead_us);
}

/* No flush has come for long: marks are compacted. */
static void rest(struct db_fixture *f)
{
    stop_clock(f, UINT64_C(3600) * 1000000);
    ldb_mutex_lock(&f->db->mu);
    ldb_cond_broadcast(&f->db->work);
    ldb_mutex_unlock(&f->db->mu);
}

/* Writes rest, and all that is then due is done. */
static void settle(struct db_fixture *f)
{
    struct ldb_stats stats;
    bool is_done;

    rest(f);
    do {
        sched_yield();
        ldb_stats(f->db, &stats);
        assert_true(stats.compactions + stats.trivial_moves < COMPACTIONS_MAX);
        ldb_mutex_lock(&f->db->mu);
        is_done = is_idle(f);
        ldb_mutex_unlock(&f->db->mu);
    } while (!is_done);
}

static uint64_t table_bytes(struct db_fixture *f)
{
    struct ldb_stats stats;
    uint64_t bytes = 0;

    ldb_stats(f->db, &stats);
    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
        bytes += stats.levels[level].bytes;
    return bytes;
}

static void delete_range(struct db_fixture *f, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", n);
        (void)db_fixture_delete(f, key);
    }
}

/* Tables of several levels, small ones. */
static void build(struct db_fixture *f)
{
    f->options.compress = false;
    f->options.table_bytes = 8 << 10;
    f->options.level1_bytes = 32 << 10;
    f->options.level_multiplier = 4;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, KEYS);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_fill(f, 0, KEYS / 4);
    db_fixture_flush(f);
    settle(f);
    assert_true(table_bytes(f) > (uint64_t)KEYS * 100);
}

/* Compactions are held back from here to the next open. */
static void halt(struct db_fixture *f, bool is_halted)
{
    ldb_mutex_lock(&f->db->mu);
    f->db->compaction_halted = is_halted;
    ldb_mutex_unlock(&f->db->mu);
}

static void what_is_deleted_goes_by_itself(void **state)
{
    struct db_fixture *f = *state;

    build(f);
    delete_range(f, 0, KEYS);
    db_fixture_flush(f);
    settle(f);
    assert_int_equal(table_bytes(f), 0);
    /* The flush thread may be the one that removes them. */
    while (db_fixture_count_files(f, LDB_FILE_TABLE) > 0)
        sched_yield();
    db_fixture_assert_value(f, "key000050", NULL);
}

static void marks_cost_nothing_before_writes_rest(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats before;
    struct ldb_stats after;

    f->options.compaction_threads = 1;
    f->options.write_buffer_bytes = 16 << 20;
    build(f);
    ldb_stats(f->db, &before);
    stop_clock(f, 0);
    delete_range(f, 0, KEYS);
    db_fixture_flush(f);
    assert_true(db_fixture_has_nothing_to_compact(f));
    ldb_stats(f->db, &after);
    assert_int_equal(after.compactions, before.compactions);
    assert_true(table_bytes(f) > (uint64_t)KEYS * 100);
    settle(f);
    assert_int_equal(table_bytes(f), 0);
}

/* A thread waits for that time, not for a call. */
static void marks_go_when_the_time_has_come(void **state)
{
    struct db_fixture *f = *state;

    f->options.write_buffer_bytes = 16 << 20;
    build(f);
    delete_range(f, 0, KEYS);
    stop_clock(f, 0);
    db_fixture_flush(f);
    stop_clock(f, LDB_MARKS_REST_US - 1);
    assert_true(db_fixture_has_nothing_to_compact(f));
    assert_true(table_bytes(f) > (uint64_t)KEYS * 100);
    stop_clock(f, 1);
    while (table_bytes(f) > 0)
        sched_yield();
}

/* Where other writes never rest the marks grow old among them. */
static void marks_go_under_writes_that_never_rest(void **state)
{
    struct db_fixture *f = *state;
    unsigned flushes = 0;

    f->options.compaction_threads = 1;
    f->options.write_buffer_bytes = 16 << 20;
    build(f);
    stop_clock(f, 0);
    delete_range(f, 0, KEYS);
    db_fixture_flush(f);
    while (table_bytes(f) > (uint64_t)KEYS * 20 && flushes < FLUSHES_MAX) {
        (void)db_fixture_put(f, "later", "x");
        db_fixture_flush(f);
        while (!db_fixture_has_nothing_to_compact(f))
            sched_yield();
        flushes++;
    }
    assert_true(flushes > 10);
    assert_true(table_bytes(f) <= (uint64_t)KEYS * 20);
}

/* The journal of deletes becomes a table at open. */
static void marks_of_a_journal_go_after_open(void **state)
{
    struct db_fixture *f = *state;

    f->options.write_buffer_bytes = 16 << 20;
    build(f);
    delete_range(f, 0, KEYS);
    assert_true(table_bytes(f) > (uint64_t)KEYS * 100);
    db_fixture_reopen(f);
    settle(f);
    assert_int_equal(table_bytes(f), 0);
}

/* Nobody remembers what a table holds that was written before. */
static void tables_found_at_open_shrink_too(void **state)
{
    struct db_fixture *f = *state;

    build(f);
    halt(f, true);
    delete_range(f, 0, KEYS);
    db_fixture_flush(f);
    assert_true(table_bytes(f) > (uint64_t)KEYS * 100);
    db_fixture_reopen(f);
    settle(f);
    assert_int_equal(table_bytes(f), 0);
}

/* Marks where others live go as well, those neighbours stay. */
static void the_deleted_half_goes_and_the_other_stays(void **state)
{
    struct db_fixture *f = *state;
    uint64_t before;

    build(f);
    before = table_bytes(f);
    delete_range(f, KEYS / 4, KEYS * 3 / 4);
    db_fixture_flush(f);
    settle(f);
    assert_true(table_bytes(f) < before * 6 / 10);
    db_fixture_assert_filled(f, 0, KEYS / 4);
    db_fixture_assert_filled(f, KEYS * 3 / 4, KEYS);
    db_fixture_assert_value(f, "key001000", NULL);
}

/* A snapshot keeps files, not marks: it makes nothing go round in circles. */
static void a_snapshot_reads_on_while_all_settles(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_read_options read = {0};
    struct ldb_snapshot *snapshot = NULL;
    struct ldb_buf value = LDB_BUF_INIT(1000);

    build(f);
    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshot), &f->err);
    read.snapshot = snapshot;
    delete_range(f, 0, KEYS);
    db_fixture_flush(f);
    settle(f);
    assert_int_equal(table_bytes(f), 0);
    assert_true(db_fixture_count_files(f, LDB_FILE_TABLE) > 0);
    assert_ldb_ok(ldb_get(f->db, ldb_slice_str("key000050"), &read, &f->err,
                          &value, NULL, NULL),
                  &f->err);
    ldb_buf_release(&value);
    ldb_snapshot_release(snapshot);
}

/* Marks that hide little are left to the usual compactions. */
static void a_few_marks_over_many_entries_stay(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats before;
    struct ldb_stats after;

    build(f);
    ldb_stats(f->db, &before);
    for (unsigned n = 0; n < KEYS; n += 100)
        delete_range(f, n, n + 1);
    db_fixture_flush(f);
    settle(f);
    ldb_stats(f->db, &after);
    assert_int_equal(after.compactions, before.compactions);
}

/* Loads that alternate come to rest every time. */
static void it_settles_after_every_mixed_load(void **state)
{
    struct db_fixture *f = *state;

    build(f);
    for (unsigned round = 0; round < 6; round++) {
        unsigned from = round * 173 % KEYS;
        unsigned to = from + 700 < KEYS ? from + 700 : KEYS;

        delete_range(f, from, to);
        db_fixture_fill(f, from + (to - from) / 2, to);
        db_fixture_flush(f);
        if (round % 2 == 1)
            db_fixture_reopen(f);
        settle(f);
        db_fixture_assert_filled(f, from + (to - from) / 2, to);
    }
}

/* What cannot be read is asked once and left alone. */
static void a_table_that_cannot_be_read_is_left_alone(void **state)
{
    struct db_fixture *f = *state;

    build(f);
    halt(f, true);
    delete_range(f, 0, KEYS);
    db_fixture_flush(f);
    db_fixture_close(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_READ_AT), ".ldb", EIO);
    db_fixture_open(f);
    settle(f);
    assert_true(table_bytes(f) > (uint64_t)KEYS * 100);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    env_fault_fail(f->fault, NULL);
    db_fixture_reopen(f);
    settle(f);
    assert_int_equal(table_bytes(f), 0);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_deleted_goes_by_itself),
        TEST(marks_cost_nothing_before_writes_rest),
        TEST(marks_go_when_the_time_has_come),
        TEST(marks_go_under_writes_that_never_rest),
        TEST(marks_of_a_journal_go_after_open),
        TEST(tables_found_at_open_shrink_too),
        TEST(the_deleted_half_goes_and_the_other_stays),
        TEST(a_snapshot_reads_on_while_all_settles),
        TEST(a_few_marks_over_many_entries_stay),
        TEST(it_settles_after_every_mixed_load),
        TEST(a_table_that_cannot_be_read_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
