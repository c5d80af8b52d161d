#include "api/replication_checkpoint.h"

#include <inttypes.h>
#include <string.h>

#include "api/context.h"
#include "api/db_gate.h"
#include "api/document.h"
#include "api/problem.h"
#include "api/replication.h"
#include "api/response.h"
#include "api/tasks.h"
#include "replication/leader.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Locking: the task's until that has ended, then the exchange's. */
struct making {
    struct api_context *context;
    char node_id[REPL_ID_SIZE];
    struct ldb_buf document;
};

struct checkpoint_request {
    struct api_task *task;
    struct api_task_watch watch;
};

void api_replication_checkpoint_begin(struct api_exchange *x)
{
    if (api_replication_body_is_json(x))
        x->body_limit = REPL_MESSAGE_BYTES_MAX;
}

/* ---- making one ---- */

static enum ldb_status make_inside(struct making *making, struct ldb_error *err)
{
    struct repl_leader *leader = making->context->leader;
    struct repl_checkpoint checkpoint = {0};
    enum ldb_status s;

    if (leader == NULL)
        return ldb_error_set(err, LDB_CLOSED, "this node does not lead");
    s = repl_checkpoints_make(repl_leader_checkpoints(leader), making->node_id,
                              err, &checkpoint);
    if (s == LDB_OK)
        s = repl_checkpoint_encode(&checkpoint, err, &making->document);
    repl_checkpoint_release(&checkpoint);
    return s;
}

/* The task. */
static enum ldb_status make(void *context, const struct ldb_progress *progress,
                            struct ldb_error *err, struct ldb_buf *result)
{
    struct making *making = context;
    struct api_db_gate *gate = making->context->gate;
    enum ldb_status s;

    (void)progress;
    (void)result;
    if (!api_db_gate_enter(gate))
        return ldb_error_set(err, LDB_CLOSED,
                             "the node changes its role or its folder");
    s = make_inside(making, err);
    api_db_gate_leave(gate);
    return s;
}

static void release_making(void *context)
{
    struct making *making = context;

    ldb_buf_release(&making->document);
    ldb_mem_free(making);
}

/* False: answered. */
static bool submit(struct api_exchange *x, const char *node_id,
                   struct checkpoint_request *request)
{
    struct making *making = ldb_mem_zalloc(1, sizeof(*making));
    struct api_task_work work = {.lane = API_TASK_SHORT,
                                 .run = make,
                                 .release = release_making,
                                 .context = making};
    struct ldb_error error = {0};
    enum ldb_status s;

    if (making == NULL) {
        api_answer_no_memory(x);
        return false;
    }
    making->context = x->context;
    making->document = (struct ldb_buf)LDB_BUF_INIT(REPL_DOCUMENT_BYTES_MAX);
    memcpy(making->node_id, node_id, sizeof(making->node_id));
    s = api_tasks_submit(x->context->tasks, &work, &error, &request->task);
    if (s != LDB_OK)
        api_replication_answer_status(x, s, &error);
    return s == LDB_OK;
}

static void begin_making(struct api_exchange *x, const char *node_id)
{
    struct checkpoint_request *request =
        ldb_arena_alloc_aligned(x->arena, sizeof(*request));

    if (request == NULL) {
        api_answer_no_memory(x);
        return;
    }
    memset(request, 0, sizeof(*request));
    x->state = request;
    if (submit(x, node_id, request) &&
        api_task_watch(request->task, &request->watch, x, UINT64_MAX, NULL) !=
            API_TASK_WATCHED)
        api_replication_checkpoint_resume(x);
}

void api_replication_checkpoint_resume(struct api_exchange *x)
{
    struct checkpoint_request *request = x->state;
    struct api_task_info info;

    api_task_describe(request->task, &info);
    if (info.state == API_TASK_DONE) {
        struct making *making = api_task_context(request->task);

        api_replication_answer_document(x, LDB_OK, NULL, &making->document);
    } else if (info.state == API_TASK_FAILED) {
        api_replication_answer_status(x, info.status, &info.error);
    } else {
        api_replication_answer_status(x, LDB_CLOSED, NULL);
    }
}

void api_replication_checkpoint_abandon(struct api_exchange *x)
{
    struct checkpoint_request *request = x->state;

    if (request != NULL)
        api_task_unref(request->task);
}

/* ---- one that there is ---- */

static void renew(struct api_exchange *x, struct repl_checkpoints *checkpoints,
                  uint64_t id)
{
    struct ldb_buf body = LDB_BUF_INIT(API_DOCUMENT_MAX);
    struct api_json json = api_json_make(&body);

    if (!repl_checkpoints_renew(checkpoints, id)) {
        api_answer_problemf(x, API_PROBLEM_EXPIRED,
                            "checkpoint %" PRIu64 " is not held any more", id);
        return;
    }
    api_json_object_begin(&json);
    api_json_member_u64(&json, "id", id);
    api_json_object_end(&json);
    api_answer_document(x, 200, &json);
}

void api_replication_checkpoint_finish(struct api_exchange *x)
{
    struct repl_leader *leader = api_replication_leader(x);
    struct repl_checkpoint_request asked = {0};
    struct ldb_error error = {0};
    enum ldb_status s;

    if (leader == NULL)
        return;
    s = repl_checkpoint_request_decode(ldb_slice_of_buf(&x->body), &error,
                                       &asked);
    if (s != LDB_OK) {
        api_replication_answer_bad_body(x, s, &error);
    } else if (asked.is_release) {
        repl_checkpoints_drop(repl_leader_checkpoints(leader), asked.id);
        api_answer_empty(x, 204);
    } else if (asked.id != 0) {
        renew(x, repl_leader_checkpoints(leader), asked.id);
    } else {
        begin_making(x, asked.node_id);
    }
}
