#include "api/figures.h"

#include <string.h>

#include "api/followers.h"
#include "api/problem.h"
#include "tests/support/api_following.h"
#include "tests/support/api_leader.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/fake_exchange.h"

/* Bytes between two fields that alignment can leave. */
#define PADDING_MAX 7

static uint8_t covered[sizeof(struct api_figures)];

static void cover(size_t offset, size_t size)
{
    memset(covered + offset, 1, size);
}

/* No run of bytes that no row covers is as long as a figure. */
static void assert_covered(const char *what, size_t offset, size_t size)
{
    size_t run = 0;

    for (size_t i = offset; i < offset + size; i++) {
        run = covered[i] != 0 ? 0 : run + 1;
        if (run > PADDING_MAX)
            fail_msg("%s has a field without a row before its byte %zu", what,
                     i - offset + 1);
    }
}

static void every_figure_that_is_gathered_has_a_row(void **state)
{
    const size_t levels = offsetof(struct api_figures, stats.levels);
    const size_t level = sizeof(((struct ldb_stats *)NULL)->levels[0]);
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);

    (void)state;
    memset(covered, 0, sizeof(covered));
    for (size_t i = 0; i < count; i++)
        cover(rows[i].offset, rows[i].size);
    cover(levels + level, level * (LDB_STATS_LEVELS - 1));
    assert_covered("struct ldb_stats", offsetof(struct api_figures, stats),
                   sizeof(struct ldb_stats));
    assert_covered("struct api_limits", offsetof(struct api_figures, limits),
                   sizeof(struct api_limits));
    assert_covered("struct api_process_figures",
                   offsetof(struct api_figures, process),
                   sizeof(struct api_process_figures));
    assert_covered("struct repl_leader_figures",
                   offsetof(struct api_figures, leader),
                   sizeof(struct repl_leader_figures));
    assert_covered("struct repl_digest_index_figures",
                   offsetof(struct api_figures, digests),
                   sizeof(struct repl_digest_index_figures));
    assert_covered("struct repl_follower_counts",
                   offsetof(struct api_figures, following.stats.counts),
                   sizeof(struct repl_follower_counts));
    assert_covered("struct repl_lag",
                   offsetof(struct api_figures, following.lag),
                   sizeof(struct repl_lag));
    assert_covered("struct repl_write_concern_figures",
                   offsetof(struct api_figures, concern),
                   sizeof(struct repl_write_concern_figures));
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void no_place_is_taken_twice(void **state)
{
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].offset, rows[j].offset);
            assert_false(rows[i].name != NULL &&
                         same_text(rows[i].name, rows[j].name) &&
                         strcmp(rows[i].group, rows[j].group) == 0);
            assert_false(rows[i].family != API_FAMILY_NONE &&
                         rows[i].family == rows[j].family &&
                         same_text(rows[i].labels, rows[j].labels));
        }
    }
}

static void the_rows_of_a_group_stand_together(void **state)
{
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);

    (void)state;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(rows[i].group, rows[i - 1].group) == 0)
            continue;
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(rows[j].group, rows[i].group);
    }
}

/*
 * A figure that one of the two answers lacks is a sum, a ratio or a form of
 * others; a new one of these is to be thought about, here.
 */
static void figures_are_in_both_answers(void **state)
{
    static const char *const json_alone[] = {
        "slowdown_count", "slowdown_us", "stop_count", "stop_us", "hit_rate",
        "table_bytes",    "state",       "why",        "leader",  "step",
    };
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        bool is_listed = false;

        if (rows[i].name == NULL) {
            assert_int_equal(rows[i].family, API_FAMILY_CPU);
            continue;
        }
        for (size_t j = 0; j < sizeof(json_alone) / sizeof(json_alone[0]); j++)
            is_listed = is_listed || strcmp(rows[i].name, json_alone[j]) == 0;
        assert_int_equal(rows[i].family == API_FAMILY_NONE, is_listed);
    }
}

