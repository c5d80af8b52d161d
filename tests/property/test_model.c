/*
 * Random operations against the engine and a sorted array: every get, every
 * scan in both directions, every snapshot must agree, across flushes,
 * compactions and reopening. The seed is printed when a run fails:
 * LEVELD_TEST_SEED=n replays it alone.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/env.h"
#include "storage/include/ldb.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/model_db.h"

#define KEY_SPACE  400
#define OPERATIONS 4000
#define SEEDS      6

struct world {
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *db;
    struct model_db model;
    struct ldb_snapshot *snapshot; /* NULL: none taken */
    struct model_db snapshot_model;
    uint64_t random;
    ldb_sequence last_sequence;
};

static uint64_t next_random(struct world *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

/* Keys of 0 to 9 bytes, some of them prefixes of others. */
static struct ldb_slice random_key(struct world *w, uint8_t out[16])
{
    uint64_t n = next_random(w) % KEY_SPACE;
    int len = n == 0 ? 0
                     : snprintf((char *)out, 16, "k%05llx",
                                (unsigned long long)n * 2654435761u);

    if (n % 7 == 0 && len > 3)
        len = 3;
    return ldb_slice_make(out, (size_t)len);
}

static void open_db(struct world *w)
{
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_open("/db", &w->options, NULL, &err, &w->db), &err);
}

static void drop_snapshot(struct world *w)
{
    ldb_snapshot_release(w->snapshot);
    w->snapshot = NULL;
    model_release(&w->snapshot_model);
}

static void reopen_db(struct world *w)
{
    struct ldb_error err = {0};

    drop_snapshot(w);
    assert_ldb_ok(ldb_close(w->db, &err), &err);
    open_db(w);
    assert_true(ldb_last_sequence(w->db) >= w->last_sequence);
}

static void random_batch(struct world *w)
{
    struct ldb_batch *batch = NULL;
    struct ldb_write write = {.sync = next_random(w) % 4 == 0};
    struct ldb_error err = {0};
    uint64_t count = 1 + next_random(w) % 12;
    uint8_t value[400];

    assert_ldb_ok(ldb_batch_create(1 << 20, &err, &batch), &err);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[16];
        struct ldb_slice key = random_key(w, bytes);

        if (next_random(w) % 4 == 0) {
            assert_int_equal(ldb_batch_delete(batch, key), LDB_OK);
            model_delete(&w->model, key);
            continue;
        }
        memset(value, (int)next_random(w), sizeof(value));
        struct ldb_slice bytes_of =
            ldb_slice_make(value, next_random(w) % sizeof(value));
        assert_int_equal(ldb_batch_put(batch, key, bytes_of), LDB_OK);
        model_put(&w->model, key, bytes_of);
    }
    write.batch = batch;
    assert_ldb_ok(ldb_write_wait(w->db, &write), &write.error);
    assert_int_equal(write.count, count);
    assert_true(write.sequence >= w->last_sequence + count);
    w->last_sequence = write.sequence;
    ldb_batch_destroy(batch);
}

static void check_get(struct world *w, const struct ldb_snapshot *snapshot,
                      const struct model_db *model)
{
    const struct ldb_read_options options = {.snapshot = snapshot};
    struct ldb_buf value = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_error err = {0};
    uint8_t bytes[16];
    struct ldb_slice key = random_key(w, bytes);
    const struct model_entry *expected = model_get(model, key);
    enum ldb_status s = ldb_get(w->db, key, &options, &err, &value, NULL, NULL);

    if (expected == NULL) {
        assert_int_equal(s, LDB_NOT_FOUND);
    } else {
        assert_ldb_ok(s, &err);
        assert_true(ldb_slice_equal(
            ldb_slice_of_buf(&value),
            ldb_slice_make(expected->value, expected->value_len)));
    }
    ldb_buf_release(&value);
}

static void assert_at(struct ldb_cursor *cursor, const struct model_entry *e)
{
    assert_true(ldb_cursor_valid(cursor));
    assert_true(ldb_slice_equal(ldb_cursor_key(cursor),
                                ldb_slice_make(e->key, e->key_len)));
    assert_true(ldb_slice_equal(ldb_cursor_value(cursor),
                                ldb_slice_make(e->value, e->value_len)));
}

static void assert_end(struct ldb_cursor *cursor)
{
    struct ldb_error err = {0};

    assert_false(ldb_cursor_valid(cursor));
    assert_ldb_ok(ldb_cursor_status(cursor, &err), &err);
}

