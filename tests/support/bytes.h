/*
 * Bytes as a person writes them in a test: hex text with blanks anywhere
 * between pairs, as in "01 ff00  7f". Bad hex fails the test.
 */
#ifndef TESTS_SUPPORT_BYTES_H
#define TESTS_SUPPORT_BYTES_H

#include "storage/base/buf.h"

/* Limit of buffers for hex text; chosen: two journal blocks. */
#define BYTES_HEX_MAX 65536

/* Appends the bytes to out. */
void bytes_from_hex(const char *hex, struct ldb_buf *out);

/* Appends "01 ff 7f" (lower case, one blank between) to out. */
void bytes_to_hex(struct ldb_slice bytes, struct ldb_buf *out);

/* Prints " (LEN) 01 ff 7f" and a newline to the test's error output. */
void bytes_print(struct ldb_slice bytes);

/*
 * Repeatable bytes: the same seed gives the same ones, and a compressor gains
 * nothing on them. *seed moves on.
 */
void bytes_fill(uint64_t *seed, uint8_t *out, size_t len);

/* The next number of the same kind of sequence. */
uint64_t bytes_next(uint64_t *seed);

#endif
