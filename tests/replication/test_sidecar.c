#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/sidecar_env.h"

static struct ldb_env *env;

static int setup(void **state)
{
    (void)state;
    env = sidecar_env_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

static void put_file(const char *path, const char *text)
{
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK, ldb_env_replace_file(env, "db/leveld", path,
                                                  "db/leveld/tmp",
                                                  ldb_slice_str(text), &err));
}

static void a_file_has_these_bytes(void **state)
{
    struct ldb_buf text = LDB_BUF_INIT(1000);
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK,
                     repl_sidecar_write(env, "db", "test", 3,
                                        ldb_slice_str("one 1\ntwo\n"), &err));
    assert_int_equal(LDB_OK,
                     ldb_env_read_file(env, "db/leveld/test", &err, &text));
    assert_int_equal(LDB_OK, ldb_buf_append_byte(&text, 0));
    assert_string_equal("leveld-test 3\none 1\ntwo\ncrc32c 34f11550\n",
                        (const char *)text.data);
    ldb_buf_clear(&text);
    assert_int_equal(LDB_OK,
                     repl_sidecar_read(env, "db", "test", 3, &err, &text));
    assert_true(ldb_slice_equal(ldb_slice_of_buf(&text),
                                ldb_slice_str("one 1\ntwo\n")));
    ldb_buf_release(&text);
}

static void what_is_no_such_file_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum ldb_status status;
    } rows[] = {
        {"leveld-test 3\none 1\ntwo\ncrc32c 34f11550\n", LDB_OK},
        {"leveld-test 4\nanything", LDB_NOT_SUPPORTED},
        {"leveld-test 3\none 2\ntwo\ncrc32c 34f11550\n", LDB_CORRUPTION},
        {"leveld-test 3\none 1\ntwo\ncrc32c 34f11551\n", LDB_CORRUPTION},
        {"leveld-test 3\none 1\ntwo\ncrc32c 34F11550\n", LDB_CORRUPTION},
        {"leveld-test 3\none 1\ntwo\n", LDB_CORRUPTION},
        {"leveld-test 3\none 1\ntwo\ncrc32c 34f11550", LDB_CORRUPTION},
        {"leveld-other 3\n", LDB_CORRUPTION},
        {"leveld-test\n", LDB_CORRUPTION},
        {"leveld-test 0\n", LDB_CORRUPTION},
        {"leveld-test x\n", LDB_CORRUPTION},
        {"leveld-test 3", LDB_CORRUPTION},
        {"", LDB_CORRUPTION},
        {"\n", LDB_CORRUPTION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ldb_buf text = LDB_BUF_INIT(1000);
        struct ldb_error err = {0};
        enum ldb_status s;

        put_file("db/leveld/test", rows[i].text);
        s = repl_sidecar_read(env, "db", "test", 3, &err, &text);
        if (s != rows[i].status)
            fail_msg("row %zu: %s %s", i, ldb_status_text(s), err.message);
        ldb_buf_release(&text);
    }
}

static void a_missing_file_is_not_found_and_removal_is_quiet(void **state)
{
    struct ldb_buf text = LDB_BUF_INIT(1000);
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_NOT_FOUND,
                     repl_sidecar_read(env, "db", "none", 1, &err, &text));
    assert_int_equal(LDB_OK, repl_sidecar_remove(env, "db", "none", &err));
    put_file("db/leveld/none", "x");
    assert_int_equal(LDB_OK, repl_sidecar_remove(env, "db", "none", &err));
    assert_int_equal(LDB_NOT_FOUND,
                     repl_sidecar_read(env, "db", "none", 1, &err, &text));
    ldb_buf_release(&text);
}

static void lines_are_words_between_single_blanks(void **state)
{
    static const struct {
        const char *text;
        size_t count; /* 0: refused */
    } rows[] = {
        {"a\n", 1},
        {"a b c\n", 3},
        {"1 2 3 4 5 6 7 8\n", 8},
        {"1 2 3 4 5 6 7 8 9\n", 0},
        {"a  b\n", 0},
        {" a\n", 0},
        {"a \n", 0},
        {"\n", 0},
        {"a", 0},
        {"", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ldb_slice lines = ldb_slice_str(rows[i].text);
        struct repl_words words;
        bool ok = repl_words_next(&lines, &words);

        if (ok != (rows[i].count != 0) ||
            (ok && (words.count != rows[i].count || lines.len != 0)) ||
            (!ok && lines.len != strlen(rows[i].text)))
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_has_these_bytes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_no_such_file_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_missing_file_is_not_found_and_removal_is_quiet, setup, teardown),
        cmocka_unit_test(lines_are_words_between_single_blanks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
