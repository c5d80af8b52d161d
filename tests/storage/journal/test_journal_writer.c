#include "storage/journal/journal_writer.h"

#include <pthread.h>

#include "storage/base/checksum.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/memory_file.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define BLOCK  ((size_t)LDB_JOURNAL_BLOCK_SIZE)
#define HEADER ((size_t)LDB_JOURNAL_HEADER_SIZE)

/* Bytes of a buffer that goes to the file by itself; the contract's figure. */
#define MIB ((size_t)1 << 20)

struct fixture {
    struct memory_file file;
    struct ldb_journal_writer *writer;
    struct ldb_error err;
    uint8_t *bytes; /* 4 MiB of them, to write from */
};

static void open_at(struct fixture *f, uint64_t start)
{
    assert_ldb_ok(
        ldb_journal_writer_create(&f->file.base, start, &f->err, &f->writer),
        &f->err);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    uint64_t seed = 1;

    assert_non_null(f);
    memory_file_init(&f->file);
    f->bytes = malloc(4 * MIB);
    assert_non_null(f->bytes);
    bytes_fill(&seed, f->bytes, 4 * MIB);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->writer != NULL) {
        assert_ldb_ok(ldb_journal_writer_close(f->writer, &f->err), &f->err);
        assert_true(f->file.is_closed);
    }
    memory_file_release(&f->file);
    free(f->bytes);
    free(f);
    return 0;
}

static enum ldb_status add_len(struct fixture *f, size_t len)
{
    struct ldb_slice record = ldb_slice_make(f->bytes, len);

    return ldb_journal_writer_add(f->writer, &record, 1, &f->err);
}

static void add(struct fixture *f, size_t len)
{
    assert_ldb_ok(add_len(f, len), &f->err);
}

static void flush(struct fixture *f)
{
    assert_ldb_ok(ldb_journal_writer_flush(f->writer, &f->err), &f->err);
}

static void sync_all(struct fixture *f)
{
    assert_ldb_ok(ldb_journal_writer_sync(f->writer, &f->err), &f->err);
}

/* The chunk at offset is of the type and length, its checksum right. */
static void assert_chunk(struct fixture *f, size_t offset,
                         enum ldb_chunk_type type, size_t len)
{
    const uint8_t *p = f->file.bytes.data + offset;

    assert_true(offset + HEADER + len <= f->file.bytes.len);
    assert_int_equal(p[6], type);
    assert_int_equal((size_t)p[4] | (size_t)p[5] << 8, len);
    assert_int_equal(ldb_crc_unmask(ldb_load_fixed32(p)),
                     ldb_crc32c(ldb_slice_make(p + 6, len + 1)));
}

static void assert_zeros(struct fixture *f, size_t offset, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(f->file.bytes.data[offset + i], 0);
}

/* ---- framing ---- */

/* docs/formats.md: what goleveldb writes for three puts. */
static void records_have_goleveldbs_bytes(void **state)
{
    struct fixture *f = *state;
    static const char *const batches[][2] = {
        {"0100000000000000 01000000 01 07 6b657930303031",
         "0c 353631653261656335363165"},
        {"0200000000000000 01000000 01 07 6b657930303032",
         "0d 34336233646135323433623364"},
        {"0300000000000000 01000000 01 07 6b657930303031",
         "0d 33356331626464663335633162"},
    };

    open_at(f, 0);
    for (size_t i = 0; i < COUNT_OF(batches); i++) {
        struct ldb_buf head = LDB_BUF_INIT(100);
        struct ldb_buf tail = LDB_BUF_INIT(100);
        struct ldb_slice parts[3] = {{0}};

        bytes_from_hex(batches[i][0], &head);
        bytes_from_hex(batches[i][1], &tail);
        parts[0] = ldb_slice_of_buf(&head);
        parts[2] = ldb_slice_of_buf(&tail);
        assert_ldb_ok(ldb_journal_writer_add(f->writer, parts, 3, &f->err),
                      &f->err);
        ldb_buf_release(&head);
        ldb_buf_release(&tail);
    }
    flush(f);
    assert_ldb_hex("3d2806e7 2200 01 0100000000000000 01000000 01"
                   "07 6b657930303031 0c 353631653261656335363165"
                   "dc5434b4 2300 01 0200000000000000 01000000 01"
                   "07 6b657930303032 0d 34336233646135323433623364"
                   "e7c375be 2300 01 0300000000000000 01000000 01"
                   "07 6b657930303031 0d 33356331626464663335633162",
                   ldb_slice_of_buf(&f->file.bytes));
}

