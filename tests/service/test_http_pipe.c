/*
 * The whole service in one process and in memory: libcurl, a socketpair, the
 * loops, the handlers, a database in RAM. No TCP port, no disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "service/http_pipe.h"
#include "service/lifecycle.h"
#include "storage/base/mem.h"
#include "tests/support/http_client.h"

static struct ldb_env *env;
static struct svc_config config;
static struct svc_service *service;
static struct http_client *client;

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void start_service(void)
{
    static char data_flag[] = "--data=db";
    static char loops_flag[] = "--loops=2";
    static char level_flag[] = "--log-level=error";
    char *argv[] = {data_flag, loops_flag, level_flag};
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK,
                     svc_config_parse(3, argv, no_environment, &err, &config));
    svc_log_configure(SVC_LOG_ERROR, SVC_LOG_KEY_VALUE);
    if (svc_service_start(&config, env, false, &err, &service) != LDB_OK)
        fail_msg("start: %s", err.message);
    client = http_client_over_pipe(svc_service_http(service));
}

static void stop_service(void)
{
    struct ldb_error err = {0};

    http_client_destroy(client);
    if (svc_service_stop(service, &err) != LDB_OK)
        fail_msg("stop: %s", err.message);
}

static int setup(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, ldb_env_memory_create(&err, &env));
    start_service();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stop_service();
    ldb_env_memory_destroy(env);
    return 0;
}

static void a_value_is_written_read_and_deleted(void **state)
{
    char etag[64];
    char sequence[64];
    struct http_reply reply;

    (void)state;
    reply = http_call(client, "PUT", "/v1/kv/a", NULL, "one", 3);
    assert_int_equal(204, reply.status);
    assert_true(http_reply_header(&reply, "ETag", etag, sizeof etag));
    assert_string_equal("\"1\"", etag);
    assert_true(http_reply_header(&reply, "Leveld-Sequence", sequence,
                                  sizeof sequence));
    assert_string_equal("1", sequence);
    http_reply_release(&reply);
    http_expect_body(client, "/v1/kv/a", "one");
    http_expect(client, "DELETE", "/v1/kv/a", 204);
    http_expect(client, "GET", "/v1/kv/a", 404);
    http_expect(client, "GET", "/nowhere", 404);
    http_expect(client, "DELETE", "/healthz", 405);
}

static void keys_of_every_single_byte_are_kept_apart(void **state)
{
    char target[64];
    char value[16];

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        snprintf(target, sizeof target, "/v1/kv/%%%02X?sync=false", byte);
        snprintf(value, sizeof value, "%u", byte);
        http_put(client, target, value);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        snprintf(target, sizeof target, "/v1/kv/%%%02x", byte);
        snprintf(value, sizeof value, "%u", byte);
        http_expect_body(client, target, value);
        snprintf(target, sizeof target, "/v1/kv/%02x?enc=hex", byte);
        http_expect_body(client, target, value);
    }
    http_put(client, "/v1/kv/", "empty");
    http_put(client, "/v1/kv/a%00b", "nul");
    http_put(client, "/v1/kv/a%2Fb", "slash");
    http_put(client, "/v1/kv/a", "a");
    http_expect_body(client, "/v1/kv/", "empty");
    http_expect_body(client, "/v1/kv/a%00b", "nul");
    http_expect_body(client, "/v1/kv/a/b", "slash");
    http_expect_body(client, "/v1/kv/a", "a");
}

static void values_of_many_sizes_come_back_whole(void **state)
{
    static const size_t sizes[] = {0,     1,     4095,  4096,    4097,
                                   16384, 16385, 65536, 1000003, 9000000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *value = ldb_mem_alloc(1, sizes[i] + 1);
        struct http_reply reply;

        assert_non_null(value);
        for (size_t at = 0; at < sizes[i]; at++)
            value[at] = (uint8_t)(at * 7 + at / 251 + i);
        reply = http_call(client, "PUT", "/v1/kv/size", NULL, value, sizes[i]);
        assert_int_equal(204, reply.status);
        http_reply_release(&reply);
        reply = http_call(client, "GET", "/v1/kv/size", NULL, NULL, 0);
        assert_int_equal(200, reply.status);
        assert_int_equal(sizes[i], reply.body.len);
        assert_memory_equal(value, reply.body.data, sizes[i]);
        http_reply_release(&reply);
        ldb_mem_free(value);
    }
}

static void a_value_over_the_limit_is_413_and_not_stored(void **state)
{
    static const char *const chunked[] = {"Transfer-Encoding: chunked",
                                          "Expect:", NULL};
    size_t len = ((size_t)64 << 20) + 1;
    uint8_t *value = ldb_mem_zalloc(1, len);
    struct http_reply reply;

    (void)state;
    assert_non_null(value);
    for (int round = 0; round < 2; round++) {
        reply = http_call(client, "PUT", "/v1/kv/big",
                          round == 0 ? NULL : chunked, value, len);
        assert_int_equal(413, reply.status);
        http_reply_release(&reply);
        http_expect(client, "GET", "/v1/kv/big", 404);
    }
    ldb_mem_free(value);
}

static void a_batch_and_its_range(void **state)
{
    static const char *const json[] = {"Content-Type: application/json", NULL};
    static const char *const ndjson[] = {"Accept: application/x-ndjson", NULL};
    const char *batch = "{\"ops\":[{\"op\":\"put\",\"key\":\"k1\",\"value\":"
                        "\"v1\"},{\"op\":\"put\",\"key\":\"k2\",\"value\":"
                        "\"v2\"}]}";
    struct http_reply reply;

    (void)state;
    reply = http_call(client, "POST", "/v1/batch", json, batch, strlen(batch));
    assert_int_equal(200, reply.status);
    assert_non_null(strstr(http_reply_text(&reply), "\"count\":2"));
    http_reply_release(&reply);
    reply = http_call(client, "GET", "/v1/range", ndjson, NULL, 0);
    assert_int_equal(200, reply.status);
    assert_string_equal("{\"key\":\"k1\",\"value\":\"v1\",\"sequence\":1}\n"
                        "{\"key\":\"k2\",\"value\":\"v2\",\"sequence\":2}\n"
                        "{\"end\":true,\"count\":2,\"sequence\":2}\n",
                        http_reply_text(&reply));
    http_reply_release(&reply);
}

static void a_long_range_streams_whole(void **state)
{
    static const char *const ndjson[] = {"Accept: application/x-ndjson", NULL};
    struct http_reply reply;
    char target[64];
    size_t lines = 0;

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(target, sizeof target, "/v1/kv/key%06u?sync=false", i);
        http_put(client, target, "a value of some length, for the stream");
    }
    reply = http_call(client, "GET", "/v1/range", ndjson, NULL, 0);
    assert_int_equal(200, reply.status);
    for (size_t i = 0; i < reply.body.len; i++)
        lines += reply.body.data[i] == '\n';
    assert_int_equal(3001, lines);
    assert_non_null(
        strstr(http_reply_text(&reply), "{\"end\":true,\"count\":3000,"));
    http_reply_release(&reply);
}

static void a_clean_restart_keeps_data_and_epoch(void **state)
{
    struct http_reply reply;

    (void)state;
    http_put(client, "/v1/kv/a", "one");
    http_put(client, "/v1/kv/b?sync=false", "two");
    for (int round = 0; round < 3; round++) {
        stop_service();
        start_service();
        http_expect_body(client, "/v1/kv/a", "one");
        http_expect_body(client, "/v1/kv/b", "two");
        reply = http_call(client, "GET", "/version", NULL, NULL, 0);
        assert_non_null(strstr(http_reply_text(&reply), "\"epoch\":1"));
        http_reply_release(&reply);
    }
    reply = http_call(client, "PUT", "/v1/kv/c", NULL, "3", 1);
    assert_non_null(strstr((const char *)reply.headers.data, "ETag: \"3\""));
    http_reply_release(&reply);
}

/* ---- many at once ---- */

