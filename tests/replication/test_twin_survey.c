/* Both sides of a plan, of a leader in memory and a folder that follows it. */
#include "replication/incoming.h"
#include "replication/sidecar.h"
#include "replication/table_fetch.h"
#include "replication/twin_survey.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/rebuild_scene.h"

static struct rebuild_scene *scene;
static struct repl_transport *transport;
static struct repl_client client;
static struct repl_state leader;
static struct repl_checkpoint checkpoint;
static struct repl_survey_source source;
static struct repl_survey survey;
static struct ldb_error err;
static unsigned pauses;

static enum ldb_status count_pause(void *context, struct ldb_error *error)
{
    (void)context;
    (void)error;
    pauses++;
    return LDB_OK;
}

static enum ldb_status refuse_pause(void *context, struct ldb_error *error)
{
    (void)context;
    return ldb_error_set(error, LDB_CANCELLED, "enough");
}

static int setup(void **state)
{
    struct repl_peer *peer;

    (void)state;
    err = (struct ldb_error){0};
    pauses = 0;
    scene = rebuild_scene_create(5, NULL);
    peer = memory_peer_repl(scene->peer);
    assert_ldb_ok(ldb_env_create_folder(scene->env, REBUILD_DIR, &err), &err);
    assert_ldb_ok(repl_incoming_make(scene->env, REBUILD_DIR, &err), &err);
    assert_ldb_ok(peer->open(peer, &err, &transport), &err);
    repl_client_init(&client, transport);
    source = (struct repl_survey_source){
        .env = scene->env,
        .dir = REBUILD_DIR,
        .comparator = ldb_comparator_bytewise(),
        .client = &client,
        .state = &leader,
        .pause = count_pause,
    };
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_survey_release(&survey);
    repl_checkpoint_release(&checkpoint);
    repl_state_release(&leader);
    checkpoint = (struct repl_checkpoint){0};
    leader = (struct repl_state){0};
    transport->ops->destroy(transport);
    rebuild_scene_destroy(scene);
    return 0;
}

/* What the leader says, and its MANIFEST in leveld/incoming/. */
static void ask(void)
{
    struct repl_fetch_options options = {
        .env = scene->env,
        .dir = REBUILD_DIR,
        .peer = memory_peer_repl(scene->peer),
        .transports = 1,
    };
    struct repl_fetch_file file = {.is_prefix = true};
    struct repl_fetch *fetch = NULL;

    assert_ldb_ok(
        repl_client_checkpoint(&client, REBUILD_NODE, &err, &checkpoint), &err);
    assert_ldb_ok(repl_client_state(&client, &err, &leader), &err);
    ldb_file_name_print(file.name, LDB_FILE_MANIFEST,
                        checkpoint.manifest_number);
    file.size = checkpoint.manifest_len;
    assert_ldb_ok(repl_fetch_create(&options, &err, &fetch), &err);
    assert_ldb_ok(repl_fetch_files(fetch, &file, 1, REPL_FETCH_INCOMING, &err),
                  &err);
    repl_fetch_destroy(fetch);
}

static void survey_all(void)
{
    assert_ldb_ok(repl_survey_ours(&survey, &source, &err), &err);
    assert_ldb_ok(repl_survey_wanted(&survey, &source, &checkpoint, &err),
                  &err);
    assert_ldb_ok(repl_survey_held(&survey, &source, &err), &err);
    assert_ldb_ok(repl_survey_journals(&survey, &source, &err), &err);
}

