#include "replication/transport_http.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "replication/http_answer.h"
#include "replication/refusal.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

#define FILES_PATH "/v1/replication/files/"

/* A problem body is short; what is longer is not read for its reason. */
#define REFUSAL_BYTES_MAX ((size_t)64 << 10)

/* Longest wait for libcurl before all is looked at again. */
#define WAIT_US_MAX UINT64_C(1000000)

struct http_peer {
    struct repl_peer base;            /* first: cast back from it */
    struct repl_http_options options; /* a copy of our own */
    char *url;                        /* without a slash at its end */
    char *authorization;              /* a header; NULL: none */
    bool is_curl_begun;
};

/*
 * Locking: is_interrupted is atomic, and multi takes a wake-up from any thread;
 * the rest is the caller's.
 */
struct http_transport {
    struct repl_transport base; /* first: cast back from it */
    struct http_peer *peer;
    CURL *easy; /* NULL: none yet, or the last one has failed */
    CURLM *multi;
    atomic_bool is_interrupted; /* relaxed: the wake-up orders */
    char reason[CURL_ERROR_SIZE];
};

/* One request and what has come of it; on its caller's stack. */
struct request {
    struct http_transport *t;
    char *url;
    struct curl_slist *headers;
    struct ldb_slice body;          /* of a POST; else data NULL */
    struct ldb_buf *document;       /* where the answer goes; NULL: a file */
    struct repl_http_wanted wanted; /* of a file */
    const struct repl_get *get;     /* NULL: HEAD, or a document */

    struct ldb_error *err;
    enum ldb_status status; /* what failed in a function of libcurl's calling */
    struct repl_http_answer answer;
    struct ldb_buf refusal; /* body of an answer that is no success */

    /* Time, monotonic. */
    uint64_t begun_us;
    uint64_t last_byte_us;
    uint64_t period_us;    /* since when the speed is measured */
    uint64_t period_bytes; /* that came since */
    bool has_given;        /* bytes, since it was dry the last time */
    uint64_t given;        /* of a file, all in all */
    bool is_enough;        /* so many were asked for; the rest is cut off */
};

static uint64_t now_us(const struct request *r)
{
    struct ldb_env *env = r->t->peer->options.env;

    return env->ops->monotonic_us(env);
}

/* ---- what comes ---- */

/* Ends the transfer, which then has that status. */
static size_t fail(struct request *r, enum ldb_status status)
{
    r->status = status;
    return 0;
}

static enum ldb_status end_of_head(struct request *r)
{
    enum ldb_status s;

    r->last_byte_us = now_us(r);
    r->period_us = r->last_byte_us;
    if (!repl_http_answer_is_success(&r->answer))
        return LDB_OK;
    if (r->document != NULL)
        s = repl_http_answer_check(&r->answer, r->err);
    else
        s = repl_http_answer_check_file(&r->answer, &r->wanted, r->err);
    if (s != LDB_OK)
        return ldb_error_prefix(r->err, s, "%s", r->url);
    return r->get == NULL
               ? LDB_OK
               : r->get->head(r->get->context, &r->answer.head, r->err);
}

/* One line of the head. Called by libcurl, as the next. */
static size_t on_header(char *text, size_t size, size_t count, void *context)
{
    struct request *r = context;
    struct ldb_slice line = ldb_slice_make(text, size * count);
    bool was_whole = r->answer.is_whole;
    enum ldb_status s = repl_http_answer_line(&r->answer, line, r->err);

    if (s != LDB_OK)
        return fail(r, ldb_error_prefix(r->err, s, "%s", r->url));
    if (!was_whole && r->answer.is_whole)
        s = end_of_head(r);
    return s == LDB_OK ? line.len : fail(r, s);
}

static enum ldb_status take_document(struct request *r, struct ldb_slice piece)
{
    enum ldb_status s = ldb_buf_append(r->document, piece);

    return s == LDB_OK ? s
                       : ldb_error_set(r->err, s, "%s: the answer: %s", r->url,
                                       ldb_status_text(s));
}

/* A server that knows of no ranges sends more than was asked for. */
static enum ldb_status give(struct request *r, struct ldb_slice piece)
{
    uint64_t left = r->wanted.count - r->given;
    bool is_more = r->wanted.count > 0 && piece.len > left;
    enum ldb_status s = LDB_OK;

