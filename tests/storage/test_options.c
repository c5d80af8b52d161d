/*
 * Defaults are filled in, what is out of range is named, and each option makes
 * the difference that ldb.h says.
 */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "storage/db_internal.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

#define NAME_SIZE 64
#define FILE_MAX  ((size_t)1 << 20)

static void zeros_become_the_defaults(void **state)
{
    const struct ldb_options zero = {0};
    struct ldb_options defaults;
    struct ldb_options out;
    struct ldb_error err = {0};

    (void)state;
    ldb_options_init(&defaults);
    assert_ldb_ok(ldb_options_complete(&zero, &err, &out), &err);
    assert_int_equal(out.write_buffer_bytes, 4 << 20);
    assert_int_equal(out.table_bytes, 2 << 20);
    assert_int_equal(out.block_bytes, 4096);
    assert_int_equal(out.block_restart_interval, 16);
    assert_int_equal(out.block_cache_bytes, 8 << 20);
    assert_int_equal(out.open_tables_max, 500);
    assert_int_equal(out.l0_compaction_trigger, 4);
    assert_int_equal(out.l0_slowdown_trigger, 8);
    assert_int_equal(out.l0_stop_trigger, 12);
    assert_int_equal(out.level1_bytes, 100 << 20);
    assert_int_equal(out.level_multiplier, 10);
    assert_int_equal(out.immutable_memtables_max,
                     defaults.immutable_memtables_max);
    assert_int_equal(out.manifest_rotate_bytes, 64 << 20);
    assert_int_equal(out.filter_base_lg, 11);
    assert_int_equal(out.iterator_sampling_bytes, 1 << 20);
    assert_false(out.seek_compaction);
    assert_int_equal(out.journal, LDB_JOURNAL_APPENDED);
    /* A zeroed struct is the safe one. */
    assert_false(out.no_sync || out.skip_manifest_damage ||
                 out.skip_journal_checksums || out.skip_read_damage ||
                 out.skip_compaction_damage);
    assert_ptr_equal(out.env, ldb_env_posix());
    assert_non_null(out.comparator);
    assert_ldb_ok(ldb_options_complete(NULL, &err, &out), &err);
    assert_true(out.compress && out.verify_checksums);
    assert_int_equal(out.bloom_bits, 10);
}

static void each_value_has_its_range(void **state)
{
    static const struct row {
        const char *name;
        size_t offset;
        size_t size;
        uint64_t value;
    } rows[] = {
#define ROW(field, bad)                                                        \
    {#field, offsetof(struct ldb_options, field),                              \
     sizeof(((struct ldb_options *)NULL)->field), (bad)}
        ROW(write_buffer_bytes, 1023),
        ROW(write_buffer_bytes, UINT64_C(4097) << 20),
        ROW(immutable_memtables_max, 16),
        ROW(table_bytes, 1023),
        ROW(compaction_threads, 9),
        ROW(block_bytes, 63),
        ROW(block_restart_interval, 4097),
        ROW(bloom_bits, 201),
        ROW(journal, LDB_JOURNAL_MAPPED + 1),
        ROW(l0_compaction_trigger, 1000001),
        ROW(l0_stop_trigger, 1000001),
        ROW(level1_bytes, 1023),
        ROW(expand_limit_factor, 1001),
        ROW(grandparent_overlap_factor, 1001),
        ROW(source_limit_factor, 1001),
        ROW(pending_slowdown_bytes, 1023),
        ROW(pending_limit_bytes, UINT64_C(1) << 30),
        ROW(iterator_sampling_bytes, 1023),
        ROW(level_multiplier, 1),
        ROW(batch_bytes_max, 1023),
        ROW(write_queue_bytes_max, 1023),
        ROW(manifest_rotate_bytes, 1023),
        ROW(sync_interval_us, UINT64_C(3600000001)),
        ROW(filter_base_lg, 31),
        /* Below the slowdown trigger. */
        ROW(l0_stop_trigger, 7),
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_options options;
        struct ldb_options out = {0};
        struct ldb_error err = {0};
        uint32_t narrow = (uint32_t)rows[i].value;
        char *field = (char *)&options + rows[i].offset;

        ldb_options_init(&options);
        if (rows[i].size == sizeof(narrow))
            memcpy(field, &narrow, sizeof(narrow));
        else
            memcpy(field, &rows[i].value, sizeof(rows[i].value));
        assert_ldb_status(LDB_INVALID_ARGUMENT,
                          ldb_options_complete(&options, &err, &out), &err);
        assert_ldb_message(rows[i].name, &err);
    }
}

