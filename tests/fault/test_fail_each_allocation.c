/*
 * Every allocation of a small database's life fails, in turn: alone, and with
 * all after it. Nothing crashes or leaks, no acknowledged write is lost, every
 * failed call says why, and the store opens again when there is memory.
 *
 * Background threads allocate too, so the n-th is not the same in each run;
 * over all n each is met.
 */
#include <stdio.h>

#include "storage/base/env.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/scripted_run.h"

#define ALLOCATIONS_MAX 100000 /* a run has far fewer */

#if defined(__SANITIZE_THREAD__)
#define STEP 41
#elif defined(__SANITIZE_ADDRESS__)
#define STEP 7 /* of n; a prime, so that no pattern is always left out */
#else
#define STEP 1
#endif

/* One life with a fault; false when it had too few allocations to meet it. */
static bool run_with_fault(enum mem_fault_mode mode, uint64_t nth,
                           bool is_second)
{
    struct history *h = history_create(43);
    struct ldb_env *env = NULL;
    struct ldb_error err = {0};
    unsigned failures;
    bool met;
    char what[128];

    (void)snprintf(what, sizeof(what), "%s life, allocation %llu %s",
                   is_second ? "second" : "first", (unsigned long long)nth,
                   mode == MEM_FAULT_ONCE ? "once" : "and later");
    assert_ldb_ok(ldb_env_memory_create(&err, &env), &err);
    if (is_second)
        assert_int_equal(scripted_run(env, h, NULL, NULL), 0);
    mem_fault_start(nth, mode);
    failures = scripted_run(env, h, NULL, NULL);
    met = mem_fault_stop();
    if (!met && failures != 0)
        fail_msg("%s: %u calls failed without a fault", what, failures);
    scripted_run_verify(env, h, HISTORY_ACKED, what);
    history_destroy(h);
    ldb_env_memory_destroy(env);
    return met;
}

static void fail_each_allocation(bool is_second)
{
    for (enum mem_fault_mode mode = MEM_FAULT_ONCE; mode <= MEM_FAULT_FOREVER;
         mode++) {
        uint64_t nth = 1;

        while (run_with_fault(mode, nth, is_second)) {
            /* From then on is much the same for neighbours. */
            nth += mode == MEM_FAULT_ONCE ? STEP : 3 * STEP;
            assert_true(nth < ALLOCATIONS_MAX);
        }
        print_message(
            "%llu allocations, failed %s\n", (unsigned long long)(nth - 1),
            mode == MEM_FAULT_ONCE ? "in turn" : "with all later ones");
    }
}

static void any_allocation_may_fail_in_the_life_of_a_new_store(void **state)
{
    (void)state;
    fail_each_allocation(false);
}

static void any_allocation_may_fail_from_recovery_on(void **state)
{
    (void)state;
    fail_each_allocation(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail_in_the_life_of_a_new_store),
        cmocka_unit_test(any_allocation_may_fail_from_recovery_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
