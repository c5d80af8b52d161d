/* Files of the leader over HTTP: whole, in parts, and as they grow. */
#include "api/replication_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/db_gate.h"
#include "api/role.h"
#include "replication/file_headers.h"
#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define FILE_MAX ((size_t)16 << 20)

/* "/v1/replication/files/000004.log" and what is to follow. */
static const char *target(enum ldb_file_type type, uint64_t number,
                          const char *more)
{
    static char text[128];
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, type, number);
    (void)snprintf(text, sizeof(text), "/v1/replication/files/%s%s", name,
                   more);
    return text;
}

static struct fake_answer get(struct api_leader *l, const char *path,
                              const char *header)
{
    const char *const headers[] = {header, NULL};

    return api_call(&l->f, "GET", path, header == NULL ? NULL : headers, NULL);
}

static struct fake_answer head(struct api_leader *l, const char *path)
{
    return api_call(&l->f, "HEAD", path, NULL, NULL);
}

/* A table, whose number; journal 4 is sealed then. */
static uint64_t make_table(struct api_leader *l, struct ldb_buf *bytes)
{
    uint64_t number = leader_fixture_flush_one(&l->leader, "a");
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_TABLE, number);
    db_fixture_read_file(l->leader.base, name, bytes);
    return number;
}

static void assert_number_header(const struct fake_answer *answer,
                                 const char *name, uint64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    assert_header(answer, name, text);
}

/* ---- whole files ---- */

static void a_table_comes_as_it_is(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);
    struct fake_answer answer =
        get(l, target(LDB_FILE_TABLE, number, ""), NULL);
    char tag[64];

    assert_answer(&answer, 200);
    assert_ldb_slice(ldb_slice_of_buf(&bytes), ldb_slice_of_buf(&answer.body));
    assert_false(answer.is_cut);
    assert_string_equal(answer.content_type, "application/octet-stream");
    assert_header(&answer, "Leveld-Sealed", "true");
    assert_number_header(&answer, "Leveld-Size", bytes.len);
    assert_header(&answer, "Leveld-Epoch", "3");
    assert_header(&answer, "Leveld-Epoch-Id", "0000000000abcdef");
    assert_header(&answer, "Accept-Ranges", "bytes");
    assert_header(&answer, "Cache-Control", NULL);
    (void)snprintf(tag, sizeof(tag), "\"%06" PRIu64 ".ldb-%zu\"", number,
                   bytes.len);
    assert_header(&answer, "ETag", tag);
    fake_answer_release(&answer);
    ldb_buf_release(&bytes);
}

static void the_head_has_the_digest(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);
    struct ldb_digester *digester = ldb_digester_create();
    struct ldb_digest digest;
    char expected[REPL_DIGEST_HEADER_SIZE];
    struct fake_answer answer = head(l, target(LDB_FILE_TABLE, number, ""));

    ldb_digester_add(digester, ldb_slice_of_buf(&bytes));
    digest = ldb_digester_result(digester);
    repl_digest_header_print(&digest, expected);
    assert_answer(&answer, 200);
    assert_header(&answer, "Repr-Digest", expected);
    assert_int_equal(answer.head_length, bytes.len);
    assert_int_equal(answer.body.len, 0);
    fake_answer_release(&answer);
    /* Once it is known, any answer has it. */
    answer = get(l, target(LDB_FILE_TABLE, number, ""), NULL);
    assert_header(&answer, "Repr-Digest", expected);
    fake_answer_release(&answer);
    ldb_digester_destroy(digester);
    ldb_buf_release(&bytes);
}

