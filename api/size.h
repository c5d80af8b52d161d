/*
 * GET /v1/size: about how many bytes of tables a range of keys takes.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_SIZE_H
#define API_SIZE_H

#include "api/exchange.h"

void api_size_finish(struct api_exchange *x);

#endif
