/*
 * Nodes that lead, follow, and change places: whole services in one process,
 * their folders in memory, over loopback.
 */
#include "service/node_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/node.h"
#include "replication/promotion.h"
#include "replication/role_file.h"
#include "replication/sidecar.h"
#include "service/node_run_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/service_run.h"

/* ---- two or three nodes ---- */

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

/* "--leader=URL" of the node, valid until the next call for another one. */
static const char *leader_flag(const struct service_run *leader)
{
    static char texts[3][96];
    char *text = texts[leader == &a ? 0 : leader == &b ? 1 : 2];

    (void)snprintf(text, sizeof texts[0], "--leader=%s", leader->url);
    return text;
}

static void follow(struct service_run *node, const struct service_run *leader)
{
    service_run_start(node, "--role=follower", leader_flag(leader), NULL);
}

struct wanted {
    struct service_run *node;
    const char *key;
    const char *value;
};

static bool has_it(void *context)
{
    const struct wanted *wanted = context;

    return service_run_has(wanted->node, wanted->key, wanted->value);
}

static void await(struct service_run *node, const char *key, const char *value)
{
    struct wanted wanted = {.node = node, .key = key, .value = value};
    char what[64];

    (void)snprintf(what, sizeof what, "%s at %s", key, node->dir);
    service_run_await(what, has_it, &wanted, &a, &b, &c);
}

static bool is_ready(void *context)
{
    return service_run_status(context, "GET", "/readyz", NULL) == 200;
}

/* A leader and a follower that is level with it. */
static void start_pair(void)
{
    service_run_start(&a, NULL);
    (void)service_run_put(&a, "first", "1");
    follow(&b, &a);
    await(&b, "first", "1");
}

/* A change that must succeed; the epoch after it. */
static uint64_t change(struct service_run *node, const char *what,
                       const char *body)
{
    struct http_reply reply;
    const char *epoch;
    char target[64];
    uint64_t number;

    (void)snprintf(target, sizeof target, "/v1/admin/%s", what);
    reply = service_run_call(node, "POST", target, body);
    if (reply.status != 200)
        fail_msg("%s of %s: %ld %s", what, node->dir, reply.status,
                 http_reply_text(&reply));
    epoch = strstr(http_reply_text(&reply), "\"epoch\":");
    assert_non_null(epoch);
    number = strtoull(epoch + strlen("\"epoch\":"), NULL, 10);
    http_reply_release(&reply);
    return number;
}

/* One that must be refused, with that in its detail. */
static void refuse(struct service_run *node, const char *what, const char *body,
                   const char *detail)
{
    struct http_reply reply;
    char target[64];

    (void)snprintf(target, sizeof target, "/v1/admin/%s", what);
    reply = service_run_call(node, "POST", target, body);
    if (reply.status != 409 || strstr(http_reply_text(&reply), detail) == NULL)
        fail_msg("%s of %s: %ld %s", what, node->dir, reply.status,
                 http_reply_text(&reply));
    http_reply_release(&reply);
}

/* ---- following ---- */

static void a_follower_has_what_its_leader_writes(void **state)
{
    (void)state;
    start_pair();
    assert_true(service_run_leads(&a));
    assert_false(service_run_leads(&b));
    (void)service_run_put(&a, "second", "2");
    await(&b, "second", "2");
    service_run_await("readiness", is_ready, &b, &a, &b);
    assert_int_equal(service_run_epoch(&a), service_run_epoch(&b));
}

/* Until it has been level with its leader nothing of it is an answer. */
static void a_new_follower_without_its_leader_answers_nothing(void **state)
{
    struct http_reply reply;

    (void)state;
    service_run_start(&a, NULL);
    service_run_stop(&a);
    follow(&b, &a);
    for (unsigned i = 0; i < 3; i++)
        service_run_tick(&b);
    assert_int_equal(service_run_status(&b, "GET", "/v1/kv/x", NULL), 503);
    reply = service_run_call(&b, "GET", "/readyz", NULL);
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(http_reply_text(&reply), "bootstrapping"));
    http_reply_release(&reply);
    assert_int_equal(service_run_status(&b, "GET", "/healthz", NULL), 200);
    assert_int_equal(service_run_status(&b, "GET", "/stats", NULL), 200);
    service_run_start(&a, NULL);
    (void)service_run_put(&a, "x", "1");
    await(&b, "x", "1");
}

