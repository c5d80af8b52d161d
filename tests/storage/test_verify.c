/* Checking a database: clean ones are clean, each kind of damage is told with
 * file and offset, and nothing is written. */
#include "storage/verify.h"

#include <string.h>

#include "storage/base/env.h"
#include "storage/base/mem.h"
#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/watcher.h"

#define DIR "/db"

/* Chosen: several blocks a table and several tables. */
#define KEYS 1500

/* Bytes of the last record of journal and MANIFEST, at most. */
#define LAST_RECORD 100

struct fixture {
    struct ldb_env *env;
    struct ldb_options options;
};

static void open_db(struct fixture *f, struct ldb_db **out)
{
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_open(DIR, &f->options, NULL, &err, out), &err);
}

static void close_db(struct ldb_db *db)
{
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_close(db, &err), &err);
}

static void put_keys(struct ldb_db *db, unsigned from, unsigned to)
{
    struct ldb_error err = {0};
    char key[32];
    char value[64];

    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof(key), "key%06u", i);
        snprintf(value, sizeof(value), "value-%u-%u", i, i * 7919);
        assert_ldb_ok(ldb_put(db, ldb_slice_str(key), ldb_slice_str(value),
                              false, &err, NULL),
                      &err);
    }
}

/* Two tables, then a journal with entries. */
static int setup(void **state)
{
    struct fixture *f = ldb_mem_zalloc(1, sizeof(*f));
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    assert_non_null(f);
    assert_ldb_ok(ldb_env_memory_create(&err, &f->env), &err);
    ldb_options_init(&f->options);
    f->options.env = f->env;
    f->options.create_if_missing = true;
    open_db(f, &db);
    put_keys(db, 0, KEYS);
    assert_ldb_ok(ldb_flush(db, &err), &err);
    put_keys(db, KEYS, 2 * KEYS);
    assert_ldb_ok(ldb_flush(db, &err), &err);
    put_keys(db, 0, 100);
    close_db(db);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ldb_env_memory_destroy(f->env);
    ldb_mem_free(f);
    return 0;
}

/* ---- files ---- */

struct found {
    enum ldb_file_type type;
    char name[LDB_FILE_NAME_SIZE];
    unsigned count;
};

static enum ldb_status find_name(void *context, const char *name)
{
    struct found *found = context;
    uint64_t number;

    if (ldb_file_name_parse(name, &number) == found->type) {
        snprintf(found->name, sizeof(found->name), "%s", name);
        found->count++;
    }
    return LDB_OK;
}

/* One file of the kind; it is there. */
static const char *name_of(struct fixture *f, enum ldb_file_type type,
                           struct found *found)
{
    struct ldb_error err = {0};

    *found = (struct found){.type = type};
    assert_ldb_ok(f->env->ops->list_dir(f->env, DIR, find_name, found, &err),
                  &err);
    assert_true(found->count > 0);
    return found->name;
}

static void read_named(struct fixture *f, const char *name, struct ldb_buf *out)
{
    char path[64];
    struct ldb_error err = {0};

    snprintf(path, sizeof(path), DIR "/%s", name);
    ldb_buf_clear(out);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &err, out), &err);
}

static void write_named(struct fixture *f, const char *name,
                        struct ldb_slice bytes)
{
    char path[64];
    struct ldb_error err = {0};

    snprintf(path, sizeof(path), DIR "/%s", name);
    assert_ldb_ok(
        ldb_env_replace_file(f->env, DIR, path, DIR "/temporary", bytes, &err),
        &err);
}

static void remove_named(struct fixture *f, const char *name)
{
    char path[64];
    struct ldb_error err = {0};

    snprintf(path, sizeof(path), DIR "/%s", name);
    assert_ldb_ok(f->env->ops->remove_file(f->env, path, &err), &err);
}

/* ---- findings ---- */

struct findings {
    unsigned damages;
    unsigned notes;
    char file[LDB_FILE_NAME_SIZE]; /* of the first damage */
    bool has_offset;
    uint64_t offset;
    bool has_keys;
    struct ldb_buf text;
};

static enum ldb_status on_finding(void *context,
                                  const struct ldb_finding *finding)
{
    struct findings *all = context;

    assert_true(strlen(finding->message) > 0);
    assert_true(strlen(finding->advice) > 0);
    if (finding->kind == LDB_FINDING_NOTE)
        all->notes++;
    else if (all->damages++ == 0) {
        snprintf(all->file, sizeof(all->file), "%s", finding->file);
        all->has_offset = finding->has_offset;
        all->offset = finding->offset;
        all->has_keys = finding->until.len > 0;
    }
    if (ldb_finding_describe(finding, &all->text) != LDB_OK)
        return LDB_NO_MEMORY;
    return ldb_buf_append_byte(&all->text, '\n');
}

static struct ldb_verify_summary check(struct fixture *f,
                                       struct findings *found)
{
    struct ldb_verify_summary summary = {0};
    struct ldb_error err = {0};

