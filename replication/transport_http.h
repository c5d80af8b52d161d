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

#include "replication/http_options.h"
#include "replication/transport.h"

/*
 * Its text is copied. Nothing is sent, and no file is read yet. Whom it is
 * given destroys it by repl_peer_destroy(). Errors: those of
 * repl_http_options_check().
 */
LDB_MUST_CHECK enum ldb_status
repl_http_peer_create(const struct repl_http_options *options,
                      struct ldb_error *err, struct repl_peer **out);

#endif
