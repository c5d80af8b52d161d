/* Rows: found, ended by writes and changes, overtaken, crowded out, and read
 * while they are written. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "storage/row_cache.h"
#include "tests/support/assert_ldb.h"

struct fixture {
    struct ldb_row_cache *cache;
    struct ldb_buf value; /* what the last get found */
    ldb_sequence sequence;
    ldb_sequence seen;
    struct ldb_row_hint hint;
};

static void create(struct fixture *f, size_t capacity_bytes)
{
    struct ldb_error err = {0};

    *f = (struct fixture){.value = LDB_BUF_INIT(1000)};
    assert_ldb_ok(ldb_row_cache_create(capacity_bytes, &err, &f->cache), &err);
}

static void destroy(struct fixture *f)
{
    ldb_row_cache_destroy(f->cache);
    ldb_buf_release(&f->value);
}

static bool get(struct fixture *f, const char *key, ldb_sequence published)
{
    return ldb_row_cache_get(f->cache, ldb_slice_str(key), published, &f->value,
                             &f->sequence, &f->seen, &f->hint);
}

/* As a get that found it in a table: looks first. */
static void put(struct fixture *f, const char *key, const char *value,
                ldb_sequence sequence, ldb_sequence seen)
{
    assert_false(get(f, key, seen));
    ldb_row_cache_put(f->cache, f->hint, ldb_slice_str(key),
                      ldb_slice_str(value), sequence, seen);
}

static void note(struct fixture *f, const char *key, ldb_sequence sequence)
{
    ldb_row_cache_note_write(f->cache, ldb_slice_str(key), sequence);
}

static void a_row_is_found_with_its_sequences(void **state)
{
    struct fixture f;

    (void)state;
    create(&f, 1 << 20);
    put(&f, "a", "one", 3, 7);
    put(&f, "", "", 4, 7);
    for (int round = 0; round < 3; round++) {
        assert_true(get(&f, "a", 9));
        assert_ldb_bytes("one", ldb_slice_of_buf(&f.value));
        assert_int_equal(f.sequence, 3);
        assert_int_equal(f.seen, 9);
        assert_true(get(&f, "a", 5)); /* who looked a moment earlier */
        assert_int_equal(f.seen, 7);
        assert_true(get(&f, "", 9));
        assert_int_equal(f.value.len, 0);
        assert_int_equal(f.sequence, 4);
        assert_false(get(&f, "b", 9));
        assert_false(get(&f, "aa", 9));
    }
    destroy(&f);
}

static void a_write_ends_the_row_of_its_key(void **state)
{
    struct fixture f;

    (void)state;
    create(&f, 1 << 20);
    put(&f, "a", "one", 3, 7);
    note(&f, "a", 8);
    assert_false(get(&f, "a", 7));
    assert_false(get(&f, "a", 8));
    put(&f, "a", "two", 8, 8);
    assert_true(get(&f, "a", 8));
    assert_ldb_bytes("two", ldb_slice_of_buf(&f.value));
    destroy(&f);
}

/* It read before the write, and puts what it read after it. */
static void a_get_that_a_write_overtook_leaves_no_row(void **state)
{
    struct fixture f;

    (void)state;
    create(&f, 1 << 20);
    assert_false(get(&f, "a", 7));
    note(&f, "a", 8);
    ldb_row_cache_put(f.cache, f.hint, ldb_slice_str("a"), ldb_slice_str("old"),
                      3, 7);
    assert_false(get(&f, "a", 8));
    destroy(&f);
}

static void a_change_ends_all_rows_and_hints(void **state)
{
    struct ldb_row_hint before;
    struct fixture f;

    (void)state;
    create(&f, 1 << 20);
    put(&f, "a", "one", 3, 7);
    assert_false(get(&f, "b", 7));
    before = f.hint;
    ldb_row_cache_change_begin(f.cache);
    assert_false(get(&f, "a", 7));
    put(&f, "c", "between", 5, 7);
    assert_false(get(&f, "c", 7));
    ldb_row_cache_change_end(f.cache);
    ldb_row_cache_put(f.cache, before, ldb_slice_str("b"), ldb_slice_str("old"),
                      4, 7);
    assert_false(get(&f, "a", 7));
    assert_false(get(&f, "b", 7));
    assert_false(get(&f, "c", 7));
    put(&f, "a", "two", 3, 7);
    assert_true(get(&f, "a", 7));
    assert_ldb_bytes("two", ldb_slice_of_buf(&f.value));
    destroy(&f);
}

