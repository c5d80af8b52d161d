/* Moves of a cursor: table-driven, over entries in every place. */
#include <errno.h>
#include <stdio.h>

#include "storage/base/comparator.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

/* Live: b d f h, in a deeper level, a level-0 table, an immutable place and the
 * memtable; c and e are deleted, and older values lie below. */
static struct ldb_cursor *open_mixed(struct db_fixture *f)
{
    struct ldb_cursor *cursor = NULL;

    (void)db_fixture_put(f, "b", "1");
    (void)db_fixture_put(f, "c", "1");
    (void)db_fixture_put(f, "d", "1");
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    (void)db_fixture_put(f, "d", "2");
    (void)db_fixture_put(f, "e", "2");
    (void)db_fixture_delete(f, "c");
    db_fixture_flush(f);
    (void)db_fixture_put(f, "f", "3");
    (void)db_fixture_put(f, "h", "3");
    (void)db_fixture_delete(f, "e");
    (void)db_fixture_delete(f, "nothing");
    assert_ldb_ok(ldb_cursor_open(f->db, NULL, &f->err, &cursor), &f->err);
    (void)db_fixture_put(f, "g", "later");
    return cursor;
}

static void assert_on(struct db_fixture *f, struct ldb_cursor *cursor,
                      const char *key)
{
    assert_int_equal(ldb_cursor_valid(cursor), key != NULL);
    if (key != NULL)
        assert_ldb_slice(ldb_slice_str(key), ldb_cursor_key(cursor));
    else
        assert_ldb_ok(ldb_cursor_status(cursor, &f->err), &f->err);
}

static void seeks_and_steps_reach_live_keys_alone(void **state)
{
    static const struct row {
        const char *seek;
        const char *at;     /* first >= seek */
        const char *before; /* last < seek */
        const char *next;   /* after `at` */
        const char *prev;   /* before `at` */
    } rows[] = {
        {"", "b", NULL, "d", NULL},    {"b", "b", NULL, "d", NULL},
        {"c", "d", "b", "f", "b"},     {"d", "d", "b", "f", "b"},
        {"e", "f", "d", "h", "d"},     {"g", "h", "f", NULL, "f"},
        {"h", "h", "f", NULL, "f"},    {"h0", NULL, "h", NULL, NULL},
        {"zz", NULL, "h", NULL, NULL},
    };
    struct db_fixture *f = *state;
    struct ldb_cursor *cursor = open_mixed(f);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ldb_cursor_seek_before(cursor, ldb_slice_str(rows[i].seek));
        assert_on(f, cursor, rows[i].before);
        ldb_cursor_seek(cursor, ldb_slice_str(rows[i].seek));
        assert_on(f, cursor, rows[i].at);
        if (rows[i].at == NULL)
            continue;
        ldb_cursor_next(cursor);
        assert_on(f, cursor, rows[i].next);
        ldb_cursor_seek(cursor, ldb_slice_str(rows[i].seek));
        ldb_cursor_prev(cursor);
        assert_on(f, cursor, rows[i].prev);
    }
    ldb_cursor_close(cursor);
}

static void turning_round_gives_the_same_keys(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_cursor *cursor = open_mixed(f);

    ldb_cursor_seek_first(cursor);
    assert_on(f, cursor, "b");
    ldb_cursor_next(cursor);
    ldb_cursor_prev(cursor);
    assert_on(f, cursor, "b");
    ldb_cursor_next(cursor);
    ldb_cursor_next(cursor);
    assert_on(f, cursor, "f");
    ldb_cursor_prev(cursor);
    assert_on(f, cursor, "d");
    assert_ldb_bytes("2", ldb_cursor_value(cursor));
    assert_int_equal(ldb_cursor_sequence(cursor), 4);
    assert_int_equal(ldb_cursor_view_sequence(cursor), 10);
    ldb_cursor_seek_last(cursor);
    assert_on(f, cursor, "h");
    ldb_cursor_close(cursor);
    ldb_cursor_close(NULL);
}

static void a_cursor_that_cannot_read_says_so(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_cursor *cursor = NULL;

    db_fixture_fill(f, 0, 200);
    db_fixture_flush(f);
    db_fixture_reopen(f);
    assert_ldb_ok(ldb_cursor_open(f->db, NULL, &f->err, &cursor), &f->err);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_READ_AT), ".ldb", EIO);
    ldb_cursor_seek_first(cursor);
    while (ldb_cursor_valid(cursor))
        ldb_cursor_next(cursor);
    f->err = (struct ldb_error){0};
    assert_ldb_status(LDB_IO, ldb_cursor_status(cursor, &f->err), &f->err);
    assert_string_not_equal(f->err.message, "");
    env_fault_fail(f->fault, NULL);
    ldb_cursor_close(cursor);
}

