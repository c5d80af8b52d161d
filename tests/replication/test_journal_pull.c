/*
 * Journals come over a connection that does what a test says: they are the
 * leader's, durable when it is dry, of one epoch; and when they cannot be, the
 * session ends for the right reason with nothing wrong in the twin.
 */
#include "replication/journal_pull.h"

#include <stdatomic.h>

#include "storage/journal/journal_writer.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/follow_fixture.h"
#include "tests/support/memory_file.h"

static struct follow_fixture f;

static int setup(void **state)
{
    (void)state;
    follow_open(&f, 1, true);
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

static void begin_journals(void)
{
    follow_begin(&f);
    follow_start(&f, FOLLOW_JOURNALS);
}

/* A session that ends by itself. */
static void assert_ends(enum repl_session_end end, const char *text)
{
    assert_int_equal(end, follow_wait_end(&f));
    assert_int_equal(end, follow_end(&f, REPL_END_NONE));
    assert_ldb_message(text, &f.err);
}

static void run_journals(enum repl_session_end end, const char *text)
{
    begin_journals();
    assert_ends(end, text);
}

static void catch_up_and_stop(void)
{
    begin_journals();
    follow_catch_up_journals(&f);
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
    follow_check(&f);
}

static struct ldb_twin_state twin_now(void)
{
    struct ldb_twin_state at;

    ldb_twin_state(f.ship.db, &at);
    return at;
}

static struct repl_follower_counts counts_now(void)
{
    struct repl_follower_stats stats;

    follow_stats(&f, &stats);
    return stats.counts;
}

/* ---- what comes ---- */

static void journals_come_one_after_the_other(void **state)
{
    struct ldb_twin_state at;

    (void)state;
    memory_peer_set_pieces(f.peer, 300, 7);
    begin_journals();
    follow_write(&f, 30, 10);
    follow_catch_up_journals(&f);
    follow_write(&f, 30, 10);
    follow_catch_up_seals(&f);
    follow_check(&f);
    /* Its reader is told after the board. */
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
    at = twin_now();
    assert_int_equal(ldb_last_sequence(f.leader->db), at.applied.sequence);
    assert_int_equal(at.applied.sequence, f.applied);
    assert_true(counts_now().journals_sealed >= 6);
    assert_true(counts_now().journal_bytes > 0);
}

/* Before sync_us would have it. */
static void what_was_all_there_is_becomes_durable(void **state)
{
    (void)state;
    begin_journals();
    for (unsigned i = 0; i < 5; i++) {
        ldb_sequence last;

        follow_write(&f, 1, 0);
        last = follow_settle(&f);
        assert_true(repl_board_wait_synced(&f.board, last, PATIENCE_US / 2));
    }
}

static void a_stream_that_does_not_run_dry_is_synced_in_time(void **state)
{
    (void)state;
    follow_write(&f, 60, 0);
    follow_settle(&f);
    memory_peer_set_pieces(f.peer, 200, 3);
    env_fault_set_clock(f.fault, 1000); /* it stands: no time passes */
    catch_up_and_stop();
    assert_in_range(counts_now().syncs, 1, 3);
    env_fault_set_clock(f.fault, 0);
    follow_write(&f, 60, 0);
    follow_settle(&f);
    f.sync_us = 0;
    catch_up_and_stop();
    assert_true(counts_now().syncs > 20);
}

static void a_session_goes_on_where_the_last_one_ended(void **state)
{
    uint64_t bytes;

    (void)state;
    follow_write(&f, 40, 15);
    catch_up_and_stop();
    bytes = counts_now().journal_bytes;
    follow_write(&f, 10, 0);
    catch_up_and_stop();
    /* Nothing came twice. */
    assert_int_equal(counts_now().journal_bytes,
                     memory_peer_bytes(f.peer, ".log"));
    assert_true(counts_now().journal_bytes > bytes);
    catch_up_and_stop();
    assert_int_equal(counts_now().journal_bytes,
                     memory_peer_bytes(f.peer, ".log"));
}

static void an_idle_session_ends_when_it_is_told(void **state)
{
    (void)state;
    catch_up_and_stop();
}

/* ---- a bad connection ---- */

static void a_cut_at_any_byte_is_made_good(void **state)
{
    uint64_t journal;

    (void)state;
    catch_up_and_stop();
    follow_write(&f, 12, 0);
    follow_settle(&f);
    journal = ldb_durable_position(f.leader->db).offset;
    for (uint64_t bytes = 0; bytes < journal; bytes += 61) {
        const struct memory_peer_rule rule = {.what = MEMORY_PEER_CUT,
                                              .path = ".log",
                                              .bytes = bytes,
                                              .times = 1};

        memory_peer_rule(f.peer, &rule);
        run_journals(REPL_END_RETRY, "");
        follow_check(&f);
        assert_true(twin_now().written.offset <= bytes);
        memory_peer_forget_rules(f.peer);
    }
    catch_up_and_stop();
}

static void an_end_that_is_none_is_looked_through(void **state)
{
    const struct memory_peer_rule early = {
        .what = MEMORY_PEER_END, .path = ".log", .bytes = 700, .times = 1};

    (void)state;
    catch_up_and_stop();
    follow_write(&f, 12, 0);
    follow_settle(&f);
    memory_peer_rule(f.peer, &early);
    catch_up_and_stop();
    assert_true(memory_peer_count(f.peer, MEMORY_PEER_HEAD, ".log") > 0);
}

static void a_stream_that_gives_nothing_ends_the_session(void **state)
{
    const struct memory_peer_rule empty = {
        .what = MEMORY_PEER_END, .path = ".log", .bytes = 0};

    (void)state;
    catch_up_and_stop();
    follow_write(&f, 2, 0);
    follow_settle(&f);
    memory_peer_rule(f.peer, &empty);
    run_journals(REPL_END_RETRY, "before the journal did");
}

static void a_flipped_bit_does_not_get_in(void **state)
{
    struct ldb_twin_state before;

    (void)state;
    follow_write(&f, 5, 0);
    catch_up_and_stop();
    before = twin_now();
    follow_write(&f, 5, 0);
    follow_settle(&f);
    for (uint64_t i = 0; i < 8; i++) {
        /* In the first record's checksum, and behind its header. */
        const struct memory_peer_rule rule = {.what = MEMORY_PEER_FLIP,
                                              .path = ".log",
                                              .bytes = before.written.offset +
                                                       (i < 3 ? i : 4 + i),
                                              .times = 1};

        memory_peer_rule(f.peer, &rule);
        run_journals(REPL_END_RETRY, "checksum");
        memory_peer_forget_rules(f.peer);
        follow_check(&f);
        assert_int_equal(before.written.offset, twin_now().written.offset);
    }
    catch_up_and_stop();
}

static void a_refusal_is_no_difference(void **state)
{
    const struct memory_peer_rule rule = {.what = MEMORY_PEER_STATUS,
                                          .call = MEMORY_PEER_GET,
                                          .path = ".log",
                                          .http = 401};

    (void)state;
    follow_write(&f, 2, 0);
    catch_up_and_stop();
    memory_peer_rule(f.peer, &rule);
    run_journals(REPL_END_RETRY, "");
}

static void a_digest_not_known_yet_is_waited_for(void **state)
{
    (void)state;
    follow_write(&f, 10, 10);
    follow_settle(&f);
    memory_peer_set_knows_digests(f.peer, false);
    run_journals(REPL_END_RETRY, "digest is not known");
    memory_peer_set_knows_digests(f.peer, true);
    catch_up_and_stop();
}

/* ---- epochs (R6) ---- */

static void a_leader_started_anew_gets_no_byte_in(void **state)
{
    struct ldb_twin_state before;

    (void)state;
    follow_write(&f, 3, 0);
    catch_up_and_stop();
    before = twin_now();
    follow_begin(&f);
    follow_restart_leader(&f);
    follow_write(&f, 3, 0);
    follow_settle(&f);
    follow_start(&f, FOLLOW_JOURNALS);
    assert_ends(REPL_END_EPOCH, "epoch 2");
    assert_int_equal(before.written.journal, twin_now().written.journal);
    assert_int_equal(before.written.offset, twin_now().written.offset);
    catch_up_and_stop();
}

static void a_stream_of_an_epoch_that_is_over_gets_no_byte_in(void **state)
{
    struct repl_epoch_history higher = {0};
    struct repl_epoch next;
    struct ldb_twin_state before;

    (void)state;
    begin_journals();
    follow_write(&f, 3, 0);
    follow_catch_up_journals(&f);
    before = twin_now();
    next = *repl_epoch_history_last(&f.history);
    next.number++;
    next.id++;
    next.base = UINT64_C(1) << 40;
    assert_ldb_ok(repl_epoch_history_copy(&f.history, &f.err, &higher), &f.err);
    assert_ldb_ok(repl_epoch_history_append(&higher, &next, &f.err), &f.err);
    assert_ldb_ok(repl_epoch_gate_accept(f.gate, NULL, &higher, &f.err),
                  &f.err);
    repl_epoch_history_release(&higher);
    follow_write(&f, 3, 0); /* the old leader does not know */
    follow_settle(&f);
    assert_ends(REPL_END_EPOCH, "another was accepted");
    assert_int_equal(before.written.offset, twin_now().written.offset);
    assert_int_equal(before.applied.sequence, twin_now().applied.sequence);
}

static void an_epoch_begins_in_a_stream_of_the_next_session(void **state)
{
    (void)state;
    follow_write(&f, 3, 0);
    catch_up_and_stop();
    follow_restart_leader(&f);
    follow_write(&f, 3, 2);
    catch_up_and_stop();
    assert_int_equal(2, repl_epoch_history_last(&f.node.history)->number);
}

/* ---- what is ours alone ---- */

/* One put of a value, as the next record of the twin's newest journal. */
static void append_by_hand(const char *value)
{
    struct ldb_twin_state at = twin_now();
    struct memory_file file;
    struct ldb_journal_writer *writer = NULL;
    struct ldb_batch batch;
    struct ldb_slice record;

    memory_file_init(&file);
    assert_ldb_ok(ldb_journal_writer_create(&file.base, at.written.offset,
                                            &f.err, &writer),
                  &f.err);
    ldb_batch_init(&batch, 1024);
    assert_ldb_ok(
        ldb_batch_put(&batch, ldb_slice_str("k0001"), ldb_slice_str(value)),
        NULL);
    ldb_batch_set_sequence(&batch, at.applied.sequence + 1);
    record = ldb_slice_of_buf(&batch.rep);
    assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &f.err), &f.err);
    assert_ldb_ok(ldb_journal_writer_flush(writer, &f.err), &f.err);
    assert_ldb_ok(ldb_twin_append(f.ship.db, at.written.journal,
                                  at.written.offset,
                                  ldb_slice_of_buf(&file.bytes), &f.err),
                  &f.err);
    ldb_batch_release(&batch);
    assert_ldb_ok(ldb_journal_writer_close(writer, NULL), NULL);
    memory_file_release(&file);
}

