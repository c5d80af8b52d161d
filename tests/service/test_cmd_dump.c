/* leveld dump in this process: what it prints and the exit code. */
#include "service/cmd_dump.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "service/cmd_offline.h"
#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/small_db.h"

#define OUTPUT_MAX 65536
#define PATH_SIZE  (TEMP_DIR_PATH_SIZE + 32)

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

/* Makes descriptor fd write to path; what it was, for put_back(). */
static int redirect(int fd, const char *path)
{
    int kept = dup(fd);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(kept >= 0);
    assert_true(file >= 0);
    assert_int_equal(dup2(file, fd), fd);
    assert_int_equal(close(file), 0);
    return kept;
}

static void put_back(int fd, int kept)
{
    assert_int_equal(dup2(kept, fd), fd);
    assert_int_equal(close(kept), 0);
}

static void read_text(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t len;

    assert_non_null(file);
    len = fread(out, 1, size - 1, file);
    out[len] = '\0';
    assert_int_equal(fclose(file), 0);
}

/* Standard output and error into f->output, or the former to where; NULL
 * arguments are left out. */
static int dump(struct fixture *f, const char *where, const char *first,
                const char *second)
{
    char *arguments[2];
    char out[TEMP_DIR_PATH_SIZE];
    char errors[TEMP_DIR_PATH_SIZE];
    char words[2][PATH_SIZE];
    int argc = 0;
    size_t len = 0;
    int kept_out, kept_errors, code;

    (void)snprintf(words[0], PATH_SIZE, "%s", first);
    (void)snprintf(words[1], PATH_SIZE, "%s", second == NULL ? "" : second);
    arguments[argc++] = words[0];
    arguments[1] = words[1];
    argc += second != NULL;
    (void)temp_dir_join(&f->db.dir, "out", out);
    (void)temp_dir_join(&f->db.dir, "errors", errors);
    (void)fflush(stdout);
    kept_out = redirect(STDOUT_FILENO, where == NULL ? out : where);
    kept_errors = redirect(STDERR_FILENO, errors);
    code = svc_cmd_dump(argc, arguments);
    (void)fflush(stdout);
    put_back(STDOUT_FILENO, kept_out);
    put_back(STDERR_FILENO, kept_errors);
    clearerr(stdout);
    if (where == NULL) {
        read_text(out, f->output, OUTPUT_MAX);
        len = strlen(f->output);
    }
    read_text(errors, f->output + len, OUTPUT_MAX - len);
    return code;
}

static void expect_in(const struct fixture *f, const char *part)
{
    if (strstr(f->output, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, f->output);
}

/* printf '62\t32\nff007f\t\n' | sha256sum */
#define DIGEST                                                                 \
    "# sha256 "                                                                \
    "d8f1c48827490837853119f9ef0db030354f2b87ee1871f10affb057e7cf2a88"         \
    " entries 2\n"

static void a_folder_is_its_live_entries_and_their_digest(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(dump(f, NULL, f->db.path, NULL), SVC_EXIT_CLEAN);
    assert_string_equal(f->output, "62\t32\nff007f\t\n" DIGEST);
    assert_int_equal(dump(f, NULL, f->db.path, "--digest"), SVC_EXIT_CLEAN);
    assert_string_equal(f->output, DIGEST);
    assert_int_equal(dump(f, NULL, "--digest", f->db.path), SVC_EXIT_CLEAN);
    assert_string_equal(f->output, DIGEST);
}

static void path_in(const struct fixture *f, const char *name, char *out)
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", f->db.path, name);
}

static void flip_bit(const char *path, long offset)
{
    FILE *file = fopen(path, "r+");
    int c;

    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    c = fgetc(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fputc(c ^ 1, file), c ^ 1);
    assert_int_equal(fclose(file), 0);
}

/* In the first block of the one table. */
static void damage_table(const struct fixture *f)
{
    char path[PATH_SIZE];

    path_in(f, "000003.ldb", path);
    flip_bit(path, 0);
}

