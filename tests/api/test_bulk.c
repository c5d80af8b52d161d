#include "api/bulk.h"

#include <string.h>

#include "storage/base/buf.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define TEXT_MAX ((size_t)64 << 20)

static const char *const headers[] = {"Content-Type: application/x-ndjson",
                                      NULL};

/* The body in pieces of so many bytes; 0: as the fixture does. */
static struct fake_answer load_at(struct api_fixture *f, const char *target,
                                  struct ldb_slice body, size_t piece)
{
    struct fake_request request = {
        .method = "POST",
        .target = target,
        .headers = headers,
        .body = body,
        .is_chunked = true,
        .read_max = piece,
    };
    struct fake_answer answer;

    fake_run(&f->context, &request, &answer);
    return answer;
}

static struct fake_answer load(struct api_fixture *f, const char *text)
{
    return load_at(f, "/v1/batch", ldb_slice_str(text), 0);
}

static void put_line(struct ldb_buf *text, unsigned n)
{
    assert_ldb_ok(ldb_buf_printf(text,
                                 "{\"op\":\"put\",\"key\":\"k%06u\","
                                 "\"value\":\"%0100u\"}\n",
                                 n, n),
                  NULL);
}

/* GET of k<n>; false: it is not there. */
static bool is_there(struct api_fixture *f, unsigned n)
{
    char target[64];
    struct fake_answer answer;
    unsigned status;

    (void)snprintf(target, sizeof(target), "/v1/kv/k%06u", n);
    answer = api_call(f, "GET", target, NULL, NULL);
    status = answer.status;
    fake_answer_release(&answer);
    return status == 200;
}

static json_int_t member(const struct fake_answer *answer, const char *name)
{
    json_t *body = answer_json(answer);
    const json_t *value = json_object_get(body, name);
    json_int_t number;

    if (!json_is_integer(value))
        fail_msg("no %s in %.*s", name, (int)answer->body.len,
                 (const char *)answer->body.data);
    number = json_integer_value(value);
    json_decref(body);
    return number;
}

static uint64_t groups(struct api_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.groups;
}

static uint64_t syncs(struct api_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.syncs;
}

static void lines_are_operations_in_their_order(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    answer = load(f, "{\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"}\n"
                     "\n"
                     " \t{\"op\":\"put\",\"key\":\"a\",\"value\":\"2\"} \r\n"
                     "{\"op\":\"put\",\"key\":\"b\",\"value\":\"3\"}\n"
                     "{\"op\":\"delete\",\"key\":\"b\"}");
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"sequence\":4,\"count\":4}\n");
    assert_header(&answer, "Leveld-Sequence", "4");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    assert_body(&answer, "2");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/kv/b", NULL, NULL);
    assert_answer(&answer, 404);
    fake_answer_release(&answer);
}

static void nothing_to_load_is_no_error(void **state)
{
    static const char *const texts[] = {"", "\n", " \n\r\n"};
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "1");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct fake_answer answer = load(f, texts[i]);

        assert_answer(&answer, 200);
        assert_body(&answer, "{\"sequence\":1,\"count\":0}\n");
        fake_answer_release(&answer);
    }
}

static void a_long_body_is_committed_as_it_comes(void **state)
{
    static const size_t pieces[] = {1, 777, 65536, TEXT_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct ldb_buf text = LDB_BUF_INIT(TEXT_MAX);
        unsigned lines = 7000; /* about 1 MB */
        struct fake_answer answer;
        void *fixture = NULL;

        (void)api_fixture_setup(&fixture);
        for (unsigned n = 0; n < lines; n++)
            put_line(&text, n);
        answer =
            load_at(fixture, "/v1/batch", ldb_slice_of_buf(&text), pieces[i]);
        assert_answer(&answer, 200);
        assert_body(&answer, "{\"sequence\":7000,\"count\":7000}\n");
        fake_answer_release(&answer);
        for (unsigned n = 0; n < lines; n++)
            assert_true(is_there(fixture, n));
        if (pieces[i] < API_BULK_WINDOW)
            assert_true(groups(fixture) >= text.len / (API_BULK_WINDOW * 2));
        ldb_buf_release(&text);
        (void)api_fixture_teardown(&fixture);
    }
}

