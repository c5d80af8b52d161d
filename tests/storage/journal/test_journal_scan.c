/* What a journal file holds, as it was left, torn and damaged. */
#include "storage/journal/journal_scan.h"

#include "storage/journal/journal_writer.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"

#define PATH "/000007.log"
#define NAME "000007.log"

static struct ldb_env *env;
static struct ldb_error err;

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

static void write_bytes(struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;

    assert_ldb_ok(
        env->ops->open_writable(env, PATH, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_file_append(file, bytes, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
}

static void add_batch(struct ldb_journal_writer *writer, ldb_sequence first,
                      unsigned count)
{
    struct ldb_batch batch;
    struct ldb_slice record;

    ldb_batch_init(&batch, 4096);
    for (unsigned i = 0; i < count; i++)
        assert_ldb_ok(
            ldb_batch_put(&batch, ldb_slice_str("key"), ldb_slice_str("v")),
            &err);
    if (count == 0) { /* as LevelDB writes one: a header alone */
        static const uint8_t header[12] = {9};

        record = ldb_slice_make(header, sizeof(header));
    } else {
        ldb_batch_set_sequence(&batch, first);
        record = ldb_slice_of_buf(&batch.rep);
    }
    assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &err), &err);
    ldb_batch_release(&batch);
}

/* An empty batch; sequences 5 to 7; 10; 20 to 23. */
static void make_journal(struct ldb_buf *out)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;

    assert_ldb_ok(
        env->ops->open_writable(env, PATH, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_journal_writer_create(file, 0, &err, &writer), &err);
    add_batch(writer, 0, 0);
    add_batch(writer, 5, 3);
    add_batch(writer, 10, 1);
    add_batch(writer, 20, 4);
    assert_ldb_ok(ldb_journal_writer_flush(writer, &err), &err);
    assert_ldb_ok(ldb_journal_writer_close(writer, &err), &err);
    assert_ldb_ok(ldb_env_read_file(env, PATH, &err, out), &err);
}

static struct ldb_journal_content scan(void)
{
    struct ldb_journal_content content = {0};

    assert_ldb_ok(ldb_journal_scan(env, PATH, NAME, &err, &content), &err);
    return content;
}

static void a_whole_journal_tells_its_sequences(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(4096);
    struct ldb_journal_content content;
    ldb_sequence first = 0;

    (void)state;
    make_journal(&bytes);
    content = scan();
    assert_int_equal(content.first, 5);
    assert_int_equal(content.last, 23);
    assert_int_equal(content.end, bytes.len);
    assert_false(content.is_damaged);
    assert_ldb_ok(ldb_journal_first(env, PATH, NAME, &err, &first), &err);
    assert_int_equal(first, 5);
    ldb_buf_release(&bytes);
}

static void a_torn_tail_is_no_damage(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(4096);
    struct ldb_journal_content content;
    uint64_t end;

    (void)state;
    make_journal(&bytes);
    for (size_t cut = 1; cut < 40; cut++) {
        write_bytes(ldb_slice_make(bytes.data, bytes.len - cut));
        content = scan();
        assert_false(content.is_damaged);
        assert_int_equal(content.first, 5);
        assert_int_equal(content.last, 10);
    }
    end = content.end;
    /* Garbage after the last record is one too. */
    write_bytes(ldb_slice_make(bytes.data, end));
    assert_int_equal(scan().end, end);
    ldb_buf_release(&bytes);
}

static void damage_before_a_record_is_told(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(4096);
    ldb_sequence first = 0;

    (void)state;
    make_journal(&bytes);
    bytes.data[7 + 12 + 7 + 13] ^= 1; /* in the batch of 5 */
    write_bytes(ldb_slice_of_buf(&bytes));
    assert_true(scan().is_damaged);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_journal_first(env, PATH, NAME, &err, &first), &err);
    assert_ldb_message(NAME, &err);
    ldb_buf_release(&bytes);
}

static void a_batch_that_cannot_be_read_is_damage(void **state)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;
    struct ldb_slice record = ldb_slice_str("no batch at all");

    (void)state;
    assert_ldb_ok(
        env->ops->open_writable(env, PATH, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_journal_writer_create(file, 0, &err, &writer), &err);
    add_batch(writer, 5, 3);
    assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &err), &err);
    assert_ldb_ok(ldb_journal_writer_flush(writer, &err), &err);
    assert_ldb_ok(ldb_journal_writer_close(writer, &err), &err);
    assert_true(scan().is_damaged);
}

static void an_empty_journal_has_no_sequence(void **state)
{
    struct ldb_journal_content content;
    ldb_sequence first = 0;

    (void)state;
    write_bytes((struct ldb_slice){0});
    content = scan();
    assert_int_equal(content.first, 0);
    assert_int_equal(content.last, 0);
    assert_int_equal(content.end, 0);
    assert_false(content.is_damaged);
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_journal_first(env, PATH, NAME, &err, &first), &err);
}

static void a_journal_that_is_not_there_is_not_found(void **state)
{
    struct ldb_journal_content content;

    (void)state;
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_journal_scan(env, PATH, NAME, &err, &content), &err);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_whole_journal_tells_its_sequences),
        TEST(a_torn_tail_is_no_damage),
        TEST(damage_before_a_record_is_told),
        TEST(a_batch_that_cannot_be_read_is_damage),
        TEST(an_empty_journal_has_no_sequence),
        TEST(a_journal_that_is_not_there_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
