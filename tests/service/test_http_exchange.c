/*
 * The HTTP layer against routes of this file's own: how requests are taken
 * apart, how an exchange waits, is woken, and ends. Over socketpairs, no port.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/exchange.h"
#include "api/problem.h"
#include "api/response.h"
#include "service/http_pipe.h"
#include "service/http_server.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"

/* ---- the application of these tests ---- */

#define BODY_LIMIT ((size_t)1 << 20)

/* Of the body that is taken in pieces. */
#define PIECES_LIMIT  200000
#define PIECES_WINDOW 50000

static struct {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    struct api_exchange *parked[64]; /* wait to be woken by a test */
    size_t parked_count;
    struct api_exchange *pass[64]; /* are woken at the end of the pass */
    size_t pass_count;
    unsigned begins;
    unsigned abandons;
    unsigned streams_destroyed;
    unsigned streams_ended; /* before their exchange */
} app = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool path_is(const struct api_exchange *x, const char *path)
{
    return ldb_slice_equal(x->raw_path, ldb_slice_str(path));
}

static bool in_pieces(const struct api_exchange *x)
{
    return path_is(x, "/pieces") || path_is(x, "/slow-pieces") ||
           path_is(x, "/late-refusal");
}

static void count(unsigned *counter)
{
    pthread_mutex_lock(&app.mu);
    ++*counter;
    pthread_cond_broadcast(&app.changed);
    pthread_mutex_unlock(&app.mu);
}

void api_exchange_begin(struct api_exchange *x)
{
    count(&app.begins);
    x->body_limit = x->method == API_PUT ? BODY_LIMIT : 0;
    if (in_pieces(x)) {
        x->body_limit = PIECES_LIMIT;
        x->body_window = PIECES_WINDOW;
        x->state = NULL;
    }
    if (path_is(x, "/refused"))
        api_answer_problemf(x, API_PROBLEM_NOT_FOUND, "refused");
    if (path_is(x, "/prefixed"))
        assert_int_equal(LDB_OK,
                         (x->body.limit = 4,
                          ldb_buf_append(&x->body, ldb_slice_str("pre:"))));
}

static void answer_text(struct api_exchange *x, struct ldb_slice text)
{
    struct ldb_buf body = LDB_BUF_INIT(BODY_LIMIT * 2);

    assert_int_equal(LDB_OK, ldb_buf_append(&body, text));
    api_answer_buf(x, 200, "text/plain", &body);
}

static void answer_target(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT(65536);

    assert_int_equal(LDB_OK, ldb_buf_append(&body, x->raw_path));
    assert_int_equal(LDB_OK, ldb_buf_append_byte(&body, '|'));
    assert_int_equal(LDB_OK, ldb_buf_append(&body, x->raw_query));
    api_answer_buf(x, 200, "text/plain", &body);
}

/* The query as the answer's tag. */
static void answer_tagged(struct api_exchange *x)
{
    assert_true(api_header_add(x, "X-Same", "same"));
    assert_true(api_header_printf(x, "X-Tag", "%.*s", (int)x->raw_query.len,
                                  (const char *)x->raw_query.data));
    answer_target(x);
}

static void answer_header(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT(65536);
    unsigned times = 0;
    struct ldb_slice value = api_exchange_header(x, "x-TEST", &times);

    assert_int_equal(LDB_OK, ldb_buf_printf(&body, "%u:", times));
    assert_int_equal(LDB_OK, ldb_buf_append(&body, value));
    api_answer_buf(x, 200, "text/plain", &body);
}

/* A stream of this many bytes 'a'. */
#define STREAM_BYTES 100000

static int64_t read_stream(void *stream, uint8_t *out, size_t max)
{
    size_t *left = stream;
    size_t n = *left < max ? *left : max;

    memset(out, 'a', n);
    *left -= n;
    return (int64_t)n;
}

/* Never ends. */
static int64_t read_endless(void *stream, uint8_t *out, size_t max)
{
    (void)stream;
    memset(out, 'a', max);
    return (int64_t)max;
}

static int64_t read_failing(void *stream, uint8_t *out, size_t max)
{
    size_t *left = stream;

    (void)max;
    if (*left == 0)
        return API_STREAM_FAILED;
    *left = 0;
    *out = 'a';
    return 1;
}

static void park(struct api_exchange *x);

/* Three bytes, each once it was woken for it; "/drip-now" wakes itself, and
 * "/drip-yield" lets others have their turn. */
struct drip {
    struct api_exchange *x;
    unsigned reads;
};

static int64_t read_drip(void *stream, uint8_t *out, size_t max)
{
    struct drip *drip = stream;

    (void)max;
    if (path_is(drip->x, "/busy"))
        return API_STREAM_YIELD;
    if (drip->reads == 6)
        return 0;
    if (drip->reads++ % 2 == 0) {
        if (path_is(drip->x, "/drip-yield"))
            return API_STREAM_YIELD;
        if (path_is(drip->x, "/drip-now"))
            api_exchange_wake(drip->x);
        else
            park(drip->x);
        return API_STREAM_WAIT;
    }
    *out = 'd';
    return 1;
}

/* Ends the wait: a parked one is not woken any more. */
static void destroy_drip(void *stream)
{
    struct drip *drip = stream;

    pthread_mutex_lock(&app.mu);
    if (app.parked_count > 0 && app.parked[0] == drip->x)
        app.parked_count = 0;
    pthread_mutex_unlock(&app.mu);
    ldb_mem_free(drip);
    count(&app.streams_destroyed);
}

