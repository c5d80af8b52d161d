/*
 * Replay of journals (docs/formats.md, rules 2, 3, 13, 14, 17 to 19, 28, 31):
 * folders are made by us, or journal by journal by hand.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/env.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/journal_writer.h"
#include "storage/journal/write_batch.h"
#include "storage/verify.h"
#include "storage/version/manifest.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

#define JOURNAL_MAX ((size_t)1 << 20)

/* ---- journals by hand ---- */

/* Appends a batch of puts key=value ("a=1 b=2") to the journal's writer. */
static void add_batch(struct db_fixture *f, struct ldb_journal_writer *writer,
                      ldb_sequence first, const char *puts)
{
    struct ldb_batch batch;
    struct ldb_slice record;

    ldb_batch_init(&batch, 4096);
    for (const char *p = puts; *p != '\0'; p += p[3] == ' ' ? 4 : 3)
        assert_int_equal(ldb_batch_put(&batch, ldb_slice_make(p, 1),
                                       ldb_slice_make(p + 2, 1)),
                         LDB_OK);
    ldb_batch_set_sequence(&batch, first);
    record = ldb_slice_of_buf(&batch.rep);
    assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &f->err), &f->err);
    ldb_batch_release(&batch);
}

static struct ldb_journal_writer *begin_journal(struct db_fixture *f,
                                                uint64_t number)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;
    char path[64];

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%06llu.log",
                   (unsigned long long)number);
    assert_ldb_ok(f->env->ops->open_writable(f->env, path, LDB_OPEN_TRUNCATE,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_journal_writer_create(file, 0, &f->err, &writer),
                  &f->err);
    return writer;
}

static void end_journal(struct db_fixture *f, struct ldb_journal_writer *writer)
{
    assert_ldb_ok(ldb_journal_writer_flush(writer, &f->err), &f->err);
    assert_ldb_ok(ldb_journal_writer_sync(writer, &f->err), &f->err);
    assert_ldb_ok(ldb_journal_writer_close(writer, &f->err), &f->err);
}

/* Closes the database; a number that no file of it has. */
static uint64_t close_and_pick_number(struct db_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    db_fixture_close(f);
    return stats.journal_number + 10;
}

/* ---- the MANIFEST's fields ---- */

struct fields {
    uint64_t log_number[16];
    ldb_sequence last_sequence[16];
    size_t count;
};

/* The edits that move field 2. */
static enum ldb_status take_fields(void *context,
                                   const struct ldb_version_edit *edit,
                                   struct ldb_error *err)
{
    struct fields *fields = context;

    (void)err;
    /* Field 4 never stands without field 2: absent from compactions. */
    assert_int_equal(edit->has_log_number, edit->has_last_sequence);
    if (!edit->has_log_number)
        return LDB_OK;
    assert_true(fields->count < 16);
    fields->log_number[fields->count] = edit->log_number;
    fields->last_sequence[fields->count++] = edit->last_sequence;
    return LDB_OK;
}

static void read_fields(struct db_fixture *f, struct fields *out)
{
    struct ldb_stats stats;
    uint64_t len;

    ldb_stats(f->db, &stats);
    *out = (struct fields){0};
    assert_ldb_ok(ldb_manifest_read(f->env, DB_FIXTURE_DIR,
                                    stats.manifest_number, take_fields, out,
                                    &f->err, &len),
                  &f->err);
}

