/*
 * A follower from its first word to its end, with a leader, a network and a
 * disk that do what a test says; and with an owner who rebuilds by copying the
 * leader's folder.
 */
#include "replication/follower.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/mutex.h"
#include "storage/folder_files.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/follow_fixture.h"

#if defined(__SANITIZE_THREAD__)
#define RUNS 2
#elif defined(__SANITIZE_ADDRESS__)
#define RUNS 3
#else
#define RUNS 8
#endif

/*
 * Locking: follower, answer, is_idle: of the test's thread, set before there is
 * a follower; the rest: guarded by mu.
 */
struct owner {
    struct follow_fixture f;
    struct repl_follower_options options;
    struct repl_follower *follower;
    /* What rebuild does: CANCELLED: waits until it is cancelled; not OK: leaves
     * no twin. */
    _Atomic(enum ldb_status) answer;
    bool is_idle; /* it does nothing, and says OK */
    struct ldb_mutex
        leader_mu; /* the leader does not change while it is held */
    struct ldb_mutex mu;
    struct ldb_cond changed;
    unsigned entered[REPL_FOLLOWER_STOPPED + 1]; /* times, of each state */
    char why[LDB_ERROR_MESSAGE_SIZE];            /* of the last WAITING */
    unsigned rebuilds;
    struct repl_verdict verdict; /* of the last one */
    bool is_reopen;
    bool is_cancelled;
    ldb_sequence applied;
    uint64_t epoch;             /* told last */
    ldb_sequence epoch_applied; /* what readers saw then */
};

static struct owner o;

/* ---- its callbacks ---- */

static void on_state(void *context, enum repl_follower_state state,
                     const char *why)
{
    (void)context;
    ldb_mutex_lock(&o.mu);
    o.entered[state]++;
    if (state == REPL_FOLLOWER_WAITING || state == REPL_FOLLOWER_STOPPED)
        (void)snprintf(o.why, sizeof(o.why), "%s", why);
    ldb_cond_broadcast(&o.changed);
    ldb_mutex_unlock(&o.mu);
}

static void on_applied(void *context, ldb_sequence sequence)
{
    (void)context;
    ldb_mutex_lock(&o.mu);
    if (sequence > o.applied)
        o.applied = sequence;
    ldb_cond_broadcast(&o.changed);
    ldb_mutex_unlock(&o.mu);
}

static enum ldb_status on_epoch(void *context,
                                const struct repl_epoch_history *history,
                                struct ldb_error *err)
{
    (void)context;
    (void)err;
    ldb_mutex_lock(&o.mu);
    o.epoch = repl_epoch_history_last(history)->number;
    o.epoch_applied = o.applied;
    ldb_mutex_unlock(&o.mu);
    return LDB_OK;
}

static enum ldb_status remove_name(void *context, const char *name)
{
    struct ldb_env *env = context;
    uint64_t number;
    char path[64];

    if (ldb_file_name_parse(name, &number) == LDB_FILE_FOREIGN)
        return LDB_OK;
    (void)snprintf(path, sizeof(path), TWIN_SHIP_DIR "/%s", name);
    return env->ops->remove_file(env, path, NULL);
}

static enum ldb_status copy_file(struct ldb_backup *backup,
                                 const struct ldb_backup_file *file,
                                 struct ldb_error *err)
{
    static uint8_t bytes[LEADER_FILE_MAX]; /* one rebuild at a time */
    struct ldb_env *env = o.f.ship.options.env;
    char path[64];
    size_t size = 0;
    size_t len = 0;
    enum ldb_status s;

    do {
        assert(size < sizeof(bytes));
        s = ldb_backup_read(backup, bytes + size, sizeof(bytes) - size, err,
                            &len);
        size += len;
    } while (s == LDB_OK && len > 0);
    if (s != LDB_OK)
        return s;
    (void)snprintf(path, sizeof(path), TWIN_SHIP_DIR "/%s", file->name);
    return ldb_env_replace_file(env, TWIN_SHIP_DIR, path,
                                TWIN_SHIP_DIR "/000000.tmp",
                                ldb_slice_make(bytes, size), err);
}

