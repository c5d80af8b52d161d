/* ldb_get(): values, sequences, read options, errors. */
#include <errno.h>
#include <string.h>

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

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_get_tells_value_sequence_and_what_it_saw),
        TEST(keys_of_any_length_are_found),
        TEST(a_value_over_the_buffers_limit_is_refused),
        TEST(a_read_that_fails_is_told_and_the_next_one_works),
        TEST(the_cache_is_left_alone_when_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
