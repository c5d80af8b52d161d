#include "storage/base/internal_key.h"

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

/* An internal key in buf, which is cleared. */
static struct ldb_slice make(struct ldb_buf *buf, const char *user,
                             ldb_sequence sequence, enum ldb_kind kind)
{
    ldb_buf_clear(buf);
    assert_ldb_ok(ldb_internal_key_append(buf, ldb_slice_str(user),
                                          ldb_tag_make(sequence, kind)),
                  NULL);
    return ldb_slice_of_buf(buf);
}

static void the_tag_is_sequence_and_kind_low_byte_first(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(100);

    (void)state;
    assert_ldb_hex("6b 01 05 04 03 02 01 00 00",
                   make(&buf, "k", UINT64_C(0x0102030405), LDB_KIND_PUT));
    assert_ldb_hex("6b 00 ff ff ff ff ff ff ff",
                   make(&buf, "k", LDB_SEQUENCE_MAX, LDB_KIND_DELETE));
    assert_ldb_hex("01 00 00 00 00 00 00 00", make(&buf, "", 0, LDB_KIND_PUT));
    ldb_buf_release(&buf);
}

static void append_is_all_or_nothing(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(10);

    (void)state;
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_internal_key_append(&buf, ldb_slice_str("abc"), 1),
                      NULL);
    assert_int_equal(buf.len, 0);
    assert_ldb_ok(ldb_internal_key_append(&buf, ldb_slice_str("ab"), 1), NULL);
    ldb_buf_release(&buf);
}

static void parse_takes_a_key_apart(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(100);
    struct ldb_parsed_key parsed;

    (void)state;
    assert_true(ldb_internal_key_parse(
        make(&buf, "user", LDB_SEQUENCE_MAX, LDB_KIND_DELETE), &parsed));
    assert_ldb_bytes("user", parsed.user_key);
    assert_int_equal(parsed.sequence, LDB_SEQUENCE_MAX);
    assert_int_equal(parsed.kind, LDB_KIND_DELETE);
    assert_true(
        ldb_internal_key_parse(make(&buf, "", 7, LDB_KIND_PUT), &parsed));
    assert_int_equal(parsed.user_key.len, 0);
    assert_int_equal(parsed.sequence, 7);
    assert_int_equal(parsed.kind, LDB_KIND_PUT);
    ldb_buf_release(&buf);
}

static void parse_refuses_short_keys_and_unknown_kinds(void **state)
{
    static const char *const rows[] = {
        "",
        "01 00 00 00 00 00 00",
        "02 00 00 00 00 00 00 00",
        "6b ff 00 00 00 00 00 00 00",
    };
    struct ldb_buf buf = LDB_BUF_INIT(100);
    struct ldb_parsed_key parsed;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ldb_buf_clear(&buf);
        bytes_from_hex(rows[i], &buf);
        assert_false(ldb_internal_key_parse(ldb_slice_of_buf(&buf), &parsed));
    }
    ldb_buf_release(&buf);
}

static void keys_ascend_and_their_versions_descend(void **state)
{
    static const struct {
        const char *user;
        ldb_sequence sequence;
        enum ldb_kind kind;
    } ordered[] = {
        {"", 5, LDB_KIND_PUT},       {"a", LDB_SEQUENCE_MAX, LDB_KIND_PUT},
        {"a", 256, LDB_KIND_PUT},    {"a", 255, LDB_KIND_PUT},
        {"a", 255, LDB_KIND_DELETE}, {"a", 0, LDB_KIND_DELETE},
        {"a\x01", 9, LDB_KIND_PUT},  {"b", 1, LDB_KIND_PUT},
    };
    const struct ldb_comparator *cmp = ldb_comparator_bytewise();
    struct ldb_buf a = LDB_BUF_INIT(100);
    struct ldb_buf b = LDB_BUF_INIT(100);
    size_t count = sizeof(ordered) / sizeof(ordered[0]);

    (void)state;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            int order = ldb_internal_compare(
                cmp,
                make(&a, ordered[i].user, ordered[i].sequence, ordered[i].kind),
                make(&b, ordered[j].user, ordered[j].sequence,
                     ordered[j].kind));

            if ((order > 0) - (order < 0) != (i > j) - (i < j))
                fail_msg("%zu against %zu: %d", i, j, order);
        }
    ldb_buf_release(&a);
    ldb_buf_release(&b);
}