static enum ldb_status copy_files(struct ldb_error *err)
{
    struct ldb_backup *backup = NULL;
    struct ldb_backup_file file;
    enum ldb_status s = ldb_backup_open(o.f.leader->db, err, &backup);

    while (s == LDB_OK && (s = ldb_backup_next(backup, err, &file)) == LDB_OK)
        s = copy_file(backup, &file, err);
    ldb_backup_close(backup);
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

/* The leader's folder as it is, and its history. */
static enum ldb_status copy_leader(struct ldb_error *err)
{
    struct ldb_env *env = o.f.ship.options.env;
    struct repl_identity identity = o.f.node.identity;
    struct repl_identity theirs;
    enum ldb_status s;

    memory_peer_identity(o.f.peer, &theirs);
    memcpy(identity.cluster_id, theirs.cluster_id, sizeof(theirs.cluster_id));
    s = env->ops->list_dir(env, TWIN_SHIP_DIR, remove_name, env, err);
    if (s == LDB_OK)
        s = copy_files(err);
    if (s == LDB_OK)
        s = repl_epoch_history_store(env, TWIN_SHIP_DIR, &o.f.history, err);
    if (s == LDB_OK)
        s = repl_identity_store(env, TWIN_SHIP_DIR, &identity, err);
    if (s == LDB_OK) {
        repl_node_release(&o.f.node);
        s = repl_node_load(&o.f.node, env, TWIN_SHIP_DIR, err);
    }
    return s;
}

static enum ldb_status wait_for_cancel(struct ldb_error *err)
{
    ldb_mutex_lock(&o.mu);
    while (!o.is_cancelled)
        ldb_cond_wait(&o.changed, &o.mu);
    ldb_mutex_unlock(&o.mu);
    return ldb_error_set(err, LDB_CANCELLED, "cancelled");
}

static void note_rebuild(const struct repl_rebuild *what)
{
    ldb_mutex_lock(&o.mu);
    o.rebuilds++;
    o.verdict = what->verdict;
    o.is_reopen = what->is_reopen;
    ldb_cond_broadcast(&o.changed);
    ldb_mutex_unlock(&o.mu);
}

static enum ldb_status rebuild(void *context, const struct repl_rebuild *what,
                               struct ldb_error *err, struct ldb_db **out)
{
    enum ldb_status s = LDB_OK;

