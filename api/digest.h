/*
 * GET /v1/digest: one number for the version that this node is at: equal on two
 * nodes at one version (replication/database_digest.h). The exchange waits
 * until the digests of all tables are known, which takes as long as reading
 * those that were not read before.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 */
#ifndef API_DIGEST_H
#define API_DIGEST_H

#include "api/exchange.h"

void api_digest_finish(struct api_exchange *x);
void api_digest_resume(struct api_exchange *x);
void api_digest_abandon(struct api_exchange *x);

#endif