static void put_at_leader(const char *value)
{
    assert_ldb_ok(ldb_put(f.leader->db, ldb_slice_str("k0001"),
                          ldb_slice_str(value), true, &f.err, NULL),
                  &f.err);
}

static void a_journal_of_other_bytes_is_told_by_its_digest(void **state)
{
    struct ldb_twin_state at;

    (void)state;
    catch_up_and_stop();
    put_at_leader("here");
    append_by_hand("THAT");
    leader_run_flush(f.leader);
    follow_settle(&f);
    run_journals(REPL_END_DIFFERS, "its digest is another");
    assert_int_equal(1, counts_now().digest_mismatches);
    at = twin_now();
    assert_false(at.journals[at.journal_count - 1].is_sealed);
}

static void a_journal_that_is_longer_than_the_leaders_differs(void **state)
{
    (void)state;
    catch_up_and_stop();
    append_by_hand("ours alone");
    run_journals(REPL_END_DIFFERS, "bytes at the leader");
}

static void a_sealed_journal_that_is_shorter_than_ours_differs(void **state)
{
    (void)state;
    catch_up_and_stop();
    put_at_leader("a");
    append_by_hand("longer");
    leader_run_flush(f.leader);
    run_journals(REPL_END_DIFFERS, "bytes at the leader");
}