static void a_growing_file_has_no_digest(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer;
    uint64_t journal = leader_fixture_journal(&l->leader);

    (void)leader_fixture_put(&l->leader, "a", "1");
    (void)db_fixture_put(l->leader.base, "b", "not synced");
    answer = head(l, target(LDB_FILE_JOURNAL, journal, ""));
    assert_answer(&answer, 200);
    assert_header(&answer, "Repr-Digest", NULL);
    assert_header(&answer, "Leveld-Sealed", "false");
    assert_int_equal(answer.head_length, ldb_durable_position(l->f.db).offset);
    fake_answer_release(&answer);
    answer = get(l, target(LDB_FILE_JOURNAL, journal, ""), NULL);
    assert_answer(&answer, 200);
    assert_int_equal(answer.body.len, ldb_durable_position(l->f.db).offset);
    fake_answer_release(&answer);
}

static void an_empty_file_is_an_empty_answer(void **state)
{
    struct api_leader *l = *state;
    uint64_t journal = leader_fixture_journal(&l->leader);
    struct fake_answer answer =
        get(l, target(LDB_FILE_JOURNAL, journal, ""), NULL);

    assert_answer(&answer, 200);
    assert_int_equal(answer.body.len, 0);
    assert_header(&answer, "Leveld-Size", "0");
    fake_answer_release(&answer);
    answer = get(l, target(LDB_FILE_JOURNAL, journal, ""), "Range: bytes=0-");
    assert_problem(&answer, 416, "malformed");
    assert_header(&answer, "Content-Range", "bytes */0");
    fake_answer_release(&answer);
}

static void what_is_not_there_is_404(void **state)
{
    static const char *const names[] = {
        "000099.ldb", "LOCK", "CURRENT", "", "%2e%2e", "4.log", "000004.log%00",
    };
    struct api_leader *l = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        struct fake_answer answer;

        (void)snprintf(path, sizeof(path), "/v1/replication/files/%s",
                       names[i]);
        print_message("%s\n", path);
        answer = get(l, path, NULL);
        assert_problem(&answer, 404, "not-found");
        fake_answer_release(&answer);
    }
}

static void what_is_asked_wrongly_is_400(void **state)
{
    static const char *const queries[] = {
        "?from=x", "?from=-1", "?follow=maybe", "?offset=1", "?from=1&from=2",
    };
    struct api_leader *l = *state;
    struct fake_answer answer;

    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        answer = get(l, target(LDB_FILE_JOURNAL, 4, queries[i]), NULL);
        print_message("%s\n", queries[i]);
        assert_problem(&answer, 400, "malformed");
        fake_answer_release(&answer);
    }
    answer = get(l, "/v1/replication/files/%zz", NULL);
    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
}

/* ---- parts ---- */

static void parts_are_told_as_http_has_it(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);
    char range[64];
    struct fake_answer answer;

    answer = get(l, target(LDB_FILE_TABLE, number, ""), "Range: bytes=5-9");
    assert_answer(&answer, 206);
    assert_ldb_slice(ldb_slice_make(bytes.data + 5, 5),
                     ldb_slice_of_buf(&answer.body));
    (void)snprintf(range, sizeof(range), "bytes 5-9/%zu", bytes.len);
    assert_header(&answer, "Content-Range", range);
    fake_answer_release(&answer);
    answer = get(l, target(LDB_FILE_TABLE, number, "?from=7"), NULL);
    assert_answer(&answer, 200);
    assert_ldb_slice(ldb_slice_make(bytes.data + 7, bytes.len - 7),
                     ldb_slice_of_buf(&answer.body));
    assert_header(&answer, "Content-Range", NULL);
    assert_number_header(&answer, "Leveld-Size", bytes.len);
    fake_answer_release(&answer);
    ldb_buf_release(&bytes);
}

