/*
 * Requests over loopback to a server that answers to the byte as a test says.
 * Limits of time that are to run out are short; the others are long.
 */
#include "replication/transport_http.h"

#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/raw_server.h"
#include "tests/support/temp_dir.h"

#define SHORT_US UINT64_C(100000)

#define NO_SUCH_FILE                                                           \
    "HTTP/1.1 404 Not Found\r\nContent-Length: 29\r\n\r\n"                     \
    "{\"detail\":\"it went, sorry.\"}\n"

struct fixture {
    struct raw_server *server;
    struct repl_http_options options;
    struct repl_peer *peer;
    struct repl_transport *t;
    struct ldb_buf out;
    struct ldb_error err;

    /* What came of a file. */
    struct repl_file_head head;
    unsigned heads;
    struct ldb_buf bytes;
    unsigned pieces;
    unsigned dries;
    size_t len_when_dry;
    enum ldb_status head_status; /* given back */
    enum ldb_status bytes_status;
    enum ldb_status dry_status;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->server = raw_server_start(NULL);
    repl_http_options_init(&f->options);
    f->options.env = ldb_env_posix();
    f->options.url = raw_server_url(f->server);
    f->out = (struct ldb_buf)LDB_BUF_INIT(1 << 20);
    f->bytes = (struct ldb_buf)LDB_BUF_INIT(1 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->t != NULL)
        f->t->ops->destroy(f->t);
    repl_peer_destroy(f->peer);
    raw_server_stop(f->server);
    ldb_buf_release(&f->out);
    ldb_buf_release(&f->bytes);
    free(f);
    return 0;
}

/* Once the options are as the test wants them. */
static void open_transport(struct fixture *f)
{
    assert_ldb_ok(repl_http_peer_create(&f->options, &f->err, &f->peer),
                  &f->err);
    if (f->peer == NULL) /* never, as the next: for who analyses it */
        abort();
    assert_ldb_ok(f->peer->open(f->peer, &f->err, &f->t), &f->err);
    if (f->t == NULL)
        abort();
}

static enum ldb_status call(struct fixture *f, const char *path,
                            const char *body, unsigned *out_http)
{
    struct ldb_slice none = {0};

    if (f->t == NULL)
        open_transport(f);
    return f->t->ops->call(f->t, path,
                           body == NULL ? none : ldb_slice_str(body), &f->err,
                           &f->out, out_http);
}

static void expect_call(struct fixture *f, const char *path, unsigned http,
                        const char *answer)
{
    unsigned got = 0;

    assert_ldb_ok(call(f, path, NULL, &got), &f->err);
    assert_int_equal(http, got);
    assert_ldb_slice(ldb_slice_str(answer), ldb_slice_of_buf(&f->out));
}

/* ---- files ---- */

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *head,
                                 struct ldb_error *err)
{
    struct fixture *f = context;

    f->heads++;
    f->head = *head;
    if (f->head_status == LDB_OK)
        return LDB_OK;
    return ldb_error_set(err, f->head_status, "of the head");
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct fixture *f = context;

    assert_true(f->heads > 0);
    f->pieces++;
    assert_ldb_ok(ldb_buf_append(&f->bytes, bytes), NULL);
    if (f->bytes_status == LDB_OK)
        return LDB_OK;
    return ldb_error_set(err, f->bytes_status, "of the bytes");
}

static enum ldb_status take_dry(void *context, struct ldb_error *err)
{
    struct fixture *f = context;

    f->dries++;
    f->len_when_dry = f->bytes.len;
    if (f->dry_status == LDB_OK)
        return LDB_OK;
    return ldb_error_set(err, f->dry_status, "of the end");
}

static enum ldb_status get(struct fixture *f, const char *name, uint64_t from,
                           bool follow, uint64_t idle_us)
{
    struct repl_get get = {
        .name = name,
        .from = from,
        .follow = follow,
        .idle_us = idle_us,
        .head = take_head,
        .bytes = take_bytes,
        .dry = follow ? take_dry : NULL,
        .context = f,
    };

    if (f->t == NULL)
        open_transport(f);
    ldb_buf_clear(&f->bytes);
    f->heads = 0;
    return f->t->ops->get(f->t, &get, &f->err);
}

