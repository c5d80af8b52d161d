/*
 * A disk without space, and one that fails a sync: what writers and readers
 * are told, and how the database comes back without being opened again.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/env.h"
#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"

#define VALUE_LEN   512
#define TRIES_MAX   2000
#define PATIENCE_MS 20000 /* background work is tried again within 8 s */

struct fixture {
    struct env_fault *fault;
    struct ldb_options options;
    struct ldb_db *db;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.fault = env_fault_create(NULL)};
    ldb_options_init(&f.options);
    f.options.env = env_fault_env(f.fault);
    f.options.create_if_missing = true;
    f.options.write_buffer_bytes = 64 << 10;
    f.options.table_bytes = 8 << 10;
    f.options.l0_compaction_trigger = 2;
    assert_ldb_ok(ldb_open("/db", &f.options, NULL, &f.err, &f.db), &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->db != NULL)
        (void)!ldb_close(f->db, NULL);
    env_fault_destroy(f->fault);
    return 0;
}

/* ---- writes with a number, and what is there of them ---- */

static struct ldb_slice key_of(unsigned n, char out[16])
{
    (void)snprintf(out, 16, "key%06u", n);
    return ldb_slice_str(out);
}

static enum ldb_status put(struct fixture *f, unsigned n, bool sync,
                           ldb_sequence *out_sequence)
{
    char key[16];
    uint8_t value[VALUE_LEN];

    memset(value, (int)n, sizeof(value));
    f->err = (struct ldb_error){0};
    return ldb_put(f->db, key_of(n, key), ldb_slice_make(value, VALUE_LEN),
                   sync, &f->err, out_sequence);
}

static bool is_there(struct fixture *f, unsigned n)
{
    struct ldb_buf value = LDB_BUF_INIT(VALUE_LEN);
    char key[16];
    enum ldb_status s =
        ldb_get(f->db, key_of(n, key), NULL, &f->err, &value, NULL, NULL);

    if (s != LDB_NOT_FOUND) {
        assert_ldb_ok(s, &f->err);
        assert_int_equal(value.len, VALUE_LEN);
        assert_int_equal(value.data[VALUE_LEN - 1], (uint8_t)n);
    }
    ldb_buf_release(&value);
    return s == LDB_OK;
}

static void assert_all_there(struct fixture *f, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        assert_true(is_there(f, n));
}

static void reopen(struct fixture *f)
{
    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    f->db = NULL;
    f->options.env = env_fault_env(f->fault);
    assert_ldb_ok(ldb_open("/db", &f->options, NULL, &f->err, &f->db), &f->err);
}

/* Puts from number `from` on until one fails: the number of that. */
static unsigned put_until_full(struct fixture *f, unsigned from)
{
    for (unsigned n = from; n < from + TRIES_MAX; n++) {
        enum ldb_status s = put(f, n, false, NULL);

        if (s == LDB_OK)
            continue;
        assert_ldb_status(LDB_NO_SPACE, s, &f->err);
        assert_string_not_equal(f->err.message, "");
        return n;
    }
    fail_msg("the disk never was full");
    return 0;
}

/* Puts number n again and again until background work has come round. */
static void put_when_recovered(struct fixture *f, unsigned n)
{
    struct ldb_env *env = ldb_env_posix();
    uint64_t deadline =
        env->ops->monotonic_us(env) + PATIENCE_MS * UINT64_C(1000);
    enum ldb_status s = put(f, n, true, NULL);

    while (s == LDB_NO_SPACE && env->ops->monotonic_us(env) < deadline)
        s = put(f, n, true, NULL);
    assert_ldb_ok(s, &f->err);
}

/* A flush that began while the disk was full may still be told. */
static void flush_when_recovered(struct fixture *f)
{
    enum ldb_status s;

    while ((s = ldb_flush(f->db, &f->err)) != LDB_OK)
        assert_ldb_status(LDB_NO_SPACE, s, &f->err);
    while (ldb_health(f->db, NULL) != LDB_HEALTHY)
        sched_yield();
}

/* ---- a full disk ---- */