static void check_scans(struct world *w, const struct ldb_snapshot *snapshot,
                        const struct model_db *model)
{
    const struct ldb_read_options options = {.snapshot = snapshot};
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_cursor_open(w->db, &options, &err, &cursor), &err);
    ldb_cursor_seek_first(cursor);
    for (size_t i = 0; i < model->count; i++, ldb_cursor_next(cursor))
        assert_at(cursor, &model->entries[i]);
    assert_end(cursor);
    ldb_cursor_seek_last(cursor);
    for (size_t i = model->count; i > 0; i--, ldb_cursor_prev(cursor))
        assert_at(cursor, &model->entries[i - 1]);
    assert_end(cursor);
    ldb_cursor_close(cursor);
}

/* A walk that changes direction, from a random seek. */
static void check_walk(struct world *w, const struct ldb_snapshot *snapshot,
                       const struct model_db *model)
{
    const struct ldb_read_options options = {.snapshot = snapshot};
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    uint8_t bytes[16];
    struct ldb_slice key = random_key(w, bytes);
    size_t at = model_lower_bound(model, key);

    assert_ldb_ok(ldb_cursor_open(w->db, &options, &err, &cursor), &err);
    if (next_random(w) % 2 == 0) {
        ldb_cursor_seek_before(cursor, key);
        at = at == 0 ? model->count : at - 1;
    } else {
        ldb_cursor_seek(cursor, key);
    }
    for (int step = 0; step < 30 && at < model->count; step++) {
        assert_at(cursor, &model->entries[at]);
        if (next_random(w) % 2 == 0) {
            ldb_cursor_next(cursor);
            at++;
        } else {
            ldb_cursor_prev(cursor);
            at = at == 0 ? model->count : at - 1;
        }
    }
    if (at >= model->count)
        assert_end(cursor);
    ldb_cursor_close(cursor);
}

static void one_operation(struct world *w)
{
    struct ldb_error err = {0};
    uint64_t pick = next_random(w) % 1000;

    if (pick < 600) {
        random_batch(w);
    } else if (pick < 850) {
        check_get(w, NULL, &w->model);
        if (w->snapshot != NULL)
            check_get(w, w->snapshot, &w->snapshot_model);
    } else if (pick < 960) {
        check_walk(w, NULL, &w->model);
        if (w->snapshot != NULL)
            check_walk(w, w->snapshot, &w->snapshot_model);
    } else if (pick < 970) {
        check_scans(w, NULL, &w->model);
    } else if (pick < 980) {
        drop_snapshot(w);
        assert_ldb_ok(ldb_snapshot_acquire(w->db, &err, &w->snapshot), &err);
        w->snapshot_model = model_copy(&w->model);
    } else if (pick < 990) {
        assert_ldb_ok(ldb_flush(w->db, &err), &err);
    } else if (pick < 994) {
        assert_ldb_ok(ldb_compact_range(w->db, NULL, NULL, &err), &err);
    } else if (pick < 998) {
        if (w->snapshot != NULL)
            check_scans(w, w->snapshot, &w->snapshot_model);
    } else {
        reopen_db(w);
    }
}

static void run_seed(uint64_t seed)
{
    struct world w = {.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    struct ldb_error err = {0};

    print_message("LEVELD_TEST_SEED=%llu\n", (unsigned long long)seed);
    ldb_options_init(&w.options);
    /* Small buffers: flushes and compactions of several levels. */
    w.options.write_buffer_bytes = (size_t)64 << 10;
    w.options.table_bytes = 8 << 10;
    w.options.level1_bytes = 32 << 10;
    w.options.block_bytes = 512;
    w.options.level_multiplier = 2;
    assert_ldb_ok(ldb_env_memory_create(&err, &w.env), &err);
    w.options.env = w.env;
    open_db(&w);
    for (int i = 0; i < OPERATIONS; i++)
        one_operation(&w);
    check_scans(&w, NULL, &w.model);
    drop_snapshot(&w);
    assert_ldb_ok(ldb_close(w.db, &err), &err);
    open_db(&w);
    check_scans(&w, NULL, &w.model);
    assert_ldb_ok(ldb_close(w.db, &err), &err);
    model_release(&w.model);
    ldb_env_memory_destroy(w.env);
}

static void the_engine_answers_as_a_sorted_array(void **state)
{
    const char *given = getenv("LEVELD_TEST_SEED");

    (void)state;
    if (given != NULL) {
        run_seed(strtoull(given, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_engine_answers_as_a_sorted_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