/* The head of a request that the server got, its first line alone. */
static void assert_request(struct fixture *f, size_t index, const char *line)
{
    const char *text = raw_server_request(f->server, index, &f->out);
    size_t len = strcspn(text, "\r");

    assert_ldb_slice(ldb_slice_str(line), ldb_slice_make(text, len));
}

static bool request_has(struct fixture *f, size_t index, const char *text)
{
    return strstr(raw_server_request(f->server, index, &f->out), text) != NULL;
}

/* ---- calls ---- */

static void a_call_gives_the_answer_whatever_it_is(void **state)
{
    struct fixture *f = *state;

    f->options.token = "sesame";
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                      RAW_SERVER_KEEP);
    raw_server_answer(f->server, NO_SUCH_FILE, RAW_SERVER_KEEP);
    raw_server_answer(f->server,
                      "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                      "Content-Length: 0\r\n\r\n",
                      RAW_SERVER_KEEP);
    raw_server_answer(f->server, "HTTP/1.1 204 No Content\r\n\r\n",
                      RAW_SERVER_KEEP);
    expect_call(f, "/v1/replication/state", 200, "hi");
    expect_call(f, "/a", 404, "{\"detail\":\"it went, sorry.\"}\n");
    expect_call(f, "/b", 302, "");
    expect_call(f, "/c", 204, "");
    /* All on one connection. */
    assert_int_equal(1, raw_server_connections(f->server));
    assert_request(f, 0, "GET /v1/replication/state HTTP/1.1");
    assert_true(request_has(f, 0, "\r\nAuthorization: Bearer sesame\r\n"));
    assert_true(request_has(f, 0, "\r\nAccept: application/json\r\n"));
}

static void a_body_is_posted(void **state)
{
    struct fixture *f = *state;
    unsigned http = 0;

    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                      RAW_SERVER_KEEP);
    assert_ldb_ok(call(f, "/v1/replication/ack", "{\"a\":1}", &http), &f->err);
    assert_int_equal(200, http);
    assert_request(f, 0, "POST /v1/replication/ack HTTP/1.1");
    assert_true(request_has(f, 0, "\r\nContent-Type: application/json\r\n"));
    assert_true(request_has(f, 0, "\r\nContent-Length: 7\r\n"));
    assert_true(request_has(f, 0, "\r\n\r\n{\"a\":1}"));
    assert_false(request_has(f, 0, "Expect"));
    assert_false(request_has(f, 0, "Authorization"));
}

static void the_body_of_an_answer_has_a_limit(void **state)
{
    struct fixture *f = *state;
    struct ldb_slice none = {0};
    struct ldb_buf small = LDB_BUF_INIT(10);
    unsigned http = 0;

    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
                      RAW_SERVER_KEEP);
    raw_server_answer(
        f->server, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789a",
        RAW_SERVER_KEEP);
    open_transport(f);
    assert_ldb_ok(f->t->ops->call(f->t, "/", none, &f->err, &small, &http),
                  &f->err);
    assert_int_equal(10, small.len);
    assert_ldb_status(LDB_TOO_LARGE,
                      f->t->ops->call(f->t, "/", none, &f->err, &small, &http),
                      &f->err);
    ldb_buf_release(&small);
}

static void what_is_no_whole_answer_is_an_error(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        enum raw_server_after after;
    } rows[] = {
        {"nothing", "", RAW_SERVER_CLOSE},
        {"a reset", "", RAW_SERVER_RESET},
        {"half a head", "HTTP/1.1 200 OK\r\nContent-Le", RAW_SERVER_CLOSE},
        {"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
         RAW_SERVER_CLOSE},
        {"half a body, reset", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
         RAW_SERVER_RESET},
        {"half of the chunks",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
         RAW_SERVER_CLOSE},
        {"no chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhi",
         RAW_SERVER_CLOSE},
        {"an end that may be a cut", "HTTP/1.1 200 OK\r\n\r\nhi",
         RAW_SERVER_CLOSE},
        {"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", RAW_SERVER_CLOSE},
        {"compressed",
         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
         "Content-Length: 2\r\n\r\nhi",
         RAW_SERVER_KEEP},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned http = 0;
        enum ldb_status s;

        raw_server_answer(f->server, rows[i].text, rows[i].after);
        s = call(f, "/x", NULL, &http);
        if (s != LDB_IO || strstr(f->err.message, "/x: ") == NULL)
            fail_msg("%s: %d %s", rows[i].name, (int)s, f->err.message);
    }
    /* After all of them it is as good as new. */
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "2\r\nhi\r\n0\r\n\r\n",
                      RAW_SERVER_CLOSE);
    expect_call(f, "/", 200, "hi");
}

