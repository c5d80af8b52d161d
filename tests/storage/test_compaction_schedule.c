/* Which compactions run at once, and what a failing one holds up. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

/* How long a test waits for what never comes when the code is broken. */
#define PATIENCE_SECONDS 60

/* ---- a gate ---- */

/*
 * Threads that open a table for writing wait here until so many of them do,
 * once; from then on all pass.
 */
struct gate {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    unsigned wanted;
    unsigned waiting;
    bool is_open;
    bool was_met; /* opened by the last one wanted */
};

static void gate_init(struct gate *gate, unsigned wanted)
{
    *gate = (struct gate){.wanted = wanted};
    pthread_mutex_init(&gate->mu, NULL);
    pthread_cond_init(&gate->changed, NULL);
}

static void gate_release(struct gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->mu);
}

static void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->mu);
    gate->is_open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mu);
}

/* Someone waits until the gate is met, or out of patience. */
static bool gate_wait(struct gate *gate)
{
    struct timespec deadline;
    int rc = 0;
    bool was_met;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_SECONDS;
    pthread_mutex_lock(&gate->mu);
    while (!gate->is_open && gate->waiting < gate->wanted && rc == 0)
        rc = pthread_cond_timedwait(&gate->changed, &gate->mu, &deadline);
    was_met = gate->was_met || gate->waiting >= gate->wanted;
    pthread_mutex_unlock(&gate->mu);
    return was_met;
}

static bool is_new_table(enum env_fault_kind kind, const char *path)
{
    return kind == ENV_FAULT_OPEN_WRITABLE && strstr(path, ".ldb") != NULL;
}

/* Opens by itself once enough have come. */
static void meet_at_tables(void *context, enum env_fault_kind kind,
                           const char *path)
{
    struct gate *gate = context;
    struct timespec deadline;
    int rc = 0;

    if (!is_new_table(kind, path))
        return;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_SECONDS;
    pthread_mutex_lock(&gate->mu);
    gate->waiting++;
    if (!gate->is_open && gate->waiting == gate->wanted) {
        gate->was_met = true;
        gate->is_open = true;
    }
    pthread_cond_broadcast(&gate->changed);
    while (!gate->is_open && rc == 0)
        rc = pthread_cond_timedwait(&gate->changed, &gate->mu, &deadline);
    gate->is_open = true; /* met, or given up */
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mu);
}

/* The first to come waits until the test opens the gate; others pass. */
static void hold_first_table(void *context, enum env_fault_kind kind,
                             const char *path)
{
    struct gate *gate = context;

    if (!is_new_table(kind, path))
        return;
    pthread_mutex_lock(&gate->mu);
    gate->waiting++;
    pthread_cond_broadcast(&gate->changed);
    if (gate->waiting == 1)
        while (!gate->is_open)
            pthread_cond_wait(&gate->changed, &gate->mu);
    pthread_mutex_unlock(&gate->mu);
}

/* ---- scenes ---- */

#define KEYS 2000

static uint64_t tables_of(struct db_fixture *f, unsigned level)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.levels[level].tables;
}

static void spin_until_level_0_is_empty(struct db_fixture *f)
{
    while (tables_of(f, 0) > 0)
        sched_yield();
}

/* Level 1 holds newer values over the same keys of level 2, in many tables;
 * nothing is due. The database is closed. */
static void build_two_levels(struct db_fixture *f)
{
    f->options.compress = false;
    f->options.table_bytes = 4 << 10;
    f->options.l0_compaction_trigger = 2;
    f->options.level_multiplier = 1000;
    for (unsigned round = 0; round < 2; round++) {
        /* The first time all of level 1 is pushed on. */
        f->options.level1_bytes = round == 0 ? 1 << 10 : 100 << 20;
        db_fixture_reopen(f);
        for (unsigned i = 0; i < 2; i++) {
            db_fixture_fill(f, 0, KEYS);
            db_fixture_flush(f);
        }
        spin_until_level_0_is_empty(f);
        while (round == 0 && tables_of(f, 1) > 0)
            sched_yield();
    }
    assert_true(tables_of(f, 1) > 10 && tables_of(f, 2) > 10);
    db_fixture_close(f);
}

