#include "replication/digest_store.h"

#include <errno.h>

#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "storage/retained.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"

#define DIR "db"

static struct env_fault *fault;
static struct ldb_env *env;

static int setup(void **state)
{
    (void)state;
    fault = env_fault_create(NULL);
    env = env_fault_env(fault);
    assert_ldb_ok(env->ops->create_dir(env, DIR, NULL), NULL);
    assert_ldb_ok(repl_sidecar_make_folder(env, DIR, NULL), NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    env_fault_destroy(fault);
    return 0;
}

static void put_file(const char *path)
{
    assert_ldb_ok(ldb_env_replace_file(env, DIR, path, DIR "/t",
                                       ldb_slice_str("x"), NULL),
                  NULL);
}

/* Three of them, not in order. */
static void make_list(struct repl_digest_list *list)
{
    static const struct repl_digest_record records[] = {
        {{LDB_FILE_TABLE, 12, 1000}, {{0xab, 0xcd}}},
        {{LDB_FILE_JOURNAL, 7, 200}, {{0x01}}},
        {{LDB_FILE_TABLE, 7, UINT64_MAX}, {{0x02}}},
    };

    list->items = ldb_mem_dup(records, sizeof(records));
    assert_non_null(list->items);
    list->count = 3;
}

static void write_lines(const char *lines)
{
    struct ldb_error err = {0};

    assert_ldb_ok(
        repl_sidecar_write(env, DIR, "digests", 1, ldb_slice_str(lines), &err),
        &err);
}

#define ZEROS_30 "000000000000000000000000000000"

static void a_file_has_these_lines(void **state)
{
    struct repl_digest_list list = {0};
    struct ldb_buf lines = LDB_BUF_INIT(4096);
    struct ldb_error err = {0};

    (void)state;
    make_list(&list);
    assert_ldb_ok(repl_digest_store_save(env, DIR, &list, 3, &err), &err);
    assert_ldb_ok(repl_sidecar_read(env, DIR, "digests", 1, &err, &lines),
                  &err);
    assert_ldb_slice(
        ldb_slice_str("journal 7 200 01" ZEROS_30 "\n"
                      "table 7 18446744073709551615 02" ZEROS_30 "\n"
                      "table 12 1000 abcd0000000000000000000000000000\n"),
        ldb_slice_of_buf(&lines));
    ldb_buf_release(&lines);
    repl_digest_list_release(&list);
}

static void what_was_stored_comes_back(void **state)
{
    struct repl_digest_list list = {0};
    struct repl_digest_list loaded = {0};
    struct ldb_error err = {0};

    (void)state;
    make_list(&list);
    assert_ldb_ok(repl_digest_store_save(env, DIR, &list, 3, &err), &err);
    assert_ldb_ok(repl_digest_store_load(env, DIR, &err, &loaded), &err);
    assert_int_equal(3, loaded.count);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(list.items[i].file.type, loaded.items[i].file.type);
        assert_true(list.items[i].file.number == loaded.items[i].file.number);
        assert_true(list.items[i].file.size == loaded.items[i].file.size);
        assert_true(
            ldb_digest_equal(&list.items[i].digest, &loaded.items[i].digest));
    }
    repl_digest_list_release(&loaded);
    /* The first alone. */
    assert_ldb_ok(repl_digest_store_save(env, DIR, &list, 1, &err), &err);
    assert_ldb_ok(repl_digest_store_load(env, DIR, &err, &loaded), &err);
    assert_int_equal(1, loaded.count);
    assert_int_equal(LDB_FILE_JOURNAL, loaded.items[0].file.type);
    repl_digest_list_release(&loaded);
    repl_digest_list_release(&list);
}

static void what_cannot_be_read_is_an_empty_list(void **state)
{
    static const char good[] = "table 7 1 02" ZEROS_30 "\n";
    static const struct {
        const char *lines;
        size_t count; /* that are taken */
    } rows[] = {
        {good, 1},
        {"", 0},
        {"table 7 1 02" ZEROS_30 "\ntable 8 1 0\n", 1},
        {"table 7 1 02" ZEROS_30 "00\n", 0},
        {"table 7 1 0X" ZEROS_30 "\n", 0},
        {"table 7 -1 02" ZEROS_30 "\n", 0},
        {"table x 1 02" ZEROS_30 "\n", 0},
        {"manifest 7 1 02" ZEROS_30 "\n", 0},
        {"table 7 1 02" ZEROS_30 " 1\n", 0},
        {"\n\n\n", 0},
    };
    struct repl_digest_list loaded = {0};
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_ok(repl_digest_store_load(env, DIR, &err, &loaded), &err);
    assert_int_equal(0, loaded.count);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_lines(rows[i].lines);
        assert_ldb_ok(repl_digest_store_load(env, DIR, &err, &loaded), &err);
        if (loaded.count != rows[i].count)
            fail_msg("row %zu: %zu", i, loaded.count);
        repl_digest_list_release(&loaded);
    }
    put_file(DIR "/" REPL_SIDECAR_FOLDER "/digests");
    assert_ldb_ok(repl_digest_store_load(env, DIR, &err, &loaded), &err);
    assert_int_equal(0, loaded.count);
}