static void what_is_too_long_is_not_kept(void **state)
{
    char text[LDB_ROW_BYTES_MAX + 2];
    struct ldb_slice key;
    struct fixture f;

    (void)state;
    create(&f, 1 << 20);
    memset(text, 'x', sizeof text);
    for (size_t key_len = 0; key_len <= LDB_ROW_BYTES_MAX + 1; key_len++) {
        for (size_t len = key_len; len <= LDB_ROW_BYTES_MAX + 1; len++) {
            bool fits = len <= LDB_ROW_BYTES_MAX;

            text[0] = (char)len; /* another key each time, where it has one */
            key = ldb_slice_make(text, key_len);
            ldb_row_cache_change_begin(f.cache);
            ldb_row_cache_change_end(f.cache);
            assert_false(ldb_row_cache_get(f.cache, key, 9, NULL, &f.sequence,
                                           &f.seen, &f.hint));
            ldb_row_cache_put(f.cache, f.hint, key,
                              ldb_slice_make(text + key_len, len - key_len), 1,
                              9);
            assert_int_equal(fits,
                             ldb_row_cache_get(f.cache, key, 9, &f.value,
                                               &f.sequence, &f.seen, &f.hint));
            if (fits)
                assert_int_equal(f.value.len, len - key_len);
        }
    }
    destroy(&f);
}

static void a_buffer_that_cannot_take_it_gets_nothing(void **state)
{
    struct fixture f;

    (void)state;
    create(&f, 1 << 20);
    put(&f, "a", "four", 1, 1);
    f.value.limit = 3;
    assert_false(get(&f, "a", 1));
    destroy(&f);
}

/* One set: the rows that are asked for stay, the others make room. */
static void what_is_used_stays(void **state)
{
    struct ldb_row_cache_stats stats;
    struct fixture f;
    char key[16];

    (void)state;
    create(&f, 1);
    put(&f, "hot", "1", 1, 1);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "cold%u", i);
        assert_true(get(&f, "hot", 1));
        put(&f, key, "2", 1, 1);
    }
    assert_true(get(&f, "hot", 1));
    ldb_row_cache_stats(f.cache, &stats);
    assert_int_equal(stats.used_bytes, 4 * 192);
    assert_int_equal(stats.capacity_bytes, 1);
    destroy(&f);
}

/* ---- one writes, others read ---- */

#define KEYS    64
#define WRITES  20000
#define READERS 3

/* The database: what each key has, and what is published. */
struct store {
    struct ldb_row_cache *cache;
    _Atomic(ldb_sequence) newest[KEYS];
    _Atomic(ldb_sequence) published;
    atomic_bool is_over;
};

/* A value that tells its sequence many times, so that a torn one shows. */
#define COPIES 12

static void write_all(struct store *store)
{
    for (ldb_sequence s = 1; s <= WRITES; s++) {
        uint8_t key = (uint8_t)(s * 31 % KEYS);

        ldb_row_cache_note_write(store->cache, ldb_slice_make(&key, 1), s);
        atomic_store_explicit(&store->newest[key], s, memory_order_release);
        atomic_store_explicit(&store->published, s, memory_order_release);
    }
    atomic_store(&store->is_over, true);
}

/*
 * What it was at the published sequence, as a view tells it. newest may be
 * ahead of what is published: then there is nothing to be put.
 */
static void look(struct store *store, uint8_t key, struct ldb_row_hint hint)
{
    ldb_sequence seen =
        atomic_load_explicit(&store->published, memory_order_acquire);
    ldb_sequence value[COPIES];
    ldb_sequence s =
        atomic_load_explicit(&store->newest[key], memory_order_acquire);

    if (s > seen)
        return;
    for (size_t i = 0; i < COPIES; i++)
        value[i] = s;
    ldb_row_cache_put(store->cache, hint, ldb_slice_make(&key, 1),
                      ldb_slice_make((uint8_t *)value, sizeof value), s, seen);
}

