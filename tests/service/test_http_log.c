/* Request ids and lines of the access log, of a service over its pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "service/http_pipe.h"
#include "service/lifecycle.h"
#include "tests/support/http_client.h"
#include "tests/support/temp_dir.h"

static struct temp_dir dir;
static char path[TEMP_DIR_PATH_SIZE];
static struct ldb_env *env;
static struct svc_config config;
static struct svc_service *service;
static struct http_client *client;

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void start(const char *form)
{
    static char form_flag[64];
    static char file_flag[TEMP_DIR_PATH_SIZE + 32];
    static char data_flag[] = "--data=db";
    static char loops_flag[] = "--loops=1";
    static char level_flag[] = "--log-level=error";
    char *argv[] = {data_flag, loops_flag, level_flag, form_flag, file_flag};
    struct ldb_error err = {0};

    snprintf(form_flag, sizeof form_flag, "--access-log=%s", form);
    snprintf(file_flag, sizeof file_flag, "--access-log-file=%s",
             strcmp(form, "off") == 0 ? "" : path);
    if (svc_config_parse(5, argv, no_environment, &err, &config) != LDB_OK)
        fail_msg("%s", err.message);
    svc_log_configure(SVC_LOG_ERROR, SVC_LOG_KEY_VALUE);
    if (svc_service_start(&config, env, false, &err, &service) != LDB_OK)
        fail_msg("start: %s", err.message);
    client = http_client_over_pipe(svc_service_http(service));
}

static void stop(void)
{
    struct ldb_error err = {0};

    http_client_destroy(client);
    assert_int_equal(LDB_OK, svc_service_stop(service, &err));
}

static int setup(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    temp_dir_create(&dir);
    (void)temp_dir_join(&dir, "access", path);
    assert_int_equal(LDB_OK, ldb_env_memory_create(&err, &env));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    temp_dir_remove(&dir);
    return 0;
}

/* The id that a request with these headers is answered with; "": none. */
static const char *id_of(const char *const *headers)
{
    static char id[128];
    struct http_reply reply =
        http_call(client, "GET", "/healthz", headers, NULL, 0);

    if (!http_reply_header(&reply, "X-Request-Id", id, sizeof id))
        id[0] = '\0';
    http_reply_release(&reply);
    return id;
}

static bool is_own(const char *id)
{
    return strlen(id) == 16 && strspn(id, "0123456789abcdef") == 16;
}

static void an_id_that_was_sent_comes_back(void **state)
{
    static const char *const sane[] = {"X-Request-Id: a/B-1.2:3", NULL};

    (void)state;
    start("off");
    assert_string_equal(id_of(sane), "a/B-1.2:3");
    assert_string_equal(id_of(NULL), "");
    stop();
}

static void an_id_that_is_not_sane_is_not_taken(void **state)
{
    static const char *const blank[] = {"X-Request-Id: a b", NULL};
    static const char *const quote[] = {"X-Request-Id: a\"b", NULL};
    static const char *const high[] = {"X-Request-Id: a\xff", NULL};
    static const char *const twice[] = {"X-Request-Id: a", "X-Request-Id: b",
                                        NULL};
    static const char *const *const rows[] = {blank, quote, high, twice};
    char header[128];
    const char *const at_limit[] = {header, NULL};

    (void)state;
    start("off");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(id_of(rows[i]), "");
    snprintf(header, sizeof header, "X-Request-Id: %064d", 7);
    assert_int_equal(strlen(id_of(at_limit)), 64);
    snprintf(header, sizeof header, "X-Request-Id: %065d", 7);
    assert_string_equal(id_of(at_limit), "");
    stop();
}

static void requests_that_are_logged_have_an_id_of_their_own(void **state)
{
    static const char *const twice[] = {"X-Request-Id: a", "X-Request-Id: b",
                                        NULL};
    char first[32];

    (void)state;
    start("text");
    snprintf(first, sizeof first, "%s", id_of(NULL));
    assert_true(is_own(first));
    assert_true(is_own(id_of(twice)));
    assert_string_not_equal(id_of(NULL), first);
    stop();
}

