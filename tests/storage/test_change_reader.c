/*
 * Changes in their order: none missing, none double, none before it is durable;
 * applied to what a scan gave they give what a later scan gives.
 */
#include "storage/change_reader.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/mem_fault.h"

#define HOUR_US UINT64_C(3600000000)

static int setup(void **state)
{
    struct db_fixture *f;

    (void)db_fixture_setup(state);
    f = *state;
    f->options.archive_bytes = 8 << 20;
    f->options.archive_age_us = HOUR_US;
    f->options.write_buffer_bytes = 64 << 10;
    f->options.sync_interval_us = 1000;
    db_fixture_reopen(f);
    return 0;
}

/* ---- reading ---- */

static struct ldb_change_reader *reader_at(struct db_fixture *f,
                                           ldb_sequence since)
{
    struct ldb_change_reader *reader = NULL;

    assert_ldb_ok(ldb_change_reader_open(f->db, since, &f->err, &reader),
                  &f->err);
    assert_int_equal(ldb_change_reader_position(reader), since);
    return reader;
}

/* Reads to the end; each has the next sequence. The number of them. */
static uint64_t read_on(struct db_fixture *f, struct ldb_change_reader *reader)
{
    struct ldb_journal_op op;
    uint64_t count = 0;
    enum ldb_status s;

    while ((s = ldb_change_reader_next(reader, &f->err, &op)) == LDB_OK) {
        count++;
        assert_int_equal(op.sequence, ldb_change_reader_position(reader));
    }
    assert_ldb_status(LDB_NOT_FOUND, s, &f->err);
    return count;
}

static void expect(struct db_fixture *f, struct ldb_change_reader *reader,
                   ldb_sequence sequence, const char *key, const char *value)
{
    struct ldb_journal_op op = {0};

    assert_ldb_ok(ldb_change_reader_next(reader, &f->err, &op), &f->err);
    assert_int_equal(op.sequence, sequence);
    assert_ldb_slice(ldb_slice_str(key), op.key);
    assert_int_equal(op.kind, value == NULL ? LDB_KIND_DELETE : LDB_KIND_PUT);
    if (value != NULL)
        assert_ldb_slice(ldb_slice_str(value), op.value);
    assert_int_equal(ldb_change_reader_position(reader), sequence);
}

static void expect_none(struct db_fixture *f, struct ldb_change_reader *reader)
{
    struct ldb_journal_op op;

    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_change_reader_next(reader, &f->err, &op), &f->err);
}

static void sync_all(struct db_fixture *f)
{
    struct ldb_batch *batch = NULL;
    struct ldb_write write = {.sync = true};

    assert_ldb_ok(ldb_batch_create(100, &f->err, &batch), &f->err);
    write.batch = batch;
    assert_ldb_ok(ldb_write_wait(f->db, &write), &write.error);
    ldb_batch_destroy(batch);
}

/* ---- what it gives ---- */

static void puts_and_deletes_come_in_order(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader = reader_at(f, 0);

    expect_none(f, reader);
    (void)db_fixture_put(f, "a", "1");
    (void)db_fixture_put(f, "b", "2");
    (void)db_fixture_delete(f, "a");
    sync_all(f);
    expect(f, reader, 1, "a", "1");
    expect(f, reader, 2, "b", "2");
    expect(f, reader, 3, "a", NULL);
    expect_none(f, reader);
    assert_int_equal(ldb_change_reader_position(reader), 3);
    ldb_change_reader_close(reader);
}

static void only_what_is_durable_comes(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader = reader_at(f, 0);

    (void)db_fixture_put(f, "a", "1");
    expect_none(f, reader);
    assert_int_equal(ldb_change_reader_position(reader), 0);
    sync_all(f);
    (void)db_fixture_put(f, "b", "2");
    expect(f, reader, 1, "a", "1");
    expect_none(f, reader);
    db_fixture_flush(f);
    expect(f, reader, 2, "b", "2");
    expect_none(f, reader);
    ldb_change_reader_close(reader);
}

