#include "storage/version/current_file.h"

#include <errno.h>
#include <stdio.h>

#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_conformance.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The folder of every test. */
#define DIR "/db"

/* ---- folders ---- */

#define FILES_MAX 8

/* A folder's files; text NULL ends the list. */
struct file {
    const char *name;
    const char *text;
};

static const char *path_of(const char *name, char *out, size_t size)
{
    (void)snprintf(out, size, DIR "/%s", name);
    return out;
}

static void put(struct ldb_env *env, const char *name, const char *text)
{
    char path[64];

    env_put_file(env, path_of(name, path, sizeof(path)), text, true);
}

static void make_folder(struct ldb_env *env, const struct file *files,
                        size_t count)
{
    assert_ldb_ok(env->ops->create_dir(env, DIR, NULL), NULL);
    assert_ldb_ok(env->ops->sync_dir(env, "/", NULL), NULL);
    for (size_t i = 0; i < count && files[i].text != NULL; i++)
        put(env, files[i].name, files[i].text);
    assert_ldb_ok(env->ops->sync_dir(env, DIR, NULL), NULL);
}

static void assert_file(struct ldb_env *env, const char *name, const char *text)
{
    char path[64];

    env_assert_file(env, path_of(name, path, sizeof(path)), text);
}

/* ---- reading ---- */

/* A MANIFEST that is there; its content is not looked at. */
#define MANIFEST(number)                                                       \
    {                                                                          \
        "MANIFEST-" number, "x"                                                \
    }

