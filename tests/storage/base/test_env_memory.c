#include "storage/base/env_memory_internal.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/env_conformance.h"

/* ---- fixture ---- */

static int setup(void **state)
{
    static struct env_fixture fixture;
    struct ldb_error err = {0};

    fixture = (struct env_fixture){.dir = "/db"};
    assert_ldb_ok(ldb_env_memory_create(&err, &fixture.env), &err);
    assert_ldb_ok(fixture.env->ops->create_dir(fixture.env, "/db", &err), &err);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct env_fixture *fixture = *state;

    ldb_env_memory_destroy(fixture->env);
    return 0;
}

/* ---- paths ---- */

static void spellings_of_a_path_lead_to_the_same_file(void **state)
{
    static const char *const spellings[] = {"/db/a", "db/a", "./db/a",
                                            "//db//./a"};
    const struct env_fixture *f = *state;

    env_put_file(f->env, "/db/a", "text", false);
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
        env_assert_file(f->env, spellings[i], "text");
}

static void the_way_up_and_the_root_are_refused(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_error err = {0};
    struct ldb_random_file *file = NULL;

    assert_ldb_status(
        LDB_IO, ops->open_random(f->env, "/db/../db/a", &err, &file), &err);
    assert_ldb_status(LDB_IO, ops->remove_dir(f->env, "/", &err), &err);
    assert_ldb_status(LDB_IO, ops->rename_file(f->env, "/", "/b", &err), &err);
    assert_ldb_ok(ops->create_dir(f->env, "/", &err), &err);
    assert_ldb_ok(ops->sync_dir(f->env, ".", &err), &err);
}

static void a_file_cut_under_its_reader_is_corruption(void **state)
{
    const struct env_fixture *f = *state;
    struct ldb_error err = {0};
    struct ldb_random_file *file = NULL;
    struct ldb_slice got = {0};
    uint8_t scratch[4];

    env_put_file(f->env, "/db/a", "0123", false);
    assert_ldb_ok(f->env->ops->open_random(f->env, "/db/a", &err, &file), &err);
    env_put_file(f->env, "/db/a", "01", false);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_random_read_at(file, 0, 4, scratch, &got, &err),
                      &err);
    assert_ldb_message("file ends at 2", &err);
    ldb_random_close(file);
}

/* ---- power loss ---- */

static struct ldb_env *crash(const struct env_fixture *f,
                             enum ldb_crash_keep keep)
{
    struct ldb_error err = {0};
    struct ldb_env *after = NULL;

    assert_ldb_ok(ldb_env_memory_crash_copy(f->env, keep, 1, &err, &after),
                  &err);
    return after;
}

static void a_crash_copy_has_what_was_synced_with_its_names(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_error err = {0};
    struct ldb_env *after;

    env_put_file(f->env, "/db/both", "both", true);
    env_put_file(f->env, "/db/name", "name", false);
    assert_ldb_ok(ops->sync_dir(f->env, "/", &err), &err);
    assert_ldb_ok(ops->sync_dir(f->env, "/db", &err), &err);
    env_put_file(f->env, "/db/bytes", "bytes", true);
    assert_ldb_ok(ops->rename_file(f->env, "/db/both", "/db/moved", &err),
                  &err);

    after = crash(f, LDB_CRASH_KEEP_NONE);
    env_assert_file(after, "/db/both", "both");
    env_assert_file(after, "/db/moved", NULL);
    env_assert_file(after, "/db/name", "");
    env_assert_file(after, "/db/bytes", NULL);
    ldb_env_memory_destroy(after);

    after = crash(f, LDB_CRASH_KEEP_ALL);
    env_assert_file(after, "/db/both", NULL);
    env_assert_file(after, "/db/moved", "both");
    env_assert_file(after, "/db/name", "name");
    env_assert_file(after, "/db/bytes", "bytes");
    ldb_env_memory_destroy(after);
    env_assert_file(f->env, "/db/moved", "both"); /* the original goes on */
}

static void a_folder_whose_parent_was_not_synced_is_lost(void **state)
{
    const struct env_fixture *f = *state;
    struct ldb_error err = {0};
    struct ldb_env *after;

    env_put_file(f->env, "/db/a", "text", true);
    assert_ldb_ok(f->env->ops->sync_dir(f->env, "/db", &err), &err);
    after = crash(f, LDB_CRASH_KEEP_NONE);
    assert_ldb_status(LDB_NOT_FOUND, after->ops->sync_dir(after, "/db", &err),
                      &err);
    ldb_env_memory_destroy(after);
}

static void a_crash_copy_is_durable_and_its_locks_are_free(void **state)
{
    const struct env_fixture *f = *state;
    struct env_fixture copy = *f;
    struct ldb_error err = {0};
    struct ldb_file_lock *ours = NULL;
    struct ldb_file_lock *theirs = NULL;
    struct ldb_env *again;

    env_put_file(f->env, "/db/a", "text", false);
    assert_ldb_ok(
        f->env->ops->lock_file(f->env, "/db/LOCK", false, &err, &ours), &err);
    copy.env = crash(f, LDB_CRASH_KEEP_ALL);
    assert_ldb_ok(
        copy.env->ops->lock_file(copy.env, "/db/LOCK", false, &err, &theirs),
        &err);
    again = crash(&copy, LDB_CRASH_KEEP_NONE);
    env_assert_file(again, "/db/a", "text");
    copy.env->ops->unlock_file(copy.env, theirs);
    f->env->ops->unlock_file(f->env, ours);
    ldb_env_memory_destroy(again);
    ldb_env_memory_destroy(copy.env);
}

static void destroying_nothing_is_fine(void **state)
{
    (void)state;
    ldb_env_memory_destroy(NULL);
}

int main(void)
{
#define TEST(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(spellings_of_a_path_lead_to_the_same_file),
        TEST(the_way_up_and_the_root_are_refused),
        TEST(a_file_cut_under_its_reader_is_corruption),
        TEST(a_crash_copy_has_what_was_synced_with_its_names),
        TEST(a_folder_whose_parent_was_not_synced_is_lost),
        TEST(a_crash_copy_is_durable_and_its_locks_are_free),
        cmocka_unit_test(destroying_nothing_is_fine),
    };
    int failed = env_conformance_run("memory env", setup, teardown);

    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
