/* Calls to a node in memory: what comes back, and what is made of refusals. */
#include "replication/client.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/fetch_fixture.h"
#include "tests/support/mem_fault.h"

#define NODE "e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1"

/* One that its leader takes. */
static struct repl_ack ack_of(struct repl_client *client)
{
    struct repl_state state = {0};
    struct repl_ack ack = {.node_id = NODE, .state = "streaming"};
    struct ldb_error err = {0};
    const struct repl_epoch *epoch;

    assert_ldb_ok(repl_client_state(client, &err, &state), &err);
    epoch = repl_epoch_history_last(&state.history);
    ack.epoch = epoch->number;
    ack.epoch_id = epoch->id;
    ack.written =
        (struct repl_place){.journal = 5, .offset = 70, .sequence = 9};
    ack.synced = (struct repl_place){.journal = 5, .offset = 60, .sequence = 8};
    ack.applied = ack.written;
    repl_state_release(&state);
    return ack;
}

static void the_state_is_the_leaders(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_state got = {0};
    struct repl_identity identity;
    const struct repl_journal_entry *newest;

    assert_ldb_ok(repl_client_state(&f->client, &f->err, &got), &f->err);
    memory_peer_identity(f->peer, &identity);
    assert_string_equal(identity.cluster_id, got.identity.cluster_id);
    assert_int_equal(REPL_ROLE_LEADER, got.role);
    assert_int_equal(1, got.history.count);
    assert_int_equal(f->checkpoint.manifest_number, got.manifest_number);
    assert_int_equal(f->checkpoint.manifest_len, got.manifest_len);
    assert_true(got.journal_count > 0);
    newest = &got.journals[got.journal_count - 1];
    assert_false(newest->is_sealed);
    assert_int_equal(newest->len, got.durable.journal == newest->number
                                      ? got.durable.offset
                                      : 0);
    assert_int_equal(ldb_last_sequence(f->leader->db), got.last_sequence);
    assert_string_equal("leveldb.BytewiseComparator",
                        got.table_options.comparator);
    assert_int_equal(f->leader->options.block_bytes,
                     got.table_options.block_bytes);
    repl_state_release(&got);
}

static void an_ack_is_answered_by_a_heartbeat(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_ack ack = ack_of(&f->client);
    struct repl_ack taken = {0};
    struct repl_heartbeat heartbeat = {0};

    assert_ldb_ok(repl_client_ack(&f->client, &ack, &f->err, &heartbeat),
                  &f->err);
    assert_int_equal(ack.epoch, heartbeat.epoch);
    assert_true(ack.epoch_id == heartbeat.epoch_id);
    assert_int_equal(f->checkpoint.manifest_len, heartbeat.manifest_len);
    assert_int_equal(ldb_last_sequence(f->leader->db), heartbeat.last_sequence);
    assert_true(memory_peer_last_ack(f->peer, &taken));
    assert_string_equal(NODE, taken.node_id);
    assert_int_equal(8, taken.synced.sequence);
    assert_true(memory_peer_wait_applied(f->peer, 9));
    assert_true(memory_peer_wait_synced(f->peer, 8));
}

static void an_ack_under_another_epoch_is_a_precondition(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_ack ack = ack_of(&f->client);
    struct repl_heartbeat heartbeat = {.epoch = 77};

    ack.epoch_id++;
    assert_ldb_status(LDB_PRECONDITION,
                      repl_client_ack(&f->client, &ack, &f->err, &heartbeat),
                      &f->err);
    assert_int_equal(409, f->client.refusal.http);
    assert_string_equal("conflict", f->client.refusal.type);
    assert_ldb_message("/v1/replication/ack: answered 409", &f->err);
    assert_int_equal(77, heartbeat.epoch);
    ack.epoch_id--;
    assert_ldb_ok(repl_client_ack(&f->client, &ack, &f->err, &heartbeat),
                  &f->err);
    assert_int_equal(0, f->client.refusal.http);
}

static void a_checkpoint_stays_until_it_is_let_go(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_checkpoint first = {0};
    struct repl_checkpoint second = {0};

    /* The fixture's is another node's. */
    assert_int_equal(1, memory_peer_checkpoints(f->peer));
    assert_ldb_ok(repl_client_checkpoint(&f->client, NODE, &f->err, &first),
                  &f->err);
    assert_int_equal(2, memory_peer_checkpoints(f->peer));
    assert_int_equal(FETCH_FIXTURE_TABLES, first.file_count);
    assert_true(first.files[0].has_digest);
    assert_int_equal(first.log_number, first.journals[0].number);
    assert_ldb_ok(
        repl_client_checkpoint_renew(&f->client, NODE, first.id, &f->err),
        &f->err);
    /* A second one takes the place of the first. */
    assert_ldb_ok(repl_client_checkpoint(&f->client, NODE, &f->err, &second),
                  &f->err);
    assert_int_equal(2, memory_peer_checkpoints(f->peer));
    assert_ldb_status(
        LDB_GONE,
        repl_client_checkpoint_renew(&f->client, NODE, first.id, &f->err),
        &f->err);
    assert_int_equal(410, f->client.refusal.http);
    for (unsigned i = 0; i < 2; i++) {
        assert_ldb_ok(repl_client_checkpoint_release(&f->client, NODE,
                                                     second.id, &f->err),
                      &f->err);
        assert_int_equal(1, memory_peer_checkpoints(f->peer));
    }
    repl_checkpoint_release(&first);
    repl_checkpoint_release(&second);
}

