/*
 * The real process: what its start line says, clean stops and kills, a folder
 * in use, signals while requests are under way. LEVELD_BIN names it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/http_client.h"
#include "tests/support/patience.h"
#include "tests/support/temp_dir.h"

/* What stands before the port in the start line. */
#define PREFIX "address=\"http://127.0.0.1:"

struct process {
    pid_t pid;
    int log; /* its standard error */
    char text[16384];
    size_t len;
    unsigned port;
};

static struct temp_dir folder;

static int setup(void **state)
{
    (void)state;
    temp_dir_create(&folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&folder);
    return 0;
}

/* Whether the log has a whole line with part in it. */
static bool has_line(const struct process *p, const char *part)
{
    const char *at = strstr(p->text, part);

    return at != NULL && strchr(at, '\n') != NULL;
}

/* Reads the log until it has such a line, or to the end; false at its end. */
static bool read_log(struct process *p, const char *part)
{
    while (part == NULL || !has_line(p, part)) {
        struct pollfd fd = {.fd = p->log, .events = POLLIN};
        ssize_t n;

        if (poll(&fd, 1, PATIENCE_S * 1000) != 1)
            fail_msg("nothing more after \"%s\"", p->text);
        n = read(p->log, p->text + p->len, sizeof p->text - 1 - p->len);
        if (n <= 0)
            return false;
        p->len += (size_t)n;
        p->text[p->len] = '\0';
    }
    return true;
}

static struct process launch(const char *flag)
{
    char data[TEMP_DIR_PATH_SIZE + 8];
    char extra[64];
    char *argv[] = {getenv("LEVELD_BIN"),
                    (char[]){"serve"},
                    data,
                    (char[]){"--listen=127.0.0.1:0"},
                    extra,
                    NULL};
    struct process p = {.log = -1};
    int ends[2];