    *found = (struct findings){.text = LDB_BUF_INIT(SIZE_MAX)};
    assert_ldb_ok(
        ldb_verify_folder(DIR, &f->options, on_finding, found, &err, &summary),
        &err);
    ldb_buf_release(&found->text);
    assert_int_equal(found->damages, summary.damages);
    assert_int_equal(found->notes, summary.notes);
    return summary;
}

static void a_sound_folder_is_clean_and_counted(void **state)
{
    struct fixture *f = *state;
    struct findings found;
    struct ldb_verify_summary sum = check(f, &found);

    assert_int_equal(sum.damages, 0);
    assert_int_equal(sum.notes, 0);
    assert_int_equal(sum.tables, 2);
    assert_int_equal(sum.entries, 2 * KEYS);
    assert_true(sum.blocks > 10);
    assert_int_equal(sum.journals, 1);
    assert_int_equal(sum.journal_records, 100);
    assert_true(sum.manifest_records >= 2);
}

struct digest {
    struct fixture *f;
    uint64_t bytes;
    uint64_t sum;
};

static enum ldb_status add_file(void *context, const char *name)
{
    struct digest *digest = context;
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);

    read_named(digest->f, name, &bytes);
    digest->bytes += bytes.len;
    for (size_t i = 0; i < bytes.len; i++)
        digest->sum = digest->sum * 31 + bytes.data[i];
    ldb_buf_release(&bytes);
    return LDB_OK;
}

static enum ldb_status add_name(void *context, const char *name)
{
    struct ldb_buf *names = context;

    return ldb_buf_append(names, ldb_slice_make(name, strlen(name) + 1));
}

static struct digest digest_folder(struct fixture *f)
{
    struct digest digest = {.f = f};
    struct ldb_buf names = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_error err = {0};

    assert_ldb_ok(f->env->ops->list_dir(f->env, DIR, add_name, &names, &err),
                  &err);
    for (size_t at = 0; at < names.len;) {
        const char *name = (const char *)names.data + at;

        assert_ldb_ok(add_file(&digest, name), NULL);
        at += strlen(name) + 1;
    }
    ldb_buf_release(&names);
    return digest;
}

static void checking_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct digest before = digest_folder(f);
    struct digest after;
    struct findings found;

    (void)check(f, &found);
    after = digest_folder(f);
    assert_int_equal(before.bytes, after.bytes);
    assert_int_equal(before.sum, after.sum);
}

