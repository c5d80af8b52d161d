/*
 * The life of a folder over restarts, with files made by hand in place of a
 * database: what goes on with its epoch, and what begins a new one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "replication/node.h"
#include "replication/sidecar.h"
#include "storage/base/mem.h"

static struct ldb_env *env;

static int setup(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, ldb_env_memory_create(&err, &env));
    assert_int_equal(LDB_OK, env->ops->create_dir(env, "db", &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

static void put_file(const char *path, const char *text)
{
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK, ldb_env_replace_file(env, "db", path, "db/t",
                                                  ldb_slice_str(text), &err));
}

/* A folder that recovery would describe as the one below. */
static void put_database(void)
{
    put_file("db/CURRENT", "MANIFEST-000005\n");
    put_file("db/MANIFEST-000005", "12345");
    put_file("db/000006.log", "123456");
}

static const struct ldb_recovery as_put = {
    .manifest_number = 5,
    .manifest_len = 5,
    .journal_number = 6,
    .journal_len = 6,
    .last_sequence = 50,
};

static const struct ldb_recovery nothing_there = {.created = true};

static void load(struct repl_node *node)
{
    struct ldb_error err = {0};
    enum ldb_status s = repl_node_load(node, env, "db", &err);

    if (s != LDB_OK)
        fail_msg("%s", err.message);
}

static struct repl_epoch begin(struct repl_node *node,
                               const struct ldb_recovery *found, bool want_new)
{
    struct repl_epoch epoch = {0};
    struct ldb_error err = {0};
    bool is_new = !want_new;

    assert_int_equal(LDB_OK,
                     repl_node_begin(node, found, 3, &err, &epoch, &is_new));
    assert_int_equal(want_new, is_new);
    return epoch;
}

/* A first life that ends cleanly with sequence 50. */
static struct repl_epoch first_life(void)
{
    struct repl_node node = {0};
    struct repl_epoch epoch;
    struct ldb_error err = {0};

    load(&node);
    epoch = begin(&node, &nothing_there, true);
    put_database();
    assert_int_equal(LDB_OK, repl_node_end(&node, 50, &err));
    repl_node_release(&node);
    return epoch;
}

static void a_new_folder_gets_an_identity_and_epoch_1(void **state)
{
    struct repl_node node = {0};
    struct repl_node again = {0};
    struct repl_epoch epoch;

    (void)state;
    load(&node);
    assert_false(node.has_identity);
    epoch = begin(&node, &nothing_there, true);
    assert_int_equal(1, epoch.number);
    assert_int_equal(0, epoch.base);
    assert_int_equal(3, epoch.first_journal);
    load(&again);
    assert_true(again.has_identity);
    assert_string_equal(node.identity.cluster_id, again.identity.cluster_id);
    assert_int_equal(1, again.history.count);
    repl_node_release(&node);
    repl_node_release(&again);
}

static void a_clean_stop_goes_on_with_its_epoch(void **state)
{
    struct repl_epoch first = first_life();
    struct repl_node node = {0};
    struct repl_epoch epoch;

    (void)state;
    load(&node);
    epoch = begin(&node, &as_put, false);
    assert_memory_equal(&first, &epoch, sizeof epoch);
    repl_node_release(&node);
    /* The mark is gone: the same folder after a crash is another matter. */
    load(&node);
    assert_false(node.has_mark);
    epoch = begin(&node, &as_put, true);
    assert_int_equal(2, epoch.number);
    assert_int_equal(50, epoch.previous_last);
    assert_int_equal(50 + REPL_EPOCH_SKIP, epoch.base);
    repl_node_release(&node);
}

static void an_epoch_without_a_write_goes_on_too(void **state)
{
    struct repl_node node = {0};
    struct repl_epoch epoch;
    struct repl_epoch again;
    struct ldb_error err = {0};

    (void)state;
    put_database();
    load(&node);
    epoch = begin(&node, &as_put, true);
    assert_int_equal(50 + REPL_EPOCH_SKIP, epoch.base);
    assert_int_equal(LDB_OK, repl_node_end(&node, 50, &err));
    repl_node_release(&node);
    load(&node);
    again = begin(&node, &as_put, false);
    assert_memory_equal(&epoch, &again, sizeof epoch);
    repl_node_release(&node);
}

