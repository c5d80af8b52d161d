#include "api/health.h"

#include "api/context.h"
#include "api/db_gate.h"
#include "api/document.h"
#include "api/node_ops.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/role.h"
#include "storage/base/buf.h"

/* Not ready is always 503, whatever the kind's usual status. */
#define NOT_READY_STATUS 503

/* The least; what was measured may say more (problem.c). */
#define RETRY_SOON_S 1

/* The journal format's and our folder's version: docs/formats.md. */
#define FORMAT_VERSION 1

static const char *reason_of_health(enum ldb_health health,
                                    enum api_problem_kind *out_kind)
{
    switch (health) {
    case LDB_HEALTH_DISK_FULL:
        *out_kind = API_PROBLEM_DISK_FULL;
        return "disk-full";
    case LDB_HEALTH_SYNC_FAILED:
        *out_kind = API_PROBLEM_READ_ONLY;
        return "fsync-failed";
    case LDB_HEALTH_WRITE_FAILED:
        *out_kind = API_PROBLEM_READ_ONLY;
        return "write-failed";
    case LDB_HEALTH_CORRUPTION:
        *out_kind = API_PROBLEM_CORRUPTION;
        return "corruption";
    case LDB_HEALTHY:
    case LDB_HEALTH_BACKGROUND: /* retried; when it does not heal: stalled */
        break;
    }
    return NULL;
}

static const char *not_ready(struct api_problem *problem,
                             enum api_problem_kind kind, const char *reason,
                             const char *detail)
{
    *problem = (struct api_problem){
        .kind = kind, .status = NOT_READY_STATUS, .reason = reason};
    api_problem_detail(problem, "%s", detail);
    return reason;
}

static const char *stalled(struct api_problem *problem)
{
    const char *reason = not_ready(problem, API_PROBLEM_STALLED, "stalled",
                                   "writes wait for flush or compaction");

    problem->retry_after_s = RETRY_SOON_S;
    return reason;
}

/* The database, once there is one. */
static const char *database_reason(const struct api_context *context,
                                   struct api_problem *problem)
{
    enum api_problem_kind kind = API_PROBLEM_INTERNAL;
    struct ldb_error error = {0};
    struct ldb_stats stats;
    const char *reason;
    uint64_t free_bytes;

    reason = reason_of_health(ldb_health(context->db, &error), &kind);
    if (reason != NULL)
        return not_ready(problem, kind, reason, error.message);
    if (context->read_only)
        return NULL; /* the rest is about writes */
    if (context->disk_reserve_bytes > 0 &&
        context->env->ops->free_space(context->env, context->data_dir, &error,
                                      &free_bytes) == LDB_OK &&
        free_bytes < context->disk_reserve_bytes)
        return not_ready(problem, API_PROBLEM_DISK_FULL, "disk-full",
                         "the disk has less free space than its reserve");
    ldb_stats(context->db, &stats);
    if (stats.stopped)
        return stalled(problem);
    return NULL;
}

/* A node without a database that follows: how far that is, and what is in its
 * way. */
static void add_following(const struct api_context *context,
                          struct api_problem *problem)
{
    const struct api_problem before = *problem;
    const struct repl_build_figures *build;
    struct api_following now;

    if (context->node_ops == NULL ||
        !context->node_ops->following(context->node, &now))
        return;
    build = &now.rebuild;
    if (now.is_rebuilding)
        api_problem_detail(problem, "%s: %s, %llu of %llu bytes: %s",
                           before.detail, repl_build_step_text(build->step),
                           (unsigned long long)build->bytes_fetched,
                           (unsigned long long)build->bytes_wanted,
                           now.stats.why);
    else
        api_problem_detail(problem, "%s: %s%s%s", before.detail,
                           repl_follower_state_text(now.stats.state),
                           now.stats.why[0] == '\0' ? "" : ": ", now.stats.why);
}

const char *api_not_ready_reason(const struct api_context *context,
                                 struct api_problem *problem)
{
    const char *reason;

    if (!api_db_gate_enter(context->gate)) {
        api_db_gate_problem(context->gate, problem);
        add_following(context, problem);
        return problem->reason;
    }
    reason = database_reason(context, problem);
    api_db_gate_leave(context->gate);
    if (reason == NULL && context->node_ops != NULL)
        reason = context->node_ops->reason(context->node, problem);
    return reason;
}

void api_healthz_finish(struct api_exchange *x)
{
    if (api_no_params(x))
        api_answer_static(x, 200, API_TYPE_JSON,
                          ldb_slice_str("{\"alive\":true}\n"));
}

void api_readyz_finish(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT(API_DOCUMENT_MAX);
    struct api_json json = api_json_make(&body);
    struct api_problem problem;

    if (!api_no_params(x))
        return;
    if (api_not_ready_reason(x->context, &problem) != NULL) {
        api_answer_problem(x, &problem);
        return;
    }
    api_json_object_begin(&json);
    api_json_member_bool(&json, "ready", true);
    api_json_member_text(&json, "role", api_role_text(x->context->role));
    api_json_object_end(&json);
    api_answer_document(x, 200, &json);
}

void api_version_finish(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT(API_DOCUMENT_MAX);
    struct api_json json = api_json_make(&body);

    if (!api_no_params(x))
        return;
    api_json_object_begin(&json);
    api_json_member_text(&json, "version", x->context->version);
    api_json_member_text(&json, "commit", x->context->commit);
    api_json_member_u64(&json, "format", FORMAT_VERSION);
    api_json_member_u64(&json, "epoch", x->context->epoch);
    api_json_object_end(&json);
    api_answer_document(x, 200, &json);
}