static const struct folder {
    const char *what;
    struct file files[FILES_MAX];
    enum ldb_status status;
    uint64_t number; /* OK */
    bool settled;
    const char *message; /* not OK */
} folders[] = {
    {"an empty folder", {{0}}, LDB_NOT_FOUND, 0, false, "no database here"},
    {"foreign files alone",
     {{"README", ""}, {"LOCK", ""}, {"LOG", ""}, {"CURRENT.old", "x"}},
     LDB_NOT_FOUND,
     0,
     false,
     "no database here"},
    {"CURRENT and its MANIFEST",
     {{"CURRENT", "MANIFEST-000004\n"}, MANIFEST("000004")},
     LDB_OK,
     4,
     true,
     NULL},
    {"a MANIFEST number of seven digits",
     {{"CURRENT", "MANIFEST-1234567\n"}, MANIFEST("1234567")},
     LDB_OK,
     1234567,
     true,
     NULL},
    {"CURRENT before CURRENT.bak, whatever the numbers",
     {{"CURRENT", "MANIFEST-000004\n"},
      {"CURRENT.bak", "MANIFEST-000009\n"},
      MANIFEST("000004"),
      MANIFEST("000009")},
     LDB_OK,
     4,
     true,
     NULL},
    {"a CURRENT.bak whose MANIFEST is long gone",
     {{"CURRENT", "MANIFEST-000004\n"},
      {"CURRENT.bak", "MANIFEST-000000\n"},
      MANIFEST("000004")},
     LDB_OK,
     4,
     true,
     NULL},

    /* CURRENT.bak */
    {"CURRENT.bak without CURRENT",
     {{"CURRENT.bak", "MANIFEST-000004\n"}, MANIFEST("000004")},
     LDB_OK,
     4,
     false,
     NULL},
    {"an empty CURRENT",
     {{"CURRENT", ""},
      {"CURRENT.bak", "MANIFEST-000004\n"},
      MANIFEST("000004")},
     LDB_OK,
     4,
     false,
     NULL},
    {"a CURRENT without a newline",
     {{"CURRENT", "MANIFEST-000005"},
      {"CURRENT.bak", "MANIFEST-000004\n"},
      MANIFEST("000004"),
      MANIFEST("000005")},
     LDB_OK,
     4,
     false,
     NULL},
    {"a CURRENT with two newlines",
     {{"CURRENT", "MANIFEST-000005\n\n"},
      {"CURRENT.bak", "MANIFEST-000004\n"},
      MANIFEST("000004"),
      MANIFEST("000005")},
     LDB_OK,
     4,
     false,
     NULL},
    {"a CURRENT that is longer than any name",
     {{"CURRENT", "MANIFEST-000000000000000000000000000000000000000000005\n"},
      {"CURRENT.bak", "MANIFEST-000004\n"},
      MANIFEST("000004")},
     LDB_OK,
     4,
     false,
     NULL},
    {"a CURRENT that names a table",
     {{"CURRENT", "000005.ldb\n"},
      {"CURRENT.bak", "MANIFEST-000004\n"},
      MANIFEST("000004"),
      {"000005.ldb", "x"}},
     LDB_OK,
     4,
     false,
     NULL},
    {"a CURRENT whose MANIFEST is not there",
     {{"CURRENT", "MANIFEST-000005\n"},
      {"CURRENT.bak", "MANIFEST-000004\n"},
      MANIFEST("000004")},
     LDB_OK,
     4,
     false,
     NULL},

    /* CURRENT.N */
    {"a newer CURRENT.N is pending",
     {{"CURRENT", "MANIFEST-000004\n"},
      {"CURRENT.7", "MANIFEST-000007\n"},
      MANIFEST("000004"),
      MANIFEST("000007")},
     LDB_OK,
     7,
     false,
     NULL},
    {"an older CURRENT.N is not used",
     {{"CURRENT", "MANIFEST-000007\n"},
      {"CURRENT.4", "MANIFEST-000004\n"},
      MANIFEST("000004"),
      MANIFEST("000007")},
     LDB_OK,
     7,
     false,
     NULL},
    {"an equal CURRENT.N",
     {{"CURRENT", "MANIFEST-000007\n"},
      {"CURRENT.7", "MANIFEST-000007\n"},
      MANIFEST("000007")},
     LDB_OK,
     7,
     false,
     NULL},
    {"the highest sound CURRENT.N of several",
     {{"CURRENT", "MANIFEST-000004\n"},
      {"CURRENT.6", "MANIFEST-000006\n"},
      {"CURRENT.10", "MANIFEST-000010\n"},
      {"CURRENT.9", "MANIFEST-000009\n"},
      MANIFEST("000004"),
      MANIFEST("000006"),
      MANIFEST("000009")},
     LDB_OK,
     9,
     false,
     NULL},
    {"a torn CURRENT.N",
     {{"CURRENT", "MANIFEST-000004\n"},
      {"CURRENT.7", "MANIFEST-0000"},
      MANIFEST("000004"),
      MANIFEST("000007")},
     LDB_OK,
     4,
     false,
     NULL},
    {"a CURRENT.N before an older CURRENT.bak",
     {{"CURRENT", "rot"},
      {"CURRENT.7", "MANIFEST-000007\n"},
      {"CURRENT.bak", "MANIFEST-000004\n"},
      MANIFEST("000004"),
      MANIFEST("000007")},
     LDB_OK,
     7,
     false,
     NULL},
    {"a CURRENT.N alone",
     {{"CURRENT.0", "MANIFEST-000000\n"}, MANIFEST("000000")},
     LDB_OK,
     0,
     false,
     NULL},

    /* nothing to go by */
    {"a creation cut off after the MANIFEST",
     {MANIFEST("000000")},
     LDB_NOT_FOUND,
     0,
     false,
     "no database here"},
    {"a creation cut off within CURRENT.0",
     {MANIFEST("000000"), {"CURRENT.0", ""}},
     LDB_NOT_FOUND,
     0,
     false,
     "no database here"},
    {"a journal and no CURRENT",
     {{"000001.log", ""}, MANIFEST("000000")},
     LDB_CORRUPTION,
     0,
     false,
     "database files without CURRENT"},
    {"a table and no CURRENT",
     {{"000001.ldb", ""}},
     LDB_CORRUPTION,
     0,
     false,
     "database files without CURRENT"},
    {"an old table and no CURRENT",
     {{"000001.sst", ""}},
     LDB_CORRUPTION,
     0,
     false,
     "database files without CURRENT"},
    {"a CURRENT that is rot",
     {{"CURRENT", "rot\n"}},
     LDB_CORRUPTION,
     0,
     false,
     "/db/CURRENT: not the name of a MANIFEST"},
    {"a CURRENT without the padding of names",
     {{"CURRENT", "MANIFEST-4\n"}, {"000001.ldb", ""}},
     LDB_CORRUPTION,
     0,
     false,
     "not the name of a MANIFEST"},
    {"a CURRENT that dangles, and no other",
     {{"CURRENT", "MANIFEST-000004\n"}},
     LDB_CORRUPTION,
     0,
     false,
     "names MANIFEST-000004, which is not there"},
    {"a CURRENT.bak that dangles, and no other",
     {{"CURRENT.bak", "MANIFEST-000004\n"}},
     LDB_CORRUPTION,
     0,
     false,
     "database files without CURRENT"},
};

