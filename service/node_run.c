#include "service/node_run.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "api/diverged.h"
#include "api/feeds.h"
#include "api/role.h"
#include "api/sequence_wait.h"
#include "replication/digest_index.h"
#include "replication/formats.h"
#include "service/http_server.h"
#include "service/node_run_internal.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Until what does not end by itself is cut, again and again: streams whose
 * readers take nothing. Chosen. */
#define GRACE_US UINT64_C(1000000)
/* Between two lines about a gate that does not empty. */
#define GATE_LOG_US UINT64_C(10000000)

static const struct api_node_ops node_ops = {
    .promote = svc_change_promote,
    .demote = svc_change_demote,
    .handover = svc_change_handover,
    .reason = svc_follow_reason,
    .following = svc_follow_figures,
    .state = svc_follow_state,
};

uint64_t svc_node_now_us(const struct svc_node *node)
{
    return node->env->ops->monotonic_us(node->env);
}

/* ---- the gate ---- */

static void log_waiting(struct svc_node *node, uint64_t waited_us)
{
    struct svc_log_line line;

    svc_log_begin(&line, SVC_LOG_WARN, "waiting");
    svc_log_text(&line, "for", "requests that use the database");
    svc_log_u64(&line, "requests", api_db_gate_inside(node->context->gate));
    svc_log_ms(&line, "waited_ms", waited_us);
    svc_log_end(&line);
}

bool svc_node_is_draining(struct svc_node *node)
{
    bool is_draining;

    ldb_mutex_lock(&node->mu);
    is_draining = node->is_draining;
    ldb_mutex_unlock(&node->mu);
    return is_draining;
}

void svc_node_pause(struct svc_node *node, uint64_t us)
{
    ldb_mutex_lock(&node->mu);
    if (!node->is_draining)
        (void)ldb_cond_wait_for(&node->changed, &node->mu, us);
    ldb_mutex_unlock(&node->mu);
}

enum ldb_status svc_node_close_gate(struct svc_node *node,
                                    const struct api_db_gate_reason *reason,
                                    struct ldb_error *err)
{
    struct svc_http_server *http;
    uint64_t begun_us = svc_node_now_us(node);
    uint64_t logged_us = begun_us;

    api_context_shut(node->context, reason);
    while (!api_db_gate_wait(node->context->gate, GRACE_US)) {
        uint64_t now_us = svc_node_now_us(node);

        if (svc_node_is_draining(node))
            return ldb_error_set(err, LDB_CLOSED, "the server stops");
        http = atomic_load_explicit(&node->http, memory_order_acquire);
        if (http != NULL)
            svc_http_server_cut_streams(http);
        if (now_us - logged_us < GATE_LOG_US)
            continue;
        logged_us = now_us;
        log_waiting(node, now_us - begun_us);
    }
    api_context_drop_db(node->context);
    return LDB_OK;
}

/* ---- what is shown ---- */

enum ldb_status svc_node_load(struct svc_node *node, struct ldb_error *err)
{
    struct repl_node loaded = {0};
    enum ldb_status s =
        repl_node_load(&loaded, node->env, node->config->data_dir, err);

    /* What is known stays: who asks again may find a disk that reads again. */
    if (s != LDB_OK)
        return s;
    /* One that was made and is not stored yet: the leader may know it. */
    if (!loaded.has_identity)
        memcpy(loaded.identity.node_id, node->repl.identity.node_id,
               sizeof loaded.identity.node_id);
    repl_node_release(&node->repl);
    node->repl = loaded;
    return LDB_OK;
}

enum ldb_status svc_node_publish(struct svc_node *node,
                                 const struct repl_epoch_history *history,
                                 struct ldb_error *err)
{
    const struct repl_epoch *last = repl_epoch_history_last(history);
    struct repl_epoch_history copy = {0};
    struct repl_epoch_history old;
    enum ldb_status s = repl_epoch_history_copy(history, err, &copy);

    if (s == LDB_OK)
        s = api_sequence_waits_set_history(node->context->sequence_waits,
                                           history, err);
    if (s == LDB_OK)
        s = api_feeds_set_history(node->context->feeds, history);
    if (s != LDB_OK) {
        repl_epoch_history_release(&copy);
        return ldb_error_no_memory(err);
    }
    ldb_mutex_lock(&node->mu);
    old = node->history;
    node->history = copy;
    ldb_mutex_unlock(&node->mu);
    repl_epoch_history_release(&old);
    atomic_store(&node->context->epoch, last == NULL ? 0 : last->number);
    return LDB_OK;
}

