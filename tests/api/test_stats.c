#include "api/stats.h"

#include <string.h>

#include "tests/support/api_following.h"
#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"

static json_t *stats_of(struct api_fixture *f)
{
    struct fake_answer answer = api_call(f, "GET", "/stats", NULL, NULL);
    json_t *body;

    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "application/json");
    body = answer_json(&answer);
    fake_answer_release(&answer);
    return body;
}

static void the_node_says_who_it_is(void **state)
{
    struct api_fixture *f = *state;
    json_t *body;

    (void)api_put(f, "/v1/kv/a", "1");
    body = stats_of(f);
    assert_string_equal(json_string_value(json_at(body, "version")), "1.2.3");
    assert_string_equal(json_string_value(json_at(body, "commit")), "abcdef");
    assert_string_equal(json_string_value(json_at(body, "role")), "leader");
    assert_string_equal(json_string_value(json_at(body, "cluster_id")),
                        "cluster");
    assert_string_equal(json_string_value(json_at(body, "node_id")), "node");
    assert_int_equal(json_integer_value(json_at(body, "epoch")), 7);
    assert_int_equal(json_integer_value(json_at(body, "sequence")), 1);
    assert_true(json_is_number(json_at(body, "uptime_seconds")));
    assert_true(json_is_false(json_at(body, "read_only")));
    assert_true(json_is_true(json_at(body, "ready")));
    json_decref(body);
}

static void every_documented_figure_is_there(void **state)
{
    static const char *const paths[] = {
        "limits.key_bytes",
        "limits.value_bytes",
        "limits.batch_bytes",
        "limits.json_batch_bytes",
        "limits.multiget_bytes",
        "limits.range_items_default",
        "limits.range_items_max",
        "limits.snapshots",
        "limits.backups",
        "limits.page_bytes",
        "limits.delete_range_keys",
        "engine.manifest.bytes",
        "engine.journal.synced_bytes",
        "engine.journal.syncs",
        "engine.memtable.bytes",
        "engine.memtable.immutable_count",
        "engine.writes.groups",
        "engine.reads.gets",
        "engine.compaction.write_amplification",
        "engine.compaction.running",
        "engine.compaction.pending_bytes",
        "engine.compaction.merged_bytes_per_second",
        "engine.compaction.pending_seconds",
        "engine.stalls.level0_slowdown.us",
        "engine.stalls.pending_slowdown.count",
        "engine.stalls.memtables_stop.us",
        "engine.stalls.level0_stop.count",
        "engine.stalls.slowdown_us",
        "engine.stalls.queue_bytes",
        "engine.caches.block.hit_rate",
        "engine.caches.block.capacity_bytes",
        "engine.caches.table.open",
        "admin.tasks_running",
        "admin.tasks_failed",
        "admin.backups_running",
        "admin.backup_bytes",
        "admin.waiting_requests",
        "disk.table_bytes",
        "disk.free_bytes",
        "disk.reserve_bytes",
    };
    json_t *body = stats_of(*state);

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_true(json_is_number(json_at(body, paths[i])));
    assert_true(json_is_boolean(json_at(body, "engine.stalls.stopped")));
    assert_int_equal(json_array_size(json_at(body, "engine.levels")),
                     LDB_STATS_LEVELS);
    assert_null(json_object_get(body, "process"));
    json_decref(body);
}

static void requests_are_counted_by_route(void **state)
{
    struct api_fixture *f = *state;
    const json_t *requests;
    bool found = false;
    json_t *body;

    (void)api_put(f, "/v1/kv/a", "1");
    (void)api_put(f, "/v1/kv/b", "1");
    body = stats_of(f);
    requests = json_at(body, "requests");
    for (size_t i = 0; i < json_array_size(requests); i++) {
        const json_t *route = json_array_get(requests, i);

        if (strcmp(json_string_value(json_at(route, "route")),
                   "PUT /v1/kv/{key}") != 0)
            continue;
        found = true;
        assert_int_equal(json_integer_value(json_at(route, "count")), 2);
        assert_int_equal(json_integer_value(json_at(route, "status.2xx")), 2);
        assert_int_equal(json_integer_value(json_at(route, "status.5xx")), 0);
        assert_true(json_is_integer(json_at(route, "latency_us.sum")));
        assert_true(json_is_integer(json_at(route, "latency_us.p50")));
        assert_true(json_is_integer(json_at(route, "latency_us.p999")));
        assert_true(json_is_integer(json_at(route, "latency_us.max")));
    }
    assert_true(found);
    json_decref(body);
}

static void process_of_test(void *service, struct api_process_figures *out)
{
    const uint64_t *resident = service;

    out->resident_bytes = *resident;
}

static void the_process_shows_when_the_service_tells(void **state)
{
    struct api_fixture *f = *state;
    uint64_t resident = 4242;
    json_t *body;

    f->context.process_figures = process_of_test;
    f->context.service = &resident;
    body = stats_of(f);
    assert_int_equal(
        json_integer_value(json_at(body, "process.resident_bytes")), 4242);
    assert_true(json_is_integer(json_at(body, "process.connections")));
    json_decref(body);
}

