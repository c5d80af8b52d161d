#include "storage/table/merging_iterator.h"

#include <stdio.h>

#include "storage/base/internal_key.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/vector_iterator.h"

#define CHILDREN_MAX 9
#define ENTRIES_MAX  40

static struct ldb_iterator *merge(struct ldb_iterator **children, size_t count)
{
    struct ldb_error err = {0};
    struct ldb_iterator *it = NULL;

    assert_ldb_ok(ldb_merging_iterator_create(ldb_comparator_bytewise(),
                                              children, count, &err, &it),
                  &err);
    return it;
}

/* The values from first to last, or from last to first, as one text. */
static void collect(struct ldb_iterator *it, bool backwards, char *out,
                    size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    if (backwards)
        ldb_iterator_seek_last(it);
    else
        ldb_iterator_seek_first(it);
    while (it->valid) {
        len +=
            (size_t)snprintf(out + len, size - len, "%.*s ", (int)it->value.len,
                             (const char *)it->value.data);
        if (backwards)
            ldb_iterator_prev(it);
        else
            ldb_iterator_next(it);
    }
    assert_ldb_ok(it->status, &it->error);
}

static void entries_of_all_inputs_come_in_order_both_ways(void **state)
{
    const struct vector_entry a[] = {vector_entry_make("a", 9, 1, "a9"),
                                     vector_entry_make("c", 2, 1, "c2")};
    const struct vector_entry b[] = {vector_entry_make("a", 12, 0, "a12"),
                                     vector_entry_make("b", 1, 1, "b1"),
                                     vector_entry_make("d", 1, 1, "d1")};
    const struct vector_entry c[] = {vector_entry_make("c", 300, 1, "c300")};
    struct ldb_iterator *children[] = {
        vector_iterator_create(a, 2, VECTOR_NO_FAILURE),
        vector_iterator_create(b, 3, VECTOR_NO_FAILURE),
        vector_iterator_create(c, 1, VECTOR_NO_FAILURE),
        vector_iterator_create(NULL, 0, VECTOR_NO_FAILURE),
    };
    struct ldb_iterator *it = merge(children, 4);
    char text[100];

    (void)state;
    assert_false(it->valid);
    collect(it, false, text, sizeof(text));
    assert_string_equal(text, "a12 a9 b1 c300 c2 d1 ");
    collect(it, true, text, sizeof(text));
    assert_string_equal(text, "d1 c2 c300 b1 a9 a12 ");
    ldb_iterator_destroy(it);
    assert_int_equal(vector_iterator_live(), 0);
}

static void equal_keys_keep_the_order_of_the_inputs(void **state)
{
    const struct vector_entry first[] = {vector_entry_make("k", 5, 1, "1"),
                                         vector_entry_make("m", 5, 1, "m")};
    const struct vector_entry second[] = {vector_entry_make("k", 5, 1, "2")};
    const struct vector_entry third[] = {vector_entry_make("k", 5, 1, "3")};
    struct ldb_iterator *children[] = {
        vector_iterator_create(first, 2, VECTOR_NO_FAILURE),
        vector_iterator_create(second, 1, VECTOR_NO_FAILURE),
        vector_iterator_create(third, 1, VECTOR_NO_FAILURE),
    };
    struct ldb_iterator *it = merge(children, 3);
    char text[100];

    (void)state;
    collect(it, false, text, sizeof(text));
    assert_string_equal(text, "1 2 3 m ");
    collect(it, true, text, sizeof(text));
    assert_string_equal(text, "m 3 2 1 ");

    /* Turning round among them. */
    ldb_iterator_seek(it, vector_entry_key(&first[0]));
    ldb_iterator_next(it);
    assert_ldb_bytes("2", it->value);
    ldb_iterator_prev(it);
    assert_ldb_bytes("1", it->value);
    ldb_iterator_next(it);
    ldb_iterator_next(it);
    assert_ldb_bytes("3", it->value);
    ldb_iterator_prev(it);
    assert_ldb_bytes("2", it->value);
    ldb_iterator_destroy(it);
}

/* Deals random entries out to the children; all of them, sorted, in out. */
static size_t deal(uint64_t *seed, size_t child_count,
                   struct vector_entry dealt[][ENTRIES_MAX], size_t *counts,
                   struct vector_entry *out)
{
    size_t all = 0;

    for (size_t c = 0; c < child_count; c++) {
        counts[c] = bytes_next(seed) % ENTRIES_MAX;
        for (size_t i = 0; i < counts[c]; i++) {
            char user[8];
            char value[24];

            (void)snprintf(user, sizeof(user), "k%02u",
                           (unsigned)(bytes_next(seed) % 30));
            (void)snprintf(value, sizeof(value), "%zu.%zu", c, i);
            /* Sequences differ, so that keys do. */
            dealt[c][i] = vector_entry_make(user, 1 + i * CHILDREN_MAX + c,
                                            (int)(bytes_next(seed) % 2), value);
        }
        vector_sort(dealt[c], counts[c]);
        memcpy(out + all, dealt[c], counts[c] * sizeof(*out));
        all += counts[c];
    }
    vector_sort(out, all);
    return all;
}

