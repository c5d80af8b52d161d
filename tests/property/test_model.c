/*
 * Random operations against the engine and a sorted array: every get, every
 * scan in both directions, every snapshot must agree, across deletes of ranges,
 * flushes, compactions of all or a part, ldb_reopen(), reopening with other
 * options, and in checkpoints.
 *
 * LEVELD_MODEL_OPS=n is the long form: n operations over several seeds.
 * Each seed is printed; LEVELD_SEED=n runs that one alone.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/env.h"
#include "storage/include/ldb.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/model_db.h"

#define KEY_SPACE  400
#define OPERATIONS 24000 /* short form, of all seeds */
#define SEEDS      6
#define STEPS_MAX  40 /* of a walk */

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

static uint64_t one_of(struct world *w, const uint64_t *choices, size_t count)
{
    return choices[next_random(w) % count];
}

/* Small buffers, so that all of flushes, levels and boundaries happen; all that
 * may change between one open and the next does. */
static void choose_options(struct world *w)
{
    static const uint64_t buffers[] = {16 << 10, 64 << 10, 64 << 10, 256 << 10};
    static const uint64_t tables[] = {4 << 10, 8 << 10, 32 << 10, 256 << 10};
    static const uint64_t blocks[] = {256, 512, 1024, 4096};
    static const uint64_t restarts[] = {1, 2, 16, 128};
    static const uint64_t blooms[] = {0, 1, 10, 30};
    static const uint64_t caches[] = {4 << 10, 64 << 10, 8 << 20};
    static const uint64_t rows[] = {0, 1, 16 << 10};
    static const uint64_t open_tables[] = {16, 64, 500};

    ldb_options_init(&w->options);
    w->options.env = w->env;
    w->options.create_if_missing = true;
    w->options.write_buffer_bytes = (size_t)one_of(w, buffers, 4);
    w->options.table_bytes = one_of(w, tables, 4);
    w->options.block_bytes = (size_t)one_of(w, blocks, 4);
    w->options.block_restart_interval = (unsigned)one_of(w, restarts, 4);
    w->options.bloom_bits = (unsigned)one_of(w, blooms, 4);
    w->options.compress = next_random(w) % 2 == 0;
    w->options.journal =
        next_random(w) % 2 == 0 ? LDB_JOURNAL_MAPPED : LDB_JOURNAL_APPENDED;
    w->options.block_cache_bytes = (size_t)one_of(w, caches, 3);
    w->options.row_cache_bytes = (size_t)one_of(w, rows, 3);
    w->options.open_tables_max = (unsigned)one_of(w, open_tables, 3);
    w->options.manifest_rotate_bytes = next_random(w) % 2 == 0 ? 2 << 10 : 0;
    w->options.level1_bytes = 32 << 10;
    w->options.level_multiplier = 2;
}

static void open_db(struct world *w)
{
    struct ldb_error err = {0};

    choose_options(w);
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

static void write_batch(struct world *w, struct ldb_batch *batch,
                        const struct ldb_delete_range *ranges,
                        size_t range_count, uint64_t count)
{
    struct ldb_write write = {.batch = batch,
                              .sync = next_random(w) % 4 == 0,
                              .ranges = ranges,
                              .range_count = range_count};

    assert_ldb_ok(ldb_write_wait(w->db, &write), &write.error);
    assert_int_equal(write.count, count);
    assert_true(write.sequence >= w->last_sequence + count);
    w->last_sequence = write.sequence;
}

static void random_put(struct world *w, struct ldb_batch *batch,
                       struct ldb_slice key)
{
    uint8_t value[400];
    size_t len = next_random(w) % sizeof(value);

    memset(value, (int)next_random(w), sizeof(value));
    assert_int_equal(ldb_batch_put(batch, key, ldb_slice_make(value, len)),
                     LDB_OK);
    model_put(&w->model, key, ldb_slice_make(value, len));
}

/* 1 to 12 puts and deletes; one in four is one of them alone. */
static void random_batch(struct world *w)
{
    struct ldb_batch *batch = NULL;
    struct ldb_error err = {0};
    uint64_t count = next_random(w) % 4 == 0 ? 1 : 1 + next_random(w) % 12;

    assert_ldb_ok(ldb_batch_create(1 << 20, &err, &batch), &err);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[16];
        struct ldb_slice key = random_key(w, bytes);

        if (next_random(w) % 4 != 0) {
            random_put(w, batch, key);
            continue;
        }
        assert_int_equal(ldb_batch_delete(batch, key), LDB_OK);
        model_delete(&w->model, key);
    }
    write_batch(w, batch, NULL, 0, count);
    ldb_batch_destroy(batch);
}

/* A put, a range that may cover it, a put: the deletes are those of the model
 * between the two. */
