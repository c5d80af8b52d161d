/*
 * What a unit test includes: cmocka with the headers it wants before it, and
 * assertions that print a struct ldb_error or bytes when they fail.
 *
 *     struct ldb_error err = {0};
 *
 *     assert_ldb_ok(ldb_flush(db, &err), &err);
 *     assert_ldb_status(LDB_NOT_FOUND, ldb_get(...), &err);
 */
#ifndef TESTS_SUPPORT_ASSERT_LDB_H
#define TESTS_SUPPORT_ASSERT_LDB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage/base/slice.h"
#include "storage/base/status.h"

/* The call gave expected; err may be NULL. */
#define assert_ldb_status(expected, call, err)                                 \
    assert_ldb_status_at((expected), (call), (err), #call, __FILE__, __LINE__)

#define assert_ldb_ok(call, err) assert_ldb_status(LDB_OK, call, err)

/* The bytes of two slices are the same. */
#define assert_ldb_slice(expected, actual)                                     \
    assert_ldb_slice_at((expected), (actual), #actual, __FILE__, __LINE__)

/* A slice has the bytes of a string literal, which may hold NUL. */
#define assert_ldb_bytes(literal, actual)                                      \
    assert_ldb_slice(ldb_slice_make("" literal, sizeof(literal) - 1), actual)

/* A slice has the bytes of hex text (bytes.h). */
#define assert_ldb_hex(hex, actual)                                            \
    assert_ldb_hex_at((hex), (actual), #actual, __FILE__, __LINE__)

/* err's message has text in it. */
#define assert_ldb_message(text, err)                                          \
    assert_ldb_message_at((text), (err), __FILE__, __LINE__)

/* ---- what the macros call ---- */

void assert_ldb_status_at(enum ldb_status expected, enum ldb_status actual,
                          const struct ldb_error *err, const char *call,
                          const char *file, int line);
void assert_ldb_slice_at(struct ldb_slice expected, struct ldb_slice actual,
                         const char *what, const char *file, int line);
void assert_ldb_hex_at(const char *hex, struct ldb_slice actual,
                       const char *what, const char *file, int line);
void assert_ldb_message_at(const char *text, const struct ldb_error *err,
                           const char *file, int line);

#endif
