/* A leader's journal, byte by byte, becomes a twin's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/journal/journal_writer.h"
#include "storage/twin_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/db_fixture.h"
#include "tests/support/mem_fault.h"
#include "tests/support/memory_file.h"

#define BYTES_MAX ((size_t)8 << 20)
#define CALLS_MAX 1000

/* ---- a journal in the making ---- */

/* A leader's journal, as a writer makes it, without a leader. */
struct journal {
    struct memory_file file;
    struct ldb_journal_writer *writer;
    size_t ends[64];
    size_t count;
};

static void journal_begin(struct journal *j)
{
    *j = (struct journal){0};
    memory_file_init(&j->file);
    assert_ldb_ok(ldb_journal_writer_create(&j->file.base, 0, NULL, &j->writer),
                  NULL);
}

static void journal_end(struct journal *j)
{
    assert_ldb_ok(ldb_journal_writer_close(j->writer, NULL), NULL);
    memory_file_release(&j->file);
}

static void write_record(struct journal *j, struct ldb_slice record)
{
    assert_ldb_ok(ldb_journal_writer_add(j->writer, &record, 1, NULL), NULL);
    assert_ldb_ok(ldb_journal_writer_flush(j->writer, NULL), NULL);
    assert_true(j->count < 64);
    j->ends[j->count++] = j->file.bytes.len;
}

/* A batch of puts of "key" + i, value_len bytes each, from sequence first on;
 * count 0: one of no operations. */
static void write_batch(struct journal *j, ldb_sequence first, unsigned count,
                        size_t value_len)
{
    static uint8_t value[200000];
    struct ldb_batch batch;
    uint8_t none[LDB_BATCH_HEADER_SIZE] = {(uint8_t)first};

    if (count == 0) {
        write_record(j, ldb_slice_make(none, sizeof(none)));
        return;
    }
    ldb_batch_init(&batch, BYTES_MAX);
    for (unsigned i = 0; i < count; i++) {
        ldb_sequence sequence = first + i;
        char key[32];

        (void)snprintf(key, sizeof(key), "key%llu",
                       (unsigned long long)sequence);
        memset(value, (int)('a' + (first + i) % 26), value_len);
        assert_ldb_ok(ldb_batch_put(&batch, ldb_slice_str(key),
                                    ldb_slice_make(value, value_len)),
                      NULL);
    }
    ldb_batch_set_sequence(&batch, first);
    write_record(j, ldb_slice_of_buf(&batch.rep));
    ldb_batch_release(&batch);
}

/* ---- the twin ---- */

struct fixture {
    struct db_fixture *db;
    struct journal j;
};

static int setup(void **state)
{
    static struct fixture f;
    void *inner = NULL;

    (void)db_fixture_setup(&inner);
    f = (struct fixture){.db = inner};
    db_fixture_close(f.db);
    assert_ldb_ok(ldb_twin_open(DB_FIXTURE_DIR, &f.db->options, NULL,
                                &f.db->err, &f.db->db),
                  &f.db->err);
    journal_begin(&f.j);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *inner = f->db;

    journal_end(&f->j);
    return db_fixture_teardown(&inner);
}

static void reopen(struct fixture *f)
{
    struct db_fixture *db = f->db;

    LDB_IGNORE(ldb_close(db->db, NULL)); /* it may have stopped */
    db->db = NULL;
    assert_ldb_ok(
        ldb_twin_open(DB_FIXTURE_DIR, &db->options, NULL, &db->err, &db->db),
        &db->err);
}

static void power_cut(struct fixture *f)
{
    struct db_fixture *db = f->db;

    env_fault_power_cut(db->fault, LDB_CRASH_KEEP_NONE, 1);
    LDB_IGNORE(ldb_close(db->db, NULL)); /* its env is dead */
    db->env = env_fault_env(db->fault);
    db->options.env = db->env;
    db->db = NULL;
    assert_ldb_ok(
        ldb_twin_open(DB_FIXTURE_DIR, &db->options, NULL, &db->err, &db->db),
        &db->err);
}

static struct ldb_twin_state state_of(struct fixture *f)
{
    struct ldb_twin_state at;

    ldb_twin_state(f->db->db, &at);
    return at;
}

