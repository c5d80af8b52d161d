#include "api/tokens.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/slice.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

/* printf %s one | sha256sum, and so on. */
#define HASH_ONE                                                               \
    "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
#define HASH_TWO                                                               \
    "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"

static struct api_tokens *parse(const char *text)
{
    struct api_tokens *tokens = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(api_tokens_parse(ldb_slice_str(text), &err, &tokens), &err);
    return tokens;
}

static void a_token_is_found_by_its_secret(void **state)
{
    struct api_tokens *tokens =
        parse("# who may\n"
              "\n"
              "ops\t" HASH_ONE "  read,write,admin,replicate\r\n"
              "  app " HASH_TWO " read prefix=app%2f%00%ff \n");
    const struct api_token *token;

    (void)state;
    assert_int_equal(api_tokens_count(tokens), 2);
    token = api_tokens_find(tokens, ldb_slice_str("one"));
    assert_non_null(token);
    assert_ldb_slice(token->name, ldb_slice_str("ops"));
    assert_int_equal(token->scopes, API_SCOPE_READ | API_SCOPE_WRITE |
                                        API_SCOPE_ADMIN | API_SCOPE_REPLICATE);
    assert_false(token->has_prefix);
    token = api_tokens_find(tokens, ldb_slice_str("two"));
    assert_non_null(token);
    assert_int_equal(token->scopes, API_SCOPE_READ);
    assert_true(token->has_prefix);
    assert_ldb_slice(token->prefix, ldb_slice_make("app/\0\xff", 6));
    assert_null(api_tokens_find(tokens, ldb_slice_str("three")));
    assert_null(api_tokens_find(tokens, ldb_slice_str("")));
    assert_null(api_tokens_find(tokens, ldb_slice_str(HASH_ONE)));
    api_tokens_unref(tokens);
}

static void upper_case_digits_and_an_empty_prefix_are_fine(void **state)
{
    struct api_tokens *tokens =
        parse("a 7692C3AD3540BB803C020B3AEE66CD8887123234EA0C6E7143C0ADD73FF431"
              "ED write prefix=");
    const struct api_token *token;

    (void)state;
    token = api_tokens_find(tokens, ldb_slice_str("one"));
    assert_non_null(token);
    assert_true(token->has_prefix);
    assert_int_equal(token->prefix.len, 0);
    api_tokens_unref(tokens);
}

static void no_token_at_all_is_a_set_too(void **state)
{
    struct api_tokens *tokens = parse("# nobody\n");

    (void)state;
    assert_int_equal(api_tokens_count(tokens), 0);
    assert_null(api_tokens_find(tokens, ldb_slice_str("one")));
    api_tokens_unref(tokens);
    api_tokens_unref(NULL);
}

static void a_bad_line_is_named(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"a", "line 1: NAME SHA256"},
        {"\n\na " HASH_ONE, "line 3: NAME SHA256"},
        {"a " HASH_ONE " read prefix=a b", "line 1: NAME SHA256"},
        {"a one read", "line 1: the second word"},
        {"a " HASH_ONE "0 read", "line 1: the second word"},
        {"a x692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed "
         "read",
         "line 1: the second word"},
        {"a " HASH_ONE " all", "line 1: scopes are"},
        {"a " HASH_ONE " read,", "line 1: scopes are"},
        {"a " HASH_ONE " ,read", "line 1: scopes are"},
        {"a " HASH_ONE " READ", "line 1: scopes are"},
        {"a " HASH_ONE " read prefx=a", "line 1: the fourth word"},
        {"a " HASH_ONE " read prefix=%zz", "line 1: the prefix is"},
        {"a " HASH_ONE " read,admin prefix=a", "line 1: a prefix goes"},
        {"a " HASH_ONE " replicate prefix=a", "line 1: a prefix goes"},
        {"a " HASH_ONE " read\na " HASH_TWO " read\n", "line 2: a name"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_tokens *tokens = NULL;
        struct ldb_error err = {0};

        if (api_tokens_parse(ldb_slice_str(rows[i].text), &err, &tokens) !=
                LDB_INVALID_ARGUMENT ||
            strstr(err.message, rows[i].message) == NULL)
            fail_msg("%s: %s", rows[i].text, err.message);
        /* Never what it said. */
        assert_null(strstr(err.message, "7692c3"));
    }
}

static void a_set_has_a_limit(void **state)
{
    struct ldb_buf text = LDB_BUF_INIT((size_t)1 << 20);
    struct api_tokens *tokens = NULL;
    struct ldb_error err = {0};

    (void)state;
    for (unsigned i = 0; i < API_TOKENS_MAX; i++)
        assert_ldb_ok(ldb_buf_printf(&text, "t%u " HASH_ONE " read\n", i),
                      NULL);
    assert_ldb_ok(api_tokens_parse(ldb_slice_of_buf(&text), &err, &tokens),
                  &err);
    assert_int_equal(api_tokens_count(tokens), API_TOKENS_MAX);
    api_tokens_unref(tokens);
    assert_ldb_ok(ldb_buf_printf(&text, "more " HASH_ONE " read\n"), NULL);
    assert_int_equal(api_tokens_parse(ldb_slice_of_buf(&text), &err, &tokens),
                     LDB_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "line 1001"));
    ldb_buf_release(&text);
}

static void a_store_gives_the_last_set_and_holds_the_others(void **state)
{
    struct api_token_store *store = api_token_store_create();
    struct api_tokens *first;

    (void)state;
    assert_non_null(store);
    assert_null(api_token_store_get(store));
    api_token_store_set(store, parse("a " HASH_ONE " read"));
    first = api_token_store_get(store);
    api_token_store_set(store, parse("b " HASH_TWO " read"));
    assert_non_null(api_tokens_find(first, ldb_slice_str("one")));
    api_tokens_unref(first);
    first = api_token_store_get(store);
    assert_null(api_tokens_find(first, ldb_slice_str("one")));
    assert_non_null(api_tokens_find(first, ldb_slice_str("two")));
    api_tokens_unref(first);
    api_token_store_destroy(store);
    api_token_store_destroy(NULL);
}

static void a_failed_allocation_is_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct api_tokens *tokens = NULL;
        struct ldb_error err = {0};
        enum ldb_status s;
        bool failed;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = api_tokens_parse(
            ldb_slice_str("a " HASH_ONE " read prefix=a%20b\n"), &err, &tokens);
        failed = mem_fault_stop();
        assert_int_equal(s, failed ? LDB_NO_MEMORY : LDB_OK);
        if (!failed) {
            api_tokens_unref(tokens);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_found_by_its_secret),
        cmocka_unit_test(upper_case_digits_and_an_empty_prefix_are_fine),
        cmocka_unit_test(no_token_at_all_is_a_set_too),
        cmocka_unit_test(a_bad_line_is_named),
        cmocka_unit_test(a_set_has_a_limit),
        cmocka_unit_test(a_store_gives_the_last_set_and_holds_the_others),
        cmocka_unit_test(a_failed_allocation_is_no_memory),
    };

    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
