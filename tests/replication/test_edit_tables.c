/*
 * The tables of a run of edits: which are built, which are fetched, which stay
 * for the next try, and what is told when they cannot be had.
 */
#include "replication/edit_tables.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/follow_fixture.h"

static struct follow_fixture f;
static struct repl_edit_tables tables;
static struct repl_client client;
static struct ldb_twin_plan *plan;

static void begin(void)
{
    follow_begin(&f);
    repl_client_init(&client, f.session->transports[REPL_LANE_EDITS]);
    repl_edit_tables_start(&tables, f.session, &client);
}

static void drop_plan(void)
{
    ldb_twin_plan_destroy(plan);
    plan = NULL;
}

/* A session of journals alone, until those of all flushes are complete. */
static void pull_journals(void)
{
    follow_begin(&f);
    follow_start(&f, FOLLOW_JOURNALS);
    follow_catch_up_seals(&f);
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
}

/* All that the leader's MANIFEST has after ours, the journals being here; and a
 * session in which nobody else does anything. */
static void make_plan(void)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_state at;
    uint64_t number = 0;
    uint64_t len = 0;

    pull_journals();
    begin();
    drop_plan();
    ldb_twin_state(f.ship.db, &at);
    repl_session_manifest(f.session, &number, &len);
    assert_true(leader_run_file(f.leader, LDB_FILE_MANIFEST, number, &bytes));
    if (at.manifest_number != number)
        at.manifest_len = 0;
    assert_ldb_ok(ldb_twin_plan_create(
                      f.ship.db, number, at.manifest_len,
                      ldb_slice_make(bytes.data + at.manifest_len,
                                     bytes.len - (size_t)at.manifest_len),
                      &f.err, &plan),
                  &f.err);
    ldb_buf_release(&bytes);
}

/* The next session; the journals are here by now. */
static void begin_again(void)
{
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
    begin();
}

/* A twin with one table of its own, and a leader with more. */
static int setup(void **state)
{
    (void)state;
    tables = (struct repl_edit_tables){0};
    plan = NULL;
    follow_open(&f, 1, true);
    follow_write(&f, 5, 5);
    follow_begin(&f);
    follow_start(&f, FOLLOW_JOURNALS | FOLLOW_EDITS);
    follow_catch_up(&f);
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    drop_plan();
    if (f.session != NULL)
        (void)follow_end(&f, REPL_END_STOPPED);
    repl_edit_tables_release(&tables);
    follow_close(&f);
    return 0;
}

static struct repl_follower_counts counts_now(void)
{
    struct repl_follower_stats stats;

    follow_stats(&f, &stats);
    return stats.counts;
}

static size_t table_count(void)
{
    size_t count = 0;

    (void)ldb_twin_plan_tables(plan, &count);
    return count;
}

static enum ldb_status make(void)
{
    f.err = (struct ldb_error){0};
    return repl_edit_tables_make(&tables, plan, &f.err);
}

static void flushes_are_built(void **state)
{
    struct repl_follower_counts before = counts_now();

    (void)state;
    follow_write(&f, 10, 5);
    make_plan();
    assert_int_equal(2, table_count());
    assert_ldb_ok(make(), &f.err);
    assert_int_equal(before.tables_built + 2, counts_now().tables_built);
    assert_int_equal(before.tables_fetched, counts_now().tables_fetched);
    assert_ldb_ok(ldb_twin_install(f.ship.db, plan, &f.err), &f.err);
    repl_edit_tables_installed(&tables, plan, true);
    assert_int_equal(0, tables.made.count);
    follow_check(&f);
}

static void others_are_fetched(void **state)
{
    struct repl_follower_counts before = counts_now();

    (void)state;
    follow_write(&f, 10, 5);
    leader_run_compact(f.leader);
    make_plan();
    assert_ldb_ok(make(), &f.err);
    assert_int_equal(before.tables_built, counts_now().tables_built);
    assert_int_equal(before.tables_fetched + table_count(),
                     counts_now().tables_fetched);
    assert_true(counts_now().table_bytes > before.table_bytes);
    assert_ldb_ok(ldb_twin_install(f.ship.db, plan, &f.err), &f.err);
    follow_check(&f);
}

static void what_was_made_is_not_made_again(void **state)
{
    uint64_t calls;

    (void)state;
    follow_write(&f, 10, 5);
    leader_run_compact(f.leader);
    follow_write(&f, 5, 5);
    make_plan();
    assert_ldb_ok(make(), &f.err);
    assert_int_equal(table_count(), tables.made.count);
    begin_again();
    calls = memory_peer_count(f.peer, MEMORY_PEER_ANY, ".ldb");
    assert_ldb_ok(make(), &f.err);
    assert_int_equal(calls, memory_peer_count(f.peer, MEMORY_PEER_ANY, ".ldb"));
    /* The twin did not take them. */
    repl_edit_tables_refused(&tables, plan);
    assert_int_equal(0, tables.made.count);
    assert_ldb_ok(make(), &f.err);
    assert_true(memory_peer_count(f.peer, MEMORY_PEER_ANY, ".ldb") > calls);
}

