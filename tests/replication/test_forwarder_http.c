/*
 * Requests sent on: to a leader that is whole, and to one made of a socket that
 * breaks as the test says. Each is sent once.
 */
#include "replication/forwarder_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "storage/base/mutex.h"
#include "storage/base/status.h"
#include "tests/support/service_run.h"

/* ---- who waits ---- */

struct waiter {
    struct ldb_mutex mu;
    struct ldb_cond woken;
    unsigned wakes;
};

static void waiter_init(struct waiter *w)
{
    ldb_mutex_init(&w->mu);
    ldb_cond_init(&w->woken);
    w->wakes = 0;
}

static void waiter_release(struct waiter *w)
{
    ldb_cond_release(&w->woken);
    ldb_mutex_release(&w->mu);
}

static void wake(void *context)
{
    struct waiter *w = context;

    ldb_mutex_lock(&w->mu);
    w->wakes++;
    ldb_cond_signal(&w->woken);
    ldb_mutex_unlock(&w->mu);
}

static void wait_for_wake(struct waiter *w)
{
    ldb_mutex_lock(&w->mu);
    while (w->wakes == 0)
        ldb_cond_wait(&w->woken, &w->mu);
    w->wakes--;
    ldb_mutex_unlock(&w->mu);
}

/* ---- a request, from begin to its outcome ---- */

struct request {
    const char *url;
    const char *method;
    const char *target;
    struct ldb_slice body; /* data NULL: none */
    size_t piece;          /* bytes at a time */
    bool is_chunked;
};

static struct repl_forwarder *make_forwarder(uint64_t idle_timeout_us)
{
    const struct repl_forwarder_http_options options = {
        .env = ldb_env_posix(), .idle_timeout_us = idle_timeout_us};
    struct repl_forwarder *f = NULL;
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK, repl_forwarder_http_create(&options, &err, &f));
    return f;
}

static struct repl_forward *begin(struct repl_forwarder *f,
                                  const struct request *request,
                                  struct waiter *waiter)
{
    const struct repl_forward_request sent = {
        .url = request->url,
        .method = request->method,
        .target = ldb_slice_str(request->target),
        .headers = {{.name = "X-Request-Id", .value = ldb_slice_str("r7")}},
        .header_count = 1,
        .has_body = request->body.data != NULL,
        .body_len = request->is_chunked ? UINT64_MAX : request->body.len,
        .wake = wake,
        .context = waiter,
    };
    struct repl_forward *forward = NULL;
    struct ldb_error err = {0};

    if (f->ops->begin(f, &sent, &err, &forward) != LDB_OK)
        fail_msg("%s", err.message);
    return forward;
}

static enum repl_forward_step settle(struct repl_forward *forward,
                                     struct waiter *waiter,
                                     enum repl_forward_step step)
{
    while (step == REPL_FORWARD_WAITS) {
        wait_for_wake(waiter);
        step = repl_forward_step(forward);
    }
    return step;
}

/* Until it is over. Returns how many bytes of the body were taken. */
static size_t run(struct repl_forward *forward, const struct request *request,
                  struct waiter *waiter)
{
    enum repl_forward_step step = REPL_FORWARD_MORE;
    size_t at = 0;

    while (step == REPL_FORWARD_MORE && at < request->body.len) {
        struct ldb_buf piece = LDB_BUF_INIT(SIZE_MAX);
        size_t len = request->body.len - at;

        if (request->piece != 0 && len > request->piece)
            len = request->piece;
        assert_int_equal(
            LDB_OK, ldb_buf_append(
                        &piece, ldb_slice_make(request->body.data + at, len)));
        at += len;
        step = settle(forward, waiter, repl_forward_give(forward, &piece));
        assert_int_equal(piece.len, 0);
        ldb_buf_release(&piece);
    }
    if (step == REPL_FORWARD_MORE)
        step = settle(forward, waiter, repl_forward_end(forward));
    assert_int_equal(step, REPL_FORWARD_OVER);
    return at;
}

/* All of it; the status, or 0 when it was not answered. */
static enum repl_forward_outcome call(struct repl_forwarder *f,
                                      const struct request *request,
                                      unsigned *out_status)
{
    struct repl_forward_answer *answer = NULL;
    enum repl_forward_outcome outcome;
    struct repl_forward *forward;
    struct waiter waiter;

    waiter_init(&waiter);
    forward = begin(f, request, &waiter);
    (void)run(forward, request, &waiter);
    outcome = repl_forward_outcome(forward, NULL, &answer);
    *out_status = outcome == REPL_FORWARD_ANSWERED ? answer->status : 0;
    repl_forward_close(forward);
    waiter_release(&waiter);
    return outcome;
}