static void an_empty_record_is_a_header(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    assert_ldb_ok(ldb_journal_writer_add(f->writer, NULL, 0, &f->err), &f->err);
    add(f, 0);
    flush(f);
    assert_int_equal(f->file.bytes.len, 2 * HEADER);
    assert_chunk(f, 0, LDB_CHUNK_FULL, 0);
    assert_chunk(f, HEADER, LDB_CHUNK_FULL, 0);
}

static void a_record_may_end_with_its_block(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, BLOCK - HEADER);
    add(f, 3);
    flush(f);
    assert_int_equal(f->file.bytes.len, BLOCK + HEADER + 3);
    assert_chunk(f, 0, LDB_CHUNK_FULL, BLOCK - HEADER);
    assert_chunk(f, BLOCK, LDB_CHUNK_FULL, 3);
}

static void seven_bytes_left_take_an_empty_first(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, BLOCK - 2 * HEADER);
    add(f, 3);
    flush(f);
    assert_chunk(f, BLOCK - HEADER, LDB_CHUNK_FIRST, 0);
    assert_chunk(f, BLOCK, LDB_CHUNK_LAST, 3);
    assert_int_equal(f->file.bytes.len, BLOCK + HEADER + 3);
}

static void seven_bytes_left_hold_an_empty_record(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, BLOCK - 2 * HEADER);
    add(f, 0);
    flush(f);
    assert_int_equal(f->file.bytes.len, BLOCK);
    assert_chunk(f, BLOCK - HEADER, LDB_CHUNK_FULL, 0);
}

static void fewer_than_seven_bytes_left_are_zeros(void **state)
{
    for (size_t left = 1; left < HEADER; left++) {
        struct fixture *f;

        if (left > 1)
            assert_int_equal(setup(state), 0);
        f = *state;
        open_at(f, 0);
        add(f, BLOCK - HEADER - left);
        flush(f);
        /* The padding comes with the next record alone. */
        assert_int_equal(f->file.bytes.len, BLOCK - left);
        add(f, 3);
        flush(f);
        assert_zeros(f, BLOCK - left, left);
        assert_chunk(f, BLOCK, LDB_CHUNK_FULL, 3);
        assert_int_equal(f->file.bytes.len, BLOCK + HEADER + 3);
        if (left + 1 < HEADER)
            assert_int_equal(teardown(state), 0);
    }
}

static void a_long_record_is_first_middles_last(void **state)
{
    struct fixture *f = *state;
    const size_t payload = BLOCK - HEADER;

    open_at(f, 0);
    add(f, 100);
    add(f, 3 * payload);
    flush(f);
    assert_chunk(f, 0, LDB_CHUNK_FULL, 100);
    assert_chunk(f, 100 + HEADER, LDB_CHUNK_FIRST, payload - 100 - HEADER);
    assert_chunk(f, BLOCK, LDB_CHUNK_MIDDLE, payload);
    assert_chunk(f, 2 * BLOCK, LDB_CHUNK_MIDDLE, payload);
    assert_chunk(f, 3 * BLOCK, LDB_CHUNK_LAST, 100 + HEADER);
    assert_memory_equal(f->file.bytes.data + 3 * BLOCK + HEADER,
                        f->bytes + 3 * payload - 100 - HEADER, 100 + HEADER);
}

