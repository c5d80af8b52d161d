#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/status.h"
#include "tests/support/memory_peer_internal.h"

static enum ldb_status answer_problem(unsigned http, const char *type,
                                      const char *detail, struct ldb_buf *out,
                                      unsigned *out_http)
{
    *out_http = http;
    ldb_buf_clear(out);
    return ldb_buf_printf(out,
                          "{\"type\":\"/problems/%s\",\"title\":\"refused\","
                          "\"status\":%u,\"detail\":\"%s\"}\n",
                          type, http, detail);
}

static void copy_edits(struct memory_peer *peer, struct memory_peer_edits *out)
{
    ldb_mutex_lock(&peer->mu);
    *out = peer->edits;
    ldb_mutex_unlock(&peer->mu);
}

static enum ldb_status answer_state(const struct memory_peer_way *way,
                                    struct ldb_error *err, struct ldb_buf *out)
{
    struct memory_peer *peer = way->t->peer;
    struct memory_peer_edits edits;
    struct repl_state state = {.role = REPL_ROLE_LEADER};
    struct served_db served;
    enum ldb_status s = memory_peer_enter(way, err, &served);

    if (s != LDB_OK)
        return s;
    s = served_db_state(&served, err, &state);
    memory_peer_leave(peer);
    copy_edits(peer, &edits);
    ldb_mutex_lock(&peer->mu);
    state.identity = peer->identity;
    if (s == LDB_OK)
        s = repl_epoch_history_copy(&peer->history, err, &state.history);
    ldb_mutex_unlock(&peer->mu);
    if (s == LDB_OK && edits.state != NULL)
        edits.state(edits.context, &state);
    if (s == LDB_OK)
        s = repl_state_encode(&state, err, out);
    repl_state_release(&state);
    return s;
}

static enum ldb_status answer_ack(const struct memory_peer_way *way,
                                  struct ldb_slice body, struct ldb_error *err,
                                  struct ldb_buf *out, unsigned *out_http)
{
    struct memory_peer *peer = way->t->peer;
    struct memory_peer_edits edits;
    struct repl_heartbeat heartbeat = {0};
    struct repl_epoch epoch;
    struct repl_ack ack;
    struct served_db served;
    bool is_ours;
    enum ldb_status s = repl_ack_decode(body, NULL, &ack);

    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK)
        return answer_problem(400, "malformed", "no ack", out, out_http);
    s = memory_peer_enter(way, err, &served);
    if (s != LDB_OK)
        return s;
    s = served_db_heartbeat(&served, err, &heartbeat);
    memory_peer_leave(peer);
    if (s != LDB_OK)
        return s;
    copy_edits(peer, &edits);
    ldb_mutex_lock(&peer->mu);
    epoch = *repl_epoch_history_last(&peer->history);
    is_ours = ack.epoch == epoch.number && ack.epoch_id == epoch.id;
    if (is_ours) {
        peer->last_ack = ack;
        peer->has_ack = true;
        ldb_cond_broadcast(&peer->changed);
    }
    ldb_mutex_unlock(&peer->mu);
    if (!is_ours)
        return answer_problem(409, "conflict", "another epoch", out, out_http);
    heartbeat.epoch = epoch.number;
    heartbeat.epoch_id = epoch.id;
    if (edits.heartbeat != NULL)
        edits.heartbeat(edits.context, &heartbeat);
    return repl_heartbeat_encode(&heartbeat, err, out);
}

static struct memory_peer_held *
find_held_locked(struct memory_peer *peer, const char *node_id, uint64_t id)
    LDB_REQUIRES(peer->held_mu)
{
    struct memory_peer_held *found = NULL;

    for (size_t i = 0; i < MEMORY_PEER_CHECKPOINTS_MAX; i++) {
        struct memory_peer_held *held = &peer->held[i];

        if (held->id != 0 && strcmp(held->node_id, node_id) == 0 &&
            (id == 0 || held->id == id))
            return held;
        if (id == 0 && held->id == 0 && found == NULL)
            found = held; /* free, for one that has none */
    }
    return found;
}

/* Made anew, in the place of the node's earlier one. */
static enum ldb_status
make_checkpoint_locked(struct memory_peer *peer, const struct served_db *served,
                       const char *node_id, struct ldb_error *err,
                       struct repl_checkpoint *out) LDB_REQUIRES(peer->held_mu)
{
    struct memory_peer_held *held = find_held_locked(peer, node_id, 0);
    struct served_version *version;
    enum ldb_status s;

