/* A follower's writes, with a forwarder that does as the test says. */
#include "api/forward.h"

#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "api/db_gate.h"
#include "api/response.h"
#include "api/role.h"
#include "replication/forwarder.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define LEADER "http://leader:8080"

#define BODY_MAX ((size_t)4 << 20)

/* ---- a forwarder without a network ---- */

struct fake {
    struct repl_forwarder base; /* first: ops get it back */
    /* ---- what it does ---- */
    enum ldb_status begin_status;
    enum repl_forward_outcome outcome;
    unsigned status;
    const char *headers;
    const char *body;
    bool is_early; /* the answer comes with the first piece */
    /* ---- what it was given ---- */
    struct repl_forward_request request; /* its text is not valid */
    char url[64];
    char target[256];
    char lines[1024]; /* its headers, "Name: value\n" each */
    struct ldb_buf sent;
    unsigned pieces;
    bool is_ended;
    unsigned open; /* begun and not closed */
    struct repl_forward_answer answer;
};

struct fake_forward {
    struct repl_forward base;
    bool is_over;
};

static struct fake *fake_of(struct repl_forward *forward)
{
    return (struct fake *)forward->forwarder;
}

static enum ldb_status begin(struct repl_forwarder *base,
                             const struct repl_forward_request *request,
                             struct ldb_error *err, struct repl_forward **out)
{
    struct fake *fake = (struct fake *)base;
    struct fake_forward *forward;
    size_t len = 0;

    if (fake->begin_status != LDB_OK)
        return ldb_error_set(err, fake->begin_status, "no more of them");
    forward = test_calloc(1, sizeof(*forward));
    forward->base.forwarder = base;
    fake->request = *request;
    (void)snprintf(fake->url, sizeof(fake->url), "%s", request->url);
    (void)snprintf(fake->target, sizeof(fake->target), "%.*s",
                   (int)request->target.len,
                   (const char *)request->target.data);
    for (size_t i = 0; i < request->header_count; i++)
        len += (size_t)snprintf(fake->lines + len, sizeof(fake->lines) - len,
                                "%s: %.*s\n", request->headers[i].name,
                                (int)request->headers[i].value.len,
                                (const char *)request->headers[i].value.data);
    fake->open++;
    *out = &forward->base;
    return LDB_OK;
}

/* The caller waits, and is woken at once. */
static enum repl_forward_step later(struct repl_forward *base)
{
    struct fake *fake = fake_of(base);

    fake->request.wake(fake->request.context);
    return REPL_FORWARD_WAITS;
}

static enum repl_forward_step give(struct repl_forward *base,
                                   struct ldb_buf *piece)
{
    struct fake *fake = fake_of(base);

    assert_false(fake->is_ended);
    assert_ldb_ok(ldb_buf_append(&fake->sent, ldb_slice_of_buf(piece)), NULL);
    ldb_buf_release(piece);
    fake->pieces++;
    ((struct fake_forward *)base)->is_over = fake->is_early;
    return later(base);
}

static enum repl_forward_step end(struct repl_forward *base)
{
    struct fake *fake = fake_of(base);

    assert_false(fake->is_ended);
    fake->is_ended = true;
    ((struct fake_forward *)base)->is_over = true;
    return later(base);
}

static enum repl_forward_step step(struct repl_forward *base)
{
    return ((struct fake_forward *)base)->is_over ? REPL_FORWARD_OVER
                                                  : REPL_FORWARD_MORE;
}

static enum repl_forward_outcome outcome(struct repl_forward *base,
                                         struct ldb_error *error,
                                         struct repl_forward_answer **out)
{
    struct fake *fake = fake_of(base);

    fake->answer.status = fake->status;
    ldb_buf_clear(&fake->answer.headers);
    ldb_buf_clear(&fake->answer.body);
    if (fake->outcome == REPL_FORWARD_ANSWERED) {
        assert_ldb_ok(
            ldb_buf_append(&fake->answer.headers, ldb_slice_str(fake->headers)),
            NULL);
        assert_ldb_ok(
            ldb_buf_append(&fake->answer.body, ldb_slice_str(fake->body)),
            NULL);
    } else {
        (void)ldb_error_set(error, LDB_IO, "it is gone");
    }
    *out = &fake->answer;
    return fake->outcome;
}

