/* What is deleted and what is not (docs/formats.md, rule 32). */
#include <stdio.h>

#include "storage/base/env.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static bool is_there(struct db_fixture *f, const char *name)
{
    char path[64];
    uint64_t size;

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%s", name);
    return f->env->ops->file_size(f->env, path, NULL, &size) == LDB_OK;
}

static void opening_sweeps_dead_files_and_nothing_foreign(void **state)
{
    static const struct row {
        const char *name;
        bool stays;
    } rows[] = {
        {"000777.ldb", false},      {"000778.sst", false},
        {"000779.tmp", false},      {"000780.dbtmp", false},
        {"notes.txt", true},        {"777.ldb", true},
        {"000777.ldb2", true},      {"MANIFEST-x", true},
        {"CURRENT.old", true},      {"LOCK", true},
        {"CURRENT", true},          {"LOG", true},
        {"MANIFEST-000700", false},
    };
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 20);
    db_fixture_flush(f);
    db_fixture_fill(f, 20, 30);
    db_fixture_close(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!is_there(f, rows[i].name))
            db_fixture_write_file(f, rows[i].name, ldb_slice_str("?"));
    db_fixture_open(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (is_there(f, rows[i].name) != rows[i].stays)
            fail_msg("%s", rows[i].name);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), 2);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_MANIFEST), 1);
    db_fixture_assert_filled(f, 0, 30);
}

static void a_table_goes_when_its_last_reader_does(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_snapshot *snapshot = NULL;

    db_fixture_fill(f, 0, 20);
    db_fixture_flush(f);
    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshot), &f->err);
    db_fixture_fill(f, 0, 20);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    /* The snapshot's one, and what the compaction made of both. */
    assert_true(db_fixture_count_files(f, LDB_FILE_TABLE) >= 2);
    ldb_snapshot_release(snapshot);
    db_fixture_close(f);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), 1);
    db_fixture_open(f);
    db_fixture_assert_filled(f, 0, 20);
}

static void what_cannot_be_removed_now_is_swept_at_the_next_open(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 20);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_REMOVE_FILE), NULL, 5);
    db_fixture_flush(f);
    db_fixture_close(f);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 2);
    env_fault_fail(f->fault, NULL);
    db_fixture_open(f);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    db_fixture_assert_filled(f, 0, 20);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(opening_sweeps_dead_files_and_nothing_foreign),
        TEST(a_table_goes_when_its_last_reader_does),
        TEST(what_cannot_be_removed_now_is_swept_at_the_next_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
