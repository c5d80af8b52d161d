/*
 * Files as others read them: durable bytes alone, none other once shown, and
 * who waits is called when there is more.
 */
#include "replication/served_file.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/twin.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/leader_fixture.h"
#include "tests/support/mem_fault.h"
#include "tests/support/patience.h"

#define FILE_MAX ((size_t)16 << 20)

/* ---- helpers ---- */

static void count_wake(void *context)
{
    unsigned *wakes = context;

    (*wakes)++;
}

static const char *name_of(enum ldb_file_type type, uint64_t number)
{
    static char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, type, number);
    return name;
}

static struct repl_served_file *open_journal(struct leader_fixture *f,
                                             uint64_t number)
{
    struct repl_served_file *file =
        leader_fixture_file(f, name_of(LDB_FILE_JOURNAL, number));

    assert_ldb_ok(repl_served_file_seek(file, 0, &f->err), &f->err);
    return file;
}

static struct repl_served_head head_of(struct repl_served_file *file)
{
    struct repl_served_head head;

    repl_served_file_head(file, &head);
    return head;
}

/* What was read is what the file's first bytes are. */
static void expect_bytes(struct leader_fixture *f, const char *name,
                         const struct ldb_buf *bytes)
{
    struct ldb_buf whole = LDB_BUF_INIT(FILE_MAX);

    db_fixture_read_file(f->base, name, &whole);
    assert_true(bytes->len > 0 && whole.len >= bytes->len);
    assert_memory_equal(whole.data, bytes->data, bytes->len);
    ldb_buf_release(&whole);
}

static void expect_none(struct leader_fixture *f, const char *name)
{
    struct repl_served_file *file = NULL;

    print_message("%s\n", name);
    assert_ldb_status(LDB_NOT_FOUND,
                      repl_served_file_open(repl_leader_files(f->leader),
                                            ldb_slice_str(name), &f->err,
                                            &file),
                      &f->err);
    assert_null(file);
}

static uint64_t open_files(struct leader_fixture *f)
{
    struct repl_served_figures figures;

    repl_served_files_figures(repl_leader_files(f->leader), &figures);
    return figures.open;
}

/* ---- names ---- */

static void only_files_of_the_database_have_names(void **state)
{
    static const char *const foreign[] = {
        "",
        "LOG",
        "LOCK",
        "CURRENT",
        "x",
        "3.log",
        "000099.log",
        "000099.ldb",
        "000099.sst",
        "000099.tmp",
        "MANIFEST-000099",
        "../db/CURRENT",
        "leveld",
        "000003.log ",
        "MANIFEST-2",
        "MANIFEST-000000000000000000000000000000000000000000000000000001",
    };
    struct leader_fixture *f = *state;
    struct repl_served_file *file = NULL;

    (void)leader_fixture_flush_one(f, "a");
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        expect_none(f, foreign[i]);
    assert_ldb_status(LDB_NOT_FOUND,
                      repl_served_file_open(repl_leader_files(f->leader),
                                            ldb_slice_make("CURRENT\0.log", 12),
                                            &f->err, &file),
                      &f->err);
    assert_int_equal(open_files(f), 0);
}

static void a_table_is_found_by_its_own_name(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t number = leader_fixture_flush_one(f, "a");
    struct repl_served_file *file =
        leader_fixture_file(f, name_of(LDB_FILE_TABLE, number));
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);

    assert_true(head_of(file).is_sealed);
    assert_int_equal(head_of(file).number, number);
    assert_ldb_ok(repl_served_file_seek(file, 0, &f->err), &f->err);
    leader_fixture_read(f, file, &bytes);
    assert_int_equal(bytes.len, head_of(file).len);
    expect_bytes(f, repl_served_file_name(file), &bytes);
    repl_served_file_close(file);
    ldb_buf_release(&bytes);
    expect_none(f, name_of(LDB_FILE_TABLE_SST, number));
}

/* One that is being written, or was left behind, is nobody's. */
static void a_table_that_no_version_names_is_not_there(void **state)
{
    struct leader_fixture *f = *state;

    db_fixture_write_file(f->base, "000777.ldb", ldb_slice_str("half"));
    expect_none(f, "000777.ldb");
}

