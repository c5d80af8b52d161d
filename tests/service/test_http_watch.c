/* Clients that are too slow, or have gone without saying so, are let go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/http_pipe.h"
#include "service/lifecycle.h"

/* Milliseconds between two bytes of a slow client. */
#define DRIBBLE_MS 20

#define HOUR_US (UINT64_C(3600) * 1000000)

static struct ldb_env *env;
static struct svc_config config;
static struct svc_service *service;

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

#define SHORT_US UINT64_C(300000)

static int start(uint64_t idle_us, uint64_t head_us, uint64_t body_us)
{
    static char data_flag[] = "--data=db";
    static char loops_flag[] = "--loops=1";
    static char level_flag[] = "--log-level=error";
    char *argv[] = {data_flag, loops_flag, level_flag};
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK, ldb_env_memory_create(&err, &env));
    assert_int_equal(LDB_OK,
                     svc_config_parse(3, argv, no_environment, &err, &config));
    config.idle_timeout_us = idle_us;
    config.header_timeout_us = head_us;
    config.body_timeout_us = body_us;
    svc_log_configure(SVC_LOG_ERROR, SVC_LOG_KEY_VALUE);
    if (svc_service_start(&config, env, false, &err, &service) != LDB_OK)
        fail_msg("start: %s", err.message);
    return 0;
}

/* No timeout runs out but that of the test: the machine may hold us up. */
static int setup_heads(void **state)
{
    (void)state;
    return start(1000000, SHORT_US, HOUR_US);
}

static int setup_bodies(void **state)
{
    (void)state;
    return start(HOUR_US, HOUR_US, SHORT_US);
}

/* The timeouts are not what cuts a client. */
static int setup_patient(void **state)
{
    (void)state;
    return start(HOUR_US, HOUR_US, HOUR_US);
}

static int teardown(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, svc_service_stop(service, &err));
    ldb_env_memory_destroy(env);
    return 0;
}

static int connect_and_send(const char *text)
{
    struct ldb_error err = {0};
    int fd = -1;

    assert_int_equal(LDB_OK,
                     svc_http_pipe_open(svc_service_http(service), &err, &fd));
    assert_int_equal(strlen(text), send(fd, text, strlen(text), MSG_NOSIGNAL));
    return fd;
}

/* Sends a byte now and then until an answer comes; then to the end. */
static void dribble(int fd, char byte, char *out, size_t size)
{
    struct pollfd fds = {.fd = fd, .events = POLLIN};
    size_t len = 0;
    ssize_t n;

    while (poll(&fds, 1, DRIBBLE_MS) == 0) {
        n = send(fd, &byte, 1, MSG_NOSIGNAL);
        (void)n; /* it may have been cut meanwhile */
    }
    while ((n = recv(fd, out + len, size - 1 - len, 0)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    close(fd);
}

static void assert_cut_by(const char *begin, char byte, uint64_t heads,
                          uint64_t bodies)
{
    struct svc_http_figures figures;
    char text[1024];

    dribble(connect_and_send(begin), byte, text, sizeof text);
    assert_memory_equal("HTTP/1.1 408 ", text, 13);
    assert_non_null(strstr(text, "Connection: close\r\n"));
    svc_http_server_figures(svc_service_http(service), &figures);
    assert_int_equal(heads, figures.head_timeouts);
    assert_int_equal(bodies, figures.body_timeouts);
}

static void headers_that_dribble_are_cut(void **state)
{
    (void)state;
    assert_cut_by("GET /healthz HTTP/1.1\r\nHost: ", 'a', 1, 0);
}

static void a_request_line_that_dribbles_is_cut(void **state)
{
    (void)state;
    assert_cut_by("GET /v1/kv/", 'a', 1, 0);
}

static void a_body_that_dribbles_is_cut(void **state)
{
    (void)state;
    assert_cut_by("PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\n"
                  "Content-Length: 100000\r\n\r\n",
                  'a', 0, 1);
}

static void a_client_that_has_ended_is_let_go(void **state)
{
    static const char *const requests[] = {
        "",
        "GET /v1",
        "GET /healthz HTTP/1.1\r\nHost: a\r\n",
        "PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        "PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "\r\n3\r\nabc\r\n",
        "PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "\r\n3\r\nabc\r\n0\r\n",
    };
    struct svc_http_figures figures;
    char byte;

    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = connect_and_send(requests[i]);

        assert_int_equal(0, shutdown(fd, SHUT_WR));
        assert_int_equal(0, recv(fd, &byte, 1, 0));
        close(fd);
    }
    svc_http_server_figures(svc_service_http(service), &figures);
    assert_int_equal(0, figures.head_timeouts + figures.body_timeouts);
}

static void a_request_before_the_end_is_answered(void **state)
{
    int fd = connect_and_send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    char text[1024] = "";
    size_t len = 0;
    ssize_t n;

    (void)state;
    assert_int_equal(0, shutdown(fd, SHUT_WR));
    while ((n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)n;
    assert_memory_equal("HTTP/1.1 200 ", text, 13);
    close(fd);
}

static void read_head(int fd)
{
    char text[4096] = "";
    size_t len = 0;

    while (strstr(text, "\r\n\r\n") == NULL) {
        ssize_t n = recv(fd, text + len, sizeof text - 1 - len, 0);

        assert_true(n > 0);
        len += (size_t)n;
        text[len] = '\0';
    }
    assert_memory_equal("HTTP/1.1 200 ", text, 13);
}

/* A stream that has nothing to tell ends with its reader. */
static void the_reader_of_a_silent_stream_is_missed(void **state)
{
    static const char *const requests[] = {
        "GET /v1/changes?since=0 HTTP/1.1\r\nHost: a\r\n"
        "Accept: text/event-stream\r\n\r\n",
        "GET /v1/replication/files/000001.log?follow=true HTTP/1.1\r\n"
        "Host: a\r\n\r\n",
    };
    struct svc_http_figures figures;

    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = connect_and_send(requests[i]);

        read_head(fd);
        close(fd);
    }
    do {
        svc_http_server_figures(svc_service_http(service), &figures);
        (void)poll(NULL, 0, DRIBBLE_MS);
    } while (figures.connections > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(headers_that_dribble_are_cut,
                                        setup_heads, teardown),
        cmocka_unit_test_setup_teardown(a_request_line_that_dribbles_is_cut,
                                        setup_heads, teardown),
        cmocka_unit_test_setup_teardown(a_body_that_dribbles_is_cut,
                                        setup_bodies, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_has_ended_is_let_go,
                                        setup_patient, teardown),
        cmocka_unit_test_setup_teardown(the_reader_of_a_silent_stream_is_missed,
                                        setup_patient, teardown),
        cmocka_unit_test_setup_teardown(a_request_before_the_end_is_answered,
                                        setup_patient, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
