#include "tests/support/sim_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/exchange.h"
#include "api/problem.h"
#include "api/response.h"
#include "service/http_server.h"
#include "storage/base/slice.h"
#include "tests/support/fake_exchange.h"
#include "tests/support/sim_flow.h"
#include "tests/support/sim_versions.h"

/* Bytes of an answer that wait for their reader before the server stops to
 * make more: what the system would buffer. */
#define BUFFERED_MAX ((size_t)64 << 10)

/* Bytes that a stream is asked for at a time. */
#define READ_MAX ((size_t)16 << 10)

#define BODY_MAX ((size_t)1 << 26)

struct server {
    struct api_context *context; /* NULL: down */
    bool is_dead;                /* and its machine */
    unsigned serving;            /* fibers */
    unsigned working;            /* of them: for others to end their work */
    struct sim_queue changed;
};

static struct {
    struct sim_link links[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];
    struct server servers[SIM_NODES_MAX];
    struct sim_flow *flows;
    struct sim_queue changed; /* a link, or a flow that waits for one */
    struct sim_net_counts counts;
} net;

/* ---- the net ---- */

void sim_net_begin(void)
{
    memset(&net, 0, sizeof(net));
    sim_versions_begin();
}

void sim_net_end(void)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        assert(net.servers[i].context == NULL && net.servers[i].serving == 0);
    assert(net.flows == NULL);
    sim_versions_end();
}

void sim_net_counts(struct sim_net_counts *out)
{
    *out = net.counts;
}

struct sim_link *sim_net_link(unsigned from, unsigned to)
{
    return &net.links[from][to];
}

void sim_net_changed(void)
{
    sim_queue_wake_all(&net.changed);
}

void sim_flow_count_flip(void)
{
    net.counts.flips++;
}

void sim_flow_count_late(void)
{
    net.counts.late++;
}

/* ---- a flow ---- */

void sim_flow_cut(struct sim_flow *flow)
{
    if (flow->is_cut)
        return;
    flow->is_cut = true;
    sim_queue_wake_all(&flow->changed);
    sim_queue_wake_all(&net.changed);
}

static void unref(struct sim_flow *flow)
{
    struct sim_flow **link = &net.flows;

    if (--flow->refs > 0)
        return;
    while (*link != flow)
        link = &(*link)->next;
    *link = flow->next;
    ldb_buf_release(&flow->request);
    ldb_buf_release(&flow->head);
    ldb_buf_release(&flow->bytes);
    free(flow);
}

void sim_flow_leave(struct sim_flow *flow)
{
    flow->is_left = true;
    sim_queue_wake_all(&flow->changed);
    sim_queue_wake_all(&net.changed);
    unref(flow);
}

bool sim_flow_travel(struct sim_flow *flow, unsigned from, unsigned to,
                     uint64_t deadline_us)
{
    const struct sim_link *link = &net.links[from][to];

    while (link->is_silent && !flow->is_cut && !flow->is_left) {
        if (sim_now_us() >= deadline_us)
            return false;
        LDB_IGNORE(sim_queue_wait(&net.changed, deadline_us - sim_now_us(),
                                  "a silent link"));
    }
    if (flow->is_cut)
        return false;
    if (sim_one_in(link->cut_one_in)) {
        net.counts.cuts++;
        sim_trace("the connection for %s %s breaks", flow->method,
                  flow->target);
        sim_flow_cut(flow);
        return false;
    }
    if (link->delay_us > 0)
        sim_sleep_us(sim_below(link->delay_us));
    else
        sim_yield();
    return !flow->is_cut;
}

void sim_net_break(unsigned one, unsigned other)
{
    for (struct sim_flow *flow = net.flows; flow != NULL; flow = flow->next) {
        if ((flow->client == one && flow->server == other) ||
            (flow->client == other && flow->server == one)) {
            net.counts.cuts++;
            sim_flow_cut(flow);
        }
    }
}

void sim_net_revive(unsigned node)
{
    net.servers[node].is_dead = false;
}

