#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/role.h"
#include "replication/leader.h"
#include "replication/promotion.h"
#include "replication/slots.h"
#include "service/node_run_internal.h"
#include "storage/base/status.h"

/*
 * A leader hands over to one of its followers, and loses no write:
 *
 *     1. writes are turned away; those before are committed and synced
 *     2. the follower has synced all of them, and has said so
 *     3. this node steps down, and follows it
 *     4. it is asked to lead: it sees that we have stepped down for it and
 *        have nothing that it lacks
 *
 * Up to 3 all can be undone, and nobody but the clients of writes has seen
 * anything. When the follower refuses at 4, or could not even be asked, this
 * node leads again. When it was asked and does not say whether it leads, this
 * node must not: it goes on asking, as a follower of it, until the other one
 * leads or an operator has said who does. It may ask as often as it likes: who
 * is asked looks each time whether we have stepped down for it.
 */

/* How often the follower's last word is looked at. Chosen: it speaks several
 * times a second when it is behind. */
#define LOOK_US UINT64_C(20000)

/* For the follower to begin to lead, while somebody waits for the answer; until
 * it can be asked at all, while nobody leads; and between two questions.
 * Chosen: it replays some journals; a broken connection is there again. */
#define LEAD_US  UINT64_C(60000000)
#define REACH_US UINT64_C(5000000)
#define ASK_US   UINT64_C(100000)

static const struct api_db_gate_reason handing_over = {
    .kind = API_PROBLEM_NO_LEADER,
    .reason = "handing-over",
    .detail = "this node hands its leadership over",
    .retry_after_s = 1,
};

/* Whom it goes to. */
struct heir {
    char node_id[REPL_ID_SIZE];
    char url[REPL_URL_SIZE];
    uint64_t epoch; /* that it leads in, once it says so */
};

/* ---- who it is ---- */

static bool find_slot(struct svc_node *node, const char *node_id,
                      struct repl_slot *out)
{
    const struct ldb_position durable = ldb_durable_position(node->db);
    char after[REPL_ID_SIZE] = "";

    while (repl_slots_list(repl_leader_slots(node->leader), &durable, after,
                           out, 1) == 1) {
        if (strcmp(out->node_id, node_id) == 0)
            return true;
        memcpy(after, out->node_id, sizeof after);
    }
    return false;
}

static bool is_url(const char *text)
{
    return strstr(text, "://") != NULL;
}

/* The node id behind a URL: it says so itself. */
static enum ldb_status ask_id(struct svc_node *node, const char *url,
                              struct ldb_error *err, char out[REPL_ID_SIZE])
{
    struct repl_state state = {0};
    enum ldb_status s = svc_peers_state(node->peers, url, NULL, err, &state);

    if (s != LDB_OK)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "%.200s cannot be asked who it is", url);
    memcpy(out, state.identity.node_id, REPL_ID_SIZE);
    repl_state_release(&state);
    return LDB_OK;
}

/* A known follower may be on its way: this node has begun to lead just now. */
static enum ldb_status wait_until_heard(struct svc_node *node,
                                        const char *node_id,
                                        uint64_t deadline_us,
                                        struct ldb_error *err,
                                        struct repl_slot *out)
{
    for (;;) {
        if (!find_slot(node, node_id, out))
            return ldb_error_set(err, LDB_PRECONDITION,
                                 "node %.40s is no follower of this one",
                                 node_id);
        if (out->is_alive)
            return LDB_OK;
        if (svc_node_is_draining(node))
            return ldb_error_set(err, LDB_CLOSED, "the server stops");
        if (svc_node_now_us(node) >= deadline_us)
            return ldb_error_set(err, LDB_PRECONDITION,
                                 "follower %.40s has not been heard of lately",
                                 node_id);
        svc_node_pause(node, LOOK_US);
    }
}

static enum ldb_status find_heir(struct svc_node *node, const char *to,
                                 uint64_t deadline_us, struct ldb_error *err,
                                 struct heir *out)
{
    struct repl_slot slot;
    enum ldb_status s = LDB_OK;

    *out = (struct heir){0};
    if (is_url(to))
        s = ask_id(node, to, err, out->node_id);
    else if (strlen(to) < sizeof out->node_id)
        memcpy(out->node_id, to, strlen(to) + 1);
    if (s == LDB_OK)
        s = wait_until_heard(node, out->node_id, deadline_us, err, &slot);
    if (s != LDB_OK)
        return s;
    /* As it calls itself: it compares. */
    (void)snprintf(out->url, sizeof out->url, "%s",
                   slot.ack.url[0] != '\0' ? slot.ack.url : to);
    if (!is_url(out->url))
        return ldb_error_set(err, LDB_PRECONDITION,
                             "%.100s has no --advertise: give its URL", to);
    return LDB_OK;
}

