/* A folder opened as a twin: what it reads, what it cuts, what it refuses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/db_internal.h"
#include "storage/twin.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/flush_gate.h"
#include "tests/support/mem_fault.h"

#define FILES_MAX  64
#define BYTES_MAX  ((size_t)16 << 20)
#define FOLDER_MAX 128
#define CALLS_MAX  1000 /* of an open; it has far fewer */

/* ---- a folder's bytes ---- */

struct folder {
    struct {
        char name[LDB_FILE_NAME_SIZE];
        struct ldb_buf bytes;
    } files[FILES_MAX];
    size_t count;
    struct db_fixture *f;
};

static enum ldb_status take_file(void *context, const char *name)
{
    struct folder *folder = context;
    uint64_t number;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);

    if (type == LDB_FILE_FOREIGN || type == LDB_FILE_LOCK ||
        type == LDB_FILE_LOG)
        return LDB_OK;
    assert_true(folder->count < FILES_MAX);
    (void)snprintf(folder->files[folder->count].name, LDB_FILE_NAME_SIZE, "%s",
                   name);
    folder->files[folder->count].bytes =
        (struct ldb_buf)LDB_BUF_INIT(BYTES_MAX);
    db_fixture_read_file(folder->f, name, &folder->files[folder->count].bytes);
    folder->count++;
    return LDB_OK;
}

/* All of f's folder but LOG and LOCK. */
static void take_folder(struct db_fixture *f, struct folder *out)
{
    *out = (struct folder){.f = f};
    assert_ldb_ok(
        f->env->ops->list_dir(f->env, DB_FIXTURE_DIR, take_file, out, &f->err),
        &f->err);
}

static void release_folder(struct folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        ldb_buf_release(&folder->files[i].bytes);
}

static void assert_same_folder(const struct folder *a, const struct folder *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_string_equal(a->files[i].name, b->files[i].name);
        assert_ldb_slice(ldb_slice_of_buf(&a->files[i].bytes),
                         ldb_slice_of_buf(&b->files[i].bytes));
    }
}

/* ---- the twin ---- */

static enum ldb_status try_twin(struct db_fixture *f)
{
    return ldb_twin_open(DB_FIXTURE_DIR, &f->options, &f->recovery, &f->err,
                         &f->db);
}

static void open_twin(struct db_fixture *f)
{
    assert_ldb_ok(try_twin(f), &f->err);
}

/* The folder as a kill of the running database leaves it, as a fixture of its
 * own, closed. To be given to drop_copy(). */
static struct db_fixture killed_copy(struct db_fixture *f)
{
    struct db_fixture copy = *f;

    copy.fault = env_fault_after_cut(f->fault, LDB_CRASH_KEEP_ALL, 1);
    copy.env = env_fault_env(copy.fault);
    copy.options.env = copy.env;
    copy.db = NULL;
    return copy;
}

static void drop_copy(struct db_fixture *copy)
{
    if (copy->db != NULL)
        db_fixture_close(copy);
    env_fault_destroy(copy->fault);
}

static void append_to_file(struct db_fixture *f, const char *name,
                           const char *text)
{
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_MAX);

    db_fixture_read_file(f, name, &bytes);
    assert_ldb_ok(ldb_buf_append(&bytes, ldb_slice_str(text)), NULL);
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

static void flip_byte(struct db_fixture *f, const char *name, size_t at)
{
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_MAX);

    db_fixture_read_file(f, name, &bytes);
    assert_true(at < bytes.len);
    bytes.data[at] ^= 1;
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

/* ---- opening ---- */