/* What stands then is what count says, and the first lines. */
static void a_bad_line_ends_it_and_is_named(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_buf text = LDB_BUF_INIT(TEXT_MAX);
    unsigned bad = 5000;
    struct fake_answer answer;
    unsigned count;

    for (unsigned n = 0; n < 7000; n++) {
        if (n + 1 == bad)
            assert_ldb_ok(ldb_buf_append(&text, ldb_slice_str("{\"op\":1}\n")),
                          NULL);
        else
            put_line(&text, n);
    }
    answer = load_at(f, "/v1/batch", ldb_slice_of_buf(&text), 0);
    assert_problem(&answer, 400, "bad-batch");
    assert_int_equal(member(&answer, "line"), bad);
    count = (unsigned)member(&answer, "count");
    assert_int_equal(member(&answer, "sequence"), count);
    assert_true(count > 0 && count < bad);
    fake_answer_release(&answer);
    assert_int_equal(ldb_last_sequence(f->db), count);
    for (unsigned n = 0; n < 7000; n++)
        assert_int_equal(is_there(f, n), n < count);
    ldb_buf_release(&text);
}

static void a_bad_line_names_what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
        const char *type;
        int line;
    } rows[] = {
        {"x", 400, "bad-batch", 1},
        {"[]\n", 400, "bad-batch", 1},
        {"{}\n", 400, "bad-batch", 1},
        {"\n\n{\"op\":\"put\",\"key\":\"a\"}\n", 400, "bad-batch", 3},
        {"{\"op\":\"delete\",\"key\":\"a\"}{\"op\":\"delete\",\"key\":\"a\"}",
         400, "bad-batch", 1},
        {"{\"op\":\"delete\",\"key\":\"a\"}\n{\"op\":\"delete\",\"key\":", 400,
         "bad-batch", 2},
        {"{\"op\":\"delete\",\n\"key\":\"a\"}\n", 400, "bad-batch", 1},
        {"{\"op\":\"delete\",\"key\":\"toolong\"}", 413, "too-large", 1},
        {"{\"op\":\"delete-range\"}", 400, "bad-batch", 1},
        {"{\"op\":\"put\",\"key\":\"a\",\"value\":\"\xff\"}", 400, "bad-batch",
         1},
    };
    struct api_fixture *f = *state;

    f->context.limits.key_bytes = 4;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer = load(f, rows[i].text);

        assert_problem(&answer, rows[i].status, rows[i].type);
        assert_int_equal(member(&answer, "line"), rows[i].line);
        assert_int_equal(member(&answer, "count"), 0);
        fake_answer_release(&answer);
        assert_int_equal(ldb_last_sequence(f->db), 0);
    }
}

static void a_delete_range_is_a_chunk_of_its_own(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    answer = load(f, "{\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"}\n"
                     "{\"op\":\"put\",\"key\":\"b\",\"value\":\"1\"}\n"
                     "{\"op\":\"delete-range\",\"start\":\"a\"}\n"
                     "{\"op\":\"delete-range\",\"start\":\"a\"}\n"
                     "{\"op\":\"put\",\"key\":\"c\",\"value\":\"1\"}\n");
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"sequence\":5,\"count\":5}\n");
    fake_answer_release(&answer);
    /* One that fails is named, and what stands before it stands. */
    for (unsigned n = 0; n <= LDB_DELETE_RANGE_KEYS_MAX; n++) {
        struct ldb_buf line = LDB_BUF_INIT(1000);

        put_line(&line, n);
        answer = load_at(f, "/v1/batch?sync=false", ldb_slice_of_buf(&line), 0);
        assert_answer(&answer, 200);
        fake_answer_release(&answer);
        ldb_buf_release(&line);
    }
    answer = load(f, "{\"op\":\"put\",\"key\":\"d\",\"value\":\"1\"}\n"
                     "{\"op\":\"delete-range\",\"start\":\"k\"}\n"
                     "{\"op\":\"put\",\"key\":\"e\",\"value\":\"1\"}\n");
    assert_problem(&answer, 413, "too-large");
    assert_int_equal(member(&answer, "line"), 2);
    assert_int_equal(member(&answer, "count"), 1);
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/range?values=false&prefix=e", NULL, NULL);
    assert_body(&answer, "{\"items\":[]}\n");
    fake_answer_release(&answer);
    assert_true(is_there(f, 0));
}

static void lines_have_the_encoding_asked_for_or_their_own(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer = load_at(
        f, "/v1/batch?encoding=hex",
        ldb_slice_str("{\"op\":\"put\",\"key\":\"61\",\"value\":\"ff\"}\n"
                      "{\"op\":\"put\",\"key\":\"b\",\"value\":\"2\","
                      "\"encoding\":\"utf8\"}\n"),
        0);

    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    assert_body(&answer, "\xff");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/kv/b", NULL, NULL);
    assert_body(&answer, "2");
    fake_answer_release(&answer);
    answer = load_at(f, "/v1/batch?encoding=no", ldb_slice_str(""), 0);
    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
    answer = load_at(f, "/v1/batch?enc=hex", ldb_slice_str(""), 0);
    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
}

