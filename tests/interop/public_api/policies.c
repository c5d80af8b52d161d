/*
 * An order of keys and a filter of the caller's own, and batches, through ldb.h
 * and libleveld.so alone.
 */
#include "ldb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 3000U

static struct ldb_slice text(const char *s)
{
    return (struct ldb_slice){(const uint8_t *)s, strlen(s)};
}

static struct ldb_slice number_key(unsigned n, char out[16])
{
    (void)snprintf(out, 16, "%u", n);
    return text(out);
}

/* ---- decimal numbers, in the order of their values ---- */

static int compare_numbers(void *context, struct ldb_slice a,
                           struct ldb_slice b)
{
    (void)context;
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len == 0 ? 0 : memcmp(a.data, b.data, a.len);
}

static enum ldb_status separate_numbers(void *context, struct ldb_slice a,
                                        struct ldb_slice b, struct ldb_buf *out)
{
    atomic_uint *calls = context;

    (void)b;
    atomic_fetch_add(calls, 1);
    return ldb_buf_append(out, a);
}

static enum ldb_status succeed_number(void *context, struct ldb_slice a,
                                      struct ldb_buf *out)
{
    (void)context;
    return ldb_buf_append(out, a);
}

static atomic_uint separators;

static const struct ldb_comparator numbers = {
    .name = "test.Numbers",
    .context = &separators,
    .compare = compare_numbers,
    .separator = separate_numbers,
    .successor = succeed_number,
};

/* ---- a filter: which last bytes occur ---- */

static atomic_uint created;
static atomic_uint refused;

static enum ldb_status create_last_bytes(void *context,
                                         const struct ldb_slice *keys,
                                         size_t count, struct ldb_buf *out)
{
    uint8_t seen[32] = {0};

    (void)context;
    atomic_fetch_add(&created, 1);
    for (size_t i = 0; i < count; i++) {
        uint8_t last = keys[i].len == 0 ? 0 : keys[i].data[keys[i].len - 1];

        seen[last / 8] |= (uint8_t)(1u << last % 8);
    }
    return ldb_buf_append(out, (struct ldb_slice){seen, sizeof(seen)});
}

static bool may_match_last_byte(void *context, struct ldb_slice key,
                                struct ldb_slice filter)
{
    uint8_t last = key.len == 0 ? 0 : key.data[key.len - 1];

    (void)context;
    if (filter.len != 32 || (filter.data[last / 8] & 1u << last % 8) != 0)
        return true;
    atomic_fetch_add(&refused, 1);
    return false;
}

static const struct ldb_filter_policy last_bytes = {
    .name = "test.LastBytes",
    .create = create_last_bytes,
    .may_match = may_match_last_byte,
};

/* ---- fixture ---- */

struct fixture {
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *db;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    assert_int_equal(LDB_OK, ldb_env_memory_create(&f.err, &f.env));
    ldb_options_init(&f.options);
    f.options.env = f.env;
    f.options.write_buffer_bytes = 65536;
    f.options.table_bytes = 65536;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->db != NULL)
        assert_int_equal(LDB_OK, ldb_close(f->db, &f->err));
    ldb_env_memory_destroy(f->env);
    return 0;
}

static void open_db(struct fixture *f)
{
    if (f->db != NULL)
        assert_int_equal(LDB_OK, ldb_close(f->db, &f->err));
    f->db = NULL;
    if (ldb_open("/db", &f->options, NULL, &f->err, &f->db) != LDB_OK)
        fail_msg("%s", f->err.message);
}

/* Numbers 0 to COUNT, in an order that is neither's; all in tables. */
static void fill(struct fixture *f)
{
    char key[16];
    char value[64];

    for (unsigned i = 0; i < COUNT; i++) {
        unsigned n = i * 1009 % COUNT;

        (void)snprintf(value, sizeof(value), "%060u", n);
        assert_int_equal(LDB_OK, ldb_put(f->db, number_key(n, key), text(value),
                                         false, &f->err, NULL));
    }
    assert_int_equal(LDB_OK, ldb_compact_range(f->db, NULL, NULL, &f->err));
}

static enum ldb_status get(struct fixture *f, const char *key)
{
    return ldb_get(f->db, text(key), NULL, &f->err, NULL, NULL, NULL);
}

/* The cursor shows from, from + 1, ..., to - 1, and back again. */
static void assert_numbers(struct fixture *f,
                           const struct ldb_read_options *options,
                           unsigned from, unsigned to)
{
    struct ldb_cursor *cursor = NULL;
    char key[16];

    assert_int_equal(LDB_OK, ldb_cursor_open(f->db, options, &f->err, &cursor));
    ldb_cursor_seek_first(cursor);
    for (unsigned n = from; n < to; n++) {
        assert_true(ldb_cursor_valid(cursor));
        assert_int_equal(0, compare_numbers(NULL, number_key(n, key),
                                            ldb_cursor_key(cursor)));
        ldb_cursor_next(cursor);
    }
    assert_false(ldb_cursor_valid(cursor));
    ldb_cursor_seek_last(cursor);
    for (unsigned n = to; n > from; n--) {
        assert_true(ldb_cursor_valid(cursor));
        assert_int_equal(0, compare_numbers(NULL, number_key(n - 1, key),
                                            ldb_cursor_key(cursor)));
        ldb_cursor_prev(cursor);
    }
    assert_false(ldb_cursor_valid(cursor));
    assert_int_equal(LDB_OK, ldb_cursor_status(cursor, &f->err));
    ldb_cursor_close(cursor);
}

/* ---- tests ---- */

