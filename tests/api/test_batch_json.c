#include "api/batch_json.h"

#include <stdio.h>
#include <string.h>

#include "api/json_text.h"
#include "storage/base/buf.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static const struct api_limits small_limits = {.key_bytes = 8,
                                               .value_bytes = 16};

struct parsed {
    struct ldb_arena arena;
    struct ldb_batch batch;
    struct api_batch_json json;
    struct api_problem problem;
    bool is_ok;
};

static void parse(struct parsed *p, const char *text)
{
    memset(p, 0, sizeof(*p));
    ldb_arena_init(&p->arena, 0);
    ldb_batch_init(&p->batch, 64);
    p->is_ok =
        api_batch_json_parse(&p->arena, &small_limits, ldb_slice_str(text),
                             &p->batch, &p->json, &p->problem);
}

static void release(struct parsed *p)
{
    ldb_batch_release(&p->batch);
    ldb_arena_release(&p->arena);
}

static void operations_become_batch_bytes_in_order(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, "{\"ops\":[{\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"},"
              "{\"op\":\"delete\",\"key\":\"b\"},"
              "{\"op\":\"put\",\"key\":\"\",\"value\":\"\"}]}");
    assert_true(p.is_ok);
    assert_ldb_hex("0000000000000000 03000000 01 01 61 01 31 00 01 62"
                   "01 00 00",
                   ldb_slice_of_buf(&p.batch.rep));
    release(&p);
}

static void strings_are_read_in_their_encoding(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p,
          "{\"encoding\":\"hex\",\"ops\":[{\"op\":\"put\",\"key\":\"00fF\","
          "\"value\":\"\"},{\"op\":\"put\",\"key\":\"AAE=\",\"value\":\"/w==\","
          "\"encoding\":\"base64\"},{\"op\":\"delete\",\"key\":\"a\\u0000\","
          "\"encoding\":\"utf8\"}]}");
    assert_true(p.is_ok);
    assert_ldb_hex("0000000000000000 03000000 01 02 00ff 00"
                   "01 02 0001 01 ff 00 02 6100",
                   ldb_slice_of_buf(&p.batch.rep));
    release(&p);
}

/* Read as utf8 the key is over its limit, and the batch over the batch's. */
static void an_encoding_may_stand_behind_what_is_in_it(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, "{\"if\":[{\"key\":\"6b\",\"exists\":true}],\"ops\":["
              "{\"op\":\"delete-range\",\"start\":\"61\"},"
              "{\"op\":\"put\",\"key\":\"0102030405060708\",\"value\":"
              "\"000102030405060708090a0b0c0d0e0f\"},{\"op\":\"delete\","
              "\"key\":\"ab\",\"encoding\":\"utf8\"}],"
              "\"encoding\":\"hex\"}");
    assert_true(p.is_ok);
    assert_ldb_hex("0000000000000000 02000000"
                   "01 08 0102030405060708 10 000102030405060708090a0b0c0d0e0f"
                   "00 02 6162",
                   ldb_slice_of_buf(&p.batch.rep));
    assert_int_equal(p.json.condition_count, 1);
    assert_ldb_bytes("k", p.json.conditions[0].key);
    assert_int_equal(p.json.range_count, 1);
    assert_ldb_bytes("a", p.json.ranges[0].start);
    release(&p);
}

static void names_and_words_may_have_escapes(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, "{\"\\u006fps\":[{\"o\\u0070\":\"\\u0070ut\","
              "\"\\u006bey\":\"a\\/\",\"valu\\u0065\":\"\\n\"}],"
              "\"encodin\\u0067\":\"utf\\u0038\"}");
    assert_true(p.is_ok);
    assert_ldb_hex("0000000000000000 01000000 01 02 612f 01 0a",
                   ldb_slice_of_buf(&p.batch.rep));
    release(&p);
}

