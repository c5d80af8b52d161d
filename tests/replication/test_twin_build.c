/*
 * Folders of every kind become the leader's: what there is of it is kept, what
 * was ours alone is set aside, whatever fails on the way.
 */
#include <stdio.h>
#include <string.h>

#include "replication/diverged.h"
#include "replication/incoming.h"
#include "replication/rebuild_intent.h"
#include "replication/sidecar.h"
#include "replication/twin_build.h"
#include "storage/base/mem.h"
#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/rebuild_scene.h"

static struct rebuild_scene *scene;
static struct repl_build *build;
static struct ldb_error err;

static int setup(void **state)
{
    (void)state;
    err = (struct ldb_error){0};
    build = NULL;
    scene = rebuild_scene_create(7, NULL);
    assert_ldb_ok(ldb_env_create_folder(scene->env, REBUILD_DIR, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_build_destroy(build);
    rebuild_scene_destroy(scene);
    return 0;
}

static void create(bool is_accepted)
{
    struct repl_build_options options;

    repl_build_destroy(build);
    build = NULL;
    rebuild_scene_options(scene, scene->env, &options);
    options.is_accepted = is_accepted;
    assert_ldb_ok(repl_build_create(&options, &err, &build), &err);
}

static void fetch(void)
{
    assert_ldb_ok(repl_build_fetch(build, &err), &err);
}

static void switch_over(void)
{
    assert_ldb_ok(repl_build_switch(build, &err), &err);
}

static struct repl_build_figures figures(void)
{
    struct repl_build_figures now;

    repl_build_figures(build, &now);
    return now;
}

static void expect_verdict(enum repl_verdict_kind kind)
{
    const struct repl_verdict *verdict = repl_build_verdict(build);

    if (verdict->kind != kind)
        fail_msg("%s: %s", repl_verdict_text(verdict->kind), verdict->reason);
}

static void expect_no_intent(void)
{
    struct repl_rebuild_intent intent;

    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_rebuild_intent_load(scene->env, REBUILD_DIR, &err, &intent), &err);
}

static size_t count_aside(void)
{
    struct repl_diverged all = {0};
    size_t count;

    assert_ldb_ok(repl_diverged_list(scene->env, REBUILD_DIR, &err, &all),
                  &err);
    count = all.file_count;
    repl_diverged_release(&all);
    return count;
}

static void finish(void)
{
    switch_over();
    rebuild_scene_assert_adopted(scene, scene->env);
    rebuild_scene_assert_aside(scene, scene->env);
    rebuild_scene_assert_same(scene, scene->env);
}

/* The folder is as it was, and nothing is under way. */
static void expect_untouched(void)
{
    expect_no_intent();
    assert_int_equal(0, count_aside());
}

/* ---- who comes ---- */

static void an_empty_folder_becomes_the_leaders(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_settle(scene);
    rebuild_scene_write(scene, 3);
    create(false);
    fetch();
    expect_verdict(REPL_VERDICT_CONTAINED);
    assert_false(repl_build_is_gentle(build));
    assert_true(figures().tables_wanted > 1);
    assert_int_equal(figures().tables_wanted, figures().tables_fetched);
    assert_int_equal(figures().bytes_wanted, figures().bytes_fetched);
    finish();
}

static void one_too_far_behind_keeps_what_it_has(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 120);
    rebuild_scene_settle(scene);
    rebuild_scene_follow(scene);
    rebuild_scene_write(scene, 2);
    leader_run_flush(scene->leader);
    rebuild_scene_write(scene, 2);
    create(false);
    fetch();
    assert_true(repl_build_is_gentle(build));
    assert_true(figures().tables_kept > 0);
    assert_true(figures().tables_fetched > 0);
    finish();
}

static void a_tail_that_was_not_kept_is_set_aside(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    rebuild_scene_tail(scene, 8);
    rebuild_scene_write(scene, 20);
    create(false);
    fetch();
    expect_verdict(REPL_VERDICT_DIVERGED);
    assert_int_equal(scene->fork, repl_build_verdict(build)->fork);
    assert_int_equal(1, figures().files_set_aside);
    assert_int_equal(0, figures().entries_set_aside);
    finish();
}