static void answer_drip(struct api_exchange *x)
{
    static const struct api_stream_ops ops = {.read = read_drip,
                                              .destroy = destroy_drip};
    struct drip *drip = ldb_mem_zalloc(1, sizeof(*drip));

    assert_non_null(drip);
    drip->x = x;
    api_answer_stream(x, 200, "text/plain", &ops, drip);
}

static void destroy_stream(void *stream)
{
    ldb_mem_free(stream);
    count(&app.streams_destroyed);
}

static void answer_stream(struct api_exchange *x)
{
    static const struct api_stream_ops whole = {.read = read_stream,
                                                .destroy = destroy_stream};
    static const struct api_stream_ops endless = {.read = read_endless,
                                                  .destroy = destroy_stream};
    static const struct api_stream_ops detached = {
        .read = read_endless, .destroy = destroy_stream, .is_detached = true};
    static const struct api_stream_ops failing = {.read = read_failing,
                                                  .destroy = destroy_stream};
    size_t *left = ldb_mem_alloc(1, sizeof *left);

    assert_non_null(left);
    *left = STREAM_BYTES;
    if (path_is(x, "/counted") || path_is(x, "/short")) {
        api_answer_stream_of(x, 200, "text/plain",
                             STREAM_BYTES + (path_is(x, "/short") ? 1 : 0),
                             &whole, left);
        return;
    }
    api_answer_stream(x, 200, "text/plain",
                      path_is(x, "/endless")    ? &endless
                      : path_is(x, "/detached") ? &detached
                      : path_is(x, "/failing")  ? &failing
                                                : &whole,
                      left);
}

static void park(struct api_exchange *x)
{
    pthread_mutex_lock(&app.mu);
    app.parked[app.parked_count++] = x;
    pthread_cond_broadcast(&app.changed);
    pthread_mutex_unlock(&app.mu);
}

/* Takes all, or nothing of a body that begins with '+': it grows. */
static void count_piece(struct api_exchange *x)
{
    if (x->body.data[0] == '+')
        return;
    x->state = (void *)((uintptr_t)x->state + x->body.len);
    ldb_buf_clear(&x->body);
}

void api_exchange_take(struct api_exchange *x)
{
    assert_true(x->body.len >= PIECES_WINDOW);
    count_piece(x);
    if (path_is(x, "/slow-pieces"))
        park(x);
    else
        x->wants_body = true;
}

void api_exchange_refuse(struct api_exchange *x,
                         const struct api_problem *problem)
{
    if (path_is(x, "/late-refusal"))
        park(x);
    else
        api_answer_problem(x, problem);
}

static void answer_pieces(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT(100);

    if (x->body.len > 0)
        count_piece(x);
    assert_int_equal(LDB_OK, ldb_buf_printf(&body, "counted %zu.",
                                            (size_t)(uintptr_t)x->state));
    api_answer_buf(x, 200, "text/plain", &body);
}

void api_exchange_finish(struct api_exchange *x)
{
    if (in_pieces(x)) {
        answer_pieces(x);
    } else if (path_is(x, "/park") || path_is(x, "/twice")) {
        park(x);
    } else if (path_is(x, "/pass")) {
        pthread_mutex_lock(&app.mu);
        app.pass[app.pass_count++] = x;
        pthread_mutex_unlock(&app.mu);
    } else if (path_is(x, "/now")) {
        api_exchange_wake(x);
    } else if (path_is(x, "/echo") || path_is(x, "/prefixed")) {
        answer_text(x, ldb_slice_of_buf(&x->body));
    } else if (path_is(x, "/header")) {
        answer_header(x);
    } else if (path_is(x, "/tagged")) {
        answer_tagged(x);
    } else if (path_is(x, "/empty")) {
        api_answer_empty(x, 204);
    } else if (path_is(x, "/head")) {
        api_answer_empty(x, 200);
        x->response.head_length = 12345;
    } else if (path_is(x, "/head-of-stream")) {
        api_answer_empty(x, 200);
        x->response.head_length = API_LENGTH_UNKNOWN;
    } else if (path_is(x, "/static")) {
        api_answer_static(x, 200, "text/plain", ldb_slice_str("static"));
    } else if (path_is(x, "/drip") || path_is(x, "/drip-now") ||
               path_is(x, "/drip-yield") || path_is(x, "/busy")) {
        answer_drip(x);
    } else if (path_is(x, "/stream") || path_is(x, "/endless") ||
               path_is(x, "/detached") || path_is(x, "/failing") ||
               path_is(x, "/counted") || path_is(x, "/short")) {
        answer_stream(x);
    } else {
        answer_target(x);
    }
}

void api_exchange_resume(struct api_exchange *x)
{
    if (path_is(x, "/slow-pieces") && x->body.len == 0) {
        x->wants_body = true;
    } else if (in_pieces(x)) {
        api_answer_problemf(x, API_PROBLEM_TOO_LARGE, "too long");
    } else if (path_is(x, "/twice") && x->state == NULL) {
        x->state = x;
        park(x);
    } else {
        answer_text(x, ldb_slice_str("woken"));
    }
}

void api_exchange_abandon(struct api_exchange *x)
{
    (void)x;
    count(&app.abandons);
}

void api_exchange_end_stream(struct api_exchange *x)
{
    (void)x;
    count(&app.streams_ended);
}

void api_pass_end(struct api_context *context)
{
    struct api_exchange *all[64];
    size_t n;

    (void)context;
    pthread_mutex_lock(&app.mu);
    n = app.pass_count;
    memcpy(all, app.pass, n * sizeof all[0]);
    app.pass_count = 0;
    pthread_mutex_unlock(&app.mu);
    while (n > 0)
        api_exchange_wake(all[--n]);
}