    (void)context;
    note_rebuild(what);
    if (o.answer == LDB_CANCELLED)
        return wait_for_cancel(err);
    if (o.is_idle)
        return LDB_OK;
    if (*out != NULL)
        LDB_IGNORE(ldb_close(*out, NULL)); /* it may have stopped */
    *out = NULL;
    if (o.answer != LDB_OK)
        return ldb_error_set(err, o.answer, "no rebuild today");
    if (!what->is_reopen) {
        ldb_mutex_lock(&o.leader_mu);
        s = copy_leader(err);
        ldb_mutex_unlock(&o.leader_mu);
    }
    return s == LDB_OK
               ? ldb_twin_open(TWIN_SHIP_DIR, &o.f.ship.options, NULL, err, out)
               : s;
}

static void cancel_rebuild(void *context)
{
    (void)context;
    ldb_mutex_lock(&o.mu);
    o.is_cancelled = true;
    ldb_cond_broadcast(&o.changed);
    ldb_mutex_unlock(&o.mu);
}

/* ---- its life ---- */

static void create_owner(uint64_t seed, bool quiet)
{
    memset(&o, 0, sizeof(o));
    ldb_mutex_init(&o.leader_mu);
    ldb_mutex_init(&o.mu);
    ldb_cond_init(&o.changed);
    follow_open(&o.f, seed, quiet);
    o.options = (struct repl_follower_options){
        .env = o.f.ship.options.env,
        .node = &o.f.node,
        .peer = memory_peer_repl(o.f.peer),
        .url = "",
        .rebuild = rebuild,
        .cancel_rebuild = cancel_rebuild,
        .on_applied = on_applied,
        .on_epoch = on_epoch,
        .on_state = on_state,
        .ack_us = 2000,
        .busy_ack_us = 1000,
        .backoff_us = 1000,
        .backoff_max_us = 4000,
    };
}

static void destroy_owner(void)
{
    follow_close(&o.f);
    ldb_cond_release(&o.changed);
    ldb_mutex_release(&o.mu);
    ldb_mutex_release(&o.leader_mu);
}

static void start(void)
{
    o.options.env = o.f.ship.options.env;
    o.options.db = o.f.ship.db;
    assert_ldb_ok(repl_follower_create(&o.options, &o.f.err, &o.follower),
                  &o.f.err);
}

static void stop(void)
{
    repl_follower_stop(o.follower, &o.f.ship.db);
    repl_follower_destroy(o.follower);
    o.follower = NULL;
}

static int setup(void **state)
{
    (void)state;
    create_owner(1, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (o.follower != NULL)
        stop();
    destroy_owner();
    return 0;
}

static struct repl_follower_stats stats_now(void)
{
    struct repl_follower_stats stats;

    repl_follower_stats(o.follower, &stats);
    return stats;
}

static void wait_entered(enum repl_follower_state state, unsigned times)
{
    bool is_in_time = true;

    ldb_mutex_lock(&o.mu);
    while (o.entered[state] < times && is_in_time)
        is_in_time = ldb_cond_wait_for(&o.changed, &o.mu, PATIENCE_US);
    ldb_mutex_unlock(&o.mu);
    if (!is_in_time)
        fail_msg("no %s, but %s: %s", repl_follower_state_text(state),
                 repl_follower_state_text(stats_now().state), o.why);
}

static void wait_rebuilds(unsigned times)
{
    bool is_in_time = true;

    ldb_mutex_lock(&o.mu);
    while (o.rebuilds < times && is_in_time)
        is_in_time = ldb_cond_wait_for(&o.changed, &o.mu, PATIENCE_US);
    ldb_mutex_unlock(&o.mu);
    assert_true(is_in_time);
}

static void assert_why(const char *text)
{
    ldb_mutex_lock(&o.mu);
    if (strstr(o.why, text) == NULL)
        fail_msg("\"%s\" is not in: %s", text, o.why);
    ldb_mutex_unlock(&o.mu);
}

/* A rebuild may give another twin meanwhile. */
static void catch_up(void)
{
    ldb_sequence last = follow_settle(&o.f);

    assert_ldb_ok(repl_follower_wait(o.follower, last, PATIENCE_US, &o.f.err),
                  &o.f.err);
}

static void look(struct follow_fixture *f, struct repl_follower_stats *out)
{
    (void)f;
    repl_follower_stats(o.follower, out);
}

static void wait_level(void)
{
    follow_wait_level(&o.f, look);
}

/* ---- well ---- */

static void a_fresh_folder_comes_to_be_the_leaders(void **state)
{
    struct repl_follower_stats stats;
    struct repl_lag lag;

    (void)state;
    follow_write(&o.f, 30, 6);
    start();
    wait_level();
    follow_write(&o.f, 30, 6);
    leader_run_compact(o.f.leader);
    wait_level();
    stats = stats_now();
    repl_follower_lag(&stats, stats.heartbeat_us, &lag);
    assert_int_equal(REPL_FOLLOWER_STREAMING, stats.state);
    assert_string_equal("", stats.why);
    assert_int_equal(1, stats.epoch);
    assert_int_equal(1, stats.counts.connects);
    assert_int_equal(0, stats.counts.failures);
    assert_true(lag.is_known);
    assert_int_equal(0, lag.bytes);
    stop();
    assert_int_equal(ldb_last_sequence(o.f.leader->db), o.applied);
    follow_assert_same(&o.f);
}

static void the_epoch_is_known_before_its_first_byte(void **state)
{
    struct repl_identity identity;
    struct repl_identity theirs;
    ldb_sequence before;

    (void)state;
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    assert_int_equal(1, o.epoch);
    assert_int_equal(0, o.epoch_applied);
    before = ldb_last_sequence(o.f.leader->db);
    follow_restart_leader(&o.f);
    follow_write(&o.f, 3, 0);
    catch_up();
    stop();
    assert_int_equal(2, o.epoch);
    assert_int_equal(before, o.epoch_applied);
    assert_ldb_ok(
        repl_identity_load(o.options.env, TWIN_SHIP_DIR, &o.f.err, &identity),
        &o.f.err);
    memory_peer_identity(o.f.peer, &theirs);
    assert_string_equal(theirs.cluster_id, identity.cluster_id);
    assert_string_equal(o.f.node.identity.node_id, identity.node_id);
}

static void a_folder_with_its_leaders_id_gets_one_of_its_own(void **state)
{
    struct repl_identity theirs;

    (void)state;
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    stop();
    memory_peer_identity(o.f.peer, &theirs);
    o.f.node.identity = theirs; /* as a tool copies it */
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    stop();
    assert_true(strcmp(theirs.node_id, o.f.node.identity.node_id) != 0);
    assert_string_equal(theirs.cluster_id, o.f.node.identity.cluster_id);
    assert_int_equal(0, o.rebuilds);
}

static void it_goes_on_after_a_stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        follow_write(&o.f, 10, 4);
        start();
        wait_level();
        stop();
        if (i % 2 == 0) {
            follow_close_twin(&o.f);
            follow_open_twin(&o.f);
        }
    }
    assert_int_equal(0, o.rebuilds);
    follow_assert_same(&o.f);
}