static void a_table_of_another_length_is_damage(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t number = leader_fixture_flush_one(f, "a");
    const char *name = name_of(LDB_FILE_TABLE, number);
    struct repl_served_file *file = NULL;

    db_fixture_write_file(f->base, name, ldb_slice_str("short"));
    assert_ldb_status(LDB_CORRUPTION,
                      repl_served_file_open(repl_leader_files(f->leader),
                                            ldb_slice_str(name), &f->err,
                                            &file),
                      &f->err);
    assert_ldb_message(name, &f->err);
    assert_int_equal(open_files(f), 0);
}

/* ---- journals ---- */

static void an_open_journal_shows_durable_bytes_alone(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t journal = leader_fixture_journal(f);
    struct repl_served_file *file = open_journal(f, journal);
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);

    assert_int_equal(head_of(file).len, 0);
    (void)db_fixture_put(f->base, "a", "not synced");
    assert_int_equal(head_of(file).len, 0);
    leader_fixture_read(f, file, &bytes);
    assert_int_equal(bytes.len, 0);
    (void)leader_fixture_put(f, "b", "synced");
    assert_int_equal(head_of(file).len, ldb_durable_position(f->db).offset);
    (void)db_fixture_put(f->base, "c", "not synced");
    leader_fixture_read(f, file, &bytes);
    assert_int_equal(bytes.len, ldb_durable_position(f->db).offset);
    assert_int_equal(repl_served_file_at(file), bytes.len);
    assert_false(head_of(file).is_sealed);
    assert_false(head_of(file).is_over);
    expect_bytes(f, name_of(LDB_FILE_JOURNAL, journal), &bytes);
    repl_served_file_close(file);
    ldb_buf_release(&bytes);
}

static void a_sealed_journal_is_whole_wherever_it_lies(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t journal = leader_fixture_journal(f);
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    struct repl_served_file *file;
    char archived[64];

    (void)leader_fixture_flush_one(f, "a");
    (void)snprintf(archived, sizeof(archived),
                   "leveld/archive/%06" PRIu64 ".log", journal);
    assert_false(
        leader_fixture_has_file(f, name_of(LDB_FILE_JOURNAL, journal)));
    assert_true(leader_fixture_has_file(f, archived));
    file = open_journal(f, journal);
    leader_fixture_read(f, file, &bytes);
    assert_true(head_of(file).is_sealed);
    assert_int_equal(head_of(file).len, bytes.len);
    expect_bytes(f, archived, &bytes);
    repl_served_file_close(file);
    ldb_buf_release(&bytes);
}

static void a_journal_that_is_read_may_go(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t journal = leader_fixture_journal(f);
    struct repl_served_file *file = open_journal(f, journal);
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint8_t first[5];
    size_t len = 0;

    (void)leader_fixture_put(f, "a", "1");
    assert_ldb_ok(
        repl_served_file_read(file, sizeof(first), first, &f->err, &len),
        &f->err);
    assert_int_equal(len, sizeof(first));
    (void)leader_fixture_flush_one(f, "b");
    ldb_archive_trim(f->db, 0);
    expect_none(f, name_of(LDB_FILE_JOURNAL, journal));
    leader_fixture_read(f, file, &bytes);
    assert_true(head_of(file).is_sealed);
    assert_int_equal(head_of(file).len, sizeof(first) + bytes.len);
    repl_served_file_close(file);
    ldb_buf_release(&bytes);
}

static void reading_begins_where_it_is_sought(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t journal = leader_fixture_journal(f);
    struct repl_served_file *file = open_journal(f, journal);
    struct ldb_buf whole = LDB_BUF_INIT(FILE_MAX);
    struct ldb_buf part = LDB_BUF_INIT(FILE_MAX);

    (void)leader_fixture_put(f, "a", "1");
    leader_fixture_read(f, file, &whole);
    repl_served_file_close(file);
    file = leader_fixture_file(f, name_of(LDB_FILE_JOURNAL, journal));
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      repl_served_file_seek(file, whole.len + 1, &f->err),
                      &f->err);
    assert_ldb_ok(repl_served_file_seek(file, 3, &f->err), &f->err);
    leader_fixture_read(f, file, &part);
    assert_int_equal(part.len, whole.len - 3);
    assert_memory_equal(part.data, whole.data + 3, part.len);
    assert_ldb_ok(repl_served_file_seek(file, whole.len, &f->err), &f->err);
    repl_served_file_close(file);
    ldb_buf_release(&part);
    ldb_buf_release(&whole);
}