static void another_epoch_vouches_for_its_own(void **state)
{
    (void)state;
    follow_write(&f, 10, 5);
    make_plan();
    assert_ldb_ok(make(), &f.err);
    assert_int_equal(2, tables.made.count);
    follow_add_epoch(&f);
    begin_again();
    assert_int_equal(0, tables.made.count);
    assert_ldb_ok(make(), &f.err);
}

static void what_the_leader_has_no_more_is_noted(void **state)
{
    const struct memory_peer_rule rule = {
        .what = MEMORY_PEER_STATUS, .path = ".ldb", .http = 404};

    (void)state;
    follow_write(&f, 10, 5);
    leader_run_compact(f.leader);
    make_plan();
    memory_peer_rule(f.peer, &rule);
    assert_ldb_status(LDB_NOT_FOUND, make(), &f.err);
    assert_true(tables.missing_count > 0);
    memory_peer_forget_rules(f.peer);
    begin_again();
    assert_int_equal(0, tables.missing_count);
    assert_ldb_ok(make(), &f.err);
}

static void a_flush_that_is_gone_is_known_by_its_length(void **state)
{
    const struct memory_peer_rule rule = {
        .what = MEMORY_PEER_STATUS, .path = ".ldb", .http = 404};

    (void)state;
    follow_write(&f, 10, 5);
    make_plan();
    memory_peer_rule(f.peer, &rule);
    assert_ldb_ok(make(), &f.err);
    assert_int_equal(0, tables.missing_count);
}

static void a_digest_not_known_yet_is_for_later(void **state)
{
    (void)state;
    follow_write(&f, 10, 5);
    make_plan();
    memory_peer_set_knows_digests(f.peer, false);
    assert_ldb_status(LDB_STALLED, make(), &f.err);
    memory_peer_set_knows_digests(f.peer, true);
    assert_ldb_ok(make(), &f.err);
}

static void a_table_of_another_epoch_is_not_taken(void **state)
{
    (void)state;
    follow_write(&f, 10, 5);
    make_plan();
    follow_add_epoch(&f);
    assert_ldb_status(LDB_PRECONDITION, make(), &f.err);
    assert_int_equal(0, tables.made.count);
}

static enum ldb_status ask(const uint64_t *numbers, size_t count)
{
    f.err = (struct ldb_error){0};
    return repl_edit_tables_ask(&tables, numbers, count, &f.err);
}

static void it_is_asked_which_the_leader_has_no_more(void **state)
{
    uint64_t gone[] = {1000, 1001, 0, 1002};
    uint64_t calls;

    (void)state;
    follow_write(&f, 10, 5);
    make_plan();
    gone[2] = ldb_twin_plan_tables(plan, &(size_t){0})[0].number;
    calls = memory_peer_count(f.peer, MEMORY_PEER_ANY, ".ldb");
    /* Up to the first that it has. */
    assert_ldb_ok(ask(gone, 4), &f.err);
    assert_int_equal(calls + 3,
                     memory_peer_count(f.peer, MEMORY_PEER_ANY, ".ldb"));
    assert_int_equal(2, tables.missing_count);
    assert_int_equal(1000, tables.missing[0]);
    assert_int_equal(1001, tables.missing[1]);
    /* One that lies here needs no question. */
    begin_again();
    assert_ldb_ok(repl_made_tables_add(&tables.made, 1000, 1, &f.err), &f.err);
    assert_ldb_ok(ask(gone, 2), &f.err);
    assert_int_equal(1, tables.missing_count);
    assert_int_equal(1001, tables.missing[0]);
}

static void who_cannot_ask_says_why(void **state)
{
    static const uint64_t gone[] = {1000};
    const struct memory_peer_rule rule = {
        .what = MEMORY_PEER_STATUS, .path = ".ldb", .http = 503};
    uint64_t there;

    (void)state;
    follow_write(&f, 10, 5);
    make_plan();
    there = ldb_twin_plan_tables(plan, &(size_t){0})[0].number;
    memory_peer_rule(f.peer, &rule);
    assert_ldb_status(LDB_IO, ask(gone, 1), &f.err);
    memory_peer_forget_rules(f.peer);
    follow_add_epoch(&f);
    assert_ldb_status(LDB_PRECONDITION, ask(&there, 1), &f.err);
    repl_session_finish(f.session, REPL_END_STOPPED, NULL);
    assert_ldb_status(LDB_CANCELLED, ask(gone, 1), &f.err);
    assert_int_equal(0, tables.missing_count);
}

static void none_is_made_once_the_session_has_ended(void **state)
{
    (void)state;
    follow_write(&f, 10, 5);
    make_plan();
    repl_session_finish(f.session, REPL_END_STOPPED, NULL);
    assert_ldb_status(LDB_CANCELLED, make(), &f.err);
}

#define tables_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        tables_test(flushes_are_built),
        tables_test(others_are_fetched),
        tables_test(what_was_made_is_not_made_again),
        tables_test(another_epoch_vouches_for_its_own),
        tables_test(what_the_leader_has_no_more_is_noted),
        tables_test(a_flush_that_is_gone_is_known_by_its_length),
        tables_test(a_digest_not_known_yet_is_for_later),
        tables_test(a_table_of_another_epoch_is_not_taken),
        tables_test(it_is_asked_which_the_leader_has_no_more),
        tables_test(who_cannot_ask_says_why),
        tables_test(none_is_made_once_the_session_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
