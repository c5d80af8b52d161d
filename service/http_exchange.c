#include "service/http_internal.h"

#include <string.h>
#include <strings.h>

#include "api/problem.h"
#include "api/response.h"
#include "storage/base/buf.h"
#include "storage/base/checked.h"
#include "storage/base/mem.h"

/* ---- making and burying ---- */

static struct svc_exchange *from_api(struct api_exchange *api)
{
    return (struct svc_exchange *)api;
}

static struct ldb_slice get_header(struct api_exchange *api, const char *name,
                                   unsigned *out_count);
static void wake(struct api_exchange *api);

static const struct api_exchange_ops exchange_ops = {
    .header = get_header,
    .wake = wake,
};

static struct svc_exchange *create(struct svc_loop *loop)
{
    struct svc_exchange *x = loop->free_list;
    struct ldb_arena arena;

    if (x != NULL) {
        loop->free_list = x->next_free;
        loop->free_count--;
        arena = x->arena;
    } else {
        x = ldb_mem_alloc(1, sizeof *x);
        if (x == NULL)
            return NULL;
        ldb_arena_init(&arena, 0);
    }
    memset(x, 0, sizeof *x);
    x->arena = arena;
    x->loop = loop;
    x->api.ops = &exchange_ops;
    x->api.context = loop->server->options.context;
    x->api.arena = &x->arena;
    x->api.started_us = loop->pass_us;
    x->api.body = (struct ldb_buf)LDB_BUF_INIT(0);
    atomic_init(&x->state, SVC_IDLE);
    return x;
}

static void discharge(struct svc_exchange *x)
{
    if (x->charged_bytes != 0)
        atomic_fetch_sub_explicit(&x->loop->server->upload_used,
                                  x->charged_bytes, memory_order_relaxed);
    x->charged_bytes = 0;
}

/* The body's buffer goes back to the loop when it is worth keeping. */
static void drop_body(struct svc_exchange *x)
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

/* Both owners are gone. */
static void bury(struct svc_exchange *x)
{
    struct svc_loop *loop = x->loop;

    svc_reply_end(x);
    if (x->began)
        api_exchange_abandon(&x->api);
    api_response_release(&x->api.response);
    drop_body(x);
    discharge(x);
    if (loop->free_count < SVC_FREE_EXCHANGES_MAX) {
        ldb_arena_clear(&x->arena);
        x->next_free = loop->free_list;
        loop->free_list = x;
        loop->free_count++;
    } else {
        ldb_arena_release(&x->arena);
        ldb_mem_free(x);
    }
}

/* ---- what the handler asks ---- */

struct header_search {
    const char *name;
    size_t name_len;
    struct ldb_slice first;
    unsigned count;
};

static enum MHD_Result match_header(void *cls, enum MHD_ValueKind kind,
                                    const char *name, size_t name_len,
                                    const char *value, size_t value_len)
{
    struct header_search *search = cls;

    (void)kind;
    if (name_len != search->name_len ||
        strncasecmp(name, search->name, name_len) != 0)
        return MHD_YES;
    if (search->count++ == 0)
        search->first = ldb_slice_make(value == NULL ? "" : value, value_len);
    return MHD_YES;
}

static struct ldb_slice get_header(struct api_exchange *api, const char *name,
                                   unsigned *out_count)
{
    struct svc_exchange *x = from_api(api);
    struct header_search search = {.name = name, .name_len = strlen(name)};

    if (x->connection != NULL)
        MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND,
                                    match_header, &search);
    if (out_count != NULL)
        *out_count = search.count;
    return search.first;
}

/* ---- waiting ---- */

/*
 * The waker lets go of x with the exchange below, unless x is out of the
 * passes: then x stays until the loop takes it off the stack. Nothing of x may
 * be touched afterwards in the first case.
 */
static void wake(struct api_exchange *api)
{
    struct svc_exchange *x = from_api(api);
    struct svc_loop *loop = x->loop;
    int before =
        atomic_exchange_explicit(&x->state, SVC_WOKEN, memory_order_acq_rel);

    assert(before != SVC_IDLE && before != SVC_WOKEN);
    if (before == SVC_SUSPENDED || before == SVC_ORPHAN) {
        struct svc_exchange *head =
            atomic_load_explicit(&loop->woken, memory_order_relaxed);

        do {
            x->next_woken = head;
        } while (!atomic_compare_exchange_weak_explicit(&loop->woken, &head, x,
                                                        memory_order_release,
                                                        memory_order_relaxed));
    }
    svc_loop_signal(loop);
}

