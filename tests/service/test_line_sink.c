#include "service/line_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/temp_dir.h"

static struct temp_dir dir;
static char path[TEMP_DIR_PATH_SIZE];

static int setup(void **state)
{
    (void)state;
    temp_dir_create(&dir);
    (void)temp_dir_join(&dir, "lines", path);
    (void)signal(SIGPIPE, SIG_IGN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static struct svc_line_sink *create(size_t room)
{
    struct svc_line_sink *sink = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(
        svc_line_sink_create(ldb_env_posix(), path, room, &err, &sink), &err);
    return sink;
}

/* What the file holds, NUL-terminated. */
static const char *content_of(const char *name)
{
    static char text[65536];
    FILE *file = fopen(name, "r");
    size_t len;

    if (file == NULL)
        return "";
    len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    return text;
}

static void lines_are_in_the_file_in_their_order(void **state)
{
    struct svc_line_sink *sink = create(SVC_LINE_MAX);
    struct svc_line_sink_figures figures;

    (void)state;
    svc_line_sink_put(sink, ldb_slice_str("one\n"));
    svc_line_sink_put(sink, ldb_slice_str("two\n"));
    svc_line_sink_figures(sink, &figures);
    assert_int_equal(figures.lines, 2);
    assert_int_equal(figures.dropped, 0);
    svc_line_sink_destroy(sink);
    assert_string_equal(content_of(path), "one\ntwo\n");
    sink = create(SVC_LINE_MAX);
    svc_line_sink_put(sink, ldb_slice_str("three\n"));
    svc_line_sink_destroy(sink);
    assert_string_equal(content_of(path), "one\ntwo\nthree\n");
}

static void a_moved_file_is_followed_by_a_new_one(void **state)
{
    struct svc_line_sink *sink = create(SVC_LINE_MAX);
    char old[TEMP_DIR_PATH_SIZE];

    (void)state;
    (void)temp_dir_join(&dir, "old", old);
    svc_line_sink_put(sink, ldb_slice_str("before\n"));
    assert_int_equal(rename(path, old), 0);
    svc_line_sink_reopen(sink);
    while (access(path, F_OK) != 0)
        sched_yield();
    svc_line_sink_put(sink, ldb_slice_str("after\n"));
    svc_line_sink_destroy(sink);
    assert_string_equal(content_of(old), "before\n");
    assert_string_equal(content_of(path), "after\n");
}

#define LINE_BYTES 1000
#define LINES      200

static const char *long_line(char out[LINE_BYTES + 1])
{
    memset(out, 'x', LINE_BYTES);
    out[LINE_BYTES - 1] = '\n';
    out[LINE_BYTES] = '\0';
    return out;
}

static char pipe_filler[1 << 20];
static size_t filler_len;

/* A pipe that is full; the reading end. */
static int make_pipe(void)
{
    int fd;
    int full;
    ssize_t n;

    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    full = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(full >= 0);
    filler_len = 0;
    while ((n = write(full, pipe_filler, 4096)) > 0)
        filler_len += (size_t)n;
    close(full);
    return fd;
}

static void put_lines(struct svc_line_sink *sink)
{
    char line[LINE_BYTES + 1];

    for (size_t i = 0; i < LINES; i++)
        svc_line_sink_put(sink, ldb_slice_str(long_line(line)));
}

/* Nothing fits into the pipe, and the buffers hold a few lines. */
static void a_reader_that_takes_nothing_costs_lines_and_no_time(void **state)
{
    int fd = make_pipe();
    struct svc_line_sink *sink = create(SVC_LINE_MAX);
    struct svc_line_sink_figures figures;

    (void)state;
    put_lines(sink);
    svc_line_sink_figures(sink, &figures);
    assert_in_range(figures.lines, 1, 2 * SVC_LINE_MAX / LINE_BYTES);
    assert_int_equal(figures.lines + figures.dropped, LINES);
    svc_line_sink_destroy(sink); /* gives up */
    assert_int_equal(read(fd, pipe_filler, sizeof pipe_filler), filler_len);
    assert_int_equal(read(fd, pipe_filler, 1), 0);
    close(fd);
}

/* Exactly len bytes, as they come. */
static void read_all(int fd, char *out, size_t len)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    size_t at = 0;

    while (at < len) {
        ssize_t n;

        assert_int_equal(poll(&wait, 1, -1), 1);
        n = read(fd, out + at, len - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
}

static void lines_that_were_taken_come_once_there_is_room(void **state)
{
    int fd = make_pipe();
    struct svc_line_sink *sink = create(SVC_LINE_MAX);
    struct svc_line_sink_figures figures;
    char expected[LINE_BYTES + 1];
    char line[LINE_BYTES];

    (void)state;
    put_lines(sink);
    svc_line_sink_figures(sink, &figures);
    read_all(fd, pipe_filler, filler_len);
    for (uint64_t i = 0; i < figures.lines; i++) {
        read_all(fd, line, LINE_BYTES);
        assert_memory_equal(line, long_line(expected), LINE_BYTES);
    }
    svc_line_sink_destroy(sink);
    assert_int_equal(read(fd, line, 1), 0);
    close(fd);
}

static void lines_that_nobody_can_take_are_counted(void **state)
{
    int fd = make_pipe();
    struct svc_line_sink *sink = create(SVC_LINE_MAX);
    struct svc_line_sink_figures figures;

    (void)state;
    close(fd);
    svc_line_sink_put(sink, ldb_slice_str("lost\n"));
    do {
        sched_yield();
        svc_line_sink_figures(sink, &figures);
    } while (figures.dropped == 0);
    assert_int_equal(figures.lines, 1);
    svc_line_sink_destroy(sink);
}

static void a_file_that_cannot_be_opened_is_an_error(void **state)
{
    struct svc_line_sink *sink = NULL;
    struct ldb_error err = {0};

    (void)state;
    (void)temp_dir_join(&dir, "none/lines", path);
    assert_int_equal(
        svc_line_sink_create(ldb_env_posix(), path, SVC_LINE_MAX, &err, &sink),
        LDB_NOT_FOUND);
    assert_non_null(strstr(err.message, "none/lines"));
    assert_null(sink);
    svc_line_sink_destroy(NULL);
}

#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(lines_are_in_the_file_in_their_order),
        DIR_TEST(a_moved_file_is_followed_by_a_new_one),
        DIR_TEST(a_reader_that_takes_nothing_costs_lines_and_no_time),
        DIR_TEST(lines_that_were_taken_come_once_there_is_room),
        DIR_TEST(lines_that_nobody_can_take_are_counted),
        DIR_TEST(a_file_that_cannot_be_opened_is_an_error),
    };

    return cmocka_run_group_tests_name("line_sink", tests, NULL, NULL);
}
