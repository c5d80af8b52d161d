/*
 * A leader's edits become the twin's: tables built where that gives the
 * leader's bytes, and fetched where not; several at one stroke; never one whose
 * journals or tables are not here.
 */
#include "replication/edit_pull.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/follow_fixture.h"

#if defined(__SANITIZE_THREAD__)
#define RUNS 2
#elif defined(__SANITIZE_ADDRESS__)
#define RUNS 4
#else
#define RUNS 12
#endif

static struct follow_fixture f;

static int setup(void **state)
{
    (void)state;
    follow_open(&f, 1, true);
    return 0;
}

static int setup_lively(void **state)
{
    (void)state;
    follow_open(&f, 1, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (f.session != NULL)
        (void)follow_end(&f, REPL_END_STOPPED);
    follow_close(&f);
    return 0;
}

static void begin_both(void)
{
    follow_begin(&f);
    follow_start(&f, FOLLOW_JOURNALS | FOLLOW_EDITS);
}

static void stop(void)
{
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
}

static void catch_up_and_stop(void)
{
    begin_both();
    follow_catch_up(&f);
    stop();
}

static void run_both(enum repl_session_end end, const char *text)
{
    begin_both();
    (void)follow_wait_end(&f);
    if (follow_end(&f, REPL_END_NONE) != end)
        fail_msg("it has ended: %s", f.err.message);
    assert_ldb_message(text, &f.err);
}

static struct repl_follower_counts counts_now(void)
{
    struct repl_follower_stats stats;

    follow_stats(&f, &stats);
    return stats.counts;
}

static struct ldb_twin_state twin_now(void)
{
    struct ldb_twin_state at;

    ldb_twin_state(f.ship.db, &at);
    return at;
}

/* ---- what comes ---- */

static void the_folders_come_to_be_the_same(void **state)
{
    (void)state;
    begin_both();
    follow_write(&f, 1, 0); /* a twin without an entry takes any edit */
    follow_catch_up(&f);
    follow_write(&f, 60, 6);
    leader_run_compact(f.leader);
    follow_write(&f, 30, 6);
    follow_catch_up(&f);
    stop();
    assert_true(counts_now().tables_built > 0);
    assert_true(counts_now().tables_fetched > 0);
    assert_int_equal(0, counts_now().digest_mismatches);
    follow_assert_same(&f);
}

static void flushes_are_built_and_not_fetched(void **state)
{
    struct repl_follower_counts before;

    (void)state;
    begin_both();
    follow_write(&f, 1, 0); /* a twin without an entry takes any edit */
    follow_catch_up(&f);
    before = counts_now();
    for (unsigned i = 0; i < 6; i++) {
        follow_write(&f, 5, 5);
        follow_catch_up(&f);
    }
    stop();
    assert_int_equal(before.tables_built + 6, counts_now().tables_built);
    assert_int_equal(before.tables_fetched, counts_now().tables_fetched);
    follow_assert_same(&f);
}

static void waiting_edits_are_taken_at_one_stroke(void **state)
{
    struct repl_follower_counts before;

    (void)state;
    catch_up_and_stop();
    before = counts_now();
    follow_write(&f, 30, 5);
    follow_begin(&f);
    follow_start(&f, FOLLOW_JOURNALS);
    follow_catch_up_seals(&f);
    follow_start(&f, FOLLOW_EDITS);
    follow_catch_up(&f);
    stop();
    assert_int_equal(before.installs + 1, counts_now().installs);
    assert_true(counts_now().edits >= before.edits + 6);
    follow_assert_same(&f);
}

static void a_table_of_other_bytes_is_fetched(void **state)
{
    (void)state;
    /* As another build of the compressor would have it. */
    follow_close_twin(&f);
    f.leader->options.compress = false;
    follow_open_twin(&f);
    f.leader->options.compress = true;
    f.leader->options.block_bytes = 512;
    follow_restart_leader(&f);
    begin_both();
    follow_catch_up(&f); /* a twin without an entry takes any edit */
    follow_write(&f, 20, 5);
    follow_catch_up(&f);
    stop();
    assert_true(counts_now().digest_mismatches > 0);
    assert_true(counts_now().tables_fetched >= counts_now().digest_mismatches);
    follow_assert_same(&f);
}

static void a_leader_that_compacts_and_rotates_is_followed(void **state)
{
    (void)state;
    begin_both();
    for (unsigned i = 0; i < 20; i++) {
        follow_write(&f, 20, 0);
        follow_catch_up(&f); /* or it falls behind for good */
        follow_check(&f);
    }
    follow_catch_up(&f);
    stop();
    follow_assert_same(&f);
}

static void another_manifest_costs_no_table(void **state)
{
    uint64_t fetched;
    uint64_t built;

    (void)state;
    follow_write(&f, 30, 5);
    catch_up_and_stop();
    fetched = counts_now().tables_fetched;
    built = counts_now().tables_built;
    follow_restart_leader(&f);
    catch_up_and_stop();
    assert_int_equal(fetched, counts_now().tables_fetched);
    /* What it recovered from the journal is a flush too. */
    assert_in_range(counts_now().tables_built, built, built + 1);
    follow_assert_same(&f);
}

/* ---- what the leader has no more ---- */

static void tables_that_came_and_went_are_not_missed(void **state)
{
    (void)state;
    follow_write(&f, 24, 6);
    leader_run_compact(f.leader);
    follow_write(&f, 24, 6);
    leader_run_compact(f.leader);
    follow_write(&f, 6, 6);
    catch_up_and_stop();
    follow_assert_same(&f);
}

static void fall_far_behind(bool compacts)
{
    follow_write(&f, 1, 0); /* a twin without an entry takes any edit */
    catch_up_and_stop();
    follow_write(&f, 12, 6);
    if (compacts)
        leader_run_compact(f.leader);
    for (unsigned i = 0; i < LDB_TWIN_JOURNALS_MAX + 4; i++)
        follow_write(&f, 1, 1);
    if (compacts)
        leader_run_compact(f.leader);
}

/* With more journals in between than a twin may hold. */
static void what_cannot_be_had_any_more_leaves_us_behind(void **state)
{
    (void)state;
    fall_far_behind(true);
    run_both(REPL_END_BEHIND, "a table has gone at the leader");
    follow_check(&f);
}

static void run_edits(const char *text)
{
    follow_begin(&f);
    follow_start(&f, FOLLOW_EDITS);
    (void)follow_wait_end(&f);
    assert_int_equal(REPL_END_BEHIND, follow_end(&f, REPL_END_NONE));
    assert_ldb_message(text, &f.err);
    follow_check(&f);
}

/* No journal has to come for it to be seen. */
static void what_cannot_be_had_is_seen_ahead(void **state)
{
    (void)state;
    fall_far_behind(true);
    run_edits("a table has gone at the leader");
}

/* The leader's new MANIFEST asks for the last of them. */
static void journals_that_cannot_all_be_held_are_seen_ahead(void **state)
{
    (void)state;
    fall_far_behind(false);
    follow_restart_leader(&f);
    run_edits("they ask for later journals");
}

static void a_table_that_is_named_and_not_there_is_asked_for_again(void **state)
{
    const struct memory_peer_rule rule = {
        .what = MEMORY_PEER_STATUS, .path = ".ldb", .http = 404, .times = 8};

    (void)state;
    follow_write(&f, 24, 6);
    leader_run_compact(f.leader);
    memory_peer_rule(f.peer, &rule);
    catch_up_and_stop();
    follow_assert_same(&f);
}

static void a_table_that_stays_away_ends_the_session(void **state)
{
    const struct memory_peer_rule rule = {
        .what = MEMORY_PEER_STATUS, .path = ".ldb", .http = 404};
    enum repl_session_end end;

    (void)state;
    follow_write(&f, 24, 6);
    leader_run_compact(f.leader);
    memory_peer_rule(f.peer, &rule);
    begin_both();
    while (repl_session_ended(f.session, NULL) == REPL_END_NONE)
        follow_hear(&f);
    end = follow_end(&f, REPL_END_NONE);
    assert_int_equal(REPL_END_RETRY, end);
    assert_ldb_message("a table has gone at the leader", &f.err);
    memory_peer_forget_rules(f.peer);
    catch_up_and_stop();
    follow_assert_same(&f);
}

static void a_manifest_that_is_just_being_replaced_is_waited_for(void **state)
{
    const struct memory_peer_rule rule = {.what = MEMORY_PEER_STATUS,
                                          .path = "MANIFEST",
                                          .http = 404,
                                          .times = 3};

    (void)state;
    follow_write(&f, 12, 6);
    memory_peer_rule(f.peer, &rule);
    catch_up_and_stop();
    follow_assert_same(&f);
}

/* ---- a bad connection ---- */

static void tables_made_stay_when_the_connection_ends(void **state)
{
    const struct memory_peer_rule rule = {.what = MEMORY_PEER_REFUSE,
                                          .call = MEMORY_PEER_GET,
                                          .path = ".ldb",
                                          .skip = 2};
    uint64_t fetched;

    (void)state;
    follow_write(&f, 150, 0);
    leader_run_compact(f.leader);
    memory_peer_rule(f.peer, &rule);
    run_both(REPL_END_RETRY, "");
    fetched = counts_now().tables_fetched;
    assert_in_range(fetched, 1, 2);
    memory_peer_forget_rules(f.peer);
    catch_up_and_stop();
    /* Each once, and those that were refused. */
    follow_assert_same(&f);
}

static void flipped_bits_do_not_get_in(void **state)
{
    const struct memory_peer_rule in_manifest = {
        .what = MEMORY_PEER_FLIP, .path = "MANIFEST", .bytes = 8, .times = 1};
    const struct memory_peer_rule in_table = {
        .what = MEMORY_PEER_FLIP, .path = ".ldb", .bytes = 100, .times = 1};

    (void)state;
    follow_write(&f, 24, 6);
    leader_run_compact(f.leader);
    memory_peer_rule(f.peer, &in_manifest);
    memory_peer_rule(f.peer, &in_table);
    run_both(REPL_END_RETRY, "MANIFEST");
    follow_check(&f);
    catch_up_and_stop();
    assert_int_equal(1, counts_now().digest_mismatches);
    follow_assert_same(&f);
}

static void a_digest_not_known_yet_is_waited_for(void **state)
{
    (void)state;
    begin_both();
    memory_peer_set_knows_digests(f.peer, false);
    follow_catch_up_journals(&f);
    follow_write(&f, 3, 0);
    follow_catch_up_journals(&f);
    memory_peer_set_knows_digests(f.peer, true);
    leader_run_flush(f.leader);
    follow_catch_up(&f);
    stop();
    follow_assert_same(&f);
}

/* ---- into a twin without an entry ---- */

static atomic_bool has_begun;

/* Edits are being installed, and a journal begins for them: now the earlier
 * ones are to come. On the thread of the edits. */
static void begin_journals(void *context, enum env_fault_kind kind,
                           const char *path)
{
    (void)context;
    if (kind != ENV_FAULT_OPEN_WRITABLE || strstr(path, ".log") == NULL ||
        atomic_exchange(&has_begun, true))
        return;
    ldb_mutex_lock(&f.board.mu);
    follow_start(&f, FOLLOW_JOURNALS);
    /* It says where it is, and goes on. */
    assert_true(ldb_cond_wait_for(&f.board.moved, &f.board.mu, PATIENCE_US));
    ldb_mutex_unlock(&f.board.mu);
    for (unsigned i = 0; i < 1000; i++)
        (void)sched_yield();
}

static void journals_keep_out_of_an_install_that_goes_past_them(void **state)
{
    (void)state;
    follow_write(&f, 12, 3);
    atomic_store(&has_begun, false);
    follow_begin(&f);
    env_fault_set_call_hook(f.fault, begin_journals, NULL);
    follow_start(&f, FOLLOW_EDITS);
    follow_catch_up(&f);
    stop();
    env_fault_set_call_hook(f.fault, NULL, NULL);
    assert_true(atomic_load(&has_begun));
    follow_assert_same(&f);
}

static void what_a_failed_install_has_begun_waits_for_edits(void **state)
{
    const struct env_fault_rule rule = {.kinds = ENV_FAULT_WRITES,
                                        .path = "MANIFEST",
                                        .nth = 1,
                                        .sys_errno = EIO};
    struct repl_moves seen;

    (void)state;
    follow_write(&f, 12, 3);
    follow_write(&f, 2, 0);
    follow_settle(&f);
    memory_peer_rule(f.peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_HOLD,
                                                .call = MEMORY_PEER_GET,
                                                .path = ".log"});
    env_fault_fail(f.fault, &rule);
    run_both(REPL_END_RETRY, "MANIFEST");
    env_fault_fail(f.fault, NULL);
    memory_peer_forget_rules(f.peer);
    assert_int_equal(0, twin_now().applied.sequence);
    assert_true(twin_now().journal_count > 0);
    follow_begin(&f);
    follow_start(&f, FOLLOW_JOURNALS);
    repl_session_moves(f.session, &seen);
    while (!repl_session_is_stalled(f.session)) {
        assert_int_equal(0, twin_now().applied.sequence);
        assert_true(repl_session_wait(f.session, &seen,
                                      REPL_MOVE_BIT(REPL_MOVE_JOURNAL) |
                                          REPL_MOVE_BIT(REPL_MOVE_SYNCED),
                                      PATIENCE_US));
    }
    assert_int_equal(0, twin_now().applied.sequence);
    follow_start(&f, FOLLOW_EDITS);
    follow_catch_up(&f);
    stop();
    follow_assert_same(&f);
}

