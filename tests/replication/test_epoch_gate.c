/*
 * R6: once an epoch is accepted, nothing of a lower one gets in; what is
 * accepted is durable first; what does not go on from our history is refused
 * for its own reason.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "replication/epoch_gate.h"
#include "replication/sidecar.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"

#define DIR     "/node"
#define CLUSTER "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1"
#define NODE    "d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0"

static struct env_fault *fault;
static struct ldb_env *env;
static struct repl_node node;
static struct repl_epoch_gate *gate;
static struct ldb_error err;
static uint64_t told; /* epochs that accepted() was told of */
static enum ldb_status answer;

static enum ldb_status accepted(void *context,
                                const struct repl_epoch_history *history,
                                struct ldb_error *e)
{
    struct repl_epoch_history stored = {0};

    (void)context;
    if (answer != LDB_OK)
        return ldb_error_set(e, answer, "not told");
    /* Durable by now. */
    assert_ldb_ok(repl_epoch_history_load(env, DIR, &err, &stored), &err);
    assert_int_equal(history->count, stored.count);
    repl_epoch_history_release(&stored);
    told = repl_epoch_history_last(history)->number;
    return LDB_OK;
}

static void open_gate(void)
{
    assert_ldb_ok(repl_node_load(&node, env, DIR, &err), &err);
    assert_ldb_ok(repl_epoch_gate_create(&node, accepted, NULL, &err, &gate),
                  &err);
}

static void close_gate(void)
{
    repl_epoch_gate_destroy(gate);
    gate = NULL;
    repl_node_release(&node);
}

static int setup(void **state)
{
    (void)state;
    err = (struct ldb_error){0};
    told = 0;
    answer = LDB_OK;
    fault = env_fault_create(NULL);
    env = env_fault_env(fault);
    assert_ldb_ok(ldb_env_create_folder(env, DIR, &err), &err);
    open_gate();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_gate();
    env_fault_destroy(fault);
    return 0;
}

/* Epochs of these numbers; those of the text's letters have other ids. */
static struct repl_epoch_history history_of(const uint64_t *numbers,
                                            const char *letters)
{
    struct repl_epoch_history history = {0};

    for (size_t i = 0; letters[i] != '\0'; i++) {
        struct repl_epoch epoch = {
            .number = numbers[i],
            .id = (uint64_t)letters[i],
            .previous_last = i * 100,
            .base = i * 100,
            .first_journal = 2 + i,
        };

        assert_ldb_ok(repl_epoch_history_append(&history, &epoch, &err), &err);
    }
    return history;
}

static enum ldb_status accept_numbers(const uint64_t *numbers,
                                      const char *letters)
{
    struct repl_epoch_history history = history_of(numbers, letters);
    enum ldb_status s = repl_epoch_gate_accept(gate, CLUSTER, &history, &err);

    repl_epoch_history_release(&history);
    return s;
}

/* "ab": epochs 1 and 2, with the ids 'a' and 'b'. */
static enum ldb_status accept_letters(const char *letters)
{
    static const uint64_t numbers[] = {1, 2, 3, 4, 5, 6};

    return accept_numbers(numbers, letters);
}

static bool gets_in(enum repl_lane lane, uint64_t number, char letter)
{
    bool is_in = repl_epoch_gate_enter(gate, lane, number, (uint64_t)letter);

    if (is_in)
        repl_epoch_gate_leave(gate, lane);
    return is_in;
}

static void assert_accepted(uint64_t number, char letter)
{
    uint64_t last = 0;
    uint64_t id = 0;

    repl_epoch_gate_last(gate, &last, &id);
    assert_int_equal(number, last);
    assert_int_equal(letter, id);
    assert_true(number == 0 || gets_in(REPL_LANE_JOURNALS, number, letter));
    assert_true(number == 0 || gets_in(REPL_LANE_EDITS, number, letter));
}

/* ---- what is accepted ---- */

static void a_fresh_node_joins_a_cluster(void **state)
{
    (void)state;
    assert_accepted(0, '\0');
    assert_false(gets_in(REPL_LANE_JOURNALS, 1, 'a'));
    assert_ldb_ok(accept_letters("ab"), &err);
    assert_accepted(2, 'b');
    assert_int_equal(2, told);
    close_gate();
    open_gate();
    assert_accepted(2, 'b');
    assert_true(node.has_identity);
    assert_string_equal(CLUSTER, node.identity.cluster_id);
    assert_int_equal(REPL_ID_SIZE - 1, strlen(node.identity.node_id));
}

