/* What a compaction drops and keeps, where its outputs end, how it fails. */
#include <errno.h>
#include <stdio.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/db_fixture.h"
#include "tests/support/temp_dir.h"

static void compact(struct db_fixture *f)
{
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
}

static uint64_t all_tables(struct db_fixture *f)
{
    struct ldb_stats stats;
    uint64_t count = 0;

    ldb_stats(f->db, &stats);
    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
        count += stats.levels[level].tables;
    return count;
}

static void old_values_and_needless_deletes_go(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_stats stats;

    db_fixture_fill(f, 0, 100);
    db_fixture_flush(f);
    for (unsigned n = 0; n < 100; n++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", n);
        (void)db_fixture_delete(f, key);
    }
    compact(f);
    assert_int_equal(all_tables(f), 0);
    ldb_stats(f->db, &stats);
    assert_true(stats.compactions > 0);
    db_fixture_assert_value(f, "key000050", NULL);
}

/* A delete stays while a deeper level may hold what it hides. */
static void a_delete_above_an_older_value_is_kept(void **state)
{
    const struct ldb_slice key = ldb_slice_str("a");
    struct db_fixture *f = *state;

    (void)db_fixture_put(f, "a", "old");
    (void)db_fixture_put(f, "z", "old");
    compact(f);
    (void)db_fixture_delete(f, "a");
    (void)db_fixture_put(f, "b", "new");
    db_fixture_flush(f);
    db_fixture_assert_value(f, "a", NULL);
    assert_ldb_ok(ldb_compact_range(f->db, &key, &key, &f->err), &f->err);
    db_fixture_assert_value(f, "a", NULL);
    db_fixture_assert_value(f, "b", "new");
    db_fixture_assert_value(f, "z", "old");
}

/* docs/formats.md, rule 23: a get of LevelDB looks into one table a level. */
static void one_user_key_never_ends_up_in_two_tables_of_a_level(void **state)
{
    static const uint8_t big[3000];
    struct db_fixture *f = *state;
    struct ldb_snapshot *snapshots[8];
    struct ldb_stats stats;

    f->options.table_bytes = 1 << 10;
    f->options.compress = false;
    db_fixture_reopen(f);
    for (int i = 0; i < 8; i++) {
        assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshots[i]),
                      &f->err);
        assert_ldb_ok(ldb_put(f->db, ldb_slice_str("same"),
                              ldb_slice_make(big, sizeof(big)), false, &f->err,
                              NULL),
                      &f->err);
    }
    compact(f);
    ldb_stats(f->db, &stats);
    assert_int_equal(all_tables(f), 1);
    for (int i = 0; i < 8; i++)
        ldb_snapshot_release(snapshots[i]);
}

static void outputs_end_at_the_table_size(void **state)
{
    struct db_fixture *f = *state;

    f->options.table_bytes = 4 << 10;
    f->options.compress = false;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 400); /* over 40 KiB */
    db_fixture_flush(f);
    db_fixture_fill(f, 0, 400);
    compact(f);
    assert_true(all_tables(f) >= 8);
    db_fixture_assert_filled(f, 0, 400);
}

static void
a_compaction_that_fails_changes_nothing_and_is_tried_again(void **state)
{
    static const struct row {
        enum env_fault_kind kind;
        const char *path;
    } rows[] = {
        {ENV_FAULT_READ_AT, ".ldb"},       {ENV_FAULT_READ, ".ldb"},
        {ENV_FAULT_OPEN_WRITABLE, ".ldb"}, {ENV_FAULT_APPEND, ".ldb"},
        {ENV_FAULT_SYNC, ".ldb"},          {ENV_FAULT_CLOSE, ".ldb"},
        {ENV_FAULT_APPEND, "MANIFEST"},    {ENV_FAULT_SYNC, "MANIFEST"},
    };
    struct db_fixture *f = *state;

    /* The time to try again, when a failure is forgotten, never comes. */
    env_fault_set_clock(f->fault, f->env->ops->monotonic_us(f->env));
    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    db_fixture_reopen(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        db_fixture_fill(f, 0, 60);
        db_fixture_flush(f);
        db_fixture_fill(f, 30, 90);
        db_fixture_flush(f);
        db_fixture_reopen(f); /* nothing is cached */
        db_fixture_fail(f, ENV_FAULT_BIT(rows[i].kind), rows[i].path, EIO);
        f->err = (struct ldb_error){0};
        assert_ldb_status(LDB_IO, ldb_compact_range(f->db, NULL, NULL, &f->err),
                          &f->err);
        assert_string_not_equal(f->err.message, "");
        assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTH_BACKGROUND);
        env_fault_fail(f->fault, NULL);
        db_fixture_assert_filled(f, 0, 90);
        compact(f);
        assert_int_equal(ldb_health(f->db, NULL), LDB_HEALTHY);
        db_fixture_assert_filled(f, 0, 90);
    }
    db_fixture_reopen(f);
    db_fixture_assert_filled(f, 0, 90);
    assert_int_equal(db_fixture_count_files(f, LDB_FILE_TABLE), all_tables(f));
}

