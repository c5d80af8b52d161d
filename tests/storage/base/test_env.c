#include "storage/base/env.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/env_conformance.h"
#include "tests/support/env_fault.h"

/* More than ldb_env_read_file() asks for at once, and no multiple of it. */
#define LARGE_SIZE ((size_t)200 * 1000)

/* ---- fixture: /db/a holds "old", durably ---- */

static int setup(void **state)
{
    struct env_fault *fault = env_fault_create(NULL);
    struct ldb_env *env = env_fault_env(fault);
    struct ldb_error err = {0};

    assert_ldb_ok(env->ops->create_dir(env, "/db", &err), &err);
    env_put_file(env, "/db/a", "old", true);
    assert_ldb_ok(env->ops->sync_dir(env, "/", &err), &err);
    assert_ldb_ok(env->ops->sync_dir(env, "/db", &err), &err);
    *state = fault;
    return 0;
}

static int teardown(void **state)
{
    env_fault_destroy(*state);
    return 0;
}

static enum ldb_status replace(struct env_fault *fault, struct ldb_error *err)
{
    return ldb_env_replace_file(env_fault_env(fault), "/db", "/db/a", "/db/t",
                                ldb_slice_str("new"), err);
}

/* ---- ldb_env_replace_file ---- */

static void
replacing_syncs_the_file_then_renames_then_syncs_the_dir(void **state)
{
    struct env_fault *fault = *state;
    struct ldb_error err = {0};
    char *log;

    env_fault_start_log(fault);
    assert_ldb_ok(replace(fault, &err), &err);
    log = env_fault_log(fault);
    assert_string_equal(log, "open_writable /db/t truncate\n"
                             "append /db/t 3\n"
                             "sync /db/t\n"
                             "close /db/t\n"
                             "rename_file /db/t /db/a\n"
                             "sync_dir /db\n");
    free(log);
    env_fault_power_cut(fault, LDB_CRASH_KEEP_NONE, 0);
    env_assert_file(env_fault_env(fault), "/db/a", "new");
}

static void
a_failed_replacement_leaves_the_old_file_and_no_temporary(void **state)
{
    static const struct {
        enum env_fault_kind kind;
        const char *content; /* afterwards */
    } rows[] = {
        {ENV_FAULT_OPEN_WRITABLE, "old"}, {ENV_FAULT_APPEND, "old"},
        {ENV_FAULT_SYNC, "old"},          {ENV_FAULT_CLOSE, "old"},
        {ENV_FAULT_RENAME_FILE, "old"},   {ENV_FAULT_SYNC_DIR, "new"},
    };
    struct env_fault *fault = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error err = {0};

        env_fault_fail(fault, &(struct env_fault_rule){
                                  .kinds = ENV_FAULT_BIT(rows[i].kind),
                                  .nth = 1,
                                  .sys_errno = EIO});
        assert_ldb_status(LDB_IO, replace(fault, &err), &err);
        assert_int_equal(err.sys_errno, EIO);
        env_fault_fail(fault, NULL);
        env_assert_file(env_fault_env(fault), "/db/a", rows[i].content);
        env_assert_file(env_fault_env(fault), "/db/t", NULL);
    }
}

static void the_first_of_several_failures_is_told(void **state)
{
    struct env_fault *fault = *state;
    struct ldb_error err = {0};

    env_fault_fail(fault, &(struct env_fault_rule){.nth = 2,
                                                   .from_then_on = true,
                                                   .sys_errno = EIO});
    assert_ldb_status(LDB_IO, replace(fault, &err), &err);
    assert_ldb_message("append /db/t", &err);
}

/* ---- ldb_env_read_file ---- */

static void a_large_file_is_read_whole(void **state)
{
    struct ldb_env *env = env_fault_env(*state);
    struct ldb_writable_file *file = NULL;
    struct ldb_buf written = LDB_BUF_INIT(LARGE_SIZE);
    struct ldb_buf content = LDB_BUF_INIT(LARGE_SIZE);
    struct ldb_error err = {0};
    uint64_t seed = 1;
    uint8_t *first = NULL;

    assert_ldb_ok(ldb_buf_extend(&written, LARGE_SIZE, &first), NULL);
    bytes_fill(&seed, first, LARGE_SIZE);
    assert_ldb_ok(env->ops->open_writable(env, "/db/large", LDB_OPEN_TRUNCATE,
                                          &err, &file),
                  &err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_of_buf(&written), &err),
                  &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    assert_ldb_ok(ldb_env_read_file(env, "/db/large", &err, &content), &err);
    assert_true(ldb_slice_equal(ldb_slice_of_buf(&written),
                                ldb_slice_of_buf(&content)));
    ldb_buf_release(&written);
    ldb_buf_release(&content);
}

