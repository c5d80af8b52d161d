/* Moves of a cursor: table-driven, over entries in every place. */
#include <errno.h>

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

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(seeks_and_steps_reach_live_keys_alone),
        TEST(turning_round_gives_the_same_keys),
        TEST(a_cursor_that_cannot_read_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