static void from_the_end_it_gives_what_comes(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader;

    db_fixture_fill(f, 0, 10);
    reader = reader_at(f, 10); /* given out, and not yet durable */
    expect_none(f, reader);
    (void)db_fixture_put(f, "a", "1");
    sync_all(f);
    expect(f, reader, 11, "a", "1");
    db_fixture_flush(f);
    expect_none(f, reader);
    ldb_change_reader_close(reader);
    reader = reader_at(f, 11); /* at the end of a sealed journal */
    expect_none(f, reader);
    (void)db_fixture_put(f, "b", "2");
    sync_all(f);
    expect(f, reader, 12, "b", "2");
    ldb_change_reader_close(reader);
}

static void in_the_middle_of_a_batch_it_goes_on(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader;
    struct ldb_batch *batch = NULL;
    struct ldb_write write = {.sync = true};

    assert_ldb_ok(ldb_batch_create(1000, &f->err, &batch), &f->err);
    for (unsigned i = 0; i < 10; i++) {
        char key = (char)('a' + i);

        assert_ldb_ok(
            ldb_batch_put(batch, ldb_slice_make(&key, 1), ldb_slice_str("v")),
            NULL);
    }
    write.batch = batch;
    assert_ldb_ok(ldb_write_wait(f->db, &write), &write.error);
    ldb_batch_destroy(batch);
    for (ldb_sequence since = 0; since < 10; since++) {
        char key[2] = {(char)('a' + since), 0};

        reader = reader_at(f, since);
        expect(f, reader, since + 1, key, "v");
        assert_int_equal(read_on(f, reader), 9 - since);
        ldb_change_reader_close(reader);
    }
}

/* Journals of some blocks, of which some are in the archive. */
static void from_every_sequence_it_gives_the_rest(void **state)
{
    struct db_fixture *f = *state;
    ldb_sequence last;

    for (unsigned n = 0; n < 5; n++) {
        db_fixture_fill(f, 0, 500 + n);
        db_fixture_flush(f);
    }
    db_fixture_fill(f, 0, 300);
    sync_all(f);
    last = ldb_last_sequence(f->db);
    assert_int_equal(ldb_changes_oldest(f->db), 0);
    for (ldb_sequence since = 0; since <= last; since++) {
        struct ldb_change_reader *reader = reader_at(f, since);
        struct ldb_journal_op op;

        if (since < last) {
            assert_ldb_ok(ldb_change_reader_next(reader, &f->err, &op),
                          &f->err);
            assert_int_equal(op.sequence, since + 1);
        }
        if (since % 97 == 0)
            assert_int_equal(read_on(f, reader),
                             since < last ? last - since - 1 : 0);
        ldb_change_reader_close(reader);
    }
}

static void skipped_numbers_are_no_gap(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader = reader_at(f, 0);

    (void)db_fixture_put(f, "a", "1");
    assert_ldb_ok(ldb_raise_sequence(f->db, 1000, &f->err), &f->err);
    (void)db_fixture_put(f, "b", "2");
    sync_all(f);
    expect(f, reader, 1, "a", "1");
    expect(f, reader, 1001, "b", "2");
    assert_ldb_ok(ldb_raise_sequence(f->db, 2000, &f->err), &f->err);
    expect_none(f, reader);
    assert_int_equal(ldb_change_reader_position(reader), 2000);
    ldb_change_reader_close(reader);
    reader = reader_at(f, 500);
    expect(f, reader, 1001, "b", "2");
    ldb_change_reader_close(reader);
}

static void a_restart_goes_on(void **state)
{
    struct db_fixture *f = *state;
    ldb_sequence at = 0;

    for (unsigned round = 0; round < 6; round++) {
        struct ldb_change_reader *reader;

        db_fixture_fill(f, 0, 100 + round);
        if (round % 2 == 0)
            db_fixture_flush(f);
        db_fixture_reopen(f);
        reader = reader_at(f, at);
        assert_int_equal(read_on(f, reader), 100 + round);
        at = ldb_change_reader_position(reader);
        assert_int_equal(at, ldb_last_sequence(f->db));
        ldb_change_reader_close(reader);
    }
}

