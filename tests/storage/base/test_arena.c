#include "storage/base/arena.h"

#include <stdalign.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

static void many_allocations_keep_their_bytes(void **state)
{
    enum {
        COUNT = 2000
    };
    static uint8_t *blocks[COUNT];
    static size_t sizes[COUNT];
    struct ldb_arena arena;
    size_t total = 0;
    uint64_t seed = 4;

    (void)state;
    ldb_arena_init(&arena, 0);
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t roll = bytes_next(&seed);

        sizes[i] = roll % 50 == 0 ? roll % 7000 : roll % 30;
        blocks[i] = roll % 2 == 0 ? ldb_arena_alloc(&arena, sizes[i])
                                  : ldb_arena_alloc_aligned(&arena, sizes[i]);
        assert_non_null(blocks[i]);
        if (roll % 2 == 1)
            assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
        memset(blocks[i], (int)(i % 256), sizes[i]);
        total += sizes[i];
        assert_true(ldb_arena_memory_bytes(&arena) >= total);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(blocks[i][j], i % 256);
    ldb_arena_release(&arena);
    assert_int_equal(ldb_arena_memory_bytes(&arena), 0);
}

static void a_large_request_leaves_the_current_block_in_use(void **state)
{
    struct ldb_arena arena;
    uint8_t *first;
    uint8_t *large;
    uint8_t *second;

    (void)state;
    ldb_arena_init(&arena, 1024);
    first = ldb_arena_alloc(&arena, 10);
    large = ldb_arena_alloc(&arena, 2000);
    second = ldb_arena_alloc(&arena, 10);
    assert_non_null(first);
    assert_non_null(large);
    assert_ptr_equal(second, first + 10);
    ldb_arena_release(&arena);
}

static void dup_copies_also_nothing(void **state)
{
    struct ldb_arena arena;
    const uint8_t *copy;

    (void)state;
    ldb_arena_init(&arena, 0);
    copy = ldb_arena_dup(&arena, ldb_slice_str("bytes"));
    assert_non_null(copy);
    assert_memory_equal(copy, "bytes", 5);
    assert_non_null(ldb_arena_dup(&arena, ldb_slice_make(NULL, 0)));
    ldb_arena_release(&arena);
}

static void clear_keeps_one_block_and_uses_it_again(void **state)
{
    struct ldb_arena arena;
    size_t one_block;
    void *block = NULL;

    (void)state;
    ldb_arena_init(&arena, 1000);
    ldb_arena_clear(&arena); /* nothing yet */
    assert_non_null(ldb_arena_alloc(&arena, 100));
    one_block = ldb_arena_memory_bytes(&arena);
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(ldb_arena_alloc(&arena, 200));
    assert_non_null(ldb_arena_alloc(&arena, 5000));
    ldb_arena_clear(&arena);
    assert_int_equal(ldb_arena_memory_bytes(&arena), one_block);

    mem_fault_start(1, MEM_FAULT_FOREVER);
    block = ldb_arena_alloc(&arena, 1000); /* the whole kept block */
    assert_false(mem_fault_stop());
    assert_non_null(block);
    memset(block, 1, 1000);
    ldb_arena_release(&arena);
}

static void no_memory_is_null_and_the_arena_goes_on(void **state)
{
    struct ldb_arena arena;

    (void)state;
    ldb_arena_init(&arena, 1000);
    mem_fault_start(1, MEM_FAULT_FOREVER);
    assert_null(ldb_arena_alloc(&arena, 10));
    assert_null(ldb_arena_alloc_aligned(&arena, 10));
    assert_null(ldb_arena_dup(&arena, ldb_slice_str("abc")));
    assert_null(ldb_arena_alloc(&arena, 5000));
    assert_true(mem_fault_stop());
    assert_int_equal(ldb_arena_memory_bytes(&arena), 0);
    assert_null(ldb_arena_alloc(&arena, SIZE_MAX));
    assert_null(ldb_arena_alloc_aligned(&arena, SIZE_MAX - 8));
    assert_non_null(ldb_arena_alloc(&arena, 10));
    assert_null(ldb_arena_alloc(&arena, SIZE_MAX));
    ldb_arena_release(&arena);
}

static void a_zeroed_arena_can_be_released(void **state)
{
    struct ldb_arena arena = {0};

    (void)state;
    ldb_arena_release(&arena);
    assert_int_equal(ldb_arena_memory_bytes(&arena), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_allocations_keep_their_bytes),
        cmocka_unit_test(a_large_request_leaves_the_current_block_in_use),
        cmocka_unit_test(dup_copies_also_nothing),
        cmocka_unit_test(clear_keeps_one_block_and_uses_it_again),
        cmocka_unit_test(no_memory_is_null_and_the_arena_goes_on),
        cmocka_unit_test(a_zeroed_arena_can_be_released),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
