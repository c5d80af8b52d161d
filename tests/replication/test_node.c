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
#include <string.h>

#include "replication/node.h"
#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "tests/support/env_fault.h"

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

/* A folder that was followed with is never what its leader's stop left, even
 * when nothing came. */
static void to_follow_takes_the_mark_away(void **state)
{
    struct repl_epoch first = first_life();
    struct repl_node node = {0};
    struct repl_epoch epoch;
    struct ldb_error err = {0};

    (void)state;
    load(&node);
    assert_true(node.has_mark);
    assert_int_equal(LDB_OK, repl_node_begin_following(&node, &err));
    assert_false(node.has_mark);
    repl_node_release(&node);
    load(&node);
    assert_false(node.has_mark);
    epoch = begin(&node, &as_put, true);
    assert_int_equal(first.number + 1, epoch.number);
    repl_node_release(&node);
}

static void a_new_follower_has_a_node_id_that_is_not_stored(void **state)
{
    struct repl_node node = {0};
    char id[REPL_ID_SIZE];
    struct ldb_error err = {0};

    (void)state;
    load(&node);
    assert_int_equal(LDB_OK, repl_node_begin_following(&node, &err));
    assert_int_equal(REPL_ID_SIZE - 1, strlen(node.identity.node_id));
    assert_false(node.has_identity);
    memcpy(id, node.identity.node_id, sizeof id);
    assert_int_equal(LDB_OK, repl_node_begin_following(&node, &err));
    assert_string_equal(id, node.identity.node_id);
    repl_node_release(&node);
    load(&node);
    assert_false(node.has_identity);
    assert_string_equal("", node.identity.node_id);
    repl_node_release(&node);
}

static void a_copied_folder_gets_an_id_of_its_own(void **state)
{
    struct repl_node node = {0};
    struct repl_identity before;
    struct repl_identity renamed;
    struct ldb_error err = {0};

    (void)state;
    first_life();
    load(&node);
    before = node.identity;
    assert_int_equal(LDB_OK, repl_node_rename(&node, &err));
    renamed = node.identity;
    assert_string_equal(before.cluster_id, renamed.cluster_id);
    assert_int_equal(REPL_ID_SIZE - 1, strlen(renamed.node_id));
    assert_true(strcmp(before.node_id, renamed.node_id) != 0);
    repl_node_release(&node);
    load(&node);
    assert_string_equal(renamed.node_id, node.identity.node_id);
    assert_string_equal(renamed.cluster_id, node.identity.cluster_id);
    repl_node_release(&node);
}