/* Bytes [from, to) of the journal, as number. */
static enum ldb_status try_append(struct fixture *f, uint64_t number,
                                  size_t from, size_t to)
{
    assert_true(from <= to && to <= f->j.file.bytes.len);
    return ldb_twin_append(
        f->db->db, number, from,
        ldb_slice_make(f->j.file.bytes.data + from, to - from), &f->db->err);
}

static void append(struct fixture *f, uint64_t number, size_t from, size_t to)
{
    assert_ldb_ok(try_append(f, number, from, to), &f->db->err);
}

static enum ldb_status try_seal(struct fixture *f, uint64_t number,
                                uint64_t len)
{
    return ldb_twin_seal(f->db->db, number, len, &f->db->err);
}

/* The twin holds n records of the journal, and has bytes up to next of it. */
static void assert_at(struct fixture *f, size_t n, size_t next,
                      ldb_sequence sequence)
{
    struct ldb_twin_state at = state_of(f);
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_MAX);
    size_t len = n == 0 ? 0 : f->j.ends[n - 1];

    assert_int_equal(at.written.offset, len);
    assert_int_equal(at.applied.offset, len);
    assert_int_equal(at.applied.sequence, sequence);
    assert_int_equal(at.next_offset, next);
    assert_int_equal(ldb_last_sequence(f->db->db), sequence);
    db_fixture_read_file(f->db, "000001.log", &bytes);
    assert_ldb_slice(ldb_slice_make(f->j.file.bytes.data, len),
                     ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

static bool has_key(struct fixture *f, ldb_sequence sequence)
{
    char key[32];
    enum ldb_status s;

    (void)snprintf(key, sizeof(key), "key%llu", (unsigned long long)sequence);
    s = ldb_get(f->db->db, ldb_slice_str(key), NULL, &f->db->err, NULL, NULL,
                NULL);
    assert_true(s == LDB_OK || s == LDB_NOT_FOUND);
    return s == LDB_OK;
}

/* ---- appending ---- */

static void bytes_become_readable_with_their_record(void **state)
{
    struct fixture *f = *state;
    size_t whole = 0;

    write_batch(&f->j, 1, 3, 10);
    write_batch(&f->j, 4, 2, 70000); /* over blocks */
    write_batch(&f->j, 6, 1, 5);
    for (size_t at = 0; at < f->j.file.bytes.len; at++) {
        append(f, 1, at, at + 1);
        while (whole < f->j.count && f->j.ends[whole] <= at + 1)
            whole++;
        if (at % 997 != 0 && f->j.ends[whole == 0 ? 0 : whole - 1] != at + 1)
            continue;
        assert_at(f, whole, at + 1,
                  whole == 0   ? 0
                  : whole == 1 ? 3
                  : whole == 2 ? 5
                               : 6);
        assert_int_equal(has_key(f, 3), whole >= 1);
        assert_int_equal(has_key(f, 4), whole >= 2);
        assert_int_equal(has_key(f, 5), whole >= 2);
        assert_int_equal(has_key(f, 6), whole >= 3);
    }
    assert_int_equal(whole, 3);
}

static void snapshots_and_cursors_stay_as_they_were(void **state)
{
    struct fixture *f = *state;
    struct ldb_snapshot *snapshot = NULL;
    struct ldb_cursor *cursor = NULL;
    struct ldb_read_options options = {0};
    unsigned count = 0;

    write_batch(&f->j, 1, 3, 10);
    write_batch(&f->j, 4, 3, 10);
    append(f, 1, 0, f->j.ends[0]);
    assert_ldb_ok(ldb_snapshot_acquire(f->db->db, &f->db->err, &snapshot),
                  &f->db->err);
    append(f, 1, f->j.ends[0], f->j.ends[1]);
    options.snapshot = snapshot;
    assert_ldb_ok(ldb_cursor_open(f->db->db, &options, &f->db->err, &cursor),
                  &f->db->err);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor))
        count++;
    assert_int_equal(count, 3);
    ldb_cursor_close(cursor);
    ldb_snapshot_release(snapshot);
    assert_true(has_key(f, 6));
}

