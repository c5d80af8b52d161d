#include "api/router.h"

#include <stdio.h>
#include <string.h>

#include "api/admin.h"
#include "api/auth.h"
#include "api/backup.h"
#include "api/batch.h"
#include "api/bulk.h"
#include "api/changes.h"
#include "api/context.h"
#include "api/dashboard.h"
#include "api/db_gate.h"
#include "api/digest.h"
#include "api/diverged.h"
#include "api/followers.h"
#include "api/forward.h"
#include "api/health.h"
#include "api/kv.h"
#include "api/metrics.h"
#include "api/multiget.h"
#include "api/openapi.h"
#include "api/problem.h"
#include "api/prometheus.h"
#include "api/range.h"
#include "api/range_delete.h"
#include "api/replication_checkpoint.h"
#include "api/replication_control.h"
#include "api/replication_files.h"
#include "api/response.h"
#include "api/role.h"
#include "api/role_change.h"
#include "api/sequence_wait.h"
#include "api/size.h"
#include "api/snapshot_routes.h"
#include "api/stats.h"
#include "api/task_routes.h"
#include "api/tokens.h"

#define GET_HEAD (API_METHOD_BIT(API_GET) | API_METHOD_BIT(API_HEAD))

static const struct api_route routes[] = {
    {
        .name = "GET /v1/kv/{key}",
        .path = "/v1/kv/",
        .is_prefix = true,
        .methods = GET_HEAD,
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .begin = api_kv_get_begin,
        .finish = api_kv_get_finish,
    },
    {
        .name = "PUT /v1/kv/{key}",
        .path = "/v1/kv/",
        .is_prefix = true,
        .methods = API_METHOD_BIT(API_PUT),
        .writes = true,
        .scope = API_SCOPE_WRITE,
        .database = true,
        .waits = true,
        .begin = api_kv_put_begin,
        .finish = api_kv_put_finish,
        .resume = api_kv_write_resume,
        .abandon = api_kv_write_abandon,
    },
    {
        .name = "DELETE /v1/kv/{key}",
        .path = "/v1/kv/",
        .is_prefix = true,
        .methods = API_METHOD_BIT(API_DELETE),
        .writes = true,
        .scope = API_SCOPE_WRITE,
        .database = true,
        .waits = true,
        .begin = api_kv_delete_begin,
        .finish = api_kv_delete_finish,
        .resume = api_kv_write_resume,
        .abandon = api_kv_write_abandon,
    },
    {
        .name = "POST /v1/batch",
        .path = "/v1/batch",
        .methods = API_METHOD_BIT(API_POST),
        .writes = true,
        .scope = API_SCOPE_WRITE,
        .database = true,
        .waits = true,
        .begin = api_batch_begin,
        .take = api_bulk_take,
        .refuse = api_batch_refuse,
        .finish = api_batch_finish,
        .resume = api_batch_resume,
        .abandon = api_batch_abandon,
    },
    {
        .name = "POST /v1/multiget",
        .path = "/v1/multiget",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .begin = api_multiget_begin,
        .finish = api_multiget_finish,
        .resume = api_multiget_resume,
        .abandon = api_multiget_abandon,
    },
    {
        .name = "GET /v1/range",
        .path = "/v1/range",
        .methods = GET_HEAD,
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .finish = api_range_finish,
    },
    {
        .name = "DELETE /v1/range",
        .path = "/v1/range",
        .methods = API_METHOD_BIT(API_DELETE),
        .writes = true,
        .scope = API_SCOPE_WRITE,
        .database = true,
        .waits = true,
        .begin = api_range_delete_begin,
        .finish = api_range_delete_finish,
        .resume = api_range_delete_resume,
        .abandon = api_range_delete_abandon,
    },
    {
        .name = "GET /v1/changes",
        .path = "/v1/changes",
        .methods = GET_HEAD,
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .finish = api_changes_finish,
    },
    {
        .name = "GET /v1/size",
        .path = "/v1/size",
        .methods = GET_HEAD,
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .finish = api_size_finish,
    },
    {
        .name = "POST /v1/snapshots",
        .path = "/v1/snapshots",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .begin = api_snapshot_body_begin,
        .finish = api_snapshot_take_finish,
    },
    {
        .name = "GET /v1/snapshots",
        .path = "/v1/snapshots",
        .methods = GET_HEAD,
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .finish = api_snapshot_list_finish,
    },
    {
        .name = "POST /v1/snapshots/{id}",
        .path = "/v1/snapshots/",
        .is_prefix = true,
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .begin = api_snapshot_body_begin,
        .finish = api_snapshot_renew_finish,
    },
    {
        .name = "DELETE /v1/snapshots/{id}",
        .path = "/v1/snapshots/",
        .is_prefix = true,
        .methods = API_METHOD_BIT(API_DELETE),
        .scope = API_SCOPE_READ,
        .database = true,
        .waits = true,
        .finish = api_snapshot_drop_finish,
    },
    {
        .name = "GET /",
        .path = "/",
        .methods = GET_HEAD,
        .finish = api_dashboard_finish,
    },
    {
        .name = "POST /v1/admin/compact",
        .path = "/v1/admin/compact",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_ADMIN,
        .begin = api_admin_begin,
        .finish = api_admin_compact_finish,
        .resume = api_admin_resume,
        .abandon = api_admin_abandon,
    },
    {
        .name = "POST /v1/admin/flush",
        .path = "/v1/admin/flush",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_ADMIN,
        .begin = api_admin_begin,
        .finish = api_admin_flush_finish,
        .resume = api_admin_resume,
        .abandon = api_admin_abandon,
    },
    {
        .name = "POST /v1/admin/checkpoint",
        .path = "/v1/admin/checkpoint",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_ADMIN,
        .begin = api_admin_begin,
        .finish = api_admin_checkpoint_finish,
        .resume = api_admin_resume,
        .abandon = api_admin_abandon,
    },
    {
        .name = "POST /v1/admin/verify",
        .path = "/v1/admin/verify",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_ADMIN,
        .begin = api_admin_begin,
        .finish = api_admin_verify_finish,
        .resume = api_admin_resume,
        .abandon = api_admin_abandon,
    },
    {
        .name = "POST /v1/admin/promote",
        .path = "/v1/admin/promote",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_ADMIN,
        .begin = api_admin_begin,
        .finish = api_promote_finish,
        .resume = api_admin_resume,
        .abandon = api_admin_abandon,
    },
    {
        .name = "POST /v1/admin/demote",
        .path = "/v1/admin/demote",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_ADMIN,
        .begin = api_admin_begin,
        .finish = api_demote_finish,
        .resume = api_admin_resume,
        .abandon = api_admin_abandon,
    },
    {
        .name = "POST /v1/admin/handover",
        .path = "/v1/admin/handover",
        .methods = API_METHOD_BIT(API_POST),
        .scope = API_SCOPE_ADMIN,
        .begin = api_admin_begin,
        .finish = api_handover_finish,
        .resume = api_admin_resume,
        .abandon = api_admin_abandon,
    },
    {
        .name = "GET /v1/admin/properties/{name}",
        .path = "/v1/admin/properties/",
        .is_prefix = true,
        .methods = GET_HEAD,
        .scope = API_SCOPE_ADMIN,
        .database = true,
        .finish = api_admin_property_finish,
    },
    {
        .name = "GET /v1/admin/tasks",
        .path = "/v1/admin/tasks",
        .methods = GET_HEAD,
        .scope = API_SCOPE_ADMIN,
        .finish = api_task_list_finish,
    },
    {
        .name = "GET /v1/admin/tasks/{id}",
        .path = "/v1/admin/tasks/",
        .is_prefix = true,
        .methods = GET_HEAD,
        .scope = API_SCOPE_ADMIN,
        .finish = api_task_get_finish,
    },
    {
        .name = "DELETE /v1/admin/tasks/{id}",
        .path = "/v1/admin/tasks/",
        .is_prefix = true,
        .methods = API_METHOD_BIT(API_DELETE),
        .scope = API_SCOPE_ADMIN,
        .finish = api_task_cancel_finish,
    },
    {
        .name = "GET /v1/backup",
        .path = "/v1/backup",
        .methods = API_METHOD_BIT(API_GET),
        .scope = API_SCOPE_ADMIN,
        .finish = api_backup_finish,
        .resume = api_backup_resume,
        .abandon = api_backup_abandon,
    },
    {
        .name = "GET /v1/digest",
        .path = "/v1/digest",
        .methods = GET_HEAD,
        .database = true,
        .scope = API_SCOPE_REPLICATE,
        .finish = api_digest_finish,
        .resume = api_digest_resume,
        .abandon = api_digest_abandon,
    },
    {
        .name = "GET /v1/replication/state",
        .path = "/v1/replication/state",
        .methods = GET_HEAD,
        .scope = API_SCOPE_REPLICATE,
        .finish = api_replication_state_finish,
    },
    {
        .name = "GET /v1/replication/files/{name}",
        .path = "/v1/replication/files/",
        .is_prefix = true,
        .methods = GET_HEAD,
        .database = true,
        .scope = API_SCOPE_REPLICATE,
        .finish = api_replication_files_finish,
        .resume = api_replication_files_resume,
    },
    {
        .name = "POST /v1/replication/ack",
        .path = "/v1/replication/ack",
        .methods = API_METHOD_BIT(API_POST),
        .database = true,
        .scope = API_SCOPE_REPLICATE,
        .begin = api_replication_ack_begin,
        .finish = api_replication_ack_finish,
    },
    {
        .name = "POST /v1/replication/checkpoint",
        .path = "/v1/replication/checkpoint",
        .methods = API_METHOD_BIT(API_POST),
        .database = true,
        .scope = API_SCOPE_REPLICATE,
        .begin = api_replication_checkpoint_begin,
        .finish = api_replication_checkpoint_finish,
        .resume = api_replication_checkpoint_resume,
        .abandon = api_replication_checkpoint_abandon,
    },
    {
        .name = "GET /v1/replication/followers",
        .path = "/v1/replication/followers",
        .methods = GET_HEAD,
        .database = true,
        .scope = API_SCOPE_REPLICATE,
        .finish = api_follower_list_finish,
    },
    {
        .name = "DELETE /v1/replication/followers/{id}",
        .path = "/v1/replication/followers/",
        .is_prefix = true,
        .methods = API_METHOD_BIT(API_DELETE),
        .database = true,
        .scope = API_SCOPE_ADMIN,
        .finish = api_follower_remove_finish,
    },
    {
        .name = "GET /v1/replication/diverged",
        .path = "/v1/replication/diverged",
        .methods = GET_HEAD,
        .scope = API_SCOPE_REPLICATE,
        .finish = api_diverged_list_finish,
        .resume = api_diverged_resume,
        .abandon = api_diverged_abandon,
    },
    {
        .name = "GET /v1/replication/diverged/{name}",
        .path = "/v1/replication/diverged/",
        .is_prefix = true,
        .methods = GET_HEAD,
        .scope = API_SCOPE_REPLICATE,
        .finish = api_diverged_get_finish,
    },
    {
        .name = "DELETE /v1/replication/diverged/{name}",
        .path = "/v1/replication/diverged/",
        .is_prefix = true,
        .methods = API_METHOD_BIT(API_DELETE),
        .scope = API_SCOPE_ADMIN,
        .finish = api_diverged_remove_finish,
        .resume = api_diverged_resume,
        .abandon = api_diverged_abandon,
    },
    {
        .name = "GET /stats",
        .path = "/stats",
        .methods = GET_HEAD,
        .scope = API_SCOPE_READ,
        .finish = api_stats_finish,
    },
    {
        .name = "GET /metrics",
        .path = "/metrics",
        .methods = GET_HEAD,
        .scope = API_SCOPE_READ,
        .finish = api_prometheus_finish,
    },
    {
        .name = "GET /openapi.json",
        .path = "/openapi.json",
        .methods = GET_HEAD,
        .finish = api_openapi_finish,
    },
    {
        .name = "GET /healthz",
        .path = "/healthz",
        .methods = GET_HEAD,
        .finish = api_healthz_finish,
    },
    {
        .name = "GET /readyz",
        .path = "/readyz",
        .methods = GET_HEAD,
        .finish = api_readyz_finish,
    },
    {
        .name = "GET /version",
        .path = "/version",
        .methods = GET_HEAD,
        .finish = api_version_finish,
    },
};

