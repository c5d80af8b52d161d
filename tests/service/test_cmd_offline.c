/* The offline subcommands as a user runs them: output and exit code. */
#include "service/cmd_offline.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/env.h"
#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/program.h"
#include "tests/support/small_db.h"

#define OUTPUT_MAX 65536

struct fixture {
    struct small_db db;
    char output[OUTPUT_MAX];
};

static int setup(void **state)
{
    static struct fixture f;

    small_db_create(&f.db);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    small_db_remove(&f->db);
    return 0;
}

/* Runs "leveld ARGUMENTS", both outputs into f->output; the exit code. */
#define run(f, ...) program_run((f)->output, sizeof((f)->output), __VA_ARGS__)

/* Flips a bit of the first block of the one table. */
static void damage_table(const struct fixture *f)
{
    char path[TEMP_DIR_PATH_SIZE + 16];
    FILE *file;
    int c;

    snprintf(path, sizeof(path), "%s/000003.ldb", f->db.path);
    file = fopen(path, "r+");
    assert_non_null(file);
    c = fgetc(file);
    assert_int_equal(fseek(file, 0, SEEK_SET), 0);
    assert_int_equal(fputc(c ^ 1, file), c ^ 1);
    assert_int_equal(fclose(file), 0);
}

static void check_says_clean_and_exits_0(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, "check %s", f->db.path), SVC_EXIT_CLEAN);
    program_expect(f->output, "# clean: damages 0 notes 0 tables 1 ");
}

static void check_names_damage_and_exits_1(void **state)
{
    struct fixture *f = *state;

    damage_table(f);
    assert_int_equal(run(f, "check %s", f->db.path), SVC_EXIT_DAMAGE);
    program_expect(f->output, "damage: 000003.ldb at 0: ");
    program_expect(f->output, "keys \"a\"@1:put to ");
    program_expect(f->output, "leveld repair");
    program_expect(f->output, "# damaged: damages 1 ");
}

static void a_folder_that_is_none_exits_2(void **state)
{
    static const char *const commands[] = {"check", "dump", "stats", "compact",
                                           "repair"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        assert_int_equal(run(f, "%s %s/none", commands[i], f->db.dir.path),
                         SVC_EXIT_USAGE);
        assert_int_equal(run(f, "%s", commands[i]), SVC_EXIT_USAGE);
        program_expect(f->output, "Usage: leveld ");
        assert_int_equal(run(f, "%s --wrong %s", commands[i], f->db.path),
                         SVC_EXIT_USAGE);
        program_expect(f->output, "--wrong");
        assert_int_equal(run(f, "%s --help", commands[i]), SVC_EXIT_CLEAN);
    }
}

static void stats_shows_levels_and_sequence(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, "stats %s", f->db.path), SVC_EXIT_CLEAN);
    program_expect(f->output, "\n    0          1 ");
    program_expect(f->output, "sequence 4\n");
    assert_int_equal(run(f, "stats --json %s", f->db.path), SVC_EXIT_CLEAN);
    program_expect(f->output,
                   "{\"levels\":[{\"level\":0,\"tables\":1,\"bytes\":");
    program_expect(f->output, "],\"sequence\":4,\"manifest\":{\"number\":0,");
}

static void compact_leaves_what_is_live(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, "compact %s", f->db.path), SVC_EXIT_CLEAN);
    program_expect(f->output, "# table bytes ");
    assert_int_equal(run(f, "check %s", f->db.path), SVC_EXIT_CLEAN);
    program_expect(f->output, " tables 1 blocks 1 entries 2 ");
    assert_int_equal(run(f, "dump %s", f->db.path), SVC_EXIT_CLEAN);
    program_expect(f->output, "62\t32\n");
}

static void make_folder(const struct fixture *f, const char *name)
{
    struct ldb_env *env = ldb_env_posix();
    struct ldb_error err = {0};
    char path[TEMP_DIR_PATH_SIZE + 32];

    (void)snprintf(path, sizeof(path), "%s/%s", f->db.path, name);
    assert_ldb_ok(env->ops->create_dir(env, path, &err), &err);
}

static ldb_sequence oldest_sequence(const struct fixture *f)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_stats stats;
    struct ldb_db *db = NULL;

    ldb_options_init(&options);
    options.archive_bytes = 1 << 20;
    options.archive_age_us = UINT64_C(3600000000);
    assert_ldb_ok(ldb_open(f->db.path, &options, NULL, &err, &db), &err);
    ldb_stats(db, &stats);
    assert_ldb_ok(ldb_close(db, &err), &err);
    return stats.oldest_sequence;
}

/* What readers of changes need stays where there is an archive. */
static void compact_keeps_journals_where_they_are_kept(void **state)
{
    struct fixture *f = *state;

    make_folder(f, "leveld");
    make_folder(f, "leveld/archive");
    assert_int_equal(run(f, "compact %s", f->db.path), SVC_EXIT_CLEAN);
    assert_int_equal(oldest_sequence(f), 2);
}

static void compact_keeps_none_elsewhere(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, "compact %s", f->db.path), SVC_EXIT_CLEAN);
    assert_int_equal(oldest_sequence(f), 4);
}

static void repair_tells_what_it_does_and_leaves_a_clean_folder(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, "repair %s", f->db.path), SVC_EXIT_CLEAN);
    program_expect(f->output, "# nothing to repair: damages 0 ");
    damage_table(f);
    assert_int_equal(run(f, "repair --dry-run %s", f->db.path),
                     SVC_EXIT_DAMAGE);
    program_expect(f->output, "damage: 000003.ldb at 0: ");
    program_expect(f->output, "keys \"a\"@1:put to ");
    program_expect(f->output, "kept in lost/");
    program_expect(f->output, "# to repair: damages ");
    assert_int_equal(run(f, "check %s", f->db.path), SVC_EXIT_DAMAGE);
    assert_int_equal(run(f, "repair %s", f->db.path), SVC_EXIT_CLEAN);
    program_expect(f->output, "# repaired: damages ");
    assert_int_equal(run(f, "check %s", f->db.path), SVC_EXIT_CLEAN);
}

static void a_folder_in_use_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    ldb_options_init(&options);
    assert_ldb_ok(ldb_open(f->db.path, &options, NULL, &err, &db), &err);
    assert_int_equal(run(f, "check %s", f->db.path), SVC_EXIT_USAGE);
    assert_int_equal(run(f, "compact %s", f->db.path), SVC_EXIT_USAGE);
    assert_int_equal(run(f, "dump %s", f->db.path), SVC_EXIT_USAGE);
    assert_int_equal(run(f, "repair %s", f->db.path), SVC_EXIT_USAGE);
    assert_int_equal(run(f, "repair --dry-run %s", f->db.path), SVC_EXIT_USAGE);
    assert_ldb_ok(ldb_close(db, &err), &err);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(check_says_clean_and_exits_0),
        CASE(check_names_damage_and_exits_1),
        CASE(a_folder_that_is_none_exits_2),
        CASE(stats_shows_levels_and_sequence),
        CASE(compact_leaves_what_is_live),
        CASE(compact_keeps_journals_where_they_are_kept),
        CASE(compact_keeps_none_elsewhere),
        CASE(repair_tells_what_it_does_and_leaves_a_clean_folder),
        CASE(a_folder_in_use_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
