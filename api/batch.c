#include "api/batch.h"

#include <string.h>

#include "api/auth.h"
#include "api/batch_json.h"
#include "api/bulk.h"
#include "api/conditions.h"
#include "api/context.h"
#include "api/write.h"
#include "storage/base/buf.h"

enum batch_form {
    FORM_JSON,
    FORM_LEVELDB,
    FORM_NDJSON,
};

struct batch_state {
    enum batch_form form;
    struct api_batch_json json;
    struct api_write w;
};

static bool find_form(struct api_exchange *x, enum batch_form *out)
{
    struct ldb_slice type;
    struct ldb_slice coding;

    if (!api_header_once(x, "Content-Type", &type) ||
        !api_header_once(x, "Content-Encoding", &coding))
        return false;
    if (coding.data != NULL) {
        api_answer_problemf(x, API_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                            "Content-Encoding: a batch is sent uncoded");
        return false;
    }
    if (api_media_type_is(type, API_TYPE_JSON)) {
        *out = FORM_JSON;
        return true;
    }
    if (api_media_type_is(type, API_TYPE_LEVELDB_BATCH)) {
        *out = FORM_LEVELDB;
        return true;
    }
    if (api_media_type_is(type, API_TYPE_NDJSON)) {
        *out = FORM_NDJSON;
        return true;
    }
    if (api_media_type_is(type, "application/x-www-form-urlencoded"))
        api_answer_problemf(x, API_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                            "this is curl's own Content-Type: add -H "
                            "'Content-Type: application/json'");
    else
        api_answer_problemf(x, API_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                            "a batch is sent as %s, %s or %s", API_TYPE_JSON,
                            API_TYPE_LEVELDB_BATCH, API_TYPE_NDJSON);
    return false;
}

static void begin_whole(struct api_exchange *x, enum batch_form form)
{
    static const char *const allowed[] = {"sync", "replicas", NULL};
    static const char *const types[] = {API_TYPE_JSON};
    const struct api_limits *limits = &x->context->limits;
    struct batch_state *batch =
        ldb_arena_alloc_aligned(x->arena, sizeof(*batch));
    struct api_params params;
    size_t choice;

    if (batch == NULL) {
        api_answer_no_memory(x);
        return;
    }
    memset(batch, 0, sizeof(*batch));
    batch->form = form;
    api_write_init(&batch->w, limits->batch_bytes);
    if (!api_params_parse(x, allowed, &params) ||
        !api_accept(x, types, 1, &choice) || !api_conditions_refuse(x) ||
        !api_write_params(x, &params, &batch->w))
        return;
    x->body_limit = batch->form == FORM_JSON ? limits->json_batch_bytes
                                             : limits->batch_bytes;
    x->state = batch;
}

void api_batch_begin(struct api_exchange *x)
{
    enum batch_form form;

    if (!find_form(x, &form))
        return;
    if (form == FORM_NDJSON)
        api_bulk_begin(x);
    else
        begin_whole(x, form);
}

/* A bulk load is the only form that comes in pieces. */
static bool is_bulk(const struct api_exchange *x)
{
    return x->body_window != 0;
}

void api_batch_refuse(struct api_exchange *x, const struct api_problem *problem)
{
    if (is_bulk(x))
        api_bulk_refuse(x, problem);
    else
        api_answer_problem(x, problem);
}

static bool read_json(struct api_exchange *x, struct batch_state *batch)
{
    struct api_problem problem;
    bool is_ok = api_batch_json_parse(x->arena, &x->context->limits,
                                      ldb_slice_of_buf(&x->body),
                                      &batch->w.batch, &batch->json, &problem);

    /* The batch has it all: a large one is not held twice. */
    ldb_buf_release(&x->body);
    if (!is_ok) {
        api_answer_problem(x, &problem);
        return false;
    }
    batch->w.write.conditions = batch->json.conditions;
    batch->w.write.condition_count = batch->json.condition_count;
    batch->w.write.ranges = batch->json.ranges;
    batch->w.write.range_count = batch->json.range_count;
    return api_auth_batch(x, &batch->w.batch, &batch->json);
}

static bool check_item(struct api_exchange *x, size_t index, size_t len,
                       size_t limit, const char *what)
{
    struct api_problem problem = {
        .kind = API_PROBLEM_TOO_LARGE, .has_index = true, .index = index};

    if (len <= limit)
        return true;
    api_problem_detail(&problem,
                       "operation %zu: its %s has %zu bytes, the limit is %zu",
                       index, what, len, limit);
    api_answer_problem(x, &problem);
    return false;
}

static bool check_limits(struct api_exchange *x)
{
    const struct api_limits *limits = &x->context->limits;
    struct ldb_batch_cursor cursor =
        ldb_batch_cursor_make(ldb_slice_of_buf(&x->body));
    struct ldb_batch_op op;

    for (size_t i = 0; ldb_batch_cursor_next(&cursor, &op); i++) {
        if (!check_item(x, i, op.key.len, limits->key_bytes, "key") ||
            !check_item(x, i, op.value.len, limits->value_bytes, "value") ||
            !api_auth_key(x, op.key))
            return false;
    }
    return true;
}

/* The body is the batch: checked, then taken over without a copy. */
static bool read_leveldb(struct api_exchange *x, struct batch_state *batch)
{
    struct ldb_error error = {0};
    uint32_t count = 0;

    if (ldb_batch_check(ldb_slice_of_buf(&x->body), &error, NULL, &count) !=
        LDB_OK) {
        api_answer_problemf(x, API_PROBLEM_BAD_BATCH, "%s", error.message);
        return false;
    }
    if (!check_limits(x))
        return false;
    ldb_batch_release(&batch->w.batch);
    batch->w.batch.rep = x->body;
    batch->w.batch.count = count;
    x->body = (struct ldb_buf)LDB_BUF_INIT(0);
    return true;
}

void api_batch_finish(struct api_exchange *x)
{
    struct batch_state *batch = x->state;

    if (is_bulk(x)) {
        api_bulk_finish(x);
        return;
    }
    if (batch->form == FORM_JSON ? !read_json(x, batch)
                                 : !read_leveldb(x, batch))
        return;
    /* The answer's room now: after the commit nothing may fail. */
    if (ldb_buf_reserve(&batch->w.answer, batch->w.answer.limit) != LDB_OK)
        api_answer_no_memory(x);
    else
        (void)!api_write_submit(x, &batch->w);
}

static void answer_whole(struct api_exchange *x)
{
    struct batch_state *batch = x->state;
    const struct ldb_write *write = &batch->w.write;

    if (!api_write_is_good(&batch->w))
        api_write_answer_failure(x, &batch->w, true);
    else
        api_write_answer_count(x, &batch->w, write->sequence, write->count);
}

void api_batch_resume(struct api_exchange *x)
{
    if (is_bulk(x))
        api_bulk_resume(x);
    else
        answer_whole(x);
}

void api_batch_abandon(struct api_exchange *x)
{
    struct batch_state *batch = x->state;

    if (is_bulk(x))
        api_bulk_abandon(x);
    else if (batch != NULL)
        api_write_release(&batch->w);
}