/* As if goleveldb had had the follower's folder open meanwhile. */
static void write_as_another(struct service_run *node, const char *key)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    enum ldb_status s;

    ldb_options_init(&options);
    options.env = node->env;
    s = ldb_open(node->dir, &options, NULL, &err, &db);
    if (s == LDB_OK)
        s = ldb_put(db, ldb_slice_str(key), ldb_slice_str("1"), true, &err,
                    NULL);
    if (s == LDB_OK)
        s = ldb_close(db, &err);
    if (s != LDB_OK)
        fail_msg("%s", err.message);
}

/*
 * The leader has gone on meanwhile, and let go of the journals of that time: by
 * sequences and epochs the follower would be merely behind.
 */
static void what_another_program_wrote_is_set_aside(void **state)
{
    struct http_reply reply;

    (void)state;
    service_run_start(&a, "--archive-bytes=0", NULL);
    (void)service_run_put(&a, "first", "1");
    follow(&b, &a);
    await(&b, "first", "1");
    service_run_stop(&b);
    write_as_another(&b, "foreign");
    for (unsigned i = 0; i < 3; i++) {
        (void)service_run_put(&a, "second", "2");
        assert_int_equal(
            service_run_status(&a, "POST", "/v1/admin/flush", NULL), 200);
    }
    follow(&b, &a);
    await(&b, "second", "2");
    assert_false(service_run_has(&b, "foreign", "1"));
    reply = service_run_call(&b, "GET", "/v1/replication/diverged", NULL);
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(http_reply_text(&reply), "\"rewinds\":1,"));
    http_reply_release(&reply);
}

static void it_shows_what_it_had_without_its_leader(void **state)
{
    (void)state;
    start_pair();
    service_run_stop(&a);
    assert_true(service_run_has(&b, "first", "1"));
    service_run_stop(&b);
    follow(&b, &a);
    assert_true(service_run_has(&b, "first", "1"));
    service_run_start(&a, NULL);
    (void)service_run_put(&a, "second", "2");
    await(&b, "second", "2");
}

static void a_follower_that_lags_is_not_ready(void **state)
{
    struct http_reply reply;

    (void)state;
    service_run_start(&a, NULL);
    (void)service_run_put(&a, "first", "1");
    service_run_start(&b, "--role=follower", leader_flag(&a), "--max-lag=1us",
                      NULL);
    await(&b, "first", "1");
    service_run_stop(&a);
    reply = service_run_call(&b, "GET", "/readyz", NULL);
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(http_reply_text(&reply), "lagging"));
    http_reply_release(&reply);
}

static void writes_at_a_follower_reach_its_leader(void **state)
{
    uint64_t sequence;

    (void)state;
    start_pair();
    sequence = service_run_put(&b, "through", "b");
    assert_true(service_run_has(&a, "through", "b"));
    assert_true(sequence > 1);
    await(&b, "through", "b");
}

static void a_follower_may_send_clients_away(void **state)
{
    struct http_reply reply;
    char location[128];
    char expected[128];

    (void)state;
    service_run_start(&a, NULL);
    service_run_start(&b, "--role=follower", leader_flag(&a),
                      "--follower-writes=redirect", NULL);
    reply = http_call(b.client, "PUT", "/v1/kv/x", NULL, "1", 1);
    assert_int_equal(reply.status, 307);
    assert_true(
        http_reply_header(&reply, "Location", location, sizeof location));
    (void)snprintf(expected, sizeof expected, "%s/v1/kv/x", a.url);
    assert_string_equal(location, expected);
    http_reply_release(&reply);
    service_run_stop(&b);
    service_run_start(&b, "--role=follower", leader_flag(&a),
                      "--follower-writes=reject", NULL);
    reply = http_call(b.client, "PUT", "/v1/kv/x", NULL, "1", 1);
    assert_int_equal(reply.status, 421);
    assert_non_null(strstr(http_reply_text(&reply), a.url));
    http_reply_release(&reply);
}

