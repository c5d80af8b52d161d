/* Listings of single files: what stands in them, where, and damage. */
#include "storage/describe.h"

#include <string.h>

#include "storage/base/env.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"

#define DIR "/db"

struct fixture {
    struct ldb_env *env;
    struct ldb_options options;
};

/* 000001.log flushed into 000003.ldb, one more put in 000002.log. */
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
    assert_ldb_ok(ldb_open(DIR, &f->options, NULL, &err, &db), &err);
    assert_ldb_ok(ldb_put(db, ldb_slice_str("apple"), ldb_slice_str("red"),
                          false, &err, NULL),
                  &err);
    assert_ldb_ok(ldb_put(db, ldb_slice_str("melon"), ldb_slice_str("green"),
                          false, &err, NULL),
                  &err);
    assert_ldb_ok(ldb_delete(db, ldb_slice_str("pear"), false, &err, NULL),
                  &err);
    assert_ldb_ok(ldb_flush(db, &err), &err);
    assert_ldb_ok(ldb_put(db, ldb_slice_str("fig"), ldb_slice_str("\x01"),
                          false, &err, NULL),
                  &err);
    assert_ldb_ok(ldb_close(db, &err), &err);
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

static enum ldb_status add_line(void *context, struct ldb_slice line)
{
    struct ldb_buf *text = context;
    enum ldb_status s = ldb_buf_append(text, line);

    return s == LDB_OK ? ldb_buf_append_byte(text, '\n') : s;
}

/* The listing as text with a NUL; damages as expected. */
static void list(struct fixture *f, const char *path, uint64_t damages,
                 struct ldb_buf *out)
{
    struct ldb_error err = {0};
    uint64_t found = 0;

    ldb_buf_clear(out);
    assert_ldb_ok(
        ldb_describe_file(path, &f->options, add_line, out, &err, &found),
        &err);
    assert_int_equal(damages, found);
    assert_ldb_ok(ldb_buf_append_byte(out, 0), NULL);
}

static void expect_in(const struct ldb_buf *text, const char *part)
{
    if (strstr((const char *)text->data, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, (const char *)text->data);
}

static void a_journal_is_listed_by_batch_and_operation(void **state)
{
    struct ldb_buf text = LDB_BUF_INIT(SIZE_MAX);

    list(*state, DIR "/000002.log", 0, &text);
    assert_string_equal((const char *)text.data,
                        "0: batch of 19 bytes, sequence 4, count 1\n"
                        "  \"fig\"@4:put = \"\\x01\" (1 bytes)\n");
    ldb_buf_release(&text);
}

static void a_manifest_is_listed_by_edit(void **state)
{
    struct ldb_buf text = LDB_BUF_INIT(SIZE_MAX);

    list(*state, DIR "/MANIFEST-000000", 0, &text);
    expect_in(&text, "0: edit comparator=leveldb.BytewiseComparator");
    expect_in(&text, "add=0:3:");
    ldb_buf_release(&text);
}

static void a_table_is_listed_by_block_and_entry(void **state)
{
    struct ldb_buf text = LDB_BUF_INIT(SIZE_MAX);

    list(*state, DIR "/000003.ldb", 0, &text);
    expect_in(&text, "0: data block of ");
    expect_in(&text, "  \"apple\"@1:put = \"red\" (3 bytes)\n"
                     "  \"melon\"@2:put = \"green\" (5 bytes)\n"
                     "  \"pear\"@3:delete\n");
    expect_in(&text, "filter block");
    expect_in(&text, "index block");
    ldb_buf_release(&text);
}

static void damage_is_listed_and_counted(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_buf text = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_read_file(f->env, DIR "/000003.ldb", &err, &bytes),
                  &err);
    bytes.data[3] ^= 1;
    assert_ldb_ok(ldb_env_replace_file(f->env, DIR, DIR "/000003.ldb", DIR "/t",
                                       ldb_slice_of_buf(&bytes), &err),
                  &err);
    list(f, DIR "/000003.ldb", 1, &text);
    expect_in(&text, "! 000003.ldb: block at 0: ");
    ldb_buf_release(&bytes);
    ldb_buf_release(&text);
}

static void other_names_are_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};
    uint64_t damages = 0;

    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      ldb_describe_file(DIR "/CURRENT", &f->options, add_line,
                                        NULL, &err, &damages),
                      &err);
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_describe_file(DIR "/000009.log", &f->options,
                                        add_line, NULL, &err, &damages),
                      &err);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_journal_is_listed_by_batch_and_operation),
        CASE(a_manifest_is_listed_by_edit),
        CASE(a_table_is_listed_by_block_and_entry),
        CASE(damage_is_listed_and_counted),
        CASE(other_names_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