static void a_newer_format_is_refused(void **state)
{
    struct repl_digest_list loaded = {0};
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_ok(repl_sidecar_write(env, DIR, "digests", 2,
                                     ldb_slice_str("new\n"), &err),
                  &err);
    assert_ldb_status(LDB_NOT_SUPPORTED,
                      repl_digest_store_load(env, DIR, &err, &loaded), &err);
}

static void those_of_files_that_are_gone_are_sorted_out(void **state)
{
    static const struct repl_digest_record records[] = {
        {{LDB_FILE_TABLE, 1, 1}, {{1}}},   /* .ldb */
        {{LDB_FILE_TABLE, 2, 1}, {{2}}},   /* gone */
        {{LDB_FILE_TABLE, 3, 1}, {{3}}},   /* .sst */
        {{LDB_FILE_JOURNAL, 1, 1}, {{4}}}, /* gone, a table has its number */
        {{LDB_FILE_JOURNAL, 4, 1}, {{5}}}, /* in the folder */
        {{LDB_FILE_JOURNAL, 5, 1}, {{6}}}, /* in the archive */
        {{LDB_FILE_TABLE, 5, 1}, {{7}}},   /* gone */
    };
    struct repl_digest_list list = {.count = 7};
    struct ldb_error err = {0};
    unsigned present = 0;
    size_t gone = 0;

    (void)state;
    list.items = ldb_mem_dup(records, sizeof(records));
    assert_non_null(list.items);
    put_file(DIR "/000001.ldb");
    put_file(DIR "/000003.sst");
    put_file(DIR "/000004.log");
    /* Without an archive. */
    assert_ldb_ok(repl_digest_store_sort_out(env, DIR, &list, &err, &gone),
                  &err);
    assert_int_equal(4, gone);
    assert_ldb_ok(env->ops->create_dir(env, DIR "/" LDB_ARCHIVE_FOLDER, NULL),
                  NULL);
    put_file(DIR "/" LDB_ARCHIVE_FOLDER "/000005.log");
    assert_ldb_ok(repl_digest_store_sort_out(env, DIR, &list, &err, &gone),
                  &err);
    assert_int_equal(3, gone);
    for (size_t i = 0; i < 4; i++)
        present |= 1u << list.items[i].digest.bytes[0];
    assert_int_equal(1u << 1 | 1u << 3 | 1u << 5 | 1u << 6, present);
    for (size_t i = 4; i < 7; i++)
        present |= 1u << list.items[i].digest.bytes[0];
    assert_int_equal(0xfe, present);
    repl_digest_list_release(&list);
}

static void the_newest_are_stored_when_there_are_too_many(void **state)
{
    const size_t count = REPL_DIGESTS_STORED_MAX + 10;
    struct repl_digest_list list = {.count = count};
    struct repl_digest_list loaded = {0};
    struct ldb_error err = {0};

    (void)state;
    list.items = ldb_mem_zalloc(count, sizeof(*list.items));
    assert_non_null(list.items);
    /* As long as lines can be. */
    for (size_t i = 0; i < count; i++)
        list.items[i].file = (struct repl_digest_file){
            .type = LDB_FILE_JOURNAL,
            .number = UINT64_MAX - i,
            .size = UINT64_MAX,
        };
    assert_ldb_ok(repl_digest_store_save(env, DIR, &list, count, &err), &err);
    assert_ldb_ok(repl_digest_store_load(env, DIR, &err, &loaded), &err);
    assert_int_equal(REPL_DIGESTS_STORED_MAX, loaded.count);
    assert_true(loaded.items[0].file.number ==
                UINT64_MAX - REPL_DIGESTS_STORED_MAX + 1);
    repl_digest_list_release(&loaded);
    repl_digest_list_release(&list);
}

static void failures_are_told(void **state)
{
    struct env_fault_rule rule = {.sys_errno = EIO};
    struct repl_digest_list list = {0};
    struct ldb_error err = {0};
    size_t gone = 77;

    (void)state;
    make_list(&list);
    for (rule.nth = 1;; rule.nth++) {
        enum ldb_status s;

        env_fault_fail(fault, &rule);
        s = repl_digest_store_sort_out(env, DIR, &list, &err, &gone);
        if (s == LDB_OK)
            s = repl_digest_store_save(env, DIR, &list, 3 - gone, &err);
        if (env_fault_failed(fault) == 0)
            break;
        assert_ldb_status(LDB_IO, s, &err);
    }
    assert_true(rule.nth > 5);
    env_fault_fail(fault, NULL);
    write_lines("table 7 1 02" ZEROS_30 "\n");
    for (uint64_t n = 1;; n++) {
        struct repl_digest_list loaded = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_digest_store_load(env, DIR, &err, &loaded);
        if (s == LDB_OK)
            s = repl_digest_store_sort_out(env, DIR, &loaded, &err, &gone);
        if (s == LDB_OK)
            s = repl_digest_store_save(env, DIR, &loaded, loaded.count, &err);
        repl_digest_list_release(&loaded);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
    repl_digest_list_release(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_has_these_lines, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_stored_comes_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_an_empty_list,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_format_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            those_of_files_that_are_gone_are_sorted_out, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_newest_are_stored_when_there_are_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_are_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
