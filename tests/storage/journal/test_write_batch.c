#include "storage/journal/write_batch.h"

#include <stdio.h>

#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Room for every batch here but those that test the limit. */
#define LIMIT 4096

static struct ldb_slice text(const char *s)
{
    return ldb_slice_str(s);
}

static struct ldb_slice rep(const struct ldb_batch *batch)
{
    return ldb_slice_of_buf(&batch->rep);
}

/* The operations as "put k=v; delete k; ". */
static void describe(struct ldb_slice bytes, struct ldb_buf *out)
{
    struct ldb_batch_cursor cursor = ldb_batch_cursor_make(bytes);
    struct ldb_batch_op op;

    while (ldb_batch_cursor_next(&cursor, &op)) {
        switch (op.kind) {
        case LDB_KIND_PUT:
            assert_ldb_ok(
                ldb_buf_printf(out, "put %.*s=%.*s; ", (int)op.key.len,
                               (const char *)op.key.data, (int)op.value.len,
                               (const char *)op.value.data),
                NULL);
            break;
        case LDB_KIND_DELETE:
            assert_int_equal(op.value.len, 0);
            assert_ldb_ok(ldb_buf_printf(out, "delete %.*s; ", (int)op.key.len,
                                         (const char *)op.key.data),
                          NULL);
            break;
        }
    }
    assert_int_equal(cursor.left.len, 0);
}

static void assert_operations(const char *expected, struct ldb_slice bytes)
{
    struct ldb_buf found = LDB_BUF_INIT(LIMIT);

    describe(bytes, &found);
    assert_ldb_slice(text(expected), ldb_slice_of_buf(&found));
    ldb_buf_release(&found);
}

/* ---- writing ---- */

static void a_fresh_batch_holds_nothing(void **state)
{
    struct ldb_batch batch;

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    ldb_batch_set_sequence(&batch, 5);
    assert_int_equal(batch.count, 0);
    assert_int_equal(batch.rep.len, 0);
    ldb_batch_release(&batch);
    ldb_batch_release(NULL);
}

/* The first record of docs/formats.md, without the journal's framing. */
static void a_put_has_goleveldbs_bytes(void **state)
{
    struct ldb_batch batch;

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    assert_ldb_ok(ldb_batch_put(&batch, text("key0001"), text("561e2aec561e")),
                  NULL);
    ldb_batch_set_sequence(&batch, 1);
    assert_ldb_hex("0100000000000000 01000000 01"
                   "07 6b657930303031 0c 353631653261656335363165",
                   rep(&batch));
    ldb_batch_release(&batch);
}

static void operations_stand_in_their_order(void **state)
{
    struct ldb_batch batch;

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    assert_ldb_ok(ldb_batch_put(&batch, text("a"), text("1")), NULL);
    assert_ldb_ok(ldb_batch_delete(&batch, text("b")), NULL);
    assert_ldb_ok(ldb_batch_put(&batch, text(""), text("")), NULL);
    ldb_batch_set_sequence(&batch, LDB_SEQUENCE_MAX - 2);
    assert_int_equal(batch.count, 3);
    assert_ldb_hex("fdffffffffffff00 03000000 01 0161 0131 00 0162 01 00 00",
                   rep(&batch));
    assert_operations("put a=1; delete b; put =; ", rep(&batch));
    ldb_batch_release(&batch);
}

static void a_cleared_batch_begins_anew(void **state)
{
    struct ldb_batch batch;

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    assert_ldb_ok(ldb_batch_put(&batch, text("a"), text("1")), NULL);
    ldb_batch_set_sequence(&batch, 9);
    ldb_batch_clear(&batch);
    assert_int_equal(batch.count, 0);
    assert_int_equal(batch.rep.len, 0);
    assert_ldb_ok(ldb_batch_delete(&batch, text("b")), NULL);
    assert_ldb_hex("0000000000000000 01000000 00 0162", rep(&batch));
    ldb_batch_release(&batch);
}

static void long_items_have_long_lengths(void **state)
{
    static const uint8_t zeros[300];
    struct ldb_batch batch;
    struct ldb_batch_cursor cursor;
    struct ldb_batch_op op;

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    assert_ldb_ok(ldb_batch_put(&batch, ldb_slice_make(zeros, 127),
                                ldb_slice_make(zeros, 128)),
                  NULL);
    assert_ldb_ok(ldb_batch_delete(&batch, ldb_slice_make(zeros, 300)), NULL);
    assert_int_equal(batch.rep.len, 12 + 1 + 1 + 127 + 2 + 128 + 1 + 2 + 300);
    assert_ldb_ok(ldb_batch_check(rep(&batch), NULL, NULL, NULL), NULL);
    cursor = ldb_batch_cursor_make(rep(&batch));
    assert_true(ldb_batch_cursor_next(&cursor, &op));
    assert_int_equal(op.key.len, 127);
    assert_int_equal(op.value.len, 128);
    assert_true(ldb_batch_cursor_next(&cursor, &op));
    assert_int_equal(op.key.len, 300);
    assert_false(ldb_batch_cursor_next(&cursor, &op));
    ldb_batch_release(&batch);
}