/* Flips each byte of the file at a stride; each flip is damage in that file. */
static void expect_flips_found(struct fixture *f, enum ldb_file_type type,
                               size_t stride)
{
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    struct findings found;
    struct found file;
    char name[LDB_FILE_NAME_SIZE];

    snprintf(name, sizeof(name), "%s", name_of(f, type, &file));
    read_named(f, name, &bytes);
    for (size_t at = 0; at < bytes.len; at += stride) {
        bytes.data[at] ^= 0x41;
        write_named(f, name, ldb_slice_of_buf(&bytes));
        bytes.data[at] ^= 0x41;
        (void)check(f, &found);
        /* Of the last record the flip may make what a crash leaves, too. */
        if (found.damages == 0 && at + LAST_RECORD > bytes.len &&
            found.notes > 0)
            continue;
        if (found.damages == 0)
            fail_msg("flip of %s at %zu was not found", name, at);
        if (at + LAST_RECORD <= bytes.len)
            assert_string_equal(name, found.file);
    }
    write_named(f, name, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

static void each_flipped_byte_of_a_table_is_found(void **state)
{
    struct fixture *f = *state;
    struct found file;
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    size_t padding;

    /* The padding of the footer is not read by anyone: leave it out. */
    read_named(f, name_of(f, LDB_FILE_TABLE, &file), &bytes);
    padding = bytes.len;
    ldb_buf_release(&bytes);
    assert_true(padding > 4096);
    expect_flips_found(f, LDB_FILE_TABLE, 97);
}

static void each_flipped_byte_of_the_manifest_is_found(void **state)
{
    expect_flips_found(*state, LDB_FILE_MANIFEST, 1);
}

static void each_flipped_byte_of_current_is_found(void **state)
{
    expect_flips_found(*state, LDB_FILE_CURRENT, 1);
}

static void flipped_bytes_of_a_journal_are_found(void **state)
{
    expect_flips_found(*state, LDB_FILE_JOURNAL, 13);
}

static void damage_in_a_block_is_told_with_offset_and_keys(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    struct findings found;
    struct found file;
    char name[LDB_FILE_NAME_SIZE];

    snprintf(name, sizeof(name), "%s", name_of(f, LDB_FILE_TABLE, &file));
    read_named(f, name, &bytes);
    bytes.data[10] ^= 1;
    write_named(f, name, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
    (void)check(f, &found);
    assert_int_equal(found.damages, 1);
    assert_string_equal(name, found.file);
    assert_true(found.has_offset);
    assert_int_equal(found.offset, 0);
    assert_true(found.has_keys);
}

static void each_missing_file_is_found(void **state)
{
    static const enum ldb_file_type kinds[] = {
        LDB_FILE_TABLE, LDB_FILE_JOURNAL, LDB_FILE_MANIFEST, LDB_FILE_CURRENT};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
        struct findings found;
        struct found file;
        char name[LDB_FILE_NAME_SIZE];

        snprintf(name, sizeof(name), "%s", name_of(f, kinds[i], &file));
        read_named(f, name, &bytes);
        remove_named(f, name);
        (void)check(f, &found);
        if (found.damages == 0)
            fail_msg("missing %s was not found", name);
        write_named(f, name, ldb_slice_of_buf(&bytes));
        ldb_buf_release(&bytes);
    }
}

static void a_table_of_another_size_is_found(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    struct findings found;
    struct found file;

    read_named(f, name_of(f, LDB_FILE_TABLE, &file), &bytes);
    write_named(f, file.name, ldb_slice_make(bytes.data, bytes.len - 1));
    ldb_buf_release(&bytes);
    (void)check(f, &found);
    assert_true(found.damages > 0);
    assert_string_equal(file.name, found.file);
}

static void what_a_crash_leaves_is_a_note_not_damage(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    struct findings found;
    struct found file;

    /* A torn last record, a table without its edit, a temporary file. */
    read_named(f, name_of(f, LDB_FILE_JOURNAL, &file), &bytes);
    write_named(f, file.name, ldb_slice_make(bytes.data, bytes.len - 3));
    write_named(f, "000999.ldb", ldb_slice_str("half a table"));
    write_named(f, "000998.tmp", ldb_slice_str("x"));
    ldb_buf_release(&bytes);
    (void)check(f, &found);
    assert_int_equal(found.damages, 0);
    assert_int_equal(found.notes, 3);
}

static void an_open_database_is_checked_while_it_is_written(void **state)
{
    struct fixture *f = *state;
    struct findings found = {.text = LDB_BUF_INIT(SIZE_MAX)};
    struct ldb_verify_summary sum = {0};
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    open_db(f, &db);
    put_keys(db, 0, 50);
    assert_ldb_ok(ldb_verify_db(db, on_finding, &found, NULL, &err, &sum),
                  &err);
    assert_int_equal(sum.damages, 0);
    assert_int_equal(sum.tables, 3);
    assert_int_equal(sum.journals, 1);
    assert_int_equal(sum.journal_records, 50);
    assert_ldb_status(
        LDB_LOCKED, ldb_verify_folder(DIR, &f->options, NULL, NULL, &err, &sum),
        &err);
    close_db(db);
    ldb_buf_release(&found.text);
}

static void a_check_is_watched_and_cancelled(void **state)
{
    struct fixture *f = *state;
    struct ldb_verify_summary sum = {0};
    struct watcher watcher;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    open_db(f, &db);
    watcher_init(&watcher, 0);
    assert_ldb_ok(ldb_verify_db(db, NULL, NULL, &watcher.progress, &err, &sum),
                  &err);
    assert_int_equal(watcher.looks, sum.tables + 1);
    assert_int_equal(watcher.done, sum.table_bytes);
    assert_int_equal(watcher.done, watcher.total);
    watcher_init(&watcher, 2);
    assert_ldb_status(
        LDB_CANCELLED,
        ldb_verify_db(db, NULL, NULL, &watcher.progress, &err, &sum), &err);
    assert_int_equal(watcher.looks, 2);
    close_db(db);
}

static void an_empty_folder_is_no_database(void **state)
{
    struct fixture *f = *state;
    struct ldb_verify_summary sum = {0};
    struct ldb_error err = {0};

    assert_ldb_ok(f->env->ops->create_dir(f->env, "/empty", &err), &err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        ldb_verify_folder("/empty", &f->options, NULL, NULL, &err, &sum), &err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        ldb_verify_folder("/none", &f->options, NULL, NULL, &err, &sum), &err);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_sound_folder_is_clean_and_counted),
        CASE(checking_writes_nothing),
        CASE(each_flipped_byte_of_a_table_is_found),
        CASE(each_flipped_byte_of_the_manifest_is_found),
        CASE(each_flipped_byte_of_current_is_found),
        CASE(flipped_bytes_of_a_journal_are_found),
        CASE(damage_in_a_block_is_told_with_offset_and_keys),
        CASE(each_missing_file_is_found),
        CASE(a_table_of_another_size_is_found),
        CASE(what_a_crash_leaves_is_a_note_not_damage),
        CASE(an_open_database_is_checked_while_it_is_written),
        CASE(a_check_is_watched_and_cancelled),
        CASE(an_empty_folder_is_no_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
