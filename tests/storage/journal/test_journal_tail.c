/* A tail that a crash leaves, and one that hides whole records. */
#include "storage/journal/journal_tail.h"

#include "storage/journal/journal_writer.h"
#include "tests/support/assert_ldb.h"

#define PATH "/journal"

static struct ldb_env *env;

static int setup(void **state)
{
    (void)state;
    return ldb_env_memory_create(NULL, &env) == LDB_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

static void write_bytes(struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(
        env->ops->open_writable(env, PATH, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_file_append(file, bytes, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
}

/* Three records of 8 bytes: chunks of 15. */
static void make_journal(struct ldb_buf *out)
{
    const struct ldb_slice record = ldb_slice_str("a record");
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(
        env->ops->open_writable(env, PATH, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_journal_writer_create(file, 0, &err, &writer), &err);
    for (int i = 0; i < 3; i++)
        assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &err), &err);
    assert_ldb_ok(ldb_journal_writer_flush(writer, &err), &err);
    assert_ldb_ok(ldb_journal_writer_close(writer, &err), &err);
    assert_ldb_ok(ldb_env_read_file(env, PATH, &err, out), &err);
    assert_int_equal(out->len, 45);
}

static bool is_damage(uint64_t offset, uint64_t bytes)
{
    struct ldb_error err = {0};
    bool is = false;

    assert_ldb_ok(
        ldb_journal_tail_is_damage(env, PATH, offset, bytes, &err, &is), &err);
    return is;
}

static void a_record_cut_short_is_what_a_crash_leaves(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(100);

    (void)state;
    make_journal(&bytes);
    write_bytes(ldb_slice_make(bytes.data, 44));
    assert_false(is_damage(30, 14));
    write_bytes(ldb_slice_make(bytes.data, 31));
    assert_false(is_damage(30, 1));
    ldb_buf_release(&bytes);
}

static void whole_records_behind_a_wrong_length_are_damage(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(100);

    (void)state;
    make_journal(&bytes);
    bytes.data[5] = 0x10; /* the first claims 4096 bytes more */
    write_bytes(ldb_slice_of_buf(&bytes));
    assert_true(is_damage(0, 45));
    ldb_buf_release(&bytes);
}

static void the_length_tells_that_a_journal_was_mapped(void **state)
{
    static const struct {
        size_t len;
        bool may;
    } rows[] = {
        {0, false},
        {1, false},
        {LDB_WINDOW_UNIT - 1, false},
        {LDB_WINDOW_UNIT, true},
        {LDB_WINDOW_UNIT + 1, false},
        {3 * LDB_WINDOW_UNIT, true},
    };
    static uint8_t zeros[3 * LDB_WINDOW_UNIT];
    struct ldb_error err = {0};
    bool may = false;

    (void)state;
    assert_int_equal(ldb_journal_tail_may_have_gap(env, PATH, &err, &may),
                     LDB_NOT_FOUND);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_bytes(ldb_slice_make(zeros, rows[i].len));
        assert_ldb_ok(ldb_journal_tail_may_have_gap(env, PATH, &err, &may),
                      &err);
        assert_int_equal(may, rows[i].may);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_record_cut_short_is_what_a_crash_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(
            whole_records_behind_a_wrong_length_are_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_length_tells_that_a_journal_was_mapped, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