/* Only a shorter and greater user key is used. */
/* Keys of random length over a small alphabet, each in memory of its own
 * size: the order must be memcmp's, and no byte outside be read. */
static void words_order_like_bytes(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct ldb_slice keys[2];
        int expected, actual;

        for (size_t k = 0; k < 2; k++) {
            size_t len = bytes_next(&seed) % 20;
            uint8_t *bytes = ldb_mem_alloc(len + LDB_TAG_SIZE, 1);

            assert_non_null(bytes);
            for (size_t b = 0; b < len; b++)
                bytes[b] = bytes_next(&seed) % 8 == 0
                               ? (uint8_t)bytes_next(&seed)
                               : 'a';
            ldb_store_fixed64(bytes + len, bytes_next(&seed) % 3);
            keys[k] = ldb_slice_make(bytes, len + LDB_TAG_SIZE);
        }
        expected = ldb_slice_compare(ldb_internal_user_key(keys[0]),
                                     ldb_internal_user_key(keys[1]));
        if (expected == 0)
            expected = (ldb_internal_tag(keys[0]) < ldb_internal_tag(keys[1])) -
                       (ldb_internal_tag(keys[0]) > ldb_internal_tag(keys[1]));
        actual = ldb_internal_compare_bytewise(keys[0], keys[1]);
        assert_int_equal((actual > 0) - (actual < 0),
                         (expected > 0) - (expected < 0));
        for (size_t k = 0; k < 2; k++) {
            union {
                const uint8_t *borrowed;
                void *owned;
            } memory = {.borrowed = keys[k].data};

            ldb_mem_free(memory.owned);
        }
    }
}

static void separators_follow_the_format(void **state)
{
    static const struct {
        const char *a, *b, *expected;
    } rows[] = {
        {"foo", "foo", "666f6f 01 64 00 00 00 00 00 00"},
        {"foo", "hello", "67 01 ff ff ff ff ff ff ff"},
        {"foo", "bar", "666f6f 01 64 00 00 00 00 00 00"},
        {"foo", "foobar", "666f6f 01 64 00 00 00 00 00 00"},
        {"foobar", "foo", "666f6f626172 01 64 00 00 00 00 00 00"},
        {"f", "h", "66 01 64 00 00 00 00 00 00"}, /* "g" is not shorter */
        {"f\x01", "h", "67 01 ff ff ff ff ff ff ff"},
    };
    const struct ldb_comparator *cmp = ldb_comparator_bytewise();
    struct ldb_buf a = LDB_BUF_INIT(100);
    struct ldb_buf b = LDB_BUF_INIT(100);
    struct ldb_buf out = LDB_BUF_INIT(100);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice first = make(&a, rows[i].a, 100, LDB_KIND_PUT);
        struct ldb_slice second = make(&b, rows[i].b, 200, LDB_KIND_PUT);

        assert_ldb_ok(ldb_internal_separator(cmp, first, second, &out), NULL);
        assert_ldb_hex(rows[i].expected, ldb_slice_of_buf(&out));
    }
    ldb_buf_release(&a);
    ldb_buf_release(&b);
    ldb_buf_release(&out);
}

