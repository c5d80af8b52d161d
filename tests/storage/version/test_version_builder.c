#include "storage/version/version_builder.h"

#include <stdio.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/version_rows.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct fixture {
    struct ldb_version_builder *builder;
    struct ldb_version_edit edit;
    struct ldb_error err;
};

static void start(struct fixture *f, struct ldb_version *base)
{
    *f = (struct fixture){0};
    assert_ldb_ok(ldb_version_builder_create(ldb_comparator_bytewise(), base,
                                             &f->err, &f->builder),
                  &f->err);
}

static void add(struct fixture *f, uint32_t level, uint64_t number,
                const char *smallest, const char *largest)
{
    const struct version_row row = {level, number, 100, smallest, largest};

    version_rows_add(&f->edit, &row);
}

static void delete (struct fixture *f, uint32_t level, uint64_t number)
{
    assert_ldb_ok(ldb_version_edit_delete_file(&f->edit, level, number), NULL);
}

static void apply(struct fixture *f)
{
    assert_ldb_ok(ldb_version_builder_apply(f->builder, &f->edit, &f->err),
                  &f->err);
    ldb_version_edit_clear(&f->edit);
}

static struct ldb_version *finish(struct fixture *f)
{
    struct ldb_version *version = NULL;

    apply(f);
    assert_ldb_ok(ldb_version_builder_finish(f->builder, &f->err, &version),
                  &f->err);
    return version;
}

static void stop(struct fixture *f)
{
    ldb_version_builder_destroy(f->builder);
    ldb_version_edit_release(&f->edit);
}

static void assert_level(const struct ldb_version *version, uint32_t level,
                         const char *numbers)
{
    assert_file_numbers(numbers, version->levels[level].files,
                        version->levels[level].count);
}

static void no_edit_gives_an_empty_version(void **state)
{
    struct fixture f;
    struct ldb_version *version;

    (void)state;
    start(&f, NULL);
    version = finish(&f);
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        assert_level(version, level, "");
    ldb_version_unref(version);
    stop(&f);
}

static void level_0_stands_newest_number_first_and_others_by_key(void **state)
{
    struct fixture f;
    struct ldb_version *version;

    (void)state;
    start(&f, NULL);
    add(&f, 0, 3, "a@1", "z@2");
    add(&f, 0, 9, "b@3", "c@4");
    add(&f, 0, 5, "a@5", "b@6");
    add(&f, 2, 8, "m@1", "n@1");
    add(&f, 2, 7, "x@1", "y@1");
    add(&f, 2, 6, "a@1", "c@1");
    version = finish(&f);
    assert_level(version, 0, "9 5 3");
    assert_level(version, 2, "6 8 7");
    assert_int_equal(300, version->levels[2].bytes);
    ldb_version_unref(version);
    stop(&f);
}

static const struct version_row base_rows[] = {
    {0, 20, 1, "a@30", "z@31"}, {0, 10, 1, "a@20", "z@21"},
    {1, 1, 1, "b@1", "c@1"},    {1, 2, 1, "f@1", "g@1"},
    {1, 3, 1, "m@1", "n@1"},    {2, 4, 1, "b@1", "x@1"},
};

static void additions_and_deletions_merge_into_the_base(void **state)
{
    struct fixture f;
    struct ldb_version *base = version_rows_make(base_rows, COUNT(base_rows));
    struct ldb_version *version;
    size_t removed = 0;

    (void)state;
    start(&f, base);
    delete (&f, 0, 10);
    delete (&f, 1, 2);
    add(&f, 1, 30, "a@40", "a@39");
    add(&f, 1, 31, "e@40", "h@39");
    add(&f, 1, 32, "o@40", "o@39");
    version = finish(&f);
    assert_level(version, 0, "20");
    assert_level(version, 1, "30 1 31 3 32");
    assert_level(version, 2, "4");
    assert_level(base, 1, "1 2 3");
    (void)ldb_version_builder_removed(f.builder, &removed);
    assert_int_equal(2, removed);
    ldb_version_unref(version);
    stop(&f);
    ldb_version_unref(base);
}