static void parts_are_joined_over_block_ends(void **state)
{
    struct fixture *f = *state;
    struct memory_file whole;
    struct ldb_slice parts[] = {
        {.data = f->bytes, .len = 5},
        {.data = f->bytes + 5, .len = BLOCK},
        {.data = NULL, .len = 0},
        {.data = f->bytes + 5 + BLOCK, .len = 2 * BLOCK},
        {.data = f->bytes + 5 + 3 * BLOCK, .len = 1},
    };

    open_at(f, 0);
    add(f, 6 + 3 * BLOCK);
    flush(f);
    assert_ldb_ok(ldb_journal_writer_close(f->writer, &f->err), &f->err);
    whole = f->file;
    memory_file_init(&f->file);
    open_at(f, 0);
    assert_ldb_ok(
        ldb_journal_writer_add(f->writer, parts, COUNT_OF(parts), &f->err),
        &f->err);
    flush(f);
    assert_int_equal(whole.bytes.len, f->file.bytes.len);
    assert_memory_equal(whole.bytes.data, f->file.bytes.data, whole.bytes.len);
    memory_file_release(&whole);
}

static void a_writer_goes_on_within_the_block_it_starts_in(void **state)
{
    struct fixture *f = *state;

    open_at(f, 5 * BLOCK + BLOCK - 20);
    assert_int_equal(ldb_journal_writer_flushed_len(f->writer), 6 * BLOCK - 20);
    assert_int_equal(ldb_journal_writer_synced_len(f->writer), 0);
    add(f, 20);
    flush(f);
    assert_chunk(f, 0, LDB_CHUNK_FIRST, 13);
    assert_chunk(f, 20, LDB_CHUNK_LAST, 7);
    assert_int_equal(ldb_journal_writer_flushed_len(f->writer),
                     6 * BLOCK + HEADER + 7);
}

/* ---- buffering ---- */

static void a_flush_is_one_append(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    for (size_t i = 0; i < 100; i++)
        add(f, 1000);
    assert_int_equal(f->file.append_count, 0);
    assert_int_equal(ldb_journal_writer_flushed_len(f->writer), 0);
    flush(f);
    assert_int_equal(f->file.append_count, 1);
    assert_int_equal(ldb_journal_writer_flushed_len(f->writer),
                     f->file.bytes.len);
    flush(f);
    assert_int_equal(f->file.append_count, 1);
    assert_int_equal(f->file.sync_count, 0);
}

static void a_buffer_over_a_mebibyte_goes_to_the_file(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, MIB + 100);
    assert_int_equal(f->file.append_count, 1);
    assert_true(f->file.bytes.len >= MIB);
    /* It is no flush: a cut would take it back. */
    assert_int_equal(ldb_journal_writer_flushed_len(f->writer), 0);
    add(f, 3 * MIB);
    assert_int_equal(f->file.append_count, 4);
    flush(f);
    assert_int_equal(f->file.append_count, 5);
    assert_int_equal(ldb_journal_writer_flushed_len(f->writer),
                     f->file.bytes.len);
}

static void a_sync_covers_what_was_flushed(void **state)
{
    struct fixture *f = *state;
    uint64_t len;

    open_at(f, 0);
    add(f, 10);
    flush(f);
    len = ldb_journal_writer_flushed_len(f->writer);
    add(f, 10);
    assert_int_equal(ldb_journal_writer_synced_len(f->writer), 0);
    sync_all(f);
    assert_int_equal(f->file.sync_count, 1);
    assert_int_equal(ldb_journal_writer_synced_len(f->writer), len);
    flush(f);
    assert_int_equal(ldb_journal_writer_synced_len(f->writer), len);
}

/* ---- failures ---- */

static void a_failed_append_kills_the_writer(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, 10);
    flush(f);
    add(f, 10);
    f->file.fail_append = true;
    assert_ldb_status(LDB_NO_SPACE,
                      ldb_journal_writer_flush(f->writer, &f->err), &f->err);
    assert_ldb_message("append fails on purpose", &f->err);
    f->err = (struct ldb_error){0};
    assert_ldb_status(LDB_NO_SPACE, add_len(f, 1), &f->err);
    assert_ldb_message("append fails on purpose", &f->err);
    assert_ldb_status(LDB_NO_SPACE, ldb_journal_writer_flush(f->writer, NULL),
                      NULL);
    assert_int_equal(f->file.append_count, 2);
    /* What was flushed before can still be made durable. */
    sync_all(f);
    assert_int_equal(ldb_journal_writer_synced_len(f->writer), HEADER + 10);
}

