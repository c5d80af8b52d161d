#include "storage/compaction_pick.h"

#include <stdio.h>

#include "storage/version/version_set.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/version_rows.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Small ones: expand below 250 bytes, grandparents up to 100. */
static const struct ldb_compaction_limits limits = {
    .table_bytes = {10, 10, 10, 10, 10, 10, 10},
    .expand_limit_factor = 25,
    .grandparent_limit_factor = 10,
    .source_limit_factor = 1};

static const struct ldb_slice no_pointers[LDB_LEVEL_COUNT];

static void assert_inputs(const struct ldb_compaction *compaction,
                          const char *upper, const char *lower,
                          const char *grandparents)
{
    assert_non_null(compaction);
    assert_file_numbers(upper, compaction->inputs[0],
                        compaction->input_count[0]);
    assert_file_numbers(lower, compaction->inputs[1],
                        compaction->input_count[1]);
    assert_file_numbers(grandparents, compaction->grandparents,
                        compaction->grandparent_count);
}

static struct ldb_compaction *pick_with(struct ldb_version *version,
                                        uint32_t level,
                                        const struct ldb_slice *pointers)
{
    struct ldb_compaction *compaction = NULL;
    struct ldb_error err = {0};

    version->scores[level] = 1;
    assert_ldb_ok(ldb_compaction_pick(version, &limits, pointers, 1, NULL, &err,
                                      &compaction),
                  &err);
    version->scores[level] = 0;
    return compaction;
}

static struct ldb_compaction *pick(struct ldb_version *version, uint32_t level)
{
    return pick_with(version, level, no_pointers);
}

static struct ldb_compaction *pick_range(struct ldb_version *version,
                                         uint32_t level, const char *begin,
                                         const char *end)
{
    struct ldb_slice first = ldb_slice_str(begin == NULL ? "" : begin);
    struct ldb_slice last = ldb_slice_str(end == NULL ? "" : end);
    const struct ldb_compaction_range range = {
        .begin = begin == NULL ? NULL : &first,
        .end = end == NULL ? NULL : &last};
    struct ldb_compaction *compaction = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_compaction_pick_range(version, &limits, level, &range,
                                            &err, &compaction),
                  &err);
    return compaction;
}

/* ---- the score ---- */

/* -1: nothing is picked. */
static void assert_picks_level(struct ldb_version *version, int level)
{
    struct ldb_compaction *compaction = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_compaction_pick(version, &limits, no_pointers, 1, NULL,
                                      &err, &compaction),
                  &err);
    assert_int_equal(compaction == NULL ? -1 : (int)compaction->level, level);
    ldb_compaction_destroy(compaction);
}

static const struct ldb_score_limits score_limits = {
    .l0_compaction_trigger = 4,
    .level_bytes = {0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}};

static void the_highest_score_wins(void **state)
{
    static const struct {
        const char *name;
        size_t level0_count;
        uint64_t level1_bytes;
        uint64_t level2_bytes;
        uint64_t level6_bytes;
        uint32_t level;
        double score;
    } rows[] = {
        {"empty", 0, 0, 0, 0, 0, 0.0},
        {"three of four tables", 3, 0, 0, 0, 0, 0.75},
        {"four of four tables", 4, 0, 0, 0, 0, 1.0},
        {"level 1 full", 3, 100, 0, 0, 1, 1.0},
        {"level 2 has ten times the room", 0, 150, 1600, 0, 2, 1.6},
        {"a tie stays with the upper one", 4, 100, 1000, 0, 0, 1.0},
        {"the last level never", 1, 0, 0, UINT64_C(1) << 50, 0, 0.25},
        {"level 2 beside little", 0, 50, 101, 1000000, 2, 1.0},
        {"level 2 at its share", 0, 50, 500, 5000000, 1, 0.5},
        {"level 2 over its share", 0, 50, 501, 5000000, 2, 1.0},
        {"no share is below level 1", 0, 99, 99, 1, 1, 0.99},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct version_row tables[] = {
            {1, 11, rows[i].level1_bytes, "a@1", "b@1"},
            {2, 12, rows[i].level2_bytes, "a@1", "b@1"},
            {6, 16, rows[i].level6_bytes, "a@1", "b@1"},
            {0, 1, 1, "a@1", "b@1"},
            {0, 2, 1, "a@1", "b@1"},
            {0, 3, 1, "a@1", "b@1"},
            {0, 4, 1, "a@1", "b@1"},
        };
        struct ldb_version *version =
            version_rows_make(tables, 3 + rows[i].level0_count);

        uint32_t best = 0;

        ldb_version_score(version, &score_limits);
        for (uint32_t level = 1; level < LDB_LEVEL_COUNT; level++)
            if (version->scores[level] > version->scores[best])
                best = level;
        if (best != rows[i].level ||
            version->scores[best] < rows[i].score - 1e-9 ||
            version->scores[best] > rows[i].score + 1e-9)
            fail_msg("%s: level %u, score %f", rows[i].name, best,
                     version->scores[best]);
        assert_picks_level(version, rows[i].score < 1 ? -1 : (int)best);
        ldb_version_unref(version);
    }
}

