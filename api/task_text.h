/*
 * A task as JSON: the document that lists it, and the lines of the stream that
 * watches it.
 *
 * Thread-safety: functions of their arguments; the stream: its exchange's loop.
 */
#ifndef API_TASK_TEXT_H
#define API_TASK_TEXT_H

#include "api/json_text.h"
#include "api/tasks.h"

/*
 * {"id", "kind", "state", "progress": {"done", "total"}, "queued", "ended"?,
 * "error"?, "result"?}; result: as its task made it, or empty.
 */
void api_task_write(struct api_json *json, const struct api_task_info *info,
                    struct ldb_slice result);

/*
 * Answers 200 with a stream of lines {"id", "state", "done", "total"}, one when
 * something changed and a last one at the end: {"end":true, "count", "state",
 * "result"}, or {"error"}. Takes over the caller's reference to task.
 */
void api_task_answer_stream(struct api_exchange *x, struct api_task *task);

#endif
