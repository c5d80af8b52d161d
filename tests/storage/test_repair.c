/* Repair: what is sound stays as it is, what is damaged is left out and kept in
 * lost/, levels stay right, and no crash on the way loses anything. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/include/ldb.h"

#include "storage/base/comparator.h"
#include "storage/journal/journal_writer.h"
#include "storage/verify.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

#define FILE_MAX  ((size_t)16 << 20)
#define LINES_MAX ((size_t)1 << 20)

/* ---- the folder ---- */

struct names {
    enum ldb_file_type type;
    char first[LDB_FILE_NAME_SIZE];
    char last[LDB_FILE_NAME_SIZE];
    unsigned count;
};

static enum ldb_status note_name(void *context, const char *name)
{
    struct names *names = context;
    uint64_t number;

    if (ldb_file_name_parse(name, &number) != names->type)
        return LDB_OK;
    if (names->count == 0 || strcmp(name, names->first) < 0)
        (void)snprintf(names->first, sizeof(names->first), "%s", name);
    if (names->count == 0 || strcmp(name, names->last) > 0)
        (void)snprintf(names->last, sizeof(names->last), "%s", name);
    names->count++;
    return LDB_OK;
}

static struct names names_in(struct ldb_env *env, const char *dir,
                             enum ldb_file_type type)
{
    struct names names = {.type = type};

    (void)!env->ops->list_dir(env, dir, note_name, &names, NULL);
    return names;
}

static struct names names_of(struct db_fixture *f, enum ldb_file_type type)
{
    struct names names = names_in(f->env, DB_FIXTURE_DIR, type);

    assert_true(names.count > 0);
    return names;
}

static void flip(struct db_fixture *f, const char *name, size_t at)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);

    db_fixture_read_file(f, name, &bytes);
    assert_true(at < bytes.len);
    bytes.data[at] ^= 1;
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

static void remove_name(struct db_fixture *f, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%s", name);
    assert_ldb_ok(f->env->ops->remove_file(f->env, path, &f->err), &f->err);
}

static bool is_in_lost(struct db_fixture *f, const char *name)
{
    char path[128];
    uint64_t size;

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/lost/%s", name);
    return f->env->ops->file_size(f->env, path, NULL, &size) == LDB_OK;
}

struct digest {
    struct ldb_env *env;
    uint64_t sum;
};

static enum ldb_status add_file(void *context, const char *name)
{
    struct digest *digest = context;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    char path[128];

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%s", name);
    if (ldb_env_read_file(digest->env, path, NULL, &bytes) == LDB_OK) {
        uint64_t sum = 0;

        for (size_t i = 0; i < bytes.len; i++)
            sum = sum * 31 + bytes.data[i];
        for (const char *at = name; *at != '\0'; at++)
            sum = sum * 31 + (uint8_t)*at;
        digest->sum += sum;
    }
    ldb_buf_release(&bytes);
    return LDB_OK;
}

/* The same for the same names and bytes. */
static uint64_t digest_folder(struct db_fixture *f)
{
    struct digest digest = {.env = f->env};

    assert_ldb_ok(f->env->ops->list_dir(f->env, DB_FIXTURE_DIR, add_file,
                                        &digest, &f->err),
                  &f->err);
    return digest.sum;
}

/* ---- repairing ---- */

struct lines {
    struct ldb_buf text;
};

static void on_line(void *context, const char *text)
{
    struct lines *lines = context;

    assert_int_equal(ldb_buf_printf(&lines->text, "%s\n", text), LDB_OK);
}

static enum ldb_status repair_with(struct db_fixture *f, bool is_dry,
                                   bool is_strict, struct ldb_buf *out_lines,
                                   struct ldb_repair_report *out)
{
    struct lines lines = {.text = LDB_BUF_INIT(LINES_MAX)};
    const struct ldb_repair_options how = {.dry_run = is_dry,
                                           .strict_recovery = is_strict,
                                           .line = on_line,
                                           .context = &lines};
    enum ldb_status s =
        ldb_repair(DB_FIXTURE_DIR, &f->options, &how, out, &f->err);

