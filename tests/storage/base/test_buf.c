#include "storage/base/buf.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static void append_keeps_order_and_nul(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(100);

    (void)state;
    assert_null(buf.data);
    assert_ldb_ok(ldb_buf_append(&buf, ldb_slice_make("a\0b", 3)), NULL);
    assert_ldb_ok(ldb_buf_append(&buf, ldb_slice_make(NULL, 0)), NULL);
    assert_ldb_ok(ldb_buf_append_byte(&buf, 0xff), NULL);
    assert_ldb_hex("61 00 62 ff", ldb_slice_of_buf(&buf));
    ldb_buf_release(&buf);
}

static void a_buffer_fills_to_its_limit_and_not_past_it(void **state)
{
    static const size_t limits[] = {0, 1, 3, 63, 64, 65, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct ldb_buf buf = LDB_BUF_INIT(limits[i]);

        while (buf.len < limits[i])
            assert_ldb_ok(ldb_buf_append_byte(&buf, 'x'), NULL);
        assert_ldb_status(LDB_TOO_LARGE, ldb_buf_append_byte(&buf, 'y'), NULL);
        assert_int_equal(buf.len, limits[i]);
        assert_true(buf.capacity <= limits[i]);
        ldb_buf_release(&buf);
    }
}

static void a_length_that_wraps_is_too_large(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(SIZE_MAX);

    (void)state;
    assert_ldb_ok(ldb_buf_append(&buf, ldb_slice_str("abc")), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_buf_reserve(&buf, SIZE_MAX - 1), NULL);
    assert_ldb_bytes("abc", ldb_slice_of_buf(&buf));
    ldb_buf_release(&buf);
}

static void growth_doubles(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(1000000);

    (void)state;
    mem_fault_start(UINT64_MAX, MEM_FAULT_ONCE);
    for (size_t i = 0; i < 65536; i++)
        assert_ldb_ok(ldb_buf_append_byte(&buf, 'x'), NULL);
    assert_int_equal(mem_fault_count(), 11); /* 64, 128, ... 65536 */
    assert_false(mem_fault_stop());
    ldb_buf_release(&buf);
}

static void reserve_makes_room_and_leaves_the_length(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(100);

    (void)state;
    assert_ldb_ok(ldb_buf_reserve(&buf, 100), NULL);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.capacity, 100);
    ldb_buf_release(&buf);
}

static void extend_points_at_the_new_bytes(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(100);
    uint8_t *first = NULL;

    (void)state;
    assert_ldb_ok(ldb_buf_append(&buf, ldb_slice_str("ab")), NULL);
    assert_ldb_ok(ldb_buf_extend(&buf, 2, &first), NULL);
    memcpy(first, "cd", 2);
    assert_ldb_bytes("abcd", ldb_slice_of_buf(&buf));
    assert_ldb_status(LDB_TOO_LARGE, ldb_buf_extend(&buf, 97, &first), NULL);
    assert_int_equal(buf.len, 4);
    ldb_buf_release(&buf);
}

static void printf_leaves_out_the_nul(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(6);

    (void)state;
    assert_ldb_ok(ldb_buf_printf(&buf, "%03d", 7), NULL);
    assert_ldb_ok(ldb_buf_printf(&buf, "%s", "abc"), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_buf_printf(&buf, "x"), NULL);
    assert_ldb_bytes("007abc", ldb_slice_of_buf(&buf));
    ldb_buf_release(&buf);
}

static void printf_takes_text_of_any_length(void **state)
{
    (void)state;
    for (int width = 500; width < 520; width++) {
        struct ldb_buf buf = LDB_BUF_INIT(520);

        assert_ldb_ok(ldb_buf_printf(&buf, "%*d", width, 7), NULL);
        assert_int_equal(buf.len, width);
        assert_int_equal(buf.data[0], ' ');
        assert_int_equal(buf.data[width - 1], '7');
        assert_ldb_status(LDB_TOO_LARGE, ldb_buf_printf(&buf, "%600d", 1),
                          NULL);
        assert_int_equal(buf.len, width);
        ldb_buf_release(&buf);
    }
}

static void assign_replaces_or_changes_nothing(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(4);

    (void)state;
    assert_ldb_ok(ldb_buf_assign(&buf, ldb_slice_str("abcd")), NULL);
    assert_ldb_ok(ldb_buf_assign(&buf, ldb_slice_str("xy")), NULL);
    assert_ldb_bytes("xy", ldb_slice_of_buf(&buf));
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_buf_assign(&buf, ldb_slice_str("abcde")), NULL);
    assert_ldb_bytes("xy", ldb_slice_of_buf(&buf));
    ldb_buf_release(&buf);
}

static void no_memory_leaves_the_buffer_unchanged(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(10000);
    uint8_t *first = NULL;

    (void)state;
    assert_ldb_ok(ldb_buf_append(&buf, ldb_slice_str("abc")), NULL);
    mem_fault_start(1, MEM_FAULT_FOREVER);
    assert_ldb_status(LDB_NO_MEMORY, ldb_buf_reserve(&buf, 1000), NULL);
    assert_ldb_status(LDB_NO_MEMORY, ldb_buf_extend(&buf, 1000, &first), NULL);
    assert_ldb_status(LDB_NO_MEMORY, ldb_buf_printf(&buf, "%1000d", 1), NULL);
    assert_true(mem_fault_stop());
    assert_null(first);
    assert_ldb_bytes("abc", ldb_slice_of_buf(&buf));

    mem_fault_start(2, MEM_FAULT_ONCE); /* printf's own text */
    assert_ldb_status(LDB_NO_MEMORY, ldb_buf_printf(&buf, "%1000d", 1), NULL);
    assert_true(mem_fault_stop());
    assert_ldb_bytes("abc", ldb_slice_of_buf(&buf));
    ldb_buf_release(&buf);
}

static void clear_keeps_the_memory_and_release_does_not(void **state)
{
    struct ldb_buf buf = LDB_BUF_INIT(100);
    const uint8_t *memory;

    (void)state;
    assert_ldb_ok(ldb_buf_append(&buf, ldb_slice_str("abc")), NULL);
    memory = buf.data;
    ldb_buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_ptr_equal(buf.data, memory);
    ldb_buf_release(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.capacity, 0);
    assert_ldb_ok(ldb_buf_append(&buf, ldb_slice_str("usable")), NULL);
    ldb_buf_release(&buf);
    ldb_buf_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_keeps_order_and_nul),
        cmocka_unit_test(a_buffer_fills_to_its_limit_and_not_past_it),
        cmocka_unit_test(a_length_that_wraps_is_too_large),
        cmocka_unit_test(growth_doubles),
        cmocka_unit_test(reserve_makes_room_and_leaves_the_length),
        cmocka_unit_test(extend_points_at_the_new_bytes),
        cmocka_unit_test(printf_leaves_out_the_nul),
        cmocka_unit_test(printf_takes_text_of_any_length),
        cmocka_unit_test(assign_replaces_or_changes_nothing),
        cmocka_unit_test(no_memory_leaves_the_buffer_unchanged),
        cmocka_unit_test(clear_keeps_the_memory_and_release_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