static void an_open_changes_no_byte_and_reads_all(void **state)
{
    struct db_fixture *f = *state;
    struct folder before;
    struct folder after;
    struct ldb_twin_state at;
    struct ldb_stats stats;

    db_fixture_fill(f, 0, 50);
    db_fixture_flush(f);
    db_fixture_fill(f, 50, 80);
    db_fixture_close(f);
    take_folder(f, &before);
    open_twin(f);
    db_fixture_assert_filled(f, 0, 80);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.levels[0].tables, 1);
    assert_int_equal(f->recovery.journals_replayed, 1);
    assert_int_equal(f->recovery.records_replayed, 30);
    ldb_twin_state(f->db, &at);
    assert_int_equal(at.journal_count, 1);
    assert_int_equal(at.journals[0].number, f->recovery.journal_number);
    assert_int_equal(at.journals[0].len, f->recovery.journal_len);
    assert_int_equal(at.journals[0].last_sequence, 80);
    assert_false(at.journals[0].is_sealed);
    assert_int_equal(at.log_number, at.journals[0].number);
    assert_int_equal(at.manifest_number, f->recovery.manifest_number);
    assert_int_equal(at.manifest_len, f->recovery.manifest_len);
    assert_int_equal(at.written.journal, at.journals[0].number);
    assert_int_equal(at.written.offset, at.journals[0].len);
    assert_int_equal(at.written.sequence, 80);
    assert_int_equal(at.next_offset, at.written.offset);
    assert_memory_equal(&at.written, &at.synced, sizeof(at.written));
    assert_memory_equal(&at.written, &at.applied, sizeof(at.written));
    db_fixture_close(f);
    take_folder(f, &after);
    assert_same_folder(&before, &after);
    release_folder(&before);
    release_folder(&after);
    db_fixture_open(f); /* as a leader: it may lead */
    (void)db_fixture_put(f, "more", "1");
    db_fixture_assert_filled(f, 0, 80);
}

static void a_folder_without_a_database_becomes_a_leaders_first(void **state)
{
    struct db_fixture *f = *state;
    struct db_fixture fresh = *f;
    struct folder leaders;
    struct folder twins;
    struct ldb_twin_state at;

    db_fixture_close(f);
    take_folder(f, &leaders);
    fresh.fault = env_fault_create(NULL);
    fresh.env = env_fault_env(fresh.fault);
    fresh.options.env = fresh.env;
    open_twin(&fresh);
    assert_true(fresh.recovery.created);
    ldb_twin_state(fresh.db, &at);
    assert_int_equal(at.journal_count, 1);
    assert_int_equal(at.journals[0].number, 1);
    assert_int_equal(at.written.sequence, 0);
    db_fixture_close(&fresh);
    take_folder(&fresh, &twins);
    assert_same_folder(&leaders, &twins);
    release_folder(&leaders);
    release_folder(&twins);
    fresh.options.create_if_missing = false;
    open_twin(&fresh);
    drop_copy(&fresh);
    fresh.fault = env_fault_create(NULL);
    fresh.options.env = env_fault_env(fresh.fault);
    assert_ldb_status(LDB_NOT_FOUND, try_twin(&fresh), &fresh.err);
    env_fault_destroy(fresh.fault);
}

/* Each call of the making fails, then the power goes. */
static void a_making_that_was_cut_off_is_finished(void **state)
{
    struct db_fixture *f = *state;
    struct folder leaders;
    uint64_t n;

    db_fixture_close(f);
    take_folder(f, &leaders);
    for (n = 1; n < CALLS_MAX; n++) {
        struct db_fixture fresh = *f;
        const struct env_fault_rule rule = {.kinds = ENV_FAULT_WRITES,
                                            .nth = n,
                                            .from_then_on = true,
                                            .sys_errno = EIO,
                                            .torn = true};
        struct folder twins;
        enum ldb_status s;

        fresh.fault = env_fault_create(NULL);
        fresh.env = env_fault_env(fresh.fault);
        fresh.options.env = fresh.env;
        env_fault_fail(fresh.fault, &rule);
        s = try_twin(&fresh);
        env_fault_fail(fresh.fault, NULL);
        if (s == LDB_OK)
            db_fixture_close(&fresh);
        env_fault_power_cut(
            fresh.fault, n % 2 == 0 ? LDB_CRASH_KEEP_NONE : LDB_CRASH_KEEP_ALL,
            n);
        fresh.env = env_fault_env(fresh.fault);
        fresh.options.env = fresh.env;
        open_twin(&fresh);
        db_fixture_close(&fresh);
        take_folder(&fresh, &twins);
        assert_same_folder(&leaders, &twins);
        release_folder(&twins);
        env_fault_destroy(fresh.fault);
        if (s == LDB_OK)
            break;
    }
    assert_in_range(n, 10, CALLS_MAX - 1);
    release_folder(&leaders);
}

/* ---- ends that are no whole records ---- */