    if (is_more)
        piece.len = (size_t)left;
    r->has_given = true;
    r->given += piece.len;
    if (piece.len > 0)
        s = r->get->bytes(r->get->context, piece, r->err);
    r->is_enough = s == LDB_OK && is_more;
    return r->is_enough ? LDB_CANCELLED : s;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *context)
{
    struct request *r = context;
    struct ldb_slice piece = ldb_slice_make(bytes, size * count);
    uint64_t began_us = now_us(r);
    enum ldb_status s = LDB_OK;

    if (!r->answer.is_whole) {
        s = ldb_error_set(r->err, LDB_IO, "%s: a body without a head", r->url);
    } else if (!repl_http_answer_is_success(&r->answer)) {
        /* Too long for a problem body: its status has to do. */
        if (ldb_buf_append(&r->refusal, piece) != LDB_OK)
            ldb_buf_clear(&r->refusal);
    } else if (r->document != NULL) {
        s = take_document(r, piece);
    } else if (r->get != NULL) {
        s = give(r, piece);
    }
    r->period_bytes += piece.len;
    r->last_byte_us = now_us(r);
    r->period_us += r->last_byte_us - began_us; /* what was ours */
    return s == LDB_OK ? piece.len : fail(r, s);
}

/* ---- what is sent ---- */

/* Whether bytes of a document's request have gone out. */
static bool is_sent(const struct request *r)
{
    long bytes = 0;

    return r->document == NULL ||
           curl_easy_getinfo(r->t->easy, CURLINFO_REQUEST_SIZE, &bytes) !=
               CURLE_OK ||
           bytes > 0;
}

static enum ldb_status curl_error(const struct request *r, CURLcode code)
{
    if (code == CURLE_OUT_OF_MEMORY)
        return ldb_error_no_memory(r->err);
    return ldb_error_set(
        r->err, is_sent(r) ? LDB_IO : LDB_STALLED, "%s: %s", r->url,
        r->t->reason[0] != '\0' ? r->t->reason : curl_easy_strerror(code));
}

static bool add_header(struct request *r, const char *header)
{
    struct curl_slist *longer = curl_slist_append(r->headers, header);

    if (longer != NULL)
        r->headers = longer;
    return longer != NULL;
}

static bool add_headers(struct request *r)
{
    const char *authorization = r->t->peer->authorization;

    return add_header(r, "User-Agent: leveld") &&
           (authorization == NULL || add_header(r, authorization)) &&
           (r->document == NULL || add_header(r, "Accept: application/json")) &&
           (r->body.data == NULL ||
            (add_header(r, "Content-Type: application/json") &&
             add_header(r, "Expect:"))); /* no 100 is waited for */
}

static CURLcode set_request(struct request *r)
{
    CURL *easy = r->t->easy;
    CURLcode code = CURLE_OK;
    char range[48];

#define SET(option, value)                                                     \
    (code = code != CURLE_OK ? code : curl_easy_setopt(easy, option, value))
    SET(CURLOPT_URL, r->url);
    SET(CURLOPT_HTTPHEADER, r->headers);
    SET(CURLOPT_ERRORBUFFER, r->t->reason);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, r);
    SET(CURLOPT_WRITEFUNCTION, on_bytes);
    SET(CURLOPT_WRITEDATA, r);
    if (r->wanted.is_head_alone)
        SET(CURLOPT_NOBODY, 1L);
    if (r->body.data != NULL) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        SET(CURLOPT_POSTFIELDS, (const char *)r->body.data);
    }
    if (r->wanted.count > 0) {
        (void)snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64,
                       r->wanted.from, r->wanted.from + (r->wanted.count - 1));
        SET(CURLOPT_RANGE, range); /* copied */
    } else if (!r->wanted.follow && r->wanted.from > 0) {
        (void)snprintf(range, sizeof(range), "%" PRIu64 "-", r->wanted.from);
        SET(CURLOPT_RANGE, range);
    }
#undef SET
    return code;
}

static enum ldb_status prepare(struct request *r)
{
    struct http_transport *t = r->t;
    CURLcode code;

    if (t->easy == NULL)
        t->easy = curl_easy_init();
    if (t->easy == NULL || !add_headers(r))
        return ldb_error_no_memory(r->err);
    t->reason[0] = '\0';
    /* All anew, so that nothing is left of the last one; the connection is. */
    curl_easy_reset(t->easy);
    code = (CURLcode)repl_http_options_apply(&t->peer->options, t->easy);
    if (code == CURLE_OK)
        code = set_request(r);
    return code == CURLE_OK ? LDB_OK : curl_error(r, code);
}

/* ---- one request ---- */

