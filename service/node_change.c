#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/role.h"
#include "replication/promotion.h"
#include "replication/rebuild_intent.h"
#include "service/node_run_internal.h"
#include "storage/base/status.h"
#include "storage/twin.h"

/*
 * From one role to the other. What must not be half done is decided in one
 * step: leveld/role says the new role before the old database is closed, so
 * that a crash at any point starts as what was decided. What fails before that
 * step has changed nothing; after it the node goes back to what it was. Where
 * that fails too, on a full disk, say, it stands still, its gate closed, and
 * tries again now and then.
 */

/* How long a promotion waits for nodes that exchange their files, for all of
 * them, and between two questions. Chosen: a folder is synced and opened. */
#define EXCHANGE_US UINT64_C(10000000)
#define ASK_US      UINT64_C(100000)

/* Between two tries to go back. Chosen: a restart takes about as long. */
#define RETRY_US UINT64_C(2000000)

static const struct api_db_gate_reason changing = {
    .kind = API_PROBLEM_NO_LEADER,
    .reason = "changing-role",
    .detail = "this node changes its role",
    .retry_after_s = 1,
};

static const struct api_db_gate_reason failed = {
    .kind = API_PROBLEM_NO_LEADER,
    .reason = "role-change-failed",
    .detail = "a change of this node's role failed half way, and it cannot go "
              "back yet: see its log",
    .retry_after_s = RETRY_US / 1000000,
};

/* ---- steps that all changes have ---- */

static bool leads(const struct svc_node *node)
{
    return node->role.now.role == REPL_ROLE_LEADER;
}

/* Durable, and then what this node is to be. */
static enum ldb_status store_role(struct svc_node *node,
                                  const struct repl_role_file *role,
                                  struct ldb_error *err)
{
    enum ldb_status s =
        repl_role_file_store(node->env, node->config->data_dir, role, err);

    if (s == LDB_OK)
        node->role = *role;
    return s;
}

static struct repl_role_file role_of_follower(const struct svc_node *node,
                                              const char *leader_url)
{
    struct repl_role_file role = {
        .now.role = REPL_ROLE_FOLLOWER,
        .configured = node->role.configured,
    };

    repl_role_url_copy(leader_url, role.now.leader_url);
    return role;
}

static void log_change(const char *event, const struct svc_node *node,
                       const struct ldb_error *err)
{
    struct svc_log_line line;

    svc_log_begin(&line, err == NULL ? SVC_LOG_INFO : SVC_LOG_ERROR, event);
    svc_log_text(&line, "role", leads(node) ? "leader" : "follower");
    svc_log_text(&line, "leader", node->role.now.leader_url);
    svc_log_u64(&line, "epoch", node->context->epoch);
    if (err != NULL)
        svc_log_error(&line, err);
    svc_log_end(&line);
}

/* The gate is closed, and node->db. role.now is what it begins. */
static enum ldb_status begin_role(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s;

    if (leads(node)) {
        s = svc_lead_open(node, err);
        if (s == LDB_OK)
            svc_lead_show(node);
        return s;
    }
    s = svc_follow_open(node, err);
    if (s != LDB_OK)
        return s;
    svc_follow_show(node);
    /* What it has is shown, with a leader or without. */
    return svc_follow_start(node, err);
}

/* It may have stood still for long: nobody leads in its place by now. */
static enum ldb_status begin_before(struct svc_node *node,
                                    struct ldb_error *err)
{
    enum ldb_status s = store_role(node, &node->role_before, err);

    if (s == LDB_OK && leads(node)) {
        s = svc_node_load(node, err);
        if (s == LDB_OK)
            s = svc_search_check(node, err);
    }
    return s == LDB_OK ? begin_role(node, err) : s;
}

/* To role_before. */
static void go_back(struct svc_node *node)
{
    struct ldb_error err = {0};
    enum ldb_status s = begin_before(node, &err);

    if (s == LDB_OK) {
        node->still_why = LDB_OK;
        log_change("role-change-undone", node, NULL);
        return;
    }
    if (node->db != NULL) { /* it is shown: svc_follow_tick() goes on */
        node->still_why = LDB_OK;
        log_change("follow-failed", node, &err);
        return;
    }
    api_context_shut(node->context, &failed);
    node->tried_us = svc_node_now_us(node);
    if (node->still_why != s)
        log_change("role-change-failed", node, &err);
    node->still_why = s;
}

/* The role did not begin. */
static void undo(struct svc_node *node, const struct repl_role_file *before)
{
    node->role_before = *before;
    go_back(node);
}