static void keys_stand_in_the_callers_order(void **state)
{
    struct fixture *f = *state;
    struct ldb_slice lower = text("98");
    struct ldb_slice upper = text("1002");
    struct ldb_read_options bounds = {.lower = &lower, .upper = &upper};

    f->options.comparator = &numbers;
    open_db(f);
    fill(f);
    assert_numbers(f, NULL, 0, COUNT);
    assert_true(atomic_load(&separators) > 0);
    open_db(f);
    assert_numbers(f, NULL, 0, COUNT);
    assert_numbers(f, &bounds, 98, 1002);
    assert_int_equal(LDB_OK, get(f, "2999"));
    assert_int_equal(LDB_NOT_FOUND, get(f, "3000"));
}

static void an_order_of_another_name_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_db *db = NULL;

    f->options.comparator = &numbers;
    open_db(f);
    fill(f);
    assert_int_equal(LDB_OK, ldb_close(f->db, &f->err));
    f->db = NULL;
    f->options.comparator = ldb_comparator_bytewise();
    assert_int_equal(LDB_INVALID_ARGUMENT,
                     ldb_open("/db", &f->options, NULL, &f->err, &db));
    assert_non_null(strstr(f->err.message, numbers.name));
    assert_non_null(strstr(f->err.message, f->options.comparator->name));
    assert_int_equal(LDB_INVALID_ARGUMENT,
                     ldb_repair("/db", &f->options, NULL, NULL, &f->err));
    f->options.comparator = &numbers;
    open_db(f);
    assert_numbers(f, NULL, 0, COUNT);
}

static void the_callers_filter_is_asked(void **state)
{
    struct fixture *f = *state;
    const struct ldb_filter_policy *const alternatives[] = {&last_bytes};

    f->options.filter = &last_bytes;
    open_db(f);
    fill(f);
    assert_true(atomic_load(&created) > 0);
    atomic_store(&refused, 0);
    assert_int_equal(LDB_OK, get(f, "1234"));
    assert_int_equal(LDB_NOT_FOUND, get(f, "1234x"));
    assert_true(atomic_load(&refused) > 0);

    /* Another filter's tables are read without it, or with it as second. */
    f->options.filter = NULL;
    open_db(f);
    atomic_store(&refused, 0);
    assert_int_equal(LDB_OK, get(f, "1234"));
    assert_int_equal(LDB_NOT_FOUND, get(f, "1234x"));
    assert_int_equal(0, atomic_load(&refused));
    f->options.alt_filters = alternatives;
    f->options.alt_filter_count = 1;
    open_db(f);
    assert_int_equal(LDB_NOT_FOUND, get(f, "1234x"));
    assert_true(atomic_load(&refused) > 0);
}

static void the_built_in_filter_has_as_many_bits_as_asked(void **state)
{
    static const struct ldb_filter_policy bloom = {.bloom_bits_per_key = 20};
    struct fixture *f = *state;

    f->options.filter = &bloom;
    open_db(f);
    fill(f);
    assert_int_equal(LDB_OK, get(f, "1234"));
    assert_int_equal(LDB_NOT_FOUND, get(f, "1234x"));
}

static void what_lacks_a_part_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_comparator order = numbers;
    struct ldb_filter_policy filter = last_bytes;
    const struct ldb_filter_policy *const nothing[] = {NULL};

    for (int i = 0; i < 6; i++) {
        order = numbers;
        filter = last_bytes;
        f->options.comparator = &order;
        f->options.filter = &filter;
        f->options.alt_filters = nothing;
        f->options.alt_filter_count = i == 5;
        if (i == 0)
            order.name = NULL;
        if (i == 1)
            order.compare = NULL;
        if (i == 2)
            filter.name = NULL;
        if (i == 3)
            filter.create = NULL;
        if (i == 4)
            filter.may_match = NULL;
        assert_int_equal(LDB_INVALID_ARGUMENT,
                         ldb_open("/db", &f->options, NULL, &f->err, &f->db));
        assert_null(f->db);
    }
}

static void a_batch_is_written_whole_ranges_in_the_callers_order(void **state)
{
    struct fixture *f = *state;
    /* By bytes "100" would be between. */
    struct ldb_delete_range range = {
        .before_op = 2, .start = text("1"), .end = text("20"), .has_end = true};
    struct ldb_write write = {.ranges = &range, .range_count = 1};

    f->options.comparator = &numbers;
    open_db(f);
    assert_int_equal(LDB_OK,
                     ldb_put(f->db, text("5"), text(""), false, NULL, NULL));
    assert_int_equal(LDB_OK, ldb_batch_create(4096, &f->err, &write.batch));
    assert_int_equal(LDB_OK, ldb_batch_put(write.batch, text("100"), text("")));
    assert_int_equal(LDB_OK, ldb_batch_put(write.batch, text("7"), text("")));
    assert_int_equal(LDB_OK, ldb_batch_put(write.batch, text("8"), text("")));
    assert_int_equal(LDB_OK, ldb_write_wait(f->db, &write));
    assert_int_equal(LDB_NOT_FOUND, get(f, "5"));
    assert_int_equal(LDB_NOT_FOUND, get(f, "7"));
    assert_int_equal(LDB_OK, get(f, "8"));
    assert_int_equal(LDB_OK, get(f, "100"));
    ldb_batch_clear(write.batch);
    write.range_count = 0;
    assert_int_equal(LDB_OK, ldb_batch_delete(write.batch, text("8")));
    assert_int_equal(LDB_OK, ldb_write_wait(f->db, &write));
    assert_int_equal(LDB_NOT_FOUND, get(f, "8"));
    ldb_batch_destroy(write.batch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(keys_stand_in_the_callers_order),
        TEST(an_order_of_another_name_is_refused),
        TEST(the_callers_filter_is_asked),
        TEST(the_built_in_filter_has_as_many_bits_as_asked),
        TEST(what_lacks_a_part_is_refused),
        TEST(a_batch_is_written_whole_ranges_in_the_callers_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
