#include "storage/base/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/env_conformance.h"

/* One more than env_posix.c maps at once. */
#define MANY_FILES 1001

/* ---- fixture ---- */

struct posix_fixture {
    struct env_fixture base; /* first: the conformance suite reads it */
    struct temp_dir dir;
};

static int setup(void **state)
{
    static struct posix_fixture fixture;

    temp_dir_create(&fixture.dir);
    fixture.base.env = ldb_env_posix();
    (void)snprintf(fixture.base.dir, sizeof(fixture.base.dir), "%s",
                   fixture.dir.path);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct posix_fixture *fixture = *state;

    temp_dir_remove(&fixture->dir);
    return 0;
}

/* ---- locks of other processes ---- */

enum lock_kind {
    FLOCK,
    FCNTL,
    FLOCK_SHARED,
    FCNTL_SHARED,
};

static bool take_lock(int fd, enum lock_kind kind)
{
    struct flock whole = {.l_type = kind == FCNTL ? F_WRLCK : F_RDLCK,
                          .l_whence = SEEK_SET};

    switch (kind) {
    case FLOCK:
        return flock(fd, LOCK_EX | LOCK_NB) == 0;
    case FLOCK_SHARED:
        return flock(fd, LOCK_SH | LOCK_NB) == 0;
    case FCNTL:
    case FCNTL_SHARED:
        return fcntl(fd, F_SETLK, &whole) == 0;
    }
    return false;
}

struct stranger {
    pid_t pid;
    int hold; /* closing it ends the stranger */
    bool got_lock;
};

/* Another process, named "stranger", that tries the lock and stays. */
static struct stranger start_stranger(const char *path, enum lock_kind kind)
{
    struct stranger stranger = {.pid = -1};
    int answer[2];
    int hold[2];
    char got = 'n';

    assert_int_equal(pipe2(answer, O_CLOEXEC), 0);
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    stranger.pid = fork();
    assert_true(stranger.pid >= 0);
    if (stranger.pid == 0) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        (void)close(hold[1]);
        (void)prctl(PR_SET_NAME, "stranger");
        if (fd >= 0 && take_lock(fd, kind))
            got = 'y';
        if (write(answer[1], &got, 1) == 1)
            (void)!read(hold[0], &got, 1);
        _exit(0);
    }
    (void)close(answer[1]);
    (void)close(hold[0]);
    assert_int_equal(read(answer[0], &got, 1), 1);
    (void)close(answer[0]);
    stranger.hold = hold[1];
    stranger.got_lock = got == 'y';
    return stranger;
}

static void end_stranger(const struct stranger *stranger)
{
    int status = 0;

    (void)close(stranger->hold);
    assert_int_equal(waitpid(stranger->pid, &status, 0), stranger->pid);
}

static void another_process_is_named_as_the_holder(void **state)
{
    static const enum lock_kind kinds[] = {FLOCK, FCNTL, FLOCK_SHARED,
                                           FCNTL_SHARED};
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    const char *path = env_path(f, "LOCK");

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct stranger stranger = start_stranger(path, kinds[i]);
        struct ldb_error err = {0};
        struct ldb_file_lock *lock = NULL;
        char want[64];

        assert_true(stranger.got_lock);
        assert_ldb_status(
            LDB_LOCKED, ops->lock_file(f->env, path, false, &err, &lock), &err);
        (void)snprintf(want, sizeof(want), "held by pid %d (stranger)",
                       (int)stranger.pid);
        assert_ldb_message(want, &err);
        end_stranger(&stranger);
        /* Nothing of the refused lock is left. */
        assert_ldb_ok(ops->lock_file(f->env, path, false, &err, &lock), &err);
        ops->unlock_file(f->env, lock);
    }
}

static void both_kinds_of_lock_keep_other_processes_out(void **state)
{
    static const struct {
        const char *name;
        enum lock_kind kind;
        bool shared; /* ours */
        bool got;    /* theirs */
    } rows[] = {
        {"flock against ours", FLOCK, false, false},
        {"fcntl against ours", FCNTL, false, false},
        {"flock against our shared", FLOCK, true, false},
        {"fcntl against our shared", FCNTL, true, false},
        {"shared flock against our shared", FLOCK_SHARED, true, true},
        {"shared fcntl against our shared", FCNTL_SHARED, true, true},
    };
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "LOCK");

    env_put_file(f->env, path, "", false);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error err = {0};
        struct ldb_file_lock *lock = NULL;
        struct stranger stranger;

        assert_ldb_ok(
            f->env->ops->lock_file(f->env, path, rows[i].shared, &err, &lock),
            &err);
        stranger = start_stranger(path, rows[i].kind);
        if (stranger.got_lock != rows[i].got)
            fail_msg("%s: got %d", rows[i].name, stranger.got_lock);
        end_stranger(&stranger);
        f->env->ops->unlock_file(f->env, lock);
    }
}

/* ---- mappings ---- */

