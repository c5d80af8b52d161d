#include "storage/base/block_cache.h"

#include <pthread.h>
#include <stdatomic.h>

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

/* A value that counts its destruction. */
struct value {
    _Atomic(unsigned) *destroyed;
    uint64_t number;
};

struct fixture {
    struct ldb_block_cache *cache;
    _Atomic(unsigned) destroyed;
};

static void setup(struct fixture *f, size_t capacity_bytes)
{
    struct ldb_error err = {0};

    f->cache = NULL;
    atomic_init(&f->destroyed, 0);
    assert_ldb_ok(ldb_block_cache_create(capacity_bytes, &err, &f->cache),
                  &err);
}

static void teardown(struct fixture *f)
{
    ldb_block_cache_destroy(f->cache);
}

static void destroy_value(void *pointer)
{
    struct value *value = pointer;

    atomic_fetch_add(value->destroyed, 1);
    ldb_mem_free(value);
}

static struct ldb_cache_entry *insert(struct fixture *f, uint64_t id,
                                      uint64_t offset, uint64_t number,
                                      size_t charge_bytes)
{
    struct value *value = ldb_mem_alloc(1, sizeof(*value));
    struct ldb_cache_entry *entry;

    assert_non_null(value);
    value->destroyed = &f->destroyed;
    value->number = number;
    entry = ldb_block_cache_insert(f->cache, id, offset, value, charge_bytes,
                                   destroy_value);
    assert_non_null(entry);
    return entry;
}

static void insert_and_release(struct fixture *f, uint64_t id, uint64_t offset,
                               uint64_t number, size_t charge_bytes)
{
    ldb_block_cache_release(f->cache,
                            insert(f, id, offset, number, charge_bytes));
}

static uint64_t number_of(const struct ldb_cache_entry *entry)
{
    const struct value *value = ldb_cache_entry_value(entry);

    return value->number;
}

/* The number cached under the key, or UINT64_MAX. */
static uint64_t look(struct fixture *f, uint64_t id, uint64_t offset)
{
    struct ldb_cache_entry *entry =
        ldb_block_cache_lookup(f->cache, id, offset);
    uint64_t number;

    if (entry == NULL)
        return UINT64_MAX;
    number = number_of(entry);
    ldb_block_cache_release(f->cache, entry);
    return number;
}

static struct ldb_cache_stats stats(const struct fixture *f)
{
    struct ldb_cache_stats s;

    ldb_block_cache_stats(f->cache, &s);
    return s;
}

static void a_key_is_both_its_halves(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 1 << 20);
    insert_and_release(&f, 1, 2, 12, 100);
    insert_and_release(&f, 2, 1, 21, 100);
    assert_int_equal(look(&f, 1, 2), 12);
    assert_int_equal(look(&f, 2, 1), 21);
    assert_int_equal(look(&f, 1, 1), UINT64_MAX);
    assert_int_equal(stats(&f).hits, 2);
    assert_int_equal(stats(&f).misses, 1);
    teardown(&f);
    assert_int_equal(f.destroyed, 2);
}

static void thousands_of_entries_are_all_found(void **state)
{
    enum {
        COUNT = 10000
    };
    struct fixture f;

    (void)state;
    setup(&f, 64 << 20);
    for (uint64_t i = 0; i < COUNT; i++)
        insert_and_release(&f, i % 7, i * 4096, i, 10);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(look(&f, i % 7, i * 4096), i);
    assert_int_equal(f.destroyed, 0);
    teardown(&f);
    assert_int_equal(f.destroyed, COUNT);
}

static void a_new_value_replaces_and_holders_keep_the_old(void **state)
{
    struct fixture f;
    struct ldb_cache_entry *old;

    (void)state;
    setup(&f, 1 << 20);
    old = insert(&f, 1, 1, 100, 10);
    insert_and_release(&f, 1, 1, 101, 10);
    assert_int_equal(look(&f, 1, 1), 101);
    assert_int_equal(number_of(old), 100);
    assert_int_equal(f.destroyed, 0);
    ldb_block_cache_release(f.cache, old);
    assert_int_equal(f.destroyed, 1);
    insert_and_release(&f, 1, 1, 102, 10); /* nobody held 101 */
    assert_int_equal(f.destroyed, 2);
    teardown(&f);
    assert_int_equal(f.destroyed, 3);
}