static void a_file_that_was_cut_is_damage(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t journal = leader_fixture_journal(f);
    struct ldb_writable_file *cut = NULL;
    struct repl_served_file *file;
    uint8_t piece[4096];
    char path[64];
    size_t len;

    (void)leader_fixture_flush_one(f, "a");
    (void)snprintf(path, sizeof(path),
                   DB_FIXTURE_DIR "/leveld/archive/%06" PRIu64 ".log", journal);
    assert_ldb_ok(f->env->ops->open_writable(f->env, path, LDB_OPEN_APPEND,
                                             &f->err, &cut),
                  &f->err);
    assert_ldb_ok(ldb_file_truncate(cut, 9, &f->err), &f->err);
    assert_ldb_ok(ldb_file_close(cut, &f->err), &f->err);
    file = open_journal(f, journal);
    assert_ldb_ok(
        repl_served_file_read(file, sizeof(piece), piece, &f->err, &len),
        &f->err);
    assert_int_equal(len, 9);
    assert_ldb_status(
        LDB_CORRUPTION,
        repl_served_file_read(file, sizeof(piece), piece, &f->err, &len),
        &f->err);
    assert_ldb_message("ends at 9", &f->err);
    repl_served_file_close(file);
}

/* ---- waiting ---- */

static void a_durable_write_wakes_who_waits_once(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_served_file *file = open_journal(f, leader_fixture_journal(f));
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    unsigned wakes = 0;

    (void)leader_fixture_put(f, "a", "1");
    /* It has not read that yet. */
    assert_false(repl_served_file_wait(file, count_wake, &wakes));
    leader_fixture_read(f, file, &bytes);
    assert_true(repl_served_file_wait(file, count_wake, &wakes));
    leader_fixture_tick(f);
    assert_int_equal(wakes, 0);
    (void)leader_fixture_put(f, "b", "1");
    assert_int_equal(wakes, 1);
    (void)leader_fixture_put(f, "c", "1");
    assert_int_equal(wakes, 1);
    leader_fixture_read(f, file, &bytes);
    assert_int_equal(bytes.len, ldb_durable_position(f->db).offset);
    assert_true(repl_served_file_wait(file, count_wake, &wakes));
    repl_served_file_close(file);
    (void)leader_fixture_put(f, "d", "1");
    assert_int_equal(wakes, 1);
    ldb_buf_release(&bytes);
}

static void a_seal_is_seen_at_the_next_tick(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_served_file *file = open_journal(f, leader_fixture_journal(f));
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    unsigned wakes = 0;

    (void)leader_fixture_put(f, "a", "1");
    leader_fixture_read(f, file, &bytes);
    assert_true(repl_served_file_wait(file, count_wake, &wakes));
    db_fixture_flush(f->base);
    leader_fixture_tick(f);
    assert_int_equal(wakes, 1);
    assert_true(head_of(file).is_sealed);
    assert_int_equal(head_of(file).len, bytes.len);
    assert_false(repl_served_file_wait(file, count_wake, &wakes));
    repl_served_file_close(file);
    ldb_buf_release(&bytes);
}

static void the_write_after_a_seal_wakes_at_once(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_served_file *file = open_journal(f, leader_fixture_journal(f));
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    unsigned wakes = 0;

    (void)leader_fixture_put(f, "a", "1");
    leader_fixture_read(f, file, &bytes);
    assert_true(repl_served_file_wait(file, count_wake, &wakes));
    db_fixture_flush(f->base);
    (void)leader_fixture_put(f, "b", "1");
    assert_int_equal(wakes, 1);
    assert_true(head_of(file).is_sealed);
    repl_served_file_close(file);
    ldb_buf_release(&bytes);
}

static uint64_t manifest_number(struct leader_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.manifest_number;
}

static void the_manifest_grows_at_ticks(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_served_file *file =
        leader_fixture_file(f, name_of(LDB_FILE_MANIFEST, manifest_number(f)));
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    unsigned wakes = 0;

    assert_ldb_ok(repl_served_file_seek(file, 0, &f->err), &f->err);
    leader_fixture_read(f, file, &bytes);
    assert_true(bytes.len > 0);
    assert_true(repl_served_file_wait(file, count_wake, &wakes));
    leader_fixture_tick(f);
    assert_int_equal(wakes, 0);
    (void)leader_fixture_flush_one(f, "a");
    leader_fixture_tick(f);
    assert_int_equal(wakes, 1);
    leader_fixture_read(f, file, &bytes);
    assert_int_equal(bytes.len, head_of(file).len);
    assert_false(head_of(file).is_sealed);
    expect_bytes(f, repl_served_file_name(file), &bytes);
    repl_served_file_close(file);
    ldb_buf_release(&bytes);
}

