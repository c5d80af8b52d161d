/* The followers as an operator sees them. */
#include "api/followers.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define PATH "/v1/replication/followers"

static json_t *list(struct api_leader *l)
{
    struct fake_answer answer = api_call(&l->f, "GET", PATH, NULL, NULL);
    json_t *items;
    json_t *root;

    assert_answer(&answer, 200);
    root = answer_json(&answer);
    fake_answer_release(&answer);
    items = json_incref(json_object_get(root, "items"));
    json_decref(root);
    assert_true(json_is_array(items));
    return items;
}

static long long number_at(const json_t *root, const char *path)
{
    return json_integer_value(json_at(root, path));
}

static void without_followers_the_list_is_empty(void **state)
{
    json_t *items = list(*state);

    assert_int_equal(json_array_size(items), 0);
    json_decref(items);
}

static void one_says_where_it_stands(void **state)
{
    struct api_leader *l = *state;
    const json_t *item;
    json_t *items;

    (void)leader_fixture_put(&l->leader, "a", "1");
    api_leader_ack(l);
    (void)leader_fixture_put(&l->leader, "b", "1");
    items = list(l);
    assert_int_equal(json_array_size(items), 1);
    item = json_array_get(items, 0);
    assert_string_equal(json_string_value(json_at(item, "node_id")),
                        API_LEADER_FOLLOWER);
    assert_string_equal(json_string_value(json_at(item, "url")),
                        "http://follower:8080");
    assert_string_equal(json_string_value(json_at(item, "state")), "streaming");
    assert_true(json_is_true(json_at(item, "alive")));
    assert_true(json_is_false(json_at(item, "lost")));
    assert_int_equal(number_at(item, "synced.sequence"), 1);
    assert_int_equal(number_at(item, "applied.sequence"), 1);
    assert_int_equal(number_at(item, "written.journal"),
                     leader_fixture_journal(&l->leader));
    assert_int_equal(number_at(item, "journal"),
                     leader_fixture_journal(&l->leader));
    assert_int_equal(number_at(item, "lag.sequences"), 1);
    assert_true(number_at(item, "lag.bytes") > 0);
    (void)json_at(item, "lag.us");
    (void)json_at(item, "heard_us_ago");
    (void)json_at(item, "kept_bytes");
    (void)json_at(item, "manifest.number");
    (void)json_at(item, "manifest.bytes");
    (void)json_at(item, "tables.built");
    (void)json_at(item, "tables.fetched");
    (void)json_at(item, "tables.mismatched");
    json_decref(items);
}

static void after_a_restart_it_is_known_by_name(void **state)
{
    struct api_leader *l = *state;
    const json_t *item;
    json_t *items;

    (void)leader_fixture_put(&l->leader, "a", "1");
    api_leader_ack(l);
    leader_fixture_tick(&l->leader);
    leader_fixture_stop(&l->leader);
    leader_fixture_start(&l->leader);
    l->f.db = l->leader.db;
    l->f.context.db = l->leader.db;
    l->f.context.leader = l->leader.leader;
    l->f.context.digests = l->leader.digests;
    items = list(l);
    assert_int_equal(json_array_size(items), 1);
    item = json_array_get(items, 0);
    assert_string_equal(json_string_value(json_at(item, "node_id")),
                        API_LEADER_FOLLOWER);
    assert_true(json_is_false(json_at(item, "alive")));
    assert_null(json_object_get(item, "state"));
    assert_null(json_object_get(item, "lag"));
    json_decref(items);
}

/* More than are copied at a time. */
static void many_are_listed_by_their_ids(void **state)
{
    struct api_leader *l = *state;
    struct ldb_position durable = ldb_durable_position(l->f.db);
    json_t *items;

    for (unsigned i = 0; i < 40; i++) {
        struct repl_ack ack = {.epoch = 3,
                               .epoch_id = 0xabcdef,
                               .written.journal = durable.journal,
                               .synced.journal = durable.journal,
                               .applied.journal = durable.journal,
                               .state = "streaming"};
        bool is_lost;

        (void)snprintf(ack.node_id, sizeof(ack.node_id), "%032x", 39 - i);
        assert_ldb_ok(repl_slots_ack(repl_leader_slots(l->leader.leader), &ack,
                                     NULL, &is_lost),
                      NULL);
    }
    items = list(l);
    assert_int_equal(json_array_size(items), 40);
    for (unsigned i = 0; i < 40; i++) {
        char id[REPL_ID_SIZE];

        (void)snprintf(id, sizeof(id), "%032x", i);
        assert_string_equal(
            json_string_value(json_at(json_array_get(items, i), "node_id")),
            id);
    }
    json_decref(items);
}

static void one_that_will_not_come_back_is_removed(void **state)
{
    struct api_leader *l = *state;
    static const char *const others[] = {
        PATH "/",
        PATH "/x",
        PATH "/%zz",
        PATH "/ffffffffffffffffffffffffffffffff",
        PATH "/" API_LEADER_FOLLOWER "0",
    };
    struct fake_answer answer;
    json_t *items;

    (void)leader_fixture_put(&l->leader, "a", "1");
    api_leader_ack(l);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        answer = api_call(&l->f, "DELETE", others[i], NULL, NULL);
        print_message("%s\n", others[i]);
        assert_problem(&answer, 404, "not-found");
        fake_answer_release(&answer);
    }
    answer =
        api_call(&l->f, "DELETE", PATH "/" API_LEADER_FOLLOWER, NULL, NULL);
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    items = list(l);
    assert_int_equal(json_array_size(items), 0);
    json_decref(items);
}

static void each_allocation_may_fail(void **state)
{
    struct api_leader *l = *state;

    (void)leader_fixture_put(&l->leader, "a", "1");
    api_leader_ack(l);
    for (uint64_t n = 1;; n++) {
        struct fake_answer answer;

        mem_fault_start(n, MEM_FAULT_ONCE);
        answer = api_call(&l->f, "GET", PATH, NULL, NULL);
        if (!mem_fault_stop()) {
            assert_answer(&answer, 200);
            fake_answer_release(&answer);
            break;
        }
        assert_problem(&answer, 503, "overloaded");
        fake_answer_release(&answer);
    }
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, api_leader_setup, api_leader_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_followers_the_list_is_empty),
        TEST(one_says_where_it_stands),
        TEST(after_a_restart_it_is_known_by_name),
        TEST(many_are_listed_by_their_ids),
        TEST(one_that_will_not_come_back_is_removed),
        TEST(each_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("followers", tests, NULL, NULL);
}
