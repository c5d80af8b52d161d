/*
 * One group: what a failing append or sync leaves, and that no number is given
 * twice.
 */
#include <errno.h>

#include "storage/db_internal.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static enum ldb_status put(struct db_fixture *f, const char *key, bool sync,
                           ldb_sequence *out)
{
    f->err = (struct ldb_error){0};
    return ldb_put(f->db, ldb_slice_str(key), ldb_slice_str("v"), sync, &f->err,
                   out);
}

static void one_sync_makes_all_before_it_durable(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    for (int i = 0; i < 5; i++)
        assert_ldb_ok(put(f, "a", false, NULL), &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.syncs, 0);
    assert_int_equal(stats.journal_synced_bytes, 0);
    assert_ldb_ok(put(f, "b", true, NULL), &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.syncs, 1);
    assert_int_equal(stats.journal_synced_bytes, stats.journal_bytes);
    db_fixture_power_cut(f);
    db_fixture_assert_value(f, "a", "v");
    db_fixture_assert_value(f, "b", "v");
}

/* The journal is cut, its rest is sealed, and writing goes on in another. */
static void
a_failed_append_leaves_nothing_and_its_numbers_are_not_reused(void **state)
{
    static const bool torn[] = {false, true};
    struct db_fixture *f = *state;
    ldb_sequence sequence = 0;
    struct ldb_stats before;
    struct ldb_stats after;

    for (size_t i = 0; i < 2; i++) {
        ldb_sequence next = 0;

        assert_ldb_ok(put(f, "before", false, &sequence), &f->err);
        ldb_stats(f->db, &before);
        env_fault_fail(f->fault, &(struct env_fault_rule){
                                     .kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                     .path = ".log",
                                     .nth = 1,
                                     .sys_errno = EIO,
                                     .torn = torn[i]});
        assert_ldb_status(LDB_IO, put(f, "failed", false, NULL), &f->err);
        env_fault_fail(f->fault, NULL);
        db_fixture_assert_value(f, "failed", NULL);
        assert_int_equal(ldb_last_sequence(f->db), sequence);
        assert_ldb_ok(put(f, "after", false, &next), &f->err);
        assert_true(next > sequence + 1);
        ldb_stats(f->db, &after);
        assert_true(after.journal_number > before.journal_number);
        assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    }
    db_fixture_reopen(f);
    db_fixture_assert_value(f, "before", "v");
    db_fixture_assert_value(f, "failed", NULL);
    db_fixture_assert_value(f, "after", "v");
    assert_int_equal(f->recovery.bytes_dropped, 0);
    assert_int_equal(f->recovery.tail_bytes, 0);
}

static void a_journal_that_cannot_be_cut_stops_writes(void **state)
{
    struct db_fixture *f = *state;

    assert_ldb_ok(put(f, "before", true, NULL), &f->err);
    db_fixture_fail(
        f, ENV_FAULT_BIT(ENV_FAULT_APPEND) | ENV_FAULT_BIT(ENV_FAULT_TRUNCATE),
        ".log", EIO);
    assert_ldb_status(LDB_OUTCOME_UNKNOWN, put(f, "x", false, NULL), &f->err);
    assert_int_equal(ldb_health(f->db, &f->err), LDB_HEALTH_WRITE_FAILED);
    assert_string_not_equal(f->err.message, "");
    env_fault_fail(f->fault, NULL);
    assert_ldb_status(LDB_READ_ONLY, put(f, "y", false, NULL), &f->err);
    db_fixture_assert_value(f, "before", "v");
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_ldb_ok(put(f, "y", false, NULL), &f->err);
    db_fixture_assert_value(f, "before", "v");
    db_fixture_assert_value(f, "x", NULL);
}

/* Another process that opens the folder as it is, dead pages and all. */
static ldb_sequence last_after_death(struct db_fixture *f)
{
    struct db_fixture copy = {
        .fault = env_fault_after_cut(f->fault, LDB_CRASH_KEEP_ALL, 0),
        .options = f->options};
    ldb_sequence last;

    copy.env = env_fault_env(copy.fault);
    copy.options.env = copy.env;
    db_fixture_open(&copy);
    last = ldb_last_sequence(copy.db);
    db_fixture_close(&copy);
    env_fault_destroy(copy.fault);
    return last;
}