/* Allocations that a batch of so many puts takes. */
static uint64_t allocations_of(unsigned puts)
{
    struct ldb_buf text = LDB_BUF_INIT(1 << 20);
    struct parsed p = {0};
    uint64_t count;

    ldb_arena_init(&p.arena, 0);
    ldb_batch_init(&p.batch, 1 << 20);
    assert_ldb_ok(ldb_buf_printf(&text, "{\"encoding\":\"hex\",\"ops\":["),
                  NULL);
    for (unsigned i = 0; i < puts; i++)
        assert_ldb_ok(ldb_buf_printf(&text,
                                     "%s{\"op\":\"put\",\"key\":\"%08x\","
                                     "\"value\":\"%08x\"}",
                                     i == 0 ? "" : ",", i, i),
                      NULL);
    assert_ldb_ok(ldb_buf_printf(&text, "]}"), NULL);
    mem_fault_start(UINT64_MAX, MEM_FAULT_ONCE);
    p.is_ok =
        api_batch_json_parse(&p.arena, &small_limits, ldb_slice_of_buf(&text),
                             &p.batch, &p.json, &p.problem);
    count = mem_fault_count();
    (void)mem_fault_stop();
    assert_true(p.is_ok);
    assert_int_equal(p.batch.count, puts);
    release(&p);
    ldb_buf_release(&text);
    return count;
}

static void no_put_allocates(void **state)
{
    (void)state;
    assert_int_equal(allocations_of(1), allocations_of(5000));
}

static void an_empty_batch_is_legal(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, "{\"ops\":[]}");
    assert_true(p.is_ok);
    assert_int_equal(p.batch.count, 0);
    assert_int_equal(p.json.condition_count, 0);
    release(&p);
}

static void blanks_and_order_of_members_do_not_matter(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, " \t\r\n{ \"if\" : [ { \"key\" : \"6b\" , \"exists\" : true } ] ,"
              "\"ops\" : [ { \"key\":\"5d7d\", \"op\":\"delete\" } , "
              "{\"op\":\"put\",\"value\":\"]}\\\"[{\",\"key\":\"\\u005c\","
              "\"encoding\":\"utf8\"} ] , \"encoding\" : \"hex\" } \n");
    assert_true(p.is_ok);
    assert_ldb_hex(
        "0000000000000000 02000000 00 02 5d7d 01 01 5c 05 5d7d225b7b",
        ldb_slice_of_buf(&p.batch.rep));
    assert_int_equal(p.json.condition_count, 1);
    assert_ldb_bytes("k", p.json.conditions[0].key);
    release(&p);
}

static void lists_of_any_length_are_kept_whole(void **state)
{
    struct ldb_buf text = LDB_BUF_INIT(1 << 16);
    struct parsed p;

    (void)state;
    assert_ldb_ok(ldb_buf_printf(&text, "{\"ops\":["), NULL);
    for (int i = 0; i < 100; i++)
        assert_ldb_ok(ldb_buf_printf(&text,
                                     "%s{\"op\":\"delete-range\","
                                     "\"start\":\"%d\"}",
                                     i == 0 ? "" : ",", i),
                      NULL);
    assert_ldb_ok(ldb_buf_printf(&text, "],\"if\":["), NULL);
    for (int i = 0; i < 100; i++)
        assert_ldb_ok(ldb_buf_printf(&text,
                                     "%s{\"key\":\"%d\",\"sequence\":%d}",
                                     i == 0 ? "" : ",", i, i),
                      NULL);
    assert_ldb_ok(ldb_buf_append(&text, ldb_slice_make("]}", 3)), NULL);
    parse(&p, (const char *)text.data);
    assert_true(p.is_ok);
    assert_int_equal(p.json.range_count, 100);
    assert_int_equal(p.json.condition_count, 100);
    for (unsigned i = 0; i < 100; i++) {
        char number[8];

        (void)snprintf(number, sizeof(number), "%u", i);
        assert_ldb_slice(ldb_slice_str(number), p.json.ranges[i].start);
        assert_ldb_slice(ldb_slice_str(number), p.json.conditions[i].key);
        assert_int_equal(p.json.conditions[i].sequences[0], i);
    }
    release(&p);
    ldb_buf_release(&text);
}

/* head, then element count times, then tail. */
static bool parses(const char *head, const char *element, unsigned count,
                   const char *tail, struct parsed *p)
{
    struct ldb_buf text = LDB_BUF_INIT((size_t)1 << 20);

    assert_ldb_ok(ldb_buf_append(&text, ldb_slice_str(head)), NULL);
    for (unsigned i = 0; i < count; i++)
        assert_ldb_ok(ldb_buf_printf(&text, "%s%s", i == 0 ? "" : ",", element),
                      NULL);
    assert_ldb_ok(ldb_buf_append(&text, ldb_slice_str(tail)), NULL);
    assert_ldb_ok(ldb_buf_append_byte(&text, 0), NULL);
    parse(p, (const char *)text.data);
    ldb_buf_release(&text);
    return p->is_ok;
}