/* Stands for a route whose request goes to the leader. */
static const struct api_route forwarding = {
    .name = "forward",
    .take = api_forward_take,
    .refuse = api_forward_refuse,
    .finish = api_forward_finish,
    .resume = api_forward_resume,
    .abandon = api_forward_abandon,
};

#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

const struct api_route *api_routes(size_t *out_count)
{
    *out_count = ROUTE_COUNT;
    return routes;
}

size_t api_route_none(void)
{
    return ROUTE_COUNT;
}

const char *api_route_label(size_t index)
{
    assert(index <= ROUTE_COUNT);
    return index < ROUTE_COUNT ? routes[index].name : "other";
}

const char *api_method_text(enum api_method method)
{
    switch (method) {
    case API_GET:
        return "GET";
    case API_HEAD:
        return "HEAD";
    case API_PUT:
        return "PUT";
    case API_POST:
        return "POST";
    case API_DELETE:
        return "DELETE";
    case API_METHOD_OTHER:
        break;
    }
    return "";
}

static bool path_matches(const struct api_route *route, struct ldb_slice path)
{
    struct ldb_slice own = ldb_slice_str(route->path);

    return route->is_prefix ? ldb_slice_starts_with(path, own)
                            : ldb_slice_equal(path, own);
}

static void answer_no_route(struct api_exchange *x, unsigned methods)
{
    char allow[64] = "";
    size_t len = 0;

    if (methods == 0) {
        api_answer_problemf(x, API_PROBLEM_NOT_FOUND, "no such resource");
        return;
    }
    for (enum api_method m = API_GET; m < API_METHOD_OTHER; m++) {
        if ((methods & API_METHOD_BIT(m)) != 0)
            len += (size_t)snprintf(allow + len, sizeof(allow) - len, "%s%s",
                                    len == 0 ? "" : ", ", api_method_text(m));
    }
    assert(len < sizeof(allow));
    if (!api_header_printf(x, "Allow", "%s", allow)) {
        api_answer_no_memory(x);
        return;
    }
    api_answer_problemf(x, API_PROBLEM_METHOD_NOT_ALLOWED,
                        "this resource knows %s", allow);
}