static void append_adds_all_operations_of_another(void **state)
{
    struct ldb_batch a;
    struct ldb_batch b;

    (void)state;
    ldb_batch_init(&a, LIMIT);
    ldb_batch_init(&b, LIMIT);
    assert_ldb_ok(ldb_batch_append(&a, &b), NULL);
    assert_int_equal(a.rep.len, 0);
    assert_ldb_ok(ldb_batch_put(&b, text("k"), text("v")), NULL);
    assert_ldb_ok(ldb_batch_delete(&b, text("x")), NULL);
    ldb_batch_set_sequence(&b, 100);
    assert_ldb_ok(ldb_batch_append(&a, &b), NULL);
    assert_ldb_hex("0000000000000000 02000000 01 016b 0176 00 0178", rep(&a));
    ldb_batch_set_sequence(&a, 7);
    assert_ldb_ok(ldb_batch_append(&a, &b), NULL);
    assert_int_equal(a.count, 4);
    assert_operations("put k=v; delete x; put k=v; delete x; ", rep(&a));
    assert_int_equal(a.rep.data[0], 7);
    ldb_batch_release(&a);
    ldb_batch_release(&b);
}

static void the_limit_is_kept_to_the_byte(void **state)
{
    /* Header, kind, length and 3 bytes of key. */
    const size_t exact = LDB_BATCH_HEADER_SIZE + 5;
    struct ldb_batch batch;
    struct ldb_batch other;

    (void)state;
    ldb_batch_init(&batch, exact - 1);
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_delete(&batch, text("abc")),
                      NULL);
    assert_int_equal(batch.rep.len, 0);
    ldb_batch_release(&batch);

    ldb_batch_init(&batch, exact);
    assert_ldb_ok(ldb_batch_delete(&batch, text("abc")), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_delete(&batch, text("")), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_put(&batch, text(""), text("")),
                      NULL);
    ldb_batch_init(&other, LIMIT);
    assert_ldb_ok(ldb_batch_delete(&other, text("")), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_append(&batch, &other), NULL);
    assert_int_equal(batch.count, 1);
    assert_ldb_hex("0000000000000000 01000000 00 03616263", rep(&batch));
    ldb_batch_release(&other);
    ldb_batch_release(&batch);
}

static void keys_and_values_of_2_gib_are_refused(void **state)
{
    static const uint8_t byte;
    /* Never read: the length alone is looked at. */
    const struct ldb_slice huge = ldb_slice_make(&byte, LDB_BATCH_ITEM_MAX);
    struct ldb_batch batch;

    (void)state;
    ldb_batch_init(&batch, SIZE_MAX);
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_put(&batch, huge, text("v")),
                      NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_put(&batch, text("k"), huge),
                      NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_delete(&batch, huge), NULL);
    assert_int_equal(batch.count, 0);
    ldb_batch_release(&batch);
}

static void more_operations_than_the_count_can_say_are_refused(void **state)
{
    struct ldb_batch batch;
    struct ldb_batch other;

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    ldb_batch_init(&other, LIMIT);
    assert_ldb_ok(ldb_batch_delete(&batch, text("a")), NULL);
    assert_ldb_ok(ldb_batch_delete(&other, text("a")), NULL);
    other.count = UINT32_MAX;
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_delete(&other, text("b")), NULL);
    assert_ldb_status(LDB_TOO_LARGE, ldb_batch_append(&batch, &other), NULL);
    assert_int_equal(batch.count, 1);
    ldb_batch_release(&batch);
    ldb_batch_release(&other);
}

static void a_failed_allocation_leaves_the_batch_as_it_was(void **state)
{
    static const uint8_t zeros[200];
    struct ldb_batch batch;
    struct ldb_batch *created = NULL;

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY, ldb_batch_delete(&batch, text("a")), NULL);
    assert_true(mem_fault_stop());
    assert_int_equal(batch.count, 0);
    assert_int_equal(batch.rep.len, 0);

    assert_ldb_ok(ldb_batch_delete(&batch, text("a")), NULL);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(
        LDB_NO_MEMORY,
        ldb_batch_put(&batch, text("b"), ldb_slice_make(zeros, sizeof(zeros))),
        NULL);
    assert_true(mem_fault_stop());
    assert_ldb_hex("0000000000000000 01000000 00 0161", rep(&batch));
    ldb_batch_release(&batch);

    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY, ldb_batch_create(LIMIT, NULL, &created),
                      NULL);
    assert_true(mem_fault_stop());
    assert_null(created);
}

