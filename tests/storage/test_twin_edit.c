/* A leader's edits, one or many or a whole MANIFEST, become a twin's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/twin_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/mem_fault.h"
#include "tests/support/twin_ship.h"

#define CALLS_MAX 2000
#define FEW       6

struct fixture {
    struct leader_run *leader;
    struct env_fault *fault; /* the twin's */
    struct twin_ship t;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.leader = leader_run_create(1, true),
                         .fault = env_fault_create(NULL)};
    twin_ship_init(&f.t, f.leader, env_fault_env(f.fault), 1);
    twin_ship_open(&f.t);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    env_fault_fail(f->fault, NULL);
    if (f->t.db != NULL)
        LDB_IGNORE(ldb_close(f->t.db, NULL)); /* it may have stopped */
    env_fault_destroy(f->fault);
    leader_run_destroy(f->leader);
    return 0;
}

static struct ldb_twin_state state_of(struct fixture *f)
{
    struct ldb_twin_state at;

    ldb_twin_state(f->t.db, &at);
    return at;
}

static void write_few(struct fixture *f)
{
    for (unsigned i = 0; i < FEW; i++)
        leader_run_write(f->leader);
}

/* The leader's journal whole, and sealed where it is; the next ones too. */
static void ship_journals(struct fixture *f)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_state at = state_of(f);
    uint64_t number = at.written.journal;
    bool is_sealed = at.journals[at.journal_count - 1].is_sealed;

    for (;;) {
        uint64_t next =
            leader_run_next_file(f->leader, LDB_FILE_JOURNAL, number);
        size_t from = (size_t)state_of(f).next_offset;

        assert_true(
            leader_run_file(f->leader, LDB_FILE_JOURNAL, number, &bytes));
        if (!is_sealed)
            assert_ldb_ok(ldb_twin_append(f->t.db, number, from,
                                          ldb_slice_make(bytes.data + from,
                                                         bytes.len - from),
                                          &f->t.err),
                          &f->t.err);
        twin_ship_note_applied(&f->t);
        if (next == 0)
            break;
        assert_ldb_ok(ldb_twin_seal(f->t.db, number, bytes.len, &f->t.err),
                      &f->t.err);
        assert_ldb_ok(
            ldb_twin_append(f->t.db, next, 0, (struct ldb_slice){0}, &f->t.err),
            &f->t.err);
        number = next;
        is_sealed = false;
    }
    ldb_buf_release(&bytes);
}

/* Of the leader's MANIFEST, from where ours ends, but for the last cut bytes;
 * or all of another one. */
static enum ldb_status try_plan(struct fixture *f, size_t cut,
                                struct ldb_twin_plan **out)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_state at = state_of(f);
    struct ldb_stats stats;
    size_t from;
    enum ldb_status s;

    ldb_stats(f->leader->db, &stats);
    assert_true(leader_run_file(f->leader, LDB_FILE_MANIFEST,
                                stats.manifest_number, &bytes));
    from = stats.manifest_number == at.manifest_number ? (size_t)at.manifest_len
                                                       : 0;
    assert_true(from + cut <= bytes.len);
    s = ldb_twin_plan_create(
        f->t.db, stats.manifest_number, from,
        ldb_slice_make(bytes.data + from, bytes.len - from - cut), &f->t.err,
        out);
    ldb_buf_release(&bytes);
    return s;
}

static struct ldb_twin_plan *plan(struct fixture *f)
{
    struct ldb_twin_plan *made = NULL;

    assert_ldb_ok(try_plan(f, 0, &made), &f->t.err);
    return made;
}

static enum ldb_status try_install(struct fixture *f,
                                   struct ldb_twin_plan *made)
{
    return ldb_twin_install(f->t.db, made, &f->t.err);
}

static const char *twin_path(enum ldb_file_type type, uint64_t number,
                             char out[64])
{
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, type, number);
    (void)snprintf(out, 64, TWIN_SHIP_DIR "/%s", name);
    return out;
}

static bool has_file(struct fixture *f, enum ldb_file_type type,
                     uint64_t number)
{
    uint64_t size;
    char path[64];

    return f->t.options.env->ops->file_size(f->t.options.env,
                                            twin_path(type, number, path), NULL,
                                            &size) == LDB_OK;
}

