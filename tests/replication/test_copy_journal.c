/* How far a journal of a copy is whole, whatever the copy has of it. */
#include "replication/copy_journal.h"

#include <string.h>

#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/copy_fixture.h"
#include "tests/support/mem_fault.h"

#define FILE_MAX ((size_t)4 << 20)

static struct copy_fixture f;
static struct repl_copy_journal journal;
static struct ldb_buf bytes; /* of the leader's file */
static char name[LDB_FILE_NAME_SIZE];
static uint64_t number;

static int setup(void **state)
{
    (void)state;
    copy_open(&f);
    copy_write(&f, 50);
    bytes = (struct ldb_buf)LDB_BUF_INIT(FILE_MAX);
    number = copy_journal(&f, 0);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    copy_leaders_file(&f, name, &bytes);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_copy_journal_release(&journal);
    ldb_buf_release(&bytes);
    copy_close(&f);
    return 0;
}

static enum ldb_status read_it(void)
{
    return repl_copy_journal_read(&journal, number, name, f.files, &f.err);
}

static void all_of_it_is_whole(void **state)
{
    struct ldb_digester *digester = ldb_digester_create();
    struct ldb_digest expected;
    struct ldb_digest digest;

    (void)state;
    assert_non_null(digester);
    ldb_digester_add(digester, ldb_slice_of_buf(&bytes));
    expected = ldb_digester_result(digester);
    ldb_digester_destroy(digester);
    copy_take_file(&f, name, UINT64_MAX);
    assert_ldb_ok(read_it(), &f.err);
    assert_int_equal(1, journal.first);
    assert_int_equal(50, journal.last);
    assert_int_equal(bytes.len, journal.len);
    assert_true(repl_copy_journal_is_whole(&journal, &digest));
    assert_true(ldb_digest_equal(&expected, &digest));
}

static void a_torn_end_is_read_once_it_has_come(void **state)
{
    struct ldb_digest digest;

    (void)state;
    for (uint64_t len = 0; len <= bytes.len; len += 97) {
        copy_take_file(&f, name, len);
        assert_ldb_ok(read_it(), &f.err);
        assert_true(journal.len <= len);
        assert_int_equal(journal.len == len,
                         repl_copy_journal_is_whole(&journal, &digest));
    }
    copy_take_file(&f, name, UINT64_MAX);
    assert_ldb_ok(read_it(), &f.err);
    assert_int_equal(50, journal.last);
    assert_true(repl_copy_journal_is_whole(&journal, &digest));
}

/* A mapped journal has them behind what was written. */
static void zeros_behind_it_are_none_of_it(void **state)
{
    static uint8_t mapped[128 << 10];
    size_t half = bytes.len / 2;
    struct ldb_digest digest;
    uint64_t end;

    (void)state;
    assert_true(bytes.len < sizeof(mapped));
    memset(mapped, 0, sizeof(mapped));
    memcpy(mapped, bytes.data, half);
    copy_put(&f, name, ldb_slice_make(mapped, sizeof(mapped)));
    assert_ldb_ok(read_it(), &f.err);
    end = journal.len;
    assert_true(end > 0 && end <= half);
    assert_false(repl_copy_journal_is_whole(&journal, &digest));
    memcpy(mapped, bytes.data, bytes.len);
    copy_put(&f, name, ldb_slice_make(mapped, sizeof(mapped)));
    assert_ldb_ok(read_it(), &f.err);
    assert_int_equal(bytes.len, journal.len);
    assert_int_equal(50, journal.last);
    /* It was cut when it was sealed. */
    copy_take_file(&f, name, UINT64_MAX);
    assert_ldb_ok(read_it(), &f.err);
    assert_true(repl_copy_journal_is_whole(&journal, &digest));
}

static void a_shorter_file_is_another_one(void **state)
{
    (void)state;
    copy_take_file(&f, name, UINT64_MAX);
    assert_ldb_ok(read_it(), &f.err);
    copy_take_file(&f, name, bytes.len / 2);
    assert_ldb_status(LDB_INVALID_ARGUMENT, read_it(), &f.err);
    assert_ldb_ok(read_it(), &f.err);
    assert_true(journal.len > 0 && journal.len <= bytes.len / 2);
    copy_remove(&f, name);
    assert_ldb_status(LDB_NOT_FOUND, read_it(), &f.err);
}

static void the_first_bytes_tell_the_first_sequence(void **state)
{
    uint8_t *p = bytes.data;

    (void)state;
    assert_int_equal(1, repl_copy_journal_first(ldb_slice_of_buf(&bytes)));
    assert_int_equal(
        1, repl_copy_journal_first(ldb_slice_make(p, REPL_COPY_JOURNAL_BEGIN)));
    assert_int_equal(0, repl_copy_journal_first(
                            ldb_slice_make(p, REPL_COPY_JOURNAL_BEGIN - 5)));
    assert_int_equal(0, repl_copy_journal_first((struct ldb_slice){0}));
    p[13] = 0xff; /* of the sequence, above what one can be */
    p[14] = 0xff;
    assert_int_equal(0, repl_copy_journal_first(ldb_slice_of_buf(&bytes)));
    memset(p, 0, REPL_COPY_JOURNAL_BEGIN);
    assert_int_equal(0, repl_copy_journal_first(ldb_slice_of_buf(&bytes)));
}

static void without_memory_it_is_read_later(void **state)
{
    struct ldb_digest digest;

    (void)state;
    copy_take_file(&f, name, UINT64_MAX);
    copy_stop(&f); /* its threads are not to fail */
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = read_it();
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
        assert_ldb_ok(read_it(), &f.err);
        assert_true(repl_copy_journal_is_whole(&journal, &digest));
        repl_copy_journal_release(&journal);
    }
    assert_true(repl_copy_journal_is_whole(&journal, &digest));
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_of_it_is_whole),
        CASE(a_torn_end_is_read_once_it_has_come),
        CASE(zeros_behind_it_are_none_of_it),
        CASE(a_shorter_file_is_another_one),
        CASE(the_first_bytes_tell_the_first_sequence),
        CASE(without_memory_it_is_read_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