void sim_net_kill(unsigned node)
{
    net.servers[node].is_dead = true;
    for (struct sim_flow *flow = net.flows; flow != NULL; flow = flow->next) {
        if (flow->client == node || flow->server == node)
            sim_flow_cut(flow);
    }
}

/* ---- the server's end ---- */

/* An exchange on a fiber. */
struct service {
    struct api_exchange x; /* first: ops get it back */
    struct ldb_arena arena;
    struct sim_flow *flow;
    unsigned wakes;
};

static struct ldb_slice find_header(struct api_exchange *x, const char *name,
                                    unsigned *out_count)
{
    const struct sim_flow *flow = ((struct service *)x)->flow;
    struct ldb_slice found = {0};
    unsigned count = 0;

    for (size_t i = 0; i < flow->header_count; i++) {
        struct ldb_slice value = fake_header_value(flow->headers[i], name);

        if (value.data != NULL && count++ == 0)
            found = value;
    }
    if (out_count != NULL)
        *out_count = count;
    return found;
}

static void wake_exchange(struct api_exchange *x)
{
    struct service *service = (struct service *)x;

    service->wakes++;
    sim_queue_wake_all(&service->flow->changed);
}

static const struct api_exchange_ops exchange_ops = {
    .header = find_header,
    .wake = wake_exchange,
};

static enum api_method method_of(const char *text)
{
    return strcmp(text, "GET") == 0      ? API_GET
           : strcmp(text, "HEAD") == 0   ? API_HEAD
           : strcmp(text, "PUT") == 0    ? API_PUT
           : strcmp(text, "POST") == 0   ? API_POST
           : strcmp(text, "DELETE") == 0 ? API_DELETE
                                         : API_METHOD_OTHER;
}

static void begin_exchange(struct service *service, struct api_context *context)
{
    struct sim_flow *flow = service->flow;
    const char *query = strchr(flow->target, '?');
    size_t path_len =
        query == NULL ? strlen(flow->target) : (size_t)(query - flow->target);
    struct api_exchange *x = &service->x;

    ldb_arena_init(&service->arena, 0);
    x->ops = &exchange_ops;
    x->context = context;
    x->method = method_of(flow->method);
    x->method_text = flow->method;
    x->raw_path = ldb_slice_make(flow->target, path_len);
    if (query != NULL)
        x->raw_query = ldb_slice_str(query + 1);
    x->content_length = flow->request.len;
    x->started_us = api_now_us(context);
    x->header_marks = UINT32_MAX; /* any */
    x->arena = &service->arena;
    api_exchange_begin(x);
}

/* Waits for the work of others, who wake it in any case. */
static void wait_for_work(struct service *service, struct server *server)
{
    server->working++;
    sim_queue_wake_all(&server->changed);
    while (service->wakes == 0)
        LDB_IGNORE(sim_queue_wait(&service->flow->changed, UINT64_MAX,
                                  service->flow->target));
    service->wakes--;
    server->working--;
}

/* False: its client has gone. */
static bool answer_exchange(struct service *service, struct server *server)
{
    struct api_exchange *x = &service->x;
    struct api_problem problem = {.kind = API_PROBLEM_OVERLOADED};

    if (x->response.ready)
        return true;
    assert(x->body_window == 0);
    x->body = (struct ldb_buf)LDB_BUF_INIT(x->body_limit);
    if (ldb_buf_append(&x->body, ldb_slice_of_buf(&service->flow->request)) !=
        LDB_OK) {
        api_problem_body_too_large(x, &problem);
        api_exchange_refuse(x, &problem);
        return true;
    }
    api_exchange_finish(x);
    while (!x->response.ready) {
        api_pass_end(x->context);
        wait_for_work(service, server);
        if (service->flow->is_cut)
            return false;
        api_exchange_resume(x);
    }
    api_pass_end(x->context);
    return true;
}

static void append_or_abort(struct ldb_buf *buf, struct ldb_slice bytes)
{
    if (ldb_buf_append(buf, bytes) != LDB_OK)
        abort();
}