static void a_manifest_that_is_replaced_is_over(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_served_file *file;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    unsigned wakes = 0;
    uint64_t before;

    leader_fixture_stop(f);
    f->base->options.manifest_rotate_bytes = 1024;
    leader_fixture_start(f);
    before = manifest_number(f);
    file = leader_fixture_file(f, name_of(LDB_FILE_MANIFEST, before));
    assert_ldb_ok(repl_served_file_seek(file, 0, &f->err), &f->err);
    leader_fixture_read(f, file, &bytes);
    assert_true(repl_served_file_wait(file, count_wake, &wakes));
    while (manifest_number(f) == before)
        (void)leader_fixture_flush_one(f, "a");
    leader_fixture_tick(f);
    assert_int_equal(wakes, 1);
    assert_true(head_of(file).is_over);
    assert_false(head_of(file).is_sealed);
    assert_true(head_of(file).len >= bytes.len);
    assert_false(repl_served_file_wait(file, count_wake, &wakes));
    repl_served_file_close(file);
    expect_none(f, name_of(LDB_FILE_MANIFEST, before));
    ldb_buf_release(&bytes);
}

static void the_end_wakes_all_and_nobody_comes_after_it(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_served_files *files = repl_leader_files(f->leader);
    struct repl_served_file *file = open_journal(f, leader_fixture_journal(f));
    struct repl_served_file *late = NULL;
    struct repl_served_figures figures;
    unsigned wakes = 0;

    assert_true(repl_served_file_wait(file, count_wake, &wakes));
    repl_served_files_figures(files, &figures);
    assert_int_equal(figures.waiting, 1);
    repl_served_files_end(files);
    assert_int_equal(wakes, 1);
    assert_true(head_of(file).is_over);
    (void)leader_fixture_put(f, "a", "1");
    assert_int_equal(head_of(file).len, 0);
    assert_false(repl_served_file_wait(file, count_wake, &wakes));
    assert_ldb_status(LDB_CLOSED,
                      repl_served_file_open(files, ldb_slice_str("000004.log"),
                                            &f->err, &late),
                      &f->err);
    repl_served_file_close(file);
    assert_int_equal(open_files(f), 0);
}

/* ---- limits and failures ---- */

static void there_are_only_so_many(void **state)
{
    struct leader_fixture *f = *state;
    const char *name = name_of(LDB_FILE_JOURNAL, leader_fixture_journal(f));
    struct repl_served_file **open =
        test_calloc(REPL_SERVED_FILES_MAX, sizeof(struct repl_served_file *));
    struct repl_served_file *more = NULL;

    for (size_t i = 0; i < REPL_SERVED_FILES_MAX; i++)
        open[i] = leader_fixture_file(f, name);
    assert_ldb_status(LDB_STALLED,
                      repl_served_file_open(repl_leader_files(f->leader),
                                            ldb_slice_str(name), &f->err,
                                            &more),
                      &f->err);
    repl_served_file_close(open[0]);
    open[0] = leader_fixture_file(f, name);
    for (size_t i = 0; i < REPL_SERVED_FILES_MAX; i++)
        repl_served_file_close(open[i]);
    test_free(open);
}

static void each_allocation_may_fail(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t number = leader_fixture_flush_one(f, "a");
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_TABLE, number);
    for (uint64_t n = 1;; n++) {
        struct repl_served_file *file = NULL;
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_served_file_open(repl_leader_files(f->leader),
                                  ldb_slice_str(name), &f->err, &file);
        if (s == LDB_OK)
            s = repl_served_file_seek(file, 1, &f->err);
        repl_served_file_close(file);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        assert_int_equal(open_files(f), 0);
    }
}

static void a_failed_read_is_told(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_served_file *file = open_journal(f, leader_fixture_journal(f));
    uint8_t piece[64];
    size_t len;

    (void)leader_fixture_put(f, "a", "1");
    db_fixture_fail(f->base, ENV_FAULT_BIT(ENV_FAULT_READ), ".log", EIO);
    assert_ldb_status(
        LDB_IO,
        repl_served_file_read(file, sizeof(piece), piece, &f->err, &len),
        &f->err);
    env_fault_fail(f->base->fault, NULL);
    repl_served_file_close(file);
}

