/* The digest of a version over HTTP. */
#include "api/digest.h"

#include <string.h>

#include "api/role.h"
#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"

static json_t *find(struct api_leader *l)
{
    struct fake_answer answer =
        api_call(&l->f, "GET", "/v1/digest", NULL, NULL);
    json_t *root;

    assert_answer(&answer, 200);
    root = answer_json(&answer);
    fake_answer_release(&answer);
    return root;
}

static void it_names_the_version_and_its_digest(void **state)
{
    struct api_leader *l = *state;
    struct ldb_stats stats;
    json_t *root;
    const char *digest;

    for (unsigned i = 0; i < 3; i++)
        (void)leader_fixture_flush_one(&l->leader, "a");
    root = find(l);
    ldb_stats(l->f.db, &stats);
    assert_int_equal(json_integer_value(json_at(root, "epoch")), 3);
    assert_int_equal(json_integer_value(json_at(root, "manifest")),
                     stats.manifest_number);
    assert_int_equal(json_integer_value(json_at(root, "manifest_bytes")),
                     stats.manifest_bytes);
    assert_int_equal(json_integer_value(json_at(root, "sequence")), 3);
    assert_int_equal(json_integer_value(json_at(root, "tables")), 3);
    digest = json_string_value(json_at(root, "digest"));
    assert_int_equal(strlen(digest), 32);
    assert_int_equal(strspn(digest, "0123456789abcdef"), 32);
    json_decref(root);
}

static void it_is_the_same_until_the_version_changes(void **state)
{
    struct api_leader *l = *state;
    json_t *first;
    json_t *second;
    json_t *third;

    (void)leader_fixture_flush_one(&l->leader, "a");
    first = find(l);
    second = find(l);
    assert_true(json_equal(first, second));
    (void)leader_fixture_flush_one(&l->leader, "a");
    third = find(l);
    assert_string_not_equal(json_string_value(json_at(first, "digest")),
                            json_string_value(json_at(third, "digest")));
    json_decref(first);
    json_decref(second);
    json_decref(third);
}

static void a_follower_has_one_too(void **state)
{
    struct api_leader *l = *state;
    json_t *root;

    l->f.context.leader = NULL;
    api_role_set(l->f.context.role, REPL_ROLE_FOLLOWER, "http://leader:8080");
    root = find(l);
    json_decref(root);
}

static void a_folder_that_is_served_read_only_has_none(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer;

    l->f.context.digests = NULL;
    answer = api_call(&l->f, "GET", "/v1/digest", NULL, NULL);
    assert_problem(&answer, 409, "read-only");
    fake_answer_release(&answer);
}

static void it_takes_no_parameters(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer =
        api_call(&l->f, "GET", "/v1/digest?a=b", NULL, NULL);

    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
}

static void who_leaves_while_it_is_found_out_holds_nothing(void **state)
{
    struct api_leader *l = *state;
    const struct fake_request request = {
        .method = "GET", .target = "/v1/digest", .leaves = true};
    struct fake_answer answer;

    (void)leader_fixture_flush_one(&l->leader, "a");
    /* Unless the digest was there at once. */
    fake_run(&l->f.context, &request, &answer);
    fake_answer_release(&answer);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, api_leader_setup, api_leader_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_names_the_version_and_its_digest),
        TEST(it_is_the_same_until_the_version_changes),
        TEST(a_follower_has_one_too),
        TEST(a_folder_that_is_served_read_only_has_none),
        TEST(it_takes_no_parameters),
        TEST(who_leaves_while_it_is_found_out_holds_nothing),
    };

    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
