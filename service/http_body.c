#include "api/problem.h"
#include "service/http_internal.h"
#include "storage/base/buf.h"
#include "storage/base/checked.h"

void svc_body_discharge(struct svc_exchange *x)
{
    if (x->charged_bytes != 0)
        atomic_fetch_sub_explicit(&x->loop->server->upload_used,
                                  x->charged_bytes, memory_order_relaxed);
    x->charged_bytes = 0;
}

void svc_body_drop(struct svc_exchange *x)
{
    struct svc_loop *loop = x->loop;
    struct ldb_buf *body = &x->api.body;

    if (body->capacity >= SVC_SPARE_BYTES_MIN &&
        body->capacity <= SVC_SPARE_BYTES_MAX &&
        loop->spare_count < SVC_SPARE_BUFFERS) {
        ldb_buf_clear(body);
        loop->spare[loop->spare_count++] = *body;
        *body = (struct ldb_buf)LDB_BUF_INIT(0);
    }
    ldb_buf_release(body);
}

bool svc_budget_take(_Atomic(uint64_t) *used, uint64_t limit, uint64_t more)
{
    uint64_t now = atomic_load_explicit(used, memory_order_relaxed);

    do {
        if (more > limit || now > limit - more)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        used, &now, now + more, memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Charges bytes more of body to the budget; false: it is used up. */
static bool charge(struct svc_exchange *x, uint64_t body_bytes)
{
    struct svc_http_server *server = x->loop->server;
    uint64_t more = body_bytes * SVC_HTTP_UPLOAD_WEIGHT;

    if (!svc_budget_take(&server->upload_used,
                         server->options.upload_budget_bytes, more))
        return false;
    x->charged_bytes += more;
    return true;
}

static void overloaded(struct api_problem *out)
{
    *out = (struct api_problem){.kind = API_PROBLEM_OVERLOADED,
                                .retry_after_s = 1};
    api_problem_detail(out, "no memory for another request body now");
}

static void refuse_overloaded(struct svc_exchange *x)
{
    struct api_problem problem;

    overloaded(&problem);
    api_exchange_refuse(&x->api, &problem);
}

void svc_body_refuse(struct svc_exchange *x)
{
    svc_body_drop(x);
    svc_body_discharge(x);
    x->drops_body = true;
}

/* A buffer that was used before, large enough, else a fresh one. */
static enum ldb_status take_buffer(struct svc_exchange *x, size_t more)
{
    struct svc_loop *loop = x->loop;
    struct ldb_buf *body = &x->api.body;

    if (body->len == 0 && body->capacity == 0 && more >= SVC_SPARE_BYTES_MIN) {
        for (size_t i = 0; i < loop->spare_count; i++) {
            if (loop->spare[i].capacity < more)
                continue;
            body->data = loop->spare[i].data;
            body->capacity = loop->spare[i].capacity;
            loop->spare[i] = loop->spare[--loop->spare_count];
            return LDB_OK;
        }
    }
    return ldb_buf_reserve(body, more);
}

/* A body in pieces: its window is charged now, so that it never lacks. */
static void prepare_window(struct svc_exchange *x)
{
    struct api_exchange *api = &x->api;
    size_t window = api->body_window;

    api->body.limit = api->body_limit;
    if (api->content_length < window)
        window = (size_t)api->content_length;
    if ((window > SVC_HTTP_SMALL_BODY_BYTES && !charge(x, window)) ||
        take_buffer(x, window) != LDB_OK)
        refuse_overloaded(x);
}

void svc_body_prepare(struct svc_exchange *x)
{
    struct api_exchange *api = &x->api;
    size_t prefix = api->body.len; /* what begin put before it */
    size_t limit;

    if (api->body_window != 0) {
        prepare_window(x);
        return;
    }
    if (!ldb_size_add(prefix, api->body_limit, &limit))
        limit = SIZE_MAX;
    api->body.limit = limit;
    if (api->content_length == API_LENGTH_UNKNOWN)
        return;
    if (api->content_length > api->body_limit) {
        api_answer_body_too_large(api);
        return;
    }
    if (api->content_length > SVC_HTTP_SMALL_BODY_BYTES &&
        !charge(x, api->content_length)) {
        refuse_overloaded(x);
        return;
    }
    if (take_buffer(x, (size_t)api->content_length) != LDB_OK)
        api_answer_no_memory(api);
}

/*
 * A chunked body is charged as it grows; one in pieces for the most that it
 * held at a time.
 */
static bool charge_chunk(struct svc_exchange *x, size_t len)
{
    uint64_t after = x->body_bytes + len;

    if (x->api.body_window != 0) {
        uint64_t charged = x->charged_bytes / SVC_HTTP_UPLOAD_WEIGHT;
        uint64_t held = x->api.body.len + len;

        return held <= x->api.body_window + SVC_HTTP_POOL_BYTES ||
               held <= charged || charge(x, held - charged);
    }
    if (x->api.content_length != API_LENGTH_UNKNOWN ||
        after <= SVC_HTTP_SMALL_BODY_BYTES)
        return true;
    if (x->body_bytes <= SVC_HTTP_SMALL_BODY_BYTES)
        return charge(x, after);
    return charge(x, len);
}

bool svc_body_keep(struct svc_exchange *x, struct ldb_slice bytes,
                   struct api_problem *problem)
{
    struct api_exchange *api = &x->api;
    uint64_t before = api->body_window != 0 ? api->body.len : x->body_bytes;

    if (bytes.len > api->body_limit - before) {
        api_problem_body_too_large(api, problem);
        return false;
    }
    if (!charge_chunk(x, bytes.len) ||
        ldb_buf_append(&api->body, bytes) != LDB_OK) {
        overloaded(problem);
        return false;
    }
    x->body_bytes += bytes.len;
    return true;
}

bool svc_body_skip(struct svc_exchange *x, size_t len)
{
    x->dropped_bytes += len;
    return x->dropped_bytes <= SVC_HTTP_DROP_BYTES_MAX;
}
