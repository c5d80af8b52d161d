/* Start, restart, refusal and healing of a service in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "replication/node.h"
#include "replication/protocol.h"
#include "replication/sidecar.h"
#include "service/http_server.h"
#include "service/lifecycle.h"
#include "tests/support/env_fault.h"
#include "tests/support/http_client.h"

static struct env_fault *fault;
static struct ldb_env *env;
static struct svc_config config;

static int setup(void **state)
{
    (void)state;
    fault = env_fault_create(NULL);
    env = env_fault_env(fault);
    svc_log_configure(SVC_LOG_ERROR, SVC_LOG_KEY_VALUE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    env_fault_destroy(fault);
    return 0;
}

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static enum ldb_status try_start(const char *flag, struct ldb_error *err,
                                 struct svc_service **out)
{
    static char extra[128];
    static char data_flag[] = "--data=db";
    static char loops_flag[] = "--loops=1";
    char *argv[] = {data_flag, loops_flag, extra};

    snprintf(extra, sizeof extra, "%s", flag);
    assert_int_equal(LDB_OK,
                     svc_config_parse(3, argv, no_environment, err, &config));
    return svc_service_start(&config, env, false, err, out);
}

static struct svc_service *start_with(const char *flag)
{
    struct svc_service *service = NULL;
    struct ldb_error err = {0};

    if (try_start(flag, &err, &service) != LDB_OK)
        fail_msg("start: %s", err.message);
    return service;
}

static struct svc_service *start(void)
{
    return start_with("--create=yes");
}

static void stop(struct svc_service *service)
{
    struct ldb_error err = {0};

    if (svc_service_stop(service, &err) != LDB_OK)
        fail_msg("stop: %s", err.message);
}

static struct http_client *client_of(struct svc_service *service)
{
    return http_client_over_pipe(svc_service_http(service));
}

/* The epoch that answers show. */
static unsigned long epoch_of(struct http_client *client)
{
    struct http_reply reply =
        http_call(client, "GET", "/healthz", NULL, NULL, 0);
    char text[32];

    assert_true(http_reply_header(&reply, "Leveld-Epoch", text, sizeof text));
    http_reply_release(&reply);
    return strtoul(text, NULL, 10);
}

static uint64_t put_for_sequence(struct http_client *client)
{
    struct http_reply reply =
        http_call(client, "PUT", "/v1/kv/s", NULL, "x", 1);
    char text[32];

    assert_int_equal(204, reply.status);
    assert_true(
        http_reply_header(&reply, "Leveld-Sequence", text, sizeof text));
    http_reply_release(&reply);
    return strtoull(text, NULL, 10);
}

static void a_clean_stop_goes_on_and_a_power_cut_does_not(void **state)
{
    struct svc_service *service = start();
    struct http_client *client = client_of(service);
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(1, epoch_of(client));
    assert_int_equal(1, put_for_sequence(client));
    http_client_destroy(client);
    stop(service);

    service = start();
    client = client_of(service);
    assert_int_equal(1, epoch_of(client));
    assert_int_equal(2, put_for_sequence(client));
    http_client_destroy(client);
    env_fault_power_cut(fault, LDB_CRASH_KEEP_NONE, 0);
    assert_int_not_equal(LDB_OK, svc_service_stop(service, &err));

    env = env_fault_env(fault);
    service = start();
    client = client_of(service);
    assert_int_equal(2, epoch_of(client));
    assert_int_equal(2 + REPL_EPOCH_SKIP + 1, put_for_sequence(client));
    http_client_destroy(client);
    stop(service);
}

static void an_epoch_without_writes_survives_restarts(void **state)
{
    struct svc_service *service = start();
    struct http_client *client;
    struct ldb_error err = {0};

    (void)state;
    env_fault_power_cut(fault, LDB_CRASH_KEEP_NONE, 0);
    assert_int_not_equal(LDB_OK, svc_service_stop(service, &err));
    env = env_fault_env(fault);
    for (int round = 0; round < 4; round++) {
        service = start();
        client = client_of(service);
        assert_int_equal(2, epoch_of(client));
        http_client_destroy(client);
        stop(service);
    }
    service = start();
    client = client_of(service);
    assert_int_equal(REPL_EPOCH_SKIP + 1, put_for_sequence(client));
    http_client_destroy(client);
    stop(service);
}