/* False when x was woken meanwhile. */
static bool change_wait(struct svc_exchange *x, int to)
{
    int from = SVC_WAITING;

    if (to == SVC_ORPHAN && x->is_suspended)
        from = SVC_SUSPENDED;
    return atomic_compare_exchange_strong_explicit(
        &x->state, &from, to, memory_order_acq_rel, memory_order_acquire);
}

static void link_suspended(struct svc_exchange *x)
{
    struct svc_loop *loop = x->loop;

    x->is_suspended = true;
    x->prev_suspended = NULL;
    x->next_suspended = loop->suspended;
    if (loop->suspended != NULL)
        loop->suspended->prev_suspended = x;
    loop->suspended = x;
}

static void unlink_suspended(struct svc_exchange *x)
{
    if (x->prev_suspended != NULL)
        x->prev_suspended->next_suspended = x->next_suspended;
    else
        x->loop->suspended = x->next_suspended;
    if (x->next_suspended != NULL)
        x->next_suspended->prev_suspended = x->prev_suspended;
    x->is_suspended = false;
}

static void suspend(struct svc_exchange *x)
{
    if (!change_wait(x, SVC_SUSPENDED))
        return; /* woken just now: the next pass sees it */
    link_suspended(x);
    x->loop->waiting--;
    x->loop->progress++;
    MHD_suspend_connection(x->connection);
}

void svc_exchange_take_woken(struct svc_loop *loop)
{
    struct svc_exchange *x;

    if (atomic_load_explicit(&loop->woken, memory_order_relaxed) == NULL)
        return;
    x = atomic_exchange_explicit(&loop->woken, NULL, memory_order_acquire);
    while (x != NULL) {
        struct svc_exchange *next = x->next_woken;

        loop->progress++;
        if (x->connection == NULL) {
            loop->orphans--;
            bury(x);
        } else {
            unlink_suspended(x);
            loop->waiting++;
            MHD_resume_connection(x->connection);
        }
        x = next;
    }
}

void svc_exchange_resume_all(struct svc_loop *loop)
{
    for (struct svc_exchange *x = loop->suspended; x != NULL;
         x = x->next_suspended)
        MHD_resume_connection(x->connection);
}

/* ---- the request's head ---- */

struct head {
    unsigned hosts;
    unsigned lengths;
    unsigned encodings;
    bool lengths_differ;
    bool has_nul;
    bool expects_continue;
    struct ldb_slice length;
    struct ldb_slice encoding;
};

static bool name_is(struct ldb_slice name, const char *text)
{
    return name.len == strlen(text) &&
           strncasecmp((const char *)name.data, text, name.len) == 0;
}

static enum MHD_Result read_head_field(void *cls, enum MHD_ValueKind kind,
                                       const char *name_text, size_t name_len,
                                       const char *value_text, size_t value_len)
{
    struct head *head = cls;
    struct ldb_slice name = ldb_slice_make(name_text, name_len);
    struct ldb_slice value =
        ldb_slice_make(value_text == NULL ? "" : value_text, value_len);

    (void)kind;
    if (memchr(value.data, 0, value.len) != NULL)
        head->has_nul = true;
    switch (name.len) {
    case sizeof "Host" - 1:
        if (name_is(name, "Host"))
            head->hosts++;
        break;
    case sizeof "Expect" - 1:
        if (name_is(name, "Expect") && name_is(value, "100-continue"))
            head->expects_continue = true;
        break;
    case sizeof "Content-Length" - 1:
        if (!name_is(name, "Content-Length"))
            break;
        if (head->lengths++ == 0)
            head->length = value;
        else if (!ldb_slice_equal(head->length, value))
            head->lengths_differ = true;
        break;
    case sizeof "Transfer-Encoding" - 1:
        if (name_is(name, "Transfer-Encoding") && head->encodings++ == 0)
            head->encoding = value;
        break;
    default:
        break;
    }
    return MHD_YES;
}

