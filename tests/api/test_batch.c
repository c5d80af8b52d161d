#include "api/batch.h"

#include <string.h>

#include "storage/journal/write_batch.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static const char *const json_headers[] = {"Content-Type: application/json",
                                           NULL};
static const char *const leveldb_headers[] = {
    "Content-Type: application/vnd.leveldb.batch", NULL};

static struct fake_answer post(struct api_fixture *f, const char *body)
{
    return api_call(f, "POST", "/v1/batch", json_headers, body);
}

static void assert_value(struct api_fixture *f, const char *key,
                         const char *value)
{
    char target[64];
    struct fake_answer answer;

    (void)snprintf(target, sizeof(target), "/v1/kv/%s", key);
    answer = api_call(f, "GET", target, NULL, NULL);
    if (value == NULL) {
        assert_answer(&answer, 404);
    } else {
        assert_answer(&answer, 200);
        assert_body(&answer, value);
    }
    fake_answer_release(&answer);
}

static void a_json_batch_is_written_whole(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/b", "old");
    answer = post(f, "{\"ops\":[{\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"},"
                     "{\"op\":\"delete\",\"key\":\"b\"}]}");
    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "application/json");
    assert_body(&answer, "{\"sequence\":3,\"count\":2}\n");
    assert_header(&answer, "Leveld-Sequence", "3");
    fake_answer_release(&answer);
    assert_value(f, "a", "1");
    assert_value(f, "b", NULL);
}

static void an_empty_batch_takes_no_sequence(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/a", "1");
    answer = post(f, "{\"ops\":[]}");
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"sequence\":1,\"count\":0}\n");
    fake_answer_release(&answer);
    assert_int_equal(ldb_last_sequence(f->db), 1);
}

static void leveldb_bytes_are_taken_as_they_are(void **state)
{
    static const char bytes[] =
        /* A sequence of its own, which is not kept. */
        "\x63\0\0\0\0\0\0\0\x03\0\0\0"
        "\x01\x01"
        "a\x03v\0w"
        "\x01\x01"
        "b\0"
        "\0\x01"
        "c";
    struct api_fixture *f = *state;
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/c", "old");
    answer = api_call_bytes(f, "POST", "/v1/batch?sync=false", leveldb_headers,
                            ldb_slice_make(bytes, sizeof(bytes) - 1));
    assert_answer(&answer, 200);
    assert_body(&answer, "{\"sequence\":4,\"count\":3}\n");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", "/v1/kv/a", NULL, NULL);
    assert_ldb_bytes("v\0w", ldb_slice_of_buf(&answer.body));
    assert_header(&answer, "ETag", "\"2\"");
    fake_answer_release(&answer);
    assert_value(f, "b", "");
    assert_value(f, "c", NULL);
}

static void a_false_condition_is_named_and_nothing_written(void **state)
{
    static const struct {
        const char *conditions;
        const char *members; /* of the 412; NULL: it holds */
    } rows[] = {
        {"{\"key\":\"a\",\"sequence\":1}", NULL},
        {"{\"key\":\"a\",\"exists\":true}", NULL},
        {"{\"key\":\"no\",\"exists\":false}", NULL},
        {"{\"key\":\"a\",\"sequence\":1},{\"key\":\"no\",\"exists\":false}",
         NULL},
        {"{\"key\":\"a\",\"sequence\":2}",
         "\"index\":0,\"key\":\"a\",\"current\":1}"},
        {"{\"key\":\"a\",\"exists\":false}",
         "\"index\":0,\"key\":\"a\",\"current\":1}"},
        {"{\"key\":\"a\",\"exists\":true},{\"key\":\"no\",\"exists\":true}",
         "\"index\":1,\"key\":\"no\",\"current\":null}"},
        {"{\"key\":\"no\",\"sequence\":0}",
         "\"index\":0,\"key\":\"no\",\"current\":null}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *fixture = NULL;
        struct fake_answer answer;
        char body[256];

        (void)api_fixture_setup(&fixture);
        (void)api_put(fixture, "/v1/kv/a", "1");
        (void)snprintf(body, sizeof(body),
                       "{\"ops\":[{\"op\":\"put\",\"key\":\"a\",\"value\":"
                       "\"new\"}],\"if\":[%s]}",
                       rows[i].conditions);
        answer = post(fixture, body);
        if (rows[i].members == NULL) {
            assert_answer(&answer, 200);
        } else {
            assert_problem(&answer, 412, "precondition-failed");
            assert_ldb_ok(ldb_buf_append_byte(&answer.body, 0), NULL);
            if (strstr((char *)answer.body.data, rows[i].members) == NULL)
                fail_msg("%s: %s", body, (char *)answer.body.data);
        }
        assert_value(fixture, "a", rows[i].members == NULL ? "new" : "1");
        fake_answer_release(&answer);
        (void)api_fixture_teardown(&fixture);
    }
}

static void delete_range_covers_what_stands_before_it(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    (void)api_put(f, "/v1/kv/a", "1");
    (void)api_put(f, "/v1/kv/b", "1");
    (void)api_put(f, "/v1/kv/d", "1");
    answer =
        post(f, "{\"ops\":[{\"op\":\"put\",\"key\":\"ab\",\"value\":\"2\"},"
                "{\"op\":\"delete-range\",\"start\":\"a\",\"end\":\"d\"},"
                "{\"op\":\"put\",\"key\":\"b\",\"value\":\"3\"}]}");
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    assert_value(f, "a", NULL);
    assert_value(f, "ab", NULL);
    assert_value(f, "b", "3");
    assert_value(f, "d", "1");
}

static void a_delete_range_of_too_many_keys_is_413(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_batch batch;
    struct ldb_write write = {.batch = &batch};
    struct fake_answer answer;

    ldb_batch_init(&batch, (size_t)1 << 20);
    for (uint32_t i = 0; i <= LDB_DELETE_RANGE_KEYS_MAX; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "k%06u", i);
        assert_ldb_ok(
            ldb_batch_put(&batch, ldb_slice_str(key), ldb_slice_str("")), NULL);
    }
    assert_ldb_ok(ldb_write_wait(f->db, &write), &write.error);
    ldb_batch_release(&batch);
    answer = post(f, "{\"ops\":[{\"op\":\"delete-range\",\"start\":\"k\"}]}");
    assert_problem(&answer, 413, "too-large");
    fake_answer_release(&answer);
    assert_value(f, "k000000", "");
    answer = post(f, "{\"ops\":[{\"op\":\"delete-range\",\"start\":"
                     "\"k000001\"}]}");
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    assert_value(f, "k000000", "");
    assert_value(f, "k000001", NULL);
}