static void behind_the_end_is_416(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);
    char text[64];
    struct fake_answer answer;

    (void)snprintf(text, sizeof(text), "?from=%zu", bytes.len);
    answer = get(l, target(LDB_FILE_TABLE, number, text), NULL);
    assert_answer(&answer, 200);
    assert_int_equal(answer.body.len, 0);
    fake_answer_release(&answer);
    (void)snprintf(text, sizeof(text), "?from=%zu", bytes.len + 1);
    answer = get(l, target(LDB_FILE_TABLE, number, text), NULL);
    assert_problem(&answer, 416, "malformed");
    assert_number_header(&answer, "Leveld-Size", bytes.len);
    (void)snprintf(text, sizeof(text), "bytes */%zu", bytes.len);
    assert_header(&answer, "Content-Range", text);
    fake_answer_release(&answer);
    (void)snprintf(text, sizeof(text), "Range: bytes=%zu-", bytes.len);
    answer = get(l, target(LDB_FILE_TABLE, number, ""), text);
    assert_problem(&answer, 416, "malformed");
    assert_number_header(&answer, "Leveld-Size", bytes.len);
    fake_answer_release(&answer);
    ldb_buf_release(&bytes);
}

static void conditions_name_the_file_and_its_length(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);
    char same[96];
    char part[96];
    const char *const headers[] = {"Range: bytes=0-0", part, NULL};
    struct fake_answer answer;

    (void)snprintf(same, sizeof(same),
                   "If-None-Match: \"%06" PRIu64 ".ldb-%zu\"", number,
                   bytes.len);
    answer = get(l, target(LDB_FILE_TABLE, number, ""), same);
    assert_answer(&answer, 304);
    fake_answer_release(&answer);
    answer = get(l, target(LDB_FILE_TABLE, number, ""),
                 "If-None-Match: \"another\"");
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    (void)snprintf(part, sizeof(part), "If-Range: \"%06" PRIu64 ".ldb-%zu\"",
                   number, bytes.len);
    answer = api_call(&l->f, "GET", target(LDB_FILE_TABLE, number, ""), headers,
                      NULL);
    assert_answer(&answer, 206);
    fake_answer_release(&answer);
    (void)snprintf(part, sizeof(part), "If-Range: \"another\"");
    answer = api_call(&l->f, "GET", target(LDB_FILE_TABLE, number, ""), headers,
                      NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    ldb_buf_release(&bytes);
}

/* ---- following ---- */

/* An answer that is begun, and read by hand. */
struct followed {
    struct fake_request request;
    struct fake_exchange *fake;
    struct api_exchange *x;
    struct ldb_buf bytes;
};

static void follow(struct api_leader *l, const char *path,
                   struct followed *followed)
{
    *followed = (struct followed){
        .request = {.method = "GET", .target = path},
        .bytes = LDB_BUF_INIT(FILE_MAX),
    };
    followed->fake = fake_exchange_create(&l->f.context, &followed->request);
    followed->x = fake_exchange_get(followed->fake);
    api_exchange_begin(followed->x);
    if (!followed->x->response.ready)
        api_exchange_finish(followed->x);
    assert_int_equal(followed->x->response.status, 200);
    assert_int_equal(followed->x->response.body_kind, API_BODY_STREAM);
}

/* All there is; what the stream says then: 0, or API_STREAM_... */
static int64_t read_on(struct followed *followed)
{
    struct api_response *response = &followed->x->response;
    uint8_t piece[37];
    int64_t len;

    while ((len = response->stream_ops->read(response->stream, piece,
                                             sizeof(piece))) > 0)
        assert_ldb_ok(ldb_buf_append(&followed->bytes,
                                     ldb_slice_make(piece, (size_t)len)),
                      NULL);
    return len;
}

static void end_follow(struct followed *followed)
{
    api_exchange_abandon(followed->x);
    fake_exchange_destroy(followed->fake);
    ldb_buf_release(&followed->bytes);
}

