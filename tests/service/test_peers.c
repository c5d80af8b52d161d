/* The other nodes: whom, with which token, and what they say. */
#include "service/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "replication/transport_http.h"
#include "storage/base/env.h"
#include "tests/support/raw_server.h"
#include "tests/support/service_run.h"

static struct ldb_env *env;
static struct svc_config config;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(LDB_OK, ldb_env_memory_create(NULL, &env));
    assert_int_equal(LDB_OK, env->ops->create_dir(env, "etc", NULL));
    config = (struct svc_config){.peers = "",
                                 .replication_token_file = "",
                                 .replication_ca = "",
                                 .replication_cert = "",
                                 .replication_key = ""};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

static void put_token(const char *text)
{
    assert_int_equal(LDB_OK,
                     ldb_env_replace_file(env, "etc", "etc/token", "etc/t",
                                          ldb_slice_str(text), NULL));
    config.replication_token_file = "etc/token";
}

static struct svc_peers *make(void)
{
    struct svc_peers *peers = NULL;
    struct ldb_error err = {0};

    if (svc_peers_create(&config, env, &err, &peers) != LDB_OK)
        fail_msg("%s", err.message);
    return peers;
}

static void the_list_is_taken_apart(void **state)
{
    static const struct {
        const char *peers;
        const char *urls[3];
    } rows[] = {
        {"", {NULL}},
        {",", {NULL}},
        {"http://a:1", {"http://a:1"}},
        {"http://a:1/,http://b:2", {"http://a:1", "http://b:2"}},
        {",http://a:1,,http://b:2,", {"http://a:1", "http://b:2"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct svc_peers *peers;
        char url[REPL_URL_SIZE];
        size_t at = 0;

        config.peers = rows[i].peers;
        peers = make();
        for (size_t j = 0; rows[i].urls[j] != NULL; j++) {
            assert_true(svc_peers_next(peers, &at, url));
            assert_string_equal(url, rows[i].urls[j]);
        }
        assert_false(svc_peers_next(peers, &at, url));
        svc_peers_destroy(peers);
    }
}

static void a_token_file_has_one_line(void **state)
{
    static const struct {
        const char *text;
        enum ldb_status status;
    } rows[] = {
        {"secret\n", LDB_OK},
        {"secret", LDB_OK},
        {"secret\r\n", LDB_OK},
        {"", LDB_INVALID_ARGUMENT},
        {"\n", LDB_INVALID_ARGUMENT},
        {"two\nlines\n", LDB_INVALID_ARGUMENT},
        {"with blank", LDB_INVALID_ARGUMENT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct svc_peers *peers = NULL;
        struct ldb_error err = {0};
        enum ldb_status s;

        put_token(rows[i].text);
        s = svc_peers_create(&config, env, &err, &peers);
        if (s != rows[i].status)
            fail_msg("row %zu: %s", i, err.message);
        assert_null(strstr(err.message, "two"));
        svc_peers_destroy(peers);
    }
    config.replication_token_file = "etc/none";
    {
        struct svc_peers *peers = NULL;

        assert_int_equal(LDB_NOT_FOUND,
                         svc_peers_create(&config, env, NULL, &peers));
        assert_null(peers);
    }
}

static void a_reload_that_fails_leaves_the_token(void **state)
{
    struct svc_peers *peers;

    (void)state;
    put_token("secret\n");
    peers = make();
    put_token("");
    assert_int_equal(LDB_INVALID_ARGUMENT, svc_peers_reload(peers, NULL));
    put_token("other\n");
    assert_int_equal(LDB_OK, svc_peers_reload(peers, NULL));
    svc_peers_destroy(peers);
}

static void a_url_that_is_none_is_told_at_once(void **state)
{
    struct svc_peers *peers = make();
    struct repl_peer *peer = NULL;
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_INVALID_ARGUMENT,
                     svc_peers_make(peers, "ftp://a", &err, &peer));
    assert_null(peer);
    assert_int_equal(LDB_INVALID_ARGUMENT,
                     svc_peers_check(peers, "ftp://a", &err));
    assert_int_equal(LDB_OK, svc_peers_check(peers, "", &err));
    assert_int_equal(LDB_OK, svc_peers_check(peers, "http://a", &err));
    assert_int_equal(LDB_OK, svc_peers_make(peers, "http://a:1", &err, &peer));
    repl_peer_destroy(peer);
    svc_peers_destroy(peers);
}

static void a_copy_is_followed_and_not_asked(void **state)
{
    static const char *const urls[] = {"files+http://a:1/copy/", "files:/copy"};
    struct svc_peers *peers = make();
    struct ldb_error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct repl_state said = {0};
        struct repl_peer *peer = NULL;

        assert_int_equal(LDB_OK, svc_peers_check(peers, urls[i], &err));
        assert_int_equal(LDB_OK, svc_peers_make(peers, urls[i], &err, &peer));
        repl_peer_destroy(peer);
        assert_int_equal(LDB_NOT_SUPPORTED,
                         svc_peers_state(peers, urls[i], NULL, &err, &said));
    }
    assert_int_equal(LDB_INVALID_ARGUMENT,
                     svc_peers_check(peers, "files+ftp://a/copy", &err));
    assert_int_equal(LDB_INVALID_ARGUMENT,
                     svc_peers_check(peers, "http://a/copy", &err));
    assert_non_null(strstr(err.message, "files+http://"));
    svc_peers_destroy(peers);
}

static void a_web_server_is_shown_no_token(void **state)
{
    struct raw_server *server = raw_server_start(NULL);
    struct ldb_buf request = LDB_BUF_INIT(1 << 16);
    struct repl_state said = {0};
    struct repl_client client;
    struct repl_peer *peer = NULL;
    struct repl_transport *t = NULL;
    struct svc_peers *peers;
    struct ldb_error err = {0};
    char url[REPL_URL_SIZE];

    (void)state;
    put_token("secret\n");
    peers = make();
    (void)snprintf(url, sizeof url, "files+%s/copy/", raw_server_url(server));
    raw_server_answer(server,
                      "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                      RAW_SERVER_KEEP);
    assert_int_equal(LDB_OK, svc_peers_make(peers, url, &err, &peer));
    assert_int_equal(LDB_OK, peer->open(peer, &err, &t));
    repl_client_init(&client, t);
    assert_int_equal(LDB_NOT_FOUND, repl_client_state(&client, &err, &said));
    assert_int_equal(1, raw_server_requests(server));
    assert_null(strstr(raw_server_request(server, 0, &request), "secret"));
    t->ops->destroy(t);
    repl_peer_destroy(peer);
    svc_peers_destroy(peers);
    ldb_buf_release(&request);
    raw_server_stop(server);
}

/* ---- what they say ---- */

/* SHA-256 of "secret". */
#define TOKENS                                                                 \
    "ops 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b "    \
    "admin,replicate\n"

static void calls_carry_the_token(void **state)
{
    struct repl_refusal refusal;
    struct service_run node;
    struct svc_peers *peers;
    struct ldb_error err = {0};

    (void)state;
    service_run_init(&node, "node");
    assert_int_equal(LDB_OK, node.env->ops->create_dir(node.env, "etc", NULL));
    assert_int_equal(LDB_OK, ldb_env_replace_file(node.env, "etc", "etc/tokens",
                                                  "etc/t",
                                                  ldb_slice_str(TOKENS), &err));
    service_run_start(&node, "--tokens=etc/tokens", NULL);
    peers = make();
    assert_int_equal(LDB_INVALID_ARGUMENT,
                     svc_peers_post(peers, node.url, NULL, "/v1/admin/flush",
                                    ldb_slice_str("{}"), &refusal, &err));
    assert_int_equal(refusal.http, 401);
    /* Of the caller's own, and then of the file. */
    assert_int_equal(
        LDB_OK, svc_peers_post(peers, node.url, "secret", "/v1/admin/flush",
                               ldb_slice_str("{}"), &refusal, &err));
    svc_peers_destroy(peers);
    put_token("secret\n");
    peers = make();
    assert_int_equal(LDB_OK,
                     svc_peers_post(peers, node.url, NULL, "/v1/admin/flush",
                                    ldb_slice_str("{}"), NULL, &err));
    svc_peers_destroy(peers);
    service_run_stop(&node);
    service_run_release(&node);
}

static void a_node_tells_its_state(void **state)
{
    struct repl_state said = {0};
    struct service_run node;
    struct svc_peers *peers = make();
    struct ldb_error err = {0};

    (void)state;
    service_run_init(&node, "node");
    service_run_start(&node, NULL);
    (void)service_run_put(&node, "a", "1");
    if (svc_peers_state(peers, node.url, NULL, &err, &said) != LDB_OK)
        fail_msg("%s", err.message);
    assert_int_equal(said.role, REPL_ROLE_LEADER);
    assert_int_equal(said.last_sequence, 1);
    repl_state_release(&said);
    service_run_stop(&node);
    /* It is away. */
    assert_int_not_equal(LDB_OK,
                         svc_peers_state(peers, node.url, NULL, &err, &said));
    service_run_release(&node);
    svc_peers_destroy(peers);
}

static void an_interrupt_ends_calls_and_those_to_come(void **state)
{
    struct repl_state said = {0};
    struct service_run node;
    struct svc_peers *peers = make();

    (void)state;
    service_run_init(&node, "node");
    service_run_start(&node, NULL);
    svc_peers_interrupt(peers);
    assert_int_equal(LDB_CANCELLED,
                     svc_peers_state(peers, node.url, NULL, NULL, &said));
    service_run_stop(&node);
    service_run_release(&node);
    svc_peers_destroy(peers);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_list_is_taken_apart),
        TEST(a_token_file_has_one_line),
        TEST(a_reload_that_fails_leaves_the_token),
        TEST(a_copy_is_followed_and_not_asked),
        TEST(a_web_server_is_shown_no_token),
        TEST(a_url_that_is_none_is_told_at_once),
        TEST(calls_carry_the_token),
        TEST(a_node_tells_its_state),
        TEST(an_interrupt_ends_calls_and_those_to_come),
    };

    return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
