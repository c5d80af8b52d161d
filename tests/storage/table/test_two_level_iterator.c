#include "storage/table/two_level_iterator.h"

#include <stdio.h>

#include "storage/base/internal_key.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/vector_iterator.h"

#define INNER_MAX   8
#define ENTRIES_MAX 12

/* Inner vectors by the digit that is the outer value. */
struct fixture {
    struct vector_entry outer[INNER_MAX];
    struct vector_entry inner[INNER_MAX][ENTRIES_MAX];
    size_t inner_counts[INNER_MAX];
    size_t fail_inner; /* opening it fails */
    size_t fail_entry; /* arriving there in any inner one fails */
    size_t opened;
    size_t released;
};

static enum ldb_status open_inner(void *context, struct ldb_slice outer_value,
                                  struct ldb_error *err,
                                  struct ldb_iterator **out)
{
    struct fixture *f = context;
    size_t i = (size_t)(outer_value.data[0] - '0');

    f->opened++;
    if (i == f->fail_inner)
        return ldb_error_set(err, LDB_CORRUPTION, "inner %zu failed", i);
    *out =
        vector_iterator_create(f->inner[i], f->inner_counts[i], f->fail_entry);
    return LDB_OK;
}

static void release(void *context)
{
    struct fixture *f = context;

    f->released++;
}

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->fail_inner = INNER_MAX;
    f->fail_entry = VECTOR_NO_FAILURE;
}

/* Adds "a", "b", ... as entries of inner i, one a character of keys. */
static void add_inner(struct fixture *f, size_t i, const char *keys)
{
    char digit[2] = {(char)('0' + i), '\0'};
    char bound[2] = {(char)(keys[0] == '\0' ? 'a' + (int)i : 0), '\0'};

    for (size_t k = 0; keys[k] != '\0'; k++) {
        char user[2] = {keys[k], '\0'};

        f->inner[i][k] = vector_entry_make(user, 5, 1, user);
        bound[0] = keys[k];
    }
    f->inner_counts[i] = strlen(keys);
    f->outer[i] = vector_entry_make(bound, 0, 0, digit);
}

static struct ldb_iterator *make(struct fixture *f, size_t outer_count)
{
    struct ldb_error err = {0};
    struct ldb_iterator *it = NULL;

    assert_ldb_ok(
        ldb_two_level_iterator_create(
            vector_iterator_create(f->outer, outer_count, VECTOR_NO_FAILURE),
            open_inner, f, release, &err, &it),
        &err);
    return it;
}

static void empty_inner_iterators_are_skipped_both_ways(void **state)
{
    struct fixture f;
    struct ldb_iterator *it;

    (void)state;
    fixture_init(&f);
    add_inner(&f, 0, "");
    add_inner(&f, 1, "bc");
    add_inner(&f, 2, "");
    add_inner(&f, 3, "");
    add_inner(&f, 4, "x");
    add_inner(&f, 5, "");
    f.outer[2] = vector_entry_make("d", 0, 0, "2");
    f.outer[3] = vector_entry_make("e", 0, 0, "3");
    f.outer[5] = vector_entry_make("z", 0, 0, "5");
    it = make(&f, 6);

    ldb_iterator_seek_first(it);
    assert_ldb_bytes("b", it->value);
    ldb_iterator_next(it);
    assert_ldb_bytes("c", it->value);
    ldb_iterator_next(it);
    assert_ldb_bytes("x", it->value);
    ldb_iterator_prev(it);
    assert_ldb_bytes("c", it->value);
    ldb_iterator_next(it);
    ldb_iterator_next(it);
    assert_false(it->valid);
    assert_ldb_ok(it->status, &it->error);

    ldb_iterator_seek_last(it);
    assert_ldb_bytes("x", it->value);
    ldb_iterator_prev(it);
    ldb_iterator_prev(it);
    assert_ldb_bytes("b", it->value);
    ldb_iterator_prev(it);
    assert_false(it->valid);
    assert_ldb_ok(it->status, &it->error);

    ldb_iterator_destroy(it);
    assert_int_equal(f.released, 1);
    assert_int_equal(vector_iterator_live(), 0);
}

static void seeks_within_one_inner_iterator_open_it_once(void **state)
{
    struct fixture f;
    struct ldb_iterator *it;
    struct vector_entry target = vector_entry_make("b", 9, 1, "");

    (void)state;
    fixture_init(&f);
    add_inner(&f, 0, "abc");
    add_inner(&f, 1, "def");
    it = make(&f, 2);
    for (int i = 0; i < 5; i++) {
        ldb_iterator_seek(it, vector_entry_key(&target));
        assert_ldb_bytes("b", it->value);
    }
    assert_int_equal(f.opened, 1);
    ldb_iterator_destroy(it);
}