static void bytes_that_do_not_go_on_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t half;

    write_batch(&f->j, 1, 3, 100);
    write_batch(&f->j, 4, 3, 100);
    half = f->j.ends[0] + 50;
    append(f, 1, 0, half);
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      try_append(f, 1, half + 1, half + 2), &f->db->err);
    assert_ldb_message("000001.log: bytes at offset", &f->db->err);
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      try_append(f, 1, half - 1, half + 2), &f->db->err);
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_append(f, 1, 0, half),
                      &f->db->err);
    assert_at(f, 1, half, 3);
    /* The record that has begun may come again. */
    append(f, 1, f->j.ends[0], f->j.ends[0] + 20);
    assert_at(f, 1, f->j.ends[0] + 20, 3);
    append(f, 1, f->j.ends[0] + 20, f->j.ends[1]);
    assert_at(f, 2, f->j.ends[1], 6);
}

static void damaged_bytes_are_refused_and_those_before_them_taken(void **state)
{
    struct fixture *f = *state;
    size_t middle;

    write_batch(&f->j, 1, 3, 100);
    write_batch(&f->j, 4, 3, 100);
    write_batch(&f->j, 7, 3, 100);
    middle = f->j.ends[0] + 40;
    f->j.file.bytes.data[middle] ^= 1;
    assert_ldb_status(LDB_CORRUPTION, try_append(f, 1, 0, f->j.ends[2]),
                      &f->db->err);
    assert_ldb_message("000001.log: checksum mismatch at offset", &f->db->err);
    assert_at(f, 1, f->j.ends[0], 3);
    assert_ldb_status(LDB_CORRUPTION,
                      try_append(f, 1, f->j.ends[0], f->j.ends[1]),
                      &f->db->err);
    assert_at(f, 1, f->j.ends[0], 3);
    f->j.file.bytes.data[middle] ^= 1;
    append(f, 1, f->j.ends[0], f->j.ends[2]);
    assert_at(f, 3, f->j.ends[2], 9);
    reopen(f);
    assert_at(f, 3, f->j.ends[2], 9);
}

/* Sound frames, and what is in them is not. */
static void records_that_are_no_sound_batch_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct row {
        const char *hex;
        const char *why;
    } rows[] = {
        {"0400000000000000", "batch at"},
        {"0400000000000000 02000000 01 01 61 01 62", "announced"},
        {"0400000000000000 01000000 07 01 61", "unknown kind"},
        {"0300000000000000 01000000 00 01 61", "sequence 3 comes after 3"},
        {"0100000000000000 01000000 00 01 61", "sequence 1 comes after 3"},
        {"ffffffffffffff00 02000000 00 01 61 00 01 62", "sequence"},
    };

    write_batch(&f->j, 1, 3, 10);
    append(f, 1, 0, f->j.ends[0]);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct journal bad;
        struct ldb_buf record = LDB_BUF_INIT(BYTES_MAX);

        journal_begin(&bad);
        write_batch(&bad, 1, 3, 10);
        bytes_from_hex(rows[i].hex, &record);
        write_record(&bad, ldb_slice_of_buf(&record));
        write_batch(&bad, 5, 1, 10);
        assert_ldb_status(
            LDB_CORRUPTION,
            ldb_twin_append(f->db->db, 1, bad.ends[0],
                            ldb_slice_make(bad.file.bytes.data + bad.ends[0],
                                           bad.ends[2] - bad.ends[0]),
                            &f->db->err),
            &f->db->err);
        assert_ldb_message("000001.log: batch at 7", &f->db->err);
        assert_ldb_message(rows[i].why, &f->db->err);
        assert_at(f, 1, f->j.ends[0], 3);
        ldb_buf_release(&record);
        journal_end(&bad);
    }
    assert_false(has_key(f, 5));
}

/* An epoch begins above; a record without operations says nothing. */
static void sequences_may_jump_up(void **state)
{
    struct fixture *f = *state;

    write_batch(&f->j, 5, 1, 10);
    write_batch(&f->j, 1, 0, 0);
    write_batch(&f->j, ((ldb_sequence)1 << 40) + 7, 2, 10);
    append(f, 1, 0, f->j.ends[2]);
    assert_at(f, 3, f->j.ends[2], ((ldb_sequence)1 << 40) + 8);
}

/* ---- one journal after the other ---- */