static void random_delete_range(struct world *w)
{
    struct ldb_batch *batch = NULL;
    struct ldb_error err = {0};
    uint8_t bytes[4][16];
    struct ldb_delete_range range = {.before_op = 1,
                                     .start = random_key(w, bytes[0]),
                                     .end = random_key(w, bytes[1]),
                                     .has_end = next_random(w) % 8 != 0};
    uint64_t deleted = 0;
    size_t at;

    /* Most are short: at random half of all keys would go. */
    if (range.has_end && next_random(w) % 8 != 0) {
        at = model_lower_bound(&w->model, range.start) + next_random(w) % 20;
        if (at < w->model.count && w->model.entries[at].key_len <= 16) {
            memcpy(bytes[1], w->model.entries[at].key,
                   w->model.entries[at].key_len);
            range.end = ldb_slice_make(bytes[1], w->model.entries[at].key_len);
        }
    }
    assert_ldb_ok(ldb_batch_create(1 << 20, &err, &batch), &err);
    random_put(w, batch, random_key(w, bytes[2]));
    at = model_lower_bound(&w->model, range.start);
    while (at < w->model.count) {
        struct ldb_slice key = ldb_slice_make(w->model.entries[at].key,
                                              w->model.entries[at].key_len);

        if (range.has_end && ldb_slice_compare(key, range.end) >= 0)
            break;
        model_delete(&w->model, key);
        deleted++;
    }
    random_put(w, batch, random_key(w, bytes[3]));
    write_batch(w, batch, &range, 1, 2 + deleted);
    ldb_batch_destroy(batch);
}

static void compact_random_range(struct world *w)
{
    struct ldb_error err = {0};
    uint8_t bytes[2][16];
    struct ldb_slice begin = random_key(w, bytes[0]);
    struct ldb_slice end = random_key(w, bytes[1]);

    if (ldb_slice_compare(begin, end) > 0) {
        struct ldb_slice other = begin;

        begin = end;
        end = other;
    }
    assert_ldb_ok(
        ldb_compact_range(w->db, next_random(w) % 4 == 0 ? NULL : &begin,
                          next_random(w) % 4 == 0 ? NULL : &end, &err),
        &err);
}

/* Heals in place: what was synced is there, and a write makes it all so. */
static void heal_db(struct world *w)
{
    struct ldb_error err = {0};
    uint8_t bytes[16];
    struct ldb_slice key = random_key(w, bytes);

    assert_ldb_ok(ldb_put(w->db, key, ldb_slice_str("healed"), true, &err,
                          &w->last_sequence),
                  &err);
    model_put(&w->model, key, ldb_slice_str("healed"));
    assert_ldb_ok(ldb_reopen(w->db, NULL, &err), &err);
    assert_true(ldb_last_sequence(w->db) >= w->last_sequence);
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

/* Both ways between two keys that may be in any order. */
static void check_bounded_scan(struct world *w,
                               const struct ldb_snapshot *snapshot,
                               const struct model_db *model)
{
    uint8_t bytes[2][16];
    struct ldb_slice lower = random_key(w, bytes[0]);
    struct ldb_slice upper = random_key(w, bytes[1]);
    const struct ldb_read_options options = {
        .snapshot = snapshot, .lower = &lower, .upper = &upper};
    size_t from = model_lower_bound(model, lower);
    size_t to = model_lower_bound(model, upper);
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_cursor_open(w->db, &options, &err, &cursor), &err);
    ldb_cursor_seek_first(cursor);
    for (size_t i = from; i < to; i++, ldb_cursor_next(cursor))
        assert_at(cursor, &model->entries[i]);
    assert_end(cursor);
    ldb_cursor_seek_last(cursor);
    for (size_t i = to; i > from; i--, ldb_cursor_prev(cursor))
        assert_at(cursor, &model->entries[i - 1]);
    assert_end(cursor);
    ldb_cursor_close(cursor);
}

/* Where a seek of any kind has to lead; model->count: nowhere. */
static size_t random_seek(struct world *w, struct ldb_cursor *cursor,
                          const struct model_db *model)
{
    uint8_t bytes[16];
    struct ldb_slice key = random_key(w, bytes);
    size_t at = model_lower_bound(model, key);

    switch (next_random(w) % 8) {
    case 0:
        ldb_cursor_seek_first(cursor);
        return 0;
    case 1:
        ldb_cursor_seek_last(cursor);
        return model->count == 0 ? 0 : model->count - 1;
    case 2:
    case 3:
    case 4:
        ldb_cursor_seek_before(cursor, key);
        return at == 0 ? model->count : at - 1;
    default:
        ldb_cursor_seek(cursor, key);
        return at;
    }
}

