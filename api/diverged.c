#include "api/diverged.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/conditions.h"
#include "api/context.h"
#include "api/document.h"
#include "api/file_part.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/replication.h"
#include "api/response.h"
#include "api/tasks.h"
#include "replication/diverged.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Bytes of one in a list. */
#define ITEM_MAX ((size_t)512)

/* ---- counting ---- */

void api_diverged_count(struct api_context *context)
{
    struct api_diverged_counts *counts = &context->diverged;
    struct repl_diverged found = {0};

    if (repl_diverged_list(context->env, context->data_dir, NULL, &found) !=
        LDB_OK)
        return;
    atomic_store_explicit(&counts->rewinds, found.rewind_count,
                          memory_order_relaxed);
    atomic_store_explicit(&counts->files, found.file_count,
                          memory_order_relaxed);
    atomic_store_explicit(&counts->bytes, found.bytes, memory_order_relaxed);
    repl_diverged_release(&found);
}

/* ---- tasks: what reads the folder, or waits for its disk ---- */

/* Locking: the task's until that has ended, then the exchange's. */
struct visit {
    struct api_context *context;
    char name[REPL_DIVERGED_NAME_SIZE]; /* of the one to remove */
    struct repl_diverged found;         /* of the list */
};

struct diverged_request {
    struct api_task *task;
    struct api_task_watch watch;
    void (*answer)(struct api_exchange *x, const struct visit *visit);
    char after[REPL_DIVERGED_NAME_SIZE]; /* of the list; "": its beginning */
    uint64_t limit;
};

static void release_visit(void *context)
{
    struct visit *visit = context;

    repl_diverged_release(&visit->found);
    ldb_mem_free(visit);
}

static struct diverged_request *make_request(struct api_exchange *x)
{
    struct diverged_request *request =
        ldb_arena_alloc_aligned(x->arena, sizeof(*request));

    if (request == NULL) {
        api_answer_no_memory(x);
        return NULL;
    }
    memset(request, 0, sizeof(*request));
    return request;
}

typedef enum ldb_status (*visit_run)(void *context,
                                     const struct ldb_progress *progress,
                                     struct ldb_error *err,
                                     struct ldb_buf *result);

/* Has it run, for the file of that name; then request->answer is called. */
static void submit(struct api_exchange *x, struct diverged_request *request,
                   visit_run run, const char *name)
{
    struct visit *visit = ldb_mem_zalloc(1, sizeof(*visit));
    struct api_task_work work = {.lane = API_TASK_SHORT,
                                 .run = run,
                                 .release = release_visit,
                                 .context = visit};
    struct ldb_error error = {0};
    enum ldb_status s;

    if (visit == NULL) {
        api_answer_no_memory(x);
        return;
    }
    visit->context = x->context;
    (void)snprintf(visit->name, sizeof(visit->name), "%s", name);
    x->state = request;
    s = api_tasks_submit(x->context->tasks, &work, &error, &request->task);
    if (s != LDB_OK)
        api_replication_answer_status(x, s, &error);
    else if (api_task_watch(request->task, &request->watch, x, UINT64_MAX,
                            NULL) != API_TASK_WATCHED)
        api_diverged_resume(x);
}

void api_diverged_resume(struct api_exchange *x)
{
    struct diverged_request *request = x->state;
    struct api_task_info info;

    api_task_describe(request->task, &info);
    if (info.state == API_TASK_DONE)
        request->answer(x, api_task_context(request->task));
    else if (info.state == API_TASK_FAILED)
        api_replication_answer_status(x, info.status, &info.error);
    else
        api_replication_answer_status(x, LDB_CLOSED, NULL);
}

void api_diverged_abandon(struct api_exchange *x)
{
    struct diverged_request *request = x->state;

    if (request != NULL)
        api_task_unref(request->task);
}

/* ---- names ---- */

/* False: no file can have that name. */
static bool take_name(struct ldb_slice bytes, char out[REPL_DIVERGED_NAME_SIZE])
{
    if (bytes.len == 0 || bytes.len >= REPL_DIVERGED_NAME_SIZE ||
        memchr(bytes.data, '\0', bytes.len) != NULL)
        return false;
    memcpy(out, bytes.data, bytes.len);
    out[bytes.len] = '\0';
    return true;
}

