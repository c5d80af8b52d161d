/* A memtable becomes a level-0 table, and only then does its journal go. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static void a_flush_makes_one_table_of_all_entries(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    db_fixture_fill(f, 0, 50);
    (void)db_fixture_delete(f, "key000007");
    db_fixture_flush(f);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.flushes, 1);
    assert_int_equal(stats.levels[0].tables, 1);
    assert_int_equal(stats.immutable_memtables, 0);
    db_fixture_assert_filled(f, 0, 7);
    db_fixture_assert_value(f, "key000007", NULL);
    db_fixture_assert_filled(f, 8, 50);
    /* Nothing to do. */
    db_fixture_flush(f);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.flushes, 1);
}

/* The place of the line in the log that begins so, from a place on. */
static const char *find_line(const char *log, const char *text)
{
    const char *line = strstr(log, text);

    assert_non_null(line);
    return line;
}

/* docs/formats.md, rules 33 and 34. */
static void the_journal_goes_after_the_table_its_name_and_the_edit(void **state)
{
    struct db_fixture *f = *state;
    char *log;
    const char *at;

    db_fixture_fill(f, 0, 10);
    env_fault_start_log(f->fault);
    db_fixture_flush(f);
    db_fixture_close(f);
    log = env_fault_log(f->fault);
    at = find_line(log, "sync /db/000001.log");
    at = find_line(at, "open_writable /db/000002.log");
    at = find_line(at, "open_writable /db/000003.ldb");
    at = find_line(at, "sync /db/000003.ldb");
    at = find_line(at, "sync_dir /db");
    at = find_line(at, "append /db/MANIFEST-");
    at = find_line(at, "sync /db/MANIFEST-");
    (void)find_line(at, "remove_file /db/000001.log");
    free(log);
}

static void
a_flush_that_fails_keeps_the_journal_and_is_tried_again(void **state)
{
    static const struct row {
        enum env_fault_kind kind;
        const char *path;
    } rows[] = {
        {ENV_FAULT_OPEN_WRITABLE, ".ldb"}, {ENV_FAULT_APPEND, ".ldb"},
        {ENV_FAULT_SYNC, ".ldb"},          {ENV_FAULT_CLOSE, ".ldb"},
        {ENV_FAULT_OPEN_RANDOM, ".ldb"},   {ENV_FAULT_SYNC, "MANIFEST"},
        {ENV_FAULT_APPEND, "MANIFEST"},
    };
    struct db_fixture *f = *state;
    unsigned n = 0;

    /* A compaction would meet the failures too. */
    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    db_fixture_reopen(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        db_fixture_fill(f, n, n + 3);
        n += 3;
        db_fixture_fail(f, ENV_FAULT_BIT(rows[i].kind), rows[i].path, EIO);
        assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
        assert_true(db_fixture_count_files(f, LDB_FILE_JOURNAL) >= 2);
        db_fixture_assert_filled(f, 0, n);
        env_fault_fail(f->fault, NULL);
        /* The next one's sealing wakes the thread out of its pause. */
        db_fixture_fill(f, n, n + 1);
        n++;
        while (ldb_flush(f->db, &f->err) != LDB_OK)
            assert_ldb_status(LDB_IO, f->err.status, &f->err);
        /* The thread tidies up after the flush that was waited for. */
        while (ldb_health(f->db, NULL) != LDB_HEALTHY ||
               db_fixture_count_files(f, LDB_FILE_JOURNAL) > 1)
            sched_yield();
    }
    db_fixture_assert_filled(f, 0, n);
    db_fixture_reopen(f);
    db_fixture_assert_filled(f, 0, n);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_flush_makes_one_table_of_all_entries),
        TEST(the_journal_goes_after_the_table_its_name_and_the_edit),
        TEST(a_flush_that_fails_keeps_the_journal_and_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