#define WRITERS       8
#define WRITER_ROUNDS 60

static void *write_and_read(void *context)
{
    unsigned id = *(unsigned *)context;
    struct http_client *own = http_client_over_pipe(svc_service_http(service));
    char target[64];
    char value[32];

    for (unsigned round = 0; round < WRITER_ROUNDS; round++) {
        snprintf(target, sizeof target, "/v1/kv/w%u-%u%s", id, round,
                 round % 2 == 0 ? "" : "?sync=false");
        snprintf(value, sizeof value, "%u", round * id);
        http_put(own, target, value);
        snprintf(target, sizeof target, "/v1/kv/w%u-%u", id, round);
        http_expect_body(own, target, value);
    }
    http_client_destroy(own);
    return NULL;
}

static void many_clients_read_their_own_writes(void **state)
{
    pthread_t threads[WRITERS];
    unsigned ids[WRITERS];

    (void)state;
    for (unsigned i = 0; i < WRITERS; i++) {
        ids[i] = i;
        assert_int_equal(
            0, pthread_create(&threads[i], NULL, write_and_read, &ids[i]));
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_value_is_written_read_and_deleted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            keys_of_every_single_byte_are_kept_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(values_of_many_sizes_come_back_whole,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_value_over_the_limit_is_413_and_not_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_and_its_range, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_range_streams_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_clean_restart_keeps_data_and_epoch,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(many_clients_read_their_own_writes,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
