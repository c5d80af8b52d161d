/*
 * The journals that are kept: without a gap, within their bounds, whatever
 * fails and whenever the power goes.
 */
#include "storage/retained.h"

#include <errno.h>
#include <stdio.h>

#include "storage/db_internal.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/env_crash.h"

#define HOUR_US UINT64_C(3600000000)
#define FILES   64

static int setup(void **state)
{
    struct db_fixture *f;

    (void)db_fixture_setup(state);
    f = *state;
    f->options.archive_bytes = 1 << 20;
    f->options.archive_age_us = HOUR_US;
    db_fixture_reopen(f);
    return 0;
}

/* ---- what is there ---- */

static unsigned list(struct db_fixture *f,
                     struct ldb_retained_journal out[FILES])
{
    return (unsigned)ldb_retained_list(ldb_db_retained(f->db), 0, out, FILES);
}

static struct ldb_retained_figures figures(struct db_fixture *f)
{
    struct ldb_retained_figures out;

    ldb_retained_figures(ldb_db_retained(f->db), &out);
    return out;
}

/* Reads on from sequence after; the last one found. */
static ldb_sequence read_journal(struct db_fixture *f,
                                 const struct ldb_retained_journal *journal,
                                 ldb_sequence after)
{
    const struct ldb_journal_reader_options options = {.strict = true};
    struct ldb_sequential_file *file = NULL;
    struct ldb_journal_reader *reader = NULL;
    struct ldb_slice record;
    enum ldb_status s;

    assert_ldb_ok(ldb_retained_open_sequential(ldb_db_retained(f->db),
                                               journal->number, &f->err, &file),
                  &f->err);
    assert_ldb_ok(
        ldb_journal_reader_create(file, "journal", &options, &f->err, &reader),
        &f->err);
    while ((s = ldb_journal_reader_next(reader, &f->err, &record)) == LDB_OK) {
        ldb_sequence first = 0;
        uint32_t count = 0;

        assert_ldb_ok(ldb_batch_check(record, &f->err, &first, &count),
                      &f->err);
        assert_true(first >= journal->first);
        assert_true(first + count - 1 <= journal->last);
        assert_int_equal(first, after + 1);
        after += count;
    }
    assert_ldb_status(LDB_NOT_FOUND, s, &f->err);
    ldb_journal_reader_destroy(reader);
    ldb_sequential_close(file);
    return after;
}

/* From the oldest sequence to the last one nothing is missing or double. */
static void assert_no_gap(struct db_fixture *f)
{
    struct ldb_retained *retained = ldb_db_retained(f->db);
    struct ldb_retained_journal journals[FILES];
    unsigned count = list(f, journals);
    ldb_sequence at = ldb_retained_oldest(retained);
    uint64_t bytes = 0;

    assert_true(count > 0 && count < FILES);
    for (unsigned i = 0; i < count; i++) {
        struct ldb_retained_journal next;

        assert_int_equal(journals[i].before,
                         i == 0 ? journals[0].before : journals[i - 1].number);
        if (i > 0)
            assert_ldb_ok(
                ldb_retained_after(retained, journals[i - 1].number, &next),
                &f->err);
        at = read_journal(f, &journals[i], at);
        if (journals[i].is_archived)
            bytes += (journals[i].len + 4095) / 4096 * 4096;
    }
    assert_int_equal(at, ldb_last_sequence(f->db));
    assert_true(figures(f).bytes >= bytes);
    assert_true(figures(f).bytes <= f->options.archive_bytes);
}

static enum ldb_status count_name(void *context, const char *name)
{
    unsigned *count = context;

    (void)name;
    (*count)++;
    return LDB_OK;
}

static unsigned archived_files(struct db_fixture *f)
{
    unsigned count = 0;
    enum ldb_status s =
        f->env->ops->list_dir(f->env, DB_FIXTURE_DIR "/" LDB_ARCHIVE_FOLDER,
                              count_name, &count, &f->err);

    if (s != LDB_NOT_FOUND)
        assert_ldb_ok(s, &f->err);
    return count;
}

/* A journal of so many writes, which take 8 KiB of disk, and its table. */
#define WRITES UINT64_C(40)
#define BYTES  UINT64_C(8192)
static void write_journal(struct db_fixture *f)
{
    static unsigned at;

    db_fixture_fill(f, at, at + WRITES);
    at += WRITES;
    db_fixture_flush(f);
    db_fixture_settle(f);
}

/* ---- keeping ---- */

