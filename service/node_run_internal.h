/*
 * What the files of the node share; private to them. node_run.c has its life,
 * node_leading.c and node_following.c what it does in a role, node_standing.c
 * what it says of that, node_change.c how it goes from one to the other,
 * node_care.c what looks after its files.
 *
 * Locking of struct svc_node: constant: config to peers, url from start on.
 * Own synchronisation: http, an atomic (release, acquire), and what the context
 * points to. Guarded by mu: what says so. All else belongs to who has the
 * turn, or opens or closes the node; but while a follower runs,
 * repl, db and what belongs to a rebuild are its thread's.
 *
 * mu comes before the locks of api/'s lists, and after the follower's own:
 * nothing of that is called under it but its figures. Nothing that takes long
 * is done under it.
 */
#ifndef SERVICE_NODE_RUN_INTERNAL_H
#define SERVICE_NODE_RUN_INTERNAL_H

#include <stdatomic.h>

#include "api/context.h"
#include "api/db_gate.h"
#include "api/node_ops.h"
#include "replication/follower.h"
#include "replication/node.h"
#include "replication/role_file.h"
#include "service/node_run.h"
#include "service/peers.h"
#include "service/rebuild_log.h"
#include "service/turn.h"
#include "storage/base/mutex.h"

struct repl_build;
struct repl_digest_index;
struct repl_heal;
struct repl_leader;
struct repl_scrub;
struct repl_served_files;

struct svc_node {
    const struct svc_config *config;
    struct ldb_env *env;
    struct api_context *context;
    struct svc_peers *peers;
    char url[REPL_URL_SIZE]; /* ours, as others reach it; "": unknown */
    _Atomic(struct svc_http_server *) http;

    struct svc_turn turn;
    /* The turn is the start's: the server answers before a follower follows,
     * and who asks to promote it waits for that. The starter's alone. */
    bool is_starting;
    struct ldb_mutex mu;
    struct ldb_cond changed;    /* something guarded by mu */
    bool is_draining;           /* guarded by mu */
    struct repl_identity shown; /* guarded by mu: ids as they are told */
    /* The node's as texts of the context, never changed once they are given:
     * the second when it had to take another one. */
    char id_texts[2][REPL_ID_SIZE];
    struct repl_epoch_history history; /* guarded by mu: as it was published */

    struct repl_node repl;
    struct repl_role_file role; /* role.now is what it is, or is to be */
    /* Not OK: a change failed, the way back to role_before too, and this was
     * why when it was last tried; the database is closed. */
    enum ldb_status still_why;
    struct repl_role_file role_before;
    uint64_t tried_us;            /* to go back, or to follow */
    struct ldb_options engine;    /* that db was opened with */
    struct ldb_db *db;            /* NULL: closed */
    bool is_twin;                 /* db is one */
    struct ldb_recovery recovery; /* of the last open */
    struct repl_epoch epoch;      /* it leads in */
    bool is_new_epoch;
    struct repl_digest_index *digests; /* NULL: none */
    struct repl_heal *heal;            /* NULL: none, as of the next */
    struct repl_scrub *scrub;

    /* ---- leading ---- */
    /* NULL: it does not. An atomic for on_durable (release, acquire), which
     * may come as long as the database is open. */
    _Atomic(struct repl_leader *) leader;
    bool slots_fail;           /* as last logged: they could not be stored */
    enum ldb_health health;    /* as last logged */
    bool heals;                /* the epoch below was begun for healing */
    struct repl_epoch healing; /* is the epoch once the database is reopened */

