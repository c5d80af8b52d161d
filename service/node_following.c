#include <stdio.h>
#include <string.h>

#include "api/diverged.h"
#include "api/feeds.h"
#include "api/role.h"
#include "api/sequence_wait.h"
#include "replication/rebuild_intent.h"
#include "replication/served_file.h"
#include "replication/twin_build.h"
#include "replication/twin_mark.h"
#include "service/engine_options.h"
#include "service/node_run_internal.h"
#include "storage/base/status.h"
#include "storage/twin.h"

/*
 * A node that follows: its folder is opened as a twin, which repl_follower
 * keeps at what the leader has. The follower asks for the folder to be made
 * anew when it can not go on; that is done here, on the follower's thread,
 * because the database is exchanged for it.
 *
 * A folder that has a history of the cluster is shown as it is, at once. One
 * that is new is shown once it has been level with its leader, or was made by a
 * rebuild: until then an answer of "no such key" would be a lie.
 */

static const struct api_db_gate_reason bootstrapping = {
    .kind = API_PROBLEM_STALLED,
    .reason = "bootstrapping",
    .detail = "this node does not have its leader's data yet",
    .retry_after_s = 5,
};

static const struct api_db_gate_reason rebuilding = {
    .kind = API_PROBLEM_STALLED,
    .reason = "bootstrapping",
    .detail = "this node's folder is being made its leader's again",
    .retry_after_s = 1,
};

/* ---- opening ---- */

static void on_durable(void *context)
{
    struct svc_node *node = context;

    api_feeds_durable(node->context->feeds);
}

/* Of a folder without an identity the leader's is looked at
 * (follower_options.h). */
static enum ldb_status check_cluster(const struct svc_node *node,
                                     struct ldb_error *err)
{
    const struct repl_identity *identity = &node->repl.identity;
    const char *wanted = node->config->cluster_id;

    if (wanted[0] == '\0' || !node->repl.has_identity ||
        strcmp(wanted, identity->cluster_id) == 0)
        return LDB_OK;
    return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                         "%s is of cluster %s, --cluster-id %s",
                         node->config->data_dir, identity->cluster_id, wanted);
}

/* Whether the folder has to be rebuilt before anything is opened in it. */
static enum ldb_status must_switch(const struct svc_node *node,
                                   struct ldb_error *err, bool *out)
{
    struct repl_rebuild_intent intent;
    enum ldb_status s = repl_rebuild_intent_load(
        node->env, node->config->data_dir, err, &intent);

    *out = s == LDB_OK && intent.phase == REPL_REBUILD_SWITCHING;
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

static void log_no_twin(const struct svc_node *node,
                        const struct ldb_error *err)
{
    struct svc_log_line line;

    svc_log_begin(&line, SVC_LOG_WARN, "not-opened");
    svc_log_text(&line, "folder", node->config->data_dir);
    svc_log_text(&line, "then", "it is made anew from the leader");
    svc_log_error(&line, err);
    svc_log_end(&line);
}

/*
 * The twin into node->db. What only the leader can mend leaves it NULL, and is
 * logged.
 */
static enum ldb_status open_twin(struct svc_node *node, struct ldb_error *err)
{
    struct ldb_recovery recovery = {0};
    struct ldb_db *db = NULL;
    enum ldb_status s;

    svc_engine_options(node->config, node->env, &node->engine);
    node->engine.on_durable = on_durable;
    node->engine.on_durable_context = node;
    s = ldb_twin_open(node->config->data_dir, &node->engine, &recovery, err,
                      &db);
    if (s == LDB_CORRUPTION || s == LDB_NOT_SUPPORTED) {
        log_no_twin(node, err);
        return LDB_OK;
    }
    if (s != LDB_OK)
        return s;
    node->db = db;
    node->is_twin = true;
    node->recovery = recovery;
    return LDB_OK;
}

/* leveld/ as it has to be before a byte of the leader comes. */
static enum ldb_status prepare_folder(struct svc_node *node,
                                      struct ldb_error *err)
{
    enum ldb_status s = svc_node_load(node, err);