void svc_change_tick(struct svc_node *node)
{
    if (svc_node_now_us(node) - node->tried_us >= RETRY_US)
        go_back(node);
}

void svc_change_result(const struct svc_node *node, const char *event,
                       struct api_role_result *out)
{
    log_change(event, node, NULL);
    *out = (struct api_role_result){
        .role = node->role.now.role,
        .epoch = node->context->epoch,
    };
    /* A follower's database may be exchanged already. */
    if (!api_db_gate_enter(node->context->gate))
        return;
    out->sequence = ldb_last_sequence(node->context->db);
    api_db_gate_leave(node->context->gate);
}

/* ---- promote ---- */

static const char made_anew[] =
    "this node's folder is being made anew: it has nothing whole to lead with";

/* What is known of the leader that was; its state is owned. */
struct old_leader {
    char url[REPL_URL_SIZE];
    bool is_reached;
    struct repl_state state;
    ldb_sequence last_heard;
    uint64_t file_number;      /* the highest heard of */
    struct repl_hearsay heard; /* of the others */
};

/*
 * The state of the node at url. One that starts or changes its role is waited
 * for, not beyond deadline_us: it may be the only one that knows of a leader
 * which is gone, and of its epoch.
 */
static enum ldb_status ask_state(struct svc_node *node, const char *url,
                                 uint64_t deadline_us, struct repl_state *out)
{
    for (;;) {
        struct repl_refusal refusal = {0};
        enum ldb_status s =
            svc_peers_state(node->peers, url, &refusal, NULL, out);

        if (s == LDB_OK || refusal.http != 503 || svc_node_is_draining(node) ||
            svc_node_now_us(node) >= deadline_us)
            return s;
        svc_node_pause(node, ASK_US);
    }
}

static void note_number(struct old_leader *old, uint64_t number)
{
    if (number > old->file_number)
        old->file_number = number;
}

/* What a node at url says, which is not the leader that was. */
static void hear(struct svc_node *node, struct old_leader *old, const char *url,
                 const struct repl_state *said)
{
    bool is_ours;

    ldb_mutex_lock(&node->mu);
    is_ours = node->shown.cluster_id[0] != '\0' &&
              strcmp(said->identity.cluster_id, node->shown.cluster_id) == 0;
    ldb_mutex_unlock(&node->mu);
    if (is_ours)
        repl_hearsay_add(&old->heard, url, said);
    note_number(old, old->heard.file_number);
}

/*
 * What the other nodes know: one may have followed a leader that is gone and
 * that we have never heard of. Where the old leader hands over to us it is
 * asked alone: nobody was promoted over it, and a handover does not wait for
 * silent ones.
 */
static void ask_others(struct svc_node *node, uint64_t deadline_us,
                       struct old_leader *old)
{
    char url[REPL_URL_SIZE];
    size_t at = 0;

    while (svc_peers_next(node->peers, &at, url)) {
        struct repl_state other = {0};

        if (strcmp(url, old->url) == 0 || strcmp(url, node->url) == 0 ||
            ask_state(node, url, deadline_us, &other) != LDB_OK)
            continue;
        hear(node, old, url, &other);
        repl_state_release(&other);
    }
}

static void ask_old_leader(struct svc_node *node, struct old_leader *out)
{
    const uint64_t deadline_us = svc_node_now_us(node) + EXCHANGE_US;
    struct repl_hearsay said = {0};
    struct api_following now;

    *out = (struct old_leader){0};
    (void)snprintf(out->url, sizeof out->url, "%s", node->role.now.leader_url);
    if (svc_follow_figures(node, &now) && now.stats.has_heartbeat) {
        out->last_heard = now.stats.heartbeat.last_sequence;
        note_number(out, now.stats.heartbeat.manifest_number);
        note_number(out, now.stats.heartbeat.durable.journal);
    }
    if (out->url[0] == '\0' ||
        ask_state(node, out->url, deadline_us, &out->state) != LDB_OK) {
        ask_others(node, deadline_us, out);
        return;
    }
    if (repl_state_is_bare(&out->state)) {
        /* It may know of a later leader, and what it had it cannot tell. */
        hear(node, out, out->url, &out->state);
        repl_state_release(&out->state);
        ask_others(node, deadline_us, out);
        return;
    }
    out->is_reached = true;
    /* Its files alone: heard is of the others. */
    repl_hearsay_add(&said, out->url, &out->state);
    note_number(out, said.file_number);
    if (!repl_promotion_is_handover(&out->state, node->url))
        ask_others(node, deadline_us, out);
}

/* Of a rebuild that was begun here: nothing of the folder was changed for it,
 * and the new epoch is to lie above the one that it was for. */
