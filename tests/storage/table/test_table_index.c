#include "storage/table/table_index.h"

#include <stdio.h>

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/table/block_builder.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/vector_iterator.h"

#define ENTRIES_MAX 300

struct fixture {
    uint8_t *memory;
    struct ldb_block block;
    struct ldb_table_index index;
};

/* An index block of the entries as they are, with handles (i * 7, i). */
static void build(struct fixture *f, const struct vector_entry *entries,
                  size_t count, unsigned interval)
{
    struct ldb_block_builder builder;
    struct ldb_slice contents;
    const char *problem;

    ldb_block_builder_init(&builder, interval);
    for (size_t i = 0; i < count; i++) {
        uint8_t value[LDB_BLOCK_HANDLE_MAX];
        const struct ldb_block_handle handle = {.offset = i * 7, .size = i};
        size_t len = (size_t)(ldb_block_handle_store(value, handle) - value);

        assert_ldb_ok(ldb_block_builder_add(&builder,
                                            vector_entry_key(&entries[i]),
                                            ldb_slice_make(value, len)),
                      NULL);
    }
    assert_ldb_ok(ldb_block_builder_finish(&builder, &contents), NULL);
    f->memory = ldb_mem_dup(contents.data, contents.len);
    assert_non_null(f->memory);
    contents.data = f->memory;
    assert_true(ldb_block_init(contents, &f->block, &problem));
    ldb_block_builder_release(&builder);
}

static void prepare(struct fixture *f, const struct vector_entry *entries,
                    size_t count, unsigned interval)
{
    build(f, entries, count, interval);
    assert_ldb_ok(
        ldb_table_index_init(&f->block, ldb_comparator_bytewise(), &f->index),
        NULL);
}

static void fixture_release(struct fixture *f)
{
    ldb_table_index_release(&f->index);
    ldb_mem_free(f->memory);
}

/* Whether find told the answer; seek and find say what a plain seek says. */
static bool assert_agrees(const struct fixture *f, struct ldb_slice target)
{
    struct ldb_block_iter plain, it;
    struct ldb_block_handle handle, expected;
    bool is_told = ldb_table_index_find(&f->index, target, &handle);

    ldb_block_iter_init(&plain, ldb_comparator_bytewise());
    ldb_block_iter_set(&plain, &f->block);
    ldb_block_iter_seek(&plain, target);
    ldb_block_iter_init(&it, ldb_comparator_bytewise());
    ldb_block_iter_set(&it, &f->block);
    ldb_table_index_seek(&f->index, &it, target);
    assert_int_equal(plain.valid, it.valid);
    assert_int_equal(plain.status, it.status);
    if (plain.valid) {
        struct ldb_reader r = ldb_reader_make(plain.value);

        assert_ldb_slice(plain.key, it.key);
        assert_ldb_slice(plain.value, it.value);
        assert_true(ldb_block_handle_read(&r, &expected));
        if (is_told) {
            assert_int_equal(expected.offset, handle.offset);
            assert_int_equal(expected.size, handle.size);
        }
    } else {
        assert_false(is_told);
    }
    ldb_block_iter_release(&plain);
    ldb_block_iter_release(&it);
    return is_told;
}

/* A key: the common bytes, then few digits or none, of few values. */
static struct vector_entry random_entry(uint64_t *dice, const char *common)
{
    static const char *const digits[] = {"",  "0",   "1",        "11",
                                         "7", "777", "00000000", "000000001"};
    char user[VECTOR_KEY_SIZE];

    (void)snprintf(user, sizeof(user), "%s%s%s", common,
                   digits[bytes_next(dice) % 8], digits[bytes_next(dice) % 8]);
    return vector_entry_make(user, 1 + bytes_next(dice) % 3, LDB_KIND_SEEK, "");
}

static void searches_agree_with_a_plain_seek(void **state)
{
    static const char *const commons[] = {"", "k", "account", "longer-than-8"};
    static struct vector_entry entries[ENTRIES_MAX];

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t dice = seed;
        const char *common = commons[seed % 4];
        size_t count = 1 + bytes_next(&dice) % ENTRIES_MAX;
        struct fixture f;

        for (size_t i = 0; i < count; i++)
            entries[i] = random_entry(&dice, common);
        vector_sort(entries, count);
        /* As successors are: behind all others, and short. */
        if (seed % 3 == 0)
            entries[count - 1] = vector_entry_make("z", 1, LDB_KIND_SEEK, "");
        prepare(&f, entries, count, 1);
        for (unsigned i = 0; i < 200; i++) {
            const char *near = commons[i % 16 == 0 ? i / 16 % 4 : seed % 4];
            struct vector_entry target = random_entry(&dice, near);

            (void)assert_agrees(&f, vector_entry_key(&target));
        }
        for (size_t i = 0; i < count; i++)
            (void)assert_agrees(&f, vector_entry_key(&entries[i]));
        fixture_release(&f);
    }
}