static void a_damaged_folder_has_no_digest(void **state)
{
    struct fixture *f = *state;

    damage_table(f);
    assert_int_equal(dump(f, NULL, f->db.path, NULL), SVC_EXIT_DAMAGE);
    expect_in(f, "leveld dump: ");
    expect_in(f, "000003.ldb");
    assert_null(strstr(f->output, "sha256"));
}

static void a_file_is_listed_by_its_name(void **state)
{
    static const struct {
        const char *name;
        const char *part;
    } rows[] = {
        {"000003.ldb", "\"a\"@1:put = \"1\" (1 bytes)\n"},
        {"000002.log", "\\xff\\x00\\x7f"},
        {"MANIFEST-000000", "add=0:3:"},
    };
    struct fixture *f = *state;
    char path[PATH_SIZE];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        path_in(f, rows[i].name, path);
        assert_int_equal(dump(f, NULL, path, NULL), SVC_EXIT_CLEAN);
        expect_in(f, rows[i].part);
    }
    damage_table(f);
    path_in(f, "000003.ldb", path);
    assert_int_equal(dump(f, NULL, path, NULL), SVC_EXIT_DAMAGE);
    expect_in(f, "! 000003.ldb: block at 0: ");
}

/* A journal or table that a rewind set aside is listed as it was. */
static void a_diverged_file_is_listed_under_its_own_name(void **state)
{
    static const char *const rows[][2] = {
        {"000002.log", "1-000002.log"},
        {"000002.log", "2-entries.log"},
        {"000003.ldb", "3-000003.ldb"},
    };
    static char listing[OUTPUT_MAX];
    struct fixture *f = *state;
    char path[PATH_SIZE];
    char aside[PATH_SIZE];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        path_in(f, rows[i][0], path);
        path_in(f, rows[i][1], aside);
        assert_int_equal(dump(f, NULL, path, NULL), SVC_EXIT_CLEAN);
        memcpy(listing, f->output, sizeof(listing));
        assert_true(strlen(listing) > 0);
        assert_int_equal(rename(path, aside), 0);
        assert_int_equal(dump(f, NULL, aside, NULL), SVC_EXIT_CLEAN);
        assert_string_equal(f->output, listing);
        assert_int_equal(rename(aside, path), 0);
        assert_int_equal(dump(f, NULL, aside, NULL), SVC_EXIT_USAGE);
        expect_in(f, rows[i][1]);
    }
    path_in(f, "000003.ldb", path);
    path_in(f, "4-000003.ldb", aside);
    damage_table(f);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(dump(f, NULL, aside, NULL), SVC_EXIT_DAMAGE);
    expect_in(f, "! 000003.ldb: block at 0: ");
}