static void healing_in_place_goes_on(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader = reader_at(f, 0);

    db_fixture_fill(f, 0, 50);
    sync_all(f);
    assert_int_equal(read_on(f, reader), 50);
    (void)db_fixture_put(f, "lost", "1");
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_int_equal(ldb_put(f->db, ldb_slice_str("lost"), ldb_slice_str("2"),
                             true, &f->err, NULL),
                     LDB_OUTCOME_UNKNOWN);
    expect_none(f, reader);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_ldb_ok(ldb_raise_sequence(f->db, 100, &f->err), &f->err);
    expect_none(f, reader);
    (void)db_fixture_put(f, "a", "1");
    sync_all(f);
    expect(f, reader, 101, "a", "1");
    ldb_change_reader_close(reader);
}

/* An open journal without a record is gone after it. */
static void healing_an_empty_journal_goes_on(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader = reader_at(f, 0);

    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_int_equal(ldb_put(f->db, ldb_slice_str("lost"), ldb_slice_str("2"),
                             true, &f->err, NULL),
                     LDB_OUTCOME_UNKNOWN);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    (void)db_fixture_put(f, "a", "1");
    sync_all(f);
    expect(f, reader, ldb_last_sequence(f->db), "a", "1");
    ldb_change_reader_close(reader);
}

/* ---- what is gone ---- */

static void what_is_gone_is_told_with_the_oldest(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader = NULL;

    db_fixture_fill(f, 0, 40);
    db_fixture_flush(f);
    db_fixture_settle(f);
    db_fixture_fill(f, 0, 40);
    db_fixture_flush(f);
    db_fixture_settle(f);
    ldb_archive_trim(f->db, 8192);
    assert_int_equal(ldb_changes_oldest(f->db), 40);
    assert_ldb_status(
        LDB_GONE, ldb_change_reader_open(f->db, 39, &f->err, &reader), &f->err);
    assert_ldb_message("those after 40", &f->err);
    reader = reader_at(f, 40);
    assert_int_equal(read_on(f, reader), 40);
    ldb_change_reader_close(reader);
}

static void who_is_too_slow_is_told_and_given_no_gap(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader;
    struct ldb_journal_op op = {0};
    ldb_sequence last = 0;
    enum ldb_status s;

    f->options.archive_bytes = 4 * 8192;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 40);
    db_fixture_flush(f);
    reader = reader_at(f, 0);
    assert_ldb_ok(ldb_change_reader_next(reader, &f->err, &op), &f->err);
    for (unsigned n = 0; n < 10; n++) {
        db_fixture_fill(f, 0, 40);
        db_fixture_flush(f);
        db_fixture_settle(f);
    }
    /* What he has open he may read to its end. */
    while ((s = ldb_change_reader_next(reader, &f->err, &op)) == LDB_OK)
        last = op.sequence;
    assert_ldb_status(LDB_GONE, s, &f->err);
    assert_int_equal(last, 40);
    assert_int_equal(ldb_change_reader_position(reader), 40);
    ldb_change_reader_close(reader);
}

static void without_an_archive_who_keeps_up_loses_nothing(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader;

    f->options.archive_bytes = 0;
    db_fixture_reopen(f);
    reader = reader_at(f, 0);
    for (unsigned n = 0; n < 10; n++) {
        db_fixture_fill(f, 0, 40);
        sync_all(f);
        assert_int_equal(read_on(f, reader), 40);
        db_fixture_flush(f);
        db_fixture_settle(f);
        expect_none(f, reader);
    }
    ldb_change_reader_close(reader);
}

/* He was at the end of a journal that went on, was sealed, and went. */
static void a_journal_that_went_on_and_went_is_told(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader;
    struct ldb_journal_op op;

    f->options.archive_bytes = 0;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 40);
    sync_all(f);
    reader = reader_at(f, 40);
    db_fixture_fill(f, 0, 40);
    db_fixture_flush(f);
    db_fixture_settle(f);
    db_fixture_fill(f, 0, 40);
    sync_all(f);
    assert_ldb_status(LDB_GONE, ldb_change_reader_next(reader, &f->err, &op),
                      &f->err);
    ldb_change_reader_close(reader);
    /* Nothing was added: so nothing is missing. */
    reader = reader_at(f, 120);
    db_fixture_flush(f);
    db_fixture_settle(f);
    (void)db_fixture_put(f, "a", "1");
    sync_all(f);
    expect(f, reader, 121, "a", "1");
    ldb_change_reader_close(reader);
    /* The same when he comes after it went. */
    db_fixture_flush(f);
    db_fixture_settle(f);
    reader = reader_at(f, 121);
    expect_none(f, reader);
    (void)db_fixture_put(f, "b", "1");
    sync_all(f);
    expect(f, reader, 122, "b", "1");
    ldb_change_reader_close(reader);
}

