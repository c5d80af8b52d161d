/* Who may be asked for what is a leader's, and what failures mean. */
#include "api/replication.h"

#include <string.h>

#include "api/problem.h"
#include "api/response.h"
#include "api/role.h"
#include "api/router.h"
#include "api/tokens.h"
#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"

static const char *const paths[] = {
    "/v1/replication/state",
    "/v1/replication/files/000004.log",
    "/v1/replication/followers",
};

static void expect(struct api_leader *l, unsigned status, const char *type)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct fake_answer answer =
            api_call(&l->f, "GET", paths[i], NULL, NULL);

        print_message("%s\n", paths[i]);
        assert_problem(&answer, status, type);
        fake_answer_release(&answer);
    }
}

static void a_node_that_does_not_lead_says_who_does(void **state)
{
    struct api_leader *l = *state;

    l->f.context.leader = NULL;
    api_role_set(l->f.context.role, REPL_ROLE_FOLLOWER, "");
    expect(l, 503, "no-leader");
    api_role_set(l->f.context.role, REPL_ROLE_FOLLOWER, "http://leader:8080");
    expect(l, 421, "not-leader");
    l->f.context.read_only = true;
    expect(l, 409, "read-only");
}

static void failures_have_their_meaning(void **state)
{
    static const struct {
        enum ldb_status status;
        unsigned http;
        const char *type;
    } rows[] = {
        {LDB_NOT_FOUND, 404, "not-found"}, {LDB_PRECONDITION, 409, "conflict"},
        {LDB_GONE, 410, "expired"},        {LDB_STALLED, 503, "overloaded"},
        {LDB_CLOSED, 503, "overloaded"},   {LDB_CORRUPTION, 500, "corruption"},
        {LDB_IO, 500, "internal"},
    };
    struct api_leader *l = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct fake_request request = {.method = "GET", .target = "/"};
        struct fake_exchange *fake =
            fake_exchange_create(&l->f.context, &request);
        struct api_exchange *x = fake_exchange_get(fake);

        print_message("%s\n", ldb_status_text(rows[i].status));
        api_replication_answer_status(x, rows[i].status, NULL);
        assert_int_equal(x->response.status, rows[i].http);
        assert_string_equal(x->response.content_type, API_TYPE_PROBLEM);
        fake_exchange_destroy(fake);
    }
}

static void its_scope_is_a_scope_of_its_own(void **state)
{
    struct api_leader *l = *state;
    size_t count;
    const struct api_route *routes = api_routes(&count);
    unsigned found = 0;

    (void)l;
    for (size_t i = 0; i < count; i++) {
        bool is_removal = routes[i].methods == API_METHOD_BIT(API_DELETE);
        /* What was kept aside is there while a rebuild goes on, too, and so
         * is what the node knows. */
        bool is_there =
            strncmp(routes[i].path, "/v1/replication/diverged", 24) == 0 ||
            strcmp(routes[i].path, "/v1/replication/state") == 0;

        if (strncmp(routes[i].path, "/v1/replication/", 16) != 0 &&
            strcmp(routes[i].path, "/v1/digest") != 0)
            continue;
        found++;
        assert_int_equal(routes[i].database, !is_there);
        assert_int_equal(routes[i].scope,
                         is_removal ? API_SCOPE_ADMIN : API_SCOPE_REPLICATE);
    }
    assert_true(found >= 7);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, api_leader_setup, api_leader_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_node_that_does_not_lead_says_who_does),
        TEST(failures_have_their_meaning),
        TEST(its_scope_is_a_scope_of_its_own),
    };

    return cmocka_run_group_tests_name("replication", tests, NULL, NULL);
}
