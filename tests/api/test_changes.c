#include "api/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/feeds.h"
#include "api/role.h"
#include "api/tokens.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static const char *const ndjson[] = {"Accept: application/x-ndjson", NULL};
static const char *const events[] = {"Accept: text/event-stream", NULL};

static void on_durable(void *context)
{
    struct api_fixture *f = context;

    api_feeds_durable(f->context.feeds);
}

/* The database keeps journals, and tells when something is durable. */
static void open_db(struct api_fixture *f, uint64_t archive_bytes)
{
    struct ldb_options options;
    struct ldb_error err = {0};

    ldb_options_init(&options);
    options.env = f->env;
    options.archive_bytes = archive_bytes;
    options.archive_age_us = UINT64_C(3600000000);
    options.on_durable = on_durable;
    options.on_durable_context = f;
    assert_ldb_ok(ldb_open("/db", &options, NULL, &err, &f->db), &err);
    assert_ldb_ok(api_context_init(&f->context, f->db, f->env, &err), &err);
    f->context.data_dir = "/db";
}

static int setup(void **state)
{
    struct api_fixture *f = test_calloc(1, sizeof(*f));
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_memory_create(&err, &f->env), &err);
    open_db(f, 64 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_error err = {0};

    api_context_close(&f->context);
    assert_ldb_ok(ldb_close(f->db, &err), &err);
    api_context_release(&f->context);
    ldb_env_memory_destroy(f->env);
    test_free(f);
    return 0;
}

static void put(struct api_fixture *f, const char *key, const char *value)
{
    assert_int_equal(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str(value),
                             true, NULL, NULL),
                     LDB_OK);
}

/* a=1, b=2, a deleted, ab=3: 1 to 4. */
static void write_some(struct api_fixture *f)
{
    put(f, "a", "1");
    put(f, "b", "2");
    assert_int_equal(ldb_delete(f->db, ldb_slice_str("a"), true, NULL, NULL),
                     LDB_OK);
    put(f, "ab", "3");
}

#define ITEM_1 "{\"sequence\":1,\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"}"
#define ITEM_2 "{\"sequence\":2,\"op\":\"put\",\"key\":\"b\",\"value\":\"2\"}"
#define ITEM_3 "{\"sequence\":3,\"op\":\"delete\",\"key\":\"a\"}"
#define ITEM_4 "{\"sequence\":4,\"op\":\"put\",\"key\":\"ab\",\"value\":\"3\"}"

static void expect_body(struct api_fixture *f, const char *target,
                        const char *const *headers, const char *body)
{
    struct fake_answer answer = api_call(f, "GET", target, headers, NULL);

    print_message("%s\n", target);
    assert_answer(&answer, 200);
    assert_body(&answer, body);
    assert_false(answer.is_cut);
    fake_answer_release(&answer);
}

static void expect_problem(struct api_fixture *f, const char *target,
                           const char *const *headers, unsigned status,
                           const char *type)
{
    struct fake_answer answer = api_call(f, "GET", target, headers, NULL);

    print_message("%s\n", target);
    assert_problem(&answer, status, type);
    fake_answer_release(&answer);
}

/* ---- pages ---- */