void svc_node_publish_ids(struct svc_node *node)
{
    const struct repl_identity *now = &node->repl.identity;
    struct repl_identity *shown = &node->shown;

    ldb_mutex_lock(&node->mu);
    if (strcmp(shown->node_id, now->node_id) != 0 &&
        node->id_texts[1][0] == '\0') {
        char *text = node->id_texts[shown->node_id[0] != '\0'];

        memcpy(shown->node_id, now->node_id, sizeof shown->node_id);
        memcpy(text, now->node_id, sizeof shown->node_id);
        atomic_store(&node->context->node_id, text);
    }
    if (shown->cluster_id[0] == '\0' && node->repl.has_identity) {
        memcpy(shown->cluster_id, now->cluster_id, sizeof shown->cluster_id);
        atomic_store(&node->context->cluster_id, shown->cluster_id);
    }
    ldb_mutex_unlock(&node->mu);
}

/* ---- what handlers use beside the database ---- */

enum ldb_status svc_node_open_digests(struct svc_node *node,
                                      struct ldb_error *err)
{
    assert(node->digests == NULL);
    return repl_digest_index_open(node->env, node->config->data_dir, err,
                                  &node->digests);
}

void svc_node_close_digests(struct svc_node *node)
{
    /* What cannot be stored is found out anew. */
    (void)!repl_digest_index_close(node->digests, NULL);
    node->digests = NULL;
}

void svc_node_take_db(struct svc_node *node)
{
    node->context->leader = node->leader;
    node->context->digests = node->digests;
    node->context->tables = node->tables;
    node->context->scrub = node->scrub;
    node->context->heal = node->heal;
    api_context_take_db(node->context, node->db);
}

/* ---- opening ---- */

static void log_role(const struct svc_node *node, const char *event,
                     const char *reason)
{
    struct svc_log_line line;

    svc_log_begin(&line, SVC_LOG_WARN, event);
    svc_log_text(&line, "reason", reason);
    svc_log_text(&line, "role",
                 node->role.now.role == REPL_ROLE_LEADER ? "leader"
                                                         : "follower");
    svc_log_text(&line, "leader", node->role.now.leader_url);
    svc_log_end(&line);
}

/* What it begins as. */
static enum ldb_status decide(struct svc_node *node, struct ldb_error *err)
{
    const struct svc_config *config = node->config;
    struct repl_assignment flags = {
        .role = config->role == SVC_ROLE_LEADER ? REPL_ROLE_LEADER
                                                : REPL_ROLE_FOLLOWER,
    };
    bool is_kept = false;
    enum ldb_status s;

    repl_role_url_copy(config->leader, flags.leader_url);
    node->role = (struct repl_role_file){.now = flags, .configured = flags};
    if (config->read_only)
        return LDB_OK; /* nothing may be written, and nothing is decided */
    s = repl_role_decide(node->env, config->data_dir, &flags, err, &node->role,
                         &is_kept);
    if (s == LDB_OK && is_kept &&
        (node->role.now.role != flags.role ||
         strcmp(node->role.now.leader_url, flags.leader_url) != 0))
        log_role(node, "role-kept",
                 "decided at run time; a changed --role or --leader wins");
    return s;
}

static enum ldb_status open_following(struct svc_node *node,
                                      struct ldb_error *err)
{
    enum ldb_status s =
        svc_peers_check(node->peers, node->role.now.leader_url, err);

    if (s != LDB_OK)
        return ldb_error_prefix(err, s, "--leader"); /* it may have a secret */
    s = svc_follow_open(node, err);
    if (s == LDB_OK)
        svc_follow_show(node);
    return s;
}

/* What was decided at run time is over: another node was promoted since. The
 * flags name this one a follower, and hold again. */
static enum ldb_status yield(struct svc_node *node, struct ldb_error *err)
{
    const struct repl_assignment configured = node->role.configured;
    enum ldb_status s =
        repl_role_file_remove(node->env, node->config->data_dir, err);

    if (s != LDB_OK)
        return s;
    node->role =
        (struct repl_role_file){.now = configured, .configured = configured};
    log_role(node, "role-passed-over",
             "another node leads in a later epoch, or has");
    return open_following(node, err);
}

static enum ldb_status open_leading(struct svc_node *node,
                                    struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (!node->config->read_only)
        s = svc_node_load(node, err);
    if (s == LDB_OK && node->role.configured.role == REPL_ROLE_FOLLOWER &&
        svc_search_is_passed_over(node))
        return yield(node, err);
    if (s == LDB_OK && !node->config->read_only)
        s = svc_search_check(node, err);
    if (s == LDB_OK)
        s = svc_lead_open(node, err);
    if (s == LDB_OK)
        svc_lead_show(node);
    return s;
}

static void destroy(struct svc_node *node)
{
    svc_handover_forget(node); /* it has a secret */
    svc_peers_destroy(node->peers);
    repl_epoch_history_release(&node->history);
    repl_node_release(&node->repl);
    svc_turn_release(&node->turn);
    ldb_cond_release(&node->changed);
    ldb_mutex_release(&node->mu);
    ldb_mem_free(node);
}