static void a_flushed_journal_goes_to_the_archive(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned n = 1; n < 6; n++) {
        write_journal(f);
        assert_int_equal(figures(f).journals, n);
        assert_int_equal(archived_files(f), n);
        assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
        assert_int_equal(figures(f).oldest, 0);
        assert_no_gap(f);
    }
}

static void without_one_it_goes_away(void **state)
{
    struct db_fixture *f = *state;

    write_journal(f);
    f->options.archive_bytes = 0;
    db_fixture_reopen(f);
    assert_int_equal(archived_files(f), 0);
    write_journal(f);
    assert_int_equal(figures(f).journals, 0);
    assert_int_equal(archived_files(f), 0);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    assert_int_equal(figures(f).oldest, 2 * WRITES);
    assert_no_gap(f);
}

static void nobody_makes_the_folder_in_vain(void **state)
{
    struct db_fixture *f = *state;
    uint64_t size;

    db_fixture_reopen(f);
    assert_int_equal(f->env->ops->file_size(f->env,
                                            DB_FIXTURE_DIR "/" LDB_OWN_FOLDER,
                                            NULL, &size),
                     LDB_NOT_FOUND);
}

static void the_oldest_go_beyond_the_bytes(void **state)
{
    struct db_fixture *f = *state;
    ldb_sequence oldest = 0;

    f->options.archive_bytes = 5 * BYTES + 100;
    db_fixture_reopen(f);
    for (unsigned n = 0; n < 20; n++) {
        write_journal(f);
        assert_true(figures(f).bytes <= f->options.archive_bytes);
        assert_true(figures(f).oldest >= oldest);
        oldest = figures(f).oldest;
        assert_no_gap(f);
    }
    assert_true(oldest > 0);
    assert_int_equal(figures(f).journals, 5);
    assert_int_equal(archived_files(f), 5);
}

static void one_larger_than_all_is_not_kept(void **state)
{
    struct db_fixture *f = *state;

    write_journal(f);
    f->options.archive_bytes = 2 * BYTES;
    db_fixture_reopen(f);
    assert_int_equal(figures(f).journals, 1);
    db_fixture_fill(f, 0, 500);
    db_fixture_flush(f);
    db_fixture_settle(f);
    assert_int_equal(figures(f).journals, 0);
    assert_int_equal(archived_files(f), 0);
    assert_int_equal(figures(f).oldest, ldb_last_sequence(f->db));
    write_journal(f);
    assert_int_equal(figures(f).journals, 1);
    assert_no_gap(f);
}

static void an_old_one_goes(void **state)
{
    struct db_fixture *f = *state;

    env_fault_set_clock(f->fault, HOUR_US);
    write_journal(f);
    env_fault_set_clock(f->fault, HOUR_US + HOUR_US / 2);
    write_journal(f);
    assert_int_equal(figures(f).journals, 2);
    env_fault_set_clock(f->fault, 2 * HOUR_US);
    ldb_archive_trim(f->db, UINT64_MAX);
    assert_int_equal(figures(f).journals, 1);
    assert_no_gap(f);
    env_fault_set_clock(f->fault, 3 * HOUR_US);
    write_journal(f);
    assert_int_equal(figures(f).journals, 1);
    assert_no_gap(f);
    env_fault_set_clock(f->fault, 0);
}

static void space_can_be_asked_for(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned n = 0; n < 4; n++)
        write_journal(f);
    ldb_archive_trim(f->db, 2 * BYTES);
    assert_int_equal(figures(f).journals, 2);
    assert_no_gap(f);
    ldb_archive_trim(f->db, 0);
    assert_int_equal(figures(f).journals, 0);
    assert_int_equal(archived_files(f), 0);
    assert_no_gap(f);
}

/* ---- pins ---- */

static bool is_lost(struct ldb_retained *retained, const struct ldb_pin *pin)
{
    uint64_t len;

    return ldb_retained_pin_is_lost(retained, pin, &len);
}

static void pin_it(struct ldb_retained *retained, struct ldb_pin *pin,
                   uint64_t number)
{
    assert_true(ldb_retained_pin(retained, pin, number));
}