static void what_was_not_synced_can_be_cut_off_first(void **state)
{
    struct db_fixture *f = *state;
    ldb_sequence last = 7;

    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      ldb_cut_unsynced(f->db, &f->err, &last), &f->err);
    assert_int_equal(last, 7);
    assert_ldb_ok(put(f, "before", true, NULL), &f->err);
    assert_ldb_ok(put(f, "seen", false, NULL), &f->err);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_ldb_status(LDB_OUTCOME_UNKNOWN, put(f, "x", true, NULL), &f->err);
    env_fault_fail(f->fault, NULL);
    assert_int_equal(last_after_death(f), 3);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_TRUNCATE), ".log", EIO);
    assert_ldb_status(LDB_IO, ldb_cut_unsynced(f->db, &f->err, &last), &f->err);
    env_fault_fail(f->fault, NULL);
    for (int again = 0; again < 2; again++) {
        assert_ldb_ok(ldb_cut_unsynced(f->db, &f->err, &last), &f->err);
        assert_int_equal(last, 1);
        assert_int_equal(last_after_death(f), last);
    }
    assert_ldb_status(LDB_READ_ONLY, put(f, "y", false, NULL), &f->err);
    db_fixture_assert_value(f, "seen", "v");
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    db_fixture_assert_value(f, "seen", NULL);
    db_fixture_assert_value(f, "before", "v");
}

/* A journal that could not be cut can be synced still: not once it was. */
static void what_was_cut_off_is_not_synced(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_position durable;
    ldb_sequence last = 0;
    bool is_held;

    assert_ldb_ok(put(f, "before", true, NULL), &f->err);
    assert_ldb_ok(put(f, "seen", false, NULL), &f->err);
    db_fixture_fail(
        f, ENV_FAULT_BIT(ENV_FAULT_APPEND) | ENV_FAULT_BIT(ENV_FAULT_TRUNCATE),
        ".log", EIO);
    assert_ldb_status(LDB_OUTCOME_UNKNOWN, put(f, "x", false, NULL), &f->err);
    env_fault_fail(f->fault, NULL);
    assert_int_equal(ldb_health(f->db, &f->err), LDB_HEALTH_WRITE_FAILED);
    assert_ldb_ok(ldb_cut_unsynced(f->db, &f->err, &last), &f->err);
    ldb_sync_soon(f->db);
    ldb_mutex_lock(&f->db->mu);
    is_held = f->db->journal_is_held;
    ldb_mutex_unlock(&f->db->mu);
    assert_true(is_held);
    durable = ldb_durable_position(f->db);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_int_equal(durable.sequence, last);
    db_fixture_assert_value(f, "seen", NULL);
    db_fixture_assert_value(f, "before", "v");
}

/* In a journal without a write the last one is of those before. */
static void an_empty_journal_goes_on_from_the_one_before(void **state)
{
    struct db_fixture *f = *state;
    ldb_sequence last = 0;

    assert_ldb_ok(put(f, "before", true, NULL), &f->err);
    db_fixture_flush(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_ldb_status(LDB_OUTCOME_UNKNOWN, put(f, "x", true, NULL), &f->err);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_cut_unsynced(f->db, &f->err, &last), &f->err);
    assert_int_equal(last, 1);
    assert_int_equal(last_after_death(f), 1);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
}

/* Of a reopening: the first opens the journal to cut it, the second is the new
 * one. */
static void fail_nth_journal(struct db_fixture *f, uint64_t nth)
{
    const struct env_fault_rule rule = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE),
        .path = ".log",
        .nth = nth,
        .sys_errno = EIO};

    env_fault_fail(f->fault, &rule);
}

/* What the replay has flushed may be in a memtable still: nothing may follow it
 * there. */