/* ---- epochs, and what is ours alone ---- */

static void a_leader_started_anew_gets_no_edit_in(void **state)
{
    uint64_t number;
    uint64_t len;

    (void)state;
    follow_write(&f, 12, 6);
    catch_up_and_stop();
    number = twin_now().manifest_number;
    len = twin_now().manifest_len;
    follow_begin(&f);
    follow_restart_leader(&f);
    follow_hear(&f);
    follow_start(&f, FOLLOW_EDITS);
    assert_int_equal(REPL_END_EPOCH, follow_wait_end(&f));
    assert_int_equal(REPL_END_EPOCH, follow_end(&f, REPL_END_NONE));
    assert_int_equal(number, twin_now().manifest_number);
    assert_int_equal(len, twin_now().manifest_len);
    catch_up_and_stop();
    follow_assert_same(&f);
}

static void edits_of_an_epoch_that_is_over_do_not_get_in(void **state)
{
    struct repl_epoch_history higher = {0};
    struct repl_epoch next;
    uint64_t len;

    (void)state;
    follow_write(&f, 6, 0);
    begin_both();
    follow_catch_up(&f);
    len = twin_now().manifest_len;
    next = *repl_epoch_history_last(&f.history);
    next.number++;
    next.id++;
    next.base = UINT64_C(1) << 40;
    assert_ldb_ok(repl_epoch_history_copy(&f.history, &f.err, &higher), &f.err);
    assert_ldb_ok(repl_epoch_history_append(&higher, &next, &f.err), &f.err);
    /* The journal is complete by now, its edit is on its way. */
    memory_peer_rule(f.peer, &(struct memory_peer_rule){
                                 .what = MEMORY_PEER_HOLD, .path = "MANIFEST"});
    leader_run_flush(f.leader);
    follow_catch_up_journals(&f);
    follow_hear(&f);
    assert_true(memory_peer_wait_held(f.peer, 1));
    assert_ldb_ok(repl_epoch_gate_accept(f.gate, NULL, &higher, &f.err),
                  &f.err);
    repl_epoch_history_release(&higher);
    memory_peer_let_go(f.peer);
    assert_int_equal(REPL_END_EPOCH, follow_wait_end(&f));
    assert_int_equal(REPL_END_EPOCH, follow_end(&f, REPL_END_NONE));
    assert_int_equal(len, twin_now().manifest_len);
}