static void each_multiplier_has_its_range(void **state)
{
    const double bad[] = {-1, 1e10, (double)NAN, (double)INFINITY};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) * 3; i++) {
        struct ldb_options options;
        struct ldb_options out = {0};
        struct ldb_error err = {0};
        double *const fields[] = {&options.table_multiplier,
                                  &options.table_multipliers[6],
                                  &options.level_multipliers[1]};
        const char *const names[] = {"table_multiplier", "table_multipliers",
                                     "level_multipliers"};

        ldb_options_init(&options);
        *fields[i % 3] = bad[i / 3];
        assert_ldb_status(LDB_INVALID_ARGUMENT,
                          ldb_options_complete(&options, &err, &out), &err);
        assert_ldb_message(names[i % 3], &err);
        *fields[i % 3] = 1e9;
        assert_ldb_ok(ldb_options_complete(&options, &err, &out), &err);
    }
}

static void each_level_has_its_table_size(void **state)
{
    static const struct {
        const char *name;
        double multiplier;
        double multipliers[LDB_LEVELS];
        uint64_t kib[LDB_LEVELS];
    } rows[] = {
        {"one size", 0, {0}, {8, 8, 8, 8, 8, 8, 8}},
        {"twice each", 2, {0}, {8, 16, 32, 64, 128, 256, 512}},
        {"by levels", 2, {0, 0, 1, 0, 0.5}, {8, 16, 8, 64, 4, 256, 512}},
        {"too small and too large",
         100,
         {0, 0, 1e-9},
         {8, 800, 1, 4 << 20, 4 << 20, 4 << 20, 4 << 20}},
    };
    struct db_fixture *f = *state;

    f->options.table_bytes = 8 << 10;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f->options.table_multiplier = rows[i].multiplier;
        memcpy(f->options.table_multipliers, rows[i].multipliers,
               sizeof(rows[i].multipliers));
        db_fixture_reopen(f);
        for (unsigned level = 0; level < LDB_LEVELS; level++)
            if (f->db->limits.table_bytes[level] != rows[i].kib[level] << 10)
                fail_msg("%s: level %u has %llu", rows[i].name, level,
                         (unsigned long long)f->db->limits.table_bytes[level]);
    }
}

static uint64_t tables_of_level_1(struct db_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.levels[1].tables;
}

static void tables_are_written_in_the_size_of_their_level(void **state)
{
    struct db_fixture *f = *state;

    f->options.compress = false;
    f->options.table_bytes = 1 << 10;
    f->options.table_multipliers[1] = 1000;
    db_fixture_reopen(f);
    for (int round = 0; round < 2; round++) {
        db_fixture_fill(f, 0, 400); /* over 40 KiB */
        assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
        if (round == 0)
            assert_int_equal(tables_of_level_1(f), 1);
        else
            assert_true(tables_of_level_1(f) > 10);
        f->options.table_multipliers[1] = 0;
        f->options.table_multipliers[2] = 1000;
        db_fixture_reopen(f);
    }
}

static double score_of_level_1(struct db_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.levels[1].score;
}

static void a_level_has_the_size_that_it_is_given(void **state)
{
    struct db_fixture *f = *state;
    double before;

    db_fixture_fill(f, 0, 400);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    before = score_of_level_1(f);
    assert_true(before > 0);
    f->options.level_multipliers[0] = 100; /* not used */
    f->options.level_multipliers[1] = 4;
    f->options.level_multipliers[2] = 100;
    db_fixture_reopen(f);
    assert_true(score_of_level_1(f) > before * 0.249);
    assert_true(score_of_level_1(f) < before * 0.251);
}

/* ---- files and damage ---- */

struct search {
    const char *suffix;
    char *name;
};