static void put_head(struct sim_flow *flow, const struct api_response *response)
{
    bool is_chunked = response->body_kind == API_BODY_STREAM &&
                      response->stream_length == API_LENGTH_UNKNOWN;
    uint64_t len =
        response->body_kind == API_BODY_STATIC   ? response->static_body.len
        : response->body_kind == API_BODY_BUF    ? response->body.len
        : response->body_kind == API_BODY_STREAM ? response->stream_length
        : strcmp(flow->method, "HEAD") == 0      ? response->head_length
                                                 : 0;
    enum ldb_status s =
        ldb_buf_printf(&flow->head, "HTTP/1.1 %u Sim\r\n", response->status);

    for (const struct api_header *h = response->headers;
         s == LDB_OK && h != NULL; h = h->next)
        s = ldb_buf_printf(&flow->head, "%s: %s\r\n", h->name, h->value);
    if (s == LDB_OK)
        s = is_chunked
                ? ldb_buf_printf(&flow->head, "Transfer-Encoding: chunked\r\n")
                : ldb_buf_printf(&flow->head, "Content-Length: %llu\r\n",
                                 (unsigned long long)len);
    if (s == LDB_OK)
        s = ldb_buf_printf(&flow->head, "\r\n");
    if (s != LDB_OK)
        abort();
    flow->status = response->status;
    flow->is_stream = is_chunked;
    flow->has_head = true;
    sim_queue_wake_all(&flow->changed);
}

static bool is_over(const struct sim_flow *flow)
{
    return flow->is_cut || flow->is_left;
}

/* The stream into bytes, as its reader takes them. False: it broke. */
static bool put_stream(struct service *service)
{
    struct api_response *response = &service->x.response;
    struct sim_flow *flow = service->flow;
    uint8_t piece[READ_MAX];

    while (!is_over(flow)) {
        int64_t len;

        if (flow->bytes.len - flow->taken >= BUFFERED_MAX) {
            LDB_IGNORE(
                sim_queue_wait(&flow->changed, UINT64_MAX, "a slow reader"));
            continue;
        }
        len = response->stream_ops->read(response->stream, piece, READ_MAX);
        if (len == API_STREAM_YIELD) {
            sim_yield();
        } else if (len == API_STREAM_WAIT) {
            while (service->wakes == 0 && !is_over(flow))
                LDB_IGNORE(
                    sim_queue_wait(&flow->changed, UINT64_MAX, flow->target));
            if (service->wakes > 0)
                service->wakes--;
        } else if (len <= 0) {
            return len == 0;
        } else {
            append_or_abort(&flow->bytes, ldb_slice_make(piece, (size_t)len));
            sim_queue_wake_all(&flow->changed);
            sim_yield();
        }
    }
    return false;
}

static void put_answer(struct service *service)
{
    struct api_response *response = &service->x.response;
    struct sim_flow *flow = service->flow;
    bool is_well = true;

    if (is_over(flow))
        return;
    put_head(flow, response);
    sim_versions_answered(flow, response->body_kind == API_BODY_BUF
                                    ? ldb_slice_of_buf(&response->body)
                                    : (struct ldb_slice){0});
    if (response->body_kind == API_BODY_STATIC)
        append_or_abort(&flow->bytes, response->static_body);
    else if (response->body_kind == API_BODY_BUF)
        append_or_abort(&flow->bytes, ldb_slice_of_buf(&response->body));
    else if (response->body_kind == API_BODY_STREAM)
        is_well = put_stream(service);
    flow->is_whole = is_well;
    if (is_well)
        sim_queue_wake_all(&flow->changed);
    else
        sim_flow_cut(flow);
}

static void end_exchange(struct service *service)
{
    struct api_response *response = &service->x.response;

    if (response->stream != NULL) {
        response->stream_ops->destroy(response->stream);
        response->stream = NULL;
        api_exchange_end_stream(&service->x);
    }
    api_exchange_abandon(&service->x);
    api_response_release(response);
    ldb_buf_release(&service->x.body);
    ldb_arena_release(&service->arena);
}

static bool is_dead(unsigned node)
{
    return node < SIM_NODES_MAX && net.servers[node].is_dead;
}

