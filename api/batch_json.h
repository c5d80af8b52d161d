/*
 * The JSON form of a batch:
 *
 *     {"ops":[{"op":"put","key":"a","value":"1"},
 *             {"op":"delete","key":"b"},
 *             {"op":"delete-range","start":"c","end":"d"}],
 *      "if":[{"key":"a","sequence":12},{"key":"c","exists":false}],
 *      "encoding":"utf8"}
 *
 * "ops" must be there, the rest may be left out. "encoding" (utf8, base64,
 * hex) in an operation or condition stands for that one alone, so that items
 * of a range answer can be sent back. A delete-range has start or end or both.
 * A member we do not know is an error.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef API_BATCH_JSON_H
#define API_BATCH_JSON_H

#include "api/context.h"
#include "api/problem.h"
#include "storage/base/arena.h"
#include "storage/journal/write_batch.h"

/* Levels of nesting: document, list, operation; one more is already wrong, the
 * message for it better. */
#define API_BATCH_JSON_DEPTH_MAX 4

struct api_batch_json {
    struct ldb_condition *conditions;
    size_t condition_count;
    struct ldb_delete_range *ranges;
    size_t range_count;
};

/*
 * Parses text, adds its operations to batch, and puts conditions and ranges
 * into the arena. body, when not NULL, holds text and is released as soon as
 * it is no longer needed.
 *
 * False: problem says what is wrong (bad-batch or too-large with the index of
 * the operation or condition, overloaded: no memory); batch is then undefined.
 */
LDB_MUST_CHECK bool
api_batch_json_parse(struct ldb_arena *arena, const struct api_limits *limits,
                     struct ldb_slice text, struct ldb_buf *body,
                     struct ldb_batch *batch, struct api_batch_json *out,
                     struct api_problem *problem);

#endif