static void a_pin_keeps_what_is_too_old(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained *retained = ldb_db_retained(f->db);
    struct ldb_retained_journal journals[FILES];
    struct ldb_pin pin = {0};

    env_fault_set_clock(f->fault, HOUR_US);
    for (unsigned n = 0; n < 3; n++)
        write_journal(f);
    (void)list(f, journals);
    pin_it(retained, &pin, journals[1].number);
    assert_int_equal(figures(f).pins, 1);
    env_fault_set_clock(f->fault, 3 * HOUR_US);
    ldb_archive_trim(f->db, UINT64_MAX);
    assert_int_equal(figures(f).journals, 2);
    assert_false(is_lost(retained, &pin));
    pin_it(retained, &pin, journals[2].number);
    ldb_archive_trim(f->db, UINT64_MAX);
    assert_int_equal(figures(f).journals, 1);
    ldb_retained_unpin(retained, &pin);
    ldb_retained_unpin(retained, &pin);
    assert_int_equal(figures(f).pins, 0);
    ldb_archive_trim(f->db, UINT64_MAX);
    assert_int_equal(figures(f).journals, 0);
    assert_int_equal(figures(f).pins_lost, 0);
    env_fault_set_clock(f->fault, 0);
}

static void with_no_age_only_what_is_pinned_is_kept(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained *retained;
    struct ldb_pin pin = {0};
    struct ldb_pin other = {0};

    f->options.archive_age_us = 0;
    db_fixture_reopen(f);
    retained = ldb_db_retained(f->db);
    write_journal(f);
    assert_int_equal(figures(f).journals, 0);
    pin_it(retained, &pin, f->db->journal_number);
    write_journal(f);
    pin_it(retained, &other, f->db->journal_number);
    write_journal(f);
    assert_int_equal(figures(f).journals, 2);
    assert_no_gap(f);
    ldb_retained_unpin(retained, &pin);
    write_journal(f);
    assert_int_equal(figures(f).journals, 2);
    ldb_retained_unpin(retained, &other);
    write_journal(f);
    assert_int_equal(figures(f).journals, 0);
    assert_no_gap(f);
}

static void a_dead_reader_cannot_fill_the_disk(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained *retained;
    struct ldb_pin dead = {0};
    struct ldb_pin alive = {0};
    uint64_t first;
    uint64_t len = 0;

    f->options.archive_bytes = 4 * BYTES;
    db_fixture_reopen(f);
    retained = ldb_db_retained(f->db);
    first = f->db->journal_number;
    pin_it(retained, &dead, first);
    for (unsigned n = 0; n < 4; n++)
        write_journal(f);
    assert_false(is_lost(retained, &dead));
    pin_it(retained, &alive, f->db->journal_number);
    write_journal(f);
    assert_true(ldb_retained_pin_is_lost(retained, &dead, &len));
    assert_true(len > BYTES / 2 && len <= BYTES);
    assert_false(ldb_retained_pin(retained, &dead, first));
    assert_true(ldb_retained_pin_is_lost(retained, &dead, &len));
    assert_true(len == UINT64_MAX);
    assert_false(is_lost(retained, &alive));
    assert_int_equal(figures(f).pins_lost, 1);
    assert_true(figures(f).bytes <= f->options.archive_bytes);
    assert_no_gap(f);
    /* He may pin what there is. */
    pin_it(retained, &dead, f->db->journal_number);
    assert_false(is_lost(retained, &dead));
    ldb_retained_unpin(retained, &dead);
    ldb_retained_unpin(retained, &alive);
}

/* ---- looking up ---- */

static void a_sequence_leads_to_its_journal(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained *retained;
    struct ldb_retained_journal journals[FILES];
    struct ldb_retained_journal found;
    unsigned count;

    f->options.archive_bytes = 4 * BYTES;
    db_fixture_reopen(f);
    retained = ldb_db_retained(f->db);
    for (unsigned n = 0; n < 6; n++)
        write_journal(f);
    count = list(f, journals);
    assert_int_equal(count, 5);
    for (ldb_sequence after = 0; after <= 6 * WRITES; after++) {
        enum ldb_status s = ldb_retained_find(retained, after, &found);

        if (after < 2 * WRITES) {
            assert_int_equal(s, LDB_NOT_FOUND);
            continue;
        }
        assert_ldb_ok(s, NULL);
        assert_int_equal(found.number,
                         journals[(after - 2 * WRITES) / WRITES].number);
        assert_true(found.first <= after + 1 && after + 1 <= found.last);
    }
    assert_int_equal(
        ldb_retained_after(retained, journals[count - 1].number, &found),
        LDB_NOT_FOUND);
    /* The one before the oldest is gone, and yet the oldest follows on it; not
     * so on those before that. */
    assert_ldb_ok(ldb_retained_after(retained, journals[0].before, &found),
                  NULL);
    assert_int_equal(found.number, journals[0].number);
    assert_int_equal(
        ldb_retained_after(retained, journals[0].before - 1, &found),
        LDB_NOT_FOUND);
    assert_int_equal(ldb_retained_get(retained, journals[0].before, &found),
                     LDB_NOT_FOUND);
    assert_ldb_ok(ldb_retained_get(retained, journals[2].number, &found), NULL);
    assert_int_equal(found.len, journals[2].len);
}

