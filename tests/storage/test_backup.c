/* Files of an open database, read from outside: they make a database that is
 * as it was at one sequence, whatever is written meanwhile. */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/env.h"
#include "storage/verify.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/mem_fault.h"

#define COPY "/copy"

/* 0..900 of db_fixture_fill() in three places: deep, level 0, journal. */
static void fill(struct db_fixture *f)
{
    db_fixture_fill(f, 0, 300);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_fill(f, 300, 600);
    db_fixture_flush(f);
    db_fixture_fill(f, 600, 900);
}

static struct ldb_backup *open_backup(struct db_fixture *f)
{
    struct ldb_backup *backup = NULL;

    assert_ldb_ok(ldb_backup_open(f->db, &f->err, &backup), &f->err);
    return backup;
}

/* Reads the file that the backup is at, in pieces of an odd size. */
static void read_file(struct db_fixture *f, struct ldb_backup *backup,
                      uint64_t size, struct ldb_buf *out)
{
    uint8_t piece[777];
    size_t len = 0;

    ldb_buf_clear(out);
    do {
        assert_ldb_ok(
            ldb_backup_read(backup, piece, sizeof(piece), &f->err, &len),
            &f->err);
        assert_ldb_ok(ldb_buf_append(out, ldb_slice_make(piece, len)), NULL);
    } while (len > 0);
    assert_int_equal(out->len, size);
}

/* A file of that name in folder, made when it is not there. */
static void keep_file(struct db_fixture *f, const char *folder,
                      const char *name, const struct ldb_buf *bytes)
{
    struct ldb_writable_file *file = NULL;
    char path[64];

    assert_ldb_ok(f->env->ops->create_dir(f->env, folder, &f->err), &f->err);
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_ldb_ok(f->env->ops->open_writable(f->env, path, LDB_OPEN_TRUNCATE,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_of_buf(bytes), &f->err),
                  &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
}

/* All that is left of the backup; how many files. between: after each. */
static unsigned keep_all(struct db_fixture *f, struct ldb_backup *backup,
                         const char *folder,
                         void (*between)(struct db_fixture *f, unsigned n))
{
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_backup_file file;
    unsigned count = 0;
    enum ldb_status s;

    while ((s = ldb_backup_next(backup, &f->err, &file)) == LDB_OK) {
        read_file(f, backup, file.size, &bytes);
        keep_file(f, folder, file.name, &bytes);
        if (between != NULL)
            between(f, count);
        count++;
    }
    assert_ldb_status(LDB_NOT_FOUND, s, NULL);
    ldb_buf_release(&bytes);
    return count;
}

/* The keys of fill() up to some, and no others. The copy is left closed. */
static unsigned count_copy(struct db_fixture *f, const char *folder,
                           ldb_sequence sequence)
{
    struct ldb_options options;
    struct ldb_verify_summary sum = {0};
    struct ldb_cursor *cursor = NULL;
    struct ldb_db *db = NULL;
    unsigned count = 0;

    ldb_options_init(&options);
    options.env = f->env;
    assert_ldb_ok(
        ldb_verify_folder(folder, &options, NULL, NULL, &f->err, &sum),
        &f->err);
    assert_int_equal(sum.damages + sum.notes, 0);
    assert_ldb_ok(ldb_open(folder, &options, NULL, &f->err, &db), &f->err);
    assert_int_equal(ldb_last_sequence(db), sequence);
    assert_ldb_ok(ldb_cursor_open(db, NULL, &f->err, &cursor), &f->err);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor)) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", count);
        assert_ldb_slice(ldb_slice_str(key), ldb_cursor_key(cursor));
        count++;
    }
    assert_ldb_ok(ldb_cursor_status(cursor, &f->err), &f->err);
    ldb_cursor_close(cursor);
    assert_ldb_ok(ldb_close(db, &f->err), &f->err);
    return count;
}

/* Flushes away the journals, merges away the tables, rotates the MANIFEST. */
static void change_all(struct db_fixture *f, unsigned n)
{
    db_fixture_fill(f, 900 + n * 10, 910 + n * 10);
    db_fixture_flush(f);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
}

static void it_is_as_it_was_while_all_changes(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_backup *backup;

    f->options.manifest_rotate_bytes = 1024;
    db_fixture_reopen(f);
    fill(f);
    backup = open_backup(f);
    assert_int_equal(ldb_backup_sequence(backup), 900);
    change_all(f, 0);
    assert_true(keep_all(f, backup, COPY, change_all) >= 5);
    ldb_backup_close(backup);
    assert_int_equal(count_copy(f, COPY, 900), 900);
}

