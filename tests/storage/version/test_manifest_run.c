/* Records of a MANIFEST, as bytes, become one edit of a version. */
#include "storage/version/manifest_run.h"

#include <stdio.h>

#include "storage/journal/journal_writer.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/memory_file.h"
#include "tests/support/version_rows.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RECORD_MAX   ((size_t)1 << 16)

/* A MANIFEST in the making. */
struct fixture {
    struct memory_file file;
    struct ldb_journal_writer *writer;
    struct ldb_version_edit edit; /* the next record's */
    struct ldb_version *base;
    size_t from; /* where the run begins */
    struct ldb_manifest_run run;
    struct ldb_error err;
};

static const struct version_row base_rows[] = {
    {0, 20, 100, "a@30", "z@31"},
    {1, 11, 100, "b@1", "c@1"},
    {1, 12, 100, "m@1", "n@1"},
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    memory_file_init(&f.file);
    assert_ldb_ok(ldb_journal_writer_create(&f.file.base, 0, &f.err, &f.writer),
                  &f.err);
    f.base = version_rows_make(base_rows, COUNT(base_rows));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_manifest_run_release(&f->run);
    ldb_version_edit_release(&f->edit);
    ldb_version_unref(f->base);
    assert_ldb_ok(ldb_journal_writer_close(f->writer, NULL), NULL);
    memory_file_release(&f->file);
    return 0;
}

static void add(struct fixture *f, uint32_t level, uint64_t number,
                const char *smallest, const char *largest)
{
    const struct version_row row = {level, number, 100, smallest, largest};

    version_rows_add(&f->edit, &row);
}

static void drop(struct fixture *f, uint32_t level, uint64_t number)
{
    assert_ldb_ok(ldb_version_edit_delete_file(&f->edit, level, number), NULL);
}

static void write_record(struct fixture *f, struct ldb_slice record)
{
    assert_ldb_ok(ldb_journal_writer_add(f->writer, &record, 1, &f->err),
                  &f->err);
    assert_ldb_ok(ldb_journal_writer_flush(f->writer, &f->err), &f->err);
}

/* The edit becomes a record. */
static void end_record(struct fixture *f)
{
    struct ldb_buf record = LDB_BUF_INIT(RECORD_MAX);

    assert_ldb_ok(ldb_version_edit_encode(&f->edit, &record), NULL);
    write_record(f, ldb_slice_of_buf(&record));
    ldb_version_edit_clear(&f->edit);
    ldb_buf_release(&record);
}

/* What a MANIFEST has before a run that follows it. */
static void begin_run(struct fixture *f)
{
    ldb_version_edit_set_next_file_number(&f->edit, 2);
    end_record(f);
    f->from = f->file.bytes.len;
}

/* The last cut bytes are not there yet. */
static enum ldb_status read_run(struct fixture *f, size_t cut)
{
    return ldb_manifest_run_read(
        &f->run, ldb_comparator_bytewise(), f->base, 3, f->from,
        ldb_slice_make(f->file.bytes.data + f->from,
                       f->file.bytes.len - f->from - cut),
        &f->err);
}

/* "L:N" of each table, deleted ones with '-', by number. */
static void assert_tables(const struct fixture *f, const char *expected)
{
    const struct ldb_version_edit *edit = &f->run.edit;
    char text[200] = "";
    size_t len = 0;

    for (uint64_t number = 0; number < 100; number++) {
        for (size_t i = 0; i < edit->deleted_count; i++)
            if (edit->deleted[i].number == number)
                len += (size_t)snprintf(text + len, sizeof(text) - len,
                                        "-%u:%llu ", edit->deleted[i].level,
                                        (unsigned long long)number);
        for (size_t i = 0; i < edit->added_count; i++)
            if (edit->added[i].meta->number == number)
                len += (size_t)snprintf(text + len, sizeof(text) - len,
                                        "+%u:%llu ", edit->added[i].level,
                                        (unsigned long long)number);
    }
    assert_string_equal(expected, text);
}

static void one_record_is_its_edit(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf pointer = version_rows_key("m@5");

    begin_run(f);
    ldb_version_edit_set_log_number(&f->edit, 40);
    ldb_version_edit_set_next_file_number(&f->edit, 50);
    ldb_version_edit_set_last_sequence(&f->edit, 60);
    assert_ldb_ok(
        ldb_version_edit_set_pointer(&f->edit, 1, ldb_slice_of_buf(&pointer)),
        NULL);
    add(f, 0, 30, "a@50", "b@60");
    drop(f, 1, 12);
    end_record(f);
    assert_ldb_ok(read_run(f, 0), &f->err);
    assert_tables(f, "-1:12 +0:30 ");
    assert_int_equal(f->run.record_count, 1);
    assert_int_equal(f->run.number, 3);
    assert_int_equal(f->run.offset, f->from);
    assert_int_equal(f->run.len, f->file.bytes.len - f->from);
    assert_true(f->run.edit.has_log_number);
    assert_int_equal(f->run.edit.log_number, 40);
    assert_int_equal(f->run.edit.next_file_number, 50);
    assert_true(f->run.edit.has_last_sequence);
    assert_int_equal(f->run.edit.last_sequence, 60);
    assert_int_equal(f->run.edit.pointer_count, 1);
    assert_ldb_slice(ldb_slice_of_buf(&pointer), f->run.edit.pointers[0].key);
    ldb_buf_release(&pointer);
}

