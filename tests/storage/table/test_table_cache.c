#include "storage/table/table_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "storage/base/internal_key.h"
#include "storage/table/read_ahead.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/table_file.h"
#include "tests/support/vector_iterator.h"

#define DIR    "/db"
#define TABLES 40

static const struct ldb_table_read reading = {.verify_checksums = true,
                                              .fill_cache = true};

/* Tables 1..TABLES in memory; table n has the key "keyNNNNNN" of n alone. */
struct fixture {
    struct ldb_env *env;
    struct ldb_table_options options;
    struct ldb_table_cache *cache;
    uint64_t sizes[TABLES + 1];
};

static void put_table(struct fixture *f, uint64_t number, const char *extension)
{
    struct ldb_buf file = LDB_BUF_INIT(TABLE_FILE_MAX);
    struct ldb_writable_file *out = NULL;
    struct vector_entry entry;
    struct ldb_error err = {0};
    char text[64];

    (void)snprintf(text, sizeof(text), "key%06u", (unsigned)number);
    entry = vector_entry_make(text, 9, 1, text);
    table_file_build(&f->options, &entry, 1, &file);
    (void)snprintf(text, sizeof(text), DIR "/%06u%s", (unsigned)number,
                   extension);
    assert_ldb_ok(
        f->env->ops->open_writable(f->env, text, LDB_OPEN_TRUNCATE, &err, &out),
        &err);
    assert_ldb_ok(ldb_file_append(out, ldb_slice_of_buf(&file), &err), &err);
    assert_ldb_ok(ldb_file_close(out, &err), &err);
    f->sizes[number] = file.len;
    ldb_buf_release(&file);
}

static void remove_table(struct fixture *f, uint64_t number)
{
    char path[64];
    struct ldb_error err = {0};

    (void)snprintf(path, sizeof(path), DIR "/%06u.ldb", (unsigned)number);
    assert_ldb_ok(f->env->ops->remove_file(f->env, path, &err), &err);
}

static void make_cache(struct fixture *f, size_t capacity)
{
    struct ldb_error err = {0};

    ldb_table_cache_destroy(f->cache);
    f->cache = NULL;
    assert_ldb_ok(ldb_table_cache_create(f->env, DIR, &f->options, capacity,
                                         &err, &f->cache),
                  &err);
}

static int setup(void **state)
{
    static struct fixture f;
    struct ldb_error err = {0};

    memset(&f, 0, sizeof(f));
    f.options = table_file_options();
    assert_ldb_ok(ldb_env_memory_create(&err, &f.env), &err);
    assert_ldb_ok(f.env->ops->create_dir(f.env, DIR, &err), &err);
    for (uint64_t n = 1; n <= TABLES; n++)
        put_table(&f, n, ".ldb");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_table_cache_destroy(f->cache);
    ldb_env_memory_destroy(f->env);
    return 0;
}

static enum ldb_status get(struct fixture *f, uint64_t number,
                           struct ldb_error *err)
{
    struct ldb_buf value = LDB_BUF_INIT(100);
    struct vector_entry target;
    uint64_t tag;
    char text[24];
    enum ldb_status s;

    (void)snprintf(text, sizeof(text), "key%06u", (unsigned)number);
    target = vector_entry_make(text, 100, 1, "");
    s = ldb_table_cache_get(f->cache, number, f->sizes[number], &reading,
                            vector_entry_key(&target), err, &value, &tag);
    if (s == LDB_OK)
        assert_ldb_slice(ldb_slice_str(text), ldb_slice_of_buf(&value));
    ldb_buf_release(&value);
    return s;
}

static struct ldb_iterator *iterate(struct fixture *f, uint64_t number)
{
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_table_cache_iterator(f->cache, number, f->sizes[number],
                                           &reading, &err, &it),
                  &err);
    return it;
}

static struct ldb_table_cache_stats stats_of(struct fixture *f)
{
    struct ldb_table_cache_stats stats;

    ldb_table_cache_stats(f->cache, &stats);
    return stats;
}

static void a_table_is_opened_once(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};
    struct ldb_table_cache_stats stats;

    make_cache(f, 10);
    for (int i = 0; i < 5; i++)
        assert_ldb_ok(get(f, 7, &err), &err);
    stats = stats_of(f);
    assert_int_equal(stats.open_tables, 1);
    assert_int_equal(stats.capacity_tables, 10);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.hits, 4);
    assert_true(stats.memory_bytes > 0);
    /* It is open: its file is not asked for again. */
    remove_table(f, 7);
    assert_ldb_ok(get(f, 7, &err), &err);
}

static void hits_of_closed_tables_are_counted_as_well(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};

    make_cache(f, 1);
    for (uint64_t n = 1; n <= 6; n++) {
        assert_ldb_ok(get(f, n % 3 + 1, &err), &err);
        assert_ldb_ok(get(f, n % 3 + 1, &err), &err);
    }
    assert_int_equal(stats_of(f).misses, 6);
    assert_int_equal(stats_of(f).hits, 6);
}

