#include "storage/table/block_reader.h"

#include <stdio.h>

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/table/block_builder.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/vector_iterator.h"

#define ENTRIES_MAX 200

/* The block of entries, in memory of its exact size (for the sanitizer). */
static struct ldb_slice build(const struct vector_entry *entries, size_t count,
                              unsigned interval, uint8_t **out_memory)
{
    struct ldb_block_builder builder;
    struct ldb_slice block;

    ldb_block_builder_init(&builder, interval);
    for (size_t i = 0; i < count; i++)
        assert_ldb_ok(ldb_block_builder_add(&builder,
                                            vector_entry_key(&entries[i]),
                                            ldb_slice_str(entries[i].value)),
                      NULL);
    assert_ldb_ok(ldb_block_builder_finish(&builder, &block), NULL);
    *out_memory = ldb_mem_dup(block.data, block.len);
    assert_non_null(*out_memory);
    block.data = *out_memory;
    ldb_block_builder_release(&builder);
    return block;
}

/* A struct ldb_iterator over a block, so that vector_walk() can drive it. */
struct adapter {
    struct ldb_iterator base;
    struct ldb_block_iter it;
};

static void publish(struct ldb_iterator *base)
{
    const struct ldb_block_iter *it = &((struct adapter *)base)->it;

    base->valid = it->valid;
    base->status = it->status;
    base->key = it->key;
    base->value = it->value;
}

static void adapter_first(struct ldb_iterator *base)
{
    ldb_block_iter_seek_first(&((struct adapter *)base)->it);
    publish(base);
}

static void adapter_last(struct ldb_iterator *base)
{
    ldb_block_iter_seek_last(&((struct adapter *)base)->it);
    publish(base);
}

static void adapter_seek(struct ldb_iterator *base, struct ldb_slice target)
{
    ldb_block_iter_seek(&((struct adapter *)base)->it, target);
    publish(base);
}

static void adapter_next(struct ldb_iterator *base)
{
    ldb_block_iter_next(&((struct adapter *)base)->it);
    publish(base);
}

static void adapter_prev(struct ldb_iterator *base)
{
    ldb_block_iter_prev(&((struct adapter *)base)->it);
    publish(base);
}

static const struct ldb_iterator_ops adapter_ops = {
    .seek_first = adapter_first,
    .seek_last = adapter_last,
    .seek = adapter_seek,
    .next = adapter_next,
    .prev = adapter_prev,
};

static void adapter_init(struct adapter *a, struct ldb_slice contents)
{
    struct ldb_block block;
    const char *problem = NULL;

    memset(&a->base, 0, sizeof(a->base));
    a->base.ops = &adapter_ops;
    assert_true(ldb_block_init(contents, &block, &problem));
    ldb_block_iter_init(&a->it, ldb_comparator_bytewise());
    ldb_block_iter_set(&a->it, &block);
}

static void random_walks_agree_with_a_sorted_array(void **state)
{
    static struct vector_entry entries[ENTRIES_MAX];
    static const unsigned intervals[] = {1, 2, 3, 16, 1000};

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t dice = seed;
        size_t count = 1 + bytes_next(&dice) % ENTRIES_MAX;
        unsigned interval = intervals[seed % 5];
        struct adapter a;
        uint8_t *memory;

        for (size_t i = 0; i < count; i++) {
            char user[VECTOR_KEY_SIZE];

            /* Shared prefixes of all lengths. */
            (void)snprintf(user, sizeof(user), "%.*s%03zu",
                           (int)(bytes_next(&dice) % 20), "prefixprefixprefix",
                           i);
            entries[i] =
                vector_entry_make(user, 1 + i, 1, i % 3 == 0 ? "" : "value");
        }
        vector_sort(entries, count);
        adapter_init(&a, build(entries, count, interval, &memory));
        vector_walk(&a.base, entries, count, seed, 1000);
        ldb_block_iter_release(&a.it);
        ldb_mem_free(memory);
    }
}

/* Scans the block, of which step more bytes are there each time. */
static enum ldb_block_scan_result scan_in_steps(struct ldb_slice block,
                                                struct ldb_slice target,
                                                size_t step,
                                                struct ldb_block_iter *it)
{
    struct ldb_block_scan scan = {.target = target};
    enum ldb_block_scan_result result = LDB_BLOCK_SCAN_MORE;

    ldb_block_iter_init(it, ldb_comparator_bytewise());
    for (size_t len = 0; result == LDB_BLOCK_SCAN_MORE && len + 8 <= block.len;
         len += step)
        result =
            ldb_block_iter_scan(it, &scan, ldb_slice_make(block.data, len));
    return result;
}

