#include "storage/base/status.h"

#include <errno.h>

#include "tests/support/assert_ldb.h"

static void fill(char *text, size_t size, char c)
{
    memset(text, c, size - 1);
    text[size - 1] = '\0';
}

static void every_status_has_its_own_text(void **state)
{
    static const enum ldb_status all[] = {
#define LDB_STATUS_ITEM(code, text) code,
        LDB_STATUS_LIST(LDB_STATUS_ITEM)
#undef LDB_STATUS_ITEM
    };
    size_t count = sizeof(all) / sizeof(all[0]);

    (void)state;
    assert_string_equal(ldb_status_text(LDB_OK), "ok");
    assert_string_equal(ldb_status_text(LDB_CORRUPTION), "corruption");
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            assert_string_not_equal(ldb_status_text(all[i]),
                                    ldb_status_text(all[j]));
}

static void set_formats_and_clears_the_errno(void **state)
{
    struct ldb_error err = {.sys_errno = 5};

    (void)state;
    assert_int_equal(ldb_error_set(&err, LDB_CORRUPTION, "at %d: %s", 7, "bad"),
                     LDB_CORRUPTION);
    assert_int_equal(err.status, LDB_CORRUPTION);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.message, "at 7: bad");
}

static void set_cuts_a_long_text(void **state)
{
    struct ldb_error err = {0};
    char text[2 * LDB_ERROR_MESSAGE_SIZE];

    (void)state;
    fill(text, sizeof(text), 'x');
    assert_int_equal(ldb_error_set(&err, LDB_IO, "%s", text), LDB_IO);
    assert_int_equal(strlen(err.message), LDB_ERROR_MESSAGE_SIZE - 1);
}

static void set_errno_chooses_the_status(void **state)
{
    static const struct {
        int sys_errno;
        enum ldb_status expected;
    } rows[] = {
        {ENOENT, LDB_NOT_FOUND}, {ENOSPC, LDB_NO_SPACE},
        {EDQUOT, LDB_NO_SPACE},  {ENOMEM, LDB_NO_MEMORY},
        {EIO, LDB_IO},           {EACCES, LDB_IO},
        {EAGAIN, LDB_IO},        {0, LDB_IO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error err = {0};

        assert_ldb_status(rows[i].expected,
                          ldb_error_set_errno(&err, rows[i].sys_errno, "x"),
                          &err);
        assert_int_equal(err.status, rows[i].expected);
        assert_int_equal(err.sys_errno, rows[i].sys_errno);
    }
}

static void set_errno_appends_the_systems_reason(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    (void)ldb_error_set_errno(&err, ENOENT, "open %s", "CURRENT");
    assert_string_equal(err.message, "open CURRENT: No such file or directory");
    (void)ldb_error_set_errno(&err, 99999, "open");
    assert_string_equal(err.message, "open: unknown errno");
}

static void set_errno_cuts_the_reason(void **state)
{
    struct ldb_error err = {0};
    char text[LDB_ERROR_MESSAGE_SIZE - 4];

    (void)state;
    fill(text, sizeof(text), 'x');
    (void)ldb_error_set_errno(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.message), LDB_ERROR_MESSAGE_SIZE - 1);
    assert_string_equal(err.message + sizeof(text) - 2, "x: In");
}

static void prefix_goes_before_the_message(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    (void)ldb_error_set_errno(&err, EIO, "read");
    assert_int_equal(ldb_error_prefix(&err, LDB_IO, "table %06d", 12), LDB_IO);
    assert_string_equal(err.message, "table 000012: read: Input/output error");
    assert_int_equal(err.sys_errno, EIO);
}

static void prefix_keeps_its_own_end_when_the_message_is_cut(void **state)
{
    struct ldb_error err = {0};
    char text[LDB_ERROR_MESSAGE_SIZE];

    (void)state;
    fill(text, sizeof(text), 'x');
    (void)ldb_error_set(&err, LDB_IO, "%s", text);
    (void)ldb_error_prefix(&err, LDB_IO, "open");
    assert_int_equal(strlen(err.message), LDB_ERROR_MESSAGE_SIZE - 1);
    assert_memory_equal(err.message, "open: xxx", 9);
}

static void prefix_describes_a_failure_that_nobody_described(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(ldb_error_prefix(&err, LDB_TOO_LARGE, "key"),
                     LDB_TOO_LARGE);
    assert_int_equal(err.status, LDB_TOO_LARGE);
    assert_string_equal(err.message, "key: too large");
}

static void no_memory_needs_no_formatting(void **state)
{
    struct ldb_error err = {.sys_errno = 1};

    (void)state;
    assert_int_equal(ldb_error_no_memory(&err), LDB_NO_MEMORY);
    assert_int_equal(err.status, LDB_NO_MEMORY);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.message, "out of memory");
}

static void every_error_may_be_null(void **state)
{
    (void)state;
    assert_int_equal(ldb_error_set(NULL, LDB_IO, "x"), LDB_IO);
    assert_int_equal(ldb_error_set_errno(NULL, ENOSPC, "x"), LDB_NO_SPACE);
    assert_int_equal(ldb_error_prefix(NULL, LDB_LOCKED, "x"), LDB_LOCKED);
    assert_int_equal(ldb_error_no_memory(NULL), LDB_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_text),
        cmocka_unit_test(set_formats_and_clears_the_errno),
        cmocka_unit_test(set_cuts_a_long_text),
        cmocka_unit_test(set_errno_chooses_the_status),
        cmocka_unit_test(set_errno_appends_the_systems_reason),
        cmocka_unit_test(set_errno_cuts_the_reason),
        cmocka_unit_test(prefix_goes_before_the_message),
        cmocka_unit_test(prefix_keeps_its_own_end_when_the_message_is_cut),
        cmocka_unit_test(prefix_describes_a_failure_that_nobody_described),
        cmocka_unit_test(no_memory_needs_no_formatting),
        cmocka_unit_test(every_error_may_be_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
