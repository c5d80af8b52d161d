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

/* Charges bytes more of body to the budget; false: it is used up. */
static bool charge(struct svc_exchange *x, uint64_t body_bytes)
{
    struct svc_http_server *server = x->loop->server;
    uint64_t limit = server->options.upload_budget_bytes;
    uint64_t more = body_bytes * SVC_HTTP_UPLOAD_WEIGHT;
    uint64_t used =
        atomic_load_explicit(&server->upload_used, memory_order_relaxed);

    do {
        if (more > limit || used > limit - more)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &server->upload_used, &used, used + more, memory_order_relaxed,
        memory_order_relaxed));
    x->charged_bytes += more;
    return true;
}

static void answer_overloaded(struct svc_exchange *x)
{
    struct api_problem problem = {.kind = API_PROBLEM_OVERLOADED,
                                  .retry_after_s = 1};

    api_problem_detail(&problem, "no memory for another request body now");
    api_answer_problem(&x->api, &problem);
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

void svc_body_prepare(struct svc_exchange *x)
{
    struct api_exchange *api = &x->api;
    size_t prefix = api->body.len; /* what begin put before it */
    size_t limit;

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
        answer_overloaded(x);
        return;
    }
    if (take_buffer(x, (size_t)api->content_length) != LDB_OK)
        api_answer_no_memory(api);
}

/* A chunked body is charged as it grows. */
static bool charge_chunk(struct svc_exchange *x, size_t len)
{
    uint64_t after = x->body_bytes + len;

    if (x->api.content_length != API_LENGTH_UNKNOWN ||
        after <= SVC_HTTP_SMALL_BODY_BYTES)
        return true;
    if (x->body_bytes <= SVC_HTTP_SMALL_BODY_BYTES)
        return charge(x, after);
    return charge(x, len);
}

static void keep_body(struct svc_exchange *x, struct ldb_slice bytes)
{
    struct api_exchange *api = &x->api;

    if (bytes.len > api->body_limit - x->body_bytes)
        api_answer_body_too_large(api);
    else if (!charge_chunk(x, bytes.len))
        answer_overloaded(x);
    else if (ldb_buf_append(&api->body, bytes) != LDB_OK)
        api_answer_no_memory(api);
    if (api->response.ready)
        svc_body_refuse(x);
}

bool svc_body_take(struct svc_exchange *x, struct ldb_slice bytes)
{
    if (!x->drops_body)
        keep_body(x, bytes);
    x->body_bytes += bytes.len;
    /* No answer can be given in the middle of a body. */
    return !x->drops_body || x->body_bytes <= SVC_HTTP_DROP_BYTES_MAX;
}