/* The leader's table under its name, cut bytes short. */
static void fetch(struct fixture *f, uint64_t number, size_t cut)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_env *env = f->t.options.env;
    struct ldb_writable_file *file = NULL;
    char path[64];

    assert_true(leader_run_file(f->leader, LDB_FILE_TABLE, number, &bytes));
    assert_ldb_ok(ldb_twin_discard(f->t.db, number, &f->t.err), &f->t.err);
    assert_ldb_ok(
        env->ops->open_writable(env, twin_path(LDB_FILE_TABLE, number, path),
                                LDB_OPEN_TRUNCATE, &f->t.err, &file),
        &f->t.err);
    assert_ldb_ok(ldb_file_append(file,
                                  ldb_slice_make(bytes.data, bytes.len - cut),
                                  &f->t.err),
                  &f->t.err);
    assert_ldb_ok(ldb_file_sync(file, &f->t.err), &f->t.err);
    assert_ldb_ok(ldb_file_close(file, &f->t.err), &f->t.err);
    ldb_buf_release(&bytes);
}

/* ---- one edit ---- */

static void a_flush_is_made_here_and_is_the_leaders_to_the_byte(void **state)
{
    struct fixture *f = *state;
    const struct ldb_twin_table *tables;
    struct ldb_twin_plan *made;
    struct ldb_digest digest;
    struct ldb_stats stats;
    size_t count = 0;
    uint64_t size = 0;

    twin_ship_converge(&f->t);
    write_few(f);
    leader_run_flush(f->leader);
    ship_journals(f);
    made = plan(f);
    tables = ldb_twin_plan_tables(made, &count);
    assert_int_equal(count, 1);
    assert_int_equal(tables[0].level, 0);
    assert_int_equal(tables[0].journal, 1);
    assert_int_equal(ldb_twin_plan_records(made), 1);
    assert_int_equal(ldb_twin_plan_log_number(made), 2);
    assert_ldb_status(LDB_NOT_FOUND, try_install(f, made), &f->t.err);
    assert_ldb_message("level 0 needs table 000003", &f->t.err);
    assert_ldb_ok(
        ldb_twin_build(f->t.db, tables[0].number, 1, &f->t.err, &digest, &size),
        &f->t.err);
    assert_int_equal(size, tables[0].size);
    ldb_stats(f->t.db, &stats);
    assert_int_equal(stats.immutable_memtables, 1);
    assert_ldb_ok(try_install(f, made), &f->t.err);
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      ldb_twin_discard(f->t.db, tables[0].number, &f->t.err),
                      &f->t.err);
    assert_ldb_status(
        LDB_INVALID_ARGUMENT,
        ldb_twin_build(f->t.db, tables[0].number, 2, &f->t.err, &digest, &size),
        &f->t.err);
    ldb_twin_plan_destroy(made);
    ldb_stats(f->t.db, &stats);
    assert_int_equal(stats.immutable_memtables, 0);
    assert_int_equal(stats.levels[0].tables, 1);
    assert_false(has_file(f, LDB_FILE_JOURNAL, 1));
    assert_int_equal(state_of(f).log_number, 2);
    assert_int_equal(state_of(f).journal_count, 1);
    twin_ship_check(&f->t);
}

static void a_table_of_another_length_or_damaged_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_twin_state before;
    struct ldb_twin_state after;
    struct ldb_twin_plan *made;
    const struct ldb_twin_table *tables;
    struct ldb_env *env = f->t.options.env;
    struct ldb_writable_file *file = NULL;
    size_t count = 0;
    char path[64];

    write_few(f);
    leader_run_flush(f->leader);
    ship_journals(f);
    made = plan(f);
    tables = ldb_twin_plan_tables(made, &count);
    assert_int_equal(count, 1);
    before = state_of(f);
    fetch(f, tables[0].number, 1);
    assert_ldb_status(LDB_CORRUPTION, try_install(f, made), &f->t.err);
    assert_ldb_message("the leader's has", &f->t.err);
    fetch(f, tables[0].number, 48); /* its footer */
    assert_ldb_ok(env->ops->open_writable(
                      env, twin_path(LDB_FILE_TABLE, tables[0].number, path),
                      LDB_OPEN_APPEND, &f->t.err, &file),
                  &f->t.err);
    assert_ldb_ok(ldb_file_append(file,
                                  ldb_slice_str("0123456789abcdef0123456789"
                                                "abcdef0123456789abcdef"),
                                  &f->t.err),
                  &f->t.err);
    assert_ldb_ok(ldb_file_close(file, &f->t.err), &f->t.err);
    assert_ldb_status(LDB_CORRUPTION, try_install(f, made), &f->t.err);
    after = state_of(f);
    assert_int_equal(before.manifest_len, after.manifest_len);
    assert_int_equal(before.log_number, after.log_number);
    assert_int_equal(before.journal_count, after.journal_count);
    assert_memory_equal(&before.applied, &after.applied,
                        sizeof(before.applied));
    fetch(f, tables[0].number, 0);
    assert_ldb_ok(try_install(f, made), &f->t.err);
    ldb_twin_plan_destroy(made);
    twin_ship_check(&f->t);
}