static void torn_ends_are_cut_off_durably(void **state)
{
    struct db_fixture *f = *state;
    struct folder before;
    struct folder after;

    db_fixture_fill(f, 0, 10);
    db_fixture_close(f);
    take_folder(f, &before);
    append_to_file(f, "000001.log", "torn record");
    append_to_file(f, "MANIFEST-000000", "torn");
    open_twin(f);
    assert_int_equal(f->recovery.tail_bytes, strlen("torn record"));
    db_fixture_assert_filled(f, 0, 10);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 1);
    LDB_IGNORE(ldb_close(f->db, NULL)); /* its env is dead */
    f->db = NULL;
    f->env = env_fault_env(f->fault);
    f->options.env = f->env;
    take_folder(f, &after);
    assert_same_folder(&before, &after);
    release_folder(&before);
    release_folder(&after);
}

/* What an unsynced leader had is durable once it is shown as synced. */
static void what_is_found_is_synced(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_twin_state at;

    env_fault_lie_about_syncs(f->fault, ".log");
    db_fixture_fill(f, 0, 20);
    db_fixture_close(f);
    env_fault_lie_about_syncs(f->fault, NULL);
    open_twin(f);
    ldb_twin_state(f->db, &at);
    assert_int_equal(at.synced.sequence, 20);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 1);
    LDB_IGNORE(ldb_close(f->db, NULL)); /* its env is dead */
    f->env = env_fault_env(f->fault);
    f->options.env = f->env;
    open_twin(f);
    db_fixture_assert_filled(f, 0, 20);
}

static void damage_before_the_end_names_file_and_offset(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    db_fixture_close(f);
    flip_byte(f, "000001.log", 20);
    assert_ldb_status(LDB_CORRUPTION, try_twin(f), &f->err);
    assert_ldb_message("000001.log: checksum mismatch at offset 0", &f->err);
    flip_byte(f, "000001.log", 20);
    flip_byte(f, "MANIFEST-000000", 20);
    assert_ldb_status(LDB_CORRUPTION, try_twin(f), &f->err);
    assert_ldb_message("MANIFEST-000000", &f->err);
    flip_byte(f, "MANIFEST-000000", 20);
    f->db = NULL;
    open_twin(f);
}

/* ---- several journals ---- */

/* Three journals with 10 entries each, the last of them the leader's current
 * one; then it is killed. */
static struct db_fixture killed_with_journals(struct db_fixture *f,
                                              struct flush_gate *gate)
{
    struct db_fixture copy;
    unsigned journals = 0;

    db_fixture_close(f);
    f->options.write_buffer_bytes = 8 << 10;
    f->options.immutable_memtables_max = 4;
    flush_gate_init(gate, f->fault);
    db_fixture_open(f);
    flush_gate_close(gate);
    for (unsigned n = 0; journals < 2; n++) {
        struct ldb_stats stats;

        db_fixture_fill(f, n, n + 1);
        ldb_stats(f->db, &stats);
        journals = stats.immutable_memtables;
    }
    copy = killed_copy(f);
    flush_gate_open(gate);
    db_fixture_close(f);
    flush_gate_release(gate);
    f->db = NULL;
    return copy;
}

static void each_journal_has_a_memtable(void **state)
{
    struct db_fixture *f = *state;
    struct flush_gate gate;
    struct db_fixture copy = killed_with_journals(f, &gate);
    struct ldb_twin_state at;
    struct ldb_stats stats;

    open_twin(&copy);
    ldb_stats(copy.db, &stats);
    ldb_twin_state(copy.db, &at);
    assert_int_equal(stats.immutable_memtables, 2);
    assert_int_equal(stats.levels[0].tables, 0);
    assert_int_equal(at.journal_count, 3);
    assert_int_equal(at.log_number, at.journals[0].number);
    assert_true(at.journals[0].is_sealed);
    assert_true(at.journals[1].is_sealed);
    assert_false(at.journals[2].is_sealed);
    assert_true(at.journals[0].last_sequence < at.journals[1].last_sequence);
    assert_true(at.journals[1].last_sequence < at.journals[2].last_sequence);
    db_fixture_assert_filled(&copy, 0, (unsigned)at.journals[2].last_sequence);
    drop_copy(&copy);
}

static void an_older_journal_has_no_torn_end(void **state)
{
    struct db_fixture *f = *state;
    struct flush_gate gate;
    struct db_fixture copy = killed_with_journals(f, &gate);
    char expected[80];
    struct ldb_twin_state at;
    char name[LDB_FILE_NAME_SIZE];

    open_twin(&copy);
    ldb_twin_state(copy.db, &at);
    db_fixture_close(&copy);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, at.journals[1].number);
    append_to_file(&copy, name, "torn");
    assert_ldb_status(LDB_CORRUPTION, try_twin(&copy), &copy.err);
    (void)snprintf(expected, sizeof(expected),
                   "%s: no whole record from offset %llu on", name,
                   (unsigned long long)at.journals[1].len);
    assert_ldb_message(expected, &copy.err);
    drop_copy(&copy);
}

