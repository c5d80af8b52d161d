/*
 * Every env call of a small database's life fails once, in turn, in several
 * ways: nothing crashes, no acknowledged write is lost, every failed call says
 * why, and the store opens again. The same for a second life, which begins
 * with a journal to replay.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/scripted_run.h"

#define CALLS_MAX 5000 /* a run has far fewer */

#if defined(__SANITIZE_THREAD__)
#define STEP 11
#else
#define STEP 1
#endif

static const struct way {
    const char *name;
    struct env_fault_rule rule; /* nth is filled in */
} ways[] = {
    {"EIO once", {.sys_errno = EIO}},
    {"EIO from then on", {.sys_errno = EIO, .from_then_on = true}},
    {"ENOSPC once", {.kinds = ENV_FAULT_WRITES, .sys_errno = ENOSPC}},
    {"torn append",
     {.kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
      .sys_errno = EIO,
      .torn = true}},
    {"torn append on a full disk",
     {.kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
      .sys_errno = ENOSPC,
      .torn = true,
      .from_then_on = true}},
    {"syncs from then on",
     {.kinds =
          ENV_FAULT_BIT(ENV_FAULT_SYNC) | ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR),
      .sys_errno = EIO,
      .from_then_on = true}},
};

struct run {
    struct env_fault *fault;
    struct env_fault *after_cut; /* as if the power went before the close */
};

static void take_copy(void *context)
{
    struct run *run = context;

    run->after_cut = env_fault_after_cut(run->fault, LDB_CRASH_KEEP_NONE, 1);
}

/* One life with a fault; false when it had too few calls to meet it. */
static bool run_with_fault(const struct way *way, uint64_t nth, bool is_second)
{
    struct run run = {.fault = env_fault_create(NULL)};
    struct ldb_env *env = env_fault_env(run.fault);
    struct history *h = history_create(41);
    struct env_fault_rule rule = way->rule;
    unsigned failures;
    bool met;
    char what[128];

    (void)snprintf(what, sizeof(what), "%s life, %s, call %llu",
                   is_second ? "second" : "first", way->name,
                   (unsigned long long)nth);
    if (is_second)
        assert_int_equal(scripted_run(env, h, NULL, NULL), 0);
    rule.nth = nth;
    env_fault_fail(run.fault, &rule);
    failures = scripted_run(env, h, take_copy, &run);
    met = env_fault_failed(run.fault) > 0;
    env_fault_fail(run.fault, NULL);
    if (!met && failures != 0)
        fail_msg("%s: %u calls failed without a fault", what, failures);
    if (run.after_cut != NULL) {
        /* The copy is judged first: settling forgets the writes. */
        struct ldb_options options;
        struct ldb_error err = {0};
        struct ldb_db *db = NULL;
        const char *why;

        scripted_run_options(env_fault_env(run.after_cut), &options);
        if (ldb_open(SCRIPTED_RUN_DIR, &options, NULL, &err, &db) != LDB_OK)
            fail_msg("%s, after a cut: %s", what, err.message);
        why = history_check(h, db, HISTORY_DURABLE);
        if (why != NULL)
            fail_msg("%s, after a cut: %s", what, why);
        assert_ldb_ok(ldb_close(db, &err), &err);
        env_fault_destroy(run.after_cut);
    }
    scripted_run_verify(env, h, HISTORY_ACKED, what);
    history_destroy(h);
    env_fault_destroy(run.fault);
    return met;
}

static void fail_each_call(bool is_second)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        uint64_t nth = 1;

        while (run_with_fault(&ways[i], nth, is_second)) {
            nth += STEP;
            assert_true(nth < CALLS_MAX);
        }
        print_message("%s: %llu calls, failed in turn\n", ways[i].name,
                      (unsigned long long)(nth - 1));
    }
}

static void any_call_may_fail_in_the_life_of_a_new_store(void **state)
{
    (void)state;
    fail_each_call(false);
}

static void any_call_may_fail_from_recovery_on(void **state)
{
    (void)state;
    fail_each_call(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_call_may_fail_in_the_life_of_a_new_store),
        cmocka_unit_test(any_call_may_fail_from_recovery_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
