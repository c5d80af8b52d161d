/*
 * Which role this node has now, and who leads, as handlers ask: a follower does
 * not write, it sends the client or the request to its leader.
 *
 * Thread-safety: any thread.
 */
#ifndef API_ROLE_H
#define API_ROLE_H

#include "api/exchange.h"
#include "replication/protocol.h"

/* What a follower does with a write; the order is --follower-writes'. */
enum api_follower_writes {
    API_FOLLOWER_FORWARDS,  /* asks the leader and gives its answer */
    API_FOLLOWER_REDIRECTS, /* 307 to the leader */
    API_FOLLOWER_REJECTS,   /* 421 with the leader's URL */
};

struct api_role;

/* A leader. NULL: no memory. */
LDB_MUST_CHECK struct api_role *api_role_create(void);
void api_role_destroy(struct api_role *role); /* NULL is fine */

/* leader_url: of a follower; "": it knows none, as when it is that of a copy
 * (replication/copy_url.h), where nobody can be sent. Cut at REPL_URL_SIZE. */
void api_role_set(struct api_role *role, enum repl_role now,
                  const char *leader_url);
enum repl_role api_role_get(const struct api_role *role);
/* "leader", "follower"; static. */
const char *api_role_text(const struct api_role *role);
/* "" when it leads, or knows none. */
void api_role_leader_url(struct api_role *role, char out[REPL_URL_SIZE]);

/*
 * 503 no-leader: this node follows and cannot tell a leader; or it is another
 * node's request, which goes no further (Leveld-Forwarded).
 */
void api_answer_no_leader(struct api_exchange *x, const char *detail);
/* 421 not-leader, with the leader's URL. */
void api_answer_not_leader(struct api_exchange *x, const char *leader_url);

#endif
