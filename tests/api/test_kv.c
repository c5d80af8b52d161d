#include "api/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

/* ---- store and read ---- */

static void what_is_put_is_got_with_its_sequence(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    answer = api_call(f, "PUT", "/v1/kv/a", NULL, "value");
    assert_answer(&answer, 204);
    assert_header(&answer, "ETag", "\"1\"");
    assert_header(&answer, "Leveld-Sequence", "1");
    assert_string_equal(answer.content_type, "");
    assert_int_equal(answer.body_kind, API_BODY_NONE);
    fake_answer_release(&answer);
    (void)api_put(f, "/v1/kv/b", "x");
    answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    assert_answer(&answer, 200);
    assert_body(&answer, "value");
    assert_string_equal(answer.content_type, "application/octet-stream");
    assert_header(&answer, "ETag", "\"1\"");
    assert_header(&answer, "Leveld-Sequence", "2");
    assert_header(&answer, "Accept-Ranges", "bytes");
    fake_answer_release(&answer);
}

static void a_missing_key_is_404_with_what_was_seen(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/a", "1");
    answer = api_call(f, "GET", "/v1/kv/b", NULL, NULL);
    assert_problem(&answer, 404, "not-found");
    assert_header(&answer, "Leveld-Sequence", "1");
    assert_header(&answer, "ETag", NULL);
    fake_answer_release(&answer);
}

static void delete_takes_a_sequence_also_when_absent(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/a", "1");
    answer = api_call(f, "DELETE", "/v1/kv/a", NULL, NULL);
    assert_answer(&answer, 204);
    assert_header(&answer, "Leveld-Sequence", "2");
    assert_header(&answer, "ETag", NULL);
    fake_answer_release(&answer);
    answer = api_call(f, "DELETE", "/v1/kv/a", NULL, NULL);
    assert_answer(&answer, 204);
    assert_header(&answer, "Leveld-Sequence", "3");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    assert_answer(&answer, 404);
    fake_answer_release(&answer);
}

static void every_single_byte_is_a_key_of_its_own(void **state)
{
    struct api_fixture *f = *state;

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned c = 0; c < 256; c++) {
            char target[32];
            char value[8];
            struct fake_answer answer;

            (void)snprintf(value, sizeof(value), "v%u", c);
            (void)snprintf(target, sizeof(target), "/v1/kv/%%%02X", c);
            if (round == 0) {
                (void)api_put(f, target, value);
                continue;
            }
            answer = api_call(f, "GET", target, NULL, NULL);
            assert_body(&answer, value);
            fake_answer_release(&answer);
            (void)snprintf(target, sizeof(target), "/v1/kv/%02x?enc=hex", c);
            answer = api_call(f, "GET", target, NULL, NULL);
            assert_body(&answer, value);
            fake_answer_release(&answer);
        }
    }
    assert_int_equal(ldb_last_sequence(f->db), 256);
}

static void odd_keys_are_kept_apart(void **state)
{
    static const char *const targets[] = {
        "/v1/kv/",           "/v1/kv/%00",    "/v1/kv/%00%00", "/v1/kv/.",
        "/v1/kv/..",         "/v1/kv/a/b",    "/v1/kv//a",     "/v1/kv/a//",
        "/v1/kv/+",          "/v1/kv/%20",    "/v1/kv/%FF%FE", "/v1/kv/%25",
        "/v1/kv/%3F",        "/v1/kv/%23",    "/v1/kv/a%00b",  "/v1/kv/a%00c",
        "/v1/kv/..%2F..%2F", "/v1/kv/%C3%A9",
    };
    struct api_fixture *f = *state;
    size_t count = sizeof(targets) / sizeof(targets[0]);

    for (size_t i = 0; i < count; i++)
        (void)api_put(f, targets[i], targets[i]);
    for (size_t i = 0; i < count; i++) {
        struct fake_answer answer = api_call(f, "GET", targets[i], NULL, NULL);

        assert_answer(&answer, 200);
        assert_body(&answer, targets[i]);
        fake_answer_release(&answer);
    }
}

static void one_key_has_many_spellings(void **state)
{
    static const char *const targets[] = {"/v1/kv/a/b",
                                          "/v1/kv/a%2Fb",
                                          "/v1/kv/%61%2f%62",
                                          "/v1/kv/612f62?enc=hex",
                                          "/v1/kv/612F62?enc=hex",
                                          "/v1/kv/YS9i?enc=base64url",
                                          "/v1/kv/%59S9i?%65nc=base64url"};
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a/b", "same");
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct fake_answer answer = api_call(f, "GET", targets[i], NULL, NULL);

        assert_answer(&answer, 200);
        assert_body(&answer, "same");
        fake_answer_release(&answer);
    }
}

