/* Opening, closing, raising the sequence, read-only, destroy. */
#include <stdio.h>

#include "storage/base/env.h"
#include "storage/include/ldb.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"

struct fixture {
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *db;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    ldb_options_init(&f.options);
    assert_ldb_ok(ldb_env_memory_create(&f.err, &f.env), &f.err);
    f.options.env = f.env;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->db != NULL)
        assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    ldb_env_memory_destroy(f->env);
    return 0;
}

static void open_db(struct fixture *f, struct ldb_recovery *recovery)
{
    assert_ldb_ok(ldb_open("/db", &f->options, recovery, &f->err, &f->db),
                  &f->err);
}

static void close_db(struct fixture *f)
{
    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    f->db = NULL;
}

static void put(struct fixture *f, const char *key, const char *value)
{
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str(value),
                          false, &f->err, NULL),
                  &f->err);
}

static void assert_value(struct fixture *f, const char *key, const char *value)
{
    struct ldb_buf found = LDB_BUF_INIT(1 << 20);

    assert_ldb_ok(
        ldb_get(f->db, ldb_slice_str(key), NULL, &f->err, &found, NULL, NULL),
        &f->err);
    assert_ldb_slice(ldb_slice_str(value), ldb_slice_of_buf(&found));
    ldb_buf_release(&found);
}

static void a_missing_database_is_made_only_when_asked(void **state)
{
    struct fixture *f = *state;
    struct ldb_recovery recovery;

    f->options.create_if_missing = false;
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_open("/db", &f->options, NULL, &f->err, &f->db),
                      &f->err);
    f->options.create_if_missing = true;
    open_db(f, &recovery);
    assert_true(recovery.created);
    assert_int_equal(recovery.last_sequence, 0);
}

static void an_existing_database_is_refused_when_asked(void **state)
{
    struct fixture *f = *state;

    open_db(f, NULL);
    close_db(f);
    f->options.error_if_exists = true;
    assert_ldb_status(LDB_EXISTS,
                      ldb_open("/db", &f->options, NULL, &f->err, &f->db),
                      &f->err);
}

static void a_second_opener_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_db *second = NULL;

    open_db(f, NULL);
    assert_ldb_status(LDB_LOCKED,
                      ldb_open("/db", &f->options, NULL, &f->err, &second),
                      &f->err);
    assert_null(second);
}

static void an_option_out_of_range_is_named(void **state)
{
    struct fixture *f = *state;

    f->options.block_bytes = 7;
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      ldb_open("/db", &f->options, NULL, &f->err, &f->db),
                      &f->err);
    assert_ldb_message("block_bytes", &f->err);
}

static void a_write_survives_closing(void **state)
{
    struct fixture *f = *state;
    struct ldb_recovery recovery;

    open_db(f, NULL);
    put(f, "a", "1");
    put(f, "b", "2");
    put(f, "a", "3");
    close_db(f);
    open_db(f, &recovery);
    assert_false(recovery.created);
    assert_int_equal(recovery.journals_replayed, 1);
    assert_int_equal(recovery.records_replayed, 3);
    assert_int_equal(recovery.last_sequence, 3);
    assert_int_equal(recovery.bytes_dropped, 0);
    assert_value(f, "a", "3");
    assert_value(f, "b", "2");
}

static void a_closed_database_without_writes_replays_nothing(void **state)
{
    struct fixture *f = *state;
    struct ldb_recovery recovery;

    open_db(f, NULL);
    close_db(f);
    open_db(f, &recovery);
    assert_int_equal(recovery.records_replayed, 0);
    assert_int_equal(recovery.tables_written, 0);
    assert_int_equal(recovery.manifest_number, 0);
}

