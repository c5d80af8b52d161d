/* Order, lookup by sequence, both directions, and readers beside a writer. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/env.h"
#include "storage/journal/write_batch.h"
#include "storage/memtable.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

struct fixture {
    struct ldb_memtable *table;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    assert_ldb_ok(
        ldb_memtable_create(ldb_comparator_bytewise(), 7, &f.err, &f.table),
        &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_memtable_unref(f->table);
    return 0;
}

static void add(struct ldb_memtable *table, const char *key,
                ldb_sequence sequence, enum ldb_kind kind, const char *value)
{
    struct ldb_memtable_node *node =
        ldb_memtable_prepare(table, ldb_tag_make(sequence, kind),
                             ldb_slice_str(key), ldb_slice_str(value));

    assert_non_null(node);
    ldb_memtable_link(table, node);
}

/* Whether key is there at sequence; its tag and value. */
static bool find(const struct ldb_memtable *table, const char *key,
                 ldb_sequence sequence, uint64_t *out_tag,
                 struct ldb_slice *out_value)
{
    struct ldb_buf target = LDB_BUF_INIT(256);
    bool found;

    assert_ldb_ok(
        ldb_internal_key_append(&target, ldb_slice_str(key),
                                ldb_tag_make(sequence, LDB_KIND_SEEK)),
        NULL);
    found =
        ldb_memtable_get(table, ldb_slice_of_buf(&target), out_tag, out_value);
    ldb_buf_release(&target);
    return found;
}

static void a_new_table_is_empty(void **state)
{
    struct fixture *f = *state;
    struct ldb_iterator *it = NULL;
    struct ldb_slice value;
    uint64_t tag;

    assert_int_equal(7, f->table->journal_number);
    assert_int_equal(0, ldb_memtable_entry_count(f->table));
    assert_false(find(f->table, "a", LDB_SEQUENCE_MAX, &tag, &value));
    assert_ldb_ok(ldb_memtable_iterator_create(f->table, &f->err, &it),
                  &f->err);
    ldb_iterator_seek_first(it);
    assert_false(it->valid);
    ldb_iterator_seek_last(it);
    assert_false(it->valid);
    assert_int_equal(LDB_OK, it->status);
    ldb_iterator_destroy(it);
}

static void a_lookup_sees_the_newest_entry_at_its_sequence(void **state)
{
    struct fixture *f = *state;
    static const struct {
        ldb_sequence at;
        bool found;
        ldb_sequence sequence;
        enum ldb_kind kind;
        const char *value;
    } rows[] = {
        {1, false, 0, LDB_KIND_PUT, ""},
        {2, true, 2, LDB_KIND_PUT, "old"},
        {4, true, 2, LDB_KIND_PUT, "old"},
        {5, true, 5, LDB_KIND_DELETE, ""},
        {8, true, 5, LDB_KIND_DELETE, ""},
        {9, true, 9, LDB_KIND_PUT, "new"},
        {LDB_SEQUENCE_MAX, true, 9, LDB_KIND_PUT, "new"},
    };

    add(f->table, "k", 2, LDB_KIND_PUT, "old");
    add(f->table, "k", 9, LDB_KIND_PUT, "new");
    add(f->table, "k", 5, LDB_KIND_DELETE, "");
    add(f->table, "kk", 3, LDB_KIND_PUT, "another key");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_slice value = {0};
        uint64_t tag = 0;

        print_message("at %llu\n", (unsigned long long)rows[i].at);
        assert_int_equal(rows[i].found,
                         find(f->table, "k", rows[i].at, &tag, &value));
        if (!rows[i].found)
            continue;
        assert_int_equal(rows[i].sequence, ldb_tag_sequence(tag));
        assert_int_equal(rows[i].kind, ldb_tag_kind(tag));
        assert_ldb_slice(ldb_slice_str(rows[i].value), value);
    }
    assert_false(find(f->table, "j", LDB_SEQUENCE_MAX, &(uint64_t){0},
                      &(struct ldb_slice){0}));
}

/*
 * Link remembers where it put the last node: runs that ascend, go back, and
 * run into what stands there already must end up where a search puts them, on
 * every level.
 */