static void nobody_there_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct raw_server *gone = raw_server_start(NULL);
    char url[64];
    unsigned http = 0;

    (void)snprintf(url, sizeof(url), "%s", raw_server_url(gone));
    raw_server_stop(gone);
    f->options.url = url;
    assert_ldb_status(LDB_STALLED, call(f, "/", NULL, &http), &f->err);
    assert_ldb_message(url, &f->err);
}

/* A leader whose name is not there yet when its follower starts. */
static void a_name_that_is_not_known_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    unsigned http = 0;

    /* A label that is too long: nobody is asked for it. */
    f->options.url =
        "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaa.invalid:80";
    for (unsigned i = 0; i < 3; i++) {
        assert_ldb_status(LDB_STALLED, call(f, "/", NULL, &http), &f->err);
        assert_ldb_message("resolve", &f->err);
    }
}

static void a_head_that_has_no_end_is_cut(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf head = LDB_BUF_INIT(1 << 20);
    unsigned http = 0;

    assert_ldb_ok(ldb_buf_printf(&head, "HTTP/1.1 200 OK\r\n"), NULL);
    for (unsigned i = 0; i < 2000; i++)
        assert_ldb_ok(ldb_buf_printf(&head, "X-Header-%u: %060u\r\n", i, i),
                      NULL);
    assert_ldb_ok(ldb_buf_append_byte(&head, '\0'), NULL);
    raw_server_answer(f->server, (const char *)head.data, RAW_SERVER_CLOSE);
    assert_ldb_status(LDB_IO, call(f, "/", NULL, &http), &f->err);
    assert_ldb_message("too long", &f->err);
    ldb_buf_release(&head);
}

static void no_proxy_of_the_environment_is_asked(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(0, setenv("http_proxy", "http://127.0.0.1:1", 1));
    assert_int_equal(0, setenv("ALL_PROXY", "http://127.0.0.1:1", 1));
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                      RAW_SERVER_KEEP);
    expect_call(f, "/", 200, "hi");
    assert_int_equal(0, unsetenv("http_proxy"));
    assert_int_equal(0, unsetenv("ALL_PROXY"));
}

/* ---- limits of time ---- */

static void an_answer_that_does_not_begin_is_given_up(void **state)
{
    struct fixture *f = *state;
    unsigned http = 0;

    f->options.head_timeout_us = SHORT_US;
    raw_server_answer(f->server, "HTTP/1.1 200 OK\r\nContent-",
                      RAW_SERVER_HOLD);
    assert_ldb_status(LDB_IO, call(f, "/", NULL, &http), &f->err);
    assert_ldb_message("no answer within 100 ms", &f->err);
}

static void a_head_may_take_as_long_as_a_digest(void **state)
{
    struct fixture *f = *state;
    struct repl_file_head head;

    f->options.digest_timeout_us = SHORT_US;
    raw_server_answer(f->server, "", RAW_SERVER_HOLD);
    open_transport(f);
    assert_ldb_status(
        LDB_IO, f->t->ops->head(f->t, "000009.ldb", &f->err, &head), &f->err);
    assert_ldb_message("no answer within 100 ms", &f->err);
}

static void an_answer_that_is_too_slow_is_given_up(void **state)
{
    struct fixture *f = *state;
    unsigned http = 0;

    f->options.low_speed_us = SHORT_US;
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhi",
                      RAW_SERVER_HOLD);
    assert_ldb_status(LDB_IO, call(f, "/", NULL, &http), &f->err);
    assert_ldb_message("slower than 1024 bytes a second", &f->err);
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhi",
                      RAW_SERVER_HOLD);
    assert_ldb_status(LDB_IO, get(f, "000009.ldb", 0, false, 0), &f->err);
    assert_ldb_message("slower than", &f->err);
    assert_ldb_bytes("hi", ldb_slice_of_buf(&f->bytes));
}