static void a_follower_does_not_compact(void **state)
{
    (void)state;
    start_pair();
    assert_int_equal(service_run_status(&b, "POST", "/v1/admin/compact", NULL),
                     421);
    assert_int_equal(service_run_status(&b, "POST", "/v1/admin/flush", NULL),
                     421);
    assert_int_equal(service_run_status(&b, "POST", "/v1/admin/verify", NULL),
                     200);
}

/* ---- promotion ---- */

static void a_leader_that_answers_is_not_passed_over(void **state)
{
    (void)state;
    start_pair();
    refuse(&b, "promote", NULL, "leads");
    refuse(&b, "promote", "{\"force\":true}", "leads");
    refuse(&a, "promote", NULL, "leads already");
    (void)service_run_put(&a, "second", "2");
    await(&b, "second", "2");
}

static void a_leader_that_is_gone_takes_force(void **state)
{
    uint64_t before;
    uint64_t after;

    (void)state;
    start_pair();
    before = service_run_put(&a, "second", "2");
    await(&b, "second", "2");
    service_run_stop(&a);
    refuse(&b, "promote", NULL, "does not answer");
    assert_true(change(&b, "promote", "{\"force\":true}") >
                REPL_PROMOTION_SKIPS_MIN);
    assert_true(service_run_leads(&b));
    assert_true(service_run_has(&b, "second", "2"));
    after = service_run_put(&b, "third", "3");
    assert_true(after > before + REPL_PROMOTION_SKIPS_MIN * REPL_EPOCH_SKIP);
    assert_int_equal((after - 1 - before) % REPL_EPOCH_SKIP, 0);
}

/* Files of the new history have names of their own. */
static void files_of_a_promoted_node_are_numbered_far_above(void **state)
{
    struct http_reply reply;
    const char *number;

    (void)state;
    start_pair();
    service_run_stop(&a);
    (void)change(&b, "promote", "{\"force\":true}");
    reply = service_run_call(&b, "GET", "/stats", NULL);
    number = strstr(http_reply_text(&reply), "\"journal\":{\"number\":");
    assert_non_null(number);
    assert_true(strtoull(number + strlen("\"journal\":{\"number\":"), NULL,
                         10) > UINT64_C(1) << 20);
    http_reply_release(&reply);
}

static void a_promotion_outlives_a_restart(void **state)
{
    uint64_t epoch;

    (void)state;
    start_pair();
    service_run_stop(&a);
    epoch = change(&b, "promote", "{\"force\":true}");
    (void)service_run_put(&b, "second", "2");
    service_run_stop(&b);
    follow(&b, &a); /* the same flags as before */
    assert_true(service_run_leads(&b));
    assert_int_equal(service_run_epoch(&b), epoch);
    assert_true(service_run_has(&b, "second", "2"));
}

/* It was decided, and then the process was gone. */
/* The file that a promotion of b leaves which is cut short. */
static struct repl_role_file cut_short(void)
{
    struct repl_role_file file = {
        .now.role = REPL_ROLE_LEADER,
        .configured.role = REPL_ROLE_FOLLOWER,
        .is_promotion_open = true,
        .epoch_floor = {.number = 4, .base = 5 * REPL_EPOCH_SKIP},
        .file_floor = UINT64_C(1) << 21,
    };

    (void)snprintf(file.configured.leader_url,
                   sizeof file.configured.leader_url, "%s", a.url);
    return file;
}

