/*
 * TLS of the HTTP server: certificate, key and the authority that clients'
 * certificates must be of, from PEM files, replaced while serving.
 *
 * Each connection gets the credentials in force when it is accepted, in place
 * of the library's own, which could not be replaced; TLS 1.2 and 1.3. A client
 * without a valid certificate, where one is asked for, is refused in the
 * handshake: no request of it is seen.
 *
 * Thread-safety: load on one thread at a time; begin and end on any.
 */
#ifndef SERVICE_HTTP_TLS_H
#define SERVICE_HTTP_TLS_H

#include <gnutls/abstract.h>
#include <microhttpd.h>

#include "storage/base/env.h"

/* Bytes of a PEM file; chosen: some hundred certificates. */
#define SVC_TLS_FILE_BYTES_MAX ((size_t)1 << 20)

/* For the daemon's option HTTPS_PRIORITIES: GnuTLS's usual choice, without
 * versions that RFC 8996 retires. */
#define SVC_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct svc_tls;

/* Paths, borrowed while the tls lives. */
struct svc_tls_files {
    const char *certificate; /* chain, the server's own first */
    const char *key;
    const char *client_ca; /* "": clients need no certificate */
};

/*
 * Reads the files. Errors: NOT_FOUND, IO, TOO_LARGE; INVALID_ARGUMENT with the
 * file: no PEM, or a key that is not the certificate's; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status svc_tls_create(struct ldb_env *env,
                                              const struct svc_tls_files *files,
                                              struct ldb_error *err,
                                              struct svc_tls **out);
/* The same again; not OK: what was in force stays. */
LDB_MUST_CHECK enum ldb_status svc_tls_load(struct svc_tls *tls,
                                            struct ldb_error *err);
/* No connection has its credentials any more. NULL is fine. */
void svc_tls_destroy(struct svc_tls *tls);

/*
 * Gives a connection that was just accepted the credentials in force; give the
 * result to svc_tls_end() when it is closed. NULL: its handshake will fail.
 */
void *svc_tls_begin(struct svc_tls *tls, struct MHD_Connection *connection);
void svc_tls_end(void *credentials); /* NULL is fine */

/* For the daemon's option HTTPS_CERT_CALLBACK: it must have one, which is asked
 * only where svc_tls_begin() failed, and has none. */
extern gnutls_certificate_retrieve_function2 svc_tls_no_certificate;

#endif
