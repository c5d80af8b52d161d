#include <stdio.h>
#include <string.h>

#include "replication/diverged.h"
#include "replication/sidecar.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/sidecar_env.h"

static struct ldb_env *env;

static const struct repl_rewind rewind_1 = {
    .epoch_number = 4,
    .epoch_id = 0xabc,
    .fork = 100,
    .last = 120,
    .wall_us = 1234567,
};

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

static void put(const char *name, const char *text)
{
    struct ldb_error err = {0};
    char path[64];

    snprintf(path, sizeof(path), SIDECAR_ENV_DIR "/%s", name);
    assert_ldb_ok(ldb_env_replace_file(env, SIDECAR_ENV_DIR, path,
                                       SIDECAR_ENV_DIR "/t",
                                       ldb_slice_str(text), &err),
                  &err);
}

static uint64_t begin(void)
{
    struct ldb_error err = {0};
    uint64_t id = 0;

    assert_ldb_ok(
        repl_diverged_begin(env, SIDECAR_ENV_DIR, &rewind_1, &err, &id), &err);
    return id;
}

static enum ldb_status take(uint64_t rewind, const char *name)
{
    struct ldb_error err = {0};
    char path[64];

    snprintf(path, sizeof(path), SIDECAR_ENV_DIR "/%s", name);
    return repl_diverged_take(env, SIDECAR_ENV_DIR, rewind, path, name, &err);
}

static void list(struct repl_diverged *out)
{
    struct ldb_error err = {0};

    *out = (struct repl_diverged){0};
    assert_ldb_ok(repl_diverged_list(env, SIDECAR_ENV_DIR, &err, out), &err);
}

static void expect_bytes(const char *name, const char *text)
{
    struct ldb_error err = {0};
    struct ldb_random_file *file = NULL;
    uint64_t size = 0;
    uint8_t scratch[64];
    struct ldb_slice bytes = {0};

    assert_ldb_ok(
        repl_diverged_open(env, SIDECAR_ENV_DIR, name, &err, &file, &size),
        &err);
    assert_int_equal(strlen(text), size);
    assert_ldb_ok(
        ldb_random_read_at(file, 0, (size_t)size, scratch, &bytes, &err), &err);
    assert_ldb_slice(ldb_slice_str(text), bytes);
    ldb_random_close(file);
}

static void a_folder_without_any_has_none(void **state)
{
    struct repl_diverged all;

    (void)state;
    list(&all);
    assert_int_equal(0, all.file_count);
    assert_int_equal(0, all.rewind_count);
    assert_int_equal(0, all.bytes);
    repl_diverged_release(&all);
}

static void what_is_taken_is_listed_and_can_be_read(void **state)
{
    struct repl_diverged all;
    uint64_t first;
    uint64_t second;

    (void)state;
    put("000012.log", "twelve");
    put("000005.ldb", "table");
    first = begin();
    assert_int_equal(1, first);
    assert_int_equal(LDB_OK, take(first, "000012.log"));
    put("000012.log", "another");
    second = begin();
    assert_int_equal(2, second);
    assert_int_equal(LDB_OK, take(second, "000012.log"));
    assert_int_equal(LDB_OK, take(second, "000005.ldb"));
    list(&all);
    assert_int_equal(2, all.rewind_count);
    assert_int_equal(1, all.rewinds[0].id);
    assert_int_equal(4, all.rewinds[0].epoch_number);
    assert_int_equal(0xabc, all.rewinds[0].epoch_id);
    assert_int_equal(100, all.rewinds[0].fork);
    assert_int_equal(120, all.rewinds[0].last);
    assert_int_equal(1234567, all.rewinds[0].wall_us);
    assert_int_equal(3, all.file_count);
    assert_string_equal("1-000012.log", all.files[0].name);
    assert_string_equal("2-000005.ldb", all.files[1].name);
    assert_string_equal("2-000012.log", all.files[2].name);
    assert_int_equal(2, all.files[2].rewind);
    assert_int_equal(6 + 5 + 7, all.bytes);
    repl_diverged_release(&all);
    expect_bytes("1-000012.log", "twelve");
    expect_bytes("2-000012.log", "another");
}

static void taking_again_is_fine_but_not_other_bytes(void **state)
{
    uint64_t id;

    (void)state;
    put("000012.log", "twelve");
    id = begin();
    assert_int_equal(LDB_OK, take(id, "000012.log"));
    assert_int_equal(LDB_OK, take(id, "000012.log"));
    put("000012.log", "");
    assert_int_equal(LDB_EXISTS, take(id, "000012.log"));
    expect_bytes("1-000012.log", "twelve");
    assert_int_equal(LDB_NOT_FOUND, take(id, "000013.log"));
}

