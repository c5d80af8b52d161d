/*
 * Transports over HTTP/1.1, plain or TLS, on libcurl. A transport keeps its
 * connection between calls. It goes nowhere but to the URL it was made for: no
 * redirect, no proxy of the environment, no other protocol.
 *
 * Limits in time are of three kinds: until a connection stands, until the
 * answer begins, and how slow it may be then. None is for a file as a whole,
 * which may be of any size.
 *
 * Thread-safety: as transport.h says; a peer outlives its transports.
 */
#ifndef REPLICATION_TRANSPORT_HTTP_H
#define REPLICATION_TRANSPORT_HTTP_H

#include "replication/transport.h"

/* Bytes of an answer's head; more is refused. Chosen: ours have under 1 KiB. */
#define REPL_HTTP_HEAD_BYTES_MAX ((size_t)64 << 10)

/* All text is copied; NULL: none. */
struct repl_http_options {
    struct ldb_env *env; /* its clock; borrowed, outlives the peer */
    /* "http://HOST[:PORT]" or "https://...", with nothing behind it but one
     * slash; no user or password. */
    const char *url;
    const char *token;   /* sent as "Authorization: Bearer TOKEN" */
    const char *ca_file; /* PEM, instead of the system's */
    const char
        *cert_file; /* PEM, for servers that ask for one; with key_file */
    const char *key_file;
    uint64_t connect_timeout_us; /* TLS included */
    /* From the whole request sent, or the connection begun, to the end of the
     * answer's head. */
    uint64_t head_timeout_us;
    /* A body, but a followed one, slower than so many bytes a second for so
     * long is cut: IO. What our functions take does not count. */
    uint64_t low_speed_bytes;
    uint64_t low_speed_us;
};

/* Everything 0 or NULL but the limits: 5 s, 30 s, 1 KiB/s for 30 s. */
void repl_http_options_init(struct repl_http_options *options);

/*
 * Errors: INVALID_ARGUMENT: which option is wrong and why; NO_MEMORY. Nothing
 * is sent, and no file is read yet.
 */
LDB_MUST_CHECK enum ldb_status
repl_http_peer_create(const struct repl_http_options *options,
                      struct ldb_error *err, struct repl_peer **out);
/* Its transports are destroyed. NULL is fine. */
void repl_http_peer_destroy(struct repl_peer *peer);

#endif