static void a_node_that_is_not_ready_says_why(void **state)
{
    struct api_fixture *f = *state;
    json_t *body;

    f->context.disk_reserve_bytes = INT64_MAX; /* what jansson reads */
    body = stats_of(f);
    assert_true(json_is_false(json_at(body, "ready")));
    assert_string_equal(json_string_value(json_at(body, "reason")),
                        "disk-full");
    json_decref(body);
}

/* What api_following_set() puts there, by its path below "following". */
static const struct {
    const char *path;
    json_int_t value;
} following_rows[] = {
    {"epoch", 3},
    {"bytes_per_second", 28},
    {"written.journal", 17},
    {"written.offset", 18},
    {"written.sequence", 19},
    {"synced.sequence", 16},
    {"applied.sequence", 13},
    {"manifest.number", 20},
    {"manifest.bytes", 21},
    {"heard.journal", 22},
    {"heard.offset", 23},
    {"heard.sequence", 24},
    {"heard.last_sequence", 25},
    {"heard.manifest_number", 26},
    {"heard.manifest_bytes", 27},
    {"heard.age_us", 0},
    {"lag.sequences", 51},
    {"lag.bytes", 52},
    {"lag.us", 53000000},
    {"counts.connects", 31},
    {"counts.failures", 32},
    {"counts.rebuilds", 33},
    {"counts.journal_bytes", 34},
    {"counts.journals_sealed", 35},
    {"counts.syncs", 36},
    {"counts.acks", 37},
    {"counts.edits", 38},
    {"counts.installs", 39},
    {"counts.tables_built", 40},
    {"counts.tables_fetched", 41},
    {"counts.fetched_bytes", 42},
    {"counts.digest_mismatches", 43},
    {"counts.stalls", 44},
    {"rebuild.files_digested", 61},
    {"rebuild.tables_wanted", 62},
    {"rebuild.tables_kept", 63},
    {"rebuild.bytes_wanted", 64},
    {"rebuild.bytes_fetched", 65},
    {"rebuild.tables_fetched", 66},
    {"rebuild.files_set_aside", 67},
    {"rebuild.entries_set_aside", 68},
    {"rebuild.elapsed_us", 69000000},
};

static void a_follower_says_how_it_follows(void **state)
{
    struct api_fixture *f = *state;
    json_t *body = stats_of(f);
    const json_t *following;

    assert_null(json_object_get(json_at(body, "replication"), "following"));
    json_decref(body);
    api_following_set(&f->context);
    body = stats_of(f);
    following = json_at(body, "replication.following");
    assert_string_equal(json_string_value(json_at(following, "state")),
                        "streaming");
    assert_string_equal(json_string_value(json_at(following, "why")),
                        "a \"reason\"");
    assert_string_equal(json_string_value(json_at(following, "leader")),
                        "http://leader:8080");
    assert_string_equal(json_string_value(json_at(following, "rebuild.step")),
                        "fetching");
    assert_true(json_is_true(json_at(following, "rebuild.running")));
    assert_true(json_is_true(json_at(following, "lag.known")));
    assert_true(json_is_true(json_at(following, "heard.slot_lost")));
    for (size_t i = 0; i < sizeof(following_rows) / sizeof(following_rows[0]);
         i++)
        assert_int_equal(
            json_integer_value(json_at(following, following_rows[i].path)),
            following_rows[i].value);
    json_decref(body);
}

static void a_leader_lists_its_followers(void **state)
{
    struct api_leader *l = *state;
    json_t *body = stats_of(&l->f);
    const json_t *item;

    assert_int_equal(json_array_size(json_at(body, "followers")), 0);
    json_decref(body);
    (void)leader_fixture_put(&l->leader, "a", "1");
    api_leader_ack(l);
    (void)leader_fixture_put(&l->leader, "b", "1");
    body = stats_of(&l->f);
    assert_int_equal(json_array_size(json_at(body, "followers")), 1);
    item = json_array_get(json_at(body, "followers"), 0);
    assert_string_equal(json_string_value(json_at(item, "node_id")),
                        API_LEADER_FOLLOWER);
    assert_int_equal(json_integer_value(json_at(item, "lag.sequences")), 1);
    json_decref(body);
    l->f.context.leader = NULL;
    body = stats_of(&l->f);
    assert_null(json_object_get(body, "followers"));
    json_decref(body);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(the_node_says_who_it_is),
        FIXTURE_TEST(every_documented_figure_is_there),
        FIXTURE_TEST(requests_are_counted_by_route),
        FIXTURE_TEST(the_process_shows_when_the_service_tells),
        FIXTURE_TEST(a_node_that_is_not_ready_says_why),
        FIXTURE_TEST(a_follower_says_how_it_follows),
        cmocka_unit_test_setup_teardown(a_leader_lists_its_followers,
                                        api_leader_setup, api_leader_teardown),
    };

    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
