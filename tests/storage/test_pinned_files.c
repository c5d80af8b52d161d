/* The files of an open database at one moment: what belongs to it stays, what
 * is written later does not belong to it. */
#include "storage/pinned_files.h"

#include <errno.h>
#include <stdio.h>

#include "storage/base/env.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/mem_fault.h"

/* ---- taking ---- */

static uint64_t size_of(struct db_fixture *f, enum ldb_file_type type,
                        uint64_t number)
{
    char *path = ldb_file_path(DB_FIXTURE_DIR, type, number);
    uint64_t size = 0;

    assert_non_null(path);
    assert_ldb_ok(f->env->ops->file_size(f->env, path, &f->err, &size),
                  &f->err);
    ldb_mem_free(path);
    return size;
}

static void take(struct db_fixture *f, struct ldb_pinned_files *out)
{
    assert_ldb_ok(ldb_pinned_files_take(f->db, &f->err, out), &f->err);
}

static size_t count_tables(const struct ldb_pinned_files *pinned)
{
    size_t count = 0;

    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++)
        count += pinned->version->levels[l].count;
    return count;
}

static void lengths_are_those_of_the_moment(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_pinned_files pinned;
    uint64_t journal;
    uint64_t manifest;

    db_fixture_fill(f, 0, 10);
    db_fixture_flush(f);
    db_fixture_fill(f, 10, 20);
    take(f, &pinned);
    assert_int_equal(count_tables(&pinned), 1);
    assert_int_equal(pinned.journal_count, 1);
    assert_int_equal(pinned.journals[0].number, pinned.log_number);
    assert_int_equal(pinned.last_sequence, 10);
    assert_true(pinned.next_file_number > pinned.journals[0].number);
    journal = size_of(f, LDB_FILE_JOURNAL, pinned.journals[0].number);
    manifest = size_of(f, LDB_FILE_MANIFEST, pinned.manifest_number);
    assert_int_equal(pinned.journals[0].len, journal);
    assert_int_equal(pinned.manifest_len, manifest);
    db_fixture_fill(f, 20, 30);
    assert_int_equal(pinned.journals[0].len, journal);
    assert_true(size_of(f, LDB_FILE_JOURNAL, pinned.journals[0].number) >
                journal);
    ldb_pinned_files_release(&pinned);
}

static void tables_stay_until_released(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_pinned_files pinned;

    for (unsigned i = 0; i < 2; i++) {
        db_fixture_fill(f, 0, 50);
        db_fixture_flush(f);
    }
    take(f, &pinned);
    assert_int_equal(pinned.version->levels[0].count, 2);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_int_equal(count_tables(&pinned), 2);
    for (size_t i = 0; i < 2; i++) {
        const struct ldb_file_meta *meta = pinned.version->levels[0].files[i];

        assert_int_equal(size_of(f, LDB_FILE_TABLE, meta->number), meta->size);
    }
    ldb_pinned_files_release(&pinned);
    assert_null(pinned.version);
    db_fixture_reopen(f);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), 1);
}

static void sealed_journals_are_whole_and_come_first(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_pinned_files pinned;

    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
    db_fixture_fill(f, 0, 10);
    assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
    db_fixture_fill(f, 10, 20);
    take(f, &pinned);
    assert_int_equal(count_tables(&pinned), 0);
    assert_int_equal(pinned.journal_count, 2);
    assert_int_equal(pinned.journals[0].number, pinned.log_number);
    assert_int_equal(pinned.journals[0].len, LDB_PINNED_WHOLE);
    assert_true(pinned.journals[1].number > pinned.journals[0].number);
    assert_int_equal(pinned.journals[1].len,
                     size_of(f, LDB_FILE_JOURNAL, pinned.journals[1].number));
    ldb_pinned_files_release(&pinned);
}

static void a_read_only_database_lists_no_journal(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_pinned_files pinned;

    db_fixture_fill(f, 0, 10);
    db_fixture_flush(f);
    db_fixture_fill(f, 10, 20);
    db_fixture_close(f);
    f->options.read_only = true;
    db_fixture_open(f);
    take(f, &pinned);
    assert_int_equal(pinned.journal_count, 0);
    assert_int_equal(count_tables(&pinned), 1);
    assert_true(pinned.manifest_len > 0);
    ldb_pinned_files_release(&pinned);
}

/* As a MANIFEST tells them: the only part that needs memory. */
static void set_pointers(struct db_fixture *f)
{
    struct ldb_version_edit edit;

    ldb_version_edit_init(&edit);
    for (uint32_t l = 1; l < 4; l++)
        assert_ldb_ok(ldb_version_edit_set_pointer(
                          &edit, l, ldb_slice_str("key\1\1\1\1\1\1\1\1")),
                      NULL);
    ldb_mutex_lock(&f->db->mu);
    assert_ldb_ok(ldb_version_set_apply(f->db->versions, &edit, &f->err),
                  &f->err);
    ldb_mutex_unlock(&f->db->mu);
    ldb_version_edit_release(&edit);
}

static void taking_without_memory_can_be_released(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_pinned_files pinned;
    unsigned failed = 0;

    db_fixture_fill(f, 0, 10);
    db_fixture_flush(f);
    db_fixture_settle(f); /* its thread allocates too */
    set_pointers(f);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_pinned_files_take(f->db, &f->err, &pinned);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        ldb_pinned_files_release(&pinned);
        failed++;
    }
    assert_int_equal(failed, 3);
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        const char *expected = l >= 1 && l < 4 ? "key\1\1\1\1\1\1\1\1" : "";

        assert_ldb_slice(ldb_slice_str(expected),
                         ldb_slice_of_buf(&pinned.pointers[l]));
    }
    ldb_pinned_files_release(&pinned);
}