static void serve(void *context)
{
    struct service service = {.flow = context};
    struct sim_flow *flow = context;
    struct server *server = &net.servers[flow->server];

    if (is_dead(flow->client) ||
        !sim_flow_travel(flow, flow->client, flow->server, UINT64_MAX) ||
        server->context == NULL) {
        sim_flow_cut(flow);
        unref(flow);
        return;
    }
    server->serving++;
    begin_exchange(&service, server->context);
    if (answer_exchange(&service, server))
        put_answer(&service);
    end_exchange(&service);
    server->serving--;
    sim_queue_wake_all(&server->changed);
    unref(flow);
}

struct sim_flow *sim_flow_begin(unsigned client, unsigned server,
                                const char *method, const char *target,
                                const char *const *headers,
                                struct ldb_slice body)
{
    struct sim_flow *flow = calloc(1, sizeof(*flow));

    if (flow == NULL || strlen(target) >= SIM_TARGET_SIZE)
        abort();
    net.counts.requests++;
    flow->refs = 2;
    flow->client = client;
    flow->server = server;
    flow->method = method;
    (void)snprintf(flow->target, sizeof(flow->target), "%s", target);
    for (; headers != NULL && *headers != NULL; headers++) {
        assert(flow->header_count < SIM_HEADERS_MAX);
        (void)snprintf(flow->headers[flow->header_count++], SIM_HEADER_SIZE,
                       "%s", *headers);
    }
    flow->request = (struct ldb_buf)LDB_BUF_INIT(BODY_MAX);
    flow->head = (struct ldb_buf)LDB_BUF_INIT(BODY_MAX);
    flow->bytes = (struct ldb_buf)LDB_BUF_INIT(BODY_MAX);
    append_or_abort(&flow->request, body);
    flow->next = net.flows;
    net.flows = flow;
    sim_spawn_detached(flow->target, serve, flow);
    return flow;
}

/* ---- servers ---- */

struct svc_http_server *sim_net_serve(unsigned node,
                                      struct api_context *context)
{
    struct server *server = &net.servers[node];

    assert(server->context == NULL && server->serving == 0);
    server->context = context;
    return (struct svc_http_server *)(void *)server;
}

static unsigned node_of(const struct server *server)
{
    return (unsigned)(server - net.servers);
}

static void cut_all(const struct server *server)
{
    for (struct sim_flow *flow = net.flows; flow != NULL; flow = flow->next) {
        if (flow->server == node_of(server))
            sim_flow_cut(flow);
    }
}

/* As the server of the service: streams alone. */
void svc_http_server_cut_streams(struct svc_http_server *server)
{
    const struct server *ours = (const struct server *)(const void *)server;

    for (struct sim_flow *flow = net.flows; flow != NULL; flow = flow->next) {
        if (flow->server == node_of(ours) && flow->has_head && !flow->is_whole)
            sim_flow_cut(flow);
    }
}

void sim_net_stop(unsigned node)
{
    struct server *server = &net.servers[node];

    server->context = NULL;
    cut_all(server);
    while (server->serving > server->working)
        LDB_IGNORE(
            sim_queue_wait(&server->changed, UINT64_MAX, "requests to end"));
}

void sim_net_close(unsigned node)
{
    struct server *server = &net.servers[node];

    assert(server->context == NULL);
    while (server->serving > 0)
        LDB_IGNORE(
            sim_queue_wait(&server->changed, UINT64_MAX, "exchanges to end"));
}

/* ---- calls from outside ---- */

unsigned sim_net_call(unsigned node, const char *method, const char *target,
                      const char *const *headers, struct ldb_slice body,
                      struct ldb_buf *out)
{
    struct sim_flow *flow =
        sim_flow_begin(SIM_OUTSIDE, node, method, target, headers, body);
    unsigned status = 0;

    ldb_buf_clear(out);
    while (!flow->is_whole && !flow->is_cut)
        LDB_IGNORE(sim_queue_wait(&flow->changed, UINT64_MAX, target));
    if (flow->is_whole) {
        status = flow->status;
        append_or_abort(out, ldb_slice_of_buf(&flow->bytes));
    }
    sim_flow_leave(flow);
    return status;
}