    if (s == LDB_OK)
        s = check_cluster(node, err);
    if (s == LDB_OK && node->config->create)
        s = ldb_env_create_folder(node->env, node->config->data_dir, err);
    if (s == LDB_OK)
        s = repl_node_begin_following(&node->repl, err);
    return s;
}

static enum ldb_status close_twin(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    svc_care_stop(node);
    repl_served_files_destroy(node->tables);
    node->tables = NULL;
    svc_node_close_digests(node);
    if (node->db != NULL)
        s = ldb_close(node->db, err);
    node->db = NULL;
    return s;
}

/* What goes with an open twin. */
static enum ldb_status open_parts(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s = svc_node_open_digests(node, err);

    if (s == LDB_OK)
        s = repl_served_files_create_twin(
            node->db, node->env, node->config->data_dir, err, &node->tables);
    return s == LDB_OK ? svc_care_start(node, err) : s;
}

enum ldb_status svc_follow_open(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s = prepare_folder(node, err);
    bool is_switching = false;

    node->is_new_epoch = false;
    node->epoch = (struct repl_epoch){0};
    if (s == LDB_OK)
        s = must_switch(node, err, &is_switching);
    if (s == LDB_OK && !is_switching)
        s = open_twin(node, err);
    if (s == LDB_OK && node->db != NULL)
        s = open_parts(node, err);
    if (s == LDB_OK)
        svc_node_publish_ids(node);
    if (s == LDB_OK)
        s = svc_node_publish(node, &node->repl.history, err);
    if (s != LDB_OK) /* why it cannot follow is the error to tell */
        (void)!close_twin(node, NULL);
    return s;
}

/* ---- what the follower tells ---- */

static void on_applied(void *context, ldb_sequence sequence)
{
    struct svc_node *node = context;

    api_sequence_waits_advance(node->context->sequence_waits, sequence);
}

static enum ldb_status on_epoch(void *context,
                                const struct repl_epoch_history *history,
                                struct ldb_error *err)
{
    svc_node_publish_ids(context); /* epochs are of a cluster */
    return svc_node_publish(context, history, err);
}

static bool is_well(enum repl_follower_state state)
{
    return state == REPL_FOLLOWER_STREAMING ||
           state == REPL_FOLLOWER_REBUILDING;
}

static const char *skip_digits(const char *text)
{
    return text + strspn(text, "0123456789");
}

/* "after 3 ms", "at 4711 bytes": the same but for its numbers. */
static bool is_same_reason(const char *a, const char *b)
{
    for (;;) {
        a = skip_digits(a);
        b = skip_digits(b);
        if (*a != *b)
            return false;
        if (*a == '\0')
            return true;
        a++;
        b++;
    }
}

/* What comes again and again while a leader is away is told once. */
static enum svc_log_level
level_of(struct svc_node *node, enum repl_follower_state state, const char *why)
{
    bool is_news = !is_same_reason(node->logged_why, why);

    switch (state) {
    case REPL_FOLLOWER_CONNECTING:
    case REPL_FOLLOWER_COMPARING:
        return SVC_LOG_DEBUG;
    case REPL_FOLLOWER_STREAMING:
    case REPL_FOLLOWER_REBUILDING:
        node->logged_why[0] = '\0';
        return SVC_LOG_INFO;
    case REPL_FOLLOWER_WAITING:
        (void)snprintf(node->logged_why, sizeof node->logged_why, "%s", why);
        return is_news ? SVC_LOG_WARN : SVC_LOG_DEBUG;
    case REPL_FOLLOWER_STOPPED:
        break;
    }
    return why[0] == '\0' ? SVC_LOG_INFO : SVC_LOG_ERROR;
}

static void on_state(void *context, enum repl_follower_state state,
                     const char *why)
{
    struct svc_node *node = context;
    struct svc_log_line line;

    svc_log_begin(&line, level_of(node, state, why), "following");
    svc_log_text(&line, "state", repl_follower_state_text(state));
    svc_log_text(&line, "leader", node->role.now.leader_url);
    if (why[0] != '\0')
        svc_log_text(&line, "why", why);
    svc_log_end(&line);
    if (state == REPL_FOLLOWER_STREAMING)
        svc_node_publish_ids(node);
    ldb_mutex_lock(&node->mu);
    if (is_well(state))
        node->waits_since_us = 0;
    else if (node->waits_since_us == 0)
        node->waits_since_us = svc_node_now_us(node);
    ldb_mutex_unlock(&node->mu);
}

/* ---- rebuilding, on the follower's thread ---- */

/* Closes what is open; an error of that is the old folder's, and logged. */
static enum ldb_status close_old(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s = svc_node_close_gate(node, &rebuilding, err);
    struct ldb_error why = {0};
    struct svc_log_line line;

    if (s != LDB_OK)
        return s;
    if (close_twin(node, &why) != LDB_OK) {
        svc_log_begin(&line, SVC_LOG_WARN, "close-failed");
        svc_log_error(&line, &why);
        svc_log_end(&line);
    }
    return LDB_OK;
}

/* Opens the folder again, and the gate to it. */
static enum ldb_status open_again(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s = svc_follow_open(node, err);

    if (s == LDB_OK && node->db == NULL)
        s = ldb_error_set(err, LDB_CORRUPTION,
                          "%s could not be opened: see the log",
                          node->config->data_dir);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&node->mu);
    if (!node->is_bootstrapping)
        svc_node_take_db(node);
    ldb_mutex_unlock(&node->mu);
    return LDB_OK;
}

