/*
 * What a follower asks its leader beside files: GET /v1/replication/state, and
 * POST /v1/replication/ack, whose answer is the leader's heartbeat. The
 * documents are replication/protocol.h's.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 */
#ifndef API_REPLICATION_CONTROL_H
#define API_REPLICATION_CONTROL_H

#include "api/exchange.h"

void api_replication_state_finish(struct api_exchange *x);

void api_replication_ack_begin(struct api_exchange *x);
void api_replication_ack_finish(struct api_exchange *x);

#endif
