/* A memtable becomes a level-0 table, and only then does its journal go. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/flush_gate.h"
#include "tests/support/mem_fault.h"

#define TOGETHER  3    /* memtables that wait in tests of groups */
#define CALLS_MAX 1000 /* of the flush of such a group; it has far fewer */

#if defined(__SANITIZE_THREAD__)
#define STEP 7
#else
#define STEP 1
#endif

static void a_flush_makes_one_table_of_all_entries(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    db_fixture_fill(f, 0, 50);
    (void)db_fixture_delete(f, "key000007");
    db_fixture_flush(f);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.flushes, 1);
    assert_int_equal(stats.levels[0].tables, 1);
    assert_int_equal(stats.immutable_memtables, 0);
    db_fixture_assert_filled(f, 0, 7);
    db_fixture_assert_value(f, "key000007", NULL);
    db_fixture_assert_filled(f, 8, 50);
    /* Nothing to do. */
    db_fixture_flush(f);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.flushes, 1);
}

/* The place of the line in the log that begins so, from a place on. */
static const char *find_line(const char *log, const char *text)
{
    const char *line = strstr(log, text);

    assert_non_null(line);
    return line;
}

/* docs/formats.md, rules 33 and 34. */
static void the_journal_goes_after_the_table_its_name_and_the_edit(void **state)
{
    struct db_fixture *f = *state;
    char *log;
    const char *at;

    db_fixture_fill(f, 0, 10);
    env_fault_start_log(f->fault);
    db_fixture_flush(f);
    db_fixture_close(f);
    log = env_fault_log(f->fault);
    at = find_line(log, "sync /db/000001.log");
    at = find_line(at, "open_writable /db/000002.log");
    at = find_line(at, "open_writable /db/000003.ldb");
    at = find_line(at, "sync /db/000003.ldb");
    at = find_line(at, "sync_dir /db");
    at = find_line(at, "append /db/MANIFEST-");
    at = find_line(at, "sync /db/MANIFEST-");
    (void)find_line(at, "remove_file /db/000001.log");
    free(log);
}

static void
a_flush_that_fails_keeps_the_journal_and_is_tried_again(void **state)
{
    static const struct row {
        enum env_fault_kind kind;
        const char *path;
    } rows[] = {
        {ENV_FAULT_OPEN_WRITABLE, ".ldb"}, {ENV_FAULT_APPEND, ".ldb"},
        {ENV_FAULT_SYNC, ".ldb"},          {ENV_FAULT_CLOSE, ".ldb"},
        {ENV_FAULT_OPEN_RANDOM, ".ldb"},   {ENV_FAULT_SYNC, "MANIFEST"},
        {ENV_FAULT_APPEND, "MANIFEST"},
    };
    struct db_fixture *f = *state;
    unsigned n = 0;

    /* A compaction would meet the failures too. */
    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    db_fixture_reopen(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        db_fixture_fill(f, n, n + 3);
        n += 3;
        db_fixture_fail(f, ENV_FAULT_BIT(rows[i].kind), rows[i].path, EIO);
        assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
        assert_true(db_fixture_count_files(f, LDB_FILE_JOURNAL) >= 2);
        db_fixture_assert_filled(f, 0, n);
        env_fault_fail(f->fault, NULL);
        /* The next one's sealing wakes the thread out of its pause. */
        db_fixture_fill(f, n, n + 1);
        n++;
        while (ldb_flush(f->db, &f->err) != LDB_OK)
            assert_ldb_status(LDB_IO, f->err.status, &f->err);
        /* The thread tidies up after the flush that was waited for. */
        while (ldb_health(f->db, NULL) != LDB_HEALTHY ||
               db_fixture_count_files(f, LDB_FILE_JOURNAL) > 1)
            sched_yield();
    }
    db_fixture_assert_filled(f, 0, n);
    db_fixture_reopen(f);
    db_fixture_assert_filled(f, 0, n);
}

/* ---- names ---- */

