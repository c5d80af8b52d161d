/*
 * A mapped journal's successor is made ready beside the writes, used, and gone
 * when nobody used it; and what a database of mapped journals looks like on the
 * system's own files.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "storage/base/env.h"
#include "storage/db_internal.h"
#include "storage/verify.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/temp_dir.h"

/* Of the write buffer: the smallest window has room for it. */
#define BUFFER_BYTES ((size_t)60 << 10)

static int setup(void **state)
{
    int rc = db_fixture_setup(state);
    struct db_fixture *f = *state;

    f->options.journal = LDB_JOURNAL_MAPPED;
    f->options.write_buffer_bytes = BUFFER_BYTES;
    db_fixture_reopen(f);
    return rc;
}

static uint64_t journal_number(struct db_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.journal_number;
}

/* Writes past the first early sync, which has a journal made ready. */
static unsigned fill_until_ready(struct db_fixture *f)
{
    enum {
        KEYS = 150
    };
    uint64_t number = journal_number(f);

    db_fixture_fill(f, 0, KEYS);
    while (db_fixture_count_files(f, LDB_FILE_JOURNAL) < 2)
        sched_yield();
    assert_int_equal(journal_number(f), number);
    return KEYS;
}

static void the_next_journal_is_ready_before_it_is_needed(void **state)
{
    struct db_fixture *f = *state;
    uint64_t number = journal_number(f);
    unsigned n = fill_until_ready(f);
    uint64_t opens =
        env_fault_count(f->fault, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE));

    while (journal_number(f) == number) {
        /* It is taken as it is, and no other is made before. */
        assert_int_equal(
            env_fault_count(f->fault, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE)),
            opens);
        db_fixture_fill(f, n, n + 1);
        n++;
    }
    assert_true(journal_number(f) > number);
    db_fixture_reopen(f);
    db_fixture_assert_filled(f, 0, n);
}

static void one_that_nobody_used_is_gone(void **state)
{
    struct db_fixture *f = *state;
    unsigned n = fill_until_ready(f);

    db_fixture_close(f);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    db_fixture_open(f);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    db_fixture_assert_filled(f, 0, n);
}

/* Its owner dies: it is an empty journal like another. */
static void one_that_is_left_over_is_an_empty_journal(void **state)
{
    struct db_fixture *f = *state;
    unsigned n = fill_until_ready(f);

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("v"), true,
                          &f->err, NULL),
                  &f->err);
    db_fixture_power_cut(f);
    db_fixture_assert_filled(f, 0, n);
    db_fixture_assert_value(f, "k", "v");
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
}

/* A write that finds none waits for it, and is told why there is none. */
static void a_full_disk_is_told_where_the_journal_is_prepared(void **state)
{
    struct db_fixture *f = *state;
    uint64_t number = journal_number(f);
    enum ldb_status s = LDB_OK;
    unsigned n = 0;

    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".log", ENOSPC);
    for (; s == LDB_OK; n++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "full%06u", n);
        s = ldb_put(f->db, ldb_slice_str(key), ldb_slice_str("value"), false,
                    &f->err, NULL);
    }
    assert_int_equal(s, LDB_NO_SPACE);
    assert_int_equal(journal_number(f), number);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTH_DISK_FULL);
    env_fault_fail(f->fault, NULL);
    db_fixture_put(f, "after", "1");
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    assert_true(journal_number(f) > number);
    db_fixture_reopen(f);
    for (unsigned i = 0; i < n - 1; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "full%06u", i);
        db_fixture_assert_value(f, key, "value");
    }
    db_fixture_assert_value(f, "after", "1");
}

