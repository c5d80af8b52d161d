/*
 * GET /v1/replication/followers: each follower by its slot, where it stands and
 * how far it lags; DELETE /v1/replication/followers/{id}: one that will not
 * come back gives its slot up, and the journals kept for it.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 */
#ifndef API_FOLLOWERS_H
#define API_FOLLOWERS_H

#include "api/exchange.h"

void api_follower_list_finish(struct api_exchange *x);
void api_follower_remove_finish(struct api_exchange *x);

#endif
