/* A table that was mended while it is open, here and in compactions. */
#include "replication/reopen_table.h"

#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

#define KEYS 100

static const char *table_name(struct db_fixture *f)
{
    static char name[LDB_FILE_NAME_SIZE];

    /* The first flush of a new database. */
    for (uint64_t number = 1; number < 20; number++) {
        uint64_t size;
        char path[64];

        ldb_file_name_print(name, LDB_FILE_TABLE, number);
        (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%s", name);
        if (f->env->ops->file_size(f->env, path, NULL, &size) == LDB_OK)
            return name;
    }
    fail();
    return name;
}

static uint64_t number_of(const char *name)
{
    uint64_t number = 0;

    assert_int_equal(LDB_FILE_TABLE, ldb_file_name_parse(name, &number));
    return number;
}

static enum ldb_status get(struct db_fixture *f, const char *key)
{
    return ldb_get(f->db, ldb_slice_str(key), NULL, &f->err, NULL, NULL, NULL);
}

/* One table of KEYS keys, damaged in its first block; the right bytes into
 * sound, under another name: as a copy that was fetched. */
static const char *damage(struct db_fixture *f)
{
    struct ldb_buf bytes = LDB_BUF_INIT((size_t)1 << 20);
    const char *name;

    db_fixture_fill(f, 0, KEYS);
    db_fixture_flush(f);
    name = table_name(f);
    db_fixture_read_file(f, name, &bytes);
    db_fixture_write_file(f, "copy", ldb_slice_of_buf(&bytes));
    bytes.data[20] ^= 1;
    db_fixture_write_file(f, name, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
    return name;
}

/* The copy takes the table's place: who has it open has the old one. */
static void mend(struct db_fixture *f, const char *name)
{
    char to[64];

    (void)snprintf(to, sizeof(to), DB_FIXTURE_DIR "/%s", name);
    assert_ldb_ok(
        f->env->ops->rename_file(f->env, DB_FIXTURE_DIR "/copy", to, &f->err),
        &f->err);
}

static void reads_find_the_new_file(void **state)
{
    struct db_fixture *f = *state;
    const char *name = damage(f);
    struct ldb_cursor *cursor = NULL;

    assert_ldb_status(LDB_CORRUPTION, get(f, "key000000"), &f->err);
    assert_ldb_ok(ldb_cursor_open(f->db, NULL, &f->err, &cursor), &f->err);
    mend(f, name);
    assert_ldb_status(LDB_CORRUPTION, get(f, "key000000"), &f->err);
    repl_reopen_table(f->db, number_of(name));
    db_fixture_assert_filled(f, 0, KEYS);
    /* A cursor stays with what it has open. */
    ldb_cursor_seek_first(cursor);
    assert_false(ldb_cursor_valid(cursor));
    assert_ldb_status(LDB_CORRUPTION, ldb_cursor_status(cursor, &f->err),
                      &f->err);
    ldb_cursor_close(cursor);
}

static void compactions_begin_again(void **state)
{
    struct db_fixture *f = *state;
    const char *name = damage(f);

    /* A second one, or it is moved down unread. */
    db_fixture_fill(f, KEYS / 2, KEYS);
    db_fixture_flush(f);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_int_equal(LDB_HEALTH_CORRUPTION, ldb_health(f->db, &f->err));
    assert_ldb_message(name, &f->err);
    /* Nothing is mended: they stop again. */
    repl_reopen_table(f->db, number_of(name));
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    assert_int_equal(LDB_HEALTH_CORRUPTION, ldb_health(f->db, NULL));
    mend(f, name);
    repl_reopen_table(f->db, number_of(name));
    assert_int_equal(LDB_HEALTHY, ldb_health(f->db, NULL));
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_assert_filled(f, 0, KEYS);
}

static void a_table_that_nobody_has_open_is_none(void **state)
{
    struct db_fixture *f = *state;

    db_fixture_fill(f, 0, KEYS);
    db_fixture_flush(f);
    repl_reopen_table(f->db, 12345);
    repl_reopen_table(f->db, 0);
    db_fixture_assert_filled(f, 0, KEYS);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(reads_find_the_new_file),
        CASE(compactions_begin_again),
        CASE(a_table_that_nobody_has_open_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