static void a_folder_is_read_by_goleveldbs_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        const struct folder *row = &folders[i];
        struct ldb_error err = {0};
        uint64_t number = 77;
        bool settled = true;
        struct ldb_env *env;

        print_message("%s\n", row->what);
        assert_ldb_ok(ldb_env_memory_create(&err, &env), &err);
        make_folder(env, row->files, FILES_MAX);
        assert_ldb_status(row->status,
                          ldb_current_read(env, DIR, &err, &number, &settled),
                          &err);
        if (row->status == LDB_OK) {
            assert_int_equal(number, row->number);
            assert_int_equal(settled, row->settled);
        } else {
            assert_ldb_message(row->message, &err);
            assert_int_equal(number, 77);
            assert_true(settled);
        }
        ldb_env_memory_destroy(env);
    }
}

static void a_folder_that_is_not_there_is_not_found(void **state)
{
    struct ldb_env *env;
    uint64_t number;
    bool settled;

    (void)state;
    assert_ldb_ok(ldb_env_memory_create(NULL, &env), NULL);
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_current_read(env, DIR, NULL, &number, &settled),
                      NULL);
    ldb_env_memory_destroy(env);
}

/* ---- setting ---- */

static const struct file with_current[] = {
    {"CURRENT", "MANIFEST-000004\n"},
    MANIFEST("000004"),
    MANIFEST("000007"),
};

static struct env_fault *open_folder(const struct file *files, size_t count)
{
    struct env_fault *fault = env_fault_create(NULL);

    make_folder(env_fault_env(fault), files, count);
    env_fault_forget_counts(fault);
    return fault;
}

static void assert_writes(struct env_fault *fault, uint64_t count)
{
    assert_int_equal(env_fault_count(fault, ENV_FAULT_WRITES), count);
}

static void the_first_current_has_no_backup(void **state)
{
    static const struct file files[] = {MANIFEST("000000")};
    struct env_fault *fault = open_folder(files, COUNT_OF(files));
    struct ldb_env *env = env_fault_env(fault);
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_ok(ldb_current_set(env, DIR, 0, &err), &err);
    assert_file(env, "CURRENT", "MANIFEST-000000\n");
    assert_file(env, "CURRENT.bak", NULL);
    assert_file(env, "CURRENT.0", NULL);
    env_fault_destroy(fault);
}

static void a_later_current_leaves_the_old_in_its_backup(void **state)
{
    struct env_fault *fault = open_folder(with_current, COUNT_OF(with_current));
    struct ldb_env *env = env_fault_env(fault);
    struct ldb_error err = {0};
    uint64_t number;
    bool settled;

    (void)state;
    assert_ldb_ok(ldb_current_set(env, DIR, 7, &err), &err);
    assert_file(env, "CURRENT", "MANIFEST-000007\n");
    assert_file(env, "CURRENT.bak", "MANIFEST-000004\n");
    assert_file(env, "CURRENT.7", NULL);
    assert_ldb_ok(ldb_current_read(env, DIR, &err, &number, &settled), &err);
    assert_int_equal(number, 7);
    assert_true(settled);
    env_fault_destroy(fault);
}

static void a_current_that_is_set_already_is_only_synced(void **state)
{
    struct env_fault *fault = open_folder(with_current, COUNT_OF(with_current));
    struct ldb_env *env = env_fault_env(fault);

    (void)state;
    assert_ldb_ok(ldb_current_set(env, DIR, 4, NULL), NULL);
    assert_writes(fault, 1);
    assert_int_equal(env_fault_count(fault, ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR)),
                     1);
    assert_file(env, "CURRENT.bak", NULL);
    env_fault_destroy(fault);
}

static void an_unsound_current_does_not_spoil_the_backup(void **state)
{
    static const char *const unsound[] = {"rot", "MANIFEST-000099\n"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(unsound); i++) {
        const struct file files[] = {
            {"CURRENT", unsound[i]},
            {"CURRENT.bak", "MANIFEST-000004\n"},
            MANIFEST("000004"),
            MANIFEST("000007"),
        };
        struct env_fault *fault = open_folder(files, COUNT_OF(files));
        struct ldb_env *env = env_fault_env(fault);

        assert_ldb_ok(ldb_current_set(env, DIR, 7, NULL), NULL);
        assert_file(env, "CURRENT", "MANIFEST-000007\n");
        assert_file(env, "CURRENT.bak", "MANIFEST-000004\n");
        env_fault_destroy(fault);
    }
}

/* ---- power cuts ---- */

struct cut {
    struct env_fault *fault;
    uint64_t after; /* calls until the power goes */
    unsigned checked;
};