/* The log's line that was written as the index-th. */
static json_t *line_at(size_t index)
{
    FILE *file = fopen(path, "r");
    static char line[4096];
    json_t *object;

    assert_non_null(file);
    for (size_t i = 0; i <= index; i++)
        assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    return object;
}

static void assert_line(size_t index, const char *method, const char *route,
                        const char *request_path, int status, int request_bytes,
                        int answer_bytes)
{
    json_t *line = line_at(index);

    assert_string_equal(json_string_value(json_object_get(line, "method")),
                        method);
    assert_string_equal(json_string_value(json_object_get(line, "route")),
                        route);
    assert_string_equal(json_string_value(json_object_get(line, "path")),
                        request_path);
    assert_int_equal(json_integer_value(json_object_get(line, "status")),
                     status);
    assert_int_equal(json_integer_value(json_object_get(line, "request_bytes")),
                     request_bytes);
    assert_int_equal(json_integer_value(json_object_get(line, "answer_bytes")),
                     answer_bytes);
    assert_true(json_is_number(json_object_get(line, "ms")));
    json_decref(line);
}

static void every_request_has_its_line(void **state)
{
    static const char *const ndjson[] = {"Accept: application/x-ndjson", NULL};
    static const char stream[] =
        "{\"key\":\"a\",\"value\":\"one\",\"sequence\":1}\n"
        "{\"end\":true,\"count\":1,\"sequence\":1}\n";
    struct http_reply reply;

    (void)state;
    start("json");
    http_put(client, "/v1/kv/a?sync=false", "one");
    http_expect_body(client, "/v1/kv/a", "one");
    http_expect(client, "HEAD", "/v1/kv/a", 200);
    reply = http_call(client, "GET", "/v1/range", ndjson, NULL, 0);
    assert_string_equal(http_reply_text(&reply), stream);
    http_reply_release(&reply);
    http_expect(client, "PATCH", "/v1/kv/a", 405);
    stop();
    assert_line(0, "PUT", "PUT /v1/kv/{key}", "/v1/kv/a", 204, 3, 0);
    assert_line(1, "GET", "GET /v1/kv/{key}", "/v1/kv/a", 200, 0, 3);
    assert_line(2, "HEAD", "GET /v1/kv/{key}", "/v1/kv/a", 200, 0, 0);
    assert_line(3, "GET", "GET /v1/range", "/v1/range", 200, 0,
                (int)strlen(stream));
}

/* It is told to send its body, and cut off by the stop instead. */
static void a_request_that_is_cut_has_status_0(void **state)
{
    static const char head[] = "PUT /v1/kv/left HTTP/1.1\r\nHost: x\r\n"
                               "Content-Length: 10\r\n"
                               "Expect: 100-continue\r\n\r\n";
    struct ldb_error err = {0};
    char answer[64];
    int fd = -1;

    (void)state;
    start("json");
    assert_int_equal(LDB_OK,
                     svc_http_pipe_open(svc_service_http(service), &err, &fd));
    assert_int_equal(write(fd, head, sizeof head - 1), sizeof head - 1);
    assert_true(read(fd, answer, sizeof answer) > 0); /* 100 Continue */
    stop();
    close(fd);
    assert_line(0, "PUT", "PUT /v1/kv/{key}", "/v1/kv/left", 0, 0, 0);
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(an_id_that_was_sent_comes_back),
        LOG_TEST(an_id_that_is_not_sane_is_not_taken),
        LOG_TEST(requests_that_are_logged_have_an_id_of_their_own),
        LOG_TEST(every_request_has_its_line),
        LOG_TEST(a_request_that_is_cut_has_status_0),
    };

    return cmocka_run_group_tests_name("http_log", tests, NULL, NULL);
}
