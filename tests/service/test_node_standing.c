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

/* As a power cut leaves a folder that was on its way to be another leader's. */
static struct repl_epoch stop_half_way(struct service_run *node,
                                       enum repl_rebuild_phase phase)
{
    struct repl_rebuild_intent intent = {
        .phase = phase,
        .epoch = {.number = UINT64_C(1) << 33,
                  .id = 0xabc,
                  .previous_last = 1,
                  .base = UINT64_C(1) << 50,
                  .first_journal = UINT64_C(1) << 30},
    };
    struct repl_identity identity = {0};
    struct ldb_error err = {0};

    assert_ldb_ok(repl_identity_load(node->env, node->dir, &err, &identity),
                  &err);
    memcpy(intent.cluster_id, identity.cluster_id, sizeof intent.cluster_id);
    assert_ldb_ok(
        repl_rebuild_intent_store(node->env, node->dir, &intent, &err), &err);
    return intent.epoch;
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

/* Where nobody else has heard of that leader, a promotion goes above it. */
static void a_folder_half_made_anew_tells_of_its_leader(void **state)
{
    struct repl_epoch epoch;
    struct http_reply reply;
    struct repl_state said;
    char peers[96];

    (void)state;
    service_run_start(&a, NULL);
    (void)service_run_put(&a, "first", "1");
    copy_from_leader(&b);
    copy_from_leader(&c);
    service_run_stop(&a);
    epoch = stop_half_way(&c, REPL_REBUILD_SWITCHING);
    service_run_start(&c, "--role=follower", NOBODY, NULL);
    assert_int_equal(503, service_run_status(&c, "GET", "/v1/kv/first", NULL));
    said = ask(&c);
    assert_int_equal(2, said.history.count);
    assert_memory_equal(&epoch, &said.history.items[1], sizeof epoch);
    repl_state_release(&said);

    (void)snprintf(peers, sizeof peers, "--peers=%s", c.url);
    service_run_start(&b, "--role=follower", NOBODY, peers, NULL);
    reply =
        service_run_call(&b, "POST", "/v1/admin/promote", "{\"force\":true}");
    if (reply.status != 200)
        fail_msg("%ld %s", reply.status, http_reply_text(&reply));
    http_reply_release(&reply);
    assert_true(service_run_epoch(&b) > epoch.number);
    assert_true(service_run_put(&b, "second", "2") >
                epoch.base + REPL_PROMOTION_SKIPS_MIN * REPL_EPOCH_SKIP);
}

/* One that can still be read tells of it, too. */
static void a_folder_about_to_be_made_anew_tells_of_its_leader(void **state)
{
    struct repl_epoch epoch;
    struct repl_state said;

    (void)state;
    service_run_start(&a, NULL);
    (void)service_run_put(&a, "first", "1");
    copy_from_leader(&b);
    service_run_stop(&a);
    epoch = stop_half_way(&b, REPL_REBUILD_FETCHING);
    service_run_start(&b, "--role=follower", NOBODY, NULL);
    assert_true(service_run_has(&b, "first", "1"));
    said = ask(&b);
    assert_int_equal(2, said.history.count);
    assert_int_equal(epoch.number, said.history.items[1].number);
    assert_int_equal(1, said.last_sequence);
    repl_state_release(&said);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_node_says_that_it_knows_nothing),
        TEST(a_folder_half_made_anew_tells_of_its_leader),
        TEST(a_folder_about_to_be_made_anew_tells_of_its_leader),
    };

    return cmocka_run_group_tests_name("node_standing", tests, NULL, NULL);
}