static enum ldb_status take_last(void *context, const char *name)
{
    struct search *search = context;
    size_t len = strlen(name);
    size_t end = strlen(search->suffix);

    if (len > end && strcmp(name + len - end, search->suffix) == 0 &&
        strcmp(name, search->name) > 0)
        (void)snprintf(search->name, NAME_SIZE, "%s", name);
    return LDB_OK;
}

/* The file with the greatest name of that end. */
static void last_file(struct db_fixture *f, const char *suffix,
                      char name[NAME_SIZE])
{
    struct search search = {.suffix = suffix, .name = name};

    name[0] = '\0';
    assert_ldb_ok(f->env->ops->list_dir(f->env, DB_FIXTURE_DIR, take_last,
                                        &search, &f->err),
                  &f->err);
    assert_true(name[0] != '\0');
}

/* Flips a bit at offset (from the end when negative). */
static void damage(struct db_fixture *f, const char *name, long offset)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    size_t at;

    db_fixture_read_file(f, name, &bytes);
    at = offset >= 0 ? (size_t)offset : bytes.len - (size_t)-offset;
    assert_true(at < bytes.len);
    bytes.data[at] ^= 1;
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

/* Live keys that a cursor finds forwards, backwards as many; how it ends. */
static enum ldb_status count_keys(struct db_fixture *f, int damage_rule,
                                  unsigned *out_count)
{
    const struct ldb_read_options read = {.damage = damage_rule};
    struct ldb_cursor *cursor = NULL;
    unsigned back = 0;
    enum ldb_status s = ldb_cursor_open(f->db, &read, &f->err, &cursor);

    *out_count = 0;
    if (s != LDB_OK)
        return s;
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor))
        ++*out_count;
    s = ldb_cursor_status(cursor, &f->err);
    for (ldb_cursor_seek_last(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_prev(cursor))
        back++;
    if (s == LDB_OK)
        assert_int_equal(*out_count, back);
    assert_ldb_status(s, ldb_cursor_status(cursor, NULL), NULL);
    ldb_cursor_close(cursor);
    return s;
}

/* Plain blocks of about ten entries: key000000 to key000099 in one table. */
static void fill_one_table(struct db_fixture *f, char table[NAME_SIZE])
{
    f->options.compress = false;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 100);
    db_fixture_flush(f);
    last_file(f, ".ldb", table);
}

/* ---- damage in tables ---- */

static void reading_stops_at_damage_or_skips_it(void **state)
{
    struct db_fixture *f = *state;
    char table[NAME_SIZE];
    unsigned count;

    fill_one_table(f, table);
    db_fixture_close(f);
    damage(f, table, 1500);
    db_fixture_open(f);
    assert_ldb_status(LDB_CORRUPTION, count_keys(f, 0, &count), &f->err);
    assert_ldb_ok(count_keys(f, 2, &count), &f->err);
    assert_in_range(count, 85, 95);
    f->options.skip_read_damage = true;
    db_fixture_reopen(f);
    assert_ldb_ok(count_keys(f, 0, &count), &f->err);
    assert_in_range(count, 85, 95);
    assert_ldb_status(LDB_CORRUPTION, count_keys(f, 1, &count), &f->err);
    /* A get tells it all the same. */
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_get(f->db, ldb_slice_str("key000011"), NULL, &f->err,
                              NULL, NULL, NULL),
                      &f->err);
}

/* At level 0, then as one of two tables of a deeper level. */
static void a_table_that_cannot_be_opened_is_skipped_whole(void **state)
{
    struct db_fixture *f = *state;
    char table[NAME_SIZE];
    unsigned count;

    for (unsigned deep = 0; deep < 2; deep++) {
        unsigned from = deep * 1000;

        db_fixture_fill(f, from, from + 10);
        db_fixture_flush(f);
        db_fixture_fill(f, from + 100, from + 130);
        db_fixture_flush(f);
        last_file(f, ".ldb", table);
        if (deep == 1) {
            /* By trivial moves: the tables stay as they are. */
            assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err),
                          &f->err);
            last_file(f, ".ldb", table);
        }
        db_fixture_close(f);
        damage(f, table, -1);
        db_fixture_open(f);
        assert_ldb_status(LDB_CORRUPTION, count_keys(f, 0, &count), &f->err);
        assert_ldb_ok(count_keys(f, 2, &count), &f->err);
        if (deep == 0)
            assert_int_equal(10, count);
        db_fixture_close(f);
        damage(f, table, -1);
        db_fixture_open(f);
    }
}