enum ldb_status svc_node_open(const struct svc_config *config,
                              struct ldb_env *env, struct api_context *context,
                              struct ldb_error *err, struct svc_node **out)
{
    struct svc_node *node = ldb_mem_zalloc(1, sizeof *node);
    enum ldb_status s;

    if (node == NULL)
        return ldb_error_no_memory(err);
    node->config = config;
    node->env = env;
    node->context = context;
    ldb_mutex_init(&node->mu);
    ldb_cond_init(&node->changed);
    svc_turn_init(&node->turn);
    context->node_ops = &node_ops;
    context->node = node;
    /* Before anything: it may be a newer leveld's. */
    s = repl_formats_check(env, config->data_dir, err);
    if (s == LDB_OK)
        s = svc_peers_create(config, env, err, &node->peers);
    if (s == LDB_OK)
        s = decide(node, err);
    if (s == LDB_OK)
        s = node->role.now.role == REPL_ROLE_LEADER ? open_leading(node, err)
                                                    : open_following(node, err);
    if (s != LDB_OK) {
        context->node_ops = NULL;
        context->node_id = "";
        context->cluster_id = "";
        destroy(node);
        return s;
    }
    api_diverged_count(context);
    node->is_starting = svc_turn_begin_tending(&node->turn);
    assert(node->is_starting); /* nobody else knows of it */
    *out = node;
    return LDB_OK;
}

void svc_node_opened(struct svc_node *node, struct svc_node_opened *out)
{
    *out = (struct svc_node_opened){
        .recovery = node->recovery,
        .epoch = node->context->epoch,
        .is_new_epoch = node->is_new_epoch,
        .sequence = node->db == NULL ? 0 : ldb_last_sequence(node->db),
        .leader_url = node->role.now.leader_url,
    };
}

/* From now on it may be changed. */
static void end_start(struct svc_node *node)
{
    if (node->is_starting)
        svc_turn_end_tending(&node->turn);
    node->is_starting = false;
}

enum ldb_status svc_node_start(struct svc_node *node,
                               struct svc_http_server *http, const char *url,
                               struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    repl_role_url_copy(url, node->url);
    atomic_store_explicit(&node->http, http, memory_order_release);
    if (node->role.now.role == REPL_ROLE_FOLLOWER)
        s = svc_follow_start(node, err);
    if (s == LDB_OK && !node->config->read_only)
        s = svc_search_start(node, err);
    end_start(node);
    return s;
}

enum ldb_status svc_node_reload(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s = svc_peers_reload(node->peers, err);

    /* Certificates are read at each connection. While it is changed it will
     * connect anew anyhow. */
    if (svc_turn_begin_tending(&node->turn)) {
        if (node->follower != NULL)
            repl_follower_nudge(node->follower);
        svc_turn_end_tending(&node->turn);
    }
    return s;
}

/* ---- housekeeping ---- */

void svc_node_tick(struct svc_node *node)
{
    /* While it is changed there is nothing to look after. */
    if (!svc_turn_begin_tending(&node->turn))
        return;
    if (node->still_why != LDB_OK)
        svc_change_tick(node);
    else if (node->role.now.role == REPL_ROLE_FOLLOWER)
        svc_follow_tick(node);
    else
        svc_lead_tick(node);
    svc_turn_end_tending(&node->turn);
}

/* ---- the end ---- */

void svc_node_drain(struct svc_node *node)
{
    ldb_mutex_lock(&node->mu);
    node->is_draining = true;
    ldb_cond_broadcast(&node->changed);
    ldb_mutex_unlock(&node->mu);
    svc_turn_finish(&node->turn);
    svc_peers_interrupt(node->peers);
}

enum ldb_status svc_node_close(struct svc_node *node, struct ldb_error *err)
{
    static const struct api_db_gate_reason stopping = {
        .kind = API_PROBLEM_OVERLOADED,
        .reason = "stopping",
        .detail = "the server stops",
        .retry_after_s = 1,
    };
    struct api_context *context = node->context;
    enum ldb_status s = LDB_OK;

    svc_node_drain(node);
    end_start(node);
    svc_search_stop(node);
    svc_turn_wait(&node->turn); /* what goes on asks whether we drain */
    svc_follow_stop(node);
    /* Exchanges that waited for a write come out when the server is destroyed:
     * they touch nothing of it any more. */
    api_context_shut(context, &stopping);
    api_context_drop_db(context);
    if (node->db != NULL && node->is_twin)
        s = svc_follow_close(node, err);
    else if (node->db != NULL) /* a demotion may be cut short */
        s = svc_lead_close(node, node->role.now.role == REPL_ROLE_LEADER, err);
    context->node_ops = NULL;
    context->node_id = "";
    context->cluster_id = "";
    destroy(node);
    return s;
}