static void a_cut_takes_back_the_failed_flush(void **state)
{
    struct fixture *f = *state;
    uint64_t len;

    open_at(f, 0);
    add(f, BLOCK - 100);
    flush(f);
    len = f->file.bytes.len;
    add(f, 500);
    f->file.fail_append = true;
    f->file.fail_append_after = 200;
    assert_ldb_status(LDB_NO_SPACE, ldb_journal_writer_flush(f->writer, NULL),
                      NULL);
    assert_int_equal(f->file.bytes.len, len + 200);
    assert_ldb_ok(ldb_journal_writer_cut(f->writer, &f->err), &f->err);
    assert_int_equal(f->file.bytes.len, len);
    assert_int_equal(f->file.synced_len, len);
    assert_int_equal(ldb_journal_writer_synced_len(f->writer), len);
    add(f, 500);
    flush(f);
    assert_chunk(f, len, LDB_CHUNK_FIRST, 100 - 2 * HEADER);
    assert_chunk(f, BLOCK, LDB_CHUNK_LAST, 500 - 100 + 2 * HEADER);
}

static void a_cut_takes_back_what_went_before_the_flush(void **state)
{
    struct fixture *f = *state;
    uint64_t len;

    open_at(f, 0);
    add(f, 10);
    flush(f);
    len = f->file.bytes.len;
    add(f, 20);
    add(f, 2 * MIB);
    assert_true(f->file.bytes.len > len);
    f->file.fail_append = true;
    assert_ldb_status(LDB_NO_SPACE, ldb_journal_writer_flush(f->writer, NULL),
                      NULL);
    assert_ldb_ok(ldb_journal_writer_cut(f->writer, &f->err), &f->err);
    assert_int_equal(f->file.bytes.len, len);
    add(f, 30);
    flush(f);
    assert_int_equal(ldb_journal_writer_flushed_len(f->writer),
                     f->file.bytes.len);
    assert_chunk(f, len, LDB_CHUNK_FULL, 30);
}

static void an_append_that_fails_within_a_record_kills_the_writer(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    f->file.fail_append = true;
    assert_ldb_status(LDB_NO_SPACE, add_len(f, 2 * MIB), &f->err);
    assert_ldb_status(LDB_NO_SPACE, ldb_journal_writer_flush(f->writer, NULL),
                      NULL);
    assert_int_equal(f->file.append_count, 1);
    assert_ldb_ok(ldb_journal_writer_cut(f->writer, &f->err), &f->err);
    add(f, 1);
    flush(f);
    assert_chunk(f, 0, LDB_CHUNK_FULL, 1);
}

static void a_cut_that_fails_leaves_the_writer_dead(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, 10);
    f->file.fail_append = true;
    assert_ldb_status(LDB_NO_SPACE, ldb_journal_writer_flush(f->writer, NULL),
                      NULL);
    f->file.fail_truncate = true;
    assert_ldb_status(LDB_IO, ldb_journal_writer_cut(f->writer, &f->err),
                      &f->err);
    assert_ldb_message("truncate fails", &f->err);
    assert_ldb_status(LDB_IO, add_len(f, 1), &f->err);
    f->file.fail_truncate = false;
    f->file.fail_sync = true;
    assert_ldb_status(LDB_IO, ldb_journal_writer_cut(f->writer, &f->err),
                      &f->err);
    assert_ldb_message("sync fails", &f->err);
    assert_ldb_status(LDB_IO, add_len(f, 1), &f->err);
}

