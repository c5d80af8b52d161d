/*
 * A connection to the server that needs no TCP port: one end of a socketpair
 * is handed to a loop, the other is the caller's. For tests and simulated
 * clusters; libcurl takes it through CURLOPT_OPENSOCKETFUNCTION.
 *
 * Thread-safety: any thread.
 */
#ifndef SERVICE_HTTP_PIPE_H
#define SERVICE_HTTP_PIPE_H

#include "service/http_server.h"

/* The client's end, which the caller closes. Errors: IO, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
svc_http_pipe_open(struct svc_http_server *server, struct ldb_error *err,
                   int *out_socket);

#endif