static void random_walks_agree_with_a_sorted_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        static struct fixture f;
        static struct vector_entry sorted[INNER_MAX * ENTRIES_MAX];
        uint64_t dice = seed;
        size_t outer_count = 1 + bytes_next(&dice) % INNER_MAX;
        size_t all = 0;
        struct ldb_iterator *it;

        fixture_init(&f);
        for (size_t i = 0; i < outer_count; i++) {
            char user[24];
            char digit[2] = {(char)('0' + i), '\0'};

            f.inner_counts[i] = bytes_next(&dice) % ENTRIES_MAX;
            for (size_t k = 0; k < f.inner_counts[i]; k++) {
                (void)snprintf(user, sizeof(user), "%zu.%02zu", i, k);
                sorted[all] = f.inner[i][k] =
                    vector_entry_make(user, 1 + k, 1, user);
                all++;
            }
            (void)snprintf(user, sizeof(user), "%zu.~", i);
            f.outer[i] = vector_entry_make(user, 0, 0, digit);
        }
        it = make(&f, outer_count);
        if (all > 0)
            vector_walk(it, sorted, all, seed, 300);
        ldb_iterator_destroy(it);
    }
}

static void a_failure_to_open_ends_the_iteration(void **state)
{
    struct fixture f;
    struct ldb_iterator *it;

    (void)state;
    fixture_init(&f);
    add_inner(&f, 0, "a");
    add_inner(&f, 1, "b");
    f.fail_inner = 1;
    it = make(&f, 2);
    ldb_iterator_seek_first(it);
    assert_true(it->valid);
    ldb_iterator_next(it);
    assert_false(it->valid);
    assert_ldb_status(LDB_CORRUPTION, it->status, &it->error);
    assert_ldb_message("inner 1 failed", &it->error);

    ldb_iterator_seek_last(it);
    assert_ldb_status(LDB_CORRUPTION, it->status, &it->error);
    ldb_iterator_seek_first(it);
    assert_true(it->valid);
    assert_ldb_ok(it->status, &it->error);
    ldb_iterator_destroy(it);
}

static void an_error_of_the_inner_iterator_is_not_skipped(void **state)
{
    struct fixture f;
    struct ldb_iterator *it;

    (void)state;
    fixture_init(&f);
    add_inner(&f, 0, "ab");
    add_inner(&f, 1, "c");
    f.fail_entry = 1;
    it = make(&f, 2);
    ldb_iterator_seek_first(it);
    ldb_iterator_next(it);
    assert_false(it->valid);
    assert_ldb_status(LDB_IO, it->status, &it->error);
    assert_ldb_message("entry failed", &it->error);
    ldb_iterator_destroy(it);
}

static void an_error_of_the_outer_iterator_is_passed_on(void **state)
{
    struct fixture f;
    struct ldb_iterator *it = NULL;

    (void)state;
    fixture_init(&f);
    add_inner(&f, 0, "a");
    add_inner(&f, 1, "b");
    assert_ldb_ok(
        ldb_two_level_iterator_create(vector_iterator_create(f.outer, 2, 1),
                                      open_inner, &f, NULL, NULL, &it),
        NULL);
    ldb_iterator_seek_first(it);
    assert_true(it->valid);
    ldb_iterator_next(it);
    assert_ldb_status(LDB_IO, it->status, &it->error);
    ldb_iterator_destroy(it);
}

static void what_it_was_given_goes_when_there_is_no_memory(void **state)
{
    struct fixture f;
    struct ldb_iterator *outer = vector_iterator_create(NULL, 0, 0);
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};

    (void)state;
    fixture_init(&f);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY,
                      ldb_two_level_iterator_create(outer, open_inner, &f,
                                                    release, &err, &it),
                      &err);
    assert_true(mem_fault_stop());
    assert_int_equal(f.released, 1);
    assert_int_equal(vector_iterator_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_inner_iterators_are_skipped_both_ways),
        cmocka_unit_test(seeks_within_one_inner_iterator_open_it_once),
        cmocka_unit_test(random_walks_agree_with_a_sorted_array),
        cmocka_unit_test(a_failure_to_open_ends_the_iteration),
        cmocka_unit_test(an_error_of_the_inner_iterator_is_not_skipped),
        cmocka_unit_test(an_error_of_the_outer_iterator_is_passed_on),
        cmocka_unit_test(what_it_was_given_goes_when_there_is_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
