/*
 * The order in which a switch does things, read off the calls that it makes;
 * what a power cut leaves in between is tests/crash/test_rebuild_states.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/clean_stop.h"
#include "replication/sidecar.h"
#include "replication/twin_switch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/rebuild_scene.h"

#define LINES_MAX 2000

static struct env_fault *fault;
static struct rebuild_scene *scene;
static struct ldb_error err;
static char *text; /* the log, cut into lines */
static char *lines[LINES_MAX];
static size_t line_count;

static int setup(void **state)
{
    (void)state;
    err = (struct ldb_error){0};
    fault = env_fault_create(NULL);
    scene = rebuild_scene_create(5, env_fault_env(fault));
    text = NULL;
    line_count = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(text);
    rebuild_scene_destroy(scene);
    env_fault_destroy(fault);
    return 0;
}

/* Fetches, and records the switch. */
static void record_switch(void)
{
    struct repl_build_options options;
    struct repl_build *build = NULL;

    rebuild_scene_options(scene, scene->env, &options);
    options.is_accepted = true;
    assert_ldb_ok(repl_build_create(&options, &err, &build), &err);
    assert_ldb_ok(repl_build_fetch(build, &err), &err);
    env_fault_start_log(fault);
    assert_ldb_ok(repl_build_switch(build, &err), &err);
    text = env_fault_log(fault);
    repl_build_destroy(build);
    for (char *at = text; *at != '\0';) {
        char *end = strchr(at, '\n');

        assert_non_null(end);
        assert_true(line_count < LINES_MAX);
        *end = '\0';
        lines[line_count++] = at;
        at = end + 1;
    }
}

/* The first line from `from` on that has both texts; line_count: none. */
static size_t find(size_t from, const char *call, const char *what)
{
    size_t i = from;

    while (i < line_count && (strncmp(lines[i], call, strlen(call)) != 0 ||
                              strstr(lines[i], what) == NULL))
        i++;
    return i;
}

static size_t find_last(const char *call, const char *what)
{
    size_t found = line_count;

    for (size_t i = find(0, call, what); i < line_count;
         i = find(i + 1, call, what))
        found = i;
    return found;
}

/* The next sync of the folder itself. */
static size_t find_sync(size_t from)
{
    size_t i = from;

    while (i < line_count && strcmp(lines[i], "sync_dir " REBUILD_DIR) != 0)
        i++;
    return i;
}

static void expect_order(size_t a, size_t b)
{
    assert_true(a < line_count);
    assert_true(b < line_count);
    assert_true(a < b);
}

#define IN_FOLDER REBUILD_DIR "/0"

/* Four, of a history that a promotion has ended. */
static void have_journals_alone(void)
{
    rebuild_scene_live(scene, 40);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    rebuild_scene_tail(scene, 2);
    rebuild_scene_tail_journals(scene, 3, 2);
}

static void journals_go_newest_first_each_for_good(void **state)
{
    uint64_t before = UINT64_MAX;
    unsigned count = 0;

    (void)state;
    have_journals_alone();
    record_switch();
    for (size_t i = find(0, "link_file", ".log"); i < line_count;
         i = find(i + 1, "link_file", ".log")) {
        size_t kept = find(i, "sync_dir", "leveld/diverged");
        size_t out = find(i, "r", ".log"); /* removed, or replaced */
        uint64_t number = strtoull(
            strstr(lines[i], IN_FOLDER) + strlen(REBUILD_DIR) + 1, NULL, 10);

        assert_true(number < before);
        before = number;
        count++;
        expect_order(i, kept);
        expect_order(kept, out);
        assert_true(find_sync(out) < find(i + 1, "link_file", ".log"));
    }
    assert_int_equal(4, count);
    rebuild_scene_assert_adopted(scene, scene->env);
    rebuild_scene_assert_same(scene, scene->env);
}

static bool is_there(const char *path)
{
    uint64_t size;

    return scene->env->ops->file_size(scene->env, path, NULL, &size) == LDB_OK;
}

static enum ldb_status archive_too(void *context, const char *name)
{
    char from[128];
    char to[128];

    (void)context;
    if (strstr(name, ".log") == NULL)
        return LDB_OK;
    (void)snprintf(from, sizeof(from), REBUILD_DIR "/%.60s", name);
    (void)snprintf(to, sizeof(to), REBUILD_DIR "/leveld/archive/%.60s", name);
    return scene->env->ops->link_file(scene->env, from, to, &err);
}

/* As a leader leaves one that dies between the two names. */
static void a_journal_of_two_names_goes_under_both(void **state)
{
    unsigned count = 0;

    (void)state;
    have_journals_alone();
    LDB_IGNORE(scene->env->ops->create_dir(
        scene->env, REBUILD_DIR "/leveld/archive", NULL));
    assert_ldb_ok(scene->env->ops->list_dir(scene->env, REBUILD_DIR,
                                            archive_too, NULL, &err),
                  &err);
    record_switch();
    for (size_t i = find(0, "link_file", ".log"); i < line_count;
         i = find(i + 1, "link_file", ".log")) {
        char archived[128];

        (void)snprintf(archived, sizeof(archived),
                       REBUILD_DIR "/leveld/archive/%.10s",
                       strstr(lines[i], IN_FOLDER) + strlen(REBUILD_DIR) + 1);
        assert_false(is_there(archived));
        count++;
    }
    assert_int_equal(4, count);
    rebuild_scene_assert_adopted(scene, scene->env);
    rebuild_scene_assert_same(scene, scene->env);
}

