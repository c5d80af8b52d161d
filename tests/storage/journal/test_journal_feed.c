/* A journal's bytes in any cuts come out as its records, or are refused. */
#include "storage/journal/journal_feed.h"

#include <stdlib.h>
#include <string.h>

#include "storage/base/checksum.h"
#include "storage/base/writer.h"
#include "storage/journal/journal_format.h"
#include "storage/journal/journal_writer.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/memory_file.h"

#define BLOCK       ((size_t)LDB_JOURNAL_BLOCK_SIZE)
#define HEADER      ((size_t)LDB_JOURNAL_HEADER_SIZE)
#define RECORDS_MAX 60
#define NAME        "000007.log"

/* A journal as a writer makes it, and where its records end. */
struct journal {
    struct memory_file file;
    struct ldb_journal_writer *writer;
    size_t ends[RECORDS_MAX]; /* file offsets */
    size_t lens[RECORDS_MAX];
    size_t count;
    uint64_t seed; /* of the records' bytes */
    uint8_t *scratch;
};

#define SCRATCH_SIZE (5 * BLOCK)

static void journal_begin(struct journal *j, uint64_t seed)
{
    struct ldb_error err = {0};

    *j = (struct journal){.seed = seed};
    memory_file_init(&j->file);
    j->scratch = malloc(SCRATCH_SIZE);
    assert_non_null(j->scratch);
    assert_ldb_ok(ldb_journal_writer_create(&j->file.base, 0, &err, &j->writer),
                  &err);
}

static struct ldb_slice record_bytes(struct journal *j, size_t i)
{
    uint64_t seed = j->seed + i;

    assert_true(j->lens[i] <= SCRATCH_SIZE);
    bytes_fill(&seed, j->scratch, j->lens[i]);
    return ldb_slice_make(j->scratch, j->lens[i]);
}

static void journal_add(struct journal *j, size_t len)
{
    struct ldb_error err = {0};
    struct ldb_slice record;

    assert_true(j->count < RECORDS_MAX);
    j->lens[j->count] = len;
    record = record_bytes(j, j->count);
    assert_ldb_ok(ldb_journal_writer_add(j->writer, &record, 1, &err), &err);
    assert_ldb_ok(ldb_journal_writer_flush(j->writer, &err), &err);
    j->ends[j->count++] = j->file.bytes.len;
}

static void journal_end(struct journal *j)
{
    assert_ldb_ok(ldb_journal_writer_close(j->writer, NULL), NULL);
    memory_file_release(&j->file);
    free(j->scratch);
}

static struct ldb_journal_feed *feed_at(uint64_t offset)
{
    struct ldb_journal_feed *feed = ldb_journal_feed_create(NAME, offset);

    assert_non_null(feed);
    return feed;
}

/* Takes whole records, which are j's from the *next-th on. */
static void take_records(struct journal *j, struct ldb_journal_feed *feed,
                         size_t *next)
{
    struct ldb_error err = {0};
    struct ldb_slice record = {0};
    uint64_t from =
        ldb_journal_feed_whole_end(feed) - ldb_journal_feed_whole(feed).len;
    enum ldb_status s;

    assert_ldb_slice(ldb_slice_make(j->file.bytes.data + from,
                                    ldb_journal_feed_whole(feed).len),
                     ldb_journal_feed_whole(feed));
    while ((s = ldb_journal_feed_next(feed, &err, &record)) == LDB_OK) {
        assert_true(*next < j->count);
        assert_int_equal(ldb_journal_feed_record_offset(feed),
                         *next == 0 ? 0 : j->ends[*next - 1]);
        assert_ldb_slice(record_bytes(j, *next), record);
        (*next)++;
    }
    assert_ldb_status(LDB_NOT_FOUND, s, &err);
    assert_int_equal(ldb_journal_feed_whole_end(feed),
                     *next == 0 ? 0 : j->ends[*next - 1]);
    ldb_journal_feed_take(feed);
    assert_int_equal(ldb_journal_feed_whole(feed).len, 0);
}

