/* ldb_get(): values, sequences, read options, errors. */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

#define LONG_KEY 600 /* more than a lookup keeps on its stack */

static void a_get_tells_value_sequence_and_what_it_saw(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf value = LDB_BUF_INIT(100);
    ldb_sequence sequence = 0;
    ldb_sequence seen = 0;

    (void)db_fixture_put(f, "a", "one");
    (void)db_fixture_put(f, "b", "two");
    for (int round = 0; round < 2; round++) {
        assert_ldb_ok(ldb_get(f->db, ldb_slice_str("a"), NULL, &f->err, &value,
                              &sequence, &seen),
                      &f->err);
        assert_ldb_bytes("one", ldb_slice_of_buf(&value));
        assert_int_equal(sequence, 1);
        assert_int_equal(seen, 2);
        assert_ldb_ok(
            ldb_get(f->db, ldb_slice_str("b"), NULL, NULL, NULL, NULL, NULL),
            NULL);
        seen = 0;
        assert_ldb_status(LDB_NOT_FOUND,
                          ldb_get(f->db, ldb_slice_str("c"), NULL, &f->err,
                                  &value, &sequence, &seen),
                          &f->err);
        assert_int_equal(seen, 2);
        db_fixture_flush(f); /* the second time from a table */
    }
    ldb_buf_release(&value);
}

static void keys_of_any_length_are_found(void **state)
{
    static const size_t lens[] = {0, 1, 503, 504, 505, LONG_KEY};
    struct db_fixture *f = *state;
    char bytes[LONG_KEY];

    memset(bytes, 'k', sizeof(bytes));
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
        assert_ldb_ok(ldb_put(f->db, ldb_slice_make(bytes, lens[i]),
                              ldb_slice_make(bytes, i), false, &f->err, NULL),
                      &f->err);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
            struct ldb_buf value = LDB_BUF_INIT(100);

            assert_ldb_ok(ldb_get(f->db, ldb_slice_make(bytes, lens[i]), NULL,
                                  &f->err, &value, NULL, NULL),
                          &f->err);
            assert_int_equal(value.len, i);
            ldb_buf_release(&value);
        }
        db_fixture_flush(f);
    }
}

static void a_value_over_the_buffers_limit_is_refused(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf value = LDB_BUF_INIT(3);

    (void)db_fixture_put(f, "a", "four");
    assert_ldb_status(
        LDB_TOO_LARGE,
        ldb_get(f->db, ldb_slice_str("a"), NULL, &f->err, &value, NULL, NULL),
        &f->err);
    ldb_buf_release(&value);
}

static void a_read_that_fails_is_told_and_the_next_one_works(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 100);
    db_fixture_flush(f);
    db_fixture_reopen(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_READ_AT), ".ldb", EIO);
    assert_ldb_status(LDB_IO,
                      ldb_get(f->db, ldb_slice_str("key000050"), NULL, &f->err,
                              NULL, NULL, NULL),
                      &f->err);
    assert_string_not_equal(f->err.message, "");
    env_fault_fail(f->fault, NULL);
    db_fixture_assert_filled(f, 0, 100);
}

static void the_cache_is_left_alone_when_asked(void **state)
{
    const struct ldb_read_options skip = {.skip_cache = true};
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    db_fixture_fill(f, 0, 100);
    db_fixture_flush(f);
    db_fixture_reopen(f);
    for (int i = 0; i < 2; i++)
        assert_ldb_ok(ldb_get(f->db, ldb_slice_str("key000050"), &skip, &f->err,
                              NULL, NULL, NULL),
                      &f->err);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.block_cache_hits, 0);
    for (int i = 0; i < 2; i++)
        db_fixture_assert_filled(f, 50, 51);
    ldb_stats(f->db, &stats);
    assert_true(stats.block_cache_hits > 0);
    assert_true(stats.gets >= 4);
}

static uint64_t seek_compactions(struct db_fixture *f)
{
    struct ldb_stats stats;
    uint64_t count = 0;

    ldb_stats(f->db, &stats);
    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
        count += stats.levels[level].seek_compactions;
    return count;
}

/* "b" lies below a table that reads of it look into in vain. */
static void build_a_table_in_the_way(struct db_fixture *f)
{
    (void)db_fixture_put(f, "b", "1");
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    (void)db_fixture_put(f, "a", "1");
    (void)db_fixture_put(f, "c", "1");
    db_fixture_flush(f);
}

