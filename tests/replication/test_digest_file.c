#include "replication/digest_file.h"

#include <errno.h>

#include "storage/base/mem.h"
#include "storage/retained.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"

#define DIR "db"

struct fixture {
    struct env_fault *fault;
    struct ldb_env *env;
    uint8_t *scratch;
    unsigned looks;
    unsigned stop_at; /* of looks, from 1; 0: never */
};

static int setup(void **state)
{
    struct fixture *f = ldb_mem_zalloc(1, sizeof(*f));

    assert_non_null(f);
    f->fault = env_fault_create(NULL);
    f->env = env_fault_env(f->fault);
    f->scratch = ldb_mem_alloc(1, REPL_DIGEST_READ_SIZE);
    assert_non_null(f->scratch);
    assert_ldb_ok(f->env->ops->create_dir(f->env, DIR, NULL), NULL);
    assert_ldb_ok(f->env->ops->create_dir(f->env, DIR "/" LDB_OWN_FOLDER, NULL),
                  NULL);
    assert_ldb_ok(
        f->env->ops->create_dir(f->env, DIR "/" LDB_ARCHIVE_FOLDER, NULL),
        NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    env_fault_destroy(f->fault);
    ldb_mem_free(f->scratch);
    ldb_mem_free(f);
    return 0;
}

/* Bytes that differ along the file. */
static void put_file(struct fixture *f, const char *path, size_t len)
{
    struct ldb_buf bytes = LDB_BUF_INIT(8 << 20);
    uint8_t *at;

    assert_ldb_ok(ldb_buf_extend(&bytes, len, &at), NULL);
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(i * 7 + i / 251);
    assert_ldb_ok(ldb_env_replace_file(f->env, DIR, path, DIR "/t",
                                       ldb_slice_of_buf(&bytes), NULL),
                  NULL);
    ldb_buf_release(&bytes);
}

/* What the engine says that the first len bytes of such a file have. */
static struct ldb_digest digest_of(struct fixture *f, size_t len)
{
    struct ldb_digest digest;
    uint64_t size;

    put_file(f, DIR "/whole", len);
    assert_ldb_ok(ldb_digest_file(f->env, DIR "/whole", NULL, &digest, &size),
                  NULL);
    assert_int_equal(len, size);
    return digest;
}

static bool goes_on(void *context)
{
    struct fixture *f = context;

    return ++f->looks != f->stop_at;
}

static enum ldb_status digest(struct fixture *f, enum ldb_file_type type,
                              uint64_t number, uint64_t size,
                              struct ldb_error *err, struct ldb_digest *out)
{
    const struct repl_digest_file file = {
        .type = type, .number = number, .size = size};
    const struct repl_digest_reading reading = {
        .goes_on = goes_on, .context = f, .scratch = f->scratch};

    return repl_digest_file_read(f->env, DIR, &file, &reading, err, out);
}

static void files_of_any_length_have_the_digest_of_their_bytes(void **state)
{
    static const size_t sizes[] = {0,
                                   1,
                                   1000,
                                   REPL_DIGEST_READ_SIZE - 1,
                                   REPL_DIGEST_READ_SIZE,
                                   REPL_DIGEST_READ_SIZE + 1,
                                   3 * REPL_DIGEST_READ_SIZE};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ldb_digest wanted = digest_of(f, sizes[i]);
        struct ldb_error err = {0};
        struct ldb_digest found;

        put_file(f, DIR "/000007.ldb", sizes[i]);
        put_file(f, DIR "/000008.log", sizes[i]);
        assert_ldb_ok(digest(f, LDB_FILE_TABLE, 7, sizes[i], &err, &found),
                      &err);
        assert_true(ldb_digest_equal(&wanted, &found));
        assert_ldb_ok(digest(f, LDB_FILE_JOURNAL, 8, sizes[i], &err, &found),
                      &err);
        assert_true(ldb_digest_equal(&wanted, &found));
    }
}