static void a_promotion_that_was_cut_short_is_ended_at_the_start(void **state)
{
    struct repl_role_file file;
    struct repl_role_file after;

    (void)state;
    start_pair();
    file = cut_short();
    service_run_stop(&b);
    service_run_stop(&a);
    assert_int_equal(LDB_OK, repl_role_file_store(b.env, b.dir, &file, NULL));
    follow(&b, &a);
    assert_true(service_run_leads(&b));
    assert_int_equal(service_run_epoch(&b), 4);
    assert_true(service_run_put(&b, "k", "v") > 5 * REPL_EPOCH_SKIP);
    assert_int_equal(LDB_OK, repl_role_file_load(b.env, b.dir, NULL, &after));
    assert_false(after.is_promotion_open);
}

/* What it is told to do at its start it has been started with. */
static void one_cut_short_follows_a_leader_that_leads_on(void **state)
{
    struct repl_role_file file;

    (void)state;
    start_pair();
    file = cut_short();
    service_run_stop(&b);
    assert_int_equal(LDB_OK, repl_role_file_store(b.env, b.dir, &file, NULL));
    service_run_start(&b, "--role=follower", leader_flag(&a), "--peers", a.url,
                      NULL);
    assert_false(service_run_leads(&b));
    (void)service_run_put(&a, "second", "2");
    await(&b, "second", "2");
}

static void an_empty_folder_is_not_promoted(void **state)
{
    (void)state;
    service_run_start(&a, NULL);
    service_run_stop(&a);
    follow(&b, &a);
    refuse(&b, "promote", "{\"force\":true}", "nothing of any leader");
    assert_false(service_run_leads(&b));
}

/* ---- who comes back ---- */

static void a_leader_of_before_follows_and_loses_its_own(void **state)
{
    char flag[96];

    (void)state;
    start_pair();
    service_run_stop(&b);
    /* What only a has. */
    (void)service_run_put(&a, "lost", "1");
    service_run_stop(&a);
    follow(&b, &a);
    (void)change(&b, "promote", "{\"force\":true}");
    (void)service_run_put(&b, "second", "2");
    (void)snprintf(flag, sizeof flag, "--leader=%s", b.url);
    service_run_start(&a, "--role=follower", flag, NULL);
    await(&a, "second", "2");
    assert_false(service_run_has(&a, "lost", "1"));
    assert_int_equal(service_run_epoch(&a), service_run_epoch(&b));
}

/* It has begun epochs of which nobody heard; the new leader's is above them. */
static void a_leader_started_anew_unheard_follows(void **state)
{
    (void)state;
    start_pair();
    service_run_stop(&b);
    for (unsigned i = 0; i < 5; i++) {
        service_run_crash(&a);
        service_run_start(&a, NULL);
        (void)service_run_put(&a, "lost", "1");
    }
    assert_true(service_run_epoch(&a) > 5);
    service_run_stop(&a);
    follow(&b, &a);
    (void)change(&b, "promote", "{\"force\":true}");
    (void)service_run_put(&b, "second", "2");
    follow(&a, &b);
    await(&a, "second", "2");
    assert_false(service_run_has(&a, "lost", "1"));
}

/* c has followed b, which a never heard of: a begins above what c knows. */
static void a_promotion_asks_the_others_too(void **state)
{
    char peers[160];
    uint64_t passed;
    uint64_t sequence;
    uint64_t epoch;

    (void)state;
    start_pair();
    follow(&c, &a);
    await(&c, "first", "1");
    service_run_stop(&a);
    passed = change(&b, "promote", "{\"force\":true}");
    (void)snprintf(peers, sizeof peers, "{\"leader\":\"%s\"}", b.url);
    (void)change(&c, "demote", peers);
    sequence = service_run_put(&b, "second", "2");
    await(&c, "second", "2");
    /* a follows nobody that answers, and has not heard of b's epoch. */
    (void)snprintf(peers, sizeof peers, "--peers=%s,%s", b.url, c.url);
    service_run_start(&a, "--role=follower", "--leader=http://127.0.0.1:1",
                      peers, NULL);
    refuse(&a, "promote", "{\"force\":true}", "leads");
    service_run_stop(&b);
    epoch = change(&a, "promote", "{\"force\":true}");
    assert_true(epoch > passed);
    assert_true(service_run_put(&a, "third", "3") >
                sequence + REPL_PROMOTION_SKIPS_MIN * REPL_EPOCH_SKIP);
    (void)snprintf(peers, sizeof peers, "{\"leader\":\"%s\"}", a.url);
    (void)change(&c, "demote", peers);
    await(&c, "third", "3");
    assert_false(service_run_has(&c, "second", "2"));
}