static void a_followed_file_may_be_silent(void **state)
{
    struct fixture *f = *state;

    f->options.low_speed_us = SHORT_US / 10;
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nLeveld-Size: 2\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
                      RAW_SERVER_HOLD);
    assert_ldb_ok(get(f, "000007.log", 0, true, SHORT_US), &f->err);
    assert_ldb_bytes("hi", ldb_slice_of_buf(&f->bytes));
    assert_int_equal(1, f->dries);
    assert_int_equal(2, f->len_when_dry);
}

static void a_followed_file_that_does_not_begin_is_given_up(void **state)
{
    struct fixture *f = *state;

    f->options.head_timeout_us = SHORT_US;
    raw_server_answer(f->server, "", RAW_SERVER_HOLD);
    assert_ldb_status(LDB_IO, get(f, "000007.log", 0, true, 1), &f->err);
    assert_int_equal(0, f->heads);
}

/* ---- files ---- */

static void a_file_comes_with_its_head(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(
        f->server,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nLeveld-Sealed: true\r\n"
        "Leveld-Epoch: 3\r\nLeveld-Epoch-Id: 00000000000000ff\r\n"
        "Repr-Digest: xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:\r\n\r\nhello",
        RAW_SERVER_KEEP);
    assert_ldb_ok(get(f, "000009.ldb", 0, false, 0), &f->err);
    assert_ldb_bytes("hello", ldb_slice_of_buf(&f->bytes));
    assert_int_equal(1, f->heads);
    assert_int_equal(5, f->head.size);
    assert_true(f->head.is_sealed);
    assert_int_equal(3, f->head.epoch);
    assert_int_equal(255, f->head.epoch_id);
    assert_true(f->head.has_digest);
    assert_int_equal(15, f->head.digest.bytes[15]);
    assert_request(f, 0, "GET /v1/replication/files/000009.ldb HTTP/1.1");
    assert_false(request_has(f, 0, "Range"));
}

static void a_head_is_asked_for_alone(void **state)
{
    struct fixture *f = *state;
    struct repl_file_head head = {0};

    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                      "Leveld-Sealed: true\r\n\r\n",
                      RAW_SERVER_KEEP);
    raw_server_answer(f->server,
                      "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n",
                      RAW_SERVER_KEEP);
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                      RAW_SERVER_KEEP);
    open_transport(f);
    assert_ldb_ok(f->t->ops->head(f->t, "000009.ldb", &f->err, &head), &f->err);
    assert_int_equal(5, head.size);
    assert_true(head.is_sealed);
    assert_ldb_status(LDB_NOT_FOUND,
                      f->t->ops->head(f->t, "000010.ldb", &f->err, &head),
                      &f->err);
    expect_call(f, "/", 200, "hi");
    assert_request(f, 0, "HEAD /v1/replication/files/000009.ldb HTTP/1.1");
    assert_int_equal(1, raw_server_connections(f->server));
}

static void a_part_is_asked_for_by_its_range(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(f->server,
                      "HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n"
                      "Content-Range: bytes 3-4/5\r\n\r\nlo",
                      RAW_SERVER_KEEP);
    assert_ldb_ok(get(f, "000009.ldb", 3, false, 0), &f->err);
    assert_ldb_bytes("lo", ldb_slice_of_buf(&f->bytes));
    assert_int_equal(5, f->head.size);
    assert_true(request_has(f, 0, "\r\nRange: bytes=3-\r\n"));
}

static enum ldb_status get_count(struct fixture *f, const char *name,
                                 uint64_t from, uint64_t count)
{
    const struct repl_get get = {
        .name = name,
        .from = from,
        .count = count,
        .head = take_head,
        .bytes = take_bytes,
        .context = f,
    };

    if (f->t == NULL)
        open_transport(f);
    ldb_buf_clear(&f->bytes);
    return f->t->ops->get(f->t, &get, &f->err);
}

