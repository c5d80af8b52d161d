#include "tests/support/http_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "service/http_pipe.h"
#include "storage/base/mem.h"
#include "tests/support/patience.h"

/* Bytes of an answer; chosen: the largest value and some. */
#define REPLY_BYTES_MAX ((size_t)256 << 20)

struct http_client {
    CURL *curl;
    struct svc_http_server *server; /* NULL: over TCP */
    char base[64];
};

struct upload {
    const uint8_t *bytes;
    size_t left;
};

static curl_socket_t open_pipe(void *context, curlsocktype purpose,
                               struct curl_sockaddr *address)
{
    struct http_client *client = context;
    int fd = -1;

    (void)purpose;
    (void)address;
    if (svc_http_pipe_open(client->server, NULL, &fd) != LDB_OK)
        return CURL_SOCKET_BAD;
    return fd;
}

/*
 * Stands in for the C library's in a test's program. libcurl 7.88 connects a
 * socket of CURLOPT_OPENSOCKETFUNCTION also when it was told that it is
 * connected; for a socketpair that is no error here.
 */
LDB_API int connect_or_keep(int fd, const struct sockaddr *address,
                            socklen_t len) __asm__("connect");

LDB_API int connect_or_keep(int fd, const struct sockaddr *address,
                            socklen_t len)
{
    int domain = 0;
    socklen_t size = sizeof domain;

    if (address->sa_family != AF_UNIX &&
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
        domain == AF_UNIX)
        return 0;
    return (int)syscall(SYS_connect, fd, address, len);
}

static int is_connected(void *context, curl_socket_t socket,
                        curlsocktype purpose)
{
    (void)context;
    (void)socket;
    (void)purpose;
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static struct http_client *create(struct svc_http_server *server, unsigned port)
{
    struct http_client *client = ldb_mem_zalloc(1, sizeof *client);

    assert_non_null(client);
    client->server = server;
    client->curl = curl_easy_init();
    assert_non_null(client->curl);
    snprintf(client->base, sizeof client->base, "http://127.0.0.1:%u", port);
    return client;
}

struct http_client *http_client_over_pipe(struct svc_http_server *server)
{
    return create(server, 1);
}

struct http_client *http_client_over_tcp(unsigned port)
{
    return create(NULL, port);
}

void http_client_destroy(struct http_client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    ldb_mem_free(client);
}

static size_t keep(char *bytes, size_t size, size_t count, void *context)
{
    struct ldb_buf *out = context;

    if (ldb_buf_append(out, ldb_slice_make(bytes, size * count)) != LDB_OK)
        return 0;
    return size * count;
}

static size_t give(char *out, size_t size, size_t count, void *context)
{
    struct upload *upload = context;
    size_t n = size * count < upload->left ? size * count : upload->left;

    memcpy(out, upload->bytes, n);
    upload->bytes += n;
    upload->left -= n;
    return n;
}

static void set_request(struct http_client *client, const char *method,
                        struct upload *upload, bool has_body)
{
    CURL *curl = client->curl;

    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)PATIENCE_S);
    if (client->server != NULL) {
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_pipe);
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, client);
        curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, is_connected);
    }
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (has_body) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                         (curl_off_t)upload->left);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
        curl_easy_setopt(curl, CURLOPT_READDATA, upload);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

struct http_reply http_try(struct http_client *client, const char *method,
                           const char *target, const char *const *headers,
                           const void *body, size_t len)
{
    struct http_reply reply = {.headers = LDB_BUF_INIT(REPLY_BYTES_MAX),
                               .body = LDB_BUF_INIT(REPLY_BYTES_MAX)};
    struct upload upload = {.bytes = body, .left = len};
    struct curl_slist *list = NULL;
    char *url = ldb_mem_printf("%s%s", client->base, target);

    assert_non_null(url);
    set_request(client, method, &upload, body != NULL);
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i++)
        list = curl_slist_append(list, headers[i]);
    curl_easy_setopt(client->curl, CURLOPT_URL, url);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &reply.body);
    curl_easy_setopt(client->curl, CURLOPT_HEADERFUNCTION, keep);
    curl_easy_setopt(client->curl, CURLOPT_HEADERDATA, &reply.headers);
    if (curl_easy_perform(client->curl) == CURLE_OK)
        curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_slist_free_all(list);
    ldb_mem_free(url);
    /* Text functions may be used on both. */
    assert_int_equal(LDB_OK, ldb_buf_append_byte(&reply.headers, 0));
    assert_int_equal(LDB_OK, ldb_buf_append_byte(&reply.body, 0));
    reply.headers.len--;
    reply.body.len--;
    return reply;
}

struct http_reply http_call(struct http_client *client, const char *method,
                            const char *target, const char *const *headers,
                            const void *body, size_t len)
{
    struct http_reply reply =
        http_try(client, method, target, headers, body, len);

    if (reply.status == 0)
        fail_msg("%s %.200s: no answer", method, target);
    return reply;
}

void http_expect(struct http_client *client, const char *method,
                 const char *target, long status)
{
    struct http_reply reply = http_call(client, method, target, NULL, NULL, 0);

    if (reply.status != status)
        fail_msg("%s %.200s: %ld, not %ld: %.500s", method, target,
                 reply.status, status, http_reply_text(&reply));
    http_reply_release(&reply);
}

void http_put(struct http_client *client, const char *target, const char *text)
{
    struct http_reply reply =
        http_call(client, "PUT", target, NULL, text, strlen(text));

    if (reply.status != 204)
        fail_msg("PUT %.200s: %ld: %.500s", target, reply.status,
                 http_reply_text(&reply));
    http_reply_release(&reply);
}

void http_expect_body(struct http_client *client, const char *target,
                      const char *text)
{
    struct http_reply reply = http_call(client, "GET", target, NULL, NULL, 0);

    if (reply.status != 200 || strcmp(http_reply_text(&reply), text) != 0)
        fail_msg("GET %.200s: %ld: \"%.500s\", not \"%.500s\"", target,
                 reply.status, http_reply_text(&reply), text);
    http_reply_release(&reply);
}

bool http_reply_header(const struct http_reply *reply, const char *name,
                       char *out, size_t out_size)
{
    const char *line = (const char *)reply->headers.data;
    size_t name_len = strlen(name);

    while (line != NULL && *line != '\0') {
        if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
            const char *value = line + name_len + 1;

            value += strspn(value, " ");
            snprintf(out, out_size, "%.*s", (int)strcspn(value, "\r\n"), value);
            return true;
        }
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    return false;
}

const char *http_reply_text(const struct http_reply *reply)
{
    return (const char *)reply->body.data;
}

void http_reply_release(struct http_reply *reply)
{
    ldb_buf_release(&reply->headers);
    ldb_buf_release(&reply->body);
}
