/*
 * What a node that follows says of itself while its folder is not whole: whole
 * services in one process, their folders in memory, over loopback.
 */
#include "service/node_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "replication/promotion.h"
#include "replication/protocol.h"
#include "replication/rebuild_intent.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/service_run.h"

#define NOBODY "--leader=http://127.0.0.1:1"

static struct service_run a;
static struct service_run b;
static struct service_run c;

static int setup(void **state)
{
    (void)state;
    service_run_init(&a, "a");
    service_run_init(&b, "b");
    service_run_init(&c, "c");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    service_run_stop(&c);
    service_run_stop(&b);
    service_run_stop(&a);
    service_run_release(&c);
    service_run_release(&b);
    service_run_release(&a);
    return 0;
}

static bool has_first(void *context)
{
    return service_run_has(context, "first", "1");
}

/* Follows a until it has its first write, and stops. */
static void copy_from_leader(struct service_run *node)
{
    char leader[96];

    (void)snprintf(leader, sizeof leader, "--leader=%s", a.url);
    service_run_start(node, "--role=follower", leader, NULL);
    service_run_await("first", has_first, node, &a, node);
    service_run_stop(node);
}

/* Of a leader that only one node has heard of. */
static const struct repl_epoch later = {.number = UINT64_C(1) << 33,
                                        .id = 0xabc,
                                        .previous_last = 1,
                                        .base = UINT64_C(1) << 50,
                                        .first_journal = UINT64_C(1) << 30};

/* As a power cut leaves a folder that was on its way to be another leader's. */
static void stop_half_way(struct service_run *node,
                          enum repl_rebuild_phase phase,
                          const struct repl_epoch *epoch)
{
    struct repl_rebuild_intent intent = {.phase = phase, .epoch = *epoch};
    struct repl_identity identity = {0};
    struct ldb_error err = {0};

    assert_ldb_ok(repl_identity_load(node->env, node->dir, &err, &identity),
                  &err);
    memcpy(intent.cluster_id, identity.cluster_id, sizeof intent.cluster_id);
    assert_ldb_ok(
        repl_rebuild_intent_store(node->env, node->dir, &intent, &err), &err);
}

static void promote(struct service_run *node, const char *body, long status)
{
    struct http_reply reply =
        service_run_call(node, "POST", "/v1/admin/promote", body);

    if (reply.status != status)
        fail_msg("%s: %ld %s", body, reply.status, http_reply_text(&reply));
    http_reply_release(&reply);
}

/* What the node gives out from now on lies above all that later has. */
static void assert_above_later(struct service_run *node)
{
    assert_true(service_run_epoch(node) > later.number);
    assert_true(service_run_put(node, "last", "1") >
                later.base + REPL_PROMOTION_SKIPS_MIN * REPL_EPOCH_SKIP);
}

/* a has led, and is stopped; the others have its first write. */
static void lead_and_stop(void)
{
    service_run_start(&a, NULL);
    (void)service_run_put(&a, "first", "1");
    copy_from_leader(&b);
    copy_from_leader(&c);
    service_run_stop(&a);
}

static struct repl_state ask(struct service_run *node)
{
    struct http_reply reply =
        service_run_call(node, "GET", "/v1/replication/state", NULL);
    struct repl_state state = {0};
    struct ldb_error err = {0};

    if (reply.status != 200)
        fail_msg("%ld %s", reply.status, http_reply_text(&reply));
    assert_ldb_ok(
        repl_state_decode(ldb_slice_str(http_reply_text(&reply)), &err, &state),
        &err);
    http_reply_release(&reply);
    assert_int_equal(REPL_ROLE_FOLLOWER, state.role);
    return state;
}

static enum ldb_status load_intent(struct service_run *node)
{
    struct repl_rebuild_intent intent;

    return repl_rebuild_intent_load(node->env, node->dir, NULL, &intent);
}

static bool waits_for_later(void *context)
{
    struct http_reply reply = service_run_call(context, "GET", "/stats", NULL);
    bool is_it = strstr(http_reply_text(&reply), "was begun here") != NULL;

    http_reply_release(&reply);
    return is_it;
}

static bool has_last(void *context)
{
    return service_run_has(context, "last", "1");
}