/* ---- an env whose clock jumps a second whenever it is read ---- */

static struct ldb_env jumpy_env;
static struct ldb_env_ops jumpy_ops;
static _Atomic(uint64_t) jumpy_us;

static uint64_t jump(struct ldb_env *env)
{
    (void)env;
    return atomic_fetch_add(&jumpy_us, 1000000);
}

static struct ldb_env *make_jumpy(void)
{
    jumpy_ops = *ldb_env_posix()->ops;
    jumpy_ops.monotonic_us = jump;
    jumpy_env.ops = &jumpy_ops;
    return &jumpy_env;
}

/* ---- fixture ---- */

static struct svc_http_server *start(struct ldb_env *env, uint64_t budget)
{
    struct svc_http_options options = {
        .env = env,
        .loops = 1,
        .connections_max = 64,
        .upload_budget_bytes = budget,
        .answer_budget_bytes = budget,
    };
    struct svc_http_server *server = NULL;
    struct ldb_error err = {0};

    app.parked_count = 0;
    app.begins = 0;
    app.abandons = 0;
    app.streams_destroyed = 0;
    app.streams_ended = 0;
    assert_int_equal(LDB_OK, svc_http_server_start(&options, &err, &server));
    return server;
}

static struct svc_http_server *start_plain(void)
{
    return start(ldb_env_posix(), UINT64_C(1) << 30);
}

static void end(struct svc_http_server *server)
{
    svc_http_server_stop(server);
    svc_http_server_destroy(server);
    assert_int_equal(app.begins, app.abandons);
}

static int connect_to(struct svc_http_server *server)
{
    struct ldb_error err = {0};
    int fd = -1;

    assert_int_equal(LDB_OK, svc_http_pipe_open(server, &err, &fd));
    return fd;
}

static void send_bytes(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

static void send_text(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

/* Reads until want has come, or the end; the answer is NUL-terminated. */
static char answer[1 << 21];

static void read_until(int fd, const char *want)
{
    size_t len = 0;

    answer[0] = '\0';
    while (want == NULL || strstr(answer, want) == NULL) {
        ssize_t n = recv(fd, answer + len, sizeof answer - 1 - len, 0);

        if (n <= 0) {
            if (want != NULL)
                fail_msg("no \"%s\" in \"%.2000s\"", want, answer);
            return;
        }
        len += (size_t)n;
        answer[len] = '\0';
        assert_true(len < sizeof answer - 1);
    }
}

static void assert_starts(const char *prefix)
{
    if (strncmp(answer, prefix, strlen(prefix)) != 0)
        fail_msg("\"%.300s\" does not start with \"%s\"", answer, prefix);
}

static void assert_has(const char *part)
{
    if (strstr(answer, part) == NULL)
        fail_msg("no \"%s\" in \"%.2000s\"", part, answer);
}

/* Waits until n exchanges are parked. */
static void await_parked(size_t n)
{
    pthread_mutex_lock(&app.mu);
    while (app.parked_count < n)
        pthread_cond_wait(&app.changed, &app.mu);
    pthread_mutex_unlock(&app.mu);
}

static void await_count(const unsigned *counter, unsigned n)
{
    pthread_mutex_lock(&app.mu);
    while (*counter < n)
        pthread_cond_wait(&app.changed, &app.mu);
    pthread_mutex_unlock(&app.mu);
}

/* Taken off the list first: a woken exchange may park again at once. */
static void wake_parked(void)
{
    struct api_exchange *x;

    pthread_mutex_lock(&app.mu);
    x = app.parked[--app.parked_count];
    pthread_mutex_unlock(&app.mu);
    api_exchange_wake(x);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- requests ---- */

static void target_reaches_the_handler_as_sent(void **state)
{
    static const struct {
        const char *request;
        const char *want;
    } rows[] = {
        {GET("/v1/kv/a%00b%2Fc%"), "/v1/kv/a%00b%2Fc%|"},
        {GET("/p?x=%31&&y=a+b&=&%00"), "/p|x=%31&&y=a+b&=&%00"},
        {GET("/p?"), "/p|"},
        {GET("/a?b?c"), "/a|b?c"},
        {GET("//..//.?"), "//..//.|"},
        {GET("http://a/b?c"), "/b|c"},
        {GET("HTTPS://a:1/b"), "/b|"},
        {GET("http://a"), "/|"},
        {GET("ftp://a/b"), "ftp://a/b|"},
        {"GET /a HTTP/1.1\r\nHost:\t a \r\nX-A:\r\n\r\n", "/a|"},
    };
    struct svc_http_server *server = start_plain();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = connect_to(server);

        send_text(fd, rows[i].request);
        read_until(fd, rows[i].want);
        assert_string_equal(strstr(answer, "\r\n\r\n") + 4, rows[i].want);
        close(fd);
    }
    end(server);
}

static void header_is_found_by_any_case_and_counted(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, "GET /header HTTP/1.1\r\nHost: a\r\nX-Test: one\r\n"
                  "X-TEST: two\r\n\r\n");
    read_until(fd, "2:one");
    send_text(fd, GET("/header"));
    read_until(fd, "0:");
    close(fd);
    end(server);
}

static void requests_in_one_write_are_answered_in_order(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, GET("/1") GET("/pass") GET("/now") GET("/4"));
    read_until(fd, "/4|");
    assert_has("/1|");
    assert_non_null(strstr(strstr(answer, "woken") + 1, "woken"));
    close(fd);
    end(server);
}