static void compaction_stops_at_damage_or_drops_it(void **state)
{
    struct db_fixture *f = *state;
    char table[NAME_SIZE];
    unsigned count;

    fill_one_table(f, table);
    db_fixture_fill(f, 50, 150);
    db_fixture_flush(f);
    db_fixture_close(f);
    damage(f, table, 1500);
    db_fixture_open(f);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    f->options.skip_compaction_damage = true;
    db_fixture_reopen(f);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_ldb_ok(count_keys(f, 1, &count), &f->err);
    assert_in_range(count, 135, 145);
}

static void unverified_blocks_are_read_as_they_are(void **state)
{
    const struct ldb_read_options unverified = {.checksums = 2};
    struct db_fixture *f = *state;
    struct ldb_buf value = LDB_BUF_INIT(200);
    char table[NAME_SIZE];

    fill_one_table(f, table);
    db_fixture_close(f);
    /* In the value of the first key. */
    damage(f, table, 60);
    db_fixture_open(f);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_get(f->db, ldb_slice_str("key000000"), NULL, &f->err,
                              NULL, NULL, NULL),
                      &f->err);
    assert_ldb_ok(ldb_get(f->db, ldb_slice_str("key000000"), &unverified,
                          &f->err, &value, NULL, NULL),
                  &f->err);
    assert_non_null(memchr(value.data, '1', value.len));
    ldb_buf_release(&value);
    f->options.verify_checksums = false;
    db_fixture_reopen(f);
    assert_ldb_ok(ldb_get(f->db, ldb_slice_str("key000000"), NULL, &f->err,
                          NULL, NULL, NULL),
                  &f->err);
}

/* ---- damage in journal and MANIFEST ---- */

/* The journal's records are key=value; the one with "middle" gets damage. */
static void write_and_damage_journal(struct db_fixture *f)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    char journal[NAME_SIZE];
    uint8_t *value;

    (void)db_fixture_put(f, "a", "first");
    (void)db_fixture_put(f, "b", "middle");
    (void)db_fixture_put(f, "c", "last");
    last_file(f, ".log", journal);
    db_fixture_close(f);
    db_fixture_read_file(f, journal, &bytes);
    value = memmem(bytes.data, bytes.len, "middle", 6);
    assert_non_null(value);
    value[0] = 'M';
    db_fixture_write_file(f, journal, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

static void a_damaged_journal_loses_what_follows_in_its_block(void **state)
{
    struct db_fixture *f = *state;

    write_and_damage_journal(f);
    db_fixture_open(f);
    db_fixture_assert_value(f, "a", "first");
    db_fixture_assert_value(f, "b", NULL);
    assert_true(f->recovery.bytes_dropped > 0);
}

static void a_strict_journal_is_refused(void **state)
{
    struct db_fixture *f = *state;

    write_and_damage_journal(f);
    f->options.strict_journal = true;
    assert_ldb_status(
        LDB_CORRUPTION,
        ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err, &f->db), &f->err);
}

static void an_unverified_journal_is_replayed_as_it_is(void **state)
{
    struct db_fixture *f = *state;

    write_and_damage_journal(f);
    f->options.skip_journal_checksums = true;
    db_fixture_open(f);
    db_fixture_assert_value(f, "b", "Middle");
    db_fixture_assert_value(f, "c", "last");
    assert_int_equal(0, f->recovery.bytes_dropped);
}