static void a_run_is_folded_into_what_it_comes_to(void **state)
{
    struct fixture *f = *state;

    begin_run(f);
    ldb_version_edit_set_log_number(&f->edit, 40);
    ldb_version_edit_set_last_sequence(&f->edit, 60);
    add(f, 0, 30, "a@50", "b@60");
    end_record(f);
    drop(f, 0, 30); /* comes and goes */
    add(f, 1, 31, "e@50", "f@60");
    end_record(f);
    drop(f, 1, 31); /* moves on */
    add(f, 2, 31, "e@50", "f@60");
    end_record(f);
    ldb_version_edit_set_log_number(&f->edit, 41);
    end_record(f);
    assert_ldb_ok(read_run(f, 0), &f->err);
    assert_tables(f, "-0:30 -1:31 +2:31 ");
    assert_int_equal(f->run.record_count, 4);
    assert_int_equal(f->run.edit.log_number, 41);
    assert_int_equal(f->run.edit.last_sequence, 60);
    assert_false(f->run.edit.has_next_file_number);
}

/* All that is not in it goes. */
static void a_whole_manifest_takes_the_place_of_the_version(void **state)
{
    struct fixture *f = *state;

    assert_ldb_ok(ldb_version_edit_set_comparator(
                      &f->edit, ldb_comparator_bytewise()->name),
                  NULL);
    ldb_version_edit_set_log_number(&f->edit, 40);
    ldb_version_edit_set_next_file_number(&f->edit, 50);
    ldb_version_edit_set_last_sequence(&f->edit, 60);
    add(f, 0, 20, "a@30", "z@31"); /* stays */
    add(f, 1, 30, "e@1", "f@1");
    add(f, 2, 12, "m@1", "n@1"); /* moved */
    end_record(f);
    assert_ldb_ok(read_run(f, 0), &f->err);
    assert_tables(f, "-1:11 -1:12 +2:12 +1:30 ");
    assert_int_equal(f->run.offset, 0);
}

static void a_whole_manifest_has_all_fields(void **state)
{
    struct fixture *f = *state;

    ldb_version_edit_set_log_number(&f->edit, 40);
    ldb_version_edit_set_next_file_number(&f->edit, 50);
    ldb_version_edit_set_last_sequence(&f->edit, 60);
    end_record(f);
    assert_ldb_status(LDB_CORRUPTION, read_run(f, 0), &f->err);
    assert_ldb_message("MANIFEST-000003 has no comparator", &f->err);
}

static void what_has_begun_of_a_record_is_left_aside(void **state)
{
    struct fixture *f = *state;
    size_t whole;

    begin_run(f);
    add(f, 0, 30, "a@50", "b@60");
    end_record(f);
    whole = f->file.bytes.len - f->from;
    add(f, 0, 31, "a@61", "b@70");
    end_record(f);
    for (size_t cut = 1; cut < f->file.bytes.len - f->from - whole; cut++) {
        assert_ldb_ok(read_run(f, cut), &f->err);
        assert_tables(f, "+0:30 ");
        assert_int_equal(f->run.len, whole);
        ldb_manifest_run_release(&f->run);
    }
    f->run = (struct ldb_manifest_run){0};
}

static void what_makes_no_run_is_refused(void **state)
{
    struct fixture *f = *state;

    begin_run(f);
    assert_ldb_status(LDB_INVALID_ARGUMENT, read_run(f, 0), &f->err);
    assert_ldb_message("no whole record", &f->err);
    write_record(f, ldb_slice_make("\x63", 1)); /* an unknown tag */
    assert_ldb_status(LDB_CORRUPTION, read_run(f, 0), &f->err);
    assert_ldb_message("MANIFEST-000003: record at 9", &f->err);
    f->from = f->file.bytes.len;
    assert_ldb_ok(ldb_version_edit_set_comparator(&f->edit, "other"), NULL);
    end_record(f);
    assert_ldb_status(LDB_INVALID_ARGUMENT, read_run(f, 0), &f->err);
    f->from = f->file.bytes.len;
    add(f, 1, 40, "b@9", "e@9");
    end_record(f);
    end_record(f); /* one alone is looked at when it is installed */
    assert_ldb_status(LDB_CORRUPTION, read_run(f, 0), &f->err);
    assert_ldb_message("overlap", &f->err);
    f->file.bytes.data[f->from + 9] ^= 1;
    assert_ldb_status(LDB_CORRUPTION, read_run(f, 0), &f->err);
    assert_ldb_message("MANIFEST-000003: checksum mismatch at offset", &f->err);
}

static void failed_allocations_are_survived(void **state)
{
    struct fixture *f = *state;

    begin_run(f);
    for (uint64_t i = 0; i < 20; i++)
        add(f, 0, 30 + i, "a@50", "b@60");
    end_record(f);
    drop(f, 0, 30);
    end_record(f);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = read_run(f, 0);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_record_is_its_edit),
        TEST(a_run_is_folded_into_what_it_comes_to),
        TEST(a_whole_manifest_takes_the_place_of_the_version),
        TEST(a_whole_manifest_has_all_fields),
        TEST(what_has_begun_of_a_record_is_left_aside),
        TEST(what_makes_no_run_is_refused),
        TEST(failed_allocations_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