static void no_more_than_the_capacity_stay_open(void **state)
{
    static const size_t capacities[] = {0, 1, 5, 128, 200};
    struct fixture *f = *state;
    struct ldb_error err = {0};

    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        make_cache(f, capacities[i]);
        for (uint64_t n = 1; n <= TABLES; n++)
            assert_ldb_ok(get(f, n, &err), &err);
        assert_int_equal(stats_of(f).open_tables,
                         capacities[i] < TABLES ? capacities[i] : TABLES);
    }
}

static void the_table_unused_for_longest_is_closed_first(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};

    make_cache(f, 3);
    assert_ldb_ok(get(f, 1, &err), &err);
    assert_ldb_ok(get(f, 2, &err), &err);
    assert_ldb_ok(get(f, 3, &err), &err);
    assert_ldb_ok(get(f, 1, &err), &err);
    assert_ldb_ok(get(f, 4, &err), &err); /* closes 2 */
    assert_int_equal(stats_of(f).misses, 4);
    assert_ldb_ok(get(f, 1, &err), &err);
    assert_ldb_ok(get(f, 3, &err), &err);
    assert_int_equal(stats_of(f).misses, 4);
    assert_ldb_ok(get(f, 2, &err), &err);
    assert_int_equal(stats_of(f).misses, 5);
}

static void tables_in_use_may_exceed_the_capacity_until_given_back(void **state)
{
    struct fixture *f = *state;
    struct ldb_iterator *its[6];

    make_cache(f, 2);
    for (uint64_t n = 0; n < 6; n++)
        its[n] = iterate(f, n + 1);
    assert_int_equal(stats_of(f).open_tables, 6);
    for (uint64_t n = 0; n < 6; n++) {
        ldb_iterator_seek_first(its[n]);
        assert_true(its[n]->valid);
        ldb_iterator_destroy(its[n]);
    }
    assert_int_equal(stats_of(f).open_tables, 2);
}

static void an_iterator_outlives_the_eviction_of_its_table(void **state)
{
    struct fixture *f = *state;
    struct ldb_iterator *it;
    struct ldb_error err = {0};

    make_cache(f, 10);
    it = iterate(f, 5);
    assert_ldb_ok(get(f, 5, &err), &err);
    assert_ldb_ok(get(f, 5, &err), &err);
    ldb_table_cache_evict(f->cache, 5);
    ldb_table_cache_evict(f->cache, 5);
    ldb_table_cache_evict(f->cache, 6);
    assert_int_equal(stats_of(f).open_tables, 0);
    assert_int_equal(stats_of(f).memory_bytes, 0);
    remove_table(f, 5);
    /* Nobody else gets it from here on. */
    assert_ldb_status(LDB_CORRUPTION, get(f, 5, &err), &err);
    ldb_iterator_seek_first(it);
    assert_true(it->valid);
    assert_ldb_bytes("key000005", it->value);
    ldb_iterator_destroy(it);
    assert_ldb_status(LDB_CORRUPTION, get(f, 5, &err), &err);
}

static void a_missing_file_is_corruption_and_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};

    make_cache(f, 10);
    remove_table(f, 3);
    assert_ldb_status(LDB_CORRUPTION, get(f, 3, &err), &err);
    assert_ldb_message("/db/000003.ldb: table is missing", &err);
    assert_int_equal(stats_of(f).open_tables, 0);
    put_table(f, 3, ".ldb");
    assert_ldb_ok(get(f, 3, &err), &err);
}

static void a_table_of_the_old_name_is_found(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};

    make_cache(f, 10);
    remove_table(f, 3);
    put_table(f, 3, ".sst");
    assert_ldb_ok(get(f, 3, &err), &err);
    /* Errors then name the file that there is. */
    f->sizes[3]--;
    make_cache(f, 10);
    assert_ldb_status(LDB_CORRUPTION, get(f, 3, &err), &err);
    assert_ldb_message("000003.sst", &err);
}

static void a_key_not_in_the_table_is_not_found(void **state)
{
    struct vector_entry target = vector_entry_make("none", 1, 1, "");
    struct fixture *f = *state;
    struct ldb_error err = {0};
    uint64_t tag;

    make_cache(f, 10);
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_table_cache_get(f->cache, 1, f->sizes[1], &reading,
                                          vector_entry_key(&target), &err, NULL,
                                          &tag),
                      &err);
}

static void offsets_are_those_of_the_table(void **state)
{
    struct vector_entry low = vector_entry_make("a", 1, 1, "");
    struct vector_entry high = vector_entry_make("z", 1, 1, "");
    struct fixture *f = *state;
    struct ldb_error err = {0};
    uint64_t offset = 1;

    make_cache(f, 10);
    assert_ldb_ok(ldb_table_cache_approximate_offset(f->cache, 1, f->sizes[1],
                                                     vector_entry_key(&low),
                                                     &err, &offset),
                  &err);
    assert_int_equal(offset, 0);
    assert_ldb_ok(ldb_table_cache_approximate_offset(f->cache, 1, f->sizes[1],
                                                     vector_entry_key(&high),
                                                     &err, &offset),
                  &err);
    assert_in_range(offset, 20, f->sizes[1]);
}