static void they_are_found_wherever_they_lie(void **state)
{
    struct fixture *f = *state;
    struct ldb_digest wanted = digest_of(f, 500);
    struct ldb_error err = {0};
    struct ldb_digest found;

    put_file(f, DIR "/000007.sst", 500);
    put_file(f, DIR "/" LDB_ARCHIVE_FOLDER "/000008.log", 500);
    assert_ldb_ok(digest(f, LDB_FILE_TABLE, 7, 500, &err, &found), &err);
    assert_true(ldb_digest_equal(&wanted, &found));
    assert_ldb_ok(digest(f, LDB_FILE_JOURNAL, 8, 500, &err, &found), &err);
    assert_true(ldb_digest_equal(&wanted, &found));
    assert_ldb_status(LDB_NOT_FOUND,
                      digest(f, LDB_FILE_TABLE, 8, 500, &err, &found), &err);
    assert_ldb_message("digest of 000008.ldb: ", &err);
    assert_ldb_status(LDB_NOT_FOUND,
                      digest(f, LDB_FILE_JOURNAL, 7, 500, &err, &found), &err);
}

static void other_lengths_are_told(void **state)
{
    struct fixture *f = *state;
    struct ldb_digest wanted = digest_of(f, 499);
    struct ldb_error err = {0};
    struct ldb_digest found;

    put_file(f, DIR "/000007.ldb", 500);
    put_file(f, DIR "/000008.log", 500);
    assert_ldb_status(LDB_CORRUPTION,
                      digest(f, LDB_FILE_TABLE, 7, 499, &err, &found), &err);
    assert_string_equal("digest of 000007.ldb: it goes on behind byte 499",
                        err.message);
    assert_ldb_status(LDB_CORRUPTION,
                      digest(f, LDB_FILE_TABLE, 7, 501, &err, &found), &err);
    assert_string_equal("digest of 000007.ldb: it ends at byte 500 of 501",
                        err.message);
    assert_ldb_status(LDB_CORRUPTION,
                      digest(f, LDB_FILE_JOURNAL, 8, 501, &err, &found), &err);
    /* Behind the end of a sealed journal nothing counts. */
    assert_ldb_ok(digest(f, LDB_FILE_JOURNAL, 8, 499, &err, &found), &err);
    assert_true(ldb_digest_equal(&wanted, &found));
}

static void it_is_given_up_between_two_reads(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};
    struct ldb_digest found;

    put_file(f, DIR "/000007.ldb", 3 * REPL_DIGEST_READ_SIZE);
    f->stop_at = 2;
    assert_ldb_status(
        LDB_CANCELLED,
        digest(f, LDB_FILE_TABLE, 7, 3 * REPL_DIGEST_READ_SIZE, &err, &found),
        &err);
    assert_int_equal(2, f->looks);
}

static void failures_of_file_and_memory_are_told(void **state)
{
    struct fixture *f = *state;
    struct ldb_error err = {0};
    struct ldb_digest found;
    struct env_fault_rule rule = {.path = "000007.ldb", .sys_errno = EIO};

    put_file(f, DIR "/000007.ldb", 500);
    for (rule.nth = 1;; rule.nth++) {
        enum ldb_status s;

        env_fault_fail(f->fault, &rule);
        s = digest(f, LDB_FILE_TABLE, 7, 500, &err, &found);
        if (env_fault_failed(f->fault) == 0)
            break;
        assert_ldb_status(LDB_IO, s, &err);
        assert_ldb_message("digest of 000007.ldb: ", &err);
    }
    assert_true(rule.nth > 2);
    env_fault_fail(f->fault, NULL);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = digest(f, LDB_FILE_TABLE, 7, 500, &err, &found);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            files_of_any_length_have_the_digest_of_their_bytes, setup,
            teardown),
        cmocka_unit_test_setup_teardown(they_are_found_wherever_they_lie, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(other_lengths_are_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(it_is_given_up_between_two_reads, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(failures_of_file_and_memory_are_told,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
