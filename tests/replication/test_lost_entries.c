/* Which tables a plan gives up, and whether journals have what is in them. */
#include "replication/lost_entries.h"
#include "storage/base/mem.h"
#include "storage/version/version_builder.h"
#include "tests/support/assert_ldb.h"

static struct repl_held_journal journals[4];
static struct repl_plan_table held[4];
static struct repl_step steps[4];
static struct repl_epoch epochs[2];
static struct repl_survey survey;
static struct repl_plan plan;
static struct repl_survey_source source;
static struct repl_lost_entries lost;
static struct ldb_error err;
static struct ldb_file_meta *meta;

static int setup(void **state)
{
    const struct ldb_slice key = ldb_slice_make("a\1\5\0\0\0\0\0\0", 9);

    (void)state;
    err = (struct ldb_error){0};
    meta = ldb_file_meta_create(5, 100, key, key);
    assert_non_null(meta);
    survey = (struct repl_survey){
        .ours = {.journals = journals,
                 .history = {.items = epochs, .count = 1}},
        .held = held,
    };
    epochs[0] = (struct repl_epoch){.number = 1};
    plan = (struct repl_plan){.steps = steps};
    source =
        (struct repl_survey_source){.comparator = ldb_comparator_bytewise()};
    lost = (struct repl_lost_entries){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_lost_entries_release(&lost);
    ldb_file_meta_unref(meta);
    return 0;
}

static void init(ldb_sequence fork)
{
    repl_lost_entries_release(&lost);
    assert_ldb_ok(
        repl_lost_entries_init(&lost, &source, &survey, &plan, fork, &err),
        &err);
}

static void journal(uint64_t number, ldb_sequence first, ldb_sequence last)
{
    struct repl_holdings *ours = &survey.ours;

    journals[ours->journal_count++] = (struct repl_held_journal){
        .number = number, .first = first, .last = last};
    if (last > ours->last_sequence)
        ours->last_sequence = last;
}

static void journals_without_a_gap_have_all(void **state)
{
    (void)state;
    journal(5, 80, 100);
    journal(6, 101, 120);
    journal(7, 0, 0);
    journal(8, 121, 130);
    init(90);
    assert_true(lost.is_covered);
    init(100);
    assert_true(lost.is_covered);
    init(79);
    assert_true(lost.is_covered);
    init(78);
    assert_false(lost.is_covered);
}

static void a_gap_or_damage_may_hide_something(void **state)
{
    (void)state;
    journal(5, 80, 100);
    journal(6, 102, 120);
    init(90);
    assert_false(lost.is_covered);
    init(101);
    assert_true(lost.is_covered);
    journals[1].is_damaged = true;
    init(101);
    assert_false(lost.is_covered);
}

static void tables_may_go_further_than_the_journals(void **state)
{
    (void)state;
    journal(5, 80, 100);
    survey.ours.last_sequence = 101;
    init(90);
    assert_false(lost.is_covered);
}

/* What was learnt of another leader's epochs may lie where our entries do. */
static void a_gap_of_epochs_is_one(void **state)
{
    (void)state;
    epochs[1] =
        (struct repl_epoch){.number = 2, .previous_last = 100, .base = 1100};
    survey.ours.history.count = 2;
    journal(5, 80, 100);
    journal(6, 110, 120);
    init(90);
    assert_false(lost.is_covered);
}

static void tables_that_are_kept_are_not_looked_at(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        held[i] = (struct repl_plan_table){.number = 10 + i, .meta = meta};
        ldb_file_name_print(held[i].name, LDB_FILE_TABLE, 10 + i);
    }
    held[3].meta = NULL; /* our version does not name it */
    survey.held_count = 4;
    steps[0] = (struct repl_step){.kind = REPL_STEP_KEEP, .name = "000010.ldb"};
    steps[1] = (struct repl_step){
        .kind = REPL_STEP_LINK, .name = "000099.ldb", .from = "000011.ldb"};
    steps[2] =
        (struct repl_step){.kind = REPL_STEP_PLACE, .name = "000012.ldb"};
    plan.count = 3;
    init(0);
    assert_int_equal(1, lost.search.table_count);
    assert_int_equal(12, lost.search.tables[0]);
    assert_int_equal(0, lost.missing);
}

static void tables_that_are_missing_are_counted(void **state)
{
    struct ldb_version_builder *builder = NULL;
    struct ldb_version_edit edit = {0};

    (void)state;
    assert_ldb_ok(ldb_version_builder_create(ldb_comparator_bytewise(), NULL,
                                             &err, &builder),
                  &err);
    assert_ldb_ok(ldb_version_edit_add_file(&edit, 0, meta), NULL);
    assert_ldb_ok(ldb_version_builder_apply(builder, &edit, &err), &err);
    assert_ldb_ok(
        ldb_version_builder_finish(builder, &err, &survey.ours.version), &err);
    ldb_version_builder_destroy(builder);
    ldb_version_edit_release(&edit);
    init(0);
    assert_int_equal(1, lost.missing);
    held[0] = (struct repl_plan_table){.number = 5, .meta = meta};
    survey.held_count = 1;
    init(0);
    assert_int_equal(0, lost.missing);
    ldb_version_unref(survey.ours.version);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(journals_without_a_gap_have_all),
        TEST(a_gap_or_damage_may_hide_something),
        TEST(tables_may_go_further_than_the_journals),
        TEST(a_gap_of_epochs_is_one),
        TEST(tables_that_are_kept_are_not_looked_at),
        TEST(tables_that_are_missing_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
