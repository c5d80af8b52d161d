/* Heads of answers, as text: what is taken from them, and what is refused. */
#include "replication/http_answer.h"
#include "tests/support/assert_ldb.h"

/* All lines of the text, each with its end. */
static enum ldb_status read_head(const char *text,
                                 struct repl_http_answer *answer,
                                 struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    *answer = (struct repl_http_answer){0};
    while (s == LDB_OK && *text != '\0') {
        size_t len = strcspn(text, "\n") + 1;

        s = repl_http_answer_line(answer, ldb_slice_make(text, len), err);
        text += len;
    }
    return s;
}

static void must_read(const char *text, struct repl_http_answer *answer)
{
    struct ldb_error err = {0};

    assert_ldb_ok(read_head(text, answer, &err), &err);
    assert_true(answer->is_whole);
}

static void a_head_of_a_file_is_read(void **state)
{
    struct repl_http_answer answer;

    (void)state;
    must_read("HTTP/1.1 206 Partial Content\r\n"
              "content-length: 10\r\n"
              "Content-Range:bytes 10-19/20\r\n"
              "Leveld-Sealed: true\r\n"
              "Leveld-Size: 20 \t\r\n"
              "Leveld-Epoch: 3\r\n"
              "X-Other:\r\n"
              "\r\n",
              &answer);
    assert_int_equal(206, answer.http);
    assert_true(repl_http_answer_is_success(&answer));
    assert_true(answer.has_length);
    assert_int_equal(10, answer.length);
    assert_true(answer.has_range);
    assert_int_equal(10, answer.range_first);
    assert_int_equal(20, answer.range_size);
    assert_true(answer.has_size);
    assert_int_equal(20, answer.head.size);
    assert_true(answer.head.is_sealed);
    assert_int_equal(3, answer.head.epoch);
    assert_false(answer.is_chunked);
}

static void an_interim_head_counts_for_nothing(void **state)
{
    struct repl_http_answer answer;

    (void)state;
    must_read("HTTP/1.1 103 Early Hints\r\n"
              "Leveld-Size: 7\r\n"
              "Content-Length: 9\r\n"
              "\r\n"
              "HTTP/1.1 200\r\n"
              "Transfer-Encoding: Chunked\r\n"
              "\r\n",
              &answer);
    assert_int_equal(200, answer.http);
    assert_false(answer.has_size);
    assert_int_equal(0, answer.head.size);
    assert_false(answer.has_length);
    assert_true(answer.is_chunked);
}

static void trailers_say_nothing(void **state)
{
    struct repl_http_answer answer;

    (void)state;
    must_read("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
              "Leveld-Size: 7\r\nnonsense\r\n",
              &answer);
    assert_false(answer.has_size);
}