    if (out_lines != NULL)
        *out_lines = lines.text;
    else
        ldb_buf_release(&lines.text);
    return s;
}

static struct ldb_repair_report repair(struct db_fixture *f)
{
    struct ldb_repair_report report = {0};
    struct ldb_verify_summary sum = {0};

    assert_ldb_ok(repair_with(f, false, false, NULL, &report), &f->err);
    assert_ldb_ok(ldb_verify_folder(DB_FIXTURE_DIR, &f->options, NULL, NULL,
                                    &f->err, &sum),
                  &f->err);
    assert_int_equal(sum.damages, 0);
    return report;
}

/* Three levels: keys 0..3000 compacted, 1000..2000 again in level 0, and a
 * journal with 1500..1600. Closed. */
static void make_levels(struct db_fixture *f)
{
    db_fixture_fill(f, 0, 3000);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    for (unsigned i = 0; i < 40; i++)
        (void)db_fixture_delete(f, "gone");
    db_fixture_fill(f, 1000, 2000);
    db_fixture_flush(f);
    (void)db_fixture_put(f, "newest", "1");
    (void)db_fixture_put(f, "newest", "2");
    db_fixture_close(f);
}

static void assert_levels_hold(struct db_fixture *f)
{
    db_fixture_open(f);
    db_fixture_assert_filled(f, 0, 3000);
    db_fixture_assert_value(f, "newest", "2");
    db_fixture_assert_value(f, "gone", NULL);
    db_fixture_close(f);
}

static void a_sound_folder_is_left_as_it_is(void **state)
{
    struct db_fixture *f = *state;
    uint64_t before;
    struct ldb_repair_report report;

    make_levels(f);
    before = digest_folder(f);
    report = repair(f);
    assert_false(report.needed);
    assert_int_equal(report.damages, 0);
    assert_true(digest_folder(f) == before);
}

static void a_dry_run_tells_all_and_changes_nothing(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_repair_report dry = {0};
    struct ldb_repair_report report;
    struct ldb_buf lines;
    uint64_t before;
    struct names names;

    make_levels(f);
    names = names_of(f, LDB_FILE_TABLE);
    flip(f, names.first, 10);
    before = digest_folder(f);
    assert_ldb_ok(repair_with(f, true, false, &lines, &dry), &f->err);
    assert_true(digest_folder(f) == before);
    assert_true(dry.needed);
    assert_int_equal(dry.tables_rewritten, 1);
    assert_int_equal(ldb_buf_append_byte(&lines, 0), LDB_OK);
    /* File, offset, keys, what to do. */
    assert_non_null(strstr((char *)lines.data, names.first));
    assert_non_null(strstr((char *)lines.data, " at 0: "));
    assert_non_null(strstr((char *)lines.data, "; keys \"key"));
    assert_non_null(strstr((char *)lines.data, "kept in lost/"));
    ldb_buf_release(&lines);
    report = repair(f);
    assert_int_equal(report.entries_salvaged, dry.entries_salvaged);
    assert_int_equal(report.damages, dry.damages);
}

static void good_entries_of_a_damaged_table_stay_at_their_level(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_repair_report report;
    struct ldb_stats before;
    struct ldb_stats after;
    struct names names;
    unsigned found = 0;

    make_levels(f);
    db_fixture_open(f);
    ldb_stats(f->db, &before);
    db_fixture_close(f);
    names = names_of(f, LDB_FILE_TABLE);
    flip(f, names.first, 10);
    report = repair(f);
    assert_int_equal(report.tables_rewritten, 1);
    assert_int_equal(report.tables_lost, 0);
    assert_true(is_in_lost(f, names.first));
    db_fixture_open(f);
    ldb_stats(f->db, &after);
    for (unsigned i = 1; i < LDB_STATS_LEVELS; i++)
        assert_int_equal(before.levels[i].tables, after.levels[i].tables);
    for (unsigned n = 0; n < 3000; n++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", n);
        found += ldb_get(f->db, ldb_slice_str(key), NULL, NULL, NULL, NULL,
                         NULL) == LDB_OK;
    }
    /* A block of 1 KiB is gone, no more. */
    assert_true(found >= 2985 && found < 3000);
}