/* ---- bounds ---- */

static struct ldb_cursor *open_bounded(struct db_fixture *f, const char *lower,
                                       const char *upper, const char *prefix)
{
    struct ldb_slice low = ldb_slice_str(lower == NULL ? "" : lower);
    struct ldb_slice high = ldb_slice_str(upper == NULL ? "" : upper);
    struct ldb_slice begin = ldb_slice_str(prefix == NULL ? "" : prefix);
    struct ldb_read_options options = {
        .lower = lower == NULL ? NULL : &low,
        .upper = upper == NULL ? NULL : &high,
        .prefix = prefix == NULL ? NULL : &begin,
    };
    struct ldb_cursor *cursor = NULL;

    assert_ldb_ok(ldb_cursor_open(f->db, &options, &f->err, &cursor), &f->err);
    return cursor;
}

/* The cursor walks these one-letter keys, and back. */
static void assert_walks(struct db_fixture *f, struct ldb_cursor *cursor,
                         const char *keys)
{
    size_t count = strlen(keys);
    char key[2] = "";

    ldb_cursor_seek_first(cursor);
    for (size_t i = 0; i < count; i++) {
        key[0] = keys[i];
        assert_on(f, cursor, key);
        ldb_cursor_next(cursor);
    }
    assert_on(f, cursor, NULL);
    ldb_cursor_seek_last(cursor);
    for (size_t i = count; i > 0; i--) {
        key[0] = keys[i - 1];
        assert_on(f, cursor, key);
        ldb_cursor_prev(cursor);
    }
    assert_on(f, cursor, NULL);
}

static void bounds_and_prefix_together_hold_a_cursor(void **state)
{
    static const struct row {
        const char *lower;
        const char *upper;
        const char *prefix;
        const char *keys;
    } rows[] = {
        {NULL, NULL, NULL, "bdfh"}, {"", NULL, NULL, "bdfh"},
        {"b", NULL, NULL, "bdfh"},  {"c", NULL, NULL, "dfh"},
        {NULL, "h", NULL, "bdf"},   {NULL, "h0", NULL, "bdfh"},
        {"c", "e", NULL, "d"},      {"d", "f", NULL, "d"},
        {"d", "d", NULL, ""},       {"h", "b", NULL, ""},
        {NULL, "", NULL, ""},       {"i", NULL, NULL, ""},
        {NULL, NULL, "", "bdfh"},   {NULL, NULL, "d", "d"},
        {NULL, NULL, "dd", ""},     {NULL, NULL, "\xff", ""},
        {"c", NULL, "d", "d"},      {"d0", NULL, "d", ""},
        {NULL, "d", "d", ""},       {"b", "z", "h", "h"},
    };
    struct db_fixture *f = *state;

    ldb_cursor_close(open_mixed(f));
    (void)db_fixture_delete(f, "g");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_cursor *cursor =
            open_bounded(f, rows[i].lower, rows[i].upper, rows[i].prefix);

        assert_walks(f, cursor, rows[i].keys);
        ldb_cursor_close(cursor);
    }
}

static void a_seek_outside_of_the_bounds_ends_at_them(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_cursor *cursor;

    ldb_cursor_close(open_mixed(f));
    cursor = open_bounded(f, "c", "h", NULL);
    ldb_cursor_seek(cursor, ldb_slice_str("a"));
    assert_on(f, cursor, "d");
    ldb_cursor_seek(cursor, ldb_slice_str("h"));
    assert_on(f, cursor, NULL);
    ldb_cursor_seek_before(cursor, ldb_slice_str("z"));
    assert_on(f, cursor, "g");
    ldb_cursor_seek_before(cursor, ldb_slice_str("c"));
    assert_on(f, cursor, NULL);
    ldb_cursor_seek_before(cursor, ldb_slice_str("d0"));
    assert_on(f, cursor, "d");
    ldb_cursor_next(cursor);
    assert_on(f, cursor, "f");
    ldb_cursor_close(cursor);
}

/* Backwards: the greatest key is the first. */
static int compare_backwards(void *context, struct ldb_slice a,
                             struct ldb_slice b)
{
    (void)context;
    return ldb_slice_compare(b, a);
}

