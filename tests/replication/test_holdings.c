#include <stdio.h>

#include "replication/holdings.h"
#include "replication/sidecar.h"
#include "storage/version/version.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/rebuild_scene.h"

static struct rebuild_scene *scene;
static struct repl_holdings ours;
static struct ldb_error err;

static int setup(void **state)
{
    (void)state;
    err = (struct ldb_error){0};
    ours = (struct repl_holdings){0};
    scene = rebuild_scene_create(5, NULL);
    assert_ldb_ok(ldb_env_create_folder(scene->env, REBUILD_DIR, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_holdings_release(&ours);
    rebuild_scene_destroy(scene);
    return 0;
}

static enum ldb_status read_again(bool with_archive)
{
    repl_holdings_release(&ours);
    return repl_holdings_read(scene->env, REBUILD_DIR,
                              ldb_comparator_bytewise(), with_archive, &err,
                              &ours);
}

static void put(const char *path, const char *text)
{
    assert_ldb_ok(ldb_env_replace_file(scene->env, REBUILD_DIR, path,
                                       REBUILD_DIR "/t", ldb_slice_str(text),
                                       &err),
                  &err);
}

static void an_empty_folder_holds_nothing(void **state)
{
    (void)state;
    assert_ldb_ok(read_again(true), &err);
    assert_false(ours.has_database);
    assert_false(ours.is_damaged);
    assert_false(ours.has_identity);
    assert_null(ours.version);
    assert_null(repl_holdings_newest(&ours));
    assert_int_equal(0, repl_holdings_last_entry(&ours));
}

static void a_closed_folder_tells_what_its_twin_told(void **state)
{
    struct repl_holdings open = {0};
    struct ldb_twin_state at;

    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_follow(scene);
    rebuild_scene_write(scene, 1);
    twin_ship_open(&scene->ship);
    ldb_twin_state(scene->ship.db, &at);
    assert_ldb_ok(repl_holdings_of_twin(scene->ship.db, &scene->identity,
                                        &scene->history, &err, &open),
                  &err);
    assert_ldb_ok(read_again(true), &err);
    assert_true(ours.has_database && ours.has_identity && open.has_identity);
    assert_int_equal(1, ours.history.count);
    assert_int_equal(1, open.history.count);
    assert_int_equal(at.manifest_number, ours.manifest_number);
    assert_int_equal(at.manifest_len, ours.manifest_len);
    assert_int_equal(at.log_number, ours.log_number);
    assert_int_equal(at.applied.sequence, ours.last_sequence);
    assert_int_equal(ours.manifest_number, open.manifest_number);
    assert_int_equal(ours.manifest_len, open.manifest_len);
    assert_int_equal(ours.log_number, open.log_number);
    assert_int_equal(ours.last_sequence, open.last_sequence);
    assert_int_equal(ours.journal_count, open.journal_count);
    for (size_t i = 0; i < ours.journal_count; i++) {
        assert_int_equal(ours.journals[i].number, open.journals[i].number);
        assert_int_equal(ours.journals[i].len, open.journals[i].len);
        assert_int_equal(ours.journals[i].last, open.journals[i].last);
        assert_true(open.journals[i].first <= ours.journals[i].first);
    }
    assert_non_null(ours.version);
    repl_holdings_release(&open);
    twin_ship_close(&scene->ship);
}

static void archived_journals_are_there_when_asked_for(void **state)
{
    size_t without;

    (void)state;
    rebuild_scene_live(scene, 40);
    rebuild_scene_follow(scene);
    assert_ldb_ok(read_again(false), &err);
    without = ours.journal_count;
    assert_ldb_ok(scene->env->ops->create_dir(
                      scene->env, REBUILD_DIR "/leveld/archive", &err),
                  &err);
    put(REBUILD_DIR "/leveld/archive/000001.log", "torn");
    assert_ldb_ok(read_again(false), &err);
    assert_int_equal(without, ours.journal_count);
    assert_ldb_ok(read_again(true), &err);
    assert_int_equal(without + 1, ours.journal_count);
    assert_true(ours.journals[0].is_archived);
    assert_int_equal(1, ours.journals[0].number);
    assert_int_equal(0, ours.journals[0].len);
    assert_int_equal(4, ours.journals[0].file_len);
}

static void damage_is_told_and_no_error(void **state)
{
    char path[64];

    (void)state;
    rebuild_scene_live(scene, 40);
    rebuild_scene_follow(scene);
    assert_ldb_ok(read_again(false), &err);
    snprintf(path, sizeof(path), REBUILD_DIR "/MANIFEST-%06llu",
             (unsigned long long)ours.manifest_number);
    put(path, "no MANIFEST");
    assert_ldb_ok(read_again(false), &err);
    assert_true(ours.has_database && ours.is_damaged);
    assert_int_equal(0, ours.manifest_number);
    assert_null(ours.version);
    assert_ldb_ok(
        scene->env->ops->remove_file(scene->env, REBUILD_DIR "/CURRENT", &err),
        &err);
    assert_ldb_ok(read_again(false), &err);
    assert_true(ours.is_damaged);
}

static void damage_of_leveld_is_an_error(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 10);
    rebuild_scene_follow(scene);
    put(REBUILD_DIR "/leveld/epochs", "no epochs");
    assert_ldb_status(LDB_CORRUPTION, read_again(false), &err);
}

static void two_are_the_same_but_for_their_archives(void **state)
{
    struct repl_held_journal a[] = {{.number = 3, .is_archived = true},
                                    {.number = 5, .len = 10, .file_len = 12}};
    struct repl_held_journal b[] = {{.number = 5, .len = 10, .file_len = 12},
                                    {.number = 7}};
    struct repl_holdings left = {.has_database = true,
                                 .manifest_number = 4,
                                 .manifest_len = 100,
                                 .journals = a,
                                 .journal_count = 2};
    struct repl_holdings right = left;

    (void)state;
    right.journals = b;
    assert_false(repl_holdings_are_same(&left, &right));
    right.journal_count = 1;
    assert_true(repl_holdings_are_same(&left, &right));
    b[0].file_len = 13;
    assert_false(repl_holdings_are_same(&left, &right));
    b[0].file_len = 12;
    b[0].number = 6;
    assert_false(repl_holdings_are_same(&left, &right));
    b[0].number = 5;
    right.manifest_len++;
    assert_false(repl_holdings_are_same(&left, &right));
    right.manifest_len--;
    right.is_damaged = true;
    assert_false(repl_holdings_are_same(&left, &right));
}

static void the_base_of_an_epoch_is_no_entry(void **state)
{
    struct repl_epoch epochs[] = {
        {.number = 1},
        {.number = 2, .previous_last = 50, .base = 1050},
        {.number = 3, .previous_last = 1050, .base = 2050},
    };

    (void)state;
    ours.history = (struct repl_epoch_history){.items = epochs, .count = 3};
    ours.last_sequence = 2050;
    assert_int_equal(50, repl_holdings_last_entry(&ours));
    ours.last_sequence = 2051;
    assert_int_equal(2051, repl_holdings_last_entry(&ours));
    ours.last_sequence = 1050;
    assert_int_equal(50, repl_holdings_last_entry(&ours));
    ours = (struct repl_holdings){0};
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_folder_holds_nothing),
        TEST(a_closed_folder_tells_what_its_twin_told),
        TEST(archived_journals_are_there_when_asked_for),
        TEST(damage_is_told_and_no_error),
        TEST(damage_of_leveld_is_an_error),
        TEST(two_are_the_same_but_for_their_archives),
        TEST(the_base_of_an_epoch_is_no_entry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
