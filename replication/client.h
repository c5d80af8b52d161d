/*
 * What a follower asks of another node, in structs: each function is one call
 * over a transport, its document encoded, its answer decoded.
 *
 * Errors of each function: those of the transport's call and of the decoder,
 * and what repl_refusal_error() makes of a refusal; then client->refusal has it
 * (http 0: there was none). The path is in the text.
 *
 * Thread-safety: one thread at a time, as its transport.
 */
#ifndef REPLICATION_CLIENT_H
#define REPLICATION_CLIENT_H

#include "replication/protocol.h"
#include "replication/refusal.h"
#include "replication/transport.h"

struct repl_client {
    struct repl_transport *transport; /* borrowed */
    struct repl_refusal refusal;      /* of the last call */
};

void repl_client_init(struct repl_client *client,
                      struct repl_transport *transport);

/* Into a zeroed *out. */
LDB_MUST_CHECK enum ldb_status repl_client_state(struct repl_client *client,
                                                 struct ldb_error *err,
                                                 struct repl_state *out);

/* PRECONDITION with refusal.http 409: the node is in another epoch than the
 * ack. */
LDB_MUST_CHECK enum ldb_status repl_client_ack(struct repl_client *client,
                                               const struct repl_ack *ack,
                                               struct ldb_error *err,
                                               struct repl_heartbeat *out);

/* Of this node id; one that it holds already is let go. Into a zeroed *out. */
LDB_MUST_CHECK enum ldb_status
repl_client_checkpoint(struct repl_client *client, const char *node_id,
                       struct ldb_error *err, struct repl_checkpoint *out);

/* A minute more for that checkpoint. GONE, NOT_FOUND: it was let go. */
LDB_MUST_CHECK enum ldb_status
repl_client_checkpoint_renew(struct repl_client *client, const char *node_id,
                             uint64_t id, struct ldb_error *err);

/* Lets it go; OK also when it was. */
LDB_MUST_CHECK enum ldb_status
repl_client_checkpoint_release(struct repl_client *client, const char *node_id,
                               uint64_t id, struct ldb_error *err);

/* A file's head (transport.h), for its name in the text of an error. */
LDB_MUST_CHECK enum ldb_status repl_client_head(struct repl_client *client,
                                                const char *name,
                                                struct ldb_error *err,
                                                struct repl_file_head *out);

/*
 * Any other call: GET of the path (body.data NULL) or POST of a JSON body. The
 * answer's body, when it is one of 2xx, is in answer (cleared first).
 */
LDB_MUST_CHECK enum ldb_status repl_client_call(struct repl_client *client,
                                                const char *path,
                                                struct ldb_slice body,
                                                struct ldb_error *err,
                                                struct ldb_buf *answer);

#endif
