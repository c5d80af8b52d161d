/*
 * GET /v1/admin/tasks, GET and DELETE /v1/admin/tasks/{id}.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_TASK_ROUTES_H
#define API_TASK_ROUTES_H

#include "api/exchange.h"

void api_task_list_finish(struct api_exchange *x);
void api_task_get_finish(struct api_exchange *x);
void api_task_cancel_finish(struct api_exchange *x);

#endif
