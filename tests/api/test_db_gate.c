/* Who is let in when, and that nobody is inside once the gate is closed. */
#include "api/db_gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static const struct api_db_gate_reason changing = {
    .kind = API_PROBLEM_NO_LEADER,
    .reason = "changing-role",
    .detail = "this node is about to follow",
    .retry_after_s = 2,
};

static void it_begins_closed(void **state)
{
    struct api_db_gate *gate = api_db_gate_create();
    struct api_problem problem;

    (void)state;
    assert_non_null(gate);
    assert_true(api_db_gate_is_closing(gate));
    assert_false(api_db_gate_enter(gate));
    assert_false(api_db_gate_enter_closing(gate));
    api_db_gate_problem(gate, &problem);
    assert_int_equal(problem.status, 503);
    assert_string_equal(problem.reason, "starting");
    api_db_gate_open(gate);
    assert_false(api_db_gate_is_closing(gate));
    assert_true(api_db_gate_enter(gate));
    assert_int_equal(api_db_gate_inside(gate), 1);
    api_db_gate_leave(gate);
    api_db_gate_destroy(gate);
}

static void a_closing_one_lets_in_only_who_helps_others_out(void **state)
{
    struct api_db_gate *gate = api_db_gate_create();

    (void)state;
    api_db_gate_open(gate);
    assert_true(api_db_gate_enter(gate));
    api_db_gate_shut(gate, &changing);
    assert_true(api_db_gate_is_closing(gate));
    assert_false(api_db_gate_enter(gate));
    assert_false(api_db_gate_wait(gate, 0));
    assert_true(api_db_gate_enter_closing(gate));
    api_db_gate_leave(gate);
    assert_false(api_db_gate_wait(gate, 1000));
    api_db_gate_leave(gate);
    assert_true(api_db_gate_wait(gate, 0));
    assert_false(api_db_gate_enter_closing(gate));
    assert_true(api_db_gate_wait(gate, 0)); /* is closed, and stays so */
    assert_int_equal(api_db_gate_inside(gate), 0);
    api_db_gate_destroy(gate);
}

static void who_is_turned_away_is_told_why(void **state)
{
    static const struct api_db_gate_reason rebuilding = {
        .kind = API_PROBLEM_STALLED,
        .reason = "bootstrapping",
        .detail = "the folder is made anew",
        .retry_after_s = 5,
    };
    struct api_db_gate *gate = api_db_gate_create();
    struct api_problem problem;

    (void)state;
    api_db_gate_open(gate);
    api_db_gate_shut(gate, &changing);
    assert_true(api_db_gate_wait(gate, 0));
    api_db_gate_problem(gate, &problem);
    assert_int_equal(problem.kind, API_PROBLEM_NO_LEADER);
    assert_int_equal(problem.retry_after_s, 2);
    assert_string_equal(problem.detail, "this node is about to follow");
    /* It is closed for another reason now, and stays closed. */
    api_db_gate_shut(gate, &rebuilding);
    assert_true(api_db_gate_wait(gate, 0));
    api_db_gate_problem(gate, &problem);
    assert_int_equal(problem.kind, API_PROBLEM_STALLED);
    assert_int_equal(problem.status, 503);
    assert_string_equal(problem.reason, "bootstrapping");
    api_db_gate_destroy(gate);
}

static void without_memory_there_is_none(void **state)
{
    struct api_db_gate *gate;

    (void)state;
    mem_fault_start(1, MEM_FAULT_ONCE);
    gate = api_db_gate_create();
    assert_true(mem_fault_stop());
    assert_null(gate);
    api_db_gate_destroy(gate);
}

/* ---- threads that use what another one exchanges ---- */

#define USERS  4
#define ROUNDS 2000

struct exchange_run {
    struct api_db_gate *gate;
    int *db; /* 1: open; what is inside the gate */
    atomic_bool is_over;
    _Atomic(unsigned) uses;
    _Atomic(unsigned) refused;
    _Atomic(unsigned) wrong;
};

static void *use(void *context)
{
    struct exchange_run *run = context;

    while (!atomic_load(&run->is_over)) {
        /* Every other one helps. */
        bool is_in = atomic_load(&run->uses) % 2 == 0
                         ? api_db_gate_enter(run->gate)
                         : api_db_gate_enter_closing(run->gate);

        if (!is_in) {
            atomic_fetch_add(&run->refused, 1);
            continue;
        }
        if (*run->db != 1)
            atomic_fetch_add(&run->wrong, 1);
        atomic_fetch_add(&run->uses, 1);
        api_db_gate_leave(run->gate);
    }
    return NULL;
}

static void nobody_uses_what_is_exchanged(void **state)
{
    struct exchange_run run = {.gate = api_db_gate_create()};
    int databases[2] = {0, 0};
    pthread_t threads[USERS];

    (void)state;
    for (unsigned i = 0; i < USERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, &run), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned before = atomic_load(&run.uses);

        run.db = &databases[i % 2];
        *run.db = 1;
        api_db_gate_open(run.gate);
        while (atomic_load(&run.uses) == before)
            ; /* somebody comes */
        api_db_gate_shut(run.gate, &changing);
        while (!api_db_gate_wait(run.gate, 1000000))
            ;
        *run.db = 0;
        run.db = NULL;
    }
    atomic_store(&run.is_over, true);
    for (unsigned i = 0; i < USERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(run.wrong, 0);
    assert_true(run.uses >= ROUNDS);
    assert_int_equal(api_db_gate_inside(run.gate), 0);
    api_db_gate_destroy(run.gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_closed),
        cmocka_unit_test(a_closing_one_lets_in_only_who_helps_others_out),
        cmocka_unit_test(who_is_turned_away_is_told_why),
        cmocka_unit_test(without_memory_there_is_none),
        cmocka_unit_test(nobody_uses_what_is_exchanged),
    };

    return cmocka_run_group_tests_name("db_gate", tests, NULL, NULL);
}