static bool is_interrupted(struct http_transport *t)
{
    return atomic_load_explicit(&t->is_interrupted, memory_order_relaxed);
}

static enum ldb_status interrupted(const struct request *r)
{
    return ldb_error_set(r->err, LDB_CANCELLED, "%s: interrupted", r->url);
}

static enum ldb_status multi_error(const struct request *r, CURLMcode code)
{
    if (code == CURLM_OUT_OF_MEMORY)
        return ldb_error_no_memory(r->err);
    return ldb_error_set(r->err, LDB_IO, "%s: %s", r->url,
                         curl_multi_strerror(code));
}

static uint64_t left_of(uint64_t limit_us, uint64_t since_us, uint64_t now)
{
    /* since can lie ahead of now: a function of the caller's has just ended. */
    if (now <= since_us)
        return limit_us;
    return now - since_us >= limit_us ? 0 : limit_us - (now - since_us);
}

static enum ldb_status check_speed(struct request *r, uint64_t now,
                                   uint64_t *out_left_us)
{
    const struct repl_http_options *o = &r->t->peer->options;

    *out_left_us = left_of(o->low_speed_us, r->period_us, now);
    if (*out_left_us > 0)
        return LDB_OK;
    /* Both sides in bytes times microseconds a second; neither overflows. */
    if ((double)r->period_bytes * 1e6 <
        (double)o->low_speed_bytes * (double)o->low_speed_us)
        return ldb_error_set(
            r->err, LDB_IO,
            "%s: slower than %" PRIu64 " bytes a second for %" PRIu64 " ms",
            r->url, o->low_speed_bytes, o->low_speed_us / 1000);
    r->period_us = now;
    r->period_bytes = 0;
    *out_left_us = o->low_speed_us;
    return LDB_OK;
}

/*
 * Looks at the clock when nothing is at hand. out_left_us: until it has to be
 * looked at again. out_is_over: no byte for as long as one is waited for.
 */
static enum ldb_status check_time(struct request *r, uint64_t *out_left_us,
                                  bool *out_is_over)
{
    const struct repl_http_options *o = &r->t->peer->options;
    uint64_t now = now_us(r);

    if (!r->answer.is_whole) {
        uint64_t limit_us =
            r->wanted.is_head_alone ? o->digest_timeout_us : o->head_timeout_us;

        *out_left_us = left_of(limit_us, r->begun_us, now);
        if (*out_left_us > 0)
            return LDB_OK;
        return ldb_error_set(r->err, LDB_IO,
                             "%s: no answer within %" PRIu64 " ms", r->url,
                             limit_us / 1000);
    }
    if (!r->wanted.follow || !repl_http_answer_is_success(&r->answer))
        return check_speed(r, now, out_left_us);
    *out_left_us = WAIT_US_MAX;
    if (r->get->idle_us > 0) {
        *out_left_us = left_of(r->get->idle_us, r->last_byte_us, now);
        *out_is_over = *out_left_us == 0;
    }
    return LDB_OK;
}

/* Tells the caller that all was given that came, unless more is at hand. */
static enum ldb_status tell_dry(struct request *r, bool *out_has_more)
{
    int ready = 0;
    CURLMcode code;

    if (!r->has_given || r->get->dry == NULL)
        return LDB_OK;
    code = curl_multi_poll(r->t->multi, NULL, 0, 0, &ready);
    if (code != CURLM_OK)
        return multi_error(r, code);
    *out_has_more = ready > 0;
    if (ready > 0)
        return LDB_OK;
    r->has_given = false;
    return r->get->dry(r->get->context, r->err);
}

/* Waits until libcurl has something to do. */
static enum ldb_status wait_for_more(struct request *r, bool *out_is_over)
{
    bool has_more = false;
    uint64_t left_us = 0;
    CURLMcode code;
    enum ldb_status s = tell_dry(r, &has_more);

    if (s != LDB_OK || has_more)
        return s;
    /* Its wake-up may have gone to the look at what is at hand. */
    if (is_interrupted(r->t))
        return interrupted(r);
    s = check_time(r, &left_us, out_is_over);
    if (s != LDB_OK || *out_is_over)
        return s;
    if (left_us > WAIT_US_MAX)
        left_us = WAIT_US_MAX;
    /* Rounded up: else the last part of a millisecond is spent asking. */
    code =
        curl_multi_poll(r->t->multi, NULL, 0, (int)(left_us / 1000) + 1, NULL);
    return code == CURLM_OK ? LDB_OK : multi_error(r, code);
}

