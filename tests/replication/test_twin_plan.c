/*
 * Plans as text: a step each, in order, as "fetch 000009.ldb". Files are
 * written as NUMBER and a letter for their bytes.
 */
#include <stdio.h>
#include <string.h>

#include "replication/twin_plan.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define TABLES_MAX   8
#define JOURNALS_MAX 8

static struct repl_plan_table wanted[TABLES_MAX];
static struct repl_plan_table held[TABLES_MAX];
static struct repl_plan_journal journals[JOURNALS_MAX];
static uint64_t leader_journals[JOURNALS_MAX];
static struct ldb_file_meta *metas[4 * TABLES_MAX];
static size_t meta_count;
static struct repl_plan_input in;

/* The folder follows the leader: MANIFEST 4 and journals from 10 on are in
 * force here, its version is of MANIFEST 8 and journal 20. */
static int setup(void **state)
{
    (void)state;
    in = (struct repl_plan_input){
        .wanted = wanted,
        .manifest_number = 8,
        .log_number = 20,
        .leader_journals = leader_journals,
        .held = held,
        .journals = journals,
        .is_in_force = true,
        .held_manifest_number = 4,
        .held_log_number = 10,
        .fork = 1000,
    };
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < meta_count; i++)
        ldb_file_meta_unref(metas[i]);
    meta_count = 0;
    return 0;
}

/* A version's word on a table; key tells one from another of the number. */
static const struct ldb_file_meta *meta_of(uint64_t number, char key)
{
    char text[] = {key, 1, 5, 0, 0, 0, 0, 0, 0, 0};
    struct ldb_slice bytes = ldb_slice_make(text, 9);

    metas[meta_count] = ldb_file_meta_create(number, 100, bytes, bytes);
    assert_non_null(metas[meta_count]);
    return metas[meta_count++];
}

static struct repl_plan_table make(uint64_t number, enum ldb_file_type type,
                                   char bytes, char key)
{
    struct repl_plan_table table = {
        .number = number, .size = 100, .has_digest = bytes != 0};

    ldb_file_name_print(table.name, type, number);
    table.digest.bytes[0] = (uint8_t)bytes;
    if (key != 0)
        table.meta = meta_of(number, key);
    return table;
}

/* What the leader names, of these bytes. */
static void want(uint64_t number, char bytes)
{
    wanted[in.wanted_count++] = make(number, LDB_FILE_TABLE, bytes, 'm');
}

/* What we have; key 'm' is what the leader says of it, 0: our version does not
 * name it; bytes 0: none that could be wanted. */
static void hold(uint64_t number, char bytes, char key)
{
    held[in.held_count++] = make(number, LDB_FILE_TABLE, bytes, key);
}

static struct repl_plan_journal *journal(uint64_t number, ldb_sequence last)
{
    struct repl_plan_journal *made = &journals[in.journal_count++];

    *made = (struct repl_plan_journal){
        .number = number, .len = 500, .file_len = 500, .last = last};
    return made;
}

static void alike(uint64_t number, ldb_sequence last, bool is_whole)
{
    struct repl_plan_journal *made = journal(number, last);

    made->is_alike = true;
    made->is_whole = is_whole;
}

static void leader_has(uint64_t number)
{
    leader_journals[in.leader_journal_count++] = number;
}

static void print_plan(const struct repl_plan *plan, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < plan->count; i++) {
        const struct repl_step *step = &plan->steps[i];

        len += (size_t)snprintf(out + len, size - len, "%s%s%s%s%s%s%s",
                                i == 0 ? "" : ", ", repl_step_text(step->kind),
                                step->name[0] == '\0' ? "" : " ",
                                step->is_archived ? "archive/" : "", step->name,
                                step->from[0] == '\0' ? "" : "<", step->from);
        assert_true(len < size);
    }
}

static void expect(const char *text)
{
    struct repl_plan plan = {0};
    struct ldb_error err = {0};
    char actual[2000];

    assert_ldb_ok(repl_plan_make(&in, &err, &plan), &err);
    print_plan(&plan, actual, sizeof(actual));
    assert_string_equal(text, actual);
    repl_plan_release(&plan);
}

#define END       "begin 000020.log, manifest MANIFEST-000008"
#define END_OTHER END ", current MANIFEST-000008"

/* ---- tables ---- */

static void what_is_there_stays_and_the_rest_is_fetched(void **state)
{
    (void)state;
    want(5, 'a');
    want(9, 'b');
    hold(5, 'a', 'm');
    hold(7, 'x', 'm');
    expect("keep 000005.ldb, fetch 000009.ldb, place 000009.ldb, " END_OTHER);
}

static void a_table_of_another_name_is_linked(void **state)
{
    (void)state;
    want(9, 'a');
    hold(5, 'a', 'm');
    expect("link 000009.ldb<000005.ldb, place 000009.ldb, " END_OTHER);
}

