/* What is durable: one point, exact, and whoever watches is told of it. */
#include "storage/durable.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

/* Somebody who watches. */
struct watcher {
    struct ldb_mutex mu;
    struct ldb_cond told;
    unsigned count; /* guarded by mu */
};

static void on_durable(void *context)
{
    struct watcher *w = context;

    ldb_mutex_lock(&w->mu);
    w->count++;
    ldb_cond_broadcast(&w->told);
    ldb_mutex_unlock(&w->mu);
}

static struct watcher watcher;

static int setup(void **state)
{
    struct db_fixture *f;

    (void)db_fixture_setup(state);
    f = *state;
    watcher = (struct watcher){0};
    ldb_mutex_init(&watcher.mu);
    ldb_cond_init(&watcher.told);
    f->options.on_durable = on_durable;
    f->options.on_durable_context = &watcher;
    f->options.sync_interval_us = 1000;
    db_fixture_reopen(f);
    return 0;
}

static int teardown(void **state)
{
    int result = db_fixture_teardown(state);

    ldb_cond_release(&watcher.told);
    ldb_mutex_release(&watcher.mu);
    return result;
}

static ldb_sequence put_synced(struct db_fixture *f, const char *key)
{
    ldb_sequence sequence = 0;

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str("v"), true,
                          &f->err, &sequence),
                  &f->err);
    return sequence;
}

/* Returns once he was told of it. */
static void wait_for(struct db_fixture *f, ldb_sequence sequence)
{
    ldb_mutex_lock(&watcher.mu);
    while (ldb_durable_position(f->db).sequence < sequence)
        ldb_cond_wait(&watcher.told, &watcher.mu);
    ldb_mutex_unlock(&watcher.mu);
}

/* Nobody watches any more, and the last sync that was due for those who did is
 * over: it may have been armed for a write that the one before took along. */
static void wait_for_rest(struct db_fixture *f)
{
    bool is_resting;

    do {
        sched_yield();
        ldb_mutex_lock(&f->db->mu);
        is_resting =
            atomic_load(&f->db->sync_due_us) == 0 && !f->db->is_early_syncing;
        ldb_mutex_unlock(&f->db->mu);
    } while (!is_resting);
}

static void assert_position(struct ldb_position position, uint64_t journal,
                            uint64_t offset, ldb_sequence sequence)
{
    assert_int_equal(position.journal, journal);
    assert_int_equal(position.offset, offset);
    assert_int_equal(position.sequence, sequence);
}

static void a_synced_write_moves_the_position_to_its_end(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    assert_position(ldb_durable_position(f->db), stats.journal_number, 0, 0);
    for (ldb_sequence n = 1; n < 5; n++) {
        assert_int_equal(put_synced(f, "k"), n);
        ldb_stats(f->db, &stats);
        assert_position(ldb_durable_position(f->db), stats.journal_number,
                        stats.journal_bytes, n);
        assert_int_equal(stats.durable_sequence, n);
    }
}

static void an_unsynced_write_moves_nothing_and_costs_no_sync(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_position before;
    struct ldb_stats stats;

    (void)put_synced(f, "k");
    before = ldb_durable_position(f->db);
    (void)db_fixture_put(f, "k", "later");
    assert_position(ldb_durable_position(f->db), before.journal, before.offset,
                    before.sequence);
    /* Nobody watches: nothing is due, and nobody is told. */
    assert_int_equal(atomic_load(&f->db->sync_due_us), 0);
    assert_int_equal(watcher.count, 0);
    /* The next synced one takes it along. */
    (void)put_synced(f, "k");
    ldb_stats(f->db, &stats);
    assert_position(ldb_durable_position(f->db), stats.journal_number,
                    stats.journal_bytes, 3);
}

static void while_watched_unsynced_writes_become_durable(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    (void)db_fixture_put(f, "before", "v");
    ldb_watch_begin(f->db);
    wait_for(f, 1);
    for (ldb_sequence n = 2; n < 50; n++) {
        assert_int_equal(db_fixture_put(f, "k", "v"), n);
        if (n % 7 == 0)
            wait_for(f, n);
    }
    wait_for(f, 49);
    ldb_watch_end(f->db);
    wait_for_rest(f);
    ldb_stats(f->db, &stats);
    assert_position(ldb_durable_position(f->db), stats.journal_number,
                    stats.journal_bytes, 49);
    /* Nobody watches any more. */
    (void)db_fixture_put(f, "k", "v");
    assert_int_equal(atomic_load(&f->db->sync_due_us), 0);
    assert_int_equal(ldb_durable_position(f->db).sequence, 49);
}