/* ---- to a leader that is whole ---- */

static void a_write_is_answered_by_the_leader(void **state)
{
    struct repl_forwarder *f = make_forwarder(0);
    struct repl_forward_answer *answer = NULL;
    struct repl_forward *forward;
    struct service_run leader;
    struct request request = {.method = "PUT",
                              .target = "/v1/kv/a%2Fb?sync=false",
                              .body = ldb_slice_str("value")};
    struct waiter waiter;

    (void)state;
    service_run_init(&leader, "leader");
    service_run_start(&leader, NULL);
    request.url = leader.url;
    waiter_init(&waiter);
    forward = begin(f, &request, &waiter);
    (void)run(forward, &request, &waiter);
    assert_int_equal(repl_forward_outcome(forward, NULL, &answer),
                     REPL_FORWARD_ANSWERED);
    assert_int_equal(answer->status, 204);
    assert_int_equal(LDB_OK, ldb_buf_append_byte(&answer->headers, 0));
    assert_non_null(strstr((char *)answer->headers.data, "etag: \"1\"\n"));
    assert_non_null(strstr((char *)answer->headers.data, "x-request-id: r7\n"));
    repl_forward_close(forward);
    waiter_release(&waiter);
    assert_true(service_run_has(&leader, "a%2Fb", "value"));
    repl_forwarder_http_destroy(f);
    service_run_stop(&leader);
    service_run_release(&leader);
}

static void bodies_of_any_length_and_form_arrive_whole(void **state)
{
    static const struct {
        size_t len;
        size_t piece;
        bool is_chunked;
    } rows[] = {{0, 0, false},           {1, 1, false},
                {100000, 1000, false},   {5000000, 262144, false},
                {5000000, 262144, true}, {0, 0, true}};
    size_t most = 5000000;
    char *bytes = test_malloc(most + 1);
    struct repl_forwarder *f = make_forwarder(0);
    struct service_run leader;

    (void)state;
    memset(bytes, 'x', most);
    service_run_init(&leader, "leader");
    service_run_start(&leader, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct request request = {
            .url = leader.url,
            .method = "PUT",
            .target = "/v1/kv/k",
            .body = ldb_slice_make(bytes, rows[i].len),
            .piece = rows[i].piece,
            .is_chunked = rows[i].is_chunked,
        };
        unsigned status;

        bytes[0] = (char)('a' + i);
        assert_int_equal(call(f, &request, &status), REPL_FORWARD_ANSWERED);
        assert_int_equal(status, 204);
        bytes[rows[i].len] = '\0';
        assert_true(service_run_has(&leader, "k", bytes));
        bytes[rows[i].len] = 'x';
    }
    repl_forwarder_http_destroy(f);
    service_run_stop(&leader);
    service_run_release(&leader);
    test_free(bytes);
}

static void a_refusal_may_come_before_the_body(void **state)
{
    size_t len = 8000000;
    char *bytes = test_calloc(1, len);
    struct repl_forwarder *f = make_forwarder(0);
    struct request request = {.method = "PUT",
                              .target = "/v1/kv/k?nonsense=1",
                              .body = ldb_slice_make(bytes, len),
                              .piece = 262144};
    struct service_run leader;
    unsigned status;

    (void)state;
    service_run_init(&leader, "leader");
    service_run_start(&leader, NULL);
    request.url = leader.url;
    assert_int_equal(call(f, &request, &status), REPL_FORWARD_ANSWERED);
    assert_int_equal(status, 400);
    repl_forwarder_http_destroy(f);
    service_run_stop(&leader);
    service_run_release(&leader);
    test_free(bytes);
}

#define AT_ONCE 32

static void many_are_under_way_at_once(void **state)
{
    struct repl_forwarder *f = make_forwarder(0);
    struct repl_forward *forwards[AT_ONCE];
    struct waiter waiters[AT_ONCE];
    struct request requests[AT_ONCE];
    char targets[AT_ONCE][32];
    struct service_run leader;

    (void)state;
    service_run_init(&leader, "leader");
    service_run_start(&leader, NULL);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        (void)snprintf(targets[i], sizeof targets[i], "/v1/kv/k%u", i);
        requests[i] = (struct request){.url = leader.url,
                                       .method = "PUT",
                                       .target = targets[i],
                                       .body = ldb_slice_str("v")};
        waiter_init(&waiters[i]);
        forwards[i] = begin(f, &requests[i], &waiters[i]);
    }
    for (unsigned i = 0; i < AT_ONCE; i++) {
        struct repl_forward_answer *answer = NULL;

        (void)run(forwards[i], &requests[i], &waiters[i]);
        assert_int_equal(repl_forward_outcome(forwards[i], NULL, &answer),
                         REPL_FORWARD_ANSWERED);
        assert_int_equal(answer->status, 204);
        repl_forward_close(forwards[i]);
        waiter_release(&waiters[i]);
    }
    repl_forwarder_http_destroy(f);
    service_run_stop(&leader);
    service_run_release(&leader);
}