static void untouched_levels_are_shared_with_the_base(void **state)
{
    struct fixture f;
    struct ldb_version *base = version_rows_make(base_rows, COUNT(base_rows));
    struct ldb_version *version;

    (void)state;
    start(&f, base);
    add(&f, 0, 40, "a@50", "b@51");
    version = finish(&f);
    assert_ptr_equal(base->levels[1].list, version->levels[1].list);
    assert_ptr_not_equal(base->levels[0].list, version->levels[0].list);
    ldb_version_unref(base);
    assert_level(version, 1, "1 2 3");
    ldb_version_unref(version);
    stop(&f);
}

static void a_level_counts_the_edits_that_touched_it(void **state)
{
    static const struct version_row rows[] = {
        {1, 1, 100, "a@1", "b@1"},
        {2, 2, 100, "a@1", "b@1"},
    };
    struct ldb_version *base = version_rows_make(rows, COUNT(rows));
    struct ldb_version *version;
    struct fixture f;

    (void)state;
    start(&f, base);
    delete (&f, 1, 1);
    add(&f, 3, 3, "a@1", "b@1");
    version = finish(&f);
    assert_int_equal(version->levels[0].changes, base->levels[0].changes);
    assert_int_equal(version->levels[1].changes, base->levels[1].changes + 1);
    assert_int_equal(version->levels[2].changes, base->levels[2].changes);
    assert_int_equal(version->levels[3].changes, base->levels[3].changes + 1);
    stop(&f);
    ldb_version_unref(version);
    ldb_version_unref(base);
}

static void a_table_added_twice_in_one_level_counts_once(void **state)
{
    struct fixture f;
    struct ldb_version *base = version_rows_make(base_rows, COUNT(base_rows));
    struct ldb_version *version;
    size_t removed = 0;

    (void)state;
    start(&f, base);
    add(&f, 1, 2, "f@1", "g@1");
    add(&f, 0, 10, "a@20", "z@21");
    add(&f, 0, 50, "a@50", "b@51");
    add(&f, 0, 50, "a@50", "b@51");
    version = finish(&f);
    assert_level(version, 0, "50 20 10");
    assert_level(version, 1, "1 2 3");
    (void)ldb_version_builder_removed(f.builder, &removed);
    assert_int_equal(0, removed);
    ldb_version_unref(version);
    stop(&f);
    ldb_version_unref(base);
}

static void deletions_of_one_edit_come_before_its_additions(void **state)
{
    struct fixture f;
    struct ldb_version *version;

    (void)state;
    start(&f, NULL);
    add(&f, 1, 5, "a@1", "b@1");
    delete (&f, 1, 5);
    apply(&f);
    add(&f, 1, 6, "m@1", "n@1");
    apply(&f);
    delete (&f, 1, 6);
    version = finish(&f);
    assert_level(version, 1, "5");
    ldb_version_unref(version);
    stop(&f);
}

static void a_table_moved_down_is_not_removed(void **state)
{
    struct fixture f;
    struct ldb_version *base = version_rows_make(base_rows, COUNT(base_rows));
    struct ldb_file_meta *const *removed;
    struct ldb_version *version;
    size_t count = 0;

    (void)state;
    start(&f, base);
    delete (&f, 1, 2);
    delete (&f, 1, 3);
    add(&f, 3, 2, "f@1", "g@1");
    version = finish(&f);
    assert_level(version, 1, "1");
    assert_level(version, 3, "2");
    removed = ldb_version_builder_removed(f.builder, &count);
    assert_file_numbers("3", removed, count);
    ldb_version_unref(version);
    stop(&f);
    ldb_version_unref(base);
}