static void an_interval_of_none_leaves_them_until_somebody_asks(void **state)
{
    struct db_fixture *f = *state;

    f->options.sync_interval_us = 0;
    db_fixture_reopen(f);
    ldb_watch_begin(f->db);
    (void)db_fixture_put(f, "k", "v");
    assert_int_equal(atomic_load(&f->db->sync_due_us), 0);
    ldb_sync_soon(f->db);
    wait_for(f, 1);
    ldb_watch_end(f->db);
}

static void a_synced_write_tells_who_watches(void **state)
{
    struct db_fixture *f = *state;
    unsigned before;

    ldb_watch_begin(f->db);
    (void)put_synced(f, "k");
    ldb_mutex_lock(&watcher.mu);
    assert_true(watcher.count >= 1);
    before = watcher.count;
    ldb_mutex_unlock(&watcher.mu);
    (void)put_synced(f, "k");
    ldb_mutex_lock(&watcher.mu);
    assert_true(watcher.count > before);
    ldb_mutex_unlock(&watcher.mu);
    ldb_watch_end(f->db);
}

static void a_seal_leaves_it_at_the_end_of_the_sealed_journal(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;
    struct ldb_position position;
    uint64_t number;
    uint64_t len;

    (void)db_fixture_put(f, "k", "v");
    ldb_stats(f->db, &stats);
    number = stats.journal_number;
    len = stats.journal_bytes;
    db_fixture_flush(f);
    assert_position(ldb_durable_position(f->db), number, len, 1);
    (void)db_fixture_put(f, "k", "v");
    assert_position(ldb_durable_position(f->db), number, len, 1);
    (void)put_synced(f, "k");
    ldb_stats(f->db, &stats);
    position = ldb_durable_position(f->db);
    assert_true(stats.journal_number > number);
    assert_position(position, stats.journal_number, stats.journal_bytes, 3);
}

static void a_seal_tells_who_watches(void **state)
{
    struct db_fixture *f = *state;

    f->options.sync_interval_us = 0; /* so that nothing else does */
    db_fixture_reopen(f);
    ldb_watch_begin(f->db);
    (void)db_fixture_put(f, "k", "v");
    db_fixture_flush(f);
    ldb_mutex_lock(&watcher.mu);
    while (watcher.count == 0)
        ldb_cond_wait(&watcher.told, &watcher.mu);
    ldb_mutex_unlock(&watcher.mu);
    assert_int_equal(ldb_durable_position(f->db).sequence, 1);
    ldb_watch_end(f->db);
}

static void raising_the_sequence_moves_it_where_all_is_durable(void **state)
{
    struct db_fixture *f = *state;

    (void)put_synced(f, "k");
    assert_ldb_ok(ldb_raise_sequence(f->db, 100, &f->err), &f->err);
    assert_int_equal(ldb_durable_position(f->db).sequence, 100);
    (void)db_fixture_put(f, "k", "v");
    assert_ldb_ok(ldb_raise_sequence(f->db, 200, &f->err), &f->err);
    assert_int_equal(ldb_durable_position(f->db).sequence, 100);
    assert_int_equal(put_synced(f, "k"), 201);
    assert_int_equal(ldb_durable_position(f->db).sequence, 201);
    db_fixture_flush(f);
    assert_ldb_ok(ldb_raise_sequence(f->db, 300, &f->err), &f->err);
    assert_int_equal(ldb_durable_position(f->db).sequence, 300);
    db_fixture_reopen(f);
    assert_int_equal(ldb_durable_position(f->db).sequence, 201);
}

static void a_failed_sync_moves_nothing(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_position before;

    (void)put_synced(f, "k");
    before = ldb_durable_position(f->db);
    (void)db_fixture_put(f, "k", "not synced either");
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_int_equal(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("lost"),
                             true, &f->err, NULL),
                     LDB_OUTCOME_UNKNOWN);
    assert_position(ldb_durable_position(f->db), before.journal, before.offset,
                    before.sequence);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_int_equal(ldb_durable_position(f->db).sequence,
                     ldb_last_sequence(f->db));
    (void)put_synced(f, "k");
    assert_int_equal(ldb_durable_position(f->db).sequence,
                     ldb_last_sequence(f->db));
}