static void a_failed_sync_stops_writes_until_reopen(void **state)
{
    struct db_fixture *f = *state;
    unsigned n = fill_until_ready(f);

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("kept"),
                          true, &f->err, NULL),
                  &f->err);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_int_equal(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("lost"),
                             true, &f->err, NULL),
                     LDB_OUTCOME_UNKNOWN);
    env_fault_fail(f->fault, NULL);
    assert_int_equal(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("lost"),
                             true, &f->err, NULL),
                     LDB_READ_ONLY);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    db_fixture_assert_value(f, "k", "kept");
    /* What was ready went, and what was replayed. */
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    db_fixture_fill(f, n, n + 1000);
    db_fixture_reopen(f);
    db_fixture_assert_filled(f, 0, n + 1000);
}

/* ---- on the system's files ---- */

struct real {
    struct temp_dir dir;
    char db_dir[TEMP_DIR_PATH_SIZE + 8];
    char copy_dir[TEMP_DIR_PATH_SIZE + 8];
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *db;
    struct ldb_error err;
};

static int real_setup(void **state)
{
    static struct real r;

    r = (struct real){.env = ldb_env_posix()};
    temp_dir_create(&r.dir);
    (void)snprintf(r.db_dir, sizeof(r.db_dir), "%s/db", r.dir.path);
    (void)snprintf(r.copy_dir, sizeof(r.copy_dir), "%s/copy", r.dir.path);
    ldb_options_init(&r.options);
    r.options.journal = LDB_JOURNAL_MAPPED;
    r.options.write_buffer_bytes = 1 << 20;
    assert_ldb_ok(ldb_open(r.db_dir, &r.options, NULL, &r.err, &r.db), &r.err);
    *state = &r;
    return 0;
}

static int real_teardown(void **state)
{
    struct real *r = *state;

    if (r->db != NULL)
        assert_ldb_ok(ldb_close(r->db, &r->err), &r->err);
    temp_dir_remove(&r->dir);
    return 0;
}

static void real_fill(struct real *r, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", n);
        assert_ldb_ok(ldb_put(r->db, ldb_slice_str(key), ldb_slice_str(key),
                              n % 100 == 0, &r->err, NULL),
                      &r->err);
    }
}

/* The keys of [0, to) and no others. */
static void assert_holds(struct ldb_db *db, unsigned to)
{
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    unsigned n = 0;

    assert_ldb_ok(ldb_cursor_open(db, NULL, &err, &cursor), &err);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor)) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", n++);
        assert_ldb_slice(ldb_slice_str(key), ldb_cursor_key(cursor));
        assert_ldb_slice(ldb_slice_str(key), ldb_cursor_value(cursor));
    }
    assert_ldb_ok(ldb_cursor_status(cursor, &err), &err);
    assert_int_equal(n, to);
    ldb_cursor_close(cursor);
}

static enum ldb_status copy_name(void *context, const char *name)
{
    struct real *r = context;
    char from[TEMP_DIR_PATH_SIZE + 64];
    char to[TEMP_DIR_PATH_SIZE + 64];

    (void)snprintf(from, sizeof(from), "%s/%s", r->db_dir, name);
    (void)snprintf(to, sizeof(to), "%s/%s", r->copy_dir, name);
    return ldb_env_copy_file(r->env, from, to, UINT64_MAX, &r->err);
}

/* As cp does it to a folder in use; what a kill -9 leaves is the same. No flush
 * changes names meanwhile: a kill leaves them all as they are at one moment. */
static void copy_folder(struct real *r)
{
    assert_ldb_ok(r->env->ops->create_dir(r->env, r->copy_dir, &r->err),
                  &r->err);
    ldb_background_pause(r->db);
    assert_ldb_ok(
        r->env->ops->list_dir(r->env, r->db_dir, copy_name, r, &r->err),
        &r->err);
    ldb_background_resume(r->db);
}

static enum ldb_status no_finding(void *context,
                                  const struct ldb_finding *finding)
{
    (void)context;
    if (finding->kind == LDB_FINDING_DAMAGE)
        fail_msg("%s: %s", finding->file, finding->message);
    return LDB_OK;
}