static void broken_heads_are_400_and_close(void **state)
{
    static const struct {
        const char *name;
        const char *fields;
    } rows[] = {
        {"no host", ""},
        {"two hosts", "Host: a\r\nHost: a\r\n"},
        {"length and encoding",
         "Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"},
        {"two lengths", "Host: a\r\nContent-Length: 3\r\n"
                        "Content-Length: 3\r\n"},
        {"differing lengths", "Host: a\r\nContent-Length: 3\r\n"
                              "Content-Length: 4\r\n"},
        {"other encoding", "Host: a\r\nTransfer-Encoding: gzip\r\n"},
        {"two encodings", "Host: a\r\nTransfer-Encoding: chunked\r\n"
                          "Transfer-Encoding: chunked\r\n"},
        {"a blank before the colon", "Host: a\r\nContent-Length : 3\r\n"},
        {"a name that is no token", "Host: a\r\nX(A): 3\r\n"},
        {"a name made by folding", "Host: a\r\nContent-Len: 3\r\n gth\r\n"},
        {"a folded value", "X-A: 1\r\n 2\r\nHost: a\r\n"},
        {"a line without CR", "X-A: 1\nHost: a\r\n"},
        {"a CR in a value", "Host: a\r\nX-A: 1\r2\r\n"},
        {"a control in a value", "Host: a\r\nX-A: 1\x01\r\n"},
    };
    struct svc_http_server *server = start_plain();
    char request[512];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = connect_to(server);

        snprintf(request, sizeof request, "PUT /echo HTTP/1.1\r\n%s\r\n",
                 rows[i].fields);
        send_text(fd, request);
        read_until(fd, NULL); /* to the end: it closes */
        if (strncmp(answer, "HTTP/1.1 400", 12) != 0 ||
            strstr(answer, "/problems/malformed") == NULL)
            fail_msg("%s: %s", rows[i].name, answer);
        close(fd);
    }
    assert_int_equal(0, app.begins);
    end(server);
}

static void broken_request_lines_are_400_and_close(void **state)
{
#define REST "\r\nHost: a\r\n\r\n"
#define ROW(text)                                                              \
    {                                                                          \
        text, sizeof(text) - 1                                                 \
    }
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        ROW("GET /a b HTTP/1.1" REST),
        ROW("GET  /a HTTP/1.1" REST),
        ROW("GET /a  HTTP/1.1" REST),
        ROW("GET /a\tb HTTP/1.1" REST),
        ROW("GET /a\0b HTTP/1.1" REST),
        ROW("GE\0T /a HTTP/1.1" REST),
        ROW("GET /a?b\0c HTTP/1.1" REST),
        ROW("GET /a HTTP/1.1\nHost: a\r\n\r\n"),
        ROW("GET /a HTTP/1.2\r\n\r\n"),
        ROW("GET /a HTTP/1.1\nHost: a\n\n"),
    };
    struct svc_http_server *server = start_plain();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = connect_to(server);

        send_bytes(fd, rows[i].bytes, rows[i].len);
        read_until(fd, NULL); /* to the end: it closes */
        if (strncmp(answer, "HTTP/1.1 400", 12) != 0 ||
            strstr(answer, "/problems/malformed") == NULL)
            fail_msg("%s: %s", rows[i].bytes, answer);
        close(fd);
    }
    assert_int_equal(0, app.begins);
    end(server);
#undef ROW
#undef REST
}

/* ---- bodies ---- */

static void body_comes_back_by_length_and_chunked(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
                  "hello");
    read_until(fd, "hello");
    send_text(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n"
                  "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
    read_until(fd, "abcde");
    send_text(fd, "PUT /prefixed HTTP/1.1\r\nHost: a\r\n"
                  "Content-Length: 3\r\n\r\nfix");
    read_until(fd, "pre:fix");
    close(fd);
    end(server);
}

static void big_body_comes_back_and_its_buffer_is_used_again(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);
    size_t len = BODY_LIMIT;
    char *body = ldb_mem_alloc(1, len);
    char head[128];

    (void)state;
    assert_non_null(body);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < len; i++)
            body[i] = (char)('a' + (i + (size_t)round) % 23);
        body[len - 1] = (char)('X' + round);
        snprintf(head, sizeof head,
                 "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                 len);
        send_text(fd, head);
        send_bytes(fd, body, len);
        read_until(fd, (char[]){(char)('X' + round), '\0'});
        assert_memory_equal(strstr(answer, "\r\n\r\n") + 4, body, len);
    }
    ldb_mem_free(body);
    close(fd);
    end(server);
}

static void body_over_the_limit_is_413_before_100_continue(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n"
                  "Expect: 100-continue\r\n\r\n");
    read_until(fd, NULL);
    assert_starts("HTTP/1.1 413");
    close(fd);
    end(server);
}

static void refused_body_is_read_and_the_connection_stays(void **state)
{
    static const char *const heads[] = {
        "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
        "PUT /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
    };
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);
    char *body = ldb_mem_zalloc(1, BODY_LIMIT + 1);

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        send_text(fd, heads[i]);
        send_bytes(fd, body, BODY_LIMIT + 1);
        read_until(fd, "}");
        assert_starts(i == 0 ? "HTTP/1.1 413" : "HTTP/1.1 404");
    }
    send_text(fd, GET("/still"));
    read_until(fd, "/still|");
    ldb_mem_free(body);
    close(fd);
    end(server);
}