/* One that was made ready, and a torn one before it. */
static void an_empty_journal_behind_the_last_one_goes(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_twin_state at;

    db_fixture_fill(f, 0, 10);
    db_fixture_close(f);
    append_to_file(f, "000001.log", "torn");
    db_fixture_write_file(f, "000002.log", (struct ldb_slice){0});
    db_fixture_write_file(f, "000009.log", ldb_slice_str("torn"));
    open_twin(f);
    ldb_twin_state(f->db, &at);
    assert_int_equal(at.journal_count, 1);
    assert_int_equal(at.journals[0].number, 1);
    assert_false(at.journals[0].is_sealed);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    db_fixture_assert_filled(f, 0, 10);
}

static void too_many_journals_are_refused(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_MAX);

    db_fixture_fill(f, 0, 1);
    db_fixture_close(f);
    db_fixture_read_file(f, "000001.log", &bytes);
    for (unsigned n = 2; n <= LDB_TWIN_JOURNALS_MAX + 1; n++) {
        char name[LDB_FILE_NAME_SIZE];

        ldb_file_name_print(name, LDB_FILE_JOURNAL, n);
        db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
        f->db = NULL;
        if (n <= LDB_TWIN_JOURNALS_MAX) {
            open_twin(f);
            db_fixture_close(f);
        } else {
            assert_ldb_status(LDB_NOT_SUPPORTED, try_twin(f), &f->err);
        }
    }
    ldb_buf_release(&bytes);
}

/* ---- what it leaves and what it refuses ---- */

static void files_that_nothing_names_go(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, 10);
    db_fixture_flush(f);
    db_fixture_close(f);
    db_fixture_write_file(f, "000099.ldb", ldb_slice_str("stray"));
    db_fixture_write_file(f, "MANIFEST-000098", ldb_slice_str("stray"));
    open_twin(f);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), 1);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_MANIFEST), 1);
}

/* A leader was killed between the edit of a flush and the archiving of its
 * journal: that may be the only one of a history that ended. */
static void flushed_journals_stay_until_they_are_dropped(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf journal = LDB_BUF_INIT(BYTES_MAX);

    db_fixture_fill(f, 0, 10);
    db_fixture_read_file(f, "000001.log", &journal);
    db_fixture_flush(f);
    db_fixture_fill(f, 10, 20);
    db_fixture_close(f);
    db_fixture_write_file(f, "000001.log", ldb_slice_of_buf(&journal));
    for (int i = 0; i < 2; i++) {
        struct ldb_twin_state at;

        open_twin(f);
        ldb_twin_state(f->db, &at);
        assert_int_equal(at.journal_count, 1);
        assert_true(at.log_number > 1);
        db_fixture_assert_filled(f, 0, 20);
        db_fixture_close(f);
        assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 2);
    }
    open_twin(f);
    ldb_twin_drop_flushed(f->db);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_JOURNAL), 1);
    db_fixture_assert_filled(f, 0, 20);
    db_fixture_close(f);
    open_twin(f);
    db_fixture_assert_filled(f, 0, 20);
    ldb_buf_release(&journal);
}

static void writes_of_its_own_are_refused(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_slice a = ldb_slice_str("a");
    struct ldb_batch batch;
    struct ldb_write write = {.batch = &batch};

    ldb_batch_init(&batch, BYTES_MAX);
    assert_ldb_ok(ldb_batch_put(&batch, a, a), NULL);
    db_fixture_close(f);
    open_twin(f);
#define REFUSED(call)                                                          \
    do {                                                                       \
        f->err = (struct ldb_error){0};                                        \
        assert_ldb_status(LDB_READ_ONLY, call, &f->err);                       \
        assert_ldb_message("twin", &f->err);                                   \
    } while (0)
    REFUSED(ldb_put(f->db, a, a, false, &f->err, NULL));
    REFUSED(ldb_put(f->db, a, a, true, &f->err, NULL));
    REFUSED(ldb_delete(f->db, a, false, &f->err, NULL));
    assert_ldb_status(LDB_READ_ONLY, ldb_write_wait(f->db, &write),
                      &write.error);
    assert_ldb_message("twin", &write.error);
    write.done = (void (*)(struct ldb_write *))abort;
    REFUSED(ldb_write_submit(f->db, &write, &f->err));
    REFUSED(ldb_flush(f->db, &f->err));
    REFUSED(ldb_compact_range(f->db, NULL, NULL, &f->err));
    REFUSED(ldb_raise_sequence(f->db, 100, &f->err));
    REFUSED(ldb_reopen(f->db, NULL, &f->err));
#undef REFUSED
    assert_int_equal(ldb_last_sequence(f->db), 0);
    assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
    ldb_batch_release(&batch);
}

