/* Changes of a role that fail at each of their writes: the node is what it was,
 * or becomes that again by itself once its disk takes writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/role.h"
#include "service/node_run_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/service_run.h"

#define NOBODY "http://127.0.0.1:1"

/* ---- one node of two, by hand ---- */

static struct service_run a;
static struct service_run b;
static struct api_context context;
static struct svc_node *node;
static struct ldb_error err;

static void open_node(const struct service_run *run)
{
    assert_ldb_ok(api_context_init(&context, NULL, run->env, &err), &err);
    context.limits.slot_bytes = run->config.slot_bytes;
    assert_ldb_ok(svc_node_open(&run->config, run->env, &context, &err, &node),
                  &err);
    assert_ldb_ok(svc_node_start(node, NULL, run->url, &err), &err);
}

static bool b_has_it(void *unused)
{
    (void)unused;
    return service_run_has(&b, "key", "value");
}

/* a leads and b follows, both were stopped: nobody answers. */
static int setup(void **state)
{
    char leader[96];

    (void)state;
    service_run_init(&a, "a");
    service_run_init(&b, "b");
    service_run_start(&a, NULL);
    (void)service_run_put(&a, "key", "value");
    (void)snprintf(leader, sizeof leader, "--leader=%s", a.url);
    service_run_start(&b, "--role=follower", leader, NULL);
    service_run_await("key at b", b_has_it, NULL, &a, &b);
    service_run_stop(&b);
    service_run_stop(&a);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_ldb_ok(svc_node_close(node, &err), &err);
    api_context_release(&context);
    service_run_release(&b);
    service_run_release(&a);
    return 0;
}

/* All that changes a file fails, from the nth on. */
static void fail_from(struct env_fault *fault, uint64_t nth)
{
    struct env_fault_rule rule = {.kinds = ENV_FAULT_WRITES,
                                  .nth = nth,
                                  .from_then_on = true,
                                  .sys_errno = ENOSPC};

    env_fault_fail(fault, &rule);
}

/* Its housekeeping, when it is time to try again. */
static void tick(void)
{
    node->tried_us = 0;
    svc_node_tick(node);
}

static bool stands_still(void)
{
    struct api_problem problem = {0};
    bool is_open = api_db_gate_enter(context.gate);

    if (is_open) {
        api_db_gate_leave(context.gate);
        return false;
    }
    api_db_gate_problem(context.gate, &problem);
    assert_string_equal("role-change-failed", problem.reason);
    return true;
}

static void assert_shown(enum repl_role role)
{
    struct ldb_buf value = LDB_BUF_INIT(1024);

    assert_int_equal(role, node->role.now.role);
    assert_int_equal(role, api_role_get(context.role));
    assert_true(api_db_gate_enter(context.gate));
    assert_ldb_ok(ldb_get(context.db, ldb_slice_str("key"), NULL, &err, &value,
                          NULL, NULL),
                  &err);
    assert_ldb_slice(ldb_slice_str("value"), ldb_slice_of_buf(&value));
    ldb_buf_release(&value);
    api_db_gate_leave(context.gate);
}

static void assert_follows(const char *url)
{
    assert_shown(REPL_ROLE_FOLLOWER);
    assert_string_equal(url, node->role.now.leader_url);
    assert_non_null(node->follower);
}

static void assert_leads(void)
{
    assert_shown(REPL_ROLE_LEADER);
    assert_true(api_db_gate_enter(context.writes));
    api_db_gate_leave(context.writes);
}

static void assert_follows_a(void)
{
    assert_follows(a.url);
}

/* ---- changes ---- */

struct change {
    struct service_run *at;
    enum ldb_status (*run)(void *context,
                           const struct api_role_request *request,
                           struct ldb_error *err, struct api_role_result *out);
    struct api_role_request request;
    void (*assert_before)(void); /* it is what it was */
};

static const struct change promotion = {.at = &b,
                                        .run = svc_change_promote,
                                        .request = {.force = true},
                                        .assert_before = assert_follows_a};
static const struct change demotion = {.at = &a,
                                       .run = svc_change_demote,
                                       .request = {.to = NOBODY},
                                       .assert_before = assert_leads};

static enum ldb_status run(const struct change *change)
{
    struct api_role_result result;

    return change->run(node, &change->request, &err, &result);
}

/* With a disk that fails on. */
static void make_it_stand_still(const struct change *change)
{
    enum ldb_status s = LDB_OK;

    for (uint64_t nth = 1; s == LDB_OK || !stands_still(); nth++) {
        env_fault_fail(change->at->fault, NULL);
        tick();
        change->assert_before();
        fail_from(change->at->fault, nth);
        s = run(change);
    }
}

/* Until it succeeds. refused: what another one says to one that stands still,
 * on a disk that fails on. */
static void fail_at_each_write(const struct change *change,
                               enum ldb_status refused)
{
    unsigned still = 0;

    for (uint64_t nth = 1;; nth++) {
        enum ldb_status s;

        fail_from(change->at->fault, nth);
        s = run(change);
        if (s != LDB_OK && stands_still()) {
            still++;
            tick();
            assert_true(stands_still());
            assert_ldb_status(refused, run(change), &err);
            assert_true(stands_still());
        }
        env_fault_fail(change->at->fault, NULL);
        if (s == LDB_OK)
            break;
        tick();
        change->assert_before();
    }
    assert_true(still > 0);
}

/* ---- tests ---- */

static void a_promotion_that_fails_leaves_a_follower(void **state)
{
    (void)state;
    open_node(&b);
    fail_at_each_write(&promotion, LDB_PRECONDITION);
    assert_leads();
}

static void a_demotion_that_fails_leaves_a_leader(void **state)
{
    (void)state;
    open_node(&a);
    fail_at_each_write(&demotion, LDB_NO_SPACE);
    assert_follows(NOBODY);
}

/* Where it cannot lead again, as another does by now, it can be told to follow
 * that one. */
static void one_that_stands_still_may_be_demoted(void **state)
{
    (void)state;
    open_node(&a);
    make_it_stand_still(&demotion);
    assert_true(run(&demotion) != LDB_OK);
    assert_true(stands_still());
    env_fault_fail(a.fault, NULL);
    assert_ldb_ok(run(&demotion), &err);
    assert_follows(NOBODY);
    tick();
    assert_follows(NOBODY);
}

/* It has no database to close, and is closed all the same, by teardown. */
static void one_that_stands_still_may_be_stopped(void **state)
{
    (void)state;
    open_node(&b);
    make_it_stand_still(&promotion);
    assert_null(node->db);
}

/* Who cannot begin to follow tries that again, too. */
static void following_is_begun_again(void **state)
{
    struct env_fault_rule rule = {.kinds =
                                      ENV_FAULT_BIT(ENV_FAULT_THREAD_START),
                                  .nth = 1,
                                  .from_then_on = true,
                                  .sys_errno = EAGAIN};
    struct api_role_request request = {.to = NOBODY};
    struct api_role_result result;

    (void)state;
    open_node(&b);
    assert_follows(a.url);
    env_fault_fail(b.fault, &rule);
    assert_true(svc_change_demote(node, &request, &err, &result) != LDB_OK);
    tick();
    assert_null(node->follower);
    env_fault_fail(b.fault, NULL);
    tick();
    assert_follows(a.url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_promotion_that_fails_leaves_a_follower, setup, teardown),
        cmocka_unit_test_setup_teardown(a_demotion_that_fails_leaves_a_leader,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_stands_still_may_be_demoted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_stands_still_may_be_stopped,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(following_is_begun_again, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