static void a_scan_of_the_beginning_finds_what_a_seek_finds(void **state)
{
    static struct vector_entry entries[ENTRIES_MAX];
    static const unsigned intervals[] = {1, 2, 16};
    unsigned found = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t dice = seed;
        size_t count = 1 + bytes_next(&dice) % ENTRIES_MAX;
        struct ldb_slice contents;
        struct adapter a;
        uint8_t *memory;

        for (size_t i = 0; i < count; i++) {
            char user[VECTOR_KEY_SIZE];

            (void)snprintf(user, sizeof(user), "key%04zu", i - i % 3);
            entries[i] = vector_entry_make(user, 1 + i, 1, user);
        }
        vector_sort(entries, count);
        contents = build(entries, count, intervals[seed % 3], &memory);
        adapter_init(&a, contents);
        for (size_t i = 0; i < count; i++) {
            struct vector_entry target = entries[i];
            struct ldb_block_iter it;

            /* Itself, or one behind it. */
            target.key[target.key_len - 9] += (uint8_t)(i % 2);
            ldb_iterator_seek(&a.base, vector_entry_key(&target));
            if (scan_in_steps(contents, vector_entry_key(&target),
                              1 + bytes_next(&dice) % 300,
                              &it) == LDB_BLOCK_SCAN_FOUND) {
                assert_true(a.base.valid);
                assert_ldb_slice(a.base.key, it.key);
                assert_ldb_slice(a.base.value, it.value);
                found++;
            }
            ldb_block_iter_release(&it);
        }
        ldb_block_iter_release(&a.it);
        ldb_mem_free(memory);
    }
    assert_true(found > 1000);
}

/* Where the entries end, the first restart point stands, which is 0. */
static void a_scan_takes_no_restart_array_for_entries(void **state)
{
    static struct vector_entry entries[100];
    struct vector_entry beyond = vector_entry_make("z", 1, 1, "");
    struct ldb_block_iter it;
    struct ldb_slice contents;
    uint8_t *memory;

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        char user[16];

        (void)snprintf(user, sizeof(user), "key%04zu", i);
        entries[i] = vector_entry_make(user, 7, 1, user);
    }
    contents = build(entries, 100, 1, &memory);
    assert_int_equal(scan_in_steps(contents, vector_entry_key(&beyond), 1, &it),
                     LDB_BLOCK_SCAN_HARD);
    ldb_block_iter_release(&it);
    ldb_mem_free(memory);
}

static void a_whole_pass_backwards_is_the_pass_forwards(void **state)
{
    static struct vector_entry entries[ENTRIES_MAX];
    static const unsigned intervals[] = {1, 16, 1000};

    (void)state;
    for (size_t i = 0; i < ENTRIES_MAX; i++) {
        char user[16];

        (void)snprintf(user, sizeof(user), "key%04zu", i);
        entries[i] = vector_entry_make(user, 7, 1, user);
    }
    for (size_t k = 0; k < sizeof(intervals) / sizeof(intervals[0]); k++) {
        struct adapter a;
        uint8_t *memory;
        size_t at = ENTRIES_MAX;

        adapter_init(&a, build(entries, ENTRIES_MAX, intervals[k], &memory));
        ldb_iterator_seek_last(&a.base);
        while (a.base.valid) {
            at--;
            assert_ldb_slice(vector_entry_key(&entries[at]), a.base.key);
            assert_ldb_slice(ldb_slice_str(entries[at].value), a.base.value);
            ldb_iterator_prev(&a.base);
        }
        assert_int_equal(at, 0);
        assert_ldb_ok(a.base.status, NULL);
        ldb_block_iter_release(&a.it);
        ldb_mem_free(memory);
    }
}

/* Keys over the inline buffer and over what a past keeps. */
static void long_keys_are_read_both_ways(void **state)
{
    enum {
        COUNT = 40
    };
    static uint8_t key[8000];
    struct ldb_block_builder builder;
    struct ldb_block_iter it;
    struct ldb_block block;
    struct ldb_slice contents;
    const char *problem;
    size_t seen = 0;

    (void)state;
    memset(key, 'k', sizeof(key));
    ldb_block_builder_init(&builder, 16);
    for (size_t i = 0; i < COUNT; i++) {
        key[sizeof(key) - 1] = (uint8_t)('0' + i);
        assert_ldb_ok(
            ldb_block_builder_add(&builder,
                                  ldb_slice_make(key + (i < 20 ? 0 : 7600),
                                                 i < 20 ? sizeof(key) : 400),
                                  ldb_slice_str("")),
            NULL);
        if (i == 19)
            key[7600] = 'z';
    }
    assert_ldb_ok(ldb_block_builder_finish(&builder, &contents), NULL);
    assert_true(ldb_block_init(contents, &block, &problem));
    ldb_block_iter_init(&it, NULL);
    ldb_block_iter_set(&it, &block);
    for (ldb_block_iter_seek_first(&it); it.valid; ldb_block_iter_next(&it)) {
        assert_int_equal(it.key.len, seen < 20 ? sizeof(key) : 400);
        assert_int_equal(it.key.data[it.key.len - 1], '0' + seen);
        seen++;
    }
    assert_int_equal(seen, COUNT);
    for (ldb_block_iter_seek_last(&it); it.valid; ldb_block_iter_prev(&it)) {
        seen--;
        assert_int_equal(it.key.len, seen < 20 ? sizeof(key) : 400);
        assert_int_equal(it.key.data[it.key.len - 1], '0' + seen);
    }
    assert_int_equal(seen, 0);
    ldb_block_iter_release(&it);
    ldb_block_builder_release(&builder);
}

