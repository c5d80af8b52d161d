/* LevelDB's C API on our engine: what a binding written for LevelDB relies on.
 */
#include <stdlib.h>
#include <string.h>

#include "leveldb/c.h"
#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/temp_dir.h"

struct fixture {
    struct temp_dir dir;
    char path[TEMP_DIR_PATH_SIZE]; /* in dir: destroying removes it */
    leveldb_options_t *options;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
    leveldb_t *db;
    char *err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    temp_dir_create(&f.dir);
    (void)temp_dir_join(&f.dir, "db", f.path);
    f.options = leveldb_options_create();
    f.read = leveldb_readoptions_create();
    f.write = leveldb_writeoptions_create();
    assert_non_null(f.options);
    assert_non_null(f.read);
    assert_non_null(f.write);
    leveldb_options_set_create_if_missing(f.options, 1);
    f.db = leveldb_open(f.options, f.path, &f.err);
    assert_null(f.err);
    assert_non_null(f.db);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->db != NULL)
        leveldb_close(f->db);
    leveldb_free(f->err);
    leveldb_options_destroy(f->options);
    leveldb_readoptions_destroy(f->read);
    leveldb_writeoptions_destroy(f->write);
    temp_dir_remove(&f->dir);
    return 0;
}

static void put(struct fixture *f, const char *key, const char *value)
{
    leveldb_put(f->db, f->write, key, strlen(key), value, strlen(value),
                &f->err);
    assert_null(f->err);
}

/* expected NULL: there is no such key. */
static void assert_get(struct fixture *f, const char *key, const char *expected)
{
    size_t len = 0;
    char *value = leveldb_get(f->db, f->read, key, strlen(key), &len, &f->err);

    assert_null(f->err);
    if (expected == NULL) {
        assert_null(value);
        return;
    }
    assert_non_null(value);
    assert_ldb_slice(ldb_slice_str(expected), ldb_slice_make(value, len));
    leveldb_free(value);
}

static void what_was_put_is_got_until_deleted(void **state)
{
    struct fixture *f = *state;

    assert_get(f, "a", NULL);
    put(f, "a", "1");
    put(f, "a", "2");
    assert_get(f, "a", "2");
    leveldb_delete(f->db, f->write, "a", 1, &f->err);
    assert_null(f->err);
    assert_get(f, "a", NULL);
    put(f, "empty", "");
    assert_get(f, "empty", "");
}

static void an_error_is_a_text_that_replaces_the_one_before(void **state)
{
    struct fixture *f = *state;
    leveldb_t *second;

    /* The text there before is freed, as LevelDB does. */
    f->err = strdup("an old text");
    assert_non_null(f->err);
    second = leveldb_open(f->options, f->path, &f->err);
    assert_null(second);
    assert_non_null(f->err);
    assert_non_null(strstr(f->err, "LOCK"));
}

static void opening_obeys_create_if_missing_and_error_if_exists(void **state)
{
    struct fixture *f = *state;

    leveldb_close(f->db);
    leveldb_options_set_error_if_exists(f->options, 1);
    f->db = leveldb_open(f->options, f->path, &f->err);
    assert_null(f->db);
    assert_non_null(f->err);
    leveldb_free(f->err);
    f->err = NULL;
    leveldb_options_set_error_if_exists(f->options, 0);
    leveldb_destroy_db(f->options, f->path, &f->err);
    assert_null(f->err);
    leveldb_options_set_create_if_missing(f->options, 0);
    f->db = leveldb_open(f->options, f->path, &f->err);
    assert_null(f->db);
    assert_non_null(f->err);
}

/* Appends "+key=value," or "-key," to a text. */
static void note_put(void *text, const char *key, size_t key_len,
                     const char *value, size_t value_len)
{
    char *end = (char *)text + strlen(text);

    *end++ = '+';
    memcpy(end, key, key_len);
    end += key_len;
    *end++ = '=';
    memcpy(end, value, value_len);
    end += value_len;
    memcpy(end, ",", 2);
}

static void note_delete(void *text, const char *key, size_t key_len)
{
    char *end = (char *)text + strlen(text);

    *end++ = '-';
    memcpy(end, key, key_len);
    memcpy(end + key_len, ",", 2);
}