/* ---- writers and readers at once ---- */

#define RACE_WRITES 400

/* Locking: woken is guarded by mu; the rest is one thread's. */
struct reader {
    struct leader_fixture *f;
    struct ldb_mutex mu;
    struct ldb_cond changed;
    unsigned woken;
    struct ldb_buf bytes;
    uint64_t journals;
};

static void wake_reader(void *context)
{
    struct reader *reader = context;

    ldb_mutex_lock(&reader->mu);
    reader->woken++;
    ldb_cond_broadcast(&reader->changed);
    ldb_mutex_unlock(&reader->mu);
}

/* Waits for a call. False: none has come in time: it is lost. */
static bool await_wake(struct reader *reader)
{
    bool is_in_time = true;

    ldb_mutex_lock(&reader->mu);
    while (reader->woken == 0 && is_in_time)
        is_in_time =
            ldb_cond_wait_for(&reader->changed, &reader->mu, PATIENCE_US);
    if (is_in_time)
        assert_int_equal(reader->woken, 1);
    reader->woken = 0;
    ldb_mutex_unlock(&reader->mu);
    return is_in_time;
}

/* A journal may go to the archive meanwhile: it has its name there before that
 * in the folder goes. */
static void expect_journal(struct leader_fixture *f, uint64_t number,
                           const struct ldb_buf *bytes)
{
    struct ldb_buf whole = LDB_BUF_INIT(FILE_MAX);
    char path[96];
    enum ldb_status s;

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%06" PRIu64 ".log",
                   number);
    s = ldb_env_read_file(f->env, path, NULL, &whole);
    if (s == LDB_NOT_FOUND) {
        (void)snprintf(path, sizeof(path),
                       DB_FIXTURE_DIR "/leveld/archive/%06" PRIu64 ".log",
                       number);
        s = ldb_env_read_file(f->env, path, &f->err, &whole);
    }
    assert_ldb_ok(s, &f->err);
    assert_true(bytes->len > 0 && whole.len >= bytes->len);
    assert_memory_equal(whole.data, bytes->data, bytes->len);
    ldb_buf_release(&whole);
}

enum end {
    END_SEAL,
    END_LAST, /* the last write was read */
    END_LOST, /* nobody called */
};

/* All was read that there is: is more to come? A write that becomes durable
 * after this has looked wakes who waits. */
static bool is_at_last(struct leader_fixture *f, uint64_t number,
                       uint64_t read_len, ldb_sequence last)
{
    struct ldb_position durable = ldb_durable_position(f->db);

    return durable.journal == number && durable.sequence == last &&
           durable.offset == read_len;
}

/* Follows one journal to its end, or to the last write. */
static enum end follow(struct reader *reader, uint64_t number,
                       ldb_sequence last)
{
    struct leader_fixture *f = reader->f;
    struct repl_served_file *file = open_journal(f, number);
    struct repl_served_head head;
    enum end end;

    reader->journals++;
    for (;;) {
        leader_fixture_read(f, file, &reader->bytes);
        repl_served_file_head(file, &head);
        end = head.is_sealed ? END_SEAL : END_LAST;
        if (head.is_sealed && repl_served_file_at(file) == head.len)
            break;
        if (is_at_last(f, number, reader->bytes.len, last))
            break;
        end = END_LOST;
        if (repl_served_file_wait(file, wake_reader, reader) &&
            !await_wake(reader))
            break;
    }
    repl_served_file_close(file); /* nobody calls from now on */
    if (end == END_LOST)
        return end;
    assert_false(head.is_over);
    assert_int_equal(reader->bytes.len, head.len);
    return end;
}

static void write_some(void *context)
{
    struct leader_fixture *f = context;
    char value[1024];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (unsigned i = 0; i < RACE_WRITES; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "%u", i);
        if (ldb_put(f->db, ldb_slice_str(key), ldb_slice_str(value),
                    i % 7 == 0 || i == RACE_WRITES - 1, NULL, NULL) != LDB_OK)
            abort();
        if (i % 100 == 50 && ldb_flush(f->db, NULL) != LDB_OK)
            abort();
    }
}

