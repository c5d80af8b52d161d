/*
 * The client's end of the simulated network: what replication/transport_http.c
 * is over libcurl, with the same reading of heads (contract: sim_net.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replication/http_answer.h"
#include "replication/refusal.h"
#include "replication/transport_http.h"
#include "storage/base/mem.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"
#include "tests/support/sim_env.h"
#include "tests/support/sim_flow.h"

#define FILES_PATH "/v1/replication/files/"

struct sim_peer {
    struct repl_peer base; /* first: cast back from it */
    struct repl_http_options options;
    unsigned client;
    unsigned server;
};

struct sim_transport {
    struct repl_transport base; /* first: cast back from it */
    struct sim_peer *peer;
    bool is_interrupted;
    struct sim_flow *flow; /* under way; NULL: none */
};

/* One request, on its caller's stack. */
struct request {
    struct sim_transport *t;
    struct sim_flow *flow;
    struct ldb_error *err;
    struct repl_http_wanted wanted;
    const struct repl_get *get; /* NULL: HEAD, or a document */
    struct ldb_buf *document;   /* NULL: a file */
    struct repl_http_answer answer;
    struct ldb_buf refusal;
    uint64_t last_us; /* of the last byte */
    bool has_given;
};

static struct sim_link *way_back(const struct request *r)
{
    return sim_net_link(r->flow->server, r->flow->client);
}

/* ---- what comes ---- */

/* Comes from the server; not when it is silent for longer than that. */
static bool arrives(struct request *r, uint64_t limit_us)
{
    uint64_t deadline_us =
        limit_us > UINT64_MAX - r->last_us ? UINT64_MAX : r->last_us + limit_us;

    if (!sim_flow_travel(r->flow, r->flow->server, r->flow->client,
                         deadline_us))
        return false;
    r->last_us = sim_now_us();
    return true;
}

static enum ldb_status broken(const struct request *r)
{
    return ldb_error_set(r->err, LDB_IO, "%s: the connection broke",
                         r->flow->target);
}

static enum ldb_status read_head(struct request *r)
{
    struct ldb_slice left = ldb_slice_of_buf(&r->flow->head);
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && left.len > 0) {
        const uint8_t *end = memchr(left.data, '\n', left.len);
        size_t len = (size_t)(end - left.data) + 1;

        s = repl_http_answer_line(&r->answer, ldb_slice_make(left.data, len),
                                  r->err);
        left = ldb_slice_make(left.data + len, left.len - len);
    }
    if (s != LDB_OK || !repl_http_answer_is_success(&r->answer))
        return s;
    s = r->document != NULL
            ? repl_http_answer_check(&r->answer, r->err)
            : repl_http_answer_check_file(&r->answer, &r->wanted, r->err);
    if (s != LDB_OK || r->get == NULL)
        return s;
    return r->get->head(r->get->context, &r->answer.head, r->err);
}

/* Waits for something of the flow, at most until the limit after the last
 * byte. */
static enum ldb_status wait_for_more(struct request *r, uint64_t limit_us,
                                     bool *out_is_late)
{
    uint64_t passed = sim_now_us() - r->last_us;

    if (r->t->is_interrupted)
        return ldb_error_set(r->err, LDB_CANCELLED, "%s: interrupted",
                             r->flow->target);
    *out_is_late = passed >= limit_us;
    if (!*out_is_late)
        LDB_IGNORE(sim_queue_wait(&r->flow->changed,
                                  limit_us == UINT64_MAX ? UINT64_MAX
                                                         : limit_us - passed,
                                  r->flow->target));
    return LDB_OK;
}

static enum ldb_status await_head(struct request *r)
{
    const struct repl_http_options *o = &r->t->peer->options;
    uint64_t limit_us =
        r->wanted.is_head_alone ? o->digest_timeout_us : o->head_timeout_us;
    bool is_late = false;
    enum ldb_status s = LDB_OK;

    r->last_us = sim_now_us();
    while (s == LDB_OK && !r->flow->has_head) {
        if (r->flow->is_cut)
            return broken(r);
        if (is_late)
            return ldb_error_set(r->err, LDB_IO, "%s: no answer in time",
                                 r->flow->target);
        s = wait_for_more(r, limit_us, &is_late);
    }
    if (s != LDB_OK)
        return s;
    return arrives(r, limit_us) ? read_head(r) : broken(r);
}

