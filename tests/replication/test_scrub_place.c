/* The place of a scrub, over restarts and damage of its file. */
#include "replication/scrub_place.h"

#include <errno.h>

#include "replication/sidecar.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"

#define DIR "/db"

static int setup(void **state)
{
    struct env_fault *fault = env_fault_create(NULL);
    struct ldb_env *env = env_fault_env(fault);

    assert_ldb_ok(ldb_env_create_folder(env, DIR, NULL), NULL);
    assert_ldb_ok(repl_sidecar_make_folder(env, DIR, NULL), NULL);
    *state = fault;
    return 0;
}

static int teardown(void **state)
{
    env_fault_destroy(*state);
    return 0;
}

static struct repl_scrub_place load(struct env_fault *fault)
{
    struct repl_scrub_place place = {.passes = 99};
    struct ldb_error err = {0};

    assert_ldb_ok(
        repl_scrub_place_load(env_fault_env(fault), DIR, &err, &place), &err);
    return place;
}

static void assert_place(const struct repl_scrub_place *expected,
                         const struct repl_scrub_place *found)
{
    assert_int_equal(expected->passes, found->passes);
    assert_int_equal(expected->begun_us, found->begun_us);
    assert_int_equal(expected->part, found->part);
    assert_int_equal(expected->number, found->number);
    assert_int_equal(expected->ended_us, found->ended_us);
    assert_int_equal(expected->duration_us, found->duration_us);
}

static void a_place_is_there_again(void **state)
{
    static const struct repl_scrub_place places[] = {
        {.passes = 0, .begun_us = 5, .part = REPL_SCRUB_TABLES, .number = 7},
        {.passes = 3,
         .begun_us = UINT64_MAX,
         .part = REPL_SCRUB_JOURNALS,
         .number = UINT64_MAX,
         .ended_us = 4,
         .duration_us = 2},
        {.passes = UINT64_MAX, .begun_us = 9, .part = REPL_SCRUB_END},
    };
    struct env_fault *fault = *state;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct repl_scrub_place found;
        struct ldb_error err = {0};

        assert_ldb_ok(
            repl_scrub_place_store(env_fault_env(fault), DIR, &places[i], &err),
            &err);
        env_fault_power_cut(fault, LDB_CRASH_KEEP_NONE, 0);
        found = load(fault);
        assert_place(&places[i], &found);
    }
}

static void without_a_file_no_pass_has_begun(void **state)
{
    struct repl_scrub_place found = load(*state);

    assert_place(&(struct repl_scrub_place){0}, &found);
}

static void what_is_none_begins_anew(void **state)
{
    static const char *const texts[] = {
        "",
        "pass 1 2\n",
        "pass 1 2\nat table 3\n",
        "pass 1 2\nat chair 3\nlast 0 0\n",
        "pass 1 x\nat table 3\nlast 0 0\n",
        "pass 1 2\nat table -1\nlast 0 0\n",
        "pass 1 2\nat table 3\nlast 0 0\nmore 1 2\n",
        "pass 1 2\nat table 3 4\nlast 0 0\n",
        "pass 1 18446744073709551616\nat table 3\nlast 0 0\n",
    };
    struct ldb_env *env = env_fault_env(*state);

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct repl_scrub_place found;

        assert_ldb_ok(repl_sidecar_write(env, DIR, "scrub", 1,
                                         ldb_slice_str(texts[i]), NULL),
                      NULL);
        found = load(*state);
        assert_place(&(struct repl_scrub_place){0}, &found);
    }
    assert_ldb_ok(
        repl_sidecar_write(env, DIR, "scrub", 2, ldb_slice_str("x\n"), NULL),
        NULL);
    assert_ldb_status(
        LDB_NOT_SUPPORTED,
        repl_scrub_place_load(env, DIR, NULL, &(struct repl_scrub_place){0}),
        NULL);
}

static void failures_are_told(void **state)
{
    const struct repl_scrub_place place = {.passes = 1, .begun_us = 2};
    struct env_fault *fault = *state;
    struct ldb_env *env = env_fault_env(fault);

    env_fault_fail(
        fault, &(struct env_fault_rule){.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                        .nth = 1,
                                        .sys_errno = EIO});
    assert_ldb_status(LDB_IO, repl_scrub_place_store(env, DIR, &place, NULL),
                      NULL);
    env_fault_fail(fault, NULL);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_scrub_place_store(env, DIR, &place, NULL);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, NULL);
    }
    for (uint64_t n = 1;; n++) {
        struct repl_scrub_place found = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_scrub_place_load(env, DIR, NULL, &found);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_place_is_there_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_a_file_no_pass_has_begun, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_none_begins_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(failures_are_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