static void what_is_not_of_its_form_is_refused(void **state)
{
    static const struct {
        const char *name;
        const char *text;
    } rows[] = {
        {"no status line", "Content-Length: 1\r\n"},
        {"nothing", "\r\n"},
        {"no number", "HTTP/1.1 OK\r\n"},
        {"two digits", "HTTP/1.1 20\r\n"},
        {"four digits", "HTTP/1.1 2000 OK\r\n"},
        {"below 100", "HTTP/1.1 099 OK\r\n"},
        {"no blank", "HTTP/1.1\r\n"},
        {"no colon", "HTTP/1.1 200 OK\r\nnonsense\r\n"},
        {"length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n"},
        {"two lengths",
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n"},
        {"range unit", "HTTP/1.1 206 OK\r\nContent-Range: lines 1-2/3\r\n"},
        {"range size", "HTTP/1.1 206 OK\r\nContent-Range: bytes 1-2/*\r\n"},
        {"range order", "HTTP/1.1 206 OK\r\nContent-Range: bytes 2-1/3\r\n"},
        {"range end", "HTTP/1.1 206 OK\r\nContent-Range: bytes 1-3/3\r\n"},
        {"range without a dash",
         "HTTP/1.1 206 OK\r\nContent-Range: bytes 1/3\r\n"},
        {"no range", "HTTP/1.1 206 OK\r\nContent-Range: bytes */3\r\n"},
        {"two ranges", "HTTP/1.1 206 OK\r\nContent-Range: bytes 1-2/3\r\n"
                       "Content-Range: bytes 1-2/3\r\n"},
        {"other coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n"},
        {"compressed", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"},
        {"sealed", "HTTP/1.1 200 OK\r\nLeveld-Sealed: yes\r\n"},
        {"digest", "HTTP/1.1 200 OK\r\nRepr-Digest: xxh3-128=:AA==:\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_http_answer answer;
        struct ldb_error err = {0};

        if (read_head(rows[i].text, &answer, &err) != LDB_IO ||
            err.message[0] == '\0')
            fail_msg("%s", rows[i].name);
    }
}

static void a_head_has_an_end(void **state)
{
    static char line[1024];
    struct repl_http_answer answer = {0};
    struct ldb_error err = {0};
    size_t bytes = strlen("HTTP/1.1 200 OK\r\n");

    (void)state;
    memset(line, 'a', sizeof(line));
    line[1] = ':';
    assert_ldb_ok(repl_http_answer_line(
                      &answer, ldb_slice_str("HTTP/1.1 200 OK\r\n"), &err),
                  &err);
    /* At the limit, and one more. */
    while (bytes < REPL_HTTP_HEAD_BYTES_MAX) {
        size_t len = REPL_HTTP_HEAD_BYTES_MAX - bytes < sizeof(line)
                         ? REPL_HTTP_HEAD_BYTES_MAX - bytes
                         : sizeof(line);

        assert_ldb_ok(
            repl_http_answer_line(&answer, ldb_slice_make(line, len), &err),
            &err);
        bytes += len;
    }
    assert_ldb_status(LDB_IO,
                      repl_http_answer_line(&answer, ldb_slice_str("\n"), &err),
                      &err);
    assert_ldb_message("too long", &err);
}

/* ---- whether it can be an answer to what was asked ---- */

static void a_document_has_an_end(void **state)
{
    static const struct {
        const char *head;
        enum ldb_status status;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", LDB_OK},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", LDB_OK},
        {"HTTP/1.1 204 No Content\r\n\r\n", LDB_OK},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", LDB_IO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_http_answer answer;
        struct ldb_error err = {0};

        must_read(rows[i].head, &answer);
        assert_ldb_status(rows[i].status, repl_http_answer_check(&answer, &err),
                          &err);
    }
}

#define LENGTH_10 "Content-Length: 10\r\n"
#define CHUNKED   "Transfer-Encoding: chunked\r\n"

static const struct {
    const char *name;
    const char *head;
    struct repl_http_wanted wanted;
    bool is_right;
    uint64_t size;
} file_answers[] = {
    {"whole", "HTTP/1.1 200 OK\r\n" LENGTH_10 "\r\n", {0}, true, 10},
    {"whole, chunked",
     "HTTP/1.1 200 OK\r\nLeveld-Size: 9\r\n" CHUNKED "\r\n",
     {0},
     true,
     9},
    {"ours counts",
     "HTTP/1.1 200 OK\r\nLeveld-Size: 12\r\n" LENGTH_10 "\r\n",
     {0},
     true,
     12},
    {"a part that nobody asked for",
     "HTTP/1.1 206 OK\r\n" LENGTH_10 "Content-Range: bytes 0-9/20\r\n\r\n",
     {0},
     false,
     0},
    {"no end", "HTTP/1.1 200 OK\r\nLeveld-Size: 9\r\n\r\n", {0}, false, 0},
    {"nothing at all", "HTTP/1.1 204 OK\r\n\r\n", {0}, false, 0},
    {"a part",
     "HTTP/1.1 206 OK\r\n" LENGTH_10 "Content-Range: bytes 10-19/20\r\n\r\n",
     {.from = 10},
     true,
     20},
    {"another part",
     "HTTP/1.1 206 OK\r\n" LENGTH_10 "Content-Range: bytes 9-18/20\r\n\r\n",
     {.from = 10},
     false,
     0},
    {"a part that does not say which",
     "HTTP/1.1 206 OK\r\nLeveld-Size: 20\r\n" LENGTH_10 "\r\n",
     {.from = 10},
     false,
     0},
    {"all in place of a part",
     "HTTP/1.1 200 OK\r\n" LENGTH_10 "\r\n",
     {.from = 5},
     false,
     0},
    {"followed",
     "HTTP/1.1 200 OK\r\nLeveld-Size: 70\r\n" CHUNKED "\r\n",
     {.follow = true, .from = 60},
     true,
     70},
    {"followed, of a size that is not told",
     "HTTP/1.1 200 OK\r\n" CHUNKED "\r\n",
     {.follow = true, .from = 60},
     true,
     60},
    {"head alone",
     "HTTP/1.1 200 OK\r\n" LENGTH_10 "\r\n",
     {.is_head_alone = true},
     true,
     10},
    {"head alone, of a size that is not told",
     "HTTP/1.1 200 OK\r\n\r\n",
     {.is_head_alone = true},
     false,
     0},
};

static void a_file_is_the_one_that_was_asked_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(file_answers) / sizeof(file_answers[0]);
         i++) {
        struct repl_http_answer answer;
        struct ldb_error err = {0};
        enum ldb_status s;

        must_read(file_answers[i].head, &answer);
        s = repl_http_answer_check_file(&answer, &file_answers[i].wanted, &err);
        if (s != (file_answers[i].is_right ? LDB_OK : LDB_IO))
            fail_msg("%s: %s", file_answers[i].name, err.message);
        if (file_answers[i].is_right &&
            answer.head.size != file_answers[i].size)
            fail_msg("%s: %llu bytes", file_answers[i].name,
                     (unsigned long long)answer.head.size);
    }
}