static void bounds_are_meant_in_the_order_of_the_comparator(void **state)
{
    static const struct ldb_comparator backwards = {
        .name = "test.Backwards", .compare = compare_backwards};
    struct db_fixture *f = *state;
    struct ldb_slice prefix = ldb_slice_str("d");
    struct ldb_cursor *cursor = NULL;

    db_fixture_close(f);
    assert_ldb_ok(ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err), &f->err);
    f->options.comparator = &backwards;
    db_fixture_open(f);
    ldb_cursor_close(open_mixed(f));
    cursor = open_bounded(f, "g", "b", NULL);
    assert_walks(f, cursor, "gfd");
    ldb_cursor_close(cursor);
    cursor = NULL;
    assert_ldb_status(
        LDB_INVALID_ARGUMENT,
        ldb_cursor_open(f->db, &(struct ldb_read_options){.prefix = &prefix},
                        &f->err, &cursor),
        &f->err);
    assert_null(cursor);
}

/* ---- bounds beside a cursor that has none ---- */

#define WALK_KEYS 400U

static const char *walk_key(unsigned n, char out[16])
{
    (void)snprintf(out, 16, "%06u", n);
    return out;
}

static uint64_t walk_seed;

/* 0 to below - 1; the same row from the same seed. */
static unsigned next_random(unsigned below)
{
    walk_seed = walk_seed * UINT64_C(6364136223846793005) +
                UINT64_C(1442695040888963407);
    return (unsigned)(walk_seed >> 33) % below;
}

/* Keys 0 to WALK_KEYS in every place, some deleted, some written again. */
static void fill_everywhere(struct db_fixture *f)
{
    char key[16];

    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < WALK_KEYS / 2; i++) {
            (void)walk_key(next_random(WALK_KEYS), key);
            if (next_random(3) == 0)
                (void)db_fixture_delete(f, key);
            else
                (void)db_fixture_put(f, key, "a value of some more bytes");
        }
        if (round == 3)
            assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err),
                          &f->err);
        else if (round < 7)
            db_fixture_flush(f);
    }
}

/* Where plain is, within the bounds, is where bounded has to be. */
static void assert_same(struct db_fixture *f, struct ldb_cursor *plain,
                        struct ldb_cursor *bounded, const char *lower,
                        const char *upper)
{
    bool within = ldb_cursor_valid(plain);

    if (within && lower != NULL)
        within =
            ldb_slice_compare(ldb_cursor_key(plain), ldb_slice_str(lower)) >= 0;
    if (within && upper != NULL)
        within =
            ldb_slice_compare(ldb_cursor_key(plain), ldb_slice_str(upper)) < 0;
    assert_ldb_ok(ldb_cursor_status(bounded, &f->err), &f->err);
    assert_int_equal(within, ldb_cursor_valid(bounded));
    if (within)
        assert_ldb_slice(ldb_cursor_key(plain), ldb_cursor_key(bounded));
}

static void walk_both(struct db_fixture *f, const char *lower,
                      const char *upper)
{
    struct ldb_cursor *plain = open_bounded(f, NULL, NULL, NULL);
    struct ldb_cursor *bounded = open_bounded(f, lower, upper, NULL);

    for (unsigned move = 0; move < 60; move++) {
        char text[16];
        struct ldb_slice key =
            ldb_slice_str(walk_key(next_random(WALK_KEYS + 2), text));

        if (!ldb_cursor_valid(bounded) || next_random(8) == 0) {
            bool is_before = next_random(2) == 0;

            /* To where the bounds put it. */
            if (lower != NULL &&
                ldb_slice_compare(key, ldb_slice_str(lower)) < 0)
                key = ldb_slice_str(lower);
            if (upper != NULL &&
                ldb_slice_compare(key, ldb_slice_str(upper)) > 0)
                key = ldb_slice_str(upper);
            (is_before ? ldb_cursor_seek_before : ldb_cursor_seek)(plain, key);
            (is_before ? ldb_cursor_seek_before : ldb_cursor_seek)(bounded,
                                                                   key);
        } else if (next_random(2) == 0) {
            ldb_cursor_next(plain);
            ldb_cursor_next(bounded);
        } else {
            ldb_cursor_prev(plain);
            ldb_cursor_prev(bounded);
        }
        assert_same(f, plain, bounded, lower, upper);
    }
    ldb_cursor_close(plain);
    ldb_cursor_close(bounded);
}

