/* One sync of the folder serves every name that was there when it began. */
#include <errno.h>
#include <pthread.h>

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

/* A kernel tells of a lost write once: the next sync would say all is well. */
static void a_failed_sync_fails_its_names_for_good(void **state)
{
    struct db_fixture *f = *state;
    uint64_t durable = count_name(f);
    uint64_t lost;
    uint64_t next;
    uint64_t before;

    assert_ldb_ok(ldb_folder_names_sync(f->db, durable, &f->err), &f->err);
    lost = count_name(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR), "/db", EIO);
    assert_ldb_status(LDB_IO, ldb_folder_names_sync(f->db, lost, &f->err),
                      &f->err);
    env_fault_fail(f->fault, NULL);
    next = count_name(f);
    before = syncs(f);
    assert_ldb_status(LDB_IO, ldb_folder_names_sync(f->db, lost, &f->err),
                      &f->err);
    assert_string_not_equal(f->err.message, "");
    assert_int_equal(syncs(f), before);
    assert_ldb_ok(ldb_folder_names_sync(f->db, next, &f->err), &f->err);
    assert_int_equal(syncs(f), before + 1);
    assert_ldb_status(LDB_IO, ldb_folder_names_sync(f->db, lost, &f->err),
                      &f->err);
    assert_ldb_ok(ldb_folder_names_sync(f->db, durable, &f->err), &f->err);
    assert_int_equal(syncs(f), before + 1);
}

static void each_failure_fails_its_names(void **state)
{
    struct db_fixture *f = *state;
    uint64_t lost[2];

    for (unsigned i = 0; i < 2; i++) {
        lost[i] = count_name(f);
        db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR), "/db", EIO);
        assert_ldb_status(
            LDB_IO, ldb_folder_names_sync(f->db, lost[i], &f->err), &f->err);
        env_fault_fail(f->fault, NULL);
        assert_ldb_ok(ldb_folder_names_sync(f->db, count_name(f), &f->err),
                      &f->err);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_ldb_status(
            LDB_IO, ldb_folder_names_sync(f->db, lost[i], &f->err), &f->err);
}

/* What waited for the sync that failed does not try again. */
struct waiter {
    struct db_fixture *f;
    uint64_t name;
    pthread_t thread;
    bool started;
    enum ldb_status status;
};

static void *wait_for_name(void *context)
{
    struct waiter *waiter = context;

    waiter->status = ldb_folder_names_sync(waiter->f->db, waiter->name, NULL);
    return NULL;
}

static void start_waiter(void *context, enum env_fault_kind kind,
                         const char *path)
{
    struct waiter *waiter = context;

    (void)path;
    if (kind != ENV_FAULT_SYNC_DIR || waiter->started)
        return;
    waiter->started = true;
    assert_int_equal(
        pthread_create(&waiter->thread, NULL, wait_for_name, waiter), 0);
}

static void who_waits_for_a_sync_fails_with_it(void **state)
{
    struct db_fixture *f = *state;
    struct waiter waiter = {.f = f, .name = count_name(f)};

    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR), "/db", EIO);
    env_fault_set_call_hook(f->fault, start_waiter, &waiter);
    assert_ldb_status(
        LDB_IO, ldb_folder_names_sync(f->db, waiter.name, &f->err), &f->err);
    env_fault_fail(f->fault, NULL);
    assert_int_equal(pthread_join(waiter.thread, NULL), 0);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_int_equal(waiter.status, LDB_IO);
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
        TEST(a_failed_sync_fails_its_names_for_good),
        TEST(each_failure_fails_its_names),
        TEST(who_waits_for_a_sync_fails_with_it),
        TEST(a_name_that_comes_during_a_sync_needs_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