static void a_checkpoint_holds_its_tables(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_file_head head = {0};
    const char *name = f->checkpoint.files[0].name;

    leader_run_compact(f->leader);
    assert_ldb_ok(repl_client_head(&f->client, name, &f->err, &head), &f->err);
    assert_true(head.is_sealed);
    assert_int_equal(f->checkpoint.files[0].size, head.size);
    assert_true(head.has_digest);
    assert_true(ldb_digest_equal(&f->checkpoint.files[0].digest, &head.digest));
    memory_peer_expire_checkpoints(f->peer);
    assert_ldb_status(LDB_NOT_FOUND,
                      repl_client_head(&f->client, name, &f->err, &head),
                      &f->err);
    assert_ldb_message("head of ", &f->err);
    assert_ldb_message(name, &f->err);
}

static void refusals_have_their_meaning(void **state)
{
    static const struct {
        unsigned http;
        enum ldb_status status;
    } rows[] = {
        {401, LDB_INVALID_ARGUMENT},
        {404, LDB_NOT_FOUND},
        {421, LDB_PRECONDITION},
        {503, LDB_STALLED},
        {507, LDB_NO_SPACE},
        {500, LDB_IO},
        {301, LDB_IO},
    };
    struct fetch_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_state got = {0};

        memory_peer_rule(f->peer, &(struct memory_peer_rule){
                                      .what = MEMORY_PEER_STATUS,
                                      .path = "state",
                                      .times = 1,
                                      .http = rows[i].http,
                                  });
        assert_ldb_status(rows[i].status,
                          repl_client_state(&f->client, &f->err, &got),
                          &f->err);
        assert_int_equal(rows[i].http, f->client.refusal.http);
        assert_int_equal(0, got.journal_count);
    }
}

static void no_answer_is_no_refusal(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_state got = {0};

    f->client.refusal.http = 500;
    memory_peer_rule(f->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_REFUSE});
    assert_ldb_status(LDB_IO, repl_client_state(&f->client, &f->err, &got),
                      &f->err);
    assert_int_equal(0, f->client.refusal.http);
    assert_ldb_message("/v1/replication/state: ", &f->err);
    memory_peer_forget_rules(f->peer);
    f->transport->ops->interrupt(f->transport);
    assert_ldb_status(LDB_CANCELLED,
                      repl_client_state(&f->client, &f->err, &got), &f->err);
}

static void what_cannot_be_read_is_told_with_where_it_is_from(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_ack ack = ack_of(&f->client);
    struct repl_state got = {0};
    struct repl_checkpoint checkpoint = {0};
    struct repl_heartbeat heartbeat = {0};

    memory_peer_rule(f->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_BABBLE});
    assert_ldb_status(LDB_CORRUPTION,
                      repl_client_state(&f->client, &f->err, &got), &f->err);
    assert_ldb_message("answer of /v1/replication/state: ", &f->err);
    assert_ldb_status(LDB_CORRUPTION,
                      repl_client_ack(&f->client, &ack, &f->err, &heartbeat),
                      &f->err);
    assert_ldb_message("answer of /v1/replication/ack: ", &f->err);
    assert_ldb_status(
        LDB_CORRUPTION,
        repl_client_checkpoint(&f->client, NODE, &f->err, &checkpoint),
        &f->err);
    assert_ldb_message("answer of /v1/replication/checkpoint: ", &f->err);
}

static void any_other_path_can_be_called(void **state)
{
    struct fetch_fixture *f = *state;
    struct ldb_buf answer = LDB_BUF_INIT(65536);
    struct ldb_slice none = {0};

    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_client_call(&f->client, "/v1/other", none, &f->err, &answer),
        &f->err);
    assert_ldb_message("/v1/other: answered 404 not-found: no such path",
                       &f->err);
    assert_ldb_ok(repl_client_call(&f->client, "/v1/replication/state", none,
                                   &f->err, &answer),
                  &f->err);
    assert_true(answer.len > 0);
    ldb_buf_release(&answer);
}

/* ---- memory ---- */

static enum ldb_status all_calls(struct fetch_fixture *f,
                                 const struct repl_ack *ack)
{
    struct repl_state got = {0};
    struct repl_checkpoint checkpoint = {0};
    struct repl_heartbeat heartbeat;
    enum ldb_status s = repl_client_state(&f->client, &f->err, &got);

    if (s == LDB_OK)
        s = repl_client_ack(&f->client, ack, &f->err, &heartbeat);
    if (s == LDB_OK)
        s = repl_client_checkpoint(&f->client, NODE, &f->err, &checkpoint);
    if (s == LDB_OK)
        s = repl_client_checkpoint_release(&f->client, NODE, checkpoint.id,
                                           &f->err);
    repl_state_release(&got);
    repl_checkpoint_release(&checkpoint);
    return s;
}

static void no_memory_is_told(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_ack ack = ack_of(&f->client);
    uint64_t n;

    for (n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = all_calls(f, &ack);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_state_is_the_leaders,
                                        fetch_fixture_setup,
                                        fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(an_ack_is_answered_by_a_heartbeat,
                                        fetch_fixture_setup,
                                        fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(
            an_ack_under_another_epoch_is_a_precondition, fetch_fixture_setup,
            fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_stays_until_it_is_let_go,
                                        fetch_fixture_setup,
                                        fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_holds_its_tables,
                                        fetch_fixture_setup,
                                        fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(refusals_have_their_meaning,
                                        fetch_fixture_setup,
                                        fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(no_answer_is_no_refusal,
                                        fetch_fixture_setup,
                                        fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(
            what_cannot_be_read_is_told_with_where_it_is_from,
            fetch_fixture_setup, fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(any_other_path_can_be_called,
                                        fetch_fixture_setup,
                                        fetch_fixture_teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_told, fetch_fixture_setup,
                                        fetch_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