static bool is_named_in_us(const char *name)
{
    size_t len = strlen(name);

    return strcmp(name, "us") == 0 ||
           (len > 3 && strcmp(name + len - 3, "_us") == 0);
}

static void units_are_those_of_the_names(void **state)
{
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].family != API_FAMILY_NONE && rows[i].name != NULL)
            assert_int_equal(api_family_get(rows[i].family)->unit ==
                                 API_MICROSECONDS,
                             is_named_in_us(rows[i].name));
    }
}

static void families_without_a_row_are_those_of_texts_and_routes(void **state)
{
    static const enum api_family_id own[] = {
        API_FAMILY_BUILD_INFO,      API_FAMILY_NODE_INFO,
        API_FAMILY_NOT_READY,       API_FAMILY_HTTP_REQUESTS,
        API_FAMILY_HTTP_DURATION,   API_FAMILY_HTTP_LONGEST,
        API_FAMILY_FOLLOWING_STATE,
    };
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);

    (void)state;
    for (enum api_family_id id = API_FAMILY_NONE + 1; id < API_FAMILY_END;
         id++) {
        bool is_own = false;
        bool has_row = false;

        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            is_own = is_own || own[i] == id;
        /* Of each follower: prometheus.c has a table of them. */
        is_own = is_own || (id >= API_FAMILY_SLOT_ALIVE &&
                            id <= API_FAMILY_SLOT_MISMATCHES);
        for (size_t i = 0; i < count; i++)
            has_row = has_row || rows[i].family == id;
        assert_true(is_own != has_row);
    }
}

static void values_are_read_where_they_stand(void **state)
{
    struct api_figures figures = {.read_only = true, .uptime_seconds = 1.5};
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);

    (void)state;
    figures.stats.levels[2].tables = UINT64_C(1) << 40;
    figures.stats.immutable_memtables = 7;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].family == API_FAMILY_LEVEL_TABLES)
            assert_true(api_figure_number(&figures, &rows[i], 2) == UINT64_C(1)
                                                                        << 40);
        if (rows[i].family == API_FAMILY_IMMUTABLES)
            assert_int_equal(api_figure_number(&figures, &rows[i], 0), 7);
        if (rows[i].family == API_FAMILY_READ_ONLY)
            assert_true(api_figure_bool(&figures, &rows[i]));
        if (rows[i].family == API_FAMILY_UPTIME)
            assert_true(api_figure_double(&figures, &rows[i], 0) > 1.25);
        if (rows[i].need != API_NEEDS_NOTHING)
            assert_false(api_figure_is_known(&figures, &rows[i]));
    }
}

static void process_of_test(void *service, struct api_process_figures *out)
{
    (void)service;
    out->cpu_user_us = 3;
    out->cpu_system_us = 4;
}

/* As /stats does. */
static void gather(struct api_context *context, struct api_figures *out)
{
    const struct fake_request request = {.method = "GET", .target = "/stats"};
    struct fake_exchange *fake = fake_exchange_create(context, &request);
    struct api_followers followers;

    assert_true(api_followers_read(fake_exchange_get(fake), &followers));
    api_figures_gather(context, &followers, out);
    fake_exchange_destroy(fake);
}

static void gathering_adds_what_is_made_of_others(void **state)
{
    struct api_fixture *f = *state;
    struct api_figures figures;

    f->context.process_figures = process_of_test;
    (void)api_put(f, "/v1/kv/a", "1");
    gather(&f->context, &figures);
    assert_int_equal(figures.cpu_us, 7);
    assert_int_equal(figures.stats.last_sequence, 1);
    assert_int_equal(figures.epoch, 7);
    assert_true(figures.ready);
    assert_null(figures.reason);
    assert_true(figures.has_free_bytes);
    /* One journal record for two bytes of the user. */
    assert_true(figures.write_amplification > 1);
    assert_true(figures.start_time_seconds > 0);
}

