#include "api/write.h"

#include "api/context.h"
#include "api/db_gate.h"
#include "api/json_text.h"
#include "api/problem.h"
#include "api/sequence_wait.h"
#include "storage/base/buf.h"
#include "storage/base/status.h"

void api_write_init(struct api_write *w, size_t batch_limit)
{
    *w = (struct api_write){.answer = LDB_BUF_INIT(API_NUMBER_TEXT_SIZE * 4)};
    ldb_batch_init(&w->batch, batch_limit);
}

void api_write_release(struct api_write *w)
{
    ldb_batch_release(&w->batch);
    ldb_buf_release(&w->answer);
}

bool api_write_params(struct api_exchange *x, const struct api_params *params,
                      struct api_write *w)
{
    bool sync = x->context->sync_default;
    uint64_t replicas = 0;

    if (!api_params_bool(x, params, "sync", &sync) ||
        !api_params_u64(x, params, "replicas", 0, UINT32_MAX, &replicas))
        return false;
    if (x->context->read_only) {
        api_answer_read_only(x);
        return false;
    }
    if (replicas > 0) {
        api_answer_problemf(x, API_PROBLEM_CONFLICT,
                            "replicas=%llu: this node has no followers",
                            (unsigned long long)replicas);
        return false;
    }
    w->write.sync = sync;
    return true;
}

/* The engine's call when the write is committed or has failed. */
static void write_done(struct ldb_write *write)
{
    struct api_exchange *x = write->context;

    if (write->status == LDB_OK)
        api_sequence_waits_advance(x->context->sequence_waits, write->sequence);
    api_exchange_wake(x);
}

enum ldb_status api_write_queue(struct api_exchange *x, struct api_write *w,
                                struct ldb_error *err)
{
    enum ldb_status s;

    w->write.batch = &w->batch;
    w->write.done = write_done;
    w->write.context = x;
    if (!api_db_gate_enter(x->context->writes))
        return ldb_error_set(err, LDB_CLOSED,
                             "this node does not lead any more");
    s = ldb_write_submit(x->context->db, &w->write, err);
    api_db_gate_leave(x->context->writes);
    if (s == LDB_OK)
        atomic_store_explicit(&x->context->writes_queued, true,
                              memory_order_relaxed);
    return s;
}

bool api_write_submit(struct api_exchange *x, struct api_write *w)
{
    struct ldb_error error = {0};
    enum ldb_status s = api_write_queue(x, w, &error);

    if (s != LDB_OK)
        api_answer_status(x, s, &error);
    return s == LDB_OK;
}

void api_write_answer_count(struct api_exchange *x, struct api_write *w,
                            ldb_sequence sequence, uint64_t count)
{
    struct api_json json = api_json_make(&w->answer);

    api_json_object_begin(&json);
    api_json_member_u64(&json, "sequence", sequence);
    api_json_member_u64(&json, "count", count);
    api_json_object_end(&json);
    if (json.status == LDB_OK)
        json.status = ldb_buf_append_byte(&w->answer, '\n');
    assert(json.status == LDB_OK); /* into reserved room */
    api_header_sequence(x, &w->headers, sequence);
    api_answer_buf(x, 200, API_TYPE_JSON, &w->answer);
}

void api_write_answer_failure(struct api_exchange *x, const struct api_write *w,
                              bool name_condition)
{
    struct api_problem problem;

    assert(w->write.status != LDB_OK);
    api_problem_of_status(w->write.status, &w->write.error, &problem);
    if (w->write.status == LDB_PRECONDITION) {
        problem.has_current = true;
        problem.current_exists = w->write.current_exists;
        problem.current = w->write.current;
        if (name_condition) {
            problem.has_index = true;
            problem.index = w->write.failed_condition;
            problem.has_key = true;
            problem.key = w->write.conditions[w->write.failed_condition].key;
        }
    }
    api_answer_problem(x, &problem);
}