static void put_synced(struct db_fixture *f)
{
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("synced"), ldb_slice_str("1"),
                          true, &f->err, NULL),
                  &f->err);
}

static uint64_t folder_syncs(struct db_fixture *f)
{
    return env_fault_count(f->fault, ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR));
}

static void a_flush_makes_the_new_journals_name_durable(void **state)
{
    struct db_fixture *f = *state;
    uint64_t syncs;

    db_fixture_fill(f, 0, 10);
    put_synced(f);
    syncs = folder_syncs(f);
    db_fixture_flush(f);
    put_synced(f);
    assert_int_equal(folder_syncs(f), syncs + 1);
    db_fixture_power_cut(f);
    db_fixture_assert_filled(f, 0, 10);
    db_fixture_assert_value(f, "synced", "1");
}

/* The first record of the new journal, while the table has no sync yet. */
static void write_before_the_sync(void *context, enum env_fault_kind kind,
                                  const char *path)
{
    struct db_fixture *f = context;

    if (kind == ENV_FAULT_SYNC && strstr(path, ".ldb") != NULL)
        put_synced(f);
}

static void a_new_journal_makes_the_name_of_a_flush_durable(void **state)
{
    struct db_fixture *f = *state;
    uint64_t syncs;

    db_fixture_fill(f, 0, 10);
    put_synced(f);
    syncs = folder_syncs(f);
    env_fault_set_call_hook(f->fault, write_before_the_sync, f);
    db_fixture_flush(f);
    ldb_background_pause(f->db); /* it has tidied up */
    env_fault_set_call_hook(f->fault, NULL, NULL);
    ldb_background_resume(f->db);
    assert_int_equal(folder_syncs(f), syncs + 1);
    db_fixture_power_cut(f);
    assert_int_equal(f->recovery.tables_written, 1); /* of that record */
    db_fixture_assert_filled(f, 0, 10);
    db_fixture_assert_value(f, "synced", "1");
}

/* ---- groups ---- */

struct waiting {
    struct flush_gate gate;
    unsigned n;      /* keys filled */
    char newest[16]; /* value of a key that each memtable has */
};

static unsigned waiting_count(struct db_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.immutable_memtables;
}

static uint64_t level0_count(struct db_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.levels[0].tables;
}

/*
 * TOGETHER memtables wait at the closed gate, and another has something in it:
 * all of it durable, and nothing but a flush is left to do.
 */
static void let_some_wait(struct db_fixture *f, struct waiting *w)
{
    db_fixture_close(f);
    f->options.write_buffer_bytes = (size_t)64 << 10;
    f->options.immutable_memtables_max = TOGETHER + 1;
    f->options.no_compaction_backoff = true;
    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    flush_gate_init(&w->gate, f->fault);
    flush_gate_close(&w->gate);
    db_fixture_open(f);
    for (w->n = 0; waiting_count(f) < TOGETHER; w->n++) {
        (void)snprintf(w->newest, sizeof(w->newest), "%u", w->n);
        (void)db_fixture_put(f, "newest", w->newest);
        db_fixture_fill(f, w->n, w->n + 1);
    }
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("last"), ldb_slice_str("one"),
                          true, &f->err, NULL),
                  &f->err);
}

static void let_them_go(struct db_fixture *f, struct waiting *w)
{
    flush_gate_open(&w->gate);
    while (waiting_count(f) > 0)
        sched_yield();
}

static void assert_all_there(struct db_fixture *f, const struct waiting *w)
{
    db_fixture_assert_filled(f, 0, w->n);
    db_fixture_assert_value(f, "newest", w->newest);
    db_fixture_assert_value(f, "last", "one");
}

static void stop_waiting(struct db_fixture *f, struct waiting *w)
{
    db_fixture_close(f);
    flush_gate_release(&w->gate);
}

