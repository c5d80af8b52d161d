/*
 * POST /v1/replication/checkpoint: holds a version for a follower that builds
 * its folder anew, and tells its files; renews it; lets go of it
 * (replication/checkpoints.h).
 *
 * Making one lists the folder and writes a long document, so a thread of the
 * tasks does it, while the exchange waits.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 */
#ifndef API_REPLICATION_CHECKPOINT_H
#define API_REPLICATION_CHECKPOINT_H

#include "api/exchange.h"

void api_replication_checkpoint_begin(struct api_exchange *x);
void api_replication_checkpoint_finish(struct api_exchange *x);
void api_replication_checkpoint_resume(struct api_exchange *x);
void api_replication_checkpoint_abandon(struct api_exchange *x);

#endif