static void close_forward(struct repl_forward *base)
{
    fake_of(base)->open--;
    test_free(base);
}

static const struct repl_forwarder_ops fake_ops = {
    .begin = begin,
    .give = give,
    .end = end,
    .step = step,
    .outcome = outcome,
    .close = close_forward,
};

/* ---- the fixture: a follower ---- */

struct forward_fixture {
    struct api_fixture *api;
    struct fake fake;
};

static int setup(void **state)
{
    struct forward_fixture *f = test_calloc(1, sizeof(*f));
    void *api = NULL;

    assert_int_equal(api_fixture_setup(&api), 0);
    f->api = api;
    f->fake = (struct fake){
        .base.ops = &fake_ops,
        .outcome = REPL_FORWARD_ANSWERED,
        .status = 204,
        .headers = "etag: \"7\"\nleveld-sequence: 7\nserver: other\n",
        .body = "",
        .sent = LDB_BUF_INIT(BODY_MAX),
        .answer = {.headers = LDB_BUF_INIT(BODY_MAX),
                   .body = LDB_BUF_INIT(BODY_MAX)},
    };
    /* What it keeps is not of the allocations that fail. */
    assert_ldb_ok(ldb_buf_reserve(&f->fake.sent, BODY_MAX), NULL);
    assert_ldb_ok(ldb_buf_reserve(&f->fake.answer.headers, 1000), NULL);
    f->api->context.forwarder = &f->fake.base;
    f->api->context.follower_writes = API_FOLLOWER_FORWARDS;
    api_role_set(f->api->context.role, REPL_ROLE_FOLLOWER, LEADER);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct forward_fixture *f = *state;
    void *api = f->api;

    assert_int_equal(f->fake.open, 0);
    ldb_buf_release(&f->fake.sent);
    ldb_buf_release(&f->fake.answer.headers);
    ldb_buf_release(&f->fake.answer.body);
    test_free(f);
    return api_fixture_teardown(&api);
}

/* ---- sent on ---- */

static void a_write_goes_to_the_leader_as_it_came(void **state)
{
    static const char *const headers[] = {"Authorization: Bearer secret",
                                          "If-Match: \"3\"",
                                          "Content-Type: text/plain",
                                          "Cookie: no",
                                          "X-Request-Id: r1",
                                          NULL};
    struct forward_fixture *f = *state;
    struct fake_answer answer =
        api_call(f->api, "PUT", "/v1/kv/a%2Fb?sync=false", headers, "value");

    assert_answer(&answer, 204);
    assert_header(&answer, "ETag", "\"7\"");
    assert_header(&answer, "Leveld-Sequence", "7");
    assert_header(&answer, "Leveld-Role", "follower");
    assert_header(&answer, "Server", NULL);
    fake_answer_release(&answer);
    assert_string_equal(f->fake.url, LEADER);
    assert_string_equal(f->fake.request.method, "PUT");
    assert_string_equal(f->fake.target, "/v1/kv/a%2Fb?sync=false");
    assert_int_equal(f->fake.request.body_len, 5);
    assert_string_equal(f->fake.lines, "Authorization: Bearer secret\n"
                                       "Content-Type: text/plain\n"
                                       "If-Match: \"3\"\n"
                                       "X-Request-Id: r1\n"
                                       "Leveld-Forwarded: node\n");
    assert_ldb_bytes("value", ldb_slice_of_buf(&f->fake.sent));
    assert_true(f->fake.is_ended);
}

