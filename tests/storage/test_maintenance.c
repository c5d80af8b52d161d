/* Flush, compaction on demand, sizes, destroy. */
#include <errno.h>

#include "storage/base/env.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/watcher.h"

static void flush_and_compact_are_refused_read_only(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    db_fixture_close(f);
    f->options.read_only = true;
    db_fixture_open(f);
    assert_ldb_status(LDB_READ_ONLY, ldb_flush(f->db, &f->err), &f->err);
    assert_ldb_status(LDB_READ_ONLY,
                      ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_ldb_status(LDB_READ_ONLY, ldb_reopen(f->db, NULL, &f->err), &f->err);
    db_fixture_assert_filled(f, 0, 10);
}

static void a_range_compaction_takes_what_overlaps_it(void **state)
{
    const struct ldb_slice begin = ldb_slice_str("key000000");
    const struct ldb_slice end = ldb_slice_str("key000005");
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 10);
    db_fixture_flush(f);
    db_fixture_fill(f, 50, 60);
    db_fixture_flush(f);
    assert_ldb_ok(ldb_compact_range(f->db, &begin, &end, &f->err), &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.levels[0].tables, 1);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.levels[0].tables, 0);
    db_fixture_assert_filled(f, 0, 10);
    db_fixture_assert_filled(f, 50, 60);
}

/* Three levels below each other, so that it takes more than one step. */
static void fill_levels(struct db_fixture *f)
{
    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    f->options.table_bytes = 4 << 10;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 3; i++) {
        db_fixture_fill(f, i * 100, i * 100 + 200);
        db_fixture_flush(f);
        assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    }
    db_fixture_fill(f, 100, 500);
    db_fixture_flush(f);
}

static void a_compaction_tells_how_far_it_is(void **state)
{
    struct db_fixture *f = *state;
    struct watcher watcher;

    fill_levels(f);
    watcher_init(&watcher, 0);
    assert_ldb_ok(
        ldb_compact_range_with(f->db, NULL, NULL, &watcher.progress, &f->err),
        &f->err);
    assert_true(watcher.looks > 0);
    assert_true(watcher.total > 0);
    db_fixture_assert_filled(f, 0, 500);
}

static void a_compaction_is_cancelled_and_can_be_repeated(void **state)
{
    struct db_fixture *f = *state;
    struct watcher watcher;

    fill_levels(f);
    /* So slow that it is not done before it is cancelled. */
    f->options.compaction_rate_bytes = 1;
    db_fixture_reopen(f);
    watcher_init(&watcher, 1);
    assert_ldb_status(
        LDB_CANCELLED,
        ldb_compact_range_with(f->db, NULL, NULL, &watcher.progress, &f->err),
        &f->err);
    db_fixture_assert_filled(f, 0, 500);
    f->options.compaction_rate_bytes = 0;
    db_fixture_reopen(f);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_assert_filled(f, 0, 500);
}

/* A merge that the rate would make last for hours ends at once. */
static void a_compaction_is_cancelled_in_the_middle_of_a_step(void **state)
{
    struct db_fixture *f = *state;
    struct watcher watcher;
    struct ldb_stats stats;

    f->options.compaction_rate_bytes = 1;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 2; i++) {
        db_fixture_fill(f, 0, 1000);
        db_fixture_flush(f);
    }
    watcher_init(&watcher, 3);
    assert_ldb_status(
        LDB_CANCELLED,
        ldb_compact_range_with(f->db, NULL, NULL, &watcher.progress, &f->err),
        &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.levels[0].tables, 2);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    db_fixture_assert_filled(f, 0, 1000);
}

static void sizes_grow_with_the_range(void **state)
{
    static const struct row {
        const char *start;
        const char *end;
        int permille_min;
        int permille_max;
    } rows[] = {
        {"a", "b", 0, 0},
        {"z", "zz", 0, 0},
        {"key000500", "key000100", 0, 0},
        {"a", "z", 950, 1000},
        {"key000000", "key000500", 400, 600},
        {"key000250", "key000500", 150, 350},
    };
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    f->options.compress = false;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 1000);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    ldb_stats(f->db, &stats);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t total = 0;
        uint64_t bytes = 0;

        for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
            total += stats.levels[level].bytes;
        assert_ldb_ok(ldb_approximate_size(f->db, ldb_slice_str(rows[i].start),
                                           ldb_slice_str(rows[i].end), &f->err,
                                           &bytes),
                      &f->err);
        assert_in_range(bytes * 1000 / total, rows[i].permille_min,
                        rows[i].permille_max);
    }
}

