#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "api/response.h"
#include "api/router.h"
#include "service/access_log.h"
#include "service/http_internal.h"

/* Longest request id that is taken over. Chosen: a UUID and a prefix. */
#define REQUEST_ID_MAX 64

/* Digits of one of ours, and the NUL. */
#define OWN_ID_SIZE 17

/* "[", an IPv6 address, "]:", a port, NUL. */
#define CLIENT_SIZE (INET6_ADDRSTRLEN + 9)

/* ---- the id ---- */

/* Printable, and nothing that a log or a list would have to quote. */
static bool is_sane(struct ldb_slice id)
{
    if (id.len == 0 || id.len > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.data[i];

        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == ',')
            return false;
    }
    return true;
}

/* The next number of a sequence that repeats after 2^64 (splitmix64). */
static uint64_t next_number(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static const char *make_id(struct svc_exchange *x)
{
    struct svc_loop *loop = x->loop;
    struct ldb_env *env = loop->server->options.env;
    char *id = ldb_arena_alloc(&x->arena, OWN_ID_SIZE);

    if (id == NULL)
        return NULL;
    /* Without random bytes ids repeat after a restart: no harm to a reader. */
    if (loop->request_id_state == 0)
        (void)!env->ops->random_bytes(env, (uint8_t *)&loop->request_id_state,
                                      sizeof loop->request_id_state, NULL);
    (void)snprintf(id, OWN_ID_SIZE, "%016" PRIx64,
                   next_number(&loop->request_id_state));
    return id;
}

static const char *copy_id(struct svc_exchange *x, struct ldb_slice sent)
{
    char *id = ldb_arena_alloc(&x->arena, sent.len + 1);

    if (id == NULL)
        return NULL;
    memcpy(id, sent.data, sent.len);
    id[sent.len] = '\0';
    return id;
}

/* ---- the client ---- */

static void print_address(const struct sockaddr_storage *address, char *out)
{
    char host[INET6_ADDRSTRLEN] = "";
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (address->ss_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        (void)inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
        (void)snprintf(out, CLIENT_SIZE, "%s:%u", host, ntohs(v4.sin_port));
    } else {
        memcpy(&v6, address, sizeof v6);
        (void)inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
        (void)snprintf(out, CLIENT_SIZE, "[%s]:%u", host, ntohs(v6.sin6_port));
    }
}

/* NULL: none, as of a socketpair; or no memory, which costs the field alone. */
static const char *find_client(struct svc_exchange *x)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char *text;

    if (info == NULL ||
        getpeername(info->connect_fd, (struct sockaddr *)&address, &len) != 0 ||
        (address.ss_family != AF_INET && address.ss_family != AF_INET6))
        return NULL;
    text = ldb_arena_alloc(&x->arena, CLIENT_SIZE);
    if (text != NULL)
        print_address(&address, text);
    return text;
}

/* ---- what http_exchange.c calls ---- */

bool svc_request_identify(struct svc_exchange *x, const struct svc_head *head)
{
    const bool is_logged = x->loop->server->options.access_log != NULL;

    if (is_logged)
        x->client = find_client(x);
    if (head->request_ids == 1 && is_sane(head->request_id))
        x->request_id = copy_id(x, head->request_id);
    else if (is_logged)
        x->request_id = make_id(x);
    else
        return true;
    return x->request_id != NULL &&
           api_header_add(&x->api, "X-Request-Id", x->request_id);
}

void svc_request_log(const struct svc_exchange *x)
{
    struct svc_access_log *log = x->loop->server->options.access_log;
    const struct api_exchange *api = &x->api;
    struct svc_access_record record;
    uint64_t now_us;

    /* What the library answered by itself has no head here. */
    if (log == NULL || x->phase == SVC_PHASE_NEW)
        return;
    now_us = api_now_us(api->context);
    record = (struct svc_access_record){
        .request_id = x->request_id,
        .client = x->client,
        .method = svc_head_method_text(api->method),
        .route = api->route == NULL ? "other" : api->route->name,
        .path = api->raw_path,
        .status = api->response.ready ? api->response.status : 0,
        .request_bytes = x->body_bytes + x->dropped_bytes,
        .answer_bytes = x->answer_bytes,
        .us = now_us > api->started_us ? now_us - api->started_us : 0,
    };
    svc_access_log_record(log, &record);
}
