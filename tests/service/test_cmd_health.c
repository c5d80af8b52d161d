/* leveld health as a container's check runs it: what it asks, prints and exits
 * with. LEVELD_BIN names the program. */
#include "service/cmd_health.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/env.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/program.h"
#include "tests/support/raw_server.h"
#include "tests/support/temp_dir.h"

#define OUTPUT_MAX 4096

#define READY                                                                  \
    "HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n"                            \
    "{\"ready\":true,\"role\":\"leader\"}\n\n"

struct fixture {
    struct raw_server *server;
    struct ldb_buf request;
    char output[OUTPUT_MAX];
};

static int setup(void **state)
{
    static struct fixture f;

    f.server = raw_server_start(NULL);
    f.request = (struct ldb_buf)LDB_BUF_INIT(65536);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    raw_server_stop(f->server);
    ldb_buf_release(&f->request);
    return 0;
}

/* Runs "leveld health ARGUMENTS", both outputs into f->output; the exit code.
 */
#define health(f, ...)                                                         \
    program_run((f)->output, sizeof((f)->output), "health " __VA_ARGS__)

/* The first line of the request with that index. */
static void expect_request(struct fixture *f, size_t index, const char *line)
{
    const char *text = raw_server_request(f->server, index, &f->request);

    if (strncmp(text, line, strlen(line)) != 0)
        fail_msg("not \"%s\" but:\n%s", line, text);
}

static void a_node_that_is_ready_exits_0(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(f->server, READY, RAW_SERVER_CLOSE);
    assert_int_equal(health(f, "%s", raw_server_url(f->server)), 0);
    assert_string_equal(f->output, "{\"ready\":true,\"role\":\"leader\"}\n\n");
    expect_request(f, 0, "GET /readyz HTTP/1.1\r\n");
}

static void the_path_may_be_another(void **state)
{
    static const struct {
        const char *path;
        const char *line;
    } rows[] = {
        {"/", "GET /readyz HTTP/1.1\r\n"},
        {"/healthz", "GET /healthz HTTP/1.1\r\n"},
        {"/a/b?c=d", "GET /a/b?c=d HTTP/1.1\r\n"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        raw_server_answer(f->server, READY, RAW_SERVER_CLOSE);
        assert_int_equal(
            health(f, "'%s%s'", raw_server_url(f->server), rows[i].path), 0);
        expect_request(f, i, rows[i].line);
    }
}

static void what_is_not_ready_says_why_and_exits_1(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(f->server,
                      "HTTP/1.1 503 Service Unavailable\r\n"
                      "Content-Type: application/problem+json\r\n"
                      "Content-Length: 59\r\n\r\n"
                      "{\"type\":\"/problems/lagging\",\"detail\":\"it is 12 s "
                      "behind.\"} ",
                      RAW_SERVER_CLOSE);
    assert_int_equal(health(f, "%s", raw_server_url(f->server)), 1);
    program_expect(f->output,
                   "leveld health: /readyz: answered 503 lagging: it is 12 s "
                   "behind.\n");
}

static void nobody_there_exits_1(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(health(f, "http://127.0.0.1:1"), 1);
    program_expect(f->output, "leveld health: /readyz: ");
}

static void silence_is_not_waited_for_long(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(f->server, "HTTP/1.1 200 OK\r\n", RAW_SERVER_HOLD);
    assert_int_equal(health(f, "%s", raw_server_url(f->server)), 1);
    program_expect(f->output, "leveld health: /readyz: ");
}

static void wrong_words_exit_2(void **state)
{
    static const char *const rows[] = {
        "",
        "127.0.0.1:8080",
        "ftp://127.0.0.1:8080",
        "http://127.0.0.1:1 http://127.0.0.1:2",
        "--wrong http://127.0.0.1:1",
        "http://127.0.0.1:1 --ca",
        "http://127.0.0.1:1 --cert c.pem",
        "http://user:secret@127.0.0.1:1",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (health(f, "%s", rows[i]) != 2)
            fail_msg("%s: %s", rows[i], f->output);
        program_expect(f->output, "leveld health: ");
        assert_null(strstr(f->output, "secret"));
    }
    assert_int_equal(health(f, "--help"), 0);
    program_expect(f->output, "Usage: leveld health URL");
}

/* ---- TLS ---- */

static void put_file(const char *path, const struct ldb_buf *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text->data, 1, text->len, file), text->len);
    assert_int_equal(fclose(file), 0);
}

static void a_certificate_has_to_be_of_the_authority(void **state)
{
    struct ldb_buf certificate = LDB_BUF_INIT(65536);
    struct ldb_buf key = LDB_BUF_INIT(65536);
    struct raw_server_tls tls = {0};
    struct fixture *f = *state;
    char ca[TEMP_DIR_PATH_SIZE];
    struct raw_server *server;
    struct temp_dir dir;

    raw_server_make_pair(&certificate, &key);
    tls.certificate = (const char *)certificate.data;
    tls.key = (const char *)key.data;
    server = raw_server_start(&tls);
    temp_dir_create(&dir);
    put_file(temp_dir_join(&dir, "ca.pem", ca), &certificate);

    raw_server_answer(server, READY, RAW_SERVER_CLOSE);
    assert_int_equal(health(f, "%s", raw_server_url(server)), 1);
    assert_int_equal(raw_server_requests(server), 0);
    assert_int_equal(health(f, "--ca %s %s", ca, raw_server_url(server)), 0);

    raw_server_stop(server);
    temp_dir_remove(&dir);
    ldb_buf_release(&certificate);
    ldb_buf_release(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_that_is_ready_exits_0, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_path_may_be_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_not_ready_says_why_and_exits_1,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there_exits_1, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_is_not_waited_for_long, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(wrong_words_exit_2, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_certificate_has_to_be_of_the_authority, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