static void say_longer(void *context, struct repl_state *state)
{
    (void)context;
    state->manifest_len += 1000000;
}

static void a_manifest_that_is_longer_than_the_leaders_differs(void **state)
{
    const struct memory_peer_edits edits = {.state = say_longer};
    struct leader_run *other = leader_run_create(2, true);

    (void)state;
    follow_write(&f, 12, 6);
    catch_up_and_stop();
    leader_run_reopen(other); /* its MANIFEST has the same number */
    memory_peer_set_db(f.peer, other->db, &other->options, LEADER_DIR);
    memory_peer_set_edits(f.peer, &edits);
    follow_begin(&f);
    follow_start(&f, FOLLOW_EDITS);
    assert_int_equal(REPL_END_DIFFERS, follow_wait_end(&f));
    assert_int_equal(REPL_END_DIFFERS, follow_end(&f, REPL_END_NONE));
    assert_ldb_message("bytes at the leader", &f.err);
    memory_peer_set_db(f.peer, NULL, NULL, NULL);
    leader_run_destroy(other);
}

/* ---- the twin's disk ---- */

/* A failure of its n-th write, for each n until there is none. */
static void a_failed_write_is_made_good(void **state)
{
    bool has_failed = true;

    (void)state;
    follow_write(&f, 24, 6);
    leader_run_compact(f.leader);
    for (uint64_t n = 1; has_failed; n += 3) {
        const struct env_fault_rule rule = {
            .kinds = ENV_FAULT_WRITES, .nth = n, .sys_errno = EIO};

        begin_both();
        env_fault_fail(f.fault, &rule);
        while (repl_session_ended(f.session, NULL) == REPL_END_NONE &&
               twin_now().manifest_len == 0)
            follow_hear(&f);
        follow_write(&f, 2, 2);
        for (unsigned i = 0; i < 50; i++)
            follow_hear(&f);
        has_failed = env_fault_failed(f.fault) > 0;
        env_fault_fail(f.fault, NULL);
        (void)follow_end(&f, REPL_END_STOPPED);
        LDB_IGNORE(ldb_close(f.ship.db, NULL)); /* it may have stopped */
        follow_drop_twin(&f);
        follow_open_twin(&f);
        follow_check(&f);
    }
    catch_up_and_stop();
    follow_assert_same(&f);
}

