/* Threads that start, fail, rest and stop. */
#include <errno.h>

#include "storage/db_internal.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static void a_thread_that_cannot_start_fails_the_open(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    db_fixture_close(f);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        env_fault_fail(f->fault,
                       &(struct env_fault_rule){
                           .kinds = ENV_FAULT_BIT(ENV_FAULT_THREAD_START),
                           .nth = nth,
                           .sys_errno = EAGAIN});
        f->err = (struct ldb_error){0};
        assert_true(ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err,
                             &f->db) != LDB_OK);
        assert_string_not_equal(f->err.message, "");
    }
    env_fault_fail(f->fault, NULL);
    db_fixture_open(f);
    db_fixture_assert_filled(f, 0, 10);
}

static void failing_work_is_told_by_health_until_it_succeeds(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
    assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
    f->err = (struct ldb_error){0};
    assert_int_equal(ldb_health(f->db, &f->err), LDB_HEALTH_BACKGROUND);
    assert_ldb_message(".ldb", &f->err);
    env_fault_fail(f->fault, NULL);
    db_fixture_fill(f, 10, 11);
    while (ldb_flush(f->db, &f->err) != LDB_OK)
        assert_ldb_status(LDB_IO, f->err.status, &f->err);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
}

/* A pause between tries does not hold up a close. */
static void closing_in_a_pause_between_tries_loses_nothing(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned n = 0; n < 10; n++) {
        db_fixture_fill(f, n, n + 1);
        db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
        assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
        db_fixture_close(f);
        env_fault_fail(f->fault, NULL);
        db_fixture_open(f);
        db_fixture_assert_filled(f, 0, n + 1);
    }
}

static void failed_work_waits_unless_told_otherwise(void **state)
{
    const struct ldb_error why = {.status = LDB_IO, .message = "none"};
    struct db_fixture *f = *state;

    for (int round = 0; round < 2; round++) {
        struct ldb_db *db;

        f->options.no_compaction_backoff = round == 1;
        db_fixture_reopen(f);
        db = f->db;
        ldb_mutex_lock(&db->mu);
        for (int i = 0; i < 5; i++)
            ldb_background_failed(db, LDB_WORK_COMPACTION, &why);
        assert_int_equal(ldb_background_may_try(db, LDB_WORK_COMPACTION),
                         round == 1);
        ldb_background_recovered(db, LDB_WORK_COMPACTION);
        ldb_mutex_unlock(&db->mu);
    }
}

static void count_done(struct ldb_write *write)
{
    unsigned *done = write->context;

    (*done)++;
}

static void closing_completes_what_was_submitted(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_batch *batches[8];
    struct ldb_write writes[8];
    unsigned done = 0;

    for (int i = 0; i < 8; i++) {
        char key[2] = {(char)('a' + i), '\0'};

        assert_ldb_ok(ldb_batch_create(1000, &f->err, &batches[i]), &f->err);
        assert_int_equal(
            ldb_batch_put(batches[i], ldb_slice_str(key), ldb_slice_str("v")),
            LDB_OK);
        writes[i] = (struct ldb_write){.batch = batches[i],
                                       .sync = i % 2 == 0,
                                       .done = count_done,
                                       .context = &done};
        assert_ldb_ok(ldb_write_submit(f->db, &writes[i], &f->err), &f->err);
    }
    db_fixture_close(f);
    assert_int_equal(done, 8);
    db_fixture_open(f);
    for (int i = 0; i < 8; i++) {
        char key[2] = {(char)('a' + i), '\0'};

        assert_ldb_ok(writes[i].status, &writes[i].error);
        db_fixture_assert_value(f, key, "v");
        ldb_batch_destroy(batches[i]);
    }
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_thread_that_cannot_start_fails_the_open),
        TEST(failing_work_is_told_by_health_until_it_succeeds),
        TEST(closing_in_a_pause_between_tries_loses_nothing),
        TEST(failed_work_waits_unless_told_otherwise),
        TEST(closing_completes_what_was_submitted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
