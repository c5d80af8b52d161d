/*
 * POST /v1/multiget: many keys from one consistent view.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_MULTIGET_H
#define API_MULTIGET_H

#include "api/exchange.h"

/*
 * Keys looked up in one pass of a loop. Chosen: other connections wait for as
 * many reads at most.
 */
#define API_MULTIGET_PASS_KEYS 256

void api_multiget_begin(struct api_exchange *x);
void api_multiget_finish(struct api_exchange *x);
void api_multiget_resume(struct api_exchange *x);
void api_multiget_abandon(struct api_exchange *x);

#endif