static void a_twin_is_not_read_only(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_close(f);
    f->options.read_only = true;
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_twin(f), &f->err);
    f->options.read_only = false;
    f->db = NULL;
    open_twin(f);
}

static void a_twin_can_be_copied_checked_and_described(void **state)
{
    struct db_fixture *f = *state;
    struct db_fixture copy = *f;
    struct ldb_buf text = LDB_BUF_INIT(BYTES_MAX);

    db_fixture_fill(f, 0, 20);
    db_fixture_flush(f);
    db_fixture_fill(f, 20, 40);
    db_fixture_close(f);
    open_twin(f);
    assert_ldb_ok(ldb_checkpoint(f->db, "/copy", &f->err), &f->err);
    assert_ldb_ok(ldb_open("/copy", &copy.options, NULL, &copy.err, &copy.db),
                  &copy.err);
    db_fixture_assert_filled(&copy, 0, 40);
    db_fixture_close(&copy);
    assert_ldb_ok(ldb_property(f->db, "leveldb.stats", &text), NULL);
    ldb_buf_release(&text);
}

/* ---- failures ---- */

static void every_failed_call_of_an_open_is_survived(void **state)
{
    struct db_fixture *f = *state;
    struct flush_gate gate;
    struct db_fixture copy = killed_with_journals(f, &gate);
    uint64_t n;

    for (n = 1; n < CALLS_MAX; n++) {
        const struct env_fault_rule rule = {
            .kinds = ENV_FAULT_ANY & ~ENV_FAULT_BIT(ENV_FAULT_REMOVE_FILE),
            .nth = n,
            .sys_errno = EIO};
        enum ldb_status s;

        env_fault_fail(copy.fault, &rule);
        s = try_twin(&copy);
        env_fault_fail(copy.fault, NULL);
        if (s != LDB_OK) {
            copy.db = NULL;
            continue;
        }
        db_fixture_close(&copy);
        if (env_fault_failed(copy.fault) == 0)
            break;
    }
    assert_in_range(n, 20, CALLS_MAX - 1);
    open_twin(&copy);
    db_fixture_assert_filled(&copy, 0, (unsigned)ldb_last_sequence(copy.db));
    drop_copy(&copy);
}

static void every_failed_allocation_of_an_open_is_survived(void **state)
{
    struct db_fixture *f = *state;
    struct flush_gate gate;
    struct db_fixture copy = killed_with_journals(f, &gate);

    for (uint64_t n = 1;; n++) {
        enum ldb_status s;
        bool has_failed;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = try_twin(&copy);
        has_failed = mem_fault_stop();
        if (s == LDB_OK)
            db_fixture_close(&copy);
        else
            assert_ldb_status(LDB_NO_MEMORY, s, &copy.err);
        copy.db = NULL;
        if (!has_failed)
            break;
    }
    drop_copy(&copy);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_open_changes_no_byte_and_reads_all),
        TEST(a_folder_without_a_database_becomes_a_leaders_first),
        TEST(a_making_that_was_cut_off_is_finished),
        TEST(torn_ends_are_cut_off_durably),
        TEST(what_is_found_is_synced),
        TEST(damage_before_the_end_names_file_and_offset),
        TEST(each_journal_has_a_memtable),
        TEST(an_older_journal_has_no_torn_end),
        TEST(an_empty_journal_behind_the_last_one_goes),
        TEST(too_many_journals_are_refused),
        TEST(files_that_nothing_names_go),
        TEST(flushed_journals_stay_until_they_are_dropped),
        TEST(writes_of_its_own_are_refused),
        TEST(a_twin_is_not_read_only),
        TEST(a_twin_can_be_copied_checked_and_described),
        TEST(every_failed_call_of_an_open_is_survived),
        TEST(every_failed_allocation_of_an_open_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