static void an_empty_database_is_copied_too(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_backup *backup = open_backup(f);

    assert_int_equal(keep_all(f, backup, COPY, NULL), 3);
    ldb_backup_close(backup);
    assert_int_equal(count_copy(f, COPY, 0), 0);
}

/* 0: tables, 1: journals, 2: MANIFEST, 3: CURRENT. */
static int kind_of(const char *name)
{
    if (strstr(name, ".ldb") != NULL)
        return 0;
    if (strstr(name, ".log") != NULL)
        return 1;
    return strcmp(name, "CURRENT") == 0 ? 3 : 2;
}

static void current_comes_last(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_backup *backup;
    struct ldb_backup_file file;
    unsigned counts[4] = {0};
    int last = 0;

    fill(f);
    backup = open_backup(f);
    /* Nothing has to be read of a file. */
    while (ldb_backup_next(backup, &f->err, &file) == LDB_OK) {
        assert_true(kind_of(file.name) >= last);
        last = kind_of(file.name);
        counts[last]++;
    }
    assert_true(counts[0] >= 2 && counts[1] >= 1);
    assert_int_equal(counts[2], 1);
    assert_int_equal(counts[3], 1);
    assert_ldb_status(LDB_NOT_FOUND, ldb_backup_next(backup, NULL, &file),
                      NULL);
    ldb_backup_close(backup);
}

static void closing_it_lets_the_tables_go(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_backup *backup;
    struct ldb_backup_file file;
    unsigned before;

    fill(f);
    db_fixture_reopen(f); /* no table is left that is about to go */
    before = db_fixture_count_files(f, LDB_FILE_TABLE);
    backup = open_backup(f);
    assert_ldb_ok(ldb_backup_next(backup, &f->err, &file), &f->err);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_true(db_fixture_count_files(f, LDB_FILE_TABLE) > before);
    ldb_backup_close(backup);
    db_fixture_reopen(f);
    assert_true(db_fixture_count_files(f, LDB_FILE_TABLE) <= before);
    db_fixture_assert_filled(f, 0, 900);
}

/* Writes have stopped, and what was not synced is cut off: readers see it yet,
 * and no file has it. */
static void what_was_cut_off_is_not_in_it(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_backup *backup;
    ldb_sequence last = 0;

    fill(f);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("key000900"), ldb_slice_str("v"),
                          true, &f->err, NULL),
                  &f->err);
    (void)db_fixture_put(f, "key000901", "v");
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_SYNC), ".log", EIO);
    assert_ldb_status(LDB_OUTCOME_UNKNOWN,
                      ldb_put(f->db, ldb_slice_str("key000902"),
                              ldb_slice_str("v"), true, &f->err, NULL),
                      &f->err);
    env_fault_fail(f->fault, NULL);
    assert_ldb_ok(ldb_cut_unsynced(f->db, &f->err, &last), &f->err);
    db_fixture_assert_value(f, "key000901", "v");
    backup = open_backup(f);
    assert_int_equal(last, 901);
    assert_int_equal(ldb_backup_sequence(backup), last);
    assert_true(keep_all(f, backup, COPY, NULL) > 0);
    ldb_backup_close(backup);
    assert_int_equal(count_copy(f, COPY, last), 901);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    backup = open_backup(f);
    assert_int_equal(ldb_backup_sequence(backup), ldb_last_sequence(f->db));
    ldb_backup_close(backup);
}

/* Until it has healed nothing tells which journals are needed. */
static void after_a_reopening_that_failed_it_is_refused(void **state)
{
    const struct env_fault_rule second = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_OPEN_WRITABLE),
        .path = ".log",
        .nth = 2,
        .sys_errno = EIO};
    struct db_fixture *f = *state;
    struct ldb_backup *backup = NULL;

    fill(f);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("key000900"), ldb_slice_str("v"),
                          true, &f->err, NULL),
                  &f->err);
    env_fault_fail(f->fault, &second);
    assert_ldb_status(LDB_IO, ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_ldb_status(LDB_READ_ONLY, ldb_backup_open(f->db, &f->err, &backup),
                      &f->err);
    assert_ldb_status(LDB_READ_ONLY, ldb_checkpoint(f->db, COPY, &f->err),
                      &f->err);
    assert_ldb_ok(ldb_reopen(f->db, NULL, &f->err), &f->err);
    assert_ldb_ok(ldb_checkpoint(f->db, COPY, &f->err), &f->err);
    assert_int_equal(count_copy(f, COPY, 901), 901);
}