/* Tables in the twin's folder that its version does not name. */
static size_t tables_of_nobody(void)
{
    struct ldb_folder_files files = {0};
    struct ldb_stats stats;
    size_t count = 0;

    assert_ldb_ok(ldb_folder_files_list(o.f.ship.options.env, TWIN_SHIP_DIR,
                                        &o.f.err, &files),
                  &o.f.err);
    for (size_t i = 0; i < files.count; i++)
        count += files.files[i].type == LDB_FILE_TABLE;
    ldb_folder_files_release(&files);
    ldb_stats(o.f.ship.db, &stats);
    for (unsigned l = 0; l < LDB_STATS_LEVELS; l++)
        count -= stats.levels[l].tables;
    return count;
}

/* Whoever follows next with the same twin does not know of them. */
static void what_it_made_and_did_not_install_goes_with_it(void **state)
{
    const struct memory_peer_rule rule = {.what = MEMORY_PEER_REFUSE,
                                          .call = MEMORY_PEER_GET,
                                          .path = ".ldb",
                                          .skip = 2};

    (void)state;
    follow_write(&o.f, 150, 0);
    leader_run_compact(o.f.leader);
    memory_peer_rule(o.f.peer, &rule);
    start();
    wait_entered(REPL_FOLLOWER_WAITING, 2);
    repl_follower_stop(o.follower, &o.f.ship.db);
    assert_true(stats_now().counts.tables_fetched > 0);
    assert_int_equal(0, tables_of_nobody());
    stop();
    memory_peer_forget_rules(o.f.peer);
    start();
    wait_level();
    stop();
    follow_assert_same(&o.f);
}

static void who_waits_for_a_sequence_has_it_or_is_told(void **state)
{
    ldb_sequence last;

    (void)state;
    start();
    follow_write(&o.f, 3, 0);
    last = follow_settle(&o.f);
    assert_ldb_ok(repl_follower_wait(o.follower, last, PATIENCE_US, &o.f.err),
                  &o.f.err);
    assert_ldb_status(LDB_STALLED,
                      repl_follower_wait(o.follower, last + 1, 1, &o.f.err),
                      &o.f.err);
    repl_follower_stop(o.follower, &o.f.ship.db);
    assert_ldb_status(
        LDB_CLOSED,
        repl_follower_wait(o.follower, last + 1, PATIENCE_US, &o.f.err),
        &o.f.err);
}