static void values_of_any_size_come_back_whole(void **state)
{
    static const size_t sizes[] = {0,     1,     4095,  4096,   4097,
                                   32761, 32768, 65536, 100000, 1048577};
    struct api_fixture *f = *state;
    uint64_t seed = 1;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *value = test_malloc(sizes[i] + 1);
        struct fake_answer answer;

        bytes_fill(&seed, value, sizes[i]);
        answer = api_call_bytes(f, "PUT", "/v1/kv/a?sync=false", NULL,
                                ldb_slice_make(value, sizes[i]));
        assert_answer(&answer, 204);
        fake_answer_release(&answer);
        answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
        assert_answer(&answer, 200);
        assert_true(ldb_slice_equal(ldb_slice_make(value, sizes[i]),
                                    ldb_slice_of_buf(&answer.body)));
        fake_answer_release(&answer);
        test_free(value);
    }
}

/* ---- conditions ---- */

static void writes_hold_to_their_conditions(void **state)
{
    static const struct {
        const char *name;
        const char *target; /* "a" is at 1, "no" is absent */
        const char *header;
        unsigned status;
        const char *current; /* of a 412 */
    } rows[] = {
        {"right tag", "/v1/kv/a", "If-Match: \"1\"", 204, NULL},
        {"wrong tag", "/v1/kv/a", "If-Match: \"2\"", 412, "\"current\":1}"},
        {"one of a list", "/v1/kv/a", "If-Match: \"7\", \"1\"", 204, NULL},
        {"weak tag", "/v1/kv/a", "If-Match: W/\"1\"", 412, "\"current\":1}"},
        {"foreign tag", "/v1/kv/a", "If-Match: \"x\"", 412, "\"current\":1}"},
        {"star", "/v1/kv/a", "If-Match: *", 204, NULL},
        {"tag, absent", "/v1/kv/no", "If-Match: \"1\"", 412,
         "\"current\":null}"},
        {"star, absent", "/v1/kv/no", "If-Match: *", 412, "\"current\":null}"},
        {"none star", "/v1/kv/a", "If-None-Match: *", 412, "\"current\":1}"},
        {"none star, absent", "/v1/kv/no", "If-None-Match: *", 204, NULL},
        {"none of it", "/v1/kv/a", "If-None-Match: \"1\"", 412,
         "\"current\":1}"},
        {"none of another", "/v1/kv/a", "If-None-Match: \"2\"", 204, NULL},
        {"none of it weakly", "/v1/kv/a", "If-None-Match: W/\"1\"", 412,
         "\"current\":1}"},
        {"none of it, absent", "/v1/kv/no", "If-None-Match: \"1\"", 204, NULL},
    };
    static const char *const methods[] = {"PUT", "DELETE"};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t m = 0; m < 2; m++) {
            const char *headers[] = {rows[i].header, NULL};
            void *fixture = NULL;
            struct fake_answer answer;
            ldb_sequence last;

            (void)api_fixture_setup(&fixture);
            (void)api_put(fixture, "/v1/kv/a", "1");
            answer = api_call(fixture, methods[m], rows[i].target, headers,
                              m == 0 ? "new" : "");
            if (answer.status != rows[i].status)
                fail_msg("%s %s: %u", methods[m], rows[i].name, answer.status);
            if (rows[i].current != NULL) {
                assert_problem(&answer, 412, "precondition-failed");
                assert_ldb_ok(ldb_buf_append_byte(&answer.body, 0), NULL);
                assert_non_null(
                    strstr((char *)answer.body.data, rows[i].current));
            }
            last = ldb_last_sequence(((struct api_fixture *)fixture)->db);
            assert_int_equal(last, rows[i].status == 204 ? 2 : 1);
            fake_answer_release(&answer);
            (void)api_fixture_teardown(&fixture);
        }
    }
    (void)state;
}

