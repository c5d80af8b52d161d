#include "api/replication_control.h"

#include "api/context.h"
#include "api/node_ops.h"
#include "api/replication.h"
#include "replication/leader.h"

/* ---- GET /v1/replication/state ---- */

/* Of a node that leads, or follows. False: answered. */
static bool find_state(struct api_exchange *x, struct repl_state *out)
{
    const struct api_context *context = x->context;
    struct repl_leader *leader;
    struct ldb_error error = {0};
    enum ldb_status s;

    if (context->leader == NULL && context->node_ops != NULL) {
        s = context->node_ops->state(context->node, &error, out);
    } else {
        leader = api_replication_leader(x);
        if (leader == NULL)
            return false;
        s = repl_leader_state(leader, &error, out);
    }
    if (s != LDB_OK)
        api_replication_answer_status(x, s, &error);
    return s == LDB_OK;
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