static void conditions_and_ranges_have_a_limit(void **state)
{
    static const struct {
        const char *head;
        const char *element;
        unsigned limit;
        const char *tail;
    } lists[] = {
        {"{\"ops\":[],\"if\":[", "{\"key\":\"\",\"exists\":true}",
         API_BATCH_CONDITIONS_MAX, "]}"},
        {"{\"ops\":[", "{\"op\":\"delete-range\",\"end\":\"\"}",
         API_BATCH_RANGES_MAX, "]}"},
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct parsed p;

        assert_true(parses(lists[i].head, lists[i].element, lists[i].limit,
                           lists[i].tail, &p));
        release(&p);
        assert_false(parses(lists[i].head, lists[i].element, lists[i].limit + 1,
                            lists[i].tail, &p));
        assert_int_equal(p.problem.kind, API_PROBLEM_TOO_LARGE);
        release(&p);
    }
}

static void ranges_stand_where_they_were_written(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, "{\"ops\":[{\"op\":\"delete-range\",\"start\":\"a\","
              "\"end\":\"b\"},{\"op\":\"put\",\"key\":\"k\",\"value\":\"v\"},"
              "{\"op\":\"delete-range\",\"end\":\"\"},"
              "{\"op\":\"delete-range\",\"start\":\"62\","
              "\"encoding\":\"hex\"}]}");
    assert_true(p.is_ok);
    assert_int_equal(p.json.range_count, 3);
    assert_int_equal(p.json.ranges[0].before_op, 0);
    assert_ldb_bytes("a", p.json.ranges[0].start);
    assert_true(p.json.ranges[0].has_end);
    assert_ldb_bytes("b", p.json.ranges[0].end);
    assert_int_equal(p.json.ranges[1].before_op, 1);
    assert_ldb_bytes("", p.json.ranges[1].start);
    assert_true(p.json.ranges[1].has_end);
    assert_int_equal(p.json.ranges[2].before_op, 1);
    assert_ldb_bytes("b", p.json.ranges[2].start);
    assert_false(p.json.ranges[2].has_end);
    release(&p);
}

static void conditions_are_kept_in_order(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, "{\"ops\":[],\"if\":[{\"key\":\"a\",\"sequence\":12},"
              "{\"key\":\"62\",\"encoding\":\"hex\",\"exists\":false},"
              "{\"key\":\"c\",\"exists\":true}]}");
    assert_true(p.is_ok);
    assert_int_equal(p.json.condition_count, 3);
    assert_int_equal(p.json.conditions[0].kind, LDB_CONDITION_SEQUENCE_IN);
    assert_int_equal(p.json.conditions[0].sequence_count, 1);
    assert_int_equal(p.json.conditions[0].sequences[0], 12);
    assert_ldb_bytes("a", p.json.conditions[0].key);
    assert_int_equal(p.json.conditions[1].kind, LDB_CONDITION_ABSENT);
    assert_ldb_bytes("b", p.json.conditions[1].key);
    assert_int_equal(p.json.conditions[2].kind, LDB_CONDITION_PRESENT);
    release(&p);
}

#define PUT(members) "{\"ops\":[{\"op\":\"put\"," members "}]}"
#define IF(members)  "{\"ops\":[],\"if\":[{" members "}]}"