/* The whole journal in cuts of cut_max bytes at most, 0: of that many. */
static void feed_in_cuts(struct journal *j, size_t cut, uint64_t seed)
{
    struct ldb_journal_feed *feed = feed_at(0);
    struct ldb_error err = {0};
    size_t next = 0;

    for (size_t at = 0; at < j->file.bytes.len;) {
        size_t left = j->file.bytes.len - at;
        size_t n = seed == 0 ? cut : 1 + (size_t)bytes_next(&seed) % cut;

        n = n < left ? n : left;
        assert_ldb_ok(
            ldb_journal_feed_add(
                feed, ldb_slice_make(j->file.bytes.data + at, n), &err),
            &err);
        at += n;
        assert_int_equal(ldb_journal_feed_end(feed), at);
        take_records(j, feed, &next);
    }
    assert_int_equal(next, j->count);
    ldb_journal_feed_destroy(feed);
}

/* Records whose ends lie 0 to 8 bytes before those of blocks, and long ones. */
static void make_edges(struct journal *j)
{
    journal_begin(j, 7);
    for (size_t left = 0; left <= 8; left++) {
        size_t used = j->file.bytes.len % BLOCK;

        if (BLOCK - used < 2 * HEADER + left) {
            journal_add(j, 100);
            used = j->file.bytes.len % BLOCK;
        }
        journal_add(j, BLOCK - used - HEADER - left);
        assert_int_equal((BLOCK - j->file.bytes.len % BLOCK) % BLOCK,
                         left % BLOCK);
        journal_add(j, left);
    }
    journal_add(j, 0);
    journal_add(j, 3 * BLOCK + 5);
    journal_add(j, 1);
}

static void any_cut_gives_the_records(void **state)
{
    static const size_t cuts[] = {
        1, 2, 6, 7, 8, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, SIZE_MAX};
    struct journal j;

    (void)state;
    make_edges(&j);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
        feed_in_cuts(&j, cuts[i], 0);
    journal_end(&j);
}

static void random_journals_in_random_cuts_come_out_whole(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t random = seed;
        struct journal j;

        journal_begin(&j, seed * 1000);
        for (size_t i = 0; i < 30; i++)
            journal_add(
                &j, (size_t)(bytes_next(&random) %
                             (bytes_next(&random) % 4 == 0 ? 2 * BLOCK : 300)));
        feed_in_cuts(&j, 1 + (size_t)(bytes_next(&random) % 5000), seed);
        journal_end(&j);
    }
}

static void a_feed_goes_on_at_the_end_of_any_record(void **state)
{
    struct journal j;

    (void)state;
    make_edges(&j);
    for (size_t i = 0; i < j.count; i++) {
        struct ldb_journal_feed *feed = feed_at(j.ends[i]);
        struct ldb_error err = {0};
        size_t next = i + 1;

        assert_ldb_ok(
            ldb_journal_feed_add(feed,
                                 ldb_slice_make(j.file.bytes.data + j.ends[i],
                                                j.file.bytes.len - j.ends[i]),
                                 &err),
            &err);
        take_records(&j, feed, &next);
        assert_int_equal(next, j.count);
        ldb_journal_feed_destroy(feed);
    }
    journal_end(&j);
}

static void a_record_that_has_begun_comes_again_after_restart(void **state)
{
    struct journal j;
    struct ldb_journal_feed *feed = feed_at(0);
    struct ldb_error err = {0};
    size_t next = 0;
    size_t cut;

    (void)state;
    journal_begin(&j, 3);
    journal_add(&j, 50);
    journal_add(&j, BLOCK + 50);
    cut = j.ends[0] + BLOCK;
    assert_ldb_ok(ldb_journal_feed_add(
                      feed, ldb_slice_make(j.file.bytes.data, cut), &err),
                  &err);
    take_records(&j, feed, &next);
    assert_int_equal(ldb_journal_feed_end(feed), cut);
    ldb_journal_feed_restart(feed);
    assert_int_equal(ldb_journal_feed_end(feed), j.ends[0]);
    assert_ldb_ok(
        ldb_journal_feed_add(feed,
                             ldb_slice_make(j.file.bytes.data + j.ends[0],
                                            j.ends[1] - j.ends[0]),
                             &err),
        &err);
    take_records(&j, feed, &next);
    assert_int_equal(next, 2);
    ldb_journal_feed_destroy(feed);
    journal_end(&j);
}

