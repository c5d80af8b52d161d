/* State and acks over HTTP. */
#include "api/replication_control.h"

#include <stdio.h>
#include <string.h>

#include "api/db_gate.h"
#include "api/node_ops.h"
#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static const char *const as_json[] = {"Content-Type: application/json", NULL};

static struct fake_answer post_ack(struct api_leader *l, struct ldb_slice text)
{
    return api_call_bytes(&l->f, "POST", "/v1/replication/ack", as_json, text);
}

static void the_state_is_a_document_that_followers_read(void **state)
{
    struct api_leader *l = *state;
    struct repl_state told = {0};
    struct ldb_error err = {0};
    struct fake_answer answer;

    (void)leader_fixture_flush_one(&l->leader, "a");
    answer = api_call(&l->f, "GET", "/v1/replication/state", NULL, NULL);
    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "application/json");
    assert_ldb_ok(
        repl_state_decode(ldb_slice_of_buf(&answer.body), &err, &told), &err);
    assert_string_equal(told.identity.node_id, l->leader.identity.node_id);
    assert_int_equal(told.history.count, 2);
    assert_int_equal(told.journal_count, 2);
    assert_int_equal(told.last_sequence, 1);
    assert_int_equal(answer.body.data[answer.body.len - 1], '\n');
    repl_state_release(&told);
    fake_answer_release(&answer);
    answer = api_call(&l->f, "GET", "/v1/replication/state?x=1", NULL, NULL);
    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
}

/* Whose database is another one soon; what it says is state's. */
static enum ldb_status say(void *node, struct ldb_error *err,
                           struct repl_state *out)
{
    const enum ldb_status *status = node;

    if (*status != LDB_OK)
        return ldb_error_set(err, *status, "not now");
    *out = (struct repl_state){.role = REPL_ROLE_FOLLOWER};
    (void)snprintf(out->identity.node_id, sizeof out->identity.node_id,
                   "fedcba9876543210fedcba9876543210");
    (void)snprintf(out->table_options.comparator,
                   sizeof out->table_options.comparator, "any");
    return LDB_OK;
}

static void with_the_gate_closed_the_node_may_answer(void **state)
{
    static const struct api_db_gate_reason closed = {
        .kind = API_PROBLEM_STALLED, .reason = "moving", .detail = "it moves"};
    static const struct api_node_ops ops = {.state = say};
    static const struct {
        bool is_node;
        enum ldb_status said;
        unsigned status;
    } rows[] = {
        {false, LDB_OK, 503},
        {true, LDB_STALLED, 503},
        {true, LDB_PRECONDITION, 409},
        {true, LDB_OK, 200},
    };
    struct api_leader *l = *state;
    enum ldb_status said;

    api_db_gate_shut(l->f.context.gate, &closed);
    assert_true(api_db_gate_wait(l->f.context.gate, 0));
    l->f.context.node = &said;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer;

        said = rows[i].said;
        l->f.context.node_ops = rows[i].is_node ? &ops : NULL;
        answer = api_call(&l->f, "GET", "/v1/replication/state", NULL, NULL);
        assert_answer(&answer, rows[i].status);
        if (rows[i].status == 503)
            assert_non_null(memmem(answer.body.data, answer.body.len,
                                   "it moves", strlen("it moves")));
        fake_answer_release(&answer);
    }
    l->f.context.node_ops = NULL;
    api_db_gate_open(l->f.context.gate);
    assert_int_equal(0, api_db_gate_inside(l->f.context.gate));
}

static void an_ack_is_answered_with_the_heartbeat(void **state)
{
    struct api_leader *l = *state;
    struct repl_heartbeat heartbeat = {0};
    struct ldb_error err = {0};
    struct fake_answer answer;
    struct ldb_buf text;

    (void)leader_fixture_put(&l->leader, "a", "1");
    text = api_leader_ack_text(l, 1);
    answer = post_ack(l, ldb_slice_of_buf(&text));
    assert_answer(&answer, 200);
    assert_ldb_ok(
        repl_heartbeat_decode(ldb_slice_of_buf(&answer.body), &err, &heartbeat),
        &err);
    assert_int_equal(heartbeat.epoch, 3);
    assert_int_equal(heartbeat.epoch_id, 0xabcdef);
    assert_int_equal(heartbeat.durable.sequence, 1);
    fake_answer_release(&answer);
    ldb_buf_release(&text);
}

static void an_ack_of_another_epoch_is_409(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf text = api_leader_ack_text(l, 0);
    const struct repl_epoch next = {.number = 4, .id = 4, .base = 900};
    struct fake_answer answer;

    assert_ldb_ok(repl_epoch_history_append(&l->leader.history, &next, NULL),
                  NULL);
    assert_ldb_ok(
        repl_leader_set_history(l->leader.leader, &l->leader.history, NULL),
        NULL);
    answer = post_ack(l, ldb_slice_of_buf(&text));
    assert_problem(&answer, 409, "conflict");
    fake_answer_release(&answer);
    ldb_buf_release(&text);
}

static void what_is_no_ack_is_refused(void **state)
{
    static const char *const form[] = {
        "Content-Type: application/x-www-form-urlencoded", NULL};
    static const char *const bodies[] = {
        "", "{", "[]", "{}", "{\"node_id\":1}", "\xff", "{\"protocol\":99}",
    };
    struct api_leader *l = *state;
    struct ldb_buf large = LDB_BUF_INIT(1 << 20);
    struct fake_answer answer;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        print_message("%s\n", bodies[i]);
        answer = post_ack(l, ldb_slice_str(bodies[i]));
        assert_problem(&answer, 400, "malformed");
        fake_answer_release(&answer);
    }
    answer = api_call(&l->f, "POST", "/v1/replication/ack", form, "{}");
    assert_problem(&answer, 415, "unsupported-media-type");
    fake_answer_release(&answer);
    assert_ldb_ok(ldb_buf_reserve(&large, REPL_MESSAGE_BYTES_MAX + 1), NULL);
    memset(large.data, ' ', REPL_MESSAGE_BYTES_MAX + 1);
    answer =
        post_ack(l, ldb_slice_make(large.data, REPL_MESSAGE_BYTES_MAX + 1));
    assert_problem(&answer, 413, "too-large");
    fake_answer_release(&answer);
    answer = post_ack(l, ldb_slice_make(large.data, REPL_MESSAGE_BYTES_MAX));
    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
    ldb_buf_release(&large);
}

static void each_allocation_may_fail(void **state)
{
    struct api_leader *l = *state;

    (void)leader_fixture_flush_one(&l->leader, "a");
    for (uint64_t n = 1;; n++) {
        struct fake_answer answer;

        mem_fault_start(n, MEM_FAULT_ONCE);
        answer = api_call(&l->f, "GET", "/v1/replication/state", NULL, NULL);
        if (!mem_fault_stop()) {
            assert_answer(&answer, 200);
            fake_answer_release(&answer);
            break;
        }
        if (answer.status != 200) /* a digest is wanted some other time */
            assert_problem(&answer, 503, "overloaded");
        fake_answer_release(&answer);
    }
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, api_leader_setup, api_leader_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_state_is_a_document_that_followers_read),
        TEST(with_the_gate_closed_the_node_may_answer),
        TEST(an_ack_is_answered_with_the_heartbeat),
        TEST(an_ack_of_another_epoch_is_409),
        TEST(what_is_no_ack_is_refused),
        TEST(each_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("replication_control", tests, NULL,
                                       NULL);
}
