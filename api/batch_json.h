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
 * A member we do not know is an error, and a name twice.
 *
 * Puts go from the text straight into the batch (docs/decisions/0023).
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef API_BATCH_JSON_H
#define API_BATCH_JSON_H

#include "api/context.h"
#include "api/json_reader.h"
#include "api/problem.h"
#include "storage/base/arena.h"
#include "storage/journal/write_batch.h"

/* Conditions, and deletions of ranges, of one batch; beyond: too-large. Chosen:
 * as many as keys that ranges may delete; each costs a read between commits. */
#define API_BATCH_CONDITIONS_MAX 10000
#define API_BATCH_RANGES_MAX     10000

struct api_batch_json {
    struct ldb_condition *conditions;
    size_t condition_count;
    struct ldb_delete_range *ranges;
    size_t range_count;
};

/*
 * Parses text, adds its operations to batch, and puts conditions and ranges
 * into the arena. Takes the memory of one operation beside that. The batch is
 * empty before.
 *
 * False: problem says what is wrong (bad-batch or too-large with the index of
 * the operation or condition, overloaded: no memory); batch is then undefined.
 */
LDB_MUST_CHECK bool
api_batch_json_parse(struct ldb_arena *arena, const struct api_limits *limits,
                     struct ldb_slice text, struct ldb_batch *batch,
                     struct api_batch_json *out, struct api_problem *problem);

/*
 * A chunk of a bulk load: text is whole lines, one operation each, the last
 * with or without its end; blank ones count as lines alone. Reads all of them,
 * but a delete-range is read only when it is the first, and then alone. An
 * operation without an encoding of its own has encoding.
 *
 * *out_used: bytes of text read; *line grows by as many lines. False as above,
 * with the line that is wrong in problem instead of an index.
 */
LDB_MUST_CHECK bool
api_batch_json_lines(struct ldb_arena *arena, const struct api_limits *limits,
                     enum api_encoding encoding, struct ldb_slice text,
                     struct ldb_batch *batch, struct api_batch_json *out,
                     size_t *out_used, uint64_t *line,
                     struct api_problem *problem);

#endif
