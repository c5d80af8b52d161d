/* Halving a journal finds where each of its sequences stands. */
#include "storage/journal/journal_search.h"

#include "storage/journal/journal_writer.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"

#define PATH "/000007.log"
#define NAME "000007.log"
#define MAX  2000

static struct ldb_env *env;
static struct ldb_error err;
static ldb_sequence firsts[MAX];
static uint64_t begins[MAX];
static uint64_t journal_len;

static int setup(void **state)
{
    (void)state;
    err = (struct ldb_error){0};
    return ldb_env_memory_create(NULL, &env) == LDB_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

/* count records; len tells the value's length of each. */
static void make_journal(unsigned count, size_t (*len)(unsigned record))
{
    static uint8_t value[200000];
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;
    ldb_sequence next = 10;

    assert_ldb_ok(
        env->ops->open_writable(env, PATH, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_journal_writer_create(file, 0, &err, &writer), &err);
    for (unsigned i = 0; i < count; i++) {
        struct ldb_batch batch;
        struct ldb_slice record;
        unsigned ops = 1 + i % 3;

        ldb_batch_init(&batch, 1 << 20);
        for (unsigned n = 0; n < ops; n++)
            assert_ldb_ok(ldb_batch_put(&batch, ldb_slice_str("key"),
                                        ldb_slice_make(value, len(i))),
                          NULL);
        ldb_batch_set_sequence(&batch, next);
        firsts[i] = next;
        begins[i] = ldb_journal_writer_flushed_len(writer);
        record = ldb_slice_of_buf(&batch.rep);
        assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &err), &err);
        assert_ldb_ok(ldb_journal_writer_flush(writer, &err), &err);
        ldb_batch_release(&batch);
        next += ops + (i % 7 == 0 ? 5 : 0); /* some numbers are skipped */
    }
    firsts[count] = next;
    journal_len = ldb_journal_writer_flushed_len(writer);
    begins[count] = journal_len;
    assert_ldb_ok(ldb_journal_writer_close(writer, &err), &err);
}

static uint64_t search(uint64_t len, ldb_sequence sequence)
{
    struct ldb_random_file *file = NULL;
    uint64_t offset = UINT64_MAX;

    assert_ldb_ok(env->ops->open_random(env, PATH, &err, &file), &err);
    assert_ldb_ok(ldb_journal_search(file, NAME, len, sequence, &err, &offset),
                  &err);
    ldb_random_close(file);
    return offset;
}

/*
 * The offset is a record's, the last one not after the sequence or one before
 * it; at most the records of a block lie between.
 */
static void check_each(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (ldb_sequence at = firsts[i]; at < firsts[i + 1]; at++) {
            uint64_t offset = search(journal_len, at);
            unsigned record = 0;

            assert_true(offset <= begins[i]);
            assert_true(begins[i] - offset <= 3 * 32768 ||
                        offset / 32768 + 8 > begins[i] / 32768);
            /* Padding may stand between it and the end of the one before. */
            while (record < count && begins[record] + 6 < offset)
                record++;
            assert_true(record <= i);
            assert_true(offset - begins[record] <= 6);
        }
    }
    assert_int_equal(search(journal_len, 1), 0);
    assert_true(search(journal_len, LDB_SEQUENCE_MAX) <= begins[count - 1] + 6);
    assert_int_equal(search(0, 11), 0);
}

static size_t small(unsigned record)
{
    return 40 + record % 300;
}

static size_t large(unsigned record)
{
    return record % 10 == 0 ? 150000 : record % 50;
}

/* So that headers lie at and around each block's end. */
static size_t around_block_ends(unsigned record)
{
    (void)record;
    return 32768 / 4 - 30;
}

static void small_records(void **state)
{
    (void)state;
    make_journal(1500, small);
    check_each(1500);
}

static void records_over_many_blocks(void **state)
{
    (void)state;
    make_journal(60, large);
    for (unsigned i = 0; i < 60; i++)
        assert_true(search(journal_len, firsts[i]) <= begins[i] + 6);
    assert_true(search(journal_len, firsts[59]) >= begins[41]);
}

static void records_at_block_ends(void **state)
{
    (void)state;
    make_journal(200, around_block_ends);
    check_each(200);
}

static void it_looks_at_nothing_beyond_the_length(void **state)
{
    (void)state;
    make_journal(1500, small);
    for (unsigned i = 1; i < 1500; i += 50)
        assert_true(search(begins[i], LDB_SEQUENCE_MAX) < begins[i]);
}

static void lengths_that_cannot_be_are_damage(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 24);
    struct ldb_writable_file *file = NULL;
    struct ldb_random_file *random = NULL;
    uint64_t offset;

    (void)state;
    make_journal(300, small);
    assert_ldb_ok(ldb_env_read_file(env, PATH, &err, &bytes), &err);
    memset(bytes.data, 0xff, 7);
    assert_ldb_ok(
        env->ops->open_writable(env, PATH, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_of_buf(&bytes), &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    assert_ldb_ok(env->ops->open_random(env, PATH, &err, &random), &err);
    assert_ldb_status(
        LDB_CORRUPTION,
        ldb_journal_search(random, NAME, journal_len, 10, &err, &offset), &err);
    assert_ldb_message(NAME, &err);
    ldb_random_close(random);
    ldb_buf_release(&bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(small_records),
        TEST(records_over_many_blocks),
        TEST(records_at_block_ends),
        TEST(it_looks_at_nothing_beyond_the_length),
        TEST(lengths_that_cannot_be_are_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
