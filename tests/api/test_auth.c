#include "api/auth.h"

#include <string.h>

#include "api/router.h"
#include "api/tokens.h"
#include "storage/base/buf.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

/* printf %s reader | sha256sum, and so on. */
#define HASH_READER                                                            \
    "3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30"
#define HASH_WRITER                                                            \
    "b93006774cbdd4b299389a03ac3d88c3a76b460d538795bc12718011a909fba5"
#define HASH_ADMIN                                                             \
    "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918"
#define HASH_MINE                                                              \
    "3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff"

static int setup(void **state)
{
    struct api_tokens *tokens = NULL;
    struct ldb_error err = {0};
    struct api_fixture *f;

    if (api_fixture_setup(state) != 0)
        return -1;
    f = *state;
    assert_ldb_ok(
        api_tokens_parse(ldb_slice_str("reader " HASH_READER " read\n"
                                       "writer " HASH_WRITER " write\n"
                                       "admin " HASH_ADMIN " admin\n"
                                       "mine " HASH_MINE
                                       " read,write prefix=m%2F\n"),
                         &err, &tokens),
        &err);
    api_token_store_set(f->context.tokens, tokens);
    return 0;
}

static struct fake_answer call(struct api_fixture *f, const char *authorization,
                               const char *method, const char *target,
                               const char *content_type, const char *body)
{
    const char *headers[3] = {0};
    size_t count = 0;

    if (authorization != NULL)
        headers[count++] = authorization;
    if (content_type != NULL)
        headers[count++] = content_type;
    return api_call(f, method, target, headers, body);
}

static void a_token_is_asked_for_and_told_how(void **state)
{
    static const struct {
        const char *authorization;
        unsigned status;
        const char *challenge;
    } rows[] = {
        {NULL, 401, "Bearer realm=\"leveld\""},
        {"Authorization: ", 401, "Bearer realm=\"leveld\""},
        {"Authorization: Basic cmVhZGVyOg==", 401, "Bearer realm=\"leveld\""},
        {"Authorization: Bearer", 401, "Bearer realm=\"leveld\""},
        {"Authorization: Bearer ", 401, "Bearer realm=\"leveld\""},
        {"Authorization: Bearer nobody", 401,
         "Bearer realm=\"leveld\", error=\"invalid_token\""},
        {"Authorization: Bearer reader ", 401,
         "Bearer realm=\"leveld\", error=\"invalid_token\""},
        {"Authorization: Bearer writer", 403,
         "Bearer error=\"insufficient_scope\", scope=\"read\""},
        {"Authorization: Bearer admin", 403,
         "Bearer error=\"insufficient_scope\", scope=\"read\""},
        {"Authorization: Bearer reader", 404, NULL},
        {"Authorization: bearer   reader", 404, NULL},
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer =
            call(f, rows[i].authorization, "GET", "/v1/kv/a", NULL, NULL);

        assert_problem(&answer, rows[i].status,
                       rows[i].status == 401   ? "unauthorized"
                       : rows[i].status == 403 ? "forbidden"
                                               : "not-found");
        assert_header(&answer, "WWW-Authenticate", rows[i].challenge);
        fake_answer_release(&answer);
    }
}

static void two_tokens_in_one_request_are_malformed(void **state)
{
    static const char *const headers[] = {"Authorization: Bearer reader",
                                          "Authorization: Bearer writer", NULL};
    struct fake_answer answer =
        api_call(*state, "GET", "/v1/kv/a", headers, NULL);

    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
}

/* A route that forgot its scope would be open to all. */
static void every_route_but_five_has_a_scope(void **state)
{
    static const char *const open[] = {"GET /healthz", "GET /readyz",
                                       "GET /version", "GET /openapi.json",
                                       "GET /"};
    size_t count;
    const struct api_route *routes = api_routes(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        bool is_open = false;

        for (size_t j = 0; j < sizeof(open) / sizeof(open[0]); j++)
            is_open |= strcmp(routes[i].name, open[j]) == 0;
        if (is_open != (routes[i].scope == 0))
            fail_msg("%s: scope %u", routes[i].name, routes[i].scope);
        if (!is_open)
            assert_true(api_scope_name(routes[i].scope)[0] != '\0');
        /* What changes something is no reading. */
        if ((routes[i].methods & (API_METHOD_BIT(API_PUT))) != 0)
            assert_int_equal(routes[i].scope, API_SCOPE_WRITE);
    }
}