static void *read_all(void *context)
{
    struct store *store = context;
    struct ldb_buf value = LDB_BUF_INIT(1000);
    uint64_t hits = 0;

    /* And some more, which hit. */
    for (unsigned i = 0, more = 0; more < 1000; i++) {
        uint8_t key = (uint8_t)(i % KEYS);
        /* Loaded first: a row may be newer, and never older. */
        ldb_sequence published =
            atomic_load_explicit(&store->published, memory_order_acquire);
        ldb_sequence least =
            atomic_load_explicit(&store->newest[key], memory_order_acquire);
        struct ldb_row_hint hint;
        ldb_sequence sequence;
        ldb_sequence seen;

        if (atomic_load(&store->is_over))
            more++;
        if (least > published)
            least = 0;
        if (!ldb_row_cache_get(store->cache, ldb_slice_make(&key, 1), published,
                               &value, &sequence, &seen, &hint)) {
            look(store, key, hint);
            continue;
        }
        hits++;
        assert_true(sequence >= least);
        assert_true(seen >= published);
        assert_true(seen >= sequence);
        assert_int_equal(value.len, COPIES * sizeof(ldb_sequence));
        for (size_t at = 0; at < COPIES; at++)
            assert_memory_equal(value.data + at * sizeof sequence, &sequence,
                                sizeof sequence);
    }
    ldb_buf_release(&value);
    assert_true(hits > 0);
    return NULL;
}

/* ---- several put one row ---- */

#define PUTTERS 2
#define PUTS    200000

static atomic_uint putters_done;

static void *put_all(void *cache)
{
    uint8_t key = 0;
    struct ldb_row_hint hint;
    ldb_sequence value[COPIES];
    ldb_sequence unused;

    (void)!ldb_row_cache_get(cache, ldb_slice_make(&key, 1), PUTS, NULL,
                             &unused, &unused, &hint);
    for (ldb_sequence s = 1; s <= PUTS; s++) {
        for (size_t i = 0; i < COPIES; i++)
            value[i] = s;
        ldb_row_cache_put(cache, hint, ldb_slice_make(&key, 1),
                          ldb_slice_make((uint8_t *)value, sizeof value), s,
                          PUTS);
    }
    atomic_fetch_add(&putters_done, 1);
    return NULL;
}

static void a_row_is_whole_while_others_put_it(void **state)
{
    struct ldb_buf value = LDB_BUF_INIT(1000);
    struct ldb_error err = {0};
    struct ldb_row_cache *cache = NULL;
    pthread_t putters[PUTTERS];
    unsigned hits = 0;
    uint8_t key = 0;

    (void)state;
    assert_ldb_ok(ldb_row_cache_create(1, &err, &cache), &err);
    for (size_t i = 0; i < PUTTERS; i++)
        assert_int_equal(0, pthread_create(&putters[i], NULL, put_all, cache));
    /* And once more, when it is there for certain. */
    for (bool is_last = false; !is_last;) {
        struct ldb_row_hint hint;
        ldb_sequence sequence;
        ldb_sequence seen;

        is_last = atomic_load(&putters_done) == PUTTERS;
        if (!ldb_row_cache_get(cache, ldb_slice_make(&key, 1), PUTS, &value,
                               &sequence, &seen, &hint))
            continue;
        hits++;
        assert_int_equal(value.len, COPIES * sizeof sequence);
        for (size_t at = 0; at < COPIES; at++)
            assert_memory_equal(value.data + at * sizeof sequence, &sequence,
                                sizeof sequence);
    }
    for (size_t i = 0; i < PUTTERS; i++)
        assert_int_equal(0, pthread_join(putters[i], NULL));
    assert_true(hits > 0);
    ldb_buf_release(&value);
    ldb_row_cache_destroy(cache);
}

static void readers_see_no_old_rows(void **state)
{
    static struct store store;
    struct ldb_error err = {0};
    pthread_t readers[READERS];

    (void)state;
    assert_ldb_ok(ldb_row_cache_create(1 << 14, &err, &store.cache), &err);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(0,
                         pthread_create(&readers[i], NULL, read_all, &store));
    write_all(&store);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(0, pthread_join(readers[i], NULL));
    ldb_row_cache_destroy(store.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_found_with_its_sequences),
        cmocka_unit_test(a_write_ends_the_row_of_its_key),
        cmocka_unit_test(a_get_that_a_write_overtook_leaves_no_row),
        cmocka_unit_test(a_change_ends_all_rows_and_hints),
        cmocka_unit_test(what_is_too_long_is_not_kept),
        cmocka_unit_test(a_buffer_that_cannot_take_it_gets_nothing),
        cmocka_unit_test(what_is_used_stays),
        cmocka_unit_test(readers_see_no_old_rows),
        cmocka_unit_test(a_row_is_whole_while_others_put_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