static void runs_of_ascending_keys_stand_in_order(void **state)
{
    struct fixture *f = *state;
    struct ldb_iterator *it = NULL;
    ldb_sequence sequence = 0;
    unsigned count = 0;
    char key[16];

    for (unsigned run = 0; run < 64; run++) {
        /* Run r takes r', r' + 64, r' + 128, ...: 27 is prime to 64. */
        for (unsigned i = run * 27 % 64; i < 4096; i += 64) {
            (void)snprintf(key, sizeof(key), "%04u", i);
            add(f->table, key, ++sequence, LDB_KIND_PUT, key);
        }
    }
    for (unsigned i = 0; i < 4096; i++) {
        struct ldb_slice value;
        uint64_t tag;

        (void)snprintf(key, sizeof(key), "%04u", i);
        assert_true(find(f->table, key, sequence, &tag, &value));
        assert_ldb_slice(ldb_slice_str(key), value);
    }
    assert_ldb_ok(ldb_memtable_iterator_create(f->table, &f->err, &it),
                  &f->err);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it)) {
        (void)snprintf(key, sizeof(key), "%04u", count++);
        assert_ldb_slice(ldb_slice_str(key), it->value);
    }
    assert_int_equal(4096, count);
    ldb_iterator_destroy(it);
}

static void entries_stand_in_order_both_ways(void **state)
{
    struct fixture *f = *state;
    struct ldb_iterator *it = NULL;
    char last[16] = "";
    size_t count = 0;

    for (unsigned i = 0; i < 1000; i++) {
        char key[16];

        /* 7919 is prime to 1000: every key once, out of order. */
        (void)snprintf(key, sizeof(key), "%04u", i * 7919 % 1000);
        add(f->table, key, i + 1, LDB_KIND_PUT, key);
    }
    assert_int_equal(1000, ldb_memtable_entry_count(f->table));
    assert_ldb_ok(ldb_memtable_iterator_create(f->table, &f->err, &it),
                  &f->err);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it)) {
        char key[16];

        (void)snprintf(key, sizeof(key), "%04zu", count++);
        assert_ldb_slice(ldb_slice_str(key), ldb_internal_user_key(it->key));
        assert_ldb_slice(ldb_slice_str(key), it->value);
        memcpy(last, key, sizeof(last));
    }
    assert_int_equal(1000, count);
    assert_string_equal("0999", last);
    for (ldb_iterator_seek_last(it); it->valid; ldb_iterator_prev(it)) {
        char key[16];

        (void)snprintf(key, sizeof(key), "%04zu", --count);
        assert_ldb_slice(ldb_slice_str(key), ldb_internal_user_key(it->key));
    }
    assert_int_equal(0, count);
    ldb_iterator_destroy(it);
}

static void a_seek_lands_on_the_first_entry_not_before(void **state)
{
    struct fixture *f = *state;
    struct ldb_iterator *it = NULL;
    struct ldb_buf target = LDB_BUF_INIT(64);

    add(f->table, "b", 1, LDB_KIND_PUT, "1");
    add(f->table, "d", 2, LDB_KIND_PUT, "2");
    add(f->table, "d", 4, LDB_KIND_PUT, "4");
    assert_ldb_ok(ldb_memtable_iterator_create(f->table, &f->err, &it),
                  &f->err);
    assert_ldb_ok(ldb_internal_key_append(&target, ldb_slice_str("d"),
                                          ldb_tag_make(3, LDB_KIND_SEEK)),
                  NULL);
    ldb_iterator_seek(it, ldb_slice_of_buf(&target));
    assert_true(it->valid);
    assert_ldb_bytes("2", it->value);
    ldb_iterator_prev(it);
    assert_ldb_bytes("4", it->value);
    ldb_iterator_prev(it);
    assert_ldb_bytes("1", it->value);
    ldb_buf_clear(&target);
    assert_ldb_ok(ldb_internal_key_append(&target, ldb_slice_str("e"),
                                          ldb_tag_make(3, LDB_KIND_SEEK)),
                  NULL);
    ldb_iterator_seek(it, ldb_slice_of_buf(&target));
    assert_false(it->valid);
    ldb_iterator_destroy(it);
    ldb_buf_release(&target);
}