/* A walk that changes direction, and seeks again wherever it is. */
static void check_walk(struct world *w, const struct ldb_snapshot *snapshot,
                       const struct model_db *model)
{
    const struct ldb_read_options options = {.snapshot = snapshot};
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    size_t at;

    assert_ldb_ok(ldb_cursor_open(w->db, &options, &err, &cursor), &err);
    at = random_seek(w, cursor, model);
    for (int step = 0; step < STEPS_MAX; step++) {
        uint64_t way = next_random(w) % 16;

        if (at >= model->count) {
            assert_end(cursor);
            at = random_seek(w, cursor, model);
        } else if (way == 0) {
            assert_at(cursor, &model->entries[at]);
            at = random_seek(w, cursor, model);
        } else if (way % 2 == 0) {
            assert_at(cursor, &model->entries[at]);
            ldb_cursor_next(cursor);
            at++;
        } else {
            assert_at(cursor, &model->entries[at]);
            ldb_cursor_prev(cursor);
            at = at == 0 ? model->count : at - 1;
        }
    }
    if (at >= model->count)
        assert_end(cursor);
    ldb_cursor_close(cursor);
}

/* A copy opens by itself, with any options, and is what the original is. */
static void check_checkpoint(struct world *w)
{
    struct world copy = {.env = w->env, .random = next_random(w) | 1};
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_checkpoint(w->db, "/copy", &err), &err);
    choose_options(&copy);
    assert_ldb_ok(ldb_open("/copy", &copy.options, NULL, &err, &copy.db), &err);
    assert_true(ldb_last_sequence(copy.db) >= w->last_sequence);
    check_scans(&copy, NULL, &w->model);
    assert_ldb_ok(ldb_close(copy.db, &err), &err);
    assert_ldb_ok(ldb_destroy("/copy", &copy.options, &err), &err);
}

static void change_shape(struct world *w)
{
    struct ldb_error err = {0};

    switch (next_random(w) % 9) {
    case 0:
        reopen_db(w);
        break;
    case 1:
        heal_db(w); /* a snapshot outlives it */
        break;
    case 2:
        assert_ldb_ok(ldb_compact_range(w->db, NULL, NULL, &err), &err);
        break;
    case 3:
        check_checkpoint(w);
        break;
    case 4:
    case 5:
        compact_random_range(w);
        break;
    default:
        assert_ldb_ok(ldb_flush(w->db, &err), &err);
        break;
    }
}

static void one_operation(struct world *w)
{
    struct ldb_error err = {0};
    uint64_t pick = next_random(w) % 1000;

    if (pick < 580) {
        random_batch(w);
    } else if (pick < 600) {
        random_delete_range(w);
    } else if (pick < 850) {
        check_get(w, NULL, &w->model);
        if (w->snapshot != NULL)
            check_get(w, w->snapshot, &w->snapshot_model);
    } else if (pick < 970) {
        check_walk(w, NULL, &w->model);
        check_bounded_scan(w, NULL, &w->model);
        if (w->snapshot != NULL) {
            check_walk(w, w->snapshot, &w->snapshot_model);
            check_bounded_scan(w, w->snapshot, &w->snapshot_model);
        }
    } else if (pick < 975) {
        check_scans(w, NULL, &w->model);
        check_bounded_scan(w, NULL, &w->model);
        if (w->snapshot != NULL)
            check_scans(w, w->snapshot, &w->snapshot_model);
    } else if (pick < 985) {
        drop_snapshot(w);
        assert_ldb_ok(ldb_snapshot_acquire(w->db, &err, &w->snapshot), &err);
        w->snapshot_model = model_copy(&w->model);
    } else {
        change_shape(w);
    }
}

static void run_seed(uint64_t seed, uint64_t operations)
{
    struct world w = {.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    struct ldb_error err = {0};

    print_message("LEVELD_SEED=%llu\n", (unsigned long long)seed);
    assert_ldb_ok(ldb_env_memory_create(&err, &w.env), &err);
    open_db(&w);
    for (uint64_t i = 0; i < operations; i++)
        one_operation(&w);
    check_scans(&w, NULL, &w.model);
    reopen_db(&w);
    check_scans(&w, NULL, &w.model);
    assert_ldb_ok(ldb_close(w.db, &err), &err);
    model_release(&w.model);
    ldb_env_memory_destroy(w.env);
}

static void the_engine_answers_as_a_sorted_array(void **state)
{
    const char *seed = getenv("LEVELD_SEED");
    const char *ops = getenv("LEVELD_MODEL_OPS");
    uint64_t operations = ops == NULL ? OPERATIONS : strtoull(ops, NULL, 10);

    (void)state;
    if (seed != NULL) {
        run_seed(strtoull(seed, NULL, 10), operations / SEEDS);
        return;
    }
    for (uint64_t i = 1; i <= SEEDS; i++)
        run_seed(i, operations / SEEDS);
    print_message("%llu operations\n", (unsigned long long)operations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_engine_answers_as_a_sorted_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