static void a_folder_in_use_is_refused(void **state)
{
    struct svc_service *service = start();
    struct svc_service *second = NULL;
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_LOCKED, try_start("--create=yes", &err, &second));
    assert_null(second);
    stop(service);
}

static void a_newer_format_is_refused_with_nothing_written(void **state)
{
    static const char *const names[] = {"epochs", "role", "slots", "digests"};
    struct svc_service *service = start();

    (void)state;
    stop(service);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ldb_error err = {0};
        char path[64];
        char text[64];
        uint64_t calls;

        snprintf(path, sizeof path, "db/leveld/%s", names[i]);
        snprintf(text, sizeof text, "leveld-%s 2\nnew things\n", names[i]);
        assert_int_equal(
            LDB_OK, ldb_env_replace_file(env, "db/leveld", path, "db/leveld/t",
                                         ldb_slice_str(text), &err));
        calls = env_fault_count(fault, ENV_FAULT_WRITES);
        assert_int_equal(LDB_NOT_SUPPORTED,
                         try_start("--create=yes", &err, &service));
        assert_non_null(strstr(err.message, names[i]));
        assert_int_equal(calls, env_fault_count(fault, ENV_FAULT_WRITES));
        assert_int_equal(LDB_OK, env->ops->remove_file(env, path, &err));
    }
}

static void another_clusters_folder_is_refused(void **state)
{
    const char *other = "--cluster-id=0123456789abcdef0123456789abcdef";
    struct repl_node node = {0};
    struct svc_service *service = NULL;
    struct ldb_error err = {0};
    char own[64];

    (void)state;
    /* An empty folder has no history of that cluster. */
    assert_int_equal(LDB_INVALID_ARGUMENT, try_start(other, &err, &service));
    stop(start());
    assert_int_equal(LDB_INVALID_ARGUMENT, try_start(other, &err, &service));
    assert_int_equal(LDB_OK, repl_node_load(&node, env, "db", &err));
    snprintf(own, sizeof own, "--cluster-id=%s", node.identity.cluster_id);
    repl_node_release(&node);
    stop(start_with(own));
}

static void read_only_serves_and_writes_nothing(void **state)
{
    struct svc_service *service = NULL;
    struct http_client *client;
    struct http_reply reply;
    struct ldb_error err = {0};
    uint64_t calls;

    (void)state;
    assert_int_equal(LDB_NOT_FOUND, try_start("--read-only", &err, &service));
    service = start();
    client = client_of(service);
    http_put(client, "/v1/kv/a", "1");
    http_client_destroy(client);
    stop(service);

    calls = env_fault_count(fault, ENV_FAULT_WRITES);
    service = start_with("--read-only");
    client = client_of(service);
    http_expect_body(client, "/v1/kv/a", "1");
    assert_int_equal(1, epoch_of(client));
    reply = http_call(client, "PUT", "/v1/kv/a", NULL, "2", 1);
    assert_int_equal(409, reply.status);
    assert_non_null(strstr(http_reply_text(&reply), "/problems/read-only"));
    http_reply_release(&reply);
    http_client_destroy(client);
    stop(service);
    assert_int_equal(calls, env_fault_count(fault, ENV_FAULT_WRITES));
    stop(start()); /* still the clean stop's folder */
}

static void writes_come_back_after_a_sync_failed_on_a_full_disk(void **state)
{
    const struct env_fault_rule full = {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                        .path = ".log",
                                        .nth = 1,
                                        .from_then_on = true,
                                        .sys_errno = ENOSPC};
    struct svc_service *service = start();
    struct http_client *client = client_of(service);
    struct http_reply reply;
    uint64_t before;

    (void)state;
    before = put_for_sequence(client);
    env_fault_fail(fault, &full);
    reply = http_call(client, "PUT", "/v1/kv/a", NULL, "1", 1);
    assert_true(reply.status == 503 || reply.status == 507);
    http_reply_release(&reply);
    http_expect(client, "GET", "/v1/kv/s", 200);
    env_fault_fail(fault, NULL);
    for (int round = 0; round < 3; round++)
        svc_service_tick(service);
    assert_int_equal(2, epoch_of(client));
    assert_true(put_for_sequence(client) > before + REPL_EPOCH_SKIP);
    http_client_destroy(client);
    stop(service);
    stop(start());
}