static void
the_last_sequence_is_that_before_the_oldest_needed_journal(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;
    struct fields fields;
    uint64_t second_journal;

    db_fixture_fill(f, 0, 10);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE), ".ldb", EIO);
    assert_ldb_status(LDB_IO, ldb_flush(f->db, &f->err), &f->err);
    ldb_stats(f->db, &stats);
    second_journal = stats.journal_number;
    /* The table of 1 to 10 is not written yet; the new journal has more. */
    db_fixture_fill(f, 10, 15);
    env_fault_fail(f->fault, NULL);
    while (ldb_flush(f->db, &f->err) != LDB_OK)
        assert_ldb_status(LDB_IO, f->err.status, &f->err);
    read_fields(f, &fields);
    assert_true(fields.count >= 2);
    for (size_t i = 0; i < fields.count; i++) {
        ldb_sequence expected = fields.log_number[i] < second_journal    ? 0
                                : fields.log_number[i] == second_journal ? 10
                                                                         : 15;

        assert_int_equal(fields.last_sequence[i], expected);
    }
    assert_int_equal(fields.last_sequence[fields.count - 1], 15);
    db_fixture_assert_filled(f, 0, 15);
}

static void journals_are_replayed_in_order_with_an_edit_each(void **state)
{
    struct db_fixture *f = *state;
    uint64_t number = close_and_pick_number(f);
    struct ldb_journal_writer *writer;
    struct fields fields;

    writer = begin_journal(f, number + 5);
    add_batch(f, writer, 4, "b=3 c=3");
    end_journal(f, writer);
    writer = begin_journal(f, number);
    add_batch(f, writer, 1, "a=1 b=1");
    add_batch(f, writer, 3, "c=1");
    end_journal(f, writer);
    db_fixture_open(f);
    assert_int_equal(f->recovery.last_sequence, 5);
    assert_int_equal(f->recovery.tables_written, 2);
    assert_int_equal(f->recovery.records_replayed, 3);
    assert_int_equal(f->recovery.journal_number, number + 5);
    db_fixture_assert_value(f, "a", "1");
    db_fixture_assert_value(f, "b", "3");
    db_fixture_assert_value(f, "c", "3");
    read_fields(f, &fields);
    assert_true(fields.count >= 2);
    assert_int_equal(fields.log_number[fields.count - 2], number + 5);
    assert_int_equal(fields.last_sequence[fields.count - 2], 3);
    assert_true(fields.log_number[fields.count - 1] > number + 5);
    assert_int_equal(fields.last_sequence[fields.count - 1], 5);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
}

static void a_batch_below_the_last_sequence_is_replayed(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_journal_writer *writer;
    uint64_t number;

    db_fixture_fill(f, 0, 20);
    db_fixture_flush(f);
    number = close_and_pick_number(f);
    writer = begin_journal(f, number);
    add_batch(f, writer, 7, "x=1");
    end_journal(f, writer);
    db_fixture_open(f);
    db_fixture_assert_value(f, "x", "1");
    assert_int_equal(ldb_last_sequence(f->db), 20);
}

static void an_empty_batch_is_read_over(void **state)
{
    struct db_fixture *f = *state;
    uint64_t number = close_and_pick_number(f);
    struct ldb_journal_writer *writer = begin_journal(f, number);
    static const uint8_t empty[12] = {2}; /* sequence 2, no operation */
    const struct ldb_slice record = {empty, sizeof(empty)};

    add_batch(f, writer, 1, "a=1");
    assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &f->err), &f->err);
    add_batch(f, writer, 2, "b=2");
    end_journal(f, writer);
    db_fixture_open(f);
    assert_int_equal(f->recovery.records_replayed, 3);
    assert_int_equal(f->recovery.bytes_dropped, 0);
    assert_int_equal(ldb_last_sequence(f->db), 2);
    db_fixture_assert_value(f, "b", "2");
}

/* As after an append that failed, in a store that reuses numbers. */
static void of_two_equal_internal_keys_one_is_kept(void **state)
{
    struct db_fixture *f = *state;
    uint64_t number = close_and_pick_number(f);
    struct ldb_journal_writer *writer = begin_journal(f, number);
    struct ldb_cursor *cursor = NULL;

    add_batch(f, writer, 1, "a=1");
    add_batch(f, writer, 1, "a=2");
    end_journal(f, writer);
    db_fixture_open(f);
    db_fixture_assert_value(f, "a", "2");
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_assert_value(f, "a", "2");
    assert_ldb_ok(ldb_cursor_open(f->db, NULL, &f->err, &cursor), &f->err);
    ldb_cursor_seek_first(cursor);
    assert_true(ldb_cursor_valid(cursor));
    ldb_cursor_next(cursor);
    assert_false(ldb_cursor_valid(cursor));
    ldb_cursor_close(cursor);
}