static void a_failed_sync_is_for_good(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, 10);
    flush(f);
    f->file.fail_sync = true;
    assert_ldb_status(LDB_IO, ldb_journal_writer_sync(f->writer, &f->err),
                      &f->err);
    assert_ldb_message("sync fails on purpose", &f->err);
    f->file.fail_sync = false;
    assert_ldb_status(LDB_IO, ldb_journal_writer_sync(f->writer, NULL), NULL);
    assert_ldb_status(LDB_IO, add_len(f, 1), &f->err);
    assert_ldb_status(LDB_IO, ldb_journal_writer_flush(f->writer, NULL), NULL);
    assert_ldb_status(LDB_IO, ldb_journal_writer_cut(f->writer, NULL), NULL);
    assert_int_equal(f->file.sync_count, 1);
    assert_int_equal(ldb_journal_writer_synced_len(f->writer), 0);
}

static void no_memory_kills_the_writer_until_cut(void **state)
{
    struct fixture *f = *state;
    enum ldb_status s;

    open_at(f, 0);
    add(f, 10);
    flush(f);
    mem_fault_start(1, MEM_FAULT_ONCE);
    s = add_len(f, 2 * BLOCK);
    assert_true(mem_fault_stop());
    assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    assert_ldb_status(LDB_NO_MEMORY, add_len(f, 1), &f->err);
    assert_ldb_ok(ldb_journal_writer_cut(f->writer, &f->err), &f->err);
    add(f, 3);
    flush(f);
    assert_int_equal(f->file.bytes.len, 2 * HEADER + 13);
    assert_chunk(f, HEADER + 10, LDB_CHUNK_FULL, 3);
}

static void a_writer_that_cannot_be_made_closes_the_file(void **state)
{
    struct fixture *f = *state;

    for (uint64_t n = 1; f->writer == NULL; n++) {
        enum ldb_status s;

        f->file.is_closed = false;
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_journal_writer_create(&f->file.base, 0, &f->err, &f->writer);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        assert_true(f->file.is_closed);
    }
    assert_false(f->file.is_closed);
}

static void close_tells_what_the_file_says(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, 10);
    f->file.fail_close = true;
    assert_ldb_status(LDB_IO, ldb_journal_writer_close(f->writer, &f->err),
                      &f->err);
    f->writer = NULL;
    assert_true(f->file.is_closed);
    assert_int_equal(f->file.append_count, 0);
}

/* ---- threads ---- */

/* sync() of the memory file beside append() would be a race of its own. */
static enum ldb_status null_append(struct ldb_writable_file *file,
                                   struct ldb_slice bytes,
                                   struct ldb_error *err)
{
    (void)file;
    (void)bytes;
    (void)err;
    return LDB_OK;
}

static enum ldb_status null_call(struct ldb_writable_file *file,
                                 struct ldb_error *err)
{
    (void)file;
    (void)err;
    return LDB_OK;
}

static void *sync_many(void *context)
{
    struct ldb_journal_writer *writer = context;

    for (int i = 0; i < 1000; i++) {
        uint64_t before = ldb_journal_writer_flushed_len(writer);

        if (ldb_journal_writer_sync(writer, NULL) != LDB_OK ||
            ldb_journal_writer_synced_len(writer) < before)
            return writer;
    }
    return NULL;
}