/* What is wrong with the head as a whole; NULL: nothing. */
static const char *judge_head(const struct head *head, const char *version)
{
    if (head->has_nul)
        return "a header holds a NUL byte";
    if (head->hosts == 0 && strcmp(version, "HTTP/1.1") == 0)
        return "HTTP/1.1 needs a Host header";
    if (head->hosts > 1)
        return "more than one Host header";
    if (head->lengths > 0 && head->encodings > 0)
        return "both Content-Length and Transfer-Encoding";
    if (head->lengths > 1)
        return head->lengths_differ ? "differing Content-Length headers"
                                    : "more than one Content-Length header";
    if (head->encodings > 1 ||
        (head->encodings == 1 && !name_is(head->encoding, "chunked")))
        return "Transfer-Encoding other than chunked";
    return NULL;
}

static enum api_method parse_method(const char *text)
{
    static const struct {
        const char *text;
        enum api_method method;
    } methods[] = {
        {"GET", API_GET},   {"PUT", API_PUT},       {"POST", API_POST},
        {"HEAD", API_HEAD}, {"DELETE", API_DELETE},
    };

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(text, methods[i].text) == 0)
            return methods[i].method;
    }
    return API_METHOD_OTHER;
}

/* ---- the body ---- */

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

/* An answer before the whole body was read: the rest is dropped. */
static void refuse_body(struct svc_exchange *x)
{
    drop_body(x);
    discharge(x);
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

/* Room for a body of this length; answers when there is none. */
static void prepare_body(struct svc_exchange *x)
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
        refuse_body(x);
}

static enum MHD_Result on_body(struct svc_exchange *x, const char *bytes,
                               size_t *len)
{
    x->loop->progress++;
    if (!x->drops_body)
        keep_body(x, ldb_slice_make(bytes, *len));
    x->body_bytes += *len;
    *len = 0;
    /* No answer can be given in the middle of a body. */
    return x->body_bytes > SVC_HTTP_DROP_BYTES_MAX && x->drops_body ? MHD_NO
                                                                    : MHD_YES;
}

/* ---- the calls of a request ---- */

static enum MHD_Result reply(struct svc_exchange *x)
{
    return svc_reply_queue(x) ? MHD_YES : MHD_NO;
}

/* The head is here; the body, and 100-continue, are not. */
static enum MHD_Result on_head(struct svc_exchange *x, const char *method,
                               const char *version)
{
    struct api_exchange *api = &x->api;
    struct head head = {0};
    const char *wrong;
    bool has_body;

    x->phase = SVC_PHASE_BODY;
    MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, read_head_field,
                                &head);
    api->method = parse_method(method);
    api->method_text = method;
    api->content_length = API_LENGTH_UNKNOWN;
    if (head.lengths > 0 && !ldb_parse_u64(head.length, &api->content_length))
        api->content_length = API_LENGTH_UNKNOWN;
    if (head.lengths == 0 && head.encodings == 0)
        api->content_length = 0;
    has_body = api->content_length != 0;
    wrong = judge_head(&head, version);
    if (wrong != NULL) {
        api_answer_problemf(api, API_PROBLEM_MALFORMED, "%s", wrong);
        api->response.close = true;
        /* Where the message ends is in doubt: nothing more is read of it. */
        return reply(x);
    }
    x->began = true;
    api_exchange_begin(api);
    if (!api->response.ready && has_body)
        prepare_body(x);
    if (!api->response.ready)
        return MHD_YES;
    refuse_body(x);
    /*
     * Without a body the answer waits for the final call, which comes at
     * once: an answer given here would close the connection. With one it
     * waits too, so that the client has sent everything and reads it, unless
     * the client asked first or the body is very long.
     */
    if (has_body && (head.expects_continue ||
                     (api->content_length != API_LENGTH_UNKNOWN &&
                      api->content_length > SVC_HTTP_DROP_BYTES_MAX)))
        return reply(x);
    return MHD_YES;
}

/* After finish or resume. */
static enum MHD_Result after_handler(struct svc_exchange *x)
{
    struct svc_loop *loop = x->loop;