static void so_many_bytes_are_asked_for(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(f->server,
                      "HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n"
                      "Content-Range: bytes 3-4/9\r\n\r\nlo",
                      RAW_SERVER_KEEP);
    assert_ldb_ok(get_count(f, "000009.ldb", 3, 2), &f->err);
    assert_ldb_bytes("lo", ldb_slice_of_buf(&f->bytes));
    assert_int_equal(9, f->head.size);
    assert_true(request_has(f, 0, "\r\nRange: bytes=3-4\r\n"));
    /* From the first byte on a server may know of no ranges: the rest of what
     * it sends is not taken. */
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello, it",
                      RAW_SERVER_KEEP);
    assert_ldb_ok(get_count(f, "000009.ldb", 0, 5), &f->err);
    assert_ldb_bytes("hello", ldb_slice_of_buf(&f->bytes));
    assert_int_equal(9, f->head.size);
    assert_true(request_has(f, 1, "\r\nRange: bytes=0-4\r\n"));
    /* Fewer are there. */
    raw_server_answer(f->server,
                      "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n"
                      "Content-Range: bytes 3-3/4\r\n\r\nl",
                      RAW_SERVER_KEEP);
    assert_ldb_ok(get_count(f, "000009.ldb", 3, 5), &f->err);
    assert_ldb_bytes("l", ldb_slice_of_buf(&f->bytes));
}

static void a_folder_has_files_by_their_path(void **state)
{
    static const char *const none[] = {"", "/a", "../a", "leveld/../a", "a b"};
    struct fixture *f = *state;
    char *url = ldb_mem_printf("%s/copies/a/", raw_server_url(f->server));

    assert_non_null(url);
    f->options.url = url;
    f->options.is_folder = true;
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                      "Last-Modified: today\r\n\r\nhello",
                      RAW_SERVER_KEEP);
    assert_ldb_ok(get(f, "leveld/epochs", 0, false, 0), &f->err);
    assert_ldb_bytes("hello", ldb_slice_of_buf(&f->bytes));
    assert_int_equal(5, f->head.size);
    assert_false(f->head.is_sealed);
    assert_request(f, 0, "GET /copies/a/leveld/epochs HTTP/1.1");
    assert_ldb_status(LDB_INVALID_ARGUMENT, get(f, "000007.log", 0, true, 0),
                      &f->err);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_ldb_status(LDB_NOT_FOUND, get(f, none[i], 0, false, 0), &f->err);
    assert_int_equal(1, raw_server_requests(f->server));
    ldb_mem_free(url);
}

static void bytes_of_another_place_are_not_taken(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ("HTTP/1.1 206 OK\r\nContent-Length: 5\r\n"
         "Content-Range: bytes 0-4/5\r\n\r\nhello"),
        "HTTP/1.1 206 OK\r\nContent-Length: 2\r\n\r\nlo",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        raw_server_answer(f->server, answers[i], RAW_SERVER_CLOSE);
        assert_ldb_status(LDB_IO, get(f, "000009.ldb", 3, false, 0), &f->err);
        assert_int_equal(0, f->heads);
        assert_int_equal(0, f->bytes.len);
    }
}

static void a_range_from_the_end_is_nothing(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(f->server,
                      "HTTP/1.1 416 No\r\nContent-Range: bytes */5\r\n"
                      "Content-Length: 2\r\n\r\n{}",
                      RAW_SERVER_KEEP);
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                      "Leveld-Sealed: true\r\n\r\n",
                      RAW_SERVER_KEEP);
    assert_ldb_ok(get(f, "000009.ldb", 5, false, 0), &f->err);
    assert_int_equal(1, f->heads);
    assert_int_equal(5, f->head.size);
    assert_true(f->head.is_sealed);
    assert_int_equal(0, f->bytes.len);
    raw_server_answer(f->server,
                      "HTTP/1.1 416 No\r\nContent-Range: bytes */5\r\n"
                      "Content-Length: 2\r\n\r\n{}",
                      RAW_SERVER_KEEP);
    assert_ldb_status(LDB_INVALID_ARGUMENT, get(f, "000009.ldb", 6, false, 0),
                      &f->err);
}

static void a_refusal_says_why(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(f->server, NO_SUCH_FILE, RAW_SERVER_KEEP);
    assert_ldb_status(LDB_NOT_FOUND, get(f, "000009.ldb", 0, false, 0),
                      &f->err);
    assert_ldb_message("000009.ldb: answered 404: it went, sorry.", &f->err);
    assert_int_equal(0, f->heads);
    assert_int_equal(0, f->bytes.len);
    raw_server_answer(f->server,
                      "HTTP/1.1 401 Who\r\nContent-Length: 20\r\n\r\n"
                      "{\"title\":\"no token\"}",
                      RAW_SERVER_KEEP);
    assert_ldb_status(LDB_IO, get(f, "000007.log", 0, true, 0), &f->err);
    assert_ldb_message("no token", &f->err);
}