/* Rows: bytes left when the disk fills up. They end in the journal, in a
 * journal's name, in a table, in a MANIFEST. */
static void writes_fail_until_space_is_back_and_reads_go_on(void **state)
{
    static const uint64_t budgets[] = {0,     1,     600,   5000,  16384,
                                       40000, 50000, 60000, 75000, 140000};
    struct fixture *f = *state;
    unsigned next = 0;

    for (; next < 20; next++)
        assert_ldb_ok(put(f, next, true, NULL), &f->err);
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
        enum ldb_health health;
        unsigned failed;

        env_fault_disk_full(f->fault, budgets[i]);
        failed = put_until_full(f, next);
        f->err = (struct ldb_error){0};
        health = ldb_health(f->db, &f->err);
        assert_true(health == LDB_HEALTH_DISK_FULL ||
                    health == LDB_HEALTH_BACKGROUND);
        assert_string_not_equal(f->err.message, "");
        assert_ldb_status(LDB_NO_SPACE, put(f, failed, true, NULL), &f->err);
        assert_false(is_there(f, failed));
        assert_all_there(f, failed);
        env_fault_disk_free(f->fault);
        put_when_recovered(f, failed);
        next = failed + 1;
        assert_all_there(f, next);
    }
    flush_when_recovered(f);
    reopen(f);
    assert_all_there(f, next);
}

/* Rows: which files find no space. */
static void background_work_goes_on_when_space_is_back(void **state)
{
    static const struct row {
        unsigned kinds;
        const char *path;
    } rows[] = {
        {ENV_FAULT_BIT(ENV_FAULT_APPEND), ".ldb"},
        {ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb"},
        {ENV_FAULT_BIT(ENV_FAULT_APPEND), "MANIFEST"},
        {ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), "MANIFEST"},
        {ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), "CURRENT"},
    };
    struct fixture *f = *state;
    unsigned next = 0;

    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    f->db = NULL;
    f->options.manifest_rotate_bytes = 1 << 10;
    assert_ldb_ok(ldb_open("/db", &f->options, NULL, &f->err, &f->db), &f->err);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum ldb_status s = LDB_OK;

        env_fault_fail(f->fault,
                       &(struct env_fault_rule){.kinds = rows[i].kinds,
                                                .path = rows[i].path,
                                                .nth = 1,
                                                .from_then_on = true,
                                                .sys_errno = ENOSPC});
        /* A few flushes: the MANIFEST is not new in each. */
        for (int j = 0; s == LDB_OK && j < 30; j++) {
            assert_ldb_ok(put(f, next++, true, NULL), &f->err);
            s = ldb_flush(f->db, &f->err);
        }
        assert_ldb_status(LDB_NO_SPACE, s, &f->err);
        assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTH_BACKGROUND);
        assert_all_there(f, next);
        env_fault_fail(f->fault, NULL);
        while (ldb_health(f->db, NULL) == LDB_HEALTH_BACKGROUND)
            put_when_recovered(f, next);
        flush_when_recovered(f);
        assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
        assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
        next++;
    }
    reopen(f);
    assert_all_there(f, next);
}

/* ---- a failed sync ---- */

static void fail_syncs(struct fixture *f, unsigned kinds, const char *path)
{
    env_fault_fail(f->fault, &(struct env_fault_rule){.kinds = kinds,
                                                      .path = path,
                                                      .nth = 1,
                                                      .sys_errno = EIO});
}

