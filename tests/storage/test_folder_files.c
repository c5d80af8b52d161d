/* A folder as its names tell: in order, whole, and a table under either of its
 * names. */
#include "storage/folder_files.h"

#include <errno.h>
#include <stdio.h>

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"

#define DIR "/db"

struct fixture {
    struct env_fault *fault;
    struct ldb_env *env;
    struct ldb_folder_files files;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.fault = env_fault_create(NULL)};
    f.env = env_fault_env(f.fault);
    assert_ldb_ok(f.env->ops->create_dir(f.env, DIR, &f.err), &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_folder_files_release(&f->files);
    env_fault_destroy(f->fault);
    return 0;
}

static void add_file(struct fixture *f, const char *name, const char *text)
{
    struct ldb_writable_file *file = NULL;
    char path[64];

    (void)snprintf(path, sizeof(path), DIR "/%s", name);
    assert_ldb_ok(f->env->ops->open_writable(f->env, path, LDB_OPEN_TRUNCATE,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str(text), &f->err), &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
}

static void remove_file(struct fixture *f, const char *name)
{
    char path[64];

    (void)snprintf(path, sizeof(path), DIR "/%s", name);
    assert_ldb_ok(f->env->ops->remove_file(f->env, path, &f->err), &f->err);
}

static void list(struct fixture *f)
{
    ldb_folder_files_release(&f->files);
    assert_ldb_ok(ldb_folder_files_list(f->env, DIR, &f->err, &f->files),
                  &f->err);
}

/* ---- listing ---- */

static void files_come_by_type_then_number_without_foreign_ones(void **state)
{
    static const char *const names[] = {
        "LOG",        "000010.ldb", "MANIFEST-000004", "notes.txt",
        "000009.ldb", "000012.log", "000007.sst",      "CURRENT",
        "1.log",      "LOCK",       "000002.log",      "000011.LDB",
        "100000.ldb", "MANIFEST-3", "CURRENT.bak",     "lost",
    };
    static const struct ldb_folder_file expected[] = {
        {LDB_FILE_JOURNAL, 2},     {LDB_FILE_JOURNAL, 12},
        {LDB_FILE_TABLE, 9},       {LDB_FILE_TABLE, 10},
        {LDB_FILE_TABLE, 100000},  {LDB_FILE_TABLE_SST, 7},
        {LDB_FILE_MANIFEST, 4},    {LDB_FILE_CURRENT, 0},
        {LDB_FILE_CURRENT_BAK, 0}, {LDB_FILE_LOCK, 0},
        {LDB_FILE_LOG, 0},
    };
    const size_t count = sizeof(expected) / sizeof(expected[0]);
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        add_file(f, names[i], "x");
    list(f);
    assert_int_equal(f->files.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(f->files.files[i].type, expected[i].type);
        assert_int_equal(f->files.files[i].number, expected[i].number);
    }
}

static void an_empty_folder_has_nothing(void **state)
{
    struct fixture *f = *state;

    list(f);
    assert_int_equal(f->files.count, 0);
    assert_false(ldb_folder_files_has(&f->files, LDB_FILE_CURRENT, 0));
    assert_false(ldb_folder_files_has_table(&f->files, 0));
    assert_int_equal(ldb_folder_files_max(&f->files), 0);
    assert_false(ldb_folder_files_is_database(&f->files));
}

static void many_files_are_all_found(void **state)
{
    const uint64_t count = 130; /* the array grows beyond 128 */
    struct fixture *f = *state;
    char name[LDB_FILE_NAME_SIZE];

    for (uint64_t n = count; n > 0; n--) {
        ldb_file_name_print(name, LDB_FILE_TABLE, 2 * n);
        add_file(f, name, "x");
    }
    list(f);
    assert_int_equal(f->files.count, count);
    for (uint64_t n = 1; n <= count; n++) {
        assert_true(ldb_folder_files_has(&f->files, LDB_FILE_TABLE, 2 * n));
        assert_false(
            ldb_folder_files_has(&f->files, LDB_FILE_TABLE, 2 * n + 1));
    }
    assert_int_equal(ldb_folder_files_max(&f->files), 2 * count);
}

static void a_folder_that_cannot_be_listed_is_an_error(void **state)
{
    struct fixture *f = *state;

    assert_ldb_status(
        LDB_NOT_FOUND,
        ldb_folder_files_list(f->env, "/none", &f->err, &f->files), &f->err);
    ldb_folder_files_release(&f->files);
    env_fault_fail(f->fault, &(struct env_fault_rule){
                                 .nth = 1, .path = DIR, .sys_errno = EIO});
    assert_ldb_status(LDB_IO,
                      ldb_folder_files_list(f->env, DIR, &f->err, &f->files),
                      &f->err);
}

static void listing_without_memory_can_be_repeated(void **state)
{
    struct fixture *f = *state;
    char name[LDB_FILE_NAME_SIZE];
    unsigned failed = 0;

    for (uint64_t n = 1; n <= 9; n++) {
        ldb_file_name_print(name, LDB_FILE_JOURNAL, n);
        add_file(f, name, "x");
    }
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_folder_files_list(f->env, DIR, &f->err, &f->files);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        ldb_folder_files_release(&f->files);
        assert_null(f->files.files);
        failed++;
    }
    assert_true(failed >= 5); /* 1, 2, 4, 8, 16 */
    assert_int_equal(f->files.count, 9);
}

/* ---- questions ---- */