/* Keys of digits as a benchmark's; the last one is the shortened one. */
static void fill_digits(struct vector_entry *entries, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++) {
        char user[VECTOR_KEY_SIZE];

        (void)snprintf(user, sizeof(user), "%016zu", 2 * i);
        entries[i] = vector_entry_make(user, 5, LDB_KIND_SEEK, "");
    }
    entries[count - 1] = vector_entry_make("1", 5, LDB_KIND_SEEK, "");
}

static void
words_tell_all_but_the_same_user_key_and_the_last_entry(void **state)
{
    static struct vector_entry entries[ENTRIES_MAX];
    struct fixture f;

    (void)state;
    fill_digits(entries, ENTRIES_MAX);
    prepare(&f, entries, ENTRIES_MAX, 1);
    assert_int_equal(f.index.count, ENTRIES_MAX - 1);
    assert_int_equal(f.index.prefix.len, 13);
    assert_int_equal(ldb_table_index_memory_bytes(&f.index),
                     16 * (ENTRIES_MAX - 1));
    for (size_t i = 0; i < 2 * ENTRIES_MAX; i++) {
        char user[VECTOR_KEY_SIZE];
        struct vector_entry target;

        (void)snprintf(user, sizeof(user), "%016zu", i);
        target = vector_entry_make(user, 5, LDB_KIND_SEEK, "");
        assert_int_equal(assert_agrees(&f, vector_entry_key(&target)),
                         i % 2 == 1 && i < 2 * ENTRIES_MAX - 4);
    }
    fixture_release(&f);
}

static void indexes_no_writer_makes_have_no_words(void **state)
{
    static struct vector_entry entries[ENTRIES_MAX];
    struct vector_entry swapped;
    struct fixture f;

    (void)state;
    fill_digits(entries, ENTRIES_MAX);
    prepare(&f, entries, ENTRIES_MAX, 2);
    assert_int_equal(f.index.count, 0);
    (void)assert_agrees(&f, vector_entry_key(&entries[77]));
    fixture_release(&f);

    prepare(&f, entries, 8, 1);
    assert_int_equal(f.index.count, 0);
    (void)assert_agrees(&f, vector_entry_key(&entries[7]));
    fixture_release(&f);

    swapped = entries[100];
    entries[100] = entries[101];
    entries[101] = swapped;
    prepare(&f, entries, ENTRIES_MAX, 1);
    assert_int_equal(f.index.count, 0);
    fixture_release(&f);
}

static void damaged_indexes_have_no_words_or_right_ones(void **state)
{
    static struct vector_entry entries[20];
    struct fixture f;

    (void)state;
    fill_digits(entries, 20);
    build(&f, entries, 20, 1);
    for (size_t at = 0; at < f.block.entries_len + 4 * 20; at++) {
        f.memory[at] ^= 0xff;
        assert_ldb_ok(
            ldb_table_index_init(&f.block, ldb_comparator_bytewise(), &f.index),
            NULL);
        for (uint32_t i = 1; i < f.index.count; i++)
            assert_true(f.index.words[i - 1] <= f.index.words[i]);
        ldb_table_index_release(&f.index);
        f.memory[at] ^= 0xff;
    }
    fixture_release(&f);
}

static void another_order_has_no_words(void **state)
{
    static struct vector_entry entries[20];
    struct ldb_comparator other = *ldb_comparator_bytewise();
    struct fixture f;

    (void)state;
    fill_digits(entries, 20);
    build(&f, entries, 20, 1);
    assert_ldb_ok(ldb_table_index_init(&f.block, &other, &f.index), NULL);
    assert_int_equal(f.index.count, 0);
    fixture_release(&f);
}

static void no_memory_is_reported_and_nothing_leaks(void **state)
{
    static struct vector_entry entries[20];
    struct fixture f;

    (void)state;
    fill_digits(entries, 20);
    build(&f, entries, 20, 1);
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fault_start(n, MEM_FAULT_ONCE);
        assert_int_equal(
            ldb_table_index_init(&f.block, ldb_comparator_bytewise(), &f.index),
            LDB_NO_MEMORY);
        assert_true(mem_fault_stop());
    }
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_agree_with_a_plain_seek),
        cmocka_unit_test(
            words_tell_all_but_the_same_user_key_and_the_last_entry),
        cmocka_unit_test(indexes_no_writer_makes_have_no_words),
        cmocka_unit_test(damaged_indexes_have_no_words_or_right_ones),
        cmocka_unit_test(another_order_has_no_words),
        cmocka_unit_test(no_memory_is_reported_and_nothing_leaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