static void a_record_that_is_rejected_goes_with_all_after_it(void **state)
{
    struct journal j;
    struct ldb_journal_feed *feed = feed_at(0);
    struct ldb_error err = {0};
    struct ldb_slice record;

    (void)state;
    journal_begin(&j, 3);
    for (size_t i = 0; i < 4; i++)
        journal_add(&j, 50);
    assert_ldb_ok(
        ldb_journal_feed_add(
            feed, ldb_slice_make(j.file.bytes.data, j.ends[3] - 1), &err),
        &err);
    assert_ldb_ok(ldb_journal_feed_next(feed, &err, &record), &err);
    assert_ldb_ok(ldb_journal_feed_next(feed, &err, &record), &err);
    ldb_journal_feed_reject(feed);
    assert_int_equal(ldb_journal_feed_whole_end(feed), j.ends[0]);
    assert_int_equal(ldb_journal_feed_end(feed), j.ends[0]);
    assert_ldb_status(LDB_NOT_FOUND, ldb_journal_feed_next(feed, &err, &record),
                      &err);
    ldb_journal_feed_rewind(feed);
    assert_ldb_ok(ldb_journal_feed_next(feed, &err, &record), &err);
    assert_ldb_slice(record_bytes(&j, 0), record);
    ldb_journal_feed_rewind(feed);
    ldb_journal_feed_reject(feed);
    assert_int_equal(ldb_journal_feed_end(feed), 0);
    ldb_journal_feed_destroy(feed);
    journal_end(&j);
}

/* ---- damage ---- */

/* Two records, the second of which is [from, to) of the bytes. */
static void assert_refused(struct journal *j, const uint8_t *bytes,
                           uint64_t offset, const char *why, size_t cut)
{
    struct ldb_journal_feed *feed = feed_at(0);
    struct ldb_error err = {0};
    char expected[120];
    size_t next = 0;
    enum ldb_status s = LDB_OK;

    (void)snprintf(expected, sizeof(expected), NAME ": %s at offset %llu", why,
                   (unsigned long long)offset);
    for (size_t at = 0; s == LDB_OK && at < j->file.bytes.len; at += cut) {
        size_t left = j->file.bytes.len - at;

        s = ldb_journal_feed_add(
            feed, ldb_slice_make(bytes + at, cut < left ? cut : left), &err);
    }
    assert_ldb_status(LDB_CORRUPTION, s, &err);
    assert_string_equal(err.message, expected);
    assert_int_equal(ldb_journal_feed_end(feed), j->ends[0]);
    /* The sound one before it is there, and the good bytes go on with it. */
    assert_ldb_ok(
        ldb_journal_feed_add(feed,
                             ldb_slice_make(j->file.bytes.data + j->ends[0],
                                            j->file.bytes.len - j->ends[0]),
                             &err),
        &err);
    take_records(j, feed, &next);
    assert_int_equal(next, j->count);
    ldb_journal_feed_destroy(feed);
}

/* Stores a header with the checksum of what it heads. */
static void put_header(uint8_t *p, size_t len, uint8_t type)
{
    ldb_store_fixed16(p + 4, (uint16_t)len);
    p[6] = type;
    ldb_store_fixed32(p,
                      ldb_crc_mask(ldb_crc32c(ldb_slice_make(p + 6, len + 1))));
}

static void damage_is_refused_with_file_and_offset(void **state)
{
    struct journal j;
    uint8_t *bytes;
    size_t second;
    size_t tail;

    (void)state;
    journal_begin(&j, 9);
    journal_add(&j, 40);
    journal_add(&j, BLOCK + 100); /* FIRST and LAST */
    journal_add(&j, 20);
    second = j.ends[0];
    tail = BLOCK; /* its LAST */
    bytes = malloc(j.file.bytes.len);
    assert_non_null(bytes);
#define DAMAGE(why, offset, change)                                            \
    do {                                                                       \
        memcpy(bytes, j.file.bytes.data, j.file.bytes.len);                    \
        change;                                                                \
        assert_refused(&j, bytes, offset, why, j.file.bytes.len);              \
        assert_refused(&j, bytes, offset, why, 1000);                          \
    } while (0)
    DAMAGE("checksum mismatch", second, bytes[second + HEADER] ^= 1);
    DAMAGE("checksum mismatch", second, bytes[second] ^= 1);
    DAMAGE("checksum mismatch", second, bytes[second + 6] ^= 1);
    DAMAGE("checksum mismatch", tail, bytes[tail + 20] ^= 1);
    DAMAGE("checksum mismatch", second, memset(bytes + second, 0, HEADER));
    DAMAGE("chunk longer than its block", second,
           ldb_store_fixed16(bytes + second + 4, BLOCK - 1));
    DAMAGE("unknown chunk type", second,
           put_header(bytes + second, BLOCK - HEADER - second, 5));
    DAMAGE("unknown chunk type", second,
           put_header(bytes + second, BLOCK - HEADER - second, 0));
    DAMAGE(
        "chunk without the start of its record", second,
        put_header(bytes + second, BLOCK - HEADER - second, LDB_CHUNK_MIDDLE));
    DAMAGE("record without its end", tail,
           put_header(bytes + tail, j.ends[1] - tail - HEADER, LDB_CHUNK_FULL));
#undef DAMAGE
    free(bytes);
    journal_end(&j);
}