/* Finds x->route and x->raw_rest; answers 404 or 405 where there is none. */
static bool find_route(struct api_exchange *x)
{
    unsigned methods = 0;

    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        size_t path_len;

        if (!path_matches(&routes[i], x->raw_path))
            continue;
        methods |= routes[i].methods;
        if (x->method == API_METHOD_OTHER ||
            (routes[i].methods & API_METHOD_BIT(x->method)) == 0)
            continue;
        path_len = strlen(routes[i].path);
        x->route = &routes[i];
        x->raw_rest = ldb_slice_make(x->raw_path.data + path_len,
                                     x->raw_path.len - path_len);
        return true;
    }
    answer_no_route(x, methods);
    return false;
}

/* A HEAD's answer is its GET's, without the body. */
static void settle(struct api_exchange *x)
{
    struct api_response *response = &x->response;

    if (!response->ready || x->method != API_HEAD)
        return;
    switch (response->body_kind) {
    case API_BODY_NONE:
        return;
    case API_BODY_STATIC:
        response->head_length = response->static_body.len;
        break;
    case API_BODY_BUF:
        response->head_length = response->body.len;
        break;
    case API_BODY_STREAM:
        response->head_length = response->stream_length;
        break;
    }
    api_response_release(response);
}

static bool add_node_headers(struct api_exchange *x)
{
    if (api_header_add(x, "Leveld-Role", api_role_text(x->context->role)) &&
        api_header_number(x, "Leveld-Epoch", x->context->epoch))
        return true;
    api_answer_no_memory(x);
    return false;
}