/* POST /v1/snapshots; the path of the new one. */
static void take_snapshot(struct http_client *client, char *out, size_t size)
{
    struct http_reply reply =
        http_call(client, "POST", "/v1/snapshots", NULL, NULL, 0);

    assert_int_equal(201, reply.status);
    assert_true(http_reply_header(&reply, "Location", out, size));
    http_reply_release(&reply);
}

static void an_open_snapshot_is_no_obstacle_to_a_clean_stop(void **state)
{
    struct svc_service *service = start();
    struct http_client *client = client_of(service);
    char path[64];

    (void)state;
    take_snapshot(client, path, sizeof path);
    (void)put_for_sequence(client);
    svc_service_tick(service);
    http_expect(client, "POST", path, 200);
    http_client_destroy(client);
    stop(service);

    service = start();
    client = client_of(service);
    assert_int_equal(1, epoch_of(client));
    http_expect(client, "POST", path, 410);
    http_client_destroy(client);
    stop(service);
}

static void healing_drops_snapshots(void **state)
{
    const struct env_fault_rule full = {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                        .path = ".log",
                                        .nth = 1,
                                        .from_then_on = true,
                                        .sys_errno = ENOSPC};
    struct svc_service *service = start();
    struct http_client *client = client_of(service);
    struct http_reply reply;
    char path[64];

    (void)state;
    env_fault_fail(fault, &full);
    reply = http_call(client, "PUT", "/v1/kv/a", NULL, "1", 1);
    http_reply_release(&reply);
    take_snapshot(client, path, sizeof path);
    http_expect(client, "POST", path, 200);
    env_fault_fail(fault, NULL);
    for (int round = 0; round < 3; round++)
        svc_service_tick(service);
    assert_int_equal(2, epoch_of(client));
    http_expect(client, "POST", path, 410);
    http_client_destroy(client);
    stop(service);
}

static void post_ack(struct http_client *client, const struct repl_epoch *epoch,
                     long status)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          NULL};
    struct ldb_buf text = LDB_BUF_INIT(REPL_MESSAGE_BYTES_MAX);
    struct repl_ack ack = {
        .epoch = epoch->number, .epoch_id = epoch->id, .state = "streaming"};
    struct http_reply reply;

    memset(ack.node_id, 'f', REPL_ID_SIZE - 1);
    assert_int_equal(LDB_OK, repl_ack_encode(&ack, NULL, &text));
    reply = http_call(client, "POST", "/v1/replication/ack", headers, text.data,
                      text.len);
    assert_int_equal(status, reply.status);
    http_reply_release(&reply);
    ldb_buf_release(&text);
}

/* What the leader says of itself; *out is its last epoch. */
static size_t ask_state(struct http_client *client, struct repl_epoch *out)
{
    struct http_reply reply =
        http_call(client, "GET", "/v1/replication/state", NULL, NULL, 0);
    struct repl_state told = {0};
    size_t journals;

    assert_int_equal(200, reply.status);
    assert_int_equal(
        LDB_OK, repl_state_decode(ldb_slice_of_buf(&reply.body), NULL, &told));
    *out = *repl_epoch_history_last(&told.history);
    journals = told.journal_count;
    repl_state_release(&told);
    http_reply_release(&reply);
    return journals;
}

static void followers_are_told_of_the_epoch_that_heals(void **state)
{
    const struct env_fault_rule full = {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                        .path = ".log",
                                        .nth = 1,
                                        .from_then_on = true,
                                        .sys_errno = ENOSPC};
    struct svc_service *service = start();
    struct http_client *client = client_of(service);
    struct repl_epoch before;
    struct repl_epoch after;
    struct http_reply reply;

    (void)state;
    assert_int_equal(1, ask_state(client, &before));
    post_ack(client, &before, 200);
    env_fault_fail(fault, &full);
    reply = http_call(client, "PUT", "/v1/kv/a", NULL, "1", 1);
    http_reply_release(&reply);
    env_fault_fail(fault, NULL);
    for (int round = 0; round < 3; round++)
        svc_service_tick(service);
    (void)ask_state(client, &after);
    assert_int_equal(before.number + 1, after.number);
    post_ack(client, &before, 409);
    post_ack(client, &after, 200);
    http_client_destroy(client);
    stop(service);
}