static const struct {
    const char *text;
    enum api_problem_kind kind;
    const char *detail; /* part of it */
} bad[] = {
    {"", API_PROBLEM_BAD_BATCH, "empty"},
    {"{", API_PROBLEM_BAD_BATCH, "byte 1: \"name\": expected"},
    {"{\"ops\"", API_PROBLEM_BAD_BATCH, "byte 6"},
    {"{\"ops\":", API_PROBLEM_BAD_BATCH, "byte 7"},
    {"{\"ops\":[", API_PROBLEM_BAD_BATCH, "cut short"},
    {"{\"ops\":[]", API_PROBLEM_BAD_BATCH, ", or } expected"},
    {"{\"ops\":[],}", API_PROBLEM_BAD_BATCH, "name"},
    {"{,\"ops\":[]}", API_PROBLEM_BAD_BATCH, "name"},
    {"{\"ops\":[]}x", API_PROBLEM_BAD_BATCH, "more after"},
    {"{\"ops\":[]}{\"ops\":[]}", API_PROBLEM_BAD_BATCH, "more after"},
    {"{\"ops\":[],\"ops\":[]}", API_PROBLEM_BAD_BATCH, "duplicate"},
    {"{\"ops\":[,]}", API_PROBLEM_BAD_BATCH, "ops[0]"},
    {"{\"ops\":[{}}]}", API_PROBLEM_BAD_BATCH, "ops[0]: an operation"},
    {"{\"ops\":[]]}", API_PROBLEM_BAD_BATCH, "byte 9: , or } expected"},
    {"{\"ops\":[{\"op\":\"delete\",\"key\":\"a\"},]}", API_PROBLEM_BAD_BATCH,
     "ops[1]: JSON, byte 34: a value"},
    {"{\"ops\":[{\"op\":\"delete\",\"key\":\"a\"}{}]}", API_PROBLEM_BAD_BATCH,
     "ops[0]: JSON, byte 33: , or ]"},
    {"{\"ops\":[{\"op\":\"delete\",\"key\":\"a\"]}]}", API_PROBLEM_BAD_BATCH,
     ", or } expected"},
    {"{\"ops\":[],\"encoding\":\"\"}", API_PROBLEM_BAD_BATCH,
     "utf8, base64 or hex"},
    {"{\"ops\":[],\"encoding\":\"he", API_PROBLEM_BAD_BATCH, "cut short"},
    {"{\"ops\":[{\"op\":\"delete\",\"key\":\"x\"}],\"encoding\":\"hex\"}",
     API_PROBLEM_BAD_BATCH, "ops[0]: a key is not in its encoding, hex"},
    {"{\"ops\":[],\"encoding\":\"hex\",\"encoding\":\"hex\"}",
     API_PROBLEM_BAD_BATCH, "duplicate member \"encoding\""},
    {"{\"ops\":[],\"encoding\":\"hex\",}", API_PROBLEM_BAD_BATCH, "name"},
    {"{\"ops\":[{\"op\":\"delete\",\"key\":\"123456789\"}],"
     "\"encoding\":\"utf8\"}",
     API_PROBLEM_TOO_LARGE, "ops[0]: a key is over the limit of 8 bytes"},
    {"{\"ops\":[{\"op\":\"delete\",\"key\":\"123456789\"}],\"x\":1}",
     API_PROBLEM_TOO_LARGE, "ops[0]: a key is over"},
    {"{\"a name that is longer than those that are shown whole\":1}",
     API_PROBLEM_BAD_BATCH,
     "unknown member \"a name that is longer than those that ar\""},
    {"[]", API_PROBLEM_BAD_BATCH, "object"},
    {"{}", API_PROBLEM_BAD_BATCH, "\"ops\" is a list"},
    {"{\"ops\":{}}", API_PROBLEM_BAD_BATCH, "\"ops\" is a list"},
    {"{\"ops\":[],\"x\":1}", API_PROBLEM_BAD_BATCH, "unknown member \"x\""},
    {"{\"ops\":[],\"if\":{}}", API_PROBLEM_BAD_BATCH, "\"if\" is a list"},
    {"{\"ops\":[],\"encoding\":\"latin1\"}", API_PROBLEM_BAD_BATCH,
     "utf8, base64 or hex"},
    {"{\"ops\":[],\"encoding\":1}", API_PROBLEM_BAD_BATCH,
     "utf8, base64 or hex"},
    {"{\"ops\":[],\"encoding\":\"base64url\"}", API_PROBLEM_BAD_BATCH,
     "utf8, base64 or hex"},
    {"{\"ops\":[1]}", API_PROBLEM_BAD_BATCH, "ops[0]: an object"},
    {"{\"ops\":[{}]}", API_PROBLEM_BAD_BATCH, "ops[0]: an operation"},
    {"{\"ops\":[{\"op\":\"get\"}]}", API_PROBLEM_BAD_BATCH, "ops[0]"},
    {"{\"ops\":[{\"op\":\"delete\",\"key\":\"a\"},"
     "{\"op\":\"delete\"}]}",
     API_PROBLEM_BAD_BATCH, "ops[1]: a key"},
    {"{\"ops\":[{\"op\":\"delete\",\"key\":\"a\",\"value\":\"b\"}]}",
     API_PROBLEM_BAD_BATCH, "unknown member \"value\" of a delete"},
    {"{\"ops\":[{\"op\":\"delete-range\"}]}", API_PROBLEM_BAD_BATCH,
     "\"start\" or \"end\""},
    {"{\"ops\":[{\"op\":\"delete-range\",\"start\":1}]}", API_PROBLEM_BAD_BATCH,
     "a key"},
    {PUT("\"key\":\"a\""), API_PROBLEM_BAD_BATCH, "\"value\""},
    {PUT("\"key\":1,\"value\":\"\""), API_PROBLEM_BAD_BATCH, "a key"},
    {PUT("\"key\":\"a\",\"value\":null"), API_PROBLEM_BAD_BATCH, "value"},
    {PUT("\"key\":\"a\",\"value\":\"\",\"value\":\"\""), API_PROBLEM_BAD_BATCH,
     "duplicate"},
    {PUT("\"key\":\"a\",\"value\":\"g\",\"encoding\":\"hex\""),
     API_PROBLEM_BAD_BATCH, "encoding"},
    {PUT("\"key\":\"123456789\",\"value\":\"\""), API_PROBLEM_TOO_LARGE,
     "ops[0]: a key is over"},
    {PUT("\"key\":\"a\",\"value\":\"12345678901234567\""),
     API_PROBLEM_TOO_LARGE, "a value is over"},
    {PUT("\"key\":{\"a\":{\"b\":1}}"), API_PROBLEM_BAD_BATCH, "deeper"},
    {"{\"ops\":[{\"op\":\"put\",\"key\":\"a\",\"value\":"
     "\"1234567890123456\"},{\"op\":\"put\",\"key\":\"b\",\"value\":"
     "\"1234567890123456\"},{\"op\":\"put\",\"key\":\"c\",\"value\":"
     "\"1234567890123456\"}]}",
     API_PROBLEM_TOO_LARGE, "ops[2]: the batch"},
    {IF("\"key\":\"a\""), API_PROBLEM_BAD_BATCH, "if[0]"},
    {IF("\"key\":\"a\",\"sequence\":1,\"exists\":true"), API_PROBLEM_BAD_BATCH,
     "either"},
    {IF("\"key\":\"a\",\"sequence\":-1"), API_PROBLEM_BAD_BATCH,
     "sequence number"},
    {IF("\"key\":\"a\",\"sequence\":1.0"), API_PROBLEM_BAD_BATCH,
     "sequence number"},
    {IF("\"key\":\"a\",\"sequence\":\"1\""), API_PROBLEM_BAD_BATCH,
     "sequence number"},
    {IF("\"key\":\"a\",\"sequence\":72057594037927936"), API_PROBLEM_BAD_BATCH,
     "sequence number"},
    {IF("\"key\":\"a\",\"sequence\":99999999999999999999"),
     API_PROBLEM_BAD_BATCH, "too big"},
    {IF("\"key\":\"a\",\"exists\":1"), API_PROBLEM_BAD_BATCH, "true or false"},
    {IF("\"exists\":true"), API_PROBLEM_BAD_BATCH, "a key"},
    {"{\"ops\":[],\"if\":[3]}", API_PROBLEM_BAD_BATCH, "if[0]: an object"},
    {"{\"ops\":[[]]}", API_PROBLEM_BAD_BATCH, "ops[0]: an object"},
};