static void a_follower_holds_all_that_is_wanted(void **state)
{
    struct repl_plan_input input;
    struct repl_plan plan = {0};

    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_settle(scene);
    rebuild_scene_write(scene, 2);
    rebuild_scene_follow(scene);
    ask();
    survey_all();
    assert_int_equal(checkpoint.file_count, survey.wanted_count);
    assert_int_equal(survey.wanted_count, survey.held_count);
    for (size_t i = 0; i < survey.wanted_count; i++) {
        assert_true(survey.wanted[i].has_digest && survey.held[i].has_digest);
        assert_true(
            ldb_digest_equal(&survey.wanted[i].digest, &survey.held[i].digest));
        assert_non_null(survey.wanted[i].meta);
        assert_non_null(survey.held[i].meta);
    }
    repl_survey_input(&survey, &input);
    assert_true(input.is_in_force);
    assert_int_equal(input.manifest_number, input.held_manifest_number);
    assert_int_equal(1, input.journal_count);
    assert_true(input.journals[0].is_alike);
    assert_false(input.journals[0].is_whole || input.journals[0].is_unlike);
    input.fork = survey.ours.last_sequence;
    assert_ldb_ok(repl_plan_make(&input, &err, &plan), &err);
    assert_int_equal(0, plan.fetched);
    assert_int_equal(0, plan.set_aside);
    assert_false(plan.has_clear);
    repl_plan_release(&plan);
    assert_true(pauses > 0);
}

static void sealed_journals_are_told_by_their_digest(void **state)
{
    (void)state;
    rebuild_scene_archive(scene);
    rebuild_scene_live(scene, 30);
    rebuild_scene_write(scene, 1);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene); /* seals it */
    ask();
    survey_all();
    assert_true(survey.journals[0].is_alike && survey.journals[0].is_whole);
    assert_false(survey.journals[0].is_unlike);
    repl_survey_release(&survey);
    rebuild_scene_tail(scene, 1);
    survey_all();
    assert_true(survey.journals[0].is_unlike);
    assert_false(survey.journals[0].is_alike || survey.journals[0].is_whole);
}

static void digests_that_are_not_told_are_asked_for(void **state)
{
    uint64_t heads;

    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_settle(scene);
    memory_peer_set_knows_digests(scene->peer, false);
    ask();
    assert_ldb_ok(repl_survey_ours(&survey, &source, &err), &err);
    assert_ldb_status(LDB_STALLED,
                      repl_survey_wanted(&survey, &source, &checkpoint, &err),
                      &err);
    repl_survey_release(&survey);
    memory_peer_set_knows_digests(scene->peer, true);
    heads = memory_peer_count(scene->peer, MEMORY_PEER_HEAD, ".ldb");
    survey_all();
    assert_int_equal(heads + survey.wanted_count,
                     memory_peer_count(scene->peer, MEMORY_PEER_HEAD, ".ldb"));
}

static void a_checkpoint_that_does_not_fit_its_manifest_is_refused(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_settle(scene);
    ask();
    assert_true(checkpoint.file_count > 1);
    checkpoint.files[0].size++;
    assert_ldb_status(LDB_CORRUPTION,
                      repl_survey_wanted(&survey, &source, &checkpoint, &err),
                      &err);
    repl_survey_release(&survey);
    checkpoint.files[0] = checkpoint.files[1]; /* one twice, one not at all */
    assert_ldb_status(LDB_CORRUPTION,
                      repl_survey_wanted(&survey, &source, &checkpoint, &err),
                      &err);
    repl_survey_release(&survey);
    checkpoint.file_count = 0;
    assert_ldb_status(LDB_CORRUPTION,
                      repl_survey_wanted(&survey, &source, &checkpoint, &err),
                      &err);
    repl_survey_release(&survey);
    checkpoint.manifest_len--;
    assert_ldb_status(LDB_CORRUPTION,
                      repl_survey_wanted(&survey, &source, &checkpoint, &err),
                      &err);
}

static void a_pause_may_end_it(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_settle(scene);
    rebuild_scene_follow(scene);
    ask();
    source.pause = refuse_pause;
    assert_ldb_ok(repl_survey_ours(&survey, &source, &err), &err);
    assert_ldb_ok(repl_survey_wanted(&survey, &source, &checkpoint, &err),
                  &err);
    assert_ldb_status(LDB_CANCELLED, repl_survey_held(&survey, &source, &err),
                      &err);
    assert_ldb_status(LDB_CANCELLED,
                      repl_survey_journals(&survey, &source, &err), &err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_follower_holds_all_that_is_wanted),
        TEST(sealed_journals_are_told_by_their_digest),
        TEST(digests_that_are_not_told_are_asked_for),
        TEST(a_checkpoint_that_does_not_fit_its_manifest_is_refused),
        TEST(a_pause_may_end_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
