/* What is made of answers that are no success, of any bytes. */
#include "replication/refusal.h"
#include "tests/support/assert_ldb.h"

static void read_text(unsigned http, const char *body, struct repl_refusal *out)
{
    memset(out, 0xee, sizeof(*out));
    repl_refusal_read(http, ldb_slice_str(body), out);
}

static void a_problem_is_told_with_its_type_and_detail(void **state)
{
    struct repl_refusal refusal;
    struct ldb_error err = {0};

    (void)state;
    read_text(409,
              "{\"type\":\"/problems/conflict\",\"title\":\"Not possible\","
              "\"status\":409,\"detail\":\"epoch 3 leads\"}",
              &refusal);
    assert_int_equal(409, refusal.http);
    assert_string_equal("conflict", refusal.type);
    assert_string_equal("epoch 3 leads", refusal.detail);
    assert_string_equal("", refusal.leader);
    assert_ldb_status(LDB_PRECONDITION,
                      repl_refusal_error(&refusal, "/v1/x", &err), &err);
    assert_string_equal("/v1/x: answered 409 conflict: epoch 3 leads",
                        err.message);
}

static void the_title_stands_in_for_a_detail(void **state)
{
    struct repl_refusal refusal;

    (void)state;
    read_text(503, "{\"title\":\"No leader\"}", &refusal);
    assert_string_equal("No leader", refusal.detail);
    assert_string_equal("", refusal.type);
}

static void another_leader_is_named(void **state)
{
    struct repl_refusal refusal;

    (void)state;
    read_text(421,
              "{\"type\":\"https://a.example/problems/not-leader\","
              "\"leader\":\"http://b:8080\"}",
              &refusal);
    assert_string_equal("not-leader", refusal.type);
    assert_string_equal("http://b:8080", refusal.leader);
}

static void a_leader_that_cannot_be_a_url_is_none(void **state)
{
    char body[REPL_URL_SIZE + 64];
    struct repl_refusal refusal;

    (void)state;
    read_text(421, "{\"leader\":\"http://b:8080/\\n\"}", &refusal);
    assert_string_equal("", refusal.leader);
    read_text(421, "{\"leader\":7}", &refusal);
    assert_string_equal("", refusal.leader);
    /* At the limit, and one more. */
    for (int extra = 0; extra <= 1; extra++) {
        (void)snprintf(body, sizeof(body), "{\"leader\":\"%0*d\"}",
                       REPL_URL_SIZE - 1 + extra, 0);
        read_text(421, body, &refusal);
        assert_int_equal(extra == 0 ? REPL_URL_SIZE - 1 : 0,
                         strlen(refusal.leader));
    }
}

static void any_body_gives_the_status_at_least(void **state)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "7",
        "{\"type\":1,\"title\":[],\"detail\":{}}",
        "<html>",
        "{\"type\":\"about:blank\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct repl_refusal refusal;
        struct ldb_error err = {0};

        read_text(404, bodies[i], &refusal);
        assert_string_equal("", refusal.type);
        assert_string_equal("", refusal.detail);
        assert_ldb_status(LDB_NOT_FOUND,
                          repl_refusal_error(&refusal, "a", &err), &err);
        assert_string_equal("a: answered 404", err.message);
    }
}

static void text_is_cut_and_made_printable(void **state)
{
    char body[1024];
    struct repl_refusal refusal;

    (void)state;
    read_text(500, "{\"detail\":\"a\\nb\\u001b[1m\\u00e9\"}", &refusal);
    assert_string_equal("a?b?[1m??", refusal.detail);
    (void)snprintf(body, sizeof(body), "{\"detail\":\"%0500d\"}", 0);
    read_text(500, body, &refusal);
    assert_int_equal(REPL_REFUSAL_DETAIL_SIZE - 1, strlen(refusal.detail));
}

static void every_status_has_its_meaning(void **state)
{
    static const struct {
        unsigned http;
        const char *type;
        enum ldb_status status;
    } rows[] = {
        {400, "malformed", LDB_INVALID_ARGUMENT},
        {401, "unauthorized", LDB_INVALID_ARGUMENT},
        {403, "forbidden", LDB_INVALID_ARGUMENT},
        {404, "not-found", LDB_NOT_FOUND},
        {405, "method-not-allowed", LDB_NOT_SUPPORTED},
        {409, "conflict", LDB_PRECONDITION},
        {410, "expired", LDB_GONE},
        {412, "precondition-failed", LDB_PRECONDITION},
        {413, "too-large", LDB_TOO_LARGE},
        {416, "malformed", LDB_INVALID_ARGUMENT},
        {421, "not-leader", LDB_PRECONDITION},
        {429, "overloaded", LDB_STALLED},
        {500, "internal", LDB_IO},
        {500, "corruption", LDB_CORRUPTION},
        {503, "no-leader", LDB_STALLED},
        {503, "outcome-unknown", LDB_OUTCOME_UNKNOWN},
        {504, "outcome-unknown", LDB_OUTCOME_UNKNOWN},
        {507, "disk-full", LDB_NO_SPACE},
        {302, "", LDB_IO},
        {999, "", LDB_IO},
        {0, "", LDB_IO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_refusal refusal;
        struct ldb_error err = {0};
        char body[128];

        (void)snprintf(body, sizeof(body), "{\"type\":\"/problems/%s\"}",
                       rows[i].type);
        read_text(rows[i].http, body, &refusal);
        if (repl_refusal_error(&refusal, "p", &err) != rows[i].status ||
            err.status != rows[i].status)
            fail_msg("%u %s", rows[i].http, rows[i].type);
    }
}

static void of_a_file_few_statuses_have_a_meaning(void **state)
{
    static const struct {
        unsigned http;
        enum ldb_status status;
    } rows[] = {
        {404, LDB_NOT_FOUND}, {410, LDB_NOT_FOUND}, {416, LDB_INVALID_ARGUMENT},
        {401, LDB_IO},        {409, LDB_IO},        {503, LDB_IO},
        {200, LDB_IO},        {302, LDB_IO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_refusal refusal;
        struct ldb_error err = {0};

        read_text(rows[i].http, "{\"title\":\"because\"}", &refusal);
        assert_ldb_status(rows[i].status,
                          repl_refusal_file_error(&refusal, "000007.log", &err),
                          &err);
        assert_ldb_message("000007.log: answered", &err);
        assert_ldb_message("because", &err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_is_told_with_its_type_and_detail),
        cmocka_unit_test(the_title_stands_in_for_a_detail),
        cmocka_unit_test(another_leader_is_named),
        cmocka_unit_test(a_leader_that_cannot_be_a_url_is_none),
        cmocka_unit_test(any_body_gives_the_status_at_least),
        cmocka_unit_test(text_is_cut_and_made_printable),
        cmocka_unit_test(every_status_has_its_meaning),
        cmocka_unit_test(of_a_file_few_statuses_have_a_meaning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