static void chunked_body_over_the_limit_is_413(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);
    char *chunk = ldb_mem_zalloc(1, BODY_LIMIT);

    (void)state;
    assert_non_null(chunk);
    send_text(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n100000\r\n");
    send_bytes(fd, chunk, BODY_LIMIT);
    send_text(fd, "\r\n1\r\nx\r\n0\r\n\r\n");
    read_until(fd, "}");
    assert_starts("HTTP/1.1 413");
    send_text(fd, GET("/still"));
    read_until(fd, "/still|");
    ldb_mem_free(chunk);
    close(fd);
    end(server);
}

/* ---- bodies in pieces ---- */

#define PUT_CHUNKED(path)                                                      \
    "PUT " path " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static void send_chunk(int fd, const char *bytes, size_t len)
{
    char size[32];

    (void)snprintf(size, sizeof(size), "%zx\r\n", len);
    send_text(fd, size);
    send_bytes(fd, bytes, len);
    send_text(fd, "\r\n");
}

static void body_in_pieces_has_any_length(void **state)
{
    struct svc_http_server *server =
        start(ldb_env_posix(), SVC_HTTP_UPLOAD_WEIGHT * UINT64_C(60000));
    char *chunk = ldb_mem_zalloc(1, 100000);
    struct svc_http_figures figures;
    int fd = connect_to(server);

    (void)state;
    assert_non_null(chunk);
    send_text(fd, PUT_CHUNKED("/pieces"));
    for (int i = 0; i < 50; i++)
        send_chunk(fd, chunk, 100000);
    svc_http_server_figures(server, &figures);
    assert_int_equal(SVC_HTTP_UPLOAD_WEIGHT * PIECES_WINDOW,
                     figures.upload_bytes);
    send_text(fd, "0\r\n\r\n");
    read_until(fd, "counted 5000000.");
    send_text(fd, "PUT /pieces HTTP/1.1\r\nHost: a\r\n"
                  "Content-Length: 300000\r\n\r\n");
    for (int i = 0; i < 3; i++)
        send_bytes(fd, chunk, 100000);
    read_until(fd, "counted 300000.");
    send_text(fd, PUT_CHUNKED("/pieces") "0\r\n\r\n");
    read_until(fd, "counted 0.");
    await_count(&app.abandons, app.begins);
    send_text(fd, GET("/after")); /* the same loop, one after the other */
    read_until(fd, "/after|");
    svc_http_server_figures(server, &figures);
    assert_int_equal(0, figures.upload_bytes);
    ldb_mem_free(chunk);
    close(fd);
    end(server);
}

static void body_rests_while_a_piece_is_worked_on(void **state)
{
    struct svc_http_server *server = start_plain();
    char *chunk = ldb_mem_zalloc(1, PIECES_WINDOW);
    int fd = connect_to(server);
    int other = connect_to(server);

    (void)state;
    assert_non_null(chunk);
    send_text(fd, PUT_CHUNKED("/slow-pieces"));
    for (int i = 0; i < 20; i++) {
        send_chunk(fd, chunk, PIECES_WINDOW);
        await_parked(1);
        send_text(other, GET("/other"));
        read_until(other, "/other|");
        wake_parked();
    }
    send_text(fd, "0\r\n\r\n");
    read_until(fd, "counted 1000000.");
    close(fd);
    close(other);
    ldb_mem_free(chunk);
    end(server);
}

/* At once, after a wait, and by a handler that was woken. */
static void body_in_pieces_is_refused_where_it_stands(void **state)
{
    static const struct {
        const char *head;
        size_t len;
        bool parks;
    } rows[] = {
        {PUT_CHUNKED("/pieces"), PIECES_LIMIT + 1, false},
        {PUT_CHUNKED("/late-refusal"), PIECES_LIMIT + 1, true},
        {PUT_CHUNKED("/slow-pieces"), PIECES_WINDOW, true},
    };
    struct svc_http_server *server = start_plain();
    char *chunk = ldb_mem_zalloc(1, PIECES_LIMIT + 1);
    int fd = connect_to(server);

    (void)state;
    assert_non_null(chunk);
    chunk[0] = '+';
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        send_text(fd, rows[i].head);
        send_chunk(fd, chunk, rows[i].len);
        if (rows[i].parks) {
            await_parked(1);
            wake_parked();
        }
        send_chunk(fd, chunk, PIECES_LIMIT); /* dropped */
        send_text(fd, "0\r\n\r\n");
        read_until(fd, "}\n");
        assert_starts("HTTP/1.1 413");
        send_text(fd, GET("/after"));
        read_until(fd, "/after|");
    }
    ldb_mem_free(chunk);
    close(fd);
    end(server);
}

static void client_that_leaves_between_pieces_is_buried_once_woken(void **state)
{
    struct svc_http_server *server = start_plain();
    char *chunk = ldb_mem_zalloc(1, PIECES_WINDOW);
    int fd = connect_to(server);

    (void)state;
    assert_non_null(chunk);
    send_text(fd, PUT_CHUNKED("/slow-pieces"));
    send_chunk(fd, chunk, PIECES_WINDOW);
    await_parked(1);
    close(fd);
    assert_int_equal(0, app.abandons);
    wake_parked();
    await_count(&app.abandons, app.begins);
    /* The same, and the server stops first. */
    fd = connect_to(server);
    send_text(fd, PUT_CHUNKED("/slow-pieces"));
    send_chunk(fd, chunk, PIECES_WINDOW);
    await_parked(1);
    svc_http_server_stop(server);
    assert_int_equal(1, app.abandons);
    wake_parked();
    svc_http_server_destroy(server);
    assert_int_equal(2, app.abandons);
    close(fd);
    ldb_mem_free(chunk);
}