/* A record whose checksum is right and whose batch is not. */
static void a_batch_that_fails_half_way_leaves_nothing(void **state)
{
    /* sequence 2, count 2; a put of y=1, then an operation of kind 9 */
    static const uint8_t bad[] = {2, 0, 0, 0, 0,   0, 0,   0, 2, 0,
                                  0, 0, 1, 1, 'y', 1, '1', 9, 1, 'z'};
    const struct ldb_slice record = {bad, sizeof(bad)};
    struct db_fixture *f = *state;
    uint64_t number = close_and_pick_number(f);
    struct ldb_journal_writer *writer = begin_journal(f, number);

    add_batch(f, writer, 1, "a=1");
    assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &f->err), &f->err);
    add_batch(f, writer, 4, "b=2");
    end_journal(f, writer);
    f->options.strict_journal = true;
    assert_ldb_status(
        LDB_CORRUPTION,
        ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err, &f->db), &f->err);
    f->options.strict_journal = false;
    db_fixture_open(f);
    assert_int_equal(f->recovery.bytes_dropped, sizeof(bad));
    db_fixture_assert_value(f, "a", "1");
    db_fixture_assert_value(f, "y", NULL);
    db_fixture_assert_value(f, "b", "2");
}

/* ---- ends of journals ---- */

/* Three records: the middle one crosses a block, so that padding and chunk
 * headers are among the bytes where the journal may end. */
static void a_journal_may_end_at_any_byte(void **state)
{
    enum {
        VALUE = 32700
    };
    struct db_fixture *f = *state;
    struct ldb_buf journal = LDB_BUF_INIT(JOURNAL_MAX);
    static uint8_t value[VALUE];
    char name[32];
    char path[64];
    size_t last_len = 0;

    f->options.read_only = false;
    (void)db_fixture_put(f, "a", "1");
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("big"),
                          ldb_slice_make(value, VALUE), true, &f->err, NULL),
                  &f->err);
    (void)db_fixture_put(f, "z", "1");
    (void)snprintf(name, sizeof(name), "%06llu.log",
                   (unsigned long long)close_and_pick_number(f) - 10);
    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%s", name);
    db_fixture_read_file(f, name, &journal);
    f->options.read_only = true;
    for (size_t len = 0; len <= journal.len; len++) {
        ldb_sequence last;

        if (len > 60 && len < 32700) {
            len = 32700; /* inside the value nothing changes */
            continue;
        }
        db_fixture_write_file(f, name, ldb_slice_make(journal.data, len));
        db_fixture_open(f);
        last = ldb_last_sequence(f->db);
        assert_true(last >= last_len && last <= 3);
        last_len = last;
        assert_int_equal(f->recovery.bytes_dropped, 0);
        db_fixture_assert_value(f, "a", last >= 1 ? "1" : NULL);
        db_fixture_assert_value(f, "z", last >= 3 ? "1" : NULL);
        db_fixture_close(f);
    }
    assert_int_equal(last_len, 3);
    f->options.read_only = false;
    ldb_buf_release(&journal);
}

/* ---- gaps of mapped journals ---- */

/* Records of them that end before offset. */
static unsigned count_records(struct db_fixture *f, const char *path,
                              uint64_t offset)
{
    const struct ldb_journal_reader_options options = {0};
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record;
    unsigned count = 0;

    assert_ldb_ok(f->env->ops->open_sequential(f->env, path, &f->err, &file),
                  &f->err);
    assert_ldb_ok(
        ldb_journal_reader_create(file, "j", &options, &f->err, &reader),
        &f->err);
    while (ldb_journal_reader_next(reader, &f->err, &record) == LDB_OK &&
           ldb_journal_reader_end_offset(reader) <= offset)
        count++;
    ldb_journal_reader_destroy(reader);
    ldb_sequential_close(file);
    return count;
}