static void a_range_may_begin_at_the_end(void **state)
{
    static const struct {
        const char *name;
        const char *head;
        struct repl_http_wanted wanted;
        bool is_at_end;
    } rows[] = {
        {"by its range",
         "HTTP/1.1 416 No\r\nContent-Range: bytes */20\r\n\r\n",
         {.from = 20},
         true},
        {"by its size",
         "HTTP/1.1 416 No\r\nLeveld-Size: 20\r\n\r\n",
         {.from = 20},
         true},
        {"behind it",
         "HTTP/1.1 416 No\r\nContent-Range: bytes */20\r\n\r\n",
         {.from = 21},
         false},
        {"nothing is told", "HTTP/1.1 416 No\r\n\r\n", {.from = 20}, false},
        {"another status",
         "HTTP/1.1 404 No\r\nLeveld-Size: 20\r\n\r\n",
         {.from = 20},
         false},
        {"followed",
         "HTTP/1.1 416 No\r\nLeveld-Size: 20\r\n\r\n",
         {.follow = true, .from = 20},
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_http_answer answer;

        must_read(rows[i].head, &answer);
        if (repl_http_answer_is_at_end(&answer, &rows[i].wanted) !=
            rows[i].is_at_end)
            fail_msg("%s", rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_of_a_file_is_read),
        cmocka_unit_test(an_interim_head_counts_for_nothing),
        cmocka_unit_test(trailers_say_nothing),
        cmocka_unit_test(what_is_not_of_its_form_is_refused),
        cmocka_unit_test(a_head_has_an_end),
        cmocka_unit_test(a_document_has_an_end),
        cmocka_unit_test(a_file_is_the_one_that_was_asked_for),
        cmocka_unit_test(a_range_may_begin_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