    /* ---- following ---- */
    struct repl_served_files *tables; /* NULL: none */
    struct repl_peer *peer;
    uint64_t peer_tokens;           /* svc_peers_tokens() when it was made */
    uint64_t token_read_us;         /* when the file was last looked at */
    struct repl_follower *follower; /* guarded by mu: its pointer */
    bool is_bootstrapping;   /* guarded by mu: the gate waits for the leader's
                                data */
    bool is_rebuilding;      /* guarded by mu: db is about to be another */
    bool is_accepted;        /* guarded by mu: the next rebuild may set aside */
    bool is_build_cancelled; /* guarded by mu */
    struct repl_build *build;           /* guarded by mu: its pointer */
    struct repl_build_figures built;    /* guarded by mu: of the last build */
    uint64_t built_us;                  /* guarded by mu: how long it took */
    struct svc_rebuild_log rebuild_log; /* of tick */
    char logged_why[LDB_ERROR_MESSAGE_SIZE]; /* the follower's thread's */
    uint64_t waits_since_us; /* guarded by mu: it does not stream; 0: it does */
    /* Whom leadership was handed to, who has not said that it leads, and the
     * token of who asked for it; "": nobody. Guarded by mu. */
    char heir_url[REPL_URL_SIZE];
    char heir_token[API_AUTHORIZATION_SIZE];
    struct ldb_thread *search; /* looks for another leader; NULL: none */
    bool is_search_over;       /* guarded by mu */
};

/* ---- node_run.c ---- */

/*
 * Closes the gate and waits until nobody is inside; the database is the
 * caller's alone then, and nothing of the context holds it. CLOSED: the server
 * stops, and who is inside may not come out before it has: nothing more is to
 * be changed.
 */
LDB_MUST_CHECK enum ldb_status
svc_node_close_gate(struct svc_node *node,
                    const struct api_db_gate_reason *reason,
                    struct ldb_error *err);
bool svc_node_is_draining(struct svc_node *node);
/* A moment, or until something of the node has changed. */
void svc_node_pause(struct svc_node *node, uint64_t us);

/* node->repl anew from the folder; where it fails it stays as it was. Errors:
 * those of repl_node_load(). */
LDB_MUST_CHECK enum ldb_status svc_node_load(struct svc_node *node,
                                             struct ldb_error *err);

/* Handlers judge sequences by this history from now on, and show its last
 * epoch. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
svc_node_publish(struct svc_node *node,
                 const struct repl_epoch_history *history,
                 struct ldb_error *err);
/* Shows the ids of node->repl, as far as they are known. */
void svc_node_publish_ids(struct svc_node *node);

/* Digests of the folder's files: open while a database is. close: NULL is
 * fine. */
LDB_MUST_CHECK enum ldb_status svc_node_open_digests(struct svc_node *node,
                                                     struct ldb_error *err);
void svc_node_close_digests(struct svc_node *node);

/* The gate is closed: opens it to db, leader and digests. */
void svc_node_take_db(struct svc_node *node);

/* The server's clock. */
uint64_t svc_node_now_us(const struct svc_node *node);

/* ---- node_leading.c ---- */

/* Opens the folder to lead, in the epoch that fits; the gate stays closed. */
LDB_MUST_CHECK enum ldb_status svc_lead_open(struct svc_node *node,
                                             struct ldb_error *err);
/* Opens the gate to it, as a leader. */
void svc_lead_show(struct svc_node *node);
/* Waits until every write submitted before is done and durable; *out_last is
 * the last sequence then. */
LDB_MUST_CHECK enum ldb_status svc_lead_settle(struct svc_node *node,
                                               struct ldb_error *err,
                                               ldb_sequence *out_last);
/* Nobody is inside. mark: it is a clean stop when all went well. */
LDB_MUST_CHECK enum ldb_status svc_lead_close(struct svc_node *node, bool mark,
                                              struct ldb_error *err);
/* With the change. */
void svc_lead_tick(struct svc_node *node);

/* ---- node_following.c ---- */

/* Opens the folder as a twin, as far as it can be; the gate stays closed. */
LDB_MUST_CHECK enum ldb_status svc_follow_open(struct svc_node *node,
                                               struct ldb_error *err);
/* Opens the gate when the folder has a history, else it waits for the leader's.
 */
void svc_follow_show(struct svc_node *node);
/* Begins to follow role.now. */
LDB_MUST_CHECK enum ldb_status svc_follow_start(struct svc_node *node,
                                                struct ldb_error *err);