static unsigned count_lines(const char *log, const char *text)
{
    unsigned n = 0;

    for (const char *at = log; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static void memtables_that_wait_share_an_edit(void **state)
{
    struct db_fixture *f = *state;
    struct waiting w;
    ldb_sequence last;
    ldb_sequence recorded;
    uint64_t log_number;
    uint64_t journal;
    char *log;
    const char *edit;

    let_some_wait(f, &w);
    ldb_mutex_lock(&f->db->mu);
    last = f->db->immutables[TOGETHER - 1]->last_sequence;
    ldb_mutex_unlock(&f->db->mu);
    env_fault_start_log(f->fault);
    let_them_go(f, &w);
    ldb_mutex_lock(&f->db->mu);
    recorded = ldb_version_set_recovered_sequence(f->db->versions);
    log_number = ldb_version_set_log_number(f->db->versions);
    journal = f->db->journal_number;
    ldb_mutex_unlock(&f->db->mu);
    assert_true(last < ldb_last_sequence(f->db));
    assert_int_equal(recorded, last);
    assert_int_equal(log_number, journal);
    stop_waiting(f, &w);
    log = env_fault_log(f->fault);
    assert_int_equal(count_lines(log, "open_writable /db/"), TOGETHER);
    assert_int_equal(count_lines(log, "append /db/MANIFEST-"), 1);
    assert_int_equal(count_lines(log, "sync /db/MANIFEST-"), 1);
    assert_int_equal(count_lines(log, "remove_file /db/"), TOGETHER);
    /* docs/formats.md, rule 33, of all of them. */
    edit = find_line(log, "append /db/MANIFEST-");
    assert_int_equal(count_lines(edit, ".ldb"), 0);
    assert_int_equal(count_lines(edit, "remove_file /db/"), TOGETHER);
    assert_true(find_line(log, "sync_dir /db") < edit);
    assert_int_equal(count_lines(find_line(log, "sync_dir /db"), ".ldb"), 0);
    free(log);
    db_fixture_open(f);
    assert_int_equal(level0_count(f), TOGETHER + 1); /* one by recovery */
    assert_all_there(f, &w);
}

static void fail_table_of_a_group(enum env_fault_kind kind, unsigned nth)
{
    const struct env_fault_rule rule = {.kinds = ENV_FAULT_BIT(kind),
                                        .path = ".ldb",
                                        .nth = nth,
                                        .sys_errno = EIO};
    void *state = NULL;
    struct db_fixture *f;
    struct ldb_stats stats;
    struct waiting w;
    char *log;

    (void)db_fixture_setup(&state);
    f = state;
    let_some_wait(f, &w);
    env_fault_fail(f->fault, &rule);
    env_fault_start_log(f->fault);
    let_them_go(f, &w);
    assert_int_equal(env_fault_failed(f->fault), 1);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.flushes, TOGETHER);
    assert_int_equal(stats.levels[0].tables, TOGETHER);
    assert_all_there(f, &w);
    stop_waiting(f, &w);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), TOGETHER);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    log = env_fault_log(f->fault);
    /* An edit for those before it, one for it, one for those after it. */
    assert_int_equal(count_lines(log, "append /db/MANIFEST-"),
                     (nth > 1) + 1 + (nth < TOGETHER));
    free(log);
    (void)db_fixture_teardown(&state);
}

/* The rest is flushed by the next try, with nothing written twice. */
static void a_group_ends_before_the_table_that_fails(void **state)
{
    static const enum env_fault_kind kinds[] = {
        ENV_FAULT_OPEN_WRITABLE,
        ENV_FAULT_SYNC,
        ENV_FAULT_CLOSE,
        ENV_FAULT_OPEN_RANDOM,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        for (unsigned nth = 1; nth <= TOGETHER; nth++)
            fail_table_of_a_group(kinds[i], nth);
}

/* ---- each call of it ---- */

/* What a power cut now leaves has all that is durable. */
static void assert_survives(struct db_fixture *f, const struct waiting *w)
{
    struct env_fault *cut =
        env_fault_after_cut(f->fault, LDB_CRASH_KEEP_NONE, 1);
    struct db_fixture other = {
        .fault = cut, .env = env_fault_env(cut), .options = f->options};

    other.options.env = other.env;
    db_fixture_open(&other);
    assert_all_there(&other, w);
    db_fixture_close(&other);
    env_fault_destroy(cut);
}

static const struct way {
    const char *name;
    int sys_errno; /* of a call; 0: an allocation fails */
} ways[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"no memory", 0}};