static void a_rewind_goes_with_its_last_file_and_its_id_stays_used(void **state)
{
    struct repl_diverged all;
    struct ldb_error err = {0};

    (void)state;
    put("000012.log", "twelve");
    assert_int_equal(LDB_OK, take(begin(), "000012.log"));
    assert_int_equal(LDB_OK, take(begin(), "000012.log"));
    assert_ldb_ok(
        repl_diverged_remove(env, SIDECAR_ENV_DIR, "1-000012.log", &err), &err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_diverged_remove(env, SIDECAR_ENV_DIR, "1-000012.log", &err), &err);
    list(&all);
    assert_int_equal(1, all.rewind_count);
    assert_int_equal(2, all.rewinds[0].id);
    assert_int_equal(1, all.file_count);
    repl_diverged_release(&all);
    assert_int_equal(3, begin());
}

static void assert_after(const struct repl_diverged *all, const char *name,
                         size_t index)
{
    size_t found = SIZE_MAX;

    assert_true(repl_diverged_after(all, name, &found));
    assert_int_equal(index, found);
}

static void the_list_goes_on_behind_any_name(void **state)
{
    struct repl_diverged all;
    size_t index;

    (void)state;
    put("000012.log", "twelve");
    (void)begin();
    assert_int_equal(LDB_OK, take(2, "000012.log"));
    assert_int_equal(LDB_OK, take(10, "000012.log"));
    assert_int_equal(LDB_OK, take(1, "000012.log"));
    list(&all);
    assert_after(&all, "1-000011.log", 0);
    assert_after(&all, "1-000012.log", 1);
    assert_after(&all, "1-entries.log", 1);
    assert_after(&all, "2-000012.log", 2);
    assert_after(&all, "9-000012.log", 2);
    assert_after(&all, "10-000012.log", 3);
    assert_false(repl_diverged_after(&all, "", &index));
    assert_false(repl_diverged_after(&all, "1-CURRENT", &index));
    assert_int_equal(100, repl_diverged_rewind(&all, 1)->fork);
    assert_null(repl_diverged_rewind(&all, 2));
    repl_diverged_release(&all);
}

/* ---- beside a removal ---- */

static void remove_it(void *context, enum env_fault_kind kind, const char *path)
{
    struct env_fault *fault = context;
    struct ldb_error err = {0};

    if (kind != ENV_FAULT_FILE_SIZE || strstr(path, "2-000012.log") == NULL)
        return;
    env_fault_set_call_hook(fault, NULL, NULL);
    assert_ldb_ok(
        repl_diverged_remove(env, SIDECAR_ENV_DIR, "2-000012.log", &err), &err);
}

static void one_that_is_removed_meanwhile_is_left_out(void **state)
{
    struct ldb_env *kept = env;
    struct env_fault *fault = env_fault_create(NULL);
    struct ldb_error err = {0};
    struct repl_diverged all;

    (void)state;
    env = env_fault_env(fault);
    assert_ldb_ok(ldb_env_create_folder(env, SIDECAR_ENV_DIR, &err), &err);
    assert_ldb_ok(repl_sidecar_make_folder(env, SIDECAR_ENV_DIR, &err), &err);
    put("000012.log", "twelve");
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(LDB_OK, take(begin(), "000012.log"));
    env_fault_set_call_hook(fault, remove_it, fault);
    list(&all);
    assert_int_equal(2, all.file_count);
    assert_string_equal("1-000012.log", all.files[0].name);
    assert_string_equal("3-000012.log", all.files[1].name);
    assert_int_equal(2, all.rewind_count);
    assert_int_equal(12, all.bytes);
    repl_diverged_release(&all);
    env_fault_destroy(fault);
    env = kept;
}