static void names_that_are_none_are_not_asked_for(void **state)
{
    static const char *const names[] = {"",    ".",     "..",  "a/b",
                                        "a?b", "a%2fb", "a b", "a#"};
    struct fixture *f = *state;
    struct repl_file_head head;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_ldb_status(LDB_NOT_FOUND, get(f, names[i], 0, false, 0),
                          &f->err);
        assert_ldb_status(LDB_NOT_FOUND,
                          f->t->ops->head(f->t, names[i], &f->err, &head),
                          &f->err);
    }
    assert_int_equal(0, raw_server_requests(f->server));
}

static void a_cut_file_gives_what_came(void **state)
{
    struct fixture *f = *state;

    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                      RAW_SERVER_CLOSE);
    assert_ldb_status(LDB_IO, get(f, "000009.ldb", 0, false, 0), &f->err);
    assert_ldb_bytes("hel", ldb_slice_of_buf(&f->bytes));
}

/* ---- following ---- */

static const char followed[] = "HTTP/1.1 200 OK\r\nLeveld-Size: 12\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";

/* Sends three pieces, each when the one before was found to be all. */
struct pusher {
    struct fixture *f;
    struct ldb_mutex mu;
    struct ldb_cond changed;
    unsigned dries;
};

static enum ldb_status take_dry_and_tell(void *context, struct ldb_error *err)
{
    struct pusher *pusher = context;

    ldb_mutex_lock(&pusher->mu);
    pusher->dries++;
    ldb_cond_broadcast(&pusher->changed);
    ldb_mutex_unlock(&pusher->mu);
    return take_dry(pusher->f, err);
}

static enum ldb_status pass_head(void *context,
                                 const struct repl_file_head *head,
                                 struct ldb_error *err)
{
    return take_head(((struct pusher *)context)->f, head, err);
}

static enum ldb_status pass_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    return take_bytes(((struct pusher *)context)->f, bytes, err);
}

static void push_pieces(void *context)
{
    static const char *const pieces[] = {"2\r\nab\r\n", "2\r\ncd\r\n",
                                         "2\r\nef\r\n"};
    struct pusher *pusher = context;

    for (unsigned i = 0; i < 3; i++) {
        raw_server_push(pusher->f->server, pieces[i], RAW_SERVER_HOLD);
        ldb_mutex_lock(&pusher->mu);
        while (pusher->dries <= i)
            ldb_cond_wait(&pusher->changed, &pusher->mu);
        ldb_mutex_unlock(&pusher->mu);
    }
    raw_server_push(pusher->f->server, "0\r\n\r\n", RAW_SERVER_KEEP);
}

static void a_followed_file_runs_dry_after_each_piece(void **state)
{
    struct fixture *f = *state;
    struct pusher pusher = {.f = f};
    struct ldb_thread *thread = NULL;
    struct ldb_env *env = f->options.env;
    struct repl_get get = {
        .name = "000007.log",
        .from = 12,
        .follow = true,
        .head = pass_head,
        .bytes = pass_bytes,
        .dry = take_dry_and_tell,
        .context = &pusher,
    };

    ldb_mutex_init(&pusher.mu);
    ldb_cond_init(&pusher.changed);
    raw_server_answer(f->server, followed, RAW_SERVER_HOLD);
    assert_ldb_ok(env->ops->thread_start(env, "pusher", push_pieces, &pusher,
                                         &f->err, &thread),
                  &f->err);
    open_transport(f);
    assert_ldb_ok(f->t->ops->get(f->t, &get, &f->err), &f->err);
    env->ops->thread_join(env, thread);
    assert_ldb_bytes("abcdef", ldb_slice_of_buf(&f->bytes));
    assert_int_equal(1, f->heads);
    assert_int_equal(12, f->head.size);
    assert_int_equal(3, f->dries);
    assert_int_equal(6, f->len_when_dry);
    assert_request(f, 0,
                   "GET /v1/replication/files/000007.log?from=12&follow=true "
                   "HTTP/1.1");
    ldb_cond_release(&pusher.changed);
    ldb_mutex_release(&pusher.mu);
}