static void random_walks_agree_with_a_sorted_array(void **state)
{
    static struct vector_entry dealt[CHILDREN_MAX][ENTRIES_MAX];
    static struct vector_entry sorted[CHILDREN_MAX * ENTRIES_MAX];

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t dice = seed;
        size_t child_count = 2 + bytes_next(&dice) % (CHILDREN_MAX - 1);
        size_t counts[CHILDREN_MAX];
        struct ldb_iterator *children[CHILDREN_MAX];
        size_t all = deal(&dice, child_count, dealt, counts, sorted);
        struct ldb_iterator *it;

        for (size_t c = 0; c < child_count; c++)
            children[c] =
                vector_iterator_create(dealt[c], counts[c], VECTOR_NO_FAILURE);
        it = merge(children, child_count);
        if (all > 0)
            vector_walk(it, sorted, all, seed, 400);
        ldb_iterator_destroy(it);
    }
}

static void an_error_of_an_input_ends_the_iteration(void **state)
{
    const struct vector_entry a[] = {vector_entry_make("a", 1, 1, "a"),
                                     vector_entry_make("d", 1, 1, "d")};
    const struct vector_entry b[] = {vector_entry_make("b", 1, 1, "b"),
                                     vector_entry_make("c", 1, 1, "c")};
    struct ldb_iterator *children[] = {
        vector_iterator_create(a, 2, VECTOR_NO_FAILURE),
        vector_iterator_create(b, 2, 1),
    };
    struct ldb_iterator *it = merge(children, 2);

    (void)state;
    ldb_iterator_seek_first(it);
    ldb_iterator_next(it);
    assert_true(it->valid);
    assert_ldb_bytes("b", it->value);
    ldb_iterator_next(it); /* steps b's iterator to where it fails */
    assert_false(it->valid);
    assert_ldb_status(LDB_IO, it->status, &it->error);
    assert_ldb_message("entry failed", &it->error);

    ldb_iterator_seek_last(it);
    assert_false(it->valid);
    assert_ldb_status(LDB_IO, it->status, &it->error);

    ldb_iterator_seek_first(it);
    assert_true(it->valid);
    assert_ldb_ok(it->status, &it->error);
    ldb_iterator_destroy(it);
}

static void no_input_is_an_empty_iterator_and_one_is_itself(void **state)
{
    const struct vector_entry a[] = {vector_entry_make("a", 1, 1, "a")};
    struct ldb_iterator *child =
        vector_iterator_create(a, 1, VECTOR_NO_FAILURE);
    struct ldb_iterator *none = merge(NULL, 0);

    (void)state;
    ldb_iterator_seek_first(none);
    assert_false(none->valid);
    assert_ldb_ok(none->status, NULL);
    ldb_iterator_destroy(none);

    assert_ptr_equal(merge(&child, 1), child);
    ldb_iterator_destroy(child);
}

static void inputs_are_destroyed_when_there_is_no_memory(void **state)
{
    struct ldb_iterator *children[] = {
        vector_iterator_create(NULL, 0, VECTOR_NO_FAILURE),
        vector_iterator_create(NULL, 0, VECTOR_NO_FAILURE),
    };
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};

    (void)state;
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY,
                      ldb_merging_iterator_create(ldb_comparator_bytewise(),
                                                  children, 2, &err, &it),
                      &err);
    assert_true(mem_fault_stop());
    assert_null(it);
    assert_int_equal(vector_iterator_live(), 0);
}

/* An order that is not bytewise: by the last byte of the user key. */
static int compare_last_bytes(void *context, struct ldb_slice a,
                              struct ldb_slice b)
{
    (void)context;
    return a.data[a.len - 1] - b.data[b.len - 1];
}

static void a_foreign_comparator_decides_the_order(void **state)
{
    const struct ldb_comparator by_last = {.name = "test.ByLastByte",
                                           .compare = compare_last_bytes};
    const struct vector_entry a[] = {vector_entry_make("z1", 1, 1, "z1"),
                                     vector_entry_make("b3", 1, 1, "b3")};
    const struct vector_entry b[] = {vector_entry_make("y2", 1, 1, "y2")};
    struct ldb_iterator *children[] = {
        vector_iterator_create(a, 2, VECTOR_NO_FAILURE),
        vector_iterator_create(b, 1, VECTOR_NO_FAILURE),
    };
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};
    char text[40];

    (void)state;
    assert_ldb_ok(ldb_merging_iterator_create(&by_last, children, 2, &err, &it),
                  &err);
    collect(it, false, text, sizeof(text));
    assert_string_equal(text, "z1 y2 b3 ");
    ldb_iterator_destroy(it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_of_all_inputs_come_in_order_both_ways),
        cmocka_unit_test(equal_keys_keep_the_order_of_the_inputs),
        cmocka_unit_test(random_walks_agree_with_a_sorted_array),
        cmocka_unit_test(an_error_of_an_input_ends_the_iteration),
        cmocka_unit_test(no_input_is_an_empty_iterator_and_one_is_itself),
        cmocka_unit_test(inputs_are_destroyed_when_there_is_no_memory),
        cmocka_unit_test(a_foreign_comparator_decides_the_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