static void a_body_is_refused_before_it_is_sent(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer = call(f, "Authorization: Bearer reader", "PUT",
                                     "/v1/kv/a", NULL, "value");

    assert_problem(&answer, 403, "forbidden");
    fake_answer_release(&answer);
    answer = call(f, NULL, "PUT", "/v1/kv/a", NULL, "value");
    assert_problem(&answer, 401, "unauthorized");
    fake_answer_release(&answer);
    assert_int_equal(ldb_last_sequence(f->db), 0);
}

static const char json[] = "Content-Type: application/json";
static const char ndjson[] = "Content-Type: application/x-ndjson";
static const char leveldb[] = "Content-Type: application/vnd.leveldb.batch";
static const struct {
    const char *method;
    const char *target;
    const char *type;
    const char *body;
    unsigned status;
} prefix_rows[] = {
    {"PUT", "/v1/kv/m%2Fa", NULL, "1", 204},
    {"PUT", "/v1/kv/m/", NULL, "1", 204},
    {"PUT", "/v1/kv/m", NULL, "1", 403},
    {"PUT", "/v1/kv/a", NULL, "1", 403},
    {"PUT", "/v1/kv/6d2f61?enc=hex", NULL, "1", 204},
    {"GET", "/v1/kv/m%2Fa", NULL, NULL, 200},
    {"GET", "/v1/kv/m0", NULL, NULL, 403},
    {"HEAD", "/v1/kv/a", NULL, NULL, 403},
    {"DELETE", "/v1/kv/a", NULL, NULL, 403},
    {"DELETE", "/v1/kv/m%2Fzz", NULL, NULL, 204},
    {"POST", "/v1/multiget", json, "{\"keys\":[\"m/a\",\"m/\"]}", 200},
    {"POST", "/v1/multiget", json, "{\"keys\":[\"m/a\",\"n\"]}", 403},
    {"GET", "/v1/range", NULL, NULL, 403},
    {"GET", "/v1/range?prefix=m%2F", NULL, NULL, 200},
    {"GET", "/v1/range?prefix=m%2Fa", NULL, NULL, 200},
    {"GET", "/v1/range?prefix=m", NULL, NULL, 403},
    {"GET", "/v1/range?start=m%2F&end=m0", NULL, NULL, 200},
    {"GET", "/v1/range?start=m%2F&end=m%2Fz", NULL, NULL, 200},
    {"GET", "/v1/range?start=m%2F&end=m0%00", NULL, NULL, 403},
    {"GET", "/v1/range?start=m%2F&end=n", NULL, NULL, 403},
    {"GET", "/v1/range?start=m%2F", NULL, NULL, 403},
    {"GET", "/v1/range?start=m.&end=m0", NULL, NULL, 403},
    {"GET", "/v1/range?end=m0", NULL, NULL, 403},
    {"GET", "/v1/size?start=m%2F&end=m0", NULL, NULL, 200},
    {"GET", "/v1/size", NULL, NULL, 403},
    {"DELETE", "/v1/range?prefix=m", NULL, NULL, 403},
    {"DELETE", "/v1/range?start=", NULL, NULL, 403},
    {"DELETE", "/v1/range?prefix=m%2Fnone", NULL, NULL, 200},
    {"POST", "/v1/batch", json,
     "{\"ops\":[{\"op\":\"put\",\"key\":\"m/b\",\"value\":\"1\"},"
     "{\"op\":\"delete-range\",\"start\":\"m/c\",\"end\":\"m/d\"}],"
     "\"if\":[{\"key\":\"m/b\",\"exists\":false}]}",
     200},
    {"POST", "/v1/batch", json,
     "{\"ops\":[{\"op\":\"put\",\"key\":\"m/c\",\"value\":\"1\"},"
     "{\"op\":\"delete\",\"key\":\"n\"}]}",
     403},
    {"POST", "/v1/batch", json,
     "{\"ops\":[{\"op\":\"delete-range\",\"start\":\"m/c\"}]}", 403},
    {"POST", "/v1/batch", json,
     "{\"ops\":[],\"if\":[{\"key\":\"n\",\"exists\":false}]}", 403},
    {"POST", "/v1/batch", ndjson,
     "{\"op\":\"put\",\"key\":\"m/b\",\"value\":\"1\"}\n", 200},
    {"POST", "/v1/batch", ndjson,
     "{\"op\":\"put\",\"key\":\"m/b\",\"value\":\"1\"}\n"
     "{\"op\":\"delete\",\"key\":\"n\"}\n",
     403},
    {"POST", "/v1/batch", ndjson,
     "{\"op\":\"delete-range\",\"start\":\"a\",\"end\":\"z\"}\n", 403},
    {"POST", "/v1/batch", leveldb, "", 403}, /* bytes below */
};

