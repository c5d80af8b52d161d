#include "replication/twin_mark.h"

#include "replication/sidecar.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/sidecar_env.h"

static struct ldb_env *env;

static int setup(void **state)
{
    (void)state;
    env = sidecar_env_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

static struct repl_twin_mark load(void)
{
    struct repl_twin_mark mark = {0};
    struct ldb_error err = {0};

    assert_ldb_ok(repl_twin_mark_load(env, SIDECAR_ENV_DIR, &err, &mark), &err);
    return mark;
}

static void begin(uint64_t manifest)
{
    struct ldb_error err = {0};

    assert_ldb_ok(repl_twin_mark_begin(env, SIDECAR_ENV_DIR, manifest, &err),
                  &err);
}

static void stop(uint64_t manifest, ldb_sequence last)
{
    struct ldb_error err = {0};

    assert_ldb_ok(
        repl_twin_mark_stop(env, SIDECAR_ENV_DIR, manifest, last, &err), &err);
}

static void expect_none(void)
{
    struct repl_twin_mark mark;
    struct ldb_error err = {0};

    assert_ldb_status(LDB_NOT_FOUND,
                      repl_twin_mark_load(env, SIDECAR_ENV_DIR, &err, &mark),
                      &err);
}

static void it_names_the_manifest_that_is_followed(void **state)
{
    struct repl_twin_mark mark;

    (void)state;
    expect_none();
    begin(7);
    mark = load();
    assert_true(repl_twin_mark_has(&mark, 7));
    assert_false(repl_twin_mark_has(&mark, 8));
    assert_false(repl_twin_mark_has(&mark, 0));
    assert_false(mark.has_last);
    begin(9);
    mark = load();
    assert_false(repl_twin_mark_has(&mark, 7));
    assert_true(repl_twin_mark_has(&mark, 9));
}

static void on_the_way_it_names_both(void **state)
{
    struct repl_twin_mark mark;
    struct ldb_error err = {0};

    (void)state;
    begin(7);
    assert_ldb_ok(repl_twin_mark_go_on(env, SIDECAR_ENV_DIR, 7, 12, &err),
                  &err);
    mark = load();
    assert_true(repl_twin_mark_has(&mark, 7));
    assert_true(repl_twin_mark_has(&mark, 12));
    assert_false(repl_twin_mark_has(&mark, 8));
}

static void a_clean_stop_tells_the_last_entry_until_it_goes_on(void **state)
{
    struct repl_twin_mark mark;

    (void)state;
    begin(7);
    stop(7, 0);
    assert_true(load().has_last);
    stop(7, 4711);
    mark = load();
    assert_true(mark.has_last);
    assert_int_equal(4711, mark.last);
    assert_true(repl_twin_mark_has(&mark, 7));
    begin(7);
    assert_false(load().has_last);
}

/* A folder of another program is not made ours by being stopped. */
static void a_stop_at_another_manifest_changes_nothing(void **state)
{
    struct repl_twin_mark mark;

    (void)state;
    stop(7, 5);
    expect_none();
    begin(7);
    stop(8, 5);
    mark = load();
    assert_true(repl_twin_mark_has(&mark, 7));
    assert_false(repl_twin_mark_has(&mark, 8));
    assert_false(mark.has_last);
}

static void it_is_removed(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    begin(7);
    assert_ldb_ok(repl_twin_mark_remove(env, SIDECAR_ENV_DIR, &err), &err);
    expect_none();
    assert_ldb_ok(repl_twin_mark_remove(env, SIDECAR_ENV_DIR, &err), &err);
}

static void damage_is_told_but_not_to_who_writes_it_anew(void **state)
{
    static const char *const rows[] = {
        "",
        "manifest\n",
        "manifest x\n",
        "manifest 1 2 3\n",
        "manifest 1\nlast\n",
        "manifest 1\nlast 72057594037927936\n",
        "manifest 1\nlast 1\nlast 2\n",
        "last 1\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_twin_mark mark;
        struct ldb_error err = {0};

        assert_ldb_ok(repl_sidecar_write(env, SIDECAR_ENV_DIR, REPL_TWIN_FILE,
                                         REPL_TWIN_VERSION,
                                         ldb_slice_str(rows[i]), &err),
                      &err);
        print_message("%s\n", rows[i]);
        assert_ldb_status(
            LDB_CORRUPTION,
            repl_twin_mark_load(env, SIDECAR_ENV_DIR, &err, &mark), &err);
        assert_ldb_status(LDB_CORRUPTION,
                          repl_twin_mark_stop(env, SIDECAR_ENV_DIR, 1, 1, &err),
                          &err);
    }
    begin(7);
    assert_int_equal(1, load().manifest_count);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_names_the_manifest_that_is_followed),
        TEST(on_the_way_it_names_both),
        TEST(a_clean_stop_tells_the_last_entry_until_it_goes_on),
        TEST(a_stop_at_another_manifest_changes_nothing),
        TEST(it_is_removed),
        TEST(damage_is_told_but_not_to_who_writes_it_anew),
    };

    return cmocka_run_group_tests_name("twin_mark", tests, NULL, NULL);
}