static void a_batch_on_the_heap_is_made_and_freed(void **state)
{
    struct ldb_batch *batch = NULL;

    (void)state;
    assert_ldb_ok(ldb_batch_create(LIMIT, NULL, &batch), NULL);
    assert_ldb_ok(ldb_batch_put(batch, text("k"), text("v")), NULL);
    assert_int_equal(batch->count, 1);
    ldb_batch_destroy(batch);
    ldb_batch_destroy(NULL);
}

/* ---- reading ---- */

static const struct malformed {
    const char *what;
    const char *hex;
    const char *message; /* NULL: sound */
    const char *operations;
} malformed[] = {
    {"nothing at all", "", "0 bytes", NULL},
    {"eleven bytes", "0100000000000000 010000", "11 bytes", NULL},
    {"an empty batch", "0100000000000000 00000000", NULL, ""},
    {"an empty batch at the last number", "ffffffffffffff00 00000000", NULL,
     ""},
    {"one put", "0100000000000000 01000000 01 0161 0131", NULL, "put a=1; "},
    {"one delete", "0100000000000000 01000000 00 0161", NULL, "delete a; "},
    {"an empty key and value", "0100000000000000 01000000 01 00 00", NULL,
     "put =; "},
    {"a length in two bytes where one would do",
     "0100000000000000 01000000 00 8100 61", NULL, "delete a; "},
    {"fewer operations than the count", "0100000000000000 02000000 00 0161",
     "1 operations", NULL},
    {"none, and a count", "0100000000000000 01000000", "0 operations", NULL},
    {"more operations than the count",
     "0100000000000000 01000000 00 0161 00 0162", "byte 15 of 18", NULL},
    {"an empty batch and a byte", "0100000000000000 00000000 00",
     "byte 12 of 13", NULL},
    {"an unknown kind", "0100000000000000 01000000 02 0161",
     "operation 0 at byte 12 of 15: unknown kind", NULL},
    {"an unknown kind after a good one",
     "0100000000000000 02000000 00 0161 ff 0161",
     "operation 1 at byte 15 of 18: unknown kind", NULL},
    {"a kind alone", "0100000000000000 01000000 00", "bad key length", NULL},
    {"a key cut short", "0100000000000000 01000000 00 0361 62",
     "bad key length", NULL},
    {"a key length cut short", "0100000000000000 01000000 00 80",
     "bad key length", NULL},
    {"a key length of six bytes", "0100000000000000 01000000 00 808080808001",
     "bad key length", NULL},
    {"a key length over 32 bits", "0100000000000000 01000000 00 ffffffff1f",
     "bad key length", NULL},
    {"a key length of 4 GiB - 1", "0100000000000000 01000000 00 ffffffff0f",
     "bad key length", NULL},
    {"a put without a value", "0100000000000000 01000000 01 0161",
     "bad value length", NULL},
    {"a value cut short", "0100000000000000 01000000 01 0161 0276",
     "bad value length", NULL},
    {"a first number over 56 bits", "0000000000000001 01000000 00 0161",
     "pass the last number", NULL},
    {"the last number", "ffffffffffffff00 01000000 00 0161", NULL,
     "delete a; "},
    {"numbers past the last one", "ffffffffffffff00 02000000 00 0161 00 0161",
     "pass the last number", NULL},
};

static void check_accepts_sound_bytes_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        const struct malformed *row = &malformed[i];
        struct ldb_buf bytes = LDB_BUF_INIT(LIMIT);
        struct ldb_error err = {0};
        ldb_sequence first = 77;
        uint32_t count = 77;

        print_message("%s\n", row->what);
        bytes_from_hex(row->hex, &bytes);
        if (row->message == NULL) {
            assert_ldb_ok(
                ldb_batch_check(ldb_slice_of_buf(&bytes), &err, &first, &count),
                &err);
            assert_int_equal(first, ldb_load_fixed64(bytes.data));
            assert_int_equal(count, ldb_load_fixed32(bytes.data + 8));
            assert_operations(row->operations, ldb_slice_of_buf(&bytes));
        } else {
            assert_ldb_status(
                LDB_CORRUPTION,
                ldb_batch_check(ldb_slice_of_buf(&bytes), &err, &first, &count),
                &err);
            assert_ldb_message(row->message, &err);
            assert_int_equal(first, 77);
            assert_int_equal(count, 77);
        }
        ldb_buf_release(&bytes);
    }
}