/* The name in the path. False: answered. */
static bool read_name(struct api_exchange *x, char out[REPL_DIVERGED_NAME_SIZE])
{
    struct ldb_slice bytes;
    enum api_decode_result decoded =
        api_percent_decode(x->arena, x->raw_rest, &bytes);

    if (decoded == API_DECODE_OK && take_name(bytes, out))
        return true;
    if (decoded == API_DECODE_NO_MEMORY)
        api_answer_no_memory(x);
    else
        api_answer_problemf(x, API_PROBLEM_NOT_FOUND,
                            "no diverged file of that name is kept");
    return false;
}

/* ---- the list ---- */

static enum ldb_status run_list(void *context,
                                const struct ldb_progress *progress,
                                struct ldb_error *err, struct ldb_buf *result)
{
    struct visit *visit = context;

    (void)progress;
    (void)result;
    return repl_diverged_list(visit->context->env, visit->context->data_dir,
                              err, &visit->found);
}

/* The sequences that only this node had: none, where first is above last. */
static void write_file(struct api_json *json, const struct repl_diverged *found,
                       const struct repl_diverged_file *file)
{
    const struct repl_rewind *rewind =
        repl_diverged_rewind(found, file->rewind);
    char epoch_id[17];

    api_json_object_begin(json);
    api_json_member_text(json, "name", file->name);
    api_json_member_u64(json, "bytes", file->bytes);
    api_json_member_u64(json, "rewind", file->rewind);
    if (rewind != NULL) {
        (void)snprintf(epoch_id, sizeof(epoch_id), "%016" PRIx64,
                       rewind->epoch_id);
        api_json_member_u64(json, "epoch", rewind->epoch_number);
        api_json_member_text(json, "epoch_id", epoch_id);
        api_json_member_u64(json, "first", rewind->fork + 1);
        api_json_member_u64(json, "last", rewind->last);
        api_json_member_time(json, "time", rewind->wall_us);
    }
    api_json_object_end(json);
}

static void answer_list(struct api_exchange *x, const struct visit *visit)
{
    const struct diverged_request *request = x->state;
    const struct repl_diverged *found = &visit->found;
    struct ldb_buf body = LDB_BUF_INIT((size_t)(request->limit + 2) * ITEM_MAX);
    struct api_json json = api_json_make(&body);
    size_t i = 0;
    size_t end;

    if (request->after[0] != '\0' &&
        !repl_diverged_after(found, request->after, &i)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "after= is the name of a diverged file");
        return;
    }
    end = found->file_count - i > request->limit ? i + (size_t)request->limit
                                                 : found->file_count;
    api_json_object_begin(&json);
    api_json_member_u64(&json, "rewinds", found->rewind_count);
    api_json_member_u64(&json, "files", found->file_count);
    api_json_member_u64(&json, "bytes", found->bytes);
    api_json_name(&json, "items");
    api_json_array_begin(&json);
    for (; i < end; i++)
        write_file(&json, found, &found->files[i]);
    api_json_array_end(&json);
    if (end < found->file_count)
        api_json_member_text(&json, "next", found->files[end - 1].name);
    api_json_object_end(&json);
    api_answer_document(x, 200, &json);
}

void api_diverged_list_finish(struct api_exchange *x)
{
    static const char *const allowed[] = {"after", "limit", NULL};
    static const char *const types[] = {API_TYPE_JSON};
    struct diverged_request *request = make_request(x);
    const struct ldb_slice *after;
    struct api_params params;
    size_t choice;

    if (request == NULL)
        return;
    request->answer = answer_list;
    request->limit = API_DIVERGED_DEFAULT;
    if (!api_params_parse(x, allowed, &params) ||
        !api_params_u64(x, &params, "limit", 1, API_DIVERGED_MAX,
                        &request->limit) ||
        !api_accept(x, types, 1, &choice) || !api_conditions_refuse(x))
        return;
    after = api_params_find(&params, "after");
    if (after != NULL && !take_name(*after, request->after))
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "after= is the name of a diverged file");
    else
        submit(x, request, run_list, "");
}

/* ---- removal ---- */

