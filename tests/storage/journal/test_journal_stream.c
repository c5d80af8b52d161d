/* Operations out of a journal that grows, and of one that is not sound. */
#include "storage/journal/journal_stream.h"

#include "storage/journal/journal_writer.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"

#define PATH "/000007.log"
#define NAME "000007.log"
#define MAX  ((size_t)16 << 20)

struct fixture {
    struct ldb_env *env;
    struct ldb_error err;
    struct ldb_journal_writer *writer;
    ldb_sequence next;
};

static int setup(void **state)
{
    static struct fixture f;
    struct ldb_writable_file *file = NULL;

    f = (struct fixture){.next = 1};
    assert_ldb_ok(ldb_env_memory_create(&f.err, &f.env), &f.err);
    assert_ldb_ok(f.env->ops->open_writable(f.env, PATH, LDB_OPEN_TRUNCATE,
                                            &f.err, &file),
                  &f.err);
    assert_ldb_ok(ldb_journal_writer_create(file, 0, &f.err, &f.writer),
                  &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_ldb_ok(ldb_journal_writer_close(f->writer, &f->err), &f->err);
    ldb_env_memory_destroy(f->env);
    return 0;
}

/* Key and value of a sequence: bytes of it, of a length that it tells. */
static struct ldb_slice fill(uint8_t *room, ldb_sequence sequence, size_t len)
{
    for (size_t i = 0; i < len; i++)
        room[i] = (uint8_t)(sequence + i);
    return ldb_slice_make(room, len);
}

static bool is_delete(ldb_sequence sequence)
{
    return sequence % 5 == 0;
}

/* A batch of count operations with values of len bytes; the journal's length.
 */
static uint64_t add(struct fixture *f, unsigned count, size_t len)
{
    static uint8_t room[1 << 20];
    uint8_t key[32];
    struct ldb_batch batch;
    struct ldb_slice record;

    ldb_batch_init(&batch, MAX);
    ldb_batch_set_sequence(&batch, f->next);
    for (unsigned i = 0; i < count; i++, f->next++) {
        struct ldb_slice k = fill(key, f->next, f->next % sizeof(key));

        if (is_delete(f->next))
            assert_ldb_ok(ldb_batch_delete(&batch, k), NULL);
        else
            assert_ldb_ok(ldb_batch_put(&batch, k, fill(room, f->next, len)),
                          NULL);
    }
    ldb_batch_set_sequence(&batch, f->next - count);
    record = ldb_slice_of_buf(&batch.rep);
    assert_ldb_ok(ldb_journal_writer_add(f->writer, &record, 1, &f->err),
                  &f->err);
    assert_ldb_ok(ldb_journal_writer_flush(f->writer, &f->err), &f->err);
    ldb_batch_release(&batch);
    return ldb_journal_writer_flushed_len(f->writer);
}

static struct ldb_journal_stream *open_at(struct fixture *f, uint64_t offset)
{
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_stream *stream = NULL;

    assert_ldb_ok(f->env->ops->open_sequential(f->env, PATH, &f->err, &file),
                  &f->err);
    assert_ldb_ok(
        ldb_journal_stream_create(file, NAME, offset, &f->err, &stream),
        &f->err);
    return stream;
}

/* The next one is that of the sequence. */
static void expect(struct fixture *f, struct ldb_journal_stream *stream,
                   uint64_t limit, ldb_sequence sequence, size_t len)
{
    static uint8_t room[1 << 20];
    uint8_t key[32];
    struct ldb_journal_op op = {0};

    assert_ldb_ok(ldb_journal_stream_next(stream, limit, &f->err, &op),
                  &f->err);
    assert_int_equal(op.sequence, sequence);
    assert_int_equal(op.kind,
                     is_delete(sequence) ? LDB_KIND_DELETE : LDB_KIND_PUT);
    assert_ldb_slice(fill(key, sequence, sequence % sizeof(key)), op.key);
    if (!is_delete(sequence))
        assert_ldb_slice(fill(room, sequence, len), op.value);
}

static void expect_end(struct fixture *f, struct ldb_journal_stream *stream,
                       uint64_t limit)
{
    struct ldb_journal_op op;

    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_journal_stream_next(stream, limit, &f->err, &op),
                      &f->err);
    assert_int_equal(ldb_journal_stream_offset(stream), limit);
}

static void it_gives_operations_up_to_the_limit_and_on(void **state)
{
    struct fixture *f = *state;
    struct ldb_journal_stream *stream = open_at(f, 0);
    ldb_sequence at = 1;

    expect_end(f, stream, 0);
    /* All ways of a record to lie across blocks, a limit after each. */
    for (unsigned round = 0; round < 4000; round++) {
        size_t len = round % 100 == 0 ? 70000 : (round * 7) % 61;
        uint64_t limit = add(f, 1 + round % 4, len);

        for (; at < f->next; at++)
            expect(f, stream, limit, at, len);
        expect_end(f, stream, limit);
        expect_end(f, stream, limit);
    }
    ldb_journal_stream_destroy(stream);
}

static void it_reads_nothing_beyond_the_limit(void **state)
{
    struct fixture *f = *state;
    uint64_t first = add(f, 2, 10);
    uint64_t second = add(f, 2, 10);
    struct ldb_journal_stream *stream = open_at(f, 0);

    expect(f, stream, first, 1, 10);
    expect(f, stream, first, 2, 10);
    expect_end(f, stream, first);
    expect(f, stream, second, 3, 10);
    ldb_journal_stream_destroy(stream);
}

