/* The listen socket: any free port, one taken already, several loops. */
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

#include "service/http_server.h"
#include "service/lifecycle.h"
#include "tests/support/http_client.h"

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

static int setup(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, ldb_env_memory_create(&err, &env));
    configure("127.0.0.1:0");
    if (svc_service_start(&config, env, true, &err, &service) != LDB_OK)
        fail_msg("start: %s", err.message);
    port = svc_http_server_port(svc_service_http(service));
    return 0;
}

static int teardown(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, svc_service_stop(service, &err));
    ldb_env_memory_destroy(env);
    return 0;
}

static int connect_to(unsigned to)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)to),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
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

#define CLIENTS 12
#define ROUNDS  100

static void *talk(void *context)
{
    unsigned id = *(unsigned *)context;
    struct http_client *client = http_client_over_tcp(port);
    char target[64];

    for (unsigned round = 0; round < ROUNDS; round++) {
        snprintf(target, sizeof target, "/v1/kv/%u-%u%s", id, round,
                 round % 4 == 0 ? "" : "?sync=false");
        http_put(client, target, "value");
    }
    http_client_destroy(client);
    return NULL;
}

static void every_loop_serves_its_clients(void **state)
{
    struct svc_http_figures figures;
    pthread_t threads[CLIENTS];
    unsigned ids[CLIENTS];
    struct http_client *client;

    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++) {
        ids[i] = i;
        assert_int_equal(0, pthread_create(&threads[i], NULL, talk, &ids[i]));
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    client = http_client_over_tcp(port);
    http_expect_body(client, "/v1/kv/11-99", "value");
    svc_http_server_figures(svc_service_http(service), &figures);
    assert_int_equal(CLIENTS + 1, figures.connections_total);
    assert_int_equal(0, figures.upload_bytes);
    http_client_destroy(client);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
