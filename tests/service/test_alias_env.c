/* Every path is the one file. */
#include "service/alias_env.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/temp_dir.h"

#define TEXT "what stands in it"

static struct temp_dir dir;

static int setup(void **state)
{
    (void)state;
    temp_dir_create(&dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static void write_text(const char *path)
{
    struct ldb_env *env = ldb_env_posix();
    struct ldb_writable_file *file = NULL;

    assert_ldb_ok(
        env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, NULL, &file),
        NULL);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str(TEXT), NULL), NULL);
    assert_ldb_ok(ldb_file_close(file, NULL), NULL);
}

static void expect_text(const uint8_t *bytes, size_t len)
{
    assert_int_equal(len, sizeof(TEXT) - 1);
    assert_memory_equal(bytes, TEXT, len);
}

static void any_path_is_the_file(void **state)
{
    char path[TEMP_DIR_PATH_SIZE];
    struct svc_alias_env alias =
        svc_alias_env_make(temp_dir_join(&dir, "file", path));
    struct ldb_env *env = &alias.env;
    struct ldb_random_file *random = NULL;
    struct ldb_sequential_file *sequential = NULL;
    uint8_t scratch[64];
    struct ldb_slice read;
    uint64_t size = 0;
    size_t len = 0;

    (void)state;
    write_text(path);
    assert_ldb_ok(env->ops->file_size(env, "000001.log", NULL, &size), NULL);
    assert_int_equal(size, sizeof(TEXT) - 1);
    assert_ldb_ok(env->ops->open_random(env, "000001.ldb", NULL, &random),
                  NULL);
    assert_ldb_ok(
        ldb_random_read_at(random, 0, (size_t)size, scratch, &read, NULL),
        NULL);
    expect_text(read.data, read.len);
    ldb_random_close(random);
    assert_ldb_ok(env->ops->open_sequential(env, "", NULL, &sequential), NULL);
    assert_ldb_ok(
        ldb_sequential_read(sequential, sizeof(scratch), scratch, &len, NULL),
        NULL);
    expect_text(scratch, len);
    ldb_sequential_close(sequential);
}

static void what_is_missing_is_named_as_it_is_called(void **state)
{
    char path[TEMP_DIR_PATH_SIZE];
    struct svc_alias_env alias =
        svc_alias_env_make(temp_dir_join(&dir, "nothing", path));
    struct ldb_sequential_file *file = NULL;
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(
        alias.env.ops->open_sequential(&alias.env, "000001.log", &err, &file),
        LDB_NOT_FOUND);
    assert_non_null(strstr(err.message, "nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_path_is_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_missing_is_named_as_it_is_called, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
