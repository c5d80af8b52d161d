/* Beside a sorted array, without memory, and readers beside a writer. */
#include <stdatomic.h>

#include "storage/base/env.h"
#include "storage/memtable_index.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

/* Entries are slots of this array; what orders them is their rank. */
#define ENTRIES 6000

struct entry {
    uint32_t rank;
};

struct fixture {
    struct ldb_arena arena;
    struct ldb_memtable_index *index;
    struct ldb_memtable_path path;
    uint32_t lowest_shift; /* bits of the rank that no hint has */
    struct entry head;
    struct entry entries[ENTRIES];
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    ldb_arena_init(&f.arena, 4096);
    f.index = ldb_memtable_index_create(&f.arena, &f.head, ldb_slice_str(""));
    assert_non_null(f.index);
    for (uint32_t i = 0; i < ENTRIES; i++)
        f.entries[i].rank = i + 1;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_arena_release(&f->arena);
    return 0;
}

/* The target's key is the rank it stands for. */
static bool is_before(const void *entry,
                      const struct ldb_memtable_target *target)
{
    uint32_t rank;

    memcpy(&rank, target->key.data, sizeof(rank));
    return ((const struct entry *)entry)->rank < rank;
}

static struct ldb_memtable_target target_of(const struct fixture *f,
                                            const uint32_t *rank)
{
    return (struct ldb_memtable_target){
        .hint = *rank >> f->lowest_shift,
        .key = ldb_slice_make(rank, sizeof(*rank))};
}

static uint32_t find(const struct fixture *f, uint32_t rank)
{
    struct ldb_memtable_target target = target_of(f, &rank);
    const struct entry *found =
        ldb_memtable_index_find(f->index, &target, is_before, NULL);

    return found->rank;
}

/* As a memtable does: where it was, else by a search. */
static bool insert(struct fixture *f, uint32_t rank, bool is_last)
{
    struct ldb_memtable_target target = target_of(f, &rank);

    if (!ldb_memtable_index_is_next(&f->path, is_last, &target, is_before))
        (void)ldb_memtable_index_find(f->index, &target, is_before, &f->path);
    return ldb_memtable_index_insert(f->index, &f->arena, &f->path, target.hint,
                                     &f->entries[rank - 1]);
}

static void insert_in_steps_of(struct fixture *f, uint32_t step)
{
    uint32_t highest = 0;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t rank = (uint32_t)((uint64_t)i * step % ENTRIES) + 1;

        assert_true(insert(f, rank, rank > highest));
        highest = rank > highest ? rank : highest;
        assert_int_equal(rank, find(f, rank + 1));
    }
    for (uint32_t rank = 1; rank <= ENTRIES + 1; rank++)
        assert_int_equal(rank - 1, find(f, rank));
    assert_ptr_equal(&f->entries[ENTRIES - 1],
                     ldb_memtable_index_last(f->index, NULL));
}

static void every_order_of_inserts_is_found(void **state)
{
    /* Both ways round, scattered, and runs; each has no part of 6000. */
    static const uint32_t steps[] = {1, ENTRIES - 1, 3001, 7, 751};
    /* Hints that tell all, some, or nothing. */
    static const uint32_t shifts[] = {0, 4, 31};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        for (size_t j = 0; j < sizeof(shifts) / sizeof(shifts[0]); j++) {
            struct fixture *f = *state;

            print_message("step %u shift %u\n", steps[i], shifts[j]);
            teardown(state);
            setup(state);
            f->lowest_shift = shifts[j];
            insert_in_steps_of(f, steps[i]);
        }
    }
}

/* A slot has 16 bytes: little else is taken, and no block is half empty. */
static void runs_leave_full_blocks(void **state)
{
    struct fixture *f = *state;

    insert_in_steps_of(f, 1);
    assert_in_range(ldb_arena_memory_bytes(&f->arena), ENTRIES * 16,
                    ENTRIES * 18 + 8192);
}