static void reads_hold_to_their_conditions(void **state)
{
    static const struct {
        const char *target;
        const char *headers[3];
        unsigned status;
    } rows[] = {
        {"/v1/kv/a", {"If-None-Match: \"1\""}, 304},
        {"/v1/kv/a", {"If-None-Match: W/\"1\""}, 304},
        {"/v1/kv/a", {"If-None-Match: \"5\", \"1\""}, 304},
        {"/v1/kv/a", {"If-None-Match: *"}, 304},
        {"/v1/kv/a", {"If-None-Match: \"2\""}, 200},
        {"/v1/kv/no", {"If-None-Match: *"}, 404},
        {"/v1/kv/a", {"If-Match: \"1\""}, 200},
        {"/v1/kv/a", {"If-Match: *"}, 200},
        {"/v1/kv/a", {"If-Match: \"2\""}, 412},
        {"/v1/kv/a", {"If-Match: W/\"1\""}, 412},
        {"/v1/kv/no", {"If-Match: \"1\""}, 412},
        {"/v1/kv/a", {"If-Match: \"2\"", "If-None-Match: \"1\""}, 412},
        {"/v1/kv/a", {"If-Match: \"1\"", "If-None-Match: \"1\""}, 304},
    };
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "1");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer =
            api_call(f, "GET", rows[i].target, rows[i].headers, NULL);

        if (answer.status != rows[i].status)
            fail_msg("%s %s: %u", rows[i].target, rows[i].headers[0],
                     answer.status);
        if (answer.status == 304) {
            assert_int_equal(answer.body.len, 0);
            assert_header(&answer, "ETag", "\"1\"");
        }
        if (answer.status == 412)
            assert_problem(&answer, 412, "precondition-failed");
        fake_answer_release(&answer);
    }
}

/* ---- Range ---- */

static void a_range_is_one_part_or_the_whole(void **state)
{
    static const struct {
        const char *headers[3];
        unsigned status;
        const char *body;
        const char *content_range;
    } rows[] = {
        {{"Range: bytes=0-0"}, 206, "0", "bytes 0-0/10"},
        {{"Range: bytes=2-4"}, 206, "234", "bytes 2-4/10"},
        {{"Range: bytes=7-"}, 206, "789", "bytes 7-9/10"},
        {{"Range: bytes=7-99"}, 206, "789", "bytes 7-9/10"},
        {{"Range: bytes=-3"}, 206, "789", "bytes 7-9/10"},
        {{"Range: bytes=-99"}, 206, "0123456789", "bytes 0-9/10"},
        {{"Range: bytes=10-"}, 416, NULL, "bytes */10"},
        {{"Range: bytes=99-100"}, 416, NULL, "bytes */10"},
        {{"Range: bytes=-0"}, 416, NULL, "bytes */10"},
        {{"Range: bytes=4-2"}, 200, "0123456789", NULL},
        {{"Range: bytes=0-1,3-4"}, 200, "0123456789", NULL},
        {{"Range: bytes=-"}, 200, "0123456789", NULL},
        {{"Range: bytes="}, 200, "0123456789", NULL},
        {{"Range: bytes=a-b"}, 200, "0123456789", NULL},
        {{"Range: bytes=1-2x"}, 200, "0123456789", NULL},
        {{"Range: bytes=99999999999999999999-"}, 200, "0123456789", NULL},
        {{"Range: lines=1-2"}, 200, "0123456789", NULL},
        {{"Range: bytes=0-0", "Range: bytes=1-1"}, 200, "0123456789", NULL},
        {{"Range: bytes=0-0", "If-Range: \"1\""}, 206, "0", "bytes 0-0/10"},
        {{"Range: bytes=0-0", "If-Range: \"2\""}, 200, "0123456789", NULL},
        {{"Range: bytes=0-0", "If-Range: W/\"1\""}, 200, "0123456789", NULL},
        {{"Range: bytes=0-0", "If-Range: Sun, 06 Nov 1994 08:49:37 GMT"},
         200,
         "0123456789",
         NULL},
        {{"Range: bytes=0-0", "If-None-Match: \"1\""}, 304, "", NULL},
    };
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "0123456789");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer =
            api_call(f, "GET", "/v1/kv/a", rows[i].headers, NULL);

        if (answer.status != rows[i].status)
            fail_msg("%s: %u", rows[i].headers[0], answer.status);
        if (rows[i].body != NULL)
            assert_body(&answer, rows[i].body);
        else
            assert_problem(&answer, 416, "malformed");
        assert_header(&answer, "Content-Range", rows[i].content_range);
        fake_answer_release(&answer);
    }
}