static void a_failed_background_sync_moves_nothing(void **state)
{
    struct db_fixture *f = *state;

    ldb_watch_begin(f->db);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    (void)db_fixture_put(f, "k", "v");
    while (ldb_health(f->db, NULL) != LDB_HEALTH_SYNC_FAILED)
        sched_yield();
    assert_int_equal(ldb_durable_position(f->db).offset, 0);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    (void)db_fixture_put(f, "k", "v");
    wait_for(f, ldb_last_sequence(f->db));
    ldb_watch_end(f->db);
}

/* After a cut append the bytes before it are known to be durable. */
static void a_cut_append_moves_it_to_the_last_whole_group(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    (void)db_fixture_put(f, "k", "v");
    env_fault_fail(f->fault, &(struct env_fault_rule){
                                 .kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                 .path = ".log",
                                 .nth = 1,
                                 .sys_errno = EIO,
                                 .torn = true});
    assert_int_equal(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("no"),
                             false, &f->err, NULL),
                     LDB_IO);
    env_fault_fail(f->fault, NULL);
    ldb_stats(f->db, &stats);
    assert_position(ldb_durable_position(f->db), stats.journal_number,
                    stats.journal_bytes, 1);
}

static void what_it_says_survives_a_power_cut(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned round = 0; round < 10; round++) {
        struct ldb_position durable;

        ldb_watch_begin(f->db);
        db_fixture_fill(f, round * 2000, round * 2000 + 1500 + round * 37);
        durable = ldb_durable_position(f->db);
        db_fixture_power_cut(f);
        assert_true(ldb_last_sequence(f->db) >= durable.sequence);
    }
}

/* ---- beside each other ---- */

struct looker {
    struct ldb_db *db;
    _Atomic(bool) stops;
    uint64_t looks;
};

/* Each write takes as many bytes: offset and sequence belong together. */
#define RECORD_BYTES (7 + 12 + 1 + 2 + 2)

static void look(void *context)
{
    struct looker *looker = context;
    struct ldb_position last = {0};

    while (!atomic_load(&looker->stops)) {
        struct ldb_position p = ldb_durable_position(looker->db);

        assert_true(p.journal >= last.journal);
        assert_true(p.sequence >= last.sequence);
        assert_int_equal(p.offset, p.sequence * RECORD_BYTES);
        assert_true(p.sequence <= ldb_last_sequence(looker->db));
        last = p;
        looker->looks++;
    }
}

static void offset_and_sequence_belong_together(void **state)
{
    struct db_fixture *f = *state;
    struct looker looker = {.db = f->db};
    struct ldb_thread *thread = NULL;

    assert_ldb_ok(f->env->ops->thread_start(f->env, "looker", look, &looker,
                                            &f->err, &thread),
                  &f->err);
    ldb_watch_begin(f->db);
    /* No chunk crosses a block. */
    for (unsigned n = 0; n < 32768 / RECORD_BYTES; n++) {
        if (n % 5 == 0)
            (void)put_synced(f, "k");
        else
            (void)db_fixture_put(f, "k", "v");
        if (n % 64 == 0)
            sched_yield();
    }
    ldb_watch_end(f->db);
    atomic_store(&looker.stops, true);
    f->env->ops->thread_join(f->env, thread);
}

static void a_read_only_database_has_nobody_to_tell(void **state)
{
    struct db_fixture *f = *state;

    (void)put_synced(f, "k");
    f->options.read_only = true;
    db_fixture_reopen(f);
    ldb_watch_begin(f->db);
    ldb_sync_soon(f->db);
    ldb_watch_end(f->db);
    assert_position(ldb_durable_position(f->db), 0, 0, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_synced_write_moves_the_position_to_its_end),
        TEST(an_unsynced_write_moves_nothing_and_costs_no_sync),
        TEST(while_watched_unsynced_writes_become_durable),
        TEST(an_interval_of_none_leaves_them_until_somebody_asks),
        TEST(a_synced_write_tells_who_watches),
        TEST(a_seal_leaves_it_at_the_end_of_the_sealed_journal),
        TEST(a_seal_tells_who_watches),
        TEST(raising_the_sequence_moves_it_where_all_is_durable),
        TEST(a_failed_sync_moves_nothing),
        TEST(a_failed_background_sync_moves_nothing),
        TEST(a_cut_append_moves_it_to_the_last_whole_group),
        TEST(what_it_says_survives_a_power_cut),
        TEST(offset_and_sequence_belong_together),
        TEST(a_read_only_database_has_nobody_to_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