static void an_open_file_stays_readable_when_it_goes(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained *retained = ldb_db_retained(f->db);
    struct ldb_retained_journal journals[FILES];
    struct ldb_sequential_file *file = NULL;
    struct ldb_random_file *random = NULL;
    uint8_t bytes[7];
    size_t len = 0;

    write_journal(f);
    (void)list(f, journals);
    assert_ldb_ok(ldb_retained_open_sequential(retained, journals[0].number,
                                               &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_retained_open_random(retained, journals[0].number,
                                           &f->err, &random),
                  &f->err);
    ldb_random_close(random);
    ldb_archive_trim(f->db, 0);
    assert_ldb_ok(ldb_sequential_read(file, sizeof(bytes), bytes, &len, NULL),
                  NULL);
    assert_int_equal(len, sizeof(bytes));
    ldb_sequential_close(file);
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_retained_open_sequential(retained, journals[0].number,
                                                   &f->err, &file),
                      &f->err);
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_retained_open_random(retained, journals[0].number,
                                               &f->err, &random),
                      &f->err);
}

/* ---- opening again ---- */

static void opening_finds_what_was_kept(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned n = 1; n < 6; n++) {
        write_journal(f);
        (void)db_fixture_put(f, "k", "v"); /* replayed, and kept */
        db_fixture_reopen(f);
        assert_int_equal(figures(f).oldest, 0);
        assert_int_equal(figures(f).journals, 2 * n);
        assert_int_equal(archived_files(f), 2 * n);
        assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
        assert_no_gap(f);
        db_fixture_reopen(f); /* of a journal without a record nothing stays */
        assert_int_equal(figures(f).journals, 2 * n);
        assert_no_gap(f);
    }
}

static void a_lower_limit_holds_at_open(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned n = 0; n < 6; n++)
        write_journal(f);
    f->options.archive_bytes = 2 * BYTES;
    db_fixture_reopen(f);
    assert_int_equal(figures(f).journals, 2);
    assert_int_equal(archived_files(f), 2);
    assert_no_gap(f);
}

static void a_raised_sequence_is_no_gap(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained_journal found;

    write_journal(f);
    (void)db_fixture_put(f, "k", "v");
    db_fixture_reopen(f);
    assert_ldb_ok(ldb_raise_sequence(f->db, 1000, &f->err), &f->err);
    (void)db_fixture_put(f, "k", "v"); /* 1001 */
    db_fixture_reopen(f);
    assert_int_equal(figures(f).oldest, 0);
    assert_int_equal(figures(f).journals, 3);
    assert_ldb_ok(ldb_retained_find(ldb_db_retained(f->db), WRITES + 1, &found),
                  NULL);
    assert_true(found.last >= WRITES + 1);
}

static void a_torn_tail_is_cut_off(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained_journal journals[FILES];
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);
    char name[32];
    size_t len;

    write_journal(f);
    (void)db_fixture_put(f, "k", "v");
    (void)snprintf(name, sizeof(name), "%06u.log",
                   (unsigned)f->db->journal_number);
    db_fixture_close(f);
    db_fixture_read_file(f, name, &bytes);
    len = bytes.len;
    assert_ldb_ok(ldb_buf_append(&bytes, ldb_slice_make(bytes.data, 10)), NULL);
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    db_fixture_open(f);
    assert_int_equal(f->recovery.tail_bytes, 10);
    assert_int_equal(list(f, journals), 3);
    assert_int_equal(journals[1].len, len);
    assert_no_gap(f);
    ldb_buf_release(&bytes);
}

static void damage_ends_the_history(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);
    char name[32];

    write_journal(f);
    (void)db_fixture_put(f, "k", "v");
    (void)db_fixture_put(f, "k", "v");
    (void)snprintf(name, sizeof(name), "%06u.log",
                   (unsigned)f->db->journal_number);
    db_fixture_close(f);
    db_fixture_read_file(f, name, &bytes);
    bytes.data[20] ^= 1;
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    db_fixture_open(f);
    assert_true(f->recovery.bytes_dropped > 0);
    assert_int_equal(figures(f).journals, 0);
    assert_int_equal(archived_files(f), 0);
    assert_int_equal(figures(f).oldest, ldb_last_sequence(f->db));
    ldb_buf_release(&bytes);
}