static void who_follows_gets_all_of_each_journal(void **state)
{
    struct leader_fixture *f = *state;
    struct reader reader = {.f = f, .bytes = LDB_BUF_INIT(FILE_MAX)};
    struct ldb_retained_journal next = {.number = leader_fixture_journal(f)};
    struct ldb_thread *writer = NULL;
    enum end end;

    ldb_mutex_init(&reader.mu);
    ldb_cond_init(&reader.changed);
    assert_ldb_ok(f->env->ops->thread_start(f->env, "writer", write_some, f,
                                            &f->err, &writer),
                  &f->err);
    while ((end = follow(&reader, next.number, RACE_WRITES)) == END_SEAL) {
        expect_journal(f, next.number, &reader.bytes);
        ldb_buf_clear(&reader.bytes);
        assert_ldb_ok(
            ldb_retained_after(ldb_db_retained(f->db), next.number, &next),
            NULL);
    }
    f->env->ops->thread_join(f->env, writer);
    if (end == END_LOST)
        fail_msg("journal %" PRIu64 ": not woken at %zu bytes", next.number,
                 reader.bytes.len);
    expect_journal(f, next.number, &reader.bytes);
    assert_true(reader.journals > 3);
    ldb_buf_release(&reader.bytes);
    ldb_cond_release(&reader.changed);
    ldb_mutex_release(&reader.mu);
}

/* Writes that come while their reader is about to wait; no tick helps. */
#define MEETINGS 3000

/* Locking: the counters are atomics. */
struct meeting {
    struct leader_fixture *f;
    atomic_uint asked;
    atomic_uint woken;
};

static void wake_meeting(void *context)
{
    struct meeting *meeting = context;

    atomic_fetch_add(&meeting->woken, 1);
}

static void write_when_asked(void *context)
{
    struct meeting *meeting = context;

    for (unsigned i = 1; i <= MEETINGS; i++) {
        while (atomic_load(&meeting->asked) < i)
            (void)sched_yield();
        if (ldb_put(meeting->f->db, ldb_slice_str("k"), ldb_slice_str("v"),
                    true, NULL, NULL) != LDB_OK)
            abort();
    }
}

/* Whether the call for that wait has come in time. */
static bool is_woken(struct meeting *meeting, unsigned before)
{
    struct ldb_env *env = meeting->f->env;
    uint64_t begun = env->ops->monotonic_us(env);

    while (atomic_load(&meeting->woken) == before) {
        if (env->ops->monotonic_us(env) - begun > PATIENCE_US)
            return false;
        (void)sched_yield();
    }
    return true;
}

/* Reads up to write i, which may not be there yet. False: nobody calls. */
static bool meet(struct meeting *meeting, struct repl_served_file *file,
                 unsigned i, struct ldb_buf *bytes)
{
    struct leader_fixture *f = meeting->f;
    unsigned before = atomic_load(&meeting->woken);

    for (;;) {
        leader_fixture_read(f, file, bytes);
        if (ldb_durable_position(f->db).sequence >= i &&
            bytes->len == ldb_durable_position(f->db).offset)
            return true;
        if (!repl_served_file_wait(file, wake_meeting, meeting))
            continue;
        if (!is_woken(meeting, before))
            return false;
        before++;
    }
}

static void no_write_is_missed_by_who_begins_to_wait(void **state)
{
    struct leader_fixture *f = *state;
    struct meeting meeting = {.f = f};
    struct repl_served_file *file = open_journal(f, leader_fixture_journal(f));
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    struct ldb_thread *writer = NULL;
    bool has_met = true;
    unsigned i = 0;

    ldb_watch_begin(f->db); /* from the first on */
    assert_ldb_ok(f->env->ops->thread_start(f->env, "writer", write_when_asked,
                                            &meeting, &f->err, &writer),
                  &f->err);
    while (has_met && ++i <= MEETINGS) {
        atomic_store(&meeting.asked, i);
        /* Some come before, some after, and some in between. */
        for (unsigned spin = 0; spin < (i * 37) % 2000; spin++)
            LDB_SPIN_PAUSE();
        has_met = meet(&meeting, file, i, &bytes);
    }
    atomic_store(&meeting.asked, MEETINGS); /* the rest, if one was missed */
    f->env->ops->thread_join(f->env, writer);
    ldb_watch_end(f->db);
    if (!has_met)
        fail_msg("write %u: not woken", i);
    leader_fixture_read(f, file, &bytes);
    assert_int_equal(bytes.len, ldb_durable_position(f->db).offset);
    repl_served_file_close(file);
    ldb_buf_release(&bytes);
}

