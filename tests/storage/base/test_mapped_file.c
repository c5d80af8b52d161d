/*
 * What of a mapped file the environments' common suite does not see: its length
 * while it is open, what leaves it so, and what fails where. It lies over a
 * file that can be made to fail.
 */
#include "storage/base/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "storage/base/status.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/temp_dir.h"

/* What the file below has in place of the system's. */
struct below {
    struct ldb_writable_file base;
    struct ldb_writable_file *file; /* the system's */
    uint64_t room;                  /* bytes until the disk is full */
    bool sync_fails;                /* once */
    unsigned syncs;
    unsigned appends;
};

struct fixture {
    struct temp_dir dir;
    char path[TEMP_DIR_PATH_SIZE + 8];
    struct below below;
    int fd;
    struct ldb_writable_file *file; /* NULL: closed */
    struct ldb_error err;
};

static struct below *below_of(struct ldb_writable_file *file)
{
    return (struct below *)(void *)file;
}

static enum ldb_status below_append(struct ldb_writable_file *base,
                                    struct ldb_slice bytes,
                                    struct ldb_error *err)
{
    struct below *below = below_of(base);

    below->appends++;
    if (bytes.len > below->room)
        return ldb_error_set_errno(err, ENOSPC, "append");
    below->room -= bytes.len;
    return ldb_file_append(below->file, bytes, err);
}

static enum ldb_status below_sync(struct ldb_writable_file *base,
                                  struct ldb_error *err)
{
    struct below *below = below_of(base);
    bool fails = below->sync_fails;

    below->syncs++;
    below->sync_fails = false;
    if (fails)
        return ldb_error_set_errno(err, EIO, "sync");
    return ldb_file_sync(below->file, err);
}

static enum ldb_status below_truncate(struct ldb_writable_file *base,
                                      uint64_t len, struct ldb_error *err)
{
    return ldb_file_truncate(below_of(base)->file, len, err);
}

static enum ldb_status below_close(struct ldb_writable_file *base,
                                   struct ldb_error *err)
{
    return ldb_file_close(below_of(base)->file, err);
}

static const struct ldb_writable_file_ops below_ops = {
    .append = below_append,
    .sync = below_sync,
    .truncate = below_truncate,
    .close = below_close,
};

/* A file of one unit, open. */
static int setup(void **state)
{
    static struct fixture f;
    struct ldb_env *env = ldb_env_posix();

    f = (struct fixture){
        .below = {.base = {.ops = &below_ops}, .room = UINT64_MAX}};
    temp_dir_create(&f.dir);
    (void)snprintf(f.path, sizeof(f.path), "%s/m", f.dir.path);
    assert_ldb_ok(env->ops->open_writable(env, f.path, LDB_OPEN_TRUNCATE,
                                          &f.err, &f.below.file),
                  &f.err);
    f.fd = open(f.path, O_RDWR | O_CLOEXEC);
    assert_true(f.fd >= 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->file != NULL)
        assert_ldb_ok(ldb_file_close(f->file, &f->err), &f->err);
    assert_int_equal(close(f->fd), 0);
    temp_dir_remove(&f->dir);
    return 0;
}

static void open_it(struct fixture *f)
{
    assert_ldb_ok(ldb_mapped_file_create(&f->below.base, f->fd, LDB_WINDOW_UNIT,
                                         &f->err, &f->file),
                  &f->err);
}

static void close_it(struct fixture *f)
{
    assert_ldb_ok(ldb_file_close(f->file, &f->err), &f->err);
    f->file = NULL;
}

static void append(struct fixture *f, size_t len)
{
    static uint8_t bytes[2 * LDB_WINDOW_UNIT];

    memset(bytes, 'x', sizeof(bytes));
    assert_ldb_ok(ldb_file_append(f->file, ldb_slice_make(bytes, len), &f->err),
                  &f->err);
}

static uint64_t length(const struct fixture *f)
{
    struct ldb_env *env = ldb_env_posix();
    uint64_t size = 0;

    assert_ldb_ok(env->ops->file_size(env, f->path, NULL, &size), NULL);
    return size;
}

static void appends_are_stores_and_close_cuts_what_is_synced(void **state)
{
    struct fixture *f = *state;
    unsigned calls;

    open_it(f);
    assert_int_equal(length(f), LDB_WINDOW_UNIT);
    assert_int_equal(f->below.syncs, 1); /* of the zeros */
    calls = f->below.appends;
    append(f, 100);
    append(f, 23);
    assert_int_equal(f->below.appends, calls);
    assert_int_equal(length(f), LDB_WINDOW_UNIT);
    assert_ldb_ok(ldb_file_sync(f->file, &f->err), &f->err);
    close_it(f);
    assert_int_equal(length(f), 123);
}

/* A longer append is a system call into the same pages. */
static void long_appends_and_short_ones_follow_each_other(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf content = LDB_BUF_INIT(2 * LDB_WINDOW_UNIT);
    unsigned calls;

    open_it(f);
    calls = f->below.appends;
    append(f, 100);
    append(f, 5000);
    append(f, 1);
    append(f, LDB_WINDOW_UNIT - 5101);
    assert_int_equal(f->below.appends, calls);
    assert_int_equal(length(f), LDB_WINDOW_UNIT);
    append(f, 1024);
    close_it(f);
    assert_ldb_ok(
        ldb_env_read_file(ldb_env_posix(), f->path, &f->err, &content),
        &f->err);
    assert_int_equal(content.len, LDB_WINDOW_UNIT + 1024);
    for (size_t i = 0; i < content.len; i++)
        assert_int_equal(content.data[i], 'x');
    ldb_buf_release(&content);
}