static void gets_ask_for_the_compaction_of_a_table_in_the_way(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf text = LDB_BUF_INIT(1000);

    f->options.seek_compaction = true;
    db_fixture_reopen(f);
    build_a_table_in_the_way(f);
    for (int i = 0; i < 99; i++)
        db_fixture_assert_value(f, "b", "1");
    assert_int_equal(seek_compactions(f), 0);
    db_fixture_assert_value(f, "b", "1");
    while (seek_compactions(f) == 0)
        sched_yield();
    for (int i = 0; i < 500; i++)
        db_fixture_assert_value(f, "b", "1");
    db_fixture_assert_value(f, "a", "1");
    db_fixture_assert_value(f, "c", "1");
    assert_int_equal(seek_compactions(f), 1);
    assert_ldb_ok(ldb_property(f->db, "leveldb.compcount", &text), NULL);
    assert_ldb_bytes("MemComp:2 Level0Comp:1 NonLevel0Comp:0 SeekComp:1",
                     ldb_slice_of_buf(&text));
    ldb_buf_release(&text);
}

static int seeks_left(struct db_fixture *f)
{
    ldb_sequence sequence;
    struct ldb_view *view = ldb_db_view(f->db, &sequence);
    int left = view->version->levels[0].files[0]->seeks_left;

    ldb_db_view_release(f->db, view);
    return left;
}

/* By default; and where nothing may be written. */
static void reads_ask_for_nothing_unless_they_are_to(void **state)
{
    struct db_fixture *f = *state;

    build_a_table_in_the_way(f);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++)
            db_fixture_assert_value(f, "b", "1");
        assert_int_equal(seeks_left(f), 100);
        f->options.read_only = true;
        f->options.seek_compaction = true;
        db_fixture_reopen(f);
    }
}

static void scan(struct db_fixture *f, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct ldb_cursor *cursor = NULL;

        assert_ldb_ok(ldb_cursor_open(f->db, NULL, &f->err, &cursor), &f->err);
        for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
             ldb_cursor_next(cursor))
            ;
        ldb_cursor_close(cursor);
    }
}

/* Short ones too: what one leaves of the bytes between, the next goes on at. */
static void cursors_ask_for_it_too(void **state)
{
    struct db_fixture *f = *state;

    f->options.seek_compaction = true;
    f->options.iterator_sampling_bytes = 1024;
    db_fixture_reopen(f);
    (void)db_fixture_put(f, "a", "0");
    (void)db_fixture_put(f, "c", "0");
    build_a_table_in_the_way(f);
    /* Five entries of 10 bytes, each of a key that lies in both tables. */
    scan(f, 20);
    assert_int_equal(seeks_left(f), 100);
    scan(f, 1);
    assert_int_equal(seeks_left(f), 99);
    while (seek_compactions(f) == 0)
        scan(f, 20);
    db_fixture_assert_value(f, "b", "1");
}

/* ---- the row cache ---- */

static int setup_with_rows(void **state)
{
    struct db_fixture *f;
    int failed = db_fixture_setup(state);

    f = *state;
    f->options.row_cache_bytes = 1 << 20;
    db_fixture_reopen(f);
    return failed;
}

/* Hits of the row cache since the last call. */
static uint64_t take_hits(struct db_fixture *f)
{
    static uint64_t before;
    struct ldb_stats stats;
    uint64_t hits;

    ldb_stats(f->db, &stats);
    hits = stats.row_cache_hits < before ? stats.row_cache_hits
                                         : stats.row_cache_hits - before;
    before = stats.row_cache_hits;
    assert_int_equal(stats.gets, stats.row_cache_hits + stats.row_cache_misses);
    return hits;
}

static void a_second_get_finds_the_row_until_a_write(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    (void)take_hits(f);
    (void)db_fixture_put(f, "a", "one");
    db_fixture_flush(f);
    for (int round = 0; round < 3; round++)
        db_fixture_assert_value(f, "a", "one");
    assert_int_equal(take_hits(f), 2);
    db_fixture_assert_value(f, "b", NULL);
    db_fixture_assert_value(f, "b", NULL);
    assert_int_equal(take_hits(f), 0);
    (void)db_fixture_put(f, "a", "two");
    db_fixture_assert_value(f, "a", "two");
    assert_int_equal(take_hits(f), 0);
    db_fixture_flush(f);
    db_fixture_assert_value(f, "a", "two");
    assert_int_equal(take_hits(f), 1);
    (void)db_fixture_delete(f, "a");
    db_fixture_assert_value(f, "a", NULL);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.row_cache_bytes, 192);
    assert_int_equal(stats.row_cache_capacity_bytes, 1 << 20);
}