static void the_functions_end_the_call(void **state)
{
    struct fixture *f = *state;

    f->head_status = LDB_PRECONDITION;
    raw_server_answer(f->server, followed, RAW_SERVER_HOLD);
    assert_ldb_status(LDB_PRECONDITION, get(f, "000007.log", 0, true, 0),
                      &f->err);
    assert_string_equal("of the head", f->err.message);
    f->head_status = LDB_OK;
    f->bytes_status = LDB_CORRUPTION;
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                      RAW_SERVER_KEEP);
    assert_ldb_status(LDB_CORRUPTION, get(f, "000009.ldb", 0, false, 0),
                      &f->err);
    assert_string_equal("of the bytes", f->err.message);
    f->bytes_status = LDB_OK;
    f->dry_status = LDB_NO_SPACE;
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "2\r\nhi\r\n",
                      RAW_SERVER_HOLD);
    assert_ldb_status(LDB_NO_SPACE, get(f, "000007.log", 0, true, 0), &f->err);
    assert_string_equal("of the end", f->err.message);
}

/* ---- interrupts ---- */

struct interrupter {
    struct fixture *f;
    struct repl_transport *t;
};

/* Once bytes have come. */
static void interrupt_when_held(void *context)
{
    struct interrupter *interrupter = context;

    raw_server_push(interrupter->f->server, "2\r\nhi\r\n", RAW_SERVER_HOLD);
    interrupter->t->ops->interrupt(interrupter->t);
}

static void an_interrupt_ends_what_waits_and_all_that_follows(void **state)
{
    struct fixture *f = *state;
    struct interrupter interrupter = {.f = f};
    struct ldb_thread *thread = NULL;
    struct ldb_env *env = f->options.env;
    unsigned http = 0;

    open_transport(f);
    interrupter.t = f->t;
    raw_server_answer(f->server, followed, RAW_SERVER_HOLD);
    assert_ldb_ok(env->ops->thread_start(env, "interrupter",
                                         interrupt_when_held, &interrupter,
                                         &f->err, &thread),
                  &f->err);
    assert_ldb_status(LDB_CANCELLED, get(f, "000007.log", 12, true, 0),
                      &f->err);
    env->ops->thread_join(env, thread);
    assert_ldb_status(LDB_CANCELLED, call(f, "/", NULL, &http), &f->err);
    assert_int_equal(1, raw_server_requests(f->server));
    /* Another transport of the peer is another matter. */
    f->t->ops->destroy(f->t);
    assert_ldb_ok(f->peer->open(f->peer, &f->err, &f->t), &f->err);
    raw_server_answer(f->server,
                      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                      RAW_SERVER_KEEP);
    expect_call(f, "/", 200, "hi");
}

/* ---- TLS ---- */

struct pair {
    struct ldb_buf certificate;
    struct ldb_buf key;
};

static void make_pair(struct pair *pair)
{
    pair->certificate = (struct ldb_buf)LDB_BUF_INIT(65536);
    pair->key = (struct ldb_buf)LDB_BUF_INIT(65536);
    raw_server_make_pair(&pair->certificate, &pair->key);
}

static void release_pair(struct pair *pair)
{
    ldb_buf_release(&pair->certificate);
    ldb_buf_release(&pair->key);
}