/* A gap in it is told by its length. */
static void unsynced_it_keeps_its_length(void **state)
{
    struct fixture *f = *state;

    open_it(f);
    append(f, 100);
    assert_ldb_ok(ldb_file_sync(f->file, &f->err), &f->err);
    append(f, 1);
    close_it(f);
    assert_int_equal(length(f), LDB_WINDOW_UNIT);
}

static void unused_it_is_cut_to_nothing(void **state)
{
    struct fixture *f = *state;

    open_it(f);
    close_it(f);
    assert_int_equal(length(f), 0);
}

static void another_length_comes_after_a_sync(void **state)
{
    struct fixture *f = *state;

    open_it(f);
    append(f, LDB_WINDOW_UNIT);
    assert_int_equal(f->below.syncs, 1);
    append(f, 1);
    assert_int_equal(f->below.syncs, 2);
    assert_int_equal(length(f), LDB_WINDOW_UNIT + 1);
    append(f, 1); /* an append like any other */
    assert_int_equal(f->below.syncs, 2);
    assert_int_equal(length(f), LDB_WINDOW_UNIT + 2);
}

static void a_cut_comes_after_a_sync(void **state)
{
    struct fixture *f = *state;

    open_it(f);
    append(f, 100);
    f->below.sync_fails = true;
    assert_int_equal(ldb_file_truncate(f->file, 50, &f->err), LDB_IO);
    assert_int_equal(length(f), LDB_WINDOW_UNIT);
    assert_int_equal(f->below.syncs, 2);
}

static void a_full_disk_is_told_before_the_first_store(void **state)
{
    struct fixture *f = *state;

    f->below.room = LDB_WINDOW_UNIT - 1;
    assert_int_equal(ldb_mapped_file_create(&f->below.base, f->fd,
                                            LDB_WINDOW_UNIT, &f->err, &f->file),
                     LDB_NO_SPACE);
    assert_null(f->file);
    assert_ldb_ok(ldb_file_close(&f->below.base, &f->err), &f->err);
}

static void a_full_disk_beyond_the_window_is_told(void **state)
{
    struct fixture *f = *state;
    const uint8_t more[2] = {1, 2};

    f->below.room = LDB_WINDOW_UNIT + 1;
    open_it(f);
    append(f, LDB_WINDOW_UNIT);
    assert_int_equal(ldb_file_append(f->file, ldb_slice_make(more, 2), &f->err),
                     LDB_NO_SPACE);
    /* As the journal's writer goes on: what was whole stays. */
    assert_ldb_ok(ldb_file_truncate(f->file, 10, &f->err), &f->err);
    assert_ldb_ok(ldb_file_sync(f->file, &f->err), &f->err);
    assert_ldb_ok(ldb_file_append(f->file, ldb_slice_make(more, 1), &f->err),
                  &f->err);
    close_it(f);
    assert_int_equal(length(f), 11);
}

static void after_a_failed_sync_none_succeeds(void **state)
{
    struct fixture *f = *state;
    const uint8_t more[1] = {1};

    open_it(f);
    append(f, 100);
    f->below.sync_fails = true;
    assert_int_equal(ldb_file_sync(f->file, &f->err), LDB_IO);
    assert_int_equal(ldb_file_sync(f->file, &f->err), LDB_IO);
    assert_ldb_message("after a sync that failed", &f->err);
    append(f, LDB_WINDOW_UNIT - 100);
    assert_int_equal(ldb_file_append(f->file, ldb_slice_make(more, 1), &f->err),
                     LDB_IO);
    assert_int_equal(ldb_file_truncate(f->file, 0, &f->err), LDB_IO);
    close_it(f);
    assert_int_equal(length(f), LDB_WINDOW_UNIT);
}

static void only_file_systems_that_write_in_place_are_safe(void **state)
{
    struct statfs fs;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    assert_false(ldb_mapped_file_is_safe(fd));
    assert_int_equal(close(fd), 0);
    /* A tmpfs, mostly. */
    if (statfs("/dev/shm", &fs) != 0 || fs.f_type != TMPFS_MAGIC)
        return;
    fd = open("/dev/shm", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(ldb_mapped_file_is_safe(fd));
    assert_int_equal(close(fd), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(appends_are_stores_and_close_cuts_what_is_synced),
        TEST(long_appends_and_short_ones_follow_each_other),
        TEST(unsynced_it_keeps_its_length),
        TEST(unused_it_is_cut_to_nothing),
        TEST(another_length_comes_after_a_sync),
        TEST(a_cut_comes_after_a_sync),
        TEST(a_full_disk_is_told_before_the_first_store),
        TEST(a_full_disk_beyond_the_window_is_told),
        TEST(after_a_failed_sync_none_succeeds),
        cmocka_unit_test(only_file_systems_that_write_in_place_are_safe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
