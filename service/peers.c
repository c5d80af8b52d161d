#include "service/peers.h"

#include <stdio.h>
#include <string.h>

#include "replication/copy_peer.h"
#include "replication/copy_url.h"
#include "replication/folder_peer.h"
#include "replication/transport_http.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"

/* Of the calls that are not following: somebody waits for them. Chosen: a node
 * that is well answers in milliseconds. */
#define ASK_CONNECT_US UINT64_C(2000000)
#define ASK_HEAD_US    UINT64_C(5000000)

/* Of an answer to svc_peers_post(). */
#define ANSWER_MAX ((size_t)64 << 10)

/* A connection for one call. */
struct one_call {
    struct repl_peer *peer;
    struct repl_transport *transport;
    struct repl_client client;
    struct one_call *next; /* guarded by the mu of the peers */
};

/* Locking: config and env are constant; the rest is guarded by mu. */
struct svc_peers {
    const struct svc_config *config;
    struct ldb_env *env;
    struct ldb_mutex mu;
    char token[SVC_PEER_TOKEN_MAX + 1]; /* "": none */
    uint64_t tokens;                    /* that there have been */
    bool is_interrupted;
    struct one_call *calls; /* under way */
};

/* ---- the token ---- */

/* The one line of text; false: there is none, or more than one. */
static bool take_token(struct ldb_slice text, char out[SVC_PEER_TOKEN_MAX + 1])
{
    while (text.len > 0 &&
           (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    if (text.len == 0 || text.len > SVC_PEER_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f)
            return false;
    }
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

enum ldb_status svc_peers_reload(struct svc_peers *peers, struct ldb_error *err)
{
    const char *path = peers->config->replication_token_file;
    struct ldb_buf text = LDB_BUF_INIT(SVC_PEER_TOKEN_MAX + 2);
    char token[SVC_PEER_TOKEN_MAX + 1];
    enum ldb_status s;

    if (path[0] == '\0')
        return LDB_OK;
    s = ldb_env_read_file(peers->env, path, err, &text);
    if (s == LDB_OK && !take_token(ldb_slice_of_buf(&text), token))
        s = ldb_error_set(err, LDB_INVALID_ARGUMENT,
                          "%s: not one line with a token in it", path);
    if (s == LDB_OK) {
        ldb_mutex_lock(&peers->mu);
        if (strcmp(peers->token, token) != 0)
            peers->tokens++;
        memcpy(peers->token, token, strlen(token) + 1);
        ldb_mutex_unlock(&peers->mu);
    }
    ldb_buf_release(&text);
    return s;
}

uint64_t svc_peers_tokens(struct svc_peers *peers)
{
    uint64_t tokens;

    ldb_mutex_lock(&peers->mu);
    tokens = peers->tokens;
    ldb_mutex_unlock(&peers->mu);
    return tokens;
}

/* ---- all of them ---- */

enum ldb_status svc_peers_create(const struct svc_config *config,
                                 struct ldb_env *env, struct ldb_error *err,
                                 struct svc_peers **out)
{
    struct svc_peers *peers = ldb_mem_zalloc(1, sizeof *peers);
    enum ldb_status s;

    if (peers == NULL)
        return ldb_error_no_memory(err);
    peers->config = config;
    peers->env = env;
    ldb_mutex_init(&peers->mu);
    s = svc_peers_reload(peers, err);
    if (s == LDB_OK)
        *out = peers;
    else
        svc_peers_destroy(peers);
    return s;
}

void svc_peers_destroy(struct svc_peers *peers)
{
    if (peers == NULL)
        return;
    ldb_mutex_release(&peers->mu);
    ldb_mem_free(peers);
}

bool svc_peers_next(const struct svc_peers *peers, size_t *at,
                    char out[REPL_URL_SIZE])
{
    const char *text = peers->config->peers;

    while (text[*at] != '\0') {
        size_t len = strcspn(text + *at, ",");
        const char *url = text + *at;

        *at += len + (url[len] == ',');
        if (len == 0 || len >= REPL_URL_SIZE)
            continue;
        len -= len > 1 && url[len - 1] == '/';
        memcpy(out, url, len);
        out[len] = '\0';
        return true;
    }
    return false;
}

/* ---- reaching one ---- */

/* token NULL: the file's. is_ask: for a call that somebody waits for. */
static enum ldb_status make(struct svc_peers *peers, const char *url,
                            const char *token, bool is_ask,
                            struct ldb_error *err, struct repl_peer **out)
{
    const struct svc_config *config = peers->config;
    char own[SVC_PEER_TOKEN_MAX + 1];
    struct repl_http_options options;

    ldb_mutex_lock(&peers->mu);
    memcpy(own, peers->token, strlen(peers->token) + 1);
    ldb_mutex_unlock(&peers->mu);
    if (token == NULL)
        token = own;
    repl_http_options_init(&options);
    options.env = peers->env;
    options.url = url;
    options.token = token[0] == '\0' ? NULL : token;
    if (config->replication_ca[0] != '\0')
        options.ca_file = config->replication_ca;
    if (config->replication_cert[0] != '\0') {
        options.cert_file = config->replication_cert;
        options.key_file = config->replication_key;
    }
    if (is_ask) {
        options.connect_timeout_us = ASK_CONNECT_US;
        options.head_timeout_us = ASK_HEAD_US;
    }
    /* A web server is none of the cluster: it is shown no token. */
    if (repl_copy_url_web(url) != NULL) {
        options.url = repl_copy_url_web(url);
        options.is_folder = true;
        options.token = NULL;
    }
    return repl_http_peer_create(&options, err, out);
}

/* A copy of a leader's folder, as a node. */
static enum ldb_status make_copy(struct svc_peers *peers, const char *url,
                                 struct ldb_error *err, struct repl_peer **out)
{
    const char *folder = repl_copy_url_folder(url);
    struct repl_peer *files = NULL;
    enum ldb_status s =
        folder == NULL
            ? make(peers, url, NULL, false, err, &files)
            : repl_folder_peer_create(peers->env, folder, err, &files);

    if (s != LDB_OK)
        return s;
    return repl_copy_peer_create(peers->env, files, 0, err, out);
}

enum ldb_status svc_peers_make(struct svc_peers *peers, const char *url,
                               struct ldb_error *err, struct repl_peer **out)
{
    if (repl_copy_url_is(url))
        return make_copy(peers, url, err, out);
    return make(peers, url, NULL, false, err, out);
}

enum ldb_status svc_peers_check(struct svc_peers *peers, const char *url,
                                struct ldb_error *err)
{
    struct repl_peer *peer = NULL;
    enum ldb_status s;

    if (url[0] == '\0')
        return LDB_OK;
    s = svc_peers_make(peers, url, err, &peer);
    repl_peer_destroy(peer);
    return s;
}

/* It can be interrupted from now on. */
static void link_call(struct svc_peers *peers, struct one_call *call)
{
    ldb_mutex_lock(&peers->mu);
    call->next = peers->calls;
    peers->calls = call;
    if (peers->is_interrupted)
        call->transport->ops->interrupt(call->transport);
    ldb_mutex_unlock(&peers->mu);
}

static void unlink_call(struct svc_peers *peers, struct one_call *call)
{
    struct one_call **link = &peers->calls;

    ldb_mutex_lock(&peers->mu);
    while (*link != NULL && *link != call)
        link = &(*link)->next;
    if (*link != NULL)
        *link = call->next;
    ldb_mutex_unlock(&peers->mu);
}

void svc_peers_interrupt(struct svc_peers *peers)
{
    ldb_mutex_lock(&peers->mu);
    peers->is_interrupted = true;
    for (struct one_call *call = peers->calls; call != NULL; call = call->next)
        call->transport->ops->interrupt(call->transport);
    ldb_mutex_unlock(&peers->mu);
}

static enum ldb_status begin_call(struct svc_peers *peers, const char *url,
                                  const char *token, struct ldb_error *err,
                                  struct one_call *out)
{
    enum ldb_status s;

    *out = (struct one_call){0};
    if (repl_copy_url_is(url))
        return ldb_error_set(err, LDB_NOT_SUPPORTED,
                             "%.150s is a copy, and no node to be asked", url);
    s = make(peers, url, token, true, err, &out->peer);
    if (s == LDB_OK)
        s = out->peer->open(out->peer, err, &out->transport);
    if (s != LDB_OK)
        return s;
    repl_client_init(&out->client, out->transport);
    link_call(peers, out);
    return LDB_OK;
}

static void end_call(struct svc_peers *peers, struct one_call *call)
{
    unlink_call(peers, call);
    if (call->transport != NULL)
        call->transport->ops->destroy(call->transport);
    repl_peer_destroy(call->peer);
}

enum ldb_status svc_peers_state(struct svc_peers *peers, const char *url,
                                struct repl_refusal *refusal,
                                struct ldb_error *err, struct repl_state *out)
{
    struct repl_state state = {0};
    struct one_call call;
    enum ldb_status s = begin_call(peers, url, NULL, err, &call);

    if (s == LDB_OK)
        s = repl_client_state(&call.client, err, &state);
    if (s == LDB_OK)
        *out = state;
    if (refusal != NULL)
        *refusal = call.client.refusal;
    end_call(peers, &call);
    return s;
}

enum ldb_status svc_peers_post(struct svc_peers *peers, const char *url,
                               const char *token, const char *path,
                               struct ldb_slice body,
                               struct repl_refusal *refusal,
                               struct ldb_error *err)
{
    struct ldb_buf answer = LDB_BUF_INIT(ANSWER_MAX);
    struct one_call call;
    enum ldb_status s = begin_call(peers, url, token, err, &call);

    if (s == LDB_OK)
        s = repl_client_call(&call.client, path, body, err, &answer);
    if (refusal != NULL)
        *refusal = call.client.refusal;
    end_call(peers, &call);
    ldb_buf_release(&answer);
    return s;
}