static void items_over_a_limit_are_413_with_their_index(void **state)
{
    static const char bytes[] = "\0\0\0\0\0\0\0\0\x02\0\0\0"
                                "\x01\x01"
                                "a\x01v"
                                "\x01\x03"
                                "bbb\0";
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *body;

    f->context.limits.key_bytes = 2;
    answer = api_call_bytes(f, "POST", "/v1/batch", leveldb_headers,
                            ldb_slice_make(bytes, sizeof(bytes) - 1));
    assert_problem(&answer, 413, "too-large");
    body = answer_json(&answer);
    assert_int_equal(json_integer_value(json_object_get(body, "index")), 1);
    json_decref(body);
    fake_answer_release(&answer);
    f->context.limits.key_bytes = 3;
    f->context.limits.value_bytes = 0;
    answer = api_call_bytes(f, "POST", "/v1/batch", leveldb_headers,
                            ldb_slice_make(bytes, sizeof(bytes) - 1));
    assert_problem(&answer, 413, "too-large");
    fake_answer_release(&answer);
    assert_int_equal(ldb_last_sequence(f->db), 0);
}

static void a_batch_over_its_form_s_limit_is_413(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    f->context.limits.batch_bytes = 16;
    f->context.limits.json_batch_bytes = 64;
    answer = api_call_bytes(f, "POST", "/v1/batch", leveldb_headers,
                            ldb_slice_str("12345678901234567"));
    assert_problem(&answer, 413, "too-large");
    fake_answer_release(&answer);
    answer = post(f, "{\"ops\":[{\"op\":\"put\",\"key\":\"abcdef\","
                     "\"value\":\"\"}]}");
    assert_problem(&answer, 413, "too-large");
    fake_answer_release(&answer);
    answer = post(f, "{\"ops\":[{\"op\":\"put\",\"key\":\"abcdef\","
                     "\"value\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}]}");
    assert_problem(&answer, 413, "too-large");
    fake_answer_release(&answer);
    assert_int_equal(ldb_last_sequence(f->db), 0);
}

static void a_form_is_refused_with_a_hint(void **state)
{
    static const char *const headers[] = {
        "Content-Type: application/x-www-form-urlencoded", NULL};
    struct fake_answer answer =
        api_call(*state, "POST", "/v1/batch", headers, "{\"ops\":[]}");

    assert_problem(&answer, 415, "unsupported-media-type");
    assert_ldb_ok(ldb_buf_append_byte(&answer.body, 0), NULL);
    assert_non_null(strstr((char *)answer.body.data,
                           "-H 'Content-Type: application/json'"));
    fake_answer_release(&answer);
}

static void a_batch_without_memory_is_not_half_done(void **state)
{
    struct api_fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct fake_answer answer;
        bool failed;

        mem_fault_start(n, MEM_FAULT_ONCE);
        answer = api_call(f, "POST", "/v1/batch?sync=false", json_headers,
                          "{\"ops\":[{\"op\":\"put\",\"key\":\"61\","
                          "\"value\":\"62\"},{\"op\":\"delete\",\"key\":\"63\"}"
                          "],\"encoding\":\"hex\"}");
        failed = mem_fault_stop();
        if (answer.status == 200)
            assert_value(f, "a", "b");
        else if (answer.status != 503)
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
        FIXTURE_TEST(a_json_batch_is_written_whole),
        FIXTURE_TEST(an_empty_batch_takes_no_sequence),
        FIXTURE_TEST(leveldb_bytes_are_taken_as_they_are),
        cmocka_unit_test(a_false_condition_is_named_and_nothing_written),
        FIXTURE_TEST(delete_range_covers_what_stands_before_it),
        FIXTURE_TEST(a_delete_range_of_too_many_keys_is_413),
        FIXTURE_TEST(items_over_a_limit_are_413_with_their_index),
        FIXTURE_TEST(a_batch_over_its_form_s_limit_is_413),
        FIXTURE_TEST(a_form_is_refused_with_a_hint),
        FIXTURE_TEST(a_batch_without_memory_is_not_half_done),
    };

    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