static void a_failed_read_leaves_the_buffer_as_it_was(void **state)
{
    struct env_fault *fault = *state;

    for (uint64_t nth = 1; nth <= 3; nth++) { /* open, bytes, end */
        struct ldb_buf content = LDB_BUF_INIT(100);
        struct ldb_error err = {0};

        assert_ldb_ok(ldb_buf_append(&content, ldb_slice_str("before")), NULL);
        env_fault_fail(fault,
                       &(struct env_fault_rule){.nth = nth, .sys_errno = EIO});
        assert_ldb_status(
            LDB_IO,
            ldb_env_read_file(env_fault_env(fault), "/db/a", &err, &content),
            &err);
        assert_ldb_message("/db/a", &err);
        assert_ldb_bytes("before", ldb_slice_of_buf(&content));
        env_fault_fail(fault, NULL);
        assert_ldb_ok(
            ldb_env_read_file(env_fault_env(fault), "/db/a", &err, &content),
            &err);
        assert_ldb_bytes("beforeold", ldb_slice_of_buf(&content));
        ldb_buf_release(&content);
    }
}

static void expect_bytes(struct ldb_env *env, const char *path,
                         const char *text)
{
    struct ldb_buf content = LDB_BUF_INIT(100);
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_read_file(env, path, &err, &content), &err);
    assert_ldb_slice(ldb_slice_str(text), ldb_slice_of_buf(&content));
    ldb_buf_release(&content);
}

static void a_second_name_is_a_link_or_else_a_synced_copy(void **state)
{
    struct env_fault *fault = *state;
    struct ldb_env *env = env_fault_env(fault);
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_link_or_copy(env, "/db/a", "/db/link", &err), &err);
    expect_bytes(env, "/db/link", "old");
    assert_ldb_status(
        LDB_EXISTS, ldb_env_link_or_copy(env, "/db/a", "/db/link", &err), &err);
    env_fault_fail(fault, &(struct env_fault_rule){
                              .kinds = ENV_FAULT_BIT(ENV_FAULT_LINK_FILE),
                              .nth = 1,
                              .sys_errno = EPERM});
    env_fault_forget_counts(fault);
    assert_ldb_ok(ldb_env_link_or_copy(env, "/db/a", "/db/copy", &err), &err);
    assert_int_equal(env_fault_count(fault, ENV_FAULT_BIT(ENV_FAULT_SYNC)), 1);
    expect_bytes(env, "/db/copy", "old");
}

static void a_copy_ends_where_it_is_told_and_a_failed_one_is_gone(void **state)
{
    struct env_fault *fault = *state;
    struct ldb_env *env = env_fault_env(fault);
    struct ldb_error err = {0};
    uint64_t size;

    assert_ldb_ok(ldb_env_copy_file(env, "/db/a", "/db/copy", 2, &err), &err);
    expect_bytes(env, "/db/copy", "ol");
    env_fault_fail(fault, &(struct env_fault_rule){
                              .kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
                              .nth = 1,
                              .sys_errno = ENOSPC,
                              .torn = true});
    assert_ldb_status(LDB_NO_SPACE,
                      ldb_env_copy_file(env, "/db/a", "/db/copy", 3, &err),
                      &err);
    assert_ldb_status(LDB_NOT_FOUND,
                      env->ops->file_size(env, "/db/copy", &err, &size), &err);
}

static void a_new_folder_and_its_name_are_durable(void **state)
{
    struct env_fault *fault = *state;
    struct ldb_env *env = env_fault_env(fault);
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_create_folder(env, "/new//", &err), &err);
    assert_ldb_ok(ldb_env_create_folder(env, "/new", &err), &err);
    env_fault_power_cut(fault, LDB_CRASH_KEEP_NONE, 0);
    env = env_fault_env(fault);
    assert_ldb_ok(env->ops->remove_dir(env, "/new", &err), &err);
}

int main(void)
{
#define TEST(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(replacing_syncs_the_file_then_renames_then_syncs_the_dir),
        TEST(a_failed_replacement_leaves_the_old_file_and_no_temporary),
        TEST(the_first_of_several_failures_is_told),
        TEST(a_large_file_is_read_whole),
        TEST(a_failed_read_leaves_the_buffer_as_it_was),
        TEST(a_new_folder_and_its_name_are_durable),
        TEST(a_second_name_is_a_link_or_else_a_synced_copy),
        TEST(a_copy_ends_where_it_is_told_and_a_failed_one_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
