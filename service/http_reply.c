#include "service/http_internal.h"

#include "api/response.h"
#include "storage/base/mem.h"

/* Bodies up to this many bytes are copied into the response: as cheap as
 * lending them, and the buffer can be used again (bench/README.md). */
#define COPY_BYTES_MAX 4096

/*
 * When large answers have come to so much at once and the last one has gone,
 * memory is given back to the system: blocks that live longer lie between them,
 * and each loop has a heap of its own. Chosen: what may stay, and no less than
 * a steady load of some large values has under way.
 */
#define TRIM_BYTES_MIN ((uint64_t)32 << 20)

/* Bytes a content reader is asked for at a time; the library sends what fits
 * into the connection's pool. */
#define STREAM_BLOCK_BYTES 8192

/* The same of a body whose length is known, which is not sent out of the pool:
 * a file. */
#define LONG_BLOCK_BYTES 65536

/*
 * Shared by the response, which reads it and frees it, and the exchange,
 * which may end it earlier: the handler's stream must not outlive the
 * exchange, but the library frees a response after it reports the request's
 * end.
 */
struct svc_stream {
    struct svc_loop *loop;
    struct svc_exchange *x; /* there as long as stream is */
    const struct api_stream_ops *ops;
    void *stream; /* NULL: ended */
};

static void end_stream(struct svc_stream *stream)
{
    if (stream->stream != NULL)
        stream->ops->destroy(stream->stream);
    stream->stream = NULL;
}

/* It gives no more: what it holds goes now, however slow its reader is. */
static void end_early(struct svc_stream *stream)
{
    end_stream(stream);
    api_exchange_end_stream(&stream->x->api);
}

static ssize_t read_stream(void *cls, uint64_t position, char *out, size_t max)
{
    struct svc_stream *stream = cls;
    struct svc_exchange *x = stream->x;
    int64_t n;

    (void)position;
    stream->loop->progress++;
    if (stream->stream == NULL)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    do {
        atomic_store_explicit(&x->state, SVC_WAITING, memory_order_release);
        n = stream->ops->read(stream->stream, (uint8_t *)out, max);
        if (n == API_STREAM_WAIT && svc_exchange_pause_stream(x))
            return 0;
        if (n == API_STREAM_YIELD && svc_exchange_pause_stream(x)) {
            api_exchange_wake(&x->api); /* its turn comes in the next pass */
            return 0;
        }
    } while (n == API_STREAM_WAIT || n == API_STREAM_YIELD);
    atomic_store_explicit(&x->state, SVC_IDLE, memory_order_relaxed);
    if (n <= 0)
        end_early(stream);
    if (n == API_STREAM_FAILED)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    x->answer_bytes += (uint64_t)n;
    return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)n;
}

void svc_reply_end_early(struct svc_exchange *x)
{
    if (x->stream != NULL && x->stream->stream != NULL)
        end_early(x->stream);
}

bool svc_reply_cut(struct svc_exchange *x)
{
    struct svc_stream *stream = x->stream;

    if (stream == NULL || stream->stream == NULL || stream->ops->is_detached)
        return false;
    end_early(stream);
    return true;
}

/* The response is freed: with the request's end, or because it failed. */
static void free_stream(void *cls)
{
    struct svc_stream *stream = cls;

    end_stream(stream);
    ldb_mem_free(stream);
}

/* What x's answer had of the budget is free again. */
static void discharge_answer(struct svc_exchange *x)
{
    struct svc_http_server *server = x->loop->server;
    uint64_t charged = x->charged_answer_bytes;

    if (charged == 0)
        return;
    x->charged_answer_bytes = 0;
    if (atomic_fetch_sub_explicit(&server->answers_used, charged,
                                  memory_order_relaxed) != charged ||
        atomic_load_explicit(&server->answers_most, memory_order_relaxed) <
            TRIM_BYTES_MIN)
        return;
    atomic_store_explicit(&server->answers_most, 0, memory_order_relaxed);
    x->loop->wants_trim = true;
}

void svc_reply_end(struct svc_exchange *x)
{
    discharge_answer(x);
    if (x->stream != NULL)
        end_stream(x->stream);
    x->stream = NULL;
}

/* Never called: the answer to a HEAD has no body. */
static ssize_t read_nothing(void *cls, uint64_t position, char *out, size_t max)
{
    (void)cls;
    (void)position;
    (void)out;
    (void)max;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/*
 * The answer to the HEAD of a stream. As chunks the library would send the last
 * one of them all the same, and a client takes that for the beginning of the
 * next answer; without chunks the connection is closed behind the headers.
 */
static struct MHD_Response *make_unknown(void)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, 1, read_nothing, NULL, NULL);

    if (response == NULL ||
        MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
                                 MHD_RO_END) == MHD_YES)
        return response;
    MHD_destroy_response(response);
    return NULL;
}

static struct MHD_Response *make_empty(struct svc_exchange *x)
{
    const struct api_response *answer = &x->api.response;
    uint64_t len = answer->head_length;

    if (x->api.method != API_HEAD || len == 0)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (len == API_LENGTH_UNKNOWN)
        return make_unknown();
    return MHD_create_response_from_callback(len, 1, read_nothing, NULL, NULL);
}

static struct MHD_Response *make_from_buf(struct svc_exchange *x)
{
    struct ldb_buf *body = &x->api.response.body;
    struct MHD_Response *response;

    if (body->len <= COPY_BYTES_MAX)
        return MHD_create_response_from_buffer(body->len, body->data,
                                               MHD_RESPMEM_MUST_COPY);
    response = MHD_create_response_from_buffer_with_free_callback(
        body->len, body->data, ldb_mem_free);
    if (response != NULL)
        *body = (struct ldb_buf)LDB_BUF_INIT(body->limit);
    return response;
}