static void an_empty_value_has_no_range(void **state)
{
    static const char *const headers[] = {"Range: bytes=0-", NULL};
    struct api_fixture *f = *state;
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/a", "");
    answer = api_call(f, "GET", "/v1/kv/a", headers, NULL);
    assert_problem(&answer, 416, "malformed");
    assert_header(&answer, "Content-Range", "bytes */0");
    fake_answer_release(&answer);
    answer = api_call(f, "HEAD", "/v1/kv/a", headers, NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
}

/* ---- the JSON form ---- */

static void accept_json_gives_key_value_and_sequence(void **state)
{
    static const struct {
        const char *target;
        const char *body;
    } rows[] = {
        {"/v1/kv/a", "{\"key\":\"a\",\"value\":\"\\u0001\\\"\xc3\xa9\","
                     "\"sequence\":1}\n"},
        {"/v1/kv/a?encoding=hex",
         "{\"key\":\"61\",\"value\":\"0122c3a9\",\"sequence\":1}\n"},
        {"/v1/kv/%FF", "{\"key\":\"/w==\",\"value\":\"dg==\",\"sequence\":2,"
                       "\"encoding\":\"base64\"}\n"},
    };
    static const char *const headers[] = {"Accept: application/json", NULL};
    struct api_fixture *f = *state;

    (void)api_put(f, "/v1/kv/a", "\x01\"\xc3\xa9");
    (void)api_put(f, "/v1/kv/%FF", "v");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer =
            api_call(f, "GET", rows[i].target, headers, NULL);

        assert_answer(&answer, 200);
        assert_string_equal(answer.content_type, "application/json");
        assert_header(&answer, "Accept-Ranges", NULL);
        assert_header(&answer, "Vary", "Accept");
        assert_body(&answer, rows[i].body);
        fake_answer_release(&answer);
    }
}

/* ---- writes that cannot be ---- */

static void a_read_only_node_refuses_writes(void **state)
{
    static const char *const methods[] = {"PUT", "DELETE"};
    struct api_fixture *f = *state;

    f->context.read_only = true;
    for (size_t i = 0; i < 2; i++) {
        struct fake_answer answer =
            api_call(f, methods[i], "/v1/kv/a", NULL, NULL);

        assert_problem(&answer, 409, "read-only");
        fake_answer_release(&answer);
    }
}

static bool holds(struct api_fixture *f, const char *value)
{
    struct fake_answer answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    bool is_it =
        ldb_slice_equal(ldb_slice_of_buf(&answer.body), ldb_slice_str(value));

    fake_answer_release(&answer);
    return is_it;
}

static bool says(const struct fake_answer *answer, const char *text)
{
    return memmem(answer->body.data, answer->body.len, text, strlen(text)) !=
           NULL;
}

static void a_put_without_memory_is_not_half_done(void **state)
{
    struct api_fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        char value[32];
        struct fake_answer answer;
        bool failed;

        (void)snprintf(value, sizeof(value), "v%u", (unsigned)n);
        mem_fault_start(n, MEM_FAULT_ONCE);
        answer = api_call(f, "PUT", "/v1/kv/%61?sync=false", NULL, value);
        failed = mem_fault_stop();
        if (answer.status == 204)
            assert_true(holds(f, value));
        else if (answer.status != 503)
            fail_msg("%u", answer.status);
        else if (!says(&answer, "outcome-unknown"))
            assert_false(holds(f, value));
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
        FIXTURE_TEST(what_is_put_is_got_with_its_sequence),
        FIXTURE_TEST(a_missing_key_is_404_with_what_was_seen),
        FIXTURE_TEST(delete_takes_a_sequence_also_when_absent),
        FIXTURE_TEST(every_single_byte_is_a_key_of_its_own),
        FIXTURE_TEST(odd_keys_are_kept_apart),
        FIXTURE_TEST(one_key_has_many_spellings),
        FIXTURE_TEST(values_of_any_size_come_back_whole),
        cmocka_unit_test(writes_hold_to_their_conditions),
        FIXTURE_TEST(reads_hold_to_their_conditions),
        FIXTURE_TEST(a_range_is_one_part_or_the_whole),
        FIXTURE_TEST(an_empty_value_has_no_range),
        FIXTURE_TEST(accept_json_gives_key_value_and_sequence),
        FIXTURE_TEST(a_read_only_node_refuses_writes),
        FIXTURE_TEST(a_put_without_memory_is_not_half_done),
    };

    return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