static enum ldb_status hear_intent(struct svc_node *node,
                                   struct old_leader *old,
                                   struct ldb_error *err)
{
    struct repl_rebuild_intent intent;
    struct repl_state said = {.role = REPL_ROLE_FOLLOWER};
    struct ldb_error why = {0};
    enum ldb_status s = repl_rebuild_intent_load(
        node->env, node->config->data_dir, &why, &intent);

    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s == LDB_OK && intent.phase == REPL_REBUILD_SWITCHING)
        s = ldb_error_set(&why, LDB_PRECONDITION, "%s", made_anew);
    if (s == LDB_OK)
        s = repl_rebuild_intent_tell(&intent, &why, &said.identity,
                                     &said.history);
    if (s == LDB_OK)
        hear(node, old, node->url, &said);
    else
        *err = why;
    repl_state_release(&said);
    return s;
}

/* Whether the twin is whole, all of it synced, and of a known history. */
static enum ldb_status check_twin(const struct svc_node *node,
                                  struct ldb_error *err)
{
    struct ldb_twin_state twin;

    if (node->db == NULL)
        return ldb_error_set(err, LDB_PRECONDITION, "%s", made_anew);
    if (!node->repl.has_identity || node->repl.history.count == 0)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "this node has nothing of any leader yet");
    ldb_twin_state(node->db, &twin);
    if (twin.synced.sequence != twin.written.sequence)
        return ldb_error_set(err, LDB_IO,
                             "what came last could not be synced here");
    return LDB_OK;
}

/* May it, and with which numbers? The follower is stopped. */
static enum ldb_status decide_promotion(struct svc_node *node, bool is_forced,
                                        struct old_leader *old,
                                        struct ldb_error *err,
                                        struct repl_role_file *out)
{
    struct repl_promotion promotion = {
        .is_forced = is_forced,
        .url = node->url,
        .history = &node->repl.history,
        .last_heard = old->last_heard,
        .leader_url = old->url,
        .leader = old->is_reached ? &old->state : NULL,
    };
    enum ldb_status s = hear_intent(node, old, err);

    if (s == LDB_OK)
        s = check_twin(node, err);
    if (s != LDB_OK)
        return s;
    promotion.heard = old->heard;
    promotion.last = ldb_last_sequence(node->db);
    *out = (struct repl_role_file){
        .now.role = REPL_ROLE_LEADER,
        .configured = node->role.configured,
        .is_promotion_open = true,
    };
    s = repl_promotion_judge(&promotion, err);
    if (s == LDB_OK)
        s = repl_promotion_epoch_floor(&promotion, node->env, err,
                                       &out->epoch_floor);
    if (s == LDB_OK)
        s = repl_promotion_file_floor(node->env, node->config->data_dir,
                                      &node->repl.history, old->file_number,
                                      err, &out->file_floor);
    return s;
}

/* It was decided. */
static enum ldb_status begin_to_lead(struct svc_node *node,
                                     const struct repl_role_file *before,
                                     struct ldb_error *err)
{
    enum ldb_status s;

    s = svc_node_close_gate(node, &changing, err);
    if (s != LDB_OK)
        return s; /* it begins so at the next start */
    s = svc_follow_close(node, err);
    if (s == LDB_OK)
        s = begin_role(node, err);
    if (s != LDB_OK)
        undo(node, before);
    return s;
}

static enum ldb_status promote(struct svc_node *node, bool is_forced,
                               struct ldb_error *err)
{
    const struct repl_role_file before = node->role;
    struct repl_role_file after;
    struct old_leader old;
    struct ldb_error why = {0};
    enum ldb_status s;

    if (node->still_why != LDB_OK)
        return ldb_error_set(err, LDB_PRECONDITION, "%s", failed.detail);
    if (leads(node))
        return ldb_error_set(err, LDB_PRECONDITION, "this node leads already");
    ask_old_leader(node, &old);
    if (svc_node_is_draining(node)) { /* it may not have been asked */
        repl_state_release(&old.state);
        return ldb_error_set(err, LDB_CLOSED, "the server stops");
    }
    svc_follow_stop(node);
    s = decide_promotion(node, is_forced, &old, err, &after);
    repl_state_release(&old.state);
    if (s == LDB_OK)
        s = store_role(node, &after, err);
    if (s == LDB_OK)
        return begin_to_lead(node, &before, err);
    /* It follows on. */
    if (svc_follow_start(node, &why) != LDB_OK)
        log_change("follow-failed", node, &why);
    return s;
}