static void the_next_journal_begins_once_this_one_is_sealed(void **state)
{
    struct fixture *f = *state;
    struct ldb_twin_state at;

    write_batch(&f->j, 1, 3, 10);
    append(f, 1, 0, f->j.ends[0]);
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_append(f, 4, 0, 0),
                      &f->db->err);
    assert_ldb_message("000004.log before 000001.log is sealed", &f->db->err);
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_seal(f, 2, 0), &f->db->err);
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_seal(f, 1, f->j.ends[0] + 1),
                      &f->db->err);
    assert_ldb_status(LDB_CORRUPTION, try_seal(f, 1, f->j.ends[0] - 1),
                      &f->db->err);
    assert_ldb_message("they are not the same journal", &f->db->err);
    assert_ldb_ok(try_seal(f, 1, f->j.ends[0]), &f->db->err);
    assert_ldb_ok(try_seal(f, 1, f->j.ends[0]), &f->db->err);
    assert_ldb_status(LDB_CORRUPTION, try_seal(f, 1, f->j.ends[0] + 1),
                      &f->db->err);
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      try_append(f, 1, f->j.ends[0], f->j.ends[0]),
                      &f->db->err);
    assert_ldb_message("is sealed", &f->db->err);
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_append(f, 4, 1, 1),
                      &f->db->err);
    assert_ldb_message("begins at offset", &f->db->err);
    append(f, 4, 0, 0);
    at = state_of(f);
    assert_int_equal(at.journal_count, 2);
    assert_true(at.journals[0].is_sealed);
    assert_int_equal(at.journals[1].number, 4);
    assert_int_equal(at.written.journal, 4);
    assert_int_equal(at.written.offset, 0);
    assert_int_equal(at.synced.journal, 1);
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_append(f, 3, 0, 0),
                      &f->db->err);
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_append(f, 0, 0, 0),
                      &f->db->err);
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      try_append(f, 1, f->j.ends[0], f->j.ends[0]),
                      &f->db->err);
    assert_true(has_key(f, 2));
}

/* A seal and bytes past it: somebody is wrong. */
static void bytes_past_the_sealed_length_are_another_journal(void **state)
{
    struct fixture *f = *state;

    write_batch(&f->j, 1, 3, 10);
    write_batch(&f->j, 4, 3, 10);
    append(f, 1, 0, f->j.ends[0] + 3);
    assert_ldb_status(LDB_CORRUPTION, try_seal(f, 1, f->j.ends[0]),
                      &f->db->err);
    append(f, 1, f->j.ends[0], f->j.ends[1]);
    assert_ldb_ok(try_seal(f, 1, f->j.ends[1]), &f->db->err);
}

/* What is sealed stands when later bytes do. */
static void a_sealed_journal_is_durable_before_the_next_begins(void **state)
{
    struct fixture *f = *state;
    struct ldb_twin_state at;

    write_batch(&f->j, 1, 3, 10);
    append(f, 1, 0, f->j.ends[0]);
    assert_ldb_ok(try_seal(f, 1, f->j.ends[0]), &f->db->err);
    append(f, 2, 0, 0);
    power_cut(f);
    at = state_of(f);
    assert_int_equal(at.journal_count, 1); /* the empty one is gone */
    assert_false(at.journals[0].is_sealed);
    assert_at(f, 1, f->j.ends[0], 3);
}

static void memtables_that_wait_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint64_t number;

    for (number = 1; number <= LDB_TWIN_JOURNALS_MAX; number++) {
        append(f, number, 0, 0);
        assert_ldb_ok(try_seal(f, number, 0), &f->db->err);
    }
    assert_ldb_status(LDB_STALLED, try_append(f, number, 0, 0), &f->db->err);
    assert_int_equal(state_of(f).journal_count, LDB_TWIN_JOURNALS_MAX);
}

/* ---- durable ---- */

