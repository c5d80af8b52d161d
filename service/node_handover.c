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
 * anything. When the follower refuses at 4, this node leads again; when it does
 * not say whether it leads, nobody but an operator can.
 */

/* How often the follower's last word is looked at. Chosen: it speaks several
 * times a second when it is behind. */
#define LOOK_US UINT64_C(20000)

/* For the follower to begin to lead, and between two questions whether it
 * does. Chosen: it replays some journals. */
#define LEAD_US UINT64_C(60000000)
#define ASK_US  UINT64_C(100000)

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
    enum ldb_status s = svc_peers_state(node->peers, url, err, &state);

    if (s != LDB_OK)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "%.200s cannot be asked who it is", url);
    memcpy(out, state.identity.node_id, REPL_ID_SIZE);
    repl_state_release(&state);
    return LDB_OK;
}

/* A moment, or until something of the node has changed. */
static void pause_for(struct svc_node *node, uint64_t us)
{
    ldb_mutex_lock(&node->mu);
    if (!node->is_draining)
        (void)ldb_cond_wait_for(&node->changed, &node->mu, us);
    ldb_mutex_unlock(&node->mu);
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
        pause_for(node, LOOK_US);
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
        pause_for(node, LOOK_US);
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

    if (svc_peers_state(node->peers, heir->url, NULL, &state) != LDB_OK)
        return false;
    last = repl_epoch_history_last(&state.history);
    leads = state.role == REPL_ROLE_LEADER && last != NULL;
    if (leads)
        heir->epoch = last->number;
    repl_state_release(&state);
    return leads;
}

/* It was asked to lead, and did not refuse. */
static enum ldb_status wait_until_it_leads(struct svc_node *node,
                                           struct heir *heir,
                                           struct ldb_error *err)
{
    uint64_t deadline_us = svc_node_now_us(node) + LEAD_US;

    while (!heir_leads(node, heir)) {
        if (svc_node_is_draining(node) || svc_node_now_us(node) >= deadline_us)
            return ldb_error_set(
                err, LDB_OUTCOME_UNKNOWN,
                "%.200s has not said that it leads: see there, "
                "then promote one of the two",
                heir->url);
        pause_for(node, ASK_US);
    }
    return LDB_OK;
}

/* Whether it said itself that it will not: then nothing has happened there. */
static bool is_refusal(const struct repl_refusal *refusal)
{
    return refusal->http >= 400 && refusal->http <= 499;
}

static enum ldb_status promote_heir(struct svc_node *node, struct heir *heir,
                                    const char *authorization,
                                    bool *out_refused, struct ldb_error *err)
{
    const char *token = token_of(authorization);
    struct repl_refusal refusal = {0};
    enum ldb_status s;

    *out_refused = false;
    s = svc_peers_post(node->peers, heir->url, token[0] == '\0' ? NULL : token,
                       "/v1/admin/promote", ldb_slice_str("{}"), &refusal, err);
    if (s != LDB_OK && is_refusal(&refusal)) {
        *out_refused = true;
        return ldb_error_set(err, LDB_PRECONDITION, "%.100s refused: %.100s",
                             heir->url, refusal.detail);
    }
    /* Any other failure leaves open whether it heard of it. */
    return wait_until_it_leads(node, heir, err);
}

/* ---- all of it ---- */

static enum ldb_status hand_over(struct svc_node *node,
                                 const struct api_role_request *request,
                                 struct ldb_error *err, uint64_t *out_epoch)
{
    uint64_t deadline_us = svc_node_now_us(node) + request->timeout_us;
    ldb_sequence last = 0;
    bool is_refused;
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
    s = promote_heir(node, &heir, request->authorization, &is_refused, err);
    if (is_refused)
        svc_change_lead_again(node);
    *out_epoch = heir.epoch;
    return s;
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
    }
    svc_turn_end(&node->turn);
    return s;
}