static void a_prepared_node_is_not_seen_before_it_is_linked(void **state)
{
    struct fixture *f = *state;
    struct ldb_memtable_node *one, *two;
    struct ldb_slice value;
    uint64_t tag;

    one = ldb_memtable_prepare(f->table, ldb_tag_make(1, LDB_KIND_PUT),
                               ldb_slice_str("a"), ldb_slice_str("x"));
    two = ldb_memtable_prepare(f->table, ldb_tag_make(2, LDB_KIND_PUT),
                               ldb_slice_str("b"), ldb_slice_str("y"));
    assert_non_null(one);
    assert_non_null(two);
    ldb_memtable_node_chain(one, two);
    ldb_memtable_node_chain(two, NULL);
    assert_false(find(f->table, "a", LDB_SEQUENCE_MAX, &tag, &value));
    assert_int_equal(0, ldb_memtable_entry_count(f->table));
    while (one != NULL) {
        struct ldb_memtable_node *next = ldb_memtable_node_chained(one);

        ldb_memtable_link(f->table, one);
        one = next;
    }
    assert_true(find(f->table, "a", LDB_SEQUENCE_MAX, &tag, &value));
    assert_true(find(f->table, "b", LDB_SEQUENCE_MAX, &tag, &value));
    assert_int_equal(2, ldb_memtable_entry_count(f->table));
}

/* Every entry once, in order, and found: expected has count sorted keys. */
static void assert_holds(struct ldb_memtable *table, const char (*expected)[24],
                         size_t count)
{
    struct ldb_iterator *it = NULL;
    size_t seen = 0;

    assert_ldb_ok(ldb_memtable_iterator_create(table, NULL, &it), NULL);
    for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it)) {
        assert_true(seen < count);
        assert_ldb_slice(ldb_slice_str(expected[seen]),
                         ldb_internal_user_key(it->key));
        seen++;
    }
    assert_int_equal(count, seen);
    for (ldb_iterator_seek_last(it); it->valid; ldb_iterator_prev(it))
        assert_ldb_slice(ldb_slice_str(expected[--seen]),
                         ldb_internal_user_key(it->key));
    assert_int_equal(0, seen);
    ldb_iterator_destroy(it);
    for (size_t i = 0; i < count; i++) {
        struct ldb_slice value;
        uint64_t tag;

        assert_true(find(table, expected[i], LDB_SEQUENCE_MAX, &tag, &value));
        assert_ldb_slice(ldb_slice_str(expected[i]), value);
    }
}

#define PREFIX_KEYS 6000

/*
 * Most keys have a long beginning in common, which the hints leave out once it
 * is known; in the second half it turns out to be shorter. Others stand before
 * and behind it, and some end within it.
 */
