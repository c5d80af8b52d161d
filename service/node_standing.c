#include <inttypes.h>

#include "api/role.h"
#include "replication/rebuild_intent.h"
#include "replication/twin_build.h"
#include "replication/twin_report.h"
#include "service/engine_options.h"
#include "service/node_run_internal.h"
#include "storage/base/status.h"

/*
 * What a node that follows says of itself: figures, whether it is fit to serve,
 * its state for other nodes, how a rebuild goes on. Of any thread but the last.
 */

/* Under mu. */
static void rebuild_figures(const struct svc_node *node, uint64_t now_us,
                            struct api_following *out)
{
    out->is_rebuilding = node->build != NULL;
    out->rebuild = node->built;
    out->rebuild_us = node->built_us;
    if (node->build == NULL)
        return;
    repl_build_figures(node->build, &out->rebuild);
    out->rebuild_us =
        now_us > out->rebuild.begun_us ? now_us - out->rebuild.begun_us : 0;
}

bool svc_follow_figures(void *context, struct api_following *out)
{
    struct svc_node *node = context;
    uint64_t now_us = svc_node_now_us(node);
    bool follows;

    ldb_mutex_lock(&node->mu);
    follows = node->follower != NULL;
    if (follows) {
        repl_follower_stats(node->follower, &out->stats);
        rebuild_figures(node, now_us, out);
    }
    ldb_mutex_unlock(&node->mu);
    if (follows)
        repl_follower_lag(&out->stats, svc_node_now_us(node), &out->lag);
    return follows;
}

const char *svc_follow_reason(void *context, struct api_problem *problem)
{
    struct svc_node *node = context;
    uint64_t max_us = node->config->max_lag_us;
    struct api_following now;

    if (max_us == 0 || !svc_follow_figures(node, &now) || now.lag.us <= max_us)
        return NULL;
    *problem = (struct api_problem){.kind = API_PROBLEM_LAGGING,
                                    .status = 503,
                                    .reason = "lagging",
                                    .retry_after_s = 1};
    api_problem_detail(problem,
                       "%" PRIu64 " s behind the leader, which is more than "
                       "--max-lag: %s%s%s",
                       now.lag.us / 1000000,
                       repl_follower_state_text(now.stats.state),
                       now.stats.why[0] == '\0' ? "" : ", ", now.stats.why);
    return problem->reason;
}

/* OK: it tells what it is. */
static enum ldb_status check_follows(const struct svc_node *node,
                                     bool is_inside, struct ldb_error *err)
{
    if (node->config->read_only)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "this node serves its folder read-only");
    if (api_role_get(node->context->role) != REPL_ROLE_FOLLOWER ||
        (is_inside && node->context->leader != NULL))
        return ldb_error_set(err, LDB_STALLED, "this node begins to lead");
    return LDB_OK;
}

/* What it knows beside its database; whether it tells it without one. */
static enum ldb_status fill_known(struct svc_node *node, struct ldb_error *err,
                                  struct repl_identity *identity,
                                  struct repl_epoch_history *history,
                                  bool *out_is_bare)
{
    struct repl_rebuild_intent intent;
    struct ldb_error why = {0};
    bool is_rebuilding;
    enum ldb_status s;

    ldb_mutex_lock(&node->mu);
    *identity = node->shown;
    is_rebuilding = node->is_rebuilding;
    *out_is_bare = node->is_bootstrapping;
    s = repl_epoch_history_copy(&node->history, err, history);
    ldb_mutex_unlock(&node->mu);
    if (s != LDB_OK)
        return s;
    s = repl_rebuild_intent_load(node->env, node->config->data_dir, &why,
                                 &intent);
    if (s == LDB_NOT_FOUND) {
        /* The rebuild has just ended: what it brought is not published yet. */
        *out_is_bare &= !is_rebuilding;
        return LDB_OK;
    }
    *out_is_bare |= is_rebuilding;
    if (s == LDB_OK)
        s = repl_rebuild_intent_tell(&intent, &why, identity, history);
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

enum ldb_status svc_follow_state(void *context, struct ldb_error *err,
                                 struct repl_state *out)
{
    struct svc_node *node = context;
    struct repl_epoch_history history = {0};
    char leader_url[REPL_URL_SIZE];
    struct repl_identity identity;
    struct ldb_options engine;
    struct repl_twin_report report = {
        .env = node->env,
        .engine = &engine,
        .identity = &identity,
        .history = &history,
        .leader_url = leader_url,
    };
    bool is_inside = api_db_gate_enter(node->context->gate);
    bool is_bare = false;
    enum ldb_status s = check_follows(node, is_inside, err);

    api_role_leader_url(node->context->role, leader_url);
    svc_engine_options(node->config, node->env, &engine);
    if (s == LDB_OK)
        s = fill_known(node, err, &identity, &history, &is_bare);
    if (s == LDB_OK && !is_inside && !is_bare)
        s = ldb_error_set(err, LDB_STALLED, "there is no database now");
    if (s == LDB_OK) {
        report.db = is_inside ? node->context->db : NULL;
        s = repl_twin_report_state(&report, err, out);
    }
    if (is_inside)
        api_db_gate_leave(node->context->gate);
    repl_epoch_history_release(&history);
    return s;
}

void svc_follow_log_progress(struct svc_node *node)
{
    uint64_t now_us = svc_node_now_us(node);
    struct repl_build_figures now;
    bool is_building;

    ldb_mutex_lock(&node->mu);
    is_building = node->build != NULL;
    if (is_building)
        repl_build_figures(node->build, &now);
    ldb_mutex_unlock(&node->mu);
    if (!is_building)
        node->rebuild_log = (struct svc_rebuild_log){0};
    else if (svc_rebuild_log_is_due(&node->rebuild_log, &now, now_us))
        svc_rebuild_log_line(&now, now_us);
}