static void it_keeps_the_node_id_that_it_has_given_away(void **state)
{
    (void)state;
    (void)snprintf(node.identity.node_id, REPL_ID_SIZE, "%s", NODE);
    assert_ldb_ok(accept_letters("a"), &err);
    assert_string_equal(NODE, node.identity.node_id);
    close_gate();
    open_gate();
    assert_string_equal(NODE, node.identity.node_id);
}

static void without_a_cluster_it_joins_none(void **state)
{
    static const uint64_t numbers[] = {1};
    struct repl_epoch_history history = history_of(numbers, "a");

    (void)state;
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      repl_epoch_gate_accept(gate, NULL, &history, &err), &err);
    repl_epoch_history_release(&history);
    assert_accepted(0, '\0');
}

static void a_higher_epoch_shuts_the_lower_one_out(void **state)
{
    (void)state;
    assert_ldb_ok(accept_letters("a"), &err);
    assert_ldb_ok(accept_letters("abc"), &err);
    assert_accepted(3, 'c');
    assert_false(gets_in(REPL_LANE_JOURNALS, 1, 'a'));
    assert_false(gets_in(REPL_LANE_JOURNALS, 2, 'b'));
    assert_false(gets_in(REPL_LANE_EDITS, 2, 'b'));
    assert_false(gets_in(REPL_LANE_EDITS, 3, 'x'));
    assert_false(gets_in(REPL_LANE_EDITS, 4, 'd'));
}

static void the_same_again_is_no_news(void **state)
{
    (void)state;
    assert_ldb_ok(accept_letters("ab"), &err);
    told = 0;
    env_fault_forget_counts(fault);
    assert_ldb_ok(accept_letters("ab"), &err);
    assert_int_equal(0, told);
    assert_int_equal(0, env_fault_count(fault, ENV_FAULT_WRITES));
    assert_accepted(2, 'b');
}

/* ---- what is refused ---- */

static void refusals_have_their_reason_and_change_nothing(void **state)
{
    static const uint64_t numbers[] = {1, 2, 3, 4};
    static const uint64_t gap[] = {1, 2, 4};
    static const struct {
        const char *name;
        const uint64_t *numbers;
        const char *letters;
        enum ldb_status status;
        const char *text;
    } rows[] = {
        {"none", numbers, "", LDB_INVALID_ARGUMENT, "without an epoch"},
        {"lower", numbers, "ab", LDB_PRECONDITION, "epoch 2"},
        {"lower, of others", numbers, "xy", LDB_PRECONDITION, "epoch 2"},
        {"split brain", numbers, "abx", LDB_EXISTS, "split brain: epoch 3"},
        {"parted before", numbers, "axcd", LDB_INVALID_ARGUMENT, "epoch 2"},
        {"ours is not in it", gap, "abd", LDB_INVALID_ARGUMENT, "epoch 3"},
        {"the same last one, parted before", numbers, "axc",
         LDB_INVALID_ARGUMENT, "epoch 2"},
    };

    (void)state;
    assert_ldb_ok(accept_letters("abc"), &err);
    told = 0;
    env_fault_forget_counts(fault);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum ldb_status s = accept_numbers(rows[i].numbers, rows[i].letters);

        if (s != rows[i].status)
            fail_msg("%s: %s", rows[i].name, ldb_status_text(s));
        assert_ldb_message(rows[i].text, &err);
        assert_accepted(3, 'c');
    }
    assert_int_equal(0, told);
    assert_int_equal(0, env_fault_count(fault, ENV_FAULT_WRITES));
}

static void what_could_not_be_stored_is_not_accepted(void **state)
{
    bool has_failed = true;

    (void)state;
    assert_ldb_ok(accept_letters("a"), &err);
    for (uint64_t n = 1; has_failed; n++) {
        struct env_fault_rule rule = {
            .kinds = ENV_FAULT_WRITES, .nth = n, .sys_errno = EIO};
        enum ldb_status s;

        env_fault_fail(fault, &rule);
        s = accept_letters("ab");
        has_failed = env_fault_failed(fault) > 0;
        env_fault_fail(fault, NULL);
        assert_true(has_failed == (s != LDB_OK));
        assert_accepted(has_failed ? 1 : 2, has_failed ? 'a' : 'b');
    }
    assert_int_equal(2, told);
}