/* R8. */
static void an_edit_waits_for_the_journals_below_its_log_number(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_plan *made;
    const struct ldb_twin_table *tables;
    struct ldb_digest digest;
    size_t count = 0;
    uint64_t size;

    write_few(f);
    leader_run_flush(f->leader);
    assert_true(leader_run_file(f->leader, LDB_FILE_JOURNAL, 1, &bytes));
    assert_ldb_ok(
        ldb_twin_append(f->t.db, 1, 0, ldb_slice_of_buf(&bytes), &f->t.err),
        &f->t.err);
    twin_ship_note_applied(&f->t);
    made = plan(f);
    tables = ldb_twin_plan_tables(made, &count);
    assert_int_equal(count, 1);
    /* Whose it is cannot be known before the seal. */
    assert_int_equal(tables[0].journal, 0);
    assert_ldb_status(
        LDB_INVALID_ARGUMENT,
        ldb_twin_build(f->t.db, tables[0].number, 1, &f->t.err, &digest, &size),
        &f->t.err);
    fetch(f, tables[0].number, 0);
    assert_ldb_status(LDB_STALLED, try_install(f, made), &f->t.err);
    assert_ldb_message("000001.log is to be in tables, and is not sealed",
                       &f->t.err);
    assert_ldb_ok(ldb_twin_seal(f->t.db, 1, bytes.len, &f->t.err), &f->t.err);
    /* The next one is begun here: the sequence tells that nothing is between.
     */
    assert_ldb_ok(try_install(f, made), &f->t.err);
    assert_int_equal(state_of(f).written.journal, 2);
    assert_true(has_file(f, LDB_FILE_JOURNAL, 2));
    ldb_twin_plan_destroy(made);
    ldb_buf_release(&bytes);
    twin_ship_check(&f->t);
}

/* A journal that the twin never heard of lies between. */
static void an_edit_waits_for_journals_that_nobody_spoke_of(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_plan *made;
    const struct ldb_twin_table *tables;
    size_t count = 0;

    write_few(f);
    leader_run_flush(f->leader);
    write_few(f);
    leader_run_flush(f->leader);
    assert_true(leader_run_file(f->leader, LDB_FILE_JOURNAL, 1, &bytes));
    assert_ldb_ok(
        ldb_twin_append(f->t.db, 1, 0, ldb_slice_of_buf(&bytes), &f->t.err),
        &f->t.err);
    twin_ship_note_applied(&f->t);
    assert_ldb_ok(ldb_twin_seal(f->t.db, 1, bytes.len, &f->t.err), &f->t.err);
    made = plan(f);
    tables = ldb_twin_plan_tables(made, &count);
    for (size_t i = 0; i < count; i++)
        fetch(f, tables[i].number, 0);
    assert_ldb_status(LDB_STALLED, try_install(f, made), &f->t.err);
    assert_ldb_message("has not begun here", &f->t.err);
    ship_journals(f);
    assert_ldb_ok(try_install(f, made), &f->t.err);
    ldb_twin_plan_destroy(made);
    ldb_buf_release(&bytes);
    twin_ship_check(&f->t);
}

/* ---- many, and another MANIFEST ---- */

static void a_run_is_one_stroke_and_takes_only_what_is_left(void **state)
{
    struct fixture *f = *state;
    struct ldb_twin_plan *made;
    struct ldb_stats stats;
    size_t count = 0;
    uint64_t tables = 0;

    twin_ship_converge(&f->t);
    for (unsigned i = 0; i < 3; i++) {
        write_few(f);
        leader_run_flush(f->leader);
    }
    leader_run_compact(f->leader);
    ldb_stats(f->leader->db, &stats);
    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
        tables += stats.levels[level].tables;
    ship_journals(f);
    made = plan(f);
    (void)ldb_twin_plan_tables(made, &count);
    assert_true(ldb_twin_plan_records(made) > 3 ||
                state_of(f).manifest_number != stats.manifest_number);
    assert_int_equal(count, tables);
    ldb_twin_plan_destroy(made);
    twin_ship_converge(&f->t);
    leader_run_close(f->leader);
    twin_ship_converge(&f->t);
    twin_ship_check(&f->t);
    twin_ship_close(&f->t);
    twin_ship_assert_same(&f->t);
}