static void the_same_bytes_under_both_names_are_not_moved(void **state)
{
    (void)state;
    want(9, 'a');
    hold(5, 'a', 'm');
    hold(9, 'a', 0);
    expect("keep 000009.ldb, " END_OTHER);
}

static void two_tables_that_change_names_are_both_linked_first(void **state)
{
    (void)state;
    want(5, 'a');
    want(6, 'b');
    hold(5, 'b', 0);
    hold(6, 'a', 0);
    expect("link 000005.ldb<000006.ldb, link 000006.ldb<000005.ldb, "
           "place 000005.ldb, place 000006.ldb, " END_OTHER);
}

static void a_damaged_table_is_replaced_in_place(void **state)
{
    (void)state;
    in.held_manifest_number = 8;
    want(5, 'a');
    hold(5, 'x', 'm');
    expect("fetch 000005.ldb, place 000005.ldb, " END);
}

static void another_table_of_the_name_clears_the_folder(void **state)
{
    (void)state;
    want(5, 'a');
    hold(5, 'x', 'q');
    expect("fetch 000005.ldb, clear, place 000005.ldb, " END_OTHER);
}

static void one_that_no_version_names_does_not(void **state)
{
    (void)state;
    want(5, 'a');
    hold(5, 'x', 0);
    expect("fetch 000005.ldb, place 000005.ldb, " END_OTHER);
}

static void the_other_spelling_of_a_name_is_the_same_number(void **state)
{
    (void)state;
    want(5, 'a');
    held[in.held_count++] = make(5, LDB_FILE_TABLE_SST, 'x', 'q');
    expect("fetch 000005.ldb, clear, place 000005.ldb, " END_OTHER);
}

static void both_spellings_are_made_one(void **state)
{
    (void)state;
    want(5, 'a');
    hold(5, 'a', 'm');
    held[in.held_count++] = make(5, LDB_FILE_TABLE_SST, 'x', 'm');
    expect("link 000005.ldb<000005.ldb, place 000005.ldb, " END_OTHER);
}

static void without_a_database_there_is_an_empty_one_first(void **state)
{
    (void)state;
    in.is_in_force = false;
    in.held_manifest_number = 0;
    in.held_log_number = 0;
    want(5, 'a');
    expect("fetch 000005.ldb, clear, place 000005.ldb, " END_OTHER);
}

static void one_that_was_cut_off_in_its_making_is_cleared(void **state)
{
    (void)state;
    in.held_log_number = 0;
    want(5, 'a');
    expect("fetch 000005.ldb, clear, place 000005.ldb, " END_OTHER);
    in.wanted_count = 0;
    want(5, 'a');
    hold(7, 'b', 'm');
    expect("fetch 000005.ldb, place 000005.ldb, " END_OTHER);
}

static void a_table_twice_or_without_digest_is_refused(void **state)
{
    struct repl_plan plan = {0};
    struct ldb_error err = {0};

    (void)state;
    want(5, 'a');
    want(5, 'b');
    assert_ldb_status(LDB_INVALID_ARGUMENT, repl_plan_make(&in, &err, &plan),
                      &err);
    in.wanted_count = 0;
    want(5, 0);
    assert_ldb_status(LDB_INVALID_ARGUMENT, repl_plan_make(&in, &err, &plan),
                      &err);
    assert_null(plan.steps);
}

/* ---- journals ---- */

static void alike_journals_from_the_log_number_stay(void **state)
{
    (void)state;
    for (uint64_t n = 20; n <= 24; n += 2)
        leader_has(n);
    alike(20, 800, true);
    alike(22, 900, true);
    alike(24, 950, false);
    expect(END_OTHER);
}

static void nothing_stays_behind_one_that_is_not_whole(void **state)
{
    (void)state;
    for (uint64_t n = 20; n <= 24; n += 2)
        leader_has(n);
    alike(20, 800, true);
    alike(22, 900, false);
    alike(24, 950, false);
    expect("drop 000024.log, " END_OTHER);
}

static void nothing_stays_behind_one_that_is_missing(void **state)
{
    (void)state;
    for (uint64_t n = 20; n <= 24; n += 2)
        leader_has(n);
    alike(20, 800, true);
    alike(24, 950, false);
    expect("drop 000024.log, " END_OTHER);
}

static void a_diverged_tail_goes_aside_newest_first(void **state)
{
    (void)state;
    in.is_diverged = true;
    in.fork = 850;
    leader_has(20);
    alike(18, 800, true);
    journal(20, 900)->is_unlike = true;
    journal(21, 950);
    journal(23, 0)->file_len = 0;
    expect("drop 000023.log, set aside 000021.log, set aside "
           "000020.log, " END_OTHER ", forget 000018.log");
}

static void an_empty_first_journal_stays(void **state)
{
    (void)state;
    leader_has(20);
    *journal(20, 0) = (struct repl_plan_journal){.number = 20};
    expect(END_OTHER);
}

