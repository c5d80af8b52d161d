#include <ctype.h>
#include <string.h>

#include "replication/forwarder_http_internal.h"
#include "replication/http_options.h"
#include "storage/base/mem.h"
#include "storage/base/slice.h"

/* Kept connections that are older are not used again. Chosen: well below the
 * time that servers keep idle ones, so that a request hardly meets one that is
 * being closed. */
#define CONNECTION_AGE_S 10L

/* ---- making and freeing ---- */

void repl_http_forward_destroy(struct repl_http_forward *w)
{
    struct repl_http_forwarder *f = w->f;

    if (w->easy != NULL)
        curl_easy_cleanup(w->easy);
    curl_slist_free_all(w->headers);
    ldb_buf_release(&w->piece);
    ldb_buf_release(&w->answer.headers);
    ldb_buf_release(&w->answer.body);
    ldb_mem_free(w->url);
    ldb_mem_free(w->method);
    ldb_mem_free(w->target);
    ldb_mem_free(w);
    ldb_mutex_lock(&f->mu);
    f->count--;
    ldb_mutex_unlock(&f->mu);
}

static bool add_header(struct repl_http_forward *w, char *line)
{
    struct curl_slist *more;

    if (line == NULL)
        return false;
    more = curl_slist_append(w->headers, line);
    ldb_mem_free(line);
    if (more != NULL)
        w->headers = more;
    return more != NULL;
}

static bool copy_headers(struct repl_http_forward *w,
                         const struct repl_forward_request *request)
{
    for (size_t i = 0; i < request->header_count; i++) {
        const struct repl_forward_header *h = &request->headers[i];

        /* A name with an empty value is said by ';', or it is left out. */
        if (!add_header(w, h->value.len == 0
                               ? ldb_mem_printf("%s;", h->name)
                               : ldb_mem_printf("%s: %.*s", h->name,
                                                (int)h->value.len,
                                                (const char *)h->value.data)))
            return false;
    }
    /* Those that libcurl would add by itself. */
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->headers[i].name, "Accept") == 0)
            return true;
    }
    return add_header(w, ldb_mem_printf("Accept:"));
}

struct repl_http_forward *
repl_http_forward_create(struct repl_http_forwarder *f,
                         const struct repl_forward_request *request)
{
    struct repl_http_forward *w = ldb_mem_zalloc(1, sizeof *w);

    if (w == NULL)
        return NULL;
    w->base.forwarder = &f->base;
    w->f = f;
    w->has_body = request->has_body;
    w->body_len = request->body_len;
    w->wake = request->wake;
    w->context = request->context;
    w->is_end = !request->has_body;
    w->answer.headers = (struct ldb_buf)LDB_BUF_INIT(REPL_FORWARD_HEAD_MAX);
    w->answer.body = (struct ldb_buf)LDB_BUF_INIT(REPL_FORWARD_BODY_MAX);
    w->url = ldb_mem_strdup(request->url);
    w->method = ldb_mem_strdup(request->method);
    w->target = ldb_mem_printf("%.*s", (int)request->target.len,
                               (const char *)request->target.data);
    w->easy = curl_easy_init();
    if (w->url != NULL && w->method != NULL && w->target != NULL &&
        w->easy != NULL && copy_headers(w, request))
        return w;
    ldb_mutex_lock(&f->mu);
    f->count++; /* repl_http_forward_destroy() takes it back */
    ldb_mutex_unlock(&f->mu);
    repl_http_forward_destroy(w);
    return NULL;
}

/* ---- what libcurl calls, on the thread ---- */

void repl_http_forward_tell(struct repl_http_forward *w)
{
    if (!w->has_waiter)
        return;
    w->has_waiter = false;
    w->wake(w->context);
}