static void another_manifest_is_taken_whole(void **state)
{
    struct fixture *f = *state;
    uint64_t before = state_of(f).manifest_number;

    write_few(f);
    leader_run_reopen(f->leader);
    write_few(f);
    leader_run_reopen(f->leader); /* and the one between is not needed */
    write_few(f);
    leader_run_close(f->leader);
    twin_ship_converge(&f->t);
    assert_true(state_of(f).manifest_number > before);
    assert_false(has_file(f, LDB_FILE_MANIFEST, before));
    twin_ship_check(&f->t);
    twin_ship_close(&f->t);
    twin_ship_assert_same(&f->t);
}

/* One that comes late: the first journals are gone. */
static void an_empty_twin_takes_any_state(void **state)
{
    struct fixture *f = *state;
    struct ldb_twin_plan *made;
    const struct ldb_twin_table *tables;
    size_t count = 0;

    for (unsigned i = 0; i < 4; i++) {
        write_few(f);
        leader_run_flush(f->leader);
    }
    leader_run_reopen(f->leader);
    write_few(f);
    made = plan(f);
    tables = ldb_twin_plan_tables(made, &count);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(tables[i].journal, 0);
        fetch(f, tables[i].number, 0);
    }
    assert_ldb_ok(try_install(f, made), &f->t.err);
    ldb_twin_plan_destroy(made);
    assert_int_equal(state_of(f).journal_count, 1);
    twin_ship_close(&f->t);
    twin_ship_open(&f->t);
    twin_ship_check(&f->t);
    leader_run_close(f->leader);
    twin_ship_converge(&f->t);
    twin_ship_check(&f->t);
    twin_ship_close(&f->t);
    twin_ship_assert_same(&f->t);
}

/* ---- readers ---- */

static void tables_stay_as_long_as_somebody_reads_them(void **state)
{
    struct fixture *f = *state;
    struct ldb_snapshot *snapshot = NULL;
    struct ldb_read_options options = {0};
    struct ldb_cursor *cursor = NULL;
    uint64_t old;
    unsigned before = 0;
    unsigned after = 0;

    write_few(f);
    leader_run_flush(f->leader);
    twin_ship_converge(&f->t);
    old = leader_run_next_file(f->leader, LDB_FILE_TABLE, 0);
    assert_true(has_file(f, LDB_FILE_TABLE, old));
    assert_ldb_ok(ldb_snapshot_acquire(f->t.db, &f->t.err, &snapshot),
                  &f->t.err);
    options.snapshot = snapshot;
    for (unsigned round = 0; round < 2; round++) {
        assert_ldb_ok(ldb_cursor_open(f->t.db, &options, &f->t.err, &cursor),
                      &f->t.err);
        for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
             ldb_cursor_next(cursor))
            (*(round == 0 ? &before : &after))++;
        assert_ldb_ok(ldb_cursor_status(cursor, &f->t.err), &f->t.err);
        ldb_cursor_close(cursor);
        write_few(f);
        leader_run_flush(f->leader);
        leader_run_compact(f->leader);
        twin_ship_converge(&f->t);
    }
    assert_int_equal(before, after);
    assert_true(has_file(f, LDB_FILE_TABLE, old));
    ldb_snapshot_release(snapshot);
    assert_ldb_ok(ldb_twin_sync(f->t.db, &f->t.err, NULL), &f->t.err);
    assert_false(has_file(f, LDB_FILE_TABLE, old));
}

/* A compaction's edit has no memtable to drop. */
static void readers_come_to_a_version_without_a_flush(void **state)
{
    struct fixture *f = *state;
    struct ldb_stats theirs;
    struct ldb_stats ours;
    struct ldb_view *view;
    ldb_sequence sequence;

    write_few(f);
    leader_run_flush(f->leader);
    twin_ship_converge(&f->t);
    leader_run_compact(f->leader);
    twin_ship_converge(&f->t);
    ldb_stats(f->leader->db, &theirs);
    ldb_stats(f->t.db, &ours);
    assert_int_equal(theirs.levels[0].tables, ours.levels[0].tables);
    view = ldb_db_view(f->t.db, &sequence);
    ldb_mutex_lock(&f->t.db->mu);
    assert_ptr_equal(view->version, ldb_version_set_current(f->t.db->versions));
    ldb_mutex_unlock(&f->t.db->mu);
    ldb_db_view_release(f->t.db, view);
}