static void damage_in_the_archive_ends_the_history_there(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_retained_journal journals[FILES];
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);
    char name[64];

    for (unsigned n = 0; n < 5; n++)
        write_journal(f);
    (void)list(f, journals);
    (void)snprintf(name, sizeof(name), LDB_ARCHIVE_FOLDER "/%06u.log",
                   (unsigned)journals[1].number);
    db_fixture_close(f);
    db_fixture_read_file(f, name, &bytes);
    bytes.data[8] ^= 1;
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    db_fixture_open(f);
    assert_int_equal(figures(f).journals, 3);
    assert_int_equal(figures(f).oldest, 2 * WRITES);
    assert_no_gap(f);
    ldb_buf_release(&bytes);
}

static void files_of_other_names_stay(void **state)
{
    struct db_fixture *f = *state;

    write_journal(f);
    db_fixture_write_file(f, LDB_ARCHIVE_FOLDER "/7.log", ldb_slice_str("x"));
    db_fixture_write_file(f, LDB_ARCHIVE_FOLDER "/note", ldb_slice_str("x"));
    db_fixture_reopen(f);
    assert_int_equal(figures(f).journals, 1);
    ldb_archive_trim(f->db, 0);
    assert_int_equal(archived_files(f), 2);
}

/* ---- other histories ---- */

struct saved {
    char names[FILES][64];
    struct ldb_buf bytes[FILES];
    unsigned count;
};

static void save_archive(struct db_fixture *f, struct saved *out)
{
    struct ldb_retained_journal journals[FILES];
    unsigned count = list(f, journals);

    *out = (struct saved){0};
    for (unsigned i = 0; i < count && journals[i].is_archived; i++) {
        (void)snprintf(out->names[i], sizeof(out->names[i]),
                       LDB_ARCHIVE_FOLDER "/%06u.log",
                       (unsigned)journals[i].number);
        out->bytes[i] = (struct ldb_buf)LDB_BUF_INIT(1 << 20);
        db_fixture_read_file(f, out->names[i], &out->bytes[i]);
        out->count++;
    }
}

/* As if the archive had not been seen by who was here meanwhile. */
static void put_archive_back(struct db_fixture *f, struct saved *saved)
{
    for (unsigned i = 0; i < saved->count; i++) {
        db_fixture_write_file(f, saved->names[i],
                              ldb_slice_of_buf(&saved->bytes[i]));
        ldb_buf_release(&saved->bytes[i]);
    }
}

static void what_another_library_wrote_ends_the_history(void **state)
{
    struct db_fixture *f = *state;
    struct saved saved;

    write_journal(f);
    (void)db_fixture_put(f, "k", "v"); /* its journal goes with the visit */
    save_archive(f, &saved);
    f->options.archive_bytes = 0;
    db_fixture_reopen(f);
    (void)db_fixture_put(f, "k", "v"); /* in a journal of the other one */
    db_fixture_close(f);
    put_archive_back(f, &saved);
    f->options.archive_bytes = 1 << 20;
    db_fixture_open(f);
    assert_int_equal(figures(f).oldest, WRITES + 1);
    assert_int_equal(figures(f).journals, 1);
    assert_no_gap(f);
}

static void so_does_a_visit_that_left_no_journal(void **state)
{
    struct db_fixture *f = *state;
    struct saved saved;

    write_journal(f);
    save_archive(f, &saved);
    f->options.archive_bytes = 0;
    db_fixture_reopen(f);
    write_journal(f);
    db_fixture_close(f);
    put_archive_back(f, &saved);
    f->options.archive_bytes = 1 << 20;
    db_fixture_open(f);
    assert_int_equal(figures(f).journals, 0);
    assert_int_equal(figures(f).oldest, 2 * WRITES);
}

static void an_older_copy_of_the_database_has_no_archive(void **state)
{
    struct db_fixture *f = *state;
    struct saved saved;

    for (unsigned n = 0; n < 3; n++)
        write_journal(f);
    save_archive(f, &saved);
    db_fixture_close(f);
    assert_ldb_ok(ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err), &f->err);
    assert_int_equal(archived_files(f), 0);
    db_fixture_open(f);
    write_journal(f);
    db_fixture_close(f);
    put_archive_back(f, &saved);
    db_fixture_open(f);
    assert_int_equal(figures(f).journals, 0);
    assert_int_equal(archived_files(f), 0);
    assert_int_equal(figures(f).oldest, WRITES);
}