/* ---- to a socket that breaks ---- */

/* What it does with each request that it has read as far as the blank line. */
enum manner {
    CLOSES,       /* at once, without an answer */
    ANSWERS_ONCE, /* the first of a connection, then as CLOSES */
    BABBLES,      /* an answer that is no HTTP */
    STAYS_SILENT,
    ANSWERS_SHORT, /* fewer bytes than it says, then closes */
};

struct broken {
    int listen_fd;
    unsigned port;
    char url[64];
    enum manner manner;
    pthread_t thread;
    struct ldb_mutex mu;
    unsigned requests; /* guarded by mu */
};

/* False: the connection has ended. */
static bool read_request(int fd)
{
    char bytes[8192];
    size_t len = 0;

    while (len < sizeof bytes - 1) {
        ssize_t n = recv(fd, bytes + len, sizeof bytes - 1 - len, 0);

        if (n <= 0)
            return false;
        len += (size_t)n;
        bytes[len] = '\0';
        if (strstr(bytes, "\r\n\r\n") != NULL)
            return true;
    }
    return false;
}

static void say(int fd, const char *text)
{
    ssize_t n = send(fd, text, strlen(text), MSG_NOSIGNAL);

    (void)n; /* whoever is gone does not hear it */
}

static void serve(struct broken *b, int fd)
{
    unsigned here = 0;

    while (read_request(fd)) {
        ldb_mutex_lock(&b->mu);
        b->requests++;
        ldb_mutex_unlock(&b->mu);
        here++;
        switch (b->manner) {
        case ANSWERS_ONCE:
            if (here > 1)
                return;
            say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
            break;
        case BABBLES:
            say(fd, "what?\r\n\r\n");
            return;
        case ANSWERS_SHORT:
            say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
            return;
        case STAYS_SILENT:
            break; /* until the other side leaves */
        case CLOSES:
            return;
        }
    }
}

static void *run_broken(void *context)
{
    struct broken *b = context;
    int fd;

    while ((fd = accept(b->listen_fd, NULL, NULL)) >= 0) {
        serve(b, fd);
        close(fd);
    }
    return NULL;
}

static void broken_start(struct broken *b, enum manner manner)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    *b = (struct broken){.manner = manner};
    ldb_mutex_init(&b->mu);
    b->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(b->listen_fd >= 0);
    assert_int_equal(
        bind(b->listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(b->listen_fd, 16), 0);
    assert_int_equal(
        getsockname(b->listen_fd, (struct sockaddr *)&address, &len), 0);
    b->port = ntohs(address.sin_port);
    (void)snprintf(b->url, sizeof b->url, "http://127.0.0.1:%u", b->port);
    assert_int_equal(pthread_create(&b->thread, NULL, run_broken, b), 0);
}

static unsigned broken_stop(struct broken *b)
{
    (void)shutdown(b->listen_fd, SHUT_RDWR);
    assert_int_equal(pthread_join(b->thread, NULL), 0);
    close(b->listen_fd);
    ldb_mutex_release(&b->mu);
    return b->requests;
}

static void who_cannot_be_reached_was_sent_nothing(void **state)
{
    struct repl_forwarder *f = make_forwarder(0);
    struct request request = {
        .method = "PUT", .target = "/v1/kv/a", .body = ldb_slice_str("v")};
    struct broken gone;
    unsigned status;

    (void)state;
    broken_start(&gone, CLOSES);
    (void)broken_stop(&gone);
    request.url = gone.url;
    assert_int_equal(call(f, &request, &status), REPL_FORWARD_NOT_SENT);
    repl_forwarder_http_destroy(f);
}

static void a_cut_after_the_request_is_unknown(void **state)
{
    static const enum manner manners[] = {CLOSES, BABBLES, ANSWERS_SHORT};

    (void)state;
    for (size_t i = 0; i < sizeof manners / sizeof manners[0]; i++) {
        struct repl_forwarder *f = make_forwarder(0);
        struct broken leader;
        struct request request = {.method = "DELETE", .target = "/v1/kv/a"};
        unsigned status;

        broken_start(&leader, manners[i]);
        request.url = leader.url;
        assert_int_equal(call(f, &request, &status), REPL_FORWARD_UNKNOWN);
        repl_forwarder_http_destroy(f);
        assert_int_equal(broken_stop(&leader), 1);
    }
}