/* NULL: it is over; what it has done is kept. */
static void show_build(struct svc_node *node, struct repl_build *build)
{
    ldb_mutex_lock(&node->mu);
    if (build == NULL) {
        repl_build_figures(node->build, &node->built);
        node->built_us = svc_node_now_us(node) - node->built.begun_us;
    }
    node->build = build;
    if (build != NULL && node->is_build_cancelled)
        repl_build_interrupt(build);
    ldb_mutex_unlock(&node->mu);
}

static void cancel_rebuild(void *context)
{
    struct svc_node *node = context;

    ldb_mutex_lock(&node->mu);
    node->is_build_cancelled = true;
    if (node->build != NULL)
        repl_build_interrupt(node->build);
    ldb_mutex_unlock(&node->mu);
}

static void log_built(const struct svc_node *node, struct repl_build *build)
{
    const struct repl_verdict *verdict = repl_build_verdict(build);
    struct repl_build_figures figures;
    struct svc_log_line line;

    repl_build_figures(build, &figures);
    svc_log_begin(&line,
                  figures.files_set_aside == 0 ? SVC_LOG_INFO : SVC_LOG_WARN,
                  "rebuilt");
    svc_log_text(&line, "verdict", repl_verdict_text(verdict->kind));
    svc_log_text(&line, "reason", verdict->reason);
    svc_log_u64(&line, "fork", verdict->fork);
    svc_log_u64(&line, "tables_kept", figures.tables_kept);
    svc_log_u64(&line, "tables_fetched", figures.tables_fetched);
    svc_log_u64(&line, "bytes_fetched", figures.bytes_fetched);
    svc_log_u64(&line, "files_set_aside", figures.files_set_aside);
    svc_log_u64(&line, "entries_set_aside", figures.entries_set_aside);
    svc_log_ms(&line, "duration_ms", svc_node_now_us(node) - figures.begun_us);
    svc_log_end(&line);
}

/* Fetched with the old database open; then the gate is closed for the switch,
 * which is short. */
static enum ldb_status build_anew(struct svc_node *node, struct ldb_error *err)
{
    struct repl_build_options options = {
        .env = node->env,
        .dir = node->config->data_dir,
        .peer = node->peer,
    };
    struct repl_build *build = NULL;
    enum ldb_status s;