static void a_new_database_has_none(void **state)
{
    struct db_fixture *f = *state;
    struct saved saved;

    write_journal(f);
    save_archive(f, &saved);
    db_fixture_close(f);
    assert_ldb_ok(ldb_destroy(DB_FIXTURE_DIR, &f->options, &f->err), &f->err);
    put_archive_back(f, &saved);
    db_fixture_open(f);
    assert_true(f->recovery.created);
    assert_int_equal(archived_files(f), 0);
    assert_int_equal(figures(f).oldest, 0);
}

static void a_repair_ends_the_history(void **state)
{
    struct db_fixture *f = *state;

    write_journal(f);
    db_fixture_close(f);
    assert_ldb_ok(
        f->env->ops->remove_file(f->env, DB_FIXTURE_DIR "/CURRENT", &f->err),
        &f->err);
    (void)f->env->ops->remove_file(f->env, DB_FIXTURE_DIR "/CURRENT.bak", NULL);
    assert_ldb_ok(ldb_repair(DB_FIXTURE_DIR, &f->options, NULL, NULL, &f->err),
                  &f->err);
    assert_int_equal(archived_files(f), 0);
    db_fixture_open(f);
    assert_int_equal(figures(f).oldest, ldb_last_sequence(f->db));
}

/* ---- failures ---- */

static void reopening_in_place_keeps_the_history(void **state)
{
    struct db_fixture *f = *state;

    write_journal(f);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("v"), true,
                          &f->err, NULL),
                  &f->err);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_int_equal(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("lost"),
                             true, &f->err, NULL),
                     LDB_OUTCOME_UNKNOWN);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_int_equal(figures(f).oldest, 0);
    assert_int_equal(figures(f).journals, 2);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    write_journal(f);
    assert_int_equal(figures(f).oldest, 0);
    assert_int_equal(figures(f).journals, 3);
    db_fixture_reopen(f);
    assert_int_equal(figures(f).journals, 3);
}

/* Each call on the archive fails once, and from then on. */
static void whatever_fails_the_limit_holds_and_there_is_no_gap(void **state)
{
    struct db_fixture *f = *state;

    f->options.archive_bytes = 3 * BYTES;
    for (unsigned from_then_on = 0; from_then_on < 2; from_then_on++) {
        for (uint64_t nth = 1; nth < 12; nth++) {
            db_fixture_reopen(f);
            env_fault_fail(f->fault, &(struct env_fault_rule){
                                         .path = "archive",
                                         .nth = nth,
                                         .from_then_on = from_then_on == 1,
                                         .sys_errno = EIO});
            for (unsigned n = 0; n < 5; n++) {
                write_journal(f);
                assert_true(figures(f).bytes <= f->options.archive_bytes);
            }
            env_fault_fail(f->fault, NULL);
            assert_no_gap(f);
            write_journal(f);
            assert_no_gap(f);
            db_fixture_reopen(f);
            assert_no_gap(f);
        }
    }
}

/* One that stays where it should not be is not taken, by the next open, for
 * what those that came later follow on. */
static void what_cannot_be_removed_leaves_no_gap(void **state)
{
    struct db_fixture *f = *state;

    f->options.archive_bytes = 3 * BYTES;
    for (unsigned removals = 1; removals < 5; removals++) {
        struct ldb_retained_journal journals[FILES];
        char path[64];

        db_fixture_reopen(f);
        for (unsigned n = 0; n < 3; n++)
            write_journal(f);
        (void)list(f, journals);
        (void)snprintf(path, sizeof(path), LDB_ARCHIVE_FOLDER "/%06llu.log",
                       (unsigned long long)journals[0].number);
        env_fault_fail(f->fault,
                       &(struct env_fault_rule){
                           .kinds = ENV_FAULT_BIT(ENV_FAULT_REMOVE_FILE),
                           .path = path,
                           .nth = 1,
                           .from_then_on = true,
                           .sys_errno = EIO});
        for (unsigned n = 0; n < removals; n++)
            write_journal(f);
        assert_true(env_fault_failed(f->fault) > 0);
        assert_true(figures(f).bytes <= f->options.archive_bytes);
        assert_no_gap(f);
        env_fault_fail(f->fault, NULL);
        db_fixture_reopen(f);
        assert_no_gap(f);
        /* All is as ever once it can be. */
        for (unsigned n = 0; n < 3; n++)
            write_journal(f);
        assert_int_equal(figures(f).journals, 3);
        assert_int_equal(archived_files(f), 3);
        assert_no_gap(f);
    }
}

