/*
 * A forwarder on libcurl's multi interface: one thread, connections kept and
 * used again. It goes where each request says and nowhere else: no redirect, no
 * proxy of the environment, http and https alone.
 *
 * libcurl sends a request once more by itself when a kept connection turns out
 * to be dead. Here it may not: the request's first bytes may have come there.
 *
 * Thread-safety: forwarder.h.
 */
#ifndef REPLICATION_FORWARDER_HTTP_H
#define REPLICATION_FORWARDER_HTTP_H

#include "replication/forwarder.h"
#include "storage/base/env.h"

/* Bytes of an answer: its head, and its body. Chosen: ours have under 4 KiB. */
#define REPL_FORWARD_HEAD_MAX ((size_t)64 << 10)
#define REPL_FORWARD_BODY_MAX ((size_t)1 << 20)

/* Text is copied; NULL: none. */
struct repl_forwarder_http_options {
    struct ldb_env *env;   /* its clock and threads; borrowed */
    const char *ca_file;   /* PEM, instead of the system's */
    const char *cert_file; /* PEM, for servers that ask; with key_file */
    const char *key_file;
    uint64_t connect_timeout_us; /* TLS included; 0: 3 s */
    /* Nothing moves for so long while it is not the client's turn to send: it
     * is over. 0: 60 s. */
    uint64_t idle_timeout_us;
    unsigned forwards_max; /* under way at once; 0: 1024 */
};

/* Errors: IO (thread, libcurl), NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_forwarder_http_create(const struct repl_forwarder_http_options *options,
                           struct ldb_error *err, struct repl_forwarder **out);

/*
 * What is under way is over, UNKNOWN or NOT_SENT, and its wake was called;
 * begin is CLOSED from now on. Again: fine.
 */
void repl_forwarder_http_end(struct repl_forwarder *forwarder);
/* Ends; every forward was closed. NULL is fine. */
void repl_forwarder_http_destroy(struct repl_forwarder *forwarder);

#endif
