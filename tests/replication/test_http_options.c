/* Whom a transport may go to, before it goes; and how patiently. */
#include "replication/http_options.h"

#include <curl/curl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "replication/protocol.h"
#include "replication/transport_http.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/patience.h"
#include "tests/support/raw_server.h"

static struct repl_http_options good_options(void)
{
    struct repl_http_options options;

    repl_http_options_init(&options);
    options.env = ldb_env_posix();
    options.url = "http://leader:8080";
    return options;
}

static void urls_of_nodes_are_taken_and_no_others(void **state)
{
    static const struct {
        const char *url;
        const char *complaint; /* NULL: none */
    } rows[] = {
        {"http://leader", NULL},
        {"http://leader:8080/", NULL},
        {"https://10.0.0.1:8443", NULL},
        {"http://[::1]:8080", NULL},
        {NULL, "no URL"},
        {"", "no URL"},
        {"leader:8080", "URL"},
        {"ftp://leader", "neither http nor https"},
        {"file:///etc/passwd", "URL"},
        {"http://", "no URL"},
        {"http://leader:99999", "no URL"},
        {"http://leader/v1", "more than a host"},
        {"http://leader/?a=b", "more than a host"},
        {"http://leader/#a", "more than a host"},
        {"http://user@leader", "use a token"},
        {"http://user:secret@leader", "use a token"},
        {"http://lea der", "no URL"},
        {"http://leader\r\nX: y", "no URL"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_http_options options = good_options();
        struct ldb_error err = {0};
        enum ldb_status s;

        options.url = rows[i].url;
        s = repl_http_options_check(&options, &err);
        if (s != (rows[i].complaint == NULL ? LDB_OK : LDB_INVALID_ARGUMENT))
            fail_msg("%s: %s", rows[i].url, err.message);
        if (rows[i].complaint != NULL &&
            strstr(err.message, rows[i].complaint) == NULL)
            fail_msg("%s: %s", rows[i].url, err.message);
        /* Nothing secret gets into a log. */
        assert_null(strstr(err.message, "secret"));
    }
}

static void a_folder_has_a_path(void **state)
{
    static const struct {
        const char *url;
        const char *complaint; /* NULL: none */
    } rows[] = {
        {"http://web", NULL},
        {"http://web/copy", NULL},
        {"https://web:8443/a/b/", NULL},
        {"http://web/copy?a=b", "more than a host and a path"},
        {"http://web/copy#a", "more than a host and a path"},
        {"http://user@web/copy", "with a user"},
        {"ftp://web/copy", "neither http nor https"},
        {"", "no URL"},
    };
    struct repl_http_options options = good_options();

    (void)state;
    options.is_folder = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error err = {0};

        options.url = rows[i].url;
        if (rows[i].complaint == NULL) {
            assert_ldb_ok(repl_http_options_check(&options, &err), &err);
            continue;
        }
        assert_ldb_status(LDB_INVALID_ARGUMENT,
                          repl_http_options_check(&options, &err), &err);
        assert_ldb_message(rows[i].complaint, &err);
    }
}

static void a_url_has_a_limit(void **state)
{
    static char url[REPL_URL_SIZE + 1];
    struct repl_http_options options = good_options();
    struct ldb_error err = {0};

    (void)state;
    memset(url, 'a', sizeof(url));
    memcpy(url, "http://", 7);
    options.url = url;
    url[REPL_URL_SIZE - 1] = '\0';
    assert_ldb_ok(repl_http_options_check(&options, &err), &err);
    url[REPL_URL_SIZE - 1] = 'a';
    url[REPL_URL_SIZE] = '\0';
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      repl_http_options_check(&options, &err), &err);
}

static void a_token_is_one_header_value(void **state)
{
    static const char *const bad[] = {"", "a b", "a\r\nX: y", "a\x7f",
                                      "\xc3\xa9"};
    struct repl_http_options options = good_options();
    struct ldb_error err = {0};

    (void)state;
    options.token = "AZaz09-._~+/=";
    assert_ldb_ok(repl_http_options_check(&options, &err), &err);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        options.token = bad[i];
        assert_ldb_status(LDB_INVALID_ARGUMENT,
                          repl_http_options_check(&options, &err), &err);
        assert_ldb_message("token", &err);
    }
}