/* ---- 1 and 2 ---- */

/* Every write that was let in is durable; *out_last is the last one of all. */
static enum ldb_status stop_writes(struct svc_node *node, struct ldb_error *err,
                                   ldb_sequence *out_last)
{
    enum ldb_status s;

    api_db_gate_shut(node->context->writes, &handing_over);
    while (!api_db_gate_wait(node->context->writes, LOOK_US))
        ; /* they are submitting */
    s = svc_lead_settle(node, err, out_last);
    if (s == LDB_OK)
        *out_last =
            repl_epoch_history_last_entry(&node->repl.history, *out_last);
    return s;
}

static bool has_all(const struct repl_slot *slot,
                    const struct repl_epoch *epoch, ldb_sequence last)
{
    return slot->has_ack && slot->ack.epoch == epoch->number &&
           slot->ack.epoch_id == epoch->id && slot->ack.synced.sequence >= last;
}

static enum ldb_status wait_for_heir(struct svc_node *node,
                                     const struct heir *heir, ldb_sequence last,
                                     uint64_t deadline_us,
                                     struct ldb_error *err)
{
    struct repl_slot slot = {0};

    for (;;) {
        if (find_slot(node, heir->node_id, &slot) &&
            has_all(&slot, &node->epoch, last))
            return LDB_OK;
        if (svc_node_is_draining(node))
            return ldb_error_set(err, LDB_CLOSED, "the server stops");
        if (svc_node_now_us(node) >= deadline_us)
            return ldb_error_set(err, LDB_STALLED,
                                 "%.200s has synced up to %" PRIu64
                                 " of %" PRIu64 " in time: nothing has changed",
                                 heir->url, slot.ack.synced.sequence, last);
        svc_node_pause(node, LOOK_US);
    }
}

/* ---- 4 ---- */

/* "" when it is no bearer's. */
static const char *token_of(const char *authorization)
{
    static const char bearer[] = "Bearer ";

    return strncmp(authorization, bearer, sizeof bearer - 1) == 0
               ? authorization + sizeof bearer - 1
               : "";
}

/* Whether it says that it leads. */
static bool heir_leads(struct svc_node *node, struct heir *heir)
{
    struct repl_state state = {0};
    const struct repl_epoch *last;
    bool leads;

    if (svc_peers_state(node->peers, heir->url, NULL, NULL, &state) != LDB_OK)
        return false;
    last = repl_epoch_history_last(&state.history);
    leads = state.role == REPL_ROLE_LEADER && last != NULL;
    if (leads)
        heir->epoch = last->number;
    repl_state_release(&state);
    return leads;
}

enum answer {
    ANSWER_LEADS,
    ANSWER_REFUSED, /* it says so itself: nothing has happened there */
    ANSWER_NONE,    /* it was not asked: nobody was there */
    ANSWER_UNKNOWN, /* it may have been */
};

/* Asks it to lead, once. err: why it does not. */
static enum answer ask_heir(struct svc_node *node, struct heir *heir,
                            const char *token, struct ldb_error *err)
{
    struct repl_refusal refusal = {0};
    enum ldb_status s =
        svc_peers_post(node->peers, heir->url, token[0] == '\0' ? NULL : token,
                       "/v1/admin/promote", ldb_slice_str("{}"), &refusal, err);

    /* It leads already when it was asked before. */
    if (heir_leads(node, heir))
        return ANSWER_LEADS;
    if (s == LDB_STALLED && refusal.http == 0)
        return ANSWER_NONE;
    if (s == LDB_OK || refusal.http < 400 || refusal.http > 499)
        return ANSWER_UNKNOWN;
    (void)ldb_error_set(err, LDB_PRECONDITION, "%.100s refused: %.100s",
                        heir->url, refusal.detail);
    return ANSWER_REFUSED;
}

/*
 * Until it leads. *out_may_lead_again: it will not, for this request at least,
 * and none before may have come to it.
 */
static enum ldb_status promote_heir(struct svc_node *node, struct heir *heir,
                                    const char *token, bool *out_may_lead_again,
                                    struct ldb_error *err)
{
    uint64_t begun_us = svc_node_now_us(node);
    bool may_know = false;