static void what_was_synced_survives_and_the_rest_comes_again(void **state)
{
    struct fixture *f = *state;
    struct ldb_twin_position synced = {0};

    write_batch(&f->j, 1, 3, 10);
    write_batch(&f->j, 4, 3, 10);
    append(f, 1, 0, f->j.ends[0] + 5);
    assert_ldb_ok(ldb_twin_sync(f->db->db, &f->db->err, &synced), &f->db->err);
    assert_int_equal(synced.journal, 1);
    assert_int_equal(synced.offset, f->j.ends[0]);
    assert_int_equal(synced.sequence, 3);
    append(f, 1, f->j.ends[0] + 5, f->j.ends[1]);
    assert_int_equal(state_of(f).synced.offset, f->j.ends[0]);
    power_cut(f);
    assert_at(f, 1, f->j.ends[0], 3);
    append(f, 1, f->j.ends[0], f->j.ends[1]);
    assert_at(f, 2, f->j.ends[1], 6);
}

/* ---- failures ---- */

static void a_full_disk_stops_a_twin_until_there_is_space(void **state)
{
    struct fixture *f = *state;

    write_batch(&f->j, 1, 3, 10);
    write_batch(&f->j, 4, 3, 1000);
    append(f, 1, 0, f->j.ends[0]);
    env_fault_disk_full(f->db->fault, 100);
    for (unsigned i = 0; i < 3; i++) {
        assert_ldb_status(LDB_NO_SPACE,
                          try_append(f, 1, f->j.ends[0], f->j.ends[1]),
                          &f->db->err);
        assert_at(f, 1, f->j.ends[0], 3);
        assert_int_equal(ldb_health(f->db->db, NULL), LDB_HEALTH_DISK_FULL);
    }
    env_fault_disk_free(f->db->fault);
    append(f, 1, f->j.ends[0], f->j.ends[1]);
    assert_at(f, 2, f->j.ends[1], 6);
    assert_int_equal(ldb_health(f->db->db, NULL), LDB_HEALTHY);
}

static void a_torn_write_is_cut_off(void **state)
{
    struct fixture *f = *state;
    const struct env_fault_rule rule = {.kinds =
                                            ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                        .nth = 1,
                                        .sys_errno = EIO,
                                        .torn = true};

    write_batch(&f->j, 1, 3, 10);
    write_batch(&f->j, 4, 3, 1000);
    append(f, 1, 0, f->j.ends[0]);
    env_fault_fail(f->db->fault, &rule);
    assert_ldb_status(LDB_IO, try_append(f, 1, f->j.ends[0], f->j.ends[1]),
                      &f->db->err);
    assert_at(f, 1, f->j.ends[0], 3);
    append(f, 1, f->j.ends[0], f->j.ends[1]);
    assert_at(f, 2, f->j.ends[1], 6);
}

/* The state of the file is not known any more. */
static void a_failed_sync_or_cut_stops_it_until_it_is_opened_again(void **state)
{
    struct fixture *f = *state;
    static const unsigned kinds[] = {ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                     ENV_FAULT_BIT(ENV_FAULT_APPEND) |
                                         ENV_FAULT_BIT(ENV_FAULT_TRUNCATE)};

    write_batch(&f->j, 1, 3, 10);
    write_batch(&f->j, 4, 3, 1000);
    for (size_t i = 0; i < 2; i++) {
        struct ldb_twin_state at = state_of(f);

        if (at.next_offset < f->j.ends[0])
            append(f, 1, 0, f->j.ends[0]);
        env_fault_fail(f->db->fault,
                       &(struct env_fault_rule){.kinds = kinds[i],
                                                .nth = 1,
                                                .from_then_on = true,
                                                .sys_errno = EIO});
        assert_ldb_status(LDB_IO,
                          i == 0 ? ldb_twin_sync(f->db->db, &f->db->err, NULL)
                                 : try_append(f, 1, f->j.ends[0], f->j.ends[1]),
                          &f->db->err);
        env_fault_fail(f->db->fault, NULL);
        assert_ldb_status(LDB_READ_ONLY,
                          try_append(f, 1, f->j.ends[0], f->j.ends[1]),
                          &f->db->err);
        assert_ldb_message("opened again", &f->db->err);
        assert_ldb_status(LDB_READ_ONLY,
                          ldb_twin_sync(f->db->db, &f->db->err, NULL),
                          &f->db->err);
        assert_ldb_status(LDB_READ_ONLY, try_seal(f, 1, f->j.ends[0]),
                          &f->db->err);
        assert_true(has_key(f, 1));
        reopen(f);
        assert_at(f, 1, f->j.ends[0], 3);
    }
    append(f, 1, f->j.ends[0], f->j.ends[1]);
    assert_at(f, 2, f->j.ends[1], 6);
}