static void get_with(struct db_fixture *f, const struct ldb_read_options *o,
                     const char *text)
{
    struct ldb_buf value = LDB_BUF_INIT(100);

    assert_ldb_ok(
        ldb_get(f->db, ldb_slice_str("a"), o, &f->err, &value, NULL, NULL),
        &f->err);
    assert_ldb_slice(ldb_slice_str(text), ldb_slice_of_buf(&value));
    ldb_buf_release(&value);
}

/* Of another time, of the tables themselves, or not to be kept. */
static void reads_that_are_no_row_s_go_to_the_tables(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_snapshot *snapshot = NULL;
    const struct ldb_read_options verify = {.checksums = 1};
    const struct ldb_read_options skip = {.damage = 2};
    const struct ldb_read_options unkept = {.skip_cache = true};
    struct ldb_read_options then = {0};
    struct ldb_stats stats;

    (void)db_fixture_put(f, "a", "one");
    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshot), &f->err);
    then.snapshot = snapshot;
    (void)db_fixture_put(f, "a", "two");
    get_with(f, &unkept, "two");
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.row_cache_bytes, 0);
    get_with(f, &then, "one");
    get_with(f, NULL, "two");
    get_with(f, &then, "one");
    get_with(f, &verify, "two");
    get_with(f, &skip, "two");
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.row_cache_hits, 0);
    assert_int_equal(stats.row_cache_misses, 2);
    get_with(f, &unkept, "two");
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.row_cache_hits, 1);
    ldb_snapshot_release(snapshot);
}

/* ldb_reopen() takes back what was never on disk; a row may have it. */
static void what_is_taken_back_is_no_row(void **state)
{
    struct db_fixture *f = *state;

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("a"), ldb_slice_str("safe"),
                          true, &f->err, NULL),
                  &f->err);
    (void)db_fixture_put(f, "a", "unsynced");
    db_fixture_assert_value(f, "a", "unsynced");
    db_fixture_assert_value(f, "a", "unsynced");
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_int_equal(ldb_put(f->db, ldb_slice_str("b"), ldb_slice_str("1"),
                             true, &f->err, NULL),
                     LDB_OUTCOME_UNKNOWN);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    for (int round = 0; round < 2; round++)
        db_fixture_assert_value(f, "a", "safe");
}

/* Keys of one length are one key. */
static int compare_lengths(void *context, struct ldb_slice a,
                           struct ldb_slice b)
{
    (void)context;
    return (a.len > b.len) - (a.len < b.len);
}

static enum ldb_status copy_key(void *context, struct ldb_slice a,
                                struct ldb_buf *out)
{
    (void)context;
    return ldb_buf_append(out, a);
}

static enum ldb_status copy_first(void *context, struct ldb_slice a,
                                  struct ldb_slice b, struct ldb_buf *out)
{
    (void)b;
    return copy_key(context, a, out);
}

static void another_order_has_no_rows(void **state)
{
    static const struct ldb_comparator lengths = {
        .name = "test.Lengths",
        .compare = compare_lengths,
        .separator = copy_first,
        .successor = copy_key,
    };
    struct db_fixture *f = *state;
    struct ldb_db *ours = f->db;
    struct ldb_stats stats;

    f->options.comparator = &lengths;
    assert_ldb_ok(ldb_open("/other", &f->options, NULL, &f->err, &f->db),
                  &f->err);
    (void)db_fixture_put(f, "a", "one");
    db_fixture_assert_value(f, "a", "one");
    (void)db_fixture_put(f, "b", "two");
    db_fixture_assert_value(f, "a", "two");
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.row_cache_capacity_bytes, 0);
    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    f->db = ours;
    f->options.comparator = NULL;
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
#define TEST_ROWS(name)                                                        \
    cmocka_unit_test_setup_teardown(name, setup_with_rows, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_get_tells_value_sequence_and_what_it_saw),
        TEST(keys_of_any_length_are_found),
        TEST(a_value_over_the_buffers_limit_is_refused),
        TEST(a_read_that_fails_is_told_and_the_next_one_works),
        TEST(the_cache_is_left_alone_when_asked),
        TEST(gets_ask_for_the_compaction_of_a_table_in_the_way),
        TEST(reads_ask_for_nothing_unless_they_are_to),
        TEST(cursors_ask_for_it_too),
        TEST_ROWS(a_second_get_finds_the_row_until_a_write),
        TEST_ROWS(reads_that_are_no_row_s_go_to_the_tables),
        TEST_ROWS(what_is_taken_back_is_no_row),
        TEST_ROWS(another_order_has_no_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
