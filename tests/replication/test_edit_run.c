/* Which of a leader's edits are one run, by journals and by missing tables. */
#include "replication/edit_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/journal/journal_writer.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/memory_file.h"
#include "tests/support/version_rows.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RECORD_MAX   ((size_t)1 << 16)
#define RECORDS_MAX  16
#define MANIFEST     4

struct fixture {
    struct memory_file file;
    struct ldb_journal_writer *writer;
    size_t ends[RECORDS_MAX]; /* of the records that were written */
    size_t count;
    struct ldb_error err;
};

static struct fixture f;

static void open_file(void)
{
    f = (struct fixture){0};
    memory_file_init(&f.file);
    assert_ldb_ok(ldb_journal_writer_create(&f.file.base, 0, &f.err, &f.writer),
                  &f.err);
}

static void close_file(void)
{
    assert_ldb_ok(ldb_journal_writer_close(f.writer, NULL), NULL);
    memory_file_release(&f.file);
}

static void write_record(struct ldb_slice record)
{
    assert_ldb_ok(ldb_journal_writer_add(f.writer, &record, 1, &f.err), &f.err);
    assert_ldb_ok(ldb_journal_writer_flush(f.writer, &f.err), &f.err);
    f.ends[f.count++] = f.file.bytes.len;
}

/* "l5": the log number; "n", "s": what a whole MANIFEST has besides; "+1:20",
 * "-1:20": table 20 of level 1. */
static void add_word(struct ldb_version_edit *edit, const char *word)
{
    const char *colon = strchr(word, ':');
    uint64_t number = strtoull(colon == NULL ? word + 1 : colon + 1, NULL, 10);
    uint32_t level = colon == NULL ? 0 : (uint32_t)strtoul(word + 1, NULL, 10);
    const struct version_row row = {level, number, 100, "a@1", "b@1"};

    if (word[0] == 'l')
        ldb_version_edit_set_log_number(edit, number);
    else if (word[0] == 'n')
        ldb_version_edit_set_next_file_number(edit, 50);
    else if (word[0] == 's')
        ldb_version_edit_set_last_sequence(edit, 7);
    else if (word[0] == '+')
        version_rows_add(edit, &row);
    else if (word[0] == '-')
        assert_ldb_ok(ldb_version_edit_delete_file(edit, level, number), NULL);
    else
        fail_msg("no word: %s", word);
}

/* Records, with ';' between. */
static void write_records(const char *text)
{
    char *copy = strdup(text);
    char *rest = copy;
    char *line;

    assert_non_null(copy);
    while ((line = strsep(&rest, ";")) != NULL) {
        struct ldb_version_edit edit = {0};
        struct ldb_buf record = LDB_BUF_INIT(RECORD_MAX);
        char *word;

        while ((word = strsep(&line, " ")) != NULL) {
            if (word[0] != '\0')
                add_word(&edit, word);
        }
        assert_ldb_ok(ldb_version_edit_encode(&edit, &record), NULL);
        write_record(ldb_slice_of_buf(&record));
        ldb_version_edit_release(&edit);
        ldb_buf_release(&record);
    }
    free(copy);
}

static enum ldb_status find(size_t from, size_t cut,
                            const struct repl_edit_run_limits *limits,
                            struct repl_edit_run *out)
{
    return repl_edit_run_find(
        MANIFEST, from,
        ldb_slice_make(f.file.bytes.data + from, f.file.bytes.len - from - cut),
        limits, &f.err, out);
}

struct row {
    const char *name;
    const char *records; /* after a first one, unless is_whole */
    bool is_whole;
    uint64_t log_number;
    const uint64_t *missing;
    size_t missing_count;
    size_t expected; /* records of the run */
    bool is_short;
};

static void check_row(const struct row *row)
{
    const struct repl_edit_run_limits limits = {
        .log_number = row->log_number,
        .missing = row->missing,
        .missing_count = row->missing_count,
    };
    struct repl_edit_run run;
    size_t skipped = row->is_whole ? 0 : 1;
    size_t from;

    open_file();
    if (!row->is_whole)
        write_records("n");
    from = row->is_whole ? 0 : f.file.bytes.len;
    write_records(row->records);
    assert_ldb_ok(find(from, 0, &limits, &run), &f.err);
    if (run.records != row->expected || run.is_short != row->is_short)
        fail_msg("%s: %zu records%s", row->name, run.records,
                 run.is_short ? ", short" : "");
    assert_int_equal(run.whole_records, f.count - skipped);
    assert_int_equal(run.whole_len, f.file.bytes.len - from);
    assert_int_equal(run.len, run.records == 0
                                  ? 0
                                  : f.ends[run.records + skipped - 1] - from);
    close_file();
}

