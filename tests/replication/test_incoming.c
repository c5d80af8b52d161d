#include <stdio.h>
#include <string.h>

#include "replication/incoming.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/sidecar_env.h"
#include "tests/support/table_file.h"

#define DIR SIDECAR_ENV_DIR

static struct ldb_env *env;
static struct ldb_error err;

static int setup(void **state)
{
    (void)state;
    err = (struct ldb_error){0};
    env = sidecar_env_create();
    assert_ldb_ok(repl_incoming_make(env, DIR, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

static void put(const char *path, struct ldb_slice bytes)
{
    assert_ldb_ok(ldb_env_replace_file(env, DIR, path, DIR "/t", bytes, &err),
                  &err);
}

static void expect(const char *path, const char *text)
{
    struct ldb_buf bytes = LDB_BUF_INIT(1000);

    assert_ldb_ok(ldb_env_read_file(env, path, &err, &bytes), &err);
    assert_ldb_slice(ldb_slice_str(text), ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

static bool is_there(const char *path)
{
    uint64_t size;

    return env->ops->file_size(env, path, NULL, &size) == LDB_OK;
}

static void paths_lie_in_its_folder(void **state)
{
    char *path = repl_incoming_path("/a", "000009.ldb", false);
    char *link = repl_incoming_path("/a", "000009.ldb", true);

    (void)state;
    assert_string_equal("/a/leveld/incoming/000009.ldb", path);
    assert_string_equal("/a/leveld/incoming/000009.ldb.have", link);
    ldb_mem_free(path);
    ldb_mem_free(link);
}

static void links_of_a_plan_are_second_names(void **state)
{
    struct repl_step steps[] = {
        {.kind = REPL_STEP_KEEP, .name = "000004.ldb"},
        {.kind = REPL_STEP_LINK, .name = "000009.ldb", .from = "000005.ldb"},
    };
    struct repl_plan plan = {.steps = steps, .count = 2};

    (void)state;
    put(DIR "/000005.ldb", ldb_slice_str("five"));
    /* Of an earlier try. */
    put(DIR "/leveld/incoming/000009.ldb.have", ldb_slice_str("old"));
    assert_ldb_ok(repl_incoming_link_all(env, DIR, &plan, &err), &err);
    expect(DIR "/leveld/incoming/000009.ldb.have", "five");
    assert_false(is_there(DIR "/leveld/incoming/000004.ldb.have"));
    memcpy(steps[1].from, "000006.ldb", sizeof("000006.ldb"));
    assert_ldb_status(LDB_NOT_FOUND,
                      repl_incoming_link_all(env, DIR, &plan, &err), &err);
}

static void cleaning_takes_what_may_be_a_second_name(void **state)
{
    (void)state;
    put(DIR "/000005.ldb", ldb_slice_str("five"));
    put(DIR "/leveld/incoming/000005.ldb", ldb_slice_str("FIVE"));
    put(DIR "/000006.ldb", ldb_slice_str("six"));
    put(DIR "/leveld/incoming/000006.ldb", ldb_slice_str("a part"));
    put(DIR "/leveld/incoming/000007.ldb", ldb_slice_str("seven"));
    put(DIR "/leveld/incoming/000008.ldb.have", ldb_slice_str("eight"));
    assert_ldb_ok(repl_incoming_clean(env, DIR, false, &err), &err);
    assert_false(is_there(DIR "/leveld/incoming/000005.ldb"));
    expect(DIR "/leveld/incoming/000006.ldb", "a part");
    expect(DIR "/leveld/incoming/000007.ldb", "seven");
    assert_false(is_there(DIR "/leveld/incoming/000008.ldb.have"));
    expect(DIR "/000005.ldb", "five");
    assert_ldb_ok(repl_incoming_clean(env, DIR, true, &err), &err);
    assert_false(is_there(DIR "/leveld/incoming/000006.ldb"));
    assert_false(is_there(DIR "/leveld/incoming/000007.ldb"));
}

static void without_the_folder_there_is_nothing_to_clean(void **state)
{
    (void)state;
    assert_ldb_ok(env->ops->remove_dir(env, DIR "/leveld/incoming", &err),
                  &err);
    assert_ldb_ok(repl_incoming_clean(env, DIR, true, &err), &err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_lie_in_its_folder),
        TEST(links_of_a_plan_are_second_names),
        TEST(cleaning_takes_what_may_be_a_second_name),
        TEST(without_the_folder_there_is_nothing_to_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