static void a_strict_repair_leaves_damaged_tables_out(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_repair_report report = {0};
    struct names names;

    make_levels(f);
    names = names_of(f, LDB_FILE_TABLE);
    flip(f, names.first, 10);
    assert_ldb_ok(repair_with(f, false, true, NULL, &report), &f->err);
    assert_int_equal(report.tables_rewritten, 0);
    assert_int_equal(report.tables_lost, 1);
    assert_true(is_in_lost(f, names.first));
    db_fixture_open(f);
}

static void any_entry_point_may_be_gone(void **state)
{
    static const char *const current[] = {"CURRENT", "CURRENT.bak"};
    struct db_fixture *f = *state;

    make_levels(f);
    for (int way = 0; way < 4; way++) {
        struct ldb_repair_report report;
        struct names names = names_of(f, LDB_FILE_MANIFEST);

        for (size_t i = 0; way < 2 && i < 2; i++) {
            if (names_in(f->env, DB_FIXTURE_DIR,
                         i == 0 ? LDB_FILE_CURRENT : LDB_FILE_CURRENT_BAK)
                    .count > 0)
                remove_name(f, current[i]);
        }
        if (way == 1)
            db_fixture_write_file(f, "CURRENT", ldb_slice_str("MANIFEST-"));
        if (way == 2)
            remove_name(f, names.last);
        if (way == 3)
            flip(f, names.last, 10);
        report = repair(f);
        assert_true(report.needed);
        assert_true(report.damages > 0);
        assert_levels_hold(f);
    }
}

/* The record stands at the end of the MANIFEST, or alone in it. */
static void write_record(struct db_fixture *f, const char *name, bool is_alone,
                         struct ldb_slice record)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_journal_writer *writer = NULL;
    uint64_t len = 0;
    char path[128];

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%s", name);
    if (!is_alone)
        assert_ldb_ok(f->env->ops->file_size(f->env, path, &f->err, &len),
                      &f->err);
    assert_ldb_ok(f->env->ops->open_writable(f->env, path,
                                             is_alone ? LDB_OPEN_TRUNCATE
                                                      : LDB_OPEN_APPEND,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_journal_writer_create(file, len, &f->err, &writer),
                  &f->err);
    assert_ldb_ok(ldb_journal_writer_add(writer, &record, 1, &f->err), &f->err);
    assert_ldb_ok(ldb_journal_writer_flush(writer, &f->err), &f->err);
    assert_ldb_ok(ldb_journal_writer_close(writer, &f->err), &f->err);
}

/* Records that are whole, but no state that opens. */
static void what_opening_refuses_is_repaired(void **state)
{
/* The greatest number of 63 bits. */
#define NUMBER_MAX "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    static const struct {
        const char *name;
        const char *record;
        bool is_alone;
    } rows[] = {
        {"log number out of range", "\x02" NUMBER_MAX, false},
        {"next file number out of range", "\x03" NUMBER_MAX, false},
        {"previous log number out of range", "\x09" NUMBER_MAX, false},
        {"no comparator, no next file number", "\x02\x01", true},
    };
    struct db_fixture *f = *state;

    make_levels(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct ldb_repair_report report;

        write_record(f, names_of(f, LDB_FILE_MANIFEST).last, rows[i].is_alone,
                     ldb_slice_str(rows[i].record));
        report = repair(f);
        if (!report.needed || report.damages == 0)
            fail_msg("%s: not found", rows[i].name);
        assert_levels_hold(f);
    }
}