    memcpy(options.node_id, node->repl.identity.node_id,
           sizeof options.node_id);
    ldb_mutex_lock(&node->mu);
    options.is_accepted = node->is_accepted;
    ldb_mutex_unlock(&node->mu);
    s = repl_build_create(&options, err, &build);
    if (s != LDB_OK)
        return s;
    show_build(node, build);
    s = repl_build_fetch(build, err);
    if (s == LDB_OK)
        s = close_old(node, err);
    if (s == LDB_OK)
        s = repl_build_switch(build, err);
    show_build(node, NULL);
    if (s == LDB_OK) {
        ldb_mutex_lock(&node->mu);
        node->is_accepted = false;
        node->is_bootstrapping = false;
        ldb_mutex_unlock(&node->mu);
        log_built(node, build);
    }
    repl_build_destroy(build);
    api_diverged_count(node->context);
    return s;
}

static enum ldb_status rebuild(void *context, const struct repl_rebuild *what,
                               struct ldb_error *err, struct ldb_db **out)
{
    struct svc_node *node = context;
    enum ldb_status s;

    assert(*out == node->db);
    ldb_mutex_lock(&node->mu);
    node->is_rebuilding = true;
    ldb_mutex_unlock(&node->mu);
    svc_care_pause(node);
    s = what->is_reopen ? close_old(node, err) : build_anew(node, err);
    if (s == LDB_OK)
        s = open_again(node, err);
    *out = node->db;
    svc_care_resume(node);
    ldb_mutex_lock(&node->mu);
    node->is_rebuilding = false;
    ldb_mutex_unlock(&node->mu);
    return s;
}

/* ---- following ---- */

static enum ldb_status make_follower(struct svc_node *node,
                                     struct ldb_error *err)
{
    const struct repl_follower_options options = {
        .env = node->env,
        .node = &node->repl,
        .db = node->db,
        .peer = node->peer,
        .cluster_id = node->config->cluster_id,
        .url = node->url,
        .rebuild = rebuild,
        .cancel_rebuild = cancel_rebuild,
        .on_applied = on_applied,
        .on_epoch = on_epoch,
        .on_state = on_state,
        .context = node,
    };
    struct repl_follower *follower = NULL;
    enum ldb_status s = repl_follower_create(&options, err, &follower);

    ldb_mutex_lock(&node->mu);
    node->follower = follower;
    ldb_mutex_unlock(&node->mu);
    return s;
}

void svc_follow_show(struct svc_node *node)
{
    bool is_new = node->db == NULL || !node->repl.has_identity;

    api_role_set(node->context->role, REPL_ROLE_FOLLOWER,
                 node->role.now.leader_url);

    ldb_mutex_lock(&node->mu);
    node->is_bootstrapping = is_new;
    ldb_mutex_unlock(&node->mu);
    if (is_new)
        api_context_shut(node->context, &bootstrapping);
    else
        svc_node_take_db(node);
}

enum ldb_status svc_follow_start(struct svc_node *node, struct ldb_error *err)
{
    const char *url = node->role.now.leader_url;
    enum ldb_status s;

    ldb_mutex_lock(&node->mu);
    node->is_build_cancelled = false;
    node->built = (struct repl_build_figures){0};
    node->built_us = 0;
    node->waits_since_us = svc_node_now_us(node);
    ldb_mutex_unlock(&node->mu);
    /* Without a leader it only shows what it has. */
    if (url[0] == '\0')
        return LDB_OK;
    node->peer_tokens = svc_peers_tokens(node->peers);
    s = svc_peers_make(node->peers, url, err, &node->peer);
    if (s == LDB_OK)
        s = make_follower(node, err);
    if (s != LDB_OK)
        svc_follow_stop(node);
    return s;
}

