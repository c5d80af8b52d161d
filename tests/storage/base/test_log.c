#include "storage/base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/temp_dir.h"

/* 2026-11-22 08:38:49.426603 UTC */
#define START_US UINT64_C(1795336729426603)
#define DAY_US   (UINT64_C(86400) * 1000000)

#define LEGEND_TEXT                                                            \
    "log@legend F·NumFile S·FileSize N·Entry C·BadEntry B·BadBlock "      \
    "Ke·KeyError D·DroppedEntry L·Level Q·SeqNum T·TimeElapsed"
#define LEGEND_LINE "08:38:49.426603 " LEGEND_TEXT "\n"
#define DATE_LINE   "=============== Nov 22, 2026 (UTC) ===============\n"

/* The system's env with a clock of the test's, and calls that can fail. */
struct log_env {
    struct ldb_env env;
    struct ldb_env_ops ops;
    uint64_t now_us;
    bool fail_open;
    bool fail_rename;
};

struct fixture {
    struct log_env env;
    struct temp_dir dir;
    struct ldb_log *log;
    struct ldb_buf text;
};

static struct log_env *log_env_of(struct ldb_env *env)
{
    return (struct log_env *)env; /* its first member */
}

static uint64_t fake_wall_us(struct ldb_env *env)
{
    return log_env_of(env)->now_us;
}

static enum ldb_status fake_open(struct ldb_env *env, const char *path,
                                 enum ldb_open_mode mode, struct ldb_error *err,
                                 struct ldb_writable_file **out)
{
    struct ldb_env *posix = ldb_env_posix();

    if (log_env_of(env)->fail_open)
        return ldb_error_set(err, LDB_NO_SPACE, "open %s: full", path);
    return posix->ops->open_writable(posix, path, mode, err, out);
}

static enum ldb_status fake_rename(struct ldb_env *env, const char *from,
                                   const char *to, struct ldb_error *err)
{
    struct ldb_env *posix = ldb_env_posix();

    if (log_env_of(env)->fail_rename)
        return ldb_error_set(err, LDB_IO, "rename %s", from);
    return posix->ops->rename_file(posix, from, to, err);
}

static void set_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static int setup(void **state)
{
    static struct fixture f;

    set_zone("UTC");
    f = (struct fixture){.text = LDB_BUF_INIT(4 << 20)};
    f.env.ops = *ldb_env_posix()->ops;
    f.env.ops.wall_us = fake_wall_us;
    f.env.ops.open_writable = fake_open;
    f.env.ops.rename_file = fake_rename;
    f.env.env.ops = &f.env.ops;
    f.env.now_us = START_US;
    temp_dir_create(&f.dir);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_log_close(f->log);
    ldb_buf_release(&f->text);
    temp_dir_remove(&f->dir);
    set_zone("UTC");
    return 0;
}

static void open_log(struct fixture *f)
{
    struct ldb_error err = {0};

    ldb_log_close(f->log);
    f->log = NULL;
    assert_ldb_ok(ldb_log_open(&f->env.env, f->dir.path, &err, &f->log), &err);
}

/* The bytes of a file of the folder. */
static struct ldb_slice content(struct fixture *f, const char *name)
{
    char path[TEMP_DIR_PATH_SIZE];
    struct ldb_error err = {0};

    ldb_buf_clear(&f->text);
    assert_ldb_ok(ldb_env_read_file(&f->env.env,
                                    temp_dir_join(&f->dir, name, path), &err,
                                    &f->text),
                  &err);
    return ldb_slice_of_buf(&f->text);
}

static bool exists(struct fixture *f, const char *name)
{
    char path[TEMP_DIR_PATH_SIZE];
    uint64_t size;

    return f->env.ops.file_size(&f->env.env, temp_dir_join(&f->dir, name, path),
                                NULL, &size) == LDB_OK;
}

static struct ldb_slice last(struct ldb_slice text, size_t len)
{
    assert_true(text.len >= len);
    return ldb_slice_make(text.data + text.len - len, len);
}