static void it_begins_at_any_record(void **state)
{
    struct fixture *f = *state;
    static uint64_t ends[600];
    uint64_t limit = 0;

    for (unsigned i = 0; i < 600; i++)
        limit = ends[i] = add(f, 1, 200);
    for (unsigned i = 0; i < 600; i++) {
        struct ldb_journal_stream *stream = open_at(f, ends[i]);

        for (ldb_sequence at = i + 2; at < f->next && at < i + 8; at++)
            expect(f, stream, limit, at, 200);
        ldb_journal_stream_destroy(stream);
    }
}

static void a_batch_of_any_size_takes_its_largest_operation(void **state)
{
    struct fixture *f = *state;
    uint64_t limit = add(f, 1000, 10000);
    struct ldb_journal_stream *stream = open_at(f, 0);

    for (ldb_sequence at = 1; at < f->next; at++)
        expect(f, stream, limit, at, 10000);
    expect_end(f, stream, limit);
    limit = add(f, 2, 1 << 20);
    expect(f, stream, limit, 1001, 1 << 20);
    expect(f, stream, limit, 1002, 1 << 20);
    expect_end(f, stream, limit);
    ldb_journal_stream_destroy(stream);
}

static void write_bytes(struct fixture *f, struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;

    assert_ldb_ok(f->env->ops->open_writable(f->env, PATH, LDB_OPEN_TRUNCATE,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, bytes, &f->err), &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
}

/* Reads until it fails; the operations before. */
static ldb_sequence read_until(struct fixture *f, uint64_t limit,
                               enum ldb_status expected)
{
    struct ldb_journal_stream *stream = open_at(f, 0);
    struct ldb_journal_op op = {0};
    ldb_sequence last = 0;
    enum ldb_status s;

    while ((s = ldb_journal_stream_next(stream, limit, &f->err, &op)) == LDB_OK)
        last = op.sequence;
    assert_ldb_status(expected, s, &f->err);
    /* For good. */
    if (s != LDB_NOT_FOUND)
        assert_int_equal(ldb_journal_stream_next(stream, limit, &f->err, &op),
                         s);
    ldb_journal_stream_destroy(stream);
    return last;
}

static void every_changed_byte_is_found(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(MAX);
    uint64_t first = add(f, 3, 20);
    uint64_t limit = add(f, 4, 20);

    assert_ldb_ok(ldb_env_read_file(f->env, PATH, &f->err, &bytes), &f->err);
    for (size_t i = 0; i < limit; i++) {
        bytes.data[i] ^= 1;
        write_bytes(f, ldb_slice_of_buf(&bytes));
        assert_int_equal(read_until(f, limit, LDB_CORRUPTION),
                         i < first ? 0 : 3);
        assert_ldb_message(NAME, &f->err);
        assert_ldb_message("at offset", &f->err);
        bytes.data[i] ^= 1;
    }
    for (size_t len = 0; len < limit; len++) {
        write_bytes(f, ldb_slice_make(bytes.data, len));
        (void)read_until(f, limit, LDB_CORRUPTION);
    }
    /* A limit where no record ends. */
    write_bytes(f, ldb_slice_of_buf(&bytes));
    for (uint64_t at = 1; at < limit; at++) {
        if (at != first)
            (void)read_until(f, at, LDB_CORRUPTION);
    }
    assert_int_equal(read_until(f, limit, LDB_NOT_FOUND), 7);
    ldb_buf_release(&bytes);
}

/* A record that is sound as one, and no batch. */
static void a_batch_that_is_none_is_found(void **state)
{
    static const struct row {
        const char *name;
        size_t len;
        uint8_t bytes[20];
        const char *message;
    } rows[] = {
        {"short header", 11, {1}, "bad header"},
        {"sequence too high",
         15,
         {1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 9},
         "bad header"},
        {"unknown kind",
         15,
         {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 9},
         "unknown kind"},
        {"too few",
         15,
         {1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 9},
         "less than"},
        {"too many",
         18,
         {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 9, 0, 1, 9},
         "more than"},
        {"key too long",
         15,
         {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 9},
         "less than"},
        {"value too long",
         16,
         {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 9, 1},
         "less than"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture *f;
        struct ldb_slice record = ldb_slice_make(rows[i].bytes, rows[i].len);

        (void)teardown(state);
        (void)setup(state);
        f = *state;
        print_message("%s\n", rows[i].name);
        assert_ldb_ok(ldb_journal_writer_add(f->writer, &record, 1, &f->err),
                      &f->err);
        assert_ldb_ok(ldb_journal_writer_flush(f->writer, &f->err), &f->err);
        (void)read_until(f, ldb_journal_writer_flushed_len(f->writer),
                         LDB_CORRUPTION);
        assert_ldb_message(rows[i].message, &f->err);
    }
}

static void an_empty_batch_is_passed_over(void **state)
{
    struct fixture *f = *state;
    static const uint8_t empty[12] = {1};
    const struct ldb_slice record = ldb_slice_make(empty, sizeof(empty));
    struct ldb_journal_stream *stream = open_at(f, 0);
    uint64_t limit;

    assert_ldb_ok(ldb_journal_writer_add(f->writer, &record, 1, &f->err),
                  &f->err);
    assert_ldb_ok(ldb_journal_writer_flush(f->writer, &f->err), &f->err);
    expect_end(f, stream, ldb_journal_writer_flushed_len(f->writer));
    limit = add(f, 1, 5);
    expect(f, stream, limit, 1, 5);
    expect_end(f, stream, limit);
    ldb_journal_stream_destroy(stream);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_gives_operations_up_to_the_limit_and_on),
        TEST(it_reads_nothing_beyond_the_limit),
        TEST(it_begins_at_any_record),
        TEST(a_batch_of_any_size_takes_its_largest_operation),
        TEST(every_changed_byte_is_found),
        TEST(a_batch_that_is_none_is_found),
        TEST(an_empty_batch_is_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