static void one_that_has_led_sets_its_journals_aside(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    rebuild_scene_lead(scene, 20, false);
    rebuild_scene_write(scene, 20);
    create(false);
    fetch();
    expect_verdict(REPL_VERDICT_DIVERGED);
    assert_true(figures().files_set_aside > 0);
    assert_int_equal(0, figures().entries_set_aside);
    finish();
}

static enum ldb_status note_journal(void *context, const char *name)
{
    uint64_t number = 0;

    if (ldb_file_name_parse(name, &number) == LDB_FILE_JOURNAL)
        *(uint64_t *)context = number;
    return LDB_OK;
}

/* Flushes and compacts; the journal is there again then, as a kill leaves it
 * that comes before it is archived. */
static void flush_and_keep_journal(void)
{
    struct ldb_env *env = scene->env;
    uint64_t number = 0;
    char *path;

    assert_ldb_ok(
        env->ops->list_dir(env, REBUILD_DIR, note_journal, &number, &err),
        &err);
    path = ldb_file_path(REBUILD_DIR, LDB_FILE_JOURNAL, number);
    assert_non_null(path);
    assert_ldb_ok(ldb_env_link_or_copy(env, path, "/kept.log", &err), &err);
    rebuild_scene_lead(scene, 0, true);
    assert_ldb_ok(ldb_env_link_or_copy(env, "/kept.log", path, &err), &err);
    ldb_mem_free(path);
}

static void a_flushed_journal_of_one_that_has_led_is_set_aside(void **state)
{
    struct ldb_db *twin = NULL;

    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    rebuild_scene_lead(scene, 20, false);
    flush_and_keep_journal();
    rebuild_scene_write(scene, 20);
    /* It begins as any follower does. */
    assert_ldb_ok(
        ldb_twin_open(REBUILD_DIR, &scene->ship.options, NULL, &err, &twin),
        &err);
    assert_ldb_ok(ldb_close(twin, &err), &err);
    create(false);
    fetch();
    expect_verdict(REPL_VERDICT_DIVERGED);
    assert_int_equal(1, figures().files_set_aside);
    assert_int_equal(0, figures().entries_set_aside);
    finish();
}

static void a_rewind_beyond_the_journals_waits_for_an_operator(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    rebuild_scene_lead(scene, 200, true);
    rebuild_scene_write(scene, 20);
    create(false);
    assert_ldb_status(LDB_PRECONDITION, repl_build_fetch(build, &err), &err);
    assert_ldb_message("operator", &err);
    expect_untouched();
    create(true);
    fetch();
    assert_true(figures().entries_set_aside > 0);
    finish();
}

static void an_unknown_history_waits_for_an_operator(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 120);
    rebuild_scene_settle(scene);
    rebuild_scene_follow(scene);
    rebuild_scene_tail(scene, 20);
    rebuild_scene_write(scene, 2);
    assert_ldb_ok(repl_sidecar_remove(scene->env, REBUILD_DIR, "epochs", &err),
                  &err);
    assert_ldb_ok(
        repl_sidecar_remove(scene->env, REBUILD_DIR, "identity", &err), &err);
    create(false);
    assert_ldb_status(LDB_PRECONDITION, repl_build_fetch(build, &err), &err);
    expect_verdict(REPL_VERDICT_UNKNOWN);
    expect_untouched();
    create(true);
    fetch();
    assert_true(figures().tables_kept > 0);
    finish();
    assert_true(count_aside() > 0);
}

static void a_damaged_manifest_is_an_unknown_history(void **state)
{
    struct repl_holdings holdings = {0};
    char path[64];

    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_settle(scene);
    rebuild_scene_follow(scene);
    assert_ldb_ok(repl_holdings_read(scene->env, REBUILD_DIR,
                                     ldb_comparator_bytewise(), false, &err,
                                     &holdings),
                  &err);
    snprintf(path, sizeof(path), REBUILD_DIR "/MANIFEST-%06llu",
             (unsigned long long)holdings.manifest_number);
    repl_holdings_release(&holdings);
    assert_ldb_ok(ldb_env_replace_file(scene->env, REBUILD_DIR, path,
                                       REBUILD_DIR "/t",
                                       ldb_slice_str("no MANIFEST"), &err),
                  &err);
    create(false);
    assert_ldb_status(LDB_PRECONDITION, repl_build_fetch(build, &err), &err);
    create(true);
    fetch();
    assert_true(figures().tables_kept > 0);
    finish();
}

