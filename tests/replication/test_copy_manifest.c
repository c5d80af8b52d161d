/* The MANIFEST of a copy names what the leader's version has. */
#include "replication/copy_manifest.h"

#include <stdio.h>
#include <string.h>

#include "replication/holdings.h"
#include "storage/version/file_names.h"
#include "storage/version/version.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/copy_fixture.h"
#include "tests/support/mem_fault.h"

static struct copy_fixture f;
static struct repl_copy_manifest manifest;
static char name[LDB_FILE_NAME_SIZE];
static uint64_t number;

static int setup(void **state)
{
    struct ldb_stats stats;

    (void)state;
    copy_open(&f);
    ldb_stats(f.db, &stats);
    number = stats.manifest_number;
    ldb_file_name_print(name, LDB_FILE_MANIFEST, number);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_copy_manifest_release(&manifest);
    copy_close(&f);
    return 0;
}

static enum ldb_status read_it(void)
{
    return repl_copy_manifest_read(&manifest, number, f.files, &f.err);
}

/* Against what holdings.h makes of the folder, which is closed. */
static void assert_is_the_folders(void)
{
    struct repl_holdings held = {0};
    size_t tables = 0;

    assert_ldb_ok(repl_holdings_read(f.env, COPY_LEADER_DIR,
                                     ldb_comparator_bytewise(), false, &f.err,
                                     &held),
                  &f.err);
    assert_int_equal(held.manifest_len, manifest.len);
    assert_int_equal(held.log_number, manifest.log_number);
    for (unsigned level = 0; level < LDB_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < held.version->levels[level].count; i++) {
            const struct ldb_file_meta *meta =
                held.version->levels[level].files[i];
            const struct repl_copy_table *table =
                repl_copy_manifest_table(&manifest, meta->number);

            assert_non_null(table);
            assert_int_equal(meta->size, table->size);
            tables++;
        }
    }
    assert_int_equal(tables, manifest.table_count);
    repl_holdings_release(&held);
}

static void it_names_the_tables_as_it_grows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        copy_write(&f, 200);
        assert_ldb_ok(ldb_flush(f.db, &f.err), &f.err);
        copy_take_file(&f, name, UINT64_MAX);
        assert_ldb_ok(read_it(), &f.err);
        assert_true(manifest.table_count > 0);
    }
    assert_ldb_ok(ldb_compact_range(f.db, NULL, NULL, &f.err), &f.err);
    copy_stop(&f);
    copy_take_file(&f, name, UINT64_MAX);
    assert_ldb_ok(read_it(), &f.err);
    assert_string_equal("leveldb.BytewiseComparator", manifest.comparator);
    assert_int_equal(1600, manifest.last_sequence);
    assert_is_the_folders();
    assert_null(repl_copy_manifest_table(&manifest, 999999));
}

static void an_edit_that_is_torn_counts_once_it_is_whole(void **state)
{
    size_t before;
    uint64_t len;

    (void)state;
    copy_write(&f, 200);
    assert_ldb_ok(ldb_flush(f.db, &f.err), &f.err);
    copy_stop(&f);
    len = copy_leaders_len(&f, name);
    copy_take_file(&f, name, len - 1);
    assert_ldb_ok(read_it(), &f.err);
    assert_true(manifest.len < len - 1);
    before = manifest.table_count;
    copy_take_file(&f, name, len);
    assert_ldb_ok(read_it(), &f.err);
    assert_true(manifest.table_count > before);
    assert_is_the_folders();
}

static void damage_and_another_file_begin_it_anew(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);

    (void)state;
    copy_write(&f, 200);
    assert_ldb_ok(ldb_flush(f.db, &f.err), &f.err);
    copy_stop(&f);
    copy_leaders_file(&f, name, &bytes);
    bytes.data[bytes.len / 2] ^= 1;
    copy_put(&f, name, ldb_slice_of_buf(&bytes));
    assert_ldb_status(LDB_CORRUPTION, read_it(), &f.err);
    assert_ldb_message(name, &f.err);
    assert_int_equal(0, manifest.len);
    copy_take_file(&f, name, UINT64_MAX);
    assert_ldb_ok(read_it(), &f.err);
    assert_is_the_folders();
    copy_take_file(&f, name, 20);
    assert_ldb_status(LDB_IO, read_it(), &f.err);
    assert_int_equal(0, manifest.table_count);
    ldb_buf_release(&bytes);
}

static void without_memory_it_is_read_later(void **state)
{
    (void)state;
    copy_write(&f, 200);
    assert_ldb_ok(ldb_flush(f.db, &f.err), &f.err);
    copy_stop(&f);
    copy_take_file(&f, name, UINT64_MAX);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = read_it();
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
        assert_int_equal(0, manifest.len);
    }
    assert_is_the_folders();
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_names_the_tables_as_it_grows),
        CASE(an_edit_that_is_torn_counts_once_it_is_whole),
        CASE(damage_and_another_file_begin_it_anew),
        CASE(without_memory_it_is_read_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