static void a_damaged_manifest_is_refused_or_its_records_dropped(void **state)
{
    struct db_fixture *f = *state;
    char manifest[NAME_SIZE];
    struct ldb_stats stats;
    uint64_t intact;

    db_fixture_reopen(f);
    (void)db_fixture_put(f, "a", "1");
    db_fixture_flush(f);
    ldb_stats(f->db, &stats);
    intact = stats.manifest_bytes;
    (void)db_fixture_put(f, "b", "2");
    db_fixture_flush(f);
    (void)db_fixture_put(f, "c", "3");
    db_fixture_flush(f);
    db_fixture_close(f);
    (void)snprintf(manifest, sizeof(manifest), "MANIFEST-%06llu",
                   (unsigned long long)stats.manifest_number);
    damage(f, manifest, (long)intact + 10);
    assert_ldb_status(
        LDB_CORRUPTION,
        ldb_open(DB_FIXTURE_DIR, &f->options, NULL, &f->err, &f->db), &f->err);
    f->options.skip_manifest_damage = true;
    db_fixture_open(f);
    db_fixture_assert_value(f, "a", "1");
    db_fixture_assert_value(f, "b", NULL);
    assert_true(f->recovery.manifest_bytes_dropped > 0);
    /* What the lost records named is not removed yet. */
    assert_int_equal(3, db_fixture_count_files(f, LDB_FILE_TABLE));
    db_fixture_reopen(f);
    assert_int_equal(0, f->recovery.manifest_bytes_dropped);
    assert_int_equal(1, db_fixture_count_files(f, LDB_FILE_TABLE));
}

/* ---- writing ---- */

static void without_sync_no_file_and_no_folder_is_synced(void **state)
{
    const unsigned syncs =
        ENV_FAULT_BIT(ENV_FAULT_SYNC) | ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR);
    struct db_fixture *f = *state;

    for (unsigned no_sync = 0; no_sync < 2; no_sync++) {
        db_fixture_close(f);
        f->options.no_sync = no_sync == 1;
        env_fault_forget_counts(f->fault);
        db_fixture_open(f);
        assert_ldb_ok(ldb_put(f->db, ldb_slice_str("a"), ldb_slice_str("1"),
                              true, &f->err, NULL),
                      &f->err);
        db_fixture_flush(f);
        db_fixture_reopen(f);
        db_fixture_assert_value(f, "a", "1");
        if (no_sync == 1)
            assert_int_equal(0, env_fault_count(f->fault, syncs));
        else
            assert_true(env_fault_count(f->fault, syncs) > 5);
    }
}

static void note_done(struct ldb_write *write)
{
    unsigned *done = write->context;

    ++*done;
}

/* Groups that three writes, queued together, are committed in. */
static uint64_t groups_of_three(struct db_fixture *f, bool middle_alone)
{
    struct ldb_write writes[3];
    struct ldb_batch batches[3];
    struct ldb_stats before;
    struct ldb_stats after;
    unsigned done = 0;

    ldb_stats(f->db, &before);
    for (unsigned i = 0; i < 3; i++) {
        ldb_batch_init(&batches[i], 1000);
        assert_ldb_ok(ldb_batch_put(&batches[i], ldb_slice_str("key"),
                                    ldb_slice_str("value")),
                      NULL);
        writes[i] = (struct ldb_write){.batch = &batches[i],
                                       .alone = middle_alone && i == 1,
                                       .done = note_done,
                                       .context = &done};
        assert_ldb_ok(ldb_write_submit(f->db, &writes[i], &f->err), &f->err);
    }
    ldb_write_drive(f->db);
    /* Nobody else commits: it was all done here. */
    assert_int_equal(3, done);
    for (unsigned i = 0; i < 3; i++)
        ldb_batch_release(&batches[i]);
    ldb_stats(f->db, &after);
    return after.groups - before.groups;
}

static void writes_go_alone_when_asked(void **state)
{
    struct db_fixture *f = *state;

    assert_int_equal(1, groups_of_three(f, false));
    assert_int_equal(3, groups_of_three(f, true));
    f->options.no_write_merge = true;
    db_fixture_reopen(f);
    assert_int_equal(3, groups_of_three(f, false));
}

/* ---- caches and filters ---- */

