/* Which conditions hold, of a key in a table, in the memtable, or nowhere. */
#include <errno.h>

#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

#define LISTED_MAX 3

/* "table" was written at 1, "memory" at 3, "gone" at 2 and deleted at 4. */
static const struct row {
    enum ldb_condition_kind kind;
    const char *key;
    ldb_sequence listed[LISTED_MAX]; /* up to a 0 */
    bool holds;
    ldb_sequence current; /* when it does not; 0: absent */
} rows[] = {
    {LDB_CONDITION_ABSENT, "nowhere", {0}, true, 0},
    {LDB_CONDITION_ABSENT, "gone", {0}, true, 0},
    {LDB_CONDITION_ABSENT, "table", {0}, false, 1},
    {LDB_CONDITION_ABSENT, "memory", {0}, false, 3},
    {LDB_CONDITION_PRESENT, "table", {0}, true, 0},
    {LDB_CONDITION_PRESENT, "memory", {0}, true, 0},
    {LDB_CONDITION_PRESENT, "gone", {0}, false, 0},
    {LDB_CONDITION_PRESENT, "nowhere", {0}, false, 0},
    {LDB_CONDITION_SEQUENCE_IN, "table", {1}, true, 0},
    {LDB_CONDITION_SEQUENCE_IN, "table", {7, 1}, true, 0},
    {LDB_CONDITION_SEQUENCE_IN, "table", {7, 8, 9}, false, 1},
    {LDB_CONDITION_SEQUENCE_IN, "table", {0}, false, 1},
    {LDB_CONDITION_SEQUENCE_IN, "gone", {2, 4}, false, 0},
    {LDB_CONDITION_SEQUENCE_IN, "nowhere", {1}, false, 0},
    {LDB_CONDITION_SEQUENCE_NOT_IN, "memory", {1, 2}, true, 0},
    {LDB_CONDITION_SEQUENCE_NOT_IN, "memory", {2, 3}, false, 3},
    {LDB_CONDITION_SEQUENCE_NOT_IN, "gone", {2, 4}, true, 0},
    {LDB_CONDITION_SEQUENCE_NOT_IN, "nowhere", {1}, true, 0},
};

static struct ldb_condition condition_of(const struct row *row)
{
    struct ldb_condition condition = {.kind = row->kind,
                                      .key = ldb_slice_str(row->key),
                                      .sequences = row->listed};

    while (condition.sequence_count < LISTED_MAX &&
           row->listed[condition.sequence_count] != 0)
        condition.sequence_count++;
    return condition;
}

static void make_entries(struct db_fixture *f)
{
    (void)db_fixture_put(f, "table", "v");
    (void)db_fixture_put(f, "gone", "v");
    db_fixture_flush(f);
    (void)db_fixture_put(f, "memory", "v");
    (void)db_fixture_delete(f, "gone");
}

/* The second of two conditions, the first of which holds. */
static void conditions_hold_as_their_kind_says(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_batch *batch = NULL;

    make_entries(f);
    assert_ldb_ok(ldb_batch_create(1000, &f->err, &batch), &f->err);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ldb_condition conditions[] = {
            {.kind = LDB_CONDITION_PRESENT, .key = ldb_slice_str("table")},
            condition_of(&rows[i])};
        struct ldb_write write = {
            .batch = batch, .conditions = conditions, .condition_count = 2};

        assert_ldb_status(rows[i].holds ? LDB_OK : LDB_PRECONDITION,
                          ldb_write_wait(f->db, &write), &write.error);
        if (rows[i].holds)
            continue;
        assert_string_not_equal(write.error.message, "");
        assert_int_equal(write.failed_condition, 1);
        assert_int_equal(write.current_exists, rows[i].current != 0);
        assert_int_equal(write.current, rows[i].current);
    }
    ldb_batch_destroy(batch);
}

static void a_condition_that_cannot_be_read_is_an_error(void **state)
{
    const struct ldb_condition condition = {.kind = LDB_CONDITION_ABSENT,
                                            .key = ldb_slice_str("table")};
    struct db_fixture *f = *state;
    struct ldb_batch *batch = NULL;
    struct ldb_write write = {.conditions = &condition, .condition_count = 1};

    make_entries(f);
    db_fixture_reopen(f);
    assert_ldb_ok(ldb_batch_create(1000, &f->err, &batch), &f->err);
    assert_int_equal(
        ldb_batch_put(batch, ldb_slice_str("new"), ldb_slice_str("v")), LDB_OK);
    write.batch = batch;
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_READ_AT), ".ldb", EIO);
    assert_ldb_status(LDB_IO, ldb_write_wait(f->db, &write), &write.error);
    env_fault_fail(f->fault, NULL);
    db_fixture_assert_value(f, "new", NULL);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    ldb_batch_destroy(batch);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(conditions_hold_as_their_kind_says),
        TEST(a_condition_that_cannot_be_read_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