static void whatever_fails_at_open_there_is_no_gap(void **state)
{
    struct db_fixture *f = *state;

    f->options.archive_bytes = 6 * BYTES;
    for (uint64_t nth = 1; nth < 60; nth++) {
        db_fixture_reopen(f);
        write_journal(f);
        (void)db_fixture_put(f, "k", "v");
        db_fixture_close(f);
        env_fault_fail(f->fault, &(struct env_fault_rule){.path = "archive",
                                                          .nth = nth,
                                                          .sys_errno = EIO});
        db_fixture_open(f);
        env_fault_fail(f->fault, NULL);
        assert_no_gap(f);
        write_journal(f);
        assert_no_gap(f);
        db_fixture_reopen(f);
        assert_no_gap(f);
    }
}

static void what_cannot_be_counted_is_left_alone(void **state)
{
    struct db_fixture *f = *state;

    write_journal(f);
    db_fixture_close(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_LIST_DIR), "archive", EIO);
    db_fixture_open(f);
    env_fault_fail(f->fault, NULL);
    write_journal(f);
    assert_int_equal(figures(f).journals, 0);
    assert_int_equal(archived_files(f), 1);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    /* It lacks what came meanwhile. */
    db_fixture_reopen(f);
    assert_int_equal(archived_files(f), 0);
    assert_int_equal(figures(f).oldest, 2 * WRITES);
}

/* ---- power cuts ---- */

/* A process that died left it in the page cache: what tables hold of it must
 * not outlive it. */
static void what_is_taken_in_at_open_is_durable(void **state)
{
    struct db_fixture *f = *state;

    write_journal(f);
    (void)db_fixture_put(f, "k", "v");
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    (void)!ldb_close(f->db, NULL);
    env_fault_fail(f->fault, NULL);
    db_fixture_open(f);
    assert_int_equal(figures(f).journals, 2);
    write_journal(f);
    db_fixture_power_cut(f);
    assert_int_equal(figures(f).oldest, 0);
    assert_no_gap(f);
}

/* Nor is anything lost that was kept before the cut. */
static void no_power_cut_takes_what_is_kept(void **state)
{
    struct db_fixture *f = *state;
    uint64_t kept = 0;

    for (unsigned n = 0; n < 6; n++) {
        write_journal(f);
        assert_ldb_ok(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("v"),
                              true, &f->err, NULL),
                      &f->err);
        kept = figures(f).journals;
        db_fixture_power_cut(f);
        assert_int_equal(figures(f).oldest, 0);
        assert_int_equal(figures(f).journals, kept + 1);
        assert_no_gap(f);
    }
}

/* Opens a state that a cut can leave, of any set of what was not synced. */
static void check_crash_state(const struct env_crash_disk *disk,
                              const struct ldb_options *options,
                              enum env_crash_keep keep, uint64_t seed)
{
    struct db_fixture copy = {.options = *options};
    uint64_t hash;

    copy.env = env_crash_disk_state(disk, keep, seed, &hash);
    copy.options.env = copy.env;
    db_fixture_open(&copy);
    assert_no_gap(&copy);
    db_fixture_close(&copy);
    ldb_env_memory_destroy(copy.env);
}

static void whatever_survives_a_cut_has_no_gap(void **state)
{
    static const enum env_crash_keep keeps[] = {
        ENV_CRASH_KEEP_NONE, ENV_CRASH_KEEP_ALL, ENV_CRASH_KEEP_TORN,
        ENV_CRASH_KEEP_TORN, ENV_CRASH_KEEP_TORN};
    struct db_fixture run = {0};
    struct ldb_env *memory = NULL;
    struct env_crash *crash;
    struct env_crash_disk *disk;

    run.options = ((struct db_fixture *)*state)->options;
    assert_ldb_ok(ldb_env_memory_create(&run.err, &memory), &run.err);
    crash = env_crash_create(memory, NULL);
    run.env = env_crash_env(crash);
    run.options.env = run.env;
    run.options.archive_bytes = 4 * BYTES;
    db_fixture_open(&run);
    for (unsigned n = 0; n < 6; n++)
        write_journal(&run);
    ldb_archive_trim(run.db, BYTES); /* several go at once */
    write_journal(&run);
    (void)db_fixture_put(&run, "k", "v");
    db_fixture_reopen(&run);
    write_journal(&run);
    db_fixture_close(&run);
    disk = env_crash_disk_create(crash, ENV_CRASH_NO_MISTAKE);
    for (uint64_t at = 0; at <= env_crash_position(crash); at++) {
        env_crash_disk_advance(disk, at);
        for (unsigned i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++)
            check_crash_state(disk, &run.options, keeps[i], at * 8 + i);
    }
    env_crash_disk_destroy(disk);
    env_crash_destroy(crash);
    ldb_env_memory_destroy(memory);
}

