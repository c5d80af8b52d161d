/* Both spellings of a table's name are one; nothing else is. */
#include "replication/table_name.h"

#include "tests/support/assert_ldb.h"

static void both_spellings_are_a_tables(void **state)
{
    uint64_t number = 0;

    (void)state;
    assert_true(repl_is_table_name("000012.ldb", &number));
    assert_int_equal(number, 12);
    assert_true(repl_is_table_name("1234567.sst", &number));
    assert_int_equal(number, 1234567);
}

static void other_names_are_not(void **state)
{
    static const char *const names[] = {
        "",           "000012.log",  "MANIFEST-000012",
        "CURRENT",    "12.ldb",      "000012.ldb.1",
        "000012",     "/000012.ldb", "../000012.ldb",
        "000012.LDB", "-00012.ldb",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint64_t number = 0;

        assert_false(repl_is_table_name(names[i], &number));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_are_a_tables),
        cmocka_unit_test(other_names_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