enum ldb_status svc_change_promote(void *context,
                                   const struct api_role_request *request,
                                   struct ldb_error *err,
                                   struct api_role_result *out)
{
    struct svc_node *node = context;
    enum ldb_status s = svc_turn_begin(&node->turn, err);

    if (s != LDB_OK)
        return s;
    svc_handover_forget(node);
    s = promote(node, request->force, err);
    if (s == LDB_OK)
        svc_change_result(node, "promoted", out);
    svc_turn_end(&node->turn);
    return s;
}

/* ---- following another ---- */

enum ldb_status svc_change_leader(struct svc_node *node, const char *url,
                                  struct ldb_error *err)
{
    const struct repl_role_file before = node->role;
    struct repl_role_file after = role_of_follower(node, url);
    enum ldb_status s;

    svc_follow_stop(node);
    s = store_role(node, &after, err);
    if (s == LDB_OK) {
        api_role_set(node->context->role, REPL_ROLE_FOLLOWER,
                     after.now.leader_url);
        s = svc_follow_start(node, err);
    }
    if (s == LDB_OK)
        return LDB_OK;
    /* A URL that is none, say: as before. */
    if (store_role(node, &before, NULL) == LDB_OK)
        api_role_set(node->context->role, REPL_ROLE_FOLLOWER,
                     before.now.leader_url);
    if (svc_follow_start(node, NULL) != LDB_OK)
        log_change("follow-failed", node, err);
    return s;
}

/* ---- demote ---- */

/*
 * Who comes with a write from now on is sent to the leader that is to be.
 * Closing with an error is no reason to stay leader: what is on disk is what
 * there is.
 */
enum ldb_status svc_change_step_down(struct svc_node *node, const char *url,
                                     struct ldb_error *err)
{
    const struct repl_role_file before = node->role;
    struct repl_role_file after = role_of_follower(node, url);
    struct ldb_error closing = {0};
    enum ldb_status s = store_role(node, &after, err);

    if (s != LDB_OK)
        return s;
    api_role_set(node->context->role, REPL_ROLE_FOLLOWER, after.now.leader_url);
    api_db_gate_shut(node->context->writes, &changing);
    s = svc_node_close_gate(node, &changing, err);
    if (s != LDB_OK)
        return s; /* it begins so at the next start */
    /* Who submits is inside both. */
    while (!api_db_gate_wait(node->context->writes, 0))
        ;
    if (svc_lead_close(node, false, &closing) != LDB_OK)
        log_change("close-failed", node, &closing);
    s = begin_role(node, err);
    if (s != LDB_OK && node->db == NULL)
        undo(node, &before);
    else if (s != LDB_OK) /* its folder is shown: only the URL is wrong */
        log_change("follow-failed", node, err);
    return s;
}

/* Of one that stands still: its database is closed. Where this fails it goes on
 * to try what it was before. */
static enum ldb_status follow_instead(struct svc_node *node, const char *url,
                                      struct ldb_error *err)
{
    struct repl_role_file after = role_of_follower(node, url);
    enum ldb_status s = store_role(node, &after, err);

    if (s == LDB_OK)
        s = begin_role(node, err);
    if (s == LDB_OK || node->db != NULL)
        node->still_why = LDB_OK;
    return s;
}

void svc_change_lead_again(struct svc_node *node)
{
    struct ldb_error err = {0};
    /* Forced: whoever we follow was asked to lead and has refused. */
    enum ldb_status s = promote(node, true, &err);

    log_change(s == LDB_OK ? "leads-again" : "promote-failed", node,
               s == LDB_OK ? NULL : &err);
}

static enum ldb_status demote(struct svc_node *node,
                              const struct api_role_request *request,
                              struct ldb_error *err)
{
    if (node->config->read_only)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "this node serves its folder read-only");
    ldb_mutex_lock(&node->mu);
    node->is_accepted = request->force;
    ldb_mutex_unlock(&node->mu);
    if (node->still_why != LDB_OK)
        return follow_instead(node, request->to, err);
    if (!leads(node))
        return svc_change_leader(node, request->to, err);
    return svc_change_step_down(node, request->to, err);
}

enum ldb_status svc_change_demote(void *context,
                                  const struct api_role_request *request,
                                  struct ldb_error *err,
                                  struct api_role_result *out)
{
    struct svc_node *node = context;
    enum ldb_status s = svc_turn_begin(&node->turn, err);

    if (s != LDB_OK)
        return s;
    svc_handover_forget(node);
    s = demote(node, request, err);
    if (s == LDB_OK)
        svc_change_result(node, "demoted", out);
    svc_turn_end(&node->turn);
    return s;
}
