#include "api/task_text.h"

#include <string.h>

#include "api/context.h"
#include "api/document.h"
#include "api/problem.h"
#include "api/response.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"

/* Bytes of an id as text. */
#define ID_SIZE 24

/* ---- a document ---- */

static void write_id(struct api_json *json, uint64_t id)
{
    char text[ID_SIZE];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
    api_json_member_text(json, "id", text);
}

/* What is JSON already, as the value of a member. */
static void write_raw(struct api_json *json, const char *name,
                      struct ldb_slice text)
{
    api_json_name(json, name);
    if (json->status == LDB_OK)
        json->status = ldb_buf_append(json->buf, text);
}

static void write_error(struct api_json *json, const struct api_task_info *info)
{
    struct api_problem problem;

    api_problem_of_status(info->status, &info->error, &problem);
    api_json_name(json, "error");
    if (json->status == LDB_OK)
        json->status = api_problem_write(&problem, json->buf);
}

static void write_outcome(struct api_json *json,
                          const struct api_task_info *info,
                          struct ldb_slice result)
{
    if (info->state == API_TASK_FAILED)
        write_error(json, info);
    else if (result.len > 0)
        write_raw(json, "result", result);
}

void api_task_write(struct api_json *json, const struct api_task_info *info,
                    struct ldb_slice result)
{
    api_json_object_begin(json);
    write_id(json, info->id);
    api_json_member_text(json, "kind", info->kind);
    api_json_member_text(json, "state", api_task_state_text(info->state));
    api_json_name(json, "progress");
    api_json_object_begin(json);
    api_json_member_u64(json, "done", info->done);
    api_json_member_u64(json, "total", info->total);
    api_json_object_end(json);
    api_json_member_time(json, "started", info->queued_us);
    if (info->ended_us != 0)
        api_json_member_time(json, "ended", info->ended_us);
    write_outcome(json, info, result);
    api_json_object_end(json);
}

/* ---- a stream ---- */

enum phase {
    PHASE_LINES,
    PHASE_LAST,   /* the last line is being read */
    PHASE_FAILED, /* the same, of an error */
};

struct task_stream {
    struct api_exchange *x;
    struct api_tasks *all;
    struct api_task *task;
    struct api_task_watch watch;
    struct api_task_info told; /* by the last line */
    uint64_t count;            /* lines so far */
    enum phase phase;
    struct ldb_buf line;
    size_t at; /* in line */
};

static enum ldb_status end_line(struct api_json *json)
{
    api_json_object_end(json);
    if (json->status == LDB_OK)
        json->status = ldb_buf_append_byte(json->buf, '\n');
    return json->status;
}

static enum ldb_status write_line(struct task_stream *s,
                                  const struct api_task_info *info)
{
    struct api_json json = api_json_make(&s->line);

    s->told = *info;
    s->count++;
    api_json_object_begin(&json);
    write_id(&json, info->id);
    api_json_member_text(&json, "state", api_task_state_text(info->state));
    api_json_member_u64(&json, "done", info->done);
    api_json_member_u64(&json, "total", info->total);
    return end_line(&json);
}

/* It has ended, or closed: the service ends, and nobody watches any more. */
static enum ldb_status write_last(struct task_stream *s,
                                  const struct api_task_info *info,
                                  bool is_closed)
{
    struct api_json json = api_json_make(&s->line);
    struct api_task_info own = *info;

    api_json_object_begin(&json);
    if (is_closed)
        own.status = LDB_CLOSED;
    if (is_closed || info->state == API_TASK_FAILED) {
        s->phase = PHASE_FAILED;
        write_error(&json, &own);
        return end_line(&json);
    }
    s->phase = PHASE_LAST;
    api_json_member_bool(&json, "end", true);
    api_json_member_u64(&json, "count", s->count);
    write_id(&json, info->id);
    api_json_member_text(&json, "state", api_task_state_text(info->state));
    write_outcome(&json, info, api_task_result(s->task));
    return end_line(&json);
}

/*
 * The next line; OK and none: it waits. The first line comes at once, so that
 * the client knows the task's number.
 */
static enum ldb_status next_line(struct task_stream *s)
{
    struct api_task_info info;

    ldb_buf_clear(&s->line);
    s->at = 0;
    api_task_describe(s->task, &info);
    if (s->count == 0)
        return write_line(s, &info);
    if (api_task_info_has_ended(&info))
        return write_last(s, &info, false);
    switch (api_task_watch(s->task, &s->watch, s->x, UINT64_MAX, &s->told)) {
    case API_TASK_WATCHED:
        return LDB_OK;
    case API_TASK_CLOSED:
        return write_last(s, &info, true);
    case API_TASK_CHANGED:
        break;
    }
    /* Its end is told by the last line. */
    api_task_describe(s->task, &info);
    return api_task_info_has_ended(&info) ? write_last(s, &info, false)
                                          : write_line(s, &info);
}

static int64_t read_lines(void *stream, uint8_t *out, size_t max)
{
    struct task_stream *s = stream;
    size_t len;

    if (s->at == s->line.len) {
        if (s->phase != PHASE_LINES)
            return s->phase == PHASE_FAILED ? API_STREAM_FAILED : 0;
        if (next_line(s) != LDB_OK)
            return API_STREAM_FAILED;
        if (s->line.len == 0)
            return API_STREAM_WAIT;
    }
    len = s->line.len - s->at;
    if (len > max)
        len = max;
    memcpy(out, s->line.data + s->at, len);
    s->at += len;
    return (int64_t)len;
}

static void destroy_stream(void *stream)
{
    struct task_stream *s = stream;

    api_task_unwatch(s->all, &s->watch);
    api_task_unref(s->task);
    ldb_buf_release(&s->line);
    ldb_mem_free(s);
}

static const struct api_stream_ops stream_ops = {
    .read = read_lines,
    .destroy = destroy_stream,
    .is_detached = true,
};

void api_task_answer_stream(struct api_exchange *x, struct api_task *task)
{
    struct task_stream *s = ldb_mem_zalloc(1, sizeof(*s));

    if (s == NULL) {
        api_task_unref(task);
        api_answer_no_memory(x);
        return;
    }
    s->x = x;
    s->all = x->context->tasks;
    s->task = task;
    s->line = (struct ldb_buf)LDB_BUF_INIT(2 * API_TASK_RESULT_MAX);
    api_answer_stream(x, 200, API_TYPE_NDJSON, &stream_ops, s);
}