/* At whatever call a healing dies, no write lies between where an epoch ended
 * and where the next began: a copy of it would be of no history. */
static void a_healing_cut_short_leaves_one_history(void **state)
{
    static const struct env_fault_rule full = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
        .path = ".log",
        .nth = 1,
        .from_then_on = true,
        .sys_errno = ENOSPC};

    (void)state;
    for (uint64_t nth = 1; nth <= 40; nth++) {
        const struct env_fault_rule dead = {.kinds = ENV_FAULT_WRITES,
                                            .nth = nth,
                                            .from_then_on = true,
                                            .sys_errno = ENOSPC};
        struct svc_service *service = start();
        struct http_client *client = client_of(service);
        struct repl_epoch_history history = {0};
        struct http_reply reply;
        struct ldb_error err = {0};

        http_put(client, "/v1/kv/a", "1");
        env_fault_fail(fault, &full);
        reply = http_call(client, "PUT", "/v1/kv/b?sync=true", NULL, "2", 1);
        http_reply_release(&reply);
        env_fault_fail(fault, &dead);
        svc_service_tick(service);
        http_client_destroy(client);
        env_fault_power_cut(fault, LDB_CRASH_KEEP_ALL, nth);
        (void)!svc_service_stop(service, &err);
        env_fault_fail(fault, NULL);

        env = env_fault_env(fault);
        stop(start());
        assert_int_equal(LDB_OK,
                         repl_epoch_history_load(env, "db", &err, &history));
        for (size_t i = 1; i < history.count; i++) {
            const struct repl_epoch *epoch = &history.items[i - 1];
            ldb_sequence last = history.items[i].previous_last;

            if (last > epoch->previous_last && last < epoch->base)
                fail_msg("cut %llu: sequence %llu is of no epoch",
                         (unsigned long long)nth, (unsigned long long)last);
        }
        repl_epoch_history_release(&history);
        env_fault_destroy(fault);
        fault = env_fault_create(NULL);
        env = env_fault_env(fault);
    }
}

static void followers_are_known_after_a_restart(void **state)
{
    struct svc_service *service = start();
    struct http_client *client = client_of(service);
    struct repl_epoch epoch;

    (void)state;
    http_put(client, "/v1/kv/a", "1");
    http_expect(client, "PUT", "/v1/kv/a?replicas=1", 409);
    (void)ask_state(client, &epoch);
    post_ack(client, &epoch, 200);
    svc_service_tick(service);
    http_client_destroy(client);
    stop(service);

    service = start_with("--min-replicas=1");
    client = client_of(service);
    http_expect(client, "DELETE",
                "/v1/replication/followers/ffffffffffffffffffffffffffffffff",
                204);
    http_expect(client, "PUT", "/v1/kv/a", 503);
    http_client_destroy(client);
    stop(service);
}

static void a_folder_served_read_only_is_not_followed(void **state)
{
    struct svc_service *service;
    struct http_client *client;

    (void)state;
    stop(start());
    service = start_with("--read-only=yes");
    client = client_of(service);
    http_expect(client, "GET", "/v1/replication/state", 409);
    http_expect(client, "GET", "/v1/digest", 409);
    http_client_destroy(client);
    stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_clean_stop_goes_on_and_a_power_cut_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_epoch_without_writes_survives_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_in_use_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_newer_format_is_refused_with_nothing_written, setup, teardown),
        cmocka_unit_test_setup_teardown(another_clusters_folder_is_refused,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(read_only_serves_and_writes_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            writes_come_back_after_a_sync_failed_on_a_full_disk, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            an_open_snapshot_is_no_obstacle_to_a_clean_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(a_healing_cut_short_leaves_one_history,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(healing_drops_snapshots, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            followers_are_told_of_the_epoch_that_heals, setup, teardown),
        cmocka_unit_test_setup_teardown(followers_are_known_after_a_restart,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_folder_served_read_only_is_not_followed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