/* ---- a leader that is not there, or is another ---- */

static void it_waits_for_a_leader_that_is_down(void **state)
{
    (void)state;
    follow_write(&o.f, 3, 0);
    memory_peer_set_db(o.f.peer, NULL, NULL, NULL);
    start();
    wait_entered(REPL_FOLLOWER_WAITING, 5);
    assert_why("down");
    assert_true(stats_now().counts.failures >= 5);
    memory_peer_set_db(o.f.peer, o.f.leader->db, &o.f.leader->options,
                       LEADER_DIR);
    catch_up();
    follow_restart_leader(&o.f);
    follow_write(&o.f, 3, 3);
    wait_level();
    stop();
    assert_int_equal(0, o.rebuilds);
    follow_assert_same(&o.f);
}

/* Its pause is an hour. */
static void a_nudge_ends_a_pause(void **state)
{
    (void)state;
    o.options.backoff_us = UINT64_C(3600) * 1000 * 1000;
    o.options.backoff_max_us = o.options.backoff_us;
    memory_peer_set_db(o.f.peer, NULL, NULL, NULL);
    start();
    wait_entered(REPL_FOLLOWER_WAITING, 1);
    memory_peer_set_db(o.f.peer, o.f.leader->db, &o.f.leader->options,
                       LEADER_DIR);
    repl_follower_nudge(o.follower);
    wait_entered(REPL_FOLLOWER_STREAMING, 1);
}

static void be_follower(void *context, struct repl_state *state)
{
    (void)context;
    state->role = REPL_ROLE_FOLLOWER;
    (void)snprintf(state->leader_url, sizeof(state->leader_url),
                   "http://leader:1");
}

static void a_node_that_does_not_lead_is_not_followed(void **state)
{
    const struct memory_peer_edits edits = {.state = be_follower};
    const struct memory_peer_edits none = {0};

    (void)state;
    memory_peer_set_edits(o.f.peer, &edits);
    start();
    wait_entered(REPL_FOLLOWER_WAITING, 2);
    assert_why("it follows http://leader:1");
    memory_peer_set_edits(o.f.peer, &none);
    wait_entered(REPL_FOLLOWER_STREAMING, 1);
}

/* The address may be another node's for a while. */
static void another_cluster_is_waited_out(void **state)
{
    struct repl_identity ours;
    struct repl_identity other;

    (void)state;
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    stop();
    memory_peer_identity(o.f.peer, &ours);
    other = ours;
    other.cluster_id[0] = other.cluster_id[0] == 'e' ? 'd' : 'e';
    memory_peer_set_identity(o.f.peer, &other);
    start();
    wait_entered(REPL_FOLLOWER_WAITING, 2);
    assert_why(other.cluster_id);
    memory_peer_set_identity(o.f.peer, &ours);
    wait_entered(REPL_FOLLOWER_STREAMING, 2);
    follow_write(&o.f, 3, 0);
    catch_up();
}

/* A folder without an identity would take any. */
static void a_cluster_that_was_asked_for_has_to_be_the_leaders(void **state)
{
    static const char wanted[] = "00000000000000000000000000000000";

    (void)state;
    follow_write(&o.f, 3, 0);
    o.options.cluster_id = wanted;
    start();
    wait_entered(REPL_FOLLOWER_WAITING, 2);
    assert_why(wanted);
    stop();
    assert_int_equal(0, o.rebuilds);
    assert_int_equal(0, ldb_last_sequence(o.f.ship.db));
    o.options.cluster_id = NULL;
    start();
    catch_up();
}

/* Half a table of another day, say. */
static void what_was_on_its_way_in_goes_when_it_streams(void **state)
{
    static const char path[] = TWIN_SHIP_DIR "/leveld/incoming/009999.ldb";
    struct ldb_env *env = o.f.ship.options.env;
    uint64_t size;

    (void)state;
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    stop();
    assert_ldb_ok(ldb_env_replace_file(env, TWIN_SHIP_DIR "/leveld/incoming",
                                       path, TWIN_SHIP_DIR "/leveld/incoming/t",
                                       ldb_slice_str("half"), &o.f.err),
                  &o.f.err);
    start();
    follow_write(&o.f, 3, 0);
    catch_up();
    assert_ldb_status(LDB_NOT_FOUND,
                      env->ops->file_size(env, path, &o.f.err, &size),
                      &o.f.err);
}