/* Where there is no room for all of them there may be some for one. */
static void after_a_failure_a_memtable_goes_alone(void **state)
{
    const struct env_fault_rule rule = {.kinds =
                                            ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                        .path = "/db/MANIFEST-",
                                        .nth = 1,
                                        .sys_errno = ENOSPC};
    struct db_fixture *f = *state;
    struct waiting w;
    const char *retry;
    char *log;

    let_some_wait(f, &w);
    env_fault_fail(f->fault, &rule);
    env_fault_start_log(f->fault);
    let_them_go(f, &w);
    assert_int_equal(env_fault_failed(f->fault), 1);
    assert_all_there(f, &w);
    stop_waiting(f, &w);
    log = env_fault_log(f->fault);
    retry = find_line(log, "append /db/MANIFEST-") + 1;
    assert_int_equal(count_lines(retry, "open_writable /db/0"), TOGETHER);
    assert_int_equal(count_lines(find_line(retry, "append /db/MANIFEST-"),
                                 "open_writable /db/0"),
                     TOGETHER - 1);
    free(log);
}

/* Flushes the group with its nth call or allocation failing; once it has failed
 * it is tried again, until all are in tables. False: there are fewer. */
static bool flush_with_fault(struct db_fixture *f, struct waiting *w,
                             const struct way *way, uint64_t nth)
{
    bool met;

    if (way->sys_errno != 0)
        env_fault_fail(f->fault, &(struct env_fault_rule){
                                     .nth = nth, .sys_errno = way->sys_errno});
    else
        mem_fault_start(nth, MEM_FAULT_ONCE);
    let_them_go(f, w);
    ldb_background_pause(f->db); /* it is over */
    met =
        way->sys_errno != 0 ? env_fault_failed(f->fault) > 0 : mem_fault_stop();
    env_fault_fail(f->fault, NULL);
    ldb_background_resume(f->db);
    return met;
}

static bool fail_once_in_a_group(const struct way *way, uint64_t nth)
{
    void *state = NULL;
    struct db_fixture *f;
    struct waiting w;
    bool met;

    (void)db_fixture_setup(&state);
    f = state;
    let_some_wait(f, &w);
    met = flush_with_fault(f, &w, way, nth);
    assert_survives(f, &w);
    assert_int_equal(level0_count(f), TOGETHER);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    assert_all_there(f, &w);
    stop_waiting(f, &w);
    assert_survives(f, &w);
    db_fixture_open(f);
    assert_int_equal(level0_count(f), TOGETHER + 1); /* one by recovery */
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), TOGETHER + 1);
    assert_all_there(f, &w);
    (void)db_fixture_teardown(&state);
    return met;
}

static void any_call_of_a_group_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        uint64_t nth = 1;

        while (fail_once_in_a_group(&ways[i], nth)) {
            nth += STEP;
            assert_true(nth < CALLS_MAX);
        }
        print_message("%s: %llu, failed in turn\n", ways[i].name,
                      (unsigned long long)(nth - 1));
    }
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_flush_makes_one_table_of_all_entries),
        TEST(the_journal_goes_after_the_table_its_name_and_the_edit),
        TEST(a_flush_that_fails_keeps_the_journal_and_is_tried_again),
        TEST(a_flush_makes_the_new_journals_name_durable),
        TEST(a_new_journal_makes_the_name_of_a_flush_durable),
        TEST(memtables_that_wait_share_an_edit),
        cmocka_unit_test(a_group_ends_before_the_table_that_fails),
        TEST(after_a_failure_a_memtable_goes_alone),
        cmocka_unit_test(any_call_of_a_group_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