static void nothing_is_picked_below_a_score_of_one(void **state)
{
    static const struct version_row rows[] = {{1, 1, 10, "a@1", "b@1"}};
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));

    (void)state;
    version->scores[1] = 0.99;
    assert_picks_level(version, -1);
    ldb_version_unref(version);
}

/* ---- inputs ---- */

static void
level_0_begins_with_the_newest_and_takes_all_it_touches(void **state)
{
    /* 9 touches 5, which touches 3; 7 stands alone. */
    static const struct version_row rows[] = {
        {0, 9, 1, "a@9", "c@9"},   {0, 7, 1, "x@7", "z@7"},
        {0, 5, 1, "c@5", "e@5"},   {0, 3, 1, "e@3", "g@3"},
        {1, 21, 10, "b@1", "d@1"}, {1, 22, 10, "g@1", "h@1"},
        {1, 23, 10, "i@1", "j@1"}, {2, 31, 10, "a@0", "a@0"},
        {2, 32, 10, "h@0", "i@0"}, {2, 33, 10, "k@0", "l@0"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *compaction = pick(version, 0);

    (void)state;
    assert_inputs(compaction, "9 5 3", "21 22", "31 32");
    assert_int_equal(0, compaction->level);
    assert_false(compaction->is_trivial_move);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

static const struct version_row line_rows[] = {
    {1, 1, 100, "a@9", "c@9"},  {1, 2, 100, "d@9", "f@9"},
    {1, 3, 100, "g@9", "i@9"},  {2, 11, 100, "b@1", "b@1"},
    {2, 12, 100, "e@1", "e@1"},
};

static void below_level_0_the_pointer_says_where_to_begin(void **state)
{
    static const struct {
        const char *pointer;
        const char *upper;
        const char *lower;
    } rows[] = {
        {NULL, "1", "11"},  {"a@1", "1", "11"}, {"c@9", "2", "12"},
        {"d@9", "2", "12"}, {"f@9", "3", ""},   {"h@1", "3", ""},
        {"i@9", "1", "11"}, {"z@1", "1", "11"},
    };
    struct ldb_version *version =
        version_rows_make(line_rows, COUNT(line_rows));

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ldb_slice pointers[LDB_LEVEL_COUNT] = {{0}};
        struct ldb_buf key = LDB_BUF_INIT(64);
        struct ldb_compaction *compaction;

        if (rows[i].pointer != NULL)
            key = version_rows_key(rows[i].pointer);
        pointers[1] = ldb_slice_of_buf(&key);
        compaction = pick_with(version, 1, pointers);
        assert_inputs(compaction, rows[i].upper, rows[i].lower, "");
        ldb_compaction_destroy(compaction);
        ldb_buf_release(&key);
    }
    ldb_version_unref(version);
}

static void the_new_pointer_is_the_largest_key_of_the_upper_inputs(void **state)
{
    struct ldb_version *version =
        version_rows_make(line_rows, COUNT(line_rows));
    struct ldb_compaction *compaction = pick(version, 1);
    struct ldb_buf expected = version_rows_key("c@9");

    (void)state;
    assert_ldb_slice(ldb_slice_of_buf(&expected), compaction->pointer);
    ldb_buf_release(&expected);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

static void upper_inputs_expand_while_the_lower_stay_the_same(void **state)
{
    static const struct {
        const char *name;
        uint64_t size; /* of each upper table; the lower one has 100 */
        const char *lower_largest;
        const char *lower_next;
        const char *upper;
    } rows[] = {
        {"room for both", 20, "e@1", "x@1", "1 2"},
        {"just too large", 75, "e@1", "x@1", "1"},
        {"just small enough", 74, "e@1", "x@1", "1 2"},
        {"another lower table would come in", 20, "e@1", "f@1", "1"},
        {"nothing more within the lower one", 20, "c@1", "x@1", "1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct version_row tables[] = {
            {1, 1, rows[i].size, "a@9", "b@9"},
            {1, 2, rows[i].size, "d@9", "f@9"},
            {2, 11, 100, "b@1", rows[i].lower_largest},
            {2, 12, 100, rows[i].lower_next, "y@1"},
        };
        struct ldb_version *version = version_rows_make(tables, COUNT(tables));
        struct ldb_compaction *compaction = pick(version, 1);

        if (compaction->input_count[0] != (strlen(rows[i].upper) + 1) / 2)
            fail_msg("%s: %zu upper tables", rows[i].name,
                     compaction->input_count[0]);
        assert_inputs(compaction, rows[i].upper, "11", "");
        ldb_compaction_destroy(compaction);
        ldb_version_unref(version);
    }
}

/* LevelDB's issue 320: the older half must not rise above the newer one. */
static void boundary_tables_come_along(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 100, "a@9", "d@9"},  {1, 2, 100, "d@7", "d@5"},
        {1, 3, 100, "d@3", "f@9"},  {1, 4, 100, "g@9", "h@9"},
        {2, 11, 100, "c@1", "f@4"}, {2, 12, 100, "f@2", "f@1"},
        {2, 13, 100, "g@1", "g@1"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *compaction = pick(version, 1);

    (void)state;
    assert_inputs(compaction, "1 2 3", "11 12", "");
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

static void lower_boundary_tables_come_along(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 100, "a@9", "d@9"},
        {2, 11, 100, "c@1", "f@4"},
        {2, 12, 100, "f@2", "f@1"},
        {3, 21, 100, "f@0", "k@0"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *compaction = pick(version, 1);

    (void)state;
    assert_inputs(compaction, "1", "11 12", "21");
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

/* ---- trivial moves ---- */

static void a_lone_table_moves_down_if_the_grandparents_are_few(void **state)
{
    static const struct {
        const char *name;
        const char *lower;
        uint64_t grandparent_size;
        bool is_trivial;
    } rows[] = {
        {"alone", "x@1", 0, true},
        {"a table below it", "b@1", 0, false},
        {"grandparents at the limit", "x@1", 50, true},
        {"grandparents over the limit", "x@1", 51, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct version_row tables[] = {
            {1, 1, 100, "a@9", "c@9"},
            {2, 11, 100, rows[i].lower, "y@1"},
            {3, 21, rows[i].grandparent_size, "a@0", "a@0"},
            {3, 22, rows[i].grandparent_size, "b@0", "b@0"},
        };
        struct ldb_version *version = version_rows_make(tables, COUNT(tables));
        struct ldb_compaction *compaction = pick(version, 1);

        if (compaction->is_trivial_move != rows[i].is_trivial)
            fail_msg("%s", rows[i].name);
        ldb_compaction_destroy(compaction);
        compaction = pick_range(version, 1, NULL, NULL);
        assert_true(compaction->is_manual);
        assert_false(compaction->is_trivial_move);
        ldb_compaction_destroy(compaction);
        ldb_version_unref(version);
    }
}

/* ---- sizes by level ---- */

/* expand and source: of the next level's tables; overlap: of the one after. */
static void limits_follow_the_table_size_of_each_level(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 100, "a@9", "b@9"},  {1, 2, 100, "d@9", "f@9"},
        {1, 4, 100, "p@9", "q@9"},  {2, 11, 100, "b@1", "e@1"},
        {3, 21, 100, "p@0", "q@0"},
    };
    static const struct {
        uint64_t table_bytes[LDB_LEVEL_COUNT];
        const char *expanded;
        const char *manual;
        bool is_trivial;
    } cases[] = {
        {{1, 1, 1, 1, 1, 1, 1}, "1", "1", false},
        {{900, 900, 1, 1, 900, 900, 900}, "1", "1", false},
        {{1, 1, 100, 1, 1, 1, 1}, "1 2", "1", false},
        {{1, 1, 101, 1, 1, 1, 1}, "1 2", "1 2", false},
        {{1, 1, 1, 10, 1, 1, 1}, "1", "1", true},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    const struct ldb_compaction_range all = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ldb_compaction_limits by_level = limits;
        struct ldb_slice pointers[LDB_LEVEL_COUNT] = {{0}};
        struct ldb_buf last = version_rows_key("f@9");
        struct ldb_compaction *c = NULL;

        memcpy(by_level.table_bytes, cases[i].table_bytes,
               sizeof(by_level.table_bytes));
        version->scores[1] = 1;
        assert_ldb_ok(ldb_compaction_pick(version, &by_level, pointers, 1, NULL,
                                          NULL, &c),
                      NULL);
        assert_file_numbers(cases[i].expanded, c->inputs[0], c->input_count[0]);
        ldb_compaction_destroy(c);
        pointers[1] = ldb_slice_of_buf(&last);
        c = NULL;
        assert_ldb_ok(ldb_compaction_pick(version, &by_level, pointers, 1, NULL,
                                          NULL, &c),
                      NULL);
        assert_file_numbers("4", c->inputs[0], c->input_count[0]);
        assert_int_equal(c->is_trivial_move, cases[i].is_trivial);
        ldb_compaction_destroy(c);
        c = NULL;
        /* Not expanded: nothing below it would be free of cost. */
        by_level.expand_limit_factor = 0;
        assert_ldb_ok(
            ldb_compaction_pick_range(version, &by_level, 1, &all, NULL, &c),
            NULL);
        assert_file_numbers(cases[i].manual, c->inputs[0], c->input_count[0]);
        ldb_compaction_destroy(c);
        ldb_buf_release(&last);
    }
    ldb_version_unref(version);
}

static void level_0_may_wait_for_more_than_its_score(void **state)
{
    static const struct version_row rows[] = {
        {0, 9, 100, "a@9", "c@9"},
        {1, 5, 100, "x@5", "y@5"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *c = NULL;

    (void)state;
    version->scores[0] = 1.25;
    assert_ldb_ok(
        ldb_compaction_pick(version, &limits, no_pointers, 1.5, NULL, NULL, &c),
        NULL);
    assert_null(c);
    version->scores[1] = 1;
    assert_ldb_ok(
        ldb_compaction_pick(version, &limits, no_pointers, 1.5, NULL, NULL, &c),
        NULL);
    assert_inputs(c, "5", "", "");
    ldb_compaction_destroy(c);
    c = NULL;
    assert_ldb_ok(ldb_compaction_pick(version, &limits, no_pointers, 1.25, NULL,
                                      NULL, &c),
                  NULL);
    assert_inputs(c, "9", "", "");
    ldb_compaction_destroy(c);
    ldb_version_unref(version);
}

/* ---- delete marks ---- */

struct counted {
    struct version_row row;
    uint64_t entries;
    uint64_t deletes;
};

static struct ldb_version *make_counted(const struct counted *tables,
                                        size_t count)
{
    struct version_row rows[16];
    struct ldb_version *version;

    assert_true(count <= COUNT(rows));
    for (size_t i = 0; i < count; i++)
        rows[i] = tables[i].row;
    version = version_rows_make(rows, count);
    for (size_t i = 0; i < count; i++) {
        const struct ldb_level *level = &version->levels[rows[i].level];

        for (size_t n = 0; n < level->count; n++) {
            if (level->files[n]->number != rows[i].number)
                continue;
            level->files[n]->entry_count = tables[i].entries;
            level->files[n]->delete_count = tables[i].deletes;
        }
    }
    return version;
}

static struct ldb_compaction *pick_marks(struct ldb_version *version,
                                         const struct ldb_compaction *running,
                                         struct ldb_mark_search *search)
{
    struct ldb_compaction *compaction = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_compaction_pick_marks(version, &limits, running, search,
                                            &err, &compaction),
                  &err);
    return compaction;
}

static void a_table_of_marks_is_picked_where_that_pays(void **state)
{
    static const struct {
        const char *name;
        uint32_t level;
        uint64_t entries, deletes, below_entries;
        const char *below;
        bool is_picked;
    } rows[] = {
        {"all marks", 1, 100, 100, 100, "b@1", true},
        {"half of it", 1, 100, 50, 100, "b@1", true},
        {"less than half", 1, 100, 49, 1, "b@1", false},
        {"a quarter of what is read", 1, 100, 100, 300, "b@1", true},
        {"less than a quarter", 1, 100, 100, 304, "b@1", false},
        {"level 0 too", 0, 100, 100, 300, "b@1", true},
        {"level 0, not worth it", 0, 100, 100, 304, "b@1", false},
        {"nothing below", 1, 100, 50, 1000, "x@1", true},
        {"level 5 is the last to lead down", 5, 100, 100, 300, "b@1", true},
        {"not known whether", 1, 0, 0, 1, "b@1", false},
        {"unreadable", 1, LDB_COUNT_UNKNOWABLE, 0, 1, "b@1", false},
        {"unreadable below", 1, 100, 100, LDB_COUNT_UNKNOWABLE, "b@1", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct counted tables[] = {
            {{rows[i].level, 9, 100, "a@9", "c@9"},
             rows[i].entries,
             rows[i].deletes},
            {{rows[i].level + 1, 5, 100, rows[i].below, "y@1"},
             rows[i].below_entries,
             0},
        };
        struct ldb_version *version = make_counted(tables, COUNT(tables));
        struct ldb_mark_search search = {0};
        struct ldb_compaction *compaction = pick_marks(version, NULL, &search);

        if ((compaction != NULL) != rows[i].is_picked)
            fail_msg("%s: %s", rows[i].name,
                     compaction == NULL ? "not picked" : "picked");
        if (compaction != NULL) {
            assert_int_equal(compaction->level, rows[i].level);
            assert_file_numbers("9", compaction->inputs[0], 1);
        }
        assert_null(search.unknown);
        ldb_compaction_destroy(compaction);
        ldb_version_unref(version);
    }
}

static void marks_wait_for_what_is_due(void **state)
{
    static const struct counted tables[] = {
        {{1, 9, 100, "a@9", "c@9"}, 10, 10},
    };
    struct ldb_version *version = make_counted(tables, COUNT(tables));
    struct ldb_mark_search search = {0};
    struct ldb_compaction *compaction;

    (void)state;
    version->scores[2] = 1;
    assert_null(pick_marks(version, NULL, &search));
    version->scores[2] = 0.99;
    compaction = pick_marks(version, NULL, &search);
    assert_non_null(compaction);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

/* A table of marks is not carried to where no compaction drops them. */
static void marks_with_nothing_below_are_rewritten_not_moved(void **state)
{
    static const struct {
        const char *name;
        uint64_t deletes;
        uint32_t level_below;
        bool is_trivial;
    } rows[] = {
        {"few marks", 49, 6, true},
        {"marks above older entries", 50, 6, true},
        {"marks above nothing", 50, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct counted tables[] = {
            {{1, 9, 100, "a@9", "c@9"}, 100, rows[i].deletes},
            {{rows[i].level_below, 1, 10, "b@1", "b@1"}, 1, 0},
        };
        struct ldb_version *version =
            make_counted(tables, rows[i].level_below == 0 ? 1 : 2);
        struct ldb_compaction *compaction = pick(version, 1);

        if (compaction->is_trivial_move != rows[i].is_trivial)
            fail_msg("%s", rows[i].name);
        ldb_compaction_destroy(compaction);
        ldb_version_unref(version);
    }
}

/* Counts are asked for where the MANIFEST's keys give a reason to. */
static void tables_found_at_open_are_asked_when_they_matter(void **state)
{
    static const struct counted tables[] = {
        {{1, 7, 100, "a@9", "b@9"}, 0, 0},
        {{1, 8, 100, "c@9d", "d@9"}, 0, 0},
        {{1, 9, 100, "e@9", "f@9d"}, 0, 0},
        {{2, 3, 100, "c@1", "d@1"}, 0, 0},
    };
    struct ldb_version *version = make_counted(tables, COUNT(tables));
    struct ldb_mark_search search = {0};
    struct ldb_compaction *compaction;

    (void)state;
    assert_null(pick_marks(version, NULL, &search));
    assert_non_null(search.unknown);
    assert_int_equal(search.unknown->number, 8);
    search.unknown->entry_count = 10;
    search.unknown->delete_count = 10;
    /* Now what lies below it matters. */
    assert_null(pick_marks(version, NULL, &search));
    assert_int_equal(search.unknown->number, 3);
    search.unknown->entry_count = 34;
    assert_null(pick_marks(version, NULL, &search));
    assert_int_equal(search.unknown->number, 9);
    search.unknown->entry_count = 10;
    search.unknown->delete_count = 6;
    compaction = pick_marks(version, NULL, &search);
    assert_null(search.unknown);
    assert_inputs(compaction, "9", "", "");
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

/* Tables that do not pay are not tried again until something has changed. */
static void the_search_goes_on_where_it_was(void **state)
{
    struct counted tables[13];
    char keys[COUNT(tables)][8];
    struct ldb_version *version;
    struct ldb_mark_search search = {0};
    struct ldb_compaction *compaction;

    (void)state;
    for (size_t i = 0; i + 1 < COUNT(tables); i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "%c@9", (int)('a' + i));
        tables[i] = (struct counted){{1, i + 1, 10, keys[i], keys[i]}, 10, 10};
    }
    tables[12] = (struct counted){{2, 20, 10, "a@1", "k@1"}, 1000, 0};
    version = make_counted(tables, COUNT(tables));
    assert_null(pick_marks(version, NULL, &search));
    assert_true(search.has_more);
    compaction = pick_marks(version, NULL, &search);
    assert_false(search.has_more);
    assert_inputs(compaction, "12", "", "");
    /* It runs: all has been seen, nothing is left to try. */
    assert_null(pick_marks(version, compaction, &search));
    assert_false(search.has_more);
    ldb_compaction_destroy(compaction);
    /* It gave up: it is found again, by way of all the others. */
    assert_null(pick_marks(version, NULL, &search));
    assert_true(search.has_more);
    compaction = pick_marks(version, NULL, &search);
    assert_inputs(compaction, "12", "", "");
    ldb_compaction_destroy(compaction);
    /* Below it something has changed: so may what pays. */
    version->levels[2].changes++;
    version->levels[2].files[0]->entry_count = 30;
    compaction = pick_marks(version, NULL, &search);
    assert_non_null(compaction);
    assert_int_equal(compaction->inputs[0][0]->number, 1);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

/* Each age limit has its own search. */
static void young_tables_begin_none(void **state)
{
    static const struct counted tables[] = {
        {{1, 7, 100, "a@9", "b@9"}, 10, 10},
        {{1, 9, 100, "c@9d", "d@9"}, 0, 0},
    };
    struct ldb_version *version = make_counted(tables, COUNT(tables));
    struct ldb_mark_search search = {.young_from = 7};
    struct ldb_compaction *compaction;

    (void)state;
    assert_null(pick_marks(version, NULL, &search));
    assert_null(search.unknown);
    search.young_from = 8;
    compaction = pick_marks(version, NULL, &search);
    assert_inputs(compaction, "7", "", "");
    /* It runs; one whose counts are not known is too young to be asked. */
    assert_null(pick_marks(version, compaction, &search));
    assert_null(search.unknown);
    search.young_from = 0;
    assert_null(pick_marks(version, compaction, &search));
    assert_non_null(search.unknown);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

static void picking_marks_without_memory_is_an_error(void **state)
{
    static const struct counted tables[] = {
        {{1, 9, 100, "a@9", "c@9"}, 10, 10},
        {{2, 5, 100, "b@1", "y@1"}, 10, 0},
    };
    struct ldb_version *version = make_counted(tables, COUNT(tables));

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ldb_mark_search search = {0};
        struct ldb_compaction *compaction = NULL;
        struct ldb_error err = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_compaction_pick_marks(version, &limits, NULL, &search, &err,
                                      &compaction);
        if (!mem_fault_stop()) {
            assert_non_null(compaction);
            assert_true(n > 1);
            ldb_compaction_destroy(compaction);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_null(compaction);
    }
    ldb_version_unref(version);
}

/* ---- seeks ---- */

static struct ldb_compaction *pick_seek(struct ldb_version *version,
                                        const struct ldb_compaction *running)
{
    struct ldb_compaction *compaction = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(
        ldb_compaction_pick_seek(version, &limits, running, &err, &compaction),
        &err);
    return compaction;
}

static void what_reads_ask_for_is_picked_where_nothing_is_due(void **state)
{
    static const struct version_row rows[] = {
        {0, 9, 100, "a@9", "c@9"}, {0, 8, 100, "x@9", "y@9"},
        {1, 4, 100, "a@5", "c@5"}, {1, 5, 100, "d@5", "f@5"},
        {2, 3, 100, "e@1", "f@1"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *compaction;

    (void)state;
    assert_null(pick_seek(version, NULL));
    version->seek_table = version->levels[1].files[1];
    version->scores[0] = 1;
    assert_null(pick_seek(version, NULL));
    version->scores[0] = 0.5;
    compaction = pick_seek(version, NULL);
    assert_inputs(compaction, "5", "3", "");
    assert_int_equal(compaction->level, 1);
    assert_true(compaction->is_seek);
    assert_false(compaction->is_manual);
    /* It runs already. */
    assert_null(pick_seek(version, compaction));
    ldb_compaction_destroy(compaction);
    version->seek_table = version->levels[0].files[0];
    compaction = pick_seek(version, NULL);
    assert_inputs(compaction, "9", "4", "");
    assert_int_equal(compaction->level, 0);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

/* ---- manual ---- */

static void a_manual_range_is_cut_below_level_0(void **state)
{
    static const struct version_row rows[] = {
        {0, 9, 100, "a@9", "b@9"}, {0, 8, 100, "c@9", "d@9"},
        {1, 1, 6, "a@5", "b@5"},   {1, 2, 6, "c@5", "d@5"},
        {1, 3, 6, "e@5", "f@5"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *compaction;

    (void)state;
    compaction = pick_range(version, 0, NULL, NULL);
    assert_inputs(compaction, "9 8", "1 2", "");
    ldb_compaction_destroy(compaction);
    compaction = pick_range(version, 1, NULL, NULL);
    assert_inputs(compaction, "1 2", "", "");
    ldb_compaction_destroy(compaction);
    compaction = pick_range(version, 1, "d", "z");
    assert_inputs(compaction, "2 3", "", "");
    ldb_compaction_destroy(compaction);
    assert_null(pick_range(version, 1, "g", NULL));
    assert_null(pick_range(version, 2, NULL, NULL));
    ldb_version_unref(version);
}

/* How a manual compaction gets to the end of a level. */
static void a_manual_range_goes_on_after_what_is_done(void **state)
{
    static const struct {
        const char *after;
        const char *upper;
    } rows[] = {{"b", "1"}, {"c", "2"}, {"d", "2"}, {"f", "3"}, {"i", NULL}};
    struct ldb_version *version =
        version_rows_make(line_rows, COUNT(line_rows));

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ldb_slice after = ldb_slice_str(rows[i].after);
        const struct ldb_compaction_range range = {.begin = &after,
                                                   .after = &after};
        struct ldb_compaction *compaction = NULL;
        struct ldb_error err = {0};

        assert_ldb_ok(ldb_compaction_pick_range(version, &limits, 1, &range,
                                                &err, &compaction),
                      &err);
        if (rows[i].upper == NULL)
            assert_null(compaction);
        else
            assert_file_numbers(rows[i].upper, compaction->inputs[0],
                                compaction->input_count[0]);
        ldb_compaction_destroy(compaction);
    }
    ldb_version_unref(version);
}

static void the_last_level_cannot_be_compacted(void **state)
{
    static const struct ldb_compaction_range all = {0};
    struct ldb_version *version =
        version_rows_make(line_rows, COUNT(line_rows));
    struct ldb_compaction *compaction = NULL;
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_status(
        LDB_INVALID_ARGUMENT,
        ldb_compaction_pick_range(version, &limits, 6, &all, &err, &compaction),
        &err);
    assert_null(compaction);
    ldb_version_unref(version);
}

/* ---- beside others ---- */

static struct ldb_compaction *pick_beside(struct ldb_version *version,
                                          const struct ldb_compaction *running)
{
    struct ldb_compaction *compaction = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_compaction_pick(version, &limits, no_pointers, 1, running,
                                      &err, &compaction),
                  &err);
    return compaction;
}

static void what_runs_is_not_met(void **state)
{
    /* 1 and 2 share 11; 3 stands apart. */
    static const struct version_row rows[] = {
        {1, 1, 100, "a@9", "c@9"},  {1, 2, 100, "d@9", "f@9"},
        {1, 3, 100, "m@9", "o@9"},  {2, 11, 200, "b@1", "e@1"},
        {2, 12, 200, "n@1", "n@1"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *first;
    struct ldb_compaction *second;

    (void)state;
    version->scores[1] = 9;
    first = pick_beside(version, NULL);
    assert_inputs(first, "1", "11", "");
    second = pick_beside(version, first);
    assert_inputs(second, "3", "12", "");
    second->next = first;
    assert_null(pick_beside(version, second));
    ldb_compaction_destroy(second);
    ldb_compaction_destroy(first);
    ldb_version_unref(version);
}

static void level_0_is_compacted_once_at_a_time(void **state)
{
    static const struct version_row rows[] = {
        {0, 9, 1, "a@9", "c@9"},
        {0, 7, 1, "x@7", "z@7"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *first;

    (void)state;
    version->scores[0] = 9;
    first = pick_beside(version, NULL);
    assert_inputs(first, "9", "", "");
    assert_null(pick_beside(version, first));
    ldb_compaction_destroy(first);
    ldb_version_unref(version);
}

static void compactions_meet_on_common_levels_and_keys(void **state)
{
    static const struct {
        uint32_t level;
        const char *smallest;
        const char *largest;
        bool meets;
    } rows[] = {
        {0, "a@1", "z@1", false}, {5, "a@1", "z@1", false},
        {1, "a@1", "d@1", true},  {1, "a@1", "e@1", true},
        {2, "k@1", "l@1", false}, {2, "i@9", "i@9", true},
        {3, "a@1", "z@1", true},  {4, "a@1", "z@1", false},
        {3, "a@1", "c@1", false},
    };
    static const struct version_row tables[] = {{2, 1, 10, "d@9", "i@1"}};
    struct ldb_version *version = version_rows_make(tables, COUNT(tables));
    struct ldb_compaction *running = pick(version, 2);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ldb_buf smallest = version_rows_key(rows[i].smallest);
        struct ldb_buf largest = version_rows_key(rows[i].largest);
        struct ldb_compaction other = {.version = version,
                                       .level = rows[i].level,
                                       .smallest = ldb_slice_of_buf(&smallest),
                                       .largest = ldb_slice_of_buf(&largest)};
        if (ldb_compaction_conflicts(&other, running) != rows[i].meets)
            fail_msg("level %u, %s to %s", rows[i].level, rows[i].smallest,
                     rows[i].largest);
        assert_false(ldb_compaction_conflicts(&other, NULL));
        ldb_buf_release(&smallest);
        ldb_buf_release(&largest);
    }
    ldb_compaction_destroy(running);
    ldb_version_unref(version);
}

static void what_runs_counts_as_done(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 60, "a@9", "c@9"},
        {1, 2, 60, "m@9", "o@9"},
        {2, 11, 10, "b@1", "b@1"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *first;

    (void)state;
    version->scores[1] = 1.2; /* 120 of 100 bytes, 60 once the first is done */
    first = pick_beside(version, NULL);
    assert_inputs(first, "1", "11", "");
    assert_null(pick_beside(version, first));
    ldb_compaction_destroy(first);
    ldb_version_unref(version);
}

/* ---- the edit ---- */

static void the_edit_deletes_the_inputs(void **state)
{
    struct ldb_version *version =
        version_rows_make(line_rows, COUNT(line_rows));
    struct ldb_compaction *compaction = pick(version, 1);
    struct ldb_version_edit edit = {0};

    (void)state;
    assert_ldb_ok(ldb_compaction_edit_inputs(compaction, &edit), NULL);
    assert_int_equal(2, edit.deleted_count);
    assert_int_equal(1, edit.deleted[0].level);
    assert_int_equal(1, edit.deleted[0].number);
    assert_int_equal(2, edit.deleted[1].level);
    assert_int_equal(11, edit.deleted[1].number);
    assert_int_equal(0, edit.pointer_count);
    ldb_version_edit_release(&edit);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

/* ---- running ---- */

static void
an_output_stops_where_it_overlaps_too_many_grandparents(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 100, "a@9", "z@9"}, {2, 11, 1, "b@1", "b@1"},
        {3, 21, 60, "b@0", "c@0"}, {3, 22, 60, "d@0", "e@0"},
        {3, 23, 60, "f@0", "g@0"}, {3, 24, 60, "h@0", "i@0"},
    };
    static const struct {
        const char *key;
        bool is_stop;
    } steps[] = {
        {"b@9", false}, /* 0 */
        {"c@9", false}, /* still before the first one's end */
        {"d@9", false}, /* passed 21: 60 */
        {"f@9", true},  /* passed 22: 120 > 100 */
        {"h@9", false}, /* passed 23: 60 */
        {"j@9", true},  /* passed 24: 120 */
        {"k@9", false},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *compaction = pick(version, 1);
    struct ldb_compaction_cursor cursor = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct ldb_buf key = version_rows_key(steps[i].key);

        if (ldb_compaction_should_stop_before(compaction, &limits, &cursor,
                                              ldb_slice_of_buf(&key)) !=
            steps[i].is_stop)
            fail_msg("%s", steps[i].key);
        ldb_buf_release(&key);
    }
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

static void grandparents_before_the_first_key_do_not_count(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 100, "a@9", "z@9"},
        {2, 11, 1, "b@1", "b@1"},
        {3, 21, 600, "a@0", "b@0"},
        {3, 22, 600, "c@0", "d@0"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *compaction = pick(version, 1);
    struct ldb_compaction_cursor cursor = {0};
    struct ldb_buf key = version_rows_key("k@9");

    (void)state;
    assert_false(ldb_compaction_should_stop_before(compaction, &limits, &cursor,
                                                   ldb_slice_of_buf(&key)));
    ldb_buf_release(&key);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

static void a_delete_mark_may_go_where_no_deeper_table_has_the_key(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 100, "a@9", "z@9"}, {2, 11, 1, "b@1", "y@1"},
        {3, 21, 1, "c@0", "e@0"},  {3, 22, 1, "m@0", "n@0"},
        {5, 31, 1, "e@0", "g@0"},
    };
    static const struct {
        const char *key;
        bool is_base;
    } steps[] = {
        {"a", true},  {"c", false}, {"d", false}, {"e", false},
        {"f", false}, {"g", false}, {"h", true},  {"m", false},
        {"n", false}, {"nn", true}, {"y", true},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));
    struct ldb_compaction *compaction = pick(version, 1);
    struct ldb_compaction_cursor cursor = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(steps); i++)
        if (ldb_compaction_is_base_level_for(compaction, &cursor,
                                             ldb_slice_str(steps[i].key)) !=
            steps[i].is_base)
            fail_msg("%s", steps[i].key);
    ldb_compaction_destroy(compaction);
    ldb_version_unref(version);
}

static void every_failed_allocation_is_survived(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 10, "a@9", "b@9"},  {1, 2, 10, "c@9", "d@9"},
        {1, 3, 10, "d@8", "e@9"},  {2, 11, 10, "b@1", "d@1"},
        {2, 12, 10, "d@0", "d@0"}, {3, 21, 10, "a@0", "z@0"},
    };
    struct ldb_version *version = version_rows_make(rows, COUNT(rows));

    (void)state;
    version->scores[1] = 1;
    for (uint64_t n = 1;; n++) {
        struct ldb_compaction *compaction = NULL;
        struct ldb_error err = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_compaction_pick(version, &limits, no_pointers, 1, NULL, &err,
                                &compaction);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            assert_inputs(compaction, "1 2 3", "11 12", "21");
            ldb_compaction_destroy(compaction);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_null(compaction);
    }
    ldb_version_unref(version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_score_wins),
        cmocka_unit_test(nothing_is_picked_below_a_score_of_one),
        cmocka_unit_test(
            level_0_begins_with_the_newest_and_takes_all_it_touches),
        cmocka_unit_test(below_level_0_the_pointer_says_where_to_begin),
        cmocka_unit_test(
            the_new_pointer_is_the_largest_key_of_the_upper_inputs),
        cmocka_unit_test(upper_inputs_expand_while_the_lower_stay_the_same),
        cmocka_unit_test(boundary_tables_come_along),
        cmocka_unit_test(lower_boundary_tables_come_along),
        cmocka_unit_test(a_lone_table_moves_down_if_the_grandparents_are_few),
        cmocka_unit_test(a_manual_range_is_cut_below_level_0),
        cmocka_unit_test(a_manual_range_goes_on_after_what_is_done),
        cmocka_unit_test(the_last_level_cannot_be_compacted),
        cmocka_unit_test(what_runs_is_not_met),
        cmocka_unit_test(level_0_is_compacted_once_at_a_time),
        cmocka_unit_test(compactions_meet_on_common_levels_and_keys),
        cmocka_unit_test(what_runs_counts_as_done),
        cmocka_unit_test(the_edit_deletes_the_inputs),
        cmocka_unit_test(
            an_output_stops_where_it_overlaps_too_many_grandparents),
        cmocka_unit_test(grandparents_before_the_first_key_do_not_count),
        cmocka_unit_test(
            a_delete_mark_may_go_where_no_deeper_table_has_the_key),
        cmocka_unit_test(limits_follow_the_table_size_of_each_level),
        cmocka_unit_test(level_0_may_wait_for_more_than_its_score),
        cmocka_unit_test(a_table_of_marks_is_picked_where_that_pays),
        cmocka_unit_test(marks_wait_for_what_is_due),
        cmocka_unit_test(marks_with_nothing_below_are_rewritten_not_moved),
        cmocka_unit_test(tables_found_at_open_are_asked_when_they_matter),
        cmocka_unit_test(the_search_goes_on_where_it_was),
        cmocka_unit_test(young_tables_begin_none),
        cmocka_unit_test(picking_marks_without_memory_is_an_error),
        cmocka_unit_test(what_reads_ask_for_is_picked_where_nothing_is_due),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
