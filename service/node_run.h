/*
 * The node behind the server: the folder, its database, and what this process
 * does with them: lead or follow. Owns the database, and exchanges it when the
 * role changes: closes the gate (api/db_gate.h), waits until nobody is inside,
 * closes one database, opens the other, opens the gate.
 *
 *     LEADING      the database is a leader's; repl_leader serves followers
 *     FOLLOWING    the database is a twin; repl_follower keeps it one
 *     REBUILDING   of a follower: there is no database for a while
 *     CHANGING     between two of them
 *     FAILED       of a change that could not be ended or undone: there is no
 *                  database until a restart; the reason is logged and in
 * /readyz
 *
 * One change at a time; each is a call that returns when it is done. Changes
 * come from tasks of /v1/admin, from the follower's thread (rebuild), and from
 * tick (healing).
 *
 * What was decided while it ran outlives a restart (leveld/role): the flags
 * name the role that a node begins with, and win again once they are changed.
 *
 * Thread-safety: any thread, but open and close.
 */
#ifndef SERVICE_NODE_RUN_H
#define SERVICE_NODE_RUN_H

#include "api/role_change.h"
#include "service/config.h"
#include "storage/include/ldb.h"

struct api_context;
struct svc_http_server;
struct svc_node;

/*
 * Opens the folder in its role. context is made already (api_context_init with
 * no database) and gets all that is the node's: database, role, epoch, ids.
 * A follower comes back before it has seen its leader; its gate is open when
 * its folder could be opened. All are borrowed until close.
 *
 * Errors: those of loading leveld/ and of opening; INVALID_ARGUMENT: another
 * cluster's folder, or an empty one that is to lead a known cluster.
 */
LDB_MUST_CHECK enum ldb_status svc_node_open(const struct svc_config *config,
                                             struct ldb_env *env,
                                             struct api_context *context,
                                             struct ldb_error *err,
                                             struct svc_node **out);

/* Its streams are cut there when the gate closes. Once, after open. */
void svc_node_set_http(struct svc_node *node, struct svc_http_server *http);

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

/* What the start-up line says of it. */
struct svc_node_start {
    struct ldb_recovery recovery;
    uint64_t epoch;
    bool is_new_epoch;
    ldb_sequence sequence;
};
void svc_node_started(struct svc_node *node, struct svc_node_start *out);

#endif
