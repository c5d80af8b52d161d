#include "service/token_file.h"

#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/slice.h"
#include "tests/support/assert_ldb.h"

/* printf %s one | sha256sum */
#define HASH_ONE                                                               \
    "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"

static bool is_known(struct api_token_store *store, const char *secret)
{
    struct api_tokens *tokens = api_token_store_get(store);
    bool is_known =
        tokens != NULL && api_tokens_find(tokens, ldb_slice_str(secret));

    api_tokens_unref(tokens);
    return is_known;
}

static void write_file(struct ldb_env *env, const char *path,
                       struct ldb_slice bytes)
{
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_replace_file(env, "/d", path, "/d/new", bytes, &err),
                  &err);
}

static void a_file_is_put_in_force_whole_or_not_at_all(void **state)
{
    struct api_token_store *store = api_token_store_create();
    struct ldb_env *env = NULL;
    struct ldb_error err = {0};
    size_t count = 99;

    (void)state;
    assert_ldb_ok(ldb_env_memory_create(&err, &env), &err);
    assert_ldb_ok(env->ops->create_dir(env, "/d", &err), &err);
    assert_non_null(store);
    assert_int_equal(svc_token_file_load(env, "/d/none", store, &err, &count),
                     LDB_NOT_FOUND);
    write_file(env, "/d/tokens", ldb_slice_str("one " HASH_ONE " read\n"));
    assert_ldb_ok(svc_token_file_load(env, "/d/tokens", store, &err, &count),
                  &err);
    assert_int_equal(count, 1);
    assert_true(is_known(store, "one"));
    write_file(env, "/d/tokens", ldb_slice_str("two " HASH_ONE " read\nbad\n"));
    assert_int_equal(svc_token_file_load(env, "/d/tokens", store, &err, &count),
                     LDB_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "line 2"));
    assert_true(is_known(store, "one"));
    write_file(env, "/d/tokens", ldb_slice_str(""));
    assert_ldb_ok(svc_token_file_load(env, "/d/tokens", store, &err, &count),
                  &err);
    assert_int_equal(count, 0);
    assert_false(is_known(store, "one"));
    api_token_store_destroy(store);
    ldb_env_memory_destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_put_in_force_whole_or_not_at_all),
    };

    return cmocka_run_group_tests_name("token_file", tests, NULL, NULL);
}