/* What LevelDB follows: CURRENT alone, which must name what is there. */
static uint64_t assert_leveldb_opens(struct ldb_env *env)
{
    struct ldb_buf bytes = LDB_BUF_INIT(100);
    struct ldb_error err = {0};
    char name[LDB_FILE_NAME_SIZE + 1] = {0};
    uint64_t number = 0;
    uint64_t size;
    char path[64];

    assert_ldb_ok(ldb_env_read_file(env, DIR "/CURRENT", &err, &bytes), &err);
    assert_true(bytes.len > 1 && bytes.len <= LDB_FILE_NAME_SIZE);
    assert_int_equal(bytes.data[bytes.len - 1], '\n');
    memcpy(name, bytes.data, bytes.len - 1);
    assert_int_equal(ldb_file_name_parse(name, &number), LDB_FILE_MANIFEST);
    assert_ldb_ok(env->ops->file_size(env, path_of(name, path, sizeof(path)),
                                      &err, &size),
                  &err);
    ldb_buf_release(&bytes);
    return number;
}

/*
 * After a cut in a set of 7 over 4: CURRENT is either and sound, reading gives
 * either, and setting what was read again settles the folder.
 */
static void assert_either(struct env_fault *after)
{
    struct ldb_env *env = env_fault_env(after);
    struct ldb_error err = {0};
    uint64_t leveldb = assert_leveldb_opens(env);
    uint64_t number = 0;
    bool settled = false;

    assert_true(leveldb == 4 || leveldb == 7);
    assert_ldb_ok(ldb_current_read(env, DIR, &err, &number, &settled), &err);
    assert_true(number == leveldb || (number == 7 && !settled));
    if (!settled) {
        assert_ldb_ok(ldb_current_set(env, DIR, number, &err), &err);
        assert_int_equal(assert_leveldb_opens(env), number);
    }
}

static const enum ldb_crash_keep keeps[] = {
    LDB_CRASH_KEEP_NONE,
    LDB_CRASH_KEEP_ALL,
    LDB_CRASH_KEEP_TORN,
};

static void check_copies(void *context, enum env_fault_kind kind,
                         const char *path)
{
    struct cut *cut = context;

    (void)kind;
    (void)path;
    for (size_t i = 0; i < COUNT_OF(keeps); i++) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct env_fault *after =
                env_fault_after_cut(cut->fault, keeps[i], seed);

            assert_either(after);
            env_fault_destroy(after);
            cut->checked++;
        }
    }
}

static void a_power_cut_anywhere_leaves_the_old_or_the_new(void **state)
{
    struct env_fault *fault = open_folder(with_current, COUNT_OF(with_current));
    struct cut cut = {.fault = fault};
    struct env_fault *after;

    (void)state;
    env_fault_set_call_hook(fault, check_copies, &cut);
    assert_ldb_ok(ldb_current_set(env_fault_env(fault), DIR, 7, NULL), NULL);
    env_fault_set_call_hook(fault, NULL, NULL);
    assert_true(cut.checked > 100);
    /* OK is a promise. */
    after = env_fault_after_cut(fault, LDB_CRASH_KEEP_NONE, 0);
    assert_int_equal(assert_leveldb_opens(env_fault_env(after)), 7);
    assert_file(env_fault_env(after), "CURRENT.bak", "MANIFEST-000004\n");
    env_fault_destroy(after);
    env_fault_destroy(fault);
}

/* The MANIFEST's content is synced, its name is not. */
static void a_manifests_name_is_durable_before_current_says_it(void **state)
{
    struct env_fault *fault = open_folder(with_current, 2);
    struct cut cut = {.fault = fault};
    struct ldb_env *env = env_fault_env(fault);

    (void)state;
    put(env, "MANIFEST-000007", "x");
    env_fault_set_call_hook(fault, check_copies, &cut);
    assert_ldb_ok(ldb_current_set(env, DIR, 7, NULL), NULL);
    env_fault_set_call_hook(fault, NULL, NULL);
    assert_true(cut.checked > 100);
    env_fault_destroy(fault);
}

static void a_set_after_a_failed_sync_is_durable_all_the_same(void **state)
{
    struct env_fault *fault = open_folder(with_current, COUNT_OF(with_current));
    struct ldb_env *env = env_fault_env(fault);
    struct ldb_error err = {0};
    struct env_fault *after;

    (void)state;
    env_fault_fail(fault, &(struct env_fault_rule){
                              .kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR),
                              .nth = 2,
                              .sys_errno = EIO});
    assert_ldb_status(LDB_IO, ldb_current_set(env, DIR, 7, &err), &err);
    env_fault_fail(fault, NULL);
    assert_file(env, "CURRENT", "MANIFEST-000007\n");
    assert_ldb_ok(ldb_current_set(env, DIR, 7, &err), &err);
    after = env_fault_after_cut(fault, LDB_CRASH_KEEP_NONE, 0);
    assert_int_equal(assert_leveldb_opens(env_fault_env(after)), 7);
    env_fault_destroy(after);
    env_fault_destroy(fault);
}