    assert(held != NULL);
    version = &peer->versions[held - peer->held];
    s = served_db_hold(served, version, err, out);
    if (s != LDB_OK) {
        served_db_let_go(served, version);
        held->id = 0;
        return s;
    }
    held->id = ++peer->next_checkpoint;
    (void)snprintf(held->node_id, sizeof(held->node_id), "%s", node_id);
    out->id = held->id;
    return LDB_OK;
}

static void release_checkpoint_locked(struct memory_peer *peer,
                                      const struct served_db *served,
                                      struct memory_peer_held *held)
    LDB_REQUIRES(peer->held_mu)
{
    served_db_let_go(served, &peer->versions[held - peer->held]);
    held->id = 0;
}

/* Renews it, or lets it go. */
static enum ldb_status
answer_held(const struct memory_peer_way *way,
            const struct repl_checkpoint_request *request,
            struct ldb_error *err, struct ldb_buf *out, unsigned *out_http)
{
    struct memory_peer *peer = way->t->peer;
    struct memory_peer_held *held;
    struct served_db served;
    enum ldb_status s = memory_peer_enter(way, err, &served);

    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&peer->held_mu);
    held = find_held_locked(peer, request->node_id, request->id);
    if (held != NULL && request->is_release)
        release_checkpoint_locked(peer, &served, held);
    ldb_mutex_unlock(&peer->held_mu);
    memory_peer_leave(peer);
    if (request->is_release) {
        *out_http = 204;
        return LDB_OK;
    }
    if (held == NULL)
        return answer_problem(410, "expired", "it is over", out, out_http);
    return ldb_buf_printf(out, "{\"id\":%" PRIu64 "}\n", request->id);
}

static enum ldb_status answer_checkpoint(const struct memory_peer_way *way,
                                         struct ldb_slice body,
                                         struct ldb_error *err,
                                         struct ldb_buf *out,
                                         unsigned *out_http)
{
    struct memory_peer *peer = way->t->peer;
    struct memory_peer_edits edits;
    struct repl_checkpoint_request request = {0};
    struct repl_checkpoint made = {0};
    struct served_db served;
    enum ldb_status s = repl_checkpoint_request_decode(body, NULL, &request);

    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK)
        return answer_problem(400, "malformed", "no checkpoint", out, out_http);
    if (request.id != 0)
        return answer_held(way, &request, err, out, out_http);
    s = memory_peer_enter(way, err, &served);
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&peer->held_mu);
    s = make_checkpoint_locked(peer, &served, request.node_id, err, &made);
    ldb_mutex_unlock(&peer->held_mu);
    memory_peer_leave(peer);
    copy_edits(peer, &edits);
    if (s == LDB_OK && edits.checkpoint != NULL)
        edits.checkpoint(edits.context, &made);
    if (s == LDB_OK)
        s = repl_checkpoint_encode(&made, err, out);
    repl_checkpoint_release(&made);
    return s;
}

enum ldb_status memory_peer_answer(struct repl_transport *base,
                                   const char *path, struct ldb_slice body,
                                   struct ldb_error *err, struct ldb_buf *out,
                                   unsigned *out_http)
{
    struct memory_peer_transport *t = (struct memory_peer_transport *)base;
    bool is_post = body.data != NULL;
    unsigned http = 200;
    struct memory_peer_way way;
    enum ldb_status s;

    ldb_buf_clear(out);
    s = memory_peer_set_out(t, MEMORY_PEER_CALL, path, 0, err, &way);
    if (s != LDB_OK)
        return s;
    if (memory_peer_is_to(&way, MEMORY_PEER_STATUS))
        s = answer_problem(way.rule.http, "internal", "as told", out, &http);
    else if (memory_peer_is_to(&way, MEMORY_PEER_BABBLE))
        s = ldb_buf_printf(out, "<html>");
    else if (!is_post && strcmp(path, "/v1/replication/state") == 0)
        s = answer_state(&way, err, out);
    else if (is_post && strcmp(path, "/v1/replication/ack") == 0)
        s = answer_ack(&way, body, err, out, &http);
    else if (is_post && strcmp(path, "/v1/replication/checkpoint") == 0)
        s = answer_checkpoint(&way, body, err, out, &http);
    else
        s = answer_problem(404, "not-found", "no such path", out, &http);
    /* An interrupt, or the end of the node, that came meanwhile. */
    if (s == LDB_OK)
        s = memory_peer_check(&way, err);
    if (s == LDB_OK)
        *out_http = http;
    return s;
}
