/* The small files of a copy, whole, in part, or not there. */
#include "replication/copy_files.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/copy_fixture.h"

static struct copy_fixture f;

static int setup(void **state)
{
    (void)state;
    copy_open(&f);
    copy_write(&f, 10);
    copy_take(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    copy_close(&f);
    return 0;
}

static enum ldb_status read_who(void)
{
    struct repl_identity identity = {0};
    struct repl_epoch_history history = {0};
    enum ldb_status s =
        repl_copy_read_who(f.files, &f.err, &identity, &history);

    if (s == LDB_OK) {
        assert_string_equal(f.node.identity.cluster_id, identity.cluster_id);
        assert_int_equal(f.node.history.count, history.count);
        assert_int_equal(f.epoch.id, repl_epoch_history_last(&history)->id);
    }
    repl_epoch_history_release(&history);
    return s;
}

static void a_copy_tells_whose_it_is(void **state)
{
    (void)state;
    assert_ldb_ok(read_who(), &f.err);
    copy_restart(&f);
    copy_take(&f);
    assert_ldb_ok(read_who(), &f.err);
}

static void a_part_of_it_tells_nothing(void **state)
{
    static const char *const names[] = {"leveld/identity", "leveld/epochs"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        copy_take_file(&f, names[i], copy_leaders_len(&f, names[i]) - 1);
        assert_ldb_status(LDB_CORRUPTION, read_who(), &f.err);
        copy_remove(&f, names[i]);
        assert_ldb_status(LDB_NOT_FOUND, read_who(), &f.err);
        assert_ldb_message(names[i], &f.err);
        copy_take_file(&f, names[i], UINT64_MAX);
    }
}

static void digests_may_lack(void **state)
{
    struct repl_digest_record record = {
        .file = {.type = LDB_FILE_TABLE, .number = 7, .size = 8},
        .digest = {.bytes = {1, 2, 3}}};
    struct repl_digest_list stored = {.items = &record, .count = 1};
    struct repl_digest_list list = {0};

    (void)state;
    assert_ldb_ok(repl_copy_read_digests(f.files, &f.err, &list), &f.err);
    assert_int_equal(0, list.count);
    assert_ldb_ok(
        repl_digest_store_save(f.env, COPY_LEADER_DIR, &stored, 1, &f.err),
        &f.err);
    copy_take(&f);
    assert_ldb_ok(repl_copy_read_digests(f.files, &f.err, &list), &f.err);
    assert_int_equal(1, list.count);
    assert_int_equal(7, list.items[0].file.number);
    assert_true(ldb_digest_equal(&record.digest, &list.items[0].digest));
    repl_digest_list_release(&list);
}

static void current_names_a_manifest(void **state)
{
    static const struct {
        const char *text;
        bool names_one;
    } rows[] = {
        {"MANIFEST-000123\n", true},
        {"MANIFEST-000123", false},
        {"", false},
        {"\n", false},
        {"000123.ldb\n", false},
        {"MANIFEST-123\n", false},
        {"MANIFEST-000123\nMANIFEST-000124\nMANIFEST-000125\nMANIFEST-000126\n",
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t number = 0;
        enum ldb_status s;

        copy_put(&f, "CURRENT", ldb_slice_str(rows[i].text));
        s = repl_copy_read_current(f.files, &f.err, &number);
        assert_ldb_status(rows[i].names_one ? LDB_OK : LDB_CORRUPTION, s,
                          &f.err);
        assert_true(!rows[i].names_one || number == 123);
    }
}

static void so_many_bytes_are_read_as_are_wanted(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(100);

    (void)state;
    copy_put(&f, "CURRENT", ldb_slice_str("0123456789"));
    assert_ldb_ok(repl_copy_read(f.files, "CURRENT", 4, &f.err, &bytes),
                  &f.err);
    assert_ldb_bytes("0123", ldb_slice_of_buf(&bytes));
    assert_ldb_ok(repl_copy_read(f.files, "CURRENT", 0, &f.err, &bytes),
                  &f.err);
    assert_ldb_bytes("0123456789", ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_copy_tells_whose_it_is),
        CASE(a_part_of_it_tells_nothing),
        CASE(digests_may_lack),
        CASE(current_names_a_manifest),
        CASE(so_many_bytes_are_read_as_are_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