static void a_read_only_database_has_none(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader = NULL;

    (void)db_fixture_put(f, "a", "1");
    f->options.read_only = true;
    db_fixture_reopen(f);
    assert_ldb_status(LDB_READ_ONLY,
                      ldb_change_reader_open(f->db, 0, &f->err, &reader),
                      &f->err);
    assert_int_equal(ldb_changes_oldest(f->db), 1);
}

/* ---- failures ---- */

static void damage_is_told_and_passed_by_nobody(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained_journal journal;
    struct ldb_change_reader *reader;
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);
    struct ldb_journal_op op;
    char name[64];
    enum ldb_status s;

    db_fixture_fill(f, 0, 40);
    db_fixture_flush(f);
    db_fixture_settle(f);
    assert_int_equal(ldb_retained_list(f->db->retained, 0, &journal, 1), 1);
    (void)snprintf(name, sizeof(name), LDB_ARCHIVE_FOLDER "/%06u.log",
                   (unsigned)journal.number);
    db_fixture_read_file(f, name, &bytes);
    bytes.data[bytes.len / 2] ^= 1;
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    reader = reader_at(f, 0);
    while ((s = ldb_change_reader_next(reader, &f->err, &op)) == LDB_OK)
        continue;
    assert_ldb_status(LDB_CORRUPTION, s, &f->err);
    assert_ldb_message(".log: checksum mismatch at offset", &f->err);
    assert_true(ldb_change_reader_position(reader) < 40);
    ldb_change_reader_close(reader);
    ldb_buf_release(&bytes);
}

/* Damage that leads to another start is met there. */
static void a_start_that_damage_led_to_is_found_out(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained_journal journal;
    struct ldb_change_reader *reader = NULL;
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);
    struct ldb_journal_op op;
    char name[64];
    enum ldb_status s;

    f->options.write_buffer_bytes = 1 << 20;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 1000); /* four blocks */
    db_fixture_flush(f);
    db_fixture_settle(f);
    assert_int_equal(ldb_retained_list(f->db->retained, 0, &journal, 1), 1);
    (void)snprintf(name, sizeof(name), LDB_ARCHIVE_FOLDER "/%06u.log",
                   (unsigned)journal.number);
    db_fixture_read_file(f, name, &bytes);
    for (size_t block = 1; block < 4; block++) {
        uint8_t *p = bytes.data + block * 32768;
        size_t skip = p[4] + 256u * p[5] + 7u; /* the end of a record */

        p[skip + 7] = 1; /* the next one's sequence: 1 */
        p[skip + 8] = 0;
    }
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    s = ldb_change_reader_open(f->db, 10, &f->err, &reader);
    if (s == LDB_OK)
        s = ldb_change_reader_next(reader, &f->err, &op);
    assert_ldb_status(LDB_CORRUPTION, s, &f->err);
    ldb_change_reader_close(reader);
    ldb_buf_release(&bytes);
}

static void what_cannot_be_read_is_told(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_change_reader *reader;
    struct ldb_journal_op op;

    db_fixture_fill(f, 0, 40);
    sync_all(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_READ), ".log", EIO);
    reader = reader_at(f, 0);
    assert_ldb_status(LDB_IO, ldb_change_reader_next(reader, &f->err, &op),
                      &f->err);
    ldb_change_reader_close(reader);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_RANDOM), ".log", EIO);
    assert_ldb_status(
        LDB_IO, ldb_change_reader_open(f->db, 0, &f->err, &reader), &f->err);
    env_fault_fail(f->fault, NULL);
}

static enum ldb_status read_all(struct db_fixture *f)
{
    struct ldb_change_reader *reader = NULL;
    struct ldb_journal_op op;
    enum ldb_status s = ldb_change_reader_open(f->db, 0, &f->err, &reader);