/* libcurl would send it again on a fresh connection. */
static void a_kept_connection_that_dies_is_no_reason_to_send_again(void **state)
{
    struct repl_forwarder *f = make_forwarder(0);
    struct broken leader;
    struct request request = {.method = "DELETE", .target = "/v1/kv/a"};
    unsigned status;

    (void)state;
    broken_start(&leader, ANSWERS_ONCE);
    request.url = leader.url;
    assert_int_equal(call(f, &request, &status), REPL_FORWARD_ANSWERED);
    assert_int_equal(status, 204);
    assert_int_equal(call(f, &request, &status), REPL_FORWARD_UNKNOWN);
    repl_forwarder_http_destroy(f);
    assert_int_equal(broken_stop(&leader), 2);
}

static void silence_ends_after_a_while(void **state)
{
    struct repl_forwarder *f = make_forwarder(1000000); /* and it is sent */
    struct broken leader;
    struct request request = {.method = "DELETE", .target = "/v1/kv/a"};
    unsigned status;

    (void)state;
    broken_start(&leader, STAYS_SILENT);
    request.url = leader.url;
    assert_int_equal(call(f, &request, &status), REPL_FORWARD_UNKNOWN);
    repl_forwarder_http_destroy(f);
    assert_int_equal(broken_stop(&leader), 1);
}

static void the_end_wakes_who_waits(void **state)
{
    struct repl_forwarder *f = make_forwarder(0);
    struct repl_forward_answer *answer = NULL;
    struct repl_forward *forward;
    struct repl_forward *late = NULL;
    struct broken leader;
    struct request request = {.method = "DELETE", .target = "/v1/kv/a"};
    struct repl_forward_request another = {.url = "http://a", .method = "PUT"};
    struct ldb_error err = {0};
    struct waiter waiter;

    (void)state;
    broken_start(&leader, STAYS_SILENT);
    request.url = leader.url;
    waiter_init(&waiter);
    forward = begin(f, &request, &waiter);
    assert_int_equal(repl_forward_end(forward), REPL_FORWARD_WAITS);
    repl_forwarder_http_end(f);
    wait_for_wake(&waiter);
    assert_int_equal(repl_forward_step(forward), REPL_FORWARD_OVER);
    assert_int_not_equal(repl_forward_outcome(forward, NULL, &answer),
                         REPL_FORWARD_ANSWERED);
    assert_int_equal(LDB_CLOSED, f->ops->begin(f, &another, &err, &late));
    repl_forward_close(forward);
    waiter_release(&waiter);
    repl_forwarder_http_destroy(f);
    (void)broken_stop(&leader);
}

/* At any point, and nobody is woken for it afterwards. */
static void a_closed_one_is_cut(void **state)
{
    struct broken leader;

    (void)state;
    broken_start(&leader, STAYS_SILENT);
    for (unsigned i = 0; i < 50; i++) {
        struct repl_forwarder *f = make_forwarder(0);
        struct request request = {.url = leader.url,
                                  .method = "PUT",
                                  .target = "/v1/kv/a",
                                  .body = ldb_slice_str("v")};
        struct ldb_buf piece = LDB_BUF_INIT(16);
        struct repl_forward *forward;
        struct waiter waiter;

        waiter_init(&waiter);
        forward = begin(f, &request, &waiter);
        if (i % 3 > 0) {
            assert_int_equal(LDB_OK, ldb_buf_append_byte(&piece, 'v'));
            (void)repl_forward_give(forward, &piece);
        }
        if (i % 3 > 1) {
            wait_for_wake(&waiter);
            (void)repl_forward_end(forward);
        }
        repl_forward_close(forward);
        waiter_release(&waiter); /* who wakes now is seen by the sanitizers */
        ldb_buf_release(&piece);
        repl_forwarder_http_destroy(f);
    }
    (void)broken_stop(&leader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_answered_by_the_leader),
        cmocka_unit_test(bodies_of_any_length_and_form_arrive_whole),
        cmocka_unit_test(a_refusal_may_come_before_the_body),
        cmocka_unit_test(many_are_under_way_at_once),
        cmocka_unit_test(who_cannot_be_reached_was_sent_nothing),
        cmocka_unit_test(a_cut_after_the_request_is_unknown),
        cmocka_unit_test(
            a_kept_connection_that_dies_is_no_reason_to_send_again),
        cmocka_unit_test(silence_ends_after_a_while),
        cmocka_unit_test(the_end_wakes_who_waits),
        cmocka_unit_test(a_closed_one_is_cut),
    };

    return cmocka_run_group_tests_name("forwarder_http", tests, NULL, NULL);
}
