#include "api/task_routes.h"

#include "api/conditions.h"
#include "api/context.h"
#include "api/document.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/task_text.h"
#include "storage/base/checked.h"

/* Listed at once: those of both queues, those that run, those kept. */
#define TASKS_MAX (API_TASKS_KEPT_MAX + 2 * API_TASKS_QUEUED_MAX + 2)

/* Bytes of one in a list: an error's message as escapes, and the rest. */
#define ITEM_MAX ((size_t)4 << 10)

static bool check_request(struct api_exchange *x)
{
    static const char *const types[] = {API_TYPE_JSON};
    size_t choice;

    return api_no_params(x) && api_accept(x, types, 1, &choice) &&
           api_conditions_refuse(x);
}

void api_task_list_finish(struct api_exchange *x)
{
    struct api_task_info *infos =
        ldb_arena_alloc_aligned(x->arena, TASKS_MAX * sizeof(*infos));
    struct ldb_buf body = LDB_BUF_INIT((TASKS_MAX + 1) * ITEM_MAX);
    struct api_json json = api_json_make(&body);
    size_t count;

    if (infos == NULL) {
        api_answer_no_memory(x);
        return;
    }
    if (!check_request(x))
        return;
    count = api_tasks_list(x->context->tasks, infos, TASKS_MAX);
    api_json_object_begin(&json);
    api_json_name(&json, "items");
    api_json_array_begin(&json);
    for (size_t i = 0; i < count; i++)
        api_task_write(&json, &infos[i], (struct ldb_slice){0});
    api_json_array_end(&json);
    api_json_object_end(&json);
    api_answer_document(x, 200, &json);
}

static void answer_none(struct api_exchange *x)
{
    api_answer_problemf(x, API_PROBLEM_NOT_FOUND,
                        "no such task; the last %d that ended are kept",
                        API_TASKS_KEPT_MAX);
}

/* False: answered. */
static bool read_id(struct api_exchange *x, uint64_t *out)
{
    if (ldb_parse_u64(x->raw_rest, out))
        return true;
    answer_none(x);
    return false;
}

void api_task_get_finish(struct api_exchange *x)
{
    struct ldb_buf body = LDB_BUF_INIT(API_TASK_RESULT_MAX + ITEM_MAX);
    struct api_json json = api_json_make(&body);
    struct api_task_info info;
    struct api_task *task;
    uint64_t id;

    if (!check_request(x) || !read_id(x, &id))
        return;
    task = api_tasks_find(x->context->tasks, id);
    if (task == NULL) {
        answer_none(x);
        return;
    }
    api_task_describe(task, &info);
    api_task_write(&json, &info, api_task_result(task));
    api_task_unref(task);
    api_answer_document(x, 200, &json);
}

void api_task_cancel_finish(struct api_exchange *x)
{
    uint64_t id;
    enum ldb_status s;

    if (!check_request(x) || !read_id(x, &id))
        return;
    s = api_tasks_cancel(x->context->tasks, id);
    if (s == LDB_OK)
        api_answer_empty(x, 204);
    else if (s == LDB_NOT_FOUND)
        answer_none(x);
    else
        api_answer_problemf(x, API_PROBLEM_CONFLICT, "the task has ended");
}