/* "0123456789" is read right, and not beyond. */
static void assert_reads(struct ldb_random_file *file, bool mapped)
{
    struct ldb_error err = {0};
    uint8_t scratch[4] = {0};
    struct ldb_slice got = {0};

    assert_int_equal(file->mapping.len, mapped ? 10 : 0);
    assert_ldb_ok(ldb_random_read_at(file, 3, 4, scratch, &got, &err), &err);
    assert_ldb_bytes("3456", got);
    assert_int_equal(got.data == scratch, !mapped);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_random_read_at(file, 7, 4, scratch, &got, &err),
                      &err);
    assert_ldb_message("table", &err);
    assert_ldb_message("file ends at 10", &err);
}

static void files_beyond_the_mapping_budget_are_read_all_the_same(void **state)
{
    static struct ldb_random_file *files[MANY_FILES];
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "table");
    struct ldb_error err = {0};

    env_put_file(f->env, path, "0123456789", false);
    for (int round = 0; round < 2; round++) { /* closing gives budget back */
        for (size_t i = 0; i < MANY_FILES; i++)
            assert_ldb_ok(
                f->env->ops->open_random(f->env, path, &err, &files[i]), &err);
        assert_reads(files[0], true);
        assert_reads(files[MANY_FILES - 2], true);
        assert_reads(files[MANY_FILES - 1], false);
        for (size_t i = 0; i < MANY_FILES; i++)
            ldb_random_close(files[i]);
    }
}

static void a_file_cut_under_an_unmapped_reader_is_corruption(void **state)
{
    static struct ldb_random_file *files[MANY_FILES];
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "table");
    struct ldb_error err = {0};
    uint8_t scratch[4] = {0};
    struct ldb_slice got = {0};

    env_put_file(f->env, path, "0123456789", false);
    for (size_t i = 0; i < MANY_FILES; i++)
        assert_ldb_ok(f->env->ops->open_random(f->env, path, &err, &files[i]),
                      &err);
    assert_int_equal(truncate(path, 5), 0);
    assert_ldb_status(
        LDB_CORRUPTION,
        ldb_random_read_at(files[MANY_FILES - 1], 3, 4, scratch, &got, &err),
        &err);
    assert_ldb_message("file ends at 5", &err);
    for (size_t i = 0; i < MANY_FILES; i++)
        ldb_random_close(files[i]);
}

/* ---- descriptors, failures, threads ---- */

static void no_descriptor_leaks_into_a_child(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    const char *path = env_path(f, "a");
    struct ldb_error err = {0};
    struct ldb_writable_file *writable = NULL;
    struct ldb_sequential_file *sequential = NULL;
    struct ldb_file_lock *lock = NULL;
    int first = open("/", O_RDONLY | O_CLOEXEC);

    assert_true(first >= 0);
    assert_ldb_ok(
        ops->open_writable(f->env, path, LDB_OPEN_TRUNCATE, &err, &writable),
        &err);
    assert_ldb_ok(ops->open_sequential(f->env, path, &err, &sequential), &err);
    assert_ldb_ok(ops->lock_file(f->env, path, false, &err, &lock), &err);
    for (int fd = first; fd < first + 4; fd++)
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    ops->unlock_file(f->env, lock);
    ldb_sequential_close(sequential);
    assert_ldb_ok(ldb_file_close(writable, &err), &err);
    (void)close(first);
}

static void a_full_device_is_no_space(void **state)
{
    const struct env_fixture *f = *state;
    struct ldb_error err = {0};
    struct ldb_writable_file *file = NULL;

    assert_ldb_ok(f->env->ops->open_writable(f->env, "/dev/full",
                                             LDB_OPEN_APPEND, &err, &file),
                  &err);
    assert_ldb_status(LDB_NO_SPACE,
                      ldb_file_append(file, ldb_slice_str("x"), &err), &err);
    assert_int_equal(err.sys_errno, ENOSPC);
    assert_ldb_message("/dev/full", &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
}

static void keep_own_name(void *context)
{
    (void)prctl(PR_GET_NAME, context);
}

static void a_thread_has_the_first_15_bytes_of_its_name(void **state)
{
    const struct env_fixture *f = *state;
    struct ldb_error err = {0};
    struct ldb_thread *thread = NULL;
    char name[16] = {0};

    assert_ldb_ok(f->env->ops->thread_start(f->env, "leveld-compaction-1",
                                            keep_own_name, name, &err, &thread),
                  &err);
    f->env->ops->thread_join(f->env, thread);
    assert_string_equal(name, "leveld-compacti");
}

int main(void)
{
#define TEST(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(another_process_is_named_as_the_holder),
        TEST(both_kinds_of_lock_keep_other_processes_out),
        TEST(files_beyond_the_mapping_budget_are_read_all_the_same),
        TEST(a_file_cut_under_an_unmapped_reader_is_corruption),
        TEST(no_descriptor_leaks_into_a_child),
        TEST(a_full_device_is_no_space),
        TEST(a_thread_has_the_first_15_bytes_of_its_name),
    };
    int failed = env_conformance_run("posix env", setup, teardown);

    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
