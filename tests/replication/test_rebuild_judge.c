/* What a rebuild of before has to say when another one begins. */
#include "replication/rebuild_judge.h"
#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/rebuild_scene.h"

static struct rebuild_scene *scene;
static struct repl_transport *transport;
static struct repl_client client;
static struct repl_state leader;
static struct repl_survey_source source;
static struct repl_holdings ours;
static struct repl_judgement judged;
static struct ldb_error err;

static int setup(void **state)
{
    struct repl_peer *peer;

    (void)state;
    err = (struct ldb_error){0};
    scene = rebuild_scene_create(5, NULL);
    peer = memory_peer_repl(scene->peer);
    assert_ldb_ok(peer->open(peer, &err, &transport), &err);
    repl_client_init(&client, transport);
    source = (struct repl_survey_source){
        .env = scene->env,
        .dir = REBUILD_DIR,
        .comparator = ldb_comparator_bytewise(),
        .client = &client,
        .state = &leader,
    };
    rebuild_scene_live(scene, 40);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    rebuild_scene_tail(scene, 5);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_holdings_release(&ours);
    repl_state_release(&leader);
    leader = (struct repl_state){0};
    transport->ops->destroy(transport);
    rebuild_scene_destroy(scene);
    return 0;
}

static enum ldb_status judge(void)
{
    repl_state_release(&leader);
    leader = (struct repl_state){0};
    repl_holdings_release(&ours);
    assert_ldb_ok(repl_client_state(&client, &err, &leader), &err);
    assert_ldb_ok(repl_holdings_read(scene->env, REBUILD_DIR,
                                     ldb_comparator_bytewise(), true, &err,
                                     &ours),
                  &err);
    return repl_rebuild_judge(&source, &ours, &err, &judged);
}

static struct repl_rebuild_intent intent_of(enum repl_rebuild_phase phase)
{
    return (struct repl_rebuild_intent){
        .phase = phase,
        .cluster_id = "000000000000000000000000000000c1",
        .epoch = {.number = 2, .id = 0xa2},
        .fork = 3,
        .rewind = 9,
        .is_unknown = true,
    };
}

static void store(const struct repl_rebuild_intent *intent)
{
    assert_ldb_ok(
        repl_rebuild_intent_store(scene->env, REBUILD_DIR, intent, &err), &err);
}

static void without_one_the_verdict_tells(void **state)
{
    (void)state;
    assert_ldb_ok(judge(), &err);
    assert_int_equal(REPL_VERDICT_DIVERGED, judged.verdict.kind);
    assert_int_equal(scene->fork, judged.intent.fork);
    assert_int_equal(REPL_REBUILD_FETCHING, judged.intent.phase);
    assert_string_equal(scene->identity.cluster_id, judged.intent.cluster_id);
    assert_int_equal(2, judged.intent.epoch.number);
    assert_int_equal(0xa2, judged.intent.epoch.id);
    assert_int_equal(0, judged.intent.rewind);
    assert_false(judged.is_resumed || judged.was_unknown ||
                 judged.intent.is_unknown);
}

static void one_that_had_only_fetched_leaves_its_rewind(void **state)
{
    struct repl_rebuild_intent before = intent_of(REPL_REBUILD_FETCHING);

    (void)state;
    store(&before);
    assert_ldb_ok(judge(), &err);
    assert_int_equal(scene->fork, judged.intent.fork);
    assert_int_equal(9, judged.intent.rewind);
    assert_true(judged.was_unknown);
    assert_false(judged.is_resumed || judged.intent.is_unknown);
}

static void one_that_had_begun_to_switch_keeps_its_word(void **state)
{
    struct repl_rebuild_intent before = intent_of(REPL_REBUILD_SWITCHING);

    (void)state;
    store(&before);
    assert_ldb_ok(judge(), &err);
    assert_int_equal(3, judged.intent.fork);
    assert_int_equal(9, judged.intent.rewind);
    assert_int_equal(REPL_REBUILD_SWITCHING, judged.intent.phase);
    assert_true(judged.is_resumed && judged.intent.is_unknown);
    /* Of two forks the lower one. */
    before.fork = scene->fork + 1;
    before.is_unknown = false;
    store(&before);
    assert_ldb_ok(judge(), &err);
    assert_int_equal(scene->fork, judged.intent.fork);
    assert_false(judged.intent.is_unknown);
}

static void once_its_manifest_is_in_force_nothing_is_ours(void **state)
{
    struct repl_rebuild_intent before = intent_of(REPL_REBUILD_SWITCHING);
    char *path;

    (void)state;
    rebuild_scene_build(scene, scene->env, true);
    assert_ldb_ok(judge(), &err);
    before.manifest_number = ours.manifest_number;
    path = ldb_file_path(REBUILD_DIR, LDB_FILE_MANIFEST, ours.manifest_number);
    assert_ldb_ok(ldb_digest_file(scene->env, path, &err,
                                  &before.manifest_digest,
                                  &before.manifest_len),
                  &err);
    ldb_mem_free(path);
    store(&before);
    assert_ldb_ok(judge(), &err);
    assert_true(judged.is_resumed);
    assert_false(judged.intent.is_unknown);
    assert_int_equal(repl_holdings_last_entry(&ours), judged.intent.fork);
    /* Another one of the number and length is not it. */
    before.manifest_digest.bytes[0] ^= 1;
    store(&before);
    assert_ldb_ok(judge(), &err);
    assert_true(judged.intent.is_unknown);
    assert_int_equal(3, judged.intent.fork);
}

static void a_leader_below_its_epoch_is_refused(void **state)
{
    struct repl_rebuild_intent before = intent_of(REPL_REBUILD_FETCHING);

    (void)state;
    before.epoch.number = 3;
    store(&before);
    assert_ldb_status(LDB_PRECONDITION, judge(), &err);
    before.epoch.number = 2;
    before.epoch.id = 0xb2;
    store(&before);
    assert_ldb_status(LDB_PRECONDITION, judge(), &err);
    before.epoch.number = 1;
    store(&before);
    assert_ldb_ok(judge(), &err);
    assert_int_equal(2, judged.intent.epoch.number);
}

static void one_not_to_be_followed_is_refused(void **state)
{
    struct repl_identity other = {.cluster_id =
                                      "000000000000000000000000000000c2",
                                  .node_id = REBUILD_NODE};

    (void)state;
    assert_ldb_ok(repl_identity_store(scene->env, REBUILD_DIR, &other, &err),
                  &err);
    assert_ldb_status(LDB_PRECONDITION, judge(), &err);
    assert_int_equal(REPL_VERDICT_STRANGER, judged.verdict.kind);
}

static void damage_of_the_mark_is_told(void **state)
{
    (void)state;
    assert_ldb_ok(repl_sidecar_write(scene->env, REBUILD_DIR, "rebuild", 1,
                                     ldb_slice_str("nonsense\n"), &err),
                  &err);
    assert_ldb_status(LDB_CORRUPTION, judge(), &err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_one_the_verdict_tells),
        TEST(one_that_had_only_fetched_leaves_its_rewind),
        TEST(one_that_had_begun_to_switch_keeps_its_word),
        TEST(once_its_manifest_is_in_force_nothing_is_ours),
        TEST(a_leader_below_its_epoch_is_refused),
        TEST(one_not_to_be_followed_is_refused),
        TEST(damage_of_the_mark_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