/* ---- refusals ---- */

static void bytes_that_are_no_run_are_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_plan *made = NULL;
    struct ldb_twin_state at = state_of(f);
    struct ldb_slice rest;

    write_few(f);
    leader_run_flush(f->leader);
    assert_true(leader_run_file(f->leader, LDB_FILE_MANIFEST, 0, &bytes));
    rest = ldb_slice_make(bytes.data + at.manifest_len,
                          bytes.len - (size_t)at.manifest_len);
#define REFUSED(status, number, offset, slice)                                 \
    assert_ldb_status(status,                                                  \
                      ldb_twin_plan_create(f->t.db, number, offset, slice,     \
                                           &f->t.err, &made),                  \
                      &f->t.err)
    REFUSED(LDB_INVALID_ARGUMENT, 0, at.manifest_len + 1, rest);
    REFUSED(LDB_INVALID_ARGUMENT, 0, 0, ldb_slice_of_buf(&bytes));
    REFUSED(LDB_INVALID_ARGUMENT, 9, at.manifest_len, rest);
    REFUSED(LDB_INVALID_ARGUMENT, 0, at.manifest_len,
            ldb_slice_make(rest.data, rest.len - 1));
    REFUSED(LDB_CORRUPTION, 9, 0, rest); /* no whole MANIFEST */
    bytes.data[at.manifest_len + 10] ^= 1;
    REFUSED(LDB_CORRUPTION, 0, at.manifest_len, rest);
    assert_ldb_message("MANIFEST-000000: checksum mismatch at offset",
                       &f->t.err);
#undef REFUSED
    assert_null(made);
    ldb_buf_release(&bytes);
}

static void a_plan_of_another_time_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_twin_plan *made;

    write_few(f);
    leader_run_flush(f->leader);
    made = plan(f);
    twin_ship_converge(&f->t);
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_install(f, made), &f->t.err);
    ldb_twin_plan_destroy(made);
    twin_ship_check(&f->t);
}

/* ---- leading ---- */

static void a_twin_that_is_closed_opens_as_a_leader(void **state)
{
    struct fixture *f = *state;
    struct ldb_db *db = NULL;

    for (unsigned i = 0; i < 100; i++)
        leader_run_step(f->leader);
    twin_ship_converge(&f->t);
    twin_ship_close(&f->t);
    assert_ldb_ok(ldb_open(TWIN_SHIP_DIR, &f->t.options, NULL, &f->t.err, &db),
                  &f->t.err);
    leader_run_assert_state(f->leader, db);
    assert_ldb_ok(ldb_put(db, ldb_slice_str("z"), ldb_slice_str("1"), true,
                          &f->t.err, NULL),
                  &f->t.err);
    assert_ldb_ok(ldb_compact_range(db, NULL, NULL, &f->t.err), &f->t.err);
    assert_ldb_ok(ldb_close(db, &f->t.err), &f->t.err);
}

/* ---- failures ---- */

/* A flush, a run with compactions, another MANIFEST: all of it, from wherever
 * the twin is. */
static void live(struct fixture *f)
{
    write_few(f);
    leader_run_flush(f->leader);
    twin_ship_converge(&f->t);
    write_few(f);
    leader_run_flush(f->leader);
    write_few(f);
    leader_run_compact(f->leader);
    leader_run_reopen(f->leader);
    write_few(f);
    leader_run_flush(f->leader);
    leader_run_close(f->leader);
}