    loop->handlers_ran = true;
    loop->progress++;
    if (x->api.response.ready) {
        atomic_store_explicit(&x->state, SVC_IDLE, memory_order_relaxed);
        return reply(x);
    }
    x->phase = SVC_PHASE_WAIT;
    x->waiting_since_us = loop->pass_us;
    loop->waiting++;
    return MHD_YES;
}

/* The request is whole. */
static enum MHD_Result on_whole(struct svc_exchange *x)
{
    if (x->api.response.ready)
        return reply(x);
    atomic_store_explicit(&x->state, SVC_WAITING, memory_order_release);
    api_exchange_finish(&x->api);
    return after_handler(x);
}

static enum MHD_Result on_wait(struct svc_exchange *x)
{
    struct svc_loop *loop = x->loop;
    int state = atomic_load_explicit(&x->state, memory_order_acquire);

    if (state == SVC_WOKEN) {
        loop->waiting--;
        atomic_store_explicit(&x->state, SVC_WAITING, memory_order_release);
        api_exchange_resume(&x->api);
        return after_handler(x);
    }
    assert(state == SVC_WAITING);
    if (loop->pass_us - x->waiting_since_us >= SVC_HTTP_POLL_US)
        suspend(x);
    return MHD_YES;
}

void *svc_exchange_on_uri(void *cls, const char *uri,
                          struct MHD_Connection *connection)
{
    struct svc_loop *loop = cls;
    struct svc_exchange *x = create(loop);
    struct ldb_slice target = ldb_slice_str(uri == NULL ? "" : uri);
    const uint8_t *copy;
    const uint8_t *question;

    (void)connection;
    if (x == NULL)
        return NULL;
    loop->active++;
    /* The library's own copy changes when it takes the query apart. */
    copy = ldb_arena_dup(&x->arena, target);
    if (copy == NULL)
        target.len = 0;
    question = target.len == 0 ? NULL : memchr(copy, '?', target.len);
    x->api.raw_path = ldb_slice_make(
        copy, question == NULL ? target.len : (size_t)(question - copy));
    if (question != NULL)
        x->api.raw_query =
            ldb_slice_make(question + 1, target.len - x->api.raw_path.len - 1);
    return x;
}

enum MHD_Result svc_exchange_on_call(void *cls,
                                     struct MHD_Connection *connection,
                                     const char *url, const char *method,
                                     const char *version, const char *bytes,
                                     size_t *len, void **context)
{
    struct svc_exchange *x = *context;

    (void)cls;
    (void)url;
    if (x == NULL)
        return MHD_NO; /* there was no memory for it */
    x->connection = connection;
    switch (x->phase) {
    case SVC_PHASE_NEW:
        x->loop->progress++;
        return on_head(x, method, version);
    case SVC_PHASE_BODY:
        return *len != 0 ? on_body(x, bytes, len) : on_whole(x);
    case SVC_PHASE_WAIT:
        return on_wait(x);
    case SVC_PHASE_ANSWERED:
        break;
    }
    return MHD_YES;
}

/* The connection lets go of x. */
void svc_exchange_on_completed(void *cls, struct MHD_Connection *connection,
                               void **context,
                               enum MHD_RequestTerminationCode code)
{
    struct svc_loop *loop = cls;
    struct svc_exchange *x = *context;

    (void)connection;
    (void)code;
    *context = NULL;
    if (x == NULL)
        return;
    loop->active--;
    loop->progress++;
    if (x->phase != SVC_PHASE_WAIT) {
        bury(x);
        return;
    }
    x->connection = NULL;
    if (!x->is_suspended)
        loop->waiting--;
    if (change_wait(x, SVC_ORPHAN)) {
        if (x->is_suspended)
            unlink_suspended(x);
        loop->orphans++;
    } else if (x->is_suspended) {
        /* Woken, and still on the loop's stack of those. */
        unlink_suspended(x);
        loop->orphans++;
    } else {
        bury(x);
    }
}

void svc_exchange_free_stores(struct svc_loop *loop)
{
    while (loop->free_list != NULL) {
        struct svc_exchange *x = loop->free_list;

        loop->free_list = x->next_free;
        ldb_arena_release(&x->arena);
        ldb_mem_free(x);
    }
    while (loop->spare_count > 0)
        ldb_buf_release(&loop->spare[--loop->spare_count]);
}