static void a_block_without_entries_has_none(void **state)
{
    static const uint8_t bytes[] = {0, 0, 0, 0, 1, 0, 0, 0};
    struct adapter a;

    (void)state;
    adapter_init(&a, ldb_slice_make(bytes, sizeof(bytes)));
    ldb_iterator_seek_first(&a.base);
    assert_false(a.base.valid);
    ldb_iterator_seek_last(&a.base);
    assert_false(a.base.valid);
    ldb_iterator_seek(&a.base, ldb_slice_str("12345678"));
    assert_false(a.base.valid);
    assert_ldb_ok(a.base.status, NULL);
    ldb_block_iter_release(&a.it);
}

static void seeking_and_stepping_allocate_nothing(void **state)
{
    struct vector_entry entries[50];
    struct adapter a;
    uint8_t *memory;

    (void)state;
    for (size_t i = 0; i < 50; i++) {
        char user[16];

        (void)snprintf(user, sizeof(user), "key%04zu", i);
        entries[i] = vector_entry_make(user, 7, 1, user);
    }
    adapter_init(&a, build(entries, 50, 16, &memory));
    mem_fault_start(1, MEM_FAULT_FOREVER);
    ldb_iterator_seek(&a.base, vector_entry_key(&entries[21]));
    for (size_t i = 21; i < 50; i++) {
        assert_true(a.base.valid);
        ldb_iterator_next(&a.base);
    }
    assert_false(a.base.valid);
    assert_false(mem_fault_stop());

    /* Going back wants memory, and does without. */
    mem_fault_start(1, MEM_FAULT_FOREVER);
    ldb_iterator_seek_last(&a.base);
    for (size_t i = 50; i-- > 0;) {
        assert_ldb_slice(vector_entry_key(&entries[i]), a.base.key);
        ldb_iterator_prev(&a.base);
    }
    assert_ldb_ok(a.base.status, NULL);
    assert_true(mem_fault_stop());
    ldb_block_iter_release(&a.it);
    ldb_mem_free(memory);
}

static void a_long_key_without_memory_ends_the_iteration(void **state)
{
    static uint8_t key[400];
    struct ldb_block_builder builder;
    struct ldb_block_iter it;
    struct ldb_block block;
    struct ldb_slice contents;
    const char *problem;

    (void)state;
    ldb_block_builder_init(&builder, 16);
    assert_ldb_ok(ldb_block_builder_add(&builder, ldb_slice_make(key, 399),
                                        ldb_slice_str("")),
                  NULL);
    assert_ldb_ok(ldb_block_builder_add(&builder, ldb_slice_make(key, 400),
                                        ldb_slice_str("")),
                  NULL);
    assert_ldb_ok(ldb_block_builder_finish(&builder, &contents), NULL);
    assert_true(ldb_block_init(contents, &block, &problem));
    ldb_block_iter_init(&it, NULL);
    ldb_block_iter_set(&it, &block);
    mem_fault_start(1, MEM_FAULT_ONCE);
    ldb_block_iter_seek_first(&it);
    assert_true(it.valid);
    ldb_block_iter_next(&it);
    assert_true(mem_fault_stop());
    assert_false(it.valid);
    assert_ldb_status(LDB_NO_MEMORY, it.status, NULL);
    ldb_block_iter_release(&it);
    ldb_block_builder_release(&builder);
}

static void blocks_that_cannot_be_are_refused(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
    } rows[] = {
        {"nothing", ""},
        {"seven bytes", "00000000 010000"},
        {"no restart points", "00000000 00000000"},
        {"more restart points than fit", "00000000 02000000"},
        {"a count that would wrap", "00000000 ffffffff"},
        {"a count that times four is 4", "00000000 01000040"},
        {"first restart point is 1", "00 01000000 01000000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf bytes = LDB_BUF_INIT(100);
        struct ldb_block block;
        const char *problem = NULL;

        bytes_from_hex(rows[i].hex, &bytes);
        if (ldb_block_init(ldb_slice_of_buf(&bytes), &block, &problem) ||
            problem == NULL)
            fail_msg("%s", rows[i].name);
        ldb_buf_release(&bytes);
    }
}

