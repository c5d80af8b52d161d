/*
 * /v1/kv/{key}: PUT, GET, HEAD, DELETE of one entry.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 * All that the headers alone can get wrong is refused in begin, before a body
 * is sent.
 */
#ifndef API_KV_H
#define API_KV_H

#include "api/exchange.h"

void api_kv_get_begin(struct api_exchange *x);
void api_kv_get_finish(struct api_exchange *x);

void api_kv_put_begin(struct api_exchange *x);
void api_kv_put_finish(struct api_exchange *x);
void api_kv_delete_begin(struct api_exchange *x);
void api_kv_delete_finish(struct api_exchange *x);
void api_kv_write_resume(struct api_exchange *x);
void api_kv_write_abandon(struct api_exchange *x);

#endif
