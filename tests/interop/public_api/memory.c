/*
 * A database in memory, through ldb.h and libleveld.so alone: what is not in
 * the public header does not compile here, what is not exported does not link.
 */
#include "ldb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH  "/no-such-folder-on-this-disk"
#define COUNT 2000U

static struct ldb_slice text(const char *s)
{
    return (struct ldb_slice){(const uint8_t *)s, strlen(s)};
}

static struct ldb_env *create_env(void)
{
    struct ldb_env *env = NULL;
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK, ldb_env_memory_create(&err, &env));
    return env;
}

static struct ldb_db *open_db(struct ldb_env *env, const char *path)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    ldb_options_init(&options);
    options.env = env;
    options.write_buffer_bytes = 65536;
    if (ldb_open(path, &options, NULL, &err, &db) != LDB_OK)
        fail_msg("%s", err.message);
    return db;
}

static void close_db(struct ldb_db *db)
{
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK, ldb_close(db, &err));
}

static void fill(struct ldb_db *db)
{
    char key[32];
    char value[200];
    struct ldb_error err = {0};

    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "key%06u", i);
        (void)snprintf(value, sizeof value, "%0150u", i);
        assert_int_equal(LDB_OK, ldb_put(db, text(key), text(value),
                                         i % 100 == 0, &err, NULL));
    }
}

static unsigned count_keys(struct ldb_db *db)
{
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    unsigned count = 0;

    assert_int_equal(LDB_OK, ldb_cursor_open(db, NULL, &err, &cursor));
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor))
        count++;
    assert_int_equal(LDB_OK, ldb_cursor_status(cursor, &err));
    ldb_cursor_close(cursor);
    return count;
}

static void a_database_in_memory_outlives_its_closing(void **state)
{
    struct ldb_env *env = create_env();
    struct ldb_db *db = open_db(env, PATH);
    struct ldb_buf value = LDB_BUF_INIT(1000);
    struct ldb_error err = {0};

    (void)state;
    fill(db);
    assert_int_equal(LDB_OK, ldb_compact_range(db, NULL, NULL, &err));
    assert_int_equal(LDB_OK,
                     ldb_delete(db, text("key000007"), true, &err, NULL));
    close_db(db);
    db = open_db(env, PATH);
    assert_int_equal(COUNT - 1, count_keys(db));
    assert_int_equal(LDB_NOT_FOUND, ldb_get(db, text("key000007"), NULL, &err,
                                            &value, NULL, NULL));
    assert_int_equal(
        LDB_OK, ldb_get(db, text("key000008"), NULL, &err, &value, NULL, NULL));
    assert_int_equal(150, value.len);
    ldb_buf_release(&value);
    close_db(db);
    ldb_env_memory_destroy(env);
    assert_int_equal(-1, access(PATH, F_OK));
}

static void environments_and_folders_share_nothing(void **state)
{
    struct ldb_env *one = create_env();
    struct ldb_env *two = create_env();
    struct ldb_db *a = open_db(one, "a");
    struct ldb_db *b = open_db(one, "b");
    struct ldb_db *other = open_db(two, "a");
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK,
                     ldb_put(a, text("k"), text("v"), false, &err, NULL));
    assert_int_equal(1, count_keys(a));
    assert_int_equal(0, count_keys(b));
    assert_int_equal(0, count_keys(other));
    close_db(a);
    close_db(b);
    close_db(other);
    ldb_env_memory_destroy(one);
    ldb_env_memory_destroy(two);
}

static void a_folder_in_memory_is_locked_and_destroyed(void **state)
{
    struct ldb_env *env = create_env();
    struct ldb_db *db = open_db(env, "a");
    struct ldb_db *second = NULL;
    struct ldb_options options;
    struct ldb_error err = {0};

    (void)state;
    ldb_options_init(&options);
    options.env = env;
    assert_int_equal(LDB_LOCKED, ldb_open("a", &options, NULL, &err, &second));
    close_db(db);
    assert_int_equal(LDB_OK, ldb_destroy("a", &options, &err));
    options.create_if_missing = false;
    assert_int_equal(LDB_NOT_FOUND,
                     ldb_open("a", &options, NULL, &err, &second));
    assert_null(second);
    ldb_env_memory_destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_database_in_memory_outlives_its_closing),
        cmocka_unit_test(environments_and_folders_share_nothing),
        cmocka_unit_test(a_folder_in_memory_is_locked_and_destroyed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