static void one_whose_bytes_differ_goes_aside_below_the_fork_too(void **state)
{
    (void)state;
    leader_has(18);
    leader_has(20);
    journal(18, 800)->is_unlike = true;
    alike(20, 900, false);
    expect("drop 000020.log, set aside 000018.log, " END_OTHER);
}

static void a_damaged_journal_is_fetched_again(void **state)
{
    (void)state;
    leader_has(20);
    journal(20, 900)->is_damaged = true;
    expect("drop 000020.log, " END_OTHER);
}

static void a_damaged_journal_of_a_diverged_folder_goes_aside(void **state)
{
    (void)state;
    in.is_diverged = true;
    in.fork = 950;
    leader_has(20);
    journal(20, 900)->is_damaged = true;
    expect("set aside 000020.log, " END_OTHER);
}

/* The MANIFEST in force would replay those after it without it. */
static void once_one_is_out_those_after_it_are(void **state)
{
    (void)state;
    in.is_diverged = true;
    in.fork = 100;
    leader_has(12);
    leader_has(20);
    journal(12, 150)->is_unlike = true;
    alike(20, 90, false);
    expect("drop 000020.log, set aside 000012.log, " END_OTHER);
}

static void an_unbroken_end_below_the_log_number_stays(void **state)
{
    (void)state;
    for (uint64_t n = 14; n <= 20; n += 2)
        leader_has(n);
    alike(12, 300, true); /* the leader has it no more */
    alike(14, 400, true);
    journals[1].is_archived = true;
    journals[0].is_archived = true;
    alike(16, 500, true);
    alike(18, 800, true);
    alike(20, 900, false);
    expect(END_OTHER ", forget archive/000012.log");
}

static void what_is_before_a_gap_is_forgotten(void **state)
{
    (void)state;
    for (uint64_t n = 14; n <= 20; n += 2)
        leader_has(n);
    alike(14, 400, true);
    journals[0].is_archived = true;
    alike(18, 800, true);
    expect(END_OTHER ", forget archive/000014.log");
}

static void an_archived_journal_above_the_fork_goes_aside(void **state)
{
    (void)state;
    in.is_diverged = true;
    in.fork = 350;
    leader_has(20);
    journal(8, 300)->is_archived = true;
    journal(9, 400)->is_archived = true;
    journal(10, 500);
    expect("set aside 000010.log, set aside archive/000009.log, " END_OTHER
           ", forget archive/000008.log");
}

static void
of_an_unknown_history_all_goes_aside_that_is_not_wanted(void **state)
{
    (void)state;
    in.is_unknown = true;
    in.fork = 0;
    leader_has(20);
    want(5, 'a');
    hold(5, 'a', 'm');
    hold(7, 'x', 'm');
    hold(8, 0, 0);
    journal(10, 500);
    alike(20, 900, false);
    expect("keep 000005.ldb, set aside 000007.ldb, set aside 000008.ldb, "
           "set aside 000020.log, set aside 000010.log, " END_OTHER);
}

/* ---- memory ---- */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    want(5, 'a');
    want(9, 'b');
    hold(5, 'a', 'm');
    leader_has(20);
    journal(20, 2000);
    for (uint64_t n = 1;; n++) {
        struct repl_plan plan = {0};
        struct ldb_error err = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_plan_make(&in, &err, &plan);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            repl_plan_release(&plan);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_null(plan.steps);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_there_stays_and_the_rest_is_fetched),
        TEST(a_table_of_another_name_is_linked),
        TEST(the_same_bytes_under_both_names_are_not_moved),
        TEST(two_tables_that_change_names_are_both_linked_first),
        TEST(a_damaged_table_is_replaced_in_place),
        TEST(another_table_of_the_name_clears_the_folder),
        TEST(one_that_no_version_names_does_not),
        TEST(the_other_spelling_of_a_name_is_the_same_number),
        TEST(both_spellings_are_made_one),
        TEST(without_a_database_there_is_an_empty_one_first),
        TEST(one_that_was_cut_off_in_its_making_is_cleared),
        TEST(a_table_twice_or_without_digest_is_refused),
        TEST(alike_journals_from_the_log_number_stay),
        TEST(nothing_stays_behind_one_that_is_not_whole),
        TEST(nothing_stays_behind_one_that_is_missing),
        TEST(a_diverged_tail_goes_aside_newest_first),
        TEST(an_empty_first_journal_stays),
        TEST(one_whose_bytes_differ_goes_aside_below_the_fork_too),
        TEST(a_damaged_journal_is_fetched_again),
        TEST(a_damaged_journal_of_a_diverged_folder_goes_aside),
        TEST(once_one_is_out_those_after_it_are),
        TEST(an_unbroken_end_below_the_log_number_stays),
        TEST(what_is_before_a_gap_is_forgotten),
        TEST(an_archived_journal_above_the_fork_goes_aside),
        TEST(of_an_unknown_history_all_goes_aside_that_is_not_wanted),
        TEST(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