static void one_of_another_cluster_is_refused(void **state)
{
    struct repl_identity other = {.cluster_id =
                                      "000000000000000000000000000000c2",
                                  .node_id = REBUILD_NODE};

    (void)state;
    rebuild_scene_live(scene, 30);
    rebuild_scene_follow(scene);
    assert_ldb_ok(repl_identity_store(scene->env, REBUILD_DIR, &other, &err),
                  &err);
    create(true);
    assert_ldb_status(LDB_PRECONDITION, repl_build_fetch(build, &err), &err);
    expect_verdict(REPL_VERDICT_STRANGER);
    expect_untouched();
}

/* ---- damage ---- */

struct pick {
    char name[LDB_FILE_NAME_SIZE]; /* of the greatest number */
    uint64_t number;
};

static enum ldb_status pick_table(void *context, const char *name)
{
    struct pick *pick = context;
    uint64_t number;

    if (ldb_file_name_parse(name, &number) == LDB_FILE_TABLE &&
        number > pick->number) {
        pick->number = number;
        snprintf(pick->name, sizeof(pick->name), "%s", name);
    }
    return LDB_OK;
}

/* Turns a bit in the middle of a table; keeps the bytes as they were. */
static void damage_table(struct ldb_env *env, const char *dir, char path[128],
                         struct ldb_buf *before)
{
    struct pick pick = {0};
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    char temporary[64];

    assert_ldb_ok(env->ops->list_dir(env, dir, pick_table, &pick, &err), &err);
    assert_true(pick.number != 0);
    snprintf(path, 128, "%s/%s", dir, pick.name);
    snprintf(temporary, sizeof(temporary), "%s/t", dir);
    before->len = 0;
    assert_ldb_ok(ldb_env_read_file(env, path, &err, before), &err);
    assert_ldb_ok(ldb_buf_assign(&bytes, ldb_slice_of_buf(before)), NULL);
    bytes.data[bytes.len / 2] ^= 1;
    assert_ldb_ok(ldb_env_replace_file(env, dir, path, temporary,
                                       ldb_slice_of_buf(&bytes), &err),
                  &err);
    ldb_buf_release(&bytes);
}

static void a_damaged_table_is_fetched_alone(void **state)
{
    struct ldb_buf before = LDB_BUF_INIT(LEADER_FILE_MAX);
    char path[128];

    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_settle(scene);
    rebuild_scene_follow(scene);
    damage_table(scene->env, REBUILD_DIR, path, &before);
    ldb_buf_release(&before);
    create(false);
    fetch();
    assert_int_equal(1, figures().tables_fetched);
    assert_true(repl_build_is_gentle(build));
    finish();
}

/* As a power cut leaves it after a rename. */
static void a_second_name_of_what_is_in_force_is_not_written_to(void **state)
{
    struct ldb_buf before = LDB_BUF_INIT(LEADER_FILE_MAX);
    char path[128];
    char incoming[256];
    uint64_t size = 0;

    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_settle(scene);
    rebuild_scene_follow(scene);
    damage_table(scene->env, REBUILD_DIR, path, &before);
    assert_ldb_ok(repl_incoming_make(scene->env, REBUILD_DIR, &err), &err);
    snprintf(incoming, sizeof(incoming), REBUILD_DIR "/leveld/incoming%s",
             path + strlen(REBUILD_DIR));
    assert_ldb_ok(scene->env->ops->link_file(scene->env, path, incoming, &err),
                  &err);
    /* It comes no further than to the begin of the table. */
    memory_peer_rule(scene->peer,
                     &(struct memory_peer_rule){
                         .what = MEMORY_PEER_CUT, .path = ".ldb", .bytes = 0});
    create(false);
    assert_ldb_status(LDB_IO, repl_build_fetch(build, &err), &err);
    assert_ldb_ok(scene->env->ops->file_size(scene->env, path, &err, &size),
                  &err);
    assert_int_equal(before.len, size);
    ldb_buf_release(&before);
    memory_peer_forget_rules(scene->peer);
    fetch();
    finish();
}