static void successors_follow_the_format(void **state)
{
    static const struct {
        const char *a, *expected;
    } rows[] = {
        {"foo", "67 01 ff ff ff ff ff ff ff"},
        {"f", "66 01 64 00 00 00 00 00 00"},
        {"\xff\xff", "ffff 01 64 00 00 00 00 00 00"},
        {"\xff\x61\x61", "ff62 01 ff ff ff ff ff ff ff"},
        {"", "01 64 00 00 00 00 00 00"},
    };
    const struct ldb_comparator *cmp = ldb_comparator_bytewise();
    struct ldb_buf a = LDB_BUF_INIT(100);
    struct ldb_buf out = LDB_BUF_INIT(100);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice key = make(&a, rows[i].a, 100, LDB_KIND_PUT);

        assert_ldb_ok(ldb_internal_successor(cmp, key, &out), NULL);
        assert_ldb_hex(rows[i].expected, ldb_slice_of_buf(&out));
    }
    ldb_buf_release(&a);
    ldb_buf_release(&out);
}

static void a_comparator_that_cannot_shorten_keeps_the_key(void **state)
{
    struct ldb_comparator cmp = *ldb_comparator_bytewise();
    struct ldb_buf a = LDB_BUF_INIT(100);
    struct ldb_buf b = LDB_BUF_INIT(100);
    struct ldb_buf out = LDB_BUF_INIT(100);
    struct ldb_slice first = make(&a, "foo", 1, LDB_KIND_PUT);
    struct ldb_slice second = make(&b, "zoo", 1, LDB_KIND_PUT);

    (void)state;
    cmp.separator = NULL;
    cmp.successor = NULL;
    assert_ldb_ok(ldb_internal_separator(&cmp, first, second, &out), NULL);
    assert_ldb_slice(first, ldb_slice_of_buf(&out));
    assert_ldb_ok(ldb_internal_successor(&cmp, second, &out), NULL);
    assert_ldb_slice(second, ldb_slice_of_buf(&out));
    ldb_buf_release(&a);
    ldb_buf_release(&b);
    ldb_buf_release(&out);
}

static void describe_quotes_cuts_and_names_the_kind(void **state)
{
    static const struct {
        const char *hex;
        const char *expected;
    } rows[] = {
        {"6162 01 07 00 00 00 00 00 00", "\"ab\"@7:put"},
        {"00ff225c7f 00 ff ff ff ff ff ff ff",
         "\"\\x00\\xff\\x22\\x5c\\x7f\"@72057594037927935:delete"},
        {"61 09 01 00 00 00 00 00 00", "\"a\"@1:9"},
        {"61 62", "\"ab\"@?"},
        {"", "\"\"@?"},
        {"6161616161616161616161616161616161616161616161616161616161616162"
         "01 01 00 00 00 00 00 00",
         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"@1:put"},
        {"6161616161616161616161616161616161616161616161616161616161616162"
         "63 01 01 00 00 00 00 00 00",
         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab...\"@1:put"},
    };
    struct ldb_buf key = LDB_BUF_INIT(100);
    struct ldb_buf out = LDB_BUF_INIT(200);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ldb_buf_clear(&key);
        ldb_buf_clear(&out);
        bytes_from_hex(rows[i].hex, &key);
        assert_ldb_ok(ldb_internal_key_describe(&out, ldb_slice_of_buf(&key)),
                      NULL);
        assert_ldb_slice(ldb_slice_str(rows[i].expected),
                         ldb_slice_of_buf(&out));
    }
    ldb_buf_release(&key);
    ldb_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tag_is_sequence_and_kind_low_byte_first),
        cmocka_unit_test(append_is_all_or_nothing),
        cmocka_unit_test(parse_takes_a_key_apart),
        cmocka_unit_test(parse_refuses_short_keys_and_unknown_kinds),
        cmocka_unit_test(keys_ascend_and_their_versions_descend),
        cmocka_unit_test(words_order_like_bytes),
        cmocka_unit_test(separators_follow_the_format),
        cmocka_unit_test(successors_follow_the_format),
        cmocka_unit_test(a_comparator_that_cannot_shorten_keeps_the_key),
        cmocka_unit_test(describe_quotes_cuts_and_names_the_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
