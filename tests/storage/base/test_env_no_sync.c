/* An environment like the others, but that no sync reaches the one below. */
#include "storage/base/env_no_sync.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/env_conformance.h"
#include "tests/support/env_fault.h"

static struct env_fault *fault;

static int setup(void **state)
{
    static struct env_fixture fixture;
    struct ldb_error err = {0};

    fault = env_fault_create(NULL);
    fixture = (struct env_fixture){.dir = "/db"};
    assert_ldb_ok(
        ldb_env_no_sync_create(env_fault_env(fault), &err, &fixture.env), &err);
    assert_ldb_ok(fixture.env->ops->create_dir(fixture.env, "/db", &err), &err);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct env_fixture *fixture = *state;

    ldb_env_no_sync_destroy(fixture->env);
    env_fault_destroy(fault);
    return 0;
}

static void no_sync_goes_below_and_the_power_takes_all(void **state)
{
    struct env_fixture *f = *state;
    struct ldb_error err = {0};

    env_put_file(f->env, "/db/a", "text", true);
    assert_ldb_ok(f->env->ops->sync_dir(f->env, "/db", &err), &err);
    assert_int_equal(
        0, env_fault_count(fault, ENV_FAULT_BIT(ENV_FAULT_SYNC) |
                                      ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR)));
    env_assert_file(env_fault_env(fault), "/db/a", "text");
    env_fault_power_cut(fault, LDB_CRASH_KEEP_NONE, 0);
    env_assert_file(env_fault_env(fault), "/db/a", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            no_sync_goes_below_and_the_power_takes_all, setup, teardown),
    };

    return env_conformance_run("env_no_sync", setup, teardown) +
           cmocka_run_group_tests(tests, NULL, NULL);
}
