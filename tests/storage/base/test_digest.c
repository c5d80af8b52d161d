#include "storage/base/digest.h"

#include <errno.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"

#define LEN ((size_t)200000)

static struct ldb_slice slice_of(const struct ldb_digest *digest)
{
    return ldb_slice_make(digest->bytes, LDB_DIGEST_SIZE);
}

static struct ldb_digest digest_of(struct ldb_slice bytes, size_t cut)
{
    struct ldb_digester *digester = ldb_digester_create();
    struct ldb_digest digest;

    assert_non_null(digester);
    for (size_t at = 0; at < bytes.len; at += cut)
        ldb_digester_add(digester,
                         ldb_slice_make(bytes.data + at, cut < bytes.len - at
                                                             ? cut
                                                             : bytes.len - at));
    digest = ldb_digester_result(digester);
    ldb_digester_destroy(digester);
    return digest;
}

/* XXH3-128's published values of no bytes and of "abc", seed 0. */
static void the_form_is_canonical(void **state)
{
    struct ldb_digest none = digest_of((struct ldb_slice){0}, 1);
    struct ldb_digest abc = digest_of(ldb_slice_str("abc"), 3);

    (void)state;
    assert_ldb_hex("99aa06d3014798d8 6001c324468d497f", slice_of(&none));
    assert_ldb_hex("06b05ab6733a6185 78af5f94892f3950", slice_of(&abc));
}

static void pieces_do_not_matter_and_every_bit_does(void **state)
{
    static uint8_t bytes[LEN];
    uint64_t seed = 1;
    struct ldb_digest whole;
    struct ldb_digest cut;

    (void)state;
    bytes_fill(&seed, bytes, LEN);
    whole = digest_of(ldb_slice_make(bytes, LEN), LEN);
    cut = digest_of(ldb_slice_make(bytes, LEN), 777);
    assert_true(ldb_digest_equal(&whole, &cut));
    bytes[LEN - 1] ^= 1;
    cut = digest_of(ldb_slice_make(bytes, LEN), LEN);
    assert_false(ldb_digest_equal(&whole, &cut));
}

static void a_files_digest_is_that_of_its_bytes(void **state)
{
    static uint8_t bytes[LEN];
    struct env_fault *fault = env_fault_create(NULL);
    struct ldb_env *env = env_fault_env(fault);
    const struct env_fault_rule rule = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_READ), .nth = 2, .sys_errno = EIO};
    struct ldb_writable_file *file = NULL;
    struct ldb_error err = {0};
    struct ldb_digest expected;
    struct ldb_digest digest;
    uint64_t seed = 2;
    uint64_t size = 0;

    (void)state;
    bytes_fill(&seed, bytes, LEN);
    expected = digest_of(ldb_slice_make(bytes, LEN), LEN);
    assert_ldb_ok(
        env->ops->open_writable(env, "/f", LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_make(bytes, LEN), &err),
                  &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    assert_ldb_ok(ldb_digest_file(env, "/f", &err, &digest, &size), &err);
    assert_int_equal(size, LEN);
    assert_true(ldb_digest_equal(&expected, &digest));
    assert_ldb_status(LDB_NOT_FOUND,
                      ldb_digest_file(env, "/g", &err, &digest, &size), &err);
    env_fault_fail(fault, &rule);
    assert_ldb_status(LDB_IO, ldb_digest_file(env, "/f", &err, &digest, &size),
                      &err);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_digest_file(env, "/f", &err, &digest, &size);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
    env_fault_destroy(fault);
}

static void put_file(struct ldb_env *env, const char *path, const char *text)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(
        env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str(text), &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
}

static void files_are_the_same_by_their_bytes(void **state)
{
    struct env_fault *fault = env_fault_create(NULL);
    struct ldb_env *env = env_fault_env(fault);
    struct ldb_error err = {0};
    bool is_same = false;

    (void)state;
    put_file(env, "/a", "bytes");
    put_file(env, "/b", "bytes");
    put_file(env, "/c", "bites");
    put_file(env, "/d", "bytes, more");
    assert_ldb_ok(ldb_digest_compare_files(env, "/a", "/b", &err, &is_same),
                  &err);
    assert_true(is_same);
    assert_ldb_ok(ldb_digest_compare_files(env, "/a", "/c", &err, &is_same),
                  &err);
    assert_false(is_same);
    assert_ldb_ok(ldb_digest_compare_files(env, "/d", "/a", &err, &is_same),
                  &err);
    assert_false(is_same);
    is_same = true;
    assert_ldb_status(
        LDB_NOT_FOUND,
        ldb_digest_compare_files(env, "/a", "/none", &err, &is_same), &err);
    assert_true(is_same);
    env_fault_destroy(fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form_is_canonical),
        cmocka_unit_test(pieces_do_not_matter_and_every_bit_does),
        cmocka_unit_test(a_files_digest_is_that_of_its_bytes),
        cmocka_unit_test(files_are_the_same_by_their_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
