/* Digests that were made are found again, of the same bytes. */
#include "replication/copy_digests.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/copy_fixture.h"

static void those_noted_are_found(void **state)
{
    struct repl_copy_digests digests = {0};
    struct ldb_digest digest = {.bytes = {1}};

    (void)state;
    assert_false(repl_copy_digests_find(&digests, 1, 1, &digest));
    for (uint64_t n = 1; n <= 1000; n++) {
        digest.bytes[1] = (uint8_t)n;
        repl_copy_digests_note(&digests, n, 10 * n, &digest);
    }
    assert_true(repl_copy_digests_find(&digests, 300, 3000, &digest));
    assert_int_equal(300 & 255, digest.bytes[1]);
    assert_false(repl_copy_digests_find(&digests, 300, 3001, &digest));
    assert_false(repl_copy_digests_find(&digests, 1001, 10010, &digest));
    repl_copy_digests_release(&digests);
}

static void there_are_no_more_than_a_limit(void **state)
{
    struct repl_copy_digests digests = {0};
    struct ldb_digest digest = {.bytes = {1}};

    (void)state;
    for (uint64_t n = 1; n <= REPL_COPY_DIGESTS_MAX + 1; n++)
        repl_copy_digests_note(&digests, n, 1, &digest);
    assert_int_equal(1, digests.count);
    assert_true(repl_copy_digests_find(&digests, REPL_COPY_DIGESTS_MAX + 1, 1,
                                       &digest));
    repl_copy_digests_release(&digests);
}

static void one_is_that_of_all_bytes(void **state)
{
    struct ldb_digester *digester = ldb_digester_create();
    struct copy_fixture f;
    struct ldb_digest expected;
    struct ldb_digest digest;

    (void)state;
    copy_open(&f);
    assert_non_null(digester);
    ldb_digester_add(digester, ldb_slice_str("some bytes"));
    expected = ldb_digester_result(digester);
    ldb_digester_destroy(digester);
    copy_put(&f, "000009.ldb", ldb_slice_str("some bytes"));
    assert_ldb_ok(
        repl_copy_digest_make(f.files, "000009.ldb", 10, &f.err, &digest),
        &f.err);
    assert_true(ldb_digest_equal(&expected, &digest));
    assert_ldb_status(
        LDB_IO,
        repl_copy_digest_make(f.files, "000009.ldb", 11, &f.err, &digest),
        &f.err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_copy_digest_make(f.files, "000008.ldb", 10, &f.err, &digest),
        &f.err);
    copy_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_noted_are_found),
        cmocka_unit_test(there_are_no_more_than_a_limit),
        cmocka_unit_test(one_is_that_of_all_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
