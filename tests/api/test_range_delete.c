#include "api/range_delete.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static void put_numbered(struct api_fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "k%05u", i);
        assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str("v"),
                              false, NULL, NULL),
                      NULL);
    }
}

static unsigned count_keys(struct api_fixture *f)
{
    struct ldb_cursor *cursor = NULL;
    unsigned count = 0;

    assert_ldb_ok(ldb_cursor_open(f->db, NULL, NULL, &cursor), NULL);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor))
        count++;
    assert_ldb_ok(ldb_cursor_status(cursor, NULL), NULL);
    ldb_cursor_close(cursor);
    return count;
}

static void bounds_select_what_is_deleted(void **state)
{
    static const struct {
        const char *query;
        const char *body; /* after keys a, ab, b, c at sequences 1 to 4 */
        unsigned left;
    } rows[] = {
        {"?start=", "{\"deleted\":4,\"sequence\":8}\n", 0},
        {"?prefix=", "{\"deleted\":4,\"sequence\":8}\n", 0},
        {"?end=", "{\"deleted\":0,\"sequence\":4}\n", 4},
        {"?start=b", "{\"deleted\":2,\"sequence\":6}\n", 2},
        {"?end=b", "{\"deleted\":2,\"sequence\":6}\n", 2},
        {"?start=ab&end=c", "{\"deleted\":2,\"sequence\":6}\n", 2},
        {"?prefix=a", "{\"deleted\":2,\"sequence\":6}\n", 2},
        {"?prefix=a&start=ab", "{\"deleted\":1,\"sequence\":5}\n", 3},
        {"?prefix=6162&enc=hex", "{\"deleted\":1,\"sequence\":5}\n", 3},
        {"?start=c&end=a", "{\"deleted\":0,\"sequence\":4}\n", 4},
        {"?prefix=x&sync=false", "{\"deleted\":0,\"sequence\":4}\n", 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *fixture = NULL;
        struct api_fixture *f;
        struct fake_answer answer;
        char target[64];
        char sequence[8];

        assert_int_equal(api_fixture_setup(&fixture), 0);
        f = fixture;
        (void)api_put(f, "/v1/kv/a", "1");
        (void)api_put(f, "/v1/kv/ab", "2");
        (void)api_put(f, "/v1/kv/b", "3");
        (void)api_put(f, "/v1/kv/c", "4");
        (void)snprintf(target, sizeof(target), "/v1/range%s", rows[i].query);
        answer = api_call(f, "DELETE", target, NULL, NULL);
        assert_answer(&answer, 200);
        assert_body(&answer, rows[i].body);
        (void)snprintf(sequence, sizeof(sequence), "%u", 8 - rows[i].left);
        assert_header(&answer, "Leveld-Sequence", sequence);
        fake_answer_release(&answer);
        assert_int_equal(count_keys(f), rows[i].left);
        assert_int_equal(api_fixture_teardown(&fixture), 0);
    }
}

static void a_range_over_many_batches_is_deleted_whole(void **state)
{
    static const unsigned counts[] = {
        API_RANGE_DELETE_KEYS - 1,
        API_RANGE_DELETE_KEYS,
        API_RANGE_DELETE_KEYS + 1,
        3 * API_RANGE_DELETE_KEYS + 5,
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct fake_answer answer;
        struct ldb_stats before;
        struct ldb_stats after;
        json_t *body;

        (void)api_put(f, "/v1/kv/kept", "1");
        put_numbered(f, counts[i]);
        ldb_stats(f->db, &before);
        answer = api_call(f, "DELETE", "/v1/range?prefix=k0", NULL, NULL);
        ldb_stats(f->db, &after);
        assert_answer(&answer, 200);
        body = answer_json(&answer);
        assert_int_equal(json_integer_value(json_object_get(body, "deleted")),
                         counts[i]);
        assert_int_equal(json_integer_value(json_object_get(body, "sequence")),
                         ldb_last_sequence(f->db));
        json_decref(body);
        fake_answer_release(&answer);
        assert_int_equal(count_keys(f), 1);
        /* One commit a batch, and one sync for all. */
        assert_int_equal(after.writes - before.writes,
                         (counts[i] + API_RANGE_DELETE_KEYS - 1) /
                             API_RANGE_DELETE_KEYS);
        assert_int_equal(after.syncs - before.syncs, 1);
    }
}

static void long_keys_make_shorter_batches(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_stats before;
    struct ldb_stats after;
    struct fake_answer answer;
    char *key = test_malloc(65536);

    memset(key, 'x', 65536);
    for (unsigned i = 0; i < 40; i++) {
        key[0] = (char)('0' + i);
        assert_ldb_ok(ldb_put(f->db, ldb_slice_make(key, 65536),
                              ldb_slice_str("v"), false, NULL, NULL),
                      NULL);
    }
    test_free(key);
    ldb_stats(f->db, &before);
    answer = api_call(f, "DELETE", "/v1/range?start=", NULL, NULL);
    ldb_stats(f->db, &after);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    assert_int_equal(count_keys(f), 0);
    assert_int_equal(after.writes - before.writes, 3); /* 16, 16, 8 keys */
}

static void what_is_written_meanwhile_stays(void **state)
{
    struct api_fixture *f = *state;
    struct fake_request request = {.method = "DELETE",
                                   .target = "/v1/range?start=&sync=false"};
    struct fake_exchange *fake;
    struct api_exchange *x;
    unsigned passes = 0;

    put_numbered(f, API_RANGE_DELETE_KEYS + 1);
    fake = fake_exchange_create(&f->context, &request);
    x = fake_exchange_get(fake);
    api_exchange_begin(x);
    assert_false(x->response.ready);
    api_exchange_finish(x);
    /* The first batch is queued: this one comes after it, ahead of the scan. */
    for (unsigned i = 0; i < 2 * API_RANGE_DELETE_KEYS; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "l%05u", i);
        assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str("new"),
                              false, NULL, NULL),
                      NULL);
    }
    while (!x->response.ready) {
        api_pass_end(x->context);
        fake_exchange_wait(fake);
        api_exchange_resume(x);
        passes++;
    }
    assert_int_equal(x->response.status, 200);
    assert_int_equal(passes, 4); /* 1000 old; 1 old, 999 new; 1000 new; 1 new */
    api_exchange_abandon(x);
    fake_exchange_destroy(fake);
    assert_int_equal(count_keys(f), 2 * API_RANGE_DELETE_KEYS);
}