/* Opens the copy and closes it. */
static void assert_copy_holds(struct real *r, bool read_only, unsigned to)
{
    struct ldb_options options = r->options;
    struct ldb_recovery recovery = {0};
    struct ldb_db *db = NULL;

    options.read_only = read_only;
    options.strict_journal = true; /* a tail of zeros is none */
    assert_ldb_ok(ldb_open(r->copy_dir, &options, &recovery, &r->err, &db),
                  &r->err);
    assert_int_equal(recovery.bytes_dropped, 0);
    assert_holds(db, to);
    assert_ldb_ok(ldb_close(db, &r->err), &r->err);
}

static void a_copied_running_folder_is_whole(void **state)
{
    struct real *r = *state;
    struct ldb_verify_summary summary = {0};
    struct ldb_repair_report report = {0};

    real_fill(r, 0, 30000); /* journals sealed, one ready maybe, one live */
    copy_folder(r);
    assert_copy_holds(r, true, 30000);
    assert_ldb_ok(ldb_verify_folder(r->copy_dir, NULL, no_finding, NULL,
                                    &r->err, &summary),
                  &r->err);
    assert_int_equal(summary.damages, 0);
    assert_ldb_ok(ldb_repair(r->copy_dir, NULL,
                             &(struct ldb_repair_options){.dry_run = true},
                             &report, &r->err),
                  &r->err);
    assert_false(report.needed);
    assert_copy_holds(r, false, 30000);
}

static enum ldb_status no_window(void *context, const char *name)
{
    struct real *r = context;
    char path[TEMP_DIR_PATH_SIZE + 64];
    uint64_t number;
    uint64_t size = 0;

    if (ldb_file_name_parse(name, &number) != LDB_FILE_JOURNAL)
        return LDB_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", r->copy_dir, name);
    assert_ldb_ok(r->env->ops->file_size(r->env, path, &r->err, &size),
                  &r->err);
    assert_true(size > 0 && size % LDB_WINDOW_UNIT != 0);
    return LDB_OK;
}

static void a_checkpoint_has_no_window(void **state)
{
    struct real *r = *state;

    real_fill(r, 0, 1234);
    assert_ldb_ok(ldb_checkpoint(r->db, r->copy_dir, &r->err), &r->err);
    assert_ldb_ok(
        r->env->ops->list_dir(r->env, r->copy_dir, no_window, r, &r->err),
        &r->err);
    assert_copy_holds(r, true, 1234);
    assert_copy_holds(r, false, 1234);
}

static void close_cuts_the_journal_and_options_may_change(void **state)
{
    struct real *r = *state;

    real_fill(r, 0, 2345);
    for (unsigned round = 0; round < 4; round++) {
        assert_ldb_ok(ldb_close(r->db, &r->err), &r->err);
        r->db = NULL;
        (void)snprintf(r->copy_dir, sizeof(r->copy_dir), "%s", r->db_dir);
        assert_ldb_ok(
            r->env->ops->list_dir(r->env, r->copy_dir, no_window, r, &r->err),
            &r->err);
        r->options.journal =
            round % 2 == 0 ? LDB_JOURNAL_APPENDED : LDB_JOURNAL_MAPPED;
        assert_ldb_ok(ldb_open(r->db_dir, &r->options, NULL, &r->err, &r->db),
                      &r->err);
        real_fill(r, 2345 + round, 2345 + round + 1);
        assert_holds(r->db, 2345 + round + 1);
    }
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, setup, db_fixture_teardown)
#define REAL(name)                                                             \
    cmocka_unit_test_setup_teardown(name, real_setup, real_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_next_journal_is_ready_before_it_is_needed),
        TEST(one_that_nobody_used_is_gone),
        TEST(one_that_is_left_over_is_an_empty_journal),
        TEST(a_full_disk_is_told_where_the_journal_is_prepared),
        TEST(a_failed_sync_stops_writes_until_reopen),
        REAL(a_copied_running_folder_is_whole),
        REAL(a_checkpoint_has_no_window),
        REAL(close_cuts_the_journal_and_options_may_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