static void inputs_are_read_ahead(void **state)
{
    struct db_fixture *f = *state;

    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    f->options.compress = false;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 2; i++) {
        db_fixture_fill(f, 0, 60); /* two blocks */
        db_fixture_flush(f);
    }
    env_fault_forget_counts(f->fault);
    compact(f);
    assert_int_equal(env_fault_count(f->fault, ENV_FAULT_BIT(ENV_FAULT_READ)),
                     2);

    /* Without, it is done all the same. */
    db_fixture_fill(f, 0, 60);
    db_fixture_flush(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_OPEN_SEQUENTIAL), ".ldb",
                    EMFILE);
    compact(f);
    assert_true(env_fault_failed(f->fault) > 0);
    env_fault_fail(f->fault, NULL);
    db_fixture_assert_filled(f, 0, 60);
}

/* Cut while it is open, to its index and what is behind. */
static void an_input_that_lost_bytes_is_damage(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_writable_file *file = NULL;
    struct ldb_version *version;
    char path[64];

    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 2; i++) {
        db_fixture_fill(f, 0, 60);
        db_fixture_flush(f);
    }
    ldb_mutex_lock(&f->db->mu);
    version = ldb_version_set_current(f->db->versions);
    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%06u.ldb",
                   (unsigned)version->levels[0].files[0]->number);
    ldb_mutex_unlock(&f->db->mu);
    assert_ldb_ok(f->env->ops->open_writable(f->env, path, LDB_OPEN_APPEND,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_truncate(file, 10, &f->err), &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
    f->err = (struct ldb_error){0};
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_non_null(strstr(f->err.message, ".ldb: block at 0: 10 of "));
}

/* Damage is not tried again: goleveldb's strict compaction. */
static void damage_halts_compaction_and_reads_go_on(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf table = LDB_BUF_INIT(1 << 20);

    f->options.l0_compaction_trigger = 100;
    f->options.l0_slowdown_trigger = 100;
    f->options.l0_stop_trigger = 100;
    db_fixture_reopen(f);
    db_fixture_fill(f, 0, 60);
    db_fixture_close(f);
    db_fixture_open(f);
    db_fixture_close(f);
    for (unsigned number = 1; number < 20 && table.len == 0; number++) {
        char name[32];
        char path[64];
        uint64_t size;

        (void)snprintf(name, sizeof(name), "%06u.ldb", number);
        (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%s", name);
        if (f->env->ops->file_size(f->env, path, NULL, &size) != LDB_OK)
            continue;
        db_fixture_read_file(f, name, &table);
        table.data[10] ^= 1;
        db_fixture_write_file(f, name, ldb_slice_of_buf(&table));
    }
    assert_true(table.len > 0);
    ldb_buf_release(&table);
    db_fixture_open(f);
    (void)db_fixture_put(f, "key000001a", "fresh");
    f->err = (struct ldb_error){0};
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_int_equal(ldb_health(f->db, &f->err), LDB_HEALTH_CORRUPTION);
    assert_string_not_equal(f->err.message, "");
    db_fixture_assert_value(f, "key000001a", "fresh");
    (void)db_fixture_put(f, "key000001b", "fresh");
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
}

static struct ldb_compaction *pick_after(struct db_fixture *f,
                                         const struct ldb_compaction *before,
                                         uint64_t order)
{
    struct ldb_slice after = {0};
    struct ldb_compaction_range range = {0};
    struct ldb_compaction *c = NULL;

    if (before != NULL) {
        after = ldb_internal_user_key(before->largest);
        range = (struct ldb_compaction_range){.begin = &after, .after = &after};
    }
    ldb_mutex_lock(&f->db->mu);
    assert_ldb_ok(
        ldb_compaction_pick_range(ldb_version_set_current(f->db->versions),
                                  &f->db->limits, 1, &range, &f->err, &c),
        &f->err);
    ldb_mutex_unlock(&f->db->mu);
    assert_non_null(c);
    c->order = order;
    return c;
}

/* The next compaction of the level begins after the one picked last. */
static void the_pointer_stays_with_the_later_pick(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_compaction *first;
    struct ldb_compaction *second;
    struct ldb_slice pointer;

    f->options.table_bytes = 4 << 10;
    f->options.compress = false;
    db_fixture_reopen(f);
    for (unsigned i = 0; i < 2; i++) {
        db_fixture_fill(f, 0, 400);
        db_fixture_flush(f);
    }
    compact(f);
    first = pick_after(f, NULL, 1);
    second = pick_after(f, first, 2);
    assert_ldb_ok(ldb_compaction_run(f->db, second, &f->err), &f->err);
    assert_ldb_ok(ldb_compaction_run(f->db, first, &f->err), &f->err);
    ldb_mutex_lock(&f->db->mu);
    pointer = ldb_version_set_compact_pointer(f->db->versions, 1);
    ldb_mutex_unlock(&f->db->mu);
    assert_ldb_slice(second->pointer, pointer);
    ldb_compaction_destroy(first);
    ldb_compaction_destroy(second);
    db_fixture_assert_filled(f, 0, 400);
}

/* Else reads would push it down level by level. */
static void a_table_that_moves_gets_its_seeks_back(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_compaction *c = NULL;
    struct ldb_file_meta *meta;
    struct ldb_version *version;

    (void)db_fixture_put(f, "a", "1");
    db_fixture_flush(f);
    ldb_mutex_lock(&f->db->mu);
    f->db->compaction_halted = true; /* the test does it */
    version = ldb_version_set_current(f->db->versions);
    meta = version->levels[0].files[0];
    meta->seeks_left = 0;
    version->seek_table = meta;
    assert_ldb_ok(
        ldb_compaction_pick_seek(version, &f->db->limits, NULL, &f->err, &c),
        &f->err);
    ldb_mutex_unlock(&f->db->mu);
    assert_true(c->is_trivial_move);
    assert_ldb_ok(ldb_compaction_run(f->db, c, &f->err), &f->err);
    assert_int_equal(meta->seeks_left, 100);
    ldb_compaction_destroy(c);
}

/* Half of it compresses well. */
static struct ldb_slice large_value(unsigned n, unsigned round)
{
    static uint8_t value[6000];
    uint64_t seed = n * 100 + round;

    bytes_fill(&seed, value, sizeof(value) / 2);
    return ldb_slice_make(value, sizeof(value));
}

static void put_large(struct db_fixture *f, unsigned n, unsigned round)
{
    char key[16];

    (void)snprintf(key, sizeof(key), "key%06u", n);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key), large_value(n, round),
                          false, &f->err, NULL),
                  &f->err);
}

