/* The listen socket: any free port, one taken already, several loops, and its
 * clients once they are idle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/http_internal.h"
#include "service/lifecycle.h"
#include "tests/support/http_client.h"

#define HOUR_US (UINT64_C(3600) * 1000000)

static struct ldb_env *env;
static struct svc_config config;
static struct svc_service *service;
static unsigned port;

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void configure(const char *listen)
{
    static char listen_flag[64];
    static char data_flag[] = "--data=db";
    static char loops_flag[] = "--loops=3";
    static char level_flag[] = "--log-level=error";
    char *argv[] = {data_flag, loops_flag, level_flag, listen_flag};
    struct ldb_error err = {0};

    snprintf(listen_flag, sizeof listen_flag, "--listen=%s", listen);
    assert_int_equal(LDB_OK,
                     svc_config_parse(4, argv, no_environment, &err, &config));
    svc_log_configure(SVC_LOG_ERROR, SVC_LOG_KEY_VALUE);
}

static int start(void)
{
    struct ldb_error err = {0};

    if (svc_service_start(&config, env, true, &err, &service) != LDB_OK)
        fail_msg("start: %s", err.message);
    port = svc_http_server_port(svc_service_http(service));
    return 0;
}

static int setup(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, ldb_env_memory_create(&err, &env));
    configure("127.0.0.1:0");
    return start();
}

/* Whoever is cut is so as nothing moves: no other timeout runs out. */
static int setup_impatient(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, ldb_env_memory_create(&err, &env));
    configure("127.0.0.1:0");
    config.idle_timeout_us = 1000000;
    config.header_timeout_us = HOUR_US;
    config.body_timeout_us = HOUR_US;
    return start();
}

static int teardown(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, svc_service_stop(service, &err));
    ldb_env_memory_destroy(env);
    return 0;
}

/* What nobody sends is waited for three minutes, and is an error then. */
static int connect_to(unsigned to)
{
    static const struct timeval wait_max = {.tv_sec = 180};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)to),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(
        0, setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait_max, sizeof wait_max));
    assert_int_equal(0,
                     connect(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}

static void it_answers_on_the_port_it_took(void **state)
{
    struct http_client *client = http_client_over_tcp(port);

    (void)state;
    assert_true(port != 0);
    http_put(client, "/v1/kv/a", "1");
    http_expect_body(client, "/v1/kv/a", "1");
    http_client_destroy(client);
}

static void a_port_that_is_taken_is_refused_by_name(void **state)
{
    struct svc_http_options options = {
        .env = env,
        .loops = 1,
        .connections_max = 1,
        .host = "127.0.0.1",
        .port = (uint16_t)port,
    };
    struct svc_http_server *server = NULL;
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_IO, svc_http_server_start(&options, &err, &server));
    assert_non_null(strstr(err.message, "127.0.0.1"));
    assert_null(server);
}

static void over_the_limit_a_client_is_told_to_come_again(void **state)
{
    struct svc_http_options options = {
        .context = NULL,
        .env = env,
        .loops = 2,
        .connections_max = 2,
        .host = "127.0.0.1",
    };
    struct svc_http_server *server = NULL;
    struct svc_http_figures figures;
    struct ldb_error err = {0};
    char text[1024] = "";
    size_t len = 0;
    ssize_t n;
    int fds[3];

    (void)state;
    assert_int_equal(LDB_OK, svc_http_server_start(&options, &err, &server));
    for (size_t i = 0; i < 3; i++)
        fds[i] = connect_to(svc_http_server_port(server));
    while ((n = recv(fds[2], text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)n;
    assert_non_null(strstr(text, "HTTP/1.1 503 "));
    assert_non_null(strstr(text, "Retry-After: 1\r\n"));
    assert_non_null(strstr(text, "/problems/overloaded"));
    /* The two before it are served: what is no HTTP is closed. */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(3, send(fds[i], "x\r\n", 3, MSG_NOSIGNAL));
        while (recv(fds[i], text, sizeof text, 0) > 0)
            continue;
    }
    svc_http_server_figures(server, &figures);
    assert_int_equal(2, figures.connections_total);
    assert_int_equal(1, figures.refused);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
    svc_http_server_stop(server);
    svc_http_server_destroy(server);
}

/* More than two runs of http_placement.c have, and so at least three begin. */
#define CLIENTS 70
#define ROUNDS  20

static pthread_barrier_t all_are_here;

static void *talk(void *context)
{
    unsigned id = *(unsigned *)context;
    struct http_client *client = http_client_over_tcp(port);
    char target[64];

    for (unsigned round = 0; round < ROUNDS; round++) {
        snprintf(target, sizeof target, "/v1/kv/%u-%u%s", id, round,
                 round % 4 == 0 ? "" : "?sync=false");
        http_put(client, target, "value");
        if (round == 0)
            pthread_barrier_wait(&all_are_here);
    }
    http_client_destroy(client);
    return NULL;
}

static void every_loop_serves_its_clients(void **state)
{
    const struct svc_http_server *server = svc_service_http(service);
    struct svc_http_figures figures;
    pthread_t threads[CLIENTS];
    unsigned ids[CLIENTS];
    struct http_client *client;

    (void)state;
    assert_int_equal(0, pthread_barrier_init(&all_are_here, NULL, CLIENTS));
    for (unsigned i = 0; i < CLIENTS; i++) {
        ids[i] = i;
        assert_int_equal(0, pthread_create(&threads[i], NULL, talk, &ids[i]));
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all_are_here);
    for (unsigned i = 0; i < server->loop_count; i++)
        assert_true(atomic_load(&server->loops[i].connections_total) > 0);
    client = http_client_over_tcp(port);
    http_expect_body(client, "/v1/kv/69-19", "value");
    svc_http_server_figures(server, &figures);
    assert_int_equal(CLIENTS + 1, figures.connections_total);
    assert_int_equal(0, figures.upload_bytes);
    http_client_destroy(client);
}

/* Wherever a client stops, it is let go without a word once it is idle. */
static void who_moves_no_more_is_let_go(void **state)
{
    static const struct {
        const char *sent;
        const char *answered;
    } rows[] = {
        {"", ""},
        {"GET /v1", ""},
        {"GET /healthz HTTP/1.1\r\nHost: a\r\n", ""},
        {"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
         ""},
        {"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 "},
    };
    struct svc_http_figures figures;
    int fds[sizeof rows / sizeof rows[0]];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].sent);

        fds[i] = connect_to(port);
        assert_int_equal(len, send(fds[i], rows[i].sent, len, MSG_NOSIGNAL));
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[1024] = "";
        size_t len = 0;
        ssize_t n;

        while ((n = recv(fds[i], text + len, sizeof text - 1 - len, 0)) > 0)
            len += (size_t)n;
        assert_int_equal(0, n);
        if (rows[i].answered[0] == '\0')
            assert_string_equal("", text);
        else
            assert_non_null(strstr(text, rows[i].answered));
        close(fds[i]);
    }
    svc_http_server_figures(svc_service_http(service), &figures);
    assert_int_equal(0, figures.head_timeouts + figures.body_timeouts +
                            figures.answer_timeouts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_answers_on_the_port_it_took, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_port_that_is_taken_is_refused_by_name,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            over_the_limit_a_client_is_told_to_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(every_loop_serves_its_clients, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_moves_no_more_is_let_go,
                                        setup_impatient, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