static void erase_drops_the_key_and_holders_keep_it(void **state)
{
    struct fixture f;
    struct ldb_cache_entry *held;

    (void)state;
    setup(&f, 1 << 20);
    held = insert(&f, 1, 1, 100, 10);
    insert_and_release(&f, 1, 2, 200, 10);
    ldb_block_cache_erase(f.cache, 1, 1);
    ldb_block_cache_erase(f.cache, 1, 2);
    ldb_block_cache_erase(f.cache, 1, 3);
    assert_int_equal(look(&f, 1, 1), UINT64_MAX);
    assert_int_equal(look(&f, 1, 2), UINT64_MAX);
    assert_int_equal(f.destroyed, 1);
    assert_int_equal(number_of(held), 100);
    assert_int_equal(stats(&f).used_bytes, 0);
    ldb_block_cache_release(f.cache, held);
    assert_int_equal(f.destroyed, 2);
    teardown(&f);
}

/* 16 shards of 4 KiB: three of the entries below fit in each. */
static void the_least_recently_used_goes_first(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 64 << 10);
    insert_and_release(&f, 9, 9, 7, 1000);
    for (uint64_t i = 0; i < 2000; i++) {
        insert_and_release(&f, 1, i, i, 1000);
        assert_int_equal(look(&f, 9, 9), 7); /* used all the time */
    }
    assert_int_equal(look(&f, 1, 1999), 1999);
    assert_int_equal(look(&f, 1, 0), UINT64_MAX);
    assert_true(stats(&f).used_bytes <= 64 << 10);
    assert_true(stats(&f).used_bytes > 32 << 10);
    assert_int_equal(stats(&f).evictions, f.destroyed);
    assert_int_equal(stats(&f).capacity_bytes, 64 << 10);
    teardown(&f);
    assert_int_equal(f.destroyed, 2001);
}

static void what_is_held_is_never_dropped(void **state)
{
    enum {
        COUNT = 200
    };
    struct fixture f;
    struct ldb_cache_entry *held[COUNT];

    (void)state;
    setup(&f, 16 << 10);
    for (uint64_t i = 0; i < COUNT; i++)
        held[i] = insert(&f, 1, i, i, 1000);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(look(&f, 1, i), i);
    assert_int_equal(f.destroyed, 0);
    assert_true(stats(&f).used_bytes > COUNT * 1000);
    for (uint64_t i = 0; i < COUNT; i++)
        ldb_block_cache_release(f.cache, held[i]);
    assert_true(stats(&f).used_bytes <= 16 << 10);
    teardown(&f);
    assert_int_equal(f.destroyed, COUNT);
}

static void no_capacity_caches_only_what_is_in_use(void **state)
{
    struct fixture f;
    struct ldb_cache_entry *held;

    (void)state;
    setup(&f, 0);
    held = insert(&f, 1, 1, 5, 0);
    assert_int_equal(look(&f, 1, 1), 5);
    ldb_block_cache_release(f.cache, held);
    assert_int_equal(look(&f, 1, 1), UINT64_MAX);
    assert_int_equal(f.destroyed, 1);
    teardown(&f);
}

/* Whether the cache wants what it has not under the key. */
static bool is_wanted(struct fixture *f, uint64_t id, uint64_t offset)
{
    bool wanted = false;

    assert_null(ldb_block_cache_lookup_or_want(f->cache, id, offset, &wanted));
    return wanted;
}

static void with_room_left_all_that_is_missed_is_wanted(void **state)
{
    struct fixture f;
    bool wanted = false;
    struct ldb_cache_entry *entry;

    (void)state;
    setup(&f, 1 << 20);
    for (uint64_t i = 0; i < 100; i++)
        assert_true(is_wanted(&f, 1, i));
    insert_and_release(&f, 1, 5, 77, 4096);
    entry = ldb_block_cache_lookup_or_want(f.cache, 1, 5, &wanted);
    assert_non_null(entry);
    assert_int_equal(number_of(entry), 77);
    ldb_block_cache_release(f.cache, entry);
    teardown(&f);
}

static void a_full_cache_wants_what_is_missed_again_soon(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 1 << 20);
    for (uint64_t i = 0; i < 2000; i++)
        insert_and_release(&f, 1, i, i, 4096);
    for (uint64_t i = 0; i < 100; i++) {
        assert_false(is_wanted(&f, 2, i));
        assert_true(is_wanted(&f, 2, i));
        assert_true(is_wanted(&f, 2, i));
    }
    /* Thousands of other misses later it is forgotten. */
    for (uint64_t i = 0; i < 20000; i++)
        (void)is_wanted(&f, 3, i);
    assert_false(is_wanted(&f, 2, 99));
    teardown(&f);
}