static void a_folder_touched_since_begins_a_new_epoch(void **state)
{
    struct {
        const char *name;
        struct ldb_recovery found;
    } rows[] = {
        {"manifest number", as_put}, {"manifest length", as_put},
        {"journal number", as_put},  {"journal length", as_put},
        {"last sequence", as_put},   {"dropped bytes", as_put},
        {"torn tail", as_put},       {"made anew", as_put},
    };

    (void)state;
    rows[0].found.manifest_number++;
    rows[1].found.manifest_len++;
    rows[2].found.journal_number--;
    rows[3].found.journal_len--;
    rows[4].found.last_sequence++;
    rows[5].found.bytes_dropped = 1;
    rows[6].found.tail_bytes = 1;
    rows[7].found.created = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct repl_node node = {0};
        struct repl_epoch epoch;
        struct ldb_error err = {0};
        bool is_new = false;

        setup(NULL);
        first_life();
        load(&node);
        assert_int_equal(LDB_OK, repl_node_begin(&node, &rows[i].found, 3, &err,
                                                 &epoch, &is_new));
        if (!is_new || epoch.number != 2 ||
            epoch.base < rows[i].found.last_sequence + REPL_EPOCH_SKIP)
            fail_msg("%s", rows[i].name);
        repl_node_release(&node);
        teardown(NULL);
    }
    setup(NULL);
}

static void a_mark_of_another_epoch_proves_nothing(void **state)
{
    struct repl_node node = {0};
    struct repl_clean_stop mark;
    struct ldb_error err = {0};

    (void)state;
    first_life();
    assert_int_equal(LDB_OK, repl_clean_stop_load(env, "db", &err, &mark));
    mark.epoch_id++;
    assert_int_equal(LDB_OK, repl_clean_stop_store(env, "db", &mark, &err));
    load(&node);
    begin(&node, &as_put, true);
    repl_node_release(&node);
}

static void a_damaged_mark_proves_nothing(void **state)
{
    struct repl_node node = {0};

    (void)state;
    first_life();
    put_file("db/leveld/clean-stop", "leveld-clean-stop 1\n");
    load(&node);
    begin(&node, &as_put, true);
    repl_node_release(&node);
}

static void a_newer_format_is_refused_with_nothing_written(void **state)
{
    static const char *const names[] = {"identity", "epochs", "clean-stop"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct repl_node node = {0};
        struct ldb_error err = {0};
        char path[64];
        char text[64];

        setup(NULL);
        first_life();
        snprintf(path, sizeof path, "db/leveld/%s", names[i]);
        snprintf(text, sizeof text, "leveld-%s 2\nnew things", names[i]);
        put_file(path, text);
        assert_int_equal(LDB_NOT_SUPPORTED,
                         repl_node_load(&node, env, "db", &err));
        assert_null(node.dir);
        teardown(NULL);
    }
    setup(NULL);
}

static void damage_of_identity_or_epochs_is_refused(void **state)
{
    struct repl_node node = {0};
    struct ldb_error err = {0};

    (void)state;
    first_life();
    assert_int_equal(LDB_OK, repl_sidecar_remove(env, "db", "epochs", &err));
    assert_int_equal(LDB_CORRUPTION, repl_node_load(&node, env, "db", &err));
    put_file("db/leveld/epochs", "leveld-epochs 1\n");
    assert_int_equal(LDB_CORRUPTION, repl_node_load(&node, env, "db", &err));
    assert_int_equal(LDB_OK, repl_sidecar_remove(env, "db", "epochs", &err));
    put_file("db/leveld/identity", "leveld-identity 1\n");
    assert_int_equal(LDB_CORRUPTION, repl_node_load(&node, env, "db", &err));
}

static void a_first_start_cut_short_gets_its_identity_later(void **state)
{
    struct repl_node node = {0};
    struct ldb_error err = {0};
    struct repl_epoch epoch;

    (void)state;
    first_life();
    assert_int_equal(LDB_OK, repl_sidecar_remove(env, "db", "identity", &err));
    load(&node);
    epoch = begin(&node, &as_put, true);
    assert_int_equal(2, epoch.number);
    assert_true(node.has_identity);
    repl_node_release(&node);
}

static void a_new_epoch_can_begin_in_a_running_process(void **state)
{
    struct repl_node node = {0};
    struct repl_node again = {0};
    struct repl_epoch epoch;
    struct ldb_error err = {0};

    (void)state;
    load(&node);
    begin(&node, &nothing_there, true);
    assert_int_equal(LDB_OK, repl_node_begin_epoch(&node, 77, 9, &err, &epoch));
    assert_int_equal(2, epoch.number);
    assert_int_equal(77 + REPL_EPOCH_SKIP, epoch.base);
    load(&again);
    assert_int_equal(2, again.history.count);
    repl_node_release(&node);
    repl_node_release(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_new_folder_gets_an_identity_and_epoch_1, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clean_stop_goes_on_with_its_epoch,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_epoch_without_a_write_goes_on_too,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_folder_touched_since_begins_a_new_epoch, NULL, teardown),
        cmocka_unit_test_setup_teardown(a_mark_of_another_epoch_proves_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_mark_proves_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_newer_format_is_refused_with_nothing_written, NULL, teardown),
        cmocka_unit_test_setup_teardown(damage_of_identity_or_epochs_is_refused,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_first_start_cut_short_gets_its_identity_later, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_new_epoch_can_begin_in_a_running_process, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
