/* One sync of the folder serves every name that was there when it began. */
#include <errno.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static uint64_t count_name(struct db_fixture *f)
{
    uint64_t name;

    ldb_mutex_lock(&f->db->mu);
    name = ldb_folder_names_count(f->db);
    ldb_mutex_unlock(&f->db->mu);
    return name;
}

static uint64_t syncs(struct db_fixture *f)
{
    return env_fault_count(f->fault, ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR));
}

static void a_sync_serves_all_names_before_it(void **state)
{
    struct db_fixture *f = *state;
    uint64_t first = count_name(f);
    uint64_t second = count_name(f);
    uint64_t before = syncs(f);
    uint64_t third;

    assert_ldb_ok(ldb_folder_names_sync(f->db, first, &f->err), &f->err);
    assert_int_equal(syncs(f), before + 1);
    assert_ldb_ok(ldb_folder_names_sync(f->db, second, &f->err), &f->err);
    assert_int_equal(syncs(f), before + 1);
    third = count_name(f);
    assert_ldb_ok(ldb_folder_names_sync(f->db, third, &f->err), &f->err);
    assert_int_equal(syncs(f), before + 2);
}

static void a_failed_sync_serves_none(void **state)
{
    struct db_fixture *f = *state;
    uint64_t name = count_name(f);
    uint64_t before;

    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR), "/db", EIO);
    assert_ldb_status(LDB_IO, ldb_folder_names_sync(f->db, name, &f->err),
                      &f->err);
    env_fault_fail(f->fault, NULL);
    before = syncs(f);
    assert_ldb_ok(ldb_folder_names_sync(f->db, name, &f->err), &f->err);
    assert_int_equal(syncs(f), before + 1);
}

/* A name made while the folder is being synced is not in that sync. */
struct late {
    struct db_fixture *f;
    uint64_t name;
};

static void count_late(void *context, enum env_fault_kind kind,
                       const char *path)
{
    struct late *late = context;

    (void)path;
    if (kind == ENV_FAULT_SYNC_DIR && late->name == 0)
        late->name = count_name(late->f);
}

static void a_name_that_comes_during_a_sync_needs_another(void **state)
{
    struct db_fixture *f = *state;
    struct late late = {.f = f};
    uint64_t name = count_name(f);
    uint64_t before = syncs(f);

    env_fault_set_call_hook(f->fault, count_late, &late);
    assert_ldb_ok(ldb_folder_names_sync(f->db, name, &f->err), &f->err);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_int_equal(late.name, name + 1);
    assert_int_equal(syncs(f), before + 1);
    assert_ldb_ok(ldb_folder_names_sync(f->db, late.name, &f->err), &f->err);
    assert_int_equal(syncs(f), before + 2);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_sync_serves_all_names_before_it),
        TEST(a_failed_sync_serves_none),
        TEST(a_name_that_comes_during_a_sync_needs_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
