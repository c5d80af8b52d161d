#include "replication/forwarder_http.h"

#include <string.h>

#include "replication/forwarder_http_internal.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

#define CONNECT_TIMEOUT_US UINT64_C(3000000)
#define IDLE_TIMEOUT_US    UINT64_C(60000000)
#define FORWARDS_MAX       1024

#define CONNECTIONS_KEPT 64L

/* Between two looks for what has been idle too long. */
#define LOOK_MS 250

static struct repl_http_forwarder *forwarder_of(struct repl_forwarder *f)
{
    return (struct repl_http_forwarder *)f;
}

static struct repl_http_forward *forward_of(struct repl_forward *forward)
{
    return (struct repl_http_forward *)forward;
}

uint64_t repl_http_forwarder_now_us(const struct repl_http_forwarder *f)
{
    return f->env->ops->monotonic_us(f->env);
}

/* ---- the thread ---- */

/* Out of the multi handle; the caller has it now, or nobody. */
static void finish(struct repl_http_forward *w,
                   enum repl_forward_outcome outcome, const char *why)
{
    struct repl_http_forwarder *f = w->f;
    struct repl_http_forward **link = &f->running;
    bool is_free;

    while (*link != NULL && *link != w)
        link = &(*link)->next_running;
    if (*link != NULL) {
        *link = w->next_running;
        (void)curl_multi_remove_handle(f->multi, w->easy);
    }
    w->outcome = outcome;
    if (outcome != REPL_FORWARD_ANSWERED)
        (void)ldb_error_set(&w->error, LDB_IO, "%.150s: %.100s", w->url, why);
    ldb_mutex_lock(&w->f->mu);
    w->state = REPL_FORWARD_STATE_OVER;
    is_free = w->is_closed && !w->is_listed;
    repl_http_forward_tell(w);
    ldb_mutex_unlock(&w->f->mu);
    if (is_free)
        repl_http_forward_destroy(w);
}

static enum repl_forward_outcome not_answered(const struct repl_http_forward *w)
{
    return w->is_sent ? REPL_FORWARD_UNKNOWN : REPL_FORWARD_NOT_SENT;
}

static void begin_transfer(struct repl_http_forward *w)
{
    CURLcode rc = repl_http_forward_set_up(w);

    w->moved_us = repl_http_forwarder_now_us(w->f);
    if (rc != CURLE_OK ||
        curl_multi_add_handle(w->f->multi, w->easy) != CURLM_OK) {
        finish(w, REPL_FORWARD_NOT_SENT,
               rc == CURLE_OK ? "libcurl does not take it"
                              : curl_easy_strerror(rc));
        return;
    }
    w->next_running = w->f->running;
    w->f->running = w;
}

/* What an item of the list is about; w may be gone when it is over and not
 * closed. */
struct listed {
    struct repl_http_forward *w;
    enum repl_forward_state state;
    bool is_closed;
    bool goes_on;
};

/* Takes the next one off. False: there is none. */
static bool pop_listed(struct repl_http_forwarder *f, struct listed *out)
{
    struct repl_http_forward *w;

    ldb_mutex_lock(&f->mu);
    w = f->listed;
    if (w != NULL) {
        f->listed = w->next_listed;
        w->is_listed = false;
        *out = (struct listed){
            .w = w,
            .state = w->state,
            .is_closed = w->is_closed,
            .goes_on = w->is_paused && (w->at < w->piece.len || w->is_end),
        };
        if (w->state == REPL_FORWARD_STATE_QUEUED)
            w->state = REPL_FORWARD_STATE_RUNNING;
    }
    ldb_mutex_unlock(&f->mu);
    return w != NULL;
}

/* One whose caller has done something. Until it is over it is not freed but
 * here. */
static void look_at(const struct listed *item)
{
    struct repl_http_forward *w = item->w;

    if (item->is_closed && item->state == REPL_FORWARD_STATE_OVER) {
        repl_http_forward_destroy(w);
    } else if (item->is_closed) {
        finish(w, not_answered(w), "closed");
    } else if (item->state == REPL_FORWARD_STATE_QUEUED) {
        begin_transfer(w);
    } else if (item->state == REPL_FORWARD_STATE_RUNNING && item->goes_on) {
        w->moved_us = repl_http_forwarder_now_us(w->f);
        (void)curl_easy_pause(w->easy, CURLPAUSE_CONT);
    }
}

/* False: it is over. */
static bool take_listed(struct repl_http_forwarder *f)
{
    struct listed item;
    bool is_ended;

    while (pop_listed(f, &item))
        look_at(&item);
    ldb_mutex_lock(&f->mu);
    is_ended = f->is_ended;
    ldb_mutex_unlock(&f->mu);
    return !is_ended;
}