static void upload_over_the_budget_is_503_until_space_is_back(void **state)
{
    struct svc_http_server *server =
        start(ldb_env_posix(), SVC_HTTP_UPLOAD_WEIGHT * UINT64_C(120000));
    struct svc_http_figures figures;
    char *body = ldb_mem_zalloc(1, 100000);
    int first = connect_to(server);
    int second = connect_to(server);

    (void)state;
    assert_non_null(body);
    send_text(first, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000"
                     "\r\nExpect: 100-continue\r\n\r\n");
    read_until(first, "100 Continue\r\n\r\n");
    svc_http_server_figures(server, &figures);
    assert_int_equal(SVC_HTTP_UPLOAD_WEIGHT * 100000, figures.upload_bytes);
    send_text(second, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20001"
                      "\r\nExpect: 100-continue\r\n\r\n");
    read_until(second, NULL);
    assert_starts("HTTP/1.1 503");
    assert_has("/problems/overloaded");
    assert_has("Retry-After: ");
    close(second);
    /* A small body is never refused. */
    second = connect_to(server);
    send_text(second, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                      "\r\nhello");
    read_until(second, "hello");
    send_bytes(first, body, 100000);
    await_count(&app.abandons, app.begins);
    send_text(second, GET("/after")); /* the same loop, one after the other */
    read_until(second, "/after|");
    svc_http_server_figures(server, &figures);
    assert_int_equal(0, figures.upload_bytes);
    ldb_mem_free(body);
    close(first);
    close(second);
    end(server);
}

/* ---- answers ---- */

static void answers_have_their_length_and_form(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, GET("/empty"));
    read_until(fd, "\r\n\r\n");
    assert_starts("HTTP/1.1 204");
    send_text(fd, "HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
    read_until(fd, "\r\n\r\n");
    assert_has("Content-Length: 12345\r\n");
    send_text(fd, GET("/static"));
    read_until(fd, "\r\n\r\nstatic");
    assert_has("Content-Type: text/plain\r\n");
    send_text(fd, GET("/stream"));
    read_until(fd, "\r\n0\r\n\r\n");
    assert_has("Transfer-Encoding: chunked\r\n");
    await_count(&app.streams_destroyed, 1);
    close(fd);
    end(server);
    assert_int_equal(1, app.streams_destroyed);
}

/* What follows on the headers would be read as the next answer. */
static void the_head_of_a_stream_is_headers_and_no_more(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, "HEAD /head-of-stream HTTP/1.1\r\nHost: a\r\n\r\n");
    read_until(fd, NULL);
    assert_starts("HTTP/1.1 200");
    assert_has("Connection: close\r\n");
    assert_null(strstr(answer, "Transfer-Encoding"));
    assert_null(strstr(answer, "Content-Length"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    close(fd);
    end(server);
}

/* How often part stands in the answer. */
static unsigned times(const char *part)
{
    unsigned n = 0;

    for (const char *at = answer; (at = strstr(at, part)) != NULL; at++)
        n++;
    return n;
}

/* Of the answer to GET /tagged?tag, all that is its own and nothing else. */
static void ask_tagged(int fd, const char *tag)
{
    char text[512];

    snprintf(text, sizeof text, "GET /tagged?%s HTTP/1.1\r\nHost: a\r\n\r\n",
             tag);
    send_text(fd, text);
    snprintf(text, sizeof text, "\r\n\r\n/tagged|%s", tag);
    read_until(fd, text);
    assert_starts("HTTP/1.1 200");
    snprintf(text, sizeof text, "X-Tag: %s\r\n", tag);
    assert_has(text);
    assert_int_equal(1, times("X-Tag: "));
    assert_int_equal(1, times("X-Same: same\r\n"));
    assert_int_equal(1, times("Content-Type: text/plain\r\n"));
    snprintf(text, sizeof text, "Content-Length: %zu\r\n", 8 + strlen(tag));
    assert_has(text);
}

/* An exchange keeps its response for the next answer like it. */
static void nothing_of_an_answer_stays_for_the_next(void **state)
{
    static const char *const tags[] = {
        "one",   "one", "two",
        "three", "one", "longer-than-any-value-that-is-kept-with-an-exchange",
        "six",   "two"};
    struct svc_http_server *server = start_plain();
    int fds[2] = {connect_to(server), connect_to(server)};

    (void)state;
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        ask_tagged(fds[0], tags[i]);
        ask_tagged(fds[1], tags[i]);
        send_text(fds[i % 2], GET("/empty"));
        read_until(fds[i % 2], "\r\n\r\n");
        assert_starts("HTTP/1.1 204");
        assert_int_equal(0, times("X-"));
        send_text(fds[i % 2], GET("/none"));
        read_until(fds[i % 2], "\r\n\r\n/none|");
        assert_int_equal(0, times("X-"));
        ask_tagged(fds[1], tags[i]);
    }
    close(fds[0]);
    close(fds[1]);
    end(server);
}

static void a_stream_of_known_length_says_it(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, "GET /counted HTTP/1.1\r\nHost: a\r\n"
                  "Connection: close\r\n\r\n");
    read_until(fd, NULL);
    assert_has("Content-Length: 100000\r\n");
    assert_null(strstr(answer, "chunked"));
    assert_int_equal(STREAM_BYTES, strlen(strstr(answer, "\r\n\r\n") + 4));
    close(fd);
    /* One that ends short of it is cut: on a connection that is kept. */
    fd = connect_to(server);
    send_text(fd, GET("/short"));
    read_until(fd, NULL);
    assert_has("Content-Length: 100001\r\n");
    assert_int_equal(STREAM_BYTES, strlen(strstr(answer, "\r\n\r\n") + 4));
    close(fd);
    await_count(&app.streams_destroyed, 2);
    end(server);
}

