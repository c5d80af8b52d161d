/* Parked references: who gets them, who keeps them, what a sweep leaves. */
#include <pthread.h>

#include "storage/view_slots.h"
#include "tests/support/assert_ldb.h"

/* A view that is all count: no reference here is ever the last one. */
static void init_view(struct ldb_view *view, uint32_t refs)
{
    *view = (struct ldb_view){0};
    atomic_init(&view->refs, refs);
}

static uint32_t refs_of(const struct ldb_view *view)
{
    return atomic_load_explicit(&view->refs, memory_order_relaxed);
}

static void a_parked_view_is_found_by_the_next_hold(void **state)
{
    struct ldb_view_slots slots = {0};
    struct ldb_view_hold hold = {0};
    struct ldb_view_hold next = {0};
    struct ldb_view view;

    (void)state;
    init_view(&view, 2);
    assert_null(ldb_view_slots_take(&slots, &hold));
    assert_true(ldb_view_slots_is_marked(&hold));
    hold.view = &view;
    assert_true(ldb_view_slots_park(&hold));
    assert_false(ldb_view_slots_is_marked(&hold));

    assert_ptr_equal(ldb_view_slots_take(&slots, &next), &view);
    assert_ptr_equal(next.slot, hold.slot);
    assert_true(ldb_view_slots_is_marked(&next));
    assert_false(ldb_view_slots_park(&hold)); /* the other's by now */
    next.view = &view;
    assert_true(ldb_view_slots_park(&next));
    assert_int_equal(refs_of(&view), 2);
}

static void a_sweep_drops_what_is_parked_and_every_mark(void **state)
{
    struct ldb_view_slots slots = {0};
    struct ldb_view_hold parked = {0};
    struct ldb_view_hold under_way = {0};
    struct ldb_view view;

    (void)state;
    init_view(&view, 3);
    assert_null(ldb_view_slots_take(&slots, &under_way));
    under_way.view = &view;
    assert_null(ldb_view_slots_take(&slots, &parked));
    assert_ptr_not_equal(parked.slot, under_way.slot);
    parked.view = &view;
    assert_true(ldb_view_slots_park(&parked));

    ldb_view_slots_sweep(&slots);
    assert_int_equal(refs_of(&view), 2);
    assert_false(ldb_view_slots_is_marked(&under_way));
    assert_false(ldb_view_slots_park(&under_way));
    assert_null(ldb_view_slots_take(&slots, &parked));
}

static void a_hold_without_a_slot_parks_nothing(void **state)
{
    struct ldb_view_slots slots = {0};
    struct ldb_view_hold holds[3] = {0};
    struct ldb_view view;

    (void)state;
    init_view(&view, 4);
    for (int i = 0; i < 3; i++) {
        assert_null(ldb_view_slots_take(&slots, &holds[i]));
        holds[i].view = &view;
    }
    assert_non_null(holds[0].slot);
    assert_non_null(holds[1].slot);
    assert_null(holds[2].slot);
    assert_false(ldb_view_slots_is_marked(&holds[2]));
    assert_false(ldb_view_slots_park(&holds[2]));
    assert_true(ldb_view_slots_park(&holds[1]));
    assert_true(ldb_view_slots_park(&holds[0]));
}

#define GETS 1000

static void *count_gets(void *slots)
{
    for (int i = 0; i < GETS; i++)
        ldb_view_slots_count_get(slots);
    return NULL;
}

static void gets_of_all_threads_are_counted(void **state)
{
    struct ldb_view_slots slots = {0};
    struct ldb_get_counts counts;
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_gets, &slots),
                         0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    ldb_view_slots_counts(&slots, &counts);
    assert_int_equal(counts.gets, 4 * GETS);
    assert_int_equal(counts.row_hits, 0);
    ldb_view_slots_count_row(&slots, true);
    ldb_view_slots_count_row(&slots, true);
    ldb_view_slots_count_row(&slots, false);
    ldb_view_slots_counts(&slots, &counts);
    assert_int_equal(counts.gets, 4 * GETS);
    assert_int_equal(counts.row_hits, 2);
    assert_int_equal(counts.row_misses, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parked_view_is_found_by_the_next_hold),
        cmocka_unit_test(a_sweep_drops_what_is_parked_and_every_mark),
        cmocka_unit_test(a_hold_without_a_slot_parks_nothing),
        cmocka_unit_test(gets_of_all_threads_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
