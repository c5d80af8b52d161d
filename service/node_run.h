/*
 * The node behind the server: the folder, its database, and what this process
 * does with them: lead or follow. Owns the database, and exchanges it when the
 * role changes: closes the gate (api/db_gate.h), waits until nobody is inside,
 * closes one database, opens the other, opens the gate.
 *
 *     leading      the database is a leader's; repl_leader serves followers
 *     following    the database is a twin; repl_follower keeps it one, and at
 *                  times has it made anew
 *     changing     between the two: the gate is closed
 *     failed       a change could be neither ended nor undone: there is no
 *                  database until it can be, which is tried again and again;
 *                  why is logged, /readyz is 503
 *
 * One change at a time; each is a call that returns when it is done. Changes
 * come from tasks of /v1/admin, from the follower's thread (rebuild), and from
 * tick (healing, trying again).
 *
 * What was decided while it ran outlives a restart (leveld/role): the flags
 * name the role that a node begins with, and win again once they are changed.
 *
 * Thread-safety: one thread, but for what context->node_ops does.
 */
#ifndef SERVICE_NODE_RUN_H
#define SERVICE_NODE_RUN_H

#include "service/config.h"
#include "storage/include/ldb.h"

struct api_context;
struct svc_http_server;
struct svc_node;

/*
 * Opens the folder in its role. context is made already (api_context_init with
 * no database) and gets all that is the node's: database, role, epoch, ids.
 * The gate is open then, unless a follower has nothing to show yet. All are
 * borrowed until close.
 *
 * Errors: those of loading leveld/ and of opening; INVALID_ARGUMENT: another
 * cluster's folder, or an empty one that is to lead a known cluster;
 * PRECONDITION: it is to lead, and another node that answers knows a later
 * epoch, or the folder is on its way to be another leader's copy.
 */
LDB_MUST_CHECK enum ldb_status svc_node_open(const struct svc_config *config,
                                             struct ldb_env *env,
                                             struct api_context *context,
                                             struct ldb_error *err,
                                             struct svc_node **out);

/*
 * The server runs: from now on a follower follows, and streams are cut there
 * when the gate closes. url: how others reach this node, copied; "": unknown.
 * Changes of role that were asked for before wait for it.
 * Errors: INVALID_ARGUMENT: the leader's URL; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status svc_node_start(struct svc_node *node,
                                              struct svc_http_server *http,
                                              const char *url,
                                              struct ldb_error *err);

/* The token file is read again (svc_service_reload()). */
LDB_MUST_CHECK enum ldb_status svc_node_reload(struct svc_node *node,
                                               struct ldb_error *err);

/* Housekeeping, a few times a second, of one thread; see svc_service_tick(). */
void svc_node_tick(struct svc_node *node);

/* Changes are refused from now on, and one that waits for another node ends. */
void svc_node_drain(struct svc_node *node);

/*
 * No exchange runs any more. A leader's writes are settled and its folder
 * marked as cleanly stopped; then all is freed. OK: a clean stop.
 */
LDB_MUST_CHECK enum ldb_status svc_node_close(struct svc_node *node,
                                              struct ldb_error *err);

/* What the start-up line says of it; after open, before start. */
struct svc_node_opened {
    struct ldb_recovery recovery;
    uint64_t epoch; /* 0: it knows none */
    bool is_new_epoch;
    ldb_sequence sequence;
    const char *leader_url; /* of a follower; the node's */
};
void svc_node_opened(struct svc_node *node, struct svc_node_opened *out);

#endif
