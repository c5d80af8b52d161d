#include "api/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/conditions.h"
#include "api/context.h"
#include "api/db_gate.h"
#include "api/document.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/role.h"
#include "api/task_text.h"
#include "replication/heal.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/verify.h"

/* Findings of a check that its result has; the rest is counted. Chosen: they
 * fit into API_TASK_RESULT_MAX. */
#define FINDINGS_MAX 100

/* Bytes of a checkpoint's name. Chosen. */
#define NAME_MAX_BYTES 128

/* Bytes of a property; "leveld.sstables" of 100,000 tables has 10 MB. */
#define PROPERTY_MAX ((size_t)64 << 20)

/* ---- the request ---- */

static const char *const types[] = {API_TYPE_JSON, API_TYPE_NDJSON};

struct admin_request {
    bool as_stream;
    uint64_t deadline_us;
    struct api_task *task;
    struct api_task_watch watch;
};

void api_admin_begin(struct api_exchange *x)
{
    struct admin_request *request =
        ldb_arena_alloc_aligned(x->arena, sizeof(*request));
    uint64_t wait_us = API_ADMIN_WAIT_US;
    struct ldb_slice text;
    size_t choice;

    if (request == NULL) {
        api_answer_no_memory(x);
        return;
    }
    memset(request, 0, sizeof(*request));
    if (!api_no_params(x) || !api_accept(x, types, 2, &choice) ||
        !api_conditions_refuse(x) ||
        !api_header_once(x, "Leveld-Timeout", &text))
        return;
    if (text.data != NULL && !api_duration_parse(text, &wait_us)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "header Leveld-Timeout is a duration such as "
                            "500ms or 2s, at most 24h");
        return;
    }
    request->as_stream = choice == 1;
    request->deadline_us = x->started_us + wait_us;
    x->body_limit = x->context->limits.key_bytes * 12 + API_DOCUMENT_MAX;
    x->state = request;
}

/* ---- the answer ---- */

static void answer_accepted(struct api_exchange *x,
                            const struct api_task_info *info)
{
    struct ldb_buf body = LDB_BUF_INIT(API_DOCUMENT_MAX);
    struct api_json json = api_json_make(&body);
    char id[24];

    (void)snprintf(id, sizeof(id), "%" PRIu64, info->id);
    if (!api_header_printf(x, "Location", "/v1/admin/tasks/%s", id)) {
        api_answer_no_memory(x); /* the task goes on */
        return;
    }
    api_json_object_begin(&json);
    api_json_member_text(&json, "id", id);
    api_json_object_end(&json);
    api_answer_document(x, 202, &json);
}

static void answer_result(struct api_exchange *x, struct api_task *task)
{
    struct ldb_slice result = api_task_result(task);
    struct ldb_buf body = LDB_BUF_INIT(API_TASK_RESULT_MAX + 8);
    struct api_json json = api_json_make(&body);

    if (result.len == 0)
        result = ldb_slice_str("{}");
    json.status = ldb_buf_append(&body, result);
    api_answer_document(x, 200, &json);
}

void api_admin_resume(struct api_exchange *x)
{
    struct admin_request *request = x->state;
    struct api_task_info info;

    api_task_describe(request->task, &info);
    switch (info.state) {
    case API_TASK_QUEUED:
    case API_TASK_RUNNING:
        answer_accepted(x, &info);
        return;
    case API_TASK_DONE:
        answer_result(x, request->task);
        return;
    case API_TASK_FAILED:
    case API_TASK_CANCELLED:
        api_answer_status(x, info.status, &info.error);
        return;
    }
}

void api_admin_submit(struct api_exchange *x, const struct api_task_work *work)
{
    struct admin_request *request = x->state;
    struct ldb_error error = {0};
    struct api_problem problem;
    enum ldb_status s =
        api_tasks_submit(x->context->tasks, work, &error, &request->task);

    if (s != LDB_OK) {
        api_problem_of_status(s, &error, &problem);
        if (s == LDB_STALLED) {
            problem.kind = API_PROBLEM_OVERLOADED;
            problem.status = 429;
        }
        api_answer_problem(x, &problem);
        return;
    }
    if (request->as_stream) {
        struct api_task *task = request->task;

        request->task = NULL;
        api_task_answer_stream(x, task);
    } else if (api_task_watch(request->task, &request->watch, x,
                              request->deadline_us, NULL) != API_TASK_WATCHED) {
        api_admin_resume(x);
    }
}

void api_admin_abandon(struct api_exchange *x)
{
    struct admin_request *request = x->state;

    if (request != NULL)
        api_task_unref(request->task);
}