static void take_results(struct repl_http_forwarder *f)
{
    const CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(f->multi, &left)) != NULL) {
        CURLcode rc = message->data.result;
        struct repl_http_forward *w = NULL;
        long status = 0;

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &w);
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE,
                                &status);
        w->answer.status = (unsigned)status;
        if (rc == CURLE_OK && status >= 200)
            finish(w, REPL_FORWARD_ANSWERED, "");
        else if (w->is_too_long)
            finish(w, REPL_FORWARD_UNKNOWN, "its answer is too long");
        else
            finish(w, not_answered(w),
                   w->error_text[0] != '\0' ? w->error_text
                                            : curl_easy_strerror(rc));
    }
}

/* It is not for the client to send, and nothing has moved. */
static bool is_stuck(struct repl_http_forward *w, uint64_t now)
{
    bool is_clients_turn;

    ldb_mutex_lock(&w->f->mu);
    is_clients_turn = w->is_paused && w->at == w->piece.len && !w->is_end;
    ldb_mutex_unlock(&w->f->mu);
    return !is_clients_turn && now - w->moved_us >= w->f->idle_us;
}

static void end_stuck(struct repl_http_forwarder *f)
{
    uint64_t now = repl_http_forwarder_now_us(f);
    struct repl_http_forward *next;

    for (struct repl_http_forward *w = f->running; w != NULL; w = next) {
        next = w->next_running;
        if (is_stuck(w, now))
            finish(w, not_answered(w), "it has been silent for too long");
    }
}

static void run(void *context)
{
    struct repl_http_forwarder *f = context;
    int running;

    while (take_listed(f)) {
        (void)curl_multi_perform(f->multi, &running);
        take_results(f);
        end_stuck(f);
        (void)curl_multi_poll(f->multi, NULL, 0,
                              f->running == NULL ? 60000 : LOOK_MS, NULL);
    }
    while (f->running != NULL)
        finish(f->running, not_answered(f->running), "this node stops");
}

/* ---- what callers call ---- */

/* The thread is to look at it. */
static void list(struct repl_http_forward *w) LDB_REQUIRES(w->f->mu)
{
    if (!w->is_listed) {
        w->is_listed = true;
        w->next_listed = w->f->listed;
        w->f->listed = w;
    }
    (void)curl_multi_wakeup(w->f->multi);
}

static enum ldb_status begin(struct repl_forwarder *base,
                             const struct repl_forward_request *request,
                             struct ldb_error *err, struct repl_forward **out)
{
    struct repl_http_forwarder *f = forwarder_of(base);
    struct repl_http_forward *w = repl_http_forward_create(f, request);
    enum ldb_status s = LDB_OK;

    if (w == NULL)
        return ldb_error_no_memory(err);
    ldb_mutex_lock(&w->f->mu);
    if (f->is_ended)
        s = ldb_error_set(err, LDB_CLOSED, "this node stops");
    else if (f->count >= f->forwards_max)
        s = ldb_error_set(err, LDB_STALLED,
                          "%u requests are on their way to the leader already",
                          f->count);
    else
        list(w);
    f->count++;
    ldb_mutex_unlock(&w->f->mu);
    if (s == LDB_OK)
        *out = &w->base;
    else
        repl_http_forward_destroy(w);
    return s;
}

/* What the caller is told; he waits in the first case. */
static enum repl_forward_step say(struct repl_http_forward *w, bool is_used)
    LDB_REQUIRES(w->f->mu)
{
    if (w->state == REPL_FORWARD_STATE_OVER)
        return REPL_FORWARD_OVER;
    if (is_used)
        return REPL_FORWARD_MORE;
    w->has_waiter = true;
    return REPL_FORWARD_WAITS;
}

static enum repl_forward_step give(struct repl_forward *base,
                                   struct ldb_buf *piece)
{
    struct repl_http_forward *w = forward_of(base);
    enum repl_forward_step step;

    ldb_mutex_lock(&w->f->mu);
    assert(!w->is_end && !w->has_waiter && w->at == w->piece.len);
    ldb_buf_release(&w->piece);
    w->piece = *piece;
    w->at = 0;
    *piece = (struct ldb_buf)LDB_BUF_INIT(piece->limit);
    if (w->state != REPL_FORWARD_STATE_OVER)
        list(w);
    step = say(w, false);
    ldb_mutex_unlock(&w->f->mu);
    return step;
}

static enum repl_forward_step end(struct repl_forward *base)
{
    struct repl_http_forward *w = forward_of(base);
    enum repl_forward_step step;