static void a_batch_is_iterated_appended_and_written_whole(void **state)
{
    struct fixture *f = *state;
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    leveldb_writebatch_t *more = leveldb_writebatch_create();
    char text[64] = "";

    leveldb_writebatch_put(batch, "dropped", 7, "x", 1);
    leveldb_writebatch_clear(batch);
    leveldb_writebatch_put(batch, "a", 1, "1", 1);
    leveldb_writebatch_delete(batch, "a", 1);
    leveldb_writebatch_put(more, "b", 1, "2", 1);
    leveldb_writebatch_append(batch, more);
    leveldb_writebatch_iterate(batch, text, note_put, note_delete);
    assert_string_equal("+a=1,-a,+b=2,", text);
    leveldb_write(f->db, f->write, batch, &f->err);
    assert_null(f->err);
    assert_get(f, "dropped", NULL);
    assert_get(f, "a", NULL);
    assert_get(f, "b", "2");
    leveldb_writebatch_destroy(batch);
    leveldb_writebatch_destroy(more);
}

static void assert_at(const leveldb_iterator_t *it, const char *key)
{
    size_t len = 0;
    const char *bytes;

    if (key == NULL) {
        assert_int_equal(0, leveldb_iter_valid(it));
        return;
    }
    assert_int_equal(1, leveldb_iter_valid(it));
    bytes = leveldb_iter_key(it, &len);
    assert_ldb_slice(ldb_slice_str(key), ldb_slice_make(bytes, len));
}

static void an_iterator_walks_both_ways(void **state)
{
    struct fixture *f = *state;
    leveldb_iterator_t *it;

    put(f, "a", "1");
    put(f, "c", "3");
    put(f, "e", "5");
    it = leveldb_create_iterator(f->db, f->read);
    assert_non_null(it);
    assert_at(it, NULL);
    leveldb_iter_seek_to_first(it);
    assert_at(it, "a");
    leveldb_iter_seek(it, "b", 1);
    assert_at(it, "c");
    leveldb_iter_next(it);
    assert_at(it, "e");
    leveldb_iter_next(it);
    assert_at(it, NULL);
    leveldb_iter_seek_to_last(it);
    assert_at(it, "e");
    leveldb_iter_prev(it);
    assert_at(it, "c");
    leveldb_iter_get_error(it, &f->err);
    assert_null(f->err);
    leveldb_iter_destroy(it);
}

static void a_snapshot_stays_as_it_was(void **state)
{
    struct fixture *f = *state;
    const leveldb_snapshot_t *snapshot;

    put(f, "a", "old");
    snapshot = leveldb_create_snapshot(f->db);
    assert_non_null(snapshot);
    put(f, "a", "new");
    leveldb_compact_range(f->db, NULL, 0, NULL, 0);
    leveldb_readoptions_set_snapshot(f->read, snapshot);
    assert_get(f, "a", "old");
    leveldb_readoptions_set_snapshot(f->read, NULL);
    assert_get(f, "a", "new");
    leveldb_release_snapshot(f->db, snapshot);
}

static void properties_and_sizes_are_told(void **state)
{
    struct fixture *f = *state;
    const char *start[] = {"a", "x"};
    const char *limit[] = {"c", "z"};
    const size_t lens[] = {1, 1};
    uint64_t sizes[2] = {7, 7};
    char *text;

    put(f, "b", "1");
    leveldb_compact_range(f->db, NULL, 0, NULL, 0);
    leveldb_approximate_sizes(f->db, 2, start, lens, limit, lens, sizes);
    assert_true(sizes[0] > 0);
    assert_int_equal(0, sizes[1]);
    text = leveldb_property_value(f->db, "leveldb.stats");
    assert_non_null(text);
    leveldb_free(text);
    assert_null(leveldb_property_value(f->db, "leveldb.no-such-thing"));
}

/* Those that LevelDB has not. */
static void our_options_are_behind_leveldbs(void **state)
{
    struct fixture *f = *state;
    struct ldb_options *options = ldb_options_of_leveldb(f->options);

    leveldb_close(f->db);
    leveldb_options_set_block_restart_interval(f->options, 7);
    assert_int_equal(options->block_restart_interval, 7);
    options->compaction_threads = 1000;
    f->db = leveldb_open(f->options, f->path, &f->err);
    assert_null(f->db);
    assert_non_null(strstr(f->err, "compaction_threads is 1000"));
    leveldb_free(f->err);
    f->err = NULL;
    options->compaction_threads = 1;
    options->journal = LDB_JOURNAL_MAPPED;
    f->db = leveldb_open(f->options, f->path, &f->err);
    assert_non_null(f->db);
    put(f, "k", "v");
    assert_get(f, "k", "v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_got_until_deleted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_error_is_a_text_that_replaces_the_one_before, setup, teardown),
        cmocka_unit_test_setup_teardown(
            opening_obeys_create_if_missing_and_error_if_exists, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            a_batch_is_iterated_appended_and_written_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(an_iterator_walks_both_ways, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_stays_as_it_was, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(properties_and_sizes_are_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(our_options_are_behind_leveldbs, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
