/*
 * Whom a transport over HTTP goes to, with what, and how patiently: checked
 * before anything is sent, and set on libcurl's handles.
 *
 * Thread-safety: plain values.
 */
#ifndef REPLICATION_HTTP_OPTIONS_H
#define REPLICATION_HTTP_OPTIONS_H

#include "storage/base/env.h"

/* NULL: none. */
struct repl_http_options {
    struct ldb_env *env; /* its clock; borrowed, outlives the peer */
    /* "http://HOST[:PORT]" or "https://...", with nothing behind it but one
     * slash; no user or password. Of a folder with its path. */
    const char *url;
    /* Not a node: files that a plain web server has in a folder, which answers
     * with its own headers. There are no calls then, and nothing is followed.
     */
    bool is_folder;
    const char *token;   /* sent as "Authorization: Bearer TOKEN" */
    const char *ca_file; /* PEM, instead of the system's */
    const char
        *cert_file; /* PEM, for servers that ask for one; with key_file */
    const char *key_file;
    uint64_t connect_timeout_us; /* TLS included */
    /* From the beginning of a call to the end of the answer's head. */
    uint64_t head_timeout_us;
    /* The same for HEAD, which waits until the digest of the file is known. */
    uint64_t digest_timeout_us;
    /* A body, but a followed one, that comes slower than so many bytes a second
     * for so long is cut: IO. The time that the caller's functions take does
     * not count. */
    uint64_t low_speed_bytes;
    uint64_t low_speed_us;
};

/* Everything 0 or NULL but the limits: 5 s, 30 s, 300 s, 1 KiB/s for 30 s. */
void repl_http_options_init(struct repl_http_options *options);

/* Errors: INVALID_ARGUMENT: which option is wrong and why; NO_MEMORY. No text
 * of it is a token. */
LDB_MUST_CHECK enum ldb_status
repl_http_options_check(const struct repl_http_options *options,
                        struct ldb_error *err);

/* Its own text, as an owned copy in a zeroed *out. NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_http_options_copy(const struct repl_http_options *options,
                       struct ldb_error *err, struct repl_http_options *out);
/* Of such a copy; a zeroed one is fine. */
void repl_http_options_release(struct repl_http_options *copy);

/*
 * Whether a handle of libcurl's (a CURL *) goes to that peer alone, and to it
 * as the options say: set on it, with one connection and HTTP/1.1. It has no
 * URL yet, and no token. Returns libcurl's code (a CURLcode).
 */
LDB_MUST_CHECK int
repl_http_options_apply(const struct repl_http_options *options, void *easy);

/* Of any handle (a CURL *): its connections end when the machine there does not
 * take what is sent for 10 s. Returns libcurl's code. apply does it. */
LDB_MUST_CHECK int repl_http_options_find_cuts(void *easy);

#endif