static bool is_a_second_later(void *context)
{
    const uint64_t *since_us = context;

    return a.env->ops->wall_us(a.env) / 1000000 > *since_us / 1000000;
}

/* b leads, and is gone before c has heard of it. */
static void one_of_which_nobody_heard_follows_the_next(void **state)
{
    uint64_t since_us;

    (void)state;
    start_pair();
    follow(&c, &a);
    await(&c, "first", "1");
    service_run_stop(&c);
    service_run_stop(&a);
    (void)change(&b, "promote", "{\"force\":true}");
    (void)service_run_put(&b, "lost", "1");
    since_us = b.env->ops->wall_us(b.env);
    service_run_stop(&b);
    service_run_await("the next second", is_a_second_later, &since_us, NULL);
    follow(&c, &a);
    (void)change(&c, "promote", "{\"force\":true}");
    (void)service_run_put(&c, "second", "2");
    follow(&b, &c);
    await(&b, "second", "2");
    assert_false(service_run_has(&b, "lost", "1"));
}

/* The flags name it a follower, as they did before it was promoted. */
static void one_that_was_passed_over_follows_again(void **state)
{
    (void)state;
    start_pair();
    service_run_stop(&a);
    (void)change(&b, "promote", "{\"force\":true}");
    (void)service_run_put(&b, "second", "2");
    follow(&a, &b);
    await(&a, "second", "2");
    service_run_stop(&b);
    (void)change(&a, "promote", "{\"force\":true}");
    (void)service_run_put(&a, "third", "3");
    follow(&b, &a);
    assert_false(service_run_leads(&b));
    await(&b, "third", "3");
    /* For good. */
    service_run_stop(&b);
    service_run_stop(&a);
    follow(&b, &a);
    assert_false(service_run_leads(&b));
}

static void a_node_does_not_lead_when_a_peer_is_ahead(void **state)
{
    char peers[96];
    char epoch[32];
    struct ldb_error err = {0};

    (void)state;
    start_pair();
    service_run_stop(&a);
    (void)snprintf(
        epoch, sizeof epoch, "epoch %llu",
        (unsigned long long)change(&b, "promote", "{\"force\":true}"));
    (void)snprintf(peers, sizeof peers, "--peers=%s", b.url);
    assert_int_equal(LDB_PRECONDITION,
                     service_run_try_start(&a, &err, peers, NULL));
    assert_non_null(strstr(err.message, epoch));
    /* An empty folder neither. */
    assert_int_equal(LDB_PRECONDITION,
                     service_run_try_start(&c, &err, peers, NULL));
    assert_non_null(strstr(err.message, "no history"));
}

/* ---- stepping down, and handing over ---- */

/* The follower may be held up for longer than is usual. */
#define HANDOVER "{\"to\":\"%s\",\"timeout\":\"5m\"}"

static void a_leader_steps_down_to_follow(void **state)
{
    char body[128];

    (void)state;
    start_pair();
    (void)snprintf(body, sizeof body, "{\"leader\":\"%s\"}", b.url);
    (void)change(&a, "demote", body);
    assert_false(service_run_leads(&a));
    assert_true(service_run_has(&a, "first", "1"));
    /* Its follower has all of it, and it says whom it follows. */
    assert_int_equal(change(&b, "promote", NULL), 2);
    (void)service_run_put(&b, "second", "2");
    await(&a, "second", "2");
    /* Through its follower too. */
    (void)service_run_put(&a, "third", "3");
    assert_true(service_run_has(&b, "third", "3"));
}

