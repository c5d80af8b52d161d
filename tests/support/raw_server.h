/*
 * An HTTP server on loopback that answers as a test says, to the byte: for what
 * a client makes of answers, whole or cut, and of silence.
 *
 *     struct raw_server *server = raw_server_start(NULL);
 *
 *     raw_server_answer(server, "HTTP/1.1 200 OK\r\nContent-Length:
 * 2\r\n\r\nhi", RAW_SERVER_KEEP);
 *     ... a request to raw_server_url(server) ...
 *     assert_string_equal("GET / HTTP/1.1", raw_server_request(server, 0,
 * line)); raw_server_stop(server);
 *
 * Requests take the answers in the order in which these were given, whatever
 * their connection. Failures of its own fail the test.
 *
 * Thread-safety: the test's thread, while the server's runs.
 */
#ifndef TESTS_SUPPORT_RAW_SERVER_H
#define TESTS_SUPPORT_RAW_SERVER_H

#include "storage/base/buf.h"

struct raw_server;

/* PEM text; NULL client_ca: clients need no certificate. */
struct raw_server_tls {
    const char *certificate;
    const char *key;
    const char *client_ca;
};

/* tls NULL: plain. */
struct raw_server *raw_server_start(const struct raw_server_tls *tls);
void raw_server_stop(struct raw_server *server);

/* "http://127.0.0.1:PORT" or "https://..."; valid as long as the server. */
const char *raw_server_url(const struct raw_server *server);

enum raw_server_after {
    RAW_SERVER_KEEP,  /* the connection takes another request */
    RAW_SERVER_CLOSE, /* it ends */
    RAW_SERVER_RESET, /* it breaks */
    RAW_SERVER_HOLD,  /* it stays, silent, for raw_server_push() */
};

/* For the next request that has none yet. */
void raw_server_answer(struct raw_server *server, const char *text,
                       enum raw_server_after after);

/* Waits until a connection is held, and sends more on it; then does that. */
void raw_server_push(struct raw_server *server, const char *text,
                     enum raw_server_after after);

/* Requests so far, and connections. */
size_t raw_server_requests(struct raw_server *server);
size_t raw_server_connections(struct raw_server *server);

/* The text of a request, head and body, into out (cleared; NUL-terminated past
 * len); returns it. */
const char *raw_server_request(struct raw_server *server, size_t index,
                               struct ldb_buf *out);

/* A key, and a certificate for 127.0.0.1 that it signs itself, as PEM text. */
void raw_server_make_pair(struct ldb_buf *certificate, struct ldb_buf *key);

#endif