static void spin_until_level_1_is_empty(struct db_fixture *f)
{
    while (tables_of(f, 1) > 0 && ldb_health(f->db, NULL) == LDB_HEALTHY)
        sched_yield();
}

static void assert_all_is_well(struct db_fixture *f)
{
    uint64_t tables = 0;

    db_fixture_assert_filled(f, 0, KEYS);
    db_fixture_close(f);
    /* Read-only, as else a compaction may begin while tables are counted. */
    f->options.read_only = true;
    db_fixture_open(f);
    db_fixture_assert_filled(f, 0, KEYS);
    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
        tables += tables_of(f, level);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), tables);
    db_fixture_close(f);
    f->options.read_only = false;
    db_fixture_open(f);
}

/* ---- level 0 ---- */

static void flush_one_key(struct db_fixture *f)
{
    db_fixture_fill(f, 0, 1);
    db_fixture_flush(f);
}

static void stop_clock(struct db_fixture *f, uint64_t ahead_us)
{
    env_fault_set_clock(f->fault, f->env->ops->monotonic_us(f->env) + ahead_us);
}

/* Level 1 has far more than what flush_one_key() brings; the clock stands. */
static void build_level_1(struct db_fixture *f)
{
    f->options.compaction_threads = 1;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, KEYS);
    db_fixture_flush(f);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_int_equal(tables_of(f, 0), 0);
    stop_clock(f, 0);
}

static void level_0_waits_while_flushes_follow_one_another(void **state)
{
    struct db_fixture *f = *state;

    build_level_1(f);
    for (unsigned n = 1; n <= 5; n++) {
        flush_one_key(f);
        assert_true(db_fixture_has_nothing_to_compact(f));
        assert_int_equal(tables_of(f, 0), n);
    }
    flush_one_key(f); /* half way from 4 to 8 */
    spin_until_level_0_is_empty(f);
}

static void level_0_waits_no_longer_than_a_second(void **state)
{
    struct db_fixture *f = *state;

    build_level_1(f);
    for (unsigned n = 0; n < 4; n++)
        flush_one_key(f);
    stop_clock(f, 999999);
    assert_true(db_fixture_has_nothing_to_compact(f));
    assert_int_equal(tables_of(f, 0), 4);
    stop_clock(f, 1);
    spin_until_level_0_is_empty(f);
}

static void level_0_does_not_wait_above_a_small_level_1(void **state)
{
    struct db_fixture *f = *state;

    f->options.compaction_threads = 1;
    db_fixture_reopen(f);
    stop_clock(f, 0);
    for (unsigned n = 0; n < 4; n++)
        flush_one_key(f);
    spin_until_level_0_is_empty(f);
}

static void level_0_waits_for_twice_its_trigger_at_most(void **state)
{
    struct db_fixture *f = *state;

    f->options.l0_slowdown_trigger = 1000;
    f->options.l0_stop_trigger = 1000;
    build_level_1(f);
    for (unsigned n = 0; n < 8; n++)
        flush_one_key(f);
    spin_until_level_0_is_empty(f);
}

/* ---- at once ---- */

static void compactions_that_do_not_meet_run_at_once(void **state)
{
    struct db_fixture *f = *state;
    struct gate gate;

    build_two_levels(f);
    gate_init(&gate, 3);
    env_fault_set_call_hook(f->fault, meet_at_tables, &gate);
    f->options.level1_bytes = 1 << 10;
    f->options.compaction_threads = 3;
    db_fixture_open(f);
    spin_until_level_1_is_empty(f);
    assert_true(gate.was_met);
    db_fixture_close(f);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    f->options.level1_bytes = 100 << 20;
    db_fixture_open(f);
    assert_all_is_well(f);
    gate_release(&gate);
}