/* What an attempt before the call met is not the call's. */
static void a_flush_tells_of_its_own_attempts_alone(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned n = 0; n < 20; n++) {
        db_fixture_fill(f, n, n + 1);
        db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
        assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
        assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
        env_fault_fail(f->fault, NULL);
        assert_ldb_ok(ldb_flush(f->db, &f->err), &f->err);
    }
    db_fixture_assert_filled(f, 0, 20);
}

/* CURRENT goes last: until then the folder still is a database. */
static void a_destroy_that_fails_can_be_repeated(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    db_fixture_flush(f);
    assert_ldb_status(
        LDB_LOCKED, ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err), &f->err);
    db_fixture_close(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_REMOVE_FILE), "CURRENT", EIO);
    assert_ldb_status(LDB_IO, ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err),
                      &f->err);
    env_fault_fail(f->fault, NULL);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_CURRENT), 1);
    assert_ldb_ok(ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err), &f->err);
    f->options.create_if_missing = false;
    assert_true(ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err, &f->db) !=
                LDB_OK);
}

/* leveld/ holds who this node is, lost/ what repairs kept. */
static void destroy_leaves_the_folders_in_it(void **state)
{
    static const char *const folders[] = {DB_FIXTURE_DIR "/leveld",
                                          DB_FIXTURE_DIR "/lost"};
    static const char *const files[] = {"leveld/identity", "lost/000005.ldb",
                                        "notes.txt"};
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    db_fixture_close(f);
    for (size_t i = 0; i < 2; i++)
        assert_ldb_ok(f->env->ops->create_dir(f->env, folders[i], &f->err),
                      &f->err);
    for (size_t i = 0; i < 3; i++)
        db_fixture_write_file(f, files[i], ldb_slice_str("theirs"));
    assert_ldb_ok(ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err), &f->err);
    for (size_t i = 0; i < 3; i++) {
        struct ldb_buf bytes = LDB_BUF_INIT(64);

        db_fixture_read_file(f, files[i], &bytes);
        assert_true(
            ldb_slice_equal(ldb_slice_of_buf(&bytes), ldb_slice_str("theirs")));
        ldb_buf_release(&bytes);
    }
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err),
                      &f->err);
}

static void a_power_cut_brings_no_destroyed_file_back(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    db_fixture_flush(f);
    db_fixture_close(f);
    /* So that the folder stays. */
    db_fixture_write_file(f, "notes.txt", ldb_slice_str("theirs"));
    assert_ldb_ok(f->env->ops->sync_dir(f->env, DB_FIXTURE_DIR, &f->err),
                  &f->err);
    assert_ldb_ok(ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err), &f->err);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    f->env = env_fault_env(f->fault);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), 0);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_MANIFEST), 0);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_CURRENT), 0);
}

/* Another process has it open and writes until the lock is taken. */
static void write_before_the_lock(void *context, enum env_fault_kind kind,
                                  const char *path)
{
    struct db_fixture *f = context;

    (void)path;
    if (kind == ENV_FAULT_LOCK_FILE)
        db_fixture_write_file(f, "000777.ldb", ldb_slice_str("a table"));
}

static void what_came_before_the_lock_is_destroyed_too(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    db_fixture_close(f);
    db_fixture_write_file(f, "notes.txt", ldb_slice_str("theirs"));
    env_fault_set_call_hook(f->fault, write_before_the_lock, f);
    assert_ldb_ok(ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err), &f->err);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), 0);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(flush_and_compact_are_refused_read_only),
        TEST(a_range_compaction_takes_what_overlaps_it),
        TEST(a_compaction_tells_how_far_it_is),
        TEST(a_compaction_is_cancelled_and_can_be_repeated),
        TEST(a_compaction_is_cancelled_in_the_middle_of_a_step),
        TEST(sizes_grow_with_the_range),
        TEST(a_flush_tells_of_its_own_attempts_alone),
        TEST(a_destroy_that_fails_can_be_repeated),
        TEST(a_power_cut_brings_no_destroyed_file_back),
        TEST(what_came_before_the_lock_is_destroyed_too),
        TEST(destroy_leaves_the_folders_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