/* ---- what tasks work with ---- */

struct admin_work;

typedef enum ldb_status (*admin_run)(struct admin_work *work, struct ldb_db *db,
                                     const struct ldb_progress *progress,
                                     struct ldb_error *err,
                                     struct ldb_buf *result);

struct admin_work {
    struct api_context *context;
    /* The task itself: between enter and leave of the gate. */
    admin_run run;
    bool has_start;
    bool has_end;
    struct ldb_buf start;
    struct ldb_buf end;
    char *dir; /* of a checkpoint */
    char name[NAME_MAX_BYTES + 1];
    struct ldb_buf findings; /* of a check: JSON strings between commas */
    uint64_t finding_count;
};

static void release_work(void *context)
{
    struct admin_work *work = context;

    ldb_buf_release(&work->start);
    ldb_buf_release(&work->end);
    ldb_buf_release(&work->findings);
    ldb_mem_free(work->dir);
    ldb_mem_free(work);
}

/* NULL: answered 503. */
static struct admin_work *make_work(struct api_exchange *x)
{
    struct admin_work *work = ldb_mem_zalloc(1, sizeof(*work));

    if (work == NULL) {
        api_answer_no_memory(x);
        return NULL;
    }
    work->context = x->context;
    work->start = (struct ldb_buf)LDB_BUF_INIT(UINT32_MAX);
    work->end = (struct ldb_buf)LDB_BUF_INIT(UINT32_MAX);
    work->findings = (struct ldb_buf)LDB_BUF_INIT(API_TASK_RESULT_MAX - 1024);
    return work;
}

/* A task's reports go on, and end it when the gate closes. */
struct inside_report {
    const struct ldb_progress *progress;
    const struct api_db_gate *gate;
};

static bool report_inside(void *context, uint64_t done, uint64_t total)
{
    const struct inside_report *report = context;

    return report->progress->report(report->progress->context, done, total) &&
           !api_db_gate_is_closing(report->gate);
}

/* Runs the work inside the gate: it comes after its request, maybe long
 * after. */
static enum ldb_status run_inside(void *context,
                                  const struct ldb_progress *progress,
                                  struct ldb_error *err, struct ldb_buf *result)
{
    struct admin_work *work = context;
    struct api_db_gate *gate = work->context->gate;
    struct inside_report report = {.progress = progress, .gate = gate};
    const struct ldb_progress inside = {.report = report_inside,
                                        .context = &report};
    enum ldb_status s;

    if (!api_db_gate_enter(gate))
        return ldb_error_set(err, LDB_CLOSED,
                             "the node changes its role or its folder");
    s = work->run(work, work->context->db, &inside, err, result);
    api_db_gate_leave(gate);
    return s;
}

/* Takes work over. */
static void submit_inside(struct api_exchange *x, struct admin_work *work,
                          const char *kind, enum api_task_lane lane,
                          admin_run run)
{
    work->run = run;
    api_admin_submit(x, &(struct api_task_work){.kind = kind,
                                                .lane = lane,
                                                .run = run_inside,
                                                .release = release_work,
                                                .context = work});
}

/* Whether this node changes its folder. */
static bool check_writable(struct api_exchange *x)
{
    if (x->context->read_only)
        api_answer_read_only(x);
    return !x->context->read_only;
}

/* Whether it decides by itself about flushes and compactions. */
static bool check_leads(struct api_exchange *x)
{
    char leader[REPL_URL_SIZE];

    if (api_role_get(x->context->role) == REPL_ROLE_LEADER)
        return check_writable(x);
    api_role_leader_url(x->context->role, leader);
    api_answer_not_leader(x, leader);
    return false;
}

static bool refuse_body(struct api_exchange *x)
{
    static const char *const names[] = {NULL};
    json_t *document;

    if (!api_document_read(x, names, &document))
        return false;
    json_decref(document);
    return true;
}

/* Writes a result of one number. */
static enum ldb_status write_number(struct ldb_buf *result, const char *name,
                                    uint64_t value)
{
    struct api_json json = api_json_make(result);

    api_json_object_begin(&json);
    api_json_member_u64(&json, name, value);
    api_json_object_end(&json);
    return json.status;
}

/* ---- flush ---- */

static enum ldb_status run_flush(struct admin_work *work, struct ldb_db *db,
                                 const struct ldb_progress *progress,
                                 struct ldb_error *err, struct ldb_buf *result)
{
    ldb_sequence sequence = ldb_last_sequence(db);
    enum ldb_status s = ldb_flush(db, err);

