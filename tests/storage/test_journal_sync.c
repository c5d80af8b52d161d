/*
 * The journal is synced while it is written, so that sealing has little to wait
 * for; and a failure of that stops writes as any other failed sync.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

/* A write of 64 KiB that asks for no sync. */
static enum ldb_status put_big(struct db_fixture *f, unsigned n)
{
    static const uint8_t value[64 << 10];
    char key[16];

    (void)snprintf(key, sizeof(key), "big%06u", n);
    return ldb_put(f->db, ldb_slice_str(key),
                   ldb_slice_make(value, sizeof(value)), false, &f->err, NULL);
}

static void reopen(struct db_fixture *f, size_t write_buffer_bytes)
{
    f->options.write_buffer_bytes = write_buffer_bytes;
    db_fixture_reopen(f);
}

static void what_nobody_synced_gets_durable_as_more_is_written(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats = {0};

    reopen(f, 64 << 20);
    for (unsigned n = 0; n < 15; n++)
        assert_ldb_ok(put_big(f, n), &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.journal_synced_bytes, 0);
    assert_int_equal(stats.syncs, 0);
    for (unsigned n = 15; n < 32; n++)
        assert_ldb_ok(put_big(f, n), &f->err);
    /* A sync is counted a moment after its bytes are. */
    while (stats.journal_synced_bytes == 0 || stats.syncs == 0) {
        sched_yield();
        ldb_stats(f->db, &stats);
    }
    assert_true(stats.journal_synced_bytes >= 1 << 20);
    assert_int_equal(stats.flushes, 0);
}

/* The seal adds what the early syncs left; its name is durable too. */
static void what_was_sealed_is_durable(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;
    struct ldb_buf value = LDB_BUF_INIT(SIZE_MAX);
    char key[16];
    unsigned count = 0;
    uint64_t number;

    reopen(f, 9 << 19); /* four early syncs and a half */
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
    ldb_stats(f->db, &stats);
    for (number = stats.journal_number; stats.journal_number == number;) {
        assert_ldb_ok(put_big(f, count++), &f->err);
        do { /* so that the last few are left to the seal */
            sched_yield();
            ldb_stats(f->db, &stats);
        } while (stats.journal_bytes - stats.journal_synced_bytes >= 1 << 20);
    }
    env_fault_fail(f->fault, NULL);
    db_fixture_power_cut(f);
    /* The last one opened the new journal. */
    for (unsigned n = 0; n < count - 1; n++) {
        (void)snprintf(key, sizeof(key), "big%06u", n);
        ldb_buf_clear(&value);
        assert_ldb_ok(ldb_get(f->db, ldb_slice_str(key), NULL, &f->err, &value,
                              NULL, NULL),
                      &f->err);
    }
    assert_int_equal(ldb_last_sequence(f->db), count - 1);
    ldb_buf_release(&value);
}

static void a_failed_early_sync_stops_writes_until_reopen(void **state)
{
    struct db_fixture *f = *state;
    enum ldb_status s = LDB_OK;

    reopen(f, 64 << 20);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("kept"),
                          true, &f->err, NULL),
                  &f->err);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    for (unsigned n = 0; s == LDB_OK && n < 1000; n++)
        s = put_big(f, n);
    /* A group that was under way does not know; the next ones are refused. */
    if (s == LDB_OUTCOME_UNKNOWN)
        s = put_big(f, 0);
    assert_ldb_status(LDB_READ_ONLY, s, &f->err);
    assert_ldb_message("writes have stopped", &f->err);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTH_SYNC_FAILED);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    db_fixture_assert_value(f, "k", "kept");
    db_fixture_put(f, "k", "new");
    db_fixture_assert_value(f, "k", "new");
}

/* Without order between the two a cut journal could be synced as it was. */
static void a_torn_append_is_cut_beside_early_syncs(void **state)
{
    struct db_fixture *f = *state;

    reopen(f, 64 << 20);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned n = 0; n < 17; n++)
            assert_ldb_ok(put_big(f, n), &f->err);
        env_fault_fail(f->fault, &(struct env_fault_rule){
                                     .kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                     .path = ".log",
                                     .nth = 1,
                                     .sys_errno = EIO,
                                     .torn = true});
        assert_int_equal(put_big(f, 99), LDB_IO);
        env_fault_fail(f->fault, NULL);
    }
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    db_fixture_reopen(f);
    assert_int_equal(f->recovery.bytes_dropped, 0);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_nobody_synced_gets_durable_as_more_is_written),
        TEST(what_was_sealed_is_durable),
        TEST(a_failed_early_sync_stops_writes_until_reopen),
        TEST(a_torn_append_is_cut_beside_early_syncs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
