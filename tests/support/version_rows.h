/*
 * Versions as a person writes them in a test: tables are rows, internal keys
 * are texts like "apple@7" (a put) or "apple@7d" (a delete mark).
 */
#ifndef TESTS_SUPPORT_VERSION_ROWS_H
#define TESTS_SUPPORT_VERSION_ROWS_H

#include "storage/version/version.h"
#include "storage/version/version_edit.h"

struct version_row {
    uint32_t level;
    uint64_t number;
    uint64_t size;
    const char *smallest;
    const char *largest;
};

/* The internal key of a text; released by the caller. */
struct ldb_buf version_rows_key(const char *text);

/* Adds the table to the edit. */
void version_rows_add(struct ldb_version_edit *edit,
                      const struct version_row *row);

/* A version of the rows, bytewise, in no set; unscored. */
struct ldb_version *version_rows_make(const struct version_row *rows,
                                      size_t count);

/* The files' numbers in order are those of text, as in "7 5 2". */
#define assert_file_numbers(text, files, count)                                \
    assert_file_numbers_at((text), (files), (count), __FILE__, __LINE__)
void assert_file_numbers_at(const char *text,
                            struct ldb_file_meta *const *files, size_t count,
                            const char *file, int line);

#endif