static void a_certificate_has_its_key(void **state)
{
    struct repl_http_options options = good_options();
    struct ldb_error err = {0};

    (void)state;
    options.cert_file = "cert";
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      repl_http_options_check(&options, &err), &err);
    options.key_file = "key";
    assert_ldb_ok(repl_http_options_check(&options, &err), &err);
    options.cert_file = NULL;
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      repl_http_options_check(&options, &err), &err);
}

static void every_time_is_limited(void **state)
{
    static const uint64_t day_us = UINT64_C(86400) * 1000000;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct repl_http_options options = good_options();
        struct ldb_error err = {0};
        uint64_t *limits[] = {
            &options.connect_timeout_us, &options.head_timeout_us,
            &options.digest_timeout_us, &options.low_speed_us};

        *limits[i] = day_us;
        assert_ldb_ok(repl_http_options_check(&options, &err), &err);
        *limits[i] = day_us + 1;
        assert_ldb_status(LDB_INVALID_ARGUMENT,
                          repl_http_options_check(&options, &err), &err);
        *limits[i] = 0;
        assert_ldb_status(LDB_INVALID_ARGUMENT,
                          repl_http_options_check(&options, &err), &err);
    }
}

static void a_copy_is_its_own(void **state)
{
    struct repl_http_options options = good_options();
    struct repl_http_options copy = {0};
    struct ldb_error err = {0};
    char url[] = "http://leader";
    uint64_t n;

    (void)state;
    options.url = url;
    options.token = "t";
    options.ca_file = "ca";
    options.cert_file = "cert";
    options.key_file = "key";
    for (n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_http_options_copy(&options, &err, &copy);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_null(copy.url);
    }
    assert_int_equal(6, n);
    memset(url, 'x', sizeof(url) - 1);
    assert_string_equal("http://leader", copy.url);
    assert_string_equal("key", copy.key_file);
    assert_int_equal(options.low_speed_us, copy.low_speed_us);
    repl_http_options_release(&copy);
    assert_null(copy.url);
    repl_http_options_release(&copy);
}

static void a_handle_takes_all_of_them(void **state)
{
    struct repl_http_options options = good_options();
    CURL *easy = curl_easy_init();

    (void)state;
    assert_non_null(easy);
    options.ca_file = "ca";
    options.cert_file = "cert";
    options.key_file = "key";
    assert_int_equal(CURLE_OK, repl_http_options_apply(&options, easy));
    curl_easy_cleanup(easy);
}

/* On the socket of a handle that has connected. */
static unsigned untaken_ms(CURL *easy)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    unsigned ms = 0;
    socklen_t size = sizeof(ms);

    assert_int_equal(CURLE_OK,
                     curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd));
    assert_int_equal(0,
                     getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &size));
    return ms;
}

static void a_connection_ends_when_nothing_is_taken(void **state)
{
    struct raw_server *server = raw_server_start(NULL);
    struct repl_http_options options = good_options();
    CURL *easy = curl_easy_init();

    (void)state;
    assert_non_null(easy);
    assert_int_equal(CURLE_OK, repl_http_options_apply(&options, easy));
    assert_int_equal(
        CURLE_OK, curl_easy_setopt(easy, CURLOPT_URL, raw_server_url(server)));
    assert_int_equal(CURLE_OK,
                     curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L));
    assert_int_equal(CURLE_OK, curl_easy_perform(easy));
    assert_int_equal(10000, untaken_ms(easy));
    curl_easy_cleanup(easy);
    raw_server_stop(server);
}

/* ---- a name server that does not answer ---- */

/*
 * libcurl asks for a name on a thread of its own, by the getaddrinfo() below:
 * it answers when the test lets it, so a request that ends before has not
 * waited for it.
 */
