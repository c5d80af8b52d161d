/* What is found in the tables of a folder that went its own way. */
#include <stdio.h>

#include "replication/diverged.h"
#include "replication/diverged_entries.h"
#include "replication/sidecar.h"
#include "storage/folder_files.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/rebuild_scene.h"

#define TABLES_MAX 200

static struct rebuild_scene *scene;
static uint64_t tables[TABLES_MAX];
static struct repl_diverged_search search;
static struct ldb_error err;

static void list_tables(void)
{
    struct ldb_folder_files files = {0};

    search.table_count = 0;
    assert_ldb_ok(ldb_folder_files_list(scene->env, REBUILD_DIR, &err, &files),
                  &err);
    for (size_t i = 0; i < files.count; i++) {
        if (files.files[i].type != LDB_FILE_TABLE)
            continue;
        assert_true(search.table_count < TABLES_MAX);
        tables[search.table_count++] = files.files[i].number;
    }
    ldb_folder_files_release(&files);
}

static int setup(void **state)
{
    (void)state;
    err = (struct ldb_error){0};
    scene = rebuild_scene_create(5, NULL);
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    rebuild_scene_lead(scene, 150, true);
    search = (struct repl_diverged_search){
        .env = scene->env,
        .dir = REBUILD_DIR,
        .comparator = ldb_comparator_bytewise(),
        .tables = tables,
        .fork = scene->fork,
    };
    list_tables();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rebuild_scene_destroy(scene);
    return 0;
}

static uint64_t write_all(void)
{
    const struct repl_rewind rewind = {.fork = scene->fork};
    struct repl_diverged_found found = {0};
    uint64_t id = 0;

    assert_ldb_ok(
        repl_diverged_begin(scene->env, REBUILD_DIR, &rewind, &err, &id), &err);
    assert_ldb_ok(repl_diverged_write_entries(&search, id, &err, &found), &err);
    return found.entries;
}

/* A strict reader takes it; sequences ascend, as goleveldb asks. */
static void expect_ascending(uint64_t count)
{
    const struct ldb_journal_reader_options options = {.strict = true};
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record;
    ldb_sequence last = scene->fork;

    assert_ldb_ok(scene->env->ops->open_sequential(
                      scene->env,
                      REBUILD_DIR "/" REPL_DIVERGED_FOLDER "/1-entries.log",
                      &err, &file),
                  &err);
    assert_ldb_ok(
        ldb_journal_reader_create(file, "entries", &options, &err, &reader),
        &err);
    for (; ldb_journal_reader_next(reader, &err, &record) == LDB_OK; count--) {
        ldb_sequence first = 0;
        uint32_t ops = 0;

        assert_ldb_ok(ldb_batch_check(record, &err, &first, &ops), &err);
        assert_int_equal(1, ops);
        assert_true(first > last);
        last = first;
    }
    assert_int_equal(0, count);
    ldb_journal_reader_destroy(reader);
    ldb_sequential_close(file);
}

static void all_above_the_fork_is_written_in_order(void **state)
{
    struct repl_diverged_found found = {0};

    (void)state;
    assert_ldb_ok(repl_diverged_count_entries(&search, &err, &found), &err);
    assert_int_equal(scene->own_count, found.entries);
    assert_int_equal(0, found.damages);
    assert_int_equal(scene->own_count, write_all());
    expect_ascending(scene->own_count);
    rebuild_scene_assert_aside(scene, scene->env);
}

static void little_memory_takes_more_passes(void **state)
{
    (void)state;
    search.memory_max = 2000;
    assert_int_equal(scene->own_count, write_all());
    expect_ascending(scene->own_count);
    rebuild_scene_assert_aside(scene, scene->env);
}

static void none_at_all_fits_and_it_still_ends(void **state)
{
    (void)state;
    search.memory_max = 1;
    assert_int_equal(scene->own_count, write_all());
    expect_ascending(scene->own_count);
}

static void what_journals_have_is_left_out(void **state)
{
    struct repl_held_journal journals[] = {
        {.number = 1, .first = 0, .last = 0},
        {.number = 2, .first = scene->fork + 11, .last = scene->fork + 20},
        {.number = 3, .first = scene->fork + 31, .last = scene->fork + 40},
        {.number = 4,
         .first = scene->fork + 51,
         .last = scene->fork + 60,
         .is_damaged = true},
    };

    (void)state;
    search.journals = journals;
    search.journal_count = 4;
    assert_int_equal(scene->own_count - 20, write_all());
    expect_ascending(scene->own_count - 20);
}

static void without_any_there_is_no_file(void **state)
{
    uint64_t size;

    (void)state;
    search.fork = LDB_SEQUENCE_MAX;
    assert_int_equal(0, write_all());
    assert_int_equal(LDB_NOT_FOUND,
                     scene->env->ops->file_size(
                         scene->env,
                         REBUILD_DIR "/" REPL_DIVERGED_FOLDER "/1-entries.log",
                         NULL, &size));
}

static void other_ones_never_take_its_place(void **state)
{
    struct repl_diverged_found found = {0};

    (void)state;
    assert_int_equal(scene->own_count, write_all());
    assert_ldb_ok(repl_diverged_write_entries(&search, 1, &err, &found), &err);
    search.fork += 10;
    assert_ldb_status(LDB_EXISTS,
                      repl_diverged_write_entries(&search, 1, &err, &found),
                      &err);
    expect_ascending(scene->own_count);
    rebuild_scene_assert_aside(scene, scene->env);
}

static void damage_is_counted(void **state)
{
    struct repl_diverged_found found = {0};
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    char path[64];

    (void)state;
    snprintf(path, sizeof(path), REBUILD_DIR "/%06llu.ldb",
             (unsigned long long)tables[0]);
    assert_ldb_ok(ldb_env_read_file(scene->env, path, &err, &bytes), &err);
    bytes.data[10] ^= 1;
    assert_ldb_ok(ldb_env_replace_file(scene->env, REBUILD_DIR, path,
                                       REBUILD_DIR "/t",
                                       ldb_slice_of_buf(&bytes), &err),
                  &err);
    ldb_buf_release(&bytes);
    assert_ldb_ok(repl_diverged_count_entries(&search, &err, &found), &err);
    assert_int_equal(1, found.damages);
    tables[0] = 99999;
    assert_ldb_status(LDB_NOT_FOUND,
                      repl_diverged_count_entries(&search, &err, &found), &err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_above_the_fork_is_written_in_order),
        TEST(little_memory_takes_more_passes),
        TEST(none_at_all_fits_and_it_still_ends),
        TEST(what_journals_have_is_left_out),
        TEST(without_any_there_is_no_file),
        TEST(other_ones_never_take_its_place),
        TEST(damage_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