/* That of an old leader may be the only one of what it has alone. */
static void flushed_journals_go_when_it_streams(void **state)
{
    static const char path[] = TWIN_SHIP_DIR "/000001.log";
    struct ldb_env *env = o.f.ship.options.env;
    struct ldb_twin_state at;
    uint64_t size;

    (void)state;
    follow_write(&o.f, 3, 3);
    start();
    wait_level();
    stop();
    ldb_twin_state(o.f.ship.db, &at);
    assert_true(at.log_number > 1);
    follow_close_twin(&o.f);
    assert_ldb_ok(ldb_env_replace_file(env, TWIN_SHIP_DIR, path,
                                       TWIN_SHIP_DIR "/t",
                                       ldb_slice_str("ours"), &o.f.err),
                  &o.f.err);
    follow_open_twin(&o.f);
    memory_peer_set_db(o.f.peer, NULL, NULL, NULL);
    start();
    wait_entered(REPL_FOLLOWER_WAITING, 2);
    assert_ldb_ok(env->ops->file_size(env, path, &o.f.err, &size), &o.f.err);
    memory_peer_set_db(o.f.peer, o.f.leader->db, &o.f.leader->options,
                       LEADER_DIR);
    follow_write(&o.f, 3, 0);
    catch_up();
    stop();
    assert_ldb_status(LDB_NOT_FOUND,
                      env->ops->file_size(env, path, &o.f.err, &size),
                      &o.f.err);
    follow_assert_same(&o.f);
}

static void an_epoch_begun_twice_stops_it(void **state)
{
    ldb_sequence before;

    (void)state;
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    stop();
    before = ldb_last_sequence(o.f.ship.db);
    o.f.history.items[o.f.history.count - 1].id ^= 1;
    memory_peer_set_history(o.f.peer, &o.f.history);
    follow_write(&o.f, 3, 0);
    follow_settle(&o.f);
    start();
    wait_entered(REPL_FOLLOWER_STOPPED, 2);
    stop();
    assert_int_equal(before, ldb_last_sequence(o.f.ship.db));
}

static void a_lower_epoch_is_waited_out(void **state)
{
    struct repl_epoch_history higher = {0};
    ldb_sequence before;

    (void)state;
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    before = stats_now().applied.sequence;
    assert_ldb_ok(repl_epoch_history_copy(&o.f.history, &o.f.err, &higher),
                  &o.f.err);
    /* Somebody else leads; this one goes on, and does not know. */
    assert_ldb_ok(repl_epoch_history_append(
                      &higher,
                      &(struct repl_epoch){.number = 2,
                                           .id = 22,
                                           .previous_last = before,
                                           .base = before + REPL_EPOCH_SKIP,
                                           .first_journal = 900},
                      &o.f.err),
                  &o.f.err);
    assert_ldb_ok(repl_follower_accept(o.follower, &higher, &o.f.err),
                  &o.f.err);
    assert_ldb_ok(repl_follower_accept(o.follower, &higher, &o.f.err),
                  &o.f.err);
    assert_ldb_status(LDB_PRECONDITION,
                      repl_follower_accept(o.follower, &o.f.history, &o.f.err),
                      &o.f.err);
    follow_write(&o.f, 3, 0);
    follow_settle(&o.f);
    wait_entered(REPL_FOLLOWER_WAITING, 4);
    assert_int_equal(2, stats_now().epoch);
    assert_int_equal(before, stats_now().applied.sequence);
    assert_int_equal(2, o.epoch);
    repl_epoch_history_release(&higher);
}

/* ---- rebuilding ---- */

static void keep_no_journals(void)
{
    o.f.leader->options.archive_bytes = 0;
    follow_restart_leader(&o.f);
}