static void
after_a_failed_sync_writes_stop_until_reopened_in_place(void **state)
{
    struct fixture *f = *state;
    ldb_sequence durable = 0;
    ldb_sequence unsynced = 0;
    ldb_sequence after = 0;

    for (unsigned n = 0; n < 10; n++)
        assert_ldb_ok(put(f, n, true, &durable), &f->err);
    assert_ldb_ok(put(f, 10, false, &unsynced), &f->err);
    fail_syncs(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log");
    assert_ldb_status(LDB_OUTCOME_UNKNOWN, put(f, 11, true, NULL), &f->err);
    assert_string_not_equal(f->err.message, "");
    assert_int_equal(ldb_health(f->db, &f->err), LDB_HEALTH_SYNC_FAILED);
    assert_ldb_status(LDB_READ_ONLY, put(f, 12, true, NULL), &f->err);
    assert_ldb_status(LDB_READ_ONLY, put(f, 12, false, NULL), &f->err);
    assert_true(ldb_flush(f->db, &f->err) != LDB_OK);
    /* Readers keep what they saw. */
    assert_all_there(f, 11);
    assert_false(is_there(f, 11));

    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    assert_all_there(f, 10);
    assert_false(is_there(f, 11));
    assert_ldb_ok(put(f, 13, true, &after), &f->err);
    /* Numbers 11 and 12 may be on a disk somewhere. */
    assert_true(after > unsynced + 1);
    assert_true(durable < unsynced);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 1);
    (void)!ldb_close(f->db, NULL);
    f->options.env = env_fault_env(f->fault);
    f->db = NULL;
    assert_ldb_ok(ldb_open("/db", &f->options, NULL, &f->err, &f->db), &f->err);
    assert_all_there(f, 10);
    assert_true(is_there(f, 13));
    assert_true(ldb_last_sequence(f->db) >= after);
}

/* The journal is synced as well when it is sealed, and its name in its
 * folder. */
static void a_sync_that_fails_elsewhere_stops_writes_too(void **state)
{
    struct fixture *f = *state;

    assert_ldb_ok(put(f, 0, true, NULL), &f->err);
    assert_ldb_ok(put(f, 1, false, NULL), &f->err);
    fail_syncs(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log");
    assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTH_SYNC_FAILED);
    assert_all_there(f, 2);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_true(is_there(f, 0));

    fail_syncs(f, ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR), NULL);
    assert_ldb_status(LDB_OUTCOME_UNKNOWN, put(f, 2, true, NULL), &f->err);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTH_SYNC_FAILED);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_ldb_ok(put(f, 3, true, NULL), &f->err);
    reopen(f);
    assert_true(is_there(f, 0));
    assert_true(is_there(f, 3));
}

/* Reopening fails at each of its calls in turn; the next try heals. */
static void a_reopen_in_place_that_fails_can_be_tried_again(void **state)
{
    struct fixture *f = *state;
    unsigned next = 0;
    uint64_t nth = 0;
    bool met = true;

    while (met) {
        ldb_sequence last = ldb_last_sequence(f->db);
        ldb_sequence sequence = 0;
        enum ldb_health health;

        nth++;
        assert_ldb_ok(put(f, next++, true, &sequence), &f->err);
        assert_true(sequence > last);
        fail_syncs(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log");
        assert_ldb_status(LDB_OUTCOME_UNKNOWN, put(f, 999999, true, NULL),
                          &f->err);
        env_fault_fail(f->fault,
                       &(struct env_fault_rule){.nth = nth, .sys_errno = EIO});
        f->err = (struct ldb_error){0};
        if (ldb_reopen(f->db, NULL, &f->err) != LDB_OK) {
            assert_string_not_equal(f->err.message, "");
            assert_all_there(f, next);
            env_fault_fail(f->fault, NULL);
            assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
        }
        met = env_fault_failed(f->fault) > 0;
        env_fault_fail(f->fault, NULL);
        /* The fault may have met a compaction instead. */
        health = ldb_health(f->db, NULL);
        assert_true(health == LDB_HEALTHY || health == LDB_HEALTH_BACKGROUND);
        assert_all_there(f, next);
        assert_false(is_there(f, 999999));
        assert_true(nth < TRIES_MAX);
    }
    assert_true(nth > 10);
    reopen(f);
    assert_all_there(f, next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            writes_fail_until_space_is_back_and_reads_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(
            background_work_goes_on_when_space_is_back, setup, teardown),
        cmocka_unit_test_setup_teardown(
            after_a_failed_sync_writes_stop_until_reopened_in_place, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            a_sync_that_fails_elsewhere_stops_writes_too, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_reopen_in_place_that_fails_can_be_tried_again, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