static bool b_is_alive(void *context)
{
    struct http_reply reply =
        service_run_call(&a, "GET", "/v1/replication/followers", NULL);
    bool is_so =
        reply.status == 200 && strstr(http_reply_text(&reply), b.url) != NULL;

    (void)context;
    http_reply_release(&reply);
    return is_so;
}

static void handing_over_loses_nothing(void **state)
{
    char body[128];
    char value[16];

    (void)state;
    start_pair();
    service_run_await("b's ack", b_is_alive, NULL, &a, &b);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(value, sizeof value, "%u", i);
        (void)service_run_put(&a, value, value);
    }
    (void)snprintf(body, sizeof body, HANDOVER, b.url);
    assert_int_equal(change(&a, "handover", body), 2);
    assert_true(service_run_leads(&b));
    assert_false(service_run_leads(&a));
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(value, sizeof value, "%u", i);
        assert_true(service_run_has(&b, value, value));
    }
    (void)service_run_put(&a, "after", "1"); /* forwarded */
    await(&a, "after", "1");
    /* And back. */
    (void)snprintf(body, sizeof body, HANDOVER, a.url);
    assert_int_equal(change(&b, "handover", body), 3);
    assert_true(service_run_leads(&a));
    (void)service_run_put(&a, "last", "1");
    await(&b, "last", "1");
}

static void there_is_nobody_to_hand_over_to(void **state)
{
    char body[128];

    (void)state;
    start_pair();
    service_run_stop(&b);
    (void)snprintf(body, sizeof body, HANDOVER, b.url);
    refuse(&a, "handover", body, "cannot be asked");
    refuse(&a, "handover", "{\"to\":\"0123456789abcdef0123456789abcdef\"}",
           "no follower");
    (void)service_run_put(&a, "second", "2");
    service_run_start(&b, "--role=follower", leader_flag(&a), NULL);
    refuse(&b, "handover", body, "does not lead");
}

/* Another follower finds whom the leader's place went to. */
static void others_follow_the_new_leader(void **state)
{
    char body[128];

    (void)state;
    start_pair();
    follow(&c, &a);
    await(&c, "first", "1");
    service_run_await("b's ack", b_is_alive, NULL, &a, &b, &c);
    (void)snprintf(body, sizeof body, HANDOVER, b.url);
    (void)change(&a, "handover", body);
    (void)service_run_put(&b, "second", "2");
    await(&c, "second", "2");
    /* By its new leader's name, after a restart too. */
    service_run_stop(&a);
    service_run_stop(&c);
    follow(&c, &a);
    (void)service_run_put(&b, "third", "3");
    await(&c, "third", "3");
}

/* ---- readers meanwhile ---- */

static void readers_see_a_gap_and_no_wrong_answer(void **state)
{
    struct http_reply reply;
    char path[96];

    (void)state;
    start_pair();
    reply = service_run_call(&b, "POST", "/v1/snapshots", NULL);
    assert_int_equal(reply.status, 201);
    assert_true(http_reply_header(&reply, "Location", path, sizeof path));
    http_reply_release(&reply);
    service_run_stop(&a);
    (void)change(&b, "promote", "{\"force\":true}");
    assert_int_equal(service_run_status(&b, "POST", path, NULL), 410);
    assert_true(service_run_has(&b, "first", "1"));
}

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

/* The server answers before the follower follows: who would promote it then
 * stopped a follower that was not there yet, and closed what it was begun on.
 */