static void a_database_that_only_reads_serves_no_files(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_served_files *files = NULL;

    leader_fixture_stop(f);
    f->base->options.read_only = true;
    db_fixture_open(f->base);
    assert_ldb_status(LDB_READ_ONLY,
                      repl_served_files_create(f->base->db, f->env,
                                               DB_FIXTURE_DIR, NULL, &f->err,
                                               &files),
                      &f->err);
    db_fixture_close(f->base);
}

static enum ldb_status open_of_twin(struct repl_served_files *files,
                                    enum ldb_file_type type, uint64_t number,
                                    struct ldb_error *err,
                                    struct repl_served_file **out)
{
    return repl_served_file_open(files, ldb_slice_str(name_of(type, number)),
                                 err, out);
}

/* Journals and MANIFEST are its leader's to show. */
static void a_twin_serves_its_tables_alone(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t table = leader_fixture_flush_one(f, "a");
    struct repl_served_files *files = NULL;
    struct repl_served_file *file = NULL;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    struct ldb_twin_state at;
    struct ldb_db *twin = NULL;
    uint8_t chunk[4096];
    size_t len = 0;

    (void)leader_fixture_put(f, "b", "2");
    leader_fixture_stop(f);
    assert_ldb_ok(
        ldb_twin_open(DB_FIXTURE_DIR, &f->base->options, NULL, &f->err, &twin),
        &f->err);
    ldb_twin_state(twin, &at);
    assert_true(at.journal_count > 0);
    assert_ldb_ok(repl_served_files_create_twin(twin, f->env, DB_FIXTURE_DIR,
                                                &f->err, &files),
                  &f->err);
    assert_ldb_status(LDB_NOT_FOUND,
                      open_of_twin(files, LDB_FILE_JOURNAL,
                                   at.journals[0].number, &f->err, &file),
                      &f->err);
    assert_ldb_status(LDB_NOT_FOUND,
                      open_of_twin(files, LDB_FILE_MANIFEST, at.manifest_number,
                                   &f->err, &file),
                      &f->err);
    assert_ldb_ok(open_of_twin(files, LDB_FILE_TABLE, table, &f->err, &file),
                  &f->err);
    assert_true(head_of(file).is_sealed);
    assert_ldb_ok(repl_served_file_seek(file, 0, &f->err), &f->err);
    do {
        assert_ldb_ok(
            repl_served_file_read(file, sizeof(chunk), chunk, &f->err, &len),
            &f->err);
        assert_ldb_ok(ldb_buf_append(&bytes, ldb_slice_make(chunk, len)), NULL);
    } while (len > 0);
    assert_int_equal(head_of(file).len, bytes.len);
    expect_bytes(f, name_of(LDB_FILE_TABLE, table), &bytes);
    repl_served_file_close(file);
    repl_served_files_destroy(files);
    assert_ldb_ok(ldb_close(twin, &f->err), &f->err);
    ldb_buf_release(&bytes);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, leader_fixture_setup,                \
                                    leader_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_files_of_the_database_have_names),
        TEST(a_table_is_found_by_its_own_name),
        TEST(a_table_that_no_version_names_is_not_there),
        TEST(a_table_of_another_length_is_damage),
        TEST(an_open_journal_shows_durable_bytes_alone),
        TEST(a_sealed_journal_is_whole_wherever_it_lies),
        TEST(a_journal_that_is_read_may_go),
        TEST(reading_begins_where_it_is_sought),
        TEST(a_file_that_was_cut_is_damage),
        TEST(a_durable_write_wakes_who_waits_once),
        TEST(a_seal_is_seen_at_the_next_tick),
        TEST(the_write_after_a_seal_wakes_at_once),
        TEST(the_manifest_grows_at_ticks),
        TEST(a_manifest_that_is_replaced_is_over),
        TEST(the_end_wakes_all_and_nobody_comes_after_it),
        TEST(there_are_only_so_many),
        TEST(each_allocation_may_fail),
        TEST(a_failed_read_is_told),
        TEST(who_follows_gets_all_of_each_journal),
        TEST(no_write_is_missed_by_who_begins_to_wait),
        TEST(a_database_that_only_reads_serves_no_files),
        TEST(a_twin_serves_its_tables_alone),
    };

    return cmocka_run_group_tests_name("served_file", tests, NULL, NULL);
}