static void failed_stream_is_cut_without_its_end(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, GET("/failing"));
    read_until(fd, NULL);
    assert_has("\r\na\r\n");
    assert_null(strstr(answer, "\r\n0\r\n\r\n"));
    close(fd);
    await_count(&app.streams_destroyed, 1);
    end(server);
}

static void stream_ends_when_its_client_leaves(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);

    (void)state;
    send_text(fd, GET("/endless"));
    read_until(fd, "aaaa");
    close(fd);
    await_count(&app.streams_destroyed, 1);
    end(server);
    assert_int_equal(1, app.streams_destroyed);
}

static void stream_rests_until_it_is_woken(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);
    int other = connect_to(server);

    (void)state;
    for (int round = 0; round < 20; round++) {
        send_text(fd, GET("/drip-now"));
        read_until(fd, "0\r\n\r\n");
        assert_has("1\r\nd\r\n1\r\nd\r\n1\r\nd\r\n");
        send_text(fd, GET("/drip-yield"));
        read_until(fd, "0\r\n\r\n");
        assert_has("1\r\nd\r\n1\r\nd\r\n1\r\nd\r\n");
        send_text(fd, GET("/drip"));
        for (int byte = 0; byte < 3; byte++) {
            await_parked(1);
            send_text(other, GET("/other"));
            read_until(other, "/other|");
            wake_parked();
        }
        read_until(fd, "0\r\n\r\n");
    }
    close(fd);
    close(other);
    end(server);
}

/* It has work for ever, and nothing to give. */
static void a_busy_stream_lets_others_have_their_turn(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);
    int other = connect_to(server);

    (void)state;
    send_text(fd, GET("/busy"));
    for (int round = 0; round < 20; round++) {
        send_text(other, GET("/other"));
        read_until(other, "/other|");
    }
    close(fd); /* noticed at the stop */
    close(other);
    end(server);
    assert_int_equal(app.streams_destroyed, 1);
}

static void stop_ends_a_stream_that_waits(void **state)
{
    (void)state;
    /* Before it was woken, and after. */
    for (int wakes = 0; wakes < 2; wakes++) {
        struct svc_http_server *server = start_plain();
        int fd = connect_to(server);

        send_text(fd, GET("/drip"));
        await_parked(1);
        if (wakes == 1)
            wake_parked();
        end(server);
        assert_int_equal(1, app.streams_destroyed);
        assert_int_equal(app.begins, app.abandons);
        close(fd);
    }
}

/* Streams that run, that wait, and that were woken just now; nobody reads. */
static void cutting_ends_all_streams_that_hold_the_database(void **state)
{
    (void)state;
    for (int wakes = 0; wakes < 2; wakes++) {
        struct svc_http_server *server = start_plain();
        int running = connect_to(server);
        int waiting = connect_to(server);
        int detached = connect_to(server);
        int other = connect_to(server);

        send_text(running, GET("/endless"));
        read_until(running, "aaaa");
        send_text(detached, GET("/detached"));
        read_until(detached, "aaaa");
        send_text(waiting, GET("/drip"));
        await_parked(1);
        if (wakes == 1)
            wake_parked();
        svc_http_server_cut_streams(server);
        await_count(&app.streams_ended, 2);
        assert_int_equal(2, app.streams_destroyed);
        read_until(waiting, NULL);
        assert_null(strstr(answer, "\r\n0\r\n\r\n"));
        /* It goes on with the others. */
        send_text(other, GET("/other"));
        read_until(other, "/other|");
        await_count(&app.abandons, 3);
        close(running);
        close(waiting);
        close(detached);
        close(other);
        end(server);
        assert_int_equal(3, app.streams_destroyed);
        assert_int_equal(app.begins, app.abandons);
    }
}

/* ---- waiting ---- */

static void waiting_exchange_is_answered_once_woken(void **state)
{
    /* The jumpy clock has it suspended before it is woken, or while. */
    struct ldb_env *envs[] = {ldb_env_posix(), make_jumpy()};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct svc_http_server *server = start(envs[i], UINT64_C(1) << 30);
        int fd = connect_to(server);

        for (int round = 0; round < 50; round++) {
            send_text(fd, round % 2 == 0 ? GET("/park") : GET("/twice"));
            await_parked(1);
            wake_parked();
            if (round % 2 != 0) {
                await_parked(1);
                wake_parked();
            }
            read_until(fd, "woken");
        }
        close(fd);
        end(server);
    }
}

static void others_are_served_while_one_waits(void **state)
{
    struct svc_http_server *server = start(make_jumpy(), UINT64_C(1) << 30);
    int waiting = connect_to(server);
    int other = connect_to(server);

    (void)state;
    send_text(waiting, GET("/park"));
    await_parked(1);
    for (int round = 0; round < 20; round++) {
        send_text(other, GET("/other"));
        read_until(other, "/other|");
    }
    wake_parked();
    read_until(waiting, "woken");
    close(waiting);
    close(other);
    end(server);
}

static void exchange_outlives_its_client_until_woken(void **state)
{
    struct ldb_env *envs[] = {ldb_env_posix(), make_jumpy()};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct svc_http_server *server = start(envs[i], UINT64_C(1) << 30);
        int fd = connect_to(server);
        int other = connect_to(server);

        send_text(fd, GET("/park"));
        await_parked(1);
        close(fd);
        /* Some passes, in which the loop sees that the client left. */
        for (int round = 0; round < 5; round++) {
            send_text(other, GET("/other"));
            read_until(other, "/other|");
        }
        await_count(&app.abandons, app.begins - 1);
        wake_parked();
        await_count(&app.abandons, app.begins);
        close(other);
        end(server);
    }
}