static void deleting_an_unknown_table_changes_nothing(void **state)
{
    struct fixture f;
    struct ldb_version *base = version_rows_make(base_rows, COUNT(base_rows));
    struct ldb_version *version;

    (void)state;
    start(&f, base);
    delete (&f, 1, 99);
    delete (&f, 6, 1);
    version = finish(&f);
    assert_level(version, 1, "1 2 3");
    ldb_version_unref(version);
    stop(&f);
    ldb_version_unref(base);
}

static void overlapping_tables_below_level_0_are_refused(void **state)
{
    static const struct {
        const char *name;
        const char *smallest;
        const char *largest;
        bool is_refused;
    } rows[] = {
        {"over the start of one", "a@9", "f@9", true},
        {"inside one", "f@9", "f@8", false},
        {"the last key of one", "g@1", "h@1", true},
        {"the first key of one", "d@1", "f@1", true},
        {"an older entry of the last user key", "g@0", "h@1", false},
        {"over all", "a@9", "z@9", true},
        {"between two", "h@1", "l@1", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        struct ldb_version *base =
            version_rows_make(base_rows, COUNT(base_rows));
        struct ldb_version *version = NULL;
        enum ldb_status s;

        start(&f, base);
        add(&f, 1, 60, rows[i].smallest, rows[i].largest);
        apply(&f);
        s = ldb_version_builder_finish(f.builder, &f.err, &version);
        if (rows[i].is_refused != (s == LDB_CORRUPTION))
            fail_msg("%s: %s", rows[i].name, f.err.message);
        ldb_version_unref(version);
        stop(&f);
        ldb_version_unref(base);
    }
}

static void keys_out_of_order_are_refused(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, NULL);
    add(&f, 0, 60, "b@1", "a@1");
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_version_builder_apply(f.builder, &f.edit, &f.err),
                      &f.err);
    assert_ldb_message("000060", &f.err);
    ldb_version_edit_clear(&f.edit);
    add(&f, 0, 61, "a@1", "a@2");
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_version_builder_apply(f.builder, &f.edit, &f.err),
                      &f.err);
    stop(&f);
}

static void levels_past_the_last_are_refused(void **state)
{
    struct fixture f;
    struct ldb_edit_deleted deleted = {.level = LDB_LEVEL_COUNT, .number = 1};
    const struct ldb_version_edit edit = {.deleted = &deleted,
                                          .deleted_count = 1};

    (void)state;
    start(&f, NULL);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_version_builder_apply(f.builder, &edit, &f.err),
                      &f.err);
    stop(&f);
}

/* Enough for a quadratic merge to show as a hang. */
static void many_tables_merge(void **state)
{
    enum {
        TABLES = 100000
    };
    struct fixture f;
    struct ldb_version *base;
    struct ldb_version *version;
    char smallest[32];
    char largest[32];

    (void)state;
    start(&f, NULL);
    for (unsigned i = 0; i < TABLES; i++) {
        (void)snprintf(smallest, sizeof(smallest), "%08u@1", i * 10);
        (void)snprintf(largest, sizeof(largest), "%08u@1", i * 10 + 5);
        /* 7 has no factor in common with TABLES: every number once. */
        add(&f, 3, 1 + (uint64_t)i * 7 % TABLES, smallest, largest);
    }
    base = finish(&f);
    stop(&f);
    assert_int_equal(TABLES, base->levels[3].count);

    start(&f, base);
    for (unsigned i = 0; i < 30; i++) {
        (void)snprintf(smallest, sizeof(smallest), "%08u@9", i * 1000 + 7);
        (void)snprintf(largest, sizeof(largest), "%08u@9", i * 1000 + 8);
        add(&f, 3, TABLES + 1 + i, smallest, largest);
        delete (&f, 3, 1 + i);
    }
    version = finish(&f);
    assert_int_equal(TABLES, version->levels[3].count);
    stop(&f);
    ldb_version_unref(base);
    ldb_version_unref(version);
}