    (void)work;
    (void)progress;
    return s == LDB_OK ? write_number(result, "sequence", sequence) : s;
}

void api_admin_flush_finish(struct api_exchange *x)
{
    struct admin_work *work;

    if (!check_leads(x) || !refuse_body(x))
        return;
    work = make_work(x);
    if (work != NULL)
        submit_inside(x, work, "flush", API_TASK_SHORT, run_flush);
}

/* ---- compact ---- */

/* Passes reports on, and keeps the last. */
struct last_report {
    const struct ldb_progress *progress;
    uint64_t total;
};

static bool keep_report(void *context, uint64_t done, uint64_t total)
{
    struct last_report *last = context;

    last->total = total;
    return last->progress->report(last->progress->context, done, total);
}

static enum ldb_status run_compact(struct admin_work *work, struct ldb_db *db,
                                   const struct ldb_progress *progress,
                                   struct ldb_error *err,
                                   struct ldb_buf *result)
{
    struct ldb_slice start = ldb_slice_of_buf(&work->start);
    struct ldb_slice end = ldb_slice_of_buf(&work->end);
    struct last_report last = {.progress = progress};
    const struct ldb_progress own = {.report = keep_report, .context = &last};
    enum ldb_status s =
        ldb_compact_range_with(db, work->has_start ? &start : NULL,
                               work->has_end ? &end : NULL, &own, err);

    return s == LDB_OK ? write_number(result, "bytes", last.total) : s;
}

/* The bounds, copied out of the request. */
static bool take_bounds(struct api_exchange *x, const json_t *document,
                        struct admin_work *work)
{
    enum api_encoding encoding;
    struct ldb_slice start;
    struct ldb_slice end;

    if (!api_document_encoding(x, document, &encoding) ||
        !api_document_key(x, document, "start", encoding, &work->has_start,
                          &start) ||
        !api_document_key(x, document, "end", encoding, &work->has_end, &end))
        return false;
    if (ldb_buf_assign(&work->start, start) == LDB_OK &&
        ldb_buf_assign(&work->end, end) == LDB_OK)
        return true;
    api_answer_no_memory(x);
    return false;
}

void api_admin_compact_finish(struct api_exchange *x)
{
    static const char *const names[] = {"start", "end", "encoding", NULL};
    struct admin_work *work;
    json_t *document;
    bool is_ok;

    if (!check_leads(x) || !api_document_read(x, names, &document))
        return;
    work = make_work(x);
    is_ok = work != NULL && take_bounds(x, document, work);
    json_decref(document);
    if (is_ok)
        submit_inside(x, work, "compact", API_TASK_LONG, run_compact);
    else if (work != NULL)
        release_work(work);
}

/* ---- checkpoint ---- */

static enum ldb_status run_checkpoint(struct admin_work *work,
                                      struct ldb_db *db,
                                      const struct ldb_progress *progress,
                                      struct ldb_error *err,
                                      struct ldb_buf *result)
{
    struct api_json json = api_json_make(result);
    enum ldb_status s = ldb_checkpoint_with(db, work->dir, progress, err);

    if (s != LDB_OK)
        return s;
    api_json_object_begin(&json);
    api_json_member_text(&json, "dir", work->name);
    api_json_object_end(&json);
    return json.status;
}

/* One component of a path that stays below any folder. */
static bool is_plain_name(struct ldb_slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES || name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'))
            return false;
    }
    return true;
}

static bool take_dir(struct api_exchange *x, const json_t *document,
                     struct admin_work *work)
{
    const json_t *dir = json_object_get(document, "dir");
    struct ldb_slice name = {0};

    if (json_is_string(dir))
        name = api_json_string_bytes(dir);
    if (!is_plain_name(name)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "\"dir\" is a name of up to %d letters, digits, "
                            "'-', '_' and '.', not first",
                            NAME_MAX_BYTES);
        return false;
    }
    memcpy(work->name, name.data, name.len);
    work->dir = ldb_mem_printf("%s/%s", x->context->checkpoint_dir, work->name);
    if (work->dir == NULL)
        api_answer_no_memory(x);
    return work->dir != NULL;
}

static bool has_checkpoint_dir(struct api_exchange *x)
{
    if (x->context->checkpoint_dir[0] != '\0')
        return true;
    api_answer_problemf(x, API_PROBLEM_CONFLICT,
                        "the server was started without --checkpoint-dir, the "
                        "folder that checkpoints are made in");
    return false;
}