static sem_t is_asked;
static sem_t may_answer;
static sem_t has_answered;
static atomic_bool is_tired; /* it was never let to: somebody waits for it */

/* Whether it came, or the test's patience ended. */
static bool wait_for(sem_t *sem)
{
    struct timespec limit = {0};

    (void)clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += PATIENCE_S;
    return sem_timedwait(sem, &limit) == 0;
}

/* In place of the C library's, also for libcurl. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the names
 * of its declaration are reserved. */
__attribute__((visibility("default"))) int
getaddrinfo(const char *restrict name, const char *restrict service,
            const struct addrinfo *restrict hints,
            struct addrinfo **restrict out)
{
    (void)name;
    (void)service;
    (void)hints;
    (void)out;
    (void)sem_post(&is_asked);
    if (!wait_for(&may_answer))
        atomic_store(&is_tired, true);
    (void)sem_post(&has_answered);
    return EAI_AGAIN;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

struct asking {
    struct repl_peer *peer;
    struct repl_transport *t;
};

/* The request ends with that; the name server has not answered by then. */
static void expect_unanswered(const struct repl_http_options *options,
                              void (*meanwhile)(void *context),
                              enum ldb_status expected)
{
    struct ldb_env *env = options->env;
    struct ldb_buf out = LDB_BUF_INIT(1 << 20);
    struct ldb_slice none = {0};
    struct ldb_thread *thread = NULL;
    struct asking asking = {0};
    struct ldb_error err = {0};
    unsigned http = 0;

    assert_int_equal(0, sem_init(&is_asked, 0, 0));
    assert_int_equal(0, sem_init(&may_answer, 0, 0));
    assert_int_equal(0, sem_init(&has_answered, 0, 0));
    assert_ldb_ok(repl_http_peer_create(options, &err, &asking.peer), &err);
    assert_ldb_ok(asking.peer->open(asking.peer, &err, &asking.t), &err);
    assert_ldb_ok(env->ops->thread_start(env, "meanwhile", meanwhile, &asking,
                                         &err, &thread),
                  &err);
    assert_int_equal(expected,
                     asking.t->ops->call(asking.t, "/v1/replication/state",
                                         none, &err, &out, &http));
    env->ops->thread_join(env, thread);
    asking.t->ops->destroy(asking.t);
    repl_peer_destroy(asking.peer);
    assert_false(atomic_load(&is_tired));
    assert_int_equal(0, sem_post(&may_answer));
    assert_true(wait_for(&has_answered));
    ldb_buf_release(&out);
}

static void wait_alone(void *context)
{
    (void)context;
    (void)wait_for(&is_asked);
}

static void a_limit_of_time_does_not_wait_for_the_name(void **state)
{
    struct repl_http_options options = good_options();

    (void)state;
    options.connect_timeout_us = UINT64_C(50000);
    /* Nothing was sent. */
    expect_unanswered(&options, wait_alone, LDB_STALLED);
}

static void wait_and_interrupt(void *context)
{
    struct asking *asking = context;

    (void)wait_for(&is_asked);
    asking->t->ops->interrupt(asking->t);
}

static void an_interrupt_does_not_wait_for_the_name(void **state)
{
    struct repl_http_options options = good_options();

    (void)state;
    options.connect_timeout_us = PATIENCE_US;
    options.head_timeout_us = PATIENCE_US;
    expect_unanswered(&options, wait_and_interrupt, LDB_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_of_nodes_are_taken_and_no_others),
        cmocka_unit_test(a_folder_has_a_path),
        cmocka_unit_test(a_url_has_a_limit),
        cmocka_unit_test(a_token_is_one_header_value),
        cmocka_unit_test(a_certificate_has_its_key),
        cmocka_unit_test(every_time_is_limited),
        cmocka_unit_test(a_copy_is_its_own),
        cmocka_unit_test(a_handle_takes_all_of_them),
        cmocka_unit_test(a_connection_ends_when_nothing_is_taken),
        cmocka_unit_test(a_limit_of_time_does_not_wait_for_the_name),
        cmocka_unit_test(an_interrupt_does_not_wait_for_the_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