static void a_new_log_begins_with_the_date_and_the_legend(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    f->env.now_us += 8204;
    ldb_log_line(f->log, "db@open %s", "opening");
    assert_ldb_bytes(DATE_LINE LEGEND_LINE "08:38:49.434807 db@open opening\n",
                     content(f, "LOG"));
}

static void each_open_appends_a_date_and_a_legend(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    open_log(f);
    assert_ldb_bytes(DATE_LINE LEGEND_LINE DATE_LINE LEGEND_LINE,
                     content(f, "LOG"));
    assert_false(exists(f, "LOG.old"));
}

static void a_new_day_gets_a_date_line(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    f->env.now_us += 9 * DAY_US; /* December 1: the day has one digit */
    ldb_log_line(f->log, "a");
    ldb_log_line(f->log, "b");
    assert_ldb_bytes(DATE_LINE LEGEND_LINE
                     "=============== Dec 1, 2026 (UTC) ===============\n"
                     "08:38:49.426603 a\n"
                     "08:38:49.426603 b\n",
                     content(f, "LOG"));
}

static void times_are_local(void **state)
{
    struct fixture *f = *state;

    set_zone("XYZ-16"); /* 16 hours east: already the 23rd */
    open_log(f);
    assert_ldb_bytes("=============== Nov 23, 2026 (XYZ) ===============\n"
                     "00:38:49.426603 log@legend",
                     ldb_slice_make(content(f, "LOG").data, 77));
}

/* Writes lines until LOG's own count is exactly size. */
static void fill_to(struct fixture *f, size_t size)
{
    size_t counted = sizeof(LEGEND_LINE) - 1;

    while (counted < size) {
        size_t left = size - counted;
        size_t line = left > 2000 ? 1000 : left;

        /* A line is 16 bytes of time, the text and the newline. */
        ldb_log_line(f->log, "%*s", (int)(line - 17), "x");
        counted += line;
    }
    assert_int_equal(counted, size);
}

static void a_log_of_the_limit_is_not_rotated_yet(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    fill_to(f, LDB_LOG_ROTATE_BYTES);
    ldb_log_line(f->log, "last");
    assert_false(exists(f, "LOG.old"));
    assert_int_equal(content(f, "LOG").len,
                     LDB_LOG_ROTATE_BYTES + sizeof(DATE_LINE) - 1 + 21);
}

static void a_log_over_the_limit_becomes_log_old(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    fill_to(f, LDB_LOG_ROTATE_BYTES + 1);
    assert_false(exists(f, "LOG.old"));
    ldb_log_line(f->log, "first");
    assert_ldb_bytes(DATE_LINE "08:38:49.426603 first\n", content(f, "LOG"));
    assert_int_equal(content(f, "LOG.old").len,
                     LDB_LOG_ROTATE_BYTES + 1 + sizeof(DATE_LINE) - 1);
}

static void the_size_at_open_counts(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    fill_to(f, LDB_LOG_ROTATE_BYTES);
    open_log(f); /* the date line is in the file's size: over, so rotated */
    assert_ldb_bytes(DATE_LINE LEGEND_LINE, content(f, "LOG"));
    assert_true(exists(f, "LOG.old"));
}

static void a_rotation_replaces_the_old_one(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    for (unsigned i = 0; i < 2; i++) {
        fill_to(f, LDB_LOG_ROTATE_BYTES + 1);
        ldb_log_line(f->log, "%s", LEGEND_TEXT);
    }
    assert_ldb_slice(ldb_slice_str("x\n"), last(content(f, "LOG.old"), 2));
    assert_int_equal(content(f, "LOG").len, sizeof(DATE_LINE LEGEND_LINE) - 1);
}

