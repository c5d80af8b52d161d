/*
 * /v1/admin: work that an operator asks for. A POST queues a task (api/tasks.h)
 * and waits for it a second, or as long as Leveld-Timeout says: done by then,
 * its result is the answer, else 202 with the task's number. With Accept:
 * application/x-ndjson the answer is a stream of its progress.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_ADMIN_H
#define API_ADMIN_H

#include "api/tasks.h"

/* How long a request waits for its task. Chosen: most of it is done by then,
 * and nobody takes a second for a hang. */
#define API_ADMIN_WAIT_US UINT64_C(1000000)

void api_admin_begin(struct api_exchange *x);
void api_admin_compact_finish(struct api_exchange *x);
void api_admin_flush_finish(struct api_exchange *x);
void api_admin_checkpoint_finish(struct api_exchange *x);
void api_admin_verify_finish(struct api_exchange *x);
void api_admin_resume(struct api_exchange *x);
void api_admin_abandon(struct api_exchange *x);

/*
 * For the finish of other routes that are tasks, whose begin, resume and
 * abandon are these: queues the work, which is taken over, and answers or
 * waits.
 */
void api_admin_submit(struct api_exchange *x, const struct api_task_work *work);

/* GET /v1/admin/properties/{name} */
void api_admin_property_finish(struct api_exchange *x);

#endif
