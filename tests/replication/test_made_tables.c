/* Tables that wait in a twin's folder for their edits. */
#include "replication/made_tables.h"

#include <stdio.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define DIR "/twin"

static struct repl_made_tables made;
static struct ldb_error err;

static int setup(void **state)
{
    (void)state;
    made = (struct repl_made_tables){0};
    err = (struct ldb_error){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_made_tables_release(&made);
    return 0;
}

static void it_finds_those_that_were_added(void **state)
{
    (void)state;
    assert_false(repl_made_tables_has(&made, 5, 100));
    assert_false(repl_made_tables_has_number(&made, 5));
    /* Up and down, so that each place in the list is added to. */
    for (uint64_t i = 0; i < 100; i++)
        assert_ldb_ok(repl_made_tables_add(
                          &made, i % 2 == 0 ? 500 + i : 500 - i, 10 + i, &err),
                      &err);
    assert_int_equal(100, made.count);
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t number = i % 2 == 0 ? 500 + i : 500 - i;

        assert_true(repl_made_tables_has(&made, number, 10 + i));
        assert_false(repl_made_tables_has(&made, number, 11 + i));
        assert_true(repl_made_tables_has_number(&made, number));
        assert_false(repl_made_tables_has(&made, number + 1, 10 + i));
    }
}

static void the_last_size_counts(void **state)
{
    (void)state;
    assert_ldb_ok(repl_made_tables_add(&made, 5, 100, &err), &err);
    assert_ldb_ok(repl_made_tables_add(&made, 5, 200, &err), &err);
    assert_int_equal(1, made.count);
    assert_false(repl_made_tables_has(&made, 5, 100));
    assert_true(repl_made_tables_has(&made, 5, 200));
}

static void it_forgets_one(void **state)
{
    (void)state;
    for (uint64_t number = 1; number <= 5; number++)
        assert_ldb_ok(repl_made_tables_add(&made, number, 100, &err), &err);
    repl_made_tables_forget(&made, 3);
    repl_made_tables_forget(&made, 9);
    assert_int_equal(4, made.count);
    assert_false(repl_made_tables_has(&made, 3, 100));
    assert_true(repl_made_tables_has(&made, 2, 100));
    assert_true(repl_made_tables_has(&made, 4, 100));
}

static void no_memory_leaves_the_list(void **state)
{
    (void)state;
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY, repl_made_tables_add(&made, 5, 100, &err),
                      &err);
    assert_true(mem_fault_stop());
    assert_int_equal(0, made.count);
    assert_ldb_ok(repl_made_tables_add(&made, 5, 100, &err), &err);
}

static void discarding_removes_their_files(void **state)
{
    struct ldb_env *env = NULL;
    struct ldb_options options;
    struct ldb_db *db = NULL;
    uint64_t size = 0;

    (void)state;
    assert_ldb_ok(ldb_env_memory_create(&err, &env), &err);
    ldb_options_init(&options);
    options.env = env;
    options.create_if_missing = true;
    assert_ldb_ok(ldb_twin_open(DIR, &options, NULL, &err, &db), &err);
    assert_ldb_ok(ldb_env_replace_file(env, DIR, DIR "/000007.ldb",
                                       DIR "/000007.tmp", ldb_slice_str("x"),
                                       &err),
                  &err);
    assert_ldb_ok(repl_made_tables_add(&made, 7, 1, &err), &err);
    assert_ldb_ok(repl_made_tables_add(&made, 8, 1, &err), &err);
    repl_made_tables_discard(&made, db);
    assert_int_equal(0, made.count);
    assert_int_equal(LDB_NOT_FOUND,
                     env->ops->file_size(env, DIR "/000007.ldb", NULL, &size));
    assert_ldb_ok(ldb_close(db, &err), &err);
    ldb_env_memory_destroy(env);
}

#define made_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        made_test(it_finds_those_that_were_added),
        made_test(the_last_size_counts),
        made_test(it_forgets_one),
        made_test(no_memory_leaves_the_list),
        made_test(discarding_removes_their_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
