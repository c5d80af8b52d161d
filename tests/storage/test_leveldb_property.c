/* Properties have LevelDB's texts, to the byte; other names goleveldb's. */
#include "storage/leveldb_property.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static void assert_property(struct db_fixture *f, const char *name,
                            const char *expected)
{
    struct ldb_buf text = LDB_BUF_INIT(1 << 16);
    enum ldb_status s = ldb_leveldb_property(f->db, name, &text);

    if (expected == NULL) {
        assert_ldb_status(LDB_NOT_FOUND, s, NULL);
    } else {
        assert_ldb_ok(s, NULL);
        assert_ldb_slice(ldb_slice_str(expected), ldb_slice_of_buf(&text));
    }
    ldb_buf_release(&text);
}

#define STATS_HEAD                                                             \
    "                               Compactions\n"                             \
    "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)\n"                     \
    "--------------------------------------------------\n"

static void an_empty_database_has_the_texts_of_an_empty_one(void **state)
{
    static const struct {
        const char *name;
        const char *text;
    } rows[] = {
        {"leveldb.num-files-at-level0", "0"},
        {"leveldb.num-files-at-level6", "0"},
        {"leveldb.num-files-at-level7", NULL},
        {"leveldb.num-files-at-level", NULL},
        {"leveldb.stats", STATS_HEAD},
        {"leveldb.sstables",
         "--- level 0 ---\n--- level 1 ---\n--- level 2 ---\n--- level 3 ---\n"
         "--- level 4 ---\n--- level 5 ---\n--- level 6 ---\n"},
        {"leveldb.iostats", "Read(MB):0.00000 Write(MB):0.00000"},
        {"leveldb.unknown", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_property(*state, rows[i].name, rows[i].text);
}

static void tables_are_rows_and_lines(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_buf expected = LDB_BUF_INIT(1000);
    struct ldb_stats stats;

    /* The flush takes no time, however busy the machine is. */
    env_fault_set_clock(f->fault, f->env->ops->monotonic_us(f->env));
    (void)db_fixture_put(f, "a'\x01\xff", "1");
    (void)db_fixture_put(f, "b", "2");
    (void)db_fixture_delete(f, "key");
    db_fixture_flush(f);
    ldb_stats(f->db, &stats);
    assert_ldb_ok(
        ldb_buf_printf(&expected,
                       "--- level 0 ---\n"
                       " 3:%llu['a'\\x01\\xff' @ 1 : 1 .. 'key' @ 3 : 0]\n"
                       "--- level 1 ---\n--- level 2 ---\n--- level 3 ---\n"
                       "--- level 4 ---\n--- level 5 ---\n--- level 6 ---\n%c",
                       (unsigned long long)stats.levels[0].bytes, '\0'),
        NULL);
    assert_property(f, "leveldb.sstables", (const char *)expected.data);
    assert_property(f, "leveldb.num-files-at-level0", "1");
    assert_property(f, "leveldb.stats",
                    STATS_HEAD "  0        1        0         0        0 "
                               "        0\n");
    ldb_buf_release(&expected);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_database_has_the_texts_of_an_empty_one),
        TEST(tables_are_rows_and_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