/* An insert that has no memory may be missing, and nothing else. */
static void without_memory_the_rest_is_found(void **state)
{
    struct fixture *f = *state;
    uint32_t missing = 0;
    uint32_t below = 0;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t rank = (uint32_t)((uint64_t)i * 751 % ENTRIES) + 1;
        bool is_there;

        mem_fault_start(1, MEM_FAULT_ONCE);
        is_there = insert(f, rank, false);
        (void)mem_fault_stop();
        if (is_there) {
            assert_int_equal(rank, find(f, rank + 1));
        } else {
            missing++;
            assert_true(find(f, rank + 1) < rank);
        }
    }
    assert_true(missing > 0 && missing < ENTRIES);
    for (uint32_t rank = 1; rank <= ENTRIES + 1; rank++) {
        uint32_t found = find(f, rank);

        assert_true(found < rank && found >= below);
        below = found;
    }
    mem_fault_start(1, MEM_FAULT_ONCE);
    ldb_arena_release(&f->arena);
    assert_null(
        ldb_memtable_index_create(&f->arena, &f->head, ldb_slice_str("")));
    assert_true(mem_fault_stop());
}

static void hints_order_as_keys_do(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *key;
        uint64_t hint;
    } rows[] = {
        {"", 0},
        {"use", 0},
        {"us~", UINT64_MAX},
        {"user", 0},
        {"user\x01", UINT64_C(0x0100000000000000)},
        {"user1234567", UINT64_C(0x3132333435363700)},
        {"user12345678", UINT64_C(0x3132333435363738)},
        {"user12345678z", UINT64_C(0x3132333435363738)},
        {"user\xff\xff\xff\xff\xff\xff\xff\xff\xff", UINT64_MAX},
        {"usfr", UINT64_MAX},
        {"tser9", 0},
    };

    f->index->prefix = ldb_slice_str("user");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf key = LDB_BUF_INIT(64);

        print_message("row %zu\n", i);
        assert_ldb_ok(ldb_internal_key_append(&key, ldb_slice_str(rows[i].key),
                                              UINT64_C(0xfffffffffffffe01)),
                      NULL);
        assert_int_equal(rows[i].hint, ldb_memtable_index_hint(
                                           f->index, ldb_slice_of_buf(&key)));
        ldb_buf_release(&key);
    }
}

/* ---- readers beside a writer ---- */

struct reading {
    const struct fixture *fixture;
    _Atomic(bool) is_over;
    _Atomic(bool) failed;
};

static void find_while_inserting(void *context)
{
    struct reading *r = context;

    while (!atomic_load_explicit(&r->is_over, memory_order_acquire)) {
        for (uint32_t rank = 1; rank <= ENTRIES; rank += 5) {
            /* However far below: there is little to begin with. */
            if (find(r->fixture, rank) >= rank)
                atomic_store(&r->failed, true);
        }
    }
}

static void readers_find_what_is_below_while_it_changes(void **state)
{
    struct fixture *f = *state;
    struct reading r = {.fixture = f};
    struct ldb_env *env = ldb_env_posix();
    struct ldb_thread *threads[2];
    struct ldb_error err = {0};

    f->lowest_shift = 2;
    for (size_t i = 0; i < 2; i++)
        assert_ldb_ok(env->ops->thread_start(env, "reader",
                                             find_while_inserting, &r, &err,
                                             &threads[i]),
                      &err);
    insert_in_steps_of(f, 751);
    atomic_store_explicit(&r.is_over, true, memory_order_release);
    for (size_t i = 0; i < 2; i++)
        env->ops->thread_join(env, threads[i]);
    assert_false(atomic_load(&r.failed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_order_of_inserts_is_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(runs_leave_full_blocks, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_memory_the_rest_is_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(hints_order_as_keys_do, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            readers_find_what_is_below_while_it_changes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