static void long_lines_are_cut_between_characters(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    ldb_log_line(f->log, "%5000s", "x");
    assert_int_equal(content(f, "LOG").len,
                     sizeof(DATE_LINE LEGEND_LINE) - 1 + 16 + 4096 + 1);
    /* The two bytes of the dot are the 4,096th and the one after. */
    ldb_log_line(f->log, "%4095s·", "ab");
    assert_ldb_bytes("ab\n", last(content(f, "LOG"), 3));
    ldb_log_line(f->log, "%4094s·!", "ab");
    assert_ldb_bytes("ab·\n", last(content(f, "LOG"), 5));
}

static void a_line_stays_one_line(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    ldb_log_line(f->log, "a\nb\rc\x1b[1m·");
    assert_ldb_bytes("26603 a b c [1m·\n", last(content(f, "LOG"), 18));
}

static void a_failing_disk_drops_lines_and_nothing_else(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    fill_to(f, LDB_LOG_ROTATE_BYTES + 1);
    f->env.fail_open = true;
    ldb_log_line(f->log, "lost");
    ldb_log_line(f->log, "lost too");
    assert_false(exists(f, "LOG"));
    f->env.fail_open = false;
    ldb_log_line(f->log, "back");
    assert_ldb_bytes(DATE_LINE "08:38:49.426603 back\n", content(f, "LOG"));
}

static void a_log_that_cannot_be_renamed_goes_on(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    fill_to(f, LDB_LOG_ROTATE_BYTES + 1);
    f->env.fail_rename = true;
    ldb_log_line(f->log, "more");
    assert_false(exists(f, "LOG.old"));
    assert_ldb_bytes("x\n" DATE_LINE "08:38:49.426603 more\n",
                     last(content(f, "LOG"), 2 + sizeof(DATE_LINE) - 1 + 21));
}

static void open_reports_what_fails(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};

    f->env.fail_open = true;
    assert_ldb_status(LDB_NO_SPACE,
                      ldb_log_open(&f->env.env, f->dir.path, &err, &f->log),
                      &err);
    assert_ldb_message("/LOG: full", &err);
    assert_null(f->log);
    f->env.fail_open = false;
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_log_open(&f->env.env, f->dir.path, &err, &f->log);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_null(f->log);
    }
}

static void *write_lines(void *context)
{
    for (unsigned i = 0; i < 500; i++)
        ldb_log_line(context, "thread@line %s", "0123456789");
    return NULL;
}

static void threads_write_whole_lines(void **state)
{
    static const char line[] = "08:38:49.426603 thread@line 0123456789\n";
    struct fixture *f = *state;
    pthread_t threads[3];
    struct ldb_slice text;
    size_t at = sizeof(DATE_LINE LEGEND_LINE) - 1;

    open_log(f);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, f->log),
                         0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    text = content(f, "LOG");
    assert_int_equal(text.len, at + 1500 * (sizeof(line) - 1));
    for (; at < text.len; at += sizeof(line) - 1)
        assert_memory_equal(text.data + at, line, sizeof(line) - 1);
}

static void no_log_takes_lines_and_closes(void **state)
{
    (void)state;
    ldb_log_line(NULL, "dropped %d", 1);
    ldb_log_close(NULL);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_new_log_begins_with_the_date_and_the_legend),
        LOG_TEST(each_open_appends_a_date_and_a_legend),
        LOG_TEST(a_new_day_gets_a_date_line),
        LOG_TEST(times_are_local),
        LOG_TEST(a_log_of_the_limit_is_not_rotated_yet),
        LOG_TEST(a_log_over_the_limit_becomes_log_old),
        LOG_TEST(the_size_at_open_counts),
        LOG_TEST(a_rotation_replaces_the_old_one),
        LOG_TEST(long_lines_are_cut_between_characters),
        LOG_TEST(a_line_stays_one_line),
        LOG_TEST(a_failing_disk_drops_lines_and_nothing_else),
        LOG_TEST(a_log_that_cannot_be_renamed_goes_on),
        LOG_TEST(open_reports_what_fails),
        LOG_TEST(threads_write_whole_lines),
        LOG_TEST(no_log_takes_lines_and_closes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
