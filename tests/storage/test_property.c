/* Properties have goleveldb's texts, to the byte. */
#include "storage/property.h"

#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

static void assert_property(struct db_fixture *f, const char *name,
                            const char *expected)
{
    struct ldb_buf text = LDB_BUF_INIT(1 << 16);
    enum ldb_status s = ldb_property(f->db, name, &text);

    if (expected == NULL) {
        assert_ldb_status(LDB_NOT_FOUND, s, NULL);
    } else {
        assert_ldb_ok(s, NULL);
        assert_ldb_slice(ldb_slice_str(expected), ldb_slice_of_buf(&text));
    }
    ldb_buf_release(&text);
}

struct row {
    const char *name;
    const char *text; /* NULL: there is no such property */
};

static void assert_rows(struct db_fixture *f, const struct row *rows,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_property(f, rows[i].name, rows[i].text);
}

#define RULE                                                                   \
    "-------+------------+---------------+---------------+---------------+---" \
    "------------\n"
#define STATS_HEAD                                                             \
    "Compactions\n"                                                            \
    " Level |   Tables   |    Size(MB)   |    Time(sec)  |    Read(MB)   |   " \
    "Write(MB)\n" RULE

static void an_empty_database_has_the_texts_of_an_empty_one(void **state)
{
    static const struct row rows[] = {
        {"leveldb.num-files-at-level0", "0"},
        {"leveldb.num-files-at-level6", "0"},
        {"leveldb.num-files-at-level7", "0"},
        {"leveldb.num-files-at-level00", "0"},
        {"leveldb.num-files-at-level99999999999999999999", "0"},
        {"leveldb.num-files-at-level", NULL},
        {"leveldb.num-files-at-level1x", NULL},
        {"leveldb.num-files-at-level-1", NULL},
        {"leveldb.stats",
         STATS_HEAD RULE " Total |          0 |       0.00000 |       0.00000 "
                         "|       0.00000 |       0.00000\n"},
        {"leveldb.iostats", "Read(MB):0.00000 Write(MB):0.00000"},
        {"leveldb.writedelay", "DelayN:0 Delay:0s Paused:false"},
        {"leveldb.compcount",
         "MemComp:0 Level0Comp:0 NonLevel0Comp:0 SeekComp:0"},
        {"leveldb.sstables", ""},
        {"leveldb.blockpool", "<nil>"},
        {"leveldb.cachedblock", "0"},
        {"leveldb.openedtables", "0"},
        {"leveldb.alivesnaps", "0"},
        {"leveldb.aliveiters", "0"},
        {"leveldb.", NULL},
        {"leveldb.stats ", NULL},
        {"stats", NULL},
        {"", NULL},
    };

    assert_rows(*state, rows, sizeof(rows) / sizeof(rows[0]));
}

/* "BYTES" in text stands for the bytes of level 0, then of level 1. */
static void assert_tables(struct db_fixture *f, const char *text)
{
    struct ldb_buf expected = LDB_BUF_INIT(1000);
    const char *at = text;
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    for (unsigned level = 0; level < 2; level++) {
        const char *mark = strstr(at, "BYTES");

        if (mark == NULL)
            break;
        assert_ldb_ok(
            ldb_buf_printf(&expected, "%.*s%llu", (int)(mark - at), at,
                           (unsigned long long)stats.levels[level].bytes),
            NULL);
        at = mark + strlen("BYTES");
    }
    assert_ldb_ok(ldb_buf_append(&expected, ldb_slice_str(at)), NULL);
    assert_ldb_ok(ldb_buf_append_byte(&expected, '\0'), NULL);
    assert_property(f, "leveldb.sstables", (const char *)expected.data);
    ldb_buf_release(&expected);
}

static void tables_are_listed_by_level_with_cut_and_quoted_keys(void **state)
{
    struct db_fixture *f = *state;

    (void)db_fixture_put(f, "a\"\xff", "1");
    (void)db_fixture_put(f, "a longer key", "2");
    (void)db_fixture_delete(f, "eight888");
    db_fixture_flush(f);
    assert_tables(f, "--- level 0 ---\n"
                     "3:BYTES[\"a l..key,v2\" .. \"eight888,d3\"]\n");
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    (void)db_fixture_put(f, "z", "3");
    db_fixture_flush(f);
    assert_tables(f, "--- level 0 ---\n"
                     "6:BYTES[\"z,v4\" .. \"z,v4\"]\n"
                     "--- level 1 ---\n"
                     "4:BYTES[\"a l..key,v2\" .. \"a\\\"\\xff,v1\"]\n");
}

static void open_things_are_counted(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_snapshot *snapshot = NULL;
    struct ldb_cursor *cursor = NULL;

    (void)db_fixture_put(f, "a", "1");
    db_fixture_flush(f);
    db_fixture_assert_value(f, "a", "1");
    assert_ldb_ok(ldb_snapshot_acquire(f->db, &f->err, &snapshot), &f->err);
    assert_ldb_ok(ldb_cursor_open(f->db, NULL, &f->err, &cursor), &f->err);
    assert_property(f, "leveldb.alivesnaps", "1");
    assert_property(f, "leveldb.aliveiters", "1");
    assert_property(f, "leveldb.openedtables", "1");
    assert_property(f, "leveldb.num-files-at-level0", "1");
    assert_property(f, "leveldb.compcount",
                    "MemComp:1 Level0Comp:0 NonLevel0Comp:0 SeekComp:0");
    ldb_cursor_close(cursor);
    ldb_snapshot_release(snapshot);
}

static void memory_is_the_sum_of_its_parts(void **state)
{
    const struct ldb_stats stats = {.memtable_bytes = 1,
                                    .immutable_bytes = 20,
                                    .block_cache_bytes = 300,
                                    .table_memory_bytes = 4000};

    (void)state;
    assert_int_equal(ldb_property_memory_bytes(&stats), 4321);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, db_fixture_setup, db_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_database_has_the_texts_of_an_empty_one),
        TEST(tables_are_listed_by_level_with_cut_and_quoted_keys),
        TEST(open_things_are_counted),
        cmocka_unit_test(memory_is_the_sum_of_its_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
