#include "tests/support/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/temp_dir.h"

int program_run(char *output, size_t size, const char *format, ...)
{
    const char *program = getenv("LEVELD_BIN");
    char arguments[4 * TEMP_DIR_PATH_SIZE];
    char command[6 * TEMP_DIR_PATH_SIZE];
    va_list list;
    FILE *pipe;
    size_t len;
    int status;

    if (program == NULL) {
        print_message("skip: LEVELD_BIN is not set\n");
        skip();
        return -1;
    }
    va_start(list, format);
    vsnprintf(arguments, sizeof(arguments), format, list);
    va_end(list);
    snprintf(command, sizeof(command), "%s %s 2>&1", program, arguments);
    pipe = popen(command, "r"); /* NOLINT(cert-env33-c): words of our own */
    assert_non_null(pipe);
    len = fread(output, 1, size - 1, pipe);
    output[len] = '\0';
    status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void program_expect(const char *output, const char *part)
{
    if (strstr(output, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, output);
}