/* Two batches, a sync between them, a seal, the next journal; from wherever the
 * twin is. */
static enum ldb_status take_all(struct fixture *f)
{
    struct ldb_twin_state at = state_of(f);
    enum ldb_status s = LDB_OK;

    if (at.written.journal == 1 && !at.journals[0].is_sealed) {
        if (at.next_offset < f->j.ends[0])
            s = try_append(f, 1, at.next_offset, f->j.ends[0]);
        if (s == LDB_OK)
            s = ldb_twin_sync(f->db->db, &f->db->err, NULL);
        at = state_of(f);
        if (s == LDB_OK)
            s = try_append(f, 1, at.next_offset, f->j.ends[1]);
    }
    if (s == LDB_OK)
        s = try_seal(f, 1, f->j.ends[1]);
    if (s == LDB_OK && at.written.journal == 1)
        s = try_append(f, 2, 0, 0);
    return s;
}

static void every_failed_allocation_is_made_good_by_the_next_call(void **state)
{
    uint64_t n;

    for (n = 1; n < CALLS_MAX; n++) {
        struct fixture *f = *state;
        struct ldb_twin_state at;
        enum ldb_status s;

        write_batch(&f->j, 1, 3, 10);
        write_batch(&f->j, 4, 5, 70000);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = take_all(f);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->db->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->db->err);
        assert_ldb_ok(ldb_twin_sync(f->db->db, &f->db->err, NULL), &f->db->err);
        at = state_of(f);
        assert_memory_equal(&at.written, &at.applied, sizeof(at.written));
        assert_memory_equal(&at.written, &at.synced, sizeof(at.written));
        assert_ldb_ok(take_all(f), &f->db->err);
        assert_true(has_key(f, 8));
        assert_int_equal(state_of(f).journal_count, 2);
        (void)teardown(state);
        (void)setup(state);
    }
    assert_in_range(n, 8, CALLS_MAX - 1);
}

static void every_failed_call_is_made_good_by_the_next_or_an_open(void **state)
{
    uint64_t n;

    for (n = 1; n < CALLS_MAX; n++) {
        const struct env_fault_rule rule = {.kinds = ENV_FAULT_WRITES,
                                            .nth = n,
                                            .sys_errno = EIO,
                                            .torn = true};
        struct fixture *f = *state;
        enum ldb_status s;

        write_batch(&f->j, 1, 3, 10);
        write_batch(&f->j, 4, 3, 100);
        env_fault_fail(f->db->fault, &rule);
        s = take_all(f);
        env_fault_fail(f->db->fault, NULL);
        if (s == LDB_OK)
            break;
        assert_ldb_status(LDB_IO, s, &f->db->err);
        if (ldb_health(f->db->db, NULL) != LDB_HEALTHY)
            reopen(f);
        assert_ldb_ok(take_all(f), &f->db->err);
        assert_true(has_key(f, 6));
        assert_int_equal(state_of(f).journal_count, 2);
        (void)teardown(state);
        (void)setup(state);
    }
    assert_in_range(n, 5, CALLS_MAX - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(bytes_become_readable_with_their_record),
        TEST(snapshots_and_cursors_stay_as_they_were),
        TEST(bytes_that_do_not_go_on_are_refused),
        TEST(damaged_bytes_are_refused_and_those_before_them_taken),
        TEST(records_that_are_no_sound_batch_are_refused),
        TEST(sequences_may_jump_up),
        TEST(the_next_journal_begins_once_this_one_is_sealed),
        TEST(bytes_past_the_sealed_length_are_another_journal),
        TEST(a_sealed_journal_is_durable_before_the_next_begins),
        TEST(memtables_that_wait_are_bounded),
        TEST(what_was_synced_survives_and_the_rest_comes_again),
        TEST(a_full_disk_stops_a_twin_until_there_is_space),
        TEST(a_torn_write_is_cut_off),
        TEST(a_failed_sync_or_cut_stops_it_until_it_is_opened_again),
        TEST(every_failed_allocation_is_made_good_by_the_next_call),
        TEST(every_failed_call_is_made_good_by_the_next_or_an_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