static void a_follow_goes_on_until_the_file_is_sealed(void **state)
{
    struct api_leader *l = *state;
    uint64_t journal = leader_fixture_journal(&l->leader);
    struct followed followed;
    struct fake_answer whole;

    follow(l, target(LDB_FILE_JOURNAL, journal, "?from=0&follow=true"),
           &followed);
    assert_int_equal(followed.x->response.stream_length, API_LENGTH_UNKNOWN);
    assert_int_equal(read_on(&followed), API_STREAM_WAIT);
    assert_int_equal(followed.bytes.len, 0);
    for (unsigned i = 0; i < 3; i++) {
        (void)leader_fixture_put(&l->leader, "a", "1");
        fake_exchange_wait(followed.fake);
        assert_int_equal(read_on(&followed), API_STREAM_WAIT);
        assert_int_equal(followed.bytes.len,
                         ldb_durable_position(l->f.db).offset);
    }
    (void)leader_fixture_flush_one(&l->leader, "b");
    fake_exchange_wait(followed.fake);
    if (read_on(&followed) == API_STREAM_WAIT) {
        leader_fixture_tick(&l->leader);
        fake_exchange_wait(followed.fake);
        assert_int_equal(read_on(&followed), 0);
    }
    whole = get(l, target(LDB_FILE_JOURNAL, journal, ""), NULL);
    assert_header(&whole, "Leveld-Sealed", "true");
    assert_ldb_slice(ldb_slice_of_buf(&whole.body),
                     ldb_slice_of_buf(&followed.bytes));
    fake_answer_release(&whole);
    end_follow(&followed);
}

static void a_follow_begins_where_it_is_asked_to(void **state)
{
    struct api_leader *l = *state;
    uint64_t journal = leader_fixture_journal(&l->leader);
    struct followed followed;
    struct fake_answer answer;
    char query[64];
    uint64_t len;

    (void)leader_fixture_put(&l->leader, "a", "1");
    len = ldb_durable_position(l->f.db).offset;
    (void)snprintf(query, sizeof(query), "?from=%" PRIu64 "&follow=true", len);
    follow(l, target(LDB_FILE_JOURNAL, journal, query), &followed);
    assert_int_equal(read_on(&followed), API_STREAM_WAIT);
    (void)leader_fixture_put(&l->leader, "b", "1");
    fake_exchange_wait(followed.fake);
    assert_int_equal(read_on(&followed), API_STREAM_WAIT);
    assert_int_equal(followed.bytes.len,
                     ldb_durable_position(l->f.db).offset - len);
    end_follow(&followed);
    (void)snprintf(query, sizeof(query), "?from=%" PRIu64 "&follow=true",
                   2 * len + 100);
    answer = get(l, target(LDB_FILE_JOURNAL, journal, query), NULL);
    assert_problem(&answer, 416, "malformed");
    fake_answer_release(&answer);
}

static void a_follow_is_not_to_be_kept(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);
    struct fake_answer answer =
        get(l, target(LDB_FILE_TABLE, number, "?follow=true"), NULL);

    /* A sealed file ends at once. */
    assert_answer(&answer, 200);
    assert_ldb_slice(ldb_slice_of_buf(&bytes), ldb_slice_of_buf(&answer.body));
    assert_header(&answer, "Cache-Control", "no-store");
    assert_header(&answer, "ETag", NULL);
    assert_int_equal(answer.body_kind, API_BODY_STREAM);
    fake_answer_release(&answer);
    ldb_buf_release(&bytes);
}

static void the_end_of_the_leadership_ends_a_follow(void **state)
{
    struct api_leader *l = *state;
    uint64_t journal = leader_fixture_journal(&l->leader);
    struct followed followed;
    struct fake_answer answer;

    follow(l, target(LDB_FILE_JOURNAL, journal, "?follow=true"), &followed);
    assert_int_equal(read_on(&followed), API_STREAM_WAIT);
    repl_leader_end(l->leader.leader);
    fake_exchange_wait(followed.fake);
    assert_int_equal(read_on(&followed), 0);
    end_follow(&followed);
    answer = get(l, target(LDB_FILE_JOURNAL, journal, ""), NULL);
    assert_problem(&answer, 503, "overloaded");
    fake_answer_release(&answer);
}