static void every_write_does_and_no_read(void **state)
{
    static const char *const ndjson[] = {"Content-Type: application/x-ndjson",
                                         NULL};
    static const struct {
        const char *method;
        const char *target;
        const char *const *headers;
        bool is_sent;
    } rows[] = {
        {"PUT", "/v1/kv/a", NULL, true},
        {"DELETE", "/v1/kv/a", NULL, true},
        {"POST", "/v1/batch", ndjson, true},
        {"POST", "/v1/batch", NULL, true},
        {"DELETE", "/v1/range?start=", NULL, true},
        {"GET", "/v1/kv/a", NULL, false},
        {"GET", "/v1/range", NULL, false},
        {"POST", "/v1/snapshots", NULL, false},
        {"GET", "/healthz", NULL, false},
    };
    struct forward_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer;

        f->fake.is_ended = false;
        f->fake.request.method = "";
        answer = api_call(f->api, rows[i].method, rows[i].target,
                          rows[i].headers, NULL);
        if (f->fake.is_ended != rows[i].is_sent)
            fail_msg("%s %s", rows[i].method, rows[i].target);
        if (rows[i].is_sent)
            assert_string_equal(f->fake.request.method, rows[i].method);
        fake_answer_release(&answer);
    }
}

static void a_long_body_goes_in_pieces(void **state)
{
    struct forward_fixture *f = *state;
    size_t len = 3 * API_FORWARD_WINDOW + 100;
    uint8_t *bytes = test_malloc(len);
    struct fake_request request = {.method = "PUT",
                                   .target = "/v1/kv/a",
                                   .body = ldb_slice_make(bytes, len)};
    struct fake_answer answer;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7);
    fake_run(&f->api->context, &request, &answer);
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    assert_int_equal(f->fake.pieces, 4);
    assert_ldb_slice(request.body, ldb_slice_of_buf(&f->fake.sent));
    /* Of a length that nobody knows: over any limit of this node. */
    f->api->context.limits.value_bytes = 10;
    f->fake.is_ended = false;
    request.is_chunked = true;
    fake_run(&f->api->context, &request, &answer);
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    assert_true(f->fake.request.body_len == UINT64_MAX);
    test_free(bytes);
}

static void the_leaders_answer_is_the_answer(void **state)
{
    struct forward_fixture *f = *state;
    struct fake_answer answer;

    f->fake.status = 412;
    f->fake.headers = "content-type: application/problem+json\n"
                      "content-length: 2\nretry-after:  9\n";
    f->fake.body = "{}";
    answer = api_call(f->api, "PUT", "/v1/kv/a", NULL, "v");
    assert_answer(&answer, 412);
    assert_body(&answer, "{}");
    assert_string_equal(answer.content_type, "application/problem+json");
    assert_header(&answer, "Retry-After", "9");
    assert_header(&answer, "Content-Length", NULL);
    fake_answer_release(&answer);
}

/* It has refused before it has seen all of the body. */
static void an_early_answer_ends_the_upload(void **state)
{
    struct forward_fixture *f = *state;
    size_t len = 3 * API_FORWARD_WINDOW;
    uint8_t *bytes = test_calloc(1, len);
    struct fake_request request = {.method = "PUT",
                                   .target = "/v1/kv/a",
                                   .body = ldb_slice_make(bytes, len)};
    struct fake_answer answer;

    f->fake.is_early = true;
    f->fake.status = 401;
    f->fake.headers = "www-authenticate: Bearer\n";
    fake_run(&f->api->context, &request, &answer);
    assert_answer(&answer, 401);
    assert_header(&answer, "WWW-Authenticate", "Bearer");
    assert_int_equal(f->fake.pieces, 1);
    assert_false(f->fake.is_ended);
    fake_answer_release(&answer);
    test_free(bytes);
}

/* ---- what can go wrong ---- */

static void what_was_not_sent_was_not_done(void **state)
{
    struct forward_fixture *f = *state;
    struct fake_answer answer;

    f->fake.outcome = REPL_FORWARD_NOT_SENT;
    answer = api_call(f->api, "PUT", "/v1/kv/a", NULL, "v");
    assert_problem(&answer, 503, "no-leader");
    assert_header(&answer, "Retry-After", "1");
    fake_answer_release(&answer);
}

