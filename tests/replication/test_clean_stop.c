#include "replication/clean_stop.h"
#include "replication/sidecar.h"
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

    assert_int_equal(LDB_OK, ldb_env_replace_file(env, "db", path, "db/t",
                                                  ldb_slice_str(text), &err));
}

static void a_scan_finds_manifest_and_newest_journal(void **state)
{
    struct repl_clean_stop mark = {.epoch_number = 9};
    struct ldb_error err = {0};

    (void)state;
    put_file("db/CURRENT", "MANIFEST-000005\n");
    put_file("db/MANIFEST-000005", "12345");
    put_file("db/MANIFEST-000007", "1234567");
    put_file("db/000006.log", "");
    put_file("db/000012.log", "12");
    put_file("db/000009.log", "123456789");
    put_file("db/000099.ldb", "x");
    put_file("db/other.log", "x");
    assert_int_equal(LDB_OK, repl_clean_stop_scan(env, "db", &err, &mark));
    assert_int_equal(5, mark.manifest_number);
    assert_int_equal(5, mark.manifest_len);
    assert_int_equal(12, mark.journal_number);
    assert_int_equal(2, mark.journal_len);
    assert_int_equal(9, mark.epoch_number);
}

static void a_folder_without_a_database_is_not_found(void **state)
{
    struct repl_clean_stop mark = {0};
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_NOT_FOUND,
                     repl_clean_stop_scan(env, "db", &err, &mark));
}

static void a_stored_mark_comes_back_until_removed(void **state)
{
    const struct repl_clean_stop stored = {
        1, UINT64_C(0xfedcba9876543210), 2, 3, 4, 5, 6};
    struct repl_clean_stop loaded;
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_NOT_FOUND,
                     repl_clean_stop_load(env, "db", &err, &loaded));
    assert_int_equal(LDB_OK, repl_clean_stop_store(env, "db", &stored, &err));
    assert_int_equal(LDB_OK, repl_clean_stop_load(env, "db", &err, &loaded));
    assert_memory_equal(&stored, &loaded, sizeof stored);
    assert_int_equal(LDB_OK, repl_clean_stop_remove(env, "db", &err));
    assert_int_equal(LDB_NOT_FOUND,
                     repl_clean_stop_load(env, "db", &err, &loaded));
}

#define GOOD "epoch 1 00000000000000ff\nmanifest 2 3\njournal 4 5\nsequence 6\n"

static void lines_that_are_no_mark_are_corruption(void **state)
{
    static const struct {
        const char *lines;
        enum ldb_status status;
    } rows[] = {
        {GOOD, LDB_OK},
        {GOOD "x\n", LDB_CORRUPTION},
        {"", LDB_CORRUPTION},
        {"epoch 1 00000000000000ff\nmanifest 2 3\njournal 4\nsequence 6\n",
         LDB_CORRUPTION},
        {"epoch 1 ff\nmanifest 2 3\njournal 4 5\nsequence 6\n", LDB_CORRUPTION},
        {"epoch 1 00000000000000ff\njournal 4 5\nmanifest 2 3\nsequence 6\n",
         LDB_CORRUPTION},
        {"epoch 1 00000000000000ff\nmanifest 2 3\njournal 4 5\nsequence x\n",
         LDB_CORRUPTION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct repl_clean_stop loaded;
        struct ldb_error err = {0};
        enum ldb_status s;

        assert_int_equal(
            LDB_OK, repl_sidecar_write(env, "db", "clean-stop", 1,
                                       ldb_slice_str(rows[i].lines), &err));
        s = repl_clean_stop_load(env, "db", &err, &loaded);
        if (s != rows[i].status)
            fail_msg("row %zu: %s %s", i, ldb_status_text(s), err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_scan_finds_manifest_and_newest_journal, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_folder_without_a_database_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stored_mark_comes_back_until_removed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(lines_that_are_no_mark_are_corruption,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