static void parse_takes_sound_bytes_and_goes_on(void **state)
{
    struct ldb_batch batch;
    struct ldb_buf bytes = LDB_BUF_INIT(LIMIT);
    struct ldb_error err = {0};

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    assert_ldb_ok(ldb_batch_put(&batch, text("old"), text("1")), NULL);
    bytes_from_hex("0900000000000000 01000000 00 0161", &bytes);
    assert_ldb_ok(ldb_batch_parse(&batch, ldb_slice_of_buf(&bytes), &err),
                  &err);
    assert_int_equal(batch.count, 1);
    assert_ldb_ok(ldb_batch_put(&batch, text("k"), text("v")), NULL);
    assert_ldb_hex("0900000000000000 02000000 00 0161 01 016b 0176",
                   rep(&batch));
    ldb_buf_release(&bytes);
    ldb_batch_release(&batch);
}

static void parse_of_an_empty_batch_can_be_added_to(void **state)
{
    struct ldb_batch batch;
    struct ldb_buf bytes = LDB_BUF_INIT(LIMIT);
    struct ldb_error err = {0};

    (void)state;
    ldb_batch_init(&batch, LIMIT);
    bytes_from_hex("0900000000000000 00000000", &bytes);
    assert_ldb_ok(ldb_batch_parse(&batch, ldb_slice_of_buf(&bytes), &err),
                  &err);
    assert_ldb_ok(ldb_batch_delete(&batch, text("k")), NULL);
    assert_ldb_hex("0900000000000000 01000000 00 016b", rep(&batch));
    ldb_buf_release(&bytes);
    ldb_batch_release(&batch);
}

static void a_failed_parse_leaves_the_batch_as_it_was(void **state)
{
    struct ldb_batch batch;
    struct ldb_buf bytes = LDB_BUF_INIT(LIMIT);
    struct ldb_error err = {0};

    (void)state;
    ldb_batch_init(&batch, LDB_BATCH_HEADER_SIZE + 3);
    assert_ldb_ok(ldb_batch_delete(&batch, text("o")), NULL);
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        if (malformed[i].message == NULL)
            continue;
        ldb_buf_clear(&bytes);
        bytes_from_hex(malformed[i].hex, &bytes);
        assert_ldb_status(
            LDB_CORRUPTION,
            ldb_batch_parse(&batch, ldb_slice_of_buf(&bytes), &err), &err);
    }
    ldb_buf_clear(&bytes);
    bytes_from_hex("0900000000000000 01000000 00 026161", &bytes);
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_batch_parse(&batch, ldb_slice_of_buf(&bytes), &err),
                      &err);
    assert_ldb_message("16 bytes, at most 15", &err);
    assert_int_equal(batch.count, 1);
    assert_ldb_hex("0000000000000000 01000000 00 016f", rep(&batch));
    ldb_buf_release(&bytes);
    ldb_batch_release(&batch);
}

static void a_cursor_stops_at_bytes_unchecked(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LIMIT);
    struct ldb_batch_cursor cursor;
    struct ldb_batch_op op;

    (void)state;
    bytes_from_hex("0100000000000000 02000000 00 0161 05 0161", &bytes);
    cursor = ldb_batch_cursor_make(ldb_slice_of_buf(&bytes));
    assert_true(ldb_batch_cursor_next(&cursor, &op));
    assert_false(ldb_batch_cursor_next(&cursor, &op));
    assert_false(ldb_batch_cursor_next(&cursor, &op));
    cursor = ldb_batch_cursor_make(ldb_slice_make(bytes.data, 5));
    assert_false(ldb_batch_cursor_next(&cursor, &op));
    ldb_buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_batch_holds_nothing),
        cmocka_unit_test(a_put_has_goleveldbs_bytes),
        cmocka_unit_test(operations_stand_in_their_order),
        cmocka_unit_test(a_cleared_batch_begins_anew),
        cmocka_unit_test(long_items_have_long_lengths),
        cmocka_unit_test(append_adds_all_operations_of_another),
        cmocka_unit_test(the_limit_is_kept_to_the_byte),
        cmocka_unit_test(keys_and_values_of_2_gib_are_refused),
        cmocka_unit_test(more_operations_than_the_count_can_say_are_refused),
        cmocka_unit_test(a_failed_allocation_leaves_the_batch_as_it_was),
        cmocka_unit_test(a_batch_on_the_heap_is_made_and_freed),
        cmocka_unit_test(check_accepts_sound_bytes_alone),
        cmocka_unit_test(parse_takes_sound_bytes_and_goes_on),
        cmocka_unit_test(parse_of_an_empty_batch_can_be_added_to),
        cmocka_unit_test(a_failed_parse_leaves_the_batch_as_it_was),
        cmocka_unit_test(a_cursor_stops_at_bytes_unchecked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