static void a_new_node_says_that_it_knows_nothing(void **state)
{
    struct repl_state said;

    (void)state;
    service_run_start(&b, "--role=follower", NOBODY, NULL);
    assert_int_equal(503, service_run_status(&b, "GET", "/v1/kv/x", NULL));
    said = ask(&b);
    assert_string_equal("", said.identity.cluster_id);
    assert_string_equal("http://127.0.0.1:1", said.leader_url);
    assert_int_equal(0, said.history.count);
    assert_int_equal(0, said.journal_count);
    repl_state_release(&said);
}

/* A promotion goes above it. */
static void a_folder_half_made_anew_tells_of_its_leader(void **state)
{
    struct repl_state said;
    char peers[96];

    (void)state;
    lead_and_stop();
    stop_half_way(&c, REPL_REBUILD_SWITCHING, &later);
    service_run_start(&c, "--role=follower", NOBODY, NULL);
    assert_int_equal(503, service_run_status(&c, "GET", "/v1/kv/first", NULL));
    said = ask(&c);
    assert_int_equal(2, said.history.count);
    assert_memory_equal(&later, &said.history.items[1], sizeof later);
    assert_true(repl_state_is_bare(&said));
    repl_state_release(&said);
    promote(&c, "{\"force\":true}", 409);

    (void)snprintf(peers, sizeof peers, "--peers=%s", c.url);
    service_run_start(&b, "--role=follower", NOBODY, peers, NULL);
    promote(&b, "{\"force\":true}", 200);
    assert_above_later(&b);
}

/* It was the leader: what it had it cannot tell, so that takes force. */
static void an_old_leader_half_made_anew_is_none_that_answers(void **state)
{
    char leader[96];

    (void)state;
    lead_and_stop();
    stop_half_way(&a, REPL_REBUILD_SWITCHING, &later);
    service_run_start(&a, "--role=follower", NOBODY, NULL);
    (void)snprintf(leader, sizeof leader, "--leader=%s", a.url);
    service_run_start(&b, "--role=follower", leader, NULL);
    promote(&b, "{}", 409);
    promote(&b, "{\"force\":true}", 200);
    assert_above_later(&b);
}

/* One that can still be read tells of it too, follows nobody below, and may be
 * promoted above. */
static void a_folder_about_to_be_made_anew_holds_to_its_leader(void **state)
{
    struct repl_state said;
    char leader[96];

    (void)state;
    lead_and_stop();
    service_run_start(&a, NULL);
    stop_half_way(&b, REPL_REBUILD_FETCHING, &later);
    (void)snprintf(leader, sizeof leader, "--leader=%s", a.url);
    service_run_start(&b, "--role=follower", leader, NULL);
    assert_true(service_run_has(&b, "first", "1"));
    service_run_await("its reason", waits_for_later, &b, &a, &b);
    said = ask(&b);
    assert_int_equal(2, said.history.count);
    assert_int_equal(later.number, said.history.items[1].number);
    assert_int_equal(1, said.last_sequence);
    repl_state_release(&said);
    service_run_stop(&a);
    promote(&b, "{\"force\":true}", 200);
    assert_above_later(&b);
    assert_ldb_status(LDB_NOT_FOUND, load_intent(&b), NULL);
}

/* The leader that it was begun for, or a later one, ends it by its stream. */
static void what_was_fetched_in_vain_is_over_with_the_stream(void **state)
{
    static const struct repl_epoch earlier = {.number = 1, .id = 0xabc};
    char leader[96];

    (void)state;
    lead_and_stop();
    service_run_start(&a, NULL);
    service_run_crash(&a);
    service_run_start(&a, NULL); /* in epoch 2 */
    stop_half_way(&b, REPL_REBUILD_FETCHING, &earlier);
    (void)snprintf(leader, sizeof leader, "--leader=%s", a.url);
    service_run_start(&b, "--role=follower", leader, NULL);
    (void)service_run_put(&a, "last", "1");
    service_run_await("last", has_last, &b, &a, &b);
    assert_ldb_status(LDB_NOT_FOUND, load_intent(&b), NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_node_says_that_it_knows_nothing),
        TEST(a_folder_half_made_anew_tells_of_its_leader),
        TEST(an_old_leader_half_made_anew_is_none_that_answers),
        TEST(a_folder_about_to_be_made_anew_holds_to_its_leader),
        TEST(what_was_fetched_in_vain_is_over_with_the_stream),
    };

    return cmocka_run_group_tests_name("node_standing", tests, NULL, NULL);
}
