#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "service/signals.h"

static void signals_are_taken_one_by_one(void **state)
{
    struct ldb_error err = {0};
    struct pollfd fd = {.fd = -1, .events = POLLIN};

    (void)state;
    assert_int_equal(LDB_OK, svc_signals_open(&err, &fd.fd));
    assert_int_equal(0, svc_signals_take(fd.fd));
    assert_int_equal(0, kill(getpid(), SIGTERM));
    assert_int_equal(1, poll(&fd, 1, -1));
    assert_int_equal(SIGTERM, svc_signals_take(fd.fd));
    assert_int_equal(0, kill(getpid(), SIGINT));
    assert_int_equal(1, poll(&fd, 1, -1));
    assert_int_equal(SIGINT, svc_signals_take(fd.fd));
    assert_int_equal(0, kill(getpid(), SIGHUP));
    assert_int_equal(1, poll(&fd, 1, -1));
    assert_int_equal(SIGHUP, svc_signals_take(fd.fd));
    assert_int_equal(0, svc_signals_take(fd.fd));
    svc_signals_close(fd.fd);
}

static void a_broken_pipe_is_an_error_and_no_signal(void **state)
{
    struct ldb_error err = {0};
    int ends[2];
    int fd = -1;

    (void)state;
    assert_int_equal(LDB_OK, svc_signals_open(&err, &fd));
    assert_int_equal(0, pipe(ends));
    close(ends[0]);
    assert_int_equal(-1, write(ends[1], "x", 1));
    close(ends[1]);
    svc_signals_close(fd);
}

static void closing_lets_signals_through_again(void **state)
{
    struct ldb_error err = {0};
    sigset_t blocked;
    int fd = -1;

    (void)state;
    assert_int_equal(LDB_OK, svc_signals_open(&err, &fd));
    assert_int_equal(0, pthread_sigmask(SIG_BLOCK, NULL, &blocked));
    assert_int_equal(1, sigismember(&blocked, SIGTERM));
    svc_signals_close(fd);
    assert_int_equal(0, pthread_sigmask(SIG_BLOCK, NULL, &blocked));
    assert_int_equal(0, sigismember(&blocked, SIGTERM));
    svc_signals_close(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_are_taken_one_by_one),
        cmocka_unit_test(a_broken_pipe_is_an_error_and_no_signal),
        cmocka_unit_test(closing_lets_signals_through_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
