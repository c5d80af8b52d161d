/*
 * POST /v1/admin/promote, /demote, /handover: each is a task (api/admin.h) that
 * has the node change its role (node_ops.h), and gives {"role", "epoch",
 * "sequence"}. It runs outside the gate, which it closes.
 *
 * Thread-safety: the exchange's loop. begin, resume and abandon are those of
 * api/admin.h.
 */
#ifndef API_ROLE_CHANGE_H
#define API_ROLE_CHANGE_H

#include "api/exchange.h"

/* For the follower to catch up, without "timeout". Chosen: it lags less than a
 * second when it is well. */
#define API_HANDOVER_US UINT64_C(10000000)

void api_promote_finish(struct api_exchange *x);
void api_demote_finish(struct api_exchange *x);
void api_handover_finish(struct api_exchange *x);

#endif