static size_t give_body(char *out, size_t size, size_t count, void *context)
{
    struct repl_http_forward *w = context;
    size_t max = size * count;
    size_t len;

    w->moved_us = repl_http_forwarder_now_us(w->f);
    ldb_mutex_lock(&w->f->mu);
    len = w->piece.len - w->at;
    if (len > max)
        len = max;
    if (len > 0)
        memcpy(out, w->piece.data + w->at, len);
    w->at += len;
    if (w->at == w->piece.len && !w->is_end)
        repl_http_forward_tell(w); /* the next one, while this one is sent */
    w->is_paused = len == 0 && !w->is_end;
    ldb_mutex_unlock(&w->f->mu);
    return len == 0 && !w->is_end ? CURL_READFUNC_PAUSE : len;
}

static bool keep(struct repl_http_forward *w, struct ldb_buf *to,
                 struct ldb_slice bytes)
{
    w->moved_us = repl_http_forwarder_now_us(w->f);
    if (ldb_buf_append(to, bytes) == LDB_OK)
        return true;
    w->is_too_long = true;
    return false;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct repl_http_forward *w = context;
    size_t len = size * count;

    return keep(w, &w->answer.body, ldb_slice_make(bytes, len)) ? len : 0;
}

/* "Name: value\r\n", or the status line, which begins a new head. */
static size_t take_header(char *line, size_t size, size_t count, void *context)
{
    struct repl_http_forward *w = context;
    struct ldb_buf *to = &w->answer.headers;
    size_t all = size * count;
    size_t len = all;
    size_t name;

    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
        len--;
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        ldb_buf_clear(to); /* what came was of a 100 Continue */
        return all;
    }
    if (len == 0)
        return all;
    name = to->len;
    if (!keep(w, to, ldb_slice_make(line, len)) ||
        !keep(w, to, ldb_slice_str("\n")))
        return 0;
    for (; to->data[name] != ':' && to->data[name] != '\n'; name++)
        to->data[name] = (uint8_t)tolower(to->data[name]);
    return all;
}

/* The connection stands, and the request is about to be sent: once. */
static int before_request(void *context, char *peer_ip, char *own_ip,
                          int peer_port, int own_port)
{
    struct repl_http_forward *w = context;

    (void)peer_ip;
    (void)own_ip;
    (void)peer_port;
    (void)own_port;
    w->moved_us = repl_http_forwarder_now_us(w->f);
    if (w->is_sent)
        return CURL_PREREQFUNC_ABORT;
    w->is_sent = true;
    return CURL_PREREQFUNC_OK;
}

/* ---- setting up ---- */

#define SET(option, value)                                                     \
    (rc = rc == CURLE_OK ? curl_easy_setopt(w->easy, option, value) : rc)

static CURLcode set_body(struct repl_http_forward *w)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_CUSTOMREQUEST, w->method);
    if (!w->has_body)
        return rc;
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_READFUNCTION, give_body);
    SET(CURLOPT_READDATA, w);
    if (w->body_len != UINT64_MAX)
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)w->body_len);
    return rc;
}

CURLcode repl_http_forward_set_up(struct repl_http_forward *w)
{
    struct repl_http_forwarder *f = w->f;
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_URL, w->url);
    SET(CURLOPT_REQUEST_TARGET, w->target);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTPHEADER, w->headers);
    SET(CURLOPT_CONNECTTIMEOUT_MS, f->connect_ms);
    SET(CURLOPT_MAXAGE_CONN, CONNECTION_AGE_S);
    SET(CURLOPT_ERRORBUFFER, w->error_text);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, w);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, w);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, w);
    SET(CURLOPT_PRIVATE, w);
    if (f->ca_file != NULL)
        SET(CURLOPT_CAINFO, f->ca_file);
    if (f->cert_file != NULL) {
        SET(CURLOPT_SSLCERT, f->cert_file);
        SET(CURLOPT_SSLKEY, f->key_file);
    }
    if (rc == CURLE_OK)
        rc = (CURLcode)repl_http_options_find_cuts(w->easy);
    return rc == CURLE_OK ? set_body(w) : rc;
}