static void a_disabled_block_cache_keeps_nothing(void **state)
{
    struct db_fixture *f = *state;

    for (unsigned disable = 0; disable < 2; disable++) {
        struct ldb_buf text = LDB_BUF_INIT(100);
        struct ldb_stats stats;

        f->options.disable_block_cache = disable == 1;
        db_fixture_reopen(f);
        db_fixture_fill(f, 0, 100);
        db_fixture_flush(f);
        for (unsigned i = 0; i < 4; i++)
            db_fixture_assert_filled(f, 0, 100);
        ldb_stats(f->db, &stats);
        assert_ldb_ok(ldb_property(f->db, "leveldb.cachedblock", &text), NULL);
        assert_int_equal(disable == 0, stats.block_cache_hits > 0);
        assert_int_equal(disable == 0, stats.block_cache_capacity_bytes > 0);
        assert_int_equal(disable == 1, ldb_slice_equal(ldb_slice_of_buf(&text),
                                                       ldb_slice_str("<nil>")));
        ldb_buf_release(&text);
    }
}

static void smaller_filter_ranges_make_more_filters(void **state)
{
    struct db_fixture *f = *state;
    uint64_t bytes[2];

    for (unsigned i = 0; i < 2; i++) {
        struct ldb_stats stats;

        f->options.filter_base_lg = i == 0 ? 0 : 4;
        db_fixture_reopen(f);
        db_fixture_fill(f, 0, 1000);
        assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
        ldb_stats(f->db, &stats);
        bytes[i] = stats.levels[1].bytes + stats.levels[2].bytes;
        db_fixture_assert_filled(f, 0, 1000);
        db_fixture_assert_value(f, "absent", NULL);
    }
    assert_true(bytes[1] > bytes[0]);
}

static enum ldb_status make_filter(void *context, const struct ldb_slice *keys,
                                   size_t count, struct ldb_buf *out)
{
    (void)context;
    (void)keys;
    (void)count;
    return ldb_buf_append(out, ldb_slice_str("filter"));
}

static bool count_and_match(void *context, struct ldb_slice key,
                            struct ldb_slice filter)
{
    unsigned *asked = context;

    (void)key;
    assert_ldb_slice(ldb_slice_str("filter"), filter);
    ++*asked;
    return true;
}

static void an_alternative_filter_is_read_and_not_written(void **state)
{
    struct db_fixture *f = *state;
    unsigned asked = 0;
    const struct ldb_filter_policy old = {.name = "test.Old",
                                          .context = &asked,
                                          .create = make_filter,
                                          .may_match = count_and_match};
    const struct ldb_filter_policy *const alternatives[] = {&old};

    f->options.filter = &old;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 10);
    db_fixture_flush(f);
    f->options.filter = NULL;
    db_fixture_reopen(f);
    db_fixture_assert_filled(f, 0, 1);
    assert_int_equal(0, asked);
    f->options.alt_filters = alternatives;
    f->options.alt_filter_count = 1;
    db_fixture_reopen(f);
    db_fixture_assert_filled(f, 0, 1);
    assert_int_equal(1, asked);
    db_fixture_fill(f, 0, 10);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_assert_filled(f, 0, 10);
    assert_int_equal(1, asked);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeros_become_the_defaults),
        cmocka_unit_test(each_value_has_its_range),
        cmocka_unit_test(each_multiplier_has_its_range),
        TEST(each_level_has_its_table_size),
        TEST(tables_are_written_in_the_size_of_their_level),
        TEST(a_level_has_the_size_that_it_is_given),
        TEST(reading_stops_at_damage_or_skips_it),
        TEST(a_table_that_cannot_be_opened_is_skipped_whole),
        TEST(compaction_stops_at_damage_or_drops_it),
        TEST(unverified_blocks_are_read_as_they_are),
        TEST(a_damaged_journal_loses_what_follows_in_its_block),
        TEST(a_strict_journal_is_refused),
        TEST(an_unverified_journal_is_replayed_as_it_is),
        TEST(a_damaged_manifest_is_refused_or_its_records_dropped),
        TEST(without_sync_no_file_and_no_folder_is_synced),
        TEST(writes_go_alone_when_asked),
        TEST(a_disabled_block_cache_keeps_nothing),
        TEST(smaller_filter_ranges_make_more_filters),
        TEST(an_alternative_filter_is_read_and_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