static void a_file_is_known_by_type_and_number(void **state)
{
    struct fixture *f = *state;

    add_file(f, "000005.ldb", "x");
    add_file(f, "000006.sst", "x");
    add_file(f, "000007.log", "x");
    list(f);
    assert_true(ldb_folder_files_has(&f->files, LDB_FILE_TABLE, 5));
    assert_false(ldb_folder_files_has(&f->files, LDB_FILE_TABLE_SST, 5));
    assert_false(ldb_folder_files_has(&f->files, LDB_FILE_TABLE, 6));
    assert_true(ldb_folder_files_has(&f->files, LDB_FILE_JOURNAL, 7));
    assert_true(ldb_folder_files_has_table(&f->files, 5));
    assert_true(ldb_folder_files_has_table(&f->files, 6));
    assert_false(ldb_folder_files_has_table(&f->files, 7));
}

static void the_greatest_number_is_of_any_type(void **state)
{
    static const struct {
        const char *name;
        uint64_t max; /* with those before it */
    } rows[] = {
        {"000100.ldb", 100},
        {"000099.log", 100},
        {"MANIFEST-000101", 101},
        {"000102.sst", 102},
        {"000103.tmp", 103},
        {"9223372036854775807.ldb", LDB_FILE_NUMBER_MAX},
        {"9223372036854775808.ldb", LDB_FILE_NUMBER_MAX}, /* foreign */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        add_file(f, rows[i].name, "x");
        list(f);
        if (ldb_folder_files_max(&f->files) != rows[i].max)
            fail_msg("with %s: %ju", rows[i].name,
                     (uintmax_t)ldb_folder_files_max(&f->files));
    }
}

static void journals_tables_and_manifests_make_a_database(void **state)
{
    static const struct {
        const char *name;
        bool is_database;
    } rows[] = {
        {"LOCK", false},       {"LOG", false},
        {"LOG.old", false},    {"notes.txt", false},
        {"000001.log", true},  {"000001.ldb", true},
        {"000001.sst", true},  {"MANIFEST-000001", true},
        {"CURRENT", true},     {"CURRENT.bak", true},
        {"CURRENT.2", true},   {"000001.dbtmp", false},
        {"000001.tmp", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        add_file(f, rows[i].name, "x");
        list(f);
        if (ldb_folder_files_is_database(&f->files) != rows[i].is_database)
            fail_msg("%s alone", rows[i].name);
        remove_file(f, rows[i].name);
    }
}

/* ---- opening a table ---- */

struct opened {
    char name[LDB_FILE_NAME_SIZE];
    uint64_t size;
    struct ldb_random_file *file;
};

static enum ldb_status open_table(struct fixture *f, uint64_t number,
                                  struct opened *out)
{
    *out = (struct opened){.size = 4711};
    return ldb_folder_open_table(f->env, DIR, number, &f->err, out->name,
                                 &out->size, &out->file);
}

/* Closes it. */
static void expect_opened(struct opened *opened, const char *name,
                          const char *text)
{
    struct ldb_slice bytes = {0};
    struct ldb_error err = {0};
    uint8_t scratch[64];

    assert_string_equal(opened->name, name);
    assert_int_equal(opened->size, ldb_slice_str(text).len);
    assert_ldb_ok(ldb_random_read_at(opened->file, 0, (size_t)opened->size,
                                     scratch, &bytes, &err),
                  &err);
    assert_ldb_slice(ldb_slice_str(text), bytes);
    ldb_random_close(opened->file);
}

static void a_table_opens_under_either_name(void **state)
{
    struct fixture *f = *state;
    struct opened opened;

    assert_ldb_status(LDB_NOT_FOUND, open_table(f, 5, &opened), &f->err);
    assert_int_equal(opened.size, 4711);
    assert_null(opened.file);
    add_file(f, "000005.sst", "of old");
    assert_ldb_ok(open_table(f, 5, &opened), &f->err);
    expect_opened(&opened, "000005.sst", "of old");
    add_file(f, "000005.ldb", "table");
    assert_ldb_ok(open_table(f, 5, &opened), &f->err);
    expect_opened(&opened, "000005.ldb", "table");
    assert_ldb_status(LDB_NOT_FOUND, open_table(f, 6, &opened), &f->err);
}

/* Else a bad disk would show an older file of that number. */
static void a_failure_is_no_reason_to_take_the_other_name(void **state)
{
    static const enum env_fault_kind kinds[] = {ENV_FAULT_FILE_SIZE,
                                                ENV_FAULT_OPEN_RANDOM};
    struct fixture *f = *state;
    struct opened opened;

    add_file(f, "000005.ldb", "table");
    add_file(f, "000005.sst", "of old");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        env_fault_fail(
            f->fault, &(struct env_fault_rule){.kinds = ENV_FAULT_BIT(kinds[i]),
                                               .path = ".ldb",
                                               .nth = 1,
                                               .sys_errno = EIO});
        assert_ldb_status(LDB_IO, open_table(f, 5, &opened), &f->err);
        assert_int_equal(opened.size, 4711);
        assert_null(opened.file);
    }
}

static void opening_without_memory_opens_nothing(void **state)
{
    struct fixture *f = *state;
    struct opened opened;
    unsigned failed = 0;

    add_file(f, "000005.sst", "of old");
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = open_table(f, 5, &opened);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        assert_null(opened.file);
        failed++;
    }
    assert_true(failed >= 2); /* both paths */
    expect_opened(&opened, "000005.sst", "of old");
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(files_come_by_type_then_number_without_foreign_ones),
        CASE(an_empty_folder_has_nothing),
        CASE(many_files_are_all_found),
        CASE(a_folder_that_cannot_be_listed_is_an_error),
        CASE(listing_without_memory_can_be_repeated),
        CASE(a_file_is_known_by_type_and_number),
        CASE(the_greatest_number_is_of_any_type),
        CASE(journals_tables_and_manifests_make_a_database),
        CASE(a_table_opens_under_either_name),
        CASE(a_failure_is_no_reason_to_take_the_other_name),
        CASE(opening_without_memory_opens_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