static void a_role_that_changes_cuts_it(void **state)
{
    static const struct api_db_gate_reason reason = {
        .kind = API_PROBLEM_NO_LEADER,
        .reason = "changing-role",
        .detail = "the role changes",
        .retry_after_s = 1,
    };
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);
    struct followed followed;

    follow(l, target(LDB_FILE_TABLE, number, ""), &followed);
    api_context_shut(&l->f.context, &reason);
    assert_int_equal(read_on(&followed), API_STREAM_FAILED);
    assert_int_equal(followed.bytes.len, 0);
    end_follow(&followed);
    assert_true(api_db_gate_wait(l->f.context.gate, 0));
    ldb_buf_release(&bytes);
}

/* ---- failures ---- */

static void each_allocation_may_fail(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);

    for (uint64_t n = 1;; n++) {
        struct fake_answer answer;

        mem_fault_start(n, MEM_FAULT_ONCE);
        answer = get(l, target(LDB_FILE_TABLE, number, "?from=1"), NULL);
        if (!mem_fault_stop()) {
            assert_answer(&answer, 200);
            fake_answer_release(&answer);
            break;
        }
        if (answer.status != 200)
            assert_problem(&answer, 503, "overloaded");
        fake_answer_release(&answer);
    }
    ldb_buf_release(&bytes);
}

/* ---- a follower ---- */

/* Tables alone, and of no epoch of its own. */
static void a_follower_shows_its_tables(void **state)
{
    struct api_leader *l = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = make_table(l, &bytes);
    struct fake_answer answer;

    l->f.context.leader = NULL;
    l->f.context.tables = repl_leader_files(l->leader.leader);
    api_role_set(l->f.context.role, REPL_ROLE_FOLLOWER, "http://leader:8080");
    answer = get(l, target(LDB_FILE_TABLE, number, ""), NULL);
    assert_answer(&answer, 200);
    assert_ldb_slice(ldb_slice_of_buf(&bytes), ldb_slice_of_buf(&answer.body));
    assert_header(&answer, "Leveld-Sealed", "true");
    assert_number_header(&answer, "Leveld-Size", bytes.len);
    assert_header(&answer, "Leveld-Epoch-Id", NULL);
    fake_answer_release(&answer);
    answer = head(l, target(LDB_FILE_TABLE, number, ""));
    assert_answer(&answer, 200);
    assert_header(&answer, "Leveld-Epoch-Id", NULL);
    fake_answer_release(&answer);
    answer = get(l, target(LDB_FILE_TABLE, 777, ""), NULL);
    assert_problem(&answer, 404, "not-found");
    fake_answer_release(&answer);
    answer = get(l, target(LDB_FILE_JOURNAL, 4, ""), NULL);
    assert_problem(&answer, 421, "not-leader");
    fake_answer_release(&answer);
    answer = get(l, "/v1/replication/files/CURRENT", NULL);
    assert_problem(&answer, 421, "not-leader");
    fake_answer_release(&answer);
    l->f.context.tables = NULL;
    ldb_buf_release(&bytes);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, api_leader_setup, api_leader_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_table_comes_as_it_is),
        TEST(the_head_has_the_digest),
        TEST(a_growing_file_has_no_digest),
        TEST(an_empty_file_is_an_empty_answer),
        TEST(what_is_not_there_is_404),
        TEST(what_is_asked_wrongly_is_400),
        TEST(parts_are_told_as_http_has_it),
        TEST(behind_the_end_is_416),
        TEST(conditions_name_the_file_and_its_length),
        TEST(a_follow_goes_on_until_the_file_is_sealed),
        TEST(a_follow_begins_where_it_is_asked_to),
        TEST(a_follow_is_not_to_be_kept),
        TEST(the_end_of_the_leadership_ends_a_follow),
        TEST(a_role_that_changes_cuts_it),
        TEST(each_allocation_may_fail),
        TEST(a_follower_shows_its_tables),
    };

    return cmocka_run_group_tests_name("replication_files", tests, NULL, NULL);
}