static void stop_leaves_the_waiting_to_destroy(void **state)
{
    struct ldb_env *envs[] = {ldb_env_posix(), make_jumpy()};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct svc_http_server *server = start(envs[i], UINT64_C(1) << 30);
        int fd = connect_to(server);

        send_text(fd, GET("/park"));
        await_parked(1);
        svc_http_server_stop(server);
        assert_int_equal(0, app.abandons);
        wake_parked();
        svc_http_server_destroy(server);
        assert_int_equal(1, app.abandons);
        close(fd);
    }
}

static void drain_answers_what_was_accepted_then_closes(void **state)
{
    struct svc_http_server *server = start_plain();
    int fd = connect_to(server);
    int idle = connect_to(server);
    struct pollfd done = {.fd = svc_http_server_done_fd(server),
                          .events = POLLIN};

    (void)state;
    send_text(idle, GET("/idle"));
    read_until(idle, "/idle|");
    send_text(fd, GET("/park"));
    await_parked(1);
    svc_http_server_drain(server);
    assert_false(svc_http_server_done(server));
    wake_parked();
    read_until(fd, NULL);
    assert_has("woken");
    assert_has("Connection: close\r\n");
    read_until(idle, NULL);
    assert_int_equal(1, poll(&done, 1, -1));
    assert_true(svc_http_server_done(server));
    close(fd);
    close(idle);
    end(server);
}

/* ---- many at once ---- */

#define CLIENTS       16
#define CLIENT_ROUNDS 200

static void *wake_all_the_time(void *context)
{
    atomic_bool *is_over = context;

    for (;;) {
        struct api_exchange *x = NULL;

        pthread_mutex_lock(&app.mu);
        while (app.parked_count == 0 && !atomic_load(is_over))
            pthread_cond_wait(&app.changed, &app.mu);
        if (app.parked_count > 0)
            x = app.parked[--app.parked_count];
        pthread_mutex_unlock(&app.mu);
        if (x == NULL)
            return NULL;
        api_exchange_wake(x);
    }
}

static void many_clients_wait_are_woken_and_leave(void **state)
{
    struct svc_http_server *server = start_plain();
    atomic_bool is_over = false;
    pthread_t waker;
    int fds[CLIENTS];

    (void)state;
    assert_int_equal(0,
                     pthread_create(&waker, NULL, wake_all_the_time, &is_over));
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = connect_to(server);
    for (int round = 0; round < CLIENT_ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            send_text(fds[i], i % 3 == 0 ? GET("/twice") : GET("/park"));
        for (int i = 0; i < CLIENTS; i++) {
            if ((round + i) % 7 == 0) { /* leaves without reading */
                close(fds[i]);
                fds[i] = connect_to(server);
            } else {
                read_until(fds[i], "woken");
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    svc_http_server_stop(server);
    pthread_mutex_lock(&app.mu);
    atomic_store(&is_over, true);
    pthread_cond_broadcast(&app.changed);
    pthread_mutex_unlock(&app.mu);
    pthread_join(waker, NULL);
    end(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_reaches_the_handler_as_sent),
        cmocka_unit_test(header_is_found_by_any_case_and_counted),
        cmocka_unit_test(requests_in_one_write_are_answered_in_order),
        cmocka_unit_test(broken_heads_are_400_and_close),
        cmocka_unit_test(broken_request_lines_are_400_and_close),
        cmocka_unit_test(body_comes_back_by_length_and_chunked),
        cmocka_unit_test(big_body_comes_back_and_its_buffer_is_used_again),
        cmocka_unit_test(body_over_the_limit_is_413_before_100_continue),
        cmocka_unit_test(refused_body_is_read_and_the_connection_stays),
        cmocka_unit_test(chunked_body_over_the_limit_is_413),
        cmocka_unit_test(body_in_pieces_has_any_length),
        cmocka_unit_test(body_rests_while_a_piece_is_worked_on),
        cmocka_unit_test(body_in_pieces_is_refused_where_it_stands),
        cmocka_unit_test(
            client_that_leaves_between_pieces_is_buried_once_woken),
        cmocka_unit_test(upload_over_the_budget_is_503_until_space_is_back),
        cmocka_unit_test(answers_have_their_length_and_form),
        cmocka_unit_test(the_head_of_a_stream_is_headers_and_no_more),
        cmocka_unit_test(nothing_of_an_answer_stays_for_the_next),
        cmocka_unit_test(a_stream_of_known_length_says_it),
        cmocka_unit_test(failed_stream_is_cut_without_its_end),
        cmocka_unit_test(stream_ends_when_its_client_leaves),
        cmocka_unit_test(stream_rests_until_it_is_woken),
        cmocka_unit_test(a_busy_stream_lets_others_have_their_turn),
        cmocka_unit_test(stop_ends_a_stream_that_waits),
        cmocka_unit_test(cutting_ends_all_streams_that_hold_the_database),
        cmocka_unit_test(waiting_exchange_is_answered_once_woken),
        cmocka_unit_test(others_are_served_while_one_waits),
        cmocka_unit_test(exchange_outlives_its_client_until_woken),
        cmocka_unit_test(stop_leaves_the_waiting_to_destroy),
        cmocka_unit_test(drain_answers_what_was_accepted_then_closes),
        cmocka_unit_test(many_clients_wait_are_woken_and_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