/* ---- failures ---- */

static void every_failed_call_of_a_set_is_told_and_harmless(void **state)
{
    uint64_t failures = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct env_fault *fault =
            open_folder(with_current, COUNT_OF(with_current));
        struct ldb_env *env = env_fault_env(fault);
        struct ldb_error err = {0};
        enum ldb_status s;
        bool is_over;

        env_fault_fail(fault, &(struct env_fault_rule){
                                  .nth = n, .sys_errno = EIO, .torn = true});
        s = ldb_current_set(env, DIR, 7, &err);
        is_over = env_fault_failed(fault) == 0;
        env_fault_fail(fault, NULL);
        if (is_over)
            assert_ldb_ok(s, &err);
        else
            assert_ldb_status(LDB_IO, s, &err);
        assert_either(fault);
        env_fault_destroy(fault);
        if (is_over)
            break;
        failures++;
    }
    assert_true(failures > 8);
}

static void every_failed_call_of_a_read_is_told(void **state)
{
    static const struct file files[] = {
        {"CURRENT", "MANIFEST-000004\n"},
        {"CURRENT.bak", "MANIFEST-000002\n"},
        {"CURRENT.7", "MANIFEST-000007\n"},
        MANIFEST("000004"),
        MANIFEST("000007"),
    };
    struct env_fault *fault = open_folder(files, COUNT_OF(files));
    struct ldb_env *env = env_fault_env(fault);

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ldb_error err = {0};
        uint64_t number = 77;
        bool settled = false;
        enum ldb_status s;

        env_fault_fail(fault,
                       &(struct env_fault_rule){.nth = n, .sys_errno = EACCES});
        s = ldb_current_read(env, DIR, &err, &number, &settled);
        if (env_fault_failed(fault) == 0) {
            assert_ldb_ok(s, &err);
            assert_int_equal(number, 7);
            break;
        }
        assert_ldb_status(LDB_IO, s, &err);
        assert_int_equal(number, 77);
    }
    env_fault_fail(fault, NULL);
    assert_int_equal(env_fault_count(fault, ENV_FAULT_WRITES), 0);
    env_fault_destroy(fault);
}

static void every_failed_allocation_is_told(void **state)
{
    static const struct file files[] = {
        {"CURRENT", "MANIFEST-000004\n"},   MANIFEST("000004"),
        {"CURRENT.7", "MANIFEST-000007\n"}, MANIFEST("000007"),
        {"CURRENT.8", "MANIFEST-000008\n"},
    };
    uint64_t failures = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct env_fault *fault = open_folder(files, COUNT_OF(files));
        struct ldb_env *env = env_fault_env(fault);
        struct ldb_error err = {0};
        uint64_t number;
        bool settled;
        enum ldb_status s;
        bool is_over;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_current_read(env, DIR, &err, &number, &settled);
        if (s == LDB_OK)
            s = ldb_current_set(env, DIR, 7, &err);
        is_over = !mem_fault_stop();
        if (is_over)
            assert_ldb_ok(s, &err);
        else
            assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_either(fault);
        env_fault_destroy(fault);
        if (is_over)
            break;
        failures++;
    }
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_read_by_goleveldbs_order),
        cmocka_unit_test(a_folder_that_is_not_there_is_not_found),
        cmocka_unit_test(the_first_current_has_no_backup),
        cmocka_unit_test(a_later_current_leaves_the_old_in_its_backup),
        cmocka_unit_test(a_current_that_is_set_already_is_only_synced),
        cmocka_unit_test(an_unsound_current_does_not_spoil_the_backup),
        cmocka_unit_test(a_power_cut_anywhere_leaves_the_old_or_the_new),
        cmocka_unit_test(a_manifests_name_is_durable_before_current_says_it),
        cmocka_unit_test(a_set_after_a_failed_sync_is_durable_all_the_same),
        cmocka_unit_test(every_failed_call_of_a_set_is_told_and_harmless),
        cmocka_unit_test(every_failed_call_of_a_read_is_told),
        cmocka_unit_test(every_failed_allocation_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