/* The next bytes, which stay until the next call; they are taken. */
static struct ldb_slice take_piece(struct request *r, uint8_t *room,
                                   size_t room_size)
{
    struct sim_flow *flow = r->flow;
    const struct sim_link *link = way_back(r);
    size_t len = flow->bytes.len - flow->taken;

    if (len > room_size)
        len = room_size;
    if (link->piece_max > 0)
        len = sim_between(1, len < link->piece_max ? len : link->piece_max);
    memcpy(room, flow->bytes.data + flow->taken, len);
    flow->taken += len;
    if (flow->taken == flow->bytes.len) {
        ldb_buf_clear(&flow->bytes);
        flow->taken = 0;
    }
    if (r->get != NULL && sim_one_in(link->flip_one_in)) {
        room[sim_below(len)] ^= (uint8_t)(1u << sim_below(8));
        sim_flow_count_flip();
        sim_trace("a bit of %s flips", flow->target);
    }
    sim_queue_wake_all(&flow->changed);
    return ldb_slice_make(room, len);
}

static enum ldb_status give(struct request *r, struct ldb_slice piece)
{
    if (!repl_http_answer_is_success(&r->answer)) {
        if (ldb_buf_append(&r->refusal, piece) != LDB_OK)
            ldb_buf_clear(&r->refusal);
        return LDB_OK;
    }
    if (r->document != NULL) {
        enum ldb_status s = ldb_buf_append(r->document, piece);

        return s == LDB_OK ? s
                           : ldb_error_set(r->err, s, "%s: the answer: %s",
                                           r->flow->target, ldb_status_text(s));
    }
    if (r->get == NULL)
        return LDB_OK;
    r->has_given = true;
    return r->get->bytes(r->get->context, piece, r->err);
}

static enum ldb_status move_piece(struct request *r, uint64_t limit_us)
{
    uint8_t room[8192];
    struct ldb_slice piece;

    if (!arrives(r, limit_us))
        return broken(r);
    piece = take_piece(r, room, sizeof(room));
    return give(r, piece);
}

static enum ldb_status tell_dry(struct request *r)
{
    r->has_given = false;
    return r->get->dry(r->get->context, r->err);
}

static enum ldb_status await_body(struct request *r)
{
    struct sim_flow *flow = r->flow;
    uint64_t limit_us = r->t->peer->options.low_speed_us;
    bool is_late = false;
    enum ldb_status s = LDB_OK;

    if (r->wanted.follow && repl_http_answer_is_success(&r->answer))
        limit_us = r->get->idle_us == 0 ? UINT64_MAX : r->get->idle_us;
    while (s == LDB_OK) {
        if (r->t->is_interrupted)
            return ldb_error_set(r->err, LDB_CANCELLED, "%s: interrupted",
                                 flow->target);
        /* What was on its way when it broke may come, or not. */
        if (flow->bytes.len > flow->taken && !(flow->is_cut && sim_one_in(2)))
            s = move_piece(r, limit_us);
        else if (flow->is_cut)
            return broken(r);
        else if (r->has_given && r->get->dry != NULL)
            s = tell_dry(r);
        else if (flow->is_whole)
            return LDB_OK;
        else if (is_late && r->wanted.follow)
            return LDB_OK;
        else if (is_late)
            return ldb_error_set(r->err, LDB_IO, "%s: too slow", flow->target);
        else
            s = wait_for_more(r, limit_us, &is_late);
    }
    return s;
}

/* ---- one request ---- */

static void init(struct request *r, struct repl_transport *base,
                 struct ldb_error *err)
{
    *r = (struct request){
        .t = (struct sim_transport *)base,
        .err = err,
        .refusal = LDB_BUF_INIT((size_t)64 << 10),
    };
}

static void send_off(struct request *r, const char *method, const char *target,
                     const char *const *headers, struct ldb_slice body)
{
    const struct sim_peer *peer = r->t->peer;

    r->flow = sim_flow_begin(peer->client, peer->server, method, target,
                             headers, body);
    r->t->flow = r->flow;
}

static void release(struct request *r)
{
    r->t->flow = NULL;
    if (r->flow != NULL)
        sim_flow_leave(r->flow);
    ldb_buf_release(&r->refusal);
}

static enum ldb_status run(struct request *r)
{
    enum ldb_status s;

    if (r->t->is_interrupted)
        return ldb_error_set(r->err, LDB_CANCELLED, "%s: interrupted",
                             r->flow->target);
    s = await_head(r);
    return s == LDB_OK ? await_body(r) : s;
}

/* ---- the transport ---- */

static enum ldb_status sim_call(struct repl_transport *base, const char *path,
                                struct ldb_slice body, struct ldb_error *err,
                                struct ldb_buf *out, unsigned *out_http)
{
    static const char *const posted[] = {"Content-Type: application/json",
                                         NULL};
    struct request r;
    enum ldb_status s;

    init(&r, base, err);
    ldb_buf_clear(out);
    r.document = out;
    if (body.data == NULL)
        send_off(&r, "GET", path, NULL, body);
    else
        send_off(&r, "POST", path, posted, body);
    if (sim_one_in(sim_net_link(r.flow->client, r.flow->server)->late_one_in)) {
        sim_flow_count_late();
        sim_trace("POST %s will arrive late", path);
        s = broken(&r);
    } else {
        s = run(&r);
    }
    if (s == LDB_OK && !repl_http_answer_is_success(&r.answer) &&
        ldb_buf_append(out, ldb_slice_of_buf(&r.refusal)) == LDB_NO_MEMORY)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        *out_http = r.answer.http;
    release(&r);
    return s;
}