/*
 * A crash may find an install that failed: tables that it names stay, though
 * they are of an epoch that is over, until the twin is opened anew.
 */
static void tables_of_a_failed_install_stay_until_it_is_known(void **state)
{
    const unsigned rounds_max = 20;
    unsigned rounds = 0;
    uint64_t n = 0;
    bool has_reopened = false;
    bool has_failed = true;

    (void)state;
    /* Which sync fails an install is up to threads: again, until one has. */
    while (has_failed || (!has_reopened && rounds < rounds_max)) {
        const struct env_fault_rule rule = {
            .kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR),
            .nth = ++n,
            .sys_errno = EIO};

        follow_write(&f, 1, 0);
        catch_up_and_stop();
        follow_write(&f, 12, 3);
        begin_both();
        env_fault_fail(f.fault, &rule);
        for (unsigned i = 0; i < 50; i++)
            follow_hear(&f);
        has_failed = env_fault_failed(f.fault) > 0;
        if (!has_failed) {
            n = 0;
            rounds++;
        }
        env_fault_fail(f.fault, NULL);
        (void)follow_end(&f, REPL_END_STOPPED);
        follow_restart_leader(&f);
        follow_begin(&f);
        follow_start(&f, FOLLOW_EDITS);
        for (unsigned i = 0; i < 3; i++)
            follow_hear(&f);
        has_reopened |= follow_end(&f, REPL_END_STOPPED) == REPL_END_REOPEN;
        follow_cut_power(&f, LDB_CRASH_KEEP_ALL, n);
        follow_check(&f);
    }
    assert_true(has_reopened);
    catch_up_and_stop();
    follow_assert_same(&f);
}

