/*
 * What the files of the HTTP forwarder share; private to them. forwarder_http.c
 * has the thread and what callers call; forwarder_transfer.c one request as
 * libcurl is told it, and what libcurl calls for it.
 *
 * The thread owns the multi handle and every easy handle; callers change a
 * forward's fields under mu, put it on the list of those to look at, and wake
 * the thread. So libcurl is called by one thread alone, but for
 * curl_multi_wakeup().
 *
 *     QUEUED    begun; the thread has not seen it
 *     RUNNING   in the multi handle
 *     OVER      out of it, for good
 *
 * A forward that its caller closes while the thread has it is freed by the
 * thread.
 */
#ifndef REPLICATION_FORWARDER_HTTP_INTERNAL_H
#define REPLICATION_FORWARDER_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "replication/forwarder_http.h"
#include "storage/base/mutex.h"

enum repl_forward_state {
    REPL_FORWARD_STATE_QUEUED,
    REPL_FORWARD_STATE_RUNNING,
    REPL_FORWARD_STATE_OVER,
};

struct repl_http_forward {
    struct repl_forward base; /* first: cast back from it */
    struct repl_http_forwarder *f;

    /* ---- constant ---- */
    char *url;
    char *method;
    char *target;
    struct curl_slist *headers;
    bool has_body;
    uint64_t body_len;
    void (*wake)(void *context);
    void *context;

    /* ---- the thread's, until it is over ---- */
    CURL *easy;
    char error_text[CURL_ERROR_SIZE];
    uint64_t moved_us; /* when something last did */
    bool is_sent;
    bool is_too_long; /* the answer */

    /* ---- guarded by the mu of the forwarder ---- */
    enum repl_forward_state state;
    struct ldb_buf piece; /* what the body goes on with, from at on */
    size_t at;
    bool is_end;    /* nothing comes after piece */
    bool is_paused; /* the thread has asked for more and got none */
    bool has_waiter;
    bool is_closed; /* the thread frees it */
    bool is_listed; /* among those to look at */
    struct repl_http_forward *next_listed;
    struct repl_http_forward *next_running; /* the thread's */

    /* ---- the thread's until it is over, then the caller's ---- */
    enum repl_forward_outcome outcome;
    struct ldb_error error;
    struct repl_forward_answer answer;
};

/*
 * Locking: constant: base to idle_us, multi, thread. Guarded by mu: listed,
 * count, is_ended. The thread's: running.
 */
struct repl_http_forwarder {
    struct repl_forwarder base; /* first: cast back from it */
    struct ldb_env *env;
    char *ca_file;
    char *cert_file;
    char *key_file;
    long connect_ms;
    uint64_t idle_us;
    unsigned forwards_max;
    CURLM *multi;
    struct ldb_thread *thread;
    struct ldb_mutex mu;
    struct repl_http_forward *listed;
    unsigned count; /* not freed */
    bool is_ended;
    struct repl_http_forward *running;
};

/* ---- forwarder_http.c ---- */

uint64_t repl_http_forwarder_now_us(const struct repl_http_forwarder *f);

/* ---- forwarder_transfer.c ---- */

/* A copy of the request, QUEUED, not counted yet. NULL: no memory. */
LDB_MUST_CHECK struct repl_http_forward *
repl_http_forward_create(struct repl_http_forwarder *f,
                         const struct repl_forward_request *request);
/* Out of the multi handle; takes it off the count. */
void repl_http_forward_destroy(struct repl_http_forward *w);

/* Its caller, who waits, goes on. */
void repl_http_forward_tell(struct repl_http_forward *w) LDB_REQUIRES(w->f->mu);

/* The thread's: all that libcurl has to know of it. */
LDB_MUST_CHECK CURLcode repl_http_forward_set_up(struct repl_http_forward *w);

#endif
