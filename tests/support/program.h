/*
 * leveld as a user runs it: LEVELD_BIN names the program.
 *
 * Where it is not set the test is skipped, and says so.
 */
#ifndef TESTS_SUPPORT_PROGRAM_H
#define TESTS_SUPPORT_PROGRAM_H

#include <stddef.h>

#include "storage/base/compiler.h"

/* Runs "leveld ARGUMENTS", both outputs as text into output, cut to its size;
 * the exit code. Arguments are words of our own: a shell reads them. */
int program_run(char *output, size_t size, const char *format, ...)
    LDB_PRINTF(3, 4);

/* Fails, showing the output, when part is not in it. */
void program_expect(const char *output, const char *part);

#endif