static enum ldb_status no_damage(void *context,
                                 const struct ldb_finding *finding)
{
    (void)context;
    if (finding->kind == LDB_FINDING_DAMAGE)
        fail_msg("%s: %s", finding->file, finding->message);
    return LDB_OK;
}

/* It is open, with the first count of fill and no more. */
static void assert_first(struct db_fixture *f, unsigned count)
{
    char key[16];

    assert_int_equal(ldb_last_sequence(f->db), count);
    db_fixture_assert_filled(f, 0, count);
    (void)snprintf(key, sizeof(key), "key%06u", count);
    db_fixture_assert_value(f, key, NULL);
}

/* Recovery, read-only and not, the check and the repair see the same. */
static void assert_ends_at(struct db_fixture *f, const char *name,
                           struct ldb_slice journal, unsigned count,
                           bool is_whole)
{
    struct ldb_verify_summary summary = {0};
    enum ldb_status strict;

    f->options.read_only = true;
    db_fixture_write_file(f, name, journal);
    db_fixture_open(f);
    assert_int_equal(f->recovery.bytes_dropped, 0);
    assert_int_equal(f->recovery.tail_bytes == 0, is_whole);
    assert_first(f, count);
    db_fixture_close(f);
    assert_ldb_ok(ldb_verify_folder(DB_FIXTURE_DIR, &f->options, no_damage,
                                    NULL, &f->err, &summary),
                  &f->err);
    assert_int_equal(summary.journal_records, count);
    /* Strict, it is refused where a record is seen behind the gap. */
    f->options.strict_journal = true;
    strict = ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err, &f->db);
    if (strict == LDB_OK) {
        assert_first(f, count);
        db_fixture_close(f);
    } else {
        assert_ldb_status(LDB_CORRUPTION, strict, &f->err);
        assert_false(is_whole);
    }
    f->options.strict_journal = false;
    f->options.read_only = false;
}

/*
 * Any page may be missing, or the end of one: what is before it is there, and
 * nothing of what is behind it, however whole.
 */
static void nothing_behind_a_gap_is_replayed(void **state)
{
    enum {
        RECORDS = 500, /* more than a block of them, in less than a window */
    };
    static const struct {
        size_t from;
        size_t to;
    } gaps[] = {
        {0, 4096},      {0, 512},       {0, 32768},     {4096, 8192},
        {8191, 8192},   {28672, 32768}, {32768, 36864}, {40959, 40960},
        {45056, 49152}, {4096, 49152},  {36864, 65536}, {65000, 65536},
    };
    struct db_fixture *f = *state;
    struct ldb_buf whole = LDB_BUF_INIT(JOURNAL_MAX);
    struct ldb_repair_report report = {0};
    char name[32];
    char path[64];
    size_t len;

    f->options.write_buffer_bytes = 1 << 20;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, RECORDS);
    (void)snprintf(name, sizeof(name), "%06llu.log",
                   (unsigned long long)close_and_pick_number(f) - 10);
    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%s", name);
    db_fixture_read_file(f, name, &whole);
    len = whole.len;
    assert_in_range(len, 53248, LDB_WINDOW_UNIT - 1);
    while (whole.len < LDB_WINDOW_UNIT)
        assert_int_equal(ldb_buf_append(&whole, ldb_slice_make("", 1)), LDB_OK);
    assert_ends_at(f, name, ldb_slice_of_buf(&whole), RECORDS, true);
    for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
        struct ldb_buf torn = LDB_BUF_INIT(JOURNAL_MAX);
        size_t from = gaps[i].from;
        unsigned count;

        print_message("%zu to %zu\n", from, gaps[i].to);
        db_fixture_write_file(f, name, ldb_slice_of_buf(&whole));
        count = count_records(f, path, from);
        assert_int_equal(ldb_buf_assign(&torn, ldb_slice_of_buf(&whole)),
                         LDB_OK);
        memset(torn.data + from, 0, gaps[i].to - from);
        if (memcmp(torn.data, whole.data, len) != 0)
            assert_ends_at(f, name, ldb_slice_of_buf(&torn), count, false);
        ldb_buf_release(&torn);
    }
    /* The last one: opened for writing, what is left is all there was. */
    memset(whole.data + 4096, 0, 4096);
    db_fixture_write_file(f, name, ldb_slice_of_buf(&whole));
    len = count_records(f, path, 4096);
    assert_ldb_ok(ldb_repair(DB_FIXTURE_DIR, &f->options,
                             &(struct ldb_repair_options){.dry_run = true},
                             &report, &f->err),
                  &f->err);
    assert_false(report.needed);
    assert_int_equal(report.journal_records, len);
    db_fixture_open(f);
    assert_first(f, (unsigned)len);
    (void)db_fixture_put(f, "new", "1");
    db_fixture_reopen(f);
    db_fixture_assert_value(f, "new", "1");
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    db_fixture_assert_filled(f, 0, (unsigned)len);
    ldb_buf_release(&whole);
}