struct cuts {
    struct db_fixture *f;
    struct env_fault *copies[512];
    unsigned count;
    uint64_t seed;
};

/* Before each call that changes names, what a cut there leaves. */
static void keep_state(void *context, enum env_fault_kind kind,
                       const char *path)
{
    struct cuts *cuts = context;
    static const enum ldb_crash_keep keeps[] = {
        LDB_CRASH_KEEP_NONE, LDB_CRASH_KEEP_ALL, LDB_CRASH_KEEP_TORN,
        LDB_CRASH_KEEP_TORN};

    (void)path;
    if (kind != ENV_FAULT_LINK_FILE && kind != ENV_FAULT_SYNC_DIR &&
        kind != ENV_FAULT_REMOVE_FILE && kind != ENV_FAULT_TRUNCATE)
        return;
    for (unsigned i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
        if (cuts->count < sizeof(cuts->copies) / sizeof(cuts->copies[0]))
            cuts->copies[cuts->count++] =
                env_fault_after_cut(cuts->f->fault, keeps[i], cuts->seed++);
    }
}

/* Opens each state twice, writes, and looks at the history. */
static void check_states(struct cuts *cuts)
{
    for (unsigned i = 0; i < cuts->count; i++) {
        struct db_fixture copy = {.fault = cuts->copies[i]};

        copy.env = env_fault_env(copy.fault);
        copy.options = cuts->f->options;
        copy.options.env = copy.env;
        db_fixture_open(&copy);
        assert_no_gap(&copy);
        (void)db_fixture_put(&copy, "k", "v");
        db_fixture_flush(&copy);
        db_fixture_settle(&copy);
        assert_no_gap(&copy);
        db_fixture_reopen(&copy);
        assert_no_gap(&copy);
        db_fixture_close(&copy);
        env_fault_destroy(cuts->copies[i]);
    }
    cuts->count = 0;
}

static void no_power_cut_makes_a_gap(void **state)
{
    struct db_fixture *f = *state;
    static struct cuts cuts;

    f->options.archive_bytes = 3 * BYTES;
    f->options.write_buffer_bytes = 64 << 10;
    db_fixture_reopen(f);
    cuts = (struct cuts){.f = f, .seed = 1};
    for (unsigned n = 0; n < 3; n++)
        write_journal(f);
    for (unsigned round = 0; round < 4; round++) {
        db_fixture_close(f);
        env_fault_set_call_hook(f->fault, keep_state, &cuts);
        db_fixture_open(f);
        write_journal(f);
        (void)db_fixture_put(f, "k", "v");
        db_fixture_close(f);
        env_fault_set_call_hook(f->fault, NULL, NULL);
        assert_true(cuts.count > 0);
        check_states(&cuts);
        db_fixture_open(f);
    }
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_flushed_journal_goes_to_the_archive),
        TEST(without_one_it_goes_away),
        TEST(nobody_makes_the_folder_in_vain),
        TEST(the_oldest_go_beyond_the_bytes),
        TEST(one_larger_than_all_is_not_kept),
        TEST(an_old_one_goes),
        TEST(space_can_be_asked_for),
        TEST(a_pin_keeps_what_is_too_old),
        TEST(with_no_age_only_what_is_pinned_is_kept),
        TEST(a_dead_reader_cannot_fill_the_disk),
        TEST(a_sequence_leads_to_its_journal),
        TEST(an_open_file_stays_readable_when_it_goes),
        TEST(opening_finds_what_was_kept),
        TEST(a_lower_limit_holds_at_open),
        TEST(a_raised_sequence_is_no_gap),
        TEST(a_torn_tail_is_cut_off),
        TEST(damage_ends_the_history),
        TEST(damage_in_the_archive_ends_the_history_there),
        TEST(files_of_other_names_stay),
        TEST(what_another_library_wrote_ends_the_history),
        TEST(so_does_a_visit_that_left_no_journal),
        TEST(an_older_copy_of_the_database_has_no_archive),
        TEST(a_new_database_has_none),
        TEST(a_repair_ends_the_history),
        TEST(reopening_in_place_keeps_the_history),
        TEST(whatever_fails_the_limit_holds_and_there_is_no_gap),
        TEST(what_cannot_be_removed_leaves_no_gap),
        TEST(whatever_fails_at_open_there_is_no_gap),
        TEST(what_cannot_be_counted_is_left_alone),
        TEST(what_is_taken_in_at_open_is_durable),
        TEST(no_power_cut_takes_what_is_kept),
        TEST(whatever_survives_a_cut_has_no_gap),
        TEST(no_power_cut_makes_a_gap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
