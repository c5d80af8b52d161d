#include "storage/version/file_names.h"

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void ours_are_printed_and_parsed_alike(void **state)
{
    static const struct {
        const char *name;
        enum ldb_file_type type;
        uint64_t number;
    } rows[] = {
        {"000000.log", LDB_FILE_JOURNAL, 0},
        {"000001.log", LDB_FILE_JOURNAL, 1},
        {"999999.log", LDB_FILE_JOURNAL, 999999},
        {"1000000.log", LDB_FILE_JOURNAL, 1000000},
        {"9223372036854775807.log", LDB_FILE_JOURNAL, INT64_MAX},
        {"000002.ldb", LDB_FILE_TABLE, 2},
        {"1234567.ldb", LDB_FILE_TABLE, 1234567},
        {"000003.sst", LDB_FILE_TABLE_SST, 3},
        {"MANIFEST-000000", LDB_FILE_MANIFEST, 0},
        {"MANIFEST-1234567", LDB_FILE_MANIFEST, 1234567},
        {"MANIFEST-9223372036854775807", LDB_FILE_MANIFEST, INT64_MAX},
        {"CURRENT", LDB_FILE_CURRENT, 0},
        {"CURRENT.bak", LDB_FILE_CURRENT_BAK, 0},
        {"CURRENT.0", LDB_FILE_CURRENT_NEXT, 0},
        {"CURRENT.17", LDB_FILE_CURRENT_NEXT, 17},
        {"000004.dbtmp", LDB_FILE_DBTMP, 4},
        {"000005.tmp", LDB_FILE_TMP, 5},
        {"LOCK", LDB_FILE_LOCK, 0},
        {"LOG", LDB_FILE_LOG, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char printed[LDB_FILE_NAME_SIZE];
        uint64_t number = 77;

        print_message("%s\n", rows[i].name);
        assert_int_equal(ldb_file_name_parse(rows[i].name, &number),
                         rows[i].type);
        assert_int_equal(number, rows[i].number);
        ldb_file_name_print(printed, rows[i].type, rows[i].number);
        assert_string_equal(printed, rows[i].name);
    }
}

static void the_old_log_is_a_log(void **state)
{
    uint64_t number = 77;

    (void)state;
    assert_int_equal(ldb_file_name_parse("LOG.old", &number), LDB_FILE_LOG);
    assert_int_equal(number, 0);
}

static void all_else_is_foreign(void **state)
{
    static const char *const names[] = {
        "",
        "foo",
        "foo-dx-100.log",
        ".log",
        "000001",
        "000001.",
        "000001.lo",
        "000001.logx",
        "000001.log.",
        "000001.log ",
        " 000001.log",
        "+00001.log",
        "-00001.log",
        "0x0001.log",
        "00000a.log",
        "000001.LOG",
        "1.log",
        "00001.log",
        "0000001.log",
        "manifest-000001",
        "MANIFEST",
        "MANIFEST-",
        "MANIFEST-1",
        "MANIFEST-000001x",
        "XMANIFEST-000001",
        "MANIFEST-+00001",
        "MANIFEST-0000001",
        "CURRENTX",
        "CURREN",
        "CURRENT.",
        "CURRENT.01",
        "CURRENT.x",
        "CURRENT.bak2",
        "LOCK.",
        "LO",
        "LOG.old1",
        "lost",
        "leveld",
        /* Over an int64, over a uint64, and longer than any number. */
        "9223372036854775808.log",
        "18446744073709551616.log",
        "184467440737095516150.log",
        "00000000000000000000000001.log",
        "MANIFEST-99999999999999999999999999999999999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        uint64_t number = 77;

        print_message("'%s'\n", names[i]);
        assert_int_equal(ldb_file_name_parse(names[i], &number),
                         LDB_FILE_FOREIGN);
        assert_int_equal(number, 0);
    }
}

static void a_path_is_folder_and_name(void **state)
{
    char *path = ldb_file_path("/some/folder", LDB_FILE_TABLE, 42);

    (void)state;
    assert_non_null(path);
    assert_string_equal(path, "/some/folder/000042.ldb");
    ldb_mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_are_printed_and_parsed_alike),
        cmocka_unit_test(the_old_log_is_a_log),
        cmocka_unit_test(all_else_is_foreign),
        cmocka_unit_test(a_path_is_folder_and_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