/* A follower that lacks journals which have gone. */
static void fall_behind(void)
{
    keep_no_journals();
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    stop();
    follow_write(&o.f, 12, 3);
    follow_settle(&o.f);
}

static void who_is_too_far_behind_is_rebuilt(void **state)
{
    (void)state;
    fall_behind();
    start();
    catch_up();
    stop();
    assert_int_equal(1, o.rebuilds);
    assert_false(o.is_reopen);
    assert_int_equal(REPL_VERDICT_CONTAINED, o.verdict.kind);
    start();
    wait_level();
    stop();
    follow_assert_same(&o.f);
}

static void a_rebuild_that_fails_is_tried_again(void **state)
{
    (void)state;
    fall_behind();
    o.answer = LDB_IO;
    start();
    wait_rebuilds(3); /* there is no twin any more */
    assert_why("no rebuild today");
    stop();
    assert_null(o.f.ship.db);
    o.answer = LDB_OK;
    start();
    catch_up();
    stop();
    assert_non_null(o.f.ship.db);
    follow_check(&o.f);
}

static void a_stop_cancels_a_rebuild(void **state)
{
    (void)state;
    fall_behind();
    o.answer = LDB_CANCELLED;
    start();
    wait_rebuilds(1);
    assert_int_equal(REPL_FOLLOWER_REBUILDING, stats_now().state);
    assert_ldb_status(LDB_STALLED,
                      repl_follower_accept(o.follower, &o.f.history, &o.f.err),
                      &o.f.err);
    stop();
    assert_non_null(o.f.ship.db);
    follow_check(&o.f);
}

static void a_rebuild_that_does_not_help_is_not_repeated_at_once(void **state)
{
    (void)state;
    fall_behind();
    o.is_idle = true;
    start();
    wait_rebuilds(4);
    stop();
    assert_true(o.entered[REPL_FOLLOWER_WAITING] >= 3);
}

static void a_twin_that_has_stopped_is_opened_anew(void **state)
{
    const struct env_fault_rule rule = {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                        .path = ".log",
                                        .nth = 1,
                                        .sys_errno = EIO};

    (void)state;
    follow_write(&o.f, 3, 0);
    start();
    catch_up();
    env_fault_fail(o.f.fault, &rule);
    follow_write(&o.f, 3, 0);
    catch_up();
    stop();
    assert_int_equal(1, o.rebuilds);
    assert_true(o.is_reopen);
    follow_check(&o.f);
}

/* ---- stopping ---- */

static void it_stops_whatever_it_waits_for(void **state)
{
    static const char *const paths[] = {"state", "ack", "MANIFEST", ".log"};

    (void)state;
    follow_write(&o.f, 12, 5);
    follow_settle(&o.f);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        memory_peer_rule(o.f.peer,
                         &(struct memory_peer_rule){.what = MEMORY_PEER_HOLD,
                                                    .path = paths[i]});
        start();
        assert_true(memory_peer_wait_held(o.f.peer, 1));
        stop();
        memory_peer_forget_rules(o.f.peer);
        follow_check(&o.f);
    }
}

static void no_memory_makes_no_follower(void **state)
{
    (void)state;
    o.options.db = o.f.ship.db;
    for (uint64_t n = 1; n <= 3; n++) {
        const struct env_fault_rule rule = {
            .kinds = ENV_FAULT_BIT(ENV_FAULT_THREAD_START),
            .nth = 1,
            .sys_errno = EAGAIN};

        env_fault_fail(o.f.fault, &rule);
        assert_int_not_equal(
            LDB_OK, repl_follower_create(&o.options, &o.f.err, &o.follower));
        assert_null(o.follower);
    }
    env_fault_fail(o.f.fault, NULL);
}

/* ---- at random ---- */

