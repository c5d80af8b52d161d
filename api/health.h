/*
 * GET /healthz: the process answers. GET /readyz: this node is fit to serve
 * in its role, else 503 with the reason. GET /version: what runs here.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 */
#ifndef API_HEALTH_H
#define API_HEALTH_H

#include "api/exchange.h"

struct api_problem;

void api_healthz_finish(struct api_exchange *x);
void api_readyz_finish(struct api_exchange *x);
void api_version_finish(struct api_exchange *x);

/*
 * Why this node is not fit to serve in its role, or NULL when it is. The
 * reasons: fsync-failed, write-failed, disk-full, stalled, corruption. When
 * there is one, problem is filled.
 */
const char *api_not_ready_reason(const struct api_context *context,
                                 struct api_problem *problem);

#endif