/* No thread of it runs afterwards; node->db is the twin, or NULL. */
void svc_follow_stop(struct svc_node *node);
/* Stopped, and nobody inside. */
LDB_MUST_CHECK enum ldb_status svc_follow_close(struct svc_node *node,
                                                struct ldb_error *err);
/* With the turn. */
void svc_follow_tick(struct svc_node *node);

/* ---- node_standing.c ---- */

/* Of struct api_node_ops; context is the node. */
bool svc_follow_figures(void *context, struct api_following *out);
const char *svc_follow_reason(void *context, struct api_problem *problem);
LDB_MUST_CHECK enum ldb_status
svc_follow_state(void *context, struct ldb_error *err, struct repl_state *out);
/* Of tick: a line about a rebuild, where one is due. */
void svc_follow_log_progress(struct svc_node *node);

/* ---- node_care.c ---- */

/* While a database is open, and digests are: in between of their open and their
 * close. stop: started or not. */
LDB_MUST_CHECK enum ldb_status svc_care_start(struct svc_node *node,
                                              struct ldb_error *err);
void svc_care_stop(struct svc_node *node);
/* The folder is rebuilt in between, which uses the same names. */
void svc_care_pause(struct svc_node *node);
void svc_care_resume(struct svc_node *node);
/* What the engine says of its background work: it may have met damage. */
void svc_care_health(struct svc_node *node, enum ldb_health health,
                     const struct ldb_error *why);

/* ---- node_search.c ---- */

/* Before it leads: no other node that answers is ahead of it. node->repl is
 * loaded. PRECONDITION: which one is. */
LDB_MUST_CHECK enum ldb_status svc_search_check(struct svc_node *node,
                                                struct ldb_error *err);
/* Of one that was promoted while it ran, whose flags name it a follower: others
 * have gone past that, as the node that the flags name, or a peer, is in a
 * later epoch. node->repl is loaded. */
bool svc_search_is_passed_over(struct svc_node *node);
/* The thread that looks for another leader while the one it follows is away.
 * stop: started or not. */
LDB_MUST_CHECK enum ldb_status svc_search_start(struct svc_node *node,
                                                struct ldb_error *err);
void svc_search_stop(struct svc_node *node);

/* ---- node_change.c ---- */

/* Of struct api_node_ops; context is the node. */
LDB_MUST_CHECK enum ldb_status
svc_change_promote(void *context, const struct api_role_request *request,
                   struct ldb_error *err, struct api_role_result *out);
LDB_MUST_CHECK enum ldb_status
svc_change_demote(void *context, const struct api_role_request *request,
                  struct ldb_error *err, struct api_role_result *out);

/* Of one that stands still, with the turn: tries again to go back. */
void svc_change_tick(struct svc_node *node);

/* Follows another leader, with the change. */
LDB_MUST_CHECK enum ldb_status svc_change_leader(struct svc_node *node,
                                                 const char *url,
                                                 struct ldb_error *err);

/* Of the handover, with the change. step_down: it leads, and follows url
 * afterwards. lead_again: nobody has begun to lead since. result: logs the
 * event too. */
LDB_MUST_CHECK enum ldb_status svc_change_step_down(struct svc_node *node,
                                                    const char *url,
                                                    struct ldb_error *err);
void svc_change_lead_again(struct svc_node *node);
void svc_change_result(const struct svc_node *node, const char *event,
                       struct api_role_result *out);

/* ---- node_handover.c ---- */

/* Of struct api_node_ops; context is the node. */
LDB_MUST_CHECK enum ldb_status
svc_change_handover(void *context, const struct api_role_request *request,
                    struct ldb_error *err, struct api_role_result *out);

/* While the heir that we follow is no leader: asks it once more to be one. Of
 * the search's thread. */
void svc_handover_ask_again(struct svc_node *node);
/* Something else was decided. */
void svc_handover_forget(struct svc_node *node);

#endif
