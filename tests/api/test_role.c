/* What a node is now, and how it says that it does not lead. */
#include "api/role.h"

#include <string.h>

#include "api/context.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static void it_begins_as_a_leader(void **state)
{
    struct api_role *role = api_role_create();
    char url[REPL_URL_SIZE];

    (void)state;
    assert_int_equal(api_role_get(role), REPL_ROLE_LEADER);
    assert_string_equal(api_role_text(role), "leader");
    api_role_leader_url(role, url);
    assert_string_equal(url, "");
    api_role_destroy(role);
}

static void a_follower_knows_its_leader(void **state)
{
    struct api_role *role = api_role_create();
    char url[REPL_URL_SIZE];

    (void)state;
    api_role_set(role, REPL_ROLE_FOLLOWER, "http://one:8080");
    assert_int_equal(api_role_get(role), REPL_ROLE_FOLLOWER);
    assert_string_equal(api_role_text(role), "follower");
    api_role_leader_url(role, url);
    assert_string_equal(url, "http://one:8080");
    /* Who leads follows nobody. */
    api_role_set(role, REPL_ROLE_LEADER, "http://one:8080");
    api_role_leader_url(role, url);
    assert_string_equal(url, "");
    api_role_destroy(role);
}

static void without_memory_there_is_none(void **state)
{
    struct api_role *role;

    (void)state;
    mem_fault_start(1, MEM_FAULT_ONCE);
    role = api_role_create();
    assert_true(mem_fault_stop());
    assert_null(role);
    api_role_destroy(role);
}

/* The answers, through an exchange that is begun and not routed. */
static void check_answer(struct api_fixture *f, const char *leader,
                         unsigned status, const char *type)
{
    const struct fake_request request = {.method = "PUT", .target = "/v1/kv/a"};
    struct fake_exchange *fake = fake_exchange_create(&f->context, &request);
    struct api_exchange *x = fake_exchange_get(fake);

    api_answer_not_leader(x, leader);
    assert_int_equal(x->response.status, status);
    assert_non_null(memmem(x->response.body.data, x->response.body.len, type,
                           strlen(type)));
    fake_exchange_destroy(fake);
}

static void who_does_not_lead_names_the_leader(void **state)
{
    struct api_fixture *f = *state;

    check_answer(f, "http://one:8080", 421, "\"leader\":\"http://one:8080\"");
    check_answer(f, "http://one:8080", 421, "/problems/not-leader");
    check_answer(f, "", 503, "/problems/no-leader");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_as_a_leader),
        cmocka_unit_test(a_follower_knows_its_leader),
        cmocka_unit_test(without_memory_there_is_none),
        cmocka_unit_test_setup_teardown(who_does_not_lead_names_the_leader,
                                        api_fixture_setup,
                                        api_fixture_teardown),
    };

    return cmocka_run_group_tests_name("role", tests, NULL, NULL);
}