static size_t block_bytes(uint64_t length)
{
    if (length == API_LENGTH_UNKNOWN || length <= STREAM_BLOCK_BYTES)
        return STREAM_BLOCK_BYTES;
    return length < LONG_BLOCK_BYTES ? (size_t)length : LONG_BLOCK_BYTES;
}

static struct MHD_Response *make_from_stream(struct svc_exchange *x)
{
    struct api_response *answer = &x->api.response;
    struct svc_stream *stream = ldb_mem_alloc(1, sizeof *stream);
    struct MHD_Response *response;

    if (stream == NULL)
        return NULL;
    *stream = (struct svc_stream){
        .loop = x->loop,
        .x = x,
        .ops = answer->stream_ops,
        .stream = answer->stream,
    };
    response = MHD_create_response_from_callback(
        answer->stream_length == API_LENGTH_UNKNOWN ? MHD_SIZE_UNKNOWN
                                                    : answer->stream_length,
        block_bytes(answer->stream_length), read_stream, stream, free_stream);
    if (response == NULL) {
        ldb_mem_free(stream);
        return NULL;
    }
    answer->stream = NULL;
    x->stream = stream;
    return response;
}

static struct MHD_Response *make_body(struct svc_exchange *x)
{
    const struct api_response *answer = &x->api.response;

    switch (answer->body_kind) {
    case API_BODY_NONE:
        return make_empty(x);
    case API_BODY_STATIC:
        /* The library takes void * and only reads. */
        return MHD_create_response_from_buffer(
            answer->static_body.len,
            (void *)(uintptr_t)answer->static_body.data,
            MHD_RESPMEM_PERSISTENT);
    case API_BODY_BUF:
        return make_from_buf(x);
    case API_BODY_STREAM:
        return make_from_stream(x);
    }
    return NULL;
}

static bool add_headers(struct MHD_Response *response,
                        const struct api_response *answer, bool close)
{
    bool ok = true;

    if (answer->content_type != NULL)
        ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                     answer->content_type) == MHD_YES;
    for (const struct api_header *header = answer->headers;
         header != NULL && ok; header = header->next)
        ok = MHD_add_response_header(response, header->name, header->value) ==
             MHD_YES;
    if (ok && close)
        ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION,
                                     "close") == MHD_YES;
    return ok;
}

/* x's answer is replaced: nothing of it was sent. */
static void refuse_answer(struct svc_exchange *x)
{
    struct api_response *answer = &x->api.response;
    struct api_problem problem = {.kind = API_PROBLEM_OVERLOADED,
                                  .retry_after_s = 1};
    bool close = answer->close;

    api_response_release(answer);
    *answer = (struct api_response){.close = close};
    if (x->request_id != NULL)
        (void)!api_header_add(&x->api, "X-Request-Id", x->request_id);
    api_problem_detail(&problem, "no memory for another large answer now");
    api_answer_problem(&x->api, &problem);
}

/* A most that is a little off, as others set it too, does no harm. */
static void note_answers(struct svc_http_server *server)
{
    uint64_t used =
        atomic_load_explicit(&server->answers_used, memory_order_relaxed);

    if (used >
        atomic_load_explicit(&server->answers_most, memory_order_relaxed))
        atomic_store_explicit(&server->answers_most, used,
                              memory_order_relaxed);
}

/*
 * A large answer lies in memory until its reader has taken it. Where too much
 * does already, x's is refused.
 */
static void charge_answer(struct svc_exchange *x)
{
    struct svc_http_server *server = x->loop->server;
    const struct api_response *answer = &x->api.response;

    if (answer->body_kind != API_BODY_BUF ||
        answer->body.len <= SVC_HTTP_SMALL_BODY_BYTES)
        return;
    if (!svc_budget_take(&server->answers_used,
                         server->options.answer_budget_bytes,
                         answer->body.len)) {
        refuse_answer(x);
        return;
    }
    x->charged_answer_bytes = answer->body.len;
    note_answers(server);
    if (x->watched != NULL)
        x->watched->mark_us = 0;
}

/* Short, and without anything that only one answer has. */
static bool can_be_kept(const struct api_response *answer, bool close)
{
    return !close && (answer->body_kind == API_BODY_NONE
                          ? answer->head_length == 0
                          : answer->body_kind == API_BODY_BUF &&
                                answer->body.len <= COPY_BYTES_MAX);
}

bool svc_reply_queue(struct svc_exchange *x)
{
    const struct api_response *answer = &x->api.response;
    bool close = answer->close || x->loop->is_draining;
    struct MHD_Response *response;
    bool is_queued;

    x->phase = SVC_PHASE_ANSWERED;
    x->loop->progress++;
    charge_answer(x);
    if (answer->body_kind == API_BODY_BUF)
        x->answer_bytes = answer->body.len;
    else if (answer->body_kind == API_BODY_STATIC)
        x->answer_bytes = answer->static_body.len;
    if (can_be_kept(answer, close)) {
        response = svc_kept_take(x);
        if (response != NULL)
            return MHD_queue_response(x->connection, answer->status,
                                      response) == MHD_YES;
    }
    response = make_body(x);
    if (response == NULL)
        return false;
    is_queued =
        add_headers(response, answer, close) &&
        MHD_queue_response(x->connection, answer->status, response) == MHD_YES;
    if (!is_queued)
        x->stream = NULL; /* freed with the response below */
    MHD_destroy_response(response);
    return is_queued;
}