static void nobody_changes_a_node_that_starts(void **state)
{
    char data[] = "--data=a";
    char *argv[] = {data};
    struct svc_config config;
    struct api_context context;
    struct svc_node *node = NULL;
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_ok(svc_config_parse(1, argv, no_environment, &err, &config),
                  &err);
    assert_ldb_ok(api_context_init(&context, NULL, a.env, &err), &err);
    context.limits.slot_bytes = config.slot_bytes;
    assert_ldb_ok(svc_node_open(&config, a.env, &context, &err, &node), &err);
    assert_false(svc_turn_begin_tending(&node->turn));
    assert_ldb_ok(svc_node_start(node, NULL, "", &err), &err);
    assert_true(svc_turn_begin_tending(&node->turn));
    svc_turn_end_tending(&node->turn);
    assert_ldb_ok(svc_node_close(node, &err), &err);
    api_context_release(&context);
    /* One that is never started ends as well. */
    assert_ldb_ok(api_context_init(&context, NULL, a.env, &err), &err);
    context.limits.slot_bytes = config.slot_bytes;
    assert_ldb_ok(svc_node_open(&config, a.env, &context, &err, &node), &err);
    assert_ldb_ok(svc_node_close(node, &err), &err);
    api_context_release(&context);
}

static void what_is_known_stays_where_the_folder_is_not_read(void **state)
{
    struct api_context context;
    struct svc_config config;
    struct svc_node *node = NULL;
    struct ldb_error err = {0};
    struct env_fault_rule rule = {.kinds = ENV_FAULT_BIT(ENV_FAULT_READ),
                                  .path = "leveld/",
                                  .nth = 1,
                                  .from_then_on = true,
                                  .sys_errno = EIO};
    struct repl_identity identity;

    (void)state;
    service_run_start(&a, NULL);
    service_run_stop(&a);
    config = a.config;
    assert_ldb_ok(api_context_init(&context, NULL, a.env, &err), &err);
    context.limits.slot_bytes = config.slot_bytes;
    assert_ldb_ok(svc_node_open(&config, a.env, &context, &err, &node), &err);
    assert_true(node->repl.has_identity);
    assert_int_equal(node->repl.history.count, 1);
    identity = node->repl.identity;
    env_fault_fail(a.fault, &rule);
    assert_ldb_status(LDB_IO, svc_node_load(node, &err), &err);
    env_fault_fail(a.fault, NULL);
    assert_true(node->repl.has_identity);
    assert_memory_equal(&node->repl.identity, &identity, sizeof identity);
    assert_int_equal(node->repl.history.count, 1);
    assert_ldb_ok(svc_node_load(node, &err), &err);
    assert_memory_equal(&node->repl.identity, &identity, sizeof identity);
    assert_ldb_ok(svc_node_close(node, &err), &err);
    api_context_release(&context);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(nobody_changes_a_node_that_starts),
        TEST(what_is_known_stays_where_the_folder_is_not_read),
        TEST(a_follower_has_what_its_leader_writes),
        TEST(a_new_follower_without_its_leader_answers_nothing),
        TEST(what_another_program_wrote_is_set_aside),
        TEST(it_shows_what_it_had_without_its_leader),
        TEST(a_follower_that_lags_is_not_ready),
        TEST(writes_at_a_follower_reach_its_leader),
        TEST(a_follower_may_send_clients_away),
        TEST(a_follower_does_not_compact),
        TEST(a_leader_that_answers_is_not_passed_over),
        TEST(a_leader_that_is_gone_takes_force),
        TEST(files_of_a_promoted_node_are_numbered_far_above),
        TEST(a_promotion_outlives_a_restart),
        TEST(a_promotion_that_was_cut_short_is_ended_at_the_start),
        TEST(one_cut_short_follows_a_leader_that_leads_on),
        TEST(an_empty_folder_is_not_promoted),
        TEST(a_leader_of_before_follows_and_loses_its_own),
        TEST(a_leader_started_anew_unheard_follows),
        TEST(a_promotion_asks_the_others_too),
        TEST(one_of_which_nobody_heard_follows_the_next),
        TEST(one_that_was_passed_over_follows_again),
        TEST(a_node_does_not_lead_when_a_peer_is_ahead),
        TEST(a_leader_steps_down_to_follow),
        TEST(handing_over_loses_nothing),
        TEST(there_is_nobody_to_hand_over_to),
        TEST(others_follow_the_new_leader),
        TEST(readers_see_a_gap_and_no_wrong_answer),
    };

    return cmocka_run_group_tests_name("node_run", tests, NULL, NULL);
}