static void what_nobody_could_be_told_is_not_accepted(void **state)
{
    (void)state;
    assert_ldb_ok(accept_letters("a"), &err);
    answer = LDB_NO_MEMORY;
    assert_ldb_status(LDB_NO_MEMORY, accept_letters("ab"), &err);
    assert_accepted(1, 'a');
    answer = LDB_OK;
    assert_ldb_ok(accept_letters("ab"), &err);
    assert_accepted(2, 'b');
    assert_int_equal(2, told);
}

static void what_was_accepted_survives_a_power_cut(void **state)
{
    struct repl_epoch_history stored = {0};

    (void)state;
    assert_ldb_ok(accept_letters("ab"), &err);
    env_fault_power_cut(fault, LDB_CRASH_KEEP_NONE, 1);
    env = env_fault_env(fault);
    assert_ldb_ok(repl_epoch_history_load(env, DIR, &err, &stored), &err);
    assert_int_equal(2, repl_epoch_history_last(&stored)->number);
    repl_epoch_history_release(&stored);
}

static void a_node_loaded_anew_is_taken_over(void **state)
{
    static const uint64_t numbers[] = {1, 2, 3};
    struct repl_epoch_history history = history_of(numbers, "xyz");

    (void)state;
    assert_ldb_ok(accept_letters("ab"), &err);
    repl_epoch_history_release(&node.history);
    node.history = history;
    repl_epoch_gate_reload(gate);
    assert_accepted(3, 'z');
}

/* ---- one step ---- */

static atomic_bool is_done;

static void accept_b(void *context)
{
    (void)context;
    assert_ldb_ok(accept_letters("ab"), &err);
    atomic_store_explicit(&is_done, true, memory_order_release);
}

/* Who is inside with the lower epoch is out before the higher one counts. */
static void accepting_waits_until_the_lanes_are_empty(void **state)
{
    struct ldb_env *posix = ldb_env_posix();
    struct ldb_thread *thread = NULL;
    struct ldb_error e = {0};

    (void)state;
    assert_ldb_ok(accept_letters("a"), &err);
    for (unsigned i = 0; i < REPL_LANE_COUNT; i++) {
        enum repl_lane lane = (enum repl_lane)i;
        uint64_t begun = posix->ops->monotonic_us(posix);

        atomic_store_explicit(&is_done, false, memory_order_relaxed);
        assert_true(repl_epoch_gate_enter(gate, lane, 1, 'a'));
        assert_ldb_ok(posix->ops->thread_start(posix, "accept", accept_b, NULL,
                                               &e, &thread),
                      &e);
        /* It cannot have ended, however long one looks. */
        while (posix->ops->monotonic_us(posix) - begun < 20000)
            assert_false(atomic_load_explicit(&is_done, memory_order_acquire));
        repl_epoch_gate_leave(gate, lane);
        posix->ops->thread_join(posix, thread);
        assert_accepted(2, 'b');
        close_gate();
        assert_ldb_ok(repl_sidecar_remove(env, DIR, "epochs", &err), &err);
        assert_ldb_ok(repl_sidecar_remove(env, DIR, "identity", &err), &err);
        open_gate();
        assert_ldb_ok(accept_letters("a"), &err);
    }
}

#define gate_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        gate_test(a_fresh_node_joins_a_cluster),
        gate_test(it_keeps_the_node_id_that_it_has_given_away),
        gate_test(without_a_cluster_it_joins_none),
        gate_test(a_higher_epoch_shuts_the_lower_one_out),
        gate_test(the_same_again_is_no_news),
        gate_test(refusals_have_their_reason_and_change_nothing),
        gate_test(what_could_not_be_stored_is_not_accepted),
        gate_test(what_nobody_could_be_told_is_not_accepted),
        gate_test(what_was_accepted_survives_a_power_cut),
        gate_test(a_node_loaded_anew_is_taken_over),
        gate_test(accepting_waits_until_the_lanes_are_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