static void every_failed_call_is_made_good(void **state)
{
    struct fixture *f = *state;
    uint64_t n;

    live(f);
    twin_ship_close(&f->t);
    for (n = 1; n < CALLS_MAX; n++) {
        struct env_fault *fault =
            env_fault_after_cut(f->fault, LDB_CRASH_KEEP_ALL, n);
        const struct env_fault_rule rule = {.kinds = ENV_FAULT_ANY,
                                            .nth = n,
                                            .sys_errno = EIO,
                                            .torn = n % 2 == 0};
        struct twin_ship t = f->t;
        bool is_over;
        enum ldb_status s;

        t.options.env = env_fault_env(fault);
        twin_ship_open(&t);
        env_fault_fail(fault, &rule);
        s = twin_ship_try_converge(&t);
        env_fault_fail(fault, NULL);
        if (s != LDB_OK &&
            (n % 3 == 0 || ldb_health(t.db, NULL) >= LDB_HEALTH_SYNC_FAILED)) {
            LDB_IGNORE(ldb_close(t.db, NULL)); /* it may have stopped */
            twin_ship_open(&t);
        }
        twin_ship_check(&t);
        twin_ship_converge(&t);
        twin_ship_check(&t);
        twin_ship_close(&t);
        twin_ship_open(&t); /* what could not be removed goes */
        twin_ship_converge(&t);
        twin_ship_close(&t);
        twin_ship_assert_same(&t);
        is_over = s == LDB_OK && env_fault_failed(fault) == 0;
        env_fault_destroy(fault);
        if (is_over)
            break;
    }
    assert_in_range(n, 50, CALLS_MAX - 1);
}

/* A plan, its only table, its installation. */
static enum ldb_status take_flush(struct ldb_db *db, struct ldb_slice rest,
                                  uint64_t offset, struct ldb_error *err)
{
    struct ldb_twin_plan *made = NULL;
    const struct ldb_twin_table *tables;
    struct ldb_digest digest;
    size_t count = 0;
    uint64_t size;
    enum ldb_status s = ldb_twin_plan_create(db, 0, offset, rest, err, &made);

    if (s != LDB_OK)
        return s;
    tables = ldb_twin_plan_tables(made, &count);
    assert_int_equal(count, 1);
    s = ldb_twin_build(db, tables[0].number, tables[0].journal, err, &digest,
                       &size);
    if (s == LDB_OK)
        s = ldb_twin_install(db, made, err);
    ldb_twin_plan_destroy(made);
    return s;
}

static void every_failed_allocation_is_made_good(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_journal journal;
    uint64_t offset;
    struct ldb_slice rest;
    uint64_t n;

    write_few(f);
    leader_run_flush(f->leader);
    ship_journals(f);
    offset = state_of(f).manifest_len;
    journal = state_of(f).journals[0];
    twin_ship_close(&f->t);
    assert_true(leader_run_file(f->leader, LDB_FILE_MANIFEST, 0, &bytes));
    rest = ldb_slice_make(bytes.data + offset, bytes.len - (size_t)offset);
    for (n = 1; n < CALLS_MAX; n++) {
        struct env_fault *fault =
            env_fault_after_cut(f->fault, LDB_CRASH_KEEP_ALL, n);
        struct twin_ship t = f->t;
        bool has_failed;
        enum ldb_status s;

        t.options.env = env_fault_env(fault);
        twin_ship_open(&t);
        assert_ldb_ok(ldb_twin_seal(t.db, journal.number, journal.len, &t.err),
                      &t.err);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = take_flush(t.db, rest, offset, &t.err);
        has_failed = mem_fault_stop();
        if (s != LDB_OK) {
            assert_ldb_status(LDB_NO_MEMORY, s, &t.err);
            assert_ldb_ok(take_flush(t.db, rest, offset, &t.err), &t.err);
        }
        assert_ldb_ok(ldb_twin_sync(t.db, &t.err, NULL), &t.err);
        twin_ship_check(&t);
        twin_ship_converge(&t);
        twin_ship_check(&t);
        twin_ship_close(&t);
        env_fault_destroy(fault);
        if (!has_failed)
            break;
    }
    ldb_buf_release(&bytes);
    assert_in_range(n, 50, CALLS_MAX - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_flush_is_made_here_and_is_the_leaders_to_the_byte),
        TEST(a_table_of_another_length_or_damaged_is_refused),
        TEST(an_edit_waits_for_the_journals_below_its_log_number),
        TEST(an_edit_waits_for_journals_that_nobody_spoke_of),
        TEST(a_run_is_one_stroke_and_takes_only_what_is_left),
        TEST(another_manifest_is_taken_whole),
        TEST(an_empty_twin_takes_any_state),
        TEST(tables_stay_as_long_as_somebody_reads_them),
        TEST(readers_come_to_a_version_without_a_flush),
        TEST(bytes_that_are_no_run_are_refused),
        TEST(a_plan_of_another_time_is_refused),
        TEST(a_twin_that_is_closed_opens_as_a_leader),
        TEST(every_failed_call_is_made_good),
        TEST(every_failed_allocation_is_made_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