/* ---- what has gone ---- */

/* From now on the leader keeps no journal that it does not need. */
static void keep_no_journals(void)
{
    f.leader->options.archive_bytes = 0;
    follow_restart_leader(&f);
}

static void a_journal_that_has_gone_leaves_us_behind(void **state)
{
    (void)state;
    keep_no_journals();
    follow_write(&f, 3, 0);
    catch_up_and_stop();
    follow_write(&f, 3, 3);
    follow_write(&f, 3, 3);
    run_journals(REPL_END_BEHIND, "has gone at the leader");
    follow_check(&f);
}

static void show_newest(void *context, struct repl_state *state)
{
    (void)context;
    state->journals[0] = state->journals[state->journal_count - 1];
    state->journal_count = 1;
}

static void a_gap_between_journals_leaves_us_behind(void **state)
{
    const struct memory_peer_edits edits = {.state = show_newest};

    (void)state;
    follow_write(&f, 3, 0);
    catch_up_and_stop();
    follow_write(&f, 6, 3);
    memory_peer_set_edits(f.peer, &edits);
    run_journals(REPL_END_BEHIND, "journals begin with");
    follow_check(&f);
}

static void a_twin_without_an_entry_waits_for_edits(void **state)
{
    struct repl_moves seen;

    (void)state;
    keep_no_journals();
    follow_write(&f, 20, 5);
    follow_settle(&f);
    begin_journals();
    repl_session_moves(f.session, &seen);
    while (!repl_session_is_stalled(f.session))
        assert_true(repl_session_wait(
            f.session, &seen, REPL_MOVE_BIT(REPL_MOVE_JOURNAL), PATIENCE_US));
    assert_int_equal(0, twin_now().applied.sequence);
    follow_start(&f, FOLLOW_EDITS);
    follow_catch_up(&f);
    follow_check(&f);
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
    follow_assert_same(&f);
}