static void fill_prefix_keys(char (*out)[24])
{
    for (unsigned i = 0; i < PREFIX_KEYS; i++) {
        unsigned n = i < PREFIX_KEYS / 2 ? i : i * 1000;

        if (i % 50 == 0)
            (void)snprintf(out[i], sizeof(out[i]), "aaa%u", i);
        else if (i % 50 == 1)
            (void)snprintf(out[i], sizeof(out[i]), "zzz%u", i);
        else if (i % 500 == 2)
            (void)snprintf(out[i], sizeof(out[i]), "user:%.*s",
                           (int)(i / 500) + 1, "0000000000000");
        else
            (void)snprintf(out[i], sizeof(out[i]), "user:%014u", n);
    }
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void keys_with_a_common_beginning_stand_in_order(void **state)
{
    struct fixture *f = *state;
    static char keys[PREFIX_KEYS][24];
    ldb_sequence sequence = 0;

    fill_prefix_keys(keys);
    for (unsigned half = 0; half < 2; half++) {
        /* 1231 is prime to 3000. */
        for (unsigned i = 0; i < PREFIX_KEYS / 2; i++) {
            const char *key =
                keys[half * (PREFIX_KEYS / 2) + i * 1231 % (PREFIX_KEYS / 2)];
            struct ldb_slice value;
            uint64_t tag;

            add(f->table, key, ++sequence, LDB_KIND_PUT, key);
            assert_true(find(f->table, key, sequence, &tag, &value));
            assert_ldb_slice(ldb_slice_str(key), value);
        }
    }
    qsort(keys, PREFIX_KEYS, sizeof(keys[0]), compare_texts);
    assert_holds(f->table, (const char(*)[24])keys, PREFIX_KEYS);
}

/* Once the journal has a write nothing may fail: links need no memory. */
static void entries_are_linked_without_memory(void **state)
{
    struct fixture *f = *state;
    static char keys[PREFIX_KEYS][24];
    bool was_short = false;

    fill_prefix_keys(keys);
    for (unsigned i = 0; i < PREFIX_KEYS; i++) {
        const char *key = keys[i * 1231 % PREFIX_KEYS];
        struct ldb_memtable_node *node =
            ldb_memtable_prepare(f->table, ldb_tag_make(i, LDB_KIND_PUT),
                                 ldb_slice_str(key), ldb_slice_str(key));

        assert_non_null(node);
        mem_fault_start(1, MEM_FAULT_ONCE);
        ldb_memtable_link(f->table, node);
        was_short |= mem_fault_stop();
    }
    assert_true(was_short);
    qsort(keys, PREFIX_KEYS, sizeof(keys[0]), compare_texts);
    assert_holds(f->table, (const char(*)[24])keys, PREFIX_KEYS);
}

static int compare_backwards(void *context, struct ldb_slice a,
                             struct ldb_slice b)
{
    const struct ldb_comparator *bytewise = context;

    return -ldb_compare(bytewise, a, b);
}

static void a_foreign_order_is_kept(void **state)
{
    struct fixture *f = *state;
    const struct ldb_comparator *bytewise = ldb_comparator_bytewise();
    struct ldb_comparator backwards = *bytewise;
    struct ldb_memtable *table = NULL;
    static char keys[1000][24];

    backwards.compare = compare_backwards;
    backwards.context = (void *)(uintptr_t)bytewise;
    assert_ldb_ok(ldb_memtable_create(&backwards, 1, &f->err, &table), &f->err);
    for (unsigned i = 0; i < 1000; i++) {
        char key[24];

        /* 7919 is prime to 1000. */
        (void)snprintf(keys[i], sizeof(keys[i]), "k%05u", 999 - i);
        (void)snprintf(key, sizeof(key), "k%05u", i * 7919 % 1000);
        add(table, key, i + 1, LDB_KIND_PUT, key);
    }
    assert_holds(table, (const char(*)[24])keys, 1000);
    ldb_memtable_unref(table);
}

static void keys_and_values_may_be_empty_or_hold_nul(void **state)
{
    struct fixture *f = *state;
    struct ldb_memtable_node *node;
    struct ldb_slice value;
    uint64_t tag;

    add(f->table, "", 1, LDB_KIND_PUT, "");
    node = ldb_memtable_prepare(f->table, ldb_tag_make(2, LDB_KIND_PUT),
                                ldb_slice_make("\0", 1),
                                ldb_slice_make("a\0b", 3));
    assert_non_null(node);
    ldb_memtable_link(f->table, node);
    assert_true(find(f->table, "", LDB_SEQUENCE_MAX, &tag, &value));
    assert_int_equal(1, ldb_tag_sequence(tag));
    assert_int_equal(0, value.len);
    assert_ldb_hex("00 01 02 00 00 00 00 00 00", ldb_memtable_node_key(node));
}

static void an_iterator_keeps_its_table(void **state)
{
    struct fixture *f = *state;
    struct ldb_memtable *table = NULL;
    struct ldb_iterator *it = NULL;

    assert_ldb_ok(
        ldb_memtable_create(ldb_comparator_bytewise(), 1, &f->err, &table),
        &f->err);
    add(table, "a", 1, LDB_KIND_PUT, "x");
    assert_ldb_ok(ldb_memtable_iterator_create(table, &f->err, &it), &f->err);
    ldb_memtable_unref(table);
    ldb_iterator_seek_first(it);
    assert_true(it->valid);
    assert_ldb_bytes("x", it->value);
    ldb_iterator_destroy(it);
}

static void without_memory_nothing_is_made(void **state)
{
    struct fixture *f = *state;
    struct ldb_memtable *table = NULL;
    static const char big[1 << 20]; /* more than any block has left */

    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(
        LDB_NO_MEMORY,
        ldb_memtable_create(ldb_comparator_bytewise(), 1, &f->err, &table),
        &f->err);
    assert_true(mem_fault_stop());
    assert_null(table);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_null(ldb_memtable_prepare(f->table, ldb_tag_make(1, LDB_KIND_PUT),
                                     ldb_slice_str("a"),
                                     ldb_slice_make(big, sizeof(big))));
    assert_true(mem_fault_stop());
    assert_int_equal(0, ldb_memtable_entry_count(f->table));
}

/* ---- readers beside a writer ---- */

#define THREAD_ENTRIES 5000

static void thread_key(uint64_t i, char (*out)[32])
{
    (void)snprintf(*out, sizeof(*out), "key:%012llu",
                   (unsigned long long)(i * 7919 % THREAD_ENTRIES));
}

struct reading {
    struct ldb_memtable *table;
    _Atomic(uint64_t) published; /* entries 1..published are linked */
    _Atomic(bool) failed;
};

static void read_while_written(void *context)
{
    struct reading *r = context;
    uint64_t last = 0;

    while (last < THREAD_ENTRIES) {
        uint64_t now =
            atomic_load_explicit(&r->published, memory_order_acquire);
        struct ldb_iterator *it = NULL;
        struct ldb_error err = {0};
        uint64_t seen = 0;

        if (ldb_memtable_iterator_create(r->table, &err, &it) != LDB_OK) {
            atomic_store(&r->failed, true);
            return;
        }
        for (ldb_iterator_seek_first(it); it->valid; ldb_iterator_next(it)) {
            if (ldb_tag_sequence(ldb_internal_tag(it->key)) <= now)
                seen++;
        }
        ldb_iterator_destroy(it);
        if (seen != now)
            atomic_store(&r->failed, true);
        /* The index may change meanwhile. */
        for (uint64_t i = now; i > 0 && i + 100 > now; i--) {
            struct ldb_slice value;
            uint64_t tag;
            char key[32];

            thread_key(i, &key);
            if (!find(r->table, key, i, &tag, &value))
                atomic_store(&r->failed, true);
        }
        last = now;
    }
}

static void a_reader_sees_all_that_was_published_before(void **state)
{
    struct fixture *f = *state;
    struct reading r = {.table = f->table};
    struct ldb_env *env = ldb_env_posix();
    struct ldb_thread *threads[2];

    for (size_t i = 0; i < 2; i++)
        assert_ldb_ok(env->ops->thread_start(env, "reader", read_while_written,
                                             &r, &f->err, &threads[i]),
                      &f->err);
    for (uint64_t i = 1; i <= THREAD_ENTRIES; i++) {
        char key[32];

        thread_key(i, &key);
        add(f->table, key, i, LDB_KIND_PUT, key);
        atomic_store_explicit(&r.published, i, memory_order_release);
    }
    for (size_t i = 0; i < 2; i++)
        env->ops->thread_join(env, threads[i]);
    assert_false(atomic_load(&r.failed));
}

static void a_batch_takes_a_sequence_an_operation(void **state)
{
    struct fixture *f = *state;
    static const uint8_t large[1 << 20];
    struct ldb_batch batch;
    struct ldb_slice value;
    enum ldb_status s;
    uint64_t tag;

    ldb_batch_init(&batch, 2 * sizeof(large));
    assert_ldb_ok(ldb_batch_put(&batch, ldb_slice_str("a"), ldb_slice_str("1")),
                  NULL);
    assert_ldb_ok(ldb_batch_delete(&batch, ldb_slice_str("b")), NULL);
    assert_ldb_ok(ldb_memtable_insert_batch(
                      f->table, ldb_slice_of_buf(&batch.rep), 7, &f->err),
                  &f->err);
    assert_true(find(f->table, "a", 7, &tag, &value));
    assert_int_equal(tag, ldb_tag_make(7, LDB_KIND_PUT));
    assert_ldb_bytes("1", value);
    assert_false(find(f->table, "a", 6, &tag, &value));
    assert_true(find(f->table, "b", 8, &tag, &value));
    assert_int_equal(tag, ldb_tag_make(8, LDB_KIND_DELETE));
    assert_false(find(f->table, "b", 7, &tag, &value));
    /* Too large for the block that the arena has. */
    assert_ldb_ok(ldb_batch_put(&batch, ldb_slice_str("c"),
                                ldb_slice_make(large, sizeof(large))),
                  NULL);
    mem_fault_start(1, MEM_FAULT_FOREVER);
    s = ldb_memtable_insert_batch(f->table, ldb_slice_of_buf(&batch.rep), 9,
                                  &f->err);
    assert_true(mem_fault_stop());
    assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    ldb_batch_release(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_table_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_lookup_sees_the_newest_entry_at_its_sequence, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_of_ascending_keys_stand_in_order,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(entries_stand_in_order_both_ways, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_seek_lands_on_the_first_entry_not_before, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_prepared_node_is_not_seen_before_it_is_linked, setup, teardown),
        cmocka_unit_test_setup_teardown(
            keys_with_a_common_beginning_stand_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_are_linked_without_memory,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_foreign_order_is_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            keys_and_values_may_be_empty_or_hold_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(an_iterator_keeps_its_table, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_made, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_reader_sees_all_that_was_published_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_takes_a_sequence_an_operation,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
