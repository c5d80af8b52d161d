#include "storage/version/level_iterator.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/version_rows.h"
#include "tests/support/version_tables.h"

#define TEXT_MAX 4096

struct fixture {
    struct version_tables tables;
    struct ldb_version *version;
    struct ldb_iterator *it;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;
    const struct ldb_level *level;

    f = (struct fixture){0};
    version_tables_init(&f.tables);
    version_tables_add(&f.tables, 1, 5, "a@9=1 c@8=2");
    version_tables_add(&f.tables, 1, 3, "e@7d");
    version_tables_add(&f.tables, 1, 4, "g@6=3 g@5=4 i@4=5");
    f.version = version_tables_make(&f.tables);
    level = &f.version->levels[1];
    assert_ldb_ok(ldb_level_iterator_create(
                      ldb_comparator_bytewise(), level->files, level->count,
                      f.tables.cache, &f.tables.read, &f.err, &f.it),
                  &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_iterator_destroy(f->it);
    ldb_version_unref(f->version);
    version_tables_release(&f->tables);
    return 0;
}

static void assert_walk(struct fixture *f, bool backwards, const char *expected)
{
    struct ldb_buf text = LDB_BUF_INIT(TEXT_MAX);

    version_tables_walk(f->it, backwards, &text);
    assert_ldb_slice(ldb_slice_str(expected), ldb_slice_of_buf(&text));
    assert_ldb_ok(f->it->status, &f->it->error);
    ldb_buf_release(&text);
}

static void seek(struct fixture *f, const char *key)
{
    struct ldb_buf target = version_rows_key(key);

    ldb_iterator_seek(f->it, ldb_slice_of_buf(&target));
    ldb_buf_release(&target);
}

static void it_begins_nowhere_and_opens_nothing(void **state)
{
    struct fixture *f = *state;
    struct ldb_table_cache_stats stats;

    assert_false(f->it->valid);
    ldb_table_cache_stats(f->tables.cache, &stats);
    assert_int_equal(0, stats.open_tables);
    ldb_iterator_seek_first(f->it);
    ldb_table_cache_stats(f->tables.cache, &stats);
    assert_int_equal(1, stats.open_tables);
}

static void it_walks_all_tables_both_ways(void **state)
{
    struct fixture *f = *state;

    ldb_iterator_seek_first(f->it);
    assert_walk(f, false, "a@9=1 c@8=2 e@7d g@6=3 g@5=4 i@4=5");
    ldb_iterator_seek_last(f->it);
    assert_walk(f, true, "i@4=5 g@5=4 g@6=3 e@7d c@8=2 a@9=1");
    ldb_iterator_seek_first(f->it);
    assert_true(f->it->valid);
}

static void it_seeks_the_first_entry_not_below_the_target(void **state)
{
    static const struct {
        const char *target;
        const char *forward;
        const char *backward;
    } rows[] = {
        {"A@1", "a@9=1 c@8=2 e@7d g@6=3 g@5=4 i@4=5", "a@9=1"},
        {"a@9", "a@9=1 c@8=2 e@7d g@6=3 g@5=4 i@4=5", "a@9=1"},
        {"a@8", "c@8=2 e@7d g@6=3 g@5=4 i@4=5", "c@8=2 a@9=1"},
        {"c@7", "e@7d g@6=3 g@5=4 i@4=5", "e@7d c@8=2 a@9=1"},
        {"d@1", "e@7d g@6=3 g@5=4 i@4=5", "e@7d c@8=2 a@9=1"},
        {"e@6", "g@6=3 g@5=4 i@4=5", "g@6=3 e@7d c@8=2 a@9=1"},
        {"g@5", "g@5=4 i@4=5", "g@5=4 g@6=3 e@7d c@8=2 a@9=1"},
        {"i@3", "", ""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        seek(f, rows[i].target);
        assert_walk(f, false, rows[i].forward);
        seek(f, rows[i].target);
        assert_walk(f, true, rows[i].backward);
    }
}

static void it_turns_around_between_tables(void **state)
{
    struct fixture *f = *state;

    seek(f, "c@8");
    ldb_iterator_next(f->it);
    ldb_iterator_prev(f->it);
    assert_walk(f, true, "c@8=2 a@9=1");
}

static void no_table_is_an_empty_iterator(void **state)
{
    struct fixture *f = *state;
    struct ldb_iterator *it = NULL;

    assert_ldb_ok(ldb_level_iterator_create(ldb_comparator_bytewise(), NULL, 0,
                                            f->tables.cache, &f->tables.read,
                                            &f->err, &it),
                  &f->err);
    ldb_iterator_seek_first(it);
    assert_false(it->valid);
    ldb_iterator_seek_last(it);
    assert_false(it->valid);
    assert_ldb_ok(it->status, NULL);
    ldb_iterator_destroy(it);
}

static void damage_ends_it_and_another_move_goes_on(void **state)
{
    struct fixture *f = *state;

    version_tables_damage(&f->tables, 3);
    seek(f, "c@8");
    ldb_iterator_next(f->it);
    assert_false(f->it->valid);
    assert_ldb_status(LDB_CORRUPTION, f->it->status, &f->it->error);
    assert_ldb_message("000003", &f->it->error);
    seek(f, "f@1");
    assert_walk(f, false, "g@6=3 g@5=4 i@4=5");
    assert_ldb_ok(f->it->status, NULL);
    ldb_iterator_seek_last(f->it);
    while (f->it->valid)
        ldb_iterator_prev(f->it);
    assert_ldb_status(LDB_CORRUPTION, f->it->status, &f->it->error);
}

static void every_failed_allocation_is_survived(void **state)
{
    struct fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        bool has_failed;

        for (uint64_t number = 3; number <= 5; number++)
            ldb_table_cache_evict(f->tables.cache, number);
        mem_fault_start(n, MEM_FAULT_ONCE);
        ldb_iterator_seek_first(f->it);
        while (f->it->valid)
            ldb_iterator_next(f->it);
        has_failed = mem_fault_stop();
        if (!has_failed)
            break;
        if (f->it->status != LDB_OK)
            assert_ldb_status(LDB_NO_MEMORY, f->it->status, &f->it->error);
    }
    assert_ldb_ok(f->it->status, &f->it->error);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_begins_nowhere_and_opens_nothing),
        TEST(it_walks_all_tables_both_ways),
        TEST(it_seeks_the_first_entry_not_below_the_target),
        TEST(it_turns_around_between_tables),
        TEST(no_table_is_an_empty_iterator),
        TEST(damage_ends_it_and_another_move_goes_on),
        TEST(every_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