static void a_failed_reopen_stops_writes(void **state)
{
    struct db_fixture *f = *state;

    assert_ldb_ok(put(f, "before", true, NULL), &f->err);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        fail_nth_journal(f, nth);
        assert_ldb_status(LDB_IO, ldb_reopen(f->db, NULL, &f->err), &f->err);
        assert_string_not_equal(f->err.message, "");
        assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTH_WRITE_FAILED);
        assert_ldb_status(LDB_READ_ONLY, put(f, "x", true, NULL), &f->err);
        assert_ldb_status(LDB_READ_ONLY, ldb_flush(f->db, &f->err), &f->err);
        db_fixture_assert_value(f, "before", "v");
        assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
        assert_ldb_ok(put(f, "before", true, NULL), &f->err);
    }
    assert_ldb_ok(put(f, "x", true, NULL), &f->err);
    db_fixture_reopen(f);
    db_fixture_assert_value(f, "before", "v");
    db_fixture_assert_value(f, "x", "v");
}

static void ask_for_figures(void *context, enum env_fault_kind kind,
                            const char *path)
{
    struct db_fixture *f = context;
    struct ldb_stats stats;

    (void)kind;
    if (strstr(path, ".log") == NULL) /* LOG is written with the lock held */
        return;
    ldb_stats(f->db, &stats);
    assert_true(stats.manifest_bytes > 0);
}

static void figures_are_told_while_it_reopens(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    assert_ldb_ok(put(f, "before", true, NULL), &f->err);
    env_fault_set_call_hook(f->fault, ask_for_figures, f);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    fail_nth_journal(f, 1);
    assert_ldb_status(LDB_IO, ldb_reopen(f->db, NULL, &f->err), &f->err);
    fail_nth_journal(f, 2);
    assert_ldb_status(LDB_IO, ldb_reopen(f->db, NULL, &f->err), &f->err);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    ldb_stats(f->db, &stats);
    assert_true(stats.memtable_bytes > 0);
    db_fixture_assert_value(f, "before", "v");
}

static void a_database_closes_after_a_failed_reopen(void **state)
{
    struct db_fixture *f = *state;

    for (uint64_t nth = 1; nth <= 2; nth++) {
        assert_ldb_ok(put(f, "before", true, NULL), &f->err);
        fail_nth_journal(f, nth);
        assert_ldb_status(LDB_IO, ldb_reopen(f->db, NULL, &f->err), &f->err);
        db_fixture_reopen(f);
        db_fixture_assert_value(f, "before", "v");
    }
}

/* What is answered comes after the append, and after the sync when asked. */
static void a_batch_is_one_record_with_consecutive_numbers(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_batch *batch = NULL;
    struct ldb_write write = {0};
    ldb_sequence sequence = 0;

    assert_ldb_ok(put(f, "first", false, NULL), &f->err);
    assert_ldb_ok(ldb_batch_create(1000, &f->err, &batch), &f->err);
    for (const char *key = "abc"; *key != '\0'; key++)
        assert_int_equal(
            ldb_batch_put(batch, ldb_slice_make(key, 1), ldb_slice_str("v")),
            LDB_OK);
    write.batch = batch;
    env_fault_forget_counts(f->fault);
    assert_ldb_ok(ldb_write_wait(f->db, &write), &write.error);
    assert_int_equal(write.sequence, 4);
    assert_int_equal(write.count, 3);
    assert_int_equal(env_fault_count(f->fault, ENV_FAULT_BIT(ENV_FAULT_APPEND)),
                     1);
    assert_ldb_ok(ldb_get(f->db, ldb_slice_str("b"), NULL, &f->err, NULL,
                          &sequence, NULL),
                  &f->err);
    assert_int_equal(sequence, 3);
    ldb_batch_destroy(batch);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_sync_makes_all_before_it_durable),
        TEST(a_failed_append_leaves_nothing_and_its_numbers_are_not_reused),
        TEST(a_journal_that_cannot_be_cut_stops_writes),
        TEST(what_was_not_synced_can_be_cut_off_first),
        TEST(what_was_cut_off_is_not_synced),
        TEST(an_empty_journal_goes_on_from_the_one_before),
        TEST(a_failed_reopen_stops_writes),
        TEST(figures_are_told_while_it_reopens),
        TEST(a_database_closes_after_a_failed_reopen),
        TEST(a_batch_is_one_record_with_consecutive_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