static void put_file(const char *path, const struct ldb_buf *text)
{
    struct ldb_env *env = ldb_env_posix();
    struct ldb_writable_file *file = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(
        env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_of_buf(text), &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
}

/* A transport with the fixture's options anew, and one call. */
static enum ldb_status call_anew(struct fixture *f, unsigned *out_http)
{
    if (f->t != NULL)
        f->t->ops->destroy(f->t);
    f->t = NULL;
    repl_peer_destroy(f->peer);
    f->peer = NULL;
    return call(f, "/", NULL, out_http);
}

static void only_who_can_prove_it_is_spoken_to(void **state)
{
    static const char hello[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    struct fixture *f = *state;
    struct temp_dir dir;
    struct pair ours;
    struct pair theirs;
    struct raw_server_tls tls;
    struct raw_server *server;
    char path[4][TEMP_DIR_PATH_SIZE];
    char url[64];
    unsigned http = 0;
    enum ldb_status s;

    temp_dir_create(&dir);
    make_pair(&ours);
    make_pair(&theirs);
    put_file(temp_dir_join(&dir, "ca", path[0]), &theirs.certificate);
    put_file(temp_dir_join(&dir, "cert", path[1]), &ours.certificate);
    put_file(temp_dir_join(&dir, "key", path[2]), &ours.key);
    tls = (struct raw_server_tls){
        .certificate = (const char *)theirs.certificate.data,
        .key = (const char *)theirs.key.data,
        .client_ca = (const char *)ours.certificate.data,
    };
    server = raw_server_start(&tls);
    raw_server_answer(server, hello, RAW_SERVER_KEEP);
    f->options.url = raw_server_url(server);
    f->options.cert_file = path[1];
    f->options.key_file = path[2];
    /* An authority that is not known, and another one's certificate. */
    assert_ldb_status(LDB_STALLED, call_anew(f, &http), &f->err);
    f->options.ca_file = path[1];
    assert_ldb_status(LDB_STALLED, call_anew(f, &http), &f->err);
    f->options.ca_file = temp_dir_join(&dir, "none", path[3]);
    assert_ldb_status(LDB_STALLED, call_anew(f, &http), &f->err);
    f->options.ca_file = path[0];
    /* It is theirs, but not under that name. */
    (void)snprintf(url, sizeof(url), "https://localhost%s",
                   strrchr(raw_server_url(server), ':'));
    f->options.url = url;
    assert_ldb_status(LDB_STALLED, call_anew(f, &http), &f->err);
    f->options.url = raw_server_url(server);
    /* We have nothing to show, which it says after we have asked, or so soon
     * that we cannot ask any more. */
    f->options.cert_file = NULL;
    f->options.key_file = NULL;
    s = call_anew(f, &http);
    assert_true(s == LDB_IO || s == LDB_STALLED);
    assert_int_equal(0, raw_server_requests(server));
    f->options.cert_file = path[1];
    f->options.key_file = path[2];
    assert_ldb_ok(call_anew(f, &http), &f->err);
    assert_int_equal(200, http);
    assert_int_equal(1, raw_server_requests(server));
    raw_server_stop(server);
    release_pair(&ours);
    release_pair(&theirs);
    temp_dir_remove(&dir);
}

/* ---- memory ---- */

static enum ldb_status one_of_each(struct fixture *f)
{
    struct repl_file_head head;
    unsigned http = 0;
    enum ldb_status s = repl_http_peer_create(&f->options, &f->err, &f->peer);

    if (s == LDB_OK)
        s = f->peer->open(f->peer, &f->err, &f->t);
    if (s == LDB_OK)
        s = call(f, "/", NULL, &http);
    if (s == LDB_OK)
        s = f->t->ops->head(f->t, "000009.ldb", &f->err, &head);
    if (f->t != NULL)
        f->t->ops->destroy(f->t);
    f->t = NULL;
    repl_peer_destroy(f->peer);
    f->peer = NULL;
    return s;
}

static void no_memory_is_told(void **state)
{
    struct fixture *f = *state;
    uint64_t n;

    f->options.token = "sesame";
    for (n = 1;; n++) {
        enum ldb_status s;

        /* Taken in this order whenever one is asked for. */
        raw_server_answer(f->server,
                          "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                          RAW_SERVER_CLOSE);
        ldb_buf_release(&f->out);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = one_of_each(f);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
    assert_true(n > 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_gives_the_answer_whatever_it_is,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_is_posted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_body_of_an_answer_has_a_limit,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_whole_answer_is_an_error,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there_is_an_error, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_name_that_is_not_known_is_asked_for_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_head_that_has_no_end_is_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(no_proxy_of_the_environment_is_asked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_answer_that_does_not_begin_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_head_may_take_as_long_as_a_digest,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_that_is_too_slow_is_given_up,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_followed_file_may_be_silent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_followed_file_that_does_not_begin_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_comes_with_its_head, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_head_is_asked_for_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_part_is_asked_for_by_its_range, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bytes_of_another_place_are_not_taken,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_range_from_the_end_is_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_refusal_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_are_none_are_not_asked_for,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_file_gives_what_came, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_followed_file_runs_dry_after_each_piece, setup, teardown),
        cmocka_unit_test_setup_teardown(so_many_bytes_are_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_folder_has_files_by_their_path, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_functions_end_the_call, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            an_interrupt_ends_what_waits_and_all_that_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(only_who_can_prove_it_is_spoken_to,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