static void the_end_of_a_block_is_zeros(void **state)
{
    struct journal j;
    uint8_t *bytes;

    (void)state;
    journal_begin(&j, 9);
    journal_add(&j, BLOCK - HEADER - 3);
    journal_add(&j, 20);
    bytes = malloc(j.file.bytes.len);
    assert_non_null(bytes);
    memcpy(bytes, j.file.bytes.data, j.file.bytes.len);
    bytes[BLOCK - 1] = 1;
    assert_refused(&j, bytes, BLOCK - 3, "the end of a block is not zero",
                   j.file.bytes.len);
    assert_refused(&j, bytes, BLOCK - 3, "the end of a block is not zero", 7);
    free(bytes);
    journal_end(&j);
}

/* Old writers left one where a header just fitted. */
static void an_empty_first_before_another_is_nothing(void **state)
{
    struct ldb_journal_feed *feed = feed_at(BLOCK - HEADER);
    struct ldb_error err = {0};
    struct ldb_slice record = {0};
    uint8_t bytes[2 * LDB_JOURNAL_HEADER_SIZE + 3] = {0};

    (void)state;
    put_header(bytes, 0, LDB_CHUNK_FIRST);
    memcpy(bytes + 2 * HEADER, "abc", 3);
    put_header(bytes + HEADER, 3, LDB_CHUNK_FULL);
    assert_ldb_ok(
        ldb_journal_feed_add(feed, ldb_slice_make(bytes, sizeof(bytes)), &err),
        &err);
    assert_ldb_ok(ldb_journal_feed_next(feed, &err, &record), &err);
    assert_ldb_bytes("abc", record);
    ldb_journal_feed_destroy(feed);
}

static void failed_allocations_are_survived(void **state)
{
    struct journal j;

    (void)state;
    journal_begin(&j, 9);
    journal_add(&j, 40);
    journal_add(&j, 3 * BLOCK);
    for (uint64_t n = 1;; n++) {
        struct ldb_journal_feed *feed;
        struct ldb_error err = {0};
        struct ldb_slice record;
        enum ldb_status s = LDB_NO_MEMORY;

        mem_fault_start(n, MEM_FAULT_ONCE);
        feed = ldb_journal_feed_create(NAME, 0);
        if (feed != NULL)
            s = ldb_journal_feed_add(
                feed, ldb_slice_make(j.file.bytes.data, j.file.bytes.len),
                &err);
        while (s == LDB_OK)
            s = ldb_journal_feed_next(feed, &err, &record);
        if (!mem_fault_stop()) {
            assert_ldb_status(LDB_NOT_FOUND, s, &err);
            ldb_journal_feed_destroy(feed);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        ldb_journal_feed_destroy(feed);
    }
    journal_end(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_records),
        cmocka_unit_test(random_journals_in_random_cuts_come_out_whole),
        cmocka_unit_test(a_feed_goes_on_at_the_end_of_any_record),
        cmocka_unit_test(a_record_that_has_begun_comes_again_after_restart),
        cmocka_unit_test(a_record_that_is_rejected_goes_with_all_after_it),
        cmocka_unit_test(damage_is_refused_with_file_and_offset),
        cmocka_unit_test(the_end_of_a_block_is_zeros),
        cmocka_unit_test(an_empty_first_before_another_is_nothing),
        cmocka_unit_test(failed_allocations_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