static void a_promotion_begins_an_epoch_above_its_floor(void **state)
{
    const struct repl_epoch_floor low = {.number = 2, .base = 60};
    const struct repl_epoch_floor high = {.number = 9,
                                          .base = 50 + 7 * REPL_EPOCH_SKIP};
    struct repl_node node = {0};
    struct repl_epoch epoch;
    struct ldb_error err = {0};

    (void)state;
    first_life();
    load(&node); /* as its clean stop left it, and all the same */
    assert_int_equal(LDB_OK, repl_node_begin_promoted(&node, &as_put, &low, 9,
                                                      &err, &epoch));
    assert_int_equal(2, epoch.number);
    assert_int_equal(50, epoch.previous_last);
    assert_int_equal(50 + REPL_EPOCH_SKIP, epoch.base);
    assert_int_equal(9, epoch.first_journal);
    assert_int_equal(LDB_OK, repl_node_begin_promoted(&node, &as_put, &high, 12,
                                                      &err, &epoch));
    assert_int_equal(9, epoch.number);
    assert_true(epoch.base == high.base);
    repl_node_release(&node);
    load(&node);
    assert_false(node.has_mark);
    assert_int_equal(9, repl_epoch_history_last(&node.history)->number);
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

/* ---- power cuts ---- */

struct cut_check {
    struct env_fault *fault;
    ldb_sequence handed_out; /* no write of a later start may have these */
    uint64_t number;         /* of the epoch that handed them out */
    char cluster_id[REPL_ID_SIZE]; /* "": none was shown yet */
    unsigned cuts;
};

/*
 * What a start after a cut here finds: the folder, described as recovery would
 * (nothing was changed), begins above all that was handed out, in an epoch of
 * its own, and is the same cluster once it has shown itself.
 */
static void check_cut(void *context, enum env_fault_kind kind, const char *path)
{
    struct cut_check *check = context;
    struct env_fault *copy =
        env_fault_after_cut(check->fault, LDB_CRASH_KEEP_NONE, 0);
    struct ldb_env *copy_env = env_fault_env(copy);
    struct ldb_recovery found = as_put;
    struct repl_node node = {0};
    struct repl_epoch epoch = {0};
    struct ldb_error err = {0};
    bool is_new = false;

    (void)kind;
    (void)path;
    check->cuts++;
    if (copy_env->ops->create_dir(copy_env, "db", &err) != LDB_OK ||
        repl_node_load(&node, copy_env, "db", &err) != LDB_OK ||
        repl_node_begin(&node, &found, 9, &err, &epoch, &is_new) != LDB_OK)
        fail_msg("cut %u before %s: %s", check->cuts, path, err.message);
    if (is_new &&
        (epoch.number <= check->number || epoch.base <= check->handed_out))
        fail_msg("cut %u before %s: epoch %llu at %llu", check->cuts, path,
                 (unsigned long long)epoch.number,
                 (unsigned long long)epoch.base);
    /* Going on is for a folder at rest: nothing is being handed out. */
    if (!is_new && check->handed_out != found.last_sequence)
        fail_msg("cut %u before %s went on", check->cuts, path);
    if (check->cluster_id[0] != '\0' &&
        strcmp(check->cluster_id, node.identity.cluster_id) != 0)
        fail_msg("cut %u before %s: another cluster", check->cuts, path);
    repl_node_release(&node);
    env_fault_destroy(copy);
}

/* A life that begins with what is there and hands out writes up to 50, or 5
 * more than its base. */
static void one_life(struct cut_check *check, const struct ldb_recovery *found)
{
    struct repl_node node = {0};
    struct repl_epoch epoch = {0};
    struct ldb_error err = {0};
    bool is_new = false;

    load(&node);
    assert_int_equal(LDB_OK,
                     repl_node_begin(&node, found, 3, &err, &epoch, &is_new));
    memcpy(check->cluster_id, node.identity.cluster_id, REPL_ID_SIZE);
    check->number = epoch.number;
    check->handed_out = epoch.base + 5;
    put_database();
    assert_int_equal(LDB_OK, repl_node_end(&node, 50, &err));
    repl_node_release(&node);
}

static void no_power_cut_lets_a_number_be_used_twice(void **state)
{
    struct env_fault *fault = env_fault_create(NULL);
    struct cut_check check = {.fault = fault};
    struct ldb_error err = {0};

    (void)state;
    env = env_fault_env(fault);
    assert_int_equal(LDB_OK, env->ops->create_dir(env, "db", &err));
    assert_int_equal(LDB_OK, env->ops->sync_dir(env, ".", &err));
    env_fault_set_call_hook(fault, check_cut, &check);
    one_life(&check, &nothing_there);
    check.handed_out = as_put.last_sequence; /* at rest */
    one_life(&check, &as_put);
    env_fault_set_call_hook(fault, NULL, NULL);
    assert_true(check.cuts > 30);
    env_fault_destroy(fault);
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
        cmocka_unit_test_setup_teardown(to_follow_takes_the_mark_away, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_new_follower_has_a_node_id_that_is_not_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copied_folder_gets_an_id_of_its_own,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_promotion_begins_an_epoch_above_its_floor, setup, teardown),
        cmocka_unit_test(no_power_cut_lets_a_number_be_used_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