static void sync_runs_beside_add_and_flush(void **state)
{
    static const struct ldb_writable_file_ops ops = {
        .append = null_append, .sync = null_call, .close = null_call};
    struct ldb_writable_file file = {.ops = &ops};
    struct fixture *f = *state;
    struct ldb_journal_writer *writer;
    struct ldb_slice record = ldb_slice_make(f->bytes, 100);
    pthread_t thread;
    void *result;

    assert_ldb_ok(ldb_journal_writer_create(&file, 0, &f->err, &writer),
                  &f->err);
    assert_int_equal(pthread_create(&thread, NULL, sync_many, writer), 0);
    for (int i = 0; i < 1000; i++) {
        assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &f->err),
                      &f->err);
        assert_ldb_ok(ldb_journal_writer_flush(writer, &f->err), &f->err);
    }
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    assert_ldb_ok(ldb_journal_writer_sync(writer, &f->err), &f->err);
    assert_int_equal(ldb_journal_writer_synced_len(writer),
                     ldb_journal_writer_flushed_len(writer));
    assert_ldb_ok(ldb_journal_writer_close(writer, &f->err), &f->err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Records framed by one writer, taken over by another and gone on with. */
static void framed_records_are_taken_as_they_stand(void **state)
{
    struct fixture *f = *state;
    static const size_t lens[] = {10, BLOCK, 3, 2 * MIB, BLOCK - 3, 700};
    struct memory_file copy;
    struct ldb_journal_writer *theirs = NULL;
    size_t taken = 0;

    memory_file_init(&copy);
    assert_ldb_ok(ldb_journal_writer_create(&copy.base, 0, &f->err, &theirs),
                  &f->err);
    open_at(f, 0);
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        struct ldb_slice record = ldb_slice_make(f->bytes, lens[i]);

        if (i == 2) { /* one of its own, framed alike */
            assert_ldb_ok(ldb_journal_writer_add(theirs, &record, 1, &f->err),
                          &f->err);
            assert_ldb_ok(ldb_journal_writer_flush(theirs, &f->err), &f->err);
        }
        add(f, lens[i]);
        flush(f);
        if (i == 2) {
            taken = f->file.bytes.len;
            continue;
        }
        assert_ldb_ok(ldb_journal_writer_add_framed(
                          theirs,
                          ldb_slice_make(f->file.bytes.data + taken,
                                         f->file.bytes.len - taken),
                          &f->err),
                      &f->err);
        assert_ldb_ok(ldb_journal_writer_flush(theirs, &f->err), &f->err);
        taken = f->file.bytes.len;
        assert_int_equal(ldb_journal_writer_flushed_len(theirs), taken);
        assert_ldb_slice(ldb_slice_of_buf(&f->file.bytes),
                         ldb_slice_of_buf(&copy.bytes));
    }
    assert_ldb_ok(ldb_journal_writer_close(theirs, &f->err), &f->err);
    memory_file_release(&copy);
}

static void a_cut_takes_framed_records_back(void **state)
{
    struct fixture *f = *state;

    open_at(f, 0);
    add(f, 100);
    flush(f);
    f->file.fail_append = true;
    f->file.fail_append_after = 1000;
    assert_ldb_status(
        LDB_NO_SPACE,
        ldb_journal_writer_add_framed(
            f->writer, ldb_slice_make(f->bytes, 2 * MIB), &f->err),
        &f->err);
    assert_ldb_ok(ldb_journal_writer_cut(f->writer, &f->err), &f->err);
    assert_int_equal(f->file.bytes.len, 107);
    add(f, 100);
    flush(f);
    assert_int_equal(f->file.bytes.len, 214);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_have_goleveldbs_bytes),
        TEST(an_empty_record_is_a_header),
        TEST(a_record_may_end_with_its_block),
        TEST(seven_bytes_left_take_an_empty_first),
        TEST(seven_bytes_left_hold_an_empty_record),
        TEST(fewer_than_seven_bytes_left_are_zeros),
        TEST(a_long_record_is_first_middles_last),
        TEST(parts_are_joined_over_block_ends),
        TEST(a_writer_goes_on_within_the_block_it_starts_in),
        TEST(a_flush_is_one_append),
        TEST(a_buffer_over_a_mebibyte_goes_to_the_file),
        TEST(a_sync_covers_what_was_flushed),
        TEST(a_failed_append_kills_the_writer),
        TEST(a_cut_takes_back_the_failed_flush),
        TEST(a_cut_takes_back_what_went_before_the_flush),
        TEST(an_append_that_fails_within_a_record_kills_the_writer),
        TEST(a_cut_that_fails_leaves_the_writer_dead),
        TEST(a_failed_sync_is_for_good),
        TEST(no_memory_kills_the_writer_until_cut),
        TEST(a_writer_that_cannot_be_made_closes_the_file),
        TEST(close_tells_what_the_file_says),
        TEST(sync_runs_beside_add_and_flush),
        TEST(framed_records_are_taken_as_they_stand),
        TEST(a_cut_takes_framed_records_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
