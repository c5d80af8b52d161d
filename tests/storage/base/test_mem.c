#include "storage/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static void a_product_that_overflows_is_refused(void **state)
{
    (void)state;
    assert_null(ldb_mem_alloc(SIZE_MAX / 2, 3));
    assert_null(ldb_mem_zalloc(SIZE_MAX / 2, 3));
    assert_null(ldb_mem_realloc(NULL, SIZE_MAX / 2, 3));
}

static void no_bytes_are_a_valid_block(void **state)
{
    void *a = ldb_mem_alloc(0, 8);
    void *b = ldb_mem_zalloc(8, 0);
    void *c = ldb_mem_realloc(NULL, 0, 0);
    void *d = ldb_mem_dup(NULL, 0);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_non_null(d);
    ldb_mem_free(a);
    ldb_mem_free(b);
    ldb_mem_free(c);
    ldb_mem_free(d);
    ldb_mem_free(NULL);
}

static void zalloc_gives_zeros(void **state)
{
    static const uint8_t zeros[100];
    uint8_t *block = ldb_mem_zalloc(10, 10);

    (void)state;
    assert_non_null(block);
    assert_memory_equal(block, zeros, sizeof(zeros));
    ldb_mem_free(block);
}

static void realloc_keeps_the_bytes(void **state)
{
    uint8_t *block = ldb_mem_dup("abc", 3);
    uint8_t *larger;

    (void)state;
    assert_non_null(block);
    larger = ldb_mem_realloc(block, 1000, 100);
    assert_non_null(larger);
    assert_memory_equal(larger, "abc", 3);
    ldb_mem_free(larger);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

static void free_pages_between_blocks_go_back(void **state)
{
    (void)state;
    print_message("memory of a sanitizer is not malloc's\n");
    skip();
}

#else

static size_t resident_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    char text[128];
    char *resident = NULL;

    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    (void)strtoul(text, &resident, 10); /* all */
    return strtoul(resident, NULL, 10);
}

/* Blocks that stay, between larger ones that go. */
static void free_pages_between_blocks_go_back(void **state)
{
    enum {
        COUNT = 200,
        BYTES = 100000
    };
    void *large[COUNT];
    void *small[COUNT];
    size_t before;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        large[i] = ldb_mem_alloc(BYTES, 1);
        small[i] = ldb_mem_alloc(2000, 1);
        assert_non_null(large[i]);
        assert_non_null(small[i]);
        memset(large[i], 1, BYTES);
    }
    for (size_t i = 0; i < COUNT; i++)
        ldb_mem_free(large[i]);
    before = resident_pages();
    ldb_mem_trim();
    assert_true(resident_pages() + COUNT * (BYTES / 4096 - 2) <= before);
    for (size_t i = 0; i < COUNT; i++)
        ldb_mem_free(small[i]);
}

#endif

static void printf_makes_a_string_of_any_length(void **state)
{
    char *text = ldb_mem_printf("%s/%06d%500s", "dir", 7, "");

    (void)state;
    assert_non_null(text);
    assert_int_equal(strlen(text), 510);
    assert_memory_equal(text, "dir/000007 ", 11);
    ldb_mem_free(text);
}

static void strdup_copies_the_nul(void **state)
{
    char *text = ldb_mem_strdup("name");

    (void)state;
    assert_non_null(text);
    assert_string_equal(text, "name");
    ldb_mem_free(text);
}

static void each_kind_of_allocation_can_be_failed(void **state)
{
    void *block = ldb_mem_alloc(4, 1);

    (void)state;
    assert_non_null(block);
    mem_fault_start(1, MEM_FAULT_FOREVER);
    assert_null(ldb_mem_alloc(1, 1));
    assert_null(ldb_mem_zalloc(1, 1));
    assert_null(ldb_mem_realloc(block, 8, 1));
    assert_null(ldb_mem_dup("a", 1));
    assert_null(ldb_mem_strdup("a"));
    assert_null(ldb_mem_printf("a"));
    assert_int_equal(mem_fault_count(), 6);
    assert_true(mem_fault_stop());
    ldb_mem_free(block); /* a failed realloc left it */
}

static void only_the_chosen_allocation_fails(void **state)
{
    void *first;
    void *third;

    (void)state;
    mem_fault_start(2, MEM_FAULT_ONCE);
    first = ldb_mem_alloc(1, 1);
    assert_null(ldb_mem_alloc(1, 1));
    third = ldb_mem_alloc(1, 1);
    assert_true(mem_fault_stop());
    assert_non_null(first);
    assert_non_null(third);
    ldb_mem_free(first);
    ldb_mem_free(third);

    mem_fault_start(2, MEM_FAULT_ONCE);
    ldb_mem_free(ldb_mem_alloc(1, 1));
    assert_false(mem_fault_stop());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_that_overflows_is_refused),
        cmocka_unit_test(no_bytes_are_a_valid_block),
        cmocka_unit_test(zalloc_gives_zeros),
        cmocka_unit_test(realloc_keeps_the_bytes),
        cmocka_unit_test(free_pages_between_blocks_go_back),
        cmocka_unit_test(printf_makes_a_string_of_any_length),
        cmocka_unit_test(strdup_copies_the_nul),
        cmocka_unit_test(each_kind_of_allocation_can_be_failed),
        cmocka_unit_test(only_the_chosen_allocation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