static void what_was_sent_and_cut_is_unknown(void **state)
{
    struct forward_fixture *f = *state;
    struct fake_answer answer;

    f->fake.outcome = REPL_FORWARD_UNKNOWN;
    answer = api_call(f->api, "DELETE", "/v1/kv/a", NULL, NULL);
    assert_problem(&answer, 504, "outcome-unknown");
    fake_answer_release(&answer);
}

static void too_many_are_turned_away(void **state)
{
    struct forward_fixture *f = *state;
    struct fake_answer answer;

    f->fake.begin_status = LDB_STALLED;
    answer = api_call(f->api, "PUT", "/v1/kv/a", NULL, "v");
    assert_problem(&answer, 503, "stalled");
    fake_answer_release(&answer);
}

static void a_request_goes_one_hop(void **state)
{
    static const char *const headers[] = {"Leveld-Forwarded: other", NULL};
    struct forward_fixture *f = *state;
    struct fake_answer answer =
        api_call(f->api, "PUT", "/v1/kv/a", headers, "v");

    assert_problem(&answer, 503, "no-leader");
    assert_header(&answer, "Retry-After", "1");
    fake_answer_release(&answer);
    assert_false(f->fake.is_ended);
    /* A leader takes it as any. */
    api_role_set(f->api->context.role, REPL_ROLE_LEADER, "");
    answer = api_call(f->api, "PUT", "/v1/kv/a", headers, "v");
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
}

static void without_a_leader_it_says_so(void **state)
{
    static const char *const urls[] = {"", "files+http://web/copy/",
                                       "files:/srv/copy"};
    struct forward_fixture *f = *state;
    struct fake_answer answer;

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        api_role_set(f->api->context.role, REPL_ROLE_FOLLOWER, urls[i]);
        for (unsigned way = API_FOLLOWER_FORWARDS; way <= API_FOLLOWER_REJECTS;
             way++) {
            f->api->context.follower_writes = way;
            answer = api_call(f->api, "PUT", "/v1/kv/a", NULL, "v");
            assert_problem(&answer, 503, "no-leader");
            fake_answer_release(&answer);
        }
    }
}

static void a_header_that_comes_twice_is_malformed(void **state)
{
    static const char *const headers[] = {"If-Match: \"1\"", "If-Match: \"2\"",
                                          NULL};
    struct forward_fixture *f = *state;
    struct fake_answer answer =
        api_call(f->api, "PUT", "/v1/kv/a", headers, "v");

    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
    assert_int_equal(f->fake.pieces, 0);
}

static void a_client_that_leaves_cuts_it(void **state)
{
    struct forward_fixture *f = *state;
    struct fake_request request = {.method = "PUT",
                                   .target = "/v1/kv/a",
                                   .body = ldb_slice_str("v"),
                                   .leaves = true};
    struct fake_answer answer;

    fake_run(&f->api->context, &request, &answer);
    assert_false(answer.is_ready);
    fake_answer_release(&answer);
    assert_int_equal(f->fake.open, 0);
    assert_false(f->fake.is_ended);
}

/* The gate may be closed: the leader's database is what it is about. */
static void without_a_database_it_is_sent_all_the_same(void **state)
{
    static const struct api_db_gate_reason rebuilding = {
        .kind = API_PROBLEM_STALLED, .reason = "bootstrapping", .detail = ""};
    struct forward_fixture *f = *state;
    struct fake_answer answer;

    api_context_shut(&f->api->context, &rebuilding);
    assert_true(api_db_gate_wait(f->api->context.gate, 0));
    answer = api_call(f->api, "PUT", "/v1/kv/a", NULL, "v");
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    api_db_gate_open(f->api->context.gate);
}