void api_admin_checkpoint_finish(struct api_exchange *x)
{
    static const char *const names[] = {"dir", NULL};
    struct admin_work *work;
    json_t *document;
    bool is_ok;

    if (!check_writable(x) || !has_checkpoint_dir(x) ||
        !api_document_read(x, names, &document))
        return;
    work = make_work(x);
    is_ok = work != NULL && take_dir(x, document, work);
    json_decref(document);
    if (is_ok)
        submit_inside(x, work, "checkpoint", API_TASK_LONG, run_checkpoint);
    else if (work != NULL)
        release_work(work);
}

/* ---- verify ---- */

/* Keeps the first findings of damage as JSON strings. */
static enum ldb_status keep_finding(void *context,
                                    const struct ldb_finding *finding)
{
    struct admin_work *work = context;
    struct ldb_buf text = LDB_BUF_INIT((size_t)1 << 20);
    struct api_json json = api_json_make(&work->findings);
    size_t before = work->findings.len;
    enum ldb_status s;

    if (finding->kind == LDB_FINDING_DAMAGE && work->context->heal != NULL)
        repl_heal_suspect_in(work->context->heal, finding->file);
    if (finding->kind != LDB_FINDING_DAMAGE ||
        work->finding_count++ >= FINDINGS_MAX)
        return LDB_OK;
    s = ldb_finding_describe(finding, &text);
    if (s == LDB_OK && before > 0)
        s = ldb_buf_append_byte(&work->findings, ',');
    if (s == LDB_OK) {
        api_json_bytes(&json, API_ENCODING_UTF8, ldb_slice_of_buf(&text));
        s = json.status;
    }
    ldb_buf_release(&text);
    if (s == LDB_TOO_LARGE) { /* counted, not shown */
        work->findings.len = before;
        s = LDB_OK;
    }
    return s;
}

static enum ldb_status run_verify(struct admin_work *work, struct ldb_db *db,
                                  const struct ldb_progress *progress,
                                  struct ldb_error *err, struct ldb_buf *result)
{
    struct ldb_verify_summary sum = {0};
    struct api_json json = api_json_make(result);
    enum ldb_status s =
        ldb_verify_db(db, keep_finding, work, progress, err, &sum);

    if (s != LDB_OK)
        return s;
    api_json_object_begin(&json);
    api_json_member_u64(&json, "tables", sum.tables);
    api_json_member_u64(&json, "blocks", sum.blocks);
    api_json_member_u64(&json, "entries", sum.entries);
    api_json_member_u64(&json, "bytes", sum.table_bytes);
    api_json_member_u64(&json, "journals", sum.journals);
    api_json_member_u64(&json, "records", sum.journal_records);
    api_json_member_u64(&json, "damages", sum.damages);
    api_json_name(&json, "errors");
    api_json_array_begin(&json);
    if (json.status == LDB_OK)
        json.status = ldb_buf_append(result, ldb_slice_of_buf(&work->findings));
    api_json_array_end(&json);
    api_json_object_end(&json);
    return json.status;
}

void api_admin_verify_finish(struct api_exchange *x)
{
    struct admin_work *work;

    if (!refuse_body(x))
        return;
    work = make_work(x);
    if (work != NULL)
        submit_inside(x, work, "verify", API_TASK_LONG, run_verify);
}

/* ---- properties ---- */

void api_admin_property_finish(struct api_exchange *x)
{
    static const char *const text_types[] = {"text/plain"};
    struct ldb_buf text = LDB_BUF_INIT(PROPERTY_MAX);
    struct ldb_slice name;
    char *copy = NULL;
    size_t choice;
    enum ldb_status s = LDB_NOT_FOUND;

    if (!api_no_params(x) || !api_accept(x, text_types, 1, &choice) ||
        !api_conditions_refuse(x) || !api_path_key(x, API_ENCODING_UTF8, &name))
        return;
    if (name.len > 0 && memchr(name.data, '\0', name.len) == NULL) {
        copy = ldb_mem_printf("%.*s", (int)name.len, (const char *)name.data);
        s = copy == NULL ? LDB_NO_MEMORY
                         : ldb_property(x->context->db, copy, &text);
    }
    if (s == LDB_OK)
        api_answer_buf(x, 200, "text/plain; charset=utf-8", &text);
    else if (s == LDB_NOT_FOUND)
        api_answer_problemf(x, API_PROBLEM_NOT_FOUND, "no such property");
    else
        api_answer_status(x, s, NULL);
    ldb_mem_free(copy);
    ldb_buf_release(&text);
}