static void prune_drops_what_nobody_holds(void **state)
{
    struct fixture f;
    struct ldb_cache_entry *held;

    (void)state;
    setup(&f, 1 << 20);
    held = insert(&f, 1, 0, 0, 10);
    for (uint64_t i = 1; i < 100; i++)
        insert_and_release(&f, 1, i, i, 10);
    ldb_block_cache_prune(f.cache);
    assert_int_equal(f.destroyed, 99);
    assert_int_equal(look(&f, 1, 0), 0);
    ldb_block_cache_release(f.cache, held);
    teardown(&f);
    assert_int_equal(f.destroyed, 100);
}

static void ids_do_not_repeat(void **state)
{
    struct fixture f;
    uint64_t first;

    (void)state;
    setup(&f, 0);
    first = ldb_block_cache_new_id(f.cache);
    assert_int_not_equal(ldb_block_cache_new_id(f.cache), first);
    teardown(&f);
}

static void without_memory_the_value_stays_the_callers(void **state)
{
    struct fixture f;
    unsigned value = 0;

    (void)state;
    setup(&f, 1 << 20);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_null(
        ldb_block_cache_insert(f.cache, 1, 1, &value, 10, destroy_value));
    assert_true(mem_fault_stop());
    assert_int_equal(look(&f, 1, 1), UINT64_MAX);

    /* A table that cannot grow still finds everything. */
    for (uint64_t i = 0; i < 4000; i++) {
        struct value *v = ldb_mem_alloc(1, sizeof(*v));
        struct ldb_cache_entry *entry;

        assert_non_null(v);
        *v = (struct value){.destroyed = &f.destroyed, .number = i};
        mem_fault_start(2, MEM_FAULT_FOREVER);
        entry = ldb_block_cache_insert(f.cache, 1, i, v, 1, destroy_value);
        (void)mem_fault_stop();
        assert_non_null(entry);
        ldb_block_cache_release(f.cache, entry);
    }
    for (uint64_t i = 0; i < 4000; i++)
        assert_int_equal(look(&f, 1, i), i);
    teardown(&f);
}

static void create_fails_cleanly_at_each_allocation(void **state)
{
    struct ldb_block_cache *cache = NULL;
    struct ldb_error err = {0};
    uint64_t n = 1;

    (void)state;
    for (;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_block_cache_create(1 << 20, &err, &cache);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_null(cache);
    }
    assert_true(n > 1);
    ldb_block_cache_destroy(cache);
    ldb_block_cache_destroy(NULL);
}

struct racer {
    struct fixture *f;
    uint64_t seed;
    bool ok;
};

static void *race(void *context)
{
    struct racer *racer = context;
    struct fixture *f = racer->f;

    for (unsigned i = 0; i < 20000; i++) {
        uint64_t offset = bytes_next(&racer->seed) % 500;
        struct ldb_cache_entry *entry =
            ldb_block_cache_lookup(f->cache, 1, offset);

        if (entry == NULL)
            entry = insert(f, 1, offset, offset, 200);
        if (number_of(entry) != offset)
            racer->ok = false;
        ldb_block_cache_release(f->cache, entry);
        if (i % 100 == 0)
            ldb_block_cache_erase(f->cache, 1, offset);
        if (i % 5000 == 0)
            ldb_block_cache_prune(f->cache);
    }
    return NULL;
}

static void threads_see_only_right_values(void **state)
{
    struct fixture f;
    struct racer racers[3];
    pthread_t threads[3];

    (void)state;
    setup(&f, 64 << 10);
    for (size_t i = 0; i < 3; i++) {
        racers[i] = (struct racer){.f = &f, .seed = i + 1, .ok = true};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]),
                         0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(racers[i].ok);
    }
    assert_true(stats(&f).used_bytes <= 64 << 10);
    assert_true(stats(&f).evictions > 0);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_both_its_halves),
        cmocka_unit_test(thousands_of_entries_are_all_found),
        cmocka_unit_test(a_new_value_replaces_and_holders_keep_the_old),
        cmocka_unit_test(erase_drops_the_key_and_holders_keep_it),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(what_is_held_is_never_dropped),
        cmocka_unit_test(no_capacity_caches_only_what_is_in_use),
        cmocka_unit_test(with_room_left_all_that_is_missed_is_wanted),
        cmocka_unit_test(a_full_cache_wants_what_is_missed_again_soon),
        cmocka_unit_test(prune_drops_what_nobody_holds),
        cmocka_unit_test(ids_do_not_repeat),
        cmocka_unit_test(without_memory_the_value_stays_the_callers),
        cmocka_unit_test(create_fails_cleanly_at_each_allocation),
        cmocka_unit_test(threads_see_only_right_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