    while (s == LDB_OK)
        s = ldb_change_reader_next(reader, &f->err, &op);
    ldb_change_reader_close(reader);
    return s;
}

static void without_memory_it_fails_whole(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned n = 0; n < 3; n++) {
        db_fixture_fill(f, 0, 300);
        db_fixture_flush(f);
    }
    db_fixture_settle(f);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = read_all(f);
        if (!mem_fault_stop()) {
            assert_ldb_status(LDB_NOT_FOUND, s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
}

/* ---- R9: a scan and the changes after it give the state at the end ---- */

#define KEYS 64

struct model {
    bool is_there[KEYS];
    unsigned value[KEYS];
};

static unsigned key_of(struct ldb_slice key)
{
    assert_int_equal(key.len, 2);
    return (key.data[0] - '0') * 10u + (key.data[1] - '0');
}

static unsigned value_of(struct ldb_slice value)
{
    unsigned n = 0;

    for (size_t i = 0; i < 8; i++)
        n = n * 10 + (value.data[i] - '0');
    return n;
}

static void apply(struct model *model, const struct ldb_journal_op *op)
{
    unsigned key = key_of(op->key);

    model->is_there[key] = op->kind == LDB_KIND_PUT;
    model->value[key] = model->is_there[key] ? value_of(op->value) : 0;
}

/* The sequence of the scan. */
static ldb_sequence scan(struct db_fixture *f, struct model *out)
{
    struct ldb_cursor *cursor = NULL;
    ldb_sequence sequence;

    *out = (struct model){0};
    assert_ldb_ok(ldb_cursor_open(f->db, NULL, &f->err, &cursor), &f->err);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor)) {
        unsigned key = key_of(ldb_cursor_key(cursor));

        out->is_there[key] = true;
        out->value[key] = value_of(ldb_cursor_value(cursor));
    }
    assert_ldb_ok(ldb_cursor_status(cursor, &f->err), &f->err);
    sequence = ldb_cursor_view_sequence(cursor);
    ldb_cursor_close(cursor);
    return sequence;
}

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
    random_state = random_state * UINT64_C(6364136223846793005) +
                   UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % n;
}

static void change_something(struct db_fixture *f)
{
    static unsigned next;
    struct ldb_batch *batch = NULL;
    struct ldb_write write = {.sync = random_below(4) == 0};
    unsigned count = 1 + random_below(5);

    assert_ldb_ok(ldb_batch_create(1 << 20, &f->err, &batch), &f->err);
    while (count-- > 0) {
        static char value[50000];
        char key[4];

        (void)snprintf(key, sizeof(key), "%02u", random_below(KEYS));
        (void)snprintf(value, 9, "%08u", ++next % 100000000);
        if (random_below(3) == 0)
            assert_ldb_ok(ldb_batch_delete(batch, ldb_slice_str(key)), NULL);
        else
            assert_ldb_ok(
                ldb_batch_put(batch, ldb_slice_str(key),
                              ldb_slice_make(value, random_below(20) == 0
                                                        ? sizeof(value)
                                                        : 8)),
                NULL);
    }
    write.batch = batch;
    assert_ldb_ok(ldb_write_wait(f->db, &write), &write.error);
    ldb_batch_destroy(batch);
}

