#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "service/log.h"

/* What is written to standard error between the two calls. */
static int saved_stderr = -1;
static int read_end = -1;
static char text[8192];

static void capture(void)
{
    int ends[2];

    assert_int_equal(0, pipe(ends));
    saved_stderr = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    read_end = ends[0];
}

static void captured(void)
{
    size_t len = 0;
    ssize_t n;

    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    while ((n = read(read_end, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(read_end);
}

static void some_line(enum svc_log_level level)
{
    struct svc_log_line line;

    svc_log_begin(&line, level, "event");
    svc_log_text(&line, "text", "a \"b\"\n\\\x01");
    svc_log_u64(&line, "number", UINT64_MAX);
    svc_log_ms(&line, "took_ms", 1234567);
    svc_log_end(&line);
}

static void a_line_is_key_value_with_escapes(void **state)
{
    (void)state;
    svc_log_configure(SVC_LOG_INFO, SVC_LOG_KEY_VALUE);
    capture();
    some_line(SVC_LOG_WARN);
    captured();
    assert_memory_equal(text, "time=20", 7);
    assert_string_equal(strstr(text, "level="),
                        "level=warn event=event "
                        "text=\"a \\\"b\\\"\\u000a\\\\\\u0001\" "
                        "number=18446744073709551615 took_ms=1234.567\n");
}

static void a_line_is_json_when_asked(void **state)
{
    (void)state;
    svc_log_configure(SVC_LOG_INFO, SVC_LOG_JSON);
    capture();
    some_line(SVC_LOG_ERROR);
    captured();
    assert_memory_equal(text, "{\"time\":\"20", 11);
    assert_string_equal(strstr(text, "\"level\""),
                        "\"level\":\"error\",\"event\":\"event\","
                        "\"text\":\"a \\\"b\\\"\\u000a\\\\\\u0001\","
                        "\"number\":18446744073709551615,"
                        "\"took_ms\":1234.567}\n");
    svc_log_configure(SVC_LOG_INFO, SVC_LOG_KEY_VALUE);
}

static void a_finished_line_is_of_its_own_format_and_goes_nowhere(void **state)
{
    struct svc_log_line line;
    struct ldb_slice bytes;

    (void)state;
    svc_log_configure(SVC_LOG_ERROR, SVC_LOG_KEY_VALUE);
    capture();
    svc_log_begin_as(&line, SVC_LOG_JSON, SVC_LOG_INFO, "event");
    svc_log_u64(&line, "number", 7);
    bytes = svc_log_finish(&line);
    captured();
    assert_string_equal(text, "");
    assert_memory_equal(bytes.data, "{\"time\":\"20", 11);
    assert_memory_equal(bytes.data + bytes.len - 13, ",\"number\":7}\n", 13);
    svc_log_configure(SVC_LOG_INFO, SVC_LOG_KEY_VALUE);
}

static void levels_above_the_set_one_are_dropped(void **state)
{
    (void)state;
    svc_log_configure(SVC_LOG_WARN, SVC_LOG_KEY_VALUE);
    capture();
    some_line(SVC_LOG_INFO);
    some_line(SVC_LOG_DEBUG);
    captured();
    assert_string_equal(text, "");
    svc_log_configure(SVC_LOG_INFO, SVC_LOG_KEY_VALUE);
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
    char longer[SVC_LOG_LINE_SIZE * 2];
    struct svc_log_line line;

    (void)state;
    memset(longer, '"', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    capture();
    svc_log_begin(&line, SVC_LOG_ERROR, "event");
    svc_log_text(&line, "text", longer);
    svc_log_text(&line, "more", longer);
    svc_log_u64(&line, "number", 1);
    svc_log_end(&line);
    captured();
    assert_true(strlen(text) <= SVC_LOG_LINE_SIZE);
    assert_int_equal('\n', text[strlen(text) - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_key_value_with_escapes),
        cmocka_unit_test(a_line_is_json_when_asked),
        cmocka_unit_test(a_finished_line_is_of_its_own_format_and_goes_nowhere),
        cmocka_unit_test(levels_above_the_set_one_are_dropped),
        cmocka_unit_test(a_long_line_is_cut_and_still_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