/* All tables, no MANIFEST: newer entries stand above older ones, and not all
 * in level 0. */
static void tables_without_a_manifest_get_levels_by_age(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_repair_report report;
    struct ldb_stats stats;
    char text[16];

    for (unsigned round = 0; round < 4; round++) {
        (void)snprintf(text, sizeof(text), "%u", round);
        for (unsigned n = 0; n < 100; n++) {
            char key[16];

            (void)snprintf(key, sizeof(key), "k%03u", n + round * 7);
            (void)db_fixture_put(f, key, text);
        }
        (void)db_fixture_put(f, "a", text);
        (void)db_fixture_put(f, "z", text);
        db_fixture_flush(f);
        if (round == 1)
            assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err),
                          &f->err);
    }
    db_fixture_close(f);
    remove_name(f, names_of(f, LDB_FILE_MANIFEST).last);
    report = repair(f);
    assert_int_equal(report.tables_placed, 3);
    db_fixture_open(f);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.levels[0].tables, 0);
    assert_int_equal(stats.levels[6].tables, 1);
    assert_int_equal(stats.levels[5].tables, 1);
    assert_int_equal(stats.levels[4].tables, 1);
    db_fixture_assert_value(f, "a", "3");
    db_fixture_assert_value(f, "z", "3");
    db_fixture_assert_value(f, "k000", "0");
    db_fixture_assert_value(f, "k120", "3");
}

static void a_missing_table_costs_its_own_entries_alone(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_repair_report report;

    db_fixture_fill(f, 0, 100);
    db_fixture_flush(f);
    db_fixture_fill(f, 100, 200);
    db_fixture_flush(f);
    db_fixture_fill(f, 200, 300);
    db_fixture_close(f);
    remove_name(f, names_of(f, LDB_FILE_TABLE).first);
    assert_ldb_status(
        LDB_CORRUPTION,
        ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err, &f->db), &f->err);
    report = repair(f);
    assert_int_equal(report.tables_lost, 1);
    assert_int_equal(report.journal_records, 100);
    db_fixture_open(f);
    db_fixture_assert_value(f, "key000000", NULL);
    db_fixture_assert_filled(f, 100, 300);
}

static void a_damaged_journal_loses_the_damaged_batches_alone(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_repair_report report;
    struct names names;

    db_fixture_fill(f, 0, 1000);
    db_fixture_close(f);
    names = names_of(f, LDB_FILE_JOURNAL);
    flip(f, names.last, 40000); /* in the second block */
    report = repair(f);
    assert_int_equal(report.damages, 1);
    assert_true(report.journal_bytes_dropped > 0);
    assert_true(is_in_lost(f, names.last));
    db_fixture_open(f);
    assert_int_equal(f->recovery.records_replayed, 0);
    db_fixture_assert_filled(f, 0, 200);
    db_fixture_assert_filled(f, 800, 1000);
}

