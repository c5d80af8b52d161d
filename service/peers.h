/*
 * The other nodes, as this one reaches them: by URL, with the token and the
 * certificates of the configuration; and what it asks them besides following.
 *
 * Thread-safety: any thread.
 */
#ifndef SERVICE_PEERS_H
#define SERVICE_PEERS_H

#include "replication/client.h"
#include "service/config.h"

struct svc_peers;

/* Bytes of a token file, and of a token. */
#define SVC_PEER_TOKEN_MAX ((size_t)4096)

/*
 * config and env are borrowed. Reads the token file. Errors: those of reading
 * it; INVALID_ARGUMENT: it has no token in one line.
 */
LDB_MUST_CHECK enum ldb_status svc_peers_create(const struct svc_config *config,
                                                struct ldb_env *env,
                                                struct ldb_error *err,
                                                struct svc_peers **out);
void svc_peers_destroy(struct svc_peers *peers); /* NULL is fine */

/* Reads the token file again, for peers made from now on. Errors: as create;
 * the token in force stays. */
LDB_MUST_CHECK enum ldb_status svc_peers_reload(struct svc_peers *peers,
                                                struct ldb_error *err);

/* How many different tokens the file had until now: another number than before
 * a svc_peers_make(): what that made may show an old one. */
uint64_t svc_peers_tokens(struct svc_peers *peers);

/* The node at url, or the copy of one (replication/copy_url.h), to be followed;
 * destroy it with repl_peer_destroy(). Errors: INVALID_ARGUMENT: no such URL;
 * NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status svc_peers_make(struct svc_peers *peers,
                                              const char *url,
                                              struct ldb_error *err,
                                              struct repl_peer **out);

/* Whether it is a URL that a peer can be made of; "" is none, and fine. Errors:
 * those of make. */
LDB_MUST_CHECK enum ldb_status svc_peers_check(struct svc_peers *peers,
                                               const char *url,
                                               struct ldb_error *err);

/* The server stops: calls under way end soon, with CANCELLED, and so does each
 * later one. Not those of peers that were made to be followed. */
void svc_peers_interrupt(struct svc_peers *peers);

/* The next URL of --peers into out, after *at bytes of it (0 at first). False:
 * there are no more. */
LDB_MUST_CHECK bool svc_peers_next(const struct svc_peers *peers, size_t *at,
                                   char out[REPL_URL_SIZE]);

/*
 * One call each, over a connection of its own, that gives up within a few
 * seconds. token: instead of the file's; NULL: the file's. refusal: what it
 * said when it did not do it; may be NULL.
 *
 * Errors: those of replication/client.h; STALLED without a refusal: it was not
 * asked; NOT_SUPPORTED: a copy is at url.
 */
LDB_MUST_CHECK enum ldb_status svc_peers_state(struct svc_peers *peers,
                                               const char *url,
                                               struct repl_refusal *refusal,
                                               struct ldb_error *err,
                                               struct repl_state *out);
LDB_MUST_CHECK enum ldb_status
svc_peers_post(struct svc_peers *peers, const char *url, const char *token,
               const char *path, struct ldb_slice body,
               struct repl_refusal *refusal, struct ldb_error *err);

#endif
