#include "tests/support/assert_ldb.h"

#include "storage/base/buf.h"
#include "tests/support/bytes.h"

void assert_ldb_status_at(enum ldb_status expected, enum ldb_status actual,
                          const struct ldb_error *err, const char *call,
                          const char *file, int line)
{
    if (actual == expected)
        return;
    print_error("%s\n  gave \"%s\", expected \"%s\"; error: \"%s\"\n", call,
                ldb_status_text(actual), ldb_status_text(expected),
                err == NULL ? "(none)" : err->message);
    _fail(file, line);
}

void assert_ldb_slice_at(struct ldb_slice expected, struct ldb_slice actual,
                         const char *what, const char *file, int line)
{
    if (ldb_slice_equal(expected, actual))
        return;
    print_error("%s differs:\n  expected", what);
    bytes_print(expected);
    print_error("  actual  ");
    bytes_print(actual);
    _fail(file, line);
}

void assert_ldb_hex_at(const char *hex, struct ldb_slice actual,
                       const char *what, const char *file, int line)
{
    struct ldb_buf expected = LDB_BUF_INIT(BYTES_HEX_MAX);

    bytes_from_hex(hex, &expected);
    if (ldb_slice_equal(ldb_slice_of_buf(&expected), actual)) {
        ldb_buf_release(&expected);
        return;
    }
    assert_ldb_slice_at(ldb_slice_of_buf(&expected), actual, what, file, line);
}

void assert_ldb_message_at(const char *text, const struct ldb_error *err,
                           const char *file, int line)
{
    if (strstr(err->message, text) != NULL)
        return;
    print_error("message \"%s\"\n  lacks \"%s\"\n", err->message, text);
    _fail(file, line);
}