static void a_line_over_the_limit_is_413_where_it_stands(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_buf text = LDB_BUF_INIT(TEXT_MAX);
    struct fake_answer answer;

    f->context.limits.json_batch_bytes = API_BULK_WINDOW * 2;
    for (unsigned n = 0; n < 2500; n++)
        put_line(&text, n);
    for (size_t i = 0; i <= API_BULK_WINDOW * 2; i++)
        assert_ldb_ok(ldb_buf_append_byte(&text, ' '), NULL);
    answer = load_at(f, "/v1/batch", ldb_slice_of_buf(&text), 0);
    assert_problem(&answer, 413, "too-large");
    assert_int_equal(member(&answer, "line"), 2501);
    assert_int_equal(member(&answer, "count"), 2500);
    fake_answer_release(&answer);
    ldb_buf_release(&text);
    assert_true(is_there(f, 2499));
}

/* The end's sync covers all; a stop makes durable what it says stands. */
static void what_stands_is_durable_as_asked(void **state)
{
    static const struct {
        const char *target;
        const char *last_line;
        unsigned status;
        uint64_t syncs;
    } rows[] = {
        {"/v1/batch", "", 200, 1},
        {"/v1/batch", "bad\n", 400, 1},
        {"/v1/batch?sync=false", "", 200, 0},
        {"/v1/batch?sync=false", "bad\n", 400, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf text = LDB_BUF_INIT(TEXT_MAX);
        struct fake_answer answer;
        void *fixture = NULL;
        uint64_t before;

        (void)api_fixture_setup(&fixture);
        for (unsigned n = 0; n < 7000; n++)
            put_line(&text, n);
        assert_ldb_ok(ldb_buf_append(&text, ldb_slice_str(rows[i].last_line)),
                      NULL);
        before = syncs(fixture);
        answer = load_at(fixture, rows[i].target, ldb_slice_of_buf(&text), 0);
        assert_answer(&answer, rows[i].status);
        assert_true(member(&answer, "count") > 0);
        fake_answer_release(&answer);
        assert_int_equal(syncs(fixture) - before, rows[i].syncs);
        ldb_buf_release(&text);
        (void)api_fixture_teardown(&fixture);
    }
}

static void a_client_that_leaves_stops_it(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_buf text = LDB_BUF_INIT(TEXT_MAX);
    struct fake_request request = {
        .method = "POST",
        .target = "/v1/batch",
        .headers = headers,
        .is_chunked = true,
        .leaves = true,
    };
    struct fake_answer answer;

    for (unsigned n = 0; n < 7000; n++)
        put_line(&text, n);
    request.body = ldb_slice_of_buf(&text);
    fake_run(&f->context, &request, &answer);
    assert_false(answer.is_ready);
    fake_answer_release(&answer);
    assert_true(is_there(f, 0));
    assert_false(is_there(f, 6999));
    ldb_buf_release(&text);
}

static void a_load_without_memory_says_what_stands(void **state)
{
    struct api_fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct fake_answer answer;
        bool failed;

        mem_fault_start(n, MEM_FAULT_ONCE);
        answer = load(f, "{\"op\":\"delete-range\",\"start\":\"a\"}\n"
                         "{\"op\":\"put\",\"key\":\"a\",\"value\":\"b\"}\n"
                         "{\"op\":\"delete-range\",\"start\":\"b\"}\n");
        failed = mem_fault_stop();
        if (answer.status != 200 && answer.status != 503)
            fail_msg("%u: %.*s", answer.status, (int)answer.body.len,
                     (char *)answer.body.data);
        fake_answer_release(&answer);
        if (!failed)
            break;
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(lines_are_operations_in_their_order),
        FIXTURE_TEST(nothing_to_load_is_no_error),
        cmocka_unit_test(a_long_body_is_committed_as_it_comes),
        FIXTURE_TEST(a_bad_line_ends_it_and_is_named),
        FIXTURE_TEST(a_bad_line_names_what_is_wrong),
        FIXTURE_TEST(a_delete_range_is_a_chunk_of_its_own),
        FIXTURE_TEST(lines_have_the_encoding_asked_for_or_their_own),
        FIXTURE_TEST(a_line_over_the_limit_is_413_where_it_stands),
        cmocka_unit_test(what_stands_is_durable_as_asked),
        FIXTURE_TEST(a_client_that_leaves_stops_it),
        FIXTURE_TEST(a_load_without_memory_says_what_stands),
    };

    return cmocka_run_group_tests_name("bulk", tests, NULL, NULL);
}
