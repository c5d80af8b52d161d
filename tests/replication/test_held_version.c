/* A version that is held keeps its tables, by number. */
#include "replication/held_version.h"

#include <poll.h>

#include "storage/version/version.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/leader_fixture.h"
#include "tests/support/mem_fault.h"

static void an_empty_database_has_no_tables(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_held_version held = {0};
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    assert_ldb_ok(repl_held_version_take(f->db, &f->err, &held), &f->err);
    assert_int_equal(held.table_count, 0);
    assert_int_equal(held.manifest_number, stats.manifest_number);
    assert_int_equal(held.manifest_len, stats.manifest_bytes);
    assert_int_equal(held.log_number, leader_fixture_journal(f));
    assert_null(repl_held_version_find(&held, 1));
    repl_held_version_release(&held);
}

static void tables_stand_by_number_and_stay(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_held_version held = {0};
    uint64_t numbers[3];
    char name[LDB_FILE_NAME_SIZE];

    for (size_t i = 0; i < 3; i++)
        numbers[i] = leader_fixture_flush_one(f, "same key");
    assert_ldb_ok(repl_held_version_take(f->db, &f->err, &held), &f->err);
    assert_int_equal(held.table_count, 3);
    assert_int_equal(held.last_sequence, 3);
    leader_fixture_compact(f);
    for (size_t i = 0; i < 3; i++) {
        const struct repl_held_table *table =
            repl_held_version_find(&held, numbers[i]);

        assert_non_null(table);
        assert_true(table->size > 0);
        assert_int_equal(repl_version_find(held.version, numbers[i])->size,
                         table->size);
        assert_int_equal(held.tables[i].number, numbers[i]);
        ldb_file_name_print(name, LDB_FILE_TABLE, numbers[i]);
        assert_true(leader_fixture_has_file(f, name));
    }
    assert_null(repl_held_version_find(&held, numbers[2] + 1));
    assert_null(repl_version_find(held.version, numbers[2] + 1));
    (void)poll(NULL, 0, 50); /* whom the compaction woke rests again */
    repl_held_version_release(&held);
    repl_held_version_release(&held);
    /* Nothing else has to happen for them to go; a minute would be long. */
    for (unsigned i = 0; i < 60000 && leader_fixture_has_file(f, name); i++)
        (void)poll(NULL, 0, 1);
    assert_false(leader_fixture_has_file(f, name));
}

static void each_allocation_may_fail(void **state)
{
    struct leader_fixture *f = *state;

    (void)leader_fixture_flush_one(f, "a");
    for (uint64_t n = 1;; n++) {
        struct repl_held_version held = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_held_version_take(f->db, &f->err, &held);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            repl_held_version_release(&held);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        assert_null(held.version);
    }
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, leader_fixture_setup,                \
                                    leader_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_database_has_no_tables),
        TEST(tables_stand_by_number_and_stay),
        TEST(each_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("held_version", tests, NULL, NULL);
}