static void bad_documents_are_refused_with_their_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct parsed p;

        parse(&p, bad[i].text);
        if (p.is_ok || p.problem.kind != bad[i].kind ||
            strstr(p.problem.detail, bad[i].detail) == NULL)
            fail_msg("%s: %s", bad[i].text, p.problem.detail);
        release(&p);
    }
}

/* How many lines are read at once, and how many bytes they are. */
static void lines_are_read_up_to_a_delete_range(void **state)
{
#define LINE_PUT   "{\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"}"
#define LINE_RANGE "{\"op\":\"delete-range\",\"start\":\"a\"}"
    static const struct {
        const char *text;
        size_t left; /* bytes not read */
        uint64_t lines;
        uint32_t count;
        size_t ranges;
    } rows[] = {
        {"", 0, 0, 0, 0},
        {"\n", 0, 1, 0, 0},
        {LINE_PUT, 0, 1, 1, 0},
        {LINE_PUT "\n", 0, 1, 1, 0},
        {LINE_PUT "\n\n" LINE_PUT, 0, 3, 2, 0},
        {LINE_PUT "\n" LINE_RANGE, sizeof(LINE_RANGE) - 1, 1, 1, 0},
        {LINE_RANGE "\n" LINE_PUT, sizeof(LINE_PUT) - 1, 1, 0, 1},
        {"\r\n" LINE_RANGE "\n" LINE_RANGE "\n", sizeof(LINE_RANGE), 2, 0, 1},
        {LINE_PUT "\n" LINE_RANGE "\nbad", sizeof(LINE_RANGE) - 1 + 4, 1, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice text = ldb_slice_str(rows[i].text);
        uint64_t line = 40;
        struct parsed p = {0};
        size_t used;

        ldb_arena_init(&p.arena, 0);
        ldb_batch_init(&p.batch, 64);
        p.is_ok = api_batch_json_lines(&p.arena, &small_limits,
                                       API_ENCODING_UTF8, text, &p.batch,
                                       &p.json, &used, &line, &p.problem);
        assert_true(p.is_ok);
        assert_int_equal(used, text.len - rows[i].left);
        assert_int_equal(line, 40 + rows[i].lines);
        assert_int_equal(p.batch.count, rows[i].count);
        assert_int_equal(p.json.range_count, rows[i].ranges);
        release(&p);
    }
}

static void a_bad_line_is_counted_from_those_before(void **state)
{
    struct parsed p = {0};
    uint64_t line = 40;
    size_t used;

    (void)state;
    ldb_arena_init(&p.arena, 0);
    ldb_batch_init(&p.batch, 64);
    assert_false(api_batch_json_lines(
        &p.arena, &small_limits, API_ENCODING_UTF8,
        ldb_slice_str(LINE_PUT "\n{\"op\":\"no\"}\n" LINE_PUT), &p.batch,
        &p.json, &used, &line, &p.problem));
    assert_true(p.problem.has_line);
    assert_int_equal(p.problem.line, 42);
    assert_non_null(strstr(p.problem.detail, "line 42: "));
    release(&p);
}

static void limits_hold_to_the_byte(void **state)
{
    struct parsed p;

    (void)state;
    parse(&p, PUT("\"key\":\"12345678\",\"value\":\"1234567890123456\""));
    assert_true(p.is_ok);
    release(&p);
}

static void a_failed_allocation_is_overloaded_not_malformed(void **state)
{
    (void)state;
    api_json_use_ldb_mem();
    for (uint64_t n = 1;; n++) {
        struct parsed p;
        bool failed;

        mem_fault_start(n, MEM_FAULT_ONCE);
        parse(&p, "{\"ops\":[{\"op\":\"put\",\"key\":\"ab\",\"value\":\"cd\","
                  "\"encoding\":\"hex\"},{\"op\":\"delete-range\","
                  "\"start\":\"a\"}],\"if\":[{\"key\":\"a\","
                  "\"sequence\":1}]}");
        failed = mem_fault_stop();
        if (!failed)
            assert_true(p.is_ok);
        else if (!p.is_ok)
            assert_int_equal(p.problem.kind, API_PROBLEM_OVERLOADED);
        release(&p);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_become_batch_bytes_in_order),
        cmocka_unit_test(strings_are_read_in_their_encoding),
        cmocka_unit_test(an_encoding_may_stand_behind_what_is_in_it),
        cmocka_unit_test(names_and_words_may_have_escapes),
        cmocka_unit_test(no_put_allocates),
        cmocka_unit_test(an_empty_batch_is_legal),
        cmocka_unit_test(blanks_and_order_of_members_do_not_matter),
        cmocka_unit_test(lists_of_any_length_are_kept_whole),
        cmocka_unit_test(conditions_and_ranges_have_a_limit),
        cmocka_unit_test(ranges_stand_where_they_were_written),
        cmocka_unit_test(conditions_are_kept_in_order),
        cmocka_unit_test(bad_documents_are_refused_with_their_place),
        cmocka_unit_test(lines_are_read_up_to_a_delete_range),
        cmocka_unit_test(a_bad_line_is_counted_from_those_before),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(a_failed_allocation_is_overloaded_not_malformed),
    };

    return cmocka_run_group_tests_name("batch_json", tests, NULL, NULL);
}