/* A consumer that is cut and resumed, over restarts and power cuts. */
static void a_consumer_rebuilds_the_state(void **state)
{
    struct db_fixture *f = *state;
    struct model consumer;
    struct model now;
    ldb_sequence at;
    const char *seed = getenv("LEVELD_SEED");

    random_state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
    print_message("LEVELD_SEED=%llu\n", (unsigned long long)random_state);
    at = scan(f, &consumer);
    for (unsigned round = 0; round < 150; round++) {
        struct ldb_change_reader *reader = NULL;
        struct ldb_journal_op op;
        unsigned reads = random_below(200);
        enum ldb_status s = LDB_OK;

        for (unsigned n = random_below(60); n > 0; n--)
            change_something(f);
        if (random_below(5) == 0)
            db_fixture_flush(f);
        if (random_below(8) == 0)
            db_fixture_reopen(f);
        if (random_below(12) == 0)
            db_fixture_power_cut(f);
        assert_true(at <= ldb_last_sequence(f->db));
        reader = reader_at(f, at);
        while (reads-- > 0 && s == LDB_OK) {
            s = ldb_change_reader_next(reader, &f->err, &op);
            if (s == LDB_OK)
                apply(&consumer, &op);
        }
        if (s != LDB_OK)
            assert_ldb_status(LDB_NOT_FOUND, s, &f->err);
        at = ldb_change_reader_position(reader);
        ldb_change_reader_close(reader);
        if (random_below(4) != 0)
            continue;
        sync_all(f);
        reader = reader_at(f, at);
        while ((s = ldb_change_reader_next(reader, &f->err, &op)) == LDB_OK)
            apply(&consumer, &op);
        assert_ldb_status(LDB_NOT_FOUND, s, &f->err);
        at = ldb_change_reader_position(reader);
        ldb_change_reader_close(reader);
        assert_int_equal(scan(f, &now), at);
        assert_memory_equal(&now, &consumer, sizeof(now));
    }
}

/* ---- beside writers ---- */

struct follower {
    struct db_fixture *f;
    _Atomic(bool) stops;
    uint64_t changes;
};

static void follow(void *context)
{
    struct follower *follower = context;
    struct ldb_change_reader *reader = NULL;
    struct ldb_error err = {0};
    struct ldb_journal_op op;
    ldb_sequence last = 0;
    bool is_last = false;

    assert_ldb_ok(ldb_change_reader_open(follower->f->db, 0, &err, &reader),
                  &err);
    for (;;) {
        enum ldb_status s = ldb_change_reader_next(reader, &err, &op);

        if (s == LDB_NOT_FOUND && is_last)
            break;
        if (s == LDB_NOT_FOUND) {
            is_last = atomic_load(&follower->stops);
            sched_yield();
            continue;
        }
        assert_ldb_ok(s, &err);
        assert_int_equal(op.sequence, last + 1);
        last = op.sequence;
        follower->changes++;
    }
    ldb_change_reader_close(reader);
}

static void beside_writes_and_flushes_nothing_is_missed(void **state)
{
    struct db_fixture *f = *state;
    struct follower followers[3];
    struct ldb_thread *threads[3] = {0};

    ldb_watch_begin(f->db);
    for (unsigned i = 0; i < 3; i++) {
        followers[i] = (struct follower){.f = f};
        assert_ldb_ok(f->env->ops->thread_start(f->env, "follower", follow,
                                                &followers[i], &f->err,
                                                &threads[i]),
                      &f->err);
    }
    for (unsigned n = 0; n < 30; n++) {
        db_fixture_fill(f, 0, 200);
        if (n % 3 == 0)
            sync_all(f);
        if (n % 5 == 0)
            db_fixture_flush(f);
    }
    sync_all(f);
    for (unsigned i = 0; i < 3; i++)
        atomic_store(&followers[i].stops, true);
    for (unsigned i = 0; i < 3; i++) {
        f->env->ops->thread_join(f->env, threads[i]);
        assert_int_equal(followers[i].changes, 6000);
    }
    ldb_watch_end(f->db);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(puts_and_deletes_come_in_order),
        TEST(only_what_is_durable_comes),
        TEST(from_the_end_it_gives_what_comes),
        TEST(in_the_middle_of_a_batch_it_goes_on),
        TEST(from_every_sequence_it_gives_the_rest),
        TEST(skipped_numbers_are_no_gap),
        TEST(a_restart_goes_on),
        TEST(healing_in_place_goes_on),
        TEST(healing_an_empty_journal_goes_on),
        TEST(what_is_gone_is_told_with_the_oldest),
        TEST(who_is_too_slow_is_told_and_given_no_gap),
        TEST(without_an_archive_who_keeps_up_loses_nothing),
        TEST(a_journal_that_went_on_and_went_is_told),
        TEST(a_read_only_database_has_none),
        TEST(damage_is_told_and_passed_by_nobody),
        TEST(a_start_that_damage_led_to_is_found_out),
        TEST(what_cannot_be_read_is_told),
        TEST(without_memory_it_fails_whole),
        TEST(a_consumer_rebuilds_the_state),
        TEST(beside_writes_and_flushes_nothing_is_missed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