static void a_dead_table_brings_no_deleted_key_back(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    struct names dead;
    struct names live;

    db_fixture_fill(f, 0, 100);
    (void)db_fixture_put(f, "gone", "1");
    db_fixture_flush(f);
    dead = names_of(f, LDB_FILE_TABLE);
    db_fixture_read_file(f, dead.first, &bytes);
    (void)db_fixture_delete(f, "gone");
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_close(f);
    /* As if it had not been swept away; and something to repair. */
    live = names_of(f, LDB_FILE_TABLE);
    db_fixture_write_file(f, dead.first, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
    assert_string_not_equal(dead.first, live.last);
    flip(f, live.last, 10);
    (void)repair(f);
    assert_true(is_in_lost(f, dead.first));
    db_fixture_open(f);
    db_fixture_assert_value(f, "gone", NULL);
    db_fixture_assert_value(f, "key000099",
                            "0000000000000000000000000000000000"
                            "0000000000000000000000000000000000"
                            "00000000000000000000000000000099");
}

static void what_a_lost_output_was_made_of_counts_again(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    struct names input;

    db_fixture_fill(f, 0, 100);
    db_fixture_flush(f);
    input = names_of(f, LDB_FILE_TABLE);
    db_fixture_read_file(f, input.first, &bytes);
    db_fixture_fill(f, 50, 60);
    db_fixture_flush(f);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_close(f);
    remove_name(f, names_of(f, LDB_FILE_TABLE).last);
    db_fixture_write_file(f, input.first, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
    (void)repair(f);
    db_fixture_open(f);
    db_fixture_assert_filled(f, 0, 100);
}

static void a_wrong_folder_is_refused_and_left_alone(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_comparator other = *ldb_comparator_bytewise();
    uint64_t before;
    uint64_t size;

    assert_ldb_status(LDB_LOCKED, repair_with(f, false, false, NULL, NULL),
                      &f->err);
    db_fixture_fill(f, 0, 10);
    db_fixture_close(f);
    before = digest_folder(f);
    other.name = "other";
    f->options.comparator = &other;
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      repair_with(f, false, false, NULL, NULL), &f->err);
    assert_true(digest_folder(f) == before);
    assert_ldb_ok(f->env->ops->create_dir(f->env, "/empty", &f->err), &f->err);
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_repair("/empty", &f->options, NULL, NULL, &f->err),
                      &f->err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        f->env->ops->file_size(f->env, "/empty/LOCK", &f->err, &size), &f->err);
}

static void a_disk_that_cannot_read_is_no_damage(void **state)
{
    struct db_fixture *f = *state;
    uint64_t before;
    struct names names;

    make_levels(f);
    names = names_of(f, LDB_FILE_TABLE);
    before = digest_folder(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_READ_AT), names.first, EIO);
    assert_ldb_status(LDB_IO, repair_with(f, false, false, NULL, NULL),
                      &f->err);
    env_fault_fail(f->fault, NULL);
    assert_true(digest_folder(f) == before);
}

/* ---- at any point ---- */

/* Damaged in every way whose loss can be told: 0..9 are gone, else all is
 * there. */
static void damage_all(struct db_fixture *f)
{
    make_levels(f);
    flip(f, names_of(f, LDB_FILE_TABLE).first, 10);
    remove_name(f, names_of(f, LDB_FILE_MANIFEST).last);
}

static void assert_all_good_is_there(struct ldb_env *env, const char *what)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    ldb_options_init(&options);
    options.env = env;
    options.create_if_missing = false;
    if (ldb_open(DB_FIXTURE_DIR, &options, NULL, &err, &db) != LDB_OK)
        fail_msg("%s: %s", what, err.message);
    for (unsigned n = 20; n < 3000; n += 20) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", n);
        if (ldb_get(db, ldb_slice_str(key), NULL, &err, NULL, NULL, NULL) !=
            LDB_OK)
            fail_msg("%s: %s is gone", what, key);
    }
    assert_ldb_ok(
        ldb_get(db, ldb_slice_str("newest"), NULL, &err, NULL, NULL, NULL),
        &err);
    assert_ldb_ok(ldb_close(db, &err), &err);
}

struct cut {
    struct db_fixture *f;
    uint64_t call;
    uint64_t nth;
};