static void a_run_is_as_long_as_can_be(void **state)
{
    static const uint64_t seven[] = {7};
    static const uint64_t two[] = {7, 8};
    static const struct row rows[] = {
        {"edits that ask for no journal", "+0:7;-0:7 +1:7;+0:9", false, 5, NULL,
         0, 3, false},
        {"the journal is here", "l5 +0:7;l6 +0:8", false, 6, NULL, 0, 2, false},
        {"one journal is not", "l5 +0:7;l6 +0:8;+1:9", false, 5, NULL, 0, 1,
         true},
        {"none is", "l6 +0:7;l7 +0:8", false, 5, NULL, 0, 0, true},
        {"a later edit asks for less", "l6 +0:7;l5;+0:9", false, 5, NULL, 0, 0,
         true},
        {"a missing table comes and goes", "+0:7;+0:8;-0:7 -0:8 +1:9", false, 5,
         seven, 1, 3, false},
        {"a run ends before it comes", "+0:6;+0:7;+0:8", false, 5, seven, 1, 1,
         false},
        {"it is the first", "+0:7;+0:8", false, 5, seven, 1, 0, false},
        {"it moves down and goes", "+0:7;-0:7 +1:7;-1:7 +2:9", false, 5, seven,
         1, 3, false},
        {"it moves down", "+0:6;+0:7;-0:7 +1:7", false, 5, seven, 1, 1, false},
        {"two of them, one goes", "+0:6;+0:7 +0:8;-0:7;+0:9", false, 5, two, 2,
         1, false},
        {"two of them go", "+0:7;+0:8;-0:7;-0:8", false, 5, two, 2, 4, false},
        {"one goes after a journal that is not here", "+0:6;+0:7;l6 +0:8;-0:7",
         false, 5, seven, 1, 1, true},
        {"one that was never named goes", "-0:7;+0:8", false, 5, seven, 1, 2,
         false},
        {"a MANIFEST that has all", "l2 n s +0:6;+0:7", true, 5, NULL, 0, 2,
         false},
        {"one that has it in two records", "n;l2 n s;+0:6", true, 5, NULL, 0, 3,
         false},
        {"one that has not yet", "n;n s", true, 5, NULL, 0, 0, false},
        {"one of a journal not here", "l6 n s", true, 5, NULL, 0, 0, true},
        {"one with a journal that is here, then not", "l5 n s;l6", true, 5,
         NULL, 0, 1, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check_row(&rows[i]);
}

static void what_has_begun_of_a_record_is_left_aside(void **state)
{
    const struct repl_edit_run_limits limits = {.log_number = 9};
    struct repl_edit_run run;
    size_t from;

    (void)state;
    open_file();
    write_records("n");
    from = f.file.bytes.len;
    write_records("+0:7;+0:8;+0:9");
    for (size_t cut = 0; cut <= f.ends[3] - from; cut++) {
        size_t whole = 0;

        assert_ldb_ok(find(from, cut, &limits, &run), &f.err);
        while (whole < 3 && f.ends[whole + 1] <= f.ends[3] - cut)
            whole++;
        assert_int_equal(whole, run.records);
        assert_int_equal(whole, run.whole_records);
        assert_int_equal(whole == 0 ? 0 : f.ends[whole] - from, run.len);
        assert_int_equal(run.len, run.whole_len);
    }
    close_file();
}

static void damage_is_told_with_its_place(void **state)
{
    const struct repl_edit_run_limits limits = {.log_number = 9};
    struct repl_edit_run run = {.len = 77};

    (void)state;
    open_file();
    write_records("n s l2;+0:7");
    write_record(ldb_slice_str("\x63nothing"));
    assert_ldb_status(LDB_CORRUPTION, find(0, 0, &limits, &run), &f.err);
    assert_ldb_message("MANIFEST-000004: edit at", &f.err);
    f.file.bytes.data[f.ends[0] + 8] ^= 1;
    assert_ldb_status(LDB_CORRUPTION, find(0, 0, &limits, &run), &f.err);
    assert_ldb_message("MANIFEST-000004", &f.err);
    assert_int_equal(77, run.len);
    close_file();
}

static void no_memory_is_told(void **state)
{
    static const uint64_t missing[] = {7};
    const struct repl_edit_run_limits limits = {
        .log_number = 9, .missing = missing, .missing_count = 1};
    struct repl_edit_run run;

    (void)state;
    open_file();
    write_records("n s l2 +0:7;-0:7 +1:8");
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = find(0, 0, &limits, &run);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
    }
    assert_int_equal(2, run.records);
    close_file();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_as_long_as_can_be),
        cmocka_unit_test(what_has_begun_of_a_record_is_left_aside),
        cmocka_unit_test(damage_is_told_with_its_place),
        cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