static void a_table_that_is_damaged_there_replaces_nothing(void **state)
{
    struct ldb_buf good = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_buf ours = LDB_BUF_INIT(LEADER_FILE_MAX);
    char path[128];
    char our_path[256];

    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_settle(scene);
    rebuild_scene_follow(scene);
    damage_table(scene->leader->env, LEADER_DIR, path, &good);
    create(false);
    assert_ldb_status(LDB_CORRUPTION, repl_build_fetch(build, &err), &err);
    assert_ldb_message("the leader's table is damaged", &err);
    assert_ldb_status(LDB_INVALID_ARGUMENT, repl_build_switch(build, &err),
                      &err);
    snprintf(our_path, sizeof(our_path), REBUILD_DIR "%s",
             path + strlen(LEADER_DIR));
    assert_ldb_ok(ldb_env_read_file(scene->env, our_path, &err, &ours), &err);
    assert_ldb_slice(ldb_slice_of_buf(&good), ldb_slice_of_buf(&ours));
    ldb_buf_release(&good);
    ldb_buf_release(&ours);
}

/* ---- the way there ---- */

static void cuts_and_wrong_bytes_on_the_way_are_overcome(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_settle(scene);
    memory_peer_set_pieces(scene->peer, 700, 3);
    memory_peer_rule(
        scene->peer,
        &(struct memory_peer_rule){
            .what = MEMORY_PEER_CUT, .path = ".ldb", .bytes = 900, .times = 1});
    memory_peer_rule(
        scene->peer,
        &(struct memory_peer_rule){
            .what = MEMORY_PEER_FLIP, .path = ".ldb", .bytes = 10, .times = 1});
    create(false);
    fetch();
    finish();
}

static void a_version_that_was_let_go_of_is_asked_for_anew(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_settle(scene);
    memory_peer_rule(scene->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_STATUS,
                                                .call = MEMORY_PEER_GET,
                                                .path = ".ldb",
                                                .http = 404,
                                                .times = 1});
    create(false);
    fetch();
    assert_true(
        memory_peer_count(scene->peer, MEMORY_PEER_CALL, "checkpoint") >= 2);
    finish();
}

static void without_digests_it_is_to_be_tried_later(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 80);
    rebuild_scene_settle(scene);
    memory_peer_set_knows_digests(scene->peer, false);
    create(false);
    assert_ldb_status(LDB_STALLED, repl_build_fetch(build, &err), &err);
    memory_peer_set_knows_digests(scene->peer, true);
    fetch();
    finish();
}

static void interrupted_it_ends_and_stays_so(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 30);
    create(false);
    repl_build_interrupt(build);
    assert_ldb_status(LDB_CANCELLED, repl_build_fetch(build, &err), &err);
    assert_ldb_status(LDB_CANCELLED, repl_build_fetch(build, &err), &err);
}

static void the_old_database_serves_while_it_is_fetched(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 120);
    rebuild_scene_settle(scene);
    rebuild_scene_follow(scene);
    rebuild_scene_write(scene, 40);
    leader_run_flush(scene->leader);
    twin_ship_open(&scene->ship);
    create(false);
    fetch();
    rebuild_scene_assert_past(scene, scene->env, scene->ship.db);
    assert_ldb_status(LDB_LOCKED, repl_build_switch(build, &err), &err);
    twin_ship_close(&scene->ship);
    finish();
}

static void a_folder_that_has_changed_since_is_left_alone(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    create(false);
    fetch();
    rebuild_scene_tail(scene, 3);
    assert_ldb_status(LDB_INVALID_ARGUMENT, repl_build_switch(build, &err),
                      &err);
    fetch();
    finish();
}

static void a_leader_of_a_new_epoch_meanwhile_is_noticed(void **state)
{
    (void)state;
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    create(false);
    fetch();
    rebuild_scene_promote(scene);
    switch_over();
    create(false);
    fetch();
    finish();
}

/* ---- journals that stay ---- */