void svc_follow_stop(struct svc_node *node)
{
    struct repl_follower *follower;

    ldb_mutex_lock(&node->mu);
    follower = node->follower;
    ldb_mutex_unlock(&node->mu);
    if (follower != NULL)
        repl_follower_stop(follower, &node->db);
    ldb_mutex_lock(&node->mu);
    node->follower = NULL;
    ldb_mutex_unlock(&node->mu);
    repl_follower_destroy(follower);
    repl_peer_destroy(node->peer);
    node->peer = NULL;
}

enum ldb_status svc_follow_close(struct svc_node *node, struct ldb_error *err)
{
    ldb_sequence last = ldb_last_sequence(node->db);
    struct ldb_twin_state at;
    enum ldb_status s;

    assert(node->follower == NULL);
    ldb_twin_state(node->db, &at);
    s = close_twin(node, err);
    if (s == LDB_OK)
        s = repl_twin_mark_stop(node->env, node->config->data_dir,
                                at.manifest_number, last, err);
    return s;
}

/* ---- housekeeping ---- */

/* A new folder is shown once it has what the leader had. */
static void show_when_level(struct svc_node *node)
{
    struct repl_follower_stats stats;

    ldb_mutex_lock(&node->mu);
    if (node->is_bootstrapping && !node->is_rebuilding &&
        node->follower != NULL) {
        repl_follower_stats(node->follower, &stats);
        if (stats.state == REPL_FOLLOWER_STREAMING &&
            repl_follower_is_level(&stats)) {
            node->is_bootstrapping = false;
            svc_node_take_db(node);
        }
    }
    ldb_mutex_unlock(&node->mu);
}

/* How often the token file is looked at while the leader is not followed, and
 * following is tried again. Chosen. */
#define RETRY_US UINT64_C(2000000)

/* It does not stream, and has not for a while. */
static bool is_waiting(struct svc_node *node, uint64_t now_us)
{
    bool is_waiting;

    ldb_mutex_lock(&node->mu);
    is_waiting = node->follower != NULL && !node->is_rebuilding &&
                 node->waits_since_us != 0 &&
                 now_us - node->waits_since_us >= RETRY_US;
    ldb_mutex_unlock(&node->mu);
    return is_waiting;
}

/*
 * The leader may refuse our token because it has another one now, and the file
 * may have that already, or get it: then it is followed anew with it. Whoever
 * mounts secrets replaces files, and sends no signal.
 */
static void take_new_token(struct svc_node *node)
{
    uint64_t now_us = svc_node_now_us(node);
    struct ldb_error err = {0};

    if (!is_waiting(node, now_us) || now_us - node->token_read_us < RETRY_US)
        return;
    node->token_read_us = now_us;
    /* One that cannot be read, or is half written, leaves the old one. */
    (void)!svc_peers_reload(node->peers, NULL);
    if (svc_peers_tokens(node->peers) == node->peer_tokens)
        return;
    svc_log_event(SVC_LOG_INFO, "token-changed", "file",
                  node->config->replication_token_file);
    svc_follow_stop(node);
    if (svc_follow_start(node, &err) == LDB_OK)
        return;
    svc_log_event(SVC_LOG_ERROR, "follow-failed", "error", err.message);
}

/* What could not begin to follow, for want of memory or a thread, or as a token
 * could not be read, is tried again; that it failed was told then. */
static void follow_again(struct svc_node *node)
{
    uint64_t now_us = svc_node_now_us(node);

    if (now_us - node->tried_us < RETRY_US)
        return;
    node->tried_us = now_us;
    if (svc_follow_start(node, NULL) == LDB_OK)
        svc_log_event(SVC_LOG_INFO, "follows-again", "leader",
                      node->role.now.leader_url);
}

void svc_follow_tick(struct svc_node *node)
{
    if (node->follower == NULL && node->role.now.leader_url[0] != '\0')
        follow_again(node);
    show_when_level(node);
    svc_follow_log_progress(node);
    take_new_token(node);
}
