#include "service/access_log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/temp_dir.h"

static struct temp_dir dir;
static char path[TEMP_DIR_PATH_SIZE];
static char text[65536];

static int setup(void **state)
{
    (void)state;
    temp_dir_create(&dir);
    (void)temp_dir_join(&dir, "access", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static struct svc_access_log *create(enum svc_access_form form,
                                     uint64_t slow_us)
{
    const struct svc_access_options options = {
        .env = ldb_env_posix(),
        .form = form,
        .path = path,
        .slow_us = slow_us,
        .log_format = SVC_LOG_KEY_VALUE,
    };
    struct svc_access_log *log = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(svc_access_log_create(&options, &err, &log), &err);
    return log;
}

static struct svc_access_record record_of(struct ldb_slice request_path)
{
    return (struct svc_access_record){
        .request_id = "id-1",
        .client = "127.0.0.1:4711",
        .method = "GET",
        .route = "GET /v1/kv/{key}",
        .path = request_path,
        .status = 200,
        .request_bytes = 3,
        .answer_bytes = 70000,
        .us = 1234567,
    };
}

/* The file's text behind the time of its first line. */
static const char *logged(const char *after)
{
    FILE *file = fopen(path, "r");
    const char *found;
    size_t len;

    assert_non_null(file);
    len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    found = strstr(text, after);
    assert_non_null(found);
    return found;
}

static void a_request_is_a_line_of_text(void **state)
{
    struct svc_access_log *log = create(SVC_ACCESS_TEXT, 0);
    struct svc_access_record record = record_of(ldb_slice_str("/v1/kv/a%20b"));

    (void)state;
    svc_access_log_record(log, &record);
    svc_access_log_destroy(log);
    assert_string_equal(
        logged("level="),
        "level=info event=request request_id=\"id-1\" "
        "client=\"127.0.0.1:4711\" method=\"GET\" "
        "route=\"GET /v1/kv/{key}\" path=\"/v1/kv/a%20b\" status=200 "
        "request_bytes=3 answer_bytes=70000 ms=1234.567\n");
}

static void a_request_is_a_line_of_json(void **state)
{
    struct svc_access_log *log = create(SVC_ACCESS_JSON, 0);
    struct svc_access_record record = record_of(ldb_slice_str("/v1/kv/a"));

    (void)state;
    record.client = NULL;
    record.status = 0;
    svc_access_log_record(log, &record);
    svc_access_log_destroy(log);
    assert_string_equal(logged("\"event\""),
                        "\"event\":\"request\",\"request_id\":\"id-1\","
                        "\"method\":\"GET\",\"route\":\"GET /v1/kv/{key}\","
                        "\"path\":\"/v1/kv/a\",\"status\":0,"
                        "\"request_bytes\":3,\"answer_bytes\":70000,"
                        "\"ms\":1234.567}\n");
}

static void what_is_not_plain_in_a_path_is_encoded(void **state)
{
    static const uint8_t bytes[] = {'/', 0xff, '"', '\\', '\n', ' ', 0, 'a'};
    struct svc_access_log *log = create(SVC_ACCESS_TEXT, 0);
    struct svc_access_record record =
        record_of(ldb_slice_make(bytes, sizeof bytes));

    (void)state;
    svc_access_log_record(log, &record);
    svc_access_log_destroy(log);
    assert_non_null(
        strstr(logged("path="), "path=\"/%FF%22%5C%0A%20%00a\" status"));
}

static void a_long_path_is_cut(void **state)
{
    struct svc_access_log *log = create(SVC_ACCESS_TEXT, 0);
    uint8_t bytes[16384];
    struct svc_access_record record =
        record_of(ldb_slice_make(bytes, sizeof bytes));
    const char *shown;

    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    svc_access_log_record(log, &record);
    svc_access_log_destroy(log);
    shown = logged("path=\"") + strlen("path=\"");
    assert_in_range(strcspn(shown, "\""), SVC_ACCESS_PATH_MAX - 3,
                    SVC_ACCESS_PATH_MAX);
}

/* Standard error goes into a pipe meanwhile. */
static void slow_requests_are_warnings_of_the_service(void **state)
{
    struct svc_access_record record = record_of(ldb_slice_str("/slow"));
    int saved = dup(STDERR_FILENO);
    struct svc_access_log *log;
    char warning[4096];
    int ends[2];
    ssize_t n;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    log = create(SVC_ACCESS_JSON, 1000000);
    svc_access_log_record(log, &record);
    record.us = 999999;
    svc_access_log_record(log, &record);
    svc_access_log_destroy(log);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    n = read(ends[0], warning, sizeof warning - 1);
    assert_true(n > 0);
    warning[n] = '\0';
    assert_int_equal(read(ends[0], text, 1), 0);
    close(ends[0]);
    assert_non_null(strstr(warning, " level=warn event=slow-request "));
    assert_ptr_equal(strchr(warning, '\n'), warning + n - 1);
    assert_null(strstr(logged("{"), "slow-request"));
}

static void lines_of_both_logs_are_counted(void **state)
{
    struct svc_access_log *log = create(SVC_ACCESS_OFF, 3600000000);
    struct svc_access_record record = record_of(ldb_slice_str("/"));
    struct svc_line_sink_figures figures;

    (void)state;
    svc_access_log_record(log, &record);
    svc_access_log_figures(log, &figures);
    assert_int_equal(figures.lines, 0);
    assert_int_equal(access(path, F_OK), -1);
    svc_access_log_reopen(log);
    svc_access_log_destroy(log);
    log = create(SVC_ACCESS_TEXT, 3600000000);
    svc_access_log_record(log, &record);
    svc_access_log_figures(log, &figures);
    assert_int_equal(figures.lines, 1);
    assert_int_equal(figures.dropped, 0);
    svc_access_log_destroy(log);
}

static void nothing_to_log_is_no_log(void **state)
{
    struct svc_access_log *log = create(SVC_ACCESS_OFF, 0);
    struct svc_line_sink_figures figures = {.lines = 1};

    (void)state;
    assert_null(log);
    svc_access_log_figures(log, &figures);
    assert_int_equal(figures.lines, 0);
    svc_access_log_reopen(log);
    svc_access_log_destroy(log);
}

#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(a_request_is_a_line_of_text),
        DIR_TEST(a_request_is_a_line_of_json),
        DIR_TEST(what_is_not_plain_in_a_path_is_encoded),
        DIR_TEST(a_long_path_is_cut),
        DIR_TEST(slow_requests_are_warnings_of_the_service),
        DIR_TEST(lines_of_both_logs_are_counted),
        DIR_TEST(nothing_to_log_is_no_log),
    };

    return cmocka_run_group_tests_name("access_log", tests, NULL, NULL);
}