/* dump(f, NULL, "-", second) with that file for standard input. */
static int dump_input(struct fixture *f, const char *path, const char *second)
{
    int kept = dup(STDIN_FILENO);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    int code;

    assert_true(kept >= 0);
    assert_true(file >= 0);
    assert_int_equal(dup2(file, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(close(file), 0);
    code = dump(f, NULL, "-", second);
    put_back(STDIN_FILENO, kept);
    return code;
}

static void standard_input_is_listed_as_a_journal(void **state)
{
    static char listing[OUTPUT_MAX];
    struct fixture *f = *state;
    char path[PATH_SIZE];

    path_in(f, "000002.log", path);
    assert_int_equal(dump(f, NULL, path, NULL), SVC_EXIT_CLEAN);
    memcpy(listing, f->output, sizeof(listing));
    assert_int_equal(dump_input(f, path, NULL), SVC_EXIT_CLEAN);
    assert_string_equal(f->output, listing);
    assert_int_equal(dump_input(f, path, "--digest"), SVC_EXIT_USAGE);
    expect_in(f, "--digest is for a folder");
    flip_bit(path, 9); /* of the first record's sequence */
    assert_int_equal(dump_input(f, path, NULL), SVC_EXIT_DAMAGE);
    expect_in(f, "! standard input: ");
}

static void what_cannot_be_dumped_is_wrong_usage(void **state)
{
    struct fixture *f = *state;
    char path[PATH_SIZE];

    path_in(f, "CURRENT", path);
    assert_int_equal(dump(f, NULL, path, NULL), SVC_EXIT_USAGE);
    path_in(f, "000099.ldb", path);
    assert_int_equal(dump(f, NULL, path, NULL), SVC_EXIT_USAGE);
    path_in(f, "000003.ldb", path);
    assert_int_equal(dump(f, NULL, path, "--digest"), SVC_EXIT_USAGE);
    expect_in(f, "--digest is for a folder");
    assert_int_equal(dump(f, NULL, f->db.path, path), SVC_EXIT_USAGE);
    assert_int_equal(dump(f, NULL, f->db.dir.path, NULL), SVC_EXIT_USAGE);
}

static void a_full_output_is_told(void **state)
{
    struct fixture *f = *state;
    char path[PATH_SIZE];

    path_in(f, "000003.ldb", path);
    assert_int_equal(dump(f, "/dev/full", f->db.path, NULL), SVC_EXIT_USAGE);
    expect_in(f, "dump: write to standard output: No space left on device");
    assert_int_equal(dump(f, "/dev/full", path, NULL), SVC_EXIT_USAGE);
    expect_in(f, "dump: write to standard output: No space left on device");
}

/* More than a buffer: the failure comes in the midst of it. */
static void a_long_output_that_is_full_is_told_as_well(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};
    struct ldb_options options;
    struct ldb_db *db = NULL;
    char folder[TEMP_DIR_PATH_SIZE];
    char path[PATH_SIZE];
    char key[16];

    (void)temp_dir_join(&f->db.dir, "long", folder);
    ldb_options_init(&options);
    assert_ldb_ok(ldb_open(folder, &options, NULL, &err, &db), &err);
    for (unsigned n = 0; n < 4000; n++) {
        (void)snprintf(key, sizeof(key), "key%06u", n);
        assert_ldb_ok(ldb_put(db, ldb_slice_str(key), ldb_slice_str(key), false,
                              &err, NULL),
                      &err);
    }
    assert_ldb_ok(ldb_flush(db, &err), &err);
    assert_ldb_ok(ldb_close(db, &err), &err);
    assert_int_equal(dump(f, "/dev/full", folder, NULL), SVC_EXIT_USAGE);
    expect_in(f, "dump: write to standard output: No space left on device");
    (void)snprintf(path, sizeof(path), "%s/000003.ldb", folder);
    assert_int_equal(dump(f, "/dev/full", path, NULL), SVC_EXIT_USAGE);
    expect_in(f, "dump: write to standard output: No space left on device");
}

static void without_memory_there_is_a_reason_or_all_of_it(void **state)
{
    struct fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        int code;

        mem_fault_start(n, MEM_FAULT_ONCE);
        code = dump(f, NULL, f->db.path, "--digest");
        if (!mem_fault_stop())
            break;
        if (code == SVC_EXIT_CLEAN) {
            assert_string_equal(f->output, DIGEST);
            continue;
        }
        assert_int_equal(code, SVC_EXIT_USAGE);
        expect_in(f, "leveld dump: ");
        assert_null(strstr(f->output, "sha256"));
    }
    assert_string_equal(f->output, DIGEST);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_folder_is_its_live_entries_and_their_digest),
        CASE(a_damaged_folder_has_no_digest),
        CASE(a_file_is_listed_by_its_name),
        CASE(a_diverged_file_is_listed_under_its_own_name),
        CASE(standard_input_is_listed_as_a_journal),
        CASE(what_cannot_be_dumped_is_wrong_usage),
        CASE(a_full_output_is_told),
        CASE(a_long_output_that_is_full_is_told_as_well),
        CASE(without_memory_there_is_a_reason_or_all_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