static void a_prefix_holds_for_every_key_of_a_request(void **state)
{
    static const char bytes[] = "\0\0\0\0\0\0\0\0\x01\0\0\0\x01\x01n\x01v";
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(prefix_rows) / sizeof(prefix_rows[0]); i++) {
        const char *headers[] = {"Authorization: Bearer mine",
                                 prefix_rows[i].type, NULL};
        struct ldb_slice body = prefix_rows[i].type == leveldb
                                    ? ldb_slice_make(bytes, sizeof(bytes) - 1)
                                    : ldb_slice_str(prefix_rows[i].body == NULL
                                                        ? ""
                                                        : prefix_rows[i].body);
        ldb_sequence before = ldb_last_sequence(f->db);
        struct fake_answer answer = api_call_bytes(
            f, prefix_rows[i].method, prefix_rows[i].target, headers, body);

        if (answer.status != prefix_rows[i].status)
            fail_msg("%s %s: %u", prefix_rows[i].method, prefix_rows[i].target,
                     answer.status);
        if (prefix_rows[i].status == 403)
            assert_int_equal(ldb_last_sequence(f->db), before);
        fake_answer_release(&answer);
    }
}

/* Up to three bytes out of four: their number. */
#define WORDS (1 + 4 + 16 + 64)

static void make_words(uint8_t bytes[WORDS][3], struct ldb_slice words[WORDS])
{
    static const uint8_t alphabet[] = {0, 'a', 'b', UINT8_MAX};
    size_t combinations = 1;
    size_t count = 0;

    for (size_t len = 0; len <= 3; len++, combinations *= 4) {
        for (size_t n = 0; n < combinations; n++, count++) {
            size_t rest = n;

            for (size_t i = 0; i < len; i++, rest /= 4)
                bytes[count][i] = alphabet[rest % 4];
            words[count] = ldb_slice_make(bytes[count], len);
        }
    }
    assert_int_equal(count, WORDS);
}

/* By the definition: it has a key, and every key has the prefix. */
static bool is_within(const struct ldb_slice words[WORDS],
                      struct ldb_slice prefix, struct ldb_slice lower,
                      const struct ldb_slice *upper)
{
    bool is_empty = true;

    for (size_t i = 0; i < WORDS; i++) {
        if (ldb_slice_compare(words[i], lower) < 0 ||
            (upper != NULL && ldb_slice_compare(words[i], *upper) >= 0))
            continue;
        if (!ldb_slice_starts_with(words[i], prefix))
            return false;
        is_empty = false;
    }
    return !is_empty;
}

static void a_range_is_within_a_prefix_when_all_its_keys_are(void **state)
{
    static const char *const prefixes[] = {"",      "a",        "\xff",
                                           "a\xff", "\xff\xff", "\xff\x61"};
    struct ldb_slice words[WORDS];
    uint8_t bytes[WORDS][3];

    (void)state;
    make_words(bytes, words);
    for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++) {
        struct api_token token = {.has_prefix = true,
                                  .prefix = ldb_slice_str(prefixes[p])};
        struct api_exchange x = {.token = &token};

        for (size_t n = 0; n < WORDS * (WORDS + 1); n++) {
            struct ldb_slice lower = words[n % WORDS];
            const struct ldb_slice *upper =
                n / WORDS == WORDS ? NULL : &words[n / WORDS];
            bool is_allowed = api_auth_has_range(&x, lower, upper);

            /* Of an empty range nothing is read: either is fine. */
            if (upper == NULL || ldb_slice_compare(lower, *upper) < 0)
                assert_int_equal(is_allowed,
                                 is_within(words, token.prefix, lower, upper));
        }
    }
}

static void a_check_without_memory_lets_nobody_in(void **state)
{
    struct api_fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct fake_answer answer;
        bool failed;

        mem_fault_start(n, MEM_FAULT_ONCE);
        answer = call(f, NULL, "GET", "/v1/kv/a", NULL, NULL);
        failed = mem_fault_stop();
        if (answer.status != 401)
            assert_int_equal(answer.status, 503);
        fake_answer_release(&answer);
        if (!failed)
            break;
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_token_is_asked_for_and_told_how),
        FIXTURE_TEST(two_tokens_in_one_request_are_malformed),
        cmocka_unit_test(every_route_but_five_has_a_scope),
        FIXTURE_TEST(a_body_is_refused_before_it_is_sent),
        FIXTURE_TEST(a_prefix_holds_for_every_key_of_a_request),
        cmocka_unit_test(a_range_is_within_a_prefix_when_all_its_keys_are),
        FIXTURE_TEST(a_check_without_memory_lets_nobody_in),
    };

    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