static void a_raised_sequence_is_never_gone_back_on(void **state)
{
    struct fixture *f = *state;
    ldb_sequence sequence;

    open_db(f, NULL);
    put(f, "a", "1");
    assert_ldb_ok(ldb_raise_sequence(f->db, UINT64_C(1) << 32, &f->err),
                  &f->err);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("b"), ldb_slice_str("2"), false,
                          &f->err, &sequence),
                  &f->err);
    assert_int_equal(sequence, (UINT64_C(1) << 32) + 1);
    assert_ldb_ok(ldb_raise_sequence(f->db, 5, &f->err), &f->err);
    close_db(f);
    open_db(f, NULL);
    assert_int_equal(ldb_last_sequence(f->db), (UINT64_C(1) << 32) + 1);
    assert_value(f, "a", "1");
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      ldb_raise_sequence(f->db, LDB_SEQUENCE_MAX + 1, &f->err),
                      &f->err);
}

static void numbers_run_out_with_an_error(void **state)
{
    struct fixture *f = *state;

    open_db(f, NULL);
    assert_ldb_ok(ldb_raise_sequence(f->db, LDB_SEQUENCE_MAX - 1, &f->err),
                  &f->err);
    put(f, "last", "1");
    assert_ldb_status(LDB_NOT_SUPPORTED,
                      ldb_put(f->db, ldb_slice_str("x"), ldb_slice_str("y"),
                              false, &f->err, NULL),
                      &f->err);
    assert_value(f, "last", "1");
}

static enum ldb_status count_name(void *context, const char *name)
{
    unsigned *count = context;

    (void)name;
    (*count)++;
    return LDB_OK;
}

static void read_only_reads_the_journal_and_writes_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned before = 0;
    unsigned after = 0;

    open_db(f, NULL);
    put(f, "a", "1");
    assert_ldb_ok(ldb_flush(f->db, &f->err), &f->err);
    put(f, "b", "2");
    close_db(f);
    assert_ldb_ok(
        f->env->ops->list_dir(f->env, "/db", count_name, &before, &f->err),
        &f->err);
    f->options.read_only = true;
    open_db(f, NULL);
    assert_value(f, "a", "1");
    assert_value(f, "b", "2");
    assert_ldb_status(LDB_READ_ONLY,
                      ldb_put(f->db, ldb_slice_str("c"), ldb_slice_str("3"),
                              false, &f->err, NULL),
                      &f->err);
    assert_ldb_status(LDB_READ_ONLY, ldb_flush(f->db, &f->err), &f->err);
    close_db(f);
    assert_ldb_ok(
        f->env->ops->list_dir(f->env, "/db", count_name, &after, &f->err),
        &f->err);
    assert_int_equal(before, after);
}

static void destroy_removes_a_database_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct ldb_writable_file *file = NULL;
    uint64_t size = 0;

    open_db(f, NULL);
    put(f, "a", "1");
    assert_ldb_status(LDB_LOCKED, ldb_destroy("/db", &f->options, &f->err),
                      &f->err);
    close_db(f);
    assert_ldb_ok(f->env->ops->open_writable(f->env, "/db/notes.txt",
                                             LDB_OPEN_TRUNCATE, &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
    assert_ldb_ok(ldb_destroy("/db", &f->options, &f->err), &f->err);
    assert_ldb_ok(
        f->env->ops->file_size(f->env, "/db/notes.txt", &f->err, &size),
        &f->err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        f->env->ops->file_size(f->env, "/db/CURRENT", &f->err, &size), &f->err);
    assert_ldb_status(LDB_NOT_FOUND, ldb_destroy("/db", &f->options, &f->err),
                      &f->err);
}

static void a_value_in_every_place_is_found(void **state)
{
    struct fixture *f = *state;
    struct ldb_stats stats;

    open_db(f, NULL);
    put(f, "deep", "level 1");
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    put(f, "flushed", "level 0");
    assert_ldb_ok(ldb_flush(f->db, &f->err), &f->err);
    put(f, "fresh", "memtable");
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.levels[1].tables, 1);
    assert_int_equal(stats.levels[0].tables, 1);
    assert_value(f, "deep", "level 1");
    assert_value(f, "flushed", "level 0");
    assert_value(f, "fresh", "memtable");
}

