/*
 * A follower's writes: sent on to the leader as they come, and its answer given
 * to the client; or the client sent there, or refused (--follower-writes).
 *
 * A forwarded request goes one hop: it carries Leveld-Forwarded, and a node
 * that does not lead answers it 503 no-leader. It carries the client's own
 * Authorization, which the leader judges; a client that is sent away or refused
 * is judged here. It is sent once: cut before a byte of it was sent it is 503
 * no-leader, nothing was done; cut later it is 504 outcome-unknown. Its body is
 * passed on in pieces of API_FORWARD_WINDOW, so that one of any length takes
 * constant memory here.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_FORWARD_H
#define API_FORWARD_H

#include "api/exchange.h"

/* Chosen: a few reads of a socket. */
#define API_FORWARD_WINDOW ((size_t)256 << 10)

enum api_forward_way {
    API_FORWARD_HERE,     /* this node leads: the route's own handlers */
    API_FORWARD_ANSWERED, /* 307, 421, 503, ... */
    API_FORWARD_SENT,     /* the functions below stand for the route's */
};

/* Of a route that writes, instead of its begin. */
LDB_MUST_CHECK enum api_forward_way api_forward_begin(struct api_exchange *x);

void api_forward_take(struct api_exchange *x);
void api_forward_refuse(struct api_exchange *x,
                        const struct api_problem *problem);
void api_forward_finish(struct api_exchange *x);
void api_forward_resume(struct api_exchange *x);
void api_forward_abandon(struct api_exchange *x);

#endif