static void files_come_into_force_when_all_they_need_is_durable(void **state)
{
    size_t intent;
    size_t first_table;
    size_t last_table;
    size_t epochs;
    size_t manifest;
    size_t current;
    size_t end;

    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    rebuild_scene_tail(scene, 3);
    rebuild_scene_write(scene, 30);
    rebuild_scene_settle(scene);
    record_switch();
    intent = find(0, "rename_file", "leveld/rebuild.new");
    first_table = find(0, "rename_file", ".ldb");
    last_table = find_last("rename_file", ".ldb");
    epochs = find(0, "rename_file", "leveld/epochs.new");
    manifest = find(0, "rename_file", "incoming/MANIFEST");
    current = find(0, "rename_file", "incoming/CURRENT");
    end = find(0, "remove_file", "leveld/rebuild");
    expect_order(intent, find(0, "link_file", ".log"));
    expect_order(find_last("link_file", ".log"), first_table);
    expect_order(last_table, find_sync(last_table));
    expect_order(find_sync(last_table), epochs);
    expect_order(epochs, manifest);
    expect_order(find_sync(manifest), current);
    expect_order(find_sync(current), find(current, "sync_dir", "incoming"));
    expect_order(find(current, "sync_dir", "incoming"), end);
    rebuild_scene_assert_aside(scene, scene->env);
    rebuild_scene_assert_same(scene, scene->env);
}

struct newest {
    uint64_t number;
};

static enum ldb_status see_table(void *context, const char *name)
{
    struct newest *newest = context;
    uint64_t number;

    if (ldb_file_name_parse(name, &number) == LDB_FILE_TABLE &&
        number > newest->number)
        newest->number = number;
    return LDB_OK;
}

/* With the journal there and the MANIFEST the one in force, no other step makes
 * them durable by the way. */
static void a_healed_table_is_durable_before_the_manifest(void **state)
{
    struct newest newest = {0};
    char path[64];
    size_t table;
    size_t manifest;

    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_settle(scene);
    rebuild_scene_write(scene, 1);
    rebuild_scene_follow(scene);
    assert_ldb_ok(scene->env->ops->list_dir(scene->env, REBUILD_DIR, see_table,
                                            &newest, &err),
                  &err);
    snprintf(path, sizeof(path), REBUILD_DIR "/%06llu.ldb",
             (unsigned long long)newest.number);
    assert_ldb_ok(ldb_env_replace_file(scene->env, REBUILD_DIR, path,
                                       REBUILD_DIR "/t",
                                       ldb_slice_str("no table"), &err),
                  &err);
    record_switch();
    table = find(0, "rename_file", ".ldb");
    manifest = find(0, "rename_file", "incoming/MANIFEST");
    assert_int_equal(line_count, find(0, "rename_file", ".log.empty"));
    assert_int_equal(line_count, find(0, "rename_file", "incoming/CURRENT"));
    expect_order(table, find_sync(table));
    expect_order(find_sync(table), manifest);
    assert_int_equal(manifest + 1, find_sync(manifest));
    rebuild_scene_assert_same(scene, scene->env);
}

static void put(const char *path, const char *bytes)
{
    assert_ldb_ok(ldb_env_replace_file(scene->env, REBUILD_DIR, path,
                                       REBUILD_DIR "/t", ldb_slice_str(bytes),
                                       &err),
                  &err);
}

static void what_was_of_the_old_folder_goes(void **state)
{
    struct repl_clean_stop mark = {0};

    (void)state;
    rebuild_scene_live(scene, 40);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    assert_ldb_ok(repl_clean_stop_store(scene->env, REBUILD_DIR, &mark, &err),
                  &err);
    assert_ldb_ok(repl_sidecar_write(scene->env, REBUILD_DIR, "digests", 1,
                                     ldb_slice_str("a line\n"), &err),
                  &err);
    put(REBUILD_DIR "/CURRENT.999999", "MANIFEST-999999\n");
    put(REBUILD_DIR "/MANIFEST-777777", "some other one");
    record_switch();
    assert_false(is_there(REBUILD_DIR "/leveld/clean-stop"));
    assert_false(is_there(REBUILD_DIR "/leveld/digests"));
    assert_false(is_there(REBUILD_DIR "/CURRENT.999999"));
    assert_false(is_there(REBUILD_DIR "/MANIFEST-777777"));
    rebuild_scene_assert_adopted(scene, scene->env);
    rebuild_scene_assert_same(scene, scene->env);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(journals_go_newest_first_each_for_good),
        TEST(a_journal_of_two_names_goes_under_both),
        TEST(files_come_into_force_when_all_they_need_is_durable),
        TEST(a_healed_table_is_durable_before_the_manifest),
        TEST(what_was_of_the_old_folder_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