static void assert_one_entry(struct ldb_iterator *it)
{
    ldb_iterator_seek_first(it);
    assert_true(it->valid);
    ldb_iterator_next(it);
    assert_false(it->valid);
    assert_int_equal(it->status, LDB_OK);
}

/* Beyond the limit, and where the file cannot be opened anew. */
static void without_a_file_to_read_ahead_the_table_is_read(void **state)
{
    static const struct ldb_table_read ahead = {.verify_checksums = true,
                                                .read_ahead = true};
    struct ldb_iterator *its[LDB_READ_AHEADS_MAX + 5];
    const size_t count = sizeof(its) / sizeof(its[0]);
    struct fixture *f = *state;
    struct ldb_error err = {0};

    make_cache(f, 10);
    for (size_t i = 0; i < count; i++)
        assert_ldb_ok(ldb_table_cache_iterator(f->cache, 7, f->sizes[7], &ahead,
                                               &err, &its[i]),
                      &err);
    for (size_t i = 0; i < count; i++) {
        assert_one_entry(its[i]);
        ldb_iterator_destroy(its[i]);
    }
    remove_table(f, 7);
    assert_ldb_ok(ldb_table_cache_iterator(f->cache, 7, f->sizes[7], &ahead,
                                           &err, &its[0]),
                  &err);
    assert_one_entry(its[0]);
    ldb_iterator_destroy(its[0]);
}

static void no_memory_is_reported_and_nothing_leaks(void **state)
{
    struct fixture *f = *state;

    ldb_table_cache_destroy(f->cache);
    f->cache = NULL;
    for (uint64_t n = 1;; n++) {
        struct ldb_table_cache *cache = NULL;
        struct ldb_iterator *it = NULL;
        struct ldb_error err = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_table_cache_create(f->env, DIR, &f->options, 500, &err, &cache);
        if (s == LDB_OK)
            s = ldb_table_cache_iterator(cache, 2, f->sizes[2], &reading, &err,
                                         &it);
        ldb_iterator_destroy(it);
        ldb_table_cache_destroy(cache);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
}

struct worker {
    struct fixture *f;
    uint64_t seed;
    _Atomic(unsigned) *failures;
};

/* Gets, iterates and evicts at random; cmocka is not for threads. */
static void *work(void *context)
{
    struct worker *w = context;

    for (unsigned i = 0; i < 2000; i++) {
        uint64_t number;
        struct ldb_iterator *it = NULL;

        w->seed = w->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        number = 1 + (w->seed >> 33) % 20;
        if (i % 50 == 0) {
            ldb_table_cache_evict(w->f->cache, number);
            continue;
        }
        if (ldb_table_cache_iterator(w->f->cache, number, w->f->sizes[number],
                                     &reading, NULL, &it) != LDB_OK) {
            atomic_fetch_add(w->failures, 1);
            continue;
        }
        ldb_iterator_seek_first(it);
        if (!it->valid ||
            it->value.data[8] != (uint8_t)('0' + (int)(number % 10)))
            atomic_fetch_add(w->failures, 1);
        ldb_iterator_destroy(it);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    static const size_t capacities[] = {4, 128};
    struct fixture *f = *state;

    for (size_t c = 0; c < 2; c++) {
        _Atomic(unsigned) failures = 0;
        struct worker workers[4];
        pthread_t threads[4];

        make_cache(f, capacities[c]);
        for (size_t i = 0; i < 4; i++) {
            workers[i] =
                (struct worker){.f = f, .seed = i, .failures = &failures};
            assert_int_equal(
                pthread_create(&threads[i], NULL, work, &workers[i]), 0);
        }
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures, 0);
        assert_true(stats_of(f).open_tables <= capacities[c]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_table_is_opened_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            hits_of_closed_tables_are_counted_as_well, setup, teardown),
        cmocka_unit_test_setup_teardown(no_more_than_the_capacity_stay_open,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_table_unused_for_longest_is_closed_first, setup, teardown),
        cmocka_unit_test_setup_teardown(
            tables_in_use_may_exceed_the_capacity_until_given_back, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            an_iterator_outlives_the_eviction_of_its_table, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_missing_file_is_corruption_and_is_asked_for_again, setup,
            teardown),
        cmocka_unit_test_setup_teardown(a_table_of_the_old_name_is_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_key_not_in_the_table_is_not_found,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(offsets_are_those_of_the_table, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            without_a_file_to_read_ahead_the_table_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_reported_and_nothing_leaks,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(threads_share_it, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
