/*
 * HTTP requests in a test, by libcurl: over TCP, or over the server's own
 * pipes (service/http_pipe.h), where no port is needed. One request at a time
 * on one kept-alive connection.
 *
 *     struct http_client *c = http_client_over_pipe(server);
 *     struct http_reply r = http_call(c, "PUT", "/v1/kv/a", NULL, "1", 1);
 *
 *     assert_int_equal(204, r.status);
 *     http_reply_release(&r);
 *     http_client_destroy(c);
 *
 * Failures of the transport fail the test, but in http_try().
 */
#ifndef TESTS_SUPPORT_HTTP_CLIENT_H
#define TESTS_SUPPORT_HTTP_CLIENT_H

#include "storage/base/buf.h"

struct http_client;
struct svc_http_server;

struct http_reply {
    long status;            /* 0: no answer came */
    struct ldb_buf headers; /* as received, NUL-terminated past len */
    struct ldb_buf body;    /* NUL-terminated past len */
};

struct http_client *http_client_over_pipe(struct svc_http_server *server);
struct http_client *http_client_over_tcp(unsigned port);
void http_client_destroy(struct http_client *client);

/*
 * target begins with '/'; it is sent as it is. headers: NULL-ended list of
 * "Name: value", or NULL. body: NULL for none; len bytes.
 */
struct http_reply http_call(struct http_client *client, const char *method,
                            const char *target, const char *const *headers,
                            const void *body, size_t len);

/* The same; a broken connection gives status 0. */
struct http_reply http_try(struct http_client *client, const char *method,
                           const char *target, const char *const *headers,
                           const void *body, size_t len);

/* A request without a body whose status must be as given. */
void http_expect(struct http_client *client, const char *method,
                 const char *target, long status);

/* A PUT of text that must give 204. */
void http_put(struct http_client *client, const char *target, const char *text);

/* A GET that must give 200 and this text. */
void http_expect_body(struct http_client *client, const char *target,
                      const char *text);

/* The value of a header of the reply into out, NUL-terminated; false: none. */
bool http_reply_header(const struct http_reply *reply, const char *name,
                       char *out, size_t out_size);

/* The body's text; "" when empty. */
const char *http_reply_text(const struct http_reply *reply);

void http_reply_release(struct http_reply *reply);

#endif