/* The transfer has ended by itself. */
static enum ldb_status result_of(struct request *r)
{
    CURLMsg *message;
    int left = 0;

    while ((message = curl_multi_info_read(r->t->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE || message->easy_handle != r->t->easy)
            continue;
        if (message->data.result != CURLE_OK)
            return curl_error(r, message->data.result);
        /* A head that was cut is no error to libcurl. */
        if (r->answer.is_whole)
            return LDB_OK;
        break;
    }
    return ldb_error_set(r->err, LDB_IO, "%s: the answer is not whole", r->url);
}

static enum ldb_status transfer(struct request *r)
{
    bool is_over = false;
    int running = 1;
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && !is_over) {
        CURLMcode code = curl_multi_perform(r->t->multi, &running);

        if (is_interrupted(r->t))
            s = interrupted(r);
        else if (code != CURLM_OK)
            s = multi_error(r, code);
        else if (r->status != LDB_OK)
            s = r->status; /* err has it */
        else if (running == 0)
            return result_of(r);
        else
            s = wait_for_more(r, &is_over);
    }
    return s;
}

/* OK: an answer came, and all of it. */
static enum ldb_status run(struct request *r)
{
    CURLMcode code;
    enum ldb_status s;

    if (r->url == NULL)
        return ldb_error_no_memory(r->err);
    if (is_interrupted(r->t))
        return interrupted(r);
    s = prepare(r);
    if (s != LDB_OK)
        return s;
    r->begun_us = now_us(r);
    code = curl_multi_add_handle(r->t->multi, r->t->easy);
    if (code != CURLM_OK)
        return multi_error(r, code);
    s = transfer(r);
    /* When it has not ended, its connection goes with it. */
    (void)curl_multi_remove_handle(r->t->multi, r->t->easy);
    /* One that failed before it had a connection keeps its buffer, and libcurl
     * then refuses CURLOPT_BUFFERSIZE for ever. */
    if (s != LDB_OK) {
        curl_easy_cleanup(r->t->easy);
        r->t->easy = NULL;
    }
    return s;
}

static void init(struct request *r, struct repl_transport *base,
                 struct ldb_error *err)
{
    *r = (struct request){
        .t = (struct http_transport *)base,
        .refusal = LDB_BUF_INIT(REFUSAL_BYTES_MAX),
        .err = err,
    };
}

static void release(struct request *r)
{
    curl_slist_free_all(r->headers);
    ldb_buf_release(&r->refusal);
    ldb_mem_free(r->url);
}

/* ---- the transport ---- */

static enum ldb_status http_call(struct repl_transport *base, const char *path,
                                 struct ldb_slice body, struct ldb_error *err,
                                 struct ldb_buf *out, unsigned *out_http)
{
    struct request r;
    enum ldb_status s;

    init(&r, base, err);
    ldb_buf_clear(out);
    r.body = body;
    r.document = out;
    r.url = ldb_mem_printf("%s%s", r.t->peer->url, path);
    s = run(&r);
    /* One that does not fit is as good as one that is too long. */
    if (s == LDB_OK && !repl_http_answer_is_success(&r.answer) &&
        ldb_buf_append(out, ldb_slice_of_buf(&r.refusal)) == LDB_NO_MEMORY)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        *out_http = r.answer.http;
    release(&r);
    return s;
}

/* Whether the name stands for itself in a URL; in a folder it may lead into
 * another one. */
static bool is_plain(const char *name, bool is_folder)
{
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz0123456789.-_/");

    return len > 0 && name[len] == '\0' && name[0] != '.' && name[0] != '/' &&
           strstr(name, "/.") == NULL &&
           (is_folder || strchr(name, '/') == NULL);
}

static char *file_url(const struct request *r, const char *name)
{
    const struct http_peer *peer = r->t->peer;

    if (peer->options.is_folder)
        return ldb_mem_printf("%s/%s", peer->url, name);
    if (r->wanted.follow)
        return ldb_mem_printf("%s" FILES_PATH "%s?from=%" PRIu64 "&follow=true",
                              peer->url, name, r->wanted.from);
    return ldb_mem_printf("%s" FILES_PATH "%s", peer->url, name);
}

/* A request for a file; what it asks for is set. */
static enum ldb_status run_file(struct request *r, const char *name)
{
    bool is_folder = r->t->peer->options.is_folder;
    struct repl_refusal refusal;
    enum ldb_status s;