static void a_client_that_leaves_ends_it_after_its_batch(void **state)
{
    struct api_fixture *f = *state;
    struct fake_request request = {
        .method = "DELETE", .target = "/v1/range?start=", .leaves = true};
    struct fake_answer answer;

    put_numbered(f, 2 * API_RANGE_DELETE_KEYS);
    fake_run(&f->context, &request, &answer);
    assert_false(answer.is_ready);
    fake_answer_release(&answer);
    assert_int_equal(count_keys(f), API_RANGE_DELETE_KEYS);
}

static void a_failure_says_how_many_were_deleted(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *body;
    char *key = test_malloc(70000);

    put_numbered(f, API_RANGE_DELETE_KEYS);
    /* As another library may write it: over what a batch takes here. */
    memset(key, 'x', 70000);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_make(key, 70000), ldb_slice_str("v"),
                          false, NULL, NULL),
                  NULL);
    test_free(key);
    f->context.limits.batch_bytes = 65536;
    answer = api_call(f, "DELETE", "/v1/range?start=", NULL, NULL);
    assert_problem(&answer, 413, "too-large");
    body = answer_json(&answer);
    assert_int_equal(json_integer_value(json_object_get(body, "deleted")),
                     API_RANGE_DELETE_KEYS);
    json_decref(body);
    fake_answer_release(&answer);
    assert_int_equal(count_keys(f), 1);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_select_what_is_deleted),
        FIXTURE_TEST(a_range_over_many_batches_is_deleted_whole),
        FIXTURE_TEST(long_keys_make_shorter_batches),
        FIXTURE_TEST(what_is_written_meanwhile_stays),
        FIXTURE_TEST(a_client_that_leaves_ends_it_after_its_batch),
        FIXTURE_TEST(a_failure_says_how_many_were_deleted),
    };

    return cmocka_run_group_tests_name("range_delete", tests, NULL, NULL);
}
