#include "api/replication_control.h"

#include "api/context.h"
#include "api/db_gate.h"
#include "api/node_ops.h"
#include "api/replication.h"
#include "replication/leader.h"

/* ---- GET /v1/replication/state ---- */

static void answer_closed(struct api_exchange *x)
{
    struct api_problem problem;

    api_db_gate_problem(x->context->gate, &problem);
    api_answer_problem(x, &problem);
}

/* Of a node that follows; the gate may be closed. False: answered. */
static bool find_follower_state(struct api_exchange *x, struct repl_state *out)
{
    const struct api_context *context = x->context;
    struct ldb_error error = {0};
    enum ldb_status s = context->node_ops->state(context->node, &error, out);

    if (s == LDB_STALLED)
        answer_closed(x);
    else if (s != LDB_OK)
        api_replication_answer_status(x, s, &error);
    return s == LDB_OK;
}

/* Inside the gate. False: answered. */
static bool find_leader_state(struct api_exchange *x, struct repl_state *out)
{
    struct repl_leader *leader = api_replication_leader(x);
    struct ldb_error error = {0};
    enum ldb_status s;

    if (leader == NULL)
        return false;
    s = repl_leader_state(leader, &error, out);
    if (s != LDB_OK)
        api_replication_answer_status(x, s, &error);
    return s == LDB_OK;
}

/* The route is none of the database's: it goes in by itself, when it can. */
static bool find_state(struct api_exchange *x, struct repl_state *out)
{
    const struct api_context *context = x->context;

    x->is_inside = api_db_gate_enter(context->gate);
    if (context->node_ops != NULL && (!x->is_inside || context->leader == NULL))
        return find_follower_state(x, out);
    if (x->is_inside)
        return find_leader_state(x, out);
    answer_closed(x);
    return false;
}

void api_replication_state_finish(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT(REPL_DOCUMENT_BYTES_MAX);
    struct repl_state state = {0};
    struct ldb_error error = {0};
    enum ldb_status s;

    if (!api_replication_no_params(x) || !find_state(x, &state))
        return;
    s = repl_state_encode(&state, &error, &body);
    repl_state_release(&state);
    api_replication_answer_document(x, s, &error, &body);
}

/* ---- POST /v1/replication/ack ---- */

void api_replication_ack_begin(struct api_exchange *x)
{
    if (api_replication_body_is_json(x))
        x->body_limit = REPL_MESSAGE_BYTES_MAX;
}

void api_replication_ack_finish(struct api_exchange *x)
{
    struct repl_leader *leader = api_replication_leader(x);
    struct ldb_buf body = LDB_BUF_INIT(REPL_MESSAGE_BYTES_MAX);
    struct repl_heartbeat heartbeat;
    struct repl_ack ack = {0};
    struct ldb_error error = {0};
    enum ldb_status s;

    if (leader == NULL)
        return;
    s = repl_ack_decode(ldb_slice_of_buf(&x->body), &error, &ack);
    if (s != LDB_OK) {
        api_replication_answer_bad_body(x, s, &error);
        return;
    }
    s = repl_leader_ack(leader, &ack, &error, &heartbeat);
    if (s == LDB_OK)
        s = repl_heartbeat_encode(&heartbeat, &error, &body);
    api_replication_answer_document(x, s, &error, &body);
}