    ldb_mutex_lock(&w->f->mu);
    assert(!w->has_waiter);
    w->is_end = true;
    if (w->state != REPL_FORWARD_STATE_OVER)
        list(w);
    step = say(w, false);
    ldb_mutex_unlock(&w->f->mu);
    return step;
}

static enum repl_forward_step step(struct repl_forward *base)
{
    struct repl_http_forward *w = forward_of(base);
    enum repl_forward_step said;

    ldb_mutex_lock(&w->f->mu);
    said = say(w, !w->is_end && w->at == w->piece.len);
    ldb_mutex_unlock(&w->f->mu);
    return said;
}

static enum repl_forward_outcome outcome(struct repl_forward *base,
                                         struct ldb_error *error,
                                         struct repl_forward_answer **out)
{
    struct repl_http_forward *w = forward_of(base);

    assert(w->state == REPL_FORWARD_STATE_OVER);
    if (error != NULL)
        *error = w->error;
    *out = &w->answer;
    return w->outcome;
}

static void close_forward(struct repl_forward *base)
{
    struct repl_http_forward *w = forward_of(base);
    bool is_free;

    ldb_mutex_lock(&w->f->mu);
    w->has_waiter = false;
    is_free = w->state == REPL_FORWARD_STATE_OVER && !w->is_listed;
    w->is_closed = true;
    if (!is_free)
        list(w); /* the thread frees it, once mu is free */
    ldb_mutex_unlock(&w->f->mu);
    if (is_free)
        repl_http_forward_destroy(w);
}

static const struct repl_forwarder_ops http_ops = {
    .begin = begin,
    .give = give,
    .end = end,
    .step = step,
    .outcome = outcome,
    .close = close_forward,
};

/* ---- the forwarder ---- */

/* out is NULL when text is; false: no memory. */
static bool copy_text(const char *text, char **out)
{
    *out = text == NULL ? NULL : ldb_mem_strdup(text);
    return text == NULL || *out != NULL;
}

enum ldb_status
repl_forwarder_http_create(const struct repl_forwarder_http_options *options,
                           struct ldb_error *err, struct repl_forwarder **out)
{
    uint64_t connect_us = options->connect_timeout_us;
    struct repl_http_forwarder *f = ldb_mem_zalloc(1, sizeof *f);
    enum ldb_status s = LDB_OK;

    if (f == NULL)
        return ldb_error_no_memory(err);
    f->base.ops = &http_ops;
    f->env = options->env;
    f->connect_ms =
        (long)((connect_us == 0 ? CONNECT_TIMEOUT_US : connect_us) / 1000);
    f->idle_us = options->idle_timeout_us == 0 ? IDLE_TIMEOUT_US
                                               : options->idle_timeout_us;
    f->forwards_max =
        options->forwards_max == 0 ? FORWARDS_MAX : options->forwards_max;
    ldb_mutex_init(&f->mu);
    f->multi = curl_multi_init();
    if (!copy_text(options->ca_file, &f->ca_file) ||
        !copy_text(options->cert_file, &f->cert_file) ||
        !copy_text(options->key_file, &f->key_file) || f->multi == NULL ||
        curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT) !=
            CURLM_OK)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = f->env->ops->thread_start(f->env, "forwarder", run, f, err,
                                      &f->thread);
    if (s == LDB_OK)
        *out = &f->base;
    else
        repl_forwarder_http_destroy(&f->base);
    return s;
}

void repl_forwarder_http_end(struct repl_forwarder *forwarder)
{
    struct repl_http_forwarder *f = forwarder_of(forwarder);
    struct ldb_thread *thread = f->thread;

    f->thread = NULL;
    if (thread == NULL)
        return;
    ldb_mutex_lock(&f->mu);
    f->is_ended = true;
    (void)curl_multi_wakeup(f->multi);
    ldb_mutex_unlock(&f->mu);
    f->env->ops->thread_join(f->env, thread);
}

void repl_forwarder_http_destroy(struct repl_forwarder *forwarder)
{
    struct repl_http_forwarder *f = forwarder_of(forwarder);

    if (f == NULL)
        return;
    repl_forwarder_http_end(forwarder);
    /* Closed since: the thread was to free them. */
    (void)take_listed(f);
    assert(f->count == 0);
    if (f->multi != NULL)
        (void)curl_multi_cleanup(f->multi);
    ldb_mutex_release(&f->mu);
    ldb_mem_free(f->ca_file);
    ldb_mem_free(f->cert_file);
    ldb_mem_free(f->key_file);
    ldb_mem_free(f);
}