static enum ldb_status run_remove(void *context,
                                  const struct ldb_progress *progress,
                                  struct ldb_error *err, struct ldb_buf *result)
{
    struct visit *visit = context;
    enum ldb_status s = repl_diverged_remove(
        visit->context->env, visit->context->data_dir, visit->name, err);

    (void)progress;
    (void)result;
    api_diverged_count(visit->context);
    return s;
}

static void answer_removed(struct api_exchange *x, const struct visit *visit)
{
    (void)visit;
    api_answer_empty(x, 204);
}

void api_diverged_remove_finish(struct api_exchange *x)
{
    struct diverged_request *request = make_request(x);
    char name[REPL_DIVERGED_NAME_SIZE];

    if (request == NULL || !api_replication_no_params(x))
        return;
    request->answer = answer_removed;
    if (x->context->read_only)
        api_answer_read_only(x);
    else if (read_name(x, name))
        submit(x, request, run_remove, name);
}

/* ---- one file ---- */

struct diverged_stream {
    struct ldb_random_file *file;
    uint64_t at;
    uint64_t left;
};

static int64_t stream_read(void *stream, uint8_t *out, size_t max)
{
    struct diverged_stream *s = stream;
    struct ldb_slice bytes;

    if (s->left < max)
        max = (size_t)s->left;
    if (max == 0)
        return 0;
    if (ldb_random_read_at(s->file, s->at, max, out, &bytes, NULL) != LDB_OK)
        return API_STREAM_FAILED;
    if (bytes.data != out)
        memcpy(out, bytes.data, bytes.len);
    s->at += bytes.len;
    s->left -= bytes.len;
    return (int64_t)bytes.len;
}

static void stream_destroy(void *stream)
{
    struct diverged_stream *s = stream;

    ldb_random_close(s->file);
    ldb_mem_free(s);
}

static const struct api_stream_ops stream_ops = {
    .read = stream_read,
    .destroy = stream_destroy,
    .is_detached = true,
};

/* Takes file over. */
static void answer_part(struct api_exchange *x,
                        const struct api_file_part *part,
                        struct ldb_random_file *file)
{
    struct diverged_stream *s = NULL;

    if (part->len > 0 && (s = ldb_mem_zalloc(1, sizeof(*s))) != NULL) {
        *s = (struct diverged_stream){
            .file = file, .at = part->start, .left = part->len};
        api_answer_stream_of(x, part->status, API_TYPE_BYTES, part->len,
                             &stream_ops, s);
        return;
    }
    ldb_random_close(file);
    if (part->len > 0)
        api_answer_no_memory(x);
    else
        api_answer_static(x, part->status, API_TYPE_BYTES,
                          (struct ldb_slice){0});
}

/* What of it goes out. False: answered. */
static bool choose_part(struct api_exchange *x, const char *name, uint64_t size,
                        struct api_file_part *out)
{
    const char *tag = api_file_tag(x, name, size);

    if (tag == NULL || !api_header_add(x, "ETag", tag) ||
        !api_header_add(x, "Accept-Ranges", "bytes")) {
        api_answer_no_memory(x);
        return false;
    }
    if (api_file_is_unchanged(x, tag)) {
        api_answer_empty(x, 304);
        return false;
    }
    if (!api_file_part_find(x, tag, size, out))
        return false;
    if (api_header_printf(x, "Content-Disposition",
                          "attachment; filename=\"%s\"", name))
        return true;
    api_answer_no_memory(x);
    return false;
}

void api_diverged_get_finish(struct api_exchange *x)
{
    static const char *const types[] = {API_TYPE_BYTES};
    struct ldb_random_file *file = NULL;
    struct ldb_error error = {0};
    char name[REPL_DIVERGED_NAME_SIZE];
    uint64_t size = 0;
    struct api_file_part part;
    size_t choice;
    enum ldb_status s;

    if (!api_no_params(x) || !api_accept(x, types, 1, &choice) ||
        !read_name(x, name))
        return;
    s = repl_diverged_open(x->context->env, x->context->data_dir, name, &error,
                           &file, &size);
    if (s != LDB_OK)
        api_replication_answer_status(x, s, &error);
    else if (choose_part(x, name, size, &part))
        answer_part(x, &part, file);
    else
        ldb_random_close(file);
}