static void assert_large(struct db_fixture *f, unsigned n, unsigned round)
{
    struct ldb_buf value = LDB_BUF_INIT(SIZE_MAX);
    char key[16];

    (void)snprintf(key, sizeof(key), "key%06u", n);
    assert_ldb_ok(
        ldb_get(f->db, ldb_slice_str(key), NULL, &f->err, &value, NULL, NULL),
        &f->err);
    assert_ldb_slice(large_value(n, round), ldb_slice_of_buf(&value));
    ldb_buf_release(&value);
}

/* On real files, which are mapped: their blocks can be copied. */
static void large_values_pass_through_compactions(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_options given = f->options;
    struct temp_dir dir;
    struct ldb_db *in_memory = f->db;
    uint64_t seed = 7;

    temp_dir_create(&dir);
    f->options.env = ldb_env_posix();
    f->options.compress = true;
    f->options.verify_checksums = true;
    assert_ldb_ok(ldb_open(dir.path, &f->options, NULL, &f->err, &f->db),
                  &f->err);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned n = 0; n < 60; n += 1 + round) {
            put_large(f, n, round);
            if (bytes_next(&seed) % 4 == 0)
                (void)db_fixture_put(f, "key000007x", "small");
        }
        (void)db_fixture_delete(f, "key000031");
        db_fixture_flush(f);
        if (round == 1)
            compact(f);
    }
    compact(f);
    for (unsigned n = 0; n < 60; n++)
        if (n != 31)
            assert_large(f, n, n % 3 == 0 ? 2 : n % 2 == 0 ? 1 : 0);
    db_fixture_assert_value(f, "key000031", NULL);
    db_fixture_assert_value(f, "key000007x", "small");
    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    temp_dir_remove(&dir);
    f->options = given;
    f->db = in_memory;
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(old_values_and_needless_deletes_go),
        TEST(a_delete_above_an_older_value_is_kept),
        TEST(one_user_key_never_ends_up_in_two_tables_of_a_level),
        TEST(outputs_end_at_the_table_size),
        TEST(a_compaction_that_fails_changes_nothing_and_is_tried_again),
        TEST(inputs_are_read_ahead),
        TEST(an_input_that_lost_bytes_is_damage),
        TEST(damage_halts_compaction_and_reads_go_on),
        TEST(the_pointer_stays_with_the_later_pick),
        TEST(a_table_that_moves_gets_its_seeks_back),
        TEST(large_values_pass_through_compactions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
