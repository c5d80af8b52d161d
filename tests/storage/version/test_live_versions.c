#include "storage/version/live_versions.h"

#include <pthread.h>

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/version_rows.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct version_row old_rows[] = {
    {0, 9, 1, "a@9", "z@9"}, {1, 1, 1, "a@1", "b@1"}, {1, 2, 1, "c@1", "d@1"}};
static const struct version_row new_rows[] = {
    {0, 9, 1, "a@9", "z@9"}, {1, 1, 1, "a@1", "b@1"}, {1, 3, 1, "e@1", "f@1"}};

struct fixture {
    struct ldb_live_versions *live;
    struct ldb_version *old; /* in live, as newer is */
    struct ldb_version *newer;
    int calls; /* of on_obsolete */
};

static void count_call(void *context)
{
    struct fixture *f = context;

    f->calls++;
}

static int setup(void **state)
{
    static struct fixture f;
    struct ldb_table_node *removed = NULL;

    f = (struct fixture){.live = ldb_live_versions_create()};
    assert_non_null(f.live);
    ldb_live_versions_on_obsolete(f.live, count_call, &f);
    f.old = version_rows_make(old_rows, COUNT(old_rows));
    f.newer = version_rows_make(new_rows, COUNT(new_rows));
    assert_ldb_ok(ldb_table_nodes_push(&removed, f.old->levels[1].files[1]),
                  NULL);
    ldb_live_versions_add(f.live, f.old, NULL);
    ldb_live_versions_add(f.live, f.newer, removed);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_version_unref(f->old);
    ldb_version_unref(f->newer);
    ldb_live_versions_destroy(f->live);
    return 0;
}

/* take() gives count numbers, the first of them number. */
static void assert_taken(struct fixture *f, size_t count, uint64_t number)
{
    uint64_t *numbers = NULL;
    size_t taken = 0;

    assert_ldb_ok(ldb_live_versions_take(f->live, &numbers, &taken), NULL);
    assert_int_equal(count, taken);
    if (count > 0)
        assert_int_equal(number, numbers[0]);
    else
        assert_null(numbers);
    ldb_mem_free(numbers);
}

static struct ldb_table_node *node_of(uint64_t number)
{
    struct ldb_file_meta *meta = ldb_file_meta_create(
        number, 1, ldb_slice_str("zzzzzzzz0"), ldb_slice_str("zzzzzzzz0"));
    struct ldb_table_node *node = NULL;

    assert_non_null(meta);
    assert_ldb_ok(ldb_table_nodes_push(&node, meta), NULL);
    ldb_file_meta_unref(meta);
    return node;
}

static void a_dying_version_frees_what_it_alone_names(void **state)
{
    struct fixture *f = *state;

    assert_true(ldb_live_versions_has(f->live, 2));
    assert_taken(f, 0, 0);
    ldb_version_unref(f->old);
    f->old = NULL;
    assert_int_equal(1, f->calls);
    assert_false(ldb_live_versions_has(f->live, 2));
    assert_taken(f, 1, 2);
    assert_taken(f, 0, 0);
}

static void has_knows_every_table_of_every_version(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t number;
        bool has;
    } rows[] = {{0, false}, {1, true}, {2, true},  {3, true},
                {4, false}, {9, true}, {10, false}};

    for (int round = 0; round < 3; round++) {
        /* Without memory for the sorted numbers it looks at each. */
        if (round == 1) {
            struct ldb_version *version = version_rows_make(NULL, 0);

            ldb_live_versions_add(f->live, version, NULL);
            ldb_version_unref(version);
            mem_fault_start(1, MEM_FAULT_FOREVER);
        }
        for (size_t i = 0; i < COUNT(rows); i++)
            assert_int_equal(rows[i].has,
                             ldb_live_versions_has(f->live, rows[i].number));
        if (round == 1)
            assert_true(mem_fault_stop());
    }
}

static void dropped_tables_are_obsolete_at_once(void **state)
{
    struct fixture *f = *state;

    ldb_live_versions_drop(f->live, node_of(40));
    assert_int_equal(1, f->calls);
    assert_taken(f, 1, 40);
    ldb_live_versions_drop(f->live, NULL);
    assert_int_equal(1, f->calls);
}