static enum ldb_status run_file(struct request *r, const char *name)
{
    struct repl_refusal refusal;
    char target[SIM_TARGET_SIZE];
    char range[SIM_HEADER_SIZE];
    const char *headers[2] = {NULL, NULL};
    enum ldb_status s;

    (void)snprintf(target, sizeof(target), FILES_PATH "%s", name);
    if (r->wanted.follow) {
        (void)snprintf(target, sizeof(target),
                       FILES_PATH "%s?from=%" PRIu64 "&follow=true", name,
                       r->wanted.from);
    } else if (r->wanted.from > 0) {
        (void)snprintf(range, sizeof(range), "Range: bytes=%" PRIu64 "-",
                       r->wanted.from);
        headers[0] = range;
    }
    send_off(r, r->wanted.is_head_alone ? "HEAD" : "GET", target, headers,
             (struct ldb_slice){0});
    s = run(r);
    if (s != LDB_OK || repl_http_answer_is_success(&r->answer) ||
        repl_http_answer_is_at_end(&r->answer, &r->wanted))
        return s;
    repl_refusal_read(r->answer.http, ldb_slice_of_buf(&r->refusal), &refusal);
    return repl_refusal_file_error(&refusal, name, r->err);
}

static enum ldb_status sim_head(struct repl_transport *base, const char *name,
                                struct ldb_error *err,
                                struct repl_file_head *out)
{
    struct request r;
    enum ldb_status s;

    init(&r, base, err);
    r.wanted.is_head_alone = true;
    s = run_file(&r, name);
    if (s == LDB_OK)
        *out = r.answer.head;
    release(&r);
    return s;
}

static enum ldb_status sim_get(struct repl_transport *base,
                               const struct repl_get *get,
                               struct ldb_error *err)
{
    struct repl_file_head head;
    struct request r;
    bool is_at_end;
    enum ldb_status s;

    init(&r, base, err);
    r.get = get;
    r.wanted.follow = get->follow;
    r.wanted.from = get->from;
    s = run_file(&r, get->name);
    is_at_end = s == LDB_OK && repl_http_answer_is_at_end(&r.answer, &r.wanted);
    release(&r);
    if (!is_at_end)
        return s;
    s = sim_head(base, get->name, err, &head);
    return s == LDB_OK ? get->head(get->context, &head, err) : s;
}

static void sim_interrupt(struct repl_transport *base)
{
    struct sim_transport *t = (struct sim_transport *)base;

    t->is_interrupted = true;
    if (t->flow == NULL)
        return;
    sim_queue_wake_all(&t->flow->changed);
    /* A silent link does not hold who does not wait any more. */
    t->flow->is_left = true;
    sim_net_changed();
}

static void sim_destroy(struct repl_transport *base)
{
    ldb_mem_free((struct sim_transport *)base);
}

static const struct repl_transport_ops transport_ops = {
    .call = sim_call,
    .get = sim_get,
    .head = sim_head,
    .interrupt = sim_interrupt,
    .destroy = sim_destroy,
};

static enum ldb_status sim_open(struct repl_peer *base, struct ldb_error *err,
                                struct repl_transport **out)
{
    struct sim_transport *t = ldb_mem_zalloc(1, sizeof(*t));

    if (t == NULL)
        return ldb_error_no_memory(err);
    t->base.ops = &transport_ops;
    t->peer = (struct sim_peer *)base;
    *out = &t->base;
    return LDB_OK;
}

static void sim_peer_destroy(struct repl_peer *base)
{
    ldb_mem_free((struct sim_peer *)base);
}

/* ---- replication/transport_http.h ---- */

/* "http://b" is node 1. */
static unsigned node_of_url(const char *url)
{
    unsigned node = (unsigned)(url[strlen("http://")] - 'a');

    if (node >= SIM_NODES_MAX)
        sim_fail("%s is no node", url);
    return node;
}

enum ldb_status repl_http_peer_create(const struct repl_http_options *options,
                                      struct ldb_error *err,
                                      struct repl_peer **out)
{
    enum ldb_status s = repl_http_options_check(options, err);
    struct sim_peer *peer;

    if (s != LDB_OK)
        return s;
    peer = ldb_mem_zalloc(1, sizeof(*peer));
    if (peer == NULL)
        return ldb_error_no_memory(err);
    peer->base.open = sim_open;
    peer->base.destroy = sim_peer_destroy;
    peer->client = (unsigned)(sim_env_name(sim_env_of(options->env))[0] - 'a');
    peer->server = node_of_url(options->url);
    peer->options = *options; /* its times alone are used */
    *out = &peer->base;
    return LDB_OK;
}