static void live_a_little(uint64_t *seed)
{
    ldb_mutex_lock(&o.leader_mu);
    switch (bytes_next(seed) % 8) {
    case 0:
        leader_run_flush(o.f.leader);
        break;
    case 1:
        leader_run_compact(o.f.leader);
        break;
    case 2:
        follow_restart_leader(&o.f);
        break;
    default:
        follow_write(&o.f, 1 + (unsigned)(bytes_next(seed) % 12), 0);
    }
    ldb_mutex_unlock(&o.leader_mu);
}

/* The power goes while it works, or it is stopped. */
static void end_a_life(uint64_t *seed)
{
    static const enum ldb_crash_keep keeps[] = {
        LDB_CRASH_KEEP_NONE, LDB_CRASH_KEEP_ALL, LDB_CRASH_KEEP_TORN};

    if (bytes_next(seed) % 3 == 0) {
        stop();
        follow_close_twin(&o.f);
        follow_open_twin(&o.f);
        return;
    }
    o.answer = LDB_IO;            /* a machine without power rebuilds nothing */
    ldb_mutex_lock(&o.leader_mu); /* a copy is whole */
    env_fault_power_cut(o.f.fault, keeps[bytes_next(seed) % 3],
                        bytes_next(seed));
    ldb_mutex_unlock(&o.leader_mu);
    stop();
    if (o.f.ship.db != NULL)
        LDB_IGNORE(ldb_close(o.f.ship.db, NULL)); /* its env is dead */
    follow_drop_twin(&o.f);
    follow_open_twin(&o.f);
    o.answer = LDB_OK;
}

static void run(uint64_t seed)
{
    uint64_t random = seed * 31 + 7;

    create_owner(seed, false);
    for (unsigned i = 0; i < 10; i++) {
        memory_peer_set_pieces(o.f.peer,
                               1 + (size_t)(bytes_next(&random) % 5000),
                               bytes_next(&random));
        start();
        for (uint64_t n = bytes_next(&random) % 6; n > 0; n--)
            live_a_little(&random);
        if (bytes_next(&random) % 2 == 0)
            catch_up();
        end_a_life(&random);
        follow_check(&o.f);
    }
    start();
    wait_level();
    stop();
    follow_assert_same(&o.f);
    destroy_owner();
}

static void killed_at_any_point_it_goes_on(void **state)
{
    const char *given = getenv("LEVELD_SEED");
    uint64_t first = given == NULL ? 1 : strtoull(given, NULL, 10);

    (void)state;
    for (uint64_t seed = first; seed < first + RUNS; seed++) {
        print_message("LEVELD_SEED=%llu\n", (unsigned long long)seed);
        run(seed);
    }
}

#define follower_test(name)                                                    \
    cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        follower_test(a_fresh_folder_comes_to_be_the_leaders),
        follower_test(the_epoch_is_known_before_its_first_byte),
        follower_test(a_folder_with_its_leaders_id_gets_one_of_its_own),
        follower_test(it_goes_on_after_a_stop),
        follower_test(what_it_made_and_did_not_install_goes_with_it),
        follower_test(who_waits_for_a_sequence_has_it_or_is_told),
        follower_test(it_waits_for_a_leader_that_is_down),
        follower_test(a_nudge_ends_a_pause),
        follower_test(a_node_that_does_not_lead_is_not_followed),
        follower_test(another_cluster_is_waited_out),
        follower_test(a_cluster_that_was_asked_for_has_to_be_the_leaders),
        follower_test(what_was_on_its_way_in_goes_when_it_streams),
        follower_test(flushed_journals_go_when_it_streams),
        follower_test(an_epoch_begun_twice_stops_it),
        follower_test(a_lower_epoch_is_waited_out),
        follower_test(who_is_too_far_behind_is_rebuilt),
        follower_test(a_rebuild_that_fails_is_tried_again),
        follower_test(a_stop_cancels_a_rebuild),
        follower_test(a_rebuild_that_does_not_help_is_not_repeated_at_once),
        follower_test(a_twin_that_has_stopped_is_opened_anew),
        follower_test(it_stops_whatever_it_waits_for),
        follower_test(no_memory_makes_no_follower),
        cmocka_unit_test(killed_at_any_point_it_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