    snprintf(data, sizeof data, "--data=%s", folder.path);
    snprintf(extra, sizeof extra, "%s", flag);
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    p.pid = fork();
    assert_true(p.pid >= 0);
    if (p.pid == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        if (argv[0] != NULL)
            execv(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    p.log = ends[0];
    return p;
}

static struct process start_with(const char *flag)
{
    struct process p = launch(flag);
    const char *address;

    if (!read_log(&p, "event=started"))
        fail_msg("did not start: %s", p.text);
    address = strstr(p.text, PREFIX);
    assert_non_null(address);
    p.port = (unsigned)strtoul(address + strlen(PREFIX), NULL, 10);
    assert_true(p.port != 0);
    return p;
}

static struct process start(void)
{
    return start_with("--create");
}

/* Waits for its end; the exit code, or minus the signal. */
static int finish(struct process *p)
{
    int status = 0;

    (void)read_log(p, NULL);
    assert_int_equal(p->pid, waitpid(p->pid, &status, 0));
    close(p->log);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void assert_log(const struct process *p, const char *part)
{
    if (strstr(p->text, part) == NULL)
        fail_msg("no \"%s\" in \"%s\"", part, p->text);
}

/* SIGTERM must end it cleanly. */
static void stop(struct process *p)
{
    kill(p->pid, SIGTERM);
    assert_int_equal(0, finish(p));
    assert_log(p, "event=stopped");
}

static void put(const struct process *p, const char *target, const char *text)
{
    struct http_client *client = http_client_over_tcp(p->port);

    http_put(client, target, text);
    http_client_destroy(client);
}

static void expect(const struct process *p, const char *target,
                   const char *text)
{
    struct http_client *client = http_client_over_tcp(p->port);

    http_expect_body(client, target, text);
    http_client_destroy(client);
}

static void a_clean_stop_keeps_the_epoch(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct process p = start();

    (void)state;
    assert_log(&p, " epoch=1 new_epoch=\"yes\"");
    put(&p, "/v1/kv/a", "1");
    put(&p, "/v1/kv/b?sync=false", "2");
    for (size_t i = 0; i < 2; i++) {
        kill(p.pid, signals[i]);
        assert_int_equal(0, finish(&p));
        p = start();
        assert_log(&p, " epoch=1 new_epoch=\"no\"");
        expect(&p, "/v1/kv/a", "1");
        expect(&p, "/v1/kv/b", "2");
    }
    stop(&p);
}

static void a_kill_begins_a_new_epoch(void **state)
{
    struct process p = start();

    (void)state;
    put(&p, "/v1/kv/a", "1");
    kill(p.pid, SIGKILL);
    assert_int_equal(-SIGKILL, finish(&p));
    p = start();
    assert_log(&p, " epoch=2 new_epoch=\"yes\"");
    assert_log(&p, " sequence=4294967297 ");
    expect(&p, "/v1/kv/a", "1");
    stop(&p);
}

static void a_folder_in_use_is_refused_naming_its_holder(void **state)
{
    struct process p = start();
    struct process second = launch("--create");
    char holder[32];

    (void)state;
    assert_int_equal(1, finish(&second));
    assert_log(&second, "event=start-failed status=\"locked\"");
    snprintf(holder, sizeof holder, "pid %d", (int)p.pid);
    assert_log(&second, holder);
    put(&p, "/v1/kv/a", "1");
    stop(&p);
}

static void bad_options_are_refused_with_code_2(void **state)
{
    struct process p = launch("--nonsense");

    (void)state;
    assert_int_equal(2, finish(&p));
    assert_log(&p, "--nonsense");
    p = launch("--role=follower");
    assert_int_equal(2, finish(&p));
    assert_log(&p, "go together");
}

/* ---- signals while a request is under way ---- */

static int connect_to(const struct process *p)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)p->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(0,
                     connect(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}

static void send_text(int fd, const char *text)
{
    size_t len = strlen(text);

    assert_int_equal(len, send(fd, text, len, MSG_NOSIGNAL));
}

static void read_until(int fd, char *out, size_t size, const char *part)
{
    size_t len = 0;

    out[0] = '\0';
    while (strstr(out, part) == NULL) {
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);

        if (n <= 0)
            fail_msg("no \"%s\" in \"%s\"", part, out);
        len += (size_t)n;
        out[len] = '\0';
    }
}

/* A PUT whose head the server has, and half of its body. */
static int begin_put(const struct process *p)
{
    int fd = connect_to(p);
    char answer[4096];

    send_text(fd, "PUT /v1/kv/late HTTP/1.1\r\nHost: a\r\n"
                  "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    read_until(fd, answer, sizeof answer, "100 Continue");
    send_text(fd, "01234");
    return fd;
}

static void an_accepted_write_is_finished_before_the_stop(void **state)
{
    struct process p = start();
    int fd = begin_put(&p);
    char answer[4096];

    (void)state;
    kill(p.pid, SIGTERM);
    assert_true(read_log(&p, "event=stopping"));
    send_text(fd, "56789");
    read_until(fd, answer, sizeof answer, "\r\n\r\n");
    assert_non_null(strstr(answer, "HTTP/1.1 204"));
    assert_non_null(strstr(answer, "Connection: close"));
    close(fd);
    assert_int_equal(0, finish(&p));
    p = start();
    assert_log(&p, " epoch=1 new_epoch=\"no\"");
    expect(&p, "/v1/kv/late", "0123456789");
    stop(&p);
}

static void the_stop_timeout_cuts_what_does_not_end(void **state)
{
    struct process p = start_with("--stop-timeout=100ms");
    int fd = begin_put(&p);

    (void)state;
    stop(&p);
    assert_log(&p, "reason=\"stop timeout\"");
    close(fd);
}

static void a_second_signal_stops_at_once(void **state)
{
    struct process p = start_with("--stop-timeout=1h");
    int fd = begin_put(&p);

    (void)state;
    kill(p.pid, SIGTERM);
    assert_true(read_log(&p, "event=stopping"));
    stop(&p);
    assert_log(&p, "reason=\"second signal\"");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_clean_stop_keeps_the_epoch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_kill_begins_a_new_epoch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_folder_in_use_is_refused_naming_its_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_options_are_refused_with_code_2,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_accepted_write_is_finished_before_the_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stop_timeout_cuts_what_does_not_end,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_signal_stops_at_once, setup,
                                        teardown),
    };

    if (getenv("LEVELD_BIN") == NULL) {
        fputs("LEVELD_BIN is not set\n", stderr);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