/* Goes everywhere; whether it met damage. */
static bool is_damaged(struct ldb_slice contents,
                       const struct ldb_comparator *comparator)
{
    struct ldb_block_iter it;
    struct ldb_block block;
    const char *problem;
    bool damaged = false;

    assert_true(ldb_block_init(contents, &block, &problem));
    ldb_block_iter_init(&it, comparator);
    ldb_block_iter_set(&it, &block);
    for (ldb_block_iter_seek_first(&it); it.valid; ldb_block_iter_next(&it))
        continue;
    damaged |= it.status == LDB_CORRUPTION;
    for (ldb_block_iter_seek_last(&it); it.valid; ldb_block_iter_prev(&it))
        continue;
    damaged |= it.status == LDB_CORRUPTION;
    ldb_block_iter_seek(&it, ldb_slice_str("zzzzzzzzz"));
    damaged |= it.status == LDB_CORRUPTION;
    assert_true(it.status == LDB_OK || it.problem != NULL);
    ldb_block_iter_release(&it);
    return damaged;
}

static void entries_that_cannot_be_are_corruption(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
        bool internal;
    } rows[] = {
        {"lengths cut off", "00 01 00000000 01000000", false},
        {"varint cut off", "00 ff ff 00000000 01000000", false},
        {"key passes the entries", "00 03 00 6161 00000000 01000000", false},
        {"value passes the entries", "00 01 02 6161 00000000 01000000", false},
        {"two lengths that wrap",
         "00 ffffffff0f ffffffff0f 6161 00000000 01000000", false},
        {"length of 33 bits", "00 ffffffff1f 00 6161 00000000 01000000", false},
        {"first entry shares", "01 01 00 61 00000000 01000000", false},
        {"shares more than there is",
         "00 01 00 61 02 01 00 62 00000000 01000000", false},
        {"shares all but 4 GiB",
         "00 01 00 61 ffffffff0f 01 00 62 00000000 01000000", false},
        {"short internal key", "00 07 00 61616161616161 00000000 01000000",
         true},
        {"short internal key by sharing",
         "00 08 00 6161616161616161 02 01 00 62 00000000 01000000", true},
        {"restart point behind the entries",
         "00 01 00 61 00000000 09000000 02000000", false},
        {"restart point within an entry",
         "00 01 00 61 00 01 00 62 00000000 05000000 02000000", false},
        {"restart point at an entry that shares",
         "00 01 00 61 01 01 00 62 00000000 04000000 02000000", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf bytes = LDB_BUF_INIT(100);
        uint8_t *exact;

        bytes_from_hex(rows[i].hex, &bytes);
        exact = ldb_mem_dup(bytes.data, bytes.len);
        assert_non_null(exact);
        if (!is_damaged(ldb_slice_make(exact, bytes.len),
                        rows[i].internal ? ldb_comparator_bytewise() : NULL))
            fail_msg("%s", rows[i].name);
        ldb_mem_free(exact);
        ldb_buf_release(&bytes);
    }
}

static void flipped_bits_never_leave_the_block(void **state)
{
    struct vector_entry entries[40];
    struct ldb_slice contents;
    uint8_t *memory;

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        char user[16];

        (void)snprintf(user, sizeof(user), "key%04zu", i);
        entries[i] = vector_entry_make(user, 7, 1, user);
    }
    contents = build(entries, 40, 4, &memory);
    for (size_t bit = 0; bit < 8 * contents.len; bit++) {
        struct ldb_block block;
        const char *problem;

        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (ldb_block_init(contents, &block, &problem))
            (void)is_damaged(contents, ldb_comparator_bytewise());
        memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_false(is_damaged(contents, ldb_comparator_bytewise()));
    ldb_mem_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_walks_agree_with_a_sorted_array),
        cmocka_unit_test(a_scan_of_the_beginning_finds_what_a_seek_finds),
        cmocka_unit_test(a_scan_takes_no_restart_array_for_entries),
        cmocka_unit_test(a_whole_pass_backwards_is_the_pass_forwards),
        cmocka_unit_test(long_keys_are_read_both_ways),
        cmocka_unit_test(a_block_without_entries_has_none),
        cmocka_unit_test(seeking_and_stepping_allocate_nothing),
        cmocka_unit_test(a_long_key_without_memory_ends_the_iteration),
        cmocka_unit_test(blocks_that_cannot_be_are_refused),
        cmocka_unit_test(entries_that_cannot_be_are_corruption),
        cmocka_unit_test(flipped_bits_never_leave_the_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