static void a_page_has_what_was_asked(void **state)
{
    static const struct {
        const char *target;
        const char *body;
    } rows[] = {
        {"/v1/changes?since=0", "{\"items\":[" ITEM_1 "," ITEM_2 "," ITEM_3
                                "," ITEM_4 "],\"sequence\":4}\n"},
        {"/v1/changes?since=2",
         "{\"items\":[" ITEM_3 "," ITEM_4 "],\"sequence\":4}\n"},
        {"/v1/changes?since=4", "{\"items\":[],\"sequence\":4}\n"},
        {"/v1/changes?since=0&limit=1",
         "{\"items\":[" ITEM_1 "],\"sequence\":1,\"next\":1}\n"},
        {"/v1/changes?since=1&limit=3",
         "{\"items\":[" ITEM_2 "," ITEM_3 "," ITEM_4 "],\"sequence\":4}\n"},
        {"/v1/changes?since=0&prefix=a",
         "{\"items\":[" ITEM_1 "," ITEM_3 "," ITEM_4 "],\"sequence\":4}\n"},
        {"/v1/changes?since=0&prefix=a&limit=1",
         "{\"items\":[" ITEM_1 "],\"sequence\":1,\"next\":1}\n"},
        {"/v1/changes?since=0&prefix=b",
         "{\"items\":[" ITEM_2 "],\"sequence\":4}\n"},
        {"/v1/changes?since=0&prefix=6162&enc=hex",
         "{\"items\":[" ITEM_4 "],\"sequence\":4}\n"},
        {"/v1/changes?since=0&prefix=z", "{\"items\":[],\"sequence\":4}\n"},
        {"/v1/changes?since=1&encoding=hex&limit=1",
         "{\"items\":[{\"sequence\":2,\"op\":\"put\",\"key\":\"62\","
         "\"value\":\"32\"}],\"sequence\":2,\"next\":2}\n"},
    };
    struct api_fixture *f = *state;

    write_some(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_body(f, rows[i].target, NULL, rows[i].body);
}

static void its_header_says_how_far_it_looked(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    write_some(f);
    answer = api_call(f, "GET", "/v1/changes?since=0&limit=2", NULL, NULL);
    assert_header(&answer, "Leveld-Sequence", "2");
    fake_answer_release(&answer);
    answer = api_call(f, "HEAD", "/v1/changes?since=0", NULL, NULL);
    assert_answer(&answer, 200);
    assert_header(&answer, "Leveld-Sequence", "4");
    assert_int_equal(answer.body.len, 0);
    assert_true(answer.head_length > 0);
    fake_answer_release(&answer);
    answer = api_call(f, "HEAD", "/v1/changes?since=0", events, NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
}

static void bytes_that_are_no_text_are_in_base64(void **state)
{
    struct api_fixture *f = *state;

    put(f, "\xff", "v");
    assert_int_equal(ldb_delete(f->db, ldb_slice_str("\xfe"), true, NULL, NULL),
                     LDB_OK);
    expect_body(f, "/v1/changes?since=0", NULL,
                "{\"items\":[{\"sequence\":1,\"op\":\"put\",\"key\":\"/w==\","
                "\"value\":\"dg==\",\"encoding\":\"base64\"},"
                "{\"sequence\":2,\"op\":\"delete\",\"key\":\"/g==\","
                "\"encoding\":\"base64\"}],\"sequence\":2}\n");
}

static void a_page_ends_at_its_size_after_one_item(void **state)
{
    struct api_fixture *f = *state;
    static char value[3000];

    memset(value, 'v', sizeof(value) - 1);
    for (unsigned i = 0; i < 5; i++)
        put(f, "k", value);
    f->context.limits.page_bytes = 7000;
    for (ldb_sequence since = 0; since < 5;) {
        char target[64];
        struct fake_answer answer;
        json_t *body;
        size_t count;

        (void)snprintf(target, sizeof(target), "/v1/changes?since=%" PRIu64,
                       since);
        answer = api_call(f, "GET", target, NULL, NULL);
        assert_answer(&answer, 200);
        body = answer_json(&answer);
        count = json_array_size(json_at(body, "items"));
        assert_true(count == 2 || since == 4);
        since += count;
        assert_int_equal(json_integer_value(json_at(body, "sequence")), since);
        assert_int_equal(json_object_get(body, "next") != NULL, since < 5);
        json_decref(body);
        fake_answer_release(&answer);
    }
    f->context.limits.page_bytes = 10;
    expect_body(f, "/v1/changes?since=5", NULL,
                "{\"items\":[],\"sequence\":5}\n");
}

static ldb_sequence put_unsynced(struct api_fixture *f, const char *key)
{
    ldb_sequence sequence = 0;

    assert_int_equal(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str("v"),
                             false, NULL, &sequence),
                     LDB_OK);
    return sequence;
}

/* Who polls sees it next time, though nobody writes on. */
static void a_page_has_what_is_not_durable_synced(void **state)
{
    struct api_fixture *f = *state;
    ldb_sequence last = put_unsynced(f, "k");

    for (;;) {
        struct fake_answer answer =
            api_call(f, "GET", "/v1/changes?since=0", NULL, NULL);
        json_t *body = answer_json(&answer);
        ldb_sequence at =
            (ldb_sequence)json_integer_value(json_at(body, "sequence"));

        assert_int_equal(json_array_size(json_at(body, "items")), at);
        json_decref(body);
        fake_answer_release(&answer);
        if (at == last)
            break;
    }
}

/* Much that does not match: the page ends, and says where it goes on. */
static void a_page_looks_through_only_so_much(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_buf value = LDB_BUF_INIT(1 << 20);
    struct fake_answer answer;
    json_t *body;
    uint8_t *bytes;
    ldb_sequence at;

    assert_int_equal(ldb_buf_extend(&value, 1 << 20, &bytes), LDB_OK);
    memset(bytes, 'v', 1 << 20);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(ldb_put(f->db, ldb_slice_str("other"),
                                 ldb_slice_of_buf(&value), true, NULL, NULL),
                         LDB_OK);
    put(f, "mine", "1");
    answer = api_call(f, "GET", "/v1/changes?since=0&prefix=m", NULL, NULL);
    assert_answer(&answer, 200);
    body = answer_json(&answer);
    assert_int_equal(json_array_size(json_at(body, "items")), 0);
    at = (ldb_sequence)json_integer_value(json_at(body, "next"));
    assert_true(at >= 4 && at < 10);
    json_decref(body);
    fake_answer_release(&answer);
    /* A stream lets others have their turn, and goes on. */
    expect_body(f, "/v1/changes?since=0&prefix=m", ndjson,
                "{\"sequence\":11,\"op\":\"put\",\"key\":\"mine\","
                "\"value\":\"1\"}\n"
                "{\"end\":true,\"count\":1,\"sequence\":11}\n");
    ldb_buf_release(&value);
}

/* ---- streams ---- */

/* A stream that a test reads step by step. */
struct stream {
    struct fake_request request;
    struct fake_exchange *fake;
    struct api_exchange *x;
};

static void stream_open(struct api_fixture *f, const char *target,
                        const char *const *headers, struct stream *out)
{
    *out = (struct stream){
        .request = {.method = "GET", .target = target, .headers = headers}};
    out->fake = fake_exchange_create(&f->context, &out->request);
    out->x = fake_exchange_get(out->fake);
    api_exchange_begin(out->x);
    if (!out->x->response.ready)
        api_exchange_finish(out->x);
    assert_int_equal(out->x->response.status, 200);
}

static void stream_close(struct stream *stream)
{
    api_exchange_abandon(stream->x);
    fake_exchange_destroy(stream->fake);
}

static int64_t stream_read(struct stream *stream, char *out, size_t size)
{
    struct api_response *response = &stream->x->response;
    int64_t len =
        response->stream_ops->read(response->stream, (uint8_t *)out, size - 1);

    if (len > 0)
        out[len] = '\0';
    return len;
}

/* ---- lines ---- */

static void lines_go_to_what_is_durable(void **state)
{
    struct api_fixture *f = *state;

    expect_body(f, "/v1/changes?since=0", ndjson,
                "{\"end\":true,\"count\":0,\"sequence\":0}\n");
    write_some(f);
    expect_body(f, "/v1/changes?since=0", ndjson,
                ITEM_1 "\n" ITEM_2 "\n" ITEM_3 "\n" ITEM_4 "\n"
                       "{\"end\":true,\"count\":4,\"sequence\":4}\n");
    expect_body(f, "/v1/changes?since=0&prefix=a&limit=2", ndjson,
                ITEM_1
                "\n" ITEM_3 "\n"
                "{\"end\":true,\"count\":2,\"sequence\":3,\"next\":3}\n");
    expect_body(f, "/v1/changes?since=3&limit=1", ndjson,
                ITEM_4 "\n{\"end\":true,\"count\":1,\"sequence\":4}\n");
    expect_body(f, "/v1/changes?since=0&limit=1000000", ndjson,
                ITEM_1 "\n" ITEM_2 "\n" ITEM_3 "\n" ITEM_4 "\n"
                       "{\"end\":true,\"count\":4,\"sequence\":4}\n");
}

static void lines_come_in_pieces_of_any_size(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer whole;

    write_some(f);
    put(f, "quote\"", "\xff\xfe");
    whole = api_call(f, "GET", "/v1/changes?since=0", ndjson, NULL);
    for (size_t max = 1; max < 40; max++) {
        const struct fake_request request = {.method = "GET",
                                             .target = "/v1/changes?since=0",
                                             .headers = ndjson,
                                             .read_max = max};
        struct fake_answer answer;

        fake_run(&f->context, &request, &answer);
        assert_ldb_slice(ldb_slice_of_buf(&whole.body),
                         ldb_slice_of_buf(&answer.body));
        fake_answer_release(&answer);
    }
    fake_answer_release(&whole);
}

static void lines_end_however_much_comes_meanwhile(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_buf text = LDB_BUF_INIT(4096);
    struct stream lines;
    char piece[16];
    int64_t len;

    write_some(f);
    stream_open(f, "/v1/changes?since=0", ndjson, &lines);
    while ((len = stream_read(&lines, piece, sizeof(piece))) > 0) {
        assert_int_equal(ldb_buf_append(&text, ldb_slice_str(piece)), LDB_OK);
        put(f, "later", "1");
    }
    assert_int_equal(len, 0);
    assert_ldb_slice(ldb_slice_of_buf(&text),
                     ldb_slice_str(ITEM_1 "\n" ITEM_2 "\n" ITEM_3 "\n" ITEM_4
                                          "\n{\"end\":true,\"count\":4,"
                                          "\"sequence\":4}\n"));
    stream_close(&lines);
    ldb_buf_release(&text);
}

/* ---- the live feed ---- */

#define EVENT_1 "id: 1\nevent: put\ndata: " ITEM_1 "\n\n"
#define EVENT_2 "id: 2\nevent: put\ndata: " ITEM_2 "\n\n"
#define EVENT_3 "id: 3\nevent: delete\ndata: " ITEM_3 "\n\n"

static void a_live_feed_ends_at_its_limit(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    write_some(f);
    expect_body(f, "/v1/changes?since=0&limit=3", events,
                EVENT_1 EVENT_2 EVENT_3
                "id: 3\nevent: end\ndata: {\"end\":true,\"count\":3,"
                "\"sequence\":3,\"next\":3}\n\n");
    answer = api_call(f, "GET", "/v1/changes?since=0&limit=1", events, NULL);
    assert_string_equal(answer.content_type, "text/event-stream");
    assert_header(&answer, "Cache-Control", "no-store");
    fake_answer_release(&answer);
}

static void the_last_event_id_wins(void **state)
{
    static const char *const resumed[] = {"Accept: text/event-stream",
                                          "Last-Event-ID: 1", NULL};
    static const char *const bad[] = {"Accept: text/event-stream",
                                      "Last-Event-ID: x", NULL};
    static const char *const polled[] = {"Last-Event-ID: 1", NULL};
    struct api_fixture *f = *state;

    write_some(f);
    expect_body(f, "/v1/changes?limit=1", resumed,
                EVENT_2 "id: 2\nevent: end\ndata: {\"end\":true,\"count\":1,"
                        "\"sequence\":2,\"next\":2}\n\n");
    expect_body(f, "/v1/changes?since=0&limit=1", resumed,
                EVENT_2 "id: 2\nevent: end\ndata: {\"end\":true,\"count\":1,"
                        "\"sequence\":2,\"next\":2}\n\n");
    expect_problem(f, "/v1/changes?since=0", bad, 400, "malformed");
    /* It is a live feed's. */
    expect_problem(f, "/v1/changes", polled, 400, "malformed");
}

static void live_expect(struct stream *live, const char *text)
{
    char bytes[4096];

    assert_true(stream_read(live, bytes, sizeof(bytes)) > 0);
    assert_string_equal(bytes, text);
}

static void live_expect_wait(struct stream *live)
{
    char bytes[4096];

    assert_int_equal(stream_read(live, bytes, sizeof(bytes)), API_STREAM_WAIT);
}

#define HEARTBEAT(n)                                                           \
    "id: " #n "\nevent: heartbeat\ndata: {\"sequence\":" #n "}\n\n"

static void a_live_feed_waits_and_is_woken(void **state)
{
    struct api_fixture *f = *state;
    struct stream live;

    stream_open(f, "/v1/changes?since=0", events, &live);
    /* It says at once that it stands. */
    live_expect(&live, HEARTBEAT(0));
    live_expect_wait(&live);
    put(f, "a", "1");
    fake_exchange_wait(live.fake);
    live_expect(&live, EVENT_1);
    live_expect_wait(&live);
    /* Without a sync of its own, too. */
    assert_int_equal(put_unsynced(f, "z"), 2);
    fake_exchange_wait(live.fake);
    live_expect(&live, "id: 2\nevent: put\ndata: {\"sequence\":2,\"op\":"
                       "\"put\",\"key\":\"z\",\"value\":\"v\"}\n\n");
    stream_close(&live);
}

static void a_silent_feed_tells_how_far_it_is(void **state)
{
    struct api_fixture *f = *state;
    struct stream live;

    f->context.limits.feed_heartbeat_us = 1;
    stream_open(f, "/v1/changes?since=0&prefix=z", events, &live);
    live_expect(&live, HEARTBEAT(0));
    put(f, "a", "1");
    live_expect(&live, HEARTBEAT(1));
    f->context.limits.feed_heartbeat_us = UINT64_C(3600000000);
    put(f, "b", "2");
    live_expect(&live, HEARTBEAT(2)); /* the one that was due */
    live_expect_wait(&live);
    put(f, "c", "3");
    fake_exchange_wait(live.fake);
    live_expect_wait(&live); /* nothing that matches, and none is due */
    stream_close(&live);
}

static void at_the_stop_a_live_feed_ends(void **state)
{
    struct api_fixture *f = *state;
    struct stream live;
    char bytes[64];

    write_some(f);
    stream_open(f, "/v1/changes?since=4", events, &live);
    live_expect(&live, HEARTBEAT(4));
    live_expect_wait(&live);
    api_context_drain(&f->context);
    fake_exchange_wait(live.fake);
    live_expect(&live, "id: 4\nevent: end\ndata: {\"end\":true,\"count\":0,"
                       "\"sequence\":4}\n\n");
    assert_int_equal(stream_read(&live, bytes, sizeof(bytes)), 0);
    stream_close(&live);
    /* What has an end of its own has it still. */
    expect_body(f, "/v1/changes?since=3", ndjson,
                ITEM_4 "\n{\"end\":true,\"count\":1,\"sequence\":4}\n");
}

static void who_leaves_is_woken_no_more(void **state)
{
    struct api_fixture *f = *state;
    struct api_feeds_figures figures;
    struct stream live;

    stream_open(f, "/v1/changes?since=0", events, &live);
    live_expect(&live, HEARTBEAT(0));
    live_expect_wait(&live);
    stream_close(&live);
    put(f, "a", "1");
    api_feeds_figures(f->context.feeds, &figures);
    assert_int_equal(figures.open, 0);
    assert_int_equal(figures.opened_total, 1);
}

static void there_are_only_so_many(void **state)
{
    struct api_fixture *f = *state;
    struct stream first;
    struct stream second;

    f->context.limits.feeds_max = 2;
    stream_open(f, "/v1/changes?since=0", events, &first);
    stream_open(f, "/v1/changes?since=0", events, &second);
    expect_problem(f, "/v1/changes?since=0", events, 429, "overloaded");
    expect_problem(f, "/v1/changes?since=0", ndjson, 429, "overloaded");
    expect_body(f, "/v1/changes?since=0", NULL,
                "{\"items\":[],\"sequence\":0}\n");
    stream_close(&first);
    expect_body(f, "/v1/changes?since=0", ndjson,
                "{\"end\":true,\"count\":0,\"sequence\":0}\n");
    stream_close(&second);
}

/* ---- what cannot be given ---- */

static void requests_that_are_wrong(void **state)
{
    static const char *const html[] = {"Accept: text/html", NULL};
    struct api_fixture *f = *state;

    expect_problem(f, "/v1/changes", NULL, 400, "malformed");
    expect_problem(f, "/v1/changes", events, 400, "malformed");
    expect_problem(f, "/v1/changes?since=x", NULL, 400, "malformed");
    expect_problem(f, "/v1/changes?since=72057594037927936", NULL, 400,
                   "malformed");
    expect_problem(f, "/v1/changes?since=0&limit=0", NULL, 400, "malformed");
    expect_problem(f, "/v1/changes?since=0&limit=10001", NULL, 400,
                   "malformed");
    expect_problem(f, "/v1/changes?since=0&start=a", NULL, 400, "malformed");
    expect_problem(f, "/v1/changes?since=0&prefix=6&enc=hex", NULL, 400,
                   "bad-key");
    expect_problem(f, "/v1/changes?since=0", html, 406, "not-acceptable");
}

static void a_lost_sequence_is_told_with_the_fork(void **state)
{
    struct repl_epoch epochs[] = {
        {.number = 1, .previous_last = 0, .base = 0},
        {.number = 2, .previous_last = 4, .base = 1000},
    };
    const struct repl_epoch_history history = {.items = epochs, .count = 2};
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *body;

    write_some(f);
    assert_int_equal(ldb_raise_sequence(f->db, 1000, NULL), LDB_OK);
    assert_int_equal(api_feeds_set_history(f->context.feeds, &history), LDB_OK);
    put(f, "z", "1");
    answer = api_call(f, "GET", "/v1/changes?since=5", NULL, NULL);
    assert_problem(&answer, 410, "lost-sequence");
    body = answer_json(&answer);
    assert_int_equal(json_integer_value(json_at(body, "fork")), 4);
    json_decref(body);
    fake_answer_release(&answer);
    expect_problem(f, "/v1/changes?since=999", events, 410, "lost-sequence");
    expect_problem(f, "/v1/changes?since=1002", ndjson, 410, "lost-sequence");
    /* At the end of the epoch, and at the base of the next, it goes on. */
    for (unsigned i = 0; i < 2; i++)
        expect_body(
            f, i == 0 ? "/v1/changes?since=4" : "/v1/changes?since=1000", NULL,
            "{\"items\":[{\"sequence\":1001,\"op\":\"put\",\"key\":"
            "\"z\",\"value\":\"1\"}],\"sequence\":1001}\n");
}

/* Everything before is in tables alone. */
static void forget_journals(struct api_fixture *f)
{
    struct ldb_stats stats;

    assert_int_equal(ldb_flush(f->db, NULL), LDB_OK);
    do { /* the flush lets go of its journal a moment later */
        ldb_archive_trim(f->db, 0);
        ldb_stats(f->db, &stats);
    } while (stats.oldest_sequence < stats.last_sequence);
}

static void what_is_gone_is_told_with_the_oldest(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *body;

    write_some(f);
    forget_journals(f);
    answer = api_call(f, "GET", "/v1/changes?since=3", NULL, NULL);
    assert_problem(&answer, 410, "compacted");
    body = answer_json(&answer);
    assert_int_equal(json_integer_value(json_at(body, "oldest")), 4);
    json_decref(body);
    fake_answer_release(&answer);
    expect_problem(f, "/v1/changes?since=3", events, 410, "compacted");
    expect_body(f, "/v1/changes?since=4", NULL,
                "{\"items\":[],\"sequence\":4}\n");
}

static void a_feed_that_is_too_slow_is_told_in_the_middle(void **state)
{
    struct api_fixture *f = *state;
    struct stream live;
    char bytes[4096];

    stream_open(f, "/v1/changes?since=0", events, &live);
    live_expect(&live, HEARTBEAT(0));
    write_some(f);
    forget_journals(f);
    put(f, "z", "1");
    assert_true(stream_read(&live, bytes, sizeof(bytes)) > 0);
    assert_non_null(strstr(bytes, "id: 0\nevent: error\ndata: {\"error\":{"
                                  "\"type\":\"/problems/compacted\""));
    assert_non_null(strstr(bytes, "\"oldest\":4"));
    assert_int_equal(stream_read(&live, bytes, sizeof(bytes)),
                     API_STREAM_FAILED);
    stream_close(&live);
}

static void a_read_only_node_has_no_changes(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_options options;

    write_some(f);
    api_context_release(&f->context);
    assert_int_equal(ldb_close(f->db, NULL), LDB_OK);
    ldb_options_init(&options);
    options.env = f->env;
    options.read_only = true;
    assert_int_equal(ldb_open("/db", &options, NULL, NULL, &f->db), LDB_OK);
    assert_int_equal(api_context_init(&f->context, f->db, f->env, NULL),
                     LDB_OK);
    f->context.read_only = true;
    expect_problem(f, "/v1/changes?since=0", NULL, 409, "read-only");
    expect_problem(f, "/v1/changes?since=0", events, 409, "read-only");
}

static void a_follower_names_its_leader(void **state)
{
    const char *const *const forms[] = {NULL, ndjson, events};
    struct api_fixture *f = *state;

    api_role_set(f->context.role, REPL_ROLE_FOLLOWER, "http://leader:8080");
    for (size_t i = 0; i < 3; i++) {
        struct fake_answer answer =
            api_call(f, "GET", "/v1/changes?since=0", forms[i], NULL);
        json_t *problem = answer_json(&answer);

        assert_problem(&answer, 421, "not-leader");
        assert_string_equal(json_string_value(json_at(problem, "leader")),
                            "http://leader:8080");
        json_decref(problem);
        fake_answer_release(&answer);
    }
    api_role_set(f->context.role, REPL_ROLE_FOLLOWER, "");
    expect_problem(f, "/v1/changes?since=0", NULL, 503, "no-leader");
}

/* ---- memory ---- */

static void without_memory_it_fails_whole(void **state)
{
    struct api_fixture *f = *state;
    const char *const *const forms[] = {NULL, ndjson, events};

    write_some(f);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t n = 1;; n++) {
            struct fake_answer answer;
            bool has_failed;

            mem_fault_start(n, MEM_FAULT_ONCE);
            answer = api_call(f, "GET", "/v1/changes?since=0&limit=4", forms[i],
                              NULL);
            has_failed = mem_fault_stop();
            /* Whole, or told that it is not. */
            if (answer.status == 200 && i > 0 && !answer.is_cut)
                assert_non_null(memmem(answer.body.data, answer.body.len,
                                       "\"end\":true", 10));
            else if (answer.status != 200)
                assert_int_equal(answer.status, 503);
            fake_answer_release(&answer);
            if (!has_failed)
                break;
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_page_has_what_was_asked),
        TEST(its_header_says_how_far_it_looked),
        TEST(bytes_that_are_no_text_are_in_base64),
        TEST(a_page_ends_at_its_size_after_one_item),
        TEST(a_page_has_what_is_not_durable_synced),
        TEST(a_page_looks_through_only_so_much),
        TEST(lines_go_to_what_is_durable),
        TEST(lines_come_in_pieces_of_any_size),
        TEST(lines_end_however_much_comes_meanwhile),
        TEST(a_live_feed_ends_at_its_limit),
        TEST(the_last_event_id_wins),
        TEST(a_live_feed_waits_and_is_woken),
        TEST(a_silent_feed_tells_how_far_it_is),
        TEST(at_the_stop_a_live_feed_ends),
        TEST(who_leaves_is_woken_no_more),
        TEST(there_are_only_so_many),
        TEST(requests_that_are_wrong),
        TEST(a_lost_sequence_is_told_with_the_fork),
        TEST(what_is_gone_is_told_with_the_oldest),
        TEST(a_feed_that_is_too_slow_is_told_in_the_middle),
        TEST(a_read_only_node_has_no_changes),
        TEST(a_follower_names_its_leader),
        TEST(without_memory_it_fails_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