static void every_failed_allocation_is_survived(void **state)
{
    struct ldb_version *base = version_rows_make(base_rows, COUNT(base_rows));

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct fixture f = {0};
        struct ldb_version *version = NULL;
        enum ldb_status s;

        add(&f, 1, 70, "h@1", "i@1");
        delete (&f, 0, 20);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_version_builder_create(ldb_comparator_bytewise(), base, &f.err,
                                       &f.builder);
        if (s == LDB_OK)
            s = ldb_version_builder_apply(f.builder, &f.edit, &f.err);
        if (s == LDB_OK)
            s = ldb_version_builder_finish(f.builder, &f.err, &version);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f.err);
            ldb_version_unref(version);
            stop(&f);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
        stop(&f);
    }
    ldb_version_unref(base);
}

/* "L:N" of each table of the edit, deleted ones first, in order. */
static void assert_edit(const struct ldb_version_edit *edit,
                        const char *expected)
{
    char text[200] = "";
    size_t len = 0;

    for (uint64_t number = 0; number < 50; number++) {
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

static void many_edits_are_one(void **state)
{
    struct fixture f;
    struct ldb_version *base = version_rows_make(base_rows, COUNT(base_rows));
    struct ldb_version_edit edit = {0};

    (void)state;
    start(&f, base);
    add(&f, 0, 30, "a@40", "z@40");
    apply(&f);
    delete (&f, 0, 30); /* comes and goes */
    add(&f, 1, 31, "x@40", "z@40");
    delete (&f, 1, 2); /* moves down */
    add(&f, 2, 2, "y@1", "y@1");
    apply(&f);
    delete (&f, 1, 1); /* goes, and comes again as it was */
    apply(&f);
    version_rows_add(&f.edit, &base_rows[2]);
    apply(&f);
    assert_ldb_ok(ldb_version_builder_edit(f.builder, &f.err, &edit), &f.err);
    assert_edit(&edit, "-1:2 +2:2 -0:30 +1:31 ");
    ldb_version_edit_release(&edit);
    stop(&f);
    /* The edit of nothing. */
    start(&f, NULL);
    add(&f, 3, 7, "a@1", "b@1");
    apply(&f);
    assert_ldb_ok(ldb_version_builder_edit(f.builder, &f.err, &edit), &f.err);
    assert_edit(&edit, "+3:7 ");
    ldb_version_edit_release(&edit);
    stop(&f);
    ldb_version_unref(base);
}

static void a_number_does_not_come_again_as_another_table(void **state)
{
    struct fixture f;
    struct ldb_version *base = version_rows_make(base_rows, COUNT(base_rows));
    struct ldb_version_edit edit = {0};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        start(&f, base);
        add(&f, i, i == 0 ? 10 : 1, i == 0 ? "a@20" : "b@1", "z@1");
        apply(&f);
        assert_ldb_status(LDB_CORRUPTION,
                          ldb_version_builder_edit(f.builder, &f.err, &edit),
                          &f.err);
        ldb_version_edit_release(&edit);
        stop(&f);
    }
    ldb_version_unref(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_edit_gives_an_empty_version),
        cmocka_unit_test(level_0_stands_newest_number_first_and_others_by_key),
        cmocka_unit_test(additions_and_deletions_merge_into_the_base),
        cmocka_unit_test(untouched_levels_are_shared_with_the_base),
        cmocka_unit_test(a_level_counts_the_edits_that_touched_it),
        cmocka_unit_test(a_table_added_twice_in_one_level_counts_once),
        cmocka_unit_test(deletions_of_one_edit_come_before_its_additions),
        cmocka_unit_test(a_table_moved_down_is_not_removed),
        cmocka_unit_test(deleting_an_unknown_table_changes_nothing),
        cmocka_unit_test(overlapping_tables_below_level_0_are_refused),
        cmocka_unit_test(keys_out_of_order_are_refused),
        cmocka_unit_test(levels_past_the_last_are_refused),
        cmocka_unit_test(many_tables_merge),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(many_edits_are_one),
        cmocka_unit_test(a_number_does_not_come_again_as_another_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