/* Damage takes its block along; what goes on to the end of the file is the
 * tail, damaged or not. */
static void a_zeroed_tail_is_an_end_and_damage_before_is_counted(void **state)
{
    static const uint8_t zeros[100];
    static const uint8_t big[33000];
    struct db_fixture *f = *state;
    struct ldb_buf journal = LDB_BUF_INIT(JOURNAL_MAX);
    char name[32];

    (void)db_fixture_put(f, "a", "1");
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("big"),
                          ldb_slice_make(big, sizeof(big)), true, &f->err,
                          NULL),
                  &f->err);
    (void)db_fixture_put(f, "b", "2");
    (void)snprintf(name, sizeof(name), "%06llu.log",
                   (unsigned long long)close_and_pick_number(f) - 10);
    db_fixture_read_file(f, name, &journal);
    assert_int_equal(
        ldb_buf_append(&journal, ldb_slice_make(zeros, sizeof(zeros))), LDB_OK);
    db_fixture_write_file(f, name, ldb_slice_of_buf(&journal));
    f->options.read_only = true;
    f->options.strict_journal = true;
    db_fixture_open(f);
    assert_int_equal(f->recovery.bytes_dropped, 0);
    assert_int_equal(f->recovery.tail_bytes, sizeof(zeros));
    db_fixture_assert_value(f, "b", "2");
    db_fixture_close(f);

    journal.data[20] ^= 1; /* in the first record */
    db_fixture_write_file(f, name, ldb_slice_of_buf(&journal));
    assert_ldb_status(
        LDB_CORRUPTION,
        ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err, &f->db), &f->err);
    f->options.strict_journal = false;
    db_fixture_open(f);
    assert_true(f->recovery.bytes_dropped > 0);
    db_fixture_assert_value(f, "a", NULL);
    db_fixture_assert_value(f, "big", NULL);
    db_fixture_assert_value(f, "b", "2");
    ldb_buf_release(&journal);
}

static void an_old_journal_is_never_appended_to(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats before;
    struct ldb_stats after;

    (void)db_fixture_put(f, "a", "1");
    ldb_stats(f->db, &before);
    db_fixture_reopen(f);
    ldb_stats(f->db, &after);
    assert_true(after.journal_number > before.journal_number);
    assert_int_equal(after.journal_bytes, 0);
    assert_true(after.manifest_number > before.manifest_number);
    assert_int_equal(f->recovery.journal_number, before.journal_number);
    assert_int_equal(f->recovery.journal_len, before.journal_bytes);
    assert_int_equal(f->recovery.manifest_number, before.manifest_number);
    assert_int_equal(f->recovery.manifest_len, before.manifest_bytes);
}