static void a_leader_tells_of_its_followers(void **state)
{
    struct api_leader *l = *state;
    struct api_figures figures;

    (void)leader_fixture_put(&l->leader, "a", "1");
    api_leader_ack(l);
    (void)leader_fixture_put(&l->leader, "b", "1");
    (void)leader_fixture_put(&l->leader, "c", "1");
    gather(&l->f.context, &figures);
    assert_true(figures.has_leader);
    assert_true(figures.has_digests);
    assert_int_equal(figures.leader.slots.slots, 1);
    assert_int_equal(figures.leader.slots.alive, 1);
    assert_int_equal(figures.leader.acks_total, 1);
    assert_int_equal(figures.leader.epoch_heard, 3);
    assert_int_equal(figures.lag_sequences, 2);
    assert_true(figures.lag_bytes > 0);
    l->f.context.leader = NULL;
    l->f.context.digests = NULL;
    gather(&l->f.context, &figures);
    assert_false(figures.has_leader);
    assert_false(figures.has_digests);
}

static size_t no_sources(void *context, char (*out)[REPL_URL_SIZE], size_t max)
{
    (void)context;
    (void)out;
    (void)max;
    return 0;
}

/* A problem of damage has the table looked at; other problems do not, nor does
 * one outside the gate. */
static void care_is_told_of_damage_and_tells_its_figures(void **state)
{
    struct api_leader *l = *state;
    const struct repl_heal_options options = {
        .env = l->f.env,
        .db = l->f.db,
        .digests = l->leader.digests,
        .dir = DB_FIXTURE_DIR,
        .sources = no_sources,
    };
    const struct api_problem damage = {.kind = API_PROBLEM_CORRUPTION,
                                       .file = "000777.ldb"};
    const struct api_problem other = {.kind = API_PROBLEM_INTERNAL,
                                      .file = "000778.ldb"};
    struct repl_heal *heal = NULL;
    struct api_figures figures;

    gather(&l->f.context, &figures);
    assert_false(figures.has_heal);
    assert_false(figures.has_scrub);
    assert_ldb_ok(repl_heal_create(&options, NULL, &heal), NULL);
    repl_heal_pause(heal);
    l->f.context.heal = heal;
    api_problem_tell_damage(NULL, &damage);
    api_problem_tell_damage(heal, &other);
    gather(&l->f.context, &figures);
    assert_true(figures.has_heal);
    assert_int_equal(figures.heal.suspected, 0);
    api_problem_tell_damage(heal, &damage);
    gather(&l->f.context, &figures);
    assert_int_equal(figures.heal.suspected, 1);
    l->f.context.heal = NULL;
    repl_heal_destroy(heal);
}

static void a_follower_tells_of_itself(void **state)
{
    struct api_fixture *f = *state;
    struct api_figures figures;

    gather(&f->context, &figures);
    assert_false(figures.has_following);
    api_following_set(&f->context);
    gather(&f->context, &figures);
    assert_true(figures.has_following);
    assert_string_equal(figures.following_state, "streaming");
    assert_string_equal(figures.following_why, "a \"reason\"");
    assert_string_equal(figures.following_leader, "http://leader:8080");
    assert_string_equal(figures.following_step, "fetching");
    assert_int_equal(figures.heard_age_us, 0);
    assert_int_equal(figures.following.lag.bytes, 52);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_figure_that_is_gathered_has_a_row),
        cmocka_unit_test(no_place_is_taken_twice),
        cmocka_unit_test(the_rows_of_a_group_stand_together),
        cmocka_unit_test(figures_are_in_both_answers),
        cmocka_unit_test(units_are_those_of_the_names),
        cmocka_unit_test(families_without_a_row_are_those_of_texts_and_routes),
        cmocka_unit_test(values_are_read_where_they_stand),
        FIXTURE_TEST(gathering_adds_what_is_made_of_others),
        FIXTURE_TEST(a_follower_tells_of_itself),
        cmocka_unit_test_setup_teardown(a_leader_tells_of_its_followers,
                                        api_leader_setup, api_leader_teardown),
        cmocka_unit_test_setup_teardown(
            care_is_told_of_damage_and_tells_its_figures, api_leader_setup,
            api_leader_teardown),
    };

    return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