/* ---- a file cut short ---- */

#define FILE_NAME "000999.log"
#define FILE_PATH DB_FIXTURE_DIR "/" FILE_NAME
#define FILE_TEXT "0123456789"

/* Reads to the end, step bytes at a time. */
static void read_on(struct ldb_sequential_file *file, size_t step,
                    struct ldb_buf *out)
{
    struct ldb_error err = {0};
    uint8_t scratch[64];
    size_t len = 1;

    assert_true(step <= sizeof(scratch));
    while (len > 0) {
        assert_ldb_ok(ldb_sequential_read(file, step, scratch, &len, &err),
                      &err);
        assert_in_range(len, 0, step);
        assert_ldb_ok(ldb_buf_append(out, ldb_slice_make(scratch, len)), NULL);
    }
}

static void a_file_ends_where_it_is_cut(void **state)
{
    static const struct {
        uint64_t len;
        uint64_t skip;
        const char *expected;
    } rows[] = {
        {0, 0, ""},
        {1, 0, "0"},
        {4, 0, "0123"},
        {9, 0, "012345678"},
        {10, 0, FILE_TEXT},
        {11, 0, FILE_TEXT},
        {LDB_PINNED_WHOLE, 0, FILE_TEXT},
        {4, 3, "3"},
        {4, 4, ""},
        {4, 5, ""},
        {4, UINT64_MAX, ""},
        {LDB_PINNED_WHOLE, 7, "789"},
    };
    static const size_t steps[] = {1, 3, 64};
    struct db_fixture *f = *state;

    db_fixture_write_file(f, FILE_NAME, ldb_slice_str(FILE_TEXT));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * 3; i++) {
        struct ldb_buf out = LDB_BUF_INIT(100);
        struct ldb_sequential_file *file = NULL;

        assert_ldb_ok(
            ldb_pinned_open(f->env, FILE_PATH, rows[i / 3].len, &f->err, &file),
            &f->err);
        assert_ldb_ok((file->ops->skip)(file, rows[i / 3].skip, &f->err),
                      &f->err);
        read_on(file, steps[i % 3], &out);
        ldb_sequential_close(file);
        assert_ldb_slice(ldb_slice_str(rows[i / 3].expected),
                         ldb_slice_of_buf(&out));
        ldb_buf_release(&out);
    }
}

static void what_is_appended_later_is_not_read(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf out = LDB_BUF_INIT(100);
    struct ldb_sequential_file *file = NULL;

    db_fixture_write_file(f, FILE_NAME, ldb_slice_str(FILE_TEXT));
    assert_ldb_ok(ldb_pinned_open(f->env, FILE_PATH, 10, &f->err, &file),
                  &f->err);
    db_fixture_write_file(f, FILE_NAME, ldb_slice_str(FILE_TEXT "later"));
    read_on(file, 4, &out);
    ldb_sequential_close(file);
    assert_ldb_slice(ldb_slice_str(FILE_TEXT), ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

static void a_file_that_cannot_be_opened_is_an_error(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_sequential_file *file = NULL;
    unsigned failed = 0;

    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_pinned_open(f->env, FILE_PATH, 1, &f->err, &file),
                      &f->err);
    db_fixture_write_file(f, FILE_NAME, ldb_slice_str(FILE_TEXT));
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_pinned_open(f->env, FILE_PATH, 1, &f->err, &file);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        assert_null(file);
        failed++;
    }
    assert_true(failed > 0);
    ldb_sequential_close(file);
}

/* The failed call has taken nothing from what is left. */
static void a_failed_read_is_told_and_can_be_repeated(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_sequential_file *file = NULL;
    struct ldb_buf out = LDB_BUF_INIT(100);
    uint8_t scratch[8];
    size_t len = 99;

    db_fixture_write_file(f, FILE_NAME, ldb_slice_str(FILE_TEXT));
    assert_ldb_ok(ldb_pinned_open(f->env, FILE_PATH, 4, &f->err, &file),
                  &f->err);
    db_fixture_fail(f, 0, FILE_NAME, EIO);
    assert_ldb_status(
        LDB_IO, ldb_sequential_read(file, 8, scratch, &len, &f->err), &f->err);
    assert_int_equal(len, 99);
    assert_ldb_status(LDB_IO, (file->ops->skip)(file, 2, &f->err), &f->err);
    env_fault_fail(f->fault, NULL);
    read_on(file, 8, &out);
    ldb_sequential_close(file);
    assert_ldb_slice(ldb_slice_str("0123"), ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, db_fixture_setup,                \
                                    db_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(lengths_are_those_of_the_moment),
        CASE(tables_stay_until_released),
        CASE(sealed_journals_are_whole_and_come_first),
        CASE(a_read_only_database_lists_no_journal),
        CASE(taking_without_memory_can_be_released),
        CASE(a_file_ends_where_it_is_cut),
        CASE(what_is_appended_later_is_not_read),
        CASE(a_file_that_cannot_be_opened_is_an_error),
        CASE(a_failed_read_is_told_and_can_be_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