static void without_memory_nothing_is_sent_or_all_is_told(void **state)
{
    struct forward_fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct fake_answer answer;
        bool failed;

        f->fake.is_ended = false;
        mem_fault_start(n, MEM_FAULT_ONCE);
        answer = api_call(f->api, "PUT", "/v1/kv/a", NULL, "v");
        failed = mem_fault_stop();
        if (answer.status != 204 && answer.status != 503 &&
            !(answer.status == 504 && f->fake.is_ended))
            fail_msg("%u at allocation %u", answer.status, (unsigned)n);
        assert_int_equal(f->fake.open, 0);
        fake_answer_release(&answer);
        if (!failed)
            break;
    }
}

/* ---- sent away ---- */

static void a_redirect_names_the_same_resource_there(void **state)
{
    struct forward_fixture *f = *state;
    struct fake_answer answer;

    f->api->context.follower_writes = API_FOLLOWER_REDIRECTS;
    answer = api_call(f->api, "PUT", "/v1/kv/a%00b?enc=hex&x", NULL, "v");
    assert_answer(&answer, 307);
    assert_header(&answer, "Location", LEADER "/v1/kv/a%00b?enc=hex&x");
    fake_answer_release(&answer);
    answer = api_call(f->api, "DELETE", "/v1/kv/a", NULL, NULL);
    assert_header(&answer, "Location", LEADER "/v1/kv/a");
    fake_answer_release(&answer);
    assert_int_equal(f->fake.pieces, 0);
}

static void a_rejection_names_the_leader(void **state)
{
    struct forward_fixture *f = *state;
    struct fake_answer answer;
    json_t *body;

    f->api->context.follower_writes = API_FOLLOWER_REJECTS;
    answer = api_call(f->api, "PUT", "/v1/kv/a", NULL, "v");
    assert_problem(&answer, 421, "not-leader");
    body = answer_json(&answer);
    assert_string_equal(json_string_value(json_at(body, "leader")), LEADER);
    json_decref(body);
    fake_answer_release(&answer);
}

/* ---- a leader on its way down ---- */

static void a_leader_that_hands_over_takes_no_write(void **state)
{
    static const struct api_db_gate_reason handing_over = {
        .kind = API_PROBLEM_NO_LEADER,
        .reason = "handing-over",
        .detail = "it goes to another",
        .retry_after_s = 1};
    struct forward_fixture *f = *state;
    struct fake_answer answer;

    api_role_set(f->api->context.role, REPL_ROLE_LEADER, "");
    (void)api_put(f->api, "/v1/kv/a", "1");
    api_db_gate_shut(f->api->context.writes, &handing_over);
    answer = api_call(f->api, "PUT", "/v1/kv/a", NULL, "2");
    assert_problem(&answer, 503, "no-leader");
    assert_header(&answer, "Retry-After", "1");
    fake_answer_release(&answer);
    /* Reads go on. */
    answer = api_call(f->api, "GET", "/v1/kv/a", NULL, NULL);
    assert_body(&answer, "1");
    fake_answer_release(&answer);
    assert_true(api_db_gate_wait(f->api->context.writes, 0));
    api_db_gate_open(f->api->context.writes);
    (void)api_put(f->api, "/v1/kv/a", "2");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_write_goes_to_the_leader_as_it_came),
        TEST(every_write_does_and_no_read),
        TEST(a_long_body_goes_in_pieces),
        TEST(the_leaders_answer_is_the_answer),
        TEST(an_early_answer_ends_the_upload),
        TEST(what_was_not_sent_was_not_done),
        TEST(what_was_sent_and_cut_is_unknown),
        TEST(too_many_are_turned_away),
        TEST(a_request_goes_one_hop),
        TEST(without_a_leader_it_says_so),
        TEST(a_header_that_comes_twice_is_malformed),
        TEST(a_client_that_leaves_cuts_it),
        TEST(without_a_database_it_is_sent_all_the_same),
        TEST(without_memory_nothing_is_sent_or_all_is_told),
        TEST(a_redirect_names_the_same_resource_there),
        TEST(a_rejection_names_the_leader),
        TEST(a_leader_that_hands_over_takes_no_write),
    };

    return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
