#include "replication/epoch_history.h"
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

static struct repl_epoch add(struct repl_epoch_history *history,
                             ldb_sequence last, bool is_fresh)
{
    struct repl_epoch epoch;
    struct ldb_error err = {0};

    assert_int_equal(
        LDB_OK,
        repl_epoch_history_next(history, env, last, is_fresh, 7, &err, &epoch));
    assert_int_equal(LDB_OK, repl_epoch_history_append(history, &epoch, &err));
    return epoch;
}

static void a_fresh_folder_begins_with_epoch_1_at_0(void **state)
{
    struct repl_epoch_history history = {0};
    struct repl_epoch epoch;

    (void)state;
    assert_null(repl_epoch_history_last(&history));
    epoch = add(&history, 0, true);
    assert_int_equal(1, epoch.number);
    assert_int_equal(0, epoch.base);
    assert_int_equal(0, epoch.previous_last);
    assert_int_equal(7, epoch.first_journal);
    repl_epoch_history_release(&history);
}

static void a_new_epoch_skips_above_all_that_was_handed_out(void **state)
{
    struct repl_epoch_history history = {0};
    struct repl_epoch first;
    struct repl_epoch epoch;

    (void)state;
    /* Found sequences of somebody else's: not fresh. */
    first = add(&history, 100, false);
    assert_int_equal(1, first.number);
    assert_int_equal(100 + REPL_EPOCH_SKIP, first.base);
    /* Nothing of the epoch survived: its base counts. */
    epoch = add(&history, 100, false);
    assert_int_equal(2, epoch.number);
    assert_int_equal(100, epoch.previous_last);
    assert_int_equal(100 + 2 * REPL_EPOCH_SKIP, epoch.base);
    assert_true(epoch.id != first.id);
    /* A sequence above the base counts itself. */
    epoch = add(&history, epoch.base + 5, false);
    assert_int_equal(100 + 3 * REPL_EPOCH_SKIP + 5, epoch.base);
    /* A folder emptied under our own files is not fresh. */
    epoch = add(&history, 0, true);
    assert_int_equal(100 + 4 * REPL_EPOCH_SKIP + 5, epoch.base);
    assert_int_equal(4, epoch.number);
    repl_epoch_history_release(&history);
}

static void sequences_that_run_out_are_refused(void **state)
{
    struct repl_epoch_history history = {0};
    struct repl_epoch epoch;
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK,
                     repl_epoch_history_next(&history, env,
                                             LDB_SEQUENCE_MAX - REPL_EPOCH_SKIP,
                                             false, 1, &err, &epoch));
    assert_int_equal(LDB_SEQUENCE_MAX, epoch.base);
    assert_int_equal(LDB_NOT_SUPPORTED,
                     repl_epoch_history_next(
                         &history, env, LDB_SEQUENCE_MAX - REPL_EPOCH_SKIP + 1,
                         false, 1, &err, &epoch));
}

static void a_copy_has_epochs_of_its_own(void **state)
{
    struct repl_epoch_history history = {0};
    struct repl_epoch_history copy = {0};
    struct repl_epoch epoch = {.number = 1, .id = 11};

    (void)state;
    assert_int_equal(LDB_OK, repl_epoch_history_copy(&history, NULL, &copy));
    assert_int_equal(copy.count, 0);
    for (; epoch.number <= 3; epoch.number++)
        assert_int_equal(LDB_OK,
                         repl_epoch_history_append(&history, &epoch, NULL));
    assert_int_equal(LDB_OK, repl_epoch_history_copy(&history, NULL, &copy));
    history.items[2].id = 12;
    assert_int_equal(copy.count, 3);
    assert_int_equal(copy.items[2].number, 3);
    assert_int_equal(copy.items[2].id, 11);
    repl_epoch_history_release(&copy);
    repl_epoch_history_release(&history);
}

static void a_stored_history_comes_back(void **state)
{
    struct repl_epoch_history history = {0};
    struct repl_epoch_history loaded = {0};
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_NOT_FOUND,
                     repl_epoch_history_load(env, "db", &err, &loaded));
    for (ldb_sequence i = 0; i < 100; i++)
        add(&history, i * 1000, i == 0);
    assert_int_equal(LDB_OK,
                     repl_epoch_history_store(env, "db", &history, &err));
    assert_int_equal(LDB_OK, repl_epoch_history_load(env, "db", &err, &loaded));
    assert_int_equal(100, loaded.count);
    assert_memory_equal(history.items, loaded.items,
                        100 * sizeof history.items[0]);
    repl_epoch_history_release(&history);
    repl_epoch_history_release(&loaded);
}

#define FIRST "epoch 1 00000000000000ff 0 0 3\n"

static void lines_that_are_no_history_are_corruption(void **state)
{
    static const struct {
        const char *lines;
        enum ldb_status status;
    } rows[] = {
        {FIRST, LDB_OK},
        {FIRST "epoch 2 0123456789abcdef 5 4294967301 9\n", LDB_OK},
        {"", LDB_CORRUPTION},
        {FIRST "epoch 1 0123456789abcdef 5 4294967301 9\n", LDB_CORRUPTION},
        {FIRST "epoch 2 0123456789abcdef 0 0 9\n", LDB_CORRUPTION},
        {FIRST "epoch 2 0123456789abcdef 6 5 9\n", LDB_CORRUPTION},
        {FIRST "epoch 2 0123456789abcdef 5 72057594037927936 9\n",
         LDB_CORRUPTION},
        {FIRST "epoch 2 123456789abcdef 5 4294967301 9\n", LDB_CORRUPTION},
        {FIRST "epoch 2 0123456789abcdef 5 4294967301\n", LDB_CORRUPTION},
        {FIRST "epoch 2 0123456789abcdef 5 4294967301 9 9\n", LDB_CORRUPTION},
        {FIRST "epoch -2 0123456789abcdef 5 4294967301 9\n", LDB_CORRUPTION},
        {"epoch 0 00000000000000ff 0 0 3\n", LDB_CORRUPTION},
        {FIRST "x\n", LDB_CORRUPTION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct repl_epoch_history loaded = {0};
        struct ldb_error err = {0};
        enum ldb_status s;

        assert_int_equal(
            LDB_OK, repl_sidecar_write(env, "db", "epochs", 1,
                                       ldb_slice_str(rows[i].lines), &err));
        s = repl_epoch_history_load(env, "db", &err, &loaded);
        if (s != rows[i].status)
            fail_msg("row %zu: %s %s", i, ldb_status_text(s), err.message);
        repl_epoch_history_release(&loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fresh_folder_begins_with_epoch_1_at_0,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_new_epoch_skips_above_all_that_was_handed_out, setup, teardown),
        cmocka_unit_test_setup_teardown(sequences_that_run_out_are_refused,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_has_epochs_of_its_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stored_history_comes_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            lines_that_are_no_history_are_corruption, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