static void names_from_outside_lead_nowhere_else(void **state)
{
    static const char *const names[] = {
        "",
        "000012.log",
        "-000012.log",
        "0-000012.log",
        "01-000012.log",
        "1-12.log",
        "1-CURRENT",
        "1-MANIFEST-000004",
        "1-000012.log.part",
        "1-../../000012.log",
        "../rewinds",
        "1-/etc/passwd",
        "99999999999999999999999999-000012.log",
    };

    (void)state;
    put("000012.log", "twelve");
    assert_int_equal(LDB_OK, take(begin(), "000012.log"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ldb_error err = {0};
        struct ldb_random_file *file = NULL;
        uint64_t size;

        if (repl_diverged_open(env, SIDECAR_ENV_DIR, names[i], &err, &file,
                               &size) != LDB_NOT_FOUND ||
            repl_diverged_remove(env, SIDECAR_ENV_DIR, names[i], &err) !=
                LDB_NOT_FOUND)
            fail_msg("%s", names[i]);
    }
}

static void more_rewinds_than_may_be_are_refused(void **state)
{
    struct ldb_error err = {0};
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    uint64_t id = 0;
    char name[64];

    (void)state;
    put("000012.log", "twelve");
    begin();
    for (unsigned i = 1; i <= REPL_REWINDS_MAX; i++) {
        assert_int_equal(
            LDB_OK, ldb_buf_printf(&lines, "rewind %u 1 %016x 5 6 7\n", i, i));
        snprintf(name, sizeof(name),
                 SIDECAR_ENV_DIR "/leveld/diverged/%u-000012.log", i);
        assert_ldb_ok(
            env->ops->link_file(env, SIDECAR_ENV_DIR "/000012.log", name, &err),
            &err);
    }
    assert_ldb_ok(repl_sidecar_write(env, SIDECAR_ENV_DIR, "rewinds", 1,
                                     ldb_slice_of_buf(&lines), &err),
                  &err);
    ldb_buf_release(&lines);
    assert_ldb_status(
        LDB_TOO_LARGE,
        repl_diverged_begin(env, SIDECAR_ENV_DIR, &rewind_1, &err, &id), &err);
    assert_ldb_ok(
        repl_diverged_remove(env, SIDECAR_ENV_DIR, "1-000012.log", &err), &err);
    assert_int_equal(REPL_REWINDS_MAX + 1, begin());
}

static void damage_of_the_list_is_told(void **state)
{
    static const char *const rows[] = {
        "rewind 1 2 3 4\n",
        "rewind 0 1 000000000000000a 5 6 7\n",
        ("rewind 2 1 000000000000000a 5 6 7\n"
         "rewind 2 1 000000000000000a 5 6 7\n"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_diverged all = {0};
        struct ldb_error err = {0};

        assert_ldb_ok(repl_sidecar_write(env, SIDECAR_ENV_DIR, "rewinds", 1,
                                         ldb_slice_str(rows[i]), &err),
                      &err);
        assert_ldb_status(LDB_CORRUPTION,
                          repl_diverged_list(env, SIDECAR_ENV_DIR, &err, &all),
                          &err);
        assert_null(all.rewinds);
    }
}

/* ---- power cuts ---- */

struct cut_check {
    struct env_fault *fault;
    unsigned promised; /* files that were taken */
    unsigned cuts;
};

static void check_cut(void *context, enum env_fault_kind kind, const char *path)
{
    struct cut_check *check = context;
    struct env_fault *copy =
        env_fault_after_cut(check->fault, LDB_CRASH_KEEP_NONE, 0);
    struct repl_diverged all = {0};
    struct ldb_error err = {0};

    (void)kind;
    if (repl_diverged_list(env_fault_env(copy), SIDECAR_ENV_DIR, &err, &all) !=
        LDB_OK)
        fail_msg("cut before %s: %s", path, err.message);
    if (all.file_count < check->promised)
        fail_msg("cut before %s: %zu files", path, all.file_count);
    for (size_t i = 0; i < all.file_count; i++)
        assert_int_equal(6, all.files[i].bytes);
    repl_diverged_release(&all);
    env_fault_destroy(copy);
    check->cuts++;
}

static void what_was_taken_survives_a_power_cut_whole(void **state)
{
    struct ldb_env *kept = env;
    struct env_fault *fault = env_fault_create(NULL);
    struct cut_check check = {.fault = fault};
    struct ldb_error err = {0};

    (void)state;
    env = env_fault_env(fault);
    assert_ldb_ok(ldb_env_create_folder(env, SIDECAR_ENV_DIR, &err), &err);
    assert_ldb_ok(repl_sidecar_make_folder(env, SIDECAR_ENV_DIR, &err), &err);
    put("000012.log", "twelve");
    put("000013.log", "13teen");
    env_fault_set_call_hook(fault, check_cut, &check);
    assert_int_equal(LDB_OK, take(begin(), "000012.log"));
    check.promised = 1;
    /* Where no second name can be had it is copied. */
    env_fault_fail(fault, &(struct env_fault_rule){
                              .kinds = ENV_FAULT_BIT(ENV_FAULT_LINK_FILE),
                              .nth = 1,
                              .from_then_on = true,
                              .sys_errno = 1});
    assert_int_equal(LDB_OK, take(1, "000013.log"));
    check.promised = 2;
    assert_int_equal(2, begin());
    env_fault_set_call_hook(fault, NULL, NULL);
    assert_true(check.cuts > 10);
    env_fault_destroy(fault);
    env = kept;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void a_name_tells_the_kind_of_its_file(void **state)
{
    static const char *const rows[][2] = {
        {"1-000007.log", "000007.log"},
        {"12-000007.ldb", "000007.ldb"},
        {"1-000007.sst", "000007.sst"},
        {"3-entries.log", "000001.log"},
        {"000007.log", NULL},
        {"01-000007.log", NULL},
        {"1-MANIFEST-000007", NULL},
        {"1-CURRENT", NULL},
        {"x-000007.log", NULL},
        {"1-entries.ldb", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *plain = repl_diverged_plain_name(rows[i][0]);

        print_message("%s\n", rows[i][0]);
        if (rows[i][1] == NULL)
            assert_null(plain);
        else
            assert_string_equal(plain, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_without_any_has_none),
        TEST(what_is_taken_is_listed_and_can_be_read),
        TEST(taking_again_is_fine_but_not_other_bytes),
        TEST(a_rewind_goes_with_its_last_file_and_its_id_stays_used),
        TEST(the_list_goes_on_behind_any_name),
        TEST(one_that_is_removed_meanwhile_is_left_out),
        TEST(names_from_outside_lead_nowhere_else),
        TEST(a_name_tells_the_kind_of_its_file),
        TEST(more_rewinds_than_may_be_are_refused),
        TEST(damage_of_the_list_is_told),
        TEST(what_was_taken_survives_a_power_cut_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
