/* The texts are those that Go 1.19 printed for the same values. */
#include "storage/base/go_text.h"

#include "tests/support/assert_ldb.h"

static void durations_are_gos(void **state)
{
    static const struct {
        uint64_t us;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {1, "1\302\265s"},
        {999, "999\302\265s"},
        {1000, "1ms"},
        {1500, "1.5ms"},
        {12345, "12.345ms"},
        {999999, "999.999ms"},
        {1000000, "1s"},
        {1500000, "1.5s"},
        {60000000, "1m0s"},
        {61500000, "1m1.5s"},
        {3600000000, "1h0m0s"},
        {3661001000, "1h1m1.001s"},
        {7384000000, "2h3m4s"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf text = LDB_BUF_INIT(100);

        assert_ldb_ok(ldb_go_text_duration(&text, rows[i].us), NULL);
        assert_ldb_slice(ldb_slice_str(rows[i].text), ldb_slice_of_buf(&text));
        ldb_buf_release(&text);
    }
}

static void quoting_is_gos(void **state)
{
#define BYTES(literal)                                                         \
    {                                                                          \
        (const uint8_t *)(literal), sizeof(literal) - 1                        \
    }
    static const struct {
        struct ldb_slice bytes;
        const char *text;
    } rows[] = {
        {BYTES(""), "\"\""},
        {BYTES("ab"), "\"ab\""},
        {BYTES("\0\a\b\f\n\r\t\v\x1b\x7f\"\\'"),
         "\"\\x00\\a\\b\\f\\n\\r\\t\\v\\x1b\\x7f\\\"\\\\'\""},
        {BYTES("\xff\xc3\xa9\xc3"), "\"\\xff\xc3\xa9\\xc3\""},
        {BYTES("\xc2\xad\xc2\xa1"), "\"\\u00ad\xc2\xa1\""},
        {BYTES("\xe2\x82\xac"), "\"\xe2\x82\xac\""},
        {BYTES("\xe2\x80\x8b"), "\"\\u200b\""},
        {BYTES("\xef\xbf\xbd"), "\"\xef\xbf\xbd\""},
        {BYTES("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\""},
        {BYTES("\xf4\x8f\xbf\xbd"), "\"\\U0010fffd\""},
        /* A surrogate, a longer form than needed, past the last code. */
        {BYTES("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\""},
        {BYTES("\xc0\x80"), "\"\\xc0\\x80\""},
        {BYTES("\xe0\x80\x80"), "\"\\xe0\\x80\\x80\""},
        {BYTES("\xf4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\""},
        {BYTES("\xe2\x82"), "\"\\xe2\\x82\""},
    };
#undef BYTES

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf text = LDB_BUF_INIT(100);

        assert_ldb_ok(ldb_go_text_quote(&text, rows[i].bytes), NULL);
        assert_ldb_slice(ldb_slice_str(rows[i].text), ldb_slice_of_buf(&text));
        ldb_buf_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_gos),
        cmocka_unit_test(quoting_is_gos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