static void a_delete_hides_all_older_values(void **state)
{
    struct fixture *f = *state;
    struct ldb_stats stats;

    open_db(f, NULL);
    put(f, "a", "1");
    assert_ldb_ok(ldb_flush(f->db, &f->err), &f->err);
    assert_ldb_ok(ldb_delete(f->db, ldb_slice_str("a"), false, &f->err, NULL),
                  &f->err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        ldb_get(f->db, ldb_slice_str("a"), NULL, &f->err, NULL, NULL, NULL),
        &f->err);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    ldb_stats(f->db, &stats);
    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
        assert_int_equal(stats.levels[level].tables, 0);
}

static enum ldb_status count_manifest(void *context, const char *name)
{
    unsigned *count = context;

    *count += strncmp(name, "MANIFEST-", 9) == 0;
    return LDB_OK;
}

static void a_manifest_over_its_size_is_replaced_and_removed(void **state)
{
    struct fixture *f = *state;
    struct ldb_stats stats;
    unsigned count = 0;

    f->options.manifest_rotate_bytes = 1024;
    open_db(f, NULL);
    for (int i = 0; i < 40; i++) {
        put(f, i % 2 == 0 ? "even" : "odd", "value");
        assert_ldb_ok(ldb_flush(f->db, &f->err), &f->err);
    }
    ldb_stats(f->db, &stats);
    assert_true(stats.manifest_number > 0);
    close_db(f);
    assert_ldb_ok(
        f->env->ops->list_dir(f->env, "/db", count_manifest, &count, &f->err),
        &f->err);
    assert_int_equal(count, 1);
    open_db(f, NULL);
    assert_value(f, "even", "value");
}

/* The edit of the flush is cut, or one of its bytes changed. */
static void damage_manifest(struct fixture *f, uint64_t number, bool cut)
{
    char path[64];
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);
    struct ldb_writable_file *file = NULL;

    (void)snprintf(path, sizeof(path), "/db/MANIFEST-%06llu",
                   (unsigned long long)number);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &f->err, &bytes), &f->err);
    if (cut)
        bytes.len -= 3;
    else
        bytes.data[bytes.len - 3] ^= 1;
    assert_ldb_ok(f->env->ops->open_writable(f->env, path, LDB_OPEN_TRUNCATE,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_of_buf(&bytes), &f->err),
                  &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
    ldb_buf_release(&bytes);
}

static void a_lost_manifest_record_whose_journal_is_gone_is_damage(void **state)
{
    struct fixture *f = *state;
    struct ldb_stats stats;

    for (int cut = 0; cut < 2; cut++) {
        open_db(f, NULL);
        put(f, "flushed", "its journal is gone");
        assert_ldb_ok(ldb_flush(f->db, &f->err), &f->err);
        ldb_stats(f->db, &stats);
        close_db(f);
        damage_manifest(f, stats.manifest_number, cut != 0);
        assert_ldb_status(LDB_CORRUPTION,
                          ldb_open("/db", &f->options, NULL, &f->err, &f->db),
                          &f->err);
        assert_ldb_message("MANIFEST-", &f->err);
        assert_ldb_ok(ldb_destroy("/db", &f->options, &f->err), &f->err);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_missing_database_is_made_only_when_asked),
        CASE(an_existing_database_is_refused_when_asked),
        CASE(a_second_opener_is_refused),
        CASE(an_option_out_of_range_is_named),
        CASE(a_write_survives_closing),
        CASE(a_closed_database_without_writes_replays_nothing),
        CASE(a_raised_sequence_is_never_gone_back_on),
        CASE(numbers_run_out_with_an_error),
        CASE(read_only_reads_the_journal_and_writes_nothing),
        CASE(destroy_removes_a_database_and_nothing_else),
        CASE(a_value_in_every_place_is_found),
        CASE(a_delete_hides_all_older_values),
        CASE(a_manifest_over_its_size_is_replaced_and_removed),
        CASE(a_lost_manifest_record_whose_journal_is_gone_is_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
