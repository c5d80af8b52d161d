/* Which of a leader's edits are one run, by journals and by missing tables. */
#include "replication/edit_run.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/manifest_text.h"
#include "tests/support/mem_fault.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MANIFEST     4

static struct manifest_text f;

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

    manifest_text_open(&f);
    if (!row->is_whole)
        manifest_text_write(&f, "n");
    from = row->is_whole ? 0 : f.file.bytes.len;
    manifest_text_write(&f, row->records);
    assert_ldb_ok(find(from, 0, &limits, &run), &f.err);
    if (run.records != row->expected || run.is_short != row->is_short)
        fail_msg("%s: %zu records%s", row->name, run.records,
                 run.is_short ? ", short" : "");
    assert_int_equal(run.whole_records, f.count - skipped);
    assert_int_equal(run.whole_len, f.file.bytes.len - from);
    assert_int_equal(run.len, run.records == 0
                                  ? 0
                                  : f.ends[run.records + skipped - 1] - from);
    manifest_text_close(&f);
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

/* Of the journals 1, 3, 5 ... at most three are held, 5 is the first. */
static void what_no_journal_can_bring_is_told(void **state)
{
    static const uint64_t missing[] = {7};
    static const uint64_t journals[] = {1, 3, 5, 7, 9, 11, 13, 15, 17};
    struct repl_edit_run_limits limits = {.log_number = 5,
                                          .missing = missing,
                                          .missing_count = 1,
                                          .journals = journals,
                                          .journal_count = COUNT(journals),
                                          .journals_max = 3,
                                          .first_journal = 5};
    static const struct {
        const char *records;
        bool is_whole;
        bool is_far;
        bool is_hopeless;
    } rows[] = {
        {"l7;l9", false, false, false},
        {"l7;l9;l11", false, true, false}, /* one after the other */
        {"l11", false, true, true},
        {"l10", false, false, false},
        {"+0:7;l9 -0:7", false, false, false}, /* it goes just in time */
        {"+0:7;l7;l9;l11 -0:7", false, true, true},
        {"l7;+0:7;l11 -0:7", false, true, false},
        {"l7;+0:7;l9;l11;l13;l15 -0:7", false, true, true},
        {"l7;+0:7;l9;l11", false, true, false}, /* it may go yet */
        {"l7;+0:7;l9;l13", false, true, true},
        {"l7;l9;l11;l9;l13;+0:7;-0:7", false, true, false},
        {"l9 n s;l11", true, true, false},
        {"l11 n s", true, true, true},
        {"l9 n", true, false, false}, /* not all yet */
        {"l11 n", true, true, true},
    };

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        bool is_asked = i < COUNT(rows);
        size_t row = i % COUNT(rows);
        struct repl_edit_run run;
        size_t from;

        limits.journals_max = is_asked ? 3 : 0;
        manifest_text_open(&f);
        if (!rows[row].is_whole)
            manifest_text_write(&f, "n");
        from = f.file.bytes.len;
        manifest_text_write(&f, rows[row].records);
        assert_ldb_ok(find(from, 0, &limits, &run), &f.err);
        if (run.is_far != (is_asked && rows[row].is_far) ||
            run.is_hopeless != (is_asked && rows[row].is_hopeless))
            fail_msg("%s: %sfar, %shopeless", rows[row].records,
                     run.is_far ? "" : "not ", run.is_hopeless ? "" : "not ");
        manifest_text_close(&f);
    }
}

static void what_has_begun_of_a_record_is_left_aside(void **state)
{
    const struct repl_edit_run_limits limits = {.log_number = 9};
    struct repl_edit_run run;
    size_t from;

    (void)state;
    manifest_text_open(&f);
    manifest_text_write(&f, "n");
    from = f.file.bytes.len;
    manifest_text_write(&f, "+0:7;+0:8;+0:9");
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
    manifest_text_close(&f);
}

static void damage_is_told_with_its_place(void **state)
{
    const struct repl_edit_run_limits limits = {.log_number = 9};
    struct repl_edit_run run = {.len = 77};

    (void)state;
    manifest_text_open(&f);
    manifest_text_write(&f, "n s l2;+0:7");
    manifest_text_write_record(&f, ldb_slice_str("\x63nothing"));
    assert_ldb_status(LDB_CORRUPTION, find(0, 0, &limits, &run), &f.err);
    assert_ldb_message("MANIFEST-000004: edit at", &f.err);
    f.file.bytes.data[f.ends[0] + 8] ^= 1;
    assert_ldb_status(LDB_CORRUPTION, find(0, 0, &limits, &run), &f.err);
    assert_ldb_message("MANIFEST-000004", &f.err);
    assert_int_equal(77, run.len);
    manifest_text_close(&f);
}

static void no_memory_is_told(void **state)
{
    static const uint64_t missing[] = {7};
    const struct repl_edit_run_limits limits = {
        .log_number = 9, .missing = missing, .missing_count = 1};
    struct repl_edit_run run;

    (void)state;
    manifest_text_open(&f);
    manifest_text_write(&f, "n s l2 +0:7;-0:7 +1:8");
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = find(0, 0, &limits, &run);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
    }
    assert_int_equal(2, run.records);
    manifest_text_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_as_long_as_can_be),
        cmocka_unit_test(what_no_journal_can_bring_is_told),
        cmocka_unit_test(what_has_begun_of_a_record_is_left_aside),
        cmocka_unit_test(damage_is_told_with_its_place),
        cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
