/*
 * GET /v1/replication/followers: each follower by its slot, where it stands and
 * how far it lags; DELETE /v1/replication/followers/{id}: one that will not
 * come back gives its slot up, and the journals kept for it.
 *
 * The same figures, one by one, are in /stats and /metrics.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called. The
 * rest: the exchange's loop.
 */
#ifndef API_FOLLOWERS_H
#define API_FOLLOWERS_H

#include "api/exchange.h"
#include "api/json_text.h"
#include "replication/slots.h"

void api_follower_list_finish(struct api_exchange *x);
void api_follower_remove_finish(struct api_exchange *x);

/* All that there are now, by node id. */
struct api_followers {
    const struct repl_slot *slots; /* in the exchange's arena */
    size_t count;
    uint64_t now_us; /* when they were asked for */
};

/* Bytes of one in a list: its URL as escapes, and the rest. */
#define API_FOLLOWER_MAX ((size_t)8 << 10)

/* Inside the gate or not; none where this node does not lead. False: no memory.
 */
LDB_MUST_CHECK bool api_followers_read(struct api_exchange *x,
                                       struct api_followers *out);
/* An array of them. */
void api_followers_write(struct api_json *json,
                         const struct api_followers *followers);

#endif