/* A body that would be refused later is not sent at all. */
static bool check_gate(struct api_exchange *x)
{
    struct api_problem problem;

    if (!x->route->database ||
        LDB_LIKELY(!api_db_gate_is_closing(x->context->gate)))
        return true;
    api_db_gate_problem(x->context->gate, &problem);
    api_answer_problem(x, &problem);
    return false;
}

/* The route's own handlers. */
static void begin_here(struct api_exchange *x)
{
    if (!api_auth_check(x, x->route->scope) || !check_gate(x))
        return;
    if (x->route->begin != NULL)
        x->route->begin(x);
    if (!x->response.ready && x->route->waits)
        (void)!api_sequence_wait_parse(x);
}

static void begin_route(struct api_exchange *x)
{
    enum api_forward_way way =
        x->route->writes ? api_forward_begin(x) : API_FORWARD_HERE;

    switch (way) {
    case API_FORWARD_HERE:
        begin_here(x);
        return;
    case API_FORWARD_SENT:
        x->handlers = &forwarding;
        return;
    case API_FORWARD_ANSWERED:
        return;
    }
}

void api_exchange_begin(struct api_exchange *x)
{
    x->route = NULL;
    x->handlers = NULL;
    x->body_limit = 0;
    x->body_window = 0;
    x->state = NULL;
    x->tokens = NULL;
    x->token = NULL;
    x->sequence_wait = (struct api_sequence_wait){0};
    x->is_inside = false;
    x->is_over = false;
    if (add_node_headers(x) && find_route(x)) {
        x->handlers = x->route;
        begin_route(x);
        if (!x->response.ready && x->body_window == 0 &&
            x->content_length != API_LENGTH_UNKNOWN &&
            x->content_length > x->body_limit)
            api_answer_body_too_large(x);
    }
    settle(x);
}