/* Before each call: a copy as after a power cut is repaired. */
static void on_call(void *context, enum env_fault_kind kind, const char *path)
{
    struct cut *cut = context;
    struct ldb_error err = {0};
    char what[96];

    if ((ENV_FAULT_BIT(kind) & (ENV_FAULT_WRITES)) == 0)
        return;
    cut->call++;
    for (enum ldb_crash_keep keep = LDB_CRASH_KEEP_NONE;
         keep <= LDB_CRASH_KEEP_TORN; keep++) {
        struct env_fault *after =
            env_fault_after_cut(cut->f->fault, keep, cut->call);
        struct ldb_options options = cut->f->options;

        (void)snprintf(what, sizeof(what), "cut %llu at %.40s, keep %d",
                       (unsigned long long)cut->call, path, (int)keep);
        options.env = env_fault_env(after);
        if (ldb_repair(DB_FIXTURE_DIR, &options, NULL, NULL, &err) != LDB_OK)
            fail_msg("%s: %s", what, err.message);
        assert_all_good_is_there(options.env, what);
        env_fault_destroy(after);
    }
}

static void a_cut_at_any_call_can_be_repaired_again(void **state)
{
    struct db_fixture *f = *state;
    struct cut cut = {.f = f};

    damage_all(f);
    assert_ldb_ok(f->env->ops->sync_dir(f->env, DB_FIXTURE_DIR, &f->err),
                  &f->err);
    env_fault_set_call_hook(f->fault, on_call, &cut);
    assert_ldb_ok(repair_with(f, false, false, NULL, NULL), &f->err);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_true(cut.call > 20);
    assert_all_good_is_there(f->env, "at the end");
}

static void any_call_may_fail(void **state)
{
    struct db_fixture *f = *state;
    unsigned failed = 0;

    damage_all(f);
    for (uint64_t nth = 1;; nth += 3) {
        struct env_fault *copy =
            env_fault_after_cut(f->fault, LDB_CRASH_KEEP_ALL, 0);
        struct ldb_options options = f->options;
        struct ldb_error err = {0};
        enum ldb_status s;
        char what[64];

        (void)snprintf(what, sizeof(what), "failed call %llu",
                       (unsigned long long)nth);
        options.env = env_fault_env(copy);
        env_fault_fail(copy,
                       &(struct env_fault_rule){.nth = nth, .sys_errno = EIO});
        s = ldb_repair(DB_FIXTURE_DIR, &options, NULL, NULL, &err);
        failed += s != LDB_OK;
        if (s != LDB_OK && err.message[0] == '\0')
            fail_msg("%s: no message", what);
        if (env_fault_failed(copy) == 0) {
            assert_ldb_ok(s, &err);
            env_fault_destroy(copy);
            break;
        }
        env_fault_fail(copy, NULL);
        assert_ldb_ok(ldb_repair(DB_FIXTURE_DIR, &options, NULL, NULL, &err),
                      &err);
        assert_all_good_is_there(options.env, what);
        env_fault_destroy(copy);
    }
    assert_true(failed > 10);
}

static void without_links_originals_are_copied(void **state)
{
    struct db_fixture *f = *state;
    struct names names;

    make_levels(f);
    names = names_of(f, LDB_FILE_TABLE);
    flip(f, names.first, 10);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_LINK_FILE), NULL, EPERM);
    (void)repair(f);
    assert_true(is_in_lost(f, names.first));
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, db_fixture_setup,                \
                                    db_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_sound_folder_is_left_as_it_is),
        CASE(a_dry_run_tells_all_and_changes_nothing),
        CASE(good_entries_of_a_damaged_table_stay_at_their_level),
        CASE(a_strict_repair_leaves_damaged_tables_out),
        CASE(any_entry_point_may_be_gone),
        CASE(what_opening_refuses_is_repaired),
        CASE(tables_without_a_manifest_get_levels_by_age),
        CASE(a_missing_table_costs_its_own_entries_alone),
        CASE(a_damaged_journal_loses_the_damaged_batches_alone),
        CASE(a_dead_table_brings_no_deleted_key_back),
        CASE(what_a_lost_output_was_made_of_counts_again),
        CASE(a_wrong_folder_is_refused_and_left_alone),
        CASE(a_disk_that_cannot_read_is_no_damage),
        CASE(a_cut_at_any_call_can_be_repaired_again),
        CASE(any_call_may_fail),
        CASE(without_links_originals_are_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
