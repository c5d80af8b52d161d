#include "api/item_text.h"

#include "storage/base/buf.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define BYTES(literal) ldb_slice_make("" literal, sizeof(literal) - 1)

struct item_row {
    const char *name;
    enum api_encoding asked;
    struct ldb_slice key;
    bool has_value;
    struct ldb_slice value;
    const char *text;
};

#define ROW_BYTES(literal)                                                     \
    {                                                                          \
        (const uint8_t *)(literal), sizeof(literal) - 1                        \
    }

static const struct item_row rows[] = {
    {"utf8", API_ENCODING_UTF8, ROW_BYTES("k"), true, ROW_BYTES("v\n"),
     "{\"key\":\"k\",\"value\":\"v\\n\",\"sequence\":9}\n"},
    {"empty key and value", API_ENCODING_UTF8, ROW_BYTES(""), true,
     ROW_BYTES(""), "{\"key\":\"\",\"value\":\"\",\"sequence\":9}\n"},
    {"no value", API_ENCODING_UTF8, ROW_BYTES("k"), false, ROW_BYTES(""),
     "{\"key\":\"k\",\"sequence\":9}\n"},
    {"key falls back", API_ENCODING_UTF8, ROW_BYTES("\xff"), true,
     ROW_BYTES("v"),
     "{\"key\":\"/w==\",\"value\":\"dg==\",\"sequence\":9,"
     "\"encoding\":\"base64\"}\n"},
    {"value falls back", API_ENCODING_UTF8, ROW_BYTES("k"), true,
     ROW_BYTES("\xff\xff\xff\xff"),
     "{\"key\":\"aw==\",\"value\":\"/////w==\",\"sequence\":9,"
     "\"encoding\":\"base64\"}\n"},
    {"hex", API_ENCODING_HEX, ROW_BYTES("k\0"), true, ROW_BYTES("\xab"),
     "{\"key\":\"6b00\",\"value\":\"ab\",\"sequence\":9}\n"},
    {"the longest number and encoding", API_ENCODING_BASE64, ROW_BYTES("\x01"),
     true, ROW_BYTES(""), "{\"key\":\"AQ==\",\"value\":\"\",\"sequence\":9}\n"},
    {"escapes at every step", API_ENCODING_UTF8, ROW_BYTES("k"), true,
     ROW_BYTES("\x01\x02\x03"),
     "{\"key\":\"k\",\"value\":\"\\u0001\\u0002\\u0003\",\"sequence\":9}\n"},
};

static void read_all(struct api_item_text *text, size_t max,
                     struct ldb_buf *out)
{
    uint8_t piece[256];
    size_t len;

    assert_true(max <= sizeof(piece));
    while ((len = api_item_text_next(text, piece, max)) > 0) {
        assert_true(len <= max);
        assert_ldb_ok(ldb_buf_append(out, ldb_slice_make(piece, len)), NULL);
    }
    assert_true(api_item_text_at_end(text));
}

static void items_are_the_same_in_pieces_of_any_size(void **state)
{
    struct api_item_text text;

    (void)state;
    api_item_text_init(&text);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t max = 1; max < 256; max = max < 20 ? max + 1 : max * 2) {
            struct ldb_buf out = LDB_BUF_INIT(1024);

            assert_ldb_ok(
                api_item_text_set(&text, rows[i].asked, rows[i].key,
                                  rows[i].has_value ? &rows[i].value : NULL, 9),
                NULL);
            read_all(&text, max, &out);
            assert_ldb_slice(ldb_slice_str(rows[i].text),
                             ldb_slice_of_buf(&out));
            ldb_buf_release(&out);
        }
    }
    api_item_text_release(&text);
}

static void an_unread_item_can_be_set_anew(void **state)
{
    struct api_item_text text;
    struct ldb_slice value = BYTES("\x01\x01\x01");
    struct ldb_buf out = LDB_BUF_INIT(1024);
    uint8_t piece[25];

    (void)state;
    api_item_text_init(&text);
    assert_ldb_ok(
        api_item_text_set(&text, API_ENCODING_UTF8, BYTES("k"), &value, 1),
        NULL);
    assert_int_equal(api_item_text_next(&text, piece, sizeof(piece)), 25);
    value = BYTES("v");
    assert_ldb_ok(
        api_item_text_set(&text, API_ENCODING_UTF8, BYTES("l"), &value, 2),
        NULL);
    read_all(&text, 3, &out);
    assert_ldb_bytes("{\"key\":\"l\",\"value\":\"v\",\"sequence\":2}\n",
                     ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
    api_item_text_release(&text);
}

static void set_says_when_there_is_no_memory(void **state)
{
    struct api_item_text text;
    struct ldb_slice value = BYTES("v");

    (void)state;
    api_item_text_init(&text);
    mem_fault_start(1, MEM_FAULT_FOREVER);
    assert_int_equal(
        api_item_text_set(&text, API_ENCODING_UTF8, BYTES("k"), &value, 1),
        LDB_NO_MEMORY);
    assert_true(mem_fault_stop());
    api_item_text_release(&text);
}

static void an_appended_item_is_the_line_without_its_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf out = LDB_BUF_INIT(API_PAGE_BUF_MAX);
        struct ldb_slice text = ldb_slice_str(rows[i].text);

        assert_ldb_ok(ldb_buf_append(&out, BYTES("[")), NULL);
        assert_ldb_ok(api_item_text_append(
                          rows[i].asked, rows[i].key,
                          rows[i].has_value ? &rows[i].value : NULL, 9, &out),
                      NULL);
        assert_ldb_slice(ldb_slice_make(text.data, text.len - 1),
                         ldb_slice_make(out.data + 1, out.len - 1));
        ldb_buf_release(&out);
    }
}

static void append_says_when_there_is_no_memory_or_room(void **state)
{
    struct ldb_slice value = BYTES("value");

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ldb_buf out = LDB_BUF_INIT(1024);
        enum ldb_status s;
        bool failed;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = api_item_text_append(API_ENCODING_UTF8, BYTES("key"), &value,
                                 UINT64_MAX, &out);
        failed = mem_fault_stop();
        assert_int_equal(s, failed ? LDB_NO_MEMORY : LDB_OK);
        ldb_buf_release(&out);
        if (!failed)
            break;
    }
    for (size_t limit = 0; limit < 64; limit++) {
        struct ldb_buf out = LDB_BUF_INIT(limit);

        /* {"key":"key","value":"value","sequence":7} */
        assert_int_equal(api_item_text_append(API_ENCODING_UTF8, BYTES("key"),
                                              &value, 7, &out),
                         limit < 42 ? LDB_TOO_LARGE : LDB_OK);
        ldb_buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_appended_item_is_the_line_without_its_end),
        cmocka_unit_test(append_says_when_there_is_no_memory_or_room),
        cmocka_unit_test(items_are_the_same_in_pieces_of_any_size),
        cmocka_unit_test(an_unread_item_can_be_set_anew),
        cmocka_unit_test(set_says_when_there_is_no_memory),
    };

    return cmocka_run_group_tests_name("item_text", tests, NULL, NULL);
}