struct watch {
    struct env_fault *fault;
    const char *journal;
    unsigned seen;
    uint64_t len; /* after a power cut when it went last */
};

static void look_at_removed(void *context, enum env_fault_kind kind,
                            const char *path)
{
    struct watch *watch = context;
    struct env_fault *after;
    struct ldb_error err = {0};

    if (kind != ENV_FAULT_REMOVE_FILE || strcmp(path, watch->journal) != 0)
        return;
    after = env_fault_after_cut(watch->fault, LDB_CRASH_KEEP_NONE, 0);
    assert_ldb_ok(env_fault_below(after)->ops->file_size(
                      env_fault_below(after), path, &err, &watch->len),
                  &err);
    watch->seen++;
    env_fault_destroy(after);
}

/* Of a process that died before it synced. */
static void a_replayed_journal_is_durable_before_its_tables_count(void **state)
{
    struct db_fixture *f = *state;
    uint64_t number = close_and_pick_number(f);
    struct ldb_journal_writer *writer = begin_journal(f, number);
    struct watch watch = {.fault = f->fault};
    uint64_t len = 0;
    char path[64];

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%06llu.log",
                   (unsigned long long)number);
    watch.journal = path;
    add_batch(f, writer, 1, "a=1 b=2");
    assert_ldb_ok(ldb_journal_writer_flush(writer, &f->err), &f->err);
    assert_ldb_ok(ldb_journal_writer_close(writer, &f->err), &f->err);
    assert_ldb_ok(f->env->ops->sync_dir(f->env, DB_FIXTURE_DIR, &f->err),
                  &f->err);
    assert_ldb_ok(f->env->ops->file_size(f->env, path, &f->err, &len), &f->err);
    assert_true(len > 0);
    env_fault_set_call_hook(f->fault, look_at_removed, &watch);
    db_fixture_open(f);
    db_fixture_close(f);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_int_equal(watch.seen, 1);
    assert_int_equal(watch.len, len);
    db_fixture_open(f);
    db_fixture_assert_value(f, "b", "2");
}

/* Cut to its first record a MANIFEST is whole, and names no table. */
static void
a_manifest_before_the_first_journal_beside_tables_is_damage(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_writable_file *file = NULL;
    uint64_t tables;

    db_fixture_put(f, "a", "1");
    db_fixture_flush(f);
    db_fixture_close(f);
    tables = db_fixture_count_files(f, LDB_FILE_TABLE);
    assert_true(tables > 0);
    assert_ldb_ok(f->env->ops->open_writable(f->env,
                                             DB_FIXTURE_DIR "/MANIFEST-000000",
                                             LDB_OPEN_APPEND, &f->err, &file),
                  &f->err);
    /* docs/formats.md: bytes of the first record of a new database. */
    assert_ldb_ok(ldb_file_truncate(file, 41, &f->err), &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
    assert_int_equal(
        ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err, &f->db),
        LDB_CORRUPTION);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), tables);
    assert_ldb_ok(ldb_repair(DB_FIXTURE_DIR, &f->options, NULL, NULL, &f->err),
                  &f->err);
    db_fixture_open(f);
    db_fixture_assert_value(f, "a", "1");
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_last_sequence_is_that_before_the_oldest_needed_journal),
        TEST(journals_are_replayed_in_order_with_an_edit_each),
        TEST(a_batch_below_the_last_sequence_is_replayed),
        TEST(an_empty_batch_is_read_over),
        TEST(of_two_equal_internal_keys_one_is_kept),
        TEST(a_batch_that_fails_half_way_leaves_nothing),
        TEST(a_journal_may_end_at_any_byte),
        TEST(nothing_behind_a_gap_is_replayed),
        TEST(a_zeroed_tail_is_an_end_and_damage_before_is_counted),
        TEST(an_old_journal_is_never_appended_to),
        TEST(a_replayed_journal_is_durable_before_its_tables_count),
        TEST(a_manifest_before_the_first_journal_beside_tables_is_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
