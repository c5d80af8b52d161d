#include "service/http_internal.h"

#include <string.h>
#include <strings.h>

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
    struct svc_kept *kept = NULL;
    struct ldb_arena arena;

    if (x != NULL) {
        loop->free_list = x->next_free;
        loop->free_count--;
        arena = x->arena;
        kept = x->kept;
    } else {
        x = ldb_mem_alloc(1, sizeof *x);
        if (x == NULL)
            return NULL;
        ldb_arena_init(&arena, 0);
    }
    memset(x, 0, sizeof *x);
    x->arena = arena;
    x->kept = kept;
    x->loop = loop;
    x->api.ops = &exchange_ops;
    x->api.context = loop->server->options.context;
    x->api.arena = &x->arena;
    x->api.started_us = loop->pass_us;
    x->api.loop = (unsigned)(loop - loop->server->loops);
    x->api.body = (struct ldb_buf)LDB_BUF_INIT(0);
    atomic_init(&x->state, SVC_IDLE);
    return x;
}

static void free_exchange(struct svc_exchange *x)
{
    svc_kept_destroy(x->kept);
    ldb_arena_release(&x->arena);
    ldb_mem_free(x);
}

/* Both owners are gone. */
static void bury(struct svc_exchange *x)
{
    struct svc_loop *loop = x->loop;

    svc_reply_end(x);
    if (x->began)
        api_exchange_abandon(&x->api);
    svc_request_log(x);
    api_response_release(&x->api.response);
    svc_body_drop(x);
    svc_body_discharge(x);
    if (loop->free_count < SVC_FREE_EXCHANGES_MAX) {
        ldb_arena_clear(&x->arena);
        x->next_free = loop->free_list;
        loop->free_list = x;
        loop->free_count++;
    } else {
        free_exchange(x);
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

static bool change_from(struct svc_exchange *x, int from, int to)
{
    return atomic_compare_exchange_strong_explicit(
        &x->state, &from, to, memory_order_acq_rel, memory_order_acquire);
}

/* False when x was woken meanwhile. */
static bool change_wait(struct svc_exchange *x, int to)
{
    return change_from(
        x, to == SVC_ORPHAN && x->is_suspended ? SVC_SUSPENDED : SVC_WAITING,
        to);
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

/*
 * x was given a piece of its body, or woken after one. True: the body goes on.
 * False: x waits, and must be suspended in the library until that is over:
 * in the middle of a body it does not ask again by itself.
 */
static bool piece_is_done(struct svc_exchange *x)
{
    struct api_exchange *api = &x->api;

    x->loop->handlers_ran = true;
    x->loop->progress++;
    while (!api->response.ready && !api->wants_body) {
        if (change_wait(x, SVC_SUSPENDED)) {
            x->phase = SVC_PHASE_PAUSED;
            link_suspended(x);
            return false;
        }
        /* Woken before it could wait. */
        atomic_store_explicit(&x->state, SVC_WAITING, memory_order_release);
        api_exchange_resume(api);
    }
    atomic_store_explicit(&x->state, SVC_IDLE, memory_order_relaxed);
    x->phase = SVC_PHASE_BODY;
    if (api->response.ready)
        svc_body_refuse(x);
    return true;
}

/* The body so far is the handler's, or with a problem, no more can be taken. */
static void give_piece(struct svc_exchange *x,
                       const struct api_problem *problem)
{
    atomic_store_explicit(&x->state, SVC_WAITING, memory_order_release);
    x->api.wants_body = false;
    if (problem == NULL)
        api_exchange_take(&x->api);
    else
        api_exchange_refuse(&x->api, problem);
    if (!piece_is_done(x))
        MHD_suspend_connection(x->connection);
}

/* Taken off the list of the woken. */
static void end_pause(struct svc_exchange *x)
{
    unlink_suspended(x);
    atomic_store_explicit(&x->state, SVC_WAITING, memory_order_release);
    x->api.wants_body = false;
    api_exchange_resume(&x->api);
    if (piece_is_done(x))
        MHD_resume_connection(x->connection);
}

bool svc_exchange_pause_stream(struct svc_exchange *x)
{
    if (!change_wait(x, SVC_SUSPENDED))
        return false;
    x->phase = SVC_PHASE_STREAM_PAUSED;
    link_suspended(x);
    MHD_suspend_connection(x->connection);
    return true;
}

/* Its stream is gone, and with it who would have woken it. */
static void end_stream_pause(struct svc_exchange *x)
{
    if (!change_from(x, SVC_SUSPENDED, SVC_IDLE))
        return; /* woken before: it is on the stack of those */
    unlink_suspended(x);
    x->phase = SVC_PHASE_ANSWERED;
    MHD_resume_connection(x->connection);
}

void svc_exchange_cut_streams(struct svc_loop *loop)
{
    for (struct svc_connection *c = loop->connected; c != NULL; c = c->next) {
        if (c->x == NULL || !svc_reply_cut(c->x))
            continue;
        loop->progress++;
        if (c->x->phase == SVC_PHASE_STREAM_PAUSED)
            end_stream_pause(c->x);
        svc_watch_cut(c);
    }
}

void svc_exchange_reader_left(struct svc_connection *c)
{
    svc_reply_end_early(c->x);
    end_stream_pause(c->x);
    c->loop->progress++;
    svc_watch_cut(c);
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
        } else if (x->phase == SVC_PHASE_PAUSED) {
            end_pause(x);
        } else if (x->phase == SVC_PHASE_STREAM_PAUSED) {
            unlink_suspended(x);
            x->phase = SVC_PHASE_ANSWERED;
            MHD_resume_connection(x->connection);
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

/* ---- the calls of a request ---- */

/* Something came in, and is not answered yet. */
static void note_arrival(struct svc_loop *loop)
{
    loop->progress++;
    loop->arrivals++;
}

static enum MHD_Result on_body(struct svc_exchange *x, const char *bytes,
                               size_t *len)
{
    struct ldb_slice taken = ldb_slice_make(bytes, *len);
    struct api_problem problem;

    note_arrival(x->loop);
    *len = 0;
    if (x->drops_body)
        return svc_body_skip(x, taken.len) ? MHD_YES : MHD_NO;
    if (!svc_body_keep(x, taken, &problem))
        give_piece(x, &problem);
    else if (x->api.body_window != 0 && x->api.body.len >= x->api.body_window)
        give_piece(x, NULL);
    return MHD_YES;
}

static enum MHD_Result reply(struct svc_exchange *x)
{
    return svc_reply_queue(x) ? MHD_YES : MHD_NO;
}

/* The head is here; the body, and 100-continue, are not. */
static enum MHD_Result on_head(struct svc_exchange *x, const char *url,
                               const char *method, const char *version)
{
    struct api_exchange *api = &x->api;
    struct svc_head head = svc_head_read(x, method, url, version);
    const char *wrong;
    bool has_body;

    x->phase = SVC_PHASE_BODY;
    api->header_marks = head.name_marks;
    api->method = svc_head_method(method);
    api->method_text = method;
    api->content_length = API_LENGTH_UNKNOWN;
    if (head.lengths > 0 && !ldb_parse_u64(head.length, &api->content_length))
        api->content_length = API_LENGTH_UNKNOWN;
    if (head.lengths == 0 && head.encodings == 0)
        api->content_length = 0;
    has_body = api->content_length != 0;
    if (!svc_request_identify(x, &head))
        return MHD_NO; /* there was no memory for it */
    wrong = svc_head_judge(x, &head, version);
    if (wrong != NULL) {
        api_answer_problemf(api, API_PROBLEM_MALFORMED, "%s", wrong);
        api->response.close = true;
        /* Where the message ends is in doubt: nothing more is read of it. */
        return reply(x);
    }
    x->began = true;
    api_exchange_begin(api);
    if (!api->response.ready && has_body)
        svc_body_prepare(x);
    if (!api->response.ready)
        return MHD_YES;
    svc_body_refuse(x);
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
    if (x->api.response.ready) {
        atomic_store_explicit(&x->state, SVC_IDLE, memory_order_relaxed);
        return reply(x);
    }
    note_arrival(loop);
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

    if (x == NULL)
        return NULL;
    loop->active++;
    /* The library's own copy changes when it takes the query apart. */
    copy = ldb_arena_dup(&x->arena, target);
    if (copy != NULL)
        svc_head_split_target(x, ldb_slice_make(copy, target.len));
    svc_head_hide_query(uri, target.len);
    svc_watch_begin(x, connection);
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
    if (x == NULL || x->target.data == NULL)
        return MHD_NO; /* there was no memory for it */
    x->connection = connection;
    switch (x->phase) {
    case SVC_PHASE_NEW:
        note_arrival(x->loop);
        return on_head(x, url, method, version);
    case SVC_PHASE_BODY:
        return *len != 0 ? on_body(x, bytes, len) : on_whole(x);
    case SVC_PHASE_WAIT:
        return on_wait(x);
    case SVC_PHASE_PAUSED: /* suspended: the library does not ask */
    case SVC_PHASE_STREAM_PAUSED:
    case SVC_PHASE_ANSWERED:
        break;
    }
    return MHD_YES;
}

/* The daemon stops while x's stream waits. */
static void end_paused_stream(struct svc_exchange *x)
{
    svc_reply_end(x); /* nobody wakes it any more */
    unlink_suspended(x);
    x->connection = NULL;
    if (atomic_load_explicit(&x->state, memory_order_acquire) == SVC_WOKEN)
        x->loop->orphans++; /* still on the stack of those */
    else
        bury(x);
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
    svc_watch_end(x);
    if (x->phase == SVC_PHASE_STREAM_PAUSED) {
        end_paused_stream(x);
        return;
    }
    if (x->phase != SVC_PHASE_WAIT && x->phase != SVC_PHASE_PAUSED) {
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
        free_exchange(x);
    }
    while (loop->spare_count > 0)
        ldb_buf_release(&loop->spare[--loop->spare_count]);
}