static void journals_that_are_the_leaders_stay(void **state)
{
    uint64_t before;

    (void)state;
    rebuild_scene_archive(scene);
    rebuild_scene_live(scene, 60);
    rebuild_scene_follow(scene);
    rebuild_scene_write(scene, 1);
    create(false);
    fetch();
    before = memory_peer_count(scene->peer, MEMORY_PEER_GET, ".log");
    switch_over();
    assert_int_equal(before,
                     memory_peer_count(scene->peer, MEMORY_PEER_GET, ".log"));
    assert_int_equal(0, figures().files_set_aside);
    twin_ship_open(&scene->ship);
    assert_true(ldb_last_sequence(scene->ship.db) > 0);
    twin_ship_close(&scene->ship);
    rebuild_scene_assert_same(scene, scene->env);
}

/* ---- what fails here ---- */

/* One that fails is gone on with by another build. */
static void fail_nth(struct env_fault *prepared, uint64_t n, bool *out_failed)
{
    struct env_fault *fault =
        env_fault_after_cut(prepared, LDB_CRASH_KEEP_ALL, 0);
    struct ldb_env *env = env_fault_env(fault);
    struct repl_build_options options;
    struct repl_build *broken = NULL;
    enum ldb_status s;

    rebuild_scene_options(scene, env, &options);
    options.is_accepted = true;
    assert_ldb_ok(repl_build_create(&options, &err, &broken), &err);
    env_fault_fail(fault, &(struct env_fault_rule){.kinds = ENV_FAULT_WRITES,
                                                   .nth = n,
                                                   .sys_errno = 5});
    s = repl_build_fetch(broken, &err);
    if (s == LDB_OK)
        s = repl_build_switch(broken, &err);
    *out_failed = env_fault_failed(fault) > 0;
    env_fault_fail(fault, NULL);
    repl_build_destroy(broken);
    if (s != LDB_OK)
        rebuild_scene_build(scene, env, true);
    rebuild_scene_assert_adopted(scene, env);
    rebuild_scene_assert_aside(scene, env);
    rebuild_scene_assert_twin(scene, env);
    env_fault_destroy(fault);
}

static void whatever_write_fails_it_is_gone_on_with(void **state)
{
    struct env_fault *prepared = env_fault_create(NULL);
    bool has_failed = true;
    uint64_t n;

    (void)state;
    rebuild_scene_destroy(scene);
    scene = rebuild_scene_create(11, env_fault_env(prepared));
    rebuild_scene_live(scene, 40);
    rebuild_scene_follow(scene);
    rebuild_scene_promote(scene);
    rebuild_scene_lead(scene, 150, true);
    rebuild_scene_tail(scene, 4);
    rebuild_scene_write(scene, 20);
    for (n = 1; has_failed; n++)
        fail_nth(prepared, n, &has_failed);
    print_message("%llu calls failed\n", (unsigned long long)n);
    assert_true(n > 50);
    rebuild_scene_destroy(scene);
    env_fault_destroy(prepared);
    scene = rebuild_scene_create(7, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_folder_becomes_the_leaders),
        TEST(one_too_far_behind_keeps_what_it_has),
        TEST(a_tail_that_was_not_kept_is_set_aside),
        TEST(one_that_has_led_sets_its_journals_aside),
        TEST(a_flushed_journal_of_one_that_has_led_is_set_aside),
        TEST(a_rewind_beyond_the_journals_waits_for_an_operator),
        TEST(an_unknown_history_waits_for_an_operator),
        TEST(a_damaged_manifest_is_an_unknown_history),
        TEST(one_of_another_cluster_is_refused),
        TEST(a_damaged_table_is_fetched_alone),
        TEST(a_second_name_of_what_is_in_force_is_not_written_to),
        TEST(a_table_that_is_damaged_there_replaces_nothing),
        TEST(cuts_and_wrong_bytes_on_the_way_are_overcome),
        TEST(a_version_that_was_let_go_of_is_asked_for_anew),
        TEST(without_digests_it_is_to_be_tried_later),
        TEST(interrupted_it_ends_and_stays_so),
        TEST(the_old_database_serves_while_it_is_fetched),
        TEST(a_folder_that_has_changed_since_is_left_alone),
        TEST(a_leader_of_a_new_epoch_meanwhile_is_noticed),
        TEST(journals_that_are_the_leaders_stay),
        TEST(whatever_write_fails_it_is_gone_on_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