static void held_tables_stop_all_taking_until_settled(void **state)
{
    struct fixture *f = *state;

    ldb_live_versions_hold(f->live, node_of(40));
    assert_true(ldb_live_versions_has(f->live, 40));
    ldb_version_unref(f->old);
    f->old = NULL;
    ldb_live_versions_drop(f->live, node_of(41));
    assert_int_equal(0, f->calls);
    assert_taken(f, 0, 0);
    ldb_live_versions_settle(f->live);
    assert_int_equal(1, f->calls);
    assert_false(ldb_live_versions_has(f->live, 40));
    assert_taken(f, 3, 40);
}

static void no_memory_for_taking_loses_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t *numbers = NULL;
    size_t count = 0;

    ldb_live_versions_drop(f->live, node_of(40));
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY,
                      ldb_live_versions_take(f->live, &numbers, &count), NULL);
    assert_true(mem_fault_stop());
    assert_taken(f, 1, 40);
}

/* ---- threads ---- */

enum {
    READERS = 3,
    ROUNDS = 300
};

struct shared {
    struct ldb_live_versions *live;
    pthread_mutex_t mu;
    struct ldb_version *current; /* guarded by mu */
    bool is_done;                /* guarded by mu */
};

static void *read_versions(void *context)
{
    struct shared *shared = context;
    bool is_done = false;

    while (!is_done) {
        struct ldb_version *version;

        (void)pthread_mutex_lock(&shared->mu);
        version = ldb_version_ref(shared->current);
        is_done = shared->is_done;
        (void)pthread_mutex_unlock(&shared->mu);
        assert_true(ldb_live_versions_has(shared->live,
                                          version->levels[1].files[0]->number));
        ldb_version_unref(version);
    }
    return NULL;
}

static void every_table_becomes_obsolete_once_under_many_readers(void **state)
{
    struct shared shared = {.live = ldb_live_versions_create(),
                            .mu = PTHREAD_MUTEX_INITIALIZER};
    pthread_t readers[READERS];
    bool seen[ROUNDS] = {false};
    uint64_t *numbers = NULL;
    size_t count = 0;

    (void)state;
    assert_non_null(shared.live);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        const struct version_row row = {1, i, 1, "a@1", "b@1"};
        struct ldb_version *version = version_rows_make(&row, 1);
        struct ldb_version *before = shared.current;
        struct ldb_table_node *removed = NULL;

        if (i > 0)
            assert_ldb_ok(
                ldb_table_nodes_push(&removed, before->levels[1].files[0]),
                NULL);
        ldb_live_versions_add(shared.live, version, removed);
        (void)pthread_mutex_lock(&shared.mu);
        shared.current = version;
        (void)pthread_mutex_unlock(&shared.mu);
        ldb_version_unref(before);
        for (unsigned r = 0; i == 0 && r < READERS; r++)
            assert_int_equal(
                0, pthread_create(&readers[r], NULL, read_versions, &shared));
    }
    (void)pthread_mutex_lock(&shared.mu);
    shared.is_done = true;
    (void)pthread_mutex_unlock(&shared.mu);
    for (unsigned r = 0; r < READERS; r++)
        (void)pthread_join(readers[r], NULL);
    assert_ldb_ok(ldb_live_versions_take(shared.live, &numbers, &count), NULL);
    assert_int_equal(ROUNDS - 1, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(numbers[i] < ROUNDS - 1 && !seen[numbers[i]]);
        seen[numbers[i]] = true;
    }
    ldb_mem_free(numbers);
    ldb_version_unref(shared.current);
    ldb_live_versions_destroy(shared.live);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_dying_version_frees_what_it_alone_names),
        TEST(has_knows_every_table_of_every_version),
        TEST(dropped_tables_are_obsolete_at_once),
        TEST(held_tables_stop_all_taking_until_settled),
        TEST(no_memory_for_taking_loses_nothing),
        cmocka_unit_test(every_table_becomes_obsolete_once_under_many_readers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