    *out_may_lead_again = false;
    for (;;) {
        enum answer answer = ask_heir(node, heir, token, err);
        uint64_t passed_us = svc_node_now_us(node) - begun_us;

        if (answer == ANSWER_LEADS)
            return LDB_OK;
        may_know = may_know || answer == ANSWER_UNKNOWN;
        if (!may_know && (answer == ANSWER_REFUSED || passed_us >= REACH_US)) {
            *out_may_lead_again = true;
            return answer == ANSWER_REFUSED
                       ? LDB_PRECONDITION
                       : ldb_error_prefix(err, LDB_PRECONDITION,
                                          "%.100s cannot be asked to lead",
                                          heir->url);
        }
        if (svc_node_is_draining(node) || passed_us >= LEAD_US)
            return ldb_error_set(err, LDB_OUTCOME_UNKNOWN,
                                 "%.150s has not said that it leads: it is "
                                 "asked on; or promote one of the two",
                                 heir->url);
        svc_node_pause(node, ASK_US);
    }
}

/* ---- asking on ---- */

/* It was not to be known whether it leads: search goes on with that. */
static void remember(struct svc_node *node, const struct heir *heir,
                     const char *token)
{
    ldb_mutex_lock(&node->mu);
    (void)snprintf(node->heir_url, sizeof node->heir_url, "%s", heir->url);
    (void)snprintf(node->heir_token, sizeof node->heir_token, "%s", token);
    ldb_mutex_unlock(&node->mu);
}

void svc_handover_forget(struct svc_node *node)
{
    ldb_mutex_lock(&node->mu);
    node->heir_url[0] = '\0';
    memset(node->heir_token, 0, sizeof node->heir_token);
    ldb_mutex_unlock(&node->mu);
}

void svc_handover_ask_again(struct svc_node *node)
{
    char token[API_AUTHORIZATION_SIZE];
    struct ldb_error err = {0};
    struct heir heir = {0};
    enum answer answer;

    ldb_mutex_lock(&node->mu);
    memcpy(heir.url, node->heir_url, sizeof heir.url);
    memcpy(token, node->heir_token, sizeof token);
    ldb_mutex_unlock(&node->mu);
    if (heir.url[0] != '\0') {
        answer = ask_heir(node, &heir, token, &err);
        if (answer == ANSWER_LEADS) {
            svc_handover_forget(node);
            svc_log_event(SVC_LOG_INFO, "heir-leads", "leader", heir.url);
        }
    }
    memset(token, 0, sizeof token);
}

/* ---- all of it ---- */

static enum ldb_status hand_over(struct svc_node *node,
                                 const struct api_role_request *request,
                                 struct ldb_error *err, uint64_t *out_epoch)
{
    uint64_t deadline_us = svc_node_now_us(node) + request->timeout_us;
    const char *token = token_of(request->authorization);
    ldb_sequence last = 0;
    bool may_lead_again;
    struct heir heir;
    enum ldb_status s;

    if (node->role.now.role != REPL_ROLE_LEADER || node->leader == NULL)
        return ldb_error_set(err, LDB_PRECONDITION, "this node does not lead");
    s = find_heir(node, request->to, deadline_us, err, &heir);
    if (s != LDB_OK)
        return s;
    s = stop_writes(node, err, &last);
    if (s == LDB_OK)
        s = wait_for_heir(node, &heir, last, deadline_us, err);
    if (s != LDB_OK) {
        api_db_gate_open(node->context->writes);
        return s;
    }
    s = svc_change_step_down(node, heir.url, err);
    if (s != LDB_OK)
        return s;
    s = promote_heir(node, &heir, token, &may_lead_again, err);
    if (may_lead_again)
        svc_change_lead_again(node);
    else if (s != LDB_OK)
        remember(node, &heir, token);
    *out_epoch = heir.epoch;
    return s;
}

static void log_failure(const struct api_role_request *request,
                        const struct ldb_error *err)
{
    struct svc_log_line line;

    svc_log_begin(&line,
                  err->status == LDB_OUTCOME_UNKNOWN ? SVC_LOG_ERROR
                                                     : SVC_LOG_WARN,
                  "handover-failed");
    svc_log_text(&line, "to", request->to);
    svc_log_error(&line, err);
    svc_log_end(&line);
}

enum ldb_status svc_change_handover(void *context,
                                    const struct api_role_request *request,
                                    struct ldb_error *err,
                                    struct api_role_result *out)
{
    struct svc_node *node = context;
    enum ldb_status s = svc_turn_begin(&node->turn, err);
    uint64_t epoch = 0;

    if (s != LDB_OK)
        return s;
    s = hand_over(node, request, err, &epoch);
    if (s == LDB_OK) {
        svc_change_result(node, "handed-over", out);
        out->epoch = epoch; /* it may not have come here yet */
    } else {
        log_failure(request, err);
    }
    svc_turn_end(&node->turn);
    return s;
}
