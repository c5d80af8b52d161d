/* Is a node one to follow, and are we a past of it? By an open twin, and by a
 * closed folder. */
#include "replication/leader_check.h"

#include <stdio.h>

#include "replication/client.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/follow_fixture.h"

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

static void ask(struct repl_state *out)
{
    struct repl_client client;

    *out = (struct repl_state){0};
    repl_client_init(&client, f.transport);
    assert_ldb_ok(repl_client_state(&client, &f.err, out), &f.err);
}

static enum repl_verdict_kind check_now(struct ldb_db *twin)
{
    struct repl_leader_check check = {
        .env = f.ship.options.env,
        .dir = TWIN_SHIP_DIR,
        .twin = twin,
        .identity = f.node.has_identity ? &f.node.identity : NULL,
        .history = &f.node.history,
        .transport = f.transport,
    };
    struct repl_verdict verdict = {0};
    struct repl_state theirs;

    ask(&theirs);
    assert_ldb_ok(repl_leader_check_run(&check, &theirs, &f.err, &verdict),
                  &f.err);
    repl_state_release(&theirs);
    return verdict.kind;
}

static void follow_all(void)
{
    follow_begin(&f);
    follow_start(&f, FOLLOW_JOURNALS | FOLLOW_EDITS);
    follow_catch_up(&f);
    assert_int_equal(REPL_END_STOPPED, follow_end(&f, REPL_END_STOPPED));
}

static void only_a_leader_with_a_history_is_followed(void **state)
{
    struct repl_state theirs;
    struct ldb_error err = {0};
    size_t epochs;

    (void)state;
    ask(&theirs);
    assert_ldb_ok(repl_leader_check_role(&theirs, NULL, &err), &err);
    epochs = theirs.history.count;
    theirs.history.count = 0;
    assert_ldb_status(LDB_PRECONDITION,
                      repl_leader_check_role(&theirs, NULL, &err), &err);
    assert_ldb_message("no history", &err);
    theirs.history.count = epochs;
    theirs.role = REPL_ROLE_FOLLOWER;
    assert_ldb_status(LDB_PRECONDITION,
                      repl_leader_check_role(&theirs, NULL, &err), &err);
    assert_ldb_message("follows nobody", &err);
    (void)snprintf(theirs.leader_url, sizeof(theirs.leader_url),
                   "http://other:1");
    assert_ldb_status(LDB_PRECONDITION,
                      repl_leader_check_role(&theirs, NULL, &err), &err);
    assert_ldb_message("http://other:1", &err);
    repl_state_release(&theirs);
}

static void a_leader_has_to_be_of_the_cluster_asked_for(void **state)
{
    struct repl_state theirs;
    struct ldb_error err = {0};
    char other[REPL_ID_SIZE];

    (void)state;
    ask(&theirs);
    assert_ldb_ok(repl_leader_check_role(&theirs, "", &err), &err);
    memcpy(other, theirs.identity.cluster_id, sizeof(other));
    assert_ldb_ok(repl_leader_check_role(&theirs, other, &err), &err);
    other[0] = other[0] == '0' ? '1' : '0';
    assert_ldb_status(LDB_PRECONDITION,
                      repl_leader_check_role(&theirs, other, &err), &err);
    assert_ldb_message(theirs.identity.cluster_id, &err);
    assert_ldb_message(other, &err);
    repl_state_release(&theirs);
}

static void a_fresh_twin_is_behind(void **state)
{
    (void)state;
    follow_write(&f, 3, 0);
    follow_settle(&f);
    assert_int_equal(REPL_VERDICT_BEHIND, check_now(f.ship.db));
}

static void a_twin_is_the_same_or_behind(void **state)
{
    (void)state;
    follow_write(&f, 12, 5);
    follow_all();
    assert_int_equal(REPL_VERDICT_SAME, check_now(f.ship.db));
    follow_write(&f, 12, 5);
    follow_settle(&f);
    assert_int_equal(REPL_VERDICT_BEHIND, check_now(f.ship.db));
    follow_restart_leader(&f);
    assert_int_equal(REPL_VERDICT_BEHIND, check_now(f.ship.db));
}

static void a_closed_folder_is_looked_at_too(void **state)
{
    (void)state;
    follow_write(&f, 12, 5);
    follow_all();
    follow_write(&f, 3, 0);
    follow_settle(&f);
    assert_ldb_ok(ldb_close(f.ship.db, &f.err), &f.err);
    f.ship.db = NULL;
    assert_int_equal(REPL_VERDICT_BEHIND, check_now(NULL));
    assert_ldb_ok(
        ldb_twin_open(TWIN_SHIP_DIR, &f.ship.options, NULL, &f.err, &f.ship.db),
        &f.err);
}

static void another_cluster_is_a_stranger(void **state)
{
    struct repl_identity other;

    (void)state;
    follow_write(&f, 3, 0);
    follow_all();
    memory_peer_identity(f.peer, &other);
    other.cluster_id[0] = other.cluster_id[0] == 'e' ? 'd' : 'e';
    memory_peer_set_identity(f.peer, &other);
    assert_int_equal(REPL_VERDICT_STRANGER, check_now(f.ship.db));
}

static void no_answer_is_told(void **state)
{
    const struct memory_peer_rule rule = {.what = MEMORY_PEER_REFUSE,
                                          .call = MEMORY_PEER_GET};
    struct repl_leader_check check = {
        .env = f.ship.options.env,
        .dir = TWIN_SHIP_DIR,
        .twin = f.ship.db,
        .history = &f.node.history,
        .transport = f.transport,
    };
    struct repl_verdict verdict = {0};
    struct repl_state theirs;

    (void)state;
    follow_write(&f, 3, 0);
    follow_all();
    check.identity = &f.node.identity;
    ask(&theirs);
    memory_peer_rule(f.peer, &rule);
    assert_ldb_status(LDB_IO,
                      repl_leader_check_run(&check, &theirs, &f.err, &verdict),
                      &f.err);
    repl_state_release(&theirs);
}

static void a_session_makes_a_verdict_doubtful(void **state)
{
    static const struct {
        enum repl_session_end end;
        enum repl_verdict_kind kind;
        ldb_sequence fork;
        const char *reason;
    } rows[] = {
        {REPL_END_NONE, REPL_VERDICT_BEHIND, 7, "as it was"},
        {REPL_END_RETRY, REPL_VERDICT_BEHIND, 7, "as it was"},
        {REPL_END_BEHIND, REPL_VERDICT_CONTAINED, 7, "it has gone"},
        {REPL_END_DIFFERS, REPL_VERDICT_UNKNOWN, 0, "it has gone"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_verdict verdict = {
            .kind = REPL_VERDICT_BEHIND, .fork = 7, .reason = "as it was"};

        repl_leader_check_doubt(rows[i].end, "it has gone", &verdict);
        assert_int_equal(rows[i].kind, verdict.kind);
        assert_int_equal(rows[i].fork, verdict.fork);
        assert_string_equal(rows[i].reason, verdict.reason);
    }
}

#define check_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        check_test(only_a_leader_with_a_history_is_followed),
        check_test(a_leader_has_to_be_of_the_cluster_asked_for),
        check_test(a_fresh_twin_is_behind),
        check_test(a_twin_is_the_same_or_behind),
        check_test(a_closed_folder_is_looked_at_too),
        check_test(another_cluster_is_a_stranger),
        check_test(no_answer_is_told),
        cmocka_unit_test(a_session_makes_a_verdict_doubtful),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