/* A flush goes on beside a compaction that takes its time. */
static void a_flush_does_not_wait_for_a_compaction(void **state)
{
    struct db_fixture *f = *state;
    struct gate gate;

    build_two_levels(f);
    gate_init(&gate, 1);
    env_fault_set_call_hook(f->fault, hold_first_table, &gate);
    f->options.level1_bytes = 1 << 10;
    f->options.compaction_threads = 1;
    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    db_fixture_open(f);
    assert_true(gate_wait(&gate));
    for (unsigned i = 0; i < 5; i++) {
        db_fixture_fill(f, i, i + 1);
        db_fixture_flush(f);
    }
    assert_int_equal(tables_of(f, 0), 5);
    gate_open(&gate);
    db_fixture_close(f);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    f->options.level1_bytes = 100 << 20;
    db_fixture_open(f);
    assert_all_is_well(f);
    gate_release(&gate);
}

struct manual {
    struct db_fixture *f;
    enum ldb_status status;
    struct ldb_error err;
};

static void *compact_all(void *context)
{
    struct manual *manual = context;

    manual->status = ldb_compact_range(manual->f->db, NULL, NULL, &manual->err);
    return NULL;
}

/* Manual ones from two threads, beside automatic ones, while others write. */
static void manual_compactions_work_beside_automatic_ones(void **state)
{
    struct db_fixture *f = *state;
    struct manual manuals[2] = {{.f = f}, {.f = f}};
    pthread_t threads[2];

    build_two_levels(f);
    f->options.level1_bytes = 4 << 10;
    f->options.compaction_threads = 4;
    db_fixture_open(f);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, compact_all, &manuals[i]), 0);
    for (unsigned i = 0; i < 10; i++) {
        db_fixture_fill(f, i * 100, i * 100 + 200);
        db_fixture_flush(f);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_ldb_ok(manuals[i].status, &manuals[i].err);
    }
    assert_all_is_well(f);
}

/* Closing and reopening wait for all of them. */
static void a_pause_waits_for_every_compaction(void **state)
{
    struct db_fixture *f = *state;

    build_two_levels(f);
    f->options.level1_bytes = 1 << 10;
    f->options.compaction_threads = 4;
    db_fixture_open(f);
    for (unsigned i = 0; i < 5; i++)
        assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_all_is_well(f);
}

/* ---- failing ---- */

static void a_failing_compaction_is_tried_again_alone(void **state)
{
    struct db_fixture *f = *state;
    uint64_t failed;

    build_two_levels(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
    f->options.level1_bytes = 1 << 10;
    f->options.compaction_threads = 4;
    stop_clock(f, 0); /* so that none is tried again before we look */
    db_fixture_open(f);
    while (ldb_health(f->db, NULL) == LDB_HEALTHY)
        sched_yield();
    /* Those that ran already may fail too, but none begins at once. */
    failed = env_fault_failed(f->fault);
    env_fault_set_clock(f->fault, 0); /* it goes on */
    assert_in_range(failed, 1, 4);
    assert_int_equal(ldb_health(f->db, &f->err), LDB_HEALTH_BACKGROUND);
    assert_string_not_equal(f->err.message, "");
    /* A flush that works does not hide it. */
    env_fault_fail(f->fault, NULL);
    db_fixture_fill(f, 0, 1);
    db_fixture_flush(f);
    while (tables_of(f, 1) > 0)
        sched_yield();
    while (ldb_health(f->db, NULL) != LDB_HEALTHY)
        sched_yield();
    db_fixture_close(f);
    f->options.level1_bytes = 100 << 20;
    db_fixture_open(f);
    assert_all_is_well(f);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(level_0_waits_while_flushes_follow_one_another),
        TEST(level_0_waits_no_longer_than_a_second),
        TEST(level_0_does_not_wait_above_a_small_level_1),
        TEST(level_0_waits_for_twice_its_trigger_at_most),
        TEST(compactions_that_do_not_meet_run_at_once),
        TEST(a_flush_does_not_wait_for_a_compaction),
        TEST(manual_compactions_work_beside_automatic_ones),
        TEST(a_pause_waits_for_every_compaction),
        TEST(a_failing_compaction_is_tried_again_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