/* ---- at random ---- */

static void live_a_little(uint64_t *seed)
{
    switch (bytes_next(seed) % 6) {
    case 0:
        leader_run_flush(f.leader);
        break;
    case 1:
        leader_run_compact(f.leader);
        break;
    case 2:
        follow_restart_leader(&f);
        break;
    default:
        follow_write(&f, 1 + (unsigned)(bytes_next(seed) % 12), 0);
    }
}

/* A session that is cut somewhere, and what a power cut leaves of it. */
static void follow_a_little(uint64_t *seed)
{
    static const enum ldb_crash_keep keeps[] = {
        LDB_CRASH_KEEP_NONE, LDB_CRASH_KEEP_ALL, LDB_CRASH_KEEP_TORN};

    memory_peer_set_pieces(f.peer, 1 + (size_t)(bytes_next(seed) % 5000),
                           bytes_next(seed));
    begin_both();
    if (bytes_next(seed) % 4 != 0)
        follow_catch_up(&f); /* or it falls behind for good */
    for (uint64_t i = bytes_next(seed) % 30; i > 0; i--)
        follow_hear(&f);
    (void)follow_end(&f, REPL_END_STOPPED);
    if (bytes_next(seed) % 2 == 0)
        follow_cut_power(&f, keeps[bytes_next(seed) % 3], bytes_next(seed));
    follow_check(&f);
}