/* ---- the gate ---- */

/* Whether its handlers may run now; refused when not. */
static bool go_in(struct api_exchange *x)
{
    struct api_problem problem;

    if (x->is_inside || !x->handlers->database)
        return true;
    x->is_inside = api_db_gate_enter(x->context->gate);
    if (LDB_LIKELY(x->is_inside))
        return true;
    api_db_gate_problem(x->context->gate, &problem);
    if (x->handlers->refuse != NULL)
        x->handlers->refuse(x, &problem);
    else
        api_answer_problem(x, &problem);
    return false;
}

static void go_out(struct api_exchange *x)
{
    if (x->is_inside)
        api_db_gate_leave(x->context->gate);
    x->is_inside = false;
}

/* After a handler: x stays inside while it waits, and for its stream. */
static void go_out_if_done(struct api_exchange *x)
{
    const struct api_response *response = &x->response;

    if (response->ready ? response->body_kind != API_BODY_STREAM ||
                              response->stream_ops->is_detached
                        : x->wants_body)
        go_out(x);
}

/* ---- the calls of an exchange ---- */

/* Calls what is due, now or once this node has the sequence asked for. */
static void go_on(struct api_exchange *x, void (*then)(struct api_exchange *))
{
    if (go_in(x) && api_sequence_wait_pass(x, then))
        then(x);
}

void api_exchange_take(struct api_exchange *x)
{
    assert(!x->response.ready && x->handlers->take != NULL);
    go_on(x, x->handlers->take);
    go_out_if_done(x);
}

void api_exchange_refuse(struct api_exchange *x,
                         const struct api_problem *problem)
{
    assert(!x->response.ready);
    if (x->handlers->refuse == NULL)
        api_answer_problem(x, problem);
    else if (go_in(x))
        x->handlers->refuse(x, problem);
    go_out_if_done(x);
}

void api_exchange_finish(struct api_exchange *x)
{
    assert(!x->response.ready && x->route != NULL);
    go_on(x, x->handlers->finish);
    settle(x);
    go_out_if_done(x);
}

void api_exchange_resume(struct api_exchange *x)
{
    void (*then)(struct api_exchange *) = x->sequence_wait.then;

    assert(!x->response.ready && (then != NULL || x->handlers->resume != NULL));
    x->sequence_wait.then = NULL;
    if (then != NULL)
        go_on(x, then);
    else
        x->handlers->resume(x);
    settle(x);
    go_out_if_done(x);
}

/* The handler's end, once. */
static void let_go(struct api_exchange *x)
{
    if (!x->is_over && x->handlers != NULL && x->handlers->abandon != NULL)
        x->handlers->abandon(x);
    x->is_over = true;
    go_out(x);
}

void api_exchange_end_stream(struct api_exchange *x)
{
    assert(x->response.ready && x->response.stream == NULL);
    let_go(x);
}

void api_exchange_abandon(struct api_exchange *x)
{
    size_t index = x->route == NULL ? ROUTE_COUNT : (size_t)(x->route - routes);
    uint64_t now_us = api_now_us(x->context);

    /* A stream that was never sent is in its answer still. */
    if (x->is_inside && x->response.stream != NULL)
        api_response_release(&x->response);
    let_go(x);
    api_auth_release(x);
    api_metrics_record(x->context->metrics, x->loop, index,
                       x->response.ready
                           ? api_outcome_of_status(x->response.status)
                           : API_OUTCOME_ABANDONED,
                       now_us > x->started_us ? now_us - x->started_us : 0);
}

void api_pass_end(struct api_context *context)
{
    if (!atomic_load_explicit(&context->writes_queued, memory_order_relaxed))
        return;
    atomic_store_explicit(&context->writes_queued, false, memory_order_relaxed);
    /* While the gate closes too: who is inside waits for his write. */
    if (!api_db_gate_enter_closing(context->gate))
        return;
    ldb_write_drive(context->db);
    api_db_gate_leave(context->gate);
}