static void a_bounded_cursor_moves_as_one_without_bounds(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_close(f);
    f->options.block_bytes = 64;
    f->options.table_bytes = 2048;
    db_fixture_open(f);
    walk_seed = 7;
    fill_everywhere(f);
    for (unsigned i = 0; i < 300; i++) {
        unsigned low = next_random(WALK_KEYS);
        char lower[16];
        char upper[16];

        (void)walk_key(low, lower);
        (void)walk_key(low + next_random(60), upper);
        walk_both(f, i % 5 == 0 ? NULL : lower, i % 7 == 0 ? NULL : upper);
    }
}

/* ---- what bounds spare ---- */

#define SPARSE_DIGITS 13U

/* Ascending, and so far apart that what the index holds between two blocks is
 * above all that begins with the last key of the first one. */
static void sparse_key(unsigned n, char out[16])
{
    (void)snprintf(out, 16, "%c%c%c00",
                   'a' + 2 * (n / SPARSE_DIGITS / SPARSE_DIGITS),
                   'a' + 2 * (n / SPARSE_DIGITS % SPARSE_DIGITS),
                   'a' + 2 * (n % SPARSE_DIGITS));
}

static void put_sparse(struct db_fixture *f, unsigned from, unsigned to)
{
    char key[16];
    char value[100];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    for (unsigned n = from; n < to; n++) {
        sparse_key(n, key);
        (void)db_fixture_put(f, key, value);
    }
}

static void a_scan_reads_no_block_beyond_its_bounds(void **state)
{
    struct db_fixture *f = *state;
    unsigned reads = ENV_FAULT_BIT(ENV_FAULT_READ_AT);

    db_fixture_close(f);
    f->options.disable_block_cache = true;
    db_fixture_open(f);
    put_sparse(f, 0, 500);
    db_fixture_flush(f);
    /* The table is open once. */
    ldb_cursor_close(open_bounded(f, NULL, NULL, NULL));
    for (unsigned n = 0; n < 500; n++) {
        char key[16];
        struct ldb_cursor *cursor;

        sparse_key(n, key);
        cursor = open_bounded(f, NULL, NULL, key);
        env_fault_forget_counts(f->fault);
        ldb_cursor_seek_first(cursor);
        assert_on(f, cursor, key);
        ldb_cursor_next(cursor);
        assert_on(f, cursor, NULL);
        ldb_cursor_seek_last(cursor);
        assert_on(f, cursor, key);
        ldb_cursor_prev(cursor);
        assert_on(f, cursor, NULL);
        ldb_cursor_close(cursor);
        assert_int_equal(env_fault_count(f->fault, reads), 1);
    }
}

static void a_scan_opens_no_table_outside_of_its_bounds(void **state)
{
    struct db_fixture *f = *state;
    unsigned opens = ENV_FAULT_BIT(ENV_FAULT_OPEN_RANDOM);
    struct ldb_cursor *cursor;
    char lower[16];
    char upper[16];

    db_fixture_close(f);
    f->options.table_bytes = 4096;
    db_fixture_open(f);
    put_sparse(f, 0, 500);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    put_sparse(f, 500, 600);
    db_fixture_flush(f);
    put_sparse(f, 600, 700);
    db_fixture_flush(f);
    db_fixture_reopen(f);
    sparse_key(650, lower);
    sparse_key(655, upper);
    env_fault_forget_counts(f->fault);
    cursor = open_bounded(f, lower, upper, NULL);
    ldb_cursor_seek_first(cursor);
    assert_on(f, cursor, lower);
    ldb_cursor_seek_last(cursor);
    ldb_cursor_close(cursor);
    assert_int_equal(env_fault_count(f->fault, opens), 1);
    sparse_key(250, lower);
    sparse_key(251, upper);
    env_fault_forget_counts(f->fault);
    cursor = open_bounded(f, lower, upper, NULL);
    ldb_cursor_seek_last(cursor);
    assert_on(f, cursor, lower);
    ldb_cursor_prev(cursor);
    assert_on(f, cursor, NULL);
    ldb_cursor_close(cursor);
    assert_in_range(env_fault_count(f->fault, opens), 1, 2);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(seeks_and_steps_reach_live_keys_alone),
        TEST(turning_round_gives_the_same_keys),
        TEST(a_cursor_that_cannot_read_says_so),
        TEST(bounds_and_prefix_together_hold_a_cursor),
        TEST(a_seek_outside_of_the_bounds_ends_at_them),
        TEST(bounds_are_meant_in_the_order_of_the_comparator),
        TEST(a_bounded_cursor_moves_as_one_without_bounds),
        TEST(a_scan_reads_no_block_beyond_its_bounds),
        TEST(a_scan_opens_no_table_outside_of_its_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
