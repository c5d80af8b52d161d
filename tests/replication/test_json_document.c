#include "replication/json_document.h"

#include <stdio.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define DOCUMENT                                                               \
    "{\"n\":7,\"top\":9223372036854775807,\"yes\":true,\"no\":false,"          \
    "\"text\":\"a b\",\"hex\":\"0123456789abcdef\","                           \
    "\"digest\":\"000102030405060708090a0b0c0d0e0f\",\"null\":null,"           \
    "\"object\":{\"n\":8},\"array\":[{\"n\":1},{\"n\":2}],"                    \
    "\"mixed\":[{\"n\":1},3]}"

/* A document being read. */
struct reading {
    struct ldb_error err;
    struct repl_json_reader reader;
    json_t *tree;
    struct repl_json_object root;
};

static void begin(struct reading *r, const char *text)
{
    *r = (struct reading){0};
    r->reader = (struct repl_json_reader){.document = "doc", .err = &r->err};
    r->tree = repl_json_read(&r->reader, ldb_slice_str(text), 3);
    r->root = repl_json_root(&r->reader, r->tree);
}

static void end_well(struct reading *r)
{
    assert_ldb_ok(r->reader.status, &r->err);
    json_decref(r->tree);
}

static void end_refused(struct reading *r, const char *message)
{
    assert_ldb_status(LDB_CORRUPTION, r->reader.status, &r->err);
    assert_string_equal(message, r->err.message);
    json_decref(r->tree);
}

/* ---- parsing ---- */

static void what_is_no_document_is_refused(void **state)
{
    static const struct {
        const char *text;
        const char *message; /* NULL: accepted */
    } rows[] = {
        {"{}", NULL},
        {"{\"a\":[{}]}", NULL},
        {"{\"a\":\"[[[[\"}", NULL},
        {"", "doc: the body is empty"},
        {"[]", "doc: not an object"},
        {"{\"a\":[[[]]]}", "doc: JSON nested deeper than 3 levels"},
        {"{\"a\":1,\"a\":2}",
         "doc: JSON, line 1 column 10: duplicate object key near '\"a\"'"},
        {"{} x", "doc: JSON, line 1 column 4: end of file expected near 'x'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reading r;

        begin(&r, rows[i].text);
        if (rows[i].message == NULL)
            end_well(&r);
        else
            end_refused(&r, rows[i].message);
    }
}

static void failing_allocations_are_not_bad_json(void **state)
{
    unsigned failures = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct reading r;
        bool has_failed;

        mem_fault_start(n, MEM_FAULT_ONCE);
        begin(&r, DOCUMENT);
        has_failed = mem_fault_stop();
        if (!has_failed) {
            end_well(&r);
            break;
        }
        failures++;
        assert_ldb_status(LDB_NO_MEMORY, r.reader.status, &r.err);
        assert_null(r.tree);
    }
    assert_true(failures > 10);
}

/* ---- members ---- */

static void members_come_out_as_they_are(void **state)
{
    struct reading r;
    struct repl_json_object object;
    struct ldb_digest digest;
    char text[17];

    (void)state;
    begin(&r, DOCUMENT);
    assert_int_equal(7, repl_json_u64(&r.root, "n", 7));
    assert_true(repl_json_u64(&r.root, "top", INT64_MAX) == INT64_MAX);
    assert_true(repl_json_bool(&r.root, "yes"));
    assert_false(repl_json_bool(&r.root, "no"));
    repl_json_text(&r.root, "text", text, 4);
    assert_string_equal("a b", text);
    repl_json_hex(&r.root, "hex", text, 16);
    assert_string_equal("0123456789abcdef", text);
    assert_true(repl_json_hex64(&r.root, "hex") ==
                UINT64_C(0x0123456789abcdef));
    digest = repl_json_digest(&r.root, "digest");
    for (uint8_t i = 0; i < LDB_DIGEST_SIZE; i++)
        assert_int_equal(i, digest.bytes[i]);
    assert_true(repl_json_has(&r.root, "n"));
    assert_false(repl_json_has(&r.root, "null"));
    assert_false(repl_json_has(&r.root, "nothing"));
    object = repl_json_member(&r.root, "object");
    assert_int_equal(8, repl_json_u64(&object, "n", 9));
    assert_int_equal(2, repl_json_count(&r.root, "array"));
    object = repl_json_item(&r.root, "array", 1);
    assert_int_equal(2, repl_json_u64(&object, "n", 9));
    end_well(&r);
}

static void take_u64(const struct repl_json_object *o, const char *name)
{
    assert_int_equal(0, repl_json_u64(o, name, 6));
}