    if (!is_plain(name, is_folder))
        return ldb_error_set(r->err, LDB_NOT_FOUND, "%s is no name of a file",
                             name);
    if (is_folder && r->wanted.follow)
        return ldb_error_set(r->err, LDB_INVALID_ARGUMENT,
                             "%s: a folder does not tell what comes", name);
    r->url = file_url(r, name);
    s = run(r);
    if (r->is_enough)
        return LDB_OK;
    if (s != LDB_OK || repl_http_answer_is_success(&r->answer) ||
        repl_http_answer_is_at_end(&r->answer, &r->wanted))
        return s;
    repl_refusal_read(r->answer.http, ldb_slice_of_buf(&r->refusal), &refusal);
    return repl_refusal_file_error(&refusal, name, r->err);
}

static enum ldb_status http_head(struct repl_transport *base, const char *name,
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

static enum ldb_status http_get(struct repl_transport *base,
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
    r.wanted.count = get->count;
    s = run_file(&r, get->name);
    is_at_end = s == LDB_OK && repl_http_answer_is_at_end(&r.answer, &r.wanted);
    release(&r);
    if (!is_at_end)
        return s;
    /* A refusal has no head of the file. */
    s = http_head(base, get->name, err, &head);
    return s == LDB_OK ? get->head(get->context, &head, err) : s;
}

static void http_interrupt(struct repl_transport *base)
{
    struct http_transport *t = (struct http_transport *)base;

    atomic_store_explicit(&t->is_interrupted, true, memory_order_relaxed);
    /* One that fails finds others under way. */
    (void)curl_multi_wakeup(t->multi);
}

static void http_destroy(struct repl_transport *base)
{
    struct http_transport *t = (struct http_transport *)base;

    curl_easy_cleanup(t->easy);
    if (t->multi != NULL)
        (void)curl_multi_cleanup(t->multi); /* fails for no multi alone */
    ldb_mem_free(t);
}

static const struct repl_transport_ops http_ops = {
    .call = http_call,
    .get = http_get,
    .head = http_head,
    .interrupt = http_interrupt,
    .destroy = http_destroy,
};

static enum ldb_status http_open(struct repl_peer *base, struct ldb_error *err,
                                 struct repl_transport **out)
{
    struct http_transport *t = ldb_mem_zalloc(1, sizeof(*t));

    if (t == NULL)
        return ldb_error_no_memory(err);
    t->base.ops = &http_ops;
    t->peer = (struct http_peer *)base;
    atomic_init(&t->is_interrupted, false);
    t->multi = curl_multi_init();
    if (t->multi == NULL ||
        curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK) {
        http_destroy(&t->base);
        return ldb_error_no_memory(err);
    }
    *out = &t->base;
    return LDB_OK;
}

/* ---- the peer ---- */

static char *copy_without_slash(const char *url)
{
    size_t len = strlen(url);

    if (len > 0 && url[len - 1] == '/')
        len--;
    return ldb_mem_printf("%.*s", (int)len, url);
}

static void http_peer_destroy(struct repl_peer *base)
{
    struct http_peer *peer = (struct http_peer *)base;

    if (peer->is_curl_begun)
        curl_global_cleanup();
    repl_http_options_release(&peer->options);
    ldb_mem_free(peer->authorization);
    ldb_mem_free(peer->url);
    ldb_mem_free(peer);
}

enum ldb_status repl_http_peer_create(const struct repl_http_options *options,
                                      struct ldb_error *err,
                                      struct repl_peer **out)
{
    struct http_peer *peer = NULL;
    enum ldb_status s = repl_http_options_check(options, err);

    if (s != LDB_OK)
        return s;
    peer = ldb_mem_zalloc(1, sizeof(*peer));
    if (peer == NULL)
        return ldb_error_no_memory(err);
    peer->base.open = http_open;
    peer->base.destroy = http_peer_destroy;
    s = repl_http_options_copy(options, err, &peer->options);
    /* libcurl counts these, from any thread. */
    if (s == LDB_OK)
        peer->is_curl_begun = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (s == LDB_OK)
        peer->url = copy_without_slash(options->url);
    if (s == LDB_OK && options->token != NULL)
        peer->authorization =
            ldb_mem_printf("Authorization: Bearer %s", options->token);
    if (s == LDB_OK &&
        (!peer->is_curl_begun || peer->url == NULL ||
         (options->token != NULL && peer->authorization == NULL)))
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        *out = &peer->base;
    else
        http_peer_destroy(&peer->base);
    return s;
}