static void a_folder_that_is_only_read_is_refused(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_backup *backup = NULL;

    db_fixture_close(f);
    f->options.read_only = true;
    db_fixture_open(f);
    assert_ldb_status(LDB_READ_ONLY, ldb_backup_open(f->db, &f->err, &backup),
                      &f->err);
    assert_null(backup);
    ldb_backup_close(NULL);
}

static void a_table_that_is_gone_is_damage(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_backup *backup;
    struct ldb_backup_file file;
    char path[64];

    fill(f);
    backup = open_backup(f);
    assert_ldb_ok(ldb_backup_next(backup, &f->err, &file), &f->err);
    (void)snprintf(path, sizeof(path), "%s/%s", DB_FIXTURE_DIR, file.name);
    ldb_backup_close(backup);
    assert_ldb_ok(f->env->ops->remove_file(f->env, path, &f->err), &f->err);
    backup = open_backup(f);
    assert_ldb_status(LDB_CORRUPTION, ldb_backup_next(backup, &f->err, &file),
                      &f->err);
    ldb_backup_close(backup);
}

static void opening_it_fails_whole(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_backup *backup = NULL;

    fill(f);
    db_fixture_settle(f); /* threads of the database allocate too */
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_backup_open(f->db, &f->err, &backup);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        assert_null(backup);
    }
    ldb_backup_close(backup);
}

/* ---- beside a writer ---- */

struct writer {
    struct db_fixture *f;
    _Atomic(bool) stop;
};

/* Chosen: so that copies stay small; most are taken before it is there. */
#define KEYS_MAX 30000

/* key n is written at sequence n + 1. */
static void write_on(void *context)
{
    struct writer *writer = context;
    struct ldb_error err = {0};

    for (unsigned n = 900; n < KEYS_MAX && !atomic_load(&writer->stop); n++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", n);
        if (ldb_put(writer->f->db, ldb_slice_str(key), ldb_slice_str("v"),
                    n % 3 != 0, &err, NULL) != LDB_OK ||
            (n % 200 == 0 && ldb_flush(writer->f->db, &err) != LDB_OK))
            return;
    }
}

/* A synced write stays a while in the journal before it is published. */
static void linger(void *context, enum env_fault_kind kind, const char *path)
{
    (void)context;
    (void)path;
    for (unsigned i = 0; kind == ENV_FAULT_SYNC && i < 100; i++)
        sched_yield();
}

static void beside_writes_it_holds_all_up_to_its_sequence(void **state)
{
    struct db_fixture *f = *state;
    struct writer writer = {.f = f};
    struct ldb_thread *thread = NULL;
    ldb_sequence last = 900;

    fill(f);
    env_fault_set_call_hook(f->fault, linger, NULL);
    assert_ldb_ok(f->env->ops->thread_start(f->env, "writer", write_on, &writer,
                                            &f->err, &thread),
                  &f->err);
    for (unsigned i = 0; i < 20; i++) {
        struct ldb_backup *backup = open_backup(f);
        ldb_sequence sequence = ldb_backup_sequence(backup);
        char path[32];

        (void)snprintf(path, sizeof(path), COPY "%u", i);
        assert_true(sequence >= last);
        last = sequence;
        (void)keep_all(f, backup, path, NULL);
        ldb_backup_close(backup);
        assert_int_equal(count_copy(f, path, sequence), sequence);
    }
    atomic_store(&writer.stop, true);
    f->env->ops->thread_join(f->env, thread);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_true(last > 900);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, db_fixture_setup,                \
                                    db_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_is_as_it_was_while_all_changes),
        CASE(an_empty_database_is_copied_too),
        CASE(current_comes_last),
        CASE(closing_it_lets_the_tables_go),
        CASE(what_was_cut_off_is_not_in_it),
        CASE(after_a_reopening_that_failed_it_is_refused),
        CASE(a_folder_that_is_only_read_is_refused),
        CASE(a_table_that_is_gone_is_damage),
        CASE(opening_it_fails_whole),
        CASE(beside_writes_it_holds_all_up_to_its_sequence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