static void take_bool(const struct repl_json_object *o, const char *name)
{
    assert_false(repl_json_bool(o, name));
}

static void take_text(const struct repl_json_object *o, const char *name)
{
    char text[3] = "x";

    repl_json_text(o, name, text, sizeof(text));
    assert_string_equal("", text);
}

static void take_hex(const struct repl_json_object *o, const char *name)
{
    char text[16] = "x";

    repl_json_hex(o, name, text, sizeof(text) - 1);
    assert_string_equal("", text);
}

static void take_hex64(const struct repl_json_object *o, const char *name)
{
    assert_int_equal(0, repl_json_hex64(o, name));
}

static void take_digest(const struct repl_json_object *o, const char *name)
{
    struct ldb_digest none = {{0}};
    struct ldb_digest digest = repl_json_digest(o, name);

    assert_true(ldb_digest_equal(&none, &digest));
}

static void take_member(const struct repl_json_object *o, const char *name)
{
    struct repl_json_object member = repl_json_member(o, name);

    take_u64(&member, "n");
}

static void take_items(const struct repl_json_object *o, const char *name)
{
    size_t count = repl_json_count(o, name);

    for (size_t i = 0; i < count; i++)
        (void)repl_json_item(o, name, i);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        void (*take)(const struct repl_json_object *o, const char *name);
        const char *name;
        const char *message;
    } rows[] = {
        {take_u64, "nothing", "doc: nothing is missing"},
        {take_u64, "n", "doc: n is not a number from 0 to 6"},
        {take_u64, "minus", "doc: minus is not a number from 0 to 6"},
        {take_u64, "real", "doc: real is not a number from 0 to 6"},
        {take_u64, "text", "doc: text is not a number from 0 to 6"},
        {take_u64, "null", "doc: null is not a number from 0 to 6"},
        {take_bool, "n", "doc: n is not true or false"},
        {take_bool, "nothing", "doc: nothing is missing"},
        {take_text, "n", "doc: n is not a string"},
        {take_text, "text", "doc: text is too long, or not printable ASCII"},
        {take_text, "nul", "doc: nul is too long, or not printable ASCII"},
        {take_text, "line", "doc: line is too long, or not printable ASCII"},
        {take_text, "e", "doc: e is too long, or not printable ASCII"},
        {take_hex, "hex", "doc: hex is not 15 hex digits"},
        {take_hex, "n", "doc: n is not 15 hex digits"},
        {take_hex64, "HEX", "doc: HEX is not 16 hex digits"},
        {take_hex64, "nothing", "doc: nothing is missing"},
        {take_digest, "hex", "doc: hex is not 32 hex digits"},
        {take_member, "n", "doc: n is not an object"},
        {take_member, "object", "doc: object.n is not a number from 0 to 6"},
        {take_member, "nothing", "doc: nothing is missing"},
        {take_items, "n", "doc: n is not an array"},
        {take_items, "mixed", "doc: mixed[1] is not an object"},
        {take_items, "nothing", "doc: nothing is missing"},
    };
    static const char document[] =
        "{\"n\":7,\"minus\":-1,\"real\":1.0,\"text\":\"abc\",\"nul\":"
        "\"\\u0000\","
        "\"line\":\"\\n\",\"e\":\"\\u00e9\",\"null\":null,"
        "\"hex\":\"0123456789abcdef\",\"HEX\":\"0123456789ABCDEF\","
        "\"object\":{\"n\":7},\"mixed\":[{\"n\":1},3]}";

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reading r;

        begin(&r, document);
        rows[i].take(&r.root, rows[i].name);
        end_refused(&r, rows[i].message);
    }
}

static void the_first_failure_stays(void **state)
{
    struct repl_json_object member;
    struct reading r;

    (void)state;
    begin(&r, DOCUMENT);
    repl_json_refuse(&r.root, "n", "is odd");
    repl_json_refuse(&r.root, "yes", "is not asked for");
    take_u64(&r.root, "n");
    take_bool(&r.root, "yes");
    take_text(&r.root, "text");
    take_hex64(&r.root, "hex");
    take_digest(&r.root, "digest");
    assert_false(repl_json_has(&r.root, "n"));
    assert_int_equal(0, repl_json_count(&r.root, "array"));
    member = repl_json_item(&r.root, "array", 0);
    take_u64(&member, "n");
    take_member(&r.root, "object");
    end_refused(&r, "doc: n is odd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_document_is_refused),
        cmocka_unit_test(failing_allocations_are_not_bad_json),
        cmocka_unit_test(members_come_out_as_they_are),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(the_first_failure_stays),
    };

    repl_json_use_ldb_mem();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