/* ---- waiting ---- */

static void full_memtables_hold_journals_back(void **state)
{
    struct repl_moves seen;

    (void)state;
    follow_write(&f, 2 * (LDB_TWIN_JOURNALS_MAX + 5), 2);
    begin_journals();
    repl_session_moves(f.session, &seen);
    while (!repl_session_is_stalled(f.session))
        assert_true(repl_session_wait(
            f.session, &seen, REPL_MOVE_BIT(REPL_MOVE_JOURNAL), PATIENCE_US));
    assert_int_equal(1, counts_now().stalls);
    assert_int_equal(LDB_TWIN_JOURNALS_MAX, twin_now().journal_count);
    follow_start(&f, FOLLOW_EDITS);
    follow_catch_up(&f);
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
    follow_assert_same(&f);
}

static atomic_bool is_hiding;

static void hide_newest(void *context, struct repl_state *state)
{
    (void)context;
    if (is_hiding && state->journal_count > 0)
        state->journal_count--;
}

static void a_journal_not_on_the_list_yet_is_waited_for(void **state)
{
    const struct memory_peer_edits edits = {.state = hide_newest};

    (void)state;
    memory_peer_set_edits(f.peer, &edits);
    is_hiding = true;
    follow_write(&f, 3, 3);
    follow_settle(&f);
    begin_journals();
    /* Asked by the session's begin, for a journal that is not there, and for
     * the next one. */
    while (memory_peer_count(f.peer, MEMORY_PEER_CALL, "state") < 3)
        assert_int_equal(REPL_END_NONE, repl_session_ended(f.session, NULL));
    is_hiding = false;
    follow_catch_up_journals(&f);
}

/* ---- the twin's disk ---- */

static void a_failed_sync_asks_for_the_twin_to_be_reopened(void **state)
{
    const struct env_fault_rule rule = {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                        .path = ".log",
                                        .nth = 1,
                                        .sys_errno = 5};

    (void)state;
    catch_up_and_stop();
    follow_write(&f, 3, 0);
    follow_settle(&f);
    env_fault_fail(f.fault, &rule);
    run_journals(REPL_END_REOPEN, "");
    env_fault_fail(f.fault, NULL);
    LDB_IGNORE(ldb_close(f.ship.db, NULL)); /* it tells the same */
    follow_drop_twin(&f);
    follow_open_twin(&f);
    catch_up_and_stop();
}

static void a_full_disk_is_tried_again(void **state)
{
    (void)state;
    catch_up_and_stop();
    follow_write(&f, 12, 0);
    follow_settle(&f);
    env_fault_disk_full(f.fault, 500);
    run_journals(REPL_END_RETRY, "");
    follow_check(&f);
    env_fault_disk_free(f.fault);
    catch_up_and_stop();
}

#define pull_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pull_test(journals_come_one_after_the_other),
        pull_test(what_was_all_there_is_becomes_durable),
        pull_test(a_stream_that_does_not_run_dry_is_synced_in_time),
        pull_test(a_session_goes_on_where_the_last_one_ended),
        pull_test(an_idle_session_ends_when_it_is_told),
        pull_test(a_cut_at_any_byte_is_made_good),
        pull_test(an_end_that_is_none_is_looked_through),
        pull_test(a_stream_that_gives_nothing_ends_the_session),
        pull_test(a_flipped_bit_does_not_get_in),
        pull_test(a_refusal_is_no_difference),
        pull_test(a_digest_not_known_yet_is_waited_for),
        pull_test(a_leader_started_anew_gets_no_byte_in),
        pull_test(a_stream_of_an_epoch_that_is_over_gets_no_byte_in),
        pull_test(an_epoch_begins_in_a_stream_of_the_next_session),
        pull_test(a_journal_of_other_bytes_is_told_by_its_digest),
        pull_test(a_journal_that_is_longer_than_the_leaders_differs),
        pull_test(a_sealed_journal_that_is_shorter_than_ours_differs),
        pull_test(a_journal_that_has_gone_leaves_us_behind),
        pull_test(a_gap_between_journals_leaves_us_behind),
        pull_test(a_twin_without_an_entry_waits_for_edits),
        pull_test(full_memtables_hold_journals_back),
        pull_test(a_journal_not_on_the_list_yet_is_waited_for),
        pull_test(a_failed_sync_asks_for_the_twin_to_be_reopened),
        pull_test(a_full_disk_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