static void run(uint64_t seed)
{
    uint64_t random = seed * 77 + 5;

    follow_open(&f, seed, false);
    for (unsigned i = 0; i < 12; i++) {
        for (uint64_t n = bytes_next(&random) % 8; n > 0; n--)
            live_a_little(&random);
        follow_a_little(&random);
    }
    catch_up_and_stop();
    follow_assert_same(&f);
    follow_close(&f);
}

static void a_twin_that_loses_power_comes_to_the_same_folder(void **state)
{
    const char *given = getenv("LEVELD_SEED");
    uint64_t first = given == NULL ? 1 : strtoull(given, NULL, 10);

    (void)state;
    for (uint64_t seed = first; seed < first + RUNS; seed++) {
        print_message("LEVELD_SEED=%llu\n", (unsigned long long)seed);
        run(seed);
    }
}

#define pull_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pull_test(the_folders_come_to_be_the_same),
        pull_test(flushes_are_built_and_not_fetched),
        pull_test(waiting_edits_are_taken_at_one_stroke),
        pull_test(a_table_of_other_bytes_is_fetched),
        cmocka_unit_test_setup_teardown(
            a_leader_that_compacts_and_rotates_is_followed, setup_lively,
            teardown),
        pull_test(another_manifest_costs_no_table),
        pull_test(tables_that_came_and_went_are_not_missed),
        pull_test(what_cannot_be_had_any_more_leaves_us_behind),
        pull_test(what_cannot_be_had_is_seen_ahead),
        pull_test(journals_that_cannot_all_be_held_are_seen_ahead),
        pull_test(a_table_that_is_named_and_not_there_is_asked_for_again),
        pull_test(a_table_that_stays_away_ends_the_session),
        pull_test(a_manifest_that_is_just_being_replaced_is_waited_for),
        pull_test(tables_made_stay_when_the_connection_ends),
        pull_test(flipped_bits_do_not_get_in),
        pull_test(a_digest_not_known_yet_is_waited_for),
        pull_test(journals_keep_out_of_an_install_that_goes_past_them),
        pull_test(what_a_failed_install_has_begun_waits_for_edits),
        pull_test(a_leader_started_anew_gets_no_edit_in),
        pull_test(edits_of_an_epoch_that_is_over_do_not_get_in),
        pull_test(a_manifest_that_is_longer_than_the_leaders_differs),
        pull_test(a_failed_write_is_made_good),
        pull_test(tables_of_a_failed_install_stay_until_it_is_known),
        cmocka_unit_test(a_twin_that_loses_power_comes_to_the_same_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
